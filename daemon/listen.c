/*
 * daemon/listen.c - listening sockets, from birth to removal, and accepting.
 *
 * A socket file is connectable only from listen(2) on, so its owner and mode
 * are set between bind(2) and listen(2): at no time can the wrong user
 * connect.  A file that is in the way is removed only if connecting to it is
 * refused, for then nobody listens there.
 *
 * When descriptors or memory run out, accepting rests for a second: the
 * connections wait in the backlog, and those that end meanwhile make room.
 * Going on would spin, since the listeners stay readable.
 */
#include "daemon/listen.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

#define BACKLOG		4096
#define ACCEPTS		64	/* a wake */
#define PAUSE_S		1
#define SD_FIRST_FD	3	/* sd_listen_fds(3) */
#define SD_FDS_MAX	64
#define CONTROL_MODE	0600

struct listener {
	struct listener	*next;
	struct listeners *all;
	struct event	*ev;
	int		 fd;
	enum listen_as	 as;
	bool		 tcp;
	char		*path;		/* of a file we made, or NULL */
	dev_t		 dev;		/* which file that was */
	ino_t		 ino;
};

struct listeners {
	struct event_base *base;
	struct gateway	*gw;
	struct stats	*stats;
	const struct cidr_list *fronts;
	struct listener	*list;
	struct event	*pause;
	bool		 stopped;
	struct log_limit log;
};

static void accept_cb(evutil_socket_t fd, short what, void *arg);

/* Accepting. */

static int
listeners_resume(struct listeners *ls)
{
	struct listener *l;

	for (l = ls->list; l != NULL; l = l->next)
		if (event_add(l->ev, NULL) != 0)
			return ERR_SYSTEM;
	return 0;
}

static void
resume_cb(evutil_socket_t fd, short what, void *arg)
{
	struct listeners *ls = arg;

	(void)fd;
	(void)what;
	if (!ls->stopped && listeners_resume(ls) != 0)
		log_at(LOG_ERROR, "cannot resume accepting connections");
}

static void
listeners_pause(struct listeners *ls, bool control_too, const char *why)
{
	static const struct timeval second = { PAUSE_S, 0 };
	struct listener *l;

	if (event_add(ls->pause, &second) != 0)
		return;		/* better busy than deaf */
	for (l = ls->list; l != NULL; l = l->next)
		if (control_too || l->as != LISTEN_CONTROL)
			(void)event_del(l->ev);
	ls->stats->accept_pauses++;
	log_limited(&ls->log, LOG_WARN,
	    "accepting connections rests for %d s: %s", PAUSE_S, why);
}

static bool
peer_allowed(const struct listener *l, const struct sockaddr *peer)
{
	char host[NI_MAXHOST];

	if (!l->tcp || cidr_list_has(l->all->fronts, peer))
		return true;
	if (getnameinfo(peer, sizeof(struct sockaddr_storage), host,
	    sizeof(host), NULL, 0, NI_NUMERICHOST) != 0)
		memcpy(host, "?", sizeof("?"));
	l->all->stats->connections_refused++;
	log_limited(&l->all->log, LOG_WARN,
	    "connection from %s refused: not in fronts", host);
	return false;
}

static void
accepted(struct listener *l, int fd, const struct sockaddr *peer)
{
	static const int on = 1;

	if (!peer_allowed(l, peer)) {
		(void)close(fd);
		return;
	}
	if (l->tcp) {
		/* Both are only for comfort: a failure changes nothing. */
		(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on,
		    sizeof(on));
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
		    sizeof(on));
	}
	gateway_accept(l->all->gw, fd, l->as == LISTEN_FASTCGI ?
	    GATEWAY_FASTCGI : GATEWAY_SCGI, l->as == LISTEN_CONTROL);
}

/* The administrator gets in even when the fronts have taken all places. */
static bool
has_room(const struct listener *l)
{
	return l->as == LISTEN_CONTROL || !gateway_full(l->all->gw);
}

static void
accept_cb(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;
	struct sockaddr_storage peer;
	socklen_t len;
	int i, conn;

	(void)what;
	for (i = 0; i < ACCEPTS; i++) {
		if (!has_room(l)) {
			listeners_pause(l->all, false,
			    "max_connections reached");
			return;
		}
		len = sizeof(peer);
		conn = accept4(fd, (struct sockaddr *)&peer, &len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (conn >= 0)
			accepted(l, conn, (struct sockaddr *)&peer);
		else if (errno == EAGAIN)
			return;
		else if (errno == EMFILE || errno == ENFILE ||
		    errno == ENOMEM || errno == ENOBUFS) {
			listeners_pause(l->all, true, strerror(errno));
			return;
		}
		/* Else that one connection failed. */
	}
}

/* Opening. */

static struct listener *
listener_add(struct listeners *ls, int fd, enum listen_as as, bool tcp)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->ev = event_new(ls->base, fd, EV_READ | EV_PERSIST, accept_cb, l);
	if (l->ev == NULL) {
		free(l);
		return NULL;
	}
	l->all = ls;
	l->fd = fd;
	l->as = as;
	l->tcp = tcp;
	l->next = ls->list;
	ls->list = l;
	return l;
}

