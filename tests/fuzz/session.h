/*
 * tests/fuzz/session.h - a gateway on one end of a socket pair, fuzzed bytes
 * on the other, and an api that holds the gateway to its contract.
 *
 * A request is refused or handed over once, and then answered once or
 * abandoned once.  Requests with a body of odd length are parked and answered
 * later, or given up with their connection.  One with a parameter STREAM is
 * answered in parts, more of them than the kernel takes at once, and ended
 * when they are taken.  (A client of HTTP says X-Stream.)  One that could be a tunnel becomes one, unless it
 * has NO_TUNNEL: it hears its own bytes, and an exclamation mark ends it.
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
#include "tests/fuzz/check.h"

#define STREAM_PARTS 40
#define SNDBUF 4608 /* the least there is */

struct parked {
	LIST_ENTRY(parked) link;
	struct request *r;
	bool streaming; /* has its head: not to be replied to */
	bool held;	/* something sent had to wait */
};

static LIST_HEAD(, parked) all_parked = LIST_HEAD_INITIALIZER(all_parked);
static struct event_base *base;
static struct stats stats;
static struct gateway *gateway;

static void
answer(struct request *r, const char *text, size_t len)
{
	static const char head[] = "Status: 200 OK\r\nX: y\r\n\r\n";
	char all[8192];
	struct payload *p;

	CHECK(sizeof(head) + len <= sizeof(all));
	memcpy(all, head, sizeof(head) - 1);
	if (len != 0)
		memcpy(all + sizeof(head) - 1, text, len);
	p = payload_new(all, sizeof(head) - 1 + len);
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

static struct parked *
park(struct request *r)
{
	struct parked *w = calloc(1, sizeof(*w));

	CHECK(w != NULL && r->wait == NULL);
	w->r = r;
	r->wait = w;
	LIST_INSERT_HEAD(&all_parked, w, link);
	return w;
}

static void
send_part(struct parked *w, const char *bytes, size_t len)
{
	struct payload *p = payload_new(bytes, len);

	CHECK(p != NULL);
	w->streaming = true;
	w->r->ops->send(w->r, p);
	payload_unref(&p);
	w->held = w->r->ops->unsent(w->r) != 0;
}

static void
end(struct parked *w)
{
	bool streaming = w->streaming;
	struct request *r = unpark(w);

	if (streaming)
		r->ops->finish(r);
	else
		answer(r, "late", 4);
}

static void
stream(struct parked *w)
{
	static const char part[1000];

	send_part(w, "Status: 200\r\n\r\n", 15);
	for (size_t i = 0; i < STREAM_PARTS; i++)
		send_part(w, part, sizeof(part) - i);
}

/* A body may be refused, and the request with it, or dropped. */
enum api_body
api_body(struct api *a, struct request *r)
{
	(void)a;
	CHECK(r->wait == NULL && !r->tunnel);
	if (params_get(&r->params, "HTTP_X_DROP").ptr != NULL)
		return API_BODY_DROP;
	if (params_get(&r->params, "HTTP_X_REFUSE").ptr == NULL)
		return API_BODY_TAKE;
	answer(r, NULL, 0);
	return API_BODY_REFUSED;
}

void
api_handle(struct api *a, struct request *r)
{
	struct parked *w;

	(void)a;
	CHECK(r->wait == NULL && !r->tunnel);
	if (r->upgrade && params_get(&r->params, "NO_TUNNEL").ptr == NULL) {
		w = park(r);
		r->tunnel = true;
		send_part(w, "Status: 101\r\n\r\n", 15);
	} else if (params_get(&r->params, "STREAM").ptr != NULL ||
	    params_get(&r->params, "HTTP_X_STREAM").ptr != NULL) {
		stream(park(r));
	} else if (r->body.len % 2 == 0) {
		answer(r, r->params.raw.data, r->params.raw.len);
		return;
	} else {
		(void)park(r);
	}
	request_shed(r);
}

void
api_tunnel(struct api *a, struct request *r, struct slice bytes)
{
	(void)a;
	CHECK(r->wait != NULL && r->tunnel && bytes.len != 0);
	send_part(r->wait, bytes.ptr, bytes.len);
	if (memchr(bytes.ptr, '!', bytes.len) != NULL)
		end(r->wait);
}

void
api_drained(struct api *a, struct request *r)
{
	struct parked *w = r->wait;

	(void)a;
	CHECK(w != NULL && w->streaming && r->ops->unsent(r) == 0);
	if (w->held && !r->tunnel)
		end(w);
}

void
api_refuse(struct api *a, struct request *r, int err)
{
	(void)a;
	CHECK(err == ERR_SYNTAX || err == ERR_TOOBIG || err == ERR_PARAMS ||
	    err == ERR_URI || err == ERR_HEAD || err == ERR_CODING ||
	    err == ERR_HTTP || err == ERR_EXPECT);
	answer(r, "refused", 7);
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
		.max_unsent = 65536,
		.max_unsent_ms = 60000,
		.max_connections = 10,
		.head_timeout_ms = 60000,
		.idle_timeout_ms = 60000,
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
	int fds[2], sndbuf = SNDBUF;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	CHECK(setsockopt(
		  fds[0], SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf)) == 0);
	gateway_accept(gateway, fds[0], kind, false);
	session_send(fds[1], data, cut);
	session_send(fds[1], data + cut, size - cut);
	if (cut % 2 != 0 && !LIST_EMPTY(&all_parked))
		end(LIST_FIRST(&all_parked));
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
