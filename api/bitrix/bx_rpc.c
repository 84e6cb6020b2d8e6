/*
 * api/bitrix/bx_rpc.c - JSON-RPC of the site and of its clients: who may call,
 * and when the answer leaves.
 *
 * A call is checked before it does anything, and for itself: the others of its
 * batch are done whatever becomes of it.  The answer to a message is made at
 * once, but leaves when all that it published is on disk.  The site gets an
 * answer to every call, since it wants JSON and gives no ids; a client gets one
 * where it gave an id.
 *
 * Source: bitrix.md section d.6; the JSON-RPC 2.0 specification.
 */
#include "api/bitrix/bx_rpc.h"

#define JSON "application/json"
#define NOT_STORED "The message could not be stored."

static const struct slice no_id = { NULL, 0 };

static struct slice
slice_of(const struct buf *b)
{
	return (struct slice){ b->data, b->len };
}

static void
rpc_init(struct rpc *r)
{
	buf_init(&r->result, REPLY_MAX);
	buf_init(&r->out, REPLY_MAX);
	buf_init(&r->refusal, REPLY_MAX);
}

static void
rpc_release(struct rpc *r)
{
	bx_job_forget(&r->job);
	buf_release(&r->result);
	buf_release(&r->out);
	buf_release(&r->refusal);
}

/* --- one call ---------------------------------------------------------- */

static bool
wants_answer(const struct rpc *r, const struct rpc_call *c)
{
	return r->socket == NULL || c->id.len != 0 || c->kind == RPC_INVALID;
}

static int
put_comma(const struct rpc *r, struct buf *out)
{
	return r->batch && out->len > 1 ? buf_text(out, ",") : 0;
}

static int
put_error(const struct rpc *r, struct buf *out, struct slice id,
    enum rpc_code code, const char *why)
{
	int err = put_comma(r, out);

	return err != 0 ? err : rpc_put_error(out, id, code, why);
}

static int
put_result(const struct rpc *r, struct buf *out, struct slice id)
{
	int err = put_comma(r, out);

	return err != 0 ? err : rpc_put_result(out, id, slice_of(&r->result));
}

static int
refuse_call(struct rpc *r, const struct rpc_call *c, enum rpc_code code,
    const char *why)
{
	int err;

	if (!wants_answer(r, c))
		return 0;
	err = put_error(r, &r->out, c->id, code, why);
	if (err == 0 && r->socket != NULL)
		err = put_error(r, &r->refusal, c->id, code, why);
	return err;
}

static int
answer_call(struct rpc *r, const struct rpc_call *c, bool published)
{
	int err;

	if (!wants_answer(r, c))
		return 0;
	err = put_result(r, &r->out, c->id);
	if (err != 0 || r->socket == NULL)
		return err;
	return published
	    ? put_error(r, &r->refusal, c->id, RPC_FAILED, NOT_STORED)
	    : put_result(r, &r->refusal, c->id);
}

/* Something is wrong here: the site is told by the status of the whole answer,
 * and tries again. */
static int
fail_call(struct rpc *r, const struct rpc_call *c, int why)
{
	if (r->socket == NULL)
		return why;
	bx_trouble(r->api, why);
	return refuse_call(r, c, RPC_FAILED, err_text(why));
}

static int
do_call(struct rpc *r, const struct rpc_call *c)
{
	uint32_t parts = r->job != NULL ? r->job->n : 0;
	rpc_method_f *method = rpc_method(r, c->method);
	int err;

	if (method == NULL)
		return refuse_call(r, c, RPC_NO_METHOD, "Method not found");
	buf_clear(&r->result);
	err = method(r, c);
	if (err == 0)
		return answer_call(r, c, r->job != NULL && r->job->n > parts);
	if (err > 0) {
		bx_count(r->api, (enum bx_error)err);
		return refuse_call(
		    r, c, RPC_BAD_PARAMS, bx_error_text((enum bx_error)err));
	}
	if (err == ERR_SYNTAX)
		return refuse_call(r, c, RPC_BAD_PARAMS, "Invalid params");
	return fail_call(r, c, err);
}

