/*
 * tests/unit/test_ws.c - browsers speak WebSocket to us through whatever lies
 * between, in any cut; a frame misread is a message lost, and one believed too
 * early is memory for whoever asks.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/ws.h"
#include "auth/accept.h"

#define S(text) ((struct slice){ text, sizeof(text) - 1 })
#define MAX_MESSAGE 70000

static char large[MAX_MESSAGE + 1];

/* What a reader said, as text: "TEXT(Hello) CLOSE:1000(...)". */
static struct buf said;

static void
say(const char *name, uint16_t code, struct slice data)
{
	int err = buf_text(&said, name);

	if (err == 0 && code != 0)
		err = buf_printf(&said, ":%u", code);
	if (err == 0)
		err = buf_text(&said, "(");
	if (err == 0)
		err = buf_append(&said, data.ptr, data.len);
	if (err == 0)
		err = buf_text(&said, ")");
	assert_int_equal(err, 0);
}

/* Reads all of it, and says whether it may go on. */
static bool
read_part(struct ws_reader *r, struct slice part)
{
	static const char *const names[] = { [WS_TEXT] = "TEXT",
		[WS_BINARY] = "BINARY",
		[WS_PING] = "PING",
		[WS_PONG] = "PONG",
		[WS_CLOSE] = "CLOSE",
		[WS_BAD] = "BAD" };
	struct slice data;
	uint16_t code;

	for (;;) {
		enum ws_event event = ws_read(r, &part, &data, &code);

		if (event == WS_MORE) {
			assert_int_equal(part.len, 0);
			return true;
		}
		say(names[event], code,
		    event == WS_BAD ? (struct slice){ "", 0 } : data);
		if (event == WS_CLOSE || event == WS_BAD)
			return false;
	}
}

static const char *
said_text(void)
{
	assert_int_equal(buf_append(&said, "", 1), 0);
	return said.data;
}

static void
assert_reads(struct slice bytes, bool require_mask, const char *want)
{
	struct ws_reader r;

	buf_clear(&said);
	ws_reader_init(&r, MAX_MESSAGE, require_mask);
	(void)read_part(&r, bytes);
	assert_string_equal(said_text(), want);
	ws_reader_release(&r);
}

/* A stream of frames. */
struct stream {
	struct buf b;
};

static void
add(struct stream *s, struct slice bytes)
{
	assert_int_equal(buf_append(&s->b, bytes.ptr, bytes.len), 0);
}

/* One frame as a browser sends it. */
static void
add_masked(struct stream *s, unsigned first, struct slice payload)
{
	static const uint8_t mask[] = { 0x37, 0xfa, 0x21, 0x3d };
	uint8_t head[WS_HEAD_MAX];
	size_t len = ws_head(head, WS_OP_TEXT, payload.len), at = s->b.len;

	head[0] = (uint8_t)first;
	head[1] |= 0x80;
	add(s, (struct slice){ (const char *)head, len });
	add(s, (struct slice){ (const char *)mask, sizeof(mask) });
	add(s, payload);
	at += len + sizeof(mask);
	for (size_t i = 0; i < payload.len; i++)
		s->b.data[at + i] = (char)(s->b.data[at + i] ^ mask[i % 4]);
}

static struct slice
stream_bytes(const struct stream *s)
{
	return (struct slice){ s->b.data, s->b.len };
}

static int
setup(void **state)
{
	(void)state;
	memset(large, 'x', sizeof(large));
	buf_init(&said, 4 * MAX_MESSAGE);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	buf_release(&said);
	return 0;
}

