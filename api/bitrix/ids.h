/*
 * api/bitrix/ids.h - CHANNEL_ID: ids, their public twins, their signatures.
 *
 *   id            32 characters        unsigned: from a trusted publisher, or
 *                                      where no key is configured
 *   id.sig        signed: HMAC of "id"
 *   id:pub.sig    with the public id:  HMAC of "id:pub" (version 4 on)
 *   pub.sig       to write to pub:     HMAC of "public:pub"
 *
 * joined by slashes, already decoded.  Version 3: [a-zA-Z0-9]{32}; later
 * lower-case hex.  Signatures are lower-case hex.  Pure.
 * Source: bitrix.md sections a.1 and c.
 */
#ifndef API_BITRIX_IDS_H
#define API_BITRIX_IDS_H

#include "auth/licence.h"
#include "base/base.h"

#define BX_ID_LEN 32
#define BX_ID_BYTES 16	/* of a hex id in protobuf */
#define BX_IDS_MAX 100	/* of one request */
#define BX_USER_SIZE 21 /* a number of 64 bits as decimal digits, and a NUL */

struct bx_id {
	char id[BX_ID_LEN];
	char pub[BX_ID_LEN];
	bool has_pub;
};

struct bx_ids {
	uint32_t n;
	struct bx_id at[BX_IDS_MAX];
};

/*
 * Read a list; the same id named again is left out.  trusted: signatures of
 * plain ids are neither wanted nor looked at (an id:pub must be signed all the
 * same).  ERR_NOTFOUND: no id at all; ERR_SYNTAX: one is malformed or its
 * signature wrong, so nothing of the list counts; ERR_TOOBIG: more than
 * BX_IDS_MAX.  On an error out->n is 0.
 */
int bx_ids_parse(struct slice text, int version, struct keyring *keys,
    bool trusted, struct bx_ids *out) MUST_CHECK;

/* The claim of a token: "id,id:pub", unsigned since the token is signed.
 * Results as above. */
int bx_ids_parse_claim(struct slice text, struct bx_ids *out) MUST_CHECK;

/* May this public id be written to?  mac: raw bytes. */
bool bx_public_signed(
    struct keyring *keys, const char pub[BX_ID_LEN], struct slice mac);

/* 32 lower-case hex digits? */
bool bx_is_id(struct slice text);
/* Lower-case hex digits to bytes: how many; 0: not that, or too long. */
size_t bx_hex(struct slice text, uint8_t out[KEYRING_MAC_MAX]);
/* 16 bytes and 32 lower-case hex digits. */
void bx_id_hex(const uint8_t bytes[BX_ID_BYTES], char out[BX_ID_LEN]);
void bx_id_pack(const char hex[BX_ID_LEN], uint8_t out[BX_ID_BYTES]);

/*
 * The hub's name of what an id means: three spaces, apart for each licence.
 * But for the personal site's private ids there is a slash in each name, which
 * no path of the module's endpoints can name (see also call_id_ok()): a
 * user's number can be guessed, and a public id is told to everybody.
 */
enum bx_space {
	BX_PRIVATE, /* private and shared ids */
	BX_PUBLIC,  /* public ids */
	BX_USER	    /* user numbers of version 5, as decimal digits */
};

/* A user's number as such an id, in out. */
struct slice bx_user_id(uint64_t user, char out[BX_USER_SIZE]);

#define BX_NAME_MAX 128

/* In out; the id is no longer than BX_ID_LEN. */
struct slice bx_name(const struct licence *l, enum bx_space space,
    struct slice id, char out[BX_NAME_MAX]);

#endif
