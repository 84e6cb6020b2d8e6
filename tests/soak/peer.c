/* tests/soak/peer.c - a connection to the front, one request at a time. */
#define _GNU_SOURCE 1 /* memmem() */
#include "tests/bench/wire.h"
#include "tests/soak/crowd.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TOLD_MAX 20 /* then only counted */

uint64_t
crowd_random(struct crowd *c, uint64_t below)
{
	return (wire_random(&c->seed) >> 32) * below >> 32;
}

void
channel_name(char out[static NAME_LEN + 1], uint64_t seed, uint64_t i)
{
	uint64_t state = seed ^ i << 20;

	snprintf(out, NAME_LEN + 1, "%016llx%016llx",
	    (unsigned long long)wire_random(&state), (unsigned long long)i);
}

void
peer_open(struct crowd *c, struct peer *p)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = p };

	p->fd = wire_connect(c->address);
	if (p->fd < 0 || epoll_ctl(c->ep, EPOLL_CTL_ADD, p->fd, &ev) < 0)
		err(1, "%s", c->address);
}

void
peer_close(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->waiting = false;
}

static bool
told(void)
{
	static unsigned int n;

	return n++ < TOLD_MAX;
}

void
peer_ask(
    struct crowd *c, struct peer *p, bool endless, const char *text, size_t len)
{
	for (int i = 0; i < 2; i++) {
		if (p->fd < 0)
			peer_open(c, p);
		if (send(p->fd, text, len, MSG_NOSIGNAL) == (ssize_t)len)
			break;
		if (i > 0)
			err(1, "%s", c->address);
		peer_close(p);
	}
	http_begin(&p->http, endless);
	p->waiting = true;
}

int
peer_read(struct crowd *c, struct peer *p)
{
	static char buf[65536];
	ssize_t n = read(p->fd, buf, sizeof(buf));
	int done;

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0 && !p->waiting) { /* a kept connection's end */
		peer_close(p);
		return 0;
	}
	if (n == 0)
		done = http_end(&p->http);
	else
		done = n > 0 && p->waiting ? http_feed(&p->http, buf, (size_t)n)
					   : -1;
	if (done > 0)
		p->waiting = false;
	if (done < 0) {
		c->n.broken++;
		if (told())
			warnx("broken after %zd bytes: %.*s", n,
			    (int)p->http.nhead, p->http.head);
		peer_close(p);
	}
	return done;
}

void
peer_refused(struct crowd *c, const struct peer *p, const char *who)
{
	c->n.refused++;
	if (told())
		warnx("%s refused:\n%s%.*s", who, p->http.head,
		    (int)p->http.nbody, p->http.body);
}

/* #<channel|tag|time|text>#, as the front's message template says. */
const char *
message_next(const char *p, const char *end, struct message *m)
{
	const char *begin = memmem(p, (size_t)(end - p), "#<", 2), *stop;

	if (begin == NULL)
		return NULL;
	stop = memmem(begin, (size_t)(end - begin), ">#", 2);
	if (stop == NULL)
		return NULL;
	m->channel = begin + 2;
	m->tag = (const char *)memchr(begin, '|', (size_t)(stop - begin)) + 1;
	m->time =
	    (const char *)memchr(m->tag, '|', (size_t)(stop - m->tag)) + 1;
	m->text =
	    (const char *)memchr(m->time, '|', (size_t)(stop - m->time)) + 1;
	m->tag_len = (size_t)(m->time - m->tag) - 1;
	m->time_len = (size_t)(m->text - m->time) - 1;
	return stop + 2;
}
