/*
 * base/buf.c - bounded growth by doubling.
 *
 * One allocation, contiguous bytes: what we hold is heads, parameters and
 * bodies of known bounds, so a chain of chunks would buy nothing.
 */
#include "base/buf.h"

#include <stdio.h>

#define BUF_FIRST_CAP 256

void
buf_init(struct buf *b, size_t max)
{
	b->data = NULL;
	b->len = 0;
	b->cap = 0;
	b->max = max;
}

void
buf_release(struct buf *b)
{
	free(b->data);
	buf_init(b, b->max);
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
}

static int
buf_grow(struct buf *b, size_t more)
{
	size_t cap;
	char *data;

	if (more <= b->cap - b->len)
		return 0;
	cap = MAX_OF(b->cap, BUF_FIRST_CAP);
	while (cap < b->len + more)
		cap = cap > SIZE_MAX / 2 ? b->len + more : cap * 2;
	/* The last step may overshoot the bound, the length may not. */
	data = realloc(b->data, cap);
	if (data == NULL)
		return ERR_NOMEM;
	b->data = data;
	b->cap = cap;
	return 0;
}

int
buf_reserve(struct buf *b, size_t more)
{
	if (more > b->max || b->len > b->max - more)
		return ERR_TOOBIG;
	return buf_grow(b, more);
}

int
buf_append(struct buf *b, const void *data, size_t len)
{
	int err;

	if (len == 0)
		return 0;
	/* A request is made of a hundred small ones that fit. */
	if (len > b->cap - b->len || len > b->max - b->len) {
		err = buf_reserve(b, len);
		if (err != 0)
			return err;
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

int
buf_text(struct buf *b, const char *text)
{
	return buf_append(b, text, strlen(text));
}

int
buf_json(struct buf *b, struct slice text)
{
	int err = 0;

	for (size_t i = 0; i < text.len && err == 0; i++) {
		unsigned char byte = (unsigned char)text.ptr[i];

		if (byte < 0x20)
			err = buf_printf(b, "\\u%04x", byte);
		else if (byte == '"' || byte == '\\')
			err = buf_printf(b, "\\%c", byte);
		else
			err = buf_append(b, &byte, 1);
	}
	return err;
}

int
buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	size_t room = b->cap - b->len;
	va_list again;
	int err, len;

	/* Most often it fits where it is. */
	va_copy(again, ap);
	len = vsnprintf(room != 0 ? b->data + b->len : NULL, room, fmt, again);
	va_end(again);
	if (len < 0)
		return ERR_SYNTAX;
	if ((size_t)len > b->max || b->len > b->max - (size_t)len)
		return ERR_TOOBIG;
	if ((size_t)len >= room) {
		err = buf_grow(b, (size_t)len + 1); /* with its NUL */
		if (err != 0)
			return err;
		(void)vsnprintf(b->data + b->len, (size_t)len + 1, fmt, ap);
	}
	b->len += (size_t)len;
	return 0;
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int err;

	va_start(ap, fmt);
	err = buf_vprintf(b, fmt, ap);
	va_end(ap);
	return err;
}
