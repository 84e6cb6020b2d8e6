/*
 * tests/unit/test_licence.c - a request gets the licence it names and no other:
 * with a wrong one it would read another site's channels.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "auth/licence.h"

#define S(text) ((struct slice){ text, sizeof(text) - 1 })
#define ONE "0123456789abcdef0123456789abcdef"
#define TWO "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef0123456789"
#define NOBODY ((struct slice){ NULL, 0 })

static struct licences all;

#define SIXTY_FOUR \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int
setup(void **state)
{
	(void)state;
	licences_init(&all);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	licences_release(&all);
	return 0;
}

static struct licence *
add(struct slice id)
{
	struct licence *l;

	assert_int_equal(licences_add(&all, id, &l), 0);
	return l;
}

static struct keyring *
some_keys(void)
{
	struct keyring *k;

	assert_int_equal(keyring_new("sha1", &k), 0);
	assert_int_equal(keyring_add(k, S("key")), 0);
	return k;
}

static void
test_personal(void **state)
{
	(void)state;
	/* With nothing configured at all it is the site's. */
	assert_ptr_equal(
	    licences_find(&all, NOBODY, S("a.example"), 1000), &all.personal);
	assert_ptr_equal(
	    licences_find(&all, S(""), NOBODY, INT64_MAX - 1), &all.personal);
	assert_ptr_equal(
	    licences_find(&all, S(ONE), NOBODY, 1000), &all.personal);
	/* Beside licences only if it has keys. */
	(void)add(S(ONE));
	assert_null(licences_find(&all, NOBODY, NOBODY, 1000));
	all.personal.keys = some_keys();
	assert_ptr_equal(
	    licences_find(&all, NOBODY, NOBODY, 1000), &all.personal);
}

static void
test_by_client_id(void **state)
{
	struct licence *one = add(S(ONE)), *two = add(S(TWO));

	(void)state;
	assert_string_equal(two->client_id, TWO);
	assert_ptr_equal(all.shared, one);
	assert_ptr_equal(one->next, two);
	assert_ptr_equal(licences_find(&all, S(ONE), NOBODY, 1000), one);
	assert_ptr_equal(licences_find(&all, S(TWO), NOBODY, 1000), two);
	assert_ptr_equal(
	    licences_find(
		&all, S("0123456789ABCDEF0123456789aBcDeF"), NOBODY, 1000),
	    one);
	assert_null(licences_find(&all, S(ONE "0"), NOBODY, 1000));
	assert_null(
	    licences_find(&all, (struct slice){ ONE, 31 }, NOBODY, 1000));
	assert_null(licences_find(&all, S("\0"), NOBODY, 1000));
	assert_null(licences_find(&all, S(ONE "\0"), NOBODY, 1000));
}

static void
test_client_ids(void **state)
{
	static const char *const wrong[] = { "", "abc",
		"0123456789abcdef0123456789abcde",
		"0123456789abcdef0123456789abcde/",
		"0123456789abcdef0123456789abcde.",
		"0123456789abcdef0123456789abcde\x80", SIXTY_FOUR "0" };
	struct licence *l = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		if (licences_add(&all,
			(struct slice){ wrong[i], strlen(wrong[i]) },
			&l) != ERR_CONFIG)
			fail_msg("taken: \"%s\"", wrong[i]);
	}
	assert_int_equal(
	    licences_add(&all, S("0123456789abcdef0123456789abcd\0f"), &l),
	    ERR_CONFIG);
	assert_null(l);
	assert_null(all.shared);
	(void)add(S(ONE));
	(void)add(S(ONE ONE));
	assert_int_equal(licences_add(&all, S(ONE), &l), ERR_EXISTS);
	assert_int_equal(
	    licences_add(&all, S("0123456789ABCDEF0123456789ABCDEF"), &l),
	    ERR_EXISTS);
}

static void
test_hosts(void **state)
{
	struct licence *l = add(S(ONE));
	static const struct {
		struct slice host;
		bool found;
	} cases[] = {
		{ SLICE_INIT("a.example"), true },
		{ SLICE_INIT("A.Example"), true },
		{ SLICE_INIT("a.example:8893"), true },
		{ SLICE_INIT("a.example:"), true },
		{ SLICE_INIT("[::1]"), true },
		{ SLICE_INIT("[::1]:443"), true },
		{ { NULL, 0 }, false },
		{ SLICE_INIT(""), false },
		{ SLICE_INIT(":80"), false },
		{ SLICE_INIT("b.example"), false },
		{ SLICE_INIT("x.a.example"), false },
		{ SLICE_INIT("a.example.org"), false },
		{ SLICE_INIT("a.example\0.org"), false },
		{ SLICE_INIT("[::1"), false },
		{ SLICE_INIT("::1"), false },
		{ SLICE_INIT("[::2]"), false },
	};

	(void)state;
	/* None named: any. */
	assert_ptr_equal(licences_find(&all, S(ONE), S("x"), 1000), l);
	assert_int_equal(licence_add_host(l, S("a.example")), 0);
	assert_int_equal(licence_add_host(l, S("[::1]")), 0);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		if ((licences_find(&all, S(ONE), cases[i].host, 1000) == l) !=
		    cases[i].found)
			fail_msg("case %zu: %s", i, cases[i].host.ptr);
	}
}

static void
test_wrong_hosts(void **state)
{
	static const struct slice wrong[] = { SLICE_INIT(""),
		SLICE_INIT("a.example:80"), SLICE_INIT("http://a.example"),
		SLICE_INIT("a b"), SLICE_INIT("::1"), SLICE_INIT("a\0b"),
		SLICE_INIT("\xd0\xb0.example") };
	struct licence *l = add(S(ONE));

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		if (licence_add_host(l, wrong[i]) != ERR_CONFIG)
			fail_msg("taken: %s", wrong[i].ptr);
	}
	assert_int_equal(l->n_hosts, 0);
}

static void
test_validity(void **state)
{
	struct licence *l = add(S(ONE));

	(void)state;
	l->valid_until = 5000;
	assert_ptr_equal(licences_find(&all, S(ONE), NOBODY, 4999), l);
	assert_null(licences_find(&all, S(ONE), NOBODY, 5000));
	assert_null(licences_find(&all, S(ONE), NOBODY, 5001));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_personal),
		TEST(test_by_client_id),
		TEST(test_client_ids),
		TEST(test_hosts),
		TEST(test_wrong_hosts),
		TEST(test_validity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
