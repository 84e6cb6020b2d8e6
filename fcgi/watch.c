/* fcgi/watch.c - see watch.h. */
#include "fcgi/watch.h"

#include <event2/event.h>
#include <sys/epoll.h>
#include <unistd.h>

#define GONE_MAX 64 /* a wake; the rest comes with the next */

/* `gone` may remove others, so what they were told with is asked for anew. */
static void
watch_cb(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	struct epoll_event one;

	(void)what;
	for (int i = 0; i < GONE_MAX; i++) {
		if (epoll_wait(fd, &one, 1, 0) != 1)
			return;
		w->gone(one.data.ptr);
	}
}

int
watch_init(struct watch *w, struct event_base *base, watch_gone_f *gone)
{
	w->gone = gone;
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0)
		return ERR_SYSTEM;
	if (event_assign(&w->ev, base, w->epoll, EV_READ | EV_PERSIST, watch_cb,
		w) == 0 &&
	    event_add(&w->ev, NULL) == 0)
		return 0;
	(void)close(w->epoll);
	return ERR_SYSTEM;
}

void
watch_release(struct watch *w)
{
	(void)event_del(&w->ev);
	(void)close(w->epoll);
}

int
watch_add(struct watch *w, int fd, void *who)
{
	struct epoll_event e = { .events = EPOLLRDHUP, .data.ptr = who };

	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &e) == 0 ? 0 : ERR_SYSTEM;
}

void
watch_remove(struct watch *w, int fd)
{
	(void)epoll_ctl(w->epoll, EPOLL_CTL_DEL, fd, NULL);
}
