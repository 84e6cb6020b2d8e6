/*
 * tests/fuzz/fuzz_path.c - any bytes as a channel path: decoded, then parsed,
 * as a request does it.
 */
#include "tests/fuzz/check.h"

#include "api/path.h"

/* Too large for a stack that sanitizers widen. */
static struct path path;

/* Ids lie inside the path, one after the other. */
static void
check_items(struct slice text)
{
	const char *at = text.ptr, *end = text.ptr + text.len;

	CHECK(path.n <= PATH_CHANNELS_MAX);
	for (uint32_t i = 0; i < path.n; i++) {
		const struct path_item *item = &path.item[i];

		CHECK(item->id.len == 0 ||
		    (item->id.ptr >= at && item->id.ptr + item->id.len <= end));
		if (item->id.len != 0)
			at = item->id.ptr + item->id.len;
		CHECK(item->id.len == 0 ||
		    memchr(item->id.ptr, '/', item->id.len) == NULL);
	}
}

static void
parse(struct slice text)
{
	int err = path_parse(text, &path);

	CHECK(err == 0 || err == ERR_TOOBIG);
	if (err == 0)
		check_items(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = { (const char *)data, size };
	struct buf out;
	int err;

	if (size == 0)
		return 0;
	parse(text);
	buf_init(&out, size);
	err = path_decode(text, &out);
	/* Decoding never makes it longer, so the bound holds. */
	CHECK(err == 0 && out.len <= size);
	if (memchr(data, '%', size) == NULL &&
	    memchr(data, '?', size) == NULL) {
		CHECK(out.len == size);
		CHECK(memcmp(out.data, data, size) == 0);
	}
	parse((struct slice){ out.data, out.len });
	buf_release(&out);
	return 0;
}
