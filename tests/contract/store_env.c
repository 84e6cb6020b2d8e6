/*
 * tests/contract/store_env.c - the loop's side of a store, as a test needs it:
 * poll until something comes back, keep what was not asked for.
 */
#include "store_env.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define WAIT_MS 20000
#define TURN_OPS 64 /* REST_CHANGES of store_thread.c */

static int64_t
env_wall(void *arg)
{
	struct env *e = arg;

	return atomic_load(&e->now_s);
}

int
env_setup(void **state)
{
	const char *kind = *state;
	const char *base = getenv("TMPDIR");
	struct env *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return -1;
	e->owner = getpid();
	e->memory = strcmp(kind, "memory") == 0;
	(void)snprintf(e->folder, sizeof(e->folder), "%s/store.XXXXXX",
	    base != NULL && strlen(base) < 32 ? base : "/tmp");
	if (mkdtemp(e->folder) == NULL)
		return -1;
	(void)snprintf(e->path, sizeof(e->path), "%s/db", e->folder);
	e->cfg = (struct store_config){
		.path = e->memory ? "memory" : e->path,
		.sync = STORE_SYNC_FULL,
		.queue_bytes = 1 << 20,
		.wall = env_wall,
		.wall_arg = e,
	};
	atomic_store(&e->now_s, ENV_EPOCH);
	e->done_end = &e->done;
	env_open(e);
	*state = e;
	return 0;
}

int
env_teardown(void **state)
{
	struct env *e = *state;
	struct dirent *d;
	char path[400];
	DIR *dir;

	/* An assertion of a forked child ends that child. */
	if (getpid() != e->owner)
		_exit(1);
	env_close(e);
	dir = opendir(e->folder);
	while (dir != NULL && (d = readdir(dir)) != NULL) {
		(void)snprintf(
		    path, sizeof(path), "%s/%s", e->folder, d->d_name);
		(void)unlink(path);
	}
	if (dir != NULL)
		(void)closedir(dir);
	(void)rmdir(e->folder);
	free(e);
	return 0;
}

static void
env_channel(void *arg, const struct store_channel *c)
{
	struct env *e = arg;

	assert_true(e->n_known < ENV_CHANNELS);
	e->known[e->n_known++] = *c;
}

static void
env_done(void *arg, struct store_op *op)
{
	struct env *e = arg;

	if (op->kind == STORE_COLLECTED) {
		for (uint32_t i = 0; i < op->u.collected.n; i++) {
			struct store_gone *g = &op->u.collected.gone[i];

			assert_true(g->channel < ENV_CHANNELS);
			e->collected[g->channel] += g->count;
		}
		store_op_free(&op);
		return;
	}
	op->next = NULL;
	*e->done_end = op;
	e->done_end = &op->next;
}

void
env_open(struct env *e)
{
	assert_int_equal(store_open(&e->cfg, &e->s), 0);
	e->n_known = 0;
	assert_int_equal(store_load(e->s, env_channel, e, &e->state), 0);
	assert_int_equal(store_start(e->s, env_done, e), 0);
}

void
env_close(struct env *e)
{
	struct store_op *op;
	int fatal = e->s != NULL ? store_fatal(e->s) : 0;

	assert_int_equal(store_close(&e->s), fatal);
	while ((op = e->done) != NULL) {
		e->done = op->next;
		store_op_free(&op);
	}
	e->done_end = &e->done;
}

void
env_reopen(struct env *e)
{
	env_close(e);
	env_open(e);
}

int
env_try_open(struct env *e)
{
	struct store *s = NULL;
	int err = store_open(&e->cfg, &s);

	assert_int_equal(store_close(&s), 0);
	return err;
}

void
env_submit(struct env *e, struct store_op *op)
{
	assert_non_null(op);
	op->token = ++e->next_token;
	assert_int_equal(store_submit(e->s, op), 0);
}

struct store_op *
env_wait(struct env *e)
{
	struct pollfd p = { .fd = store_fd(e->s), .events = POLLIN };
	struct store_op *op;

	while (e->done == NULL) {
		store_flush(e->s);
		if (poll(&p, 1, WAIT_MS) != 1)
			fail_msg("the store does not answer");
		store_dispatch(e->s);
	}
	op = e->done;
	e->done = op->next;
	if (e->done == NULL)
		e->done_end = &e->done;
	op->next = NULL;
	return op;
}

