/*
 * api/bitrix/mid.c - the cursor as 26 digits and back.
 */
#include "api/bitrix/mid.h"

#define SECONDS_LEN 10
#define TAG_LEN 16
#define TAG_DIGITS UINT64_C(100000000)	 /* a tag has no use for the others */
#define SECONDS_MAX UINT64_C(9999999999) /* of ten digits: year 2286 */

static void
digits_put(char *out, size_t n, uint64_t value)
{
	while (n-- > 0) {
		out[n] = (char)('0' + value % 10);
		value /= 10;
	}
}

void
mid_format(uint64_t cursor, char out[MID_LEN + 1])
{
	uint64_t seconds = cursor_time(cursor);

	digits_put(out, SECONDS_LEN, MIN_OF(seconds, SECONDS_MAX));
	digits_put(out + SECONDS_LEN, TAG_LEN, cursor_tag(cursor));
	out[MID_LEN] = '\0';
}

void
mid_pack(uint64_t cursor, uint8_t out[MID_BYTES])
{
	char text[MID_LEN + 1];

	mid_format(cursor, text);
	for (size_t i = 0; i < MID_BYTES; i++)
		out[i] = (uint8_t)((text[2 * i] - '0') << 4 |
		    (text[2 * i + 1] - '0'));
}

static bool
digits_get(const char *text, size_t n, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		*value = *value * 10 + (uint64_t)(text[i] - '0');
	}
	return true;
}

bool
mid_parse(struct slice text, uint64_t *cursor)
{
	uint64_t seconds, tag;

	if (text.len != MID_LEN ||
	    !digits_get(text.ptr, SECONDS_LEN, &seconds) ||
	    !digits_get(text.ptr + SECONDS_LEN, TAG_LEN, &tag))
		return false;
	tag %= TAG_DIGITS;
	*cursor = cursor_make(seconds, MIN_OF(tag, CURSOR_TAG_MAX));
	return true;
}
