/*
 * tests/unit/test_trouble.c - the store cannot, or the daemon goes: nobody is
 * told that all is well, and nobody is left without a word.
 *
 * The dialects over a hub over a store that fails when it is told to.  Every
 * kind of reader whose past cannot be read, every kind of publisher whose
 * message is not stored, and everybody who waits when the daemon ends.  And
 * when the store is handed what it shall keep.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/api.h"
#include "base/log.h"
#include "tests/unit/hub_world.h"

#define KEY "test-signature-key"
#define ID "0123456789abcdef0123456789abcdef"
#define PUBLIC "fedcba9876543210fedcba9876543210"
#define FIRST "00000000000000000000000000"
#define UPGRADE \
	"HTTP_UPGRADE", "websocket", "HTTP_CONNECTION", "Upgrade", \
	    "HTTP_SEC_WEBSOCKET_KEY", \
	    "dGhlIHNhbXBsZSBub25jZQ==", "HTTP_SEC_WEBSOCKET_VERSION", "13"

/* What a front was given for its request. */
struct front {
	struct request request;
	struct buf got;
	bool over, failed, resting;
};

struct trouble {
	struct world *w;
	struct api *api;
	struct front front;
};

/* Name, value, ..., NULL. */
struct asks {
	const char *what;
	const char *end; /* of the answer, with what it is refused */
	const char *params[20];
	uint16_t code; /* of a WebSocket's last frame; 0: it is none */
};

static void
take(struct request *r, const struct payload *p)
{
	struct front *f = (struct front *)(void *)r;

	assert_false(f->over);
	assert_int_equal(buf_append(&f->got, p->data, p->len), 0);
}

static void
front_reply(struct request *r, struct payload *answer)
{
	take(r, answer);
	((struct front *)(void *)r)->over = true;
}

static void
front_send(struct request *r, struct payload *part)
{
	take(r, part);
}

static void
front_finish(struct request *r)
{
	struct front *f = (struct front *)(void *)r;

	assert_false(f->over);
	f->over = true;
}

static void
front_fail(struct request *r)
{
	((struct front *)(void *)r)->failed = true;
}

static void
front_rest(struct request *r, bool rest)
{
	((struct front *)(void *)r)->resting = rest;
}

static size_t
front_unsent(const struct request *r)
{
	(void)r;
	return 0;
}

static const struct request_ops front_ops = { .name = "test",
	.reply = front_reply,
	.send = front_send,
	.finish = front_finish,
	.fail = front_fail,
	.unsent = front_unsent,
	.rest = front_rest };

static struct layout *
keyed(bool keys)
{
	struct layout *l = layout_new();
	struct licence *own = &l->licences.personal;

	assert_non_null(l);
	if (keys) {
		assert_int_equal(keyring_new("sha1", &own->keys), 0);
		assert_int_equal(keyring_add(own->keys, S(KEY)), 0);
	}
	return l;
}

static int
setup(void **state)
{
	struct trouble *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	log_set_level(LOG_ERROR);
	t->w = world_new(&(struct hub_limits){ .message_ttl_s = 86400,
	    .channel_inactivity_ms = 30000,
	    .replay_messages = 100,
	    .replay_bytes = 1 << 20 });
	assert_int_equal(
	    api_new(t->w->hub, &t->w->stats, keyed(false), &t->api), 0);
	buf_init(&t->front.got, 1 << 20);
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct trouble *t = *state;

	if (!t->front.over && t->front.request.wait != NULL)
		api_abandon(t->api, &t->front.request);
	assert_int_equal(t->w->stats.parked, 0);
	request_shed(&t->front.request);
	buf_release(&t->front.got);
	api_free(&t->api);
	world_free(&t->w);
	free(t);
	return 0;
}

static void
add(struct request *r, const char *name, const char *value)
{
	assert_int_equal(
	    params_add(&r->params, (struct slice){ name, strlen(name) },
		(struct slice){ value, strlen(value) }),
	    0);
}

static void
ask_as(struct trouble *t, bool upgrade, const char *method, const char *body,
    const char *const *params)
{
	struct front *f = &t->front;

	request_shed(&f->request);
	request_init(&f->request, &front_ops, 65536, 65536, NULL);
	buf_clear(&f->got);
	f->over = f->failed = false;
	add(&f->request, "REQUEST_METHOD", method);
	add(&f->request, "REMOTE_ADDR", "127.0.0.1");
	for (; params[0] != NULL; params += 2)
		add(&f->request, params[0], params[1]);
	f->request.upgrade = upgrade;
	assert_int_equal(buf_text(&f->request.body, body), 0);
	api_handle(t->api, &f->request);
}

