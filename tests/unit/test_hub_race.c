/*
 * tests/unit/test_hub_race.c - a late message is not a lost message.
 *
 * Between "nothing newer" and "parked", between a commit and its delivery,
 * between a kill and the client's next poll a message can slip through, or
 * come twice.  Random orders of all that can happen are played against a
 * scripted store, and each reader is held to its last position: whoever comes
 * back with that sees every kept message once, in order.  Half of the readers
 * are streams: theirs is what they were told last, over slices, stalls,
 * overruns and deletions, until they leave or their connection breaks.
 *
 * A failure prints the number of its run: `test_hub_race NUMBER` repeats it.
 */
#include "base/base.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/fake_store.h"

#define RUNS 100000
#define STEPS 45
#define NAMES 3
#define READERS 3
#define FIRST_S 1000000
#define NEVER UINT64_MAX

/* A client that comes back with its last position, again and again.  Of a
 * stream it reads no channel any more that was deleted under it. */
struct reader {
	struct sim *sim;
	uint32_t bit;
	int names[NAMES];
	uint32_t n;
	bool has_position;
	uint64_t position;
	uint64_t start; /* it is owed what is newer */
	uint64_t asked; /* its position when it came */
	struct sub *sub;
	bool stream;
	bool by_cursor;
	bool stalled; /* it said that it was not ready */
	bool broken;  /* a stream's connection: nothing arrives */
};

struct sim {
	uint64_t run;
	uint64_t random;
	struct store *store;
	struct hub *hub;
	struct stats stats;
	int64_t now_s;
	uint64_t now_ms;
	struct reader readers[READERS];
	/* by channel number */
	int name_of[FAKE_CHANNELS * 4];
	bool doomed[FAKE_CHANNELS * 4]; /* to be deleted */
	uint64_t publishes;		/* not answered yet */
	struct hub_wait waits[64];	/* of those; home NULL: free */
};

static uint64_t totals[4];	  /* messages, replays, empty, restarts */
static uint64_t stream_totals[4]; /* messages, stalls, overruns, pings */

/* Whoever joins meets nothing on its way, a publish that is not committed yet,
 * or one that is but has not been handed back: where a message could slip
 * through.  By kind of reader, and once more for several channels at a time. */
enum {
	QUIET,
	BEFORE_COMMIT,
	AFTER_COMMIT,
	MEETINGS
};
enum {
	JOIN_POLL,
	JOIN_LONG_POLL,
	JOIN_STREAM,
	JOIN_SEVERAL,
	JOIN_KINDS
};
static uint64_t joins[JOIN_KINDS][MEETINGS];
static const char *const join_names[] = { "polls", "long polls", "streams",
	"several channels" };

#define CHECK(sim, truth) \
	do { \
		if (!(truth)) \
			fail_msg("run %" PRIu64 ": not so: %s", (sim)->run, \
			    #truth); \
	} while (0)

static uint32_t
pick(struct sim *m, uint32_t n)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return (uint32_t)((m->random >> 16) % n);
}

static bool
reads(const struct reader *r, int name)
{
	for (uint32_t i = 0; i < r->n; i++) {
		if (r->names[i] == name)
			return true;
	}
	return false;
}

/* Was r owed this message? */
static bool
owed(const struct reader *r, const struct fake_commit *c)
{
	return c->keep && !c->gone && !r->sim->doomed[c->channel] &&
	    c->cursor > r->start && reads(r, r->sim->name_of[c->channel]);
}

/* With this position it will not be given what is not newer. */
static void
take_position(struct reader *r, uint64_t position)
{
	struct sim *m = r->sim;

	CHECK(m, position <= m->store->told_reserved);
	CHECK(m, !r->has_position || position >= r->position);
	r->position = position;
	r->has_position = true;
}

