/*
 * fcgi/fcgi_codec.c - the FastCGI wire.
 *
 * A record can carry 64 KiB and arrive a byte at a time.  It is never put
 * together: content is handed on in the pieces it came in, and only what
 * makes no sense in part is kept: a record's head, and a pair that was cut.
 */
#include "fcgi/fcgi_codec.h"

#include <stdio.h>

#define PAIR_HEAD_MAX 8 /* two lengths of four bytes */

enum codec
fcgi_read(struct fcgi_reader *r, struct slice *in, struct fcgi_piece *piece)
{
	size_t n;

	if (r->have == FCGI_HEADER_LEN && r->left == 0) {
		/* Between the last piece and the next record. */
		n = MIN_OF(r->padding, in->len);
		slice_skip(in, n);
		r->padding -= (uint8_t)n;
		if (r->padding != 0)
			return CODEC_MORE;
		r->have = 0;
	}
	if (r->have < FCGI_HEADER_LEN) {
		n = MIN_OF((size_t)FCGI_HEADER_LEN - r->have, in->len);
		if (n == 0)
			return CODEC_MORE;
		memcpy(r->head + r->have, in->ptr, n);
		slice_skip(in, n);
		r->have += (uint8_t)n;
		if (r->head[0] != FCGI_VERSION_1)
			return CODEC_BAD;
		if (r->have < FCGI_HEADER_LEN)
			return CODEC_MORE;
		r->left = (uint16_t)(r->head[4] << 8 | r->head[5]);
		r->padding = r->head[6];
	}
	piece->type = r->head[1];
	piece->id = (uint16_t)(r->head[2] << 8 | r->head[3]);
	piece->length = (uint16_t)(r->head[4] << 8 | r->head[5]);
	n = MIN_OF(r->left, in->len);
	if (n == 0 && r->left != 0)
		return CODEC_MORE;
	piece->content = (struct slice){ in->ptr, n };
	slice_skip(in, n);
	r->left -= (uint16_t)n;
	piece->last = r->left == 0;
	return CODEC_DONE;
}

struct pair_head {
	uint32_t name_len, value_len; /* 31 bits each */
	size_t len;		      /* of the two lengths */
};

/* Lengths below 128 take one byte, others four.  Returns the bytes used, 0
 * when more are needed. */
static size_t
length_parse(const uint8_t *p, size_t len, uint32_t *out)
{
	if (len < 1)
		return 0;
	if (p[0] < 0x80) {
		*out = p[0];
		return 1;
	}
	if (len < 4)
		return 0;
	*out = (uint32_t)(p[0] & 0x7f) << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | p[3];
	return 4;
}

static bool
pair_head_parse(struct slice s, struct pair_head *h)
{
	const uint8_t *p = (const uint8_t *)s.ptr;
	size_t first, second;

	if (s.len >= 2 && p[0] < 0x80 && p[1] < 0x80) { /* most are */
		*h = (struct pair_head){ p[0], p[1], 2 };
		return true;
	}
	first = length_parse(p, s.len, &h->name_len);
	if (first == 0)
		return false;
	second = length_parse(p + first, s.len - first, &h->value_len);
	h->len = first + second;
	return second != 0;
}

void
fcgi_pairs_init(struct fcgi_pairs *p, size_t max_bytes)
{
	buf_init(&p->rest, max_bytes + PAIR_HEAD_MAX);
}

void
fcgi_pairs_release(struct fcgi_pairs *p)
{
	buf_release(&p->rest);
}

bool
fcgi_pairs_complete(const struct fcgi_pairs *p)
{
	return p->rest.len == 0;
}

/* Two 31-bit lengths can pass 32 bits together: sum them in 64, and refuse
 * before a single byte is allocated for them. */
static int
pair_size(const struct fcgi_pairs *p, const struct pair_head *h, size_t *size)
{
	uint64_t bytes = (uint64_t)h->name_len + h->value_len;

	if (bytes > p->rest.max - PAIR_HEAD_MAX)
		return ERR_TOOBIG;
	*size = h->len + (size_t)bytes;
	return 0;
}

