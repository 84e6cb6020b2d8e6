/*
 * daemon/conf_licence.c - whose channels: the keys of holdfast.conf that sign.
 *
 * The site's own stand outside of blocks, those of sites that share the daemon
 * in `licence "clientid" { }`.  Each value is checked while the parser stands
 * on its line; a keyring is made at the end, when its algorithm is known.  What
 * -T shows is written then, too: a key leaves no copy that could be shown later.
 */
#include "daemon/conf_priv.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"

#define KEY_FILE_MAX ((size_t)1 << 16)
#define DEFAULT_ALGO "sha1"
#define DAY_S 86400

cfg_opt_t licence_options[] = {
	CFG_STR_LIST("signature_key", NULL, CFGF_NODEFAULT),
	CFG_STR("signature_key_file", NULL, CFGF_NODEFAULT),
	CFG_STR("signature_algo", NULL, CFGF_NODEFAULT),
	CFG_STR_LIST("hosts", NULL, CFGF_NODEFAULT),
	CFG_STR("valid_until", NULL, CFGF_NODEFAULT),
	CFG_STR("host_id", NULL, CFGF_NODEFAULT),
	CFG_END(),
};

/* While the file is read. */
static struct {
	struct licences *licences;
	struct buf own_file, block_file; /* what key files hold */
} in_hand;

/* The next line that is not empty, or false. */
static bool
next_key(struct slice *rest, struct slice *key)
{
	while (rest->len != 0) {
		const char *end = memchr(rest->ptr, '\n', rest->len);
		size_t len =
		    end != NULL ? (size_t)(end - rest->ptr) : rest->len;
		size_t used = len + (end != NULL);

		*key = (struct slice){ rest->ptr, len };
		*rest = (struct slice){ rest->ptr + used, rest->len - used };
		while (key->len != 0 && key->ptr[key->len - 1] == '\r')
			key->len--;
		if (key->len != 0)
			return true;
	}
	return false;
}

static void
warn_if_open(FILE *f, const char *path)
{
	struct stat st;

	if (fstat(fileno(f), &st) == 0 && (st.st_mode & S_IROTH) != 0)
		log_at(LOG_WARN, "%s: others can read these keys", path);
}

static int
key_file_check(cfg_t *cfg, const char *path, struct buf *text)
{
	struct slice rest, key;
	FILE *f;
	int err;

	buf_release(text);
	if (path[0] == '\0')
		return 0; /* none */
	f = fopen(path, "re");
	if (f == NULL) {
		cfg_error(
		    cfg, "signature_key_file: %s: %s", path, strerror(errno));
		return -1;
	}
	buf_init(text, KEY_FILE_MAX);
	err = conf_load(f, text);
	if (err != 0)
		cfg_error(cfg, "signature_key_file: %s: %s", path,
		    err == ERR_SYSTEM ? strerror(errno) : err_text(err));
	else
		warn_if_open(f, path);
	(void)fclose(f);
	rest = (struct slice){ text->data, text->len };
	if (err == 0 && !next_key(&rest, &key)) {
		cfg_error(cfg, "signature_key_file: %s: it has no key", path);
		err = ERR_CONFIG;
	}
	return err != 0 ? -1 : 0;
}

/* The first second after that day. */
static bool
day_end(const char *text, int64_t *out)
{
	struct tm tm = { 0 };
	char again[sizeof("2027-01-31")];
	const char *end = strptime(text, "%Y-%m-%d", &tm);

	if (end == NULL || *end != '\0')
		return false;
	*out = timegm(&tm);
	/* One that there is: timegm() takes a 31st of February for a day in
	 * March. */
	(void)gmtime_r(&(time_t){ *out }, &tm);
	if (strftime(again, sizeof(again), "%Y-%m-%d", &tm) == 0 ||
	    strcmp(again, text) != 0)
		return false;
	*out += DAY_S;
	return true;
}

static bool
algo_ok(const char *name)
{
	struct keyring *k;
	int err = keyring_new(name, &k);

	if (err == 0)
		keyring_free(&k);
	return err != ERR_CONFIG;
}

/* NULL, or what is wrong with it. */
static const char *
value_wrong(const char *name, const char *text)
{
	int64_t day;

	if (strcmp(name, "signature_algo") == 0)
		return algo_ok(text) ? NULL : "is no algorithm such as sha1";
	if (strcmp(name, "hosts") == 0)
		return licence_host_ok((struct slice){ text, strlen(text) })
		    ? NULL
		    : "is not the name of a host, without its port";
	if (strcmp(name, "valid_until") == 0)
		return day_end(text, &day) ? NULL
					   : "is not a day such as 2027-01-31";
	return NULL; /* host_id, bitrix_host_id */
}

int
licence_value_cb(cfg_t *cfg, cfg_opt_t *opt)
{
	unsigned n = cfg_opt_size(opt);
	const char *text = n != 0 ? cfg_opt_getnstr(opt, n - 1) : NULL;
	const char *wrong;

	if (text == NULL)
		return 0;
	if (strcmp(opt->name, "signature_key_file") == 0)
		return key_file_check(cfg, text,
		    cfg_title(cfg) != NULL ? &in_hand.block_file
					   : &in_hand.own_file);
	if (strcmp(opt->name, "signature_key") == 0) {
		if (text[0] != '\0')
			return 0;
		cfg_error(cfg, "%s: a key cannot be empty", opt->name);
		return -1;
	}
	wrong = value_wrong(opt->name, text);
	if (wrong != NULL)
		cfg_error(cfg, "%s: \"%s\" %s", opt->name, text, wrong);
	return wrong != NULL ? -1 : 0;
}

