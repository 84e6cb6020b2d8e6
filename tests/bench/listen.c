/* tests/bench/listen.c - thousands of readers of streams, in one program.
 *
 * Each asks for a stream, a WebSocket's or an EventSource's, through the
 * front (HTTP/1.1, chunked or not) or on the SCGI socket itself, and from
 * then on has to get the same frame again and again.  Every byte is compared
 * with that frame, so a rate is one of whole frames, in order, to all; a
 * stream that ends, stays behind or gets anything else ends the program.
 * One thread, epoll.
 *
 * Commands come on stdin, one a line, and are answered with a line of pairs
 * "name value":
 *	open	 connect all, ask, and wait for every head
 *	expect N wait until each has got N frames more, and tell when that
 *		 was: the monotonic clock is one for all programs, so the
 *		 sender tells when it began
 *	close	 close them all
 */
#define _GNU_SOURCE 1 /* memmem() */
#include "tests/bench/bench.h"
#include "tests/bench/wire.h"

#include <sys/epoll.h>

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EVENTS 256
#define HEAD_CAP 1024
#define LOCATIONS_MAX 128
#define OPENING 64	 /* asked at a time, so that no backlog overflows */
#define SILENCE_MS 30000 /* then nothing comes any more */

/* What some of the streams ask for, and what they are to get. */
struct location {
	struct request request;
	struct bytes frame;
};

struct stream {
	int fd; /* -1 = not connected */
	const struct location *location;
	bool headed;  /* the head is whole */
	bool chunked; /* the front sends the body in chunks */
	bool sizing;  /* a digit of a chunk's size came */
	size_t chunk; /* left of this chunk, or its size so far */
	size_t skip;  /* left of what comes before the first frame */
	size_t at;    /* in the frame */
	uint64_t due; /* frames still to come */
	size_t have;  /* bytes of the head */
	char head[HEAD_CAP];
};

struct listen {
	const char *address;
	int ep;
	struct location locations[LOCATIONS_MAX];
	size_t nlocations;
	size_t preamble; /* bytes of a body before its first frame */
	struct stream *streams;
	size_t n, ready;
	uint64_t due; /* frames still to come, of all */
};

static void
stream_open(struct listen *l, struct stream *s)
{
	size_t i = (size_t)(s - l->streams) % l->nlocations;
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = s };

	memset(s, 0, sizeof(*s));
	s->location = &l->locations[i];
	s->skip = l->preamble;
	s->fd = wire_connect(l->address);
	if (s->fd < 0 || epoll_ctl(l->ep, EPOLL_CTL_ADD, s->fd, &ev) < 0 ||
	    wire_send(s->fd, &s->location->request) < 0)
		err(1, "%s", l->address);
}

/* The status of an HTTP or a CGI head; a CGI head without one means 200. */
static int
head_status(const char *head)
{
	const char *v = strncmp(head, "HTTP/1.1 ", 9) == 0
	    ? head + 9
	    : strstr(head, "Status: ");

	if (v == NULL)
		return 200;
	return (int)strtol(v + (*v == 'S' ? 8 : 0), NULL, 10);
}

/* Take what belongs to the head; returns how much that was. */
static size_t
stream_head(struct stream *s, const char *p, size_t n)
{
	size_t before = s->have, room = HEAD_CAP - 1 - s->have;
	const char *end;
	int status;

	memcpy(s->head + s->have, p, n < room ? n : room);
	s->have += n < room ? n : room;
	end = memmem(s->head, s->have, "\r\n\r\n", 4);
	if (end == NULL) {
		if (s->have == HEAD_CAP - 1)
			errx(1, "the head is too long");
		return n;
	}
	s->have = (size_t)(end - s->head) + 4;
	s->head[s->have] = '\0';
	status = head_status(s->head);
	if (status != 101 && status != 200)
		errx(1, "refused:\n%s", s->head);
	s->chunked =
	    strcasestr(s->head, "\nTransfer-Encoding: chunked") != NULL;
	s->headed = true;
	return s->have - before;
}

static void
stream_frames(struct listen *l, struct stream *s, const char *p, size_t n)
{
	const struct bytes *f = &s->location->frame;

	while (n > 0) {
		size_t take = n < f->len - s->at ? n : f->len - s->at;

		if (s->due == 0 || memcmp(p, f->ptr + s->at, take) != 0)
			errx(1, "bytes that are not the frame's");
		s->at += take;
		p += take;
		n -= take;
		if (s->at == f->len) {
			s->at = 0;
			s->due--;
			l->due--;
		}
	}
}

