/*
 * api/subscriber.c - the subscriber endpoint: polling and long-polling.
 *
 * Source: push-stream.md sections 7 and 8, checks in the order of 7.1.
 */
#include "api/api_priv.h"

#include <strings.h>

#include "base/clock.h"

static sub_deliver_f reader_deliver;
static sub_empty_f reader_empty;
static sub_deleted_f reader_deleted;
static sub_failed_f reader_failed;

static const struct sub_ops reader_ops = {
	.name = "poll",
	.deliver = reader_deliver,
	.empty = reader_empty,
	.deleted = reader_deleted,
	.failed = reader_failed,
};

/* Last-Modified and Etag; -1 leaves one out. */
static void
position_fields(const struct call *c, struct reply *r, int64_t time_s,
    int64_t tag, bool etag)
{
	char date[HTTP_DATE_SIZE];

	if (!etag) {
		if (time_s > 0) {
			http_date_format(time_s, date);
			reply_field_text(r, "Last-Modified", date);
		}
		return;
	}
	if (tag >= 0 && r->err == 0)
		r->err = buf_printf(r->b, "Etag: %s%u\r\n",
		    c->endpoint->settings.compat >= COMPAT_0_6_0 ? "W/" : "",
		    (unsigned)tag);
}

/* The head of a subscriber's answer, fields in the module's order. */
static void
reader_head(const struct call *c, struct reply *r, int status, int64_t time_s,
    int64_t tag)
{
	reply_start(r, &c->api->out, status);
	reply_field_text(r, "Content-Type", c->endpoint->settings.content_type);
	position_fields(c, r, time_s, tag, false);
	call_cors(c, r);
	reply_no_cache(r);
	position_fields(c, r, time_s, tag, true);
}

static void
reader_head_at(
    const struct call *c, struct reply *r, int status, uint64_t position)
{
	reader_head(
	    c, r, status, (int64_t)cursor_time(position), cursor_tag(position));
}

static void
render(const struct call *c, struct reply *r, const struct template_values *v)
{
	if (r->err == 0)
		r->err = template_render(c->endpoint->template, v, r->b);
}

static void
render_delivery(const struct call *c, struct reply *r, const struct delivery *d)
{
	struct template_values v = {
		.id = (int64_t)d->id,
		.channel = channel_name(d->channel),
		.text = msg_text(d->msg),
		.event_id = msg_event_id(d->msg),
		.event_type = msg_event_type(d->msg),
		.tag = cursor_tag(d->cursor),
		.time_s = (int64_t)cursor_time(d->cursor),
	};

	render(c, r, &v);
}

static struct payload *
reader_answer(
    const struct call *c, const struct delivery *d, size_t n, uint64_t position)
{
	const struct settings *s = &c->endpoint->settings;
	struct reply r;

	reader_head_at(c, &r, 200, position);
	reply_body(&r);
	reply_text(&r, s->header_template);
	for (size_t i = 0; i < n; i++)
		render_delivery(c, &r, &d[i]);
	reply_text(&r, s->footer_template);
	c->api->stats->renders++;
	return reply_take(&r);
}

static bool
rendered_for(const struct rendered *last, const struct call *c,
    uint64_t channel, int64_t id, uint64_t position)
{
	return last->endpoint == c->endpoint && last->channel == channel &&
	    last->id == id && last->position == position &&
	    last->origin_len == c->origin.len &&
	    memcmp(last->origin, c->origin.ptr, c->origin.len) == 0;
}

static void
rendered_keep(struct rendered *last, const struct call *c, uint64_t channel,
    int64_t id, uint64_t position, struct payload *answer)
{
	if (answer == NULL || c->origin.len > sizeof(last->origin))
		return;
	payload_unref(&last->answer);
	endpoint_unref(&last->endpoint);
	last->endpoint = endpoint_ref(c->endpoint);
	last->channel = channel;
	last->id = id;
	last->position = position;
	last->origin_len = c->origin.len;
	if (c->origin.len != 0)
		memcpy(last->origin, c->origin.ptr, c->origin.len);
	last->answer = payload_ref(answer);
}

/*
 * A live message goes to all readers of its channel one after the other, and
 * most of them came by the same location: its answer is rendered once.
 */
static struct payload *
live_answer(const struct call *c, const struct delivery *d)
{
	struct rendered *last = &c->api->rendered;
	int64_t id = (int64_t)d->id;
	struct payload *answer;

	if (rendered_for(last, c, d->channel->number, id, d->cursor))
		return payload_ref(last->answer);
	answer = reader_answer(c, d, 1, d->cursor);
	rendered_keep(last, c, d->channel->number, id, d->cursor, answer);
	return answer;
}

static struct call
reader_call(struct wait_state *w)
{
	w->api->stats->parked--;
	return wait_call(w);
}

static void
send_payload(const struct call *c, struct payload *answer)
{
	c->request->ops->reply(
	    c->request, answer != NULL ? answer : c->api->no_memory);
	payload_unref(&answer);
}

