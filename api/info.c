/*
 * api/info.c - the forms of channel information, byte for byte the module's,
 * but for channel ids: a quote, a backslash or a control character
 * is escaped in JSON, and markup in XML; lines of plain text and YAML are
 * not broken by one, and what is not UTF-8 is replaced.
 */
#include "api/info_priv.h"

#include <inttypes.h>
#include <stdarg.h>
#include <time.h>

#include "base/utf8.h"

static const struct {
	const char *subtype;
	enum info_format format;
} formats[] = {
	/* compared by prefix, in this order (14.2) */
	{ "plain", INFO_PLAIN },
	{ "json", INFO_JSON },
	{ "yaml", INFO_YAML },
	{ "xml", INFO_XML },
	{ "x-json", INFO_X_JSON },
	{ "x-yaml", INFO_X_YAML },
};

enum info_format
info_format_of(struct slice accept)
{
	for (size_t at = 0; at < accept.len; at++) {
		size_t left = accept.len - at - 1;

		if (accept.ptr[at] != '/')
			continue;
		for (size_t i = 0; i < COUNT_OF(formats); i++) {
			size_t len = strlen(formats[i].subtype);

			if (left >= len &&
			    memcmp(accept.ptr + at + 1, formats[i].subtype,
				len) == 0)
				return formats[i].format;
		}
	}
	return INFO_JSON;
}

const char *
info_content_type(enum info_format f)
{
	static const char *const types[] = {
		[INFO_JSON] = "application/json",
		[INFO_PLAIN] = "text/plain",
		[INFO_YAML] = "application/yaml",
		[INFO_XML] = "application/xml",
		[INFO_X_JSON] = "text/x-json",
		[INFO_X_YAML] = "text/x-yaml",
	};

	return types[f];
}

void
info_put(struct reply *r, const char *fmt, ...)
{
	va_list ap;

	if (r->err != 0)
		return;
	va_start(ap, fmt);
	r->err = buf_vprintf(r->b, fmt, ap);
	va_end(ap);
}

static void
put_json_id(struct reply *r, struct slice id)
{
	if (r->err == 0)
		r->err = buf_json(r->b, id);
}

/* XML has no way to write most control characters. */
static void
put_xml_char(struct reply *r, struct slice c)
{
	switch (*c.ptr) {
	case '<':
		reply_text(r, "&lt;");
		break;
	case '>':
		reply_text(r, "&gt;");
		break;
	case '&':
		reply_text(r, "&amp;");
		break;
	default:
		if ((unsigned char)*c.ptr < 0x20 &&
		    memchr("\t\n\r", *c.ptr, 3) == NULL)
			reply_text(r, UTF8_REPLACEMENT);
		else
			reply_bytes(r, c.ptr, c.len);
	}
}

/* In plain text and YAML an id must not look like lines of its own. */
static void
put_plain_char(struct reply *r, struct slice c)
{
	if ((unsigned char)*c.ptr < 0x20 || *c.ptr == 0x7f)
		info_put(r, "\\x%02x", (unsigned char)*c.ptr);
	else
		reply_bytes(r, c.ptr, c.len);
}

typedef void put_char_f(struct reply *r, struct slice c);

static void
put_id(struct reply *r, struct slice id, put_char_f *put_char)
{
	while (id.len != 0) {
		size_t n = utf8_char(id);

		if (n != 0)
			put_char(r, (struct slice){ id.ptr, n });
		else
			reply_text(r, UTF8_REPLACEMENT);
		n = MAX_OF(n, 1);
		id = (struct slice){ id.ptr + n, id.len - n };
	}
}

static void
put_json_number(struct reply *r, const char *name, bool quoted, uint64_t number)
{
	reply_text(r, name);
	if (quoted)
		reply_text(r, "\"");
	reply_number(r, number);
	if (quoted)
		reply_text(r, "\"");
}

/* What each publisher is answered, so without printf: it cost a tenth. */
static void
put_json_channel(struct reply *r, bool quoted, const struct channel *c)
{
	reply_text(r, "{\"channel\": \"");
	put_json_id(r, channel_name(c));
	put_json_number(r, "\", \"published_messages\": ", quoted, c->last_id);
	put_json_number(r, ", \"stored_messages\": ", quoted, c->stored);
	put_json_number(r, ", \"subscribers\": ", quoted, c->subscribers);
	reply_text(r, "}");
}

static void
put_channel(
    struct reply *r, enum info_format f, bool quoted, const struct channel *c)
{
	struct slice id = channel_name(c);

