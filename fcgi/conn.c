/*
 * fcgi/conn.c - a connection's bytes in and out.
 *
 *	OPEN --conn_finish--> FLUSH --conn_flushed--> LINGER --EOF--+
 *	  |                     |  \______nothing to wait for____   |
 *	  |conn_close           |                                 v v
 *	  +---------------------+-----------------------------> DEAD -> reap
 *
 * OPEN: the session gets what is read.  FLUSH: there are answers to write,
 * input is dropped.  LINGER: all is written and our side is shut; the event
 * has a timeout.  DEAD: no events; the gateway's reap frees it.
 *
 * Thousands of connections wait at a time, so one that waits owns nothing
 * but this struct: reads go through a buffer of the gateway's, and what the
 * kernel does not take at once hangs in a struct conn_out that is made for
 * it and freed after it.
 *
 * Who does not read his answer at all is given request_timeout.  A streaming
 * answer has no end, so its reader could fall behind for ever, taking a little
 * now and then: its parts are bounded in bytes and in age besides.
 *
 * A wake reads once, at most the shared buffer: that is its share of a turn.
 */
#include "fcgi/conn.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "fcgi/conn_out.h"
#include "fcgi/gateway_priv.h"

#define OUT_PAUSE 64 /* items kept: stop reading until there are half */
#define OUT_MAX 512  /* answers: one read asked for so many, close */
#define LINGER_S 5   /* without a byte */

struct conn_out {
	struct out queue;
	bool paused;	 /* too many items: we do not read */
	bool aging;	 /* the timeout is the oldest part's */
	struct event ev; /* writing; times out */
};

static void conn_read_cb(evutil_socket_t fd, short what, void *arg);
static void conn_write_cb(evutil_socket_t fd, short what, void *arg);

static const char *const state_names[] = {
	[CONN_OPEN] = "open",
	[CONN_FLUSH] = "flush",
	[CONN_LINGER] = "linger",
	[CONN_DEAD] = "dead",
};

static void
conn_set_state(struct conn *c, enum conn_state state)
{
	log_at(LOG_DEBUG, "%s connection %d: %s -> %s", c->ops->name, c->fd,
	    state_names[c->state], state_names[state]);
	c->state = (uint8_t)state;
}

int
conn_init(struct conn *c, struct gateway *gw, int fd,
    const struct conn_ops *ops, bool control)
{
	c->magic = CONN_MAGIC;
	c->fd = fd;
	c->ops = ops;
	c->gw = gw;
	c->out = NULL;
	c->state = CONN_OPEN;
	c->control = control;
	c->linger = false;
	c->ended = false;
	if (event_assign(&c->ev, gw->base, fd, EV_READ | EV_PERSIST,
		conn_read_cb, c) != 0 ||
	    event_add(&c->ev, NULL) != 0)
		return ERR_SYSTEM;
	TAILQ_INSERT_TAIL(&gw->conns, c, link);
	return 0;
}

void
conn_release(struct conn *c)
{
	assert(c->state == CONN_DEAD && c->out == NULL);
	(void)close(c->fd);
	c->magic = 0;
}

static bool
conn_out_new(struct conn *c)
{
	struct conn_out *out = malloc(sizeof(*out));

	if (out == NULL ||
	    event_assign(&out->ev, c->gw->base, c->fd, EV_WRITE | EV_PERSIST,
		conn_write_cb, c) != 0) {
		free(out);
		return false;
	}
	out_init(&out->queue);
	out->paused = false;
	out->aging = false;
	c->out = out;
	c->gw->writing++;
	return true;
}

static void
conn_out_free(struct conn *c)
{
	if (c->out == NULL)
		return;
	out_clear(&c->out->queue);
	(void)event_del(&c->out->ev);
	free(c->out);
	c->out = NULL;
	c->gw->writing--;
}

void
conn_close(struct conn *c, enum conn_close_why why)
{
	if (c->state == CONN_DEAD)
		return;
	conn_set_state(c, CONN_DEAD);
	(void)event_del(&c->ev);
	conn_out_free(c);
	TAILQ_REMOVE(&c->gw->conns, c, link);
	TAILQ_INSERT_TAIL(&c->gw->dead, c, link);
	gateway_count_close(c->gw, c->ops->name, why);
}

/* Until the front takes more, but no longer than the oldest part may wait. */
static void
conn_await(struct conn *c)
{
	const struct gateway_limits *limits = &c->gw->limits;
	const struct out_item *part = out_oldest_part(&c->out->queue);
	uint64_t wait_ms = limits->request_timeout_ms;
	uint64_t age_ms = part != NULL ? clock_mono_ms() - part->since_ms : 0;
	struct timeval tv;

	if (part != NULL && age_ms >= limits->max_unsent_ms) {
		conn_close(c, CONN_CLOSE_BEHIND_TIME);
		return;
	}
	c->out->aging =
	    part != NULL && limits->max_unsent_ms - age_ms < wait_ms;
	if (c->out->aging)
		wait_ms = limits->max_unsent_ms - age_ms;
	tv = ms_to_timeval(wait_ms);
	if (event_add(&c->out->ev, &tv) != 0)
		conn_close(c, CONN_CLOSE_NOMEM);
}

