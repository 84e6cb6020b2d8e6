/*
 * store/store_stmt.h - the prepared statements, and what SQLite's codes mean.
 *
 * Thread: the store's.  All numbers are unsigned below 2^63 and bound as
 * SQLite's signed ones.
 */
#ifndef STORE_STORE_STMT_H
#define STORE_STORE_STMT_H

#include "base/base.h"

#include <sqlite3.h>

/* Rows of the statements that add many; parameters of each. */
#define STMT_MANY 8
#define MESSAGE_PARAMS 11
#define MEMBER_PARAMS 5

enum stmt_id {
	STMT_BEGIN,
	STMT_COMMIT,
	STMT_ROLLBACK,
	STMT_STATE_GET,
	STMT_STATE_SET,
	STMT_MESSAGE_ADD,
	STMT_MESSAGE_ADD_MANY,
	STMT_MESSAGE_GET,
	STMT_MESSAGE_HEAD,
	STMT_MESSAGE_LAST,
	STMT_MESSAGE_SCAN,
	STMT_MESSAGE_EARLY,
	STMT_MESSAGE_OLDEST,
	STMT_MESSAGE_DELETE,
	STMT_MESSAGE_DELETE_SINGLE,
	STMT_MEMBER_ADD,
	STMT_MEMBER_ADD_MANY,
	STMT_MEMBER_BUCKET,
	STMT_MEMBER_ALL,
	STMT_MEMBER_NEXT,
	STMT_MEMBER_UP,
	STMT_MEMBER_DOWN,
	STMT_MEMBER_DELETE,
	STMT_CHANNEL_ALL,
	STMT_CHANNEL_FLOORS,
	STMT_CHANNEL_NAMES,
	STMT_CHANNEL_BY_NAME,
	STMT_CHANNEL_ADD,
	STMT_CHANNEL_SET,
	STMT_CHANNEL_DELETE,
	STMT_COUNT
};

struct stmts {
	sqlite3_stmt *at[STMT_COUNT];
};

/* SQLite's code; what was prepared stays for stmts_release(). */
int stmts_prepare(struct stmts *s, sqlite3 *db);
void stmts_release(struct stmts *s);

/* Bind n numbers to the parameters first + 1 and so on. */
void stmt_bind(sqlite3_stmt *st, int first, const uint64_t *values, int n);
#define STMT_BIND_AT(st, first, ...) \
	stmt_bind((st), (first), (const uint64_t[]){ __VA_ARGS__ }, \
	    (int)COUNT_OF(((const uint64_t[]){ __VA_ARGS__ })))
#define STMT_BIND(st, ...) STMT_BIND_AT(st, 0, __VA_ARGS__)

/* Run a statement that gives no rows: SQLITE_OK or its code; it is reset. */
int stmt_run(sqlite3_stmt *st);

/* The end of stepping: SQLITE_OK or the code that ended it. */
int stmt_end(sqlite3_stmt *st, int step);

uint64_t stmt_u64(sqlite3_stmt *st, int column);
struct slice stmt_blob(sqlite3_stmt *st, int column); /* ptr never NULL */

/* What to do about a file that is damaged. */
#define DAMAGE_ADVICE "holdfastd -C says what is left; a backup has the rest"

/* ERR_* of SQLite's code; errno has to be what the call left. */
int sqlite_err(int code);

#endif
