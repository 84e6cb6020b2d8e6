/*
 * daemon/loop.c - the one turn, and the signals.
 *
 * A turn: libevent runs what is ready; then deferred work has its place: waits
 * that are over end, closed connections are freed, what was published in this
 * turn and is not with the store yet (api.c) is handed over.
 *
 * SIGTERM is a lame duck: no more accepting, parked polls get their ordinary
 * empty answer, what is queued is committed and answered, exit 0.
 */
#include <event2/event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/inherit.h"

#define DRAIN_MS 10000	  /* then we go all the same */
#define DRAIN_READ_MS 500 /* of them for what has come already */

static const struct timeval drain_read = { 0, DRAIN_READ_MS * 1000 };

static void
loop_time(struct daemon *d)
{
	hub_set_time(d->hub, clock_log_s(&d->clock), clock_mono_ms());
}

static void
store_cb(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	loop_time(d);
	gateway_gather(d->gateway);
	store_dispatch(d->store);
	gateway_gathered(d->gateway);
}

static void
timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	d->timer_ms = 0;
}

/*
 * What has reached us already is served: connections in the backlog of our
 * own sockets are taken, and what lies in all of them is read until nothing
 * is left.  Who goes on sending would keep us here for ever, so that has an
 * end, and when it has come everybody was read from at least once.
 */
static void
loop_drain(struct daemon *d)
{
	listeners_stop(d->listeners);
	(void)event_base_loopexit(d->base, &drain_read);
	(void)event_base_loop(d->base, EVLOOP_NONBLOCK);
	log_at(LOG_NOTICE, "stopping");
	notify_say(&d->notify, "STOPPING=1");
	d->draining = true;
	d->drain_until_ms = clock_mono_ms() + DRAIN_MS;
	hub_drain(d->hub);
	gateway_drain(d->gateway);
}

static void
loop_signal(struct daemon *d, uint32_t sig)
{
	if (sig == SIGHUP)
		daemon_reload(d);
	else if (sig != SIGUSR1)
		d->stopping = true;
	else if (log_reopen() != 0)
		log_at(LOG_ERROR,
		    "cannot reopen the log file; the old one "
		    "stays in use");
}

static void
signal_cb(evutil_socket_t fd, short what, void *arg)
{
	struct signalfd_siginfo si;

	(void)what;
	while (read(fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		loop_signal(arg, si.ssi_signo);
}

static void
loop_arm_timer(struct daemon *d, bool at_once)
{
	uint64_t now = hub_now_ms(d->hub);
	uint64_t next = MIN_OF(hub_next_ms(d->hub), now + 1000);
	struct timeval tv;

	next = MIN_OF(next, api_next_ms(d->api));
	if (d->notify.watchdog_ms != 0)
		next = MIN_OF(next, d->notify.next_ms);
	if (at_once)
		next = now;
	if (d->timer_ms != 0 && d->timer_ms <= next)
		return;
	next = MAX_OF(next, now);
	tv.tv_sec = (time_t)((next - now) / 1000);
	tv.tv_usec = (suseconds_t)((next - now) % 1000 * 1000);
	if (event_add(d->timer_ev, &tv) == 0)
		d->timer_ms = MAX_OF(next, 1);
}

static void
loop_turn_end(struct daemon *d)
{
	bool more;

	loop_time(d);
	hub_tick(d->hub);
	more = api_turn(d->api);
	/* That somebody left is an event, so before the store hears of it. */
	gateway_reap(d->gateway);
	store_flush(d->store);
	notify_alive(&d->notify, hub_now_ms(d->hub));
	loop_arm_timer(d, more);
}

static bool
loop_drained(const struct daemon *d)
{
	if (!d->draining)
		return false;
	return (!hub_busy(d->hub) && !gateway_busy(d->gateway)) ||
	    hub_now_ms(d->hub) >= d->drain_until_ms;
}

/*
 * They come by a descriptor, and stay blocked for good: one more of them must
 * not end us while the store closes.
 */
static int
loop_signals(struct daemon *d)
{
	sigset_t ours;

	(void)sigemptyset(&ours);
	(void)sigaddset(&ours, SIGTERM);
	(void)sigaddset(&ours, SIGINT);
	(void)sigaddset(&ours, SIGHUP);
	(void)sigaddset(&ours, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &ours, NULL);
	d->signal_fd = signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
	return d->signal_fd >= 0 ? 0 : ERR_SYSTEM;
}

static int
loop_events(struct daemon *d)
{
	d->store_ev = event_new(
	    d->base, store_fd(d->store), EV_READ | EV_PERSIST, store_cb, d);
	d->timer_ev = evtimer_new(d->base, timer_cb, d);
	d->signal_ev = event_new(
	    d->base, d->signal_fd, EV_READ | EV_PERSIST, signal_cb, d);
	if (d->store_ev == NULL || d->timer_ev == NULL ||
	    d->signal_ev == NULL || event_add(d->store_ev, NULL) != 0 ||
	    event_add(d->signal_ev, NULL) != 0)
		return ERR_NOMEM;
	return 0;
}

static void
loop_events_free(struct daemon *d)
{
	struct event *all[] = { d->store_ev, d->timer_ev, d->signal_ev };

	for (size_t i = 0; i < COUNT_OF(all); i++) {
		if (all[i] != NULL)
			event_free(all[i]);
	}
	if (d->signal_fd >= 0)
		(void)close(d->signal_fd);
}

/*
 * A web server that has a request for us would be interrupted for each one:
 * the loop, which mostly sleeps, is the kernel's favourite whenever it wakes.
 * As a batch it waits for a processor, or for the end of the other's slice, and
 * finds more to do at once.  Whoever started us with a policy of his own has
 * his reasons, and where it is refused we go on as we are.  The store's thread,
 * for which all wait, runs already and keeps what it has.
 */
static void
loop_be_batch(void)
{
	struct sched_param param;
	int policy;

	if (pthread_getschedparam(pthread_self(), &policy, &param) == 0 &&
	    policy == SCHED_OTHER)
		(void)pthread_setschedparam(
		    pthread_self(), SCHED_BATCH, &param);
}

int
loop_run(struct daemon *d)
{
	int err = loop_signals(d);

	if (err == 0)
		err = loop_events(d);
	if (err != 0) {
		log_at(LOG_ERROR, "cannot set up the event loop");
	} else {
		loop_be_batch();
		notify_kept(&d->notify, INHERIT_KEPT "fastcgi");
		notify_kept(&d->notify, INHERIT_KEPT "scgi");
		notify_kept(&d->notify, INHERIT_KEPT "http");
		notify_say(&d->notify, "READY=1");
		log_at(LOG_NOTICE, "ready");
		loop_turn_end(d);
	}
	while (err == 0 && !loop_drained(d)) {
		if (event_base_loop(d->base, EVLOOP_ONCE) < 0)
			err = ERR_SYSTEM;
		/* Before anything else: nothing may be acknowledged now. */
		else if (store_fatal(d->store) != 0)
			err = store_fatal(d->store);
		else if (d->stopping && !d->draining)
			loop_drain(d);
		if (err == 0)
			loop_turn_end(d);
	}
	/* What was answered last can be kept as well. */
	if (err == 0)
		gateway_drain(d->gateway);
	loop_events_free(d);
	if (err != 0)
		log_at(LOG_ERROR, "ending: %s", err_text(err));
	return err != 0;
}
