/*
 * daemon/daemon.h - the wired house: every instance, once, and who stops it.
 *
 * Thread: loop.  Known by nobody below.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include "api/api.h"
#include "base/clock.h"
#include "base/stats.h"
#include "daemon/conf.h"
#include "daemon/listen.h"
#include "daemon/notify.h"
#include "fcgi/gateway.h"
#include "push/hub.h"
#include "store/store.h"

struct event;
struct event_base;

struct daemon {
	const char *conf_path;
	struct conf *conf;
	struct stats stats;
	struct event_base *base;
	struct clock_log clock;
	struct store *store;
	struct hub *hub;
	struct api *api;
	struct gateway *gateway;
	struct listeners *listeners;
	struct notify notify;
	size_t descriptors;

	/* loop.c */
	struct event *store_ev, *timer_ev;
	struct event *signal_ev;
	int signal_fd;
	uint64_t timer_ms; /* when timer_ev fires; 0: not armed */
	bool stopping;	   /* a signal asked for it */
	bool draining;
	uint64_t drain_until_ms;

	/* control.c */
	struct request *backup; /* who waits for a backup, or NULL */
	bool backing_up;
};

/* main.c: limits from the configuration, at start and after a reload. */
void daemon_apply_limits(
    struct daemon *d, const struct conf *c, const struct settings *s);
void daemon_reload(struct daemon *d);

/* loop.c: run until stopped; the process's exit status. */
int loop_run(struct daemon *d);

/* control.c */
extern const struct api_control_ops control_ops;
store_done_f control_store_done;

#endif
