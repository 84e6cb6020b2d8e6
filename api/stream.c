/*
 * api/stream.c - streaming, EventSource and WebSocket: an answer that goes on.
 *
 *	hub_subscribe, head + header --deliver, ping, deleted--> pieces
 *	        ... --time over, last channel deleted--> footer, end
 *	        ... --the client leaves--> api_abandon
 *
 * The modes differ in their head and in their format; a WebSocket can also say
 * something, see websocket.c.  Source: push-stream.md sections 8.1, 8.6, 9, 10.
 */
#include "api/api_priv.h"

#include <inttypes.h>
#include <stdio.h>

static sub_deliver_f stream_deliver;
static sub_empty_f stream_over;
static sub_deleted_f stream_deleted;
static sub_failed_f stream_failed;
static sub_ready_f stream_ready;
static sub_ping_f stream_ping;

static const struct sub_ops stream_ops = {
	.name = "stream",
	.deliver = stream_deliver,
	.empty = stream_over,
	.deleted = stream_deleted,
	.failed = stream_failed,
	.ready = stream_ready,
	.ping = stream_ping,
};

/* --- pieces ------------------------------------------------------------ */

void
stream_send(struct wait_state *w, struct payload *part)
{
	if (part != NULL)
		w->request->ops->send(w->request, part);
}

static struct payload *
padding_for(const struct wait_state *w, size_t len, uint32_t min)
{
	enum framing framing = w->endpoint->settings.mode == MODE_EVENTSOURCE
	    ? FRAMING_EVENTSOURCE
	    : FRAMING_PLAIN;

	if (len >= min)
		return NULL;
	return padding_make(w->endpoint->padding, framing,
	    w->endpoint->settings.compat, len, min);
}

/* An EventSource's id and event lines do not count. */
static size_t
counted_len(const struct payload *piece)
{
	const char *at = piece->data, *end = piece->data + piece->len;

	while (end - at > 7 &&
	    (memcmp(at, "id: ", 4) == 0 || memcmp(at, "event: ", 7) == 0)) {
		const char *line = memchr(at, '\n', (size_t)(end - at));

		if (line == NULL)
			break;
		at = line + 1;
	}
	return (size_t)(end - at);
}

static struct payload *
message_padding(const struct wait_state *w, const struct payload *piece)
{
	bool lines = w->endpoint->settings.mode == MODE_EVENTSOURCE;

	if (w->of.stream.padding.message == 0)
		return NULL;
	return padding_for(w, lines ? counted_len(piece) : piece->len,
	    w->of.stream.padding.message);
}

static void
send_message(struct wait_state *w, struct payload *piece)
{
	struct payload *fill = message_padding(w, piece);

	stream_send(w, piece);
	stream_send(w, fill);
	payload_unref(&fill);
}

static struct payload *
delivery_piece(const struct wait_state *w, const struct delivery *d)
{
	struct format_key key = { d->channel->number, (int64_t)d->id, d->cursor,
		0 };
	struct payload *piece = format_again(w->endpoint->format, &key);
	struct template_values v;

	if (piece != NULL)
		return piece;
	v = delivery_values(d);
	return format_message(w->endpoint->format, &key, &v);
}

static int
append_piece(struct buf *out, struct payload *piece)
{
	return piece != NULL ? buf_append(out, piece->data, piece->len) : 0;
}

/* A slice of a replay is one piece. */
static struct payload *
joined_pieces(const struct wait_state *w, const struct delivery *d, size_t n)
{
	struct buf *out = &w->api->body;
	int err = 0;

	buf_clear(out);
	for (size_t i = 0; i < n && err == 0; i++) {
		struct payload *piece = delivery_piece(w, &d[i]), *fill = NULL;

		err = piece != NULL ? append_piece(out, piece) : ERR_NOMEM;
		if (err == 0)
			fill = message_padding(w, piece);
		if (err == 0)
			err = append_piece(out, fill);
		payload_unref(&piece);
		payload_unref(&fill);
	}
	return err == 0 ? payload_new(out->data, out->len) : NULL;
}

