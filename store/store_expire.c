/*
 * store/store_expire.c - messages whose time is over.
 *
 * Nobody sees them any more, so there is no hurry, and they go as the indexes
 * came: in rounds, sorted.  Deleted one by one, in the order of expiry, each
 * would touch a page of member and one of channel of its own.
 *
 * A round first gathers what has expired, then deletes the rows of member by
 * bucket and channel, then the messages by cursor; each in slices between the
 * groups.  What is younger than the last index round has no rows in member
 * yet, or just got them: such a message goes in one piece, with its entries in
 * the tails, so that memory and disk agree after a kill as well.
 *
 * What caps have hidden (store_trim.c) goes with the same rounds; it counts as
 * gone since it was hidden.
 *
 * What was gathered may have gone meanwhile: its channel was dropped, say.
 * That is nothing to a slice, which counts only what it deletes.  After a kill
 * a round is gathered anew, and finds some of its work done; a hidden message
 * whose row of member has gone already is not found again, and stays, for
 * nobody, until it expires.
 */
#include "store/store_sqlite_priv.h"

#define ROUND_MEMBERS 131072 /* at most */
#define SLICE_MEMBERS 128    /* at least */
#define GATHER_FACTOR 4	     /* reading is that much cheaper */

void
sq_expiry_init(struct sq_expiry *x)
{
	*x = (struct sq_expiry){ .clean_s = -1 };
}

void
sq_expiry_release(struct sq_expiry *x)
{
	free(x->items);
	free(x->rows);
	free(x->chans.at);
	sq_expiry_init(x);
}

/* --- gathering --------------------------------------------------------- */

/* Room for a row with n members. */
static int
gather_fit(struct sq_expiry *x, size_t n)
{
	void *items = x->items, *rows = x->rows;
	int err = array_fit(
	    &items, &x->items_room, x->n_items + n, sizeof(*x->items));

	x->items = items;
	if (err == 0)
		err = array_fit(
		    &rows, &x->rows_room, x->n_rows + 1, sizeof(*x->rows));
	x->rows = rows;
	return err;
}

/* The row the statement stands on: expires, cursor, members, shared. */
static int
gather_row(struct sq *sq, struct sq_expiry *x, sqlite3_stmt *st)
{
	uint64_t row = stmt_u64(st, 1);
	struct slice members = stmt_blob(st, 2);
	bool shared = stmt_u64(st, 3) != 0;
	bool young = row > sq->state.indexed;
	size_t n = young ? 0 : members.len / MEMBER_BYTES;
	int err = gather_fit(x, n);

	if (err != 0)
		return err;
	for (size_t i = 0; i < n; i++) {
		struct expired *it = &x->items[x->n_items++];
		uint64_t id;

		row_get_member(
		    (const unsigned char *)members.ptr + i * MEMBER_BYTES,
		    &it->channel, &id);
		it->cursor = row_cursor(row, shared, i);
		it->bucket = bucket_of(sq, it->cursor);
	}
	x->rows[x->n_rows++] = (struct expired_row){ row, young, false };
	return 0;
}

static int
compare_expired(const void *a, const void *b)
{
	const struct expired *x = a, *y = b;

	if (x->bucket != y->bucket)
		return x->bucket < y->bucket ? -1 : 1;
	if (x->channel != y->channel)
		return x->channel < y->channel ? -1 : 1;
	return x->cursor < y->cursor ? -1 : x->cursor > y->cursor;
}

static int
compare_rows(const void *a, const void *b)
{
	const struct expired_row *x = a, *y = b;

	return x->row < y->row ? -1 : x->row > y->row;
}

/* Those that expire before others that came before them. */
static int
gather_early(struct sq *sq, struct sq_expiry *x, size_t room)
{
	sqlite3_stmt *st = sq->st.at[STMT_MESSAGE_EARLY];
	size_t n = 0;
	int err = 0, code;

	STMT_BIND(st, (uint64_t)x->now_s, x->after_s, x->after_row, room);
	while (err == 0 && (code = sqlite3_step(st)) == SQLITE_ROW) {
		x->after_s = stmt_u64(st, 0);
		x->after_row = stmt_u64(st, 1);
		err = gather_row(sq, x, st);
		n++;
	}
	code = stmt_end(st, err == 0 ? code : SQLITE_DONE);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "look for expired messages");
	if (n < room) {
		x->phase = EXPIRY_OLDEST;
		x->after_row = 0;
	}
	return err;
}

