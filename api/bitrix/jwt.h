/*
 * api/bitrix/jwt.h - the token of a version 5 client: JWT, HS256 only.
 *
 * Source: bitrix.md section d.6, RFC 7519.  Pure; time is an argument.
 */
#ifndef API_BITRIX_JWT_H
#define API_BITRIX_JWT_H

#include "api/bitrix/ids.h"

#define JWT_MAX 8192	/* bytes of a token */
#define JWT_LEEWAY_S 60 /* clocks differ */

struct jwt {
	bool has_user;
	uint64_t user; /* claim sub: decimal digits, up to 2^53 */
	struct bx_ids
	    channels; /* claim chan: "id,id", unsigned; perhaps none */
	int64_t expires;
};

/*
 * Checks alg (HS256 only), the signature with any key of l, exp (wanted, not
 * over), iat and nbf (not in the future), iss (wanted; l->host_id if that is
 * set), then that there is a user or a channel.  0; ERR_SYNTAX: it is no JWT;
 * ERR_ACCESS: refused; *why says what for, without the token's bytes.
 */
int jwt_read(struct slice token, const struct licence *l, int64_t now_s,
    struct jwt *out, const char **why) MUST_CHECK;

#endif
