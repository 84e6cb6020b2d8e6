/*
 * base/buf.c - bounded growth by doubling.
 *
 * One allocation, contiguous bytes: what we hold is heads, parameters and
 * bodies of known bounds, so a chain of chunks would buy nothing.
 */
#include "base/buf.h"

#include <stdio.h>

#include "base/utf8.h"

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

static int
buf_enlarge(struct buf *b, size_t more)
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
buf_grow(struct buf *b, size_t more)
{
	if (more > b->max || b->len > b->max - more)
		return ERR_TOOBIG;
	return buf_enlarge(b, more);
}

int
buf_text(struct buf *b, const char *text)
{
	return buf_append(b, text, strlen(text));
}

int
buf_number(struct buf *b, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n != 0);
	return buf_append(b, digits + at, sizeof(digits) - at);
}

static int
put_json_char(struct buf *b, const char *c, size_t n)
{
	unsigned char byte = (unsigned char)*c;

	if (n == 0)
		return buf_text(b, UTF8_REPLACEMENT);
	if (byte < 0x20)
		return buf_printf(b, "\\u%04x", byte);
	if (byte == '"' || byte == '\\')
		return buf_printf(b, "\\%c", byte);
	return buf_append(b, c, n);
}

/* How many of the first bytes mean themselves in JSON. */
static size_t
plain_run(struct slice text)
{
	/* All of ASCII but controls, the quote and the backslash. */
	static const bool plain[256] = { [' '] = true,
		['!'] = true,
		['#' ... '['] = true,
		[']' ... '~'] = true };
	size_t n = 0;

	while (n < text.len && plain[(unsigned char)text.ptr[n]])
		n++;
	return n;
}

int
buf_json(struct buf *b, struct slice text)
{
	int err = 0;

	while (text.len != 0 && err == 0) {
		size_t n = plain_run(text);

		if (n != 0) { /* all of it, most often */
			err = buf_append(b, text.ptr, n);
			text = (struct slice){ text.ptr + n, text.len - n };
			continue;
		}
		n = utf8_char(text);

		err = put_json_char(b, text.ptr, n);
		n = MAX_OF(n, 1);
		text = (struct slice){ text.ptr + n, text.len - n };
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
		err = buf_enlarge(b, (size_t)len + 1); /* with its NUL */
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
