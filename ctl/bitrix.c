/*
 * ctl/bitrix.c - the settings of a Bitrix site, version by version.
 *
 * One table says what belongs where.  It is printed twice, as the fields of
 * the admin page and as the array of .settings.php, since each administrator
 * knows one of them.  The addresses are those of the shipped configurations.
 *
 * The daemon then tells what it has: how many keys there are, and never a key.
 * So neither can this program print one.
 */
#include "ctl/bitrix.h"

#include <ctype.h>
#include <stdio.h>

#include "base/buf.h"
#include "ctl/ask.h"

#define HOST_MAX 253
#define VALUE_MAX (HOST_MAX + 64)
#define ALGO_MAX 32
/* What a site sends at most in one request: its limit_max_payload. */
#define PAYLOAD_MAX ((uint64_t)1048576)

/*
 * In a value @ is the host, # the version and % the algorithm.  A field with
 * `secure` is two: NAME for pages that came by http, NAME_secure for those by
 * https.  page: what the admin page says instead of the value; a field that it
 * does not have has no caption.
 */
static const struct field {
	const char *name, *caption;
	int from, to; /* versions */
	const char *value, *secure, *page;
} fields[] = {
	{ "nginx", "Use Push server", 1, 5, "Y", NULL, "Use local server" },
	{ "nginx_version", "Server software", 1, 5, "#", NULL, NULL },
	{ "path_to_publish", "Message sender path", 1, 5,
	    "http://127.0.0.1:8895/bitrix/pub/", NULL, NULL },
	{ "path_to_json_rpc", "Path for executing JSON-RPC queries", 5, 5,
	    "http://127.0.0.1:8895/bitrix/api/", NULL, NULL },
	{ "signature_key", "Signature code for server interaction", 1, 2, "",
	    NULL, "(empty)" },
	{ "signature_key", "Signature code for server interaction", 3, 5, "KEY",
	    NULL, NULL },
	{ "signature_algo", NULL, 3, 5, "%", NULL, NULL },
	{ "path_to_publish_web", "Command publish URL", 4, 5,
	    "http://@/bitrix/rest/", "https://@/bitrix/rest/", NULL },
	{ "path_to_modern_listener", "Command reading URL, modern browsers", 1,
	    1, "http://@:8893/bitrix/sub/", "https://@:8894/bitrix/sub/",
	    NULL },
	{ "path_to_modern_listener", "Command reading URL, modern browsers", 2,
	    5, "http://@/bitrix/sub/", "https://@/bitrix/sub/", NULL },
	{ "path_to_listener", "The same, outdated browsers", 1, 1,
	    "http://@:8893/bitrix/sub/", "https://@:8894/bitrix/sub/", NULL },
	{ "path_to_listener", "The same, outdated browsers", 2, 5,
	    "http://@/bitrix/sub/", "https://@/bitrix/sub/", NULL },
	{ "path_to_mobile_listener", "The same, mobile app", 1, 5,
	    "http://@:8893/bitrix/sub/", "https://@:8894/bitrix/sub/", NULL },
	{ "websocket", "Enable WebSocket", 1, 1, "N", NULL, "no" },
	{ "websocket", "Enable WebSocket", 2, 5, "Y", NULL, "yes" },
	{ "path_to_websocket", "Command reading URL, WebSocket", 2, 5,
	    "ws://@/bitrix/subws/", "wss://@/bitrix/subws/", NULL },
	{ "nginx_headers", NULL, 1, 2, "Y", NULL, NULL },
	{ "nginx_headers", NULL, 3, 5, "N", NULL, NULL },
	{ "nginx_command_per_hit", NULL, 1, 5, "100", NULL, NULL },
};

struct site {
	int version;
	const char *version_text, *host;
	bool https;
	char algo[ALGO_MAX];
};

/* What the daemon said. */
struct has {
	uint64_t signature_keys, licences, scgi_listeners;
	uint64_t client_max_body_size;
};

/* What a character of a value stands for; NULL: for itself. */
static const char *
meaning(const struct site *s, char c)
{
	switch (c) {
	case '@':
		return s->host;
	case '#':
		return s->version_text;
	case '%':
		return s->algo;
	default:
		return NULL;
	}
}

