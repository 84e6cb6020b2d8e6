/*
 * store/store_vfs.c - neighbouring writes are one.
 *
 * SQLite writes a frame of the WAL in two pieces, and a checkpoint page by
 * page: for a group of messages some twenty system calls where one does.  This
 * VFS stands on the default one and holds back what is followed by its
 * neighbour, up to a bound.
 *
 * Nothing that SQLite believes to be in a file may be missing there when the
 * process is killed, so what is held is told from what is not:
 *  - of the WAL all up to the frame that commits.  With that frame's head
 *    everything is written, and then its page.  Frames before it mean nothing
 *    to whoever reads the file;
 *  - of the database what a checkpoint copies.  The WAL, which has it as well,
 *    is begun anew only after the checkpoint has cut and synced the file.
 * Whatever else is done to a file, what it holds is written first, and if
 * that fails, it is that call which fails, and the bytes are dropped: they belong
 * to the same transaction or checkpoint.  (Or to one that was rolled back or
 * failed before, and are not wanted any more; no call tells of that.)
 *
 * It rests on how store_sqlite.c uses SQLite: one connection, so that a
 * checkpoint that succeeds is a whole one; and a transaction in which anything
 * failed is rolled back as a whole.
 */
#include "store/store_sqlite_priv.h"

#define HELD_BYTES (96 << 10) /* SQLite's VFS takes less than 128 KiB at once */
/* The WAL format (sqlite.org/fileformat2.html, 4.1): a frame's head, and in it
 * the pages of the database, if the frame commits. */
#define FRAME_HEAD 24
#define FRAME_COMMIT 4

struct held_file {
	sqlite3_file base;
	sqlite3_file *real;
	bool wal;
	bool checkpoint; /* one is writing this database */
	unsigned char *bytes;
	int len;
	sqlite3_int64 at; /* of the first held byte */
};

static sqlite3_vfs held_vfs;
static sqlite3_vfs *real_vfs;

static struct held_file *
held(sqlite3_file *f)
{
	return (struct held_file *)f;
}

/* Write what is held, if anything. */
static int
held_write(struct held_file *h)
{
	int len = h->len;

	h->len = 0;
	return len == 0
	    ? SQLITE_OK
	    : h->real->pMethods->xWrite(h->real, h->bytes, len, h->at);
}

static bool
held_follows(const struct held_file *h, int n, sqlite3_int64 at)
{
	return h->len != 0 && h->at + h->len == at && n <= HELD_BYTES - h->len;
}

/* May this be held, with nothing held before it? */
static bool
held_begins(const struct held_file *h, int n)
{
	return h->wal ? n == FRAME_HEAD : h->checkpoint && n <= HELD_BYTES;
}

static bool
frame_commits(const unsigned char *head)
{
	static const unsigned char none[4];

	return memcmp(head + FRAME_COMMIT, none, sizeof(none)) != 0;
}

static int
vfs_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	struct held_file *h = held(f);
	int code;

	if (!held_follows(h, n, at)) {
		code = held_write(h);
		if (code != SQLITE_OK)
			return code;
		if (!held_begins(h, n))
			return h->real->pMethods->xWrite(h->real, from, n, at);
		h->at = at;
	}
	memcpy(h->bytes + h->len, from, (size_t)n);
	h->len += n;
	return h->wal && n == FRAME_HEAD && frame_commits(from) ? held_write(h)
								: SQLITE_OK;
}

static int
vfs_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	int code = held_write(held(f));
	sqlite3_file *real = held(f)->real;

	/* After a read that finds the disk full SQLite would keep what the
	 * transaction did before. */
	if (code == SQLITE_FULL)
		code = SQLITE_IOERR_WRITE;
	return code != SQLITE_OK ? code
				 : real->pMethods->xRead(real, to, n, at);
}

static int
vfs_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	int code = held_write(held(f));
	sqlite3_file *real = held(f)->real;

	return code != SQLITE_OK ? code : real->pMethods->xTruncate(real, size);
}

static int
vfs_sync(sqlite3_file *f, int flags)
{
	int code = held_write(held(f));
	sqlite3_file *real = held(f)->real;

	return code != SQLITE_OK ? code : real->pMethods->xSync(real, flags);
}

