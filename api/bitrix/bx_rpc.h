/*
 * api/bitrix/bx_rpc.h - a JSON-RPC message while its calls are done.
 *
 * bx_rpc.c reads and answers, bx_methods.c knows who may call what, and
 * bx_rpc_publish.c and bx_rpc_users.c do most of it.  Owner: the stack of
 * bx_rpc.c.  Thread: loop.
 */
#ifndef API_BITRIX_BX_RPC_H
#define API_BITRIX_BX_RPC_H

#include "api/bitrix/bx_priv.h"
#include "api/bitrix/rpc.h"

struct rpc {
	struct api *api;
	const struct licence *licence;
	struct wait_state *socket; /* whose client asks; NULL: the site does */
	uint32_t n;		   /* calls of the message */
	bool batch;
	bool refused; /* as a whole */
	bx_job_done_f *done;
	struct bx_job *job; /* to be stored before the answer; or NULL */
	struct buf result;  /* of the call in hand: JSON */
	struct buf out;	    /* the answer */
	struct buf refusal; /* the same if the store fails; a client's only */
};

/* Do a call, and append its result.  What was wrong with it: a bx_error (> 0),
 * or ERR_SYNTAX.  What was wrong here: another ERR_*. */
typedef int rpc_method_f(struct rpc *r, const struct rpc_call *c);

/* NULL: there is none of this name, or not for who asks. */
rpc_method_f *rpc_method(const struct rpc *r, const char *name);

rpc_method_f rpc_publish;
rpc_method_f rpc_last_seen, rpc_update_last_seen;
rpc_method_f rpc_watch, rpc_unwatch;

/* The client's own number; 0: it is a guest. */
static inline uint64_t
rpc_user(const struct rpc *r)
{
	return r->socket->of.bitrix.user;
}

static inline bool
rpc_by_guest(const struct rpc *r)
{
	return r->socket != NULL && rpc_user(r) == 0;
}

/* A user that a call names; 0: it is none. */
static inline uint64_t
rpc_named_user(const json_t *v)
{
	uint64_t user;

	return json_user(v, &user) ? user : 0;
}

#endif
