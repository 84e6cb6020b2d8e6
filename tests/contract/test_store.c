/*
 * tests/contract/test_store.c - what every backend promises, checked on each.
 *
 * The last test lets random operations run against a model of a few lines;
 * the others say the same promises one by one.
 */
#include "store_env.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Promise: cursors grow in the order of submission, tags from 1 in each
 * second, also within one group. */
static void
test_order(void **state)
{
	struct env *e = *state;
	uint64_t last = 0;

	for (uint64_t i = 1; i <= 50; i++)
		env_submit(e,
		    env_pub_op(
			&(struct pub){ .channel = i % 3 + 1, .text = "x" }));
	for (uint64_t i = 1; i <= 50; i++) {
		struct store_op *op = env_wait(e);

		assert_int_equal(op->err, 0);
		assert_int_equal(op->token, i);
		assert_int_equal(
		    op->u.append.cursor, cursor_make(ENV_EPOCH, i));
		last = op->u.append.cursor;
		store_op_free(&op);
	}
	e->now_s++;
	last = env_pub(e, &(struct pub){ .channel = 1, .id = 17 });
	assert_int_equal(last, cursor_make(ENV_EPOCH + 1, 1));
}

/* Promise: a cursor is above the floor it was given: a position that left
 * the process while the message waited. */
static void
test_floor(void **state)
{
	struct env *e = *state;
	uint64_t floor = cursor_make(ENV_EPOCH + 1, 0), cursor;

	cursor =
	    env_pub(e, &(struct pub){ .channel = 1, .id = 1, .floor = floor });
	assert_int_equal(cursor, floor + 1);
	floor = cursor_make(ENV_EPOCH + 1, 77);
	cursor =
	    env_pub(e, &(struct pub){ .channel = 1, .id = 2, .floor = floor });
	assert_int_equal(cursor, floor + 1);
	cursor = env_pub(e, &(struct pub){ .channel = 1, .id = 3, .floor = 5 });
	assert_int_equal(cursor, floor + 2);
	assert_true(store_reserved(e->s) >= cursor);
}

/* Promise: the cursor never goes back, even when the clock does. */
static void
test_clock_back(void **state)
{
	struct env *e = *state;
	uint64_t first, then;

	first = env_pub(e, &(struct pub){ .channel = 1, .id = 1 });
	e->now_s -= 1000;
	then = env_pub(e, &(struct pub){ .channel = 1, .id = 2 });
	assert_int_equal(then, first + 1);
	e->now_s += 1005;
	then = env_pub(e, &(struct pub){ .channel = 1, .id = 3 });
	assert_int_equal(then, cursor_make(ENV_EPOCH + 5, 1));
}

/* Promise: a message in several channels has a cursor in each, in a row, and
 * is read back from each. */
static void
test_several_channels(void **state)
{
	struct env *e = *state;
	uint64_t cursor = env_pub(
	    e, &(struct pub){ .channel = 5, .n = 3, .id = 1, .text = "all" });

	for (uint64_t i = 0; i < 3; i++) {
		struct store_op *op = env_read(e, 5 + i, 0);

		assert_int_equal(op->u.read.n_found, 1);
		assert_int_equal(op->u.read.found[0].cursor, cursor + i);
		assert_int_equal(op->u.read.found[0].id, 1);
		assert_string_equal(env_texts(op), "all");
		store_op_free(&op);
	}
	assert_int_equal(
	    env_pub(e, &(struct pub){ .channel = 5, .id = 2 }), cursor + 3);
}

static uint32_t
pub_trimmed(
    struct env *e, uint64_t channel, uint32_t n, uint64_t id, uint32_t cap)
{
	char text[24];
	struct store_op *op;
	uint32_t trimmed;

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)id);
	op = env_run(e,
	    env_pub_op(&(struct pub){
		.channel = channel, .n = n, .text = text, .cap = cap }));
	assert_int_equal(op->err, 0);
	trimmed = op->u.append.members[0].trimmed;
	store_op_free(&op);
	return trimmed;
}

/* --- shared messages --------------------------------------------------- */

/* What the channels `wants` ("213": in that order) keep after a position, as
 * "<want>:<text> ...". */
static void
expect_each(struct env *e, const char *wants, uint64_t after, const char *texts)
{
	struct store_op *op = env_read_op((uint32_t)strlen(wants));
	struct store_read *r = &op->u.read;
	char told[256] = "";
	size_t len = 0;

	for (uint32_t i = 0; i < r->n; i++)
		r->wants[i] =
		    (struct store_want){ .channel = (uint64_t)wants[i] - '0',
			    .by_position = true,
			    .after = after };
	op = env_run(e, op);
	assert_int_equal(op->err, 0);
	assert_int_equal(r->cut, r->upto);
	for (size_t i = 0; i < r->n_found; i++) {
		struct slice t = msg_text(r->found[i].msg);

		len += (size_t)snprintf(told + len, sizeof(told) - len,
		    "%s%u:%.*s", i != 0 ? " " : "", r->found[i].want,
		    (int)t.len, t.ptr);
		assert_true(len < sizeof(told));
	}
	assert_string_equal(told, texts);
	store_op_free(&op);
}

/* Promise: a shared message has one cursor in all its channels, costs one,
 * and is read from each; from several of them at once it is read once, for
 * the first. */
static void
test_shared(void **state)
{
	struct env *e = *state;
	uint64_t own, cursor;
	struct store_op *op;

	own = env_pub(e, &(struct pub){ .channel = 2, .id = 1, .text = "own" });
	cursor = env_pub(e,
	    &(struct pub){
		.channel = 1, .n = 3, .id = 1, .text = "all", .shared = true });
	assert_int_equal(cursor, own + 1);
	assert_int_equal(env_pub(e,
			     &(struct pub){ .channel = 1,
				 .n = 3,
				 .id = 2,
				 .live = true,
				 .shared = true }),
	    cursor + 1);
	assert_int_equal(
	    env_pub(e, &(struct pub){ .channel = 3, .id = 3, .text = "last" }),
	    cursor + 2);
	for (int indexed = 0; indexed < 2; indexed++) {
		for (uint64_t c = 1; c <= 3; c++) {
			op = env_read(e, c, own);
			assert_int_equal(
			    op->u.read.n_found, 1 + (size_t)(c == 3));
			assert_int_equal(op->u.read.found[0].cursor, cursor);
			assert_int_equal(
			    op->u.read.found[0].id, c == 2 ? 2 : 1);
			store_op_free(&op);
			env_expect(e, c, cursor, c == 3 ? "last" : "");
		}
		expect_each(e, "123", 0, "0:all 1:own 2:last");
		expect_each(e, "321", 0, "0:all 0:last 1:own");
		expect_each(e, "21", own, "0:all");
		expect_each(e, "123", cursor, "2:last");
		e->now_s += 5;
		env_turns(e, 5);
	}
}

