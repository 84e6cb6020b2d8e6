/*
 * store/store_trim.c - channels that have more messages than their cap.
 *
 * The oldest are hidden by the append that is one too many: chan.floor is the
 * newest cursor that nobody sees any more, and moves with the group's commit.
 * Deleting their rows can wait, and pays for waiting: one by one they touch a
 * page of member and one of message each, while a round of them, sorted, has
 * many on a page.  Rows of member go with the rounds of store_expire.c; an
 * entry that is still in the tail never gets one, and the index round that
 * comes by leaves its message to those rounds as well.
 *
 * The message that hides others has the floors in its own row, so that a kill
 * changes nothing; the channel's row has its floor as soon as an index round
 * has been there.
 */
#include "store/store_sqlite_priv.h"

#define TRIM_MAX 256	/* messages per append */
#define SEEKS_MAX 65536 /* then all of member is read instead */

/* The oldest row of member that is not hidden: its cursor. */
static int
oldest_member(struct sq *sq, struct change *ch, uint64_t *cursor)
{
	sqlite3_stmt *st = sq->st.at[STMT_MEMBER_NEXT];
	size_t i =
	    bucket_index(sq, MAX_OF(ch->oldest_bucket, cursor_time(ch->floor)));
	int code = SQLITE_DONE;

	for (; i < sq->buckets.count; i++) {
		STMT_BIND(st, sq->buckets.at[i], ch->c->number, ch->floor);
		code = sqlite3_step(st);
		if (code != SQLITE_DONE)
			break;
		(void)sqlite3_reset(st);
	}
	if (code == SQLITE_ROW)
		*cursor = stmt_u64(st, 0);
	/* That none is left though some are counted means a damaged file. */
	code = stmt_end(st, code == SQLITE_DONE ? SQLITE_CORRUPT : code);
	return code == SQLITE_OK ? 0 : sq_error(sq, code, "trim a channel");
}

/* Those of one channel, from the floor's bucket down. */
static int
count_hidden(struct sq *sq, struct chan *c)
{
	sqlite3_stmt *st = sq->st.at[STMT_MEMBER_DOWN];
	size_t n = bucket_index(sq, cursor_time(c->floor)) + 1;
	int code;

	for (n = MIN_OF(n, sq->buckets.count); n > 0; n--) {
		STMT_BIND(st, sq->buckets.at[n - 1], c->number, c->floor);
		while ((code = sqlite3_step(st)) == SQLITE_ROW)
			c->over++;
		code = stmt_end(st, code);
		if (code != SQLITE_OK)
			return sq_error(sq, code, "read a channel");
	}
	return 0;
}

/* Those of all, in one pass. */
static int
count_all_hidden(struct sq *sq)
{
	sqlite3_stmt *st = sq->st.at[STMT_MEMBER_ALL];
	int code;

	while ((code = sqlite3_step(st)) == SQLITE_ROW) {
		struct chan *c = sq_chan(sq, stmt_u64(st, 0));

		if (c != NULL)
			c->over += stmt_u64(st, 1) <= c->floor;
	}
	code = stmt_end(st, code);
	return code == SQLITE_OK ? 0 : sq_error(sq, code, "read the index");
}

/* The floors are known: how many rows of member do they hide? */
int
sq_trim_loaded(struct sq *sq)
{
	size_t n = 0;
	struct chan *c;
	int err = 0;

	for (size_t at = 0; (c = map_walk(&sq->chans, &at)) != NULL;)
		n += c->floor != 0;
	if (n * sq->buckets.count > SEEKS_MAX)
		return count_all_hidden(sq);
	for (size_t at = 0;
	     err == 0 && (c = map_walk(&sq->chans, &at)) != NULL;) {
		if (c->floor != 0)
			err = count_hidden(sq, c);
	}
	return err;
}

static uint32_t
kept(const struct change *ch)
{
	return ch->stored - ch->over + ch->c->tail.count + ch->added -
	    ch->hidden;
}

/* Hide what is too much, as far as one append may. */
int
sq_trim(struct sq *sq, struct change *ch, struct store_member *m)
{
	int err = 0;

	if (m->cap == 0)
		return 0;
	while (err == 0 && m->trimmed < TRIM_MAX && kept(ch) > m->cap) {
		if (ch->stored > ch->over) {
			err = oldest_member(sq, ch, &ch->floor);
			ch->over += err == 0;
		} else {
			ch->floor = tail_at(&ch->c->tail, ch->hidden++)->cursor;
		}
		m->trimmed++;
	}
	sq->trimmed += m->trimmed;
	return err;
}

/* A hidden entry leaves the tail: its message is for the next round. */
int
sq_trim_entry(struct sq *sq, const struct tail_entry *e)
{
	void *rows = sq->trims.rows.at;
	int err = array_fit(&rows, &sq->trims.rows.room,
	    sq->trims.rows.count + 1, sizeof(uint64_t));

	sq->trims.rows.at = rows;
	if (err == 0)
		sq->trims.rows.at[sq->trims.rows.count++] =
		    e->cursor - e->place;
	return err;
}

/* 0 when nothing is hidden: a start then need not count. */
uint64_t
sq_trim_floor(const struct change *ch)
{
	return ch->over != 0 || ch->hidden > ch->taken ? ch->floor : 0;
}

/* For the next round. */
int
sq_trim_list(struct sq *sq, struct chan *c)
{
	void *chans = sq->trims.chans.at;
	int err = array_fit(&chans, &sq->trims.chans.room,
	    sq->trims.chans.count + 1, sizeof(uint64_t));

	sq->trims.chans.at = chans;
	if (err != 0)
		return err;
	sq->trims.chans.at[sq->trims.chans.count++] = c->number;
	c->trimmed = true;
	return 0;
}
