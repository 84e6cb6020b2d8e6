/*
 * api/settings.c - the table of directives at work.
 *
 * A directive is a row: its type says how the value is read into its field.
 * The endpoint selectors (publisher, subscriber, ...) set several fields, so
 * each has a type of its own; everything else is one of a dozen lines below.
 */
#include "api/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "base/units.h"

#define HEADER_FILE_MAX 65536

enum type {
	TYPE_PUBLISHER,
	TYPE_SUBSCRIBER,
	TYPE_STATISTICS,
	TYPE_WEBSOCKET,
	TYPE_ROUTE,
	TYPE_COMPAT,
	TYPE_BITRIX,
	TYPE_COMPLEX,
	TYPE_FLAG,
	TYPE_TEXT,
	TYPE_TEMPLATE,
	TYPE_FILE,
	TYPE_COUNT,
	TYPE_MSEC,
	TYPE_SECONDS
};

enum scope {
	SCOPE_LOCATION,
	SCOPE_STORE,
	SCOPE_ACCEPTED
};

struct directive {
	const char *name;
	size_t name_len;
	enum type type;
	enum scope scope;
	size_t offset;
	const char *initial; /* NULL: not set */
};

static const struct directive directives[] = {
#define SETTING(name, type, scope, field, initial, help) \
	{ #name, sizeof(#name) - 1, TYPE_##type, SCOPE_##scope, \
		offsetof(struct settings, field), initial },
#include "api/settings.tbl"
#undef SETTING
};

static const char *const mode_names[] = {
	[MODE_STREAMING] = "streaming",
	[MODE_POLLING] = "polling",
	[MODE_LONG_POLLING] = "long-polling",
	[MODE_EVENTSOURCE] = "eventsource",
	[MODE_WEBSOCKET] = "websocket",
};

static const char *const compat_names[] = {
	[COMPAT_0_3_4] = "0.3.4",
	[COMPAT_0_4_0] = "0.4.0",
	[COMPAT_0_6_0] = "0.6.0",
};

static const char *const route_names[] = {
	[ROUTE_PUB] = "pub",
	[ROUTE_SUB] = "sub",
	[ROUTE_REST] = "rest",
	[ROUTE_API] = "api",
	[ROUTE_STAT] = "stat",
};

static int PRINTF_LIKE(2, 3)
    wrong(char why[SETTINGS_WHY_SIZE], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, SETTINGS_WHY_SIZE, fmt, ap);
	va_end(ap);
	return ERR_CONFIG;
}

static const struct directive *
directive_find(struct slice name)
{
	for (size_t i = 0; i < COUNT_OF(directives); i++) {
		if (name.len == directives[i].name_len &&
		    memcmp(name.ptr, directives[i].name, name.len) == 0)
			return &directives[i];
	}
	return NULL;
}

static bool
slice_is_nocase(struct slice v, const char *text)
{
	return v.len == strlen(text) && strncasecmp(v.ptr, text, v.len) == 0;
}

static int
set_text(char **field, struct slice value)
{
	char *copy = malloc(value.len + 1);

	if (copy == NULL)
		return ERR_NOMEM;
	if (value.len != 0)
		memcpy(copy, value.ptr, value.len);
	copy[value.len] = '\0';
	free(*field);
	*field = copy;
	return 0;
}

/* A text goes into a header or a C string: no line ends, no NUL. */
static bool
is_header_text(struct slice v)
{
	for (size_t i = 0; i < v.len; i++) {
		if ((unsigned char)v.ptr[i] < 0x20 || v.ptr[i] == 0x7f)
			return false;
	}
	return true;
}

