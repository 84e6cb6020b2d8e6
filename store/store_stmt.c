/*
 * store/store_stmt.c - every statement that runs after the log is open.
 *
 * They are prepared once and kept.  schema.sql says what the columns are.
 */
#include "store/store_stmt.h"

#include <errno.h>

static_assert(STMT_MANY == 8, "EIGHT");
#define EIGHT(row) \
	row ", " row ", " row ", " row ", " row ", " row ", " row ", " row

#define MESSAGE_ADD \
	" INTO message (cursor, expires, early, sum, shared, members," \
	" event_id, event_type, body, extra, floors) VALUES "
#define MESSAGE_ROW "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#define MEMBER_ADD " INTO member (bucket, channel, cursor, id, place) VALUES "
#define MEMBER_ROW "(?, ?, ?, ?, ?)"

static const char *const stmt_sql[STMT_COUNT] = {
	[STMT_BEGIN] = "BEGIN IMMEDIATE",
	[STMT_COMMIT] = "COMMIT",
	[STMT_ROLLBACK] = "ROLLBACK",
	[STMT_STATE_GET] =
	    "SELECT reserved, indexed, horizon, next_channel, published"
	    " FROM state",
	[STMT_STATE_SET] =
	    "UPDATE state SET reserved = ?, indexed = ?, horizon = ?,"
	    " next_channel = ?, published = ?",
	[STMT_MESSAGE_ADD] = "INSERT" MESSAGE_ADD MESSAGE_ROW,
	/* FAIL: what a failed one has done stays, until its transaction is
	 * rolled back.  To undo it alone SQLite would open a savepoint. */
	[STMT_MESSAGE_ADD_MANY] =
	    "INSERT OR FAIL" MESSAGE_ADD EIGHT(MESSAGE_ROW),
	[STMT_MESSAGE_GET] =
	    "SELECT expires, sum, shared, members, event_id, event_type, body,"
	    " extra, floors FROM message WHERE cursor = ?",
	/* What can be said without reading a body's pages: `early` and
	 * `shared`, being 0 or 1, stand in the row's header. */
	[STMT_MESSAGE_HEAD] = "SELECT expires, members, event_id, shared"
			      " FROM message WHERE cursor = ?",
	[STMT_MESSAGE_LAST] = "SELECT cursor, members, shared FROM message"
			      " ORDER BY cursor DESC LIMIT 1",
	[STMT_MESSAGE_SCAN] =
	    "SELECT expires, sum, shared, members, event_id, event_type, body,"
	    " extra, floors, cursor FROM message WHERE cursor > ?"
	    " ORDER BY cursor",
	[STMT_MESSAGE_EARLY] =
	    "SELECT expires, cursor, members, shared FROM message"
	    " WHERE early AND expires <= ? AND (expires, cursor) > (?, ?)"
	    " ORDER BY expires, cursor LIMIT ?",
	[STMT_MESSAGE_OLDEST] =
	    "SELECT expires, cursor, members, shared, early FROM message"
	    " WHERE cursor > ? ORDER BY cursor LIMIT ?",
	[STMT_MESSAGE_DELETE] = "DELETE FROM message WHERE cursor = ?",
	/* Another channel may still have it: then its expiry will do. */
	[STMT_MESSAGE_DELETE_SINGLE] =
	    "DELETE FROM message WHERE cursor = ? AND length(members) = 16",
	[STMT_MEMBER_ADD] = "INSERT" MEMBER_ADD MEMBER_ROW,
	[STMT_MEMBER_ADD_MANY] = "INSERT OR FAIL" MEMBER_ADD EIGHT(MEMBER_ROW),
	[STMT_MEMBER_BUCKET] = "SELECT bucket FROM member WHERE bucket >= ?"
			       " ORDER BY bucket LIMIT 1",
	[STMT_MEMBER_ALL] = "SELECT channel, cursor FROM member",
	[STMT_MEMBER_NEXT] =
	    "SELECT cursor FROM member"
	    " WHERE bucket = ? AND channel = ? AND cursor > ? ORDER BY cursor",
	[STMT_MEMBER_UP] = "SELECT cursor, id, place FROM member"
			   " WHERE bucket = ? AND channel = ? AND cursor > ?"
			   " ORDER BY cursor",
	[STMT_MEMBER_DOWN] = "SELECT cursor, id, place FROM member"
			     " WHERE bucket = ? AND channel = ? AND cursor <= ?"
			     " ORDER BY cursor DESC",
	[STMT_MEMBER_DELETE] =
	    "DELETE FROM member"
	    " WHERE bucket = ? AND channel = ? AND cursor = ?",
	[STMT_CHANNEL_ALL] =
	    "SELECT channel, name, last_id, last_cursor, indexed, stored"
	    " FROM channel",
	[STMT_CHANNEL_FLOORS] =
	    "SELECT channel, floor FROM channel WHERE floor > 0",
	/* By the names' index alone. */
	[STMT_CHANNEL_NAMES] =
	    "SELECT channel, name FROM channel ORDER BY name",
	[STMT_CHANNEL_BY_NAME] = "SELECT channel FROM channel WHERE name = ?",
	[STMT_CHANNEL_ADD] =
	    "INSERT INTO channel (channel, name, last_id, last_cursor,"
	    " indexed, stored, floor) VALUES (?, ?, 0, 0, 0, 0, 0)",
	[STMT_CHANNEL_SET] =
	    "UPDATE channel SET last_id = ?, last_cursor = ?, indexed = ?,"
	    " stored = ?, floor = ? WHERE channel = ?",
	[STMT_CHANNEL_DELETE] = "DELETE FROM channel WHERE channel = ?",
};