static void
reader_deliver(
    void *sess, const struct delivery *d, size_t n, uint64_t position)
{
	struct wait_state *w = sess;
	struct call c = reader_call(w);

	if (n == 1 && position == d->cursor)
		send_payload(&c, live_answer(&c, d));
	else
		send_payload(&c, reader_answer(&c, d, n, position));
	wait_free(&w);
}

/* A message of our own making: deleted or timed out. */
static struct payload *
special_answer(const struct call *c, int64_t id, struct slice channel,
    struct slice text, uint64_t position)
{
	const struct settings *s = &c->endpoint->settings;
	struct template_values v = {
		.id = id,
		.channel = channel,
		.text = text,
		.event_id = { "", 0 },
		.event_type = { "", 0 },
	};
	struct reply r;

	reader_head_at(c, &r, 200, position);
	reply_body(&r);
	reply_text(&r, s->header_template);
	render(c, &r, &v);
	reply_text(&r, s->footer_template);
	c->api->stats->renders++;
	return reply_take(&r);
}

static void
send_timeout(const struct call *c, uint64_t position)
{
	static const char text[] = "Timed out";
	struct reply r;

	c->api->stats->poll_timeouts++;
	if (c->endpoint->settings.timeout_with_body) {
		send_payload(c,
		    special_answer(c, MESSAGE_ID_TIMED_OUT,
			(struct slice){ "", 0 },
			(struct slice){ text, sizeof(text) - 1 }, position));
		return;
	}
	reader_head_at(c, &r, 304, position);
	reply_header_only(&r);
	api_send(c->api, c->request, &r);
}

/* A poll found nothing: the client's own position comes back (8.2). */
static void
send_nothing(const struct call *c, int64_t time_s, int64_t tag)
{
	struct reply r;

	reader_head(c, &r, 304, time_s, tag);
	reply_header_only(&r);
	api_send(c->api, c->request, &r);
}

static void
reader_empty(void *sess, uint64_t position)
{
	struct wait_state *w = sess;
	struct call c = reader_call(w);

	if (w->polling)
		send_nothing(&c, w->own_time, w->own_tag);
	else
		send_timeout(&c, position);
	wait_free(&w);
}

static void
reader_deleted(
    void *sess, const struct channel *ch, struct slice text, uint64_t position)
{
	struct wait_state *w = sess;
	struct call c = reader_call(w);
	struct rendered *last = &c.api->rendered;
	struct payload *answer;

	if (rendered_for(last, &c, ch->number, MESSAGE_ID_DELETED, position)) {
		answer = payload_ref(last->answer);
	} else {
		answer = special_answer(
		    &c, MESSAGE_ID_DELETED, channel_name(ch), text, position);
		rendered_keep(
		    last, &c, ch->number, MESSAGE_ID_DELETED, position, answer);
	}
	send_payload(&c, answer);
	wait_free(&w);
}

static void
reader_failed(void *sess, int err)
{
	struct wait_state *w = sess;
	struct call c = reader_call(w);

	call_error(&c, err);
	wait_free(&w);
}

/* Section 7.2: may these channels be read?  Answers when not. */
static bool
reader_validate(const struct call *c)
{
	struct api *a = c->api;
	const struct settings *s = &c->endpoint->settings;
	const struct settings *store = &a->layout->settings;
	uint32_t wildcards = 0, limit;

	for (uint32_t i = 0; i < a->path.n; i++) {
		struct slice id = a->path.item[i].id;
		const struct channel *ch;
		bool wildcard = hub_is_wildcard(a->hub, id);

		if (!call_id_ok(c, id))
			return false;
		ch = hub_find(a->hub, id);
		wildcards += wildcard;
		if (s->authorized_channels_only && !wildcard &&
		    (ch == NULL || ch->stored == 0)) {
			call_explain(
			    c, 403, "Subscriber could not create channels.");
			return false;
		}
		if (ch != NULL && store->max_subscribers_per_channel != 0 &&
		    ch->subscribers >= store->max_subscribers_per_channel) {
			call_explain(c, 403,
			    "Subscribers limit per channel "
			    "has been exceeded.");
			return false;
		}
	}
	limit = s->wildcard_channel_max_qtd != 0
	    ? s->wildcard_channel_max_qtd
	    : store->max_number_of_wildcard_channels;
	if (limit != 0 && wildcards != 0 &&
	    (wildcards > limit || wildcards == a->path.n)) {
		call_explain(c, 403, "Subscribed too much wildcard channels.");
		return false;
	}
	return true;
}

static bool
reader_channels(const struct call *c)
{
	struct api *a = c->api;

	for (uint32_t i = 0; i < a->path.n; i++) {
		int err = hub_open(a->hub, a->path.item[i].id, &a->channels[i]);

		if (err != 0) {
			call_error(c, err);
			return false;
		}
		a->backtracks[i] = a->path.item[i].backtrack;
	}
	return true;
}