static int
set_file(char **field, struct slice path, char why[SETTINGS_WHY_SIZE])
{
	char name[4096], *text;
	FILE *f;
	size_t n;
	int err;

	if (path.len >= sizeof(name))
		return wrong(why, "the path is too long");
	memcpy(name, path.ptr, path.len);
	name[path.len] = '\0';
	f = fopen(name, "re");
	if (f == NULL)
		return wrong(why,
		    "unable to open file \"%s\" for header "
		    "template: %s",
		    name, strerror(errno));
	text = malloc(HEADER_FILE_MAX + 1);
	if (text == NULL) {
		(void)fclose(f);
		return ERR_NOMEM;
	}
	n = fread(text, 1, HEADER_FILE_MAX + 1, f);
	if (ferror(f) != 0)
		err = wrong(why, "unable to read file \"%s\"", name);
	else if (n > HEADER_FILE_MAX)
		err = wrong(why, "file \"%s\" is larger than %d bytes", name,
		    HEADER_FILE_MAX);
	else
		err = set_text(field, (struct slice){ text, n });
	free(text);
	(void)fclose(f);
	return err;
}

static int
set_role(struct settings *s, const struct directive *d, struct slice v,
    char why[SETTINGS_WHY_SIZE])
{
	switch (d->type) {
	case TYPE_PUBLISHER:
		if (v.len != 0 && !slice_is_nocase(v, "normal") &&
		    !slice_is_nocase(v, "admin"))
			return wrong(why,
			    "invalid push_stream_publisher mode "
			    "value: %.*s, accepted values (normal, admin)",
			    (int)MIN_OF(v.len, 64), v.ptr);
		s->role = ROLE_PUBLISHER;
		s->admin = slice_is_nocase(v, "admin");
		return 0;
	case TYPE_SUBSCRIBER:
		for (size_t i = 0; i < COUNT_OF(mode_names); i++) {
			if (v.len == 0 || slice_is_nocase(v, mode_names[i])) {
				s->role = ROLE_SUBSCRIBER;
				s->mode = (enum sub_mode)i;
				return 0;
			}
		}
		return wrong(why,
		    "invalid push_stream_subscriber mode value: "
		    "%.*s, accepted values (streaming, polling, long-polling, "
		    "eventsource, websocket)",
		    (int)MIN_OF(v.len, 64), v.ptr);
	case TYPE_WEBSOCKET:
		if (slice_is_nocase(v, "off"))
			return wrong(
			    why, "it cannot be switched off: leave it out");
		s->role = ROLE_SUBSCRIBER;
		s->mode = MODE_WEBSOCKET;
		return 0;
	case TYPE_ROUTE:
		for (size_t i = 0; i < COUNT_OF(route_names); i++) {
			if (slice_is(v, route_names[i])) {
				s->role = ROLE_BITRIX;
				s->bitrix_route = (enum bitrix_route)i;
				return 0;
			}
		}
		return wrong(why,
		    "\"%.*s\" is none of pub, sub, rest, api, stat",
		    (int)MIN_OF(v.len, 64), v.ptr);
	default:
		if (slice_is_nocase(v, "off"))
			return wrong(
			    why, "it cannot be switched off: leave it out");
		s->role = ROLE_STATISTICS;
		return 0;
	}
}

static int
set_compat(enum compat *field, struct slice v, char why[SETTINGS_WHY_SIZE])
{
	for (size_t i = 0; i < COUNT_OF(compat_names); i++) {
		if (slice_is(v, compat_names[i])) {
			*field = (enum compat)i;
			return 0;
		}
	}
	return wrong(why, "\"%.*s\" is none of 0.3.4, 0.4.0, 0.6.0",
	    (int)MIN_OF(v.len, 64), v.ptr);
}

static int
set_bitrix(uint32_t *field, struct slice v, char why[SETTINGS_WHY_SIZE])
{
	if (v.len != 1 || v.ptr[0] < '3' || v.ptr[0] > '5')
		return wrong(why,
		    "\"%.*s\" is none of 3, 4, 5 (1 and 2 are "
		    "push_stream_compat 0.3.4 and 0.4.0)",
		    (int)MIN_OF(v.len, 64), v.ptr);
	*field = (uint32_t)(v.ptr[0] - '0');
	return 0;
}

