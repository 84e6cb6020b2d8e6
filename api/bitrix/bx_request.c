/*
 * api/bitrix/bx_request.c - a RequestBatch, whoever sent it.
 *
 * Only its first request counts.  All of it is checked before anything is
 * published.  Source: bitrix.md sections a.10, d.2.
 */
#include "api/bitrix/bx_priv.h"
#include "api/bitrix/json.h"

static struct slice
bytes_slice(ProtobufCBinaryData d)
{
	return (struct slice){ (const char *)d.data, d.len };
}

/* --- receivers and channels: who may name them? ------------------------ */

static int
check_id(const struct bx_asker *from, ProtobufCBinaryData id, bool is_private,
    ProtobufCBinaryData signature)
{
	char pub[BX_ID_LEN];

	if (id.len != BX_ID_BYTES)
		return BX_INVALID_ID;
	if (from->trusted)
		return 0;
	if (is_private)
		return BX_IS_PRIVATE;
	bx_id_hex(id.data, pub);
	return bx_public_signed(
		   from->licence->keys, pub, bytes_slice(signature))
	    ? 0
	    : BX_BAD_SIGNATURE;
}

static int
check_message(const struct bx_asker *from, const IncomingMessage *m)
{
	int err = 0;

	if (m->n_receivers == 0)
		return BX_NO_CHANNELS;
	if (m->n_receivers > BX_IDS_MAX)
		return BX_MANY_CHANNELS;
	for (size_t i = 0; i < m->n_receivers && err == 0; i++) {
		const Receiver *r = m->receivers[i];

		err = check_id(from, r->id, r->is_private, r->signature);
	}
	/* An event without text would break those that stand beside it. */
	return err == 0 && m->body.len == 0 ? BX_WRONG_DATA : err;
}

static int
check_messages(
    const struct bx_asker *from, const IncomingMessagesRequest *request)
{
	int err = 0;

	if (!from->trusted && from->pub == NULL)
		return BX_PUBLIC_WANTED;
	if (request->n_messages > BX_MESSAGES_MAX)
		return BX_MANY_MESSAGES;
	for (size_t i = 0; i < request->n_messages && err == 0; i++)
		err = check_message(from, request->messages[i]);
	return err;
}

/* --- publishing -------------------------------------------------------- */

/* The sender is who was let in, whatever the message says.  Whether its text is
 * JSON is found out here, once, and not by each who reads it. */
static struct slice
sender_extra(const struct bx_asker *from, const IncomingMessage *in,
    char out[1 + BX_ID_BYTES])
{
	if (from->trusted)
		return (struct slice){ NULL, 0 };
	out[0] = json_valid(bytes_slice(in->body)) ? BX_EXTRA_CLIENT
						   : BX_EXTRA_STRING;
	bx_id_pack(from->pub, (uint8_t *)out + 1);
	return (struct slice){ out, 1 + BX_ID_BYTES };
}

static int
publish_message(struct api *a, const struct bx_asker *from,
    const IncomingMessage *in, struct bx_job *job)
{
	char ids[BX_IDS_MAX][BX_ID_LEN], extra[1 + BX_ID_BYTES];
	struct bx_receiver to[BX_IDS_MAX];
	struct bx_message m = { .text = bytes_slice(in->body),
		.extra = sender_extra(from, in, extra),
		.ttl_s = bx_ttl(a, in->expiry),
		.to = to,
		.n = (uint32_t)in->n_receivers };

	for (uint32_t i = 0; i < m.n; i++) {
		const Receiver *r = in->receivers[i];

		bx_id_hex(r->id.data, ids[i]);
		to[i] = (struct bx_receiver){ r->is_private ? BX_PRIVATE
							    : BX_PUBLIC,
			{ ids[i], BX_ID_LEN } };
	}
	bx_count_type(a->bitrix, bytes_slice(in->type));
	return bx_publish(a, from->licence, job, &m);
}

static int
run_messages(struct api *a, const struct bx_asker *from,
    const IncomingMessagesRequest *request, bx_job_done_f *done, void *arg,
    struct bx_job **job)
{
	int err = check_messages(from, request);

	if (err != 0)
		return err;
	bx_today(a->bitrix)->incoming++;
	*job = bx_job_new((uint32_t)request->n_messages, done, arg);
	if (*job == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < request->n_messages && err == 0; i++)
		err = publish_message(a, from, request->messages[i], *job);
	if (err != 0)
		bx_job_forget(job);
	return err;
}

/* --- questions --------------------------------------------------------- */

static int
run_channel_stats(struct api *a, const struct bx_asker *from,
    const ChannelStatsRequest *request, struct buf *out)
{
	bool online[BX_IDS_MAX];
	char id[BX_ID_LEN];
	int err = 0;

	if (request->n_channels == 0)
		return BX_NO_CHANNELS;
	if (request->n_channels > BX_IDS_MAX)
		return BX_MANY_CHANNELS;
	for (size_t i = 0; i < request->n_channels; i++) {
		const ChannelId *c = request->channels[i];

		err = check_id(from, c->id, c->is_private, c->signature);
		if (err != 0)
			return err;
		bx_id_hex(c->id.data, id);
		online[i] = bx_online(a, from->licence,
		    c->is_private ? BX_PRIVATE : BX_PUBLIC,
		    (struct slice){ id, BX_ID_LEN });
	}
	bx_today(a->bitrix)->channel_stats++;
	return batch_put_channel_stats(out, request, online);
}

static int
run_server_stats(struct api *a, const struct bx_asker *from, struct buf *out)
{
	struct buf json;
	int err;

	if (!from->trusted)
		return BX_NOT_ALLOWED;
	bx_today(a->bitrix)->server_stats++;
	buf_init(&json, REPLY_MAX);
	err = bx_server_stats(a, 4, from->max_connections, &json);
	if (err == 0)
		err = batch_put_server_stats(
		    out, (struct slice){ json.data, json.len });
	buf_release(&json);
	return err;
}

static int
run(struct api *a, const struct bx_asker *from, const Request *r,
    bx_job_done_f *done, void *arg, struct bx_job **job, struct buf *out)
{
	switch (r->command_case) {
	case REQUEST__COMMAND_INCOMING_MESSAGES:
		return run_messages(
		    a, from, r->incoming_messages, done, arg, job);
	case REQUEST__COMMAND_CHANNEL_STATS:
		return run_channel_stats(a, from, r->channel_stats, out);
	case REQUEST__COMMAND_SERVER_STATS:
		return run_server_stats(a, from, out);
	case REQUEST__COMMAND__NOT_SET:
		return BX_WRONG_DATA;
	default: /* registration is the vendor's affair */
		return from->trusted ? BX_WRONG_COMMAND : BX_NOT_ALLOWED;
	}
}

int
bx_request(struct api *a, const struct bx_asker *from, struct slice bytes,
    bx_job_done_f *done, void *arg, struct bx_job **job, struct buf *out)
{
	struct batch *batch = NULL;
	const Request *r;
	int err = batch_read(bytes, &batch);

	*job = NULL;
	if (err == ERR_NOMEM)
		return err;
	if (err == ERR_TOOBIG)
		limit_hit(&a->stats->limits, LIMIT_protobuf);
	if (err != 0)
		return BX_WRONG_DATA;
	r = batch_request(batch);
	err = r != NULL ? run(a, from, r, done, arg, job, out) : BX_WRONG_DATA;
	batch_free(&batch);
	return err;
}
