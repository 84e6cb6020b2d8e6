/*
 * fcgi/fcgi_sess.c - FastCGI: many requests on one connection.
 *
 * A request's life:
 *
 *	BEGIN -> PARAMS -> empty PARAMS -> STDIN -> empty STDIN -> api_handle
 *	         \______ req->in != NULL ______________________/   req->in NULL
 *
 * It ends with the reply, with ABORT_REQUEST, or with the connection.  What
 * is needed only while it comes in stands in struct fcgi_input and is freed
 * when it is complete, for then it may park for a long time, and there may
 * be thousands.  The first request of a connection lives in the session,
 * since no common front has a second.
 *
 * A request that is refused early (too large, not well formed) is over with
 * its END_REQUEST; what the front still sends of it finds no request of that
 * number and is skipped, as the specification wants for records that crossed
 * an answer.
 *
 * A request that could be a tunnel has no body to wait for: it is complete
 * with its parameters, and STDIN is what the client sends from then on (so
 * lighttpd does it).  The end of STDIN is then the end of the client.
 *
 * Without FCGI_KEEP_CONN the connection closes after its last answer.  A kept
 * one stays until the front closes it: closing it first would race with the
 * front's next request.
 */
#include "base/base.h"

#include "api/api.h"
#include "fcgi/fcgi_codec.h"
#include "fcgi/gateway_priv.h"

#define REQUESTS_MAX 64	  /* at a time on one connection */
#define BODY_FIRST 16384  /* bytes of memory for an announcement */
#define VALUE_NAME_MAX 64 /* of a pair in GET_VALUES */

struct fcgi_input {
	struct due due;
	struct fcgi_pairs pairs;
	bool in_body;	/* the parameters are complete */
	bool announced; /* there was a CONTENT_LENGTH */
	bool wanted;	/* the body is, as far as it is known */
	uint64_t content_length;
};

struct fcgi_req {
	struct request r;
	struct fcgi_sess *sess; /* NULL: the inline one is free */
	struct fcgi_input *in;	/* NULL: complete, or refused */
	LIST_ENTRY(fcgi_req) link;
	uint16_t id;
	bool refused;
	bool stdin_open; /* complete, and more may come: a tunnel's bytes */
	bool streaming;
	bool to_drain; /* api_drained() is to be called */
};

struct fcgi_values { /* a GET_VALUES record coming in */
	struct fcgi_pairs pairs;
	unsigned asked;
};

struct fcgi_sess {
	struct conn conn; /* first */
	struct fcgi_reader reader;
	uint8_t begin[sizeof(FCGI_BeginRequestBody)];
	uint8_t begin_have;
	uint8_t active;	 /* requests in the list */
	bool closing;	 /* a request came without KEEP_CONN */
	bool unfinished; /* the rest of a refused one may come */
	struct fcgi_values *values;
	LIST_HEAD(, fcgi_req) reqs;
	struct fcgi_req first;
};

static request_reply_f fcgi_reply;
static request_send_f fcgi_send;
static request_finish_f fcgi_finish;
static request_unsent_f fcgi_unsent;
static request_fail_f fcgi_fail;
static request_rest_f fcgi_rest;

static const struct request_ops request_ops = { .name = "fastcgi",
	.reply = fcgi_reply,
	.send = fcgi_send,
	.finish = fcgi_finish,
	.unsent = fcgi_unsent,
	.fail = fcgi_fail,
	.rest = fcgi_rest };

static struct fcgi_req *
req_find(const struct fcgi_sess *s, uint16_t id)
{
	struct fcgi_req *q;

	LIST_FOREACH(q, &s->reqs, link)
	if (q->id == id)
		return q;
	return NULL;
}

static struct fcgi_input *
input_new(struct conn *c)
{
	/* malloc() has what was freed last; calloc() does not look there. */
	struct fcgi_input *in = malloc(sizeof(*in));

	if (in == NULL)
		return NULL;
	*in = (struct fcgi_input){ .in_body = false };
	fcgi_pairs_init(&in->pairs, c->gw->limits.max_params);
	gateway_due_add(c->gw, &in->due, c, DUE_REQUEST);
	return in;
}

