/*
 * ctl/check_count.c - how many readers the daemon knows of.
 *
 * The module's publisher tells it of one channel, so nobody else's coming and
 * going disturbs; the daemon's control socket tells it of all.
 */
#include "ctl/check_priv.h"

#include <ctype.h>
#include <unistd.h>

#include "ctl/ask.h"

/* How often readers are counted, and what a reader gets to arrive where
 * nobody counts. */
#define COUNT_MS 20
#define ARRIVE_MS 500

/* The number that follows; -1: there is none. */
static int64_t
number_after(const char *text, const char *name)
{
	const char *p = text != NULL ? strstr(text, name) : NULL;

	if (p == NULL)
		return -1;
	p += strlen(name);
	p += strspn(p, "\": ");
	return isdigit((unsigned char)*p) ? strtoll(p, NULL, 10) : -1;
}

/* "subscribers" of the channel; older versions write it in quotes. */
static int64_t
readers_by_publisher(struct check *c, const struct channel *ch)
{
	char url[CHECK_URL_SIZE];
	struct http_ask ask = { .method = "GET", .url = url };
	struct exchange x;
	int64_t n = -1;

	check_url(url, c->publish, ch->id, NULL);
	http_begin(c->http, &x, &ask);
	if (http_wait(&x, CHECK_ANSWER_MS) && x.status == 200 &&
	    buf_append(&x.body, "", 1) == 0)
		n = number_after(x.body.data, "\"subscribers\"");
	http_end(&x);
	return n;
}

static int64_t
readers_by_daemon(const struct check *c)
{
	const char *path = c->socket_path, *body;
	struct buf in;
	int64_t n = -1;

	if (strncmp(path, "unix:", 5) == 0)
		path += 5;
	/* Not everybody may ask, and not everybody is where the daemon is. */
	if (access(path, R_OK | W_OK) != 0)
		return -1;
	buf_init(&in, ASK_ANSWER_MAX);
	if (ask(path, "/status", "", &in, &body) == 0)
		n = number_after(body, "\nsubscribers ");
	buf_release(&in);
	return n;
}

int64_t
readers(struct check *c, const struct channel *ch)
{
	/* Bitrix's own servers tell who was there within two minutes. */
	int64_t n = c->by_mid ? -1 : readers_by_publisher(c, ch);

	return n >= 0 ? n : readers_by_daemon(c);
}

bool
wait_readers(struct check *c, const struct channel *ch, int64_t before,
    bool more, uint64_t ms)
{
	uint64_t end = clock_mono_ms() + ms;
	int64_t now;

	do {
		now = readers(c, ch);
		if (now < 0) {
			http_pause(c->http, ARRIVE_MS);
			return false;
		}
		if ((now > before) == more)
			return true;
		http_pause(c->http, COUNT_MS);
	} while (clock_mono_ms() < end && http_left_ms(c->http) != 0);
	return false;
}
