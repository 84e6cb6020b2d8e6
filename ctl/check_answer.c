/*
 * ctl/check_answer.c - is it the answer that was due, and what to do about one
 * that is not.
 *
 * What an answer is not tells more than what it says: a front's own page, the
 * daemon's refusal and silence each have another reason.
 */
#include "ctl/check_priv.h"

/* How long a front gets for what waits for nothing. */
#define BUSY_MS 2000

/* --- what to do about one that is none --------------------------------- */

/* The answer's own words for a request that came without TLS: those of nginx,
 * Apache, Caddy and Holdfast itself. */
bool
wants_tls(int status, const struct buf *body)
{
	static const char *const words[] = { "HTTPS port", "HTTPS server",
		"SSL-enabled server" };

	if (status != 400 || body->len == 0)
		return false;
	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (memmem(body->data, body->len, words[i], strlen(words[i])) !=
		    NULL)
			return true;
	return false;
}

/* What Bitrix's own servers say to who comes with a wrong id: "4010: ...", or
 * in version 3 a sentence. */
static struct slice
bitrix_refusal(const struct exchange *x)
{
	static const char version_3[] = "Channel id is not correct.";
	struct slice body = { x->body.data, x->body.len };

	if (x->status == 400 &&
	    ((body.len > 5 && body.ptr[0] == '4' && body.ptr[4] == ':') ||
		slice_is(body, version_3)))
		return body;
	return (struct slice){ NULL, 0 };
}

/* The daemon's word, with its reason. */
static enum advice
advice_for_explained(int status, enum trial t)
{
	if (status == 404)
		return ADVICE_ENDPOINT;
	if (status >= 500)
		return ADVICE_FAILED;
	return t == TRIAL_PUBLISH ? ADVICE_REFUSED : ADVICE_STORE;
}

static enum advice
advice_for_304(const struct check *c, enum trial t)
{
	if (t == TRIAL_STORED) /* a condition of 1970 nobody else fulfils */
		return ADVICE_STORE;
	return c->position_fields ? ADVICE_CONDITION : ADVICE_POSITION;
}

static enum advice
advice_for_status(const struct check *c, const struct exchange *x, enum trial t)
{
	if (http_field(x, "X-Nginx-PushStream-Explain").len != 0)
		return advice_for_explained(x->status, t);
	if (wants_tls(x->status, &x->body))
		return ADVICE_TLS_PORT;
	if (bitrix_refusal(x).len != 0)
		return ADVICE_SIGNATURE;
	switch (x->status) {
	case 301:
	case 302:
	case 303:
	case 307:
	case 308:
		return ADVICE_REDIRECT;
	case 304:
		return advice_for_304(c, t);
	case 403:
		return t == TRIAL_PUBLISH ? ADVICE_REFUSED : ADVICE_LOCATION;
	case 500:
		return ADVICE_FAILED;
	case 502:
	case 503:
	case 504:
		return ADVICE_DAEMON;
	default:
		return ADVICE_LOCATION;
	}
}

enum advice
advice_for_fault(enum http_fault fault)
{
	static const enum advice advices[] = { [HTTP_CUT] = ADVICE_ADDRESS,
		[HTTP_UNTRUSTED] = ADVICE_CERTIFICATE,
		[HTTP_NO_TLS] = ADVICE_NO_TLS,
		[HTTP_NO_ANSWER] = ADVICE_NO_HTTP };

	return advices[fault];
}

/* Whatever it says is an answer. */
bool
is_busy(struct check *c)
{
	char url[CHECK_URL_SIZE];
	struct http_ask ask = {
		.method = "OPTIONS", .url = url, .alone = true
	};
	struct exchange x;
	bool done;

	check_url(url, c->subscribe, c->channel.reader, NULL);
	http_begin(c->http, &x, &ask);
	done = http_wait(&x, BUSY_MS);
	http_end(&x);
	c->busy = !done;
	return c->busy;
}

/* No answer at all, although earlier trials went well. */
static enum advice
advice_for_silence(struct check *c, enum trial t)
{
	if (t != TRIAL_PUBLISH && is_busy(c))
		return ADVICE_BUSY;
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
	if (why.len == 0)
		why = bitrix_refusal(x);
	say_not_ok(c, t, advice_for_status(c, x, t), "%d%s%.*s", x->status,
	    why.len != 0 ? ": " : "", (int)MIN_OF(why.len, (size_t)200),
	    why.len != 0 ? why.ptr : "");
}

static void
say_failure(struct check *c, const struct exchange *x, enum trial t)
{
	say_not_ok(c, t,
	    x->status != 0 ? ADVICE_DAEMON : advice_for_fault(x->fault), "%s",
	    x->error);
}

/* --- answers ----------------------------------------------------------- */

void
look_at_server(struct check *c, const struct exchange *x)
{
	/* One that does not say its name is another one. */
	if (x->status != 0)
		c->front = front_of(http_field(x, "Server"));
}

bool
answered(struct check *c, struct exchange *x, enum trial t, int status)
{
	(void)http_wait(x, CHECK_ANSWER_MS);
	look_at_server(c, x);
	if (!x->done)
		say_not_ok(c, t, advice_for_silence(c, t),
		    "no answer within %d s", CHECK_ANSWER_MS / 1000);
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
