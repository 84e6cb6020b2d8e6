/*
 * api/bitrix/bx_methods.c - what can be called by JSON-RPC, and by whom.
 *
 * Publishing stands in bx_rpc_publish.c, what is about users in bx_rpc_users.c.
 * Who came without a user's number is a guest: it has to do with channels, not
 * with users.
 *
 * Source: bitrix.md section d.6.
 */
#include "api/bitrix/bx_rpc.h"

static int
method_ping(struct rpc *r, const struct rpc_call *c)
{
	(void)c;
	return buf_text(&r->result, "\"pong\"");
}

/* The id that ends a channel's name; len 0: it is a user's, or has gone. */
static struct slice
channel_id(const struct wait *w)
{
	struct slice name = { NULL, 0 }, none = { NULL, 0 };

	if (w->channel != NULL)
		name = channel_name(w->channel);
	if (name.len < BX_ID_LEN)
		return none;
	name.ptr += name.len - BX_ID_LEN;
	name.len = BX_ID_LEN;
	return bx_is_id(name) ? name : none;
}

/* A guest reads an id in both of its spaces. */
static bool
was_listed(const struct sub *s, uint32_t n, struct slice id)
{
	for (uint32_t i = 0; i < n; i++) {
		if (slice_equal(channel_id(&s->waits[i]), id))
			return true;
	}
	return false;
}

static int
method_list_channels(struct rpc *r, const struct rpc_call *c)
{
	const struct sub *s = r->socket->on.sub;
	int err = buf_text(&r->result, "[");

	(void)c;
	for (uint32_t i = 0; i < s->n && err == 0; i++) {
		struct slice id = channel_id(&s->waits[i]);

		if (id.len != 0 && !was_listed(s, i, id))
			err = buf_printf(&r->result, "%s\"%.*s\"",
			    r->result.len > 1 ? "," : "", BX_ID_LEN, id.ptr);
	}
	return err != 0 ? err : buf_text(&r->result, "]");
}

rpc_method_f *
rpc_method(const struct rpc *r, const char *name)
{
	static const struct {
		const char *name;
		rpc_method_f *method;
		bool site, client;
	} methods[] = {
		{ "publish", rpc_publish, true, true },
		{ "getUsersLastSeen", rpc_last_seen, true, true },
		{ "updateUsersLastSeen", rpc_update_last_seen, true, false },
		{ "listChannels", method_list_channels, false, true },
		{ "ping", method_ping, true, true },
		{ "subscribeStatusChange", rpc_watch, false, true },
		{ "unsubscribeStatusChange", rpc_unwatch, false, true },
	};
	bool site = r->socket == NULL;

	for (size_t i = 0; i < COUNT_OF(methods); i++) {
		if (strcmp(methods[i].name, name) == 0 &&
		    (site ? methods[i].site : methods[i].client))
			return methods[i].method;
	}
	return NULL;
}
