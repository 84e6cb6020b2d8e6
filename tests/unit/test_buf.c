/*
 * tests/unit/test_buf.c - what a peer can make grow has a bound: a buffer
 * that passes it, or that keeps half of what did not fit, breaks every limit
 * built on it.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/buf.h"

static void
assert_holds(const struct buf *b, const char *text)
{
	assert_int_equal(b->len, strlen(text));
	assert_memory_equal(b->data, text, b->len);
}

/* The bound is reached exactly; the append that passes it changes nothing. */
static void
test_bound(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_int_equal(buf_append(&b, "0123456", 7), 0);
	assert_int_equal(buf_append(&b, "789a", 4), ERR_TOOBIG);
	assert_holds(&b, "0123456");
	assert_int_equal(buf_append(&b, "789", 3), 0);
	assert_int_equal(buf_append(&b, "x", 1), ERR_TOOBIG);
	assert_int_equal(buf_text(&b, ""), 0);
	assert_holds(&b, "0123456789");
	buf_release(&b);
	assert_null(b.data);
	/* Of two the first does not stay alone. */
	assert_int_equal(
	    buf_append2(&b, SLICE("01234"), SLICE("56789a")), ERR_TOOBIG);
	assert_int_equal(b.len, 0);
	assert_int_equal(buf_append2(&b, SLICE("01234"), SLICE("56789")), 0);
	assert_int_equal(buf_append2(&b, SLICE(""), SLICE("x")), ERR_TOOBIG);
	assert_int_equal(buf_append2(&b, SLICE(""), SLICE("")), 0);
	assert_holds(&b, "0123456789");
	buf_release(&b);
	assert_int_equal(buf_append(&b, "0123456789a", 11), ERR_TOOBIG);
	assert_int_equal(buf_append(&b, "again", 5), 0);
	buf_release(&b);
}

/* A length near SIZE_MAX must not wrap round the check. */
static void
test_huge_lengths(void **state)
{
	volatile size_t huge = SIZE_MAX; /* no compiler is to know and warn */
	struct slice most = { "x", huge / 2 };
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(buf_text(&b, "abc"), 0);
	assert_int_equal(buf_append(&b, "x", huge), ERR_TOOBIG);
	assert_int_equal(buf_append(&b, "x", huge - 2), ERR_TOOBIG);
	assert_int_equal(buf_append2(&b, most, most), ERR_TOOBIG);
	assert_int_equal(buf_append2(&b, (struct slice){ "x", huge },
			     (struct slice){ "xy", 2 }),
	    ERR_TOOBIG);
	assert_int_equal(
	    buf_append2(&b, (struct slice){ "x", 1 }, most), ERR_TOOBIG);
	assert_int_equal(buf_reserve(&b, SIZE_MAX), ERR_TOOBIG);
	assert_int_equal(buf_reserve(&b, SIZE_MAX - 3), ERR_TOOBIG);
	/* Memory that is there already does not move the bound. */
	assert_int_equal(buf_reserve(&b, 97), 0);
	assert_int_equal(buf_reserve(&b, 98), ERR_TOOBIG);
	assert_holds(&b, "abc");
	buf_release(&b);
}

/* The NUL that printf writes takes no part of the bound. */
static void
test_printf_up_to_the_bound(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 8);
	assert_int_equal(buf_printf(&b, "%s-%d", "abc", 1234), 0);
	assert_holds(&b, "abc-1234");
	assert_int_equal(buf_printf(&b, "%c", 'x'), ERR_TOOBIG);
	assert_holds(&b, "abc-1234");
	buf_clear(&b);
	assert_int_equal(buf_printf(&b, "%09d", 1), ERR_TOOBIG);
	assert_int_equal(b.len, 0);
	buf_release(&b);
}

/* Growing moves the bytes: what was in stays in, in order. */
static void
test_grows(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	for (unsigned i = 0; i < 50000; i++) {
		unsigned char c = (unsigned char)(i * 7);

		assert_int_equal(buf_append(&b, &c, 1), 0);
	}
	assert_int_equal(b.len, 50000);
	for (unsigned i = 0; i < 50000; i++)
		assert_int_equal(
		    (unsigned char)b.data[i], (unsigned char)(i * 7));
	buf_release(&b);
}

static void
test_number(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} cases[] = { { 0, "0" }, { 9, "9" }, { 10, "10" }, { 1007, "1007" },
		{ UINT64_MAX, "18446744073709551615" } };
	struct buf b;

	(void)state;
	buf_init(&b, 20);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		buf_clear(&b);
		assert_int_equal(buf_number(&b, cases[i].n), 0);
		assert_int_equal(b.len, strlen(cases[i].text));
		assert_memory_equal(b.data, cases[i].text, b.len);
	}
	assert_int_equal(buf_number(&b, 1), ERR_TOOBIG);
	assert_int_equal(b.len, 20);
	buf_release(&b);
}

/* Runs that mean themselves between bytes that do not. */
static void
test_json(void **state)
{
	static const char text[] = "ab\"c\\\x01 d\xc3\xa9"
				   "e\xff"
				   "f\x7f";
	static const char json[] = "ab\\\"c\\\\\\u0001 d\xc3\xa9"
				   "e\xef\xbf\xbd"
				   "f\x7f";
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(
	    buf_json(&b, (struct slice){ text, sizeof(text) - 1 }), 0);
	assert_int_equal(b.len, sizeof(json) - 1);
	assert_memory_equal(b.data, json, b.len);
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_huge_lengths),
		cmocka_unit_test(test_printf_up_to_the_bound),
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
