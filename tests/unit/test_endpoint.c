/*
 * tests/unit/test_endpoint.c - what a request was sent to.  For each setting
 * by itself: compiled < global < location block < parameter.  A client must
 * not be able to set any of them, nor to smuggle a variable into one.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/endpoint.h"

#define S(text) ((struct slice){ text, sizeof(text) - 1 })

struct world {
	struct endpoints endpoints;
	uint64_t renders;
	struct limits limits;
	struct layout *layout;
	struct query query;
	struct request request;
	char why[SETTINGS_WHY_SIZE];
	char ignored[SETTINGS_WHY_SIZE];
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	endpoints_init(&w->endpoints, &w->renders, &w->limits);
	w->layout = layout_new();
	assert_non_null(w->layout);
	request_init(&w->request, NULL, 65536, 0, NULL);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	request_shed(&w->request);
	layout_free(&w->layout);
	endpoints_release(&w->endpoints);
	free(w);
	return 0;
}

static void
global(struct world *w, const char *name, const char *value)
{
	assert_int_equal(
	    layout_set(w->layout, NULL, (struct slice){ name, strlen(name) },
		(struct slice){ value, strlen(value) }, w->why),
	    0);
}

static struct location *
location(struct world *w, const char *prefix)
{
	struct location *loc;

	assert_int_equal(layout_add_location(w->layout, prefix, &loc), 0);
	return loc;
}

static void
block(
    struct world *w, struct location *loc, const char *name, const char *value)
{
	assert_int_equal(
	    layout_set(w->layout, loc, (struct slice){ name, strlen(name) },
		(struct slice){ value, strlen(value) }, w->why),
	    0);
}

/* The parameters of the next request: name, value, ..., NULL. */
static void
request(struct world *w, ...)
{
	const char *name, *value;
	va_list ap;

	request_shed(&w->request);
	request_init(&w->request, NULL, 65536, 0, NULL);
	va_start(ap, w);
	while ((name = va_arg(ap, const char *)) != NULL) {
		value = va_arg(ap, const char *);
		assert_int_equal(params_add(&w->request.params,
				     (struct slice){ name, strlen(name) },
				     (struct slice){ value, strlen(value) }),
		    0);
	}
	va_end(ap);
}

static int
try_resolve(struct world *w, struct endpoint **ep)
{
	*ep = NULL;
	return endpoint_resolve(&w->endpoints, w->layout, &w->request,
	    &w->query, ep, w->why, w->ignored);
}

/* Interned endpoints outlive their last reference, so the tests may look. */
static struct endpoint *
resolve(struct world *w)
{
	struct endpoint *ep, *look;

	assert_int_equal(try_resolve(w, &ep), 0);
	assert_true(ep->interned);
	look = ep;
	endpoint_unref(&ep);
	assert_null(ep);
	return look;
}

/* "" and unset differ; NULL: unset. */
static void
assert_value(struct world *w, enum complex which, const char *want)
{
	struct endpoint *ep = resolve(w);
	struct buf b;
	bool set;

	buf_init(&b, 65536);
	assert_int_equal(
	    endpoint_value(ep, &w->request, &w->query, which, &b, &set), 0);
	if (set != (want != NULL) ||
	    (set &&
		(b.len != strlen(want) ||
		    (b.len != 0 && memcmp(b.data, want, b.len) != 0))))
		fail_msg("%s \"%.*s\", not \"%s\"", set ? "set to" : "unset",
		    (int)b.len, b.data, want != NULL ? want : "(unset)");
	buf_release(&b);
}

static void
test_precedence(void **state)
{
	struct world *w = *state;
	struct location *loc = location(w, "/sub");

	request(w, "DOCUMENT_URI", "/sub", NULL);
	assert_string_equal(resolve(w)->settings.content_type, "text/plain");
	endpoints_flush(&w->endpoints);
	global(w, "push_stream_content_type", "global/1");
	global(w, "push_stream_header_template", "H");
	assert_string_equal(resolve(w)->settings.content_type, "global/1");
	endpoints_flush(&w->endpoints);
	block(w, loc, "push_stream_content_type", "location/1");
	assert_string_equal(resolve(w)->settings.content_type, "location/1");
	request(w, "DOCUMENT_URI", "/sub", "push_stream_content_type",
	    "parameter/1", NULL);
	assert_string_equal(resolve(w)->settings.content_type, "parameter/1");
	/* Each setting by itself: the header is still the global one. */
	assert_string_equal(resolve(w)->settings.header_template, "H");
	/* Elsewhere the block does not hold. */
	request(w, "DOCUMENT_URI", "/other", NULL);
	assert_string_equal(resolve(w)->settings.content_type, "global/1");
}

