/*
 * base/clock.h - the two clocks, read in one place.
 *
 * Wall time names messages (cursor, expiry); monotonic time ends waits.  The
 * loop reads both once a turn.  Tests hand in a clock of their own.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/base.h"

typedef int64_t clock_wall_f(void *arg); /* unix seconds */

int64_t clock_wall_s(void *unused); /* a clock_wall_f */
uint64_t clock_mono_ms(void);

/* "Sun, 22 Nov 2026 18:51:34 GMT"; the buffer takes 30 bytes with its NUL. */
#define HTTP_DATE_SIZE 30
void http_date_format(int64_t unix_s, char out[HTTP_DATE_SIZE]);

/*
 * The three forms of RFC 7231 section 7.1.1.1, as nginx understands them.
 * Returns unix seconds, or -1 when it is no date or before 1970.
 */
int64_t http_date_parse(const char *s, size_t len);

#endif