static void
check_nothing_lost(struct reader *r, uint64_t upto)
{
	const struct store *s = r->sim->store;

	for (size_t i = 0; i < s->n_log; i++) {
		const struct fake_commit *c = &s->log[i];

		if (owed(r, c) && c->cursor <= upto && (c->seen & r->bit) == 0)
			fail_msg("run %" PRIu64 ": message %" PRIu64 "/%u of "
				 "channel %" PRIu64
				 " is lost to reader %u at %" PRIu64 "/%u",
			    r->sim->run, cursor_time(c->cursor),
			    cursor_tag(c->cursor), c->channel, r->bit,
			    cursor_time(upto), cursor_tag(upto));
	}
}

static void
see(struct reader *r, const struct delivery *d)
{
	struct sim *m = r->sim;
	struct fake_commit *c =
	    fake_log(m->store, d->cursor, d->channel->number);

	CHECK(m, c != NULL); /* it was committed */
	CHECK(m, c->id == d->id && c->channel == d->channel->number);
	CHECK(m, reads(r, m->name_of[c->channel]));
	CHECK(m, d->cursor > r->asked);
	CHECK(m, (c->seen & r->bit) == 0);
	/* Shared, it is seen in all its channels at once. */
	for (size_t i = 0; i < m->store->n_log; i++) {
		if (m->store->log[i].cursor == d->cursor)
			m->store->log[i].seen |= r->bit;
	}
	/* What is older in the same channel came before. */
	for (const struct fake_commit *o = m->store->log; o < c; o++)
		CHECK(m,
		    o->channel != c->channel || !owed(r, o) ||
			(o->seen & r->bit) != 0);
}

static void
on_deliver(void *sess, const struct delivery *d, size_t n, uint64_t position)
{
	struct reader *r = sess;

	if (!r->stream)
		r->sub = NULL;
	totals[0] += n;
	stream_totals[0] += r->stream ? n : 0;
	if (r->broken || pick(r->sim, 16) == 0) {
		r->broken = r->stream;
		return; /* the answer was lost on its way */
	}
	CHECK(r->sim, n >= 1);
	for (size_t i = 0; i < n; i++) {
		see(r, &d[i]);
		CHECK(r->sim, d[i].cursor <= position);
		CHECK(r->sim,
		    i == 0 || !r->by_cursor || d[i].cursor > d[i - 1].cursor);
	}
	take_position(r, position);
	check_nothing_lost(r, position);
}

static void
on_empty(void *sess, uint64_t position)
{
	struct reader *r = sess;

	r->sub = NULL;
	totals[2]++;
	if (r->broken)
		return;
	take_position(r, position);
	check_nothing_lost(r, position);
}

static void
forget_name(struct reader *r, int name)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->n; i++) {
		if (r->names[i] != name)
			r->names[n++] = r->names[i];
	}
	r->n = n;
}

static void
on_deleted(void *sess, const struct channel *c, struct slice text,
    uint64_t position, bool last)
{
	struct reader *r = sess;

	CHECK(r->sim, r->sim->doomed[c->number]);
	CHECK(r->sim, slice_is(text, "bye"));
	if (!r->broken) {
		take_position(r, position);
		check_nothing_lost(r, position);
	}
	CHECK(r->sim, last == (!r->stream || r->n == 1));
	if (last)
		r->sub = NULL;
	else
		forget_name(r, r->sim->name_of[c->number]);
}

static void
on_failed(void *sess, int err)
{
	struct reader *r = sess;

	r->sub = NULL;
	CHECK(r->sim, err == ERR_IO);
}

static bool
on_ready(void *sess)
{
	struct reader *r = sess;

	CHECK(r->sim, r->stream && r->sub != NULL && !r->stalled);
	r->stalled = pick(r->sim, 2) == 0;
	stream_totals[1] += r->stalled;
	return !r->stalled;
}

static void
on_ping(void *sess)
{
	struct reader *r = sess;

	CHECK(r->sim, r->stream && r->sub != NULL && !r->stalled);
	stream_totals[3]++;
}

