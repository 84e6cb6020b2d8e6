/*
 * tests/fuzz/fuzz_nginx_conf.c - any bytes as an nginx configuration.
 *
 * What is well formed stays so when some of its directives become comments
 * and others get neighbours, and nothing else changes.  The first byte says
 * which.
 */
#include "ctl/nginx_edit.h"

#define CHECK(c) \
	do { \
		if (!(c)) \
			abort(); \
	} while (0)
#define RENDERED_MAX ((size_t)1 << 24)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was understood, as a sum that does not see the order. */
static uint64_t
node_digest(const struct nginx_node *n)
{
	uint64_t d = n->has_block ? 7 : 3;

	for (size_t i = 0; i < n->n_words; i++) {
		d = d * UINT64_C(0x100000001b3) + n->words[i].value.len;
		for (size_t j = 0; j < n->words[i].value.len; j++)
			d = (d ^ (uint8_t)n->words[i].value.ptr[j]) *
			    UINT64_C(0x100000001b3);
	}
	return d;
}

static uint64_t
tree_digest(const struct nginx_node *block)
{
	const struct nginx_node *n;
	size_t at = block->open;
	uint64_t d = 0;

	for (n = block->children; n != NULL; n = n->next) {
		CHECK(at <= n->start && n->start < n->end);
		CHECK(n->end <= block->close && n->n_words != 0);
		at = n->end;
		d += node_digest(n) + tree_digest(n);
	}
	return d;
}

static struct nginx_file *
parse(const char *text, size_t len)
{
	struct nginx_file *f = nginx_file_new("x", "x", text, len);
	struct nginx_error error;
	int err;

	CHECK(f != NULL);
	err = nginx_parse(f, &error);
	CHECK(err == 0 || (err == ERR_SYNTAX && error.line != 0));
	if (err != 0)
		nginx_file_free(&f);
	return f;
}

/* Change it; what the result has to be. */
static uint64_t
edit(struct nginx_node *block, uint8_t how, unsigned *turn,
    const struct buf *line, uint64_t line_digest)
{
	uint64_t d = 0;

	for (struct nginx_node *n = block->children; n != NULL; n = n->next) {
		unsigned what = (*turn)++ * how % 5;

		if (what == 1) {
			nginx_comment(n, how % 2 != 0 ? "(label) " : NULL);
			continue;
		}
		if (what == 2 || what == 4)
			nginx_insert_before(n, line);
		if (what == 3 || what == 4)
			nginx_insert_after(n, line);
		d += line_digest * (what == 4 ? 2 : what == 2 || what == 3);
		d += node_digest(n) + edit(n, how, turn, line, line_digest);
	}
	return d;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char line_text[] = "x y;";
	struct buf line = { line_text, sizeof(line_text), 0, 0 }, out;
	struct nginx_file *f, *l;
	uint64_t before, expected;
	unsigned turn = 0;

	if (size < 1)
		return 0;
	f = parse((const char *)data + 1, size - 1);
	if (f == NULL)
		return 0;
	l = parse(line_text, strlen(line_text));
	buf_init(&out, RENDERED_MAX);
	before = tree_digest(&f->root);
	CHECK(nginx_render(f, &out) == 0 && out.len == size - 1);
	CHECK(out.len == 0 || memcmp(out.data, data + 1, out.len) == 0);
	buf_clear(&out);
	expected = edit(&f->root, data[0], &turn, &line, tree_digest(&l->root));
	CHECK(data[0] != 0 || before == expected);
	if (nginx_render(f, &out) == 0) {
		nginx_file_free(&f);
		f = parse(out.data, out.len);
		CHECK(f != NULL && tree_digest(&f->root) == expected);
	}
	nginx_file_free(&f);
	nginx_file_free(&l);
	buf_release(&out);
	return 0;
}