int
stmts_prepare(struct stmts *s, sqlite3 *db)
{
	int code = SQLITE_OK;

	for (int i = 0; i < STMT_COUNT && code == SQLITE_OK; i++)
		code = sqlite3_prepare_v3(db, stmt_sql[i], -1,
		    SQLITE_PREPARE_PERSISTENT, &s->at[i], NULL);
	return code;
}

void
stmts_release(struct stmts *s)
{
	for (int i = 0; i < STMT_COUNT; i++) {
		(void)sqlite3_finalize(s->at[i]);
		s->at[i] = NULL;
	}
}

void
stmt_bind(sqlite3_stmt *st, int first, const uint64_t *values, int n)
{
	/* This fails only for a wrong index or a running statement. */
	for (int i = 0; i < n; i++) {
		int code = sqlite3_bind_int64(
		    st, first + i + 1, (sqlite3_int64)values[i]);

		assert(code == SQLITE_OK);
		(void)code;
	}
}

int
stmt_end(sqlite3_stmt *st, int step)
{
	/* The reset repeats the step's error, if there was one. */
	(void)sqlite3_reset(st);
	return step == SQLITE_DONE || step == SQLITE_ROW ? SQLITE_OK : step;
}

int
stmt_run(sqlite3_stmt *st)
{
	return stmt_end(st, sqlite3_step(st));
}

uint64_t
stmt_u64(sqlite3_stmt *st, int column)
{
	return (uint64_t)sqlite3_column_int64(st, column);
}

struct slice
stmt_blob(sqlite3_stmt *st, int column)
{
	const void *ptr = sqlite3_column_blob(st, column);

	/* SQLite gives NULL for no bytes. */
	if (ptr == NULL)
		return (struct slice){ "", 0 };
	return (struct slice){ ptr, (size_t)sqlite3_column_bytes(st, column) };
}

int
sqlite_err(int code)
{
	switch (code) {
	case SQLITE_OK:
		return 0;
	case SQLITE_IOERR_FSYNC:
	case SQLITE_IOERR_DIR_FSYNC:
		return ERR_FSYNC;
	case SQLITE_IOERR_WRITE:
	case SQLITE_IOERR_TRUNCATE:
		/* SQLite knows ENOSPC itself, but no quotas, and no disk that
		 * became read-only under an open file.  Its own record of
		 * errno (sqlite3_system_errno) misses what a COMMIT met. */
		return errno == ENOSPC || errno == EDQUOT || errno == EROFS
		    ? ERR_FULL
		    : ERR_IO;
	}
	switch (code & 0xff) {
	case SQLITE_FULL:
		return ERR_FULL;
	case SQLITE_NOMEM:
		return ERR_NOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_LOCKED;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
		return ERR_ACCESS;
	/* The schema's constraints hold unless the file was damaged. */
	case SQLITE_CONSTRAINT:
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERR_CORRUPT;
	default:
		return ERR_IO;
	}
}
