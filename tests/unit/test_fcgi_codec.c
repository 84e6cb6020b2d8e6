/*
 * tests/unit/test_fcgi_codec.c - FastCGI bytes, whole and cut at any place.
 *
 * Fronts cut records, pairs and writes where their buffers end.  Whatever the
 * cuts, the items must be the same, and lengths that a peer invents must not
 * cost memory.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fcgi/fcgi_codec.h"

#define TEXT_MAX 4096

/* Every record as a line "type/id/content.", pieces put together. */
static enum codec
read_all(struct fcgi_reader *r, struct slice in, char *text)
{
	struct fcgi_piece p;
	enum codec c;
	size_t at = strlen(text);

	while ((c = fcgi_read(r, &in, &p)) == CODEC_DONE) {
		if (at == 0 || text[at - 1] == '\n')
			at += (size_t)snprintf(text + at, TEXT_MAX - at,
			    "%u/%u/%u/", p.type, p.id, p.length);
		memcpy(text + at, p.content.ptr, p.content.len);
		at += p.content.len;
		if (p.last)
			text[at++] = '\n';
		text[at] = '\0';
	}
	if (c == CODEC_MORE)
		assert_int_equal(in.len, 0);
	return c;
}

static void
test_records(void **state)
{
	static const char wire[] = "\1\4\1\2\0\5\3\0"
				   "hello"
				   "xyz"	      /* padding */
				   "\1\4\1\2\0\0\0\0" /* the stream's end */
				   "\1\11\0\0\0\0\2\0"
				   "pp" /* only padding */
				   "\1\5\0\1\0\1\0\377"
				   "!"; /* the reserved byte is free */
	static const char expected[] =
	    "4/258/5/hello\n4/258/0/\n9/0/0/\n5/1/1/!\n";
	size_t len = sizeof(wire) - 1, cut, step;

	(void)state;
	for (cut = 0; cut <= len; cut++) {
		struct fcgi_reader r = { .have = 0 };
		char text[TEXT_MAX] = "";

		assert_int_equal(
		    read_all(&r, (struct slice){ wire, cut }, text),
		    CODEC_MORE);
		assert_int_equal(
		    read_all(&r, (struct slice){ wire + cut, len - cut }, text),
		    CODEC_MORE);
		assert_string_equal(text, expected);
	}
	for (step = 1; step < 9; step++) {
		struct fcgi_reader r = { .have = 0 };
		char text[TEXT_MAX] = "";

		for (cut = 0; cut < len; cut += step)
			assert_int_equal(read_all(&r,
					     (struct slice){ wire + cut,
						 MIN_OF(step, len - cut) },
					     text),
			    CODEC_MORE);
		assert_string_equal(text, expected);
	}
}

/* Told at the first byte: waiting for a whole head would wait for ever when
 * a front speaks HTTP or SCGI here. */
static void
test_bad_version(void **state)
{
	static const char *const bad[] = { "GET / HTTP/1.1\r\n", "24:CONT",
		"\2", "\377\377\377\377\377\377\377\377" };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(bad); i++) {
		struct fcgi_reader r = { .have = 0 };
		char text[TEXT_MAX] = "";

		assert_int_equal(
		    read_all(&r, (struct slice){ bad[i], 1 }, text), CODEC_BAD);
		assert_string_equal(text, "");
	}
}

static int
pair_line(void *arg, struct slice name, struct slice value)
{
	char *text = arg;
	size_t at = strlen(text);

	(void)snprintf(text + at, TEXT_MAX - at, "%.*s=%.*s\n", (int)name.len,
	    name.ptr, (int)value.len, value.ptr);
	return 0;
}

static void
test_pairs(void **state)
{
	/* Short lengths, long ones, mixed; empty value, empty pair. */
	static const char wire[] = "\3\5"
				   "abcvalue"
				   "\200\0\0\3\200\0\0\2"
				   "xyz12"
				   "\1\200\0\0\1"
				   "k"
				   "v"
				   "\200\0\0\1\0"
				   "e"
				   "\0\0"
				   "\2\2"
				   "zzyy";
	static const char expected[] = "abc=value\nxyz=12\nk=v\ne=\n=\nzz=yy\n";
	size_t len = sizeof(wire) - 1, a, b;

	(void)state;
	for (a = 0; a <= len; a++) {
		for (b = a; b <= len; b++) {
			struct fcgi_pairs p;
			char text[TEXT_MAX] = "";

			fcgi_pairs_init(&p, 64);
			assert_int_equal(
			    fcgi_pairs_feed(
				&p, (struct slice){ wire, a }, pair_line, text),
			    0);
			assert_int_equal(fcgi_pairs_feed(&p,
					     (struct slice){ wire + a, b - a },
					     pair_line, text),
			    0);
			assert_int_equal(
			    fcgi_pairs_feed(&p,
				(struct slice){ wire + b, len - b }, pair_line,
				text),
			    0);
			assert_string_equal(text, expected);
			assert_true(fcgi_pairs_complete(&p));
			fcgi_pairs_release(&p);
		}
	}
	for (a = 1; a < len; a++) {
		struct fcgi_pairs p;
		char text[TEXT_MAX] = "";

		fcgi_pairs_init(&p, 64);
		for (b = 0; b < len; b += a)
			assert_int_equal(
			    fcgi_pairs_feed(&p,
				(struct slice){ wire + b, MIN_OF(a, len - b) },
				pair_line, text),
			    0);
		assert_string_equal(text, expected);
		fcgi_pairs_release(&p);
	}
}

