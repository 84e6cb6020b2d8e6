/*
 * base/utf8.h - is it UTF-8 (RFC 3629), and if not, what to show instead.
 *
 * Channel ids and bodies are bytes; who reads them as text wants characters.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/buf.h"

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Bytes of the character at the front of text, which is not empty, and its
 * code; 0: there is none. */
size_t utf8_read(struct slice text, uint32_t *code);
size_t utf8_char(struct slice text);
/* So many bytes at the front are UTF-8: all of them if the whole is. */
size_t utf8_good(struct slice text);
/* Append it, a replacement for each byte that belongs to no character. */
int utf8_put(struct buf *out, struct slice text) MUST_CHECK;

#endif
