/*
 * tests/unit/test_look.c - a message as Bitrix's clients of each version read
 * it, byte for byte; and that no message can break the frame it is in.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/bitrix/look.h"
#include "api/bitrix/batch.h"
#include "api/bitrix/extra.h"
#include "api/bitrix/json.h"

#define CHANNEL "0123456789abcdef0123456789abcdef"
#define TIME 1795375441
#define MID_1 "17953754410000000000000001"
#define DATE "Sun, 22 Nov 2026 19:24:01 GMT"
#define HELLO \
	"{\"module_id\":\"im\",\"command\":\"hello\",\"params\":{\"n\":1}," \
	"\"extra\":{\"server_time_unix\":1}}"
#define NOTHING ((struct slice){ NULL, 0 })

static const struct bx_look text_3 = { BX_LOOK_TEXT, 3, false };
static const struct bx_look text_4 = { BX_LOOK_TEXT, 4, false };
static const struct bx_look json_4 = { BX_LOOK_JSON, 4, false };
static const struct bx_look rpc = { BX_LOOK_RPC, 5, false };

static struct msg *
message(struct slice text, struct slice extra)
{
	struct msg_parts parts = {
		.text = text, .extra = extra, .expires = TIME + 10
	};
	struct msg *m = msg_make(&parts);

	assert_non_null(m);
	return m;
}

static void
assert_bytes(const struct buf *got, size_t from, struct slice want)
{
	if (got->len - from != want.len ||
	    memcmp(got->data + from, want.ptr, want.len) != 0)
		fail_msg("\"%.*s\" is not \"%.*s\"", (int)(got->len - from),
		    got->data + from, (int)want.len, want.ptr);
}

/* What the message is for this user. */
static void
assert_for(uint64_t user, const struct bx_look *l, struct slice text,
    struct slice extra, struct slice want)
{
	struct msg *m = message(text, extra);
	struct buf out;

	buf_init(&out, SIZE_MAX);
	assert_int_equal(buf_text(&out, "before"), 0);
	assert_int_equal(
	    bx_look_put(&out, l, m, SLICE(CHANNEL), cursor_make(TIME, 1), user),
	    0);
	assert_bytes(&out, 6, want);
	buf_release(&out);
	msg_unref(&m);
}

static void
assert_look(const struct bx_look *l, struct slice text, struct slice want)
{
	assert_for(0, l, text, NOTHING, want);
}

#define EVENT(channel, text) \
	"{\"id\":1,\"mid\":\"" MID_1 "\",\"channel\":\"" channel \
	"\",\"tag\":\"1\",\"time\":\"" DATE "\",\"text\":" text "}"
#define MARKED(channel, text) "#!NGINXNMS!#" EVENT(channel, text) "#!NGINXNME!#"

static void
test_text(void **state)
{
	struct bx_look websocket = text_4;

	(void)state;
	assert_look(&text_3, SLICE(HELLO), SLICE(MARKED(CHANNEL, HELLO)));
	assert_look(&text_4, SLICE(HELLO), SLICE(MARKED("-", HELLO)));
	/* Texts need not be JSON; the site's checker sends a checksum. */
	assert_look(&text_4, SLICE("0123abc"), SLICE(MARKED("-", "0123abc")));
	assert_look(&text_4, SLICE(""), SLICE(MARKED("-", "")));
	assert_look(&text_4, SLICE("\"\xd0\xbf\xf0\x9f\x98\x80\0\""),
	    SLICE(MARKED("-", "\"\xd0\xbf\xf0\x9f\x98\x80\0\"")));
	websocket.websocket = true;
	assert_look(&websocket, SLICE("{}"),
	    SLICE("\x81\x7e\x00\x8c" MARKED("-", "{}")));
}

/* A client finds an event by a pattern that a message must not match. */
static void
test_between_marks(void **state)
{
	(void)state;
	assert_look(&text_4, SLICE("{\r\n\"a\":\n1}\n"),
	    SLICE(MARKED("-", "{  \"a\": 1} ")));
	assert_look(&text_4, SLICE("\"#!NGINXNME!#\""),
	    SLICE(MARKED("-", "\"\\u0023!NGINXNME!#\"")));
	/* Marks that share a character. */
	assert_look(&text_4, SLICE("#!NGINXNME!#!NGINXNME!##"),
	    SLICE(MARKED("-", "\\u0023!NGINXNME!\\u0023!NGINXNME!##")));
	assert_look(&text_4, SLICE("#!NGINXNMS!##!NGINXNME!"),
	    SLICE(MARKED("-", "#!NGINXNMS!##!NGINXNME!")));
	assert_look(&text_4,
	    SLICE("\"\xe2\x80\xa8.\xe2\x80\xa9.\xe2\x80\xaa\""),
	    SLICE(MARKED("-", "\"\\u2028.\\u2029.\xe2\x80\xaa\"")));
}

