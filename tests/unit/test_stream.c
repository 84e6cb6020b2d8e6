/*
 * tests/unit/test_stream.c - streams: everything there was, slice by slice,
 * then everything that comes, until their time is over.
 *
 * The hub runs against a store that does each step when it is told to, and a
 * stream writes down what it hears: "1", "2" are messages, "[a]" a channel
 * that was deleted, "." a ping, "!" the end.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/hub_world.h"

struct stream {
	struct sub *sub;
	char heard[128];
	int deliveries; /* calls of the op */
	int asked;	/* whether it is ready */
	bool busy;	/* it is not */
	int err;
	uint64_t position;
	struct stream *brings; /* joins from within the next delivery */
	struct world *world;
};

static void join_from_start(
    struct world *w, struct stream *s, const char *names);

static void
hear(struct stream *s, const char *text, size_t len)
{
	assert_non_null(s->sub); /* not after its end */
	assert_true(strlen(s->heard) + len < sizeof(s->heard));
	strncat(s->heard, text, len);
}

static void
on_deliver(void *sess, const struct delivery *d, size_t n, uint64_t position)
{
	struct stream *s = sess;

	assert_true(n >= 1);
	assert_true(position >= s->position);
	s->deliveries++;
	s->position = position;
	for (size_t i = 0; i < n; i++) {
		assert_true(d[i].cursor <= position);
		hear(s, msg_text(d[i].msg).ptr, msg_text(d[i].msg).len);
	}
	if (s->brings != NULL)
		join_from_start(s->world, s->brings, "a");
	s->brings = NULL;
}

static void
on_empty(void *sess, uint64_t position)
{
	struct stream *s = sess;

	hear(s, "!", 1);
	s->sub = NULL;
	s->position = position;
}

static void
on_deleted(void *sess, const struct channel *c, struct slice text,
    uint64_t position, bool last)
{
	struct stream *s = sess;

	assert_true(slice_is(text, "gone"));
	hear(s, "[", 1);
	hear(s, c->name, c->name_len);
	hear(s, last ? "]!" : "]", last ? 2 : 1);
	if (last)
		s->sub = NULL;
	s->position = position;
}

static void
on_failed(void *sess, int err)
{
	struct stream *s = sess;

	s->sub = NULL;
	s->err = err;
}

static bool
on_ready(void *sess)
{
	struct stream *s = sess;

	assert_non_null(s->sub);
	s->asked++;
	return !s->busy;
}

static void
on_ping(void *sess)
{
	hear(sess, ".", 1);
}

static const struct sub_ops ops = {
	.name = "stream",
	.deliver = on_deliver,
	.empty = on_empty,
	.deleted = on_deleted,
	.failed = on_failed,
	.ready = on_ready,
	.ping = on_ping,
};

static int
setup(void **state)
{
	*state = world_new(&(struct hub_limits){ .message_ttl_s = 86400,
	    .channel_inactivity_ms = 30000,
	    .replay_messages = 2,
	    .replay_bytes = 1 << 20 });
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	world_free(&w);
	return 0;
}

static void
at(struct world *w, uint64_t ms)
{
	world_at(w, ms);
	hub_tick(w->hub);
}

static struct channel *
channel(struct world *w, char name)
{
	return world_channel(w, (struct slice){ &name, 1 });
}

static void
publish_as(
    struct world *w, char name, const char *text, bool keep, int64_t expires)
{
	struct channel *c = channel(w, name);
	struct slice id = { text, strlen(text) };

	assert_int_equal(hub_publish(w->hub, &c, 1,
			     msg_new(text, id.len, &id, NULL, expires),
			     keep ? HUB_KEEP : 0, NULL),
	    0);
}

static void
publish(struct world *w, char name, const char *text, bool keep)
{
	publish_as(w, name, text, keep, INT64_MAX);
}

/* Published and visible; what is asked of the store stays there. */
static void
visible(struct world *w, char name, const char *text, bool keep)
{
	publish(w, name, text, keep);
	fake_transact(w->store, SIZE_MAX, 0);
	fake_dispatch(w->store);
}

/* "a1 b2": message "1" in channel a, "2" in b. */
static void
stored(struct world *w, const char *messages)
{
	for (; *messages != '\0'; messages += 2 + (messages[2] == ' '))
		visible(w, messages[0], (char[2]){ messages[1], '\0' }, true);
}