static void
test_precedence_of_complex_values(void **state)
{
	struct world *w = *state;
	struct location *loc = location(w, "/sub");

	request(w, "DOCUMENT_URI", "/sub", "QUERY_STRING", "a=x&b=y", NULL);
	assert_value(w, COMPLEX_PATH, NULL);
	endpoints_flush(&w->endpoints);
	global(w, "push_stream_channels_path", "$arg_a");
	assert_value(w, COMPLEX_PATH, "x");
	endpoints_flush(&w->endpoints);
	block(w, loc, "push_stream_channels_path", "$arg_b");
	assert_value(w, COMPLEX_PATH, "y");
	request(
	    w, "DOCUMENT_URI", "/sub", "push_stream_channels_path", "p", NULL);
	assert_value(w, COMPLEX_PATH, "p");
	request(
	    w, "DOCUMENT_URI", "/sub", "push_stream_channel_id", "old", NULL);
	assert_value(w, COMPLEX_PATH, "old");
}

/* Present but empty means "set to empty": the header does not stand in. */
static void
test_empty_values(void **state)
{
	struct world *w = *state;

	global(w, "push_stream_last_received_message_tag", "$arg_tag");
	request(w, "QUERY_STRING", "", "push_stream_last_received_message_time",
	    "", NULL);
	assert_value(w, COMPLEX_TIME, "");
	assert_value(w, COMPLEX_TAG, "");
	assert_value(w, COMPLEX_EVENT_ID, NULL);
	request(w, "push_stream_header_template", "", NULL);
	assert_string_equal(resolve(w)->settings.header_template, "");
	/* What may not be blank may not be blank here either. */
	request(w, "push_stream_message_template", "", NULL);
	assert_int_equal(
	    try_resolve(w, &(struct endpoint *){ NULL }), ERR_CONFIG);
}

/* nginx's flag, in values of ours: empty, and it is as if it were not set. */
static void
test_if_not_empty(void **state)
{
	struct world *w = *state;

	global(w, "push_stream_last_received_message_time",
	    "$arg_time if_not_empty");
	request(w, "QUERY_STRING", "time=", NULL);
	assert_value(w, COMPLEX_TIME, NULL);
	request(w, "QUERY_STRING", "", NULL);
	assert_value(w, COMPLEX_TIME, NULL);
	request(w, "QUERY_STRING",
	    "time=Sun,%2022%20Nov%202026%2018:51:34%20GMT", NULL);
	assert_value(w, COMPLEX_TIME, "Sun, 22 Nov 2026 18:51:34 GMT");
	/* A client that writes the flag writes a text. */
	request(w, "QUERY_STRING", "time=1 if_not_empty", NULL);
	assert_value(w, COMPLEX_TIME, "1 if_not_empty");
}

/* What nginx has expanded is not expanded again, unless the front says that
 * it did not expand anything. */
static void
test_expand(void **state)
{
	struct world *w = *state;

	request(w, "push_stream_channels_path", "$arg_id", "QUERY_STRING",
	    "id=x", NULL);
	assert_value(w, COMPLEX_PATH, "$arg_id");
	request(w, "push_stream_channels_path", "$arg_id", "QUERY_STRING",
	    "id=x", "holdfast_expand", "on", NULL);
	assert_value(w, COMPLEX_PATH, "x");
	request(w, "holdfast_expand", "off", "push_stream_channels_path",
	    "$arg_id", "QUERY_STRING", "id=x", NULL);
	assert_value(w, COMPLEX_PATH, "$arg_id");
	/* A client's dollar stays one. */
	request(w, "push_stream_channels_path", "$arg_id", "QUERY_STRING",
	    "id=$arg_x&x=y", "holdfast_expand", "on", NULL);
	assert_value(w, COMPLEX_PATH, "$arg_x");
	/* Only the parameter of the front, never a header of the client. */
	request(w, "push_stream_channels_path", "$arg_id", "QUERY_STRING",
	    "id=x", "HTTP_HOLDFAST_EXPAND", "on", NULL);
	assert_value(w, COMPLEX_PATH, "$arg_id");
	/* Literal settings have no variables. */
	request(w, "push_stream_header_template", "$arg_id", "holdfast_expand",
	    "on", NULL);
	assert_string_equal(resolve(w)->settings.header_template, "$arg_id");
}

