/*
 * api/endpoint.c - from parameters to an endpoint, most of the time by one
 * look into a hash table.
 *
 * The key of an endpoint is the location block, the built-in location and the
 * literal push_stream_* parameters, byte for byte.  Parsing and checking
 * values happens only when a key is new.  The number of interned endpoints is
 * bounded: a front that puts a client's bytes into a literal setting gets
 * endpoints that live as long as their request.
 */
#include "api/endpoint.h"

#include <stdio.h>

#include "api/path.h"
#include "api/vars.h"

#define ENDPOINTS_MAX 1024
#define PRIVATE_MAX ((size_t)64 << 20) /* bytes of all that are not interned */
#define KEY_MAX 65536
#define URI_MAX 65536
#define DEFAULT_MAX_ID_LENGTH 1024

static const char prefix[] = "push_stream_", bitrix_prefix[] = "bitrix_";
#define PREFIX_LEN (sizeof(prefix) - 1)

static const struct {
	struct slice name; /* without the prefix */
	enum complex which;
} complex_names[] = {
	{ SLICE_INIT("channels_path"), COMPLEX_PATH },
	{ SLICE_INIT("channel_id"), COMPLEX_PATH },
	{ SLICE_INIT("last_received_message_time"), COMPLEX_TIME },
	{ SLICE_INIT("last_received_message_tag"), COMPLEX_TAG },
	{ SLICE_INIT("last_event_id"), COMPLEX_EVENT_ID },
	{ SLICE_INIT("user_agent"), COMPLEX_AGENT },
	{ SLICE_INIT("allowed_origins"), COMPLEX_ORIGIN },
};

void
endpoints_init(struct endpoints *e, uint64_t *renders, struct limits *limits)
{
	map_init(&e->map);
	hash_key_init(&e->hash_key);
	formats_init(&e->formats, renders, limits);
	e->private = (struct quota){ 0, PRIVATE_MAX };
	e->limits = limits;
	buf_init(&e->key, KEY_MAX);
	buf_init(&e->uri, URI_MAX);
}

static void
endpoint_free(struct endpoint *ep)
{
	assert(ep->answer == NULL);
	format_unref(&ep->format);
	padding_free(&ep->padding);
	settings_release(&ep->settings);
	if (ep->charged != NULL)
		quota_give(ep->charged, ep->private_bytes);
	free((char *)(uintptr_t)ep->key.ptr);
	free(ep);
}

/* Take ep out of the table; what refers to it goes on with it. */
static void
endpoint_forget(struct endpoints *e, struct endpoint *ep)
{
	struct endpoint *head = map_remove(&e->map, ep->hash);
	struct endpoint **at = &head;
	int err;

	while (*at != ep)
		at = &(*at)->same_hash;
	*at = ep->same_hash;
	ep->same_hash = NULL;
	ep->interned = false;
	if (head != NULL) {
		err = map_put(&e->map, ep->hash, head);
		assert(err == 0); /* its slot was freed just now */
	}
}

struct endpoint *
endpoint_ref(struct endpoint *ep)
{
	ep->refs++;
	return ep;
}

/* The table holds no reference: an unused endpoint stays interned until the
 * next flush, so that a quiet location does not parse its settings anew. */
void
endpoint_unref(struct endpoint **epp)
{
	struct endpoint *ep = *epp;

	*epp = NULL;
	if (ep == NULL)
		return;
	assert(ep->refs > 0);
	if (--ep->refs == 0 && !ep->interned)
		endpoint_free(ep);
}

void
endpoints_flush(struct endpoints *e)
{
	struct endpoint *ep;

	for (;;) {
		size_t at = 0;

		ep = map_walk(&e->map, &at);
		if (ep == NULL)
			break;
		endpoint_forget(e, ep);
		if (ep->refs == 0)
			endpoint_free(ep);
	}
}

void
endpoints_release(struct endpoints *e)
{
	endpoints_flush(e);
	map_release(&e->map);
	formats_release(&e->formats);
	buf_release(&e->key);
	buf_release(&e->uri);
}

static bool
starts_with(struct slice name, const char *start, size_t len)
{
	return name.len > len && memcmp(name.ptr, start, len) == 0;
}

static bool
is_setting(struct slice name)
{
	return starts_with(name, prefix, PREFIX_LEN) ||
	    starts_with(name, bitrix_prefix, sizeof(bitrix_prefix) - 1);
}

