/*
 * fcgi/conn_out.c - the bytes that a front has not taken.
 *
 * An answer to thousands of readers is one payload; what is kept of it is a
 * reference and how far we came.  Framing is arithmetic on that, done anew
 * for each write, so nothing is copied.
 *
 * A reader who fell behind is often owed many small messages: one system call
 * takes FCGI_FRAMES_MAX of them, and one record of TLS as many as it holds.
 */
#include "fcgi/conn_out.h"

#include <errno.h>
#include <sys/socket.h>

#include "auth/tls.h"
#include "fcgi/fcgi_codec.h"

/* What keeping a part costs beside its bytes: the item, the payload's head
 * and the allocator's share.  Without it, tiny parts would pass any bound. */
#define PART_OVERHEAD 128

/* The allocator's share of an item and of a payload. */
#define ALLOC_OVERHEAD 16
#define ITEM_MEMORY (sizeof(struct out_item) + ALLOC_OVERHEAD)

void
out_init(struct out *o, struct quota *all)
{
	memset(o, 0, sizeof(*o));
	STAILQ_INIT(&o->items);
	o->all = all;
}

size_t
out_weight(const struct out *o)
{
	return o->bytes + o->count * PART_OVERHEAD;
}

/* A payload that waits in many places is there once. */
static size_t
payload_memory(const struct payload *p)
{
	return sizeof(*p) + p->len + ALLOC_OVERHEAD;
}

static void
memory_add(struct out *o, struct payload *p)
{
	o->all->used += ITEM_MEMORY;
	if (p->kept++ == 0)
		o->all->used += payload_memory(p);
}

static void
memory_remove(struct out *o, struct payload *p)
{
	quota_give(o->all, ITEM_MEMORY);
	if (--p->kept == 0)
		quota_give(o->all, payload_memory(p));
}

static enum fcgi_shape
item_shape(const struct out_item *it)
{
	return it->part ? FCGI_PART : FCGI_WHOLE;
}

static size_t
item_left(const struct out_item *it)
{
	size_t len = it->payload->len;

	if (it->id != 0)
		len = fcgi_answer_size(len, item_shape(it));
	return len - it->off;
}

static bool
item_frame(const struct out_item *it, struct fcgi_frames *f)
{
	struct slice all = { it->payload->data, it->payload->len };

	if (it->id != 0)
		return fcgi_frames_add(f, it->id, item_shape(it), all, it->off);
	fcgi_frames_add_raw(
	    f, (struct slice){ all.ptr + it->off, all.len - it->off });
	return true;
}

/* Bytes taken, or ERR_*. */
static ssize_t
sent(ssize_t n)
{
	if (n >= 0)
		return n;
	return errno == EAGAIN ? ERR_AGAIN : ERR_SYSTEM;
}

