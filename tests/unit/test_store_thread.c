/*
 * tests/unit/test_store_thread.c - what the thread holds for a loop that does
 * not come to take it; and that an operation's own failure is its alone.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "store/store_thread.c"

#define TEXT_BYTES 900000
#define FAILS 7 /* an append to this channel */

#define SLICES 5

static _Atomic int n_reads;
static _Atomic int n_tidies;
static _Atomic int n_slices; /* of n_tidies; more is a turn in vain */
static uint64_t slice_begin_ns[SLICES], slice_end_ns[SLICES];

static int
fake_begin(void *be)
{
	(void)be;
	return 0;
}

static int
fake_append(void *be, struct store_append *a, int64_t now_s)
{
	(void)be;
	(void)now_s;
	return a->members[0].channel == FAILS ? ERR_FULL : 0;
}

static void
fake_reserve(void *be)
{
	(void)be;
}

static int
fake_commit(void *be, int64_t now_s, uint64_t *reserved)
{
	(void)be;
	(void)now_s;
	*reserved = 1;
	return 0;
}

static void
fake_rollback(void *be)
{
	(void)be;
}

static int
fake_read(void *be, struct store_read *r, int64_t now_s)
{
	static char text[TEXT_BYTES];

	(void)be;
	(void)now_s;
	n_reads++;
	r->found = calloc(1, sizeof(*r->found));
	assert_non_null(r->found);
	r->found[0].msg = msg_new(text, sizeof(text), NULL, NULL, 0);
	r->n_found = 1;
	return 0;
}

static int
fake_tidy(void *be, int64_t now_s, struct store_op **out)
{
	const struct timespec some_ms = { .tv_nsec = 3000000 };
	int i = n_tidies;

	(void)be;
	(void)now_s;
	(void)out;
	if (i < n_slices) {
		slice_begin_ns[i] = clock_mono_ns();
		(void)nanosleep(&some_ms, NULL);
		slice_end_ns[i] = clock_mono_ns();
	}
	n_tidies++;
	return i < n_slices;
}

static struct store_backend fake = {
	.name = "fake",
	.begin = fake_begin,
	.append = fake_append,
	.reserve = fake_reserve,
	.commit = fake_commit,
	.rollback = fake_rollback,
	.read = fake_read,
	.tidy = fake_tidy,
};

static struct store_stats stats;

static struct store_thread *
start(void)
{
	static struct store_config cfg = { .wall = clock_wall_s };
	struct store_thread *t = NULL;

	n_reads = n_tidies = 0;
	assert_int_equal(
	    store_thread_start(&fake, NULL, &cfg, &stats, 0, &t), 0);
	return t;
}

/* Until it has done all that it may, and not only not woken yet.  While it
 * sleeps nobody else changes what is its own. */
static void
wait_asleep(struct store_thread *t)
{
	bool asleep = false;

	while (!asleep) {
		(void)sched_yield();
		(void)pthread_mutex_lock(&t->lock);
		asleep = t->sleeping && t->in.first == NULL &&
		    (t->reads.first == NULL || t->out_found >= FOUND_BYTES);
		(void)pthread_mutex_unlock(&t->lock);
	}
}

/* Taken, counted, freed. */
static int
take(struct store_thread *t)
{
	struct store_batch batch;
	struct store_op *op;
	int n = 0;

	store_thread_take(t, &batch);
	while ((op = op_list_take(&batch.done)) != NULL) {
		assert_int_equal(op->err, 0);
		store_op_free(&op);
		n++;
	}
	return n;
}

static void
test_reads_rest(void **state)
{
	enum {
		READS = 60
	};
	struct store_thread *t = start();
	struct op_list ops;
	int once, all = 0;

	(void)state;
	op_list_init(&ops);
	for (int i = 0; i < READS; i++)
		op_list_add(&ops, store_op_read(1, NULL));
	store_thread_push(t, &ops);
	while (all < READS) {
		wait_asleep(t);
		once = n_reads - all;
		/* More than the bound by one turn's share at most. */
		assert_true(once * TEXT_BYTES <=
		    (int)(FOUND_BYTES + TURN_FOUND_BYTES + TEXT_BYTES));
		assert_true(all + once == READS ||
		    once * TEXT_BYTES >= (int)FOUND_BYTES);
		assert_int_equal(take(t), once);
		all += once;
	}
	store_thread_join(t);
	store_thread_free(&t);
}

