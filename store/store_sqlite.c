/*
 * store/store_sqlite.c - groups of changes as SQLite transactions.
 *
 * An append writes one row, at the end of `message`, and nothing else: the
 * indexes over the log (member, channel) are written later, sorted by
 * channel, by store_index.c.  What they do not have yet is each channel's
 * tail, in memory.
 *
 * Memory follows the disk.  While a group runs, what it does to a channel is
 * kept in a `struct change`, to the log as a whole in sq->next; both take
 * effect after COMMIT said yes, and a rollback only forgets them.  Entries
 * for a tail are written behind its end, where nobody looks before the count
 * covers them.
 *
 * Cursors are not given twice even when a group fails: sq->last stays.
 *
 * A transaction in which a statement failed is rolled back as a whole, and
 * there are no savepoints: after ROLLBACK TO, SQLite 3.40's WAL may miss what
 * is committed then, if a kill comes; store_vfs.c relies on it as well.
 */
#include "store/store_sqlite_priv.h"

#include "store/store_file.h"

#define RESERVE_S 2	   /* ahead of the clock */
#define RESERVE_TAGS 65536 /* ahead of the last cursor */
#define FIRST_ROOM 64

int
array_fit(void **at, size_t *room, size_t n, size_t size)
{
	size_t want = MAX_OF(*room, (size_t)FIRST_ROOM);
	void *more;

	if (n <= *room)
		return 0;
	while (want < n)
		want *= 2;
	more = realloc(*at, want * size);
	if (more == NULL)
		return ERR_NOMEM;
	*at = more;
	*room = want;
	return 0;
}

int
sq_error(struct sq *sq, int code, const char *doing)
{
	int err = sqlite_err(code);

	if (err == ERR_FSYNC || err == ERR_CORRUPT)
		sq->failed = err;
	if (err != 0)
		log_limited(&sq->log, LOG_ERROR, "database %s: cannot %s: %s%s",
		    sq->path, doing, sqlite3_errmsg(sq->db),
		    err == ERR_CORRUPT ? "; " DAMAGE_ADVICE : "");
	return err;
}

int
sq_corrupt(struct sq *sq, const char *what)
{
	log_at(LOG_ERROR, "database %s: is damaged: %s; " DAMAGE_ADVICE,
	    sq->path, what);
	sq->failed = ERR_CORRUPT;
	return ERR_CORRUPT;
}

void
sq_damaged(struct sq *sq, uint64_t cursor)
{
	sq->stats->corrupt++;
	log_limited(&sq->log, LOG_ERROR,
	    "database %s: message %llu.%u is damaged and left out", sq->path,
	    (unsigned long long)cursor_time(cursor), cursor_tag(cursor));
}

struct chan *
sq_chan(const struct sq *sq, uint64_t number)
{
	return number != 0 ? map_get(&sq->chans, number) : NULL;
}

int
sq_reserve_changes(struct sq *sq, size_t more)
{
	void *at = sq->changes.at;
	int err = array_fit(&at, &sq->changes.room, sq->changes.count + more,
	    sizeof(struct change));

	sq->changes.at = at;
	return err;
}

/* The group's change of c: the one that is there, or a new one. */
struct change *
sq_change(struct sq *sq, struct chan *c)
{
	struct change *ch;

	if (c->change != 0)
		return &sq->changes.at[c->change - 1];
	assert(sq->changes.count < sq->changes.room);
	ch = &sq->changes.at[sq->changes.count++];
	*ch = (struct change){
		.c = c,
		.last_id = c->last_id,
		.last_cursor = c->last_cursor,
		.indexed = c->indexed,
		.stored = c->stored,
		.oldest_bucket = c->oldest_bucket,
		.floor = c->floor,
		.over = c->over,
		/* The tail begins after `indexed`: mostly it need not be
		 * looked at. */
		.hidden =
		    c->floor > c->indexed ? tail_after(&c->tail, c->floor) : 0,
	};
	c->change = (uint32_t)sq->changes.count;
	return ch;
}

/* A message row with n members is deleted: count it as published for good. */
void
sq_unloose(struct sq *sq, uint64_t row, uint64_t n)
{
	if (row > sq->next.upto)
		sq->next.loose[1] -= n;
	else if (row > sq->next.indexed)
		sq->next.loose[0] -= n;
}

/* Delete a message unless other channels have it too. */
int
sq_delete_single(struct sq *sq, uint64_t row, bool *gone)
{
	sqlite3_stmt *st = sq->st.at[STMT_MESSAGE_DELETE_SINGLE];
	int code;

	STMT_BIND(st, row);
	code = stmt_run(st);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "delete a message");
	*gone = sqlite3_changes(sq->db) == 1;
	if (*gone)
		sq_unloose(sq, row, 1);
	return 0;
}

