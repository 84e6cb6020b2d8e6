/* tests/soak/crowd.c - the run: all come, publish and read, and go.
 *
 * crowd -a 127.0.0.1:PORT -t SECONDS [options]
 *
 * Prints a line "open ..." when all readers wait, "window ..." after each
 * window (publisher.c) and "total ..." at the end, of pairs "name value".  At
 * the end nothing more is published and whoever was away comes back: readers
 * who have not got all by then are counted as behind.
 */
#include "tests/soak/crowd.h"

#include <sys/epoll.h>

#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EVENTS 256
#define OPEN_NS (120 * SECOND_NS)
#define CATCH_UP_NS (60 * SECOND_NS)

static void
wait_and_serve(struct crowd *c)
{
	struct epoll_event evs[EVENTS];
	int n = epoll_wait(c->ep, evs, EVENTS, 1);

	c->now_ns = now_ns();
	for (int i = 0; i < n; i++) {
		struct peer *p = evs[i].data.ptr;

		if (p->fd >= 0)
			p->readable(c, p);
	}
}

static size_t
readers_here(const struct crowd *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->nreaders; i++)
		n += c->readers[i].peer.waiting;
	return n;
}

static void
open_all(struct crowd *c)
{
	uint64_t begin = now_ns();

	do {
		wait_and_serve(c);
		readers_return(c);
		if (c->now_ns - begin > OPEN_NS)
			errx(1, "%zu of %zu readers have come", readers_here(c),
			    c->nreaders);
	} while (readers_here(c) < c->nreaders);
	printf("open %zu\n", c->nreaders);
}

static void
run(struct crowd *c, uint64_t span_ns)
{
	c->begin_ns = now_ns();
	do {
		wait_and_serve(c);
		windows_tick(c);
		publishers_tick(c);
		lives_tick(c);
		readers_leave(c);
		readers_return(c);
	} while (c->now_ns - c->begin_ns < span_ns);
}

static void
catch_up(struct crowd *c)
{
	uint64_t end = now_ns() + CATCH_UP_NS;

	c->stopping = true;
	do {
		wait_and_serve(c);
		lives_tick(c);
		readers_return(c);
	} while (c->now_ns < end &&
	    (readers_behind(c) + publishers_busy(c) + lives_busy() > 0 ||
		readers_here(c) < c->nreaders));
}

static void
print_total(struct crowd *c)
{
	const struct counts *n = &c->n;
	const struct {
		const char *name;
		uint64_t value;
	} all[] = {
		{ "published", n->published },
		{ "received", n->received },
		{ "polls", n->polls },
		{ "timeouts", n->timeouts },
		{ "left", n->left },
		{ "returned", n->returned },
		{ "lives", n->lives },
		{ "deleted", n->deleted },
		{ "ended", n->ended },
		{ "torn", n->torn },
		{ "broken", n->broken },
		{ "refused", n->refused },
		{ "lost", n->lost },
		{ "doubled", n->doubled },
		{ "strange", n->strange },
		{ "behind", readers_behind(c) },
		{ "unanswered", publishers_busy(c) + lives_busy() },
		{ "absent", c->nreaders - readers_here(c) },
		{ "late", n->late },
	};

	printf("total seconds %.3f", (double)(c->now_ns - c->begin_ns) / 1e9);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		printf(
		    " %s %llu", all[i].name, (unsigned long long)all[i].value);
	windows_total();
	printf("\n");
}

static void
usage(void)
{
	fputs("usage: crowd -a 127.0.0.1:PORT -t SECONDS [-w SECONDS] "
	      "[-m CHANNELS]\n\t[-P POLLS] [-E EVENTSOURCES] "
	      "[-W WEBSOCKETS] [-r PUBLISHES] [-c CONNECTIONS]\n"
	      "\t[-L LEAVES] [-n LIVES] [-s SEED]\n"
	      "-w is a window's length; -r, -L and -n are a second's.\n",
	    stderr);
	exit(2);
}

static void
channels_make(struct crowd *c)
{
	c->channels = calloc(c->nchannels, sizeof(*c->channels));
	if (c->channels == NULL)
		err(1, "channels");
	for (size_t i = 0; i < c->nchannels; i++)
		channel_name(c->channels[i].name, ~c->seed, i);
}

/* Returns how long the run is. */
static uint64_t
options(struct crowd *c, int argc, char **argv)
{
	size_t kinds[READER_KINDS] = { 5400, 300, 300 };
	uint64_t span = 0;
	int o;

	while ((o = getopt(argc, argv, "a:t:w:m:P:E:W:r:c:L:n:s:")) != -1) {
		switch (o) {
		case 'a':
			c->address = optarg;
			continue;
		case 'r':
			c->rate = strtod(optarg, NULL);
			continue;
		case 'L':
			c->leave_rate = strtod(optarg, NULL);
			continue;
		case 'n':
			c->lives_rate = strtod(optarg, NULL);
			continue;
		}
		size_t v = o == '?' ? 0 : strtoul(optarg, NULL, 10);

		switch (o) {
		case 't':
			span = v * SECOND_NS;
			break;
		case 'w':
			c->window_ns = v * SECOND_NS;
			break;
		case 'm':
			c->nchannels = v;
			break;
		case 'P':
			kinds[POLL] = v;
			break;
		case 'E':
			kinds[EVENTSOURCE] = v;
			break;
		case 'W':
			kinds[WEBSOCKET] = v;
			break;
		case 'c':
			c->npublishers = v;
			break;
		case 's':
			c->seed = v;
			break;
		default:
			usage();
		}
	}
	c->nreaders = kinds[POLL] + kinds[EVENTSOURCE] + kinds[WEBSOCKET];
	if (optind != argc || c->address == NULL || span == 0 ||
	    c->nchannels <= c->npublishers)
		usage();
	channels_make(c);
	readers_make(c, kinds);
	publishers_make(c);
	return span;
}

int
main(int argc, char **argv)
{
	static struct crowd c = {
		.rate = 1000,
		.lives_rate = 5,
		.leave_rate = 50,
		.nchannels = 4000,
		.npublishers = 64,
		.window_ns = 20 * SECOND_NS,
		.seed = 1,
	};
	uint64_t span = options(&c, argc, argv);

	c.ep = epoll_create1(0);
	if (c.ep < 0)
		err(1, "epoll_create1");
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* A forgotten one ends by itself. */
	alarm((unsigned int)((span + OPEN_NS + 2 * CATCH_UP_NS) / SECOND_NS));
	open_all(&c);
	run(&c, span);
	catch_up(&c);
	print_total(&c);
	return 0;
}
