/*
 * base/cidr.c - networks as 128-bit prefixes.
 *
 * IPv4 is kept in its mapped IPv6 form, so one comparison does for both.  A
 * short IPv6 prefix such as ::/0 would then take IPv4 in by accident, which
 * nobody who writes it means: it does not.
 */
#include "base/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#define MAPPED_BITS 96

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

static bool
is_mapped(const uint8_t addr[16])
{
	return memcmp(addr, mapped, sizeof(mapped)) == 0;
}

static void
map_ipv4(uint8_t addr[16], const void *ipv4)
{
	memcpy(addr, mapped, sizeof(mapped));
	memcpy(addr + sizeof(mapped), ipv4, 4);
}

/* The address in `text`; *width is how many bits its notation has. */
static int
address_parse(uint8_t addr[16], const char *text, unsigned *width)
{
	struct in_addr four;

	if (inet_pton(AF_INET, text, &four) == 1) {
		map_ipv4(addr, &four);
		*width = 32;
		return 0;
	}
	*width = 128;
	return inet_pton(AF_INET6, text, addr) == 1 ? 0 : ERR_SYNTAX;
}

/* The prefix behind the slash: digits only, at most `width`. */
static int
bits_parse(const char *text, unsigned width, unsigned *bits)
{
	unsigned n = 0;
	size_t i;

	for (i = 0; text[i] >= '0' && text[i] <= '9' && i < 3; i++)
		n = n * 10 + (unsigned)(text[i] - '0');
	if (i == 0 || text[i] != '\0' || n > width)
		return ERR_SYNTAX;
	*bits = n;
	return 0;
}

int
cidr_parse(struct cidr *c, const char *text)
{
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	unsigned bits, width;
	int err;

	if (len >= sizeof(host))
		return ERR_SYNTAX;
	memcpy(host, text, len);
	host[len] = '\0';
	err = address_parse(c->addr, host, &width);
	if (err != 0)
		return err;
	bits = width;
	if (slash != NULL)
		err = bits_parse(slash + 1, width, &bits);
	c->bits = (uint8_t)(128 - width + bits);
	return err;
}

void
cidr_format(const struct cidr *c, char out[CIDR_TEXT_SIZE])
{
	bool four = is_mapped(c->addr) && c->bits >= MAPPED_BITS;
	char addr[INET6_ADDRSTRLEN];

	if (inet_ntop(four ? AF_INET : AF_INET6,
		four ? c->addr + sizeof(mapped) : c->addr, addr,
		sizeof(addr)) == NULL)
		addr[0] = '\0';
	(void)snprintf(out, CIDR_TEXT_SIZE, "%s/%u", addr,
	    four ? (unsigned)c->bits - MAPPED_BITS : c->bits);
}

static bool
prefix_equal(const uint8_t a[16], const uint8_t b[16], unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

static bool
list_has(const struct cidr_list *l, const uint8_t addr[16])
{
	for (size_t i = 0; i < l->n; i++) {
		const struct cidr *c = &l->list[i];

		if (is_mapped(addr) && c->bits < MAPPED_BITS)
			continue;
		if (prefix_equal(c->addr, addr, c->bits))
			return true;
	}
	return false;
}

void
cidr_list_init(struct cidr_list *l)
{
	l->list = NULL;
	l->n = 0;
}

void
cidr_list_release(struct cidr_list *l)
{
	free(l->list);
	cidr_list_init(l);
}

int
cidr_list_add(struct cidr_list *l, const char *text)
{
	struct cidr c, *list;
	int err = cidr_parse(&c, text);

	if (err != 0)
		return err;
	list = realloc(l->list, (l->n + 1) * sizeof(*list));
	if (list == NULL)
		return ERR_NOMEM;
	l->list = list;
	list[l->n++] = c;
	return 0;
}

bool
cidr_list_has(const struct cidr_list *l, const struct sockaddr *sa)
{
	struct sockaddr_in6 six;
	struct sockaddr_in four;
	uint8_t addr[16];

	/* By copy: the caller's bytes may not be aligned for either. */
	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&four, sa, sizeof(four));
		map_ipv4(addr, &four.sin_addr);
		return list_has(l, addr);
	case AF_INET6:
		memcpy(&six, sa, sizeof(six));
		return list_has(l, six.sin6_addr.s6_addr);
	default:
		return false;
	}
}

static int
text_parse(uint8_t addr[16], struct slice text)
{
	char host[INET6_ADDRSTRLEN];
	unsigned width;

	if (text.len == 0 || text.len >= sizeof(host) ||
	    memchr(text.ptr, '\0', text.len) != NULL)
		return ERR_SYNTAX;
	memcpy(host, text.ptr, text.len);
	host[text.len] = '\0';
	return address_parse(addr, host, &width);
}

bool
cidr_is_address(struct slice text)
{
	uint8_t addr[16];

	return text_parse(addr, text) == 0;
}

bool
cidr_list_has_text(const struct cidr_list *l, struct slice text)
{
	uint8_t addr[16];

	return text_parse(addr, text) == 0 && list_has(l, addr);
}
