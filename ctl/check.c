/*
 * ctl/check.c - `holdfastctl check`: publisher and client in one, through the
 * front.
 *
 * A trial that later ones build on ends the run when it fails, so that one
 * mistake is told once.  The poll that nobody answers is begun early and looked
 * at last: its end may be most of a minute away.
 *
 * It works with two channels that nobody else can know, and takes them away
 * again where the publisher lets it.
 */
#include "ctl/check.h"

#include <getopt.h>
#include <stdio.h>
#include <strings.h>
#include <sys/random.h>

#include "base/units.h"
#include "ctl/ask.h"
#include "ctl/check_priv.h"

#define PUBLISHER "http://127.0.0.1:8895/bitrix/pub/?CHANNEL_ID=%"
#define DEADLINE_MS 55000
#define WAIT_S 50
#define URL_MAX (CHECK_URL_SIZE / 2)

static const char *const trial_names[TRIAL_N] = {
	[TRIAL_PUBLISH] = "publish",
	[TRIAL_STORED] = "read what is stored",
	[TRIAL_POSITION] = "position fields",
	[TRIAL_REPLAY] = "replay",
	[TRIAL_KEEPALIVE] = "keep-alive",
	[TRIAL_COMPRESSION] = "compression",
	[TRIAL_FIELDS] = "caching, origin",
	[TRIAL_CLOCKS] = "clocks",
	[TRIAL_LONG_POLL] = "long poll",
	[TRIAL_ABORT] = "client that leaves",
	[TRIAL_STREAM] = "stream",
	[TRIAL_WEBSOCKET] = "WebSocket",
	[TRIAL_POLL_END] = "end of a poll",
};

/* --- options ----------------------------------------------------------- */

/* What the shipped files for Bitrix serve below a site's address. */
struct site {
	char subscribe[CHECK_URL_SIZE], websocket[CHECK_URL_SIZE];
};

static bool
is_url(const char *url, bool socket)
{
	return url == NULL ||
	    (strlen(url) < URL_MAX &&
		(strncasecmp(url, "http://", 7) == 0 ||
		    strncasecmp(url, "https://", 8) == 0 ||
		    (socket &&
			(strncasecmp(url, "ws://", 5) == 0 ||
			    strncasecmp(url, "wss://", 6) == 0))));
}

static void
bitrix_site(struct check *c, struct site *site, const char *url)
{
	size_t n = strlen(url);

	while (n != 0 && url[n - 1] == '/')
		n--;
	(void)snprintf(site->subscribe, sizeof(site->subscribe),
	    "%.*s/bitrix/sub/?CHANNEL_ID=%%", (int)n, url);
	(void)snprintf(site->websocket, sizeof(site->websocket),
	    "%.*s/bitrix/subws/?CHANNEL_ID=%%", (int)n, url);
	c->subscribe = site->subscribe;
	if (c->websocket == NULL)
		c->websocket = site->websocket;
}

static bool
read_wait(struct check *c, const char *text)
{
	uint64_t n;

	if (!parse_count((struct slice){ text, strlen(text) }, &n) ||
	    n > DEADLINE_MS / 1000)
		return false;
	c->wait_ms = n * 1000;
	return true;
}

static bool
set_option(struct check *c, int option, const char *value)
{
	switch (option) {
	case 's':
		c->socket_path = value;
		return true;
	case 'p':
		c->publish = value;
		return true;
	case 'm':
		c->stream = value;
		return true;
	case 'w':
		c->websocket = value;
		return true;
	case 'k':
		c->insecure = true;
		return true;
	case 'v':
		c->by_mid = value[0] >= '3';
		return value[0] >= '1' && value[0] <= '5' && value[1] == '\0';
	case 'f':
		c->key_file = value;
		return true;
	case 't':
		return read_wait(c, value);
	default:
		return false;
	}
}

/* false: a wrong one. */
static bool
read_options(struct check *c, struct site *site, int argc, char **argv)
{
	static const struct option options[] = {
		{ "publish", required_argument, NULL, 'p' },
		{ "stream", required_argument, NULL, 'm' },
		{ "websocket", required_argument, NULL, 'w' },
		{ "insecure", no_argument, NULL, 'k' },
		{ "bitrix", no_argument, NULL, 'b' },
		{ "version", required_argument, NULL, 'v' },
		{ "key-file", required_argument, NULL, 'f' },
		{ "wait", required_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 },
	};
	bool bitrix = false;
	int o;

	while ((o = getopt_long(argc, argv, "s:", options, NULL)) != -1)
		if (o == 'b')
			bitrix = true;
		else if (!set_option(c, o, optarg))
			return false;
	if (argc - optind != 2)
		return false;
	c->subscribe = argv[optind + 1];
	if (!is_url(c->subscribe, false) || !is_url(c->publish, false) ||
	    !is_url(c->stream, false) || !is_url(c->websocket, true))
		return false;
	if (bitrix)
		bitrix_site(c, site, c->subscribe);
	return true;
}

/* --- the run ----------------------------------------------------------- */

