/*
 * api/websocket.c - a WebSocket's handshake, and what its client says.
 *
 * The messages to it are a stream like any other (stream.c); its format makes
 * text frames of them.  Source: push-stream.md section 10, RFC 6455.
 *
 * As in the module the 101 is said before channels are looked at (from 0.4.0
 * on), so a refusal is a close frame with the reason as JSON.
 */
#include "api/api_priv.h"

#include <stdio.h>
#include <sys/queue.h>

#include "auth/accept.h"

#define IGNORED_MAX 16384 /* bytes of a message that is not published */

/* Exists while a frame is on its way in, or a publish to the store. */
struct websocket {
	struct ws_client client;
	LIST_HEAD(, ws_publish) publishing;
};

struct ws_publish {
	LIST_ENTRY(ws_publish) link;
	struct hub_wait wait;
	struct wait_state *stream;
	size_t bytes;
};

static ws_client_event_f websocket_event;

/* --- frames of ours ---------------------------------------------------- */

struct payload *
websocket_frame(enum ws_opcode op, struct slice text)
{
	uint8_t bytes[WS_HEAD_MAX + WS_CONTROL_MAX];
	size_t head = ws_head(bytes, op, text.len);

	assert(text.len <= WS_CONTROL_MAX);
	if (text.len != 0)
		memcpy(bytes + head, text.ptr, text.len);
	return payload_new(bytes, head + text.len);
}

struct payload *
websocket_close(uint16_t code, struct slice reason)
{
	char text[WS_CONTROL_MAX];
	size_t len = MIN_OF(reason.len, sizeof(text) - 2);

	if (code == 0)
		return websocket_frame(WS_OP_CLOSE, (struct slice){ NULL, 0 });
	text[0] = (char)(code >> 8);
	text[1] = (char)(code & 0xff);
	if (len != 0)
		memcpy(text + 2, reason.ptr, len);
	return websocket_frame(WS_OP_CLOSE, (struct slice){ text, len + 2 });
}

struct payload *
websocket_close_status(int status, const char *explain)
{
	char text[WS_CONTROL_MAX];
	int len = snprintf(text, sizeof(text),
	    "{\"http_status\": %d, \"explain\":\"%s\"}", status,
	    explain != NULL ? explain : "");

	assert(len > 0 && len < WS_CONTROL_MAX - 2);
	return websocket_close(
	    WS_CLOSE_POLICY, (struct slice){ text, (size_t)len });
}

void
websocket_count_bad(struct api *a, uint16_t code)
{
	if (code == WS_CLOSE_TOO_BIG)
		limit_hit(&a->stats->limits, LIMIT_websocket_message);
	else if (code == WS_CLOSE_LATER)
		limit_hit(&a->stats->limits, LIMIT_max_incoming_size);
}

/* --- the handshake ----------------------------------------------------- */

bool
websocket_head(const struct call *c, struct reply *r)
{
	char accept[ACCEPT_KEY_SIZE];

	reply_start(r, &c->api->out, 101);
	if (!accept_key(c->query.ws_key, accept))
		return false;
	call_no_cache(c, r);
	reply_text(r, "Upgrade: WebSocket\r\nConnection: Upgrade\r\n");
	reply_field_text(r, "Sec-WebSocket-Accept", accept);
	return true;
}

/* status 0: only the end, as when not even a channel was named. */
void
websocket_refuse(const struct call *c, int status, const char *explain)
{
	struct request *r = c->request;
	struct payload *head, *last;
	struct reply reply;

	c->api->stats->refused_requests++;
	if (!websocket_head(c, &reply) && reply.err == 0)
		reply.err = ERR_SYSTEM;
	reply_body(&reply);
	head = reply_take(&reply);
	if (head == NULL) {
		r->ops->reply(r, c->api->no_memory);
		return;
	}
	last = status != 0 ? websocket_close_status(status, explain) : NULL;
	r->tunnel = true;
	r->ops->send(r, head);
	if (last != NULL)
		r->ops->send(r, last);
	payload_unref(&head);
	payload_unref(&last);
	r->ops->finish(r);
}

static bool
headers_there(const struct query *q)
{
	return q->upgrade.ptr != NULL && q->connection.ptr != NULL &&
	    q->ws_key.ptr != NULL && q->ws_version.ptr != NULL;
}

static void
refuse_version(const struct call *c)
{
	struct reply r;

	reply_start(&r, &c->api->out, 400);
	call_no_cache(c, &r);
	reply_text(&r, "Sec-WebSocket-Version: 8, 13\r\n");
	reply_field_text(&r, "X-Nginx-PushStream-Explain",
	    "Version not supported. Supported versions: 8, 13");
	reply_header_only(&r);
	api_send(c->api, c->request, &r);
	c->api->stats->refused_requests++;
}

bool
websocket_asked(struct call *c)
{
	const struct query *q = &c->query;
	bool asked = false;

	c->origin.len = 0; /* no CORS here */
	if (!slice_is(q->method, "GET")) {
		call_method_not_allowed(c, "GET");
	} else if (!headers_there(q)) {
		call_explain(c, 400,
		    "Don't have at least one of the mandatory headers: "
		    "Connection, Upgrade, Sec-WebSocket-Key and "
		    "Sec-WebSocket-Version");
	} else if (!slice_is(q->ws_version, "8") &&
	    !slice_is(q->ws_version, "13")) {
		refuse_version(c);
	} else if (!c->request->upgrade) {
		call_explain(
		    c, 400, "The web server did not ask for a WebSocket here.");
	} else {
		asked = true;
	}
	return asked;
}

