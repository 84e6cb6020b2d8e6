/*
 * api/bitrix/users.h - version 5's users: who is there, who was, who wants to
 * know.
 *
 * A user is there while a connection of it has a seat here; polls leave a mark
 * that is good for a while.  Who asked to be told about a user is told when it
 * comes and when it goes.  Memory only: after a restart the site's own database
 * knows (updateUsersLastSeen).  Bounded: see USERS_MAX.
 *
 * Owner: struct bitrix.  Thread: loop.  Source: bitrix.md section d.6.
 */
#ifndef API_BITRIX_USERS_H
#define API_BITRIX_USERS_H

#include <sys/queue.h>

#include "base/base.h"
#include "base/limit.h"
#include "base/map.h"

/* Known; beyond, who is longest away and is not watched is forgotten. */
#define USERS_MAX 1000000
#define USERS_WATCHES 1000	  /* of one connection, */
#define USERS_ALL_WATCHES 1000000 /* of all */
#define USERS_MARK_S 130	  /* who was seen is there for so long */

struct user; /* opaque */

/* A connection's place.  Owner: the connection, which zeroes it first. */
struct user_seat {
	LIST_ENTRY(user_seat) link;
	struct user *user;	    /* NULL: it has none */
	LIST_HEAD(, watch) watches; /* users that it wants to hear of */
	uint32_t n_watches;
	void *sess; /* of users_tell_f */
};

/* `user` came or went: tell the connection that watches it. */
typedef void users_tell_f(void *sess, uint64_t user, bool online);

struct users {
	struct map map; /* hash of licence and number -> struct user chain */
	struct hash_key hash_key;
	TAILQ_HEAD(, user) away; /* unwatched; not heard of longest first */
	uint32_t n;
	uint32_t most; /* USERS_MAX, but in tests */
	struct quota watches;
	users_tell_f *tell;
	struct limits *limits;
};

void users_init(struct users *u, users_tell_f *tell, struct limits *limits);
void users_release(struct users *u); /* no seat is taken any more */

/* client_id: as of licence_id().  Times are unix seconds. */
int users_sit(struct users *u, const char *client_id, uint64_t user,
    struct user_seat *seat, int64_t now_s) MUST_CHECK;
/* Leave the seat and its watches; what has none is left alone. */
void users_leave(struct users *u, struct user_seat *seat, int64_t now_s);
/* A poll, or an answer to a ping; also "seen then", from the site.  A user who
 * was seen is there for USERS_MARK_S; who left its last seat is not.  Without
 * memory the mark is not made. */
void users_seen(
    struct users *u, const char *client_id, uint64_t user, int64_t at_s);
/* Seconds since the user was seen, 0 if it is there, -1 if never. */
int64_t users_away_s(
    const struct users *u, const char *client_id, uint64_t user, int64_t now_s);
/* ERR_LIMIT: too many of one connection, or of all.  Twice is once. */
int users_watch(struct users *u, const char *client_id, uint64_t user,
    struct user_seat *seat) MUST_CHECK;
void users_unwatch(struct users *u, const char *client_id, uint64_t user,
    struct user_seat *seat);

#endif
