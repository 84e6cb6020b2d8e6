/*
 * api/bitrix/bx_poll.c - long polls of versions 3 to 5.
 *
 * A live message is answered to many in a row with the same bytes: the last
 * answer of each kind is kept until the next.  Source: bitrix.md section a.7.
 */
#include "api/bitrix/bx_priv.h"

#include "base/clock.h"

#define TTL_MS 40000 /* of a poll, if the location does not say */

static sub_deliver_f poll_deliver;
static sub_empty_f poll_empty;
static sub_deleted_f poll_deleted;
static sub_failed_f poll_failed;

const struct sub_ops bx_poll_ops = {
	.name = "bitrix poll",
	.deliver = poll_deliver,
	.empty = poll_empty,
	.deleted = poll_deleted,
	.failed = poll_failed,
};

/* --- answers ----------------------------------------------------------- */

static const char *
content_type(const struct wait_state *w)
{
	switch ((enum bx_look_kind)w->of.bitrix.look) {
	case BX_LOOK_BINARY:
		return "application/octet-stream";
	case BX_LOOK_JSON:
	case BX_LOOK_RPC:
		return "application/json";
	case BX_LOOK_TEXT:
		break;
	}
	return "text/plain";
}

static void
poll_head(const struct wait_state *w, const struct call *c, struct reply *r)
{
	bx_head(c, r, 200, content_type(w));
	if (w->of.bitrix.version == 3)
		reply_text(
		    r, "Access-Control-Expose-Headers: Last-Message-Id\r\n");
	reply_body(r);
}

/* JSON comes as an array; a single JSON-RPC message as itself. */
static bool
is_array(const struct wait_state *w, size_t n)
{
	return w->of.bitrix.look == BX_LOOK_JSON ||
	    (w->of.bitrix.look == BX_LOOK_RPC && n > 1);
}

static struct payload *
poll_answer(const struct wait_state *w, const struct call *c,
    const struct delivery *d, size_t n)
{
	bool array = is_array(w, n);
	struct reply r;

	poll_head(w, c, &r);
	if (array)
		reply_text(&r, "[");
	for (size_t i = 0; i < n; i++) {
		struct payload *piece = bx_piece(w, &d[i]);

		if (array && i != 0)
			reply_text(&r, ",");
		if (piece != NULL)
			reply_bytes(&r, piece->data, piece->len);
		else if (r.err == 0)
			r.err = ERR_NOMEM;
		payload_unref(&piece);
	}
	if (array)
		reply_text(&r, "]");
	return reply_take(&r);
}

/* --- answers that many get --------------------------------------------- */

/* Its place, if others may get the same bytes. */
static struct bx_answer *
answer_place(const struct wait_state *w, const struct call *c,
    const struct delivery *d, size_t n)
{
	struct bx_look look = { .kind = w->of.bitrix.look };

	if (n != 1 || !d->live || c->origin.len != 0 ||
	    bx_look_by_user(&look, d->msg))
		return NULL;
	return &c->api->bitrix->answer[w->of.bitrix.look];
}

static bool
answer_fits(const struct bx_answer *x, const struct wait_state *w,
    const struct delivery *d)
{
	return x->payload != NULL && x->endpoint == w->endpoint &&
	    x->cursor == d->cursor &&
	    (x->channel == d->channel->number || w->of.bitrix.version > 3);
}

static struct payload *
shared_answer(const struct wait_state *w, const struct call *c,
    const struct delivery *d, size_t n)
{
	struct bx_answer *x = answer_place(w, c, d, n);

	if (x == NULL)
		return poll_answer(w, c, d, n);
	if (!answer_fits(x, w, d)) {
		endpoint_unref(&x->endpoint);
		payload_unref(&x->payload);
		x->payload = poll_answer(w, c, d, n);
		if (x->payload == NULL)
			return NULL;
		x->endpoint = endpoint_ref(w->endpoint);
		x->cursor = d->cursor;
		x->channel = d->channel->number;
	}
	return payload_ref(x->payload);
}

/* --- ends -------------------------------------------------------------- */

/* It waits no more; the call is there to answer with. */
static struct call
poll_call(struct wait_state *w)
{
	w->api->stats->parked--;
	w->api->bitrix->polls--;
	return wait_call(w);
}

static void
poll_deliver(void *sess, const struct delivery *d, size_t n, uint64_t position)
{
	struct wait_state *w = sess;
	struct call c = poll_call(w);
	struct payload *answer = shared_answer(w, &c, d, n);

	(void)position;
	c.request->ops->reply(
	    c.request, answer != NULL ? answer : c.api->no_memory);
	payload_unref(&answer);
	wait_free(&w);
}

