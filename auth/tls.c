/*
 * auth/tls.c - a connection's bytes through OpenSSL, as a server uses it.
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
#include "auth/tls_priv.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>

#define READS_A_CALL 64 /* two for each record */

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

BIO_METHOD *
tls_bio_method_new(void)
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

/* Connections. */

const char *
tls_why(void)
{
	unsigned long code = ERR_peek_error();
	const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;

	return text != NULL ? text : "the connection broke";
}

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

	tls_certs_refresh(t->certs);
	t->ssl = SSL_new(t->certs->list[0].ctx);
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