static int
take_keys(struct licence *l, cfg_t *cfg, const struct buf *file)
{
	const char *algo = cfg_getstr(cfg, "signature_algo");
	unsigned n = cfg_size(cfg, "signature_key");
	struct slice key, rest = { file->data, file->len };
	int err;

	if (n == 0 && file->len == 0)
		return 0;
	err = keyring_new(algo != NULL ? algo : DEFAULT_ALGO, &l->keys);
	for (unsigned i = 0; i < n && err == 0; i++) {
		const char *text = cfg_getnstr(cfg, "signature_key", i);

		key = (struct slice){ text, strlen(text) };
		err = keyring_add(l->keys, key);
	}
	while (err == 0 && next_key(&rest, &key))
		err = keyring_add(l->keys, key);
	return err;
}

static int
take_host_id(struct licence *l, const char *text)
{
	if (text == NULL || text[0] == '\0')
		return 0;
	l->host_id = strdup(text);
	return l->host_id != NULL ? 0 : ERR_NOMEM;
}

static int
block_take(struct licence *l, cfg_t *block)
{
	const char *day = cfg_getstr(block, "valid_until");
	int err = take_keys(l, block, &in_hand.block_file);

	if (err == 0)
		err = take_host_id(l, cfg_getstr(block, "host_id"));
	for (unsigned i = 0; i < cfg_size(block, "hosts") && err == 0; i++) {
		const char *host = cfg_getnstr(block, "hosts", i);

		err = licence_add_host(l, (struct slice){ host, strlen(host) });
	}
	if (day != NULL)
		(void)day_end(day, &l->valid_until); /* it was checked */
	if (err == 0 && keyring_empty(l->keys))
		err = ERR_NOTFOUND;
	return err;
}

int
licence_block_cb(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *block = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	const char *title = cfg_title(block);
	struct licence *l;
	int err = licences_add(
	    in_hand.licences, (struct slice){ title, strlen(title) }, &l);

	if (err == 0)
		err = block_take(l, block);
	buf_release(&in_hand.block_file);
	if (err != 0)
		cfg_error(cfg, "licence \"%s\": %s", title,
		    err == ERR_CONFIG
			? "a client id is 32 to 64 letters and digits"
			: err == ERR_NOTFOUND ? "it has no signature_key"
					      : err_text(err));
	return err != 0 ? -1 : 0;
}

void
licences_begin(struct licences *into)
{
	in_hand.licences = into;
	buf_init(&in_hand.own_file, KEY_FILE_MAX);
	buf_init(&in_hand.block_file, KEY_FILE_MAX);
}

int
licences_end(cfg_t *root, bool good)
{
	struct licence *own = &in_hand.licences->personal;
	int err = 0;

	if (good)
		err = take_keys(own, root, &in_hand.own_file);
	if (good && err == 0)
		err = take_host_id(own, cfg_getstr(root, "bitrix_host_id"));
	buf_release(&in_hand.own_file);
	buf_release(&in_hand.block_file);
	return err;
}

static void
show_text(FILE *out, const char *indent, cfg_opt_t *opt, const char *initial)
{
	const char *text = cfg_opt_getnstr(opt, 0);

	if (text == NULL)
		text = initial;
	if (text == NULL)
		return;
	(void)fprintf(out, "%s%s = ", indent, opt->name);
	conf_quote(out, text, strlen(text));
	(void)fputc('\n', out);
}

static void
show_keys(FILE *out, const char *indent, cfg_t *cfg)
{
	unsigned n = cfg_size(cfg, "signature_key");

	if (n == 0)
		(void)fprintf(out, "%ssignature_key = {}\n", indent);
	else
		(void)fprintf(out, "%s# signature_key: %u key%s\n", indent, n,
		    n == 1 ? "" : "s");
	show_text(out, indent, cfg_getopt(cfg, "signature_key_file"), "");
	show_text(out, indent, cfg_getopt(cfg, "signature_algo"), DEFAULT_ALGO);
}

static void
show_block(FILE *out, cfg_t *block)
{
	(void)fputs("\nlicence ", out);
	conf_quote(out, cfg_title(block), strlen(cfg_title(block)));
	(void)fputs(" {\n", out);
	show_keys(out, "\t", block);
	(void)fputs("\thosts = {", out);
	for (unsigned i = 0; i < cfg_size(block, "hosts"); i++) {
		const char *host = cfg_getnstr(block, "hosts", i);

		(void)fputs(i != 0 ? ", " : "", out);
		conf_quote(out, host, strlen(host));
	}
	(void)fputs("}\n", out);
	show_text(out, "\t", cfg_getopt(block, "valid_until"), NULL);
	show_text(out, "\t", cfg_getopt(block, "host_id"), "");
	(void)fputs("}\n", out);
}

char *
licences_show(cfg_t *root)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return NULL;
	show_keys(out, "", root);
	show_text(out, "", cfg_getopt(root, "bitrix_host_id"), "");
	for (unsigned i = 0; i < cfg_size(root, "licence"); i++)
		show_block(out, cfg_getnsec(root, "licence", i));
	(void)fclose(out);
	return text;
}
