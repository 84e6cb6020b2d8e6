/*
 * daemon/conf.c - holdfast.conf through libconfuse.
 *
 * Every option is a string to libconfuse; what the string means is ours.  It
 * is checked and taken over in the validating callback, while the parser
 * still stands on its line, so every complaint names file and line.  The
 * callbacks carry no argument of their own: `reading` is what they write to.
 */
#include "daemon/conf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

#include "base/buf.h"
#include "base/units.h"
#include "daemon/conf_priv.h"

#define BODY_LIMIT ((uint64_t)32 << 20)
#define CONF_FILE_MAX ((size_t)16 << 20)

enum conf_type {
	TYPE_LIST,
	TYPE_NETWORKS,
	TYPE_FILES,
	TYPE_TEXT,
	TYPE_SYNC,
	TYPE_SIZE,
	TYPE_NUMBER,
	TYPE_MODE,
	TYPE_TIME,
	TYPE_LEVEL,
	TYPE_LICENCE /* conf_licence.c has them */
};

static bool
type_is_list(enum conf_type type)
{
	return type == TYPE_LIST || type == TYPE_NETWORKS || type == TYPE_FILES;
}

struct conf_key {
	const char *name;
	enum conf_type type;
	size_t offset;
	const char *initial;
};

static const struct conf_key conf_keys[] = {
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

static struct {
	struct conf *conf;
	int errors;
	bool has_keys;
} reading;

static void
strings_release(struct strings *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->list[i]);
	free(s->list);
	s->list = NULL;
	s->n = 0;
}

static int
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

static bool
parse_number(const char *text, int base, uint64_t *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, base);
	return *end == '\0' && errno == 0 && *out <= UINT32_MAX;
}

/* NULL, or what is wrong with the value. */
static const char *
conf_set(struct conf *c, const struct conf_key *k, const char *text)
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
		return parse_number(text, 10, field) ? NULL : "is not a number";
	case TYPE_MODE:
		return parse_number(text, 8, field) &&
			*(uint64_t *)field <= 0777
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

static const char *
conf_list_item(const struct conf_key *k, const char *text)
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
	    parse_number(text + strspn(text, ":"), 10, &port))
		return NULL; /* :8895 or 8895, here */
	return strrchr(text, ':') != NULL && text[0] != ':' &&
		strncmp(text, "unix:", 5) != 0
	    ? NULL
	    : "is neither unix:/path nor host:port";
}

static void PRINTF_LIKE(2, 0)
    conf_complain(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[512];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	/* The word that libconfuse stumbled over may be a key. */
	if (reading.has_keys &&
	    (strstr(fmt, "unexpected token") != NULL ||
		strstr(fmt, "no such option") != NULL))
		(void)snprintf(text, sizeof(text),
		    "an unknown name, or a word that is out of place");
	if (cfg != NULL && cfg->filename != NULL && cfg->line != 0)
		log_at(LOG_ERROR, "%s:%d: %s", cfg->filename, cfg->line, text);
	else
		log_at(LOG_ERROR, "%s", text);
	reading.errors++;
}

static const struct conf_key *
conf_key_find(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(conf_keys); i++) {
		if (strcmp(conf_keys[i].name, name) == 0)
			return &conf_keys[i];
	}
	return NULL;
}

/* Of keys whose values are looked into when the file is read to its end. */
static void
conf_note_line(const struct conf_key *k, int line)
{
	if (strcmp(k->name, "tls_certificate") == 0)
		reading.conf->tls_certificate_line = line;
	else if (strcmp(k->name, "tls_certificate_key") == 0)
		reading.conf->tls_certificate_key_line = line;
}

/* A daemon key: one value, or one more of a list. */
static int
conf_key_cb(cfg_t *cfg, cfg_opt_t *opt)
{
	const struct conf_key *k = conf_key_find(opt->name);
	unsigned n = cfg_opt_size(opt);
	const char *text, *wrong;
	bool list = type_is_list(k->type);

	if (n == 0)
		return 0;
	text = cfg_opt_getnstr(opt, n - 1);
	if (text == NULL)
		return 0;
	conf_note_line(k, cfg->line);
	wrong =
	    list ? conf_list_item(k, text) : conf_set(reading.conf, k, text);
	if (wrong != NULL) {
		cfg_error(cfg, "%s: \"%s\" %s", opt->name, text, wrong);
		return -1;
	}
	return 0;
}

