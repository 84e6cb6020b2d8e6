/*
 * base/cidr.h - lists of networks, and whether an address stands in one.
 *
 * Owner: whoever embeds the list.  Thread: any once it is filled.  An IPv4
 * address and its IPv4-mapped IPv6 form are the same address here.
 */
#ifndef BASE_CIDR_H
#define BASE_CIDR_H

#include "base/base.h"

struct sockaddr;

struct cidr {
	uint8_t addr[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint8_t bits;	  /* of the 128 */
};

struct cidr_list {
	struct cidr *list;
	size_t n;
};

/* "10.0.0.0/8", "::1", "fd00::/8"; ERR_SYNTAX. */
int cidr_parse(struct cidr *c, const char *text) MUST_CHECK;

/* As it would be parsed again. */
#define CIDR_TEXT_SIZE 64
void cidr_format(const struct cidr *c, char out[CIDR_TEXT_SIZE]);

void cidr_list_init(struct cidr_list *l);
void cidr_list_release(struct cidr_list *l);
int cidr_list_add(struct cidr_list *l, const char *text) MUST_CHECK;

bool cidr_is_address(struct slice text);
/* What is no IP address stands in no list. */
bool cidr_list_has(const struct cidr_list *l, const struct sockaddr *sa);
bool cidr_list_has_text(const struct cidr_list *l, struct slice text);

#endif
