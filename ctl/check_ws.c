/*
 * ctl/check_ws.c - the trial with a WebSocket (RFC 6455).
 *
 * Its key is the one of the RFC's section 1.3, so the answer to it is known,
 * and so is the mask of our frames: what they hide from, a cache that takes
 * them for a request, cannot be fooled by frames that never change.
 */
#include "ctl/check_priv.h"

#include <stdio.h>
#include <strings.h>

#define WS_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define WS_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define WS_TEXT 1
#define WS_CLOSE 8
#define WS_PONG 10
#define LIVE_MS 3000

/* FIN, the opcode; masked, no bytes; the mask. */
static const char ping_frame[] = "\x89\x80\x11\x22\x33\x44";
static const char close_frame[] = "\x88\x80\x11\x22\x33\x44";

struct url {
	bool secure;
	struct slice host; /* and port */
	const char *path;
};

static struct url
split(const char *url)
{
	struct url u = { .secure = strncasecmp(url, "wss", 3) == 0 ||
		    strncasecmp(url, "https", 5) == 0 };
	const char *host = strstr(url, "://") + 3;
	size_t n = strcspn(host, "/?");

	u.host = (struct slice){ host, n };
	u.path = host + n;
	return u;
}

static bool
send_request(struct http_pipe *p, const struct url *u)
{
	struct buf b;
	bool ok;

	buf_init(&b, CHECK_URL_SIZE * 2);
	ok = buf_printf(&b,
		 "GET %s%s HTTP/1.1\r\nHost: %.*s\r\n"
		 "Upgrade: websocket\r\nConnection: Upgrade\r\n"
		 "Sec-WebSocket-Key: " WS_KEY "\r\n"
		 "Sec-WebSocket-Version: 13\r\n\r\n",
		 u->path[0] == '/' ? "" : "/", u->path, (int)u->host.len,
		 u->host.ptr) == 0 &&
	    http_pipe_send(p, b.data, b.len);
	buf_release(&b);
	return ok;
}

/* Takes n bytes off the beginning. */
static void
consume(struct buf *b, size_t n)
{
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
}

/* The answer into an exchange, whose fields can be looked at. */
static bool
receive_head(struct http_pipe *p, struct exchange *x)
{
	for (;;) {
		const char *end = p->in.len != 0
		    ? memmem(p->in.data, p->in.len, "\r\n\r\n", 4)
		    : NULL;

		if (end != NULL) {
			size_t n = (size_t)(end - p->in.data) + 4;

			if (buf_append(&x->head, p->in.data, n) != 0)
				return false;
			consume(&p->in, n);
			break;
		}
		if (!http_pipe_receive(p, CHECK_ANSWER_MS))
			return false;
	}
	if (x->head.len > 12 && memcmp(x->head.data, "HTTP/1.", 7) == 0)
		x->status = (int)strtol(x->head.data + 9, NULL, 10);
	/* A refusal's text is short and comes with it. */
	return x->status == 101 ||
	    buf_append(&x->body, p->in.data, p->in.len) == 0;
}

/* --- frames ------------------------------------------------------------ */

struct frame {
	int opcode;
	struct slice data; /* in the pipe's buffer */
	size_t size;	   /* of all */
};

enum talk {
	TALK_MORE, /* no whole frame yet */
	TALK_FRAME,
	TALK_NO_FRAME /* somebody speaks something else */
};

/* The first frame.  Those that the daemon sends us are whole and short. */
static enum talk
first_frame(const struct buf *b, struct frame *f)
{
	const unsigned char *p = (const unsigned char *)b->data;
	size_t head = 2, len;

	if (b->len < 2)
		return TALK_MORE;
	len = p[1];
	if ((p[0] & 0xf0) != 0x80 || len > 126)
		return TALK_NO_FRAME;
	if (len == 126) {
		if (b->len < 4)
			return TALK_MORE;
		len = (size_t)p[2] << 8 | p[3];
		head = 4;
	}
	if (b->len < head + len)
		return TALK_MORE;
	*f = (struct frame){ .opcode = p[0] & 0x0f,
		.data = { b->data + head, len },
		.size = head + len };
	return TALK_FRAME;
}

/* Does it have this opcode, and the text in it? */
static bool
is_frame(const struct frame *f, int opcode, const char *text)
{
	return f->opcode == opcode &&
	    (text[0] == '\0' ||
		memmem(f->data.ptr, f->data.len, text, strlen(text)) != NULL);
}

/* What a close frame says behind its code. */
static void
say_closed(struct check *c, const struct frame *f)
{
	size_t n = MIN_OF(f->data.len, (size_t)125);

	say_not_ok(c, TRIAL_WEBSOCKET, ADVICE_STORE, "101, then closed%s%.*s",
	    n > 2 ? ": " : "", n > 2 ? (int)n - 2 : 0,
	    n > 2 ? f->data.ptr + 2 : "");
}

/* Reads over others until such a frame comes; false: it does not, and that is
 * said. */
