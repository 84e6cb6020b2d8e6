/*
 * api/poll.c - polling and long-polling: one answer a request.
 *
 * Source: push-stream.md sections 8.2 to 8.5; section 15 for 0.3.4.
 *
 * A live message goes to all who wait on its channel, one after the other, and
 * most of them came by a few locations.  Its answer is rendered once for each
 * location and kept there until the next message.
 */
#include "api/api_priv.h"

#include "base/clock.h"

#define ANSWERS_MAX ((size_t)64 << 20) /* bytes that are kept for others */

static sub_deliver_f poll_deliver;
static sub_empty_f poll_empty;
static sub_deleted_f poll_deleted;
static sub_failed_f poll_failed;

static const struct sub_ops poll_ops = {
	.name = "poll",
	.deliver = poll_deliver,
	.empty = poll_empty,
	.deleted = poll_deleted,
	.failed = poll_failed,
};

/* --- the head ---------------------------------------------------------- */

static const char *
poll_content_type(const struct call *c)
{
	const struct settings *s = &c->endpoint->settings;

	if (c->callback.len != 0 && s->compat > COMPAT_0_3_4)
		return "application/javascript";
	/* The module's way: an EventSource location's own type, unless the
	 * mode was forced and it was answered at once. */
	if (s->mode == MODE_EVENTSOURCE && c->parked)
		return "text/event-stream; charset=utf-8";
	return s->content_type;
}

static void
put_last_modified(struct reply *r, int64_t time_s)
{
	char date[HTTP_DATE_SIZE];

	if (time_s <= 0)
		return;
	http_date_format(time_s, date);
	reply_field_text(r, "Last-Modified", date);
}

static void
put_etag(const struct call *c, struct reply *r, int64_t tag)
{
	if (tag >= 0 && r->err == 0)
		r->err = buf_printf(r->b, "Etag: %s%u\r\n",
		    call_compat(c) >= COMPAT_0_6_0 ? "W/" : "", (unsigned)tag);
}

/* The head of an answer, fields in the module's order; -1 leaves one out. */
static void
poll_head(const struct call *c, struct reply *r, int status, int64_t time_s,
    int64_t tag)
{
	reply_start(r, &c->api->out, status);
	reply_field_text(r, "Content-Type", poll_content_type(c));
	put_last_modified(r, time_s);
	call_cors(c, r);
	call_no_cache(c, r);
	put_etag(c, r, tag);
}

static void
poll_head_at(
    const struct call *c, struct reply *r, int status, uint64_t position)
{
	uint64_t tag = cursor_tag(position);

	/* A client that told a time without a tag may get it back so. */
	poll_head(c, r, status, (int64_t)cursor_time(position),
	    tag != CURSOR_TAG_MAX ? (int64_t)tag : -1);
}

/* --- the body ---------------------------------------------------------- */

static void
put_piece(struct reply *r, const struct payload *piece)
{
	if (piece != NULL)
		reply_bytes(r, piece->data, piece->len);
}

static void
put_message(const struct call *c, struct reply *r, const struct format_key *key,
    const struct template_values *v)
{
	struct payload *piece = format_message(c->endpoint->format, key, v);

	if (piece == NULL && r->err == 0)
		r->err = ERR_NOMEM;
	put_piece(r, piece);
	payload_unref(&piece);
}

static void
put_opening(const struct call *c, struct reply *r)
{
	put_piece(r, format_header(c->endpoint->format));
	if (c->callback.len == 0)
		return;
	reply_bytes(r, c->callback.ptr, c->callback.len);
	reply_text(r, call_compat(c) == COMPAT_0_3_4 ? "\r\n([" : "([");
}

static void
put_ending(const struct call *c, struct reply *r)
{
	if (c->callback.len != 0)
		reply_text(
		    r, call_compat(c) == COMPAT_0_3_4 ? "]);\r\n" : "]);");
	put_piece(r, format_footer(c->endpoint->format));
}

/* Until 0.4.0 a comma followed each old message, the last one too. */
static bool
comma_follows(const struct call *c, size_t left)
{
	if (c->callback.len == 0)
		return false;
	return left != 0 || (!c->parked && call_compat(c) < COMPAT_0_6_0);
}

