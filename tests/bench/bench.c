/* tests/bench/bench.c - what the programs of the benchmarks share: a file as
 * bytes, a listener, a clock.
 */
#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct bytes
bytes_read(const char *path)
{
	struct bytes b = { NULL, 0 };
	struct stat st;
	FILE *f = fopen(path, "rb");

	if (f == NULL || fstat(fileno(f), &st) < 0)
		err(1, "%s", path);
	b.len = (size_t)st.st_size;
	b.ptr = malloc(b.len + 1);
	if (b.ptr == NULL || fread(b.ptr, 1, b.len, f) != b.len)
		errx(1, "%s: cannot read it whole", path);
	fclose(f);
	return b;
}

int
listen_unix(const char *path, int backlog)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof(sun.sun_path))
		errx(1, "%s: too long for a socket", path);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 ||
	    chmod(path, 0666) < 0 || listen(fd, backlog) < 0)
		err(1, "%s", path);
	return fd;
}

int
listen_tcp(const char *host_port, int backlog)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	const char *colon = strrchr(host_port, ':');
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

	if (colon == NULL || strncmp(host_port, "127.0.0.1:", 10) != 0)
		errx(1, "%s: want 127.0.0.1:port", host_port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sin.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	/* Its connections inherit both. */
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 ||
	    listen(fd, backlog) < 0)
		err(1, "%s", host_port);
	return fd;
}

uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}
