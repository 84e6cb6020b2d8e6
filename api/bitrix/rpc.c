/*
 * api/bitrix/rpc.c - JSON-RPC 2.0 read and written.
 */
#include "api/bitrix/rpc.h"

static const struct slice nothing = { NULL, 0 };

int
rpc_open(struct rpc_text *t, struct slice text)
{
	*t = (struct rpc_text){ .text = text, .json = json_read(text) };
	if (t->json == NULL)
		return ERR_SYNTAX;
	t->batch = json_is_array(t->json);
	t->n = t->batch ? json_array_size(t->json) : 1;
	return 0;
}

void
rpc_close(struct rpc_text *t)
{
	json_decref(t->json);
	t->json = NULL;
}

static bool
is_version_2(const json_t *json)
{
	const char *version =
	    json_string_value(json_object_get(json, "jsonrpc"));

	return version != NULL && strcmp(version, "2.0") == 0;
}

/* An id goes back as it came, so it may not be long. */
static bool
id_ok(const json_t *id, struct slice text)
{
	return text.ptr == NULL ||
	    (text.len <= RPC_ID_MAX &&
		(json_is_string(id) || json_is_number(id) || json_is_null(id)));
}

static enum rpc_kind
kind_of(const json_t *json)
{
	if (!is_version_2(json))
		return RPC_INVALID;
	if (json_is_string(json_object_get(json, "method")))
		return RPC_CALL;
	if (json_object_get(json, "method") == NULL &&
	    (json_object_get(json, "result") != NULL ||
		json_object_get(json, "error") != NULL))
		return RPC_REPLY;
	return RPC_INVALID;
}

static void
call_read(const json_t *json, struct slice text, struct rpc_call *out)
{
	*out = (struct rpc_call){ .kind = kind_of(json),
		.id = json_member(text, "id") };
	if (!id_ok(json_object_get(json, "id"), out->id)) {
		out->kind = RPC_INVALID;
		out->id = nothing;
	}
	if (out->kind != RPC_CALL)
		return;
	out->method = json_string_value(json_object_get(json, "method"));
	out->params = json_object_get(json, "params");
	out->params_text = json_member(text, "params");
}

bool
rpc_next(struct rpc_text *t, struct rpc_call *out)
{
	if (t->i == t->n)
		return false;
	if (t->batch)
		call_read(json_array_get(t->json, t->i),
		    json_next(t->text, &t->at), out);
	else
		call_read(t->json, t->text, out);
	t->i++;
	return true;
}

/* --- answers ----------------------------------------------------------- */

static int
put_head(struct buf *out, struct slice id)
{
	int err = buf_text(out, "{\"jsonrpc\":\"2.0\",\"id\":");

	if (err == 0)
		err = id.len != 0 ? buf_append(out, id.ptr, id.len)
				  : buf_text(out, "null");
	return err;
}

int
rpc_put_result(struct buf *out, struct slice id, struct slice result)
{
	int err = put_head(out, id);

	if (err == 0)
		err = buf_text(out, ",\"result\":");
	if (err == 0)
		err = buf_append(out, result.ptr, result.len);
	return err != 0 ? err : buf_text(out, "}");
}

int
rpc_put_error(
    struct buf *out, struct slice id, enum rpc_code code, const char *why)
{
	int err = put_head(out, id);

	if (err == 0)
		err = buf_printf(
		    out, ",\"error\":{\"code\":%d,\"message\":\"", (int)code);
	if (err == 0)
		err = buf_json(out, (struct slice){ why, strlen(why) });
	return err != 0 ? err : buf_text(out, "\"}}");
}
