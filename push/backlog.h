/*
 * push/backlog.h - live messages that wait for a replay to end, in order.
 *
 * Each holds a reference of its message.  One has its place in the struct, and
 * the first is taken whatever its size, unless all have too much.  A shared message is in it once
 * for each channel that brings it, since any of them may be deleted before the
 * end; it counts as one.  Owner: a reading (replay.c).  Thread: loop.
 */
#ifndef PUSH_BACKLOG_H
#define PUSH_BACKLOG_H

#include "base/limit.h"
#include "push/sub.h"

struct backlog {
	struct delivery *at;
	uint32_t n, room;
	uint32_t messages;
	size_t bytes;	   /* of their texts */
	struct quota *all; /* memory of this and of others */
	struct delivery first;
};

/* It may not be moved then.  A message that waits in several is counted once
 * in *all. */
void backlog_init(struct backlog *b, struct quota *all);
void backlog_release(struct backlog *b);
void backlog_clear(struct backlog *b);

/* False: it would be more than max_messages or max_bytes, or than all may
 * have, or there is no memory; no message was added. */
bool backlog_add(struct backlog *b, const struct delivery *d,
    uint32_t max_messages, size_t max_bytes) MUST_CHECK;

/* Of a shared message keep the first only. */
void backlog_unite_shared(struct backlog *b);

/* Keep only what `stays` says of. */
typedef bool backlog_stays_f(const void *arg, const struct delivery *d);
void backlog_filter(struct backlog *b, backlog_stays_f *stays, const void *arg);

#endif
