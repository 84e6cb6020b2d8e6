/*
 * tests/unit/test_path.c - "a/b.b3" names channels for publishers and readers
 * alike; read differently from the module, a site's messages go astray.  The
 * cases are those of push-stream.md sections 5.1 and 5.2.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/path.h"

static struct path path;

/* "id(backtrack)" of each channel, separated by blanks. */
static const char *
parsed(const char *text)
{
	static char out[512];
	size_t at = 0;

	assert_int_equal(
	    path_parse((struct slice){ text, strlen(text) }, &path), 0);
	out[0] = '\0';
	for (uint32_t i = 0; i < path.n; i++) {
		const struct path_item *it = &path.item[i];

		at += (size_t)snprintf(out + at, sizeof(out) - at, "%s%.*s(%u)",
		    i != 0 ? " " : "", (int)it->id.len, it->id.ptr,
		    it->backtrack);
	}
	return out;
}

static void
test_grammar(void **state)
{
	static const char *const table[][2] = {
		{ "a", "a(0)" },
		{ "a.b3/b/c.b1", "a(3) b(0) c(1)" },
		{ "a/", "a(0)" },
		{ "/a", "(0) a(0)" },
		{ "a//b", "a(0) (0) b(0)" },
		{ "/", "(0)" },
		{ ".b5", "(5)" },
		{ "a.b", "a.b(0)" },
		{ "a.bx", "a.bx(0)" },
		{ "a.b1.b2", "a.b1(2)" },
		{ "a.b0", "a(0)" },
		{ "a.b99999999999999999999", "a(4294967295)" },
		{ "", "" },
		{ "x/x", "x(0) x(0)" },
		/* and their neighbours */
		{ "a.b3/", "a(3)" },
		{ ".b5/", "(5)" },
		{ "//", "(0) (0)" },
		{ "a.b3x", "a.b3x(0)" },
		{ "a.B3", "a.B3(0)" },
		{ "ab3", "ab3(0)" },
		{ "b3", "b3(0)" },
		{ "3", "3(0)" },
		{ ".3", ".3(0)" },
		{ "a.b007", "a(7)" },
		{ "a.b4294967294", "a(4294967294)" },
		{ "a.b4294967295", "a(4294967295)" },
		{ "a.b4294967296", "a(4294967295)" },
		{ "a.b-1", "a.b-1(0)" },
		{ "a.b.b2", "a.b(2)" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++)
		assert_string_equal(parsed(table[i][0]), table[i][1]);
}

/* Ids are bytes: a NUL is one of them. */
static void
test_bytes(void **state)
{
	static const char text[] = "a\0b.b2/\xff";

	(void)state;
	assert_int_equal(
	    path_parse((struct slice){ text, sizeof(text) - 1 }, &path), 0);
	assert_int_equal(path.n, 2);
	assert_int_equal(path.item[0].id.len, 3);
	assert_memory_equal(path.item[0].id.ptr, "a\0b", 3);
	assert_int_equal(path.item[0].backtrack, 2);
	assert_true(slice_is(path.item[1].id, "\xff"));
}

/* 0.3.4's publishers and statistics: slashes and all are the id. */
static void
test_single(void **state)
{
	static const char text[] = "/a.b3/b\0/.b1";

	(void)state;
	path_single((struct slice){ text, sizeof(text) - 1 }, &path);
	assert_int_equal(path.n, 1);
	assert_ptr_equal(path.item[0].id.ptr, text);
	assert_int_equal(path.item[0].id.len, sizeof(text) - 1);
	assert_int_equal(path.item[0].backtrack, 0);
	path_single((struct slice){ text, 0 }, &path);
	assert_int_equal(path.n, 0);
}

/* A request names at most so many channels, and then hears about it. */
static void
test_too_many(void **state)
{
	static char text[2 * PATH_CHANNELS_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i += 2) {
		text[i] = 'x';
		text[i + 1] = '/';
	}
	assert_int_equal(
	    path_parse((struct slice){ text, 2 * PATH_CHANNELS_MAX }, &path),
	    0);
	assert_int_equal(path.n, PATH_CHANNELS_MAX);
	assert_int_equal(
	    path_parse(
		(struct slice){ text, 2 * PATH_CHANNELS_MAX + 1 }, &path),
	    ERR_TOOBIG);
}

static void
assert_decodes(const char *text, size_t len, const char *want, size_t want_len)
{
	struct buf b;

	buf_init(&b, 1024);
	assert_int_equal(path_decode((struct slice){ text, len }, &b), 0);
	if (b.len != want_len ||
	    (b.len != 0 && memcmp(b.data, want, want_len) != 0))
		fail_msg("\"%s\" became \"%.*s\", not \"%s\"", text, (int)b.len,
		    b.data, want);
	buf_release(&b);
}

static void
test_decoding(void **state)
{
	static const char *const table[][2] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "a+b", "a+b" },
		{ "a%20b", "a b" },
		{ "a%2Fb", "a/b" },
		{ "a%2fb", "a/b" },
		{ "%2525", "%25" },
		{ "%C3%A4", "\xc3\xa4" },
		{ "a%zzb", "azzb" },
		{ "a%4zb", "ab" },
		{ "%", "" },
		{ "a%", "a" },
		{ "a%4", "a" },
		{ "a%3Fb", "a?" },
		{ "a%3fb", "a?" },
		{ "a?b", "a?b" },
		{ "a?b%41", "a?b%41" },
		{ "%41?b", "A?" },
		{ "%41%3Fb", "A?" },
		{ "a%z?b", "az?" },
		/* What follows a '%' in vain is taken as it is. */
		{ "%%41", "%41" },
		{ "%%%41", "%A" },
		{ "%?b", "?b" },
		{ "a%/b", "a/b" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++)
		assert_decodes(table[i][0], strlen(table[i][0]), table[i][1],
		    strlen(table[i][1]));
	assert_decodes("a%00b", 5, "a\0b", 3);
	assert_decodes("a\0%41", 5, "a\0A", 3);
}

/* It appends, and does so within the bound of its buffer. */
static void
test_decoding_appends(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 8);
	assert_int_equal(buf_text(&b, "%41"), 0);
	assert_int_equal(path_decode((struct slice){ "x?y", 3 }, &b), 0);
	assert_int_equal(b.len, 6);
	assert_memory_equal(b.data, "%41x?y", 6);
	assert_int_equal(
	    path_decode((struct slice){ "0123456789", 10 }, &b), ERR_TOOBIG);
	assert_int_equal(b.len, 6);
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_single),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_decoding),
		cmocka_unit_test(test_decoding_appends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
