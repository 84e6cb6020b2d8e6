/*
 * api/bitrix/ids.c - the list of ids that a request names.
 *
 * One wrong id voids the list: a client that sends one has either an old
 * configuration, which the refusal makes it load anew, or no business here.
 * Ids are counted before they are compared or verified, so what a request can
 * cost is bounded.
 */
#include "api/bitrix/ids.h"

#include <inttypes.h>
#include <stdio.h>

#define SIG_HEX_MAX ((size_t)2 * KEYRING_MAC_MAX)

/* Who vouches for a list beside its signatures. */
enum trust {
	TRUST_NOBODY,
	TRUST_PUBLISHER, /* for plain ids */
	TRUST_TOKEN	 /* for all: they stand in a signed token */
};

/* One element of the list, cut into its parts; ptr NULL: it has none. */
struct element {
	struct slice id, pub, sig;
	struct slice signed_text; /* what the signature is of */
};

/* Lower-case hex digits, each with its value plus one; 0: it is none. */
static const uint8_t hex_digits[256] = {
	['0'] = 1,
	['1'] = 2,
	['2'] = 3,
	['3'] = 4,
	['4'] = 5,
	['5'] = 6,
	['6'] = 7,
	['7'] = 8,
	['8'] = 9,
	['9'] = 10,
	['a'] = 11,
	['b'] = 12,
	['c'] = 13,
	['d'] = 14,
	['e'] = 15,
	['f'] = 16,
};

static unsigned
hex_digit(char c)
{
	return hex_digits[(unsigned char)c] - 1u;
}

static bool
is_hex(struct slice s)
{
	bool is = true;

	for (size_t i = 0; i < s.len; i++)
		is &= hex_digits[(unsigned char)s.ptr[i]] != 0;
	return is;
}

static bool
is_alphanumeric(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') &&
		    !(c >= 'A' && c <= 'Z'))
			return false;
	}
	return true;
}

bool
bx_is_id(struct slice text)
{
	return text.len == BX_ID_LEN && is_hex(text);
}

static void
hex_read(struct slice hex, uint8_t *out)
{
	for (size_t i = 0; i < hex.len / 2; i++)
		out[i] = (uint8_t)(hex_digit(hex.ptr[2 * i]) << 4 |
		    hex_digit(hex.ptr[2 * i + 1]));
}

size_t
bx_hex(struct slice text, uint8_t out[KEYRING_MAC_MAX])
{
	if (text.len % 2 != 0 || text.len > SIG_HEX_MAX || !is_hex(text))
		return 0;
	hex_read(text, out);
	return text.len / 2;
}

/* The part before `c`, and in *rest what follows it; ptr NULL: no such. */
static struct slice
cut(struct slice s, char c, struct slice *rest)
{
	const char *at = s.len != 0 ? memchr(s.ptr, c, s.len) : NULL;

	if (at == NULL) {
		*rest = (struct slice){ NULL, 0 };
		return s;
	}
	*rest = (struct slice){ at + 1, (size_t)(s.ptr + s.len - at) - 1 };
	return (struct slice){ s.ptr, (size_t)(at - s.ptr) };
}

static bool
element_read(struct slice text, int version, struct element *e)
{
	e->signed_text = cut(text, '.', &e->sig);
	e->id = cut(e->signed_text, ':', &e->pub);
	if (e->id.len != BX_ID_LEN ||
	    !(version == 3 ? is_alphanumeric(e->id) : is_hex(e->id)))
		return false;
	if (e->pub.ptr != NULL && (version == 3 || !bx_is_id(e->pub)))
		return false;
	return e->sig.ptr == NULL ||
	    (e->sig.len != 0 && e->sig.len <= SIG_HEX_MAX && is_hex(e->sig));
}

static bool
element_signed(const struct element *e, struct keyring *keys)
{
	uint8_t mac[KEYRING_MAC_MAX];

	if (keyring_empty(keys) || e->sig.ptr == NULL ||
	    e->sig.len != 2 * keyring_mac_len(keys, KEYRING_IDS))
		return false;
	hex_read(e->sig, mac);
	return keyring_verify(keys, KEYRING_IDS, &e->signed_text, 1,
	    (struct slice){ (const char *)mac, e->sig.len / 2 });
}

