/*
 * api/ws.c - the reading end of RFC 6455, and the heads of what we send.
 *
 * A frame is its head, collected byte by byte, and its payload, unmasked as it
 * comes into the message or, for a control frame, beside it.  Each byte of
 * the head is judged as soon as it is there, and text as far as it came, so a
 * peer cannot make us wait or store for what is wrong already.  A length is
 * never believed: memory grows with the bytes that came.
 *
 * Not done: handing out a message that came in one piece without a copy.
 * Clients publish little, and unmasking would need to write to our input.
 */
#include "api/ws.h"

#define FIN 0x80
#define RSV 0x70
#define OPCODE 0x0f
#define CONTROL 0x08 /* the bit of an opcode */
#define MASKED 0x80
#define LENGTH 0x7f
#define LENGTH_16 126
#define LENGTH_64 127
#define MASK_SIZE 4

_Static_assert(sizeof(struct ws_reader) <= 72, "one for each connection");

/* What may follow in UTF-8 (RFC 3629 section 4). */
enum utf8 {
	UTF8_WHOLE, /* no character is begun */
	UTF8_TAIL_1,
	UTF8_TAIL_2,
	UTF8_TAIL_3,
	UTF8_AFTER_E0, /* no longer forms than needed, */
	UTF8_AFTER_ED, /* no surrogates, */
	UTF8_AFTER_F0,
	UTF8_AFTER_F4, /* nothing beyond U+10FFFF */
	UTF8_BAD
};

static const struct {
	uint8_t least, most, next;
} utf8_tails[] = {
	[UTF8_TAIL_1] = { 0x80, 0xbf, UTF8_WHOLE },
	[UTF8_TAIL_2] = { 0x80, 0xbf, UTF8_TAIL_1 },
	[UTF8_TAIL_3] = { 0x80, 0xbf, UTF8_TAIL_2 },
	[UTF8_AFTER_E0] = { 0xa0, 0xbf, UTF8_TAIL_1 },
	[UTF8_AFTER_ED] = { 0x80, 0x9f, UTF8_TAIL_1 },
	[UTF8_AFTER_F0] = { 0x90, 0xbf, UTF8_TAIL_2 },
	[UTF8_AFTER_F4] = { 0x80, 0x8f, UTF8_TAIL_2 },
};

static unsigned
utf8_begin(uint8_t c)
{
	if (c < 0x80)
		return UTF8_WHOLE;
	if (c < 0xc2 || c > 0xf4)
		return UTF8_BAD;
	if (c < 0xe0)
		return UTF8_TAIL_1;
	if (c == 0xe0)
		return UTF8_AFTER_E0;
	if (c == 0xed)
		return UTF8_AFTER_ED;
	if (c < 0xf0)
		return UTF8_TAIL_2;
	if (c == 0xf0)
		return UTF8_AFTER_F0;
	return c == 0xf4 ? UTF8_AFTER_F4 : UTF8_TAIL_3;
}

static unsigned
utf8_check(unsigned state, const char *text, size_t len)
{
	for (size_t i = 0; i < len && state != UTF8_BAD; i++) {
		uint8_t c = (uint8_t)text[i];

		if (state == UTF8_WHOLE)
			state = utf8_begin(c);
		else if (c < utf8_tails[state].least ||
		    c > utf8_tails[state].most)
			state = UTF8_BAD;
		else
			state = utf8_tails[state].next;
	}
	return state;
}

size_t
ws_head(uint8_t out[WS_HEAD_MAX], enum ws_opcode op, uint64_t len)
{
	size_t bytes = len < LENGTH_16 ? 0 : len <= UINT16_MAX ? 2 : 8;

	out[0] = (uint8_t)(FIN | op);
	out[1] = (uint8_t)(bytes == 0 ? len
		: bytes == 2	      ? LENGTH_16
				      : LENGTH_64);
	for (size_t i = 0; i < bytes; i++)
		out[2 + i] = (uint8_t)(len >> 8 * (bytes - 1 - i));
	return 2 + bytes;
}

/* Room for the longest head: how long it is, only the end will tell. */
int
ws_frame_begin(struct buf *out, size_t *start)
{
	uint8_t head[WS_HEAD_MAX] = { 0 };

	*start = out->len;
	return buf_append(out, head, sizeof(head));
}

