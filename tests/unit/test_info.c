/*
 * tests/unit/test_info.c - scripts cut these answers apart by their exact
 * blanks and line ends, so they are compared byte for byte with
 * push-stream.md sections 14.2 to 14.5.  A list that is too long for one
 * piece has the same bytes, however slowly it is taken.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/api_priv.h"
#include "base/utf8.h"
#include "tests/unit/fake_store.h"

static struct channel *
channel(const char *name, size_t len, uint64_t published, uint32_t stored,
    uint32_t subscribers)
{
	struct channel *c = calloc(1, sizeof(*c) + len);

	assert_non_null(c);
	memcpy(c->name, name, len);
	c->name_len = (uint16_t)len;
	c->last_id = published;
	c->stored = stored;
	c->subscribers = subscribers;
	return c;
}

static void
assert_body(struct reply *r, struct buf *b, const char *want)
{
	const char *body;
	size_t len;

	assert_int_equal(r->err, 0);
	assert_int_equal(buf_append(b, "", 1), 0);
	body = strstr(b->data, "\r\n") + 2; /* behind the status line */
	len = strlen(want);
	assert_int_equal(b->len - 1 - (size_t)(body - b->data), len);
	assert_string_equal(body, want);
}

static void
assert_single(
    const struct channel *c, enum info_format f, bool quoted, const char *want)
{
	struct reply r;
	struct buf b;

	buf_init(&b, 65536);
	reply_start(&r, &b, 200);
	info_single(&r, f, quoted, c);
	assert_body(&r, &b, want);
	buf_release(&b);
}

static void
assert_list(struct channel *const *channels, uint32_t n, enum info_format f,
    bool quoted, const char *want)
{
	static const struct info_totals totals = { .hostname = "www1",
		.now_s = 1795373494,
		.channels = 12,
		.wildcard_channels = 3,
		.uptime_s = 4567 };
	struct reply r;
	struct buf b;

	buf_init(&b, 65536);
	reply_start(&r, &b, 200);
	info_list(&r, f, quoted, &totals, channels, n);
	assert_body(&r, &b, want);
	buf_release(&b);
}

static void
test_single(void **state)
{
	struct channel *c = channel("ch1", 3, 7, 5, 2);

	(void)state;
	assert_single(c, INFO_JSON, false,
	    "{\"channel\": \"ch1\", "
	    "\"published_messages\": 7, \"stored_messages\": 5, "
	    "\"subscribers\": 2}\r\n");
	assert_single(c, INFO_X_JSON, false,
	    "{\"channel\": \"ch1\", "
	    "\"published_messages\": 7, \"stored_messages\": 5, "
	    "\"subscribers\": 2}\r\n");
	assert_single(c, INFO_PLAIN, false,
	    "channel: ch1\r\n"
	    "published_messages: 7\r\nstored_messages: 5\r\n"
	    "active_subscribers: 2\r\n");
	assert_single(c, INFO_YAML, false,
	    "  channel: ch1\r\n"
	    "  published_messages: 7\r\n  stored_messages: 5\r\n"
	    "  subscribers: 2\r\n");
	assert_single(c, INFO_X_YAML, false,
	    "  channel: ch1\r\n"
	    "  published_messages: 7\r\n  stored_messages: 5\r\n"
	    "  subscribers: 2\r\n");
	assert_single(c, INFO_XML, false,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n"
	    "<channel>\r\n  <name>ch1</name>\r\n"
	    "  <published_messages>7</published_messages>\r\n"
	    "  <stored_messages>5</stored_messages>\r\n"
	    "  <subscribers>2</subscribers>\r\n</channel>\r\n\r\n");
	free(c);
}

/* Numbers of JSON, and of JSON only, were in quotes before 0.5.2. */
static void
test_quoted(void **state)
{
	struct channel *c = channel("ch1", 3, UINT64_MAX, UINT32_MAX, 0);

	(void)state;
	assert_single(c, INFO_JSON, true,
	    "{\"channel\": \"ch1\", "
	    "\"published_messages\": \"18446744073709551615\", "
	    "\"stored_messages\": \"4294967295\", "
	    "\"subscribers\": \"0\"}\r\n");
	assert_single(c, INFO_PLAIN, true,
	    "channel: ch1\r\n"
	    "published_messages: 18446744073709551615\r\n"
	    "stored_messages: 4294967295\r\nactive_subscribers: 0\r\n");
	assert_list(&c, 0, INFO_JSON, true,
	    "{\"hostname\": \"www1\", "
	    "\"time\": \"2026-11-22T18:51:34\", \"channels\": \"12\", "
	    "\"wildcard_channels\": \"3\", \"uptime\": \"4567\", "
	    "\"infos\": [\r\n]}\r\n");
	free(c);
}

