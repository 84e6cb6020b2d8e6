/*
 * push/channel.c - the index of channels, and which of them nobody needs.
 *
 * A channel is collected when it keeps no message, has no reader, nothing is
 * on its way to it and its time is over (push-stream.md section 11.3).  Every
 * activity gives it the same time from now on, so a list in order of activity
 * is a list in order of expiry.  A channel that is past its time but still in
 * use leaves the list; losing its last reader or message puts it back, at the
 * front, since it may go at once.  One that nobody uses but somebody is behind
 * (hub_seen()) goes to the list's end, as if it had been active, so that
 * presence costs nothing before a channel's time is over.
 */
#include "push/hub_priv.h"

#define COLLECT_SLICE 4096 /* channels looked at in one turn */

static void
channel_count(struct hub *h, const struct channel *c, int by)
{
	uint64_t *gauge =
	    c->wildcard ? &h->stats->wildcard_channels : &h->stats->channels;

	*gauge = (uint64_t)((int64_t)*gauge + by);
}

static bool
channel_in_use(const struct hub *h, const struct channel *c)
{
	return c->stored != 0 || c->inflight != 0 || !TAILQ_EMPTY(&c->waits) ||
	    c == h->events;
}

static bool
channel_has_name(const struct channel *c, struct slice name)
{
	return slice_equal(channel_name(c), name);
}

struct channel *
hub_find(const struct hub *h, struct slice name)
{
	struct channel *c;

	c = map_get(&h->names, hash_bytes(&h->hash_key, name.ptr, name.len));
	while (c != NULL && (c->deleted || !channel_has_name(c, name)))
		c = c->same_hash;
	return c;
}

bool
hub_is_wildcard(const struct hub *h, struct slice name)
{
	const struct slice *p = &h->limits.wildcard_prefix;

	return p->len != 0 && name.len >= p->len &&
	    memcmp(name.ptr, p->ptr, p->len) == 0;
}

static bool
name_begins(const struct channel *c, struct slice prefix)
{
	return c->name_len >= prefix.len &&
	    (prefix.len == 0 || memcmp(c->name, prefix.ptr, prefix.len) == 0);
}

/*
 * Sort by number, a byte at a time from the lowest: this is done in one go for
 * all channels there are, and takes a quarter of what qsort() would.  Returns
 * where the result is, list or spare.
 */
static uint64_t *
numbers_sort(uint64_t *list, uint64_t *spare, size_t n, uint64_t max)
{
	for (unsigned shift = 0; shift < 64 && max >> shift != 0; shift += 8) {
		size_t at[257] = { 0 };
		uint64_t *sorted = spare;

		for (size_t i = 0; i < n; i++)
			at[(list[i] >> shift & 0xff) + 1]++;
		for (size_t i = 1; i < COUNT_OF(at); i++)
			at[i] += at[i - 1];
		for (size_t i = 0; i < n; i++)
			sorted[at[list[i] >> shift & 0xff]++] = list[i];
		spare = list;
		list = sorted;
	}
	return list;
}

int
hub_channels(
    const struct hub *h, struct slice prefix, uint64_t **numbers, size_t *n)
{
	uint64_t *list = malloc(MAX_OF(h->numbers.count, 1) * sizeof(*list));
	uint64_t *spare;
	const struct channel *c;

	*numbers = NULL;
	*n = 0;
	if (list == NULL)
		return ERR_NOMEM;
	for (size_t at = 0; (c = map_walk(&h->numbers, &at)) != NULL;) {
		if (!c->deleted && name_begins(c, prefix))
			list[(*n)++] = c->number;
	}
	spare = malloc(MAX_OF(*n, 1) * sizeof(*spare));
	if (spare == NULL) {
		free(list);
		return ERR_NOMEM;
	}
	*numbers = numbers_sort(list, spare, *n, h->next_channel);
	free(*numbers == list ? spare : list);
	return 0;
}

struct channel *
hub_channel(const struct hub *h, uint64_t number)
{
	struct channel *c = map_get(&h->numbers, number);

	return c != NULL && !c->deleted ? c : NULL;
}

uint64_t
hub_channels_deleted(const struct hub *h)
{
	return h->numbers.count - h->stats->channels -
	    h->stats->wildcard_channels;
}

/* Make the name lead to c, and for good: one of the same name that is being
 * dropped cannot have it back. */
static int
channel_link(struct hub *h, struct channel *c)
{
	struct channel *head = map_remove(&h->names, c->hash);
	int err;

	c->same_hash = head;
	err = map_put(&h->names, c->hash, c);
	if (err != 0) {
		/* There was a slot for head a moment ago, so only a name
		 * without one can come here. */
		assert(head == NULL);
		return err;
	}
	for (; head != NULL; head = head->same_hash) {
		if (channel_has_name(head, channel_name(c)))
			head->replaced = true;
	}
	channel_count(h, c, 1);
	return 0;
}

static void
channel_unlink(struct hub *h, struct channel *c)
{
	struct channel *head = map_remove(&h->names, c->hash);
	struct channel **at = &head;
	int err;

	while (*at != c)
		at = &(*at)->same_hash;
	*at = c->same_hash;
	c->same_hash = NULL;
	if (head != NULL) {
		err = map_put(&h->names, c->hash, head);
		assert(err == 0); /* its slot was freed just now */
	}
}

