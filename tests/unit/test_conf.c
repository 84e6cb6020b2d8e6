/*
 * tests/unit/test_conf.c - a wrong holdfast.conf is refused with the line that
 * is wrong, and what -T writes is a file that says the same, but for its
 * keys: those are shown to nobody.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* The daemon's files are in no library. */
#include "daemon/conf.c"
#include "daemon/conf_dump.c"
#include "daemon/conf_file.c"
#include "daemon/conf_key.c"
#include "daemon/conf_licence.c"

static char folder[] = "/tmp/test_conf.XXXXXX";
static char conf_path[64], log_path[64], dump_path[64], key_path[64];

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	(void)snprintf(conf_path, sizeof(conf_path), "%s/c", folder);
	(void)snprintf(log_path, sizeof(log_path), "%s/log", folder);
	(void)snprintf(dump_path, sizeof(dump_path), "%s/dump", folder);
	(void)snprintf(key_path, sizeof(key_path), "%s/keys", folder);
	return log_open(log_path);
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlink(conf_path);
	(void)unlink(log_path);
	(void)unlink(dump_path);
	(void)unlink(key_path);
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
	assert_int_equal(c->layout->max_body, 1 << 20);
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

/* Totals that are not set make room for what is; those that are, do not. */
static void
test_totals(void **state)
{
	struct conf *c = read_ok("client_max_body_size = 30m\n"
				 "max_params_size = 1m\n"
				 "subscriber_buffer_size = 1g\n");

	(void)state;
	assert_int_equal(c->max_incoming_size, 256 << 20);
	assert_int_equal(c->max_outgoing_size, 1 << 30);
	conf_free(&c);
	c = read_ok("max_params_size = 200m\n");
	assert_int_equal(c->max_incoming_size, 603 << 20);
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
		{ "max_incoming_size = 4m\nclient_max_body_size = 2m\n",
		    " max_incoming_size cannot be less than three times" },
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

#define CLIENT "0123456789abcdef0123456789abcdef"
#define OTHER "ffffffffffffffffffffffffffffffff"

/* A text with KEYS in it, which becomes the path of the key file. */
static const char *
with_path(const char *text)
{
	static char out[4096];
	const char *at = strstr(text, "KEYS");

	assert_non_null(at);
	(void)snprintf(out, sizeof(out), "%.*s%s%s", (int)(at - text), text,
	    key_path, at + strlen("KEYS"));
	return out;
}

/* Does one of the keyring's keys sign as this one does? */
static bool
has_key(struct keyring *k, const char *algo, const char *key)
{
	const struct slice text = SLICE("text");
	unsigned char mac[KEYRING_MAC_MAX];
	struct keyring *own;
	size_t len;

	assert_int_equal(keyring_new(algo, &own), 0);
	assert_int_equal(
	    keyring_add(own, (struct slice){ key, strlen(key) }), 0);
	len = keyring_sign(own, KEYRING_IDS, &text, 1, mac);
	keyring_free(&own);
	return keyring_verify(
	    k, KEYRING_IDS, &text, 1, (struct slice){ (const char *)mac, len });
}

static void
test_own_keys(void **state)
{
	struct conf *c = read_ok("");
	struct licence *own = &c->layout->licences.personal;

	(void)state;
	assert_true(keyring_empty(own->keys));
	assert_null(own->host_id);
	conf_free(&c);
	c = read_ok("signature_key = {\"the new\", 'old # ${HOME}\\\\'}\n"
		    "bitrix_host_id = h1\n");
	own = &c->layout->licences.personal;
	assert_true(has_key(own->keys, "sha1", "the new"));
	assert_true(has_key(own->keys, "sha1", "old # ${HOME}\\"));
	assert_false(has_key(own->keys, "sha1", "old"));
	assert_string_equal(own->host_id, "h1");
	assert_null(c->layout->licences.shared);
	conf_free(&c);
	/* The algorithm may come last. */
	c = read_ok("signature_key = {}\nsignature_key = {k}\n"
		    "signature_algo = sha256\n");
	own = &c->layout->licences.personal;
	assert_true(has_key(own->keys, "sha256", "k"));
	assert_int_equal(keyring_mac_len(own->keys, KEYRING_IDS), 32);
	conf_free(&c);
}

static void
key_file_write(const char *text, mode_t mode)
{
	(void)unlink(key_path);
	file_write(key_path, text);
	assert_int_equal(chmod(key_path, mode), 0);
}

static void
test_key_file(void **state)
{
	struct keyring *k;
	struct conf *c;

	(void)state;
	key_file_write("\r\n\none # no comment\r\n\n two \nthree", 0640);
	c = read_ok(with_path("signature_key_file = \"KEYS\"\n"
			      "signature_key = {four}\n"));
	k = c->layout->licences.personal.keys;
	assert_true(has_key(k, "sha1", "one # no comment"));
	assert_true(has_key(k, "sha1", " two "));
	assert_true(has_key(k, "sha1", "three"));
	assert_true(has_key(k, "sha1", "four"));
	assert_false(has_key(k, "sha1", "one"));
	assert_string_equal(file_read(log_path), "");
	conf_free(&c);
	/* What anybody can read is no secret; that is worth a line. */
	key_file_write("one\ntwo\n", 0644);
	c = read_ok(with_path("signature_key_file = \"KEYS\"\n"));
	assert_non_null(strstr(file_read(log_path), key_path));
	assert_null(
	    strstr(strstr(file_read(log_path), key_path) + 1, key_path));
	conf_free(&c);
	c = read_ok("signature_key_file = \"\"\n");
	assert_true(keyring_empty(c->layout->licences.personal.keys));
	conf_free(&c);
}

static void
test_wrong_key_files(void **state)
{
	char want[256];

	(void)state;
	key_file_write("\n\r\n", 0600);
	(void)snprintf(want, sizeof(want),
	    "2: signature_key_file: %s: it has no key", key_path);
	assert_refused(with_path("\nsignature_key_file = \"KEYS\"\n"), want);
	assert_int_equal(unlink(key_path), 0);
	(void)snprintf(want, sizeof(want),
	    "3: signature_key_file: %s: No such file", key_path);
	assert_refused(with_path("licence " CLIENT
				 " {\n\n signature_key_file = \"KEYS\" }\n"),
	    want);
	(void)snprintf(want, sizeof(want),
	    "1: signature_key_file: %s: Is a directory", folder);
	(void)snprintf(key_path, sizeof(key_path), "%s", folder);
	assert_refused(with_path("signature_key_file = \"KEYS\"\n"), want);
	(void)snprintf(key_path, sizeof(key_path), "%s/keys", folder);
}

static void
test_licences(void **state)
{
	struct licence *one, *two;
	struct conf *c;

	(void)state;
	key_file_write("in the file\n", 0600);
	c = read_ok(
	    with_path("licence \"" CLIENT "\" {\n"
		      "  signature_key = {\"of one\", \"old\"}\n"
		      "  hosts = {\"a.example\", \"b.example\"}\n"
		      "  valid_until = \"2027-01-31\"\n"
		      "  host_id = h1\n"
		      "}\n"
		      "licence \"" OTHER "\" { signature_algo = sha256\n"
		      "  signature_key_file = \"KEYS\" }\n"
		      "signature_key = {own}\n"));
	one = c->layout->licences.shared;
	assert_string_equal(one->client_id, CLIENT);
	assert_true(has_key(one->keys, "sha1", "of one"));
	assert_true(has_key(one->keys, "sha1", "old"));
	assert_false(has_key(one->keys, "sha1", "in the file"));
	assert_false(has_key(one->keys, "sha1", "own"));
	assert_int_equal(one->n_hosts, 2);
	assert_string_equal(one->hosts[1], "b.example");
	assert_string_equal(one->host_id, "h1");
	/* All of that day is included. */
	assert_int_equal(one->valid_until, 1801440000);
	two = one->next;
	assert_true(has_key(two->keys, "sha256", "in the file"));
	assert_int_equal(two->n_hosts, 0);
	assert_null(two->host_id);
	assert_true(two->valid_until == INT64_MAX);
	assert_null(two->next);
	assert_true(has_key(c->layout->licences.personal.keys, "sha1", "own"));
	assert_false(
	    has_key(c->layout->licences.personal.keys, "sha1", "in the file"));
	conf_free(&c);
}

static void
test_wrong_licences(void **state)
{
	static const char *const cases[][2] = {
		{ "signature_key = {a, \"\"}\n", "1: signature_key: a key" },
		{ "\nsignature_algo = sha0\n", "2: signature_algo: \"sha0\"" },
		{ "licence x {\n signature_key = {a}\n}\n",
		    "3: licence \"x\": a client id is" },
		{ "licence " CLIENT " { signature_key = {a} }\n\n"
		  "licence " CLIENT " { signature_key = {b} }\n",
		    "3: " },
		{ "licence abcdefghabcdefghabcdefghabcdefgh {\n"
		  " signature_key = {a} }\n"
		  "licence ABCDEFGHABCDEFGHABCDEFGHABCDEFGH {\n"
		  " signature_key = {a} }\n",
		    "4: licence \"ABCDEFGHABCDEFGHABCDEFGHABCDEFGH\": "
		    "already" },
		{ "licence " CLIENT " {\n}\n",
		    "2: licence \"" CLIENT "\": it has no signature_key" },
		{ "licence " CLIENT " {\n hosts = {\"a.example\",\n"
		  "\"a.example:80\"} }\n",
		    "3: hosts: \"a.example:80\" is not" },
		{ "licence " CLIENT " {\n valid_until = soon }\n",
		    "2: valid_until: \"soon\"" },
		{ "licence " CLIENT " {\n valid_until = 2027-02-29 }\n",
		    "2: valid_until: " },
		{ "licence " CLIENT " {\n valid_until = 2027-1-1 }\n",
		    "2: valid_until: " },
		{ "licence " CLIENT " {\n valid_until = \"2027-01-01 \" }\n",
		    "2: valid_until: " },
		{ "licence " CLIENT " {\n sync = full }\n", "2: " },
		{ "hosts = {\"a.example\"}\n", "1: " },
		{ "location \"/a\" {\n signature_key = {a} }\n", "2: " },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_refused(cases[i][0], cases[i][1]);
}

/* Whatever is wrong with the file, the log does not tell the keys. */
static void
test_keys_are_not_logged(void **state)
{
	static const char *const cases[] = {
		"signature_key = {\"SECRET\" \"SECRET2\"}\n",
		"signature_key = SECRET SECRET2\n",
		"signature_key {\"SECRET\"}\n",
		"signature_key = {\"SECRET\"\n",
		"signature_key = {\"SECRET}\n",
		"signature_key = {\"SECRET\", \"\"}\n",
		"signature_key = {{\"SECRET\"}}\n",
		"signature_key = {\"a\"}}SECRET\n",
		"signature_key = \"a\"SECRET\n",
		"location \"/a\" { signature_key = {SECRET} }\n",
		"licence x { signature_key = {SECRET} }\n",
		"licence " CLIENT " { signature_key = {SECRET SECRET} }\n",
		"licence " CLIENT " { signature_key SECRET }\n",
	};
	struct conf *c = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		file_write(conf_path, cases[i]);
		assert_int_equal(truncate(log_path, 0), 0);
		assert_int_equal(conf_read(conf_path, &c), ERR_CONFIG);
		if (strstr(file_read(log_path), "SECRET") != NULL ||
		    strstr(file_read(log_path), conf_path) == NULL)
			fail_msg("%s: %s", cases[i], file_read(log_path));
	}
}

static void
test_dump_of_licences(void **state)
{
	struct conf *c;

	(void)state;
	key_file_write("SECRET3\n", 0600);
	c = read_ok(with_path("signature_key = {\"SECRET1\", SECRET2}\n"
			      "bitrix_host_id = \"h \\\"1\\\"\"\n"
			      "licence " CLIENT " { signature_key = {SECRET}\n"
			      " signature_key_file = \"KEYS\"\n"
			      " hosts = {a.example, b.example}\n"
			      " valid_until = 2027-01-31 }\n"));
	dump(c);
	conf_free(&c);
	assert_null(strstr(file_read(dump_path), "SECRET"));
	assert_non_null(strstr(file_read(dump_path),
	    "\n# signature_key: 2 keys\nsignature_key_file = \"\"\n"
	    "signature_algo = \"sha1\"\nbitrix_host_id = \"h \\\"1\\\"\"\n"));
	assert_non_null(strstr(file_read(dump_path),
	    "\nlicence \"" CLIENT "\" {\n\t# signature_key: 1 key\n"
	    "\tsignature_key_file = \""));
	assert_non_null(strstr(file_read(dump_path),
	    "\thosts = {\"a.example\", \"b.example\"}\n"
	    "\tvalid_until = \"2027-01-31\"\n"
	    "\thost_id = \"\"\n}\n"));
	/* What has its keys in a file can be read again. */
	c = round_trip(
	    with_path("signature_key_file = \"KEYS\"\nsignature_algo = sha256\n"
		      "bitrix_host_id = h1\n"));
	assert_true(
	    has_key(c->layout->licences.personal.keys, "sha256", "SECRET3"));
	assert_string_equal(c->layout->licences.personal.host_id, "h1");
	conf_free(&c);
	c = round_trip(
	    with_path("licence " CLIENT " { signature_key_file = \"KEYS\"\n"
		      "  valid_until = 2027-01-31 host_id = h2 }\n"));
	assert_int_equal(c->layout->licences.shared->valid_until, 1801440000);
	conf_free(&c);
}

/* Who may ask at a location: each network once, and shown by -T. */
static void
test_access(void **state)
{
	struct conf *c = round_trip("location \"/a\" {\n"
				    "  allow = {\"10.0.0.0/8\", \"::1\"}\n"
				    "  deny = {\"10.0.0.1\"}\n}\n"
				    "location \"/b\" { allow = {} }\n");
	const struct layout *l = c->layout;

	(void)state;
	assert_int_equal(l->locations->allow.n, 2);
	assert_int_equal(l->locations->deny.n, 1);
	assert_true(layout_admits(l, SLICE("/a/x"), SLICE("10.1.1.1")));
	assert_true(layout_admits(l, SLICE("/a"), SLICE("::1")));
	assert_false(layout_admits(l, SLICE("/a"), SLICE("10.0.0.1")));
	assert_false(layout_admits(l, SLICE("/a"), SLICE("11.0.0.1")));
	assert_false(layout_admits(l, SLICE("/a"), SLICE("unix:")));
	assert_false(layout_admits(l, SLICE("/a"), (struct slice){ NULL, 0 }));
	assert_true(layout_admits(l, SLICE("/b"), SLICE("unix:")));
	assert_true(layout_admits(l, SLICE("/"), SLICE("10.0.0.1")));
	conf_free(&c);
	assert_refused("location \"/a\" {\nallow = {\"10.0.0.0/33\"}\n}\n",
	    "2: allow: \"10.0.0.0/33\" is not an address or network");
	assert_refused("location \"/a\" {\ndeny = {\"1.1.1.1\"}\n"
		       "deny = {\"2.2.2.2\"}\n}\n",
	    "3: deny is one list, and here is another");
	assert_refused("location \"/a\" {\ndeny = {\"1.1.1.1\", \"::1\"}\n"
		       "deny = {\"1.1.1.1\"}\n}\n",
	    "3: deny is one list, and here is another");
	c = read_ok("location \"/a\" {\ndeny = {\"1.1.1.1\"}\n"
		    "deny += {\"2.2.2.2\"}\n}\n");
	assert_int_equal(c->layout->locations->deny.n, 2);
	conf_free(&c);
}

static void
test_http(void **state)
{
	struct conf *c = read_ok("http = {\"8895\", \":8895\", \"*:80\","
				 " \"unix:/a\"}\n"
				 "trusted_proxies = {\"10.0.0.1\"}\n");

	(void)state;
	assert_int_equal(c->http.n, 4);
	assert_int_equal(c->trusted_cidr.n, 1);
	assert_int_equal(c->http_header_timeout_ms, 10000);
	conf_free(&c);
	assert_refused("http = {\"x\"}\n", "1: http: \"x\" is neither");
	assert_refused("http = {\"::80\"}\n", "1: http: \"::80\" is neither");
	assert_refused("scgi = {\"80\"}\n", "1: scgi: \"80\" is neither");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_totals),
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_accepted_names),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_dump_of_defaults),
		cmocka_unit_test(test_dump_of_everything),
		cmocka_unit_test(test_dump_of_empty_values),
		cmocka_unit_test(test_access),
		cmocka_unit_test(test_http),
		cmocka_unit_test(test_own_keys),
		cmocka_unit_test(test_key_file),
		cmocka_unit_test(test_wrong_key_files),
		cmocka_unit_test(test_licences),
		cmocka_unit_test(test_wrong_licences),
		cmocka_unit_test(test_keys_are_not_logged),
		cmocka_unit_test(test_dump_of_licences),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
