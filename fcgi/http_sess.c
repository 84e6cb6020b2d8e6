/*
 * fcgi/http_sess.c - HTTP/1.x: a client's requests, one after the other.
 *
 *	      +--------------- sess_end, kept alive ---------------+
 *	      v                                                    |
 *	    IDLE --sess_begin--> COMING --sess_complete--> BUSY ---+
 *	                            \____sess_refuse____/     |
 *	                                                      v sess_end
 *	                                                     OVER
 *
 * COMING: in != NULL.  BUSY: the request is the api's, and may be parked for
 * long, so it owns nothing but this struct.  OVER: the connection ends with
 * what is left to write.
 *
 * The next request is not looked at before the answer to the one before is
 * written: what was read of it already is kept (at most one read), and the
 * rest waits in the kernel, while the connection is held: watched for the
 * client's leaving, and no more.
 *
 * A tunnel's bytes go to the api as they come.  A client who half-closes is
 * taken for gone, as the other gateways take a front.
 */
#include "base/base.h"

#include <inttypes.h>

#include "api/api.h"
#include "fcgi/gateway_priv.h"
#include "fcgi/http_head.h"

#define REQUESTS_A_WAKE 64

enum http_state {
	HTTP_IDLE,
	HTTP_COMING,
	HTTP_BUSY,
	HTTP_OVER
};

struct http_input { /* needed only until the request is whole */
	struct http_reader reader;
	struct http_head head;
	bool drop;	 /* nobody wants the body */
	uint64_t n_body; /* bytes that came of it */
};

struct http_sess {
	struct conn conn; /* first */
	struct request r; /* not while IDLE */
	struct http_input *in;
	struct payload *kept; /* what came behind the request in hand */
	uint32_t kept_off;
	uint8_t state;	/* enum http_state */
	uint8_t minor;	/* of the request's HTTP/1.x */
	bool keep;	/* the connection goes on after it */
	bool no_body;	/* it is HEAD */
	bool streaming; /* its answer has begun */
	bool muted;	/* no more of its answer is wanted */
	bool linger;	/* the client may still be sending */
	bool feeding;	/* sess_feed() is at work: it goes on by itself */
	struct due due; /* of IDLE and COMING */
	struct http_peer peer;
};

static request_reply_f http_reply;
static request_send_f http_send;
static request_finish_f http_finish;
static request_unsent_f http_unsent;
static request_fail_f http_fail;
static request_rest_f http_rest;

static const struct request_ops request_ops = { .name = "http",
	.reply = http_reply,
	.send = http_send,
	.finish = http_finish,
	.unsent = http_unsent,
	.fail = http_fail,
	.rest = http_rest };

static void
input_free(struct http_sess *s)
{
	struct http_input *in = s->in;

	s->in = NULL;
	if (in == NULL)
		return;
	http_reader_release(&in->reader);
	free(in);
}

static void
sess_wait(struct http_sess *s, enum due_kind kind)
{
	gateway_due_remove(s->conn.gw, &s->due);
	gateway_due_add(s->conn.gw, &s->due, &s->conn, kind);
}

/* The request is over, by an answer or not. */
static void
request_over(struct http_sess *s)
{
	if (s->state != HTTP_COMING && s->state != HTTP_BUSY)
		return;
	s->state = HTTP_OVER;
	s->conn.gw->requests--;
	gateway_due_remove(s->conn.gw, &s->due);
	input_free(s);
	request_shed(&s->r);
}

static void
sess_finish(struct http_sess *s, bool linger)
{
	gateway_due_remove(s->conn.gw, &s->due);
	conn_finish(&s->conn, linger);
}

/* It is answered: the connection ends, or another request may come. */
static void
sess_end(struct http_sess *s)
{
	request_over(s);
	if (!s->keep || s->conn.gw->draining) {
		sess_finish(s, s->linger || s->kept != NULL);
		return;
	}
	if (!conn_is_open(&s->conn))
		return;
	s->state = HTTP_IDLE;
	sess_wait(s, DUE_IDLE);
	if (s->kept != NULL && !s->feeding)
		conn_kick(&s->conn);
}

