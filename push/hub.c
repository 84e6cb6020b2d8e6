/*
 * push/hub.c - publishes on their way, what the store says of them, and the
 * positions that may leave.
 *
 * Positions.  The store gives each publish its cursor when it commits it, so
 * between hub_publish() and hub_store_done() a cursor exists that the loop
 * does not know.  A position P given to a reader meanwhile must be below it,
 * or the reader would come back with P and never see that message.  What is
 * known of every cursor on its way: it is above `committed` (the store's
 * order) and above `floor`, the highest position given before the oldest of
 * them was queued (it was told so).  Hence:
 *   nothing on its way: P = (now, 0), and the next publish is told to stay
 *     above it;
 *   otherwise: P = (the second of max(committed, floor), 0).
 * And in both cases P is never below what the reader had, nor above what the
 * store has reserved: after a kill it continues above the reservation.
 */
#include "push/hub_priv.h"

#include "base/log.h"

#define RESERVE_AHEAD_S 1      /* ask for more when less is left */
#define RESERVE_BEHIND_S 60    /* or when it is so old */
#define RESERVE_BEFORE_MS 2000 /* of the next end of a wait */
#define TICK_MS 1000
#define BACKLOG_MESSAGES 256
#define BACKLOG_BYTES ((size_t)256 << 10)
#define BACKLOGS_BYTES ((size_t)64 << 20) /* of all */

struct loading {
	struct hub *hub;
	int err;
};

static void
hub_load_channel(void *arg, const struct store_channel *sc)
{
	struct loading *l = arg;
	struct hub *h = l->hub;
	struct channel *c = channel_new(h, sc->name, sc->channel);

	if (c == NULL) {
		l->err = ERR_NOMEM;
		return;
	}
	c->last_id = sc->last_id;
	c->last_cursor = sc->last_cursor;
	/* Not known more exactly; too high only costs a read. */
	c->tail = sc->stored != 0 ? sc->last_cursor : 0;
	c->stored = (uint32_t)sc->stored;
	c->on_disk = true;
	h->stats->stored_messages += sc->stored;
}

int
hub_new(struct store *store, struct stats *stats, struct hub **out)
{
	struct store_state state;
	struct hub *h = calloc(1, sizeof(*h));
	struct loading loading = { h, 0 };
	int err;

	if (h == NULL)
		return ERR_NOMEM;
	h->store = store;
	h->stats = stats;
	h->now_s = clock_wall_s(NULL);
	h->now_ms = clock_mono_ms();
	hash_key_init(&h->hash_key);
	map_init(&h->names);
	map_init(&h->numbers);
	map_init(&h->readings);
	TAILQ_INIT(&h->idle);
	heap_init(&h->deadlines);
	h->next_token = 1;
	h->backlog_messages = BACKLOG_MESSAGES;
	h->backlog_bytes = BACKLOG_BYTES;
	h->backlogs.max = BACKLOGS_BYTES;
	err = store_load(store, hub_load_channel, &loading, &state);
	if (err == 0)
		err = loading.err;
	if (err != 0) {
		hub_free(&h);
		return err;
	}
	h->committed = h->given = h->floor = state.last;
	h->next_channel = state.next_channel;
	stats->published_messages = state.published;
	*out = h;
	return 0;
}

void
hub_free(struct hub **hp)
{
	struct hub *h = *hp;
	struct channel *c;
	struct sub *s;
	size_t at;

	*hp = NULL;
	if (h == NULL)
		return;
	/* The store has gone, and its operations with it. */
	h->events = NULL;
	for (at = 0; (s = map_walk(&h->readings, &at)) != NULL;)
		replay_forget_op(s);
	for (at = 0; (c = map_walk(&h->numbers, &at)) != NULL;) {
		struct wait *w;

		while ((w = TAILQ_FIRST(&c->waits)) != NULL) {
			s = w->sub;
			hub_unsubscribe(h, &s);
		}
	}
	for (at = 0; (c = map_walk(&h->numbers, &at)) != NULL;)
		free(c);
	map_release(&h->names);
	map_release(&h->numbers);
	map_release(&h->readings);
	heap_release(&h->deadlines);
	free(h);
}

void
hub_set_limits(struct hub *h, const struct hub_limits *limits)
{
	struct channel *c;

	h->limits = *limits;
	events_choose(h);
	/* Channels that were loaded, or made under other limits. */
	for (size_t at = 0; (c = map_walk(&h->numbers, &at)) != NULL;) {
		if (!c->deleted)
			channel_adopt(h, c);
	}
}

uint64_t
hub_newest(const struct hub *h)
{
	return MAX_OF(h->committed, h->given);
}

int64_t
hub_now_s(const struct hub *h)
{
	return h->now_s;
}

uint64_t
hub_now_ms(const struct hub *h)
{
	return h->now_ms;
}

uint64_t
hub_position_now(struct hub *h, uint64_t after)
{
	uint64_t limit, position;

	/* A client's word is no position of ours: see hub_subscribe(). */
	after = MIN_OF(after, MAX_OF(h->committed, h->given));
	if (h->inflight == 0)
		limit = (uint64_t)h->now_s;
	else
		limit = cursor_time(MAX_OF(h->committed, h->floor));
	limit = MIN_OF(limit, cursor_time(store_reserved(h->store)));
	position = MAX_OF(after, cursor_make(limit, 0));
	h->given = MAX_OF(h->given, position);
	return position;
}

