/*
 * fcgi/scgi_sess.c - SCGI: one request, one connection.
 *
 *	coming in --complete--> with the api --reply--> written, closed
 *	 in != NULL  \_refuse__/ in NULL
 *
 * A request that is refused is answered while the front may still be sending
 * it; the connection then lingers until the front is done.  So it does after a
 * tunnel, whose client may be in the middle of a frame.
 *
 * A front that passes an upgrade on (nginx does) turns into a pipe when it has
 * read a head with status 101: what comes then are the client's bytes.
 */
#include "base/base.h"

#include "api/api.h"
#include "fcgi/gateway_priv.h"
#include "fcgi/scgi_codec.h"

struct scgi_input { /* needed only until the request is whole */
	struct due due;
	struct scgi_reader reader;
	bool begun;  /* a byte has come */
	bool wanted; /* the body is, as far as it is known */
};

struct scgi_sess {
	struct conn conn; /* first */
	struct request r;
	struct scgi_input *in; /* NULL: complete, or refused */
	bool linger;	       /* the front may still be sending */
	bool streaming;
	bool answered;
};

static request_reply_f scgi_reply;
static request_send_f scgi_send;
static request_finish_f scgi_finish;
static request_unsent_f scgi_unsent;
static request_fail_f scgi_fail;
static request_rest_f scgi_rest;

static const struct request_ops request_ops = { .name = "scgi",
	.reply = scgi_reply,
	.send = scgi_send,
	.finish = scgi_finish,
	.unsent = scgi_unsent,
	.fail = scgi_fail,
	.rest = scgi_rest };

static void
input_free(struct scgi_sess *s)
{
	struct scgi_input *in = s->in;

	s->in = NULL;
	if (in == NULL)
		return;
	gateway_due_remove(s->conn.gw, &in->due);
	scgi_reader_release(&in->reader);
	free(in);
}

/* The request is over, by an answer or not. */
static void
sess_end(struct scgi_sess *s)
{
	if (s->answered)
		return;
	s->answered = true;
	if (s->in == NULL || s->in->begun)
		s->conn.gw->requests--;
	input_free(s);
	request_shed(&s->r);
}

static void
scgi_reply(struct request *r, struct payload *answer)
{
	struct scgi_sess *s = CONTAINER_OF(r, struct scgi_sess, r);

	conn_send(&s->conn, answer, 0);
	sess_end(s);
	conn_finish(&s->conn, s->linger);
}

static void
scgi_send(struct request *r, struct payload *part)
{
	struct scgi_sess *s = CONTAINER_OF(r, struct scgi_sess, r);

	s->streaming = true;
	conn_send_part(&s->conn, part, 0);
}

static void
scgi_finish(struct request *r)
{
	struct scgi_sess *s = CONTAINER_OF(r, struct scgi_sess, r);

	sess_end(s);
	conn_finish(&s->conn, s->linger || r->tunnel);
}

static void
scgi_fail(struct request *r)
{
	conn_close(
	    &CONTAINER_OF(r, struct scgi_sess, r)->conn, CONN_CLOSE_NOMEM);
}

static void
scgi_rest(struct request *r, bool rest)
{
	struct conn *c = &CONTAINER_OF(r, struct scgi_sess, r)->conn;

	if (rest)
		conn_rest(c);
	else
		conn_wake(c);
}

static size_t
scgi_unsent(const struct request *r)
{
	return conn_unsent(&CONTAINER_OF(r, const struct scgi_sess, r)->conn);
}

static void
sess_refuse(struct scgi_sess *s, int err)
{
	s->linger = true;
	input_free(s);
	api_refuse(s->conn.gw->api, &s->r, err);
}

/* Bytes behind a complete request. */
static void
sess_more(struct scgi_sess *s, struct slice in)
{
	if (s->r.tunnel)
		api_tunnel(s->conn.gw->api, &s->r, in);
	else
		conn_close(&s->conn, CONN_CLOSE_EXTRA);
}

