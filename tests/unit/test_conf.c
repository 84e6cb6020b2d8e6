/*
 * tests/unit/test_conf.c - a wrong holdfast.conf is refused with the line that
 * is wrong, and what -T writes is a file that says the same.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

/* The daemon's files are in no library. */
#include "daemon/conf.c"

static char folder[] = "/tmp/test_conf.XXXXXX";
static char conf_path[64], log_path[64], dump_path[64];

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	(void)snprintf(conf_path, sizeof(conf_path), "%s/c", folder);
	(void)snprintf(log_path, sizeof(log_path), "%s/log", folder);
	(void)snprintf(dump_path, sizeof(dump_path), "%s/dump", folder);
	return log_open(log_path);
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlink(conf_path);
	(void)unlink(log_path);
	(void)unlink(dump_path);
	return rmdir(folder);
}

static void
file_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static const char *
file_read(const char *path)
{
	static char text[65536];
	FILE *f = fopen(path, "re");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	assert_int_equal(fclose(f), 0);
	text[n] = '\0';
	return text;
}

static struct conf *
read_ok(const char *text)
{
	struct conf *c = NULL;

	file_write(conf_path, text);
	assert_int_equal(truncate(log_path, 0), 0);
	if (conf_read(conf_path, &c) != 0)
		fail_msg("refused: %s\n%s", text, file_read(log_path));
	return c;
}

/* It is refused, and the log has this text: "LINE: ..." after its name. */
static void
assert_refused(const char *text, const char *complaint)
{
	char want[512];
	struct conf *c = NULL;

	file_write(conf_path, text);
	assert_int_equal(truncate(log_path, 0), 0);
	assert_int_equal(conf_read(conf_path, &c), ERR_CONFIG);
	assert_null(c);
	(void)snprintf(want, sizeof(want), "%s:%s", conf_path, complaint);
	if (strstr(file_read(log_path), want) == NULL)
		fail_msg(
		    "\"%s\" is not in the log: %s", want, file_read(log_path));
}

static void
test_defaults(void **state)
{
	struct conf *c = read_ok("# nothing but a comment\n");

	(void)state;
	assert_int_equal(c->fastcgi.n, 1);
	assert_string_equal(
	    c->fastcgi.list[0], "unix:/run/holdfast/fastcgi.sock");
	assert_string_equal(c->scgi.list[0], "unix:/run/holdfast/scgi.sock");
	assert_string_equal(
	    c->control.list[0], "unix:/run/holdfast/control.sock");
	assert_int_equal(c->fronts.n, 2);
	assert_int_equal(c->fronts_cidr.n, 2);
	assert_int_equal(c->layout->publish_from.n, 2);
	assert_string_equal(c->database, "/var/lib/holdfast/holdfast.db");
	assert_int_equal(c->sync, STORE_SYNC_FULL);
	assert_int_equal(c->socket_mode, 0660);
	assert_int_equal(c->client_max_body_size, 1 << 20);
	assert_int_equal(c->request_timeout_ms, 60000);
	assert_int_equal(c->log_level, LOG_NOTICE);
	assert_string_equal(c->log_file, "");
	assert_null(c->layout->locations);
	conf_free(&c);
	assert_null(c);
}

static void
test_values(void **state)
{
	struct conf *c = read_ok(
	    "fastcgi = {\"unix:/a\", \"127.0.0.1:9000\", \"[::1]:9000\"}\n"
	    "scgi = {}\n"
	    "fronts = {\"10.0.0.0/8\"}\n"
	    "publish_from = {}\n"
	    "database = memory\n"
	    "sync = normal\n"
	    "max_database_size = 2g\n"
	    "socket_mode = 0600\n"
	    "request_timeout = \"1m 30s\"\n"
	    "log_level = debug\n"
	    "push_stream_message_ttl = 1h\n"
	    "push_stream_channels_path = \"$arg_id\"\n"
	    "location \"/pub\" {\n"
	    "  push_stream_publisher = admin\n"
	    "}\n"
	    "location \"/sub\" { push_stream_subscriber = polling }\n");

	(void)state;
	assert_int_equal(c->fastcgi.n, 3);
	assert_string_equal(c->fastcgi.list[1], "127.0.0.1:9000");
	assert_int_equal(c->scgi.n, 0);
	assert_int_equal(c->control.n, 1);
	assert_int_equal(c->fronts_cidr.n, 1);
	assert_int_equal(c->layout->publish_from.n, 0);
	assert_string_equal(c->database, "memory");
	assert_int_equal(c->sync, STORE_SYNC_NORMAL);
	assert_int_equal(c->max_database_size, UINT64_C(2) << 30);
	assert_int_equal(c->socket_mode, 0600);
	assert_int_equal(c->request_timeout_ms, 90000);
	assert_int_equal(c->log_level, LOG_DEBUG);
	assert_int_equal(c->layout->settings.message_ttl_s, 3600);
	assert_string_equal(c->layout->settings.channels_path, "$arg_id");
	assert_string_equal(c->layout->locations->prefix, "/pub");
	assert_true(c->layout->locations->rules.names_role);
	assert_string_equal(c->layout->locations->next->prefix, "/sub");
	conf_free(&c);
}

