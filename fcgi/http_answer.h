/*
 * fcgi/http_answer.h - from a CGI answer to an HTTP/1.x response.
 *
 * A message for thousands is one payload; what HTTP makes of it is made once
 * for all who read it the same way and are told in the same turn.
 * Owner: the gateway.  Thread: loop.  Source: RFC 3875 section 6, RFC 9112.
 */
#ifndef FCGI_HTTP_ANSWER_H
#define FCGI_HTTP_ANSWER_H

#include "base/base.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/payload.h"

#define HTTP_ANSWERS_KEPT 4

enum http_shape {
	HTTP_WHOLE, /* head and all of the body */
	HTTP_FIRST, /* the head, and perhaps the body's begin */
	HTTP_CHUNK, /* more of the body, as a chunk */
	HTTP_SWITCH /* a head with status 101, which begins a tunnel */
};

struct http_how {
	uint8_t shape; /* enum http_shape */
	uint8_t minor; /* of the request's HTTP/1.x */
	bool keep;     /* the connection goes on */
	bool no_body;  /* an answer to HEAD */
};

struct http_answers {
	struct {
		struct payload *from, *to;
		struct http_how how;
	} kept[HTTP_ANSWERS_KEPT];
	unsigned next;
	struct buf out; /* scratch */
	int64_t date_s;
	char date[HTTP_DATE_SIZE];
};

void http_answers_init(struct http_answers *a);
void http_answers_release(struct http_answers *a);
/* At the end of a turn: let go of what was kept. */
void http_answers_forget(struct http_answers *a);

/* With a reference for the caller; NULL when there is no memory. */
struct payload *http_answer(
    struct http_answers *a, struct payload *cgi, struct http_how how);

#endif
