/* tests/soak/http.c - one HTTP/1.1 answer, taken apart as it comes.
 *
 * The body is kept without its chunks, so that whoever looks for messages in
 * it sees the same bytes whatever way they came.
 */
#define _GNU_SOURCE 1 /* memmem(), strcasestr() */
#include "tests/soak/http.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
http_begin(struct http *h, bool endless)
{
	h->status = 0;
	h->endless = endless;
	h->chunked = h->sizing = h->last = false;
	h->left = h->nhead = h->nbody = 0;
}

void
http_field(
    const struct http *h, const char *name, char out[static HTTP_FIELD_CAP])
{
	char mark[HTTP_FIELD_CAP];
	const char *v;
	size_t n;

	snprintf(mark, sizeof(mark), "\n%s: ", name);
	v = strcasestr(h->head, mark);
	n = v != NULL ? strcspn(v += strlen(mark), "\r") : 0;
	if (n >= HTTP_FIELD_CAP)
		errx(1, "%s is too long:\n%s", name, h->head);
	memcpy(out, n > 0 ? v : "", n);
	out[n] = '\0';
}

/* What the whole head says about the body. */
static int
http_headed(struct http *h)
{
	char field[HTTP_FIELD_CAP];

	if (strncmp(h->head, "HTTP/1.1 ", 9) != 0)
		return -1;
	h->status = (int)strtol(h->head + 9, NULL, 10);
	http_field(h, "Transfer-Encoding", field);
	h->chunked = field[0] != '\0';
	http_field(h, "Content-Length", field);
	h->left = strtoul(field, NULL, 10);
	if (h->endless && (h->status == 200 || h->status == 101))
		return 0;
	h->endless = false;
	if (h->status == 304 || h->status == 204)
		return 1;
	if (!h->chunked && field[0] == '\0')
		return -1;
	return !h->chunked && h->left == 0;
}

static size_t
http_head(struct http *h, const char *p, size_t n, int *done)
{
	size_t before = h->nhead, room = HTTP_HEAD_CAP - 1 - h->nhead;
	size_t take = n < room ? n : room;
	const char *end;

	memcpy(h->head + h->nhead, p, take);
	h->nhead += take;
	end = memmem(h->head, h->nhead, "\r\n\r\n", 4);
	if (end == NULL) {
		*done = h->nhead == HTTP_HEAD_CAP - 1 ? -1 : 0;
		return n;
	}
	h->nhead = (size_t)(end - h->head) + 4;
	h->head[h->nhead] = '\0';
	*done = http_headed(h);
	return h->nhead - before;
}

static void
http_body(struct http *h, const char *p, size_t n)
{
	if (n == 0)
		return;
	if (h->nbody + n > h->cap) {
		h->cap = (h->nbody + n) * 2;
		h->body = realloc(h->body, h->cap);
		if (h->body == NULL)
			err(1, "a body");
	}
	memcpy(h->body + h->nbody, p, n);
	h->nbody += n;
}

void
http_take(struct http *h, size_t n)
{
	if (n == 0)
		return;
	h->nbody -= n;
	memmove(h->body, h->body + n, h->nbody);
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* SIZE CR LF bytes CR LF ...; a line end without a size is a chunk's, and the
 * one after a size of nothing ends the answer. */
static int
http_chunks(struct http *h, const char *p, size_t n)
{
	while (n > 0) {
		size_t take = 1;

		if (!h->sizing && h->left > 0) {
			take = n < h->left ? n : h->left;
			http_body(h, p, take);
			h->left -= take;
		} else if (hex_digit(*p) >= 0) {
			h->sizing = true;
			h->left = h->left * 16 + (size_t)hex_digit(*p);
		} else if (*p == '\n' && h->sizing) {
			h->sizing = false;
			h->last = h->left == 0;
		} else if (*p == '\n' && h->last) {
			return 1;
		} else if (*p != '\r' && *p != '\n')
			return -1;
		p += take;
		n -= take;
	}
	return 0;
}

int
http_end(const struct http *h)
{
	return h->status != 0 && h->endless && !h->chunked ? 1 : -1;
}

int
http_feed(struct http *h, const char *p, size_t n)
{
	int done = 0;

	if (h->status == 0) {
		size_t used = http_head(h, p, n, &done);

		if (done != 0 || h->status == 0)
			return done;
		p += used;
		n -= used;
	}
	if (h->chunked)
		return http_chunks(h, p, n);
	http_body(h, p, n);
	if (h->endless)
		return 0;
	if (n > h->left)
		return -1;
	h->left -= n;
	return h->left == 0;
}
