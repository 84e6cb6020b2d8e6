/*
 * tests/unit/test_layout.c - which settings hold at which URI: the longest
 * prefix of holdfast.conf, and the built-in layout beneath it.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "api/layout.h"

#define S(text) ((struct slice){ text, sizeof(text) - 1 })

static char why[SETTINGS_WHY_SIZE];

static int
setup(void **state)
{
	*state = layout_new();
	return *state != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	struct layout *l = *state;

	layout_free(&l);
	return 0;
}

static struct location *
add(struct layout *l, const char *prefix)
{
	struct location *loc;

	assert_int_equal(layout_add_location(l, prefix, &loc), 0);
	return loc;
}

static void
test_longest_prefix(void **state)
{
	struct layout *l = *state;
	struct location *sub = add(l, "/sub"), *deep = add(l, "/sub/deep/"),
			*pub = add(l, "/pub"), *none;

	assert_ptr_equal(layout_find(l, S("/sub")), sub);
	assert_ptr_equal(layout_find(l, S("/submarine")), sub);
	assert_ptr_equal(layout_find(l, S("/sub/deep")), sub);
	assert_ptr_equal(layout_find(l, S("/sub/deep/x")), deep);
	assert_ptr_equal(layout_find(l, S("/pub/")), pub);
	assert_null(layout_find(l, S("/su")));
	assert_null(layout_find(l, S("/SUB")));
	assert_null(layout_find(l, S("")));
	assert_int_equal(layout_add_location(l, "/pub", &none), ERR_EXISTS);
}

/* Blocks stand in the order in which they were written: holdfastd -T shows
 * them so. */
static void
test_order_of_locations(void **state)
{
	struct layout *l = *state;

	(void)add(l, "/1");
	(void)add(l, "/2");
	(void)add(l, "/3");
	assert_string_equal(l->locations->prefix, "/1");
	assert_string_equal(l->locations->next->prefix, "/2");
	assert_string_equal(l->locations->next->next->prefix, "/3");
}

/* Without a word in holdfast.conf the vendor's three locations are served. */
static void
test_builtin(void **state)
{
	struct layout *l = *state;
	const struct builtin *b;

	b = layout_builtin(l, S("/bitrix/sub"));
	assert_non_null(b);
	assert_string_equal(b->prefix, "/bitrix/sub");
	assert_false(b->trusted_only);
	b = layout_builtin(l, S("/bitrix/subws/"));
	assert_string_equal(b->prefix, "/bitrix/subws/");
	b = layout_builtin(l, S("/bitrix/pub/"));
	assert_string_equal(b->prefix, "/bitrix/pub/");
	assert_true(b->trusted_only);
	assert_null(layout_builtin(l, S("/bitrix/")));
	assert_null(layout_builtin(l, S("/sub")));
	assert_null(layout_builtin(l, S("")));
}

/* A global bitrix_version puts its queue server in their place. */
static void
test_builtin_bitrix(void **state)
{
	struct layout *l = *state;
	const struct builtin *b;

	assert_int_equal(
	    layout_set(l, NULL, S("bitrix_version"), S("4"), why), 0);
	b = layout_builtin(l, S("/bitrix/subws/"));
	assert_non_null(b);
	assert_string_equal(b->rules[0][0], "bitrix_route");
	assert_string_equal(b->rules[0][1], "sub");
	b = layout_builtin(l, S("/bitrix/pub/"));
	assert_true(b->trusted_only);
	b = layout_builtin(l, S("/server-stat/"));
	assert_true(b->trusted_only);
	b = layout_builtin(l, S("/bitrix/rest/"));
	assert_false(b->trusted_only);
	assert_null(layout_builtin(l, S("/bitrix/")));
}

