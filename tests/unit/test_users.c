/*
 * tests/unit/test_users.c - who is told of whom, and when; that nobody is told
 * who has gone himself; that what is of no use any more is not kept.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "api/bitrix/users.h"

#define NOW 1795374917

/* What a connection was told last. */
struct ear {
	unsigned times;
	uint64_t user;
	bool online;
};

static users_tell_f hear;
static struct limits limits;

static void
hear(void *sess, uint64_t user, bool online)
{
	struct ear *ear = sess;

	ear->times++;
	ear->user = user;
	ear->online = online;
}

struct person {
	struct user_seat seat;
	struct ear ear;
};

static void
sit(struct users *u, const char *client, uint64_t number, struct person *p)
{
	p->seat.sess = &p->ear;
	assert_int_equal(users_sit(u, client, number, &p->seat, NOW), 0);
}

static void
watch(struct users *u, uint64_t number, struct person *p)
{
	assert_int_equal(users_watch(u, "", number, &p->seat), 0);
}

static void
test_seats(void **state)
{
	struct person a = { 0 }, b = { 0 };
	struct users u;

	(void)state;
	users_init(&u, hear, &limits);
	assert_int_equal(users_away_s(&u, "", 7, NOW), -1);
	sit(&u, "", 7, &a);
	sit(&u, "", 7, &b);
	assert_int_equal(users_away_s(&u, "", 7, NOW + 100), 0);
	users_leave(&u, &a.seat, NOW + 100);
	assert_int_equal(users_away_s(&u, "", 7, NOW + 105), 0);
	users_leave(&u, &b.seat, NOW + 100);
	assert_int_equal(users_away_s(&u, "", 7, NOW + 105), 5);
	users_leave(&u, &b.seat, NOW + 200); /* nothing is left to leave */
	assert_int_equal(users_away_s(&u, "", 7, NOW + 205), 105);
	users_release(&u);
}

static void
test_marks(void **state)
{
	struct users u;

	(void)state;
	users_init(&u, hear, &limits);
	users_seen(&u, "", 7, NOW);
	assert_int_equal(users_away_s(&u, "", 7, NOW + USERS_MARK_S - 1), 0);
	assert_int_equal(
	    users_away_s(&u, "", 7, NOW + USERS_MARK_S), USERS_MARK_S);
	users_seen(&u, "", 7, NOW - 1000); /* that is known better */
	assert_int_equal(users_away_s(&u, "", 7, NOW + 500), 500);
	assert_int_equal(users_away_s(&u, "", 7, NOW - 5), 0);
	users_seen(&u, "", 8, NOW - 1000);
	assert_int_equal(users_away_s(&u, "", 8, NOW), 1000);
	users_release(&u);
}

/* One licence's users are no other's. */
static void
test_licences(void **state)
{
	struct person a = { 0 }, watcher = { 0 };
	struct users u;

	(void)state;
	users_init(&u, hear, &limits);
	sit(&u, "", 1, &watcher);
	watch(&u, 7, &watcher);
	sit(&u, "abc", 7, &a);
	assert_int_equal(users_away_s(&u, "", 7, NOW), -1);
	assert_int_equal(users_away_s(&u, "ab", 7, NOW), -1);
	assert_int_equal(users_away_s(&u, "abc", 7, NOW), 0);
	assert_int_equal(watcher.ear.times, 0);
	users_leave(&u, &a.seat, NOW);
	users_leave(&u, &watcher.seat, NOW);
	users_release(&u);
}

static void
test_watchers(void **state)
{
	struct person a = { 0 }, again = { 0 }, watcher = { 0 };
	struct users u;

	(void)state;
	users_init(&u, hear, &limits);
	sit(&u, "", 1, &watcher);
	watch(&u, 7, &watcher);
	watch(&u, 7, &watcher); /* twice is once */
	assert_int_equal(watcher.seat.n_watches, 1);
	sit(&u, "", 7, &a);
	assert_int_equal(watcher.ear.times, 1);
	assert_int_equal(watcher.ear.user, 7);
	assert_true(watcher.ear.online);
	sit(&u, "", 7, &again);
	users_leave(&u, &a.seat, NOW);
	assert_int_equal(watcher.ear.times, 1); /* it is still there */
	users_leave(&u, &again.seat, NOW);
	assert_int_equal(watcher.ear.times, 2);
	assert_false(watcher.ear.online);
	users_unwatch(&u, "", 7, &watcher.seat);
	users_unwatch(&u, "", 7, &watcher.seat);
	assert_int_equal(watcher.seat.n_watches, 0);
	sit(&u, "", 7, &a);
	assert_int_equal(watcher.ear.times, 2);
	users_leave(&u, &watcher.seat, NOW);
	users_leave(&u, &a.seat, NOW);
	users_release(&u);
}

