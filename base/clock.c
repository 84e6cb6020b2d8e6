/*
 * base/clock.c - clocks and HTTP dates.
 *
 * Dates are parsed here and not with strptime(), which follows the locale and
 * needs a NUL.  As nginx does, the day's name is not checked and a time zone
 * is taken for GMT: clients of this protocol send their own renderings back.
 */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char day_names[] = "SunMonTueWedThuFriSat";

int64_t
clock_wall_s(void *unused)
{
	struct timespec ts;

	(void)unused;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec;
}

uint64_t
clock_mono_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t
clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000;
}

void
http_date_format(int64_t unix_s, char out[HTTP_DATE_SIZE])
{
	struct tm tm;
	time_t t = (time_t)unix_s;

	if (gmtime_r(&t, &tm) == NULL || tm.tm_year > 9999 - 1900) {
		t = 0;
		(void)gmtime_r(&t, &tm);
	}
	(void)snprintf(out, HTTP_DATE_SIZE,
	    "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
	    &day_names[tm.tm_wday * 3], (unsigned)tm.tm_mday % 100,
	    &month_names[tm.tm_mon * 3], (unsigned)(tm.tm_year + 1900) % 10000,
	    (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
	    (unsigned)tm.tm_sec % 100);
}

/* Set back by less, the clock is believed: it was ahead before, and what is
 * stored lives so much longer. */
#define BELIEVED_MS (86400 * INT64_C(1000))
/* A kill leaves the log's end a few seconds ahead: so many kills do not lead
 * farther and farther away. */
#define BELOW_MS (60 * INT64_C(1000))

static int64_t
clock_ms(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void
clock_log_begin(struct clock_log *c, int64_t newest_s)
{
	int64_t newest_ms = newest_s * 1000;

	c->begin_ms = clock_ms(CLOCK_REALTIME);
	if (newest_ms - c->begin_ms > BELIEVED_MS)
		c->begin_ms = newest_ms - BELOW_MS;
	c->begin_up_ms = (uint64_t)clock_ms(CLOCK_BOOTTIME);
}

int64_t
clock_log_s(void *clock_log)
{
	const struct clock_log *c = clock_log;
	uint64_t up_ms = (uint64_t)clock_ms(CLOCK_BOOTTIME) - c->begin_up_ms;

	assert(c->begin_ms != 0); /* it was set up */
	return (c->begin_ms + (int64_t)up_ms) / 1000;
}

struct date {
	int year, month, day; /* month from 0 */
	int hour, min, sec;
};

struct scan {
	const char *p, *end;
};

static void
scan_blanks(struct scan *s)
{
	while (s->p < s->end && *s->p == ' ')
		s->p++;
}

static bool
scan_char(struct scan *s, char c)
{
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

static bool
scan_number(struct scan *s, int min_digits, int max_digits, int *out)
{
	int n = 0, v = 0;

	while (
	    s->p < s->end && n < max_digits && *s->p >= '0' && *s->p <= '9') {
		v = v * 10 + (*s->p++ - '0');
		n++;
	}
	*out = v;
	return n >= min_digits;
}

static bool
scan_month(struct scan *s, int *out)
{
	if (s->end - s->p < 3)
		return false;
	for (int i = 0; i < 12; i++) {
		if (memcmp(s->p, &month_names[i * 3], 3) == 0) {
			*out = i;
			s->p += 3;
			return true;
		}
	}
	return false;
}

static bool
scan_clock(struct scan *s, struct date *d)
{
	return scan_number(s, 2, 2, &d->hour) && scan_char(s, ':') &&
	    scan_number(s, 2, 2, &d->min) && scan_char(s, ':') &&
	    scan_number(s, 2, 2, &d->sec);
}

/* "Sun Nov  6 08:49:37 1994" */
static bool
scan_asctime(struct scan *s, struct date *d)
{
	if (!scan_month(s, &d->month))
		return false;
	scan_blanks(s);
	if (!scan_number(s, 1, 2, &d->day))
		return false;
	scan_blanks(s);
	if (!scan_clock(s, d))
		return false;
	scan_blanks(s);
	return scan_number(s, 4, 4, &d->year);
}

/* "06 Nov 1994 08:49:37" or "06-Nov-94 08:49:37", after the comma. */
static bool
scan_rfc(struct scan *s, struct date *d)
{
	char sep;

	if (!scan_number(s, 1, 2, &d->day) || s->p == s->end)
		return false;
	sep = *s->p++;
	if ((sep != ' ' && sep != '-') || !scan_month(s, &d->month) ||
	    !scan_char(s, sep))
		return false;
	if (sep == '-') {
		if (!scan_number(s, 2, 2, &d->year))
			return false;
		d->year += d->year < 70 ? 2000 : 1900;
	} else if (!scan_number(s, 4, 4, &d->year)) {
		return false;
	}
	return scan_char(s, ' ') && scan_clock(s, d);
}

static int64_t
days_from_civil(int64_t y, int64_t m, int64_t d)
{
	/* Days since 1970-01-01 of a proleptic Gregorian date, m from 1;
	 * years are counted from March so that leap days come last. */
	int64_t era, yoe, doy, doe;

	y -= m <= 2;
	era = y / 400;
	yoe = y - era * 400;
	doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + doe - 719468;
}

static bool
date_ok(const struct date *d)
{
	static const int days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30,
		31 };
	bool leap =
	    (d->year % 4 == 0 && d->year % 100 != 0) || d->year % 400 == 0;

	return d->year >= 1970 && d->hour <= 23 && d->min <= 59 &&
	    d->sec <= 59 && d->day >= 1 && d->day <= days[d->month] &&
	    (d->month != 1 || d->day <= 28 || leap);
}

int64_t
http_date_parse(const char *text, size_t len)
{
	struct scan s = { text, len != 0 ? text + len : text };
	struct date d;
	bool comma = false;

	scan_blanks(&s);
	while (s.p < s.end && *s.p != ',' && *s.p != ' ')
		s.p++;
	if (s.p < s.end && *s.p == ',') {
		comma = true;
		s.p++;
	}
	scan_blanks(&s);
	if (!(comma ? scan_rfc(&s, &d) : scan_asctime(&s, &d)) || !date_ok(&d))
		return -1;
	return days_from_civil(d.year, d.month + 1, d.day) * 86400 +
	    d.hour * 3600 + d.min * 60 + d.sec;
}
