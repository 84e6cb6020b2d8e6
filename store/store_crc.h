/*
 * store/store_crc.h - CRC-32 (IEEE 802.3, as zlib and gzip compute it).
 *
 * The tables are made at run time and belong to whoever embeds them.
 */
#ifndef STORE_STORE_CRC_H
#define STORE_STORE_CRC_H

#include "base/base.h"

struct crc32 {
	uint32_t	table[8][256];
};

void	 crc32_init(struct crc32 *c);

/* The sum of what was summed before (0: nothing) and len more bytes. */
uint32_t crc32_add(const struct crc32 *c, uint32_t sum, const void *data,
	    size_t len);

#endif
