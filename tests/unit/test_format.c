/*
 * tests/unit/test_format.c - what every reader of a stream sees, byte for
 * byte; and the promise that a message is rendered once for all of them.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/format.h"
#include "base/msg.h"
#include "base/utf8.h"

#define S(text) ((struct slice){ text, sizeof(text) - 1 })
#define TIME 1763800000

static const struct format_key first_key = {
	.channel = 7, .id = 1, .cursor = (uint64_t)TIME << CURSOR_TAG_BITS | 12
};
static const struct template_values message = {
	.id = 1,
	.channel = { "st1", 3 },
	.text = { "hi", 2 },
	.tag = 12,
	.time_s = TIME,
};

static struct formats formats;
static struct settings s;
static uint64_t renders;
static struct limits limits;

static int
setup(void **state)
{
	(void)state;
	renders = 0;
	formats_init(&formats, &renders, &limits);
	return settings_init(&s);
}

static int
teardown(void **state)
{
	(void)state;
	/* It asserts that the tests left no format. */
	formats_release(&formats);
	settings_release(&s);
	return 0;
}

static void
set(const char *name, const char *value)
{
	char why[SETTINGS_WHY_SIZE];

	assert_int_equal(
	    settings_set(&s, (struct slice){ name, strlen(name) },
		(struct slice){ value, strlen(value) }, SETTINGS_GLOBAL, why),
	    0);
}

static struct format *
format(enum framing framing)
{
	struct format *f = NULL;

	assert_int_equal(format_get(&formats, &s, framing, &f), 0);
	assert_non_null(f);
	return f;
}

/* want.ptr == NULL: there is none. */
static void
assert_payload(const struct payload *p, struct slice want)
{
	if (want.ptr == NULL) {
		assert_null(p);
		return;
	}
	assert_non_null(p);
	if (p->len != want.len || memcmp(p->data, want.ptr, want.len) != 0)
		fail_msg("\"%.*s\" is not \"%.*s\"", (int)p->len, p->data,
		    (int)want.len, want.ptr);
}

static void
assert_message(
    struct format *f, const struct template_values *v, struct slice want)
{
	static int64_t id = 100;
	struct format_key key = first_key;
	struct payload *p;

	key.id = id++; /* never the message that was rendered last */
	p = format_message(f, &key, v);
	assert_payload(p, want);
	payload_unref(&p);
}

static void
assert_text(struct format *f, struct slice text, struct slice want)
{
	struct template_values v = message;

	v.text = text;
	assert_message(f, &v, want);
}

/* As the settings stand, everything a format has. */
static void
assert_looks(enum framing framing, struct slice header, struct slice text,
    struct slice ping, struct slice footer)
{
	struct format *f = format(framing);

	assert_payload(format_header(f), header);
	assert_message(f, &message, text);
	assert_payload(format_ping(f), ping);
	assert_payload(format_footer(f), footer);
	format_unref(&f);
	assert_null(f);
}

#define NONE ((struct slice){ NULL, 0 })

static void
test_plain(void **state)
{
	(void)state;
	assert_looks(FRAMING_PLAIN, NONE, S("hi"), S(" "), NONE);
	set("push_stream_header_template", "HDR ~text~\r\n");
	set("push_stream_footer_template", "FTR");
	set("push_stream_message_template",
	    "{~id~|~text~|~channel~|~tag~|~time~|~event-id~|~event-type~|"
	    "~size~}\r\n");
	assert_looks(FRAMING_PLAIN, S("HDR ~text~\r\n"),
	    S("{1|hi|st1|12|Sat, 22 Nov 2025 08:26:40 GMT|||2}\r\n"),
	    S("{-1| ||0|Thu, 01 Jan 1970 00:00:00 GMT|||1}\r\n"), S("FTR"));
	set("push_stream_message_template", "~text~");
	set("push_stream_ping_message_text", "");
	assert_looks(
	    FRAMING_PLAIN, S("HDR ~text~\r\n"), S("hi"), NONE, S("FTR"));
}

/* Old clients read a line for each piece. */
static void
test_plain_0_3_4(void **state)
{
	(void)state;
	set("push_stream_compat", "0.3.4");
	set("push_stream_ping_message_text", "");
	assert_looks(FRAMING_PLAIN, NONE, S("hi\r\n"), S("\r\n"), NONE);
	set("push_stream_header_template", "H");
	set("push_stream_footer_template", "F");
	set("push_stream_message_template", "<~text~>");
	assert_looks(
	    FRAMING_PLAIN, S("H\r\n"), S("<hi>\r\n"), S("<>\r\n"), S("F\r\n"));
	set("push_stream_compat", "0.4.0");
	assert_looks(FRAMING_PLAIN, S("H"), S("<hi>"), S("<>"), S("F"));
}

