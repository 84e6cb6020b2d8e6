/*
 * ctl/convert_location.c - a location of the module becomes one of a gateway.
 *
 * Its directives become parameters where they stand, so comments keep their
 * neighbours.  What it inherits is written out before the first of them,
 * since a location with one parameter inherits none; how to reach Holdfast
 * stands behind the last.
 */
#include "ctl/convert_priv.h"

#include <strings.h>

static bool
is_nocase(struct slice v, const char *text)
{
	return v.len == strlen(text) && strncasecmp(v.ptr, text, v.len) == 0;
}

static enum endpoint_kind
subscriber_kind(const struct nginx_node *n)
{
	static const struct {
		const char *name;
		enum endpoint_kind kind;
	} modes[] = {
		{ "streaming", ENDPOINT_STREAM },
		{ "eventsource", ENDPOINT_STREAM },
		{ "polling", ENDPOINT_POLL },
		{ "long-polling", ENDPOINT_POLL },
		{ "websocket", ENDPOINT_WEBSOCKET },
	};

	if (n->n_words == 1)
		return ENDPOINT_STREAM;
	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		if (is_nocase(n->words[1].value, modes[i].name))
			return modes[i].kind;
	}
	return ENDPOINT_WRONG;
}

static enum endpoint_kind
selector_kind(const struct nginx_node *n, const struct directive *d)
{
	if (directive_has_type(d, "SUBSCRIBER"))
		return subscriber_kind(n);
	if (directive_has_type(d, "STATISTICS"))
		return ENDPOINT_STATISTICS;
	if (directive_has_type(d, "WEBSOCKET"))
		return ENDPOINT_WEBSOCKET;
	return n->n_words == 1 || is_nocase(n->words[1].value, "normal") ||
		is_nocase(n->words[1].value, "admin")
	    ? ENDPOINT_PUBLISHER
	    : ENDPOINT_WRONG;
}

/* 0.3.x: a subscriber with this on is an EventSource one. */
static bool
is_old_eventsource(struct nginx_node *location)
{
	struct nginx_node *n =
	    nginx_find(location, "push_stream_eventsource_support");

	return n != NULL && n->n_words == 2 &&
	    is_nocase(n->words[1].value, "on");
}

bool
endpoint_find(struct nginx_node *location, struct endpoint *e)
{
	struct nginx_node *n;
	const struct directive *d;
	size_t value;

	memset(e, 0, sizeof(*e));
	e->location = location;
	for (n = nginx_first(location); n != NULL; n = nginx_next(n)) {
		d = directive_of(n, &value);
		if (d == NULL || !directive_is_selector(d) ||
		    e->selector != NULL)
			continue;
		e->selector = n;
		e->kind = selector_kind(n, d);
	}
	if (e->selector == NULL)
		return false;
	if (e->kind == ENDPOINT_POLL && is_old_eventsource(location))
		e->kind = ENDPOINT_STREAM;
	e->gateway = e->kind == ENDPOINT_WEBSOCKET ? "scgi" : "fastcgi";
	return true;
}

/*
 * In 0.3.x publishers looked at one variable and subscribers at the other, and
 * a server may have set both for all of its locations.
 */
static bool
is_for(const struct endpoint *e, const struct nginx_node *n)
{
	bool reader =
	    e->kind != ENDPOINT_PUBLISHER && e->kind != ENDPOINT_STATISTICS;

	return !nginx_is(n, "set") ||
	    reader == slice_is(n->words[1].value, "$push_stream_channels_path");
}

struct nginx_node *
endpoint_in_force(
    const struct endpoint *e, struct nginx_node *block, const char *field)
{
	struct nginx_node *n, *found = NULL;
	const struct directive *d;
	size_t value;

	for (; block != NULL && found == NULL; block = nginx_outer(block)) {
		for (n = nginx_first(block); n != NULL; n = nginx_next(n)) {
			d = directive_of(n, &value);
			if (d != NULL && strcmp(d->field, field) == 0 &&
			    is_for(e, n))
				found = n;
		}
	}
	return found;
}