/* The one read that waits is answered. */
static void
read_one(struct world *w)
{
	assert_int_equal(w->store->n_reads, 1);
	fake_read(w->store, 0);
	fake_dispatch(w->store);
}

/* A stream of the channels in `names`; what is in req besides is kept. */
static void
join_with(struct world *w, struct stream *s, const char *names,
    struct sub_request req, uint32_t backtrack)
{
	struct channel *c[8];
	uint32_t backtracks[8];

	for (req.n = 0; names[req.n] != '\0'; req.n++) {
		c[req.n] = channel(w, names[req.n]);
		backtracks[req.n] = backtrack;
	}
	if (req.deadline_ms == 0)
		req.deadline_ms = FOR_EVER;
	req.channels = c;
	req.backtracks = backtracks;
	req.kind = SUB_STREAM;
	req.ops = &ops;
	req.sess = s;
	memset(s, 0, sizeof(*s));
	assert_int_equal(hub_subscribe(w->hub, &req, &s->sub), 0);
	assert_string_equal(s->heard, "");
}

static void
join(struct world *w, struct stream *s, const char *names)
{
	join_with(w, s, names, (struct sub_request){ .n = 0 }, 0);
}

static const struct sub_request from_the_start = { .pos = {
						       .by_position = true } };

static void
join_from_start(struct world *w, struct stream *s, const char *names)
{
	join_with(w, s, names, from_the_start, 0);
}

static void delete (struct world *w, char name)
{
	static struct hub_wait wait;
	struct channel *c = channel(w, name);

	wait = (struct hub_wait){ .done = NULL };
	assert_int_equal(hub_delete(w->hub, &c, 1, S("gone"), &wait), 0);
	hub_forget(&wait);
}

static void
deleted(struct world *w, char name)
{
	delete (w, name);
	fake_transact(w->store, SIZE_MAX, 0);
	fake_dispatch(w->store);
}

static void
leave(struct world *w, struct stream *s)
{
	hub_unsubscribe(w->hub, &s->sub);
	assert_int_equal(w->stats.subscribers, 0);
	assert_int_equal(w->hub->deadlines.count, 0);
	assert_int_equal(w->hub->readings.count, 0);
}

/* --- live -------------------------------------------------------------- */

/* It stays where it is, and hears each message once, in order. */
static void
test_live(void **state)
{
	struct world *w = *state;
	struct stream s, twice;

	join(w, &s, "ab");
	join(w, &twice, "aba");
	assert_int_equal(w->store->n_reads, 0);
	assert_int_equal(w->stats.subscribers, 2);
	assert_int_equal(channel(w, 'a')->subscribers, 3);
	publish(w, 'a', "1", true);
	publish(w, 'b', "2", false);
	publish(w, 'c', "-", true);
	publish(w, 'a', "3", false);
	assert_string_equal(s.heard, "");
	fake_settle(w->store);
	assert_string_equal(s.heard, "123");
	assert_string_equal(twice.heard, "123");
	assert_int_equal(s.position, w->store->last);
	assert_int_equal(w->stats.deliveries, 6);
	assert_false(hub_busy(w->hub));
	hub_unsubscribe(w->hub, &twice.sub);
	leave(w, &s);
	assert_int_equal(channel(w, 'a')->subscribers, 0);
	visible(w, 'a', "4", true);
	assert_string_equal(s.heard, "123");
}

/* A message that expired before the disk had it is given to nobody. */
static void
test_expired_on_its_way(void **state)
{
	struct world *w = *state;
	struct stream s;

	join(w, &s, "a");
	publish_as(w, 'a', "1", true, NOW_S);
	fake_settle(w->store);
	assert_string_equal(s.heard, "");
	leave(w, &s);
}

/* What a long poll pays for streams is nothing, and a stream pays little. */
static void
test_size(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct sub), 7 * sizeof(uint64_t));
}

/* --- the replay -------------------------------------------------------- */