/* NULL when there is no memory: then the connection ends. */
static struct payload *
sess_answer(struct http_sess *s, struct payload *cgi, enum http_shape shape)
{
	struct http_how how = { .shape = (uint8_t)shape,
		.minor = s->minor,
		.keep = s->keep && !s->conn.gw->draining,
		.no_body = s->no_body };
	struct payload *p = http_answer(&s->conn.gw->answers, cgi, how);

	if (p == NULL)
		conn_close(&s->conn, CONN_CLOSE_NOMEM);
	return p;
}

static void
sess_send_part(struct http_sess *s, struct payload *cgi, enum http_shape shape)
{
	struct payload *p = sess_answer(s, cgi, shape);

	if (p != NULL)
		conn_send_part(&s->conn, p, 0);
	payload_unref(&p);
}

static void
http_reply(struct request *r, struct payload *answer)
{
	struct http_sess *s = CONTAINER_OF(r, struct http_sess, r);
	struct payload *p = sess_answer(s, answer, HTTP_WHOLE);

	if (p != NULL)
		conn_send(&s->conn, p, 0);
	payload_unref(&p);
	sess_end(s);
}

/* A stream has no length: it is told in chunks, or ends the connection. */
static void
sess_stream(struct http_sess *s, struct payload *first)
{
	s->streaming = true;
	if (s->r.tunnel) {
		sess_send_part(s, first, HTTP_SWITCH);
		/* What the client said too early is heard now. */
		if (s->kept != NULL && !s->feeding)
			conn_kick(&s->conn);
		return;
	}
	if (s->minor == 0 || s->no_body)
		s->keep = false;
	sess_send_part(s, first, HTTP_FIRST);
	if (s->no_body) {
		/* The head was all that was asked for. */
		s->muted = true;
		conn_finish(&s->conn, false);
	}
}

static void
http_send(struct request *r, struct payload *part)
{
	struct http_sess *s = CONTAINER_OF(r, struct http_sess, r);

	if (s->muted)
		return;
	if (!s->streaming)
		sess_stream(s, part);
	else if (s->minor == 0 || r->tunnel)
		conn_send_part(&s->conn, part, 0);
	else if (part->len != 0)
		sess_send_part(s, part, HTTP_CHUNK);
}

static void
send_text(struct http_sess *s, const char *text)
{
	struct payload *p = payload_new(text, strlen(text));

	if (p != NULL)
		conn_send(&s->conn, p, 0);
	else
		conn_close(&s->conn, CONN_CLOSE_NOMEM);
	payload_unref(&p);
}

static void
http_finish(struct request *r)
{
	struct http_sess *s = CONTAINER_OF(r, struct http_sess, r);

	if (!r->tunnel && s->minor == 1 && !s->muted)
		send_text(s, "0\r\n\r\n");
	/* A tunnel's client may be in the middle of a frame. */
	s->linger |= r->tunnel;
	sess_end(s);
}

static size_t
http_unsent(const struct request *r)
{
	return conn_unsent(&CONTAINER_OF(r, const struct http_sess, r)->conn);
}

static void
http_fail(struct request *r)
{
	conn_close(
	    &CONTAINER_OF(r, struct http_sess, r)->conn, CONN_CLOSE_NOMEM);
}

static void
http_rest(struct request *r, bool rest)
{
	struct conn *c = &CONTAINER_OF(r, struct http_sess, r)->conn;

	if (rest)
		conn_rest(c);
	else
		conn_wake(c);
}

/* After that, where the next request begins is anybody's guess. */
static void
sess_refuse(struct http_sess *s, int err)
{
	gateway_due_remove(s->conn.gw, &s->due);
	input_free(s);
	s->state = HTTP_BUSY;
	s->keep = false;
	s->linger = true;
	api_refuse(s->conn.gw->api, &s->r, err);
}

