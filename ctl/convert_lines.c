/*
 * ctl/convert_lines.c - the lines that an endpoint needs besides its own.
 *
 * They follow nginx-examples/: the gateway's standard parameters, the version,
 * what is inherited, the content type, and the way to Holdfast.  What the
 * location says itself about its gateway is not said again.
 */
#include "ctl/convert_priv.h"
#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>

#define MARGIN_S 50
#define SHORTEST_S 90
/* As long as a timer of nginx can run on every machine. */
#define LONGEST "24d"

/* A value as nginx has to read it now.  It did not expand the literal ones,
 * and does expand parameters. */
static void
put_value(struct convert *c, struct buf *out, struct slice raw, bool is_literal)
{
	for (size_t i = 0; i < raw.len; i++) {
		if (is_literal && raw.ptr[i] == '$') {
			c->needs_dollar = true;
			convert_keep(c, buf_text(out, "${dollar}"));
		} else {
			convert_keep(c, buf_append(out, raw.ptr + i, 1));
		}
	}
}

/* For the selectors that may stand without. */
static const char *
missing_value(const struct directive *d)
{
	if (directive_has_type(d, "SUBSCRIBER"))
		return " streaming";
	return directive_has_type(d, "PUBLISHER") ? " normal" : " on";
}

void
endpoint_param(struct convert *c, const struct endpoint *e,
    const struct nginx_node *n, struct buf *out)
{
	size_t value;
	const struct directive *d = directive_of(n, &value);
	struct slice raw, before;

	convert_keep(c, buf_printf(out, "%s_param %s", e->gateway, d->name));
	if (n->n_words <= value) {
		convert_keep(c, buf_text(out, missing_value(d)));
		return;
	}
	raw = n->words[value].raw;
	before = n->words[value - 1].raw;
	before.ptr += before.len;
	before.len = (size_t)(raw.ptr - before.ptr);
	/* The blanks between them keep columns in line. */
	convert_keep(c, buf_append(out, before.ptr, before.len));
	put_value(c, out, raw, !directive_is_complex(d));
}

/* Is `directive value` there already? */
static bool
has_line(struct nginx_node *location, const char *name, const char *value)
{
	struct nginx_node *n;

	for (n = nginx_first(location); n != NULL; n = nginx_next(n)) {
		if (nginx_is(n, name) &&
		    (value == NULL ||
			(n->n_words == 2 &&
			    slice_is(n->words[1].value, value))))
			return true;
	}
	return false;
}

static bool
is_own(const struct endpoint *e, const struct nginx_node *n)
{
	return nginx_outer(n) == e->location;
}

/* Each field once, by its first name in the table. */
static bool
is_first_of_field(size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (strcmp(directive_at(j)->field, directive_at(i)->field) == 0)
			return false;
	}
	return true;
}

static void
put_inherited(struct convert *c, const struct endpoint *e, struct buf *lines)
{
	const struct directive *d;
	const struct nginx_node *n;
	size_t value;

	for (size_t i = 0; (d = directive_at(i)) != NULL; i++) {
		if (d->scope != SCOPE_LOCATION || directive_is_selector(d) ||
		    !is_first_of_field(i))
			continue;
		n = endpoint_in_force(e, e->location, d->field);
		if (n == NULL || is_own(e, n) ||
		    directive_has_type(directive_of(n, &value), "FILE") ||
		    n->n_words != value + 1)
			continue;
		endpoint_param(c, e, n, lines);
		convert_line(c, lines, ";");
	}
}

/* The module sent nginx's default_type; 0.3.x had a directive of its own. */
static void
put_content_type(struct convert *c, const struct endpoint *e, struct buf *lines)
{
	const struct nginx_node *n;

	if ((e->kind != ENDPOINT_POLL && e->kind != ENDPOINT_STREAM) ||
	    strcmp(c->compat, "0.3.4") == 0)
		return;
	n = endpoint_nginx(e, "default_type");
	if (n == NULL || n->n_words != 2)
		return;
	convert_keep(c,
	    buf_printf(
		lines, "%s_param push_stream_content_type ", e->gateway));
	put_value(c, lines, n->words[1].raw, true);
	convert_line(c, lines, ";");
}

