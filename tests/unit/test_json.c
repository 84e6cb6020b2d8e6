/*
 * tests/unit/test_json.c - what a client sends is checked before anybody looks
 * at it, and a message's body comes out byte for byte as it went in.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "api/bitrix/json.h"

static bool
is_json(struct slice text)
{
	json_t *json = json_read(text);
	bool good = json != NULL;

	json_decref(json);
	return good;
}

static void
assert_member(const char *object, const char *name, const char *want)
{
	struct slice got =
	    json_member((struct slice){ object, strlen(object) }, name);

	if (want == NULL ? got.ptr != NULL
			 : got.ptr == NULL || !slice_is(got, want))
		fail_msg("%s of %s is not %s", name, object,
		    want != NULL ? want : "missing");
}

static void
test_valid(void **state)
{
	static const char *const good[] = { "{}", "[]", "1", "\"x\"", "null",
		" {\"a\" : [1, 2.5e3, true, false, null, \"\\u0416\"]} \n",
		"{\"a\":{\"b\":1},\"c\":{\"b\":1}}", "\"\\u0000\"",
		"9223372036854775807", "-9223372036854775808" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		if (!is_json((struct slice){ good[i], strlen(good[i]) }))
			fail_msg("refused: %s", good[i]);
	}
}

static void
test_invalid(void **state)
{
	static const char *const wrong[] = { "", " ", "{", "[1,]", "{\"a\":1,}",
		"{'a':1}", "{a:1}", "[1] [2]", "[1]x", "tru", "01", "+1", ".5",
		"1.", "\"\t\"", "\"\\x41\"", "\"a", "\"\\ud800\"", "\"\xff\"",
		"\"\xc0\x80\"", "// c\n1", "NaN",
		/* out of range */
		"9223372036854775808", "1e999", "-1e999",
		/* Which of the two would count? */
		"{\"a\":1,\"a\":2}", "[{\"b\":{\"a\":1,\"a\":1}}]",
		"{\"a\":1,\"\\u0061\":2}" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		if (is_json((struct slice){ wrong[i], strlen(wrong[i]) }))
			fail_msg("taken: %s", wrong[i]);
	}
	assert_false(is_json((struct slice){ NULL, 0 }));
	/* NUL ends nothing. */
	assert_false(is_json(SLICE("1\0")));
	assert_false(is_json(SLICE("{}\0{")));
	assert_false(is_json(SLICE("\0")));
	assert_false(is_json(SLICE("\"a\0b\"")));
}

static bool
many_is_json(const char *what, const char *end, size_t n)
{
	size_t unit = strlen(what), tail = strlen(end), len;
	char *text = malloc(n * unit + n * tail + 1);
	bool good;

	assert_non_null(text);
	for (len = 0; len < n * unit; len += unit)
		memcpy(text + len, what, unit);
	for (size_t i = 0; i < n; i++, len += tail)
		memcpy(text + len, end, tail);
	good = is_json((struct slice){ text, len });
	free(text);
	return good;
}

/* Deep or wide: refused before it costs what it is meant to cost. */
static void
test_bombs(void **state)
{
	static char wide[1 << 20];
	size_t at;

	(void)state;
	assert_true(many_is_json("[", "]", 100));
	assert_false(many_is_json("[", "]", 100000));
	assert_false(many_is_json("{\"a\":", "", 100000));
	wide[0] = '[';
	for (at = 1; at + 3 < sizeof(wide); at += 3)
		memcpy(wide + at, "{},", 3);
	memcpy(wide + at - 1, "]", 1);
	assert_false(is_json((struct slice){ wide, at }));
	/* The next text is not held liable. */
	assert_true(is_json((struct slice){ "[{}]", 4 }));
	memset(wide, 'a', sizeof(wide));
	wide[0] = wide[sizeof(wide) - 1] = '"';
	assert_true(is_json((struct slice){ wide, sizeof(wide) }));
}

static bool
numbers_are_json(const char *number, size_t n)
{
	size_t len = strlen(number), at = 1;
	char *text = malloc(n * (len + 1) + 2);
	bool is;

	assert_non_null(text);
	text[0] = '[';
	for (size_t i = 0; i < n; i++, at += len + 1) {
		memcpy(text + at, number, len);
		text[at + len] = ',';
	}
	text[at - 1] = ']';
	is = is_json((struct slice){ text, at });
	free(text);
	return is;
}

/* Values are what costs time: so many in a text, in a large one one for three
 * bytes.  What is refused for that is counted, what is no JSON is not. */
