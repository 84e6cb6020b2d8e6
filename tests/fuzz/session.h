/*
 * tests/fuzz/session.h - a gateway on one end of a socket pair, fuzzed bytes
 * on the other, and an api that holds the gateway to its contract.
 *
 * A request is refused or handed over once, and then answered once or
 * abandoned once.  Requests with a body of odd length are parked and answered
 * later, or given up with their connection.
 */
#ifndef TESTS_FUZZ_SESSION_H
#define TESTS_FUZZ_SESSION_H

#include "base/base.h"

#include <event2/event.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/api.h"
#include "base/log.h"
#include "fcgi/gateway.h"

#define CHECK(c) \
	do { \
		if (!(c)) \
			abort(); \
	} while (0)

struct parked {
	LIST_ENTRY(parked) link;
	struct request *r;
};

static LIST_HEAD(, parked) all_parked = LIST_HEAD_INITIALIZER(all_parked);
static struct event_base *base;
static struct stats stats;
static struct gateway *gateway;

static void
answer(struct request *r, const char *text, size_t len)
{
	struct payload *p = payload_new(text, len);

	CHECK(p != NULL && r->wait == NULL);
	r->ops->reply(r, p);
	payload_unref(&p);
}

static struct request *
unpark(struct parked *w)
{
	struct request *r = w->r;

	CHECK(r->wait == w);
	r->wait = NULL;
	LIST_REMOVE(w, link);
	free(w);
	return r;
}

void
api_handle(struct api *a, struct request *r)
{
	struct parked *w;

	(void)a;
	CHECK(r->wait == NULL);
	if (r->body.len % 2 == 0) {
		answer(r, r->params.raw.data, r->params.raw.len);
		return;
	}
	w = malloc(sizeof(*w));
	CHECK(w != NULL);
	w->r = r;
	r->wait = w;
	LIST_INSERT_HEAD(&all_parked, w, link);
	request_shed(r);
}

void
api_refuse(struct api *a, struct request *r, int err)
{
	(void)a;
	CHECK(err == ERR_SYNTAX || err == ERR_TOOBIG);
	answer(r, "Status: 400\r\n\r\n", 15);
}

void
api_abandon(struct api *a, struct request *r)
{
	(void)a;
	CHECK(r->wait != NULL);
	(void)unpark(r->wait);
}

static void
turn(void)
{
	CHECK(event_base_loop(base, EVLOOP_NONBLOCK) >= 0);
	gateway_reap(gateway);
}

static void
session_start(void)
{
	static const struct gateway_limits limits = {
		.max_params = 4096,
		.max_body = 4096,
		.request_timeout_ms = 60000,
		.max_connections = 10,
	};

	log_set_level(LOG_ERROR);
	base = event_base_new();
	CHECK(base != NULL);
	gateway = gateway_new(base, NULL, &stats, &limits);
	CHECK(gateway != NULL);
}

/* Send, read what comes back so that nothing blocks, and let it work. */
static void
session_send(int fd, const uint8_t *data, size_t size)
{
	char drop[4096];

	while (size != 0) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

		turn();
		while (recv(fd, drop, sizeof(drop), MSG_DONTWAIT) > 0)
			;
		turn();
		if (n < 0)
			return; /* closed on us, as is its right */
		data += n;
		size -= (size_t)n;
	}
}

/*
 * The bytes in two parts; then some parked requests are answered, and the
 * front goes away.  Nothing may be left.
 */
static void
session_run(
    enum gateway_kind kind, const uint8_t *data, size_t size, size_t cut)
{
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	gateway_accept(gateway, fds[0], kind, false);
	session_send(fds[1], data, cut);
	session_send(fds[1], data + cut, size - cut);
	if (cut % 2 != 0 && !LIST_EMPTY(&all_parked))
		answer(unpark(LIST_FIRST(&all_parked)), "late", 4);
	turn();
	/* Closing alone takes effect later if somebody, lsof for one, just
	 * looks at our descriptors. */
	(void)shutdown(fds[1], SHUT_RDWR);
	turn();
	(void)close(fds[1]);
	turn();
	CHECK(LIST_EMPTY(&all_parked));
	CHECK(!gateway_busy(gateway) && stats.connections == 0);
}

#endif