static void
input_free(struct fcgi_req *q)
{
	struct fcgi_input *in = q->in;

	q->in = NULL;
	if (in == NULL)
		return;
	gateway_due_remove(q->sess->conn.gw, &in->due);
	fcgi_pairs_release(&in->pairs);
	free(in);
}

static struct fcgi_req *
req_new(struct fcgi_sess *s, uint16_t id)
{
	struct gateway *gw = s->conn.gw;
	struct fcgi_req *q = &s->first;

	if (q->sess != NULL)
		q = malloc(sizeof(*q));
	if (q == NULL)
		return NULL;
	q->in = input_new(&s->conn);
	if (q->in == NULL) {
		if (q != &s->first)
			free(q);
		return NULL;
	}
	request_init(&q->r, &request_ops, gw->limits.max_params,
	    gw->limits.max_body, &gw->spares);
	q->r.control = s->conn.control;
	q->sess = s;
	q->id = id;
	q->refused = false;
	q->stdin_open = false;
	q->streaming = false;
	q->to_drain = false;
	LIST_INSERT_HEAD(&s->reqs, q, link);
	s->active++;
	gw->requests++;
	return q;
}

static void
req_free(struct fcgi_req *q)
{
	struct fcgi_sess *s = q->sess;

	assert(s != NULL); /* the inline one, freed twice */
	if (q->in != NULL || q->refused || q->stdin_open)
		s->unfinished = true;
	input_free(q);
	request_shed(&q->r);
	LIST_REMOVE(q, link);
	s->active--;
	s->conn.gw->requests--;
	if (q == &s->first)
		q->sess = NULL;
	else
		free(q);
}

/* After an answer: was it the last one of this connection? */
static void
sess_rest(struct fcgi_sess *s)
{
	const struct gateway *gw = s->conn.gw;

	if (s->active != 0)
		return;
	if (!s->closing && gw->draining && gw->keep != NULL)
		conn_hold(&s->conn); /* the next request is not for us */
	else if (s->closing || gw->draining)
		conn_finish(&s->conn, s->unfinished);
}

static void
send_bytes(struct fcgi_sess *s, const void *bytes, size_t len)
{
	struct payload *p = payload_new(bytes, len);

	if (p == NULL) {
		conn_close(&s->conn, CONN_CLOSE_NOMEM);
		return;
	}
	conn_send(&s->conn, p, 0);
	payload_unref(&p);
}

static void
send_end(struct fcgi_sess *s, uint16_t id, uint8_t status)
{
	uint8_t end[FCGI_END_LEN];

	fcgi_put_end(end, id, status);
	send_bytes(s, end, sizeof(end));
}

static void
fcgi_reply(struct request *r, struct payload *answer)
{
	struct fcgi_req *q = CONTAINER_OF(r, struct fcgi_req, r);
	struct fcgi_sess *s = q->sess;

	conn_send(&s->conn, answer, q->id);
	req_free(q);
	sess_rest(s);
}

static void
fcgi_send(struct request *r, struct payload *part)
{
	struct fcgi_req *q = CONTAINER_OF(r, struct fcgi_req, r);

	q->streaming = true;
	conn_send_part(&q->sess->conn, part, q->id);
}

static void
fcgi_finish(struct request *r)
{
	struct fcgi_req *q = CONTAINER_OF(r, struct fcgi_req, r);
	struct fcgi_sess *s = q->sess;
	uint8_t end[FCGI_FINISH_LEN];

	fcgi_put_finish(end, q->id);
	send_bytes(s, end, sizeof(end));
	req_free(q);
	sess_rest(s);
}

static size_t
fcgi_unsent(const struct request *r)
{
	return conn_unsent(
	    &CONTAINER_OF(r, const struct fcgi_req, r)->sess->conn);
}

static void
fcgi_fail(struct request *r)
{
	conn_close(
	    &CONTAINER_OF(r, struct fcgi_req, r)->sess->conn, CONN_CLOSE_NOMEM);
}

static void
fcgi_rest(struct request *r, bool rest)
{
	struct conn *c = &CONTAINER_OF(r, struct fcgi_req, r)->sess->conn;

	if (rest)
		conn_rest(c);
	else
		conn_wake(c);
}