static void
test_eventsource(void **state)
{
	(void)state;
	assert_looks(FRAMING_EVENTSOURCE, S(": \n"), S("data: hi\n\n"),
	    S(": -1\n"), NONE);
	set("push_stream_header_template", "one\r\n\ntwo\n");
	set("push_stream_footer_template", "bye\r\nbye2");
	set("push_stream_message_template", "<~text~|~size~>");
	assert_looks(FRAMING_EVENTSOURCE, S(": one\n: two\n"),
	    S("data: <hi|2>\n\n"), S(": -1\n"), S(": bye\n: bye2\n"));
	/* What is in its final form already. */
	set("push_stream_header_template", ": one");
	set("push_stream_footer_template", ": bye\nbye2");
	set("push_stream_message_template", "data: ~text~\n");
	assert_looks(FRAMING_EVENTSOURCE, S(": one"), S("data: hi\n\n"),
	    S(": -1\n"), S(": bye\nbye2"));
	/* Nothing but line breaks is nothing. */
	set("push_stream_header_template", "\r\n");
	set("push_stream_footer_template", "\n\n");
	assert_looks(FRAMING_EVENTSOURCE, S(": \n"), S("data: hi\n\n"),
	    S(": -1\n"), NONE);
}

static void
test_eventsource_old(void **state)
{
	(void)state;
	set("push_stream_compat", "0.4.0");
	assert_looks(FRAMING_EVENTSOURCE, S(": \r\n"), S("data: hi\r\n\r\n"),
	    S(": -1\r\n"), NONE);
	set("push_stream_compat", "0.3.4");
	assert_looks(FRAMING_EVENTSOURCE, S(":\r\n"), S("data: hi\r\n\r\n"),
	    S(": -1\r\n"), NONE);
	set("push_stream_header_template", "one\ntwo");
	set("push_stream_footer_template", ": bye");
	assert_looks(FRAMING_EVENTSOURCE, S(": one\r\n: two\r\n"),
	    S("data: hi\r\n\r\n"), S(": -1\r\n"), S(": bye\r\n"));
}

/* Given and empty is not the same as not given. */
static void
test_event_fields(void **state)
{
	struct template_values v = message;
	struct format *f;

	(void)state;
	set("push_stream_message_template", "~text~ [~event-id~]");
	f = format(FRAMING_EVENTSOURCE);
	v.event_id = S("55");
	assert_message(f, &v, S("id: 55\ndata: hi [55]\n\n"));
	v.event_type = S("tt");
	assert_message(f, &v, S("id: 55\nevent: tt\ndata: hi [55]\n\n"));
	v.event_id = NONE;
	assert_message(f, &v, S("event: tt\ndata: hi []\n\n"));
	v.event_id = v.event_type = S("");
	assert_message(f, &v, S("id: \nevent: \ndata: hi []\n\n"));
	format_unref(&f);

	set("push_stream_compat", "0.3.4");
	f = format(FRAMING_EVENTSOURCE);
	v.event_id = S("X");
	v.event_type = S("Y");
	assert_message(f, &v, S("id: X\r\nevent: Y\r\ndata: hi [X]\r\n\r\n"));
	format_unref(&f);
}

/* A browser reconnects with the last id it saw, so the position is one. */
static void
test_cursor_as_id(void **state)
{
	struct format_key ours = { .channel = 7, .id = MESSAGE_ID_DELETED };
	struct template_values v = message;
	struct format *f, *without;
	struct payload *p;

	(void)state;
	without = format(FRAMING_EVENTSOURCE);
	set("push_stream_eventsource_cursor", "on");
	f = format(FRAMING_EVENTSOURCE);
	assert_ptr_not_equal(f, without);
	assert_message(f, &v, S("id: 1763800000.12\ndata: hi\n\n"));
	assert_message(without, &v, S("data: hi\n\n"));
	v.event_id = S("theirs");
	assert_message(f, &v, S("id: theirs\ndata: hi\n\n"));
	v.event_id = S("");
	assert_message(f, &v, S("id: \ndata: hi\n\n"));
	/* Our own messages are no position to come back to. */
	v.event_id = NONE;
	p = format_message(f, &ours, &v);
	assert_payload(p, S("data: hi\n\n"));
	payload_unref(&p);
	format_unref(&f);
	format_unref(&without);

	/* It changes nothing elsewhere, and so makes no other format. */
	f = format(FRAMING_PLAIN);
	set("push_stream_eventsource_cursor", "off");
	without = format(FRAMING_PLAIN);
	assert_ptr_equal(f, without);
	format_unref(&f);
	format_unref(&without);
}

