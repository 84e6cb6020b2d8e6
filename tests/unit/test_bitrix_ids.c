/*
 * tests/unit/test_bitrix_ids.c - whoever gets an id past this list reads the
 * channel; whoever is kept out by mistake gets no messages.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/bitrix/ids.h"

#define PR "0123456789abcdef0123456789abcdef"
#define PU "fedcba9876543210fedcba9876543210"
#define SH "11112222333344445555666677778888"
#define V3 "0123456789ABCDEFGHIJKLMNOPqrstuv"
#define PR_SIG "c563a6b250539ad3f0f803e4c2bb4bb6c0e8d5a5"
#define PRPU_SIG "8452476169565073d1816a2c2a7ce6aef15089ae"
#define SH_SIG "5f261bdf25b6747ae60dbcc9da7a96ebaf3a5c65"
#define PU_SIG "9289d72e2236eeba38df9f19d140d57fd88fff55"

static struct keyring *keys;
static struct bx_ids ids;

static int
setup(void **state)
{
	(void)state;
	if (keyring_new("sha1", &keys) != 0)
		return -1;
	return keyring_add(keys, SLICE("test-signature-key"));
}

static int
teardown(void **state)
{
	(void)state;
	keyring_free(&keys);
	return 0;
}

static int
parse(const char *text, int version, struct keyring *k, bool trusted)
{
	int err = bx_ids_parse(
	    (struct slice){ text, strlen(text) }, version, k, trusted, &ids);

	assert_true(err == 0 ? ids.n != 0 : ids.n == 0);
	return err;
}

static void
assert_id(uint32_t i, const char *id, const char *pub)
{
	assert_true(i < ids.n);
	assert_memory_equal(ids.at[i].id, id, BX_ID_LEN);
	assert_int_equal(ids.at[i].has_pub, pub != NULL);
	if (pub != NULL)
		assert_memory_equal(ids.at[i].pub, pub, BX_ID_LEN);
}

/* What the site gives to its clients. */
static void
test_subscribe(void **state)
{
	(void)state;
	assert_int_equal(
	    parse(PR "." PR_SIG "/" SH "." SH_SIG, 3, keys, false), 0);
	assert_int_equal(ids.n, 2);
	assert_id(0, PR, NULL);
	assert_id(1, SH, NULL);
	assert_int_equal(
	    parse(PR ":" PU "." PRPU_SIG "/" SH "." SH_SIG, 4, keys, false), 0);
	assert_int_equal(ids.n, 2);
	assert_id(0, PR, PU);
	assert_id(1, SH, NULL);
}

