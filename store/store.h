/*
 * store/store.h - the message log: append, read back, forget; survives kills.
 *
 * One thread behind this header owns the log.  Work goes to it as operations
 * and comes back as the same operations with their results filled in, in the
 * order: what was handed over together is committed together, as far as one
 * group goes, then reads, then answers.  An operation has one owner at a time: the caller until
 * store_submit() took it, the store until `done` is called with it, then the
 * caller again (store_op_free()).
 *
 * Everything here is called on the loop thread.  Cursors are those of
 * base/msg.h.  Channel numbers are given by the caller, never reused, never 0.
 *
 * Promise of every backend, kept by tests/contract/:
 *  - an append whose err is 0 is in the log whatever is killed afterwards
 *    (sync=full: whatever loses power);
 *  - cursors grow in the order of submission, are above `floor`, above every
 *    cursor of an earlier life and above every position that was reserved;
 *  - the ids of a channel are 1, 2, 3, ... in the order of its appends, those
 *    that failed left out;
 *  - a read gives each channel's kept messages after its position, oldest
 *    first, none twice, none that has expired.  A shared message that is in
 *    several of the channels wanted is given once, for the first of them.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/base.h"
#include "base/clock.h"
#include "base/msg.h"

#include <stdatomic.h>

struct store; /* opaque */

enum store_sync {
	STORE_SYNC_FULL,
	STORE_SYNC_NORMAL,
	STORE_SYNC_OFF
};

/* Operations of any kind; fewer are not worth a lock and a wake-up of their
 * own, see store_flush_many(). */
#define STORE_MANY 8

struct store_config {
	const char *path; /* a file, or "memory" */
	enum store_sync sync;
	uint64_t max_bytes; /* of the database; 0: no bound */
	size_t queue_bytes; /* bound of what waits to be stored */
	clock_wall_f *wall; /* unix seconds; called on the store
					 * thread only, once it runs */
	void *wall_arg;
};

enum store_kind {
	STORE_APPEND,	 /* one message to some channels */
	STORE_READ,	 /* stored messages of some channels */
	STORE_DROP,	 /* forget channels and their messages */
	STORE_RESERVE,	 /* nothing but a newer reservation */
	STORE_BACKUP,	 /* copy the whole database to a file */
	STORE_COLLECTED, /* only from the store: messages that went */
};

/*
 * One channel of an append.  `name` is given while the caller has not yet
 * seen an append of this channel succeed; the row is made when it is missing,
 * and whoever had the name is dropped.  Its bytes stay where they are until
 * the operation is done.  Without a name an unknown channel is ERR_NOTFOUND.
 */
struct store_member {
	uint64_t channel;
	uint64_t id;	   /* out: one more than the channel's last */
	uint32_t cap;	   /* != 0: if more than cap would be kept,
					 * drop the oldest (a few hundred at a
					 * time); a caller that knows there is
					 * room passes 0 */
	uint32_t trimmed;  /* out: dropped for the cap */
	struct slice name; /* len may be 0: ptr NULL = not given */
};

struct store_append {
	struct msg *msg; /* the operation's reference */
	bool keep;	 /* false: live only, but the ids are
					 * remembered */
	uint64_t floor;	 /* the cursor will be above this */
	bool shared;	 /* all members have it under one cursor,
					 * else each under its own; then no
					 * channel may be named twice */
	uint64_t cursor; /* out: of members[0]; members[i] has cursor + i,
					 * or the same when shared */
	uint32_t n;
	struct store_member *members;
};

/* How many cursors it takes, and which of them members[i] has. */
static inline uint32_t
store_append_cursors(const struct store_append *a)
{
	return a->shared ? 1 : a->n;
}

static inline uint64_t
store_append_cursor(const struct store_append *a, uint32_t i)
{
	return a->cursor + (a->shared ? 0 : i);
}

/* What one channel of a read is asked for. */
struct store_want {
	uint64_t channel;
	uint32_t last; /* != 0: the newest so many; the rest
					 * of this struct is ignored */
	bool by_position;
	uint64_t after;	       /* strictly newer than this */
	bool by_event_id;      /* or what follows this event id, */
	struct slice event_id; /* whichever comes first in order */
	uint64_t begin;	       /* out: what is wanted is newer than this;
				* from `upto` on: nothing is.  A slice that
				* was cut goes on by position, after this or
				* after the cut, whichever is newer */
};

struct store_found {
	struct msg *msg;
	uint64_t cursor;
	uint64_t id;
	uint32_t want; /* index of the store_want */
};

struct store_read {
	uint64_t upto;	       /* nothing newer than this */
	uint32_t max_messages; /* slice: at least one is given */
	size_t max_bytes;      /* slice: of texts */
	uint32_t n;
	struct store_want *wants;
	/* out: in the order of wants, oldest first within each */
	struct store_found *found;
	size_t n_found;
	uint64_t cut; /* the slice is complete up to here:
					 * == upto when nothing was cut */
};

