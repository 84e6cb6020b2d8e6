/* tests/bench/wire.h - requests from a template, and where a reply ends.
 *
 * One protocol on a connection, told apart by the template's first byte:
 * FastCGI (version 1) or HTTP/1.1.  Addresses are "unix:/path" or
 * "127.0.0.1:port".  Errors of set-up end the program with a message.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHANNEL_LEN 32 /* hex digits, as Bitrix names its channels */
#define CHANNEL_PLACES 8

/* What requests call their channels: a file of names, each of len bytes,
 * without anything between. */
struct names {
	char *bytes;
	size_t len, n;
};

void names_read(struct names *s, const char *path, size_t len);

/* The bytes of one whole request.  Each run of '@' as long as a name is the
 * channel's; as all have one length, records and Content-Length stay true. */
struct request {
	char *bytes;
	size_t len;
	bool fastcgi;
	const struct names *names; /* NULL: hex digits, made up */
	size_t nplaces;
	size_t places[CHANNEL_PLACES];
};

/* names outlives the request. */
void request_read(
    struct request *r, const char *path, const struct names *names);
void request_set_channel(struct request *r, uint64_t channel);

/* Connected and non-blocking, or -1 with errno. */
int wire_connect(const char *address);

/* Send the request in one write; 0, or -1 when the peer has gone. */
int wire_send(int fd, const struct request *r);

/* Look at what came so far.  The status once the reply is whole (connections
 * carry one request at a time, so it ends with the bytes), 0 when there is
 * more to come, -1 when it is not a reply. */
int wire_status(const struct request *r, const char *p, size_t n);

/* The next number of a seeded sequence, the same on every machine. */
uint64_t wire_random(uint64_t *state);
#endif