static void
ask(struct trouble *t, const char *method, const char *body,
    const char *const *params)
{
	ask_as(t, true, method, body, params);
}

static bool
says(const struct front *f, const char *text)
{
	return memmem(f->got.data, f->got.len, text, strlen(text)) != NULL;
}

/* The code of the closing frame that came last, or 0. */
static uint16_t
closing_code(const struct front *f)
{
	const uint8_t *last = memrchr(f->got.data, 0x88, f->got.len);
	const uint8_t *end = (const uint8_t *)f->got.data + f->got.len;

	if (last == NULL || end - last < 4 || end - last != last[1] + 2)
		return 0;
	return (uint16_t)(last[2] << 8 | last[3]);
}

static void
assert_end(const struct trouble *t, const struct asks *a)
{
	const struct front *f = &t->front;

	if (!f->over)
		fail_msg("%s: it is not over", a->what);
	if (!says(f, a->end))
		fail_msg("%s: not \"%s\" but %.*s", a->what, a->end,
		    (int)f->got.len, f->got.data);
	if (closing_code(f) != a->code)
		fail_msg(
		    "%s: closed with %u", a->what, (unsigned)closing_code(f));
}

static void
store(struct trouble *t, const char *name)
{
	struct channel *c =
	    world_channel(t->w, (struct slice){ name, strlen(name) });

	assert_int_equal(
	    hub_publish(t->w->hub, &c, 1,
		msg_new("m", 1, NULL, NULL, INT64_MAX), HUB_KEEP, NULL),
	    0);
	fake_settle(t->w->store);
}

#define PATH "push_stream_channels_path", "a"
#define FROM_START \
	"HTTP_IF_MODIFIED_SINCE", "Thu, 01 Jan 1970 00:00:01 GMT", \
	    "HTTP_IF_NONE_MATCH", "0"
#define SUB(version, args) \
	"bitrix_version", version, "bitrix_route", "sub", "QUERY_STRING", \
	    "CHANNEL_ID=" ID args

static const struct asks readers[] = {
	{ "a poll", "Status: 500",
	    { PATH, FROM_START, "push_stream_subscriber", "polling" }, 0 },
	{ "a long poll", "Status: 500",
	    { PATH, FROM_START, "push_stream_subscriber", "long-polling" }, 0 },
	{ "a stream", "Status: 200",
	    { PATH, FROM_START, "push_stream_subscriber", "streaming" }, 0 },
	{ "a WebSocket", "\"http_status\": 500",
	    { PATH, FROM_START, "push_stream_subscriber", "websocket",
		UPGRADE },
	    1008 },
	{ "a poll of version 3", "Status: 500", { SUB("3", "&mid=" FIRST) },
	    0 },
	{ "a poll of version 4", "Couldn't get last messages.",
	    { SUB("4", "&mid=" FIRST) }, 0 },
	{ "a poll of version 5", "Couldn't get last messages.",
	    { SUB("5", "&mid=" FIRST) }, 0 },
	{ "a WebSocket of version 3", "Couldn't get last messages.",
	    { SUB("3", "&mid=" FIRST), UPGRADE }, 4011 },
	{ "a WebSocket of version 4", "Couldn't get last messages.",
	    { SUB("4", "&mid=" FIRST "&binaryMode=true"), UPGRADE }, 4011 },
	{ "a WebSocket of version 5", "Couldn't get last messages.",
	    { SUB("5", "&mid=" FIRST "&jsonRpc=true"), UPGRADE }, 4011 },
};

/* Promise: who asks for what was said before, and it cannot be read, is told so:
 * an empty answer would be a lost message. */
static void
test_unreadable(void **state)
{
	struct trouble *t = *state;

	store(t, "a");
	store(t, ID);
	for (size_t i = 0; i < COUNT_OF(readers); i++) {
		ask(t, "GET", "", readers[i].params);
		if (t->front.over || t->w->store->n_reads != 1)
			fail_msg("%s does not ask the store: %.*s",
			    readers[i].what, (int)t->front.got.len,
			    t->front.got.data);
		fake_read(t->w->store, ERR_IO);
		fake_dispatch(t->w->store);
		assert_end(t, &readers[i]);
	}
}

