/*
 * tests/fuzz/fuzz_batch.c - any bytes as a version 4 client's request.
 *
 * What is read is read to its last byte; and a message or a question that came
 * of it must make a piece or an answer that is whole, in every look there is.
 */
#include "tests/fuzz/check.h"

#include <stdio.h>

#include "api/bitrix/batch.h"
#include "api/bitrix/json.h"
#include "api/bitrix/look.h"

#define CURSOR cursor_make(1795374917, 1)

static unsigned long sum; /* for its sake bytes are looked at */

static void
look_at(ProtobufCBinaryData data)
{
	for (size_t i = 0; i < data.len; i++)
		sum += data.data[i];
}

static bool
ends_with(const struct buf *b, const char *end)
{
	size_t len = strlen(end);

	return b->len >= len && memcmp(b->data + b->len - len, end, len) == 0;
}

static void
check_text(const struct buf *piece)
{
	static const char end[] = "#!NGINXNME!#";
	const char *found = memmem(piece->data, piece->len, end, strlen(end));

	CHECK(ends_with(piece, end));
	CHECK(found == piece->data + piece->len - strlen(end));
	CHECK(memchr(piece->data, '\n', piece->len) == NULL);
	CHECK(memchr(piece->data, '\r', piece->len) == NULL);
}

static void
check_json(const struct buf *piece)
{
	json_t *value = json_read((struct slice){ piece->data, piece->len });

	CHECK(json_is_object(value));
	json_decref(value);
}

static void
check_binary(const struct buf *piece, const struct msg *m)
{
	ResponseBatch *batch = response_batch__unpack(
	    NULL, piece->len, (const uint8_t *)piece->data);
	const OutgoingMessage *got;

	CHECK(batch != NULL && batch->n_responses == 1);
	got = batch->responses[0]->outgoing_messages->messages[0];
	CHECK(got->body.len == m->text_len);
	CHECK(m->text_len == 0 ||
	    memcmp(got->body.data, msg_text(m).ptr, m->text_len) == 0);
	response_batch__free_unpacked(batch, NULL);
}

static void
check_looks(const struct msg *m)
{
	for (int kind = BX_LOOK_TEXT; kind <= BX_LOOK_RPC; kind++) {
		struct bx_look look = { (enum bx_look_kind)kind, 4, false };
		struct buf piece;

		buf_init(&piece, SIZE_MAX);
		CHECK(
		    bx_look_put(&piece, &look, m, SLICE("-"), CURSOR, 7) == 0);
		if (kind == BX_LOOK_TEXT)
			check_text(&piece);
		else if (kind == BX_LOOK_BINARY)
			check_binary(&piece, m);
		else
			check_json(&piece);
		buf_release(&piece);
	}
}

static void
check_message(const IncomingMessage *in)
{
	struct msg_parts parts = { .text = { (const char *)in->body.data,
				       in->body.len },
		.expires = in->expiry };
	struct msg *m = msg_make(&parts);

	CHECK(m != NULL);
	check_looks(m);
	msg_unref(&m);
	look_at(in->type);
	if (in->sender != NULL)
		look_at(in->sender->id);
	for (size_t i = 0; i < in->n_receivers; i++) {
		look_at(in->receivers[i]->id);
		look_at(in->receivers[i]->signature);
	}
}

static void
check_stats(const ChannelStatsRequest *asked)
{
	bool *online = calloc(asked->n_channels + 1, sizeof(*online));
	ResponseBatch *batch;
	struct buf out;

	CHECK(online != NULL);
	buf_init(&out, SIZE_MAX);
	CHECK(batch_put_channel_stats(&out, asked, online) == 0);
	batch =
	    response_batch__unpack(NULL, out.len, (const uint8_t *)out.data);
	CHECK(batch != NULL && batch->n_responses == 1);
	CHECK(batch->responses[0]->channel_stats->n_channels ==
	    asked->n_channels);
	response_batch__free_unpacked(batch, NULL);
	buf_release(&out);
	free(online);
}

static void
check_request(const Request *r)
{
	switch (r->command_case) {
	case REQUEST__COMMAND_INCOMING_MESSAGES:
		for (size_t i = 0; i < r->incoming_messages->n_messages; i++)
			check_message(r->incoming_messages->messages[i]);
		break;
	case REQUEST__COMMAND_CHANNEL_STATS:
		check_stats(r->channel_stats);
		break;
	case REQUEST__COMMAND_REGISTRATION:
		look_at(r->registration->verification_query);
		look_at(r->registration->host);
		break;
	default:
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct batch *b = NULL;
	int err = batch_read((struct slice){ (const char *)data, size }, &b);

	CHECK(err == 0 || err == ERR_SYNTAX || err == ERR_TOOBIG);
	CHECK((b != NULL) == (err == 0));
	if (err == 0 && batch_request(b) != NULL)
		check_request(batch_request(b));
	batch_free(&b);
	return 0;
}
