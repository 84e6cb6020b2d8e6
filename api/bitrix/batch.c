/*
 * api/bitrix/batch.c - protobuf-c, kept on a short leash.
 *
 * It unpacks a request into many small objects, and a few bytes can ask for
 * many of them.  So all of them come from one arena with a bound, and go
 * together.  The first bytes of the arena stand in the batch itself, which is
 * enough for most requests; then each chunk is as large as all before it.
 *
 * protobuf-c has no use for groups and refuses a request with one, where other
 * readers skip it.  Nobody sends groups.
 */
#include "api/bitrix/batch.h"

#include "api/bitrix/json.h"
#include "api/bitrix/look.h"
#include "api/bitrix/mid.h"

#define ALIGN sizeof(max_align_t)
#define FIRST_BYTES 2048

struct chunk {
	struct chunk *next;
	max_align_t data[];
};

struct batch {
	RequestBatch *read;
	struct chunk *chunks; /* all but the first */
	char *at;	      /* what is free in the last one */
	size_t left;
	size_t total; /* bytes of all chunks */
	int err;      /* why there is no more */
	max_align_t first[FIRST_BYTES / ALIGN];
};

static int
arena_grow(struct batch *b, size_t size)
{
	size_t bound = BATCH_MEMORY_MAX - b->total;
	size_t cap = MIN_OF(MAX_OF(size, b->total), bound);
	struct chunk *c;

	if (size > bound)
		return ERR_TOOBIG;
	c = malloc(sizeof(*c) + cap);
	if (c == NULL)
		return ERR_NOMEM;
	c->next = b->chunks;
	b->chunks = c;
	b->at = (char *)c->data;
	b->left = cap;
	b->total += cap;
	return 0;
}

static void *
arena_alloc(void *data, size_t size)
{
	struct batch *b = data;
	void *p;

	if (size > BATCH_MEMORY_MAX) {
		b->err = ERR_TOOBIG;
		return NULL;
	}
	size = (size + ALIGN - 1) / ALIGN * ALIGN;
	if (size > b->left)
		b->err = arena_grow(b, size);
	if (b->err != 0)
		return NULL;
	p = b->at;
	b->at += size;
	b->left -= size;
	return p;
}

static void
arena_free(void *data, void *p)
{
	(void)data;
	(void)p;
}

int
batch_read(struct slice bytes, struct batch **out)
{
	struct batch *b = malloc(sizeof(*b));
	ProtobufCAllocator arena = { arena_alloc, arena_free, b };
	int err;

	if (b == NULL)
		return ERR_NOMEM;
	b->chunks = NULL;
	b->at = (char *)b->first;
	b->left = b->total = sizeof(b->first);
	b->err = 0;
	b->read = request_batch__unpack(
	    &arena, bytes.len, (const uint8_t *)bytes.ptr);
	if (b->read == NULL) {
		err = b->err != 0 ? b->err : ERR_SYNTAX;
		batch_free(&b);
		return err;
	}
	*out = b;
	return 0;
}

void
batch_free(struct batch **bp)
{
	struct batch *b = *bp;
	struct chunk *c;

	*bp = NULL;
	if (b == NULL)
		return;
	while ((c = b->chunks) != NULL) {
		b->chunks = c->next;
		free(c);
	}
	free(b);
}

const Request *
batch_request(const struct batch *b)
{
	return b->read->n_requests != 0 ? b->read->requests[0] : NULL;
}

/* protobuf-c writes what it was given, and does not change it. */
static ProtobufCBinaryData
bytes_of(struct slice s)
{
	return (ProtobufCBinaryData){ s.len, (uint8_t *)(uintptr_t)s.ptr };
}

static int
put_response(struct buf *out, Response *response)
{
	ResponseBatch batch = RESPONSE_BATCH__INIT;
	size_t len;
	int err;

	batch.n_responses = 1;
	batch.responses = &response;
	len = response_batch__get_packed_size(&batch);
	err = buf_reserve(out, len);
	if (err == 0)
		out->len += response_batch__pack(
		    &batch, (uint8_t *)out->data + out->len);
	return err;
}

