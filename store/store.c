/*
 * store/store.c - the loop's side of the store: operations and their queue.
 *
 * What is submitted only moves a pointer here, and goes over to the thread in
 * pieces, the last at the end of the loop's turn: one lock and at most one
 * wake-up for each.
 */
#include "store/store.h"

#include "store/store_priv.h"
#include "store/store_thread.h"

/* What an operation costs beside its message. */
#define OP_BYTES (sizeof(struct store_op) + sizeof(struct msg))

struct store {
	const struct store_backend *backend;
	void *be;
	struct store_config cfg;
	struct store_thread *thread; /* NULL before store_start() */
	store_done_f *done;
	void *done_arg;

	struct op_list submitted; /* until store_flush() */
	size_t n_submitted;
	size_t queued_reads; /* bytes, as below */
	size_t queued_bytes; /* submitted and not done */
	bool loaded;
	uint64_t reserved;
	int fatal;
	struct store_stats stats;    /* as of the last results */
	struct store_stats counting; /* the thread's, once it runs */
};

int
store_open(const struct store_config *cfg, struct store **out)
{
	struct store *s = calloc(1, sizeof(*s));
	int err;

	if (s == NULL)
		return ERR_NOMEM;
	s->backend =
	    strcmp(cfg->path, "memory") == 0 ? &store_mem : &store_sqlite;
	s->cfg = *cfg;
	s->cfg.path = NULL; /* the caller's, for this call only */
	op_list_init(&s->submitted);
	err = s->backend->open(cfg, &s->counting, &s->be);
	if (err != 0) {
		free(s);
		return err;
	}
	*out = s;
	return 0;
}

/*
 * A log that has never reserved anything could give no position but "none",
 * and who comes back with none misses what came meanwhile.  So a new one
 * begins at the clock.
 */
static int
store_begin_log(struct store *s, struct store_state *state)
{
	int64_t now_s = store_wall_s(&s->cfg);
	int err = s->backend->begin(s->be);

	if (err != 0)
		return err;
	s->backend->reserve(s->be);
	err = s->backend->commit(s->be, now_s, &state->reserved);
	if (err != 0)
		s->backend->rollback(s->be);
	state->last = cursor_make((uint64_t)now_s, 0);
	return err;
}

int
store_load(struct store *s, store_channel_f *each, void *arg,
    struct store_state *state)
{
	int err;

	assert(s->thread == NULL && !s->loaded);
	err = s->backend->load(s->be, each, arg, state);
	if (err != 0)
		return err;
	s->loaded = true;
	if (state->reserved == 0)
		err = store_begin_log(s, state);
	s->reserved = state->reserved;
	return err;
}

int
store_start(struct store *s, store_done_f *done, void *arg)
{
	assert(s->loaded);
	s->done = done;
	s->done_arg = arg;
	return store_thread_start(
	    s->backend, s->be, &s->cfg, &s->counting, s->reserved, &s->thread);
}

int
store_submit(struct store *s, struct store_op *op)
{
	size_t *queued =
	    op->kind == STORE_READ ? &s->queued_reads : &s->queued_bytes;

	/* One alone is let in whatever its size, or it never would be. */
	if ((op->kind == STORE_APPEND || op->kind == STORE_READ) &&
	    *queued != 0 && *queued + op->bytes > s->cfg.queue_bytes)
		return ERR_BUSY;
	*queued += op->bytes;
	op_list_add(&s->submitted, op);
	s->n_submitted++;
	return 0;
}

void
store_cancel(struct store_op *op)
{
	atomic_store_explicit(&op->cancelled, true, memory_order_relaxed);
}

void
store_flush(struct store *s)
{
	if (s->submitted.first != NULL)
		store_thread_push(s->thread, &s->submitted);
	s->n_submitted = 0;
}

void
store_flush_many(struct store *s)
{
	if (s->n_submitted >= STORE_MANY)
		store_flush(s);
}

int
store_fd(const struct store *s)
{
	return store_thread_fd(s->thread);
}

void
store_dispatch(struct store *s)
{
	struct store_batch batch;
	struct store_op *op;

	store_thread_take(s->thread, &batch);
	/* The reservation first: `done` gives positions away. */
	s->reserved = batch.reserved;
	s->stats = batch.stats;
	s->fatal = batch.fatal;
	while ((op = op_list_take(&batch.done)) != NULL) {
		if (op->kind == STORE_READ)
			s->queued_reads -= op->bytes;
		else
			s->queued_bytes -= op->bytes;
		s->done(s->done_arg, op);
	}
}

