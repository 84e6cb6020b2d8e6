/*
 * tests/contract/test_store_sqlite.c - what the SQLite backend promises beyond
 * the contract: that a file survives kills, and what it does when the disk or
 * the file itself is not as it should be.
 */
#include "fault_vfs.h"
#include "store_env.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "store/store_schema.h"
#include "store/store_verify.h"

static char log_path[64];

/* Did the log say it?  Then the log is emptied. */
static bool
log_says(const char *text)
{
	static char lines[65536];
	int fd = open(log_path, O_RDONLY);
	ssize_t n = read(fd, lines, sizeof(lines) - 1);

	(void)close(fd);
	assert_true(n >= 0);
	lines[n] = '\0';
	assert_int_equal(truncate(log_path, 0), 0);
	return strstr(lines, text) != NULL;
}

/* One number that a statement on the closed file gives. */
static int64_t
ask(const char *path, const char *sql)
{
	sqlite3_stmt *st = NULL;
	sqlite3 *db = NULL;
	int64_t number = -1;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	if (sqlite3_step(st) == SQLITE_ROW)
		number = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return number;
}

static void
assert_whole(const char *path)
{
	assert_int_equal(
	    ask(path,
		"SELECT count(*) FROM "
		"pragma_integrity_check WHERE integrity_check = 'ok'"),
	    1);
}

/* --- reopening --------------------------------------------------------- */

/* Promise: messages, ids, cursors and counters survive an orderly restart;
 * it does not let the cursor run ahead of the clock. */
static void
test_reopen(void **state)
{
	struct env *e = *state;
	const struct store_channel *c;
	uint64_t live;

	(void)env_pub(e, &(struct pub){ .channel = 3, .id = 1, .text = "a" });
	live = env_pub(
	    e, &(struct pub){ .channel = 3, .id = 2, .n = 2, .live = true });
	env_reopen(e);
	assert_int_equal(e->state.published, 3);
	assert_int_equal(e->state.last, live + 1);
	assert_int_equal(e->state.reserved, live + 1);
	assert_int_equal(e->state.next_channel, 5);
	assert_int_equal(e->n_known, 2);
	c = env_known(e, 3);
	assert_non_null(c);
	assert_int_equal(c->last_id, 2);
	assert_int_equal(c->last_cursor, live);
	assert_int_equal(c->stored, 1);
	c = env_known(e, 4);
	assert_non_null(c);
	assert_int_equal(c->last_cursor, live + 1);
	assert_int_equal(c->stored, 0);
	env_expect(e, 3, 0, "a");
	e->now_s++;
	assert_int_equal(
	    env_pub(e, &(struct pub){ .channel = 3, .id = 3, .unnamed = true }),
	    cursor_make(ENV_EPOCH + 1, 1));
}

/* Promise: the reservation is not given back below a position that a clock
 * ahead of today's has caused. */
static void
test_reopen_clock_back(void **state)
{
	struct env *e = *state;
	uint64_t reserved, cursor;

	env_turns(e, 1);
	reserved = store_reserved(e->s);
	e->now_s -= 100;
	env_reopen(e);
	assert_int_equal(e->state.last, reserved);
	cursor = env_pub(e, &(struct pub){ .channel = 1, .id = 1 });
	assert_true(cursor > reserved);
}

/* Promise: the name goes with the channel; a number is never told twice. */
static void
test_reopen_dropped(void **state)
{
	struct env *e = *state;
	struct store_op *op;

	(void)env_pub(e, &(struct pub){ .channel = 7, .id = 1, .text = "x" });
	op = store_op_drop(1);
	op->u.drop.channels[0] = 7;
	op = env_run(e, op);
	store_op_free(&op);
	env_reopen(e);
	assert_int_equal(e->n_known, 0);
	assert_int_equal(e->state.next_channel, 8);
	assert_int_equal(e->state.published, 1);
	env_expect(e, 7, 0, "");
}

/* One shared by channels 1 to 3, and one of channel 2 alone: whatever became of
 * the file, they have the cursors from `first` on. */
static void
expect_shared(struct env *e, uint64_t first)
{
	struct store_op *op;

	assert_int_equal(e->state.published, 4);
	for (uint64_t c = 1; c <= 3; c++) {
		const struct store_channel *k = env_known(e, c);

		assert_non_null(k);
		assert_int_equal(k->stored, c == 2 ? 2 : 1);
		assert_int_equal(k->last_id, c == 2 ? 2 : 1);
		assert_int_equal(k->last_cursor, c == 2 ? first + 1 : first);
		op = env_read(e, c, 0);
		assert_string_equal(env_texts(op), c == 2 ? "all own" : "all");
		assert_int_equal(op->u.read.found[0].cursor, first);
		store_op_free(&op);
	}
	op = env_read_op(3);
	for (uint32_t i = 0; i < 3; i++)
		op->u.read.wants[i] = (struct store_want){ .channel = i + 1,
			.by_position = true };
	op = env_run(e, op);
	assert_string_equal(env_texts(op), "all own");
	store_op_free(&op);
}

