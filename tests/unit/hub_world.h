/*
 * tests/unit/hub_world.h - a hub over a store that does each step when it is
 * told to (fake_store.h), and a clock that the test moves.
 */
#ifndef TESTS_UNIT_HUB_WORLD_H
#define TESTS_UNIT_HUB_WORLD_H

#include "tests/unit/fake_store.h"

#define S(text) ((struct slice){ text, sizeof(text) - 1 })
#define NOW_S 1000000
#define NOW_MS UINT64_C(50000)
#define FOR_EVER UINT64_MAX

struct world {
	struct store *store;
	struct hub *hub;
	struct stats stats;
	struct hub_limits limits; /* world_limit() after a change */
};

/* With these limits, at NOW_S. */
struct world *world_new(const struct hub_limits *limits);
void world_free(struct world **w);
/* A kill, and a daemon that starts on what is on disk. */
void world_restart(struct world *w);
void world_limit(struct world *w);

/* So many milliseconds later, by the wall clock and the other one. */
void world_at(struct world *w, uint64_t ms);

struct channel *world_channel(struct world *w, struct slice name);

#endif
