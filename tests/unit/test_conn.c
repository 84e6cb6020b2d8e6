/*
 * tests/unit/test_conn.c - streaming answers, slow readers and tunnels, over a
 * socket pair and with an api that does what each test tells it.
 *
 * A stream or a tunnel lives for days and its reader may stop reading at any
 * byte: what waits for him is bounded, nothing is lost or said twice before
 * the bound, and his bytes reach nobody after the request's end.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static unsigned writes;

static ssize_t
counted_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	writes++;
	return sendmsg(fd, msg, flags);
}

#define sendmsg counted_sendmsg
#include "fcgi/conn_out.c"
#undef sendmsg

#include "base/clock.h"

static uint64_t later_ms; /* connections believe that so much has passed */

static uint64_t
shifted_mono_ms(void)
{
	return clock_mono_ms() + later_ms;
}

#define clock_mono_ms shifted_mono_ms
#include "fcgi/conn.c"
#undef clock_mono_ms

#include "api/api.h"
#include "base/log.h"
#include "fcgi/gateway.h"
#include "tests/unit/slow.h"

#define S(literal) literal, sizeof(literal) - 1
#define SNDBUF 4608 /* the least there is */
#define MAX_UNSENT 65536
#define PATIENCE_MS 5000
#define WIRE_MAX (1 << 20)
#define LINES 1000 /* parts: more than answers may wait */

enum mode {
	PARK,
	REPLY,
	STREAM,
	TUNNEL
};

/* What the api was asked, and is to do. */
static struct {
	enum mode mode;
	struct request *requests[8];
	unsigned n, abandoned, refused, drained, asked;
	enum api_body body;
	size_t body_len; /* of the request that was handled last */
	bool upgrade;
	bool finish_drained;
	char tunnel[4096];
	size_t tunnel_len;
} api;

static struct event_base *base;
static struct gateway *gateway;
static struct stats stats;
static int front, ours;
static struct gateway_limits limits;

static struct payload *
text_payload(const char *text, size_t len)
{
	struct payload *p = payload_new(text, len);

	assert_non_null(p);
	return p;
}

static void
send_part(struct request *r, const char *text, size_t len)
{
	struct payload *p = text_payload(text, len);

	r->ops->send(r, p);
	payload_unref(&p);
}

static void
send_zeros(struct request *r, size_t len)
{
	char *zeros = calloc(1, len);

	assert_non_null(zeros);
	send_part(r, zeros, len);
	free(zeros);
}

static void
reply(struct request *r, const char *text, size_t len)
{
	struct payload *p = text_payload(text, len);

	r->ops->reply(r, p);
	payload_unref(&p);
}

void
api_handle(struct api *a, struct request *r)
{
	(void)a;
	api.upgrade = r->upgrade;
	api.body_len = r->body.len;
	assert_true(api.n < COUNT_OF(api.requests));
	api.requests[api.n++] = r;
	if (api.mode == REPLY) {
		reply(r, S("Status: 403\r\n\r\n"));
		return;
	}
	request_shed(r);
	r->tunnel = api.mode == TUNNEL;
	if (api.mode == TUNNEL)
		send_part(r, S("Status: 101\r\n\r\n"));
	else if (api.mode == STREAM)
		send_part(r, S("Status: 200\r\n\r\n"));
}

enum api_body
api_body(struct api *a, struct request *r)
{
	(void)a;
	api.asked++;
	if (api.body == API_BODY_REFUSED)
		reply(r, S("Status: 403\r\n\r\n"));
	return api.body;
}

void
api_refuse(struct api *a, struct request *r, int err)
{
	(void)a;
	assert_int_not_equal(err, 0);
	api.refused++;
	reply(r, S("Status: 400\r\n\r\n"));
}

/* Echo; an exclamation mark is the end. */
void
api_tunnel(struct api *a, struct request *r, struct slice bytes)
{
	(void)a;
	assert_true(r->tunnel && bytes.len != 0);
	if (api.tunnel_len + bytes.len <= sizeof(api.tunnel)) {
		memcpy(api.tunnel + api.tunnel_len, bytes.ptr, bytes.len);
		api.tunnel_len += bytes.len;
	}
	send_part(r, bytes.ptr, bytes.len);
	if (memchr(bytes.ptr, '!', bytes.len) != NULL)
		r->ops->finish(r);
}

void
api_drained(struct api *a, struct request *r)
{
	(void)a;
	assert_int_equal(r->ops->unsent(r), 0);
	api.drained++;
	if (api.finish_drained) /* all, not only the one that we were told */
		while (api.n != 0) {
			r = api.requests[--api.n];
			r->ops->finish(r);
		}
}

void
api_abandon(struct api *a, struct request *r)
{
	(void)a;
	assert_non_null(r);
	api.abandoned++;
}

static void
turn(void)
{
	assert_true(event_base_loop(base, EVLOOP_NONBLOCK) >= 0);
	gateway_reap(gateway);
}

static void
start(enum gateway_kind kind, enum mode mode)
{
	int fds[2], sndbuf = SNDBUF;

	memset(&api, 0, sizeof(api));
	memset(&stats, 0, sizeof(stats));
	later_ms = 0;
	api.mode = mode;
	limits = (struct gateway_limits){ .max_params = 4096,
		.max_body = 4096,
		.request_timeout_ms = 60000,
		.max_unsent = MAX_UNSENT,
		.max_unsent_ms = 60000,
		.head_timeout_ms = 60000,
		.idle_timeout_ms = 60000,
		.max_connections = 10 };
	base = event_base_new();
	assert_non_null(base);
	gateway = gateway_new(base, NULL, &stats, &limits);
	assert_non_null(gateway);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	ours = fds[0];
	front = fds[1];
	assert_int_equal(
	    setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf)),
	    0);
	gateway_accept(gateway, ours, kind, false);
}

static void
stop(void)
{
	(void)close(front);
	gateway_free(&gateway);
	assert_int_equal(stats.connections, 0);
	event_base_free(base);
}

