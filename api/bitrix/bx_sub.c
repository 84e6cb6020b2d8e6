/*
 * api/bitrix/bx_sub.c - a client that wants to read: who it is, what of, from
 * where.
 *
 * Source: bitrix.md sections a.1, a.2, a.7, c, d.6.
 */
#include "api/bitrix/bx_priv.h"

#include <strings.h>

#include "base/clock.h"

/* --- refusals ---------------------------------------------------------- */

/* Version 3 refuses a WebSocket before it is one, others after. */
static void
refuse(struct bx_call *b, enum bx_error e, const char *old)
{
	struct call *c = b->c;

	if (b->version > 3)
		bx_refuse(c, e);
	else if (c->query.upgrade.ptr != NULL)
		bx_answer(c, 400, "text/html",
		    (struct slice){ "Bad Request", sizeof("Bad Request") - 1 });
	else
		bx_answer(c, 400, NULL, (struct slice){ old, strlen(old) });
}

/* --- a WebSocket? ------------------------------------------------------ */

static bool
is_upgrade(const struct query *q)
{
	return q->upgrade.len == 9 &&
	    strncasecmp(q->upgrade.ptr, "websocket", 9) == 0;
}

/* Answers when it is not proper. */
static bool
handshake_ok(const struct call *c)
{
	const char *why = NULL;

	if (c->query.ws_key.len == 0)
		why = "Sec-WebSocket-Key is missing.";
	else if (!slice_is(c->query.ws_version, "13"))
		why = "Only version 13 of WebSocket is served.";
	else if (!c->request->upgrade)
		why = "The web server did not ask for a WebSocket here.";
	if (why == NULL)
		return true;
	bx_answer(c, 400, NULL, (struct slice){ why, strlen(why) });
	return false;
}

void
bx_sub_unlicensed(struct bx_call *b)
{
	struct call *c = b->c;

	if (is_upgrade(&c->query) && !handshake_ok(c))
		return;
	c->websocket = is_upgrade(&c->query) && b->version > 3;
	refuse(b, BX_WRONG_CLIENT, "Wrong Client Id.");
}

/* --- what of ----------------------------------------------------------- */

/* Make a channel ready and put it behind the others. */
static int
reader_add(struct bx_call *b, struct bx_reader *rd, enum bx_space space,
    struct slice id)
{
	struct api *a = b->c->api;
	char text[BX_NAME_MAX];
	int err = hub_open(
	    a->hub, bx_name(b->licence, space, id, text), &a->channels[rd->n]);

	if (err == 0)
		a->backtracks[rd->n++] = 0;
	return err;
}

static int
reader_add_ids(
    struct bx_call *b, struct bx_reader *rd, const struct bx_ids *ids)
{
	int err = 0;

	for (uint32_t i = 0; i < ids->n && err == 0; i++) {
		const struct bx_id *id = &ids->at[i];

		err = reader_add(
		    b, rd, BX_PRIVATE, (struct slice){ id->id, BX_ID_LEN });
		if (err != 0 || !id->has_pub)
			continue;
		if (!rd->has_pub)
			memcpy(rd->pub, id->pub, BX_ID_LEN);
		rd->has_pub = true;
		err = reader_add(
		    b, rd, BX_PUBLIC, (struct slice){ id->pub, BX_ID_LEN });
	}
	return err;
}

/* Answers and returns false when it is not let in. */
static bool
reader_by_ids(struct bx_call *b, struct bx_reader *rd)
{
	struct call *c = b->c;
	int err = bx_ids_parse(bx_arg(c, "CHANNEL_ID"), (int)b->version,
	    b->licence->keys, false, &b->ids);

	if (err == ERR_TOOBIG)
		bx_count(c->api, BX_MANY_CHANNELS);
	if (err != 0) {
		refuse(b, BX_WRONG_CHANNEL,
		    err == ERR_NOTFOUND ? "No channel id provided."
					: "Channel id is not correct.");
		return false;
	}
	if (keyring_empty(b->licence->keys))
		log_limited(&c->api->bitrix->unsigned_ids, LOG_WARN,
		    "Bitrix channel ids are not checked: no signature_key is "
		    "configured");
	rd->own = b->ids.at[0].has_pub ? 2 : 1;
	err = reader_add_ids(b, rd, &b->ids);
	if (err != 0)
		bx_fail(c, err);
	return err == 0;
}

static int
reader_add_user(struct bx_call *b, struct bx_reader *rd, uint64_t user)
{
	char number[BX_USER_SIZE];

	rd->user = user;
	return reader_add(b, rd, BX_USER, bx_user_id(user, number));
}

/* A guest's token names its public id like any other. */
static int
reader_add_public(
    struct bx_call *b, struct bx_reader *rd, const struct bx_ids *ids)
{
	int err = 0;

	for (uint32_t i = 0; i < ids->n && err == 0; i++) {
		if (!ids->at[i].has_pub)
			err = reader_add(b, rd, BX_PUBLIC,
			    (struct slice){ ids->at[i].id, BX_ID_LEN });
	}
	return err;
}

/* Whichever end comes first counts. */
static void
reader_ends(struct bx_reader *rd, int64_t at_s, enum bx_error with)
{
	if (at_s >= rd->ends_s)
		return;
	rd->ends_s = at_s;
	rd->ends_with = with;
}

