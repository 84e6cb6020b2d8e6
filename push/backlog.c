/* push/backlog.c - an array that grows, and bounds. */
#include "push/backlog.h"

void
backlog_init(struct backlog *b)
{
	memset(b, 0, sizeof(*b));
	b->at = &b->first;
	b->room = 1;
}

void
backlog_clear(struct backlog *b)
{
	for (uint32_t i = 0; i < b->n; i++)
		msg_unref(&b->at[i].msg);
	b->n = 0;
	b->bytes = 0;
}

void
backlog_release(struct backlog *b)
{
	backlog_clear(b);
	if (b->at != &b->first)
		free(b->at);
	backlog_init(b);
}

static bool
backlog_grow(struct backlog *b)
{
	uint32_t room = b->room * 4;
	struct delivery *at;

	if (b->n < b->room)
		return true;
	at = calloc(room, sizeof(*at));
	if (at == NULL)
		return false;
	memcpy(at, b->at, b->n * sizeof(*at));
	if (b->at != &b->first)
		free(b->at);
	b->at = at;
	b->room = room;
	return true;
}

bool
backlog_add(struct backlog *b, const struct delivery *d, uint32_t max_messages,
    size_t max_bytes)
{
	if (b->n != 0 &&
	    (b->n >= max_messages || b->bytes + d->msg->text_len > max_bytes))
		return false;
	if (!backlog_grow(b))
		return false;
	b->at[b->n] = *d;
	b->at[b->n++].msg = msg_ref(d->msg);
	b->bytes += d->msg->text_len;
	return true;
}

void
backlog_filter(struct backlog *b, backlog_stays_f *stays, const void *arg)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		struct delivery *d = &b->at[i];

		if (stays(arg, d)) {
			b->at[n++] = *d;
			continue;
		}
		b->bytes -= d->msg->text_len;
		msg_unref(&d->msg);
	}
	b->n = n;
}
