/*
 * fcgi/conn_out.h - what waits to be written on a connection, in order.
 *
 * Owner: the connection.  Thread: loop.  Sizes are bytes on the wire.
 */
#ifndef FCGI_CONN_OUT_H
#define FCGI_CONN_OUT_H

#include "base/base.h"

#include <sys/queue.h>

#include "base/limit.h"
#include "base/payload.h"

struct tls;

struct out_item {
	STAILQ_ENTRY(out_item) link;
	struct payload *payload;
	size_t off;	   /* bytes written, heads included */
	uint64_t since_ms; /* it is kept; monotonic */
	size_t with;	   /* bytes that waited then, its own included */
	uint16_t id;	   /* of a FastCGI request; 0: bytes as they are */
	bool part;	   /* of a streaming answer */
};

struct out {
	STAILQ_HEAD(, out_item) items;
	unsigned count;
	unsigned parts; /* of count */
	size_t bytes;
	size_t part_bytes; /* of bytes */
	struct quota *all; /* memory of this and of others */
};

/* What is kept is counted in *all, even beyond its bound. */
void out_init(struct out *o, struct quota *all);
void out_clear(struct out *o);
/* What waits there, with what each piece costs: many small ones weigh, too. */
size_t out_weight(const struct out *o);

/* Write an item that is in no queue, by way of tls if that is not NULL;
 * ERR_AGAIN when the kernel takes no more
 * (it->off says how far it came), or ERR_SYSTEM. */
int out_item_write(struct out_item *it, int fd, struct tls *tls) MUST_CHECK;
/* Keep a copy that has its own reference.  ERR_NOMEM. */
int out_keep(struct out *o, const struct out_item *it) MUST_CHECK;
/* Write what was kept; ERR_AGAIN when some is left, or ERR_SYSTEM. */
int out_write(struct out *o, int fd, struct tls *tls) MUST_CHECK;

/* May this part wait, when parts have max bytes?  The first may always. */
bool out_has_room(const struct out *o, const struct out_item *it, size_t max);
const struct out_item *out_oldest_part(const struct out *o); /* or NULL */
/* What is written next, or NULL. */
const struct out_item *out_first(const struct out *o);

#endif