static void
say(const char *bytes, size_t len)
{
	assert_int_equal(send(front, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
	turn();
}

/* What there is to read now, and what comes when it was taken. */
static size_t
hear(char *out, size_t max)
{
	size_t at = 0;
	ssize_t n;

	turn();
	while ((n = recv(front, out + at, max - at, 0)) > 0) {
		at += (size_t)n;
		turn();
	}
	return at;
}

static void
assert_heard(const char *bytes, size_t len)
{
	char got[4096];
	size_t n = hear(got, sizeof(got));

	assert_int_equal(n, len);
	assert_memory_equal(got, bytes, len);
}

/* EOF, not just silence. */
static void
assert_closed(void)
{
	char c;

	turn();
	assert_int_equal(recv(front, &c, 1, 0), 0);
}

struct close_wanted {
	const char *name;
	uint64_t count;
};

static void
close_look(void *arg, const char *name, uint64_t count, const char *help)
{
	struct close_wanted *w = arg;

	(void)help;
	if (strcmp(name, w->name) == 0)
		w->count = count;
}

static uint64_t
closes(const char *name)
{
	struct close_wanted w = { name, UINT64_MAX };

	gateway_walk_closes(gateway, close_look, &w);
	assert_true(w.count != UINT64_MAX);
	return w.count;
}

/* Let the loop wait until this close was counted. */
static uint64_t
await_close(const char *name)
{
	static const struct timeval look = { 0, 20000 };
	uint64_t from = clock_mono_ms();

	while (closes(name) == 0) {
		assert_true(clock_mono_ms() - from < PATIENCE_MS);
		assert_int_equal(event_base_loopexit(base, &look), 0);
		assert_true(event_base_loop(base, EVLOOP_ONCE) >= 0);
	}
	gateway_reap(gateway);
	return clock_mono_ms() - from;
}

/* SCGI: one request, extra fields as "NAME\0value\0". */
static void
scgi_say(const char *fields, size_t len, const char *rest)
{
	static const char head[] = "CONTENT_LENGTH\0"
				   "0\0"
				   "SCGI\0"
				   "1\0"
				   "REQUEST_METHOD\0"
				   "GET";
	char wire[4096];
	int at = snprintf(wire, sizeof(wire), "%zu:", sizeof(head) + len);
	size_t n = (size_t)at;

	memcpy(wire + n, head, sizeof(head));
	n += sizeof(head);
	memcpy(wire + n, fields, len);
	n += len;
	wire[n++] = ',';
	memcpy(wire + n, rest, strlen(rest));
	say(wire, n + strlen(rest));
}

/* HTTP */

#define HTTP_GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

/* The next bytes are a response with this status line and end so. */
static void
assert_heard_http(const char *status, const char *end)
{
	char got[4096];
	size_t n = hear(got, sizeof(got));

	if (n < strlen(end) || strncmp(got, status, strlen(status)) != 0 ||
	    memcmp(got + n - strlen(end), end, strlen(end)) != 0)
		fail_msg("heard %.*s", (int)n, got);
}

#define WEBSOCKET \
	"HTTP_UPGRADE\0" \
	"WebSocket\0" \
	"HTTP_CONNECTION\0" \
	"keep-alive, UpGrade\0"

/* FastCGI */

static size_t
record(char *out, uint8_t type, uint16_t id, const char *content, size_t len)
{
	out[0] = FCGI_VERSION_1;
	out[1] = (char)type;
	out[2] = (char)(id >> 8);
	out[3] = (char)id;
	out[4] = (char)(len >> 8);
	out[5] = (char)len;
	out[6] = 0;
	out[7] = 0;
	memcpy(out + FCGI_HEADER_LEN, content, len);
	return FCGI_HEADER_LEN + len;
}

static void
record_say(uint8_t type, uint16_t id, const char *content, size_t len)
{
	char wire[4096];

	say(wire, record(wire, type, id, content, len));
}

static void
begin_say(uint16_t id, const char *params, size_t len)
{
	record_say(FCGI_BEGIN_REQUEST, id, S("\0\1\1\0\0\0\0\0"));
	record_say(FCGI_PARAMS, id, S("\16\3REQUEST_METHODGET"));
	if (len != 0)
		record_say(FCGI_PARAMS, id, params, len);
	record_say(FCGI_PARAMS, id, "", 0);
}

#define FCGI_WEBSOCKET \
	"\14\11" \
	"HTTP_UPGRADEwebsocket"

static void
assert_heard_record(uint8_t type, uint16_t id, const char *content, size_t len)
{
	char wire[4096];

	assert_heard(wire, record(wire, type, id, content, len));
}

static void
assert_heard_finish(uint16_t id)
{
	char wire[64];
	size_t n = record(wire, FCGI_STDOUT, id, "", 0);

	n += record(wire + n, FCGI_END_REQUEST, id, S("\0\0\0\0\0\0\0\0"));
	assert_heard(wire, n);
}

static void
test_scgi_stream(void **state)
{
	struct request *r;

	(void)state;
	start(GATEWAY_SCGI, STREAM);
	scgi_say(S(""), "");
	assert_false(api.upgrade);
	r = api.requests[0];
	send_part(r, S("one"));
	send_part(r, S(""));
	send_part(r, S("two"));
	assert_int_equal(r->ops->unsent(r), 0);
	assert_heard(S("Status: 200\r\n\r\nonetwo"));
	assert_true(gateway_busy(gateway));
	r->ops->finish(r);
	assert_false(gateway_busy(gateway));
	assert_closed();
	assert_int_equal(closes("answered"), 1);
	assert_int_equal(api.abandoned, 0);
	assert_int_equal(api.drained, 0);
	stop();
}

/* The connection is the next request's when a stream on it has ended. */
static void
test_fcgi_stream(void **state)
{
	struct request *r;

	(void)state;
	start(GATEWAY_FASTCGI, STREAM);
	for (unsigned i = 0; i < 2; i++) {
		begin_say(7, "", 0);
		assert_int_equal(api.n, i);
		record_say(FCGI_STDIN, 7, "", 0);
		assert_int_equal(api.n, i + 1);
		r = api.requests[i];
		assert_heard_record(FCGI_STDOUT, 7, S("Status: 200\r\n\r\n"));
		send_part(r, S(""));
		send_part(r, S("one"));
		assert_heard_record(FCGI_STDOUT, 7, S("one"));
		r->ops->finish(r);
		assert_heard_finish(7);
	}
	assert_false(gateway_busy(gateway));
	assert_int_equal(stats.connections, 1);
	stop();
}

/* Whatever the kernel takes at a time, the bytes are the same, in order; the
 * end comes behind all of them. */
static void
test_backlog_is_whole(void **state)
{
	char *wire = malloc(WIRE_MAX), text[16];
	struct fcgi_reader reader = { .have = 0 };
	struct fcgi_piece p = { .type = 0 };
	struct slice in;
	struct request *r;
	unsigned i;
	char seen[16];
	size_t at = 0;

	(void)state;
	assert_non_null(wire);
	start(GATEWAY_FASTCGI, STREAM);
	limits.max_unsent = WIRE_MAX;
	gateway_set_limits(gateway, &limits);
	begin_say(1, "", 0);
	record_say(FCGI_STDIN, 1, "", 0);
	r = api.requests[0];
	for (i = 0; i < LINES; i++) {
		(void)snprintf(text, sizeof(text), "line %7u\n", i);
		send_part(r, text, 13);
	}
	send_zeros(r, 3000);
	assert_true(r->ops->unsent(r) > 3000);
	r->ops->finish(r);
	in = (struct slice){ wire, hear(wire, WIRE_MAX) };
	assert_int_equal(fcgi_read(&reader, &in, &p), CODEC_DONE);
	for (i = 0; i < LINES; i++) {
		(void)snprintf(text, sizeof(text), "line %7u\n", i);
		assert_int_equal(fcgi_read(&reader, &in, &p), CODEC_DONE);
		assert_int_equal(p.content.len, 13);
		memcpy(seen, p.content.ptr, 13);
		assert_memory_equal(seen, text, 13);
	}
	while (
	    fcgi_read(&reader, &in, &p) == CODEC_DONE && p.type == FCGI_STDOUT)
		at += p.content.len;
	assert_int_equal(at, 3000);
	assert_int_equal(p.type, FCGI_END_REQUEST);
	assert_int_equal(in.len, 0);
	assert_int_equal(closes("flood"), 0);
	stop();
	free(wire);
}

/* Fill the kernel's buffer: from here on parts wait. */
static struct request *
stream_stuck(enum gateway_kind kind)
{
	struct request *r;

	start(kind, STREAM);
	if (kind == GATEWAY_SCGI) {
		scgi_say(S(""), "");
	} else {
		begin_say(1, "", 0);
		record_say(FCGI_STDIN, 1, "", 0);
	}
	r = api.requests[0];
	while (r->ops->unsent(r) == 0)
		send_zeros(r, 512);
	return r;
}

static void
test_bound_of_bytes(void **state)
{
	struct request *r = stream_stuck(GATEWAY_SCGI);

	(void)state;
	/* Nothing is given up from within, but at the turn's end. */
	while (closes("behind_bytes") == 0) {
		assert_true(r->ops->unsent(r) <= MAX_UNSENT);
		send_zeros(r, 1000);
	}
	send_part(r, S("of no interest"));
	assert_int_equal(r->ops->unsent(r), 0);
	assert_int_equal(api.abandoned, 0);
	turn();
	assert_int_equal(api.abandoned, 1);
	assert_false(gateway_busy(gateway));
	stop();
}

/* A part of a few bytes costs more than them. */
static void
test_bound_of_small_parts(void **state)
{
	struct request *r = stream_stuck(GATEWAY_SCGI);
	unsigned n = 0;

	(void)state;
	for (; closes("behind_bytes") == 0 && n < MAX_UNSENT; n++)
		send_part(r, S("."));
	assert_in_range(n, MAX_UNSENT / 256, MAX_UNSENT / 64);
	stop();
}

/* What is larger than the bound can be delivered all the same. */
static void
test_large_part_alone(void **state)
{
	char *wire = malloc(WIRE_MAX);
	struct request *r;

	(void)state;
	assert_non_null(wire);
	start(GATEWAY_SCGI, STREAM);
	scgi_say(S(""), "");
	r = api.requests[0];
	assert_heard(S("Status: 200\r\n\r\n"));
	send_zeros(r, 2 * MAX_UNSENT);
	assert_true(r->ops->unsent(r) > MAX_UNSENT);
	assert_int_equal(hear(wire, WIRE_MAX), 2 * MAX_UNSENT);
	assert_int_equal(api.drained, 1);
	send_zeros(r, 2 * MAX_UNSENT);
	send_part(r, S("and one more"));
	assert_int_equal(closes("behind_bytes"), 1);
	stop();
	free(wire);
}

/* An answer of many megabytes is no stream: its front has request_timeout. */
static void
test_no_bound_of_replies(void **state)
{
	char *big = calloc(1, 8 * MAX_UNSENT), *wire = malloc(WIRE_MAX);

	(void)state;
	assert_true(big != NULL && wire != NULL);
	start(GATEWAY_FASTCGI, PARK);
	limits.max_unsent_ms = 1;
	gateway_set_limits(gateway, &limits);
	for (uint16_t id = 1; id <= 2; id++) {
		begin_say(id, "", 0);
		record_say(FCGI_STDIN, id, "", 0);
	}
	for (unsigned i = 0; i < 2; i++)
		reply(api.requests[i], big, 8 * MAX_UNSENT - 100);
	(void)usleep(2000);
	assert_true(hear(wire, WIRE_MAX) > 15 * MAX_UNSENT);
	assert_int_equal(stats.connections, 1);
	stop();
	free(big);
	free(wire);
}

/* Take so much, as the kernel gives it. */
static void
take(size_t len)
{
	char some[4096];
	ssize_t n;

	for (; len != 0; len -= (size_t)n) {
		n = recv(front, some, MIN_OF(len, sizeof(some)), 0);
		assert_true(n > 0);
		turn();
	}
}

/* An answer takes its time, but not for ever: who reads a drop now and then
 * has so many seconds for so many bytes. */
static void
test_slow_reply(void **state)
{
	static char text[12 * SLOW_RATE];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		start(i == 0 ? GATEWAY_FASTCGI : GATEWAY_SCGI, PARK);
		if (i == 0) {
			begin_say(1, "", 0);
			record_say(FCGI_STDIN, 1, "", 0);
		} else {
			scgi_say(S(""), "");
		}
		reply(api.requests[0], text, sizeof(text));
		assert_true(
		    conn_unsent(TAILQ_FIRST(&gateway->conns)) > 8 * SLOW_RATE);
		later_ms = 40000;
		take(8192);
		later_ms = 60000 + 7000;
		take(8192);
		assert_int_equal(stats.connections, 1);
		later_ms = 60000 + 12000;
		(void)recv(front, text, 8192, 0);
		turn();
		assert_int_equal(closes("slow"), 1);
		stop();
	}
}

/* Who took the answer and goes on is not listened to for ever. */
static void
test_lingering_ends(void **state)
{
	static const char refused[] = "9:NOT\0AN\0OK,";

	(void)state;
	start(GATEWAY_SCGI, PARK);
	say(S(refused));
	assert_int_equal(api.refused, 1);
	take(sizeof("Status: 400\r\n\r\n") - 1);
	for (later_ms = 0; later_ms < 60000; later_ms += 4000)
		say(S("x"));
	assert_int_equal(closes("linger"), 0);
	later_ms = 60001;
	say(S("x"));
	assert_int_equal(closes("linger"), 1);
	stop();
}

static void
test_bound_of_time(void **state)
{
	struct request *r;

	(void)state;
	start(GATEWAY_SCGI, STREAM);
	limits.max_unsent_ms = 30;
	limits.request_timeout_ms = PATIENCE_MS / 2;
	gateway_set_limits(gateway, &limits);
	scgi_say(S(""), "");
	r = api.requests[0];
	while (r->ops->unsent(r) == 0)
		send_zeros(r, 512);
	assert_true(await_close("behind_time") < PATIENCE_MS);
	assert_int_equal(api.abandoned, 1);
	stop();
}

/* Who takes a little now and then makes progress, and is behind. */
static void
test_bound_of_time_with_progress(void **state)
{
	char some[MAX_UNSENT];
	uint64_t from;

	(void)state;
	start(GATEWAY_FASTCGI, STREAM);
	limits.max_unsent_ms = 60 * slowness();
	limits.request_timeout_ms = 50 * slowness(); /* if nothing moved */
	gateway_set_limits(gateway, &limits);
	begin_say(1, "", 0);
	record_say(FCGI_STDIN, 1, "", 0);
	send_zeros(api.requests[0], 64 * MAX_UNSENT);
	from = clock_mono_ms();
	while (closes("behind_time") == 0) {
		assert_true(clock_mono_ms() - from < PATIENCE_MS * slowness());
		assert_int_equal(closes("slow"), 0);
		(void)recv(front, some, sizeof(some), 0);
		(void)usleep(1000);
		turn();
	}
	assert_true(clock_mono_ms() - from >= 50 * slowness());
	assert_int_equal(closes("slow"), 0);
	stop();
}

/* The age is the oldest part's, not the stream's: a reader who keeps up but
 * is never quite done may stay. */
static void
test_age_begins_anew(void **state)
{
	struct request *r = stream_stuck(GATEWAY_SCGI);
	uint64_t from = clock_mono_ms();
	char some[4096];

	(void)state;
	limits.max_unsent_ms = 300;
	gateway_set_limits(gateway, &limits);
	while (clock_mono_ms() - from < 400) {
		send_zeros(r, 600);
		if (r->ops->unsent(r) > 20000)
			(void)recv(front, some, sizeof(some), 0);
		(void)usleep(1000);
		turn();
	}
	assert_int_equal(api.drained, 0);
	assert_int_equal(stats.connections, 1);
	stop();
}

static void
test_drained(void **state)
{
	struct request *r = stream_stuck(GATEWAY_SCGI);
	char *wire = malloc(WIRE_MAX);

	(void)state;
	assert_non_null(wire);
	turn();
	assert_int_equal(api.drained, 0);
	(void)hear(wire, WIRE_MAX);
	assert_int_equal(api.drained, 1);
	assert_int_equal(r->ops->unsent(r), 0);
	api.finish_drained = true;
	send_zeros(r, MAX_UNSENT);
	assert_true(r->ops->unsent(r) != 0);
	assert_int_equal(hear(wire, WIRE_MAX), MAX_UNSENT);
	assert_int_equal(api.drained, 2);
	assert_closed();
	assert_int_equal(api.abandoned, 0);
	stop();
	free(wire);
}

/* One call may end its neighbours: they are not called any more. */
static void
test_drained_ends_all(void **state)
{
	char *wire = malloc(WIRE_MAX);

	(void)state;
	assert_non_null(wire);
	start(GATEWAY_FASTCGI, STREAM);
	for (uint16_t id = 1; id <= 5; id++) {
		begin_say(id, "", 0);
		record_say(FCGI_STDIN, id, "", 0);
	}
	send_zeros(api.requests[3], MAX_UNSENT);
	api.finish_drained = true;
	(void)hear(wire, WIRE_MAX);
	assert_int_equal(api.drained, 1);
	assert_int_equal(api.n, 0);
	assert_false(gateway_busy(gateway));
	assert_int_equal(stats.connections, 1);
	stop();
	free(wire);
}

/* Who waits for his first byte has nothing that could drain. */
static void
test_drained_streams_only(void **state)
{
	char *wire = malloc(WIRE_MAX);

	(void)state;
	assert_non_null(wire);
	start(GATEWAY_FASTCGI, STREAM);
	for (uint16_t id = 1; id <= 3; id++) {
		begin_say(id, "", 0);
		api.mode = id == 1 ? PARK : STREAM;
		record_say(FCGI_STDIN, id, "", 0);
	}
	send_zeros(api.requests[1], MAX_UNSENT);
	(void)hear(wire, WIRE_MAX);
	assert_int_equal(api.drained, 2);
	stop();
	free(wire);
}

/* One by one they would be 320 calls. */
static void
test_many_parts_in_a_write(void **state)
{
	struct request *r = stream_stuck(GATEWAY_FASTCGI);
	char *wire = malloc(WIRE_MAX);
	int more = 1 << 20;
	size_t n = r->ops->unsent(r);

	(void)state;
	assert_non_null(wire);
	for (unsigned i = 0; i < 320; i++)
		send_part(r, S("a small message"));
	assert_int_equal(r->ops->unsent(r), n + 320 * (15 + FCGI_HEADER_LEN));
	assert_int_equal(
	    setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &more, sizeof(more)), 0);
	writes = 0;
	(void)hear(wire, WIRE_MAX);
	assert_int_equal(r->ops->unsent(r), 0);
	assert_in_range(writes, 20, 24);
	stop();
	free(wire);
}

