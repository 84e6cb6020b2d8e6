/*
 * tests/unit/test_hub_events.c - the events channel tells what happens to all
 * others (push-stream.md section 13), and counts for nothing itself.
 *
 * A stream on it writes down what it hears: "+a" channel a was created, "-a"
 * destroyed, ">a" somebody subscribed to it, "<a" unsubscribed.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/hub_world.h"

static struct {
	struct sub *sub;
	char heard[256];
	char text[128]; /* of the last event */
	uint64_t last_id;
} listener;

static void
on_event(void *sess, const struct delivery *d, size_t n, uint64_t position)
{
	static const struct {
		const char *type;
		char mark;
	} types[] = { { "channel_created", '+' }, { "channel_destroyed", '-' },
		{ "client_subscribed", '>' }, { "client_unsubscribed", '<' } };

	(void)sess;
	assert_int_equal(n, 1);
	assert_int_equal(position, d->cursor);
	(void)snprintf(listener.text, sizeof(listener.text), "%.*s",
	    (int)d->msg->text_len, msg_text(d->msg).ptr);
	listener.last_id = d->id;
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		char head[64];
		size_t len, at = strlen(listener.heard);

		if (!slice_is(msg_event_type(d->msg), types[i].type))
			continue;
		len = (size_t)snprintf(head, sizeof(head),
		    "{\"type\": \"%s\", \"channel\": \"", types[i].type);
		assert_int_equal(strncmp(listener.text, head, len), 0);
		(void)snprintf(listener.heard + at, sizeof(listener.heard) - at,
		    "%c%.*s", types[i].mark,
		    (int)(strlen(listener.text) - len - 2),
		    listener.text + len);
		return;
	}
	fail_msg("an event of an unknown type");
}

static void
on_empty(void *sess, uint64_t position)
{
	(void)sess;
	(void)position;
}

static void
on_deleted(void *sess, const struct channel *c, struct slice text,
    uint64_t position, bool last)
{
	(void)sess;
	(void)c;
	(void)text;
	(void)position;
	(void)last;
}

static void
on_deliver(void *sess, const struct delivery *d, size_t n, uint64_t position)
{
	(void)sess;
	(void)d;
	(void)n;
	(void)position;
}

static const struct sub_ops listener_ops = { .name = "listener",
	.deliver = on_event };
static const struct sub_ops reader_ops = { .name = "reader",
	.deliver = on_deliver,
	.empty = on_empty,
	.deleted = on_deleted };

static struct channel *
channel(struct world *w, const char *name)
{
	return world_channel(w, (struct slice){ name, strlen(name) });
}

static int
subscribe(struct world *w, struct channel *const *c, uint32_t n,
    enum sub_kind kind, const struct sub_ops *ops, struct sub **out)
{
	static const uint32_t backtracks[4];

	return hub_subscribe(w->hub,
	    &(struct sub_request){ .channels = c,
		.backtracks = backtracks,
		.n = n,
		.kind = kind,
		.deadline_ms = FOR_EVER,
		.ops = ops,
		.sess = w },
	    out);
}

static void
listen(struct world *w)
{
	struct channel *c = hub_find(w->hub, w->limits.events_channel);

	assert_int_equal(
	    subscribe(w, &c, 1, SUB_STREAM, &listener_ops, &listener.sub), 0);
	listener.heard[0] = '\0';
}

static void
restart(struct world *w)
{
	world_restart(w);
	listen(w);
}

