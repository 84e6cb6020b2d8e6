/*
 * ctl/convert_output.c - holdfast.conf, and everything to its place.
 *
 * Into a folder, each file goes under its own path, so that the folder can be
 * laid over nginx's; nothing is ever overwritten.  Otherwise everything that
 * changed is printed, one file after the other.
 */
#include "ctl/convert_priv.h"
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define BODY_DEFAULT (UINT64_C(1) << 20) /* nginx's and ours */
#define BODY_LIMIT (UINT64_C(32) << 20)	 /* ours */

/* As a double-quoted string of holdfast.conf. */
static void
put_quoted(struct convert *c, struct buf *out, struct slice v)
{
	convert_keep(c, buf_text(out, "\""));
	for (size_t i = 0; i < v.len; i++) {
		char ch = v.ptr[i];

		if (ch == '\n')
			convert_keep(c, buf_text(out, "\\n"));
		else if (ch == '\r')
			convert_keep(c, buf_text(out, "\\r"));
		else if (ch == '"' || ch == '\\' ||
		    (ch == '$' && i + 1 < v.len && v.ptr[i + 1] == '{'))
			convert_keep(c, buf_printf(out, "\\%c", ch));
		else
			convert_keep(c, buf_append(out, &ch, 1));
	}
	convert_keep(c, buf_text(out, "\""));
}

void
output_store(struct convert *c, const struct nginx_node *n)
{
	size_t value;
	const struct directive *d = directive_of(n, &value);

	if (n->n_words != 2) {
		convert_eye(c, n, "%s takes one value", d->name);
		return;
	}
	c->has_ttl |= strcmp(d->field, "message_ttl_s") == 0;
	c->has_max_messages |= strcmp(d->field, "max_messages_stored") == 0;
	c->has_max_channels |= strcmp(d->field, "max_number_of_channels") == 0;
	if (n->file->twin != NULL)
		return;
	convert_keep(c, buf_printf(&c->store, "%s = ", d->name));
	put_quoted(c, &c->store, n->words[1].value);
	convert_keep(c, buf_text(&c->store, "\n"));
}

/* "location /x" and "location ^~ /x"; else an empty slice. */
static struct slice
location_prefix(const struct nginx_node *location)
{
	struct slice prefix = { NULL, 0 };

	if (location->n_words == 2 ||
	    (location->n_words == 3 &&
		slice_is(location->words[1].value, "^~")))
		prefix = location->words[location->n_words - 1].value;
	if (prefix.len == 0 || prefix.ptr[0] != '/')
		prefix.len = 0;
	return prefix;
}

static bool
buf_has(const struct buf *b, const struct buf *part, size_t len)
{
	return b->len >= len && len != 0 &&
	    memmem(b->data, b->len, part->data, len) != NULL;
}

/* Files are read for holdfast.conf only, so it gets the location as well. */
void
output_header_file(
    struct convert *c, const struct endpoint *e, const struct nginx_node *n)
{
	struct slice prefix = location_prefix(e->location);
	struct buf block;
	size_t head;

	if (n->n_words != 2 || prefix.len == 0 || n->words[1].value.len == 0 ||
	    n->words[1].value.ptr[0] != '/') {
		convert_eye(c, n,
		    "a header file needs an absolute path and a location by "
		    "prefix; write its text as push_stream_header_template in "
		    "the location on line %u",
		    e->location->line);
		return;
	}
	buf_init(&block, CONVERT_TEXT_MAX);
	convert_keep(c, buf_text(&block, "\nlocation "));
	put_quoted(c, &block, prefix);
	convert_keep(c, buf_text(&block, " {\n"));
	head = block.len;
	convert_keep(
	    c, buf_text(&block, "\tpush_stream_header_template_file = "));
	put_quoted(c, &block, n->words[1].value);
	convert_keep(c, buf_text(&block, "\n}\n"));
	if (!buf_has(&c->locations, &block, head))
		convert_keep(
		    c, buf_append(&c->locations, block.data, block.len));
	else if (!buf_has(&c->locations, &block, block.len))
		convert_eye(c, n,
		    "another location of the same prefix has another header "
		    "file; holdfast.conf can tell them apart by prefix only");
	buf_release(&block);
}

void
output_body_size(struct convert *c, const struct endpoint *e)
{
	const struct nginx_node *n = endpoint_nginx(e, "client_max_body_size");
	uint64_t size;

	if (n == NULL || n->n_words != 2)
		return;
	/* 0 is without bound in nginx. */
	if (!parse_size(n->words[1].value, &size) || size == 0 ||
	    size > BODY_LIMIT) {
		convert_eye(c, n,
		    "Holdfast takes bodies of at most 32m, and publishers in "
		    "nginx took more");
		size = BODY_LIMIT;
	}
	c->body_size = MAX_OF(c->body_size, size);
}