#define PUB(version) \
	"bitrix_version", version, "bitrix_route", "pub", "QUERY_STRING", \
	    "CHANNEL_ID=" ID, "HTTP_MESSAGE_EXPIRY", "60"

/* One message to ID, as protobuf has it. */
#define BATCH \
	"\x0a\x25\x0a\x23\x0a\x21\x0a\x14\x0a\x10" \
	"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef" \
	"\x10\x01\x1a\x07{\"a\":1}\x20\x3c"

static const struct {
	struct asks asks;
	const char *body;
} publishers[] = {
	{ { "a publisher", "",
	      { PATH, "push_stream_publisher", "normal",
		  "push_stream_store_messages", "on" },
	      0 },
	    "m" },
	{ { "a publisher of version 3", "", { PUB("3") }, 0 }, "m" },
	{ { "a publisher of version 4", "", { PUB("4") }, 0 }, "m" },
	{ { "a publisher of a batch", "",
	      { "bitrix_version", "4", "bitrix_route", "pub", "QUERY_STRING",
		  "binaryMode=true" },
	      0 },
	    BATCH },
};

static void
assert_refused(struct trouble *t, size_t i, const char *status)
{
	const char *what = publishers[i].asks.what;

	if (!t->front.over || !says(&t->front, status))
		fail_msg("%s: not \"%s\" but %.*s", what, status,
		    (int)t->front.got.len, t->front.got.data);
	assert_int_equal(t->w->stats.stored_messages, 0);
}

/* Promise: what is not on disk is not acknowledged. */
static void
test_full(void **state)
{
	struct trouble *t = *state;

	for (size_t i = 0; i < COUNT_OF(publishers); i++) {
		ask(t, "POST", publishers[i].body, publishers[i].asks.params);
		if (t->front.over)
			fail_msg("%s is answered before it is stored",
			    publishers[i].asks.what);
		fake_transact(t->w->store, SIZE_MAX, ERR_FULL);
		fake_dispatch(t->w->store);
		assert_refused(t, i, "Status: 507");
		assert_int_equal(t->w->stats.store_full, i + 1);
	}
}

/* Promise: a full queue is said at once, and when to come again. */
static void
test_busy(void **state)
{
	struct trouble *t = *state;

	for (size_t i = 0; i < COUNT_OF(publishers); i++) {
		t->w->store->busy = true;
		ask(t, "POST", publishers[i].body, publishers[i].asks.params);
		t->w->store->busy = false;
		assert_refused(t, i, "Status: 503");
		assert_true(says(&t->front, "Retry-After: 1\r\n"));
		assert_int_equal(t->w->stats.store_queue_full, i + 1);
	}
	fake_settle(t->w->store);
	assert_int_equal(t->w->stats.stored_messages, 0);
}

/* As a client sends it, under a mask of zeros. */
static void
client_says(struct trouble *t, uint8_t op, struct slice text)
{
	struct buf b;
	uint8_t head[8] = { 0x80 | op, 0x80 | 126, (uint8_t)(text.len >> 8),
		(uint8_t)text.len };

	buf_init(&b, 65536);
	if (text.len < 126)
		head[1] = 0x80 | (uint8_t)text.len;
	assert_int_equal(buf_append(&b, head, text.len < 126 ? 2 : 4), 0);
	assert_int_equal(buf_append(&b, "\0\0\0", 4), 0);
	assert_int_equal(buf_append(&b, text.ptr, text.len), 0);
	api_tunnel(t->api, &t->front.request, (struct slice){ b.data, b.len });
	buf_release(&b);
}

static const struct asks speaker = { "a WebSocket that publishes",
	"\"http_status\": 507",
	{ PATH, "push_stream_subscriber", "websocket",
	    "push_stream_websocket_allow_publish", "on", UPGRADE },
	1008 };

/* Promise: a WebSocket that publishes has no answers, so it is closed. */
static void
test_websocket_publishes(void **state)
{
	struct asks busy = speaker;
	struct trouble *t = *state;

	ask(t, "GET", "", speaker.params);
	client_says(t, 1, S("m"));
	assert_false(t->front.over);
	fake_transact(t->w->store, SIZE_MAX, ERR_FULL);
	fake_dispatch(t->w->store);
	assert_end(t, &speaker);
	ask(t, "GET", "", speaker.params);
	t->w->store->busy = true;
	client_says(t, 1, S("m"));
	busy.end = "\"http_status\": 503";
	assert_end(t, &busy);
	assert_int_equal(t->w->stats.store_full, 1);
	assert_int_equal(t->w->stats.store_queue_full, 1);
}

