/*
 * tests/unit/test_clock.c - a client's position is a date that it sends back
 * to us, in whatever rendering its library makes of it.  A date read wrongly
 * is a message lost or sent twice.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/clock.h"

static int64_t
parse(const char *text)
{
	return http_date_parse(text, strlen(text));
}

static void
test_format(void **state)
{
	char out[HTTP_DATE_SIZE];

	(void)state;
	http_date_format(0, out);
	assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
	http_date_format(1795373494, out);
	assert_string_equal(out, "Sun, 22 Nov 2026 18:51:34 GMT");
	http_date_format(951782399, out);
	assert_string_equal(out, "Mon, 28 Feb 2000 23:59:59 GMT");
	http_date_format(951782400, out);
	assert_string_equal(out, "Tue, 29 Feb 2000 00:00:00 GMT");
	http_date_format(253402300799, out);
	assert_string_equal(out, "Fri, 31 Dec 9999 23:59:59 GMT");
	/* What has no four-digit year is no date at all. */
	http_date_format(253402300800, out);
	assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
	http_date_format(INT64_MAX, out);
	assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
}

static void
test_three_forms(void **state)
{
	(void)state;
	assert_int_equal(parse("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
	assert_int_equal(parse("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777);
	assert_int_equal(parse("Sun Nov  6 08:49:37 1994"), 784111777);
	/* Two digits of a year: 1970 to 2069. */
	assert_int_equal(parse("Thursday, 01-Jan-70 00:00:00 GMT"), 0);
	assert_int_equal(parse("Tuesday, 31-Dec-69 00:00:00 GMT"),
	    parse("Tue, 31 Dec 2069 00:00:00 GMT"));
	assert_int_equal(parse("Thu Jan  1 00:00:00 1970"), 0);
	assert_int_equal(parse("Thu Nov 26 18:51:34 2026"),
	    parse("Thu, 26 Nov 2026 18:51:34 GMT"));
	/* Neither the day's name nor the zone is looked at. */
	assert_int_equal(parse("Xyz, 06 Nov 1994 08:49:37 PST"), 784111777);
	assert_int_equal(parse("Sun, 06 Nov 1994 08:49:37"), 784111777);
	assert_int_equal(parse("  Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
}

/* Every day of the calendar and every second of a day come back. */
static void
test_round_trips(void **state)
{
	char out[HTTP_DATE_SIZE];

	(void)state;
	for (int64_t t = 0; t < INT64_C(4200000000); t += 86399) {
		http_date_format(t, out);
		assert_int_equal(parse(out), t);
	}
	for (int64_t t = 951782400; t < 951782400 + 86400; t++) {
		http_date_format(t, out);
		assert_int_equal(parse(out), t);
	}
	http_date_format(253402300799, out);
	assert_int_equal(parse(out), 253402300799);
}

static void
test_not_dates(void **state)
{
	static const char *const garbage[] = {
		"",
		" ",
		",",
		"Sun",
		"Sun,",
		"0",
		"1795373494",
		"now",
		"Sun, 06 Nov 1994",
		"Sun, 06 Nov 1994 08:49",
		"Sun, 06 Nov 1994 08:49:3",
		"Sun, 06 Nov 1994 8:49:37 GMT",
		"Sun, 06 Nov 94 08:49:37 GMT",
		"Sun, 06 Noo 1994 08:49:37 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, 32 Dec 1994 08:49:37 GMT",
		"Sun, 29 Feb 2023 08:49:37 GMT",
		"Sun, 29 Feb 2100 08:49:37 GMT",
		"Sun, 30 Feb 2024 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:00:00 GMT",
		"Sun, 06 Nov 1994 08:60:37 GMT",
		"Sun, 06 Nov 1994 08:49:60 GMT",
		"Wed, 31 Dec 1969 23:59:59 GMT",
		"Sun, 06 Nov -994 08:49:37 GMT",
		"Sun, 06-Nov 1994 08:49:37 GMT",
		"Sun, 06/Nov/1994 08:49:37 GMT",
		"Sun Nov 6 08:49:37",
		"Sun Nov  6 08:49:37 94",
		"Sun Nov 99 08:49:37 1994",
		"Sun,06Nov199408:49:37",
		"Sun, 06 Nov 0000 08:49:37 GMT",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(garbage); i++) {
		if (parse(garbage[i]) != -1)
			fail_msg("taken for a date: \"%s\"", garbage[i]);
	}
	assert_int_equal(http_date_parse(NULL, 0), -1);
	assert_int_equal(parse("Sat, 29 Feb 2020 00:00:00 GMT"), 1582934400);
	assert_int_equal(parse("Tue, 29 Feb 2000 00:00:00 GMT"), 951782400);
}

/* The text has no NUL of its own: nothing behind its length is read.  (The
 * copy is as short as it says, so the sanitizer would see it.) */
static void
test_cut_short(void **state)
{
	static const char *const forms[] = {
		"Sun, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 1994",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(forms); i++) {
		for (size_t len = 1; len <= strlen(forms[i]); len++) {
			char *copy = malloc(len);
			int64_t got;

			assert_non_null(copy);
			memcpy(copy, forms[i], len);
			got = http_date_parse(copy, len);
			free(copy);
			assert_true(got == -1 || got == 784111777);
		}
	}
}

/* Any bytes: an answer, and never a negative date but -1. */
static void
test_random_bytes(void **state)
{
	static const char letters[] = "SunNovThuJ, -:0123456789GMT  ";
	uint64_t seed = 424242;
	char text[40];

	(void)state;
	for (int i = 0; i < 200000; i++) {
		size_t len;

		seed = seed * UINT64_C(6364136223846793005) + 12345;
		len = (seed >> 40) % sizeof(text);
		memcpy(text, "Sun, 06 Nov 1994 08:49:37 GMT          ", 40);
		for (int k = 0; k < 3; k++) {
			seed = seed * UINT64_C(6364136223846793005) + 1;
			text[(seed >> 33) % sizeof(text)] =
			    letters[(seed >> 50) % (sizeof(letters) - 1)];
		}
		assert_true(http_date_parse(text, len) >= -1);
	}
}

/* The log's time begins at the clock, or, when that was set back by more than
 * a day, where the log ends. */
static void
test_log_time(void **state)
{
	static const struct {
		int64_t newest_s, begin_s; /* from now */
	} cases[] = {
		{ -86400, 0 },
		{ 0, 0 },
		{ 86000, 0 },
		{ 864000, 864000 - 60 },
	};
	struct clock_log c;
	int64_t now_s, off;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		now_s = clock_wall_s(NULL);
		clock_log_begin(&c, now_s + cases[i].newest_s);
		off = clock_log_s(&c) - now_s - cases[i].begin_s;
		assert_in_range(off, 0, 5);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_three_forms),
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_not_dates),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_log_time),
		cmocka_unit_test(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
