/*
 * api/bitrix/bx_socket.c - WebSockets of versions 3 to 5.
 *
 * The messages are a stream (push/); each is a frame that is encoded once for
 * all, or waits for company (bx_held.c).
 *
 * A ping goes out steadily; who does not answer is taken for gone, and who
 * answers is online.  Source: bitrix.md sections a.7, a.10, d.2, d.6.
 */
#include "api/bitrix/bx_priv.h"

#include "auth/accept.h"
#include "base/clock.h"

#define PING_MS 120000
#define PING_RPC_MS 10000 /* version 5's text */
#define UNANSWERED_V3 2	  /* pings in a row, then it is gone */
#define UNANSWERED_V4 1
#define UNANSWERED_V5 6
#define IGNORED_MAX 16384 /* of a message that nobody reads */

static sub_deliver_f socket_deliver;
static sub_empty_f socket_over;
static sub_deleted_f socket_deleted;
static sub_failed_f socket_failed;
static sub_ready_f socket_ready;
static sub_ping_f socket_ping;

const struct sub_ops bx_socket_ops = {
	.name = "bitrix socket",
	.deliver = socket_deliver,
	.empty = socket_over,
	.deleted = socket_deleted,
	.failed = socket_failed,
	.ready = socket_ready,
	.ping = socket_ping,
};

static struct bx_socket *
socket_of(const struct wait_state *w)
{
	return w->of.bitrix.socket;
}

/* --- what the hub has for it ------------------------------------------- */

static struct payload *
joined_frames(struct wait_state *w, const struct delivery *d, size_t n)
{
	struct buf *out = &w->api->body;
	int err = 0;

	buf_clear(out);
	for (size_t i = 0; i < n && err == 0; i++) {
		struct payload *piece = bx_piece(w, &d[i]);

		err = piece != NULL ? buf_append(out, piece->data, piece->len)
				    : ERR_NOMEM;
		payload_unref(&piece);
	}
	return err == 0 ? payload_new(out->data, out->len) : NULL;
}

static void
socket_deliver(
    void *sess, const struct delivery *d, size_t n, uint64_t position)
{
	struct wait_state *w = sess;

	(void)position;
	if (w->endpoint->settings.bitrix_frame_delay_ms != 0)
		bx_held_deliver(socket_of(w), d, n);
	else
		bx_socket_part(
		    w, n == 1 ? bx_piece(w, d) : joined_frames(w, d, n));
}

static bool
socket_ready(void *sess)
{
	const struct wait_state *w = sess;

	return w->request->ops->unsent(w->request) == 0;
}

/* Is its token or its licence? */
static bool
is_over(const struct bx_socket *x)
{
	return hub_now_ms(x->wait->api->hub) >= x->ends_ms;
}

/* The hub is on its way to it, so it ends in this turn, but later. */
static void
socket_end_later(struct bx_socket *x)
{
	struct api *a = x->wait->api;

	heap_remove(&a->bitrix->held, &x->due);
	x->gone = true;
	if (heap_add(&a->bitrix->held, &x->due, 0) != 0)
		x->wait->request->ops->fail(x->wait->request);
}

static uint8_t
patience(const struct bx_socket *x)
{
	if (x->look.version == 3)
		return UNANSWERED_V3;
	return x->look.kind == BX_LOOK_RPC ? UNANSWERED_V5 : UNANSWERED_V4;
}

static void
socket_ping(void *sess)
{
	struct wait_state *w = sess;
	struct bx_socket *x = socket_of(w);

	if (x->unanswered >= patience(x)) { /* nobody is behind it any more */
		w->api->stats->silent_sockets++;
		socket_end_later(x);
		return;
	}
	if (bx_socket_licence(w) == NULL) { /* since a reload */
		x->ends_ms = 0;
		x->ends_with = BX_WRONG_CLIENT;
		socket_end_later(x);
		return;
	}
	x->unanswered++;
	bx_socket_part(w, payload_ref(format_ping(w->of.bitrix.format)));
}

void
bx_sockets_turn(struct bitrix *b)
{
	struct heap_item *first;

	while ((first = heap_first(&b->held)) != NULL &&
	    first->key <= hub_now_ms(b->api->hub)) {
		struct bx_socket *x =
		    CONTAINER_OF(first, struct bx_socket, due);

		if (x->gone)
			bx_socket_end(x->wait,
			    is_over(x) ? bx_close(x->ends_with) : NULL);
		else
			bx_held_send(x);
	}
}

