/* push/hub_priv.h - the hub's insides, shared by the files of this floor. */
#ifndef PUSH_HUB_PRIV_H
#define PUSH_HUB_PRIV_H

#include "base/heap.h"
#include "base/map.h"
#include "push/hub.h"

TAILQ_HEAD(channel_list, channel);

struct hub {
	struct store *store;
	struct stats *stats;
	struct hub_limits limits;
	int64_t now_s;
	uint64_t now_ms;
	bool draining;

	struct hash_key hash_key;
	struct map names;    /* hash of the name -> channel chain */
	struct map numbers;  /* number -> channel, deleted ones too */
	struct map readings; /* token -> struct sub */
	uint64_t next_channel;
	uint64_t next_token;

	struct channel_list idle; /* by expires_ms; see channel.c */
	struct heap deadlines;	  /* of subs */

	/* positions: see hub.c */
	uint64_t committed; /* newest cursor that is visible */
	uint64_t given;	    /* highest position that left */
	uint64_t floor;	    /* `given` when the oldest publish of
					 * those on their way was queued */
	uint32_t inflight;  /* publishes on their way */
	uint32_t deleting;  /* deletions that somebody asked for */
	bool reserving;
};

/* What a deletion that somebody asked for needs when it is durable. */
struct deletion {
	struct hub_wait *wait; /* NULL: who asked has gone */
	size_t text_len;
	char text[];
};

/* channel.c */
struct channel *channel_new(struct hub *h, struct slice name, uint64_t number);
void channel_touch(struct hub *h, struct channel *c);
void channel_adopt(struct hub *h, struct channel *c);
void channel_released(struct hub *h, struct channel *c);
void channel_unlink(struct hub *h, struct channel *c);
int channel_relink(struct hub *h, struct channel *c);
void channel_free(struct hub *h, struct channel *c);
void channel_collect_idle(struct hub *h);

/* sub.c */
void sub_read_done(struct hub *h, struct store_op *op);
void sub_forget_read(struct sub *s);
void sub_expire(struct hub *h);
void sub_deliver_live(struct hub *h, const struct delivery *d);
void sub_channel_deleted(struct hub *h, struct channel *c, struct slice text);

#endif