struct nginx_node *
endpoint_nginx(const struct endpoint *e, const char *name)
{
	struct nginx_node *block = e->location, *n = NULL;

	for (; block != NULL && n == NULL; block = nginx_outer(block))
		n = nginx_find(block, name);
	return n;
}

/* Does this child of a location hold something of the module's? */
static bool
is_ours(struct nginx_node *n)
{
	struct nginx_node *inner = NULL;

	if (directive_is_module(n))
		return true;
	if (n->included != NULL)
		inner = nginx_next(n);
	else if (nginx_is(n, "if"))
		inner = nginx_first(n);
	for (; inner != NULL && inner != n->next; inner = nginx_next(inner)) {
		/* nginx_next() goes into what is included by itself. */
		if (inner->included == NULL && is_ours(inner))
			return true;
	}
	return false;
}

/* The lines around what the location has of the module's. */
static void
insert_lines(struct convert *c, const struct endpoint *e)
{
	struct nginx_node *first = NULL, *last = NULL;
	struct buf before, after;

	for (struct nginx_node *n = e->location->children; n != NULL;
	     n = n->next) {
		if (!is_ours(n))
			continue;
		if (first == NULL)
			first = n;
		last = n;
	}
	buf_init(&before, CONVERT_TEXT_MAX);
	buf_init(&after, CONVERT_TEXT_MAX);
	endpoint_lines_before(c, e, &before);
	endpoint_lines_after(c, e, &after);
	/* The selector is among them, so there is a first one. */
	nginx_insert_before(first, &before);
	nginx_insert_after(last, &after);
	buf_release(&before);
	buf_release(&after);
}

/* ".js", "\.json$": nginx chose a type by it. */
static bool
has_extension(const struct nginx_node *location)
{
	struct slice v = location->words[location->n_words - 1].value;
	bool letter = false;
	size_t n = 0;

	while (v.len != 0 && strchr("$)", v.ptr[v.len - 1]) != NULL)
		v.len--;
	for (; n < v.len && v.ptr[v.len - 1 - n] != '.'; n++) {
		char lower = (char)(v.ptr[v.len - 1 - n] | 0x20);

		letter |= lower >= 'a' && lower <= 'z';
		if ((lower < 'a' || lower > 'z') &&
		    (lower < '0' || lower > '9'))
			return false;
	}
	return letter && n < v.len && n <= 5;
}

void
endpoint_begin(struct convert *c, const struct endpoint *e)
{
	struct nginx_node *n = e->selector;

	if (e->kind == ENDPOINT_WRONG)
		convert_eye(c, n, "\"%.*s\" is no mode of %.*s",
		    (int)n->words[1].raw.len, n->words[1].raw.ptr,
		    (int)n->words[0].raw.len, n->words[0].raw.ptr);
	if (endpoint_in_force(e, e->location, "channels_path") == NULL)
		convert_eye(
		    c, n, "no push_stream_channels_path is in force here");
	if ((e->kind == ENDPOINT_POLL || e->kind == ENDPOINT_STREAM) &&
	    has_extension(e->location))
		convert_eye(c, e->location,
		    "nginx chose the content type by the extension; Holdfast "
		    "always sends push_stream_content_type");
	n = endpoint_in_force(e, e->location, "header_template");
	if (n != NULL && nginx_is(n, "push_stream_header_template_file"))
		output_header_file(c, e, n);
	if (e->kind == ENDPOINT_PUBLISHER)
		output_body_size(c, e);
	insert_lines(c, e);
}

static void
replace_with_param(struct convert *c, const struct endpoint *e,
    struct nginx_node *n, const char *end)
{
	struct buf b;

