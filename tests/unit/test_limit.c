/*
 * tests/unit/test_limit.c - bounds that were met are counted, each by itself,
 * and what several share is never more than there may be.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/limit.h"

struct seen {
	size_t n;
	uint64_t hits;
	const char *last; /* whose hits were not 0 */
};

static limit_walk_f see;

static void
see(void *arg, const char *name, uint64_t hits)
{
	struct seen *s = arg;

	s->n++;
	s->hits += hits;
	if (hits != 0)
		s->last = name;
}

static void
test_hits(void **state)
{
	struct limits l = { .hits = { 0 } };
	struct seen s = { .n = 0 };

	(void)state;
	log_set_level(LOG_ERROR);
	limits_walk(&l, see, &s);
	assert_int_equal(s.n, LIMIT_COUNT);
	assert_int_equal(s.hits, 0);
	limit_hit(&l, LIMIT_lists);
	limit_hit(&l, LIMIT_lists);
	limit_count(&l, LIMIT_lists, 3);
	limits_walk(&l, see, &s);
	assert_int_equal(s.hits, 5);
	assert_string_equal(s.last, "lists");
	assert_int_equal(l.hits[LIMIT_lists], 5);
}

static void
test_quota(void **state)
{
	struct quota q = { 0, 10 };

	(void)state;
	assert_true(quota_take(&q, 10));
	assert_false(quota_take(&q, 1));
	assert_true(quota_take(&q, 0));
	quota_give(&q, 4);
	assert_false(quota_take(&q, 5));
	assert_false(quota_take(&q, SIZE_MAX));
	assert_int_equal(q.used, 6);
	assert_true(quota_take(&q, 4));
	/* A reload may leave less than there is. */
	q.max = 5;
	assert_false(quota_take(&q, 0));
	quota_give(&q, 10);
	assert_true(quota_take(&q, 5));
}

/* What is large leaves an eighth to the small. */
static void
test_quota_of(void **state)
{
	struct quota q = { 0, 80 };

	(void)state;
	assert_false(quota_take_of(&q, 71, QUOTA_LARGE + 1));
	assert_int_equal(q.used, 0);
	assert_true(quota_take_of(&q, 70, QUOTA_LARGE + 1));
	assert_false(quota_take_of(&q, 1, QUOTA_LARGE + 1));
	assert_true(quota_take_of(&q, 10, QUOTA_LARGE));
	assert_false(quota_take_of(&q, 1, QUOTA_LARGE));
	assert_int_equal(q.used, 80);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hits),
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_quota_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