void
ws_frame_end(struct buf *out, size_t start, enum ws_opcode op)
{
	uint8_t head[WS_HEAD_MAX];
	size_t len = out->len - start - sizeof(head);
	size_t head_len = ws_head(head, op, len);
	char *at = out->data + start;

	memmove(at + head_len, at + sizeof(head), len);
	memcpy(at, head, head_len);
	out->len = start + head_len + len;
}

void
ws_reader_init(struct ws_reader *r, size_t max_message, bool require_mask)
{
	memset(r, 0, sizeof(*r));
	buf_init(&r->message, max_message);
	r->require_mask = require_mask;
}

bool
ws_reader_idle(const struct ws_reader *r)
{
	return r->head_have == 0 && r->left == 0 && !r->in_message;
}

static void
message_release(struct ws_reader *r)
{
	if (r->all != NULL)
		quota_give(r->all, r->message.cap);
	buf_release(&r->message);
}

void
ws_reader_release(struct ws_reader *r)
{
	message_release(r);
	free(r->control);
	r->control = NULL;
}

static bool
is_control(const struct ws_reader *r)
{
	return (r->head[0] & CONTROL) != 0;
}

/* Where the head's length ends; two bytes of it are there. */
static size_t
length_end(const struct ws_reader *r)
{
	switch (r->head[1] & LENGTH) {
	case LENGTH_16:
		return 4;
	case LENGTH_64:
		return 10;
	default:
		return 2;
	}
}

static size_t
head_size(const struct ws_reader *r)
{
	if (r->head_have < 2)
		return 2;
	return length_end(r) + ((r->head[1] & MASKED) != 0 ? MASK_SIZE : 0);
}

/* FIN, RSV and opcode. */
static uint16_t
check_opcode(struct ws_reader *r)
{
	unsigned op = r->head[0] & OPCODE;
	bool fin = (r->head[0] & FIN) != 0;

	if ((r->head[0] & RSV) != 0)
		return WS_CLOSE_PROTOCOL;
	switch (op) {
	case WS_OP_CONTINUATION:
		return r->in_message ? 0 : WS_CLOSE_PROTOCOL;
	case WS_OP_TEXT:
	case WS_OP_BINARY:
		if (r->in_message)
			return WS_CLOSE_PROTOCOL;
		r->in_message = true;
		r->binary = op == WS_OP_BINARY;
		return 0;
	case WS_OP_CLOSE:
	case WS_OP_PING:
	case WS_OP_PONG:
		return fin ? 0 : WS_CLOSE_PROTOCOL;
	default:
		return WS_CLOSE_PROTOCOL;
	}
}

static uint16_t
check_mask(const struct ws_reader *r)
{
	if ((r->head[1] & MASKED) == 0 && r->require_mask)
		return WS_CLOSE_PROTOCOL;
	if (is_control(r) && (r->head[1] & LENGTH) > WS_CONTROL_MAX)
		return WS_CLOSE_PROTOCOL;
	return 0;
}

/* The length, which must be told in the shortest form. */
static uint16_t
check_length(struct ws_reader *r)
{
	size_t end = length_end(r);
	uint64_t len = 0;

	if (end == 2)
		len = r->head[1] & LENGTH;
	for (size_t i = 2; i < end; i++)
		len = len << 8 | r->head[i];
	if ((end == 4 && len < LENGTH_16) ||
	    (end == 10 && (len <= UINT16_MAX || len > INT64_MAX)))
		return WS_CLOSE_PROTOCOL;
	if (!is_control(r) && len > r->message.max - r->message.len)
		return WS_CLOSE_TOO_BIG;
	r->left = len;
	r->mask_at = 0;
	return 0;
}

/* One more byte of the head; 0, or the code to close with. */
static uint16_t
head_byte(struct ws_reader *r, uint8_t byte)
{
	uint16_t bad = 0;

	r->head[r->head_have++] = byte;
	if (r->head_have == 1)
		return check_opcode(r);
	if (r->head_have == 2)
		bad = check_mask(r);
	if (bad == 0 && r->head_have == length_end(r))
		bad = check_length(r);
	return bad;
}