/* The module's way of cutting, push-stream.md section 8.6. */
static void
test_lines(void **state)
{
	struct format *f;

	(void)state;
	f = format(FRAMING_EVENTSOURCE);
	assert_text(f, S("line1\r\nline2\nline3\n\nline5"),
	    S("data: line1\ndata: line2\ndata: line3\ndata: line5\n\n"));
	assert_text(f, S("a\rb"), S("data: a\rb\n\n"));
	assert_text(f, S("a\rb\nc"), S("data: a\ndata: b\ndata: c\n\n"));
	assert_text(f, S("a\nb\rc"), S("data: a\ndata: b\rc\n\n"));
	assert_text(f, S("a\r\n"), S("data: a\n\n"));
	assert_text(f, S("a\n\r"), S("data: a\ndata: \r\n\n"));
	assert_text(f, S("\n\r\n\n"), S("\n"));
	assert_text(f, S("\n\na"), S("data: a\n\n"));
	assert_text(f, S(""), S("\n"));
	assert_text(f, S("a\nb\0c\nd"), S("data: a\ndata: b\0c\nd\n\n"));
	assert_text(f, S("a\rb\0\n"), S("data: a\rb\0\n\n\n"));
	assert_text(f, S("\0"), S("data: \0\n\n"));
	format_unref(&f);
}

static void
test_websocket(void **state)
{
	static char long_text[70000];
	struct template_values v = message;
	struct format *f;
	struct payload *p;

	(void)state;
	assert_looks(
	    FRAMING_WEBSOCKET, NONE, S("\x81\x02hi"), S("\x89\x00"), NONE);
	set("push_stream_header_template", "head");
	set("push_stream_footer_template", "foot");
	set("push_stream_message_template", "<~text~>");
	assert_looks(FRAMING_WEBSOCKET, S("\x81\x04head"), S("\x81\x04<hi>"),
	    S("\x89\x00"),
	    S("\x81\x04"
	      "foot"));
	f = format(FRAMING_WEBSOCKET);
	/* Bytes that are no text go as text, too: there is no other frame. */
	assert_text(f, S("\xff\0bin"), S("\x81\x07<\xff\0bin>"));
	memset(long_text, 'x', sizeof(long_text));
	v.text = (struct slice){ long_text, 300 };
	p = format_message(f, &(struct format_key){ .id = 1 }, &v);
	assert_int_equal(p->len, 4 + 302);
	assert_memory_equal(p->data, "\x81\x7e\x01\x2e<xx", 7);
	payload_unref(&p);
	v.text.len = sizeof(long_text);
	p = format_message(f, &(struct format_key){ .id = 2 }, &v);
	assert_int_equal(p->len, 10 + 70002);
	assert_memory_equal(p->data, "\x81\x7f\0\0\0\0\0\x01\x11\x72<xx", 13);
	assert_int_equal(p->data[p->len - 1], '>');
	payload_unref(&p);
	format_unref(&f);
}

/* A browser would drop a WebSocket for a byte of a name that is no text. */
static void
test_websocket_names(void **state)
{
	struct template_values v = message;
	struct format *f;

	(void)state;
	set("push_stream_message_template",
	    "~channel~|~event-id~|~event-type~");
	f = format(FRAMING_WEBSOCKET);
	v.channel = S("a\xff\xc3");
	v.event_id = S("\xc3\xa4");
	v.event_type = S("\xed\xa0\x80");
	assert_message(f, &v,
	    S("\x81\x14"
	      "a" UTF8_REPLACEMENT UTF8_REPLACEMENT
	      "|\xc3\xa4|" UTF8_REPLACEMENT UTF8_REPLACEMENT UTF8_REPLACEMENT));
	format_unref(&f);
}

/* Locations that look alike share, whatever else differs; what looks
 * different in anything does not. */