static void
stream_body(struct listen *l, struct stream *s, const char *p, size_t n)
{
	size_t skip = n < s->skip ? n : s->skip;

	if (skip > 0 && (s->skip -= skip) == 0)
		l->ready++;
	stream_frames(l, s, p + skip, n - skip);
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* SIZE CR LF bytes CR LF ...; a line end without a size is a chunk's. */
static void
stream_chunks(struct listen *l, struct stream *s, const char *p, size_t n)
{
	while (n > 0) {
		size_t take = 1;

		if (!s->sizing && s->chunk > 0) {
			take = n < s->chunk ? n : s->chunk;
			stream_body(l, s, p, take);
			s->chunk -= take;
		} else if (hex_digit(*p) >= 0) {
			s->sizing = true;
			s->chunk = s->chunk * 16 + (size_t)hex_digit(*p);
		} else if (*p == '\n' && s->sizing) {
			s->sizing = false;
			if (s->chunk == 0)
				errx(1, "the stream ended");
		} else if (*p != '\r' && *p != '\n')
			errx(1, "not a chunk");
		p += take;
		n -= take;
	}
}

static void
stream_read(struct listen *l, struct stream *s)
{
	static char buf[65536];
	ssize_t got = read(s->fd, buf, sizeof(buf));
	const char *p = buf;
	size_t n = (size_t)got, used;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0)
		errx(1, "a stream ended");
	if (!s->headed) {
		used = stream_head(s, p, n);
		if (s->headed && s->skip == 0)
			l->ready++;
		p += used;
		n -= used;
	}
	if (s->chunked)
		stream_chunks(l, s, p, n);
	else
		stream_body(l, s, p, n);
}

static void
turn(struct listen *l)
{
	struct epoll_event evs[EVENTS];
	int n = epoll_wait(l->ep, evs, EVENTS, SILENCE_MS);

	if (n <= 0)
		errx(1, "silence: %zu of %zu open, %llu frames missing",
		    l->ready, l->n, (unsigned long long)l->due);
	for (int i = 0; i < n; i++)
		stream_read(l, evs[i].data.ptr);
}

static void
open_all(struct listen *l)
{
	size_t opened = 0;

	l->ready = 0;
	while (l->ready < l->n) {
		while (opened < l->n && opened - l->ready < OPENING)
			stream_open(l, &l->streams[opened++]);
		turn(l);
	}
	printf("open %zu\n", l->ready);
}

static void
expect(struct listen *l, uint64_t frames)
{
	for (size_t i = 0; i < l->n; i++)
		l->streams[i].due = frames;
	l->due = frames * l->n;
	while (l->due > 0)
		turn(l);
	printf("deliveries %llu ended_s %.6f\n",
	    (unsigned long long)(frames * l->n), (double)now_ns() / 1e9);
}

static void
close_all(struct listen *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->streams[i].fd >= 0)
			close(l->streams[i].fd);
		l->streams[i].fd = -1;
	}
	printf("closed %zu\n", l->n);
}

static void
run(struct listen *l)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (strcmp(line, "open\n") == 0)
			open_all(l);
		else if (strncmp(line, "expect ", 7) == 0)
			expect(l, strtoull(line + 7, NULL, 10));
		else if (strcmp(line, "close\n") == 0)
			close_all(l);
		else
			errx(1, "unknown command: %s", line);
	}
}

static void
usage(void)
{
	fputs("usage: listen -a ADDRESS -c STREAMS [-s BYTES] "
	      "-r FILE -f FILE [-r FILE -f FILE ...]\n"
	      "-r is a file of request bytes and -f, after it, the frame that "
	      "its streams get;\nwith several the streams take them in turn.  "
	      "-s: bytes of a body before the\nfirst frame.  ADDRESS is "
	      "unix:/path or 127.0.0.1:port.\n",
	    stderr);
	exit(2);
}

static void
options(struct listen *l, int argc, char **argv)
{
	size_t *n = &l->nlocations, requests = 0;
	int c;

	while ((c = getopt(argc, argv, "a:c:s:r:f:")) != -1) {
		if (c == 'a')
			l->address = optarg;
		else if (c == 'c')
			l->n = strtoul(optarg, NULL, 10);
		else if (c == 's')
			l->preamble = strtoul(optarg, NULL, 10);
		else if (c == 'r' && requests == *n && *n < LOCATIONS_MAX)
			request_read(
			    &l->locations[requests++].request, optarg, NULL);
		else if (c == 'f' && requests == *n + 1)
			l->locations[(*n)++].frame = bytes_read(optarg);
		else
			usage();
	}
	if (optind != argc || l->address == NULL || l->n == 0 || *n == 0 ||
	    requests != *n)
		usage();
}

int
main(int argc, char **argv)
{
	static struct listen l;

	options(&l, argc, argv);
	l.ep = epoll_create1(0);
	l.streams = calloc(l.n, sizeof(*l.streams));
	if (l.streams == NULL || l.ep < 0)
		err(1, "start");
	for (size_t i = 0; i < l.n; i++)
		l.streams[i].fd = -1;
	for (size_t i = 0; i < l.nlocations; i++)
		request_set_channel(&l.locations[i].request, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(3600); /* a forgotten one ends by itself */
	run(&l);
	return 0;
}