/* A user is present by itself (users.h), a guest by its first channel. */
static bool
reader_by_token(struct bx_call *b, struct bx_reader *rd)
{
	struct call *c = b->c;
	struct jwt *jwt = &c->api->bitrix->jwt;
	const char *why = "";
	int err = jwt_read(
	    bx_arg(c, "token"), b->licence, clock_wall_s(NULL), jwt, &why);

	if (err != 0) {
		log_limited(&c->api->bitrix->refused_tokens, LOG_NOTICE,
		    "a Bitrix token was refused: %s", why);
		refuse(b, BX_WRONG_CHANNEL, why);
		return false;
	}
	reader_ends(rd, jwt->expires + JWT_LEEWAY_S, BX_WRONG_CHANNEL);
	if (jwt->has_user)
		err = reader_add_user(b, rd, jwt->user);
	else
		rd->own = 1;
	if (err == 0)
		err = reader_add_ids(b, rd, &jwt->channels);
	if (err == 0 && !jwt->has_user)
		err = reader_add_public(b, rd, &jwt->channels);
	if (err != 0)
		bx_fail(c, err);
	return err == 0;
}

/* --- how and from where ------------------------------------------------ */

static enum bx_look_kind
look_kind(const struct bx_call *b, bool token)
{
	const struct call *c = b->c;

	if (b->version == 5 &&
	    (token || slice_is(bx_arg_raw(c, "jsonRpc"), "true")))
		return BX_LOOK_RPC;
	if (b->version > 3 && slice_is(bx_arg_raw(c, "binaryMode"), "true"))
		return BX_LOOK_BINARY;
	if (slice_is(bx_arg_raw(c, "format"), "json"))
		return BX_LOOK_JSON;
	return BX_LOOK_TEXT;
}

static void
reader_position(const struct bx_call *b, struct bx_reader *rd)
{
	const struct api *a = b->c->api;

	rd->pos.by_position = mid_parse(bx_arg(b->c, "mid"), &rd->pos.after);
	rd->newest = 0;
	for (uint32_t i = 0; i < rd->n; i++)
		rd->newest = MAX_OF(rd->newest, a->channels[i]->tail);
}

/* --- one too many ------------------------------------------------------ */

/* Is it one whose own channel this is? */
static bool
is_owner(const struct wait *w)
{
	const struct sub *s = w->sub;

	return w == &s->waits[0] &&
	    (s->ops == &bx_poll_ops || s->ops == &bx_socket_ops);
}

static void
end_owner(struct wait *wt)
{
	struct wait_state *w = wt->sub->sess;

	if (w->kind == WAIT_BITRIX_POLL) {
		bx_poll_refuse(w, BX_TOO_MANY);
	} else {
		bx_count(w->api, BX_TOO_MANY);
		bx_socket_end(w, bx_close(BX_TOO_MANY));
	}
}

/* Of a private channel with a public id: the oldest makes room. */
static void
make_room(struct channel *c, uint32_t most)
{
	struct wait *w, *next;

	for (w = TAILQ_FIRST(&c->waits); w != NULL && c->subscribers >= most;
	     w = next) {
		next = TAILQ_NEXT(w, link);
		while (next != NULL && next->sub == w->sub)
			next = TAILQ_NEXT(next, link);
		if (is_owner(w))
			end_owner(w);
	}
}

/* --- the beginning ----------------------------------------------------- */

uint64_t
bx_end_ms(const struct api *a, const struct bx_reader *rd, int64_t now_s)
{
	if (rd->ends_s == INT64_MAX)
		return UINT64_MAX;
	/* The clock's second began before now, so this is never early. */
	return hub_now_ms(a->hub) +
	    (uint64_t)MAX_OF(rd->ends_s - now_s, 0) * 1000;
}

void
bx_present(struct api *a, const struct sub *s, uint32_t own)
{
	for (uint32_t i = 0; i < own && i < s->n; i++) {
		if (s->waits[i].channel != NULL)
			hub_seen(a->hub, s->waits[i].channel,
			    hub_now_ms(a->hub) + BX_PRESENCE_MS);
	}
}

struct payload *
bx_piece(const struct wait_state *w, const struct delivery *d)
{
	struct format *f = w->of.bitrix.format;
	struct bx_look look = { .kind = w->of.bitrix.look };
	struct slice name = channel_name(d->channel);
	const char *slash = memrchr(name.ptr, '/', name.len);
	/* Only version 3 tells the channel; for others it is one message. */
	struct format_key key = { .cursor = d->cursor,
		.channel = w->of.bitrix.version == 3 ? d->channel->number : 0,
		.user =
		    bx_look_by_user(&look, d->msg) ? w->of.bitrix.user : 0 };
	struct template_values v = { .msg = d->msg, .channel = name };
	struct payload *piece = format_again(f, &key);

	if (piece != NULL)
		return piece;
	if (slash != NULL)
		v.channel = (struct slice){ slash + 1,
			(size_t)(name.ptr + name.len - slash - 1) };
	return format_message(f, &key, &v);
}

void
bx_sub_handle(struct bx_call *b)
{
	struct call *c = b->c;
	const struct settings *s = &c->endpoint->settings;
	bool token = b->version == 5 && bx_arg_raw(c, "token").len != 0;
	bool upgrade = is_upgrade(&c->query);
	struct bx_reader rd = { .look = { .kind = look_kind(b, token),
				    .version = (uint8_t)b->version,
				    .websocket = upgrade },
		.ends_s = b->licence->valid_until,
		.ends_with = BX_WRONG_CLIENT };

	if (upgrade && !handshake_ok(c))
		return;
	c->websocket = upgrade && b->version > 3;
	if (token ? !reader_by_token(b, &rd) : !reader_by_ids(b, &rd))
		return;
	if (rd.has_pub && rd.own == 2)
		make_room(c->api->channels[0], s->bitrix_max_connections);
	reader_position(b, &rd);
	if (upgrade)
		bx_socket_handle(b, &rd);
	else
		bx_poll_handle(b, &rd);
}