static void
stream_deliver(
    void *sess, const struct delivery *d, size_t n, uint64_t position)
{
	struct wait_state *w = sess;
	struct payload *piece =
	    n == 1 ? delivery_piece(w, d) : joined_pieces(w, d, n);

	(void)position;
	if (piece == NULL)
		/* Not one message may be missing: the client is to come back
		 * for it. */
		w->request->ops->fail(w->request);
	else if (n == 1)
		send_message(w, piece);
	else
		stream_send(w, piece);
	payload_unref(&piece);
}

static void
stream_ping(void *sess)
{
	struct wait_state *w = sess;
	struct payload *ping = format_ping(w->endpoint->format);

	if (ping != NULL)
		send_message(w, ping);
}

static bool
stream_ready(void *sess)
{
	const struct wait_state *w = sess;

	return w->request->ops->unsent(w->request) == 0;
}

/* --- ends -------------------------------------------------------------- */

void
stream_release(struct wait_state *w)
{
	w->api->stats->streams--;
	hub_unsubscribe(w->api->hub, &w->on.sub);
	websocket_release(&w->of.stream.ws);
}

void
stream_end(struct wait_state *w, struct payload *last)
{
	struct request *r = w->request;

	stream_release(w);
	(void)wait_call(w);
	if (last != NULL)
		r->ops->send(r, last);
	payload_unref(&last);
	r->ops->finish(r);
	wait_free(&w);
}

/* The footer, and a WebSocket's close frame. */
static void
stream_goodbye(struct wait_state *w)
{
	bool websocket = w->endpoint->settings.mode == MODE_WEBSOCKET;

	stream_send(w, format_footer(w->endpoint->format));
	stream_end(w,
	    websocket ? websocket_close(0, (struct slice){ NULL, 0 }) : NULL);
}

static void
stream_over(void *sess, uint64_t position)
{
	struct wait_state *w = sess;

	(void)position;
	w->on.sub = NULL; /* the hub has let go */
	stream_goodbye(w);
}

static void
stream_deleted(void *sess, const struct channel *ch, struct slice text,
    uint64_t position, bool last)
{
	struct wait_state *w = sess;
	struct format_key key = { ch->number, MESSAGE_ID_DELETED, 0, 0 };
	struct template_values v =
	    special_values(MESSAGE_ID_DELETED, channel_name(ch), text);
	struct payload *piece = format_message(w->endpoint->format, &key, &v);

	(void)position;
	if (piece != NULL)
		send_message(w, piece);
	payload_unref(&piece);
	if (!last)
		return;
	w->on.sub = NULL;
	stream_goodbye(w);
}

static void
stream_failed(void *sess, int err)
{
	struct wait_state *w = sess;
	struct payload *last = NULL;

	log_limited(&w->api->store_trouble, LOG_WARN, "a stream was ended: %s",
	    err_text(err));
	w->on.sub = NULL;
	if (w->endpoint->settings.mode == MODE_WEBSOCKET)
		last = websocket_close_status(err_status(err), err_text(err));
	stream_end(w, last);
}

/* --- the beginning ----------------------------------------------------- */

static void
stream_head(const struct call *c, struct reply *r, enum sub_mode mode)
{
	const struct payload *header = format_header(c->endpoint->format);

	if (mode == MODE_WEBSOCKET) {
		if (!websocket_head(c, r) && r->err == 0)
			r->err = ERR_SYSTEM;
	} else {
		reply_start(r, &c->api->out, 200);
		reply_field_text(r, "Content-Type",
		    mode == MODE_EVENTSOURCE
			? "text/event-stream; charset=utf-8"
			: c->endpoint->settings.content_type);
		call_cors(c, r);
		call_no_cache(c, r);
		/* Said to nginx, which keeps it to itself. */
		reply_text(r, "X-Accel-Buffering: no\r\n");
	}
	reply_body(r);
	if (header != NULL)
		reply_bytes(r, header->data, header->len);
}