static struct location *
location_of(cfg_t *section)
{
	struct layout *l = reading.conf->layout;
	struct location *loc;

	for (loc = l->locations; loc != NULL; loc = loc->next) {
		if (strcmp(loc->prefix, cfg_title(section)) == 0)
			return loc;
	}
	return layout_add_location(l, cfg_title(section), &loc) == 0 ? loc
								     : NULL;
}

/* A push_stream_* setting, outside or inside a location block. */
static int
conf_setting_cb(cfg_t *cfg, cfg_opt_t *opt)
{
	char why[SETTINGS_WHY_SIZE];
	struct location *loc = NULL;
	const char *text = cfg_opt_getnstr(opt, 0);
	int err;

	if (text == NULL)
		return 0;
	if (cfg_title(cfg) != NULL) {
		loc = location_of(cfg);
		if (loc == NULL) {
			cfg_error(cfg, "out of memory");
			return -1;
		}
	}
	err = layout_set(reading.conf->layout, loc,
	    (struct slice){ opt->name, strlen(opt->name) },
	    (struct slice){ text, strlen(text) }, why);
	if (err == SETTINGS_IGNORED) {
		log_at(LOG_NOTICE, "%s:%d: %s: %s", cfg->filename, cfg->line,
		    opt->name, why);
		return 0;
	}
	if (err != 0) {
		cfg_error(cfg, "%s: %s", opt->name,
		    err == ERR_CONFIG ? why : err_text(err));
		return -1;
	}
	return 0;
}

static bool
is_network(const struct cidr *c, const char *text)
{
	struct cidr other;

	return text != NULL && cidr_parse(&other, text) == 0 &&
	    c->bits == other.bits &&
	    memcmp(c->addr, other.addr, sizeof(c->addr)) == 0;
}

/* One more network of a location's `allow` or `deny`.  libconfuse asks again
 * about the last one at the end of the list.  A second list would take the
 * place of the first without a word, and let in who was denied there. */
static int
conf_access_cb(cfg_t *cfg, cfg_opt_t *opt)
{
	bool allow = strcmp(opt->name, "allow") == 0;
	struct location *loc = location_of(cfg);
	unsigned n = cfg_opt_size(opt);
	struct cidr_list *list;
	const char *text;

	if (loc == NULL) {
		cfg_error(cfg, "out of memory");
		return -1;
	}
	list = allow ? &loc->allow : &loc->deny;
	text = n != 0 ? cfg_opt_getnstr(opt, n - 1) : NULL;
	if (n == list->n && (n == 0 || is_network(&list->list[n - 1], text)))
		return 0;
	if (n <= list->n) {
		cfg_error(
		    cfg, "%s is one list, and here is another", opt->name);
		return -1;
	}
	if (text != NULL && cidr_list_add(list, text) == 0)
		return 0;
	cfg_error(cfg,
	    "%s: \"%s\" is not an address or network such as 10.0.0.0/8",
	    opt->name, text != NULL ? text : "");
	return -1;
}

static int
conf_location_cb(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	const char *title = cfg_title(section);

	if (title == NULL || title[0] != '/') {
		cfg_error(cfg, "location \"%s\": does not start with a slash",
		    title != NULL ? title : "");
		return -1;
	}
	if (location_of(section) == NULL) {
		cfg_error(cfg, "out of memory");
		return -1;
	}
	return 0;
}

static size_t
setting_count(void)
{
	size_t n = 0;

	while (settings_name(n) != NULL)
		n++;
	return n;
}

static void
opt_text(cfg_opt_t *o, const char *name)
{
	*o = (cfg_opt_t)CFG_STR(name, NULL, CFGF_NODEFAULT);
}

static bool
conf_key_is_list(const struct conf_key *k)
{
	return type_is_list(k->type) || strcmp(k->name, "signature_key") == 0;
}

