/*
 * fcgi/http_answer.c - see http_answer.h.
 *
 * What the api says about the message stays, but for its length: a whole
 * answer's is counted here, a stream's is in its chunks, and where a client
 * cannot know chunks the end of the connection is the end of the answer.
 */
#include "fcgi/http_answer.h"

#include <stdio.h>
#include <strings.h>

#include "fcgi/codec.h"

#define OUT_MAX ((size_t)1 << 30)
#define OUT_KEPT 65536 /* scratch memory from one turn to the next */

void
http_answers_init(struct http_answers *a)
{
	memset(a, 0, sizeof(*a));
	a->date_s = -1;
	buf_init(&a->out, OUT_MAX);
}

void
http_answers_release(struct http_answers *a)
{
	http_answers_forget(a);
	buf_release(&a->out);
}

void
http_answers_forget(struct http_answers *a)
{
	for (size_t i = 0; i < HTTP_ANSWERS_KEPT; i++) {
		payload_unref(&a->kept[i].from);
		payload_unref(&a->kept[i].to);
	}
	if (a->out.cap > OUT_KEPT)
		buf_release(&a->out);
}

static bool
starts_caseless(struct slice s, const char *start)
{
	size_t len = strlen(start);

	return s.len >= len && strncasecmp(s.ptr, start, len) == 0;
}

/* The next line of a head, without its end; false at the blank one. */
static bool
head_line(struct slice *in, struct slice *line)
{
	const char *end = memmem(in->ptr, in->len, "\r\n", 2);

	assert(end != NULL); /* the api ends its heads */
	*line = (struct slice){ in->ptr, (size_t)(end - in->ptr) };
	slice_skip(in, line->len + 2);
	return line->len != 0;
}

/* "Status: 200 OK" is the first line, where there is one. */
static struct slice
take_status(struct slice *in)
{
	struct slice line, rest = *in;

	if (!head_line(&rest, &line) || !starts_caseless(line, "Status: "))
		return SLICE("200 OK");
	*in = rest;
	slice_skip(&line, 8);
	return line;
}

/* Neither an answer without a body nor its length have one. */
static bool
is_bodiless(struct slice status)
{
	return starts_caseless(status, "1") || starts_caseless(status, "204") ||
	    starts_caseless(status, "304");
}

/* Framing is ours. */
static bool
is_ours(struct slice line, bool tunnel)
{
	return starts_caseless(line, "Content-Length:") ||
	    starts_caseless(line, "Transfer-Encoding:") ||
	    (!tunnel && starts_caseless(line, "Connection:"));
}

static int
add(struct http_answers *a, struct slice s)
{
	return buf_append(&a->out, s.ptr, s.len);
}

static int
add_date(struct http_answers *a)
{
	int64_t now_s = clock_wall_s(NULL);

	if (a->date_s != now_s)
		http_date_format(now_s, a->date);
	a->date_s = now_s;
	return buf_printf(&a->out, "Date: %s\r\n", a->date);
}

static int
add_fields(struct http_answers *a, struct slice *cgi, bool tunnel)
{
	struct slice line;
	int err = 0;

	while (head_line(cgi, &line) && err == 0) {
		if (is_ours(line, tunnel))
			continue;
		line.len += 2; /* with its end */
		err = add(a, line);
	}
	return err;
}

/* How the body ends, and whether the connection does. */
static int
add_framing(struct http_answers *a, const struct http_how *how,
    struct slice status, size_t body)
{
	int err = 0;

	if (how->shape == HTTP_SWITCH)
		return 0;
	if (!how->keep)
		err = buf_text(&a->out, "Connection: close\r\n");
	else if (how->minor == 0)
		err = buf_text(&a->out, "Connection: keep-alive\r\n");
	if (err != 0 || is_bodiless(status))
		return err;
	if (how->shape == HTTP_WHOLE)
		return buf_printf(&a->out, "Content-Length: %zu\r\n", body);
	return how->minor == 0
	    ? 0
	    : buf_text(&a->out, "Transfer-Encoding: chunked\r\n");
}

static int
add_chunk(struct http_answers *a, struct slice bytes)
{
	int err;

	if (bytes.len == 0)
		return 0; /* it would be the last one */
	err = buf_printf(&a->out, "%zx\r\n", bytes.len);
	if (err == 0)
		err = add(a, bytes);
	return err != 0 ? err : buf_text(&a->out, "\r\n");
}

static int
add_head(struct http_answers *a, struct slice *cgi, const struct http_how *how)
{
	struct slice status = take_status(cgi);
	struct slice fields = *cgi, line;
	int err = buf_printf(
	    &a->out, "HTTP/1.1 %.*s\r\n", (int)status.len, status.ptr);

	while (head_line(cgi, &line))
		;
	if (err == 0)
		err = add_date(a);
	if (err == 0)
		err = add_fields(a, &fields, how->shape == HTTP_SWITCH);
	if (err == 0)
		err = add_framing(a, how, status, cgi->len);
	if (is_bodiless(status) && how->shape != HTTP_SWITCH)
		cgi->len = 0;
	return err != 0 ? err : buf_text(&a->out, "\r\n");
}

static int
make(struct http_answers *a, struct slice cgi, const struct http_how *how)
{
	int err;

	buf_clear(&a->out);
	if (how->shape == HTTP_CHUNK)
		return add_chunk(a, cgi);
	err = add_head(a, &cgi, how);
	if (err != 0 || how->no_body)
		return err;
	return how->shape == HTTP_FIRST && how->minor == 1 ? add_chunk(a, cgi)
							   : add(a, cgi);
}

static bool
is_same(const struct http_how *a, const struct http_how *b)
{
	return a->shape == b->shape && a->minor == b->minor &&
	    a->keep == b->keep && a->no_body == b->no_body;
}

struct payload *
http_answer(struct http_answers *a, struct payload *cgi, struct http_how how)
{
	struct payload *to;

	for (size_t i = 0; i < HTTP_ANSWERS_KEPT; i++) {
		if (a->kept[i].from == cgi && is_same(&a->kept[i].how, &how))
			return payload_ref(a->kept[i].to);
	}
	if (make(a, (struct slice){ cgi->data, cgi->len }, &how) != 0)
		return NULL;
	to = payload_new(a->out.data, a->out.len);
	if (to == NULL || cgi->refs == 1) /* nobody else's: not kept */
		return to;
	payload_unref(&a->kept[a->next].from);
	payload_unref(&a->kept[a->next].to);
	a->kept[a->next].from = payload_ref(cgi);
	a->kept[a->next].to = payload_ref(to);
	a->kept[a->next].how = how;
	a->next = (a->next + 1) % HTTP_ANSWERS_KEPT;
	return to;
}