static struct request *
stream_heard(void)
{
	start(GATEWAY_SCGI, STREAM);
	scgi_say(S(""), "");
	assert_heard(S("Status: 200\r\n\r\n"));
	return api.requests[0];
}

/* What the kernel has for the front, with no turn of the loop between. */
static void
assert_there(const char *bytes, size_t len)
{
	char got[4096];

	assert_int_equal(recv(front, got, sizeof(got), 0), len);
	assert_memory_equal(got, bytes, len);
}

static void
test_gathered(void **state)
{
	struct request *r = stream_heard();

	(void)state;
	for (unsigned i = 1; i <= 2; i++) {
		gateway_gather(gateway);
		send_part(r, S("first"));
		send_part(r, S("second"));
		send_part(r, S("third"));
		assert_there(S("first"));
		assert_int_equal(r->ops->unsent(r), 11);
		writes = 0;
		gateway_gathered(gateway);
		assert_there(S("secondthird"));
		assert_int_equal(writes, 1);
		assert_int_equal(r->ops->unsent(r), 0);
		assert_int_equal(api.drained, i);
	}
	send_part(r, S("alone"));
	send_part(r, S("again"));
	assert_there(S("aloneagain"));
	stop();
}

/* None waits for long, and all come in order. */
static void
test_gathered_much(void **state)
{
	struct request *r = stream_heard();
	char text[8], all[800], got[800];
	size_t n;

	(void)state;
	gateway_gather(gateway);
	writes = 0;
	for (unsigned i = 0; i < 100; i++) {
		(void)snprintf(text, sizeof(text), "%07u", i);
		memcpy(all + i * 7, text, 7);
		send_part(r, text, 7);
		assert_true(r->ops->unsent(r) < (size_t)7 * FCGI_FRAMES_MAX);
	}
	assert_int_equal(writes, 99 / FCGI_FRAMES_MAX);
	gateway_gathered(gateway);
	n = hear(got, sizeof(got));
	assert_int_equal(n, 700);
	assert_memory_equal(got, all, n);
	stop();
}