static void
unmask(struct ws_reader *r, char *to, const char *from, size_t n)
{
	const uint8_t *mask = r->head + length_end(r);
	unsigned at = r->mask_at;

	if ((r->head[1] & MASKED) == 0) {
		memcpy(to, from, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		to[i] = (char)((uint8_t)from[i] ^ mask[(at + i) % MASK_SIZE]);
	r->mask_at = (at + n) % MASK_SIZE;
}

static uint16_t
take_control(struct ws_reader *r, const char *from, size_t n)
{
	size_t have = (r->head[1] & LENGTH) - (size_t)r->left;

	if (r->control == NULL) {
		r->control = malloc(WS_CONTROL_MAX);
		if (r->control == NULL)
			return WS_CLOSE_INTERNAL;
	}
	unmask(r, (char *)r->control + have, from, n);
	return 0;
}

static uint16_t
take_message(struct ws_reader *r, const char *from, size_t n)
{
	struct buf *b = &r->message;
	size_t had = b->cap;

	if (buf_reserve(b, n) != 0)
		return WS_CLOSE_INTERNAL; /* the bound was checked before */
	if (r->all != NULL && !quota_take_of(r->all, b->cap - had, b->cap)) {
		buf_release(b);
		quota_give(r->all, had);
		return WS_CLOSE_LATER;
	}
	unmask(r, b->data + b->len, from, n);
	if (!r->binary) {
		r->utf8 = utf8_check(r->utf8, b->data + b->len, n);
		if (r->utf8 == UTF8_BAD)
			return WS_CLOSE_BAD_TEXT;
	}
	b->len += n;
	return 0;
}

/* What is there of the frame's payload; 0, or the code to close with. */
static uint16_t
take_payload(struct ws_reader *r, struct slice *in)
{
	size_t n = in->len < r->left ? in->len : (size_t)r->left;
	uint16_t bad;

	bad = is_control(r) ? take_control(r, in->ptr, n)
			    : take_message(r, in->ptr, n);
	in->ptr += n;
	in->len -= n;
	r->left -= n;
	return bad;
}

static bool
is_close_code(uint16_t code)
{
	return (code >= 1000 && code <= 1003) ||
	    (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

static enum ws_event
read_close(struct slice data, uint16_t *code)
{
	const uint8_t *p = (const uint8_t *)data.ptr;

	*code = WS_CLOSE_NONE;
	if (data.len == 0)
		return WS_CLOSE;
	if (data.len >= 2)
		*code = (uint16_t)(p[0] << 8 | p[1]);
	if (!is_close_code(*code)) {
		*code = WS_CLOSE_PROTOCOL;
		return WS_BAD;
	}
	if (utf8_check(UTF8_WHOLE, data.ptr + 2, data.len - 2) != UTF8_WHOLE) {
		*code = WS_CLOSE_BAD_TEXT;
		return WS_BAD;
	}
	return WS_CLOSE;
}

static enum ws_event
end_control(struct ws_reader *r, struct slice *data, uint16_t *code)
{
	*data = (struct slice){ (const char *)r->control, r->head[1] & LENGTH };
	switch (r->head[0] & OPCODE) {
	case WS_OP_PING:
		return WS_PING;
	case WS_OP_PONG:
		return WS_PONG;
	default:
		return read_close(*data, code);
	}
}

/* A frame is whole: WS_MORE if nothing is to be said of it. */
static enum ws_event
end_frame(struct ws_reader *r, struct slice *data, uint16_t *code)
{
	r->head_have = 0;
	if (is_control(r))
		return end_control(r, data, code);
	if ((r->head[0] & FIN) == 0)
		return WS_MORE;
	if (!r->binary && r->utf8 != UTF8_WHOLE) {
		*code = WS_CLOSE_BAD_TEXT;
		return WS_BAD;
	}
	r->in_message = false;
	*data = (struct slice){ r->message.data, r->message.len };
	return r->binary ? WS_BINARY : WS_TEXT;
}

/* Forget what the last call handed out. */
static void
forget_reported(struct ws_reader *r)
{
	if (!r->in_message)
		message_release(r);
	if (r->head_have == 0) {
		free(r->control);
		r->control = NULL;
	}
}

enum ws_event
ws_read(
    struct ws_reader *r, struct slice *in, struct slice *data, uint16_t *code)
{
	enum ws_event event;

	*data = (struct slice){ NULL, 0 };
	*code = 0;
	forget_reported(r);
	while (in->len != 0) {
		if (r->head_have < head_size(r)) {
			*code = head_byte(r, (uint8_t)*in->ptr);
			in->ptr++;
			in->len--;
		} else {
			*code = take_payload(r, in);
		}
		if (*code != 0)
			return WS_BAD;
		if (r->head_have < head_size(r) || r->left != 0)
			continue;
		event = end_frame(r, data, code);
		if (event != WS_MORE)
			return event;
	}
	return WS_MORE;
}
