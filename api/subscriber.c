/*
 * api/subscriber.c - what every subscriber begins with: checks, channels,
 * position, mode.
 *
 * Source: push-stream.md sections 7 and 8, checks in the order of 7.1.  poll.c
 * and stream.c go on from here.
 */
#include "api/api_priv.h"

#include <strings.h>

#include "api/vars.h"
#include "base/clock.h"

struct template_values
delivery_values(const struct delivery *d)
{
	return (struct template_values){
		.id = (int64_t)d->id,
		.channel = channel_name(d->channel),
		.text = msg_text(d->msg),
		.event_id = d->msg->has_event_id ? msg_event_id(d->msg)
						 : (struct slice){ NULL, 0 },
		.event_type = d->msg->has_event_type
		    ? msg_event_type(d->msg)
		    : (struct slice){ NULL, 0 },
		.tag = cursor_tag(d->cursor),
		.time_s = (int64_t)cursor_time(d->cursor),
	};
}

struct template_values
special_values(int64_t id, struct slice channel, struct slice text)
{
	return (struct template_values){
		.id = id,
		.channel = channel,
		.text = text,
	};
}

/* --- may these channels be read?  Section 7.2 --------------------------- */

static bool
channel_admits(const struct call *c, struct slice id)
{
	const struct settings *s = &c->endpoint->settings;
	uint32_t most = c->api->layout->settings.max_subscribers_per_channel;
	const struct channel *ch = hub_find(c->api->hub, id);

	if (s->authorized_channels_only && !hub_is_wildcard(c->api->hub, id) &&
	    (ch == NULL || ch->stored == 0)) {
		call_explain(c, 403, "Subscriber could not create channels.");
		return false;
	}
	if (ch != NULL && most != 0 && ch->subscribers >= most) {
		limit_hit(&c->api->stats->limits,
		    LIMIT_push_stream_max_subscribers_per_channel);
		call_explain(
		    c, 403, "Subscribers limit per channel has been exceeded.");
		return false;
	}
	if (call_is_events(c, id) && !s->allow_events_channel) {
		call_explain(
		    c, 403, "Subscription to events channel is not allowed.");
		return false;
	}
	return true;
}

static bool
wildcards_admitted(const struct call *c, uint32_t wildcards)
{
	const struct settings *s = &c->endpoint->settings;
	const struct settings *store = &c->api->layout->settings;
	uint32_t limit = s->wildcard_channel_max_qtd != 0
	    ? s->wildcard_channel_max_qtd
	    : store->max_number_of_wildcard_channels;

	if (limit == 0 || wildcards == 0 ||
	    (wildcards <= limit && wildcards != c->api->path.n))
		return true;
	if (wildcards > limit)
		limit_hit(&c->api->stats->limits,
		    LIMIT_push_stream_wildcard_channel_max_qtd);
	call_explain(c, 403, "Subscribed too much wildcard channels.");
	return false;
}

static bool
subscriber_admitted(const struct call *c)
{
	const struct api *a = c->api;
	uint32_t wildcards = 0;

	for (uint32_t i = 0; i < a->path.n; i++) {
		struct slice id = a->path.item[i].id;

		if (!call_id_ok(c, id) || !channel_admits(c, id))
			return false;
		wildcards += hub_is_wildcard(a->hub, id);
	}
	return wildcards_admitted(c, wildcards);
}

bool
subscriber_channels(const struct call *c)
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

/* --- where does the client stand?  Section 7.3 -------------------------- */

