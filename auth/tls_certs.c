/*
 * auth/tls_certs.c - certificates, from their files to a client's choice.
 *
 * Each has a context of its own.  A handshake begins with the first one's and
 * changes over when the client names a host that another certificate is for.
 * Session tickets are the first one's in any case.  Into a context also go
 * certificates with other kinds of keys (RSA beside ECDSA) that are for the
 * same hosts, and the client takes what it can check.
 */
#include "auth/tls_priv.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"

#define SESSIONS_KEPT 4096 /* of clients that take no tickets */
#define SESSION_S 86400
#define TICKET_KEYS_MS (12 * 3600 * (uint64_t)1000)

/* Forward secrecy and AEAD only.  All of them are good, so the client, who
 * knows what his processor does best, chooses.  Those of TLS 1.3 are
 * OpenSSL's own choice. */
static const char ciphers[] = "ECDHE-ECDSA-AES128-GCM-SHA256:"
			      "ECDHE-RSA-AES128-GCM-SHA256:"
			      "ECDHE-ECDSA-AES256-GCM-SHA384:"
			      "ECDHE-RSA-AES256-GCM-SHA384:"
			      "ECDHE-ECDSA-CHACHA20-POLY1305:"
			      "ECDHE-RSA-CHACHA20-POLY1305";

static const unsigned char alpn[] = "\x08http/1.1\x08http/1.0";

int
tls_certs_new(struct tls_certs **out)
{
	struct tls_certs *c = calloc(1, sizeof(*c));

	*out = NULL;
	if (c == NULL)
		return ERR_NOMEM;
	c->refs = 1;
	c->bio = tls_bio_method_new();
	if (c->bio == NULL) {
		free(c);
		return ERR_NOMEM;
	}
	c->keys_ms = clock_mono_ms();
	*out = c;
	return 0;
}

static void
cert_release(struct tls_cert *one)
{
	SSL_CTX_free(one->ctx);
	X509_free(one->x);
	sk_X509_pop_free(one->chain, X509_free);
	EVP_PKEY_free(one->key);
}

struct tls_certs *
tls_certs_ref(struct tls_certs *c)
{
	c->refs++;
	return c;
}

void
tls_certs_unref(struct tls_certs **cp)
{
	struct tls_certs *c = *cp;

	*cp = NULL;
	if (c == NULL || --c->refs != 0)
		return;
	for (size_t i = 0; i < c->n; i++)
		cert_release(&c->list[i]);
	BIO_meth_free(c->bio);
	free(c->list);
	free(c);
}

/* Names are compared as clients do it: wildcards stand for one label, and the
 * subject's name counts only where there is no other. */
