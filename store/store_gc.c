/*
 * store/store_gc.c - forgetting: expired messages, dropped channels, and the
 * WAL's pages.
 *
 * Each slice is a transaction of a few hundred messages, so a publish never
 * waits long for it.  Pages that become free are used again by SQLite; the
 * file does not shrink.
 *
 * A checkpoint copies the WAL's pages into the database, all of them: its
 * length is bounded by beginning early.  With one connection it always
 * finishes, and the next commit begins the WAL anew.
 */
#include "store/store_sqlite_priv.h"

#define EXPIRE_SLICE	256		/* messages */
#define PURGE_SLICE	256
#define CHECKPOINT_BYTES (16 << 20)

int
sq_checkpoint(struct sq *sq, int64_t now_s, struct store_op **out)
{
	int code;

	(void)out;
	if (sq->wal_pages < CHECKPOINT_BYTES / sq->page_size ||
	    sq->checkpoint_s == now_s)
		return 0;
	code = sqlite3_wal_checkpoint_v2(sq->db, NULL,
	    SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	if (code != SQLITE_OK) {
		/* Nothing is lost: the WAL has it all.  Not at every turn. */
		sq->checkpoint_s = now_s;
		return sq_error(sq, code, "checkpoint");
	}
	sq->checkpoint_s = -1;
	sq->wal_pages = 0;
	return 1;
}

/* --- expiry ------------------------------------------------------------ */

static int
expire_member(struct sq *sq, uint64_t cursor, const unsigned char *member)
{
	sqlite3_stmt *st = sq->st.at[STMT_MEMBER_DELETE];
	uint64_t number, id;
	struct change *ch;
	struct chan *c;
	int code;

	row_get_member(member, &number, &id);
	c = sq_chan(sq, number);
	if (c != NULL && cursor > c->indexed) {
		struct removal *r = &sq->removals.at[sq->removals.count];
		uint32_t i = tail_after(&c->tail, cursor);

		if (i == 0 || tail_at(&c->tail, i - 1)->cursor != cursor)
			return 0;	/* trimmed */
		*r = (struct removal){ c, cursor };
		sq->removals.count++;
		sq_change(sq, c)->collected++;
		return 0;
	}
	STMT_BIND(st, cursor_bucket(cursor), number, cursor);
	code = stmt_run(st);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "expire a message");
	if (c == NULL || sqlite3_changes(sq->db) == 0)
		return 0;		/* dropped, or trimmed */
	ch = sq_change(sq, c);
	ch->stored--;
	ch->collected++;
	ch->row = true;
	return 0;
}

/* Its members, as a copy: the row is about to go. */
static int
expire_members(struct sq *sq, uint64_t row, uint32_t *n)
{
	sqlite3_stmt *st = sq->st.at[STMT_MESSAGE_HEAD];
	void *at = sq->members;
	size_t room = sq->members_room;
	struct slice members;
	int code, err = 0;

	STMT_BIND(st, row);
	code = sqlite3_step(st);
	*n = 0;
	if (code == SQLITE_ROW) {
		members = stmt_blob(st, 1);
		*n = (uint32_t)(members.len / MEMBER_BYTES);
		err = array_fit(&at, &room, *n, MEMBER_BYTES);
		sq->members = at;
		sq->members_room = (uint32_t)room;
		if (err == 0 && *n != 0)
			memcpy(at, members.ptr, *n * (size_t)MEMBER_BYTES);
	}
	code = stmt_end(st, code);
	return code != SQLITE_OK ? sq_error(sq, code, "expire a message") :
	    err;
}

static int
expire_message(struct sq *sq, uint64_t row)
{
	sqlite3_stmt *st = sq->st.at[STMT_MESSAGE_DELETE];
	void *removals = sq->removals.at;
	uint32_t n = 0;
	int code, err;

	err = expire_members(sq, row, &n);
	if (err == 0)
		err = sq_reserve_changes(sq, n);
	if (err == 0)
		err = array_fit(&removals, &sq->removals.room,
		    sq->removals.count + n, sizeof(struct removal));
	sq->removals.at = removals;
	for (uint32_t i = 0; i < n && err == 0; i++)
		err = expire_member(sq, row + i,
		    sq->members + i * MEMBER_BYTES);
	if (err != 0)
		return err;
	STMT_BIND(st, row);
	code = stmt_run(st);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "expire a message");
	sq_unloose(sq, row, n);
	return 0;
}