/* The directive's value if it is set, even if empty; else the header's. */
static bool
subscriber_value(const struct call *c, enum complex which, struct slice header,
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

/* "1763800000.12", as an EventSource location may have sent it as id. */
static bool
parse_cursor(struct slice v, uint64_t *cursor)
{
	const size_t most = 12; /* digits of seconds */
	const char *dot = v.len != 0 ? memchr(v.ptr, '.', v.len) : NULL;
	size_t len = dot != NULL ? (size_t)(dot - v.ptr) : 0;
	int64_t tag;
	uint64_t s = 0;

	if (len == 0 || len > most)
		return false;
	tag = parse_tag((struct slice){ dot + 1, v.len - len - 1 });
	for (size_t i = 0; i < len; i++) {
		if (v.ptr[i] < '0' || v.ptr[i] > '9')
			return false;
		s = s * 10 + (uint64_t)(v.ptr[i] - '0');
	}
	if (tag < 0 || s > CURSOR_TIME_MAX)
		return false;
	*cursor = cursor_make(s, (uint64_t)tag);
	return true;
}

/* A time without a tag means "after that second". */
static void
position_set(struct sub_position *pos, int64_t time_s, int64_t tag)
{
	pos->by_position = true;
	pos->after =
	    cursor_make((uint64_t)MIN_OF(time_s, (int64_t)CURSOR_TIME_MAX),
		tag >= 0 ? (uint64_t)tag : CURSOR_TAG_MAX);
}

/* The ways of 0.3.4: an event id makes the time void, a stream does not look
 * at the tag, a WebSocket at neither, and a poll without a time wants all. */
static void
position_0_3_4(struct sub_position *pos, enum sub_mode mode, int64_t time_s)
{
	bool poll = mode == MODE_POLLING || mode == MODE_LONG_POLLING;

	if (mode == MODE_WEBSOCKET) {
		memset(pos, 0, sizeof(*pos));
	} else if (pos->by_event_id) {
		pos->by_position = false;
	} else if (poll && !pos->by_position) {
		pos->by_position = true;
		pos->after = 0;
	} else if (!poll && time_s >= 0) {
		position_set(pos, time_s, 0);
	}
}

bool
subscriber_position(const struct call *c, enum sub_mode mode,
    struct sub_position *pos, int64_t *time_s, int64_t *tag)
{
	struct slice time_text, tag_text, id;

	if (!subscriber_value(
		c, COMPLEX_TIME, c->query.if_modified_since, &time_text) ||
	    !subscriber_value(
		c, COMPLEX_TAG, c->query.if_none_match, &tag_text) ||
	    !subscriber_value(c, COMPLEX_EVENT_ID, c->query.last_event_id, &id))
		return false;
	*time_s = http_date_parse(time_text.ptr, time_text.len);
	*tag = parse_tag(tag_text);
	memset(pos, 0, sizeof(*pos));
	if (*time_s >= 0)
		position_set(pos, *time_s, *tag);
	if (c->endpoint->settings.eventsource_cursor &&
	    parse_cursor(id, &pos->after)) {
		pos->by_position = true;
	} else if (id.len != 0) {
		pos->by_event_id = true;
		pos->event_id = id;
	}
	if (call_compat(c) == COMPAT_0_3_4)
		position_0_3_4(pos, mode, *time_s);
	return true;
}

/* --- how is it answered?  Section 8 ------------------------------------- */

static bool
mode_is(struct slice header, const char *name)
{
	return header.len == strlen(name) &&
	    strncasecmp(header.ptr, name, header.len) == 0;
}

/* Location and header name a mode; long-polling wins over polling. */
static enum sub_mode
subscriber_mode(const struct call *c)
{
	enum sub_mode mode = c->endpoint->settings.mode;

	if (mode_is(c->query.mode, "long-polling"))
		return MODE_LONG_POLLING;
	if (mode_is(c->query.mode, "polling") && mode != MODE_LONG_POLLING)
		return MODE_POLLING;
	return mode;
}

/* It becomes the name of a function in a script, so it must look like one. */
static bool
callback_ok(struct slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		unsigned char ch = (unsigned char)name.ptr[i];

		if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
			(ch >= '0' && ch <= '9') ||
			(ch != '\0' && strchr("_$.[]", ch) != NULL)))
			return false;
	}
	return true;
}

/* Section 8.5: the callback argument of a poll, decoded. */
static bool
subscriber_callback(struct call *c)
{
	struct slice name = { "callback", 8 };
	struct buf *out = &c->api->body;
	int err;

	buf_clear(out);
	err = path_decode(query_arg(c->query.args, name), out);
	if (err != 0) {
		call_error(c, err);
		return false;
	}
	c->callback = (struct slice){ out->data, out->len };
	if (callback_ok(c->callback))
		return true;
	c->callback.len = 0;
	call_explain(c, 400, "The callback argument is no name of a function.");
	return false;
}

static void
subscriber_options(const struct call *c)
{
	struct reply r;

	reply_start(&r, &c->api->out, 200);
	call_cors(c, &r);
	reply_header_only(&r);
	api_send(c->api, c->request, &r);
}

void
subscriber_handle(struct call *c)
{
	enum sub_mode mode = c->endpoint->settings.mode;

	if (mode == MODE_WEBSOCKET) {
		if (!websocket_asked(c))
			return;
	} else {
		mode = subscriber_mode(c);
		if (slice_is(c->query.method, "OPTIONS")) {
			subscriber_options(c);
			return;
		}
		if (!slice_is(c->query.method, "GET")) {
			call_method_not_allowed(c, "GET");
			return;
		}
	}
	/* Only 0.3.x looks at the channels before it says 101. */
	c->websocket = mode == MODE_WEBSOCKET && call_compat(c) > COMPAT_0_3_4;
	if (!call_path(c) || !subscriber_admitted(c))
		return;
	if (mode != MODE_POLLING && mode != MODE_LONG_POLLING)
		stream_handle(c, mode);
	else if (subscriber_callback(c))
		poll_handle(c, mode);
}