/* Slice by slice, and then what came meanwhile, kept or not. */
static void
test_slices_then_live(void **state)
{
	struct world *w = *state;
	struct stream s;
	uint64_t third;

	stored(w, "a1 b2 a3 b4 a5");
	third = w->store->log[3].cursor;
	join_from_start(w, &s, "ab");
	visible(w, 'a', "6", false);
	visible(w, 'b', "7", true);
	read_one(w);
	assert_string_equal(s.heard, "12");
	assert_int_equal(s.position, w->store->log[1].cursor);
	visible(w, 'a', "8", true);
	read_one(w);
	/* Channel by channel within a slice. */
	assert_string_equal(s.heard, "1234");
	assert_int_equal(s.position, third);
	read_one(w);
	assert_string_equal(s.heard, "12345678");
	assert_int_equal(s.position, w->store->last);
	assert_int_equal(s.asked, 3);
	assert_int_equal(w->store->n_reads, 0);
	assert_false(hub_busy(w->hub));
	visible(w, 'b', "9", false);
	assert_string_equal(s.heard, "123456789");
	assert_int_equal(w->stats.replays, 1);
	leave(w, &s);
}

/* Path order by channel, or the order in which all of it was published. */
static void
test_by_cursor(void **state)
{
	struct world *w = *state;
	struct sub_request req = from_the_start;
	struct stream s;

	w->limits.replay_messages = 3;
	world_limit(w);
	stored(w, "a1 b2 a3 b4 a5");
	join_from_start(w, &s, "ba");
	fake_settle(w->store);
	assert_string_equal(s.heard, "21345"); /* slices: 1-3 and 4-5 */
	leave(w, &s);
	req.by_cursor = true;
	join_with(w, &s, "ba", req, 0);
	fake_settle(w->store);
	assert_string_equal(s.heard, "12345");
	leave(w, &s);
}

/* It joins while a message is delivered, which is then one of those that it
 * replays: it hears it once. */
static void
test_join_within_a_delivery(void **state)
{
	struct world *w = *state;
	struct stream s, next, late;

	stored(w, "a1");
	join(w, &s, "a");
	join(w, &next, "a"); /* so that the message comes by the late one */
	s.world = w;
	s.brings = &late;
	visible(w, 'a', "2", true);
	visible(w, 'a', "3", false);
	assert_string_equal(s.heard, "23");
	fake_settle(w->store);
	assert_string_equal(late.heard, "123");
	hub_unsubscribe(w->hub, &s.sub);
	hub_unsubscribe(w->hub, &next.sub);
	leave(w, &late);
}

/* Not ready: no read is asked for, and nothing is lost. */
static void
test_stall(void **state)
{
	struct world *w = *state;
	struct stream s;

	stored(w, "a1 a2 a3");
	join_from_start(w, &s, "a");
	s.busy = true;
	read_one(w);
	assert_string_equal(s.heard, "12");
	assert_int_equal(w->store->n_reads, 0);
	assert_false(hub_busy(w->hub)); /* it does not keep us from ending */
	visible(w, 'a', "4", true);
	visible(w, 'a', "5", false);
	assert_string_equal(s.heard, "12");
	hub_resume(w->hub, s.sub);
	assert_int_equal(w->store->n_reads, 1);
	hub_resume(w->hub, s.sub); /* once is enough */
	read_one(w);
	/* Nor is what is live put on top of the last slice. */
	assert_string_equal(s.heard, "123");
	visible(w, 'a', "6", true);
	hub_resume(w->hub, s.sub);
	assert_string_equal(s.heard, "123456");
	assert_int_equal(w->store->n_reads, 0);
	hub_resume(w->hub, s.sub); /* nothing to resume */
	assert_int_equal(w->store->n_reads, 0);
	leave(w, &s);
}

/* A backtrack or an event id says where to begin; what is cut goes on from
 * there and not from everything. */
static void
test_cut_backtrack_and_event_id(void **state)
{
	struct world *w = *state;
	struct sub_request req = { .pos = { .by_event_id = true,
				       .event_id = S("2") } };
	struct stream s;

	stored(w, "b7 b8 a1 a2 a3 a4 a5 b9");
	join_with(w, &s, "ab", (struct sub_request){ .n = 0 }, 3);
	fake_settle(w->store);
	assert_string_equal(s.heard, "783459"); /* b7 b8, a3 a4, a5 b9 */
	leave(w, &s);
	/* Unknown in b: nothing of it, neither now nor in later slices. */
	join_with(w, &s, "ba", req, 0);
	visible(w, 'b', "0", true);
	fake_settle(w->store);
	assert_string_equal(s.heard, "3450");
	leave(w, &s);
}