/* One item as it is: what a fan-out to SCGI does most, so no list for it. */
static ssize_t
item_send_raw(const struct out_item *it, int fd)
{
	ssize_t n;

	do
		n = send(fd, it->payload->data + it->off,
		    it->payload->len - it->off, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return sent(n);
}

/* From `first` on, in one system call. */
static ssize_t
items_send(const struct out_item *first, int fd)
{
	const struct out_item *it = first;
	struct fcgi_frames frames;
	struct msghdr msg = { .msg_iov = frames.iov };
	bool room = true;
	ssize_t n;

	fcgi_frames_init(&frames);
	for (unsigned i = 0; it != NULL && room && i < FCGI_FRAMES_MAX; i++) {
		room = item_frame(it, &frames);
		it = STAILQ_NEXT(it, link);
	}
	msg.msg_iovlen = frames.n;
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return sent(n);
}

/* What is in a record that the kernel did not take comes first the next time,
 * as TLS will have it: items only go when they are written, and new ones are
 * behind them.  Writing wants to read only in the middle of a message that no
 * sane peer takes apart (a key update); who does is cut off. */
static ssize_t
tls_sent(ssize_t n)
{
	if (n > 0)
		return n;
	return n == TLS_WANT_WRITE ? ERR_AGAIN : ERR_SYSTEM;
}

static size_t
item_copy(const struct out_item *it, char *to, size_t room)
{
	size_t len = MIN_OF(item_left(it), room);

	assert(it->id == 0); /* there is no FastCGI over TLS */
	memcpy(to, it->payload->data + it->off, len);
	return len;
}

/* One record, of `first` and what comes after it. */
static ssize_t
items_send_tls(const struct out_item *first, struct tls *tls)
{
	char record[TLS_RECORD];
	size_t len = 0;

	if (STAILQ_NEXT(first, link) == NULL ||
	    item_left(first) >= sizeof(record))
		return tls_sent(tls_write(
		    tls, first->payload->data + first->off, item_left(first)));
	for (const struct out_item *it = first;
	     it != NULL && len < sizeof(record); it = STAILQ_NEXT(it, link))
		len += item_copy(it, record + len, sizeof(record) - len);
	return tls_sent(tls_write(tls, record, len));
}

static ssize_t
item_send(const struct out_item *it, int fd, struct tls *tls)
{
	if (tls != NULL)
		return items_send_tls(it, tls);
	return it->id == 0 ? item_send_raw(it, fd) : items_send(it, fd);
}

int
out_item_write(struct out_item *it, int fd, struct tls *tls)
{
	ssize_t n;

	STAILQ_NEXT(it, link) = NULL;
	while (item_left(it) != 0) {
		n = item_send(it, fd, tls);
		if (n < 0)
			return (int)n;
		it->off += (size_t)n;
	}
	return 0;
}

int
out_keep(struct out *o, const struct out_item *it)
{
	size_t left = item_left(it);
	struct out_item *kept;

	if (left == 0)
		return 0;
	kept = malloc(sizeof(*kept));
	if (kept == NULL)
		return ERR_NOMEM;
	*kept = *it;
	memory_add(o, payload_ref(kept->payload));
	STAILQ_INSERT_TAIL(&o->items, kept, link);
	o->count++;
	o->bytes += left;
	kept->with = o->bytes;
	if (it->part) {
		o->parts++;
		o->part_bytes += left;
	}
	return 0;
}

/* n more bytes of the first item are written, or of no interest. */
static void
first_advance(struct out *o, size_t n)
{
	struct out_item *it = STAILQ_FIRST(&o->items);

	it->off += n;
	o->bytes -= n;
	if (it->part)
		o->part_bytes -= n;
	if (item_left(it) != 0)
		return;
	STAILQ_REMOVE_HEAD(&o->items, link);
	o->count--;
	if (it->part)
		o->parts--;
	memory_remove(o, it->payload);
	payload_unref(&it->payload);
	free(it);
}

int
out_write(struct out *o, int fd, struct tls *tls)
{
	while (!STAILQ_EMPTY(&o->items)) {
		const struct out_item *first = STAILQ_FIRST(&o->items);
		ssize_t n = tls != NULL ? items_send_tls(first, tls)
					: items_send(first, fd);

		if (n < 0)
			return (int)n;
		while (n != 0) {
			size_t some = MIN_OF(
			    item_left(STAILQ_FIRST(&o->items)), (size_t)n);

			first_advance(o, some);
			n -= (ssize_t)some;
		}
	}
	return 0;
}

void
out_clear(struct out *o)
{
	while (!STAILQ_EMPTY(&o->items))
		first_advance(o, item_left(STAILQ_FIRST(&o->items)));
}

bool
out_has_room(const struct out *o, const struct out_item *it, size_t max)
{
	if (o->parts == 0)
		return true;
	return o->part_bytes + item_left(it) +
	    ((size_t)o->parts + 1) * PART_OVERHEAD <=
	    max;
}

const struct out_item *
out_first(const struct out *o)
{
	return STAILQ_FIRST(&o->items);
}

/* Answers of one write stand before it at most, and few of them. */
const struct out_item *
out_oldest_part(const struct out *o)
{
	const struct out_item *it = NULL;

	if (o->parts == 0)
		return NULL;
	STAILQ_FOREACH(it, &o->items, link)
	if (it->part)
		break;
	return it;
}
