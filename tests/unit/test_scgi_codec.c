/*
 * tests/unit/test_scgi_codec.c - SCGI requests, whole and cut at any place,
 * and the many ways in which one can be wrong.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fcgi/scgi_codec.h"

#define MAX_PARAMS 256
#define MAX_BODY 100

struct fixture {
	struct scgi_reader r;
	struct params params;
	struct buf body;
	int err;
};

static void
start(struct fixture *f)
{
	scgi_reader_init(&f->r, MAX_PARAMS);
	params_init(&f->params, MAX_PARAMS);
	buf_init(&f->body, MAX_BODY);
	f->err = 0;
}

static void
stop(struct fixture *f)
{
	scgi_reader_release(&f->r);
	params_release(&f->params);
	buf_release(&f->body);
}

static enum codec
feed(struct fixture *f, const char *bytes, size_t len, size_t *left)
{
	struct slice in = { bytes, len };
	enum codec c = scgi_read(&f->r, &in, &f->params, &f->body, &f->err);

	*left = in.len;
	return c;
}

/* Feed in steps until it is not MORE. */
static enum codec
feed_steps(struct fixture *f, const char *bytes, size_t len, size_t step)
{
	enum codec c = CODEC_MORE;
	size_t at, left;

	for (at = 0; at < len && c == CODEC_MORE; at += step)
		c = feed(f, bytes + at, MIN_OF(step, len - at), &left);
	return c;
}

/* The example of the specification. */
static const char example[] = "70:CONTENT_LENGTH\0"
			      "27\0"
			      "SCGI\0"
			      "1\0"
			      "REQUEST_METHOD\0"
			      "POST\0"
			      "REQUEST_URI\0"
			      "/deepthought\0"
			      ","
			      "What is the answer to life?";

static void
check_example(struct fixture *f)
{
	assert_int_equal(f->params.n, 4);
	assert_true(slice_is(params_get(&f->params, "REQUEST_METHOD"), "POST"));
	assert_true(
	    slice_is(params_get(&f->params, "REQUEST_URI"), "/deepthought"));
	assert_int_equal(f->body.len, 27);
	assert_memory_equal(f->body.data, "What is the answer to life?", 27);
}

static void
test_cut_anywhere(void **state)
{
	size_t len = sizeof(example) - 1, cut, step, left;
	struct fixture f;

	(void)state;
	for (cut = 0; cut < len; cut++) {
		start(&f);
		assert_int_equal(feed(&f, example, cut, &left), CODEC_MORE);
		assert_int_equal(
		    feed(&f, example + cut, len - cut, &left), CODEC_DONE);
		check_example(&f);
		stop(&f);
	}
	for (step = 1; step <= len; step++) {
		start(&f);
		assert_int_equal(
		    feed_steps(&f, example, len, step), CODEC_DONE);
		check_example(&f);
		stop(&f);
	}
}

static void
test_what_follows_is_left(void **state)
{
	static const char wire[] = "24:CONTENT_LENGTH\0"
				   "2\0"
				   "SCGI\0"
				   "1\0"
				   ","
				   "ab"
				   "cdef";
	struct fixture f;
	size_t left;

	(void)state;
	start(&f);
	assert_int_equal(feed(&f, wire, sizeof(wire) - 1, &left), CODEC_DONE);
	assert_int_equal(left, 4);
	assert_int_equal(f.body.len, 2);
	stop(&f);
}

#define CL0 \
	"CONTENT_LENGTH\0" \
	"0\0" /* 17 bytes */
#define SCGI1 \
	"SCGI\0" \
	"1\0" /* 7 bytes */
#define WIRE(s) \
	{ \
		s, sizeof(s) - 1 \
	}

static void
test_good(void **state)
{
	static const struct slice good[] = {
		WIRE("24:" CL0 SCGI1 ","),
		WIRE("27:" CL0 SCGI1 "A\0"
		     "\0"
		     ","),
		WIRE("28:" CL0 "A\0"
		     "b\0" SCGI1 ","),
		WIRE("44:" CL0 SCGI1 "HTTP_X_A\0"
		     "\0"
		     "HTTP_X_A\0"
		     "\0"
		     ","),
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(good); i++) {
		struct fixture f;

		start(&f);
		assert_int_equal(
		    feed_steps(&f, good[i].ptr, good[i].len, 3), CODEC_DONE);
		stop(&f);
	}
}

