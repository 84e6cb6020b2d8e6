/*
 * auth/accept.c - SHA-1 of what a WebSocket client sent.
 *
 * No secret is kept by it: it proves to the client that whoever answered
 * speaks WebSocket, so SHA-1's age does not matter here.
 */
#include "auth/accept.h"

#include <openssl/evp.h>

#define SHA1_SIZE 20

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

bool
accept_begin(void)
{
	char out[ACCEPT_KEY_SIZE];

	return accept_key(SLICE(""), out);
}

bool
accept_key(struct slice key, char out[ACCEPT_KEY_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned len = 0;
	bool made;

	if (ctx == NULL)
		return false;
	made = EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 &&
	    EVP_DigestUpdate(ctx, key.ptr, key.len) == 1 &&
	    EVP_DigestUpdate(ctx, guid, sizeof(guid) - 1) == 1 &&
	    EVP_DigestFinal_ex(ctx, digest, &len) == 1 && len == SHA1_SIZE;
	EVP_MD_CTX_free(ctx);
	if (made)
		(void)EVP_EncodeBlock((unsigned char *)out, digest, SHA1_SIZE);
	return made;
}