struct store_drop {
	uint32_t n;
	uint64_t *channels;
};

struct store_collected {
	uint32_t n;
	struct store_gone {
		uint64_t channel;
		uint64_t count;
	} * gone;
};

struct store_op {
	enum store_kind kind;
	int err;		/* out */
	uint64_t token;		/* the caller's, untouched, */
	void *caller;		/* and so is this */
	size_t bytes;		/* its share of queue_bytes */
	_Atomic bool cancelled; /* see store_cancel() */
	struct store_op *next;	/* of whoever owns it */
	union {
		struct store_append append;
		struct store_read read;
		struct store_drop drop;
		struct store_collected collected;
		char *backup_path;
	} u;
};

/* What the store thread counts; a snapshot comes with each delivery. */
struct store_stats {
	uint64_t groups;  /* commits */
	uint64_t appends; /* committed */
	uint64_t reads;
	uint64_t collected;
	uint64_t corrupt; /* left out for a wrong checksum */
};

/* A channel as it was found at start. */
struct store_channel {
	uint64_t channel;
	struct slice name;
	uint64_t last_id;
	uint64_t last_cursor; /* of its newest message, kept or not */
	uint64_t stored;
};

/* What the log as a whole was at start. */
struct store_state {
	uint64_t last; /* continue above this cursor */
	uint64_t reserved;
	uint64_t next_channel; /* first number never given */
	uint64_t published;    /* messages since the log was made */
};

typedef void store_channel_f(void *arg, const struct store_channel *c);
typedef void store_done_f(void *arg, struct store_op *op);

/*
 * Open or make the log.  On failure the reason is logged as a sentence that
 * names the file, and ERR_LOCKED, ERR_VERSION, ERR_EXISTS (another program's
 * file), ERR_CORRUPT, ERR_ACCESS, ERR_FULL or ERR_IO returned.  Blocks: before
 * the loop runs only.
 */
int store_open(const struct store_config *cfg, struct store **out) MUST_CHECK;

/* Tell every channel, then the state.  Blocks: before store_start() only. */
int store_load(struct store *s, store_channel_f *each, void *arg,
    struct store_state *state) MUST_CHECK;

/* Start the thread, after store_load().  From here on every finished op goes
 * to `done`. */
int store_start(struct store *s, store_done_f *done, void *arg) MUST_CHECK;

/*
 * Queue an operation; the thread sees it once it was handed over.
 * ERR_BUSY: the queue's bound would be passed and the op stays the caller's.
 * Appends and reads are counted apart, so that readers cannot keep publishers
 * out; drops and reservations are always taken.
 */
int store_submit(struct store *s, struct store_op *op) MUST_CHECK;

/* Nobody waits for this read any more: if it has not run yet it comes back
 * unrun, with ERR_CLOSED.  Until it has come back. */
void store_cancel(struct store_op *op);

/* Hand over what was submitted, wake the thread: at the end of a loop turn at
 * the latest. */
void store_flush(struct store *s);

/* Likewise, all of it, if it is STORE_MANY or more, so that in a large turn the
 * thread works while we go on.  Between requests: what one submits stays
 * together. */
void store_flush_many(struct store *s);

/* Readable when results wait; then call store_dispatch(), which calls `done`. */
int store_fd(const struct store *s);
void store_dispatch(struct store *s);

/*
 * 0, or why the store stopped for good: ERR_FSYNC, ERR_CORRUPT.
 * Nothing was acknowledged after that point; the process has to end.
 */
int store_fatal(const struct store *s);

/* No position beyond this cursor may leave the process. */
uint64_t store_reserved(const struct store *s);

const struct store_stats *store_stats(const struct store *s);
size_t store_queued_bytes(const struct store *s);

/*
 * Commit what is queued, join the thread, hand the last results to `done`
 * (what is submitted meanwhile is freed unseen), write the indexes, close.
 * 0, or as store_fatal(): all that was acknowledged is in the log, but who
 * starts the next life should know.
 */
int store_close(struct store **s) MUST_CHECK;

/*
 * Operations: made zeroed with room for n members/wants/channels.  Or NULL.
 * An append takes the caller's reference over and keeps unless told not to; a
 * read copies the event id and points all its wants to the copy.  Freeing a
 * read frees the messages found, but those whose pointer was taken out.
 */
struct store_op *store_op_append(struct msg *msg, uint32_t n);
struct store_op *store_op_read(uint32_t n, const struct slice *event_id);
struct store_op *store_op_drop(uint32_t n);
struct store_op *store_op_reserve(void);
struct store_op *store_op_backup(const char *path);
void store_op_free(struct store_op **op);

#endif
