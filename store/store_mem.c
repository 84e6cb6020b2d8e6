/*
 * store/store_mem.c - the log in memory: the reference that others are
 * compared with, and a daemon's store when it is told to forget everything.
 *
 * Plain and obvious: each channel has its messages in an array, a message
 * counts the channels that keep it, and a heap says which expires next.  A
 * read looks at all that its channels keep, and copies what it answers with.
 */
#include "base/heap.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/map.h"
#include "store/store_priv.h"

#define MEM_MAGIC 0x6d656d31U
#define RESERVE_S 2
#define RESERVE_TAGS 65536
#define EXPIRE_SLICE 256	    /* at least */
#define MAX_BYTES ((size_t)1 << 30) /* when no bound was set: there must be */

struct mem_entry {
	uint64_t cursor;
	uint64_t id;
	struct mem_message *message;
};

struct mem_channel {
	uint64_t number;
	uint64_t last_id;
	struct slice name;    /* its own copy */
	struct mem_entry *at; /* oldest first */
	size_t count, room;
	uint64_t collected; /* in the slice that runs */
};

struct mem_message {
	struct heap_item expiry;
	struct msg *msg;  /* our copy */
	size_t bytes;	  /* counted in mem->kept */
	uint32_t keepers; /* channels that have it */
	uint32_t n;
	uint64_t channels[]; /* of the append */
};

struct mem {
	uint32_t magic;
	struct store_stats *stats;
	struct map channels; /* number -> mem_channel */
	struct heap expiries;
	struct quota kept; /* bytes of messages */
	size_t fresh;	   /* messages since the last slice of upkeep */
	uint64_t last;
	uint64_t reserved;
	bool reserve;
};

static int
mem_open(const struct store_config *cfg, struct store_stats *stats, void **be)
{
	struct mem *mem = calloc(1, sizeof(*mem));

	if (mem == NULL)
		return ERR_NOMEM;
	mem->magic = MEM_MAGIC;
	mem->kept.max = cfg->max_bytes != 0 ? cfg->max_bytes : MAX_BYTES;
	mem->stats = stats;
	map_init(&mem->channels);
	heap_init(&mem->expiries);
	*be = mem;
	return 0;
}

static int
mem_load(void *be, store_channel_f *each, void *arg, struct store_state *state)
{
	(void)be;
	(void)each;
	(void)arg;
	*state = (struct store_state){ .next_channel = 1 };
	return 0;
}

static int
mem_begin(void *be)
{
	(void)be;
	return 0;
}

/* Message m is kept by one channel less. */
static void
mem_let_go(struct mem *mem, struct mem_message *m)
{
	if (--m->keepers != 0)
		return;
	heap_remove(&mem->expiries, &m->expiry);
	quota_give(&mem->kept, m->bytes);
	msg_unref(&m->msg);
	free(m);
}

static void
mem_cut(struct mem *mem, struct mem_channel *c, size_t i)
{
	mem_let_go(mem, c->at[i].message);
	c->count--;
	memmove(&c->at[i], &c->at[i + 1], (c->count - i) * sizeof(c->at[0]));
}

static void
mem_drop_channel(struct mem *mem, struct mem_channel *c)
{
	(void)map_remove(&mem->channels, c->number);
	while (c->count > 0)
		mem_cut(mem, c, c->count - 1);
	free(c->at);
	free((char *)c->name.ptr);
	free(c);
}

static struct mem_channel *
mem_channel(const struct mem *mem, uint64_t number)
{
	return number != 0 ? map_get(&mem->channels, number) : NULL;
}

/* Who has the name now gives it up. */
static void
mem_free_name(struct mem *mem, struct slice name)
{
	struct mem_channel *c;

	for (size_t at = 0; (c = map_walk(&mem->channels, &at)) != NULL;) {
		if (c->name.len == name.len &&
		    memcmp(c->name.ptr, name.ptr, name.len) == 0) {
			mem_drop_channel(mem, c);
			return;
		}
	}
}

static int
mem_make_channel(struct mem *mem, const struct store_member *m)
{
	struct mem_channel *c = calloc(1, sizeof(*c));
	char *name = malloc(m->name.len + 1);

	mem_free_name(mem, m->name);
	if (c != NULL && name != NULL) {
		c->number = m->channel;
		c->name = (struct slice){ name, m->name.len };
		memcpy(name, m->name.ptr, m->name.len);
		if (map_put(&mem->channels, c->number, c) == 0)
			return 0;
	}
	free(name);
	free(c);
	return ERR_NOMEM;
}

