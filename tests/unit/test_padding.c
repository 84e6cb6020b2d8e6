/*
 * tests/unit/test_padding.c - too little padding and a browser shows nothing;
 * a pattern that runs for ever and everybody waits for one user agent.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "api/padding.h"
#include "base/clock.h"
#include "tests/unit/slow.h"

#define S(text) ((struct slice){ text, sizeof(text) - 1 })

static char why[SETTINGS_WHY_SIZE];

static struct padding *
padding(const char *text)
{
	struct padding *p;

	why[0] = '\0';
	assert_int_equal(padding_new(text, &p, why), 0);
	assert_non_null(p);
	return p;
}

static void
assert_finds(
    const char *text, struct slice agent, uint32_t header, uint32_t message)
{
	struct padding *p = padding(text);
	struct padding_min min = padding_find(p, agent);

	assert_int_equal(min.header, header);
	assert_int_equal(min.message, message);
	padding_free(&p);
	assert_null(p);
}

static void
assert_wrong(const char *text, const char *says)
{
	struct padding *p;

	why[0] = '\0';
	assert_int_equal(padding_new(text, &p, why), ERR_CONFIG);
	assert_null(p);
	if (strstr(why, says) == NULL)
		fail_msg("\"%s\": \"%s\"", text, why);
}

/* The first pattern that is found anywhere in the agent, case and all. */
static void
test_find(void **state)
{
	static const char module[] =
	    "[A|a]ndroid 2,4097,4097:[S|s]afari,1025,0";

	(void)state;
	assert_finds(
	    module, S("Mozilla (Linux; Android 2.3) Safari"), 4097, 4097);
	assert_finds(module, S("Mozilla Safari/604"), 1025, 0);
	assert_finds(module, S("Mozilla SAFARI"), 0, 0);
	assert_finds(module, S(""), 0, 0);
	assert_finds(".*,1,2", S(""), 0, 0);
	assert_finds(".*,1,2", S("x"), 1, 2);
}

/* A pattern may contain what separates groups. */
static void
test_groups(void **state)
{
	(void)state;
	assert_finds("^(?:a|b),5,6", S("b"), 5, 6);
	assert_finds("a{2,3},5,6", S("aa"), 5, 6);
	assert_finds("x,1,2:a{2,3}$,5,6", S("aa"), 5, 6);
	assert_finds("a,1,2,3", S("a,1"), 2, 3);
}

static void
test_wrong(void **state)
{
	struct padding *p;

	(void)state;
	assert_int_equal(padding_new("", &p, why), 0);
	assert_null(p);
	assert_wrong("x", "not match");
	assert_wrong("x,1", "not match");
	assert_wrong("x,1,", "not match");
	assert_wrong("x,1,2x", "not match");
	assert_wrong(",1,2", "not match");
	assert_wrong("x,1,2:", "not match");
	assert_wrong("x,-1,2", "not match");
	assert_wrong("x,65537,2", "65536");
	assert_wrong("x,2,99999999999999999999", "65536");
	assert_wrong("a,1,2:b(,1,2", "\"b(\"");
	assert_wrong("b(,1,2", "at offset 2");
	assert_finds("x,65536,65536", S("x"), 65536, 65536);
}

/* Steps of 100; the last is the largest minimum. */
static void
test_lengths(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		uint32_t min;
		size_t want; /* 0: none */
	} cases[] = {
		{ "x,0,777", 293, 777, 500 },
		{ "x,0,777", 10, 777, 777 },
		{ "x,0,777", 0, 777, 777 },
		{ "x,0,777", 77, 777, 777 },
		{ "x,0,777", 78, 777, 700 },
		{ "x,0,777", 776, 777, 100 },
		{ "x,0,777", 777, 777, 0 },
		{ "x,0,777", 778, 777, 0 },
		{ "x,0,777", 0, 0, 0 },
		{ "x,0,800", 0, 800, 800 },
		{ "x,0,800", 1, 800, 800 },
		{ "x,0,800", 100, 800, 800 },
		{ "x,0,800", 101, 800, 700 },
		{ "x,0,50", 0, 50, 50 },
		{ "x,0,50:y,777,0", 0, 50, 100 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct padding *p = padding(cases[i].text);
		struct payload *fill = padding_make(
		    p, FRAMING_PLAIN, COMPAT_0_6_0, cases[i].len, cases[i].min);

		assert_int_equal(fill != NULL ? fill->len : 0, cases[i].want);
		payload_unref(&fill);
		padding_free(&p);
	}
	assert_null(padding_make(NULL, FRAMING_PLAIN, COMPAT_0_6_0, 0, 100));
}

