/* tests/unit/fake_store.c - the store of fake_store.h. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/fake_store.h"

static void
fake_list_init(struct fake_list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

void
fake_list_add(struct fake_list *l, struct store_op *op)
{
	op->next = NULL;
	*l->end = op;
	l->end = &op->next;
}

struct store_op *
fake_list_take(struct fake_list *l)
{
	struct store_op *op = l->first;

	if (op == NULL)
		return NULL;
	l->first = op->next;
	if (l->first == NULL)
		l->end = &l->first;
	op->next = NULL;
	return op;
}

static void
fake_list_drop(struct fake_list *l)
{
	struct store_op *op;

	while ((op = fake_list_take(l)) != NULL) {
		/* What the hub remembers of a deletion goes with the kill. */
		if (op->kind == STORE_DROP)
			free(op->caller);
		store_op_free(&op);
	}
}

void
fake_forget_work(struct store *s)
{
	fake_list_drop(&s->changes);
	fake_list_drop(&s->reads);
	fake_list_drop(&s->done);
	s->n_changes = s->n_reads = s->n_done = s->n_held = 0;
	s->busy = false;
}

struct store *
fake_new(void)
{
	struct store *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->next_channel = 1;
	fake_list_init(&s->changes);
	fake_list_init(&s->reads);
	fake_list_init(&s->done);
	return s;
}

void
fake_free(struct store **sp)
{
	struct store *s = *sp;

	fake_forget_work(s);
	for (size_t i = 0; i < s->n_rows; i++)
		msg_unref(&s->rows[i].msg);
	free(s);
	*sp = NULL;
}

static struct fake_channel *
fake_channel(struct store *s, uint64_t number)
{
	for (size_t i = 0; i < s->n_channels; i++) {
		if (s->channels[i].number == number)
			return &s->channels[i];
	}
	return NULL;
}

uint32_t
fake_stored(const struct store *s, uint64_t channel)
{
	uint32_t n = 0;

	for (size_t i = 0; i < s->n_rows; i++)
		n += s->rows[i].channel == channel;
	return n;
}

struct fake_commit *
fake_log(struct store *s, uint64_t cursor, uint64_t channel)
{
	for (size_t i = 0; i < s->n_log; i++) {
		if (s->log[i].cursor == cursor && s->log[i].channel == channel)
			return &s->log[i];
	}
	return NULL;
}

static void
fake_drop_row(struct store *s, size_t i)
{
	fake_log(s, s->rows[i].cursor, s->rows[i].channel)->gone = true;
	msg_unref(&s->rows[i].msg);
	s->n_rows--;
	memmove(
	    &s->rows[i], &s->rows[i + 1], (s->n_rows - i) * sizeof(s->rows[0]));
}

static uint32_t
fake_drop_oldest(struct store *s, uint64_t channel)
{
	for (size_t i = 0; i < s->n_rows; i++) {
		if (s->rows[i].channel == channel) {
			fake_drop_row(s, i);
			return 1;
		}
	}
	return 0;
}

static void
fake_drop_channel(struct store *s, uint64_t number)
{
	struct fake_channel *c = fake_channel(s, number);

	if (c == NULL)
		return;
	while (fake_drop_oldest(s, number) != 0)
		;
	*c = s->channels[--s->n_channels];
}

/* The name's owner until now gives it up. */
static struct fake_channel *
fake_make_channel(struct store *s, const struct store_member *m)
{
	struct fake_channel *c;

	assert_non_null(m->name.ptr);
	for (size_t i = 0; i < s->n_channels; i++) {
		c = &s->channels[i];
		if (c->name_len == m->name.len &&
		    memcmp(c->name, m->name.ptr, c->name_len) == 0) {
			fake_drop_channel(s, c->number);
			break;
		}
	}
	assert_true(s->n_channels < FAKE_CHANNELS);
	assert_true(m->name.len < sizeof(c->name));
	c = &s->channels[s->n_channels++];
	memset(c, 0, sizeof(*c));
	c->number = m->channel;
	c->name_len = m->name.len;
	memcpy(c->name, m->name.ptr, m->name.len);
	s->next_channel = MAX_OF(s->next_channel, c->number + 1);
	return c;
}

