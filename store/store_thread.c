/*
 * store/store_thread.c - group commit.
 *
 * The loop pushes operations, the thread takes all there are, and what
 * gathers while it waits for the disk is the next group: the busier, the
 * larger the groups, and no timer is involved.
 *
 * A turn of the thread:
 *   take what was pushed; the changes at its head, up to the bounds of a
 *   group, are one transaction, whose results go back right after the
 *   commit; then some of the reads that stood before the last of them; then
 *   one slice of upkeep, if it has rested.
 * A read runs after every change that was pushed before it, and perhaps
 * after some that were pushed later: its `upto` keeps it from seeing those.
 *
 * Under the lock stand two lists (in, out) and what goes with `out`.  The
 * loop wakes the thread only if it sleeps, the thread wakes the loop only if
 * nothing was waiting there yet.
 */
#include "store/store_thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define GROUP_OPS 1024
#define GROUP_BYTES ((size_t)8 << 20)
#define GATHER_BELOW 32	 /* a larger group does not wait */
#define TURN_READS 32	 /* between two groups, */
#define TURN_READS_MS 10 /* or so long */
#define TURN_FOUND_BYTES ((size_t)4 << 20)
#define FOUND_BYTES ((size_t)16 << 20) /* not taken: reads rest meanwhile */
#define TIDY_EVERY_NS 1000000000

/*
 * Upkeep comes in bursts, each second what has expired in it, and a thread
 * that does not stop keeps a processor from those who have to answer.  So it
 * rests after each slice, so many times as long as that took and 5 ms at most,
 * until so many changes have come: with them it has to keep up.
 */
#define REST_TIMES 4
#define REST_MAX_NS 5000000
#define REST_CHANGES 64 /* tests/contract/store_env.c makes so many */

struct store_thread {
	const struct store_backend *backend;
	void *be;
	const struct store_config *cfg; /* the facade's */
	int event_fd;
	pthread_t thread;

	/* the thread's own */
	struct op_list queue; /* not looked at yet */
	struct op_list group; /* changes of this turn */
	size_t group_ops;
	size_t group_bytes;
	struct op_list reads;	   /* may run now */
	struct store_op *backup;   /* the one that runs */
	struct op_list done;	   /* not handed back yet */
	struct store_stats *stats; /* the backend counts there too */
	uint64_t reserved;
	int fatal;
	size_t found;		/* bytes read for the loop, in `done` */
	bool full;		/* the loop has enough to take already */
	bool unheard;		/* the loop could not be woken */
	bool untidy;		/* upkeep has more to do */
	uint64_t rest_until_ns; /* of upkeep */
	size_t rest_changes;	/* since it began */
	bool ending;		/* what is left is to be finished */

	pthread_mutex_t lock;
	pthread_cond_t pushed;
	struct op_list in; /* below: under the lock */
	bool sleeping;
	bool stop;
	size_t out_found; /* bytes read, in out.done */
	struct store_batch out;
};