/* --- a message --------------------------------------------------------- */

static int
refuse_all(struct rpc *r, enum rpc_code code, const char *why)
{
	r->refused = true;
	return rpc_put_error(&r->out, no_id, code, why);
}

static int
put_bracket(struct rpc *r, const char *bracket)
{
	int err = r->batch ? buf_text(&r->out, bracket) : 0;

	if (err == 0 && r->batch && r->socket != NULL)
		err = buf_text(&r->refusal, bracket);
	return err;
}

static int
do_calls(struct rpc *r, struct rpc_text *t)
{
	struct rpc_call c;
	int err;

	r->n = (uint32_t)t->n;
	r->batch = t->batch;
	err = put_bracket(r, "[");
	while (err == 0 && rpc_next(t, &c)) {
		if (c.kind == RPC_CALL)
			err = do_call(r, &c);
		else if (c.kind == RPC_INVALID)
			err =
			    refuse_call(r, &c, RPC_BAD_CALL, "Invalid Request");
	}
	return err != 0 ? err : put_bracket(r, "]");
}

static int
refuse_many(struct rpc *r)
{
	bx_count(r->api, BX_MANY_MESSAGES);
	return refuse_all(r, RPC_BAD_PARAMS, bx_error_text(BX_MANY_MESSAGES));
}

static int
do_message(struct rpc *r, struct slice text)
{
	struct rpc_text t;
	int err;

	if (rpc_open(&t, text) != 0)
		return refuse_all(r, RPC_BAD_JSON, "Parse error");
	if (t.n == 0)
		err = refuse_all(r, RPC_BAD_CALL, "Invalid Request");
	else if (t.n > BX_MESSAGES_MAX)
		err = refuse_many(r);
	else
		err = do_calls(r, &t);
	rpc_close(&t);
	return err;
}

/* --- route api: the site ----------------------------------------------- */

static bx_job_done_f site_stored;

/* Uses nothing of the request but its bytes. */
static bool
site_signed(const struct bx_call *b)
{
	const struct call *c = b->c;
	struct slice body = slice_of(&c->request->body);
	unsigned char mac[KEYRING_MAC_MAX];
	size_t len = bx_hex(bx_arg(c, "signature"), mac);

	return keyring_verify(b->licence->keys, KEYRING_IDS, &body, 1,
	    (struct slice){ (char *)mac, len });
}

static bool
host_ok(const struct bx_call *b)
{
	const char *host = b->licence->host_id;

	/* Older sites say it in a header. */
	return host == NULL || slice_is(bx_arg(b->c, "hostId"), host) ||
	    slice_is(b->c->query.host_id, host);
}

static void
site_fail(const struct call *c, int why)
{
	struct buf *out = &c->api->body;

	bx_trouble(c->api, why);
	buf_clear(out);
	if (rpc_put_error(out, no_id, RPC_FAILED, err_text(why)) != 0)
		buf_clear(out);
	bx_answer(c, err_status(why), JSON, slice_of(out));
}

static void
site_stored(struct bx_job *job, int err)
{
	struct wait_state *w = job->arg;
	const struct payload *answer = job->answer;
	struct call c = wait_call(w);

	if (err != 0)
		site_fail(&c, err);
	else
		bx_answer(
		    &c, 200, JSON, (struct slice){ answer->data, answer->len });
	wait_free(&w);
}

static int
site_wait(const struct call *c, struct rpc *r)
{
	struct wait_state *w =
	    wait_new(c, WAIT_BITRIX_JOB, (struct slice){ NULL, 0 });

	if (w == NULL)
		return ERR_NOMEM;
	r->job->answer = payload_new(r->out.data, r->out.len);
	if (r->job->answer == NULL) {
		wait_drop(&w);
		return ERR_NOMEM;
	}
	r->job->arg = w;
	w->on.job = r->job;
	r->job = NULL;
	request_shed(c->request);
	return 0;
}

