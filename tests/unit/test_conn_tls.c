/*
 * tests/unit/test_conn_tls.c - connections under TLS, whose socket takes only
 * a little at a time: reading waits for room to write and the other way
 * round, and in between every byte arrives once.
 *
 * The client is OpenSSL's; the api does what each test tells it.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>
#include <openssl/ssl.h>

#include "api/api.h"
#include "auth/tls.h"
#include "base/clock.h"
#include "fcgi/gateway.h"
#include "tests/unit/certs.h"

#define SNDBUF 4608 /* the least there is */
#define CROWD 40
#define HANDSHAKES_A_TURN 16
#define TURNS_MAX 10000
#define GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

static struct tls_certs *certs;
static SSL_CTX *client_ctx;
static struct event_base *base;
static struct gateway *gateway;
static struct stats stats;
static struct request *request;
static unsigned abandoned;
static char scheme[16], https[4];

static void
copy_param(const struct request *r, const char *name, char *to, size_t size)
{
	struct slice s = params_get(&r->params, name);

	(void)snprintf(to, size, "%.*s", (int)s.len, s.ptr);
}

static void
send_part(const char *text, size_t len)
{
	struct payload *p = payload_new(text, len);

	assert_non_null(p);
	request->ops->send(request, p);
	payload_unref(&p);
}

/* A stream. */
void
api_handle(struct api *a, struct request *r)
{
	static const char head[] = "Status: 200\r\n\r\n";

	(void)a;
	copy_param(r, "REQUEST_SCHEME", scheme, sizeof(scheme));
	copy_param(r, "HTTPS", https, sizeof(https));
	request_shed(r);
	request = r;
	send_part(head, sizeof(head) - 1);
}

enum api_body
api_body(struct api *a, struct request *r)
{
	(void)a;
	(void)r;
	return API_BODY_TAKE;
}

void
api_refuse(struct api *a, struct request *r, int err)
{
	(void)a;
	(void)r;
	fail_msg("refused: %d", err);
}

void
api_tunnel(struct api *a, struct request *r, struct slice bytes)
{
	(void)a;
	(void)r;
	(void)bytes;
	fail();
}

void
api_drained(struct api *a, struct request *r)
{
	(void)a;
	(void)r;
}

void
api_abandon(struct api *a, struct request *r)
{
	(void)a;
	(void)r;
	abandoned++;
}

/* A certificate that is larger than what the socket takes. */
static int
setup(void **state)
{
	struct tls_wrong wrong;
	struct cert_files files;
	char names[7000];
	int at = snprintf(names, sizeof(names), "DNS:x");

	(void)state;
	for (int i = 0; i < 300; i++)
		at += snprintf(names + at, sizeof(names) - (size_t)at,
		    ",DNS:name-%d.example", i);
	if (cert_files_make(&files, CERT_EC, "x", names) != 0 ||
	    tls_certs_new(&certs) != 0 ||
	    tls_certs_add(certs, files.pem.path, files.key.path, &wrong) != 0)
		return -1;
	cert_files_close(&files);
	client_ctx = SSL_CTX_new(TLS_client_method());
	return client_ctx != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	SSL_CTX_free(client_ctx);
	tls_certs_unref(&certs);
	return 0;
}

static void
turn(void)
{
	assert_true(event_base_loop(base, EVLOOP_NONBLOCK) >= 0);
	gateway_reap(gateway);
}

static void
start(void)
{
	struct gateway_limits limits = { .max_params = 4096,
		.max_body = 4096,
		.request_timeout_ms = 60000,
		.max_unsent = 1 << 20,
		.max_unsent_ms = 60000,
		.head_timeout_ms = 60000,
		.idle_timeout_ms = 60000,
		.max_connections = 100 };

	memset(&stats, 0, sizeof(stats));
	request = NULL;
	abandoned = 0;
	base = event_base_new();
	assert_non_null(base);
	gateway = gateway_new(base, NULL, &stats, &limits);
	assert_non_null(gateway);
	gateway_set_certs(gateway, certs);
}