void
op_list_init(struct op_list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

void
op_list_add(struct op_list *l, struct store_op *op)
{
	op->next = NULL;
	*l->end = op;
	l->end = &op->next;
}

void
op_list_join(struct op_list *l, struct op_list *more)
{
	if (more->first == NULL)
		return;
	*l->end = more->first;
	l->end = more->end;
	op_list_init(more);
}

struct store_op *
op_list_take(struct op_list *l)
{
	struct store_op *op = l->first;

	if (op == NULL)
		return NULL;
	l->first = op->next;
	if (l->first == NULL)
		l->end = &l->first;
	op->next = NULL;
	return op;
}

/* An eventfd of a few counts always takes one more.  Should it not, the next
 * turn tries again, or everybody would wait for ever. */
static void
thread_wake_loop(struct store_thread *t)
{
	uint64_t one = 1;

	t->unheard = write(t->event_fd, &one, sizeof(one)) < 0;
	if (t->unheard)
		log_at(LOG_ERROR, "cannot wake the loop: %s", strerror(errno));
}

/* Give back what is done, with one write to the loop. */
static void
thread_deliver(struct store_thread *t)
{
	bool wake;

	if (t->done.first == NULL && t->fatal == 0 && !t->unheard)
		return;
	(void)pthread_mutex_lock(&t->lock);
	wake = t->out.done.first == NULL || t->unheard;
	op_list_join(&t->out.done, &t->done);
	t->out_found += t->found;
	t->found = 0;
	t->out.stats = *t->stats;
	t->out.reserved = t->reserved;
	t->out.fatal = t->fatal;
	(void)pthread_mutex_unlock(&t->lock);
	if (wake)
		thread_wake_loop(t);
}

static void
thread_fail(struct store_thread *t, int err)
{
	if (t->fatal != 0 || (err != ERR_FSYNC && err != ERR_CORRUPT))
		return;
	t->fatal = err;
	log_at(LOG_ERROR, "the store stops: %s", err_text(err));
}

/* Give every operation of a list the same end. */
static void
thread_refuse(struct store_thread *t, struct op_list *l, int err)
{
	for (struct store_op *op = l->first; op != NULL; op = op->next)
		op->err = err;
	op_list_join(&t->done, l);
}

static bool
op_is_change(const struct store_op *op)
{
	return op->kind == STORE_APPEND || op->kind == STORE_DROP ||
	    op->kind == STORE_RESERVE;
}

/*
 * Start one backup at a time; it is answered when upkeep has finished it.
 */
static void
thread_backup(struct store_thread *t, struct store_op *op)
{
	op->err = t->backup != NULL
	    ? ERR_BUSY
	    : t->backend->backup_start(t->be, op->u.backup_path);
	if (op->err != 0) {
		op_list_add(&t->done, op);
		return;
	}
	t->backup = op;
	t->untidy = true;
}

/* Sort the head of the queue into this turn's group, reads and the rest. */
static void
thread_sort(struct store_thread *t)
{
	struct store_op *op;

	while ((op = t->queue.first) != NULL) {
		if (op_is_change(op)) {
			if (t->group_ops == GROUP_OPS ||
			    (t->group_ops != 0 &&
				t->group_bytes + op->bytes > GROUP_BYTES))
				return;
			t->group_ops++;
			t->group_bytes += op->bytes;
		}
		op = op_list_take(&t->queue);
		if (op_is_change(op))
			op_list_add(&t->group, op);
		else if (op->kind == STORE_READ)
			op_list_add(&t->reads, op);
		else
			thread_backup(t, op);
	}
}

/*
 * One change.  ERR_NOTFOUND is this operation's own failure and leaves the
 * group as it was; any other spoils the group, if the backend does not say
 * otherwise.
 */
static int
thread_apply(struct store_thread *t, struct store_op *op, int64_t now_s)
{
	switch (op->kind) {
	case STORE_APPEND:
		op->err = t->backend->append(t->be, &op->u.append, now_s);
		break;
	case STORE_DROP:
		op->err = t->backend->drop(t->be, &op->u.drop);
		break;
	default:
		t->backend->reserve(t->be);
		op->err = 0;
		break;
	}
	return op->err == ERR_NOTFOUND || t->backend->own_failures ? 0
								   : op->err;
}

/*
 * What was pushed while the group was written still belongs to it.  Giving
 * the processor away first costs next to nothing on an idle machine; on a
 * busy one it is where groups grow, since those who are about to publish run
 * before the disk is waited for.  Only up to a point: if all publishers were
 * in one group, nobody would work while the disk does.
 */
static void
thread_gather(struct store_thread *t)
{
	if (t->group_ops < GATHER_BELOW)
		(void)sched_yield();
	(void)pthread_mutex_lock(&t->lock);
	op_list_join(&t->queue, &t->in);
	(void)pthread_mutex_unlock(&t->lock);
	thread_sort(t);
}

static int
thread_transact(struct store_thread *t, int64_t now_s)
{
	int err = t->backend->begin(t->be);

	if (err != 0)
		return err;
	for (struct store_op *op = t->group.first; op != NULL && err == 0;
	     op = op->next) {
		err = thread_apply(t, op, now_s);
		if (op->next == NULL && err == 0)
			thread_gather(t);
	}
	if (err == 0)
		err = t->backend->commit(t->be, now_s, &t->reserved);
	if (err != 0)
		t->backend->rollback(t->be);
	return err;
}

static void
thread_commit(struct store_thread *t, int64_t now_s)
{
	int err;

	if (t->group.first == NULL)
		return;
	err = thread_transact(t, now_s);
	if (err != 0) {
		thread_fail(t, err);
		thread_refuse(t, &t->group, err);
		return;
	}
	t->stats->groups++;
	for (struct store_op *op = t->group.first; op != NULL; op = op->next) {
		if (op->kind == STORE_APPEND && op->err == 0)
			t->stats->appends++;
	}
	op_list_join(&t->done, &t->group);
}

static size_t
found_bytes(const struct store_read *r)
{
	size_t bytes = 0;

	for (size_t i = 0; i < r->n_found; i++)
		bytes += msg_bytes(r->found[i].msg);
	return bytes;
}

/* The next read that somebody still waits for. */
static struct store_op *
thread_next_read(struct store_thread *t)
{
	struct store_op *op;

	while ((op = op_list_take(&t->reads)) != NULL &&
	    atomic_load_explicit(&op->cancelled, memory_order_relaxed)) {
		op->err = ERR_CLOSED;
		op_list_add(&t->done, op);
	}
	return op;
}

static void
thread_read(struct store_thread *t, int64_t now_s)
{
	uint64_t until_ms = clock_mono_ms() + TURN_READS_MS;
	struct store_op *op;
	size_t bytes = 0;

	if (t->full)
		return;
	for (int n = 0; n < TURN_READS && bytes < TURN_FOUND_BYTES &&
	     clock_mono_ms() <= until_ms;
	     n++) {
		op = t->fatal == 0 ? thread_next_read(t) : NULL;
		if (op == NULL)
			return;
		op->err = t->backend->read(t->be, &op->u.read, now_s);
		thread_fail(t, op->err);
		t->stats->reads++;
		bytes += found_bytes(&op->u.read);
		t->found = bytes;
		op_list_add(&t->done, op);
	}
}

static void
thread_tidy(struct store_thread *t, int64_t now_s)
{
	uint64_t begin_ns = clock_mono_ns(), end_ns;
	struct store_op *out = NULL;
	int more;

	t->rest_changes += t->group_ops;
	if (begin_ns < t->rest_until_ns && t->rest_changes < REST_CHANGES)
		return;
	more = t->backend->tidy(t->be, now_s, &out);
	end_ns = clock_mono_ns();
	t->rest_until_ns =
	    end_ns + MIN_OF(REST_TIMES * (end_ns - begin_ns), REST_MAX_NS);
	t->rest_changes = 0;
	/* Upkeep that failed otherwise is tried again with the next group,
	 * or in a second; the backend has said why in the log. */
	thread_fail(t, MIN_OF(more, 0));
	t->untidy = more > 0;
	if (out != NULL)
		op_list_add(&t->done, out);
	if (t->backup != NULL &&
	    t->backend->backup_done(t->be, &t->backup->err)) {
		op_list_add(&t->done, t->backup);
		t->backup = NULL;
	}
}

static void
thread_turn(struct store_thread *t)
{
	int64_t now_s = store_wall_s(t->cfg);

	t->group_ops = 0;
	t->group_bytes = 0;
	thread_sort(t);
	thread_commit(t, now_s);
	thread_deliver(t);
	/* At the end nobody is there to read any more. */
	if (t->ending)
		thread_refuse(t, &t->reads, ERR_CLOSED);
	if (t->fatal == 0)
		thread_read(t, now_s);
	if (t->fatal == 0)
		thread_tidy(t, now_s);
	thread_deliver(t);
}

static void
thread_refuse_backup(struct store_thread *t, int err)
{
	if (t->backup == NULL)
		return;
	t->backup->err = err;
	op_list_add(&t->done, t->backup);
	t->backup = NULL;
}

/* The end of a store that failed: whatever comes is refused. */
static void
thread_turn_fatal(struct store_thread *t)
{
	thread_refuse(t, &t->queue, t->fatal);
	thread_refuse(t, &t->reads, t->fatal);
	thread_refuse_backup(t, t->fatal);
	t->untidy = false;
	thread_deliver(t);
}

static void
thread_sleep(struct store_thread *t)
{
	uint64_t until_ns =
	    t->untidy ? t->rest_until_ns : clock_mono_ns() + TIDY_EVERY_NS;
	struct timespec until = {
		.tv_sec = (time_t)(until_ns / 1000000000),
		.tv_nsec = (long)(until_ns % 1000000000),
	};

	t->sleeping = true;
	(void)pthread_cond_timedwait(&t->pushed, &t->lock, &until);
	t->sleeping = false;
}

/* False when all is done and the loop wants the thread to end. */
static bool
thread_wait(struct store_thread *t)
{
	bool idle = t->queue.first == NULL;
	bool go_on;

	(void)pthread_mutex_lock(&t->lock);
	if (t->reads.first != NULL && t->out_found < FOUND_BYTES)
		idle = false;
	if (idle && t->in.first == NULL && !t->stop)
		thread_sleep(t);
	t->full = t->out_found >= FOUND_BYTES;
	op_list_join(&t->queue, &t->in);
	t->ending = t->stop;
	go_on = !t->stop || !idle || t->queue.first != NULL ||
	    t->reads.first != NULL;
	(void)pthread_mutex_unlock(&t->lock);
	return go_on;
}

static void *
thread_main(void *arg)
{
	struct store_thread *t = arg;

	while (thread_wait(t)) {
		if (t->fatal == 0)
			thread_turn(t);
		if (t->fatal != 0)
			thread_turn_fatal(t);
	}
	/* The backend drops the copy that is not whole. */
	thread_refuse_backup(t, ERR_CLOSED);
	thread_deliver(t);
	return NULL;
}

/* Signals are the loop's. */
static int
thread_create(struct store_thread *t)
{
	sigset_t all, old;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	errno = pthread_create(&t->thread, NULL, thread_main, t);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return errno == 0 ? 0 : ERR_SYSTEM;
}

static void
thread_init_lock(struct store_thread *t)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&t->pushed, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_mutex_init(&t->lock, NULL);
}