static int
vfs_size(sqlite3_file *f, sqlite3_int64 *size)
{
	int code = held_write(held(f));
	sqlite3_file *real = held(f)->real;

	return code != SQLITE_OK ? code : real->pMethods->xFileSize(real, size);
}

static int
vfs_control(sqlite3_file *f, int op, void *arg)
{
	struct held_file *h = held(f);

#ifdef SQLITE_FCNTL_CKPT_START /* SQLite 3.26 has not; then none is held */
	if (op == SQLITE_FCNTL_CKPT_START)
		h->checkpoint = true;
	else if (op == SQLITE_FCNTL_CKPT_DONE)
		h->checkpoint = false;
#endif
	return h->real->pMethods->xFileControl(h->real, op, arg);
}

static int
vfs_close(sqlite3_file *f)
{
	struct held_file *h = held(f);
	int failed = held_write(h);
	int code = h->real->pMethods->xClose(h->real);

	sqlite3_free(h->real);
	sqlite3_free(h->bytes);
	return failed != SQLITE_OK ? failed : code;
}

static int
vfs_lock(sqlite3_file *f, int how)
{
	return held(f)->real->pMethods->xLock(held(f)->real, how);
}

static int
vfs_unlock(sqlite3_file *f, int how)
{
	return held(f)->real->pMethods->xUnlock(held(f)->real, how);
}

static int
vfs_reserved(sqlite3_file *f, int *out)
{
	return held(f)->real->pMethods->xCheckReservedLock(held(f)->real, out);
}

static int
vfs_sector(sqlite3_file *f)
{
	return held(f)->real->pMethods->xSectorSize(held(f)->real);
}

static int
vfs_device(sqlite3_file *f)
{
	return held(f)->real->pMethods->xDeviceCharacteristics(held(f)->real);
}

/* Version 1, without shared memory and mappings: there is one connection, it
 * keeps the WAL's index in plain memory and maps nothing (store_file.c). */
static const sqlite3_io_methods held_methods = {
	.iVersion = 1,
	.xClose = vfs_close,
	.xRead = vfs_read,
	.xWrite = vfs_write,
	.xTruncate = vfs_truncate,
	.xSync = vfs_sync,
	.xFileSize = vfs_size,
	.xLock = vfs_lock,
	.xUnlock = vfs_unlock,
	.xCheckReservedLock = vfs_reserved,
	.xFileControl = vfs_control,
	.xSectorSize = vfs_sector,
	.xDeviceCharacteristics = vfs_device,
};

static int
held_open(struct held_file *h, const char *name, int flags, int *out)
{
	h->wal = (flags & SQLITE_OPEN_WAL) != 0;
	h->real = sqlite3_malloc(real_vfs->szOsFile);
	h->bytes = sqlite3_malloc(HELD_BYTES);
	if (h->real == NULL || h->bytes == NULL)
		return SQLITE_NOMEM;
	memset(h->real, 0, (size_t)real_vfs->szOsFile);
	return real_vfs->xOpen(real_vfs, name, h->real, flags, out);
}

static int
vfs_open(
    sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct held_file *h = held(f);
	int code;

	(void)vfs;
	*h = (struct held_file){ .base.pMethods = NULL };
	code = held_open(h, name, flags, out);
	if (code == SQLITE_OK) {
		h->base.pMethods = &held_methods;
		return SQLITE_OK;
	}
	sqlite3_free(h->real);
	sqlite3_free(h->bytes);
	return code;
}

const char *
sq_vfs(void)
{
	/* Again, should another have become the default since. */
	(void)sqlite3_vfs_unregister(&held_vfs);
	real_vfs = sqlite3_vfs_find(NULL);
	if (real_vfs == NULL)
		return NULL;
	held_vfs = *real_vfs;
	held_vfs.zName = "holdfast";
	held_vfs.pNext = NULL;
	held_vfs.szOsFile = sizeof(struct held_file);
	held_vfs.xOpen = vfs_open;
	return sqlite3_vfs_register(&held_vfs, 0) == SQLITE_OK ? held_vfs.zName
							       : NULL;
}
