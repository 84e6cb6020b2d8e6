/*
 * ctl/nginx_load.c - read files, follow includes.
 *
 * Folders are compared as they are written, not by what links lead to: Debian
 * keeps links to other places in /etc/nginx/modules-enabled, and they are part
 * of the configuration like everything else there.
 */
#include "ctl/nginx_load.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#define FILE_MAX ((size_t)16 << 20)
#define ALL_MAX ((size_t)64 << 20)
#define FILES_MAX 10000 /* a file that is read twice counts twice */
#define INCLUDE_DEPTH_MAX 32

void
nginx_say(const struct nginx_file *f, unsigned line, const char *fmt, ...)
{
	va_list ap;

	(void)fprintf(stderr, "%s:%u: ", f->name, line);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

static void
say_no_memory(void)
{
	(void)fprintf(stderr, "holdfastctl: %s\n", err_text(ERR_NOMEM));
}

/* errno is set when it is ERR_SYSTEM. */
static int
read_file(const char *path, struct buf *text)
{
	char part[16384];
	size_t n;
	int err = 0;
	FILE *f = fopen(path, "re");

	if (f == NULL)
		return ERR_SYSTEM;
	while (err == 0 && (n = fread(part, 1, sizeof(part), f)) != 0)
		err = buf_append(text, part, n);
	if (err == 0 && ferror(f) != 0)
		err = ERR_SYSTEM;
	(void)fclose(f);
	return err;
}

static int
keep_file(struct nginx_load *l, struct nginx_file *f)
{
	struct nginx_file **files;

	for (size_t i = 0; i < l->n_files && f->twin == NULL; i++) {
		if (strcmp(l->files[i]->path, f->path) == 0)
			f->twin = l->files[i];
	}
	files = realloc(l->files, (l->n_files + 1) * sizeof(*files));
	if (files == NULL)
		return ERR_NOMEM;
	l->files = files;
	files[l->n_files++] = f;
	l->bytes += f->len;
	return 0;
}

static int
parse_file(struct nginx_file *f)
{
	struct nginx_error error;
	int err = nginx_parse(f, &error);

	if (err == ERR_SYNTAX)
		nginx_say(f, error.line, "%s", error.why);
	else if (err != 0)
		say_no_memory();
	return err;
}

static void
say_unreadable(const struct nginx_node *from, const char *name, int err)
{
	const char *why = err == ERR_SYSTEM ? strerror(errno) : err_text(err);

	if (from != NULL)
		nginx_say(from->file, from->line, "%s: %s%s", name, why,
		    err == ERR_SYSTEM && errno == ENOENT
			? " (includes are looked up from the main file's "
			  "folder)"
			: "");
	else
		(void)fprintf(stderr, "%s: %s\n", name, why);
}

/* Read and parse one file into *out; the caller owns it, also on errors. */
static int
load_file(struct nginx_load *l, const char *path, struct nginx_node *from,
    struct nginx_file **out)
{
	struct buf text, full, name;
	int err;

	buf_init(&text, MIN_OF(FILE_MAX, ALL_MAX - MIN_OF(l->bytes, ALL_MAX)));
	buf_init(&full, PATH_MAX);
	buf_init(&name, PATH_MAX);
	err = buf_printf(&full, "%s/%s", l->folder, path);
	if (err == 0)
		err = buf_append(&full, "", 1);
	if (err == 0)
		err = buf_printf(&name, "%s%s", l->prefix, path);
	if (err == 0)
		err = buf_append(&name, "", 1);
	if (err == 0)
		err = read_file(full.data, &text);
	if (err != 0) {
		say_unreadable(from, name.data != NULL ? name.data : path, err);
	} else {
		*out = nginx_file_new(name.data, path, text.data, text.len);
		err = *out != NULL ? 0 : ERR_NOMEM;
		if (err != 0)
			say_no_memory();
	}
	buf_release(&text);
	buf_release(&full);
	buf_release(&name);
	return err;
}

static int load_includes(
    struct nginx_load *l, struct nginx_node *block, unsigned depth);

/* Does this file include itself, by whatever way? */
static bool
is_open(const struct nginx_node *n, const char *path)
{
	for (; n != NULL; n = n->file->from) {
		if (strcmp(n->file->path, path) == 0)
			return true;
	}
	return false;
}

static int
load_included(struct nginx_load *l, struct nginx_node *n, const char *path,
    struct nginx_file ***last, unsigned depth)
{
	struct nginx_file *f = NULL;
	int err;

	if (is_open(n, path) || depth > INCLUDE_DEPTH_MAX ||
	    l->n_files >= FILES_MAX) {
		nginx_say(n->file, n->line, "%s %s", path,
		    is_open(n, path) ? "includes itself"
				     : "is one include too many");
		return ERR_SYNTAX;
	}
	err = load_file(l, path, n, &f);
	if (err != 0)
		return err;
	f->from = n;
	**last = f;
	*last = &f->next;
	err = keep_file(l, f);
	if (err != 0)
		say_no_memory();
	if (err == 0)
		err = parse_file(f);
	return err != 0 ? err : load_includes(l, &f->root, depth);
}

/* nginx includes what a pattern matches, and none is no error. */
static int
load_pattern(struct nginx_load *l, struct nginx_node *n, const char *path,
    struct nginx_file ***last, unsigned depth)
{
	struct buf pattern;
	size_t folder_len = strlen(l->folder) + 1;
	glob_t found;
	int err = 0;

	buf_init(&pattern, 2 * PATH_MAX);
	for (const char *c = l->folder; *c != '\0' && err == 0; c++)
		err = buf_printf(
		    &pattern, "%s%c", strchr("*?[\\", *c) ? "\\" : "", *c);
	if (err == 0)
		err = buf_printf(&pattern, "/%s", path);
	if (err == 0)
		err = buf_append(&pattern, "", 1);
	if (err != 0) {
		buf_release(&pattern);
		say_unreadable(n, path, err);
		return err;
	}
	memset(&found, 0, sizeof(found));
	if (glob(pattern.data, 0, NULL, &found) == GLOB_NOSPACE) {
		say_no_memory();
		err = ERR_NOMEM;
	}
	for (size_t i = 0; i < found.gl_pathc && err == 0; i++)
		err = load_included(
		    l, n, found.gl_pathv[i] + folder_len, last, depth);
	globfree(&found);
	buf_release(&pattern);
	return err;
}

/* The path below the main file's folder; NULL: it is outside. */
static const char *
path_inside(const struct nginx_load *l, const char *path)
{
	size_t len = strlen(l->folder);

	if (path[0] == '/') {
		if (strncmp(path, l->folder, len) != 0 || path[len] != '/')
			return NULL;
		path += len;
	}
	path += strspn(path, "/");
	while (strncmp(path, "./", 2) == 0)
		path += 2;
	if (strncmp(path, "../", 3) == 0 || strstr(path, "/../") != NULL)
		return NULL;
	return path;
}

static int
load_include(struct nginx_load *l, struct nginx_node *n, unsigned depth)
{
	struct nginx_file **last = &n->included;
	char *value;
	const char *path;
	int err;

	if (n->n_words != 2) {
		nginx_say(n->file, n->line, "include takes one file name");
		return ERR_SYNTAX;
	}
	value = strndup(n->words[1].value.ptr, n->words[1].value.len);
	if (value == NULL) {
		say_no_memory();
		return ERR_NOMEM;
	}
	path = path_inside(l, value);
	if (path == NULL) {
		l->outside(l->arg, n);
		err = 0;
	} else if (strpbrk(path, "*?[") != NULL) {
		err = load_pattern(l, n, path, &last, depth);
	} else {
		err = load_included(l, n, path, &last, depth);
	}
	free(value);
	return err;
}

static int
load_includes(struct nginx_load *l, struct nginx_node *block, unsigned depth)
{
	int err = 0;

	for (struct nginx_node *n = block->children; n != NULL && err == 0;
	     n = n->next) {
		if (nginx_is(n, "include"))
			err = load_include(l, n, depth + 1);
		else if (n->children != NULL)
			err = load_includes(l, n, depth);
	}
	return err;
}

/* Where the main file is; its name within is returned. */
static const char *
set_folder(struct nginx_load *l, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;

	l->prefix = strndup(path, (size_t)(name - path));
	if (l->prefix == NULL) {
		say_no_memory();
		return NULL;
	}
	l->folder = realpath(l->prefix[0] != '\0' ? l->prefix : ".", NULL);
	if (l->folder == NULL) {
		say_unreadable(NULL, path, ERR_SYSTEM);
		return NULL;
	}
	if (strcmp(l->folder, "/") == 0)
		l->folder[0] = '\0';
	return name;
}

int
nginx_load(struct nginx_load *l, const char *path)
{
	const char *name = set_folder(l, path);
	int err;

	if (name == NULL)
		return ERR_SYSTEM;
	err = load_file(l, name, NULL, &l->main);
	if (err == 0 && (err = keep_file(l, l->main)) != 0)
		say_no_memory();
	if (err == 0)
		err = parse_file(l->main);
	return err != 0 ? err : load_includes(l, &l->main->root, 0);
}

void
nginx_load_release(struct nginx_load *l)
{
	nginx_file_free(&l->main);
	free(l->files);
	free(l->folder);
	free(l->prefix);
}
