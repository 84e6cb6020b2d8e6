/*
 * ctl/nginx_conf.c - nginx's syntax.
 *
 * Words are separated by blanks; a directive is words up to ; or to a block
 * in braces.  Quotes, escapes, comments and ${ follow nginx's own reader, odd
 * corners included: a # or } inside a word is part of it, and a quoted word
 * must be followed by a blank, ; { or ).
 *
 * A node keeps the offsets of what it was made from, so whoever changes one
 * directive (nginx_edit.c) leaves every other byte alone.
 */
#include "ctl/nginx_conf.h"

#include <stdarg.h>
#include <stdio.h>

#include "ctl/nginx_edit.h"

struct parser {
	struct nginx_file *file;
	struct nginx_error *error;
	struct nginx_node *block; /* the innermost open one */
	struct nginx_node **last; /* where its next child goes */
	unsigned depth;
	size_t at;
	unsigned line;
};

static int PRINTF_LIKE(3, 4)
    wrong(struct nginx_error *error, unsigned line, const char *fmt, ...)
{
	va_list ap;

	error->line = line;
	va_start(ap, fmt);
	(void)vsnprintf(error->why, sizeof(error->why), fmt, ap);
	va_end(ap);
	return ERR_SYNTAX;
}

struct nginx_file *
nginx_file_new(const char *name, const char *path, const char *text, size_t len)
{
	struct nginx_file *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->name = strdup(name);
	f->path = strdup(path);
	f->text = malloc(len + 1);
	f->values = malloc(len + 1);
	f->len = len;
	f->root.file = f;
	f->root.has_block = true;
	f->root.close = len;
	f->root.end = len;
	if (f->name == NULL || f->path == NULL || f->text == NULL ||
	    f->values == NULL) {
		nginx_file_free(&f);
		return NULL;
	}
	if (len != 0)
		memcpy(f->text, text, len);
	f->text[len] = '\0';
	return f;
}

static void
files_free(struct nginx_file *f)
{
	struct nginx_file *next;

	for (; f != NULL; f = next) {
		next = f->next;
		nginx_file_free(&f);
	}
}

static void
nodes_free(struct nginx_node *n)
{
	struct nginx_node *next;

	for (; n != NULL; n = next) {
		next = n->next;
		nodes_free(n->children);
		files_free(n->included);
		free(n->words);
		free(n);
	}
}