/* A browser closes a WebSocket for this, and comes back for the same. */
static void
test_not_utf8(void **state)
{
#define BAD "\xef\xbf\xbd"
	(void)state;
	assert_look(&text_4, SLICE("a\xff"), SLICE(MARKED("-", "a" BAD)));
	assert_look(&text_4, SLICE("\xd0"), SLICE(MARKED("-", BAD)));
	assert_look(&text_4, SLICE("\xd0z"), SLICE(MARKED("-", BAD "z")));
	assert_look(&text_4, SLICE("\xc0\xaf"), SLICE(MARKED("-", BAD BAD)));
	assert_look(
	    &text_4, SLICE("\xed\xa0\x80"), SLICE(MARKED("-", BAD BAD BAD)));
	assert_look(&text_4, SLICE("\xf4\x90\x80\x80"),
	    SLICE(MARKED("-", BAD BAD BAD BAD)));
	assert_look(&text_4, SLICE("\xe2\x80"), SLICE(MARKED("-", BAD BAD)));
	assert_look(&json_4, SLICE("{\"\xff\n\""),
	    SLICE(EVENT("-", "\"{\\\"" BAD "\\u000a\\\"\"")));
}

static void
test_json(void **state)
{
	struct bx_look websocket = json_4;

	(void)state;
	assert_look(&json_4, SLICE(HELLO), SLICE(EVENT("-", HELLO)));
	assert_look(&json_4, SLICE("[1,\n\"#!NGINXNME!#\"]"),
	    SLICE(EVENT("-", "[1,\n\"#!NGINXNME!#\"]")));
	assert_look(&json_4, SLICE("say \"hi\"\r\n"),
	    SLICE(EVENT("-", "\"say \\\"hi\\\"\\u000d\\u000a\"")));
	assert_look(&json_4, SLICE("{\"a\":1},\"b\":{}"),
	    SLICE(EVENT("-", "\"{\\\"a\\\":1},\\\"b\\\":{}\"")));
	assert_look(&json_4, SLICE(""), SLICE(EVENT("-", "\"\"")));
	websocket.websocket = true;
	assert_look(
	    &websocket, SLICE("{}"), SLICE("\x81\x76[" EVENT("-", "{}") "]"));
}

static void
test_binary(void **state)
{
	struct bx_look binary = { BX_LOOK_BINARY, 4, false };

	(void)state;
	assert_look(&binary, SLICE("{\n}"),
	    SLICE("\x0a\x23\x0a\x21\x0a\x1f\x0a\x0d\x17\x95\x37\x54\x41\0\0\0"
		  "\0\0\0\0\x01\x12\x03{\n}\x18\x0a\x25\x51\x41\x03\x6b"
		  "\x2a\x02\x08\x02"));
	binary.websocket = true;
	assert_look(&binary, SLICE("{\n}"),
	    SLICE("\x82\x25"
		  "\x0a\x23\x0a\x21\x0a\x1f\x0a\x0d\x17\x95\x37\x54\x41\0\0\0"
		  "\0\0\0\0\x01\x12\x03{\n}\x18\x0a\x25\x51\x41\x03\x6b"
		  "\x2a\x02\x08\x02"));
}

#define RPC(body, more) \
	"{\"jsonrpc\":\"2.0\",\"method\":\"incoming.message\",\"params\":{" \
	"\"mid\":\"" MID_1 "\",\"body\":" body "," more "}}"
#define OF_SITE "\"sender\":{\"type\":2,\"id\":0}"