static void
req_refuse(struct fcgi_req *q, int err)
{
	q->refused = true;
	input_free(q);
	api_refuse(q->sess->conn.gw->api, &q->r, err);
}

static void
req_complete(struct fcgi_req *q)
{
	struct gateway *gw = q->sess->conn.gw;

	input_free(q);
	gw->stats->requests++;
	api_handle(gw->api, &q->r);
}

/* Give up a request that the api may know. */
static void
req_abandon(struct fcgi_req *q)
{
	if (q->in == NULL)
		api_abandon(q->sess->conn.gw->api, &q->r);
	req_free(q);
}

/* Answer a BEGIN that makes no request; its other records are skipped. */
static void
begin_refuse(struct fcgi_sess *s, uint16_t id, uint8_t status)
{
	send_end(s, id, status);
	s->unfinished = true;
	sess_rest(s);
}

/* Has it as many requests as it may?  One it may always have; fronts that
 * put several on a connection share what the others leave. */
static bool
sess_is_full(const struct fcgi_sess *s)
{
	const struct gateway *gw = s->conn.gw;

	if (s->active < REQUESTS_MAX &&
	    (s->active == 0 || gw->requests < gw->limits.max_connections))
		return false;
	limit_hit(&gw->stats->limits, LIMIT_requests_per_connection);
	return true;
}

static void
sess_begin(struct fcgi_sess *s, uint16_t id)
{
	unsigned role = (unsigned)s->begin[0] << 8 | s->begin[1];

	if (id == FCGI_NULL_REQUEST_ID || req_find(s, id) != NULL) {
		conn_close(&s->conn, CONN_CLOSE_ORDER);
		return;
	}
	if ((s->begin[2] & FCGI_KEEP_CONN) == 0)
		s->closing = true;
	if (role != FCGI_RESPONDER)
		begin_refuse(s, id, FCGI_UNKNOWN_ROLE);
	else if (sess_is_full(s))
		begin_refuse(s, id, FCGI_OVERLOADED);
	else if (req_new(s, id) == NULL)
		begin_refuse(s, id, FCGI_OVERLOADED);
}

static void
on_begin(struct fcgi_sess *s, const struct fcgi_piece *p)
{
	if (p->length != sizeof(s->begin)) {
		conn_close(&s->conn, CONN_CLOSE_ORDER);
		return;
	}
	memcpy(s->begin + s->begin_have, p->content.ptr, p->content.len);
	s->begin_have += (uint8_t)p->content.len;
	if (!p->last)
		return;
	s->begin_have = 0;
	sess_begin(s, p->id);
}

/* The client has gone, says the front, and wants to hear that we know. */
static void
req_gone(struct fcgi_req *q)
{
	struct fcgi_sess *s = q->sess;
	uint16_t id = q->id;

	req_abandon(q);
	send_end(s, id, FCGI_REQUEST_COMPLETE);
	sess_rest(s);
}

static void
on_abort(const struct fcgi_sess *s, const struct fcgi_piece *p)
{
	struct fcgi_req *q = req_find(s, p->id);

	if (q != NULL && p->last) /* else it crossed our answer */
		req_gone(q);
}

static int
add_param(void *arg, struct slice name, struct slice value)
{
	if (name.len == 0)
		return ERR_SYNTAX;
	return params_add(arg, name, value);
}

static int
params_end(struct fcgi_req *q)
{
	struct fcgi_input *in = q->in;
	struct slice length = params_get(&q->r.params, "CONTENT_LENGTH");

	if (!fcgi_pairs_complete(&in->pairs))
		return ERR_SYNTAX;
	in->in_body = true;
	if (length.len != 0 && decimal_parse(length, &in->content_length) != 0)
		return ERR_SYNTAX;
	if (in->content_length == 0 && gateway_is_upgrade(&q->r.params)) {
		q->r.upgrade = true;
		q->stdin_open = true;
		return 0;
	}
	if (length.len == 0)
		return 0; /* a body of unknown length, or none */
	in->announced = true;
	if (in->content_length > q->r.body.max)
		return ERR_TOOBIG;
	return buf_reserve(&q->r.body, MIN_OF(in->content_length, BODY_FIRST));
}

