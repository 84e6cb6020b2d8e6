/*
 * store/store_priv.h - between the store's thread and its backends.
 *
 * A backend is called by one thread: the loop's before store_start(), the
 * store's afterwards.  It makes groups of changes durable together:
 * begin, any number of append and drop, then commit (or rollback).
 */
#ifndef STORE_STORE_PRIV_H
#define STORE_STORE_PRIV_H

#include "store/store.h"

struct store_backend {
	const char *name;
	bool own_failures; /* an operation that fails leaves the group as it
			    * was, whatever its error */
	int (*open)(const struct store_config *cfg, struct store_stats *stats,
	    void **be);
	int (*load)(void *be, store_channel_f *each, void *arg,
	    struct store_state *state);
	int (*begin)(void *be);
	/* ERR_NOTFOUND: an unknown channel without a name; nothing was done
	 * and the group is as it was.  After any other error of append or drop,
	 * unless own_failures, or of commit the group has to be rolled back.
	 * The operation stays until commit or rollback has returned. */
	int (*append)(void *be, struct store_append *a, int64_t now_s);
	int (*drop)(void *be, const struct store_drop *d);
	/* Have the commit reserve positions anew, if they run short. */
	void (*reserve)(void *be);
	/* Nothing of the group is visible to read() before; *reserved is the
	 * reservation that holds from now on. */
	int (*commit)(void *be, int64_t now_s, uint64_t *reserved);
	void (*rollback)(void *be);
	int (*read)(void *be, struct store_read *r, int64_t now_s);
	/* One bounded slice of upkeep (retention, indexes, checkpoint,
	 * a running backup's next pages).  What was collected is handed to
	 * *out (made with store_op_collected()) or NULL is left there.
	 * > 0: there is more to do now; 0: nothing; or ERR_*. */
	int (*tidy)(void *be, int64_t now_s, struct store_op **out);
	/* Start a backup; tidy() works on it and *done says when it ended. */
	int (*backup_start)(void *be, const char *path);
	bool (*backup_done)(void *be, int *err);
	/* 0, or why the backend had failed for good (ERR_FSYNC,
	 * ERR_CORRUPT), perhaps only now. */
	int (*close)(void **be);
};

extern const struct store_backend store_sqlite;
extern const struct store_backend store_mem;

/* What a cursor can have of the clock. */
static inline int64_t
store_wall_s(const struct store_config *cfg)
{
	int64_t now_s = cfg->wall(cfg->wall_arg);

	if (now_s < 0)
		return 0;
	return MIN_OF(now_s, (int64_t)CURSOR_TIME_MAX);
}

struct store_op *store_op_collected(uint32_t n);

#endif
