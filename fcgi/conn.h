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
struct tls;

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
/* conn_kick() asked for it: go on with what is kept. */
typedef void conn_more_f(struct conn *c);
/* The time is over that gateway_due_add() gave. */
typedef void conn_late_f(struct conn *c);
/* The peer of a TLS connection speaks plainly; it is plain from now on.  The
 * last words to it, and conn_finish(). */
typedef void conn_plain_f(struct conn *c);
/* The last call: give up what is in flight and free the session. */
typedef void conn_free_f(struct conn *c);

struct conn_ops { /* one const instance per kind of session */
	const char *name;
	bool of_front; /* not a client's own: kept before those */
	conn_input_f *input;
	conn_eof_f *eof;
	conn_drained_f *drained;
	conn_free_f *free;
	conn_late_f *late;
	conn_more_f *more;   /* NULL: conn_kick() is not used */
	conn_plain_f *plain; /* NULL: there is never TLS */
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
	struct conn_out *out;	/* what the kernel did not take, or not yet */
	uint32_t gathering;	/* the last one that it had a part in, or 0 */
	uint32_t linger_ms;	/* when it began; monotonic, its low bits */
	struct tls *tls;	/* between it and the session, or NULL */
	uint8_t state;		/* enum conn_state */
	bool control;
	uint8_t why;	 /* of the close when all is written */
	bool linger;	 /* the front may still be sending */
	bool ended;	 /* the front sends no more */
	bool held;	 /* not read from for now; watched instead */
	uint8_t rests;	 /* conn_rest() so often: not read from either */
	struct event ev; /* reading */
};

/* On ERR_SYSTEM nothing was kept; the descriptor stays the caller's. */
int conn_init(struct conn *c, struct gateway *gw, int fd,
    const struct conn_ops *ops, bool control) MUST_CHECK;
/* Right after: all bytes go through a TLS layer.  ERR_NOMEM. */
int conn_use_tls(struct conn *c) MUST_CHECK;
/* Its handshake has not come to its end. */
bool conn_is_shaking(const struct conn *c);
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

/* Read no more for now, so that the peer's bytes wait in the kernel; that it
 * leaves is noticed all the same.  And the contrary. */
void conn_hold(struct conn *c);
void conn_unhold(struct conn *c);
/* Likewise for a moment: nobody watches meanwhile, so that a peer who has said
 * all and leaves is heard to the end.  One conn_wake() for each. */
void conn_rest(struct conn *c);
void conn_wake(struct conn *c);
/* Call ops->more() soon, but not from within this call. */
void conn_kick(struct conn *c);
/* Its fd was watched, and the peer has gone: a watch_gone_f. */
void conn_gone(void *c);

/* No more input; close when all is written.  linger: bytes that the front is
 * still sending are waited for, since closing on them would reset the
 * connection and could take the answer away from the front.  Not for longer
 * than request_timeout, however many still come. */
void conn_finish(struct conn *c, bool linger);

/* A conn_late_f of those that just close then. */
void conn_late(struct conn *c);

/* The end of a gathering: write what waits for it, of all connections. */
void conn_write_gathered(struct gateway *gw);

/* Mark only: nothing is freed or given up before the reap. */
void conn_close(struct conn *c, enum conn_close_why why);

#endif