/* What is queued may expire while a stream is stalled. */
static void
test_queued_message_expires(void **state)
{
	struct world *w = *state;
	struct stream s;

	stored(w, "a1 a2 a3");
	join_from_start(w, &s, "a");
	s.busy = true;
	read_one(w);
	publish_as(w, 'a', "x", true, NOW_S + 5);
	publish_as(w, 'a', "4", true, NOW_S + 50);
	fake_transact(w->store, 2, 0);
	fake_dispatch(w->store);
	at(w, 5000);
	s.busy = false;
	hub_resume(w->hub, s.sub);
	read_one(w);
	assert_string_equal(s.heard, "1234");
	leave(w, &s);
}

/* Too much comes while the last slice is being taken: it is read. */
static void
test_overrun_behind_the_last_slice(void **state)
{
	struct world *w = *state;
	struct stream s;
	const char *all = "12xxxxxxxxxxxxxxxxxxxx";

	w->hub->backlog_messages = 2;
	stored(w, "a1 a2");
	join_from_start(w, &s, "a");
	s.busy = true;
	read_one(w);
	for (int i = 0; i < 20; i++)
		visible(w, 'a', "x", true);
	assert_string_equal(s.heard, "12");
	s.busy = false;
	hub_resume(w->hub, s.sub);
	fake_settle(w->store);
	assert_string_equal(s.heard, all);
	assert_int_equal(w->stats.stream_overruns, 0);
	visible(w, 'a', "y", false);
	assert_string_equal(s.heard, "12xxxxxxxxxxxxxxxxxxxxy");
	leave(w, &s);
}

/* Too much came meanwhile: what is stored is read, the rest is counted. */
static void
test_overrun(void **state)
{
	struct world *w = *state;
	struct stream s;

	w->hub->backlog_messages = 2;
	stored(w, "a1 a2 a3");
	join_from_start(w, &s, "ab");
	s.busy = true;
	read_one(w);
	visible(w, 'a', "x", false);
	visible(w, 'b', "4", true);
	assert_int_equal(w->stats.stream_overruns, 0);
	visible(w, 'a', "5", true);
	assert_int_equal(w->stats.stream_overruns, 1);
	visible(w, 'a', "y", false);
	visible(w, 'a', "6", true);
	assert_int_equal(w->stats.stream_overruns, 2);
	s.busy = false;
	hub_resume(w->hub, s.sub);
	read_one(w);
	assert_string_equal(s.heard, "123");
	/* The second pass ends at what was visible when it began. */
	visible(w, 'b', "7", false);
	read_one(w);
	assert_string_equal(s.heard, "12354"); /* in path order */
	read_one(w);
	assert_string_equal(s.heard, "1235467");
	assert_int_equal(s.position, w->store->last);
	assert_int_equal(w->store->n_reads, 0);
	assert_int_equal(w->stats.stream_overruns, 2);
	leave(w, &s);
}

/* The pass after an overrun asks whether it may, and may find nothing. */
static void
test_overrun_of_unstored_messages(void **state)
{
	struct world *w = *state;
	struct stream s;

	w->hub->backlog_messages = 1;
	stored(w, "a1");
	join_from_start(w, &s, "a");
	visible(w, 'a', "x", false);
	visible(w, 'a', "y", false);
	read_one(w);
	assert_string_equal(s.heard, "1");
	assert_int_equal(w->store->n_reads, 0);
	assert_int_equal(w->stats.stream_overruns, 2);
	visible(w, 'a', "2", false);
	assert_string_equal(s.heard, "12");
	leave(w, &s);
}

/* The bound of bytes counts texts; one alone fits whatever its size. */
static void
test_overrun_by_bytes(void **state)
{
	struct world *w = *state;
	struct stream s;

	w->hub->backlog_bytes = 4;
	stored(w, "a1");
	join_from_start(w, &s, "a");
	visible(w, 'a', "large", false);
	read_one(w);
	assert_string_equal(s.heard, "1large");
	leave(w, &s);
	join_from_start(w, &s, "a");
	visible(w, 'a', "abc", false);
	visible(w, 'a', "de", true);
	s.busy = true;
	read_one(w);
	assert_string_equal(s.heard, "1");
	assert_int_equal(s.asked, 1); /* before the second pass too */
	assert_int_equal(w->stats.stream_overruns, 1);
	hub_resume(w->hub, s.sub);
	fake_settle(w->store);
	assert_string_equal(s.heard, "1de");
	leave(w, &s);
}

/* The bound of all: what one stream keeps, another cannot; it reads the store
 * instead. */