/* Promise: where the first of several channels begins behind it, the next one
 * has it still. */
static void
test_shared_begins(void **state)
{
	struct env *e = *state;
	uint64_t cursor = env_pub(e,
	    &(struct pub){ .channel = 1,
		.n = 2,
		.id = 1,
		.text = "all",
		.event_id = "e",
		.shared = true });
	struct slice id = SLICE("e");
	struct store_op *op;

	(void)env_pub(e, &(struct pub){ .channel = 1, .id = 2, .text = "one" });
	for (int how = 0; how < 3; how++) {
		struct store_want first = { .channel = 1 };

		op = store_op_read(2, &id);
		first.by_position = how == 0;
		first.after = cursor;
		first.by_event_id = how == 1;
		first.event_id = op->u.read.wants[0].event_id;
		first.last = how == 2 ? 1 : 0;
		op->u.read.upto = cursor + 100;
		op->u.read.max_messages = 10;
		op->u.read.max_bytes = 100;
		op->u.read.wants[0] = first;
		op->u.read.wants[1] =
		    (struct store_want){ .channel = 2, .by_position = true };
		op = env_run(e, op);
		assert_int_equal(op->err, 0);
		assert_string_equal(env_texts(op), "one all");
		assert_int_equal(op->u.read.found[1].want, 1);
		store_op_free(&op);
	}
}

/* Promise: in slices it comes once too, and no slice ends in the middle of
 * one. */
static void
test_shared_slices(void **state)
{
	struct env *e = *state;
	uint64_t upto = 0, after, last = 0;
	size_t total = 0;

	for (uint64_t i = 0; i < 60; i++) {
		upto = env_pub(e,
		    &(struct pub){ .channel = i % 3 + 1,
			.n = 1 + (uint32_t)i % 4,
			.text = "text",
			.shared = true,
			.expires = i >= 20 && i < 40 ? ENV_EPOCH + 50 : 0 });
		if (i == 33) {
			e->now_s += 5;
			env_turns(e, 5);
		}
	}
	e->now_s = ENV_EPOCH + 50;
	for (after = 0; after < upto;) {
		struct store_op *op = env_read_op(6);
		struct store_read *r = &op->u.read;
		uint64_t newest = 0;

		r->upto = upto;
		r->max_messages = 4;
		for (uint32_t c = 0; c < 6; c++)
			r->wants[c] = (struct store_want){ .channel = 6 - c,
				.by_position = true,
				.after = after };
		op = env_run(e, op);
		assert_int_equal(op->err, 0);
		/* Fewer where some have expired and are still there, but not
		 * none. */
		if (e->memory && r->cut < upto)
			assert_int_equal(r->n_found, 4);
		else
			assert_in_range(r->n_found, r->cut < upto, 4);
		for (size_t i = 0; i < r->n_found; i++) {
			assert_true(r->found[i].cursor > last);
			newest = MAX_OF(newest, r->found[i].cursor);
			for (size_t k = 0; k < i; k++)
				assert_int_not_equal(
				    r->found[k].cursor, r->found[i].cursor);
		}
		total += r->n_found;
		last = newest;
		after = r->cut;
		store_op_free(&op);
	}
	assert_int_equal(total, 40);
}

/* Promise: it expires in all its channels, indexed or not, and each of them
 * is told. */
static void
test_shared_expiry(void **state)
{
	struct env *e = *state;
	struct pub p = {
		.channel = 1, .n = 3, .shared = true, .expires = ENV_EPOCH + 10
	};

	p.id = 1;
	p.text = "indexed";
	(void)env_pub(e, &p);
	e->now_s += 5;
	env_turns(e, 5);
	e->now_s += 4; /* so late that it expires before it is indexed */
	p.id = 2;
	p.text = "young";
	(void)env_pub(e, &p);
	(void)env_pub(
	    e, &(struct pub){ .channel = 2, .id = 3, .n = 2, .text = "stays" });
	expect_each(e, "123", 0, "0:indexed 0:young 1:stays 2:stays");
	e->now_s += 1;
	expect_each(e, "123", 0, "1:stays 2:stays");
	env_turns(e, 8);
	for (uint64_t c = 1; c <= 3; c++)
		assert_int_equal(e->collected[c], 2);
	env_turns(e, 8);
	assert_int_equal(store_stats(e->s)->collected, 6);
	expect_each(e, "321", 0, "0:stays 1:stays");
}

/* Promise: trimmed in one channel, or dropped with it, it stays in others. */
static void
test_shared_leaves_one(void **state)
{
	struct env *e = *state;
	struct store_op *op;

	for (uint64_t id = 1; id <= 2; id++) {
		(void)env_pub(e,
		    &(struct pub){ .channel = 1,
			.n = 3,
			.id = id,
			.text = id == 1 ? "a" : "b",
			.shared = true });
		e->now_s += 5;
		env_turns(e, id == 1 ? 5 : 0);
	}
	/* "a" is indexed, "b" is not. */
	(void)env_pub(
	    e, &(struct pub){ .channel = 1, .id = 3, .text = "c", .cap = 1 });
	env_expect(e, 1, 0, "c");
	expect_each(e, "123", 0, "0:c 1:a 1:b");
	op = store_op_drop(1);
	op->u.drop.channels[0] = 2;
	op = env_run(e, op);
	assert_int_equal(op->err, 0);
	store_op_free(&op);
	expect_each(e, "123", 0, "0:c 2:a 2:b");
	env_turns(e, 10); /* purged */
	expect_each(e, "123", 0, "0:c 2:a 2:b");
	if (e->memory)
		return;
	env_reopen(e);
	expect_each(e, "123", 0, "0:c 2:a 2:b");
	assert_int_equal(env_known(e, 1)->stored, 1);
	assert_int_equal(env_known(e, 3)->stored, 2);
}

/* Promise: the cap of a shared append is each channel's own. */
static void
test_shared_cap(void **state)
{
	struct env *e = *state;
	struct store_op *op;

	for (uint64_t id = 1; id <= 3; id++)
		(void)pub_trimmed(e, 2, 1, id, 0);
	op = env_pub_op(&(struct pub){
	    .channel = 1, .n = 3, .text = "4", .cap = 2, .shared = true });
	op = env_run(e, op);
	assert_int_equal(op->err, 0);
	assert_int_equal(op->u.append.members[0].trimmed, 0);
	assert_int_equal(op->u.append.members[1].trimmed, 2);
	assert_int_equal(op->u.append.members[2].trimmed, 0);
	store_op_free(&op);
	expect_each(e, "123", 0, "0:4 1:3");
	env_expect(e, 2, 0, "3 4");
}

