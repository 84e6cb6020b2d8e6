/*
 * daemon/notify.h - tell systemd how we are: sd_notify(3)'s datagrams.
 *
 * The protocol is one datagram of "NAME=value" lines to $NOTIFY_SOCKET, which
 * systemd promises to keep; a library for it would be larger than all this.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include "base/base.h"

struct notify {
	int fd;		      /* -1: nobody listens */
	uint64_t watchdog_ms; /* 0: no watchdog */
	uint64_t next_ms;     /* of the watchdog, monotonic */
	unsigned room;	      /* for descriptors that it keeps for us */
};

void notify_open(struct notify *n);
void notify_say(struct notify *n, const char *state);
/* A sign of life, when one is due. */
void notify_alive(struct notify *n, uint64_t now_ms);
/* Give a descriptor to systemd's store (FileDescriptorStoreMax=), for the next
 * process under this name; false: it is not taken. */
bool notify_keep(struct notify *n, int fd, const char *name);
/* We are that process, and have taken over what has this name. */
void notify_kept(struct notify *n, const char *name);
void notify_close(struct notify *n);

#endif
