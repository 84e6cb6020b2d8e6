/*
 * tests/unit/test_heap.c - the heap says whose wait ends next.  A reader that
 * sits at a wrong place in it waits for ever, or is sent away too early.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/heap.h"

#define ITEMS 300

static uint64_t seed = 987654321;

static uint64_t
next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void
test_empty(void **state)
{
	struct heap_item it = { 0, 0 };
	struct heap h;

	(void)state;
	heap_init(&h);
	assert_null(heap_first(&h));
	heap_remove(&h, &it); /* out of it: nothing happens */
	assert_int_equal(heap_add(&h, &it, 5), 0);
	assert_ptr_equal(heap_first(&h), &it);
	heap_remove(&h, &it);
	heap_remove(&h, &it);
	assert_null(heap_first(&h));
	assert_int_equal(it.at, 0);
	heap_release(&h);
}

/* What comes out comes in order, equal keys and the largest one included. */
static void
test_sorts(void **state)
{
	static struct heap_item items[ITEMS];
	struct heap_item *first;
	struct heap h;
	uint64_t last = 0;
	int n = 0;

	(void)state;
	heap_init(&h);
	for (size_t i = 0; i < ITEMS; i++)
		assert_int_equal(
		    heap_add(&h, &items[i],
			i % 10 == 0 ? UINT64_MAX : next_random() % 50),
		    0);
	while ((first = heap_first(&h)) != NULL) {
		assert_true(first->key >= last);
		last = first->key;
		heap_remove(&h, first);
		n++;
	}
	assert_int_equal(n, ITEMS);
	assert_true(last == UINT64_MAX);
	heap_release(&h);
}

static void
assert_first_is_least(const struct heap *h, const struct heap_item *items)
{
	const struct heap_item *least = NULL;

	for (size_t i = 0; i < ITEMS; i++) {
		if (items[i].at != 0 &&
		    (least == NULL || items[i].key < least->key))
			least = &items[i];
	}
	if (least == NULL)
		assert_null(heap_first(h));
	else
		assert_int_equal(heap_first(h)->key, least->key);
}

/* Readers leave from the middle: the first is the least all the same. */
static void
test_removal_from_anywhere(void **state)
{
	static struct heap_item items[ITEMS];
	struct heap h;
	uint32_t count = 0;

	(void)state;
	heap_init(&h);
	for (int step = 0; step < 20000; step++) {
		struct heap_item *it = &items[next_random() % ITEMS];

		if (it->at != 0) {
			heap_remove(&h, it);
			count--;
		} else {
			assert_int_equal(
			    heap_add(&h, it, next_random() % 1000), 0);
			count++;
		}
		assert_int_equal(h.count, count);
		if (step % 16 == 0)
			assert_first_is_least(&h, items);
	}
	heap_release(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_sorts),
		cmocka_unit_test(test_removal_from_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
