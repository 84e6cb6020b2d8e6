/*
 * tests/unit/test_jwt.c - a token says who somebody is: one that is forged, old
 * or of another site must not be believed, whatever it claims of itself.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/bitrix/jwt.h"

#define NOW INT64_C(1795375000)
#define HOST_ID "hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh"
#define SH "11112222333344445555666677778888"
#define PR "0123456789abcdef0123456789abcdef"
#define PU "fedcba9876543210fedcba9876543210"
#define HEADER "{\"typ\":\"JWT\",\"alg\":\"HS256\"}"
/* Claims that are right; what a case adds comes last. */
#define GOOD "\"iss\":\"" HOST_ID "\",\"iat\":1795374917,\"exp\":1795418117"
#define USER ",\"sub\":\"2\""

/* As the site's module makes it: user 2, the shared channel, for 12 hours. */
static const char site_token[] =
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9."
    "eyJpc3MiOiJoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaCIsImlhdCI6MTc5NTM3"
    "NDkxNywiZXhwIjoxNzk1NDE4MTE3LCJzdWIiOiIyIiwiY2hhbiI6IjExMTEyMjIyMzMzMzQ0"
    "NDQ1NTU1NjY2Njc3Nzc4ODg4In0."
    "8TOx-1ineQqG3Nm56gdnZp0fwc0QzTIebO9khDDFZMs";
/* RFC 7515, appendix A.1. */
static const char rfc_token[] =
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNv"
    "bS9pc19yb290Ijp0cnVlfQ."
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
static const char rfc_key[] =
    "\x03\x23\x35\x4b\x2b\x0f\xa5\xbc\x83\x7e\x06\x65\x77\x7b\xa6\x8f"
    "\x5a\xb3\x28\xe6\xf0\x54\xc9\x28\xa9\x0f\x84\xb2\xd2\x50\x2e\xbf"
    "\xd3\xfb\x5a\x92\xd2\x06\x47\xef\x96\x8a\xb4\xc3\x77\x62\x3d\x22"
    "\x3d\x2e\x21\x72\x05\x2e\x4f\x08\xc0\xcd\x9a\xf5\x67\xd0\x80\xa3";

static struct licence site;
static struct jwt jwt;
static const char *why;
static char token[2 * JWT_MAX];

static int
setup(void **state)
{
	static char host_id[] = HOST_ID;

	(void)state;
	site = (struct licence){ .host_id = host_id };
	if (keyring_new("sha1", &site.keys) != 0)
		return -1;
	return keyring_add(site.keys, SLICE("test-signature-key"));
}

static int
teardown(void **state)
{
	(void)state;
	keyring_free(&site.keys);
	return 0;
}

static int
read_at(const char *text, size_t len, int64_t now_s)
{
	int err;

	why = NULL;
	memset(&jwt, 0xaa, sizeof(jwt));
	err = jwt_read((struct slice){ text, len }, &site, now_s, &jwt, &why);
	if (err != 0) {
		assert_non_null(why);
		assert_true(err == ERR_SYNTAX || err == ERR_ACCESS);
	}
	return err;
}

static int
read_token(const char *text)
{
	return read_at(text, strlen(text), NOW);
}

static size_t
put_base64url(size_t at, const void *data, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn"
				     "opqrstuvwxyz0123456789-_";
	const unsigned char *bytes = data;
	unsigned bits = 0, have = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | bytes[i];
		for (have += 8; have >= 6; have -= 6)
			token[at++] = digits[bits >> (have - 6) & 63];
	}
	if (have != 0)
		token[at++] = digits[bits << (6 - have) & 63];
	token[at] = '\0';
	return at;
}

/* Signed by the site; what it says is up to the case.  Its length. */
static size_t
make_bytes(const char *header, const char *claims, size_t claims_len)
{
	unsigned char mac[KEYRING_MAC_MAX];
	size_t at = put_base64url(0, header, strlen(header));
	struct slice text;
	size_t n;

	token[at++] = '.';
	at = put_base64url(at, claims, claims_len);
	text = (struct slice){ token, at };
	n = keyring_sign(site.keys, KEYRING_TOKENS, &text, 1, mac);
	assert_int_equal(n, 32);
	token[at++] = '.';
	return put_base64url(at, mac, n);
}

static const char *
make(const char *header, const char *claims)
{
	(void)make_bytes(header, claims, strlen(claims));
	return token;
}

/* Refused, and it says for what. */
static void
assert_refused(const char *text, int want, const char *reason)
{
	int err = read_token(text);

	if (err != want || strstr(why, reason) == NULL)
		fail_msg("%d \"%s\", not %d \"%s\"", err, err != 0 ? why : "",
		    want, reason);
}

