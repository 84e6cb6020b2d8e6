/*
 * tests/fuzz/fuzz_cidr.c - any bytes as a network and as an address.
 *
 * A network that was read is the same when it is written and read again; the
 * address that it begins with stands in it, and what is no address in none.
 *
 * The input is the network, a NUL and the address.
 */
#include "tests/fuzz/check.h"

#include "base/cidr.h"

static void
check_written(const struct cidr *c)
{
	char text[CIDR_TEXT_SIZE];
	struct cidr again;

	cidr_format(c, text);
	CHECK(cidr_parse(&again, text) == 0);
	CHECK(again.bits == c->bits);
	CHECK(memcmp(again.addr, c->addr, sizeof(c->addr)) == 0);
}

static void
check_list(const struct cidr *c, const char *network, struct slice address)
{
	size_t len = strcspn(network, "/");
	struct cidr_list l;

	cidr_list_init(&l);
	CHECK(cidr_list_add(&l, network) == 0 && l.n == 1);
	/* ::/0 does not mean IPv4, however it is written. */
	CHECK(cidr_list_has_text(&l, (struct slice){ network, len }) ||
	    c->bits < 96);
	if (cidr_list_has_text(&l, address))
		CHECK(memchr(address.ptr, '/', address.len) == NULL);
	cidr_list_release(&l);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *end = size != 0 ? memchr(data, '\0', size) : NULL;
	const char *network = (const char *)data;
	struct cidr c;
	size_t len;

	if (end == NULL)
		return 0;
	len = (size_t)(end - network) + 1;
	if (cidr_parse(&c, network) == 0) {
		check_written(&c);
		check_list(&c, network, (struct slice){ end + 1, size - len });
	}
	return 0;
}
