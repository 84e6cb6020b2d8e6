/*
 * ctl/check_trial.c - what the trials of `holdfastctl check` are made of.
 *
 * A message is a JSON string with its number and its channel, so it is found
 * in an answer whatever the location's template puts around it.
 *
 * A position travels as the arguments tag and time, and also as If-None-Match
 * and If-Modified-Since as long as it is not known that the arguments do.
 */
#include "ctl/check_priv.h"

#include <ctype.h>
#include <stdio.h>

#include "base/units.h"

/* A long message is one that a front finds worth compressing. */
#define LONG_TEXT 3000
#define LONG_EVERY 3
#define MID_NAME "\"mid\":\""
#define MID_NAME_LEN (sizeof(MID_NAME) - 1)
/* Seconds; a publisher that may not delete leaves the rest to it. */
#define EXPIRY "120"

/* --- outcomes ---------------------------------------------------------- */

/* It may quote an answer, and a terminal takes more than one kind of byte for
 * an order. */
static void
put_printable(char out[CHECK_DETAIL_SIZE], const char *text)
{
	size_t n = 0;

	for (; *text != '\0' && n + 5 <= CHECK_DETAIL_SIZE; text++)
		n += (size_t)snprintf(out + n, 5,
		    *text >= ' ' && *text <= '~' ? "%c" : "\\x%02x",
		    (unsigned char)*text);
	out[n] = '\0';
}

static void PRINTF_LIKE(4, 0) say(struct check *c, enum trial t,
    enum verdict verdict, const char *fmt, va_list ap)
{
	struct outcome *o = &c->outcomes[t];
	char text[CHECK_DETAIL_SIZE];

	o->verdict = verdict;
	o->front = c->front;
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	put_printable(o->detail, text);
}

void
say_ok(struct check *c, enum trial t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(c, t, OK, fmt, ap);
	va_end(ap);
}

void
say_not_tried(struct check *c, enum trial t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(c, t, NOT_TRIED, fmt, ap);
	va_end(ap);
}

void
say_not_ok(struct check *c, enum trial t, enum advice a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(c, t, NOT_OK, fmt, ap);
	va_end(ap);
	c->outcomes[t].advice = a;
	if (advice_is_limit(a, c->front))
		c->outcomes[t].verdict = LIMIT;
}

bool
is_ok(const struct check *c, enum trial t)
{
	return c->outcomes[t].verdict == OK;
}

/* --- requests ---------------------------------------------------------- */

static bool
is_placeholder(const char *p)
{
	return p[0] == '%' &&
	    !(isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2]));
}

/* false: it did not fit. */
static bool
put_escaped(char out[CHECK_URL_SIZE], size_t *n, const char *text)
{
	for (; *text != '\0'; text++) {
		bool plain = isalnum((unsigned char)*text) ||
		    strchr("-._~/:,", *text) != NULL;

		if (*n + 4 > CHECK_URL_SIZE)
			return false;
		*n += (size_t)snprintf(
		    out + *n, 4, plain ? "%c" : "%%%02X", (unsigned char)*text);
	}
	return true;
}

static void
put_argument(
    char out[CHECK_URL_SIZE], size_t *n, const char *name, const char *value)
{
	int len = snprintf(out + *n, CHECK_URL_SIZE - *n,
	    "%c%s=", strchr(out, '?') != NULL ? '&' : '?', name);

	*n += MIN_OF((size_t)len, CHECK_URL_SIZE - 1 - *n);
	(void)put_escaped(out, n, value);
}

/* check_main() has made sure that the URL is much shorter than the buffer. */
void
check_url(char out[CHECK_URL_SIZE], const char *url, const char *id,
    const struct position *at)
{
	size_t n = 0;

	out[0] = '\0';
	for (; *url != '\0' && n + CHECK_READER_SIZE < CHECK_URL_SIZE; url++)
		if (is_placeholder(url))
			n += (size_t)snprintf(
			    out + n, CHECK_URL_SIZE - n, "%s", id);
		else
			out[n++] = *url;
	out[n] = '\0';
	if (strstr(out, id) == NULL)
		put_argument(out, &n, "CHANNEL_ID", id);
	if (at != NULL && at->mid[0] != '\0')
		put_argument(out, &n, "mid", at->mid);
	else if (at != NULL) {
		put_argument(out, &n, "tag", at->tag);
		put_argument(out, &n, "time", at->time);
	}
}

