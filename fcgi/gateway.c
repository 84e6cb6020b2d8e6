/*
 * fcgi/gateway.c - what all connections share.
 *
 * Connections close by being marked and moved to the list of the dead; the
 * reap at the end of a turn gives up their requests and frees them.  So a
 * fan-out that meets a broken connection never has the ground pulled away.
 *
 * Requests that come too slowly wait in one list for each kind of wait,
 * oldest first, under one timer.  Since all in a list have the same time, it
 * is in order of expiry; a reload that shortens the time is felt when the
 * older ones are through.
 */
#include "fcgi/gateway.h"

#include <strings.h>
#include <unistd.h>

#include "auth/tls.h"
#include "base/clock.h"
#include "fcgi/codec.h"
#include "fcgi/gateway_priv.h"
#include "fcgi/http_head.h"

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

static int
dues_init(struct gateway *gw)
{
	for (size_t i = 0; i < DUE_KINDS; i++) {
		struct due_queue *q = &gw->dues[i];

		TAILQ_INIT(&q->dues);
		q->gw = gw;
		if (evtimer_assign(&q->timer, gw->base, due_cb, q) != 0)
			return ERR_NOMEM;
	}
	return 0;
}

static void
shaken_cb(evutil_socket_t fd, short what, void *arg)
{
	struct gateway *gw = arg;

	(void)fd;
	(void)what;
	gw->handshakes = 0;
}

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
	TAILQ_INIT(&gw->gathered);
	LIST_INIT(&gw->outs);
	http_answers_init(&gw->answers);
	map_init(&gw->networks);
	hash_key_init(&gw->networks_key);
	gateway_set_limits(gw, limits);
	if (dues_init(gw) != 0 ||
	    event_assign(&gw->shaken, base, -1, 0, shaken_cb, gw) != 0 ||
	    watch_init(&gw->watch, base, conn_gone) != 0) {
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
	assert(gw->networks.count == 0 && gw->requests == 0);
	for (size_t i = 0; i < DUE_KINDS; i++) {
		assert(TAILQ_EMPTY(&gw->dues[i].dues));
		(void)event_del(&gw->dues[i].timer);
	}
	(void)event_del(&gw->shaken);
	watch_release(&gw->watch);
	map_release(&gw->networks);
	http_answers_release(&gw->answers);
	tls_certs_unref(&gw->certs);
	request_spares_release(&gw->spares);
	free(gw);
}

void
gateway_set_limits(struct gateway *gw, const struct gateway_limits *limits)
{
	gw->limits = *limits;
	gw->spares.incoming.max =
	    limits->max_incoming != 0 ? limits->max_incoming : SIZE_MAX;
	gw->outgoing.max =
	    limits->max_outgoing != 0 ? limits->max_outgoing : SIZE_MAX;
}

void
gateway_set_certs(struct gateway *gw, struct tls_certs *certs)
{
	(void)tls_certs_ref(certs);
	tls_certs_unref(&gw->certs);
	gw->certs = certs;
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

/* By a keyed hash, or a client with many networks could choose those that
 * meet in the table.  The number of connections is the value itself. */
bool
gateway_network_enter(struct gateway *gw, uint64_t network)
{
	uint64_t key = hash_bytes(&gw->networks_key, &network, sizeof(network));
	uintptr_t n = (uintptr_t)map_get(&gw->networks, key);

	if (network == 0)
		return true;
	if (gw->limits.max_per_address != 0 && n >= gw->limits.max_per_address)
		return false;
	if (n != 0)
		(void)map_remove(&gw->networks, key);
	return map_put(&gw->networks, key, (void *)(n + 1)) == 0;
}

void
gateway_network_leave(struct gateway *gw, uint64_t network)
{
	uint64_t key = hash_bytes(&gw->networks_key, &network, sizeof(network));
	uintptr_t n;
	int err;

	if (network == 0)
		return;
	n = (uintptr_t)map_remove(&gw->networks, key);
	assert(n != 0);
	if (n == 1)
		return;
	err = map_put(&gw->networks, key, (void *)(n - 1));
	assert(err == 0); /* its slot was freed just now */
	(void)err;
}

/* NULL: there is no memory.  *refused: it may not come in, or is gone. */
static struct conn *
http_accept(struct gateway *gw, int fd, bool tls, bool *refused)
{
	struct http_peer peer;
	struct conn *c = NULL;

	*refused = http_peer_init(&peer, fd) != 0;
	if (*refused)
		return NULL;
	peer.tls = tls;
	if (http_peer_trusted(&peer, gw->limits.trusted))
		peer.network = 0; /* many clients, or ourselves */
	*refused = !gateway_network_enter(gw, peer.network);
	if (*refused)
		limit_count(&gw->stats->limits,
		    LIMIT_http_max_connections_per_address, 1);
	if (*refused)
		log_limited(&gw->crowd_log, LOG_WARN,
		    "connection from %s refused: there are "
		    "http_max_connections_per_address",
		    peer.addr);
	else
		c = http_sess_new(gw, fd, &peer);
	if (c == NULL && !*refused)
		gateway_network_leave(gw, peer.network);
	return c;
}

void
gateway_accept(struct gateway *gw, int fd, enum gateway_kind kind, bool control)
{
	static const char *const names[] = {
		[GATEWAY_FASTCGI] = "fastcgi",
		[GATEWAY_SCGI] = "scgi",
		[GATEWAY_HTTP] = "http",
		[GATEWAY_HTTPS] = "http",
	};
	bool refused = false;
	struct conn *c;

	if (kind == GATEWAY_FASTCGI)
		c = fcgi_sess_new(gw, fd, control);
	else if (kind == GATEWAY_SCGI)
		c = scgi_sess_new(gw, fd, control);
	else
		c = http_accept(gw, fd, kind == GATEWAY_HTTPS, &refused);
	if (c == NULL) {
		if (refused)
			gw->stats->connections_refused++;
		else
			gateway_count_close(gw, names[kind], CONN_CLOSE_NOMEM);
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
gateway_gather(struct gateway *gw)
{
	if (++gw->gatherings == 0)
		gw->gatherings = 1;
	gw->gathering = gw->gatherings;
}

void
gateway_gathered(struct gateway *gw)
{
	gw->gathering = 0;
	conn_write_gathered(gw);
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
	http_answers_forget(&gw->answers);
}

void
gateway_set_keeper(struct gateway *gw, gateway_keep_f *keep, void *arg)
{
	gw->keep = keep;
	gw->keep_arg = arg;
}

/* A front that sends its next request in the very moment in which we close
 * cannot know whether we have seen it, and does not repeat a publish: its
 * client would get an error. */
static bool
is_idle(const struct conn *c)
{
	return conn_is_open(c) && c->ops->eof(c) == CONN_CLOSE_IDLE;
}

/* A front that sends its next request in the very moment in which we close
 * cannot know whether we have seen it, and does not repeat a publish: its
 * client would get an error. */
static void
keep_idle(struct gateway *gw, bool of_front)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&gw->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->ops->of_front == of_front && is_idle(c) &&
		    c->tls == NULL && c->out == NULL && !c->control &&
		    gw->keep(gw->keep_arg, c->fd, c->ops->name))
			conn_close(c, CONN_CLOSE_KEPT);
	}
}

