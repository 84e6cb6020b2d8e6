/*
 * api/request.h - a request as the dialects see it, whatever gateway it came by.
 *
 * Owner: the gateway's session, which embeds it.  Thread: loop.
 *
 * Life: the gateway fills parameters and body and calls api_handle().  The
 * request is then answered exactly once, in that call or later: with
 * ops->reply(), or with any number of ops->send() and one ops->finish(); or the
 * gateway calls api_abandon() when its connection went away.  After the end
 * the other side must not touch it again.
 *
 * A tunnel: the api sends a head with status 101 on a request whose `upgrade`
 * is set, having set `tunnel`.  From then on what it sends are the client's
 * bytes, and what the client sends comes by api_tunnel().
 */
#ifndef API_REQUEST_H
#define API_REQUEST_H

#include "base/base.h"
#include "base/buf.h"
#include "base/limit.h"
#include "base/payload.h"

struct request;

/* The whole CGI answer: header lines, blank line, body (RFC 3875 section 6).
 * Takes its own reference; the request is over when this returns. */
typedef void request_reply_f(struct request *r, struct payload *answer);

/* A part of the answer; the first begins with the head.  Takes its own
 * reference.  If the front is too far behind, the connection is closed with a
 * counted reason and the request abandoned, but never from within. */
typedef void request_send_f(struct request *r, struct payload *part);
/* That was all: the request is over when this returns. */
typedef void request_finish_f(struct request *r);
/* It cannot go on: the connection is closed and the request abandoned, but
 * never from within. */
typedef void request_fail_f(struct request *r);
/* Bytes that were sent and the front has not taken: once this was not 0,
 * api_drained() tells when it is 0 again. */
typedef size_t request_unsent_f(const struct request *r);

/* Read no more of a tunnel for now, or again.  Bytes that were read already come
 * all the same, and that the client has left may be heard of later. */
typedef void request_rest_f(struct request *r, bool rest);

struct request_ops {
	const char *name; /* "fastcgi", "scgi" */
	request_reply_f *reply;
	request_send_f *send;
	request_finish_f *finish;
	request_unsent_f *unsent;
	request_fail_f *fail;
	request_rest_f *rest;
};

/* One CGI variable inside params.raw. */
struct param {
	uint32_t name, name_len;
	uint32_t value, value_len;
};

struct params {
	struct buf raw; /* name and value bytes */
	struct param *list;
	uint32_t n, cap;
};

#define PARAMS_MAX 512 /* pairs of a request; nginx sends about 30 */

/*
 * Memory of requests that were shed, for those to come; and how much all that
 * are not shed have, with what else clients have said and nobody has used yet.
 * Owner: the gateway, which outlives its requests.
 */
#define REQUEST_SPARES 64

struct request_spares {
	struct quota incoming; /* bytes */
	unsigned n;
	struct request_memory {
		struct params params;
		struct buf body;
	} at[REQUEST_SPARES];
};

struct request {
	const struct request_ops *ops;
	struct request_spares *spares; /* or NULL */
	struct params params;
	struct buf body;
	size_t held; /* bytes of these that are counted in spares->incoming */
	/* the api's: what it waits for */
	void *wait;   /* struct wait_state, or NULL */
	bool control; /* came by the control socket */
	bool upgrade; /* by the gateway: it could be a tunnel */
	bool tunnel;  /* by the api: it is one */
};

void params_init(struct params *p, size_t max_bytes);
void params_release(struct params *p);
/* Append one pair.  ERR_TOOBIG: more bytes or pairs than allowed. */
int params_add(
    struct params *p, struct slice name, struct slice value) MUST_CHECK;
/* The value of the first pair of this name; NULL ptr when absent. */
struct slice params_get(const struct params *p, const char *name);

/* Of a pair that was added, so there are bytes to point into. */
static inline struct slice
param_name(const struct params *p, const struct param *q)
{
	return (struct slice){ p->raw.data + q->name, q->name_len };
}

static inline struct slice
param_value(const struct params *p, const struct param *q)
{
	return (struct slice){ p->raw.data + q->value, q->value_len };
}

void request_init(struct request *r, const struct request_ops *ops,
    size_t max_params, size_t max_body, struct request_spares *spares);
/* To be called after each piece that was added; `more` bytes are kept beside
 * it.  ERR_CROWDED: all together have too much, so it has to be refused. */
int request_hold(struct request *r, size_t more) MUST_CHECK;
/* Give up parameters and body: a parked request needs neither. */
void request_shed(struct request *r);
void request_spares_release(struct request_spares *s);

#endif