/* Channels with room for what they get: shared is one entry, else a channel
 * may be named n times. */
static int
mem_prepare(struct mem *mem, const struct store_append *a)
{
	size_t more = store_append_cursors(a);

	for (uint32_t i = 0; i < a->n; i++) {
		struct mem_channel *c = mem_channel(mem, a->members[i].channel);
		struct mem_entry *at;

		if (c == NULL) {
			if (mem_make_channel(mem, &a->members[i]) != 0)
				return ERR_NOMEM;
			c = mem_channel(mem, a->members[i].channel);
		}
		if (c->count + more <= c->room)
			continue;
		at = realloc(c->at, (c->count + more) * 2 * sizeof(*at));
		if (at == NULL)
			return ERR_NOMEM;
		c->at = at;
		c->room = (c->count + more) * 2;
	}
	return 0;
}

/* A message with what leads to it; arrays of entries have up to twice the room
 * that they need. */
static size_t
mem_bytes(const struct store_append *a)
{
	return sizeof(struct mem_message) + sizeof(struct msg) +
	    msg_bytes(a->msg) + sizeof(struct heap_item *) +
	    a->n * (sizeof(uint64_t) + 2 * sizeof(struct mem_entry));
}

/* The copy that is kept: the operation's goes back to its caller.  ERR_FULL. */
static int
mem_message(
    struct mem *mem, const struct store_append *a, struct mem_message **out)
{
	struct mem_message *m =
	    calloc(1, sizeof(*m) + a->n * sizeof(m->channels[0]));
	int err = m != NULL ? 0 : ERR_NOMEM;

	if (err == 0 && !quota_take(&mem->kept, mem_bytes(a)))
		err = ERR_FULL;
	if (err != 0) {
		free(m);
		return err;
	}
	m->bytes = mem_bytes(a);
	m->msg = msg_copy(a->msg);
	if (m->msg == NULL ||
	    heap_add(&mem->expiries, &m->expiry, (uint64_t)a->msg->expires) !=
		0) {
		quota_give(&mem->kept, m->bytes);
		msg_unref(&m->msg);
		free(m);
		return ERR_NOMEM;
	}
	m->n = m->keepers = a->n;
	for (uint32_t i = 0; i < a->n; i++)
		m->channels[i] = a->members[i].channel;
	*out = m;
	return 0;
}

/* kept: the message, or NULL if it is live only. */
static void
mem_add(struct mem *mem, struct store_append *a, struct mem_message *kept)
{
	for (uint32_t i = 0; i < a->n; i++) {
		struct store_member *m = &a->members[i];
		struct mem_channel *c = mem_channel(mem, m->channel);

		m->id = ++c->last_id;
		if (kept == NULL)
			continue;
		c->at[c->count++] =
		    (struct mem_entry){ store_append_cursor(a, i), m->id,
			    kept };
		while (m->cap != 0 && c->count > m->cap) {
			mem_cut(mem, c, 0);
			m->trimmed++;
			mem->stats->collected++;
		}
	}
}

/*
 * All that may fail comes first, so there is never anything to roll back but
 * channels without messages, which do no harm.
 */
static int
mem_append(void *be, struct store_append *a, int64_t now_s)
{
	uint32_t cursors = store_append_cursors(a);
	struct mem_message *m = NULL;
	struct mem *mem;
	int err = 0;

	OBJ_CAST(mem, be, MEM_MAGIC);
	for (uint32_t i = 0; i < a->n; i++) {
		a->members[i].trimmed = 0;
		if (mem_channel(mem, a->members[i].channel) == NULL &&
		    (a->members[i].channel == 0 ||
			a->members[i].name.ptr == NULL))
			return ERR_NOTFOUND;
	}
	if (mem_prepare(mem, a) != 0)
		return ERR_NOMEM;
	if (a->keep)
		err = mem_message(mem, a, &m);
	if (err != 0)
		return err;
	a->cursor =
	    cursor_next(MAX_OF(mem->last, a->floor), (uint64_t)now_s, cursors);
	mem->last = a->cursor + cursors - 1;
	mem->fresh++;
	mem_add(mem, a, m);
	return 0;
}

static int
mem_drop(void *be, const struct store_drop *d)
{
	struct mem *mem;

	OBJ_CAST(mem, be, MEM_MAGIC);
	for (uint32_t i = 0; i < d->n; i++) {
		struct mem_channel *c = mem_channel(mem, d->channels[i]);

		if (c != NULL)
			mem_drop_channel(mem, c);
	}
	return 0;
}