static bool
stream_padding(const struct call *c, struct padding_min *min)
{
	struct slice agent = c->query.user_agent;
	struct buf *value = &c->api->value[COMPLEX_AGENT];
	bool set;
	int err = endpoint_value(
	    c->endpoint, c->request, &c->query, COMPLEX_AGENT, value, &set);

	if (err != 0) {
		call_error(c, err);
		return false;
	}
	if (set)
		agent = (struct slice){ value->data, value->len };
	*min = padding_find(c->endpoint->padding, agent);
	return true;
}

/* The head may be lost to want of memory: then the client sees no answer. */
static void
stream_begin(struct wait_state *w, struct payload *head)
{
	const struct payload *header = format_header(w->endpoint->format);

	struct payload *fill = NULL;

	stream_send(w, head);
	if (header != NULL)
		fill = padding_for(w, header->len, w->of.stream.padding.header);
	stream_send(w, fill);
	payload_unref(&fill);
}

/*
 * An EventSource that nothing was sent to yet comes back from here as well: an
 * id without data is no event, the browser only remembers it.
 */
static void
send_place(struct wait_state *w)
{
	const struct settings *s = &w->endpoint->settings;
	const char *end = s->compat < COMPAT_0_6_0 ? "\r\n" : "\n";
	uint64_t at = w->on.sub->after;
	struct payload *part;
	char text[64];
	int len;

	len = snprintf(text, sizeof(text), "id: %" PRIu64 ".%" PRIu32 "%s%s",
	    cursor_time(at), cursor_tag(at), end, end);
	assert(len > 0 && (size_t)len < sizeof(text));
	part = payload_new(text, (size_t)len);
	stream_send(w, part);
	payload_unref(&part);
}

/* With a replay under way the messages bring their ids. */
static bool
place_wanted(const struct wait_state *w)
{
	const struct settings *s = &w->endpoint->settings;

	return s->mode == MODE_EVENTSOURCE && s->eventsource_cursor &&
	    w->on.sub->reading == NULL;
}

static void
stream_join(struct call *c, struct wait_state *w, struct sub_request *req,
    struct payload *head)
{
	struct api *a = c->api;
	int err;

	req->sess = w;
	err = hub_subscribe(a->hub, req, &w->on.sub);
	if (err != 0 && err != HUB_NOTHING) {
		wait_drop(&w);
		call_error(c, err);
		return;
	}
	a->stats->streams++;
	c->request->tunnel = c->websocket;
	request_shed(c->request);
	stream_begin(w, head);
	if (err == HUB_NOTHING) /* we are going: so is it */
		stream_goodbye(w);
	else if (place_wanted(w))
		send_place(w);
}

void
stream_handle(struct call *c, enum sub_mode mode)
{
	struct api *a = c->api;
	const struct settings *s = &c->endpoint->settings;
	uint64_t ttl = s->subscriber_connection_ttl_ms;
	struct sub_request req = { .channels = a->channels,
		.backtracks = a->backtracks,
		.n = a->path.n,
		.kind = SUB_STREAM,
		.by_cursor = s->replay_by_cursor || s->eventsource_cursor,
		.deadline_ms = ttl != 0 ? hub_now_ms(a->hub) + ttl : UINT64_MAX,
		.ping_ms = s->ping_message_interval_ms,
		.ops = &stream_ops };
	struct padding_min padding = { 0, 0 };
	struct payload *head;
	struct wait_state *w;
	struct reply r;
	int64_t time_s, tag;

	if (!subscriber_position(c, mode, &req.pos, &time_s, &tag) ||
	    (mode != MODE_WEBSOCKET && !stream_padding(c, &padding)) ||
	    !subscriber_channels(c))
		return;
	c->websocket = mode == MODE_WEBSOCKET;
	stream_head(c, &r, mode);
	head = reply_take(&r);
	w = head != NULL ? wait_new(c, WAIT_STREAM, (struct slice){ NULL, 0 })
			 : NULL;
	if (w == NULL) {
		call_error(c, ERR_NOMEM);
	} else {
		w->of.stream.padding = padding;
		stream_join(c, w, &req, head);
	}
	payload_unref(&head);
}
