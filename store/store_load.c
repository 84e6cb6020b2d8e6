/*
 * store/store_load.c - from the file to memory, once, at the start.
 *
 * First the log's end: what no index round has reached yet.  Then the
 * channels' rows, which say how far each channel is indexed already, since a
 * round that was interrupted may have been at it, and who exists at all: a
 * channel without a row was dropped, and its messages are nobody's.
 *
 * All that is read here is looked at: sums, numbers that cannot be, names that
 * their index has otherwise.  The rest of the file is looked at when it is
 * read, or by store_verify().
 */
#include "store/store_sqlite_priv.h"

#include <libdeflate.h>

static bool
cursor_possible(uint64_t cursor)
{
	return cursor_time(cursor) <= CURSOR_TIME_MAX;
}

static int
load_state(struct sq *sq)
{
	sqlite3_stmt *st = sq->st.at[STMT_STATE_GET];
	int code = sqlite3_step(st);

	if (code == SQLITE_ROW) {
		sq->state.reserved = stmt_u64(st, 0);
		sq->state.indexed = stmt_u64(st, 1);
		sq->state.upto = sq->state.indexed;
		sq->state.horizon = stmt_u64(st, 2);
		sq->state.next_channel = stmt_u64(st, 3);
		sq->state.published = stmt_u64(st, 4);
	}
	/* The row was made with the table. */
	code = stmt_end(st, code == SQLITE_DONE ? SQLITE_CORRUPT : code);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "read the state");
	return cursor_possible(sq->state.reserved) &&
		cursor_possible(sq->state.indexed) &&
		sq->state.next_channel != 0
	    ? 0
	    : sq_corrupt(sq, "the state's numbers cannot be");
}

static struct chan *
load_chan(struct sq *sq, uint64_t number)
{
	struct chan *c = map_get(&sq->chans, number);

	if (c != NULL)
		return c;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->number = number;
	if (map_put(&sq->chans, number, c) != 0) {
		free(c);
		return NULL;
	}
	return c;
}

/* One channel's share of a row that no round has reached. */
static int
load_member(struct sq *sq, uint64_t row, uint64_t cursor,
    const unsigned char *member, const unsigned char *floor)
{
	uint64_t number, id;
	struct chan *c;

	row_get_member(member, &number, &id);
	if (number == 0)
		return 0; /* damaged; nobody's */
	c = load_chan(sq, number);
	if (c == NULL || tail_reserve(&c->tail, 0, 1) != 0)
		return ERR_NOMEM;
	*tail_at(&c->tail, c->tail.count) =
	    (struct tail_entry){ cursor, id, (uint32_t)(cursor - row) };
	tail_grow(&c->tail, 1);
	if (floor != NULL)
		c->floor = MAX_OF(c->floor, row_get_floor(floor));
	return 0;
}

/* Whose it is and what it says has one sum: it is known to be whole, or
 * nothing of it is believed. */
static int
load_whole(struct sq *sq, sqlite3_stmt *st, uint64_t row, bool *whole)
{
	struct msg *m;
	int err = row_message(st, row, &m);

	*whole = m != NULL;
	if (err == 0 && m == NULL)
		sq_damaged(sq, row);
	msg_unref(&m);
	return err;
}

static int
load_row(struct sq *sq, sqlite3_stmt *st)
{
	uint64_t row = stmt_u64(st, 9);
	bool shared = stmt_u64(st, 2) != 0, whole;
	struct slice members = stmt_blob(st, 3), floors = stmt_blob(st, 8);
	uint32_t n = (uint32_t)(members.len / MEMBER_BYTES);
	int err = load_whole(sq, st, row, &whole);

	sq->state.loose[1] += n;
	if (!whole)
		return err;
	sq->state.horizon = MAX_OF(sq->state.horizon, stmt_u64(st, 0));
	for (uint32_t i = 0; i < n && err == 0; i++)
		err = load_member(sq, row, row_cursor(row, shared, i),
		    (const unsigned char *)members.ptr + i * MEMBER_BYTES,
		    floors.len != 0
			? (const unsigned char *)floors.ptr + i * FLOOR_BYTES
			: NULL);
	return err;
}

static int
load_tail(struct sq *sq)
{
	sqlite3_stmt *st = sq->st.at[STMT_MESSAGE_SCAN];
	int err = 0, code;

	STMT_BIND(st, sq->state.indexed);
	while ((code = sqlite3_step(st)) == SQLITE_ROW && err == 0)
		err = load_row(sq, st);
	code = stmt_end(st, code);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "read the log's end");
	return err;
}

/* The newest cursor of the log, whoever had it. */
static int
load_last(struct sq *sq)
{
	sqlite3_stmt *st = sq->st.at[STMT_MESSAGE_LAST];
	int code = sqlite3_step(st);

	if (code == SQLITE_ROW) {
		size_t n = stmt_blob(st, 1).len / MEMBER_BYTES;

		sq->last = row_cursor(
		    stmt_u64(st, 0), stmt_u64(st, 2) != 0, MAX_OF(n, 1) - 1);
	}
	code = stmt_end(st, code);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "read the log");
	sq->last = MAX_OF(sq->last, sq->state.reserved);
	return cursor_possible(sq->last)
	    ? 0
	    : sq_corrupt(sq, "its last message's cursor cannot be");
}

/* A channel's share of a sum that does not depend on the order. */
static uint64_t
name_sum(uint64_t number, struct slice name)
{
	uint64_t sum = libdeflate_crc32(0, name.ptr, name.len);

	return (sum << 32 | name.len) * (2 * number + 1);
}

