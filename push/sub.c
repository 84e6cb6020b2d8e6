/*
 * push/sub.c - readers: join, wait, receive, leave.
 *
 * Join order.  A reader that may wait is entered into its channels before
 * the store is asked for older messages, so nothing falls in between:
 *
 *            hub_subscribe
 *              |      \ nothing newer
 *   store read |       \
 *              v        v
 *           READING -> PARKED      sub_read_done: nothing was found
 *              |        |
 *              v        v
 *             gone     gone        one call of an op, and freed
 *
 * READING: sub->reading != NULL.  A live message that comes meanwhile is
 * kept there (the first; the reader's next poll asks for the others) and is
 * delivered if the store had nothing.  The deadline waits for the store.
 */
#include "push/hub_priv.h"

#define EXPIRE_SLICE 1024 /* waits ended in one turn */

struct reading {
	struct store_op *op; /* the store's; to be cancelled only */
	uint64_t token;
	uint64_t upto;
	uint64_t had;		/* the position it came with; 0: none */
	struct delivery missed; /* msg NULL: none */
};

static bool
delivery_expired(const struct hub *h, const struct delivery *d)
{
	return d->kept && d->msg->expires <= h->now_s;
}

void
sub_forget_read(struct sub *s)
{
	s->reading->op = NULL;
}

static void
sub_unlink(struct hub *h, struct sub *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		struct channel *c = s->waits[i].channel;

		TAILQ_REMOVE(&c->waits, &s->waits[i], link);
		if (s->parks)
			c->subscribers--;
		channel_released(h, c);
	}
	heap_remove(&h->deadlines, &s->deadline);
	if (s->reading != NULL) {
		(void)map_remove(&h->readings, s->reading->token);
		if (s->reading->op != NULL)
			store_cancel(s->reading->op);
		msg_unref(&s->reading->missed.msg);
		free(s->reading);
	}
	if (s->parks)
		h->stats->subscribers--;
}

void
hub_unsubscribe(struct hub *h, struct sub **sub)
{
	struct sub *s = *sub;

	*sub = NULL;
	if (s == NULL)
		return;
	sub_unlink(h, s);
	free(s);
}

static void
sub_end_deliver(struct hub *h, struct sub *s, const struct delivery *d,
    size_t n, uint64_t position)
{
	const struct sub_ops *ops = s->ops;
	void *sess = s->sess;

	h->stats->deliveries += n;
	hub_unsubscribe(h, &s);
	ops->deliver(sess, d, n, position);
}

/*
 * Where a reader stands that leaves without a message.  One that was parked
 * has seen all there is; one that was not, or whose replay is still under way,
 * may have newer messages before it.
 */
static uint64_t
sub_position(struct hub *h, const struct sub *s)
{
	return s->parks && s->reading == NULL ? hub_position_now(h, s->after)
					      : s->after;
}

static void
sub_end_empty(struct hub *h, struct sub *s)
{
	const struct sub_ops *ops = s->ops;
	void *sess = s->sess;
	uint64_t position = sub_position(h, s);

	hub_unsubscribe(h, &s);
	ops->empty(sess, position);
}

static void
sub_end_failed(struct hub *h, struct sub *s, int err)
{
	const struct sub_ops *ops = s->ops;
	void *sess = s->sess;

	hub_unsubscribe(h, &s);
	ops->failed(sess, err);
}

static struct sub *
sub_new(struct hub *h, struct channel *const *channels, uint32_t n, bool parks,
    const struct sub_ops *ops, void *sess)
{
	struct sub *s = calloc(1, sizeof(*s) + n * sizeof(s->waits[0]));

	if (s == NULL)
		return NULL;
	s->ops = ops;
	s->sess = sess;
	s->parks = parks;
	s->n = n;
	for (uint32_t i = 0; i < n; i++) {
		struct channel *c = channels[i];

		s->waits[i].channel = c;
		s->waits[i].sub = s;
		TAILQ_INSERT_TAIL(&c->waits, &s->waits[i], link);
		if (parks) {
			c->subscribers++;
			channel_touch(h, c);
		}
	}
	if (parks)
		h->stats->subscribers++;
	return s;
}

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

