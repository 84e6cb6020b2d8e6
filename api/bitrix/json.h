/*
 * api/bitrix/json.h - JSON that clients send: checked by jansson, copied as it
 * came.
 *
 * A message's body is JSON that is none of our business.  It is checked, bounded
 * in depth, and its bytes are carried on, not printed anew.  Pure.
 */
#ifndef API_BITRIX_JSON_H
#define API_BITRIX_JSON_H

#include <jansson.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/limit.h"

/* Any value, duplicate keys refused.  NULL: not JSON, or its tree would take
 * more than 64 MiB, or than 350,000 pieces (of a text above 1 MB: than one for
 * 3 bytes); a piece is a value, or a member's name. */
json_t *json_read(struct slice text);
/* Where the latter is counted, until another or NULL is named: what jansson asks
 * for memory knows no instance. */
void json_count_in(struct limits *l);
/* Would json_read() read it?  As dear as that. */
bool json_valid(struct slice text);

/* In a valid JSON object the value of `name`, as it stands there; ptr NULL:
 * it has no such member, or is no object.  Keys with escapes are not found. */
struct slice json_member(struct slice object, const char *name);
/* The member after *at (0 to begin), its key with its quotes; false: there is
 * no more. */
bool json_next_member(
    struct slice object, size_t *at, struct slice *key, struct slice *value);
/* In a valid JSON array the next value after *at (0 to begin), or ptr NULL. */
struct slice json_next(struct slice array, size_t *at);

/* The characters of a string. */
struct slice json_slice(const json_t *string);
/* A user's number: an integer, or its digits as a string, since scripts are not
 * strict about it.  false: neither, or above 2^53, where JavaScript ends. */
bool json_user(const json_t *v, uint64_t *user);
/* The same of the digits. */
bool json_user_digits(struct slice digits, uint64_t *user);

#endif
