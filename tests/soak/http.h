/* tests/soak/http.h - one HTTP/1.1 answer, taken apart as it comes.
 *
 * Errors of memory end the program with a message.
 */
#ifndef SOAK_HTTP_H
#define SOAK_HTTP_H
#include <stdbool.h>
#include <stddef.h>

#define HTTP_HEAD_CAP 1024
#define HTTP_FIELD_CAP 40

struct http {
	int status;   /* 0 until the head is whole */
	bool endless; /* a stream's: its body is whole when the peer closes */
	bool chunked;
	bool sizing; /* a digit of a chunk's size came */
	bool last;   /* the chunk without bytes came */
	size_t left; /* of the body, of this chunk, or its size so far */
	size_t nhead;
	char head[HTTP_HEAD_CAP];
	char *body; /* what came and was not taken yet */
	size_t nbody, cap;
};

/* Ready for the next answer; the body's memory stays. */
void http_begin(struct http *h, bool endless);

/* 1 when the answer is whole, 0 when more has to come, -1 when it is none. */
int http_feed(struct http *h, const char *p, size_t n);

/* The peer has closed: 1 when that is the answer's end, else -1. */
int http_end(const struct http *h);

/* A field of the head, or "" without it. */
void http_field(
    const struct http *h, const char *name, char out[static HTTP_FIELD_CAP]);

/* Take the first n bytes of the body away. */
void http_take(struct http *h, size_t n);
#endif