static bool
element_allowed(const struct element *e, struct keyring *keys, enum trust trust)
{
	if (trust == TRUST_TOKEN)
		return e->sig.ptr == NULL;
	if (e->pub.ptr == NULL &&
	    (trust == TRUST_PUBLISHER ||
		(keyring_empty(keys) && e->sig.ptr == NULL)))
		return true;
	return element_signed(e, keys);
}

/* An id that comes twice may bring its public twin the second time only. */
static void
ids_add(struct bx_ids *ids, const struct element *e)
{
	struct bx_id *to = &ids->at[ids->n];

	for (uint32_t i = 0; i < ids->n; i++) {
		if (memcmp(ids->at[i].id, e->id.ptr, BX_ID_LEN) != 0)
			continue;
		if (ids->at[i].has_pub || e->pub.ptr == NULL)
			return;
		to = &ids->at[i];
	}
	ids->n += to == &ids->at[ids->n];
	memcpy(to->id, e->id.ptr, BX_ID_LEN);
	to->has_pub = e->pub.ptr != NULL;
	if (to->has_pub)
		memcpy(to->pub, e->pub.ptr, BX_ID_LEN);
}

static int
ids_read(struct slice text, char between, int version, struct keyring *keys,
    enum trust trust, struct bx_ids *out)
{
	int err = 0;

	out->n = 0;
	for (unsigned n = 0; text.ptr != NULL && err == 0; n++) {
		struct slice one = cut(text, between, &text);
		struct element e;

		if (n == BX_IDS_MAX)
			err = ERR_TOOBIG;
		else if (!element_read(one, version, &e) ||
		    !element_allowed(&e, keys, trust))
			err = ERR_SYNTAX;
		else
			ids_add(out, &e);
	}
	if (err != 0)
		out->n = 0;
	return err;
}

int
bx_ids_parse(struct slice text, int version, struct keyring *keys, bool trusted,
    struct bx_ids *out)
{
	out->n = 0;
	if (text.len == 0)
		return ERR_NOTFOUND;
	return ids_read(text, '/', version, keys,
	    trusted ? TRUST_PUBLISHER : TRUST_NOBODY, out);
}

int
bx_ids_parse_claim(struct slice text, struct bx_ids *out)
{
	out->n = 0;
	if (text.len == 0)
		return ERR_NOTFOUND;
	return ids_read(text, ',', 5, NULL, TRUST_TOKEN, out);
}

bool
bx_public_signed(
    struct keyring *keys, const char pub[BX_ID_LEN], struct slice mac)
{
	const struct slice parts[] = { SLICE_INIT("public:"),
		{ pub, BX_ID_LEN } };

	return keyring_verify(keys, KEYRING_IDS, parts, COUNT_OF(parts), mac);
}

void
bx_id_hex(const uint8_t bytes[BX_ID_BYTES], char out[BX_ID_LEN])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < BX_ID_BYTES; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
}

void
bx_id_pack(const char hex[BX_ID_LEN], uint8_t out[BX_ID_BYTES])
{
	hex_read((struct slice){ hex, BX_ID_LEN }, out);
}

struct slice
bx_user_id(uint64_t user, char out[BX_USER_SIZE])
{
	int len = snprintf(out, BX_USER_SIZE, "%" PRIu64, user);

	return (struct slice){ out, (size_t)len };
}

static size_t
put(char *out, size_t at, const char *text, size_t len)
{
	assert(len <= BX_NAME_MAX - at);
	memcpy(out + at, text, len);
	return at + len;
}

struct slice
bx_name(const struct licence *l, enum bx_space space, struct slice id,
    char out[BX_NAME_MAX])
{
	static const struct slice prefixes[] = {
		[BX_PRIVATE] = SLICE_INIT(""),
		[BX_PUBLIC] = SLICE_INIT("public/"),
		[BX_USER] = SLICE_INIT("user/"),
	};
	size_t len = 0;

	if (l->client_id != NULL) {
		len = put(out, len, l->client_id, strlen(l->client_id));
		len = put(out, len, "/", 1);
	}
	len = put(out, len, prefixes[space].ptr, prefixes[space].len);
	len = put(out, len, id.ptr, id.len);
	return (struct slice){ out, len };
}