static void
publish_shared(struct env *e)
{
	(void)env_pub(e,
	    &(struct pub){
		.channel = 1, .n = 3, .id = 1, .text = "all", .shared = true });
	(void)env_pub(e, &(struct pub){ .channel = 2, .id = 2, .text = "own" });
}

/* Promise: a shared message is one after a restart as well, indexed or not,
 * and the cursor goes on behind it. */
static void
test_reopen_shared(void **state)
{
	struct env *e = *state;
	uint64_t first = cursor_make(ENV_EPOCH, 1);

	publish_shared(e);
	env_reopen(e);
	assert_int_equal(e->state.last, first + 1);
	expect_shared(e, first);
	env_reopen(e);
	expect_shared(e, first);
	assert_int_equal(
	    env_pub(e,
		&(struct pub){ .channel = 1, .n = 3, .id = 2, .shared = true }),
	    first + 2);
	env_reopen(e);
	assert_int_equal(e->state.last, first + 2);
}

/* --- kill -9 ----------------------------------------------------------- */

#define KILL_CHANNELS 40
#define KILL_ROUNDS 25

/* What the child says of each publish that was acknowledged. */
struct ack {
	uint64_t channel, id, cursor, reserved;
	bool keep;
};

/*
 * Publish to random channels until killed, some messages unstored, with a
 * clock that runs so that index rounds and reservations fall in between.
 */
static void
kill_child(struct env *e, int out, uint32_t seed)
{
	uint64_t ids[KILL_CHANNELS + 1] = { 0 };
	char text[1200];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	env_open(e);
	for (size_t i = 0; i < e->n_known; i++)
		ids[e->known[i].channel] = e->known[i].last_id;
	for (uint32_t n = 0;; n++) {
		for (int i = 0; i < 48; i++) {
			struct pub p = { .text = text };

			seed = seed * 1664525 + 1013904223;
			p.channel = (seed >> 8) % KILL_CHANNELS + 1;
			p.live = (seed >> 20) % 7 == 0;
			p.text = text + (seed >> 12) % (sizeof(text) - 1);
			env_submit(e, env_pub_op(&p));
		}
		for (int i = 0; i < 48; i++) {
			struct store_op *op = env_wait(e);
			struct store_append *a = &op->u.append;
			struct ack ack = { a->members[0].channel,
				a->members[0].id, a->cursor,
				store_reserved(e->s), a->keep };

			if (op->err != 0 || ack.id != ++ids[ack.channel] ||
			    write(out, &ack, sizeof(ack)) != sizeof(ack))
				_exit(1);
			store_op_free(&op);
		}
		if (n % 8 == 7) {
			e->now_s += 3;
			env_turns(e, 3);
		}
	}
}

struct kill_log {
	struct ack *acks;
	size_t n, room;
	uint64_t reserved;
};

static void
kill_once(struct env *e, struct kill_log *l, uint32_t seed)
{
	int fds[2], status;
	struct ack ack;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(fds[0]);
		kill_child(e, fds[1], seed);
	}
	(void)close(fds[1]);
	for (ssize_t n = 0, want = 200 + seed % 3000;; n++) {
		if (n == want)
			(void)kill(pid, SIGKILL);
		if (read(fds[0], &ack, sizeof(ack)) != sizeof(ack))
			break;
		if (l->n == l->room) {
			l->room = l->room * 2 + 1024;
			l->acks = realloc(l->acks, l->room * sizeof(*l->acks));
			assert_non_null(l->acks);
		}
		l->acks[l->n++] = ack;
		l->reserved = MAX_OF(l->reserved, ack.reserved);
	}
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Everything kept must be there, once and in order, and nothing unheard of
 * but the few messages whose acknowledgement was on its way. */