/*
 * The log from its beginning, up to the first that lives.  What comes behind
 * that one lives too, or is early: of a later one that expires before it
 * `early` is true.
 */
static int
gather_oldest(struct sq *sq, struct sq_expiry *x, size_t room)
{
	sqlite3_stmt *st = sq->st.at[STMT_MESSAGE_OLDEST];
	bool lives = false;
	size_t n = 0;
	int err = 0, code = SQLITE_DONE;

	STMT_BIND(st, x->after_row, room);
	while (err == 0 && !lives && (code = sqlite3_step(st)) == SQLITE_ROW) {
		x->after_row = stmt_u64(st, 1);
		lives = stmt_u64(st, 0) > (uint64_t)x->now_s;
		if (!lives && stmt_u64(st, 4) == 0)
			err = gather_row(sq, x, st);
		n++;
	}
	code = stmt_end(st, err == 0 && !lives ? code : SQLITE_DONE);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "look for expired messages");
	if (n < room || lives)
		x->phase = EXPIRY_TRIMMED;
	return err;
}

/* The row of member the statement stands on: cursor, id, place. */
static int
gather_member(
    struct sq_expiry *x, uint64_t bucket, uint64_t channel, sqlite3_stmt *st)
{
	uint64_t cursor = stmt_u64(st, 0);
	uint64_t row = cursor - stmt_u64(st, 2);
	int err = gather_fit(x, 1);

	if (err != 0)
		return err;
	x->items[x->n_items++] = (struct expired){ bucket, channel, cursor };
	x->rows[x->n_rows++] = (struct expired_row){ row, false, true };
	x->chan_after = cursor;
	return 0;
}

/* What is hidden in a channel: as much as there is room for. */
static int
gather_hidden(
    struct sq *sq, struct sq_expiry *x, const struct chan *c, size_t *room)
{
	sqlite3_stmt *st = sq->st.at[STMT_MEMBER_UP];
	size_t i = bucket_index(sq, c->oldest_bucket);
	size_t end = bucket_index(sq, cursor_time(c->floor)) + 1;
	bool hidden = true;
	int err = 0, code;

	for (end = MIN_OF(end, sq->buckets.count); err == 0 && i < end; i++) {
		STMT_BIND(st, sq->buckets.at[i], c->number, x->chan_after);
		code = SQLITE_DONE;
		while (err == 0 && hidden && *room != 0 &&
		    (code = sqlite3_step(st)) == SQLITE_ROW) {
			hidden = stmt_u64(st, 0) <= c->floor;
			if (!hidden)
				break;
			err =
			    gather_member(x, sq->buckets.at[i], c->number, st);
			--*room;
		}
		code = stmt_end(st, code);
		if (code != SQLITE_OK)
			return sq_error(sq, code, "look for trimmed messages");
	}
	return err;
}

/* The lists that have come together since the last round. */
static int
gather_lists(struct sq *sq, struct sq_expiry *x)
{
	struct numbers done = x->chans;
	int err = 0;

	while (err == 0 && sq->trims.rows.count != 0) {
		err = gather_fit(x, 0);
		if (err == 0)
			x->rows[x->n_rows++] = (struct expired_row){
				sq->trims.rows.at[--sq->trims.rows.count],
				false, true
			};
	}
	if (err != 0 || x->chans_at < x->chans.count)
		return err;
	done.count = 0;
	x->chans = sq->trims.chans;
	x->chans_at = 0;
	sq->trims.chans = done;
	return 0;
}

