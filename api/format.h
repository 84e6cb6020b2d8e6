/*
 * api/format.h - how messages, pings and goodbyes look to a location's readers.
 *
 * A format is made from templates, framing and version.  It is interned, so
 * locations whose messages look alike share it, and a message is rendered
 * once for all its readers.  Reference counted.  Thread: loop.
 *
 * Source: push-stream.md sections 8.6, 9, 10.2 and 15.
 */
#ifndef API_FORMAT_H
#define API_FORMAT_H

#include "api/bitrix/look.h"
#include "api/settings.h"
#include "api/template.h"
#include "base/base.h"
#include "base/limit.h"
#include "base/map.h"
#include "base/payload.h"

enum framing {
	FRAMING_PLAIN,
	FRAMING_EVENTSOURCE,
	FRAMING_WEBSOCKET, /* each piece is a text frame */
	FRAMING_BITRIX	   /* of a queue server; see api/bitrix/look.h */
};

struct format; /* opaque */

struct formats {
	struct map map;
	struct hash_key hash_key;
	struct format *rendered;	     /* those that hold a rendering */
	size_t rendered_bytes, rendered_max; /* of those */
	uint64_t *renders;		     /* counts them */
	struct limits *limits; /* likewise when they are forgotten early */
};

void formats_init(struct formats *f, uint64_t *renders, struct limits *limits);
/* Nobody may hold a format any more. */
void formats_release(struct formats *f);

/* The format that these settings ask for, with a reference. */
int format_get(struct formats *f, const struct settings *s,
    enum framing framing, struct format **out) MUST_CHECK;
/* Of a Bitrix client: no header, no footer. */
int format_get_bitrix(struct formats *f, const struct bx_look *look,
    struct format **out) MUST_CHECK;
struct format *format_ref(struct format *f);
void format_unref(struct format **f);

/* Pieces of a stream that are always the same; NULL: nothing is sent.  The
 * format keeps its reference. */
struct payload *format_header(const struct format *f);
struct payload *format_footer(const struct format *f);
struct payload *format_ping(const struct format *f);

/* A message of ours has a negative id and cursor 0. */
struct format_key {
	uint64_t channel; /* number; 0: none */
	int64_t id;
	uint64_t cursor;
	uint64_t user; /* FRAMING_BITRIX: for this reader alone; else 0 */
};

/*
 * A message as one piece, with a reference for the caller; NULL: no memory, or
 * too large.  Asked for again with the same key it is the same payload, until
 * a message with another key is rendered in any format.
 */
struct payload *format_message(struct format *f, const struct format_key *key,
    const struct template_values *v);
/* The same if it is there already, else NULL: for the thousands who come
 * after the first. */
struct payload *format_again(
    const struct format *f, const struct format_key *key);

#endif
