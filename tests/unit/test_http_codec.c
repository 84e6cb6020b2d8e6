/*
 * tests/unit/test_http_codec.c - HTTP requests, whole and cut at every place,
 * and the many ways in which two parsers could understand one differently.
 *
 * A server that sees the end of a request where its neighbour does not gives
 * one client's words another client's name; so each doubt has one answer.
 */
#include "base/base.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/http_codec.h"
#include "fcgi/http_head.h"

#define MAX_HEAD 20000
#define MAX_BODY 100
#define HOST "Host: a\r\n"

struct seen {
	struct http_reader r;
	struct buf text; /* the items, one a line */
	enum codec last;
	int err;
	size_t left; /* bytes behind the request */
	bool ended;
};

static void
note(struct seen *s, const struct http_item *item)
{
	static const char *const kinds[] = { "", "line", "field", "head",
		"body", "end" };
	bool body = item->kind == HTTP_ITEM_BODY;
	int err = 0;

	/* How a body is cut is no matter. */
	if (!body)
		err = buf_printf(&s->text, "%s", kinds[item->kind]);
	if (err == 0 &&
	    (item->kind == HTTP_ITEM_LINE || item->kind == HTTP_ITEM_FIELD))
		err = buf_printf(&s->text, " %.*s=%.*s", (int)item->name.len,
		    item->name.ptr, (int)item->value.len, item->value.ptr);
	if (err == 0 && body)
		err = buf_append(&s->text, item->value.ptr, item->value.len);
	if (err == 0 && !body)
		err = buf_text(&s->text, ";");
	assert_int_equal(err, 0);
	s->ended = item->kind == HTTP_ITEM_END;
}

static void
see(struct seen *s, struct slice in)
{
	struct http_item item;

	do {
		s->last = http_read(&s->r, &in, &item, &s->err);
		if (s->last == CODEC_DONE)
			note(s, &item);
	} while (s->last == CODEC_DONE && !s->ended);
	assert_int_equal(s->last == CODEC_BAD, s->err != 0);
	assert_true(s->last != CODEC_MORE || in.len == 0);
	s->left = in.len;
}

/* In pieces: up to `cut`, from there in steps. */
static void
see_cut(struct seen *s, struct slice all, size_t cut, size_t step)
{
	size_t at = 0, n = MIN_OF(cut, all.len);

	memset(s, 0, sizeof(*s));
	http_reader_init(&s->r, MAX_HEAD, MAX_BODY);
	buf_init(&s->text, 1 << 20);
	while (at < all.len && !s->ended && s->last != CODEC_BAD) {
		see(s, (struct slice){ all.ptr + at, n });
		at += n - s->left;
		n = MIN_OF(step, all.len - at);
	}
	s->left = all.len - at;
}

static void
forget(struct seen *s)
{
	http_reader_release(&s->r);
	buf_release(&s->text);
}

static void
assert_same(const struct seen *a, const struct seen *b)
{
	assert_int_equal(a->last, b->last);
	assert_int_equal(a->err, b->err);
	assert_int_equal(a->ended, b->ended);
	assert_int_equal(a->left, b->left);
	assert_int_equal(a->text.len, b->text.len);
	if (a->text.len != 0)
		assert_memory_equal(a->text.data, b->text.data, a->text.len);
}

/* The bytes cut in two at every place, and byte by byte. */
static void
check_cuts(const struct seen *whole, struct slice all)
{
	struct seen s;

	for (size_t cut = 1; cut < all.len; cut++) {
		see_cut(&s, all, cut, all.len);
		if (whole->last != CODEC_BAD)
			assert_same(whole, &s);
		else
			assert_int_equal(whole->err, s.err);
		forget(&s);
	}
	see_cut(&s, all, 1, 1);
	assert_int_equal(whole->err, s.err);
	assert_int_equal(whole->ended, s.ended);
	forget(&s);
}

static void
check_good(const char *bytes, size_t len, const char *items, size_t left)
{
	struct slice all = { bytes, len };
	struct seen s;

	see_cut(&s, all, len, len);
	if (!s.ended || s.left != left ||
	    !slice_is((struct slice){ s.text.data, s.text.len }, items))
		fail_msg("error %d, %zu left, ended %d:\n%.*s\nis not\n%s",
		    s.err, s.left, s.ended, (int)s.text.len, s.text.data,
		    items);
	check_cuts(&s, all);
	forget(&s);
}

