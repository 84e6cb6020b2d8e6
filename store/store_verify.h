/*
 * store/store_verify.h - look at all of a database that nobody uses.
 *
 * Thread: the only one.  Nothing is changed.
 */
#ifndef STORE_STORE_VERIFY_H
#define STORE_STORE_VERIFY_H

#include "base/base.h"

/*
 * What is wrong is logged, as far as it is not too much, and so is a summary.
 * 0: all is whole; ERR_CORRUPT: it is not; ERR_*: it could not be looked at.
 */
int store_verify(const char *path) MUST_CHECK;

#endif