static void
test_interned(void **state)
{
	static const char *const changes[][2] = {
		{ "push_stream_compat", "0.4.0" },
		{ "push_stream_header_template", "h" },
		{ "push_stream_message_template", "~id~" },
		{ "push_stream_footer_template", "f" },
		{ "push_stream_ping_message_text", "p" },
		/* The same bytes on the other side of a border. */
		{ "push_stream_header_template", "hf" },
		{ "push_stream_footer_template", "" },
	};
	struct format *f = format(FRAMING_PLAIN), *other, *all[16];
	size_t n = 0;

	(void)state;
	set("push_stream_content_type", "text/html");
	set("push_stream_longpolling_connection_ttl", "5s");
	other = format(FRAMING_PLAIN);
	assert_ptr_equal(f, other);
	format_unref(&other);
	other = format_ref(f);
	format_unref(&other);

	all[n++] = f;
	all[n++] = format(FRAMING_EVENTSOURCE);
	all[n++] = format(FRAMING_WEBSOCKET);
	for (size_t i = 0; i < COUNT_OF(changes); i++) {
		set(changes[i][0], changes[i][1]);
		all[n++] = format(FRAMING_PLAIN);
	}
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < i; j++)
			assert_ptr_not_equal(all[i], all[j]);
	}
	assert_int_equal(formats.map.count, n);
	while (n != 0)
		format_unref(&all[--n]);
	assert_int_equal(formats.map.count, 0);
}

/* N formats and M messages cost N * M renderings, however many readers there
 * are; and readers of a format hold the same bytes. */
static void
test_rendered_once(void **state)
{
	enum {
		N = 3,
		M = 4,
		READERS = 50
	};
	struct payload *held[N][READERS];
	struct format *f[N];
	struct format_key key = first_key;

	(void)state;
	for (int i = 0; i < N; i++)
		f[i] = format((enum framing)i);
	for (int m = 0; m < M; m++) {
		key.id++;
		key.cursor++;
		for (int r = 0; r < READERS; r++) {
			for (int i = 0; i < N; i++) {
				held[i][r] =
				    format_message(f[i], &key, &message);
				assert_ptr_equal(held[i][r], held[i][0]);
			}
		}
		assert_int_equal(renders, N * (m + 1));
		/* The readers' references and the format's own. */
		assert_int_equal(held[0][0]->refs, READERS + 1);
		for (int r = 0; r < READERS; r++) {
			for (int i = 0; i < N; i++)
				payload_unref(&held[i][r]);
		}
	}
	for (int i = 0; i < N; i++)
		format_unref(&f[i]);
}

/* What makes a message another one, and that nothing outlives it. */
static void
test_forgotten(void **state)
{
	struct format_key key = first_key;
	struct format *f = format(FRAMING_PLAIN);
	struct format *g = format(FRAMING_WEBSOCKET);
	struct payload *p, *q;

	(void)state;
	p = format_message(f, &key, &message);
	q = format_message(g, &key, &message);
	assert_int_equal(renders, 2);
	assert_int_equal(q->refs, 2);
	/* Another message in f makes g forget, too. */
	payload_unref(&p);
	key.channel++;
	p = format_message(f, &key, &message);
	payload_unref(&p);
	assert_int_equal(renders, 3);
	assert_int_equal(q->refs, 1);
	payload_unref(&q);
	key.cursor++;
	p = format_message(f, &key, &message);
	payload_unref(&p);
	key.id++;
	p = format_message(f, &key, &message);
	payload_unref(&p);
	assert_int_equal(renders, 5);
	/* Our own messages have cursor 0 and are shared like others. */
	key = (struct format_key){ .channel = 7, .id = MESSAGE_ID_DELETED };
	p = format_message(f, &key, &message);
	q = format_message(f, &key, &message);
	assert_ptr_equal(p, q);
	assert_int_equal(renders, 6);
	payload_unref(&q);
	/* A format may go first, from either end of the list. */
	q = format_message(g, &key, &message);
	format_unref(&f);
	assert_payload(p, S("hi"));
	assert_int_equal(p->refs, 1);
	assert_non_null(formats.rendered);
	format_unref(&g);
	assert_null(formats.rendered);
	payload_unref(&p);
	payload_unref(&q);
}

