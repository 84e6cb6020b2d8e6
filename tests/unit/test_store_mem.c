/*
 * tests/unit/test_store_mem.c - the backend in memory without its thread: how
 * much goes in one slice.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "store/store_priv.h"

#define EPOCH INT64_C(1700000000)
#define MANY 2000

/* A group of messages, all in one channel, that expire together. */
static void
group(void *be, uint32_t n, int64_t expires)
{
	struct store_op *ops = NULL;
	uint64_t reserved;

	assert_int_equal(store_mem.begin(be), 0);
	for (uint32_t i = 0; i < n; i++) {
		struct store_op *op =
		    store_op_append(msg_new("x", 1, NULL, NULL, expires), 1);

		op->u.append.members[0] =
		    (struct store_member){ .channel = 1, .name = SLICE("c") };
		assert_int_equal(store_mem.append(be, &op->u.append, EPOCH), 0);
		op->next = ops;
		ops = op;
	}
	assert_int_equal(store_mem.commit(be, EPOCH, &reserved), 0);
	while (ops != NULL) {
		struct store_op *op = ops;

		ops = op->next;
		store_op_free(&op);
	}
}

/* How many messages go with the next slice. */
static uint64_t
slice(void *be, int64_t now_s)
{
	struct store_op *out = NULL;
	uint64_t gone;

	if (store_mem.tidy(be, now_s, &out) == 0)
		return 0;
	assert_int_equal(out->u.collected.n, 1);
	gone = out->u.collected.gone[0].count;
	store_op_free(&out);
	return gone;
}

/* Promise: a slice is short, but what comes in large groups goes as fast. */
static void
test_slices(void **state)
{
	const struct store_config cfg = { .path = NULL };
	struct store_stats stats = { 0 };
	void *be;

	(void)state;
	assert_int_equal(store_mem.open(&cfg, &stats, &be), 0);
	group(be, MANY, EPOCH + 10);
	assert_int_equal(slice(be, EPOCH), 0);
	/* The group is not news any more. */
	assert_in_range(slice(be, EPOCH + 10), 1, MANY / 4);
	/* Another is: as many go, and as many again of what is left. */
	group(be, MANY / 4, EPOCH + 10);
	assert_int_equal(slice(be, EPOCH + 10), 2 * (MANY / 4));
	while (slice(be, EPOCH + 10) != 0)
		continue;
	assert_int_equal(stats.collected, MANY + MANY / 4);
	assert_int_equal(store_mem.close(&be), 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slices),
	};

	return cmocka_run_group_tests_name("store_mem", tests, NULL, NULL);
}