static int
setup(void **state)
{
	struct world *w = world_new(&(struct hub_limits){ .message_ttl_s = 60,
	    .channel_inactivity_ms = 30000,
	    .max_channels = 3,
	    .events_channel = S("ev"),
	    .replay_messages = 100,
	    .replay_bytes = 1 << 20 });

	listen(w);
	*state = w;
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

static void
publish(struct world *w, const char *name, bool keep)
{
	struct channel *c = channel(w, name);

	assert_int_equal(
	    hub_publish(w->hub, &c, 1, msg_new("m", 1, NULL, NULL, INT64_MAX),
		keep ? HUB_KEEP : 0, NULL),
	    0);
}

static void delete (struct world *w, const char *name)
{
	static struct hub_wait wait;
	struct channel *c = channel(w, name);

	wait = (struct hub_wait){ .done = NULL };
	assert_int_equal(hub_delete(w->hub, &c, 1, S("gone"), &wait), 0);
	hub_forget(&wait);
}

/* What was heard of since, then silence. */
static void
expect(struct world *w, const char *events)
{
	fake_settle(w->store);
	assert_string_equal(listener.heard, events);
	listener.heard[0] = '\0';
}

/* --- the channel ------------------------------------------------------- */

/* It is there, and nothing is told about itself. */
static void
test_exists(void **state)
{
	struct world *w = *state;

	assert_non_null(hub_find(w->hub, S("ev")));
	assert_true(hub_is_events(w->hub, channel(w, "ev")));
	assert_false(hub_is_events(w->hub, channel(w, "a")));
	assert_false(hub_is_events(w->hub, NULL));
	assert_int_equal(w->stats.channels, 2);
	expect(w, "+a");
	hub_unsubscribe(w->hub, &listener.sub);
	fake_settle(w->store);
	assert_int_equal(channel(w, "ev")->last_id, 1);
}

/* Nobody reads it, nothing is in it, its time is long over: it stays, also
 * when somebody would delete it. */
static void
test_stays(void **state)
{
	struct world *w = *state;

	hub_unsubscribe(w->hub, &listener.sub);
	at(w, 100000);
	assert_non_null(hub_find(w->hub, S("ev")));
	delete (w, "ev");
	fake_settle(w->store);
	assert_non_null(hub_find(w->hub, S("ev")));
	assert_int_equal(w->stats.channels, 1);
	listen(w);
	(void)channel(w, "a");
	expect(w, "+a");
}

/* It counts among the channels, but no limit keeps it from being made. */
static void
test_limit(void **state)
{
	struct world *w = *state;
	struct channel *c;

	(void)channel(w, "a");
	(void)channel(w, "b");
	assert_int_equal(hub_open(w->hub, S("c"), &c), ERR_LIMIT);
	w->limits.events_channel = S("other");
	world_limit(w);
	assert_true(hub_is_events(w->hub, channel(w, "other")));
	assert_int_equal(w->stats.channels, 4);
}

/* Switched off: the channel is one like any other, and goes like one. */
static void
test_switched_off(void **state)
{
	struct world *w = *state;

	(void)channel(w, "a");
	expect(w, "+a");
	assert_int_equal(w->stats.published_messages, 0);
	w->limits.events_channel = S("");
	world_limit(w);
	assert_int_equal(w->stats.published_messages, 1);
	assert_int_equal(w->stats.stored_messages, 1);
	(void)channel(w, "b");
	expect(w, "");
	hub_unsubscribe(w->hub, &listener.sub);
	fake_collect(w->store, channel(w, "ev")->number);
	fake_dispatch(w->store);
	assert_int_equal(w->stats.stored_messages, 0);
	at(w, 30000);
	assert_null(hub_find(w->hub, S("ev")));
	assert_int_equal(w->stats.channels, 0);
}

/* --- what is told ------------------------------------------------------ */

/* Created comes before subscribed; a text and its type say the same. */
static void
test_text(void **state)
{
	struct world *w = *state;
	struct channel *c = channel(w, "a");
	struct sub *sub;

	assert_int_equal(
	    subscribe(w, &c, 1, SUB_LONG_POLL, &reader_ops, &sub), 0);
	expect(w, "+a>a");
	assert_string_equal(listener.text,
	    "{\"type\": \"client_subscribed\", \"channel\": \"a\"}");
	assert_int_equal(listener.last_id, 2);
	assert_int_equal(w->store->rows[1].msg->expires, NOW_S + 60);
	hub_unsubscribe(w->hub, &sub);
	expect(w, "<a");
}

/* The name is any bytes: the text is JSON all the same. */
static void
test_escapes(void **state)
{
	struct world *w = *state;

	(void)channel(w, "\"\\\n\x7f\xc3\xa4}");
	fake_settle(w->store);
	assert_string_equal(listener.text,
	    "{\"type\": \"channel_created\", \"channel\": "
	    "\"\\\"\\\\\\u000a\x7f\xc3\xa4}\"}");
}

/* For each channel of a long poll and of a stream, not of a poll; and when a
 * message or a deletion ends it. */
static void
test_subscriptions(void **state)
{
	struct world *w = *state;
	struct channel *c[2] = { channel(w, "a"), channel(w, "b") };
	struct sub_position pos = { .by_position = true };
	static const uint32_t none[2];
	struct sub *sub;

	expect(w, "+a+b");
	assert_int_equal(
	    subscribe(w, c, 2, SUB_LONG_POLL, &reader_ops, &sub), 0);
	expect(w, ">a>b");
	publish(w, "b", true);
	expect(w, "<a<b");
	assert_int_equal(subscribe(w, c, 2, SUB_STREAM, &reader_ops, &sub), 0);
	publish(w, "b", false);
	expect(w, ">a>b");
	delete (w, "a");
	expect(w, "<a-a");
	hub_unsubscribe(w->hub, &sub);
	expect(w, "<b");
	assert_int_equal(hub_subscribe(w->hub,
			     &(struct sub_request){ .channels = &c[1],
				 .backtracks = none,
				 .n = 1,
				 .pos = pos,
				 .kind = SUB_POLL,
				 .ops = &reader_ops,
				 .sess = w },
			     &sub),
	    0);
	expect(w, "");
}

/* Destroyed: for inactivity, or deleted, when its last reader has gone and
 * not while that may fail. */
static void
test_destroyed(void **state)
{
	struct world *w = *state;
	struct channel *c = channel(w, "a");
	struct sub *sub;

	at(w, 30000);
	expect(w, "+a-a");
	c = channel(w, "b");
	assert_int_equal(
	    subscribe(w, &c, 1, SUB_LONG_POLL, &reader_ops, &sub), 0);
	expect(w, "+b>b");
	delete (w, "b");
	fake_transact(w->store, 1, ERR_IO);
	fake_dispatch(w->store);
	expect(w, "");
	delete (w, "b");
	expect(w, "<b-b");
}

/* --- what it counts for ------------------------------------------------ */

static void
test_totals(void **state)
{
	struct world *w = *state;

	publish(w, "a", true);
	publish(w, "a", false);
	expect(w, "+a");
	assert_int_equal(w->stats.published_messages, 2);
	assert_int_equal(w->stats.stored_messages, 1);
	assert_int_equal(channel(w, "ev")->stored, 1);
	fake_collect(w->store, channel(w, "ev")->number);
	fake_dispatch(w->store);
	assert_int_equal(channel(w, "ev")->stored, 0);
	assert_int_equal(w->stats.stored_messages, 1);
}

/* The cap of a channel holds for it too. */
static void
test_cap(void **state)
{
	struct world *w = *state;

	w->limits.max_stored = 2;
	w->limits.max_channels = 0;
	world_limit(w);
	(void)channel(w, "a");
	(void)channel(w, "b");
	(void)channel(w, "c");
	expect(w, "+a+b+c");
	assert_int_equal(channel(w, "ev")->stored, 2);
	assert_int_equal(w->stats.stored_messages, 0);
}

/* Its ids go on after a restart, and the totals leave it out again. */
static void
test_restart(void **state)
{
	struct world *w = *state;

	publish(w, "a", true);
	(void)channel(w, "b");
	expect(w, "+a+b");
	assert_int_equal(listener.last_id, 2);
	restart(w);
	assert_int_equal(w->stats.published_messages, 1);
	assert_int_equal(w->stats.stored_messages, 1);
	assert_int_equal(w->stats.channels, 2);
	(void)channel(w, "c");
	expect(w, "+c");
	assert_int_equal(listener.last_id, 3);
	assert_int_equal(channel(w, "ev")->stored, 3);
}

/* What cannot be queued, or not be stored, is counted, and nobody's harm. */
static void
test_lost(void **state)
{
	struct world *w = *state;

	w->store->busy = true;
	(void)channel(w, "a");
	assert_int_equal(w->stats.events_lost, 1);
	w->store->busy = false;
	(void)channel(w, "b");
	fake_transact(w->store, 1, ERR_FULL);
	fake_dispatch(w->store);
	assert_int_equal(w->stats.events_lost, 2);
	hub_unsubscribe(w->hub, &listener.sub);
	listen(w);
	publish(w, "b", true);
	delete (w, "a");
	expect(w, "-a");
	assert_int_equal(listener.last_id, 1);
	assert_int_equal(w->stats.events_lost, 2);
}

/* The store's queue is for those who publish: only so many are on their way. */
static void
test_too_many_on_their_way(void **state)
{
	enum {
		MOST = 16384
	};
	struct world *w = *state;
	char name[16];

	w->hub->limits.max_channels = 0;
	for (int i = 0; i < MOST; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		(void)channel(w, name);
	}
	assert_int_equal(w->stats.events_lost, 0);
	(void)channel(w, "one more");
	assert_int_equal(w->stats.events_lost, 1);
	fake_transact(w->store, 1, ERR_FULL); /* and this one is lost, too */
	fake_dispatch(w->store);
	(void)channel(w, "and one");
	assert_int_equal(w->stats.events_lost, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_exists),
		TEST(test_stays),
		TEST(test_limit),
		TEST(test_switched_off),
		TEST(test_text),
		TEST(test_escapes),
		TEST(test_subscriptions),
		TEST(test_destroyed),
		TEST(test_totals),
		TEST(test_cap),
		TEST(test_restart),
		TEST(test_lost),
		TEST(test_too_many_on_their_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
