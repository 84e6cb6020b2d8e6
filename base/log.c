/*
 * base/log.c - the log.
 *
 * A process has one log, so this is one of the few places with state of its
 * own; both threads write to it, each line in a single write().
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

#define LOG_LINE_MAX 1024

static _Atomic int log_fd = STDERR_FILENO;
static _Atomic int log_level = LOG_NOTICE;
static char *log_path;		    /* loop only */
static _Atomic bool log_priorities; /* "<3>text": sd-daemon(3) */

static const struct {
	const char *name;
	int syslog; /* RFC 5424 severity */
} log_levels[] = {
	[LOG_ERROR] = { "error", 3 },
	[LOG_WARN] = { "warn", 4 },
	[LOG_NOTICE] = { "notice", 5 },
	[LOG_INFO] = { "info", 6 },
	[LOG_DEBUG] = { "debug", 7 },
};

static int
log_open_file(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

/* The store thread may be writing: a number in use stays, its file changes. */
static int
log_use(int fd)
{
	int used = atomic_load(&log_fd), err = 0;

	if (used == STDERR_FILENO) {
		atomic_store(&log_fd, fd);
		return 0;
	}
	if (dup3(fd, used, O_CLOEXEC) < 0)
		err = ERR_SYSTEM;
	(void)close(fd);
	return err;
}

int
log_open(const char *path)
{
	char *copy;
	int fd;

	if (path == NULL) {
		log_priorities = getenv("JOURNAL_STREAM") != NULL;
		return 0;
	}
	copy = strdup(path);
	if (copy == NULL)
		return ERR_NOMEM;
	fd = log_open_file(path);
	if (fd < 0 || log_use(fd) != 0) {
		free(copy);
		return ERR_SYSTEM;
	}
	free(log_path);
	log_path = copy;
	log_priorities = false;
	return 0;
}

int
log_reopen(void)
{
	int fd;

	if (log_path == NULL)
		return 0;
	fd = log_open_file(log_path);
	return fd < 0 ? ERR_SYSTEM : log_use(fd);
}

void
log_set_level(enum log_level level)
{
	atomic_store(&log_level, (int)level);
}

/* Control characters, and what breaks a line or turns its direction. */
static const struct {
	uint32_t first, last;
} harmful[] = { { 0, 0x1f }, { 0x7f, 0x9f }, { 0x200e, 0x200f },
	{ 0x2028, 0x202e }, { 0x2066, 0x2069 } };

/* So many bytes are a character that may stand as it is; 0: there is none. */
static size_t
log_harmless(const char *text, size_t len)
{
	uint32_t code;
	size_t n = utf8_read((struct slice){ text, len }, &code);

	for (size_t i = 0; i < COUNT_OF(harmful) && n != 0; i++) {
		if (code >= harmful[i].first && code <= harmful[i].last)
			n = 0;
	}
	return n;
}

/* Copy, and escape what would break, forge or hide a line.  The first byte of
 * a harmful character is enough: without it the others are none. */
static size_t
log_escape(const char *text, char *out, size_t cap)
{
	static const char hex[] = "0123456789abcdef";
	size_t left = strlen(text), n = 0;

	while (left != 0 && n + 5 < cap) {
		unsigned char c = (unsigned char)*text;
		size_t same = log_harmless(text, left);

		if (same != 0) {
			memcpy(out + n, text, same);
			n += same;
		} else {
			out[n++] = '\\';
			out[n++] = 'x';
			out[n++] = hex[c >> 4];
			out[n++] = hex[c & 15];
			same = 1;
		}
		text += same;
		left -= same;
	}
	return n;
}

static void
log_line(enum log_level level, const char *text)
{
	char line[LOG_LINE_MAX * 2];
	int len;

	if (log_priorities) {
		len = snprintf(
		    line, sizeof(line), "<%d>", log_levels[level].syslog);
	} else {
		struct tm tm;
		time_t now = time(NULL);

		(void)localtime_r(&now, &tm);
		len = (int)strftime(
		    line, sizeof(line), "%Y-%m-%dT%H:%M:%S%z ", &tm);
		len += snprintf(line + len, sizeof(line) - (size_t)len, "[%s] ",
		    log_levels[level].name);
	}
	len +=
	    (int)log_escape(text, line + len, sizeof(line) - (size_t)len - 1);
	line[len++] = '\n';
	if (write(atomic_load(&log_fd), line, (size_t)len) < 0)
		return; /* nowhere left to say it */
}

static void PRINTF_LIKE(2, 0)
    log_format(enum log_level level, const char *fmt, va_list ap)
{
	char text[LOG_LINE_MAX];
	int keep = errno;

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	log_line(level, text);
	errno = keep;
}

void
log_at(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if ((int)level > atomic_load(&log_level))
		return;
	va_start(ap, fmt);
	log_format(level, fmt, ap);
	va_end(ap);
}

void
log_limited(struct log_limit *l, enum log_level level, const char *fmt, ...)
{
	uint64_t now = clock_mono_ms();
	va_list ap;

	if ((int)level > atomic_load(&log_level))
		return;
	if (now - l->since_ms >= LOG_LIMIT_MS || l->since_ms == 0) {
		if (l->dropped != 0)
			log_at(level, "%u more lines of this kind left out",
			    l->dropped);
		l->since_ms = now;
		l->lines = 0;
		l->dropped = 0;
	}
	if (l->lines >= LOG_LIMIT_LINES) {
		l->dropped++;
		return;
	}
	l->lines++;
	va_start(ap, fmt);
	log_format(level, fmt, ap);
	va_end(ap);
}