/* Is it a value with variables, of this request? */
static bool
take_complex(struct query *q, struct slice name, struct slice value)
{
	if (!starts_with(name, prefix, PREFIX_LEN))
		return false;
	name.ptr += PREFIX_LEN;
	name.len -= PREFIX_LEN;
	for (size_t i = 0; i < COUNT_OF(complex_names); i++) {
		if (slice_equal(name, complex_names[i].name)) {
			q->complex[complex_names[i].which] = value;
			return true;
		}
	}
	return false;
}

/* Where a variable's value belongs, or NULL.  Each request asks this of all it
 * has, so the length decides first. */
static struct slice *
query_field(struct query *q, struct slice name)
{
	switch (name.len) {
	case sizeof("HTTP_HOST") - 1:
		if (slice_equal(name, SLICE("HTTP_HOST")))
			return &q->host;
		break;
	case sizeof("REMOTE_ADDR") - 1:
		if (slice_equal(name, SLICE("REMOTE_ADDR")))
			return &q->remote_addr;
		if (slice_equal(name, SLICE("HTTP_ACCEPT")))
			return &q->accept;
		break;
	case sizeof("DOCUMENT_URI") - 1:
		if (slice_equal(name, SLICE("DOCUMENT_URI")))
			return &q->uri;
		if (slice_equal(name, SLICE("QUERY_STRING")))
			return &q->args;
		if (slice_equal(name, SLICE("HTTP_UPGRADE")))
			return &q->upgrade;
		break;
	case sizeof("HTTP_EVENT_ID") - 1:
		if (slice_equal(name, SLICE("HTTP_EVENT_ID")))
			return &q->event_id;
		if (slice_equal(name, SLICE("HTTP_X_HOSTID")))
			return &q->host_id;
		break;
	case sizeof("REQUEST_METHOD") - 1:
		if (slice_equal(name, SLICE("REQUEST_METHOD")))
			return &q->method;
		break;
	case sizeof("HTTP_USER_AGENT") - 1:
		if (slice_equal(name, SLICE("HTTP_USER_AGENT")))
			return &q->user_agent;
		if (slice_equal(name, SLICE("HTTP_CONNECTION")))
			return &q->connection;
		if (slice_equal(name, SLICE("HTTP_EVENT_TYPE")))
			return &q->event_type;
		break;
	case sizeof("HTTP_IF_NONE_MATCH") - 1:
		if (slice_equal(name, SLICE("HTTP_IF_NONE_MATCH")))
			return &q->if_none_match;
		if (slice_equal(name, SLICE("HTTP_LAST_EVENT_ID")))
			return &q->last_event_id;
		break;
	case sizeof("HTTP_MESSAGE_EXPIRY") - 1:
		if (slice_equal(name, SLICE("HTTP_MESSAGE_EXPIRY")))
			return &q->message_expiry;
		break;
	case sizeof("HTTP_IF_MODIFIED_SINCE") - 1:
		if (slice_equal(name, SLICE("HTTP_IF_MODIFIED_SINCE")))
			return &q->if_modified_since;
		if (slice_equal(name, SLICE("HTTP_SEC_WEBSOCKET_KEY")))
			return &q->ws_key;
		break;
	case sizeof("HTTP_SEC_WEBSOCKET_VERSION") - 1:
		if (slice_equal(name, SLICE("HTTP_SEC_WEBSOCKET_VERSION")))
			return &q->ws_version;
		break;
	case sizeof("HTTP_X_NGINX_PUSHSTREAM_MODE") - 1:
		if (slice_equal(name, SLICE("HTTP_X_NGINX_PUSHSTREAM_MODE")))
			return &q->mode;
		break;
	default:
		break;
	}
	return NULL;
}

/* Of a variable that comes twice the first counts. */
static void
take_cgi(struct query *q, struct slice name, struct slice value)
{
	struct slice *field = query_field(q, name);

	if (field == NULL) {
		if (slice_is(name, "holdfast_expand"))
			q->expand = slice_is(value, "on");
	} else if (field->ptr == NULL) {
		*field = value;
	}
}

/* Lengths stand before the bytes, so no two lists of parameters are alike. */
static int
key_add(struct buf *key, struct slice name, struct slice value)
{
	uint32_t len[2] = { (uint32_t)name.len, (uint32_t)value.len };
	int err = buf_append(key, len, sizeof(len));

	return err != 0 ? err : buf_append2(key, name, value);
}