static const struct sub_ops ops = {
	.name = "test",
	.deliver = on_deliver,
	.empty = on_empty,
	.deleted = on_deleted,
	.failed = on_failed,
	.ready = on_ready,
	.ping = on_ping,
};

static void
on_published(void *arg, int err)
{
	struct sim *m = arg;

	CHECK(m, err == 0 || err == ERR_FULL);
	CHECK(m, m->publishes > 0);
	m->publishes--;
}

static struct hub_wait *
new_wait(struct sim *m)
{
	size_t i = 0;

	while (m->waits[i].home != NULL)
		CHECK(m, ++i < COUNT_OF(m->waits));
	m->waits[i] = (struct hub_wait){ on_published, m, NULL };
	return &m->waits[i];
}

static struct channel *
open_channel(struct sim *m, int name)
{
	char text = (char)('a' + name);
	struct channel *c;

	CHECK(m, hub_open(m->hub, (struct slice){ &text, 1 }, &c) == 0);
	assert_true(c->number < COUNT_OF(m->name_of));
	m->name_of[c->number] = name;
	return c;
}

static void
hub_time(struct sim *m)
{
	hub_set_time(m->hub, m->now_s, m->now_ms);
}

static void
start(struct sim *m)
{
	static const struct hub_limits limits = {
		.message_ttl_s = 86400,
		.channel_inactivity_ms = 5000,
		.replay_messages = 2,
		.replay_bytes = 1000,
	};

	memset(&m->stats, 0, sizeof(m->stats));
	assert_int_equal(hub_new(m->store, &m->stats, &m->hub), 0);
	m->hub->backlog_messages = 2;
	m->store->done_f = hub_store_done;
	m->store->done_arg = m->hub;
	hub_time(m);
	hub_set_limits(m->hub, &limits);
	m->publishes = 0;
	memset(m->waits, 0, sizeof(m->waits));
	for (size_t i = m->store->next_channel; i < COUNT_OF(m->doomed); i++)
		m->doomed[i] = false;
}

static void
step_publish(struct sim *m)
{
	struct channel *c[2];
	uint32_t n = 1 + pick(m, 2);
	struct msg *msg = msg_new("text", 4, NULL, NULL, INT64_MAX);
	unsigned how = pick(m, 4) != 0 ? HUB_KEEP : 0;
	int err;

	for (uint32_t i = 0; i < n; i++)
		c[i] = open_channel(m, (int)pick(m, NAMES));
	if ((n == 1 || c[0] != c[1]) && pick(m, 2) == 0)
		how |= HUB_SHARED;
	m->publishes++;
	err = hub_publish(m->hub, c, n, msg, how, new_wait(m));
	if (err != 0) {
		CHECK(m, err == ERR_BUSY && m->store->busy);
		m->publishes--;
	}
}

static void
count_join(const struct sim *m, const struct reader *r, bool wait)
{
	int kind = !wait ? JOIN_POLL : r->stream ? JOIN_STREAM : JOIN_LONG_POLL;
	int met = QUIET;

	if (m->publishes > 0)
		met = m->store->n_done > 0 ? AFTER_COMMIT : BEFORE_COMMIT;
	joins[kind][met]++;
	joins[JOIN_SEVERAL][met] += r->n > 1;
}

static int
join(struct sim *m, struct reader *r, bool wait)
{
	struct channel *c[NAMES];
	uint32_t backtracks[NAMES] = { 0 };
	struct sub_request req = { .channels = c,
		.backtracks = backtracks,
		.n = r->n,
		.pos = { .by_position = r->has_position, .after = r->position },
		.kind = !wait	? SUB_POLL
		    : r->stream ? SUB_STREAM
				: SUB_LONG_POLL,
		.by_cursor = r->by_cursor,
		.ping_ms = pick(m, 2) == 0 ? 0 : 1 + pick(m, 2000),
		.ping_steady = pick(m, 2) == 0,
		.ops = &ops,
		.sess = r };
	int rc;

	r->stalled = r->broken = false;

	for (uint32_t i = 0; i < r->n; i++)
		c[i] = open_channel(m, r->names[i]);
	if (!r->has_position)
		r->start = m->hub->committed;
	r->asked = r->has_position ? r->position : r->start;
	count_join(m, r, wait);
	req.deadline_ms = pick(m, 4) == 0 ? NEVER : m->now_ms + pick(m, 3000);
	rc = hub_subscribe(m->hub, &req, &r->sub);
	CHECK(m, rc == 0 || (rc == HUB_NOTHING && !wait));
	return rc;
}

