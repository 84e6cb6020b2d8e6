/*
 * fcgi/conn.h - one connection from a front: reading, writing, closing.
 *
 * Owner: the gateway, which frees it in gateway_reap().  Thread: loop.  A
 * session embeds it as its first member and understands its bytes.
 */
#ifndef FCGI_CONN_H
#define FCGI_CONN_H

#include "base/base.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#include "base/payload.h"

struct conn;
struct conn_out;
struct gateway;

enum conn_close_why {
#define CLOSE(name, counter, level, text) name,
#include "fcgi/conn_close.tbl"
#undef CLOSE
	CONN_CLOSE_COUNT
};

/* Bytes arrived; all of them are to be used, or kept by the session. */
typedef void conn_input_f(struct conn *c, struct slice in);
/* What it means that the front closes now. */
typedef enum conn_close_why conn_eof_f(const struct conn *c);
/* Nothing waits to be written any more. */
typedef void conn_drained_f(struct conn *c);
/* The last call: give up what is in flight and free the session. */
typedef void conn_free_f(struct conn *c);

struct conn_ops { /* one const instance per kind of session */
	const char *name;
	conn_input_f *input;
	conn_eof_f *eof;
	conn_drained_f *drained;
	conn_free_f *free;
};

enum conn_state {
	CONN_OPEN,
	CONN_FLUSH,  /* writing the last answer */
	CONN_LINGER, /* all written; the front's bytes are dropped */
	CONN_DEAD
};

struct conn {
	uint32_t magic;
#define CONN_MAGIC 0x636f6e6e
	int fd;
	const struct conn_ops *ops;
	struct gateway *gw;
	TAILQ_ENTRY(conn) link; /* in gw->conns, then gw->dead */
	struct conn_out *out;	/* what the kernel did not take */
	uint8_t state;		/* enum conn_state */
	bool control;
	bool linger;	 /* the front may still be sending */
	bool ended;	 /* the front sends no more */
	struct event ev; /* reading */
};

/* On ERR_SYSTEM nothing was kept; the descriptor stays the caller's. */
int conn_init(struct conn *c, struct gateway *gw, int fd,
    const struct conn_ops *ops, bool control) MUST_CHECK;
/* Called by the reap only, after ops->free() gave up the requests. */
void conn_release(struct conn *c);

static inline bool
conn_is_open(const struct conn *c)
{
	return c->state == CONN_OPEN;
}

/* Write p, as it is (id 0) or as the answer to a FastCGI request, now or when
 * the front takes it.  Takes its own reference.  May close the connection. */
void conn_send(struct conn *c, struct payload *p, uint16_t id);
/* Likewise a part of a streaming answer (id: of its STDOUT).  It is for these
 * that a front can be too far behind: more than max_unsent bytes waiting, or
 * one of them for max_unsent_ms. */
void conn_send_part(struct conn *c, struct payload *p, uint16_t id);
/* Bytes that wait to be written; of all its requests, since telling them apart
 * would only matter where a front mixes several on one connection. */
size_t conn_unsent(const struct conn *c);

/* No more input; close when all is written.  linger: bytes that the front is
 * still sending are waited for, since closing on them would reset the
 * connection and could take the answer away from the front. */
void conn_finish(struct conn *c, bool linger);

/* Mark only: nothing is freed or given up before the reap. */
void conn_close(struct conn *c, enum conn_close_why why);

#endif