/* Say what failed with which address, in one line. */
static int
complain(const char *address, const char *what)
{
	log_at(LOG_ERROR, "cannot listen on %s: %s", address, what);
	return ERR_SYSTEM;
}

static int
complain_errno(const char *address)
{
	return complain(address, strerror(errno));
}

/* Does anything answer at sun?  A full backlog is an answer too. */
static bool
is_stale(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);
	bool stale;

	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) != 0 &&
	    errno == ECONNREFUSED;
	(void)close(fd);
	return stale;
}

static int
bind_unix(int fd, const struct sockaddr_un *sun, const char *address)
{
	const struct sockaddr *sa = (const struct sockaddr *)sun;
	struct stat st;

	if (bind(fd, sa, sizeof(*sun)) == 0)
		return 0;
	if (errno != EADDRINUSE || lstat(sun->sun_path, &st) != 0)
		return complain_errno(address);
	if (!S_ISSOCK(st.st_mode))
		return complain(address, "the file exists and is no socket");
	if (!is_stale(sun))
		return complain(address, "in use, another process answers");
	if (unlink(sun->sun_path) != 0 || bind(fd, sa, sizeof(*sun)) != 0)
		return complain_errno(address);
	return 0;
}

/* What we bound, so that close removes this file and no other. */
static int
note_file(struct listener *l, const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return ERR_SYSTEM;
	l->path = strdup(path);
	if (l->path == NULL)
		return ERR_NOMEM;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

static int
publish_unix(int fd, const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	if (geteuid() == 0 && chown(path, uid, (gid_t)-1) != 0)
		return ERR_SYSTEM;
	if (gid != (gid_t)-1 && chown(path, (uid_t)-1, gid) != 0)
		return ERR_SYSTEM;
	if (chmod(path, mode) != 0 || listen(fd, BACKLOG) != 0)
		return ERR_SYSTEM;
	return 0;
}

static int
open_unix(struct listeners *ls, const struct listen_conf *conf,
    const struct listen_addr *a, const char *path)
{
	bool control = a->as == LISTEN_CONTROL;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct listener *l;
	int fd;

	if (path[0] != '/' || strlen(path) >= sizeof(sun.sun_path))
		return complain(a->address,
		    "the path must be absolute, and short");
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return complain_errno(a->address);
	if (bind_unix(fd, &sun, a->address) != 0) {
		(void)close(fd);
		return ERR_SYSTEM;
	}
	l = listener_add(ls, fd, a->as, false);
	if (l == NULL) {
		(void)close(fd);
		(void)unlink(path);
		return complain(a->address, err_text(ERR_NOMEM));
	}
	if (note_file(l, path) != 0 ||
	    publish_unix(fd, path, control ? CONTROL_MODE : conf->mode,
	    conf->uid, control ? (gid_t)-1 : conf->gid) != 0)
		return complain_errno(a->address);
	return 0;
}

/* getaddrinfo() would take 99999 and listen somewhere. */
static bool
is_port(const char *text)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	return text[0] >= '0' && text[0] <= '9' && *end == '\0' &&
	    port > 0 && port <= UINT16_MAX;
}

/* "host:port" and "[v6]:port" taken apart; host "" or "*" is all. */
static int
split_tcp(const char *address, char *host, size_t size, const char **port)
{
	const char *colon = strrchr(address, ':');
	size_t len;

	if (colon == NULL || !is_port(colon + 1))
		return ERR_SYNTAX;
	*port = colon + 1;
	len = (size_t)(colon - address);
	if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
		address++;
		len -= 2;
	} else if (memchr(address, ':', len) != NULL) {
		return ERR_SYNTAX;
	}
	if (len >= size)
		return ERR_SYNTAX;
	memcpy(host, address, len);
	host[len] = '\0';
	if (strcmp(host, "*") == 0)
		host[0] = '\0';
	return 0;
}

static int
open_tcp_one(struct listeners *ls, const struct listen_addr *a,
    const struct addrinfo *ai)
{
	static const int on = 1;
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC |
	    SOCK_NONBLOCK, 0);

	if (fd < 0)
		return ERR_SYSTEM;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ai->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on,
		    sizeof(on));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
	    listen(fd, BACKLOG) == 0 &&
	    listener_add(ls, fd, a->as, true) != NULL)
		return 0;
	(void)close(fd);
	return ERR_SYSTEM;
}

/* A name may stand for an IPv4 and an IPv6 address; a machine without IPv6
 * still listens on the other. */