/* Promise: however many channels there are, each has it. */
static void
test_shared_many(void **state)
{
	struct env *e = *state;
	struct pub p = { .channel = 1, .n = 1000, .text = "x", .shared = true };
	uint64_t cursor = 0;

	for (p.id = 1; p.id <= 3; p.id++) {
		cursor = env_pub(e, &p);
		assert_int_equal(cursor, cursor_make(ENV_EPOCH, p.id));
	}
	e->now_s += 5;
	env_turns(e, 10);
	for (uint64_t c = 1; c <= 1000; c += 37)
		env_expect(e, c, cursor - 2, "x x");
	expect_each(e, "19", 0, "0:x 0:x 0:x");
}

/* Promise: what a dialect keeps beside the text comes back with it. */
static void
test_extra(void **state)
{
	struct env *e = *state;
	struct store_op *op;
	struct msg *m;

	(void)env_pub(e,
	    &(struct pub){ .channel = 1,
		.id = 1,
		.text = "text",
		.event_id = "id",
		.extra = "beside" });
	(void)env_pub(e, &(struct pub){ .channel = 1, .id = 2, .extra = "x" });
	(void)env_pub(e, &(struct pub){ .channel = 1, .id = 3, .text = "y" });
	for (int turn = 0; turn < 2; turn++) {
		op = env_read(e, 1, 0);
		assert_int_equal(op->u.read.n_found, 3);
		m = op->u.read.found[0].msg;
		assert_true(slice_is(msg_text(m), "text"));
		assert_true(slice_is(msg_event_id(m), "id"));
		assert_true(slice_is(msg_extra(m), "beside"));
		m = op->u.read.found[1].msg;
		assert_true(m->text_len == 0 && !m->has_event_id);
		assert_true(slice_is(msg_extra(m), "x"));
		m = op->u.read.found[2].msg;
		assert_int_equal(m->extra_len, 0);
		store_op_free(&op);
		/* It counts where a slice is bounded by bytes. */
		op = env_read_op(1);
		op->u.read.wants[0] =
		    (struct store_want){ .channel = 1, .by_position = true };
		op->u.read.max_bytes = strlen("textidbeside");
		op = env_run(e, op);
		assert_int_equal(op->u.read.n_found, 1);
		store_op_free(&op);
		if (e->memory)
			break;
		env_reopen(e);
	}
}

/* Promise: bytes come back as they were; an empty event id is one. */
static void
test_bytes(void **state)
{
	static const char bytes[] = "a\0b\xff\r\n";
	struct slice empty = { "", 0 }, type = { "t\0y", 3 };
	struct env *e = *state;
	struct store_op *op;
	struct msg *m;

	m = msg_new(bytes, sizeof(bytes), &empty, &type, ENV_FOREVER);
	op = store_op_append(m, 1);
	op->u.append.members[0] = (struct store_member){
		.channel = 1, .id = 1, .name = { "n\0n", 3 }
	};
	op = env_run(e, op);
	assert_int_equal(op->err, 0);
	store_op_free(&op);
	(void)env_pub(e, &(struct pub){ .channel = 1, .id = 2 });
	op = env_read(e, 1, 0);
	assert_int_equal(op->u.read.n_found, 2);
	m = op->u.read.found[0].msg;
	assert_int_equal(m->text_len, sizeof(bytes));
	assert_memory_equal(msg_text(m).ptr, bytes, sizeof(bytes));
	assert_true(m->has_event_id && m->event_id_len == 0);
	assert_true(m->has_event_type && m->event_type_len == 3);
	assert_memory_equal(msg_event_type(m).ptr, "t\0y", 3);
	assert_int_equal(m->expires, ENV_FOREVER);
	assert_int_equal(m->refs, 1);
	m = op->u.read.found[1].msg;
	assert_int_equal(m->text_len, 0);
	assert_false(m->has_event_id || m->has_event_type);
	store_op_free(&op);
}

/* Promise: a name may be empty; that is not the same as no name. */
static void
test_empty_name(void **state)
{
	struct env *e = *state;
	struct store_op *op =
	    env_pub_op(&(struct pub){ .channel = 1, .text = "x" });

	op->u.append.members[0].name = (struct slice){ "", 0 };
	op = env_run(e, op);
	assert_int_equal(op->err, 0);
	store_op_free(&op);
	env_expect(e, 1, 0, "x");
	env_reopen(e);
	if (e->memory)
		return;
	assert_non_null(env_known(e, 1));
	assert_non_null(env_known(e, 1)->name.ptr);
	assert_int_equal(env_known(e, 1)->name.len, 0);
}

/* Promise: what is not kept is not read back, but has its place. */
static void
test_live(void **state)
{
	struct env *e = *state;
	uint64_t first, live, last;

	first = env_pub(e, &(struct pub){ .channel = 1, .id = 1, .text = "a" });
	live = env_pub(e,
	    &(struct pub){ .channel = 1, .id = 2, .text = "b", .live = true });
	last = env_pub(e, &(struct pub){ .channel = 1, .id = 3, .text = "c" });
	assert_true(first < live && live < last);
	assert_true(store_reserved(e->s) >= last);
	env_expect(e, 1, 0, "a c");
	env_expect(e, 1, live, "c");
}

/* Promise: a cap drops the oldest of that channel only, says how many, and
 * does so whatever of it is indexed. */
static void
test_cap(void **state)
{
	struct env *e = *state;
	uint64_t id = 1;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 4; i++, id++)
			(void)pub_trimmed(e, 1, 2, id, 0);
		e->now_s += 5; /* time for the indexes */
		env_turns(e, 8);
	}
	env_expect(e, 1, 0, "1 2 3 4 5 6 7 8 9 10 11 12");
	assert_int_equal(pub_trimmed(e, 1, 1, 13, 11), 2);
	env_expect(e, 1, 0, "3 4 5 6 7 8 9 10 11 12 13");
	env_expect(e, 2, 0, "1 2 3 4 5 6 7 8 9 10 11 12");
	assert_int_equal(pub_trimmed(e, 1, 1, 14, 3), 9);
	env_expect(e, 1, 0, "12 13 14");
	assert_int_equal(pub_trimmed(e, 1, 1, 15, 1), 3);
	env_expect(e, 1, 0, "15");
	assert_int_equal(pub_trimmed(e, 2, 1, 16, 20), 0);
	env_expect(e, 2, 0, "1 2 3 4 5 6 7 8 9 10 11 12 16");
	assert_int_equal(store_stats(e->s)->collected, 14);
}