static void
test_bad(void **state)
{
	static const struct {
		struct slice wire;
		int err;
	} bad[] = {
		/* the length */
		{ WIRE(":"), ERR_SYNTAX },
		{ WIRE("x"), ERR_SYNTAX },
		{ WIRE("-24:"), ERR_SYNTAX },
		{ WIRE(" 24:"), ERR_SYNTAX },
		{ WIRE("+24:"), ERR_SYNTAX },
		{ WIRE("024:" CL0 SCGI1 ","), ERR_SYNTAX },
		{ WIRE("00:,"), ERR_SYNTAX },
		{ WIRE("24 :"), ERR_SYNTAX },
		{ WIRE("9999999999"), ERR_SYNTAX },
		{ WIRE("18446744073709551640:"), ERR_SYNTAX },
		{ WIRE("999999999:"), ERR_TOOBIG },
		{ WIRE("257:"), ERR_TOOBIG },
		{ WIRE("\1\1\0\1\0\10\0\0"), ERR_SYNTAX },
		{ WIRE("GET / HTTP/1.1\r\n"), ERR_SYNTAX },
		/* the headers */
		{ WIRE("0:,"), ERR_SYNTAX },
		{ WIRE("7:" SCGI1 ","), ERR_SYNTAX },
		{ WIRE("17:" CL0 ","), ERR_SYNTAX },
		{ WIRE("24:" SCGI1 CL0 ","), ERR_SYNTAX },
		{ WIRE("24:CONTENT_LENGTH\0"
		       "0\0"
		       "SCGI\0"
		       "2\0"
		       ","),
		    ERR_SYNTAX },
		{ WIRE("23:CONTENT_LENGTH\0"
		       "\0" SCGI1 ","),
		    ERR_SYNTAX },
		{ WIRE("25:CONTENT_LENGTH\0"
		       "-1\0" SCGI1 ","),
		    ERR_SYNTAX },
		{ WIRE("25:CONTENT_LENGTH\0"
		       "1 \0" SCGI1 ","),
		    ERR_SYNTAX },
		{ WIRE("24:CONTENT_LENGTH\0"
		       "x\0" SCGI1 ","),
		    ERR_SYNTAX },
		{ WIRE("44:CONTENT_LENGTH\0"
		       "100000000000000000000\0" SCGI1 ","),
		    ERR_SYNTAX },
		{ WIRE("41:" CL0 CL0 SCGI1 ","), ERR_SYNTAX },
		{ WIRE("31:" CL0 SCGI1 SCGI1 ","), ERR_SYNTAX },
		{ WIRE("32:" CL0 SCGI1 "A\0"
		       "1\0"
		       "A\0"
		       "2\0"
		       ","),
		    ERR_SYNTAX },
		{ WIRE("26:" CL0 SCGI1 "\0"
		       "\0"
		       ","),
		    ERR_SYNTAX },
		{ WIRE("26:" CL0 SCGI1 "A\0"
		       ","),
		    ERR_SYNTAX },
		{ WIRE("27:" CL0 SCGI1 "A\0"
		       "b"
		       ","),
		    ERR_SYNTAX },
		{ WIRE("25:" CL0 SCGI1 "A"
		       ","),
		    ERR_SYNTAX },
		/* the comma */
		{ WIRE("24:" CL0 SCGI1 ";"), ERR_SYNTAX },
		{ WIRE("23:" CL0 SCGI1 ","), ERR_SYNTAX },
		/* the body */
		{ WIRE("26:CONTENT_LENGTH\0"
		       "101\0" SCGI1 ","),
		    ERR_TOOBIG },
		{ WIRE("41:CONTENT_LENGTH\0"
		       "999999999999999999\0" SCGI1 ","),
		    ERR_TOOBIG },
	};
	size_t i, step;

	(void)state;
	for (i = 0; i < COUNT_OF(bad); i++) {
		for (step = 1; step <= bad[i].wire.len; step++) {
			struct fixture f;

			start(&f);
			assert_int_equal(feed_steps(&f, bad[i].wire.ptr,
					     bad[i].wire.len, step),
			    CODEC_BAD);
			assert_int_equal(f.err, bad[i].err);
			stop(&f);
		}
	}
}

/* The bounds themselves are allowed. */
static void
test_at_the_bounds(void **state)
{
	static const char head[] = "256:CONTENT_LENGTH\0"
				   "100\0" SCGI1 "A";
	char wire[4 + 256 + 1 + 100];
	struct fixture f;

	(void)state;
	memset(wire, 'x', sizeof(wire));
	memcpy(wire, head, sizeof(head)); /* with the name's NUL */
	wire[4 + 255] = '\0';
	wire[4 + 256] = ',';
	start(&f);
	assert_int_equal(feed_steps(&f, wire, sizeof(wire), 64), CODEC_DONE);
	assert_int_equal(f.body.len, 100);
	assert_int_equal(params_get(&f.params, "A").len, 256 - 26 - 2 - 1);
	stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_what_follows_is_left),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_at_the_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
