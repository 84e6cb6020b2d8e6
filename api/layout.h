/*
 * api/layout.h - which settings hold at which URI.
 *
 * A layout is what holdfast.conf says: global settings and location blocks;
 * beneath them, where nothing else names an endpoint, lies the built-in
 * Bitrix layout.  Immutable once in use; a reload makes a new one.
 * Owner: the api that it was given to.
 */
#ifndef API_LAYOUT_H
#define API_LAYOUT_H

#include "api/settings.h"
#include "auth/licence.h"
#include "base/cidr.h"

struct rule {
	struct rule *next;
	struct slice name, value; /* owned */
};

struct rules {
	struct rule *first, **last;
	bool names_role; /* says what the location is */
};

struct location {
	struct location *next;
	char *prefix;
	struct rules rules;
	struct cidr_list allow; /* clients; empty: everybody, */
	struct cidr_list deny;	/* but these, and who has no address */
};

struct layout {
	struct rules global;
	struct location *locations;
	struct cidr_list publish_from; /* of the built-in publisher */
	size_t max_body;	       /* bytes of a request's; to be told */
	uint64_t request_timeout_ms;   /* of a WebSocket's message; 0: none */
	struct licences licences;      /* keys of Bitrix's sites */
	bool bitrix;		       /* a global bitrix_version is set */
	struct settings settings;      /* global ones, for what is store-wide */
};

struct layout *layout_new(void); /* NULL: no memory */
void layout_free(struct layout **l);

/* ERR_EXISTS: the prefix stands there already. */
int layout_add_location(
    struct layout *l, const char *prefix, struct location **out) MUST_CHECK;

/* loc NULL: global.  Results and `why` as of settings_set(). */
int layout_set(struct layout *l, struct location *loc, struct slice name,
    struct slice value, char why[SETTINGS_WHY_SIZE]) MUST_CHECK;

/* Do each location's settings fit together?  ERR_CONFIG and `why`. */
int layout_check(
    const struct layout *l, char why[SETTINGS_WHY_SIZE]) MUST_CHECK;

/* The block with the longest prefix of the URI, or NULL. */
const struct location *layout_find(const struct layout *l, struct slice uri);

/* May a client with this REMOTE_ADDR ask for anything there?  Where there is a
 * list of either kind, only one whose REMOTE_ADDR is an IP address. */
bool layout_admits(
    const struct layout *l, struct slice uri, struct slice client);

/* The built-in Bitrix layout's location, or NULL: version 2's, or the one that
 * a global bitrix_version names. */
struct builtin {
	const char *prefix;
	bool trusted_only;	  /* REMOTE_ADDR in publish_from */
	const char *rules[11][2]; /* up to a NULL name */
};
const struct builtin *layout_builtin(const struct layout *l, struct slice uri);
#define BUILTIN_MAX_CHANNEL_ID_LENGTH 32

#endif
