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
 *           READING -> PARKED      replay_read_done: nothing was found, or
 *              |        |          a stream had it all
 *              v        v
 *             gone     gone        the last call of an op, and freed
 *
 * READING: sub->reading != NULL; replay.c tells what happens there.
 * PARKED: a poll gets one call.  A stream stays and gets every message.
 *
 * The deadline waits for a read that the store has: what it finds goes first.
 * A stream has one place in the heap for its end and its pings.  A message
 * does not move it there: it only says when it came, and a ping that comes up
 * too early is put back.  Steady pings do not even ask when it came.
 */
#include "push/hub_priv.h"

#define FEW_CHANNELS 8	  /* of a reader */
#define EXPIRE_SLICE 1024 /* of what is due in one turn */

/* What a stream has besides, behind its waits. */
struct stream_times {
	uint64_t deadline_ms;
	uint64_t ping_ms;  /* 0: none */
	uint64_t since_ms; /* its last ping, or live message */
	bool steady;	   /* messages do not count */
};

static struct stream_times *
stream_times(const struct sub *s)
{
	assert(s->kind == SUB_STREAM);
	return (struct stream_times *)(void *)&s->waits[s->n];
}

/* When the heap has to look at a stream. */
static uint64_t
stream_due_ms(const struct sub *s)
{
	const struct stream_times *t = stream_times(s);

	if (t->ping_ms == 0 || t->ping_ms > UINT64_MAX - t->since_ms)
		return t->deadline_ms;
	return MIN_OF(t->deadline_ms, t->since_ms + t->ping_ms);
}

/* When does the reader of this item end?  A ping gives it no position. */
uint64_t
sub_ends_ms(const struct hub *h, const struct heap_item *it)
{
	const struct sub *s = CONTAINER_OF(it, struct sub, deadline);

	return s->kind == SUB_STREAM && !h->draining
	    ? stream_times(s)->deadline_ms
	    : it->key;
}

bool
delivery_expired(const struct hub *h, const struct delivery *d)
{
	return d->kept && d->msg->expires <= h->now_s;
}

static void
wait_enter(struct hub *h, struct sub *s, struct wait *w, struct channel *c)
{
	w->channel = c;
	w->sub = s;
	TAILQ_INSERT_TAIL(&c->waits, w, link);
	if (s->kind == SUB_POLL)
		return;
	c->subscribers++;
	channel_touch(h, c);
	events_tell(h, "client_subscribed", c);
}

static void
wait_leave(struct hub *h, struct wait *w)
{
	struct channel *c = w->channel;

	w->channel = NULL;
	TAILQ_REMOVE(&c->waits, w, link);
	if (w->sub->kind != SUB_POLL) {
		c->subscribers--;
		events_tell(h, "client_unsubscribed", c);
	}
	channel_released(h, c);
}

void
hub_unsubscribe(struct hub *h, struct sub **sub)
{
	struct sub *s = *sub;

	*sub = NULL;
	if (s == NULL)
		return;
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->waits[i].channel != NULL)
			wait_leave(h, &s->waits[i]);
	}
	heap_remove(&h->deadlines, &s->deadline);
	replay_free(h, s);
	if (s->kind != SUB_POLL)
		h->stats->subscribers--;
	h->stats->subscriptions -= s->n;
	free(s);
}

void
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
	return s->kind != SUB_POLL && s->reading == NULL
	    ? hub_position_now(h, s->after)
	    : s->after;
}

void
sub_end_empty(struct hub *h, struct sub *s)
{
	const struct sub_ops *ops = s->ops;
	void *sess = s->sess;
	uint64_t position = sub_position(h, s);

	hub_unsubscribe(h, &s);
	ops->empty(sess, position);
}

void
sub_end_failed(struct hub *h, struct sub *s, int err)
{
	const struct sub_ops *ops = s->ops;
	void *sess = s->sess;

	hub_unsubscribe(h, &s);
	ops->failed(sess, err);
}

static struct sub *
sub_new(struct hub *h, const struct sub_request *req, uint64_t after)
{
	bool stream = req->kind == SUB_STREAM;
	struct sub *s = calloc(1,
	    sizeof(*s) + req->n * sizeof(s->waits[0]) +
		(stream ? sizeof(struct stream_times) : 0));

	if (s == NULL)
		return NULL;
	s->ops = req->ops;
	s->sess = req->sess;
	s->after = after;
	s->kind = req->kind;
	s->n = req->n;
	h->stats->subscriptions += s->n;
	if (stream)
		*stream_times(s) = (struct stream_times){ req->deadline_ms,
			req->ping_ms, h->now_ms, req->ping_steady };
	for (uint32_t i = 0; i < s->n; i++)
		wait_enter(h, s, &s->waits[i], req->channels[i]);
	if (s->kind != SUB_POLL)
		h->stats->subscribers++;
	return s;
}