/* Read every parameter once: into *q, and the literal ones into the key. */
static int
query_read(struct endpoints *e, const struct params *p, struct query *q,
    bool *names_role)
{
	int err = 0;

	*names_role = false;
	for (uint32_t i = 0; i < p->n && err == 0; i++) {
		struct slice name = param_name(p, &p->list[i]);
		struct slice value = param_value(p, &p->list[i]);

		if (!is_setting(name)) {
			take_cgi(q, name, value);
			continue;
		}
		if (take_complex(q, name, value))
			continue;
		if (!*names_role)
			*names_role = settings_names_role(name);
		err = key_add(&e->key, name, value);
	}
	return err;
}

/* Apache and lighttpd tell the URI in two parts; so does Caddy, with an empty
 * DOCUMENT_URI. */
static int
query_uri(struct endpoints *e, const struct params *p, struct query *q)
{
	struct slice script, info;
	int err;

	if (q->uri.len != 0)
		return 0;
	script = params_get(p, "SCRIPT_NAME");
	info = params_get(p, "PATH_INFO");
	buf_clear(&e->uri);
	err = buf_append2(&e->uri, script, info);
	q->uri = (struct slice){ e->uri.data, e->uri.len };
	return err;
}

static int
apply_rule(struct settings *s, struct slice name, struct slice value,
    enum settings_source from, char why[SETTINGS_WHY_SIZE],
    char ignored[SETTINGS_WHY_SIZE])
{
	char text[SETTINGS_WHY_SIZE];
	int err = settings_set(s, name, value, from, text);

	if (err == 0)
		return 0;
	(void)snprintf(err == SETTINGS_IGNORED ? ignored : why,
	    SETTINGS_WHY_SIZE, "%.*s: %.160s", (int)MIN_OF(name.len, 80),
	    name.ptr, text);
	if (err == ERR_NOTFOUND)
		err = ERR_CONFIG;
	return err == SETTINGS_IGNORED ? 0 : err;
}

static int
apply_rules(struct settings *s, const struct rules *rules,
    enum settings_source from, char why[SETTINGS_WHY_SIZE],
    char ignored[SETTINGS_WHY_SIZE])
{
	int err = 0;

	for (const struct rule *r = rules->first; r != NULL && err == 0;
	     r = r->next)
		err = apply_rule(s, r->name, r->value, from, why, ignored);
	return err;
}

static int
apply_builtin(struct settings *s, const struct builtin *b,
    char why[SETTINGS_WHY_SIZE], char ignored[SETTINGS_WHY_SIZE])
{
	int err = 0;

	for (size_t i = 0; b->rules[i][0] != NULL && err == 0; i++) {
		struct slice name = { b->rules[i][0], strlen(b->rules[i][0]) };
		struct slice value = { b->rules[i][1], strlen(b->rules[i][1]) };

		err =
		    apply_rule(s, name, value, SETTINGS_DEFAULT, why, ignored);
	}
	return err;
}

/* In order of precedence: compiled, global, location block, parameter. */
static int
apply_all(struct endpoint *ep, const struct layout *l,
    const struct location *loc, const struct params *p,
    char why[SETTINGS_WHY_SIZE], char ignored[SETTINGS_WHY_SIZE])
{
	struct settings *s = &ep->settings;
	int err = 0;

	if (ep->builtin != NULL)
		err = apply_builtin(s, ep->builtin, why, ignored);
	if (err == 0)
		err = apply_rules(s, &l->global, SETTINGS_GLOBAL, why, ignored);
	if (err == 0 && loc != NULL)
		err = apply_rules(
		    s, &loc->rules, SETTINGS_LOCATION, why, ignored);
	for (uint32_t i = 0; i < p->n && err == 0; i++) {
		struct slice name = param_name(p, &p->list[i]);

		if (is_setting(name) && !settings_is_complex(name))
			err = apply_rule(s, name, param_value(p, &p->list[i]),
			    SETTINGS_PARAMETER, why, ignored);
	}
	return err != 0 ? err : settings_check(s, why);
}

