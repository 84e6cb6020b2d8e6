/*
 * fcgi/http_codec.c - the wire of HTTP/1.x, what clients send.
 *
 *	REQUEST_LINE -> FIELDS -+-> LENGTH_BODY -------------+-> COMPLETE
 *				+-> CHUNK_SIZE <-> DATA, END |
 *				|        \-> TRAILERS -------+
 *				+----------------------------+
 *
 * A head is lines, and each is looked at when it is whole: one that came
 * whole where it lies, one that was cut in `rest`.  So the verdict does not
 * depend on where the bytes were cut.
 *
 * Smuggling lives where two parsers differ about where a request ends.  So
 * there is one length or one "chunked", never both nor two; lines end with
 * CRLF and nothing else; a field's name has no blank behind it; and after any
 * doubt the connection closes.
 */
#include "fcgi/http_codec.h"

#include <strings.h>

#define EXTRA_MAX 16384	    /* chunk extensions and trailers of a request */
#define CHUNK_LINE_MAX 4096 /* a chunk's size and its extensions */
#define CHUNK_DIGITS_MAX 16

/* RFC 9110 section 5.6.2 */
static bool
is_token_char(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') ||
	    (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
is_token(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!is_token_char((unsigned char)s.ptr[i]))
			return false;
	}
	return s.len != 0;
}

/* No control characters but the tab. */
static bool
is_text(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static bool
is_caseless(struct slice s, const char *text)
{
	size_t len = strlen(text);

	return s.len == len && strncasecmp(s.ptr, text, len) == 0;
}

static struct slice
trim(struct slice s)
{
	while (s.len != 0 && (*s.ptr == ' ' || *s.ptr == '\t'))
		slice_skip(&s, 1);
	while (
	    s.len != 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* Up to the next `mark`, which is skipped; everything when there is none. */
static struct slice
cut(struct slice *s, char mark)
{
	const char *end = memchr(s->ptr, mark, s->len);
	struct slice part = *s;

	if (end != NULL)
		part.len = (size_t)(end - s->ptr);
	slice_skip(s, MIN_OF(part.len + 1, s->len));
	return part;
}

void
http_reader_init(struct http_reader *r, size_t max_head, size_t max_body)
{
	memset(r, 0, sizeof(*r));
	r->head_left = max_head;
	r->extra_left = EXTRA_MAX;
	r->body_left = max_body;
	buf_init(&r->rest, HTTP_LINE_MAX);
}

void
http_reader_release(struct http_reader *r)
{
	buf_release(&r->rest);
}

/*
 * The next line, without its CRLF.  0, ERR_AGAIN when it has not come whole,
 * `toobig` when it has more than *left bytes (which get fewer by it), or
 * ERR_*.
 */
static int
take_line(struct http_reader *r, struct slice *in, size_t max, size_t *left,
    int toobig, struct slice *line)
{
	const char *lf;
	size_t n;
	int err = 0;

	if (in->len == 0)
		return ERR_AGAIN;
	lf = memchr(in->ptr, '\n', in->len);
	n = lf != NULL ? (size_t)(lf - in->ptr) + 1 : in->len;
	if (r->rest.len + n > MIN_OF(max, *left))
		return toobig;
	*line = (struct slice){ in->ptr, n };
	if (lf == NULL || r->rest.len != 0) {
		err = buf_append(&r->rest, in->ptr, n);
		*line = (struct slice){ r->rest.data, r->rest.len };
		r->rest_used = lf != NULL;
	}
	slice_skip(in, n);
	if (err != 0 || lf == NULL)
		return err != 0 ? err : ERR_AGAIN;
	*left -= line->len;
	line->len--;
	if (line->len == 0 || line->ptr[line->len - 1] != '\r')
		return ERR_SYNTAX;
	line->len--;
	return memchr(line->ptr, '\r', line->len) != NULL ? ERR_SYNTAX : 0;
}

/* "HTTP/1.1"; a later minor version is spoken to as 1.1. */
static int
read_version(struct http_reader *r, struct slice s)
{
	if (s.len != 8 || memcmp(s.ptr, "HTTP/", 5) != 0 || s.ptr[6] != '.' ||
	    s.ptr[5] < '0' || s.ptr[5] > '9' || s.ptr[7] < '0' ||
	    s.ptr[7] > '9')
		return ERR_SYNTAX;
	r->minor = s.ptr[7] != '0';
	return s.ptr[5] == '1' ? 0 : ERR_HTTP;
}

/* Visible ASCII; a fragment is never sent. */
static bool
is_target(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || s.ptr[i] == '#')
			return false;
	}
	return s.len != 0;
}

static int
read_request_line(
    struct http_reader *r, struct slice line, struct http_item *item)
{
	int err;

	item->name = cut(&line, ' ');
	item->value = cut(&line, ' ');
	if (!is_token(item->name) || !is_target(item->value))
		return ERR_SYNTAX;
	err = read_version(r, line);
	if (err != 0)
		return err;
	item->kind = HTTP_ITEM_LINE;
	r->phase = HTTP_FIELDS;
	return 0;
}

static int
note_length(struct http_reader *r, struct slice value)
{
	if (r->length)
		return ERR_SYNTAX;
	r->length = true;
	return decimal_parse(value, &r->left);
}

static int
note_coding(struct http_reader *r, struct slice value)
{
	if (r->chunked || r->minor == 0 || value.len == 0)
		return ERR_SYNTAX;
	r->chunked = true;
	return is_caseless(value, "chunked") ? 0 : ERR_CODING;
}

static void
note_connection(struct http_reader *r, struct slice value)
{
	while (value.len != 0) {
		struct slice word = trim(cut(&value, ','));

		r->close |= is_caseless(word, "close");
		r->keep_alive |= is_caseless(word, "keep-alive");
		r->upgrade |= is_caseless(word, "upgrade");
	}
}

static void
note_expect(struct http_reader *r, struct slice value)
{
	if (r->minor == 0)
		return; /* it was not known then */
	if (is_caseless(value, "100-continue"))
		r->expect = true;
	else
		r->wrong_expect = true;
}

bool
http_is_host(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c <= ' ' || c > '~' || strchr("/\\@?#,\"<>", c) != NULL)
			return false;
	}
	return s.len != 0;
}

