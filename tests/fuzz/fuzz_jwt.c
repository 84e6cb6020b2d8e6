/*
 * tests/fuzz/fuzz_jwt.c - any bytes as a token, and any header and claims in a
 * token that is well signed.
 *
 * What is accepted must be signed by the site, say so in the one way there is,
 * and hold until it expires and no longer.
 */
#include "tests/fuzz/check.h"

#include "api/bitrix/jwt.h"

#define NOW INT64_C(1795375000)

/* Too large for a stack that sanitizers widen. */
static struct jwt jwt, later;
static char token[2 * JWT_MAX];

static struct licence *
site(void)
{
	static struct licence l;

	if (l.keys == NULL) {
		CHECK(keyring_new("sha1", &l.keys) == 0);
		CHECK(keyring_add(l.keys, SLICE("test-signature-key")) == 0);
	}
	return &l;
}

static size_t
put_base64url(size_t at, const uint8_t *data, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn"
				     "opqrstuvwxyz0123456789-_";
	unsigned bits = 0, have = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | data[i];
		for (have += 8; have >= 6; have -= 6)
			token[at++] = digits[bits >> (have - 6) & 63];
	}
	if (have != 0)
		token[at++] = digits[bits << (6 - have) & 63];
	return at;
}

/* Behind the token's first `at` bytes; its length. */
static size_t
put_signature(size_t at)
{
	unsigned char mac[KEYRING_MAC_MAX];
	struct slice text = { token, at };

	CHECK(keyring_sign(site()->keys, KEYRING_TOKENS, &text, 1, mac) == 32);
	token[at++] = '.';
	return put_base64url(at, mac, 32);
}

static int
read_at(struct slice text, int64_t now_s, struct jwt *out)
{
	const char *why = NULL;
	int err = jwt_read(text, site(), now_s, out, &why);

	CHECK(err == 0 || err == ERR_SYNTAX || err == ERR_ACCESS);
	CHECK(err == 0 || why != NULL);
	return err;
}

static void
check_accepted(struct slice text)
{
	const char *dot = memrchr(text.ptr, '.', text.len);
	size_t len;

	CHECK(jwt.has_user == (jwt.user != 0));
	CHECK(jwt.has_user || jwt.channels.n != 0);
	CHECK(jwt.user <= UINT64_C(1) << 53);
	CHECK(jwt.expires > NOW - JWT_LEEWAY_S);
	CHECK(read_at(text, jwt.expires + JWT_LEEWAY_S - 1, &later) == 0);
	CHECK(read_at(text, jwt.expires + JWT_LEEWAY_S, &later) == ERR_ACCESS);
	CHECK(dot != NULL);
	memmove(token, text.ptr, (size_t)(dot - text.ptr));
	len = put_signature((size_t)(dot - text.ptr));
	CHECK(slice_equal(text, (struct slice){ token, len }));
}

/* The header ends with the first NUL, the claims are what follows. */
static void
try_signed(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, '\0', size);
	size_t len, claims;
	static char copy[sizeof(token)];

	if (end == NULL || size > JWT_MAX)
		return;
	claims = size - (size_t)(end + 1 - data);
	len = put_base64url(0, data, (size_t)(end - data));
	token[len++] = '.';
	len = put_base64url(len, end + 1, claims);
	len = put_signature(len);
	memcpy(copy, token, len);
	if (read_at((struct slice){ copy, len }, NOW, &jwt) == 0)
		check_accepted((struct slice){ copy, len });
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = { (const char *)data, size };

	if (size == 0)
		return 0;
	if (read_at(text, NOW, &jwt) == 0)
		check_accepted(text);
	try_signed(data, size);
	return 0;
}
