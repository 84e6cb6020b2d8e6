/* tests/bench/responder.c - the do-nothing responder we are measured against.
 *
 * Plain epoll, one thread, one read for each wake and one write for each
 * reply: what FastCGI costs when nothing is understood and nothing is kept.
 * The reply is a file of bytes recorded from holdfastd, records and all, so
 * both sides put the same bytes on the wire.  The parser steps over records
 * and looks at three things only: the keep-connection flag, whether a body
 * came, and the empty STDIN that ends a request.  It shares no code with the
 * daemon on purpose.
 *
 * With --park N a request without a body is held.  A request with a body is
 * the publish: it answers all held requests, one write each, and then the
 * publisher.  A line "parked" on stdout tells that N are held.
 */
#define _GNU_SOURCE 1 /* accept4() */
#include "tests/bench/bench.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <fastcgi.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 4096
#define EVENTS 256
#define LISTENERS_MAX 8
#define HEAD_LEN (FCGI_HEADER_LEN + sizeof(FCGI_BeginRequestBody))

struct conn {
	struct conn *next_dead;
	int fd;	     /* -1 once closed */
	size_t slot; /* place in parked[] + 1; 0 = not parked */
	bool keep;   /* the front asked to keep the connection */
	bool body;   /* this request had a body */
	size_t have; /* bytes seen of the record at hand */
	size_t size; /* its length with header and padding */
	unsigned char head[HEAD_LEN]; /* its first bytes */
};

struct responder {
	int ep;
	int listeners[LISTENERS_MAX];
	size_t nlisteners;
	struct bytes publish, poll;
	struct conn **parked;
	size_t park, nparked;
	struct conn *dead; /* closed in this turn, freed after it */
};

static void
conn_unpark(struct responder *r, struct conn *c)
{
	struct conn *last = r->parked[--r->nparked];

	r->parked[c->slot - 1] = last;
	last->slot = c->slot;
	c->slot = 0;
}

static void
conn_close(struct responder *r, struct conn *c)
{
	if (c->slot != 0)
		conn_unpark(r, c);
	close(c->fd);
	c->fd = -1;
	c->next_dead = r->dead;
	r->dead = c;
}

/* A reply fits the socket's buffer whole, or it is not "one write". */
static void
conn_answer(struct responder *r, struct conn *c, const struct bytes *reply)
{
	ssize_t n = write(c->fd, reply->ptr, reply->len);

	if (n >= 0 && (size_t)n != reply->len)
		errx(1, "a short write: the reply is too large");
	if (n < 0 || !c->keep)
		conn_close(r, c);
}

static void
conn_park(struct responder *r, struct conn *c)
{
	if (r->nparked == r->park) {
		warnx("more requests than --park");
		conn_close(r, c);
		return;
	}
	r->parked[r->nparked++] = c;
	c->slot = r->nparked;
	if (r->nparked == r->park)
		puts("parked");
}

static void
conn_request(struct responder *r, struct conn *c)
{
	if (r->park > 0 && !c->body) {
		conn_park(r, c);
		return;
	}
	while (r->nparked > 0) {
		struct conn *p = r->parked[r->nparked - 1];

		conn_unpark(r, p);
		conn_answer(r, p, &r->poll);
	}
	conn_answer(r, c, &r->publish);
}

/* A whole record went by: 1 when it ends the request. */
static int
conn_record(struct conn *c)
{
	const unsigned char *h = c->head;
	bool empty = h[4] == 0 && h[5] == 0;

	if (h[1] == FCGI_BEGIN_REQUEST) {
		c->keep = (h[FCGI_HEADER_LEN + 2] & FCGI_KEEP_CONN) != 0;
		c->body = false;
	} else if (h[1] == FCGI_STDIN) {
		if (empty)
			return 1;
		c->body = true;
	}
	return 0;
}

/* Step over what was read, wherever it is split: 1 when a request ended (a
 * front sends one at a time, so nothing follows it), -1 for a record that the
 * recorded reply, which names request 1, could not answer. */
