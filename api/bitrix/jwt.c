/*
 * api/bitrix/jwt.c - a token is taken apart only as far as it is to be trusted:
 * its form, then its algorithm, then its signature, and only then its claims.
 */
#include "api/bitrix/jwt.h"

#include "api/bitrix/json.h"
#include "base/msg.h"

struct parts {
	struct slice header, claims, mac; /* base64url */
	struct slice signed_text;
};

static int
refuse(const char **why, const char *text)
{
	*why = text;
	return ERR_ACCESS;
}

/* Exactly three parts between two dots. */
static bool
parts_cut(struct slice token, struct parts *p)
{
	const char *end, *first, *second;

	if (token.len == 0 || token.len > JWT_MAX)
		return false;
	end = token.ptr + token.len;
	first = memchr(token.ptr, '.', token.len);
	if (first == NULL)
		return false;
	second = memchr(first + 1, '.', (size_t)(end - first) - 1);
	if (second == NULL ||
	    memchr(second + 1, '.', (size_t)(end - second) - 1) != NULL)
		return false;
	p->header = (struct slice){ token.ptr, (size_t)(first - token.ptr) };
	p->claims = (struct slice){ first + 1, (size_t)(second - first) - 1 };
	p->mac = (struct slice){ second + 1, (size_t)(end - second) - 1 };
	p->signed_text =
	    (struct slice){ token.ptr, (size_t)(second - token.ptr) };
	return true;
}

static int
base64url_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/*
 * Without padding, and the bits that make no byte are 0: of one value there is
 * one text.  Up to JWT_MAX digits; the bytes, ptr NULL: it is no base64url.
 */
static struct slice
base64url_read(struct slice text, char out[JWT_MAX])
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		int digit = base64url_digit(text.ptr[i]);

		if (digit < 0)
			return (struct slice){ NULL, 0 };
		bits = (bits << 6 | (uint32_t)digit) & 0xfff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[len++] = (char)(bits >> have & 0xff);
		}
	}
	if (have == 6 || (bits & ((1U << have) - 1)) != 0)
		return (struct slice){ NULL, 0 };
	return (struct slice){ out, len };
}

/* The object that a part is, or NULL. */
static json_t *
part_read(struct slice part)
{
	char text[JWT_MAX];
	struct slice bytes = base64url_read(part, text);
	json_t *json = bytes.ptr != NULL ? json_read(bytes) : NULL;

	if (json_is_object(json))
		return json;
	json_decref(json);
	return NULL;
}

static int
check_header(struct slice part, const char **why)
{
	json_t *header = part_read(part);
	const json_t *alg = json_object_get(header, "alg");
	int err = 0;

	*why = "its header is not JSON in base64url";
	if (header == NULL)
		return ERR_SYNTAX;
	if (!json_is_string(alg) || !slice_is(json_slice(alg), "HS256"))
		err = refuse(why, "its algorithm is not HS256");
	else if (json_object_get(header, "crit") != NULL)
		err = refuse(why, "it wants an extension (crit)");
	json_decref(header);
	return err;
}

static int
check_mac(const struct parts *p, const struct licence *l, const char **why)
{
	char bytes[JWT_MAX];
	struct slice mac = base64url_read(p->mac, bytes);

	if (mac.ptr == NULL) {
		*why = "its signature is not base64url";
		return ERR_SYNTAX;
	}
	if (keyring_empty(l->keys))
		return refuse(why, "there is no signature_key");
	return keyring_verify(l->keys, KEYRING_TOKENS, &p->signed_text, 1, mac)
	    ? 0
	    : refuse(why, "its signature is wrong");
}

/* RFC 7519 allows fractions of seconds. */
static bool
read_time(const json_t *claim, int64_t *out)
{
	double seconds = json_number_value(claim);

	if (!json_is_number(claim) || seconds < 0 ||
	    seconds > (double)CURSOR_TIME_MAX)
		return false;
	*out = (int64_t)seconds;
	return true;
}

static bool
in_past(const json_t *claim, int64_t now_s)
{
	int64_t t;

	return claim == NULL ||
	    (read_time(claim, &t) && t <= now_s + JWT_LEEWAY_S);
}

static int
check_times(
    const json_t *claims, int64_t now_s, struct jwt *out, const char **why)
{
	if (!read_time(json_object_get(claims, "exp"), &out->expires))
		return refuse(why, "it has no good time of expiry (exp)");
	if (out->expires <= now_s - JWT_LEEWAY_S)
		return refuse(why, "it is expired (exp)");
	if (!in_past(json_object_get(claims, "iat"), now_s))
		return refuse(why, "it was issued in the future (iat)");
	if (!in_past(json_object_get(claims, "nbf"), now_s))
		return refuse(why, "it is not valid yet (nbf)");
	return 0;
}

static int
check_issuer(const json_t *claims, const struct licence *l, const char **why)
{
	const json_t *iss = json_object_get(claims, "iss");

	if (!json_is_string(iss))
		return refuse(why, "it has no issuer (iss)");
	if (l->host_id != NULL && !slice_is(json_slice(iss), l->host_id))
		return refuse(why, "its issuer (iss) is not this site");
	return 0;
}

/* User 0 is what the site calls a visitor without an account: no user. */
static int
read_user(const json_t *sub, struct jwt *out, const char **why)
{
	if (sub == NULL)
		return 0;
	if (!json_user(sub, &out->user))
		return refuse(why, "its user (sub) is not a number");
	out->has_user = out->user != 0;
	return 0;
}

static int
read_channels(const json_t *chan, struct jwt *out, const char **why)
{
	int err;

	if (chan == NULL)
		return 0;
	if (!json_is_string(chan))
		return refuse(why, "its channels (chan) are not a text");
	err = bx_ids_parse_claim(json_slice(chan), &out->channels);
	return err == 0 || err == ERR_NOTFOUND
	    ? 0
	    : refuse(why, "its channels (chan) are not well formed");
}

static int
read_claims(struct slice part, const struct licence *l, int64_t now_s,
    struct jwt *out, const char **why)
{
	json_t *claims = part_read(part);
	int err;

	if (claims == NULL) {
		*why = "its claims are not JSON in base64url";
		return ERR_SYNTAX;
	}
	err = check_times(claims, now_s, out, why);
	if (err == 0)
		err = check_issuer(claims, l, why);
	if (err == 0)
		err = read_user(json_object_get(claims, "sub"), out, why);
	if (err == 0)
		err = read_channels(json_object_get(claims, "chan"), out, why);
	if (err == 0 && !out->has_user && out->channels.n == 0)
		err = refuse(why, "it names no user and no channel");
	json_decref(claims);
	return err;
}

int
jwt_read(struct slice token, const struct licence *l, int64_t now_s,
    struct jwt *out, const char **why)
{
	struct parts p;
	int err;

	out->has_user = false;
	out->user = 0;
	out->channels.n = 0;
	out->expires = 0;
	*why = "it is not three parts with dots between";
	if (!parts_cut(token, &p))
		return ERR_SYNTAX;
	err = check_header(p.header, why);
	if (err == 0)
		err = check_mac(&p, l, why);
	if (err == 0)
		err = read_claims(p.claims, l, now_s, out, why);
	return err;
}
