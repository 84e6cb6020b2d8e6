/*
 * tests/unit/test_batch.c - protobuf as the genuine programs write it, byte
 * for byte, and what no genuine program writes.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/bitrix/batch.h"
#include "api/bitrix/look.h"
#include "tests/unit/hex.h"

#define PRIVATE "0123456789abcdef0123456789abcdef"
#define PUBLIC "fedcba9876543210fedcba9876543210"
#define SHARED "11112222333344445555666677778888"
#define TIME 1795374917

static const char publish[] =
    "0a310a2f0a2d0a140a10" PRIVATE "10011a077b2261223a317d"
    "2080a3052a08696d5f68656c6c6f";
static const char publish_bare[] =
    "0a230a210a1f0a140a10" PRIVATE "10011a077b2261223a317d";
static const char publish_by_client[] =
    "0a650a630a610a280a10" PUBLIC "1a149289d72e2236eeba38df9f19d140d57fd88fff55"
    "1a337b226d6f64756c655f6964223a22696d222c22636f6d6d616e64223a22636d64"
    "222c22706172616d73223a7b2278223a317d7d200a";
static const char channel_stats[] =
    "0a2e122c0a140a10" PRIVATE "10010a140a10" SHARED "1001";

static struct buf bytes;

static int
setup(void **state)
{
	(void)state;
	buf_init(&bytes, SIZE_MAX);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	buf_release(&bytes);
	return 0;
}

/* What is in `bytes`; the copy ends where a sanitizer sees it. */
static int
read_bytes(struct batch **b)
{
	char *copy = malloc(bytes.len + 1);
	int err;

	assert_non_null(copy);
	if (bytes.len != 0)
		memcpy(copy + 1, bytes.data, bytes.len);
	err = batch_read((struct slice){ copy + 1, bytes.len }, b);
	free(copy);
	return err;
}

static struct batch *
read_hex(const char *hex)
{
	struct batch *b = NULL;

	buf_clear(&bytes);
	hex_put(&bytes, hex);
	assert_int_equal(read_bytes(&b), 0);
	return b;
}

static void
assert_refused(const char *hex)
{
	struct batch *b = NULL;
	int err;

	buf_clear(&bytes);
	hex_put(&bytes, hex);
	err = read_bytes(&b);
	if (err != ERR_SYNTAX)
		fail_msg("%s: %d", hex, err);
	assert_null(b);
}

static void
assert_hex(const struct buf *got, const char *hex)
{
	buf_clear(&bytes);
	hex_put(&bytes, hex);
	assert_int_equal(got->len, bytes.len);
	assert_memory_equal(got->data, bytes.data, bytes.len);
}

static void
assert_data(ProtobufCBinaryData data, const char *hex)
{
	struct buf got = { (char *)data.data, data.len, 0, 0 };

	assert_hex(&got, hex);
}

static const IncomingMessage *
only_message(const struct batch *b)
{
	const Request *r = batch_request(b);

	assert_non_null(r);
	assert_int_equal(r->command_case, REQUEST__COMMAND_INCOMING_MESSAGES);
	assert_int_equal(r->incoming_messages->n_messages, 1);
	return r->incoming_messages->messages[0];
}

static void
test_read_publish(void **state)
{
	struct batch *b = read_hex(publish);
	const IncomingMessage *m = only_message(b);

	(void)state;
	assert_int_equal(m->n_receivers, 1);
	assert_data(m->receivers[0]->id, PRIVATE);
	assert_true(m->receivers[0]->is_private);
	assert_false(m->receivers[0]->has_signature);
	assert_null(m->sender);
	assert_data(m->body, "7b2261223a317d");
	assert_true(m->has_expiry);
	assert_int_equal(m->expiry, 86400);
	assert_data(m->type, "696d5f68656c6c6f");
	batch_free(&b);
	assert_null(b);

	b = read_hex(publish_bare);
	m = only_message(b);
	assert_false(m->has_expiry);
	assert_false(m->has_type);
	assert_int_equal(m->body.len, 7);
	batch_free(&b);
}

static void
test_read_publish_by_client(void **state)
{
	struct batch *b = read_hex(publish_by_client);
	const IncomingMessage *m = only_message(b);

	(void)state;
	assert_data(m->receivers[0]->id, PUBLIC);
	assert_false(m->receivers[0]->is_private);
	assert_data(m->receivers[0]->signature,
	    "9289d72e2236eeba38df9f19d140d57fd88fff55");
	assert_int_equal(m->body.len, 51);
	assert_int_equal(m->expiry, 10);
	batch_free(&b);
}

