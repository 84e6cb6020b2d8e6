/*
 * push/replay.c - what a reader missed: asked of the store, slice by slice.
 *
 * A poll's answer is one slice: what the store finds, or, if that is nothing,
 * the first live message that came meanwhile (its next poll asks for the
 * others), or it is parked.
 *
 * A stream gets everything up to `upto`, the newest cursor that was visible
 * when it was asked for, and then all that came since:
 *
 *   replay_start
 *        |             not ready
 *        v            ---------------->
 *   AT THE STORE                         STALLED
 *        |   ^  |     <----------------     |
 *        |   +--+        hub_resume         |
 *        |   cut, ready                     |
 *        v                                  v
 *   parked (sub.c), with the backlog delivered
 *
 * The backlog has the live messages that come meanwhile, in order.  If they are
 * too many it is thrown away, and a further pass asks the store for what has
 * become visible since `upto`.  So nothing that is stored is lost to a slow
 * reader, and what it costs us is bounded.
 */
#include "push/backlog.h"
#include "push/hub_priv.h"

/* Of one piece to a stream: far below what may wait for a subscriber. */
#define STREAM_SLICE_BYTES ((size_t)256 * 1024)

struct reading {
	struct store_op *op;   /* the store's; to be cancelled only */
	struct store_op *next; /* ours: a stalled stream's next question */
	uint64_t token;
	uint64_t upto;
	uint64_t had; /* the position it came with; 0: none */
	bool by_cursor;
	bool overrun;  /* the backlog was thrown away */
	uint64_t lost; /* the newest that went with it */
	struct backlog backlog;
};

/* --- the question ------------------------------------------------------ */

/* Does the store have to be asked for channel c?  If so, fill *w. */
static bool
want_of(const struct channel *c, uint32_t backtrack,
    const struct sub_position *pos, uint64_t after, struct store_want *w)
{
	w->channel = c->number;
	if (c->stored == 0)
		return false;
	if (backtrack != 0) {
		w->last = backtrack;
		return true;
	}
	if (pos->by_event_id) {
		w->by_event_id = true;
		w->event_id = pos->event_id;
		w->by_position = pos->by_position;
		w->after = after;
		return true;
	}
	w->by_position = pos->by_position;
	w->after = after;
	return pos->by_position && c->tail > after;
}

/* The channel is named again: it is read once, by position if any of its
 * names asks so, else as far back as any of them. */
static void
want_again(struct store_read *r, const struct store_want *w)
{
	uint32_t i = 0;

	while (r->wants[i].channel != w->channel)
		i++;
	if (w->last == 0)
		r->wants[i] = *w;
	else if (r->wants[i].last != 0)
		r->wants[i].last = MAX_OF(r->wants[i].last, w->last);
}

/* What to ask the store for this reader; n may be 0.  NULL: no memory. */
struct store_op *
replay_op(struct hub *h, const struct sub_request *req, uint64_t after)
{
	uint64_t mark = h->next_token++;
	struct sub_position own = req->pos;
	struct store_op *op =
	    store_op_read(req->n, own.by_event_id ? &own.event_id : NULL);
	struct store_read *r;

	if (op == NULL)
		return NULL;
	r = &op->u.read;
	/* The operation keeps its own copy of the event id. */
	if (own.by_event_id)
		own.event_id = r->wants[0].event_id;
	r->n = 0;
	for (uint32_t i = 0; i < req->n; i++) {
		struct channel *c = req->channels[i];
		struct store_want w = { 0 };

		if (!want_of(c, req->backtracks[i], &own, after, &w))
			continue;
		if (c->mark == mark)
			want_again(r, &w);
		else
			r->wants[r->n++] = w;
		c->mark = mark;
	}
	return op;
}

/* Ask for what c keeps after a cursor, if it may keep something. */
static void
want_after(struct store_read *r, const struct channel *c, uint64_t after)
{
	if (c->stored != 0 && c->tail > after)
		r->wants[r->n++] = (struct store_want){ .channel = c->number,
			.by_position = true,
			.after = after };
}

