/*
 * api/reply.h - build a CGI answer: Status, header lines, blank line, body.
 *
 * Errors of appending stick: build without looking, ask reply_take() once.
 * The explicit Status line keeps Apache from evaluating If-Modified-Since
 * itself.  Source: push-stream.md section 4, RFC 3875 section 6.
 */
#ifndef API_REPLY_H
#define API_REPLY_H

#include "base/base.h"
#include "base/buf.h"
#include "base/payload.h"

#define REPLY_MAX (256u * 1024 * 1024)

struct reply {
	struct buf *b;
	int err;
};

void reply_start(struct reply *r, struct buf *scratch, int status);
void reply_field(struct reply *r, const char *name, struct slice value);
void reply_field_text(struct reply *r, const char *name, const char *value);
/* "Expires" and "Cache-Control" of section 4. */
void reply_no_cache(struct reply *r);
/* End of the head; body bytes follow in r->b. */
void reply_body(struct reply *r);
/* "Content-Length: 0" and the end of the head. */
void reply_header_only(struct reply *r);
void reply_number(struct reply *r, uint64_t n);
/* The answer, or NULL when something did not fit. */
struct payload *reply_take(struct reply *r);

/* Here, so that the length of a literal is known where it is written. */
static inline void
reply_bytes(struct reply *r, const void *data, size_t len)
{
	if (r->err == 0)
		r->err = buf_append(r->b, data, len);
}

static inline void
reply_text(struct reply *r, const char *text)
{
	reply_bytes(r, text, strlen(text));
}

#endif
