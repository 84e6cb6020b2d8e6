/*
 * store/store_file.c - one file, one process, one connection.
 *
 * Two connections that write or checkpoint are what SQLite's WAL-reset bug
 * (before 3.51.3) needs to damage a file, so there is exactly one, and:
 *  - `<path>.lock` is locked for as long as the process lives.  It is never
 *    unlinked: a lock on an unlinked file would keep nobody out;
 *  - locking_mode=EXCLUSIVE keeps any other SQLite program out as well.  It
 *    also puts the WAL's index into plain memory, so nothing is mapped that
 *    a full disk could take away under us.
 * The connection checkpoints when store_gc.c says so, never by itself.
 */
#include "store/store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "store/store_schema.h"
#include "store/store_sqlite_priv.h"
#include "store/store_wal.h"

#define FILE_MODE 0640
#define PAGE_SIZE 8192
#define CACHE_KIB 65536
#define WAL_LIMIT_BYTES ((uint64_t)64 << 20) /* kept after a checkpoint */

static int
file_fail(const char *path, const char *doing, int sys)
{
	log_at(LOG_ERROR, "database %s: cannot %s: %s", path, doing,
	    strerror(sys));
	switch (sys) {
	case ENOSPC:
	case EDQUOT:
		return ERR_FULL;
	case EIO:
		return ERR_IO;
	case ENOMEM:
		return ERR_NOMEM;
	default:
		return ERR_ACCESS; /* permissions, or no such folder */
	}
}

static int
sq_lock(struct sq *sq)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char *path;

	if (asprintf(&path, "%s.lock", sq->path) < 0)
		return ERR_NOMEM;
	sq->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
	free(path);
	if (sq->lock_fd < 0)
		return file_fail(sq->path, "make its lock file", errno);
	if (fcntl(sq->lock_fd, F_OFD_SETLK, &whole) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return file_fail(sq->path, "lock it", errno);
	log_at(
	    LOG_ERROR, "database %s: is in use by another process", sq->path);
	return ERR_LOCKED;
}

/* SQLite makes its files with the mode of the first, so that is ours. */
static int
sq_touch(struct sq *sq)
{
	int fd = open(sq->path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);

	if (fd < 0)
		return file_fail(sq->path, "open it for writing", errno);
	(void)close(fd);
	return 0;
}

/* An error of opening: said once, in words. */
static int
sq_refuse(struct sq *sq, int code)
{
	int err = sqlite_err(code);

	switch (err) {
	case ERR_LOCKED:
		log_at(LOG_ERROR, "database %s: is in use by another program",
		    sq->path);
		break;
	case ERR_CORRUPT:
		log_at(LOG_ERROR,
		    "database %s: is damaged, or no database: "
		    "%s; " DAMAGE_ADVICE,
		    sq->path, sqlite3_errmsg(sq->db));
		break;
	default:
		log_at(LOG_ERROR, "database %s: cannot be opened: %s", sq->path,
		    sqlite3_errmsg(sq->db));
		break;
	}
	return err != 0 ? err : ERR_IO;
}

static int PRINTF_LIKE(2, 3) sq_pragma(struct sq *sq, const char *fmt, ...)
{
	char sql[128];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(sql, sizeof(sql), fmt, ap);
	va_end(ap);
	return sqlite3_exec(sq->db, sql, NULL, NULL, NULL);
}

