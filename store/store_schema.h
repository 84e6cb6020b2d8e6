/*
 * store/store_schema.h - what kind of file this is: new, ours, older, newer.
 *
 * Thread: the loop's, before the store's runs.
 */
#ifndef STORE_STORE_SCHEMA_H
#define STORE_STORE_SCHEMA_H

#include "base/base.h"

#include <sqlite3.h>

#define SCHEMA_APPLICATION 0x486f6c64 /* "Hold" */
#define SCHEMA_VERSION 4

/* SQL that takes version `from` to from + 1 (its user_version included). */
struct schema_step {
	int from;
	const char *sql;
};

/*
 * Make the schema in an empty file, migrate an older one step by step, all in
 * one transaction.  ERR_EXISTS: somebody else's; ERR_VERSION: newer, or too
 * old for the steps there are; ERR_*: SQLite's.  The reason is logged with
 * `path`.
 */
int schema_open(sqlite3 *db, const char *path) MUST_CHECK;

/* The same with other steps and another goal, for tests. */
int schema_open_steps(sqlite3 *db, const char *path,
    const struct schema_step *way, size_t n, int goal) MUST_CHECK;

#endif
