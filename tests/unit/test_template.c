/*
 * tests/unit/test_template.c - clients parse what a template makes of a
 * message.  Looking into values again would let one user's text forge the
 * fields of a message (push-stream.md section 9.1).
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "api/template.h"

#define S(text) ((struct slice){ text, sizeof(text) - 1 })

static const struct template_values values = {
	.id = 1,
	.channel = { "st1", 3 },
	.text = { "hi ~tag~ \"x\"", 12 },
	.event_id = { "eid7", 4 },
	.event_type = { "et9", 3 },
	.tag = 1,
	.time_s = 1795373494,
};

static void
assert_renders(const char *text, enum compat compat,
    const struct template_values *v, struct slice want)
{
	struct template *t = template_new(text, compat);
	struct buf b;

	assert_non_null(t);
	buf_init(&b, 4096);
	assert_int_equal(template_render(t, v, &b), 0);
	if (b.len != want.len ||
	    (b.len != 0 && memcmp(b.data, want.ptr, b.len) != 0))
		fail_msg("\"%s\" made \"%.*s\"", text, (int)b.len, b.data);
	buf_release(&b);
	template_free(&t);
	assert_null(t);
}

/* The module's own example, values not looked into again. */
static void
test_all_placeholders(void **state)
{
	static const char all[] = "{~id~|~channel~|~text~|~tag~|~time~|"
				  "~event-id~|~event-type~|~size~}\r\n";

	(void)state;
	assert_renders(all, COMPAT_0_6_0, &values,
	    S("{1|st1|hi ~tag~ \"x\"|1|Sun, 22 Nov 2026 18:51:34 GMT|eid7|et9|"
	      "12}\r\n"));
	assert_renders("~text~", COMPAT_0_4_0, &values, S("hi ~tag~ \"x\""));
}

/* Deleted and timed out: negative ids, no channel, the epoch. */
static void
test_special_messages(void **state)
{
	static const char all[] = "{~id~|~channel~|~text~|~tag~|~time~|"
				  "~event-id~|~event-type~|~size~}";
	struct template_values v = { .id = MESSAGE_ID_DELETED,
		.channel = S("st1"),
		.text = S("Channel deleted") };

	(void)state;
	assert_renders(all, COMPAT_0_6_0, &v,
	    S("{-2|st1|Channel deleted|0|"
	      "Thu, 01 Jan 1970 00:00:00 GMT|||15}"));
	v.id = MESSAGE_ID_TIMED_OUT;
	v.channel = S("");
	v.text = S("Timed out");
	assert_renders(all, COMPAT_0_6_0, &v,
	    S("{-3||Timed out|0|"
	      "Thu, 01 Jan 1970 00:00:00 GMT|||9}"));
}

/* Case is ignored since 0.5.0, ~size~ is known since 0.5.2. */
static void
test_versions(void **state)
{
	(void)state;
	assert_renders(
	    "~TEXT~~Id~", COMPAT_0_6_0, &values, S("hi ~tag~ \"x\"1"));
	assert_renders("~TEXT~~id~", COMPAT_0_4_0, &values, S("~TEXT~1"));
	assert_renders("~size~", COMPAT_0_6_0, &values, S("12"));
	assert_renders("~size~", COMPAT_0_4_0, &values, S("~size~"));
}

static void
test_what_is_no_placeholder(void **state)
{
	(void)state;
	assert_renders("", COMPAT_0_6_0, &values, S(""));
	assert_renders("literal", COMPAT_0_6_0, &values, S("literal"));
	assert_renders("~x~ ~ ~~", COMPAT_0_6_0, &values, S("~x~ ~ ~~"));
	assert_renders("~~id~~", COMPAT_0_6_0, &values, S("~1~"));
	assert_renders("~id", COMPAT_0_6_0, &values, S("~id"));
	assert_renders("~id ~id~", COMPAT_0_6_0, &values, S("~id 1"));
	assert_renders("~tag~id~", COMPAT_0_6_0, &values, S("1id~"));
	assert_renders("~text~~text~", COMPAT_0_6_0, &values,
	    S("hi ~tag~ \"x\"hi ~tag~ \"x\""));
}

/* Not given: nothing stands there. */
static void
test_absent(void **state)
{
	struct template_values v = values;

	(void)state;
	v.event_id = v.event_type = v.channel = (struct slice){ NULL, 0 };
	assert_renders("<~event-id~|~event-type~|~channel~|~tag~>",
	    COMPAT_0_6_0, &v, S("<|||1>"));
}

/* Bodies are bytes. */
static void
test_binary(void **state)
{
	struct template_values v = values;

	(void)state;
	v.text = S("a\0b\xff");
	assert_renders("<~text~|~size~>", COMPAT_0_6_0, &v, S("<a\0b\xff|4>"));
}

/* An answer that would pass its bound is an error, not a short answer. */
static void
test_bound(void **state)
{
	struct template *t = template_new("~text~~text~", COMPAT_0_6_0);
	struct buf b;

	(void)state;
	assert_non_null(t);
	buf_init(&b, 23);
	assert_int_equal(template_render(t, &values, &b), ERR_TOOBIG);
	buf_release(&b);
	template_free(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_placeholders),
		cmocka_unit_test(test_special_messages),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_what_is_no_placeholder),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