/* Who does not read is told from who was not asked. */
static void
test_gathered_stuck(void **state)
{
	struct request *r = stream_heard();
	char *wire = malloc(WIRE_MAX);
	size_t sent = 0;

	(void)state;
	assert_non_null(wire);
	gateway_gather(gateway);
	for (; sent < MAX_UNSENT; sent += 1000)
		send_zeros(r, 1000);
	assert_true(r->ops->unsent(r) != 0);
	gateway_gathered(gateway);
	assert_int_equal(api.drained, 0);
	assert_int_equal(hear(wire, WIRE_MAX), sent);
	assert_int_equal(api.drained, 1);
	gateway_gather(gateway);
	for (sent = 0; sent < 2 * MAX_UNSENT; sent += 1000)
		send_zeros(r, 1000);
	assert_int_equal(closes("behind_bytes"), 1);
	gateway_gathered(gateway);
	stop();
	free(wire);
}

static void
test_gathered_ends(void **state)
{
	struct request *r = stream_heard();

	(void)state;
	gateway_gather(gateway);
	send_part(r, S("first"));
	send_part(r, S("second"));
	r->ops->finish(r);
	assert_there(S("first"));
	gateway_gathered(gateway);
	assert_heard(S("second"));
	assert_closed();
	assert_int_equal(api.drained, 0);
	assert_int_equal(api.abandoned, 0);
	stop();
}

