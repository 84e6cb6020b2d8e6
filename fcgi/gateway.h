/*
 * fcgi/gateway.h - every way in: connections from fronts become requests.
 *
 * Owner: daemon.  Thread: loop.  Sizes in bytes.
 */
#ifndef FCGI_GATEWAY_H
#define FCGI_GATEWAY_H

#include "api/api.h"
#include "base/base.h"
#include "base/cidr.h"
#include "base/stats.h"

struct event_base;
struct gateway; /* opaque */
struct tls_certs;

enum gateway_kind {
	GATEWAY_FASTCGI,
	GATEWAY_SCGI,
	GATEWAY_HTTP,
	GATEWAY_HTTPS
};

struct gateway_limits {
	size_t max_params; /* names and values of one request */
	size_t max_body;
	size_t max_incoming; /* of all that come in; 0: no bound */
	size_t max_outgoing; /* what waits to be written, of all; likewise */
	uint64_t request_timeout_ms; /* for a request to come whole,
						 * and for an answer to move */
	size_t max_unsent;	     /* waiting parts of streaming answers */
	uint64_t max_unsent_ms;	     /* age of the oldest of them */
	unsigned max_connections;

	/* of HTTP */
	uint64_t head_timeout_ms; /* for a head to come whole */
	uint64_t idle_timeout_ms; /* from an answer to the next request */
	unsigned max_per_address; /* connections; 0: any number */
	/* Peers who know the client better than the socket does; the caller
	 * keeps the list until he sets another. */
	const struct cidr_list *trusted;
};

struct gateway *gateway_new(struct event_base *base, struct api *api,
    struct stats *stats, const struct gateway_limits *limits);
/* Closes all connections and abandons their requests. */
void gateway_free(struct gateway **gw);

/* After a reload: for requests that begin from now on. */
void gateway_set_limits(
    struct gateway *gw, const struct gateway_limits *limits);

/* For HTTPS connections that are accepted from now on; takes its own
 * reference.  Without any no HTTPS may be accepted. */
void gateway_set_certs(struct gateway *gw, struct tls_certs *certs);

bool gateway_full(const struct gateway *gw);

/* Takes an accepted, non-blocking descriptor, and closes it even on failure.
 * control: its requests may do what only the administrator may. */
void gateway_accept(
    struct gateway *gw, int fd, enum gateway_kind kind, bool control);

/* Between these two, many messages may go to the same readers of streams: each
 * gets the first at once, and the others in few writes. */
void gateway_gather(struct gateway *gw);
void gateway_gathered(struct gateway *gw);

/* Once at the end of each turn of the loop: give up the requests of closed
 * connections (api_abandon) and free them. */
void gateway_reap(struct gateway *gw);

/* Is there somebody who keeps a connection for the next process?  Of kind
 * "fastcgi", "scgi" or "http", with nothing in flight and nothing read; the descriptor
 * stays ours.  false: he does not take it. */
typedef bool gateway_keep_f(void *arg, int fd, const char *kind);
void gateway_set_keeper(struct gateway *gw, gateway_keep_f *keep, void *arg);

/* Lame duck: idle connections are kept for the next process, or close now;
 * others when their last request is answered.  With a keeper the latter wait
 * for a second call, when nothing is in flight any more: a front that sends
 * its next request meanwhile finds it answered by the next process. */
void gateway_drain(struct gateway *gw);
/* Requests are in flight or answers are not yet written. */
bool gateway_busy(const struct gateway *gw);

/* Bytes that are coming in, and that wait to be written. */
void gateway_bytes(
    const struct gateway *gw, uint64_t *incoming, uint64_t *outgoing);

typedef void gateway_close_f(
    void *arg, const char *name, uint64_t count, const char *help);
void gateway_walk_closes(
    const struct gateway *gw, gateway_close_f *f, void *arg);

#endif
