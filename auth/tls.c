/*
 * auth/tls.c - OpenSSL, as a server uses it.
 *
 * Each certificate has a context of its own.  A handshake begins with the
 * first one's and changes over when the client names a host that another
 * certificate is for.  Session tickets are the first one's in any case.
 *
 * OpenSSL gets its bytes from a BIO of ours, which counts: within one call it
 * would go on as long as records come that carry nothing for us (key updates,
 * refused renegotiations), and a peer who sends them without end would own
 * the loop.  It does not read ahead, so what we do not ask for stays in the
 * kernel, where the loop sees it.
 *
 * Thousands of connections wait: buffers are given back whenever they are
 * empty, and a peer who connects and says nothing costs a struct tls.
 */
#include "auth/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"

#define READS_A_CALL 64	   /* two for each record */
#define SESSIONS_KEPT 4096 /* of clients that take no tickets */
#define SESSION_S 86400
#define TICKET_KEYS 80 /* bytes; what OpenSSL has for them */
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

struct tls_certs {
	unsigned refs;
	size_t n;
	SSL_CTX **ctx;
	BIO_METHOD *bio;
	uint64_t keys_ms; /* when the keys of tickets were made; monotonic */
};

struct tls {
	SSL *ssl; /* NULL: nothing has come yet */
	struct tls_certs *certs;
	int fd;
	uint16_t reads; /* left in this call */
	bool ended;	/* the descriptor is at its end */
	bool up;
	bool failed; /* nothing more may be asked of ssl */
};

/* The descriptor. */

static int
bio_read(BIO *b, char *to, int len)
{
	struct tls *t = BIO_get_data(b);
	ssize_t n;

	BIO_clear_retry_flags(b);
	if (t->reads == 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	t->reads--;
	n = recv(t->fd, to, (size_t)len, 0);
	t->ended |= n == 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(b);
	return (int)n;
}

static int
bio_write(BIO *b, const char *from, int len)
{
	struct tls *t = BIO_get_data(b);
	ssize_t n = send(t->fd, from, (size_t)len, MSG_NOSIGNAL);

	BIO_clear_retry_flags(b);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(b);
	return (int)n;
}

static long
bio_ctrl(BIO *b, int what, long num, void *ptr)
{
	(void)b;
	(void)num;
	(void)ptr;
	return what == BIO_CTRL_FLUSH;
}

static BIO_METHOD *
bio_method_new(void)
{
	/* No type of its own: there are few, and a reload would take one. */
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "holdfast");

	if (m == NULL || BIO_meth_set_read(m, bio_read) != 1 ||
	    BIO_meth_set_write(m, bio_write) != 1 ||
	    BIO_meth_set_ctrl(m, bio_ctrl) != 1) {
		BIO_meth_free(m);
		return NULL;
	}
	return m;
}

/* Certificates. */

int
tls_certs_new(struct tls_certs **out)
{
	struct tls_certs *c = calloc(1, sizeof(*c));

	*out = NULL;
	if (c == NULL)
		return ERR_NOMEM;
	c->refs = 1;
	c->bio = bio_method_new();
	if (c->bio == NULL) {
		free(c);
		return ERR_NOMEM;
	}
	c->keys_ms = clock_mono_ms();
	*out = c;
	return 0;
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
		SSL_CTX_free(c->ctx[i]);
	BIO_meth_free(c->bio);
	free(c->ctx);
	free(c);
}

size_t
tls_certs_count(const struct tls_certs *c)
{
	return c->n;
}

/* Names are compared as clients do it: wildcards stand for one label, and the
 * subject's name counts only where there is no other. */