static struct slice
pairs_rest(const struct fcgi_pairs *p)
{
	return (struct slice){ p->rest.data, p->rest.len };
}

static int
pair_give(const char *at, const struct pair_head *h, fcgi_pair_f *f, void *arg)
{
	return f(arg, (struct slice){ at + h->len, h->name_len },
	    (struct slice){ at + h->len + h->name_len, h->value_len });
}

/* A pair that lies whole in `in` is taken from there; else *whole is false. */
static int
pair_take(struct fcgi_pairs *p, struct slice *in, bool *whole, fcgi_pair_f *f,
    void *arg)
{
	struct pair_head h;
	const char *at = in->ptr;
	size_t size;
	int err;

	*whole = false;
	if (!pair_head_parse(*in, &h))
		return 0;
	err = pair_size(p, &h, &size);
	if (err != 0 || size > in->len)
		return err;
	*whole = true;
	slice_skip(in, size);
	return pair_give(at, &h, f, arg);
}

/* Move what the pair in `rest` lacks, or what there is of it.  The lengths
 * come byte by byte, the rest at once. */
static int
pair_continue(struct fcgi_pairs *p, struct slice *in, fcgi_pair_f *f, void *arg)
{
	struct pair_head h;
	size_t size, n = 1;
	int err;

	if (pair_head_parse(pairs_rest(p), &h)) {
		err = pair_size(p, &h, &size);
		if (err != 0)
			return err;
		n = MIN_OF(size - p->rest.len, in->len);
	}
	err = buf_append(&p->rest, in->ptr, n);
	if (err != 0)
		return err;
	slice_skip(in, n);
	if (!pair_head_parse(pairs_rest(p), &h))
		return 0;
	err = pair_size(p, &h, &size);
	if (err != 0 || p->rest.len < size)
		return err;
	err = pair_give(p->rest.data, &h, f, arg);
	buf_clear(&p->rest);
	return err;
}

int
fcgi_pairs_feed(
    struct fcgi_pairs *p, struct slice in, fcgi_pair_f *f, void *arg)
{
	bool whole;
	int err;

	while (in.len != 0) {
		whole = false;
		if (p->rest.len == 0) {
			err = pair_take(p, &in, &whole, f, arg);
			if (err != 0)
				return err;
		}
		if (whole)
			continue;
		err = pair_continue(p, &in, f, arg);
		if (err != 0)
			return err;
	}
	return 0;
}

unsigned
fcgi_value_bit(struct slice name)
{
	if (slice_is(name, FCGI_MAX_CONNS))
		return FCGI_VALUE_MAX_CONNS;
	if (slice_is(name, FCGI_MAX_REQS))
		return FCGI_VALUE_MAX_REQS;
	if (slice_is(name, FCGI_MPXS_CONNS))
		return FCGI_VALUE_MPXS_CONNS;
	return 0;
}

static void
put_head(uint8_t *out, uint8_t type, uint16_t id, size_t length)
{
	out[0] = FCGI_VERSION_1;
	out[1] = type;
	out[2] = (uint8_t)(id >> 8);
	out[3] = (uint8_t)id;
	out[4] = (uint8_t)(length >> 8);
	out[5] = (uint8_t)length;
	out[6] = 0;
	out[7] = 0;
}

void
fcgi_put_end(uint8_t out[FCGI_END_LEN], uint16_t id, uint8_t status)
{
	memset(out, 0, FCGI_END_LEN);
	put_head(out, FCGI_END_REQUEST, id, sizeof(FCGI_EndRequestBody));
	out[offsetof(FCGI_EndRequestRecord, body.protocolStatus)] = status;
}

void
fcgi_put_finish(uint8_t out[FCGI_FINISH_LEN], uint16_t id)
{
	put_head(out, FCGI_STDOUT, id, 0);
	fcgi_put_end(out + FCGI_HEADER_LEN, id, FCGI_REQUEST_COMPLETE);
}