static void
stop(void)
{
	gateway_free(&gateway);
	assert_int_equal(stats.connections, 0);
	event_base_free(base);
}

static SSL *
client_new(int *fd, int sndbuf)
{
	SSL *ssl = SSL_new(client_ctx);
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	if (sndbuf != 0)
		assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF,
				     &sndbuf, sizeof(sndbuf)),
		    0);
	gateway_accept(gateway, fds[0], GATEWAY_HTTPS, false);
	*fd = fds[1];
	assert_int_equal(SSL_set_fd(ssl, *fd), 1);
	SSL_set_connect_state(ssl);
	return ssl;
}

static void
client_free(SSL *ssl, int fd)
{
	SSL_free(ssl);
	(void)close(fd);
	turn();
}

static void
shake(SSL *ssl)
{
	for (int i = 0; i < TURNS_MAX; i++) {
		if (SSL_do_handshake(ssl) == 1)
			return;
		turn();
	}
	fail();
}

/* The stream's next bytes, its chunks taken off. */
static void
expect(SSL *ssl, const char *bytes, size_t len)
{
	char *got = malloc(len);
	size_t n, at = 0;

	assert_non_null(got);
	for (int i = 0; i < TURNS_MAX && at < len; i++) {
		turn();
		if (SSL_read_ex(ssl, got + at, MIN_OF(len - at, 1000), &n) == 1)
			at += n;
	}
	assert_int_equal(at, len);
	assert_memory_equal(got, bytes, len);
	free(got);
}

static void
ask(SSL *ssl)
{
	char c, last[4] = "";

	assert_int_equal(SSL_write(ssl, GET, sizeof(GET) - 1), sizeof(GET) - 1);
	for (int i = 0; i < TURNS_MAX && memcmp(last, "\r\n\r\n", 4) != 0;) {
		if (SSL_read(ssl, &c, 1) != 1) {
			turn();
			i++;
			continue;
		}
		memmove(last, last + 1, 3);
		last[3] = c;
	}
	assert_non_null(request);
}

static void
tick_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

/* Nobody moves, so the loop sleeps: a wait for the wrong thing would spin. */
static void
assert_calm(void)
{
	static const struct timeval while_ = { 0, 20000 };
	volatile bool over = false; /* by tick_cb() */
	unsigned wakes = 0;

	turn();
	turn();
	assert_int_equal(event_base_once(base, -1, EV_TIMEOUT, tick_cb,
			     (void *)&over, &while_),
	    0);
	while (!over) {
		assert_true(event_base_loop(base, EVLOOP_ONCE) >= 0);
		wakes++;
	}
	assert_in_range(wakes, 1, 2);
}

static void
test_flight_in_pieces(void **state)
{
	SSL *ssl;
	int fd;

	(void)state;
	start();
	ssl = client_new(&fd, SNDBUF);
	assert_int_equal(SSL_do_handshake(ssl), -1);
	turn();
	assert_calm(); /* it waits for room, though nothing is to be read */
	shake(ssl);
	ask(ssl);
	assert_int_equal(stats.tls_handshakes, 1);
	assert_string_equal(scheme, "https");
	assert_string_equal(https, "on");
	client_free(ssl, fd);
	assert_int_equal(abandoned, 1);
	stop();
}

/* Many small ones wait, and are put together; a large one is cut. */
static void
test_parts(void **state)
{
	static char large[100000], head[16];
	SSL *ssl;
	int fd, n;

	(void)state;
	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char)(i * 7 ^ i >> 8);
	start();
	ssl = client_new(&fd, SNDBUF);
	shake(ssl);
	ask(ssl);
	for (int i = 0; i < 3000; i++)
		send_part(large + i, (size_t)(1 + i % 50));
	send_part(large, sizeof(large));
	send_part("end", 3);
	assert_true(request->ops->unsent(request) > sizeof(large));
	assert_calm();
	for (int i = 0; i < 3000; i++) {
		n = snprintf(head, sizeof(head), "%x\r\n", 1 + i % 50);
		expect(ssl, head, (size_t)n);
		expect(ssl, large + i, (size_t)(1 + i % 50));
		expect(ssl, "\r\n", 2);
	}
	expect(ssl, "186a0\r\n", 7);
	expect(ssl, large, sizeof(large));
	expect(ssl, "\r\n3\r\nend\r\n", 10);
	assert_int_equal(request->ops->unsent(request), 0);
	client_free(ssl, fd);
	stop();
}

