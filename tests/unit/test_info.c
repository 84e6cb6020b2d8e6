/*
 * tests/unit/test_info.c - scripts cut these answers apart by their exact
 * blanks and line ends, so they are compared byte for byte with
 * push-stream.md sections 14.2 to 14.4.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "api/info.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single),
		cmocka_unit_test(test_quoted),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_empty_list),
		cmocka_unit_test(test_escaping),
		cmocka_unit_test(test_accept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