static bool
wait_frame(struct check *c, struct http_pipe *p, int opcode, const char *text)
{
	uint64_t now, end = clock_mono_ms() + LIVE_MS;
	enum talk talk;
	struct frame f;
	bool found;

	while ((talk = first_frame(&p->in, &f)) != TALK_NO_FRAME) {
		if (talk == TALK_MORE) {
			now = clock_mono_ms();
			if (now >= end || !http_pipe_receive(p, end - now))
				break;
			continue;
		}
		found = is_frame(&f, opcode, text);
		if (!found && f.opcode == WS_CLOSE) {
			say_closed(c, &f);
			return false;
		}
		consume(&p->in, f.size);
		if (found)
			return true;
	}
	say_not_ok(c, TRIAL_WEBSOCKET, ADVICE_WEBSOCKET, "101, then %s",
	    talk == TALK_NO_FRAME ? "an answer that is no frame"
		: p->at_end	  ? "the connection is cut"
				  : "nothing");
	return false;
}

/* --- the trial --------------------------------------------------------- */

/* What a refusal is about: in Bitrix's own servers that of an id is a 400,
 * too. */
static enum advice
advice_for_refusal(const struct check *c, const struct exchange *x, bool why)
{
	if (why && x->status == 404)
		return ADVICE_ENDPOINT;
	if (why && x->status == 403)
		return ADVICE_STORE;
	if (wants_tls(x->status, &x->body))
		return ADVICE_TLS_PORT;
	if (c->by_mid && x->status == 400)
		return ADVICE_SIGNATURE;
	if (x->status == 502 || x->status == 503 || x->status == 504)
		return ADVICE_LISTENER;
	if (x->status == 500)
		return ADVICE_FAILED;
	return !why && (x->status == 403 || x->status == 404)
	    ? ADVICE_LOCATION
	    : ADVICE_WEBSOCKET;
}

static bool
shook_hands(struct check *c, const struct exchange *x)
{
	const enum trial t = TRIAL_WEBSOCKET;
	struct slice why = http_field(x, "X-Nginx-PushStream-Explain");
	struct slice upgrade = http_field(x, "Upgrade");
	bool accepted =
	    slice_is(http_field(x, "Sec-WebSocket-Accept"), WS_ACCEPT);

	if (x->status == 101 && accepted && upgrade.len == 9 &&
	    strncasecmp(upgrade.ptr, "websocket", 9) == 0)
		return true;
	if (x->status == 101)
		say_not_ok(c, t, ADVICE_WEBSOCKET, "101 %s",
		    accepted ? "without an Upgrade"
			     : "with a wrong Sec-WebSocket-Accept");
	else
		say_not_ok(c, t, advice_for_refusal(c, x, why.len != 0),
		    "%d and not 101%s%.*s", x->status, why.len != 0 ? ": " : "",
		    (int)MIN_OF(why.len, (size_t)150),
		    why.len != 0 ? why.ptr : "");
	return false;
}

/* A ping there and back, and then a message. */
static void
converse(struct check *c, struct http_pipe *p)
{
	struct channel *ch = &c->channel;
	uint64_t began_ms;
	char text[TEXT_SIZE];

	(void)http_pipe_send(p, ping_frame, sizeof(ping_frame) - 1);
	if (!wait_frame(c, p, WS_PONG, ""))
		return;
	began_ms = clock_mono_ms();
	if (!publish(c, ch, TRIAL_WEBSOCKET))
		return;
	message_text(text, ch, ch->messages);
	if (wait_frame(c, p, WS_TEXT, text))
		say_ok(c, TRIAL_WEBSOCKET, "101, a message within %llu ms",
		    (unsigned long long)(clock_mono_ms() - began_ms));
	(void)http_pipe_send(p, close_frame, sizeof(close_frame) - 1);
}

static void
say_no_answer(struct check *c, const struct http_pipe *p)
{
	if (p->at_end)
		say_not_ok(c, TRIAL_WEBSOCKET, ADVICE_NO_HTTP,
		    "the connection is closed without an answer");
	else
		say_not_ok(c, TRIAL_WEBSOCKET,
		    is_busy(c) ? ADVICE_BUSY : ADVICE_WEBSOCKET,
		    "no answer within %d s", CHECK_ANSWER_MS / 1000);
}

/* ws:// and wss:// are http:// and https:// to libcurl. */
static void
open_pipe(struct check *c, struct http_pipe *p, const struct url *u)
{
	char origin[CHECK_URL_SIZE];

	(void)snprintf(origin, sizeof(origin), "%s://%.*s/",
	    u->secure ? "https" : "http", (int)u->host.len, u->host.ptr);
	http_pipe_open(c->http, p, origin);
}

void
try_websocket(struct check *c)
{
	const enum trial t = TRIAL_WEBSOCKET;
	char url[CHECK_URL_SIZE];
	struct exchange x = { 0 };
	struct http_pipe p;
	struct url u;

	if (c->websocket == NULL) {
		say_not_tried(c, t, "no --websocket");
		return;
	}
	check_url(url, c->websocket, c->channel.reader, NULL);
	u = split(url);
	open_pipe(c, &p, &u);
	buf_init(&x.head, CHECK_URL_SIZE * 8);
	buf_init(&x.body, CHECK_URL_SIZE * 8);
	if (p.easy == NULL)
		say_not_ok(c, t, advice_for_fault(p.fault), "%s", p.error);
	else if (!send_request(&p, &u) || !receive_head(&p, &x))
		say_no_answer(c, &p);
	else {
		look_at_server(c, &x);
		if (shook_hands(c, &x))
			converse(c, &p);
	}
	buf_release(&x.head);
	buf_release(&x.body);
	http_pipe_close(&p);
}
