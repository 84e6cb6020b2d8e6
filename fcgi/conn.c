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
 * Who does not read his answer at all is given request_timeout; who takes a
 * little now and then is given a second more for each SLOW_RATE bytes, and no
 * longer.  A streaming answer has no end, so its parts are bounded in bytes and
 * in age.
 *
 * Where many messages come at once, each to the same thousands, what a reader
 * gets after the first of them is gathered and written together: a system call
 * for each costs more than all else that is done for it.
 *
 * A wake reads once, at most the shared buffer: that is its share of a turn.
 *
 * All reading and writing of the descriptor is here and in conn_out.c, where
 * TLS stands between it and the session (c->tls).  When that wants to write
 * before it can read on, the reading event waits for room to write instead;
 * and while anything is kept there is no reading, for OpenSSL fails if it has
 * to answer (a key update) in the middle of a record that is not written.
 * It reads one record a wake, and of handshakes, which are long calculations,
 * a turn makes so many steps and no more.
 */
#include "fcgi/conn.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/tls.h"
#include "base/clock.h"
#include "base/log.h"
#include "fcgi/conn_out.h"
#include "fcgi/fcgi_codec.h"
#include "fcgi/gateway_priv.h"

#define OUT_PAUSE 64   /* items kept: stop reading until there are half */
#define OUT_MAX 512    /* answers: one read asked for so many, close */
#define LINGER_S 5     /* without a byte */
#define SLOW_RATE 4096 /* bytes a second: the least to take an answer with */
#define HANDSHAKES_A_TURN 16

/* So much is written before the end of a gathering: what one write takes, or
 * bytes that no reader can be far behind with. */
#define GATHER_ITEMS FCGI_FRAMES_MAX
#define GATHER_BYTES 16384

struct conn_out {
	struct conn *conn;
	TAILQ_ENTRY(conn_out) link; /* in gw->gathered */
	LIST_ENTRY(conn_out) all;   /* in gw->outs */
	struct out queue;
	bool gathered;	 /* the kernel is asked later; ev is idle */
	bool paused;	 /* too many items: we do not read */
	uint8_t why;	 /* of the close when the timeout comes */
	struct event ev; /* writing; times out */
};

static void conn_read_cb(evutil_socket_t fd, short what, void *arg);
static void conn_want(struct conn *c, short what);
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
	c->gathering = 0;
	c->tls = NULL;
	c->state = CONN_OPEN;
	c->why = CONN_CLOSE_ANSWERED;
	c->control = control;
	c->linger = false;
	c->ended = false;
	c->held = false;
	c->rests = 0;
	if (event_assign(&c->ev, gw->base, fd, EV_READ | EV_PERSIST,
		conn_read_cb, c) != 0 ||
	    event_add(&c->ev, NULL) != 0)
		return ERR_SYSTEM;
	TAILQ_INSERT_TAIL(&gw->conns, c, link);
	return 0;
}

int
conn_use_tls(struct conn *c)
{
	assert(c->ops->plain != NULL);
	c->tls = tls_new(c->gw->certs, c->fd);
	return c->tls != NULL ? 0 : ERR_NOMEM;
}

bool
conn_is_shaking(const struct conn *c)
{
	return c->tls != NULL && !tls_is_up(c->tls);
}

void
conn_release(struct conn *c)
{
	assert(c->state == CONN_DEAD && c->out == NULL);
	tls_free(&c->tls);
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
	out->conn = c;
	out_init(&out->queue, &c->gw->outgoing);
	LIST_INSERT_HEAD(&c->gw->outs, out, all);
	out->gathered = false;
	out->paused = false;
	out->why = CONN_CLOSE_SLOW;
	c->out = out;
	c->gw->writing++;
	return true;
}

static void
conn_ungather(struct conn *c)
{
	if (c->out->gathered)
		TAILQ_REMOVE(&c->gw->gathered, c->out, link);
	c->out->gathered = false;
}

