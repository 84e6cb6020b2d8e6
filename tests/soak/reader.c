/* tests/soak/reader.c - those who wait, leave, and come back where they were.
 *
 * Polls go on with the position that the last answer's head gave; a stream
 * that comes back, with that of its last message.  All begin before the first
 * publish, so a chain begins with message 1.
 */
#include "tests/soak/crowd.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A message lives for two windows at least. */
#define AWAY_LONG(c) ((c)->window_ns)
#define AWAY_SHORT(c) ((c)->window_ns / 4)
#define LONG_ONE_IN 10
#define TICK_NS (20 * 1000000ULL)
#define RETURNS 64 /* of each tick, so that no backlog overflows */
#define EVER "Thu, 01 Jan 1970 00:00:01 GMT"

static const char *const paths[] = {
	[POLL] = "poll",
	[EVENTSOURCE] = "sse",
	[WEBSOCKET] = "ws",
};

static void
reader_ask(struct crowd *c, struct reader *r)
{
	char text[REQUEST_CAP];
	int n = snprintf(text, sizeof(text),
	    "GET /%s/?CHANNEL_ID=%s%s%s HTTP/1.1\r\n"
	    "Host: soak\r\nIf-Modified-Since: %s\r\nIf-None-Match: %s\r\n"
	    "%s\r\n",
	    paths[r->kind], r->channels[0]->name, r->n > 1 ? "/" : "",
	    r->n > 1 ? r->channels[1]->name : "", r->time, r->tag,
	    r->kind == WEBSOCKET ? "Upgrade: websocket\r\n"
				   "Connection: Upgrade\r\n"
				   "Sec-WebSocket-Version: 13\r\n"
				   "Sec-WebSocket-Key: "
				   "dGhlIHNhbXBsZSBub25jZQ==\r\n"
				 : "");

	peer_ask(c, &r->peer, r->kind != POLL, text, (size_t)n);
}

static void
reader_leave(struct crowd *c, struct reader *r)
{
	bool longer = crowd_random(c, LONG_ONE_IN) == 0;

	peer_close(&r->peer);
	r->back_ns =
	    c->now_ns + crowd_random(c, longer ? AWAY_LONG(c) : AWAY_SHORT(c));
	c->n.left++;
}

static void
reader_check(struct crowd *c, struct reader *r, const struct message *m)
{
	uint32_t number = (uint32_t)strtoul(m->text, NULL, 10);
	size_t i = 0;

	while (
	    i < r->n && memcmp(m->channel, r->channels[i]->name, NAME_LEN) != 0)
		i++;
	if (i == r->n || number == 0 || number > r->channels[i]->sent) {
		c->n.strange++;
		warnx("a %s got %.80s", paths[r->kind], m->channel);
		return;
	}
	c->n.received++;
	if (number <= r->last[i])
		c->n.doubled++;
	else
		c->n.lost += number - r->last[i] - 1;
	if (number != r->last[i] + 1)
		warnx("a %s of %s got %u after %u, from %s, %s", paths[r->kind],
		    r->channels[i]->name, number, r->last[i], r->time, r->tag);
	r->last[i] = number;
}

/* Look at all messages that are whole. */
static void
reader_messages(struct crowd *c, struct reader *r)
{
	struct http *h = &r->peer.http;
	const char *p = h->body, *end = p + h->nbody, *next;
	struct message m;

	if (h->nbody == 0)
		return;
	while ((next = message_next(p, end, &m)) != NULL) {
		reader_check(c, r, &m);
		if (r->kind != POLL) {
			snprintf(r->tag, sizeof(r->tag), "%.*s", (int)m.tag_len,
			    m.tag);
			snprintf(r->time, sizeof(r->time), "%.*s",
			    (int)m.time_len, m.time);
		}
		p = next;
	}
	http_take(h, (size_t)(p - h->body));
}

