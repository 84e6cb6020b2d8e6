/*
 * auth/licence.h - whose channels these are: the site's own, or one of several
 * that share the daemon.
 *
 * The site's own ("personal") has no client id.  Where licences are configured
 * requests name theirs by clientId; what belongs to one is out of reach for all
 * others.  Owner: the layout.  Thread: loop.  Source: bitrix.md section d.7.
 */
#ifndef AUTH_LICENCE_H
#define AUTH_LICENCE_H

#include "auth/keyring.h"

#define LICENCE_ID_MAX 64

struct licence {
	struct licence *next;
	struct keyring *keys; /* NULL: none, ids come unsigned */
	char *client_id;      /* NULL: personal */
	char *host_id;	      /* of JSON-RPC and tokens; NULL: any */
	char **hosts;	      /* names of its sites; n_hosts 0: any */
	size_t n_hosts;
	int64_t valid_until; /* unix seconds, over from then on; INT64_MAX:
			      * for good */
};

struct licences {
	struct licence personal;
	struct licence *shared; /* in the order of the file */
};

/* Does any of them have keys? */
bool licences_have_keys(const struct licences *l);
/* Its client id, or "". */
const char *licence_id(const struct licence *l);

void licences_init(struct licences *l);
void licences_release(struct licences *l);
/* ERR_EXISTS: there is one of that id; ERR_CONFIG: not 32..64 of 0-9a-zA-Z. */
int licences_add(struct licences *l, struct slice client_id,
    struct licence **out) MUST_CHECK;
/* A name or an address (IPv6 in brackets), without a port? */
bool licence_host_ok(struct slice host);
/* ERR_CONFIG: it is not. */
int licence_add_host(struct licence *l, struct slice host) MUST_CHECK;

/*
 * The licence that a request belongs to; without any shared one it is the
 * personal one, whatever the request says.  client_id ptr NULL or len 0: it named
 * none, and gets the personal one if that has keys or no other is configured.
 * host: the Host header, with or without a port.  NULL: none, another site's, or
 * over.  Client ids are compared without case.
 */
const struct licence *licences_find(const struct licences *l,
    struct slice client_id, struct slice host, int64_t now_s);

/* The same for who was let in before; NULL: it is not there any more. */
const struct licence *licences_by_id(
    const struct licences *l, struct slice client_id, int64_t now_s);

#endif