static int
sq_begin_as(struct sq *sq, enum sq_work work)
{
	int err, code;

	if (sq->failed != 0)
		return ERR_IO;
	sq->next = sq->state;
	err = sq_sync_for(sq, work);
	if (err != 0)
		return err;
	code = stmt_run(sq->st.at[STMT_BEGIN]);
	return code == SQLITE_OK ? 0 : sq_error(sq, code, "begin");
}

static int
sq_begin(void *be)
{
	struct sq *sq;

	OBJ_CAST(sq, be, SQ_MAGIC);
	return sq_begin_as(sq, SQ_GROUP);
}

int
sq_upkeep_begin(struct sq *sq)
{
	return sq_begin_as(sq, SQ_UPKEEP);
}

/* --- appends ----------------------------------------------------------- */

static bool
chan_alive(const struct sq *sq, const struct chan *c)
{
	return c != NULL &&
	    (c->change == 0 || !sq->changes.at[c->change - 1].dropped);
}

static int
sq_drop_chan(struct sq *sq, struct chan *c)
{
	sqlite3_stmt *st = sq->st.at[STMT_CHANNEL_DELETE];
	int code;

	STMT_BIND(st, c->number);
	code = stmt_run(st);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "delete a channel");
	sq_change(sq, c)->dropped = true;
	return 0;
}

/* Who has the name now gives it up. */
static int
sq_free_name(struct sq *sq, struct slice name)
{
	sqlite3_stmt *st = sq->st.at[STMT_CHANNEL_BY_NAME];
	uint64_t number = 0;
	struct chan *c;
	int code;

	(void)sqlite3_bind_blob(st, 1, name.ptr, (int)name.len, SQLITE_STATIC);
	code = sqlite3_step(st);
	if (code == SQLITE_ROW)
		number = stmt_u64(st, 0);
	code = stmt_end(st, code);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "look for a channel");
	if (number == 0)
		return 0;
	c = sq_chan(sq, number);
	if (!chan_alive(sq, c))
		return sq_corrupt(sq, "a name leads to no channel");
	return sq_drop_chan(sq, c);
}

static int
sq_make_chan(struct sq *sq, const struct store_member *m)
{
	sqlite3_stmt *st = sq->st.at[STMT_CHANNEL_ADD];
	struct chan *c;
	int err, code;

	err = sq_free_name(sq, m->name);
	if (err != 0)
		return err;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return ERR_NOMEM;
	c->number = m->channel;
	c->has_row = true;
	err = map_put(&sq->chans, c->number, c);
	if (err != 0) {
		free(c);
		return err;
	}
	sq_change(sq, c)->made = true; /* a rollback takes it out again */
	STMT_BIND(st, c->number);
	(void)sqlite3_bind_blob(
	    st, 2, m->name.ptr, (int)m->name.len, SQLITE_STATIC);
	code = stmt_run(st);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "add a channel");
	sq->next.next_channel = MAX_OF(sq->next.next_channel, c->number + 1);
	return 0;
}

static bool
member_known(const struct sq *sq, const struct store_member *m)
{
	const struct chan *c = sq_chan(sq, m->channel);

	return c != NULL ? chan_alive(sq, c)
			 : m->channel != 0 && m->name.ptr != NULL;
}

/* Room for what an append changes, and the channels' rows. */
static int
sq_prepare(struct sq *sq, struct store_append *a)
{
	int err = sq_reserve_changes(sq, (size_t)a->n * 2);

	for (uint32_t i = 0; i < a->n && err == 0; i++) {
		const struct store_member *m = &a->members[i];

		if (sq_chan(sq, m->channel) == NULL)
			err = sq_make_chan(sq, m);
	}
	return err;
}

static int
sq_member(struct sq *sq, struct store_append *a, uint32_t i)
{
	struct store_member *m = &a->members[i];
	uint64_t cursor = store_append_cursor(a, i);
	uint32_t place = (uint32_t)(cursor - a->cursor);
	struct chan *c = sq_chan(sq, m->channel);
	struct change *ch = sq_change(sq, c);

	m->trimmed = 0;
	m->id = ++ch->last_id;
	ch->last_cursor = cursor;
	if (!a->keep) {
		ch->row = true;
		return 0;
	}
	/* One at a time: a publish to a thousand channels needs one entry in
	 * each of them. */
	if (tail_reserve(&c->tail, ch->added, 1) != 0)
		return ERR_NOMEM;
	*tail_at(&c->tail, c->tail.count + ch->added++) =
	    (struct tail_entry){ cursor, m->id, place };
	return sq_trim(sq, ch, m);
}

