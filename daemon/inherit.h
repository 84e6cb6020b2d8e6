/*
 * daemon/inherit.h - listening sockets that somebody opened for us.
 *
 * systemd hands them over by name (sd_listen_fds(3)); spawn-fcgi and lighttpd
 * leave one where stdin was.
 */
#ifndef DAEMON_INHERIT_H
#define DAEMON_INHERIT_H

#include "daemon/listen.h"

/* Takes the descriptor; ERR_NOMEM. */
typedef int inherit_take_f(void *arg, int fd, enum listen_as as, bool tcp);

/* Of connections that the process before us kept (notify_keep()). */
#define INHERIT_KEPT "kept-"

/* Hand each listener to `take`, each kept connection to `kept`.  ERR_SYSTEM
 * after a line in the log. */
int inherit_sockets(
    inherit_take_f *take, inherit_take_f *kept, void *arg) MUST_CHECK;

#endif