/* Of the main level, or of http: where an upstream may stand. */
static struct nginx_node *
http_block(struct convert *c)
{
	struct nginx_node *root = &c->load.main->root;
	struct nginx_node *http = nginx_find(root, "http");

	if (http != NULL && http->has_block)
		return http;
	return nginx_find(root, "location") == NULL ? root : NULL;
}

static bool
defines_dollar(struct nginx_node *http)
{
	struct nginx_node *n;

	for (n = nginx_first(http); n != NULL; n = nginx_next(n)) {
		if (n->has_block && n->n_words >= 2 &&
		    slice_is(n->words[n->n_words - 1].value, "$dollar"))
			return true;
	}
	return false;
}

static struct nginx_node *
upstream_find(struct nginx_node *http)
{
	struct nginx_node *n;

	for (n = nginx_first(http); n != NULL; n = nginx_next(n)) {
		if (nginx_is(n, "upstream") && n->n_words == 2 &&
		    slice_is(n->words[1].value, "holdfast"))
			return n;
	}
	return NULL;
}

static void
put_http_lines(struct convert *c, struct nginx_node *http, struct buf *lines)
{
	if (c->needs_dollar && (http == NULL || !defines_dollar(http))) {
		convert_line(c, lines, "# For a literal $ in a parameter.");
		convert_line(c, lines, "geo $dollar {");
		convert_line(c, lines, "    default \"$\";");
		convert_line(c, lines, "}");
		convert_line(c, lines, "%s", "");
	}
	if (c->needs_upstream &&
	    (http == NULL || upstream_find(http) == NULL)) {
		convert_line(c, lines,
		    "# Connections that stay open between publishes.");
		convert_line(c, lines, "upstream holdfast {");
		convert_line(
		    c, lines, "    server unix:/run/holdfast/fastcgi.sock;");
		convert_line(c, lines, "    keepalive 64;");
		convert_line(c, lines, "}");
		convert_line(c, lines, "%s", "");
	}
}

void
output_http(struct convert *c)
{
	struct nginx_node *http = http_block(c);
	struct buf lines;

	buf_init(&lines, CONVERT_TEXT_MAX);
	put_http_lines(c, http, &lines);
	if (http != NULL && c->needs_upstream && upstream_find(http) != NULL)
		convert_eye(c, upstream_find(http),
		    "this upstream has the name that Holdfast's would have; it "
		    "is used as it is");
	if (lines.len != 0 && http != NULL) {
		nginx_insert_first(http, &lines);
	} else if (lines.len != 0) {
		convert_eye(c, c->load.main->root.children,
		    "this file belongs into a server, so these stand at the "
		    "end of the output, to be put into http");
		for (size_t at = 0; at < lines.len;
		     at += strlen(lines.data + at) + 1)
			convert_keep(
			    c, buf_printf(&c->http, "# %s\n", lines.data + at));
	}
	buf_release(&lines);
}

/* The module's defaults, where Holdfast's own would keep less or longer. */
static int
put_defaults(const struct convert *c, struct buf *out)
{
	int err = 0;

	if (!c->has_ttl)
		err = buf_text(out,
		    "# The module's default; Holdfast's own is a day.\n"
		    "push_stream_message_ttl = \"30m\"\n");
	if (err == 0 && !c->has_max_messages)
		err = buf_text(out,
		    "# Without limit in the module; Holdfast's own is 1000.\n"
		    "push_stream_max_messages_stored_per_channel = "
		    "4294967295\n");
	if (err == 0 && !c->has_max_channels)
		err = buf_text(out,
		    "# Without limit in the module; Holdfast's own is 200000.\n"
		    "push_stream_max_number_of_channels = 4294967295\n");
	return err;
}

/* holdfast.conf as a whole. */
static int
make_conf(struct convert *c, struct buf *out)
{
	static const char head[] =
	    "# holdfast.conf - made from %s by holdfastctl convert.\n"
	    "#\n"
	    "# Sockets, database and user have their defaults: "
	    "holdfast.conf(5).\n";
	const struct nginx_node *user = nginx_find(&c->load.main->root, "user");
	int err = buf_printf(out, head, c->load.main->name);

	if (err == 0 && user != NULL && user->n_words >= 2)
		err = buf_printf(out,
		    "#\n# nginx's workers have to open the sockets:\n"
		    "#socket_group = \"%.*s\"\n",
		    (int)user->words[user->n_words - 1].value.len,
		    user->words[user->n_words - 1].value.ptr);
	if (err == 0)
		err = buf_text(out, "\n");
	if (err == 0)
		err = buf_append(out, c->store.data, c->store.len);
	if (err == 0 && c->has_store)
		err = put_defaults(c, out);
	if (err == 0 && c->body_size > BODY_DEFAULT)
		err = buf_printf(out,
		    "# As in nginx, where publishers are.\n"
		    "client_max_body_size = \"%" PRIu64 "\"\n",
		    c->body_size);
	if (err == 0)
		err = buf_append(out, c->locations.data, c->locations.len);
	return err;
}

