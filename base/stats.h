/*
 * base/stats.h - the counters of one daemon; names and help in stats.tbl, of
 * bounds that were met in limit.tbl.
 *
 * Thread: loop.  What the store thread counts comes over with its results.
 */
#ifndef BASE_STATS_H
#define BASE_STATS_H

#include "base/base.h"
#include "base/limit.h"

struct stats {
#define STAT(name, help) uint64_t name;
#include "base/stats.tbl"
#undef STAT
	struct limits limits;
};

#endif
