/*
 * ctl/nginx_load.h - a main file and all that it includes.
 *
 * An include is read where it stands, each time, so that a file which is
 * included twice has two trees, each with one place.  Paths are relative to
 * the main file's folder, as nginx's are to that of nginx.conf; what lies
 * outside is not read.
 */
#ifndef CTL_NGINX_LOAD_H
#define CTL_NGINX_LOAD_H

#include "base/buf.h"
#include "ctl/nginx_conf.h"

struct nginx_load {
	char *folder;		   /* of the main file, absolute */
	char *prefix;		   /* the same, as it was written */
	struct nginx_file *main;   /* owner of all */
	struct nginx_file **files; /* all, in the order they were read */
	size_t n_files;
	size_t bytes;
	/* An include that was left alone. */
	void (*outside)(void *arg, const struct nginx_node *include);
	void *arg;
};

/* 0, or ERR_*, which was said on stderr.  Release it in either case. */
int nginx_load(struct nginx_load *l, const char *path) MUST_CHECK;
void nginx_load_release(struct nginx_load *l);

/* "file:line: " and a sentence on stderr. */
void nginx_say(const struct nginx_file *f, unsigned line, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

#endif
