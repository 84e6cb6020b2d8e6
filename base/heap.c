/* base/heap.c - sift up, sift down; each item knows its place. */
#include "base/heap.h"

void
heap_init(struct heap *h)
{
	h->items = NULL;
	h->count = 0;
	h->cap = 0;
}

void
heap_release(struct heap *h)
{
	free(h->items);
	heap_init(h);
}

static void
heap_set(struct heap *h, uint32_t at, struct heap_item *it)
{
	h->items[at] = it;
	it->at = at;
}

static void
heap_up(struct heap *h, uint32_t at, struct heap_item *it)
{
	while (at > 1 && it->key < h->items[at / 2]->key) {
		heap_set(h, at, h->items[at / 2]);
		at /= 2;
	}
	heap_set(h, at, it);
}

static void
heap_down(struct heap *h, uint32_t at, struct heap_item *it)
{
	uint32_t child;

	while ((child = at * 2) <= h->count) {
		if (child < h->count &&
		    h->items[child + 1]->key < h->items[child]->key)
			child++;
		if (it->key <= h->items[child]->key)
			break;
		heap_set(h, at, h->items[child]);
		at = child;
	}
	heap_set(h, at, it);
}

int
heap_add(struct heap *h, struct heap_item *it, uint64_t key)
{
	struct heap_item **items;
	uint32_t cap;

	assert(it->at == 0);
	if (h->count + 1 >= h->cap) {
		cap = h->cap != 0 ? h->cap * 2 : 64;
		items = realloc(h->items, cap * sizeof(*items));
		if (items == NULL)
			return ERR_NOMEM;
		h->items = items;
		h->cap = cap;
	}
	it->key = key;
	h->count++;
	heap_up(h, h->count, it);
	return 0;
}

void
heap_remove(struct heap *h, struct heap_item *it)
{
	struct heap_item *last;
	uint32_t at = it->at;

	if (at == 0)
		return;
	assert(at <= h->count && h->items[at] == it);
	it->at = 0;
	last = h->items[h->count--];
	if (last == it)
		return;
	if (at > 1 && last->key < h->items[at / 2]->key)
		heap_up(h, at, last);
	else
		heap_down(h, at, last);
}

struct heap_item *
heap_first(const struct heap *h)
{
	return h->count != 0 ? h->items[1] : NULL;
}