static const char *
expand(const struct site *s, const char *value, char out[VALUE_MAX])
{
	size_t n = 0;

	out[0] = '\0';
	for (; *value != '\0'; value++) {
		const char *text = meaning(s, *value);

		(void)snprintf(out + n, VALUE_MAX - n, "%.*s",
		    text != NULL ? VALUE_MAX : 1, text != NULL ? text : value);
		n += strlen(out + n);
	}
	return out;
}

static void
print_page_row(
    const char *caption, const char *kind, const char *name, const char *value)
{
	char left[128];

	(void)snprintf(left, sizeof(left), "%s%s", caption, kind);
	(void)printf("  %-45s %-32s %s\n", left, name, value);
}

static void
print_page(const struct site *s)
{
	char value[VALUE_MAX], name[64];

	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		const struct field *f = &fields[i];
		bool pair = f->secure != NULL;

		if (f->caption == NULL || s->version < f->from ||
		    s->version > f->to)
			continue;
		expand(s, pair && s->https ? f->secure : f->value, value);
		print_page_row(f->caption, pair ? " (HTTP)" : "", f->name,
		    f->page != NULL ? f->page : value);
		if (!pair)
			continue;
		(void)snprintf(name, sizeof(name), "%s_secure", f->name);
		print_page_row(
		    f->caption, " (HTTPS)", name, expand(s, f->secure, value));
	}
}

static void
print_file(const struct site *s)
{
	char value[VALUE_MAX];

	(void)puts("  'pull' => [\n    'value' => [");
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		const struct field *f = &fields[i];
		bool pair = f->secure != NULL;

		if (s->version < f->from || s->version > f->to)
			continue;
		expand(s, pair && s->https ? f->secure : f->value, value);
		(void)printf("      '%s' => '%s',\n", f->name, value);
		if (pair)
			(void)printf("      '%s_secure' => '%s',\n", f->name,
			    expand(s, f->secure, value));
	}
	(void)puts("    ],\n    'readonly' => false,\n  ],");
}

static void
print_notes(const struct site *s)
{
	(void)puts("");
	if (s->version >= 3)
		(void)puts("KEY is the first key of signature_key in "
			   "holdfast.conf, or of the file that\n"
			   "signature_key_file names.");
	if (s->version < 4)
		(void)puts("Newer products offer version 4 only: there the "
			   "version is set in the file.");
	if (s->version == 5)
		(void)puts("The page offers version 5 when "
			   "/bitrix/php_interface/init.php has\n"
			   "define('PULL_ALLOW_VERSION_5', true);");
	(void)puts("Fields that the page does not show can be set in the file "
		   "only.");
}

static void
print_settings(const struct site *s)
{
	(void)printf("Settings > Product settings > Module settings > "
		     "Push and Pull, for version %d:\n\n",
	    s->version);
	print_page(s);
	(void)puts("\nThe same in /bitrix/.settings.php; what the page has "
		   "saved goes before it:\n");
	print_file(s);
	print_notes(s);
}