static uint32_t
max_id_len(const struct settings *s, const struct layout *l, struct slice uri)
{
	if (s->max_channel_id_length != 0)
		return s->max_channel_id_length;
	return layout_builtin(l, uri) != NULL ? BUILTIN_MAX_CHANNEL_ID_LENGTH
					      : DEFAULT_MAX_ID_LENGTH;
}

/* 0.3.x pads for two browsers, if not told otherwise. */
static const char *
padding_text(const struct settings *s)
{
	if (s->padding_by_user_agent != NULL)
		return s->padding_by_user_agent;
	return s->compat == COMPAT_0_3_4
	    ? "[A|a]ndroid 2,4097,4097:[S|s]afari,1025,0"
	    : "";
}

/* What a subscriber's messages look like. */
static int
endpoint_looks(
    struct endpoints *e, struct endpoint *ep, char why[SETTINGS_WHY_SIZE])
{
	struct settings *s = &ep->settings;
	enum framing framing = FRAMING_PLAIN;
	int err;

	if (s->role != ROLE_SUBSCRIBER)
		return 0;
	/* 0.3.x said it in two directives. */
	if (s->eventsource_support && s->mode != MODE_WEBSOCKET)
		s->mode = MODE_EVENTSOURCE;
	if (s->mode == MODE_WEBSOCKET)
		framing = FRAMING_WEBSOCKET;
	else if (s->mode == MODE_EVENTSOURCE)
		framing = FRAMING_EVENTSOURCE;
	err = format_get(&e->formats, s, framing, &ep->format);
	if (err == 0)
		err = padding_new(padding_text(s), &ep->padding, why);
	return err;
}

static int
endpoint_new(struct endpoints *e, const struct layout *l,
    const struct location *loc, const struct builtin *b, const struct params *p,
    const struct query *q, struct endpoint **out, char why[SETTINGS_WHY_SIZE],
    char ignored[SETTINGS_WHY_SIZE])
{
	struct endpoint *ep = calloc(1, sizeof(*ep));
	int err;

	if (ep == NULL)
		return ERR_NOMEM;
	ep->builtin = b;
	err = settings_init(&ep->settings);
	if (err != 0) {
		free(ep);
		return err;
	}
	err = apply_all(ep, l, loc, p, why, ignored);
	if (err == 0) {
		ep->max_id_len = max_id_len(&ep->settings, l, q->uri);
		err = endpoint_looks(e, ep, why);
	}
	if (err != 0) {
		endpoint_free(ep);
		return err;
	}
	*out = ep;
	return 0;
}

/* Make room: forget one that nobody uses now. */
static void
endpoint_evict(struct endpoints *e)
{
	struct endpoint *ep;

	for (size_t at = 0; (ep = map_walk(&e->map, &at)) != NULL;) {
		if (ep->refs == 0) {
			endpoint_forget(e, ep);
			endpoint_free(ep);
			return;
		}
	}
}

static void
endpoint_intern(struct endpoints *e, struct endpoint *ep, uint64_t hash)
{
	char *key;

	if (e->map.count >= ENDPOINTS_MAX)
		endpoint_evict(e);
	if (e->map.count >= ENDPOINTS_MAX) {
		limit_hit(e->limits, LIMIT_endpoints);
		return;
	}
	key = malloc(e->key.len);
	if (key == NULL)
		return;
	memcpy(key, e->key.data, e->key.len);
	ep->key = (struct slice){ key, e->key.len };
	ep->hash = hash;
	ep->same_hash = map_remove(&e->map, hash);
	if (map_put(&e->map, hash, ep) != 0) {
		/* Only a new hash needs memory: nothing was chained. */
		assert(ep->same_hash == NULL);
		return;
	}
	ep->interned = true;
}

/* What its settings take: once in the parameters' own words, once as what was
 * made of them. */
static int
endpoint_charge(struct endpoints *e, struct endpoint *ep)
{
	size_t bytes = sizeof(*ep) + 2 * e->key.len;

	if (!quota_take(&e->private, bytes)) {
		limit_hit(e->limits, LIMIT_private_endpoints);
		endpoint_free(ep);
		return ERR_CROWDED;
	}
	ep->private_bytes = bytes;
	ep->charged = &e->private;
	return 0;
}

static struct endpoint *
endpoint_lookup(const struct endpoints *e, uint64_t hash)
{
	struct endpoint *ep = map_get(&e->map, hash);

	while (ep != NULL &&
	    (ep->key.len != e->key.len ||
		memcmp(ep->key.ptr, e->key.data, e->key.len) != 0))
		ep = ep->same_hash;
	return ep;
}