static void
test_expand_unknown_variable(void **state)
{
	struct world *w = *state;
	struct endpoint *ep;
	struct buf b;
	bool set;

	request(w, "push_stream_channels_path", "$nonsense", "holdfast_expand",
	    "on", NULL);
	ep = resolve(w);
	buf_init(&b, 100);
	assert_int_equal(
	    endpoint_value(ep, &w->request, &w->query, COMPLEX_PATH, &b, &set),
	    ERR_CONFIG);
	buf_release(&b);
}

/* First expanded, then decoded, once. */
static void
test_decoding(void **state)
{
	struct world *w = *state;

	request(w, "push_stream_channels_path", "a%2Fb%252F", NULL);
	assert_value(w, COMPLEX_PATH, "a/b%2F");
	endpoints_flush(&w->endpoints);
	global(w, "push_stream_channels_path", "%41$arg_id");
	request(w, "QUERY_STRING", "id=%2F%2541", NULL);
	assert_value(w, COMPLEX_PATH, "A/%41");
}

/* Same literal settings, same endpoint: values with variables and what the
 * client sends make no difference. */
static void
test_interning(void **state)
{
	struct world *w = *state;
	struct endpoint *a, *b;

	request(w, "DOCUMENT_URI", "/x", "push_stream_header_template", "H",
	    "push_stream_channels_path", "a", "QUERY_STRING", "1", NULL);
	a = resolve(w);
	request(w, "DOCUMENT_URI", "/y", "push_stream_header_template", "H",
	    "push_stream_channels_path", "b", "HTTP_X", "2", NULL);
	assert_ptr_equal(resolve(w), a);
	request(w, "push_stream_header_template", "h", NULL);
	b = resolve(w);
	assert_ptr_not_equal(b, a);
	/* The end of one value is not the beginning of the next. */
	request(w, "push_stream_header_template", "Hpush_stream_", NULL);
	assert_ptr_not_equal(resolve(w), a);
	/* A block is another place, even an empty one. */
	(void)location(w, "/y");
	request(
	    w, "DOCUMENT_URI", "/y", "push_stream_header_template", "H", NULL);
	assert_ptr_not_equal(resolve(w), a);
}

/* A front that puts a client's bytes into a literal setting: served, but not
 * kept. */
static void
test_interning_is_bounded(void **state)
{
	struct world *w = *state;
	struct endpoint *ep;
	char text[32];

	for (int i = 0; i < 3000; i++) {
		(void)snprintf(text, sizeof(text), "client %d", i);
		request(w, "push_stream_footer_template", text, NULL);
		assert_int_equal(try_resolve(w, &ep), 0);
		assert_string_equal(ep->settings.footer_template, text);
		endpoint_unref(&ep);
	}
	assert_true(w->endpoints.map.count <= 1024);
	request(w, "push_stream_footer_template", "client 0", NULL);
	assert_string_equal(resolve(w)->settings.footer_template, "client 0");
}

/* More of them than are kept, all in use: up to a bound of bytes each has its
 * own, then a request is refused; and who goes makes room. */
static void
test_private_are_bounded(void **state)
{
	enum {
		MANY = 1026
	};
	struct world *w = *state;
	struct endpoint *all[MANY], *more;
	char text[32];
	int n;

	for (n = 0; n < 1024; n++) {
		(void)snprintf(text, sizeof(text), "client %d", n);
		request(w, "push_stream_footer_template", text, NULL);
		assert_int_equal(try_resolve(w, &all[n]), 0);
	}
	assert_int_equal(w->limits.hits[LIMIT_endpoints], 0);
	assert_int_equal(w->endpoints.private.used, 0);
	request(w, "push_stream_footer_template", "private", NULL);
	assert_int_equal(try_resolve(w, &all[n++]), 0);
	assert_int_equal(w->limits.hits[LIMIT_endpoints], 1);
	assert_true(w->endpoints.private.used > 0);
	w->endpoints.private.max = 2 * w->endpoints.private.used;
	assert_int_equal(try_resolve(w, &all[n++]), 0);
	assert_int_equal(w->limits.hits[LIMIT_private_endpoints], 0);
	assert_int_equal(try_resolve(w, &more), ERR_CROWDED);
	assert_int_equal(w->limits.hits[LIMIT_private_endpoints], 1);
	/* What is kept is found all the same. */
	request(w, "push_stream_footer_template", "client 7", NULL);
	assert_ptr_equal(resolve(w), all[7]);
	request(w, "push_stream_footer_template", "private", NULL);
	endpoint_unref(&all[--n]);
	assert_int_equal(try_resolve(w, &all[n++]), 0);
	while (n > 0)
		endpoint_unref(&all[--n]);
	assert_int_equal(w->endpoints.private.used, 0);
}

