/* base/limit.c - see limit.h. */
#include "base/limit.h"

static const struct {
	const char *name;
	enum log_level level;
	const char *help;
} limits[] = {
#define LIMIT(name, level, help) { #name, level, help },
#include "base/limit.tbl"
#undef LIMIT
};

void
limit_hit(struct limits *l, enum limit which)
{
	l->hits[which]++;
	log_limited(&l->log[which], limits[which].level, "limit_%s %llu: %s",
	    limits[which].name, (unsigned long long)l->hits[which],
	    limits[which].help);
}

void
limits_walk(const struct limits *l, limit_walk_f *f, void *arg)
{
	for (size_t i = 0; i < LIMIT_COUNT; i++)
		f(arg, limits[i].name, l->hits[i]);
}