int
endpoint_resolve(struct endpoints *e, const struct layout *l,
    const struct request *r, struct query *q, struct endpoint **out,
    char why[SETTINGS_WHY_SIZE], char ignored[SETTINGS_WHY_SIZE])
{
	const struct location *loc;
	const struct builtin *builtin, *b = NULL;
	struct {
		const void *loc, *builtin;
		bool bitrix;
	} place;
	bool names_role;
	uint64_t hash;
	int err;

	ignored[0] = '\0';
	why[0] = '\0';
	memset(q, 0, sizeof(*q));
	memset(&place, 0, sizeof(place));
	buf_clear(&e->key);
	err = buf_append(&e->key, &place, sizeof(place));
	if (err == 0)
		err = query_read(e, &r->params, q, &names_role);
	if (err == 0)
		err = query_uri(e, &r->params, q);
	if (err != 0)
		return err;
	loc = layout_find(l, q->uri);
	builtin = layout_builtin(l, q->uri);
	if (!names_role && !l->global.names_role &&
	    (loc == NULL || !loc->rules.names_role))
		b = builtin;
	place.loc = loc;
	place.builtin = b;
	place.bitrix = builtin != NULL;
	memcpy(e->key.data, &place, sizeof(place));
	hash = hash_bytes(&e->hash_key, e->key.data, e->key.len);
	*out = endpoint_lookup(e, hash);
	if (*out == NULL) {
		err = endpoint_new(
		    e, l, loc, b, &r->params, q, out, why, ignored);
		if (err != 0)
			return err;
		endpoint_intern(e, *out, hash);
		if (!(*out)->interned)
			err = endpoint_charge(e, *out);
		if (err != 0)
			return err;
	}
	(void)endpoint_ref(*out);
	return 0;
}

static const char *
endpoint_raw(const struct endpoint *ep, enum complex which)
{
	const struct settings *s = &ep->settings;

	switch (which) {
	case COMPLEX_PATH:
		return s->channels_path;
	case COMPLEX_TIME:
		return s->last_time;
	case COMPLEX_TAG:
		return s->last_tag;
	case COMPLEX_EVENT_ID:
		return s->last_event_id;
	case COMPLEX_AGENT:
		return s->user_agent;
	case COMPLEX_ORIGIN:
		return s->allowed_origins;
	case COMPLEX_N:
		break;
	}
	return NULL;
}

/* "VALUE if_not_empty": nginx's flag, in our own values. */
static bool
strip_if_not_empty(struct slice *text)
{
	static const char flag[] = " if_not_empty";
	size_t len = sizeof(flag) - 1;

	if (text->len < len ||
	    memcmp(text->ptr + text->len - len, flag, len) != 0)
		return false;
	text->len -= len;
	return true;
}

/* 0.3.x takes channel ids and origins as they are. */
static int
value_decode(const struct endpoint *ep, enum complex which, struct slice text,
    struct buf *out)
{
	if ((which == COMPLEX_PATH || which == COMPLEX_ORIGIN) &&
	    ep->settings.compat == COMPAT_0_3_4)
		return buf_append(out, text.ptr, text.len);
	return path_decode(text, out);
}

int
endpoint_value(const struct endpoint *ep, const struct request *r,
    const struct query *q, enum complex which, struct buf *out, bool *set)
{
	struct slice text = q->complex[which];
	bool expand = q->expand, optional = false;
	struct buf value;
	int err;

	buf_clear(out);
	if (text.ptr == NULL) {
		const char *raw = endpoint_raw(ep, which);

		*set = raw != NULL;
		if (raw == NULL)
			return 0;
		text = (struct slice){ raw, strlen(raw) };
		expand = true;
	}
	*set = true;
	if (!expand || memchr(text.ptr, '$', text.len) == NULL)
		return value_decode(ep, which, text, out);
	optional = strip_if_not_empty(&text);
	buf_init(&value, out->max);
	err = vars_expand(&r->params, text, &value);
	if (err == ERR_SYNTAX)
		err = ERR_CONFIG;
	if (err == 0 && optional && value.len == 0)
		*set = false;
	if (err == 0 && *set)
		err = value_decode(
		    ep, which, (struct slice){ value.data, value.len }, out);
	buf_release(&value);
	return err;
}
