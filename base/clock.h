/*
 * base/clock.h - the clocks, read in one place.
 *
 * The log's time, which begins as wall time, names messages (cursor, expiry);
 * monotonic time ends waits.  The loop reads both once a turn.  Wall time itself
 * is for what others have dated: tokens, licences.  Tests hand in a clock of
 * their own.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/base.h"

typedef int64_t clock_wall_f(void *arg); /* unix seconds */

int64_t clock_wall_s(void *unused); /* a clock_wall_f */
uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);

/*
 * The log's time: the wall clock as it was at the start, and from then on as
 * many seconds as have passed, the machine's sleep included.  A step of the
 * wall clock does not move it, so none lets a message expire early or late.
 * Set up before there are threads; then only read.
 */
struct clock_log {
	int64_t begin_ms;     /* wall time */
	uint64_t begin_up_ms; /* at which the machine was so long up */
};

/* Newest is the second of the log's last position, 0 without one: time goes on
 * there, should the wall clock have been set back by more than a day since. */
void clock_log_begin(struct clock_log *c, int64_t newest_s);
int64_t clock_log_s(void *clock_log); /* a clock_wall_f */

/* "Sun, 22 Nov 2026 18:51:34 GMT"; the buffer takes 30 bytes with its NUL. */
#define HTTP_DATE_SIZE 30
void http_date_format(int64_t unix_s, char out[HTTP_DATE_SIZE]);

/*
 * The three forms of RFC 7231 section 7.1.1.1, as nginx understands them.
 * Returns unix seconds, or -1 when it is no date or before 1970.
 */
int64_t http_date_parse(const char *s, size_t len);

#endif