static void
fake_append(struct store *s, struct store_append *a)
{
	a->cursor = cursor_next(MAX_OF(s->last, a->floor), (uint64_t)s->now_s,
	    store_append_cursors(a));
	for (uint32_t i = 0; i < a->n; i++) {
		uint64_t cursor = store_append_cursor(a, i);
		struct store_member *m = &a->members[i];
		struct fake_channel *c = fake_channel(s, m->channel);

		if (c == NULL)
			c = fake_make_channel(s, m);
		m->id = ++c->last_id;
		c->last_cursor = s->last = cursor;
		s->published++;
		assert_true(s->n_log < FAKE_LOG);
		s->log[s->n_log++] = (struct fake_commit){ cursor, m->channel,
			m->id, a->keep, false, 0 };
		if (!a->keep)
			continue;
		assert_true(s->n_rows < FAKE_ROWS);
		s->rows[s->n_rows++] = (struct fake_row){ cursor, m->channel,
			m->id, msg_copy(a->msg) };
		for (m->trimmed = 0;
		     m->cap != 0 && fake_stored(s, m->channel) > m->cap;)
			m->trimmed += fake_drop_oldest(s, m->channel);
	}
}

static void
fake_reserve(struct store *s)
{
	uint64_t clock = cursor_make((uint64_t)s->now_s + 2, 0);

	s->reserved =
	    MAX_OF(MAX_OF(clock, s->reserved), s->last + FAKE_RESERVE);
}

void
fake_transact(struct store *s, size_t n, int err)
{
	struct store_op *op;

	while (n-- > 0 && (op = fake_list_take(&s->changes)) != NULL) {
		s->n_changes--;
		op->err = err;
		if (err == 0 && op->kind == STORE_APPEND)
			fake_append(s, &op->u.append);
		for (uint32_t i = 0;
		     err == 0 && op->kind == STORE_DROP && i < op->u.drop.n;
		     i++)
			fake_drop_channel(s, op->u.drop.channels[i]);
		fake_list_add(&s->done, op);
		s->n_done++;
	}
	if (err == 0)
		fake_reserve(s);
}

/* Does the want begin at this row?  If so, *begin says after what. */
static bool
fake_begins(const struct store_want *w, const struct fake_row *r,
    uint32_t newer, uint64_t *begin)
{
	struct slice id = msg_event_id(r->msg);

	if (w->last != 0) {
		*begin = r->cursor - 1;
		return newer < w->last;
	}
	if (w->by_position && r->cursor > w->after) {
		*begin = w->after;
		return true;
	}
	*begin = r->cursor;
	return w->by_event_id && id.len != 0 && slice_equal(id, w->event_id);
}

/* A shared message is found once, for the first want. */
static bool
fake_found(const struct store_read *r, uint64_t cursor)
{
	for (size_t i = 0; i < r->n_found; i++) {
		if (r->found[i].cursor == cursor)
			return true;
	}
	return false;
}

static void
fake_find(struct store *s, struct store_read *r, uint32_t want)
{
	struct store_want *w = &r->wants[want];
	uint32_t newer = 0;
	bool open = false;

	for (size_t i = 0; i < s->n_rows; i++)
		newer += s->rows[i].channel == w->channel &&
		    s->rows[i].cursor <= r->upto;
	for (size_t i = 0; i < s->n_rows; i++) {
		const struct fake_row *row = &s->rows[i];

		if (row->channel != w->channel || row->cursor > r->upto)
			continue;
		newer--;
		open = open || fake_begins(w, row, newer, &w->begin);
		if (open && row->cursor > w->begin &&
		    !fake_found(r, row->cursor))
			r->found[r->n_found++] =
			    (struct store_found){ msg_ref(row->msg),
				    row->cursor, row->id, want };
	}
	if (!open)
		w->begin = r->upto;
}

/* The newest of what was found, by cursor, goes first when it is too much. */
static void
fake_cut(struct store_read *r)
{
	r->cut = r->upto;
	for (;;) {
		size_t newest = 0, bytes = 0;

		for (size_t i = 0; i < r->n_found; i++) {
			bytes += r->found[i].msg->text_len;
			if (r->found[i].cursor > r->found[newest].cursor)
				newest = i;
		}
		if (r->n_found <= 1 ||
		    (r->n_found <= r->max_messages && bytes <= r->max_bytes))
			return;
		msg_unref(&r->found[newest].msg);
		r->n_found--;
		memmove(&r->found[newest], &r->found[newest + 1],
		    (r->n_found - newest) * sizeof(r->found[0]));
		r->cut = 0;
		for (size_t i = 0; i < r->n_found; i++)
			r->cut = MAX_OF(r->cut, r->found[i].cursor);
	}
}

void
fake_read(struct store *s, int err)
{
	struct store_op *op = fake_list_take(&s->reads);
	struct store_read *r;

	if (op == NULL)
		return;
	s->n_reads--;
	op->err = err;
	r = &op->u.read;
	r->n_found = 0;
	r->found = calloc(r->n * s->n_rows + 1, sizeof(r->found[0]));
	assert_non_null(r->found);
	for (uint32_t i = 0; i < r->n && err == 0; i++)
		fake_find(s, r, i);
	fake_cut(r);
	fake_list_add(&s->done, op);
	s->n_done++;
}