/* What was kept passes no bound, and somebody waits for it to go. */
static void
conn_kept(struct conn *c, const struct out_item *it)
{
	struct conn_out *out = c->out;
	const struct out *q = &out->queue;

	if (q->count - q->parts > OUT_MAX) {
		conn_close(c, CONN_CLOSE_FLOOD);
		return;
	}
	if (q->count >= OUT_PAUSE && !out->paused) {
		out->paused = true;
		(void)event_del(&c->ev);
	}
	/* Others do not change how long we wait. */
	if (q->count == 1 || (it->part && q->parts == 1))
		conn_await(c);
}

static void
conn_keep(struct conn *c, struct out_item *it)
{
	if (c->out == NULL && !conn_out_new(c)) {
		conn_close(c, CONN_CLOSE_NOMEM);
		return;
	}
	if (it->part &&
	    !out_has_room(&c->out->queue, it, c->gw->limits.max_unsent)) {
		conn_close(c, CONN_CLOSE_BEHIND_BYTES);
		return;
	}
	if (it->part)
		it->since_ms = clock_mono_ms();
	if (out_keep(&c->out->queue, it) != 0)
		conn_close(c, CONN_CLOSE_NOMEM);
	else
		conn_kept(c, it);
}

static void
conn_put(struct conn *c, struct out_item *it)
{
	int err = ERR_AGAIN;

	if (c->state == CONN_DEAD)
		return;
	assert(c->state == CONN_OPEN);
	if (c->out == NULL)
		err = out_item_write(it, c->fd);
	if (err == ERR_AGAIN)
		conn_keep(c, it);
	else if (err != 0)
		conn_close(c, CONN_CLOSE_RESET);
}

void
conn_send(struct conn *c, struct payload *p, uint16_t id)
{
	struct out_item it = { .payload = p, .id = id };

	conn_put(c, &it);
}

void
conn_send_part(struct conn *c, struct payload *p, uint16_t id)
{
	struct out_item it = { .payload = p, .id = id, .part = true };

	conn_put(c, &it);
}

size_t
conn_unsent(const struct conn *c)
{
	return c->out != NULL ? c->out->queue.bytes : 0;
}

/* Everything is written, and no more will be. */
static void
conn_flushed(struct conn *c)
{
	static const struct timeval linger = { LINGER_S, 0 };

	if (!c->linger || c->ended) {
		conn_close(c, CONN_CLOSE_ANSWERED);
		return;
	}
	conn_set_state(c, CONN_LINGER);
	if (shutdown(c->fd, SHUT_WR) != 0 || event_add(&c->ev, &linger) != 0)
		conn_close(c, CONN_CLOSE_RESET);
}

void
conn_finish(struct conn *c, bool linger)
{
	if (c->state != CONN_OPEN)
		return;
	c->linger = linger;
	conn_set_state(c, CONN_FLUSH);
	if (c->out == NULL)
		conn_flushed(c);
}

static void
conn_resume(struct conn *c)
{
	if (event_add(&c->ev, NULL) != 0)
		conn_close(c, CONN_CLOSE_RESET);
}

/* Some is written and some is left. */
static void
conn_progress(struct conn *c)
{
	struct conn_out *out = c->out;

	if (out->paused && c->state == CONN_OPEN &&
	    out->queue.count <= OUT_PAUSE / 2) {
		out->paused = false;
		conn_resume(c);
	}
	if (c->state != CONN_DEAD)
		conn_await(c);
}

/* The session may send more, or end, from within its op. */
static void
conn_drained(struct conn *c)
{
	bool paused = c->out->paused;

	conn_out_free(c);
	if (c->state == CONN_FLUSH) {
		conn_flushed(c);
		return;
	}
	if (paused)
		conn_resume(c);
	if (c->state == CONN_OPEN)
		c->ops->drained(c);
}

static void
conn_write_cb(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c;
	int err;

	OBJ_CAST(c, arg, CONN_MAGIC);
	if ((what & EV_WRITE) == 0) {
		conn_close(c,
		    c->out->aging ? CONN_CLOSE_BEHIND_TIME : CONN_CLOSE_SLOW);
		return;
	}
	err = out_write(&c->out->queue, fd);
	if (err == 0)
		conn_drained(c);
	else if (err == ERR_AGAIN)
		conn_progress(c);
	else
		conn_close(c, CONN_CLOSE_RESET);
}

static void
conn_ended(struct conn *c)
{
	if (c->state == CONN_OPEN) {
		conn_close(c, c->ops->eof(c));
	} else if (c->state == CONN_LINGER) {
		conn_close(c, CONN_CLOSE_ANSWERED);
	} else {
		/* It may have shut its side only: go on writing. */
		c->ended = true;
		(void)event_del(&c->ev);
	}
}

static void
conn_read_cb(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c;
	ssize_t n;

	OBJ_CAST(c, arg, CONN_MAGIC);
	if ((what & EV_READ) == 0) {
		conn_close(c, CONN_CLOSE_LINGER);
		return;
	}
	n = read(fd, c->gw->input, sizeof(c->gw->input));
	if (n == 0)
		conn_ended(c);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		conn_close(c, CONN_CLOSE_RESET);
	else if (n > 0 && c->state == CONN_OPEN)
		c->ops->input(c, (struct slice){ c->gw->input, (size_t)n });
}