static int
body_end(const struct fcgi_req *q)
{
	if (q->in->announced && q->r.body.len != q->in->content_length)
		return ERR_SYNTAX;
	return 0;
}

/* PARAMS or STDIN of a request that is still coming in. */
static void
on_stream(struct fcgi_req *q, const struct fcgi_piece *p)
{
	bool done = false;
	int err;

	if (p->type == FCGI_PARAMS && p->length != 0) {
		err = fcgi_pairs_feed(
		    &q->in->pairs, p->content, add_param, &q->r.params);
		if (err == ERR_TOOBIG)
			err = ERR_PARAMS;
	} else if (p->type == FCGI_PARAMS) {
		err = params_end(q);
		done = q->stdin_open;
	} else if (p->length != 0) {
		err = buf_append(&q->r.body, p->content.ptr, p->content.len);
	} else {
		err = body_end(q);
		done = true;
	}
	if (err == 0)
		err = request_hold(&q->r, q->in->pairs.rest.cap);
	if (err != 0)
		req_refuse(q, err);
	else if (done)
		req_complete(q);
}

/* STDIN of a request that could be a tunnel.  Of one that is none it is
 * nothing: a GET's empty body, or what the client said too early. */
static void
on_client(struct fcgi_req *q, const struct fcgi_piece *p)
{
	if (p->length == 0) {
		q->stdin_open = false;
		if (q->r.tunnel)
			req_gone(q);
	} else if (q->r.tunnel) {
		api_tunnel(q->sess->conn.gw->api, &q->r, p->content);
	}
}

static void
on_request_record(struct fcgi_sess *s, const struct fcgi_piece *p)
{
	struct fcgi_req *q = req_find(s, p->id);
	bool body = p->type == FCGI_STDIN;

	if (q == NULL || q->refused)
		return; /* it crossed our answer */
	if (q->in != NULL && body == q->in->in_body)
		on_stream(q, p);
	else if (q->stdin_open && body)
		on_client(q, p);
	else if (q->in != NULL || p->length != 0)
		conn_close(&s->conn, CONN_CLOSE_ORDER);
}

static int
note_value(void *arg, struct slice name, struct slice value)
{
	struct fcgi_values *v = arg;

	(void)value;
	v->asked |= fcgi_value_bit(name);
	return 0;
}

static void
values_free(struct fcgi_sess *s)
{
	if (s->values == NULL)
		return;
	fcgi_pairs_release(&s->values->pairs);
	free(s->values);
	s->values = NULL;
}

static void
values_answer(struct fcgi_sess *s)
{
	uint8_t out[FCGI_VALUES_LEN];
	size_t len = fcgi_put_values(
	    out, s->values->asked, s->conn.gw->limits.max_connections);

	values_free(s);
	send_bytes(s, out, len);
}

static void
on_get_values(struct fcgi_sess *s, const struct fcgi_piece *p)
{
	if (s->values == NULL) {
		s->values = calloc(1, sizeof(*s->values));
		if (s->values == NULL) {
			conn_close(&s->conn, CONN_CLOSE_NOMEM);
			return;
		}
		fcgi_pairs_init(&s->values->pairs, VALUE_NAME_MAX);
	}
	if (fcgi_pairs_feed(
		&s->values->pairs, p->content, note_value, s->values) != 0 ||
	    (p->last && !fcgi_pairs_complete(&s->values->pairs)))
		conn_close(&s->conn, CONN_CLOSE_ORDER);
	else if (p->last)
		values_answer(s);
}

static void
on_unknown(struct fcgi_sess *s, const struct fcgi_piece *p)
{
	uint8_t out[FCGI_UNKNOWN_LEN];

	if (!p->last)
		return;
	fcgi_put_unknown(out, p->type);
	send_bytes(s, out, sizeof(out));
}

static void
sess_piece(struct fcgi_sess *s, const struct fcgi_piece *p)
{
	switch (p->type) {
	case FCGI_BEGIN_REQUEST:
		on_begin(s, p);
		break;
	case FCGI_ABORT_REQUEST:
		on_abort(s, p);
		break;
	case FCGI_PARAMS:
	case FCGI_STDIN:
		on_request_record(s, p);
		break;
	case FCGI_DATA:
		break; /* for filters */
	case FCGI_GET_VALUES:
		on_get_values(s, p);
		break;
	default:
		on_unknown(s, p);
		break;
	}
}