static void
conn_out_free(struct conn *c)
{
	if (c->out == NULL)
		return;
	conn_ungather(c);
	LIST_REMOVE(c->out, all);
	out_clear(&c->out->queue);
	(void)event_del(&c->out->ev);
	free(c->out);
	c->out = NULL;
	c->gw->writing--;
}

/* A peer who gets no goodbye knows that something may be missing. */
static bool
is_orderly(enum conn_close_why why)
{
	return why == CONN_CLOSE_ANSWERED || why == CONN_CLOSE_IDLE ||
	    why == CONN_CLOSE_UNUSED || why == CONN_CLOSE_DRAIN;
}

void
conn_close(struct conn *c, enum conn_close_why why)
{
	if (c->state == CONN_DEAD)
		return;
	if (c->tls != NULL && c->out == NULL && c->state != CONN_LINGER &&
	    is_orderly(why))
		tls_shutdown(c->tls);
	conn_set_state(c, CONN_DEAD);
	(void)event_del(&c->ev);
	if (c->held)
		watch_remove(&c->gw->watch, c->fd);
	conn_out_free(c);
	TAILQ_REMOVE(&c->gw->conns, c, link);
	TAILQ_INSERT_TAIL(&c->gw->dead, c, link);
	gateway_count_close(c->gw, c->ops->name, why);
}

void
conn_late(struct conn *c)
{
	conn_close(c, CONN_CLOSE_LATE);
}

/* What is left of the time that an item had. */
static uint64_t
item_wait_ms(const struct out_item *it, uint64_t most_ms)
{
	uint64_t age_ms = clock_mono_ms() - it->since_ms;

	return most_ms - MIN_OF(age_ms, most_ms);
}

/* Until the front takes more, but no longer than the next answer may take, and
 * the oldest part wait. */
static void
conn_await(struct conn *c)
{
	const struct gateway_limits *limits = &c->gw->limits;
	const struct out_item *next = out_first(&c->out->queue);
	const struct out_item *part = out_oldest_part(&c->out->queue);
	uint64_t wait_ms = limits->request_timeout_ms, part_ms;
	struct timeval tv;

	if (!next->part)
		wait_ms = MIN_OF(wait_ms,
		    item_wait_ms(next,
			wait_ms + (uint64_t)next->with * 1000 / SLOW_RATE));
	c->out->why = CONN_CLOSE_SLOW;
	part_ms = part != NULL ? item_wait_ms(part, limits->max_unsent_ms)
			       : UINT64_MAX;
	if (part_ms < wait_ms) {
		c->out->why = CONN_CLOSE_BEHIND_TIME;
		wait_ms = part_ms;
	}
	tv = ms_to_timeval(wait_ms);
	if (wait_ms == 0)
		conn_close(c, (enum conn_close_why)c->out->why);
	else if (event_add(&c->out->ev, &tv) != 0)
		conn_close(c, CONN_CLOSE_NOMEM);
}

/* Stop reading; a kick that is on its way still comes. */
static void
conn_stop_reading(struct conn *c)
{
	bool kicked = event_pending(&c->ev, EV_WRITE, NULL) != 0;

	(void)event_del(&c->ev);
	if (kicked)
		conn_kick(c);
}

/* Who takes so little is not asked for more; under TLS he who leaves anything
 * is not, see above. */
static void
conn_pause(struct conn *c)
{
	size_t most = c->tls != NULL ? 1 : OUT_PAUSE;

	if (c->out->queue.count < most || c->out->paused)
		return;
	c->out->paused = true;
	conn_stop_reading(c);
}

/* What was kept passes no bound, and somebody waits for it to go. */
static void
conn_kept(struct conn *c, const struct out_item *it)
{
	const struct out *q = &c->out->queue;

	if (q->count - q->parts > OUT_MAX) {
		conn_close(c, CONN_CLOSE_FLOOD);
		return;
	}
	conn_pause(c);
	/* Others do not change how long we wait. */
	if (q->count == 1 || (it->part && q->parts == 1))
		conn_await(c);
}

