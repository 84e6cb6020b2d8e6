/*
 * tests/unit/test_utf8.c - one byte that is no UTF-8 makes browsers drop a
 * WebSocket, and JSON or XML unreadable: what is one, and what is shown
 * instead, is RFC 3629 to the byte.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/utf8.h"

#define BAD UTF8_REPLACEMENT
#define S(text) ((struct slice){ text, sizeof(text) - 1 })

/* As RFC 3629 defines it, said in another way than the code does. */
static size_t
length_of(const uint8_t *p, size_t len)
{
	static const struct {
		uint8_t low[4], high[4];
		size_t n;
	} forms[] = {
		{ { 0x00 }, { 0x7f }, 1 },
		{ { 0xc2, 0x80 }, { 0xdf, 0xbf }, 2 },
		{ { 0xe0, 0xa0, 0x80 }, { 0xe0, 0xbf, 0xbf }, 3 },
		{ { 0xe1, 0x80, 0x80 }, { 0xec, 0xbf, 0xbf }, 3 },
		{ { 0xed, 0x80, 0x80 }, { 0xed, 0x9f, 0xbf }, 3 },
		{ { 0xee, 0x80, 0x80 }, { 0xef, 0xbf, 0xbf }, 3 },
		{ { 0xf0, 0x90, 0x80, 0x80 }, { 0xf0, 0xbf, 0xbf, 0xbf }, 4 },
		{ { 0xf1, 0x80, 0x80, 0x80 }, { 0xf3, 0xbf, 0xbf, 0xbf }, 4 },
		{ { 0xf4, 0x80, 0x80, 0x80 }, { 0xf4, 0x8f, 0xbf, 0xbf }, 4 },
	};

	for (size_t f = 0; f < COUNT_OF(forms); f++) {
		size_t i = 0;

		while (i < forms[f].n && i < len && p[i] >= forms[f].low[i] &&
		    p[i] <= forms[f].high[i])
			i++;
		if (i == forms[f].n)
			return i;
	}
	return 0;
}

/* Every beginning of three bytes, and four with the edges of the last. */
static void
test_characters(void **state)
{
	static const uint8_t last[] = { 0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff };
	uint8_t p[4];

	(void)state;
	for (uint32_t n = 0; n < 1 << 24; n++) {
		p[0] = (uint8_t)(n >> 16);
		p[1] = (uint8_t)(n >> 8);
		p[2] = (uint8_t)n;
		if (p[0] < 0xf0 && n % 251 != 0) /* the long ones, and some */
			continue;
		for (size_t i = 0; i < sizeof(last); i++) {
			p[3] = last[i];
			for (size_t len = 1; len <= sizeof(p); len++)
				assert_int_equal(utf8_char((struct slice){
						     (const char *)p, len }),
				    length_of(p, len));
		}
	}
}

static void
test_codes(void **state)
{
	static const struct {
		const char *text;
		uint32_t code;
	} table[] = {
		{ "A", 'A' },
		{ "\xc3\xa4", 0xe4 },
		{ "\xe2\x80\xa8", 0x2028 },
		{ "\xf4\x8f\xbf\xbf", 0x10ffff },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		uint32_t code = 0;
		size_t len = strlen(table[i].text);

		assert_int_equal(
		    utf8_read((struct slice){ table[i].text, len }, &code),
		    len);
		assert_int_equal(code, table[i].code);
	}
}

/* The bad byte is found wherever it stands among eight that are read at
 * once. */
static void
test_good(void **state)
{
	char text[40];

	(void)state;
	assert_int_equal(utf8_good((struct slice){ NULL, 0 }), 0);
	for (size_t len = 1; len <= sizeof(text); len++) {
		memset(text, 'x', sizeof(text));
		assert_int_equal(utf8_good((struct slice){ text, len }), len);
		for (size_t at = 0; at < len; at++) {
			memset(text, 'x', sizeof(text));
			text[at] = '\xff';
			assert_int_equal(
			    utf8_good((struct slice){ text, len }), at);
			if (at + 2 > len)
				continue;
			memcpy(text + at, "\xc3\xa4", 2);
			assert_int_equal(
			    utf8_good((struct slice){ text, len }), len);
		}
	}
}

static void
assert_put(struct slice text, struct slice want)
{
	struct buf b;

	buf_init(&b, 100);
	assert_int_equal(utf8_put(&b, text), 0);
	assert_int_equal(b.len, want.len);
	assert_memory_equal(b.data, want.ptr, want.len);
	assert_int_equal(utf8_good((struct slice){ b.data, b.len }), b.len);
	buf_release(&b);
}

static void
test_put(void **state)
{
	struct buf b;

	(void)state;
	assert_put(S("plain, \0 and \xc3\xa4"), S("plain, \0 and \xc3\xa4"));
	assert_put(S("\xff"), S(BAD));
	assert_put(S("a\xe2\x82"), S("a" BAD BAD));
	assert_put(S("\xed\xa0\x80z"), S(BAD BAD BAD "z"));
	assert_put(S("12345678\xc0\xaf"), S("12345678" BAD BAD));
	buf_init(&b, 4);
	assert_int_equal(utf8_put(&b, S("ab\xff")), ERR_TOOBIG);
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_characters),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_put),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