/* The name leads to c no more; its number still does. */
void
channel_hide(struct hub *h, struct channel *c)
{
	c->deleted = true;
	channel_count(h, c, -1);
}

/* It is not dropped after all. */
void
channel_show(struct hub *h, struct channel *c)
{
	assert(c->deleted && !c->replaced);
	c->deleted = false;
	channel_count(h, c, 1);
	channel_touch(h, c);
}

struct channel *
channel_new(struct hub *h, struct slice name, uint64_t number)
{
	struct channel *c;

	if (name.len > UINT16_MAX)
		return NULL;
	c = calloc(1, sizeof(*c) + name.len);
	if (c == NULL)
		return NULL;
	c->number = number;
	c->hash = hash_bytes(&h->hash_key, name.ptr, name.len);
	TAILQ_INIT(&c->waits);
	c->name_len = (uint16_t)name.len;
	if (name.len != 0)
		memcpy(c->name, name.ptr, name.len);
	c->wildcard = hub_is_wildcard(h, name);
	if (map_put(&h->numbers, number, c) != 0) {
		free(c);
		return NULL;
	}
	if (channel_link(h, c) != 0) {
		(void)map_remove(&h->numbers, number);
		free(c);
		return NULL;
	}
	channel_touch(h, c);
	return c;
}

int
hub_open(struct hub *h, struct slice name, struct channel **out)
{
	bool wildcard = hub_is_wildcard(h, name);
	uint64_t limit =
	    wildcard ? h->limits.max_wildcard_channels : h->limits.max_channels;
	uint64_t count =
	    wildcard ? h->stats->wildcard_channels : h->stats->channels;

	*out = hub_find(h, name);
	if (*out != NULL)
		return 0;
	if (limit != 0 && count >= limit) {
		limit_hit(&h->stats->limits,
		    wildcard ? LIMIT_push_stream_max_number_of_wildcard_channels
			     : LIMIT_push_stream_max_number_of_channels);
		return ERR_LIMIT;
	}
	*out = channel_new(h, name, h->next_channel);
	if (*out == NULL)
		return ERR_NOMEM;
	h->next_channel++;
	events_tell(h, "channel_created", *out);
	return 0;
}

void
channel_touch(struct hub *h, struct channel *c)
{
	c->expires_ms = h->now_ms + h->limits.channel_inactivity_ms;
	if (c->on_idle)
		TAILQ_REMOVE(&h->idle, c, idle);
	TAILQ_INSERT_TAIL(&h->idle, c, idle);
	c->on_idle = true;
}

/* New limits hold for c too; its time starts anew, as everybody's does, so the
 * list stays in order. */
void
channel_adopt(struct hub *h, struct channel *c)
{
	channel_count(h, c, -1);
	c->wildcard = hub_is_wildcard(h, channel_name(c));
	channel_count(h, c, 1);
	channel_touch(h, c);
}

void
hub_seen(struct hub *h, struct channel *c, uint64_t until_ms)
{
	(void)h;
	c->present_ms = MAX_OF(c->present_ms, until_ms);
}

bool
hub_present(const struct hub *h, const struct channel *c)
{
	return !c->deleted && c->present_ms > h->now_ms;
}

/* c lost a reader, a message or a publish: that may have been what kept it. */
void
channel_released(struct hub *h, struct channel *c)
{
	if (c->on_idle || c->deleted || channel_in_use(h, c))
		return;
	TAILQ_INSERT_HEAD(&h->idle, c, idle);
	c->on_idle = true;
}

/* Forget c altogether: it is hidden, its last reader and publish have gone. */
void
channel_free(struct hub *h, struct channel *c)
{
	assert(c->deleted && TAILQ_EMPTY(&c->waits) && c->inflight == 0);
	events_tell(h, "channel_destroyed", c);
	channel_unlink(h, c);
	if (c->on_idle)
		TAILQ_REMOVE(&h->idle, c, idle);
	(void)map_remove(&h->numbers, c->number);
	free(c);
}

static void
channel_drop_row(struct hub *h, const struct channel *c)
{
	struct store_op *op;

	if (!c->on_disk)
		return;
	op = store_op_drop(1);
	if (op == NULL)
		return; /* the row stays; a restart collects it */
	op->u.drop.channels[0] = c->number;
	if (store_submit(h->store, op) != 0)
		store_op_free(&op);
}

void
channel_collect_idle(struct hub *h)
{
	struct channel *c;

	for (int i = 0; i < COLLECT_SLICE; i++) {
		c = TAILQ_FIRST(&h->idle);
		if (c == NULL || c->expires_ms > h->now_ms)
			return;
		TAILQ_REMOVE(&h->idle, c, idle);
		c->on_idle = false;
		if (c->deleted || channel_in_use(h, c))
			continue;
		if (hub_present(h, c)) {
			channel_touch(h, c);
			continue;
		}
		channel_drop_row(h, c);
		channel_hide(h, c);
		channel_free(h, c);
	}
}
