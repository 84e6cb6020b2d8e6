/*
 * store/store_sqlite_priv.h - what the files of the SQLite backend share.
 *
 * Thread: the loop's until store_start(), then the store's; see store_priv.h.
 */
#ifndef STORE_STORE_SQLITE_PRIV_H
#define STORE_STORE_SQLITE_PRIV_H

#include "base/log.h"
#include "base/map.h"
#include "store/store_priv.h"
#include "store/store_stmt.h"
#include "store/store_tail.h"

#define SQ_MAGIC 0x73716c31U
#define MEMBER_BYTES 16 /* of message.members */
#define FLOOR_BYTES 8	/* of message.floors */

/*
 * A channel that has a row.  Its messages are `stored` rows of member, all up
 * to `indexed`, then its tail; those up to `floor` are hidden, `over` of the
 * rows and the tail's front.
 */
struct chan {
	uint64_t number;
	uint64_t last_id;
	uint64_t last_cursor;
	uint64_t indexed;
	struct tail tail;
	uint32_t stored;
	uint64_t oldest_bucket; /* no row before it but gathered ones */
	uint64_t floor;		/* what is up to here is hidden: trimmed */
	uint32_t over;		/* hidden ones of `stored` */
	uint32_t change;	/* 1-based, in the group's changes */
	bool listed;		/* in a list of channels with a tail */
	bool trimmed;		/* in a list of channels with `over` */
	bool has_row;		/* false only while the log is loaded */
};

/* What a group does to a channel; the channel itself changes at the commit. */
struct change {
	struct chan *c;
	uint64_t last_id;
	uint64_t last_cursor;
	uint64_t indexed;
	uint32_t stored;
	uint64_t oldest_bucket;
	uint64_t floor;
	uint32_t over;
	uint32_t hidden;    /* entries at the tail's front up to floor */
	uint32_t added;	    /* entries written behind the tail */
	uint32_t taken;	    /* entries to go from its front */
	uint32_t collected; /* expired */
	bool made;	    /* the row is new */
	bool dropped;
	bool row; /* the row has to be written */
};

struct changes {
	struct change *at;
	size_t count, room;
};

/* A tail entry that expired: somewhere in the middle of its tail. */
struct removal {
	struct chan *c;
	uint64_t cursor;
};

struct removals {
	struct removal *at;
	size_t count, room;
};

struct numbers {
	uint64_t *at;
	size_t count, room;
};

/*
 * The log as a whole.  `loose` counts members of the message rows that are
 * not in state.published: [0] those of the index round that runs, that is
 * in (indexed, upto], [1] those beyond.  No round runs: upto == indexed.
 */
struct sq_state {
	uint64_t reserved;
	uint64_t indexed;
	uint64_t horizon; /* nothing expires later */
	uint64_t next_channel;
	uint64_t published;
	uint64_t upto;
	uint64_t loose[2];
	size_t round_at; /* next of `round` to be indexed */
};

/* What caps have hidden and no round of store_expire.c has seen yet. */
struct trims {
	struct numbers chans; /* those with `over` */
	struct numbers rows;  /* messages whose entry is gone */
};

/* A row of member to delete; see store_expire.c. */
struct expired {
	uint64_t bucket, channel, cursor;
};

struct expired_row {
	uint64_t row;
	bool young;   /* not indexed when it was gathered */
	bool trimmed; /* it stays while other channels have it */
};

struct sq_expiry {
	enum {
		EXPIRY_IDLE,
		EXPIRY_EARLY,	/* gathering those in the index, */
		EXPIRY_OLDEST,	/* and the log's beginning, */
		EXPIRY_TRIMMED, /* and what caps have hidden */
		EXPIRY_DELETE
	} phase;
	int64_t now_s;		     /* of the round */
	int64_t clean_s;	     /* nothing was left at that second */
	uint64_t published;	     /* at the last slice */
	uint64_t after_s, after_row; /* gathered up to here */
	struct numbers chans;	     /* with `over`; gathered are */
	size_t chans_at;	     /* those before this one, */
	uint64_t chan_after;	     /* and of this one so much */
	struct expired *items;
	size_t n_items, items_room, items_at;
	struct expired_row *rows;
	size_t n_rows, rows_room, rows_at;
};