/* A reload: who waits keeps its settings, who comes gets the new ones. */
static void
test_reload(void **state)
{
	struct world *w = *state;
	struct endpoint *old, *new;

	request(w, NULL);
	assert_int_equal(try_resolve(w, &old), 0);
	global(w, "push_stream_header_template", "new");
	endpoints_flush(&w->endpoints);
	assert_int_equal(try_resolve(w, &new), 0);
	assert_ptr_not_equal(old, new);
	assert_string_equal(old->settings.header_template, "");
	assert_string_equal(new->settings.header_template, "new");
	endpoint_unref(&old);
	endpoint_unref(&new);
}

static void
test_wrong_parameters(void **state)
{
	struct world *w = *state;
	struct endpoint *ep;

	request(w, "push_stream_nonsense", "1", NULL);
	assert_int_equal(try_resolve(w, &ep), ERR_CONFIG);
	assert_non_null(strstr(w->why, "push_stream_nonsense"));
	request(w, "push_stream_store_messages", "maybe", NULL);
	assert_int_equal(try_resolve(w, &ep), ERR_CONFIG);
	assert_non_null(strstr(w->why, "push_stream_store_messages"));
	request(w, "push_stream_wildcard_channel_max_qtd", "2", NULL);
	assert_int_equal(try_resolve(w, &ep), ERR_CONFIG);
	request(w, "push_stream_header_template_file", "/etc/hostname", NULL);
	assert_int_equal(try_resolve(w, &ep), ERR_CONFIG);
	/* A store-wide name is left out, and said. */
	request(w, "push_stream_message_ttl", "5", NULL);
	assert_int_equal(try_resolve(w, &ep), 0);
	assert_int_equal(ep->settings.message_ttl_s, 86400);
	assert_non_null(strstr(w->ignored, "push_stream_message_ttl"));
	endpoint_unref(&ep);
	/* A client's header is no parameter. */
	request(w, "HTTP_PUSH_STREAM_STORE_MESSAGES", "on", NULL);
	assert_false(resolve(w)->settings.store_messages);
	assert_string_equal(w->ignored, "");
}

/* Where nothing names an endpoint, the built-in layout answers. */
static void
test_builtin(void **state)
{
	struct world *w = *state;
	struct endpoint *ep;

	request(w, "DOCUMENT_URI", "/bitrix/sub", "QUERY_STRING",
	    "CHANNEL_ID=a/b.b3&tag=5&time=", NULL);
	ep = resolve(w);
	assert_non_null(ep->builtin);
	assert_int_equal(ep->settings.role, ROLE_SUBSCRIBER);
	assert_int_equal(ep->settings.mode, MODE_LONG_POLLING);
	assert_int_equal(ep->settings.compat, COMPAT_0_4_0);
	assert_int_equal(ep->settings.longpolling_connection_ttl_ms, 40000);
	assert_true(ep->settings.authorized_channels_only);
	assert_int_equal(ep->max_id_len, 32);
	assert_value(w, COMPLEX_PATH, "a/b.b3");
	assert_value(w, COMPLEX_TAG, "5");
	assert_value(w, COMPLEX_TIME, NULL);
	assert_value(w, COMPLEX_ORIGIN, "*");
	/* Caddy sends all three. */
	request(w, "DOCUMENT_URI", "", "SCRIPT_NAME", "", "PATH_INFO",
	    "/bitrix/pub/", NULL);
	ep = resolve(w);
	assert_int_equal(ep->settings.role, ROLE_PUBLISHER);
	request(w, "DOCUMENT_URI", "/bitrix/pub/", NULL);
	ep = resolve(w);
	assert_int_equal(ep->settings.role, ROLE_PUBLISHER);
	assert_true(ep->settings.admin);
	assert_true(ep->settings.store_messages);
	request(w, "DOCUMENT_URI", "/elsewhere", NULL);
	ep = resolve(w);
	assert_int_equal(ep->settings.role, ROLE_NONE);
	assert_int_equal(ep->max_id_len, 1024);
}