/* A value is checked when it is read, not when the first request comes. */
static void
test_set(void **state)
{
	struct layout *l = *state;
	struct location *loc = add(l, "/sub");

	assert_int_equal(
	    layout_set(l, NULL, S("push_stream_message_ttl"), S("60"), why), 0);
	assert_int_equal(l->settings.message_ttl_s, 60);
	assert_false(l->global.names_role);
	assert_int_equal(
	    layout_set(l, loc, S("push_stream_message_ttl"), S("60"), why),
	    ERR_CONFIG);
	assert_int_equal(layout_set(l, loc, S("push_stream_store_messages"),
			     S("maybe"), why),
	    ERR_CONFIG);
	assert_int_equal(
	    layout_set(l, loc, S("push_stream_nonsense"), S("1"), why),
	    ERR_NOTFOUND);
	assert_int_equal(layout_set(l, loc, S("push_stream_channels_path"),
			     S("$arg_id/$nonsense"), why),
	    ERR_CONFIG);
	assert_int_equal(layout_set(l, loc, S("push_stream_channels_path"),
			     S("$arg_id"), why),
	    0);
	assert_false(loc->rules.names_role);
	assert_int_equal(
	    layout_set(l, loc, S("push_stream_subscriber"), S("polling"), why),
	    0);
	assert_true(loc->rules.names_role);
	assert_int_equal(l->settings.role, ROLE_NONE);
	/* Only what was right is a rule. */
	assert_true(
	    slice_is(loc->rules.first->name, "push_stream_channels_path"));
	assert_null(loc->rules.first->next->next);
}

/* Settings that do not fit together are found in a block of their own. */
static void
test_check(void **state)
{
	struct layout *l = *state;
	struct location *loc = add(l, "/sub");

	assert_int_equal(layout_check(l, why), 0);
	assert_int_equal(
	    layout_set(
		l, loc, S("push_stream_wildcard_channel_max_qtd"), S("2"), why),
	    0);
	assert_int_equal(layout_check(l, why), ERR_CONFIG);
	assert_int_equal(
	    layout_set(l, NULL, S("push_stream_wildcard_channel_prefix"),
		S("w_"), why),
	    0);
	assert_int_equal(layout_check(l, why), 0);
}

static bool
admits(const struct layout *l, const char *client)
{
	return layout_admits(l, S("/a/b"),
	    (struct slice){ client, client != NULL ? strlen(client) : 0 });
}

static void
network(struct cidr_list *list, const char *text)
{
	assert_int_equal(cidr_list_add(list, text), 0);
}

/* Nobody gets past a list by not having an address. */
static void
test_admits(void **state)
{
	static const char *const nobody[] = { NULL, "", "unix:", "unknown",
		"10.1.2", "10.1.2.3 ", "10.1.2.3:80" };
	struct layout *l = *state;
	struct location *loc = add(l, "/a");

	for (size_t i = 0; i < COUNT_OF(nobody); i++)
		assert_true(admits(l, nobody[i]));
	network(&loc->deny, "10.1.0.0/16");
	assert_true(admits(l, "10.2.0.1"));
	assert_true(admits(l, "2001:db8::1"));
	assert_false(admits(l, "10.1.2.3"));
	assert_false(admits(l, "::ffff:10.1.2.3"));
	for (size_t i = 0; i < COUNT_OF(nobody); i++)
		assert_false(admits(l, nobody[i]));
	network(&loc->allow, "10.0.0.0/8");
	assert_true(admits(l, "10.2.0.1"));
	assert_false(admits(l, "10.1.2.3"));
	assert_false(admits(l, "2001:db8::1"));
	for (size_t i = 0; i < COUNT_OF(nobody); i++)
		assert_false(admits(l, nobody[i]));
	/* The block with the longest prefix alone counts. */
	(void)add(l, "/a/b");
	assert_true(admits(l, "unix:"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_longest_prefix),
		TEST(test_order_of_locations),
		TEST(test_builtin),
		TEST(test_builtin_bitrix),
		TEST(test_set),
		TEST(test_check),
		TEST(test_admits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
