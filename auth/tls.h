/*
 * auth/tls.h - TLS for listeners: certificates, and a connection's bytes.
 *
 * A set of certificates is made at start and at a reload; each connection
 * keeps the one that it began with.  Thread: loop.  Errors of a connection
 * are enum tls_result, others ERR_*.
 */
#ifndef AUTH_TLS_H
#define AUTH_TLS_H

#include "base/base.h"

#define TLS_RECORD 16384 /* bytes of ours in one record, at most */
#define TLS_WHY_SIZE 256

struct tls_certs; /* opaque; counted */
struct tls;	  /* opaque; owner: its connection */

/* What is to be said about a pair of files. */
struct tls_wrong {
	bool key;		 /* of the key's file, else the certificate's */
	char text[TLS_WHY_SIZE]; /* "" : nothing */
};

int tls_certs_new(struct tls_certs **out) MUST_CHECK;
/* One more certificate with its chain, and its key, both PEM.  The first is
 * for clients that name no host or an unknown one.  One with another kind of key
 * that has all names of another may stand for that, if the client likes it
 * better.  ERR_CONFIG, or 0: then what is said is a warning. */
int tls_certs_add(struct tls_certs *c, const char *cert_path,
    const char *key_path, struct tls_wrong *wrong) MUST_CHECK;
/* Which of them a client gets that asks for this host, or one in its place. */
size_t tls_certs_choose(const struct tls_certs *c, const char *host);
struct tls_certs *tls_certs_ref(struct tls_certs *c);
void tls_certs_unref(struct tls_certs **c); /* NULL is allowed */

enum tls_result {
	TLS_DONE = 0,
	TLS_ENDED = -1,	     /* the peer sends no more */
	TLS_WANT_READ = -2,  /* the descriptor is to be readable first */
	TLS_WANT_WRITE = -3, /* or writable */
	TLS_PLAIN = -4,	     /* the peer begins like plain HTTP: all of its
			      * bytes are still to be read */
	TLS_FAILED = -5	     /* tls_why() knows */
};

/* The server's side on a non-blocking descriptor, which stays the caller's;
 * NULL: no memory.  What is costly is made when the first byte is there. */
struct tls *tls_new(struct tls_certs *certs, int fd);
void tls_free(struct tls **t); /* NULL is allowed */

/* One step: none of these calls reads more than a bounded number of times,
 * so TLS_WANT_READ may come with bytes still waiting in the descriptor.
 * None waits in here. */
enum tls_result tls_handshake(struct tls *t) MUST_CHECK;
bool tls_is_up(const struct tls *t); /* the handshake is done */
bool tls_is_resumed(const struct tls *t);
/* Bytes (at most a record's; none is kept back if len >= TLS_RECORD), or a
 * negative enum tls_result. */
ssize_t tls_read(struct tls *t, void *to, size_t len) MUST_CHECK;
/* Likewise.  After TLS_WANT_WRITE the same bytes come first the next time;
 * they may have moved, and more may follow them. */
ssize_t tls_write(struct tls *t, const void *from, size_t len) MUST_CHECK;
/* Tell the peer, if that goes without waiting, that all is said. */
void tls_shutdown(struct tls *t);

/* Why the last call failed. */
const char *tls_why(void);

#endif