/* Promise: the cap holds between messages of one group as well. */
static void
test_cap_in_group(void **state)
{
	struct env *e = *state;
	uint32_t trimmed = 0;

	for (uint64_t id = 1; id <= 20; id++)
		env_submit(e,
		    env_pub_op(&(struct pub){ .channel = 1,
			.text = id < 20 ? "old" : "new",
			.cap = 2 }));
	for (uint64_t id = 1; id <= 20; id++) {
		struct store_op *op = env_wait(e);

		assert_int_equal(op->err, 0);
		trimmed += op->u.append.members[0].trimmed;
		store_op_free(&op);
	}
	assert_int_equal(trimmed, 18);
	env_expect(e, 1, 0, "old new");
}

/* Promise: expired is gone: never read from that second on, collected later,
 * and told exactly once. */
static void
test_expiry(void **state)
{
	struct env *e = *state;

	(void)env_pub(e,
	    &(struct pub){ .channel = 1,
		.id = 1,
		.n = 2,
		.text = "short",
		.expires = ENV_EPOCH + 10 });
	(void)env_pub(
	    e, &(struct pub){ .channel = 1, .id = 2, .text = "long" });
	e->now_s += 5;
	env_turns(e, 5); /* indexed */
	(void)env_pub(e,
	    &(struct pub){ .channel = 1,
		.id = 3,
		.n = 2,
		.text = "late",
		.expires = ENV_EPOCH + 10 });
	e->now_s += 4;
	env_expect(e, 1, 0, "short long late");
	e->now_s += 1;
	env_expect(e, 1, 0, "long");
	env_expect(e, 2, 0, "");
	env_turns(e, 12);
	assert_int_equal(e->collected[1], 2);
	assert_int_equal(e->collected[2], 2);
	assert_int_equal(store_stats(e->s)->collected, 4);
	e->now_s += 100;
	env_turns(e, 5);
	assert_int_equal(e->collected[1], 2);
	env_expect(e, 1, 0, "long");
}

/* Promise: more than one slice of expired messages goes too. */
static void
test_expiry_many(void **state)
{
	struct env *e = *state;

	for (uint64_t id = 1; id <= 1000; id++)
		env_submit(e,
		    env_pub_op(&(struct pub){
			.channel = id % 7 + 1, .expires = ENV_EPOCH + 10 }));
	for (uint64_t id = 1; id <= 1000; id++) {
		struct store_op *op = env_wait(e);

		assert_int_equal(op->err, 0);
		store_op_free(&op);
	}
	e->now_s += 10;
	for (int i = 0; i < 100 && store_stats(e->s)->collected < 1000; i++)
		env_turns(e, 1);
	env_turns(e, 1); /* the last told as well */
	for (uint64_t c = 1, sum = 0; c <= 7; c++) {
		sum += e->collected[c];
		assert_true(c < 7 || sum == 1000);
	}
}

/* Promise: positions: strictly newer than `after`, nothing above `upto`. */
static void
test_read_position(void **state)
{
	static const char *const texts[] = { "a", "b", "c", "d", "e", "f" };
	struct env *e = *state;
	uint64_t at[6];
	struct store_op *op;

	for (int i = 0; i < 6; i++) {
		at[i] = env_pub(e,
		    &(struct pub){ .channel = 1,
			.id = (uint64_t)i + 1,
			.text = texts[i] });
		e->now_s += i == 2 ? 4000 : 1; /* another hour */
		if (i == 4) {
			e->now_s += 5;
			env_turns(e, 5);
		}
	}
	env_expect(e, 1, 0, "a b c d e f");
	env_expect(e, 1, at[0] - 1, "a b c d e f");
	env_expect(e, 1, at[0], "b c d e f");
	env_expect(e, 1, at[2], "d e f");
	env_expect(e, 1, at[4], "f");
	env_expect(e, 1, at[5], "");
	env_expect(e, 1, cursor_make(ENV_EPOCH + 1, 0), "b c d e f");
	env_expect(e, 2, 0, ""); /* never heard of */
	op = env_read_op(1);
	op->u.read.upto = at[3];
	op->u.read.wants[0] = (struct store_want){
		.channel = 1, .by_position = true, .after = at[1]
	};
	op = env_run(e, op);
	assert_string_equal(env_texts(op), "c d");
	assert_int_equal(op->u.read.cut, at[3]);
	assert_int_equal(op->u.read.found[0].id, 3);
	assert_int_equal(op->u.read.found[0].cursor, at[2]);
	store_op_free(&op);
}

/* Promise: the newest N are those that still live, oldest first. */
static void
test_read_last(void **state)
{
	static const uint32_t last[] = { 1, 2, 3, 4, 9 };
	static const char *const want[] = { "f", "e f", "c e f", "b c e f",
		"a b c e f" };
	struct env *e = *state;
	struct store_op *op;

	for (uint64_t i = 0; i < 6; i++) {
		char text[2] = { (char)('a' + i), '\0' };

		(void)env_pub(e,
		    &(struct pub){ .channel = 1,
			.id = i + 1,
			.text = text,
			.expires = i == 3 ? ENV_EPOCH + 6000 : 0 });
		e->now_s += i == 1 ? 5000 : 3;
		if (i == 1 || i == 3)
			env_turns(e, 5);
	}
	e->now_s = ENV_EPOCH + 6000;
	for (size_t i = 0; i < COUNT_OF(last); i++) {
		op = env_read_op(1);
		op->u.read.wants[0] =
		    (struct store_want){ .channel = 1, .last = last[i] };
		op = env_run(e, op);
		assert_string_equal(env_texts(op), want[i]);
		store_op_free(&op);
	}
}

static void
expect_event(struct env *e, const char *event_id, bool by_position,
    uint64_t after, const char *texts)
{
	struct slice id = { event_id, strlen(event_id) };
	struct store_op *op = store_op_read(1, &id);

	assert_non_null(op);
	assert_ptr_not_equal(op->u.read.wants[0].event_id.ptr, event_id);
	op->u.read.upto = UINT64_MAX >> 1;
	op->u.read.max_messages = 100;
	op->u.read.max_bytes = 1 << 20;
	op->u.read.wants[0].channel = 1;
	op->u.read.wants[0].by_event_id = true;
	op->u.read.wants[0].by_position = by_position;
	op->u.read.wants[0].after = after;
	op = env_run(e, op);
	assert_int_equal(op->err, 0);
	assert_string_equal(env_texts(op), texts);
	store_op_free(&op);
}

/* Promise: an event id or a position, whichever comes first in the queue; an
 * unknown event id alone gives nothing. */