void
nginx_file_free(struct nginx_file **fp)
{
	struct nginx_file *f = *fp;

	*fp = NULL;
	if (f == NULL)
		return;
	nodes_free(f->root.children);
	nginx_edits_free(f);
	free(f->name);
	free(f->path);
	free(f->text);
	free(f->values);
	free(f);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
at_end(const struct parser *p)
{
	return p->at >= p->file->len;
}

/* Step over one byte. */
static void
step(struct parser *p)
{
	if (p->file->text[p->at++] == '\n')
		p->line++;
}

static void
skip_blanks(struct parser *p)
{
	bool comment = false;

	for (; !at_end(p); step(p)) {
		char c = p->file->text[p->at];

		if (comment)
			comment = c != '\n';
		else if (c == '#')
			comment = true;
		else if (!is_blank(c))
			return;
	}
}

/* To the end of a word without quotes.  ${ does not open a block. */
static void
skip_plain(struct parser *p)
{
	bool dollar = false;

	for (; !at_end(p); step(p)) {
		char c = p->file->text[p->at];

		if (is_blank(c) || c == ';' || (c == '{' && !dollar))
			return;
		dollar = c == '$';
		if (c == '\\') {
			step(p);
			if (at_end(p))
				return;
		}
	}
}

/* From a quote to behind the one that closes it. */
static int
skip_quoted(struct parser *p)
{
	char quote = p->file->text[p->at], c;
	unsigned line = p->line;

	for (step(p); !at_end(p); step(p)) {
		c = p->file->text[p->at];
		if (c == quote) {
			step(p);
			c = p->file->text[p->at];
			if (at_end(p) || is_blank(c) ||
			    strchr(";{)", c) != NULL)
				return 0;
			return wrong(p->error, p->line,
			    "unexpected \"%c\" after a quoted word", c);
		}
		if (c == '\\') {
			step(p);
			if (at_end(p))
				break;
		}
	}
	return wrong(p->error, line, "the quote %c is never closed", quote);
}

static struct slice
unescape(struct nginx_file *f, struct slice raw)
{
	char *out = f->values + f->values_len;
	size_t n = 0;

	for (size_t i = 0; i < raw.len; i++) {
		char c = raw.ptr[i], next = '\0';

		if (c == '\\' && i + 1 < raw.len)
			next = raw.ptr[i + 1];
		if (next != '\0' && strchr("\"'\\trn", next) != NULL) {
			i++;
			c = next == 't'	  ? '\t'
			    : next == 'r' ? '\r'
			    : next == 'n' ? '\n'
					  : next;
		}
		out[n++] = c;
	}
	f->values_len += n;
	return (struct slice){ out, n };
}

static int
add_word(struct parser *p, struct nginx_node *n, size_t start)
{
	struct nginx_word *words, *w;
	struct slice inner;

	/* By doubling, at the powers of two: a types block has hundreds. */
	if ((n->n_words & (n->n_words - 1)) == 0) {
		words = realloc(
		    n->words, MAX_OF(n->n_words * 2, 1) * sizeof(*words));
		if (words == NULL)
			return ERR_NOMEM;
		n->words = words;
	}
	w = &n->words[n->n_words++];
	inner.ptr = p->file->text + start;
	inner.len = p->at - start;
	w->raw = inner;
	if (*inner.ptr == '"' || *inner.ptr == '\'') {
		inner.ptr++;
		inner.len -= 2;
	}
	w->value = unescape(p->file, inner);
	return 0;
}

static int
read_word(struct parser *p, struct nginx_node *n)
{
	size_t start = p->at;
	unsigned line = p->line;
	char c = p->file->text[start];
	int err = 0;

	if (c == '"' || c == '\'')
		err = skip_quoted(p);
	else
		skip_plain(p);
	if (err != 0)
		return err;
	if (p->at - start > NGINX_WORD_MAX)
		return wrong(p->error, line,
		    "a word of %zu bytes is too long for nginx: \"%.20s...\"",
		    p->at - start, p->file->text + start);
	return add_word(p, n, start);
}

/* Words up to ; or { of a directive that begins here. */
static int
read_words(struct parser *p, struct nginx_node *n)
{
	const char *text = p->file->text;
	int err = 0;

	while (err == 0) {
		skip_blanks(p);
		if (at_end(p))
			return wrong(p->error, n->line,
			    "\"%.*s\" is ended by neither ; nor {",
			    (int)MIN_OF(n->words[0].raw.len, 64),
			    n->words[0].raw.ptr);
		if (text[p->at] == ';' || text[p->at] == '{')
			return 0;
		if (text[p->at] == '}')
			return wrong(p->error, p->line, "unexpected \"}\"");
		err = read_word(p, n);
	}
	return err;
}

static int
open_block(struct parser *p, struct nginx_node *n)
{
	if (++p->depth > NGINX_DEPTH_MAX)
		return wrong(p->error, p->line,
		    "blocks are nested more than %d deep", NGINX_DEPTH_MAX);
	n->has_block = true;
	n->open = p->at;
	p->block = n;
	p->last = &n->children;
	return 0;
}

static int
read_directive(struct parser *p)
{
	struct nginx_node *n = calloc(1, sizeof(*n));
	int err;

	if (n == NULL)
		return ERR_NOMEM;
	*p->last = n;
	p->last = &n->next;
	n->parent = p->block;
	n->file = p->file;
	n->line = p->line;
	n->start = p->at;
	err = read_word(p, n);
	if (err == 0)
		err = read_words(p, n);
	if (err != 0)
		return err;
	step(p);
	n->end = p->at;
	return p->file->text[p->at - 1] == '{' ? open_block(p, n) : 0;
}

static int
close_block(struct parser *p)
{
	struct nginx_node *n = p->block;

	if (n->parent == NULL)
		return wrong(p->error, p->line, "unexpected \"}\"");
	n->close = p->at;
	step(p);
	n->end = p->at;
	p->depth--;
	p->block = n->parent;
	p->last = &n->next;
	return 0;
}

static int
check_bytes(const struct nginx_file *f, struct nginx_error *error)
{
	const char *nul = memchr(f->text, '\0', f->len);
	unsigned line = 1;

	if (nul == NULL)
		return 0;
	for (const char *c = f->text; c < nul; c++)
		line += *c == '\n';
	return wrong(error, line, "there is a NUL byte; this is no text");
}

int
nginx_parse(struct nginx_file *f, struct nginx_error *error)
{
	struct parser p = { .file = f, .error = error, .line = 1 };
	int err = check_bytes(f, error);

	p.block = &f->root;
	p.last = &f->root.children;
	while (err == 0) {
		skip_blanks(&p);
		if (at_end(&p))
			break;
		if (f->text[p.at] == '}')
			err = close_block(&p);
		else if (f->text[p.at] == ';' || f->text[p.at] == '{')
			err = wrong(
			    error, p.line, "unexpected \"%c\"", f->text[p.at]);
		else
			err = read_directive(&p);
	}
	if (err == 0 && p.block != &f->root)
		err = wrong(error, p.block->line,
		    "the block of \"%.*s\" is never closed with }",
		    (int)MIN_OF(p.block->words[0].raw.len, 64),
		    p.block->words[0].raw.ptr);
	return err;
}

/* The first directive of these files. */
static struct nginx_node *
first_of(struct nginx_file *f)
{
	for (; f != NULL; f = f->next) {
		if (f->root.children != NULL)
			return f->root.children;
	}
	return NULL;
}

struct nginx_node *
nginx_first(struct nginx_node *block)
{
	return block->children;
}

struct nginx_node *
nginx_next(struct nginx_node *n)
{
	struct nginx_node *found = first_of(n->included);

	while (found == NULL && (found = n->next) == NULL) {
		/* Past the end of an included file: on in the next one, then
		 * behind the directive that included them. */
		if (n->parent != &n->file->root || n->file->from == NULL)
			return NULL;
		found = first_of(n->file->next);
		n = n->file->from;
	}
	return found;
}

struct nginx_node *
nginx_outer(const struct nginx_node *n)
{
	const struct nginx_node *from = n->file->from;

	if (n->parent != NULL && n->parent != &n->file->root)
		return n->parent;
	if (from != NULL)
		return nginx_outer(from);
	return n->parent;
}

struct nginx_node *
nginx_find(struct nginx_node *block, const char *name)
{
	struct nginx_node *n, *found = NULL;

	for (n = nginx_first(block); n != NULL; n = nginx_next(n)) {
		if (nginx_is(n, name))
			found = n;
	}
	return found;
}

bool
nginx_is(const struct nginx_node *n, const char *name)
{
	return n->n_words != 0 && slice_is(n->words[0].value, name);
}
