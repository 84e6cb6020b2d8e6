/*
 * tests/unit/test_vars.c - variables pull a client's bytes into settings.  A
 * value that was put in must never be looked at again, or a client could
 * write "$http_cookie" into its query and have it expanded.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "api/vars.h"

static void
add(struct params *p, const char *name, const char *value)
{
	assert_int_equal(params_add(p, (struct slice){ name, strlen(name) },
			     (struct slice){ value, strlen(value) }),
	    0);
}

static int
setup(void **state)
{
	static struct params p;

	params_init(&p, 4096);
	add(&p, "QUERY_STRING", "CHANNEL_ID=a/b&tag=12&empty=&Tag=99&x=$uri&y");
	add(&p, "REQUEST_METHOD", "GET");
	add(&p, "DOCUMENT_URI", "/bitrix/sub");
	add(&p, "REQUEST_URI", "/bitrix/sub?q");
	add(&p, "REMOTE_ADDR", "10.1.2.3");
	add(&p, "HTTP_HOST", "example.org");
	add(&p, "HTTP_IF_NONE_MATCH", "W/7");
	*state = &p;
	return 0;
}

static int
teardown(void **state)
{
	params_release(*state);
	return 0;
}

static void
assert_expands(const struct params *p, const char *text, const char *want)
{
	struct slice t = { text, strlen(text) };
	struct buf b;

	buf_init(&b, 4096);
	assert_true(vars_ok(t));
	assert_int_equal(vars_expand(p, t, &b), 0);
	if (b.len != strlen(want) ||
	    (b.len != 0 && memcmp(b.data, want, b.len) != 0))
		fail_msg("\"%s\" became \"%.*s\", not \"%s\"", text, (int)b.len,
		    b.data, want);
	buf_release(&b);
}

static void
test_known(void **state)
{
	const struct params *p = *state;

	assert_expands(p, "$arg_CHANNEL_ID", "a/b");
	assert_expands(p, "$arg_channel_id", "a/b");
	assert_expands(p, "<$arg_tag>", "<12>");
	assert_expands(p, "$arg_empty", "");
	assert_expands(p, "$arg_missing", "");
	assert_expands(p, "$arg_y", "");
	assert_expands(p, "$uri", "/bitrix/sub");
	assert_expands(p, "$document_uri$request_method", "/bitrix/subGET");
	assert_expands(p, "$request_uri", "/bitrix/sub?q");
	assert_expands(
	    p, "$args", "CHANNEL_ID=a/b&tag=12&empty=&Tag=99&x=$uri&y");
	assert_expands(
	    p, "$query_string", "CHANNEL_ID=a/b&tag=12&empty=&Tag=99&x=$uri&y");
	assert_expands(p, "$remote_addr", "10.1.2.3");
	assert_expands(p, "$host", "example.org");
	assert_expands(p, "$http_if_none_match", "W/7");
	assert_expands(p, "$http_absent", "");
	assert_expands(p, "", "");
	assert_expands(p, "none at all", "none at all");
}

static void
test_syntax(void **state)
{
	const struct params *p = *state;

	assert_expands(p, "${arg_tag}0", "120");
	assert_expands(p, "$arg_tag.b2", "12.b2");
	assert_expands(p, "$$arg_tag", "$arg_tag");
	assert_expands(p, "$$", "$");
	assert_expands(p, "$$$uri", "$/bitrix/sub");
	assert_expands(p, "a$host/b", "aexample.org/b");
}

/* A value with a dollar in it is a value. */
static void
test_no_second_look(void **state)
{
	assert_expands(*state, "$arg_x", "$uri");
	assert_expands(*state, "$$$arg_x", "$$uri");
}

static void
test_unknown(void **state)
{
	static const char *const wrong[] = {
		"$",
		"a$",
		"$ ",
		"$unknown",
		"$arg_",
		"$http_",
		"${uri",
		"${}",
		"${ur i}",
		"$URI",
		"$cookie_a",
		"$arg-x",
		"$1",
		"$-",
	};
	struct buf b;

	buf_init(&b, 4096);
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		struct slice t = { wrong[i], strlen(wrong[i]) };

		if (vars_ok(t))
			fail_msg("taken: \"%s\"", wrong[i]);
		assert_int_equal(vars_expand(*state, t, &b), ERR_SYNTAX);
	}
	buf_release(&b);
}

/* The first argument of the name; names without regard to case, whole. */
static void
test_query_arg(void **state)
{
	struct slice query = { "ab=1&a=2&A=3&ba=4&c&=5&d=", 25 }, v;

	(void)state;
	assert_true(slice_is(query_arg(query, (struct slice){ "a", 1 }), "2"));
	assert_true(slice_is(query_arg(query, (struct slice){ "AB", 2 }), "1"));
	assert_true(slice_is(query_arg(query, (struct slice){ "ba", 2 }), "4"));
	assert_null(query_arg(query, (struct slice){ "b", 1 }).ptr);
	assert_null(query_arg(query, (struct slice){ "c", 1 }).ptr);
	v = query_arg(query, (struct slice){ "d", 1 });
	assert_non_null(v.ptr);
	assert_int_equal(v.len, 0);
	v = query_arg((struct slice){ NULL, 0 }, (struct slice){ "a", 1 });
	assert_null(v.ptr);
}

/* What does not fit is an error, and no part of it is used. */
static void
test_bound(void **state)
{
	struct buf b;

	buf_init(&b, 10);
	assert_int_equal(
	    vars_expand(*state, (struct slice){ "$uri", 4 }, &b), ERR_TOOBIG);
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_no_second_look),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_query_arg),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
