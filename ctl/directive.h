/*
 * ctl/directive.h - the module's directives, as far as moving them needs it.
 *
 * Constant; names, scopes and help are those of api/settings.tbl.
 */
#ifndef CTL_DIRECTIVE_H
#define CTL_DIRECTIVE_H

#include "ctl/nginx_conf.h"

enum directive_scope {
	SCOPE_LOCATION, /* becomes a parameter of each location */
	SCOPE_STORE,	/* goes to holdfast.conf */
	SCOPE_ACCEPTED	/* has no effect outside nginx */
};

struct directive {
	const char *name;
	const char *type; /* as the table writes it */
	enum directive_scope scope;
	const char *field; /* shared by names of the same meaning */
	const char *help;
};

const struct directive *directive_at(size_t i); /* NULL past the last */
bool directive_has_type(const struct directive *d, const char *type);
bool directive_is_selector(const struct directive *d);
/* Did nginx expand variables in its value? */
bool directive_is_complex(const struct directive *d);
/* Does the name belong to the module's versions 0.3.x only? */
bool directive_is_old(const struct directive *d);

/* Is it the module's, known or not?  Also `set $push_stream_channel_id X`. */
bool directive_is_module(const struct nginx_node *n);
/* Which one, and at which word its value stands; NULL: none that is known. */
const struct directive *directive_of(const struct nginx_node *n, size_t *value);

#endif