static struct store_op *
read_op(struct hub *h, struct channel *const *channels,
    const uint32_t *backtracks, uint32_t n, const struct sub_position *pos,
    uint64_t after)
{
	uint64_t mark = h->next_token++;
	struct store_op *op =
	    store_op_read(n, pos->by_event_id ? &pos->event_id : NULL);
	struct store_read *r;
	struct sub_position own = *pos;

	if (op == NULL)
		return NULL;
	r = &op->u.read;
	/* The operation keeps its own copy of the event id. */
	if (pos->by_event_id)
		own.event_id = r->wants[0].event_id;
	r->n = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct store_want w = { 0 };

		if (!want_of(channels[i], backtracks[i], &own, after, &w))
			continue;
		if (channels[i]->mark == mark)
			want_again(r, &w);
		else
			r->wants[r->n++] = w;
		channels[i]->mark = mark;
	}
	return op;
}

static int
sub_start_reading(
    struct hub *h, struct sub *s, uint64_t had, struct store_op *op)
{
	struct reading *r = calloc(1, sizeof(*r));
	int err;

	if (r == NULL)
		return ERR_NOMEM;
	r->token = h->next_token++;
	r->upto = h->committed;
	r->had = had;
	err = map_put(&h->readings, r->token, s);
	if (err != 0) {
		free(r);
		return err;
	}
	s->reading = r;
	r->op = op;
	op->token = r->token;
	op->u.read.upto = r->upto;
	op->u.read.max_messages = h->limits.replay_messages;
	op->u.read.max_bytes = h->limits.replay_bytes;
	h->stats->replays++;
	return store_submit(h->store, op);
}

int
hub_subscribe(struct hub *h, struct channel *const *channels,
    const uint32_t *backtracks, uint32_t n, const struct sub_position *pos,
    bool wait, uint64_t deadline_ms, const struct sub_ops *ops, void *sess,
    struct sub **out)
{
	/* A position from the future (a client's clock, a lost database) is
	 * no reason to miss what comes next. */
	uint64_t newest = MAX_OF(h->committed, h->given);
	uint64_t after =
	    pos->by_position ? MIN_OF(pos->after, newest) : h->committed;
	struct store_op *op = read_op(h, channels, backtracks, n, pos, after);
	struct sub *s;
	int err;

	if (op == NULL)
		return ERR_NOMEM;
	if (op->u.read.n == 0) {
		store_op_free(&op);
		if (!wait || h->draining)
			return HUB_NOTHING;
	}
	s = sub_new(h, channels, n, wait, ops, sess);
	if (s == NULL) {
		store_op_free(&op);
		return ERR_NOMEM;
	}
	s->after = after;
	err = heap_add(
	    &h->deadlines, &s->deadline, h->draining ? 0 : deadline_ms);
	if (err == 0 && op != NULL)
		err = sub_start_reading(h, s, pos->by_position ? after : 0, op);
	if (err != 0) {
		/* First the reader: its reading may name the operation. */
		hub_unsubscribe(h, &s);
		store_op_free(&op);
		return err;
	}
	*out = s;
	return 0;
}

static struct channel *
sub_channel(const struct sub *s, uint64_t number)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->waits[i].channel->number == number)
			return s->waits[i].channel;
	}
	return NULL;
}

/*
 * The position after a replay: where it was cut, else the newest message,
 * kept or not, of the channels that had something, but not below what the
 * reader had: a backtrack may give older messages only (push-stream.md 8.2).
 */
static uint64_t
replay_position(
    const struct store_read *r, uint64_t had, const struct delivery *d)
{
	uint64_t position = had;

	if (r->cut < r->upto)
		return r->cut;
	for (size_t i = 0; i < r->n_found; i++) {
		position = MAX_OF(position, d[i].cursor);
		position = MAX_OF(
		    position, MIN_OF(d[i].channel->last_cursor, r->upto));
	}
	return position;
}

