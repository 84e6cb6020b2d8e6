/*
 * api/publisher.c - the publisher endpoint: POST, PUT, GET, DELETE, OPTIONS.
 *
 * Source: push-stream.md section 6, checks in the order of 6.1.  One thing is
 * added: Message-Expiry, which Bitrix sends and the module ignores.
 */
#include "api/api_priv.h"

#include "base/msg.h"

static bool
is_post(struct slice method)
{
	return slice_is(method, "POST") || slice_is(method, "PUT");
}

/* Those channels of the path that exist, in api->channels. */
static uint32_t
publisher_existing(const struct call *c)
{
	struct api *a = c->api;
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->path.n; i++) {
		struct channel *ch = hub_find(a->hub, a->path.item[i].id);

		if (ch != NULL)
			a->channels[n++] = ch;
	}
	return n;
}

/* Answer with what is known of them.  false: there is none, and no answer
 * yet. */
static bool
publisher_info(const struct call *c, enum info_format format)
{
	uint32_t n = publisher_existing(c);

	if (n != 0)
		info_answer_channels(c, format, n);
	return n != 0;
}

static hub_done_f publish_done, delete_done;

static void
publish_done(void *arg, int err)
{
	struct wait_state *w = arg;
	struct call c = wait_call(w);

	if (err != 0) {
		call_error(&c, err);
	} else if (!c.endpoint->settings.channel_info_on_publish) {
		call_explain(&c, 200, NULL);
	} else {
		/* It was parsed before, so it parses again. */
		err = call_path_parse(&c, wait_note(w));
		assert(err == 0);
		/* A deletion may have overtaken it: published all the same. */
		if (!publisher_info(&c, w->format))
			call_explain(&c, 200, NULL);
	}
	wait_free(&w);
}

static void
delete_done(void *arg, int err)
{
	struct wait_state *w = arg;
	struct call c = wait_call(w);

	if (err != 0)
		call_error(&c, err);
	else
		call_explain(&c, 200, "Channel deleted.");
	wait_free(&w);
}

/*
 * Message-Expiry: 1..message_ttl seconds; more is cut to message_ttl, absent
 * or not a number means message_ttl; 0 is for those who are there now.
 */
static int64_t
message_ttl(const struct call *c)
{
	int64_t ttl = c->api->layout->settings.message_ttl_s, asked = 0;
	struct slice v = c->query.message_expiry;

	if (v.len == 0)
		return ttl;
	for (size_t i = 0; i < v.len; i++) {
		if (v.ptr[i] < '0' || v.ptr[i] > '9')
			return ttl;
		asked = asked * 10 + (v.ptr[i] - '0');
		if (asked > ttl)
			asked = ttl;
	}
	return asked;
}

/* In 0.3.x only a POST refuses "ALL" and "*"; others just find nothing. */
static bool
publisher_id_ok(const struct call *c, struct slice id)
{
	if (call_compat(c) == COMPAT_0_3_4 && !is_post(c->query.method))
		return call_id_short(c, id);
	return call_id_ok(c, id);
}

/* Check the path's ids, and make their channels when something is published;
 * answers when one is refused.  What was made before the refusal stays, as in
 * the module. */
static bool
publisher_channels(const struct call *c)
{
	struct api *a = c->api;

	for (uint32_t i = 0; i < a->path.n; i++) {
		struct slice id = a->path.item[i].id;
		int err = 0;

		if (!publisher_id_ok(c, id))
			return false;
		if (is_post(c->query.method))
			err = hub_open(a->hub, id, &a->channels[i]);
		if (err != 0) {
			call_error(c, err);
			return false;
		}
		if (call_is_events(c, id) &&
		    !slice_is(c->query.method, "GET")) {
			call_explain(c, 403,
			    "Only internal routines can change events "
			    "channel.");
			return false;
		}
	}
	return true;
}

