/*
 * ctl/ask.c - one SCGI request out, one CGI answer in.
 *
 * A client of the daemon and of nothing inside it.
 */
#include "ctl/ask.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int
connect_to(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strncmp(path, "unix:", 5) == 0)
		path += 5;
	if (strlen(path) >= sizeof(sun.sun_path)) {
		(void)fprintf(
		    stderr, "holdfastctl: %s: path is too long\n", path);
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	(void)fprintf(stderr, "holdfastctl: %s: %s; %s\n", path,
	    strerror(errno),
	    errno == EACCES ? "ask as root or as the daemon's user"
			    : "is holdfastd running?");
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

/* A netstring of NUL-terminated pairs, then the body (the SCGI protocol). */
static int
build_request(struct buf *out, const char *uri, const char *body)
{
	char head[512];
	int len;

	len = snprintf(head, sizeof(head),
	    "CONTENT_LENGTH%c%zu%cSCGI%c1%c"
	    "REQUEST_METHOD%c%s%cDOCUMENT_URI%c%s%c",
	    0, strlen(body), 0, 0, 0, 0, body[0] != '\0' ? "POST" : "GET", 0, 0,
	    uri, 0);
	if (len < 0 || (size_t)len >= sizeof(head))
		return ERR_TOOBIG;
	return buf_printf(out, "%d:", len) != 0 ||
		buf_append(out, head, (size_t)len) != 0 ||
		buf_printf(out, ",%s", body) != 0
	    ? ERR_NOMEM
	    : 0;
}

static int
write_all(int fd, const char *data, size_t len)
{
	while (len != 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ERR_SYSTEM;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
read_all(int fd, struct buf *in)
{
	char piece[16384];
	ssize_t n;

	for (;;) {
		n = read(fd, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ERR_SYSTEM;
		if (n == 0)
			return 0;
		if (buf_append(in, piece, (size_t)n) != 0)
			return ERR_TOOBIG;
	}
}

/* The body of a 200; what else came is said. */
static int
read_answer(struct buf *in, const char **body)
{
	int status = 0;

	if (buf_append(in, "", 1) != 0 ||
	    sscanf(in->data, "Status: %d", &status) != 1 ||
	    (*body = strstr(in->data, "\r\n\r\n")) == NULL) {
		(void)fprintf(stderr,
		    "holdfastctl: the daemon ended without an answer\n");
		return -1;
	}
	*body += 4;
	if (status == 200)
		return 0;
	(void)fprintf(stderr, "holdfastctl: %s", *body);
	return -1;
}

int
ask(const char *socket_path, const char *uri, const char *request_body,
    struct buf *in, const char **body)
{
	struct buf out;
	int fd, rc = -1;

	fd = connect_to(socket_path);
	if (fd < 0)
		return -1;
	buf_init(&out, ASK_ANSWER_MAX);
	if (build_request(&out, uri, request_body) != 0 ||
	    write_all(fd, out.data, out.len) != 0 || read_all(fd, in) != 0)
		(void)fprintf(stderr, "holdfastctl: %s: %s\n", socket_path,
		    strerror(errno));
	else
		rc = read_answer(in, body);
	buf_release(&out);
	(void)close(fd);
	return rc;
}