static void
test_overrun_of_all(void **state)
{
	struct world *w = *state;
	struct stream s, other;

	/* Room for one, with its text and its event id. */
	w->hub->backlogs.max = sizeof(struct msg) + 2;
	stored(w, "a1 b2");
	join_from_start(w, &s, "a");
	join_from_start(w, &other, "b");
	visible(w, 'a', "3", true);
	assert_int_equal(w->stats.limits.hits[LIMIT_backlog], 0);
	visible(w, 'b', "4", true);
	visible(w, 'b', "5", true);
	assert_int_equal(w->stats.limits.hits[LIMIT_backlog], 1);
	fake_settle(w->store);
	assert_string_equal(s.heard, "13");
	assert_string_equal(other.heard, "245");
	assert_int_equal(w->hub->backlogs.used, 0);
	assert_int_equal(w->stats.stream_overruns, 0);
	hub_unsubscribe(w->hub, &s.sub);
	leave(w, &other);
}

/* All that a slice held has gone meanwhile: on it goes. */
static void
test_empty_replay(void **state)
{
	struct world *w = *state;
	struct stream s;

	stored(w, "a1");
	fake_collect(w->store, channel(w, 'a')->number);
	join_from_start(w, &s, "a");
	visible(w, 'a', "2", false);
	read_one(w);
	assert_int_equal(s.deliveries, 1);
	assert_string_equal(s.heard, "2");
	leave(w, &s);
}

static void
test_read_fails(void **state)
{
	struct world *w = *state;
	struct stream s;

	stored(w, "a1 a2 a3");
	join_from_start(w, &s, "a");
	visible(w, 'a', "4", false);
	read_one(w);
	fake_read(w->store, ERR_IO);
	fake_dispatch(w->store);
	assert_string_equal(s.heard, "12");
	assert_int_equal(s.err, ERR_IO);
	assert_int_equal(channel(w, 'a')->subscribers, 0);
	leave(w, &s);
}

/* At any time: at the store, stalled, live. */
static void
test_leave(void **state)
{
	struct world *w = *state;
	struct stream s;

	stored(w, "a1 a2 a3");
	for (int when = 0; when < 3; when++) {
		join_from_start(w, &s, "aa");
		s.busy = when == 1;
		visible(w, 'a', "x", false);
		if (when == 1)
			read_one(w);
		else if (when == 2)
			fake_settle(w->store);
		visible(w, 'a', "y", false);
		leave(w, &s);
		fake_settle(w->store);
		assert_string_equal(s.heard,
		    when == 0	    ? ""
			: when == 1 ? "12"
				    : "123xy");
	}
}

/* --- time -------------------------------------------------------------- */

/* Its end is an empty answer with a parked reader's position. */
static void
test_deadline(void **state)
{
	struct world *w = *state;
	struct sub_request req = { .deadline_ms = NOW_MS + 4000 };
	struct stream s;

	join_with(w, &s, "a", req, 0);
	visible(w, 'a', "1", false);
	for (uint64_t ms = 1000; ms < 4000; ms += 1000) {
		at(w, ms);
		fake_settle(w->store); /* the reservation follows */
	}
	at(w, 3999);
	assert_string_equal(s.heard, "1"); /* traffic does not extend it */
	at(w, 4000);
	assert_string_equal(s.heard, "1!");
	assert_int_equal(s.position, cursor_make(NOW_S + 4, 0));
	leave(w, &s);
}

/* Over in the middle of its replay: what the store finds still goes out, and
 * the position is that of the cut. */
static void
test_deadline_while_reading(void **state)
{
	struct world *w = *state;
	struct sub_request req = from_the_start;
	struct stream s, stalled;

	req.deadline_ms = NOW_MS + 1000;
	stored(w, "a1 a2 a3");
	join_with(w, &stalled, "a", req, 0);
	stalled.busy = true;
	read_one(w);
	join_with(w, &s, "a", req, 0);
	at(w, 1000);
	assert_string_equal(stalled.heard, "12!");
	assert_int_equal(stalled.position, w->store->log[1].cursor);
	assert_string_equal(s.heard, "");
	read_one(w);
	assert_string_equal(s.heard, "12");
	assert_int_equal(w->store->n_reads, 0);
	at(w, 1000);
	assert_string_equal(s.heard, "12!");
	assert_int_equal(s.position, w->store->log[1].cursor);
	leave(w, &s);
}

