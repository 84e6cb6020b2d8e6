/*
 * tests/unit/test_store_upkeep.c - the SQLite backend without its thread: every
 * step by hand, and a look at what a kill would have left after each.
 *
 * Groups of changes fall between the slices of an index round, of expiry and
 * of purges.  After each step the files are copied, as they are, and the copy
 * is opened: its channels and counters must be those of a model.
 */
#include "base/base.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store_sqlite_priv.h"

#define EPOCH INT64_C(1700000000)
#define CHANNELS 30
#define KEPT_MAX 20000

struct kept {
	uint64_t cursor, id;
	int64_t expires;
};

struct world {
	char folder[64], path[80], copy[80];
	struct store_stats stats;
	void *be;
	int64_t now_s;
	int64_t ttl_s; /* at least */
	uint32_t seed;

	/* the model; channel 0 is not used */
	struct kept kept[CHANNELS + 1][KEPT_MAX];
	size_t n[CHANNELS + 1];
	uint64_t id[CHANNELS + 1];
	uint64_t published;
	uint64_t last;
	bool dropped[CHANNELS + 1];

	/* what a copy told */
	size_t told;

	struct store_op *group; /* until it is committed */
};

static int64_t
world_wall(void *arg)
{
	struct world *w = arg;

	return w->now_s;
}

static uint32_t
pick(struct world *w, uint32_t n)
{
	w->seed = w->seed * 1664525 + 1013904223;
	return (w->seed >> 8) % n;
}

static void
told_nothing(void *arg, const struct store_channel *c)
{
	(void)arg;
	(void)c;
	fail_msg("a new file has channels");
}

static int
open_path(struct world *w, const char *path, void **be)
{
	struct store_config cfg = { .path = path,
		.sync = STORE_SYNC_OFF,
		.wall = world_wall,
		.wall_arg = w };

	return store_sqlite.open(&cfg, &w->stats, be);
}

static int
world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct store_state st;

	(void)snprintf(w->folder, sizeof(w->folder), "/tmp/upkeep.XXXXXX");
	if (mkdtemp(w->folder) == NULL)
		return -1;
	(void)snprintf(w->path, sizeof(w->path), "%s/db", w->folder);
	(void)snprintf(w->copy, sizeof(w->copy), "%s/copy", w->folder);
	w->now_s = EPOCH;
	w->ttl_s = 10;
	w->seed = 4711;
	if (open_path(w, w->path, &w->be) != 0 ||
	    store_sqlite.load(w->be, told_nothing, w, &st) != 0)
		return -1;
	*state = w;
	return 0;
}

static int
world_teardown(void **state)
{
	struct world *w = *state;
	DIR *dir = opendir(w->folder);
	struct dirent *d;

	store_sqlite.close(&w->be);
	while ((d = readdir(dir)) != NULL)
		(void)unlinkat(dirfd(dir), d->d_name, 0);
	(void)closedir(dir);
	(void)rmdir(w->folder);
	free(w);
	return 0;
}

/* --- what a kill would leave ------------------------------------------- */

