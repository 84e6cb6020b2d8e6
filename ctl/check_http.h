/*
 * ctl/check_http.h - requests through the front, several under way at once.
 *
 * Thread: one.  Nothing moves but inside the calls that wait; each of them lets
 * all requests go on.  Times are in milliseconds of the monotonic clock, and no
 * wait goes beyond the deadline that http_new() was given.  What goes wrong
 * stands in the exchange: these calls do not fail.
 */
#ifndef CTL_CHECK_HTTP_H
#define CTL_CHECK_HTTP_H

#include "base/buf.h"

#define HTTP_ERROR_SIZE 256 /* as libcurl asks for */

/* Why nothing came that could be looked at. */
enum http_fault {
	HTTP_CUT, /* not there, or gone before its end */
	HTTP_UNTRUSTED,
	HTTP_NO_TLS,   /* https, where none could be agreed on */
	HTTP_NO_ANSWER /* there, and nothing of HTTP comes */
};

struct http; /* opaque: connections, and what is under way */

struct http_ask {
	const char *method, *url;
	const char *body;	/* NULL: none */
	const char *time, *tag; /* a position, as fields; NULL: none */
	const char *expiry;	/* of the message; NULL: no field */
	bool compressed;	/* let the front compress the answer */
	bool alone;		/* on a connection that ends with it */
};

struct exchange {
	struct http *http;
	void *easy, *fields;   /* libcurl's */
	struct buf head;       /* the fields as they came, a line each */
	struct buf body;       /* decompressed */
	int status;	       /* 0 until the head is there */
	bool done;	       /* nothing more comes */
	bool failed;	       /* and it is not whole; why is in error */
	enum http_fault fault; /* of one that failed */
	bool kept_connection;  /* it went by one that was there already */
	uint64_t began_ms, ended_ms;
	char error[HTTP_ERROR_SIZE];
};

/* insecure: any certificate will do.  NULL: no memory. */
struct http *http_new(bool insecure, uint64_t deadline_ms);
void http_free(struct http **h);
uint64_t http_left_ms(const struct http *h); /* until the deadline */

void http_begin(struct http *h, struct exchange *x, const struct http_ask *ask);
/* Gives up what is still under way: its connection is closed. */
void http_end(struct exchange *x);

/* At most so long; true: it has come. */
bool http_wait(struct exchange *x, uint64_t ms);
bool http_wait_text(struct exchange *x, const char *text, uint64_t ms);
void http_pause(struct http *h, uint64_t ms);

/* The field's first value; an empty slice with ptr NULL: there is none. */
struct slice http_field(const struct exchange *x, const char *name);
/* The next one of the same name, after the value `last`. */
struct slice http_field_next(
    const struct exchange *x, const char *name, struct slice last);

/* A connection whose bytes are the caller's: what a WebSocket needs. */
struct http_pipe {
	struct http *http;
	void *easy; /* NULL: not connected; why is in error */
	struct buf in;
	bool at_end;
	enum http_fault fault;
	char error[HTTP_ERROR_SIZE];
};

void http_pipe_open(struct http *h, struct http_pipe *p, const char *url);
void http_pipe_close(struct http_pipe *p);
bool http_pipe_send(struct http_pipe *p, const void *data, size_t len);
/* Until more has come into `in`, or so long.  true: more has come. */
bool http_pipe_receive(struct http_pipe *p, uint64_t ms);

#endif