/* One interval after joining, and after each live message. */
static void
test_pings(void **state)
{
	struct world *w = *state;
	struct sub_request req = { .ping_ms = 1000,
		.deadline_ms = NOW_MS + 5000 };
	struct stream s;

	join_with(w, &s, "a", req, 0);
	assert_true(hub_next_ms(w->hub) <= NOW_MS + 1000);
	at(w, 999);
	assert_string_equal(s.heard, "");
	at(w, 1000);
	at(w, 1000);
	assert_string_equal(s.heard, ".");
	at(w, 1700);
	visible(w, 'a', "1", false);
	assert_int_equal(w->hub->deadlines.items[1]->key, NOW_MS + 2000);
	at(w, 2699);
	assert_string_equal(s.heard, ".1");
	assert_int_equal(w->hub->deadlines.items[1]->key, NOW_MS + 2700);
	at(w, 2700);
	assert_string_equal(s.heard, ".1.");
	at(w, 4500); /* the loop was late: one is enough */
	assert_string_equal(s.heard, ".1..");
	assert_int_equal(w->hub->deadlines.items[1]->key, NOW_MS + 5000);
	at(w, 5000);
	assert_string_equal(s.heard, ".1..!");
	leave(w, &s);
}

/* Steady pings come as often, whatever else there is to hear. */
static void
test_steady_pings(void **state)
{
	struct world *w = *state;
	struct sub_request req = { .ping_ms = 1000,
		.ping_steady = true,
		.deadline_ms = NOW_MS + 3500 };
	struct stream s;

	join_with(w, &s, "a", req, 0);
	at(w, 900);
	visible(w, 'a', "1", false);
	at(w, 1000);
	assert_string_equal(s.heard, "1.");
	visible(w, 'a', "2", true);
	at(w, 1999);
	visible(w, 'a', "3", true);
	assert_string_equal(s.heard, "1.23");
	at(w, 2000);
	assert_string_equal(s.heard, "1.23.");
	at(w, 3000);
	assert_string_equal(s.heard, "1.23..");
	at(w, 3500);
	assert_string_equal(s.heard, "1.23..!");
	leave(w, &s);
}

/* A ping gives no position: nothing is reserved for it. */
static void
test_pings_reserve_nothing(void **state)
{
	struct world *w = *state;
	struct sub_request req = { .ping_ms = 500 };
	struct stream s;

	stored(w, "b1");
	join_with(w, &s, "a", req, 0);
	for (uint64_t ms = 500; ms < 20000; ms += 500)
		at(w, ms);
	assert_int_equal(strlen(s.heard), 39);
	assert_int_equal(w->store->n_changes, 0);
	leave(w, &s);
}

/* The replay is traffic enough, but not what restarts the interval. */
static void
test_pings_and_replay(void **state)
{
	struct world *w = *state;
	struct sub_request req = from_the_start;
	struct stream s;

	req.ping_ms = 1000;
	stored(w, "a1 a2 a3");
	join_with(w, &s, "a", req, 0);
	at(w, 1000);
	at(w, 1500);
	read_one(w);
	read_one(w);
	assert_string_equal(s.heard, "123");
	at(w, 1999);
	assert_string_equal(s.heard, "123");
	at(w, 2000);
	assert_string_equal(s.heard, "123.");
	leave(w, &s);
}

/* The end of the daemon is the end of every stream, a slice a turn. */
static void
test_drain(void **state)
{
	struct world *w = *state;
	struct sub_request req = { .ping_ms = 1000 };
	struct stream live, stalled, reading, late;
	static struct stream many[2000];
	size_t ended = 0;

	stored(w, "a1 a2 a3");
	join_with(w, &live, "a", req, 0);
	join_from_start(w, &stalled, "a");
	stalled.busy = true;
	read_one(w);
	join_from_start(w, &reading, "a");
	hub_drain(w->hub);
	at(w, 0);
	assert_string_equal(live.heard, "!");
	assert_string_equal(stalled.heard, "12!");
	assert_string_equal(reading.heard, "");
	assert_true(hub_busy(w->hub));
	read_one(w);
	at(w, 0);
	assert_string_equal(reading.heard, "12!");
	join_from_start(w, &late, "a");
	at(w, 0);
	fake_settle(w->store);
	at(w, 0);
	assert_string_equal(late.heard, "12!");
	assert_false(hub_busy(w->hub));
	leave(w, &late);
	w->hub->draining = false;
	for (size_t i = 0; i < COUNT_OF(many); i++)
		join_with(w, &many[i], "a", req, 0);
	hub_drain(w->hub);
	at(w, 0);
	for (size_t i = 0; i < COUNT_OF(many); i++)
		ended += many[i].sub == NULL;
	assert_in_range(ended, 1, COUNT_OF(many) - 1);
	at(w, 0);
	assert_int_equal(w->stats.subscribers, 0);
}

