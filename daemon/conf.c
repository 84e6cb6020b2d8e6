/*
 * daemon/conf.c - holdfast.conf through libconfuse.
 *
 * Every option is a string to libconfuse; what the string means is ours.  It
 * is checked and taken over in the validating callback, while the parser
 * still stands on its line, so every complaint names file and line.  The
 * callbacks carry no argument of their own: `reading` is what they write to.
 */
#include "daemon/conf_priv.h"

#include <errno.h>
#include <stdarg.h>

#define BODY_LIMIT ((uint64_t)32 << 20)
#define CONF_FILE_MAX ((size_t)16 << 20)

static struct {
	struct conf *conf;
	int errors;
	bool has_keys;
} reading;

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
	bool list = conf_type_is_list(k->type);

	if (n == 0)
		return 0;
	text = cfg_opt_getnstr(opt, n - 1);
	if (text == NULL)
		return 0;
	conf_note_line(k, cfg->line);
	wrong =
	    list ? conf_key_item(k, text) : conf_key_set(reading.conf, k, text);
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
	return conf_type_is_list(k->type) ||
	    strcmp(k->name, "signature_key") == 0;
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

/* Lists replace their default as a whole, also with an empty list. */
static int
conf_take_lists(struct conf *c, cfg_t *cfg)
{
	int err = 0;

	for (size_t i = 0; i < COUNT_OF(conf_keys) && err == 0; i++) {
		const struct conf_key *k = &conf_keys[i];
		struct strings *s = conf_key_list(c, k);
		cfg_opt_t *opt = cfg_getopt(cfg, k->name);

		if (!conf_type_is_list(k->type) ||
		    (opt->flags & CFGF_MODIFIED) == 0)
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
	    (c->max_incoming_size <
		    3 * (c->client_max_body_size + c->max_params_size) ||
		c->max_outgoing_size < c->subscriber_buffer_size ||
		c->max_subscriptions == 0)) {
		/* Or one alone might not have room, where large ones
		 * get no more than seven eighths. */
		log_at(LOG_ERROR,
		    "%s: max_incoming_size cannot be less than three times "
		    "client_max_body_size and max_params_size together, "
		    "max_outgoing_size not less than subscriber_buffer_size, "
		    "and max_subscriptions not 0",
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

static bool
is_default(cfg_t *cfg, const char *name)
{
	return (cfg_getopt(cfg, name)->flags & CFGF_MODIFIED) == 0;
}

/* A total that nobody has set leaves room for what he did set. */
static void
conf_widen(struct conf *c, cfg_t *cfg)
{
	uint64_t one = c->client_max_body_size + c->max_params_size;

	if (is_default(cfg, "max_incoming_size"))
		c->max_incoming_size = MAX_OF(c->max_incoming_size, 3 * one);
	if (is_default(cfg, "max_outgoing_size"))
		c->max_outgoing_size =
		    MAX_OF(c->max_outgoing_size, c->subscriber_buffer_size);
}

/* What the parser does not hand over line by line. */
static int
conf_take(struct conf *c, cfg_t *cfg)
{
	int err = conf_take_lists(c, cfg);

	if (err != 0)
		return err;
	conf_widen(c, cfg);
	c->layout->max_body = c->client_max_body_size;
	c->layout->request_timeout_ms = c->request_timeout_ms;
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
	conf_keys_release(c);
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