static int
gather_trimmed(struct sq *sq, struct sq_expiry *x, size_t room)
{
	int err = gather_lists(sq, x);

	while (err == 0 && room != 0 && x->chans_at < x->chans.count) {
		struct chan *c = sq_chan(sq, x->chans.at[x->chans_at]);

		if (c != NULL)
			err = gather_hidden(sq, x, c, &room);
		if (err != 0 || room == 0)
			break; /* perhaps it has more */
		if (c != NULL) {
			c->trimmed = false;
			c->oldest_bucket = bucket_of(sq, c->floor);
		}
		x->chans_at++;
		x->chan_after = 0;
		room--;
	}
	if (err == 0 && x->chans_at == x->chans.count) {
		x->clean_s = x->now_s;
		x->phase = EXPIRY_DELETE;
	}
	return err;
}

static int
gather_slice(struct sq *sq, struct sq_expiry *x, size_t room)
{
	int err;

	if (x->phase == EXPIRY_EARLY)
		err = gather_early(sq, x, room);
	else if (x->phase == EXPIRY_OLDEST)
		err = gather_oldest(sq, x, room);
	else
		err = gather_trimmed(sq, x, room);
	if (err != 0)
		return err;
	if (x->phase != EXPIRY_DELETE && x->n_items + x->n_rows < ROUND_MEMBERS)
		return 1;
	if (x->n_rows == 0) {
		x->phase = EXPIRY_IDLE;
		return 0;
	}
	if (x->n_items != 0)
		qsort(x->items, x->n_items, sizeof(*x->items), compare_expired);
	qsort(x->rows, x->n_rows, sizeof(*x->rows), compare_rows);
	x->items_at = x->rows_at = 0;
	x->phase = EXPIRY_DELETE;
	return 1;
}

/* --- deleting ---------------------------------------------------------- */

static int
expire_from_tail(struct sq *sq, struct chan *c, uint64_t cursor)
{
	uint32_t i = tail_after(&c->tail, cursor);
	void *removals = sq->removals.at;
	struct change *ch;
	int err;

	if (i == 0 || tail_at(&c->tail, i - 1)->cursor != cursor)
		return 0; /* it was removed before */
	err = array_fit(&removals, &sq->removals.room, sq->removals.count + 1,
	    sizeof(struct removal));
	sq->removals.at = removals;
	if (err != 0)
		return err;
	sq->removals.at[sq->removals.count++] = (struct removal){ c, cursor };
	ch = sq_change(sq, c);
	ch->collected += cursor > c->floor;
	/* The message that told the channel's last id goes: its row has to
	 * tell it from here on. */
	ch->row = true;
	return 0;
}

static int
expire_member(struct sq *sq, uint64_t channel, uint64_t cursor)
{
	sqlite3_stmt *st = sq->st.at[STMT_MEMBER_DELETE];
	struct chan *c = sq_chan(sq, channel);
	struct change *ch;
	int err, code;

	err = sq_reserve_changes(sq, 1);
	if (err != 0)
		return err;
	if (c != NULL && cursor > c->indexed)
		return expire_from_tail(sq, c, cursor);
	STMT_BIND(st, bucket_of(sq, cursor), channel, cursor);
	code = stmt_run(st);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "expire a message");
	if (c == NULL || sqlite3_changes(sq->db) == 0)
		return 0;
	ch = sq_change(sq, c);
	if (ch->stored == 0)
		return sq_corrupt(sq, "a channel keeps more than it says");
	ch->stored--;
	ch->over -= cursor <= c->floor;
	ch->collected += cursor > c->floor;
	ch->row = true;
	return 0;
}

/* The members of a young message, whose row still says who they are. */
static int
expire_young(struct sq *sq, uint64_t row)
{
	sqlite3_stmt *st = sq->st.at[STMT_MESSAGE_HEAD];
	struct slice members;
	bool shared;
	int err = 0, code;

	STMT_BIND(st, row);
	code = sqlite3_step(st);
	if (code == SQLITE_ROW) {
		members = stmt_blob(st, 1);
		shared = stmt_u64(st, 3) != 0;
		for (size_t i = 0; err == 0 && i < members.len / MEMBER_BYTES;
		     i++) {
			uint64_t channel, id;

			row_get_member((const unsigned char *)members.ptr +
				i * MEMBER_BYTES,
			    &channel, &id);
			err = expire_member(
			    sq, channel, row_cursor(row, shared, i));
		}
		sq_unloose(sq, row, members.len / MEMBER_BYTES);
	}
	code = stmt_end(st, code);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "expire a message");
	return err;
}

