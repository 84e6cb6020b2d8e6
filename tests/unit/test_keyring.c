/*
 * tests/unit/test_keyring.c - a signature that is taken for good opens any
 * channel of a site; one that is refused keeps all of its users away.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "auth/keyring.h"

#define SITE_KEY "test-signature-key"
#define PRIVATE "0123456789abcdef0123456789abcdef"
#define PUBLIC "fedcba9876543210fedcba9876543210"
#define SHARED "11112222333344445555666677778888"

static struct keyring *
keyring_of(const char *algo, struct slice key)
{
	struct keyring *k;

	assert_int_equal(keyring_new(algo, &k), 0);
	assert_int_equal(keyring_add(k, key), 0);
	return k;
}

static size_t
unhex(const char *hex, unsigned char *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		out[i] = (unsigned char)byte;
	}
	return n;
}

/* It makes this MAC, and takes it for good. */
static void
assert_mac(
    struct keyring *k, enum keyring_use use, struct slice text, const char *hex)
{
	unsigned char want[KEYRING_MAC_MAX], got[KEYRING_MAC_MAX];
	size_t len = unhex(hex, want);

	assert_int_equal(keyring_mac_len(k, use), len);
	assert_int_equal(keyring_sign(k, use, &text, 1, got), len);
	assert_memory_equal(got, want, len);
	assert_true(keyring_verify(
	    k, use, &text, 1, (struct slice){ (const char *)want, len }));
}

static void
assert_site_mac(const char *text, const char *hex)
{
	struct keyring *k = keyring_of("sha1", SLICE(SITE_KEY));

	assert_mac(k, KEYRING_IDS, (struct slice){ text, strlen(text) }, hex);
	keyring_free(&k);
	assert_null(k);
}

/* As the site's own module signs. */
static void
test_site(void **state)
{
	(void)state;
	assert_site_mac(
	    PRIVATE ":" PUBLIC, "8452476169565073d1816a2c2a7ce6aef15089ae");
	assert_site_mac(SHARED, "5f261bdf25b6747ae60dbcc9da7a96ebaf3a5c65");
	assert_site_mac(
	    "public:" PUBLIC, "9289d72e2236eeba38df9f19d140d57fd88fff55");
	assert_site_mac(PRIVATE, "c563a6b250539ad3f0f803e4c2bb4bb6c0e8d5a5");
}

struct vector {
	struct slice key, text;
	const char *sha256, *sha384, *sha512;
};