static int
sq_append(void *be, struct store_append *a, int64_t now_s)
{
	uint32_t cursors = store_append_cursors(a);
	struct sq *sq;
	int err;

	OBJ_CAST(sq, be, SQ_MAGIC);
	for (uint32_t i = 0; i < a->n; i++) {
		if (!member_known(sq, &a->members[i]))
			return ERR_NOTFOUND;
	}
	err = sq_prepare(sq, a);
	if (err != 0)
		return err;
	a->cursor =
	    cursor_next(MAX_OF(sq->last, a->floor), (uint64_t)now_s, cursors);
	sq->last = a->cursor + cursors - 1;
	sq->append_s = now_s;
	sq->next.published += a->n;
	for (uint32_t i = 0; i < a->n && err == 0; i++)
		err = sq_member(sq, a, i);
	if (err != 0 || !a->keep)
		return err;
	sq->next.loose[1] += a->n;
	return sq_add_message(sq, a);
}

static int
sq_drop(void *be, const struct store_drop *d)
{
	struct sq *sq;
	int err;

	OBJ_CAST(sq, be, SQ_MAGIC);
	err = sq_reserve_changes(sq, d->n);
	for (uint32_t i = 0; i < d->n && err == 0; i++) {
		struct chan *c = sq_chan(sq, d->channels[i]);

		if (chan_alive(sq, c))
			err = sq_drop_chan(sq, c);
	}
	return err;
}

static void
sq_reserve(void *be)
{
	struct sq *sq;

	OBJ_CAST(sq, be, SQ_MAGIC);
	sq->reserve = true;
}

/* --- commit ------------------------------------------------------------ */

/*
 * Every cursor of the group and the clock must stay below what is reserved;
 * it is renewed when half of it is used, so that few groups pay for it.
 * Where the clock is behind the last cursor (it was set back, or the process
 * was killed a moment ago) only tags are added, so that this distance does
 * not grow.
 */
static void
sq_renew_reservation(struct sq *sq, int64_t now_s)
{
	uint64_t ahead_s = sq->reserve ? RESERVE_S : RESERVE_S / 2;
	uint64_t clock = cursor_make((uint64_t)now_s + ahead_s, 0);
	uint64_t tags = sq->last + RESERVE_TAGS / 2;

	sq->clock_s = MAX_OF(sq->clock_s, now_s);
	if (sq->next.reserved >= MAX_OF(clock, tags))
		return;
	clock = cursor_make((uint64_t)now_s + RESERVE_S, 0);
	tags = sq->last + RESERVE_TAGS;
	sq->next.reserved = MAX_OF(sq->next.reserved, MAX_OF(clock, tags));
}

static uint64_t
state_published(const struct sq_state *s)
{
	return s->published - s->loose[0] - s->loose[1];
}

static int
sq_write_state(struct sq *sq)
{
	const struct sq_state *was = &sq->state, *next = &sq->next;
	sqlite3_stmt *st = sq->st.at[STMT_STATE_SET];
	int code;

	if (was->reserved == next->reserved && was->indexed == next->indexed &&
	    was->next_channel == next->next_channel &&
	    state_published(was) == state_published(next))
		return 0;
	STMT_BIND(st, next->reserved, next->indexed, next->horizon,
	    next->next_channel, state_published(next));
	code = stmt_run(st);
	return code == SQLITE_OK ? 0 : sq_error(sq, code, "write the state");
}

static int
sq_write_rows(struct sq *sq)
{
	sqlite3_stmt *st = sq->st.at[STMT_CHANNEL_SET];

	for (size_t i = 0; i < sq->changes.count; i++) {
		const struct change *ch = &sq->changes.at[i];
		int code;

		if (!ch->row || ch->dropped)
			continue;
		STMT_BIND(st, ch->last_id, ch->last_cursor, ch->indexed,
		    ch->stored, sq_trim_floor(ch), ch->c->number);
		code = stmt_run(st);
		if (code != SQLITE_OK)
			return sq_error(sq, code, "write a channel");
	}
	return 0;
}

/* Room for what sq_apply() will put into lists, where it must not fail. */
static int
sq_reserve_lists(struct sq *sq)
{
	size_t n = sq->changes.count;
	void *tailed = sq->tailed.at, *dropped = sq->dropped;
	void *over = sq->trims.chans.at;
	int err = array_fit(&tailed, &sq->tailed.room,
	    sq->tailed.count + n + sq->round.count, sizeof(uint64_t));

	sq->tailed.at = tailed;
	if (err == 0)
		err = array_fit(&over, &sq->trims.chans.room,
		    sq->trims.chans.count + n, sizeof(uint64_t));
	sq->trims.chans.at = over;
	if (err == 0)
		err = array_fit(&dropped, &sq->dropped_room, sq->n_dropped + n,
		    sizeof(*sq->dropped));
	sq->dropped = dropped;
	return err;
}

