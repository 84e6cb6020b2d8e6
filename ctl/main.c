/*
 * ctl/main.c - holdfastctl: ask a running daemon, by its control socket.
 *
 * A client of the daemon and of nothing inside it: it writes one SCGI
 * request and reads one CGI answer.  Only `convert` asks nobody.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "ctl/convert.h"

#define DEFAULT_SOCKET "/run/holdfast/control.sock"
#define ANSWER_MAX (1024 * 1024)

static const char usage_text[] =
    "usage: holdfastctl [-s SOCKET] status\n"
    "       holdfastctl [-s SOCKET] backup FILE\n"
    "       " CONVERT_USAGE "\n"
    "  -s SOCKET  the daemon's control socket (default " DEFAULT_SOCKET ")\n"
    "  -V         print the version and exit\n"
    "  -h         print this help and exit\n";

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

/* Print the answer's body where it belongs; its status is our exit status. */
static int
print_answer(struct buf *in)
{
	int status = 0;
	const char *body;

	if (buf_append(in, "", 1) != 0 ||
	    sscanf(in->data, "Status: %d", &status) != 1 ||
	    (body = strstr(in->data, "\r\n\r\n")) == NULL) {
		(void)fprintf(stderr,
		    "holdfastctl: the daemon ended without an answer\n");
		return 1;
	}
	body += 4;
	if (status != 200) {
		(void)fprintf(stderr, "holdfastctl: %s", body);
		return 1;
	}
	(void)fputs(body, stdout);
	return fflush(stdout) != 0;
}

static int
ask(const char *socket_path, const char *uri, const char *request_body)
{
	struct buf out, in;
	int fd, rc = 1;

	fd = connect_to(socket_path);
	if (fd < 0)
		return 1;
	buf_init(&out, ANSWER_MAX);
	buf_init(&in, ANSWER_MAX);
	if (build_request(&out, uri, request_body) != 0 ||
	    write_all(fd, out.data, out.len) != 0 || read_all(fd, &in) != 0)
		(void)fprintf(stderr, "holdfastctl: %s: %s\n", socket_path,
		    strerror(errno));
	else
		rc = print_answer(&in);
	buf_release(&out);
	buf_release(&in);
	(void)close(fd);
	return rc;
}

/* The daemon has a working directory of its own. */
static int
backup(const char *socket_path, const char *file)
{
	char cwd[PATH_MAX], path[PATH_MAX];
	int len;

	if (file[0] == '/')
		return ask(socket_path, "/backup", file);
	if (getcwd(cwd, sizeof(cwd)) == NULL) {
		(void)fprintf(stderr, "holdfastctl: %s\n", strerror(errno));
		return 1;
	}
	len = snprintf(path, sizeof(path), "%s/%s", cwd, file);
	if (len < 0 || (size_t)len >= sizeof(path)) {
		(void)fprintf(
		    stderr, "holdfastctl: %s: path is too long\n", file);
		return 1;
	}
	return ask(socket_path, "/backup", path);
}

int
main(int argc, char **argv)
{
	const char *socket_path = DEFAULT_SOCKET;
	int c, left;

	/* No daemon is asked, and the options are others. */
	if (argc > 1 && strcmp(argv[1], "convert") == 0)
		return convert_main(argc - 1, argv + 1);
	while ((c = getopt(argc, argv, "s:Vh")) != -1) {
		switch (c) {
		case 's':
			socket_path = optarg;
			break;
		case 'V':
			(void)printf("holdfastctl %s\n", PACKAGE_VERSION);
			return 0;
		case 'h':
			(void)fputs(usage_text, stdout);
			return 0;
		default:
			(void)fputs(usage_text, stderr);
			return 2;
		}
	}
	left = argc - optind;
	if (left == 1 && strcmp(argv[optind], "status") == 0)
		return ask(socket_path, "/status", "");
	if (left == 2 && strcmp(argv[optind], "backup") == 0 &&
	    argv[optind + 1][0] != '\0')
		return backup(socket_path, argv[optind + 1]);
	(void)fputs(usage_text, stderr);
	return 2;
}
