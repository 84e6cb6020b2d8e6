/*
 * fcgi/http_head.h - the head of an HTTP request as CGI parameters.
 *
 * They are those that nginx's fastcgi_params would send for the same request.
 * Owner: the session.  Thread: loop.
 */
#ifndef FCGI_HTTP_HEAD_H
#define FCGI_HTTP_HEAD_H

#include "base/base.h"

#include <arpa/inet.h>

#include "api/request.h"
#include "base/cidr.h"
#include "fcgi/http_codec.h"

#define PORT_SIZE 6

/* Both ends of a connection, as text. */
struct http_peer {
	bool local;	  /* by a unix socket: a front on this machine */
	bool tls;	  /* the client speaks TLS to us */
	uint64_t network; /* whom it is counted with; 0: nobody */
	char addr[INET6_ADDRSTRLEN], port[PORT_SIZE];
	char our_addr[INET6_ADDRSTRLEN], our_port[PORT_SIZE];
};

/* ERR_SYSTEM: the client has gone already. */
int http_peer_init(struct http_peer *p, int fd) MUST_CHECK;
bool http_peer_trusted(
    const struct http_peer *p, const struct cidr_list *trusted);

struct http_head {
	bool is_head;	/* its method is HEAD; the api is asked for GET */
	bool star;	/* OPTIONS *: about us, not about a resource */
	bool authority; /* the target named the host */
	bool forwarded; /* there are fields of proxies */
};

/* The items of http_read(), in their order.  0 or ERR_*: what to answer. */
int http_head_line(struct http_head *h, struct params *p,
    const struct http_item *line, uint8_t minor) MUST_CHECK;
int http_head_field(struct http_head *h, struct params *p,
    const struct http_item *field) MUST_CHECK;
/* trusted: peers whose X-Forwarded-For and -Proto are believed. */
int http_head_end(const struct http_head *h, struct params *p,
    const struct http_peer *peer, const struct cidr_list *trusted) MUST_CHECK;

/* Decode and normalise a path as nginx does.  Its length, or ERR_SYNTAX. */
ssize_t http_path(struct slice raw, char out[HTTP_LINE_MAX]) MUST_CHECK;

#endif
