/*
 * tests/unit/test_map.c - channels, endpoints and pending work are found by
 * this map.  Closing the gap of a removed slot wrongly would make one of them
 * vanish while it is there.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/map.h"

#define KEYS 512

static uint64_t seed = 20240501;

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
	struct map m;
	size_t at = 0;

	(void)state;
	map_init(&m);
	assert_null(map_get(&m, 1));
	assert_null(map_remove(&m, 1));
	assert_null(map_walk(&m, &at));
	map_release(&m);
}

/* Against a plain array, with keys that crowd: every key is where the array
 * has it after each of many puts and removes. */
static void
against_array(uint64_t (*key_of)(uint64_t))
{
	char values[KEYS];
	bool in[KEYS] = { false };
	struct map m;
	size_t count = 0;

	map_init(&m);
	for (int step = 0; step < 20000; step++) {
		size_t i = next_random() % KEYS;
		uint64_t key = key_of(i);

		if (in[i]) {
			assert_ptr_equal(map_remove(&m, key), &values[i]);
			count--;
		} else {
			assert_null(map_remove(&m, key));
			assert_int_equal(map_put(&m, key, &values[i]), 0);
			count++;
		}
		in[i] = !in[i];
		assert_int_equal(m.count, count);
		i = next_random() % KEYS;
		assert_ptr_equal(
		    map_get(&m, key_of(i)), in[i] ? &values[i] : NULL);
	}
	for (size_t i = 0; i < KEYS; i++)
		assert_ptr_equal(
		    map_get(&m, key_of(i)), in[i] ? &values[i] : NULL);
	map_release(&m);
}

static uint64_t
key_consecutive(uint64_t i)
{
	return i + 1;
}

static uint64_t
key_scattered(uint64_t i)
{
	return (i + 1) * UINT64_C(0xD6E8FEB86659FD93);
}

/* These differ in bits that the spreading throws away: one long run. */
static uint64_t
key_crowded(uint64_t i)
{
	return (i + 1) << 50;
}

static void
test_against_array(void **state)
{
	(void)state;
	against_array(key_consecutive);
	against_array(key_scattered);
	against_array(key_crowded);
}

static void
test_walk_visits_each_once(void **state)
{
	char values[100];
	int seen[100] = { 0 };
	struct map m;
	char *v;

	(void)state;
	map_init(&m);
	for (size_t i = 0; i < COUNT_OF(values); i++)
		assert_int_equal(map_put(&m, i * i + 1, &values[i]), 0);
	for (size_t at = 0; (v = map_walk(&m, &at)) != NULL;)
		seen[v - values]++;
	for (size_t i = 0; i < COUNT_OF(seen); i++)
		assert_int_equal(seen[i], 1);
	map_release(&m);
}

/* The length counts, so "a" and "a\0" differ; the secret counts, so a peer
 * cannot compute collisions; 0 is no key. */
static void
test_hash(void **state)
{
	struct hash_key k = { 1, 2 }, other = { 1, 3 };
	const char text[] = "0123456789abcdef\0\0\0";

	(void)state;
	for (size_t a = 0; a < sizeof(text); a++) {
		assert_int_not_equal(hash_bytes(&k, text, a), 0);
		assert_true(
		    hash_bytes(&k, text, a) != hash_bytes(&other, text, a));
		assert_true(hash_bytes(&k, text, a) == hash_bytes(&k, text, a));
		for (size_t b = 0; b < a; b++)
			assert_true(
			    hash_bytes(&k, text, a) != hash_bytes(&k, text, b));
	}
}

/* The reference implementation's vector for SipHash-1-3: key 00..0f. */
static void
test_hash_is_siphash(void **state)
{
	struct hash_key k;
	unsigned char bytes[16], text[64];

	(void)state;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)i;
	memcpy(&k, bytes, sizeof(k));
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (unsigned char)i;
	assert_true(hash_bytes(&k, text, 0) == UINT64_C(0xabac0158050fc4dc));
	assert_true(hash_bytes(&k, text, 1) == UINT64_C(0xc9f49bf37d57ca93));
	assert_true(hash_bytes(&k, text, 2) == UINT64_C(0x82cb9b024dc7d44d));
	assert_true(hash_bytes(&k, text, 8) == UINT64_C(0x369095118d299a8e));
}

static void
test_hash_key_is_secret(void **state)
{
	struct hash_key a, b;

	(void)state;
	hash_key_init(&a);
	hash_key_init(&b);
	assert_memory_not_equal(&a, &b, sizeof(a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_against_array),
		cmocka_unit_test(test_walk_visits_each_once),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_hash_is_siphash),
		cmocka_unit_test(test_hash_key_is_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
