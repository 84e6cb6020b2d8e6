/*
 * daemon/conf_key.c - the daemon's own keys: what their texts mean, and how
 * they are shown.
 */
#include "daemon/conf_priv.h"

#include <errno.h>
#include <inttypes.h>

#include "base/units.h"

const struct conf_key conf_keys[CONF_KEYS] = {
#define CONF(name, type, field, initial, help) \
	{ #name, TYPE_##type, offsetof(struct conf, field), initial },
#include "daemon/conf.tbl"
#undef CONF
};

static const char *const sync_names[] = {
	[STORE_SYNC_FULL] = "full",
	[STORE_SYNC_NORMAL] = "normal",
	[STORE_SYNC_OFF] = "off",
};

static const char *const level_names[] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warn",
	[LOG_NOTICE] = "notice",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

bool
conf_type_is_list(enum conf_type type)
{
	return type == TYPE_LIST || type == TYPE_NETWORKS || type == TYPE_FILES;
}

struct strings *
conf_key_list(struct conf *c, const struct conf_key *k)
{
	return (struct strings *)(void *)((char *)c + k->offset);
}

void
strings_release(struct strings *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->list[i]);
	free(s->list);
	s->list = NULL;
	s->n = 0;
}

int
strings_add(struct strings *s, const char *text, size_t len)
{
	char **list = realloc(s->list, (s->n + 1) * sizeof(*list));

	if (list == NULL)
		return ERR_NOMEM;
	s->list = list;
	list[s->n] = strndup(text, len);
	if (list[s->n] == NULL)
		return ERR_NOMEM;
	s->n++;
	return 0;
}

static int
strings_split(struct strings *s, const char *text)
{
	int err = 0;

	while (*text != '\0' && err == 0) {
		size_t len = strcspn(text, ",");

		err = strings_add(s, text, len);
		text += len;
		text += strspn(text, ", ");
	}
	return err;
}

static bool
name_index(const char *const *names, size_t n, const char *text, int *out)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i], text) == 0) {
			*out = (int)i;
			return true;
		}
	}
	return false;
}

bool
conf_number(const char *text, int base, uint64_t *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, base);
	return *end == '\0' && errno == 0 && *out <= UINT32_MAX;
}

const char *
conf_key_set(struct conf *c, const struct conf_key *k, const char *text)
{
	void *field = (char *)c + k->offset;
	struct slice v = { text, strlen(text) };
	int index;

	switch (k->type) {
	case TYPE_TEXT:
		free(*(char **)field);
		*(char **)field = strdup(text);
		return *(char **)field != NULL ? NULL : "out of memory";
	case TYPE_SYNC:
		if (!name_index(sync_names, COUNT_OF(sync_names), text, &index))
			return "is none of full, normal, off";
		*(enum store_sync *)field = (enum store_sync)index;
		return NULL;
	case TYPE_LEVEL:
		if (!name_index(
			level_names, COUNT_OF(level_names), text, &index))
			return "is none of error, warn, notice, info, debug";
		*(enum log_level *)field = (enum log_level)index;
		return NULL;
	case TYPE_SIZE:
		return parse_size(v, field)
		    ? NULL
		    : "is not a size such as 65536, 64k, 1m or 2g";
	case TYPE_TIME:
		return parse_time_ms(v, field) && *(uint64_t *)field != 0
		    ? NULL
		    : "is not a time such as 60, 60s or 1m";
	case TYPE_NUMBER:
		return conf_number(text, 10, field) ? NULL : "is not a number";
	case TYPE_MODE:
		return conf_number(text, 8, field) && *(uint64_t *)field <= 0777
		    ? NULL
		    : "is not a mode such as 0660";
	case TYPE_LIST:
	case TYPE_NETWORKS:
	case TYPE_FILES:
	case TYPE_LICENCE:
		break;
	}
	return NULL;
}

const char *
conf_key_item(const struct conf_key *k, const char *text)
{
	struct cidr cidr;
	uint64_t port;

	if (k->type == TYPE_NETWORKS)
		return cidr_parse(&cidr, text) == 0
		    ? NULL
		    : "is not an address or network such as 10.0.0.0/8";
	if (k->type == TYPE_FILES)
		return text[0] != '\0' ? NULL : "is no file";
	if (strncmp(text, "unix:/", 6) == 0)
		return NULL;
	if (strcmp(k->name, "control") == 0)
		return "is not a unix socket (unix:/path)";
	if (strncmp(k->name, "http", 4) == 0 && strspn(text, ":") <= 1 &&
	    conf_number(text + strspn(text, ":"), 10, &port))
		return NULL; /* :8895 or 8895, here */
	return strrchr(text, ':') != NULL && text[0] != ':' &&
		strncmp(text, "unix:", 5) != 0
	    ? NULL
	    : "is neither unix:/path nor host:port";
}

const struct conf_key *
conf_key_find(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(conf_keys); i++) {
		if (strcmp(conf_keys[i].name, name) == 0)
			return &conf_keys[i];
	}
	return NULL;
}

int
conf_defaults(struct conf *c)
{
	int err = 0;

	for (size_t i = 0; i < COUNT_OF(conf_keys) && err == 0; i++) {
		const struct conf_key *k = &conf_keys[i];

		if (conf_type_is_list(k->type))
			err = strings_split(conf_key_list(c, k), k->initial);
		else if (k->type != TYPE_LICENCE &&
		    conf_key_set(c, k, k->initial) != NULL)
			err = ERR_NOMEM;
	}
	return err;
}

void
conf_keys_release(struct conf *c)
{
	for (size_t i = 0; i < COUNT_OF(conf_keys); i++) {
		void *field = (char *)c + conf_keys[i].offset;

		if (conf_keys[i].type == TYPE_TEXT)
			free(*(char **)field);
		else if (conf_type_is_list(conf_keys[i].type))
			strings_release(field);
	}
}

void
conf_key_show(const struct conf *c, const struct conf_key *k, FILE *out)
{
	const void *field = (const char *)c + k->offset;
	const struct strings *s = field;
	const char *text;

	(void)fprintf(out, "%s = ", k->name);
	switch (k->type) {
	case TYPE_LIST:
	case TYPE_NETWORKS:
	case TYPE_FILES:
		(void)fputc('{', out);
		for (size_t i = 0; i < s->n; i++) {
			if (i != 0)
				(void)fputs(", ", out);
			conf_quote(out, s->list[i], strlen(s->list[i]));
		}
		(void)fputc('}', out);
		break;
	case TYPE_TEXT:
		text = *(char *const *)field;
		conf_quote(out, text, strlen(text));
		break;
	case TYPE_SYNC:
		(void)fputs(sync_names[*(const enum store_sync *)field], out);
		break;
	case TYPE_LEVEL:
		(void)fputs(level_names[*(const enum log_level *)field], out);
		break;
	case TYPE_MODE:
		(void)fprintf(out, "%04" PRIo64, *(const uint64_t *)field);
		break;
	case TYPE_TIME:
		(void)fprintf(out, "%" PRIu64 "ms", *(const uint64_t *)field);
		break;
	case TYPE_SIZE:
	case TYPE_NUMBER:
		(void)fprintf(out, "%" PRIu64, *(const uint64_t *)field);
		break;
	case TYPE_LICENCE:
		break; /* never asked for */
	}
	(void)fputc('\n', out);
}
