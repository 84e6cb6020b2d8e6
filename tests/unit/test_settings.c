/*
 * tests/unit/test_settings.c - a setting read differently from nginx breaks a
 * site on the day it migrates; one that is swallowed in silence breaks it
 * later.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/settings.h"
#include "base/units.h"

static struct settings s;
static char why[SETTINGS_WHY_SIZE];

static int
setup(void **state)
{
	(void)state;
	return settings_init(&s);
}

static int
teardown(void **state)
{
	(void)state;
	settings_release(&s);
	return 0;
}

static int
set_from(const char *name, const char *value, enum settings_source from)
{
	return settings_set(&s, (struct slice){ name, strlen(name) },
	    (struct slice){ value, strlen(value) }, from, why);
}

static int
set(const char *name, const char *value)
{
	return set_from(name, value, SETTINGS_GLOBAL);
}

static uint64_t
time_of(const char *text)
{
	uint64_t ms;

	return parse_time_ms((struct slice){ text, strlen(text) }, &ms)
	    ? ms
	    : UINT64_MAX;
}

static uint64_t
size_of(const char *text)
{
	uint64_t bytes;

	return parse_size((struct slice){ text, strlen(text) }, &bytes)
	    ? bytes
	    : UINT64_MAX;
}

static void
test_times(void **state)
{
	static const char *const wrong[] = {
		"",
		" ",
		"s",
		"-1",
		"+1",
		"1x",
		"1 x",
		"1.5s",
		"0x10",
		"40ss",
		"99999999999999999999",
		"9223372036854775807y",
		"m1",
		"1,",
	};

	(void)state;
	assert_int_equal(time_of("40"), 40000);
	assert_int_equal(time_of("40s"), 40000);
	assert_int_equal(time_of("500ms"), 500);
	assert_int_equal(time_of("5m"), 300000);
	assert_int_equal(time_of("1h 30m"), 5400000);
	assert_int_equal(time_of("1h30m"), 5400000);
	assert_int_equal(time_of("2d"), 172800000);
	assert_int_equal(time_of("1w"), 604800000);
	assert_int_equal(time_of("1M"), UINT64_C(2592000000));
	assert_int_equal(time_of("1y"), UINT64_C(31536000000));
	assert_int_equal(time_of("0"), 0);
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		if (time_of(wrong[i]) != UINT64_MAX)
			fail_msg("taken for a time: \"%s\"", wrong[i]);
	}
}

static void
test_sizes(void **state)
{
	static const char *const wrong[] = {
		"",
		"k",
		"1x",
		"1kk",
		"1 k",
		"-1",
		"1.5m",
		"99999999999999999999",
		"9223372036854775807k",
	};

	(void)state;
	assert_int_equal(size_of("0"), 0);
	assert_int_equal(size_of("65536"), 65536);
	assert_int_equal(size_of("128k"), 131072);
	assert_int_equal(size_of("32M"), 33554432);
	assert_int_equal(size_of("2g"), UINT64_C(2147483648));
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		if (size_of(wrong[i]) != UINT64_MAX)
			fail_msg("taken for a size: \"%s\"", wrong[i]);
	}
}

static void
test_flags(void **state)
{
	bool on = false;

	(void)state;
	assert_true(parse_flag((struct slice){ "on", 2 }, &on) && on);
	assert_true(parse_flag((struct slice){ "OFF", 3 }, &on) && !on);
	assert_true(parse_flag((struct slice){ "On", 2 }, &on) && on);
	assert_false(parse_flag((struct slice){ "", 0 }, &on));
	assert_false(parse_flag((struct slice){ "1", 1 }, &on));
	assert_false(parse_flag((struct slice){ "onn", 3 }, &on));
	assert_true(on);
}

/* The documented defaults. */
static void
test_defaults(void **state)
{
	(void)state;
	assert_int_equal(s.role, ROLE_NONE);
	assert_int_equal(s.compat, COMPAT_0_6_0);
	assert_false(s.store_messages);
	assert_true(s.channel_info_on_publish);
	assert_string_equal(s.message_template, "~text~");
	assert_string_equal(s.content_type, "text/plain");
	assert_string_equal(s.channel_deleted_message_text, "Channel deleted");
	assert_null(s.ping_message_text); /* the version decides */
	assert_null(s.allowed_origins);
	assert_null(s.channels_path);
	assert_null(s.last_time);
	assert_null(s.last_tag);
	assert_int_equal(s.message_ttl_s, 86400);
	assert_int_equal(s.channel_inactivity_ms, 30000);
	assert_int_equal(s.max_messages_stored, 1000);
	assert_int_equal(s.max_number_of_channels, 200000);
	assert_int_equal(s.max_subscribers_per_channel, 0);
	assert_int_equal(s.longpolling_connection_ttl_ms, 0);
}

