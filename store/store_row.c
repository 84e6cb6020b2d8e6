/* store/store_row.c - how a message stands in its row. */
#include "store/store_sqlite_priv.h"

#include <zlib.h>

static void
put64(unsigned char *at, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		at[i] = (unsigned char)v;
}

static uint64_t
get64(const unsigned char *at)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | at[i];
	return v;
}

void
row_put_member(unsigned char *at, uint64_t channel, uint64_t id)
{
	put64(at, channel);
	put64(at + 8, id);
}

uint64_t
row_cursor(uint64_t row, bool shared, size_t place)
{
	return shared ? row : row + place;
}

void
row_put_floor(unsigned char *at, uint64_t floor)
{
	put64(at, floor);
}

uint64_t
row_get_floor(const unsigned char *at)
{
	return get64(at);
}

void
row_get_member(const unsigned char *at, uint64_t *channel, uint64_t *id)
{
	*channel = get64(at);
	*id = get64(at + 8);
}

/*
 * Over all that the row says, lengths included: bytes that moved from one
 * column to another are found out as well.  What schema 3 brought is 0 in
 * older rows, and stands where they had zeros, as do the floors of schema 4:
 * their sums hold.
 */
uint32_t
row_sum(uint64_t row, const struct msg *m, bool shared, const void *members,
    size_t len, const void *floors)
{
	unsigned char head[8 * 6];
	uLong sum;

	put64(head, row);
	put64(head + 8, (uint64_t)m->expires);
	put64(head + 16,
	    (uint64_t)shared << 63 | (uint64_t)(floors != NULL) << 62 | len);
	put64(head + 24, (uint64_t)m->extra_len << 32 | m->text_len);
	put64(head + 32, (uint64_t)m->has_event_id << 32 | m->event_id_len);
	put64(head + 40, (uint64_t)m->has_event_type << 32 | m->event_type_len);
	sum = crc32_z(0, head, sizeof(head));
	sum = crc32_z(sum, members, len);
	if (floors != NULL)
		sum = crc32_z(sum, floors, len / MEMBER_BYTES * FLOOR_BYTES);
	return (uint32_t)crc32_z(
	    sum, (const unsigned char *)m->data, msg_bytes(m));
}