static int
note_host(struct http_reader *r, struct slice value)
{
	if (r->host || !http_is_host(value))
		return ERR_SYNTAX;
	r->host = true;
	return 0;
}

/* The fields that say where the request ends, and what follows. */
static int
note_field(struct http_reader *r, const struct http_item *f)
{
	switch (f->name.len) {
	case 4:
		if (is_caseless(f->name, "host"))
			return note_host(r, f->value);
		break;
	case 6:
		if (is_caseless(f->name, "expect"))
			note_expect(r, f->value);
		break;
	case 10:
		if (is_caseless(f->name, "connection"))
			note_connection(r, f->value);
		break;
	case 14:
		if (is_caseless(f->name, "content-length"))
			return note_length(r, f->value);
		break;
	case 17:
		if (is_caseless(f->name, "transfer-encoding"))
			return note_coding(r, f->value);
		break;
	default:
		break;
	}
	return 0;
}

/* A folded line begins with a blank, and so has no token for a name. */
static int
read_field(struct slice line, struct http_item *item)
{
	if (memchr(line.ptr, ':', line.len) == NULL)
		return ERR_SYNTAX;
	item->kind = HTTP_ITEM_FIELD;
	item->name = cut(&line, ':');
	item->value = trim(line);
	return is_token(item->name) && is_text(item->value) ? 0 : ERR_SYNTAX;
}

/* The blank line has come: what is the body, and is it one for us? */
static int
read_head_end(struct http_reader *r)
{
	if ((!r->host && r->minor == 1) || (r->length && r->chunked))
		return ERR_SYNTAX;
	if (r->wrong_expect)
		return ERR_EXPECT;
	if (r->left > r->body_left)
		return ERR_TOOBIG;
	if (r->chunked)
		r->phase = HTTP_CHUNK_SIZE;
	else
		r->phase = r->left != 0 ? HTTP_LENGTH_BODY : HTTP_COMPLETE;
	if (r->phase == HTTP_COMPLETE)
		r->expect = false;
	return 0;
}

static int
read_head(struct http_reader *r, struct slice *in, struct http_item *item)
{
	int toobig = r->phase == HTTP_REQUEST_LINE ? ERR_URI : ERR_HEAD;
	struct slice line;
	int err = take_line(r, in, HTTP_LINE_MAX, &r->head_left, toobig, &line);

	if (err != 0)
		return err;
	if (r->phase == HTTP_REQUEST_LINE) {
		if (line.len != 0 || r->blank)
			return read_request_line(r, line, item);
		r->blank = true;
		return ERR_AGAIN;
	}
	if (line.len == 0) {
		item->kind = HTTP_ITEM_HEAD;
		return read_head_end(r);
	}
	err = read_field(line, item);
	return err != 0 ? err : note_field(r, item);
}