static int
conn_eat(struct conn *c, const unsigned char *p, size_t n)
{
	const unsigned char *h = c->head;
	int done = 0;

	while (n > 0) {
		size_t goal =
		    c->have < FCGI_HEADER_LEN ? FCGI_HEADER_LEN : c->size;
		size_t take = n < goal - c->have ? n : goal - c->have;

		if (c->have < HEAD_LEN) {
			size_t room = HEAD_LEN - c->have;

			memcpy(c->head + c->have, p, take < room ? take : room);
		}
		c->have += take;
		p += take;
		n -= take;
		if (c->have < FCGI_HEADER_LEN)
			continue;
		if (h[0] != FCGI_VERSION_1 || h[2] != 0 || h[3] != 1)
			return -1;
		c->size = FCGI_HEADER_LEN + h[6] + ((size_t)h[4] << 8 | h[5]);
		if (c->have == c->size) {
			done |= conn_record(c);
			c->have = 0;
		}
	}
	return done;
}

static void
conn_readable(struct responder *r, struct conn *c)
{
	static unsigned char buf[65536];
	ssize_t n = read(c->fd, buf, sizeof(buf));
	int rc;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		conn_close(r, c);
		return;
	}
	rc = conn_eat(c, buf, (size_t)n);
	if (rc < 0 || c->slot != 0)
		conn_close(r, c);
	else if (rc > 0)
		conn_request(r, c);
}

static void
accept_all(struct responder *r, int listener)
{
	for (int i = 0; i < BACKLOG; i++) {
		struct epoll_event ev = { .events = EPOLLIN };
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		struct conn *c;

		if (fd < 0 && errno == EAGAIN)
			return;
		c = calloc(1, sizeof(*c));
		if (fd < 0 || c == NULL)
			err(1, "accept");
		c->fd = fd;
		ev.data.ptr = c;
		if (epoll_ctl(r->ep, EPOLL_CTL_ADD, fd, &ev) < 0)
			err(1, "epoll_ctl");
	}
}

static void
turn(struct responder *r)
{
	struct epoll_event evs[EVENTS];
	int n = epoll_wait(r->ep, evs, EVENTS, -1);

	for (int i = 0; i < n; i++) {
		struct conn *c = evs[i].data.ptr;

		if (c == NULL) {
			for (size_t k = 0; k < r->nlisteners; k++)
				accept_all(r, r->listeners[k]);
		} else if (c->fd >= 0)
			conn_readable(r, c);
	}
	while (r->dead != NULL) {
		struct conn *c = r->dead;

		r->dead = c->next_dead;
		free(c);
	}
}

static void
usage(void)
{
	fputs("usage: responder --publish-reply FILE [--poll-reply FILE "
	      "--park N]\n\t[--seconds N] SOCKET ...\n",
	    stderr);
	exit(2);
}

int
main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "publish-reply", required_argument, NULL, 'r' },
		{ "poll-reply", required_argument, NULL, 'p' },
		{ "park", required_argument, NULL, 'n' },
		{ "seconds", required_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 }
	};
	struct responder r = { 0 };
	struct epoll_event ev = { .events = EPOLLIN };
	unsigned int life_s = 3600;
	int c;

	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (c == 'r')
			r.publish = bytes_read(optarg);
		else if (c == 'p')
			r.poll = bytes_read(optarg);
		else if (c == 'n')
			r.park = strtoul(optarg, NULL, 10);
		else if (c == 't')
			life_s = (unsigned int)strtoul(optarg, NULL, 10);
		else
			usage();
	}
	if (optind >= argc || argc - optind > LISTENERS_MAX ||
	    r.publish.ptr == NULL || (r.park > 0 && r.poll.ptr == NULL))
		usage();
	r.parked = calloc(r.park + 1, sizeof(*r.parked));
	r.ep = epoll_create1(0);
	if (r.parked == NULL || r.ep < 0)
		err(1, "start");
	for (; optind < argc; optind++) {
		int fd = listen_unix(argv[optind], BACKLOG);

		r.listeners[r.nlisteners++] = fd;
		if (epoll_ctl(r.ep, EPOLL_CTL_ADD, fd, &ev) < 0)
			err(1, "epoll_ctl");
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	alarm(life_s); /* a forgotten one ends by itself */
	puts("ready");
	for (;;)
		turn(&r);
}