static void
step_reader(struct sim *m)
{
	struct reader *r = &m->readers[pick(m, READERS)];

	if (r->sub == NULL) {
		(void)join(m, r, r->stream || pick(m, 6) != 0);
	} else if (r->stalled && pick(m, 3) != 0) {
		r->stalled = false;
		hub_resume(m->hub, r->sub);
	} else if (r->broken || pick(m, r->stream ? 8 : 3) == 0) {
		hub_unsubscribe(m->hub, &r->sub);
	}
}

static void
step_clock(struct sim *m)
{
	uint32_t ms = pick(m, 3) == 0 ? 0 : pick(m, 2500);

	m->now_ms += ms;
	m->now_s += ms / 1000;
	if (pick(m, 10) == 0)
		m->now_s += (int64_t)pick(m, 60) - 45;
	m->store->now_s = m->now_s;
	if (pick(m, 5) != 0)
		hub_time(m);
	if (pick(m, 2) == 0)
		hub_tick(m->hub);
}

static void
step_delete(struct sim *m)
{
	char name = (char)('a' + pick(m, NAMES));
	struct channel *c = hub_find(m->hub, (struct slice){ &name, 1 });

	if (c == NULL)
		return;
	m->doomed[c->number] = true;
	m->publishes++;
	CHECK(m,
	    hub_delete(
		m->hub, &c, 1, (struct slice){ "bye", 3 }, new_wait(m)) == 0);
}

/* kill -9, and a new life from what is on disk. */
static void
step_kill(struct sim *m)
{
	totals[3]++;
	stream_totals[2] += m->stats.stream_overruns;
	fake_forget_work(m->store);
	hub_free(&m->hub);
	for (size_t i = 0; i < READERS; i++)
		m->readers[i].sub = NULL;
	start(m);
}

static void
step(struct sim *m)
{
	switch (pick(m, 20)) {
	case 0:
	case 1:
	case 2:
	case 3:
		step_publish(m);
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		step_reader(m);
		break;
	case 8:
	case 9:
	case 10:
		fake_transact(
		    m->store, 1 + pick(m, 4), pick(m, 10) == 0 ? ERR_FULL : 0);
		break;
	case 11:
	case 12:
	case 13:
		fake_dispatch(m->store);
		break;
	case 14:
	case 15:
		fake_read(m->store, pick(m, 20) == 0 ? ERR_IO : 0);
		break;
	case 16:
	case 17:
		step_clock(m);
		break;
	case 18:
		if (pick(m, 3) == 0)
			step_delete(m);
		else
			m->store->busy = pick(m, 4) == 0;
		break;
	default:
		if (pick(m, 2) == 0)
			step_kill(m);
		else
			hub_tick(m->hub);
	}
}

/* A stream that nothing holds up, and whose time is not over, has heard
 * everything by itself. */
static void
last_of_stream(struct sim *m, struct reader *r)
{
	hub_tick(m->hub);
	while (r->sub != NULL && r->stalled) {
		r->stalled = false;
		hub_resume(m->hub, r->sub);
		fake_settle(m->store);
		hub_tick(m->hub);
	}
	if (r->sub != NULL && r->stream && !r->broken)
		check_nothing_lost(r, m->hub->committed);
}