/* Where a comment may stand, and what only looks like one. */
static void
test_comments(void **state)
{
	struct conf *c =
	    read_ok("#\n"
		    "fastcgi = { # why\n  \"unix:/a\", # and why\n"
		    "  \"unix:/b#c\" }#end\n"
		    "database = /var/a#b\n"
		    "push_stream_header_template = \"#!\\\" # no comment\"\n"
		    "push_stream_footer_template = '# \"'\n"
		    "sync = off #");

	(void)state;
	assert_int_equal(c->fastcgi.n, 2);
	assert_string_equal(c->fastcgi.list[1], "unix:/b#c");
	assert_string_equal(
	    c->layout->settings.header_template, "#!\" # no comment");
	assert_string_equal(c->layout->settings.footer_template, "# \"");
	assert_int_equal(c->sync, STORE_SYNC_OFF);
	conf_free(&c);
}

/* What is known from nginx and has no effect here is said, not refused. */
static void
test_accepted_names(void **state)
{
	struct conf *c = read_ok("# one\n"
				 "push_stream_shared_memory_size = 32M\n");

	(void)state;
	assert_non_null(strstr(file_read(log_path),
	    ":2: push_stream_shared_memory_size: it has no effect"));
	conf_free(&c);
}

static void
test_refused(void **state)
{
	static const char *const cases[][2] = {
		{ "sync = full\nnonsense = 1\n", "2: " },
		{ "\n\nsync = fast\n", "3: sync: \"fast\" is none of" },
		/* Comments do not move the lines below them. */
		{ "# one\n# two\nsync = fast # three\n", "3: sync: " },
		{ "sync = full # one\n#\n\t# two\nnonsense = 1\n", "4: " },
		{ "scgi = {# \"\n\"unix:/a\"} # '\nsync = fast\n",
		    "3: sync: " },
		{ "log_level = loud\n", "1: log_level: \"loud\"" },
		{ "socket_mode = 0999\n", "1: socket_mode: \"0999\"" },
		{ "socket_mode = 01777\n", "1: socket_mode: \"01777\"" },
		{ "max_connections = -1\n", "1: max_connections: \"-1\"" },
		{ "max_connections = 4294967296\n", "1: max_connections: " },
		{ "max_database_size = 1t\n", "1: max_database_size: \"1t\"" },
		{ "request_timeout = 0\n", "1: request_timeout: \"0\"" },
		{ "request_timeout = soon\n", "1: request_timeout: \"soon\"" },
		{ "fronts = {\"127.0.0.1\",\n  \"localhost\"}\n",
		    "2: fronts: \"localhost\" is not an address" },
		{ "fastcgi = {\"/run/x\"}\n", "1: fastcgi: \"/run/x\"" },
		{ "fastcgi = {\"unix:x\"}\n", "1: fastcgi: \"unix:x\"" },
		{ "fastcgi = {\":9000\"}\n", "1: fastcgi: \":9000\"" },
		{ "control = {\"127.0.0.1:1\"}\n",
		    "1: control: \"127.0.0.1:1\" is not a unix socket" },
		{ "push_stream_store_messages = perhaps\n",
		    "1: push_stream_store_messages: \"perhaps\"" },
		{ "push_stream_message_ttl = 0\n",
		    "1: push_stream_message_ttl: push_stream_message_ttl "
		    "cannot be zero." },
		{ "push_stream_channels_path = \"$nonsense\"\n",
		    "1: push_stream_channels_path: " },
		{ "location \"/x\" {\n\tpush_stream_message_ttl = 5\n}\n",
		    "2: push_stream_message_ttl: it is store-wide" },
		{ "location \"/x\" {\n\tsync = full\n}\n", "2: " },
		{ "location \"/x\" {\n\tpush_stream_subscriber = x\n}\n",
		    "2: push_stream_subscriber: invalid" },
		{ "location \"x\" {\n}\n", "" },
		{ "location \"/x\" {}\n\nlocation \"/x\" {}\n", "3: " },
		{ "sync = \"full\n", "" },
		{ "sync full\n", "1: " },
		{ "location \"/x\" {\nsync\n", "" },
		{ "replay_messages = 0\n", " replay_messages" },
		{ "max_params_size = 1k\n", " replay_messages" },
		{ "push_stream_wildcard_channel_max_qtd = 3\n",
		    " cannot set wildcard channel max qtd" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_refused(cases[i][0], cases[i][1]);
}

static void
test_no_file(void **state)
{
	struct conf *c = NULL;

	(void)state;
	(void)unlink(conf_path);
	assert_int_equal(truncate(log_path, 0), 0);
	assert_int_equal(conf_read(conf_path, &c), ERR_CONFIG);
	assert_non_null(strstr(file_read(log_path), conf_path));
	assert_non_null(strstr(file_read(log_path), "No such file"));
}

static void
dump(const struct conf *c)
{
	FILE *f = fopen(dump_path, "we");

	assert_non_null(f);
	conf_dump(c, f);
	assert_int_equal(fclose(f), 0);
}

/* Read the text, dump it, read the dump; the second one is returned. */
static struct conf *
round_trip(const char *text)
{
	struct conf *c = read_ok(text);
	char *first;

	dump(c);
	conf_free(&c);
	first = strdup(file_read(dump_path));
	assert_non_null(first);
	c = read_ok(first);
	dump(c);
	assert_string_equal(file_read(dump_path), first);
	free(first);
	return c;
}

static void
test_dump_of_defaults(void **state)
{
	struct conf *c = round_trip("");

	(void)state;
	assert_non_null(strstr(file_read(dump_path), "sync = full\n"));
	assert_non_null(strstr(
	    file_read(dump_path), "push_stream_message_ttl = \"86400\"\n"));
	conf_free(&c);
}

static void
test_dump_of_everything(void **state)
{
	struct conf *c = round_trip(
	    "fastcgi = {\"unix:/a\", \"[::1]:9000\"}\n"
	    "scgi = {}\n"
	    "database = \"/a \\\"b\\\" \\\\ c\"\n"
	    "socket_mode = 0600\n"
	    "request_timeout = 1500ms\n"
	    "max_database_size = 1g\n"
	    "push_stream_publisher = admin\n"
	    "push_stream_message_template = \"{\\\"id\\\":~id~}\\r\\n\\\\\"\n"
	    "push_stream_header_template = \"a # b ' $ \\${HOME} \\t$$\"\n"
	    "push_stream_channels_path = \"${arg_id}/$arg_b\"\n"
	    "push_stream_channel_inactivity_time = 1500ms\n"
	    "push_stream_broadcast_channel_prefix = w_\n"
	    "push_stream_timeout_with_body = on\n"
	    "location \"/b \\\"q\\\"\" { push_stream_subscriber = polling\n"
	    "  push_stream_last_received_message_time = \"\" }\n"
	    "location \"/a\" { push_stream_compat = \"0.4.0\" }\n"
	    "location \"/c\" { }\n");
	const struct settings *s = &c->layout->settings;

	(void)state;
	assert_string_equal(c->database, "/a \"b\" \\ c");
	assert_int_equal(c->scgi.n, 0);
	assert_int_equal(c->request_timeout_ms, 1500);
	assert_string_equal(s->message_template, "{\"id\":~id~}\r\n\\");
	assert_string_equal(s->header_template, "a # b ' $ ${HOME} \t$$");
	assert_int_equal(s->role, ROLE_PUBLISHER);
	assert_true(s->admin);
	assert_int_equal(s->channel_inactivity_ms, 1500);
	assert_string_equal(s->wildcard_channel_prefix, "w_");
	assert_true(s->timeout_with_body);
	assert_string_equal(c->layout->locations->prefix, "/b \"q\"");
	assert_string_equal(c->layout->locations->next->prefix, "/a");
	conf_free(&c);
}

/* Set to empty is a setting: the dump must not lose it. */
static void
test_dump_of_empty_values(void **state)
{
	struct conf *c =
	    round_trip("push_stream_last_received_message_time = \"\"\n"
		       "push_stream_channel_deleted_message_text = \"\"\n"
		       "push_stream_ping_message_text = \"\"\n");
	const struct settings *s = &c->layout->settings;

	(void)state;
	assert_non_null(s->last_time);
	assert_string_equal(s->last_time, "");
	assert_null(s->last_tag);
	assert_string_equal(s->channel_deleted_message_text, "");
	assert_string_equal(s->ping_message_text, "");
	conf_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_accepted_names),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_dump_of_defaults),
		cmocka_unit_test(test_dump_of_everything),
		cmocka_unit_test(test_dump_of_empty_values),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
