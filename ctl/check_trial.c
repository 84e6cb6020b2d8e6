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

static void PRINTF_LIKE(4, 0) say(struct check *c, enum trial t,
    enum verdict verdict, const char *fmt, va_list ap)
{
	struct outcome *o = &c->outcomes[t];

	o->verdict = verdict;
	o->front = c->front;
	(void)vsnprintf(o->detail, sizeof(o->detail), fmt, ap);
	/* It may quote an answer. */
	for (char *p = o->detail; *p != '\0'; p++)
		if (iscntrl((unsigned char)*p))
			*p = '?';
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

/* --- answers ----------------------------------------------------------- */

static enum advice
advice_for_status(const struct check *c, const struct exchange *x, enum trial t)
{
	bool explained = http_field(x, "X-Nginx-PushStream-Explain").len != 0;

	if (explained && x->status == 404)
		return ADVICE_ENDPOINT;
	if (explained)
		return t == TRIAL_PUBLISH ? ADVICE_REFUSED : ADVICE_STORE;
	if (c->by_mid && t == TRIAL_STORED && x->status / 100 == 4 &&
	    x->status != 404)
		return ADVICE_SIGNATURE;
	switch (x->status) {
	case 301:
	case 302:
	case 303:
	case 307:
	case 308:
		return ADVICE_REDIRECT;
	case 304:
		return c->position_fields ? ADVICE_CONDITION : ADVICE_POSITION;
	case 403:
		return t == TRIAL_PUBLISH ? ADVICE_REFUSED : ADVICE_LOCATION;
	case 502:
	case 503:
	case 504:
		return ADVICE_DAEMON;
	default:
		return ADVICE_LOCATION;
	}
}

/* No answer at all, although earlier trials went well. */
static enum advice
advice_for_silence(enum trial t)
{
	switch (t) {
	case TRIAL_STORED:
		return ADVICE_STORE;
	case TRIAL_REPLAY:
		return ADVICE_POSITION;
	case TRIAL_LONG_POLL:
		return ADVICE_BUFFERING;
	default:
		return ADVICE_DAEMON;
	}
}

static void
say_status(struct check *c, const struct exchange *x, enum trial t)
{
	struct slice why = http_field(x, "X-Nginx-PushStream-Explain");

	if (why.len == 0)
		why = http_field(x, "Location");
	say_not_ok(c, t, advice_for_status(c, x, t), "%d%s%.*s", x->status,
	    why.len != 0 ? ": " : "", (int)MIN_OF(why.len, (size_t)200),
	    why.len != 0 ? why.ptr : "");
}

static void
say_failure(struct check *c, const struct exchange *x, enum trial t)
{
	enum advice a = ADVICE_ADDRESS;

	if (x->untrusted)
		a = ADVICE_CERTIFICATE;
	else if (x->status != 0)
		a = ADVICE_DAEMON;
	say_not_ok(c, t, a, "%s", x->error);
}

void
look_at_server(struct check *c, const struct exchange *x)
{
	struct slice server = http_field(x, "Server");

	if (server.len != 0)
		c->front = front_of(server);
}

bool
answered(struct check *c, struct exchange *x, enum trial t, int status)
{
	(void)http_wait(x, CHECK_ANSWER_MS);
	look_at_server(c, x);
	if (!x->done)
		say_not_ok(c, t, advice_for_silence(t), "no answer within %d s",
		    CHECK_ANSWER_MS / 1000);
	else if (x->failed)
		say_failure(c, x, t);
	else if (x->status != status)
		say_status(c, x, t);
	else
		return true;
	return false;
}

/* How often, and where the first one stands. */
static unsigned
occurrences(const struct buf *body, const char *text, size_t *first)
{
	size_t len = strlen(text), at = 0;
	unsigned n = 0;

	while (at < body->len) {
		const char *p =
		    memmem(body->data + at, body->len - at, text, len);

		if (p == NULL)
			break;
		at = (size_t)(p - body->data);
		if (n++ == 0)
			*first = at;
		at += len;
	}
	return n;
}

bool
brought(struct check *c, const struct exchange *x, enum trial t,
    const struct channel *ch, unsigned from, unsigned to, enum advice a)
{
	size_t at = 0, before = 0;

	for (unsigned i = 1; i <= ch->messages; i++) {
		unsigned want = i >= from && i <= to, n;
		const char *wrong = NULL;
		char text[TEXT_SIZE];

		message_text(text, ch, i);
		n = occurrences(&x->body, text, &at);
		if (n < want)
			wrong = "is missing";
		else if (n > want)
			wrong = n > 1 ? "came twice" : "came again";
		else if (n == 1 && at < before)
			wrong = "came too late";
		if (wrong != NULL) {
			say_not_ok(c, t, a, "message %u %s", i, wrong);
			return false;
		}
		before = n != 0 ? at : before;
	}
	return true;
}

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
