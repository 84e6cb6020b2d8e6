/*
 * ctl/convert.c - from nginx-push-stream-module's configuration to ours.
 *
 * One walk over all files: what is the module's becomes a parameter, a line of
 * holdfast.conf, or a comment, and everything else stays as it is, byte for
 * byte.  Nothing disappears: a directive that has no place any more can still
 * be read where it stood.
 *
 * A file that is included twice is converted twice, each time for its place;
 * if the two differ somebody has to look, since there is only one file.
 */
#include "ctl/convert.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>

#include "ctl/convert_priv.h"

#define EXIT_EYE 3

static void say_at(const struct nginx_node *n, const char *kind,
    const char *fmt, va_list ap) PRINTF_LIKE(3, 0);

static void
say_at(
    const struct nginx_node *n, const char *kind, const char *fmt, va_list ap)
{
	char text[1024];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	nginx_say(n->file, n->line, "%s%s", kind, text);
}

void
convert_eye(struct convert *c, const struct nginx_node *n, const char *fmt, ...)
{
	va_list ap;

	if (n->file->twin != NULL)
		return;
	c->eyes++;
	va_start(ap, fmt);
	say_at(n, "", fmt, ap);
	va_end(ap);
}

/* The same, but it needs nobody's eye. */
static void PRINTF_LIKE(2, 3)
    convert_note(const struct nginx_node *n, const char *fmt, ...)
{
	va_list ap;

	if (n->file->twin != NULL)
		return;
	va_start(ap, fmt);
	say_at(n, "note: ", fmt, ap);
	va_end(ap);
}

void
convert_keep(struct convert *c, int err)
{
	if (c->err == 0)
		c->err = err;
}

void
convert_line(struct convert *c, struct buf *lines, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	convert_keep(c, buf_vprintf(lines, fmt, ap));
	va_end(ap);
	convert_keep(c, buf_append(lines, "", 1));
}

static void
walk_directive(
    struct convert *c, const struct endpoint *e, struct nginx_node *n)
{
	size_t value;
	const struct directive *d = directive_of(n, &value);

	if (d == NULL) {
		convert_eye(c, n,
		    "%.*s is no directive of the module's that Holdfast knows",
		    (int)MIN_OF(n->words[0].raw.len, 64), n->words[0].raw.ptr);
		nginx_comment(n, NULL);
	} else if (d->scope == SCOPE_ACCEPTED) {
		/* With its shared memory the module itself is set up here. */
		c->has_store |= strstr(d->name, "shared_memory") != NULL;
		convert_note(n, "%s is left out. %s", d->name, d->help);
		nginx_comment(n, NULL);
	} else if (d->scope == SCOPE_STORE) {
		c->has_store = true;
		output_store(c, n);
		nginx_comment(n, "(holdfast.conf) ");
	} else if (e != NULL) {
		endpoint_directive(c, e, n);
	} else if (directive_is_selector(d)) {
		convert_eye(c, n, "%s stands in a location only", d->name);
		nginx_comment(n, NULL);
	} else {
		nginx_comment(n, "(in each location) ");
	}
}

/* nginx allows no parameter inside if. */
static void
walk_if(struct convert *c, const struct endpoint *e, struct nginx_node *n)
{
	struct nginx_node *i;

	if (e != NULL && endpoint_if(c, e, n))
		return;
	for (i = n->children; i != NULL; i = i->next) {
		if (!directive_is_module(i))
			continue;
		convert_eye(c, i,
		    "nginx allows no parameter inside if: write this "
		    "condition in another way (a map, or if_not_empty)");
		nginx_comment(i, NULL);
	}
}

/* The module declared two variables, which are gone with it. */
static void
check_variables(struct convert *c, const struct nginx_node *n)
{
	static const struct slice name = SLICE_INIT("$push_stream_channel");

	for (size_t i = 1; i < n->n_words; i++) {
		if (memmem(n->words[i].raw.ptr, n->words[i].raw.len, name.ptr,
			name.len) != NULL)
			convert_eye(c, n,
			    "a variable of the module's is used here, and "
			    "there is none any more");
	}
}

static bool
is_module_file(const struct nginx_node *n)
{
	static const struct slice name = SLICE_INIT("push_stream");

	return nginx_is(n, "load_module") && n->n_words == 2 &&
	    memmem(n->words[1].raw.ptr, n->words[1].raw.len, name.ptr,
		name.len) != NULL;
}

static void walk_block(
    struct convert *c, const struct endpoint *e, struct nginx_node *block);

static void
walk_location(struct convert *c, struct nginx_node *n)
{
	struct endpoint e;

	if (!endpoint_find(n, &e)) {
		walk_block(c, NULL, n);
		return;
	}
	endpoint_begin(c, &e);
	walk_block(c, &e, n);
}