static bool
sess_begin(struct http_sess *s)
{
	struct gateway *gw = s->conn.gw;
	struct http_input *in = calloc(1, sizeof(*in));

	if (in == NULL) {
		conn_close(&s->conn, CONN_CLOSE_NOMEM);
		return false;
	}
	http_reader_init(
	    &in->reader, gw->limits.max_params, gw->limits.max_body);
	request_init(&s->r, &request_ops, gw->limits.max_params,
	    gw->limits.max_body, &gw->spares);
	s->in = in;
	s->state = HTTP_COMING;
	s->minor = 1;
	s->keep = false;
	s->no_body = false;
	s->streaming = false;
	s->linger = false;
	gw->requests++;
	sess_wait(s, DUE_HEAD);
	return true;
}

/* OPTIONS *: what the server as a whole can do. */
static void
sess_options(struct http_sess *s)
{
	static const char text[] =
	    "Status: 200 OK\r\nAllow: GET, HEAD, POST, PUT, DELETE, OPTIONS"
	    "\r\n\r\n";
	struct payload *p = payload_new(text, sizeof(text) - 1);

	if (p == NULL) {
		http_fail(&s->r);
		return;
	}
	http_reply(&s->r, p);
	payload_unref(&p);
}

static int
add_length(struct http_sess *s)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRIu64, s->in->n_body);

	if (s->in->n_body == 0 && !s->in->reader.length)
		return 0;
	return params_add(&s->r.params, SLICE("CONTENT_LENGTH"),
	    (struct slice){ text, (size_t)n });
}

static int
sess_complete(struct http_sess *s)
{
	const struct http_reader *reader = &s->in->reader;
	struct gateway *gw = s->conn.gw;
	bool star = s->in->head.star;
	int err = add_length(s);

	if (err != 0)
		return err;
	/* HEAD looks like GET from here on, but never opens a tunnel. */
	s->r.upgrade = reader->upgrade && s->minor == 1 && !s->no_body &&
	    s->in->n_body == 0 && gateway_is_upgrade(&s->r.params);
	/* If it is refused, what follows may be meant for a tunnel. */
	s->keep = http_is_kept(reader) && !s->r.upgrade;
	s->linger = s->r.upgrade;
	gateway_due_remove(gw, &s->due);
	input_free(s);
	s->state = HTTP_BUSY;
	gw->stats->requests++;
	if (star)
		sess_options(s);
	else
		api_handle(gw->api, &s->r);
	return 0;
}

/* A body is to come.  Before it does, and before its client gets leave to send
 * it, the location is looked at: else anybody, from anywhere, could make us
 * hold as many of them as he has connections.  If it is refused, the end is
 * that of sess_refuse(). */
static bool
sess_wants_body(struct http_sess *s)
{
	struct http_input *in = s->in;
	enum api_body body = API_BODY_DROP;

	s->linger = true;
	if (!in->head.star)
		body = api_body(s->conn.gw->api, &s->r);
	if (body == API_BODY_REFUSED)
		return false;
	s->linger = false;
	in->drop = body == API_BODY_DROP;
	return true;
}

/* So many bytes are there behind the head.  Of a body that is among them it is
 * not asked beforehand: nothing would be saved. */
static int
sess_head(struct http_sess *s, size_t there)
{
	struct http_input *in = s->in;
	bool whole = !in->reader.chunked && !in->reader.expect &&
	    in->reader.left <= there;
	int err = http_head_end(
	    &in->head, &s->r.params, &s->peer, s->conn.gw->limits.trusted);

	if (err != 0)
		return err;
	s->no_body = in->head.is_head;
	if (!http_has_body(&in->reader))
		return 0;
	if (!whole && !sess_wants_body(s))
		return 0;
	sess_wait(s, DUE_REQUEST);
	if (in->reader.expect)
		send_text(s, "HTTP/1.1 100 Continue\r\n\r\n");
	return 0;
}