static bool
is_for(X509 *x, const char *host, size_t len)
{
	return X509_check_host(x, host, len,
		   X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

size_t
tls_certs_choose(const struct tls_certs *c, const char *host)
{
	for (size_t i = 0; host != NULL && i < c->n; i++) {
		if (is_for(c->list[i].x, host, strlen(host)))
			return i;
	}
	return 0;
}

static int
server_name_cb(SSL *ssl, int *alert, void *arg)
{
	const struct tls_certs *c = arg;
	const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	size_t i = tls_certs_choose(c, host);

	(void)alert;
	if (i != 0 && SSL_set_SSL_CTX(ssl, c->list[i].ctx) == NULL)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

/* Who offers protocols and not ours is told so (RFC 7301 section 3.2). */
static int
alpn_cb(SSL *ssl, const unsigned char **out, unsigned char *out_len,
    const unsigned char *in, unsigned in_len, void *arg)
{
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_len, alpn, sizeof(alpn) - 1, in,
		in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *
context_new(struct tls_certs *c)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL)
		return NULL;
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, ciphers) != 1 ||
	    SSL_CTX_set_session_id_context(
		ctx, (const unsigned char *)"holdfast", 8) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	(void)SSL_CTX_set_options(
	    ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	(void)SSL_CTX_set_mode(ctx,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
	(void)SSL_CTX_sess_set_cache_size(ctx, SESSIONS_KEPT);
	(void)SSL_CTX_set_timeout(ctx, SESSION_S);
	SSL_CTX_set_alpn_select_cb(ctx, alpn_cb, NULL);
	(void)SSL_CTX_set_tlsext_servername_callback(ctx, server_name_cb);
	(void)SSL_CTX_set_tlsext_servername_arg(ctx, c);
	return ctx;
}

static void PRINTF_LIKE(3, 4)
    say(struct tls_wrong *wrong, bool key, const char *fmt, ...)
{
	va_list ap;

	wrong->key = key;
	va_start(ap, fmt);
	(void)vsnprintf(wrong->text, sizeof(wrong->text), fmt, ap);
	va_end(ap);
}

static FILE *
open_pem(const char *path, bool key, struct tls_wrong *wrong)
{
	FILE *f = fopen(path, "re");

	if (f == NULL)
		say(wrong, key, "%s", strerror(errno));
	return f;
}

/* It would be asked for on a terminal. */
static int
no_passphrase_cb(char *to, int size, int writing, void *asked)
{
	(void)to;
	(void)size;
	(void)writing;
	*(bool *)asked = true;
	return -1;
}

static EVP_PKEY *
load_key(const char *path, struct tls_wrong *wrong)
{
	FILE *f = open_pem(path, true, wrong);
	bool asked = false;
	EVP_PKEY *key;
	struct stat st;

	if (f == NULL)
		return NULL;
	key = PEM_read_PrivateKey(f, NULL, no_passphrase_cb, &asked);
	if (key == NULL)
		say(wrong, true,
		    asked ? "the key has a passphrase, which nobody could give"
			  : "there is no private key in it (PEM)");
	else if (fstat(fileno(f), &st) == 0 && (st.st_mode & S_IROTH) != 0)
		say(wrong, true, "others can read this key");
	(void)fclose(f);
	return key;
}

/* The certificate, then those that lead to its root. */
static int
load_chain(struct tls_cert *one, FILE *f, struct tls_wrong *wrong)
{
	X509 *x;

	one->x = PEM_read_X509_AUX(f, NULL, NULL, NULL);
	if (one->x == NULL) {
		say(wrong, false, "there is no certificate in it (PEM)");
		return ERR_CONFIG;
	}
	one->chain = sk_X509_new_null();
	ERR_clear_error();
	while ((x = PEM_read_X509(f, NULL, NULL, NULL)) != NULL) {
		if (one->chain == NULL || sk_X509_push(one->chain, x) == 0) {
			X509_free(x);
			return ERR_NOMEM;
		}
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
		return 0;
	say(wrong, false, "%s", tls_why());
	return ERR_CONFIG;
}

static void
check_time(const X509 *x, struct tls_wrong *wrong)
{
	if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0)
		say(wrong, false, "the certificate has expired");
	else if (X509_cmp_current_time(X509_get0_notBefore(x)) > 0)
		say(wrong, false, "the certificate is not valid yet");
}

/* ERR_EXISTS: there is one with this kind of key. */
static int
context_use(SSL_CTX *ctx, const struct tls_cert *one)
{
	ERR_clear_error();
	if (SSL_CTX_use_cert_and_key(ctx, one->x, one->key, one->chain, 0) == 1)
		return 0;
	return ERR_GET_REASON(ERR_peek_last_error()) ==
		SSL_R_NOT_REPLACING_CERTIFICATE
	    ? ERR_EXISTS
	    : ERR_CONFIG;
}

static int
cert_load(struct tls_certs *c, struct tls_cert *one, FILE *cert,
    const char *key_path, struct tls_wrong *wrong)
{
	int err;

	one->key = load_key(key_path, wrong);
	if (one->key == NULL)
		return ERR_CONFIG;
	err = load_chain(one, cert, wrong);
	if (err != 0)
		return err;
	if (X509_check_private_key(one->x, one->key) != 1) {
		say(wrong, true, "it is not the key of the certificate");
		return ERR_CONFIG;
	}
	one->ctx = context_new(c);
	if (one->ctx == NULL)
		return ERR_NOMEM;
	err = context_use(one->ctx, one);
	if (err != 0)
		say(wrong, false, "%s", tls_why());
	else
		check_time(one->x, wrong);
	return err;
}

static bool
is_for_name(X509 *x, const GENERAL_NAME *name, bool *any)
{
	const ASN1_STRING *s = NULL;
	const char *bytes;
	size_t len;

	if (name->type == GEN_DNS)
		s = name->d.dNSName;
	else if (name->type == GEN_IPADD)
		s = name->d.iPAddress;
	if (s == NULL)
		return true; /* nobody asks for it here */
	*any = true;
	bytes = (const char *)ASN1_STRING_get0_data(s);
	len = (size_t)ASN1_STRING_length(s);
	return name->type == GEN_DNS
	    ? is_for(x, bytes, len)
	    : X509_check_ip(x, (const unsigned char *)bytes, len, 0) == 1;
}

static bool
is_for_subject(X509 *x, const X509 *of)
{
	const X509_NAME *subject = X509_get_subject_name(of);
	int i = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	const ASN1_STRING *s;

	if (i < 0)
		return false;
	s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i));
	return is_for(x, (const char *)ASN1_STRING_get0_data(s),
	    (size_t)ASN1_STRING_length(s));
}

/* Could x stand for `of`, whichever of its names a client asks for? */
static bool
is_for_all(X509 *x, const X509 *of)
{
	GENERAL_NAMES *names =
	    X509_get_ext_d2i(of, NID_subject_alt_name, NULL, NULL);
	bool all = true, any = false;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && all; i++)
		all = is_for_name(x, sk_GENERAL_NAME_value(names, i), &any);
	GENERAL_NAMES_free(names);
	return any ? all : is_for_subject(x, of);
}

