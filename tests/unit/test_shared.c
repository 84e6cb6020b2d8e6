/*
 * tests/unit/test_shared.c - shared messages: one body and one cursor in
 * several channels, and a reader of several of them gets it once.
 *
 * The hub runs against a store that does each step when it is told to.  A
 * reader, poll or stream, writes down what it hears and where: "a1 b2" are the
 * messages 1 in channel a and 2 in b, "[a]" says that a was deleted.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/hub_world.h"

struct reader {
	struct world *world;
	const char *names;
	enum sub_kind kind;
	struct sub *sub;
	char heard[128];
	uint64_t ids[16]; /* of the messages, in its channels */
	size_t n;
	uint64_t position;
	bool busy;    /* a stream that is not ready */
	bool rejoins; /* a poll that comes back from within its answer */
};

static void join_after(struct world *w, struct reader *r, enum sub_kind kind,
    const char *names, uint64_t after);

static void
hear(struct reader *r, const char *before, char channel, struct slice text)
{
	size_t len = strlen(r->heard);

	assert_true(len + text.len + 4 < sizeof(r->heard));
	(void)snprintf(r->heard + len, sizeof(r->heard) - len, "%s%s%c%.*s",
	    len != 0 ? " " : "", before, channel, (int)text.len, text.ptr);
}

static void
on_deliver(void *sess, const struct delivery *d, size_t n, uint64_t position)
{
	struct reader *r = sess;

	assert_true(position >= r->position);
	r->position = position;
	for (size_t i = 0; i < n; i++) {
		assert_true(d[i].cursor <= position);
		hear(r, "", d[i].channel->name[0], msg_text(d[i].msg));
		assert_true(r->n < COUNT_OF(r->ids));
		r->ids[r->n++] = d[i].id;
	}
	if (r->kind != SUB_STREAM)
		r->sub = NULL;
	if (r->rejoins)
		join_after(r->world, r, r->kind, r->names, position);
}

static void
on_empty(void *sess, uint64_t position)
{
	struct reader *r = sess;

	r->position = position;
	r->sub = NULL;
}

static void
on_deleted(void *sess, const struct channel *c, struct slice text,
    uint64_t position, bool last)
{
	struct reader *r = sess;

	hear(r, "[", c->name[0], text);
	r->position = position;
	if (last)
		r->sub = NULL;
}

static void
on_failed(void *sess, int err)
{
	(void)sess;
	fail_msg("error %d", err);
}

static bool
on_ready(void *sess)
{
	const struct reader *r = sess;

	return !r->busy;
}

static const struct sub_ops ops = {
	.name = "shared",
	.deliver = on_deliver,
	.empty = on_empty,
	.deleted = on_deleted,
	.failed = on_failed,
	.ready = on_ready,
};