/* More waits than may, of all together: who is furthest behind goes, and who
 * is half as far, until there is some room.  So it is asked for seldom. */
static void
conn_relieve(struct gateway *gw)
{
	struct quota *all = &gw->outgoing;
	struct conn_out *out, *next;
	size_t most = 0;

	if (all->used <= all->max)
		return;
	limit_hit(&gw->stats->limits, LIMIT_max_outgoing_size);
	LIST_FOREACH(out, &gw->outs, all)
	most = MAX_OF(most, out_weight(&out->queue));
	for (out = LIST_FIRST(&gw->outs);
	     out != NULL && all->used > all->max / 4 * 3; out = next) {
		next = LIST_NEXT(out, all);
		if (out_weight(&out->queue) >= most / 2)
			conn_close(out->conn, CONN_CLOSE_BEHIND_ALL);
	}
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
	it->since_ms = clock_mono_ms();
	if (out_keep(&c->out->queue, it) != 0)
		conn_close(c, CONN_CLOSE_NOMEM);
	else
		conn_kept(c, it);
	conn_relieve(c->gw);
}

/* Does it wait for the end of the gathering?  The first part of one does not,
 * and nobody passes what waits. */
static bool
conn_gathers(const struct conn *c, const struct out_item *it)
{
	if (c->out != NULL)
		return c->out->gathered;
	return it->part && c->gathering != 0 &&
	    c->gathering == c->gw->gathering;
}

/* Write before the end; who does not take all of it is waited for. */
static void
conn_gather_write(struct conn *c)
{
	int err = out_write(&c->out->queue, c->fd, c->tls);

	if (err == ERR_AGAIN) {
		conn_ungather(c);
		conn_pause(c);
		conn_await(c);
	} else if (err != 0) {
		conn_close(c, CONN_CLOSE_RESET);
	}
}

static void
conn_gather(struct conn *c, struct out_item *it)
{
	const struct out *q;

	if (c->out == NULL && !conn_out_new(c)) {
		conn_close(c, CONN_CLOSE_NOMEM);
		return;
	}
	if (!c->out->gathered)
		TAILQ_INSERT_TAIL(&c->gw->gathered, c->out, link);
	c->out->gathered = true;
	q = &c->out->queue;
	it->since_ms = clock_mono_ms();
	if (out_keep(&c->out->queue, it) != 0)
		conn_close(c, CONN_CLOSE_NOMEM);
	else if (q->count >= GATHER_ITEMS || q->bytes >= GATHER_BYTES)
		conn_gather_write(c);
	conn_relieve(c->gw);
}

