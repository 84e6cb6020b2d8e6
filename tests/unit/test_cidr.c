/*
 * tests/unit/test_cidr.c - who may connect and who may publish hangs on these
 * lists: a wrong match lets a stranger in, a missed one locks the front out.
 */
#include "base/base.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/cidr.h"

static bool
matches(const char *rule, const char *addr)
{
	struct cidr_list l;
	bool yes;

	cidr_list_init(&l);
	assert_int_equal(cidr_list_add(&l, rule), 0);
	yes = cidr_list_has_text(&l, (struct slice){ addr, strlen(addr) });
	cidr_list_release(&l);
	return yes;
}

static void
test_networks(void **state)
{
	(void)state;
	assert_true(matches("127.0.0.0/8", "127.200.3.4"));
	assert_false(matches("127.0.0.0/8", "128.0.0.1"));
	assert_true(matches("10.0.0.1", "10.0.0.1"));
	assert_false(matches("10.0.0.1", "10.0.0.2"));
	assert_true(matches("10.1.2.3/8", "10.200.0.1"));
	assert_true(matches("192.168.4.0/23", "192.168.5.255"));
	assert_false(matches("192.168.4.0/23", "192.168.6.0"));
	assert_true(matches("0.0.0.0/0", "8.8.8.8"));
	assert_true(matches("::1", "::1"));
	assert_true(matches("::1/128", "0:0:0:0:0:0:0:1"));
	assert_false(matches("::1", "::2"));
	assert_true(matches("fd00::/8", "fd12:3456::1"));
	assert_false(matches("fd00::/8", "fe80::1"));
	assert_true(matches("2001:db8::/33", "2001:db8:7fff::"));
	assert_false(matches("2001:db8::/33", "2001:db8:8000::"));
}

/* A dual-stack listener reports 127.0.0.1 as ::ffff:127.0.0.1. */
static void
test_mapped(void **state)
{
	(void)state;
	assert_true(matches("127.0.0.0/8", "::ffff:127.0.0.1"));
	assert_true(matches("::ffff:127.0.0.1", "127.0.0.1"));
	assert_false(matches("0.0.0.0/0", "::1"));
	assert_false(matches("::/0", "127.0.0.1"));
	assert_true(matches("::/0", "::1"));
}

static void
test_bad_rules(void **state)
{
	static const char *const bad[] = { "", "/", "/8", "127.0.0.0/",
		"127.0.0.0/33", "127.0.0.0/-1", "127.0.0.0/8x", "127.0.0.0/ 8",
		"::/129", "::1/0128", "localhost", "1.2.3", "1.2.3.4.5",
		"1.2.3.4 ", "fe80::1%lo", "1.2.3.4/8/8",
		"1111:1111:1111:1111:1111:1111:1111:1111:1111:1111" };
	struct cidr c;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(cidr_parse(&c, bad[i]), ERR_SYNTAX);
}

/* nginx says "unix:" for a client on a unix socket. */
static void
test_no_address(void **state)
{
	(void)state;
	assert_false(matches("0.0.0.0/0", "unix:"));
	assert_false(matches("::/0", ""));
	assert_false(matches("::/0", "::1, ::2"));
}

static void
test_sockaddr(void **state)
{
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr local = { .sa_family = AF_UNIX };
	struct cidr_list l;

	(void)state;
	cidr_list_init(&l);
	assert_false(cidr_list_has(&l, (struct sockaddr *)&four));
	assert_false(cidr_list_has_text(&l, (struct slice){ NULL, 0 }));
	assert_int_equal(cidr_list_add(&l, "10.0.0.0/8"), 0);
	assert_int_equal(cidr_list_add(&l, "::1"), 0);
	assert_int_equal(cidr_list_add(&l, "oops"), ERR_SYNTAX);
	assert_int_equal(l.n, 2);
	four.sin_addr.s_addr = htonl(0x0a010203);
	assert_true(cidr_list_has(&l, (struct sockaddr *)&four));
	four.sin_addr.s_addr = htonl(0x0b010203);
	assert_false(cidr_list_has(&l, (struct sockaddr *)&four));
	six.sin6_addr = in6addr_loopback;
	assert_true(cidr_list_has(&l, (struct sockaddr *)&six));
	assert_false(cidr_list_has(&l, &local));
	cidr_list_release(&l);
}

/* What -T shows can be read again. */
static void
test_text(void **state)
{
	static const char *const same[] = { "10.0.0.0/8", "0.0.0.0/0",
		"10.1.2.3/32", "::1/128", "fd00::/8", "::/0" };
	char text[CIDR_TEXT_SIZE];
	struct cidr c;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(same); i++) {
		assert_int_equal(cidr_parse(&c, same[i]), 0);
		cidr_format(&c, text);
		assert_string_equal(text, same[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_mapped),
		cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_no_address),
		cmocka_unit_test(test_sockaddr),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
