/*
 * store/store_schema.c - schema.sql, built in, and the way up from older ones.
 *
 * A file is new when nothing is in it, ours when its application_id says so;
 * its user_version is the schema's version.  A schema that changes gets the
 * next number in schema.sql and in SCHEMA_VERSION, and a step here; a test
 * holds that a migrated file and a fresh one have the same schema.
 */
#include "store/store_schema.h"

#include "base/log.h"
#include "store/schema_sql.h"
#include "store/store_stmt.h"

static const struct schema_step steps[] = {
	/* Any message may be called early: it only costs a row of index. */
	{ 1,
	    "ALTER TABLE state ADD COLUMN horizon INTEGER NOT NULL DEFAULT 0;"
	    "ALTER TABLE message ADD COLUMN early INTEGER NOT NULL DEFAULT 1;"
	    "DROP INDEX message_expires;"
	    "CREATE INDEX message_early ON message (expires) WHERE early;"
	    "PRAGMA user_version = 2" },
	{ 2,
	    "ALTER TABLE message ADD COLUMN shared INTEGER NOT NULL DEFAULT 0;"
	    "ALTER TABLE message ADD COLUMN extra BLOB;"
	    "PRAGMA user_version = 3" },
	{ 3,
	    "ALTER TABLE message ADD COLUMN floors BLOB;"
	    "ALTER TABLE channel ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;"
	    "PRAGMA user_version = 4" },
};

static int
schema_fail(sqlite3 *db, const char *path, const char *doing)
{
	int err = sqlite_err(sqlite3_extended_errcode(db));

	log_at(LOG_ERROR, "database %s: cannot %s: %s%s", path, doing,
	    sqlite3_errmsg(db), err == ERR_CORRUPT ? "; " DAMAGE_ADVICE : "");
	return err != 0 ? err : ERR_IO;
}

static int
schema_number(sqlite3 *db, const char *sql, int *out)
{
	sqlite3_stmt *st = NULL;
	int code = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	if (code == SQLITE_OK && (code = sqlite3_step(st)) == SQLITE_ROW) {
		*out = sqlite3_column_int(st, 0);
		code = SQLITE_OK;
	}
	(void)sqlite3_finalize(st);
	return code;
}

static int
schema_migrate(sqlite3 *db, const char *path, int version,
    const struct schema_step *way, size_t n, int goal)
{
	for (size_t i = 0; i < n && version < goal; i++) {
		if (way[i].from != version)
			continue;
		log_at(LOG_NOTICE, "database %s: schema %d becomes %d", path,
		    version, version + 1);
		if (sqlite3_exec(db, way[i].sql, NULL, NULL, NULL) != SQLITE_OK)
			return schema_fail(db, path, "migrate the schema");
		version++;
	}
	if (version == goal)
		return 0;
	log_at(LOG_ERROR, "database %s: its schema %d is too old to migrate",
	    path, version);
	return ERR_VERSION;
}

static int
schema_make(sqlite3 *db, const char *path)
{
	if (sqlite3_exec(db, schema_sql, NULL, NULL, NULL) != SQLITE_OK)
		return schema_fail(db, path, "make the schema");
	return 0;
}

static int
schema_bring(sqlite3 *db, const char *path, const struct schema_step *way,
    size_t n, int goal)
{
	int application, version, things;

	if (schema_number(db, "PRAGMA application_id", &application) != 0 ||
	    schema_number(db, "PRAGMA user_version", &version) != 0 ||
	    schema_number(db, "SELECT count(*) FROM sqlite_master", &things) !=
		0)
		return schema_fail(db, path, "read it");
	if (application == 0 && version == 0 && things == 0)
		return schema_make(db, path);
	if (application != SCHEMA_APPLICATION) {
		log_at(LOG_ERROR,
		    "database %s: belongs to another program "
		    "(application_id %#x)",
		    path, (unsigned)application);
		return ERR_EXISTS;
	}
	if (version > goal) {
		log_at(LOG_ERROR,
		    "database %s: was written by a newer "
		    "version (schema %d, known is %d)",
		    path, version, goal);
		return ERR_VERSION;
	}
	return schema_migrate(db, path, version, way, n, goal);
}

int
schema_open_steps(sqlite3 *db, const char *path, const struct schema_step *way,
    size_t n, int goal)
{
	int err;

	if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return schema_fail(db, path, "open it for writing");
	err = schema_bring(db, path, way, n, goal);
	if (err == 0 &&
	    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		err = schema_fail(db, path, "commit the schema");
	if (err != 0 && !sqlite3_get_autocommit(db))
		(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return err;
}

int
schema_open(sqlite3 *db, const char *path)
{
	return schema_open_steps(
	    db, path, steps, COUNT_OF(steps), SCHEMA_VERSION);
}