/* A body that has begun, and of which more may come. */
static bool
body_is_part(const struct fcgi_req *q)
{
	const struct fcgi_input *in = q->in;

	return in != NULL && q->r.body.len != 0 &&
	    !(in->announced && q->r.body.len == in->content_length);
}

static struct fcgi_req *
sess_unasked(const struct fcgi_sess *s)
{
	struct fcgi_req *q;

	LIST_FOREACH(q, &s->reqs, link)
	if (body_is_part(q) && !q->in->wanted)
		return q;
	return NULL;
}

/* What was read is used up: are the bodies wanted of which more is to come?
 * Who is not wanted is answered, and over.  Of a body that was there at once,
 * as most are, in however many records, that is not asked: nothing would be
 * saved, and it costs a publisher's request a sixth of our work. */
static void
sess_wait_bodies(struct fcgi_sess *s)
{
	struct fcgi_req *q;

	while (conn_is_open(&s->conn) && (q = sess_unasked(s)) != NULL) {
		q->in->wanted = true;
		(void)api_body(s->conn.gw->api, &q->r);
	}
}

static void
fcgi_sess_input(struct conn *c, struct slice in)
{
	struct fcgi_sess *s = CONTAINER_OF(c, struct fcgi_sess, conn);
	struct fcgi_piece piece;

	while (conn_is_open(c)) {
		switch (fcgi_read(&s->reader, &in, &piece)) {
		case CODEC_MORE:
			sess_wait_bodies(s);
			return;
		case CODEC_BAD:
			conn_close(c, CONN_CLOSE_RECORD);
			return;
		case CODEC_DONE:
			sess_piece(s, &piece);
			break;
		}
	}
}

static enum conn_close_why
fcgi_sess_eof(const struct conn *c)
{
	const struct fcgi_sess *s =
	    CONTAINER_OF(c, const struct fcgi_sess, conn);
	const struct fcgi_req *q;

	if (s->reader.have != 0 &&
	    (s->reader.have < FCGI_HEADER_LEN || s->reader.left != 0 ||
		s->reader.padding != 0))
		return CONN_CLOSE_TRUNCATED;
	LIST_FOREACH(q, &s->reqs, link)
	if (q->in != NULL)
		return CONN_CLOSE_TRUNCATED;
	return s->active != 0 ? CONN_CLOSE_GONE : CONN_CLOSE_IDLE;
}

/* Each call may end its request, and others with it: so no step is taken from
 * one to the next. */
static void
fcgi_sess_drained(struct conn *c)
{
	struct fcgi_sess *s = CONTAINER_OF(c, struct fcgi_sess, conn);
	struct fcgi_req *q;

	LIST_FOREACH(q, &s->reqs, link)
	q->to_drain = q->streaming;
	do {
		LIST_FOREACH(q, &s->reqs, link)
		if (q->to_drain)
			break;
		if (q != NULL) {
			q->to_drain = false;
			api_drained(c->gw->api, &q->r);
		}
	} while (q != NULL);
}

static void
fcgi_sess_free(struct conn *c)
{
	struct fcgi_sess *s = CONTAINER_OF(c, struct fcgi_sess, conn);
	struct fcgi_req *q;

	while ((q = LIST_FIRST(&s->reqs)) != NULL)
		req_abandon(q);
	values_free(s);
	conn_release(c);
	free(s);
}

static const struct conn_ops fcgi_sess_ops = { .name = "fastcgi",
	.of_front = true,
	.input = fcgi_sess_input,
	.eof = fcgi_sess_eof,
	.drained = fcgi_sess_drained,
	.free = fcgi_sess_free,
	.late = conn_late };

struct conn *
fcgi_sess_new(struct gateway *gw, int fd, bool control)
{
	struct fcgi_sess *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	if (conn_init(&s->conn, gw, fd, &fcgi_sess_ops, control) != 0) {
		free(s);
		return NULL;
	}
	LIST_INIT(&s->reqs);
	return &s->conn;
}