/* Too many looks of a large message: they are made again, but not kept. */
static void
test_renderings_are_bounded(void **state)
{
	struct format *f = format(FRAMING_PLAIN);
	struct format *g = format(FRAMING_WEBSOCKET);
	struct payload *p, *q;
	size_t frame;

	(void)state;
	p = format_message(f, &first_key, &message);
	formats.rendered_max = p->len + 2; /* only a frame's head */
	q = format_message(g, &first_key, &message);
	assert_int_equal(limits.hits[LIMIT_answers_cached], 1);
	assert_int_equal(p->refs, 1);
	assert_int_equal(q->refs, 2);
	payload_unref(&p);
	p = format_message(f, &first_key, &message);
	assert_int_equal(renders, 3);
	assert_int_equal(limits.hits[LIMIT_answers_cached], 2);
	frame = q->len;
	formats.rendered_max = p->len + frame;
	payload_unref(&q);
	q = format_message(g, &first_key, &message);
	assert_int_equal(limits.hits[LIMIT_answers_cached], 2);
	assert_int_equal(p->refs, 2);
	payload_unref(&p);
	payload_unref(&q);
	format_unref(&f);
	assert_int_equal(formats.rendered_bytes, frame);
	format_unref(&g);
	assert_int_equal(formats.rendered_bytes, 0);
}

static struct format *
bitrix(enum bx_look_kind kind, uint8_t version, bool websocket)
{
	struct bx_look look = { kind, version, websocket };
	struct format *f = NULL;

	assert_int_equal(format_get_bitrix(&formats, &look, &f), 0);
	assert_non_null(f);
	return f;
}

/* Bitrix's clients: a look is all that makes their format. */
static void
test_bitrix(void **state)
{
	struct format *all[] = {
		bitrix(BX_LOOK_TEXT, 3, false),
		bitrix(BX_LOOK_TEXT, 4, false),
		bitrix(BX_LOOK_TEXT, 4, true),
		bitrix(BX_LOOK_BINARY, 4, false),
		bitrix(BX_LOOK_BINARY, 4, true),
		bitrix(BX_LOOK_JSON, 4, false),
		bitrix(BX_LOOK_RPC, 5, true),
		format(FRAMING_PLAIN),
	};
	struct format *again;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		for (size_t j = 0; j < i; j++)
			assert_ptr_not_equal(all[i], all[j]);
	}
	set("push_stream_header_template", "h");
	again = bitrix(BX_LOOK_TEXT, 4, true);
	assert_ptr_equal(again, all[2]);
	format_unref(&again);
	assert_null(format_header(all[2]));
	assert_null(format_footer(all[2]));
	assert_payload(format_ping(all[2]), S("\x89\x07ws ping"));
	assert_payload(format_ping(all[6]), S("\x81\x04ping"));
	/* A WebSocket whose messages wait for company is kept alive, too. */
	assert_payload(format_ping(all[1]), S("\x89\x07ws ping"));
	for (size_t i = 0; i < COUNT_OF(all); i++)
		format_unref(&all[i]);
}

/* One rendering for all readers, or one for each that has his own. */
static void
test_bitrix_by_user(void **state)
{
	struct msg_parts parts = { .text = S("{}"),
		.extra = S("J{\"user_params\":{\"7\":{\"a\":1}}}") };
	struct msg *m = msg_make(&parts);
	struct template_values v = { .msg = m };
	struct format_key key = first_key;
	struct format *f = bitrix(BX_LOOK_RPC, 5, false);
	struct payload *p, *of_7;

	(void)state;
	assert_non_null(m);
	p = format_message(f, &key, &v);
#define INCOMING(more) \
	S("{\"jsonrpc\":\"2.0\",\"method\":\"incoming.message\"," \
	  "\"params\":{\"mid\":\"17638000000000000000000012\"," \
	  "\"body\":{},\"sender\":{\"type\":2,\"id\":0}" more "}}")
	assert_payload(p, INCOMING(""));
	payload_unref(&p);
	p = format_message(f, &key, &v);
	payload_unref(&p);
	assert_int_equal(renders, 1);
	key.user = 7;
	assert_null(format_again(f, &key));
	of_7 = format_message(f, &key, &v);
	assert_payload(of_7, INCOMING(",\"user_params\":{\"a\":1}"));
	p = format_again(f, &key);
	assert_ptr_equal(p, of_7);
	payload_unref(&p);
	payload_unref(&of_7);
	key.user = 8;
	p = format_message(f, &key, &v);
	assert_payload(p, INCOMING(""));
	payload_unref(&p);
	assert_int_equal(renders, 3);
	format_unref(&f);
	msg_unref(&m);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_plain),
		TEST(test_plain_0_3_4),
		TEST(test_eventsource),
		TEST(test_eventsource_old),
		TEST(test_event_fields),
		TEST(test_cursor_as_id),
		TEST(test_lines),
		TEST(test_websocket),
		TEST(test_websocket_names),
		TEST(test_interned),
		TEST(test_rendered_once),
		TEST(test_forgotten),
		TEST(test_renderings_are_bounded),
		TEST(test_bitrix),
		TEST(test_bitrix_by_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
