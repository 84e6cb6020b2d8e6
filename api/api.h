/*
 * api/api.h - the door of the dialects: a request goes in, an answer comes out.
 *
 * Thread: loop.
 */
#ifndef API_API_H
#define API_API_H

#include "api/layout.h"
#include "api/request.h"
#include "base/stats.h"

struct api; /* opaque; owner: daemon */
struct clock_log;
struct hub;

/* A request that came by the control socket: to be answered, unless it is
 * told to be gone first. */
struct api_control_ops {
	void (*handle)(void *arg, struct request *r);
	void (*gone)(void *arg, struct request *r);
};

/* Takes the layout on success. */
int api_new(struct hub *hub, struct stats *stats, struct layout *layout,
    struct api **out) MUST_CHECK;
void api_free(struct api **a);
/* What time the log has, told to the hub before each request; without it that
 * is the wall clock's.  The caller keeps it. */
void api_set_clock(struct api *a, struct clock_log *clock);
void api_set_control(
    struct api *a, const struct api_control_ops *ops, void *arg);
/* After a reload.  Requests in hand keep their settings.  Takes the layout. */
void api_set_layout(struct api *a, struct layout *layout);
/* The one in use, until the next reload. */
const struct layout *api_layout(const struct api *a);

/*
 * r's parameters are there and a body is to follow, or its first bytes have: is
 * it wanted?  Gateways ask before they wait for the rest, so that nobody who may
 * not publish makes us hold what he would.
 */
enum api_body {
	API_BODY_TAKE,
	API_BODY_DROP,	 /* by nobody: the request does without it */
	API_BODY_REFUSED /* nor the request: r has been answered */
};
enum api_body api_body(struct api *a, struct request *r);

/* Answer r now or later through r->ops->reply(). */
void api_handle(struct api *a, struct request *r);

/* A request that cannot be handed over whole: larger than allowed
 * (ERR_TOOBIG), or not what it announced (ERR_SYNTAX).  Answers at once. */
void api_refuse(struct api *a, struct request *r, int err);

/* What the client sent through a tunnel.  The api may finish r in it. */
void api_tunnel(struct api *a, struct request *r, struct slice bytes);

/* All that was sent on r, and was held back, has been taken.  Likewise. */
void api_drained(struct api *a, struct request *r);

/* At the end of a turn: go on with a long answer that made room for others.
 * true: there is more of it, so let the next turn come at once. */
bool api_turn(struct api *a);

/* When the next turn has to come at the latest (monotonic ms); UINT64_MAX: no
 * need. */
uint64_t api_next_ms(const struct api *a);

/* The client or front has gone: r is not answered any more.  A publish that
 * was handed to the store goes on. */
void api_abandon(struct api *a, struct request *r);

#endif
