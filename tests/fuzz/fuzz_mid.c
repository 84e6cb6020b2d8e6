/*
 * tests/fuzz/fuzz_mid.c - any bytes as a message's id of Bitrix.
 *
 * What is taken for a position is the same when it is written and read again,
 * and sorts as its digits do.
 */
#include "tests/fuzz/check.h"

#include "api/bitrix/mid.h"

static void
check_packed(uint64_t cursor, const char *text)
{
	uint8_t packed[MID_BYTES];

	mid_pack(cursor, packed);
	for (size_t i = 0; i < MID_LEN; i++)
		CHECK((packed[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15) ==
		    text[i] - '0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = { (const char *)data, size };
	char out[MID_LEN + 1], next[MID_LEN + 1];
	uint64_t cursor, again;

	if (!mid_parse(text, &cursor))
		return 0;
	CHECK(size == MID_LEN);
	mid_format(cursor, out);
	CHECK(memcmp(out, data, 10) == 0);
	CHECK(mid_parse((struct slice){ out, MID_LEN }, &again));
	CHECK(again == cursor);
	check_packed(cursor, out);
	if (cursor_tag(cursor) < CURSOR_TAG_MAX) {
		mid_format(cursor + 1, next);
		CHECK(memcmp(out, next, MID_LEN) < 0);
	}
	return 0;
}