static void
test_read_event(void **state)
{
	static const char *const ids[] = { "1", NULL, "3", "", "5" };
	struct env *e = *state;
	uint64_t at[5];

	for (uint64_t i = 0; i < 5; i++) {
		char text[2] = { (char)('a' + i), '\0' };

		at[i] = env_pub(e,
		    &(struct pub){ .channel = 1,
			.id = i + 1,
			.text = text,
			.event_id = ids[i] });
		if (i == 2) {
			e->now_s += 5;
			env_turns(e, 5);
		}
	}
	expect_event(e, "1", false, 0, "b c d e");
	expect_event(e, "3", false, 0, "d e");
	expect_event(e, "", false, 0, "e");
	expect_event(e, "5", false, 0, "");
	expect_event(e, "none", false, 0, "");
	expect_event(e, "none", true, at[3], "e");
	expect_event(e, "1", true, at[3], "b c d e");
	expect_event(e, "3", true, at[0], "b c d e");
	expect_event(e, "3", true, at[1], "c d e");
	expect_event(e, "3", true, at[2], "d e");
	expect_event(e, "5", true, at[4], "");
}

/* The want, asked for with a slice of one message; *rest is how it goes on. */
static void
expect_begin(struct env *e, const struct store_want *w, uint64_t upto,
    uint64_t begin, const char *texts, const char *rest)
{
	struct store_op *op = store_op_read(1, &w->event_id);
	uint64_t after;

	assert_non_null(op);
	op->u.read.upto = upto;
	op->u.read.max_messages = 1;
	op->u.read.max_bytes = 100;
	op->u.read.wants[0] = *w;
	op = env_run(e, op);
	assert_int_equal(op->err, 0);
	assert_string_equal(env_texts(op), texts);
	if (begin < upto)
		assert_int_equal(op->u.read.wants[0].begin, begin);
	else
		assert_true(op->u.read.wants[0].begin >= upto);
	after = MAX_OF(op->u.read.wants[0].begin, op->u.read.cut);
	store_op_free(&op);
	op = env_read_op(1);
	op->u.read.upto = upto;
	op->u.read.wants[0] = (struct store_want){
		.channel = w->channel, .by_position = true, .after = after
	};
	op = env_run(e, op);
	assert_string_equal(env_texts(op), rest);
	store_op_free(&op);
}

/* Promise: a read says where each want begins, so that a slice that was cut
 * goes on by position, and gets what one read would have got. */
static void
test_read_begin(void **state)
{
	struct env *e = *state;
	struct slice three = SLICE("3"), none = SLICE("none");
	uint64_t at[6], upto;

	for (uint64_t i = 0; i < 6; i++) {
		char text[2] = { (char)('a' + i), '\0' };

		at[i] = env_pub(e,
		    &(struct pub){ .channel = 1,
			.id = i + 1,
			.text = text,
			.event_id = i == 2 ? "3" : NULL,
			.expires = i == 3 ? ENV_EPOCH + 50 : 0 });
		if (i == 2) {
			e->now_s += 5;
			env_turns(e, 5);
		}
	}
	e->now_s = ENV_EPOCH + 50; /* "d" has expired */
	upto = at[4];		   /* "f" came later */
#define WANT(...) (&(struct store_want){ .channel = 1, __VA_ARGS__ })
	expect_begin(e, WANT(.by_position = true), upto, 0, "a", "b c e");
	expect_begin(e, WANT(.by_position = true, .after = at[1]), upto, at[1],
	    "c", "e");
	expect_begin(
	    e, WANT(.by_position = true, .after = upto), upto, upto, "", "");
	expect_begin(e, WANT(.last = 2), upto, at[2] - 1, "c", "e");
	expect_begin(e, WANT(.last = 9), upto, at[0] - 1, "a", "b c e");
	expect_begin(e, WANT(.by_event_id = true, .event_id = three), upto,
	    at[2], "e", "");
	expect_begin(
	    e, WANT(.by_event_id = true, .event_id = none), upto, upto, "", "");
	expect_begin(e,
	    WANT(.by_event_id = true, .event_id = none, .by_position = true,
		.after = at[0]),
	    upto, at[0], "b", "c e");
	expect_begin(e,
	    WANT(.by_event_id = true, .event_id = three, .by_position = true,
		.after = at[3]),
	    upto, at[2], "e", "");
	expect_begin(e, &(struct store_want){ .channel = 7, .last = 1 }, upto,
	    upto, "", "");
#undef WANT
}

/* Promise: a slice is cut at one cursor for all channels, gives at least one
 * message, and slices read one after the other give everything once. */
static void
test_read_slices(void **state)
{
	struct env *e = *state;
	uint64_t upto = 0, after, seen[4] = { 0 }, at[60];
	int total = 0;

	for (uint64_t i = 0; i < 60; i++) {
		upto = at[i] = env_pub(e,
		    &(struct pub){ .channel = i % 3 + 1,
			.id = i / 3 + 1,
			.text = i % 10 == 9 ? "ten bytes." : "one",
			.expires = i >= 20 && i < 40 ? ENV_EPOCH + 50 : 0 });
		if (i == 33) {
			e->now_s += 5;
			env_turns(e, 5);
		}
	}
	e->now_s = ENV_EPOCH + 50; /* expired, perhaps not collected */
	for (after = 0; after < upto;) {
		struct store_op *op = env_read_op(3);
		struct store_read *r = &op->u.read;
		uint32_t want = 0;

		r->upto = upto;
		r->max_messages = 4;
		r->max_bytes = 10;
		for (uint32_t c = 0; c < 3; c++)
			r->wants[c] = (struct store_want){ .channel = c + 1,
				.by_position = true,
				.after = after };
		op = env_run(e, op);
		assert_int_equal(op->err, 0);
		assert_true(r->n_found >= 1 || r->cut == upto);
		assert_true(r->n_found <= 4);
		assert_true(r->cut > after && r->cut <= upto);
		for (size_t i = 0; i < r->n_found; i++) {
			struct store_found *f = &r->found[i];
			uint64_t i_th;

			assert_true(f->want >= want);
			want = f->want;
			assert_true(f->cursor > seen[want]);
			assert_true(f->cursor > after && f->cursor <= r->cut);
			i_th = (f->id - 1) * 3 + want;
			assert_true(i_th < 20 || (i_th >= 40 && i_th < 60));
			assert_int_equal(f->cursor, at[i_th]);
			seen[want] = f->cursor;
			total++;
		}
		after = r->cut;
		store_op_free(&op);
	}
	assert_int_equal(total, 40);
}

/* Promise: where one channel has much that has expired, the slice does not run
 * ahead of it in the others. */
