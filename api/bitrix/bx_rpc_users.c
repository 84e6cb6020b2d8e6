/*
 * api/bitrix/bx_rpc_users.c - JSON-RPC about users: when they were seen, and
 * telling when they come and go.
 *
 * Source: bitrix.md section d.6.
 */
#include "api/bitrix/bx_rpc.h"

#include <inttypes.h>
#include <stdio.h>

#define STATUS_DIGITS 8
#define STATUS_MAX 99999999 /* of so many digits */

/* --- seen --------------------------------------------------------------- */

static int
add_last_seen(const struct rpc *r, const json_t *v, json_t *result)
{
	struct api *a = r->api;
	uint64_t user = rpc_named_user(v);
	char number[BX_USER_SIZE];
	int64_t away_s;

	if (user == 0)
		return ERR_SYNTAX;
	away_s = users_away_s(
	    &a->bitrix->users, licence_id(r->licence), user, hub_now_s(a->hub));
	if (away_s < 0)
		return 0;
	(void)bx_user_id(user, number);
	return json_object_set_new(result, number, json_integer(away_s)) == 0
	    ? 0
	    : ERR_NOMEM;
}

/* The list may name somebody twice, so the result is made as a tree. */
int
rpc_last_seen(struct rpc *r, const struct rpc_call *c)
{
	const json_t *list = json_object_get(c->params, "userList");
	json_t *result;
	char *text = NULL;
	int err = 0;

	if (!json_is_array(list))
		return ERR_SYNTAX;
	if (rpc_by_guest(r))
		return BX_NOT_ALLOWED;
	if (r->socket != NULL && json_array_size(list) > BX_IDS_MAX)
		return BX_MANY_CHANNELS;
	result = json_object();
	for (size_t i = 0; i < json_array_size(list) && err == 0; i++)
		err = add_last_seen(r, json_array_get(list, i), result);
	if (err == 0) {
		text = json_dumps(result, JSON_COMPACT);
		err = text != NULL ? buf_text(&r->result, text) : ERR_NOMEM;
	}
	free(text);
	json_decref(result);
	return err;
}

/* 0: it is none. */
static uint64_t
key_user(const char *key)
{
	uint64_t user;

	return json_user_digits((struct slice){ key, strlen(key) }, &user)
	    ? user
	    : 0;
}

static bool
are_marks(json_t *params)
{
	const char *key;
	json_t *v;

	json_object_foreach(params, key, v)
	{
		if (key_user(key) == 0 || !json_is_integer(v) ||
		    json_integer_value(v) < 0)
			return false;
	}
	/* PHP's empty object is an empty array. */
	return json_is_object(params) ||
	    (json_is_array(params) && json_array_size(params) == 0);
}

int
rpc_update_last_seen(struct rpc *r, const struct rpc_call *c)
{
	struct api *a = r->api;
	int64_t now_s = hub_now_s(a->hub);
	const char *key;
	json_t *v;

	if (!are_marks(c->params))
		return ERR_SYNTAX;
	json_object_foreach(c->params, key, v)
	{
		users_seen(&a->bitrix->users, licence_id(r->licence),
		    key_user(key), MIN_OF(json_integer_value(v), now_s));
	}
	return buf_text(&r->result, "true");
}

/* --- who wants to know -------------------------------------------------- */

int
rpc_watch(struct rpc *r, const struct rpc_call *c)
{
	uint64_t user = rpc_named_user(json_object_get(c->params, "userId"));
	int err;

	if (user == 0)
		return ERR_SYNTAX;
	if (rpc_by_guest(r))
		return BX_NOT_ALLOWED;
	err = users_watch(&r->api->bitrix->users, licence_id(r->licence), user,
	    &r->socket->of.bitrix.socket->seat);
	return err != 0 ? err : buf_text(&r->result, "true");
}

int
rpc_unwatch(struct rpc *r, const struct rpc_call *c)
{
	uint64_t user = rpc_named_user(json_object_get(c->params, "userId"));

	if (user == 0)
		return ERR_SYNTAX;
	users_unwatch(&r->api->bitrix->users, licence_id(r->licence), user,
	    &r->socket->of.bitrix.socket->seat);
	return buf_text(&r->result, "true");
}

/* --- news of a user ----------------------------------------------------- */

/*
 * Clients drop a message whose mid they have seen, and come back with the mid
 * that they saw last.  So a change of status has a mid of its own, which is the
 * reader's position all the same: the digits that a tag has no use for count the
 * changes.
 */
static void
status_mid(struct bitrix *b, uint64_t position, char mid[MID_LEN + 1])
{
	char digits[16];

	b->status_changes = b->status_changes % STATUS_MAX + 1;
	mid_format(position, mid);
	(void)snprintf(digits, sizeof(digits), "%08" PRIu32, b->status_changes);
	memcpy(mid + MID_LEN - 2 * STATUS_DIGITS, digits, STATUS_DIGITS);
}

void
bx_user_changed(void *sess, uint64_t user, bool online)
{
	struct wait_state *w = sess;
	char mid[MID_LEN + 1], text[512];
	int len;

	status_mid(w->api->bitrix, w->on.sub->after, mid);
	len = snprintf(text, sizeof(text),
	    "{\"jsonrpc\":\"2.0\",\"method\":\"incoming.message\","
	    "\"params\":{\"mid\":\"%s\",\"body\":{\"module_id\":\"online\","
	    "\"command\":\"userStatusChange\",\"params\":{\"user_id\":%" PRIu64
	    ",\"online\":%s},\"extra\":{}},\"sender\":{\"type\":2,\"id\":0}}}",
	    mid, user, online ? "true" : "false");
	bx_socket_send(w, WS_OP_TEXT, (struct slice){ text, (size_t)len });
}
