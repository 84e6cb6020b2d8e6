/*
 * base/map.h - a hash map from a 64-bit key to a pointer, and the keyed hash.
 *
 * Open addressing, 16 bytes a slot, no allocation per entry.  Key 0 is not
 * allowed.  Owner: whoever embeds it.  For byte strings the key is
 * hash_bytes(), whose secret keeps a peer from choosing collisions; the
 * caller compares the strings all the same.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/base.h"

struct map_slot {
	uint64_t key; /* 0: free */
	void *value;
};

struct map {
	struct map_slot *slots;
	size_t mask; /* slots - 1; slots is a power of 2 */
	size_t count;
};

void map_init(struct map *m);
void map_release(struct map *m); /* the values are the caller's */
int map_put(struct map *m, uint64_t key, void *value) MUST_CHECK;
void *map_get(const struct map *m, uint64_t key); /* or NULL */
void *map_remove(struct map *m, uint64_t key);	  /* what it held */

/* Walk: *at starts at 0; NULL at the end.  No change of the map meanwhile. */
void *map_walk(const struct map *m, size_t *at);

struct hash_key {
	uint64_t k0, k1;
};

void hash_key_init(struct hash_key *k); /* from the system's entropy */
uint64_t hash_bytes(
    const struct hash_key *k, const void *data, size_t len); /* never 0 */

#endif