/* The magic date tells the client to take the position from the header. */
static void
send_nothing(const struct call *c, uint64_t position)
{
	char mid[MID_LEN + 1];
	struct reply r;

	c->api->stats->poll_timeouts++;
	mid_format(position, mid);
	bx_head(c, &r, 304, NULL);
	reply_text(&r, "Access-Control-Expose-Headers: Last-Message-Id\r\n");
	reply_field_text(&r, "Last-Message-Id", mid);
	reply_text(&r, "Expires: Thu, 01 Jan 1973 11:11:01 GMT\r\n");
	reply_header_only(&r);
	api_send(c->api, c->request, &r);
}

static void
poll_empty(void *sess, uint64_t position)
{
	struct wait_state *w = sess;
	struct call c = poll_call(w);

	send_nothing(&c, w->of.bitrix.echo != 0 ? w->of.bitrix.echo : position);
	wait_free(&w);
}

/* A channel of it has gone: it comes again, and makes it anew. */
static void
poll_deleted(void *sess, const struct channel *ch, struct slice text,
    uint64_t position, bool last)
{
	(void)ch;
	(void)text;
	(void)last;
	poll_empty(sess, position);
}

static void
poll_failed(void *sess, int err)
{
	struct wait_state *w = sess;
	struct call c = poll_call(w);

	if (c.endpoint->settings.bitrix_version > 3 && err != ERR_CLOSED)
		bx_refuse(&c, BX_NO_HISTORY);
	else
		bx_fail(&c, err);
	wait_free(&w);
}

void
bx_poll_refuse(struct wait_state *w, enum bx_error e)
{
	struct call c = poll_call(w);

	hub_unsubscribe(w->api->hub, &w->on.sub);
	bx_refuse(&c, e);
	wait_free(&w);
}

void
bx_poll_abandon(struct wait_state *w)
{
	w->api->stats->parked--;
	w->api->bitrix->polls--;
	hub_unsubscribe(w->api->hub, &w->on.sub);
}

/* --- the beginning ----------------------------------------------------- */

static struct wait_state *
poll_wait(const struct bx_call *b, const struct bx_reader *rd)
{
	struct call *c = b->c;
	struct wait_state *w =
	    wait_new(c, WAIT_BITRIX_POLL, (struct slice){ NULL, 0 });

	if (w == NULL)
		return NULL;
	w->of.bitrix.version = rd->look.version;
	w->of.bitrix.look = rd->look.kind;
	w->of.bitrix.user = rd->user;
	if (bx_format(c->api->bitrix, &rd->look, &w->of.bitrix.format) != 0)
		wait_drop(&w);
	return w;
}

static void
poll_seen(const struct bx_call *b, const struct bx_reader *rd)
{
	struct api *a = b->c->api;

	if (rd->user != 0)
		users_seen(&a->bitrix->users, licence_id(b->licence), rd->user,
		    hub_now_s(a->hub));
}

/*
 * What a 304 tells: the position that came, so that it stays what it was.
 * Without one, or with one from the future, that of the newest message that is
 * kept, which the client need not see again.  0: there is none.
 */
static uint64_t
poll_echo(const struct wait_state *w, const struct bx_reader *rd)
{
	bool told = rd->pos.by_position && rd->pos.after <= w->on.sub->after;

	return told ? rd->pos.after : rd->newest;
}

void
bx_poll_handle(struct bx_call *b, const struct bx_reader *rd)
{
	struct call *c = b->c;
	struct api *a = c->api;
	uint64_t ttl = c->endpoint->settings.longpolling_connection_ttl_ms;
	struct wait_state *w = poll_wait(b, rd);
	struct sub_request req = { .channels = a->channels,
		.backtracks = a->backtracks,
		.n = rd->n,
		.pos = rd->pos,
		.kind = SUB_LONG_POLL,
		.by_cursor = true,
		.deadline_ms =
		    MIN_OF(hub_now_ms(a->hub) + (ttl != 0 ? ttl : TTL_MS),
			bx_end_ms(a, rd, clock_wall_s(NULL))),
		.ops = &bx_poll_ops,
		.sess = w };
	int err;

	if (w == NULL) {
		bx_fail(c, ERR_NOMEM);
		return;
	}
	poll_seen(b, rd);
	err = hub_subscribe(a->hub, &req, &w->on.sub);
	if (err == 0) {
		w->of.bitrix.echo = poll_echo(w, rd);
		bx_present(a, w->on.sub, rd->own);
		a->stats->parked++;
		a->bitrix->polls++;
		request_shed(c->request);
		return;
	}
	wait_drop(&w);
	if (err == HUB_NOTHING)
		send_nothing(c, hub_position_now(a->hub, rd->pos.after));
	else
		bx_fail(c, err);
}