static void
assert_claims_refused(const char *claims, const char *reason)
{
	assert_refused(make(HEADER, claims), ERR_ACCESS, reason);
}

static void
test_site_token(void **state)
{
	(void)state;
	assert_int_equal(read_token(site_token), 0);
	assert_true(jwt.has_user);
	assert_int_equal(jwt.user, 2);
	assert_int_equal(jwt.channels.n, 1);
	assert_memory_equal(jwt.channels.at[0].id, SH, BX_ID_LEN);
	assert_int_equal(jwt.expires, 1795418117);
}

/* Its signature is good; it only names nobody. */
static void
test_rfc_token(void **state)
{
	(void)state;
	assert_int_equal(keyring_add(site.keys,
			     (struct slice){ rfc_key, sizeof(rfc_key) - 1 }),
	    0);
	site.host_id = NULL;
	assert_int_equal(
	    read_at(rfc_token, sizeof(rfc_token) - 1, 1300819379), ERR_ACCESS);
	assert_non_null(strstr(why, "no user and no channel"));
}

/* Each of its bytes matters, and no byte can be added or left out. */
static void
test_changed_bytes(void **state)
{
	size_t len = sizeof(site_token) - 1;

	(void)state;
	for (size_t i = 0; i < len; i++) {
		memcpy(token, site_token, len);
		token[i] = token[i] == 'A' ? 'B' : 'A';
		assert_int_not_equal(read_at(token, len, NOW), 0);
		assert_int_not_equal(read_at(site_token, i, NOW), 0);
		memcpy(token + i + 1, site_token + i, len - i);
		token[i] = '\0';
		assert_int_not_equal(read_at(token, len + 1, NOW), 0);
	}
}

static void
test_form(void **state)
{
	static const char *const wrong[] = { "", ".", "..", "...", "a.b",
		"e30.e30", "e30.e30.e30.e30",
		/* {} alone is a header without alg, but a list is no header */
		"W10.e30.AA", "e30=.e30.AA", "e30 .e30.AA", "e3\n0.e30.AA",
		"e3+.e30.AA", "e3/.e30.AA", "e.e30.AA", "e31.e30.AA" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		if (read_token(wrong[i]) != ERR_SYNTAX)
			fail_msg("%s: %s", wrong[i], why);
	}
	memset(token, 'A', sizeof(token));
	assert_int_equal(read_at(token, sizeof(token), NOW), ERR_SYNTAX);
	assert_int_equal(read_at("\0.\0.\0", 5, NOW), ERR_SYNTAX);
	assert_int_equal(read_at(NULL, 0, NOW), ERR_SYNTAX);
}

/* Padding, and bits behind the last byte, would make two texts of one token. */
static void
test_canonical(void **state)
{
	size_t len = sizeof(site_token) - 1;

	(void)state;
	memcpy(token, site_token, len + 1);
	(void)snprintf(token + len, 2, "=");
	assert_refused(token, ERR_SYNTAX, "signature is not base64url");
	memcpy(token, site_token, len + 1);
	token[len - 1]++; /* 's' ends in two bits of 0, 't' does not */
	assert_refused(token, ERR_SYNTAX, "signature is not base64url");
}

static void
test_longest(void **state)
{
	static char claims[JWT_MAX];
	int n = snprintf(claims, sizeof(claims), "{" GOOD USER ",\"x\":\"");
	size_t len;

	(void)state;
	memset(claims + n, 'x', 5800);
	(void)snprintf(claims + n + 5800, 3, "\"}");
	len = make_bytes(HEADER, claims, (size_t)n + 5802);
	assert_true(len <= JWT_MAX);
	assert_int_equal(read_at(token, len, NOW), 0);
	memset(claims + n, 'x', 7000);
	(void)snprintf(claims + n + 7000, 3, "\"}");
	len = make_bytes(HEADER, claims, (size_t)n + 7002);
	assert_true(len > JWT_MAX);
	assert_int_equal(read_at(token, len, NOW), ERR_SYNTAX);
}

