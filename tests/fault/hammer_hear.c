/* tests/fault/hammer_hear.c - answers and streams, and the record of them.
 *
 * Records become text in place: an answer when it is whole, a stream as it
 * comes, line by line.
 */
#define _GNU_SOURCE 1 /* memmem(), strptime(), timegm() */
#include "tests/fault/hammer.h"

#include "tests/bench/bench.h"

#include <err.h>
#include <fastcgi.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DATE_LEN 29

void
record(const struct entry *e)
{
	if (fwrite(e, sizeof(*e), 1, hammer.record) != 1)
		err(1, "record");
}

static uint64_t
date_s(const char *p)
{
	static char known[DATE_LEN];
	static uint64_t known_s;
	struct tm tm = { 0 };

	if (memcmp(p, known, DATE_LEN) == 0)
		return known_s;
	if (strptime(p, "%a, %d %b %Y %H:%M:%S GMT", &tm) == NULL)
		errx(1, "no date: %.29s", p);
	memcpy(known, p, DATE_LEN);
	known_s = (uint64_t)timegm(&tm);
	return known_s;
}

/* A value in [p, end), behind a name. */
static const char *
find(const char *p, const char *end, const char *name)
{
	const char *at = memmem(p, (size_t)(end - p), name, strlen(name));

	return at != NULL ? at + strlen(name) : NULL;
}

/* What the answer tells of ids: each channel's newest is the message's. */
static void
publish_answered(struct conn *c, const char *p, const char *end)
{
	struct entry e = { .type = ENTRY_ANSWERED,
		.kind = find(p, end, "Status: 200 ") == p + 12,
		.who = c->text,
		.at_ns = now_ns() };

	while ((p = find(p, end, "{\"channel\": \"c")) != NULL) {
		int channel = *p - '0';

		p = find(p, end, "\"published_messages\": ");
		if (p == NULL || channel < 0 || channel >= CHANNELS)
			errx(1, "a publisher got a strange answer");
		e.ids[channel] = (uint32_t)strtoul(p, NULL, 10);
	}
	if (!e.kind)
		errx(1, "a publish was refused");
	hammer.acknowledged++;
	record(&e);
}

static uint64_t
number(const char **p, char end)
{
	uint64_t n = 0;
	size_t i = 0;

	for (; (*p)[i] >= '0' && (*p)[i] <= '9'; i++)
		n = n * 10 + (uint64_t)((*p)[i] - '0');
	if (i == 0 || (*p)[i] != end)
		errx(1, "a reader got a strange message: %.80s", *p);
	*p += i + 1;
	return n;
}

/* id|cN|tag|date|text; its cursor. */
static uint64_t
message_read(const struct conn *c, const char *p)
{
	struct entry e = { .type = ENTRY_MESSAGE, .who = c->number };

	e.ids[0] = (uint32_t)number(&p, '|');
	p++;
	e.kind = (uint8_t)number(&p, '|');
	e.cursor = number(&p, '|');
	e.cursor |= date_s(p) << 24;
	p += DATE_LEN + 1;
	e.ids[1] = (uint32_t)strtoul(p, NULL, 10);
	record(&e);
	return e.cursor;
}

/* The reader has got on to its position. */
static void
record_read(const struct conn *c)
{
	struct entry e = { .type = ENTRY_READ,
		.who = c->number,
		.at_ns = c->sent_ns,
		.got_ns = now_ns(),
		.cursor = c->cursor,
		.wall_s = time(NULL) };

	record(&e);
}

static void
poll_answered(struct conn *c, const char *p, const char *end)
{
	const char *body = find(p, end, "\r\n\r\n");
	const char *date = find(p, end, "Last-Modified: ");
	const char *tag = find(p, end, "Etag: W/");

	if (body == NULL || date == NULL || tag == NULL)
		errx(1, "a reader got: %.*s", (int)(end - p), p);
	c->done = c->last && body == end;
	for (const char *next; body < end; body = next) {
		next = find(body, end, "\n");
		if (next == NULL)
			errx(1, "a reader got half a message");
		(void)message_read(c, body);
	}
	c->cursor = date_s(date) << 24 | strtoul(tag, NULL, 10);
	record_read(c);
}

/* What is text of a stream: its messages, as far as they are whole. */
static void
stream_messages(struct conn *c)
{
	const char *p = c->in, *end = c->in + c->text_len, *next;
	bool some = false;

	if (!c->headed) {
		next = find(p, end, "\r\n\r\n");
		if (next == NULL)
			return;
		if (find(p, next, "Status: 200 ") == NULL)
			errx(1, "a stream got: %.*s", (int)(end - p), p);
		c->headed = true;
		p = next;
	}
	for (; (next = find(p, end, "\n")) != NULL; p = next) {
		c->cursor = message_read(c, p);
		some = true;
	}
	if (some)
		record_read(c);
	c->text_len = (size_t)(end - p);
	memmove(c->in, p, c->text_len);
}

/* Records become text, in place.  The stream may end. */
void
stream_read(struct conn *c)
{
	size_t at = c->text_len, left;

	while (c->have - at >= FCGI_HEADER_LEN) {
		const unsigned char *h = (const unsigned char *)c->in + at;
		size_t content = (size_t)h[4] << 8 | h[5];
		size_t whole = FCGI_HEADER_LEN + content + h[6];

		if (c->have - at < whole)
			break;
		at += whole;
		if (h[1] == FCGI_END_REQUEST) {
			c->waiting = false;
			continue;
		}
		memmove(c->in + c->text_len, h + FCGI_HEADER_LEN, content);
		c->text_len += content;
	}
	left = c->have - at;
	stream_messages(c);
	/* What is left of the records follows what is left of the text. */
	memmove(c->in + c->text_len, c->in + at, left);
	c->have = c->text_len + left;
}

/*
 * Take the answer out of its records, in place.  Its length, or -1: there is
 * more to come.
 */
static ssize_t
answer_whole(struct conn *c)
{
	size_t at = 0, len = 0;

	for (;;) {
		const unsigned char *h = (const unsigned char *)c->in + at;
		size_t content;

		if (c->have - at < FCGI_HEADER_LEN)
			return -1;
		content = (size_t)h[4] << 8 | h[5];
		if (c->have - at < FCGI_HEADER_LEN + content + h[6])
			return -1;
		if (h[1] == FCGI_END_REQUEST)
			break;
		at += FCGI_HEADER_LEN + content + h[6];
	}
	for (at = 0;;) {
		const unsigned char *h = (const unsigned char *)c->in + at;
		size_t content = (size_t)h[4] << 8 | h[5], pad = h[6];

		if (h[1] == FCGI_END_REQUEST)
			return (ssize_t)len;
		if (h[1] != FCGI_STDOUT)
			errx(1, "a strange record");
		memmove(c->in + len, h + FCGI_HEADER_LEN, content);
		len += content;
		at += FCGI_HEADER_LEN + content + pad;
	}
}

bool
answer_read(struct conn *c)
{
	ssize_t n = answer_whole(c);

	if (n < 0)
		return false;
	if (c->reader)
		poll_answered(c, c->in, c->in + n);
	else
		publish_answered(c, c->in, c->in + n);
	return true;
}