static void
hex_mac(struct keyring *keys, struct slice text, char out[41])
{
	unsigned char mac[KEYRING_MAC_MAX];

	assert_int_equal(keyring_sign(keys, KEYRING_IDS, &text, 1, mac), 20);
	for (size_t i = 0; i < 20; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", mac[i]);
}

/* A client of version 4 or 5 that may write: it has a public id. */
static void
join_signed(struct trouble *t, const char *version, const char *how)
{
	struct layout *l = keyed(true);
	char query[256], mac[41];
	const char *params[] = { "bitrix_version", version, "bitrix_route",
		"sub", "QUERY_STRING", query, UPGRADE, NULL, NULL };

	hex_mac(l->licences.personal.keys, S(ID ":" PUBLIC), mac);
	api_set_layout(t->api, l);
	(void)snprintf(query, sizeof(query),
	    "CHANNEL_ID=" ID ":" PUBLIC ".%s&%s", mac, how);
	ask(t, "GET", "", params);
	assert_false(t->front.over);
	buf_clear(&t->front.got);
}

#define CALL \
	S("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"publish\",\"params\":{" \
	  "\"channelList\":[\"" ID "\"],\"body\":{},\"expiry\":60}}")

/* A message of a client of version 4 to itself. */
static void
say_batch(struct trouble *t)
{
	static const char head[] = "\x0a\x39\x0a\x37\x0a\x35\x0a\x2a\x0a\x10";
	struct keyring *keys = api_layout(t->api)->licences.personal.keys;
	static const unsigned char id[16] = { 0xfe, 0xdc, 0xba, 0x98, 0x76,
		0x54, 0x32, 0x10, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32,
		0x10 };
	struct slice text = S("public:" PUBLIC);
	unsigned char mac[KEYRING_MAC_MAX];
	struct buf b;

	assert_int_equal(keyring_sign(keys, KEYRING_IDS, &text, 1, mac), 20);
	buf_init(&b, 1024);
	assert_int_equal(buf_append(&b, head, sizeof(head) - 1), 0);
	assert_int_equal(buf_append(&b, id, sizeof(id)), 0);
	assert_int_equal(buf_append(&b, "\x10\x00\x1a\x14", 4), 0);
	assert_int_equal(buf_append(&b, mac, 20), 0);
	assert_int_equal(buf_append(&b, "\x1a\x07{\"a\":1}", 9), 0);
	client_says(t, 2, (struct slice){ b.data, b.len });
	buf_release(&b);
}

/* Promise: a client of version 4 is not told that its message was stored, but
 * it is told when not. */
static void
test_batch_of_client(void **state)
{
	static const struct asks full = { "a client of version 4",
		"disk or database is full", { NULL }, 1011 };
	static const struct asks busy = { "a client of version 4",
		"queue is full", { NULL }, 1011 };
	struct trouble *t = *state;

	join_signed(t, "4", "binaryMode=true");
	say_batch(t);
	assert_false(t->front.over);
	assert_int_equal(t->w->store->n_changes, 1);
	fake_transact(t->w->store, SIZE_MAX, ERR_FULL);
	fake_dispatch(t->w->store);
	assert_end(t, &full);
	join_signed(t, "4", "binaryMode=true");
	t->w->store->busy = true;
	say_batch(t);
	assert_end(t, &busy);
}

static void
daemon_ends(struct trouble *t)
{
	hub_drain(t->w->hub);
	hub_tick(t->w->hub);
	fake_settle(t->w->store);
	while (api_turn(t->api))
		;
}

#define WAITS(what, end, code, ...) \
	{ \
		what, end, { __VA_ARGS__ }, code \
	}

static const struct asks waiting[] = {
	WAITS("a long poll", "Status: 304", 0, PATH, "push_stream_subscriber",
	    "long-polling"),
	WAITS("a stream", "Status: 200", 0, PATH, "push_stream_subscriber",
	    "streaming"),
	WAITS("a WebSocket", "\x88", 0, PATH, "push_stream_subscriber",
	    "websocket", UPGRADE),
	WAITS("a poll of version 3", "Status: 304", 0, SUB("3", "")),
	WAITS("a poll of version 4", "Status: 304", 0, SUB("4", "")),
	WAITS("a WebSocket of version 4", "Status: 101", 1001, SUB("4", ""),
	    UPGRADE),
	WAITS("a WebSocket of version 5", "Status: 101", 1001,
	    SUB("5", "&jsonRpc=true"), UPGRADE),
};

/* Promise: who waits when the daemon goes gets his ordinary end, and comes
 * again. */
static void
test_daemon_ends(void **state)
{
	struct trouble *t;

	for (size_t i = 0; i < COUNT_OF(waiting); i++) {
		t = *state;
		ask(t, "GET", "", waiting[i].params);
		if (t->front.over)
			fail_msg("%s does not wait", waiting[i].what);
		daemon_ends(t);
		assert_end(t, &waiting[i]);
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
	}
}

/* Promise: a channel that is deleted under a client of Bitrix, who knows no
 * such thing, ends his wait, so that he makes it anew. */
static void
test_deleted(void **state)
{
	struct trouble *t = *state;

	for (size_t i = 3; i < COUNT_OF(waiting); i++) {
		struct channel *c;
		struct hub_wait wait = { .done = NULL };

		ask(t, "GET", "", waiting[i].params);
		assert_false(t->front.over);
		c = world_channel(t->w, S(ID));
		assert_int_equal(
		    hub_delete(t->w->hub, &c, 1, S("gone"), &wait), 0);
		hub_forget(&wait);
		fake_settle(t->w->store);
		while (api_turn(t->api))
			;
		assert_end(t, &waiting[i]);
	}
}

/* Promise: what is no WebSocket is told in plain HTTP why. */
static void
test_handshake(void **state)
{
	static const struct asks wrong[] = {
		WAITS("no key", "Sec-WebSocket-Key is missing.", 0,
		    SUB("4", ""), "HTTP_UPGRADE", "websocket"),
		WAITS("an old version", "Only version 13", 0, SUB("4", ""),
		    "HTTP_UPGRADE", "WebSocket", "HTTP_SEC_WEBSOCKET_KEY", "x",
		    "HTTP_SEC_WEBSOCKET_VERSION", "8"),
	};
	static const struct asks late = { "a front that does not upgrade",
		"The web server did not ask for a WebSocket here.",
		{ SUB("5", ""), UPGRADE }, 0 };
	struct trouble *t = *state;

	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		ask(t, "GET", "", wrong[i].params);
		assert_true(says(&t->front, "Status: 400"));
		assert_end(t, &wrong[i]);
	}
	ask_as(t, false, "GET", "", late.params);
	assert_end(t, &late);
}