static void
test_content(void **state)
{
	static const struct {
		enum framing framing;
		enum compat compat;
		const char *want;
	} cases[] = {
		{ FRAMING_PLAIN, COMPAT_0_6_0, "\n\r\n\r\n" },
		{ FRAMING_PLAIN, COMPAT_0_4_0, "\n\r\n\r\n" },
		{ FRAMING_EVENTSOURCE, COMPAT_0_6_0, "::::\n" },
		{ FRAMING_EVENTSOURCE, COMPAT_0_4_0, "::::\n" },
		{ FRAMING_PLAIN, COMPAT_0_3_4, "   \r\n" },
		{ FRAMING_EVENTSOURCE, COMPAT_0_3_4, "   \r\n" },
	};
	struct padding *p = padding("x,1,5");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct payload *fill =
		    padding_make(p, cases[i].framing, cases[i].compat, 0, 5);

		assert_non_null(fill);
		assert_int_equal(fill->len, 5);
		assert_memory_equal(fill->data, cases[i].want, 5);
		payload_unref(&fill);
	}
	assert_null(padding_make(p, FRAMING_WEBSOCKET, COMPAT_0_6_0, 0, 5));
	padding_free(&p);
	/* The shortest there can be. */
	p = padding("x,1,1");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct payload *fill =
		    padding_make(p, cases[i].framing, cases[i].compat, 0, 1);

		assert_non_null(fill);
		assert_int_equal(fill->len, 1);
		assert_int_equal(fill->data[0], '\n');
		payload_unref(&fill);
	}
	padding_free(&p);
}

/* A message's readers need the same padding. */
static void
test_shared(void **state)
{
	struct padding *p = padding("x,1,777");
	struct payload *a, *b, *c;

	(void)state;
	a = padding_make(p, FRAMING_PLAIN, COMPAT_0_6_0, 293, 777);
	b = padding_make(p, FRAMING_PLAIN, COMPAT_0_6_0, 294, 777);
	c = padding_make(p, FRAMING_PLAIN, COMPAT_0_6_0, 10, 777);
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	/* They outlive their location. */
	padding_free(&p);
	assert_int_equal(a->len, 500);
	assert_int_equal(c->len, 777);
	payload_unref(&a);
	payload_unref(&b);
	payload_unref(&c);
}

/* A user agent made for a pattern that backtracks must not hold up the loop,
 * and of a long one only the start is looked at. */
static void
test_hostile_agent(void **state)
{
	static char agent[1 << 20];
	struct padding *p = padding("(a|aa|a+)+$,1,2:(?:a?){30}a{30}!!,3,4");
	struct padding_min min;
	uint64_t start = clock_mono_ms();

	(void)state;
	memset(agent, 'a', sizeof(agent));
	agent[1000] = '!';
	for (int i = 0; i < 50; i++) {
		min = padding_find(p, (struct slice){ agent, sizeof(agent) });
		assert_int_equal(min.header, 0);
	}
	/* Each would take a tenth of a second with PCRE2's own limits. */
	assert_true(clock_mono_ms() - start < 2000 * slowness());
	padding_free(&p);
	memset(agent, 'a', sizeof(agent));
	agent[1023] = 'x';
	agent[1024] = 'y';
	p = padding("y,1,2:x$,3,4");
	min = padding_find(p, (struct slice){ agent, sizeof(agent) });
	assert_int_equal(min.header, 3);
	padding_free(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_content),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_hostile_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