static void
test_pair_cut_short(void **state)
{
	static const char wire[] = "\3\5"
				   "abcval";
	struct fcgi_pairs p;
	char text[TEXT_MAX] = "";

	(void)state;
	fcgi_pairs_init(&p, 64);
	assert_int_equal(
	    fcgi_pairs_feed(
		&p, (struct slice){ wire, sizeof(wire) - 1 }, pair_line, text),
	    0);
	assert_false(fcgi_pairs_complete(&p));
	assert_string_equal(text, "");
	fcgi_pairs_release(&p);
}

/*
 * CVE-2025-23016: libfcgi added two lengths of 31 bits and the bytes between
 * in 32, and allocated the small sum.  A refusal must come with the lengths,
 * whole or byte by byte, before memory is taken for them.
 */
static void
test_pair_length_overflow(void **state)
{
	static const char *const heads[] = {
		"\377\377\377\377\377\377\377\377", /* 2 * (2^31 - 1) */
		"\377\377\377\377\200\0\0\11", "\200\0\0\11\377\377\377\377",
		"\377\377\377\377\0aaa",
		"\200\0\0\41\200\0\0\40", /* one more than 64 */
	};
	size_t i, at;

	(void)state;
	for (i = 0; i < COUNT_OF(heads); i++) {
		struct fcgi_pairs p;
		char text[TEXT_MAX] = "";
		int err = 0;

		fcgi_pairs_init(&p, 64);
		assert_int_equal(
		    fcgi_pairs_feed(
			&p, (struct slice){ heads[i], 8 }, pair_line, text),
		    ERR_TOOBIG);
		assert_null(p.rest.data);
		for (at = 0; at < 8 && err == 0; at++)
			err = fcgi_pairs_feed(&p,
			    (struct slice){ heads[i] + at, 1 }, pair_line,
			    text);
		assert_int_equal(err, ERR_TOOBIG);
		assert_true(p.rest.len <= 8);
		assert_string_equal(text, "");
		fcgi_pairs_release(&p);
	}
}

static void
test_pair_at_the_bound(void **state)
{
	char wire[8 + 64] = "\200\0\0\40\200\0\0\40";
	char text[TEXT_MAX] = "";
	struct fcgi_pairs p;
	size_t at;

	(void)state;
	memset(wire + 8, 'x', 64);
	fcgi_pairs_init(&p, 64);
	for (at = 0; at < sizeof(wire); at++)
		assert_int_equal(
		    fcgi_pairs_feed(
			&p, (struct slice){ wire + at, 1 }, pair_line, text),
		    0);
	assert_int_equal(strlen(text), 64 + 2);
	fcgi_pairs_release(&p);
}

