/*
 * store/store_read.c - reading back what channels keep.
 *
 * Whatever a want asks for (a position, an event id, the newest few) is first
 * turned into a cursor to start after.  Then all wants are alike: the next
 * cursors of each are gathered, sorted as one queue, and their messages
 * taken in that order until the slice is full.  So a slice that is cut is
 * complete up to the cut for every channel.  A shared message comes once for
 * each of its channels that are wanted, one behind the other, and is taken for
 * the first.
 *
 * What is gathered is bounded, and some of it may have expired: where a want
 * had more than was gathered, the queue counts as known only up to there,
 * and if nothing was found the next piece is gathered.
 */
#include "store/store_sqlite_priv.h"

#define VISITS_MAX 65536 /* messages looked at to find a start */
#define GATHER_WANTS 16	 /* so many wants are gathered in full */

struct candidate {
	uint64_t cursor;
	uint64_t id;
	uint32_t place;
	uint32_t want;
};

struct reading {
	struct sq *sq;
	struct store_read *r;
	int64_t now_s;
	uint32_t visits; /* left, to find where wants start */
	uint64_t *from;	 /* per want: what is known already */
	struct candidate *at;
	size_t count, room;
	uint64_t known; /* candidates are all there up to it */
	size_t found_room;
	size_t bytes;
};

/* One message's place was come upon: 0: go on, 1: enough, or ERR_*. */
typedef int visit_f(void *arg, const struct tail_entry *e);

/*
 * Visit what c keeps in (after, upto], oldest first.  Returns what the last
 * visit did.
 */
static int
walk_up(struct sq *sq, const struct chan *c, uint64_t after, uint64_t upto,
    visit_f *visit, void *arg)
{
	sqlite3_stmt *st = sq->st.at[STMT_MEMBER_UP];
	uint64_t last = cursor_time(MIN_OF(c->indexed, upto));
	struct tail_entry e;
	int did = 0, code;
	size_t i;

	after = MAX_OF(after, c->floor);
	i = bucket_index(sq, MAX_OF(c->oldest_bucket, cursor_time(after)));
	for (; c->stored > c->over && did == 0 && i < sq->buckets.count &&
	     sq->buckets.at[i] <= last;
	     i++) {
		STMT_BIND(st, sq->buckets.at[i], c->number, after);
		while (did == 0 && (code = sqlite3_step(st)) == SQLITE_ROW) {
			e.cursor = stmt_u64(st, 0);
			e.id = stmt_u64(st, 1);
			e.place = (uint32_t)stmt_u64(st, 2);
			did = e.cursor > upto ? 1 : visit(arg, &e);
		}
		code = stmt_end(st, did == 0 ? code : SQLITE_DONE);
		if (code != SQLITE_OK)
			return sq_error(sq, code, "read a channel");
	}
	for (uint32_t k = tail_after(&c->tail, after); did == 0 &&
	     k < c->tail.count && tail_at(&c->tail, k)->cursor <= upto;
	     k++)
		did = visit(arg, tail_at(&c->tail, k));
	return did;
}

/* The same down to the beginning, newest first. */
static int
walk_down(struct sq *sq, const struct chan *c, uint64_t upto, visit_f *visit,
    void *arg)
{
	sqlite3_stmt *st = sq->st.at[STMT_MEMBER_DOWN];
	size_t n = bucket_index(sq, cursor_time(upto)) + 1;
	uint32_t hidden = tail_after(&c->tail, c->floor);
	uint32_t left = c->stored - c->over;
	struct tail_entry e;
	int did = 0, code;

	for (uint32_t k = tail_after(&c->tail, upto); did == 0 && k > hidden;
	     k--)
		did = visit(arg, tail_at(&c->tail, k - 1));
	for (n = MIN_OF(n, sq->buckets.count); left != 0 && did == 0 && n > 0;
	     n--) {
		STMT_BIND(st, sq->buckets.at[n - 1], c->number, upto);
		while (did == 0 && (code = sqlite3_step(st)) == SQLITE_ROW) {
			e.cursor = stmt_u64(st, 0);
			e.id = stmt_u64(st, 1);
			e.place = (uint32_t)stmt_u64(st, 2);
			if (e.cursor <= c->floor) {
				left = 0;
				break;
			}
			left -= left != 0;
			did = visit(arg, &e);
		}
		code = stmt_end(st, did == 0 ? code : SQLITE_DONE);
		if (code != SQLITE_OK)
			return sq_error(sq, code, "read a channel");
	}
	return did;
}

/* --- where a want starts ----------------------------------------------- */

