/* tests/soak/life.c - channels that come and go.
 *
 * Each is made by two publishes, read from its beginning, and then either
 * deleted while somebody waits, who has to be told, or forgotten: it goes with
 * its messages.
 */
#define _GNU_SOURCE 1 /* memmem() */
#include "tests/soak/crowd.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIVES 256 /* at a time */
#define MESSAGES 2
#define LOOK_NS (SECOND_NS / 10) /* at whether the reader is there */
#define EVER "Thu, 01 Jan 1970 00:00:01 GMT"

enum step {
	IDLE,
	PUBLISH,
	READ,
	PARK,
	LOOK,
	DELETE
};

struct life {
	struct peer peer;   /* first; it publishes, reads and deletes */
	struct peer parked; /* it waits for the end */
	enum step step;
	uint32_t number; /* of the last publish */
	uint64_t look_ns;
	bool told; /* the one who waits has had his answer */
	char name[NAME_LEN + 1];
};

static struct life lives[LIVES];
static size_t busy;

static void
life_get(struct crowd *c, struct peer *p, const char *name, const char *time,
    const char *tag)
{
	char text[REQUEST_CAP];
	int n = snprintf(text, sizeof(text),
	    "GET /poll/?CHANNEL_ID=%s HTTP/1.1\r\nHost: soak\r\n"
	    "If-Modified-Since: %s\r\nIf-None-Match: %s\r\n\r\n",
	    name, time, tag);

	peer_ask(c, p, false, text, (size_t)n);
}

static void
life_publish(struct crowd *c, struct life *l)
{
	char text[REQUEST_CAP];
	size_t n = publish_text(c, text, l->name, ++l->number);

	peer_ask(c, &l->peer, false, text, n);
}

static void
life_manage(struct crowd *c, struct life *l, const char *method)
{
	char text[REQUEST_CAP];
	int n = snprintf(text, sizeof(text),
	    "%s /pub/?CHANNEL_ID=%s HTTP/1.1\r\nHost: soak\r\n\r\n", method,
	    l->name);

	peer_ask(c, &l->peer, false, text, (size_t)n);
}

static void
life_end(struct life *l)
{
	peer_close(&l->parked);
	l->step = IDLE;
	busy--;
}

/* All of its messages in one answer, in order. */
static void
life_read(struct crowd *c, struct life *l)
{
	const struct http *h = &l->peer.http;
	const char *p = h->body, *end = p + h->nbody;
	struct message m;
	uint32_t n = 0;

	while (h->nbody > 0 && (p = message_next(p, end, &m)) != NULL) {
		if (strtoul(m.text, NULL, 10) == n + 1)
			n++;
	}
	c->n.lost += MESSAGES - n;
	if (n != MESSAGES)
		warnx("channel %s has %u messages:\n%s%.*s", l->name, n,
		    h->head, (int)h->nbody, h->body);
}

static void
life_park(struct crowd *c, struct life *l)
{
	char time[HTTP_FIELD_CAP], tag[HTTP_FIELD_CAP];

	http_field(&l->peer.http, "Last-Modified", time);
	http_field(&l->peer.http, "Etag", tag);
	life_get(c, &l->parked, l->name, time, tag);
	l->look_ns = c->now_ns + LOOK_NS;
	l->told = false;
	l->step = PARK;
}

/* Is the one who waits there?  Else he would come too late for the end. */
static void
life_looked(struct crowd *c, struct life *l)
{
	static const char one[] = "\"subscribers\": 1";
	const struct http *h = &l->peer.http;

	if (h->nbody > 0 &&
	    memmem(h->body, h->nbody, one, strlen(one)) != NULL) {
		l->step = DELETE;
		life_manage(c, l, "DELETE");
	} else {
		l->step = PARK;
		l->look_ns = c->now_ns + LOOK_NS;
	}
}

/* An answer is whole: what comes next. */
static void
life_step(struct crowd *c, struct life *l)
{
	c->n.published += l->step == PUBLISH;
	if (l->step == PUBLISH && l->number < MESSAGES) {
		life_publish(c, l);
	} else if (l->step == PUBLISH) {
		life_get(c, &l->peer, l->name, EVER, "0");
		l->step = READ;
	} else if (l->step == READ) {
		life_read(c, l);
		c->n.lives++;
		if (crowd_random(c, 2) == 0)
			life_park(c, l);
		else
			life_end(l);
	} else if (l->step == LOOK) {
		life_looked(c, l);
	} else if (l->step == DELETE) {
		c->n.deleted++;
		if (l->told)
			life_end(l);
	}
}

static void
life_readable(struct crowd *c, struct peer *p)
{
	struct life *l = (struct life *)p;
	int done = peer_read(c, p);

	if (done > 0 && p->http.status == 200) {
		life_step(c, l);
	} else if (done != 0) {
		if (done > 0)
			peer_refused(c, p, "a channel's maker");
		life_end(l);
	}
}

/* The one who waits: the channel's end is a message like any other. */
static void
parked_readable(struct crowd *c, struct peer *p)
{
	struct life *l =
	    (struct life *)(void *)((char *)p - offsetof(struct life, parked));
	const struct http *h = &p->http;
	int done = peer_read(c, p);

	if (done == 0)
		return;
	if (done < 0 || h->status != 200 || h->nbody == 0 ||
	    memmem(h->body, h->nbody, "deleted", 7) == NULL) {
		if (done > 0)
			peer_refused(c, p, "one who waits for the end");
		life_end(l);
		return;
	}
	l->told = true;
	if (l->step == DELETE && !l->peer.waiting)
		life_end(l);
}

static void
life_begin(struct crowd *c, uint64_t number)
{
	struct life *l = lives;

	while (l < lives + LIVES && l->step != IDLE)
		l++;
	if (l == lives + LIVES)
		return; /* they take too long; the next one then */
	if (l->peer.readable == NULL) {
		l->peer.fd = l->parked.fd = -1;
		l->peer.readable = life_readable;
		l->parked.readable = parked_readable;
	}
	channel_name(l->name, c->seed, number);
	l->step = PUBLISH;
	l->number = 0;
	busy++;
	life_publish(c, l);
}

void
lives_tick(struct crowd *c)
{
	uint64_t due =
	    (uint64_t)(c->lives_rate * (double)(c->now_ns - c->begin_ns) / 1e9);

	while (c->lives_started < due && !c->stopping)
		life_begin(c, ++c->lives_started);
	for (struct life *l = lives; l < lives + LIVES; l++) {
		if (l->step != PARK || c->now_ns < l->look_ns)
			continue;
		l->step = LOOK;
		life_manage(c, l, "GET");
	}
}

size_t
lives_busy(void)
{
	return busy;
}
