/*
 * fcgi/watch.h - notice that a peer leaves, without reading what it sent.
 *
 * For connections that are not read from: their bytes wait in the kernel, and
 * the end of them stands behind those bytes.  libevent's EV_CLOSED is deaf to
 * a reset (and turns in circles then), so this is an epoll of our own, which
 * libevent sees as one descriptor.
 * Owner: the gateway.  Thread: loop.
 */
#ifndef FCGI_WATCH_H
#define FCGI_WATCH_H

#include "base/base.h"

#include <event2/event_struct.h>

struct event_base;

typedef void watch_gone_f(void *who);

struct watch {
	int epoll;
	struct event ev;
	watch_gone_f *gone;
};

int watch_init(
    struct watch *w, struct event_base *base, watch_gone_f *gone) MUST_CHECK;
void watch_release(struct watch *w);
int watch_add(struct watch *w, int fd, void *who) MUST_CHECK;
void watch_remove(struct watch *w, int fd);

#endif
