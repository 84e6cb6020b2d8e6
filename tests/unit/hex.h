/* tests/unit/hex.h - bytes as the specification prints them. */
#ifndef TESTS_UNIT_HEX_H
#define TESTS_UNIT_HEX_H

#include "base/buf.h"

static inline unsigned
hex_digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Append what the digits say. */
static inline void
hex_put(struct buf *out, const char *digits)
{
	for (; digits[0] != '\0' && digits[1] != '\0'; digits += 2) {
		uint8_t byte =
		    (uint8_t)(hex_digit(digits[0]) << 4 | hex_digit(digits[1]));
		int err = buf_append(out, &byte, 1);

		assert(err == 0);
	}
}

#endif
