/*
 * api/bitrix/bitrix.c - whose request it is, which route it goes, and how
 * answers and refusals look.
 *
 * One URL space for long polls and WebSockets: what a client asks for decides,
 * not the path.  Source: bitrix.md sections 0.3, a.5 to a.10.
 */
#include "api/bitrix/bx_priv.h"

#include <stdio.h>

#include "api/bitrix/extra.h"
#include "api/bitrix/json.h"
#include "api/vars.h"
#include "base/clock.h"

#define TEXT_PLAIN "text/plain"

static const struct {
	enum bx_error code;
	int status;
	const char *text; /* "code: text" */
} errors[] = {
#define BX(name, code, status, text) { name, status, #code ": " text },
#include "api/bitrix/error.tbl"
#undef BX
};

int
bitrix_new(struct api *a, struct bitrix **out)
{
	struct bitrix *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return ERR_NOMEM;
	b->api = a;
	heap_init(&b->held);
	users_init(&b->users, bx_user_changed, &a->stats->limits);
	json_count_in(&a->stats->limits);
	/* Anywhere: a client that comes back after a restart still has the
	 * mids of the last changes. */
	b->status_changes =
	    (uint32_t)hash_bytes(&b->users.hash_key, "status", 6);
	*out = b;
	return 0;
}

int
bx_format(struct bitrix *b, const struct bx_look *look, struct format **out)
{
	struct format **at = &b->formats[look->version - BX_FIRST_VERSION]
					[look->kind][look->websocket];
	int err = 0;

	if (*at == NULL)
		err = format_get_bitrix(&b->api->endpoints.formats, look, at);
	*out = *at;
	return err;
}

static void
formats_forget(struct bitrix *b)
{
	for (size_t v = 0; v < BX_VERSIONS; v++)
		for (size_t kind = 0; kind < BX_LOOK_KINDS; kind++)
			for (size_t ws = 0; ws < 2; ws++)
				format_unref(&b->formats[v][kind][ws]);
}

void
bitrix_forget_answers(struct bitrix *b)
{
	for (size_t i = 0; i < BX_LOOK_KINDS; i++) {
		endpoint_unref(&b->answer[i].endpoint);
		payload_unref(&b->answer[i].payload);
	}
}

void
bitrix_free(struct bitrix **bp)
{
	struct bitrix *b = *bp;

	*bp = NULL;
	if (b == NULL)
		return;
	json_count_in(NULL);
	bitrix_forget_answers(b);
	formats_forget(b);
	bx_extra_forget();
	users_release(&b->users);
	heap_release(&b->held);
	free(b->daily.types);
	free(b);
}

/* --- arguments --------------------------------------------------------- */

struct slice
bx_arg_raw(const struct call *c, const char *name)
{
	return query_arg(c->query.args, (struct slice){ name, strlen(name) });
}

struct slice
bx_arg(const struct call *c, const char *name)
{
	struct buf *out = &c->api->value[COMPLEX_PATH];

	buf_clear(out);
	if (path_decode(bx_arg_raw(c, name), out) != 0)
		buf_clear(out);
	return (struct slice){ out->data, out->len };
}

/* --- answers ----------------------------------------------------------- */

static bool
is_sub(const struct call *c)
{
	return c->endpoint->settings.bitrix_route == ROUTE_SUB;
}

/* Version 3's publisher has no CORS fields; a client reads the position across
 * origins, so it has to be exposed. */
void
bx_head(const struct call *c, struct reply *r, int status, const char *type)
{
	const struct settings *s = &c->endpoint->settings;

	reply_start(r, &c->api->out, status);
	reply_field_text(r, "Content-Type", type != NULL ? type : TEXT_PLAIN);
	if (s->bitrix_version == 3 && s->bitrix_route == ROUTE_PUB)
		return;
	if (c->origin.len != 0)
		reply_field(r, "Access-Control-Allow-Origin", c->origin);
	else
		reply_text(r, "Access-Control-Allow-Origin: *\r\n");
}

static void
expose_position(const struct call *c, struct reply *r)
{
	if (is_sub(c))
		reply_text(
		    r, "Access-Control-Expose-Headers: Last-Message-Id\r\n");
}

static void
send_answer(const struct call *c, struct reply *r, struct slice body)
{
	if (body.len == 0) {
		reply_header_only(r);
	} else {
		if (r->err == 0)
			r->err = buf_printf(
			    r->b, "Content-Length: %zu\r\n", body.len);
		reply_body(r);
		reply_bytes(r, body.ptr, body.len);
	}
	api_send(c->api, c->request, r);
}

void
bx_answer(const struct call *c, int status, const char *type, struct slice body)
{
	struct reply r;

	bx_head(c, &r, status, type);
	if (status >= 400) {
		expose_position(c, &r);
		c->api->stats->refused_requests++;
	}
	if (status == 503)
		reply_text(&r, "Retry-After: 1\r\n");
	send_answer(c, &r, body);
}

static size_t
error_at(enum bx_error e)
{
	size_t i = 0;

	while (errors[i].code != e)
		i++;
	return i;
}

const char *
bx_error_text(enum bx_error e)
{
	return errors[error_at(e)].text;
}

struct payload *
bx_close(enum bx_error e)
{
	const char *text = bx_error_text(e);

	return websocket_close(
	    (uint16_t)e, (struct slice){ text, strlen(text) });
}

void
bx_count(struct api *a, enum bx_error e)
{
	struct limits *l = &a->stats->limits;

	if (e == BX_MANY_CHANNELS)
		limit_hit(l, LIMIT_bitrix_channels);
	else if (e == BX_MANY_MESSAGES)
		limit_hit(l, LIMIT_bitrix_messages);
	else if (e == BX_TOO_MANY)
		limit_hit(l, LIMIT_bitrix_max_connections_per_channel);
}