/* Whoever goes is told nothing more, neither of himself. */
static void
test_gone_watcher(void **state)
{
	struct person a = { 0 }, self = { 0 };
	struct users u;

	(void)state;
	users_init(&u, hear, &limits);
	sit(&u, "", 1, &self);
	watch(&u, 1, &self);
	watch(&u, 7, &self);
	users_leave(&u, &self.seat, NOW);
	sit(&u, "", 7, &a);
	assert_int_equal(self.ear.times, 0);
	users_leave(&u, &a.seat, NOW);
	users_release(&u);
}

/* A user that was only watched goes with the last who did. */
static void
test_forgotten(void **state)
{
	struct person watchers[2] = { 0 };
	struct users u;

	(void)state;
	users_init(&u, hear, &limits);
	for (size_t i = 0; i < 2; i++)
		watch(&u, 7, &watchers[i]); /* guests may have no seat */
	assert_int_equal(u.n, 1);
	users_unwatch(&u, "", 7, &watchers[0].seat);
	assert_int_equal(u.n, 1);
	users_leave(&u, &watchers[1].seat, NOW);
	assert_int_equal(u.n, 0);
	users_release(&u);
}

static void
test_watches_of_one(void **state)
{
	struct person watcher = { 0 };
	struct users u;

	(void)state;
	users_init(&u, hear, &limits);
	for (uint64_t n = 1; n <= USERS_WATCHES; n++)
		watch(&u, n, &watcher);
	assert_int_equal(
	    users_watch(&u, "", USERS_WATCHES + 1, &watcher.seat), ERR_LIMIT);
	watch(&u, 1, &watcher);
	users_unwatch(&u, "", 1, &watcher.seat);
	watch(&u, USERS_WATCHES + 1, &watcher);
	users_leave(&u, &watcher.seat, NOW);
	assert_int_equal(u.n, 0);
	users_release(&u);
}

/* One too many: the longest away makes room, with those who watch it, and
 * whoever is there stays. */
static void
test_bound(void **state)
{
	struct person there = { 0 }, watcher = { 0 };
	struct users u;

	(void)state;
	users_init(&u, hear, &limits);
	sit(&u, "", 1, &there);
	for (uint64_t n = 2; n <= USERS_MAX; n++)
		users_seen(&u, "", n, NOW);
	assert_int_equal(u.n, USERS_MAX);
	assert_int_equal(limits.hits[LIMIT_bitrix_users], 0);
	watch(&u, 3, &watcher);
	users_seen(&u, "", 2, NOW + 1);
	users_seen(&u, "", USERS_MAX + 1, NOW + 1);
	assert_int_equal(u.n, USERS_MAX);
	assert_int_equal(limits.hits[LIMIT_bitrix_users], 1);
	assert_int_equal(users_away_s(&u, "", 1, NOW), 0);
	assert_int_equal(users_away_s(&u, "", 2, NOW), 0);
	/* Whom somebody watches is not forgotten. */
	assert_int_equal(users_away_s(&u, "", 3, NOW), 0);
	assert_int_equal(users_away_s(&u, "", 4, NOW), -1);
	assert_int_equal(watcher.seat.n_watches, 1);
	users_leave(&u, &watcher.seat, NOW);
	users_seen(&u, "", 4, NOW + 1);
	assert_int_equal(users_away_s(&u, "", 3, NOW), 0);
	assert_int_equal(users_away_s(&u, "", 5, NOW), -1);
	users_leave(&u, &there.seat, NOW);
	users_release(&u);
}

/* Of one connection, and of all together; who leaves makes room. */
static void
test_watches(void **state)
{
	struct person a = { 0 }, b = { 0 };
	struct users u;

	(void)state;
	users_init(&u, hear, &limits);
	limits.hits[LIMIT_bitrix_watches] = 0;
	assert_int_equal(u.watches.max, USERS_ALL_WATCHES);
	for (uint64_t n = 1; n <= USERS_WATCHES; n++)
		watch(&u, n, &a);
	watch(&u, 1, &a); /* twice is once */
	assert_int_equal(limits.hits[LIMIT_bitrix_watches], 0);
	assert_int_equal(
	    users_watch(&u, "", USERS_WATCHES + 1, &a.seat), ERR_LIMIT);
	assert_int_equal(limits.hits[LIMIT_bitrix_watches], 1);
	u.watches.max = USERS_WATCHES + 1;
	watch(&u, 1, &b);
	assert_int_equal(users_watch(&u, "", 2, &b.seat), ERR_LIMIT);
	assert_int_equal(limits.hits[LIMIT_bitrix_watches], 2);
	users_unwatch(&u, "", 1, &a.seat);
	watch(&u, 2, &b);
	users_leave(&u, &a.seat, NOW);
	assert_int_equal(u.watches.used, 2);
	users_leave(&u, &b.seat, NOW);
	assert_int_equal(u.watches.used, 0);
	users_release(&u);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seats),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_licences),
		cmocka_unit_test(test_watchers),
		cmocka_unit_test(test_gone_watcher),
		cmocka_unit_test(test_forgotten),
		cmocka_unit_test(test_watches_of_one),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_watches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