static void
test_algorithm(void **state)
{
	static const char *const wrong[] = { "{}", "{\"typ\":\"JWT\"}",
		"{\"alg\":\"none\"}", "{\"alg\":\"None\"}", "{\"alg\":\"\"}",
		"{\"alg\":\"hs256\"}", "{\"alg\":\"HS256 \"}",
		"{\"alg\":\"HS256\\u0000\"}", "{\"alg\":\"HS384\"}",
		"{\"alg\":\"HS512\"}", "{\"alg\":\"RS256\"}",
		"{\"alg\":\"ES256\"}", "{\"alg\":null}", "{\"alg\":true}",
		"{\"alg\":[\"HS256\"]}", "{\"ALG\":\"HS256\"}" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_refused(make(wrong[i], "{" GOOD USER "}"), ERR_ACCESS,
		    "algorithm is not HS256");
	assert_refused(
	    make("{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}",
		"{" GOOD USER "}"),
	    ERR_ACCESS, "crit");
	/* Which of the two would count? */
	assert_refused(
	    make("{\"alg\":\"none\",\"alg\":\"HS256\"}", "{" GOOD USER "}"),
	    ERR_SYNTAX, "header");
	assert_int_equal(read_token(make("{\"alg\":\"HS256\",\"kid\":\"x\"}",
			     "{" GOOD USER "}")),
	    0);
}

/* alg none has no signature at all. */
static void
test_unsigned(void **state)
{
	char *dot;

	(void)state;
	(void)make("{\"alg\":\"none\"}", "{" GOOD USER "}");
	dot = strrchr(token, '.');
	dot[1] = '\0';
	assert_refused(token, ERR_ACCESS, "algorithm");
	(void)make(HEADER, "{" GOOD USER "}");
	dot = strrchr(token, '.');
	dot[1] = '\0';
	assert_refused(token, ERR_ACCESS, "signature is wrong");
	(void)snprintf(dot, 4, ".AA");
	assert_refused(token, ERR_ACCESS, "signature is wrong");
	*dot = '\0';
	assert_refused(token, ERR_SYNTAX, "three parts");
}

static void
test_keys(void **state)
{
	struct keyring *old = site.keys, *next;

	(void)state;
	/* Without a key nobody can be believed. */
	site.keys = NULL;
	assert_refused(site_token, ERR_ACCESS, "no signature_key");
	assert_int_equal(keyring_new("sha512", &next), 0);
	site.keys = next;
	assert_refused(site_token, ERR_ACCESS, "no signature_key");
	assert_int_equal(keyring_add(next, SLICE("the next one")), 0);
	assert_refused(site_token, ERR_ACCESS, "signature is wrong");
	assert_int_equal(keyring_add(next, SLICE("test-signature-key")), 0);
	assert_int_equal(read_token(site_token), 0);
	keyring_free(&site.keys);
	site.keys = old;
}

static void
test_times(void **state)
{
	size_t len = sizeof(site_token) - 1;

	(void)state;
	assert_int_equal(
	    read_at(site_token, len, 1795418117 + JWT_LEEWAY_S - 1), 0);
	assert_int_equal(
	    read_at(site_token, len, 1795418117 + JWT_LEEWAY_S), ERR_ACCESS);
	assert_non_null(strstr(why, "expired"));
	assert_int_equal(
	    read_at(site_token, len, 1795374917 - JWT_LEEWAY_S), 0);
	assert_int_equal(
	    read_at(site_token, len, 1795374917 - JWT_LEEWAY_S - 1),
	    ERR_ACCESS);
	assert_non_null(strstr(why, "future"));
}

#define ISS "\"iss\":\"" HOST_ID "\""

static void
test_wrong_times(void **state)
{
	(void)state;
	assert_claims_refused("{" ISS USER "}", "(exp)");
	assert_claims_refused("{" ISS USER ",\"exp\":null}", "(exp)");
	assert_claims_refused("{" ISS USER ",\"exp\":\"1795418117\"}", "(exp)");
	assert_claims_refused("{" ISS USER ",\"exp\":-1}", "(exp)");
	assert_claims_refused("{" ISS USER ",\"exp\":0}", "(exp)");
	assert_claims_refused("{" ISS USER ",\"exp\":1e300}", "(exp)");
	assert_claims_refused(
	    "{" ISS USER ",\"exp\":9223372036854775807}", "(exp)");
	assert_claims_refused(
	    "{" ISS USER ",\"exp\":1795418117,\"iat\":\"0\"}", "(iat)");
	assert_claims_refused(
	    "{" ISS USER ",\"exp\":1795418117,\"iat\":1795375061}", "(iat)");
	assert_claims_refused("{" GOOD USER ",\"nbf\":1795375061}", "(nbf)");
	assert_claims_refused("{" GOOD USER ",\"nbf\":null}", "(nbf)");
	assert_int_equal(
	    read_token(make(HEADER, "{" GOOD USER ",\"nbf\":1795375060}")), 0);
	/* iat may be missing, and times may have fractions. */
	assert_int_equal(
	    read_token(make(HEADER, "{" ISS USER ",\"exp\":1795418117.5}")), 0);
	assert_int_equal(jwt.expires, 1795418117);
}

static void
test_issuer(void **state)
{
	(void)state;
	assert_claims_refused("{\"exp\":1795418117" USER "}", "(iss)");
	assert_claims_refused(
	    "{\"iss\":7,\"exp\":1795418117" USER "}", "(iss)");
	assert_claims_refused(
	    "{\"iss\":\"other\",\"exp\":1795418117" USER "}", "(iss)");
	assert_claims_refused("{\"iss\":\"" HOST_ID
			      "\\u0000\",\"exp\":1795418117" USER "}",
	    "(iss)");
	site.host_id = NULL;
	assert_int_equal(read_token(make(HEADER,
			     "{\"iss\":\"other\",\"exp\":1795418117" USER "}")),
	    0);
	assert_claims_refused("{\"exp\":1795418117" USER "}", "(iss)");
}

static void
assert_user(const char *sub, uint64_t want)
{
	char claims[256];

	(void)snprintf(claims, sizeof(claims), "{" GOOD ",\"sub\":%s}", sub);
	assert_int_equal(read_token(make(HEADER, claims)), 0);
	assert_true(jwt.has_user);
	assert_int_equal(jwt.user, want);
	assert_int_equal(jwt.channels.n, 0);
}

static void
test_users(void **state)
{
	static const char *const wrong[] = { "\"\"", "\"a\"", "\"-1\"",
		"\"+1\"", "\" 1\"", "\"1 \"", "\"1.0\"", "\"1\\u0000\"",
		"\"0x1\"", "\"9007199254740993\"", "\"18446744073709551617\"",
		"-1", "1.5", "1.0", "9007199254740993", "null", "true", "[1]",
		"{}" };

	(void)state;
	assert_user("\"1\"", 1);
	assert_user("7", 7);
	assert_user("\"9007199254740992\"", UINT64_C(1) << 53);
	assert_user("9007199254740992", UINT64_C(1) << 53);
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		char claims[256];

		(void)snprintf(claims, sizeof(claims),
		    "{" GOOD ",\"chan\":\"" SH "\",\"sub\":%s}", wrong[i]);
		assert_claims_refused(claims, "(sub)");
	}
	/* A visitor: no user, so that there must be a channel. */
	assert_claims_refused(
	    "{" GOOD ",\"sub\":\"0\"}", "no user and no channel");
	assert_int_equal(read_token(make(HEADER,
			     "{" GOOD ",\"sub\":0,\"chan\":\"" SH "\"}")),
	    0);
	assert_false(jwt.has_user);
}