void
bx_refuse(const struct call *c, enum bx_error e)
{
	const char *text = bx_error_text(e);

	bx_count(c->api, e);
	if (c->websocket)
		bx_socket_refuse(c, bx_close(e));
	else
		bx_answer(c, errors[error_at(e)].status, NULL,
		    (struct slice){ text, strlen(text) });
}

void
bx_trouble(struct api *a, int err)
{
	if (err == ERR_BUSY)
		a->stats->store_queue_full++;
	else if (err == ERR_FULL)
		a->stats->store_full++;
	if (err_status(err) >= 500)
		log_limited(&a->store_trouble, LOG_WARN,
		    "a request was answered %d: %s", err_status(err),
		    err_text(err));
}

void
bx_fail(const struct call *c, int err)
{
	const char *text = err_text(err);
	struct slice why = { text, strlen(text) };

	bx_trouble(c->api, err);
	if (c->websocket)
		bx_socket_refuse(c, websocket_close(WS_CLOSE_INTERNAL, why));
	else
		bx_answer(c, err_status(err), NULL, why);
}

/* --- routes ------------------------------------------------------------ */

/* Which licence; answers and returns false when it has none. */
static bool
find_licence(struct bx_call *b)
{
	struct call *c = b->c;

	b->licence = licences_find(&c->api->layout->licences,
	    bx_arg_raw(c, "clientId"), c->query.host, clock_wall_s(NULL));
	if (b->licence != NULL)
		return true;
	if (is_sub(c))
		bx_sub_unlicensed(b);
	else
		bx_refuse(c,
		    bx_arg_raw(c, "clientId").len == 0 ? BX_CLIENT_WANTED
						       : BX_WRONG_CLIENT);
	return false;
}

static void
handle_options(const struct call *c)
{
	struct reply r;

	bx_head(c, &r, 200, NULL);
	reply_text(&r,
	    "Access-Control-Allow-Methods: POST, GET, DELETE, OPTIONS\r\n"
	    "Access-Control-Allow-Headers: If-Modified-Since, "
	    "If-None-Match\r\n");
	reply_header_only(&r);
	api_send(c->api, c->request, &r);
}

static void
handle_unknown(const struct call *c)
{
	struct reply r;

	reply_start(&r, &c->api->out, 404);
	reply_text(&r,
	    "Content-Type: text/plain\r\n"
	    "Access-Control-Allow-Origin: *\r\n");
	reply_header_only(&r);
	api_send(c->api, c->request, &r);
	c->api->stats->refused_requests++;
}

typedef void route_f(struct bx_call *b);

/* NULL: there is nothing of that method here.  Version 3 has no rest and no
 * api, which came with the others. */
static route_f *
route_of(const struct call *c)
{
	const struct settings *s = &c->endpoint->settings;
	bool get = slice_is(c->query.method, "GET");
	bool post = slice_is(c->query.method, "POST");

	switch (s->bitrix_route) {
	case ROUTE_PUB:
		return get || post ? bx_pub_handle : NULL;
	case ROUTE_SUB:
		return get ? bx_sub_handle : NULL;
	case ROUTE_REST:
		return post && s->bitrix_version > 3 ? bx_rest_handle : NULL;
	case ROUTE_API:
		return post && s->bitrix_version > 4 ? bx_api_handle : NULL;
	case ROUTE_STAT:
		return get ? bx_stat_handle : NULL;
	}
	return NULL;
}

/* A client's body is taken from who may publish at all, but for version 5,
 * whose clients say there what they have got; the site's may have to be read to
 * know who sent it. */
enum api_body
bitrix_body(struct call *c)
{
	struct bx_call b = { .c = c,
		.version = c->endpoint->settings.bitrix_version };
	struct bx_asker from;
	route_f *route = route_of(c);
	bool post = slice_is(c->query.method, "POST");

	if (route == NULL &&
	    !(is_sub(c) && slice_is(c->query.method, "OPTIONS")))
		handle_unknown(c);
	else if (!post)
		return API_BODY_DROP;
	else if (find_licence(&b) &&
	    (route != bx_rest_handle || b.version == 5 ||
		bx_rest_asker(&b, &from)))
		return API_BODY_TAKE;
	return API_BODY_REFUSED;
}

void
bitrix_handle(struct call *c)
{
	struct bx_call b = { .c = c,
		.version = c->endpoint->settings.bitrix_version };
	route_f *route = route_of(c);

	if (is_sub(c) && slice_is(c->query.method, "OPTIONS"))
		handle_options(c);
	else if (route == NULL)
		handle_unknown(c);
	else if (route == bx_stat_handle || find_licence(&b))
		route(&b);
}

/* --- what waits -------------------------------------------------------- */

void
bitrix_input(struct wait_state *w, struct slice bytes)
{
	bx_socket_input(w, bytes);
}

void
bitrix_drained(struct wait_state *w)
{
	hub_resume(w->api->hub, w->on.sub);
}

void
bitrix_abandon(struct wait_state *w)
{
	if (w->kind == WAIT_BITRIX_POLL)
		bx_poll_abandon(w);
	else if (w->kind == WAIT_BITRIX_SOCKET)
		bx_socket_abandon(w);
	else
		bx_job_forget(&w->on.job);
}

void
bitrix_turn(struct bitrix *b)
{
	bx_sockets_turn(b);
}

uint64_t
bitrix_next_ms(const struct bitrix *b)
{
	const struct heap_item *first = heap_first(&b->held);

	return first != NULL ? first->key : UINT64_MAX;
}