static void
test_refused(void **state)
{
	static const char *const wrong[] = {
		/* not signed, or not this */
		PR,
		PR ":" PU,
		PR "." SH_SIG,
		PR ":" PU "." PR_SIG,
		PR "." PRPU_SIG,
		SH ":" PU "." PRPU_SIG,
		PU ":" PR "." PRPU_SIG,
		/* A public id cannot be read, only written to. */
		PU "." PU_SIG,
		/* signatures: truncated, too long, upper case, garbage */
		PR ".",
		PR ".c563a6b250539ad3f0f803e4c2bb4bb6c0e8d5a",
		PR ".c563a6b250539ad3f0f803e4c2bb4bb6c0e8d5",
		PR "." PR_SIG "5",
		PR "." PR_SIG "00",
		PR "." PR_SIG PR_SIG,
		PR ".C563A6B250539AD3F0F803E4C2BB4BB6C0E8D5A5",
		PR ".c563a6b250539ad3f0f803e4c2bb4bb6c0e8d5aG",
		PR "." PR_SIG ".",
		PR "." PR_SIG "." PR_SIG,
		PR ".c563a6b250539ad3f0f803e4c2bb4bb6c0e8d5a4",
		/* ids: length, case, what % left over */
		"0123456789abcdef0123456789abcde." PR_SIG,
		PR "0." PR_SIG,
		"0123456789ABCDEF0123456789ABCDEF." PR_SIG,
		PR "%3A" PU "." PRPU_SIG,
		PR ":" PU "%2E" PRPU_SIG,
		" " PR "." PR_SIG,
		PR "." PR_SIG " ",
		"." PR_SIG,
		PR ":." PR_SIG,
		":" PU "." PU_SIG,
		PR ":" PU ":" PU "." PRPU_SIG,
		/* One is enough to void the list. */
		PR "." PR_SIG "/" SH,
		SH "/" PR "." PR_SIG,
		"/",
		"//",
		PR "." PR_SIG "/",
		"/" PR "." PR_SIG,
		PR "." PR_SIG "//" SH "." SH_SIG,
		PR "." PR_SIG "," SH "." SH_SIG,
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		for (int version = 3; version <= 5; version++) {
			if (parse(wrong[i], version, keys, false) != ERR_SYNTAX)
				fail_msg("%s in version %d", wrong[i], version);
		}
	}
	assert_int_equal(
	    parse(PR ":" PU "." PRPU_SIG, 3, keys, false), ERR_SYNTAX);
	assert_int_equal(parse("", 4, keys, false), ERR_NOTFOUND);
	assert_int_equal(
	    bx_ids_parse((struct slice){ NULL, 0 }, 4, keys, false, &ids),
	    ERR_NOTFOUND);
}