/* Rows of the transaction that wait for others, in the order in which they
 * came: store_add.c. */
struct adds {
	struct added_message {
		const struct msg *msg; /* its operation's */
		uint64_t cursor;
		bool early, shared, trimmed;
		uint32_t n;
		unsigned char *members; /* n, then their n floors */
		size_t room;
	} messages[STMT_MANY];
	struct added_member {
		uint64_t bucket, channel, cursor, id, place;
	} members[STMT_MANY];
	int n_messages, n_members;
};

struct sq {
	uint32_t magic;
	sqlite3 *db;
	struct stmts st;
	char *path;
	int lock_fd;
	struct store_stats *stats;
	clock_wall_f *wall;
	void *wall_arg;
	struct log_limit log;
	enum store_sync sync;  /* as configured */
	enum store_sync level; /* SQLite's own, now: store_sync.c */
	bool unsynced;	       /* a commit is */
	int64_t sync_s;	       /* normal: of the last sync */
	int failed;	       /* ERR_FSYNC, ERR_CORRUPT: no more writes */
	bool loaded;

	struct map chans;	/* number -> chan */
	struct numbers tailed;	/* channels with a tail, in no order */
	struct numbers round;	/* those of the round, by number */
	struct numbers buckets; /* where each begins, ascending */
	uint64_t bucket_rows;	/* written to the newest by us */
	bool interrupted;	/* an earlier life's round may be */
	size_t tail_entries;
	uint64_t loose_bytes; /* of messages since the last round began */
	uint64_t names_sum;   /* while the log is loaded */
	uint64_t last;	      /* cursor; some may have failed */
	int64_t clock_s;      /* highest ever seen */
	int64_t append_s;     /* of the last append */

	/* the group */
	struct sq_state state; /* as committed */
	struct sq_state next;  /* with the group */
	struct changes changes;
	struct removals removals;
	uint64_t trimmed;
	struct trims trims;
	bool reserve; /* asked for */
	struct adds adds;

	/* upkeep */
	size_t upkeep_at;    /* whose turn it is */
	uint64_t indexed_at; /* loose[1] at the last index slice */
	int wal_pages;
	int page_size;
	int64_t checkpoint_s; /* of one that failed, else -1 */
	struct sq_expiry expiry;
	struct chan **dropped; /* their messages are to be purged */
	size_t n_dropped, dropped_room;
	size_t dropped_left; /* n_dropped after the last slice of purging */
	struct sq_backup *backup;
};

/* store_vfs.c: the name of the VFS, made ready; NULL: there is none.  For the
 * thread that opens the store. */
const char *sq_vfs(void);

/* store_sync.c: what the next commit, or checkpoint, waits for */
enum sq_work {
	SQ_GROUP,
	SQ_UPKEEP,
	SQ_CHECKPOINT
};
int sq_sync_for(struct sq *sq, enum sq_work work) MUST_CHECK;

/* store_sqlite.c: upkeep's transactions, and what they are made of */
int sq_upkeep_begin(struct sq *sq) MUST_CHECK;
int sq_upkeep_end(struct sq *sq, int err) MUST_CHECK;
int sq_error(struct sq *sq, int code, const char *doing);
/* The file is not what we wrote: said, and the end of this store. */
int sq_corrupt(struct sq *sq, const char *what) MUST_CHECK;
/* A message that is not what its sum says: said and counted. */
void sq_damaged(struct sq *sq, uint64_t cursor);
struct chan *sq_chan(const struct sq *sq, uint64_t number);
int sq_reserve_changes(struct sq *sq, size_t more) MUST_CHECK;
struct change *sq_change(struct sq *sq, struct chan *c); /* reserved before */
void sq_unloose(struct sq *sq, uint64_t row, uint64_t n);
int sq_delete_single(struct sq *sq, uint64_t row, bool *gone);