static void
test_rpc(void **state)
{
	struct bx_look websocket = rpc;

	(void)state;
	assert_look(&rpc, SLICE(HELLO), SLICE(RPC(HELLO, OF_SITE)));
	assert_look(
	    &rpc, SLICE("{\n\"a\": 1 }"), SLICE(RPC("{\n\"a\": 1 }", OF_SITE)));
	assert_look(
	    &rpc, SLICE("no \\ JSON"), SLICE(RPC("\"no \\\\ JSON\"", OF_SITE)));
	assert_look(&rpc, SLICE("{}},{{}"), SLICE(RPC("\"{}},{{}\"", OF_SITE)));
	assert_for(0, &rpc, SLICE("{}"),
	    SLICE("C\xfe\xdc\xba\x98\x76\x54\x32\x10"
		  "\xfe\xdc\xba\x98\x76\x54\x32\x10"),
	    SLICE(RPC("{}",
		"\"sender\":{\"type\":1,"
		"\"id\":\"fedcba9876543210fedcba9876543210\"}")));
	websocket.websocket = true;
	assert_look(&websocket, SLICE("{}"),
	    SLICE("\x81\x7e\0\x80" RPC("{}", OF_SITE)));
}

/* What a client published that is no JSON is a string to all who read JSON;
 * of what is, nobody asks again. */
static void
test_string(void **state)
{
	static const struct slice string = SLICE_INIT("S0123456789abcdef"),
				  json = SLICE_INIT("C0123456789abcdef");

	(void)state;
	assert_for(0, &text_4, SLICE("1,\"mid\":2\n#!NGINXNME!#"), string,
	    SLICE(MARKED("-", "\"1,\\\"mid\\\":2\\u000a\\u0023!NGINXNME!#\"")));
	assert_for(0, &text_4, SLICE("{\"a\":\n1}"), json,
	    SLICE(MARKED("-", "{\"a\": 1}")));
	assert_for(
	    0, &json_4, SLICE("1,2"), string, SLICE(EVENT("-", "\"1,2\"")));
	assert_for(
	    0, &json_4, SLICE("[1,2]"), json, SLICE(EVENT("-", "[1,2]")));
	assert_for(0, &rpc, SLICE("1,2"), string,
	    SLICE(RPC("\"1,2\"",
		"\"sender\":{\"type\":1,"
		"\"id\":\"30313233343536373839616263646566\"}")));
}

/* Each user reads his own parameters and nobody else's. */
static void
test_rpc_extra(void **state)
{
	static const struct slice all =
	    SLICE_INIT("J{\"sender\":{\"type\":1,\"id\":7},"
		       "\"user_params\":{\"17\":{\"b\":2},\"7\":{\"a\":\"}\"}},"
		       "\"dictionary\":{\"k\":[1]}}");
	static const struct slice some =
	    SLICE_INIT("J{\"user_params\":{\"7\":{}}}");
	struct msg *m;

	(void)state;
#define BY_7 "\"sender\":{\"type\":1,\"id\":7}"
#define WORDS ",\"dictionary\":{\"k\":[1]}"
	assert_for(7, &rpc, SLICE("{}"), all,
	    SLICE(RPC("{}", BY_7 ",\"user_params\":{\"a\":\"}\"}" WORDS)));
	assert_for(17, &rpc, SLICE("{}"), all,
	    SLICE(RPC("{}", BY_7 ",\"user_params\":{\"b\":2}" WORDS)));
	assert_for(1, &rpc, SLICE("{}"), all, SLICE(RPC("{}", BY_7 WORDS)));
	assert_for(0, &rpc, SLICE("{}"), all, SLICE(RPC("{}", BY_7 WORDS)));
	assert_for(7, &rpc, SLICE("{}"), some,
	    SLICE(RPC("{}", OF_SITE ",\"user_params\":{}")));
	assert_for(7, &text_4, SLICE("{}"), all, SLICE(MARKED("-", "{}")));

	/* Names that are no numbers as we write them are nobody's. */
	assert_for(7, &rpc, SLICE("{}"),
	    SLICE("J{\"user_params\":{\"07\":1,\"x\":2,\"7 \":3,\"\":4}}"),
	    SLICE(RPC("{}", OF_SITE)));

	m = message(SLICE("{}"), all);
	assert_true(bx_look_by_user(&rpc, m));
	assert_false(bx_look_by_user(&text_4, m));
	msg_unref(&m);
	m = message(SLICE("{}"), SLICE("J{\"dictionary\":{}}"));
	assert_false(bx_look_by_user(&rpc, m));
	msg_unref(&m);
	m = message(SLICE("{}"), NOTHING);
	assert_false(bx_look_by_user(&rpc, m));
	msg_unref(&m);
}

