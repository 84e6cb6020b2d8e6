/*
 * store/store_tail.h - a channel's newest messages, oldest first: where each
 * stands in the log.
 *
 * Taken from the front when an index round has passed them, from anywhere when
 * they expire.  Owner: the channel.  Thread: the store's.
 */
#ifndef STORE_STORE_TAIL_H
#define STORE_STORE_TAIL_H

#include "base/base.h"

struct tail_entry {
	uint64_t cursor;
	uint64_t id;
	uint32_t place; /* cursor - place: the message's row */
};

struct tail {
	struct tail_entry *at;
	uint32_t first;
	uint32_t count; /* at[first .. first + count - 1] */
	uint32_t room;
};

void tail_release(struct tail *t);

/* Room for `more` entries behind the count: they can be written there ahead
 * of time, and count when tail_grow() says so.  Keeps what stands there. */
int tail_reserve(struct tail *t, uint32_t written, uint32_t more) MUST_CHECK;
void tail_grow(struct tail *t, uint32_t n);
void tail_shift(struct tail *t, uint32_t n);	   /* n from the front */
bool tail_remove(struct tail *t, uint64_t cursor); /* false: not here */

/* The index, from the front, of the first entry newer than `cursor`. */
uint32_t tail_after(const struct tail *t, uint64_t cursor);

static inline struct tail_entry *
tail_at(const struct tail *t, uint32_t i)
{
	return &t->at[t->first + i];
}

#endif
