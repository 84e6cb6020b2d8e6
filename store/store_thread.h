/*
 * store/store_thread.h - the thread that owns a backend, and the queue to it.
 *
 * All functions but the thread's own are called on the loop thread.  Nothing
 * is shared but what stands under the one lock; see store_thread.c.
 */
#ifndef STORE_STORE_THREAD_H
#define STORE_STORE_THREAD_H

#include "store/store_priv.h"

/* A list of operations through their `next`, in order. */
struct op_list {
	struct store_op *first;
	struct store_op **end; /* of the last link */
};

void op_list_init(struct op_list *l);
void op_list_add(struct op_list *l, struct store_op *op);
void op_list_join(struct op_list *l, struct op_list *more);
struct store_op *op_list_take(struct op_list *l); /* or NULL */

/* What the thread hands back at once. */
struct store_batch {
	struct op_list done;
	struct store_stats stats;
	uint64_t reserved;
	int fatal; /* 0, or why nothing works any more */
};

struct store_thread; /* opaque */

int store_thread_start(const struct store_backend *backend, void *be,
    const struct store_config *cfg, struct store_stats *stats,
    uint64_t reserved, struct store_thread **out) MUST_CHECK;

/* Hand over a list, which is left empty. */
void store_thread_push(struct store_thread *t, struct op_list *ops);

/* Readable when results wait. */
int store_thread_fd(const struct store_thread *t);
void store_thread_take(struct store_thread *t, struct store_batch *out);

/* Finish all that was pushed; results are taken afterwards. */
void store_thread_join(struct store_thread *t);
void store_thread_free(struct store_thread **t);

#endif
