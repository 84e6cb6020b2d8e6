/* tests/bench/caster.c - the fan-out we are measured against.
 *
 * Plain epoll, one thread, one write for each frame and connection: what it
 * costs to send a constant frame to everybody when nothing is understood and
 * nothing is kept.  It listens on a unix socket as an SCGI application does, or
 * on a port as a web server, steps over a request's netstring or head (a
 * reader's request has no body), answers with the head and holds the connection
 * from then on; what the reader sends is thrown away.  Head and frame are files
 * of bytes recorded from holdfastd, so both sides put the same bytes on the
 * wire.  It shares no code with the daemon on purpose.
 *
 * A line "cast N" on stdin writes N frames, one after the other, to every
 * connection, and answers with a line of pairs "name value" when the last
 * byte was taken.  As in a real server, a connection whose socket is full
 * owes what it did not take and gets it as it drains, one write for each
 * frame; no frame is dropped, and none begins while a connection owes more
 * than LEAD_MAX.
 */
#define _GNU_SOURCE 1 /* accept4() */
#include "tests/bench/bench.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 4096
#define EVENTS 256
#define LEAD_MAX (1 << 20) /* bytes that the slowest may be behind */

struct conn {
	struct conn *next_dead;
	int fd;	     /* -1 once closed */
	size_t slot; /* place in held[] + 1; 0 = the request is not whole */
	bool sized;  /* the netstring's length was read */
	size_t left; /* of the netstring, with its comma */
	size_t ends; /* bytes of an HTTP head's end that came */
	size_t owed; /* bytes of frames it should have by now */
};

struct caster {
	int ep, listener;
	bool http;
	struct bytes head, frame;
	struct conn **held;
	size_t nheld, max;
	struct conn *dead; /* closed in this turn, freed after it */
	size_t nowing;	   /* connections that owe anything */
	size_t nfull;	   /* more than LEAD_MAX */
	bool casting;
	uint64_t frames, frames_left, start_ns;
	uint64_t waits, broken; /* in this cast */
};

/* The only writer of `owed`. */
static void
conn_owe(struct caster *k, struct conn *c, size_t owed)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

	k->nfull += (size_t)(owed > LEAD_MAX) - (size_t)(c->owed > LEAD_MAX);
	k->nowing += (size_t)(owed > 0) - (size_t)(c->owed > 0);
	if ((owed > 0) != (c->owed > 0)) {
		if (owed > 0)
			ev.events |= EPOLLOUT;
		if (epoll_ctl(k->ep, EPOLL_CTL_MOD, c->fd, &ev) < 0)
			err(1, "epoll_ctl");
	}
	c->owed = owed;
}

static void
conn_close(struct caster *k, struct conn *c)
{
	if (c->slot != 0) {
		struct conn *last = k->held[--k->nheld];

		conn_owe(k, c, 0);
		k->held[c->slot - 1] = last;
		last->slot = c->slot;
		c->slot = 0;
		k->broken += k->casting;
	}
	close(c->fd);
	c->fd = -1;
	c->next_dead = k->dead;
	k->dead = c;
}

/* The rest of what is owed, or as much as the socket takes.  A frame that was
 * cut goes on where it was cut. */
static void
conn_writable(struct caster *k, struct conn *c)
{
	const struct bytes *f = &k->frame;
	size_t owed = c->owed;

	while (owed > 0) {
		size_t want = (owed - 1) % f->len + 1;
		ssize_t n = write(c->fd, f->ptr + f->len - want, want);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			conn_close(k, c);
			return;
		}
		owed -= (size_t)n;
	}
	conn_owe(k, c, owed);
}

/* Most sockets have room, so that a write is all there is to do. */
static void
conn_cast(struct caster *k, struct conn *c)
{
	ssize_t n = 0;

	if (c->owed == 0)
		n = write(c->fd, k->frame.ptr, k->frame.len);
	if (n == (ssize_t)k->frame.len)
		return;
	if (n < 0 && errno != EAGAIN)
		conn_close(k, c);
	else
		conn_owe(
		    k, c, c->owed + k->frame.len - (size_t)(n > 0 ? n : 0));
}

/* Backwards, as one that closes leaves its place to the last. */
static void
cast_frame(struct caster *k)
{
	for (size_t i = k->nheld; i-- > 0;)
		conn_cast(k, k->held[i]);
	k->frames_left--;
}

static void
cast_end(struct caster *k)
{
	k->casting = false;
	printf("frames %llu connections %zu began_s %.6f seconds %.4f "
	       "waits %llu broken %llu\n",
	    (unsigned long long)k->frames, k->nheld, (double)k->start_ns / 1e9,
	    (double)(now_ns() - k->start_ns) / 1e9,
	    (unsigned long long)k->waits, (unsigned long long)k->broken);
}

/* One command at a time, so it comes in one piece. */
static void
command(struct caster *k)
{
	char line[64];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (n <= 0)
		exit(0); /* who gave the commands has gone */
	line[n] = '\0';
	if (k->casting || strncmp(line, "cast ", 5) != 0)
		errx(1, "unknown command: %s", line);
	k->frames = k->frames_left = strtoull(line + 5, NULL, 10);
	k->waits = k->broken = 0;
	k->start_ns = now_ns();
	k->casting = true;
}

/* A head fits the socket's buffer whole. */
static void
conn_hold(struct caster *k, struct conn *c)
{
	if (k->nheld == k->max)
		errx(1, "more than --max connections");
	if (write(c->fd, k->head.ptr, k->head.len) != (ssize_t)k->head.len)
		err(1, "the head");
	k->held[k->nheld++] = c;
	c->slot = k->nheld;
}