static void
test_read_slices_uneven(void **state)
{
	struct env *e = *state;
	struct store_op *op;

	for (uint64_t i = 1; i <= 20; i++)
		(void)env_pub(e,
		    &(struct pub){
			.channel = 1, .id = i, .expires = ENV_EPOCH + 1 });
	for (uint64_t i = 1; i <= 2; i++)
		(void)env_pub(
		    e, &(struct pub){ .channel = 2, .id = i, .text = "b" });
	(void)env_pub(e, &(struct pub){ .channel = 1, .id = 21, .text = "a" });
	for (uint64_t i = 3; i <= 9; i++)
		(void)env_pub(
		    e, &(struct pub){ .channel = 2, .id = i, .text = "c" });
	e->now_s++;
	op = env_read_op(2);
	op->u.read.max_messages = 4;
	for (uint32_t c = 0; c < 2; c++)
		op->u.read.wants[c] = (struct store_want){ .channel = c + 1,
			.by_position = true };
	op = env_run(e, op);
	assert_string_equal(env_texts(op), "a b b c");
	store_op_free(&op);
}

/* Promise: a dropped channel has nothing; made again under its name it is
 * another one, also when nobody dropped it. */
static void
test_drop(void **state)
{
	struct env *e = *state;
	struct store_op *op;

	(void)env_pub(
	    e, &(struct pub){ .channel = 1, .id = 1, .n = 2, .text = "x" });
	(void)env_pub(e, &(struct pub){ .channel = 1, .id = 2, .text = "y" });
	e->now_s += 5;
	env_turns(e, 5);
	(void)env_pub(e, &(struct pub){ .channel = 1, .id = 3, .text = "z" });
	op = store_op_drop(2);
	op->u.drop.channels[0] = 1;
	op->u.drop.channels[1] = 77; /* never heard of: no matter */
	op = env_run(e, op);
	assert_int_equal(op->err, 0);
	store_op_free(&op);
	env_expect(e, 1, 0, "");
	env_expect(e, 2, 0, "x");
	/* Its number is not known any more. */
	op = env_run(
	    e, env_pub_op(&(struct pub){ .channel = 1, .unnamed = true }));
	assert_int_equal(op->err, ERR_NOTFOUND);
	store_op_free(&op);
	/* "c2" passes to a new number without a drop. */
	op = env_pub_op(&(struct pub){ .channel = 2, .text = "new" });
	op->u.append.members[0].channel = 9;
	op = env_run(e, op);
	assert_int_equal(op->err, 0);
	store_op_free(&op);
	env_expect(e, 2, 0, "");
	env_expect(e, 9, 0, "new");
	env_turns(e, 10); /* the purge touches nobody else */
	env_expect(e, 9, 0, "new");
}

/* Promise: changes of one group apply in order: what is dropped and made
 * again in one breath holds only what came after. */
static void
test_drop_in_group(void **state)
{
	struct env *e = *state;
	struct store_op *op;

	env_submit(e, env_pub_op(&(struct pub){ .channel = 1, .text = "old" }));
	op = store_op_drop(1);
	op->u.drop.channels[0] = 1;
	env_submit(e, op);
	op = env_pub_op(&(struct pub){ .channel = 1, .text = "new" });
	op->u.append.members[0].channel = 2;
	env_submit(e, op);
	for (int i = 0; i < 3; i++) {
		op = env_wait(e);
		assert_int_equal(op->err, 0);
		store_op_free(&op);
	}
	env_expect(e, 1, 0, "");
	env_expect(e, 2, 0, "new");
}

/* Promise: an append that cannot be is refused alone. */
static void
test_refused_alone(void **state)
{
	static const int errs[] = { 0, ERR_NOTFOUND, 0 };
	struct env *e = *state;

	env_submit(e, env_pub_op(&(struct pub){ .channel = 1, .text = "a" }));
	env_submit(e,
	    env_pub_op(&(struct pub){
		.channel = 1, .n = 2, .text = "b", .unnamed = true }));
	env_submit(e, env_pub_op(&(struct pub){ .channel = 1, .text = "c" }));
	for (int i = 0; i < 3; i++) {
		struct store_op *op = env_wait(e);

		assert_int_equal(op->err, errs[i]);
		store_op_free(&op);
	}
	env_expect(e, 1, 0, "a c");
	assert_int_equal(store_stats(e->s)->appends, 2);
}

/* Promise: what is refused for want of room takes no id, whether it came alone
 * or with others, and there is room again when messages have expired. */
static void
test_full(void **state)
{
	static char text[4001];
	struct env *e = *state;
	uint64_t stored = 0, refused = 0;

	memset(text, 'x', sizeof(text) - 1);
	e->cfg.max_bytes = 1 << 20;
	env_reopen(e);
	while (refused < 50) {
		for (int i = 0; i < 10; i++)
			env_submit(e,
			    env_pub_op(&(struct pub){ .channel = 1,
				.text = text,
				.expires = ENV_EPOCH + 10 }));
		for (int i = 0; i < 10; i++) {
			struct store_op *op = env_wait(e);

			assert_true(op->err == 0 || op->err == ERR_FULL);
			if (op->err == ERR_FULL)
				refused++;
			else
				assert_int_equal(
				    op->u.append.members[0].id, ++stored);
			store_op_free(&op);
		}
		assert_true(stored + refused < 1000);
	}
	e->now_s += 10;
	for (int i = 0; i < 200 && e->collected[1] < stored; i++)
		env_turns(e, 1);
	assert_int_equal(e->collected[1], stored);
	(void)env_pub(e, &(struct pub){ .channel = 1, .id = stored + 1 });
}

/* Promise: a read sees every change that was queued before it. */
static void
test_read_after_write(void **state)
{
	struct env *e = *state;

	for (int i = 0; i < 20; i++) {
		struct store_op *op = env_read_op(1);

		env_submit(
		    e, env_pub_op(&(struct pub){ .channel = 1, .text = "x" }));
		op->u.read.wants[0] =
		    (struct store_want){ .channel = 1, .by_position = true };
		env_submit(e, op);
		for (int k = 0; k < 2; k++) {
			op = env_wait(e);
			assert_int_equal(op->err, 0);
			if (op->kind == STORE_READ)
				assert_int_equal(op->u.read.n_found, i + 1);
			store_op_free(&op);
		}
	}
}

/* Promise: a reservation reaches past all that was given, and two seconds
 * past the clock when that is asked for.  A new log begins with one, and at
 * the clock, or the first readers could be given no position. */