static void
test_read_stats(void **state)
{
	struct batch *b = read_hex(channel_stats);
	const Request *r = batch_request(b);

	(void)state;
	assert_int_equal(r->command_case, REQUEST__COMMAND_CHANNEL_STATS);
	assert_int_equal(r->channel_stats->n_channels, 2);
	assert_data(r->channel_stats->channels[0]->id, PRIVATE);
	assert_data(r->channel_stats->channels[1]->id, SHARED);
	assert_true(r->channel_stats->channels[1]->is_private);
	batch_free(&b);
	b = read_hex("0a021a00");
	assert_int_equal(
	    batch_request(b)->command_case, REQUEST__COMMAND_SERVER_STATS);
	batch_free(&b);
}

/* The first request counts, and the last command in it. */
static void
test_read_odd(void **state)
{
	struct batch *b = read_hex("");

	(void)state;
	assert_null(batch_request(b));
	batch_free(&b);
	/* A request with no command, or with one from the future. */
	b = read_hex("0a00");
	assert_int_equal(
	    batch_request(b)->command_case, REQUEST__COMMAND__NOT_SET);
	batch_free(&b);
	b = read_hex("0a023a00");
	assert_int_equal(
	    batch_request(b)->command_case, REQUEST__COMMAND__NOT_SET);
	batch_free(&b);
	b = read_hex("0a021a000a021200");
	assert_int_equal(
	    batch_request(b)->command_case, REQUEST__COMMAND_SERVER_STATS);
	batch_free(&b);
	b = read_hex("0a041a001200");
	assert_int_equal(
	    batch_request(b)->command_case, REQUEST__COMMAND_CHANNEL_STATS);
	batch_free(&b);
	/* Unknown fields of every type there is. */
	b = read_hex("50015900000000000000005d000000000a021a006201ff");
	assert_int_equal(
	    batch_request(b)->command_case, REQUEST__COMMAND_SERVER_STATS);
	batch_free(&b);
	/* A NUL ends nothing; an empty body is one. */
	b = read_hex("0a090a070a051a03610062");
	assert_data(only_message(b)->body, "610062");
	batch_free(&b);
	b = read_hex("0a060a040a021a00");
	assert_true(only_message(b)->has_body);
	assert_int_equal(only_message(b)->body.len, 0);
	batch_free(&b);
	/* A number in ten bytes: its low bits count. */
	b = read_hex("0a0f0a0d0a0b20ffffffffffffffffff01");
	assert_int_equal(only_message(b)->expiry, UINT32_MAX);
	batch_free(&b);
}

static void
test_refused(void **state)
{
	char nested[2 * 4000 + 1];

	(void)state;
	assert_refused("30");
	assert_refused("7b7d");
	assert_refused("00");
	assert_refused("0a");
	assert_refused("0a80");
	assert_refused("0a01");
	assert_refused("0affffffff0f");
	assert_refused("0affffffffffffffffff01");
	assert_refused("0a808080808080808080808000");
	assert_refused("ffffffffffffffffffffff01");
	/* No number of bytes, but a number; and a text in place of one. */
	assert_refused("0801");
	assert_refused("0d00000000");
	assert_refused("0a080a060a042202ffff");
	assert_refused("0a0e0a0c0a0a20ffffffffffffffffff");
	assert_refused("0a100a0e0a0c20ffffffffffffffffffff01");
	/* A part that is longer than what it is in. */
	assert_refused("0a040a050a001200");
	/* Groups, in each other. */
	assert_refused("0b0c");
	assert_refused("535400");
	for (size_t i = 0; i < sizeof(nested) - 1; i += 2)
		memcpy(nested + i, "53", 2);
	nested[sizeof(nested) - 1] = '\0';
	assert_refused(nested);
	assert_refused("0e00");
	assert_refused("0f00");
}

/* Whatever is cut off or changed in a genuine request. */
static void
test_mutilated(void **state)
{
	static const char *const genuine[] = { publish, publish_by_client,
		channel_stats };
	struct batch *b;
	size_t len, refused = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(genuine); i++) {
		buf_clear(&bytes);
		hex_put(&bytes, genuine[i]);
		len = bytes.len;
		for (bytes.len = 1; bytes.len < len; bytes.len++) {
			b = NULL;
			assert_int_equal(read_bytes(&b), ERR_SYNTAX);
		}
		for (size_t at = 0; at < len; at++) {
			for (unsigned bit = 1; bit < 256; bit <<= 1) {
				b = NULL;
				bytes.data[at] ^= (char)bit;
				refused += read_bytes(&b) != 0;
				bytes.data[at] ^= (char)bit;
				batch_free(&b);
			}
		}
	}
	assert_true(refused > 100);
}