/* --- ends -------------------------------------------------------------- */

static void
socket_free(struct bx_socket *x)
{
	if (x == NULL)
		return;
	buf_release(&x->held);
	ws_client_release(&x->client);
	free(x->client_id);
	free(x);
}

/* Give up what it has; the wait itself is the caller's. */
static void
socket_release(struct wait_state *w)
{
	struct bx_socket *x = socket_of(w);
	struct api *a = w->api;
	struct bx_job *job;

	a->bitrix->sockets--;
	a->stats->streams--;
	hub_unsubscribe(a->hub, &w->on.sub);
	users_leave(&a->bitrix->users, &x->seat, hub_now_s(a->hub));
	while ((job = LIST_FIRST(&x->jobs)) != NULL) {
		LIST_REMOVE(job, link);
		bx_job_forget(&job);
	}
	heap_remove(&a->bitrix->held, &x->due);
	socket_free(x);
	w->of.bitrix.socket = NULL;
}

void
bx_socket_abandon(struct wait_state *w)
{
	socket_release(w);
}

/* Takes `last`. */
void
bx_socket_end(struct wait_state *w, struct payload *last)
{
	struct request *r = w->request;

	bx_held_send(socket_of(w));
	socket_release(w);
	(void)wait_call(w);
	if (last != NULL)
		r->ops->send(r, last);
	payload_unref(&last);
	r->ops->finish(r);
	wait_free(&w);
}

/* Its time is, or the daemon's. */
static void
socket_over(void *sess, uint64_t position)
{
	struct wait_state *w = sess;
	struct bx_socket *x = socket_of(w);

	(void)position;
	w->on.sub = NULL; /* the hub has let go */
	bx_socket_end(w,
	    is_over(x)
		? bx_close(x->ends_with)
		: websocket_close(WS_CLOSE_AWAY, (struct slice){ NULL, 0 }));
}

/* Channels of these versions are not deleted by their sites.  If one is all the
 * same its readers come again, and make it anew: who stayed for its other
 * channels would hear nothing in the new one. */
static void
socket_deleted(void *sess, const struct channel *ch, struct slice text,
    uint64_t position, bool last)
{
	struct wait_state *w = sess;

	(void)ch;
	(void)text;
	if (last)
		socket_over(sess, position);
	else
		socket_end_later(socket_of(w));
}

static void
socket_failed(void *sess, int err)
{
	struct wait_state *w = sess;

	log_limited(&w->api->store_trouble, LOG_WARN,
	    "a WebSocket was ended: %s", err_text(err));
	w->on.sub = NULL;
	bx_socket_end(w, bx_close(BX_NO_HISTORY));
}

/* --- what the client says ---------------------------------------------- */

void
bx_socket_alive(struct wait_state *w)
{
	struct bx_socket *x = socket_of(w);
	struct api *a = w->api;
	const char *client = x->client_id != NULL ? x->client_id : "";

	x->unanswered = 0;
	bx_present(a, w->on.sub, x->own);
	if (w->of.bitrix.user != 0)
		users_seen(&a->bitrix->users, client, w->of.bitrix.user,
		    hub_now_s(a->hub));
}

const struct licence *
bx_socket_licence(const struct wait_state *w)
{
	const struct licences *all = &w->api->layout->licences;
	const char *id = socket_of(w)->client_id;

	if (id == NULL)
		return &all->personal;
	return licences_by_id(
	    all, (struct slice){ id, strlen(id) }, clock_wall_s(NULL));
}

static void
end_internal(struct wait_state *w, int err)
{
	const char *text = err_text(err);

	bx_socket_end(w,
	    websocket_close(
		WS_CLOSE_INTERNAL, (struct slice){ text, strlen(text) }));
}

int
bx_socket_owes(struct wait_state *w, struct bx_job *job, size_t bytes)
{
	struct bx_socket *x = socket_of(w);
	int err = ws_client_owes(&x->client, bytes);

	if (err != 0)
		return err;
	job->bytes = bytes;
	LIST_INSERT_HEAD(&x->jobs, job, link);
	return 0;
}