/* PHP's names are in lower case. */
static void
read_algo(const char *text, struct site *s)
{
	if (strncmp(text, "none\n", 5) == 0 ||
	    sscanf(text, "%31[^\n]", s->algo) != 1)
		return;
	for (char *c = s->algo; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
}

/* Unsigned lines, and the algorithm. */
static void
read_has(const char *body, struct has *has, struct site *s)
{
	const struct {
		const char *name;
		uint64_t *field;
	} lines[] = {
		{ "signature_keys ", &has->signature_keys },
		{ "licences ", &has->licences },
		{ "scgi_listeners ", &has->scgi_listeners },
		{ "client_max_body_size ", &has->client_max_body_size },
	};
	static const char algo[] = "signature_algo ";

	for (; body != NULL && *body != '\0'; body = strchr(body, '\n')) {
		body += *body == '\n';
		for (size_t i = 0; i < COUNT_OF(lines); i++) {
			size_t len = strlen(lines[i].name);

			if (strncmp(body, lines[i].name, len) == 0)
				*lines[i].field =
				    strtoull(body + len, NULL, 10);
		}
		if (strncmp(body, algo, sizeof(algo) - 1) == 0)
			read_algo(body + sizeof(algo) - 1, s);
	}
}

static int
missing(const char *text)
{
	(void)fprintf(stderr, "missing: %s\n", text);
	return 1;
}

/* Versions 1 and 2 have no keys; 5 signs what it publishes. */
static int
check_keys(const struct site *s, const struct has *has)
{
	if (s->version < 3)
		return 0;
	if (has->signature_keys == 0)
		return missing(has->licences == 0
			? "holdfast.conf has no signature_key, so no id can be "
			  "verified. Add signature_key_file = \"...\" (or "
			  "signature_key = {\"...\"}), reload holdfastd, and "
			  "write the same key on the admin page."
			: "holdfast.conf has licences, but no signature_key: a "
			  "site with a local server names no licence, and is "
			  "refused. (Sites in shared mode need none.)");
	if (s->version < 5 && has->licences != 0)
		return missing("holdfast.conf has licences, so whoever "
			       "publishes has to sign, which a site with a "
			       "local server does not. Let it have a holdfastd "
			       "without licences.");
	return 0;
}

static int
check(const struct site *s, const struct has *has)
{
	int rc = check_keys(s, has);

	if (s->version >= 2 && has->scgi_listeners == 0)
		rc |= missing(
		    "holdfastd does not listen for SCGI, by which nginx brings "
		    "WebSockets. Set scgi in holdfast.conf, or enable "
		    "holdfast-scgi.socket.");
	if (s->version >= 4 && has->client_max_body_size < PAYLOAD_MAX)
		rc |= missing("client_max_body_size in holdfast.conf is below "
			      "1m, which the site may send "
			      "(limit_max_payload).");
	return rc;
}

/* A name or an address; #DOMAIN#, which the site replaces, is one too. */
static bool
host_ok(const char *host)
{
	size_t len = strlen(host);
	bool bracketed = len > 2 && host[0] == '[' && host[len - 1] == ']';

	if (strcmp(host, "#DOMAIN#") == 0)
		return true;
	if (len == 0 || len > HOST_MAX || host[0] == '-' || host[0] == '.')
		return false;
	if (bracketed)
		return strspn(host + 1, "0123456789abcdefABCDEF:.") == len - 2;
	for (; *host != '\0'; host++)
		if (!isascii((unsigned char)*host) ||
		    (!isalnum((unsigned char)*host) && *host != '-' &&
			*host != '.'))
			return false;
	return true;
}

static bool
site_read(const struct bitrix_asked *asked, struct site *s)
{
	const char *version = asked->version != NULL ? asked->version : "4";

	s->version = version[0] - '0';
	s->version_text = version;
	s->host = asked->host;
	s->https = asked->https;
	(void)snprintf(s->algo, sizeof(s->algo), "sha1");
	if (version[0] < '1' || version[0] > '5' || version[1] != '\0') {
		(void)fprintf(stderr,
		    "holdfastctl: version %s is none of 1, 2, 3, 4, 5\n",
		    version);
		return false;
	}
	if (!host_ok(s->host)) {
		(void)fprintf(stderr,
		    "holdfastctl: %s: not the name or address of a host (no "
		    "port, no path; other alphabets as xn--...)\n",
		    s->host);
		return false;
	}
	return true;
}

int
bitrix_main(const struct bitrix_asked *asked)
{
	struct site s;
	struct has has = { 0 };
	struct buf in;
	const char *body;
	int rc;

	if (!site_read(asked, &s))
		return BITRIX_WRONG;
	buf_init(&in, ASK_ANSWER_MAX);
	rc = ask(asked->socket_path, "/bitrix", "", &in, &body);
	if (rc == 0)
		read_has(body, &has, &s);
	buf_release(&in);
	print_settings(&s);
	if (fflush(stdout) != 0)
		return 1;
	if (rc != 0)
		return missing("the daemon did not answer, so nothing was "
			       "checked.");
	return check(&s, &has);
}