static void
test_small_records(void **state)
{
	static const uint8_t end[] = { 1, 3, 0x12, 0x34, 0, 8, 0, 0, 0, 0, 0, 0,
		2, 0, 0, 0 };
	static const uint8_t unknown[] = { 1, 11, 0, 0, 0, 8, 0, 0, 77, 0, 0, 0,
		0, 0, 0, 0 };
	static const uint8_t finish[] = { 1, 6, 0x12, 0x34, 0, 0, 0, 0, 1, 3,
		0x12, 0x34, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	static const char values[] = "\1\12\0\0\0\44\0\0"
				     "\16\2"
				     "FCGI_MAX_CONNS42"
				     "\17\1"
				     "FCGI_MPXS_CONNS1";
	uint8_t out[FCGI_VALUES_LEN];
	size_t len;

	(void)state;
	fcgi_put_end(out, 0x1234, FCGI_OVERLOADED);
	assert_memory_equal(out, end, sizeof(end));
	fcgi_put_finish(out, 0x1234);
	assert_memory_equal(out, finish, sizeof(finish));
	fcgi_put_unknown(out, 77);
	assert_memory_equal(out, unknown, sizeof(unknown));
	len = fcgi_put_values(
	    out, FCGI_VALUE_MAX_CONNS | FCGI_VALUE_MPXS_CONNS, 42);
	assert_int_equal(len, sizeof(values) - 1);
	assert_memory_equal(out, values, len);
	assert_int_equal(fcgi_put_values(out, 0, 1), FCGI_HEADER_LEN);
	len = fcgi_put_values(out,
	    FCGI_VALUE_MAX_CONNS | FCGI_VALUE_MAX_REQS | FCGI_VALUE_MPXS_CONNS,
	    UINT32_MAX);
	assert_true(len <= sizeof(out));
}

/* The stream from `off` on, by as many writes as it takes. */
static size_t
gather(struct slice answer, enum fcgi_shape shape, size_t off, char *out)
{
	size_t size = fcgi_answer_size(answer.len, shape), at = off;
	struct fcgi_frames f;
	bool all = false;

	while (at < size) {
		assert_false(all);
		fcgi_frames_init(&f);
		all = fcgi_frames_add(&f, 0x102, shape, answer, at);
		assert_in_range(f.n, 1, COUNT_OF(f.iov));
		for (unsigned i = 0; i < f.n; i++) {
			assert_true(f.iov[i].iov_len != 0);
			memcpy(out + at - off, f.iov[i].iov_base,
			    f.iov[i].iov_len);
			at += f.iov[i].iov_len;
		}
	}
	assert_true(all || size == off);
	assert_int_equal(at, size);
	return at - off;
}

/* The records say what was asked for, and nothing else. */
static void
check_records(struct slice in, struct slice answer, enum fcgi_shape shape)
{
	struct fcgi_reader r = { .have = 0 };
	struct fcgi_piece p = { .type = 0 };
	size_t got = 0;

	while (fcgi_read(&r, &in, &p) == CODEC_DONE && p.type == FCGI_STDOUT) {
		assert_int_equal(p.id, 0x102);
		assert_memory_equal(
		    p.content.ptr, answer.ptr + got, p.content.len);
		got += p.content.len;
		p.type = 0;
	}
	assert_int_equal(got, answer.len);
	assert_int_equal(p.type, shape == FCGI_WHOLE ? FCGI_END_REQUEST : 0);
	assert_int_equal(in.len, 0);
}

/* A partial write may end at any byte: going on there gives the same bytes. */
static void
test_answer_at_any_offset(void **state)
{
	static const size_t lens[] = { 0, 1, 7, FCGI_CONTENT_MAX - 1,
		FCGI_CONTENT_MAX, FCGI_CONTENT_MAX + 1, 2 * FCGI_CONTENT_MAX,
		40 * FCGI_CONTENT_MAX + 3 };
	size_t max = fcgi_answer_size(lens[COUNT_OF(lens) - 1], FCGI_WHOLE);
	char *data = malloc(max), *whole = malloc(max), *part = malloc(max);
	size_t i, off, size;

	(void)state;
	assert_true(data != NULL && whole != NULL && part != NULL);
	for (i = 0; i < max; i++)
		data[i] = (char)(i * 7 + i / 251);
	for (i = 0; i < 2 * COUNT_OF(lens); i++) {
		struct slice answer = { data, lens[i / 2] };
		enum fcgi_shape shape = i % 2 != 0 ? FCGI_WHOLE : FCGI_PART;

		size = gather(answer, shape, 0, whole);
		check_records((struct slice){ whole, size }, answer, shape);
		for (off = 0; off < size;
		     off += off % 65536 < 20 || size - off < 40 ? 1 : 4093) {
			assert_int_equal(
			    gather(answer, shape, off, part), size - off);
			assert_memory_equal(part, whole + off, size - off);
		}
	}
	free(data);
	free(whole);
	free(part);
}

/* Many small ones share a write, up to as many as there is room for. */
static void
test_frames_shared(void **state)
{
	static const char one[] = "\1\6\0\1\0\2\0\0ab";
	static const char end[] = "\1\3\0\1\0\10\0\0\0\0\0\0\0\0\0\0";
	char *large = calloc(FCGI_FRAMES_MAX, FCGI_CONTENT_MAX);
	struct slice ab = { "ab", 2 };
	struct fcgi_frames f;
	unsigned i;

	(void)state;
	assert_non_null(large);
	fcgi_frames_init(&f);
	for (i = 0; i < FCGI_FRAMES_MAX; i++)
		assert_true(fcgi_frames_add(&f, 1, FCGI_WHOLE, ab, 0));
	assert_int_equal(f.n, COUNT_OF(f.iov));
	for (i = 0; i < FCGI_FRAMES_MAX; i++) {
		const struct iovec *iov = &f.iov[(size_t)i * 3];

		assert_memory_equal(iov[0].iov_base, one, FCGI_HEADER_LEN);
		assert_memory_equal(iov[1].iov_base, "ab", 2);
		assert_memory_equal(iov[2].iov_base, end, FCGI_END_LEN);
	}
	fcgi_frames_init(&f);
	fcgi_frames_add_raw(&f, ab);
	assert_true(fcgi_frames_add(&f, 1, FCGI_PART, ab, 9));
	assert_int_equal(f.n, 2);
	assert_int_equal(f.iov[1].iov_len, 1);
	assert_false(fcgi_frames_add(&f, 1, FCGI_PART,
	    (struct slice){ large, (size_t)FCGI_FRAMES_MAX * FCGI_CONTENT_MAX },
	    0));
	assert_true(f.n <= COUNT_OF(f.iov));
	free(large);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_bad_version),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_pair_cut_short),
		cmocka_unit_test(test_pair_length_overflow),
		cmocka_unit_test(test_pair_at_the_bound),
		cmocka_unit_test(test_small_records),
		cmocka_unit_test(test_answer_at_any_offset),
		cmocka_unit_test(test_frames_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