/* 0, or it was said what is missing. */
static int
init_channel(const struct check *c, struct channel *ch)
{
	static const struct position by_date = {
		"Thu, 01 Jan 1970 00:00:01 GMT", "0", ""
	};
	static const struct position by_mid = { "", "",
		"00000000000000000000000000" };
	unsigned char random[(CHECK_ID_SIZE - 1) / 2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
		(void)fprintf(stderr, "holdfastctl: no random numbers\n");
		return ERR_SYSTEM;
	}
	*ch = (struct channel){ .last = c->by_mid ? by_mid : by_date };
	for (size_t i = 0; i < sizeof(random); i++)
		(void)snprintf(ch->id + 2 * i, 3, "%02x", random[i]);
	return sign_channel(ch, c->key_file);
}

static void
run_trials(struct check *c)
{
	struct channel all = c->channel;

	for (enum trial t = 0; t < TRIAL_N; t++)
		say_not_tried(c, t, "after what has failed");
	try_publish(c);
	if (!is_ok(c, TRIAL_PUBLISH))
		return;
	try_stored(c);
	if (!is_ok(c, TRIAL_STORED))
		return;
	try_stream(c);
	if (!c->busy)
		try_websocket(c);
	if (c->busy || !is_ok(c, TRIAL_POSITION))
		return;
	try_replay(c);
	if (c->busy)
		return;
	all.messages = c->channel.messages;
	try_compression(c, &all);
	if (!is_ok(c, TRIAL_REPLAY))
		return;
	begin_poll_end(c);
	try_clocks(c);
	try_long_poll(c);
	if (!is_ok(c, TRIAL_LONG_POLL))
		return;
	try_abort(c);
	try_poll_end(c);
}

/* --- the table --------------------------------------------------------- */

static void
print_table(const struct check *c)
{
	static const char *const verdicts[] = { [NOT_TRIED] = "not tried",
		[OK] = "ok",
		[NOT_OK] = "not ok",
		[LIMIT] = "limit" };
	enum front reader = c->outcomes[TRIAL_STORED].front;

	(void)printf("%s%s%s\n", c->subscribe, c->read ? ", by " : "",
	    c->read ? front_name(reader) : "");
	for (size_t t = 0; t < TRIAL_N; t++)
		(void)printf("  %-20s %-10s %s\n", trial_names[t],
		    verdicts[c->outcomes[t].verdict], c->outcomes[t].detail);
}

/* Each line of the text, further in. */
static void
print_text(const char *text)
{
	while (*text != '\0') {
		int n = (int)strcspn(text, "\n");

		(void)printf("    %.*s\n", n, text);
		text += n + 1;
	}
}

/* Has the same been said for a trial above? */
static bool
is_told(const struct check *c, size_t t)
{
	const struct outcome *o = &c->outcomes[t];

	while (t-- != 0)
		if (c->outcomes[t].verdict == o->verdict &&
		    c->outcomes[t].advice == o->advice &&
		    c->outcomes[t].front == o->front)
			return true;
	return false;
}

/* What there is to say about trials with this verdict, each thing once; how
 * many they are. */
static unsigned
print_advice(const struct check *c, enum verdict verdict, const char *heading)
{
	bool fastcgi = false;
	unsigned n = 0;

	for (size_t t = 0; t < TRIAL_N; t++) {
		const struct outcome *o = &c->outcomes[t];
		const char *text;

		if (o->verdict != verdict)
			continue;
		if (n++ == 0)
			(void)printf("\n%s:\n", heading);
		if (is_told(c, t))
			continue;
		text = advice_text(o->advice, o->front);
		(void)printf("  %s\n", trial_names[t]);
		print_text(text);
		fastcgi = fastcgi || strstr(text, "    fastcgi_") != NULL;
	}
	if (fastcgi)
		(void)puts("(fastcgi_ is scgi_ or proxy_ where the location "
			   "has scgi_pass or proxy_pass.)");
	return n;
}

static int
run(struct check *c)
{
	unsigned failed;

	if (init_channel(c, &c->channel) != 0 ||
	    init_channel(c, &c->quiet) != 0)
		return 1;
	c->http = http_new(c->insecure, clock_mono_ms() + DEADLINE_MS);
	if (c->http == NULL) {
		(void)fprintf(stderr, "holdfastctl: no memory for libcurl\n");
		return 1;
	}
	run_trials(c);
	if (c->patient.http != NULL)
		http_end(&c->patient);
	remove_channels(c);
	http_free(&c->http);
	print_table(c);
	failed = print_advice(c, NOT_OK, "What to change");
	(void)print_advice(c, LIMIT, "What cannot be changed");
	return fflush(stdout) != 0 || failed != 0;
}

int
check_main(int argc, char **argv)
{
	struct check c = { .publish = PUBLISHER,
		.socket_path = ASK_SOCKET,
		.wait_ms = WAIT_S * 1000,
		.position_fields = true };
	struct site site;

	if (!read_options(&c, &site, argc, argv))
		return CHECK_WRONG;
	return run(&c);
}
