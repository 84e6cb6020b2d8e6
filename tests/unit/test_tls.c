/*
 * tests/unit/test_tls.c - which certificate a host gets, which files are
 * refused and why, and both directions of a connection whose descriptor takes
 * and gives only a little at a time.
 *
 * A wrong certificate keeps all clients of a host away; a call that does not
 * come back keeps everybody away.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/tls.c"
#include "auth/tls_certs.c"
#include "tests/unit/certs.h"

#define BODY (1 << 20)

enum {
	ONE,
	TWO,
	CN,
	MADE
};

static struct cert_files files[MADE];

static const char *const names[MADE] = {
	[ONE] = "DNS:one.example,DNS:both.example",
	[TWO] = "DNS:*.two.example,DNS:both.example",
};

static int
setup(void **state)
{
	static const char *const subjects[MADE] = { "one.example",
		"two.example", "cn.example" };

	(void)state;
	for (size_t i = 0; i < MADE; i++) {
		if (cert_files_make(
			&files[i], CERT_EC, subjects[i], names[i]) != 0)
			return -1;
	}
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < MADE; i++)
		cert_files_close(&files[i]);
	return 0;
}

static int
add_files(
    struct tls_certs *c, const char *pem, const char *key, const char **said)
{
	static struct tls_wrong wrong;
	int err = tls_certs_add(c, pem, key, &wrong);

	*said = wrong.text;
	return err;
}

static int
add(struct tls_certs *c, size_t pem, size_t key, const char **said)
{
	return add_files(c, files[pem].pem.path, files[key].key.path, said);
}

static struct tls_certs *
all_certs(void)
{
	struct tls_certs *c;
	const char *said;

	assert_int_equal(tls_certs_new(&c), 0);
	for (size_t i = 0; i < MADE; i++) {
		assert_int_equal(add(c, i, i, &said), 0);
		assert_string_equal(said, "");
	}
	return c;
}

static void
test_choose(void **state)
{
	static const struct {
		const char *host;
		size_t want;
	} cases[] = {
		{ NULL, 0 },
		{ "", 0 },
		{ "one.example", 0 },
		{ "both.example", 0 }, /* the first of two */
		{ "a.two.example", 1 },
		{ "A.TWO.example", 1 },
		{ "two.example", 0 },	  /* a label is to be there */
		{ "a.b.two.example", 0 }, /* and one only */
		{ "cn.example", 2 },
		{ "nowhere.example", 0 },
	};
	struct tls_certs *c = all_certs();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(
		    tls_certs_choose(c, cases[i].host), cases[i].want);
	tls_certs_unref(&c);
	assert_null(c);
}

/* A subject that other names stand beside is no name. */
static void
test_common_name_is_last(void **state)
{
	struct tls_certs *c;
	const char *said;

	(void)state;
	assert_int_equal(tls_certs_new(&c), 0);
	assert_int_equal(add(c, CN, CN, &said), 0);
	assert_int_equal(add(c, TWO, TWO, &said), 0);
	assert_int_equal(tls_certs_choose(c, "a.two.example"), 1);
	/* "two.example" is the subject of the second only. */
	assert_int_equal(tls_certs_choose(c, "two.example"), 0);
	tls_certs_unref(&c);
}

static void
test_wrong_files(void **state)
{
	struct tls_certs *c;
	const char *said;

	(void)state;
	assert_int_equal(tls_certs_new(&c), 0);
	assert_int_equal(
	    add_files(c, "/nowhere/x", files[ONE].key.path, &said), ERR_CONFIG);
	assert_non_null(strstr(said, "No such file"));
	assert_int_equal(
	    add_files(c, files[ONE].pem.path, "/nowhere/x", &said), ERR_CONFIG);
	assert_non_null(strstr(said, "No such file"));
	assert_int_equal(add(c, ONE, TWO, &said), ERR_CONFIG);
	assert_string_equal(said, "it is not the key of the certificate");
	assert_int_equal(c->n, 0);
	assert_int_equal(fchmod(files[ONE].key.fd, 0644), 0);
	assert_int_equal(add(c, ONE, ONE, &said), 0);
	assert_string_equal(said, "others can read this key");
	assert_int_equal(fchmod(files[ONE].key.fd, 0600), 0);
	assert_int_equal(c->n, 1);
	tls_certs_unref(&c);
}

/* A client of OpenSSL's own on the other end. */
struct pair {
	int fds[2];
	struct tls *t;
	SSL *client;
	SSL_CTX *ctx;
};