/* NUL ends nothing. */
static void
test_nul(void **state)
{
	static const struct slice wrong[] = {
		SLICE_INIT(PR "." PR_SIG "\0"),
		SLICE_INIT(PR "\0." PR_SIG),
		SLICE_INIT("0123456789abcdef0123456789abcde\0." PR_SIG),
		SLICE_INIT(PR ".c563a6b250539ad3f0f803e4c2bb4bb6c0e8d5a\0"),
		SLICE_INIT("\0"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		if (bx_ids_parse(wrong[i], 4, keys, false, &ids) !=
			ERR_SYNTAX ||
		    bx_ids_parse(wrong[i], 4, keys, true, &ids) != ERR_SYNTAX)
			fail_msg("case %zu", i);
	}
}

/* From the publisher: signed or not, but a twin must be signed. */
static void
test_trusted(void **state)
{
	(void)state;
	assert_int_equal(parse(PR, 4, keys, true), 0);
	assert_id(0, PR, NULL);
	assert_int_equal(
	    parse(PR "/" SH "." PR_SIG "/" PU ".0", 4, keys, true), 0);
	assert_int_equal(ids.n, 3);
	assert_int_equal(parse(PR ":" PU "." PRPU_SIG, 4, keys, true), 0);
	assert_id(0, PR, PU);
	assert_int_equal(parse(PR ":" PU, 4, keys, true), ERR_SYNTAX);
	assert_int_equal(
	    parse(PR ":" PU "." PR_SIG, 4, keys, true), ERR_SYNTAX);
	assert_int_equal(
	    parse(PR ":" PU "." PRPU_SIG, 4, NULL, true), ERR_SYNTAX);
	assert_int_equal(parse(PR "." PR_SIG "/" SH, 4, NULL, true), 0);
	assert_int_equal(parse(PR ".XYZ", 4, keys, true), ERR_SYNTAX);
	assert_int_equal(parse(PR "/x", 4, keys, true), ERR_SYNTAX);
}

/* Version 3 takes other ids than those of md5, too. */
static void
test_version_3(void **state)
{
	struct keyring *other;

	(void)state;
	assert_int_equal(parse(V3, 3, keys, true), 0);
	assert_id(0, V3, NULL);
	assert_int_equal(parse(V3, 4, keys, true), ERR_SYNTAX);
	assert_int_equal(parse(V3, 5, keys, true), ERR_SYNTAX);
	assert_int_equal(keyring_new("sha1", &other), 0);
	assert_int_equal(parse(V3, 3, other, false), 0);
	keyring_free(&other);
	assert_int_equal(
	    parse("0123456789abcdef0123456789abcde_", 3, keys, true),
	    ERR_SYNTAX);
}

/* A site without a key sends bare ids; whatever is signed there is not its. */
static void
test_no_key(void **state)
{
	struct keyring *empty;

	(void)state;
	assert_int_equal(keyring_new("sha1", &empty), 0);
	for (int i = 0; i < 2; i++) {
		struct keyring *k = i == 0 ? NULL : empty;

		assert_int_equal(parse(PR "/" SH, 3, k, false), 0);
		assert_int_equal(ids.n, 2);
		assert_int_equal(parse(PR, 4, k, false), 0);
		assert_int_equal(parse(PR "." PR_SIG, 4, k, false), ERR_SYNTAX);
		assert_int_equal(parse(PR ".", 4, k, false), ERR_SYNTAX);
		assert_int_equal(parse(PR ":" PU, 4, k, false), ERR_SYNTAX);
		assert_int_equal(
		    parse(PR ":" PU "." PRPU_SIG, 4, k, false), ERR_SYNTAX);
	}
	keyring_free(&empty);
}

static void
test_rotation(void **state)
{
	struct keyring *both;

	(void)state;
	assert_int_equal(keyring_new("sha1", &both), 0);
	assert_int_equal(keyring_add(both, SLICE("the next one")), 0);
	assert_int_equal(parse(PR "." PR_SIG, 4, both, false), ERR_SYNTAX);
	assert_int_equal(keyring_add(both, SLICE("test-signature-key")), 0);
	assert_int_equal(parse(PR "." PR_SIG, 4, both, false), 0);
	keyring_free(&both);
}

/* The length of a signature follows from the algorithm. */
static void
test_other_algorithm(void **state)
{
	struct keyring *k;
	const struct slice id = SLICE(PR);
	unsigned char mac[KEYRING_MAC_MAX];
	char text[BX_ID_LEN + 1 + 128 + 1];
	int n = snprintf(text, sizeof(text), "%s.", PR);

	(void)state;
	assert_int_equal(keyring_new("sha512", &k), 0);
	assert_int_equal(keyring_add(k, SLICE("key")), 0);
	assert_int_equal(keyring_sign(k, KEYRING_IDS, &id, 1, mac), 64);
	for (size_t i = 0; i < 64; i++)
		n += snprintf(text + n, 3, "%02x", mac[i]);
	assert_int_equal(parse(text, 4, k, false), 0);
	text[n - 2] = '\0';
	assert_int_equal(parse(text, 4, k, false), ERR_SYNTAX);
	assert_int_equal(parse(PR "." PR_SIG, 4, k, false), ERR_SYNTAX);
	keyring_free(&k);
}

static void
test_named_again(void **state)
{
	(void)state;
	assert_int_equal(
	    parse(PR "/" SH "/" PR "/" SH "/" PR, 4, keys, true), 0);
	assert_int_equal(ids.n, 2);
	assert_id(0, PR, NULL);
	assert_id(1, SH, NULL);
	assert_int_equal(
	    parse(PR "/" PR ":" PU "." PRPU_SIG "/" PR, 4, keys, true), 0);
	assert_int_equal(ids.n, 1);
	assert_id(0, PR, PU);
}

/* A list of n ids; equal ones are counted, too: each costs a check. */
static int
parse_many(unsigned n, bool equal)
{
	char text[33 * 102] = "";
	size_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "%s%032x", i != 0 ? "/" : "", equal ? 7 : i);
	return bx_ids_parse((struct slice){ text, len }, 4, keys, true, &ids);
}

static void
test_many(void **state)
{
	(void)state;
	assert_int_equal(parse_many(100, false), 0);
	assert_int_equal(ids.n, 100);
	assert_id(99, "00000000000000000000000000000063", NULL);
	assert_int_equal(parse_many(101, false), ERR_TOOBIG);
	assert_int_equal(ids.n, 0);
	assert_int_equal(parse_many(100, true), 0);
	assert_int_equal(ids.n, 1);
	assert_int_equal(parse_many(101, true), ERR_TOOBIG);
}

