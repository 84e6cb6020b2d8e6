/*
 * api/api.c - from a request to its endpoint, and what all endpoints share.
 */
#include "api/api_priv.h"

#include <unistd.h>

#include "api/vars.h"
#include "base/clock.h"

#define VALUE_MAX 65536
#define SCRATCH_KEPT ((size_t)1 << 20) /* from turn to turn */

static const char no_memory_text[] =
    "Status: 503 Service Unavailable\r\nRetry-After: 1\r\n"
    "Content-Length: 0\r\n\r\n";

static void
api_time(struct api *a)
{
	int64_t now_s =
	    a->clock != NULL ? clock_log_s(a->clock) : clock_wall_s(NULL);

	hub_set_time(a->hub, now_s, clock_mono_ms());
}

int
api_new(struct hub *hub, struct stats *stats, struct layout *layout,
    struct api **out)
{
	struct api *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return ERR_NOMEM;
	a->hub = hub;
	a->stats = stats;
	a->start_ms = hub_now_ms(hub);
	TAILQ_INIT(&a->resting);
	TAILQ_INIT(&a->halves);
	TAILQ_INIT(&a->ready);
	buf_init(&a->out, REPLY_MAX);
	buf_init(&a->body, REPLY_MAX);
	for (size_t i = 0; i < COMPLEX_N; i++)
		buf_init(&a->value[i], VALUE_MAX);
	if (gethostname(a->hostname, sizeof(a->hostname) - 1) != 0)
		memcpy(a->hostname, "localhost", sizeof("localhost"));
	a->no_memory = payload_new(no_memory_text, sizeof(no_memory_text) - 1);
	endpoints_init(&a->endpoints, &stats->renders, &stats->limits);
	if (a->no_memory == NULL || bitrix_new(a, &a->bitrix) != 0) {
		api_free(&a);
		return ERR_NOMEM;
	}
	a->layout = layout;
	*out = a;
	return 0;
}

void
api_free(struct api **ap)
{
	struct api *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	bitrix_free(&a->bitrix);
	answers_clear(a);
	endpoints_release(&a->endpoints);
	payload_unref(&a->no_memory);
	layout_free(&a->layout);
	buf_release(&a->out);
	buf_release(&a->body);
	for (size_t i = 0; i < COMPLEX_N; i++)
		buf_release(&a->value[i]);
	free(a);
}

void
api_set_clock(struct api *a, struct clock_log *clock)
{
	a->clock = clock;
}

void
api_set_control(struct api *a, const struct api_control_ops *ops, void *arg)
{
	a->control = ops;
	a->control_arg = arg;
}

void
api_set_layout(struct api *a, struct layout *layout)
{
	answers_clear(a);
	bitrix_forget_answers(a->bitrix);
	endpoints_flush(&a->endpoints);
	layout_free(&a->layout);
	a->layout = layout;
}

const struct layout *
api_layout(const struct api *a)
{
	return a->layout;
}

/* What a client says may wait with it, and is counted with what comes in. */
static bool
wait_hold(const struct call *c, size_t text_len)
{
	struct request_spares *spares = c->request->spares;

	if (spares == NULL)
		return true;
	c->api->incoming = &spares->incoming;
	if (quota_take_of(c->api->incoming, text_len, text_len))
		return true;
	limit_hit(&c->api->stats->limits, LIMIT_max_incoming_size);
	return false;
}

struct wait_state *
wait_new(const struct call *c, enum wait_kind kind, struct slice note)
{
	size_t text_len = note.len + c->origin.len;
	struct wait_state *w = NULL;

	if (!wait_hold(c, text_len))
		return NULL;
	w = malloc(sizeof(*w) + text_len);
	if (w == NULL && c->api->incoming != NULL)
		quota_give(c->api->incoming, text_len);
	if (w == NULL)
		return NULL;
	memset(w, 0, sizeof(*w));
	w->api = c->api;
	w->request = c->request;
	w->endpoint = endpoint_ref(c->endpoint);
	w->kind = kind;
	w->note_len = (uint32_t)note.len;
	w->origin_len = (uint32_t)c->origin.len;
	if (note.len != 0)
		memcpy(w->text, note.ptr, note.len);
	if (c->origin.len != 0)
		memcpy(w->text + note.len, c->origin.ptr, c->origin.len);
	c->request->wait = w;
	return w;
}