/* The end of a stream can come from within api_drained(). */
static void
test_gathered_drained_ends(void **state)
{
	struct request *r = stream_heard();

	(void)state;
	api.finish_drained = true;
	gateway_gather(gateway);
	send_part(r, S("first"));
	send_part(r, S("second"));
	gateway_gathered(gateway);
	assert_heard(S("firstsecond"));
	assert_closed();
	stop();
}

static void
test_gathered_gone(void **state)
{
	struct request *r = stream_heard();

	(void)state;
	gateway_gather(gateway);
	send_part(r, S("first"));
	send_part(r, S("second"));
	(void)close(front);
	gateway_gathered(gateway);
	assert_int_equal(closes("reset"), 1);
	turn();
	assert_int_equal(api.abandoned, 1);
	assert_int_equal(stats.connections, 0);
	front = -1;
	stop();
}

/* The gateway ends in the middle of one. */
static void
test_gathered_stopped(void **state)
{
	struct request *r = stream_heard();

	(void)state;
	gateway_gather(gateway);
	send_part(r, S("first"));
	send_part(r, S("second"));
	stop();
	assert_int_equal(api.abandoned, 1);
}

static void
test_scgi_tunnel(void **state)
{
	(void)state;
	start(GATEWAY_SCGI, TUNNEL);
	scgi_say(S(WEBSOCKET), "");
	assert_true(api.upgrade);
	assert_heard(S("Status: 101\r\n\r\n"));
	say(S("hello"));
	say(S("you"));
	assert_heard(S("helloyou"));
	/* The last word is answered; what follows it is nobody's. */
	say(S("bye!"));
	assert_heard(S("bye!"));
	assert_closed();
	assert_false(gateway_busy(gateway));
	say(S("late"));
	assert_int_equal(api.tunnel_len, 12);
	(void)shutdown(front, SHUT_WR);
	turn();
	assert_int_equal(stats.connections, 0);
	assert_int_equal(closes("answered"), 1);
	assert_int_equal(api.abandoned, 0);
	stop();
}

static void
test_scgi_tunnel_gone(void **state)
{
	(void)state;
	start(GATEWAY_SCGI, TUNNEL);
	scgi_say(S(WEBSOCKET), "");
	(void)shutdown(front, SHUT_WR);
	turn();
	assert_int_equal(closes("gone"), 1);
	assert_int_equal(api.abandoned, 1);
	stop();
}

/* Bytes behind the request: in the same read, or later. */
static void
test_scgi_more(void **state)
{
	(void)state;
	start(GATEWAY_SCGI, TUNNEL);
	scgi_say(S(WEBSOCKET), "early");
	assert_heard(S("Status: 101\r\n\r\nearly"));
	stop();

	start(GATEWAY_SCGI, TUNNEL);
	scgi_say(S(WEBSOCKET), "early!");
	assert_heard(S("Status: 101\r\n\r\nearly!"));
	assert_closed();
	stop();

	start(GATEWAY_SCGI, REPLY);
	scgi_say(S(WEBSOCKET), "early");
	assert_heard(S("Status: 403\r\n\r\n"));
	assert_closed();
	assert_int_equal(closes("extra"), 0);
	stop();

	start(GATEWAY_SCGI, STREAM);
	scgi_say(S(WEBSOCKET), "early");
	assert_int_equal(closes("extra"), 1);
	assert_int_equal(api.abandoned, 1);
	stop();

	start(GATEWAY_SCGI, STREAM);
	scgi_say(S(WEBSOCKET), "");
	say(S("later"));
	assert_int_equal(closes("extra"), 1);
	stop();

	start(GATEWAY_SCGI, TUNNEL);
	scgi_say(S(""), "extra");
	assert_int_equal(api.n, 0);
	assert_int_equal(api.refused, 1);
	stop();
}

