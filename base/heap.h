/*
 * base/heap.h - a binary min-heap of deadlines.
 *
 * Items are embedded in what waits; the heap owns only its array.  Keys are
 * the caller's unit (here: monotonic milliseconds).
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include "base/base.h"

struct heap_item {
	uint64_t key;
	uint32_t at; /* 1-based place in the heap; 0: out */
};

struct heap {
	struct heap_item **items; /* items[1..count] */
	uint32_t count;
	uint32_t cap;
};

void heap_init(struct heap *h);
void heap_release(struct heap *h);
int heap_add(struct heap *h, struct heap_item *it, uint64_t key) MUST_CHECK;
void heap_remove(struct heap *h, struct heap_item *it); /* out: no-op */
struct heap_item *heap_first(const struct heap *h);	/* or NULL */

#endif