struct call
wait_call(struct wait_state *w)
{
	struct call c = { .api = w->api,
		.request = w->request,
		.endpoint = w->endpoint,
		.origin = { w->text + w->note_len, w->origin_len } };

	w->request->wait = NULL;
	return c;
}

void
wait_free(struct wait_state **w)
{
	if ((*w)->api->incoming != NULL)
		quota_give((*w)->api->incoming,
		    (size_t)(*w)->note_len + (*w)->origin_len);
	endpoint_unref(&(*w)->endpoint);
	free(*w);
	*w = NULL;
}

void
wait_drop(struct wait_state **w)
{
	(void)wait_call(*w);
	wait_free(w);
}

void
api_send(struct api *a, struct request *r, struct reply *reply)
{
	struct payload *answer = reply_take(reply);

	if (answer == NULL) {
		r->ops->reply(r, a->no_memory);
		return;
	}
	r->ops->reply(r, answer);
	payload_unref(&answer);
}

/* Header-only answer with an explanation; NULL: none. */
static void
api_explain(struct api *a, struct request *r, int status, const char *explain)
{
	struct reply reply;

	reply_start(&reply, &a->out, status);
	if (explain != NULL)
		reply_field_text(&reply, "X-Nginx-PushStream-Explain", explain);
	if (status == 503)
		reply_text(&reply, "Retry-After: 1\r\n");
	reply_header_only(&reply);
	api_send(a, r, &reply);
	a->stats->refused_requests++;
}

/* A request that never became one met a bound, or was wrong otherwise. */
static void
count_refusal(struct api *a, const struct request *r, int err)
{
	struct limits *l = &a->stats->limits;

	switch (err) {
	case ERR_TOOBIG:
		limit_hit(l, LIMIT_client_max_body_size);
		break;
	case ERR_PARAMS:
	case ERR_HEAD:
		limit_hit(l,
		    r->params.n == PARAMS_MAX ? LIMIT_parameters
					      : LIMIT_max_params_size);
		break;
	case ERR_URI:
		limit_hit(l, LIMIT_request_line);
		break;
	case ERR_CROWDED:
		limit_hit(l, LIMIT_max_incoming_size);
		break;
	default:
		break;
	}
}

void
api_refuse(struct api *a, struct request *r, int err)
{
	count_refusal(a, r, err);
	api_explain(a, r, err_status(err), err_text(err));
}

/* One large answer is no reason to keep its room for ever. */
static void
scratch_rest(struct buf *b)
{
	if (b->cap > SCRATCH_KEPT)
		buf_release(b);
}

bool
api_turn(struct api *a)
{
	scratch_rest(&a->out);
	scratch_rest(&a->body);
	ws_clients_turn(a);
	bitrix_turn(a->bitrix);
	return statistics_turn(a);
}

uint64_t
api_next_ms(const struct api *a)
{
	return MIN_OF(ws_clients_next_ms(a), bitrix_next_ms(a->bitrix));
}

void
api_abandon(struct api *a, struct request *r)
{
	struct wait_state *w = r->wait;

	if (r->control && a->control != NULL)
		a->control->gone(a->control_arg, r);
	if (w == NULL)
		return;
	switch (w->kind) {
	case WAIT_POLL:
		a->stats->parked--;
		hub_unsubscribe(a->hub, &w->on.sub);
		break;
	case WAIT_STREAM:
		stream_release(w);
		break;
	case WAIT_STATISTICS:
		statistics_abandon(w);
		break;
	case WAIT_PUBLISH:
	case WAIT_DELETE:
		hub_forget(&w->on.done);
		break;
	case WAIT_BITRIX_POLL:
	case WAIT_BITRIX_SOCKET:
	case WAIT_BITRIX_JOB:
		bitrix_abandon(w);
		break;
	}
	wait_drop(&w);
}