#define JSON_HEAD \
	"{\"hostname\": \"www1\", \"time\": " \
	"\"2026-11-22T18:51:34\", \"channels\": 12, " \
	"\"wildcard_channels\": 3, \"uptime\": 4567, \"infos\": [\r\n"
#define JSON_A \
	"{\"channel\": \"a\", \"published_messages\": 1, " \
	"\"stored_messages\": 0, \"subscribers\": 4}"
#define JSON_B \
	"{\"channel\": \"b\", \"published_messages\": 2, " \
	"\"stored_messages\": 2, \"subscribers\": 0}"
#define PLAIN_HEAD \
	"hostname: www1, time: 2026-11-22T18:51:34, " \
	"channels: 12, wildcard_channels: 3, uptime: 4567, infos: \r\n"
#define YAML_HEAD \
	"hostname: www1\r\ntime: 2026-11-22T18:51:34\r\n" \
	"channels: 12\r\nwildcard_channels: 3\r\nuptime: 4567\r\ninfos: \r\n"
#define XML_HEAD \
	"<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n" \
	"<root>\r\n  <hostname>www1</hostname>\r\n" \
	"  <time>2026-11-22T18:51:34</time>\r\n  <channels>12</channels>\r\n" \
	"  <wildcard_channels>3</wildcard_channels>\r\n" \
	"  <uptime>4567</uptime>\r\n  <infos>\r\n"

static void
test_list(void **state)
{
	struct channel *list[2];

	(void)state;
	list[0] = channel("a", 1, 1, 0, 4);
	list[1] = channel("b", 1, 2, 2, 0);
	assert_list(list, 2, INFO_JSON, false,
	    JSON_HEAD JSON_A ",\r\n" JSON_B "\r\n"
			     "]}\r\n");
	assert_list(list, 1, INFO_X_JSON, false,
	    JSON_HEAD JSON_A "\r\n"
			     "]}\r\n");
	assert_list(list, 2, INFO_PLAIN, false,
	    PLAIN_HEAD
	    "channel: a\r\npublished_messages: 1\r\nstored_messages: 0\r\n"
	    "active_subscribers: 4,\r\n"
	    "channel: b\r\npublished_messages: 2\r\nstored_messages: 2\r\n"
	    "active_subscribers: 0\r\n");
	assert_list(list, 2, INFO_YAML, false,
	    YAML_HEAD " -\r\n  channel: a\r\n  published_messages: 1\r\n"
		      "  stored_messages: 0\r\n  subscribers: 4\r\n"
		      " -\r\n  channel: b\r\n  published_messages: 2\r\n"
		      "  stored_messages: 2\r\n  subscribers: 0\r\n");
	assert_list(list, 2, INFO_XML, false,
	    XML_HEAD "<channel>\r\n  <name>a</name>\r\n"
		     "  <published_messages>1</published_messages>\r\n"
		     "  <stored_messages>0</stored_messages>\r\n"
		     "  <subscribers>4</subscribers>\r\n</channel>\r\n"
		     "<channel>\r\n  <name>b</name>\r\n"
		     "  <published_messages>2</published_messages>\r\n"
		     "  <stored_messages>2</stored_messages>\r\n"
		     "  <subscribers>0</subscribers>\r\n</channel>\r\n"
		     "  </infos>\r\n</root>\r\n");
	free(list[0]);
	free(list[1]);
}

static void
test_empty_list(void **state)
{
	(void)state;
	assert_list(NULL, 0, INFO_JSON, false, JSON_HEAD "]}\r\n");
	assert_list(NULL, 0, INFO_PLAIN, false, PLAIN_HEAD "\r\n");
	assert_list(NULL, 0, INFO_YAML, false, YAML_HEAD "\r\n");
	assert_list(
	    NULL, 0, INFO_XML, false, XML_HEAD "  </infos>\r\n</root>\r\n");
}