static uint64_t
kill_check_channel(struct env *e, const struct kill_log *l, uint64_t channel)
{
	struct store_op *op = env_read(e, channel, 0);
	struct store_read *r = &op->u.read;
	uint64_t stored = r->n_found;
	size_t k = 0;

	for (size_t i = 1; i < r->n_found; i++) {
		assert_true(r->found[i].cursor > r->found[i - 1].cursor);
		assert_true(r->found[i].id > r->found[i - 1].id);
	}
	for (size_t i = 0; i < l->n; i++) {
		if (l->acks[i].channel != channel || !l->acks[i].keep)
			continue;
		while (k < r->n_found && r->found[k].cursor < l->acks[i].cursor)
			k++;
		assert_true(k < r->n_found);
		assert_int_equal(r->found[k].cursor, l->acks[i].cursor);
		assert_int_equal(r->found[k].id, l->acks[i].id);
	}
	store_op_free(&op);
	return stored;
}

static void
kill_check(struct env *e, const struct kill_log *l)
{
	uint64_t ids = 0, acked[KILL_CHANNELS + 1] = { 0 };

	for (size_t i = 0; i < l->n; i++)
		acked[l->acks[i].channel] = l->acks[i].id;
	for (size_t i = 0; i < e->n_known; i++) {
		const struct store_channel *c = &e->known[i];

		assert_true(c->last_id >= acked[c->channel]);
		ids += c->last_id;
		assert_int_equal(
		    c->stored, kill_check_channel(e, l, c->channel));
	}
	/* Ids are given without gaps, so they count what was published. */
	assert_int_equal(e->state.published, ids);
	assert_true(e->state.last >= l->reserved);
}

/* Promise: whatever was acknowledged is there after kill -9 at any moment,
 * once and in order; counters are exact; the file is whole; the cursor goes
 * on above all that was given or reserved, without running away. */
static void
test_kill(void **state)
{
	struct env *e = *state;
	struct kill_log l = { 0 };
	uint64_t cursor = 0, first;

	env_close(e);
	for (uint32_t i = 0; i < KILL_ROUNDS; i++) {
		kill_once(e, &l, 7919 * i + 12345);
		assert_whole(e->path);
		env_open(e);
		kill_check(e, &l);
		/* The channel's last id is its count: keep it so. */
		first =
		    env_known(e, 1) != NULL ? env_known(e, 1)->last_id + 1 : 1;
		cursor = env_pub(e, &(struct pub){ .channel = 1, .id = first });
		assert_true(cursor > l.reserved);
		env_close(e);
	}
	free(l.acks);
}

/* Promise: and after a kill before any of it was indexed. */
static void
test_kill_shared(void **state)
{
	struct env *e = *state;
	int status;
	pid_t pid;

	env_close(e);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		env_open(e);
		publish_shared(e);
		(void)kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_whole(e->path);
	env_open(e);
	expect_shared(e, cursor_make(ENV_EPOCH, 1));
	e->now_s += 5;
	env_turns(e, 5); /* indexed */
	expect_shared(e, cursor_make(ENV_EPOCH, 1));
	env_reopen(e);
	expect_shared(e, cursor_make(ENV_EPOCH, 1));
}

/* Promise: kills one after the other do not move the cursor away from the
 * clock by seconds each. */
static void
test_kill_drift(void **state)
{
	struct env *e = *state;
	uint64_t cursor = 0;
	int status;
	pid_t pid;

	env_close(e);
	for (uint64_t i = 1; i <= 20; i++) {
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			env_open(e);
			(void)env_pub(e,
			    &(struct pub){
				.channel = 1, .id = i, .live = i % 2 == 0 });
			(void)kill(getpid(), SIGKILL);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
	}
	env_open(e);
	cursor = env_pub(e, &(struct pub){ .channel = 1, .id = 21 });
	assert_true(cursor_time(cursor) <= ENV_EPOCH + 2);
}

/* --- refusing to open -------------------------------------------------- */

