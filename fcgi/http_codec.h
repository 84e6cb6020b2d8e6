/*
 * fcgi/http_codec.h - an HTTP/1.x request as pure bytes.
 *
 * Owner: the session, which embeds the reader.  Thread: loop.  Sizes in bytes.
 * Source: RFC 9112, read strictly: whatever two parsers could understand in
 * two ways is refused, and the connection with it.
 */
#ifndef FCGI_HTTP_CODEC_H
#define FCGI_HTTP_CODEC_H

#include "base/base.h"
#include "base/buf.h"
#include "fcgi/codec.h"

#define HTTP_LINE_MAX 16384 /* of a head; the request line is one */

enum http_phase {
	HTTP_REQUEST_LINE,
	HTTP_FIELDS,
	HTTP_LENGTH_BODY,
	HTTP_CHUNK_SIZE,
	HTTP_CHUNK_DATA,
	HTTP_CHUNK_END,
	HTTP_TRAILERS,
	HTTP_COMPLETE
};

struct http_reader {
	enum http_phase phase;
	uint8_t minor;	   /* 0 or 1 of HTTP/1.x */
	bool blank;	   /* an empty line stood before the request */
	bool host, length; /* there was a field of this name */
	bool chunked;
	bool expect; /* "100-continue", of a 1.1 client */
	bool wrong_expect;
	bool close, keep_alive, upgrade; /* said Connection */
	bool rest_used;			 /* the last item stood in `rest` */
	uint8_t chunk_end;		 /* bytes of a chunk's CRLF */
	size_t head_left;   /* bytes that the head may still have */
	size_t extra_left;  /* likewise chunk extensions, trailers */
	uint64_t left;	    /* of the body, or of the chunk */
	uint64_t body_left; /* bytes that the body may still have */
	struct buf rest;    /* a line that has not come whole */
};

enum http_kind {
	HTTP_ITEM_NONE,
	HTTP_ITEM_LINE,	 /* name: the method; value: the target */
	HTTP_ITEM_FIELD, /* value without blanks around it */
	HTTP_ITEM_HEAD,	 /* the head is over, and good */
	HTTP_ITEM_BODY,	 /* value: some of it */
	HTTP_ITEM_END	 /* the request is over */
};

struct http_item { /* valid until the next call */
	enum http_kind kind;
	struct slice name, value;
};

void http_reader_init(struct http_reader *r, size_t max_head, size_t max_body);
void http_reader_release(struct http_reader *r);

/*
 * The next item.  After HTTP_ITEM_END there is none: what is left in `in` is
 * the next request's.  BAD: *err is what to answer with.
 */
enum codec http_read(
    struct http_reader *r, struct slice *in, struct http_item *item, int *err);

/* A host, perhaps with a port: nothing that others would read as a path, a
 * user or a second host. */
bool http_is_host(struct slice s);

/* A body has begun to come, or will. */
static inline bool
http_has_body(const struct http_reader *r)
{
	return r->phase != HTTP_COMPLETE;
}

/* May the connection go on after this request, as far as the client says? */
static inline bool
http_is_kept(const struct http_reader *r)
{
	return !r->close && (r->minor == 1 || r->keep_alive);
}

#endif