static void
test_pieces(void **state)
{
	static struct limits limits;

	(void)state;
	json_count_in(&limits);
	assert_true(numbers_are_json("0", 349900));
	assert_true(numbers_are_json("123", 400000));
	assert_false(is_json((struct slice){ "[,]", 3 }));
	assert_int_equal(limits.hits[LIMIT_json], 0);
	assert_false(numbers_are_json("0", 350001));
	assert_int_equal(limits.hits[LIMIT_json], 1);
	assert_false(numbers_are_json("0", 600000));
	assert_int_equal(limits.hits[LIMIT_json], 2);
	json_count_in(NULL);
}

static void
test_member(void **state)
{
	static const char object[] =
	    " { \"id\" : 7 ,\n\"body\":{\"id\":8,\"t\":\"}\\\"]\"},"
	    "\"list\":[{\"id\":9},[\"]\"]] , \"s\":\"a\\\\\",\"n\":-1.5e3,"
	    "\"\":null,\"last\":true}";

	(void)state;
	assert_member(object, "id", "7");
	assert_member(object, "body", "{\"id\":8,\"t\":\"}\\\"]\"}");
	assert_member(object, "list", "[{\"id\":9},[\"]\"]]");
	assert_member(object, "s", "\"a\\\\\"");
	assert_member(object, "n", "-1.5e3");
	assert_member(object, "", "null");
	assert_member(object, "last", "true");
	assert_member(object, "t", NULL);
	assert_member(object, "i", NULL);
	assert_member(object, "idx", NULL);
	assert_member("{}", "id", NULL);
	assert_member(" { } ", "id", NULL);
	assert_member("[\"id\",1]", "id", NULL);
	assert_member("\"id\"", "id", NULL);
	assert_member("", "id", NULL);
	assert_member("{\"i\\u0064\":1}", "id", NULL);
	assert_member("{\"x\":\"\\\"id\\\":1\",\"id\":2}", "id", "2");
	assert_null(json_member((struct slice){ NULL, 0 }, "id").ptr);
}

static void
assert_items(const char *array, ...)
{
	struct slice text = { array, strlen(array) }, got;
	const char *want;
	size_t at = 0;
	va_list ap;

	va_start(ap, array);
	while ((want = va_arg(ap, const char *)) != NULL) {
		got = json_next(text, &at);
		if (got.ptr == NULL || !slice_is(got, want))
			fail_msg("%s: no %s", array, want);
	}
	va_end(ap);
	assert_null(json_next(text, &at).ptr);
	assert_null(json_next(text, &at).ptr);
}

static void
test_next(void **state)
{
	(void)state;
	assert_items("[]", NULL);
	assert_items(" [ ] ", NULL);
	assert_items("[1]", "1", NULL);
	assert_items(" [ 1 , \"a,]\" ,[2,3],{\"a\":[4]},null ] ", "1",
	    "\"a,]\"", "[2,3]", "{\"a\":[4]}", "null", NULL);
	assert_items("[[[]],[]]", "[[]]", "[]", NULL);
	assert_items("{\"a\":1}", NULL);
	assert_items("1", NULL);
	assert_items("", NULL);
}

/* What a user's number is, wherever one stands. */
static void
test_user(void **state)
{
	static const struct {
		const char *json;
		bool good;
		uint64_t user;
	} cases[] = {
		{ "0", true, 0 },
		{ "7", true, 7 },
		{ "\"7\"", true, 7 },
		{ "\"007\"", true, 7 },
		{ "9007199254740992", true, UINT64_C(9007199254740992) },
		{ "\"9007199254740992\"", true, UINT64_C(9007199254740992) },
		{ "9007199254740993", false, 0 },
		{ "\"9007199254740993\"", false, 0 },
		{ "\"18446744073709551617\"", false, 0 },
		{ "-1", false, 0 },
		{ "\"-1\"", false, 0 },
		{ "\"+1\"", false, 0 },
		{ "\" 1\"", false, 0 },
		{ "\"1\\u0000\"", false, 0 },
		{ "\"\"", false, 0 },
		{ "1.0", false, 0 },
		{ "true", false, 0 },
		{ "null", false, 0 },
		{ "[7]", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *text = cases[i].json;
		json_t *v = json_read((struct slice){ text, strlen(text) });
		uint64_t user;

		assert_non_null(v);
		if (json_user(v, &user) != cases[i].good ||
		    (cases[i].good && user != cases[i].user))
			fail_msg("%s", text);
		json_decref(v);
	}
	assert_false(json_user(NULL, &(uint64_t){ 0 }));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_member),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