/* The rows of a slice, read before any of them is touched. */
static int
expired_rows(struct sq *sq, int64_t now_s, uint64_t *rows, size_t *n)
{
	sqlite3_stmt *st = sq->st.at[STMT_MESSAGE_EXPIRED];
	int code;

	STMT_BIND(st, (uint64_t)now_s, EXPIRE_SLICE);
	for (*n = 0; (code = sqlite3_step(st)) == SQLITE_ROW; (*n)++)
		rows[*n] = stmt_u64(st, 0);
	code = stmt_end(st, code);
	return code == SQLITE_OK ? 0 : sq_error(sq, code, "look for expired");
}

/* Tell how many went from which channel. */
static int
collected_op(const struct sq *sq, uint64_t *sum, struct store_op **out)
{
	struct store_collected *to;
	uint32_t n = 0;

	*sum = 0;
	for (size_t i = 0; i < sq->changes.count; i++)
		n += sq->changes.at[i].collected != 0;
	if (n == 0)
		return 0;
	*out = store_op_collected(n);
	if (*out == NULL)
		return ERR_NOMEM;
	to = &(*out)->u.collected;
	to->n = 0;
	for (size_t i = 0; i < sq->changes.count; i++) {
		const struct change *ch = &sq->changes.at[i];

		if (ch->collected == 0)
			continue;
		to->gone[to->n++] = (struct store_gone){
			ch->c->number, ch->collected
		};
		*sum += ch->collected;
	}
	return 0;
}

static int
expire_rows(struct sq *sq, int64_t now_s, const uint64_t *rows, size_t n,
    struct store_op **out)
{
	uint64_t reserved, sum = 0;
	int err = sq_begin(sq);

	for (size_t i = 0; i < n && err == 0; i++)
		err = expire_message(sq, rows[i]);
	if (err == 0)
		err = collected_op(sq, &sum, out);
	if (err == 0)
		err = sq_commit(sq, now_s, &reserved);
	if (err != 0) {
		sq_rollback(sq);
		store_op_free(out);
		return err;
	}
	sq->stats->collected += sum;
	return 0;
}

int
sq_expire(struct sq *sq, int64_t now_s, struct store_op **out)
{
	uint64_t rows[EXPIRE_SLICE];
	size_t n;
	int err;

	if (sq->expired_s == now_s)
		return 0;
	err = expired_rows(sq, now_s, rows, &n);
	if (err == 0 && n != 0)
		err = expire_rows(sq, now_s, rows, n, out);
	if (err != 0)
		return err;
	if (n < EXPIRE_SLICE)
		sq->expired_s = now_s;	/* nothing is due before it moves */
	return n != 0;
}

/* --- dropped channels -------------------------------------------------- */

/* The next rows of member in the channel's oldest bucket. */
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
	uint64_t cursors[PURGE_SLICE], rows[PURGE_SLICE];
	uint32_t last = cursor_bucket(c->indexed);
	bool gone;
	int err, code;

	err = sq_oldest_bucket(sq, &c->oldest_bucket);
	for (*n = 0; err == 0 && c->oldest_bucket <= last;
	    c->oldest_bucket++) {
		err = purge_rows(sq, c, cursors, rows, PURGE_SLICE, n);
		if (*n != 0)
			break;
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

	*n = MIN_OF(c->tail.count, PURGE_SLICE);
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

int
sq_purge(struct sq *sq, int64_t now_s, struct store_op **out)
{
	size_t members = 0, entries = 0;
	uint64_t reserved;
	struct chan *c;
	int err;

	(void)out;
	if (sq->n_dropped == 0)
		return 0;
	c = sq->dropped[sq->n_dropped - 1];
	err = sq_begin(sq);
	if (err == 0 && c->stored != 0)
		err = purge_members(sq, c, &members);
	else if (err == 0)
		err = purge_tail(sq, c, &entries);
	if (err == 0)
		err = sq_commit(sq, now_s, &reserved);
	if (err != 0) {
		sq_rollback(sq);
		return err;
	}
	purge_done(sq, c, members, entries);
	return 1;
}
