/*
 * tests/fuzz/fuzz_rpc.c - any bytes as a JSON-RPC message.
 *
 * What is taken out of a message lies inside of it and is JSON again, and an
 * answer to whatever came is JSON that is no call.
 */
#include "tests/fuzz/check.h"

#include "api/bitrix/rpc.h"

static bool
inside(struct slice whole, struct slice part)
{
	return part.ptr >= whole.ptr &&
	    part.ptr + part.len <= whole.ptr + whole.len;
}

static void
check_json(struct slice text)
{
	json_t *value = json_read(text);

	CHECK(value != NULL);
	json_decref(value);
}

static void
check_answer(struct buf *answer, enum rpc_kind kind)
{
	struct rpc_text t;
	struct rpc_call c;

	CHECK(rpc_open(&t, (struct slice){ answer->data, answer->len }) == 0);
	CHECK(t.n == 1 && rpc_next(&t, &c) && c.kind == kind);
	rpc_close(&t);
	buf_clear(answer);
}

static void
check_answers(const struct rpc_call *c)
{
	struct buf answer;

	buf_init(&answer, SIZE_MAX);
	CHECK(rpc_put_result(&answer, c->id, SLICE("true")) == 0);
	check_answer(&answer, RPC_REPLY);
	CHECK(rpc_put_error(&answer, c->id, RPC_BAD_PARAMS,
		  c->method != NULL ? c->method : "") == 0);
	check_answer(&answer, RPC_REPLY);
	buf_release(&answer);
}

static void
check_call(struct slice whole, const struct rpc_call *c)
{
	CHECK(c->id.len <= RPC_ID_MAX);
	CHECK((c->kind == RPC_CALL) == (c->method != NULL));
	if (c->id.len != 0) {
		CHECK(inside(whole, c->id));
		check_json(c->id);
	}
	/* A key that is written with escapes is not found in the text. */
	CHECK(c->params_text.ptr == NULL || c->params != NULL);
	if (c->params_text.ptr != NULL) {
		CHECK(inside(whole, c->params_text));
		check_json(c->params_text);
	}
	check_answers(c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice whole = { (const char *)data, size };
	struct rpc_text t;
	struct rpc_call c;
	size_t n = 0;

	if (rpc_open(&t, whole) != 0)
		return 0;
	for (; rpc_next(&t, &c); n++)
		check_call(whole, &c);
	CHECK(n == t.n);
	rpc_close(&t);
	return 0;
}