/*
 * A position will be given when the next wait ends: have it covered by then.
 * Waits may also end earlier (a deletion, our own end), so that the
 * reservation is never much behind either.  It costs a sync of the disk, so
 * more would be too much for a quiet site.
 */
static void
hub_reserve(struct hub *h)
{
	const struct heap_item *first = heap_first(&h->deadlines);
	uint64_t now_s = (uint64_t)h->now_s;
	uint64_t reserved_s = cursor_time(store_reserved(h->store));
	struct store_op *op;
	bool soon;

	if (h->reserving || first == NULL)
		return;
	soon = sub_ends_ms(h, first) <= h->now_ms + RESERVE_BEFORE_MS;
	if (reserved_s + RESERVE_BEHIND_S >= now_s &&
	    (!soon || reserved_s >= now_s + RESERVE_AHEAD_S))
		return;
	op = store_op_reserve();
	if (op == NULL)
		return; /* positions stay where they are covered */
	if (store_submit(h->store, op) != 0)
		store_op_free(&op);
	else
		h->reserving = true;
}

void
hub_set_time(struct hub *h, int64_t wall_s, uint64_t mono_ms)
{
	h->now_s = wall_s;
	h->now_ms = mono_ms;
}

void
hub_tick(struct hub *h)
{
	sub_expire(h);
	channel_collect_idle(h);
	hub_reserve(h);
}

void
hub_hand_over(struct hub *h)
{
	store_flush_many(h->store);
}

uint64_t
hub_next_ms(const struct hub *h)
{
	const struct heap_item *first = heap_first(&h->deadlines);
	const struct channel *idle = TAILQ_FIRST(&h->idle);
	uint64_t next = UINT64_MAX;

	if (first != NULL)
		next = MIN_OF(first->key, h->now_ms + TICK_MS);
	if (idle != NULL)
		next =
		    MIN_OF(next, MAX_OF(idle->expires_ms, h->now_ms + TICK_MS));
	return next;
}

/* The wait's owner is told, unless it has gone. */
static void
wait_end(struct hub_wait *w, int err)
{
	if (w == NULL)
		return;
	w->home = NULL;
	w->done(w->arg, err);
}

void
hub_forget(struct hub_wait *w)
{
	if (w->home != NULL)
		*w->home = NULL;
	w->home = NULL;
}

/* Is no channel named twice? */
static bool
all_different(struct hub *h, struct channel *const *channels, uint32_t n)
{
	uint64_t mark = h->next_token++;

	for (uint32_t i = 0; i < n; i++) {
		if (channels[i]->mark == mark)
			return false;
		channels[i]->mark = mark;
	}
	return true;
}

/* One channel's share of a publish that is about to be queued. */
static void
publish_member(
    struct hub *h, struct channel *c, bool keep, struct store_member *m)
{
	m->channel = c->number;
	c->inflight++;
	if (!c->on_disk)
		m->name = channel_name(c);
	if (keep && h->limits.max_stored != 0 &&
	    c->stored + c->inflight > h->limits.max_stored)
		m->cap = h->limits.max_stored;
	channel_touch(h, c);
}

static void
publish_undo(struct hub *h, struct store_append *a)
{
	for (uint32_t i = 0; i < a->n; i++) {
		struct channel *c = map_get(&h->numbers, a->members[i].channel);

		c->inflight--;
	}
}

int
hub_publish(struct hub *h, struct channel *const *channels, uint32_t n,
    struct msg *msg, unsigned how, struct hub_wait *wait)
{
	bool keep = (how & HUB_KEEP) != 0;
	bool shared = (how & HUB_SHARED) != 0;
	struct store_op *op;
	int err;

	assert(!shared || all_different(h, channels, n));
	op = store_op_append(msg, n);
	if (op == NULL) {
		msg_unref(&msg);
		return ERR_NOMEM;
	}
	op->u.append.keep = keep;
	op->u.append.shared = shared;
	op->u.append.floor = h->given;
	for (uint32_t i = 0; i < n; i++)
		publish_member(h, channels[i], keep, &op->u.append.members[i]);
	err = store_submit(h->store, op);
	if (err != 0) {
		publish_undo(h, &op->u.append);
		store_op_free(&op);
		return err;
	}
	op->caller = wait;
	if (wait != NULL)
		wait->home = (struct hub_wait **)&op->caller;
	if (h->inflight++ == 0)
		h->floor = h->given;
	return 0;
}

static void
publish_failed(struct hub *h, const struct store_append *a)
{
	for (uint32_t i = 0; i < a->n; i++) {
		struct channel *c = map_get(&h->numbers, a->members[i].channel);

		c->inflight--;
		h->stats->events_lost += c == h->events;
		channel_released(h, c);
	}
}