static int
set_number(const struct directive *d, void *field, struct slice v,
    char why[SETTINGS_WHY_SIZE])
{
	uint64_t n;

	if (d->type == TYPE_COUNT) {
		if (!parse_count(v, &n) || n > UINT32_MAX)
			return wrong(why, "\"%.*s\" is not a number",
			    (int)MIN_OF(v.len, 64), v.ptr);
	} else if (!parse_time_ms(v, &n)) {
		return wrong(why,
		    "\"%.*s\" is not a time such as 40, "
		    "40s, 5m or 1h 30m",
		    (int)MIN_OF(v.len, 64), v.ptr);
	}
	if (d->type == TYPE_SECONDS)
		n /= 1000;
	if (n == 0)
		return wrong(why, "%s cannot be zero.", d->name);
	if (d->type == TYPE_COUNT)
		*(uint32_t *)field = (uint32_t)n;
	else if (d->type == TYPE_SECONDS)
		*(int64_t *)field = (int64_t)n;
	else
		*(uint64_t *)field = n;
	return 0;
}

static int
directive_set(const struct directive *d, struct settings *s, struct slice v,
    char why[SETTINGS_WHY_SIZE])
{
	void *field = (char *)s + d->offset;

	switch (d->type) {
	case TYPE_COMPAT:
		return set_compat(field, v, why);
	case TYPE_BITRIX:
		return set_bitrix(field, v, why);
	case TYPE_FLAG:
		if (!parse_flag(v, field))
			return wrong(why, "\"%.*s\" is neither on nor off",
			    (int)MIN_OF(v.len, 64), v.ptr);
		return 0;
	case TYPE_TEMPLATE:
		if (v.len == 0)
			return wrong(why, "%s cannot be blank.", d->name);
		return set_text(field, v);
	case TYPE_TEXT:
		if (d->offset == offsetof(struct settings, content_type) &&
		    !is_header_text(v))
			return wrong(why,
			    "a content type has no control "
			    "characters");
		return set_text(field, v);
	case TYPE_COMPLEX:
		return set_text(field, v);
	case TYPE_FILE:
		return set_file(field, v, why);
	case TYPE_COUNT:
	case TYPE_MSEC:
	case TYPE_SECONDS:
		return set_number(d, field, v, why);
	default:
		return set_role(s, d, v, why);
	}
}

int
settings_set(struct settings *s, struct slice name, struct slice value,
    enum settings_source from, char why[SETTINGS_WHY_SIZE])
{
	const struct directive *d = directive_find(name);

	if (d == NULL) {
		(void)wrong(why, "there is no such setting");
		return ERR_NOTFOUND;
	}
	if (memchr(value.ptr, '\0', value.len) != NULL)
		return wrong(why, "the value has a NUL byte");
	if (d->scope == SCOPE_ACCEPTED && from != SETTINGS_DEFAULT) {
		(void)wrong(why, "it has no effect outside nginx");
		return SETTINGS_IGNORED;
	}
	if (d->scope == SCOPE_STORE && from == SETTINGS_PARAMETER) {
		(void)wrong(why,
		    "it is store-wide: set it in holdfast.conf, "
		    "outside location blocks");
		return SETTINGS_IGNORED;
	}
	if (d->scope == SCOPE_STORE && from == SETTINGS_LOCATION)
		return wrong(why,
		    "it is store-wide and does not stand in a "
		    "location block");
	if (d->type == TYPE_FILE && from == SETTINGS_PARAMETER) {
		(void)wrong(why, "files are read for holdfast.conf only");
		return ERR_CONFIG;
	}
	return directive_set(d, s, value, why);
}

int
settings_init(struct settings *s)
{
	char why[SETTINGS_WHY_SIZE];
	int err;

	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < COUNT_OF(directives); i++) {
		const struct directive *d = &directives[i];

		if (d->initial == NULL)
			continue;
		err = directive_set(d, s,
		    (struct slice){ d->initial, strlen(d->initial) }, why);
		if (err != 0) {
			settings_release(s);
			return err;
		}
	}
	return 0;
}