/* RFC 4231, cases 1 to 4 and 6: the last has a key longer than a block. */
static void
test_rfc4231(void **state)
{
	static char k20[20], k25[25], k131[131], aa[20], dd[50], cd[50];
	const struct vector vectors[] = {
		{ { k20, 20 }, SLICE_INIT("Hi There"),
		    "b0344c61d8db38535ca8afceaf0bf12b"
		    "881dc200c9833da726e9376c2e32cff7",
		    "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c"
		    "7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
		    "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b305"
		    "45e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f170"
		    "2e696c203a126854" },
		{ SLICE_INIT("Jefe"),
		    SLICE_INIT("what do ya want for nothing?"),
		    "5bdcc146bf60754e6a042426089575c7"
		    "5a003f089d2739839dec58b964ec3843",
		    "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec373"
		    "6322445e8e2240ca5e69e2c78b3239ecfab21649",
		    "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7"
		    "ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b"
		    "636e070a38bce737" },
		{ { aa, 20 }, { dd, 50 },
		    "773ea91e36800e46854db8ebd09181a7"
		    "2959098b3ef8c122d9635514ced565fe",
		    "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e5"
		    "5966144b2a5ab39dc13814b94e3ab6e101a34f27",
		    "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33"
		    "b2279d39bf3e848279a722c806b485a47e67c807b946a337bee89426"
		    "74278859e13292fb" },
		{ { k25, 25 }, { cd, 50 },
		    "82558a389a443c0ea4cc819899f2083a"
		    "85f0faa3e578f8077a2e3ff46729665b",
		    "3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e"
		    "1f573b4e6801dd23c4a7d679ccf8a386c674cffb",
		    "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050"
		    "361ee3dba91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2d"
		    "e2adebeb10a298dd" },
		{ { k131, 131 },
		    SLICE_INIT("Test Using Larger Than Block-Size Key - Hash "
			       "Key First"),
		    "60e431591ee0b67f0d8a26aacbf5b77f"
		    "8e0bc6213728c5140546040f0ee37f54",
		    "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05"
		    "033ac4c60c2ef6ab4030fe8296248df163f44952",
		    "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b0137"
		    "83f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec"
		    "8b915a985d786598" },
	};
	const struct {
		const char *algo;
		size_t offset;
	} algos[] = {
		{ "sha256", offsetof(struct vector, sha256) },
		{ "sha384", offsetof(struct vector, sha384) },
		{ "sha512", offsetof(struct vector, sha512) },
	};

	(void)state;
	memset(k20, 0x0b, sizeof(k20));
	memset(aa, 0xaa, sizeof(aa));
	memset(dd, 0xdd, sizeof(dd));
	memset(cd, 0xcd, sizeof(cd));
	memset(k131, 0xaa, sizeof(k131));
	for (char i = 0; i < 25; i++)
		k25[(int)i] = (char)(i + 1);
	for (size_t i = 0; i < COUNT_OF(vectors) * COUNT_OF(algos); i++) {
		const struct vector *v = &vectors[i / COUNT_OF(algos)];
		size_t a = i % COUNT_OF(algos);
		struct keyring *k = keyring_of(algos[a].algo, v->key);

		assert_mac(k, KEYRING_IDS, v->text,
		    *(const char *const *)(const void *)((const char *)v +
			algos[a].offset));
		/* Tokens are HS256, whatever the ids are signed with. */
		assert_mac(k, KEYRING_TOKENS, v->text, v->sha256);
		keyring_free(&k);
	}
}

/* How a text is cut into parts makes no difference. */
static void
test_parts(void **state)
{
	struct keyring *k = keyring_of("sha1", SLICE(SITE_KEY));
	const struct slice parts[] = { SLICE_INIT(PRIVATE), { NULL, 0 },
		SLICE_INIT(":"), SLICE_INIT(PUBLIC) };
	const struct slice whole = SLICE(PRIVATE ":" PUBLIC);
	unsigned char one[KEYRING_MAC_MAX], other[KEYRING_MAC_MAX];

	(void)state;
	assert_int_equal(
	    keyring_sign(k, KEYRING_IDS, parts, COUNT_OF(parts), one), 20);
	assert_int_equal(keyring_sign(k, KEYRING_IDS, &whole, 1, other), 20);
	assert_memory_equal(one, other, 20);
	assert_true(keyring_verify(k, KEYRING_IDS, parts, COUNT_OF(parts),
	    (struct slice){ (char *)other, 20 }));
	keyring_free(&k);
}

/* One bit wrong anywhere, or a byte more or less. */
static void
test_wrong_macs(void **state)
{
	struct keyring *k = keyring_of("sha1", SLICE(SITE_KEY));
	const struct slice text = SLICE(SHARED);
	char mac[KEYRING_MAC_MAX + 1] = "";

	(void)state;
	assert_int_equal(
	    keyring_sign(k, KEYRING_IDS, &text, 1, (unsigned char *)mac), 20);
	for (int i = 0; i < 160; i++) {
		mac[i / 8] ^= (char)(1 << i % 8);
		assert_false(keyring_verify(
		    k, KEYRING_IDS, &text, 1, (struct slice){ mac, 20 }));
		mac[i / 8] ^= (char)(1 << i % 8);
	}
	for (size_t len = 0; len <= sizeof(mac); len++)
		assert_int_equal(keyring_verify(k, KEYRING_IDS, &text, 1,
				     (struct slice){ mac, len }),
		    len == 20);
	assert_false(keyring_verify(
	    k, KEYRING_TOKENS, &text, 1, (struct slice){ mac, 20 }));
	assert_false(keyring_verify(
	    k, KEYRING_IDS, &text, 0, (struct slice){ mac, 20 }));
	keyring_free(&k);
}