void
api_tunnel(struct api *a, struct request *r, struct slice bytes)
{
	struct wait_state *w = r->wait;

	if (w == NULL)
		return;
	api_time(a);
	if (w->kind == WAIT_STREAM)
		websocket_input(w, bytes);
	else if (w->kind == WAIT_BITRIX_SOCKET)
		bitrix_input(w, bytes);
	hub_hand_over(a->hub);
}

void
api_drained(struct api *a, struct request *r)
{
	struct wait_state *w = r->wait;

	if (w == NULL)
		return;
	if (w->kind == WAIT_STREAM)
		hub_resume(a->hub, w->on.sub);
	else if (w->kind == WAIT_STATISTICS)
		statistics_more(w);
	else if (w->kind == WAIT_BITRIX_SOCKET)
		bitrix_drained(w);
}

static const char *
cors_methods(const struct settings *s)
{
	if (s->role != ROLE_PUBLISHER)
		return "GET";
	return s->admin ? "GET, POST, PUT, DELETE" : "GET, POST, PUT";
}

/* CORS headers, when an origin is configured; statistics have none
 * (push-stream.md section 12). */
void
call_cors(const struct call *c, struct reply *r)
{
	const struct settings *s = &c->endpoint->settings;
	bool first = s->compat == COMPAT_0_3_4;

	if (c->origin.len == 0 || s->role == ROLE_STATISTICS)
		return;
	reply_field(r, "Access-Control-Allow-Origin", c->origin);
	if (first && s->role == ROLE_PUBLISHER)
		return;
	reply_field_text(r, "Access-Control-Allow-Methods", cors_methods(s));
	reply_field_text(r, "Access-Control-Allow-Headers",
	    first ? "If-Modified-Since,If-None-Match"
		  : "If-Modified-Since,If-None-Match,Etag,Event-Id,"
		    "Event-Type,Last-Event-Id");
}

/* They came with 0.3.5. */
void
call_no_cache(const struct call *c, struct reply *r)
{
	if (call_compat(c) > COMPAT_0_3_4)
		reply_no_cache(r);
}

/* The module refuses a WebSocket's method before it sets these fields. */
static bool
refusal_is_bare(const struct call *c, int status)
{
	const struct settings *s = &c->endpoint->settings;

	return status == 405 && s->role == ROLE_SUBSCRIBER &&
	    s->mode == MODE_WEBSOCKET;
}

static void
call_refusal(
    const struct call *c, int status, const char *name, const char *value)
{
	struct reply reply;

	reply_start(&reply, &c->api->out, status);
	call_cors(c, &reply);
	if (c->endpoint->settings.role == ROLE_STATISTICS && status != 405)
		statistics_version(c, &reply);
	if (!refusal_is_bare(c, status))
		call_no_cache(c, &reply);
	if (name != NULL)
		reply_field_text(&reply, name, value);
	if (status == 503)
		reply_text(&reply, "Retry-After: 1\r\n");
	reply_header_only(&reply);
	api_send(c->api, c->request, &reply);
	if (status >= 400)
		c->api->stats->refused_requests++;
}

void
call_explain(const struct call *c, int status, const char *explain)
{
	if (c->websocket) {
		websocket_refuse(c, status, explain);
		return;
	}
	call_refusal(c, status,
	    explain != NULL ? "X-Nginx-PushStream-Explain" : NULL, explain);
}

void
call_method_not_allowed(const struct call *c, const char *allow)
{
	call_refusal(c, 405, "Allow", allow);
}

