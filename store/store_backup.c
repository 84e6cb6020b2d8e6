/*
 * store/store_backup.c - a copy of the database while it is in use.
 *
 * SQLite copies pages from the one connection, so what is committed between
 * two slices is in the copy as well.  The copy grows as `<path>.part` and is
 * renamed when it is complete and synced; what stood at `path` before is
 * whole until then.
 */
#include "store/store_file.h"
#include "store/store_sqlite_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLICE_BYTES (2 << 20)
#define SYNC_BYTES (16 << 20) /* so that the last sync is short */

struct sq_backup {
	sqlite3 *to;
	sqlite3_backup *run; /* NULL: ended, see err */
	int fd;		     /* of the part, to sync it */
	char *path, *part;
	int unsynced;
	int err;
};

static void
backup_free(struct sq_backup **bp)
{
	struct sq_backup *b = *bp;

	*bp = NULL;
	if (b == NULL)
		return;
	(void)sqlite3_backup_finish(b->run);
	(void)sqlite3_close(b->to);
	if (b->fd >= 0) {
		(void)close(b->fd);
		if (b->err != 0)
			(void)unlink(b->part);
	}
	free(b->part);
	free(b->path);
	free(b);
}

static int
backup_error(const struct sq_backup *b, const char *doing, const char *why)
{
	log_at(LOG_ERROR, "backup %s: cannot %s: %s", b->path, doing, why);
	return errno == ENOSPC || errno == EDQUOT		   ? ERR_FULL
	    : errno == EACCES || errno == ENOENT || errno == EROFS ? ERR_ACCESS
								   : ERR_IO;
}

static bool
is_file(const char *path, const char *other)
{
	struct stat a, b;

	/* `other` may be a link: neither it nor its file may be replaced. */
	return lstat(path, &a) == 0 &&
	    ((lstat(other, &b) == 0 && a.st_dev == b.st_dev &&
		 a.st_ino == b.st_ino) ||
		(stat(other, &b) == 0 && a.st_dev == b.st_dev &&
		    a.st_ino == b.st_ino));
}

/* A file of the database that is being copied: its next start would find an
 * old copy in its place. */
static bool
is_ours(const struct sq *sq, const char *path)
{
	static const char *const ends[] = { "", "-wal", ".lock" };
	bool ours = false;

	for (size_t i = 0; i < COUNT_OF(ends) && !ours; i++) {
		char *name;

		if (asprintf(&name, "%s%s", sq->path, ends[i]) < 0)
			return true; /* not known: better no backup */
		ours = is_file(path, name);
		free(name);
	}
	return ours;
}

/*
 * What stands at `part` is the rest of a backup that a kill cut short, or
 * somebody's link in a folder that is everybody's: never write through it.
 */
static int
part_make(struct sq_backup *b)
{
	if (unlink(b->part) != 0 && errno != ENOENT)
		return -1;
	return open(b->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
}

static int
backup_open(struct sq *sq, struct sq_backup *b)
{
	if (is_ours(sq, b->path) || is_ours(sq, b->part)) {
		log_at(LOG_ERROR,
		    "backup %s: is a file of the database "
		    "itself",
		    b->path);
		return ERR_EXISTS;
	}
	b->fd = part_make(b);
	if (b->fd < 0)
		return backup_error(b, "make the file", strerror(errno));
	/* It is synced here, and thrown away should it not become whole. */
	if (sqlite3_open_v2(b->part, &b->to,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
		NULL) != SQLITE_OK ||
	    sqlite3_exec(b->to,
		"PRAGMA journal_mode = OFF;"
		"PRAGMA synchronous = OFF; PRAGMA cache_size = -1024",
		NULL, NULL, NULL) != SQLITE_OK ||
	    (b->run = sqlite3_backup_init(b->to, "main", sq->db, "main")) ==
		NULL)
		return backup_error(b, "open the file",
		    b->to != NULL ? sqlite3_errmsg(b->to) : "no memory");
	return 0;
}

int
sq_backup_start(void *be, const char *path)
{
	struct sq_backup *b;
	struct sq *sq;
	int err = ERR_NOMEM;

	OBJ_CAST(sq, be, SQ_MAGIC);
	if (sq->backup != NULL)
		return ERR_BUSY;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return ERR_NOMEM;
	b->fd = -1;
	b->path = strdup(path);
	if (b->path != NULL && asprintf(&b->part, "%s.part", path) < 0)
		b->part = NULL;
	if (b->part != NULL)
		err = backup_open(sq, b);
	if (err != 0) {
		b->err = err;
		backup_free(&b);
		return err;
	}
	sq->backup = b;
	return 0;
}

/* All pages are there: make the copy the file that was asked for. */
static int
backup_finish(struct sq_backup *b)
{
	int code = sqlite3_backup_finish(b->run);

	b->run = NULL;
	if (code == SQLITE_OK)
		code = sqlite3_close(b->to);
	if (code != SQLITE_OK)
		return backup_error(b, "finish", sqlite3_errmsg(b->to));
	b->to = NULL;
	if (fsync(b->fd) != 0 || rename(b->part, b->path) != 0 ||
	    sq_sync_folder(b->part) != 0)
		return backup_error(b, "finish", strerror(errno));
	log_at(LOG_NOTICE, "backup %s: done", b->path);
	return 0;
}

static int
backup_slice(struct sq *sq, struct sq_backup *b)
{
	int code = sqlite3_backup_step(b->run, SLICE_BYTES / sq->page_size);

	if (code == SQLITE_DONE)
		return backup_finish(b);
	if (code != SQLITE_OK) {
		errno = sqlite_err(code) == ERR_FULL ? ENOSPC : EIO;
		return backup_error(b, "copy", sqlite3_errstr(code));
	}
	b->unsynced += SLICE_BYTES;
	if (b->unsynced >= SYNC_BYTES) {
		b->unsynced = 0;
		if (fdatasync(b->fd) != 0)
			return backup_error(b, "sync", strerror(errno));
	}
	return 0;
}

int
sq_backup_step(struct sq *sq, int64_t now_s, struct store_op **out)
{
	struct sq_backup *b = sq->backup;

	(void)now_s;
	(void)out;
	if (b == NULL || b->run == NULL)
		return 0;
	b->err = backup_slice(sq, b);
	if (b->err != 0) {
		(void)sqlite3_backup_finish(b->run);
		b->run = NULL;
	}
	return 1;
}

bool
sq_backup_done(void *be, int *err)
{
	struct sq *sq;

	OBJ_CAST(sq, be, SQ_MAGIC);
	if (sq->backup == NULL || sq->backup->run != NULL)
		return false;
	*err = sq->backup->err;
	backup_free(&sq->backup);
	return true;
}

/* The store closes before the copy is whole. */
void
sq_backup_abort(struct sq *sq)
{
	if (sq->backup != NULL)
		sq->backup->err = ERR_CLOSED;
	backup_free(&sq->backup);
}
