/*
 * auth/accept.h - the answer to Sec-WebSocket-Key: base64(SHA-1(key + GUID)).
 *
 * Source: RFC 6455 section 4.2.2.
 */
#ifndef AUTH_ACCEPT_H
#define AUTH_ACCEPT_H

#include "base/base.h"

#define ACCEPT_KEY_SIZE 29 /* with its NUL */

/*
 * At the start, before anybody is served: OpenSSL sets itself up at its first
 * use, and when it gets no memory for that it does not fail but crash.
 * false: there is no SHA-1.
 */
bool accept_begin(void);

/* false: OpenSSL refuses SHA-1, or has no memory. */
bool accept_key(struct slice key, char out[ACCEPT_KEY_SIZE]);

#endif
