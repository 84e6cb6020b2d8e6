/*
 * tests/fuzz/fuzz_ws.c - any bytes as a WebSocket client's frames.
 *
 * Reading in small steps must report the same as reading the whole, no message
 * passes the bound, and what is called text is text by a decoder that knows
 * nothing of ours.  The first byte says whether masks are a must and how to
 * cut.
 */
#include "tests/fuzz/check.h"

#include "api/ws.h"

#define MAX_MESSAGE 300

/* All that was reported, in a row. */
struct seen {
	struct buf said;
	enum ws_event last;
};

/* One character of UTF-8 at p: decode it, and demand the shortest form. */
static size_t
utf8_character(const uint8_t *p, size_t len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = p[0] < 0x80 ? 1
	    : p[0] >> 5 == 6   ? 2
	    : p[0] >> 4 == 14  ? 3
	    : p[0] >> 3 == 30  ? 4
			       : 0;
	uint32_t c;

	CHECK(n != 0 && n <= len);
	c = n == 1 ? p[0] : p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		CHECK(p[i] >> 6 == 2);
		c = c << 6 | (p[i] & 0x3f);
	}
	CHECK(c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff));
	return n;
}

static void
check_text(struct slice text)
{
	for (size_t i = 0; i < text.len;)
		i +=
		    utf8_character((const uint8_t *)text.ptr + i, text.len - i);
}

static void
check_event(enum ws_event event, struct slice data, uint16_t code)
{
	switch (event) {
	case WS_MORE:
		CHECK(code == 0 && data.len == 0);
		break;
	case WS_TEXT:
	case WS_BINARY:
		CHECK(data.len <= MAX_MESSAGE && code == 0);
		if (event == WS_TEXT)
			check_text(data);
		break;
	case WS_PING:
	case WS_PONG:
		CHECK(data.len <= WS_CONTROL_MAX && code == 0);
		break;
	case WS_CLOSE:
		CHECK(data.len <= WS_CONTROL_MAX);
		CHECK(data.len >= 2 || code == WS_CLOSE_NONE);
		if (data.len >= 2)
			check_text(
			    (struct slice){ data.ptr + 2, data.len - 2 });
		break;
	case WS_BAD:
		CHECK(code == WS_CLOSE_PROTOCOL || code == WS_CLOSE_BAD_TEXT ||
		    code == WS_CLOSE_TOO_BIG);
		break;
	}
}

static void
see_part(struct seen *s, struct ws_reader *r, struct slice in)
{
	struct slice data;
	uint16_t code;
	int err;

	do {
		s->last = ws_read(r, &in, &data, &code);
		check_event(s->last, data, code);
		if (s->last == WS_MORE) {
			CHECK(in.len == 0);
			return;
		}
		err =
		    buf_printf(&s->said, "%d %u %zu ", s->last, code, data.len);
		if (err == 0 && s->last != WS_BAD)
			err = buf_append(&s->said, data.ptr, data.len);
		CHECK(err == 0);
	} while (s->last != WS_CLOSE && s->last != WS_BAD);
}

static void
see_in_steps(struct seen *s, const uint8_t *data, size_t size, size_t step,
    bool require_mask)
{
	struct ws_reader r;

	ws_reader_init(&r, MAX_MESSAGE, require_mask);
	buf_init(&s->said, SIZE_MAX);
	s->last = WS_MORE;
	for (size_t at = 0; at < size && s->last == WS_MORE; at += step)
		see_part(s, &r,
		    (struct slice){
			(const char *)data + at, MIN_OF(step, size - at) });
	ws_reader_release(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole, cut;
	bool require_mask;

	if (size < 2)
		return 0;
	require_mask = data[0] >= 128;
	see_in_steps(&whole, data + 1, size - 1, size, require_mask);
	see_in_steps(&cut, data + 1, size - 1, 1 + data[0] % 16, require_mask);
	CHECK(whole.last == cut.last && whole.said.len == cut.said.len);
	CHECK(whole.said.len == 0 ||
	    memcmp(whole.said.data, cut.said.data, whole.said.len) == 0);
	buf_release(&whole.said);
	buf_release(&cut.said);
	return 0;
}
