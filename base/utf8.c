/*
 * base/utf8.c - see utf8.h.
 *
 * Most of what is looked at is ASCII, and so is read eight bytes at a time.
 */
#include "base/utf8.h"

#define HIGH_BITS 0x8080808080808080u

size_t
utf8_read(struct slice text, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const uint8_t *p = (const uint8_t *)text.ptr;
	size_t n = p[0] < 0x80 ? 1
	    : p[0] >> 5 == 6   ? 2
	    : p[0] >> 4 == 14  ? 3
	    : p[0] >> 3 == 30  ? 4
			       : 0;
	uint32_t c;

	if (n == 0 || n > text.len)
		return 0;
	c = n == 1 ? p[0] : p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if (p[i] >> 6 != 2)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*code = c;
	return n;
}

size_t
utf8_char(struct slice text)
{
	uint32_t code;

	return utf8_read(text, &code);
}

static struct slice
behind(struct slice text, size_t n)
{
	return (struct slice){ text.ptr + n, text.len - n };
}

size_t
utf8_good(struct slice text)
{
	size_t at = 0;

	while (at < text.len) {
		uint64_t eight = HIGH_BITS;
		size_t n;

		if (text.len - at >= sizeof(eight))
			memcpy(&eight, text.ptr + at, sizeof(eight));
		n = (eight & HIGH_BITS) == 0 ? sizeof(eight)
					     : utf8_char(behind(text, at));
		if (n == 0)
			break;
		at += n;
	}
	return at;
}

int
utf8_put(struct buf *out, struct slice text)
{
	int err = 0;

	while (err == 0 && text.len != 0) {
		size_t good = utf8_good(text);

		err = buf_append(out, text.ptr, good);
		text = behind(text, good);
		if (err == 0 && text.len != 0) {
			err = buf_text(out, UTF8_REPLACEMENT);
			text = behind(text, 1);
		}
	}
	return err;
}