/* It is on disk: from here on it exists for everybody. */
static void
publish_visible(struct hub *h, const struct store_append *a)
{
	for (uint32_t i = 0; i < a->n; i++) {
		const struct store_member *m = &a->members[i];
		struct channel *c = map_get(&h->numbers, m->channel);

		c->inflight--;
		c->on_disk = true;
		c->last_id = m->id;
		c->last_cursor = store_append_cursor(a, i);
		h->committed = c->last_cursor;
		limit_count(&h->stats->limits,
		    LIMIT_push_stream_max_messages_stored_per_channel,
		    m->trimmed);
		if (a->keep) {
			c->tail = c->last_cursor;
			c->stored += 1 - m->trimmed;
		}
		if (c == h->events)
			continue; /* in no total */
		h->stats->published_messages++;
		if (a->keep)
			h->stats->stored_messages += 1 - (uint64_t)m->trimmed;
	}
}

/* A reader of several channels of a shared message has it after the first of
 * them, and is past its cursor then. */
static void
publish_deliver(struct hub *h, const struct store_append *a)
{
	for (uint32_t i = 0; i < a->n; i++) {
		const struct store_member *m = &a->members[i];
		struct channel *c = map_get(&h->numbers, m->channel);
		struct delivery d = { .msg = a->msg,
			.channel = c,
			.cursor = store_append_cursor(a, i),
			.id = m->id,
			.kept = a->keep,
			.live = true };

		sub_deliver_live(h, &d);
		channel_released(h, c);
	}
}

/*
 * The publisher is answered first: its answer counts the readers that the
 * message finds, and long polls leave as they are served.
 */
static void
publish_done(struct hub *h, struct store_op *op)
{
	h->inflight--;
	if (op->err != 0) {
		publish_failed(h, &op->u.append);
		wait_end(op->caller, op->err);
		return;
	}
	publish_visible(h, &op->u.append);
	wait_end(op->caller, 0);
	publish_deliver(h, &op->u.append);
}

int
hub_delete(struct hub *h, struct channel *const *channels, uint32_t n,
    struct slice text, struct hub_wait *wait)
{
	struct store_drop *drop;
	struct deletion *del;
	struct store_op *op;
	int err;

	/* Those on their way out are in memory, too, and in no limit. */
	if (h->limits.max_channels != 0 &&
	    hub_channels_deleted(h) >= h->limits.max_channels)
		return ERR_BUSY;
	del = malloc(sizeof(*del) + text.len);
	op = store_op_drop(n);

	if (op == NULL || del == NULL) {
		free(del);
		store_op_free(&op);
		return ERR_NOMEM;
	}
	del->wait = wait;
	wait->home = &del->wait;
	del->text_len = text.len;
	if (text.len != 0)
		memcpy(del->text, text.ptr, text.len);
	op->caller = del;
	drop = &op->u.drop;
	drop->n = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (channels[i]->deleted || channels[i] == h->events)
			continue; /* named twice, or here to stay */
		drop->channels[drop->n++] = channels[i]->number;
		channel_hide(h, channels[i]);
	}
	err = store_submit(h->store, op);
	assert(err == 0); /* drops are always taken */
	h->deleting++;
	return 0;
}

static void
delete_done(struct hub *h, struct store_op *op)
{
	struct deletion *del = op->caller;

	if (del == NULL)
		return; /* collected for inactivity */
	h->deleting--;
	for (uint32_t i = 0; i < op->u.drop.n; i++) {
		struct channel *c =
		    map_get(&h->numbers, op->u.drop.channels[i]);

		/* It could not be dropped, so it is there again.  But if
		 * another had its name meanwhile, that one may have taken its
		 * row: then its number is the store's to purge, and it ends. */
		if (op->err != 0 && !c->replaced) {
			channel_show(h, c);
			continue;
		}
		sub_channel_deleted(
		    h, c, (struct slice){ del->text, del->text_len });
		h->stats->stored_messages -= c->stored;
		channel_free(h, c);
	}
	wait_end(del->wait, op->err);
	free(del);
}

static void
collected(struct hub *h, const struct store_collected *gone)
{
	for (uint32_t i = 0; i < gone->n; i++) {
		struct channel *c = map_get(&h->numbers, gone->gone[i].channel);

		if (c == NULL)
			continue; /* it was dropped meanwhile */
		assert(c->stored >= gone->gone[i].count);
		c->stored -= (uint32_t)gone->gone[i].count;
		if (c != h->events)
			h->stats->stored_messages -= gone->gone[i].count;
		channel_released(h, c);
	}
}

void
hub_store_done(void *arg, struct store_op *op)
{
	struct hub *h = arg;

	switch (op->kind) {
	case STORE_APPEND:
		publish_done(h, op);
		break;
	case STORE_READ:
		replay_read_done(h, op);
		break;
	case STORE_DROP:
		delete_done(h, op);
		break;
	case STORE_RESERVE:
		h->reserving = false;
		break;
	case STORE_COLLECTED:
		collected(h, &op->u.collected);
		break;
	case STORE_BACKUP:
		break; /* not the hub's; see daemon/ */
	}
	store_op_free(&op);
}

bool
hub_busy(const struct hub *h)
{
	return h->inflight != 0 || h->deleting != 0 || h->readings.count != 0;
}