struct start {
	struct sq *sq;
	uint32_t *visits; /* left for the whole read */
	int64_t now_s;
	const struct store_want *want;
	uint32_t left;	/* of the newest `last` */
	uint64_t after; /* the answer */
};

/* Is it kept still?  And, if asked, does its event id match? */
static int
message_head(
    struct start *s, const struct tail_entry *e, bool *alive, bool *matches)
{
	sqlite3_stmt *st = s->sq->st.at[STMT_MESSAGE_HEAD];
	const struct slice *want = &s->want->event_id;
	struct slice id;
	int code;

	*alive = *matches = false;
	STMT_BIND(st, e->cursor - e->place);
	code = sqlite3_step(st);
	if (code == SQLITE_ROW) {
		*alive = sqlite3_column_int64(st, 0) > s->now_s;
		id = stmt_blob(st, 2);
		*matches = *alive &&
		    sqlite3_column_type(st, 2) != SQLITE_NULL &&
		    id.len == want->len &&
		    memcmp(id.ptr, want->ptr, id.len) == 0;
	}
	code = stmt_end(st, code);
	return code == SQLITE_OK ? 0 : sq_error(s->sq, code, "read a message");
}

/* What is asked for is too much work: begin with what is known so far. */
static int
start_enough(struct start *s)
{
	*s->visits = 0;
	return 1;
}

static int
start_visit_newest(void *arg, const struct tail_entry *e)
{
	struct start *s = arg;
	bool alive, matches;
	int err;

	if ((*s->visits)-- == 0)
		return start_enough(s);
	err = message_head(s, e, &alive, &matches);
	if (err != 0 || !alive)
		return err;
	s->after = e->cursor - 1;
	return --s->left == 0;
}

static int
start_visit_event(void *arg, const struct tail_entry *e)
{
	struct start *s = arg;
	bool alive, matches;
	int err;

	if ((*s->visits)-- == 0)
		return start_enough(s);
	err = message_head(s, e, &alive, &matches);
	if (err != 0 || !matches)
		return err;
	s->after = e->cursor;
	return 1;
}

/* The cursor after which want i begins; upto: it gets nothing. */
static int
want_start(struct reading *rd, uint32_t i, const struct chan *c)
{
	struct store_want *w = &rd->r->wants[i];
	struct start s = { rd->sq, &rd->visits, rd->now_s, w, w->last,
		rd->r->upto };
	int did = 0;

	if (c == NULL) {
		did = 0; /* it keeps nothing */
	} else if (w->last != 0) {
		did = walk_down(rd->sq, c, rd->r->upto, start_visit_newest, &s);
	} else if (w->by_event_id) {
		/* The position is met first where the event id is not found
		 * before it. */
		if (w->by_position)
			s.after = MIN_OF(w->after, rd->r->upto);
		did = walk_up(rd->sq, c, 0, s.after, start_visit_event, &s);
	} else if (w->by_position) {
		s.after = w->after;
	}
	rd->from[i] = w->begin = s.after;
	return MIN_OF(did, 0);
}

/* --- gathering --------------------------------------------------------- */

struct gather {
	struct reading *rd;
	uint32_t want;
	uint32_t left;
};

static int
gather_visit(void *arg, const struct tail_entry *e)
{
	struct gather *g = arg;
	struct reading *rd = g->rd;
	void *at = rd->at;
	int err =
	    array_fit(&at, &rd->room, rd->count + 1, sizeof(struct candidate));

	rd->at = at;
	if (err != 0)
		return err;
	rd->at[rd->count++] =
	    (struct candidate){ e->cursor, e->id, e->place, g->want };
	if (--g->left != 0)
		return 0;
	rd->known = MIN_OF(rd->known, e->cursor);
	return 1;
}

static int
compare_cursors(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->cursor != y->cursor)
		return x->cursor < y->cursor ? -1 : 1;
	return x->want < y->want ? -1 : x->want > y->want;
}

/* Candidates of one want: the more wants, the fewer, so that a read of a
 * thousand channels costs what one of a few does. */
static uint32_t
gather_room(const struct store_read *r)
{
	if (r->n <= GATHER_WANTS)
		return r->max_messages + 1;
	return r->max_messages / r->n * GATHER_WANTS + GATHER_WANTS;
}

static int
reading_gather(struct reading *rd)
{
	struct store_read *r = rd->r;

	rd->count = 0;
	rd->known = r->upto;
	for (uint32_t i = 0; i < r->n; i++) {
		struct gather g = { rd, i, gather_room(r) };
		struct chan *c = sq_chan(rd->sq, r->wants[i].channel);
		int did;

		if (c == NULL || rd->from[i] >= r->upto)
			continue;
		did =
		    walk_up(rd->sq, c, rd->from[i], r->upto, gather_visit, &g);
		if (did < 0)
			return did;
	}
	if (rd->count != 0)
		qsort(rd->at, rd->count, sizeof(*rd->at), compare_cursors);
	return 0;
}