static int
sub_deliver_replay(struct hub *h, struct sub *s, const struct store_read *r)
{
	struct delivery *d = calloc(r->n_found, sizeof(*d));

	if (d == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < r->n_found; i++) {
		const struct store_found *f = &r->found[i];

		d[i].msg = f->msg;
		d[i].channel = sub_channel(s, r->wants[f->want].channel);
		d[i].cursor = f->cursor;
		d[i].id = f->id;
	}
	sub_end_deliver(
	    h, s, d, r->n_found, replay_position(r, s->reading->had, d));
	free(d);
	return 0;
}

/* The store had nothing: be parked, or take what came meanwhile. */
static void
sub_park(struct hub *h, struct sub *s)
{
	struct reading *r = s->reading;
	struct delivery missed = r->missed;
	uint64_t deadline = s->deadline.key;

	s->reading = NULL;
	s->after = MAX_OF(s->after, r->upto);
	free(r);
	if (missed.msg != NULL && !delivery_expired(h, &missed)) {
		sub_end_deliver(h, s, &missed, 1, missed.cursor);
		msg_unref(&missed.msg);
		return;
	}
	msg_unref(&missed.msg);
	if (!s->parks) {
		sub_end_empty(h, s);
		return;
	}
	/* sub_expire() may have taken it out already. */
	heap_remove(&h->deadlines, &s->deadline);
	if (heap_add(&h->deadlines, &s->deadline, deadline) != 0)
		sub_end_empty(h, s);
}

void
sub_read_done(struct hub *h, struct store_op *op)
{
	struct sub *s = map_remove(&h->readings, op->token);
	int err = op->err;

	if (s == NULL)
		return; /* the reader has gone */
	if (err == 0 && op->u.read.n_found != 0)
		err = sub_deliver_replay(h, s, &op->u.read);
	else if (err == 0)
		sub_park(h, s);
	if (err != 0)
		sub_end_failed(h, s, err);
}

/* A message became visible: everyone who waits on its channel gets it. */
void
sub_deliver_live(struct hub *h, const struct delivery *d)
{
	struct wait *w, *next;

	if (delivery_expired(h, d))
		return; /* the disk took longer than it lives */
	for (w = TAILQ_FIRST(&d->channel->waits); w != NULL; w = next) {
		struct sub *s = w->sub;

		/* A reader that named the channel twice is there twice. */
		next = TAILQ_NEXT(w, link);
		while (next != NULL && next->sub == s)
			next = TAILQ_NEXT(next, link);
		if (s->after >= d->cursor)
			continue; /* back already, within its answer */
		if (s->reading == NULL) {
			sub_end_deliver(h, s, d, 1, d->cursor);
		} else if (s->parks && s->reading->missed.msg == NULL) {
			s->reading->missed = *d;
			s->reading->missed.msg = msg_ref(d->msg);
		}
	}
}

void
sub_channel_deleted(struct hub *h, struct channel *c, struct slice text)
{
	struct wait *w;

	while ((w = TAILQ_FIRST(&c->waits)) != NULL) {
		struct sub *s = w->sub;
		const struct sub_ops *ops = s->ops;
		void *sess = s->sess;
		uint64_t position = sub_position(h, s);

		hub_unsubscribe(h, &s);
		ops->deleted(sess, c, text, position);
	}
}

void
sub_expire(struct hub *h)
{
	struct heap_item *first;

	for (int i = 0; i < EXPIRE_SLICE; i++) {
		struct sub *s;

		first = heap_first(&h->deadlines);
		if (first == NULL || first->key > h->now_ms)
			return;
		s = CONTAINER_OF(first, struct sub, deadline);
		if (s->reading != NULL)
			heap_remove(&h->deadlines, first);
		else
			sub_end_empty(h, s);
	}
}

void
hub_drain(struct hub *h)
{
	h->draining = true;
	/* With every deadline in the past the order in the heap holds, and
	 * the next ticks end them, a slice a turn. */
	for (uint32_t i = 1; i <= h->deadlines.count; i++)
		h->deadlines.items[i]->key = 0;
}