/* RFC 6455 section 5.7, byte for byte. */
static void
test_examples(void **state)
{
	static const char masked[] = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d"
				     "\x51\x58";
	struct stream s;

	(void)state;
	assert_reads(S("\x81\x05Hello"), false, "TEXT(Hello)");
	assert_reads(S(masked), true, "TEXT(Hello)");
	assert_reads(S("\x01\x03Hel\x80\x02lo"), false, "TEXT(Hello)");
	assert_reads(S("\x89\x05Hello"), false, "PING(Hello)");
	assert_reads(S("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), true,
	    "PONG(Hello)");

	buf_init(&s.b, 2 * MAX_MESSAGE);
	add(&s, S("\x82\x7e\x01\x00"));
	add(&s, (struct slice){ large, 256 });
	add(&s, S("\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"));
	add(&s, (struct slice){ large, 65536 });
	buf_clear(&said);
	{
		struct ws_reader r;

		ws_reader_init(&r, MAX_MESSAGE, false);
		assert_true(read_part(&r, stream_bytes(&s)));
		assert_int_equal(said.len, 2 * 8 + 256 + 65536);
		ws_reader_release(&r);
	}
	buf_release(&s.b);
}

/* RFC 6455 section 1.3. */
static void
test_accept(void **state)
{
	char out[ACCEPT_KEY_SIZE];

	(void)state;
	assert_true(accept_key(S("dGhlIHNhbXBsZSBub25jZQ=="), out));
	assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	assert_true(accept_key(S(""), out));
	assert_int_equal(strlen(out), ACCEPT_KEY_SIZE - 1);
}

static void
test_heads(void **state)
{
	static const struct {
		uint64_t len;
		struct slice head;
	} cases[] = {
		{ 0, SLICE_INIT("\x81\x00") },
		{ 125, SLICE_INIT("\x81\x7d") },
		{ 126, SLICE_INIT("\x81\x7e\x00\x7e") },
		{ 65535, SLICE_INIT("\x81\x7e\xff\xff") },
		{ 65536, SLICE_INIT("\x81\x7f\0\0\0\0\0\x01\0\0") },
		{ UINT64_C(0x0102030405060708),
		    SLICE_INIT("\x81\x7f\x01\x02\x03\x04\x05\x06\x07\x08") },
	};
	uint8_t head[WS_HEAD_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(
		    ws_head(head, WS_OP_TEXT, cases[i].len), cases[i].head.len);
		assert_memory_equal(head, cases[i].head.ptr, cases[i].head.len);
	}
	assert_int_equal(ws_head(head, WS_OP_PING, 0), 2);
	assert_memory_equal(head, "\x89\x00", 2);
}

/* Everything there is in one stream; what is read must not depend on where a
 * read ends, and every byte must be right in each place. */
static void
test_every_split(void **state)
{
	static const char want[] =
	    "TEXT(one) BINARY(\xff\xfe) PING(p1) TEXT(caf\xc3\xa9 \xf0\x9f\x98"
	    "\x80!) PONG() TEXT() CLOSE:1000(\x03\xe8"
	    "bye)";
	struct stream s;
	struct buf all;

	(void)state;
	buf_init(&s.b, 4096);
	buf_init(&all, 4096);
	add_masked(&s, 0x81, S("one"));
	add_masked(&s, 0x82, S("\xff\xfe"));
	add_masked(&s, 0x01, S("caf\xc3"));
	add_masked(&s, 0x89, S("p1"));
	add_masked(&s, 0x00, S(""));
	add_masked(&s, 0x00, S("\xa9 \xf0\x9f"));
	add_masked(&s, 0x80, S("\x98\x80!"));
	add(&s, S("\x8a\x00"));
	add_masked(&s, 0x81, S(""));
	add_masked(&s, 0x88,
	    S("\x03\xe8"
	      "bye"));
	for (const char *p = want; *p != '\0'; p++) {
		/* Blanks between events are for the eye. */
		if (*p != ' ' || p[-1] != ')')
			assert_int_equal(buf_append(&all, p, 1), 0);
	}
	for (size_t a = 0; a <= s.b.len; a++) {
		for (size_t b = a; b <= s.b.len; b++) {
			struct ws_reader r;

			buf_clear(&said);
			ws_reader_init(&r, MAX_MESSAGE, false);
			(void)(read_part(&r, (struct slice){ s.b.data, a }) &&
			    read_part(
				&r, (struct slice){ s.b.data + a, b - a }) &&
			    read_part(&r,
				(struct slice){ s.b.data + b, s.b.len - b }));
			assert_int_equal(said.len, all.len);
			assert_memory_equal(said.data, all.data, all.len);
			ws_reader_release(&r);
		}
	}
	buf_release(&s.b);
	buf_release(&all);
}

/* What is wrong, and with which code it must end.  "Early" inputs are cut
 * where the fault can be known: nobody may be made to wait for the rest. */
static void
test_bad_frames(void **state)
{
	static const struct {
		const char *what;
		struct slice bytes;
		const char *said;
	} cases[] = {
		{ "RSV1", SLICE_INIT("\xc1"), "BAD:1002()" },
		{ "RSV2", SLICE_INIT("\xa1"), "BAD:1002()" },
		{ "RSV3", SLICE_INIT("\x91"), "BAD:1002()" },
		{ "opcode 3", SLICE_INIT("\x83"), "BAD:1002()" },
		{ "opcode 7", SLICE_INIT("\x87"), "BAD:1002()" },
		{ "opcode 11", SLICE_INIT("\x8b"), "BAD:1002()" },
		{ "opcode 15", SLICE_INIT("\x8f"), "BAD:1002()" },
		{ "ping cut in fragments", SLICE_INIT("\x09"), "BAD:1002()" },
		{ "close cut in fragments", SLICE_INIT("\x08"), "BAD:1002()" },
		{ "ping of 126", SLICE_INIT("\x89\x7e"), "BAD:1002()" },
		{ "close of 64 bits", SLICE_INIT("\x88\xff"), "BAD:1002()" },
		{ "continues nothing", SLICE_INIT("\x80"), "BAD:1002()" },
		{ "continues what ended", SLICE_INIT("\x81\x01x\x80"),
		    "TEXT(x)BAD:1002()" },
		{ "text in text", SLICE_INIT("\x01\x01x\x81"), "BAD:1002()" },
		{ "binary in text", SLICE_INIT("\x01\x01x\x02"), "BAD:1002()" },
		{ "125 in 16 bits", SLICE_INIT("\x81\x7e\x00\x7d"),
		    "BAD:1002()" },
		{ "65535 in 64 bits",
		    SLICE_INIT("\x81\x7f\0\0\0\0\0\0\xff\xff"), "BAD:1002()" },
		{ "top bit", SLICE_INIT("\x81\x7f\x80\0\0\0\0\x01\0\0"),
		    "BAD:1002()" },
		{ "over the bound",
		    SLICE_INIT("\x81\x7f\0\0\0\0\0\x01\x11\x71"),
		    "BAD:1009()" },
		{ "far over it",
		    SLICE_INIT("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"),
		    "BAD:1009()" },
		{ "no UTF-8", SLICE_INIT("\x81\x05\xff"), "BAD:1007()" },
		{ "a lone tail", SLICE_INIT("\x81\x05\x80"), "BAD:1007()" },
		{ "too long a form, C0", SLICE_INIT("\x81\x05\xc0"),
		    "BAD:1007()" },
		{ "too long a form, C1", SLICE_INIT("\x81\x05\xc1"),
		    "BAD:1007()" },
		{ "too long a form, E0", SLICE_INIT("\x81\x05\xe0\x9f"),
		    "BAD:1007()" },
		{ "too long a form, F0", SLICE_INIT("\x81\x05\xf0\x8f"),
		    "BAD:1007()" },
		{ "a surrogate", SLICE_INIT("\x81\x05\xed\xa0"), "BAD:1007()" },
		{ "beyond U+10FFFF", SLICE_INIT("\x81\x05\xf4\x90"),
		    "BAD:1007()" },
		{ "F5", SLICE_INIT("\x81\x05\xf5"), "BAD:1007()" },
		{ "a tail missing", SLICE_INIT("\x81\x05\xe2\x82x"),
		    "BAD:1007()" },
		{ "a character cut by the end", SLICE_INIT("\x81\x02\xe2\x82"),
		    "BAD:1007()" },
		{ "in the second fragment",
		    SLICE_INIT("\x01\x01\xe2\x00\x04\x28"), "BAD:1007()" },
		{ "a close of one byte", SLICE_INIT("\x88\x01\x03"),
		    "BAD:1002()" },
		{ "a reason that is no text",
		    SLICE_INIT("\x88\x03\x03\xe8\xff"), "BAD:1007()" },
		{ "a reason that is cut",
		    SLICE_INIT("\x88\x04\x03\xe8\xe2\x82"), "BAD:1007()" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		print_message("# %s\n", cases[i].what);
		assert_reads(cases[i].bytes, false, cases[i].said);
	}
}

static void
test_close_codes(void **state)
{
	static const struct {
		uint16_t from, to;
	} valid[] = { { 1000, 1003 }, { 1007, 1014 }, { 3000, 4999 } };

	(void)state;
	assert_reads(S("\x88\x00"), false, "CLOSE:1005()");
	for (unsigned code = 0; code <= UINT16_MAX; code++) {
		char frame[] = { (char)0x88, 2, (char)(code >> 8), (char)code };
		struct slice in = { frame, sizeof(frame) }, data;
		bool good = false;
		struct ws_reader r;
		uint16_t got;

		for (size_t i = 0; i < COUNT_OF(valid); i++)
			good = good ||
			    (code >= valid[i].from && code <= valid[i].to);
		ws_reader_init(&r, 0, false);
		assert_int_equal(
		    ws_read(&r, &in, &data, &got), good ? WS_CLOSE : WS_BAD);
		assert_int_equal(got, good ? code : WS_CLOSE_PROTOCOL);
		ws_reader_release(&r);
	}
}

/* A client behind us must mask; one through a gateway that we trust may not. */
static void
test_mask(void **state)
{
	(void)state;
	assert_reads(S("\x81\x05"), true, "BAD:1002()");
	assert_reads(S("\x89\x00"), true, "BAD:1002()");
	assert_reads(S("\x81\x00"), false, "TEXT()");
	assert_reads(S("\x81\x80\x01\x02\x03\x04"), true, "TEXT()");
}

/* The bound is of the whole message, not of its fragments, and control frames
 * do not count. */
static void
test_bound(void **state)
{
	struct ws_reader r;

	(void)state;
	ws_reader_init(&r, 5, false);
	buf_clear(&said);
	assert_true(read_part(&r,
	    S("\x81\x05"
	      "12345")));
	assert_true(read_part(&r,
	    S("\x01\x03"
	      "123")));
	assert_true(read_part(&r,
	    S("\x89\x06"
	      "pppppp")));
	assert_true(read_part(&r,
	    S("\x00\x02"
	      "45")));
	assert_false(read_part(&r, S("\x80\x01")));
	assert_string_equal(said_text(), "TEXT(12345)PING(pppppp)BAD:1009()");
	ws_reader_release(&r);
}

/* Announcing is free, so it must cost us nothing; and between messages a
 * connection holds nothing but its struct. */
static void
test_memory(void **state)
{
	struct ws_reader r;

	(void)state;
	ws_reader_init(&r, 1 << 30, false);
	buf_clear(&said);
	assert_true(read_part(&r,
	    S("\x82\x7f\0\0\0\0\x3f\xff\xff\xff"
	      "abc")));
	assert_true(r.message.cap < 1024);
	ws_reader_release(&r);

	ws_reader_init(&r, MAX_MESSAGE, false);
	assert_true(read_part(&r,
	    S("\x81\x03"
	      "abc"
	      "\x89\x01"
	      "p")));
	assert_null(r.message.data);
	assert_null(r.control);
	assert_true(read_part(&r,
	    S("\x81\x03"
	      "ab")));
	assert_non_null(r.message.data);
	ws_reader_release(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_bad_frames),
		cmocka_unit_test(test_close_codes),
		cmocka_unit_test(test_mask),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
