/*
 * daemon/conf_priv.h - what conf.c and conf_licence.c share.
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

/* The rest of the file, appended.  ERR_SYSTEM: errno says why; ERR_TOOBIG,
 * ERR_NOMEM. */
int conf_load(FILE *f, struct buf *text) MUST_CHECK;
/* As a double-quoted string of libconfuse. */
void conf_quote(FILE *out, const char *text, size_t len);

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
