/*
 * tests/fuzz/check.h - what must hold whatever the bytes are, and how an input
 * of several texts is taken apart.
 */
#ifndef TESTS_FUZZ_CHECK_H
#define TESTS_FUZZ_CHECK_H

#include "base/base.h"

#define CHECK(c) \
	do { \
		if (!(c)) \
			abort(); \
	} while (0)

/* The bytes up to a NUL or the end; *data and *size are moved past it. */
static inline struct slice
take_text(const uint8_t **data, size_t *size)
{
	const uint8_t *end = *size != 0 ? memchr(*data, '\0', *size) : NULL;
	size_t len = end != NULL ? (size_t)(end - *data) : *size;
	struct slice text = { (const char *)*data, len };

	len += end != NULL;
	*data += len;
	*size -= len;
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