void
bx_socket_paid(struct bx_job *job)
{
	LIST_REMOVE(job, link);
	ws_client_paid(&socket_of(job->arg)->client, job->bytes);
}

static bx_job_done_f batch_done;

/* Nobody is told that it was stored, only that it was not. */
static void
batch_done(struct bx_job *job, int err)
{
	bx_socket_paid(job);
	if (err != 0)
		end_internal(job->arg, err);
}

/* A RequestBatch of this client.  false: the connection has been ended. */
static bool
on_batch(struct wait_state *w, struct slice bytes)
{
	struct bx_socket *x = socket_of(w);
	struct bx_asker from = { .licence = bx_socket_licence(w),
		.pub = x->has_pub ? x->pub : NULL };
	struct buf *out = &w->api->body;
	struct bx_job *job = NULL;
	int err = BX_WRONG_CLIENT;

	buf_clear(out);
	if (from.licence != NULL)
		err =
		    bx_request(w->api, &from, bytes, batch_done, w, &job, out);
	if (err == 0 && job != NULL && bx_job_start(job))
		err = bx_socket_owes(w, job, bytes.len);
	else
		bx_job_forget(&job);
	if (err != 0) {
		bx_job_forget(&job);
		if (err > 0)
			bx_count(w->api, (enum bx_error)err);
		if (err > 0)
			bx_socket_end(w, bx_close((enum bx_error)err));
		else
			end_internal(w, err);
		return false;
	}
	if (out->len != 0)
		bx_socket_send(
		    w, WS_OP_BINARY, (struct slice){ out->data, out->len });
	return true;
}

/* Only binaryMode reads what a version 4 client says, and then as protobuf
 * whatever the frame calls itself. */
static bool
on_data(struct wait_state *w, struct slice data)
{
	switch (socket_of(w)->look.kind) {
	case BX_LOOK_BINARY:
		return on_batch(w, data);
	case BX_LOOK_RPC:
		return bx_rpc_input(w, data);
	default:
		return true;
	}
}

static ws_client_event_f socket_event;

static bool
socket_event(
    struct wait_state *w, enum ws_event event, struct slice data, uint16_t code)
{
	struct slice reason = { NULL, 0 };

	switch (event) {
	case WS_TEXT:
	case WS_BINARY:
		return on_data(w, data);
	case WS_PING:
		bx_socket_part(w, websocket_frame(WS_OP_PONG, data));
		return true;
	case WS_PONG:
		bx_socket_alive(w);
		return true;
	case WS_CLOSE: /* its code and reason go back */
		if (code == WS_CLOSE_NONE)
			code = 0;
		else if (data.len > 2)
			reason = (struct slice){ data.ptr + 2, data.len - 2 };
		break;
	case WS_BAD:
		websocket_count_bad(w->api, code);
		break;
	default:
		break;
	}
	bx_socket_end(w, websocket_close(code, reason));
	return false;
}

void
bx_socket_input(struct wait_state *w, struct slice bytes)
{
	(void)ws_client_input(&socket_of(w)->client, bytes);
}

/* --- the beginning ----------------------------------------------------- */

static struct payload *
socket_head(const struct call *c)
{
	char accept[ACCEPT_KEY_SIZE];
	struct reply r;

	reply_start(&r, &c->api->out, 101);
	reply_text(&r, "Upgrade: websocket\r\nConnection: Upgrade\r\n");
	if (!accept_key(c->query.ws_key, accept))
		return NULL;
	reply_field_text(&r, "Sec-WebSocket-Accept", accept);
	reply_body(&r);
	return reply_take(&r);
}

void
bx_socket_refuse(const struct call *c, struct payload *last)
{
	struct request *r = c->request;
	struct payload *head = socket_head(c);

	c->api->stats->refused_requests++;
	if (head == NULL) {
		r->ops->reply(r, c->api->no_memory);
	} else {
		r->tunnel = true;
		r->ops->send(r, head);
		if (last != NULL)
			r->ops->send(r, last);
		r->ops->finish(r);
	}
	payload_unref(&head);
	payload_unref(&last);
}

/* What its client says may be as large as a publisher's body, but where nobody
 * reads it, it is given no memory for that. */
