/*
 * api/path.h - the channel path: "a/b.b3".
 *
 * Source: push-stream.md section 5.
 */
#ifndef API_PATH_H
#define API_PATH_H

#include "base/base.h"
#include "base/buf.h"

#define PATH_CHANNELS_MAX 1000 /* of one request */

struct path_item {
	struct slice id;    /* inside the path; may be empty */
	uint32_t backtrack; /* 0: none; UINT32_MAX: all */
};

struct path {
	struct path_item item[PATH_CHANNELS_MAX];
	uint32_t n;
};

/* ERR_TOOBIG: more channels than a request may name. */
int path_parse(struct slice text, struct path *out) MUST_CHECK;

/* A path of 0.3.4's publishers and statistics: one id, whatever is in it;
 * empty means none. */
void path_single(struct slice text, struct path *out);

/* URL-decode once, with nginx's rules for URIs (section 5.2). */
int path_decode(struct slice text, struct buf *out) MUST_CHECK;

#endif
