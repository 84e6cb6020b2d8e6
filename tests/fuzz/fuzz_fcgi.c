/*
 * tests/fuzz/fuzz_fcgi.c - any bytes as FastCGI.
 *
 * First the codec alone: cutting the bytes in small steps must give the same
 * records and pairs as the whole.  Then a whole session.  The first byte
 * says where to cut.
 */
#include "session.h"

#include "fcgi/fcgi_codec.h"

#define PAIR_MAX 1024

/* What was understood, as digests that do not see the cuts. */
struct seen {
	struct fcgi_reader reader;
	struct fcgi_pairs pairs;
	enum codec last;
	int err;
	uint64_t records_digest;
	uint64_t pairs_digest;
};

static void
mix(uint64_t *digest, uint64_t value)
{
	*digest = (*digest ^ value) * UINT64_C(0x100000001b3);
}

static void
mix_bytes(uint64_t *digest, struct slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		mix(digest, (uint8_t)bytes.ptr[i]);
}

static int
mix_pair(void *arg, struct slice name, struct slice value)
{
	struct seen *s = arg;

	CHECK(name.len + value.len <= PAIR_MAX);
	mix(&s->pairs_digest, name.len);
	mix_bytes(&s->pairs_digest, name);
	mix(&s->pairs_digest, value.len);
	mix_bytes(&s->pairs_digest, value);
	return 0;
}

static void
see(struct seen *s, const uint8_t *data, size_t size)
{
	struct slice in = { (const char *)data, size };
	struct fcgi_piece p;

	while (s->last != CODEC_BAD &&
	    (s->last = fcgi_read(&s->reader, &in, &p)) == CODEC_DONE) {
		mix_bytes(&s->records_digest, p.content);
		if (s->err == 0)
			s->err =
			    fcgi_pairs_feed(&s->pairs, p.content, mix_pair, s);
		if (p.last) {
			mix(&s->records_digest, p.type);
			mix(&s->records_digest, p.id);
			mix(&s->records_digest, p.length);
		}
	}
}

static void
see_in_steps(struct seen *s, const uint8_t *data, size_t size, size_t step)
{
	size_t at;

	memset(s, 0, sizeof(*s));
	fcgi_pairs_init(&s->pairs, PAIR_MAX);
	for (at = 0; at < size; at += step)
		see(s, data + at, MIN_OF(step, size - at));
	fcgi_pairs_release(&s->pairs);
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
	CHECK(whole.last == cut.last && whole.err == cut.err);
	CHECK(whole.records_digest == cut.records_digest);
	CHECK(whole.pairs_digest == cut.pairs_digest);
	session_run(
	    GATEWAY_FASTCGI, data + 1, size - 1, data[0] * (size - 1) / 256);
	return 0;
}
