/*
 * api/vars.h - variables in settings: $arg_NAME, $http_NAME, $uri, ...
 *
 * They are expanded in holdfast.conf's complex settings, and in parameters
 * only when the front sends `holdfast_expand on`: what nginx has expanded
 * already must not be looked at again, or a client could smuggle variables
 * in.  Known: arg_*, http_*, args, query_string, uri, document_uri,
 * request_uri, request_method, remote_addr, host; "$$" is one dollar.
 */
#ifndef API_VARS_H
#define API_VARS_H

#include "api/request.h"

/* ERR_SYNTAX: an unknown variable or a lone '$'. */
int vars_expand(
    const struct params *p, struct slice text, struct buf *out) MUST_CHECK;
/* Would vars_expand() take it? */
bool vars_ok(struct slice text);
/* The raw value of a query argument, names compared without case, as nginx
 * does for $arg_NAME.  NULL ptr: absent. */
struct slice query_arg(struct slice query, struct slice name);

#endif
