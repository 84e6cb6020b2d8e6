/*
 * api/padding.h - fill for browsers that show nothing before so many bytes.
 *
 * Owner: the endpoint.  Thread: loop.  Source: push-stream.md section 9.5.
 */
#ifndef API_PADDING_H
#define API_PADDING_H

#include "api/format.h"
#include "base/base.h"
#include "base/payload.h"

struct padding; /* the patterns of one location; opaque */

/* The least bytes of a header and of a message; 0: no padding. */
struct padding_min {
	uint32_t header;
	uint32_t message;
};

/* Text as in push_stream_padding_by_user_agent; *out is NULL when it is
 * empty.  ERR_CONFIG: `why` says what is wrong with it. */
int padding_new(const char *text, struct padding **out,
    char why[SETTINGS_WHY_SIZE]) MUST_CHECK;
void padding_free(struct padding **p);

/* What this user agent needs; p may be NULL. */
struct padding_min padding_find(const struct padding *p, struct slice agent);

/* What follows a piece of `len` bytes that is to have `min`, with a reference
 * for the caller; NULL: nothing (or no memory: then the padding is left out). */
struct payload *padding_make(const struct padding *p, enum framing framing,
    enum compat compat, size_t len, uint32_t min);

#endif
