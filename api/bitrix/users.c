/*
 * api/bitrix/users.c - users by licence and number, and who waits for news of
 * them.
 *
 * Watchers of a user stand in a list at the user, so that coming and going
 * costs nothing where nobody watches.  Who has no seat and no watcher stands in
 * the list of those that are away, in the order in which we heard of them last;
 * that is where room is made, so nobody who is waited for is forgotten.  A user
 * of whom there is nothing to say is freed.
 */
#include "api/bitrix/users.h"

#include "auth/licence.h"

#define NEVER (-1)

struct user {
	struct user *same_hash;
	uint64_t hash;
	uint64_t number;
	TAILQ_ENTRY(user) away; /* while it is_away */
	LIST_HEAD(, user_seat) seats;
	LIST_HEAD(, watch) watchers;
	int64_t seen_s; /* unix seconds, or NEVER */
	bool marked;	/* then; else a seat was left then */
	bool is_away;	/* no seat, no watcher */
	char client_id[];
};

/* It stands in two lists, so either end can go first. */
struct watch {
	LIST_ENTRY(watch) of_user;
	LIST_ENTRY(watch) of_seat;
	struct user *user;
	struct user_seat *seat;
};

void
users_init(struct users *u, users_tell_f *tell, struct limits *limits)
{
	map_init(&u->map);
	hash_key_init(&u->hash_key);
	TAILQ_INIT(&u->away);
	u->n = 0;
	u->most = USERS_MAX;
	u->watches = (struct quota){ 0, USERS_ALL_WATCHES };
	u->tell = tell;
	u->limits = limits;
}

/* --- by licence and number --------------------------------------------- */

static uint64_t
hash_of(const struct users *u, const char *client_id, uint64_t number)
{
	char key[sizeof(number) + LICENCE_ID_MAX];
	size_t len = strlen(client_id);

	assert(len <= LICENCE_ID_MAX);
	memcpy(key, &number, sizeof(number));
	memcpy(key + sizeof(number), client_id, len);
	return hash_bytes(&u->hash_key, key, sizeof(number) + len);
}

static bool
is_user(const struct user *user, const char *client_id, uint64_t number)
{
	return user->number == number &&
	    strcmp(user->client_id, client_id) == 0;
}

static struct user *
user_find(const struct users *u, const char *client_id, uint64_t number)
{
	struct user *user = map_get(&u->map, hash_of(u, client_id, number));

	while (user != NULL && !is_user(user, client_id, number))
		user = user->same_hash;
	return user;
}

static int
user_link(struct users *u, struct user *user)
{
	int err;

	user->same_hash = map_remove(&u->map, user->hash);
	err = map_put(&u->map, user->hash, user);
	/* Only a new hash needs memory: nothing was chained. */
	assert(err == 0 || user->same_hash == NULL);
	return err;
}

static void
user_unlink(struct users *u, struct user *user)
{
	struct user *head = map_remove(&u->map, user->hash);
	struct user **at = &head;
	int err;

	while (*at != user)
		at = &(*at)->same_hash;
	*at = user->same_hash;
	if (head != NULL) {
		err = map_put(&u->map, user->hash, head);
		assert(err == 0); /* its slot was freed just now */
	}
}

/* Into the list of those that are away, at its end, or out of it. */
static void
user_place(struct users *u, struct user *user)
{
	if (user->is_away)
		TAILQ_REMOVE(&u->away, user, away);
	user->is_away = LIST_EMPTY(&user->seats) && LIST_EMPTY(&user->watchers);
	if (user->is_away)
		TAILQ_INSERT_TAIL(&u->away, user, away);
}

static void
watch_free(struct users *u, struct watch *w)
{
	quota_give(&u->watches, 1);
	LIST_REMOVE(w, of_user);
	LIST_REMOVE(w, of_seat);
	w->seat->n_watches--;
	free(w);
}

static void
user_free(struct users *u, struct user *user)
{
	assert(user->is_away);
	TAILQ_REMOVE(&u->away, user, away);
	user_unlink(u, user);
	u->n--;
	free(user);
}

/* It lost a watcher: is there still something to say of it? */
static void
user_settle(struct users *u, struct user *user)
{
	user_place(u, user);
	if (user->is_away && user->seen_s == NEVER)
		user_free(u, user);
}