#define GOOD(bytes, items) check_good(bytes, sizeof(bytes) - 1, items, 0)

static void
test_good(void **state)
{
	(void)state;
	GOOD("GET /a?b HTTP/1.1\r\n" HOST "\r\n",
	    "line GET=/a?b;field Host=a;head;end;");
	GOOD("GET / HTTP/1.0\r\n\r\n", "line GET=/;head;end;");
	GOOD("\r\nGET / HTTP/1.0\r\n\r\n", "line GET=/;head;end;");
	GOOD("get! * HTTP/1.9\r\n" HOST "\r\n",
	    "line get!=*;field Host=a;head;end;");
	GOOD("GET / HTTP/1.1\r\nhOST:a\r\nX:\t b \t\r\nX:\r\nX: \xff\r\n\r\n",
	    "line GET=/;field hOST=a;field X=b;field X=;field X=\xff;"
	    "head;end;");
	GOOD("POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc",
	    "line POST=/;field Host=a;field Content-Length=3;head;abcend;");
	GOOD("POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n",
	    "line POST=/;field Host=a;field Content-Length=0;head;end;");
	GOOD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n"
	     "3\r\nabc\r\n00a;x=\"y\" ; z\r\n0123456789\r\n0\r\n\r\n",
	    "line POST=/;field Host=a;field Transfer-Encoding=Chunked;head;"
	    "abc0123456789end;");
	GOOD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
	     "0\r\nX: y\r\nContent-Length: 7\r\n\r\n",
	    "line POST=/;field Host=a;field Transfer-Encoding=chunked;head;"
	    "end;");
}

/* What follows a request is not touched. */
static void
test_pipelined(void **state)
{
	static const char two[] =
	    "POST / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nabGET /";
	static const char chunks[] =
	    "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
	    "0\r\n\r\nGET /";

	(void)state;
	check_good(two, sizeof(two) - 1,
	    "line POST=/;field Host=a;field Content-Length=2;head;abend;", 5);
	check_good(chunks, sizeof(chunks) - 1,
	    "line POST=/;field Host=a;field Transfer-Encoding=chunked;head;"
	    "end;",
	    5);
}

#define B(bytes) bytes, sizeof(bytes) - 1
#define TOP "GET / HTTP/1.1\r\n"
#define CHUNKED "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"

