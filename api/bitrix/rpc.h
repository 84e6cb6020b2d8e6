/*
 * api/bitrix/rpc.h - JSON-RPC 2.0 on the wire: calls that come in, answers that
 * go out.
 *
 * A message is a call, or an array of them.  Values are read from jansson's
 * tree; what is carried on is a slice of the message's own bytes.  Pure.
 * Source: bitrix.md section d.6; the JSON-RPC 2.0 specification.
 */
#ifndef API_BITRIX_RPC_H
#define API_BITRIX_RPC_H

#include "api/bitrix/json.h"

#define RPC_ID_MAX 64 /* bytes of a call's id, as it stands there */

enum rpc_code {
	RPC_BAD_JSON = -32700,
	RPC_BAD_CALL = -32600,
	RPC_NO_METHOD = -32601,
	RPC_BAD_PARAMS = -32602,
	RPC_FAILED = -32000 /* ours: it was not done */
};

enum rpc_kind {
	RPC_CALL,
	RPC_REPLY,  /* to something that we asked */
	RPC_INVALID /* neither */
};

struct rpc_call {
	enum rpc_kind kind;
	struct slice id;	  /* len 0: none, so no answer is wanted */
	const char *method;	  /* of a call */
	json_t *params;		  /* NULL: none */
	struct slice params_text; /* ptr NULL: none */
};

/* A message that is being read; the bytes are the caller's. */
struct rpc_text {
	struct slice text;
	json_t *json;
	bool batch;
	size_t n; /* calls */
	size_t i, at;
};

/* ERR_SYNTAX: it is not JSON. */
int rpc_open(struct rpc_text *t, struct slice text) MUST_CHECK;
/* The next call, good until rpc_close(); false: that was all. */
bool rpc_next(struct rpc_text *t, struct rpc_call *out);
void rpc_close(struct rpc_text *t);

/* An answer; id len 0: null.  result: JSON. */
int rpc_put_result(
    struct buf *out, struct slice id, struct slice result) MUST_CHECK;
int rpc_put_error(struct buf *out, struct slice id, enum rpc_code code,
    const char *why) MUST_CHECK;

#endif
