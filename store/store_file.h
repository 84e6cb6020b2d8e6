/*
 * store/store_file.h - opening and closing the database file.
 *
 * Thread: the loop's, before the store's runs and after it ended.  sq_open()
 * logs why it failed, in a sentence that names the file.
 */
#ifndef STORE_STORE_FILE_H
#define STORE_STORE_FILE_H

#include "store/store_priv.h"

int sq_open(const struct store_config *cfg, struct store_stats *stats,
    void **be) MUST_CHECK;
int sq_close(void **be);

/* Sync the folder that a file stands in: 0, or -1 and errno. */
int sq_sync_folder(const char *path) MUST_CHECK;

#endif