static void
mem_reserve(void *be)
{
	struct mem *mem;

	OBJ_CAST(mem, be, MEM_MAGIC);
	mem->reserve = true;
}

/* There is no later life to protect, but the loop's rule is the same. */
static int
mem_commit(void *be, int64_t now_s, uint64_t *reserved)
{
	struct mem *mem;
	uint64_t clock, ahead_s;

	OBJ_CAST(mem, be, MEM_MAGIC);
	ahead_s = mem->reserve ? RESERVE_S : RESERVE_S / 2;
	clock = cursor_make((uint64_t)now_s + ahead_s, 0);
	if (mem->reserved < MAX_OF(clock, mem->last + RESERVE_TAGS / 2)) {
		clock = cursor_make((uint64_t)now_s + RESERVE_S, 0);
		mem->reserved = MAX_OF(
		    MAX_OF(clock, mem->reserved), mem->last + RESERVE_TAGS);
	}
	mem->reserve = false;
	*reserved = mem->reserved;
	return 0;
}

static void
mem_rollback(void *be)
{
	(void)be;
}

/* --- reading ----------------------------------------------------------- */

static uint64_t
mem_start_newest(
    const struct mem_channel *c, uint32_t last, uint64_t upto, int64_t now_s)
{
	uint64_t begin = upto;

	for (size_t i = c->count; i > 0 && last > 0; i--) {
		const struct mem_entry *e = &c->at[i - 1];

		if (e->cursor > upto || e->message->msg->expires <= now_s)
			continue;
		begin = e->cursor - 1;
		last--;
	}
	return begin;
}

/* The cursor after which want w begins; upto: it gets nothing. */
static uint64_t
mem_start(const struct mem_channel *c, const struct store_want *w,
    uint64_t upto, int64_t now_s)
{
	if (c == NULL)
		return upto;
	if (w->last != 0)
		return mem_start_newest(c, w->last, upto, now_s);
	for (size_t i = 0; i < c->count && w->by_event_id; i++) {
		const struct msg *m = c->at[i].message->msg;
		struct slice id = msg_event_id(m);

		if (w->by_position && c->at[i].cursor > w->after)
			break;
		if (m->has_event_id && m->expires > now_s &&
		    slice_equal(id, w->event_id))
			return c->at[i].cursor;
	}
	return w->by_position ? w->after : upto;
}

static int
compare_queue(const void *a, const void *b)
{
	const struct store_found *x = a, *y = b;

	if (x->cursor != y->cursor)
		return x->cursor < y->cursor ? -1 : 1;
	return x->want < y->want ? -1 : x->want > y->want;
}

static int
compare_wants(const void *a, const void *b)
{
	const struct store_found *x = a, *y = b;

	if (x->want != y->want)
		return x->want < y->want ? -1 : 1;
	return compare_queue(a, b);
}

/* Of a shared message, in the queue, only the first want's stays. */
static void
mem_unite_shared(struct store_read *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_found; i++) {
		if (n == 0 || r->found[n - 1].cursor != r->found[i].cursor)
			r->found[n++] = r->found[i];
	}
	r->n_found = n;
}

/* Cut what is found, the oldest staying, to the slice that was asked for. */
static void
mem_slice(struct store_read *r)
{
	size_t n, bytes = 0;

	r->cut = r->upto;
	qsort(r->found, r->n_found, sizeof(r->found[0]), compare_queue);
	mem_unite_shared(r);
	for (n = 0; n < r->n_found; n++) {
		bytes += msg_bytes(r->found[n].msg);
		if (n > 0 && (n >= r->max_messages || bytes > r->max_bytes))
			break;
	}
	if (n < r->n_found)
		r->cut = r->found[n - 1].cursor;
	r->n_found = n;
	qsort(r->found, r->n_found, sizeof(r->found[0]), compare_wants);
}

/* What is in the slice goes out as copies. */
static int
mem_copy(struct store_read *r)
{
	size_t n = r->n_found;

	for (r->n_found = 0; r->n_found < n; r->n_found++) {
		struct msg **at = &r->found[r->n_found].msg;

		*at = msg_copy(*at);
		if (*at != NULL)
			continue;
		while (r->n_found > 0)
			msg_unref(&r->found[--r->n_found].msg);
		return ERR_NOMEM;
	}
	return 0;
}

