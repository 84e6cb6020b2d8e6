/*
 * base/limit.h - bounds that were met: counted, and said in the log.
 *
 * Names and help in limit.tbl.  Owner: struct stats.  Thread: loop.
 */
#ifndef BASE_LIMIT_H
#define BASE_LIMIT_H

#include "base/base.h"
#include "base/log.h"

enum limit {
#define LIMIT(name, level, help) LIMIT_##name,
#include "base/limit.tbl"
#undef LIMIT
	LIMIT_COUNT
};

struct limits {
	uint64_t hits[LIMIT_COUNT];
	struct log_limit log[LIMIT_COUNT];
};

/* It was met once more. */
void limit_hit(struct limits *l, enum limit which);
/* So often more, and whoever calls says it in the log, if it is worth a line. */
static inline void
limit_count(struct limits *l, enum limit which, uint64_t times)
{
	l->hits[which] += times;
}

typedef void limit_walk_f(void *arg, const char *name, uint64_t hits);
void limits_walk(const struct limits *l, limit_walk_f *f, void *arg);

/*
 * So much of something there may be, of all who share it.
 */
struct quota {
	size_t used, max;
};

/* False: that would be too much, and nothing was taken. */
static inline bool
quota_take(struct quota *q, size_t n)
{
	if (q->used > q->max || n > q->max - q->used)
		return false;
	q->used += n;
	return true;
}

/*
 * For a part of something that will be `whole` bytes.  What is large leaves
 * an eighth to the small, or a few who begin it and go no further would keep
 * everybody out.
 */
#define QUOTA_LARGE ((size_t)48 << 10) /* what holds a body of 32 KiB */

static inline bool
quota_take_of(struct quota *q, size_t n, size_t whole)
{
	struct quota most = { q->used, q->max - q->max / 8 };

	return (whole <= QUOTA_LARGE || quota_take(&most, n)) &&
	    quota_take(q, n);
}

static inline void
quota_give(struct quota *q, size_t n)
{
	assert(n <= q->used);
	q->used -= n;
}

#endif
