/* push/backlog.c - an array that grows, and bounds. */
#include "push/backlog.h"

void
backlog_init(struct backlog *b, struct quota *all)
{
	memset(b, 0, sizeof(*b));
	b->at = &b->first;
	b->room = 1;
	b->all = all;
}

static size_t
msg_memory(const struct msg *m)
{
	return sizeof(*m) + msg_bytes(m);
}

static bool
backlog_hold(struct backlog *b, struct msg *m)
{
	if (m->waiting == 0 && !quota_take(b->all, msg_memory(m)))
		return false;
	msg_ref(m)->waiting++;
	return true;
}

static void
backlog_drop(struct backlog *b, struct msg *m)
{
	if (--m->waiting == 0)
		quota_give(b->all, msg_memory(m));
	msg_unref(&m);
}

void
backlog_clear(struct backlog *b)
{
	for (uint32_t i = 0; i < b->n; i++)
		backlog_drop(b, b->at[i].msg);
	b->n = b->messages = 0;
	b->bytes = 0;
}

void
backlog_release(struct backlog *b)
{
	backlog_clear(b);
	if (b->at != &b->first) {
		quota_give(b->all, b->room * sizeof(*b->at));
		free(b->at);
	}
	backlog_init(b, b->all);
}

static bool
backlog_grow(struct backlog *b)
{
	uint32_t room = b->room * 4;
	size_t had = b->at != &b->first ? b->room * sizeof(*b->at) : 0;
	size_t more = room * sizeof(*b->at) - had;
	struct delivery *at;

	if (b->n < b->room)
		return true;
	if (!quota_take(b->all, more))
		return false;
	at = calloc(room, sizeof(*at));
	if (at == NULL) {
		quota_give(b->all, more);
		return false;
	}
	memcpy(at, b->at, b->n * sizeof(*at));
	if (b->at != &b->first)
		free(b->at);
	b->at = at;
	b->room = room;
	return true;
}

/* Is d another message than the backlog's last? */
static bool
is_another(const void *backlog, const struct delivery *d)
{
	const struct backlog *b = backlog;

	return b->n == 0 || b->at[b->n - 1].cursor != d->cursor;
}

/* Its place is there. */
static void
backlog_put(struct backlog *b, const struct delivery *d)
{
	if (is_another(b, d)) {
		b->messages++;
		b->bytes += msg_bytes(d->msg);
	}
	b->at[b->n++] = *d;
}

bool
backlog_add(struct backlog *b, const struct delivery *d, uint32_t max_messages,
    size_t max_bytes)
{
	if (b->n != 0 && is_another(b, d) &&
	    (b->messages >= max_messages ||
		b->bytes + msg_bytes(d->msg) > max_bytes))
		return false;
	if (!backlog_grow(b) || !backlog_hold(b, d->msg))
		return false;
	backlog_put(b, d);
	return true;
}

void
backlog_filter(struct backlog *b, backlog_stays_f *stays, const void *arg)
{
	uint32_t n = b->n;

	b->n = b->messages = 0;
	b->bytes = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct delivery d = b->at[i];

		if (stays(arg, &d))
			backlog_put(b, &d);
		else
			backlog_drop(b, d.msg);
	}
}

void
backlog_unite_shared(struct backlog *b)
{
	/* It fills up while it is filtered, so its last is what stayed last. */
	backlog_filter(b, is_another, b);
}