static void
site_calls(struct trouble *t, const char *calls)
{
	struct layout *l = keyed(true);
	char mac[41], query[64];
	const char *params[] = { "bitrix_version", "5", "bitrix_route", "api",
		"QUERY_STRING", query, NULL, NULL };

	hex_mac(l->licences.personal.keys,
	    (struct slice){ calls, strlen(calls) }, mac);
	(void)snprintf(query, sizeof(query), "signature=%s", mac);
	api_set_layout(t->api, l);
	ask(t, "POST", calls, params);
}

/* Promise: a site's call that is not stored is no success, and the status of
 * the answer says so. */
static void
test_call_of_site(void **state)
{
	struct trouble *t = *state;

	site_calls(t, CALL.ptr);
	assert_false(t->front.over);
	fake_transact(t->w->store, SIZE_MAX, ERR_FULL);
	fake_dispatch(t->w->store);
	assert_true(t->front.over && says(&t->front, "Status: 507"));
	assert_true(says(&t->front, "\"error\""));
	t->w->store->busy = true;
	site_calls(t, CALL.ptr);
	assert_true(t->front.over && says(&t->front, "Status: 503"));
	assert_true(says(&t->front, "\"error\""));
	assert_false(says(&t->front, "\"result\""));
}

/* Promise: in a turn with many requests the store has not to wait for the last
 * of them; but what one publishes is handed over together, to be in one group
 * as a rule, which is stored or refused as a whole. */
