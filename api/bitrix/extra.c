/*
 * api/bitrix/extra.c - one message's extra, its users in order.
 *
 * The reference keeps the message where it is, so the same pointer is the same
 * message.
 */
#include "api/bitrix/extra.h"

#include "api/bitrix/ids.h"
#include "api/bitrix/json.h"

static _Thread_local struct bx_extra last;

void
bx_extra_forget(void)
{
	msg_unref(&last.of);
	free(last.users);
	last = (struct bx_extra){ .of = NULL };
}

static int
compare_users(const void *a, const void *b)
{
	const struct extra_user *x = a, *y = b;

	return x->user < y->user ? -1 : x->user > y->user;
}

/* A key that is a user's number as we write it: "7", not "07". */
static bool
key_user(struct slice key, uint64_t *user)
{
	struct slice digits = { key.ptr + 1, key.len - 2 };
	char text[BX_USER_SIZE];

	return digits.len < sizeof(text) && json_user_digits(digits, user) &&
	    slice_equal(bx_user_id(*user, text), digits);
}

static size_t
count_members(struct slice object)
{
	struct slice key, value;
	size_t at = 0, n = 0;

	while (json_next_member(object, &at, &key, &value))
		n++;
	return n;
}

static void
read_users(struct bx_extra *e)
{
	struct slice key, value;
	size_t at = 0;

	e->users = calloc(count_members(e->user_params) + 1, sizeof(*e->users));
	e->sorted = e->users != NULL;
	while (
	    e->sorted && json_next_member(e->user_params, &at, &key, &value)) {
		uint64_t user;

		if (key_user(key, &user))
			e->users[e->n++] = (struct extra_user){ user, value };
	}
	if (e->users != NULL)
		qsort(e->users, e->n, sizeof(*e->users), compare_users);
}

const struct bx_extra *
bx_extra_read(const struct msg *m)
{
	struct slice extra = msg_extra(m), key, value;
	struct bx_extra *e = &last;
	size_t at = 0;

	if (e->of == m)
		return e;
	bx_extra_forget();
	/* Its count of references is all that changes. */
	e->of = msg_ref((struct msg *)(uintptr_t)m);
	extra.ptr++; /* the mark */
	extra.len--;
	while (json_next_member(extra, &at, &key, &value)) {
		if (slice_is(key, "\"sender\""))
			e->sender = value;
		else if (slice_is(key, "\"user_params\""))
			e->user_params = value;
		else if (slice_is(key, "\"dictionary\""))
			e->dictionary = value;
	}
	if (e->user_params.ptr != NULL)
		read_users(e);
	return e;
}

struct slice
bx_extra_user(const struct bx_extra *e, uint64_t user)
{
	const struct extra_user key = { .user = user }, *found = NULL;
	char number[BX_USER_SIZE];

	if (e->user_params.ptr == NULL)
		return (struct slice){ NULL, 0 };
	if (!e->sorted) {
		(void)bx_user_id(user, number);
		return json_member(e->user_params, number);
	}
	if (e->n != 0)
		found = bsearch(
		    &key, e->users, e->n, sizeof(*e->users), compare_users);
	return found != NULL ? found->params : (struct slice){ NULL, 0 };
}
