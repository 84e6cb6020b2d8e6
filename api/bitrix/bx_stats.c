/*
 * api/bitrix/bx_stats.c - who is online, and what the server says of itself.
 *
 * Source: bitrix.md sections a.5, a.6, d.2.
 */
#include "api/bitrix/bx_priv.h"

#include <inttypes.h>
#include <unistd.h>

#define DAY_S 86400

bool
bx_online(const struct api *a, const struct licence *l, enum bx_space space,
    struct slice id)
{
	char text[BX_NAME_MAX];
	const struct channel *c = hub_find(a->hub, bx_name(l, space, id, text));

	return c != NULL && hub_present(a->hub, c);
}

/* Version 3 has blanks in it. */
void
bx_infos(const struct bx_call *b)
{
	struct api *a = b->c->api;
	struct buf *out = &a->body;
	const char *comma = "";
	int err;

	buf_clear(out);
	err =
	    buf_text(out, b->version == 3 ? "{ \"infos\": [" : "{\"infos\":[");
	for (uint32_t i = 0; i < b->ids.n && err == 0; i++) {
		struct slice id = { b->ids.at[i].id, BX_ID_LEN };

		if (!bx_online(a, b->licence, BX_PRIVATE, id))
			continue;
		err = buf_printf(out,
		    "%s{\"channel\":\"%.*s\",\"subscribers\":1}", comma,
		    BX_ID_LEN, id.ptr);
		comma = ",";
	}
	if (err == 0)
		err = buf_text(out, "]}");
	if (err != 0)
		bx_fail(b->c, err);
	else
		bx_answer(
		    b->c, 200, NULL, (struct slice){ out->data, out->len });
}

/* --- counted by day ---------------------------------------------------- */

struct bx_daily *
bx_today(struct bitrix *b)
{
	struct bx_daily *d = &b->daily;
	int64_t day = hub_now_s(b->api->hub) / DAY_S;

	if (d->day != day) {
		struct bx_type *types = d->types;

		*d = (struct bx_daily){ .day = day, .types = types };
	}
	return d;
}

static bool
type_ok(struct slice t)
{
	if (t.len == 0 || t.len >= sizeof(((struct bx_type *)0)->name))
		return false;
	for (size_t i = 0; i < t.len; i++) {
		char c = t.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') ||
			(c != '\0' && strchr("_*-", c) != NULL)))
			return false;
	}
	return true;
}

/* Its counter; NULL: no room for another. */
static struct bx_type *
type_find(struct bx_daily *d, struct slice name)
{
	struct bx_type *t;

	for (uint32_t i = 0; i < d->n_types; i++) {
		if (slice_is(name, d->types[i].name))
			return &d->types[i];
	}
	if (d->n_types == BX_TYPES_MAX)
		return NULL;
	if (d->types == NULL)
		d->types = calloc(BX_TYPES_MAX, sizeof(*d->types));
	if (d->types == NULL)
		return NULL;
	t = &d->types[d->n_types++];
	*t = (struct bx_type){ .count = 0 };
	memcpy(t->name, name.ptr, name.len);
	return t;
}

void
bx_count_type(struct bitrix *b, struct slice type)
{
	struct slice unknown = { "unknown", 7 };
	struct bx_type *t =
	    type_find(bx_today(b), type_ok(type) ? type : unknown);

	if (t != NULL)
		t->count++;
	else
		limit_hit(&b->api->stats->limits, LIMIT_bitrix_types);
}

static int
put_daily(const struct bx_daily *d, struct buf *out)
{
	int err = buf_printf(out,
	    "\"daily\":{\"requests\":{\"serverStats\":%" PRIu64
	    ",\"channelStats\":%" PRIu64 ",\"incomingMessages\":%" PRIu64
	    "},\"messages\":{",
	    d->server_stats, d->channel_stats, d->incoming);

	for (uint32_t i = 0; i < d->n_types && err == 0; i++)
		err = buf_printf(out, "%s\"%s\":%" PRIu64, i != 0 ? "," : "",
		    d->types[i].name, d->types[i].count);
	return err != 0 ? err : buf_text(out, "}}");
}

static int
put_process(struct api *a, struct buf *out)
{
	int err = buf_printf(out,
	    "[{\"pid\":%d,\"date\":%" PRId64 "000,"
	    "\"processUniqueId\":\"",
	    (int)getpid(), hub_now_s(a->hub));

	if (err == 0)
		err = buf_json(
		    out, (struct slice){ a->hostname, strlen(a->hostname) });
	if (err == 0)
		err = buf_printf(out, "-%d\",\"channels\":%" PRIu64,
		    (int)getpid(),
		    a->stats->channels + a->stats->wildcard_channels);
	return err;
}

int
bx_server_stats(
    struct api *a, uint32_t version, uint32_t max_connections, struct buf *out)
{
	struct bitrix *b = a->bitrix;
	int err = put_process(a, out);

	if (err == 0 && version > 3)
		err = buf_printf(out,
		    ",\"limits\":{\"maxPayload\":%zu,"
		    "\"maxConnPerChannel\":%" PRIu32
		    ",\"maxMessagesPerRequest\":%d,"
		    "\"maxChannelsPerRequest\":%d},\"clusterMode\":false",
		    a->layout->max_body, max_connections, BX_MESSAGES_MAX,
		    BX_IDS_MAX);
	if (err == 0)
		err = buf_printf(out,
		    ",\"websockets\":%" PRIu64 ",\"pollings\":%" PRIu64,
		    b->sockets, b->polls);
	if (err == 0 && version > 3) {
		err = buf_text(out, ",");
		if (err == 0)
			err = put_daily(bx_today(b), out);
	}
	return err != 0 ? err : buf_text(out, "}]");
}

void
bx_stat_handle(struct bx_call *b)
{
	struct api *a = b->c->api;
	int err;

	bx_today(a->bitrix)->server_stats++;
	buf_clear(&a->body);
	err = bx_server_stats(a, b->version,
	    b->c->endpoint->settings.bitrix_max_connections, &a->body);
	if (err != 0)
		bx_fail(b->c, err);
	else
		bx_answer(b->c, 200, "application/json",
		    (struct slice){ a->body.data, a->body.len });
}