void
bx_api_handle(struct bx_call *b)
{
	struct call *c = b->c;
	struct rpc r = {
		.api = c->api, .licence = b->licence, .done = site_stored
	};
	int err;

	/* Without keys nobody could tell who publishes. */
	if (!site_signed(b)) {
		bx_refuse(c, BX_WRONG_SIGNATURE);
		return;
	}
	if (!host_ok(b)) {
		bx_refuse(c, BX_WRONG_CLIENT);
		return;
	}
	rpc_init(&r);
	err = do_message(&r, slice_of(&c->request->body));
	if (err == 0 && r.job != NULL && bx_job_start(r.job))
		err = site_wait(c, &r);
	else if (err == 0)
		bx_answer(c, r.refused ? 400 : 200, JSON, slice_of(&r.out));
	if (err != 0)
		site_fail(c, err);
	rpc_release(&r);
}

/* --- a WebSocket: a client --------------------------------------------- */

static bx_job_done_f client_stored;

static void
client_stored(struct bx_job *job, int err)
{
	struct wait_state *w = job->arg;
	const struct payload *answer = err == 0 ? job->answer : job->refusal;

	bx_socket_paid(job);
	if (err != 0)
		bx_trouble(w->api, err);
	if (answer != NULL)
		bx_socket_send(
		    w, WS_OP_TEXT, (struct slice){ answer->data, answer->len });
}

/* They wait for the disk, counted with what comes in. */
static int
keep_answers(const struct rpc *r, struct bx_job *job)
{
	struct request_spares *spares = r->socket->request->spares;
	size_t bytes = r->out.len + r->refusal.len;

	job->answer = payload_new(r->out.data, r->out.len);
	job->refusal = payload_new(r->refusal.data, r->refusal.len);
	if (job->answer == NULL || job->refusal == NULL)
		return ERR_NOMEM;
	if (spares == NULL)
		return 0;
	if (!quota_take_of(&spares->incoming, bytes, bytes)) {
		limit_hit(&r->api->stats->limits, LIMIT_max_incoming_size);
		return ERR_CROWDED;
	}
	job->all = &spares->incoming;
	return 0;
}

static int
client_wait(struct rpc *r, bool answered, size_t bytes)
{
	struct bx_job *job = r->job;
	int err = answered ? keep_answers(r, job) : 0;

	if (err == 0)
		err = bx_socket_owes(r->socket, job, bytes);
	if (err == 0)
		r->job = NULL;
	return err;
}

static int
client_answer(struct rpc *r, size_t bytes)
{
	bool answered = r->out.len > (r->batch ? 2 : 0);

	if (r->job != NULL && bx_job_start(r->job))
		return client_wait(r, answered, bytes);
	if (answered)
		bx_socket_send(r->socket, WS_OP_TEXT, slice_of(&r->out));
	return 0;
}

bool
bx_rpc_is_receipt(struct slice text)
{
	return text.len >= 5 && memcmp(text.ptr, "mack:", 5) == 0;
}

bool
bx_rpc_input(struct wait_state *w, struct slice text)
{
	struct rpc r = { .api = w->api,
		.licence = bx_socket_licence(w),
		.socket = w,
		.done = client_stored };
	int err;

	if (slice_is(text, "pong")) {
		bx_socket_alive(w);
		return true;
	}
	if (bx_rpc_is_receipt(text))
		return true;
	if (r.licence == NULL) {
		bx_socket_end(w, bx_close(BX_WRONG_CLIENT));
		return false;
	}
	rpc_init(&r);
	err = do_message(&r, text);
	if (err == 0)
		err = client_answer(&r, text.len);
	if (err != 0) /* not one answer may be missing: it is to come back */
		w->request->ops->fail(w->request);
	rpc_release(&r);
	return true;
}
