/*
 * fcgi/gateway.c - what all connections share.
 *
 * Connections close by being marked and moved to the list of the dead; the
 * reap at the end of a turn gives up their requests and frees them.  So a
 * fan-out that meets a broken connection never has the ground pulled away.
 *
 * Requests that come too slowly wait in one list, oldest first, under one
 * timer.  Since all have the same time, the list is in order of expiry; a
 * reload that shortens the time is felt when the older ones are through.
 */
#include "fcgi/gateway.h"

#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "fcgi/codec.h"
#include "fcgi/gateway_priv.h"

static const struct {
	const char *name;
	enum log_level level;
	const char *text;
} closes[] = {
#define CLOSE(name, counter, level, text) { #counter, level, text },
#include "fcgi/conn_close.tbl"
#undef CLOSE
};

static void due_cb(evutil_socket_t fd, short what, void *arg);

struct gateway *
gateway_new(struct event_base *base, struct api *api, struct stats *stats,
    const struct gateway_limits *limits)
{
	struct gateway *gw = calloc(1, sizeof(*gw));

	if (gw == NULL)
		return NULL;
	gw->base = base;
	gw->api = api;
	gw->stats = stats;
	TAILQ_INIT(&gw->conns);
	TAILQ_INIT(&gw->dead);
	TAILQ_INIT(&gw->dues);
	gateway_set_limits(gw, limits);
	if (evtimer_assign(&gw->due_timer, base, due_cb, gw) != 0) {
		free(gw);
		return NULL;
	}
	return gw;
}

void
gateway_free(struct gateway **gwp)
{
	struct gateway *gw = *gwp;
	struct conn *c;

	*gwp = NULL;
	if (gw == NULL)
		return;
	while ((c = TAILQ_FIRST(&gw->conns)) != NULL)
		conn_close(c, CONN_CLOSE_DRAIN);
	gateway_reap(gw);
	assert(TAILQ_EMPTY(&gw->dues) && gw->requests == 0);
	(void)event_del(&gw->due_timer);
	request_spares_release(&gw->spares);
	free(gw);
}

void
gateway_set_limits(struct gateway *gw, const struct gateway_limits *limits)
{
	gw->limits = *limits;
}

bool
gateway_full(const struct gateway *gw)
{
	return gw->connections >= gw->limits.max_connections;
}

void
gateway_count_close(
    struct gateway *gw, const char *kind, enum conn_close_why why)
{
	gw->closes[why]++;
	log_limited(&gw->close_log[why], closes[why].level, "%s connection: %s",
	    kind, closes[why].text);
}

void
gateway_accept(struct gateway *gw, int fd, enum gateway_kind kind, bool control)
{
	struct conn *c = kind == GATEWAY_FASTCGI
	    ? fcgi_sess_new(gw, fd, control)
	    : scgi_sess_new(gw, fd, control);

	if (c == NULL) {
		gateway_count_close(gw,
		    kind == GATEWAY_FASTCGI ? "fastcgi" : "scgi",
		    CONN_CLOSE_NOMEM);
		(void)close(fd);
		return;
	}
	gw->connections++;
	gw->stats->connections++;
	gw->stats->connections_accepted++;
}

static bool
slice_is_caseless(struct slice s, const char *text)
{
	size_t len = strlen(text);

	return s.len == len && strncasecmp(s.ptr, text, len) == 0;
}

/* "Connection: keep-alive, Upgrade", as far as fronts pass it on at all. */
static bool
is_connection_upgrade(struct slice s)
{
	const char word[] = "upgrade";
	size_t len = sizeof(word) - 1;

	if (s.len == 0)
		return true;
	for (; s.len >= len; slice_skip(&s, 1)) {
		if (slice_is_caseless((struct slice){ s.ptr, len }, word))
			return true;
	}
	return false;
}

bool
gateway_is_upgrade(const struct params *params)
{
	return slice_is(params_get(params, "REQUEST_METHOD"), "GET") &&
	    slice_is_caseless(
		params_get(params, "HTTP_UPGRADE"), "websocket") &&
	    is_connection_upgrade(params_get(params, "HTTP_CONNECTION"));
}

void
gateway_reap(struct gateway *gw)
{
	struct conn *c;

	/* Giving up a request may close more connections. */
	while ((c = TAILQ_FIRST(&gw->dead)) != NULL) {
		TAILQ_REMOVE(&gw->dead, c, link);
		gw->connections--;
		gw->stats->connections--;
		c->ops->free(c);
	}
}

void
gateway_drain(struct gateway *gw)
{
	struct conn *c, *next;

	gw->draining = true;
	for (c = TAILQ_FIRST(&gw->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (conn_is_open(c) && c->ops->eof(c) == CONN_CLOSE_IDLE)
			conn_close(c, CONN_CLOSE_DRAIN);
	}
}

bool
gateway_busy(const struct gateway *gw)
{
	return gw->requests != 0 || gw->writing != 0;
}

void
gateway_walk_closes(const struct gateway *gw, gateway_close_f *f, void *arg)
{
	for (size_t i = 0; i < CONN_CLOSE_COUNT; i++)
		f(arg, closes[i].name, gw->closes[i], closes[i].text);
}

static void
due_arm(struct gateway *gw, uint64_t now_ms)
{
	const struct due *d = TAILQ_FIRST(&gw->dues);
	struct timeval tv;

	if (d == NULL)
		return;
	tv = ms_to_timeval(d->at_ms > now_ms ? d->at_ms - now_ms : 0);
	if (evtimer_add(&gw->due_timer, &tv) != 0)
		log_at(LOG_ERROR, "cannot set the timer of slow requests");
}

/* The timer is not moved when the first one leaves: it fires, finds nothing
 * to do, and is set anew.  That is once in request_timeout, not per request. */
void
gateway_due_add(struct gateway *gw, struct due *d, struct conn *c)
{
	uint64_t now_ms = clock_mono_ms();

	d->conn = c;
	d->at_ms = now_ms + gw->limits.request_timeout_ms;
	TAILQ_INSERT_TAIL(&gw->dues, d, link);
	if (!evtimer_pending(&gw->due_timer, NULL))
		due_arm(gw, now_ms);
}

void
gateway_due_remove(struct gateway *gw, struct due *d)
{
	if (d->conn != NULL)
		TAILQ_REMOVE(&gw->dues, d, link);
	d->conn = NULL;
}

static void
due_cb(evutil_socket_t fd, short what, void *arg)
{
	struct gateway *gw = arg;
	uint64_t now_ms = clock_mono_ms();
	struct due *d;

	(void)fd;
	(void)what;
	while ((d = TAILQ_FIRST(&gw->dues)) != NULL && d->at_ms <= now_ms) {
		conn_close(d->conn, CONN_CLOSE_LATE);
		gateway_due_remove(gw, d);
	}
	due_arm(gw, now_ms);
}