void
begin_read(struct check *c, struct exchange *x, const char *url,
    const struct channel *ch, const struct position *at, enum read_as as)
{
	char full[CHECK_URL_SIZE];
	bool fields = at != NULL && c->position_fields && !c->by_mid;
	struct http_ask ask = { .method = "GET",
		.url = full,
		.time = fields ? at->time : NULL,
		.tag = fields ? at->tag : NULL,
		.compressed = as == READ_COMPRESSED,
		.alone = as == READ_ALONE };

	check_url(full, url, ch->reader, at);
	http_begin(c->http, x, &ask);
}

void
message_text(char out[TEXT_SIZE], const struct channel *ch, unsigned n)
{
	(void)snprintf(out, TEXT_SIZE, "hf%u-%s", n, ch->id);
}

bool
publish(struct check *c, struct channel *ch, enum trial t)
{
	char text[TEXT_SIZE], body[LONG_TEXT + TEXT_SIZE], url[CHECK_URL_SIZE];
	struct http_ask ask = {
		.method = "POST", .url = url, .body = body, .expiry = EXPIRY
	};
	struct exchange x;
	bool ok;

	message_text(text, ch, ++ch->messages);
	(void)snprintf(body, sizeof(body), "\"%s%*s\"", text,
	    ch->messages % LONG_EVERY == 0 ? LONG_TEXT : 0, "");
	check_url(url, c->publish, ch->id, NULL);
	http_begin(c->http, &x, &ask);
	ok = answered(c, &x, t, 200);
	c->publish_ms = x.ended_ms - x.began_ms;
	http_end(&x);
	return ok;
}

void
remove_channels(struct check *c)
{
	const struct channel *all[] = { &c->channel, &c->quiet };

	for (size_t i = 0; i < COUNT_OF(all); i++) {
		char url[CHECK_URL_SIZE];
		struct http_ask ask = { .method = "DELETE", .url = url };
		struct exchange x;

		if (all[i]->messages == 0)
			continue;
		check_url(url, c->publish, all[i]->id, NULL);
		http_begin(c->http, &x, &ask);
		(void)http_wait(&x, CHECK_ANSWER_MS);
		http_end(&x);
	}
}

/* --- reading ----------------------------------------------------------- */

bool
read_news(
    struct check *c, struct exchange *x, enum trial t, const struct channel *ch)
{
	begin_read(c, x, c->subscribe, ch, &ch->last, READ_PLAIN);
	return answered(c, x, t, 200) &&
	    brought(c, x, t, ch, ch->seen + 1, ch->messages, ADVICE_POSITION);
}

/* --- positions --------------------------------------------------------- */

static void
copy_slice(char *out, size_t size, struct slice from)
{
	size_t n = from.len < size ? from.len : 0;

	if (n != 0)
		memcpy(out, from.ptr, n);
	out[n] = '\0';
}

/* Bitrix's servers write it into each message, and into an empty answer's
 * head. */
static struct slice
mid_of(const struct exchange *x)
{
	struct slice mid = http_field(x, "Last-Message-Id");
	const char *p = x->body.data, *end = p + x->body.len;

	while (x->body.len != 0 &&
	    (p = memmem(p, (size_t)(end - p), MID_NAME, MID_NAME_LEN)) !=
		NULL) {
		const char *quote;

		p += MID_NAME_LEN;
		quote = memchr(p, '"', (size_t)(end - p));
		if (quote != NULL)
			mid = (struct slice){ p, (size_t)(quote - p) };
	}
	return mid;
}

struct position
position_of(const struct check *c, const struct exchange *x)
{
	struct position p = { "", "", "" };

	if (c->by_mid) {
		copy_slice(p.mid, sizeof(p.mid), mid_of(x));
		return p;
	}
	copy_slice(p.time, sizeof(p.time), http_field(x, "Last-Modified"));
	copy_slice(p.tag, sizeof(p.tag), http_field(x, "Etag"));
	return p;
}

void
keep_position(
    const struct check *c, struct channel *ch, const struct exchange *x)
{
	ch->last = position_of(c, x);
	ch->seen = ch->messages;
}

bool
has_position(const struct position *p)
{
	const char *tag = strncmp(p->tag, "W/", 2) == 0 ? p->tag + 2 : p->tag;

	if (p->mid[0] != '\0')
		return strspn(p->mid, "0123456789") == 26 && p->mid[26] == '\0';
	return tag[0] != '\0' && tag[strspn(tag, "0123456789")] == '\0' &&
	    http_date_parse(p->time, strlen(p->time)) >= 0;
}

int64_t
position_time(const struct position *p)
{
	uint64_t n;

	if (p->mid[0] == '\0')
		return http_date_parse(p->time, strlen(p->time));
	/* The first ten digits of a mid. */
	return parse_count((struct slice){ p->mid, 10 }, &n) ? (int64_t)n : -1;
}