/* A location of nginx becomes one of a queue server. */
static void
test_bitrix_route(void **state)
{
	struct world *w = *state;
	struct endpoint *ep, *other;

	request(w, "bitrix_route", "sub", "bitrix_version", "3", "DOCUMENT_URI",
	    "/bitrix/sub/", NULL);
	ep = resolve(w);
	assert_null(ep->builtin);
	assert_int_equal(ep->settings.role, ROLE_BITRIX);
	assert_int_equal(ep->settings.bitrix_route, ROUTE_SUB);
	assert_int_equal(ep->settings.bitrix_version, 3);
	request(w, "bitrix_route", "sub", "DOCUMENT_URI", "/bitrix/sub/", NULL);
	other = resolve(w);
	assert_ptr_not_equal(other, ep);
	assert_int_equal(other->settings.bitrix_version, 4);
	/* A location block names it as well, and a parameter wins. */
	endpoints_flush(&w->endpoints);
	block(w, location(w, "/bitrix/"), "bitrix_route", "pub");
	request(w, "DOCUMENT_URI", "/bitrix/pub/", NULL);
	ep = resolve(w);
	assert_null(ep->builtin);
	assert_int_equal(ep->settings.bitrix_route, ROUTE_PUB);
	request(
	    w, "DOCUMENT_URI", "/bitrix/rest/", "bitrix_route", "rest", NULL);
	assert_int_equal(resolve(w)->settings.bitrix_route, ROUTE_REST);
	request(w, "bitrix_route", "anything", NULL);
	assert_int_equal(try_resolve(w, &ep), ERR_CONFIG);
	assert_non_null(strstr(w->why, "bitrix_route"));
	/* A key that a front sends is no setting, and not repeated. */
	request(w, "signature_key", "SECRET", "bitrix_route", "sub", NULL);
	ep = resolve(w);
	assert_string_equal(w->why, "");
	assert_string_equal(w->ignored, "");
}

/* Literal settings stand above the built-in ones; a role puts them away. */
static void
test_builtin_gives_way(void **state)
{
	struct world *w = *state;
	struct endpoint *ep;

	request(w, "DOCUMENT_URI", "/bitrix/sub", "push_stream_content_type",
	    "text/x", NULL);
	ep = resolve(w);
	assert_non_null(ep->builtin);
	assert_string_equal(ep->settings.content_type, "text/x");
	request(w, "DOCUMENT_URI", "/bitrix/sub", "push_stream_subscriber",
	    "polling", NULL);
	ep = resolve(w);
	assert_null(ep->builtin);
	assert_int_equal(ep->settings.compat, COMPAT_0_6_0);
	assert_value(w, COMPLEX_PATH, NULL);
	block(w, location(w, "/bitrix/pub/"), "push_stream_publisher", "");
	request(w, "DOCUMENT_URI", "/bitrix/pub/", NULL);
	ep = resolve(w);
	assert_null(ep->builtin);
	assert_false(ep->settings.admin);
	endpoints_flush(&w->endpoints);
	global(w, "push_stream_subscriber", "long-polling");
	request(w, "DOCUMENT_URI", "/bitrix/sub", NULL);
	assert_null(resolve(w)->builtin);
}

/* Apache and lighttpd tell the URI in two parts; nginx's own name wins. */
static void
test_uri(void **state)
{
	struct world *w = *state;

	request(w, "SCRIPT_NAME", "/bitrix", "PATH_INFO", "/pub/", NULL);
	assert_int_equal(resolve(w)->settings.role, ROLE_PUBLISHER);
	request(w, "SCRIPT_NAME", "/bitrix/sub", NULL);
	assert_int_equal(resolve(w)->settings.role, ROLE_SUBSCRIBER);
	request(w, "SCRIPT_NAME", "/bitrix/pub/", "DOCUMENT_URI", "/x", NULL);
	assert_int_equal(resolve(w)->settings.role, ROLE_NONE);
	request(w, NULL);
	assert_int_equal(resolve(w)->settings.role, ROLE_NONE);
	assert_int_equal(w->query.uri.len, 0);
}