/* n times the same bytes. */
static int
read_repeated(const char *hex, size_t n)
{
	struct batch *b = NULL;
	int err;

	buf_clear(&bytes);
	while (n-- != 0)
		hex_put(&bytes, hex);
	err = read_bytes(&b);
	batch_free(&b);
	return err;
}

/* A megabyte of small things would be fifty in memory. */
static void
test_bounded(void **state)
{
	(void)state;
	assert_int_equal(read_repeated("0a00", 1 << 19), ERR_TOOBIG);
	assert_int_equal(read_repeated("5000", 1 << 19), ERR_TOOBIG);
	assert_int_equal(read_repeated("0a021a00", 1 << 18), ERR_TOOBIG);
	assert_int_equal(read_repeated("0a00", 1 << 10), 0);
}

static void
put_length(struct buf *out, uint8_t tag, size_t len)
{
	uint8_t head[] = { tag, (uint8_t)(len | 0x80),
		(uint8_t)(len >> 7 | 0x80), (uint8_t)(len >> 14) };

	assert_int_equal(buf_append(out, head, sizeof(head)), 0);
}

/* The most that a server of this version takes: 100 messages to 100 each. */
static void
test_largest(void **state)
{
	enum {
		N = 100
	};
	struct buf message;
	struct batch *b = NULL;
	const Request *r;

	(void)state;
	buf_init(&message, SIZE_MAX);
	for (int i = 0; i < N; i++)
		hex_put(&message, "0a140a10" PRIVATE "1001");
	hex_put(&message, "1a027b7d");
	buf_clear(&bytes);
	put_length(&bytes, 0x0a, (4 + message.len) * N + 4);
	put_length(&bytes, 0x0a, (4 + message.len) * N);
	for (int i = 0; i < N; i++) {
		put_length(&bytes, 0x0a, message.len);
		assert_int_equal(
		    buf_append(&bytes, message.data, message.len), 0);
	}
	assert_int_equal(read_bytes(&b), 0);
	r = batch_request(b);
	assert_int_equal(r->incoming_messages->n_messages, N);
	assert_int_equal(r->incoming_messages->messages[N - 1]->n_receivers, N);
	assert_data(r->incoming_messages->messages[N - 1]->receivers[N - 1]->id,
	    PRIVATE);
	batch_free(&b);
	buf_release(&message);
}

static struct msg *
message(struct slice text, struct slice extra, int64_t expires)
{
	struct msg_parts parts = {
		.text = text, .extra = extra, .expires = expires
	};
	struct msg *m = msg_make(&parts);

	assert_non_null(m);
	return m;
}

static void
assert_message(struct slice text, struct slice extra, int64_t expires,
    uint32_t tag, const char *hex)
{
	struct msg *m = message(text, extra, expires);
	struct buf out;

	buf_init(&out, SIZE_MAX);
	assert_int_equal(batch_put_message(&out, m, cursor_make(TIME, tag)), 0);
	assert_hex(&out, hex);
	buf_release(&out);
	msg_unref(&m);
}

#define NO_EXTRA ((struct slice){ NULL, 0 })

static void
test_put_message(void **state)
{
	(void)state;
	assert_message(SLICE("{\"module_id\":\"im\",\"command\":\"hello\","
			     "\"params\":{\"n\":1},\"extra\":{}}"),
	    NO_EXTRA, TIME + 86400, 1,
	    "0a620a600a5e0a0d1795374917000000000000000112407b226d6f64756c655f"
	    "6964223a22696d222c22636f6d6d616e64223a2268656c6c6f222c2270617261"
	    "6d73223a7b226e223a317d2c226578747261223a7b7d7d1880a30525453f036b"
	    "2a020802");
	/* Not kept, and perhaps published long ago: 0 is said aloud. */
	assert_message(SLICE("{}"), NO_EXTRA, 0, 3,
	    "0a220a200a1e0a0d1795374917000000000000000312027b7d1800"
	    "25453f036b2a020802");
	assert_message(SLICE("{}"), NO_EXTRA, TIME, 3,
	    "0a220a200a1e0a0d1795374917000000000000000312027b7d1800"
	    "25453f036b2a020802");
	assert_message(SLICE("{}"), NO_EXTRA, INT64_MAX, 3,
	    "0a260a240a220a0d1795374917000000000000000312027b7d18ffffffff0f"
	    "25453f036b2a020802");
	assert_message(SLICE(""), NO_EXTRA, 0, 3,
	    "0a200a1e0a1c0a0d1795374917000000000000000312001800"
	    "25453f036b2a020802");
}