static struct user *
user_new(struct users *u, const char *client_id, uint64_t number)
{
	size_t len = strlen(client_id);
	struct user *user = calloc(1, sizeof(*user) + len + 1);

	if (user == NULL)
		return NULL;
	/* Of those with seats connections are the bound, of those with
	 * watchers the bound of these. */
	if (u->n >= u->most && !TAILQ_EMPTY(&u->away)) {
		limit_hit(u->limits, LIMIT_bitrix_users);
		user_free(u, TAILQ_FIRST(&u->away));
	}
	user->number = number;
	user->seen_s = NEVER;
	memcpy(user->client_id, client_id, len);
	LIST_INIT(&user->seats);
	LIST_INIT(&user->watchers);
	user->hash = hash_of(u, client_id, number);
	if (user_link(u, user) != 0) {
		free(user);
		return NULL;
	}
	user_place(u, user);
	u->n++;
	return user;
}

static struct user *
user_get(struct users *u, const char *client_id, uint64_t number)
{
	struct user *user = user_find(u, client_id, number);

	return user != NULL ? user : user_new(u, client_id, number);
}

void
users_release(struct users *u)
{
	struct user *user;

	while ((user = TAILQ_FIRST(&u->away)) != NULL)
		user_free(u, user);
	assert(u->n == 0);
	map_release(&u->map);
}

/* --- coming and going -------------------------------------------------- */

static void
tell_watchers(const struct users *u, const struct user *user, bool online)
{
	const struct watch *w;

	LIST_FOREACH(w, &user->watchers, of_user)
	{
		u->tell(w->seat->sess, user->number, online);
	}
}

int
users_sit(struct users *u, const char *client_id, uint64_t number,
    struct user_seat *seat, int64_t now_s)
{
	struct user *user = user_get(u, client_id, number);
	bool comes;

	if (user == NULL)
		return ERR_NOMEM;
	comes = LIST_EMPTY(&user->seats);
	LIST_INSERT_HEAD(&user->seats, seat, link);
	seat->user = user;
	user->seen_s = MAX_OF(user->seen_s, now_s);
	user_place(u, user);
	if (comes)
		tell_watchers(u, user, true);
	return 0;
}

void
users_leave(struct users *u, struct user_seat *seat, int64_t now_s)
{
	struct user *user = seat->user;
	struct watch *w;

	while ((w = LIST_FIRST(&seat->watches)) != NULL) {
		struct user *watched = w->user;

		watch_free(u, w);
		user_settle(u, watched);
	}
	if (user == NULL)
		return;
	seat->user = NULL;
	LIST_REMOVE(seat, link);
	if (!LIST_EMPTY(&user->seats))
		return;
	user->seen_s = now_s;
	user->marked = false;
	user_place(u, user);
	tell_watchers(u, user, false);
}

void
users_seen(
    struct users *u, const char *client_id, uint64_t number, int64_t at_s)
{
	struct user *user = user_get(u, client_id, number);

	if (user == NULL || at_s < user->seen_s)
		return;
	user->seen_s = at_s;
	user->marked = true;
	user_place(u, user);
}

int64_t
users_away_s(const struct users *u, const char *client_id, uint64_t number,
    int64_t now_s)
{
	const struct user *user = user_find(u, client_id, number);
	int64_t away_s;

	if (user == NULL || user->seen_s == NEVER)
		return -1;
	away_s = MAX_OF(now_s - user->seen_s, 0);
	if (!LIST_EMPTY(&user->seats) ||
	    (user->marked && away_s < USERS_MARK_S))
		return 0;
	return away_s;
}

/* --- who wants to know ------------------------------------------------- */

static struct watch *
watch_find(const struct user_seat *seat, const char *client_id, uint64_t number)
{
	struct watch *w;

	LIST_FOREACH(w, &seat->watches, of_seat)
	{
		if (is_user(w->user, client_id, number))
			return w;
	}
	return NULL;
}

int
users_watch(struct users *u, const char *client_id, uint64_t number,
    struct user_seat *seat)
{
	struct user *user;
	struct watch *w;

	if (watch_find(seat, client_id, number) != NULL)
		return 0;
	if (seat->n_watches == USERS_WATCHES || !quota_take(&u->watches, 1)) {
		limit_hit(u->limits, LIMIT_bitrix_watches);
		return ERR_LIMIT;
	}
	w = calloc(1, sizeof(*w));
	user = w != NULL ? user_get(u, client_id, number) : NULL;
	if (user == NULL) {
		quota_give(&u->watches, 1);
		free(w);
		return ERR_NOMEM;
	}
	w->user = user;
	w->seat = seat;
	LIST_INSERT_HEAD(&user->watchers, w, of_user);
	user_place(u, user);
	LIST_INSERT_HEAD(&seat->watches, w, of_seat);
	seat->n_watches++;
	return 0;
}

void
users_unwatch(struct users *u, const char *client_id, uint64_t number,
    struct user_seat *seat)
{
	struct watch *w = watch_find(seat, client_id, number);
	struct user *user;

	if (w == NULL)
		return;
	user = w->user;
	watch_free(u, w);
	user_settle(u, user);
}