/* While a key is replaced both are good, and the first one signs. */
static void
test_rotation(void **state)
{
	struct keyring *old = keyring_of("sha1", SLICE("old"));
	struct keyring *both = keyring_of("sha1", SLICE("new"));
	struct keyring *other = keyring_of("sha1", SLICE("other"));
	const struct slice text = SLICE(PRIVATE);
	unsigned char mac[KEYRING_MAC_MAX];
	const struct slice s = { (char *)mac, 20 };

	(void)state;
	assert_int_equal(keyring_add(both, SLICE("old")), 0);
	assert_int_equal(keyring_sign(old, KEYRING_IDS, &text, 1, mac), 20);
	assert_true(keyring_verify(both, KEYRING_IDS, &text, 1, s));
	assert_int_equal(keyring_sign(both, KEYRING_IDS, &text, 1, mac), 20);
	assert_true(keyring_verify(both, KEYRING_IDS, &text, 1, s));
	assert_false(keyring_verify(old, KEYRING_IDS, &text, 1, s));
	assert_int_equal(keyring_sign(other, KEYRING_IDS, &text, 1, mac), 20);
	assert_false(keyring_verify(both, KEYRING_IDS, &text, 1, s));
	keyring_free(&old);
	keyring_free(&both);
	keyring_free(&other);
}

static void
test_no_keys(void **state)
{
	const struct slice text = SLICE(PRIVATE);
	unsigned char mac[KEYRING_MAC_MAX] = { 0 };
	struct keyring *k = NULL;

	(void)state;
	assert_true(keyring_empty(NULL));
	assert_false(keyring_verify(
	    NULL, KEYRING_IDS, &text, 1, (struct slice){ (char *)mac, 20 }));
	assert_int_equal(keyring_sign(NULL, KEYRING_IDS, &text, 1, mac), 0);
	assert_int_equal(keyring_new("sha1", &k), 0);
	assert_true(keyring_empty(k));
	assert_false(keyring_verify(
	    k, KEYRING_IDS, &text, 1, (struct slice){ (char *)mac, 20 }));
	assert_int_equal(keyring_sign(k, KEYRING_IDS, &text, 1, mac), 0);
	/* Anybody can sign with an empty key. */
	assert_int_equal(keyring_add(k, SLICE("")), ERR_CONFIG);
	assert_true(keyring_empty(k));
	keyring_free(&k);
	keyring_free(&k); /* NULL is allowed */
}

static void
test_algorithms(void **state)
{
	static const char *const wrong[] = { "", "none", "sha3", "shake128",
		"shake256", "aes-128-cbc", "sha1 " };
	static const struct {
		const char *name;
		size_t len;
	} good[] = { { "sha1", 20 }, { "SHA1", 20 }, { "sha256", 32 },
		{ "sha384", 48 }, { "sha512", 64 } };
	struct keyring *k = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		if (keyring_new(wrong[i], &k) != ERR_CONFIG)
			fail_msg("taken for an algorithm: \"%s\"", wrong[i]);
	}
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		assert_int_equal(keyring_new(good[i].name, &k), 0);
		assert_int_equal(keyring_mac_len(k, KEYRING_IDS), good[i].len);
		assert_int_equal(keyring_mac_len(k, KEYRING_TOKENS), 32);
		keyring_free(&k);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_site),
		cmocka_unit_test(test_rfc4231),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_wrong_macs),
		cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_no_keys),
		cmocka_unit_test(test_algorithms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