void
fcgi_put_unknown(uint8_t out[FCGI_UNKNOWN_LEN], uint8_t type)
{
	memset(out, 0, FCGI_UNKNOWN_LEN);
	put_head(out, FCGI_UNKNOWN_TYPE, FCGI_NULL_REQUEST_ID,
	    sizeof(FCGI_UnknownTypeBody));
	out[offsetof(FCGI_UnknownTypeRecord, body.type)] = type;
}

size_t
fcgi_put_values(
    uint8_t out[FCGI_VALUES_LEN], unsigned asked, unsigned max_connections)
{
	const struct {
		unsigned bit;
		const char *name;
		unsigned value;
	} all[] = {
		{ FCGI_VALUE_MAX_CONNS, FCGI_MAX_CONNS, max_connections },
		{ FCGI_VALUE_MAX_REQS, FCGI_MAX_REQS, max_connections },
		{ FCGI_VALUE_MPXS_CONNS, FCGI_MPXS_CONNS, 1 },
	};
	char text[16];
	size_t at = FCGI_HEADER_LEN, i;

	for (i = 0; i < COUNT_OF(all); i++) {
		size_t name_len = strlen(all[i].name);
		int len = snprintf(text, sizeof(text), "%u", all[i].value);

		if ((asked & all[i].bit) == 0)
			continue;
		out[at++] = (uint8_t)name_len;
		out[at++] = (uint8_t)len;
		memcpy(out + at, all[i].name, name_len);
		memcpy(out + at + name_len, text, (size_t)len);
		at += name_len + (size_t)len;
	}
	put_head(out, FCGI_GET_VALUES_RESULT, FCGI_NULL_REQUEST_ID,
	    at - FCGI_HEADER_LEN);
	return at;
}

static size_t
answer_records(size_t len)
{
	return (len + FCGI_CONTENT_MAX - 1) / FCGI_CONTENT_MAX;
}

size_t
fcgi_answer_size(size_t len, enum fcgi_shape shape)
{
	return len + answer_records(len) * FCGI_HEADER_LEN +
	    (shape == FCGI_WHOLE ? FCGI_END_LEN : 0);
}

static void
frames_put(struct fcgi_frames *f, const void *base, size_t skip, size_t len)
{
	if (skip >= len)
		return;
	/* iovec is for reading too, so it has no const. */
	f->iov[f->n].iov_base = (void *)((uintptr_t)base + skip);
	f->iov[f->n].iov_len = len - skip;
	f->n++;
}

void
fcgi_frames_add_raw(struct fcgi_frames *f, struct slice bytes)
{
	frames_put(f, bytes.ptr, 0, bytes.len);
}

bool
fcgi_frames_add(struct fcgi_frames *f, uint16_t id, enum fcgi_shape shape,
    struct slice answer, size_t off)
{
	const size_t wire = FCGI_CONTENT_MAX + FCGI_HEADER_LEN;
	size_t records = answer_records(answer.len);
	size_t end = fcgi_answer_size(answer.len, FCGI_PART);
	size_t k = off < end ? off / wire : records;
	size_t skip = off < end ? off % wire : off - end;

	for (; k < records && f->n_heads < FCGI_FRAMES_MAX; k++) {
		uint8_t *head = f->heads[f->n_heads++];
		size_t start = k * FCGI_CONTENT_MAX;
		size_t len = MIN_OF(answer.len - start, FCGI_CONTENT_MAX);

		put_head(head, FCGI_STDOUT, id, len);
		frames_put(f, head, skip, FCGI_HEADER_LEN);
		skip -= MIN_OF(skip, FCGI_HEADER_LEN);
		frames_put(f, answer.ptr + start, skip, len);
		skip = 0;
	}
	if (k == records && shape == FCGI_WHOLE) {
		uint8_t *last = f->ends[f->n_ends++];

		fcgi_put_end(last, id, FCGI_REQUEST_COMPLETE);
		frames_put(f, last, skip, FCGI_END_LEN);
	}
	return k == records;
}
