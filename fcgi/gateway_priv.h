/*
 * fcgi/gateway_priv.h - what connections and sessions know of their gateway.
 */
#ifndef FCGI_GATEWAY_PRIV_H
#define FCGI_GATEWAY_PRIV_H

#include "base/base.h"
#include "base/log.h"
#include "base/map.h"
#include "fcgi/conn.h"
#include "fcgi/gateway.h"
#include "fcgi/http_answer.h"
#include "fcgi/watch.h"

#define GATEWAY_INPUT (64 * 1024)

/* What is waited for, each for the same time whoever waits. */
enum due_kind {
	DUE_REQUEST, /* a request, or the rest of one, to come whole */
	DUE_HEAD,    /* the head of an HTTP request */
	DUE_IDLE,    /* the next request of an HTTP connection */
	DUE_KINDS
};

/* A connection's place in the order in which they time out. */
struct due {
	TAILQ_ENTRY(due) link;
	uint64_t at_ms;	   /* monotonic */
	struct conn *conn; /* NULL: not waiting */
	uint8_t kind;	   /* enum due_kind */
};

struct due_queue {
	TAILQ_HEAD(, due) dues; /* oldest first */
	struct event timer;
	struct gateway *gw;
};

struct gateway {
	struct event_base *base;
	struct api *api;
	struct stats *stats;
	struct gateway_limits limits;
	TAILQ_HEAD(, conn) conns, dead;
	TAILQ_HEAD(, conn_out) gathered;
	LIST_HEAD(, conn_out) outs;	/* all there are */
	struct quota outgoing;		/* bytes that they keep */
	uint32_t gathering, gatherings; /* this one's number, or 0; so far */
	unsigned connections;		/* in both lists */
	unsigned requests;		/* in flight, incomplete ones too */
	unsigned writing;		/* connections with answers kept */
	bool draining;
	gateway_keep_f *keep; /* or NULL */
	void *keep_arg;
	struct due_queue dues[DUE_KINDS];
	struct watch watch;
	struct http_answers answers;
	struct tls_certs *certs; /* or NULL */
	unsigned handshakes;	 /* steps made since `shaken` last ran */
	struct event shaken;
	struct map networks; /* of HTTP clients: how many connections */
	struct hash_key networks_key;
	struct request_spares spares;
	uint64_t closes[CONN_CLOSE_COUNT];
	struct log_limit crowd_log;
	struct log_limit close_log[CONN_CLOSE_COUNT];
	char input[GATEWAY_INPUT]; /* of this wake's read */
};

static inline struct timeval
ms_to_timeval(uint64_t ms)
{
	return (struct timeval){
		.tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000),
	};
}

/* After its kind's time c's ops->late() is called, if it is not removed. */
void gateway_due_add(
    struct gateway *gw, struct due *d, struct conn *c, enum due_kind kind);
void gateway_due_remove(struct gateway *gw, struct due *d);

/* Does the client ask for a WebSocket (RFC 6455 section 4.1)? */
bool gateway_is_upgrade(const struct params *params);

void gateway_count_close(
    struct gateway *gw, const char *kind, enum conn_close_why why);

/* A session without requests, or NULL when there is no memory. */
struct conn *fcgi_sess_new(struct gateway *gw, int fd, bool control);
struct conn *scgi_sess_new(struct gateway *gw, int fd, bool control);
struct http_peer;
struct conn *http_sess_new(
    struct gateway *gw, int fd, const struct http_peer *peer);

/* A client of this network, if there may be one more; and it has gone. */
bool gateway_network_enter(struct gateway *gw, uint64_t network);
void gateway_network_leave(struct gateway *gw, uint64_t network);

#endif
