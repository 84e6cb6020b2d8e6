/*
 * push/sub.h - one reader that waits, on one channel or several.
 *
 * Owner: the hub, from hub_subscribe() until one of its ops was called or
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
};

/*
 * Each reader gets exactly one of these calls, and it is the last one: the
 * hub has let go of it before it calls.  `position` is what the reader may
 * come back with: it has then seen everything up to there.  An op must not
 * unsubscribe another reader: the hub may be on its way to that one.
 */
typedef void sub_deliver_f(
    void *sess, const struct delivery *d, size_t n, uint64_t position);
typedef void sub_empty_f(void *sess, uint64_t position);
typedef void sub_deleted_f(
    void *sess, const struct channel *c, struct slice text, uint64_t position);
typedef void sub_failed_f(void *sess, int err);

struct sub_ops {
	const char *name;
	sub_deliver_f *deliver; /* n >= 1 messages */
	sub_empty_f *empty;	/* the wait is over, nothing came */
	sub_deleted_f *deleted; /* a channel of it was deleted */
	sub_failed_f *failed;	/* the store could not be read */
};

/* What a reader has already seen. */
struct sub_position {
	bool by_position;
	uint64_t after; /* a cursor */
	bool by_event_id;
	struct slice event_id;
};

struct sub {
	const struct sub_ops *ops;
	void *sess;
	struct reading *reading;   /* a replay is under way, or NULL */
	uint64_t after;		   /* it has seen everything up to here */
	struct heap_item deadline; /* UINT64_MAX: waits for ever */
	bool parks;		   /* false: a poll, never waits */
	uint32_t n;
	struct wait waits[];
};

#endif