static void
test_reservation(void **state)
{
	struct env *e = *state;

	assert_true(e->state.reserved >= cursor_make(ENV_EPOCH + 2, 0));
	assert_int_equal(e->state.last, cursor_make(ENV_EPOCH, 0));
	env_turns(e, 1);
	assert_true(store_reserved(e->s) >= cursor_make(ENV_EPOCH + 2, 0));
	for (int i = 0; i < 10; i++) {
		uint64_t cursor = env_pub(e,
		    &(struct pub){ .channel = 1,
			.id = (uint64_t)i + 1,
			.live = i % 2 == 0 });

		assert_true(store_reserved(e->s) >= cursor);
		e->now_s++;
	}
	env_turns(e, 1);
	assert_true(store_reserved(e->s) >= cursor_make(ENV_EPOCH + 12, 0));
	/* Far ahead of the clock it is tags that are reserved. */
	for (uint64_t i = 11; i <= 13; i++) {
		uint64_t cursor = env_pub(e,
		    &(struct pub){ .channel = 1,
			.id = i,
			.floor = store_reserved(e->s) + 70000 });

		assert_true(store_reserved(e->s) >= cursor);
		assert_true(store_reserved(e->s) <= cursor + 100000);
	}
}

/* Promise: the queue is bounded by bytes; what passes it stays the caller's,
 * and reads are always taken. */
static void
test_queue_bound(void **state)
{
	static char text[100001];
	struct env *e = *state;
	struct store_op *op;
	int taken = 0;

	memset(text, 'x', sizeof(text) - 1);
	for (;;) {
		op = env_pub_op(&(struct pub){ .channel = 1, .text = text });
		if (store_submit(e->s, op) != 0)
			break;
		taken++;
	}
	assert_int_equal(taken, 10);
	assert_true(store_queued_bytes(e->s) <= e->cfg.queue_bytes);
	assert_int_equal(store_submit(e->s, op), ERR_BUSY);
	store_op_free(&op);
	op = env_read_op(1);
	assert_int_equal(store_submit(e->s, op), 0);
	for (int i = 0; i <= taken; i++) {
		op = env_wait(e);
		assert_int_equal(op->err, 0);
		store_op_free(&op);
	}
	assert_int_equal(store_queued_bytes(e->s), 0);
}

/* Promise: before the end of a turn the thread gets what is many, no less. */
static void
test_flush_many(void **state)
{
	struct env *e = *state;
	struct pollfd p = { .fd = store_fd(e->s), .events = POLLIN };
	struct store_op *op;

	for (int turn = 0; turn < 2; turn++) {
		for (int i = 0; i < STORE_MANY; i++) {
			store_flush_many(e->s);
			env_submit(
			    e, env_pub_op(&(struct pub){ .channel = 1 }));
		}
		assert_int_equal(poll(&p, 1, 20), 0);
		store_flush_many(e->s);
		assert_int_equal(poll(&p, 1, 10000), 1);
		for (int i = 0; i < STORE_MANY; i++) {
			op = env_wait(e);
			assert_int_equal(op->err, 0);
			store_op_free(&op);
		}
	}
}

/* Promise: closing finishes what was queued, and each operation comes back. */
static void
test_close_finishes(void **state)
{
	struct env *e = *state;
	struct store_op *op;
	int n = 0;

	for (uint64_t i = 1; i <= 2000; i++)
		env_submit(e, env_pub_op(&(struct pub){ .channel = 1 }));
	assert_int_equal(store_close(&e->s), 0);
	while ((op = e->done) != NULL) {
		e->done = op->next;
		assert_int_equal(op->err, 0);
		store_op_free(&op);
		n++;
	}
	assert_int_equal(n, 2000);
	e->done_end = &e->done;
	env_open(e);
}

/* --- random operations against a model --------------------------------- */

#define MODEL_CHANNELS 6
#define MODEL_STEPS 1500

struct model_message {
	uint64_t cursor, id;
	int64_t expires;
};

struct model {
	struct env *e;
	uint32_t seed;
	struct model_message at[MODEL_CHANNELS][MODEL_STEPS];
	size_t n[MODEL_CHANNELS];
	uint64_t number[MODEL_CHANNELS]; /* of the channel now */
	uint64_t next_number;
	uint64_t id[MODEL_CHANNELS];
	uint64_t last;
	uint64_t published;
	int64_t now_s; /* for the next child */
};

static uint32_t
model_random(struct model *m, uint32_t n)
{
	m->seed = m->seed * 1664525 + 1013904223;
	return (m->seed >> 8) % n;
}

static void
model_cut(struct model *m, int c, size_t i)
{
	m->n[c]--;
	memmove(&m->at[c][i], &m->at[c][i + 1],
	    (m->n[c] - i) * sizeof(m->at[c][0]));
}

static void
model_publish(struct model *m)
{
	static const char *const names[] = { "a", "b", "c", "d", "e", "f" };
	struct env *e = m->e;
	uint32_t n = 1 + model_random(m, 3);
	int64_t expires = e->now_s + 1 + model_random(m, 4000);
	uint32_t cap = model_random(m, 3) == 0 ? 1 + model_random(m, 30) : 0;
	int c = (int)model_random(m, MODEL_CHANNELS - n + 1);
	struct store_op *op =
	    store_op_append(msg_new("text", 4, NULL, NULL, expires), n);
	struct store_append *a = &op->u.append;

	a->keep = model_random(m, 5) != 0;
	a->shared = model_random(m, 2) == 0;
	for (uint32_t i = 0; i < n; i++, c++) {
		if (m->number[c] == 0)
			m->number[c] = m->next_number++;
		a->members[i].channel = m->number[c];
		a->members[i].cap = cap;
		a->members[i].name = (struct slice){ names[c], 1 };
	}
	c -= (int)n;
	op = env_run(e, op);
	a = &op->u.append;
	assert_int_equal(op->err, 0);
	assert_true(a->cursor > m->last);
	m->last = a->cursor + store_append_cursors(a) - 1;
	m->published += n;
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(a->members[i].id, ++m->id[c + (int)i]);
	for (uint32_t i = 0; a->keep && i < n; i++, c++) {
		m->at[c][m->n[c]++] =
		    (struct model_message){ store_append_cursor(a, i), m->id[c],
			    expires };
		/* What has expired may still count or be collected. */
		for (uint32_t k = 0; k < a->members[i].trimmed; k++) {
			if (m->n[c] > cap)
				model_cut(m, c, 0);
		}
		assert_true(cap == 0 || m->n[c] <= cap);
	}
	store_op_free(&op);
}

/* The model forgets what has expired when the clock moves; the store may
 * still count it for caps, so caps and expiry must not both decide. */
