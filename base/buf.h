/*
 * base/buf.h - a byte buffer that grows up to a bound and no further.
 *
 * Owner: whoever embeds it.  Thread: any, one at a time.  Sizes are bytes.
 * An append that would pass `max` fails with ERR_TOOBIG and changes nothing.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/base.h"

#include <stdarg.h>

struct buf {
	char *data; /* NULL while nothing was ever appended */
	size_t len;
	size_t cap;
	size_t max;
};

void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b); /* frees; the bound stays */
int buf_grow(struct buf *b, size_t more) MUST_CHECK; /* buf_reserve()'s */
int buf_text(struct buf *b, const char *text) MUST_CHECK;
int buf_number(struct buf *b, uint64_t n) MUST_CHECK; /* in decimal */
/* As the inside of a JSON string: quote, backslash and control characters
 * escaped, and what is not UTF-8 replaced. */
int buf_json(struct buf *b, struct slice text) MUST_CHECK;
int buf_printf(struct buf *b, const char *fmt, ...)
    PRINTF_LIKE(2, 3) MUST_CHECK;
int buf_vprintf(struct buf *b, const char *fmt, va_list ap)
    PRINTF_LIKE(2, 0) MUST_CHECK;

/* The memory is kept. */
static inline void
buf_clear(struct buf *b)
{
	b->len = 0;
}

/* A request is made of a hundred small appends that fit: no call for those. */
static inline int MUST_CHECK
buf_reserve(struct buf *b, size_t more)
{
	if (more <= b->cap - b->len && more <= b->max - b->len)
		return 0;
	return buf_grow(b, more);
}

static inline int MUST_CHECK
buf_append(struct buf *b, const void *data, size_t len)
{
	int err = buf_reserve(b, len);

	if (err != 0 || len == 0)
		return err;
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

/* Both or nothing. */
static inline int MUST_CHECK
buf_append2(struct buf *b, struct slice first, struct slice second)
{
	int err = second.len <= SIZE_MAX - first.len
	    ? buf_reserve(b, first.len + second.len)
	    : ERR_TOOBIG;

	if (err != 0)
		return err;
	if (first.len != 0)
		memcpy(b->data + b->len, first.ptr, first.len);
	b->len += first.len;
	if (second.len != 0)
		memcpy(b->data + b->len, second.ptr, second.len);
	b->len += second.len;
	return 0;
}

#endif