/* Bytes of a body or chunk. */
static int
read_some(struct http_reader *r, struct slice *in, struct http_item *item)
{
	size_t n = (size_t)MIN_OF((uint64_t)in->len, r->left);

	if (n == 0)
		return ERR_AGAIN;
	item->kind = HTTP_ITEM_BODY;
	item->value = (struct slice){ in->ptr, n };
	slice_skip(in, n);
	r->left -= n;
	if (r->left == 0)
		r->phase = r->chunked ? HTTP_CHUNK_END : HTTP_COMPLETE;
	return 0;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Digits, and then nothing or extensions, which nobody needs. */
static int
read_chunk_size(struct http_reader *r, struct slice *in)
{
	struct slice line;
	size_t any = SIZE_MAX, n;
	int err = take_line(r, in, CHUNK_LINE_MAX, &any, ERR_TOOBIG, &line);

	if (err != 0)
		return err;
	r->left = 0;
	for (n = 0; n < line.len && hex_value(line.ptr[n]) >= 0; n++) {
		if (n == CHUNK_DIGITS_MAX)
			return ERR_SYNTAX;
		r->left = r->left << 4 | (uint64_t)hex_value(line.ptr[n]);
	}
	slice_skip(&line, n);
	if (n == 0 || !is_text(line))
		return ERR_SYNTAX;
	if (line.len != 0 && (trim(line).len == 0 || *trim(line).ptr != ';'))
		return ERR_SYNTAX;
	if (line.len > r->extra_left || r->left > r->body_left)
		return ERR_TOOBIG;
	r->extra_left -= line.len;
	r->body_left -= r->left;
	r->phase = r->left != 0 ? HTTP_CHUNK_DATA : HTTP_TRAILERS;
	return 0;
}

static int
read_chunk_end(struct http_reader *r, struct slice *in)
{
	if (in->len == 0)
		return ERR_AGAIN;
	if (*in->ptr != "\r\n"[r->chunk_end])
		return ERR_SYNTAX;
	slice_skip(in, 1);
	if (++r->chunk_end == 2) {
		r->chunk_end = 0;
		r->phase = HTTP_CHUNK_SIZE;
	}
	return 0;
}

/* They must be well formed, and are dropped. */
static int
read_trailer(struct http_reader *r, struct slice *in)
{
	struct http_item dropped;
	struct slice line;
	int err =
	    take_line(r, in, HTTP_LINE_MAX, &r->extra_left, ERR_HEAD, &line);

	if (err != 0)
		return err;
	if (line.len != 0)
		return read_field(line, &dropped);
	r->phase = HTTP_COMPLETE;
	return 0;
}

/* 0 with *item set or not (then go on), ERR_AGAIN, or what is wrong. */
static int
read_step(struct http_reader *r, struct slice *in, struct http_item *item)
{
	if (r->rest_used)
		buf_clear(&r->rest);
	r->rest_used = false;
	switch (r->phase) {
	case HTTP_REQUEST_LINE:
	case HTTP_FIELDS:
		return read_head(r, in, item);
	case HTTP_LENGTH_BODY:
	case HTTP_CHUNK_DATA:
		return read_some(r, in, item);
	case HTTP_CHUNK_SIZE:
		return read_chunk_size(r, in);
	case HTTP_CHUNK_END:
		return read_chunk_end(r, in);
	case HTTP_TRAILERS:
		return read_trailer(r, in);
	case HTTP_COMPLETE:
		item->kind = HTTP_ITEM_END;
		break;
	}
	return 0;
}

enum codec
http_read(
    struct http_reader *r, struct slice *in, struct http_item *item, int *err)
{
	item->kind = HTTP_ITEM_NONE;
	do
		*err = read_step(r, in, item);
	while (item->kind == HTTP_ITEM_NONE &&
	    (*err == 0 || (*err == ERR_AGAIN && in->len != 0)));
	if (*err == 0)
		return CODEC_DONE;
	if (*err != ERR_AGAIN)
		return CODEC_BAD;
	*err = 0;
	return CODEC_MORE;
}