static void
test_upgrade_wanted(void **state)
{
	static const struct {
		const char *fields;
		size_t len;
		bool upgrade;
	} cases[] = {
		{ S(WEBSOCKET), true },
		{ S("HTTP_UPGRADE\0websocket\0"), true },
		{ S("HTTP_UPGRADE\0WEBSOCKET\0HTTP_CONNECTION\0\0"), true },
		{ S("HTTP_UPGRADE\0websocket\0HTTP_CONNECTION\0Upgrade\0"),
		    true },
		{ S("HTTP_UPGRADE\0websocket\0HTTP_CONNECTION\0close\0"),
		    false },
		{ S("HTTP_UPGRADE\0websocket\0HTTP_CONNECTION\0upgrad\0"),
		    false },
		{ S("HTTP_UPGRADE\0h2c\0"), false },
		{ S("HTTP_UPGRADE\0\0"), false },
		{ S("HTTP_CONNECTION\0Upgrade\0"), false },
		{ S(""), false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		start(GATEWAY_SCGI, REPLY);
		scgi_say(cases[i].fields, cases[i].len, "");
		assert_int_equal(api.n, 1);
		assert_int_equal(api.upgrade, cases[i].upgrade);
		stop();
	}
}

/* lighttpd streams what the client sends as STDIN, and ends it with him. */
static void
test_fcgi_tunnel(void **state)
{
	(void)state;
	start(GATEWAY_FASTCGI, TUNNEL);
	begin_say(1, S(FCGI_WEBSOCKET));
	assert_int_equal(api.n, 1);
	assert_true(api.upgrade);
	assert_heard_record(FCGI_STDOUT, 1, S("Status: 101\r\n\r\n"));
	record_say(FCGI_STDIN, 1, S("hello"));
	assert_heard_record(FCGI_STDOUT, 1, S("hello"));
	assert_int_equal(api.abandoned, 0);
	record_say(FCGI_STDIN, 1, "", 0);
	assert_int_equal(api.abandoned, 1);
	assert_heard_record(FCGI_END_REQUEST, 1, S("\0\0\0\0\0\0\0\0"));

	begin_say(1, S(FCGI_WEBSOCKET));
	assert_heard_record(FCGI_STDOUT, 1, S("Status: 101\r\n\r\n"));
	record_say(FCGI_ABORT_REQUEST, 1, "", 0);
	assert_int_equal(api.abandoned, 2);
	assert_heard_record(FCGI_END_REQUEST, 1, S("\0\0\0\0\0\0\0\0"));
	assert_false(gateway_busy(gateway));
	assert_int_equal(stats.connections, 1);
	stop();
}

/* The api's last word; records that crossed it are skipped. */
static void
test_fcgi_tunnel_finished(void **state)
{
	char wire[256];
	size_t n;

	(void)state;
	start(GATEWAY_FASTCGI, TUNNEL);
	begin_say(1, S(FCGI_WEBSOCKET));
	assert_heard_record(FCGI_STDOUT, 1, S("Status: 101\r\n\r\n"));
	n = record(wire, FCGI_STDIN, 1, S("!"));
	n += record(wire + n, FCGI_STDIN, 1, S("late"));
	n += record(wire + n, FCGI_STDIN, 1, "", 0);
	say(wire, n);
	n = record(wire, FCGI_STDOUT, 1, S("!"));
	n += record(wire + n, FCGI_STDOUT, 1, "", 0);
	n += record(wire + n, FCGI_END_REQUEST, 1, S("\0\0\0\0\0\0\0\0"));
	assert_heard(wire, n);
	assert_int_equal(api.tunnel_len, 1);
	assert_int_equal(api.abandoned, 0);
	assert_false(gateway_busy(gateway));
	stop();
}

/* No tunnel: the client's header alone changes nothing for anybody.  nginx
 * sends such a request with an empty STDIN, as any GET. */
static void
test_fcgi_no_tunnel(void **state)
{
	(void)state;
	start(GATEWAY_FASTCGI, REPLY);
	begin_say(1, S(FCGI_WEBSOCKET));
	assert_int_equal(api.n, 1);
	record_say(FCGI_STDIN, 1, S("late"));
	record_say(FCGI_STDIN, 1, "", 0);
	assert_int_equal(api.abandoned, 0);
	assert_int_equal(stats.connections, 1);
	stop();

	start(GATEWAY_FASTCGI, PARK);
	begin_say(1, S(FCGI_WEBSOCKET));
	record_say(FCGI_STDIN, 1, "", 0);
	assert_int_equal(api.n, 1);
	assert_int_equal(api.abandoned, 0);
	reply(api.requests[0], S("x"));
	assert_int_equal(stats.connections, 1);
	assert_false(gateway_busy(gateway));
	stop();

	/* It has a body: that is waited for. */
	start(GATEWAY_FASTCGI, PARK);
	begin_say(1, S(FCGI_WEBSOCKET "\16\1CONTENT_LENGTH3"));
	assert_int_equal(api.n, 0);
	record_say(FCGI_STDIN, 1, S("abc"));
	record_say(FCGI_STDIN, 1, "", 0);
	assert_int_equal(api.n, 1);
	assert_false(api.upgrade);
	assert_int_equal(api.requests[0]->body.len, 0);
	stop();
}

/* Who asks and does not read is not read from either; nothing is lost. */
static void
test_flood_waits(void **state)
{
	char *wire = malloc(WIRE_MAX);
	size_t said = 0, heard;
	ssize_t n = 1;

	(void)state;
	assert_non_null(wire);
	start(GATEWAY_SCGI, TUNNEL);
	scgi_say(S(WEBSOCKET), "");
	for (unsigned i = 0; n > 0 && i < 100000; i++) {
		n = send(front, "ping", 4, MSG_NOSIGNAL);
		said += n > 0 ? (size_t)n : 0;
		turn();
	}
	assert_true(n < 0); /* the kernel's buffers are full, not ours */
	assert_int_equal(stats.connections, 1);
	assert_true(api.requests[0]->ops->unsent(api.requests[0]) < 1024);
	heard = hear(wire, WIRE_MAX);
	assert_int_equal(heard, said + sizeof("Status: 101\r\n\r\n") - 1);
	say(S("!"));
	assert_heard(S("!"));
	stop();
	free(wire);
}

/* He need not have taken all before he is heard again. */
static void
test_heard_while_behind(void **state)
{
	struct request *r;
	char some[4096];

	(void)state;
	start(GATEWAY_SCGI, TUNNEL);
	scgi_say(S(WEBSOCKET), "");
	r = api.requests[0];
	for (unsigned i = 0; i < 100; i++)
		send_part(r, S("."));
	send_zeros(r, MAX_UNSENT / 2);
	say(S("ping"));
	assert_int_equal(api.tunnel_len, 0);
	while (r->ops->unsent(r) > MAX_UNSENT / 4) {
		assert_true(recv(front, some, sizeof(some), 0) > 0);
		turn();
	}
	assert_int_equal(api.tunnel_len, 4);
	assert_int_equal(api.drained, 0);
	stop();
}

/* A lame duck's tunnels live until the api ends them. */
static void
test_drain(void **state)
{
	static const enum gateway_kind kinds[] = { GATEWAY_SCGI,
		GATEWAY_FASTCGI };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct request *r;

		start(kinds[i], TUNNEL);
		if (kinds[i] == GATEWAY_SCGI)
			scgi_say(S(WEBSOCKET), "");
		else
			begin_say(1, S(FCGI_WEBSOCKET));
		gateway_drain(gateway);
		turn();
		assert_true(gateway_busy(gateway));
		r = api.requests[0];
		send_part(r, S("bye"));
		r->ops->finish(r);
		assert_false(gateway_busy(gateway));
		(void)shutdown(front, SHUT_WR);
		turn();
		assert_int_equal(closes("answered"), 1);
		assert_int_equal(api.abandoned, 0);
		stop();
	}
}

/* A request behind one in hand waits for its answer. */
static void
test_http_pipelined(void **state)
{
	(void)state;
	start(GATEWAY_HTTP, PARK);
	say(S(HTTP_GET HTTP_GET "GET / HT"));
	assert_int_equal(api.n, 1);
	reply(api.requests[0], S("Status: 200 OK\r\n\r\none"));
	assert_heard_http("HTTP/1.1 200 OK\r\n", "\r\n\r\none");
	assert_int_equal(api.n, 2);
	say(S("TP/1.1\r\nHost: h\r\n\r\n"));
	assert_int_equal(api.n, 2);
	reply(api.requests[1],
	    S("Status: 304 Not Modified\r\n"
	      "Content-Length: 0\r\n\r\n"));
	assert_heard_http("HTTP/1.1 304 Not Modified\r\n", "GMT\r\n\r\n");
	assert_int_equal(api.n, 3);
	reply(api.requests[2], S("Status: 200 OK\r\n\r\n"));
	assert_heard_http("HTTP/1.1 200 OK\r\n", "Content-Length: 0\r\n\r\n");
	assert_int_equal(api.abandoned, 0);
	stop();
}

/* What is behind it is not read, and who goes is noticed all the same. */
static void
test_http_gone_unread(void **state)
{
	static char more[200000];

	(void)state;
	start(GATEWAY_HTTP, PARK);
	say(S(HTTP_GET "x"));
	assert_int_equal(api.n, 1);
	while (send(front, more, sizeof(more), MSG_NOSIGNAL) > 0)
		turn();
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(api.abandoned, 0);
	assert_int_equal(shutdown(front, SHUT_RDWR), 0);
	turn();
	assert_int_equal(api.abandoned, 1);
	assert_int_equal(closes("gone"), 1);
	stop();
}