void
call_error(const struct call *c, int err)
{
	struct stats *stats = c->api->stats;

	if (err == ERR_BUSY)
		stats->store_queue_full++;
	else if (err == ERR_FULL)
		stats->store_full++;
	if (err_status(err) >= 500)
		log_limited(&c->api->store_trouble, LOG_WARN,
		    "a request was answered %d: %s", err_status(err),
		    err_text(err));
	call_explain(c, err_status(err),
	    err == ERR_LIMIT ? "Number of channels were exceeded."
			     : err_text(err));
}

bool
call_is_events(const struct call *c, struct slice id)
{
	const char *events = c->api->layout->settings.events_channel_id;

	return events[0] != '\0' && slice_is(id, events);
}

/* Of a queue server whose ids are signed (bx_name()).  Of our paths only those
 * of 0.3.4 that are a single id can name it. */
static bool
is_signed_name(const struct call *c, struct slice id)
{
	return memchr(id.ptr, '/', id.len) != NULL &&
	    licences_have_keys(&c->api->layout->licences);
}

static bool
refuse_id(const struct call *c)
{
	call_explain(c, 403, "Channel id not authorized for this method.");
	return false;
}

bool
call_id_short(const struct call *c, struct slice id)
{
	if (is_signed_name(c, id))
		return refuse_id(c);
	if (id.len <= c->endpoint->max_id_len)
		return true;
	limit_hit(
	    &c->api->stats->limits, LIMIT_push_stream_max_channel_id_length);
	call_explain(c, 400, "Channel id is too large.");
	return false;
}

bool
call_id_ok(const struct call *c, struct slice id)
{
	if (slice_is(id, "ALL") || memchr(id.ptr, '*', id.len) != NULL)
		return refuse_id(c);
	return call_id_short(c, id);
}

/* What 0.3.4 called push_stream_channel_id. */
static bool
is_single(const struct call *c)
{
	const struct settings *s = &c->endpoint->settings;

	return s->compat == COMPAT_0_3_4 && s->role != ROLE_SUBSCRIBER;
}

int
call_path_parse(const struct call *c, struct slice text)
{
	if (!is_single(c))
		return path_parse(text, &c->api->path);
	path_single(text, &c->api->path);
	return 0;
}

bool
call_path_value(const struct call *c)
{
	struct buf *value = &c->api->value[COMPLEX_PATH];
	bool set;
	int err;

	err = endpoint_value(
	    c->endpoint, c->request, &c->query, COMPLEX_PATH, value, &set);
	if (err == 0)
		err = call_path_parse(
		    c, (struct slice){ value->data, value->len });
	if (err == ERR_TOOBIG) {
		limit_hit(&c->api->stats->limits, LIMIT_channels_per_request);
		call_explain(c, 400, "Too many channels in one request.");
		return false;
	}
	if (err != 0) {
		call_error(c, err);
		return false;
	}
	return true;
}

bool
call_path(const struct call *c)
{
	if (!call_path_value(c))
		return false;
	if (c->api->path.n != 0)
		return true;
	if (c->websocket) /* the module only closes */
		websocket_refuse(c, 0, NULL);
	else
		call_explain(c, 400, "No channel id provided.");
	return false;
}

/* The built-in publisher is for the web server's own host. */
static bool
builtin_admits(const struct call *c)
{
	const struct builtin *b = c->endpoint->builtin;
	struct slice callback = { "callback", 8 };

	if (b == NULL)
		return true;
	if (b->trusted_only &&
	    !cidr_list_has_text(
		&c->api->layout->publish_from, c->query.remote_addr)) {
		call_explain(c, 403,
		    "Publishing is not allowed from this "
		    "address.");
		return false;
	}
	/* As in the vendor's configuration: it would be a script's name. */
	if (query_arg(c->query.args, callback).len != 0) {
		call_explain(c, 400, "The callback argument is not served.");
		return false;
	}
	return true;
}

