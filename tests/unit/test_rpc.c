/*
 * tests/unit/test_rpc.c - JSON-RPC 2.0: what is a call and what is not, and that
 * what a client sent comes back in no other form.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/bitrix/rpc.h"

static void
assert_slice(struct slice got, const char *want)
{
	assert_int_equal(got.len, strlen(want));
	assert_memory_equal(got.ptr, want, got.len);
}

static struct slice
text(const char *s)
{
	return (struct slice){ s, strlen(s) };
}

static void
assert_kind(const char *message, enum rpc_kind kind)
{
	struct rpc_text t;
	struct rpc_call c;

	assert_int_equal(rpc_open(&t, text(message)), 0);
	assert_true(rpc_next(&t, &c));
	assert_int_equal(c.kind, kind);
	assert_false(rpc_next(&t, &c));
	rpc_close(&t);
}

static void
test_call(void **state)
{
	static const char message[] = " {\"jsonrpc\":\"2.0\",\"method\":"
				      "\"publish\",\"params\": {\"a\" : 1.0 } "
				      ",\"id\": \"x\\u0041\" }";
	struct rpc_text t;
	struct rpc_call c;

	(void)state;
	assert_int_equal(rpc_open(&t, text(message)), 0);
	assert_false(t.batch);
	assert_true(rpc_next(&t, &c));
	assert_int_equal(c.kind, RPC_CALL);
	assert_string_equal(c.method, "publish");
	assert_true(json_is_object(c.params));
	assert_slice(c.params_text, "{\"a\" : 1.0 }");
	assert_slice(c.id, "\"x\\u0041\"");
	assert_false(rpc_next(&t, &c));
	rpc_close(&t);
}

static void
test_kinds(void **state)
{
	(void)state;
	assert_kind("{\"jsonrpc\":\"2.0\",\"method\":\"x\"}", RPC_CALL);
	assert_kind(
	    "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"id\":null}", RPC_CALL);
	assert_kind("{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}", RPC_REPLY);
	assert_kind("{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{}}", RPC_REPLY);
	assert_kind("{\"jsonrpc\":\"2.0\",\"id\":7}", RPC_INVALID);
	assert_kind("{\"jsonrpc\":\"2.0\",\"method\":1}", RPC_INVALID);
	assert_kind("{\"jsonrpc\":\"1.0\",\"method\":\"x\"}", RPC_INVALID);
	assert_kind("{\"method\":\"x\",\"id\":1}", RPC_INVALID);
	assert_kind(
	    "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"id\":{}}", RPC_INVALID);
	assert_kind(
	    "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"id\":true}", RPC_INVALID);
	assert_kind("7", RPC_INVALID);
	assert_kind("\"publish\"", RPC_INVALID);
	assert_kind("[[]]", RPC_INVALID);
}

/* A call's id is kept until its answer leaves. */
static void
test_long_id(void **state)
{
	char message[200];
	struct rpc_text t;
	struct rpc_call c;

	(void)state;
	for (int digits = RPC_ID_MAX - 2; digits <= RPC_ID_MAX; digits++) {
		int len = snprintf(message, sizeof(message),
		    "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"id\":\"%0*d\"}",
		    digits, 1);

		assert_int_equal(
		    rpc_open(&t, (struct slice){ message, (size_t)len }), 0);
		assert_true(rpc_next(&t, &c));
		assert_int_equal(
		    c.kind, digits + 2 <= RPC_ID_MAX ? RPC_CALL : RPC_INVALID);
		assert_int_equal(
		    c.id.len, digits + 2 <= RPC_ID_MAX ? digits + 2 : 0);
		rpc_close(&t);
	}
}

static void
test_batch(void **state)
{
	static const char message[] =
	    "[{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":1}, 5 ,"
	    "{\"jsonrpc\":\"2.0\",\"method\":\"b\",\"params\":[\"],{\"]}]";
	struct rpc_text t;
	struct rpc_call c;

	(void)state;
	assert_int_equal(rpc_open(&t, text(message)), 0);
	assert_true(t.batch);
	assert_int_equal(t.n, 3);
	assert_true(rpc_next(&t, &c));
	assert_string_equal(c.method, "a");
	assert_slice(c.id, "1");
	assert_true(rpc_next(&t, &c));
	assert_int_equal(c.kind, RPC_INVALID);
	assert_true(rpc_next(&t, &c));
	assert_string_equal(c.method, "b");
	assert_slice(c.params_text, "[\"],{\"]");
	assert_int_equal(c.id.len, 0);
	assert_false(rpc_next(&t, &c));
	rpc_close(&t);
	assert_int_equal(rpc_open(&t, text("[]")), 0);
	assert_int_equal(t.n, 0);
	rpc_close(&t);
}

static void
test_not_json(void **state)
{
	static const char *const bad[] = { "", "pong", "{", "{}x",
		"{\"jsonrpc\":\"2.0\",\"jsonrpc\":\"2.0\"}", "\xff" };
	struct rpc_text t;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(rpc_open(&t, text(bad[i])), ERR_SYNTAX);
}

static void
test_answers(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX);
	assert_int_equal(rpc_put_result(&b, text("3"), text("{\"2\":0}")), 0);
	assert_slice((struct slice){ b.data, b.len },
	    "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"2\":0}}");
	buf_clear(&b);
	assert_int_equal(
	    rpc_put_error(&b, text(""), RPC_BAD_JSON, "not \"JSON\""), 0);
	assert_slice((struct slice){ b.data, b.len },
	    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,"
	    "\"message\":\"not \\\"JSON\\\"\"}}");
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_long_id),
		cmocka_unit_test(test_batch),
		cmocka_unit_test(test_not_json),
		cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