/* Everybody comes once more, until there is nothing newer. */
static void
last_round(struct sim *m)
{
	m->store->busy = false;
	fake_settle(m->store);
	CHECK(m, m->publishes == 0);
	CHECK(m, !hub_busy(m->hub));
	for (size_t i = 0; i < READERS; i++) {
		struct reader *r = &m->readers[i];

		last_of_stream(m, r);
		if (r->sub != NULL)
			hub_unsubscribe(m->hub, &r->sub);
		while (join(m, r, false) == 0) {
			fake_settle(m->store);
			totals[1]++;
		}
		check_nothing_lost(r, NEVER);
	}
	CHECK(m, m->stats.subscribers == 0);
	stream_totals[2] += m->stats.stream_overruns;
}

static void
play(uint64_t run)
{
	struct sim m = { .run = run, .now_s = FIRST_S, .now_ms = 5000 };

	m.random = (run + 1) * UINT64_C(0x9E3779B97F4A7C15);
	m.store = fake_new();
	m.store->now_s = m.now_s;
	start(&m);
	for (uint32_t i = 0; i < READERS; i++) {
		struct reader *r = &m.readers[i];

		r->sim = &m;
		r->bit = UINT32_C(1) << i;
		/* Some begin at the very first message, some at "now". */
		r->has_position = pick(&m, 2) == 0;
		r->stream = pick(&m, 2) == 0;
		r->by_cursor = pick(&m, 2) == 0;
		r->n = 1 + pick(&m, NAMES);
		r->names[0] = (int)pick(&m, NAMES);
		for (uint32_t k = 1; k < r->n; k++)
			r->names[k] = (r->names[0] + (int)k) % NAMES;
	}
	for (int i = 0; i < STEPS; i++)
		step(&m);
	last_round(&m);
	hub_free(&m.hub);
	fake_free(&m.store);
}

static uint64_t first_run, last_run = RUNS, this_run;

/* An assertion anywhere ends the test: say which run it was. */
static int
name_run(void **state)
{
	(void)state;
	if (this_run != last_run)
		print_error("# it was run %" PRIu64 "\n", this_run);
	return 0;
}

/* Every kind of reader has met every moment of a publish, and often. */
static void
check_meetings(void)
{
	uint64_t runs = last_run - first_run, met = 0;

	for (int kind = 0; kind < JOIN_KINDS; kind++) {
		const uint64_t *n = joins[kind];

		print_message("# %s: %" PRIu64 " joined in quiet, %" PRIu64
			      " before a commit, %" PRIu64 " after it\n",
		    join_names[kind], n[QUIET], n[BEFORE_COMMIT],
		    n[AFTER_COMMIT]);
		for (int i = 0; i < MEETINGS; i++)
			assert_true(runs < RUNS || n[i] > runs / 20);
		if (kind != JOIN_SEVERAL)
			met += n[BEFORE_COMMIT] + n[AFTER_COMMIT];
	}
	print_message("# %" PRIu64 " runs: %" PRIu64 " interleavings of "
		      "subscribe against publish\n",
	    runs, met);
	assert_true(runs < RUNS || met >= RUNS);
}

static void
test_no_message_is_lost_or_sent_twice(void **state)
{
	(void)state;
	for (this_run = first_run; this_run != last_run; this_run++)
		play(this_run);
	print_message("# %" PRIu64 " messages delivered, %" PRIu64 " last "
		      "polls, %" PRIu64 " empty answers, %" PRIu64 " kills\n",
	    totals[0], totals[1], totals[2], totals[3]);
	print_message("# streams: %" PRIu64 " messages, %" PRIu64
		      " stalls, %" PRIu64 " overruns, %" PRIu64 " pings\n",
	    stream_totals[0], stream_totals[1], stream_totals[2],
	    stream_totals[3]);
	check_meetings();
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
		    test_no_message_is_lost_or_sent_twice, name_run),
	};

	if (argc > 1) {
		first_run = strtoull(argv[1], NULL, 10);
		last_run = first_run + 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
