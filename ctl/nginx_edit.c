/*
 * ctl/nginx_edit.c - edits by offset, so that what nobody touched is printed
 * byte for byte.
 *
 * A comment takes the rest of its line with it, and several directives may
 * stand on one line: whatever ends in a comment looks at what follows and
 * breaks the line if need be.
 */
#include "ctl/nginx_edit.h"

#define TEXT_MAX ((size_t)64 << 20)

struct nginx_edit {
	struct nginx_edit *next;
	size_t from, to;
	size_t len;
	char text[];
};

void
nginx_replace(struct nginx_file *f, size_t from, size_t to, struct slice text)
{
	struct nginx_edit *e = malloc(sizeof(*e) + text.len);
	struct nginx_edit **at = &f->edits;

	if (e == NULL) {
		f->failed = true;
		return;
	}
	e->from = from;
	e->to = to;
	e->len = text.len;
	if (text.len != 0)
		memcpy(e->text, text.ptr, text.len);
	while (*at != NULL && (*at)->from <= from)
		at = &(*at)->next;
	e->next = *at;
	*at = e;
}

static void
put_buf(struct nginx_file *f, size_t from, size_t to, struct buf *b, int err)
{
	if (err != 0)
		f->failed = true;
	else
		nginx_replace(f, from, to, (struct slice){ b->data, b->len });
	buf_release(b);
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static size_t
line_start(const struct nginx_node *n)
{
	size_t at = n->start;

	while (at > 0 && n->file->text[at - 1] != '\n')
		at--;
	return at;
}

/* The blanks at the start of its line. */
static struct slice
line_indent(const struct nginx_node *n)
{
	size_t at = line_start(n), end = at;

	while (n->file->text[end] == ' ' || n->file->text[end] == '\t')
		end++;
	return (struct slice){ n->file->text + at, end - at };
}

static bool
is_first_on_line(const struct nginx_node *n)
{
	return line_start(n) + line_indent(n).len == n->start;
}

/* A line break and what stands before the directive's own line; one step
 * more when it shares its line with what is around it. */
static int
break_line(struct buf *b, const struct nginx_node *n, bool outer)
{
	struct slice indent = line_indent(n);
	bool tabs = memchr(indent.ptr, '\t', indent.len) != NULL;
	int err = buf_text(b, "\n");

	if (err == 0)
		err = buf_append(b, indent.ptr, indent.len);
	if (err == 0 && !outer && !is_first_on_line(n))
		err = buf_text(b, tabs ? "\t" : "    ");
	return err;
}

/* What follows on the line: NUL for nothing. */
static char
follows(const struct nginx_file *f, size_t *at)
{
	while (is_space(f->text[*at]))
		(*at)++;
	return f->text[*at] == '\n' ? '\0' : f->text[*at];
}

/* If more than a comment follows at this offset, it gets a line. */
static int
break_before_rest(struct buf *b, const struct nginx_node *n, size_t at)
{
	char c = follows(n->file, &at);

	return c == '\0' || c == '#' ? 0 : break_line(b, n, c == '}');
}

static bool
has_edit_at(const struct nginx_file *f, size_t at)
{
	const struct nginx_edit *e = f->edits;

	while (e != NULL && e->from != at)
		e = e->next;
	return e != NULL;
}

void
nginx_comment(struct nginx_node *n, const char *label)
{
	const char *at = n->file->text + n->start;
	const char *end = n->file->text + n->end, *eol;
	struct buf b;
	int err;

	buf_init(&b, TEXT_MAX);
	err = buf_printf(&b, "# %s", label != NULL ? label : "");
	while (err == 0) {
		eol = memchr(at, '\n', (size_t)(end - at));
		err = buf_append(
		    &b, at, (size_t)((eol != NULL ? eol : end) - at));
		if (eol == NULL || err != 0)
			break;
		at = eol + 1;
		while (at < end && is_space(*at))
			at++;
		err = break_line(&b, n, true);
		if (err == 0)
			err = buf_text(&b, "# ");
	}
	/* What is inserted behind it begins with a line end. */
	if (err == 0 && !has_edit_at(n->file, n->end))
		err = break_before_rest(&b, n, n->end);
	put_buf(n->file, n->start, n->end, &b, err);
}

/* Behind its NUL. */
static const char *
next_line(const char *at)
{
	return at + strlen(at) + 1;
}

void
nginx_insert_before(struct nginx_node *n, const struct buf *lines)
{
	const char *line = lines->data, *end = line + lines->len;
	size_t from = n->start;
	struct buf b;
	int err = 0;

	buf_init(&b, TEXT_MAX);
	if (lines->len != 0 && !is_first_on_line(n)) {
		while (is_space(n->file->text[from - 1]))
			from--;
		err = break_line(&b, n, false);
	}
	for (; line < end && err == 0; line = next_line(line)) {
		err = buf_text(&b, line);
		/* No blanks at the end of an empty line. */
		if (err == 0 && line[0] != '\0' && next_line(line) < end &&
		    *next_line(line) == '\0')
			err = buf_text(&b, "\n");
		else if (err == 0)
			err = break_line(&b, n, false);
	}
	put_buf(n->file, from, n->start, &b, err);
}

void
nginx_insert_after(struct nginx_node *n, const struct buf *lines)
{
	const char *line = lines->data, *end = line + lines->len;
	size_t at = n->end, rest = n->end;
	struct buf b;
	char c;
	int err = 0;

	c = follows(n->file, &rest);
	if (c == '#') {
		at = rest + strcspn(n->file->text + rest, "\n");
		c = '\0';
	}
	buf_init(&b, TEXT_MAX);
	for (; line < end && err == 0; line = next_line(line)) {
		err = line[0] != '\0' ? break_line(&b, n, false)
				      : buf_text(&b, "\n");
		if (err == 0)
			err = buf_text(&b, line);
	}
	if (err == 0 && c != '\0')
		err = break_line(&b, n, c == '}');
	put_buf(n->file, at, c != '\0' ? rest : at, &b, err);
}

void
nginx_insert_first(struct nginx_node *block, const struct buf *lines)
{
	const char *line = lines->data, *end = line + lines->len;
	bool file = block->n_words == 0;
	struct buf b;
	int err = 0;

	buf_init(&b, TEXT_MAX);
	for (; line < end && err == 0; line = next_line(line))
		err = buf_printf(&b, "%s%s%s%s", file ? "" : "\n",
		    file || *line == '\0' ? "" : "    ", line,
		    file ? "\n" : "");
	if (err == 0 && !file) {
		size_t at = block->open;
		char c = follows(block->file, &at);

		if (c != '\0' && c != '#')
			err = buf_text(&b, "\n    ");
	}
	put_buf(block->file, block->open, block->open, &b, err);
}

int
nginx_render(const struct nginx_file *f, struct buf *out)
{
	size_t at = 0;
	int err = f->failed ? ERR_NOMEM : 0;

	for (const struct nginx_edit *e = f->edits; e != NULL && err == 0;
	     e = e->next) {
		assert(e->from <= e->to && e->to <= f->len);
		/* Two may have taken the same blanks. */
		if (e->from > at)
			err = buf_append(out, f->text + at, e->from - at);
		if (err == 0)
			err = buf_append(out, e->text, e->len);
		at = MAX_OF(at, e->to);
	}
	return err != 0 ? err : buf_append(out, f->text + at, f->len - at);
}

void
nginx_edits_free(struct nginx_file *f)
{
	struct nginx_edit *e;

	while ((e = f->edits) != NULL) {
		f->edits = e->next;
		free(e);
	}
}