static struct channel *
sub_channel(const struct sub *s, uint64_t number)
{
	for (uint32_t i = 0; i < s->n; i++) {
		struct channel *c = s->waits[i].channel;

		if (c != NULL && c->number == number)
			return c;
	}
	return NULL;
}

/* Prepare the next question, about n channels at most, in reading->next. */
static struct store_read *
next_op(struct sub *s, uint32_t n)
{
	s->reading->next = store_op_read(n, NULL);
	if (s->reading->next == NULL)
		return NULL;
	s->reading->next->u.read.n = 0;
	return &s->reading->next->u.read;
}

/* The slice was cut: the rest of it is next.  `begin` keeps out what its
 * backtrack or event id kept out. */
static int
next_slice(struct sub *s, const struct store_read *last)
{
	struct store_read *r = next_op(s, last->n);

	if (r == NULL)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < last->n; i++) {
		const struct store_want *w = &last->wants[i];
		const struct channel *c = sub_channel(s, w->channel);

		if (c != NULL)
			want_after(r, c, MAX_OF(w->begin, last->cut));
	}
	return 0;
}

/* The backlog was thrown away: all that became visible since is next. */
static int
next_pass(struct hub *h, struct sub *s)
{
	struct store_read *r = next_op(s, s->n);
	uint64_t mark = h->next_token++;

	if (r == NULL)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < s->n; i++) {
		struct channel *c = s->waits[i].channel;

		if (c == NULL || c->mark == mark)
			continue;
		c->mark = mark;
		want_after(r, c, s->reading->upto);
	}
	s->reading->overrun = false;
	s->reading->upto = h->committed;
	return 0;
}

/* Put the next question to the store. */
static int
replay_ask(struct hub *h, struct sub *s)
{
	struct reading *r = s->reading;
	struct store_op *op = r->next;
	int err;

	r->token = h->next_token++;
	err = map_put(&h->readings, r->token, s);
	if (err != 0)
		return err;
	op->token = r->token;
	op->u.read.upto = r->upto;
	op->u.read.max_messages = h->limits.replay_messages;
	op->u.read.max_bytes = s->kind == SUB_STREAM
	    ? MIN_OF(h->limits.replay_bytes, STREAM_SLICE_BYTES)
	    : h->limits.replay_bytes;
	err = store_submit(h->store, op);
	if (err != 0)
		return err;
	r->op = op;
	r->next = NULL;
	return 0;
}

/* Takes the operation over. */
int
replay_start(struct hub *h, struct sub *s, const struct sub_request *req,
    struct store_op *op)
{
	struct reading *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		store_op_free(&op);
		return ERR_NOMEM;
	}
	r->next = op;
	r->upto = h->committed;
	r->had = req->pos.by_position ? s->after : 0;
	r->by_cursor = req->by_cursor;
	backlog_init(&r->backlog, &h->backlogs);
	s->reading = r;
	h->stats->replays++;
	return replay_ask(h, s);
}

bool
replay_at_store(const struct sub *s)
{
	return s->reading != NULL && s->reading->op != NULL;
}

void
replay_forget_op(struct sub *s)
{
	s->reading->op = NULL;
}

/* --- what comes meanwhile ---------------------------------------------- */

static void
reading_free(struct reading *r)
{
	backlog_release(&r->backlog);
	store_op_free(&r->next);
	free(r);
}

void
replay_free(struct hub *h, struct sub *s)
{
	struct reading *r = s->reading;

	if (r == NULL)
		return;
	s->reading = NULL;
	(void)map_remove(&h->readings, r->token);
	if (r->op != NULL)
		store_cancel(r->op);
	reading_free(r);
}

/* A shared one may be lost in several channels: it is counted once. */
static void
replay_lose(struct hub *h, struct reading *r, const struct delivery *d)
{
	if (!d->kept && d->cursor != r->lost)
		h->stats->stream_overruns++;
	r->lost = d->cursor;
}

/* Too much: what is stored will be read, the rest is lost and counted. */
static void
replay_overrun(struct hub *h, struct reading *r)
{
	for (uint32_t i = 0; i < r->backlog.n; i++)
		replay_lose(h, r, &r->backlog.at[i]);
	backlog_clear(&r->backlog);
	r->overrun = true;
}