int
store_thread_start(const struct store_backend *backend, void *be,
    const struct store_config *cfg, struct store_stats *stats,
    uint64_t reserved, struct store_thread **out)
{
	struct store_thread *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return ERR_NOMEM;
	t->backend = backend;
	t->be = be;
	t->cfg = cfg;
	t->stats = stats;
	t->reserved = t->out.reserved = reserved;
	op_list_init(&t->queue);
	op_list_init(&t->group);
	op_list_init(&t->reads);
	op_list_init(&t->done);
	op_list_init(&t->in);
	op_list_init(&t->out.done);
	thread_init_lock(t);
	t->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (t->event_fd < 0 || thread_create(t) != 0) {
		log_at(LOG_ERROR, "cannot start the store's thread: %s",
		    strerror(errno));
		store_thread_free(&t);
		return ERR_SYSTEM;
	}
	*out = t;
	return 0;
}

void
store_thread_push(struct store_thread *t, struct op_list *ops)
{
	bool wake;

	(void)pthread_mutex_lock(&t->lock);
	op_list_join(&t->in, ops);
	wake = t->sleeping;
	(void)pthread_mutex_unlock(&t->lock);
	if (wake)
		(void)pthread_cond_signal(&t->pushed);
}

int
store_thread_fd(const struct store_thread *t)
{
	return t->event_fd;
}

