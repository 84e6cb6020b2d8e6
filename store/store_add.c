/*
 * store/store_add.c - rows of message and member, several to a statement.
 *
 * What SQLite does around a row, to begin and to end a statement and to find
 * the row's place, is as much work as the row itself.  So those of a
 * transaction wait until there are enough for one statement, or until it
 * commits.  Nothing may ask for them meanwhile: a group's appends read no
 * message, and an index round reads no member.
 */
#include "store/store_sqlite_priv.h"

static void
bind_given(sqlite3_stmt *st, int i, bool given, struct slice s)
{
	if (given)
		(void)sqlite3_bind_blob(
		    st, i, s.ptr, (int)s.len, SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(st, i);
}

static void
bind_message(sqlite3_stmt *st, int at, const struct adds *a, int i)
{
	const struct added_message *r = &a->messages[i];
	const struct msg *m = r->msg;
	size_t len = r->n * (size_t)MEMBER_BYTES;
	struct slice members = { (char *)r->members, len };
	struct slice floors = { (char *)r->members + len,
		r->n * (size_t)FLOOR_BYTES };

	STMT_BIND_AT(st, at, r->cursor, (uint64_t)m->expires, r->early,
	    row_sum(r->cursor, m, r->shared, members.ptr, len,
		r->trimmed ? floors.ptr : NULL),
	    r->shared);
	bind_given(st, at + 6, true, members);
	bind_given(st, at + 7, m->has_event_id, msg_event_id(m));
	bind_given(st, at + 8, m->has_event_type, msg_event_type(m));
	bind_given(st, at + 9, true, msg_text(m));
	bind_given(st, at + 10, m->extra_len != 0, msg_extra(m));
	bind_given(st, at + 11, r->trimmed, floors);
}

static void
bind_member(sqlite3_stmt *st, int at, const struct adds *a, int i)
{
	const struct added_member *m = &a->members[i];

	STMT_BIND_AT(st, at, m->bucket, m->channel, m->cursor, m->id, m->place);
}

struct kind {
	enum stmt_id one, many;
	int params; /* of a row */
	void (*bind)(sqlite3_stmt *st, int at, const struct adds *a, int i);
	const char *doing;
};

static const struct kind kind_message = { STMT_MESSAGE_ADD,
	STMT_MESSAGE_ADD_MANY, MESSAGE_PARAMS, bind_message, "add a message" };
static const struct kind kind_member = { STMT_MEMBER_ADD, STMT_MEMBER_ADD_MANY,
	MEMBER_PARAMS, bind_member, "index a message" };

/* The *n that wait: by one statement if they are as many as it takes. */
static int
add_waiting(struct sq *sq, const struct kind *kind, int *n)
{
	int step = *n == STMT_MANY ? STMT_MANY : 1;
	sqlite3_stmt *st = sq->st.at[step == 1 ? kind->one : kind->many];

	for (int i = 0; i < *n; i += step) {
		int code;

		for (int k = 0; k < step; k++)
			kind->bind(st, k * kind->params, &sq->adds, i + k);
		code = stmt_run(st);
		if (code != SQLITE_OK)
			return sq_error(sq, code, kind->doing);
	}
	*n = 0;
	return 0;
}

static int
fit_members(struct added_message *r, uint32_t n)
{
	void *members = r->members;
	int err = array_fit(&members, &r->room, n, MEMBER_BYTES + FLOOR_BYTES);

	r->members = members;
	r->n = n;
	return err;
}

int
sq_add_message(struct sq *sq, const struct store_append *a)
{
	struct added_message *r = &sq->adds.messages[sq->adds.n_messages];
	uint64_t expires = (uint64_t)a->msg->expires;
	unsigned char *member, *floor;
	int err;

	assert(sq->adds.n_messages < STMT_MANY); /* or it was rolled back */
	err = fit_members(r, a->n);
	if (err != 0)
		return err;
	r->msg = a->msg;
	r->cursor = a->cursor;
	r->early = expires < sq->next.horizon;
	r->shared = a->shared;
	r->trimmed = false;
	member = r->members;
	floor = member + a->n * (size_t)MEMBER_BYTES;
	for (uint32_t i = 0; i < a->n; i++) {
		const struct store_member *to = &a->members[i];
		const struct chan *c = sq_chan(sq, to->channel);

		row_put_member(member + i * MEMBER_BYTES, to->channel, to->id);
		row_put_floor(floor + i * FLOOR_BYTES,
		    sq->changes.at[c->change - 1].floor);
		r->trimmed = r->trimmed || to->trimmed != 0;
	}
	sq->next.horizon = MAX_OF(sq->next.horizon, expires);
	sq->loose_bytes += msg_bytes(a->msg);
	if (++sq->adds.n_messages < STMT_MANY)
		return 0;
	return add_waiting(sq, &kind_message, &sq->adds.n_messages);
}

int
sq_add_member(struct sq *sq, const struct added_member *m)
{
	assert(sq->adds.n_members < STMT_MANY);
	sq->adds.members[sq->adds.n_members] = *m;
	if (++sq->adds.n_members < STMT_MANY)
		return 0;
	return add_waiting(sq, &kind_member, &sq->adds.n_members);
}

int
sq_add_rest(struct sq *sq)
{
	int err = add_waiting(sq, &kind_message, &sq->adds.n_messages);

	if (err == 0)
		err = add_waiting(sq, &kind_member, &sq->adds.n_members);
	return err;
}

void
sq_add_forget(struct sq *sq)
{
	sq->adds.n_messages = 0;
	sq->adds.n_members = 0;
}

void
sq_add_release(struct sq *sq)
{
	for (int i = 0; i < STMT_MANY; i++)
		free(sq->adds.messages[i].members);
}