void
fake_dispatch(struct store *s)
{
	struct store_op *op;

	s->told_reserved = s->reserved;
	while ((op = fake_list_take(&s->done)) != NULL) {
		s->n_done--;
		s->done_f(s->done_arg, op);
	}
}

void
fake_settle(struct store *s)
{
	do {
		fake_transact(s, SIZE_MAX, 0);
		while (s->n_reads != 0)
			fake_read(s, 0);
		fake_dispatch(s);
	} while (s->n_changes + s->n_reads + s->n_done != 0);
}

void
fake_collect(struct store *s, uint64_t channel)
{
	struct store_op *op =
	    calloc(1, sizeof(*op) + sizeof(struct store_gone));

	assert_non_null(op);
	assert_int_equal(fake_drop_oldest(s, channel), 1);
	op->kind = STORE_COLLECTED;
	op->u.collected.n = 1;
	op->u.collected.gone = (struct store_gone *)(void *)(op + 1);
	op->u.collected.gone[0] = (struct store_gone){ channel, 1 };
	fake_list_add(&s->done, op);
	s->n_done++;
}

/* --- what push/ calls -------------------------------------------------- */

int
store_load(struct store *s, store_channel_f *each, void *arg,
    struct store_state *state)
{
	for (size_t i = 0; i < s->n_channels; i++) {
		const struct fake_channel *c = &s->channels[i];
		struct store_channel sc = { c->number, { c->name, c->name_len },
			c->last_id, c->last_cursor, fake_stored(s, c->number) };

		each(arg, &sc);
	}
	/* Whoever comes next continues above all that may have left. */
	s->last = MAX_OF(s->last, s->reserved);
	fake_reserve(s);
	s->told_reserved = s->reserved;
	*state = (struct store_state){ s->last, s->reserved, s->next_channel,
		s->published };
	return 0;
}

void
store_cancel(struct store_op *op)
{
	atomic_store(&op->cancelled, true);
}

int
store_submit(struct store *s, struct store_op *op)
{
	if (s->busy && op->kind == STORE_APPEND)
		return ERR_BUSY;
	if (op->kind == STORE_READ) {
		assert_true(op->u.read.n >= 1);
		fake_list_add(&s->reads, op);
		s->n_reads++;
	} else {
		fake_list_add(&s->changes, op);
		s->n_changes++;
	}
	s->n_held++;
	return 0;
}

void
store_flush_many(struct store *s)
{
	if (s->n_held < STORE_MANY)
		return;
	s->handed = s->n_held;
	s->n_held = 0;
}

uint64_t
store_reserved(const struct store *s)
{
	return s->told_reserved;
}

static struct store_op *
fake_op(enum store_kind kind, size_t bytes)
{
	struct store_op *op = calloc(1, sizeof(*op) + bytes);

	assert_non_null(op);
	op->kind = kind;
	return op;
}

struct store_op *
store_op_append(struct msg *msg, uint32_t n)
{
	struct store_op *op =
	    fake_op(STORE_APPEND, n * sizeof(struct store_member));

	op->u.append.msg = msg;
	op->u.append.n = n;
	op->u.append.members = (struct store_member *)(void *)(op + 1);
	return op;
}

struct store_op *
store_op_read(uint32_t n, const struct slice *event_id)
{
	size_t len = event_id != NULL ? event_id->len : 0;
	struct store_op *op =
	    fake_op(STORE_READ, n * sizeof(struct store_want) + len);
	struct store_want *wants = (struct store_want *)(void *)(op + 1);

	op->u.read.n = n;
	op->u.read.wants = wants;
	if (len != 0)
		memcpy(wants + n, event_id->ptr, len);
	for (uint32_t i = 0; i < n; i++)
		wants[i].event_id = (struct slice){ (char *)(wants + n), len };
	return op;
}

struct store_op *
store_op_drop(uint32_t n)
{
	struct store_op *op = fake_op(STORE_DROP, n * sizeof(uint64_t));

	op->u.drop.n = n;
	op->u.drop.channels = (uint64_t *)(void *)(op + 1);
	return op;
}

struct store_op *
store_op_reserve(void)
{
	return fake_op(STORE_RESERVE, 0);
}

void
store_op_free(struct store_op **opp)
{
	struct store_op *op = *opp;

	*opp = NULL;
	if (op == NULL)
		return;
	if (op->kind == STORE_APPEND)
		msg_unref(&op->u.append.msg);
	if (op->kind == STORE_READ) {
		for (size_t i = 0; i < op->u.read.n_found; i++)
			msg_unref(&op->u.read.found[i].msg);
		free(op->u.read.found);
	}
	free(op);
}