/* A name that changed would give its messages to others. */
static int
load_names(struct sq *sq)
{
	sqlite3_stmt *st = sq->st.at[STMT_CHANNEL_NAMES];
	uint64_t sum = 0;
	int code;

	while ((code = sqlite3_step(st)) == SQLITE_ROW)
		sum += name_sum(stmt_u64(st, 0), stmt_blob(st, 1));
	code = stmt_end(st, code);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "read the channels' names");
	return sum == sq->names_sum
	    ? 0
	    : sq_corrupt(sq, "the channels and their names' index differ");
}

/* Of channels that an index round has seen; others' are in the log's end. */
static int
load_floors(struct sq *sq)
{
	sqlite3_stmt *st = sq->st.at[STMT_CHANNEL_FLOORS];
	int code;

	while ((code = sqlite3_step(st)) == SQLITE_ROW) {
		uint64_t number = stmt_u64(st, 0);
		struct chan *c = number != 0 ? load_chan(sq, number) : NULL;

		if (c == NULL) {
			(void)stmt_end(st, code);
			return number != 0
			    ? ERR_NOMEM
			    : sq_corrupt(sq, "a channel's number cannot be");
		}
		c->floor = MAX_OF(c->floor, stmt_u64(st, 1));
	}
	code = stmt_end(st, code);
	return code == SQLITE_OK ? 0 : sq_error(sq, code, "read the channels");
}

static int
load_channel(struct sq *sq, sqlite3_stmt *st, store_channel_f *each, void *arg)
{
	uint64_t number = stmt_u64(st, 0);
	const struct tail_entry *newest;
	struct store_channel told;
	struct chan *c;

	if (number == 0 || number >= sq->state.next_channel)
		return sq_corrupt(sq, "a channel's number cannot be");
	c = load_chan(sq, number);
	if (c == NULL)
		return ERR_NOMEM;
	sq->names_sum += name_sum(number, stmt_blob(st, 1));
	c->has_row = true;
	c->last_id = stmt_u64(st, 2);
	c->last_cursor = stmt_u64(st, 3);
	c->indexed = stmt_u64(st, 4);
	c->stored = (uint32_t)stmt_u64(st, 5);
	c->over = MIN_OF(c->over, c->stored);
	tail_shift(&c->tail, tail_after(&c->tail, c->indexed));
	if (c->tail.count != 0) {
		newest = tail_at(&c->tail, c->tail.count - 1);
		c->last_id = MAX_OF(c->last_id, newest->id);
		c->last_cursor = MAX_OF(c->last_cursor, newest->cursor);
	}
	sq->last = MAX_OF(sq->last, c->last_cursor);
	if (each == NULL)
		return 0;
	told.channel = c->number;
	told.name = stmt_blob(st, 1);
	told.last_id = c->last_id;
	told.last_cursor = c->last_cursor;
	told.stored = (uint64_t)c->stored - c->over + c->tail.count -
	    tail_after(&c->tail, c->floor);
	each(arg, &told);
	return 0;
}

static int
load_channels(struct sq *sq, store_channel_f *each, void *arg)
{
	sqlite3_stmt *st = sq->st.at[STMT_CHANNEL_ALL];
	int err = 0, code;

	while ((code = sqlite3_step(st)) == SQLITE_ROW && err == 0)
		err = load_channel(sq, st, each, arg);
	code = stmt_end(st, code);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "read the channels");
	return err;
}

static int
load_list(struct sq *sq, struct chan *c)
{
	void *tailed = sq->tailed.at, *dropped = sq->dropped;
	int err;

	if (c->has_row) {
		err = array_fit(&tailed, &sq->tailed.room, sq->tailed.count + 1,
		    sizeof(uint64_t));
		sq->tailed.at = tailed;
		if (err != 0)
			return err;
		sq->tailed.at[sq->tailed.count++] = c->number;
		sq->tail_entries += c->tail.count;
		c->listed = true;
		return 0;
	}
	err = array_fit(&dropped, &sq->dropped_room, sq->n_dropped + 1,
	    sizeof(*sq->dropped));
	sq->dropped = dropped;
	if (err == 0)
		sq->dropped[sq->n_dropped++] = c;
	return err;
}

/* List the channels with a tail; those without a row are to be purged.  And
 * those that are trimmed. */
static int
load_lists(struct sq *sq)
{
	struct chan *c;
	int err = 0;

	for (size_t at = 0;
	     err == 0 && (c = map_walk(&sq->chans, &at)) != NULL;) {
		if (c->tail.count != 0)
			err = load_list(sq, c);
		if (err == 0 && c->over != 0)
			err = sq_trim_list(sq, c);
	}
	for (size_t i = 0; i < sq->n_dropped; i++)
		(void)map_remove(&sq->chans, sq->dropped[i]->number);
	return err;
}

int
sq_load(void *be, store_channel_f *each, void *arg, struct store_state *state)
{
	struct sq *sq;
	int err;

	OBJ_CAST(sq, be, SQ_MAGIC);
	err = load_state(sq);
	if (err == 0)
		err = load_last(sq);
	if (err == 0)
		err = load_tail(sq);
	if (err == 0)
		err = buckets_load(sq);
	if (err == 0)
		err = load_floors(sq);
	if (err == 0)
		err = sq_trim_loaded(sq);
	if (err == 0)
		err = load_channels(sq, each, arg);
	if (err == 0)
		err = load_names(sq);
	if (err == 0)
		err = load_lists(sq);
	if (err != 0)
		return err;
	sq->state.published += sq->state.loose[1];
	/* What is old is no reason for a large slice. */
	sq->expiry.published = sq->state.published;
	sq->dropped_left = sq->n_dropped;
	sq->loaded = true;
	state->last = sq->last;
	state->reserved = sq->state.reserved;
	state->next_channel = sq->state.next_channel;
	state->published = sq->state.published;
	return 0;
}
