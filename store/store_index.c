/*
 * store/store_index.c - member and channel catch up with the log.
 *
 * Written with each append, the rows of 200,000 channels would touch a page
 * or two per message.  Instead a round takes all that has gathered in the
 * tails, sorts it by channel, and walks once through the pages: rows of one
 * page are written together, whoever they belong to.
 *
 * A round begins with upto = the last cursor and takes the list of channels
 * that have a tail.  Slices of it run between the groups, each a transaction
 * of its own; `channel.indexed` says how far each channel is, so a round may
 * be interrupted by a kill anywhere.  Its last slice moves state.indexed to
 * upto: the log before that point is never scanned again.
 */
#include "store/store_sqlite_priv.h"

#define ROUND_ENTRIES 131072	 /* begin a round at so many */
#define ROUND_BYTES (256u << 20) /* or at so much: a start reads it again */
#define ROUND_IDLE_S 2		 /* or when nothing came for so long */
#define SLICE_ENTRIES 512	 /* at least */

static int
compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool
round_runs(const struct sq *sq)
{
	return sq->state.upto != sq->state.indexed;
}

static bool
round_due(const struct sq *sq, int64_t now_s)
{
	/* Also without entries, when what was unindexed has gone since: so
	 * that the end of the log stays short. */
	if (sq->state.loose[1] == 0)
		return false;
	return sq->tail_entries >= ROUND_ENTRIES ||
	    sq->state.loose[1] >= 2 * ROUND_ENTRIES ||
	    sq->loose_bytes >= ROUND_BYTES || now_s < sq->append_s ||
	    now_s >= sq->append_s + ROUND_IDLE_S;
}

static int
round_begin(struct sq *sq)
{
	struct numbers empty = sq->round;
	int err = buckets_round(sq);

	if (err != 0)
		return err;
	empty.count = 0;
	sq->round = sq->tailed;
	sq->tailed = empty;
	if (sq->round.count != 0)
		qsort(sq->round.at, sq->round.count, sizeof(uint64_t),
		    compare_numbers);
	sq->loose_bytes = 0;
	sq->state.round_at = 0;
	sq->state.upto = sq->last;
	sq->state.loose[0] = sq->state.loose[1];
	sq->state.loose[1] = 0;
	return 0;
}

/* It is read no more: no row for it. */
static int
index_hidden(struct sq *sq, struct change *ch, const struct tail_entry *e)
{
	int err = sq_trim_entry(sq, e);

	if (err != 0)
		return err;
	ch->indexed = e->cursor;
	ch->row = true;
	ch->taken++;
	return 0;
}

static int
index_entry(struct sq *sq, struct change *ch, const struct tail_entry *e)
{
	uint64_t bucket = bucket_of(sq, e->cursor);
	int err = sq_add_member(sq,
	    &(struct added_member){
		bucket, ch->c->number, e->cursor, e->id, e->place });

	if (err != 0)
		return err;
	if (ch->stored++ == 0)
		ch->oldest_bucket = bucket;
	ch->indexed = e->cursor;
	ch->row = true;
	ch->taken++;
	sq->bucket_rows++;
	return 0;
}

/* Entries of one channel, at most *room of them.  1: it has more. */
static int
index_channel(struct sq *sq, uint64_t number, size_t *room)
{
	struct chan *c = sq_chan(sq, number);
	uint32_t n;
	struct change *ch;
	int err;

	if (c == NULL)
		return 0; /* dropped since */
	n = tail_after(&c->tail, sq->state.upto);
	if (n == 0)
		return 0;
	err = sq_reserve_changes(sq, 1);
	if (err != 0)
		return err;
	ch = sq_change(sq, c);
	while (ch->taken < n) {
		if (*room == 0)
			return 1;
		(*room)--;
		err = ch->taken < ch->hidden
		    ? index_hidden(sq, ch, tail_at(&c->tail, ch->taken))
		    : index_entry(sq, ch, tail_at(&c->tail, ch->taken));
		if (err != 0)
			return err;
	}
	return 0;
}

static int
index_slice(struct sq *sq)
{
	/* Twice what came since the last slice, or a round might never
	 * catch up with large groups. */
	uint64_t fresh =
	    sq->state.loose[1] - MIN_OF(sq->indexed_at, sq->state.loose[1]);
	size_t room = MAX_OF(SLICE_ENTRIES, 2 * fresh);

	sq->indexed_at = sq->state.loose[1];
	while (sq->next.round_at < sq->round.count) {
		int more =
		    index_channel(sq, sq->round.at[sq->next.round_at], &room);

		if (more != 0)
			return MIN_OF(more, 0);
		sq->next.round_at++;
	}
	sq->next.indexed = sq->next.upto;
	sq->next.loose[0] = 0;
	return 0;
}

/*
 * The round has passed these channels, and that is committed: who got
 * something new meanwhile is listed for the next.
 */
void
sq_index_visited(struct sq *sq, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		struct chan *c = sq_chan(sq, sq->round.at[i]);

		if (c == NULL)
			continue;
		c->listed = c->tail.count != 0;
		if (c->listed)
			sq->tailed.at[sq->tailed.count++] = c->number;
	}
}

static int
index_transact(struct sq *sq)
{
	size_t trimmed = sq->trims.rows.count;
	int err = sq_upkeep_begin(sq);

	if (err == 0)
		err = index_slice(sq);
	err = sq_upkeep_end(sq, err);
	if (err != 0) /* those entries are in their tails still */
		sq->trims.rows.count = trimmed;
	if (err == 0 && !round_runs(sq))
		sq->interrupted = false;
	return err;
}

int
sq_index(struct sq *sq, int64_t now_s, struct store_op **out)
{
	int err = 0;

	(void)out;
	if (!round_runs(sq)) {
		if (!round_due(sq, now_s))
			return 0;
		err = round_begin(sq);
	}
	if (err == 0)
		err = index_transact(sq);
	return err != 0 ? err : 1;
}

int
sq_index_all(struct sq *sq)
{
	int err = 0;

	while (err == 0 && (round_runs(sq) || sq->state.loose[1] != 0)) {
		if (!round_runs(sq))
			err = round_begin(sq);
		if (err == 0)
			err = index_transact(sq);
	}
	return err;
}
