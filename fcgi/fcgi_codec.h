/*
 * fcgi/fcgi_codec.h - FastCGI 1.0 as pure bytes: records, pairs, answers.
 *
 * Owner: the session, which embeds the readers.  Thread: loop.  Wire
 * constants are those of <fastcgi.h>.
 */
#ifndef FCGI_FCGI_CODEC_H
#define FCGI_FCGI_CODEC_H

#include "base/base.h"

#include <fastcgi.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "fcgi/codec.h"

/* Records. */

struct fcgi_reader { /* zeroed: before a record */
	uint8_t head[FCGI_HEADER_LEN];
	uint8_t have;	 /* bytes of head */
	uint8_t padding; /* still to skip */
	uint16_t left;	 /* content still to come */
};

/* Some content of one record, in the order of arrival. */
struct fcgi_piece {
	uint8_t type;
	uint16_t id;
	uint16_t length; /* of the whole record's content */
	bool last;	 /* the record's content ends here */
	struct slice content;
};

/* DONE: *piece is filled, its bytes lie in `in`.  An empty record is one
 * empty piece.  BAD: not version 1. */
enum codec fcgi_read(
    struct fcgi_reader *r, struct slice *in, struct fcgi_piece *piece);

/* Name-value pairs. */

struct fcgi_pairs {
	struct buf rest; /* a pair that has not come whole */
};

typedef int fcgi_pair_f(void *arg, struct slice name, struct slice value);

/* One pair's name and value may have max_bytes together. */
void fcgi_pairs_init(struct fcgi_pairs *p, size_t max_bytes);
void fcgi_pairs_release(struct fcgi_pairs *p);

/* Call f for every pair that is complete.  ERR_TOOBIG as soon as a pair's
 * lengths are known to pass the bound, ERR_NOMEM, or what f returned. */
int fcgi_pairs_feed(struct fcgi_pairs *p, struct slice in, fcgi_pair_f *f,
    void *arg) MUST_CHECK;
bool fcgi_pairs_complete(const struct fcgi_pairs *p);

/* What we say. */

#define FCGI_END_LEN sizeof(FCGI_EndRequestRecord)
#define FCGI_UNKNOWN_LEN sizeof(FCGI_UnknownTypeRecord)
#define FCGI_VALUES_LEN 128 /* room for all three values */

enum fcgi_value { /* what GET_VALUES may ask for */
	FCGI_VALUE_MAX_CONNS = 1,
	FCGI_VALUE_MAX_REQS = 2,
	FCGI_VALUE_MPXS_CONNS = 4,
};

unsigned fcgi_value_bit(struct slice name); /* 0: unknown */
void fcgi_put_end(uint8_t out[FCGI_END_LEN], uint16_t id, uint8_t status);
void fcgi_put_unknown(uint8_t out[FCGI_UNKNOWN_LEN], uint8_t type);
size_t fcgi_put_values(
    uint8_t out[FCGI_VALUES_LEN], unsigned asked, unsigned max_connections);

#define FCGI_FINISH_LEN (FCGI_HEADER_LEN + FCGI_END_LEN)

/* The end of an answer that was sent in parts: STDOUT's, then the request's. */
void fcgi_put_finish(uint8_t out[FCGI_FINISH_LEN], uint16_t id);

/*
 * An answer, or a part of one, on the wire: STDOUT records, and END_REQUEST
 * after a whole one.  Record k starts at k * 65,536, so any place in it is
 * found without keeping state.
 */
#define FCGI_CONTENT_MAX 65528 /* with its head: 64 KiB */
#define FCGI_FRAMES_MAX 16     /* records, and answers, in one write */

enum fcgi_shape {
	FCGI_PART,
	FCGI_WHOLE
};

struct fcgi_frames {
	unsigned n; /* of iov[], which points to heads[] and ends[] too */
	unsigned n_heads, n_ends;
	struct iovec iov[3 * FCGI_FRAMES_MAX];
	uint8_t heads[FCGI_FRAMES_MAX][FCGI_HEADER_LEN];
	uint8_t ends[FCGI_FRAMES_MAX][FCGI_END_LEN];
};

static inline void
fcgi_frames_init(struct fcgi_frames *f)
{
	f->n = f->n_heads = f->n_ends = 0;
}

size_t fcgi_answer_size(size_t len, enum fcgi_shape shape);
/* Add what follows `off`, as much as fits, of up to FCGI_FRAMES_MAX answers.
 * False when there is more of it: then it was the last. */
bool fcgi_frames_add(struct fcgi_frames *f, uint16_t id, enum fcgi_shape shape,
    struct slice answer, size_t off);
/* Likewise bytes that need no framing. */
void fcgi_frames_add_raw(struct fcgi_frames *f, struct slice bytes);

#endif