static void
test_channels(void **state)
{
	(void)state;
	assert_int_equal(read_token(make(HEADER,
			     "{" GOOD ",\"chan\":\"" PR ":" PU "," SH "\"}")),
	    0);
	assert_false(jwt.has_user);
	assert_int_equal(jwt.channels.n, 2);
	assert_true(jwt.channels.at[0].has_pub);
	assert_memory_equal(jwt.channels.at[1].id, SH, BX_ID_LEN);
	assert_int_equal(
	    read_token(make(HEADER, "{" GOOD USER ",\"chan\":\"\"}")), 0);
	assert_int_equal(jwt.channels.n, 0);
	assert_claims_refused("{" GOOD "}", "no user and no channel");
	assert_claims_refused(
	    "{" GOOD ",\"chan\":\"\"}", "no user and no channel");
	assert_claims_refused("{" GOOD USER ",\"chan\":\"x\"}", "(chan)");
	assert_claims_refused("{" GOOD USER ",\"chan\":[]}", "(chan)");
	assert_claims_refused("{" GOOD USER ",\"chan\":null}", "(chan)");
	assert_claims_refused(
	    "{" GOOD USER ",\"chan\":\"" SH "\\u0000\"}", "(chan)");
	assert_claims_refused(
	    "{" GOOD USER ",\"chan\":\"" SH "/" PR "\"}", "(chan)");
}

static void
test_claims(void **state)
{
	(void)state;
	assert_int_equal(
	    read_token(make(HEADER,
		"{" GOOD USER ",\"aud\":[1,{\"x\":null}],\"jti\":\"a\"}")),
	    0);
	assert_refused(make(HEADER, "[]"), ERR_SYNTAX, "claims");
	assert_refused(make(HEADER, ""), ERR_SYNTAX, "claims");
	assert_refused(make(HEADER, "{" GOOD USER), ERR_SYNTAX, "claims");
	/* Which of the two would count? */
	assert_refused(
	    make(HEADER, "{" GOOD USER USER "}"), ERR_SYNTAX, "claims");
	/* Nothing of what was refused is left. */
	assert_claims_refused("{" GOOD USER ",\"chan\":\"x\"}", "(chan)");
	assert_int_equal(jwt.channels.n, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_site_token),
		TEST(test_rfc_token),
		TEST(test_changed_bytes),
		TEST(test_form),
		TEST(test_canonical),
		TEST(test_longest),
		TEST(test_algorithm),
		TEST(test_unsigned),
		TEST(test_keys),
		TEST(test_times),
		TEST(test_wrong_times),
		TEST(test_issuer),
		TEST(test_users),
		TEST(test_channels),
		TEST(test_claims),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
