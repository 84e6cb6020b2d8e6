/*
 * api/bitrix/mid.h - a message's id on the wire of Bitrix: 26 decimal digits.
 *
 * Ten are the cursor's seconds, sixteen its tag, so a mid is a position that
 * every dialect understands.  Source: bitrix.md section b.1.
 */
#ifndef API_BITRIX_MID_H
#define API_BITRIX_MID_H

#include "base/msg.h"

#define MID_LEN 26
#define MID_BYTES 13 /* packed, two digits a byte */

void mid_format(uint64_t cursor, char out[MID_LEN + 1]);
void mid_pack(uint64_t cursor, uint8_t out[MID_BYTES]);
/* Exactly 26 digits, else false.  The upper eight of a tag's sixteen do not
 * count: they tell mids of one position apart, see bx_rpc_users.c.  Those of
 * another server are a position as well: a counter that is no tag is taken for
 * the last of its second. */
bool mid_parse(struct slice text, uint64_t *cursor);

#endif