/* Step over the request's netstring, wherever it is split: true when it
 * ended. */
static bool
conn_eat(struct conn *c, const char *p, size_t n)
{
	for (; n > 0 && !c->sized; p++, n--) {
		if (*p >= '0' && *p <= '9')
			c->left = c->left * 10 + (size_t)(*p - '0');
		else if (*p == ':')
			c->sized = true;
		else
			errx(1, "not an SCGI request");
		c->left += c->sized; /* the comma */
	}
	c->left -= c->sized ? (n < c->left ? n : c->left) : 0;
	return c->sized && c->left == 0;
}

/* The same for an HTTP head, up to its blank line. */
static bool
conn_eat_head(struct conn *c, const char *p, size_t n)
{
	static const char end[] = "\r\n\r\n";

	for (; n > 0 && c->ends < sizeof(end) - 1; p++, n--) {
		if (*p != end[c->ends])
			c->ends = 0;
		c->ends += *p == end[c->ends];
	}
	return c->ends == sizeof(end) - 1;
}

static bool
conn_asked(const struct caster *k, struct conn *c, const char *p, size_t n)
{
	return k->http ? conn_eat_head(c, p, n) : conn_eat(c, p, n);
}

static void
conn_readable(struct caster *k, struct conn *c)
{
	static char buf[65536];
	ssize_t n = read(c->fd, buf, sizeof(buf));

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		conn_close(k, c);
	else if (c->slot == 0 && conn_asked(k, c, buf, (size_t)n))
		conn_hold(k, c);
}

static void
accept_all(struct caster *k)
{
	for (int i = 0; i < BACKLOG; i++) {
		struct epoll_event ev = { .events = EPOLLIN };
		int fd = accept4(k->listener, NULL, NULL, SOCK_NONBLOCK);
		struct conn *c;

		if (fd < 0 && errno == EAGAIN)
			return;
		c = calloc(1, sizeof(*c));
		if (fd < 0 || c == NULL)
			err(1, "accept");
		c->fd = fd;
		ev.data.ptr = c;
		if (epoll_ctl(k->ep, EPOLL_CTL_ADD, fd, &ev) < 0)
			err(1, "epoll_ctl");
	}
}

static void
conn_event(struct caster *k, struct conn *c, uint32_t events)
{
	if (c->fd >= 0 && (events & EPOLLOUT) != 0)
		conn_writable(k, c);
	if (c->fd >= 0 && (events & ~(uint32_t)EPOLLOUT) != 0)
		conn_readable(k, c);
}

/* The listener's events carry NULL, those of stdin the caster. */
static void
turn(struct caster *k, int timeout_ms)
{
	struct epoll_event evs[EVENTS];
	int n = epoll_wait(k->ep, evs, EVENTS, timeout_ms);

	for (int i = 0; i < n; i++) {
		void *p = evs[i].data.ptr;

		if (p == NULL)
			accept_all(k);
		else if (p == k)
			command(k);
		else
			conn_event(k, p, evs[i].events);
	}
	while (k->dead != NULL) {
		struct conn *c = k->dead;

		k->dead = c->next_dead;
		free(c);
	}
}

static void
run(struct caster *k)
{
	for (;;) {
		bool go = k->casting && k->frames_left > 0;

		if (go && k->nfull == 0)
			cast_frame(k);
		else if (go)
			k->waits++;
		else if (k->casting && k->nowing == 0)
			cast_end(k);
		turn(k, go && k->nfull == 0 ? 0 : -1);
	}
}

static void
usage(void)
{
	fputs("usage: caster --head FILE --frame FILE --max CONNECTIONS "
	      "[--seconds N] ADDRESS\n"
	      "ADDRESS is unix:/path for SCGI or 127.0.0.1:port for HTTP.\n",
	    stderr);
	exit(2);
}

static void
options(struct caster *k, int argc, char **argv)
{
	static const struct option opts[] = { { "head", required_argument, NULL,
						  'h' },
		{ "frame", required_argument, NULL, 'f' },
		{ "max", required_argument, NULL, 'm' },
		{ "seconds", required_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 } };
	unsigned int life_s = 3600;
	int c;

	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (c == 'h')
			k->head = bytes_read(optarg);
		else if (c == 'f')
			k->frame = bytes_read(optarg);
		else if (c == 'm')
			k->max = strtoul(optarg, NULL, 10);
		else if (c == 't')
			life_s = (unsigned int)strtoul(optarg, NULL, 10);
		else
			usage();
	}
	if (optind != argc - 1 || k->head.len == 0 || k->frame.len == 0 ||
	    k->max == 0)
		usage();
	alarm(life_s); /* a forgotten one ends by itself */
}

int
main(int argc, char **argv)
{
	struct caster k = { .ep = epoll_create1(0) };
	struct epoll_event ev = { .events = EPOLLIN };
	struct epoll_event commands = { .events = EPOLLIN, .data.ptr = &k };
	const char *address;

	options(&k, argc, argv);
	address = argv[optind];
	k.http = strncmp(address, "unix:", 5) != 0;
	k.held = calloc(k.max, sizeof(struct conn *));
	k.listener = k.http ? listen_tcp(address, BACKLOG)
			    : listen_unix(address + 5, BACKLOG);
	if (k.held == NULL || k.ep < 0 ||
	    epoll_ctl(k.ep, EPOLL_CTL_ADD, k.listener, &ev) < 0 ||
	    epoll_ctl(k.ep, EPOLL_CTL_ADD, STDIN_FILENO, &commands) < 0)
		err(1, "start");
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	puts("ready");
	run(&k);
}