static void
test_claim(void **state)
{
	(void)state;
	assert_int_equal(bx_ids_parse_claim(SLICE(SH), &ids), 0);
	assert_id(0, SH, NULL);
	assert_int_equal(
	    bx_ids_parse_claim(SLICE(PR ":" PU "," SH "," SH), &ids), 0);
	assert_int_equal(ids.n, 2);
	assert_id(0, PR, PU);
	assert_int_equal(bx_ids_parse_claim(SLICE(""), &ids), ERR_NOTFOUND);
	assert_int_equal(
	    bx_ids_parse_claim(SLICE(PR "/" SH), &ids), ERR_SYNTAX);
	assert_int_equal(bx_ids_parse_claim(SLICE(PR ","), &ids), ERR_SYNTAX);
	assert_int_equal(
	    bx_ids_parse_claim(SLICE(PR "." PR_SIG), &ids), ERR_SYNTAX);
	assert_int_equal(ids.n, 0);
}

static void
test_public(void **state)
{
	static const uint8_t mac[] = { 0x92, 0x89, 0xd7, 0x2e, 0x22, 0x36, 0xee,
		0xba, 0x38, 0xdf, 0x9f, 0x19, 0xd1, 0x40, 0xd5, 0x7f, 0xd8,
		0x8f, 0xff, 0x55 };
	const struct slice good = { (const char *)mac, sizeof(mac) };

	(void)state;
	assert_true(bx_public_signed(keys, PU, good));
	assert_false(bx_public_signed(keys, PR, good));
	assert_false(bx_public_signed(
	    keys, PU, (struct slice){ (const char *)mac, sizeof(mac) - 1 }));
	assert_false(bx_public_signed(keys, PU, (struct slice){ NULL, 0 }));
	assert_false(bx_public_signed(keys, PU, SLICE(PU_SIG)));
	assert_false(bx_public_signed(NULL, PU, good));
}

static void
test_hex(void **state)
{
	uint8_t bytes[BX_ID_BYTES];
	char hex[BX_ID_LEN];

	(void)state;
	bx_id_pack(PU, bytes);
	assert_int_equal(bytes[0], 0xfe);
	assert_int_equal(bytes[15], 0x10);
	bx_id_hex(bytes, hex);
	assert_memory_equal(hex, PU, BX_ID_LEN);
}

/* No two things have one name. */
static void
test_names(void **state)
{
	struct licence own = { .client_id = NULL };
	static char client[] = "abcdefghabcdefghabcdefghabcdefgh"
			       "abcdefghabcdefghabcdefghabcdefgh";
	struct licence shared = { .client_id = client };
	char out[BX_NAME_MAX];

	(void)state;
	assert_true(slice_is(bx_name(&own, BX_PRIVATE, SLICE(PR), out), PR));
	assert_true(
	    slice_is(bx_name(&own, BX_PUBLIC, SLICE(PU), out), "public/" PU));
	assert_true(
	    slice_is(bx_name(&own, BX_USER, SLICE("7"), out), "user/7"));
	assert_true(slice_is(bx_name(&shared, BX_PUBLIC, SLICE(PU), out),
	    "abcdefghabcdefghabcdefghabcdefgh"
	    "abcdefghabcdefghabcdefghabcdefgh/public/" PU));
	client[32] = '\0';
	assert_true(slice_is(bx_name(&shared, BX_PRIVATE, SLICE(PR), out),
	    "abcdefghabcdefghabcdefghabcdefgh/" PR));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_subscribe),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_trusted),
		cmocka_unit_test(test_version_3),
		cmocka_unit_test(test_no_key),
		cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_other_algorithm),
		cmocka_unit_test(test_named_again),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_claim),
		cmocka_unit_test(test_public),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