static struct payload *
poll_answer(
    const struct call *c, const struct delivery *d, size_t n, uint64_t position)
{
	struct reply r;

	poll_head_at(c, &r, 200, position);
	reply_body(&r);
	put_opening(c, &r);
	for (size_t i = 0; i < n; i++) {
		struct format_key key = { d[i].channel->number,
			(int64_t)d[i].id, d[i].cursor, 0 };
		struct template_values v = delivery_values(&d[i]);

		put_message(c, &r, &key, &v);
		if (comma_follows(c, n - i - 1))
			reply_text(&r, ",");
	}
	put_ending(c, &r);
	return reply_take(&r);
}

/* An answer with a message of our own making. */
static struct payload *
special_answer(const struct call *c, const struct format_key *key,
    const struct template_values *v, uint64_t position)
{
	struct reply r;

	poll_head_at(c, &r, 200, position);
	reply_body(&r);
	put_opening(c, &r);
	put_message(c, &r, key, v);
	put_ending(c, &r);
	return reply_take(&r);
}

/* --- answers that many get --------------------------------------------- */

struct answer {
	struct answer *next; /* in api->answers */
	struct endpoint *endpoint;
	struct payload *payload;
	size_t origin_len;
	char origin[];
};

void
answers_clear(struct api *a)
{
	struct answer *x;

	while ((x = a->answers.first) != NULL) {
		a->answers.first = x->next;
		x->endpoint->answer = NULL;
		endpoint_unref(&x->endpoint);
		payload_unref(&x->payload);
		free(x);
	}
	a->answers.bytes = 0;
}

/* Does its answer depend on nothing but key and origin? */
static bool
is_shared(const struct call *c)
{
	return c->callback.len == 0 &&
	    c->endpoint->settings.mode != MODE_EVENTSOURCE;
}

static struct payload *
answers_find(const struct call *c, const struct answer_key *key)
{
	const struct answer_key *kept = &c->api->answers.key;
	const struct answer *x = c->endpoint->answer;

	if (x == NULL || kept->channel != key->channel || kept->id != key->id ||
	    kept->position != key->position || !is_shared(c) ||
	    x->origin_len != c->origin.len ||
	    memcmp(x->origin, c->origin.ptr, c->origin.len) != 0)
		return NULL;
	return payload_ref(x->payload);
}

static void
answers_keep(
    const struct call *c, const struct answer_key *key, struct payload *payload)
{
	struct api *a = c->api;
	const struct answer_key *kept = &a->answers.key;
	struct answer *x;

	if (kept->channel != key->channel || kept->id != key->id ||
	    kept->position != key->position)
		answers_clear(a);
	a->answers.key = *key;
	if (payload == NULL || !is_shared(c) || c->endpoint->answer != NULL)
		return;
	if (a->answers.bytes + payload->len > ANSWERS_MAX) {
		limit_hit(&a->stats->limits, LIMIT_answers_cached);
		return;
	}
	x = malloc(sizeof(*x) + c->origin.len);
	if (x == NULL)
		return;
	x->endpoint = endpoint_ref(c->endpoint);
	x->payload = payload_ref(payload);
	a->answers.bytes += payload->len;
	x->origin_len = c->origin.len;
	if (c->origin.len != 0)
		memcpy(x->origin, c->origin.ptr, c->origin.len);
	x->next = a->answers.first;
	a->answers.first = x;
	c->endpoint->answer = x;
}

/* --- ends -------------------------------------------------------------- */

static struct call
poll_call(struct wait_state *w)
{
	struct call c = wait_call(w);

	w->api->stats->parked--;
	c.callback = wait_note(w);
	c.parked = !w->polling;
	return c;
}

static void
send_payload(const struct call *c, struct payload *answer)
{
	c->request->ops->reply(
	    c->request, answer != NULL ? answer : c->api->no_memory);
	payload_unref(&answer);
}

static void
poll_deliver(void *sess, const struct delivery *d, size_t n, uint64_t position)
{
	struct wait_state *w = sess;
	struct call c = poll_call(w);
	bool live = d->live && position == d->cursor;
	struct answer_key key = { d->channel->number, (int64_t)d->id,
		position };
	struct payload *answer = live ? answers_find(&c, &key) : NULL;

	if (answer == NULL) {
		/* What was stored already is an old message, not a live one. */
		c.parked = c.parked && live;
		answer = poll_answer(&c, d, n, position);
		if (live)
			answers_keep(&c, &key, answer);
	}
	send_payload(&c, answer);
	wait_free(&w);
}

