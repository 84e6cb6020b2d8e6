/*
 * tests/unit/test_mid.c - a client comes back with the mid it got last; read
 * wrongly it would miss messages or get them twice.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "api/bitrix/mid.h"

static void
assert_mid(uint64_t time_s, uint64_t tag, const char *want)
{
	uint64_t cursor = cursor_make(time_s, tag), back = 0;
	char text[MID_LEN + 1];

	mid_format(cursor, text);
	assert_string_equal(text, want);
	assert_true(mid_parse((struct slice){ text, MID_LEN }, &back));
	assert_int_equal(back, cursor);
}

static void
test_there_and_back(void **state)
{
	(void)state;
	assert_mid(1795374917, 1, "17953749170000000000000001");
	assert_mid(1795374917, 277, "17953749170000000000000277");
	assert_mid(0, 0, "00000000000000000000000000");
	assert_mid(1, CURSOR_TAG_MAX, "00000000010000000016777215");
	assert_mid(9999999999, 1, "99999999990000000000000001");
}

/* Ten digits end in 2286; until then the order is that of the cursors. */
static void
test_late_times(void **state)
{
	char text[MID_LEN + 1];

	(void)state;
	mid_format(cursor_make(CURSOR_TIME_MAX, 5), text);
	assert_string_equal(text, "99999999990000000000000005");
}

static void
test_packed(void **state)
{
	static const uint8_t want[MID_BYTES] = { 0x17, 0x95, 0x37, 0x49, 0x17,
		0, 0, 0, 0, 0, 0, 0x02, 0x98 };
	uint8_t got[MID_BYTES];

	(void)state;
	mid_pack(cursor_make(1795374917, 298), got);
	assert_memory_equal(got, want, MID_BYTES);
}

/* Another server's counter goes on over days: a position at the end of its
 * second, not a refusal, and not a wrapped one. */
static void
test_other_servers(void **state)
{
	uint64_t cursor;

	(void)state;
	assert_true(mid_parse(SLICE("17953749170000000016777216"), &cursor));
	assert_int_equal(cursor, cursor_make(1795374917, CURSOR_TAG_MAX));
	assert_true(mid_parse(SLICE("17953749179999999999999999"), &cursor));
	assert_int_equal(cursor, cursor_make(1795374917, CURSOR_TAG_MAX));
}

/* Several mids of one position, since clients drop what they have seen. */
static void
test_same_position(void **state)
{
	uint64_t cursor;

	(void)state;
	assert_true(mid_parse(SLICE("17953749170000000100000298"), &cursor));
	assert_int_equal(cursor, cursor_make(1795374917, 298));
	assert_true(mid_parse(SLICE("17953749179999999900000298"), &cursor));
	assert_int_equal(cursor, cursor_make(1795374917, 298));
}

static void
test_no_mids(void **state)
{
	static const struct slice wrong[] = { { NULL, 0 }, SLICE_INIT(""),
		SLICE_INIT("1"), SLICE_INIT("1795374917000000000000001"),
		SLICE_INIT("179537491700000000000000010"),
		SLICE_INIT("1795374917000000000000000a"),
		SLICE_INIT("-1953749170000000000000001"),
		SLICE_INIT("+1953749170000000000000001"),
		SLICE_INIT(" 1953749170000000000000001"),
		SLICE_INIT("1795374917000000000000000\0"),
		SLICE_INIT("17953749170x00000000000001") };
	uint64_t cursor;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		if (mid_parse(wrong[i], &cursor))
			fail_msg("taken for a mid: %s", wrong[i].ptr);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_late_times),
		cmocka_unit_test(test_packed),
		cmocka_unit_test(test_other_servers),
		cmocka_unit_test(test_same_position),
		cmocka_unit_test(test_no_mids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
