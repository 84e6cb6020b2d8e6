/*
 * push/hub.h - publish and subscribe: the facade of this floor.
 *
 * The hub knows every channel, orders publishes, joins them with readers and
 * asks the store for what lies back in time.  No sockets, no SQL; time comes
 * with hub_set_time().  Thread: loop.  All state hangs off the instance.
 *
 * Order is the store's: what it commits first has the smaller cursor, becomes
 * visible first and is delivered first.  A position that leaves is never
 * above a cursor that is still on its way (hub.c, "positions").
 */
#ifndef PUSH_HUB_H
#define PUSH_HUB_H

#include "base/base.h"
#include "base/stats.h"
#include "push/channel.h"
#include "push/sub.h"
#include "store/store.h"

struct hub; /* opaque; owner: daemon */

/* 0 means "no limit".  Source: push-stream.md section 2.2. */
struct hub_limits {
	int64_t message_ttl_s;
	uint64_t channel_inactivity_ms;
	uint32_t max_channels;
	uint32_t max_wildcard_channels;
	uint32_t max_stored;	      /* messages a channel */
	uint64_t max_subscriptions;   /* places in channels */
	struct slice wildcard_prefix; /* the caller keeps it alive */
	struct slice events_channel;  /* likewise; len 0: none */
	uint32_t replay_messages;     /* of one answer */
	size_t replay_bytes;
};

/* Also loads the channels from the store, so it blocks: before the loop. */
int hub_new(
    struct store *store, struct stats *stats, struct hub **out) MUST_CHECK;
/* After the store was closed. */
void hub_free(struct hub **h);
void hub_set_limits(struct hub *h, const struct hub_limits *limits);

/* What time it is: before each call that depends on it. */
void hub_set_time(struct hub *h, int64_t wall_s, uint64_t mono_ms);
/* Ends waits whose time is over and collects inactive channels, a bounded
 * number each. */
void hub_tick(struct hub *h);
/* A request has been dealt with: if much waits for the end of the turn to go to
 * the store, all of it goes now. */
void hub_hand_over(struct hub *h);
/* When to tick at the latest (monotonic ms); UINT64_MAX: no need. */
uint64_t hub_next_ms(const struct hub *h);
/* The highest position that the log has given so far, messages or not. */
uint64_t hub_newest(const struct hub *h);
int64_t hub_now_s(const struct hub *h);
uint64_t hub_now_ms(const struct hub *h);

/* The store's done function. */
store_done_f hub_store_done;

struct channel *hub_find(const struct hub *h, struct slice name);
bool hub_is_wildcard(const struct hub *h, struct slice name);
/* The numbers of all channels whose names begin with prefix, in the order in
 * which they were made.  The caller frees the array. */
int hub_channels(const struct hub *h, struct slice prefix, uint64_t **numbers,
    size_t *n) MUST_CHECK;
/* NULL: it has gone, or is being deleted. */
struct channel *hub_channel(const struct hub *h, uint64_t number);
/* How many have left the index and are not gone yet. */
uint64_t hub_channels_deleted(const struct hub *h);
/* Find or make.  ERR_LIMIT: one channel too many. */
int hub_open(struct hub *h, struct slice name, struct channel **out) MUST_CHECK;
/* Is c the events channel?  It is there from hub_set_limits() on, is never
 * collected nor deleted, and tells what happens to the others (events.c). */
bool hub_is_events(const struct hub *h, const struct channel *c);

/*
 * Someone who waits for a publish or a deletion; owner: the caller, who fills
 * done and arg.  `done` is called once, after commit or failure, and not if
 * hub_forget() came first; until either the wait has to stay where it is.
 */
typedef void hub_done_f(void *arg, int err);

struct hub_wait {
	hub_done_f *done;
	void *arg;
	struct hub_wait **home; /* the hub's: what leads here, or NULL */
};

/* How a message is published; to be or-ed. */
enum hub_how {
	HUB_KEEP = 1,  /* for later readers too */
	HUB_SHARED = 2 /* one cursor in all channels, and who reads several
			* of them gets it once; none may be named twice */
};

/*
 * Publish to n channels (n >= 1), in order: without HUB_SHARED each has a copy
 * with a cursor of its own.  Ids are always each channel's own.  Takes the
 * caller's reference of msg.  wait NULL: nobody does.
 * ERR_BUSY, ERR_NOMEM: nothing was queued.
 */
int hub_publish(struct hub *h, struct channel *const *channels, uint32_t n,
    struct msg *msg, unsigned how, struct hub_wait *wait) MUST_CHECK;

/*
 * Presence.  Someone is behind c until then (monotonic ms), reading or not: c
 * is not collected for inactivity before.  Never shortens it.
 */
void hub_seen(struct hub *h, struct channel *c, uint64_t until_ms);
bool hub_present(const struct hub *h, const struct channel *c);

/*
 * Delete n channels (n >= 1; duplicates allowed).  They leave the index at
 * once; when that is durable their readers are told `text`, then `done`.
 * ERR_BUSY: as many as there may be channels are on their way out.
 */
int hub_delete(struct hub *h, struct channel *const *channels, uint32_t n,
    struct slice text, struct hub_wait *wait) MUST_CHECK;

/* The one who waits for this publish or deletion has gone. */
void hub_forget(struct hub_wait *wait);

/*
 * Returns 0 when the reader was taken: ops will be called, not before this
 * returns, and *out names it until the last of them.  HUB_NOTHING: nothing is
 * newer, and it does not wait, or the hub drains.  ERR_CROWDED: all have too
 * many places in channels.
 */
#define HUB_NOTHING 1
int hub_subscribe(
    struct hub *h, const struct sub_request *r, struct sub **out) MUST_CHECK;
/* A stream whose `ready` said no can take more of its replay now.  Not from
 * within an op: if the store takes no read, `failed` is called from here. */
void hub_resume(struct hub *h, struct sub *s);
void hub_unsubscribe(struct hub *h, struct sub **sub);

/* The position of a reader who stood at `after` and was told "nothing". */
uint64_t hub_position_now(struct hub *h, uint64_t after);

/* Lame duck: every wait ends now, and later ones at once. */
void hub_drain(struct hub *h);
/* Publishes, deletions or replays are on their way. */
bool hub_busy(const struct hub *h);

#endif
