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
 * it and freed after it.  An answer to thousands of readers is one payload;
 * what is kept of it is a reference and how far we came.
 *
 * A wake reads once, at most the shared buffer: that is its share of a turn.
 */
#include "fcgi/conn.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "fcgi/fcgi_codec.h"
#include "fcgi/gateway_priv.h"

#define OUT_PAUSE 64 /* answers kept: stop reading until taken */
#define OUT_MAX 512  /* one read asked for so many: close */
#define LINGER_S 5   /* without a byte */

struct out_item {
	STAILQ_ENTRY(out_item) link;
	struct payload *payload;
	size_t off; /* bytes written, heads included */
	uint16_t id;
};

struct conn_out {
	STAILQ_HEAD(, out_item) items;
	unsigned count;
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

static void
out_item_free(struct conn_out *out)
{
	struct out_item *it = STAILQ_FIRST(&out->items);

	STAILQ_REMOVE_HEAD(&out->items, link);
	out->count--;
	payload_unref(&it->payload);
	free(it);
}

static void
out_free(struct conn *c)
{
	if (c->out == NULL)
		return;
	while (!STAILQ_EMPTY(&c->out->items))
		out_item_free(c->out);
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
	out_free(c);
	TAILQ_REMOVE(&c->gw->conns, c, link);
	TAILQ_INSERT_TAIL(&c->gw->dead, c, link);
	gateway_count_close(c->gw, c->ops->name, why);
}

/* ERR_AGAIN: the kernel takes no more, *off says how far it came. */
static int
write_some(
    const struct conn *c, const struct payload *p, uint16_t id, size_t *off)
{
	struct slice answer = { p->data, p->len };
	size_t size = id == 0 ? p->len : fcgi_answer_size(p->len);
	struct fcgi_frames frames;
	struct iovec iov[FCGI_IOV_MAX];
	struct msghdr msg = { .msg_iov = iov };
	ssize_t n;

	while (*off < size) {
		if (id != 0) {
			msg.msg_iovlen = (size_t)fcgi_answer_iov(
			    &frames, id, answer, *off, iov);
		} else {
			iov[0].iov_base = (void *)(uintptr_t)(p->data + *off);
			iov[0].iov_len = size - *off;
			msg.msg_iovlen = 1;
		}
		n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
		if (n >= 0)
			*off += (size_t)n;
		else if (errno == EAGAIN)
			return ERR_AGAIN;
		else if (errno != EINTR)
			return ERR_SYSTEM;
	}
	return 0;
}

static struct conn_out *
out_new(struct conn *c)
{
	struct conn_out *out = malloc(sizeof(*out));

	if (out == NULL)
		return NULL;
	STAILQ_INIT(&out->items);
	out->count = 0;
	if (event_assign(&out->ev, c->gw->base, c->fd, EV_WRITE | EV_PERSIST,
		conn_write_cb, c) != 0 ||
	    event_add(&out->ev, &c->gw->write_timeout) != 0) {
		free(out);
		return NULL;
	}
	c->gw->writing++;
	return out;
}

static void
out_keep(struct conn *c, struct payload *p, uint16_t id, size_t off)
{
	struct out_item *it = malloc(sizeof(*it));

	if (c->out == NULL)
		c->out = out_new(c);
	if (it == NULL || c->out == NULL) {
		free(it);
		conn_close(c, CONN_CLOSE_NOMEM);
		return;
	}
	it->payload = payload_ref(p);
	it->id = id;
	it->off = off;
	STAILQ_INSERT_TAIL(&c->out->items, it, link);
	c->out->count++;
	if (c->out->count == OUT_PAUSE)
		(void)event_del(&c->ev);
	else if (c->out->count > OUT_MAX)
		conn_close(c, CONN_CLOSE_FLOOD);
}

void
conn_send(struct conn *c, struct payload *p, uint16_t id)
{
	size_t off = 0;
	int err = ERR_AGAIN;

	if (c->state == CONN_DEAD)
		return;
	assert(c->state == CONN_OPEN);
	if (c->out == NULL)
		err = write_some(c, p, id, &off);
	if (err == ERR_AGAIN)
		out_keep(c, p, id, off);
	else if (err != 0)
		conn_close(c, CONN_CLOSE_RESET);
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

/* Write what was kept; ERR_AGAIN when some is left. */
static int
out_write(struct conn *c)
{
	struct out_item *it;
	int err;

	while ((it = STAILQ_FIRST(&c->out->items)) != NULL) {
		err = write_some(c, it->payload, it->id, &it->off);
		if (err != 0)
			return err;
		out_item_free(c->out);
	}
	return 0;
}

static void
conn_write_cb(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c;
	int err;

	(void)fd;
	OBJ_CAST(c, arg, CONN_MAGIC);
	if ((what & EV_WRITE) == 0) {
		conn_close(c, CONN_CLOSE_SLOW);
		return;
	}
	err = out_write(c);
	if (err == ERR_AGAIN)
		return;
	if (err != 0) {
		conn_close(c, CONN_CLOSE_RESET);
		return;
	}
	out_free(c);
	if (c->state == CONN_FLUSH)
		conn_flushed(c);
	else if (event_add(&c->ev, NULL) != 0) /* it may be paused */
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