/* --- what the client says ---------------------------------------------- */

static void
publish_forget(struct ws_publish *p)
{
	LIST_REMOVE(p, link);
	free(p);
}

void
websocket_release(struct websocket **wsp)
{
	struct websocket *ws = *wsp;
	struct ws_publish *p;

	*wsp = NULL;
	if (ws == NULL)
		return;
	while ((p = LIST_FIRST(&ws->publishing)) != NULL) {
		hub_forget(&p->wait);
		publish_forget(p);
	}
	ws_client_release(&ws->client);
	free(ws);
}

static struct websocket *
websocket_new(struct wait_state *w)
{
	struct websocket *ws = calloc(1, sizeof(*ws));
	const struct settings *s = &w->endpoint->settings;
	size_t max = w->request->body.max;

	if (ws == NULL)
		return NULL;
	/* A message may be as large as a publisher's body.  A subscriber who
	 * may not publish is not given memory for one. */
	if (!s->websocket_allow_publish)
		max = MIN_OF(max, IGNORED_MAX);
	ws_client_init(
	    &ws->client, w, websocket_event, max, s->websocket_require_mask);
	LIST_INIT(&ws->publishing);
	return ws;
}

/* Nothing is on its way: an idle WebSocket does without. */
static void
websocket_rest(struct wait_state *w)
{
	const struct websocket *ws = w->of.stream.ws;

	if (LIST_EMPTY(&ws->publishing) && ws_client_idle(&ws->client))
		websocket_release(&w->of.stream.ws);
}

static void
publish_failed(struct wait_state *w, int err)
{
	if (err == ERR_BUSY)
		w->api->stats->store_queue_full++;
	else if (err == ERR_FULL)
		w->api->stats->store_full++;
	stream_end(w, websocket_close_status(err_status(err), err_text(err)));
}

static void
publish_done(void *arg, int err)
{
	struct ws_publish *p = arg;
	struct wait_state *w = p->stream;

	ws_client_paid(&w->of.stream.ws->client, p->bytes);
	publish_forget(p);
	if (err != 0)
		publish_failed(w, err);
	else
		websocket_rest(w);
}

/* The channels of this connection; 0.3.x publishes to the first only. */
static uint32_t
publish_channels(const struct wait_state *w, struct channel **out)
{
	const struct sub *s = w->on.sub;
	uint32_t most = w->endpoint->settings.compat == COMPAT_0_3_4 ? 1 : s->n;
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n && n < most; i++) {
		struct channel *ch = s->waits[i].channel;

		if (ch != NULL && !ch->deleted &&
		    !hub_is_events(w->api->hub, ch))
			out[n++] = ch;
	}
	return n;
}

static int
websocket_publish(struct wait_state *w, struct slice text)
{
	struct api *a = w->api;
	struct ws_client *client = &w->of.stream.ws->client;
	bool keep = w->endpoint->settings.store_messages;
	uint32_t n = publish_channels(w, a->channels);
	struct ws_publish *p;
	struct msg *msg;
	int err;

	if (n == 0)
		return 0;
	p = malloc(sizeof(*p));
	msg = msg_new(text.ptr, text.len, NULL, NULL,
	    hub_now_s(a->hub) + a->layout->settings.message_ttl_s);
	if (p == NULL || msg == NULL || ws_client_owes(client, text.len) != 0) {
		msg_unref(&msg);
		free(p);
		return ERR_NOMEM;
	}
	p->wait = (struct hub_wait){ publish_done, p, NULL };
	p->stream = w;
	p->bytes = text.len;
	err = hub_publish(
	    a->hub, a->channels, n, msg, keep ? HUB_KEEP : 0, &p->wait);
	if (err != 0) {
		ws_client_paid(client, text.len);
		free(p);
		return err;
	}
	LIST_INSERT_HEAD(&w->of.stream.ws->publishing, p, link);
	return 0;
}

/* false: the connection has been ended. */
static bool
on_text(struct wait_state *w, struct slice text)
{
	int err = 0;

	if (w->endpoint->settings.websocket_allow_publish && text.len != 0)
		err = websocket_publish(w, text);
	if (err != 0)
		publish_failed(w, err);
	return err == 0;
}

static void
send_pong(struct wait_state *w, struct slice data)
{
	struct payload *pong = websocket_frame(WS_OP_PONG, data);

	stream_send(w, pong);
	payload_unref(&pong);
}

static bool
websocket_event(
    struct wait_state *w, enum ws_event event, struct slice data, uint16_t code)
{
	const struct slice none = { NULL, 0 };

	switch (event) {
	case WS_TEXT:
		return on_text(w, data);
	case WS_PING:
		send_pong(w, data);
		return true;
	case WS_PONG:
		return true;
	case WS_BINARY:
		code = WS_CLOSE_UNSUPPORTED;
		break;
	case WS_CLOSE: /* its code goes back */
		if (code == WS_CLOSE_NONE)
			code = 0;
		break;
	case WS_BAD:
		websocket_count_bad(w->api, code);
		break;
	default:
		break;
	}
	stream_end(w, websocket_close(code, none));
	return false;
}

void
websocket_input(struct wait_state *w, struct slice bytes)
{
	struct websocket *ws = w->of.stream.ws;

	if (ws == NULL)
		ws = w->of.stream.ws = websocket_new(w);
	if (ws == NULL) {
		stream_end(w, websocket_close_status(503, "out of memory"));
		return;
	}
	if (ws_client_input(&ws->client, bytes))
		websocket_rest(w);
}