static size_t
message_max(const struct call *c, const struct bx_reader *rd)
{
	size_t max = c->request->body.max;

	return rd->look.kind == BX_LOOK_BINARY || rd->look.kind == BX_LOOK_RPC
	    ? max
	    : MIN_OF(max, IGNORED_MAX);
}

static struct bx_socket *
socket_new(
    const struct bx_call *b, const struct bx_reader *rd, struct wait_state *w)
{
	struct bx_socket *x = calloc(1, sizeof(*x));
	const char *client = b->licence->client_id;

	if (x == NULL)
		return NULL;
	if (client != NULL && (x->client_id = strdup(client)) == NULL) {
		free(x);
		return NULL;
	}
	ws_client_init(
	    &x->client, w, socket_event, message_max(b->c, rd), true);
	LIST_INIT(&x->jobs);
	buf_init(&x->held, REPLY_MAX);
	x->look = rd->look;
	x->own = rd->own;
	x->ends_ms = bx_end_ms(b->c->api, rd, clock_wall_s(NULL));
	x->ends_with = rd->ends_with;
	x->has_pub = rd->has_pub;
	memcpy(x->pub, rd->pub, sizeof(x->pub));
	return x;
}

static struct wait_state *
socket_wait(const struct bx_call *b, const struct bx_reader *rd)
{
	struct call *c = b->c;
	struct bx_look look = rd->look;
	struct wait_state *w =
	    wait_new(c, WAIT_BITRIX_SOCKET, (struct slice){ NULL, 0 });

	if (w == NULL)
		return NULL;
	w->of.bitrix.version = look.version;
	w->of.bitrix.look = look.kind;
	w->of.bitrix.user = rd->user;
	w->of.bitrix.socket = socket_new(b, rd, w);
	/* Frames are made here when messages may have to wait. */
	look.websocket = c->endpoint->settings.bitrix_frame_delay_ms == 0;
	if (w->of.bitrix.socket == NULL ||
	    bx_format(c->api->bitrix, &look, &w->of.bitrix.format) != 0) {
		socket_free(w->of.bitrix.socket);
		wait_drop(&w);
		return NULL;
	}
	w->of.bitrix.socket->wait = w;
	return w;
}

static uint64_t
ping_ms(const struct call *c, const struct bx_reader *rd)
{
	uint64_t set = c->endpoint->settings.ping_message_interval_ms;

	if (set != 0)
		return set;
	return rd->look.kind == BX_LOOK_RPC ? PING_RPC_MS : PING_MS;
}

/* It reads, and a user of version 5 is there. */
static int
socket_enter(
    const struct bx_call *b, const struct bx_reader *rd, struct wait_state *w)
{
	struct call *c = b->c;
	struct api *a = c->api;
	struct user_seat *seat = &w->of.bitrix.socket->seat;
	struct sub_request req = { .channels = a->channels,
		.backtracks = a->backtracks,
		.n = rd->n,
		.pos = rd->pos,
		.kind = SUB_STREAM,
		.by_cursor = true,
		.deadline_ms = w->of.bitrix.socket->ends_ms,
		.ping_ms = ping_ms(c, rd),
		.ping_steady = true,
		.ops = &bx_socket_ops,
		.sess = w };
	int err = hub_subscribe(a->hub, &req, &w->on.sub);

	if (err == HUB_NOTHING) /* we are going */
		return ERR_CLOSED;
	seat->sess = w;
	if (err == 0 && rd->user != 0)
		err = users_sit(&a->bitrix->users, licence_id(b->licence),
		    rd->user, seat, hub_now_s(a->hub));
	return err;
}

void
bx_socket_handle(struct bx_call *b, const struct bx_reader *rd)
{
	struct call *c = b->c;
	struct api *a = c->api;
	struct payload *head = socket_head(c);
	struct wait_state *w = head != NULL ? socket_wait(b, rd) : NULL;
	int err = ERR_NOMEM;

	if (w != NULL) {
		a->bitrix->sockets++;
		a->stats->streams++;
		err = socket_enter(b, rd, w);
	}
	if (err == 0) {
		c->request->tunnel = true;
		bx_present(a, w->on.sub, rd->own);
		request_shed(c->request);
		c->request->ops->send(c->request, head);
	} else {
		if (w != NULL) {
			socket_release(w);
			wait_drop(&w);
		}
		bx_fail(c, err);
	}
	payload_unref(&head);
}