static int
sess_body(struct http_sess *s, struct slice some)
{
	s->in->n_body += some.len;
	return s->in->drop ? 0 : buf_append(&s->r.body, some.ptr, some.len);
}

/* 0, or what to refuse the request with. */
static int
sess_item(struct http_sess *s, const struct http_item *item, size_t there)
{
	struct http_input *in = s->in;

	switch (item->kind) {
	case HTTP_ITEM_LINE:
		s->minor = in->reader.minor;
		return http_head_line(&in->head, &s->r.params, item, s->minor);
	case HTTP_ITEM_FIELD:
		return http_head_field(&in->head, &s->r.params, item);
	case HTTP_ITEM_HEAD:
		return sess_head(s, there);
	case HTTP_ITEM_BODY:
		return sess_body(s, item->value);
	case HTTP_ITEM_END:
		return sess_complete(s);
	case HTTP_ITEM_NONE:
		break;
	}
	return 0;
}

/* Up to the end of the request, or of the bytes. */
static void
sess_read(struct http_sess *s, struct slice *in)
{
	struct http_item item;
	int err;

	while (s->state == HTTP_COMING && conn_is_open(&s->conn)) {
		switch (http_read(&s->in->reader, in, &item, &err)) {
		case CODEC_MORE:
			err = request_hold(&s->r, s->in->reader.rest.cap);
			if (err == 0)
				return;
			break;
		case CODEC_DONE:
			err = sess_item(s, &item, in->len);
			if (err == 0 && s->state == HTTP_COMING)
				err =
				    request_hold(&s->r, s->in->reader.rest.cap);
			break;
		case CODEC_BAD:
			break;
		}
		if (err != 0)
			sess_refuse(s, err);
	}
}

/* May bytes be looked at now? */
static bool
sess_takes(const struct http_sess *s)
{
	return conn_is_open(&s->conn) && conn_unsent(&s->conn) == 0 &&
	    (s->state == HTTP_IDLE || s->state == HTTP_COMING);
}

static bool
sess_is_tunnel(const struct http_sess *s)
{
	return s->state == HTTP_BUSY && s->r.tunnel;
}

/* What is left has to wait. */
static struct slice
sess_feed(struct http_sess *s, struct slice in)
{
	unsigned begun = 0;

	s->feeding = true;
	while (in.len != 0 && sess_takes(s)) {
		if (begun == REQUESTS_A_WAKE && s->state == HTTP_IDLE) {
			limit_hit(
			    &s->conn.gw->stats->limits, LIMIT_requests_a_wake);
			break;
		}
		begun += s->state == HTTP_IDLE;
		if (s->state == HTTP_IDLE && !sess_begin(s))
			break;
		sess_read(s, &in);
	}
	s->feeding = false;
	if (in.len != 0 && sess_is_tunnel(s)) {
		api_tunnel(s->conn.gw->api, &s->r, in);
		in.len = 0;
	}
	return in;
}

static void
http_sess_input(struct conn *c, struct slice in)
{
	struct http_sess *s = CONTAINER_OF(c, struct http_sess, conn);

	assert(s->kept == NULL); /* else it were held */
	in = sess_feed(s, in);
	if (in.len == 0 || !conn_is_open(c))
		return;
	if (!quota_take_of(&c->gw->spares.incoming, in.len, in.len)) {
		limit_hit(&c->gw->stats->limits, LIMIT_max_incoming_size);
		conn_close(c, CONN_CLOSE_CROWDED);
		return;
	}
	s->kept = payload_new(in.ptr, in.len);
	s->kept_off = 0;
	if (s->kept == NULL) {
		quota_give(&c->gw->spares.incoming, in.len);
		conn_close(c, CONN_CLOSE_NOMEM);
		return;
	}
	conn_hold(c);
	if (sess_takes(s))
		conn_kick(c);
}

static void
kept_free(struct http_sess *s)
{
	if (s->kept != NULL)
		quota_give(&s->conn.gw->spares.incoming, s->kept->len);
	payload_unref(&s->kept);
}