/* Version 5 knows clients by their numbers, which are nothing to version 4. */
static void
sender_of(const struct msg *m, Sender *sender)
{
	struct slice extra = msg_extra(m), given;

	sender->has_type = true;
	sender->type = SENDER_TYPE__BACKEND;
	if (extra.len == 0)
		return;
	given = (struct slice){ extra.ptr + 1, extra.len - 1 };
	if (*extra.ptr == BX_EXTRA_JSON) {
		if (json_member(given, "sender").ptr == NULL)
			return;
		given.len = 0;
	}
	sender->type = SENDER_TYPE__CLIENT;
	sender->has_id = true;
	sender->id = bytes_of(given);
}

/* How long it is kept, by the time when it was published. */
static uint32_t
expiry_s(const struct msg *m, uint64_t cursor)
{
	int64_t created = (int64_t)cursor_time(cursor);

	if (m->expires <= created)
		return 0;
	return (uint32_t)MIN_OF(m->expires - created, UINT32_MAX);
}

int
batch_put_message(struct buf *out, const struct msg *m, uint64_t cursor)
{
	Response response = RESPONSE__INIT;
	OutgoingMessagesResponse outgoing = OUTGOING_MESSAGES_RESPONSE__INIT;
	OutgoingMessage message = OUTGOING_MESSAGE__INIT, *messages = &message;
	Sender sender = SENDER__INIT;
	uint8_t mid[MID_BYTES];

	mid_pack(cursor, mid);
	sender_of(m, &sender);
	message.has_id = message.has_body = true;
	message.id = (ProtobufCBinaryData){ sizeof(mid), mid };
	message.body = bytes_of(msg_text(m));
	message.has_expiry = message.has_created = true;
	message.expiry = expiry_s(m, cursor);
	message.created = (uint32_t)cursor_time(cursor);
	message.sender = &sender;
	outgoing.n_messages = 1;
	outgoing.messages = &messages;
	response.command_case = RESPONSE__COMMAND_OUTGOING_MESSAGES;
	response.outgoing_messages = &outgoing;
	return put_response(out, &response);
}

static void
channel_stats_make(ChannelStats *stats, const ChannelId *asked, bool online)
{
	channel_stats__init(stats);
	stats->has_id = asked->has_id;
	stats->id = asked->id;
	stats->has_is_private = stats->has_is_online = true;
	stats->is_private = asked->is_private;
	stats->is_online = online;
}

int
batch_put_channel_stats(
    struct buf *out, const ChannelStatsRequest *asked, const bool *online)
{
	Response response = RESPONSE__INIT;
	ChannelStatsResponse channels = CHANNEL_STATS_RESPONSE__INIT;
	size_t n = asked->n_channels;
	ChannelStats *stats = calloc(n + 1, sizeof(*stats));
	ChannelStats **list = calloc(n + 1, sizeof(*list));
	int err = ERR_NOMEM;

	if (stats != NULL && list != NULL) {
		for (size_t i = 0; i < n; i++) {
			list[i] = &stats[i];
			channel_stats_make(
			    list[i], asked->channels[i], online[i]);
		}
		channels.n_channels = n;
		channels.channels = list;
		response.command_case = RESPONSE__COMMAND_CHANNEL_STATS;
		response.channel_stats = &channels;
		err = put_response(out, &response);
	}
	free(stats);
	free(list);
	return err;
}

int
batch_put_server_stats(struct buf *out, struct slice json)
{
	Response response = RESPONSE__INIT;
	JsonResponse stats = JSON_RESPONSE__INIT;

	stats.has_json = true;
	stats.json = bytes_of(json);
	response.command_case = RESPONSE__COMMAND_SERVER_STATS;
	response.server_stats = &stats;
	return put_response(out, &response);
}
