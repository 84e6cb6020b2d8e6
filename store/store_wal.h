/*
 * store/store_wal.h - is the WAL of a database whole?
 *
 * Thread: the loop's, before the file is opened.
 */
#ifndef STORE_STORE_WAL_H
#define STORE_STORE_WAL_H

#include "base/base.h"

/* False: it is said what is wrong with it.  No WAL, or one that cannot be read,
 * is SQLite's matter. */
bool wal_whole(const char *path) MUST_CHECK;

#endif
