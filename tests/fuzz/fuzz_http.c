/*
 * tests/fuzz/fuzz_http.c - any bytes as HTTP/1.x.
 *
 * First the codec alone: cutting the bytes in small steps must give the same
 * items, up to the same verdict.  Then a whole session, with all the requests
 * that the bytes have.  The first byte says where to cut.
 */
#include "session.h"

#include "fcgi/http_codec.h"

#define MAX_HEAD 2048
#define MAX_BODY 1024
#define SEEN_MAX 65536

struct seen {
	struct http_reader reader;
	struct buf items; /* bodies in one, whatever the cuts */
	size_t used;
	enum codec last;
	int err;
	bool ended;
};

static void
note(struct seen *s, const struct http_item *item)
{
	char kind = (char)item->kind;
	int err = 0;

	if (item->kind != HTTP_ITEM_BODY)
		err = buf_append(&s->items, &kind, 1);
	if (err == 0 &&
	    (item->kind == HTTP_ITEM_LINE || item->kind == HTTP_ITEM_FIELD))
		err = buf_append(&s->items, item->name.ptr, item->name.len);
	if (err == 0 && item->kind != HTTP_ITEM_HEAD &&
	    item->kind != HTTP_ITEM_END)
		err = buf_append(&s->items, item->value.ptr, item->value.len);
	CHECK(err == 0);
	s->ended = item->kind == HTTP_ITEM_END;
}

static void
see_in_steps(struct seen *s, const uint8_t *data, size_t size, size_t step)
{
	struct http_item item = { HTTP_ITEM_NONE, { NULL, 0 }, { NULL, 0 } };
	struct slice in;

	memset(s, 0, sizeof(*s));
	http_reader_init(&s->reader, MAX_HEAD, MAX_BODY);
	buf_init(&s->items, SEEN_MAX);
	while (s->used < size && s->last != CODEC_BAD && !s->ended) {
		in.ptr = (const char *)data + s->used;
		in.len = MIN_OF(step, size - s->used);
		s->used += in.len;
		do {
			s->last = http_read(&s->reader, &in, &item, &s->err);
			CHECK((s->last == CODEC_BAD) == (s->err != 0));
			if (s->last == CODEC_DONE)
				note(s, &item);
		} while (s->last == CODEC_DONE && !s->ended);
		CHECK(s->last != CODEC_MORE || in.len == 0);
		s->used -= in.len;
	}
}

static void
forget(struct seen *s)
{
	http_reader_release(&s->reader);
	buf_release(&s->items);
}

static void
check_same(const struct seen *a, const struct seen *b)
{
	CHECK(a->last == b->last && a->err == b->err);
	CHECK(a->ended == b->ended);
	CHECK(!a->ended || a->used == b->used);
	CHECK(a->items.len == b->items.len);
	CHECK(a->items.len == 0 ||
	    memcmp(a->items.data, b->items.data, a->items.len) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole, cut;

	if (size < 2)
		return 0;
	if (gateway == NULL)
		session_start();
	see_in_steps(&whole, data + 1, size - 1, size);
	see_in_steps(&cut, data + 1, size - 1, 1 + data[0] % 16);
	check_same(&whole, &cut);
	forget(&whole);
	forget(&cut);
	session_run(
	    GATEWAY_HTTP, data + 1, size - 1, data[0] * (size - 1) / 256);
	return 0;
}
