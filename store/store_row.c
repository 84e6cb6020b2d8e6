/* store/store_row.c - how a message stands in its row. */
#include "store/store_sqlite_priv.h"

#include <libdeflate.h>

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
	uint32_t sum;

	put64(head, row);
	put64(head + 8, (uint64_t)m->expires);
	put64(head + 16,
	    (uint64_t)shared << 63 | (uint64_t)(floors != NULL) << 62 | len);
	put64(head + 24, (uint64_t)m->extra_len << 32 | m->text_len);
	put64(head + 32, (uint64_t)m->has_event_id << 32 | m->event_id_len);
	put64(head + 40, (uint64_t)m->has_event_type << 32 | m->event_type_len);
	sum = libdeflate_crc32(0, head, sizeof(head));
	sum = libdeflate_crc32(sum, members, len);
	if (floors != NULL)
		sum = libdeflate_crc32(
		    sum, floors, len / MEMBER_BYTES * FLOOR_BYTES);
	return libdeflate_crc32(sum, m->data, msg_bytes(m));
}

static bool
row_given(sqlite3_stmt *st, int column)
{
	return sqlite3_column_type(st, column) != SQLITE_NULL;
}

int
row_message(sqlite3_stmt *st, uint64_t row, struct msg **out)
{
	bool shared = stmt_u64(st, 2) != 0;
	struct slice members = stmt_blob(st, 3), id = stmt_blob(st, 4),
		     type = stmt_blob(st, 5), floors = stmt_blob(st, 8);
	struct msg *m;

	*out = NULL;
	if (row_given(st, 8) &&
	    (floors.len == 0 ||
		floors.len != members.len / MEMBER_BYTES * FLOOR_BYTES))
		return 0;
	if (id.len > UINT16_MAX || type.len > UINT16_MAX)
		return 0;
	m = msg_make(&(struct msg_parts){ .text = stmt_blob(st, 6),
	    .event_id = row_given(st, 4) ? &id : NULL,
	    .event_type = row_given(st, 5) ? &type : NULL,
	    .extra = stmt_blob(st, 7),
	    .expires = (int64_t)stmt_u64(st, 0) });
	if (m == NULL)
		return ERR_NOMEM;
	if (row_sum(row, m, shared, members.ptr, members.len,
		row_given(st, 8) ? floors.ptr : NULL) != stmt_u64(st, 1))
		msg_unref(&m);
	*out = m;
	return 0;
}

bool
row_has_member(bool shared, struct slice members, uint64_t place,
    uint64_t channel, uint64_t id)
{
	const unsigned char *at = (const unsigned char *)members.ptr;
	size_t n = members.len / MEMBER_BYTES;
	uint64_t one, its_id;

	for (size_t i = shared ? 0 : place; i < n; i++) {
		row_get_member(at + i * MEMBER_BYTES, &one, &its_id);
		if (one == channel && its_id == id)
			return true;
		if (!shared)
			break;
	}
	return false;
}
