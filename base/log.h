/*
 * base/log.h - one line per event, to stderr or to a file.
 *
 * Thread: any (each line is one write).  Bytes that a peer sent are printed
 * with all escaped that is no character or would break, forge or hide a line,
 * so a line is always one line.  Writing goes to the page cache or a pipe; but
 * for a reload's, it is the one file call the loop makes.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/base.h"

enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_NOTICE,
	LOG_INFO,
	LOG_DEBUG
};

/* path NULL: stderr, with "<N>" priorities when journald reads it. */
int log_open(const char *path);
int log_reopen(void); /* after logrotate; ERR_SYSTEM: kept */
void log_set_level(enum log_level level);
void log_at(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

/*
 * For what a peer can cause at will: at most `LOG_LIMIT_LINES` lines in
 * `LOG_LIMIT_MS`, then one line that counts what was left out.  Thread: that
 * of the limit's owner.
 */
#define LOG_LIMIT_LINES 10
#define LOG_LIMIT_MS 10000

struct log_limit {
	uint64_t since_ms;
	uint32_t lines;
	uint32_t dropped;
};

void log_limited(struct log_limit *l, enum log_level level, const char *fmt,
    ...) PRINTF_LIKE(3, 4);

#endif