/* Which origin may read the answer; 0.3.4 lets everybody if not told. */
static bool
call_origin(struct call *c)
{
	struct buf *origin = &c->api->value[COMPLEX_ORIGIN];
	bool set;
	int err = endpoint_value(
	    c->endpoint, c->request, &c->query, COMPLEX_ORIGIN, origin, &set);

	if (err != 0) {
		call_error(c, err);
		return false;
	}
	if (set)
		c->origin = (struct slice){ origin->data, origin->len };
	else if (call_compat(c) == COMPAT_0_3_4)
		c->origin = (struct slice){ "*", 1 };
	return true;
}

/* Has it an endpoint, whose answers its client may read?  Answers when not. */
static bool
call_admitted(struct call *c)
{
	if (c->endpoint->settings.role == ROLE_NONE) {
		api_explain(c->api, c->request, 404,
		    "No endpoint is configured for this location.");
		return false;
	}
	return call_origin(c) && builtin_admits(c);
}

static void
call_dispatch(struct call *c)
{
	const struct settings *s = &c->endpoint->settings;

	if (s->role == ROLE_PUBLISHER)
		publisher_handle(c);
	else if (s->role == ROLE_SUBSCRIBER)
		subscriber_handle(c);
	else if (s->role == ROLE_BITRIX)
		bitrix_handle(c);
	else
		statistics_handle(c);
}

static void
refuse_settings(const struct call *c, int err, const char *why)
{
	struct api *a = c->api;

	if (err == ERR_CONFIG) {
		a->stats->bad_parameters++;
		log_limited(&a->bad_parameter, LOG_ERROR,
		    "request %.*s refused: wrong setting: %s",
		    (int)MIN_OF(c->query.uri.len, 128), c->query.uri.ptr, why);
	}
	api_explain(a, c->request, err_status(err),
	    err == ERR_CONFIG
		? "Wrong push_stream parameter; see Holdfast's log."
		: err_text(err));
}

/* Its location, for its client's address; answers when there is none.  With a
 * reference to the endpoint. */
static bool
call_find(struct call *c)
{
	char why[SETTINGS_WHY_SIZE], ignored[SETTINGS_WHY_SIZE];
	struct api *a = c->api;
	int err = endpoint_resolve(&a->endpoints, a->layout, c->request,
	    &c->query, &c->endpoint, why, ignored);

	if (err != 0) {
		refuse_settings(c, err, why);
		return false;
	}
	if (ignored[0] != '\0')
		log_limited(&a->ignored_parameter, LOG_NOTICE,
		    "parameter ignored: %s", ignored);
	if (layout_admits(a->layout, c->query.uri, c->query.remote_addr))
		return true;
	api_explain(a, c->request, 403, "Not allowed from this address.");
	endpoint_unref(&c->endpoint);
	return false;
}

/* Who reads, or asks for statistics, says nothing in a body. */
static enum api_body
call_body(struct call *c)
{
	const struct settings *s = &c->endpoint->settings;

	if (s->role == ROLE_PUBLISHER)
		return publisher_body(c);
	if (s->role == ROLE_BITRIX)
		return bitrix_body(c);
	if (slice_is(c->query.method, "GET") ||
	    slice_is(c->query.method, "OPTIONS"))
		return API_BODY_DROP;
	call_dispatch(c); /* no such method */
	return API_BODY_REFUSED;
}

enum api_body
api_body(struct api *a, struct request *r)
{
	struct call c = { .api = a, .request = r };
	enum api_body body = API_BODY_REFUSED;

	if (r->control)
		return API_BODY_TAKE;
	api_time(a);
	if (!call_find(&c))
		return body;
	if (call_admitted(&c))
		body = call_body(&c);
	endpoint_unref(&c.endpoint);
	return body;
}

void
api_handle(struct api *a, struct request *r)
{
	struct call c = { .api = a, .request = r };

	api_time(a);
	if (r->control && a->control != NULL) {
		a->control->handle(a->control_arg, r);
		return;
	}
	if (!call_find(&c))
		return;
	if (call_admitted(&c))
		call_dispatch(&c);
	endpoint_unref(&c.endpoint);
	hub_hand_over(a->hub);
}
