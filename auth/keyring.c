/*
 * auth/keyring.c - HMAC with any of several keys.
 *
 * A context of OpenSSL is begun with a key once, when the key is added, and
 * begun again without one for each use: the same key, and no work for it.  A
 * signature is checked with every poll, and to copy a context instead would
 * cost several times as much (ARCHITECTURE.md, "Parts, and why").
 *
 * These functions count as deprecated since OpenSSL 3.0.  EVP_MAC, which is
 * there in their place, does the same from 3.0.3 on; before, it begins again
 * with what the last use left, and 1.1.1 has none.
 */
#define OPENSSL_API_COMPAT 0x10101000L /* before the headers */

#include "auth/keyring.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define USES 2 /* enum keyring_use */

struct key {
	HMAC_CTX *hmac[USES];
};

struct keyring {
	const EVP_MD *algo[USES];
	struct key *keys;
	size_t n;
};

static void
key_release(struct key *k)
{
	for (size_t i = 0; i < USES; i++)
		HMAC_CTX_free(k->hmac[i]);
}

static int
key_init(struct key *k, const EVP_MD *const algo[USES], struct slice text)
{
	bool good = text.len <= INT_MAX;

	memset(k, 0, sizeof(*k));
	for (size_t i = 0; i < USES && good; i++) {
		k->hmac[i] = HMAC_CTX_new();
		good = k->hmac[i] != NULL &&
		    HMAC_Init_ex(k->hmac[i], text.ptr, (int)text.len, algo[i],
			NULL) == 1;
	}
	if (good)
		return 0;
	key_release(k);
	return ERR_NOMEM;
}

/* Some digests have a name but cannot be had, or make no HMAC. */
static bool
algo_works(const EVP_MD *algo)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned len;

	return algo != NULL &&
	    HMAC(algo, "", 0, (const unsigned char *)"", 0, mac, &len) !=
	    NULL &&
	    len <= KEYRING_MAC_MAX;
}

int
keyring_new(const char *algo, struct keyring **out)
{
	const EVP_MD *md = EVP_get_digestbyname(algo);
	struct keyring *k;

	if (!algo_works(md))
		return ERR_CONFIG;
	k = calloc(1, sizeof(*k));
	if (k == NULL)
		return ERR_NOMEM;
	k->algo[KEYRING_IDS] = md;
	k->algo[KEYRING_TOKENS] = EVP_sha256();
	*out = k;
	return 0;
}

void
keyring_free(struct keyring **kp)
{
	struct keyring *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	for (size_t i = 0; i < k->n; i++)
		key_release(&k->keys[i]);
	free(k->keys);
	free(k);
}

int
keyring_add(struct keyring *k, struct slice key)
{
	struct key *keys;
	int err;

	if (key.len == 0)
		return ERR_CONFIG;
	keys = realloc(k->keys, (k->n + 1) * sizeof(*keys));
	if (keys == NULL)
		return ERR_NOMEM;
	k->keys = keys;
	err = key_init(&keys[k->n], k->algo, key);
	k->n += err == 0;
	return err;
}

bool
keyring_empty(const struct keyring *k)
{
	return k == NULL || k->n == 0;
}

size_t
keyring_mac_len(const struct keyring *k, enum keyring_use use)
{
	return (size_t)EVP_MD_size(k->algo[use]);
}

/* 0: no memory. */
static size_t
key_mac(const struct key *k, enum keyring_use use, const struct slice *parts,
    size_t n, unsigned char out[KEYRING_MAC_MAX])
{
	HMAC_CTX *hmac = k->hmac[use];
	unsigned len = 0;
	bool good = HMAC_Init_ex(hmac, NULL, 0, NULL, NULL) == 1;

	for (size_t i = 0; i < n && good; i++)
		good = HMAC_Update(hmac, (const unsigned char *)parts[i].ptr,
			   parts[i].len) == 1;
	return good && HMAC_Final(hmac, out, &len) == 1 ? len : 0;
}

bool
keyring_verify(struct keyring *k, enum keyring_use use,
    const struct slice *parts, size_t n, struct slice mac)
{
	unsigned char own[KEYRING_MAC_MAX];
	bool good = false;

	if (keyring_empty(k) || mac.len != keyring_mac_len(k, use))
		return false;
	/* All keys, so that time does not tell which of them it was. */
	for (size_t i = 0; i < k->n; i++) {
		size_t len = key_mac(&k->keys[i], use, parts, n, own);

		good |= len == mac.len && CRYPTO_memcmp(own, mac.ptr, len) == 0;
	}
	OPENSSL_cleanse(own, sizeof(own));
	return good;
}

size_t
keyring_sign(struct keyring *k, enum keyring_use use, const struct slice *parts,
    size_t n, unsigned char out[KEYRING_MAC_MAX])
{
	return keyring_empty(k) ? 0 : key_mac(&k->keys[0], use, parts, n, out);
}

size_t
keyring_count(const struct keyring *k)
{
	return k != NULL ? k->n : 0;
}

const char *
keyring_algo(const struct keyring *k)
{
	return k != NULL ? EVP_MD_name(k->algo[KEYRING_IDS]) : NULL;
}