/* --- taking ------------------------------------------------------------ */

/*
 * *out is NULL when the message has expired or is damaged, or when the index
 * says something else of it than it does itself: the index has no sum.
 */
static int
fetch(struct reading *rd, const struct candidate *c, struct msg **out)
{
	struct sq *sq = rd->sq;
	sqlite3_stmt *st = sq->st.at[STMT_MESSAGE_GET];
	uint64_t row = c->cursor - c->place;
	bool expired = false;
	int code, err = 0;

	*out = NULL;
	STMT_BIND(st, row);
	code = sqlite3_step(st);
	if (code == SQLITE_ROW) {
		expired = sqlite3_column_int64(st, 0) <= rd->now_s;
		if (!expired)
			err = row_message(st, row, out);
		if (*out != NULL &&
		    !row_has_member(stmt_u64(st, 2) != 0, stmt_blob(st, 3),
			c->place, rd->r->wants[c->want].channel, c->id))
			msg_unref(out);
	}
	code = stmt_end(st, code);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "read a message");
	if (err != 0 || expired || *out != NULL)
		return err;
	sq_damaged(sq, c->cursor);
	return 0;
}

/* 0: taken or skipped; 1: the slice is full without it; or ERR_*. */
static int
take(struct reading *rd, const struct candidate *c)
{
	struct store_read *r = rd->r;
	void *found = r->found;
	struct msg *m;
	int err = fetch(rd, c, &m);

	if (err != 0 || m == NULL)
		return err;
	if (r->n_found != 0 &&
	    (r->n_found >= r->max_messages ||
		rd->bytes + msg_bytes(m) > r->max_bytes)) {
		msg_unref(&m);
		return 1;
	}
	err = array_fit(&found, &rd->found_room, r->n_found + 1,
	    sizeof(struct store_found));
	r->found = found;
	if (err != 0) {
		msg_unref(&m);
		return err;
	}
	rd->bytes += msg_bytes(m);
	r->found[r->n_found++] =
	    (struct store_found){ m, c->cursor, c->id, c->want };
	return 0;
}

static int
reading_take(struct reading *rd)
{
	struct store_read *r = rd->r;

	for (size_t i = 0; i < rd->count && rd->at[i].cursor <= rd->known;
	     i++) {
		int did;

		/* Shared: the first of its wants has had its turn. */
		if (i != 0 && rd->at[i].cursor == rd->at[i - 1].cursor)
			continue;
		did = take(rd, &rd->at[i]);
		if (did != 0)
			return did;
		r->cut = rd->at[i].cursor;
	}
	r->cut = rd->known;
	return 0;
}

static int
compare_found(const void *a, const void *b)
{
	const struct store_found *x = a, *y = b;

	if (x->want != y->want)
		return x->want < y->want ? -1 : 1;
	return x->cursor < y->cursor ? -1 : x->cursor > y->cursor;
}

/* Piece by piece, until there is something or nothing can be. */
static int
reading_run(struct reading *rd)
{
	struct store_read *r = rd->r;
	int did = 0;

	do {
		did = reading_gather(rd);
		if (did == 0)
			did = reading_take(rd);
		for (uint32_t i = 0; i < r->n; i++)
			rd->from[i] = MAX_OF(rd->from[i], rd->known);
	} while (did == 0 && r->n_found == 0 && rd->known < r->upto);
	if (r->n_found != 0)
		qsort(r->found, r->n_found, sizeof(*r->found), compare_found);
	return MIN_OF(did, 0);
}

static void
reading_undo(struct store_read *r)
{
	for (size_t i = 0; i < r->n_found; i++)
		msg_unref(&r->found[i].msg);
	r->n_found = 0;
}

int
sq_read(void *be, struct store_read *r, int64_t now_s)
{
	struct reading rd = { .r = r, .now_s = now_s, .visits = VISITS_MAX };
	int err = 0;

	OBJ_CAST(rd.sq, be, SQ_MAGIC);
	r->n_found = 0;
	r->cut = r->upto;
	rd.from = calloc((size_t)r->n + 1, sizeof(*rd.from));
	if (rd.from == NULL)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < r->n && err == 0; i++)
		err = want_start(&rd, i, sq_chan(rd.sq, r->wants[i].channel));
	if (err == 0)
		err = reading_run(&rd);
	if (err != 0)
		reading_undo(r);
	free(rd.from);
	free(rd.at);
	return err;
}