static void
send_timeout(const struct call *c, uint64_t position)
{
	static const char text[] = "Timed out";
	struct reply r;

	c->api->stats->poll_timeouts++;
	if (c->endpoint->settings.timeout_with_body &&
	    call_compat(c) > COMPAT_0_3_4) {
		struct format_key key = { 0, MESSAGE_ID_TIMED_OUT, 0, 0 };
		struct template_values v = special_values(MESSAGE_ID_TIMED_OUT,
		    (struct slice){ "", 0 },
		    (struct slice){ text, sizeof(text) - 1 });

		send_payload(c, special_answer(c, &key, &v, position));
		return;
	}
	poll_head_at(c, &r, 304, position);
	reply_header_only(&r);
	api_send(c->api, c->request, &r);
}

/* A poll found nothing: the client's own position comes back (8.2). */
static void
send_nothing(const struct call *c, int64_t time_s, int64_t tag)
{
	struct reply r;

	poll_head(c, &r, 304, time_s, tag);
	reply_header_only(&r);
	api_send(c->api, c->request, &r);
}

static void
poll_empty(void *sess, uint64_t position)
{
	struct wait_state *w = sess;
	struct call c = poll_call(w);

	if (w->polling)
		send_nothing(&c, w->of.own.time_s, w->of.own.tag);
	else
		send_timeout(&c, position);
	wait_free(&w);
}

static void
poll_deleted(void *sess, const struct channel *ch, struct slice text,
    uint64_t position, bool last)
{
	struct wait_state *w = sess;
	struct call c = poll_call(w);
	struct answer_key key = { ch->number, MESSAGE_ID_DELETED, position };
	struct payload *answer = answers_find(&c, &key);

	(void)last;
	if (answer == NULL) {
		struct format_key fkey = { ch->number, MESSAGE_ID_DELETED, 0,
			0 };
		struct template_values v =
		    special_values(MESSAGE_ID_DELETED, channel_name(ch), text);

		answer = special_answer(&c, &fkey, &v, position);
		answers_keep(&c, &key, answer);
	}
	send_payload(&c, answer);
	wait_free(&w);
}

static void
poll_failed(void *sess, int err)
{
	struct wait_state *w = sess;
	struct call c = poll_call(w);

	call_error(&c, err);
	wait_free(&w);
}

/* --- the beginning ----------------------------------------------------- */

static uint64_t
poll_deadline(const struct call *c)
{
	const struct settings *s = &c->endpoint->settings;
	uint64_t ttl = s->longpolling_connection_ttl_ms != 0
	    ? s->longpolling_connection_ttl_ms
	    : s->subscriber_connection_ttl_ms;

	return ttl != 0 ? hub_now_ms(c->api->hub) + ttl : UINT64_MAX;
}

void
poll_handle(struct call *c, enum sub_mode mode)
{
	struct api *a = c->api;
	bool polling = mode == MODE_POLLING;
	struct sub_request req = { .channels = a->channels,
		.backtracks = a->backtracks,
		.kind = polling ? SUB_POLL : SUB_LONG_POLL,
		.deadline_ms = poll_deadline(c),
		.ops = &poll_ops };
	struct wait_state *w;
	int64_t time_s, tag;
	int err;

	if (!subscriber_position(c, mode, &req.pos, &time_s, &tag) ||
	    !subscriber_channels(c))
		return;
	w = wait_new(c, WAIT_POLL, c->callback);
	if (w == NULL) {
		call_error(c, ERR_NOMEM);
		return;
	}
	w->polling = polling;
	w->of.own.time_s = time_s;
	w->of.own.tag = tag;
	req.n = a->path.n;
	req.sess = w;
	err = hub_subscribe(a->hub, &req, &w->on.sub);
	if (err == 0) {
		a->stats->parked++;
		request_shed(c->request);
		return;
	}
	wait_drop(&w);
	if (err != HUB_NOTHING)
		call_error(c, err);
	else if (polling)
		send_nothing(c, time_s, tag);
	else
		send_timeout(c, hub_position_now(a->hub, req.pos.after));
}