static bool
is_text(enum type t)
{
	return t == TYPE_COMPLEX || t == TYPE_TEXT || t == TYPE_TEMPLATE ||
	    t == TYPE_FILE;
}

void
settings_release(struct settings *s)
{
	for (size_t i = 0; i < COUNT_OF(directives); i++) {
		char **field =
		    (char **)(void *)((char *)s + directives[i].offset);

		if (!is_text(directives[i].type))
			continue;
		free(*field);
		*field = NULL;
	}
}

int
settings_check(const struct settings *s, char why[SETTINGS_WHY_SIZE])
{
	if (s->max_channel_id_length > UINT16_MAX)
		return wrong(why,
		    "push_stream_max_channel_id_length cannot be larger than "
		    "65535.");
	if (s->wildcard_channel_max_qtd == 0)
		return 0;
	if (s->wildcard_channel_prefix[0] == '\0')
		return wrong(why,
		    "cannot set wildcard channel max qtd if "
		    "push_stream_wildcard_channel_prefix is not set or "
		    "blank.");
	if (s->max_number_of_wildcard_channels != 0 &&
	    s->max_number_of_wildcard_channels < s->wildcard_channel_max_qtd)
		return wrong(why,
		    "max number of wildcard channels cannot be "
		    "smaller than value in "
		    "push_stream_wildcard_channel_max_qtd.");
	return 0;
}

bool
settings_names_role(struct slice name)
{
	const struct directive *d = directive_find(name);

	return d != NULL && d->offset == offsetof(struct settings, role);
}

bool
settings_is_complex(struct slice name)
{
	const struct directive *d = directive_find(name);

	return d != NULL && d->type == TYPE_COMPLEX;
}

const char *
settings_name(size_t i)
{
	return i < COUNT_OF(directives) ? directives[i].name : NULL;
}

/* An older name of a directive that stands above it in the table. */
static bool
settings_is_alias(size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (directives[j].offset == directives[i].offset &&
		    directives[j].type == directives[i].type)
			return true;
	}
	return false;
}

static const char *
show_role(const struct settings *s, enum type t)
{
	if (t == TYPE_PUBLISHER && s->role == ROLE_PUBLISHER)
		return s->admin ? "admin" : "normal";
	if (t == TYPE_SUBSCRIBER && s->role == ROLE_SUBSCRIBER)
		return mode_names[s->mode];
	if (t == TYPE_STATISTICS && s->role == ROLE_STATISTICS)
		return "on";
	if (t == TYPE_ROUTE && s->role == ROLE_BITRIX)
		return route_names[s->bitrix_route];
	return NULL;
}

int
settings_show(const struct settings *s, size_t i, char *out, size_t out_size)
{
	const struct directive *d = &directives[i];
	const void *field = (const char *)s + d->offset;
	const char *text;
	uint64_t n = 0;

	if (d->scope == SCOPE_ACCEPTED || settings_is_alias(i))
		return -1;
	switch (d->type) {
	case TYPE_COMPAT:
		return snprintf(out, out_size, "%s", compat_names[s->compat]);
	case TYPE_FLAG:
		return snprintf(
		    out, out_size, "%s", *(const bool *)field ? "on" : "off");
	case TYPE_COUNT:
	case TYPE_BITRIX:
		n = *(const uint32_t *)field;
		break;
	case TYPE_SECONDS:
		n = (uint64_t) * (const int64_t *)field;
		break;
	case TYPE_MSEC:
		n = *(const uint64_t *)field;
		if (n != 0)
			return snprintf(out, out_size, "%" PRIu64 "ms", n);
		break;
	case TYPE_COMPLEX:
	case TYPE_TEXT:
	case TYPE_TEMPLATE:
		text = *(char *const *)field;
		return text != NULL ? snprintf(out, out_size, "%s", text) : -1;
	default:
		text = show_role(s, d->type);
		return text != NULL ? snprintf(out, out_size, "%s", text) : -1;
	}
	if (n == 0)
		return -1;
	return snprintf(out, out_size, "%" PRIu64, n);
}