void
store_thread_take(struct store_thread *t, struct store_batch *out)
{
	uint64_t count;
	bool wake;

	/* First the signal, then the list: what is added in between signals
	 * again. */
	if (read(t->event_fd, &count, sizeof(count)) < 0)
		count = 0; /* EAGAIN: taken without a signal */
	op_list_init(&out->done);
	(void)pthread_mutex_lock(&t->lock);
	op_list_join(&out->done, &t->out.done);
	out->stats = t->out.stats;
	out->reserved = t->out.reserved;
	out->fatal = t->out.fatal;
	wake = t->sleeping && t->out_found >= FOUND_BYTES;
	t->out_found = 0;
	(void)pthread_mutex_unlock(&t->lock);
	if (wake)
		(void)pthread_cond_signal(&t->pushed);
}

void
store_thread_join(struct store_thread *t)
{
	(void)pthread_mutex_lock(&t->lock);
	t->stop = true;
	(void)pthread_cond_signal(&t->pushed);
	(void)pthread_mutex_unlock(&t->lock);
	(void)pthread_join(t->thread, NULL);
}

void
store_thread_free(struct store_thread **tp)
{
	struct store_thread *t = *tp;

	*tp = NULL;
	if (t->event_fd >= 0)
		(void)close(t->event_fd);
	(void)pthread_cond_destroy(&t->pushed);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}
