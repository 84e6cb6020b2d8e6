/* tests/bench/bench.h - what the programs of the benchmarks share.
 *
 * Errors of set-up end the program with a message.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H
#include <stddef.h>
#include <stdint.h>

struct bytes {
	char *ptr;
	size_t len;
};

/* The whole file; free ptr. */
struct bytes bytes_read(const char *path);

/* A non-blocking listener on a unix socket; who stood there is pushed off. */
int listen_unix(const char *path, int backlog);

/* The same on a port of the loopback, 127.0.0.1:port; what is written goes out
 * at once. */
int listen_tcp(const char *host_port, int backlog);

uint64_t now_ns(void); /* monotonic */
#endif
