/*
 * tests/unit/test_hub.c - what push/ promises, one promise a test, against a
 * store that does each step when it is told to.  test_hub_race.c plays the
 * same pieces in random orders.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/hub_world.h"

/* A reader and what it was told. */
struct reader {
	struct sub *sub;
	int calls; /* of any op */
	size_t n;  /* messages */
	uint64_t cursors[16];
	uint64_t ids[16];
	char texts[64]; /* of all messages, joined */
	int empty, deleted, err;
	char deleted_text[32];
	uint64_t position;
	struct hub *rejoins; /* it comes back from within the op */
	struct channel *rejoins_channel;
};

struct publisher {
	int calls;
	int err;
	struct hub_wait wait;
	/* what it sees when it is told */
	const struct channel *channel;
	uint32_t subscribers;
	uint64_t last_id;
	uint32_t stored;
	const struct reader *reader;
	int reader_calls;
};

static void on_deliver(
    void *sess, const struct delivery *d, size_t n, uint64_t position);

static void
on_empty(void *sess, uint64_t position)
{
	struct reader *r = sess;

	r->calls++;
	r->sub = NULL;
	r->empty++;
	r->position = position;
}

static void
on_deleted(void *sess, const struct channel *c, struct slice text,
    uint64_t position, bool last)
{
	struct reader *r = sess;

	assert_true(c->deleted && last);
	assert_true(text.len < sizeof(r->deleted_text));
	r->calls++;
	r->sub = NULL;
	r->deleted++;
	memcpy(r->deleted_text, text.ptr, text.len);
	r->position = position;
}

static void
on_failed(void *sess, int err)
{
	struct reader *r = sess;

	r->calls++;
	r->sub = NULL;
	r->err = err;
}

static const struct sub_ops ops = {
	.name = "test",
	.deliver = on_deliver,
	.empty = on_empty,
	.deleted = on_deleted,
	.failed = on_failed,
};

static void
on_published(void *arg, int err)
{
	struct publisher *p = arg;

	p->calls++;
	p->err = err;
	if (p->channel != NULL) {
		p->subscribers = p->channel->subscribers;
		p->last_id = p->channel->last_id;
		p->stored = p->channel->stored;
	}
	if (p->reader != NULL)
		p->reader_calls = p->reader->calls;
}

