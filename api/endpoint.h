/*
 * api/endpoint.h - what a request was sent to: a location's effective settings.
 *
 * Endpoints are interned by their literal settings, so a location's thousand
 * requests share one; values with variables are looked at per request.
 * Reference counted.  Thread: loop.
 */
#ifndef API_ENDPOINT_H
#define API_ENDPOINT_H

#include "api/layout.h"
#include "api/request.h"
#include "api/settings.h"
#include "api/format.h"
#include "api/padding.h"
#include "base/map.h"

struct endpoint {
	uint32_t refs;
	bool interned;
	struct endpoint *same_hash;
	uint64_t hash;
	struct settings settings;
	struct format *format;	       /* subscribers only */
	struct padding *padding;       /* or NULL */
	struct answer *answer;	       /* a rendered poll; see poll.c */
	const struct builtin *builtin; /* or NULL */
	uint32_t max_id_len;
	struct slice key; /* owned */
	size_t private_bytes;
	struct quota
	    *charged; /* with them: of those that are not interned, or NULL */
};

/* Values of a request that may contain variables. */
enum complex {
	COMPLEX_PATH,
	COMPLEX_TIME,
	COMPLEX_TAG,
	COMPLEX_EVENT_ID,
	COMPLEX_AGENT,
	COMPLEX_ORIGIN,
	COMPLEX_N
};

/* One pass over the parameters: what the dialects want to know. */
struct query {
	struct slice method;
	struct slice uri;
	struct slice args;
	struct slice remote_addr;
	struct slice accept;
	struct slice if_modified_since;
	struct slice if_none_match;
	struct slice last_event_id;
	struct slice mode;
	struct slice user_agent;
	struct slice ws_key;
	struct slice ws_version;
	struct slice upgrade;
	struct slice connection;
	struct slice event_id;
	struct slice event_type;
	struct slice message_expiry;
	struct slice host;
	struct slice host_id;
	bool expand;
	struct slice complex[COMPLEX_N]; /* parameters; ptr NULL: none */
};

/* The endpoints of one api. */
struct endpoints {
	struct map map;
	struct hash_key hash_key;
	struct formats formats;
	struct buf key;	      /* scratch */
	struct buf uri;	      /* scratch */
	struct quota private; /* bytes of those that are not interned */
	struct limits *limits;
};

/* *renders counts rendered messages. */
void endpoints_init(
    struct endpoints *e, uint64_t *renders, struct limits *limits);
void endpoints_release(struct endpoints *e);
/* After a reload: those in use live on, new requests get new ones. */
void endpoints_flush(struct endpoints *e);

/*
 * The endpoint of r, with a reference for the caller, and its query.
 * ERR_CONFIG: a parameter is unknown or wrong, `why` names it.  ERR_CROWDED:
 * too many have settings of their own.
 * `ignored` gets a sentence when a parameter had no effect here ("" if none).
 */
int endpoint_resolve(struct endpoints *e, const struct layout *l,
    const struct request *r, struct query *q, struct endpoint **out,
    char why[SETTINGS_WHY_SIZE], char ignored[SETTINGS_WHY_SIZE]) MUST_CHECK;

struct endpoint *endpoint_ref(struct endpoint *ep);
void endpoint_unref(struct endpoint **ep);

/*
 * A complex value, expanded and decoded into out.  *set tells whether it is
 * set at all (if not, a header may stand in for it).  ERR_CONFIG: it names an
 * unknown variable.
 */
int endpoint_value(const struct endpoint *ep, const struct request *r,
    const struct query *q, enum complex which, struct buf *out,
    bool *set) MUST_CHECK;

#endif
