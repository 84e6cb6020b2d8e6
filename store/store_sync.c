/*
 * store/store_sync.c - when the disk is waited for.
 *
 * full: each group's commit syncs the WAL.  Upkeep does not wait for that:
 * should power fail, it is lost from the WAL's end together with nothing else,
 * and done again; the next group's sync covers it.
 *
 * normal: whatever was committed is synced once a second.
 *
 * off: nobody waits, and the operating system writes when it likes.
 *
 * Whatever it is, two things are waited for, or a power cut could leave a file
 * that is no database: the WAL before and the database after a checkpoint, and
 * the WAL's new head before it is followed by frames.  With SQLite's own OFF
 * neither would be, so it is NORMAL there.
 */
#include "store/store_sqlite_priv.h"

static int
sync_set_level(struct sq *sq, enum store_sync level)
{
	static const char *const sql[] = {
		[STORE_SYNC_FULL] = "PRAGMA synchronous = FULL",
		[STORE_SYNC_NORMAL] = "PRAGMA synchronous = NORMAL",
		[STORE_SYNC_OFF] = "PRAGMA synchronous = OFF",
	};
	int code;

	if (sq->level == level)
		return 0;
	code = sqlite3_exec(sq->db, sql[level], NULL, NULL, NULL);
	if (code != SQLITE_OK)
		return sq_error(sq, code, "set synchronous");
	sq->level = level;
	return 0;
}

int
sq_sync_for(struct sq *sq, enum sq_work work)
{
	enum store_sync level = sq->sync;

	if (level == STORE_SYNC_FULL && work == SQ_UPKEEP)
		level = STORE_SYNC_NORMAL;
	/* No pages: the next commit begins the WAL. */
	if (level == STORE_SYNC_OFF &&
	    (work == SQ_CHECKPOINT || sq->wal_pages == 0))
		level = STORE_SYNC_NORMAL;
	return sync_set_level(sq, level);
}

/* A transaction would have to change something before SQLite syncs for it, so
 * the WAL's file is asked itself. */
static int
sync_wal(struct sq *sq)
{
	sqlite3_file *wal = NULL;
	int code = sqlite3_file_control(
	    sq->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);

	if (code == SQLITE_OK && wal->pMethods != NULL)
		code = wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
	if (code != SQLITE_OK) /* the connection does not know of it */
		log_at(LOG_ERROR, "database %s: sync: %s", sq->path,
		    sqlite3_errstr(code));
	return code == SQLITE_OK ? 0 : sq_error(sq, code, "sync the WAL");
}

int
sq_sync(struct sq *sq, int64_t now_s, struct store_op **out)
{
	int err;

	(void)out;
	if (sq->sync != STORE_SYNC_NORMAL || !sq->unsynced ||
	    sq->sync_s == now_s)
		return 0;
	sq->sync_s = now_s; /* one that fails is tried again, but not at once */
	err = sync_wal(sq);
	if (err != 0)
		return err;
	sq->unsynced = false;
	return 1;
}
