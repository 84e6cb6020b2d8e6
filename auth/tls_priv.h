/*
 * auth/tls_priv.h - what tls.c (connections) and tls_certs.c (what they begin
 * with) share.
 */
#ifndef AUTH_TLS_PRIV_H
#define AUTH_TLS_PRIV_H

#include "auth/tls.h"

#include <openssl/ssl.h>

#define TICKET_KEYS 80 /* bytes; what OpenSSL has for them */

struct tls_cert {
	SSL_CTX *ctx;
	X509 *x;
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
};

struct tls_certs {
	unsigned refs;
	size_t n;
	struct tls_cert *list;
	BIO_METHOD *bio;
	uint64_t keys_ms; /* when the keys of tickets were made; monotonic */
};

/* The first one's context is what a connection begins with.  Called before, so
 * that the keys of tickets do not grow old. */
void tls_certs_refresh(struct tls_certs *c);

/* Bytes from and to a connection's descriptor.  NULL: no memory. */
BIO_METHOD *tls_bio_method_new(void);

#endif