/* A part for each of many: each finds his own, whatever their order, and one
 * message's are not another's. */
static void
test_many_users(void **state)
{
	enum {
		USERS = 5000
	};
	struct buf extra, out;
	struct msg *m, *other;
	char want[64];

	(void)state;
	buf_init(&extra, SIZE_MAX);
	buf_init(&out, SIZE_MAX);
	assert_int_equal(buf_text(&extra, "J{\"user_params\":{"), 0);
	for (unsigned i = 0; i < USERS; i++)
		assert_int_equal(
		    buf_printf(&extra, "%s\"%u\":{\"n\":%u}", i != 0 ? "," : "",
			i * 7919 % USERS + 1, i),
		    0);
	assert_int_equal(buf_text(&extra, "}}"), 0);
	m = message(SLICE("{}"), (struct slice){ extra.data, extra.len });
	other = message(SLICE("{}"), SLICE("J{\"user_params\":{\"1\":[]}}"));
	for (unsigned i = 0; i < USERS; i++) {
		buf_clear(&out);
		assert_int_equal(
		    bx_look_put(&out, &rpc, m, SLICE("-"), cursor_make(TIME, 1),
			i * 7919 % USERS + 1),
		    0);
		assert_int_equal(buf_append(&out, "", 1), 0);
		(void)snprintf(
		    want, sizeof(want), "\"user_params\":{\"n\":%u}}", i);
		assert_non_null(strstr(out.data, want));
		if (i % 1000 == 0)
			assert_true(bx_look_by_user(&rpc, other));
	}
	buf_clear(&out);
	assert_int_equal(bx_look_put(&out, &rpc, m, SLICE("-"),
			     cursor_make(TIME, 1), USERS + 1),
	    0);
	assert_int_equal(buf_append(&out, "", 1), 0);
	assert_null(strstr(out.data, "user_params"));
	bx_extra_forget();
	assert_int_equal(m->refs, 1);
	msg_unref(&m);
	msg_unref(&other);
	buf_release(&extra);
	buf_release(&out);
}

static void
test_ping(void **state)
{
	static const struct {
		struct bx_look look;
		struct slice want;
	} pings[] = {
		{ { BX_LOOK_TEXT, 3, true }, SLICE_INIT("\x89\x07ws ping") },
		{ { BX_LOOK_TEXT, 4, true }, SLICE_INIT("\x89\x07ws ping") },
		{ { BX_LOOK_BINARY, 4, true }, SLICE_INIT("\x89\x07ws ping") },
		{ { BX_LOOK_BINARY, 4, false }, SLICE_INIT("\x89\x07ws ping") },
		{ { BX_LOOK_TEXT, 5, true }, SLICE_INIT("\x89\x07ws ping") },
		{ { BX_LOOK_RPC, 5, true }, SLICE_INIT("\x81\x04ping") },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(pings); i++) {
		struct buf out;

		buf_init(&out, SIZE_MAX);
		assert_int_equal(bx_look_put_ping(&out, &pings[i].look), 0);
		assert_bytes(&out, 0, pings[i].want);
		buf_release(&out);
	}
}

/* Nothing is left of a piece that there was no room for. */
static void
test_whole_or_not(void **state)
{
	static const struct bx_look looks[] = { { BX_LOOK_TEXT, 3, true },
		{ BX_LOOK_BINARY, 4, true }, { BX_LOOK_JSON, 4, false },
		{ BX_LOOK_RPC, 5, true } };
	struct msg *m = message(SLICE("not \n JSON"), NOTHING);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(looks); i++) {
		size_t max = 0;
		int err;

		do {
			struct buf out;

			buf_init(&out, max++);
			err = bx_look_put(&out, &looks[i], m, SLICE(CHANNEL),
			    cursor_make(TIME, 1), 0);
			assert_true(err == 0 || err == ERR_TOOBIG);
			assert_true((out.len == 0) == (err != 0));
			buf_release(&out);
		} while (err != 0);
		assert_true(max > 40);
	}
	msg_unref(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_between_marks),
		cmocka_unit_test(test_not_utf8),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_rpc),
		cmocka_unit_test(test_string),
		cmocka_unit_test(test_rpc_extra),
		cmocka_unit_test(test_many_users),
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_whole_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