/* A message became visible while the replay is under way. */
void
replay_keep(struct hub *h, struct sub *s, const struct delivery *d)
{
	struct reading *r = s->reading;

	if (s->kind != SUB_STREAM && (s->kind == SUB_POLL || r->backlog.n != 0))
		return;
	if (s->kind == SUB_STREAM && d->cursor <= r->upto)
		return; /* it was visible when the store was asked */
	if (!r->overrun &&
	    backlog_add(&r->backlog, d, h->backlog_messages, h->backlog_bytes))
		return;
	if (!r->overrun)
		limit_hit(&h->stats->limits, LIMIT_backlog);
	if (s->kind != SUB_STREAM) {
		/* It may not miss what it waits for. */
		sub_end_failed(h, s, ERR_CROWDED);
		return;
	}
	if (!r->overrun)
		replay_overrun(h, r);
	replay_lose(h, r, d);
}

static bool
elsewhere(const void *channel, const struct delivery *d)
{
	return d->channel != channel;
}

static bool
still_alive(const void *hub, const struct delivery *d)
{
	return !delivery_expired(hub, d);
}

/* The channel has gone, and what waits of it with it. */
void
replay_leave_channel(struct sub *s, const struct channel *c)
{
	if (s->reading != NULL)
		backlog_filter(&s->reading->backlog, elsewhere, c);
}

/* --- the answer -------------------------------------------------------- */

static int
compare_cursors(const void *a, const void *b)
{
	const struct delivery *x = a, *y = b;

	return x->cursor < y->cursor ? -1 : x->cursor > y->cursor;
}

/* What was found, but not of channels that were deleted since: n of them in
 * *out.  It comes channel by channel. */
static int
slice_deliveries(const struct sub *s, const struct store_read *r,
    struct delivery **out, size_t *n)
{
	struct delivery *d = calloc(r->n_found, sizeof(*d));

	*out = d;
	*n = 0;
	if (d == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < r->n_found; i++) {
		const struct store_found *f = &r->found[i];
		struct channel *c = sub_channel(s, r->wants[f->want].channel);

		if (c != NULL)
			d[(*n)++] = (struct delivery){ .msg = f->msg,
				.channel = c,
				.cursor = f->cursor,
				.id = f->id,
				.kept = true };
	}
	if (s->reading->by_cursor)
		qsort(d, *n, sizeof(*d), compare_cursors);
	return 0;
}

/*
 * A poll's position after a replay: where it was cut, else the newest
 * message, kept or not, of the channels that had something, but not below
 * what the reader had: a backtrack may give older messages only
 * (push-stream.md 8.2).
 */
static uint64_t
replay_position(const struct store_read *r, uint64_t had,
    const struct delivery *d, size_t n)
{
	uint64_t position = had;

	if (r->cut < r->upto)
		return r->cut;
	for (size_t i = 0; i < n; i++) {
		position = MAX_OF(position, d[i].cursor);
		position = MAX_OF(
		    position, MIN_OF(d[i].channel->last_cursor, r->upto));
	}
	return position;
}

/* One slice goes out; a stream stays. */
static int
replay_deliver(struct hub *h, struct sub *s, const struct store_read *r)
{
	struct delivery *d = NULL;
	size_t n = 0;
	int err = 0;

	if (r->n_found != 0)
		err = slice_deliveries(s, r, &d, &n);
	if (err != 0)
		return err;
	if (s->kind != SUB_STREAM) {
		sub_end_deliver(
		    h, s, d, n, replay_position(r, s->reading->had, d, n));
	} else {
		s->after = r->cut;
		h->stats->deliveries += n;
		if (n != 0)
			s->ops->deliver(s->sess, d, n, r->cut);
	}
	free(d);
	return 0;
}

/* Did its time end while the store was reading?  sub_expire() took it from
 * the heap then; once back there it ends at the next tick. */
