/*
 * daemon/listen.c - listening sockets, from birth to removal, and accepting.
 *
 * A socket file has its mode from bind(2) on, and is connectable only from
 * listen(2) on; its owner is set in between: at no time can the wrong user
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
#include "daemon/inherit.h"

#define BACKLOG 4096
#define ACCEPTS 64 /* a wake */
#define PAUSE_S 1
#define CONTROL_MODE 0600
#define HTTP_HOST_DEFAULT "127.0.0.1"

struct listener {
	struct listener *next;
	struct listeners *all;
	struct event *ev;
	int fd;
	enum listen_as as;
	bool tcp;
	bool inherited;
	char *path; /* of a file we made, or NULL */
	dev_t dev;  /* which file that was */
	ino_t ino;
};

/* A connection that the process before us left. */
struct kept {
	struct kept *next;
	int fd;
	enum listen_as as;
};

struct listeners {
	struct event_base *base;
	struct kept *kept;
	struct gateway *gw;
	struct stats *stats;
	const struct cidr_list *fronts;
	struct listener *list;
	struct event *pause;
	bool stopped;
	struct log_limit log;
};

static bool
is_http(enum listen_as as)
{
	return as == LISTEN_HTTP || as == LISTEN_HTTPS;
}

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
		return; /* better busy than deaf */
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

	if (!l->tcp || is_http(l->as) || cidr_list_has(l->all->fronts, peer))
		return true;
	if (getnameinfo(peer, sizeof(struct sockaddr_storage), host,
		sizeof(host), NULL, 0, NI_NUMERICHOST) != 0)
		memcpy(host, "?", sizeof("?"));
	l->all->stats->connections_refused++;
	log_limited(&l->all->log, LOG_WARN,
	    "connection from %s refused: not in fronts", host);
	return false;
}

static const enum gateway_kind kinds[] = {
	[LISTEN_FASTCGI] = GATEWAY_FASTCGI,
	[LISTEN_SCGI] = GATEWAY_SCGI,
	[LISTEN_HTTP] = GATEWAY_HTTP,
	[LISTEN_HTTPS] = GATEWAY_HTTPS,
	[LISTEN_CONTROL] = GATEWAY_SCGI,
};

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
		(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	}
	gateway_accept(l->all->gw, fd, kinds[l->as], l->as == LISTEN_CONTROL);
}

/* The administrator gets in even when the fronts have taken all places. */
static bool
has_room(const struct listener *l)
{
	return l->as == LISTEN_CONTROL || !gateway_full(l->all->gw);
}

static void
listener_full(struct listener *l)
{
	limit_count(&l->all->stats->limits, LIMIT_max_connections, 1);
	listeners_pause(l->all, false, "max_connections reached");
}

/* A wake's share; true: there may be more. */
static bool
accept_some(struct listener *l)
{
	struct sockaddr_storage peer;
	socklen_t len;
	int i, conn;

	for (i = 0; i < ACCEPTS; i++) {
		if (!has_room(l)) {
			/* If there is anybody, we are woken once more. */
			if (i == 0)
				listener_full(l);
			return false;
		}
		len = sizeof(peer);
		conn = accept4(l->fd, (struct sockaddr *)&peer, &len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (conn >= 0)
			accepted(l, conn, (struct sockaddr *)&peer);
		else if (errno == EAGAIN)
			return false;
		else if (errno == EMFILE || errno == ENFILE ||
		    errno == ENOMEM || errno == ENOBUFS) {
			listeners_pause(l->all, true, strerror(errno));
			limit_count(
			    &l->all->stats->limits, LIMIT_descriptors, 1);
			return false;
		}
		/* Else that one connection failed. */
	}
	return true;
}

static void
accept_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)accept_some(arg);
}

/* As many as can have waited since the last wake, and not those who go on
 * coming while we accept. */
