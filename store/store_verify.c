/*
 * store/store_verify.c - is the whole file what we wrote?
 *
 * The daemon looks at what it reads, when it reads it: to look at all before
 * each start would keep everybody waiting.  This takes its time instead.  The
 * pages are SQLite's matter (integrity_check), each message has its sum, and
 * the indexes have to agree with the messages: each row of member with the
 * message it leads to, each channel with the number of its rows.
 */
#include "store/store_verify.h"

#include "store/store_schema.h"
#include "store/store_sqlite_priv.h"
#include "store/store_wal.h"

#define LINES_MAX 20 /* of each kind */

struct verify {
	const char *path;
	sqlite3 *db;
	uint64_t messages;
	uint64_t wrong;
};

/* What a row of one of the looks says; true: it is as it should be. */
typedef bool verify_row_f(struct verify *v, sqlite3_stmt *st, int *err);

static bool
page_row(struct verify *v, sqlite3_stmt *st, int *err)
{
	const char *said = (const char *)sqlite3_column_text(st, 0);

	(void)err;
	if (said != NULL && strcmp(said, "ok") == 0)
		return true;
	log_at(LOG_ERROR, "database %s: %s", v->path,
	    said != NULL ? said : "damaged");
	return false;
}

static bool
message_row(struct verify *v, sqlite3_stmt *st, int *err)
{
	uint64_t row = stmt_u64(st, 9);
	struct msg *m;
	bool whole;

	*err = row_message(st, row, &m);
	whole = m != NULL;
	msg_unref(&m);
	v->messages++;
	if (!whole && *err == 0)
		log_at(LOG_ERROR, "database %s: message %llu.%u is damaged",
		    v->path, (unsigned long long)cursor_time(row),
		    cursor_tag(row));
	return whole;
}

static bool
member_row(struct verify *v, sqlite3_stmt *st, int *err)
{
	uint64_t channel = stmt_u64(st, 0), cursor = stmt_u64(st, 1);

	(void)err;
	if (sqlite3_column_type(st, 4) != SQLITE_NULL &&
	    row_has_member(stmt_u64(st, 5) != 0, stmt_blob(st, 4),
		stmt_u64(st, 3), channel, stmt_u64(st, 2)))
		return true;
	log_at(LOG_ERROR,
	    "database %s: channel %llu has no such message as %llu.%u", v->path,
	    (unsigned long long)channel,
	    (unsigned long long)cursor_time(cursor), cursor_tag(cursor));
	return false;
}

static bool
channel_row(struct verify *v, sqlite3_stmt *st, int *err)
{
	(void)err;
	log_at(LOG_ERROR, "database %s: channel %llu keeps %llu, not %llu",
	    v->path, (unsigned long long)stmt_u64(st, 0),
	    (unsigned long long)stmt_u64(st, 2),
	    (unsigned long long)stmt_u64(st, 1));
	return false;
}

static const struct look {
	const char *sql;
	verify_row_f *row;
} looks[] = {
	{ "PRAGMA integrity_check(20)", page_row },
	{ "SELECT expires, sum, shared, members, event_id, event_type, body,"
	  " extra, floors, cursor FROM message ORDER BY cursor",
	    message_row },
	{ "SELECT n.channel, n.cursor, n.id, n.place, m.members, m.shared"
	  " FROM member n LEFT JOIN message m ON m.cursor = n.cursor - n.place",
	    member_row },
	{ "SELECT c.channel, c.stored, ifnull(m.n, 0) FROM channel c"
	  " LEFT JOIN (SELECT channel, count(*) AS n FROM member"
	  " GROUP BY channel) m ON m.channel = c.channel"
	  " WHERE c.stored <> ifnull(m.n, 0)",
	    channel_row },
};

static int
verify_error(struct verify *v, int code)
{
	int err = sqlite_err(code);

	log_at(LOG_ERROR, "database %s: cannot be read: %s", v->path,
	    sqlite3_errmsg(v->db));
	return err;
}

static int
verify_look(struct verify *v, const struct look *l)
{
	sqlite3_stmt *st = NULL;
	int code = sqlite3_prepare_v2(v->db, l->sql, -1, &st, NULL);
	int err = 0, wrong = 0;

	while (code == SQLITE_OK || code == SQLITE_ROW) {
		code = sqlite3_step(st);
		if (code == SQLITE_ROW && !l->row(v, st, &err) && err == 0)
			wrong++;
		if (err != 0 || wrong >= LINES_MAX)
			break;
	}
	v->wrong += (uint64_t)wrong;
	if (code != SQLITE_DONE && code != SQLITE_ROW)
		err = verify_error(v, code);
	(void)sqlite3_finalize(st);
	return err;
}

static int
verify_all(struct verify *v)
{
	int err = 0;

	/* What cannot be read on is damage as well; the next look may see
	 * more of it. */
	for (size_t i = 0; i < COUNT_OF(looks); i++) {
		int more = verify_look(v, &looks[i]);

		if (more == ERR_CORRUPT)
			v->wrong++;
		else if (more != 0)
			err = more;
	}
	if (err != 0)
		return err;
	if (v->wrong != 0) {
		log_at(LOG_ERROR, "database %s: is damaged", v->path);
		return ERR_CORRUPT;
	}
	log_at(LOG_NOTICE, "database %s: %llu messages, all whole", v->path,
	    (unsigned long long)v->messages);
	return 0;
}

/* Alone, without the file beside it that other readers would share, and
 * without a checkpoint at the end: nothing is written. */
static int
verify_open(struct verify *v)
{
	int code = sqlite3_open_v2(
	    v->path, &v->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	if (v->db == NULL)
		return ERR_NOMEM;
	(void)sqlite3_db_config(
	    v->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(v->db,
		    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA query_only = 1",
		    NULL, NULL, NULL);
	return code == SQLITE_OK ? 0 : verify_error(v, code);
}

/* What an older version wrote has other columns. */
static int
verify_version(struct verify *v)
{
	sqlite3_stmt *st = NULL;
	int version = 0;
	int code =
	    sqlite3_prepare_v2(v->db, "PRAGMA user_version", -1, &st, NULL);

	if (code == SQLITE_OK && (code = sqlite3_step(st)) == SQLITE_ROW) {
		version = sqlite3_column_int(st, 0);
		code = SQLITE_OK;
	}
	(void)sqlite3_finalize(st);
	if (code == SQLITE_BUSY) {
		log_at(LOG_ERROR, "database %s: is locked: somebody uses it",
		    v->path);
		return ERR_LOCKED;
	}
	/* A damaged head is for the other looks. */
	if (code != SQLITE_OK || version < 1 || version == SCHEMA_VERSION)
		return 0;
	log_at(LOG_ERROR,
	    "database %s: has schema %d, and this version looks into schema "
	    "%d: start the daemon on it once, or use the version it is from",
	    v->path, version, SCHEMA_VERSION);
	return ERR_VERSION;
}

int
store_verify(const char *path)
{
	struct verify v = { .path = path };
	int err;

	if (!wal_whole(path))
		v.wrong++;
	err = verify_open(&v);
	if (err == 0)
		err = verify_version(&v);
	if (err == 0)
		err = verify_all(&v);
	(void)sqlite3_close(v.db);
	return err;
}