/* A stream's parts are chunks, and an empty one is not the last. */
static void
test_http_stream(void **state)
{
	struct request *r;

	(void)state;
	start(GATEWAY_HTTP, STREAM);
	say(S(HTTP_GET HTTP_GET));
	r = api.requests[0];
	assert_heard_http(
	    "HTTP/1.1 200\r\n", "Transfer-Encoding: chunked\r\n\r\n");
	send_part(r, S("one"));
	send_part(r, S(""));
	assert_heard(S("3\r\none\r\n"));
	r->ops->finish(r);
	assert_int_equal(api.n, 1); /* it goes on in a turn of its own */
	assert_heard_http("0\r\n\r\nHTTP/1.1 200\r\n", "chunked\r\n\r\n");
	assert_int_equal(api.n, 2);
	stop();
}

/* Of HEAD a stream is its head, and the api hears that nobody listens. */
static void
test_http_stream_head(void **state)
{
	(void)state;
	start(GATEWAY_HTTP, STREAM);
	say(S("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"));
	assert_heard_http("HTTP/1.1 200\r\n", "chunked\r\n\r\n");
	assert_int_equal(api.abandoned, 1);
	assert_closed();
	stop();
}

static void
test_http_tunnel(void **state)
{
	(void)state;
	start(GATEWAY_HTTP, TUNNEL);
	say(S("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
	      "Connection: Upgrade\r\n\r\nearly"));
	assert_true(api.upgrade);
	assert_heard_http("HTTP/1.1 101\r\n", "\r\n\r\nearly");
	say(S(HTTP_GET));
	assert_heard(S(HTTP_GET));
	say(S("!"));
	assert_heard(S("!"));
	assert_closed();
	stop();
}

/* HEAD is answered as GET is, but opens no tunnel. */
static void
test_http_head_no_tunnel(void **state)
{
	(void)state;
	start(GATEWAY_HTTP, PARK);
	say(S("HEAD / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
	      "Connection: Upgrade\r\n\r\n"));
	assert_int_equal(api.n, 1);
	assert_false(api.requests[0]->upgrade);
	stop();
}

static void
tunnel_open(enum gateway_kind kind)
{
	start(kind, TUNNEL);
	if (kind == GATEWAY_SCGI)
		scgi_say(S("HTTP_UPGRADE\0websocket\0"), "");
	else if (kind == GATEWAY_HTTP)
		say(S("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
		      "Connection: Upgrade\r\n\r\n"));
	else
		begin_say(1, S(FCGI_WEBSOCKET));
	assert_true(api.upgrade);
}

static void
tunnel_say(enum gateway_kind kind, const char *text)
{
	if (kind == GATEWAY_FASTCGI)
		record_say(FCGI_STDIN, 1, text, strlen(text));
	else
		say(text, strlen(text));
}

/* While the api wants to hear nothing the peer's bytes wait in the socket, and
 * all of them come afterwards, though he has gone meanwhile. */
static void
test_tunnel_rests(void **state)
{
	static const enum gateway_kind kinds[] = { GATEWAY_FASTCGI,
		GATEWAY_SCGI, GATEWAY_HTTP };
	char drop[4096];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct request *r;

		tunnel_open(kinds[i]);
		r = api.requests[0];
		r->ops->rest(r, true);
		tunnel_say(kinds[i], "one");
		assert_int_equal(api.tunnel_len, 0);
		r->ops->rest(r, false);
		turn();
		assert_int_equal(api.tunnel_len, 3);
		r->ops->rest(r, true);
		tunnel_say(kinds[i], "two");
		(void)hear(drop, sizeof(drop));
		assert_int_equal(shutdown(front, SHUT_WR), 0);
		turn();
		assert_int_equal(stats.connections, 1);
		r->ops->rest(r, false);
		turn();
		turn();
		assert_int_equal(api.tunnel_len, 6);
		assert_memory_equal(api.tunnel, "onetwo", 6);
		assert_int_equal(api.abandoned, 1);
		assert_int_equal(stats.connections, 0);
		stop();
	}
}

/* Several on a connection: it is read from when none of them rests. */
static void
test_tunnels_rest(void **state)
{
	struct request *a, *b;

	(void)state;
	tunnel_open(GATEWAY_FASTCGI);
	begin_say(2, S(FCGI_WEBSOCKET));
	a = api.requests[0];
	b = api.requests[1];
	a->ops->rest(a, true);
	b->ops->rest(b, true);
	record_say(FCGI_STDIN, 1, S("x"));
	a->ops->rest(a, false);
	turn();
	assert_int_equal(api.tunnel_len, 0);
	b->ops->rest(b, false);
	turn();
	assert_int_equal(api.tunnel_len, 1);
	stop();
}

/* A reader who is behind does not undo it when he catches up. */
static void
test_rest_outlasts_a_pause(void **state)
{
	char drop[4096];
	struct request *r;

	(void)state;
	tunnel_open(GATEWAY_SCGI);
	r = api.requests[0];
	while (r->ops->unsent(r) == 0)
		send_zeros(r, 512);
	for (int i = 0; i < OUT_PAUSE; i++)
		send_part(r, S("x"));
	r->ops->rest(r, true);
	while (hear(drop, sizeof(drop)) == sizeof(drop))
		;
	assert_int_equal(r->ops->unsent(r), 0);
	say(S("late"));
	assert_int_equal(api.tunnel_len, 0);
	r->ops->rest(r, false);
	turn();
	assert_int_equal(api.tunnel_len, 4);
	stop();
}

#define HTTP_ASK_FIRST \
	"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n" \
	"Expect: 100-continue\r\n\r\n"