static void
conn_put(struct conn *c, struct out_item *it)
{
	int err = ERR_AGAIN;

	if (c->state == CONN_DEAD)
		return;
	assert(c->state == CONN_OPEN);
	if (conn_gathers(c, it)) {
		conn_gather(c, it);
		return;
	}
	if (it->part)
		c->gathering = c->gw->gathering;
	if (c->out == NULL)
		err = out_item_write(it, c->fd, c->tls);
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

/* If nobody else wants it to be quiet. */
static void
conn_resume(struct conn *c)
{
	if (c->held || c->rests != 0 || (c->out != NULL && c->out->paused))
		return;
	if (event_add(&c->ev, NULL) != 0)
		conn_close(c, CONN_CLOSE_RESET);
}

/* Everything is written, and no more will be. */
static void
conn_flushed(struct conn *c)
{
	static const struct timeval linger = { LINGER_S, 0 };

	if (!c->linger || c->ended) {
		conn_close(c, (enum conn_close_why)c->why);
		return;
	}
	if (c->tls != NULL)
		tls_shutdown(c->tls);
	conn_set_state(c, CONN_LINGER);
	c->linger_ms = (uint32_t)clock_mono_ms();
	if (shutdown(c->fd, SHUT_WR) != 0 || event_add(&c->ev, &linger) != 0)
		conn_close(c, CONN_CLOSE_RESET);
}

void
conn_hold(struct conn *c)
{
	if (c->state != CONN_OPEN || c->held)
		return;
	(void)event_del(&c->ev);
	if (watch_add(&c->gw->watch, c->fd, c) != 0)
		conn_close(c, CONN_CLOSE_NOMEM);
	else
		c->held = true;
}

void
conn_unhold(struct conn *c)
{
	if (c->state == CONN_DEAD || !c->held)
		return;
	watch_remove(&c->gw->watch, c->fd);
	c->held = false;
	conn_resume(c);
}

void
conn_rest(struct conn *c)
{
	assert(c->rests < UINT8_MAX);
	if (c->rests++ == 0 && c->state == CONN_OPEN)
		conn_stop_reading(c);
}

void
conn_wake(struct conn *c)
{
	assert(c->rests != 0);
	if (--c->rests == 0 && c->state == CONN_OPEN)
		conn_resume(c);
}

void
conn_gone(void *arg)
{
	struct conn *c;

	OBJ_CAST(c, arg, CONN_MAGIC);
	conn_close(c, c->ops->eof(c));
}

void
conn_kick(struct conn *c)
{
	if (c->state == CONN_OPEN)
		event_active(&c->ev, EV_WRITE, 0);
}

void
conn_finish(struct conn *c, bool linger)
{
	if (c->state != CONN_OPEN)
		return;
	conn_unhold(c);
	if (c->state != CONN_OPEN)
		return;
	c->linger = linger;
	if (c->tls != NULL)
		conn_want(c, EV_READ);
	if (c->state != CONN_OPEN)
		return;
	conn_set_state(c, CONN_FLUSH);
	if (c->out == NULL)
		conn_flushed(c);
}

/* Some is written and some is left. */
static void
conn_progress(struct conn *c)
{
	struct conn_out *out = c->out;

	if (out->paused && c->state == CONN_OPEN && c->tls == NULL &&
	    out->queue.count <= OUT_PAUSE / 2) {
		out->paused = false;
		conn_resume(c);
	} else if (c->state == CONN_OPEN) {
		conn_pause(c); /* what was gathered */
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
conn_write(struct conn *c)
{
	int err = out_write(&c->out->queue, c->fd, c->tls);

	if (err == 0)
		conn_drained(c);
	else if (err == ERR_AGAIN)
		conn_progress(c);
	else
		conn_close(c, CONN_CLOSE_RESET);
}

/* Sessions may send more, or end, while we are at it. */
void
conn_write_gathered(struct gateway *gw)
{
	struct conn_out *out;

	while ((out = TAILQ_FIRST(&gw->gathered)) != NULL) {
		struct conn *c = out->conn;

		conn_ungather(c);
		conn_write(c);
	}
}

static void
conn_write_cb(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c;

	(void)fd;
	OBJ_CAST(c, arg, CONN_MAGIC);
	if ((what & EV_WRITE) == 0) {
		conn_close(c, (enum conn_close_why)c->out->why);
		return;
	}
	conn_write(c);
}

static void
conn_ended(struct conn *c)
{
	if (c->state == CONN_OPEN) {
		conn_close(c, c->ops->eof(c));
	} else if (c->state == CONN_LINGER) {
		conn_close(c, (enum conn_close_why)c->why);
	} else {
		/* It may have shut its side only: go on writing. */
		c->ended = true;
		(void)event_del(&c->ev);
	}
}

/* TLS: what the event of reading waits for, EV_READ or EV_WRITE. */
static void
conn_want(struct conn *c, short what)
{
	bool pending = event_pending(&c->ev, EV_READ | EV_WRITE, NULL) != 0;

	if (c->state == CONN_DEAD || (event_get_events(&c->ev) & what) != 0)
		return;
	(void)event_del(&c->ev);
	if (event_assign(&c->ev, c->gw->base, c->fd, what | EV_PERSIST,
		conn_read_cb, c) != 0 ||
	    (pending && event_add(&c->ev, NULL) != 0))
		conn_close(c, CONN_CLOSE_NOMEM);
}

static bool
conn_wants_write(const struct conn *c)
{
	return c->tls != NULL && (event_get_events(&c->ev) & EV_WRITE) != 0;
}

/* The peer has not begun a handshake, so there is nobody to talk TLS to. */
static void
conn_plain(struct conn *c)
{
	tls_free(&c->tls);
	c->why = CONN_CLOSE_PLAIN;
	c->ops->plain(c);
}

static void
conn_handshake_failed(struct conn *c)
{
	log_at(LOG_DEBUG, "%s connection %d: TLS handshake: %s", c->ops->name,
	    c->fd, tls_why());
	conn_close(c, CONN_CLOSE_HANDSHAKE);
}

/* One step; true: that was the last one.  The first of a turn queues an event
 * behind all that is ready now: until it runs, so many steps are made.  Who
 * gets none is woken again, since what woke him is still there. */
static bool
conn_handshake(struct conn *c)
{
	if (c->gw->handshakes == HANDSHAKES_A_TURN) {
		limit_hit(&c->gw->stats->limits, LIMIT_handshakes_a_turn);
		return false;
	}
	if (c->gw->handshakes++ == 0)
		event_active(&c->gw->shaken, EV_TIMEOUT, 0);
	switch (tls_handshake(c->tls)) {
	case TLS_DONE:
		c->gw->stats->tls_handshakes++;
		c->gw->stats->tls_resumed += tls_is_resumed(c->tls);
		return true;
	case TLS_WANT_READ:
		conn_want(c, EV_READ);
		break;
	case TLS_WANT_WRITE:
		conn_want(c, EV_WRITE);
		break;
	case TLS_ENDED:
		conn_ended(c);
		break;
	case TLS_PLAIN:
		conn_plain(c);
		break;
	case TLS_FAILED:
		conn_handshake_failed(c);
		break;
	}
	return false;
}

static void
conn_read_tls(struct conn *c)
{
	ssize_t n;

	if (c->out != NULL || (!tls_is_up(c->tls) && !conn_handshake(c)))
		return;
	n = tls_read(c->tls, c->gw->input, sizeof(c->gw->input));
	conn_want(c, n == TLS_WANT_WRITE ? EV_WRITE : EV_READ);
	if (c->state == CONN_DEAD)
		return;
	if (n == TLS_ENDED)
		conn_ended(c);
	else if (n == TLS_FAILED)
		conn_close(c, CONN_CLOSE_RESET);
	else if (n > 0)
		c->ops->input(c, (struct slice){ c->gw->input, (size_t)n });
}

static uint32_t
conn_lingered_ms(const struct conn *c)
{
	return (uint32_t)clock_mono_ms() - c->linger_ms;
}

static void
conn_read_cb(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c;
	ssize_t n;

	OBJ_CAST(c, arg, CONN_MAGIC);
	if ((what & EV_WRITE) != 0 && c->state == CONN_OPEN)
		c->ops->more(c);
	if ((what & EV_READ) == 0 && !conn_wants_write(c)) {
		if ((what & EV_TIMEOUT) != 0)
			conn_close(c, CONN_CLOSE_LINGER);
		return;
	}
	if (c->held || c->rests != 0 || c->state == CONN_DEAD)
		return; /* since the event came up */
	if (c->tls != NULL && c->state == CONN_OPEN) {
		conn_read_tls(c);
		return;
	}
	/* What comes after the last answer is dropped unread, TLS or not.
	 * Each byte prolongs the event's timeout, so that is not all. */
	n = read(fd, c->gw->input, sizeof(c->gw->input));
	if (n == 0)
		conn_ended(c);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		conn_close(c, CONN_CLOSE_RESET);
	else if (n > 0 && c->state == CONN_OPEN)
		c->ops->input(c, (struct slice){ c->gw->input, (size_t)n });
	else if (c->state == CONN_LINGER &&
	    conn_lingered_ms(c) >= c->gw->limits.request_timeout_ms)
		conn_close(c, CONN_CLOSE_LINGER);
}
