/*
 * tests/fuzz/fuzz_scgi.c - any bytes as SCGI.
 *
 * First the codec alone: cutting the bytes in small steps must give the same
 * verdict and request as the whole.  Then a whole session.  The first byte
 * says where to cut.
 */
#include "session.h"

#include "fcgi/scgi_codec.h"

#define MAX_PARAMS 1024
#define MAX_BODY 1024

struct seen {
	struct scgi_reader reader;
	struct params params;
	struct buf body;
	enum codec last;
	int err;
};

static void
see_in_steps(struct seen *s, const uint8_t *data, size_t size, size_t step)
{
	struct slice in = { (const char *)data, 0 };

	memset(s, 0, sizeof(*s));
	scgi_reader_init(&s->reader, MAX_PARAMS);
	params_init(&s->params, MAX_PARAMS);
	buf_init(&s->body, MAX_BODY);
	while (size != 0 && s->last == CODEC_MORE) {
		in.len = MIN_OF(step, size);
		size -= in.len;
		s->last =
		    scgi_read(&s->reader, &in, &s->params, &s->body, &s->err);
		CHECK(s->last != CODEC_MORE || in.len == 0);
		CHECK((s->last == CODEC_BAD) == (s->err != 0));
	}
}

static void
forget(struct seen *s)
{
	scgi_reader_release(&s->reader);
	params_release(&s->params);
	buf_release(&s->body);
}

static void
check_same(const struct seen *a, const struct seen *b)
{
	CHECK(a->last == b->last);
	/* Which of two faults is met first may depend on the cuts. */
	if (a->last == CODEC_BAD)
		return;
	CHECK(a->params.n == b->params.n);
	CHECK(a->params.raw.len == b->params.raw.len);
	CHECK(a->params.raw.len == 0 ||
	    memcmp(a->params.raw.data, b->params.raw.data, a->params.raw.len) ==
		0);
	CHECK(a->body.len == b->body.len);
	CHECK(a->body.len == 0 ||
	    memcmp(a->body.data, b->body.data, a->body.len) == 0);
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
	    GATEWAY_SCGI, data + 1, size - 1, data[0] * (size - 1) / 256);
	return 0;
}
