/*
 * base/err.h - one space of errors: 0 is success, negative is ERR_*.
 *
 * Names, texts and HTTP statuses stand in base/err.tbl only.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err {
	ERR_OK = 0,
#define ERR(name, value, status, text) name = value,
#include "base/err.tbl"
#undef ERR
};

const char *err_text(int err); /* never NULL */
int err_status(int err);       /* HTTP status; 500 when unknown */

#endif