struct store_op *
env_run(struct env *e, struct store_op *op)
{
	env_submit(e, op);
	assert_null(e->done);
	assert_ptr_equal(env_wait(e), op);
	return op;
}

void
env_turns(struct env *e, int n)
{
	while (n-- > 0) {
		for (int i = 0; i < TURN_OPS; i++)
			env_submit(e, store_op_reserve());
		for (int i = 0; i < TURN_OPS; i++) {
			struct store_op *op = env_wait(e);

			store_op_free(&op);
		}
	}
}

struct store_op *
env_pub_op(const struct pub *p)
{
	static char names[ENV_CHANNELS][8];
	struct slice id = { p->event_id, 0 };
	struct msg_parts parts = { .expires = ENV_FOREVER };
	uint32_t n = MAX_OF(p->n, 1);
	struct store_op *op;
	struct msg *m;
	char *name;

	if (p->event_id != NULL)
		id.len = strlen(p->event_id);
	if (p->text != NULL)
		parts.text = (struct slice){ p->text, strlen(p->text) };
	if (p->event_id != NULL)
		parts.event_id = &id;
	if (p->extra != NULL)
		parts.extra = (struct slice){ p->extra, strlen(p->extra) };
	if (p->expires != 0)
		parts.expires = p->expires;
	m = msg_make(&parts);
	op = store_op_append(m, n);
	assert_non_null(op);
	assert_true(p->channel + n <= ENV_CHANNELS);
	op->u.append.keep = !p->live;
	op->u.append.shared = p->shared;
	op->u.append.floor = p->floor;
	for (uint32_t i = 0; i < n; i++) {
		struct store_member *to = &op->u.append.members[i];

		to->channel = p->channel + i;
		to->cap = p->cap;
		/* The name has to be there until the operation is done. */
		name = names[to->channel];
		(void)snprintf(name, sizeof(names[0]), "c%u",
		    (unsigned)to->channel % ENV_CHANNELS);
		if (!p->unnamed)
			to->name = (struct slice){ name, strlen(name) };
	}
	return op;
}

uint64_t
env_pub(struct env *e, const struct pub *p)
{
	struct store_op *op = env_run(e, env_pub_op(p));
	uint64_t cursor = op->u.append.cursor;

	assert_int_equal(op->err, 0);
	if (p->id != 0)
		assert_int_equal(op->u.append.members[0].id, p->id);
	store_op_free(&op);
	return cursor;
}

struct store_op *
env_read_op(uint32_t n)
{
	struct store_op *op = store_op_read(n, NULL);

	assert_non_null(op);
	op->u.read.upto = cursor_make(CURSOR_TIME_MAX, 0);
	op->u.read.max_messages = 1000000;
	op->u.read.max_bytes = 1 << 30;
	return op;
}

struct store_op *
env_read(struct env *e, uint64_t channel, uint64_t after)
{
	struct store_op *op = env_read_op(1);

	op->u.read.wants[0].channel = channel;
	op->u.read.wants[0].by_position = true;
	op->u.read.wants[0].after = after;
	op = env_run(e, op);
	assert_int_equal(op->err, 0);
	return op;
}

const char *
env_texts(const struct store_op *read)
{
	static char text[4096];
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < read->u.read.n_found; i++) {
		struct slice t = msg_text(read->u.read.found[i].msg);

		assert_true(len + t.len + 2 < sizeof(text));
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "%s%.*s", i != 0 ? " " : "", (int)t.len, t.ptr);
	}
	return text;
}

void
env_expect(struct env *e, uint64_t channel, uint64_t after, const char *texts)
{
	struct store_op *op = env_read(e, channel, after);

	assert_string_equal(env_texts(op), texts);
	store_op_free(&op);
}

const struct store_channel *
env_known(const struct env *e, uint64_t channel)
{
	for (size_t i = 0; i < e->n_known; i++) {
		if (e->known[i].channel == channel)
			return &e->known[i];
	}
	return NULL;
}
