/*
 * api/bitrix/bx_rpc_publish.c - JSON-RPC's publish: to whom, what, and what the
 * answer waits for.
 *
 * A client publishes as who it is, and only to users of its own site and to
 * public ids that the site signed for it.
 *
 * Source: bitrix.md section d.6.
 */
#include "api/bitrix/bx_rpc.h"

#include <inttypes.h>

/* --- to whom ------------------------------------------------------------ */

struct receivers {
	struct bx_receiver to[BX_IDS_MAX];
	char numbers[BX_IDS_MAX][BX_USER_SIZE];
	uint32_t n;
};

static int
add_user(struct receivers *all, const json_t *v)
{
	uint64_t user = rpc_named_user(v);

	if (user == 0)
		return ERR_SYNTAX;
	all->to[all->n] = (struct bx_receiver){ BX_USER,
		bx_user_id(user, all->numbers[all->n]) };
	all->n++;
	return 0;
}

/* An id, or an empty slice. */
static struct slice
id_value(const json_t *v)
{
	struct slice id = { NULL, 0 };

	if (json_is_string(v))
		id = json_slice(v);
	return bx_is_id(id) ? id : (struct slice){ NULL, 0 };
}

/* The site names channels. */
static int
add_private(struct receivers *all, const json_t *v)
{
	struct slice id = id_value(v);

	if (id.len == 0)
		return BX_INVALID_ID;
	all->to[all->n++] = (struct bx_receiver){ BX_PRIVATE, id };
	return 0;
}

/* A client shows that the site let it write there. */
static int
add_public(const struct rpc *r, struct receivers *all, const json_t *v)
{
	struct slice id = id_value(json_object_get(v, "publicId"));
	const json_t *signature = json_object_get(v, "signature");
	unsigned char mac[KEYRING_MAC_MAX];
	size_t len = 0;

	if (json_is_string(v))
		return BX_IS_PRIVATE;
	if (id.len == 0)
		return BX_INVALID_ID;
	if (json_is_string(signature))
		len = bx_hex(json_slice(signature), mac);
	if (!bx_public_signed(
		r->licence->keys, id.ptr, (struct slice){ (char *)mac, len }))
		return BX_BAD_SIGNATURE;
	all->to[all->n++] = (struct bx_receiver){ BX_PUBLIC, id };
	return 0;
}

static bool
is_list(const json_t *v)
{
	return v == NULL || json_is_null(v) || json_is_array(v);
}

static int
read_receivers(const struct rpc *r, const json_t *params, struct receivers *all)
{
	const json_t *users = json_object_get(params, "userList");
	const json_t *channels = json_object_get(params, "channelList");
	size_t n_users = json_array_size(users);
	size_t n_channels = json_array_size(channels);
	int err = 0;

	all->n = 0;
	if (!is_list(users) || !is_list(channels))
		return ERR_SYNTAX;
	if (n_users + n_channels == 0)
		return BX_NO_CHANNELS;
	if (n_users + n_channels > BX_IDS_MAX)
		return BX_MANY_CHANNELS;
	if (n_users != 0 && rpc_by_guest(r))
		return BX_NOT_ALLOWED;
	for (size_t i = 0; i < n_users && err == 0; i++)
		err = add_user(all, json_array_get(users, i));
	for (size_t i = 0; i < n_channels && err == 0; i++) {
		const json_t *v = json_array_get(channels, i);

		err = r->socket == NULL ? add_private(all, v)
					: add_public(r, all, v);
	}
	return err;
}

/* --- what --------------------------------------------------------------- */

/* Not kept, if it does not say how long.  ERR_SYNTAX: it is no number. */
static int
read_ttl(const struct rpc *r, const json_t *params, int64_t *ttl_s)
{
	const json_t *v = json_object_get(params, "expiry");
	json_int_t expiry = json_integer_value(v);

	if (v != NULL && !json_is_null(v) && !json_is_integer(v))
		return ERR_SYNTAX;
	*ttl_s = expiry > 0 ? bx_ttl(r->api, (uint64_t)expiry) : 0;
	return 0;
}

/* PHP's empty object is an empty array. */
static int
put_object(const struct rpc_call *c, const char *name, struct buf *extra)
{
	const json_t *v = json_object_get(c->params, name);
	struct slice text = json_member(c->params_text, name);
	int err;

	if (v == NULL || json_is_null(v) || json_object_size(v) == 0)
		return is_list(v) || json_is_object(v) ? 0 : ERR_SYNTAX;
	if (text.ptr == NULL)
		return ERR_SYNTAX;
	err = buf_printf(extra, "%c\"%s\":", extra->len == 1 ? '{' : ',', name);
	return err != 0 ? err : buf_append(extra, text.ptr, text.len);
}

static int
put_sender(const struct rpc *r, struct buf *extra)
{
	const struct bx_socket *x = r->socket->of.bitrix.socket;

	if (rpc_by_guest(r) && x->has_pub)
		return buf_printf(extra,
		    "{\"sender\":{\"type\":1,\"id\":\"%.*s\"}", BX_ID_LEN,
		    x->pub);
	return buf_printf(
	    extra, "{\"sender\":{\"type\":1,\"id\":%" PRIu64 "}", rpc_user(r));
}

/* What stands beside the text; see look.h.  Empty: nothing does. */
static int
put_extra(const struct rpc *r, const struct rpc_call *c, struct buf *extra)
{
	char mark = BX_EXTRA_JSON;
	int err = buf_append(extra, &mark, 1);

	if (err == 0 && r->socket != NULL)
		err = put_sender(r, extra);
	if (err == 0 && r->socket == NULL)
		err = put_object(c, "user_params", extra);
	if (err == 0 && r->socket == NULL)
		err = put_object(c, "dictionary", extra);
	if (err == 0 && extra->len == 1)
		buf_clear(extra);
	else if (err == 0)
		err = buf_text(extra, "}");
	return err;
}

/* --- publish ------------------------------------------------------------ */

static int
need_job(struct rpc *r)
{
	if (r->job != NULL)
		return 0;
	r->job = bx_job_new(r->n, r->done, r->socket);
	return r->job != NULL ? 0 : ERR_NOMEM;
}

static void
count_message(struct bitrix *b, const json_t *type)
{
	bx_today(b)->incoming++;
	bx_count_type(b,
	    json_is_string(type) ? json_slice(type)
				 : (struct slice){ NULL, 0 });
}

static int
publish_to(struct rpc *r, const struct rpc_call *c, struct bx_message *m)
{
	struct buf extra;
	int err;

	buf_init(&extra, SIZE_MAX);
	err = put_extra(r, c, &extra);
	m->extra = (struct slice){ extra.data, extra.len };
	if (err == 0)
		err = need_job(r);
	if (err == 0)
		err = bx_publish(r->api, r->licence, r->job, m);
	if (err == 0)
		count_message(
		    r->api->bitrix, json_object_get(c->params, "type"));
	buf_release(&extra);
	return err;
}

int
rpc_publish(struct rpc *r, const struct rpc_call *c)
{
	struct receivers all;
	struct bx_message m = { .text = json_member(c->params_text, "body"),
		.to = all.to };
	int err;

	if (m.text.ptr == NULL ||
	    !json_is_object(json_object_get(c->params, "body")))
		return ERR_SYNTAX;
	err = read_ttl(r, c->params, &m.ttl_s);
	if (err == 0)
		err = read_receivers(r, c->params, &all);
	if (err != 0)
		return err;
	m.n = all.n;
	err = publish_to(r, c, &m);
	return err != 0 ? err : buf_text(&r->result, "true");
}
