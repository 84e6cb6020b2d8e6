/* tests/bench/load.c - the client of the benchmarks.
 *
 * Used instead of wrk for all of them: it speaks FastCGI on a unix socket as
 * well as HTTP, holds thousands of long-polls, takes a channel at random for
 * each request and knows each single latency.  One thread, epoll.  What it
 * sends is a template (wire.h); what it prints is pairs "name value".
 *
 * load publish: each connection sends, waits for the answer and sends again,
 * for a time or a number of requests.
 * load park: takes commands on stdin, one a line, and answers with a line:
 *	park	send the request on every connection that holds none
 *	publish	send one publish, wait for all answers, print the times
 *	await	wait for all answers, tell when the last one came
 *	close	close every connection
 * The caller sees to it between "park" and "publish" that all are parked;
 * only the side that parks can know.
 */
#include "tests/bench/bench.h"
#include "tests/bench/wire.h"

#include <sys/epoll.h>
#include <sys/resource.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 256
#define IN_CAP 8192	 /* a whole reply */
#define BROKEN_MAX 1000	 /* then the run is worth nothing */
#define PUBLISH_MS 30000 /* how long one fan-out may take */
#define PARK_BURST 64	 /* requests sent before the front may breathe */
#define PARK_PAUSE_NS 1000000
#define GRACE_S 60 /* beyond the asked time, whatever happens */

struct conn {
	int fd; /* -1 = not connected */
	bool waiting;
	uint64_t sent_ns;
	size_t have;
	char in[IN_CAP];
};

struct load {
	const char *address, *publish_address;
	struct request request, publish;
	struct names names; /* of the request's channels, if n > 0 */
	int ep;
	struct conn *conns, publisher;
	size_t nconns;
	uint64_t channels, seed;
	bool in_turn;	  /* channels one after the other, not at random */
	uint64_t limit_n; /* requests to send, 0 = by time */
	uint64_t limit_s;
	uint64_t sent, broken, refused;
	uint32_t *latencies_ns;
	size_t done, cap;
};

static void
conn_open(struct load *l, struct conn *c, const char *address)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

	c->fd = wire_connect(address);
	if (c->fd < 0 || epoll_ctl(l->ep, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		err(1, "%s", address);
}

static void
conn_close(struct conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->waiting = false;
}

static void
conn_broke(struct load *l, struct conn *c)
{
	conn_close(c);
	if (++l->broken > BROKEN_MAX)
		errx(1, "too many broken connections");
}

/* A kept connection may have been closed by the front since its last answer:
 * one more try on a new one. */
static void
conn_send(struct load *l, struct conn *c, const char *address,
    const struct request *r)
{
	if (c->fd < 0)
		conn_open(l, c, address);
	c->have = 0;
	c->waiting = true;
	c->sent_ns = now_ns();
	if (wire_send(c->fd, r) == 0)
		return;
	conn_broke(l, c);
	conn_open(l, c, address);
	c->waiting = true;
	if (wire_send(c->fd, r) < 0)
		err(1, "%s", address);
}

/* Read once.  True when the answer is whole; an answer that is not a 2xx is
 * counted, a connection that ends within one as well. */
static bool
conn_read(struct load *l, struct conn *c, const struct request *r)
{
	ssize_t n = read(c->fd, c->in + c->have, sizeof(c->in) - 1 - c->have);
	int status;

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		if (c->waiting)
			conn_broke(l, c);
		else
			conn_close(c);
		return false;
	}
	c->have += (size_t)n;
	status = wire_status(r, c->in, c->have);
	if (status < 0 || !c->waiting || c->have == sizeof(c->in) - 1) {
		conn_broke(l, c);
		return false;
	}
	if (status == 0)
		return false;
	c->waiting = false;
	if (status / 100 != 2 && l->refused++ == 0)
		warnx("status %d", status);
	return true;
}

