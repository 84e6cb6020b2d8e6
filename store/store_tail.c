/*
 * store/store_tail.c - a queue in one array.
 *
 * Most channels have no tail at all, many have one entry, some have
 * thousands; an array that is given back when it is empty suits all three.
 */
#include "store/store_tail.h"

#define TAIL_FIRST_ROOM 1

void
tail_release(struct tail *t)
{
	free(t->at);
	*t = (struct tail){ 0 };
}

int
tail_reserve(struct tail *t, uint32_t written, uint32_t more)
{
	uint32_t used = t->count + written;
	struct tail_entry *at;
	uint32_t room;

	if (t->first + used + more <= t->room)
		return 0;
	/* Close the gap at the front when that alone is worth it. */
	if (t->first >= used + more) {
		memcpy(t->at, t->at + t->first, used * sizeof(*at));
		t->first = 0;
		return 0;
	}
	room = MAX_OF(t->room, TAIL_FIRST_ROOM);
	while (t->first + used + more > room)
		room *= 2;
	at = realloc(t->at, room * sizeof(*at));
	if (at == NULL)
		return ERR_NOMEM;
	t->at = at;
	t->room = room;
	return 0;
}

void
tail_grow(struct tail *t, uint32_t n)
{
	assert(t->first + t->count + n <= t->room);
	t->count += n;
}

void
tail_shift(struct tail *t, uint32_t n)
{
	assert(n <= t->count);
	t->first += n;
	t->count -= n;
	if (t->count == 0)
		tail_release(t);
}

uint32_t
tail_after(const struct tail *t, uint64_t cursor)
{
	uint32_t low = 0, high = t->count;

	/* Mostly it is asked for one that is before them all: one look. */
	if (high == 0 || tail_at(t, 0)->cursor > cursor)
		return 0;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (tail_at(t, mid)->cursor <= cursor)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool
tail_remove(struct tail *t, uint64_t cursor)
{
	uint32_t i = tail_after(t, cursor);

	if (i == 0 || tail_at(t, i - 1)->cursor != cursor)
		return false;
	if (i == 1) {
		tail_shift(t, 1);
		return true;
	}
	memmove(tail_at(t, i - 1), tail_at(t, i),
	    (t->count - i) * sizeof(struct tail_entry));
	t->count--;
	return true;
}
