/* tests/fault/hammer_ask.c - publishes and polls as FastCGI.
 *
 * Parameters are short, so that one byte is enough for their lengths.
 */
#include "tests/fault/hammer.h"

#include "tests/bench/wire.h"

#include <err.h>
#include <fastcgi.h>
#include <string.h>
#include <time.h>

static void
put(struct out *o, const void *p, size_t n)
{
	if (o->len + n > sizeof(o->bytes))
		errx(1, "a request is too large");
	memcpy(o->bytes + o->len, p, n);
	o->len += n;
}

static size_t
put_head(struct out *o, unsigned char type, size_t len)
{
	unsigned char head[FCGI_HEADER_LEN] = { FCGI_VERSION_1, type, 0, 1,
		(unsigned char)(len >> 8), (unsigned char)len };

	put(o, head, sizeof(head));
	return o->len;
}

static void
put_pair(struct out *o, const char *name, const char *value)
{
	unsigned char len[2] = { (unsigned char)strlen(name),
		(unsigned char)strlen(value) };

	put(o, len, 2);
	put(o, name, len[0]);
	put(o, value, len[1]);
}

/* "c0/c3" */
static const char *
path_of(uint32_t channels)
{
	static char path[CHANNELS * 3 + 1];
	size_t n = 0;

	for (int i = 0; i < CHANNELS; i++) {
		if ((channels >> i & 1) == 0)
			continue;
		path[n++] = 'c';
		path[n++] = (char)('0' + i);
		path[n++] = '/';
	}
	path[n - 1] = '\0';
	return path;
}

/* Up to the parameters that differ; the start of their record. */
static size_t
request_begin(struct out *o, const char *method, uint32_t channels)
{
	static const unsigned char role[8] = { 0, FCGI_RESPONDER,
		FCGI_KEEP_CONN };
	size_t start;

	o->len = 0;
	put_head(o, FCGI_BEGIN_REQUEST, sizeof(role));
	put(o, role, sizeof(role));
	start = put_head(o, FCGI_PARAMS, 0);
	put_pair(o, "REQUEST_METHOD", method);
	put_pair(o, "DOCUMENT_URI", "/push");
	put_pair(o, "REQUEST_URI", "/push");
	put_pair(o, "QUERY_STRING", "");
	put_pair(o, "SERVER_PROTOCOL", "HTTP/1.1");
	put_pair(o, "REMOTE_ADDR", "127.0.0.1");
	put_pair(o, "push_stream_channels_path", path_of(channels));
	return start;
}

static void
request_end(struct out *o, size_t start, const char *text, size_t len)
{
	size_t params = o->len - start;

	o->bytes[start - 4] = (unsigned char)(params >> 8);
	o->bytes[start - 3] = (unsigned char)params;
	put_head(o, FCGI_PARAMS, 0);
	if (len != 0) {
		put_head(o, FCGI_STDIN, len);
		put(o, text, len);
	}
	put_head(o, FCGI_STDIN, 0);
}

uint32_t
chance(uint32_t n)
{
	return (uint32_t)((wire_random(&hammer.seed) >> 32) * n >> 32);
}

enum kind
choose_kind(void)
{
	uint32_t c = chance(100);

	return c < 55 ? KIND_KEPT : c < 65 ? KIND_SHORT : KIND_LIVE;
}

/* Mostly one channel, sometimes three. */
uint32_t
choose_channels(void)
{
	static const uint32_t counts[] = { 1, 1, 1, 2, 3 };
	uint32_t n = counts[chance(5)], channels = 0;

	while ((uint32_t)__builtin_popcount(channels) < n)
		channels |= 1U << chance(CHANNELS);
	return channels;
}

/* Mostly short; some of several pages. */
static size_t
choose_size(void)
{
	uint32_t c = chance(100);

	if (c < hammer.large)
		return TEXT_MAX - 100;
	return c < 90 ? c : 3000;
}

void
request_publish(struct out *o, struct conn *c, enum kind kind)
{
	static char text[TEXT_MAX];
	char length[16];
	size_t start = request_begin(o, "POST", c->channels);
	size_t more = choose_size(), len;

	len = (size_t)snprintf(text, sizeof(text), "%u", c->text);
	memset(text + len, 'x', more);
	len += more;
	snprintf(length, sizeof(length), "%zu", len);
	put_pair(o, "CONTENT_LENGTH", length);
	put_pair(o, "push_stream_publisher", "admin");
	put_pair(
	    o, "push_stream_store_messages", kind == KIND_LIVE ? "off" : "on");
	if (kind == KIND_SHORT)
		put_pair(o, "HTTP_MESSAGE_EXPIRY", "1");
	request_end(o, start, text, len);
}

void
request_poll(struct out *o, const struct conn *c)
{
	size_t start = request_begin(o, "GET", c->channels);
	time_t second = (time_t)(c->cursor >> 24);
	char date[64], tag[16];
	struct tm tm;

	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT",
	    gmtime_r(&second, &tm));
	snprintf(tag, sizeof(tag), "%u", (unsigned int)(c->cursor & 0xffffff));
	put_pair(o, "HTTP_IF_MODIFIED_SINCE", date);
	put_pair(o, "HTTP_IF_NONE_MATCH", tag);
	put_pair(o, "push_stream_subscriber",
	    c->stream ? "streaming" : "long-polling");
	/* Who has half of a stream's replay comes back with its last message. */
	put_pair(o, "push_stream_replay_by_cursor", "on");
	put_pair(o, "push_stream_longpolling_connection_ttl",
	    c->number % 4 != 0 ? "20ms" : "50ms");
	put_pair(o, "push_stream_message_template",
	    "~id~|~channel~|~tag~|~time~|~text~\n");
	request_end(o, start, NULL, 0);
}