static int
latency_order(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
latency_add(struct load *l, uint64_t ns)
{
	if (l->done == l->cap) {
		l->cap = l->cap > 0 ? l->cap * 2 : 65536;
		l->latencies_ns = reallocarray(
		    l->latencies_ns, l->cap, sizeof(*l->latencies_ns));
		if (l->latencies_ns == NULL)
			err(1, "latencies");
	}
	l->latencies_ns[l->done++] =
	    ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static void
publish_next(struct load *l, struct conn *c)
{
	uint64_t i = l->sent++;

	if (!l->in_turn)
		i = wire_random(&l->seed) >> 32;
	request_set_channel(
	    &l->request, l->in_turn ? i % l->channels : i * l->channels >> 32);
	conn_send(l, c, l->address, &l->request);
}

static bool
publish_more(const struct load *l, uint64_t now, uint64_t end_ns)
{
	return l->limit_n > 0 ? l->sent < l->limit_n : now < end_ns;
}

static void
publish_print(struct load *l, uint64_t start_ns)
{
	struct rusage ru;
	double took_s = (double)(now_ns() - start_ns) / 1e9;
	const uint32_t *ns = l->latencies_ns;

	if (l->done == 0)
		errx(1, "not one answer");
	qsort(l->latencies_ns, l->done, sizeof(*ns), latency_order);
	getrusage(RUSAGE_SELF, &ru);
	printf("requests %zu seconds %.3f rate %.1f p50_us %.1f p99_us %.1f "
	       "max_us %.1f refused %llu broken %llu cpu_s %.3f "
	       "began_s %.6f\n",
	    l->done, took_s, (double)l->done / took_s, ns[l->done / 2] / 1e3,
	    ns[l->done - 1 - l->done / 100] / 1e3, ns[l->done - 1] / 1e3,
	    (unsigned long long)l->refused, (unsigned long long)l->broken,
	    (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
		(double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6,
	    (double)start_ns / 1e9);
}

/* Closed loop: at every moment each connection has one request under way.
 * After the limit the last answers are awaited and counted as well. */
static void
run_publish(struct load *l)
{
	struct epoll_event evs[EVENTS];
	uint64_t start, now, end_ns;
	size_t busy = 0;

	for (size_t i = 0; i < l->nconns; i++)
		conn_open(l, &l->conns[i], l->address);
	now = start = now_ns();
	end_ns = start + l->limit_s * 1000000000;
	for (size_t i = 0; i < l->nconns; i++) {
		if (publish_more(l, now, end_ns)) {
			publish_next(l, &l->conns[i]);
			busy++;
		}
	}
	while (busy > 0) {
		int n = epoll_wait(l->ep, evs, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = evs[i].data.ptr;
			bool was_waiting = c->waiting;

			if (conn_read(l, c, &l->request)) {
				now = now_ns();
				latency_add(l, now - c->sent_ns);
			}
			if (!was_waiting || c->waiting)
				continue;
			if (publish_more(l, now, end_ns))
				publish_next(l, c);
			else
				busy--;
		}
	}
	publish_print(l, start);
}

/* A front that gets thousands of requests in one burst could overflow the
 * backlog of whoever stands behind it, which is not what is measured. */
static void
park_all(struct load *l)
{
	const struct timespec pause = { 0, PARK_PAUSE_NS };
	size_t sent = 0;

	for (size_t i = 0; i < l->nconns; i++) {
		struct conn *c = &l->conns[i];

		if (c->waiting)
			continue;
		request_set_channel(&l->request, i % l->channels);
		conn_send(l, c, l->address, &l->request);
		if (++sent % PARK_BURST == 0)
			nanosleep(&pause, NULL);
	}
	printf("sent %zu\n", sent);
}

static void
close_all(struct load *l)
{
	size_t closed = 0;

	for (size_t i = 0; i < l->nconns; i++) {
		closed += l->conns[i].fd >= 0;
		conn_close(&l->conns[i]);
	}
	printf("closed %zu\n", closed);
}

/* One publish to channel 0: time from its write to the first and the last
 * whole answer, and to the publisher's own. */
static void
publish_once(struct load *l)
{
	struct epoll_event evs[EVENTS];
	uint64_t start, first = 0, last = 0, own = 0;
	size_t answers = 0;

	l->refused = l->broken = 0;
	request_set_channel(&l->publish, 0);
	conn_send(l, &l->publisher, l->publish_address, &l->publish);
	start = l->publisher.sent_ns;
	while (answers + l->broken < l->nconns || l->publisher.waiting) {
		int n = epoll_wait(l->ep, evs, EVENTS, PUBLISH_MS);

		if (n <= 0 || now_ns() - start > PUBLISH_MS * 1000000ULL)
			break;
		for (int i = 0; i < n; i++) {
			struct conn *c = evs[i].data.ptr;

			if (c == &l->publisher) {
				if (conn_read(l, c, &l->publish))
					own = now_ns();
			} else if (conn_read(l, c, &l->request)) {
				last = now_ns();
				if (answers++ == 0)
					first = last;
			}
		}
	}
	printf("answers %zu first_us %.1f last_us %.1f publisher_us %.1f "
	       "refused %llu broken %llu\n",
	    answers, answers > 0 ? (double)(first - start) / 1e3 : 0,
	    answers > 0 ? (double)(last - start) / 1e3 : 0,
	    own > 0 ? (double)(own - start) / 1e3 : 0,
	    (unsigned long long)l->refused, (unsigned long long)l->broken);
}

/* The monotonic clock is one for all programs: whoever knows when it began can
 * tell how long it took. */
static void
await_all(struct load *l)
{
	struct epoll_event evs[EVENTS];
	uint64_t start = now_ns(), last = start;
	size_t waiting = 0, answers = 0;

	l->refused = l->broken = 0;
	for (size_t i = 0; i < l->nconns; i++)
		waiting += l->conns[i].waiting;
	while (answers + l->broken < waiting) {
		int n = epoll_wait(l->ep, evs, EVENTS, PUBLISH_MS);

		if (n <= 0 || now_ns() - start > PUBLISH_MS * 1000000ULL)
			break;
		for (int i = 0; i < n; i++)
			answers += conn_read(l, evs[i].data.ptr, &l->request);
		last = now_ns();
	}
	printf("answers %zu of %zu ended_s %.6f refused %llu broken %llu\n",
	    answers, waiting, (double)last / 1e9,
	    (unsigned long long)l->refused, (unsigned long long)l->broken);
}

static void
run_park(struct load *l)
{
	char line[32];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (strcmp(line, "park\n") == 0)
			park_all(l);
		else if (strcmp(line, "publish\n") == 0 &&
		    l->publish.bytes != NULL)
			publish_once(l);
		else if (strcmp(line, "await\n") == 0)
			await_all(l);
		else if (strcmp(line, "close\n") == 0)
			close_all(l);
		else
			errx(1, "unknown command: %s", line);
	}
}

static void
usage(void)
{
	fputs("usage: load publish -a ADDRESS -r FILE [-c CONNECTIONS] "
	      "[-m CHANNELS [-q]]\n\t[-l FILE -L BYTES] [-s SEED] "
	      "-n REQUESTS | -t SECONDS\n"
	      "       load park -a ADDRESS -r FILE [-c CONNECTIONS] "
	      "[-m CHANNELS]\n\t[-l FILE -L BYTES] [-A ADDRESS -R FILE] "
	      "[-t SECONDS]\n"
	      "-r and -R (the publish) are files of request bytes, ADDRESS is "
	      "unix:/path\nor 127.0.0.1:port, -q takes channels in turn, -l is "
	      "a file of their names of\n-L bytes each.\n",
	    stderr);
	exit(2);
}

static void
options(struct load *l, int argc, char **argv)
{
	const char *request = NULL, *names = NULL;
	size_t name_len = 0;
	int c;

	while ((c = getopt(argc, argv, "a:A:r:R:c:m:ql:L:s:n:t:")) != -1) {
		if (c == 'a')
			l->address = optarg;
		else if (c == 'A')
			l->publish_address = optarg;
		else if (c == 'r')
			request = optarg;
		else if (c == 'R')
			request_read(&l->publish, optarg, NULL);
		else if (c == 'c')
			l->nconns = strtoul(optarg, NULL, 10);
		else if (c == 'm')
			l->channels = strtoul(optarg, NULL, 10);
		else if (c == 'q')
			l->in_turn = true;
		else if (c == 'l')
			names = optarg;
		else if (c == 'L')
			name_len = strtoul(optarg, NULL, 10);
		else if (c == 's')
			l->seed = strtoul(optarg, NULL, 10);
		else if (c == 'n')
			l->limit_n = strtoul(optarg, NULL, 10);
		else if (c == 't')
			l->limit_s = strtoul(optarg, NULL, 10);
		else
			usage();
	}
	if (optind != argc || l->address == NULL || request == NULL ||
	    l->nconns == 0 || l->channels == 0 ||
	    (l->publish.bytes == NULL) != (l->publish_address == NULL))
		usage();
	if (names != NULL)
		names_read(&l->names, names, name_len);
	request_read(&l->request, request, names != NULL ? &l->names : NULL);
}

int
main(int argc, char **argv)
{
	struct load l = { .nconns = 1, .channels = 1, .seed = 1 };

	if (argc < 2)
		usage();
	options(&l, argc - 1, argv + 1);
	l.publisher.fd = -1;
	l.conns = calloc(l.nconns, sizeof(*l.conns));
	l.ep = epoll_create1(0);
	if (l.conns == NULL || l.ep < 0)
		err(1, "start");
	for (size_t i = 0; i < l.nconns; i++)
		l.conns[i].fd = -1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(argv[1], "park") == 0) {
		alarm(l.limit_s > 0 ? (unsigned int)l.limit_s : 3600);
		run_park(&l);
	} else if (strcmp(argv[1], "publish") == 0 &&
	    (l.limit_n > 0) != (l.limit_s > 0)) {
		alarm(l.limit_s > 0 ? (unsigned int)l.limit_s + GRACE_S : 3600);
		run_publish(&l);
	} else
		usage();
	free(l.conns);
	free(l.latencies_ns);
	free(l.request.bytes);
	free(l.publish.bytes);
	free(l.names.bytes);
	return 0;
}
