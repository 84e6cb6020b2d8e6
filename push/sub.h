/*
 * push/sub.h - one reader, on one channel or several: a poll, or a stream.
 *
 * Owner: the hub, from hub_subscribe() until its last op was called or
 * hub_unsubscribe().  Thread: loop.  Source: push-stream.md section 7 and 8.3.
 */
#ifndef PUSH_SUB_H
#define PUSH_SUB_H

#include "base/base.h"
#include "base/heap.h"
#include "base/msg.h"
#include "push/channel.h"

/* A message on its way to a reader. */
struct delivery {
	struct msg *msg; /* valid until the op returns */
	struct channel *channel;
	uint64_t cursor;
	uint64_t id;
	bool kept; /* it is stored, so it may expire */
	bool live; /* it came just now, not out of the store */
};

enum sub_kind {
	SUB_POLL,      /* never waits */
	SUB_LONG_POLL, /* waits for one delivery */
	SUB_STREAM     /* gets all there was and all that comes */
};

/*
 * A poll gets exactly one of these calls, and it is the last one: the hub has
 * let go of it before it calls.  A stream gets any number of deliver, ping
 * and deleted with `last` false, then one of the others, or deleted with
 * `last` true.  `position` is what the reader may come back with: it has then
 * seen everything up to there.  An op must not unsubscribe a reader, itself
 * neither: the hub may be on its way to it.
 */
typedef void sub_deliver_f(
    void *sess, const struct delivery *d, size_t n, uint64_t position);
typedef void sub_empty_f(void *sess, uint64_t position);
/* last: it reads no other channel, so it has ended.  Always true for polls. */
typedef void sub_deleted_f(void *sess, const struct channel *c,
    struct slice text, uint64_t position, bool last);
typedef void sub_failed_f(void *sess, int err);
typedef bool sub_ready_f(void *sess);
typedef void sub_ping_f(void *sess);

struct sub_ops {
	const char *name;
	sub_deliver_f *deliver; /* n >= 1 messages */
	sub_empty_f *empty;	/* its time is over; a poll got nothing */
	sub_deleted_f *deleted; /* a channel of it was deleted */
	sub_failed_f *failed;	/* the store could not be read */
	/* streams only */
	sub_ready_f *ready; /* may the next slice of a replay come?  If not,
			     * hub_resume() is called when it may */
	sub_ping_f *ping;   /* ping_ms without a live message, or simply
			     * every ping_ms (ping_steady); not while its
			     * replay is under way */
};

/* What a reader has already seen. */
struct sub_position {
	bool by_position;
	uint64_t after; /* a cursor */
	bool by_event_id;
	struct slice event_id;
};

struct sub_request {
	struct channel *const *channels;
	const uint32_t *backtracks; /* of each: last messages wanted; 0: by
				     * position */
	uint32_t n;
	struct sub_position pos;
	enum sub_kind kind;
	bool by_cursor;	      /* replay in the order of cursors, not channel
			       * by channel */
	uint64_t deadline_ms; /* monotonic; UINT64_MAX: none */
	uint64_t ping_ms;     /* streams; 0: no pings */
	bool ping_steady;     /* messages do not put a ping off */
	const struct sub_ops *ops;
	void *sess;
};

struct sub {
	const struct sub_ops *ops;
	void *sess;
	struct reading *reading;   /* a replay is under way, or NULL */
	uint64_t after;		   /* it has seen everything up to here */
	struct heap_item deadline; /* or a stream's ping, if that is earlier;
				    * UINT64_MAX: waits for ever */
	enum sub_kind kind;
	uint32_t n;
	struct wait waits[]; /* behind them a stream's times, see sub.c */
};

#endif