/* What nobody wants is not asked for, and none of it kept. */
static void
test_http_body(void **state)
{
	(void)state;
	start(GATEWAY_HTTP, REPLY);
	say(S(HTTP_ASK_FIRST));
	assert_int_equal(api.asked, 1);
	assert_int_equal(api.n, 0);
	assert_heard(S("HTTP/1.1 100 Continue\r\n\r\n"));
	say(S("body"));
	assert_heard_http("HTTP/1.1 403\r\n", "\r\n\r\n");
	assert_int_equal(api.body_len, 4);

	api.body = API_BODY_DROP;
	say(S(HTTP_ASK_FIRST "body" HTTP_GET));
	assert_int_equal(api.asked, 2);
	assert_int_equal(api.n, 3);
	assert_int_equal(api.body_len, 0);
	assert_heard_http(
	    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403\r\n", "\r\n\r\n");

	api.body = API_BODY_REFUSED;
	say(S(HTTP_ASK_FIRST));
	assert_heard_http("HTTP/1.1 403\r\n", "\r\n\r\n");
	say(S("body" HTTP_GET));
	assert_int_equal(api.asked, 3);
	assert_int_equal(api.n, 3);
	assert_closed();
	assert_false(gateway_busy(gateway));
	stop();
}

/* Who says that he could be a tunnel and brings a body is none, though the body
 * was dropped. */
static void
test_http_dropped_is_no_tunnel(void **state)
{
	(void)state;
	start(GATEWAY_HTTP, PARK);
	api.body = API_BODY_DROP;
	say(S("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
	      "Connection: Upgrade\r\nContent-Length: 1\r\n\r\nx"));
	assert_int_equal(api.n, 1);
	assert_false(api.upgrade);
	stop();
}

/* A front's connection goes on behind the body that was refused. */
static void
test_fcgi_body_refused(void **state)
{
	(void)state;
	start(GATEWAY_FASTCGI, REPLY);
	api.body = API_BODY_REFUSED;
	begin_say(1, S("\16\1CONTENT_LENGTH8"));
	assert_int_equal(api.asked, 0);
	record_say(FCGI_STDIN, 1, S("body"));
	assert_int_equal(api.asked, 1);
	assert_false(gateway_busy(gateway));
	api.body = API_BODY_TAKE;
	record_say(FCGI_STDIN, 1, S("body"));
	record_say(FCGI_STDIN, 1, "", 0);
	assert_int_equal(api.n, 0);
	begin_say(1, S("\16\1CONTENT_LENGTH8"));
	record_say(FCGI_STDIN, 1, S("body"));
	record_say(FCGI_STDIN, 1, S("body"));
	record_say(FCGI_STDIN, 1, "", 0);
	assert_int_equal(api.asked, 2);
	assert_int_equal(api.n, 1);
	assert_int_equal(api.body_len, 8);
	stop();
}

/* Of a body that is there at once nobody asks, though nginx gives each of its
 * buffers a record; of those that are not, each once. */
static void
test_fcgi_body_asked(void **state)
{
	char wire[256];
	size_t n;

	(void)state;
	start(GATEWAY_FASTCGI, REPLY);
	begin_say(1, S("\16\1CONTENT_LENGTH8"));
	n = record(wire, FCGI_STDIN, 1, S("bo"));
	n += record(wire + n, FCGI_STDIN, 1, S("dybody"));
	say(wire, n);
	record_say(FCGI_STDIN, 1, "", 0);
	assert_int_equal(api.asked, 0);
	assert_int_equal(api.n, 1);
	assert_int_equal(api.body_len, 8);

	begin_say(1, S("\16\1CONTENT_LENGTH8"));
	begin_say(2, S("\16\1CONTENT_LENGTH8"));
	n = record(wire, FCGI_STDIN, 1, S("bo"));
	n += record(wire + n, FCGI_STDIN, 2, S("body"));
	say(wire, n);
	assert_int_equal(api.asked, 2);
	record_say(FCGI_STDIN, 1, S("dyb"));
	record_say(FCGI_STDIN, 2, S("body"));
	record_say(FCGI_STDIN, 2, "", 0);
	record_say(FCGI_STDIN, 1, S("ody"));
	record_say(FCGI_STDIN, 1, "", 0);
	assert_int_equal(api.asked, 2);
	assert_int_equal(api.n, 3);

	api.body = API_BODY_REFUSED;
	begin_say(1, S("\16\1CONTENT_LENGTH8"));
	begin_say(2, S("\16\1CONTENT_LENGTH8"));
	say(wire, n);
	assert_int_equal(api.asked, 4);
	assert_int_equal(api.n, 3);
	assert_false(gateway_busy(gateway));
	stop();
}

static void
test_scgi_body_refused(void **state)
{
	static const char head[] = "24:CONTENT_LENGTH\0"
				   "8\0"
				   "SCGI\0"
				   "1\0,";

	(void)state;
	start(GATEWAY_SCGI, REPLY);
	say(S(head));
	assert_int_equal(api.asked, 1);
	say(S("body"));
	say(S("body"));
	assert_int_equal(api.asked, 1);
	assert_int_equal(api.n, 1);
	assert_int_equal(api.body_len, 8);
	stop();
	start(GATEWAY_SCGI, REPLY);
	api.body = API_BODY_REFUSED;
	say(S(head));
	assert_heard(S("Status: 403\r\n\r\n"));
	say(S("body"));
	assert_int_equal(api.n, 0);
	assert_closed();
	assert_false(gateway_busy(gateway));
	stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tunnel_rests),
		cmocka_unit_test(test_tunnels_rest),
		cmocka_unit_test(test_rest_outlasts_a_pause),
		cmocka_unit_test(test_http_body),
		cmocka_unit_test(test_http_dropped_is_no_tunnel),
		cmocka_unit_test(test_fcgi_body_refused),
		cmocka_unit_test(test_fcgi_body_asked),
		cmocka_unit_test(test_scgi_body_refused),
		cmocka_unit_test(test_http_pipelined),
		cmocka_unit_test(test_http_gone_unread),
		cmocka_unit_test(test_http_stream),
		cmocka_unit_test(test_http_stream_head),
		cmocka_unit_test(test_http_tunnel),
		cmocka_unit_test(test_http_head_no_tunnel),
		cmocka_unit_test(test_scgi_stream),
		cmocka_unit_test(test_fcgi_stream),
		cmocka_unit_test(test_backlog_is_whole),
		cmocka_unit_test(test_bound_of_bytes),
		cmocka_unit_test(test_bound_of_small_parts),
		cmocka_unit_test(test_large_part_alone),
		cmocka_unit_test(test_no_bound_of_replies),
		cmocka_unit_test(test_slow_reply),
		cmocka_unit_test(test_lingering_ends),
		cmocka_unit_test(test_bound_of_time),
		cmocka_unit_test(test_bound_of_time_with_progress),
		cmocka_unit_test(test_age_begins_anew),
		cmocka_unit_test(test_drained),
		cmocka_unit_test(test_drained_ends_all),
		cmocka_unit_test(test_drained_streams_only),
		cmocka_unit_test(test_many_parts_in_a_write),
		cmocka_unit_test(test_gathered),
		cmocka_unit_test(test_gathered_much),
		cmocka_unit_test(test_gathered_stuck),
		cmocka_unit_test(test_gathered_ends),
		cmocka_unit_test(test_gathered_drained_ends),
		cmocka_unit_test(test_gathered_gone),
		cmocka_unit_test(test_gathered_stopped),
		cmocka_unit_test(test_scgi_tunnel),
		cmocka_unit_test(test_scgi_tunnel_gone),
		cmocka_unit_test(test_scgi_more),
		cmocka_unit_test(test_upgrade_wanted),
		cmocka_unit_test(test_fcgi_tunnel),
		cmocka_unit_test(test_fcgi_tunnel_finished),
		cmocka_unit_test(test_fcgi_no_tunnel),
		cmocka_unit_test(test_flood_waits),
		cmocka_unit_test(test_heard_while_behind),
		cmocka_unit_test(test_drain),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