static bool
sub_has_room(struct hub *h, const struct sub_request *req)
{
	uint64_t most = h->limits.max_subscriptions;

	/* Who names many leaves some to those who name few. */
	if (req->n > FEW_CHANNELS)
		most -= most / 4;
	if (most == 0 || h->stats->subscriptions + req->n <= most)
		return true;
	limit_hit(&h->stats->limits, LIMIT_max_subscriptions);
	return false;
}

static int
sub_set_deadline(struct hub *h, struct sub *s, uint64_t deadline_ms)
{
	uint64_t key = s->kind == SUB_STREAM ? stream_due_ms(s) : deadline_ms;

	return heap_add(&h->deadlines, &s->deadline, h->draining ? 0 : key);
}

int
hub_subscribe(struct hub *h, const struct sub_request *req, struct sub **out)
{
	const struct sub_position *pos = &req->pos;
	/* A position from the future (a client's clock, a lost database) is
	 * no reason to miss what comes next. */
	uint64_t newest = MAX_OF(h->committed, h->given);
	uint64_t after =
	    pos->by_position ? MIN_OF(pos->after, newest) : h->committed;
	struct store_op *op = replay_op(h, req, after);
	struct sub *s;
	int err;

	if (op == NULL)
		return ERR_NOMEM;
	if (op->u.read.n == 0) {
		store_op_free(&op);
		if (req->kind == SUB_POLL || h->draining)
			return HUB_NOTHING;
	}
	if (!sub_has_room(h, req)) {
		store_op_free(&op);
		return ERR_CROWDED;
	}
	s = sub_new(h, req, after);
	if (s == NULL) {
		store_op_free(&op);
		return ERR_NOMEM;
	}
	err = sub_set_deadline(h, s, req->deadline_ms);
	if (err == 0 && op != NULL)
		err = replay_start(h, s, req, op);
	else
		store_op_free(&op);
	if (err != 0) {
		hub_unsubscribe(h, &s);
		return err;
	}
	*out = s;
	return 0;
}

/* A stream gets live messages, in order, and stays. */
void
sub_stream_live(
    struct hub *h, struct sub *s, const struct delivery *d, size_t n)
{
	struct stream_times *t = stream_times(s);

	s->after = d[n - 1].cursor;
	if (!t->steady)
		t->since_ms = h->now_ms;
	h->stats->deliveries += n;
	s->ops->deliver(s->sess, d, n, s->after);
}

/*
 * A message became visible: everyone who waits on its channel gets it.  What
 * they do with it may bring new readers, behind all others, but ends none.
 */
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
			continue; /* back already, within its answer, or it
				   * had it in another channel */
		if (s->reading != NULL)
			replay_keep(h, s, d);
		else if (s->kind == SUB_STREAM)
			sub_stream_live(h, s, d, 1);
		else
			sub_end_deliver(h, s, d, 1, d->cursor);
	}
}

/* A stream goes on without c.  False: it has no other channel. */
static bool
stream_leave_channel(struct hub *h, struct sub *s, struct channel *c)
{
	bool others = false;

	for (uint32_t i = 0; i < s->n; i++) {
		struct wait *w = &s->waits[i];

		if (w->channel == c)
			wait_leave(h, w);
		else if (w->channel != NULL)
			others = true;
	}
	replay_leave_channel(s, c);
	return others;
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
		bool last =
		    s->kind != SUB_STREAM || !stream_leave_channel(h, s, c);

		/* No later one is below it, even if the clock goes back. */
		s->after = position;
		if (last)
			hub_unsubscribe(h, &s);
		ops->deleted(sess, c, text, position, last);
	}
}

/* A stream's ping, unless a message put it off. */
static void
stream_ping(struct hub *h, struct sub *s)
{
	struct stream_times *t = stream_times(s);
	bool due = h->now_ms - t->since_ms >= t->ping_ms;
	int err;

	if (due)
		t->since_ms = h->now_ms;
	heap_remove(&h->deadlines, &s->deadline);
	err = sub_set_deadline(h, s, 0);
	assert(err == 0); /* its place was freed just now */
	if (due && s->reading == NULL)
		s->ops->ping(s->sess);
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
		if (sub_ends_ms(h, first) > h->now_ms)
			stream_ping(h, s);
		else if (replay_at_store(s))
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
