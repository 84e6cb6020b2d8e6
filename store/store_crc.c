/*
 * store/store_crc.c - CRC-32, eight bytes at a step.
 *
 * table[k][b] is what byte b does to the sum when k more bytes follow it, so
 * eight look-ups that do not wait for each other take the place of eight
 * that do.  Every stored byte passes here once, on the store's thread.
 */
#include "store/store_crc.h"

#define CRC_POLYNOMIAL	UINT32_C(0xEDB88320)	/* bits reversed */

void
crc32_init(struct crc32 *c)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t sum = b;

		for (int bit = 0; bit < 8; bit++)
			sum = sum >> 1 ^ (CRC_POLYNOMIAL & -(sum & 1));
		c->table[0][b] = sum;
	}
	for (int k = 1; k < 8; k++) {
		for (uint32_t b = 0; b < 256; b++) {
			uint32_t sum = c->table[k - 1][b];

			c->table[k][b] = sum >> 8 ^ c->table[0][sum & 0xff];
		}
	}
}

static uint32_t
load32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	    (uint32_t)p[3] << 24;
}

uint32_t
crc32_add(const struct crc32 *c, uint32_t sum, const void *data, size_t len)
{
	const unsigned char *p = data;

	sum = ~sum;
	for (; len >= 8; len -= 8, p += 8) {
		uint32_t a = load32(p) ^ sum, b = load32(p + 4);

		sum = c->table[7][a & 0xff] ^ c->table[6][a >> 8 & 0xff] ^
		    c->table[5][a >> 16 & 0xff] ^ c->table[4][a >> 24] ^
		    c->table[3][b & 0xff] ^ c->table[2][b >> 8 & 0xff] ^
		    c->table[1][b >> 16 & 0xff] ^ c->table[0][b >> 24];
	}
	while (len-- > 0)
		sum = sum >> 8 ^ c->table[0][(sum ^ *p++) & 0xff];
	return ~sum;
}