static int
open_tcp(struct listeners *ls, const struct listen_addr *a)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE };
	struct addrinfo *found, *ai;
	char host[NI_MAXHOST];
	const char *port;
	int err, opened = 0, failed = 0;

	if (split_tcp(a->address, host, sizeof(host), &port) != 0)
		return complain(a->address,
		    "neither unix:/path nor host:port");
	err = getaddrinfo(host[0] != '\0' ? host : NULL, port, &hints, &found);
	if (err != 0)
		return complain(a->address, gai_strerror(err));
	for (ai = found; ai != NULL; ai = ai->ai_next) {
		if (open_tcp_one(ls, a, ai) == 0) {
			opened++;
			continue;
		}
		failed = errno;
		if (failed != EAFNOSUPPORT && failed != EADDRNOTAVAIL)
			break;
	}
	freeaddrinfo(found);
	if (ai == NULL && opened != 0)
		return 0;
	return complain(a->address, strerror(failed));
}

/* Inheriting. */

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

static int
inherit(struct listeners *ls, int fd, enum listen_as as, const char *name)
{
	int family;

	if (!is_listener(fd, &family))
		return complain(name, "what was inherited does not listen");
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
		return complain_errno(name);
	if (listener_add(ls, fd, as, family != AF_UNIX) == NULL)
		return complain(name, err_text(ERR_NOMEM));
	return 0;
}

/* "fastcgi", "holdfast-fastcgi.socket"; no name at all is FastCGI. */
static int
name_to_kind(const char *name, size_t len, enum listen_as *as)
{
	static const char suffix[] = ".socket";
	static const struct {
		const char	*name;
		enum listen_as	 as;
	} kinds[] = {
		{ "fastcgi", LISTEN_FASTCGI }, { "scgi", LISTEN_SCGI },
		{ "control", LISTEN_CONTROL }, { "unknown", LISTEN_FASTCGI },
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

static int
inherit_systemd(struct listeners *ls)
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
			    "the name must be fastcgi, scgi or control");
		if (inherit(ls, SD_FIRST_FD + i, as, title) != 0)
			return ERR_SYSTEM;
		names += len + (names[len] == ':');
	}
	(void)unsetenv("LISTEN_FDNAMES");
	return 0;
}

/* spawn-fcgi and lighttpd leave the socket where stdin was.  It moves away,
 * for nobody expects to accept from stdin. */
static int
inherit_stdin(struct listeners *ls)
{
	int family, fd, null;

	if (!is_listener(STDIN_FILENO, &family))
		return 0;
	fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, SD_FIRST_FD);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0)
		return complain_errno("descriptor 0");
	(void)close(null);
	return inherit(ls, fd, LISTEN_FASTCGI, "descriptor 0");
}

static bool
is_inherited(const struct listener *first, enum listen_as as)
{
	for (; first != NULL; first = first->next)
		if (first->as == as)
			return true;
	return false;
}

static int
open_all(struct listeners *ls, const struct listen_conf *conf)
{
	const struct listener *inherited;
	size_t i;
	int err;

	err = inherit_systemd(ls);
	if (err == 0)
		err = inherit_stdin(ls);
	inherited = ls->list;
	for (i = 0; i < conf->n && err == 0; i++) {
		const struct listen_addr *a = &conf->addrs[i];

		if (is_inherited(inherited, a->as))
			log_at(LOG_INFO, "not listening on %s: the socket "
			    "was inherited", a->address);
		else if (strncmp(a->address, "unix:", 5) == 0)
			err = open_unix(ls, conf, a, a->address + 5);
		else
			err = open_tcp(ls, a);
	}
	return err;
}

int
listeners_open(struct listeners **out, struct event_base *base,
    struct stats *stats, const struct listen_conf *conf)
{
	struct listeners *ls = calloc(1, sizeof(*ls));
	int err;

	*out = NULL;
	if (ls == NULL)
		return ERR_NOMEM;
	ls->base = base;
	ls->stats = stats;
	ls->fronts = conf->fronts;
	ls->stopped = true;
	ls->pause = evtimer_new(base, resume_cb, ls);
	err = ls->pause == NULL ? ERR_NOMEM : open_all(ls, conf);
	if (err != 0)
		listeners_close(&ls);
	*out = ls;
	return err;
}

int
listeners_start(struct listeners *ls, struct gateway *gw)
{
	ls->gw = gw;
	ls->stopped = false;
	return listeners_resume(ls);
}

void
listeners_set_fronts(struct listeners *ls, const struct cidr_list *fronts)
{
	ls->fronts = fronts;
}

void
listeners_stop(struct listeners *ls)
{
	struct listener *l;

	ls->stopped = true;
	(void)event_del(ls->pause);
	for (l = ls->list; l != NULL; l = l->next)
		(void)event_del(l->ev);
}

static void
listener_free(struct listener *l)
{
	struct stat st;

	if (l->path != NULL && lstat(l->path, &st) == 0 &&
	    st.st_dev == l->dev && st.st_ino == l->ino)
		(void)unlink(l->path);
	event_free(l->ev);
	(void)close(l->fd);
	free(l->path);
	free(l);
}

void
listeners_close(struct listeners **lsp)
{
	struct listeners *ls = *lsp;
	struct listener *l;

	*lsp = NULL;
	if (ls == NULL)
		return;
	while ((l = ls->list) != NULL) {
		ls->list = l->next;
		listener_free(l);
	}
	if (ls->pause != NULL)
		event_free(ls->pause);
	free(ls);
}