void
gateway_drain(struct gateway *gw)
{
	struct conn *c, *next;

	gw->draining = true;
	if (gw->keep != NULL) {
		/* Clients are many, and ask again by themselves. */
		keep_idle(gw, true);
		keep_idle(gw, false);
	}
	for (c = TAILQ_FIRST(&gw->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (is_idle(c))
			conn_close(c, CONN_CLOSE_DRAIN);
	}
}

bool
gateway_busy(const struct gateway *gw)
{
	return gw->requests != 0 || gw->writing != 0;
}

void
gateway_bytes(const struct gateway *gw, uint64_t *incoming, uint64_t *outgoing)
{
	*incoming = gw->spares.incoming.used;
	*outgoing = gw->outgoing.used;
}

void
gateway_walk_closes(const struct gateway *gw, gateway_close_f *f, void *arg)
{
	for (size_t i = 0; i < CONN_CLOSE_COUNT; i++)
		f(arg, closes[i].name, gw->closes[i], closes[i].text);
}

static void
due_arm(struct due_queue *q, uint64_t now_ms)
{
	const struct due *d = TAILQ_FIRST(&q->dues);
	struct timeval tv;

	if (d == NULL)
		return;
	tv = ms_to_timeval(d->at_ms > now_ms ? d->at_ms - now_ms : 0);
	if (evtimer_add(&q->timer, &tv) != 0)
		log_at(LOG_ERROR, "cannot set the timer of slow requests");
}

static uint64_t
due_time_ms(const struct gateway *gw, enum due_kind kind)
{
	switch (kind) {
	case DUE_HEAD:
		return gw->limits.head_timeout_ms;
	case DUE_IDLE:
		return gw->limits.idle_timeout_ms;
	case DUE_REQUEST:
	case DUE_KINDS:
		break;
	}
	return gw->limits.request_timeout_ms;
}

/* The timer is not moved when the first one leaves: it fires, finds nothing
 * to do, and is set anew.  That is once in a timeout, not per request. */
void
gateway_due_add(
    struct gateway *gw, struct due *d, struct conn *c, enum due_kind kind)
{
	struct due_queue *q = &gw->dues[kind];
	uint64_t now_ms = clock_mono_ms();

	d->conn = c;
	d->kind = (uint8_t)kind;
	d->at_ms = now_ms + due_time_ms(gw, kind);
	TAILQ_INSERT_TAIL(&q->dues, d, link);
	if (!evtimer_pending(&q->timer, NULL))
		due_arm(q, now_ms);
}

void
gateway_due_remove(struct gateway *gw, struct due *d)
{
	if (d->conn != NULL)
		TAILQ_REMOVE(&gw->dues[d->kind].dues, d, link);
	d->conn = NULL;
}

static void
due_cb(evutil_socket_t fd, short what, void *arg)
{
	struct due_queue *q = arg;
	uint64_t now_ms = clock_mono_ms();
	struct due *d;

	(void)fd;
	(void)what;
	while ((d = TAILQ_FIRST(&q->dues)) != NULL && d->at_ms <= now_ms) {
		struct conn *c = d->conn;

		gateway_due_remove(q->gw, d);
		c->ops->late(c);
	}
	due_arm(q, now_ms);
}