size_t
tls_certs_choose(const struct tls_certs *c, const char *host)
{
	for (size_t i = 0; host != NULL && i < c->n; i++) {
		if (X509_check_host(SSL_CTX_get0_certificate(c->ctx[i]), host,
			0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1)
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
	if (i != 0 && SSL_set_SSL_CTX(ssl, c->ctx[i]) == NULL)
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

const char *
tls_why(void)
{
	unsigned long code = ERR_peek_error();
	const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;

	return text != NULL ? text : "the connection broke";
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
use_chain(SSL_CTX *ctx, FILE *f, struct tls_wrong *wrong)
{
	X509 *x = PEM_read_X509_AUX(f, NULL, NULL, NULL);
	bool used;

	if (x == NULL) {
		say(wrong, false, "there is no certificate in it (PEM)");
		return ERR_CONFIG;
	}
	ERR_clear_error();
	used = SSL_CTX_use_certificate(ctx, x) == 1;
	X509_free(x);
	while (used && (x = PEM_read_X509(f, NULL, NULL, NULL)) != NULL) {
		used = SSL_CTX_add1_chain_cert(ctx, x) == 1;
		X509_free(x);
	}
	if (used &&
	    ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
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

static int
use_pair(SSL_CTX *ctx, FILE *f, EVP_PKEY *key, struct tls_wrong *wrong)
{
	int err = use_chain(ctx, f, wrong);

	if (err != 0)
		return err;
	if (X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) != 1) {
		say(wrong, true, "it is not the key of the certificate");
		return ERR_CONFIG;
	}
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1) {
		say(wrong, true, "%s", tls_why());
		return ERR_CONFIG;
	}
	check_time(SSL_CTX_get0_certificate(ctx), wrong);
	return 0;
}

static int
certs_keep(struct tls_certs *c, SSL_CTX *ctx)
{
	SSL_CTX **list = realloc(c->ctx, (c->n + 1) * sizeof(SSL_CTX *));

	if (list == NULL)
		return ERR_NOMEM;
	c->ctx = list;
	list[c->n++] = ctx;
	return 0;
}

int
tls_certs_add(struct tls_certs *c, const char *cert_path, const char *key_path,
    struct tls_wrong *wrong)
{
	SSL_CTX *ctx = NULL;
	EVP_PKEY *key = NULL;
	FILE *f;
	int err = ERR_CONFIG;

	wrong->text[0] = '\0';
	ERR_clear_error();
	f = open_pem(cert_path, false, wrong);
	if (f == NULL)
		return ERR_CONFIG;
	key = load_key(key_path, wrong);
	if (key == NULL)
		goto out;
	ctx = context_new(c);
	err = ctx != NULL ? use_pair(ctx, f, key, wrong) : ERR_NOMEM;
	if (err == 0)
		err = certs_keep(c, ctx);
	if (err == ERR_NOMEM)
		say(wrong, false, "%s", err_text(err));
	if (err != 0)
		SSL_CTX_free(ctx);
out:
	EVP_PKEY_free(key);
	(void)fclose(f);
	ERR_clear_error();
	return err;
}

/* Who learns the keys of tickets could read what was said under them with TLS
 * 1.2, so they do not live as long as we may.  Those who come with an older
 * ticket make a full handshake. */
static void
certs_refresh(struct tls_certs *c)
{
	unsigned char keys[TICKET_KEYS];
	uint64_t now_ms = clock_mono_ms();

	if (now_ms - c->keys_ms < TICKET_KEYS_MS)
		return;
	c->keys_ms = now_ms;
	if (RAND_bytes(keys, sizeof(keys)) == 1)
		(void)SSL_CTX_set_tlsext_ticket_keys(
		    c->ctx[0], keys, sizeof(keys));
	OPENSSL_cleanse(keys, sizeof(keys));
}

/* Connections. */

struct tls *
tls_new(struct tls_certs *certs, int fd)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->certs = tls_certs_ref(certs);
	t->fd = fd;
	return t;
}

void
tls_free(struct tls **tp)
{
	struct tls *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	SSL_free(t->ssl); /* with its BIO */
	tls_certs_unref(&t->certs);
	free(t);
}

bool
tls_is_up(const struct tls *t)
{
	return t->up;
}

bool
tls_is_resumed(const struct tls *t)
{
	return t->up && SSL_session_reused(t->ssl) == 1;
}

static int
ssl_make(struct tls *t)
{
	BIO *bio;

	certs_refresh(t->certs);
	t->ssl = SSL_new(t->certs->ctx[0]);
	bio = t->ssl != NULL ? BIO_new(t->certs->bio) : NULL;
	if (bio == NULL) {
		SSL_free(t->ssl);
		t->ssl = NULL;
		return ERR_NOMEM;
	}
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_accept_state(t->ssl);
	return 0;
}

/* The first byte of a handshake is never a letter; that of HTTP always is. */
static enum tls_result
tls_begin(struct tls *t)
{
	char first;
	ssize_t n = recv(t->fd, &first, 1, MSG_PEEK);

	if (n == 0)
		return TLS_ENDED;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? TLS_WANT_READ
							 : TLS_FAILED;
	if (first >= 'A' && first <= 'Z')
		return TLS_PLAIN;
	return ssl_make(t) == 0 ? TLS_DONE : TLS_FAILED;
}

static void
call_begin(struct tls *t)
{
	ERR_clear_error(); /* or SSL_get_error() reads an older one */
	t->reads = READS_A_CALL;
}

/* Some end without saying goodbye.  Where that matters HTTP has lengths. */
static enum tls_result
call_result(struct tls *t, int ret)
{
	switch (SSL_get_error(t->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_ENDED;
	default:
		t->failed = true;
		return t->ended ? TLS_ENDED : TLS_FAILED;
	}
}

enum tls_result
tls_handshake(struct tls *t)
{
	enum tls_result begun = t->ssl != NULL ? TLS_DONE : tls_begin(t);
	int ret;

	if (begun != TLS_DONE)
		return begun;
	call_begin(t);
	ret = SSL_do_handshake(t->ssl);
	if (ret != 1)
		return call_result(t, ret);
	t->up = true;
	return TLS_DONE;
}

ssize_t
tls_read(struct tls *t, void *to, size_t len)
{
	size_t n;
	int ret;

	assert(t->up);
	if (t->failed)
		return TLS_FAILED;
	call_begin(t);
	ret = SSL_read_ex(t->ssl, to, len, &n);
	return ret == 1 ? (ssize_t)n : (ssize_t)call_result(t, ret);
}

ssize_t
tls_write(struct tls *t, const void *from, size_t len)
{
	size_t n;
	int ret;

	assert(t->up);
	if (t->failed)
		return TLS_FAILED;
	call_begin(t);
	ret = SSL_write_ex(t->ssl, from, len, &n);
	return ret == 1 ? (ssize_t)n : (ssize_t)call_result(t, ret);
}

void
tls_shutdown(struct tls *t)
{
	if (!t->up || t->failed)
		return;
	call_begin(t);
	(void)SSL_shutdown(t->ssl);
}