static const struct {
	int err;
	const char *bytes;
	size_t len;
} bad[] = {
	/* request lines */
	{ ERR_SYNTAX, B("\r\n\r\n") },
	{ ERR_SYNTAX, B("GET /\r\n") },
	{ ERR_SYNTAX, B("GET\r\n") },
	{ ERR_SYNTAX, B("GET  / HTTP/1.1\r\n") },
	{ ERR_SYNTAX, B("GET /  HTTP/1.1\r\n") },
	{ ERR_SYNTAX, B("GET / HTTP/1.1 \r\n") },
	{ ERR_SYNTAX, B(" GET / HTTP/1.1\r\n") },
	{ ERR_SYNTAX, B("GET\t/\tHTTP/1.1\r\n") },
	{ ERR_SYNTAX, B("G(T / HTTP/1.1\r\n") },
	{ ERR_SYNTAX, B("GET / HTTP/1\r\n") },
	{ ERR_SYNTAX, B("GET / HTTP/11.1\r\n") },
	{ ERR_SYNTAX, B("GET / HTTP/1.1x\r\n") },
	{ ERR_SYNTAX, B("GET / http/1.1\r\n") },
	{ ERR_SYNTAX, B("GET /a b HTTP/1.1\r\n") },
	{ ERR_SYNTAX, B("GET /a#b HTTP/1.1\r\n") },
	{ ERR_SYNTAX, B("GET /\xc3\xa4 HTTP/1.1\r\n") },
	{ ERR_SYNTAX, B("GET /\0 HTTP/1.1\r\n") },
	{ ERR_SYNTAX, B("GET / HTTP/1.1\n" HOST "\n") },
	{ ERR_SYNTAX, B("GET / HTTP/1.1\r\r\n") },
	{ ERR_SYNTAX, B("GET /\r HTTP/1.1\r\n") },
	{ ERR_HTTP, B("GET / HTTP/2.0\r\n") },
	{ ERR_HTTP, B("PRI * HTTP/2.0\r\n") },
	{ ERR_HTTP, B("GET / HTTP/0.9\r\n") },
	/* fields */
	{ ERR_SYNTAX, B(TOP "Host : a\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP "Host\t: a\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP " Host: a\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST " folded\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "\tfolded: x\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST ": x\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "no colon\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "X: a\0b\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "X\0: a\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "X: a\rb\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "X: a\r\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "X: a\x7f\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "X: a\x0b\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "X: a\nY: b\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "\n") },
	{ ERR_SYNTAX, B(TOP HOST "X\xff: a\r\n\r\n") },
	/* hosts */
	{ ERR_SYNTAX, B(TOP "\r\n") },
	{ ERR_SYNTAX, B(TOP "Host:\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST HOST "\r\n") },
	{ ERR_SYNTAX, B("GET / HTTP/1.0\r\n" HOST HOST "\r\n") },
	{ ERR_SYNTAX, B(TOP "Host: a/b\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP "Host: a@b\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP "Host: a, b\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP "Host: a b\r\n\r\n") },
	/* lengths */
	{ ERR_SYNTAX, B(TOP HOST "Content-Length:\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "Content-Length: +3\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "Content-Length: -3\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "Content-Length: 0x3\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "Content-Length: 3 3\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "Content-Length: 3, 3\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "Content-Length: 3.0\r\n\r\n") },
	{ ERR_SYNTAX,
	    B(TOP HOST "Content-Length: 3\r\ncontent-length: 3\r\n\r\n") },
	{ ERR_SYNTAX,
	    B(TOP HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\n") },
	{ ERR_SYNTAX,
	    B(TOP HOST "Content-Length: 99999999999999999999\r\n\r\n") },
	{ ERR_TOOBIG, B(TOP HOST "Content-Length: 101\r\n\r\n") },
	/* codings */
	{ ERR_SYNTAX,
	    B(TOP HOST
		"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n") },
	{ ERR_SYNTAX,
	    B(TOP HOST
		"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n") },
	{ ERR_SYNTAX,
	    B(TOP HOST "Transfer-Encoding: chunked\r\n"
		       "Transfer-Encoding: chunked\r\n\r\n") },
	{ ERR_SYNTAX, B("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "Transfer-Encoding : chunked\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "Transfer-Encoding: chunked\x0b\r\n\r\n") },
	{ ERR_SYNTAX, B(TOP HOST "Transfer-Encoding:\r\n\r\n") },
	{ ERR_CODING, B(TOP HOST "Transfer-Encoding: gzip\r\n\r\n") },
	{ ERR_CODING, B(TOP HOST "Transfer-Encoding: gzip, chunked\r\n\r\n") },
	{ ERR_CODING, B(TOP HOST "Transfer-Encoding: chunked, x\r\n\r\n") },
	{ ERR_CODING, B(TOP HOST "Transfer-Encoding: xchunked\r\n\r\n") },
	{ ERR_CODING, B(TOP HOST "Transfer-Encoding: \"chunked\"\r\n\r\n") },
	{ ERR_CODING, B(TOP HOST "Transfer-Encoding: identity\r\n\r\n") },
	{ ERR_EXPECT, B(TOP HOST "Expect: 200-ok\r\n\r\n") },
	/* chunks */
	{ ERR_SYNTAX, B(CHUNKED "\r\n") },
	{ ERR_SYNTAX, B(CHUNKED "g\r\n") },
	{ ERR_SYNTAX, B(CHUNKED "0x1\r\na\r\n") },
	{ ERR_SYNTAX, B(CHUNKED "-1\r\n") },
	{ ERR_SYNTAX, B(CHUNKED " 1\r\n") },
	{ ERR_SYNTAX, B(CHUNKED "1 \r\n") },
	{ ERR_SYNTAX, B(CHUNKED "1 x\r\n") },
	{ ERR_SYNTAX, B(CHUNKED "1\na\r\n") },
	{ ERR_SYNTAX, B(CHUNKED "1;a\0b\r\n") },
	{ ERR_SYNTAX, B(CHUNKED "1;a\rb\r\n") },
	{ ERR_SYNTAX, B(CHUNKED "1\r\nab\r\n") },
	{ ERR_SYNTAX, B(CHUNKED "1\r\na\n") },
	{ ERR_SYNTAX, B(CHUNKED "1\r\na\rx") },
	{ ERR_SYNTAX, B(CHUNKED "00000000000000001\r\n") },
	{ ERR_SYNTAX, B(CHUNKED "0\r\n bad: x\r\n") },
	{ ERR_SYNTAX, B(CHUNKED "0\r\nno colon\r\n") },
	{ ERR_SYNTAX, B(CHUNKED "0\r\n\n") },
	{ ERR_TOOBIG, B(CHUNKED "65\r\n") },
	{ ERR_TOOBIG, B(CHUNKED "ffffffffffffffff\r\n") },
	{ ERR_TOOBIG, B(CHUNKED "1\r\na\r\n64\r\n") },
};

static void
test_bad(void **state)
{
	struct seen s;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct slice all = { bad[i].bytes, bad[i].len };

		see_cut(&s, all, all.len, all.len);
		if (s.last != CODEC_BAD || s.err != bad[i].err)
			fail_msg("%d, not %d: %.*s", s.err, bad[i].err,
			    (int)all.len, all.ptr);
		check_cuts(&s, all);
		forget(&s);
	}
}

/* Endless heads, extensions and trailers end, wherever they were cut. */
static void
check_endless(const char *start, const char *more, size_t times, int err)
{
	static const size_t steps[] = { 1 << 20, 1, 7, 4096 };
	struct buf b;
	int failed;

	buf_init(&b, 1 << 20);
	failed = buf_text(&b, start);
	for (size_t i = 0; i < times && failed == 0; i++)
		failed = buf_text(&b, more);
	assert_int_equal(failed, 0);
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct seen s;

		see_cut(
		    &s, (struct slice){ b.data, b.len }, steps[i], steps[i]);
		assert_int_equal(s.last, CODEC_BAD);
		assert_int_equal(s.err, err);
		forget(&s);
	}
	buf_release(&b);
}

static void
test_endless(void **state)
{
	(void)state;
	check_endless("GET /", "a", HTTP_LINE_MAX, ERR_URI);
	check_endless("G", "G", HTTP_LINE_MAX, ERR_URI);
	check_endless(TOP "X: ", "a", HTTP_LINE_MAX, ERR_HEAD);
	check_endless(TOP, "X: a\r\n", MAX_HEAD / 6, ERR_HEAD);
	check_endless(CHUNKED, "0", 5000, ERR_TOOBIG);
	check_endless(CHUNKED "1;", "a", 5000, ERR_TOOBIG);
	check_endless(CHUNKED "0\r\n", "X: a\r\n", 3000, ERR_HEAD);
	check_endless(CHUNKED "0\r\nX:", "a", 20000, ERR_HEAD);
}

/* Many small chunks with extensions are as long as one with a long one. */
static void
test_extensions_add_up(void **state)
{
	char one[300];
	char ext[250];

	(void)state;
	memset(ext, 'e', sizeof(ext) - 1);
	ext[sizeof(ext) - 1] = '\0';
	(void)snprintf(one, sizeof(one), "1;%s\r\na\r\n", ext);
	check_endless(CHUNKED, one, 80, ERR_TOOBIG);
}

static void
see_head(struct seen *s, const char *bytes)
{
	see_cut(s, (struct slice){ bytes, strlen(bytes) }, strlen(bytes),
	    strlen(bytes));
	assert_true(s->ended);
}

static void
check_kept(const char *bytes, bool kept)
{
	struct seen s;

	see_head(&s, bytes);
	assert_int_equal(http_is_kept(&s.r), kept);
	forget(&s);
}

static void
test_connection(void **state)
{
	struct seen s;

	(void)state;
	check_kept(TOP HOST "\r\n", true);
	check_kept(TOP HOST "Connection: close\r\n\r\n", false);
	check_kept(
	    TOP HOST "Connection: x\r\nConnection: a, Close\r\n\r\n", false);
	check_kept(TOP HOST "Connection: keep-alive, close\r\n\r\n", false);
	check_kept("GET / HTTP/1.0\r\n\r\n", false);
	check_kept("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true);
	see_head(&s, TOP HOST "Connection: keep-alive,\tUpgrade\r\n\r\n");
	assert_true(s.r.upgrade);
	forget(&s);
	see_head(&s, TOP HOST "Connection: upgraded\r\n\r\n");
	assert_false(s.r.upgrade);
	forget(&s);
}

static void
test_expect(void **state)
{
	struct seen s;

	(void)state;
	see_head(
	    &s, TOP HOST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\na");
	assert_true(s.r.expect);
	forget(&s);
	see_head(&s, TOP HOST "Expect: 100-continue\r\n\r\n");
	assert_false(s.r.expect); /* there is nothing to go on with */
	forget(&s);
	see_head(&s, "GET / HTTP/1.0\r\nExpect: anything\r\n\r\n");
	assert_false(s.r.expect);
	forget(&s);
}

/* Paths, as nginx has them. */
static void
test_path(void **state)
{
	static const struct {
		const char *raw, *path; /* NULL: refused */
	} paths[] = {
		{ "/", "/" },
		{ "/a/b", "/a/b" },
		{ "/a/", "/a/" },
		{ "//a///b//", "/a/b/" },
		{ "/./a/./b/.", "/a/b/" },
		{ "/a/../b", "/b" },
		{ "/a/b/..", "/a/" },
		{ "/a/..", "/" },
		{ "/a/b/../..", "/" },
		{ "/a/%2e%2E/b", "/b" },
		{ "/a%2f..%2Fb", "/b" },
		{ "/%61%20%3f%25", "/a ?%" },
		{ "/...", "/..." },
		{ "/..a/.b", "/..a/.b" },
		{ "/..", NULL },
		{ "/a/../..", NULL },
		{ "/%2e%2e/", NULL },
		{ "/%00", NULL },
		{ "/%", NULL },
		{ "/%4", NULL },
		{ "/%4g", NULL },
		{ "a", NULL },
		{ "", NULL },
	};
	char out[HTTP_LINE_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		struct slice raw = { paths[i].raw, strlen(paths[i].raw) };
		ssize_t n = http_path(raw, out);

		if (paths[i].path == NULL)
			assert_int_equal(n, ERR_SYNTAX);
		else if (n < 0 ||
		    !slice_is((struct slice){ out, (size_t)n }, paths[i].path))
			fail_msg("%s is not %s", paths[i].raw, paths[i].path);
	}
}

/* The parameters of a head. */

static struct http_peer peer = { .addr = "10.0.0.9",
	.port = "999",
	.our_addr = "10.0.0.1",
	.our_port = "80" };
static struct cidr_list proxies;

static int
head_params(const char *bytes, struct params *p, struct http_head *h)
{
	struct slice in = { bytes, strlen(bytes) };
	struct http_reader r;
	struct http_item item;
	int err = 0;

	params_init(p, 4096);
	http_reader_init(&r, MAX_HEAD, MAX_BODY);
	do {
		if (http_read(&r, &in, &item, &err) != CODEC_DONE)
			break;
		if (item.kind == HTTP_ITEM_LINE)
			err = http_head_line(h, p, &item, r.minor);
		else if (item.kind == HTTP_ITEM_FIELD)
			err = http_head_field(h, p, &item);
		else
			err = http_head_end(h, p, &peer, &proxies);
	} while (err == 0 && item.kind != HTTP_ITEM_HEAD);
	http_reader_release(&r);
	return err;
}

static void
assert_param(const struct params *p, const char *name, const char *value)
{
	struct slice got = params_get(p, name);

	if (value == NULL ? got.ptr != NULL
			  : got.ptr == NULL || !slice_is(got, value))
		fail_msg("%s is %.*s, not %s", name, (int)got.len, got.ptr,
		    value != NULL ? value : "absent");
}

static void
test_params(void **state)
{
	struct http_head h;
	struct params p;

	(void)state;
	assert_int_equal(head_params("HEAD /a%20b//c?x=%20 HTTP/1.1\r\n" HOST
				     "X-Y: z\r\nContent-Type: text/plain\r\n"
				     "X_Y: evil\r\nREMOTE_ADDR: evil\r\n"
				     "push_stream_publisher: admin\r\n"
				     "X-Forwarded-For: 1.1.1.1\r\n\r\n",
			     &p, &h),
	    0);
	assert_true(h.is_head);
	assert_param(&p, "REQUEST_METHOD", "GET");
	assert_param(&p, "REQUEST_URI", "/a%20b//c?x=%20");
	assert_param(&p, "DOCUMENT_URI", "/a b/c");
	assert_param(&p, "QUERY_STRING", "x=%20");
	assert_param(&p, "SERVER_PROTOCOL", "HTTP/1.1");
	assert_param(&p, "CONTENT_TYPE", "text/plain");
	assert_param(&p, "HTTP_HOST", "a");
	assert_param(&p, "HTTP_X_Y", "z");
	assert_param(&p, "REMOTE_ADDR", "10.0.0.9");
	assert_param(&p, "REMOTE_PORT", "999");
	assert_param(&p, "SERVER_ADDR", "10.0.0.1");
	assert_param(&p, "SERVER_PORT", "80");
	assert_param(&p, "REQUEST_SCHEME", "http");
	assert_param(&p, "push_stream_publisher", NULL);
	assert_param(&p, "HTTP_PUSH_STREAM_PUBLISHER", NULL);
	params_release(&p);
}

static void
test_targets(void **state)
{
	struct http_head h;
	struct params p;

	(void)state;
	assert_int_equal(
	    head_params("GET HTTP://b:80?q HTTP/1.1\r\n" HOST "\r\n", &p, &h),
	    0);
	assert_param(&p, "HTTP_HOST", "b:80");
	assert_param(&p, "DOCUMENT_URI", "/");
	assert_param(&p, "QUERY_STRING", "q");
	params_release(&p);
	assert_int_equal(
	    head_params("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", &p, &h), 0);
	assert_true(h.star);
	params_release(&p);
	static const struct {
		const char *line;
		int err;
	} refused[] = {
		{ "GET * HTTP/1.1\r\n", ERR_SYNTAX },
		{ "GET a HTTP/1.1\r\n", ERR_SYNTAX },
		{ "GET a:80 HTTP/1.1\r\n", ERR_SYNTAX },
		{ "GET ftp://a/ HTTP/1.1\r\n", ERR_SYNTAX },
		{ "GET http:///a HTTP/1.1\r\n", ERR_SYNTAX },
		{ "GET http://u@a/ HTTP/1.1\r\n", ERR_SYNTAX },
		{ "GET /../a HTTP/1.1\r\n", ERR_SYNTAX },
		{ "CONNECT a:80 HTTP/1.1\r\n", ERR_CODING },
	};
	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		assert_int_equal(
		    head_params(refused[i].line, &p, &h), refused[i].err);
		params_release(&p);
	}
}

/* The network of who comes from there to a socket for both families. */
static uint64_t
network_from(int listener, const struct sockaddr_in6 *ours, in_addr_t from)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr = { htonl(from) } };
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = ours->sin6_port,
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	int client = socket(AF_INET, SOCK_STREAM, 0), fd;
	struct http_peer p;

	assert_int_equal(bind(client, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(
	    connect(client, (struct sockaddr *)&to, sizeof(to)), 0);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(http_peer_init(&p, fd), 0);
	(void)close(client);
	(void)close(fd);
	return p.network;
}

static void
test_networks(void **state)
{
	static const int off;
	struct sockaddr_in6 ours = { .sin6_family = AF_INET6 };
	socklen_t len = sizeof(ours);
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	uint64_t one;

	(void)state;
	if (fd < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0 ||
	    bind(fd, (struct sockaddr *)&ours, sizeof(ours)) != 0)
		skip(); /* there is no IPv6 */
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ours, &len), 0);
	one = network_from(fd, &ours, INADDR_LOOPBACK);
	assert_true(one == network_from(fd, &ours, INADDR_LOOPBACK));
	assert_true(one != network_from(fd, &ours, INADDR_LOOPBACK + 1));
	(void)close(fd);
}

static void
check_client(const char *fields, const char *client)
{
	char bytes[512];
	struct http_head h;
	struct params p;

	(void)snprintf(bytes, sizeof(bytes), TOP HOST "%s\r\n", fields);
	assert_int_equal(head_params(bytes, &p, &h), 0);
	assert_param(&p, "REMOTE_ADDR", client);
	params_release(&p);
}

/* A proxy's word counts, and nobody else's that it passes on. */
static void
test_forwarded(void **state)
{
	struct http_head h;
	struct params p;

	(void)state;
	cidr_list_init(&proxies);
	check_client("X-Forwarded-For: 1.1.1.1\r\n", "10.0.0.9");
	assert_int_equal(cidr_list_add(&proxies, "10.0.0.0/8"), 0);
	check_client("", "10.0.0.9");
	check_client("X-Forwarded-For: 1.1.1.1\r\n", "1.1.1.1");
	check_client(
	    "X-Forwarded-For: 9.9.9.9, 1.1.1.1 , 10.1.1.1\r\n", "1.1.1.1");
	check_client("X-Forwarded-For: 9.9.9.9\r\n"
		     "X-Forwarded-For: 1.1.1.1\r\n"
		     "X-Forwarded-For: 10.1.1.1\r\n",
	    "1.1.1.1");
	check_client("X-Forwarded-For: 10.2.2.2,10.1.1.1\r\n", "10.2.2.2");
	check_client("X-Forwarded-For: [2001:db8::1]:80\r\n", "2001:db8::1");
	check_client("X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1");
	check_client("X-Forwarded-For: 1.1.1.1:8080\r\n", "1.1.1.1");
	check_client("X-Forwarded-For: 1.1.1.1, unknown\r\n", "unknown");
	check_client("X-Forwarded-For: 1.1.1.1, me, 10.1.1.1\r\n", "unknown");
	check_client("X-Forwarded-For:\r\n", "unknown");
	check_client("X-Forwarded-For: 1.1.1.1,\r\n", "unknown");
	check_client("X_Forwarded_For: 1.1.1.1\r\n", "10.0.0.9");
	assert_int_equal(
	    head_params(TOP HOST "X-Forwarded-Proto: HTTPS\r\n\r\n", &p, &h),
	    0);
	assert_param(&p, "REQUEST_SCHEME", "https");
	assert_param(&p, "HTTPS", "on");
	params_release(&p);
	cidr_list_release(&proxies);
}

static void
check_scheme(bool tls, const char *fields, const char *scheme)
{
	bool secure = strcmp(scheme, "https") == 0;
	char bytes[512];
	struct http_head h;
	struct params p;

	peer.tls = tls;
	(void)snprintf(bytes, sizeof(bytes), TOP HOST "%s\r\n", fields);
	assert_int_equal(head_params(bytes, &p, &h), 0);
	assert_param(&p, "REQUEST_SCHEME", scheme);
	assert_param(&p, "HTTPS", secure ? "on" : NULL);
	params_release(&p);
	peer.tls = false;
}

/* How the client reaches us, or the proxy before us. */
static void
test_scheme(void **state)
{
	(void)state;
	cidr_list_init(&proxies);
	check_scheme(false, "", "http");
	check_scheme(true, "", "https");
	check_scheme(false, "X-Forwarded-Proto: https\r\n", "http");
	check_scheme(true, "X-Forwarded-Proto: http\r\n", "https");
	assert_int_equal(cidr_list_add(&proxies, "10.0.0.0/8"), 0);
	check_scheme(true, "", "https");
	check_scheme(true, "X-Forwarded-For: 1.1.1.1\r\n", "https");
	check_scheme(true, "X-Forwarded-Proto: http\r\n", "http");
	check_scheme(false, "X-Forwarded-Proto: https\r\n", "https");
	/* The client may have said something before the proxy did. */
	check_scheme(false, "X-Forwarded-Proto: https, http\r\n", "http");
	check_scheme(false, "X-Forwarded-Proto: http,\thttps\r\n", "https");
	check_scheme(false,
	    "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", "http");
	check_scheme(false,
	    "X-Forwarded-Proto: http\r\nX-Forwarded-Proto: http, https\r\n",
	    "https");
	check_scheme(true, "X-Forwarded-Proto:\r\n", "https");
	cidr_list_release(&proxies);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_pipelined),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_extensions_add_up),
		cmocka_unit_test(test_connection),
		cmocka_unit_test(test_expect),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_params),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_forwarded),
		cmocka_unit_test(test_scheme),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