/* Go on with what is kept, as far as it goes now. */
static void
http_sess_more(struct conn *c)
{
	struct http_sess *s = CONTAINER_OF(c, struct http_sess, conn);
	struct slice in;

	if (s->kept == NULL || !(sess_takes(s) || sess_is_tunnel(s)))
		return;
	in = (struct slice){ s->kept->data + s->kept_off,
		s->kept->len - s->kept_off };
	in = sess_feed(s, in);
	s->kept_off = s->kept->len - (uint32_t)in.len;
	if (in.len == 0) {
		kept_free(s);
		conn_unhold(c);
	} else if (sess_takes(s)) {
		conn_kick(c);
	}
}

static enum conn_close_why
http_sess_eof(const struct conn *c)
{
	const struct http_sess *s =
	    CONTAINER_OF(c, const struct http_sess, conn);

	if (s->state == HTTP_COMING)
		return CONN_CLOSE_TRUNCATED;
	return s->state == HTTP_BUSY || s->kept != NULL || conn_unsent(c) != 0
	    ? CONN_CLOSE_GONE
	    : CONN_CLOSE_IDLE;
}

static void
http_sess_drained(struct conn *c)
{
	struct http_sess *s = CONTAINER_OF(c, struct http_sess, conn);

	if (s->state == HTTP_BUSY && s->streaming)
		api_drained(c->gw->api, &s->r);
	else if (s->state == HTTP_IDLE && c->gw->draining)
		sess_finish(s, s->kept != NULL);
	else
		http_sess_more(c);
}

static void
http_sess_late(struct conn *c)
{
	struct http_sess *s = CONTAINER_OF(c, struct http_sess, conn);

	if (conn_is_shaking(&s->conn))
		conn_close(c, CONN_CLOSE_HANDSHAKE_LATE);
	else if (s->state == HTTP_COMING)
		sess_refuse(s, ERR_LATE);
	else if (conn_unsent(c) != 0 || s->kept != NULL)
		sess_wait(s, DUE_IDLE); /* it is for us to move */
	else
		conn_close(c, CONN_CLOSE_UNUSED);
}

static void
http_sess_plain(struct conn *c)
{
	static const char text[] =
	    "Status: 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n"
	    "The plain HTTP request was sent to an HTTPS port.\n";
	struct http_sess *s = CONTAINER_OF(c, struct http_sess, conn);
	struct payload *p = payload_new(text, sizeof(text) - 1);

	assert(s->state == HTTP_IDLE && !s->keep);
	s->minor = 1;
	if (p != NULL)
		sess_send_part(s, p, HTTP_WHOLE);
	else
		conn_close(c, CONN_CLOSE_NOMEM);
	payload_unref(&p);
	sess_finish(s, true);
}

static void
http_sess_free(struct conn *c)
{
	struct http_sess *s = CONTAINER_OF(c, struct http_sess, conn);

	if (s->state == HTTP_BUSY)
		api_abandon(c->gw->api, &s->r);
	request_over(s);
	gateway_due_remove(c->gw, &s->due);
	gateway_network_leave(c->gw, s->peer.network);
	kept_free(s);
	conn_release(c);
	free(s);
}

static const struct conn_ops http_sess_ops = { .name = "http",
	.input = http_sess_input,
	.eof = http_sess_eof,
	.drained = http_sess_drained,
	.free = http_sess_free,
	.late = http_sess_late,
	.more = http_sess_more,
	.plain = http_sess_plain };

struct conn *
http_sess_new(struct gateway *gw, int fd, const struct http_peer *peer)
{
	struct http_sess *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	if (conn_init(&s->conn, gw, fd, &http_sess_ops, false) != 0) {
		free(s);
		return NULL;
	}
	s->peer = *peer;
	sess_wait(s, DUE_HEAD);
	/* From here on it is closed like any other. */
	if (peer->tls && conn_use_tls(&s->conn) != 0)
		conn_close(&s->conn, CONN_CLOSE_NOMEM);
	return &s->conn;
}
