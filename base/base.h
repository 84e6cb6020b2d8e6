/* base/base.h - what every file includes first: config, types, errors. */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "base/err.h"

#define PRINTF_LIKE(f, a) __attribute__((__format__(__printf__, f, a)))
#define MUST_CHECK __attribute__((__warn_unused_result__))

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))

/* The object that embeds `member` at `ptr`. */
#define CONTAINER_OF(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/*
 * Objects that travel as void * carry a magic as their first member, and are
 * read back with OBJ_CAST: a wrong or freed object stops us at once, instead
 * of a thousand instructions later.
 */
#define OBJ_CAST(to, from, magic_value) \
	do { \
		(to) = (from); \
		assert((to) != NULL); \
		assert((to)->magic == (magic_value)); \
	} while (0)

/* A run of bytes that somebody else owns. */
struct slice {
	const char *ptr;
	size_t len;
};

/* A slice of a string literal. */
#define SLICE(literal) ((struct slice){ literal, sizeof(literal) - 1 })
#define SLICE_INIT(literal) \
	{ \
		literal, sizeof(literal) - 1 \
	}

static inline bool
slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len &&
	    (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool
slice_is(struct slice s, const char *text)
{
	size_t len = strlen(text);

	return s.len == len && (len == 0 || memcmp(s.ptr, text, len) == 0);
}

#endif
