/*
 * api/path.c - channel paths and their decoding.
 *
 * The grammar is the module's: the path is cut at each slash, a suffix
 * ".b<digits>" before a slash or the end is the backtrack count, a slash at
 * the very end is ignored, and an empty id is an id.
 */
#include "api/path.h"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void
path_take_backtrack(struct path_item *it)
{
	size_t at = it->id.len;
	uint32_t n = 0;

	while (at > 0 && is_digit(it->id.ptr[at - 1]))
		at--;
	if (at == it->id.len || at < 2 || it->id.ptr[at - 1] != 'b' ||
	    it->id.ptr[at - 2] != '.')
		return;
	for (size_t i = at; i < it->id.len; i++) {
		uint32_t digit = (uint32_t)(it->id.ptr[i] - '0');

		n = n > (UINT32_MAX - digit) / 10 ? UINT32_MAX : n * 10 + digit;
		if (n == UINT32_MAX)
			break;
	}
	it->backtrack = n;
	it->id.len = at - 2;
}

int
path_parse(struct slice text, struct path *out)
{
	size_t at = 0;

	out->n = 0;
	while (at < text.len) {
		const char *slash = memchr(text.ptr + at, '/', text.len - at);
		size_t end =
		    slash != NULL ? (size_t)(slash - text.ptr) : text.len;
		struct path_item *it;

		if (out->n == PATH_CHANNELS_MAX)
			return ERR_TOOBIG;
		it = &out->item[out->n++];
		it->id = (struct slice){ text.ptr + at, end - at };
		it->backtrack = 0;
		path_take_backtrack(it);
		at = end + 1;
	}
	return 0;
}

void
path_single(struct slice text, struct path *out)
{
	out->n = text.len != 0;
	out->item[0] = (struct path_item){ text, 0 };
}

static int
hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Most ids are nothing but themselves. */
static bool
is_coded(struct slice text)
{
	return text.len != 0 &&
	    (memchr(text.ptr, '%', text.len) != NULL ||
		memchr(text.ptr, '?', text.len) != NULL);
}

int
path_decode(struct slice text, struct buf *out)
{
	size_t start = out->len, i = 0;
	int err, high, low;
	char c;

	err = buf_reserve(out, text.len);
	if (err != 0)
		return err;
	if (!is_coded(text))
		return buf_append(out, text.ptr, text.len);
	while (i < text.len) {
		c = text.ptr[i++];
		if (c == '%') {
			if (i == text.len)
				break;
			high = hex_digit(text.ptr[i]);
			if (high < 0) {
				/* Only the '%' is dropped; what follows it
				 * is taken as it is, a '%' or '?' too. */
				out->data[out->len++] = text.ptr[i++];
				continue;
			}
			if (++i == text.len)
				break;
			low = hex_digit(text.ptr[i++]);
			if (low < 0)
				continue; /* the whole escape is */
			c = (char)(high << 4 | low);
		}
		out->data[out->len++] = c;
		if (c == '?') {
			/* Decoding ends here; what follows is cut off, but
			 * only if something was decoded before. */
			if (out->len - start == i)
				return buf_append(
				    out, text.ptr + i, text.len - i);
			break;
		}
	}
	return 0;
}
