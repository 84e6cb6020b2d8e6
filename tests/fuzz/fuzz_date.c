/*
 * tests/fuzz/fuzz_date.c - any bytes as If-Modified-Since.
 *
 * What is read as a date must come out the same when it is written and read
 * again: a client's position is our own rendering sent back.
 */
#include "tests/fuzz/check.h"

#include "base/clock.h"

#define YEAR_10000 INT64_C(253402300800)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t t = http_date_parse((const char *)data, size);
	char text[HTTP_DATE_SIZE];

	CHECK(t >= -1 && t < YEAR_10000);
	if (t < 0)
		return 0;
	http_date_format(t, text);
	CHECK(strlen(text) == HTTP_DATE_SIZE - 1);
	CHECK(http_date_parse(text, HTTP_DATE_SIZE - 1) == t);
	return 0;
}
