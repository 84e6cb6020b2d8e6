/*
 * tests/contract/store_env.h - a store with a clock of our own, and calls that
 * wait for their result.
 */
#ifndef TESTS_CONTRACT_STORE_ENV_H
#define TESTS_CONTRACT_STORE_ENV_H

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "store/store.h"

#define ENV_EPOCH INT64_C(1700000000)
#define ENV_FOREVER (ENV_EPOCH + 1000000)
#define ENV_CHANNELS 1024 /* numbers told by store_load() */

struct env {
	struct store *s;
	struct store_config cfg;
	_Atomic int64_t now_s;
	pid_t owner; /* who made it, not a forked child */
	char folder[64];
	char path[96];
	bool memory;

	/* what store_load() told */
	struct store_state state;
	struct store_channel known[ENV_CHANNELS]; /* without names */
	size_t n_known;

	struct store_op *done; /* in order, not looked at yet */
	struct store_op **done_end;
	uint64_t collected[ENV_CHANNELS];
	uint64_t next_token;
};

/* Setup and teardown of a test; *state is "memory" or "sqlite" before. */
int env_setup(void **state);
int env_teardown(void **state);

void env_open(struct env *e); /* open, load, start */
void env_close(struct env *e);
void env_reopen(struct env *e);
int env_try_open(struct env *e); /* only to see the error */

void env_submit(struct env *e, struct store_op *op);
struct store_op *env_wait(struct env *e); /* the next that is done */
struct store_op *env_run(struct env *e, struct store_op *op);
void env_turns(struct env *e, int n); /* let upkeep have turns */

/* What a publish is made of; zeros are what most tests want. */
struct pub {
	uint64_t channel; /* the first; its name is "c<number>" */
	uint64_t id;	  /* of env_pub(): what it must get; 0: any */
	uint32_t n;	  /* channels from there on; 0: one */
	const char *text;
	const char *event_id; /* NULL: none */
	const char *extra;    /* likewise */
	int64_t expires;      /* 0: ENV_FOREVER */
	uint32_t cap;
	bool live; /* not kept */
	bool shared;
	bool unnamed;
	uint64_t floor;
};

struct store_op *env_pub_op(const struct pub *p);
uint64_t env_pub(struct env *e, const struct pub *p); /* its cursor */

/* A read of one channel after a position, of everything up to now. */
struct store_op *env_read_op(uint32_t n);
struct store_op *env_read(struct env *e, uint64_t channel, uint64_t after);

/* "a b c": the texts found, in order. */
const char *env_texts(const struct store_op *read);
void env_expect(
    struct env *e, uint64_t channel, uint64_t after, const char *texts);
const struct store_channel *env_known(const struct env *e, uint64_t channel);

#endif
