/*
 * tests/unit/fake_store.h - a store that does what a test tells it, when it
 * tells it: the symbols of store/store.h that push/ uses.
 *
 * Operations wait in the order of submission.  fake_transact() does the next
 * group of changes "on disk", fake_read() one read, and fake_dispatch() hands
 * the results to the hub, as the loop would.  A kill between any two of them
 * is fake_forget_work(): what is on disk stays, the rest is forgotten.
 */
#ifndef TESTS_UNIT_FAKE_STORE_H
#define TESTS_UNIT_FAKE_STORE_H

#include "push/hub_priv.h"

#define FAKE_ROWS 256
#define FAKE_LOG 512
#define FAKE_CHANNELS 64
#define FAKE_RESERVE 64 /* tags ahead of the newest message */

struct fake_row {
	uint64_t cursor;
	uint64_t channel;
	uint64_t id;
	struct msg *msg;
};

/* Every message that was ever committed, kept or not. */
struct fake_commit {
	uint64_t cursor;
	uint64_t channel;
	uint64_t id;
	bool keep;
	bool gone;     /* dropped or trimmed since */
	uint32_t seen; /* the test's: a bit for each reader */
};

struct fake_channel {
	uint64_t number;
	char name[48];
	size_t name_len;
	uint64_t last_id;
	uint64_t last_cursor;
};

struct fake_list {
	struct store_op *first, **end;
};

struct store {
	/* on disk; rows by cursor */
	struct fake_row rows[FAKE_ROWS];
	size_t n_rows;
	struct fake_channel channels[FAKE_CHANNELS];
	size_t n_channels;
	uint64_t last; /* newest cursor, kept or not */
	uint64_t reserved;
	uint64_t next_channel;
	uint64_t published;
	struct fake_commit log[FAKE_LOG];
	size_t n_log;

	/* in memory */
	struct fake_list changes; /* not committed yet */
	struct fake_list reads;
	struct fake_list done; /* not handed back yet */
	size_t n_changes, n_reads, n_done;
	size_t n_held;		/* operations since the last hand-over */
	size_t handed;		/* operations of the last hand-over */
	uint64_t told_reserved; /* what the loop knows */
	int64_t now_s;		/* the thread's clock */
	bool busy;		/* refuse appends: ERR_BUSY */
	store_done_f *done_f;
	void *done_arg;
};

struct store *fake_new(void);
void fake_free(struct store **sp);
void fake_forget_work(struct store *s);
/*
 * The next n changes are one transaction: all of them happen, or none.  Reads
 * that stood before them are served by fake_read(), perhaps afterwards.
 */
void fake_transact(struct store *s, size_t n, int err);
/* The oldest read is served, or fails. */
void fake_read(struct store *s, int err);
/* Hand over what is done, as store_dispatch() does. */
void fake_dispatch(struct store *s);
void fake_settle(struct store *s);
/* One message of this channel has expired and was collected. */
void fake_collect(struct store *s, uint64_t channel);
uint32_t fake_stored(const struct store *s, uint64_t channel);
/* A shared message is one for each of its channels. */
struct fake_commit *fake_log(
    struct store *s, uint64_t cursor, uint64_t channel);
void fake_list_add(struct fake_list *l, struct store_op *op);
struct store_op *fake_list_take(struct fake_list *l);

#endif
