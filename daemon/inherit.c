/* daemon/inherit.c - see inherit.h. */
#include "daemon/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#define SD_FIRST_FD 3 /* sd_listen_fds(3) */
#define SD_FDS_MAX 65536

struct taker {
	inherit_take_f *take, *kept;
	void *arg;
};

/* A listening stream socket, and of which family. */
static bool
is_listener(int fd, int *family)
{
	int type = 0, listens = 0;
	socklen_t len = sizeof(int);

	*family = AF_UNSPEC;
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, family, &len) == 0 &&
	    type == SOCK_STREAM && listens != 0;
}

/* Say what is wrong with which descriptor, in one line. */
static int
complain(const char *name, const char *what)
{
	log_at(LOG_ERROR, "cannot take %s: %s", name, what);
	return ERR_SYSTEM;
}

static int
inherit(const struct taker *to, int fd, enum listen_as as, bool kept,
    const char *name)
{
	inherit_take_f *take = kept ? to->kept : to->take;
	int family;

	if (is_listener(fd, &family) == kept)
		return complain(name,
		    kept ? "what was inherited is no connection"
			 : "what was inherited does not listen");
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
		return complain(name, strerror(errno));
	if (take(to->arg, fd, as, family != AF_UNIX) != 0)
		return complain(name, err_text(ERR_NOMEM));
	return 0;
}

/* "fastcgi", "holdfast-fastcgi.socket"; no name at all is FastCGI. */
static int
name_to_kind(const char *name, size_t len, enum listen_as *as)
{
	static const char suffix[] = ".socket";
	static const struct {
		const char *name;
		enum listen_as as;
	} kinds[] = {
		{ "fastcgi", LISTEN_FASTCGI },
		{ "scgi", LISTEN_SCGI },
		{ "http", LISTEN_HTTP },
		{ "https", LISTEN_HTTPS },
		{ "control", LISTEN_CONTROL },
		{ "unknown", LISTEN_FASTCGI },
		{ "", LISTEN_FASTCGI },
	};
	const char *dash;
	size_t i;

	if (len >= sizeof(suffix) &&
	    memcmp(name + len - (sizeof(suffix) - 1), suffix,
		sizeof(suffix) - 1) == 0)
		len -= sizeof(suffix) - 1;
	dash = memrchr(name, '-', len);
	if (dash != NULL) {
		len -= (size_t)(dash + 1 - name);
		name = dash + 1;
	}
	for (i = 0; i < COUNT_OF(kinds); i++) {
		if (slice_is((struct slice){ name, len }, kinds[i].name)) {
			*as = kinds[i].as;
			return 0;
		}
	}
	return ERR_SYNTAX;
}

/* How many sockets systemd left us; the variables are for us alone. */
static int
systemd_sockets(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	long n = 0;

	if (pid != NULL && fds != NULL &&
	    strtol(pid, NULL, 10) == (long)getpid())
		n = strtol(fds, NULL, 10);
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	return n < 0 || n > SD_FDS_MAX ? 0 : (int)n;
}

static bool
is_kept(const char *name)
{
	return strncmp(name, INHERIT_KEPT, strlen(INHERIT_KEPT)) == 0;
}

static int
inherit_systemd(const struct taker *to)
{
	const char *names = getenv("LISTEN_FDNAMES");
	int i, n = systemd_sockets();

	if (names == NULL)
		names = "";
	for (i = 0; i < n; i++) {
		int len = (int)strcspn(names, ":");
		char title[128];
		enum listen_as as;

		(void)snprintf(title, sizeof(title),
		    "descriptor %d, named \"%.*s\"", SD_FIRST_FD + i, len,
		    names);
		if (name_to_kind(names, (size_t)len, &as) != 0)
			return complain(title,
			    "the name must be fastcgi, scgi, http, https "
			    "or control");
		if (inherit(to, SD_FIRST_FD + i, as, is_kept(names), title) !=
		    0)
			return ERR_SYSTEM;
		names += len + (names[len] == ':');
	}
	(void)unsetenv("LISTEN_FDNAMES");
	return 0;
}

/* spawn-fcgi and lighttpd leave the socket where stdin was.  It moves away,
 * for nobody expects to accept from stdin. */
static int
inherit_stdin(const struct taker *to)
{
	int family, fd, null;

	if (!is_listener(STDIN_FILENO, &family))
		return 0;
	fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, SD_FIRST_FD);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0)
		return complain("descriptor 0", strerror(errno));
	(void)close(null);
	return inherit(to, fd, LISTEN_FASTCGI, false, "descriptor 0");
}

int
inherit_sockets(inherit_take_f *take, inherit_take_f *kept, void *arg)
{
	struct taker to = { take, kept, arg };
	int err = inherit_systemd(&to);

	return err != 0 ? err : inherit_stdin(&to);
}