static void
mem_find(struct store_read *r, const struct mem_channel *c, uint32_t want,
    int64_t now_s)
{
	uint64_t begin = mem_start(c, &r->wants[want], r->upto, now_s);

	r->wants[want].begin = begin;
	for (size_t i = 0; c != NULL && i < c->count; i++) {
		const struct mem_entry *e = &c->at[i];

		if (e->cursor > begin && e->cursor <= r->upto &&
		    e->message->msg->expires > now_s)
			r->found[r->n_found++] =
			    (struct store_found){ e->message->msg, e->cursor,
				    e->id, want };
	}
}

static int
mem_read(void *be, struct store_read *r, int64_t now_s)
{
	struct mem *mem;
	size_t room = 1;

	OBJ_CAST(mem, be, MEM_MAGIC);
	for (uint32_t w = 0; w < r->n; w++) {
		struct mem_channel *c = mem_channel(mem, r->wants[w].channel);

		room += c != NULL ? c->count : 0;
	}
	r->n_found = 0;
	r->found = calloc(room, sizeof(r->found[0]));
	if (r->found == NULL)
		return ERR_NOMEM;
	for (uint32_t w = 0; w < r->n; w++)
		mem_find(r, mem_channel(mem, r->wants[w].channel), w, now_s);
	mem_slice(r);
	return mem_copy(r);
}

/* --- expiry ------------------------------------------------------------ */

static void
mem_expire(struct mem *mem, struct mem_message *m)
{
	uint32_t n = m->n;

	for (uint32_t k = 0; k < n; k++) {
		struct mem_channel *c = mem_channel(mem, m->channels[k]);
		size_t i = 0;
		bool last = m->keepers == 1;

		while (c != NULL && i < c->count && c->at[i].message != m)
			i++;
		if (c == NULL || i == c->count)
			continue; /* dropped, or trimmed */
		c->collected++;
		mem->stats->collected++;
		mem_cut(mem, c, i);
		if (last)
			return; /* m has gone */
	}
}

static int
mem_collected(struct mem *mem, struct store_op **out)
{
	struct mem_channel *c;
	uint32_t n = 0;
	size_t at;

	for (at = 0; (c = map_walk(&mem->channels, &at)) != NULL;)
		n += c->collected != 0;
	*out = store_op_collected(n);
	if (*out == NULL)
		return ERR_NOMEM;
	n = 0;
	for (at = 0; (c = map_walk(&mem->channels, &at)) != NULL;) {
		if (c->collected == 0)
			continue;
		(*out)->u.collected.gone[n++] =
		    (struct store_gone){ c->number, c->collected };
		c->collected = 0;
	}
	return 0;
}

static int
mem_tidy(void *be, int64_t now_s, struct store_op **out)
{
	struct heap_item *first;
	size_t n = 0, room;
	struct mem *mem;
	int err;

	OBJ_CAST(mem, be, MEM_MAGIC);
	room = MAX_OF(EXPIRE_SLICE, 2 * mem->fresh);
	mem->fresh = 0;
	while (n < room && (first = heap_first(&mem->expiries)) != NULL &&
	    first->key <= (uint64_t)now_s) {
		mem_expire(
		    mem, CONTAINER_OF(first, struct mem_message, expiry));
		n++;
	}
	if (n == 0)
		return 0;
	err = mem_collected(mem, out);
	return err != 0 ? err : 1;
}

/* --- the rest ---------------------------------------------------------- */

static int
mem_backup_start(void *be, const char *path)
{
	(void)be;
	log_at(
	    LOG_ERROR, "backup %s: a database in memory has no backup", path);
	return ERR_NOTFOUND;
}

static bool
mem_backup_done(void *be, int *err)
{
	(void)be;
	*err = 0;
	return true;
}

static int
mem_close(void **be)
{
	struct mem_channel *c;
	struct mem *mem;
	size_t at;

	OBJ_CAST(mem, *be, MEM_MAGIC);
	*be = NULL;
	for (at = 0; (c = map_walk(&mem->channels, &at)) != NULL; at = 0)
		mem_drop_channel(mem, c);
	map_release(&mem->channels);
	heap_release(&mem->expiries);
	free(mem);
	return 0;
}

const struct store_backend store_mem = {
	.name = "memory",
	.own_failures = true,
	.open = mem_open,
	.load = mem_load,
	.begin = mem_begin,
	.append = mem_append,
	.drop = mem_drop,
	.reserve = mem_reserve,
	.commit = mem_commit,
	.rollback = mem_rollback,
	.read = mem_read,
	.tidy = mem_tidy,
	.backup_start = mem_backup_start,
	.backup_done = mem_backup_done,
	.close = mem_close,
};
