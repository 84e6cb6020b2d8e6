/*
 * daemon/conf_priv.h - what the files that read and show holdfast.conf share.
 *
 * Keys of licences are texts to libconfuse; the keyrings are made of them when
 * their block, or the file, is over.  A key is never printed.
 */
#ifndef DAEMON_CONF_PRIV_H
#define DAEMON_CONF_PRIV_H

#include "base/base.h"

#include <confuse.h>
#include <stdio.h>

#include "auth/licence.h"
#include "base/buf.h"
#include "daemon/conf.h"

/* --- conf_key.c: the daemon's own keys, and what their texts mean ------- */

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

struct conf_key {
	const char *name;
	enum conf_type type;
	size_t offset;
	const char *initial;
};

enum {
#define CONF(name, type, field, initial, help) CONF_KEY_##name,
#include "daemon/conf.tbl"
#undef CONF
	CONF_KEYS
};

extern const struct conf_key conf_keys[CONF_KEYS];

/* Values of these come one by one, and are taken over at the file's end. */
bool conf_type_is_list(enum conf_type type);
struct strings *conf_key_list(struct conf *c, const struct conf_key *k);
void strings_release(struct strings *s);
int strings_add(struct strings *s, const char *text, size_t len) MUST_CHECK;
const struct conf_key *conf_key_find(const char *name);
/* A whole number in decimal or octal that 32 bits hold. */
bool conf_number(const char *text, int base, uint64_t *out);
/* NULL, or what is wrong with the value; of a list: with one more item, which
 * is only looked at. */
const char *conf_key_set(
    struct conf *c, const struct conf_key *k, const char *text);
const char *conf_key_item(const struct conf_key *k, const char *text);
int conf_defaults(struct conf *c) MUST_CHECK;
void conf_keys_release(struct conf *c);
void conf_key_show(const struct conf *c, const struct conf_key *k, FILE *out);

/* --- conf_file.c: the file as text -------------------------------------- */

/* The rest of the file, appended.  ERR_SYSTEM: errno says why; ERR_TOOBIG,
 * ERR_NOMEM. */
int conf_load(FILE *f, struct buf *text) MUST_CHECK;
/* The file without its comments; it ends with a line end.  errno is set. */
int conf_load_path(const char *path, struct buf *text) MUST_CHECK;

/* --- conf_dump.c --------------------------------------------------------- */

/* As a double-quoted string of libconfuse. */
void conf_quote(FILE *out, const char *text, size_t len);

/* --- conf_licence.c ------------------------------------------------------ */

/* Of a licence block. */
extern cfg_opt_t licence_options[];
/* Validates one value of a key that licence_options has, in a block or outside:
 * then it is the site's own. */
int licence_value_cb(cfg_t *cfg, cfg_opt_t *opt);
int licence_block_cb(cfg_t *cfg, cfg_opt_t *opt);

/* Around the parser's work, which fills `into`.  The end takes over the site's
 * own keys if all is good.  ERR_NOMEM. */
void licences_begin(struct licences *into);
int licences_end(cfg_t *root, bool good) MUST_CHECK;
/* What -T prints of them, to be freed; NULL: no memory. */
char *licences_show(cfg_t *root);

#endif