static void
publisher_post(struct call *c)
{
	const struct slice *event_id = NULL, *event_type = NULL;
	struct api *a = c->api;
	struct buf *body = &c->request->body;
	struct wait_state *w;
	struct msg *msg;
	int64_t ttl = message_ttl(c);
	bool keep = c->endpoint->settings.store_messages && ttl != 0;
	int err;

	if (!publisher_channels(c))
		return;
	if (body->len == 0) {
		call_explain(c, 400, "Empty post requests are not allowed.");
		return;
	}
	if (c->query.event_id.ptr != NULL)
		event_id = &c->query.event_id;
	if (c->query.event_type.ptr != NULL)
		event_type = &c->query.event_type;
	msg = msg_new(body->data, body->len, event_id, event_type,
	    hub_now_s(a->hub) + ttl);
	w = wait_new(c, WAIT_PUBLISH,
	    (struct slice){
		a->value[COMPLEX_PATH].data, a->value[COMPLEX_PATH].len });
	if (msg == NULL || w == NULL) {
		msg_unref(&msg);
		err = ERR_NOMEM;
	} else {
		w->format = info_format_of(c->query.accept);
		w->on.done = (struct hub_wait){ publish_done, w, NULL };
		err = hub_publish(a->hub, a->channels, a->path.n, msg,
		    keep ? HUB_KEEP : 0, &w->on.done);
	}
	if (err == 0) {
		request_shed(c->request);
		return;
	}
	if (w != NULL) {
		wait_drop(&w);
	}
	call_error(c, err);
}

static void
publisher_delete(struct call *c)
{
	struct api *a = c->api;
	const char *fixed = c->endpoint->settings.channel_deleted_message_text;
	struct buf *body = &c->request->body;
	struct slice text = { body->data, body->len };
	struct wait_state *w;
	uint32_t n;
	int err;

	if (!publisher_channels(c))
		return;
	n = publisher_existing(c);
	if (n == 0) {
		call_explain(c, 404, NULL);
		return;
	}
	/* From 0.4.0 on the body is the text. */
	if (text.len == 0 || call_compat(c) == COMPAT_0_3_4)
		text = (struct slice){ fixed, strlen(fixed) };
	w = wait_new(c, WAIT_DELETE, (struct slice){ NULL, 0 });
	if (w == NULL) {
		call_error(c, ERR_NOMEM);
		return;
	}
	w->on.done = (struct hub_wait){ delete_done, w, NULL };
	err = hub_delete(a->hub, a->channels, n, text, &w->on.done);
	if (err != 0) {
		wait_drop(&w);
		call_error(c, err);
	}
}

static void
publisher_get(struct call *c)
{
	if (publisher_channels(c) &&
	    !publisher_info(c, info_format_of(c->query.accept)))
		call_explain(c, 404, NULL);
}

/* PUT came with 0.4.0. */
static bool
method_allowed(const struct call *c)
{
	struct slice method = c->query.method;

	if (slice_is(method, "PUT"))
		return call_compat(c) > COMPAT_0_3_4;
	if (slice_is(method, "DELETE"))
		return c->endpoint->settings.admin;
	return slice_is(method, "POST") || slice_is(method, "GET");
}

static const char *
methods_allowed(const struct call *c)
{
	bool admin = c->endpoint->settings.admin;

	if (call_compat(c) == COMPAT_0_3_4)
		return admin ? "GET, POST, DELETE" : "GET, POST";
	return admin ? "GET, POST, PUT, DELETE" : "GET, POST, PUT";
}

/* Asking what is allowed came with 0.4.0, too. */
static bool
is_question(const struct call *c)
{
	return slice_is(c->query.method, "OPTIONS") &&
	    call_compat(c) > COMPAT_0_3_4;
}

enum api_body
publisher_body(const struct call *c)
{
	struct slice method = c->query.method;

	if (is_question(c))
		return API_BODY_DROP;
	if (!method_allowed(c)) {
		call_method_not_allowed(c, methods_allowed(c));
		return API_BODY_REFUSED;
	}
	return slice_is(method, "GET") ? API_BODY_DROP : API_BODY_TAKE;
}

void
publisher_handle(struct call *c)
{
	struct slice method = c->query.method;

	if (is_question(c)) {
		call_explain(c, 200, NULL);
		return;
	}
	if (!method_allowed(c)) {
		call_method_not_allowed(c, methods_allowed(c));
		return;
	}
	if (!call_path(c))
		return;
	if (is_post(method))
		publisher_post(c);
	else if (slice_is(method, "GET"))
		publisher_get(c);
	else
		publisher_delete(c);
}