static void
test_put_sender(void **state)
{
	static const char head[] =
	    "0a0d1795374917000000000000000212027b7d180a25453f036b";
	char hex[200];

	(void)state;
	assert_message(SLICE("{\"module_id\":\"im\",\"command\":\"cmd\","
			     "\"params\":{\"x\":1}}"),
	    SLICE("C\xfe\xdc\xba\x98\x76\x54\x32\x10"
		  "\xfe\xdc\xba\x98\x76\x54\x32\x10"),
	    TIME + 10, 2,
	    "0a650a630a610a0d1795374917000000000000000212337b226d6f64756c655f"
	    "6964223a22696d222c22636f6d6d616e64223a22636d64222c22706172616d73"
	    "223a7b2278223a317d7d180a25453f036b2a1408011210" PUBLIC);
	(void)snprintf(hex, sizeof(hex), "0a240a220a20%s2a0408011200", head);
	assert_message(SLICE("{}"),
	    SLICE("J{\"sender\":{\"type\":1,\"id\":7}}"), TIME + 10, 2, hex);
	/* The site's own, for some with parameters of their own. */
	(void)snprintf(hex, sizeof(hex), "0a220a200a1e%s2a020802", head);
	assert_message(SLICE("{}"), SLICE("J{\"user_params\":{\"7\":{}}}"),
	    TIME + 10, 2, hex);
}

/* What a connection's frames hold when several messages go into one. */
static void
test_two_are_one(void **state)
{
	struct msg *m = message(SLICE("{}"), NO_EXTRA, 0);
	ResponseBatch *batch;
	struct buf out;

	(void)state;
	buf_init(&out, SIZE_MAX);
	assert_int_equal(batch_put_message(&out, m, cursor_make(TIME, 1)), 0);
	assert_int_equal(batch_put_message(&out, m, cursor_make(TIME, 2)), 0);
	batch =
	    response_batch__unpack(NULL, out.len, (const uint8_t *)out.data);
	assert_non_null(batch);
	assert_int_equal(batch->n_responses, 2);
	assert_data(batch->responses[1]->outgoing_messages->messages[0]->id,
	    "17953749170000000000000002");
	response_batch__free_unpacked(batch, NULL);
	buf_release(&out);
	msg_unref(&m);
}

static void
assert_channel_stats(const char *asked, const bool *online, const char *hex)
{
	struct batch *b = read_hex(asked);
	struct buf out;

	buf_init(&out, SIZE_MAX);
	assert_int_equal(batch_put_channel_stats(
			     &out, batch_request(b)->channel_stats, online),
	    0);
	assert_hex(&out, hex);
	buf_release(&out);
	batch_free(&b);
}

static void
test_put_stats(void **state)
{
	static const char json[] = "[{\"pid\":1}]";
	struct buf out;

	(void)state;
	assert_channel_stats(channel_stats, (bool[]){ true, false },
	    "0a3212300a160a10" PRIVATE "100118010a160a10" SHARED "10011800");
	assert_channel_stats("0a2c122a0a280a10" PUBLIC
			     "1a149289d72e2236eeba38df9f19d140d57fd88fff55",
	    (bool[]){ true }, "0a1a12180a160a10" PUBLIC "10001801");
	assert_channel_stats("0a021200", NULL, "0a021200");

	buf_init(&out, SIZE_MAX);
	assert_int_equal(batch_put_server_stats(&out, SLICE(json)), 0);
	assert_hex(&out, "0a0f1a0d0a0b5b7b22706964223a317d5d");
	buf_release(&out);
	/* No half of an answer. */
	buf_init(&out, 16);
	assert_int_equal(batch_put_server_stats(&out, SLICE(json)), ERR_TOOBIG);
	assert_int_equal(out.len, 0);
	buf_release(&out);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_read_publish),
		TEST(test_read_publish_by_client),
		TEST(test_read_stats),
		TEST(test_read_odd),
		TEST(test_refused),
		TEST(test_mutilated),
		TEST(test_bounded),
		TEST(test_largest),
		TEST(test_put_message),
		TEST(test_put_sender),
		TEST(test_two_are_one),
		TEST(test_put_stats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