static void
sess_complete(struct scgi_sess *s, struct slice rest)
{
	struct gateway *gw = s->conn.gw;

	s->r.upgrade = gateway_is_upgrade(&s->r.params);
	if (rest.len != 0 && !s->r.upgrade) {
		sess_refuse(s, ERR_SYNTAX);
		return;
	}
	input_free(s);
	gw->stats->requests++;
	/* Only now it turns out whether the rest belongs here. */
	s->linger = rest.len != 0;
	api_handle(gw->api, &s->r);
	if (s->answered)
		return;
	s->linger = false;
	if (rest.len != 0)
		sess_more(s, rest);
}

/* The body has not come with the parameters: is it wanted?  If not, what is
 * still coming is dropped. */
static void
sess_wait_body(struct scgi_sess *s)
{
	struct scgi_input *in = s->in;

	if (in->reader.phase != SCGI_BODY || in->wanted)
		return;
	s->linger = true;
	if (api_body(s->conn.gw->api, &s->r) == API_BODY_REFUSED)
		return;
	s->linger = false;
	in->wanted = true;
}

static void
scgi_sess_input(struct conn *c, struct slice in)
{
	struct scgi_sess *s = CONTAINER_OF(c, struct scgi_sess, conn);
	int err;

	if (s->in == NULL) {
		sess_more(s, in);
		return;
	}
	if (!s->in->begun)
		c->gw->requests++;
	s->in->begun = true;
	switch (
	    scgi_read(&s->in->reader, &in, &s->r.params, &s->r.body, &err)) {
	case CODEC_MORE:
		err = request_hold(&s->r, s->in->reader.rest.cap);
		if (err != 0)
			sess_refuse(s, err);
		else
			sess_wait_body(s);
		break;
	case CODEC_BAD:
		if (err == ERR_TOOBIG && s->in->reader.phase != SCGI_BODY)
			err = ERR_PARAMS;
		sess_refuse(s, err);
		break;
	case CODEC_DONE:
		sess_complete(s, in);
		break;
	}
}

static enum conn_close_why
scgi_sess_eof(const struct conn *c)
{
	const struct scgi_sess *s =
	    CONTAINER_OF(c, const struct scgi_sess, conn);

	if (s->in == NULL)
		return CONN_CLOSE_GONE;
	return s->in->begun ? CONN_CLOSE_TRUNCATED : CONN_CLOSE_IDLE;
}

static void
scgi_sess_drained(struct conn *c)
{
	struct scgi_sess *s = CONTAINER_OF(c, struct scgi_sess, conn);

	if (s->streaming && !s->answered)
		api_drained(c->gw->api, &s->r);
}

static void
scgi_sess_free(struct conn *c)
{
	struct scgi_sess *s = CONTAINER_OF(c, struct scgi_sess, conn);

	if (s->in == NULL && !s->answered)
		api_abandon(c->gw->api, &s->r);
	sess_end(s);
	conn_release(c);
	free(s);
}

static const struct conn_ops scgi_sess_ops = { .name = "scgi",
	.of_front = true,
	.input = scgi_sess_input,
	.eof = scgi_sess_eof,
	.drained = scgi_sess_drained,
	.free = scgi_sess_free,
	.late = conn_late };

struct conn *
scgi_sess_new(struct gateway *gw, int fd, bool control)
{
	struct scgi_sess *s = calloc(1, sizeof(*s));
	struct scgi_input *in = calloc(1, sizeof(*in));

	if (s == NULL || in == NULL ||
	    conn_init(&s->conn, gw, fd, &scgi_sess_ops, control) != 0) {
		free(in);
		free(s);
		return NULL;
	}
	request_init(&s->r, &request_ops, gw->limits.max_params,
	    gw->limits.max_body, &gw->spares);
	s->r.control = control;
	scgi_reader_init(&in->reader, gw->limits.max_params);
	gateway_due_add(gw, &in->due, &s->conn, DUE_REQUEST);
	s->in = in;
	return &s->conn;
}