static void
model_clock(struct model *m)
{
	uint64_t was;

	m->e->now_s += 1 + model_random(m, 600);
	for (int c = 0; c < MODEL_CHANNELS; c++) {
		for (size_t i = 0; i < m->n[c];) {
			if (m->at[c][i].expires <= m->e->now_s)
				model_cut(m, c, i);
			else
				i++;
		}
	}
	/* Until all of it is collected. */
	do {
		was = store_stats(m->e->s)->collected;
		env_turns(m->e, 12);
	} while (was != store_stats(m->e->s)->collected);
}

/* Shared, and given for a channel before this one. */
static bool
model_given(const struct model *m, int channel, uint64_t cursor)
{
	for (int c = 0; c < channel; c++) {
		for (size_t i = 0; i < m->n[c]; i++) {
			if (m->at[c][i].cursor == cursor)
				return true;
		}
	}
	return false;
}

static void
model_check(struct model *m, uint64_t after, uint32_t max)
{
	struct store_op *op = env_read_op(MODEL_CHANNELS);
	struct store_read *r = &op->u.read;
	size_t k = 0, left = 0;

	r->max_messages = max;
	r->upto = m->last;
	for (int c = 0; c < MODEL_CHANNELS; c++)
		r->wants[c] = (struct store_want){ .channel = m->number[c],
			.by_position = true,
			.after = after };
	op = env_run(m->e, op);
	assert_int_equal(op->err, 0);
	r = &op->u.read;
	for (int c = 0; c < MODEL_CHANNELS; c++) {
		for (size_t i = 0; i < m->n[c]; i++) {
			struct model_message *w = &m->at[c][i];

			if (w->cursor <= after || model_given(m, c, w->cursor))
				continue;
			if (w->cursor > r->cut) {
				left++;
				continue;
			}
			assert_true(k < r->n_found);
			assert_int_equal(r->found[k].want, c);
			assert_int_equal(r->found[k].cursor, w->cursor);
			assert_int_equal(r->found[k].id, w->id);
			k++;
		}
	}
	assert_int_equal(k, r->n_found);
	assert_true(r->n_found <= max);
	/* It is cut where it has to be and nowhere else. */
	assert_true(left == 0 || r->n_found == max);
	store_op_free(&op);
}

static void
model_drop(struct model *m)
{
	int c = (int)model_random(m, MODEL_CHANNELS);
	struct store_op *op;

	if (m->number[c] == 0)
		return;
	op = store_op_drop(1);
	op->u.drop.channels[0] = m->number[c];
	op = env_run(m->e, op);
	assert_int_equal(op->err, 0);
	store_op_free(&op);
	m->number[c] = 0;
	m->n[c] = 0;
	m->id[c] = 0;
}

/* What a file is opened with must be what the model has. */
static void
model_check_opened(const struct model *m)
{
	for (int c = 0; c < MODEL_CHANNELS; c++) {
		const struct store_channel *k = env_known(m->e, m->number[c]);

		assert_true((k != NULL) == (m->number[c] != 0));
		if (k == NULL)
			continue;
		assert_int_equal(k->stored, m->n[c]);
		assert_int_equal(k->last_id, m->id[c]);
	}
	assert_true(m->e->state.last >= m->last);
	assert_int_equal(m->e->state.next_channel, m->next_number);
	assert_int_equal(m->e->state.published, m->published);
}

/* A file remembers; memory starts anew, and so does the model. */
static void
model_reopen(struct model *m)
{
	env_reopen(m->e);
	if (!m->e->memory) {
		model_check_opened(m);
		return;
	}
	m->last = 0;
	for (int c = 0; c < MODEL_CHANNELS; c++)
		m->number[c] = m->n[c] = m->id[c] = 0;
}

static void
model_step(struct model *m)
{
	uint32_t what = model_random(m, 100);

	if (what < 70)
		model_publish(m);
	else if (what < 80)
		model_check(
		    m, m->last - model_random(m, 50), 1 + model_random(m, 20));
	else if (what < 85)
		model_check(m, 0, 1 + model_random(m, 20));
	else if (what < 95)
		model_check(m, 0, 100000);
	else if (what < 97)
		model_clock(m);
	else if (what < 99)
		model_drop(m);
	else
		model_reopen(m);
}

/* Shared with children that are killed. */
static struct model *
model_new(struct env *e, uint32_t seed)
{
	struct model *m = mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(m, MAP_FAILED);
	m->e = e;
	m->seed = seed;
	m->next_number = 1;
	m->now_s = e->now_s;
	return m;
}

/* Promise: all of the above, whatever comes after what. */
static void
test_model(void **state)
{
	struct model *m = model_new(*state, 20231114);

	for (int step = 0; step < MODEL_STEPS; step++)
		model_step(m);
	(void)munmap(m, sizeof(*m));
}

/* Promise: and with kills in between nothing is different. */
static void
test_model_killed(void **state)
{
	struct env *e = *state;
	struct model *m = model_new(e, 20101121);

	env_close(e);
	for (int i = 0; i < 30; i++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			e->now_s = m->now_s;
			env_open(e);
			model_check_opened(m);
			for (int n = MODEL_STEPS / 30; n > 0; n--)
				model_step(m);
			m->now_s = e->now_s;
			(void)kill(getpid(), SIGKILL);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
	}
	e->now_s = m->now_s;
	env_open(e);
	model_check_opened(m);
	model_check(m, 0, 100000);
	(void)munmap(m, sizeof(*m));
}

static char memory[] = "memory", sqlite[] = "sqlite";

#define EACH(f) \
	{ "memory " #f, f, env_setup, env_teardown, memory }, \
	{ \
		"sqlite " #f, f, env_setup, env_teardown, sqlite \
	}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		EACH(test_order),
		EACH(test_floor),
		EACH(test_clock_back),
		EACH(test_several_channels),
		EACH(test_shared),
		EACH(test_shared_begins),
		EACH(test_shared_slices),
		EACH(test_shared_expiry),
		EACH(test_shared_leaves_one),
		EACH(test_shared_cap),
		EACH(test_shared_many),
		EACH(test_extra),
		EACH(test_bytes),
		EACH(test_empty_name),
		EACH(test_live),
		EACH(test_cap),
		EACH(test_cap_in_group),
		EACH(test_expiry),
		EACH(test_expiry_many),
		EACH(test_read_position),
		EACH(test_read_last),
		EACH(test_read_event),
		EACH(test_read_begin),
		EACH(test_read_slices),
		EACH(test_read_slices_uneven),
		EACH(test_drop),
		EACH(test_drop_in_group),
		EACH(test_refused_alone),
		EACH(test_full),
		EACH(test_read_after_write),
		EACH(test_reservation),
		EACH(test_queue_bound),
		EACH(test_flush_many),
		EACH(test_close_finishes),
		EACH(test_model),
		{ "sqlite test_model_killed", test_model_killed, env_setup,
		    env_teardown, sqlite },
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
