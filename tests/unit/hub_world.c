/* tests/unit/hub_world.c - the world of hub_world.h. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/hub_world.h"

static void
world_start(struct world *w)
{
	memset(&w->stats, 0, sizeof(w->stats));
	assert_int_equal(hub_new(w->store, &w->stats, &w->hub), 0);
	w->store->done_f = hub_store_done;
	w->store->done_arg = w->hub;
	hub_set_time(w->hub, w->store->now_s, NOW_MS);
	hub_set_limits(w->hub, &w->limits);
}

struct world *
world_new(const struct hub_limits *limits)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->limits = *limits;
	w->store = fake_new();
	w->store->now_s = NOW_S;
	world_start(w);
	return w;
}

void
world_free(struct world **wp)
{
	struct world *w = *wp;

	*wp = NULL;
	hub_free(&w->hub);
	fake_free(&w->store);
	free(w);
}

void
world_restart(struct world *w)
{
	fake_forget_work(w->store);
	hub_free(&w->hub);
	world_start(w);
}

void
world_limit(struct world *w)
{
	hub_set_limits(w->hub, &w->limits);
}

void
world_at(struct world *w, uint64_t ms)
{
	w->store->now_s = NOW_S + (int64_t)(ms / 1000);
	hub_set_time(w->hub, w->store->now_s, NOW_MS + ms);
}

struct channel *
world_channel(struct world *w, struct slice name)
{
	struct channel *c;

	assert_int_equal(hub_open(w->hub, name, &c), 0);
	return c;
}
