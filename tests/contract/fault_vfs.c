/*
 * tests/contract/fault_vfs.c - only the methods that SQLite calls on a
 * database or WAL file.
 */
#include "fault_vfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

struct fault_file {
	sqlite3_file base;
	sqlite3_file *real;
};

_Atomic int fault_sync, fault_write, fault_write_n;
_Atomic int syncs, writes;

static sqlite3_vfs fault_vfs;
static sqlite3_vfs *real_vfs;

#define REAL(f) (((struct fault_file *)(f))->real)

static int
fault_close(sqlite3_file *f)
{
	int code = REAL(f)->pMethods->xClose(REAL(f));

	sqlite3_free(REAL(f));
	return code;
}

static int
fault_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	return REAL(f)->pMethods->xRead(REAL(f), to, n, at);
}

/* What this write ends with. */
static int
fault_next(void)
{
	int code = atomic_load(&fault_write);

	if (atomic_load(&fault_write_n) == 0)
		return code;
	if (atomic_fetch_sub(&fault_write_n, 1) > 1)
		return 0;
	atomic_store(&fault_write, 0);
	return code;
}

static int
fault_write_cb(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	int code = fault_next();

	atomic_fetch_add(&writes, 1);
	return code != 0 ? code
			 : REAL(f)->pMethods->xWrite(REAL(f), from, n, at);
}

static int
fault_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return REAL(f)->pMethods->xTruncate(REAL(f), size);
}

static int
fault_sync_cb(sqlite3_file *f, int flags)
{
	int code = atomic_load(&fault_sync);

	atomic_fetch_add(&syncs, 1);
	return code != 0 ? code : REAL(f)->pMethods->xSync(REAL(f), flags);
}

static int
fault_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return REAL(f)->pMethods->xFileSize(REAL(f), size);
}

static int
fault_lock(sqlite3_file *f, int how)
{
	return REAL(f)->pMethods->xLock(REAL(f), how);
}

static int
fault_unlock(sqlite3_file *f, int how)
{
	return REAL(f)->pMethods->xUnlock(REAL(f), how);
}

static int
fault_reserved(sqlite3_file *f, int *out)
{
	return REAL(f)->pMethods->xCheckReservedLock(REAL(f), out);
}

static int
fault_control(sqlite3_file *f, int op, void *arg)
{
	return REAL(f)->pMethods->xFileControl(REAL(f), op, arg);
}

static int
fault_sector(sqlite3_file *f)
{
	return REAL(f)->pMethods->xSectorSize(REAL(f));
}

static int
fault_device(sqlite3_file *f)
{
	return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f));
}

static const sqlite3_io_methods fault_methods = {
	.iVersion = 1,
	.xClose = fault_close,
	.xRead = fault_read,
	.xWrite = fault_write_cb,
	.xTruncate = fault_truncate,
	.xSync = fault_sync_cb,
	.xFileSize = fault_size,
	.xLock = fault_lock,
	.xUnlock = fault_unlock,
	.xCheckReservedLock = fault_reserved,
	.xFileControl = fault_control,
	.xSectorSize = fault_sector,
	.xDeviceCharacteristics = fault_device,
};

static int
fault_open(
    sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct fault_file *file = (struct fault_file *)f;
	int code;

	(void)vfs;
	file->real = sqlite3_malloc(real_vfs->szOsFile);
	memset(file->real, 0, (size_t)real_vfs->szOsFile);
	code = real_vfs->xOpen(real_vfs, name, file->real, flags, out);
	file->base.pMethods = code == SQLITE_OK ? &fault_methods : NULL;
	if (code != SQLITE_OK)
		sqlite3_free(file->real);
	return code;
}

void
fault_install(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	fault_vfs = *real_vfs;
	fault_vfs.zName = "fault";
	fault_vfs.pNext = NULL;
	fault_vfs.szOsFile = sizeof(struct fault_file);
	fault_vfs.xOpen = fault_open;
	assert_int_equal(sqlite3_vfs_register(&fault_vfs, 1), SQLITE_OK);
}

void
fault_remove(void)
{
	atomic_store(&fault_sync, 0);
	atomic_store(&fault_write, 0);
	atomic_store(&fault_write_n, 0);
	assert_int_equal(sqlite3_vfs_unregister(&fault_vfs), SQLITE_OK);
	assert_int_equal(sqlite3_vfs_register(real_vfs, 1), SQLITE_OK);
}