static bool
replay_over(struct hub *h, struct sub *s)
{
	if (s->deadline.at != 0)
		return false;
	if (heap_add(&h->deadlines, &s->deadline, s->deadline.key) != 0)
		sub_end_empty(h, s);
	return true;
}

/*
 * There is no more to replay.  The backlog goes out: one message ends a long
 * poll, a stream gets all.  Who is left is parked.
 */
static void
replay_finish(struct hub *h, struct sub *s)
{
	struct reading *r = s->reading;
	struct backlog *b = &r->backlog;

	s->reading = NULL;
	s->after = MAX_OF(s->after, r->upto);
	backlog_filter(b, still_alive, h);
	backlog_unite_shared(b);
	if (b->n != 0 && s->kind != SUB_STREAM) {
		sub_end_deliver(h, s, b->at, 1, b->at[0].cursor);
		s = NULL;
	} else if (b->n != 0) {
		sub_stream_live(h, s, b->at, b->n);
	}
	reading_free(r);
	if (s != NULL && s->kind == SUB_POLL)
		sub_end_empty(h, s);
	else if (s != NULL)
		(void)replay_over(h, s);
}

static bool
replay_has_next(const struct reading *r)
{
	return r->next != NULL && r->next->u.read.n != 0;
}

/* A stream can take more: on to the next slice, or to what is live. */
static int
replay_go_on(struct hub *h, struct sub *s)
{
	struct reading *r = s->reading;
	int err = 0;

	if (!replay_has_next(r) && r->overrun) {
		store_op_free(&r->next);
		err = next_pass(h, s);
	}
	if (err != 0)
		return err;
	if (!replay_has_next(r))
		replay_finish(h, s);
	else if (!replay_over(h, s))
		return replay_ask(h, s);
	return 0;
}

/* A stream had its slice.  What is live comes behind the last one only when
 * that was taken: two such bursts at once may be more than it is allowed. */
static int
replay_sliced(struct hub *h, struct sub *s, const struct store_read *last)
{
	int err = 0;

	if (last->cut < last->upto)
		err = next_slice(s, last);
	if (err != 0)
		return err;
	if (s->ops->ready(s->sess))
		return replay_go_on(h, s);
	(void)replay_over(h, s);
	return 0;
}

/* Was something found in a channel that was deleted meanwhile? */
static bool
found_elsewhere(const struct sub *s, const struct store_read *r)
{
	for (size_t i = 0; i < r->n_found; i++) {
		if (sub_channel(s, r->wants[r->found[i].want].channel) == NULL)
			return true;
	}
	return false;
}

/*
 * A shared message is found in one of its channels only.  If that one has gone,
 * the reader may still want it for another: so the others are asked again.
 */
static int
replay_again(struct hub *h, struct sub *s, struct store_read *r)
{
	int err;

	r->cut = 0;
	err = next_slice(s, r);
	return err != 0 ? err : replay_go_on(h, s);
}

void
replay_read_done(struct hub *h, struct store_op *op)
{
	struct sub *s = map_remove(&h->readings, op->token);
	int err = op->err;

	if (s == NULL)
		return; /* the reader has gone */
	s->reading->op = NULL;
	limit_count(&h->stats->limits, LIMIT_replay_slice,
	    err == 0 && op->u.read.cut < op->u.read.upto);
	if (err == 0 && s->kind == SUB_STREAM &&
	    found_elsewhere(s, &op->u.read)) {
		err = replay_again(h, s, &op->u.read);
	} else if (err == 0 && s->kind == SUB_STREAM) {
		err = replay_deliver(h, s, &op->u.read);
		if (err == 0)
			err = replay_sliced(h, s, &op->u.read);
	} else if (err == 0 && op->u.read.n_found != 0) {
		err = replay_deliver(h, s, &op->u.read);
	} else if (err == 0) {
		replay_finish(h, s);
	}
	if (err != 0)
		sub_end_failed(h, s, err);
}

void
hub_resume(struct hub *h, struct sub *s)
{
	int err;

	if (s->reading == NULL || replay_at_store(s))
		return; /* it is not stalled */
	err = replay_go_on(h, s);
	if (err != 0)
		sub_end_failed(h, s, err);
}
