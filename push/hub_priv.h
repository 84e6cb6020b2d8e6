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
	struct map readings; /* token -> struct sub whose read the store has */
	uint64_t next_channel;
	uint64_t next_token;

	struct channel_list idle; /* by expires_ms; see channel.c */
	struct heap deadlines;	  /* of subs: ends, and pings of streams */
	struct channel *events;	  /* the events channel, or NULL */
	/* bounds of what waits for the end of a stream's replay */
	uint32_t backlog_messages;
	size_t backlog_bytes;  /* of texts */
	struct quota backlogs; /* bytes, of all of them */

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
void channel_hide(struct hub *h, struct channel *c);
void channel_show(struct hub *h, struct channel *c);
void channel_free(struct hub *h, struct channel *c);
void channel_collect_idle(struct hub *h);

/* events.c */
void events_choose(struct hub *h);
void events_tell(struct hub *h, const char *type, const struct channel *c);

/* sub.c */
bool delivery_expired(const struct hub *h, const struct delivery *d);
void sub_end_deliver(struct hub *h, struct sub *s, const struct delivery *d,
    size_t n, uint64_t position);
void sub_end_empty(struct hub *h, struct sub *s);
void sub_end_failed(struct hub *h, struct sub *s, int err);
void sub_stream_live(
    struct hub *h, struct sub *s, const struct delivery *d, size_t n);
uint64_t sub_ends_ms(const struct hub *h, const struct heap_item *it);
void sub_expire(struct hub *h);
void sub_deliver_live(struct hub *h, const struct delivery *d);
void sub_channel_deleted(struct hub *h, struct channel *c, struct slice text);

/* replay.c */
struct store_op *replay_op(
    struct hub *h, const struct sub_request *req, uint64_t after);
int replay_start(struct hub *h, struct sub *s, const struct sub_request *req,
    struct store_op *op);
void replay_read_done(struct hub *h, struct store_op *op);
bool replay_at_store(const struct sub *s);
void replay_keep(struct hub *h, struct sub *s, const struct delivery *d);
void replay_leave_channel(struct sub *s, const struct channel *c);
void replay_forget_op(struct sub *s);
void replay_free(struct hub *h, struct sub *s);

#endif
