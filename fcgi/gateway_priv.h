/*
 * fcgi/gateway_priv.h - what connections and sessions know of their gateway.
 */
#ifndef FCGI_GATEWAY_PRIV_H
#define FCGI_GATEWAY_PRIV_H

#include "base/base.h"
#include "base/log.h"
#include "fcgi/conn.h"
#include "fcgi/gateway.h"

#define GATEWAY_INPUT (64 * 1024)

/* An incomplete request's place in the order in which they time out. */
struct due {
	TAILQ_ENTRY(due) link;
	uint64_t at_ms;	   /* monotonic */
	struct conn *conn; /* NULL: not waiting */
};

struct gateway {
	struct event_base *base;
	struct api *api;
	struct stats *stats;
	struct gateway_limits limits;
	TAILQ_HEAD(, conn) conns, dead;
	unsigned connections; /* in both lists */
	unsigned requests;    /* in flight, incomplete ones too */
	unsigned writing;     /* connections with answers kept */
	bool draining;
	TAILQ_HEAD(, due) dues; /* oldest first */
	struct event due_timer;
	struct request_spares spares;
	uint64_t closes[CONN_CLOSE_COUNT];
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

/* The request on c has request_timeout to become complete. */
void gateway_due_add(struct gateway *gw, struct due *d, struct conn *c);
void gateway_due_remove(struct gateway *gw, struct due *d);

/* Does the client ask for a WebSocket (RFC 6455 section 4.1)? */
bool gateway_is_upgrade(const struct params *params);

void gateway_count_close(
    struct gateway *gw, const char *kind, enum conn_close_why why);

/* A session without requests, or NULL when there is no memory. */
struct conn *fcgi_sess_new(struct gateway *gw, int fd, bool control);
struct conn *scgi_sess_new(struct gateway *gw, int fd, bool control);

#endif
