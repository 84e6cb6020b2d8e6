/*
 * auth/keyring.h - keys that sign channel ids, bodies and tokens: HMAC.
 *
 * Several keys are good at once, so that a key can be replaced without a day of
 * refused clients: the first signs, all of them verify.  HMAC contexts are made
 * once and reused.  Keys never leave this room, neither in logs.
 *
 * Owner: struct licence.  Thread: loop.  Source: bitrix.md section c; RFC 2104.
 */
#ifndef AUTH_KEYRING_H
#define AUTH_KEYRING_H

#include "base/base.h"

#define KEYRING_MAC_MAX 64 /* bytes: SHA-512 */

struct keyring; /* opaque */

enum keyring_use {
	KEYRING_IDS,   /* with the algorithm of the keyring */
	KEYRING_TOKENS /* HS256, whatever that is */
};

/* A keyring without keys.  algo: sha1, sha256, sha384, sha512, md5 or what
 * else OpenSSL has up to 64 bytes; ERR_CONFIG: it does not know it. */
int keyring_new(const char *algo, struct keyring **out) MUST_CHECK;
void keyring_free(struct keyring **k);
/* ERR_CONFIG: an empty key; ERR_NOMEM.  Copies it. */
int keyring_add(struct keyring *k, struct slice key) MUST_CHECK;
/* true for NULL, too. */
bool keyring_empty(const struct keyring *k);
size_t keyring_count(const struct keyring *k);
/* The algorithm of KEYRING_IDS, as OpenSSL calls it; NULL for NULL. */
const char *keyring_algo(const struct keyring *k);
/* Bytes of a MAC for this use. */
size_t keyring_mac_len(const struct keyring *k, enum keyring_use use);

/* Is mac (raw bytes) what one of the keys makes of the parts, joined?  Takes
 * the same time whichever byte is wrong.  false if there are no keys. */
bool keyring_verify(struct keyring *k, enum keyring_use use,
    const struct slice *parts, size_t n, struct slice mac);
/* The first key's MAC of the parts: its length; 0: no key or no memory. */
size_t keyring_sign(struct keyring *k, enum keyring_use use,
    const struct slice *parts, size_t n, unsigned char out[KEYRING_MAC_MAX]);

#endif