static void
pair_open(struct pair *p, struct tls_certs *c)
{
	static const int small = 4608;

	assert_int_equal(
	    socketpair(
		AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fds),
	    0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(setsockopt(p->fds[i], SOL_SOCKET, SO_SNDBUF,
				     &small, sizeof(small)),
		    0);
	p->t = tls_new(c, p->fds[0]);
	p->ctx = SSL_CTX_new(TLS_client_method());
	p->client = SSL_new(p->ctx);
	assert_non_null(p->t);
	assert_int_equal(SSL_set_fd(p->client, p->fds[1]), 1);
	SSL_set_connect_state(p->client);
}

static void
pair_close(struct pair *p)
{
	SSL_free(p->client);
	SSL_CTX_free(p->ctx);
	tls_free(&p->t);
	assert_null(p->t);
	(void)close(p->fds[0]);
	(void)close(p->fds[1]);
}

static void
pair_shake(struct pair *p)
{
	enum tls_result got = TLS_WANT_READ;

	assert_int_equal(tls_handshake(p->t), TLS_WANT_READ);
	assert_null(p->t->ssl); /* nothing was made for nothing */
	for (int i = 0; i < 100 && !tls_is_up(p->t); i++) {
		(void)SSL_do_handshake(p->client);
		got = tls_handshake(p->t);
	}
	assert_int_equal(got, TLS_DONE);
	while (SSL_do_handshake(p->client) != 1)
		;
	assert_int_equal(tls_read(p->t, &got, 1), TLS_WANT_READ);
}

/* The certificates outlive whoever gave them to us. */
static void
test_shake(void **state)
{
	struct tls_certs *c = all_certs();
	struct pair p;
	char got[16];

	(void)state;
	pair_open(&p, c);
	tls_certs_unref(&c);
	pair_shake(&p);
	assert_false(tls_is_resumed(p.t));
	assert_int_equal(SSL_write(p.client, "hello", 5), 5);
	assert_int_equal(tls_read(p.t, got, sizeof(got)), 5);
	assert_memory_equal(got, "hello", 5);
	assert_int_equal(tls_write(p.t, "hi", 2), 2);
	assert_int_equal(SSL_read(p.client, got, sizeof(got)), 2);
	tls_shutdown(p.t);
	assert_int_equal(SSL_read(p.client, got, sizeof(got)), 0);
	assert_int_equal(SSL_get_error(p.client, 0), SSL_ERROR_ZERO_RETURN);
	pair_close(&p);
}

/* Bytes move and more come behind them, as in a queue, and none is lost. */
static void
test_write_in_pieces(void **state)
{
	struct tls_certs *c = all_certs();
	char *body = malloc(BODY), *copy, *got = malloc(BODY);
	size_t sent = 0, come = 0, blocked = 0, n;
	struct pair p;

	(void)state;
	assert_non_null(body);
	assert_non_null(got);
	for (size_t i = 0; i < BODY; i++)
		body[i] = (char)(i * 31 ^ i >> 9);
	pair_open(&p, c);
	pair_shake(&p);
	while (come < BODY) {
		/* Never less than what was refused. */
		size_t len = MIN_OF(BODY - sent, 5000 + blocked * 100);

		if (len != 0) {
			copy = malloc(len);
			assert_non_null(copy);
			memcpy(copy, body + sent, len);
			ssize_t some = tls_write(p.t, copy, len);
			free(copy);
			blocked = some < 0 ? blocked + 1 : 0;
			assert_true(some > 0 || some == TLS_WANT_WRITE);
			sent += some > 0 ? (size_t)some : 0;
			if (some > 0)
				continue;
		}
		if (SSL_read_ex(p.client, got + come, MIN_OF(BODY - come, 700),
			&n) == 1)
			come += n;
	}
	assert_memory_equal(body, got, BODY);
	pair_close(&p);
	tls_certs_unref(&c);
	free(body);
	free(got);
}

/* Records that carry nothing for us end a call sooner or later, though the
 * peer has sent more of them. */
static void
test_bounded(void **state)
{
	static const char change[] = "\x14\x03\x03\0\x01\x01";
	static const int large = 1 << 20;
	struct tls_certs *c = all_certs();
	struct pair p;
	char byte;

	(void)state;
	pair_open(&p, c);
	(void)setsockopt(
	    p.fds[1], SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
	/* TLS 1.3 takes and drops these until the handshake is over. */
	(void)SSL_do_handshake(p.client);
	for (int i = 0; i < READS_A_CALL; i++)
		assert_int_equal(send(p.fds[1], change, sizeof(change) - 1, 0),
		    sizeof(change) - 1);
	assert_true(tls_handshake(p.t) != TLS_DONE);
	assert_int_equal(p.t->reads, 0);
	assert_int_equal(
	    recv(p.fds[0], &byte, 1, MSG_PEEK), 1); /* it is still there */
	pair_close(&p);
	tls_certs_unref(&c);
}

static void
test_plain(void **state)
{
	struct tls_certs *c = all_certs();
	struct pair p;
	char got[8];

	(void)state;
	pair_open(&p, c);
	assert_int_equal(send(p.fds[1], "PUT /", 5, 0), 5);
	assert_int_equal(tls_handshake(p.t), TLS_PLAIN);
	assert_int_equal(recv(p.fds[0], got, sizeof(got), 0), 5);
	pair_close(&p);

	pair_open(&p, c);
	assert_int_equal(send(p.fds[1], "\x16GET / HTTP/1.1\r\n", 17, 0), 17);
	assert_int_equal(tls_handshake(p.t), TLS_FAILED);
	assert_string_not_equal(tls_why(), "");
	pair_close(&p);

	pair_open(&p, c);
	assert_int_equal(shutdown(p.fds[1], SHUT_WR), 0);
	assert_int_equal(tls_handshake(p.t), TLS_ENDED);
	pair_close(&p);
	tls_certs_unref(&c);
}

/* Without a goodbye it is an end all the same; and there is no more after a
 * failure. */
static void
test_end(void **state)
{
	struct tls_certs *c = all_certs();
	struct pair p;
	char got[8];

	(void)state;
	pair_open(&p, c);
	pair_shake(&p);
	assert_int_equal(shutdown(p.fds[1], SHUT_WR), 0);
	assert_int_equal(tls_read(p.t, got, sizeof(got)), TLS_ENDED);
	pair_close(&p);

	pair_open(&p, c);
	pair_shake(&p);
	assert_int_equal(send(p.fds[1], "\x17\x03\x03\0\x20", 5, 0), 5);
	memset(got, 'x', sizeof(got));
	for (int i = 0; i < 4; i++)
		assert_int_equal(send(p.fds[1], got, 8, 0), 8);
	assert_int_equal(tls_read(p.t, got, sizeof(got)), TLS_FAILED);
	assert_int_equal(tls_write(p.t, "x", 1), TLS_FAILED);
	tls_shutdown(p.t);
	pair_close(&p);
	tls_certs_unref(&c);
}

/* Tickets of yesterday make a full handshake, and no error. */
static void
test_ticket_keys(void **state)
{
	unsigned char before[TICKET_KEYS], after[TICKET_KEYS];
	struct tls_certs *c = all_certs();

	(void)state;
	(void)SSL_CTX_get_tlsext_ticket_keys(
	    c->list[0].ctx, before, TICKET_KEYS);
	tls_certs_refresh(c);
	(void)SSL_CTX_get_tlsext_ticket_keys(
	    c->list[0].ctx, after, TICKET_KEYS);
	assert_memory_equal(before, after, TICKET_KEYS);
	c->keys_ms -= TICKET_KEYS_MS;
	tls_certs_refresh(c);
	assert_int_equal(
	    SSL_CTX_get_tlsext_ticket_keys(c->list[0].ctx, after, TICKET_KEYS),
	    1);
	assert_memory_not_equal(before, after, TICKET_KEYS);
	tls_certs_unref(&c);
}

/* What a client gets that asks for this host and can only check signatures of
 * this kind: the kind of its key, or EVP_PKEY_NONE when there is no handshake. */
static int
kind_for(struct tls_certs *c, int version, const char *host, const char *can)
{
	struct pair p;
	int kind = EVP_PKEY_NONE;
	X509 *x;

	pair_open(&p, c);
	assert_int_equal(SSL_set_max_proto_version(p.client, version), 1);
	assert_int_equal(SSL_set1_sigalgs_list(p.client, can), 1);
	if (host != NULL)
		assert_int_equal(SSL_set_tlsext_host_name(p.client, host), 1);
	for (int i = 0; i < 100 && SSL_do_handshake(p.client) != 1; i++) {
		if (tls_handshake(p.t) == TLS_FAILED)
			break;
	}
	x = SSL_get_peer_certificate(p.client);
	if (SSL_is_init_finished(p.client) && x != NULL)
		kind = EVP_PKEY_base_id(X509_get0_pubkey(x));
	X509_free(x);
	pair_close(&p);
	return kind;
}

#define ONLY_RSA "RSA-PSS+SHA256:RSA+SHA256"
#define ONLY_EC "ECDSA+SHA256"

/* Old clients know RSA only, others like ECDSA better: with both for a host
 * each gets his, in whatever order the files stand. */
static void
test_two_kinds(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	static const char *const hosts[] = { NULL, "one.example",
		"both.example", "nowhere.example" };
	struct cert_files rsa;
	struct tls_certs *c;
	const char *said;

	(void)state;
	assert_int_equal(cert_files_make(&rsa, CERT_RSA, "x",
			     "DNS:x.example,DNS:both.example,DNS:one.example"),
	    0);
	for (unsigned order = 0; order < 2; order++) {
		assert_int_equal(tls_certs_new(&c), 0);
		if (order == 0)
			assert_int_equal(add(c, ONE, ONE, &said), 0);
		assert_int_equal(
		    add_files(c, rsa.pem.path, rsa.key.path, &said), 0);
		if (order == 1)
			assert_int_equal(add(c, ONE, ONE, &said), 0);
		for (size_t v = 0; v < COUNT_OF(versions); v++) {
			/* x.example is in one of them only, so where that one
			 * is the first the other cannot stand for it. */
			for (size_t i = 0; i < COUNT_OF(hosts) && order == 0;
			     i++) {
				assert_int_equal(kind_for(c, versions[v],
						     hosts[i], ONLY_RSA),
				    EVP_PKEY_RSA);
				assert_int_equal(
				    kind_for(c, versions[v], hosts[i], ONLY_EC),
				    EVP_PKEY_EC);
			}
			assert_int_equal(
			    kind_for(c, versions[v], "x.example", ONLY_RSA),
			    EVP_PKEY_RSA);
			assert_int_equal(
			    kind_for(c, versions[v], "x.example", ONLY_EC),
			    EVP_PKEY_NONE);
		}
		tls_certs_unref(&c);
	}
	cert_files_close(&rsa);
}

/* The names decide, not the kind: nobody gets a certificate that is for other
 * hosts, though he could check it. */
static void
test_two_kinds_apart(void **state)
{
	struct cert_files rsa;
	struct tls_certs *c = all_certs();
	const char *said;

	(void)state;
	assert_int_equal(
	    cert_files_make(&rsa, CERT_RSA, "cn.example", "DNS:*.two.example"),
	    0);
	assert_int_equal(add_files(c, rsa.pem.path, rsa.key.path, &said), 0);
	assert_int_equal(kind_for(c, TLS1_3_VERSION, "a.two.example", ONLY_RSA),
	    EVP_PKEY_NONE); /* both.example is missing */
	assert_int_equal(kind_for(c, TLS1_3_VERSION, "cn.example", ONLY_RSA),
	    EVP_PKEY_NONE); /* a subject beside other names is none */
	assert_int_equal(
	    kind_for(c, TLS1_3_VERSION, "a.two.example", ONLY_EC), EVP_PKEY_EC);
	tls_certs_unref(&c);
	cert_files_close(&rsa);
	/* And where it is one, it is. */
	assert_int_equal(
	    cert_files_make(&rsa, CERT_RSA, "y", "DNS:cn.example"), 0);
	c = all_certs();
	assert_int_equal(add_files(c, rsa.pem.path, rsa.key.path, &said), 0);
	assert_int_equal(
	    kind_for(c, TLS1_2_VERSION, "cn.example", ONLY_RSA), EVP_PKEY_RSA);
	assert_int_equal(
	    kind_for(c, TLS1_2_VERSION, "cn.example", ONLY_EC), EVP_PKEY_EC);
	tls_certs_unref(&c);
	cert_files_close(&rsa);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choose),
		cmocka_unit_test(test_common_name_is_last),
		cmocka_unit_test(test_wrong_files),
		cmocka_unit_test(test_shake),
		cmocka_unit_test(test_write_in_pieces),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_ticket_keys),
		cmocka_unit_test(test_two_kinds),
		cmocka_unit_test(test_two_kinds_apart),
	};

	if (system("openssl version >/dev/null 2>&1") != 0) {
		(void)printf("1..0 # SKIP there is no openssl(1)\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