static void
sq_apply_change(struct sq *sq, const struct change *ch)
{
	struct chan *c = ch->c;

	c->change = 0;
	c->last_id = ch->last_id;
	c->last_cursor = ch->last_cursor;
	c->indexed = ch->indexed;
	c->stored = ch->stored;
	c->oldest_bucket = ch->oldest_bucket;
	c->floor = ch->floor;
	c->over = ch->over;
	tail_grow(&c->tail, ch->added);
	tail_shift(&c->tail, ch->taken);
	sq->tail_entries += ch->added;
	sq->tail_entries -= ch->taken;
	if (ch->dropped) {
		(void)map_remove(&sq->chans, c->number);
		sq->tail_entries -= c->tail.count;
		sq->dropped[sq->n_dropped++] = c;
		return;
	}
	if (c->tail.count != 0 && !c->listed) {
		sq->tailed.at[sq->tailed.count++] = c->number;
		c->listed = true;
	}
	if (c->over != 0 && !c->trimmed) {
		sq->trims.chans.at[sq->trims.chans.count++] = c->number;
		c->trimmed = true;
	}
}

static void
sq_apply(struct sq *sq)
{
	for (size_t i = 0; i < sq->removals.count; i++) {
		struct removal *r = &sq->removals.at[i];

		if (tail_remove(&r->c->tail, r->cursor))
			sq->tail_entries--;
	}
	for (size_t i = 0; i < sq->changes.count; i++)
		sq_apply_change(sq, &sq->changes.at[i]);
	sq_index_visited(sq, sq->state.round_at, sq->next.round_at);
	sq->stats->collected += sq->trimmed;
	sq->state = sq->next;
}

static void
sq_forget(struct sq *sq)
{
	sq->changes.count = 0;
	sq->removals.count = 0;
	sq->trimmed = 0;
	sq->reserve = false;
	sq_add_forget(sq);
}

static int
sq_commit_changes(struct sq *sq)
{
	int err, code;

	err = sq_add_rest(sq);
	if (err == 0)
		err = sq_write_rows(sq);
	if (err == 0)
		err = sq_write_state(sq);
	if (err == 0)
		err = sq_reserve_lists(sq);
	if (err != 0)
		return err;
	code = stmt_run(sq->st.at[STMT_COMMIT]);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "commit");
	sq->unsynced = true;
	sq_apply(sq);
	sq_forget(sq);
	return 0;
}

static int
sq_commit(void *be, int64_t now_s, uint64_t *reserved)
{
	struct sq *sq;
	int err;

	OBJ_CAST(sq, be, SQ_MAGIC);
	sq_renew_reservation(sq, now_s);
	err = sq_commit_changes(sq);
	*reserved = sq->state.reserved;
	return err;
}

static void
sq_rollback(void *be)
{
	struct sq *sq;
	int code;

	OBJ_CAST(sq, be, SQ_MAGIC);
	/* Some errors have rolled back already. */
	if (!sqlite3_get_autocommit(sq->db)) {
		code = stmt_run(sq->st.at[STMT_ROLLBACK]);
		if (code != SQLITE_OK)
			(void)sq_error(sq, code, "roll back");
	}
	for (size_t i = 0; i < sq->changes.count; i++) {
		struct change *ch = &sq->changes.at[i];

		ch->c->change = 0;
		if (!ch->made)
			continue;
		(void)map_remove(&sq->chans, ch->c->number);
		tail_release(&ch->c->tail);
		free(ch->c);
	}
	sq_forget(sq);
}

/* --- upkeep ------------------------------------------------------------ */

/* Commit if err is 0, else roll back; the reservation is the groups' only. */
int
sq_upkeep_end(struct sq *sq, int err)
{
	if (err == 0)
		err = sq_commit_changes(sq);
	if (err != 0)
		sq_rollback(sq);
	return err;
}

static int
sq_tidy(void *be, int64_t now_s, struct store_op **out)
{
	static sq_upkeep_f *const upkeep[] = {
		sq_sync,
		sq_checkpoint,
		sq_index,
		sq_expire,
		sq_purge,
		sq_backup_step,
	};
	struct sq *sq;
	int done = 0;

	OBJ_CAST(sq, be, SQ_MAGIC);
	/* In turn, so that none keeps the others waiting, even by failing. */
	for (size_t i = 0; i < COUNT_OF(upkeep) && done == 0; i++) {
		done = upkeep[sq->upkeep_at](sq, now_s, out);
		sq->upkeep_at = (sq->upkeep_at + 1) % COUNT_OF(upkeep);
	}
	return done;
}

const struct store_backend store_sqlite = {
	.name = "sqlite",
	.open = sq_open,
	.load = sq_load,
	.begin = sq_begin,
	.append = sq_append,
	.drop = sq_drop,
	.reserve = sq_reserve,
	.commit = sq_commit,
	.rollback = sq_rollback,
	.read = sq_read,
	.tidy = sq_tidy,
	.backup_start = sq_backup_start,
	.backup_done = sq_backup_done,
	.close = sq_close,
};