static int
write_out(FILE *f, const struct buf *b, const char *name)
{
	if (b->len != 0 && fwrite(b->data, 1, b->len, f) != b->len)
		goto failed;
	if (fflush(f) == 0)
		return 0;
failed:
	(void)fprintf(stderr, "holdfastctl: %s: %s\n", name, strerror(errno));
	return ERR_SYSTEM;
}

static int
print_one(const char *name, const struct buf *b)
{
	if (name != NULL)
		(void)printf("\n# ---- %s ----\n", name);
	return write_out(stdout, b, "standard output");
}

/* 0, or ERR_*; one that is not ERR_SYSTEM is not yet said. */
int
output_print(struct convert *c)
{
	struct buf b;
	int err = 0;

	buf_init(&b, CONVERT_TEXT_MAX);
	for (size_t i = 0; i < c->load.n_files && err == 0; i++) {
		struct nginx_file *f = c->load.files[i];

		if (f->twin != NULL || (i != 0 && f->edits == NULL))
			continue;
		buf_clear(&b);
		err = nginx_render(f, &b);
		if (err == 0)
			err = print_one(i != 0 ? f->path : NULL, &b);
	}
	buf_clear(&b);
	if (err == 0 && c->http.len != 0)
		err = print_one("into http {}", &c->http);
	if (err == 0)
		err = make_conf(c, &b);
	if (err == 0)
		err = print_one("holdfast.conf", &b);
	buf_release(&b);
	return err;
}

/* "folder/path", cut at its end when it is longer than any path. */
static void
join(char out[PATH_MAX], const char *folder, const char *path)
{
	(void)snprintf(out, PATH_MAX, "%s/%s", folder, path);
}

/* The folders on the way to a file. */
static void
make_folders(const char *path)
{
	char part[PATH_MAX];

	for (const char *c = path + 1; *c != '\0'; c++) {
		if (*c != '/')
			continue;
		(void)snprintf(
		    part, sizeof(part), "%.*s", (int)(c - path), path);
		(void)mkdir(part, 0777); /* else fopen() says why */
	}
}

static int
write_one(const char *folder, const char *path, const struct buf *b)
{
	char full[PATH_MAX];
	FILE *f;
	int err;

	join(full, folder, path);
	make_folders(full);
	f = fopen(full, "wxe");
	if (f == NULL) {
		(void)fprintf(
		    stderr, "holdfastctl: %s: %s\n", full, strerror(errno));
		return ERR_SYSTEM;
	}
	err = write_out(f, b, full);
	if (fclose(f) != 0 && err == 0) {
		(void)fprintf(
		    stderr, "holdfastctl: %s: %s\n", full, strerror(errno));
		err = ERR_SYSTEM;
	}
	return err;
}

/* Better to see it before half of the files are there. */
static int
check_free(const char *folder, const char *path)
{
	char full[PATH_MAX];
	struct stat st;

	join(full, folder, path);
	if (lstat(full, &st) != 0)
		return 0;
	(void)fprintf(stderr,
	    "holdfastctl: %s: is there already; nothing was written\n", full);
	return ERR_SYSTEM;
}

static int
check_all_free(struct convert *c, const char *folder)
{
	int err = check_free(folder, "holdfast.conf");

	for (size_t i = 0; i < c->load.n_files && err == 0; i++)
		err = check_free(folder, c->load.files[i]->path);
	return err;
}

/* As output_print(). */
int
output_write(struct convert *c, const char *folder)
{
	struct buf b;
	int err = check_all_free(c, folder);

	buf_init(&b, CONVERT_TEXT_MAX);
	for (size_t i = 0; i < c->load.n_files && err == 0; i++) {
		struct nginx_file *f = c->load.files[i];

		if (f->twin != NULL)
			continue;
		buf_clear(&b);
		err = nginx_render(f, &b);
		if (err == 0)
			err = write_one(folder, f->path, &b);
	}
	buf_clear(&b);
	if (err == 0)
		err = make_conf(c, &b);
	if (err == 0)
		err = write_one(folder, "holdfast.conf", &b);
	if (err == 0 && c->http.len != 0)
		err = write_out(stdout, &c->http, "standard output");
	buf_release(&b);
	return err;
}