static void
poll_answered(struct crowd *c, struct reader *r)
{
	const struct http *h = &r->peer.http;

	if (h->status != 200 && h->status != 304) {
		peer_refused(c, &r->peer, "a poll");
		reader_leave(c, r);
		return;
	}
	c->n.polls++;
	c->n.timeouts += h->status == 304;
	reader_messages(c, r);
	http_field(h, "Last-Modified", r->time);
	http_field(h, "Etag", r->tag);
	reader_ask(c, r);
}

static int
stream_status(const struct reader *r)
{
	return r->kind == WEBSOCKET ? 101 : 200;
}

/* Is what follows the last message a frame that closes, and nothing else? */
static bool
is_close_frame(const struct http *h)
{
	const unsigned char *p = (const unsigned char *)h->body;

	return h->nbody >= 2 && p[0] == 0x88 && h->nbody == 2U + p[1];
}

/* By the server, in the way that is proper: back at once. */
static void
stream_ended(struct crowd *c, struct reader *r)
{
	if (r->kind == WEBSOCKET && !is_close_frame(&r->peer.http))
		c->n.torn++;
	c->n.ended++;
	peer_close(&r->peer);
	r->back_ns = c->now_ns;
}

static void
reader_readable(struct crowd *c, struct peer *p)
{
	struct reader *r = (struct reader *)p;
	int done = peer_read(c, p);

	if (done < 0) {
		reader_leave(c, r);
	} else if (r->kind == POLL) {
		if (done > 0)
			poll_answered(c, r);
	} else if (done > 0 && p->http.status != stream_status(r)) {
		peer_refused(c, p, "a stream");
		reader_leave(c, r);
	} else {
		reader_messages(c, r);
		if (done > 0)
			stream_ended(c, r);
	}
}

void
readers_make(struct crowd *c, const size_t kinds[READER_KINDS])
{
	size_t made = 0;

	c->readers = calloc(c->nreaders, sizeof(*c->readers));
	if (c->readers == NULL)
		err(1, "readers");
	for (int kind = 0; kind < READER_KINDS; kind++) {
		for (size_t i = 0; i < kinds[kind]; i++) {
			struct reader *r = &c->readers[made++];

			r->peer = (struct peer){ .readable = reader_readable,
				.fd = -1 };
			r->kind = (enum reader_kind)kind;
			r->n = made % 8 == 0 ? 2 : 1;
			r->channels[0] = &c->channels[made % c->nchannels];
			r->channels[1] = &c->channels[made * 7 % c->nchannels];
			if (r->channels[0] == r->channels[1])
				r->n = 1;
			snprintf(r->time, sizeof(r->time), EVER);
			snprintf(r->tag, sizeof(r->tag), "0");
		}
	}
}

void
readers_return(struct crowd *c)
{
	static uint64_t next_ns;
	size_t n = 0;

	if (c->now_ns < next_ns)
		return;
	next_ns = c->now_ns + TICK_NS;
	for (size_t i = 0; i < c->nreaders && n < RETURNS; i++) {
		struct reader *r = &c->readers[i];

		if (r->peer.fd >= 0 || (c->now_ns < r->back_ns && !c->stopping))
			continue;
		c->n.returned += r->back_ns != 0;
		reader_ask(c, r);
		n++;
	}
}

void
readers_leave(struct crowd *c)
{
	uint64_t due =
	    (uint64_t)(c->leave_rate * (double)(c->now_ns - c->begin_ns) / 1e9);

	for (; c->left_due < due; c->left_due++) {
		struct reader *r = &c->readers[crowd_random(c, c->nreaders)];

		if (r->peer.fd >= 0)
			reader_leave(c, r);
	}
}

size_t
readers_behind(const struct crowd *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->nreaders; i++) {
		const struct reader *r = &c->readers[i];
		bool behind = false;

		for (size_t k = 0; k < r->n; k++)
			behind |= r->last[k] != r->channels[k]->sent;
		n += behind;
	}
	return n;
}