int
store_fatal(const struct store *s)
{
	return s->fatal;
}

uint64_t
store_reserved(const struct store *s)
{
	return s->reserved;
}

const struct store_stats *
store_stats(const struct store *s)
{
	return &s->stats;
}

size_t
store_queued_bytes(const struct store *s)
{
	return s->queued_bytes;
}

int
store_close(struct store **sp)
{
	struct store *s = *sp;
	struct store_op *op;
	int err;

	*sp = NULL;
	if (s == NULL)
		return 0;
	if (s->thread != NULL) {
		store_flush(s);
		store_thread_join(s->thread);
		store_dispatch(s);
		store_thread_free(&s->thread);
	}
	/* What was submitted meanwhile, or before a thread was there. */
	while ((op = op_list_take(&s->submitted)) != NULL)
		store_op_free(&op);
	err = s->backend->close(&s->be);
	free(s);
	return err;
}

/* One allocation: the operation, n of its items, some bytes. */
static struct store_op *
op_new(enum store_kind kind, uint32_t n, size_t item_size, size_t bytes,
    void **items)
{
	struct store_op *op = calloc(1, sizeof(*op) + n * item_size + bytes);

	if (op == NULL)
		return NULL;
	op->kind = kind;
	op->bytes = OP_BYTES + n * item_size + bytes;
	*items = op + 1;
	return op;
}

struct store_op *
store_op_append(struct msg *msg, uint32_t n)
{
	void *items;
	struct store_op *op =
	    op_new(STORE_APPEND, n, sizeof(struct store_member), 0, &items);

	if (op == NULL)
		return NULL;
	op->u.append.msg = msg;
	op->u.append.keep = true;
	op->u.append.n = n;
	op->u.append.members = items;
	op->bytes += msg_bytes(msg);
	return op;
}

struct store_op *
store_op_read(uint32_t n, const struct slice *event_id)
{
	size_t len = event_id != NULL ? event_id->len : 0;
	void *items;
	struct store_op *op =
	    op_new(STORE_READ, n, sizeof(struct store_want), len, &items);
	struct store_want *wants = items;
	char *copy;

	if (op == NULL)
		return NULL;
	op->u.read.n = n;
	op->u.read.wants = wants;
	copy = (char *)(wants + n);
	if (len != 0)
		memcpy(copy, event_id->ptr, len);
	for (uint32_t i = 0; i < n; i++)
		wants[i].event_id = (struct slice){ copy, len };
	return op;
}

struct store_op *
store_op_drop(uint32_t n)
{
	void *items;
	struct store_op *op =
	    op_new(STORE_DROP, n, sizeof(uint64_t), 0, &items);

	if (op == NULL)
		return NULL;
	op->u.drop.n = n;
	op->u.drop.channels = items;
	return op;
}

struct store_op *
store_op_reserve(void)
{
	void *items;

	return op_new(STORE_RESERVE, 0, 0, 0, &items);
}

struct store_op *
store_op_backup(const char *path)
{
	size_t len = strlen(path) + 1;
	void *items;
	struct store_op *op = op_new(STORE_BACKUP, 0, 0, len, &items);

	if (op == NULL)
		return NULL;
	op->u.backup_path = memcpy(items, path, len);
	return op;
}

struct store_op *
store_op_collected(uint32_t n)
{
	void *items;
	struct store_op *op =
	    op_new(STORE_COLLECTED, n, sizeof(struct store_gone), 0, &items);

	if (op == NULL)
		return NULL;
	op->bytes = 0; /* it was never queued */
	op->u.collected.n = n;
	op->u.collected.gone = items;
	return op;
}

void
store_op_free(struct store_op **opp)
{
	struct store_op *op = *opp;

	*opp = NULL;
	if (op == NULL)
		return;
	if (op->kind == STORE_APPEND) {
		msg_unref(&op->u.append.msg);
	} else if (op->kind == STORE_READ) {
		for (size_t i = 0; i < op->u.read.n_found; i++)
			msg_unref(&op->u.read.found[i].msg);
		free(op->u.read.found);
	}
	free(op);
}