/* Who checks values, once libconfuse knows the names. */
static void
conf_validators(cfg_t *cfg)
{
	char path[128];

	for (size_t i = 0; i < COUNT_OF(conf_keys); i++)
		(void)cfg_set_validate_func(cfg, conf_keys[i].name,
		    conf_keys[i].type == TYPE_LICENCE ? licence_value_cb
						      : conf_key_cb);
	for (size_t i = 0; settings_name(i) != NULL; i++) {
		(void)cfg_set_validate_func(
		    cfg, settings_name(i), conf_setting_cb);
		(void)snprintf(
		    path, sizeof(path), "location|%s", settings_name(i));
		(void)cfg_set_validate_func(cfg, path, conf_setting_cb);
	}
	(void)cfg_set_validate_func(cfg, "location|allow", conf_access_cb);
	(void)cfg_set_validate_func(cfg, "location|deny", conf_access_cb);
	for (const cfg_opt_t *o = licence_options; o->name != NULL; o++) {
		(void)snprintf(path, sizeof(path), "licence|%s", o->name);
		(void)cfg_set_validate_func(cfg, path, licence_value_cb);
	}
	(void)cfg_set_validate_func(cfg, "location", conf_location_cb);
	(void)cfg_set_validate_func(cfg, "licence", licence_block_cb);
}