/* The directive's value if it is set, even if empty; else the header's. */
static bool
reader_value(const struct call *c, enum complex which, struct slice header,
    struct slice *out)
{
	struct buf *value = &c->api->value[which];
	bool set;
	int err = endpoint_value(
	    c->endpoint, c->request, &c->query, which, value, &set);

	if (err != 0) {
		call_error(c, err);
		return false;
	}
	*out = set ? (struct slice){ value->data, value->len } : header;
	return true;
}

/* "W/12" or "12"; anything else is no tag. */
static int64_t
parse_tag(struct slice v)
{
	int64_t tag = 0;

	if (v.len > 2 && v.ptr[0] == 'W' && v.ptr[1] == '/')
		v = (struct slice){ v.ptr + 2, v.len - 2 };
	for (size_t i = 0; i < v.len; i++) {
		if (v.ptr[i] < '0' || v.ptr[i] > '9')
			return -1;
		tag = tag * 10 + (v.ptr[i] - '0');
		if (tag > (int64_t)CURSOR_TAG_MAX)
			tag = (int64_t)CURSOR_TAG_MAX;
	}
	return v.len != 0 ? tag : -1;
}

/* Section 7.3.  A time without a tag means "after that second". */
static bool
reader_position(const struct call *c, struct sub_position *pos, int64_t *time_s,
    int64_t *tag)
{
	struct slice time_text, tag_text, event_id;

	if (!reader_value(
		c, COMPLEX_TIME, c->query.if_modified_since, &time_text) ||
	    !reader_value(c, COMPLEX_TAG, c->query.if_none_match, &tag_text) ||
	    !reader_value(
		c, COMPLEX_EVENT_ID, c->query.last_event_id, &event_id))
		return false;
	*time_s = http_date_parse(time_text.ptr, time_text.len);
	*tag = parse_tag(tag_text);
	memset(pos, 0, sizeof(*pos));
	if (*time_s >= 0) {
		pos->by_position = true;
		pos->after = cursor_make((uint64_t)*time_s,
		    *tag >= 0 ? (uint64_t)*tag : CURSOR_TAG_MAX);
	}
	pos->by_event_id = event_id.len != 0;
	pos->event_id = event_id;
	return true;
}

/* Location and header name a mode; long-polling wins over polling (8). */
static enum sub_mode
reader_mode(const struct call *c)
{
	enum sub_mode mode = c->endpoint->settings.mode;
	struct slice h = c->query.mode;

	if (mode == MODE_WEBSOCKET)
		return mode;
	if (h.len == 12 && strncasecmp(h.ptr, "long-polling", 12) == 0)
		return MODE_LONG_POLLING;
	if (h.len == 7 && strncasecmp(h.ptr, "polling", 7) == 0 &&
	    mode != MODE_LONG_POLLING)
		return MODE_POLLING;
	return mode;
}

static uint64_t
reader_deadline(const struct call *c)
{
	const struct settings *s = &c->endpoint->settings;
	uint64_t ttl = s->longpolling_connection_ttl_ms != 0
	    ? s->longpolling_connection_ttl_ms
	    : s->subscriber_connection_ttl_ms;

	return ttl != 0 ? hub_now_ms(c->api->hub) + ttl : UINT64_MAX;
}

static void
reader_join(struct call *c, bool polling)
{
	struct api *a = c->api;
	struct sub_position pos;
	struct wait_state *w;
	int64_t time_s, tag;
	int err;

	if (!reader_position(c, &pos, &time_s, &tag) || !reader_channels(c))
		return;
	w = wait_new(c, WAIT_READER, (struct slice){ NULL, 0 });
	if (w == NULL) {
		call_error(c, ERR_NOMEM);
		return;
	}
	w->polling = polling;
	w->own_time = time_s;
	w->own_tag = tag;
	err = hub_subscribe(a->hub, a->channels, a->backtracks, a->path.n, &pos,
	    !polling, reader_deadline(c), &reader_ops, w, &w->on.sub);
	if (err == 0) {
		a->stats->parked++;
		request_shed(c->request);
		return;
	}
	(void)wait_call(w);
	wait_free(&w);
	if (err != HUB_NOTHING)
		call_error(c, err);
	else if (polling)
		send_nothing(c, time_s, tag);
	else
		send_timeout(c, hub_position_now(a->hub, pos.after));
}

void
subscriber_handle(struct call *c)
{
	enum sub_mode mode;
	struct reply r;

	if (slice_is(c->query.method, "OPTIONS")) {
		reply_start(&r, &c->api->out, 200);
		call_cors(c, &r);
		reply_header_only(&r);
		api_send(c->api, c->request, &r);
		return;
	}
	if (!slice_is(c->query.method, "GET")) {
		call_method_not_allowed(c, "GET");
		return;
	}
	mode = reader_mode(c);
	if (mode != MODE_POLLING && mode != MODE_LONG_POLLING) {
		call_explain(c, 501,
		    "This push_stream_subscriber mode is not "
		    "served by this version.");
		return;
	}
	if (call_path(c) && reader_validate(c))
		reader_join(c, mode == MODE_POLLING);
}
