/*
 * tests/fuzz/fuzz_bitrix_ids.c - any bytes as CHANNEL_ID, and as the claim of a
 * token.
 *
 * What was read must come out the same when it is written, signed and read
 * again.  The first byte says for which version, from whom, with or without a
 * key.
 */
#include "tests/fuzz/check.h"

#include <stdio.h>

#include "api/bitrix/ids.h"

#define ELEMENT_MAX (2 * BX_ID_LEN + 2 + 2 * KEYRING_MAC_MAX + 1)

/* Too large for a stack that sanitizers widen. */
static struct bx_ids ids, again;
static char text[BX_IDS_MAX * ELEMENT_MAX];

static struct keyring *
site_keys(void)
{
	static struct keyring *keys;

	if (keys == NULL) {
		CHECK(keyring_new("sha1", &keys) == 0);
		CHECK(keyring_add(keys, SLICE("test-signature-key")) == 0);
	}
	return keys;
}

static void
check_ids(int version)
{
	uint8_t bytes[BX_ID_BYTES];
	char hex[BX_ID_LEN];

	CHECK(ids.n > 0 && ids.n <= BX_IDS_MAX);
	for (uint32_t i = 0; i < ids.n; i++) {
		const struct bx_id *id = &ids.at[i];

		for (uint32_t j = 0; j < i; j++)
			CHECK(memcmp(ids.at[j].id, id->id, BX_ID_LEN) != 0);
		CHECK(!id->has_pub || version != 3);
		if (version == 3)
			continue;
		bx_id_pack(id->id, bytes);
		bx_id_hex(bytes, hex);
		CHECK(memcmp(hex, id->id, BX_ID_LEN) == 0);
	}
}

static size_t
put_signature(size_t at, struct slice signed_text)
{
	unsigned char mac[KEYRING_MAC_MAX];
	size_t n = keyring_sign(site_keys(), KEYRING_IDS, &signed_text, 1, mac);

	CHECK(n == 20);
	at += (size_t)snprintf(text + at, sizeof(text) - at, ".");
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(
		    text + at, sizeof(text) - at, "%02x", mac[i]);
	return at;
}

/* The list, joined by `between`, each signed where there is a key to do it. */
static struct slice
write_ids(char between, bool sign)
{
	size_t at = 0, start;

	for (uint32_t i = 0; i < ids.n; i++) {
		const struct bx_id *id = &ids.at[i];

		if (i != 0)
			text[at++] = between;
		start = at;
		memcpy(text + at, id->id, BX_ID_LEN);
		at += BX_ID_LEN;
		if (id->has_pub) {
			text[at++] = ':';
			memcpy(text + at, id->pub, BX_ID_LEN);
			at += BX_ID_LEN;
		}
		if (sign)
			at = put_signature(
			    at, (struct slice){ text + start, at - start });
	}
	return (struct slice){ text, at };
}

static void
check_same(int err)
{
	CHECK(err == 0 && again.n == ids.n);
	for (uint32_t i = 0; i < ids.n; i++) {
		const struct bx_id *a = &ids.at[i], *b = &again.at[i];

		CHECK(memcmp(a->id, b->id, BX_ID_LEN) == 0);
		CHECK(a->has_pub == b->has_pub);
		CHECK(!a->has_pub || memcmp(a->pub, b->pub, BX_ID_LEN) == 0);
	}
}

static void
try_list(struct slice list, int version, struct keyring *keys, bool trusted)
{
	struct slice out;
	int err = bx_ids_parse(list, version, keys, trusted, &ids);

	CHECK(err == 0 || err == ERR_NOTFOUND || err == ERR_SYNTAX ||
	    err == ERR_TOOBIG);
	CHECK((err == ERR_NOTFOUND) == (list.len == 0));
	CHECK(err == 0 || ids.n == 0);
	if (err != 0)
		return;
	check_ids(version);
	/* Nobody but the publisher gets by without a signature. */
	CHECK(keys == NULL || trusted || memchr(list.ptr, '.', list.len));
	out = write_ids('/', keys != NULL);
	check_same(bx_ids_parse(out, version, keys, false, &again));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice list = { (const char *)data + 1, size - 1 };

	if (size == 0)
		return 0;
	try_list(list, 3 + data[0] % 3,
	    (data[0] & 0x40) != 0 ? site_keys() : NULL, (data[0] & 0x80) != 0);
	if (bx_ids_parse_claim(list, &ids) == 0) {
		check_ids(5);
		check_same(bx_ids_parse_claim(write_ids(',', false), &again));
	} else {
		CHECK(ids.n == 0);
	}
	return 0;
}
