/*
 * store/store_gc.c - forgetting dropped channels, and the WAL's pages.
 *
 * A dropped channel's messages are deleted in slices, of some thousand rows if
 * many channels were dropped at once, so a publish never waits long for it.
 * Pages that become free are used again by SQLite; the file does not shrink.
 *
 * A checkpoint copies the WAL's pages into the database, all of them: its
 * length is bounded by beginning early.  With one connection it always
 * finishes, and the next commit begins the WAL anew.
 */
#include "store/store_sqlite_priv.h"

#define PURGE_ROWS 256	/* of a visit, and of a slice at least */
#define PURGE_VISIT 16	/* rows' worth, besides those it deletes */
#define PURGE_MOST 4096 /* of a slice */
#define CHECKPOINT_BYTES (16 << 20)

int
sq_checkpoint(struct sq *sq, int64_t now_s, struct store_op **out)
{
	int err, code;

	(void)out;
	if (sq->wal_pages < CHECKPOINT_BYTES / sq->page_size ||
	    sq->checkpoint_s == now_s)
		return 0;
	err = sq_sync_for(sq, SQ_CHECKPOINT);
	if (err != 0)
		return err;
	code = sqlite3_wal_checkpoint_v2(
	    sq->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	if (code != SQLITE_OK) {
		/* Nothing is lost: the WAL has it all.  Not at every turn. */
		sq->checkpoint_s = now_s;
		return sq_error(sq, code, "checkpoint");
	}
	sq->checkpoint_s = -1;
	sq->wal_pages = 0;
	return 1;
}

/* --- dropped channels -------------------------------------------------- */

/* The next rows of member in a bucket. */
static int
purge_rows(struct sq *sq, const struct chan *c, uint64_t *cursors,
    uint64_t *rows, size_t room, size_t *n)
{
	sqlite3_stmt *st = sq->st.at[STMT_MEMBER_UP];
	int code = SQLITE_DONE;

	STMT_BIND(st, c->oldest_bucket, c->number, 0);
	for (*n = 0; *n < room && (code = sqlite3_step(st)) == SQLITE_ROW;
	     (*n)++) {
		cursors[*n] = stmt_u64(st, 0);
		rows[*n] = cursors[*n] - stmt_u64(st, 2);
	}
	code = stmt_end(st, code);
	return code == SQLITE_OK ? 0 : sq_error(sq, code, "purge a channel");
}

static int
purge_members(struct sq *sq, struct chan *c, size_t *n)
{
	sqlite3_stmt *st = sq->st.at[STMT_MEMBER_DELETE];
	uint64_t cursors[PURGE_ROWS], rows[PURGE_ROWS];
	size_t at = bucket_index(sq, c->oldest_bucket);
	bool gone;
	int err = 0, code;

	for (*n = 0; *n == 0 && err == 0 && at < sq->buckets.count; at++) {
		c->oldest_bucket = sq->buckets.at[at];
		err = purge_rows(sq, c, cursors, rows, PURGE_ROWS, n);
	}
	for (size_t i = 0; i < *n && err == 0; i++) {
		STMT_BIND(st, c->oldest_bucket, c->number, cursors[i]);
		code = stmt_run(st);
		if (code != SQLITE_OK)
			return sq_error(sq, code, "purge a channel");
		err = sq_delete_single(sq, rows[i], &gone);
	}
	return err;
}

static int
purge_tail(struct sq *sq, const struct chan *c, size_t *n)
{
	bool gone;
	int err = 0;

	*n = MIN_OF(c->tail.count, PURGE_ROWS);
	for (uint32_t i = 0; i < *n && err == 0; i++) {
		const struct tail_entry *e = tail_at(&c->tail, i);

		err = sq_delete_single(sq, e->cursor - e->place, &gone);
	}
	return err;
}

static void
purge_done(struct sq *sq, struct chan *c, size_t members, size_t entries)
{
	/* Some of them may have expired since the drop. */
	if (members == 0 || members > c->stored)
		c->stored = 0;
	else
		c->stored -= (uint32_t)members;
	tail_shift(&c->tail, (uint32_t)entries);
	if (c->stored == 0 && c->tail.count == 0) {
		sq->n_dropped--;
		free(c);
	}
}

/* Some rows of the channel that was dropped last. */
static int
purge_visit(struct sq *sq, size_t *rows)
{
	struct chan *c = sq->dropped[sq->n_dropped - 1];
	size_t members = 0, entries = 0;
	int err = sq_upkeep_begin(sq);

	if (err == 0 && c->stored != 0)
		err = purge_members(sq, c, &members);
	else if (err == 0)
		err = purge_tail(sq, c, &entries);
	err = sq_upkeep_end(sq, err);
	if (err == 0)
		purge_done(sq, c, members, entries);
	*rows = members + entries;
	return err;
}

int
sq_purge(struct sq *sq, int64_t now_s, struct store_op **out)
{
	/* One channel at a time would let the list grow as long as somebody
	 * makes channels and drops them. */
	size_t fresh = sq->n_dropped - sq->dropped_left;
	size_t room = MAX_OF(PURGE_ROWS, 4 * PURGE_VISIT * fresh);
	size_t done = 0, rows = 0;
	int err = 0;

	(void)out;
	(void)now_s;
	if (sq->n_dropped == 0)
		return 0;
	room = MIN_OF(room, PURGE_MOST);
	while (err == 0 && sq->n_dropped != 0 && done < room) {
		err = purge_visit(sq, &rows);
		done += PURGE_VISIT + rows;
	}
	sq->dropped_left = sq->n_dropped;
	return err != 0 ? err : 1;
}