static int
sq_connect(struct sq *sq)
{
	int code = sqlite3_open_v2(sq->path, &sq->db,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
		SQLITE_OPEN_PRIVATECACHE,
	    sq_vfs());

	if (sq->db == NULL)
		return ERR_NOMEM;
	(void)sqlite3_extended_result_codes(sq->db, 1);
	/* The checkpoint at the end is ours; after a failed fsync, none. */
	(void)sqlite3_db_config(
	    sq->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (code == SQLITE_OK)
		code = sq_pragma(sq, "PRAGMA locking_mode = EXCLUSIVE");
	if (code == SQLITE_OK)
		code = sq_pragma(sq, "PRAGMA page_size = %d", PAGE_SIZE);
	if (code == SQLITE_OK)
		code = sq_pragma(sq, "PRAGMA mmap_size = 0");
	if (code == SQLITE_OK)
		code = sq_pragma(sq, "PRAGMA cache_size = -%d", CACHE_KIB);
	return code == SQLITE_OK ? 0 : sq_refuse(sq, code);
}

static int
sq_wal_cb(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct sq *sq = arg;

	(void)db;
	(void)name;
	sq->wal_pages = pages;
	return SQLITE_OK;
}

/* What is set once the file is known to be ours. */
static int
sq_configure(struct sq *sq, const struct store_config *cfg)
{
	uint64_t pages;
	int code = sq_pragma(sq, "PRAGMA journal_mode = WAL");

	if (code == SQLITE_OK)
		code = sq_pragma(sq, "PRAGMA synchronous = FULL");
	if (code == SQLITE_OK)
		code = sq_pragma(sq, "PRAGMA journal_size_limit = %llu",
		    (unsigned long long)WAL_LIMIT_BYTES);
	/* Zeroing freed pages would write them once more. */
	if (code == SQLITE_OK)
		code = sq_pragma(sq, "PRAGMA secure_delete = FAST");
	if (code == SQLITE_OK && cfg->max_bytes != 0) {
		pages = cfg->max_bytes / (uint64_t)sq->page_size;
		pages = MIN_OF(MAX_OF(pages, 1), 1073741823);
		code = sq_pragma(sq, "PRAGMA max_page_count = %llu",
		    (unsigned long long)pages);
	}
	(void)sqlite3_wal_autocheckpoint(sq->db, 0);
	(void)sqlite3_wal_hook(sq->db, sq_wal_cb, sq);
	return code == SQLITE_OK ? 0 : sq_refuse(sq, code);
}

static int
sq_get_page_size(struct sq *sq)
{
	sqlite3_stmt *st = NULL;
	int code =
	    sqlite3_prepare_v2(sq->db, "PRAGMA page_size", -1, &st, NULL);

	if (code == SQLITE_OK && (code = sqlite3_step(st)) == SQLITE_ROW) {
		sq->page_size = sqlite3_column_int(st, 0);
		code = SQLITE_OK;
	}
	(void)sqlite3_finalize(st);
	return code == SQLITE_OK ? 0 : sq_refuse(sq, code);
}

int
sq_sync_folder(const char *path)
{
	char *copy = strdup(path); /* dirname() cuts it */
	int fd, failed, why;

	if (copy == NULL)
		return -1;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	if (fd < 0)
		return -1;
	failed = fsync(fd);
	why = errno;
	(void)close(fd);
	errno = why;
	return failed;
}

/*
 * The names of the files have to survive as well.  SQLite syncs the folder
 * when it makes the WAL, but makes nothing of it when that fails.  A folder
 * that we may not open, or whose file system knows no such thing, is none
 * of our making.
 */
static int
sq_sync_names(struct sq *sq)
{
	if (sq->sync == STORE_SYNC_OFF || sq_sync_folder(sq->path) == 0 ||
	    errno == EACCES || errno == EINVAL)
		return 0;
	(void)file_fail(sq->path, "sync its folder", errno);
	return ERR_FSYNC;
}

/* Is it writable?  Only a write tells: rights, a full or read-only disk. */
static int
sq_try_write(struct sq *sq)
{
	int code = sqlite3_exec(sq->db,
	    "BEGIN IMMEDIATE;"
	    "UPDATE state SET published = published; COMMIT",
	    NULL, NULL, NULL);

	return code == SQLITE_OK ? 0 : sq_refuse(sq, code);
}

static int
sq_open_file(struct sq *sq, const struct store_config *cfg)
{
	int err, code;

	err = sq_lock(sq);
	if (err == 0)
		err = sq_touch(sq);
	if (err == 0 && !wal_whole(sq->path))
		sq->stats->corrupt++;
	if (err == 0)
		err = sq_connect(sq);
	if (err == 0)
		err = schema_open(sq->db, sq->path);
	if (err == 0)
		err = sq_get_page_size(sq);
	if (err == 0)
		err = sq_configure(sq, cfg);
	if (err == 0)
		err = sq_sync_names(sq);
	if (err == 0)
		err = sq_try_write(sq);
	if (err != 0)
		return err;
	code = stmts_prepare(&sq->st, sq->db);
	return code == SQLITE_OK ? 0 : sq_refuse(sq, code);
}

static void
sq_free_chans(struct sq *sq)
{
	struct chan *c;

	for (size_t at = 0; (c = map_walk(&sq->chans, &at)) != NULL;) {
		tail_release(&c->tail);
		free(c);
	}
	map_release(&sq->chans);
	while (sq->n_dropped > 0) {
		c = sq->dropped[--sq->n_dropped];
		tail_release(&c->tail);
		free(c);
	}
	free(sq->dropped);
}

static void
sq_free(struct sq *sq)
{
	sq_backup_abort(sq);
	sq_expiry_release(&sq->expiry);
	stmts_release(&sq->st);
	(void)sqlite3_close(sq->db);
	if (sq->lock_fd >= 0)
		(void)close(sq->lock_fd);
	sq_free_chans(sq);
	free(sq->changes.at);
	free(sq->removals.at);
	free(sq->tailed.at);
	free(sq->round.at);
	free(sq->buckets.at);
	free(sq->trims.chans.at);
	free(sq->trims.rows.at);
	sq_add_release(sq);
	free(sq->path);
	free(sq);
}

int
sq_open(const struct store_config *cfg, struct store_stats *stats, void **be)
{
	struct sq *sq = calloc(1, sizeof(*sq));
	int err;

	if (sq == NULL)
		return ERR_NOMEM;
	sq->magic = SQ_MAGIC;
	sq->lock_fd = -1;
	sq->checkpoint_s = -1;
	sq->stats = stats;
	sq->sync = cfg->sync;
	sq->level = STORE_SYNC_FULL; /* until the first group */
	sq->wall = cfg->wall;
	sq->wall_arg = cfg->wall_arg;
	map_init(&sq->chans);
	sq_expiry_init(&sq->expiry);
	sq->path = strdup(cfg->path);
	err = sq->path != NULL ? sq_open_file(sq, cfg) : ERR_NOMEM;
	if (err != 0) {
		sq_free(sq);
		return err;
	}
	*be = sq;
	return 0;
}

/*
 * What was reserved and not used is given back, so that a restart continues
 * at the clock.  Positions that left are message cursors, or the beginning
 * of a second that the clock had reached; should the clock have been set
 * back since, the reservation stands.
 */
static void
sq_settle(struct sq *sq, int64_t now_s)
{
	sqlite3_stmt *st = sq->st.at[STMT_STATE_SET];
	uint64_t used = sq->state.reserved;
	int code;

	if (now_s >= sq->clock_s)
		used = MAX_OF(sq->last, cursor_make((uint64_t)now_s, 0));
	used = MIN_OF(used, sq->state.reserved);
	STMT_BIND(st, used, sq->state.indexed, sq->state.horizon,
	    sq->state.next_channel,
	    sq->state.published - sq->state.loose[0] - sq->state.loose[1]);
	code = stmt_run(st);
	if (code != SQLITE_OK)
		(void)sq_error(sq, code, "write the state");
}

/* All into the database, so that its file alone is the whole. */
static int
sq_finish(struct sq *sq, int64_t now_s)
{
	int err = sq_index_all(sq), code;

	if (err != 0)
		return err;
	if (sq_trim_all(sq) != 0)
		log_at(LOG_NOTICE,
		    "database %s: what channels had beyond their cap is "
		    "deleted later",
		    sq->path);
	if (sq->failed == 0)
		sq_settle(sq, now_s);
	if (sq->failed != 0) /* nothing that a failed sync may have spoilt */
		return sq->failed;
	err = sq_sync_for(sq, SQ_CHECKPOINT);
	if (err != 0)
		return err;
	code = sqlite3_wal_checkpoint_v2(
	    sq->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	return code == SQLITE_OK ? 0 : sq_error(sq, code, "checkpoint");
}

int
sq_close(void **be)
{
	struct sq *sq;
	int failed;

	OBJ_CAST(sq, *be, SQ_MAGIC);
	*be = NULL;
	/* What fails is in the log, and in the WAL. */
	if (sq->loaded && sq->failed == 0)
		(void)sq_finish(sq, sq->wall(sq->wall_arg));
	failed = sq->failed;
	sq_free(sq);
	return failed;
}