/* Earlier ones go first, as where their keys are of one kind. */
static int
cert_join(struct tls_cert *to, const struct tls_cert *from)
{
	int err = is_for_all(from->x, to->x) ? context_use(to->ctx, from) : 0;

	return err == ERR_EXISTS ? 0 : err;
}

static int
certs_keep(struct tls_certs *c, struct tls_cert *one)
{
	struct tls_cert *list =
	    realloc(c->list, (c->n + 1) * sizeof(struct tls_cert));
	int err = list != NULL ? 0 : ERR_NOMEM;

	if (list != NULL)
		c->list = list;
	for (size_t i = 0; i < c->n && err == 0; i++) {
		err = cert_join(one, &list[i]);
		if (err == 0)
			err = cert_join(&list[i], one);
	}
	if (err == 0)
		list[c->n++] = *one;
	return err;
}

int
tls_certs_add(struct tls_certs *c, const char *cert_path, const char *key_path,
    struct tls_wrong *wrong)
{
	struct tls_cert one = { NULL, NULL, NULL, NULL };
	FILE *f;
	int err;

	wrong->text[0] = '\0';
	ERR_clear_error();
	f = open_pem(cert_path, false, wrong);
	if (f == NULL)
		return ERR_CONFIG;
	err = cert_load(c, &one, f, key_path, wrong);
	if (err == 0)
		err = certs_keep(c, &one);
	if (err == ERR_NOMEM || (err != 0 && wrong->text[0] == '\0'))
		say(wrong, false, "%s", err_text(err));
	if (err != 0)
		cert_release(&one);
	(void)fclose(f);
	ERR_clear_error();
	return err;
}

/* Who learns the keys of tickets could read what was said under them with TLS
 * 1.2, so they do not live as long as we may.  Those who come with an older
 * ticket make a full handshake. */
void
tls_certs_refresh(struct tls_certs *c)
{
	unsigned char keys[TICKET_KEYS];
	uint64_t now_ms = clock_mono_ms();

	if (now_ms - c->keys_ms < TICKET_KEYS_MS)
		return;
	c->keys_ms = now_ms;
	if (RAND_bytes(keys, sizeof(keys)) == 1)
		(void)SSL_CTX_set_tlsext_ticket_keys(
		    c->list[0].ctx, keys, sizeof(keys));
	OPENSSL_cleanse(keys, sizeof(keys));
}