/* The client wants new keys while nothing more can be written: reading waits
 * for writing, and what was to be said is said under both keys. */
static void
test_key_update(void **state)
{
	static char large[60000];
	SSL *ssl;
	int fd;

	(void)state;
	memset(large, 'x', sizeof(large));
	start();
	ssl = client_new(&fd, SNDBUF);
	shake(ssl);
	ask(ssl);
	send_part(large, sizeof(large));
	for (int i = 0; i < 5; i++) {
		assert_int_equal(
		    SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(ssl), 1);
		turn();
		assert_calm();
	}
	send_part("more", 4);
	expect(ssl, "ea60\r\n", 6);
	expect(ssl, large, sizeof(large));
	expect(ssl, "\r\n4\r\nmore\r\n", 11);
	send_part("last", 4);
	expect(ssl, "4\r\nlast\r\n", 9);
	client_free(ssl, fd);
	assert_int_equal(abandoned, 1);
	stop();
}

/* Who does not take what was gathered is not read from, whatever he says. */
static void
test_gathered(void **state)
{
	static const size_t lens[] = { 1000, 30000 };
	static char bytes[30000];
	SSL *ssl;
	int fd;

	(void)state;
	memset(bytes, 'g', sizeof(bytes));
	for (size_t i = 0; i < COUNT_OF(lens); i++) {
		start();
		ssl = client_new(&fd, SNDBUF);
		shake(ssl);
		ask(ssl);
		gateway_gather(gateway);
		for (int n = 0; n < 12; n++)
			send_part(bytes, lens[i]);
		gateway_gathered(gateway);
		assert_true(request->ops->unsent(request) != 0);
		assert_int_equal(SSL_write(ssl, GET, 5), 5);
		assert_calm();
		for (int n = 0; n < 12; n++) {
			expect(ssl, i == 0 ? "3e8\r\n" : "7530\r\n",
			    i == 0 ? 5 : 6);
			expect(ssl, bytes, lens[i]);
			expect(ssl, "\r\n", 2);
		}
		assert_calm();
		client_free(ssl, fd);
		assert_int_equal(abandoned, 1);
		stop();
	}
}

/* A turn makes so many steps; who got none gets it in the next. */
static void
test_crowd(void **state)
{
	SSL *ssl[CROWD];
	int fds[CROWD], answered;
	char c;

	(void)state;
	start();
	for (int i = 0; i < CROWD; i++) {
		ssl[i] = client_new(&fds[i], 0);
		assert_int_equal(SSL_do_handshake(ssl[i]), -1);
	}
	for (int done = 0; done < CROWD; done = answered) {
		assert_true(
		    event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK) >= 0);
		answered = 0;
		for (int i = 0; i < CROWD; i++)
			answered += recv(fds[i], &c, 1, MSG_PEEK) == 1;
		assert_int_equal(
		    answered, MIN_OF(done + HANDSHAKES_A_TURN, CROWD));
	}
	for (int i = 0; i < CROWD; i++) {
		shake(ssl[i]);
		turn();
		client_free(ssl[i], fds[i]);
	}
	stop();
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flight_in_pieces),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_key_update),
		cmocka_unit_test(test_gathered),
		cmocka_unit_test(test_crowd),
	};

	if (system("openssl version >/dev/null 2>&1") != 0) {
		(void)printf("1..0 # SKIP there is no openssl(1)\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