static void
test_roles(void **state)
{
	(void)state;
	assert_int_equal(set("push_stream_publisher", ""), 0);
	assert_int_equal(s.role, ROLE_PUBLISHER);
	assert_false(s.admin);
	assert_int_equal(set("push_stream_publisher", "ADMIN"), 0);
	assert_true(s.admin);
	assert_int_equal(set("push_stream_publisher", "normal"), 0);
	assert_false(s.admin);
	assert_int_equal(set("push_stream_publisher", "root"), ERR_CONFIG);
	assert_string_equal(why,
	    "invalid push_stream_publisher mode value: "
	    "root, accepted values (normal, admin)");
	assert_int_equal(set("push_stream_subscriber", ""), 0);
	assert_int_equal(s.role, ROLE_SUBSCRIBER);
	assert_int_equal(s.mode, MODE_STREAMING);
	assert_int_equal(set("push_stream_subscriber", "Long-Polling"), 0);
	assert_int_equal(s.mode, MODE_LONG_POLLING);
	assert_int_equal(set("push_stream_subscriber", "long"), ERR_CONFIG);
	assert_non_null(strstr(
	    why, "(streaming, polling, long-polling, eventsource, websocket)"));
	assert_int_equal(set("push_stream_websocket", ""), 0);
	assert_int_equal(s.mode, MODE_WEBSOCKET);
	assert_int_equal(set("push_stream_channels_statistics", ""), 0);
	assert_int_equal(s.role, ROLE_STATISTICS);
	assert_int_equal(set("push_stream_websocket", "off"), ERR_CONFIG);
	assert_int_equal(
	    set("push_stream_channels_statistics", "off"), ERR_CONFIG);
	assert_int_equal(s.role, ROLE_STATISTICS);
	assert_int_equal(set("push_stream_compat", "0.4.0"), 0);
	assert_int_equal(s.compat, COMPAT_0_4_0);
	assert_int_equal(set("push_stream_compat", "0.5.0"), ERR_CONFIG);
}

/* A queue server's location; versions 1 and 2 are the module's. */
static void
test_bitrix(void **state)
{
	static const struct {
		const char *name;
		enum bitrix_route route;
	} routes[] = {
		{ "pub", ROUTE_PUB },
		{ "sub", ROUTE_SUB },
		{ "rest", ROUTE_REST },
		{ "api", ROUTE_API },
		{ "stat", ROUTE_STAT },
	};
	static const char *const wrong[][2] = {
		{ "bitrix_route", "" },
		{ "bitrix_route", "Pub" },
		{ "bitrix_route", "subws" },
		{ "bitrix_version", "" },
		{ "bitrix_version", "1" },
		{ "bitrix_version", "2" },
		{ "bitrix_version", "6" },
		{ "bitrix_version", "4.0" },
		{ "bitrix_version", "04" },
		{ "bitrix_frame_delay", "0" },
		{ "bitrix_frame_delay", "soon" },
		{ "bitrix_max_connections_per_channel", "0" },
		{ "bitrix_max_connections_per_channel", "-1" },
	};

	(void)state;
	assert_int_equal(s.bitrix_version, 4);
	assert_int_equal(s.bitrix_frame_delay_ms, 0);
	assert_int_equal(s.bitrix_max_connections, 100);
	for (size_t i = 0; i < COUNT_OF(routes); i++) {
		assert_int_equal(set_from("bitrix_route", routes[i].name,
				     SETTINGS_PARAMETER),
		    0);
		assert_int_equal(s.role, ROLE_BITRIX);
		assert_int_equal(s.bitrix_route, routes[i].route);
	}
	assert_int_equal(set("bitrix_version", "3"), 0);
	assert_int_equal(s.bitrix_version, 3);
	assert_int_equal(set_from("bitrix_version", "5", SETTINGS_LOCATION), 0);
	assert_int_equal(set("bitrix_frame_delay", "400ms"), 0);
	assert_int_equal(s.bitrix_frame_delay_ms, 400);
	assert_int_equal(set("bitrix_max_connections_per_channel", "7"), 0);
	assert_int_equal(s.bitrix_max_connections, 7);
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		if (set(wrong[i][0], wrong[i][1]) != ERR_CONFIG)
			fail_msg("taken: %s %s", wrong[i][0], wrong[i][1]);
	}
	/* What was wrong has changed nothing. */
	assert_int_equal(s.bitrix_route, ROUTE_STAT);
	assert_int_equal(s.bitrix_version, 5);
	/* Keys are no settings, wherever they come from. */
	assert_int_equal(
	    set_from("signature_key", "x", SETTINGS_PARAMETER), ERR_NOTFOUND);
	assert_int_equal(
	    set_from("bitrix_host_id", "x", SETTINGS_PARAMETER), ERR_NOTFOUND);
}

