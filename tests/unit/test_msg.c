/*
 * tests/unit/test_msg.c - the cursor never goes back, whatever the clock
 * does: a message whose cursor is not above all earlier ones is lost to every
 * client that stands between.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/msg.h"

static void
assert_cursor(uint64_t cursor, uint64_t time_s, uint32_t tag)
{
	assert_int_equal(cursor_time(cursor), time_s);
	assert_int_equal(cursor_tag(cursor), tag);
}

/* Tags start at 1 in each second and count on within it. */
static void
test_same_and_new_second(void **state)
{
	uint64_t c;

	(void)state;
	c = cursor_next(0, 1000, 1);
	assert_cursor(c, 1000, 1);
	c = cursor_next(c, 1000, 1);
	assert_cursor(c, 1000, 2);
	c = cursor_next(c, 1001, 1);
	assert_cursor(c, 1001, 1);
	/* (now, 0) is a position a client may hold; it is below tag 1. */
	assert_cursor(cursor_next(cursor_make(1000, 0), 1000, 1), 1000, 1);
	assert_cursor(cursor_next(0, 0, 1), 0, 1);
}

static void
test_clock_goes_back(void **state)
{
	uint64_t c = cursor_make(1000, 7);

	(void)state;
	assert_cursor(cursor_next(c, 900, 1), 1000, 8);
	assert_cursor(cursor_next(c, 0, 1), 1000, 8);
	/* A reservation ends at tag 0: no message has that. */
	assert_cursor(cursor_next(cursor_make(1001, 0) - 1, 900, 1), 1001, 1);
	assert_cursor(cursor_next(cursor_make(1001, 0), 900, 1), 1001, 1);
}

/* The run of a publish to n channels stays within one second. */
static void
test_runs(void **state)
{
	uint64_t c;

	(void)state;
	c = cursor_next(cursor_make(1000, 5), 1000, 100);
	assert_cursor(c, 1000, 6);
	c = cursor_next(cursor_make(1000, CURSOR_TAG_MAX - 3), 1000, 3);
	assert_cursor(c, 1000, CURSOR_TAG_MAX - 2);
	c = cursor_next(cursor_make(1000, CURSOR_TAG_MAX - 3), 1000, 4);
	assert_cursor(c, 1001, 1);
	c = cursor_next(cursor_make(1000, CURSOR_TAG_MAX), 1000, 1);
	assert_cursor(c, 1001, 1);
	c = cursor_next(cursor_make(1000, 1), 1000, CURSOR_TAG_MAX);
	assert_cursor(c, 1001, 1);
	assert_cursor(c + CURSOR_TAG_MAX - 1, 1001, CURSOR_TAG_MAX);
}

/* Above the last, no tag 0, the run in one second: for any clock. */
static void
test_any_clock(void **state)
{
	uint64_t seed = 77, last = 0;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		uint64_t now, n, c;

		seed = seed * UINT64_C(6364136223846793005) + 12345;
		now = 1000 + (seed >> 33) % 50;
		n = (seed >> 20) % 7 == 0 ? CURSOR_TAG_MAX - (seed >> 60)
					  : 1 + (seed >> 40) % 1000;
		c = cursor_next(last, now, n);
		assert_true(c > last);
		assert_true(cursor_tag(c) != 0);
		assert_int_equal(cursor_time(c), cursor_time(c + n - 1));
		assert_true(cursor_time(c) >= now);
		last = c + n - 1;
	}
}

/* An event id that was given and is empty is not one that is missing. */
static void
test_message_parts(void **state)
{
	struct slice id = { "ev", 2 }, empty = { "", 0 };
	struct msg *m, *other;

	(void)state;
	m = msg_new("text\0more", 9, &id, &empty, 123);
	assert_non_null(m);
	assert_int_equal(msg_text(m).len, 9);
	assert_memory_equal(msg_text(m).ptr, "text\0more", 9);
	assert_true(m->has_event_id && slice_is(msg_event_id(m), "ev"));
	assert_true(m->has_event_type && msg_event_type(m).len == 0);
	assert_int_equal(m->expires, 123);
	other = msg_ref(m);
	assert_ptr_equal(other, m);
	msg_unref(&m);
	assert_null(m);
	msg_unref(&m); /* NULL is allowed */
	assert_memory_equal(msg_text(other).ptr, "text\0more", 9);
	msg_unref(&other);
}

static void
test_message_without_parts(void **state)
{
	struct slice type = { "t", 1 }, huge = { "", UINT16_MAX + 1 };
	struct msg *m, *other;

	(void)state;
	m = msg_new(NULL, 0, NULL, &type, 0);
	assert_non_null(m);
	assert_false(m->has_event_id);
	assert_int_equal(msg_event_id(m).len, 0);
	assert_true(slice_is(msg_event_type(m), "t"));
	other = msg_ref(m);
	msg_unref(&m);
	assert_true(slice_is(msg_event_type(other), "t"));
	msg_unref(&other);
	/* Longer than what holds its length: refused, not cut. */
	assert_null(msg_new("x", 1, &huge, NULL, 0));
	assert_null(msg_new("x", 1, NULL, &huge, 0));
	assert_null(msg_new("x", (size_t)UINT32_MAX + 1, NULL, NULL, 0));
}

/* Extra stands beside the rest, and a copy is equal in all. */
static void
test_extra_and_copies(void **state)
{
	struct slice id = SLICE("id"), type = SLICE("type");
	struct msg_parts parts = { .text = SLICE("text"),
		.event_type = &type,
		.extra = { "ex\0tra", 6 },
		.expires = 77 };
	struct msg *m, *copy;

	(void)state;
	for (int i = 0; i < 2; i++) {
		parts.event_id = i == 0 ? NULL : &id;
		m = msg_make(&parts);
		assert_non_null(m);
		copy = msg_copy(m);
		msg_unref(&m);
		assert_true(slice_is(msg_text(copy), "text"));
		assert_int_equal(copy->has_event_id, i);
		assert_true(slice_is(msg_event_id(copy), i == 0 ? "" : "id"));
		assert_true(copy->has_event_type);
		assert_true(slice_is(msg_event_type(copy), "type"));
		assert_true(slice_equal(msg_extra(copy), parts.extra));
		assert_int_equal(msg_bytes(copy), i == 0 ? 14 : 16);
		assert_int_equal(copy->expires, 77);
		assert_int_equal(copy->refs, 1);
		msg_unref(&copy);
	}
	parts.extra.len = (size_t)UINT32_MAX + 1;
	assert_null(msg_make(&parts));
	m = msg_new("x", 1, NULL, NULL, 0);
	assert_int_equal(msg_extra(m).len, 0);
	msg_unref(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_and_new_second),
		cmocka_unit_test(test_clock_goes_back),
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_any_clock),
		cmocka_unit_test(test_message_parts),
		cmocka_unit_test(test_message_without_parts),
		cmocka_unit_test(test_extra_and_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