/* --- deletion ---------------------------------------------------------- */

/* It loses that channel, and goes on with the others while there are any. */
static void
test_delete(void **state)
{
	struct world *w = *state;
	struct stream s;

	join(w, &s, "aba");
	delete (w, 'a');
	visible(w, 'a', "-", true); /* of the next channel of this name */
	assert_string_equal(s.heard, "[a]");
	assert_int_equal(w->stats.subscribers, 1);
	visible(w, 'b', "1", false);
	assert_string_equal(s.heard, "[a]1");
	deleted(w, 'b');
	assert_string_equal(s.heard, "[a]1[b]!");
	leave(w, &s);
}

/* What the store still finds of it, and what is queued of it, is left out. */
static void
test_delete_while_reading(void **state)
{
	struct world *w = *state;
	struct stream s, only;

	stored(w, "a1 b2 a3 b4");
	join_from_start(w, &s, "ab");
	visible(w, 'a', "x", false);
	visible(w, 'b', "5", false);
	join_from_start(w, &only, "a");
	delete (w, 'a');
	fake_read(w->store, 0); /* before it is dropped */
	fake_transact(w->store, 1, 0);
	/* The deletion is told first; then the others are asked for anew, since
	 * what was found in `a` alone may be theirs as well. */
	fake_list_add(&w->store->done, fake_list_take(&w->store->done));
	fake_dispatch(w->store);
	assert_string_equal(s.heard, "[a]");
	assert_string_equal(only.heard, "[a]!");
	/* If it broke here, it would come back for all that it has not heard. */
	assert_true(s.position < w->store->log[1].cursor);
	fake_settle(w->store);
	assert_string_equal(s.heard, "[a]245");
	assert_int_equal(s.position, w->store->last);
	leave(w, &s);
}

/* Stalled: the rest of the replay is asked for without it. */
static void
test_delete_while_stalled(void **state)
{
	struct world *w = *state;
	struct stream s;

	stored(w, "a1 b2 a3 b4 a5");
	join_from_start(w, &s, "ab");
	s.busy = true;
	read_one(w);
	deleted(w, 'a');
	s.busy = false;
	hub_resume(w->hub, s.sub);
	fake_settle(w->store);
	assert_string_equal(s.heard, "12[a]4");
	deleted(w, 'b');
	assert_string_equal(s.heard, "12[a]4[b]!");
	leave(w, &s);
}

/* Freed in every state: no call, no leak. */
static void
test_free_with_streams(void **state)
{
	struct world *w = *state;
	struct stream live, reading, stalled;

	stored(w, "a1 a2 a3");
	join(w, &live, "ab");
	deleted(w, 'b');
	join_from_start(w, &stalled, "a");
	stalled.busy = true;
	read_one(w);
	join_from_start(w, &reading, "a");
	visible(w, 'a', "4", true);
	hub_resume(w->hub, stalled.sub);
	delete (w, 'a');
	fake_forget_work(w->store);
	hub_free(&w->hub);
	assert_string_equal(live.heard, "[b]4");
	assert_string_equal(stalled.heard, "12");
	assert_string_equal(reading.heard, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_live),
		TEST(test_expired_on_its_way),
		TEST(test_size),
		TEST(test_slices_then_live),
		TEST(test_by_cursor),
		TEST(test_join_within_a_delivery),
		TEST(test_stall),
		TEST(test_cut_backtrack_and_event_id),
		TEST(test_queued_message_expires),
		TEST(test_overrun_behind_the_last_slice),
		TEST(test_overrun),
		TEST(test_overrun_of_unstored_messages),
		TEST(test_overrun_by_bytes),
		TEST(test_overrun_of_all),
		TEST(test_empty_replay),
		TEST(test_read_fails),
		TEST(test_leave),
		TEST(test_deadline),
		TEST(test_deadline_while_reading),
		TEST(test_pings),
		TEST(test_steady_pings),
		TEST(test_pings_reserve_nothing),
		TEST(test_pings_and_replay),
		TEST(test_drain),
		TEST(test_delete),
		TEST(test_delete_while_reading),
		TEST(test_delete_while_stalled),
		TEST(test_free_with_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