	switch (f) {
	case INFO_JSON:
	case INFO_X_JSON:
		put_json_channel(r, quoted, c);
		break;
	case INFO_PLAIN:
		reply_text(r, "channel: ");
		put_id(r, id, put_plain_char);
		info_put(r,
		    "\r\npublished_messages: %" PRIu64 "\r\n"
		    "stored_messages: %" PRIu32 "\r\n"
		    "active_subscribers: %" PRIu32,
		    c->last_id, c->stored, c->subscribers);
		break;
	case INFO_YAML:
	case INFO_X_YAML:
		reply_text(r, "  channel: ");
		put_id(r, id, put_plain_char);
		info_put(r,
		    "\r\n  published_messages: %" PRIu64 "\r\n"
		    "  stored_messages: %" PRIu32 "\r\n"
		    "  subscribers: %" PRIu32,
		    c->last_id, c->stored, c->subscribers);
		break;
	case INFO_XML:
		reply_text(r, "<channel>\r\n  <name>");
		put_id(r, id, put_xml_char);
		info_put(r,
		    "</name>\r\n"
		    "  <published_messages>%" PRIu64 "</published_messages>"
		    "\r\n  <stored_messages>%" PRIu32 "</stored_messages>\r\n"
		    "  <subscribers>%" PRIu32 "</subscribers>\r\n</channel>",
		    c->last_id, c->stored, c->subscribers);
		break;
	}
}

void
info_single(
    struct reply *r, enum info_format f, bool quoted, const struct channel *c)
{
	if (f == INFO_XML)
		reply_text(r,
		    "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>"
		    "\r\n");
	put_channel(r, f, quoted, c);
	reply_text(r, f == INFO_XML ? "\r\n\r\n" : "\r\n");
}

void
info_time(int64_t now_s, char out[INFO_TIME_SIZE])
{
	time_t now = (time_t)now_s;
	struct tm tm;

	(void)gmtime_r(&now, &tm);
	(void)strftime(out, INFO_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
}

void
info_list_head(struct reply *r, enum info_format f, bool quoted,
    const struct info_totals *t)
{
	const char *q = quoted ? "\"" : "";
	const char *wildcard = info_wildcard_name(t->broadcast);
	char time_text[INFO_TIME_SIZE];

	info_time(t->now_s, time_text);
	switch (f) {
	case INFO_JSON:
	case INFO_X_JSON:
		info_put(r,
		    "{\"hostname\": \"%s\", \"time\": \"%s\", "
		    "\"channels\": %s%" PRIu64 "%s, "
		    "\"%s\": %s%" PRIu64 "%s, "
		    "\"uptime\": %s%" PRIu64 "%s, \"infos\": [\r\n",
		    t->hostname, time_text, q, t->channels, q, wildcard, q,
		    t->wildcard_channels, q, q, t->uptime_s, q);
		break;
	case INFO_PLAIN:
		info_put(r,
		    "hostname: %s, time: %s, channels: %" PRIu64
		    ", %s: %" PRIu64 ", uptime: %" PRIu64 ", infos: \r\n",
		    t->hostname, time_text, t->channels, wildcard,
		    t->wildcard_channels, t->uptime_s);
		break;
	case INFO_YAML:
	case INFO_X_YAML:
		info_put(r,
		    "hostname: %s\r\ntime: %s\r\nchannels: %" PRIu64
		    "\r\n%s: %" PRIu64 "\r\nuptime: %" PRIu64 "\r\ninfos: \r\n",
		    t->hostname, time_text, t->channels, wildcard,
		    t->wildcard_channels, t->uptime_s);
		break;
	case INFO_XML:
		info_put(r,
		    "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n"
		    "<root>\r\n  <hostname>%s</hostname>\r\n"
		    "  <time>%s</time>\r\n  <channels>%" PRIu64 "</channels>"
		    "\r\n  <%s>%" PRIu64 "</%s>\r\n"
		    "  <uptime>%" PRIu64 "</uptime>\r\n  <infos>\r\n",
		    t->hostname, time_text, t->channels, wildcard,
		    t->wildcard_channels, wildcard, t->uptime_s);
		break;
	}
}

void
info_list_item(struct reply *r, enum info_format f, bool quoted,
    const struct channel *c, bool *any)
{
	bool comma = f == INFO_JSON || f == INFO_X_JSON || f == INFO_PLAIN;

	if (*any)
		reply_text(r, comma ? ",\r\n" : "\r\n");
	if (f == INFO_YAML || f == INFO_X_YAML)
		reply_text(r, " -\r\n");
	put_channel(r, f, quoted, c);
	*any = true;
}

void
info_list_tail(struct reply *r, enum info_format f, bool any)
{
	switch (f) {
	case INFO_JSON:
	case INFO_X_JSON:
		reply_text(r, any ? "\r\n]}\r\n" : "]}\r\n");
		break;
	case INFO_PLAIN:
	case INFO_YAML:
	case INFO_X_YAML:
		reply_text(r, "\r\n");
		break;
	case INFO_XML:
		reply_text(r, any ? "\r\n" : "");
		reply_text(r, "  </infos>\r\n</root>\r\n");
		break;
	}
}

void
info_list(struct reply *r, enum info_format f, bool quoted,
    const struct info_totals *t, struct channel *const *channels, uint32_t n)
{
	bool any = false;

	info_list_head(r, f, quoted, t);
	for (uint32_t i = 0; i < n; i++)
		info_list_item(r, f, quoted, channels[i], &any);
	info_list_tail(r, f, any);
}
