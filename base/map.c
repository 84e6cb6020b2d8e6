/*
 * base/map.c - linear probing with backward-shift deletion (no tombstones),
 * and SipHash-1-3 (Aumasson, Bernstein) for keys that a peer can choose.
 */
#include "base/map.h"

#include <sys/random.h>

#define MAP_FIRST_SLOTS 16

/* Ids are consecutive numbers: spread them before masking. */
static size_t
map_home(const struct map *m, uint64_t key)
{
	return (size_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 20) & m->mask;
}

void
map_init(struct map *m)
{
	m->slots = NULL;
	m->mask = 0;
	m->count = 0;
}

void
map_release(struct map *m)
{
	free(m->slots);
	map_init(m);
}

static void
map_place(struct map *m, uint64_t key, void *value)
{
	size_t i = map_home(m, key);

	while (m->slots[i].key != 0)
		i = (i + 1) & m->mask;
	m->slots[i].key = key;
	m->slots[i].value = value;
}

static int
map_grow(struct map *m)
{
	struct map_slot *old = m->slots;
	size_t n = old != NULL ? m->mask + 1 : 0;
	size_t want = n != 0 ? n * 2 : MAP_FIRST_SLOTS;
	struct map_slot *slots = calloc(want, sizeof(*slots));

	if (slots == NULL)
		return ERR_NOMEM;
	m->slots = slots;
	m->mask = want - 1;
	for (size_t i = 0; i < n; i++) {
		if (old[i].key != 0)
			map_place(m, old[i].key, old[i].value);
	}
	free(old);
	return 0;
}

int
map_put(struct map *m, uint64_t key, void *value)
{
	int err;

	assert(key != 0);
	assert(map_get(m, key) == NULL);
	if (m->slots == NULL || (m->count + 1) * 4 > (m->mask + 1) * 3) {
		err = map_grow(m);
		if (err != 0)
			return err;
	}
	map_place(m, key, value);
	m->count++;
	return 0;
}

void *
map_get(const struct map *m, uint64_t key)
{
	if (m->slots == NULL)
		return NULL;
	for (size_t i = map_home(m, key); m->slots[i].key != 0;
	     i = (i + 1) & m->mask) {
		if (m->slots[i].key == key)
			return m->slots[i].value;
	}
	return NULL;
}

void *
map_remove(struct map *m, uint64_t key)
{
	size_t i, j, home;
	void *value;

	if (m->slots == NULL)
		return NULL;
	for (i = map_home(m, key); m->slots[i].key != key;
	     i = (i + 1) & m->mask) {
		if (m->slots[i].key == 0)
			return NULL;
	}
	value = m->slots[i].value;
	/* Close the gap: pull back what probed past it. */
	for (j = (i + 1) & m->mask; m->slots[j].key != 0;
	     j = (j + 1) & m->mask) {
		home = map_home(m, m->slots[j].key);
		if (((j - home) & m->mask) >= ((j - i) & m->mask)) {
			m->slots[i] = m->slots[j];
			i = j;
		}
	}
	m->slots[i].key = 0;
	m->slots[i].value = NULL;
	m->count--;
	return value;
}

void *
map_walk(const struct map *m, size_t *at)
{
	while (m->slots != NULL && *at <= m->mask) {
		const struct map_slot *s = &m->slots[(*at)++];

		if (s->key != 0)
			return s->value;
	}
	return NULL;
}

void
hash_key_init(struct hash_key *k)
{
	/* getrandom() of 16 bytes fails only before the kernel's pool is up,
	 * and then blocks instead. */
	if (getrandom(k, sizeof(*k), 0) != (ssize_t)sizeof(*k))
		abort();
}

static uint64_t
rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static inline void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

uint64_t
hash_bytes(const struct hash_key *k, const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t v[4] = {
		k->k0 ^ UINT64_C(0x736f6d6570736575),
		k->k1 ^ UINT64_C(0x646f72616e646f6d),
		k->k0 ^ UINT64_C(0x6c7967656e657261),
		k->k1 ^ UINT64_C(0x7465646279746573),
	};
	uint64_t word, hash;
	size_t left;

	for (left = len; left >= 8; left -= 8, p += 8) {
		memcpy(&word, p, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = (uint64_t)len << 56;
	for (size_t i = 0; i < left; i++)
		word |= (uint64_t)p[i] << (8 * i);
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	hash = v[0] ^ v[1] ^ v[2] ^ v[3];
	return hash != 0 ? hash : 1;
}
