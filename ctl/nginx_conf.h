/*
 * ctl/nginx_conf.h - an nginx configuration as a tree that remembers bytes.
 *
 * Owner: a file owns its nodes and, through its include directives, the files
 * that they name (ctl/nginx_load.h).  Slices point into the file.  Lines count
 * from 1, offsets are bytes.
 * Source: what nginx itself takes for words, quotes, escapes and comments.
 */
#ifndef CTL_NGINX_CONF_H
#define CTL_NGINX_CONF_H

#include "base/base.h"

#define NGINX_WHY_SIZE 256
#define NGINX_WORD_MAX 4095 /* bytes; nginx refuses longer ones */
#define NGINX_DEPTH_MAX 100

struct nginx_file;
struct nginx_edit; /* ctl/nginx_edit.h */

struct nginx_word {
	struct slice raw;   /* as written, quotes included */
	struct slice value; /* as nginx understands it */
};

/* A directive, with or without a block; or, without words, a whole file. */
struct nginx_node {
	struct nginx_node *next;
	struct nginx_node *parent;
	struct nginx_node *children;
	struct nginx_file *file;
	struct nginx_word *words;
	size_t n_words;
	unsigned line;
	bool has_block;
	size_t start; /* of the first word */
	size_t open;  /* after its {; a file's is 0 */
	size_t close; /* at its }; a file's is its end */
	size_t end;   /* after its ; or } */
	struct nginx_file *included;
};

struct nginx_file {
	char *name; /* for messages */
	char *path; /* below the main file's folder */
	char *text;
	size_t len;
	char *values; /* what the words' values point into */
	size_t values_len;
	struct nginx_node root;
	struct nginx_node *from; /* its include directive; NULL: main file */
	struct nginx_file *next; /* of the same include directive */
	struct nginx_file *twin; /* the same file, included before; or NULL */
	bool differs;		 /* from what its twin became */
	struct nginx_edit *edits;
	bool failed; /* an edit found no memory */
};

struct nginx_error {
	unsigned line;
	char why[NGINX_WHY_SIZE];
};

/* A file without a tree yet; it takes copies.  NULL: no memory. */
struct nginx_file *nginx_file_new(
    const char *name, const char *path, const char *text, size_t len);
void nginx_file_free(struct nginx_file **fp);

/* Make the tree, once.  0; ERR_SYNTAX and *error; ERR_NOMEM. */
int nginx_parse(struct nginx_file *f, struct nginx_error *error) MUST_CHECK;

/* The directives of a block in nginx's order, those of included files in
 * their place.  NULL: no more. */
struct nginx_node *nginx_first(struct nginx_node *block);
struct nginx_node *nginx_next(struct nginx_node *n);
/* The block around a directive or block, also through includes; NULL: n is
 * the main file. */
struct nginx_node *nginx_outer(const struct nginx_node *n);
/* The last directive of that name in the block, as nginx_first() sees it. */
struct nginx_node *nginx_find(struct nginx_node *block, const char *name);

bool nginx_is(const struct nginx_node *n, const char *name);

#endif
