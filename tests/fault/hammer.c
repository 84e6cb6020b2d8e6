/* tests/fault/hammer.c - publishers and readers who outlive the daemon.
 *
 * The load of the kill and power cut tests: faster than Python could be, and
 * with a record of all it saw, which ledger.py checks afterwards.  One thread,
 * epoll.  Each publisher sends, waits for the answer and sends again; half of
 * the readers poll their channels and come back with the position they were
 * given, the others have a stream, and come back with their last message's.
 * Whoever loses the daemon connects again until there is one.
 *
 * On stdin, "stop" (or its end): no more publishes; when all are answered, each
 * reader goes on to its first empty answer, and the program ends.  "quit": it
 * ends at once.
 *
 * The record is struct entry after struct entry, in the order of events; only
 * this machine reads it.  The text of a message is its number.
 */
#include "tests/fault/hammer.h"

#include "tests/bench/bench.h"
#include "tests/bench/wire.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

#define EVENTS 64
#define RETRY_MS 1
#define HANG_S 30 /* without an answer, with a daemon */

struct hammer hammer;

/* --- connections --------------------------------------------------------- */

static void
conn_lose(struct conn *c)
{
	close(c->fd);
	c->fd = -1;
	c->waiting = false;
}

/* A publisher's next, or the same question of a reader again. */
static void
conn_ask(struct conn *c)
{
	static struct out o;
	struct entry e = { .type = ENTRY_SENT };

	c->last = hammer.quiet;
	if (c->reader) {
		request_poll(&o, c);
	} else {
		c->text = ++hammer.texts;
		c->channels = choose_channels();
		e.kind = (uint8_t)choose_kind();
		e.channels = (uint16_t)c->channels;
		e.who = c->text;
		request_publish(&o, c, (enum kind)e.kind);
	}
	c->have = c->text_len = 0;
	c->headed = false;
	c->waiting = true;
	c->sent_ns = e.at_ns = now_ns();
	if (!c->reader)
		record(&e);
	if (send(c->fd, o.bytes, o.len, MSG_NOSIGNAL) != (ssize_t)o.len)
		conn_lose(c);
}

/* Ask; first connect, if there is a daemon. */
static void
conn_go_on(struct conn *c)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

	if (c->fd < 0) {
		c->fd = wire_connect(hammer.address);
		if (c->fd < 0)
			return;
		if (epoll_ctl(hammer.ep, EPOLL_CTL_ADD, c->fd, &ev) < 0)
			err(1, "epoll");
		hammer.heard_ns = now_ns();
	}
	conn_ask(c);
}

static void
conn_read(struct conn *c)
{
	ssize_t n;

	if (c->have == c->room) {
		c->room = c->room != 0 ? c->room * 2 : 65536;
		c->in = realloc(c->in, c->room);
		if (c->in == NULL)
			err(1, "input");
	}
	n = read(c->fd, c->in + c->have, c->room - c->have);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		conn_lose(c);
		return;
	}
	c->have += (size_t)n;
	hammer.heard_ns = now_ns();
	if (c->stream) {
		stream_read(c);
		return;
	}
	if (answer_read(c))
		c->waiting = false;
}

/* Whether it has had all, a poll can tell. */
static void
stream_end(struct conn *c)
{
	c->stream = false;
	if (c->fd >= 0)
		conn_lose(c);
}

/* --- the run ------------------------------------------------------------- */

/* What every idle connection does next.  False: nothing is left to do. */
static bool
go_on(void)
{
	uint32_t publishing = 0, reading = 0;

	for (uint32_t i = 0; i < hammer.publishers; i++) {
		struct conn *c = &hammer.conns[i];

		if (!c->waiting && !hammer.stopping)
			conn_go_on(c);
		publishing += c->waiting;
	}
	hammer.quiet = hammer.stopping && publishing == 0;
	for (uint32_t i = 0; i < hammer.readers; i++) {
		struct conn *c = &hammer.conns[hammer.publishers + i];

		if (hammer.quiet && c->stream)
			stream_end(c);
		if (!c->waiting && !c->done)
			conn_go_on(c);
		reading += !c->done;
	}
	return !hammer.stopping || publishing + reading != 0;
}

static bool
told_to_quit(void)
{
	char line[16] = "";

	if (read(STDIN_FILENO, line, sizeof(line) - 1) < 0)
		err(1, "stdin");
	hammer.stopping = true;
	hammer.heard_ns = now_ns();
	epoll_ctl(hammer.ep, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
	return line[0] == 'q';
}

static void
run(void)
{
	struct epoll_event evs[EVENTS];
	struct epoll_event in = { .events = EPOLLIN };

	if (epoll_ctl(hammer.ep, EPOLL_CTL_ADD, STDIN_FILENO, &in) < 0)
		err(1, "stdin");
	while (go_on()) {
		int n = epoll_wait(hammer.ep, evs, EVENTS, RETRY_MS);

		for (int i = 0; i < n; i++) {
			if (evs[i].data.ptr != NULL) {
				conn_read(evs[i].data.ptr);
				continue;
			}
			if (told_to_quit())
				return;
		}
		if (hammer.stopping &&
		    now_ns() - hammer.heard_ns > HANG_S * 1000000000ULL)
			errx(1, "the daemon does not answer");
	}
}

static void
make_conns(void)
{
	uint32_t n = hammer.publishers + hammer.readers;

	hammer.conns = calloc(n, sizeof(*hammer.conns));
	hammer.ep = epoll_create1(0);
	if (hammer.conns == NULL || hammer.ep < 0)
		err(1, "start");
	for (uint32_t i = 0; i < n; i++) {
		struct conn *c = &hammer.conns[i];

		c->fd = -1;
		c->reader = i >= hammer.publishers;
		c->number = c->reader ? i - hammer.publishers : i;
		c->stream = c->reader && c->number % 2 != 0;
		/* The first reader wants all, the others some. */
		c->channels = c->number == 0 ? (1U << CHANNELS) - 1
					     : 1 + chance((1U << CHANNELS) - 1);
		c->cursor = 1ULL << 24; /* from the beginning */
	}
}

/* Who reads what, so that the record needs no other explanation. */
static void
record_readers(void)
{
	for (uint32_t i = 0; i < hammer.readers; i++) {
		const struct conn *c = &hammer.conns[hammer.publishers + i];
		struct entry e = { .type = ENTRY_READER,
			.who = i,
			.channels = (uint16_t)c->channels,
			.at_ns = now_ns() };

		record(&e);
	}
}

int
main(int argc, char **argv)
{
	const char *path = NULL;
	int c;

	while ((c = getopt(argc, argv, "a:l:n:o:p:r:s:")) != -1) {
		if (c == 'a')
			hammer.address = optarg;
		else if (c == 'l')
			hammer.large = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 'n')
			hammer.texts = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 'o')
			path = optarg;
		else if (c == 'p')
			hammer.publishers = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 'r')
			hammer.readers = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 's')
			hammer.seed = strtoull(optarg, NULL, 10);
	}
	if (hammer.address == NULL || path == NULL || optind != argc)
		errx(2,
		    "usage: hammer -a ADDRESS -o RECORD -p PUBLISHERS "
		    "-r READERS -s SEED [-l PERCENT] [-n TEXT]");
	hammer.record = fopen(path, "we");
	if (hammer.record == NULL)
		err(1, "%s", path);
	make_conns();
	record_readers();
	run();
	if (fclose(hammer.record) != 0)
		err(1, "%s", path);
	return 0;
}