/* The first of two equal names: a front puts its own before the client's. */
static void
test_query(void **state)
{
	struct world *w = *state;

	request(w, "REQUEST_METHOD", "POST", "REMOTE_ADDR", "10.0.0.1",
	    "REMOTE_ADDR", "127.0.0.1", "HTTP_IF_NONE_MATCH", "W/3",
	    "HTTP_EVENT_ID", "", NULL);
	(void)resolve(w);
	assert_true(slice_is(w->query.method, "POST"));
	assert_true(slice_is(w->query.remote_addr, "10.0.0.1"));
	assert_true(slice_is(w->query.if_none_match, "W/3"));
	assert_non_null(w->query.event_id.ptr);
	assert_int_equal(w->query.event_id.len, 0);
	assert_null(w->query.event_type.ptr);
}

static const struct {
	const char *name;
	size_t at; /* in struct query */
} variables[] = {
	{ "REQUEST_METHOD", offsetof(struct query, method) },
	{ "DOCUMENT_URI", offsetof(struct query, uri) },
	{ "QUERY_STRING", offsetof(struct query, args) },
	{ "REMOTE_ADDR", offsetof(struct query, remote_addr) },
	{ "HTTP_ACCEPT", offsetof(struct query, accept) },
	{ "HTTP_IF_MODIFIED_SINCE", offsetof(struct query, if_modified_since) },
	{ "HTTP_IF_NONE_MATCH", offsetof(struct query, if_none_match) },
	{ "HTTP_LAST_EVENT_ID", offsetof(struct query, last_event_id) },
	{ "HTTP_X_NGINX_PUSHSTREAM_MODE", offsetof(struct query, mode) },
	{ "HTTP_USER_AGENT", offsetof(struct query, user_agent) },
	{ "HTTP_UPGRADE", offsetof(struct query, upgrade) },
	{ "HTTP_CONNECTION", offsetof(struct query, connection) },
	{ "HTTP_SEC_WEBSOCKET_KEY", offsetof(struct query, ws_key) },
	{ "HTTP_SEC_WEBSOCKET_VERSION", offsetof(struct query, ws_version) },
	{ "HTTP_EVENT_ID", offsetof(struct query, event_id) },
	{ "HTTP_EVENT_TYPE", offsetof(struct query, event_type) },
	{ "HTTP_HOST", offsetof(struct query, host) },
	{ "HTTP_X_HOSTID", offsetof(struct query, host_id) },
	{ "HTTP_MESSAGE_EXPIRY", offsetof(struct query, message_expiry) },
};

static struct slice
variable(const struct world *w, size_t i)
{
	struct slice value;

	memcpy(
	    &value, (const char *)&w->query + variables[i].at, sizeof(value));
	return value;
}

/* Each variable has its place, and of its value nothing goes elsewhere. */
static void
test_variables(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < COUNT_OF(variables); i++) {
		request(w, variables[i].name, "value", variables[i].name,
		    "again", "push_stream_subscriber", "polling", NULL);
		(void)resolve(w);
		for (size_t j = 0; j < COUNT_OF(variables); j++) {
			if (j == i)
				assert_true(slice_is(variable(w, j), "value"));
			else
				assert_int_equal(variable(w, j).len, 0);
		}
	}
}

/* A name that differs in one byte, wherever, or in its length is another. */
static void
test_other_variables(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < COUNT_OF(variables); i++) {
		size_t len = strlen(variables[i].name);

		for (size_t at = 0; at <= len; at++) {
			char name[64] = "";

			memcpy(name, variables[i].name, len);
			name[at] = at == len ? 'X' : (char)(name[at] ^ 0x20);
			request(w, name, "value", "push_stream_subscriber",
			    "polling", NULL);
			(void)resolve(w);
			assert_null(variable(w, i).ptr);
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_precedence),
		TEST(test_precedence_of_complex_values),
		TEST(test_empty_values),
		TEST(test_if_not_empty),
		TEST(test_expand),
		TEST(test_expand_unknown_variable),
		TEST(test_decoding),
		TEST(test_interning),
		TEST(test_interning_is_bounded),
		TEST(test_private_are_bounded),
		TEST(test_reload),
		TEST(test_wrong_parameters),
		TEST(test_builtin),
		TEST(test_bitrix_route),
		TEST(test_builtin_gives_way),
		TEST(test_uri),
		TEST(test_query),
		TEST(test_variables),
		TEST(test_other_variables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
