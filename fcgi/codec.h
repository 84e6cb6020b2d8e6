/*
 * fcgi/codec.h - what every codec answers.
 *
 * A codec turns bytes into items and back.  It is fed whatever has arrived,
 * split anywhere, takes what it uses off the front of the slice, and never
 * touches a descriptor.
 */
#ifndef FCGI_CODEC_H
#define FCGI_CODEC_H

#include "base/base.h"

enum codec {
	CODEC_MORE, /* all bytes used, no item yet */
	CODEC_DONE, /* an item; there may be bytes left */
	CODEC_BAD   /* not this protocol; the rest is worthless */
};

static inline void
slice_skip(struct slice *s, size_t len)
{
	s->ptr += len;
	s->len -= len;
}

/* CONTENT_LENGTH: digits and nothing else, as many as fit. */
static inline int
decimal_parse(struct slice s, uint64_t *out)
{
	const size_t digits_max = 18;

	if (s.len == 0 || s.len > digits_max)
		return ERR_SYNTAX;
	*out = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return ERR_SYNTAX;
		*out = *out * 10 + (uint64_t)(s.ptr[i] - '0');
	}
	return 0;
}

#endif