static void
test_hand_over(void **state)
{
	struct slice call = CALL;
	struct trouble *t = *state;
	struct buf calls;

	for (size_t i = 0; i < STORE_MANY; i++) {
		assert_int_equal(t->w->store->handed, 0);
		site_calls(t, call.ptr);
		fake_settle(t->w->store);
	}
	assert_int_equal(t->w->store->handed, STORE_MANY);
	site_calls(t, call.ptr);
	fake_settle(t->w->store);
	buf_init(&calls, 65536);
	assert_int_equal(buf_text(&calls, "["), 0);
	for (size_t i = 0; i < 3 * STORE_MANY; i++) {
		assert_int_equal(buf_append(&calls, call.ptr, call.len), 0);
		assert_int_equal(buf_text(&calls, ","), 0);
	}
	calls.data[calls.len - 1] = ']';
	assert_int_equal(buf_append(&calls, "", 1), 0);
	site_calls(t, calls.data);
	assert_int_equal(t->w->store->handed, 1 + 3 * STORE_MANY);
	buf_release(&calls);
	fake_settle(t->w->store);
	assert_true(t->front.over && says(&t->front, "Status: 200"));
}

/* Promise: a client's call that is not stored is answered with an error, under
 * its id, and the connection stays. */
static void
test_call_of_client(void **state)
{
	struct trouble *t = *state;
	struct keyring *keys;
	char mac[41], text[512];
	int len;

	join_signed(t, "5", "jsonRpc=true");
	keys = api_layout(t->api)->licences.personal.keys;
	hex_mac(keys, S("public:" PUBLIC), mac);
	len = snprintf(text, sizeof(text),
	    "{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"publish\",\"params\":"
	    "{\"channelList\":[{\"publicId\":\"" PUBLIC
	    "\",\"signature\":\"%s\"}],\"body\":{}}}",
	    mac);
	client_says(t, 1, (struct slice){ text, (size_t)len });
	assert_int_equal(t->w->store->n_changes, 1);
	assert_int_equal(t->front.got.len, 0);
	fake_transact(t->w->store, SIZE_MAX, ERR_FULL);
	fake_dispatch(t->w->store);
	assert_true(says(&t->front, "\"error\"") && says(&t->front, "77"));
	assert_false(t->front.over || t->front.failed);
	buf_clear(&t->front.got);
	t->w->store->busy = true;
	client_says(t, 1, (struct slice){ text, (size_t)len });
	assert_true(says(&t->front, "\"error\"") && says(&t->front, "77"));
	assert_false(t->front.over || t->front.failed);
}

/* Promise: what comes by WebSockets has not to wait for the end either. */
static void
test_hand_over_of_client(void **state)
{
	struct trouble *t = *state;

	join_signed(t, "4", "binaryMode=true");
	for (size_t i = 0; i < STORE_MANY; i++) {
		assert_int_equal(t->w->store->handed, 0);
		say_batch(t);
	}
	assert_int_equal(t->w->store->handed, STORE_MANY);
}

/* Promise: what a client says that waits for the disk has a bound. */
static void
test_many_calls(void **state)
{
	struct trouble *t = *state;
	char mac[41], text[512];
	int n, len;

	join_signed(t, "5", "jsonRpc=true");
	hex_mac(api_layout(t->api)->licences.personal.keys, S("public:" PUBLIC),
	    mac);
	len = snprintf(text, sizeof(text),
	    "{\"jsonrpc\":\"2.0\",\"method\":\"publish\",\"params\":"
	    "{\"channelList\":[{\"publicId\":\"" PUBLIC
	    "\",\"signature\":\"%s\"}],\"body\":{}},\"id\":1}",
	    mac);
	for (n = 0; n <= 1000 && !t->front.resting; n++)
		client_says(t, 1, (struct slice){ text, (size_t)len });
	assert_int_equal(n, 64);
	assert_int_equal(t->w->store->n_changes, 64);
	/* What the front had read already is kept, and nothing refused. */
	client_says(t, 1, (struct slice){ text, (size_t)len });
	assert_int_equal(t->w->store->n_changes, 64);
	assert_int_equal(t->front.got.len, 0);
	assert_false(t->front.over || t->front.failed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unreadable),
		TEST(test_full),
		TEST(test_busy),
		TEST(test_websocket_publishes),
		TEST(test_batch_of_client),
		TEST(test_call_of_site),
		TEST(test_hand_over),
		TEST(test_hand_over_of_client),
		TEST(test_call_of_client),
		TEST(test_many_calls),
		TEST(test_daemon_ends),
		TEST(test_deleted),
		TEST(test_handshake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