/* Grow an array of `size` items of *room so that n fit. */
int array_fit(void **at, size_t *room, size_t n, size_t size) MUST_CHECK;

/* store_bucket.c: where a cursor's row stands in member */
uint64_t bucket_of(const struct sq *sq, uint64_t cursor);
size_t bucket_index(const struct sq *sq, uint64_t time_s);
int buckets_load(struct sq *sq) MUST_CHECK;
int buckets_round(struct sq *sq) MUST_CHECK;

/* store_row.c: message.members, message.floors (NULL: none) and message.sum */
void row_put_floor(unsigned char *at, uint64_t floor);
uint64_t row_get_floor(const unsigned char *at);
void row_put_member(unsigned char *at, uint64_t channel, uint64_t id);
void row_get_member(const unsigned char *at, uint64_t *channel, uint64_t *id);
/* Of the member at that place of members. */
uint64_t row_cursor(uint64_t row, bool shared, size_t place);
uint32_t row_sum(uint64_t row, const struct msg *m, bool shared,
    const void *members, size_t len, const void *floors);
/* The message of the row that the statement stands on, whose columns begin as
 * those of STMT_MESSAGE_GET do; NULL there: it is damaged. */
int row_message(sqlite3_stmt *st, uint64_t row, struct msg **out) MUST_CHECK;
/* Do a row's members agree with what the index says of one? */
bool row_has_member(bool shared, struct slice members, uint64_t place,
    uint64_t channel, uint64_t id);

/* store_add.c: rows are added, the last of them by sq_add_rest() */
int sq_add_message(struct sq *sq, const struct store_append *a) MUST_CHECK;
int sq_add_member(struct sq *sq, const struct added_member *m) MUST_CHECK;
int sq_add_rest(struct sq *sq) MUST_CHECK;
void sq_add_forget(struct sq *sq); /* those that wait */
void sq_add_release(struct sq *sq);

/* store_load.c */
int sq_load(
    void *be, store_channel_f *each, void *arg, struct store_state *state);

/* store_read.c */
int sq_read(void *be, struct store_read *r, int64_t now_s);

/* store_expire.c */
void sq_expiry_init(struct sq_expiry *x);
void sq_expiry_release(struct sq_expiry *x);
int sq_trim_all(struct sq *sq) MUST_CHECK; /* the rest, at the end */

/* store_trim.c */
int sq_trim(
    struct sq *sq, struct change *ch, struct store_member *m) MUST_CHECK;
int sq_trim_loaded(struct sq *sq) MUST_CHECK;	 /* before channels are told */
uint64_t sq_trim_floor(const struct change *ch); /* as it is written */
int sq_trim_list(struct sq *sq, struct chan *c) MUST_CHECK;
int sq_trim_entry(struct sq *sq, const struct tail_entry *e) MUST_CHECK;

/* Upkeep, a slice at a call: > 0: something was done; 0: nothing is due. */
typedef int sq_upkeep_f(struct sq *sq, int64_t now_s, struct store_op **out);
sq_upkeep_f sq_sync;	   /* store_sync.c */
sq_upkeep_f sq_checkpoint; /* store_gc.c */
sq_upkeep_f sq_purge;
sq_upkeep_f sq_expire;	    /* store_expire.c */
sq_upkeep_f sq_index;	    /* store_index.c */
sq_upkeep_f sq_backup_step; /* store_backup.c */

/* store_index.c: the rest, at the end */
int sq_index_all(struct sq *sq);
void sq_index_visited(struct sq *sq, size_t from, size_t to);

/* store_backup.c */
int sq_backup_start(void *be, const char *path);
bool sq_backup_done(void *be, int *err);
void sq_backup_abort(struct sq *sq);

#endif