void
endpoint_lines_before(
    struct convert *c, const struct endpoint *e, struct buf *lines)
{
	const char *params =
	    e->kind == ENDPOINT_WEBSOCKET ? "scgi_params" : "fastcgi_params";

	if (!has_line(e->location, "include", params) &&
	    !has_line(e->location, "include", "fastcgi.conf")) {
		convert_line(c, lines, "include %s;", params);
		convert_line(c, lines, "%s", "");
	}
	convert_line(
	    c, lines, "%s_param push_stream_compat %s;", e->gateway, c->compat);
	put_inherited(c, e, lines);
	put_content_type(c, e, lines);
}

/* 0: it is not there, or no time. */
static uint64_t
time_in_force(const struct endpoint *e, const char *field)
{
	const struct nginx_node *n = endpoint_in_force(e, e->location, field);

	uint64_t ms;

	if (n == NULL || n->n_words != 2 ||
	    !parse_time_ms(n->words[1].value, &ms))
		return 0;
	return ms;
}

static bool
is_polling(const struct endpoint *e)
{
	return e->kind == ENDPOINT_POLL && e->selector->n_words == 2 &&
	    e->selector->words[1].value.len == strlen("polling");
}

/* The longest silence of Holdfast towards nginx, 0: without end. */
static uint64_t
silence_ms(const struct endpoint *e)
{
	uint64_t ttl = time_in_force(e, "subscriber_connection_ttl_ms");
	uint64_t other;

	if (e->kind == ENDPOINT_POLL) {
		other = time_in_force(e, "longpolling_connection_ttl_ms");
		return other != 0 ? other : ttl;
	}
	other = time_in_force(e, "ping_message_interval_ms");
	return ttl == 0 || (other != 0 && other < ttl) ? other : ttl;
}

static void
put_own(struct convert *c, const struct endpoint *e, struct buf *lines,
    const char *name, const char *value)
{
	if (!has_line(e->location, name, NULL))
		convert_line(c, lines, "%s %s;", name, value);
}

static void
put_read_timeout(struct convert *c, const struct endpoint *e, struct buf *lines)
{
	bool waits = e->kind != ENDPOINT_PUBLISHER &&
	    e->kind != ENDPOINT_STATISTICS && !is_polling(e);
	uint64_t s = waits ? silence_ms(e) / 1000 + MARGIN_S : SHORTEST_S;
	char name[32], value[32];

	(void)snprintf(name, sizeof(name), "%s_read_timeout", e->gateway);
	if (waits && silence_ms(e) == 0)
		(void)snprintf(value, sizeof(value), LONGEST);
	else
		(void)snprintf(value, sizeof(value), "%" PRIu64 "s",
		    MIN_OF(MAX_OF(s, SHORTEST_S), UINT64_C(24) * 86400));
	put_own(c, e, lines, name, value);
}

void
endpoint_lines_after(
    struct convert *c, const struct endpoint *e, struct buf *lines)
{
	convert_line(c, lines, "%s", "");
	if (e->kind == ENDPOINT_PUBLISHER) {
		/* The site does not wait for the answer: a publish whose
		 * client has hung up counts. */
		put_own(c, e, lines, "fastcgi_keep_conn", "on");
		put_own(c, e, lines, "fastcgi_ignore_client_abort", "on");
	}
	if (e->kind == ENDPOINT_STREAM)
		put_own(c, e, lines, "fastcgi_buffering", "off");
	put_read_timeout(c, e, lines);
	/* It would take the Etag away, which is half of a position. */
	if (e->kind == ENDPOINT_POLL)
		put_own(c, e, lines, "gzip", "off");
	if (e->kind == ENDPOINT_WEBSOCKET) {
		put_own(
		    c, e, lines, "scgi_pass", "unix:/run/holdfast/scgi.sock");
	} else if (e->kind == ENDPOINT_PUBLISHER) {
		c->needs_upstream |=
		    !has_line(e->location, "fastcgi_pass", NULL);
		put_own(c, e, lines, "fastcgi_pass", "holdfast");
	} else {
		put_own(c, e, lines, "fastcgi_pass",
		    "unix:/run/holdfast/fastcgi.sock");
	}
}
