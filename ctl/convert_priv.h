/*
 * ctl/convert_priv.h - what the rooms of `holdfastctl convert` share.
 *
 * Lines are kept as nginx_edit.h has them: each ends in NUL.
 */
#ifndef CTL_CONVERT_PRIV_H
#define CTL_CONVERT_PRIV_H

#include "base/buf.h"
#include "ctl/directive.h"
#include "ctl/nginx_edit.h"
#include "ctl/nginx_load.h"

#define CONVERT_TEXT_MAX ((size_t)64 << 20)

struct convert {
	struct nginx_load load;
	const char *compat;   /* the version whose answers are asked for */
	struct buf store;     /* holdfast.conf: the store-wide lines */
	struct buf locations; /* and its location blocks */
	struct buf http;      /* for http, when no http is in the files */
	bool needs_upstream;
	bool needs_dollar;
	bool has_store; /* some http-level directive was there */
	bool has_ttl;
	bool has_max_messages;
	bool has_max_channels;
	uint64_t body_size; /* the largest that a publisher takes */
	unsigned eyes;	    /* how often somebody has to look */
	int err;	    /* the first ERR_* */
};

/* What a location is; the gateway and its lines follow from it. */
enum endpoint_kind {
	ENDPOINT_PUBLISHER,
	ENDPOINT_STATISTICS,
	ENDPOINT_POLL,	    /* polling and long-polling: one finite answer */
	ENDPOINT_STREAM,    /* streaming and EventSource */
	ENDPOINT_WEBSOCKET, /* SCGI: nginx tunnels there only */
	ENDPOINT_WRONG	    /* a mode that the module does not know */
};

struct endpoint {
	struct nginx_node *location;
	struct nginx_node *selector;
	enum endpoint_kind kind;
	const char *gateway; /* "fastcgi" or "scgi" */
};

/* A sentence about a directive, on stderr.  A file that is included
 * again is silent. */
void convert_eye(struct convert *c, const struct nginx_node *n, const char *fmt,
    ...) PRINTF_LIKE(3, 4);
/* Remember the first error; for calls whose result nobody waits for. */
void convert_keep(struct convert *c, int err);
void convert_line(struct convert *c, struct buf *lines, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* convert_location.c: one endpoint.  false: the location is none. */
bool endpoint_find(struct nginx_node *location, struct endpoint *e);
void endpoint_begin(struct convert *c, const struct endpoint *e);
void endpoint_directive(
    struct convert *c, const struct endpoint *e, struct nginx_node *n);
/* `if ($arg_x) { push_stream_y $arg_x; }`; false: it is another shape. */
bool endpoint_if(
    struct convert *c, const struct endpoint *e, struct nginx_node *n);
/* nginx's own directive that is in force in a location; or NULL. */
struct nginx_node *endpoint_nginx(const struct endpoint *e, const char *name);
/* The module's directive in force in a block, inherited or its own; or NULL. */
struct nginx_node *endpoint_in_force(
    const struct endpoint *e, struct nginx_node *block, const char *field);

/* convert_lines.c: what stands in an endpoint besides its own directives. */
void endpoint_lines_before(
    struct convert *c, const struct endpoint *e, struct buf *lines);
void endpoint_lines_after(
    struct convert *c, const struct endpoint *e, struct buf *lines);
/* "fastcgi_param NAME VALUE", without an end. */
void endpoint_param(struct convert *c, const struct endpoint *e,
    const struct nginx_node *n, struct buf *out);

/* convert_output.c: holdfast.conf, and where everything goes. */
void output_store(struct convert *c, const struct nginx_node *n);
void output_header_file(
    struct convert *c, const struct endpoint *e, const struct nginx_node *n);
/* nginx's client_max_body_size, where it lets more in than Holdfast does. */
void output_body_size(struct convert *c, const struct endpoint *e);
void output_http(struct convert *c); /* the upstream, $dollar */
int output_print(struct convert *c) MUST_CHECK;
int output_write(struct convert *c, const char *folder) MUST_CHECK;

#endif
