/*
 * tests/unit/test_bx_end.c - a reader of Bitrix's that is let in until a token
 * or a licence is over must not stay a moment longer than a second, nor be
 * thrown out early; and "never" is never.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "api/bitrix/bx_priv.h"
#include "push/hub_priv.h"

#define NOW_S 1800000000
#define NOW_MS 5000

static uint64_t
end_ms(int64_t ends_s)
{
	static struct hub hub = { .now_ms = NOW_MS };
	const struct api api = { .hub = &hub };
	const struct bx_reader rd = { .ends_s = ends_s };

	return bx_end_ms(&api, &rd, NOW_S);
}

static void
test_end(void **state)
{
	(void)state;
	assert_int_equal(end_ms(NOW_S + 1), NOW_MS + 1000);
	assert_int_equal(end_ms(NOW_S + 86400), NOW_MS + 86400000);
	assert_int_equal(end_ms(CURSOR_TIME_MAX),
	    NOW_MS + ((uint64_t)CURSOR_TIME_MAX - NOW_S) * 1000);
	assert_int_equal(end_ms(INT64_MAX), UINT64_MAX);
}

/* The clock went on since it was let in, or was set. */
static void
test_over(void **state)
{
	(void)state;
	assert_int_equal(end_ms(NOW_S), NOW_MS);
	assert_int_equal(end_ms(NOW_S - 1), NOW_MS);
	assert_int_equal(end_ms(0), NOW_MS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
