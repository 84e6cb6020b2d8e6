/*
 * tests/unit/slow.h - how many times as long everything may take: TEST_SLOWNESS,
 * which `make check-valgrind` sets, or once.
 */
#ifndef TESTS_UNIT_SLOW_H
#define TESTS_UNIT_SLOW_H

#include <stdint.h>
#include <stdlib.h>

static inline uint64_t
slowness(void)
{
	const char *text = getenv("TEST_SLOWNESS");

	return text != NULL ? strtoull(text, NULL, 10) : 1;
}

#endif
