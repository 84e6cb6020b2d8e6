/*
 * fcgi/scgi_codec.h - an SCGI request as pure bytes.
 *
 * Owner: the session, which embeds the reader.  Thread: loop.
 * Source: the SCGI specification of 2008 (a netstring of headers, a body).
 */
#ifndef FCGI_SCGI_CODEC_H
#define FCGI_SCGI_CODEC_H

#include "api/request.h"
#include "base/base.h"
#include "base/buf.h"
#include "fcgi/codec.h"

enum scgi_phase {
	SCGI_LENGTH, /* digits and ':' */
	SCGI_HEADERS,
	SCGI_COMMA,
	SCGI_BODY
};

struct scgi_reader {
	enum scgi_phase phase;
	uint8_t digits; /* of the netstring's length */
	bool marked;	/* "SCGI" is "1" */
	size_t left;	/* header bytes to come */
	uint64_t content_length;
	struct buf rest; /* a pair that has not come whole */
};

void scgi_reader_init(struct scgi_reader *r, size_t max_params);
void scgi_reader_release(struct scgi_reader *r);

/*
 * Fill params and body.  DONE: the request is complete, what is left in `in`
 * does not belong to it.  BAD: *err is ERR_SYNTAX, ERR_TOOBIG or ERR_NOMEM.
 */
enum codec scgi_read(struct scgi_reader *r, struct slice *in,
    struct params *params, struct buf *body, int *err);

#endif
