/*
 * tests/contract/test_store_vfs.c - what the VFS promises that makes one write
 * of neighbours: fewer writes, and nothing of what SQLite believes to be in a
 * file is missing there.
 *
 * SQLite's own connection writes through it.  After each step the files are
 * copied as they are, which is what a kill would leave, and the copy is read
 * by the default VFS.
 */
#include "fault_vfs.h"

#include "base/base.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store_sqlite_priv.h"

#define FILE_BYTES_MAX (32 << 20)

struct world {
	char folder[64], path[80], copy[80];
	sqlite3 *db;
	int rows; /* committed */
};

static int
run(struct world *w, const char *sql)
{
	return sqlite3_exec(w->db, sql, NULL, NULL, NULL);
}

static void
must_run(struct world *w, const char *sql)
{
	assert_int_equal(run(w, sql), SQLITE_OK);
}

static void
world_open(struct world *w, const char *sync)
{
	char sql[200];

	assert_int_equal(
	    sqlite3_open_v2(w->path, &w->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, sq_vfs()),
	    SQLITE_OK);
	(void)snprintf(sql, sizeof(sql),
	    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA page_size = 8192;"
	    "PRAGMA journal_mode = WAL; PRAGMA synchronous = %s",
	    sync);
	must_run(w, sql);
	(void)sqlite3_wal_autocheckpoint(w->db, 0);
	(void)sqlite3_db_config(
	    w->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	must_run(w, "CREATE TABLE t (i INTEGER PRIMARY KEY, b BLOB)");
}

static int
world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	(void)snprintf(
	    w->folder, sizeof(w->folder), "/tmp/test_store_vfs.XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	(void)snprintf(w->path, sizeof(w->path), "%s/db", w->folder);
	(void)snprintf(w->copy, sizeof(w->copy), "%s/copy", w->folder);
	fault_install();
	*state = w;
	return 0;
}

static void
remove_all(const char *path)
{
	static const char *const suffix[] = { "", "-wal", "-shm", "-journal" };
	char name[100];

	for (size_t i = 0; i < COUNT_OF(suffix); i++) {
		(void)snprintf(name, sizeof(name), "%s%s", path, suffix[i]);
		(void)unlink(name);
	}
}

static int
world_teardown(void **state)
{
	struct world *w = *state;

	assert_int_equal(sqlite3_close(w->db), SQLITE_OK);
	fault_remove();
	remove_all(w->path);
	remove_all(w->copy);
	(void)rmdir(w->folder);
	free(w);
	return 0;
}

static void
copy_file(const char *from, const char *to)
{
	static char bytes[FILE_BYTES_MAX];
	int in = open(from, O_RDONLY);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n;

	assert_true(in >= 0 && out >= 0);
	n = read(in, bytes, sizeof(bytes));
	assert_true(n >= 0 && (size_t)n < sizeof(bytes));
	assert_int_equal(write(out, bytes, (size_t)n), n);
	(void)close(in);
	(void)close(out);
}

static int
ask(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st = NULL;
	int number;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	number = sqlite3_column_int(st, 0);
	(void)sqlite3_finalize(st);
	return number;
}

static int
count_rows(sqlite3 *db)
{
	return ask(db, "SELECT count(*) FROM t");
}

/* What a kill would leave now, with the WAL or without it. */
static void
check_copy(struct world *w, bool with_wal)
{
	char wal[100], copy_wal[100];
	sqlite3 *db = NULL;

	remove_all(w->copy);
	(void)snprintf(wal, sizeof(wal), "%s-wal", w->path);
	(void)snprintf(copy_wal, sizeof(copy_wal), "%s-wal", w->copy);
	copy_file(w->path, w->copy);
	if (with_wal)
		copy_file(wal, copy_wal);
	assert_int_equal(sqlite3_open_v2(w->copy, &db, SQLITE_OPEN_READWRITE,
			     sqlite3_vfs_find(NULL)->zName),
	    SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE",
			     NULL, NULL, NULL),
	    SQLITE_OK);
	assert_int_equal(count_rows(db), w->rows);
	assert_int_equal(ask(db,
			     "SELECT count(*) FROM pragma_integrity_check"
			     " WHERE integrity_check = 'ok'"),
	    1);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* n rows of 1 KiB in one transaction that reads them again: its end. */
static int
insert(struct world *w, int n, const char *end)
{
	char sql[200];
	int code;

	(void)snprintf(sql, sizeof(sql),
	    "BEGIN; WITH RECURSIVE n(i) AS"
	    " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
	    " INSERT INTO t (b) SELECT randomblob(1024) FROM n;"
	    "SELECT sum(length(b)) FROM t; %s",
	    n, end);
	code = run(w, sql);
	if (code == SQLITE_OK && strcmp(end, "COMMIT") == 0)
		w->rows += n;
	if (code != SQLITE_OK && sqlite3_get_autocommit(w->db) == 0)
		must_run(w, "ROLLBACK");
	return code;
}

static int
checkpoint(struct world *w)
{
	return sqlite3_wal_checkpoint_v2(
	    w->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static off_t
size_of(const char *path, const char *suffix)
{
	char name[100];
	struct stat st;

	(void)snprintf(name, sizeof(name), "%s%s", path, suffix);
	assert_int_equal(stat(name, &st), 0);
	return st.st_size;
}

/* Promise: a group's frames are two writes, with the last frame's head and its
 * page, as long as they are not beyond the bound. */
static void
test_group(void **state)
{
	struct world *w = *state;
	int before;

	world_open(w, "FULL");
	assert_int_equal(insert(w, 1, "COMMIT"), SQLITE_OK);
	before = writes;
	assert_int_equal(insert(w, 50, "COMMIT"), SQLITE_OK);
	assert_int_equal(writes - before, 2);
	before = writes;
	assert_int_equal(insert(w, 1, "COMMIT"), SQLITE_OK);
	assert_true(writes - before <= 2);
	check_copy(w, true);
}

/* Promise: what is committed is in the file, synced or not, however many
 * pages it has and whatever was rolled back or spilled before. */
static void
test_nothing_missing(void **state)
{
	static const char *const levels[] = { "FULL", "NORMAL", "OFF" };
	static const int sizes[] = { 1, 7, 8, 50, 77, 78, 79, 80, 300, 1, 2 };
	struct world *w = *state;

	world_open(w, "OFF");
	for (size_t level = 0; level < COUNT_OF(levels); level++) {
		char sql[100];

		(void)snprintf(sql, sizeof(sql),
		    "PRAGMA synchronous = %s; PRAGMA cache_size = %d",
		    levels[level], level == 1 ? 10 : 2000);
		must_run(w, sql);
		for (size_t i = 0; i < COUNT_OF(sizes); i++) {
			assert_int_equal(
			    insert(w, sizes[i], "COMMIT"), SQLITE_OK);
			check_copy(w, true);
			assert_int_equal(
			    insert(w, sizes[i], "ROLLBACK"), SQLITE_OK);
			check_copy(w, true);
			/* The spilled pages are written twice. */
			must_run(w, "UPDATE t SET b = randomblob(1000)");
			check_copy(w, true);
		}
		assert_int_equal(sqlite3_wal_checkpoint_v2(w->db, NULL,
				     SQLITE_CHECKPOINT_PASSIVE, NULL, NULL),
		    SQLITE_OK);
		check_copy(w, true);
	}
}

/* Promise: after a checkpoint the database has everything, without the WAL,
 * and was written in few pieces. */
static void
test_checkpoint(void **state)
{
	struct world *w = *state;
	int before, pages, done;

	world_open(w, "NORMAL");
	for (int i = 0; i < 5; i++)
		assert_int_equal(insert(w, 400, "COMMIT"), SQLITE_OK);
	before = writes;
	assert_int_equal(sqlite3_wal_checkpoint_v2(w->db, NULL,
			     SQLITE_CHECKPOINT_PASSIVE, &pages, &done),
	    SQLITE_OK);
	assert_true(pages > 250);
	assert_int_equal(done, pages);
#ifdef SQLITE_FCNTL_CKPT_START
	assert_true(writes - before < pages / 8);
#endif
	check_copy(w, false);
	/* The WAL begins anew. */
	before = (int)size_of(w->path, "-wal");
	assert_int_equal(insert(w, 1, "COMMIT"), SQLITE_OK);
	assert_int_equal(size_of(w->path, "-wal"), before);
	check_copy(w, true);
}

/* Promise: a write that fails, fails the transaction or the checkpoint it
 * belongs to, and nothing that was committed before or is after. */
static void
test_failed(void **state)
{
	static const int sizes[] = { 1, 50, 300 };
	struct world *w = *state;

	world_open(w, "OFF");
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		assert_int_equal(insert(w, sizes[i], "COMMIT"), SQLITE_OK);
		fault_write = SQLITE_FULL;
		assert_int_equal(insert(w, sizes[i], "COMMIT"), SQLITE_FULL);
		assert_int_equal(sqlite3_wal_checkpoint_v2(w->db, NULL,
				     SQLITE_CHECKPOINT_PASSIVE, NULL, NULL),
		    SQLITE_FULL);
		fault_write = 0;
		check_copy(w, true);
		assert_int_equal(insert(w, sizes[i], "COMMIT"), SQLITE_OK);
		check_copy(w, true);
		assert_int_equal(sqlite3_wal_checkpoint_v2(w->db, NULL,
				     SQLITE_CHECKPOINT_PASSIVE, NULL, NULL),
		    SQLITE_OK);
		check_copy(w, false);
	}
}

/* n rows, or a checkpoint, while the at-th write fails.  Was there one? */
static bool
try_failing(struct world *w, int n, int at)
{
	bool reached;
	int code;

	fault_write_n = at;
	fault_write = SQLITE_FULL;
	code = n != 0 ? insert(w, n, "COMMIT") : checkpoint(w);
	reached = fault_write == 0;
	fault_write_n = 0;
	fault_write = 0;
	assert_int_equal(code == SQLITE_OK, !reached);
	return reached;
}

/* Promise: whichever write fails, who asked for it hears of it, and what is
 * committed is in the file, and nothing else. */
static void
test_failed_once(void **state)
{
	static const int sizes[] = { 1, 50, 300 };
	struct world *w = *state;

	world_open(w, "OFF");
	for (size_t i = 0; i < 2 * COUNT_OF(sizes); i++) {
		must_run(w,
		    i % 2 != 0 ? "PRAGMA cache_size = 10"
			       : "PRAGMA cache_size = 2000");
		for (int at = 1; try_failing(w, sizes[i / 2], at); at++)
			check_copy(w, true);
		check_copy(w, true);
		for (int at = 1; try_failing(w, 0, at); at++)
			check_copy(w, true);
		check_copy(w, false);
	}
}

/* Statements that write much and look at what they wrote, of which the at-th
 * write fails; then the end of the transaction all the same.  Was there one? */
static bool
go_on(struct world *w, int at)
{
	bool reached;

	must_run(w, "BEGIN; UPDATE t SET b = randomblob(1000) WHERE i % 3 = 0");
	fault_write_n = at;
	fault_write = SQLITE_FULL;
	(void)run(w,
	    "UPDATE OR REPLACE t SET b = randomblob(900 + i % 200)"
	    " WHERE i * 7 % 5 < 3");
	(void)run(w,
	    "UPDATE OR REPLACE t SET b ="
	    " (SELECT b FROM t AS x WHERE x.i = t.i * 17 % 300) || x'00'"
	    " WHERE i % 2");
	reached = fault_write == 0;
	fault_write_n = 0;
	fault_write = 0;
	if (sqlite3_get_autocommit(w->db) == 0)
		(void)run(w, "COMMIT");
	if (sqlite3_get_autocommit(w->db) == 0)
		must_run(w, "ROLLBACK");
	return reached;
}

/* Promise: who goes on in spite of a failure may lose what he did, but what he
 * then sees is what a kill leaves. */
static void
test_going_on(void **state)
{
	struct world *w = *state;

	world_open(w, "OFF");
	must_run(w, "CREATE UNIQUE INDEX u ON t (substr(b, 1, 8))");
	assert_int_equal(insert(w, 300, "COMMIT"), SQLITE_OK);
	for (int cache = 3; cache < 40; cache += 4) {
		char sql[100];
		bool reached = true;

		(void)snprintf(
		    sql, sizeof(sql), "PRAGMA cache_size = %d", cache);
		must_run(w, sql);
		for (int at = 1; reached; at += 1 + at / 8) {
			reached = go_on(w, at);
			w->rows = count_rows(w->db);
			check_copy(w, true);
			assert_int_equal(checkpoint(w), SQLITE_OK);
		}
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_group, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(
		    test_nothing_missing, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(
		    test_checkpoint, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(
		    test_failed, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(
		    test_failed_once, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(
		    test_going_on, world_setup, world_teardown),
	};

	return cmocka_run_group_tests_name("store_vfs", tests, NULL, NULL);
}