/* Names of 0.3.x lead to the fields of their successors. */
static void
test_old_names(void **state)
{
	(void)state;
	assert_int_equal(set("push_stream_channel_id", "$arg_id"), 0);
	assert_string_equal(s.channels_path, "$arg_id");
	assert_int_equal(set("push_stream_broadcast_channel_prefix", "br_"), 0);
	assert_string_equal(s.wildcard_channel_prefix, "br_");
	assert_int_equal(set("push_stream_broadcast_channel_max_qtd", "3"), 0);
	assert_int_equal(s.wildcard_channel_max_qtd, 3);
	assert_int_equal(
	    set("push_stream_max_number_of_broadcast_channels", "4"), 0);
	assert_int_equal(s.max_number_of_wildcard_channels, 4);
	assert_int_equal(
	    set("push_stream_shared_memory_size", "32M"), SETTINGS_IGNORED);
	assert_int_equal(set("push_stream_keepalive", "on"), SETTINGS_IGNORED);
}

static void
test_zero_and_blank(void **state)
{
	static const char *const never_zero[] = {
		"push_stream_ping_message_interval",
		"push_stream_subscriber_connection_ttl",
		"push_stream_longpolling_connection_ttl",
		"push_stream_max_number_of_channels",
		"push_stream_max_number_of_wildcard_channels",
		"push_stream_message_ttl",
		"push_stream_max_subscribers_per_channel",
		"push_stream_max_messages_stored_per_channel",
		"push_stream_max_channel_id_length",
		"push_stream_wildcard_channel_max_qtd",
	};
	char want[128];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(never_zero); i++) {
		assert_int_equal(set(never_zero[i], "0"), ERR_CONFIG);
		(void)snprintf(
		    want, sizeof(want), "%s cannot be zero.", never_zero[i]);
		assert_string_equal(why, want);
	}
	assert_int_equal(set("push_stream_message_template", ""), ERR_CONFIG);
	assert_string_equal(
	    why, "push_stream_message_template cannot be blank.");
	assert_int_equal(set("push_stream_header_template", ""), 0);
	assert_string_equal(s.header_template, "");
	/* Set to empty is not the same as not set. */
	assert_int_equal(set("push_stream_last_received_message_time", ""), 0);
	assert_string_equal(s.last_time, "");
}

static void
test_wrong_values(void **state)
{
	(void)state;
	assert_int_equal(set("push_stream_nonsense", "1"), ERR_NOTFOUND);
	assert_int_equal(set("push_stream_", "1"), ERR_NOTFOUND);
	assert_int_equal(set("push_stream_store_message", "on"), ERR_NOTFOUND);
	assert_int_equal(set("push_stream_store_messages", "yes"), ERR_CONFIG);
	assert_int_equal(
	    set("push_stream_max_number_of_channels", "-1"), ERR_CONFIG);
	assert_int_equal(
	    set("push_stream_max_number_of_channels", "4294967296"),
	    ERR_CONFIG);
	assert_int_equal(
	    set("push_stream_max_number_of_channels", "4294967295"), 0);
	assert_int_equal(set("push_stream_message_ttl", "soon"), ERR_CONFIG);
	assert_int_equal(
	    set("push_stream_content_type", "a\r\nX: y"), ERR_CONFIG);
	assert_int_equal(
	    settings_set(&s,
		(struct slice){ "push_stream_header_template", 27 },
		(struct slice){ "a\0b", 3 }, SETTINGS_GLOBAL, why),
	    ERR_CONFIG);
	/* What was wrong has changed nothing. */
	assert_false(s.store_messages);
	assert_string_equal(s.content_type, "text/plain");
	assert_string_equal(s.header_template, "");
	assert_int_equal(s.message_ttl_s, 86400);
}

/* Who may set what: a front sets no limits and reads no files. */
static void
test_places(void **state)
{
	(void)state;
	assert_int_equal(
	    set_from("push_stream_message_ttl", "5", SETTINGS_PARAMETER),
	    SETTINGS_IGNORED);
	assert_non_null(strstr(why, "holdfast.conf"));
	assert_int_equal(s.message_ttl_s, 86400);
	/* Not even looked at. */
	assert_int_equal(
	    set_from("push_stream_message_ttl", "soon", SETTINGS_PARAMETER),
	    SETTINGS_IGNORED);
	assert_int_equal(
	    set_from("push_stream_message_ttl", "5", SETTINGS_LOCATION),
	    ERR_CONFIG);
	assert_int_equal(
	    set_from("push_stream_message_ttl", "5", SETTINGS_GLOBAL), 0);
	assert_int_equal(s.message_ttl_s, 5);
	assert_int_equal(set_from("push_stream_header_template_file",
			     "/etc/hostname", SETTINGS_PARAMETER),
	    ERR_CONFIG);
	assert_string_equal(s.header_template, "");
	assert_int_equal(
	    set_from("push_stream_store_messages", "on", SETTINGS_PARAMETER),
	    0);
	assert_true(s.store_messages);
}