static void
accept_waiting(struct listener *l)
{
	for (int i = 0; i < BACKLOG / ACCEPTS && accept_some(l); i++)
		;
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
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
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

/* By a descriptor of the file itself: in a folder that is not root's alone,
 * the path may lead elsewhere by now. */
static int
publish_unix(int fd, const char *path, uid_t uid, gid_t gid)
{
	int file = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int err = ERR_SYSTEM;

	if (file < 0)
		return ERR_SYSTEM;
	if (geteuid() != 0)
		uid = (uid_t)-1;
	if (fstat(file, &st) == 0 && !S_ISSOCK(st.st_mode))
		errno = ENOTSOCK;
	else if (fchownat(file, "", uid, gid, AT_EMPTY_PATH) == 0 &&
	    listen(fd, BACKLOG) == 0)
		err = 0;
	(void)close(file);
	return err;
}

static int
open_unix(struct listeners *ls, const struct listen_conf *conf,
    const struct listen_addr *a, const char *path)
{
	bool control = a->as == LISTEN_CONTROL;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct listener *l;
	mode_t mask;
	int fd, err;

	if (path[0] != '/' || strlen(path) >= sizeof(sun.sun_path))
		return complain(
		    a->address, "the path must be absolute, and short");
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return complain_errno(a->address);
	/* bind() gives the file its mode. */
	mask = umask(0777 & ~(control ? CONTROL_MODE : conf->mode));
	err = bind_unix(fd, &sun, a->address);
	(void)umask(mask);
	if (err != 0) {
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
	    publish_unix(
		fd, path, conf->uid, control ? (gid_t)-1 : conf->gid) != 0)
		return complain_errno(a->address);
	return 0;
}

/* getaddrinfo() would take 99999 and listen somewhere. */
static bool
is_port(const char *text)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && port > 0 &&
	    port <= UINT16_MAX;
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
	int fd = socket(
	    ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return ERR_SYSTEM;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ai->ai_family == AF_INET6)
		(void)setsockopt(
		    fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
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

	if (is_http(a->as) && is_port(a->address + (a->address[0] == ':'))) {
		/* Clients are many: only who names an address means it. */
		port = a->address + (a->address[0] == ':');
		memcpy(host, HTTP_HOST_DEFAULT, sizeof(HTTP_HOST_DEFAULT));
	} else if (split_tcp(a->address, host, sizeof(host), &port) != 0) {
		return complain(a->address, "neither unix:/path nor host:port");
	}
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

static int
take_inherited(void *arg, int fd, enum listen_as as, bool tcp)
{
	struct listener *l = listener_add(arg, fd, as, tcp);

	if (l == NULL)
		return ERR_NOMEM;
	l->inherited = true;
	return 0;
}

static int
take_kept(void *arg, int fd, enum listen_as as, bool tcp)
{
	struct listeners *ls = arg;
	struct kept *k = malloc(sizeof(*k));

	(void)tcp;
	if (k == NULL)
		return ERR_NOMEM;
	*k = (struct kept){ ls->kept, fd, as };
	ls->kept = k;
	return 0;
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

	err = inherit_sockets(take_inherited, take_kept, ls);
	inherited = ls->list;
	for (i = 0; i < conf->n && err == 0; i++) {
		const struct listen_addr *a = &conf->addrs[i];

		if (is_inherited(inherited, a->as))
			log_at(LOG_INFO,
			    "not listening on %s: the socket "
			    "was inherited",
			    a->address);
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
	struct kept *k;

	ls->gw = gw;
	ls->stopped = false;
	while ((k = ls->kept) != NULL) {
		ls->kept = k->next;
		gateway_accept(gw, k->fd, kinds[k->as], false);
		free(k);
	}
	return listeners_resume(ls);
}

void
listeners_set_fronts(struct listeners *ls, const struct cidr_list *fronts)
{
	ls->fronts = fronts;
}

size_t
listeners_count(const struct listeners *ls, enum listen_as as)
{
	size_t n = 0;

	for (const struct listener *l = ls->list; l != NULL; l = l->next)
		n += l->as == as;
	return n;
}

void
listeners_stop(struct listeners *ls)
{
	struct listener *l;

	ls->stopped = true;
	(void)event_del(ls->pause);
	for (l = ls->list; l != NULL; l = l->next) {
		/* An inherited socket's backlog is the next process's. */
		if (!l->inherited)
			accept_waiting(l);
		(void)event_del(l->ev);
	}
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
	struct kept *k;

	*lsp = NULL;
	if (ls == NULL)
		return;
	while ((l = ls->list) != NULL) {
		ls->list = l->next;
		listener_free(l);
	}
	while ((k = ls->kept) != NULL) {
		ls->kept = k->next;
		(void)close(k->fd);
		free(k);
	}
	if (ls->pause != NULL)
		event_free(ls->pause);
	free(ls);
}