	buf_init(&b, CONVERT_TEXT_MAX);
	endpoint_param(c, e, n, &b);
	convert_keep(c, buf_text(&b, end));
	nginx_replace(
	    n->file, n->start, n->end, (struct slice){ b.data, b.len });
	buf_release(&b);
}

void
endpoint_directive(
    struct convert *c, const struct endpoint *e, struct nginx_node *n)
{
	size_t value;
	const struct directive *d = directive_of(n, &value);
	bool selector = directive_is_selector(d);

	if (selector && n != e->selector) {
		convert_eye(c, n, "a location is one thing only: %s on line %u",
		    "it has its endpoint", e->selector->line);
		nginx_comment(n, NULL);
	} else if (e->kind == ENDPOINT_WRONG && selector) {
		nginx_comment(n, NULL);
	} else if (n->n_words != value + 1 && !(selector && n->n_words == 1)) {
		convert_eye(c, n, "%s takes one value", d->name);
		nginx_comment(n, NULL);
	} else if (directive_has_type(d, "FILE")) {
		nginx_comment(n, "(holdfast.conf) ");
	} else if (!is_for(e, n)) {
		nginx_comment(n, "(not read here) ");
	} else {
		replace_with_param(c, e, n, ";");
	}
}

/* The variable in "($x)" or "($x != "")"; else an empty slice. */
static struct slice
tested_variable(const struct nginx_node *n, struct buf *text)
{
	struct slice v = { NULL, 0 };

	for (size_t i = 1; i < n->n_words; i++) {
		if (buf_append(text, n->words[i].value.ptr,
			n->words[i].value.len) != 0)
			return v;
	}
	if (text->len < 4 || memcmp(text->data, "($", 2) != 0)
		return v;
	v = (struct slice){ text->data + 1, text->len - 2 };
	if (v.len > 2 && memcmp(v.ptr + v.len - 2, "!=", 2) == 0)
		v.len -= 2;
	for (size_t i = 1; i < v.len; i++) {
		char c = v.ptr[i];

		if ((c < '0' || c > '9') && (c < 'A' || c > 'Z') &&
		    (c < 'a' || c > 'z') && c != '_')
			v.len = 0;
	}
	return v;
}

/* Nothing but complex directives, each with the tested variable for value,
 * and none that the location has a value for already. */
static bool
is_test_of(const struct endpoint *e, struct nginx_node *n, struct slice v)
{
	const struct directive *d;
	size_t value;

	if (v.len == 0 || n->children == NULL)
		return false;
	for (n = n->children; n != NULL; n = n->next) {
		d = directive_of(n, &value);
		if (d == NULL || !directive_is_complex(d) ||
		    n->n_words != value + 1 || nginx_is(n, "set") ||
		    !slice_equal(n->words[value].value, v) ||
		    endpoint_in_force(e, e->location, d->field) != NULL)
			return false;
	}
	return true;
}

/* Take the if away from around its directives; a comment inside stays. */
static void
unwrap(struct nginx_node *n)
{
	static const struct slice none = { "", 0 };
	const char *text = n->file->text;
	const struct nginx_node *last = n->children;
	size_t from = n->open, to = n->close;

	while (last->next != NULL)
		last = last->next;
	from += strspn(text + from, " \t\r\n");
	while (to > last->end && strchr(" \t\r\n", text[to - 1]) != NULL)
		to--;
	if (to != last->end)
		to = n->close;
	nginx_replace(n->file, n->start, from, none);
	nginx_replace(n->file, to, n->end, none);
}

bool
endpoint_if(struct convert *c, const struct endpoint *e, struct nginx_node *n)
{
	struct buf text;
	bool simple;

	buf_init(&text, NGINX_WORD_MAX);
	simple = is_test_of(e, n, tested_variable(n, &text));
	if (simple) {
		unwrap(n);
		for (struct nginx_node *i = n->children; i != NULL; i = i->next)
			replace_with_param(c, e, i, " if_not_empty;");
	}
	buf_release(&text);
	return simple;
}
