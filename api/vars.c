/* api/vars.c - nginx's variables, the few that a push location needs. */
#include "api/vars.h"

#include <ctype.h>
#include <strings.h>

static const struct {
	const char *name;
	const char *param;
} plain_vars[] = {
	{ "args", "QUERY_STRING" },
	{ "query_string", "QUERY_STRING" },
	{ "uri", "DOCUMENT_URI" },
	{ "document_uri", "DOCUMENT_URI" },
	{ "request_uri", "REQUEST_URI" },
	{ "request_method", "REQUEST_METHOD" },
	{ "remote_addr", "REMOTE_ADDR" },
	{ "host", "HTTP_HOST" },
};

struct slice
query_arg(struct slice query, struct slice name)
{
	size_t at = 0;

	while (at < query.len) {
		const char *p = query.ptr + at;
		const char *amp = memchr(p, '&', query.len - at);
		size_t len = amp != NULL ? (size_t)(amp - p) : query.len - at;

		if (len > name.len && p[name.len] == '=' &&
		    strncasecmp(p, name.ptr, name.len) == 0)
			return (struct slice){ p + name.len + 1,
				len - name.len - 1 };
		at += len + 1;
	}
	return (struct slice){ NULL, 0 };
}

static bool
has_prefix(struct slice s, const char *prefix)
{
	size_t len = strlen(prefix);

	return s.len > len && memcmp(s.ptr, prefix, len) == 0;
}

static struct slice
slice_from(struct slice s, size_t at)
{
	return (struct slice){ s.ptr + at, s.len - at };
}

/* $http_if_none_match -> HTTP_IF_NONE_MATCH */
static struct slice
http_header(const struct params *p, struct slice name)
{
	for (uint32_t i = 0; i < p->n; i++) {
		struct slice n = param_name(p, &p->list[i]);

		if (n.len == name.len &&
		    strncasecmp(n.ptr, name.ptr, name.len) == 0 &&
		    memcmp(n.ptr, "HTTP_", 5) == 0)
			return param_value(p, &p->list[i]);
	}
	return (struct slice){ NULL, 0 };
}

/* p NULL: only whether the name is known. */
static bool
var_value(const struct params *p, struct slice name, struct slice *value)
{
	*value = (struct slice){ NULL, 0 };
	if (has_prefix(name, "arg_")) {
		if (p != NULL)
			*value = query_arg(
			    params_get(p, "QUERY_STRING"), slice_from(name, 4));
		return true;
	}
	if (has_prefix(name, "http_")) {
		if (p != NULL)
			*value = http_header(p, name);
		return true;
	}
	for (size_t i = 0; i < COUNT_OF(plain_vars); i++) {
		if (slice_is(name, plain_vars[i].name)) {
			if (p != NULL)
				*value = params_get(p, plain_vars[i].param);
			return true;
		}
	}
	return false;
}

/* The name after the '$' at text.ptr[*at]; *at is moved past it. */
static struct slice
var_name(struct slice text, size_t *at)
{
	bool braces;
	size_t from;

	from = ++*at;
	braces = from < text.len && text.ptr[from] == '{';
	if (braces)
		*at = ++from;
	while (*at < text.len &&
	    (isalnum((unsigned char)text.ptr[*at]) || text.ptr[*at] == '_'))
		++*at;
	if (braces) {
		if (*at == text.len || text.ptr[*at] != '}')
			return (struct slice){ NULL, 0 };
		return (struct slice){ text.ptr + from, (*at)++ - from };
	}
	return (struct slice){ text.ptr + from, *at - from };
}

static int
vars_walk(const struct params *p, struct slice text, struct buf *out)
{
	struct slice value;
	size_t at = 0, from;
	int err = 0;

	while (at < text.len && err == 0) {
		if (text.ptr[at] != '$') {
			for (from = at; at < text.len && text.ptr[at] != '$';)
				at++;
			value = (struct slice){ text.ptr + from, at - from };
		} else if (at + 1 < text.len && text.ptr[at + 1] == '$') {
			value = (struct slice){ "$", 1 };
			at += 2;
		} else if (!var_value(p, var_name(text, &at), &value)) {
			return ERR_SYNTAX;
		}
		if (out != NULL)
			err = buf_append(out, value.ptr, value.len);
	}
	return err;
}

int
vars_expand(const struct params *p, struct slice text, struct buf *out)
{
	return vars_walk(p, text, out);
}

bool
vars_ok(struct slice text)
{
	return vars_walk(NULL, text, NULL) == 0;
}