/* Promise: a second daemon is kept out, in this process and in others. */
static void
test_locked(void **state)
{
	struct env *e = *state;
	int status;
	pid_t pid;

	assert_int_equal(env_try_open(e), ERR_LOCKED);
	assert_true(log_says("db: is in use by another process"));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct store *s = NULL;

		_exit(store_open(&e->cfg, &s) == ERR_LOCKED ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	env_reopen(e);
}

/* Promise: an SQLite program that has the file keeps us out, and we it. */
static void
test_locked_by_sqlite(void **state)
{
	struct env *e = *state;
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(e->path, &db), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(db, "SELECT * FROM state", NULL, NULL, NULL),
	    SQLITE_BUSY);
	env_close(e);
	assert_int_equal(
	    sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(env_try_open(e), ERR_LOCKED);
	assert_true(log_says("db: is in use by another program"));
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	env_open(e);
}

/* Promise: a newer file is not touched. */
static void
test_newer(void **state)
{
	struct env *e = *state;

	env_close(e);
	(void)ask(e->path, "PRAGMA user_version = 99");
	assert_int_equal(env_try_open(e), ERR_VERSION);
	assert_true(log_says("db: was written by a newer version"));
	assert_int_equal(ask(e->path, "PRAGMA user_version"), 99);
	(void)ask(e->path, "PRAGMA user_version = 4");
	env_open(e);
}

/* Promise: a database of another program is not touched. */
static void
test_foreign(void **state)
{
	struct env *e = *state;

	env_close(e);
	assert_int_equal(unlink(e->path), 0);
	(void)ask(e->path, "CREATE TABLE theirs (x)");
	assert_int_equal(env_try_open(e), ERR_EXISTS);
	assert_true(log_says("db: belongs to another program"));
	assert_int_equal(
	    ask(e->path,
		"SELECT count(*) FROM sqlite_master"
		" JOIN pragma_journal_mode WHERE journal_mode = 'delete'"),
	    1);
	assert_int_equal(unlink(e->path), 0);
	env_open(e);
}

/* Promise: a file that is no database is refused and left as it is. */
static void
test_garbage(void **state)
{
	static const char garbage[] =
	    "This is not a database, but a letter "
	    "to somebody who may still want to read it one day.";
	char back[sizeof(garbage)];
	struct env *e = *state;
	int fd;

	env_close(e);
	fd = open(e->path, O_RDWR | O_TRUNC);
	assert_int_equal(write(fd, garbage, sizeof(garbage)), sizeof(garbage));
	assert_int_equal(env_try_open(e), ERR_CORRUPT);
	assert_true(log_says("db"));
	assert_int_equal(pread(fd, back, sizeof(back), 0), sizeof(back));
	assert_memory_equal(back, garbage, sizeof(back));
	(void)close(fd);
	assert_int_equal(unlink(e->path), 0);
	env_open(e);
}

/* Promise: no start without a place to write; the sentence names it. */
static void
test_unwritable(void **state)
{
	struct env *e = *state;
	int status;
	pid_t pid;

	env_close(e);
	e->cfg.path = "/nonexistent/folder/db";
	assert_int_equal(env_try_open(e), ERR_ACCESS);
	assert_true(log_says("/nonexistent/folder/db: cannot"));
	e->cfg.path = e->path;
	assert_int_equal(chmod(e->folder, 0555), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct store *s = NULL;

		if (geteuid() == 0 && setuid(65534) != 0)
			_exit(2);
		_exit(store_open(&e->cfg, &s) == ERR_ACCESS ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(chmod(e->folder, 0755), 0);
	env_open(e);
}

/* Promise: strangers cannot read the messages. */
static void
test_file_modes(void **state)
{
	static const char *const suffixes[] = { "", "-wal", ".lock" };
	struct env *e = *state;
	char path[128];
	struct stat st;

	(void)env_pub(e, &(struct pub){ .channel = 1, .id = 1 });
	for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
		(void)snprintf(
		    path, sizeof(path), "%s%s", e->path, suffixes[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777 & ~0640U, 0);
	}
}

/* --- the schema -------------------------------------------------------- */

static int
migrate(const char *path, const struct schema_step *steps, size_t n, int goal)
{
	sqlite3 *db = NULL;
	int err;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	err = schema_open_steps(db, path, steps, n, goal);
	assert_int_equal(sqlite3_get_autocommit(db), 1);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return err;
}

/* Promise: an older file is brought up step by step, or stays as it was. */
static void
test_migration(void **state)
{
	static const struct schema_step steps[] = {
		{ 4, "CREATE TABLE two (x); PRAGMA user_version = 5" },
		{ 5,
		    "ALTER TABLE two ADD COLUMN y;"
		    "PRAGMA user_version = 6" },
		{ 6,
		    "CREATE TABLE four (x); PRAGMA user_version = 7;"
		    "INSERT INTO nowhere VALUES (1)" },
	};
	struct env *e = *state;

	(void)env_pub(e, &(struct pub){ .channel = 1, .id = 1 });
	env_close(e);
	assert_int_equal(ask(e->path, "PRAGMA user_version"), 4);
	assert_int_equal(migrate(e->path, steps, 3, 6), 0);
	assert_int_equal(ask(e->path, "PRAGMA user_version"), 6);
	assert_int_equal(ask(e->path, "SELECT count(y) FROM two"), 0);
	assert_int_equal(ask(e->path, "SELECT count(*) FROM message"), 1);
	assert_int_equal(migrate(e->path, steps, 3, 7), ERR_IO);
	assert_int_equal(ask(e->path, "PRAGMA user_version"), 6);
	assert_int_equal(ask(e->path,
			     "SELECT count(*) FROM sqlite_master"
			     " WHERE name = 'four'"),
	    0);
	/* No step leads there. */
	assert_int_equal(migrate(e->path, steps, 2, 7), ERR_VERSION);
	assert_int_equal(migrate(e->path, steps, 2, 5), ERR_VERSION);
	(void)ask(e->path, "PRAGMA user_version = 4");
	env_open(e);
}

/* --- disk and file at fault -------------------------------------------- */

static int
pub_err_to(struct env *e, uint64_t channel, const char *text, int64_t expires)
{
	struct store_op *op = env_run(e,
	    env_pub_op(&(struct pub){
		.channel = channel, .text = text, .expires = expires }));
	int err = op->err;

	store_op_free(&op);
	return err;
}

static int
pub_err(struct env *e, const char *text, int64_t expires)
{
	return pub_err_to(e, 1, text, expires);
}

/* Promise: a full database refuses publishes, still answers reads, and takes
 * publishes again when messages have expired. */
static void
test_full(void **state)
{
	static char text[4001];
	struct env *e = *state;
	struct store_op *op;
	uint64_t n = 0;
	int err = 0;

	memset(text, 'x', sizeof(text) - 1);
	e->cfg.max_bytes = 1 << 20;
	env_reopen(e);
	for (; err == 0 && n < 1000; n++)
		err = pub_err(e, text, ENV_EPOCH + 10);
	assert_int_equal(err, ERR_FULL);
	assert_true(log_says("full"));
	assert_true(n > 200);
	op = env_read(e, 1, 0);
	assert_int_equal(op->u.read.n_found, n - 1);
	store_op_free(&op);
	assert_int_equal(pub_err(e, text, ENV_EPOCH + 10), ERR_FULL);
	assert_int_equal(store_fatal(e->s), 0);
	e->now_s += 10;
	for (int i = 0; i < 50 && e->collected[1] < n - 1; i++)
		env_turns(e, 1);
	assert_int_equal(e->collected[1], n - 1);
	assert_int_equal(pub_err(e, text, 0), 0);
	env_reopen(e);
	assert_int_equal(e->state.published, n);
	assert_int_equal(env_known(e, 1)->stored, 1);
	env_close(e);
	assert_whole(e->path);
	assert_true(ask(e->path, "PRAGMA page_count") *
		ask(e->path, "PRAGMA page_size") <=
	    1 << 20);
	env_open(e);
}

/* Find `text` in the file and flip a bit of it. */
static void
flip(const char *path, const char *text)
{
	struct stat st;
	char *bytes, *at;
	int fd = open(path, O_RDWR);

	assert_int_equal(fstat(fd, &st), 0);
	bytes = malloc((size_t)st.st_size);
	assert_non_null(bytes);
	assert_int_equal(pread(fd, bytes, (size_t)st.st_size, 0), st.st_size);
	at = memmem(bytes, (size_t)st.st_size, text, strlen(text));
	assert_non_null(at);
	*at ^= 1;
	assert_int_equal(pwrite(fd, at, 1, at - bytes), 1);
	free(bytes);
	(void)close(fd);
}

/* Promise: a message whose bytes changed on disk is left out, said and
 * counted; the others are not affected. */
static void
test_flipped_bit(void **state)
{
	struct env *e = *state;

	(void)env_pub(e,
	    &(struct pub){ .channel = 1,
		.id = 1,
		.text = "one",
		.event_id = "first-event" });
	(void)env_pub(e,
	    &(struct pub){ .channel = 1, .id = 2, .text = "the-second-text" });
	(void)env_pub(
	    e, &(struct pub){ .channel = 1, .id = 3, .text = "three" });
	env_close(e);
	flip(e->path, "the-second-text");
	flip(e->path, "first-event");
	env_open(e);
	env_expect(e, 1, 0, "three");
	assert_int_equal(store_stats(e->s)->corrupt, 2);
	assert_true(log_says("message 1700000000.2 is damaged"));
}

/* Promise: the checksum covers what came with later schemas too. */
static void
test_sum_covers_all(void **state)
{
	struct env *e = *state;

	(void)env_pub(e,
	    &(struct pub){ .channel = 1,
		.id = 1,
		.text = "one",
		.extra = "beside-the-first" });
	for (uint64_t id = 2; id <= 4; id++)
		(void)env_pub(e,
		    &(struct pub){ .channel = 1,
			.id = id,
			.text = id == 4 ? "four" : "other",
			.extra = id == 3 ? "xyz" : NULL,
			.shared = id == 2 });
	env_close(e);
	flip(e->path, "beside-the-first");
	(void)ask(e->path, "UPDATE message SET shared = 0 WHERE shared");
	(void)ask(e->path,
	    "UPDATE message SET extra = NULL, body = body || extra"
	    " WHERE extra = x'78797a'");
	env_open(e);
	env_expect(e, 1, 0, "four");
	assert_int_equal(store_stats(e->s)->corrupt, 3);
	assert_true(log_says("is damaged"));
}

/* A look at the whole file: how it ends, and that it says so. */
static void
expect_verified(struct env *e, int err, const char *said)
{
	assert_int_equal(store_verify(e->path), err);
	assert_true(log_says(said));
}

/* Promise: a look at all of a file finds it whole, or says what is wrong: with
 * a message, an index row that leads to none or to another, a channel's
 * count, a page. */
static void
test_verify(void **state)
{
	static const struct {
		const char *damage, *mend, *said;
	} cases[] = {
		{ "UPDATE message SET sum = sum + 1",
		    "UPDATE message SET sum = sum - 1", "is damaged" },
		{ "UPDATE member SET id = id + 1",
		    "UPDATE member SET id = id - 1", "has no such message" },
		{ "UPDATE member SET cursor = cursor + 1 WHERE id = 3",
		    "UPDATE member SET cursor = cursor - 1 WHERE id = 3",
		    "has no such message" },
		{ "UPDATE channel SET stored = stored + 1",
		    "UPDATE channel SET stored = stored - 1", "keeps" },
	};
	struct env *e = *state;
	char now[64];

	for (uint64_t id = 1; id <= 3; id++)
		(void)env_pub(
		    e, &(struct pub){ .channel = 1, .id = id, .text = "text" });
	env_close(e);
	(void)snprintf(now, sizeof(now), "PRAGMA user_version = %d",
	    (int)ask(e->path, "PRAGMA user_version"));
	expect_verified(e, 0, "3 messages, all whole");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		(void)ask(e->path, cases[i].damage);
		expect_verified(e, ERR_CORRUPT, cases[i].said);
		(void)ask(e->path, cases[i].mend);
		expect_verified(e, 0, "all whole");
	}
	(void)ask(e->path, "PRAGMA user_version = 1");
	expect_verified(e, ERR_VERSION, "has schema 1");
	(void)ask(e->path, now);
	flip(e->path, "CREATE TABLE");
	expect_verified(e, ERR_CORRUPT, "malformed");
	flip(e->path, "BREATE TABLE");
	env_open(e);
	env_expect(e, 1, 0, "text text text");
}

/* --- failing system calls ---------------------------------------------- */

/* Promise: with sync=full there is a sync between a group and its answer, and
 * after one that failed nothing is acknowledged any more. */
static void
test_failed_sync(void **state)
{
	struct env *e = *state;
	struct store_op *op;
	int before;

	env_close(e);
	fault_install();
	env_open(e);
	before = syncs;
	assert_int_equal(pub_err(e, "kept", 0), 0);
	assert_true(syncs > before);
	fault_sync = SQLITE_IOERR_FSYNC;
	env_submit(e, env_pub_op(&(struct pub){ .channel = 1 }));
	env_submit(e, env_pub_op(&(struct pub){ .channel = 1 }));
	for (int i = 0; i < 2; i++) {
		op = env_wait(e);
		assert_int_equal(op->err, ERR_FSYNC);
		store_op_free(&op);
	}
	assert_int_equal(store_fatal(e->s), ERR_FSYNC);
	assert_true(log_says("the store stops"));
	fault_sync = 0; /* working again is not believed */
	assert_int_equal(pub_err(e, "late", 0), ERR_FSYNC);
	op = env_read_op(1);
	op = env_run(e, op);
	assert_int_equal(op->err, ERR_FSYNC);
	store_op_free(&op);
	before = syncs;
	env_close(e);
	assert_int_equal(syncs, before); /* nor written at the end */
	fault_remove();
	env_open(e);
	op = env_read(e, 1, 0);
	assert_true(op->u.read.n_found >= 1);
	assert_int_equal(op->u.read.found[0].id, 1);
	store_op_free(&op);
}

/* Promise: a write that fails costs its group and nothing else; the next one
 * works, with ids and counters as if the failed had not been. */
static void
test_failed_write(void **state)
{
	struct env *e = *state;

	env_close(e);
	fault_install();
	env_open(e);
	assert_int_equal(pub_err(e, "one", 0), 0);
	fault_write = SQLITE_IOERR_WRITE;
	assert_int_equal(pub_err(e, "lost", 0), ERR_IO);
	fault_write = SQLITE_FULL;
	assert_int_equal(pub_err(e, "lost", 0), ERR_FULL);
	assert_int_equal(pub_err_to(e, 2, "lost", 0), ERR_FULL);
	env_expect(e, 1, 0, "one");
	e->now_s += 5;
	env_turns(e, 3); /* upkeep meets it too */
	fault_write = 0;
	assert_int_equal(store_fatal(e->s), 0);
	(void)env_pub(e, &(struct pub){ .channel = 1, .id = 2, .text = "two" });
	(void)env_pub(e, &(struct pub){ .channel = 2, .id = 1, .text = "new" });
	env_expect(e, 1, 0, "one two");
	env_close(e);
	fault_remove();
	assert_whole(e->path);
	env_open(e);
	assert_int_equal(e->state.published, 3);
	assert_int_equal(env_known(e, 1)->stored, 2);
	assert_non_null(env_known(e, 2));
	env_expect(e, 1, 0, "one two");
	env_expect(e, 2, 0, "new");
	assert_true(log_says("cannot commit"));
}

/* --- backup ------------------------------------------------------------ */

/* Promise: a backup taken under publishes opens, and has all that was
 * acknowledged before it was asked for. */
static void
test_backup(void **state)
{
	static char text[2001];
	struct env *e = *state;
	char copy[128], part[160];
	struct store_op *op;
	bool running = true;
	struct stat st;

	memset(text, 'x', sizeof(text) - 1);
	(void)snprintf(copy, sizeof(copy), "%s.copy", e->path);
	(void)snprintf(part, sizeof(part), "%s.part", copy);
	for (int i = 0; i < 2000; i++)
		assert_int_equal(pub_err(e, text, 0), 0);
	env_submit(e, store_op_backup(copy));
	env_submit(e, store_op_backup(copy));
	op = env_wait(e); /* the second: one at a time */
	assert_int_equal(op->err, ERR_BUSY);
	store_op_free(&op);
	while (running) {
		env_submit(
		    e, env_pub_op(&(struct pub){ .channel = 2, .text = text }));
		op = env_wait(e);
		assert_int_equal(op->err, 0);
		running = op->kind != STORE_BACKUP;
		store_op_free(&op);
	}
	env_close(e);
	assert_int_equal(stat(copy, &st), 0);
	assert_int_equal(st.st_mode & 07777 & ~0640U, 0);
	assert_int_equal(stat(part, &st), -1);
	assert_whole(copy);
	e->cfg.path = copy;
	env_open(e);
	op = env_read(e, 1, 0);
	assert_int_equal(op->u.read.n_found, 2000);
	store_op_free(&op);
	assert_int_equal(env_known(e, 1)->last_id, 2000);
	env_close(e);
	e->cfg.path = e->path;
	env_open(e);
}

/* Promise: a backup that cannot be leaves what stood there, and says so. */
static void
test_backup_refused(void **state)
{
	struct env *e = *state;
	struct store_op *op;

	op = env_run(e, store_op_backup("/nonexistent/folder/copy"));
	assert_int_equal(op->err, ERR_ACCESS);
	store_op_free(&op);
	assert_true(log_says("backup /nonexistent/folder/copy: cannot"));
	assert_int_equal(pub_err(e, "still here", 0), 0);
}

static char sqlite[] = "sqlite";

#define TEST(f) \
	{ \
#f, f, env_setup, env_teardown, sqlite \
	}

/* What PRAGMA table_info and index names tell of a file. */
static void
describe(const char *path, char *out, size_t size)
{
	static const char sql[] =
	    "SELECT group_concat(t.name || '.' || c.name || ' ' || c.type ||"
	    " c.\"notnull\" || ifnull(c.dflt_value, '') || c.pk, ' ')"
	    " FROM (SELECT name FROM sqlite_master WHERE type = 'table' "
	    "ORDER BY name) t,"
	    " pragma_table_info(t.name) c"
	    " UNION ALL SELECT group_concat(name, ' ') FROM (SELECT name FROM"
	    " sqlite_master WHERE type = 'index' ORDER BY name)";
	sqlite3_stmt *st = NULL;
	sqlite3 *db = NULL;
	size_t len = 0;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW)
		len += (size_t)snprintf(out + len, size - len, "%s\n",
		    (const char *)sqlite3_column_text(st, 0));
	assert_true(len > 100 && len < size);
	(void)sqlite3_finalize(st);
	(void)sqlite3_close(db);
}

/* A message in two channels as schemas 1 and 2 had it, with its sum. */
static const char old_row[] =
    "INSERT INTO channel VALUES (1, x'6331', 0, 0, 0, 0);"
    "INSERT INTO channel VALUES (2, x'6332', 0, 0, 0, 0);"
    "UPDATE state SET next_channel = 3;"
    "INSERT INTO message (cursor, expires, sum, members, event_id, body)"
    " VALUES (28521267200000001, 1701000000, 2665716529,"
    " x'00000000000000010000000000000001'"
    " || x'00000000000000020000000000000001',"
    " x'6964', x'6f6c64')";

/* Make a file of what an older version's schema.sql was. */
static void
make_old(const char *db_path, int version)
{
	const char *top = getenv("srcdir");
	char path[512], sql[8192];
	sqlite3 *db = NULL;
	size_t len;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/tests/contract/schema-%d.sql",
	    top != NULL ? top : ".", version);
	f = fopen(path, "r");
	assert_non_null(f);
	len = fread(sql, 1, sizeof(sql) - 1, f);
	sql[len] = '\0';
	(void)fclose(f);
	assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(db, old_row, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Promise: an old file becomes one like any other, and keeps its messages. */
static void
check_old(struct env *e, int version)
{
	char fresh[4096], now[4096];

	env_close(e);
	describe(e->path, fresh, sizeof(fresh));
	assert_int_equal(unlink(e->path), 0);
	make_old(e->path, version);
	assert_int_equal(ask(e->path, "PRAGMA user_version"), version);
	env_open(e);
	assert_int_equal(e->state.published, 2);
	env_expect(e, 1, 0, "old");
	(void)env_pub(e,
	    &(struct pub){ .channel = 1,
		.n = 2,
		.id = 2,
		.text = "new",
		.shared = true,
		.extra = "x" });
	env_reopen(e);
	env_expect(e, 1, 0, "old new");
	env_expect(e, 2, 0, "old new");
	assert_int_equal(store_stats(e->s)->corrupt, 0);
	env_close(e);
	describe(e->path, now, sizeof(now));
	assert_string_equal(now, fresh);
	env_open(e);
}

static void
test_schema_1(void **state)
{
	check_old(*state, 1);
}

static void
test_schema_2(void **state)
{
	check_old(*state, 2);
}

static void
test_schema_3(void **state)
{
	check_old(*state, 3);
}

/* Collected are those that expired, whatever the order in which they
 * came, and after a restart too. */
static void
test_expiry_order(void **state)
{
	/* Seconds after the beginning; each comes when its elders live. */
	static const int64_t lives[] = { 100, 10, 200, 150, 30, 200, 300 };
	static const struct {
		int64_t at_s;
		uint64_t gone;
	} steps[] = { { 9, 0 }, { 10, 1 }, { 30, 2 }, { 100, 3 }, { 150, 4 },
		{ 200, 6 }, { 299, 6 }, { 300, 7 } };
	struct env *e = *state;
	uint64_t gone = 0;

	for (size_t i = 0; i < COUNT_OF(lives); i++) {
		(void)env_pub(e,
		    &(struct pub){ .channel = 1,
			.id = i + 1,
			.expires = ENV_EPOCH + lives[i] });
		if (i == 2)
			env_reopen(e);
	}
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		e->now_s = ENV_EPOCH + steps[i].at_s;
		env_turns(e, 12);
		if (i == 3) {
			gone = store_stats(e->s)->collected;
			env_reopen(e);
			env_turns(e, 12);
		}
		assert_int_equal(
		    gone + store_stats(e->s)->collected, steps[i].gone);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_reopen),
		TEST(test_reopen_clock_back),
		TEST(test_reopen_dropped),
		TEST(test_reopen_shared),
		TEST(test_kill_shared),
		TEST(test_kill),
		TEST(test_kill_drift),
		TEST(test_locked),
		TEST(test_locked_by_sqlite),
		TEST(test_newer),
		TEST(test_foreign),
		TEST(test_garbage),
		TEST(test_unwritable),
		TEST(test_file_modes),
		TEST(test_migration),
		TEST(test_full),
		TEST(test_flipped_bit),
		TEST(test_sum_covers_all),
		TEST(test_schema_1),
		TEST(test_schema_2),
		TEST(test_schema_3),
		TEST(test_expiry_order),
		TEST(test_verify),
		TEST(test_failed_sync),
		TEST(test_failed_write),
		TEST(test_backup),
		TEST(test_backup_refused),
	};
	int fd, failed;

	(void)snprintf(
	    log_path, sizeof(log_path), "/tmp/test_store_log.XXXXXX");
	fd = mkstemp(log_path);
	if (fd < 0 || log_open(log_path) != 0)
		return 99;
	(void)close(fd);
	failed = cmocka_run_group_tests_name("store_sqlite", tests, NULL, NULL);
	(void)unlink(log_path);
	return failed;
}