static void
walk_node(struct convert *c, const struct endpoint *e, struct nginx_node *n)
{
	if (directive_is_module(n)) {
		walk_directive(c, e, n);
		return;
	}
	check_variables(c, n);
	if (is_module_file(n)) {
		convert_note(n, "the module is not loaded any more");
		nginx_comment(n, NULL);
	} else if (nginx_is(n, "if")) {
		walk_if(c, e, n);
	} else if (nginx_is(n, "location")) {
		walk_location(c, n);
	} else {
		walk_block(c, NULL, n);
	}
	for (struct nginx_file *f = n->included; f != NULL; f = f->next)
		walk_block(c, e, &f->root);
}

static void
walk_block(
    struct convert *c, const struct endpoint *e, struct nginx_node *block)
{
	for (struct nginx_node *n = block->children; n != NULL; n = n->next)
		walk_node(c, e, n);
}

/* Do names of 0.3.x appear? */
static bool
is_old(const struct nginx_node *block)
{
	const struct directive *d;
	size_t value;

	for (const struct nginx_node *n = block->children; n != NULL;
	     n = n->next) {
		d = directive_of(n, &value);
		if (d != NULL && (value == 2 || directive_is_old(d)))
			return true;
		if (is_old(n))
			return true;
	}
	return false;
}

static const char *
guess_compat(const struct nginx_load *l)
{
	for (size_t i = 0; i < l->n_files; i++) {
		if (is_old(&l->files[i]->root))
			return "0.3.4";
	}
	return "0.6.0";
}

static void
compare_with_twin(struct convert *c, struct nginx_file *f)
{
	struct buf a, b;
	bool same;

	buf_init(&a, CONVERT_TEXT_MAX);
	buf_init(&b, CONVERT_TEXT_MAX);
	convert_keep(c, nginx_render(f, &a));
	convert_keep(c, nginx_render(f->twin, &b));
	same = a.len == b.len && (a.len == 0 || !memcmp(a.data, b.data, a.len));
	if (!same && !f->twin->differs) {
		f->twin->differs = true;
		c->eyes++;
		nginx_say(f->from->file, f->from->line,
		    "%s would become something else here than where it is "
		    "included on line %u of %s; it was written for there",
		    f->path, f->twin->from->line, f->twin->from->file->name);
	}
	buf_release(&a);
	buf_release(&b);
}

static void
say_outside(void *arg, const struct nginx_node *n)
{
	struct convert *c = arg;

	convert_eye(c, n,
	    "%.*s is outside the main file's folder and was not looked at",
	    (int)MIN_OF(n->words[1].raw.len, 512), n->words[1].raw.ptr);
}

/* All files, in memory. */
static void
convert_all(struct convert *c)
{
	if (c->compat == NULL)
		c->compat = guess_compat(&c->load);
	walk_block(c, NULL, &c->load.main->root);
	output_http(c);
	for (size_t i = 0; i < c->load.n_files; i++) {
		if (c->load.files[i]->twin != NULL)
			compare_with_twin(c, c->load.files[i]);
	}
}

static int
convert(const char *path, const char *compat, const char *folder)
{
	struct convert c = { .compat = compat };
	int err;

	c.load.outside = say_outside;
	c.load.arg = &c;
	buf_init(&c.store, CONVERT_TEXT_MAX);
	buf_init(&c.locations, CONVERT_TEXT_MAX);
	buf_init(&c.http, CONVERT_TEXT_MAX);
	err = nginx_load(&c.load, path);
	if (err == 0) {
		convert_all(&c);
		err = c.err;
		if (err == 0)
			err = folder != NULL ? output_write(&c, folder)
					     : output_print(&c);
		if (err != 0 && err != ERR_SYSTEM)
			(void)fprintf(
			    stderr, "holdfastctl: %s\n", err_text(err));
	}
	nginx_load_release(&c.load);
	buf_release(&c.store);
	buf_release(&c.locations);
	buf_release(&c.http);
	return err != 0 ? 1 : c.eyes != 0 ? EXIT_EYE : 0;
}

static bool
is_version(const char *v)
{
	return strcmp(v, "0.3.4") == 0 || strcmp(v, "0.4.0") == 0 ||
	    strcmp(v, "0.6.0") == 0;
}

int
convert_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "compat", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	const char *compat = NULL, *folder = NULL;
	int o;

	while ((o = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		if (o == 'o')
			folder = optarg;
		else if (o == 'c' && is_version(optarg))
			compat = optarg;
		else
			goto usage;
	}
	if (argc - optind == 1)
		return convert(argv[optind], compat, folder);
usage:
	(void)fprintf(stderr,
	    "usage: " CONVERT_USAGE "\n"
	    "  VERSION is 0.3.4, 0.4.0 or 0.6.0\n");
	return 2;
}