/* libconfuse's view of the tables. */
static cfg_t *
conf_options(cfg_opt_t **root, cfg_opt_t **inner)
{
	size_t settings = setting_count(), n = 0;
	cfg_t *cfg;

	*root = calloc(COUNT_OF(conf_keys) + settings + 3, sizeof(**root));
	*inner = calloc(settings + 3, sizeof(**inner));
	if (*root == NULL || *inner == NULL)
		return NULL;
	for (size_t i = 0; i < settings; i++)
		opt_text(&(*inner)[i], settings_name(i));
	(*inner)[settings] =
	    (cfg_opt_t)CFG_STR_LIST("allow", NULL, CFGF_NODEFAULT);
	(*inner)[settings + 1] =
	    (cfg_opt_t)CFG_STR_LIST("deny", NULL, CFGF_NODEFAULT);
	(*inner)[settings + 2] = (cfg_opt_t)CFG_END();
	for (size_t i = 0; i < COUNT_OF(conf_keys); i++, n++) {
		if (conf_key_is_list(&conf_keys[i]))
			(*root)[n] = (cfg_opt_t)CFG_STR_LIST(
			    conf_keys[i].name, NULL, CFGF_NODEFAULT);
		else
			opt_text(&(*root)[n], conf_keys[i].name);
	}
	for (size_t i = 0; i < settings; i++, n++)
		opt_text(&(*root)[n], settings_name(i));
	(*root)[n++] = (cfg_opt_t)CFG_SEC(
	    "location", *inner, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
	(*root)[n++] = (cfg_opt_t)CFG_SEC("licence", licence_options,
	    CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
	(*root)[n] = (cfg_opt_t)CFG_END();
	cfg = cfg_init(*root, CFGF_NONE);
	if (cfg == NULL)
		return NULL;
	(void)cfg_set_error_function(cfg, conf_complain);
	conf_validators(cfg);
	return cfg;
}

static int
conf_defaults(struct conf *c)
{
	int err = 0;

	for (size_t i = 0; i < COUNT_OF(conf_keys) && err == 0; i++) {
		const struct conf_key *k = &conf_keys[i];

		if (type_is_list(k->type))
			err = strings_split(
			    (struct strings *)(void *)((char *)c + k->offset),
			    k->initial);
		else if (k->type != TYPE_LICENCE &&
		    conf_set(c, k, k->initial) != NULL)
			err = ERR_NOMEM;
	}
	return err;
}

/* Lists replace their default as a whole, also with an empty list. */
static int
conf_take_lists(struct conf *c, cfg_t *cfg)
{
	int err = 0;

	for (size_t i = 0; i < COUNT_OF(conf_keys) && err == 0; i++) {
		const struct conf_key *k = &conf_keys[i];
		struct strings *s =
		    (struct strings *)(void *)((char *)c + k->offset);
		cfg_opt_t *opt = cfg_getopt(cfg, k->name);

		if (!type_is_list(k->type) || (opt->flags & CFGF_MODIFIED) == 0)
			continue;
		strings_release(s);
		for (unsigned j = 0; j < cfg_opt_size(opt) && err == 0; j++) {
			const char *text = cfg_opt_getnstr(opt, j);

			err = strings_add(s, text, strlen(text));
		}
	}
	for (size_t i = 0; i < c->fronts.n && err == 0; i++)
		err = cidr_list_add(&c->fronts_cidr, c->fronts.list[i]);
	for (size_t i = 0; i < c->trusted_proxies.n && err == 0; i++)
		err =
		    cidr_list_add(&c->trusted_cidr, c->trusted_proxies.list[i]);
	for (size_t i = 0; i < c->publish_from.n && err == 0; i++)
		err = cidr_list_add(
		    &c->layout->publish_from, c->publish_from.list[i]);
	return err;
}

static int
conf_check(const struct conf *c, const char *path)
{
	char why[SETTINGS_WHY_SIZE];
	int err = layout_check(c->layout, why);

	if (err == ERR_CONFIG)
		log_at(LOG_ERROR, "%s: %s", path, why);
	else if (c->replay_messages == 0 || c->replay_size == 0 ||
	    c->client_max_body_size == 0 || c->max_params_size < 4096) {
		log_at(LOG_ERROR,
		    "%s: replay_messages, replay_size and "
		    "client_max_body_size cannot be 0, and max_params_size "
		    "cannot be less than 4096",
		    path);
		err = ERR_CONFIG;
	}
	if (err == 0 &&
	    (c->client_max_body_size > BODY_LIMIT ||
		c->replay_size > BODY_LIMIT)) {
		/* An answer has to hold them, and its template's bytes. */
		log_at(LOG_ERROR,
		    "%s: client_max_body_size and replay_size "
		    "cannot be more than 32m",
		    path);
		err = ERR_CONFIG;
	}
	return err;
}

/*
 * libconfuse 3.3 counts a comment as several lines and takes none within a
 * list, so it gets blanks in their place.  A '#' within quotes or inside a
 * word begins no comment.
 */
static void
conf_blank_comments(struct buf *text)
{
	char c, quote = '\0', before = '\n';

	for (size_t i = 0; i < text->len; i++, before = c) {
		c = text->data[i];
		if (quote != '\0') {
			if (c == '\\')
				i++;
			else if (c == quote)
				quote = '\0';
		} else if (c == '"' || c == '\'') {
			quote = c;
		} else if (c == '#' && strchr(" \t\r\n={},\"'", before)) {
			while (text->data[i] != '\n')
				text->data[i++] = ' ';
			c = '\n';
		}
	}
}

int
conf_load(FILE *f, struct buf *text)
{
	char part[4096];
	size_t n;
	int err = 0;

	while (err == 0 && (n = fread(part, 1, sizeof(part), f)) != 0)
		err = buf_append(text, part, n);
	return err == 0 && ferror(f) != 0 ? ERR_SYSTEM : err;
}

/* The file without its comments; it ends with a line end.  errno is set. */
static int
conf_load_path(const char *path, struct buf *text)
{
	FILE *f = fopen(path, "re");
	int err;

	if (f == NULL)
		return ERR_SYSTEM;
	err = conf_load(f, text);
	if (err == 0)
		err = buf_text(text, "\n");
	if (err == 0)
		conf_blank_comments(text);
	else if (err != ERR_SYSTEM)
		errno = EFBIG;
	(void)fclose(f);
	return err;
}

/* As cfg_parse(), which would take the file as it is. */
static int
conf_parse_file(cfg_t *cfg, const char *path)
{
	int rc = CFG_FILE_ERROR;
	struct buf text;
	FILE *f;

	buf_init(&text, CONF_FILE_MAX);
	if (conf_load_path(path, &text) == 0 &&
	    (cfg->filename = strdup(path)) != NULL &&
	    (f = fmemopen(text.data, text.len, "r")) != NULL) {
		reading.has_keys = memmem(text.data, text.len, "signature_key",
				       strlen("signature_key")) != NULL;
		rc = cfg_parse_fp(cfg, f);
		(void)fclose(f);
	}
	buf_release(&text);
	return rc;
}

/* What the parser does not hand over line by line. */
static int
conf_take(struct conf *c, cfg_t *cfg)
{
	int err = conf_take_lists(c, cfg);

	if (err != 0)
		return err;
	c->licences_shown = licences_show(cfg);
	return c->licences_shown != NULL ? 0 : ERR_NOMEM;
}

static int
conf_parse(struct conf *c, const char *path)
{
	cfg_opt_t *root = NULL, *inner = NULL;
	cfg_t *cfg = conf_options(&root, &inner);
	int rc, ended, err = ERR_NOMEM;

	reading.conf = c;
	reading.errors = 0;
	if (cfg != NULL) {
		licences_begin(&c->layout->licences);
		rc = conf_parse_file(cfg, path);
		ended =
		    licences_end(cfg, rc == CFG_SUCCESS && reading.errors == 0);
		if (rc == CFG_FILE_ERROR) {
			log_at(LOG_ERROR, "%s: %s", path, strerror(errno));
			err = ERR_CONFIG;
		} else if (rc != CFG_SUCCESS || reading.errors != 0) {
			err = ERR_CONFIG;
		} else {
			err = ended != 0 ? ended : conf_take(c, cfg);
		}
		cfg_free(cfg);
	}
	free(root);
	free(inner);
	return err != 0 ? err : conf_check(c, path);
}

int
conf_read(const char *path, struct conf **out)
{
	struct conf *c = calloc(1, sizeof(*c));
	int err;

	if (c == NULL)
		return ERR_NOMEM;
	c->layout = layout_new();
	c->path = strdup(path);
	err =
	    c->layout != NULL && c->path != NULL ? conf_defaults(c) : ERR_NOMEM;
	if (err == 0)
		err = conf_parse(c, path);
	if (err != 0) {
		conf_free(&c);
		return err;
	}
	*out = c;
	return 0;
}

void
conf_free(struct conf **cp)
{
	struct conf *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	for (size_t i = 0; i < COUNT_OF(conf_keys); i++) {
		void *field = (char *)c + conf_keys[i].offset;

		if (conf_keys[i].type == TYPE_TEXT)
			free(*(char **)field);
		else if (type_is_list(conf_keys[i].type))
			strings_release(field);
	}
	cidr_list_release(&c->fronts_cidr);
	cidr_list_release(&c->trusted_cidr);
	layout_free(&c->layout);
	free(c->licences_shown);
	free(c->path);
	free(c);
}

struct layout *
conf_take_layout(struct conf *c)
{
	struct layout *l = c->layout;

	c->layout = NULL;
	return l;
}

void
conf_quote(FILE *out, const char *text, size_t len)
{
	(void)fputc('"', out);
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"' || text[i] == '\\')
			(void)fprintf(out, "\\%c", text[i]);
		else if (text[i] == '\n')
			(void)fputs("\\n", out);
		else if (text[i] == '\r')
			(void)fputs("\\r", out);
		else if (text[i] == '$' && i + 1 < len && text[i + 1] == '{')
			(void)fputs("\\$", out);
		else
			(void)fputc(text[i], out);
	}
	(void)fputc('"', out);
}

static void
dump_key(const struct conf *c, const struct conf_key *k, FILE *out)
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

static void
dump_access(const char *name, const struct cidr_list *l, FILE *out)
{
	char text[CIDR_TEXT_SIZE];

	if (l->n == 0)
		return;
	(void)fprintf(out, "\t%s = {", name);
	for (size_t i = 0; i < l->n; i++) {
		cidr_format(&l->list[i], text);
		(void)fprintf(out, "%s\"%s\"", i != 0 ? ", " : "", text);
	}
	(void)fputs("}\n", out);
}

void
conf_dump(const struct conf *c, FILE *out)
{
	const struct layout *l = c->layout;
	char value[65536];
	int len;

	for (size_t i = 0; i < COUNT_OF(conf_keys); i++) {
		if (conf_keys[i].type != TYPE_LICENCE)
			dump_key(c, &conf_keys[i], out);
	}
	(void)fputs(c->licences_shown, out);
	(void)fputc('\n', out);
	for (size_t i = 0; settings_name(i) != NULL; i++) {
		len = settings_show(&l->settings, i, value, sizeof(value));
		if (len < 0 || (size_t)len >= sizeof(value))
			continue; /* not set */
		(void)fprintf(out, "%s = ", settings_name(i));
		conf_quote(out, value, (size_t)len);
		(void)fputc('\n', out);
	}
	for (const struct location *loc = l->locations; loc != NULL;
	     loc = loc->next) {
		(void)fputs("\nlocation ", out);
		conf_quote(out, loc->prefix, strlen(loc->prefix));
		(void)fputs(" {\n", out);
		for (const struct rule *r = loc->rules.first; r != NULL;
		     r = r->next) {
			(void)fprintf(
			    out, "\t%.*s = ", (int)r->name.len, r->name.ptr);
			conf_quote(out, r->value.ptr, r->value.len);
			(void)fputc('\n', out);
		}
		dump_access("allow", &loc->allow, out);
		dump_access("deny", &loc->deny, out);
		(void)fputs("}\n", out);
	}
}
