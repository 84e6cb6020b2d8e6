/* tests/bench/wire.c - requests from a template, and where a reply ends.
 *
 * Only what the benchmarks' own peers send is understood: replies that fit a
 * buffer, of one request at a time.  That makes "is it whole?" a question
 * about the bytes so far, asked again as more come, with no parser state.
 */
#define _GNU_SOURCE 1 /* memmem() */
#include "tests/bench/wire.h"
#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <err.h>
#include <errno.h>
#include <fastcgi.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

void
names_read(struct names *s, const char *path, size_t len)
{
	struct bytes file = bytes_read(path);

	if (len == 0 || file.len == 0 || file.len % len != 0)
		errx(1, "%s: not names of %zu bytes", path, len);
	s->bytes = file.ptr;
	s->len = len;
	s->n = file.len / len;
}

/* The first run of so many '@', or NULL. */
static const char *
mark_find(const char *p, const char *end, size_t len)
{
	size_t run = 0;

	for (; p < end; p++) {
		run = *p == '@' ? run + 1 : 0;
		if (run == len)
			return p + 1 - len;
	}
	return NULL;
}

void
request_read(struct request *r, const char *path, const struct names *names)
{
	struct bytes file = bytes_read(path);
	size_t len = names != NULL ? names->len : CHANNEL_LEN;
	const char *p = file.ptr, *end = p + file.len;

	r->bytes = file.ptr;
	r->len = file.len;
	r->fastcgi = r->bytes[0] == FCGI_VERSION_1;
	r->names = names;
	r->nplaces = 0;
	for (; (p = mark_find(p, end, len)) != NULL; p += len) {
		if (r->nplaces == CHANNEL_PLACES)
			errx(1, "%s: too many channel places", path);
		r->places[r->nplaces++] = (size_t)(p - r->bytes);
	}
	if (r->nplaces == 0)
		errx(1, "%s: no place for a channel", path);
}

/* The finaliser of splitmix64: a bijection, so names never meet. */
static uint64_t
mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

uint64_t
wire_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15ULL;
	return mix(*state);
}

static void
hex16(char *out, uint64_t v)
{
	for (int i = 0; i < 16; i++)
		out[i] = "0123456789abcdef"[v >> (60 - 4 * i) & 15];
}

void
request_set_channel(struct request *r, uint64_t channel)
{
	char made_up[CHANNEL_LEN];
	const char *name = made_up;
	size_t len = CHANNEL_LEN;

	if (r->names != NULL) {
		len = r->names->len;
		name = r->names->bytes + channel % r->names->n * len;
	} else {
		hex16(made_up, mix(channel + 1));
		hex16(made_up + 16, mix(~channel));
	}
	for (size_t i = 0; i < r->nplaces; i++)
		memcpy(r->bytes + r->places[i], name, len);
}

static int
connect_unix(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (strlen(path) >= sizeof(sun.sun_path))
		errx(1, "%s: too long for a socket", path);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int
connect_tcp(const char *host_port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	const char *colon = strrchr(host_port, ':');
	int fd, on = 1;

	if (colon == NULL || strncmp(host_port, "127.0.0.1:", 10) != 0)
		errx(1, "%s: want unix:/path or 127.0.0.1:port", host_port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sin.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0) {
		close(fd);
		return -1;
	}
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

/* connect() blocks: on a full backlog it waits for the listener, where a
 * non-blocking one on a unix socket would have to be tried again. */
int
wire_connect(const char *address)
{
	int fd = strncmp(address, "unix:", 5) == 0 ? connect_unix(address + 5)
						   : connect_tcp(address);

	if (fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		err(1, "fcntl");
	return fd;
}

int
wire_send(int fd, const struct request *r)
{
	ssize_t n = send(fd, r->bytes, r->len, MSG_NOSIGNAL);

	if (n >= 0 && (size_t)n != r->len)
		errx(1, "a short write: the request is too large");
	return n < 0 ? -1 : 0;
}

/* Find a header's value among the lines of [p, end), or NULL. */
static const char *
header_value(const char *p, const char *end, const char *name)
{
	size_t len = strlen(name);

	while (p < end) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));

		if (eol == NULL)
			eol = end;
		if ((size_t)(eol - p) > len && strncasecmp(p, name, len) == 0)
			return p + len;
		p = eol + 1;
	}
	return NULL;
}

static int
http_status(const char *p, size_t n)
{
	const char *head_end = memmem(p, n, "\r\n\r\n", 4);
	const char *v;
	size_t head;
	int status;

	if (head_end == NULL)
		return 0;
	if (n < 12 || memcmp(p, "HTTP/1.1 ", 9) != 0)
		return -1;
	status = (int)strtol(p + 9, NULL, 10);
	head = (size_t)(head_end - p) + 4;
	if (status == 304 || status == 204)
		return status;
	v = header_value(p, head_end, "Content-Length:");
	if (v != NULL)
		return n >= head + strtoul(v, NULL, 10) ? status : 0;
	if (header_value(p, head_end, "Transfer-Encoding:") == NULL)
		return -1;
	return n >= head + 5 && memcmp(p + n - 5, "0\r\n\r\n", 5) == 0 ? status
								       : 0;
}

/* The records are walked from the first on each call: there are two or three.
 * The CGI header stands in the first STDOUT record; no Status means 200. */
static int
fcgi_status(const char *p, size_t n)
{
	int status = 0;

	while (n >= FCGI_HEADER_LEN) {
		const unsigned char *h = (const unsigned char *)p;
		size_t content = (size_t)h[4] << 8 | h[5];
		size_t size = FCGI_HEADER_LEN + content + h[6];

		if (h[0] != FCGI_VERSION_1)
			return -1;
		if (n < size)
			return 0;
		if (h[1] == FCGI_END_REQUEST)
			return status > 0 ? status : -1;
		if (h[1] == FCGI_STDOUT && status == 0) {
			const char *c = p + FCGI_HEADER_LEN;
			const char *v = header_value(c, c + content, "Status:");

			status = v != NULL ? (int)strtol(v, NULL, 10) : 200;
		}
		p += size;
		n -= size;
	}
	return 0;
}

int
wire_status(const struct request *r, const char *p, size_t n)
{
	return r->fastcgi ? fcgi_status(p, n) : http_status(p, n);
}