static int
expire_row(struct sq *sq, const struct expired_row *r)
{
	sqlite3_stmt *st = sq->st.at[STMT_MESSAGE_DELETE];
	int err, code;
	bool gone;

	if (r->young) {
		err = expire_young(sq, r->row);
		if (err != 0)
			return err;
	}
	if (r->trimmed)
		return sq_delete_single(sq, r->row, &gone);
	STMT_BIND(st, r->row);
	code = stmt_run(st);
	return code == SQLITE_OK ? 0 : sq_error(sq, code, "expire a message");
}

/* Tell how many went from which channel. */
static int
collected_op(const struct sq *sq, uint64_t *sum, struct store_op **out)
{
	struct store_collected *to;
	uint32_t n = 0;

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
		to->gone[to->n++] =
		    (struct store_gone){ ch->c->number, ch->collected };
		*sum += ch->collected;
	}
	return 0;
}

static int
expire_slice(
    struct sq *sq, struct sq_expiry *x, size_t room, struct store_op **out)
{
	size_t items_end = MIN_OF(x->items_at + room, x->n_items);
	size_t rows_end = x->rows_at;
	uint64_t sum = 0;
	int err = sq_upkeep_begin(sq);

	for (size_t i = x->items_at; i < items_end && err == 0; i++)
		err =
		    expire_member(sq, x->items[i].channel, x->items[i].cursor);
	if (x->items_at == x->n_items) /* the rows' turn */
		rows_end = MIN_OF(x->rows_at + room, x->n_rows);
	for (size_t i = x->rows_at; i < rows_end && err == 0; i++)
		err = expire_row(sq, &x->rows[i]);
	if (err == 0)
		err = collected_op(sq, &sum, out);
	err = sq_upkeep_end(sq, err);
	if (err != 0) {
		store_op_free(out);
		return err;
	}
	sq->stats->collected += sum;
	x->items_at = items_end;
	x->rows_at = rows_end;
	if (rows_end == x->n_rows)
		x->phase = EXPIRY_IDLE;
	return 1;
}

static int
round_slice(
    struct sq *sq, struct sq_expiry *x, size_t room, struct store_op **out)
{
	if (x->phase != EXPIRY_DELETE)
		return gather_slice(sq, x, room * GATHER_FACTOR);
	return expire_slice(sq, x, room, out);
}

static bool
trim_due(const struct sq *sq)
{
	return sq->trims.chans.count != 0 || sq->trims.rows.count != 0 ||
	    sq->expiry.chans_at < sq->expiry.chans.count;
}

int
sq_trim_all(struct sq *sq)
{
	struct sq_expiry *x = &sq->expiry;
	int done = 0;

	while (done >= 0) {
		struct store_op *out = NULL;

		if (x->phase == EXPIRY_IDLE) {
			if (!trim_due(sq))
				return 0;
			x->phase = EXPIRY_TRIMMED;
			x->n_items = x->n_rows = 0;
		}
		done = round_slice(sq, x, ROUND_MEMBERS, &out);
		store_op_free(&out);
	}
	return done;
}

int
sq_expire(struct sq *sq, int64_t now_s, struct store_op **out)
{
	struct sq_expiry *x = &sq->expiry;
	size_t room;

	if (x->phase == EXPIRY_IDLE) {
		if (x->clean_s == now_s)
			return 0;
		x->phase = EXPIRY_EARLY;
		x->now_s = now_s;
		x->after_s = x->after_row = 0;
		x->n_items = x->n_rows = 0;
	}
	/* Each message is deleted in two steps: with less than this the log
	 * would grow forever under large groups. */
	room = MAX_OF(SLICE_MEMBERS, 4 * (sq->state.published - x->published));
	x->published = sq->state.published;
	return round_slice(sq, x, room, out);
}