static void
copy_file(const char *from, const char *to, const char *suffix)
{
	char a[100], b[100], buf[65536];
	ssize_t n;
	int in, out;

	(void)snprintf(a, sizeof(a), "%s%s", from, suffix);
	(void)snprintf(b, sizeof(b), "%s%s", to, suffix);
	in = open(a, O_RDONLY);
	out = open(b, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		assert_int_equal(write(out, buf, (size_t)n), n);
	(void)close(in);
	(void)close(out);
}

static void
told(void *arg, const struct store_channel *c)
{
	struct world *w = arg;
	const struct kept *newest;

	assert_in_range(c->channel, 1, CHANNELS);
	assert_false(w->dropped[c->channel]);
	assert_int_equal(c->stored, w->n[c->channel]);
	assert_int_equal(c->last_id, w->id[c->channel]);
	if (c->stored != 0) {
		newest = &w->kept[c->channel][c->stored - 1];
		assert_true(c->last_cursor >= newest->cursor);
	}
	w->told++;
}

static struct store_op *
read_all(void *be, uint64_t after, uint64_t upto, int64_t now_s)
{
	struct store_op *op = store_op_read(CHANNELS, NULL);

	op->u.read.upto = upto;
	op->u.read.max_messages = 1000000;
	op->u.read.max_bytes = 1 << 30;
	for (uint32_t c = 0; c < CHANNELS; c++)
		op->u.read.wants[c] = (struct store_want){
			.channel = c + 1, .by_position = true, .after = after
		};
	assert_int_equal(store_sqlite.read(be, &op->u.read, now_s), 0);
	return op;
}

/* A shared message is told for the first of its channels. */
static bool
told_before(const struct world *w, uint32_t channel, uint64_t cursor)
{
	for (uint32_t c = 1; c < channel; c++) {
		for (size_t i = w->n[c]; i > 0; i--) {
			if (w->kept[c][i - 1].cursor == cursor)
				return true;
			if (w->kept[c][i - 1].cursor < cursor)
				break;
		}
	}
	return false;
}

static void
check_read(struct world *w, void *be, uint64_t after)
{
	struct store_op *op = read_all(be, after, w->last, w->now_s);
	size_t k = 0;

	for (uint32_t c = 1; c <= CHANNELS; c++) {
		for (size_t i = 0; i < w->n[c]; i++) {
			const struct kept *m = &w->kept[c][i];

			if (m->expires <= w->now_s || m->cursor <= after ||
			    told_before(w, c, m->cursor))
				continue;
			assert_true(k < op->u.read.n_found);
			assert_int_equal(op->u.read.found[k].cursor, m->cursor);
			assert_int_equal(op->u.read.found[k].id, m->id);
			k++;
		}
	}
	assert_int_equal(k, op->u.read.n_found);
	assert_int_equal(op->u.read.cut, w->last);
	store_op_free(&op);
}

static void
check_reads(struct world *w, void *be)
{
	uint64_t c = 1 + pick(w, CHANNELS);

	check_read(w, be, 0);
	if (w->n[c] != 0)
		check_read(
		    w, be, w->kept[c][pick(w, (uint32_t)w->n[c])].cursor);
}

static void
check_opened(struct world *w)
{
	struct store_state st;
	size_t alive = 0;
	void *be;

	assert_int_equal(open_path(w, w->copy, &be), 0);
	w->told = 0;
	assert_int_equal(store_sqlite.load(be, told, w, &st), 0);
	for (int c = 1; c <= CHANNELS; c++)
		alive += w->id[c] != 0 && !w->dropped[c];
	assert_int_equal(w->told, alive);
	assert_int_equal(st.published, w->published);
	assert_true(st.last >= w->last);
	check_reads(w, be);
	store_sqlite.close(&be);
}

static void
check_copy(struct world *w)
{
	copy_file(w->path, w->copy, "");
	copy_file(w->path, w->copy, "-wal");
	check_opened(w);
	/* It was closed in good order, so its indexes are complete. */
	check_opened(w);
}

/* --- steps ------------------------------------------------------------- */

static void
keep(struct world *w, uint64_t c, uint64_t cursor, int64_t expires,
    const struct store_member *m)
{
	size_t *n = &w->n[c];

	assert_true(*n < KEPT_MAX);
	w->kept[c][(*n)++] = (struct kept){ cursor, m->id, expires };
	assert_true(m->trimmed <= *n);
	*n -= m->trimmed;
	memmove(w->kept[c], &w->kept[c][m->trimmed], *n * sizeof(struct kept));
	assert_true(m->cap == 0 || *n <= m->cap);
}

static void
hold(struct world *w, struct store_op *op)
{
	op->next = w->group;
	w->group = op;
}

static void
free_group(struct world *w)
{
	while (w->group != NULL) {
		struct store_op *op = w->group;

		w->group = op->next;
		store_op_free(&op);
	}
}

static void
commit(struct world *w)
{
	uint64_t reserved = 0;

	assert_int_equal(store_sqlite.commit(w->be, w->now_s, &reserved), 0);
	assert_true(reserved >= w->last);
	free_group(w);
}

static void
append(struct world *w, uint32_t cap)
{
	static const char *const names = "abcdefghijklmnopqrstuvwxyzABCDE";
	uint32_t n = pick(w, 4) == 0 ? 3 : 1;
	uint64_t c = 1 + pick(w, CHANNELS - n + 1);
	int64_t expires = w->now_s + w->ttl_s + (int64_t)pick(w, 300);
	struct store_op *op;
	struct store_append *a;

	for (uint32_t i = 0; i < n; i++) {
		if (w->dropped[c + i])
			return;
	}
	op = store_op_append(msg_new("x", 1, NULL, NULL, expires), n);
	a = &op->u.append;
	a->keep = pick(w, 6) != 0;
	a->shared = pick(w, 2) == 0;
	for (uint32_t i = 0; i < n; i++)
		a->members[i] = (struct store_member){
			.channel = c + i,
			.cap = cap,
			.name = { names + c + i, 1 },
		};
	assert_int_equal(store_sqlite.append(w->be, a, w->now_s), 0);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(a->members[i].id, ++w->id[c + i]);
	assert_true(a->cursor > w->last);
	w->last = a->cursor + store_append_cursors(a) - 1;
	w->published += n;
	for (uint32_t i = 0; a->keep && i < n; i++)
		keep(w, c + i, store_append_cursor(a, i), expires,
		    &a->members[i]);
	hold(w, op);
}

static void
group(struct world *w, int appends, uint32_t cap)
{
	assert_int_equal(store_sqlite.begin(w->be), 0);
	for (int i = 0; i < appends; i++)
		append(w, cap != 0 ? cap + pick(w, 3) : 0);
	commit(w);
}

static void
drop(struct world *w, uint64_t channel)
{
	struct store_op *op = store_op_drop(1);
	uint64_t reserved;

	op->u.drop.channels[0] = channel;
	assert_int_equal(store_sqlite.begin(w->be), 0);
	assert_int_equal(store_sqlite.drop(w->be, &op->u.drop), 0);
	assert_int_equal(store_sqlite.commit(w->be, w->now_s, &reserved), 0);
	store_op_free(&op);
	w->dropped[channel] = true;
	w->n[channel] = 0;
}

/* The oldest of a channel that had expired when the store's round began go, as
 * many as it says. */
static void
collect(struct world *w, uint64_t c, uint64_t count)
{
	const struct sq *sq = w->be;

	for (size_t i = 0; i < w->n[c] && count > 0;) {
		if (w->kept[c][i].expires > sq->expiry.now_s) {
			i++;
			continue;
		}
		w->n[c]--;
		memmove(&w->kept[c][i], &w->kept[c][i + 1],
		    (w->n[c] - i) * sizeof(struct kept));
		count--;
	}
	assert_int_equal(count, 0);
}

/* One slice of upkeep; was there something to do? */
static bool
tidy(struct world *w)
{
	struct store_op *out = NULL;
	int more = store_sqlite.tidy(w->be, w->now_s, &out);

	assert_true(more >= 0);
	for (uint32_t i = 0; out != NULL && i < out->u.collected.n; i++)
		collect(w, out->u.collected.gone[i].channel,
		    out->u.collected.gone[i].count);
	store_op_free(&out);
	return more > 0;
}

static int64_t
count(struct world *w, const char *sql)
{
	struct sq *sq = w->be;
	sqlite3_stmt *st = NULL;
	int64_t n;

	assert_int_equal(
	    sqlite3_prepare_v2(sq->db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return n;
}

/* Promise: a kill between any two slices of a round leaves every channel and
 * counter as it was, whatever was published, trimmed or dropped meanwhile. */
static void
test_round(void **state)
{
	struct world *w = *state;
	int slices = 0;

	for (int i = 0; i < 20; i++) {
		group(w, 200, 0);
		w->now_s++;
	}
	check_copy(w);
	assert_int_equal(count(w, "SELECT count(*) FROM member"), 0);
	w->now_s += 3;
	while (tidy(w)) {
		check_reads(w, w->be);
		check_copy(w);
		group(w, 30, slices % 3 == 2 ? 20 : 0);
		if (slices == 4)
			drop(w, 17);
		if (slices == 5)
			drop(w, 3);
		check_reads(w, w->be);
		check_copy(w);
		slices++;
	}
	assert_true(slices > 5);
	w->now_s += 3;
	while (tidy(w))
		check_copy(w);
	/* All is indexed, and what was dropped has gone. */
	for (int64_t c = 1, sum = 0; c <= CHANNELS; c++) {
		sum += (int64_t)w->n[c];
		if (c == CHANNELS)
			assert_int_equal(
			    count(w, "SELECT count(*) FROM member"), sum);
	}
	assert_int_equal(count(w,
			     "SELECT count(*) FROM member"
			     " WHERE channel IN (3, 17)"),
	    0);
}

/* Promise: the same while messages expire, indexed or not, in the middle of
 * tails, and while caps trim what has expired. */
static void
test_expiry(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 40; i++) {
		group(w, 60, i % 4 == 3 ? 25 : 0);
		w->now_s += 1 + pick(w, 20);
		for (int k = 0; k < 3; k++) {
			(void)tidy(w);
			check_reads(w, w->be);
		}
		check_copy(w);
	}
	w->now_s += 1000;
	while (tidy(w))
		check_copy(w);
	for (int c = 1; c <= CHANNELS; c++)
		assert_int_equal(w->n[c], 0);
	assert_int_equal(count(w, "SELECT count(*) FROM message"), 0);
	assert_int_equal(count(w, "SELECT count(*) FROM member"), 0);
	assert_int_equal(count(w, "SELECT sum(stored) FROM channel"), 0);
}

/* Promise: rows are found whichever bucket they went to, however often a kill
 * interrupted the round that wrote them, and with the hours passing by. */
static void
test_buckets(void **state)
{
	struct world *w = *state;

	w->ttl_s = 20 * 3600;
	for (int i = 0; i < 12; i++) {
		for (int k = 0; k < 6; k++) {
			group(w, 150, k == 5 && i % 5 == 2 ? 100 : 0);
			w->now_s += 200;
		}
		for (int k = (int)pick(w, 9); k > 0; k--)
			(void)tidy(w);
		/* The next life finds a round interrupted, and an hour
		 * gone since it began. */
		w->now_s += 2500;
		group(w, 10, 0);
		check_copy(w);
	}
	while (tidy(w))
		continue;
	check_copy(w);
	assert_true(count(w, "SELECT count(DISTINCT bucket) FROM member") > 3);
	assert_int_equal(
	    count(w,
		"SELECT count(*) FROM member AS m WHERE"
		" EXISTS (SELECT * FROM member AS n WHERE n.bucket > m.bucket"
		" AND n.bucket <= m.cursor >> 24)"),
	    0);
	w->now_s += 21 * 3600;
	while (tidy(w))
		continue;
	assert_int_equal(count(w, "SELECT count(*) FROM member"), 0);
	check_copy(w);
}

/* Promise: a dropped channel's messages go at once, those that it shares with
 * others when they expire. */
static void
test_purge(void **state)
{
	struct world *w = *state;
	int64_t shared;

	for (int i = 0; i < 5; i++)
		group(w, 300, 0);
	w->now_s += 3;
	while (tidy(w))
		continue;
	group(w, 300, 0);
	shared = count(w,
	    "SELECT count(*) FROM message"
	    " WHERE length(members) > 16");
	assert_true(shared > 10);
	for (uint64_t c = 1; c <= CHANNELS; c++) {
		drop(w, c);
		(void)tidy(w);
		check_copy(w);
	}
	while (tidy(w))
		continue;
	assert_int_equal(count(w, "SELECT count(*) FROM member"), 0);
	assert_int_equal(count(w, "SELECT count(*) FROM message"), shared);
	w->now_s += 1000;
	while (tidy(w))
		continue;
	assert_int_equal(count(w, "SELECT count(*) FROM message"), 0);
	check_copy(w);
}

/* Channels with a message each are made and dropped; how many of them has one
 * slice left? */
static size_t
left_of_dropped(struct world *w, uint32_t many, bool indexed)
{
	enum {
		FIRST = CHANNELS + 1,
		MOST = 1000
	};
	struct sq *sq = w->be;
	uint64_t numbers[MOST], reserved;
	const struct store_drop all = { many, numbers };

	assert_int_equal(store_sqlite.begin(w->be), 0);
	for (uint64_t i = 0; i < many; i++) {
		struct store_op *op =
		    store_op_append(msg_new("x", 1, NULL, NULL, EPOCH + 60), 1);
		char name[16];
		int len = snprintf(name, sizeof(name), "c%d", (int)i);

		numbers[i] = FIRST + i;
		op->u.append.members[0] =
		    (struct store_member){ .channel = numbers[i],
			    .name = { name, (size_t)len } };
		assert_int_equal(
		    store_sqlite.append(w->be, &op->u.append, w->now_s), 0);
		hold(w, op);
	}
	commit(w);
	w->now_s += indexed ? 5 : 0;
	while (indexed && tidy(w))
		continue;
	assert_int_equal(
	    count(w, "SELECT count(*) FROM member"), indexed ? many : 0);
	assert_int_equal(store_sqlite.begin(w->be), 0);
	assert_int_equal(store_sqlite.drop(w->be, &all), 0);
	assert_int_equal(store_sqlite.commit(w->be, w->now_s, &reserved), 0);
	assert_int_equal(sq->n_dropped, many);
	while (sq->n_dropped == many)
		assert_true(tidy(w));
	return sq->n_dropped;
}

/* Promise: who makes channels and drops them does not outrun it: some hundred
 * that have come since the last slice go with the next; but no slice is longer
 * than that. */
static void
test_purge_keeps_up(void **state)
{
	struct world *w = *state;

	for (int indexed = 0; indexed < 2; indexed++) {
		assert_int_equal(left_of_dropped(w, 200, indexed), 0);
		assert_int_equal(count(w, "SELECT count(*) FROM message"), 0);
		assert_in_range(left_of_dropped(w, 1000, indexed), 600, 900);
		while (tidy(w))
			continue;
		assert_int_equal(count(w, "SELECT count(*) FROM message"), 0);
	}
}

/* Promise: a group that is rolled back has never been. */
static void
test_rollback(void **state)
{
	struct world *w = *state;
	struct store_op *op;

	group(w, 100, 0);
	assert_int_equal(store_sqlite.begin(w->be), 0);
	op = store_op_append(msg_new("x", 1, NULL, NULL, w->now_s + 5), 2);
	op->u.append.members[0] =
	    (struct store_member){ .channel = 1, .cap = 1 };
	op->u.append.members[1] =
	    (struct store_member){ .channel = 77, .name = { "new", 3 } };
	assert_int_equal(
	    store_sqlite.append(w->be, &op->u.append, w->now_s), 0);
	assert_true(op->u.append.cursor > w->last);
	w->last = op->u.append.cursor + 1;
	store_sqlite.rollback(w->be);
	check_reads(w, w->be);
	check_copy(w);
	/* One statement's rows are written, and others wait for theirs. */
	assert_int_equal(store_sqlite.begin(w->be), 0);
	for (int i = 0; i < STMT_MANY + 3; i++) {
		struct store_op *one = store_op_append(
		    msg_new("y", 1, NULL, NULL, w->now_s + 5), 1);

		one->u.append.members[0] = (struct store_member){
			.channel = 1,
		};
		assert_int_equal(
		    store_sqlite.append(w->be, &one->u.append, w->now_s), 0);
		w->last = one->u.append.cursor;
		hold(w, one);
	}
	store_sqlite.rollback(w->be);
	free_group(w);
	check_reads(w, w->be);
	check_copy(w);
	/* Channel 77 is as unknown as before. */
	assert_int_equal(store_sqlite.begin(w->be), 0);
	op->u.append.members[1].name.ptr = NULL;
	assert_int_equal(
	    store_sqlite.append(w->be, &op->u.append, w->now_s), ERR_NOTFOUND);
	store_sqlite.rollback(w->be);
	store_op_free(&op);
	group(w, 100, 0);
	check_reads(w, w->be);
	check_copy(w);
}

/* Promise: the WAL does not grow without bound. */
static void
test_wal_bound(void **state)
{
	struct world *w = *state;
	struct stat st;
	char wal[100];
	off_t most = 0;

	(void)snprintf(wal, sizeof(wal), "%s-wal", w->path);
	for (int i = 0; i < 300; i++) {
		struct store_op *op;
		uint64_t reserved;
		char body[100000];

		memset(body, 'x', sizeof(body));
		op = store_op_append(
		    msg_new(body, sizeof(body), NULL, NULL, EPOCH + 60), 1);
		op->u.append.members[0] = (struct store_member){
			.channel = 1,
			.name = { "a", 1 },
		};
		assert_int_equal(store_sqlite.begin(w->be), 0);
		assert_int_equal(
		    store_sqlite.append(w->be, &op->u.append, w->now_s), 0);
		assert_int_equal(
		    store_sqlite.commit(w->be, w->now_s, &reserved), 0);
		store_op_free(&op);
		(void)tidy(w);
		assert_int_equal(stat(wal, &st), 0);
		most = MAX_OF(most, st.st_size);
	}
	assert_true(most < 20 << 20);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_round, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(
		    test_expiry, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(
		    test_buckets, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(
		    test_purge, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(
		    test_purge_keeps_up, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(
		    test_rollback, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(
		    test_wal_bound, world_setup, world_teardown),
	};

	return cmocka_run_group_tests_name("store_upkeep", tests, NULL, NULL);
}