static void
test_header_file(void **state)
{
	char path[] = "/tmp/test_settings.XXXXXX", value[256];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "line\r\n", 6), 6);
	assert_int_equal(set("push_stream_header_template_file", path), 0);
	assert_string_equal(s.header_template, "line\r\n");
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(
	    set("push_stream_header_template_file", path), ERR_CONFIG);
	(void)snprintf(value, sizeof(value),
	    "unable to open file \"%s\" for "
	    "header template",
	    path);
	assert_memory_equal(why, value, strlen(value));
	assert_string_equal(s.header_template, "line\r\n");
}

/* Whatever is named: it is refused, and what was set before stays. */
static void
test_wrong_header_file(void **state)
{
	static char path[5000], large[65537];
	char name[] = "/tmp/test_settings.XXXXXX";
	int fd = mkstemp(name);

	(void)state;
	assert_true(fd >= 0);
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	assert_int_equal(
	    set("push_stream_header_template_file", path), ERR_CONFIG);
	assert_string_equal(why, "the path is too long");
	assert_int_equal(
	    set("push_stream_header_template_file", "/tmp"), ERR_CONFIG);
	assert_string_equal(why, "unable to read file \"/tmp\"");
	memset(large, 'x', sizeof(large));
	assert_int_equal(write(fd, large, sizeof(large) - 1), 65536);
	assert_int_equal(set("push_stream_header_template_file", name), 0);
	assert_int_equal(write(fd, "y", 1), 1);
	assert_int_equal(
	    set("push_stream_header_template_file", name), ERR_CONFIG);
	assert_non_null(strstr(why, "is larger than 65536 bytes"));
	assert_int_equal(strlen(s.header_template), 65536);
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(name), 0);
}

static void
test_check(void **state)
{
	(void)state;
	assert_int_equal(settings_check(&s, why), 0);
	assert_int_equal(set("push_stream_wildcard_channel_max_qtd", "5"), 0);
	assert_int_equal(settings_check(&s, why), ERR_CONFIG);
	assert_string_equal(why,
	    "cannot set wildcard channel max qtd if "
	    "push_stream_wildcard_channel_prefix is not set or blank.");
	assert_int_equal(set("push_stream_wildcard_channel_prefix", "w"), 0);
	assert_int_equal(settings_check(&s, why), 0);
	assert_int_equal(
	    set("push_stream_max_number_of_wildcard_channels", "4"), 0);
	assert_int_equal(settings_check(&s, why), ERR_CONFIG);
	assert_int_equal(
	    set("push_stream_max_number_of_wildcard_channels", "5"), 0);
	assert_int_equal(settings_check(&s, why), 0);
	assert_int_equal(set("push_stream_max_channel_id_length", "65535"), 0);
	assert_int_equal(settings_check(&s, why), 0);
	assert_int_equal(set("push_stream_max_channel_id_length", "65536"), 0);
	assert_int_equal(settings_check(&s, why), ERR_CONFIG);
}

/* Every row of the table is told apart from every other by its name. */
static void
test_table(void **state)
{
	size_t n = 0;

	(void)state;
	for (const char *name; (name = settings_name(n)) != NULL; n++) {
		assert_true(strncmp(name, "push_stream_", 12) == 0 ||
		    strncmp(name, "bitrix_", 7) == 0);
		for (size_t i = 0; i < n; i++)
			assert_string_not_equal(name, settings_name(i));
	}
	assert_true(n > 40);
	assert_true(
	    settings_names_role((struct slice){ "push_stream_websocket", 21 }));
	assert_true(settings_names_role(SLICE("bitrix_route")));
	assert_false(settings_names_role(SLICE("bitrix_version")));
	assert_false(
	    settings_names_role((struct slice){ "push_stream_compat", 18 }));
	assert_true(settings_is_complex(
	    (struct slice){ "push_stream_channel_id", 22 }));
	assert_false(settings_is_complex(
	    (struct slice){ "push_stream_content_type", 24 }));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_flags),
		cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_roles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bitrix, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_old_names, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_zero_and_blank, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_wrong_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_places, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_header_file, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_wrong_header_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_check, setup, teardown),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
