/*
 * push/events.c - what happens to channels and readers, told on a channel.
 *
 * The events channel (push-stream.md section 13) is one like any other: its
 * messages are stored, expire, and have ids that go on after a restart.  But
 * it is always there, nothing is told about itself, and its messages are in
 * no total: those count what others published.
 *
 * What is told is queued like any publish, so its place in the log is that of
 * what it tells.  Nobody waits for it; what cannot be queued or stored is
 * counted and forgotten.  One poll of many channels tells thousands, so only
 * some may be on their way: the store's queue is for those who publish.
 */
#include "push/hub_priv.h"

#include "base/buf.h"
#include "base/log.h"

#define EVENTS_INFLIGHT 16384

bool
hub_is_events(const struct hub *h, const struct channel *c)
{
	return c != NULL && c == h->events;
}

/* The messages of c join the totals (by 1), or leave them (by -1). */
static void
events_count(struct hub *h, const struct channel *c, int by)
{
	struct stats *st = h->stats;

	if (c == NULL)
		return;
	if (by > 0) {
		st->published_messages += c->last_id;
		st->stored_messages += c->stored;
		return;
	}
	/* Its last id may be ahead of its messages: older versions left gaps
	 * where a publish failed. */
	st->published_messages -= MIN_OF(c->last_id, st->published_messages);
	st->stored_messages -= c->stored;
}

/* New limits may name another channel, or none. */
void
events_choose(struct hub *h)
{
	struct slice name = h->limits.events_channel;
	struct channel *c = NULL;

	if (name.len != 0) {
		c = hub_find(h, name);
		if (c == NULL)
			c = channel_new(h, name, h->next_channel++);
		if (c == NULL)
			log_at(LOG_ERROR,
			    "no memory for the events channel: there are no "
			    "events");
	}
	if (c == h->events)
		return;
	events_count(h, h->events, 1);
	events_count(h, c, -1);
	h->events = c;
}

/* {"type": "channel_created", "channel": "c1"}, or NULL. */
static struct msg *
events_msg(const struct hub *h, struct slice type, const struct channel *c)
{
	struct msg *msg = NULL;
	struct buf b;
	int err;

	buf_init(&b, SIZE_MAX);
	err = buf_printf(&b, "{\"type\": \"%s\", \"channel\": \"", type.ptr);
	if (err == 0)
		err = buf_json(&b, channel_name(c));
	if (err == 0)
		err = buf_text(&b, "\"}");
	if (err == 0)
		msg = msg_new(b.data, b.len, NULL, &type,
		    h->now_s + h->limits.message_ttl_s);
	buf_release(&b);
	return msg;
}

void
events_tell(struct hub *h, const char *type, const struct channel *c)
{
	struct msg *msg;

	if (h->events == NULL || c == h->events)
		return;
	if (h->events->inflight >= EVENTS_INFLIGHT) {
		h->stats->events_lost++;
		return;
	}
	msg = events_msg(h, (struct slice){ type, strlen(type) }, c);
	if (msg == NULL ||
	    hub_publish(h, &h->events, 1, msg, HUB_KEEP, NULL) != 0)
		h->stats->events_lost++;
}
