/*
 * fcgi/scgi_codec.c - the SCGI wire.
 *
 *	LENGTH -> HEADERS -> COMMA -> BODY -> done
 *
 * Headers are a netstring of NUL-terminated names and values.  A pair that
 * arrived whole goes from the caller's bytes into the parameters; only one
 * that was cut is kept until its end comes.
 *
 * Duplicate names are refused, as the specification wants, except HTTP_*:
 * nginx passes a header that a client repeated as often as it came.
 */
#include "fcgi/scgi_codec.h"

#define LENGTH_DIGITS 9

void
scgi_reader_init(struct scgi_reader *r, size_t max_params)
{
	memset(r, 0, sizeof(*r));
	buf_init(&r->rest, max_params);
}

void
scgi_reader_release(struct scgi_reader *r)
{
	buf_release(&r->rest);
}

static int
read_length(struct scgi_reader *r, struct slice *in)
{
	while (in->len != 0) {
		unsigned char c = (unsigned char)*in->ptr;

		slice_skip(in, 1);
		if (c == ':') {
			r->phase = SCGI_HEADERS;
			if (r->digits == 0)
				return ERR_SYNTAX;
			return r->left > r->rest.max ? ERR_TOOBIG : 0;
		}
		if (c < '0' || c > '9' || r->digits == LENGTH_DIGITS ||
		    (r->digits == 1 && r->left == 0))
			return ERR_SYNTAX;
		r->left = r->left * 10 + (c - '0');
		r->digits++;
	}
	return 0;
}

static bool
is_client_header(struct slice name)
{
	return name.len > 5 && memcmp(name.ptr, "HTTP_", 5) == 0;
}

/* One by one: params_add() bounds their number. */
static bool
is_duplicate(const struct params *params, struct slice name)
{
	struct slice other;
	uint32_t i;

	for (i = 0; i < params->n; i++) {
		other = param_name(params, &params->list[i]);
		if (other.len == name.len &&
		    memcmp(other.ptr, name.ptr, name.len) == 0)
			return true;
	}
	return false;
}

static int
take_pair(struct scgi_reader *r, struct slice name, struct slice value,
    struct params *params)
{
	if (name.len == 0)
		return ERR_SYNTAX;
	if (params->n == 0 &&
	    (!slice_is(name, "CONTENT_LENGTH") ||
		decimal_parse(value, &r->content_length) != 0))
		return ERR_SYNTAX;
	if (!is_client_header(name) && is_duplicate(params, name))
		return ERR_SYNTAX;
	if (slice_is(name, "SCGI") && slice_is(value, "1"))
		r->marked = true;
	return params_add(params, name, value);
}

/* The pair at the start of `s`: how many bytes it has, 0 when not whole. */
static size_t
find_pair(struct slice s, struct slice *name, struct slice *value)
{
	const char *end = memchr(s.ptr, '\0', s.len);

	if (end == NULL)
		return 0;
	*name = (struct slice){ s.ptr, (size_t)(end - s.ptr) };
	slice_skip(&s, name->len + 1);
	end = memchr(s.ptr, '\0', s.len);
	if (end == NULL)
		return 0;
	*value = (struct slice){ s.ptr, (size_t)(end - s.ptr) };
	return name->len + 1 + value->len + 1;
}

/* Keep bytes up to and with the next NUL; try again at each. */
static int
read_rest(struct scgi_reader *r, struct slice *s, struct params *params)
{
	const char *end = memchr(s->ptr, '\0', s->len);
	size_t n = end != NULL ? (size_t)(end - s->ptr) + 1 : s->len;
	struct slice name, value;
	int err = buf_append(&r->rest, s->ptr, n);

	slice_skip(s, n);
	if (err != 0 || end == NULL)
		return err;
	if (find_pair((struct slice){ r->rest.data, r->rest.len }, &name,
		&value) == 0)
		return 0;
	err = take_pair(r, name, value, params);
	buf_clear(&r->rest);
	return err;
}

static int
read_headers(struct scgi_reader *r, struct slice *in, struct params *params)
{
	struct slice s = { in->ptr, MIN_OF(in->len, r->left) };
	struct slice name, value;
	int err = 0;

	r->left -= s.len;
	slice_skip(in, s.len);
	while (s.len != 0 && err == 0) {
		size_t n = r->rest.len != 0 ? 0 : find_pair(s, &name, &value);

		if (n == 0) {
			err = read_rest(r, &s, params);
			continue;
		}
		slice_skip(&s, n);
		err = take_pair(r, name, value, params);
	}
	if (err == 0 && r->left == 0)
		r->phase = SCGI_COMMA;
	return err;
}

static int
read_comma(struct scgi_reader *r, struct slice *in, const struct params *params,
    const struct buf *body)
{
	char c = *in->ptr;

	slice_skip(in, 1);
	if (c != ',' || r->rest.len != 0 || params->n == 0 || !r->marked)
		return ERR_SYNTAX;
	r->phase = SCGI_BODY;
	return r->content_length > body->max ? ERR_TOOBIG : 0;
}

static int
read_body(struct scgi_reader *r, struct slice *in, struct buf *body)
{
	size_t n = MIN_OF(in->len, (size_t)r->content_length - body->len);
	int err = buf_append(body, in->ptr, n);

	slice_skip(in, n);
	return err;
}

enum codec
scgi_read(struct scgi_reader *r, struct slice *in, struct params *params,
    struct buf *body, int *err)
{
	*err = 0;
	if (r->phase == SCGI_LENGTH)
		*err = read_length(r, in);
	if (*err == 0 && r->phase == SCGI_HEADERS)
		*err = read_headers(r, in, params);
	if (*err == 0 && r->phase == SCGI_COMMA && in->len != 0)
		*err = read_comma(r, in, params, body);
	if (*err != 0)
		return CODEC_BAD;
	if (r->phase != SCGI_BODY)
		return CODEC_MORE;
	*err = read_body(r, in, body);
	if (*err != 0)
		return CODEC_BAD;
	return body->len == r->content_length ? CODEC_DONE : CODEC_MORE;
}
