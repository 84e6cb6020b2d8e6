/*
 * daemon/listen.h - the sockets that fronts and clients connect to.
 *
 * Opened from addresses ("unix:/path", "host:port", "[::1]:port", "*:port"; of
 * HTTP(S) also ":port" and "port", which are this machine's only),
 * or inherited: from systemd by name, or as descriptor 0 from spawn-fcgi and
 * lighttpd.  A kind that was inherited is not opened from its addresses.
 * Owner: daemon.  Thread: loop.
 */
#ifndef DAEMON_LISTEN_H
#define DAEMON_LISTEN_H

#include "base/base.h"
#include "base/cidr.h"
#include "base/stats.h"
#include "fcgi/gateway.h"

struct event_base;
struct listeners; /* opaque */

enum listen_as {
	LISTEN_FASTCGI,
	LISTEN_SCGI,
	LISTEN_HTTP,
	LISTEN_HTTPS,
	LISTEN_CONTROL
};

struct listen_addr {
	enum listen_as as;
	const char *address;
};

struct listen_conf {
	const struct listen_addr *addrs;
	size_t n;
	mode_t mode;			/* of unix sockets; control: 0600 */
	uid_t uid;			/* their owner, if we are root */
	gid_t gid;			/* their group, but not control's;
					 * (gid_t)-1: leave it */
	const struct cidr_list *fronts; /* who may connect by TCP, but
					 * to HTTP; the caller
					 * keeps it as long as the listeners */
};

/*
 * Open all, or none: 0, or ERR_* after one line in the log that names the
 * address.  Accepting starts with listeners_start(), so that privileges can
 * be dropped and the store opened in between.
 */
int listeners_open(struct listeners **out, struct event_base *base,
    struct stats *stats, const struct listen_conf *conf) MUST_CHECK;
/* What is accepted goes to gw. */
int listeners_start(struct listeners *ls, struct gateway *gw) MUST_CHECK;
size_t listeners_count(const struct listeners *ls, enum listen_as as);
void listeners_set_fronts(struct listeners *ls, const struct cidr_list *fronts);

/* Take what waits in the backlogs of our own sockets, then stop accepting.
 * The sockets stay: who connects now waits in the backlog of an inherited
 * socket for the next process. */
void listeners_stop(struct listeners *ls);

/* Close, and remove the socket files that we made and that are still ours. */
void listeners_close(struct listeners **ls);

#endif