static int
setup(void **state)
{
	*state = world_new(&(struct hub_limits){ .message_ttl_s = 86400,
	    .channel_inactivity_ms = 30000,
	    .replay_messages = 100,
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

static struct channel *
channel(struct world *w, char name)
{
	return world_channel(w, (struct slice){ &name, 1 });
}

static void
publish(struct world *w, const char *names, const char *text, unsigned how)
{
	struct channel *c[8];
	uint32_t n = 0;

	for (; names[n] != '\0'; n++)
		c[n] = channel(w, names[n]);
	assert_int_equal(
	    hub_publish(w->hub, c, n,
		msg_new(text, strlen(text), NULL, NULL, INT64_MAX), how, NULL),
	    0);
}

/* Published and visible; what is asked of the store stays there. */
static void
visible(struct world *w, const char *names, const char *text, unsigned how)
{
	publish(w, names, text, how);
	fake_transact(w->store, SIZE_MAX, 0);
	fake_dispatch(w->store);
}

static void
shared(struct world *w, const char *names, const char *text)
{
	visible(w, names, text, HUB_KEEP | HUB_SHARED);
}

static void
own(struct world *w, const char *name, const char *text)
{
	visible(w, name, text, HUB_KEEP);
}

static int
join_as(struct world *w, struct reader *r, struct sub_request req)
{
	struct channel *c[8];
	uint32_t backtracks[8] = { 0 };

	for (; r->names[req.n] != '\0'; req.n++)
		c[req.n] = channel(w, r->names[req.n]);
	req.channels = c;
	req.backtracks = backtracks;
	req.kind = r->kind;
	if (req.deadline_ms == 0)
		req.deadline_ms = FOR_EVER;
	req.ops = &ops;
	req.sess = r;
	r->world = w;
	return hub_subscribe(w->hub, &req, &r->sub);
}

/* "Now" for the first time, then from where it was. */
static void
join(struct world *w, struct reader *r, enum sub_kind kind, const char *names)
{
	*r = (struct reader){ .kind = kind, .names = names };
	assert_int_equal(join_as(w, r, (struct sub_request){ .n = 0 }), 0);
}

static void
join_after(struct world *w, struct reader *r, enum sub_kind kind,
    const char *names, uint64_t after)
{
	struct sub_request req = { .pos = {
				       .by_position = true, .after = after } };

	r->kind = kind;
	r->names = names;
	assert_int_equal(join_as(w, r, req), 0);
}

static void
read_one(struct world *w)
{
	assert_int_equal(w->store->n_reads, 1);
	fake_read(w->store, 0);
	fake_dispatch(w->store);
}

static void
deleted(struct world *w, char name)
{
	static struct hub_wait wait;
	struct channel *c = channel(w, name);

	wait = (struct hub_wait){ .done = NULL };
	assert_int_equal(
	    hub_delete(w->hub, &c, 1, (struct slice){ "]", 1 }, &wait), 0);
	hub_forget(&wait);
	fake_transact(w->store, SIZE_MAX, 0);
	fake_dispatch(w->store);
}

static void
leave(struct world *w, struct reader *r)
{
	hub_unsubscribe(w->hub, &r->sub);
}

/* --- publishing -------------------------------------------------------- */

/* One cursor in all channels, ids that are each channel's own, and the next
 * message stands right behind it. */
static void
test_one_cursor(void **state)
{
	struct world *w = *state;
	uint64_t first = cursor_make(NOW_S, 1);

	own(w, "b", "1");
	shared(w, "abc", "2");
	visible(w, "cd", "3", HUB_SHARED);
	assert_int_equal(w->store->last, first + 2);
	assert_int_equal(w->hub->committed, first + 2);
	for (const char *name = "abc"; *name != '\0'; name++) {
		const struct channel *c = channel(w, *name);

		assert_int_equal(c->tail, first + 1);
		assert_int_equal(
		    c->last_cursor, first + (*name == 'c' ? 2 : 1));
		assert_int_equal(c->last_id, *name == 'a' ? 1 : 2);
		assert_int_equal(c->stored, *name == 'b' ? 2 : 1);
	}
	assert_int_equal(channel(w, 'd')->tail, 0);
	assert_int_equal(w->stats.published_messages, 6);
	assert_int_equal(w->stats.stored_messages, 4);
}

/* What fails was never there: ids are given again, to what is on its way
 * already too. */
static void
test_failed(void **state)
{
	struct world *w = *state;

	publish(w, "ab", "1", HUB_KEEP | HUB_SHARED);
	publish(w, "ab", "2", HUB_KEEP | HUB_SHARED);
	fake_transact(w->store, 1, ERR_FULL);
	fake_dispatch(w->store);
	assert_int_equal(channel(w, 'a')->last_cursor, 0);
	fake_transact(w->store, 1, 0);
	fake_dispatch(w->store);
	assert_int_equal(channel(w, 'a')->last_id, 1);
	assert_int_equal(channel(w, 'b')->last_id, 1);
	w->store->busy = true;
	assert_int_equal(
	    hub_publish(w->hub,
		(struct channel *[]){ channel(w, 'a'), channel(w, 'b') }, 2,
		msg_new("x", 1, NULL, NULL, INT64_MAX), HUB_SHARED, NULL),
	    ERR_BUSY);
	assert_false(hub_busy(w->hub));
}

/* --- live -------------------------------------------------------------- */

/* Everybody who reads any of its channels gets it, once. */
static void
test_live(void **state)
{
	struct world *w = *state;
	struct reader stream, twice, poll, other, none;

	own(w, "b", "0");
	join(w, &stream, SUB_STREAM, "ab");
	join(w, &twice, SUB_STREAM, "bab");
	join(w, &poll, SUB_LONG_POLL, "bc");
	join(w, &other, SUB_LONG_POLL, "c");
	join(w, &none, SUB_STREAM, "d");
	shared(w, "abc", "1");
	visible(w, "ba", "2", HUB_SHARED);
	shared(w, "a", "3");
	assert_string_equal(stream.heard, "a1 b2 a3");
	assert_int_equal(stream.ids[1], 3); /* of channel b */
	assert_int_equal(stream.position, w->store->last);
	assert_string_equal(twice.heard, "a1 b2 a3");
	assert_string_equal(poll.heard, "b1");
	assert_int_equal(poll.position, cursor_make(NOW_S, 2));
	assert_string_equal(other.heard, "c1");
	assert_string_equal(none.heard, "");
	assert_int_equal(w->stats.deliveries, 8);
	leave(w, &stream);
	leave(w, &twice);
	leave(w, &none);
}

/* A poll that is back before the other channels had their turn stands behind
 * it already. */
static void
test_rejoin_within_an_answer(void **state)
{
	struct world *w = *state;
	struct reader r;

	join(w, &r, SUB_LONG_POLL, "abc");
	r.rejoins = true;
	shared(w, "abc", "1");
	visible(w, "cb", "2", HUB_SHARED);
	assert_string_equal(r.heard, "a1 c2");
	assert_int_equal(w->store->n_reads, 0);
	leave(w, &r);
}

/* --- replays ----------------------------------------------------------- */

/* Once, for the first of the reader's channels, whatever kind of reader; and
 * never again to who comes back, be it to another channel. */
static void
test_replay(void **state)
{
	struct world *w = *state;
	struct sub_request req = { .pos = { .by_position = true },
		.by_cursor = true };
	struct reader poll = { .n = 0 }, stream = { .n = 0 },
		      sorted = { .n = 0 }, again = { .n = 0 };

	own(w, "b", "1");
	shared(w, "abc", "2");
	own(w, "a", "3");
	own(w, "b", "4");
	shared(w, "bc", "5");
	join_after(w, &poll, SUB_POLL, "ab", 0);
	join_after(w, &stream, SUB_STREAM, "ba", 0);
	sorted.kind = SUB_LONG_POLL;
	sorted.names = "abc";
	assert_int_equal(join_as(w, &sorted, req), 0);
	fake_settle(w->store);
	assert_string_equal(poll.heard, "a2 a3 b1 b4 b5");
	assert_string_equal(stream.heard, "b1 b2 b4 b5 a3");
	assert_string_equal(sorted.heard, "b1 a2 a3 b4 b5");
	assert_int_equal(poll.position, w->store->last);
	join_after(w, &again, SUB_LONG_POLL, "c", poll.position);
	assert_int_equal(w->store->n_reads, 0);
	leave(w, &again);
	leave(w, &stream);
	/* Another slice goes on behind it in all channels. */
	w->limits.replay_messages = 2;
	world_limit(w);
	join_after(w, &again, SUB_LONG_POLL, "cba", 0);
	fake_settle(w->store);
	assert_string_equal(again.heard, "c2 b1");
	join_after(w, &again, SUB_LONG_POLL, "cba", again.position);
	fake_settle(w->store);
	assert_string_equal(again.heard, "c2 b1 b4 a3");
}

/* What comes while a stream's replay is under way waits for it, once. */
static void
test_live_behind_a_replay(void **state)
{
	struct world *w = *state;
	struct reader r = { .n = 0 };

	w->hub->backlog_messages = 3;
	w->hub->backlog_bytes = 3;
	own(w, "a", "1");
	join_after(w, &r, SUB_STREAM, "abc", 0);
	shared(w, "bac", "2");
	visible(w, "ca", "3", HUB_SHARED);
	own(w, "c", "4");
	assert_string_equal(r.heard, "");
	assert_int_equal(w->stats.stream_overruns, 0);
	read_one(w);
	assert_string_equal(r.heard, "a1 b2 c3 c4");
	assert_int_equal(r.position, w->store->last);
	assert_int_equal(w->stats.deliveries, 4);
	leave(w, &r);
}

/* What stands beside a text takes of the backlog's bytes, too. */
static void
test_extra_behind_a_replay(void **state)
{
	struct world *w = *state;
	struct reader r = { .n = 0 };
	struct channel *a = channel(w, 'a');

	w->hub->backlog_bytes = 12;
	own(w, "a", "1");
	join_after(w, &r, SUB_STREAM, "a", 0);
	for (int i = 0; i < 3; i++) {
		struct msg_parts parts = { .text = SLICE("2"),
			.extra = SLICE("beside"),
			.expires = INT64_MAX };

		assert_int_equal(hub_publish(w->hub, &a, 1, msg_make(&parts),
				     HUB_SHARED, NULL),
		    0);
		fake_transact(w->store, SIZE_MAX, 0);
		fake_dispatch(w->store);
		assert_int_equal(w->stats.stream_overruns, i == 0 ? 0 : i + 1);
	}
	leave(w, &r);
}

/* The channel that brought it is deleted before the replay ends: the reader
 * has it of another. */
static void
test_delete_behind_a_replay(void **state)
{
	struct world *w = *state;
	struct reader r = { .n = 0 };

	w->hub->backlog_messages = 3;
	w->hub->backlog_bytes = 3;
	own(w, "c", "1");
	join_after(w, &r, SUB_STREAM, "abc", 0);
	shared(w, "ab", "2");
	shared(w, "a", "3");
	deleted(w, 'a');
	/* What went made room. */
	visible(w, "bc", "4", HUB_SHARED);
	visible(w, "bc", "5", HUB_SHARED);
	assert_int_equal(w->stats.stream_overruns, 0);
	read_one(w);
	assert_string_equal(r.heard, "[a] c1 b2 b4 b5");
	leave(w, &r);
}

/* The same while the store reads: what it found there is looked for in the
 * reader's other channels. */
static void
test_delete_while_reading(void **state)
{
	struct world *w = *state;
	struct reader r = { .n = 0 };
	struct hub_wait wait = { .done = NULL };
	struct channel *a;

	shared(w, "ab", "1");
	own(w, "b", "2");
	a = channel(w, 'a');
	join_after(w, &r, SUB_STREAM, "ab", 0);
	assert_int_equal(
	    hub_delete(w->hub, &a, 1, (struct slice){ "]", 1 }, &wait), 0);
	hub_forget(&wait);
	fake_read(w->store, 0); /* before it is dropped */
	fake_transact(w->store, 1, 0);
	/* The deletion is told first. */
	fake_list_add(&w->store->done, fake_list_take(&w->store->done));
	fake_settle(w->store);
	assert_string_equal(r.heard, "[a] b1 b2");
	leave(w, &r);
}

/* A message is one to the backlog's bounds, and one when it is lost. */
static void
test_overrun(void **state)
{
	struct world *w = *state;
	struct reader r = { .n = 0 };

	w->hub->backlog_messages = 2;
	own(w, "a", "1");
	join_after(w, &r, SUB_STREAM, "abc", 0);
	visible(w, "abc", "2", HUB_SHARED);
	shared(w, "abc", "3");
	assert_int_equal(w->stats.stream_overruns, 0);
	visible(w, "abc", "4", HUB_SHARED);
	assert_int_equal(w->stats.stream_overruns, 2);
	visible(w, "bc", "5", HUB_SHARED);
	shared(w, "ca", "6");
	assert_int_equal(w->stats.stream_overruns, 3); /* 2, 4 and 5 */
	read_one(w);
	assert_string_equal(r.heard, "a1");
	read_one(w);
	assert_string_equal(r.heard, "a1 a3 a6");
	shared(w, "bc", "7");
	assert_string_equal(r.heard, "a1 a3 a6 b7");
	leave(w, &r);
}

/* --- positions --------------------------------------------------------- */

/* With one on its way in many channels no position is above its cursor. */
static void
test_position(void **state)
{
	struct world *w = *state;
	struct sub_request req = { .deadline_ms = NOW_MS + 1000 };
	struct reader r = { .kind = SUB_LONG_POLL, .names = "ab" };

	shared(w, "ab", "1");
	assert_int_equal(join_as(w, &r, req), 0);
	publish(w, "bc", "2", HUB_KEEP | HUB_SHARED);
	fake_transact(w->store, SIZE_MAX, 0);
	hub_set_time(w->hub, NOW_S + 5, NOW_MS + 5000);
	hub_tick(w->hub);
	assert_null(r.sub);
	assert_int_equal(r.position, cursor_make(NOW_S, 1));
	fake_dispatch(w->store);
	join_after(w, &r, SUB_LONG_POLL, "ab", r.position);
	fake_settle(w->store);
	assert_string_equal(r.heard, "b2");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_cursor),
		TEST(test_failed),
		TEST(test_live),
		TEST(test_rejoin_within_an_answer),
		TEST(test_replay),
		TEST(test_live_behind_a_replay),
		TEST(test_extra_behind_a_replay),
		TEST(test_delete_behind_a_replay),
		TEST(test_delete_while_reading),
		TEST(test_overrun),
		TEST(test_position),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
