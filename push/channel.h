/*
 * push/channel.h - a named queue as memory knows it: where it ends, who waits.
 *
 * Its messages are in the store.  Owner: the hub.  Thread: loop.
 * Source: push-stream.md section 3.
 */
#ifndef PUSH_CHANNEL_H
#define PUSH_CHANNEL_H

#include <sys/queue.h>

#include "base/base.h"

struct sub;
struct channel;

/* One subscription: a reader's place in one channel. */
struct wait {
	TAILQ_ENTRY(wait) link;	 /* in channel->waits */
	struct channel *channel; /* NULL: a stream's, and it was deleted */
	struct sub *sub;
};

TAILQ_HEAD(wait_list, wait);

struct channel {
	uint64_t number;	   /* given once, never reused */
	uint64_t hash;		   /* of the name; key in hub->names */
	struct channel *same_hash; /* next channel of the same hash */
	struct wait_list waits;
	TAILQ_ENTRY(channel) idle; /* in hub->idle while on_idle */
	uint64_t expires_ms;	   /* inactive from then on */
	uint64_t present_ms;	   /* somebody is there until then */
	uint64_t last_cursor;	   /* of the newest message, kept or not */
	uint64_t tail;		   /* of the newest kept message */
	uint64_t mark;		   /* of the read that named it last */
	uint64_t last_id;	   /* committed: "published_messages" */
	uint32_t stored;	   /* kept messages, committed */
	uint32_t inflight;	   /* publishes on their way */
	uint32_t subscribers;
	uint16_t name_len;
	bool wildcard;
	bool on_disk; /* its row is known to be committed */
	bool on_idle;
	bool deleted;  /* not to be found any more, being dropped */
	bool replaced; /* and its name was given to another since */
	char name[];
};

static inline struct slice
channel_name(const struct channel *c)
{
	return (struct slice){ c->name, c->name_len };
}

#endif