/* 0.3.x: wildcard channels by their old name, in the head too. */
static void
test_list_0_3_4(void **state)
{
	static const struct info_totals totals = { .hostname = "www1",
		.now_s = 1795373494,
		.channels = 12,
		.wildcard_channels = 3,
		.uptime_s = 4567,
		.broadcast = true };
	static const struct {
		enum info_format format;
		const char *want;
	} table[] = {
		{ INFO_JSON,
		    "{\"hostname\": \"www1\", "
		    "\"time\": \"2026-11-22T18:51:34\", \"channels\": \"12\", "
		    "\"broadcast_channels\": \"3\", \"uptime\": \"4567\", "
		    "\"infos\": [\r\n]}\r\n" },
		{ INFO_PLAIN,
		    "hostname: www1, time: 2026-11-22T18:51:34, channels: 12, "
		    "broadcast_channels: 3, uptime: 4567, infos: \r\n\r\n" },
		{ INFO_X_YAML,
		    "hostname: www1\r\ntime: 2026-11-22T18:51:34\r\n"
		    "channels: 12\r\nbroadcast_channels: 3\r\n"
		    "uptime: 4567\r\ninfos: \r\n\r\n" },
		{ INFO_XML,
		    "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n"
		    "<root>\r\n  <hostname>www1</hostname>\r\n"
		    "  <time>2026-11-22T18:51:34</time>\r\n"
		    "  <channels>12</channels>\r\n"
		    "  <broadcast_channels>3</broadcast_channels>\r\n"
		    "  <uptime>4567</uptime>\r\n  <infos>\r\n"
		    "  </infos>\r\n</root>\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct reply r;
		struct buf b;

		buf_init(&b, 65536);
		reply_start(&r, &b, 200);
		info_list(&r, table[i].format, true, &totals, NULL, 0);
		assert_body(&r, &b, table[i].want);
		buf_release(&b);
	}
}

static void
assert_summary(enum info_format f, enum compat compat, const char *want)
{
	const struct info_whole whole = {
		.totals = { .hostname = "www1",
		    .now_s = 1795373494,
		    .channels = 12,
		    .wildcard_channels = 3,
		    .uptime_s = 4567,
		    .broadcast = compat == COMPAT_0_3_4 },
		.published_messages = 100,
		.stored_messages = 60,
		.channels_in_delete = 2,
		.subscribers = 9,
		.pid = 4711,
	};
	struct reply r;
	struct buf b;

	buf_init(&b, 65536);
	reply_start(&r, &b, 200);
	info_summary(&r, f, compat, &whole);
	assert_body(&r, &b, want);
	buf_release(&b);
}

static void
test_summary(void **state)
{
	static const char json[] =
	    "{\"hostname\": \"www1\", \"time\": \"2026-11-22T18:51:34\", "
	    "\"channels\": 12, \"wildcard_channels\": 3, "
	    "\"published_messages\": 100, \"stored_messages\": 60, "
	    "\"messages_in_trash\": 0, \"channels_in_delete\": 2, "
	    "\"channels_in_trash\": 0, \"subscribers\": 9, "
	    "\"uptime\": 4567, \"by_worker\": [\r\n"
	    "{\"pid\": \"4711\", \"subscribers\": 9, \"uptime\": 4567}\r\n"
	    "]}\r\n";
	static const char yaml[] =
	    "  hostname: www1\r\n  time: 2026-11-22T18:51:34\r\n"
	    "  channels: 12\r\n  wildcard_channels: 3\r\n"
	    "  published_messages: 100\r\n  stored_messages: 60\r\n"
	    "  messages_in_trash: 0\r\n  channels_in_delete: 2\r\n"
	    "  channels_in_trash: 0\r\n  subscribers: 9\r\n"
	    "  uptime: 4567\r\n  by_worker:\r\n   -\r\n    pid: 4711\r\n"
	    "    subscribers: 9\r\n    uptime: 4567\r\n";

	(void)state;
	assert_summary(INFO_JSON, COMPAT_0_6_0, json);
	assert_summary(INFO_X_JSON, COMPAT_0_6_0, json);
	assert_summary(INFO_YAML, COMPAT_0_6_0, yaml);
	assert_summary(INFO_X_YAML, COMPAT_0_6_0, yaml);
	assert_summary(INFO_PLAIN, COMPAT_0_6_0,
	    "hostname: www1\r\ntime: 2026-11-22T18:51:34\r\n"
	    "channels: 12\r\nwildcard_channels: 3\r\n"
	    "published_messages: 100\r\nstored_messages: 60\r\n"
	    "messages_in_trash: 0\r\nchannels_in_delete: 2\r\n"
	    "channels_in_trash: 0\r\nsubscribers: 9\r\nuptime: 4567\r\n"
	    "by_worker:\r\n  pid: 4711\r\n  subscribers: 9\r\n"
	    "  uptime: 4567\r\n");
	assert_summary(INFO_XML, COMPAT_0_6_0,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n<infos>\r\n"
	    "  <hostname>www1</hostname>\r\n"
	    "  <time>2026-11-22T18:51:34</time>\r\n"
	    "  <channels>12</channels>\r\n"
	    "  <wildcard_channels>3</wildcard_channels>\r\n"
	    "  <published_messages>100</published_messages>\r\n"
	    "  <stored_messages>60</stored_messages>\r\n"
	    "  <messages_in_trash>0</messages_in_trash>\r\n"
	    "  <channels_in_delete>2</channels_in_delete>\r\n"
	    "  <channels_in_trash>0</channels_in_trash>\r\n"
	    "  <subscribers>9</subscribers>\r\n"
	    "  <uptime>4567</uptime>\r\n"
	    "  <by_worker><worker>\r\n  <pid>4711</pid>\r\n"
	    "  <subscribers>9</subscribers>\r\n"
	    "  <uptime>4567</uptime>\r\n</worker>\r\n"
	    "</by_worker>\r\n</infos>\r\n");
}

/* Each version knew less, and quoted what it knew. */
static void
test_summary_of_old(void **state)
{
	(void)state;
	assert_summary(INFO_JSON, COMPAT_0_4_0,
	    "{\"hostname\": \"www1\", \"time\": \"2026-11-22T18:51:34\", "
	    "\"channels\": \"12\", \"wildcard_channels\": \"3\", "
	    "\"published_messages\": \"100\", \"stored_messages\": \"60\", "
	    "\"messages_in_trash\": \"0\", \"channels_in_trash\": \"0\", "
	    "\"subscribers\": \"9\", \"uptime\": \"4567\", "
	    "\"by_worker\": [\r\n{\"pid\": \"4711\", "
	    "\"subscribers\": \"9\", \"uptime\": \"4567\"}\r\n]}\r\n");
	assert_summary(INFO_X_JSON, COMPAT_0_3_4,
	    "{\"hostname\": \"www1\", \"time\": \"2026-11-22T18:51:34\", "
	    "\"channels\": \"12\", \"broadcast_channels\": \"3\", "
	    "\"published_messages\": \"100\", \"subscribers\": \"9\", "
	    "\"uptime\": \"4567\", \"by_worker\": [\r\n"
	    "{\"pid\": \"4711\", \"subscribers\": \"9\", "
	    "\"uptime\": \"4567\"}\r\n]}\r\n");
	assert_summary(INFO_PLAIN, COMPAT_0_3_4,
	    "hostname: www1\r\ntime: 2026-11-22T18:51:34\r\n"
	    "channels: 12\r\nbroadcast_channels: 3\r\n"
	    "published_messages: 100\r\nsubscribers: 9\r\nuptime: 4567\r\n"
	    "by_worker:\r\n  pid: 4711\r\n  subscribers: 9\r\n"
	    "  uptime: 4567\r\n");
	assert_summary(INFO_YAML, COMPAT_0_4_0,
	    "  hostname: www1\r\n  time: 2026-11-22T18:51:34\r\n"
	    "  channels: 12\r\n  wildcard_channels: 3\r\n"
	    "  published_messages: 100\r\n  stored_messages: 60\r\n"
	    "  messages_in_trash: 0\r\n  channels_in_trash: 0\r\n"
	    "  subscribers: 9\r\n  uptime: 4567\r\n  by_worker:\r\n"
	    "   -\r\n    pid: 4711\r\n    subscribers: 9\r\n"
	    "    uptime: 4567\r\n");
	assert_summary(INFO_XML, COMPAT_0_3_4,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n<infos>\r\n"
	    "  <hostname>www1</hostname>\r\n"
	    "  <time>2026-11-22T18:51:34</time>\r\n"
	    "  <channels>12</channels>\r\n"
	    "  <broadcast_channels>3</broadcast_channels>\r\n"
	    "  <published_messages>100</published_messages>\r\n"
	    "  <subscribers>9</subscribers>\r\n"
	    "  <uptime>4567</uptime>\r\n"
	    "  <by_worker><worker>\r\n  <pid>4711</pid>\r\n"
	    "  <subscribers>9</subscribers>\r\n"
	    "  <uptime>4567</uptime>\r\n</worker>\r\n"
	    "</by_worker>\r\n</infos>\r\n");
}

/* A quote in a channel's name must not end the string around it. */
static void
test_escaping(void **state)
{
	struct channel *c = channel("a\"\\\n<&>\xc3\xa4", 9, 0, 0, 0);

	(void)state;
	assert_single(c, INFO_JSON, false,
	    "{\"channel\": \"a\\\"\\\\\\u000a<&>\xc3\xa4\", "
	    "\"published_messages\": 0, \"stored_messages\": 0, "
	    "\"subscribers\": 0}\r\n");
	assert_single(c, INFO_XML, false,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n"
	    "<channel>\r\n  <name>a\"\\\n&lt;&amp;&gt;\xc3\xa4</name>\r\n"
	    "  <published_messages>0</published_messages>\r\n"
	    "  <stored_messages>0</stored_messages>\r\n"
	    "  <subscribers>0</subscribers>\r\n</channel>\r\n\r\n");
	free(c);
}

/* No id makes lines of its own, or an answer that nobody can read. */
static void
test_escaping_of_bytes(void **state)
{
	struct channel *c = channel("a\r\n\x01\x7f\xff\xc3", 7, 0, 0, 0);

	(void)state;
	assert_single(c, INFO_JSON, false,
	    "{\"channel\": \"a\\u000d\\u000a\\u0001\x7f" UTF8_REPLACEMENT
		UTF8_REPLACEMENT
	    "\", \"published_messages\": 0, \"stored_messages\": 0, "
	    "\"subscribers\": 0}\r\n");
	assert_single(c, INFO_PLAIN, false,
	    "channel: a\\x0d\\x0a\\x01\\x7f" UTF8_REPLACEMENT UTF8_REPLACEMENT
	    "\r\n"
	    "published_messages: 0\r\nstored_messages: 0\r\n"
	    "active_subscribers: 0\r\n");
	assert_single(c, INFO_YAML, false,
	    "  channel: a\\x0d\\x0a\\x01\\x7f" UTF8_REPLACEMENT UTF8_REPLACEMENT
	    "\r\n"
	    "  published_messages: 0\r\n  stored_messages: 0\r\n"
	    "  subscribers: 0\r\n");
	assert_single(c, INFO_XML, false,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n"
	    "<channel>\r\n  <name>a\r\n" UTF8_REPLACEMENT
	    "\x7f" UTF8_REPLACEMENT UTF8_REPLACEMENT "</name>\r\n"
	    "  <published_messages>0</published_messages>\r\n"
	    "  <stored_messages>0</stored_messages>\r\n"
	    "  <subscribers>0</subscribers>\r\n</channel>\r\n\r\n");
	free(c);
}

static void
test_accept(void **state)
{
	static const struct {
		const char *accept;
		const char *type;
	} table[] = {
		{ "", "application/json" },
		{ "*/*", "application/json" },
		{ "text/plain", "text/plain" },
		{ "application/json", "application/json" },
		{ "application/jsonp", "application/json" },
		{ "text/yaml", "application/yaml" },
		{ "text/xml", "application/xml" },
		{ "text/x-json", "text/x-json" },
		{ "application/x-yaml", "text/x-yaml" },
		{ "text/html, application/xml", "application/xml" },
		{ "text/html, application/xml;q=0.1, text/plain;q=1",
		    "application/xml" },
		{ "text/JSON", "application/json" },
		{ "text/Plain", "application/json" },
		{ "plain", "application/json" },
		{ "text/", "application/json" },
		{ "text/plai", "application/json" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct slice a = { table[i].accept, strlen(table[i].accept) };

		assert_string_equal(
		    info_content_type(info_format_of(a)), table[i].type);
	}
	assert_int_equal(info_format_of((struct slice){ NULL, 0 }), INFO_JSON);
}

/* A front that takes what it is told to take. */
struct client {
	struct request request;
	struct buf got;
	size_t unsent, parts;
	bool fast; /* takes everything at once */
	bool over;
};

struct world {
	struct store *store;
	struct hub *hub;
	struct api *api;
	struct stats stats;
	struct client client[17];
};

static void
client_take(struct client *cl, const struct payload *p)
{
	assert_false(cl->over);
	assert_int_equal(buf_append(&cl->got, p->data, p->len), 0);
	cl->parts++;
}

static void
client_reply(struct request *r, struct payload *answer)
{
	struct client *cl = (struct client *)(void *)r;

	client_take(cl, answer);
	cl->over = true;
}

static void
client_send(struct request *r, struct payload *part)
{
	struct client *cl = (struct client *)(void *)r;

	client_take(cl, part);
	if (!cl->fast)
		cl->unsent += part->len;
}

static void
client_finish(struct request *r)
{
	struct client *cl = (struct client *)(void *)r;

	assert_false(cl->over);
	cl->over = true;
}

static size_t
client_unsent(const struct request *r)
{
	return ((const struct client *)(const void *)r)->unsent;
}

static const struct request_ops client_ops = { .name = "test",
	.reply = client_reply,
	.send = client_send,
	.finish = client_finish,
	.unsent = client_unsent };

static void
client_add(struct client *cl, const char *name, const char *value)
{
	assert_int_equal(params_add(&cl->request.params,
			     (struct slice){ name, strlen(name) },
			     (struct slice){ value, strlen(value) }),
	    0);
}

static struct client *
ask(struct world *w, size_t i, const char *path)
{
	struct client *cl = &w->client[i];

	request_init(&cl->request, &client_ops, 65536, 0, NULL);
	buf_clear(&cl->got);
	cl->over = false;
	cl->parts = cl->unsent = 0;
	client_add(cl, "REQUEST_METHOD", "GET");
	client_add(cl, "DOCUMENT_URI", "/stat");
	client_add(cl, "HTTP_ACCEPT", "text/plain");
	client_add(cl, "push_stream_channels_statistics", "");
	client_add(cl, "push_stream_channels_path", path);
	api_handle(w->api, &cl->request);
	request_shed(&cl->request);
	return cl;
}

/* The front takes what is there, again and again. */
static void
take_all(struct client *cl)
{
	while (!cl->over) {
		assert_true(cl->unsent != 0); /* or nobody calls again */
		assert_in_range(cl->unsent, 1, 600 * 1024);
		cl->unsent = 0;
		statistics_more(cl->request.wait);
	}
}

#define MANY 7000

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char name[16];

	assert_non_null(w);
	w->store = fake_new();
	assert_int_equal(hub_new(w->store, &w->stats, &w->hub), 0);
	w->store->done_f = hub_store_done;
	w->store->done_arg = w->hub;
	assert_int_equal(api_new(w->hub, &w->stats, layout_new(), &w->api), 0);
	for (size_t i = 0; i < COUNT_OF(w->client); i++)
		buf_init(&w->client[i].got, 16 << 20);
	for (int i = 0; i < MANY; i++) {
		struct channel *c;
		int len = snprintf(name, sizeof(name), "%c%d",
		    i % 100 == 7 ? 'p' : 'c', MANY - i);

		assert_int_equal(
		    hub_open(w->hub, (struct slice){ name, (size_t)len }, &c),
		    0);
	}
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	assert_int_equal(w->api->listings, 0);
	for (size_t i = 0; i < COUNT_OF(w->client); i++)
		buf_release(&w->client[i].got);
	api_free(&w->api);
	fake_free(&w->store);
	hub_free(&w->hub);
	free(w);
	return 0;
}

/* The list's items are those that are wanted, in order of creation. */
static void
assert_items(struct client *cl, bool (*wanted)(int))
{
	char item[128];
	const char *at;
	bool any = false;

	assert_int_equal(buf_append(&cl->got, "", 1), 0);
	at = strstr(cl->got.data, "infos: \r\n");
	assert_non_null(at);
	at += strlen("infos: \r\n");
	for (int i = 0; i < MANY; i++) {
		int len;

		if (!wanted(i))
			continue;
		len = snprintf(item, sizeof(item),
		    "%schannel: %c%d\r\npublished_messages: 0\r\n"
		    "stored_messages: 0\r\nactive_subscribers: 0",
		    any ? ",\r\n" : "", i % 100 == 7 ? 'p' : 'c', MANY - i);
		assert_memory_equal(at, item, (size_t)len);
		at += len;
		any = true;
	}
	assert_string_equal(at, "\r\n");
}

static bool
is_any(int i)
{
	(void)i;
	return true;
}

static bool
has_prefix(int i)
{
	return i % 100 == 7;
}

static bool
is_left(int i)
{
	return i != MANY - 679 && i != MANY - 1;
}

/* However the front takes it: order of creation, none missing, none twice. */
static void
test_slices(void **state)
{
	struct world *w = *state;
	struct client *cl = ask(w, 0, "ALL");

	assert_false(cl->over);
	assert_int_equal(w->api->listings, 1);
	assert_int_equal(hub_channels_deleted(w->hub), 0);
	take_all(cl);
	assert_in_range(cl->parts, 7, 8);
	assert_items(cl, is_any);
	assert_null(strstr(cl->got.data, "Content-Length"));

	cl->fast = true;
	cl = ask(w, 0, "*");
	assert_false(cl->over); /* it leaves time for others */
	assert_false(api_turn(w->api));
	assert_true(cl->over);
	assert_items(cl, is_any);
	cl->fast = false;
}

static void
test_one_slice(void **state)
{
	struct client *cl = ask(*state, 0, "p*");

	assert_true(cl->over);
	assert_int_equal(cl->parts, 1);
	assert_items(cl, has_prefix);
	assert_non_null(strstr(cl->got.data, "Content-Length"));
}

static void
on_deleted(void *arg, int err)
{
	assert_int_equal(err, 0);
	++*(int *)arg;
}

/* A channel that goes is left out, and the last one leaves no comma. */
static void
test_gone_meanwhile(void **state)
{
	struct world *w = *state;
	struct client *cl = ask(w, 0, "ALL");
	struct channel *gone[2];
	int deleted = 0;
	struct hub_wait wait = { on_deleted, &deleted, NULL };

	gone[0] = hub_find(w->hub, (struct slice){ "c1", 2 });
	gone[1] = hub_find(w->hub, (struct slice){ "c679", 4 });
	assert_int_equal(
	    hub_delete(w->hub, gone, 2, (struct slice){ "x", 1 }, &wait), 0);
	assert_int_equal(hub_channels_deleted(w->hub), 2);
	take_all(cl);
	assert_items(cl, is_left);
	fake_settle(w->store);
	assert_int_equal(deleted, 1);
	assert_int_equal(hub_channels_deleted(w->hub), 0);
	cl = ask(w, 0, "ALL");
	take_all(cl);
	assert_items(cl, is_left);
}

/* Lists that nobody takes are bounded, and one that is given up makes room. */
static void
test_bound(void **state)
{
	struct world *w = *state;
	struct client *last;

	for (size_t i = 0; i < 16; i++)
		assert_false(ask(w, i, "ALL")->over);
	last = ask(w, 16, "ALL");
	assert_true(last->over);
	assert_memory_equal(last->got.data, "Status: 503", 11);
	api_abandon(w->api, &w->client[3].request);
	assert_false(ask(w, 3, "ALL")->over);
	for (size_t i = 0; i < 16; i++)
		api_abandon(w->api, &w->client[i].request);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single),
		cmocka_unit_test(test_quoted),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_empty_list),
		cmocka_unit_test(test_list_0_3_4),
		cmocka_unit_test(test_summary),
		cmocka_unit_test(test_summary_of_old),
		cmocka_unit_test(test_escaping),
		cmocka_unit_test(test_escaping_of_bytes),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_one_slice),
		cmocka_unit_test(test_gone_meanwhile),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