static int
setup(void **state)
{
	*state = world_new(&(struct hub_limits){ .message_ttl_s = 86400,
	    .channel_inactivity_ms = 30000,
	    .replay_messages = 1000,
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
channel(struct world *w, const char *name)
{
	return world_channel(w, (struct slice){ name, strlen(name) });
}

static int
try_publish_to(struct world *w, struct channel *const *c, uint32_t n,
    const char *text, bool keep, const char *event_id, struct publisher *p)
{
	struct slice id = { event_id, event_id != NULL ? strlen(event_id) : 0 };

	if (p != NULL)
		p->wait = (struct hub_wait){ on_published, p, NULL };
	return hub_publish(w->hub, c, n,
	    msg_new(text, strlen(text), event_id != NULL ? &id : NULL, NULL,
		INT64_MAX),
	    keep ? HUB_KEEP : 0, p != NULL ? &p->wait : NULL);
}

static void
publish(struct world *w, const char *name, const char *text, bool keep,
    struct publisher *p)
{
	struct channel *c = channel(w, name);

	assert_int_equal(try_publish_to(w, &c, 1, text, keep, NULL, p), 0);
}

/* Published and committed. */
static void
stored(struct world *w, const char *name, const char *text)
{
	publish(w, name, text, true, NULL);
	fake_settle(w->store);
}

/* What it costs to read names "a/b": 0, or HUB_NOTHING. */
static int
try_join(struct world *w, struct reader *r, const char *names,
    const struct sub_position *pos, uint32_t backtrack, bool wait,
    uint64_t deadline_ms)
{
	struct channel *c[16];
	uint32_t backtracks[16], n = 0;

	for (; *names != '\0'; names += *names == '/') {
		size_t len = strcspn(names, "/");

		assert_int_equal(
		    hub_open(w->hub, (struct slice){ names, len }, &c[n]), 0);
		backtracks[n++] = backtrack;
		names += len;
	}
	memset(r, 0, sizeof(*r));
	return hub_subscribe(w->hub,
	    &(struct sub_request){ .channels = c,
		.backtracks = backtracks,
		.n = n,
		.pos = *pos,
		.kind = wait ? SUB_LONG_POLL : SUB_POLL,
		.deadline_ms = deadline_ms,
		.ops = &ops,
		.sess = r },
	    &r->sub);
}

static void
join_after(struct world *w, struct reader *r, const char *names, uint64_t after)
{
	struct sub_position pos = { .by_position = true, .after = after };

	assert_int_equal(try_join(w, r, names, &pos, 0, true, FOR_EVER), 0);
	assert_int_equal(r->calls, 0); /* never before it returns */
}

static void
join(struct world *w, struct reader *r, const char *names)
{
	struct sub_position pos = { .by_position = false };

	assert_int_equal(try_join(w, r, names, &pos, 0, true, FOR_EVER), 0);
	assert_int_equal(r->calls, 0);
}

static void
on_deliver(void *sess, const struct delivery *d, size_t n, uint64_t position)
{
	struct reader *r = sess;

	r->calls++;
	r->sub = NULL;
	r->position = position;
	for (size_t i = 0; i < n; i++) {
		assert_true(r->n < COUNT_OF(r->ids));
		r->ids[r->n] = d[i].id;
		r->cursors[r->n++] = d[i].cursor;
		strncat(
		    r->texts, msg_text(d[i].msg).ptr, msg_text(d[i].msg).len);
	}
	if (r->rejoins != NULL) {
		uint32_t none = 0;
		struct sub_request again = { .channels = &r->rejoins_channel,
			.backtracks = &none,
			.n = 1,
			.pos = { .by_position = true, .after = position },
			.kind = SUB_LONG_POLL,
			.deadline_ms = FOR_EVER,
			.ops = &ops,
			.sess = r };

		assert_int_equal(hub_subscribe(r->rejoins, &again, &r->sub), 0);
	}
}

/* --- publishing -------------------------------------------------------- */

/* Ids count in each channel by itself, cursors over all, from 1 each second. */
static void
test_order_and_ids(void **state)
{
	struct world *w = *state;
	struct publisher p[3] = { { .calls = 0 } };

	publish(w, "a", "1", true, &p[0]);
	publish(w, "b", "2", false, &p[1]);
	publish(w, "a", "3", true, &p[2]);
	assert_true(hub_busy(w->hub));
	assert_int_equal(channel(w, "a")->last_id, 0); /* not yet */
	fake_settle(w->store);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(p[i].calls, 1);
		assert_int_equal(p[i].err, 0);
		assert_int_equal(w->store->log[i].cursor,
		    cursor_make(NOW_S, (uint64_t)i + 1));
	}
	assert_false(hub_busy(w->hub));
	assert_int_equal(channel(w, "a")->last_id, 2);
	assert_int_equal(channel(w, "a")->stored, 2);
	assert_int_equal(channel(w, "b")->last_id, 1);
	assert_int_equal(channel(w, "b")->stored, 0);
	assert_int_equal(w->stats.published_messages, 3);
	assert_int_equal(w->stats.stored_messages, 2);
}

/* A publish to several channels is one transaction of several messages. */
static void
test_several_channels(void **state)
{
	struct world *w = *state;
	struct channel *c[3] = { channel(w, "a"), channel(w, "b"),
		channel(w, "a") };
	struct publisher p = { .calls = 0 };

	assert_int_equal(try_publish_to(w, c, 3, "x", true, NULL, &p), 0);
	fake_settle(w->store);
	assert_int_equal(p.calls, 1);
	assert_int_equal(c[0]->last_id, 2);
	assert_int_equal(c[0]->stored, 2);
	assert_int_equal(c[1]->last_id, 1);
	assert_int_equal(w->store->log[2].id, 2);
	assert_int_equal(cursor_tag(w->store->log[2].cursor), 3);
}

/* The answer counts the readers that the message finds, so it comes before
 * long polls leave with it; and before the commit nobody hears anything. */
static void
test_publisher_before_readers(void **state)
{
	struct world *w = *state;
	struct reader r, other;
	struct publisher p = { .channel = channel(w, "a"), .reader = &r };

	join(w, &r, "a");
	join(w, &other, "a");
	publish(w, "a", "m", true, &p);
	fake_transact(w->store, 1, 0);
	assert_int_equal(p.calls + r.calls + other.calls, 0);
	fake_dispatch(w->store);
	assert_int_equal(p.calls, 1);
	assert_int_equal(p.subscribers, 2);
	assert_int_equal(p.last_id, 1);
	assert_int_equal(p.stored, 1);
	assert_int_equal(p.reader_calls, 0);
	assert_int_equal(r.calls, 1);
	assert_int_equal(other.calls, 1);
	assert_int_equal(p.channel->subscribers, 0);
}

/* A failed publish leaves no trace: no delivery, no count, its id is given
 * again. */
static void
test_failed_publish(void **state)
{
	struct world *w = *state;
	struct publisher p = { .calls = 0 };
	struct reader r;

	stored(w, "a", "1");
	join(w, &r, "a");
	publish(w, "a", "2", true, &p);
	fake_transact(w->store, 1, ERR_FULL);
	fake_dispatch(w->store);
	assert_int_equal(p.calls, 1);
	assert_int_equal(p.err, ERR_FULL);
	assert_int_equal(r.calls, 0);
	assert_int_equal(channel(w, "a")->last_id, 1);
	assert_int_equal(w->stats.published_messages, 1);
	stored(w, "a", "3");
	assert_string_equal(r.texts, "3");
	assert_int_equal(r.ids[0], 2);
}

/* A publish that fails leaves no gap, where the one behind it succeeds. */
static void
test_failed_publish_before_another(void **state)
{
	struct world *w = *state;

	publish(w, "a", "1", true, NULL);
	publish(w, "a", "2", true, NULL);
	fake_transact(w->store, 1, ERR_FULL);
	fake_transact(w->store, 1, 0);
	fake_dispatch(w->store);
	stored(w, "a", "3");
	assert_int_equal(w->store->log[0].id, 1);
	assert_int_equal(w->store->log[1].id, 2);
}

static void
test_queue_full(void **state)
{
	struct world *w = *state;
	struct publisher p = { .calls = 0 };
	struct channel *c = channel(w, "a");

	w->store->busy = true;
	assert_int_equal(
	    try_publish_to(w, &c, 1, "x", true, NULL, &p), ERR_BUSY);
	assert_false(hub_busy(w->hub));
	w->store->busy = false;
	stored(w, "a", "y");
	assert_int_equal(p.calls, 0);
	assert_int_equal(w->store->log[0].id, 1);
	assert_int_equal(c->inflight, 0);
}

/* The front has gone; its message is published all the same. */
static void
test_forget(void **state)
{
	struct world *w = *state;
	struct publisher p = { .calls = 0 };
	struct reader r;

	join(w, &r, "a");
	publish(w, "a", "m", true, &p);
	hub_forget(&p.wait);
	hub_forget(&p.wait);
	fake_settle(w->store);
	assert_int_equal(p.calls, 0);
	assert_string_equal(r.texts, "m");
	hub_forget(&p.wait); /* long done */
	assert_false(hub_busy(w->hub));
}

/* The store is asked to trim only when there may be too many. */
static void
test_cap(void **state)
{
	struct world *w = *state;

	w->limits.max_stored = 2;
	world_limit(w);
	publish(w, "a", "1", true, NULL);
	assert_int_equal(w->store->changes.first->u.append.members[0].cap, 0);
	publish(w, "a", "2", true, NULL);
	publish(w, "a", "3", true, NULL);
	fake_settle(w->store);
	assert_int_equal(channel(w, "a")->stored, 2);
	assert_int_equal(w->stats.stored_messages, 2);
	assert_int_equal(fake_stored(w->store, channel(w, "a")->number), 2);
	/* What is not kept takes no place. */
	publish(w, "a", "4", false, NULL);
	fake_settle(w->store);
	assert_int_equal(channel(w, "a")->stored, 2);
	assert_int_equal(channel(w, "a")->last_id, 4);
}

/* --- live delivery ----------------------------------------------------- */

static void
test_each_reader_once(void **state)
{
	struct world *w = *state;
	struct reader r[5], elsewhere;

	for (size_t i = 0; i < COUNT_OF(r); i++)
		join(w, &r[i], "a");
	join(w, &elsewhere, "b");
	assert_int_equal(w->stats.subscribers, 6);
	publish(w, "a", "1", false, NULL);
	publish(w, "a", "2", false, NULL);
	fake_settle(w->store);
	for (size_t i = 0; i < COUNT_OF(r); i++) {
		assert_int_equal(r[i].calls, 1);
		assert_string_equal(r[i].texts, "1");
		assert_int_equal(r[i].position, r[i].cursors[0]);
	}
	assert_int_equal(elsewhere.calls, 0);
	assert_int_equal(w->stats.subscribers, 1);
	hub_unsubscribe(w->hub, &elsewhere.sub);
	assert_null(elsewhere.sub);
	hub_unsubscribe(w->hub, &elsewhere.sub); /* nobody */
	assert_int_equal(w->stats.subscribers, 0);
}

/* "x/x" is two subscriptions of one reader, who hears each message once. */
static void
test_channel_named_twice(void **state)
{
	struct world *w = *state;
	struct reader first, twice, last;

	join(w, &first, "x");
	join(w, &twice, "x/y/x");
	join(w, &last, "x");
	assert_int_equal(channel(w, "x")->subscribers, 4);
	assert_int_equal(w->stats.subscribers, 3);
	stored(w, "x", "m");
	assert_int_equal(first.calls, 1);
	assert_int_equal(twice.calls, 1);
	assert_int_equal(last.calls, 1);
	assert_int_equal(channel(w, "x")->subscribers, 0);
	assert_int_equal(channel(w, "y")->subscribers, 0);
}

/* One message an answer; what else came to its channels comes next time. */
static void
test_publish_to_both_channels_of_a_reader(void **state)
{
	struct world *w = *state;
	struct channel *c[2] = { channel(w, "a"), channel(w, "b") };
	struct reader r;
	uint64_t position;

	join(w, &r, "b/a");
	assert_int_equal(try_publish_to(w, c, 2, "m", true, NULL, NULL), 0);
	fake_settle(w->store);
	assert_int_equal(r.calls, 1);
	assert_int_equal(r.n, 1);
	position = r.position;
	join_after(w, &r, "b/a", position);
	fake_settle(w->store);
	assert_int_equal(r.n, 1);
	assert_true(r.cursors[0] > position);
}

/* A reader that comes back from within its answer has had this message. */
static void
test_rejoin_within_an_answer(void **state)
{
	struct world *w = *state;
	struct reader r[2];

	join(w, &r[0], "a");
	join(w, &r[1], "a");
	r[0].rejoins = w->hub;
	r[0].rejoins_channel = channel(w, "a");
	stored(w, "a", "1");
	assert_string_equal(r[0].texts, "1");
	assert_string_equal(r[1].texts, "1");
	stored(w, "a", "2");
	assert_string_equal(r[0].texts, "12");
	r[0].rejoins = NULL;
	hub_unsubscribe(w->hub, &r[0].sub);
}

/* --- replay ------------------------------------------------------------ */

/* Channel by channel in path order; the position is that of the newest. */
static void
test_replay_order(void **state)
{
	struct world *w = *state;
	struct reader r;

	stored(w, "b", "1");
	stored(w, "a", "2");
	stored(w, "b", "3");
	publish(w, "a", "live only", false, NULL);
	fake_settle(w->store);
	join_after(w, &r, "b/a", 0);
	assert_true(hub_busy(w->hub));
	fake_settle(w->store);
	assert_string_equal(r.texts, "132");
	assert_int_equal(r.ids[1], 2);
	/* Also what was not kept counts as seen (8.2). */
	assert_int_equal(r.position, w->store->log[3].cursor);
	assert_int_equal(channel(w, "a")->subscribers, 0);
	assert_int_equal(w->stats.replays, 1);
}

/* "From now": the store is not asked, and what comes is delivered. */
static void
test_without_position(void **state)
{
	struct world *w = *state;
	struct reader r;

	stored(w, "a", "old");
	join(w, &r, "a");
	assert_int_equal(w->store->n_reads, 0);
	stored(w, "a", "new");
	assert_string_equal(r.texts, "new");
}

/* Nothing newer in memory: no read.  Strictly newer: one tag decides. */
static void
test_only_what_is_newer(void **state)
{
	struct world *w = *state;
	struct reader r;

	stored(w, "a", "1");
	stored(w, "a", "2");
	join_after(w, &r, "a", w->store->log[1].cursor);
	assert_int_equal(w->store->n_reads, 0);
	hub_unsubscribe(w->hub, &r.sub);
	join_after(w, &r, "a", w->store->log[0].cursor);
	fake_settle(w->store);
	assert_string_equal(r.texts, "2");
}

/* A slice is cut at one cursor for all channels, and the next answers have
 * the rest: nothing of the slower channel is skipped. */
static void
test_slices(void **state)
{
	struct world *w = *state;
	struct reader r;
	uint64_t after = 0;
	char all[64] = "";
	size_t len;

	for (int i = 0; i < 3; i++) {
		stored(w, "a", "a");
		stored(w, "b", "b");
	}
	w->limits.replay_messages = 2;
	world_limit(w);
	for (int i = 0; i < 3; i++) {
		join_after(w, &r, "b/a", after);
		fake_settle(w->store);
		assert_int_equal(r.n, 2);
		assert_true(r.position > after);
		after = r.position;
		len = strlen(all);
		(void)snprintf(all + len, sizeof(all) - len, "%s", r.texts);
	}
	assert_string_equal(all, "bababa");
	join_after(w, &r, "b/a", after);
	assert_int_equal(w->store->n_reads, 0);
	hub_unsubscribe(w->hub, &r.sub);
}

/* A slice by bytes holds at least one message, however large. */
static void
test_slice_of_bytes(void **state)
{
	struct world *w = *state;
	struct reader r;

	stored(w, "a", "12345678");
	stored(w, "a", "x");
	w->limits.replay_bytes = 4;
	world_limit(w);
	join_after(w, &r, "a", 0);
	fake_settle(w->store);
	assert_string_equal(r.texts, "12345678");
	assert_int_equal(r.position, r.cursors[0]);
}

/* The last so many, whatever the position says. */
static void
test_backtrack(void **state)
{
	struct world *w = *state;
	struct sub_position pos = { .by_position = true, .after = UINT64_MAX };
	struct reader r;

	stored(w, "a", "1");
	stored(w, "a", "2");
	stored(w, "a", "3");
	assert_int_equal(try_join(w, &r, "a", &pos, 2, true, FOR_EVER), 0);
	fake_settle(w->store);
	assert_string_equal(r.texts, "23");
	assert_int_equal(
	    try_join(w, &r, "a", &pos, UINT32_MAX, true, FOR_EVER), 0);
	fake_settle(w->store);
	assert_string_equal(r.texts, "123");
	/* An empty channel has nothing to go back to: it waits. */
	assert_int_equal(try_join(w, &r, "empty", &pos, 2, true, FOR_EVER), 0);
	assert_int_equal(w->store->n_reads, 0);
	hub_unsubscribe(w->hub, &r.sub);
}

static void
test_event_ids(void **state)
{
	struct world *w = *state;
	struct channel *c = channel(w, "a");
	struct sub_position pos = { .by_event_id = true, .event_id = S("e2") };
	struct reader r;

	for (char id[] = "e1"; id[1] <= '3'; id[1]++)
		assert_int_equal(
		    try_publish_to(w, &c, 1, id, true, id, NULL), 0);
	fake_settle(w->store);
	assert_int_equal(try_join(w, &r, "a", &pos, 0, true, FOR_EVER), 0);
	fake_settle(w->store);
	assert_string_equal(r.texts, "e3");
	/* Unknown, and no time given: nothing, so it waits for the next. */
	pos.event_id = S("e");
	assert_int_equal(try_join(w, &r, "a", &pos, 0, true, FOR_EVER), 0);
	fake_settle(w->store);
	assert_int_equal(r.calls, 0);
	stored(w, "a", "e4");
	assert_string_equal(r.texts, "e4");
	/* Unknown, but a time is given: that decides. */
	pos.by_position = true;
	pos.after = w->store->log[1].cursor;
	assert_int_equal(try_join(w, &r, "a", &pos, 0, true, FOR_EVER), 0);
	fake_settle(w->store);
	assert_string_equal(r.texts, "e3e4");
}

/* The event id may be gone by the time the store reads. */
static void
test_event_id_is_copied(void **state)
{
	struct world *w = *state;
	struct channel *c = channel(w, "a");
	char id[] = "e1";
	struct sub_position pos = { .by_event_id = true,
		.event_id = { id, 2 } };
	struct reader r;

	assert_int_equal(try_publish_to(w, &c, 1, "1", true, "e1", NULL), 0);
	assert_int_equal(try_publish_to(w, &c, 1, "2", true, "e2", NULL), 0);
	fake_settle(w->store);
	assert_int_equal(try_join(w, &r, "a", &pos, 0, true, FOR_EVER), 0);
	memset(id, 'x', 2);
	fake_settle(w->store);
	assert_string_equal(r.texts, "2");
}

/* The store found nothing, but meanwhile something came: it is not lost. */
static void
test_live_message_while_reading(void **state)
{
	struct world *w = *state;
	struct reader r;

	stored(w, "a", "1");
	fake_collect(w->store, channel(w, "a")->number);
	join_after(w, &r, "a", 0);
	publish(w, "a", "2", false, NULL);
	publish(w, "a", "3", false, NULL);
	fake_transact(w->store, 2, 0);
	fake_dispatch(w->store);
	assert_int_equal(r.calls, 0);
	fake_settle(w->store);
	assert_string_equal(r.texts, "2");
}

/* Live messages that all keep while they read have a bound.  Who waits for one
 * is told to come again rather than that there was nothing. */
static void
test_backlogs_are_bounded(void **state)
{
	struct world *w = *state;
	struct reader a, a2, b;

	stored(w, "a", "1");
	stored(w, "b", "2");
	fake_collect(w->store, channel(w, "a")->number);
	fake_collect(w->store, channel(w, "b")->number);
	join_after(w, &a, "a", 0);
	join_after(w, &a2, "a", 0);
	join_after(w, &b, "b", 0);
	w->hub->backlogs.max = sizeof(struct msg) + 1;
	publish(w, "a", "3", false, NULL);
	fake_transact(w->store, 1, 0);
	fake_dispatch(w->store);
	/* Both have the same one, which is there once. */
	assert_int_equal(w->hub->backlogs.used, w->hub->backlogs.max);
	assert_int_equal(w->stats.limits.hits[LIMIT_backlog], 0);
	publish(w, "b", "4", false, NULL);
	fake_transact(w->store, 1, 0);
	fake_dispatch(w->store);
	assert_int_equal(b.err, ERR_CROWDED);
	assert_int_equal(w->stats.limits.hits[LIMIT_backlog], 1);
	fake_settle(w->store);
	assert_string_equal(a.texts, "3");
	assert_string_equal(a2.texts, "3");
	assert_int_equal(w->hub->backlogs.used, 0);
}

/* One who names many channels cannot take all the places. */
static void
test_places_are_left_to_few(void **state)
{
	struct sub_position start = { .by_position = true };
	struct world *w = *state;
	struct reader a, b, c;

	w->limits.max_subscriptions = 12;
	world_limit(w);
	stored(w, "a", "1");
	join(w, &a, "a/b/c/d");
	assert_int_equal(
	    try_join(w, &b, "a/b/c/d/e/f/g/h/i", &start, 0, false, FOR_EVER),
	    ERR_CROWDED);
	assert_int_equal(
	    try_join(w, &c, "a/b/c/d/e/f/g/h", &start, 0, false, FOR_EVER), 0);
	assert_int_equal(w->stats.subscriptions, 12);
}

/* Places in channels, of all readers; a poll that does not wait has its own
 * only while it reads. */
static void
test_subscriptions_are_bounded(void **state)
{
	struct sub_position start = { .by_position = true };
	struct world *w = *state;
	struct reader a, b, c;

	w->limits.max_subscriptions = 3;
	world_limit(w);
	stored(w, "a", "1");
	join(w, &a, "a/b");
	assert_int_equal(
	    try_join(w, &b, "a/b", &start, 0, false, FOR_EVER), ERR_CROWDED);
	assert_int_equal(w->stats.limits.hits[LIMIT_max_subscriptions], 1);
	assert_int_equal(try_join(w, &b, "a", &start, 0, false, FOR_EVER), 0);
	assert_int_equal(w->stats.subscriptions, 3);
	assert_int_equal(
	    try_join(w, &c, "a", &start, 0, true, FOR_EVER), ERR_CROWDED);
	assert_int_equal(w->stats.limits.hits[LIMIT_max_subscriptions], 2);
	fake_settle(w->store);
	assert_string_equal(b.texts, "1");
	assert_int_equal(w->stats.subscriptions, 2);
	join(w, &c, "a");
	hub_unsubscribe(w->hub, &a.sub);
	hub_unsubscribe(w->hub, &c.sub);
	assert_int_equal(w->stats.subscriptions, 0);
}

/* The store found something: that goes first, and the position leaves out
 * what came meanwhile. */
static void
test_replay_before_live(void **state)
{
	struct world *w = *state;
	struct reader r;

	stored(w, "a", "1");
	join_after(w, &r, "a", 0);
	publish(w, "a", "2", true, NULL);
	fake_transact(w->store, 1, 0);
	fake_dispatch(w->store);
	fake_settle(w->store);
	assert_string_equal(r.texts, "1");
	join_after(w, &r, "a", r.position);
	fake_settle(w->store);
	assert_string_equal(r.texts, "2");
}

static void
test_read_fails(void **state)
{
	struct world *w = *state;
	struct reader r;

	stored(w, "a", "1");
	join_after(w, &r, "a", 0);
	fake_read(w->store, ERR_IO);
	fake_dispatch(w->store);
	assert_int_equal(r.calls, 1);
	assert_int_equal(r.err, ERR_IO);
	assert_int_equal(channel(w, "a")->subscribers, 0);
	assert_false(hub_busy(w->hub));
}

/* The client went away while the store was reading. */
static void
test_leave_while_reading(void **state)
{
	struct world *w = *state;
	struct reader r;

	stored(w, "a", "1");
	join_after(w, &r, "a", 0);
	publish(w, "a", "2", true, NULL);
	fake_transact(w->store, 1, 0);
	fake_dispatch(w->store);
	hub_unsubscribe(w->hub, &r.sub);
	assert_false(hub_busy(w->hub));
	fake_settle(w->store);
	assert_int_equal(r.calls, 0);
}

/* A poll never waits, is no subscriber, and stays where it stood. */
static void
test_polls(void **state)
{
	struct world *w = *state;
	struct sub_position pos = { .by_position = true };
	struct reader r;
	uint64_t newest;

	assert_int_equal(try_join(w, &r, "a", &pos, 0, false, 0), HUB_NOTHING);
	stored(w, "a", "1");
	newest = w->store->log[0].cursor;
	assert_int_equal(try_join(w, &r, "a", &pos, 0, false, 0), 0);
	assert_int_equal(w->stats.subscribers, 0);
	assert_int_equal(channel(w, "a")->subscribers, 0);
	fake_settle(w->store);
	assert_string_equal(r.texts, "1");
	fake_collect(w->store, channel(w, "a")->number);
	stored(w, "a", "2");
	fake_collect(w->store, channel(w, "a")->number);
	pos.after = newest;
	assert_int_equal(try_join(w, &r, "a", &pos, 0, false, 0), 0);
	publish(w, "a", "3", true, NULL);
	fake_transact(w->store, 1, 0);
	fake_dispatch(w->store);
	world_at(w, 60000);
	fake_settle(w->store);
	/* "3" came after the question: the position is below it. */
	assert_int_equal(r.empty, 1);
	assert_true(r.position < w->store->log[2].cursor);
}

/* --- time -------------------------------------------------------------- */

/* A timeout is an empty answer with the position (now, 0). */
static void
test_timeout(void **state)
{
	struct world *w = *state;
	struct sub_position pos = { .by_position = false };
	struct reader r, patient;

	assert_int_equal(try_join(w, &r, "a", &pos, 0, true, NOW_MS + 4000), 0);
	join(w, &patient, "a");
	assert_true(hub_next_ms(w->hub) <= NOW_MS + 4000);
	for (uint64_t ms = 1000; ms < 4000; ms += 1000) {
		world_at(w, ms);
		hub_tick(w->hub);
		fake_settle(w->store); /* the reservation follows */
	}
	assert_int_equal(r.calls, 0);
	world_at(w, 3999);
	hub_tick(w->hub);
	assert_int_equal(r.calls, 0);
	world_at(w, 4000);
	hub_tick(w->hub);
	assert_int_equal(r.empty, 1);
	assert_int_equal(r.position, cursor_make(NOW_S + 4, 0));
	assert_int_equal(patient.calls, 0);
	/* The next message sorts above what was handed out. */
	stored(w, "a", "m");
	assert_true(patient.cursors[0] > r.position);
}

/* While a publish is on its way its cursor is not known: no position that
 * leaves may be above it, even if the clock of the store lags behind. */
static void
test_timeout_during_a_publish(void **state)
{
	struct world *w = *state;
	struct sub_position pos = { .by_position = false };
	struct reader r;

	stored(w, "b", "0");
	assert_int_equal(try_join(w, &r, "a", &pos, 0, true, NOW_MS + 1), 0);
	publish(w, "b", "1", true, NULL);
	hub_set_time(w->hub, NOW_S + 1, NOW_MS + 1000);
	hub_tick(w->hub);
	assert_int_equal(r.empty, 1);
	fake_settle(w->store);
	assert_true(w->store->log[1].cursor > r.position);
}

/* After a kill the log continues above all positions that ever left. */
static void
test_positions_survive_a_kill(void **state)
{
	struct world *w = *state;
	struct reader r;
	struct sub_position pos = { .by_position = false };
	uint64_t position;

	stored(w, "a", "kept");
	join(w, &r, "a");
	publish(w, "a", "live only", false, NULL);
	fake_settle(w->store);
	position = r.position;
	world_restart(w);
	assert_int_equal(channel(w, "a")->last_id, 2);
	assert_int_equal(channel(w, "a")->stored, 1);
	assert_int_equal(w->stats.published_messages, 2);
	assert_int_equal(w->stats.stored_messages, 1);
	stored(w, "a", "next");
	join_after(w, &r, "a", position);
	fake_settle(w->store);
	assert_string_equal(r.texts, "next");
	assert_int_equal(r.ids[0], 3);

	/* The clock stood far ahead when a 304 left, and then went back. */
	world_at(w, 1000);
	assert_int_equal(try_join(w, &r, "a", &pos, 0, true, NOW_MS + 2000), 0);
	world_at(w, 100000);
	hub_tick(w->hub);
	assert_int_equal(r.empty, 1);
	assert_true(r.position <= w->store->reserved);
	position = r.position;
	w->store->now_s = NOW_S;
	world_restart(w);
	stored(w, "a", "last");
	join_after(w, &r, "a", position);
	fake_settle(w->store);
	assert_string_equal(r.texts, "last");
}

/* A client with a clock of its own, or whose log was lost. */
static void
test_position_from_the_future(void **state)
{
	struct world *w = *state;
	struct reader r;

	stored(w, "a", "1");
	join_after(w, &r, "a", cursor_make(NOW_S + 5000, 0));
	stored(w, "a", "2");
	assert_string_equal(r.texts, "2");
	join_after(w, &r, "a", UINT64_MAX);
	world_at(w, 1000);
	stored(w, "a", "3");
	assert_string_equal(r.texts, "3");
}

/* Such a position is not handed on either: the next message would have to
 * sort above it, and so would all that ever follow. */
static void
test_position_from_the_future_is_not_confirmed(void **state)
{
	struct world *w = *state;
	uint64_t position;

	stored(w, "a", "1");
	position = hub_position_now(w->hub, cursor_make(NOW_S + 5000, 0));
	assert_true(position <= w->store->reserved);
	stored(w, "a", "2");
	assert_int_equal(cursor_time(w->store->log[1].cursor), NOW_S);
}

static void
test_clock_goes_back(void **state)
{
	struct world *w = *state;
	struct sub_position pos = { .by_position = false };
	struct reader r;

	stored(w, "a", "1");
	w->store->now_s = NOW_S - 500;
	hub_set_time(w->hub, NOW_S - 500, NOW_MS);
	assert_int_equal(try_join(w, &r, "a", &pos, 0, true, NOW_MS + 1), 0);
	hub_set_time(w->hub, NOW_S - 500, NOW_MS + 1);
	hub_tick(w->hub);
	assert_int_equal(r.position, w->store->log[0].cursor);
	stored(w, "a", "2");
	join_after(w, &r, "a", r.position);
	fake_settle(w->store);
	assert_string_equal(r.texts, "2");
}

/* Over while the store was reading: what it finds is delivered all the same,
 * and when it finds nothing the wait ends at once. */
static void
test_deadline_while_reading(void **state)
{
	struct world *w = *state;
	struct sub_position pos = { .by_position = true };
	struct reader r, empty;

	stored(w, "a", "1");
	stored(w, "b", "1");
	fake_collect(w->store, channel(w, "b")->number);
	assert_int_equal(try_join(w, &r, "a", &pos, 0, true, NOW_MS + 10), 0);
	assert_int_equal(
	    try_join(w, &empty, "b", &pos, 0, true, NOW_MS + 10), 0);
	world_at(w, 2000);
	hub_tick(w->hub);
	hub_tick(w->hub);
	assert_int_equal(r.calls + empty.calls, 0);
	fake_settle(w->store);
	assert_string_equal(r.texts, "1");
	assert_int_equal(empty.calls, 0);
	assert_true(hub_next_ms(w->hub) <= NOW_MS + 2000);
	hub_tick(w->hub);
	assert_int_equal(empty.empty, 1);
}

/* Nobody waits, so nothing is written for positions that nobody gets. */
static void
test_reserves_for_readers_only(void **state)
{
	struct world *w = *state;
	struct reader r;

	world_at(w, 100000);
	hub_tick(w->hub);
	assert_int_equal(w->store->n_changes, 0);
	join(w, &r, "a");
	hub_tick(w->hub);
	hub_tick(w->hub);
	/* Nothing was reserved for 100 s: once, and not again. */
	assert_int_equal(w->store->n_changes, 1);
	assert_int_equal(w->store->changes.first->kind, STORE_RESERVE);
	fake_settle(w->store);
	hub_tick(w->hub);
	assert_int_equal(w->store->n_changes, 0);
	hub_unsubscribe(w->hub, &r.sub);
}

/* --- deletion ---------------------------------------------------------- */

static void delete (struct world *w, const char *name, struct publisher *p)
{
	struct channel *c[2] = { channel(w, name), channel(w, name) };

	p->wait = (struct hub_wait){ on_published, p, NULL };
	/* Named twice: deleted once. */
	assert_int_equal(hub_delete(w->hub, c, 2, S("gone"), &p->wait), 0);
}

/* Readers are told when it is durable; the name is free at once, and what is
 * published under it then belongs to the new channel. */
static void
test_delete(void **state)
{
	struct world *w = *state;
	struct publisher p = { .calls = 0 };
	struct reader r[2], new_reader;
	uint64_t number;

	stored(w, "a", "old");
	number = channel(w, "a")->number;
	join(w, &r[0], "a");
	join(w, &r[1], "b/a");
	delete (w, "a", &p);
	assert_null(hub_find(w->hub, S("a")));
	assert_int_equal(r[0].calls + r[1].calls + p.calls, 0);
	publish(w, "a", "new", true, NULL);
	join(w, &new_reader, "a");
	assert_int_not_equal(channel(w, "a")->number, number);
	fake_settle(w->store);
	assert_int_equal(p.calls, 1);
	assert_int_equal(p.err, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(r[i].deleted, 1);
		assert_int_equal(r[i].calls, 1);
		assert_string_equal(r[i].deleted_text, "gone");
	}
	assert_string_equal(new_reader.texts, "new");
	assert_int_equal(new_reader.ids[0], 1);
	assert_int_equal(channel(w, "b")->subscribers, 0);
	assert_int_equal(w->stats.stored_messages, 1);
	assert_int_equal(w->stats.channels, 2);
	world_restart(w);
	join_after(w, &new_reader, "a", 0);
	fake_settle(w->store);
	assert_string_equal(new_reader.texts, "new");
}

/* What is deleted and not gone is in no limit of channels, and has one of its
 * own: no more than there may be others. */
static void
test_deletions_are_bounded(void **state)
{
	struct world *w = *state;
	struct publisher p[3] = { { .calls = 0 } };
	struct channel *c;

	w->limits.max_channels = 2;
	world_limit(w);
	delete (w, "a", &p[0]);
	delete (w, "b", &p[1]);
	(void)channel(w, "a");
	c = channel(w, "b");
	p[2].wait = (struct hub_wait){ on_published, &p[2], NULL };
	assert_int_equal(
	    hub_delete(w->hub, &c, 1, S("gone"), &p[2].wait), ERR_BUSY);
	assert_ptr_equal(hub_find(w->hub, S("b")), c);
	fake_settle(w->store);
	assert_int_equal(p[0].calls + p[1].calls, 2);
	assert_int_equal(p[2].calls, 0);
	delete (w, "b", &p[2]);
	fake_settle(w->store);
	assert_int_equal(p[2].calls, 1);
	assert_int_equal(w->stats.channels, 1);
}

/* A publish that was on its way comes first: it is delivered, then deleted. */
static void
test_delete_behind_a_publish(void **state)
{
	struct world *w = *state;
	struct publisher p = { .calls = 0 };
	struct reader r;

	join(w, &r, "a");
	publish(w, "a", "last", true, NULL);
	delete (w, "a", &p);
	fake_settle(w->store);
	assert_string_equal(r.texts, "last");
	assert_int_equal(r.deleted, 0);
	assert_int_equal(p.calls, 1);
	assert_int_equal(w->stats.stored_messages, 0);
	assert_int_equal(w->store->n_rows, 0);
}

static void
test_delete_fails(void **state)
{
	struct world *w = *state;
	struct publisher p = { .calls = 0 };
	struct reader r;

	stored(w, "a", "1");
	join(w, &r, "a");
	delete (w, "a", &p);
	assert_int_equal(w->stats.channels, 0);
	fake_transact(w->store, 1, ERR_IO);
	fake_dispatch(w->store);
	assert_int_equal(p.err, ERR_IO);
	assert_int_equal(r.calls, 0);
	assert_non_null(hub_find(w->hub, S("a")));
	assert_int_equal(w->stats.channels, 1);
	stored(w, "a", "2");
	assert_string_equal(r.texts, "2");
	assert_int_equal(r.ids[0], 2);
	join_after(w, &r, "a", 0);
	fake_settle(w->store);
	assert_string_equal(r.texts, "12");
}

/* Its time ran out while it was away: it is not forgotten for ever. */
static void
test_delete_fails_and_the_channel_is_idle(void **state)
{
	struct world *w = *state;
	struct publisher p = { .calls = 0 };

	(void)channel(w, "a");
	delete (w, "a", &p);
	world_at(w, 31000);
	hub_tick(w->hub);
	fake_transact(w->store, 1, ERR_IO);
	fake_dispatch(w->store);
	hub_tick(w->hub);
	assert_non_null(hub_find(w->hub, S("a")));
	world_at(w, 61000);
	hub_tick(w->hub);
	assert_null(hub_find(w->hub, S("a")));
	assert_int_equal(w->stats.channels, 0);
}

/* It failed, and meanwhile the name was taken: the old one ends after all. */
static void
test_delete_fails_and_the_name_is_taken(void **state)
{
	struct world *w = *state;
	struct publisher p = { .calls = 0 };
	struct reader r;

	stored(w, "a", "old");
	join(w, &r, "a");
	delete (w, "a", &p);
	publish(w, "a", "new", true, NULL);
	fake_transact(w->store, 1, ERR_IO);
	fake_settle(w->store);
	assert_int_equal(r.deleted, 1);
	assert_int_equal(p.err, ERR_IO);
	assert_int_equal(w->stats.channels, 1);
	assert_int_equal(w->stats.stored_messages, 1);
	join_after(w, &r, "a", 0);
	fake_settle(w->store);
	assert_string_equal(r.texts, "new");
}

/* It failed, and a channel that had its name meanwhile has taken its row and
 * was deleted too: it ends, and the name is free. */
static void
test_delete_fails_and_the_row_is_gone(void **state)
{
	struct world *w = *state;
	struct publisher p = { .calls = 0 }, again = { .calls = 0 };

	stored(w, "a", "old");
	delete (w, "a", &p);
	publish(w, "a", "new", true, NULL);
	delete (w, "a", &again);
	fake_transact(w->store, 1, ERR_IO);
	fake_settle(w->store);
	assert_int_equal(p.err, ERR_IO);
	assert_int_equal(again.err, 0);
	/* Its number is the store's to purge: nobody publishes to it again. */
	assert_null(hub_find(w->hub, S("a")));
	assert_int_equal(w->stats.channels, 0);
	stored(w, "a", "next");
	assert_int_equal(w->store->n_rows, 1);
	assert_int_equal(channel(w, "a")->number, 3);
	assert_int_equal(w->stats.stored_messages, 1);
}

/* The replay of the other channel was not finished: the position must not be
 * ahead of it, or its messages would be lost. */
static void
test_deleted_while_reading(void **state)
{
	struct world *w = *state;
	struct publisher p = { .calls = 0 };
	struct reader r;
	uint64_t position;

	stored(w, "a", "1");
	world_at(w, 5000);
	(void)channel(w, "b");
	join_after(w, &r, "a/b", 0);
	delete (w, "b", &p);
	fake_transact(w->store, 1, 0);
	fake_dispatch(w->store);
	assert_int_equal(r.deleted, 1);
	position = r.position;
	fake_settle(w->store);
	assert_int_equal(r.calls, 1);
	join_after(w, &r, "a/b", position);
	fake_settle(w->store);
	assert_string_equal(r.texts, "1");
}

/* --- channels ---------------------------------------------------------- */

static bool
lives(struct world *w, const char *name)
{
	return hub_find(w->hub, (struct slice){ name, strlen(name) }) != NULL;
}

static void
test_inactivity(void **state)
{
	struct world *w = *state;
	struct reader r;

	(void)channel(w, "idle");
	stored(w, "kept", "m");
	join(w, &r, "read");
	publish(w, "live", "m", false, NULL);
	fake_settle(w->store);
	publish(w, "sent", "m", false, NULL);
	world_at(w, 29999);
	hub_tick(w->hub);
	assert_true(lives(w, "idle"));
	assert_true(hub_next_ms(w->hub) <= NOW_MS + 30999);
	world_at(w, 30000);
	hub_tick(w->hub);
	assert_false(lives(w, "idle"));
	assert_false(lives(w, "live"));
	assert_true(lives(w, "kept"));
	assert_true(lives(w, "read"));
	assert_true(lives(w, "sent"));
	assert_int_equal(w->stats.channels, 3);
	/* What kept them goes, and they go with it: their time is over. */
	fake_settle(w->store);
	hub_unsubscribe(w->hub, &r.sub);
	fake_collect(w->store, channel(w, "kept")->number);
	fake_dispatch(w->store);
	assert_int_equal(w->stats.stored_messages, 0);
	hub_tick(w->hub);
	assert_int_equal(w->stats.channels, 0);
	fake_settle(w->store);
	assert_int_equal(w->store->n_channels, 0);
	/* A channel of an old name is a new channel. */
	stored(w, "live", "m");
	assert_int_equal(channel(w, "live")->last_id, 1);
}

/* The list that says whose time is over is in the order of that time. */
static void
check_idle_order(const struct world *w)
{
	const struct channel *c;
	uint64_t last = 0;

	TAILQ_FOREACH(c, &w->hub->idle, idle)
	{
		assert_true(c->expires_ms >= last);
		last = c->expires_ms;
	}
}

/* Somebody behind a channel keeps it, but no longer than was said, and not
 * from being deleted. */
static void
test_presence(void **state)
{
	struct world *w = *state;
	struct publisher p = { .calls = 0 };
	struct channel *seen = channel(w, "seen");

	assert_false(hub_present(w->hub, seen));
	hub_seen(w->hub, seen, NOW_MS + 100000);
	hub_seen(w->hub, seen, NOW_MS + 50000); /* not shortened */
	hub_seen(w->hub, channel(w, "deleted"), NOW_MS + 100000);
	hub_seen(w->hub, channel(w, "short"), NOW_MS + 20000);
	(void)channel(w, "idle");
	for (uint64_t ms = 0; ms < 100000; ms += 10000) {
		world_at(w, ms);
		(void)channel(w, ms % 20000 == 0 ? "even" : "odd");
		hub_tick(w->hub);
		check_idle_order(w);
		assert_true(hub_next_ms(w->hub) > NOW_MS + ms);
		assert_true(hub_present(w->hub, seen));
		assert_int_equal(lives(w, "idle"), ms < 30000);
		assert_int_equal(lives(w, "short"), ms < 30000);
		assert_int_equal(lives(w, "deleted"), ms < 50000);
		if (ms == 40000)
			delete (w, "deleted", &p);
		fake_settle(w->store);
	}
	assert_int_equal(p.calls, 1);
	assert_null(hub_find(w->hub, S("deleted")));
	world_at(w, 99999);
	hub_tick(w->hub);
	assert_true(lives(w, "seen"));
	world_at(w, 100000);
	assert_false(hub_present(w->hub, seen));
	world_at(w, 130000); /* its time after that is over as well */
	hub_tick(w->hub);
	assert_false(lives(w, "seen"));
	assert_int_equal(w->stats.channels, 0);
}

/* Publishing and joining give a channel its time again; leaving does not. */
static void
test_activity(void **state)
{
	struct world *w = *state;
	struct reader r;

	(void)channel(w, "a");
	(void)channel(w, "b");
	world_at(w, 20000);
	publish(w, "a", "m", false, NULL);
	fake_settle(w->store);
	join(w, &r, "b");
	world_at(w, 49999);
	hub_unsubscribe(w->hub, &r.sub);
	hub_tick(w->hub);
	assert_true(lives(w, "a"));
	assert_true(lives(w, "b"));
	world_at(w, 50000);
	hub_tick(w->hub);
	assert_false(lives(w, "a"));
	assert_false(lives(w, "b"));
}

/* Counters survive a restart, and so for their time do channels that keep no
 * message: a start is no silence. */
static void
test_restart_is_no_inactivity(void **state)
{
	struct world *w = *state;

	publish(w, "a", "m", false, NULL);
	fake_settle(w->store);
	world_restart(w);
	hub_tick(w->hub);
	assert_true(lives(w, "a"));
	assert_int_equal(channel(w, "a")->last_id, 1);
	world_at(w, 29999);
	hub_tick(w->hub);
	assert_true(lives(w, "a"));
	world_at(w, 30000);
	hub_tick(w->hub);
	assert_false(lives(w, "a"));
}

static int
try_open(struct world *w, const char *name)
{
	struct channel *c;

	return hub_open(w->hub, (struct slice){ name, strlen(name) }, &c);
}

static void
test_limits(void **state)
{
	struct world *w = *state;

	w->limits.max_channels = 2;
	w->limits.max_wildcard_channels = 1;
	w->limits.wildcard_prefix = S("w_");
	world_limit(w);
	assert_int_equal(try_open(w, "a"), 0);
	assert_int_equal(try_open(w, ""), 0); /* the empty id is an id */
	assert_int_equal(try_open(w, "c"), ERR_LIMIT);
	assert_int_equal(try_open(w, "a"), 0);
	assert_int_equal(try_open(w, "w_1"), 0);
	assert_int_equal(try_open(w, "w_2"), ERR_LIMIT);
	assert_int_equal(w->stats.channels, 2);
	assert_int_equal(w->stats.wildcard_channels, 1);
	assert_true(channel(w, "w_1")->wildcard);
	assert_false(channel(w, "a")->wildcard);
	assert_false(hub_is_wildcard(w->hub, S("w")));
	/* A deleted channel makes room at once. */
	delete (w, "a", &(struct publisher){ .calls = 0 });
	assert_int_equal(try_open(w, "c"), 0);
}

/* Channels that were found at start count where they belong. */
static void
test_wildcards_after_a_restart(void **state)
{
	struct world *w = *state;

	w->limits.wildcard_prefix = S("w_");
	world_limit(w);
	stored(w, "w_1", "m");
	stored(w, "a", "m");
	world_restart(w);
	assert_int_equal(w->stats.channels, 1);
	assert_int_equal(w->stats.wildcard_channels, 1);
	assert_true(channel(w, "w_1")->wildcard);
	delete (w, "w_1", &(struct publisher){ .calls = 0 });
	assert_int_equal(w->stats.wildcard_channels, 0);
}

/* --- the end ----------------------------------------------------------- */

/* Parked readers get their empty answer, readers in a replay its result,
 * queued publishes are answered, and late comers do not wait. */
static void
test_drain(void **state)
{
	struct world *w = *state;
	struct sub_position pos = { .by_position = false };
	struct publisher p = { .calls = 0 };
	struct reader parked[3], reading, late;

	stored(w, "a", "1");
	join(w, &parked[0], "a");
	assert_int_equal(
	    try_join(w, &parked[1], "a", &pos, 0, true, NOW_MS + 40000), 0);
	join(w, &parked[2], "b");
	join_after(w, &reading, "a", 0);
	publish(w, "c", "m", true, &p);
	hub_drain(w->hub);
	assert_int_equal(
	    try_join(w, &late, "b", &pos, 0, true, FOR_EVER), HUB_NOTHING);
	hub_tick(w->hub);
	for (int i = 0; i < 3; i++)
		assert_int_equal(parked[i].empty, 1);
	assert_true(hub_busy(w->hub));
	fake_settle(w->store);
	assert_string_equal(reading.texts, "1");
	assert_int_equal(p.calls, 1);
	/* A replay is still to be had, and if there is none it ends. */
	fake_collect(w->store, channel(w, "a")->number);
	pos = (struct sub_position){ .by_position = true };
	assert_int_equal(try_join(w, &late, "c", &pos, 0, true, FOR_EVER), 0);
	fake_settle(w->store);
	assert_string_equal(late.texts, "m");
	fake_collect(w->store, channel(w, "c")->number);
	assert_int_equal(try_join(w, &late, "c", &pos, 0, true, FOR_EVER), 0);
	fake_settle(w->store);
	hub_tick(w->hub);
	assert_int_equal(late.empty, 1);
	assert_false(hub_busy(w->hub));
	assert_int_equal(w->stats.subscribers, 0);
}

/* A bounded number of waits ends in one turn, and the rest at once after. */
static void
test_many_timeouts(void **state)
{
	struct world *w = *state;
	static struct reader r[3000];
	struct sub_position pos = { .by_position = false };
	size_t ended, turns = 0;

	for (size_t i = 0; i < COUNT_OF(r); i++)
		assert_int_equal(
		    try_join(w, &r[i], "a", &pos, 0, true, NOW_MS + 10), 0);
	world_at(w, 10);
	do {
		assert_true(hub_next_ms(w->hub) <= NOW_MS + 10);
		hub_tick(w->hub);
		turns++;
		ended = 0;
		for (size_t i = 0; i < COUNT_OF(r); i++)
			ended += (size_t)r[i].empty;
	} while (ended < COUNT_OF(r) && turns < 100);
	assert_int_equal(ended, COUNT_OF(r));
	assert_in_range(turns, 2, 99);
}

/* Freed with readers, publishes and replays in hand: no call, no leak. */
static void
test_free_with_work_in_hand(void **state)
{
	struct world *w = *state;
	struct publisher p = { .calls = 0 };
	struct reader r[3];

	stored(w, "a", "1");
	join(w, &r[0], "a/b");
	join_after(w, &r[1], "a", 0);
	publish(w, "a", "2", true, &p);
	fake_transact(w->store, 1, 0);
	fake_dispatch(w->store);
	join_after(w, &r[2], "a", 0);
	publish(w, "a", "3", true, &p);
	delete (w, "b", &p);
	world_restart(w);
	assert_int_equal(r[1].calls + r[2].calls, 0);
	assert_int_equal(p.calls, 1);
	join_after(w, &r[1], "a", 0);
	fake_settle(w->store);
	assert_string_equal(r[1].texts, "12");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order_and_ids),
		TEST(test_several_channels),
		TEST(test_publisher_before_readers),
		TEST(test_failed_publish),
		TEST(test_failed_publish_before_another),
		TEST(test_queue_full),
		TEST(test_forget),
		TEST(test_cap),
		TEST(test_each_reader_once),
		TEST(test_channel_named_twice),
		TEST(test_publish_to_both_channels_of_a_reader),
		TEST(test_rejoin_within_an_answer),
		TEST(test_replay_order),
		TEST(test_without_position),
		TEST(test_only_what_is_newer),
		TEST(test_slices),
		TEST(test_slice_of_bytes),
		TEST(test_backtrack),
		TEST(test_event_ids),
		TEST(test_event_id_is_copied),
		TEST(test_live_message_while_reading),
		TEST(test_backlogs_are_bounded),
		TEST(test_subscriptions_are_bounded),
		TEST(test_replay_before_live),
		TEST(test_read_fails),
		TEST(test_leave_while_reading),
		TEST(test_polls),
		TEST(test_timeout),
		TEST(test_timeout_during_a_publish),
		TEST(test_positions_survive_a_kill),
		TEST(test_position_from_the_future),
		TEST(test_position_from_the_future_is_not_confirmed),
		TEST(test_clock_goes_back),
		TEST(test_deadline_while_reading),
		TEST(test_reserves_for_readers_only),
		TEST(test_delete),
		TEST(test_deletions_are_bounded),
		TEST(test_delete_behind_a_publish),
		TEST(test_delete_fails),
		TEST(test_delete_fails_and_the_channel_is_idle),
		TEST(test_delete_fails_and_the_name_is_taken),
		TEST(test_delete_fails_and_the_row_is_gone),
		TEST(test_deleted_while_reading),
		TEST(test_inactivity),
		TEST(test_presence),
		TEST(test_activity),
		TEST(test_restart_is_no_inactivity),
		TEST(test_limits),
		TEST(test_places_are_left_to_few),
		TEST(test_wildcards_after_a_restart),
		TEST(test_drain),
		TEST(test_many_timeouts),
		TEST(test_free_with_work_in_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