/* While reads rest, changes are made. */
static void
test_changes_go_on(void **state)
{
	struct store_thread *t = start();
	struct op_list ops;
	int reads;

	(void)state;
	op_list_init(&ops);
	for (int i = 0; i < 30; i++)
		op_list_add(&ops, store_op_read(1, NULL));
	store_thread_push(t, &ops);
	wait_asleep(t);
	reads = n_reads;
	assert_true(reads < 30);
	op_list_add(&ops, store_op_reserve());
	store_thread_push(t, &ops);
	wait_asleep(t);
	assert_int_equal(n_reads, reads);
	assert_int_equal(take(t), reads + 1);
	wait_asleep(t);
	assert_int_equal(take(t), 30 - reads);
	store_thread_join(t);
	store_thread_free(&t);
}

static struct store_op *
append(uint64_t channel)
{
	struct store_op *op =
	    store_op_append(msg_new("x", 1, NULL, NULL, 0), 1);

	assert_non_null(op);
	op->u.append.members[0].channel = channel;
	return op;
}

/* Of a group of three, whose second fails. */
static void
errors_of(bool own, int want_1, int want_2, int want_3)
{
	const int want[] = { want_1, want_2, want_3 };
	struct store_thread *t;
	struct store_batch batch;
	struct store_op *op;
	struct op_list ops;

	fake.own_failures = own;
	t = start();
	op_list_init(&ops);
	op_list_add(&ops, append(1));
	op_list_add(&ops, append(FAILS));
	op_list_add(&ops, append(2));
	store_thread_push(t, &ops);
	wait_asleep(t);
	store_thread_take(t, &batch);
	for (int i = 0; i < 3; i++) {
		op = op_list_take(&batch.done);
		assert_non_null(op);
		assert_int_equal(op->err, want[i]);
		store_op_free(&op);
	}
	assert_null(batch.done.first);
	store_thread_join(t);
	store_thread_free(&t);
}

static void
test_failures(void **state)
{
	(void)state;
	errors_of(true, 0, ERR_FULL, 0);
	errors_of(false, ERR_FULL, ERR_FULL, ERR_FULL);
}

/* Nobody is in a hurry: after each slice it rests, and goes on by itself. */
static void
test_upkeep_rests(void **state)
{
	struct store_thread *t;

	(void)state;
	n_slices = SLICES;
	t = start();
	while (n_tidies < SLICES)
		(void)sched_yield();
	n_slices = 0;
	for (int i = 1; i < SLICES; i++)
		assert_true(
		    slice_begin_ns[i] - slice_end_ns[i - 1] >= REST_MAX_NS);
	store_thread_join(t);
	store_thread_free(&t);
}

static void
reserve(struct store_thread *t, int n)
{
	struct op_list ops;

	op_list_init(&ops);
	for (int i = 0; i < n; i++)
		op_list_add(&ops, store_op_reserve());
	store_thread_push(t, &ops);
	wait_asleep(t);
	assert_int_equal(take(t), n);
}

/* As if its rest had no end. */
static void
rest_for_ever(struct store_thread *t)
{
	bool asleep = false;

	while (!asleep) {
		(void)sched_yield();
		(void)pthread_mutex_lock(&t->lock);
		asleep = t->sleeping;
		if (asleep) {
			t->rest_until_ns = UINT64_MAX;
			t->rest_changes = 0;
		}
		(void)pthread_mutex_unlock(&t->lock);
	}
}

/* So many changes end its rest, however long that was to be. */
static void
test_changes_end_rest(void **state)
{
	struct store_thread *t = start();
	int before;

	(void)state;
	rest_for_ever(t);
	before = n_tidies;
	reserve(t, REST_CHANGES - 1);
	assert_int_equal(n_tidies, before);
	reserve(t, 1);
	assert_true(n_tidies > before);
	store_thread_join(t);
	store_thread_free(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_rest),
		cmocka_unit_test(test_changes_go_on),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_upkeep_rests),
		cmocka_unit_test(test_changes_end_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
