/*
 * tests/fuzz/fuzz_padding.c - any bytes as the patterns of padding, and as a
 * client's User-Agent.
 *
 * Whatever the pattern costs, matching ends soon; and what padding is made has
 * the bytes that were asked for, and ends a line.
 *
 * The input is the patterns, a NUL and the agent.
 */
#include "tests/fuzz/check.h"

#include "api/padding.h"

#define MINIMUM_MAX 65536

/* A compiler of patterns may take its time; it reads the configuration. */
#define PATTERN_MAX 200

static void
check_made(
    const struct padding *p, uint32_t min, enum compat compat, size_t len)
{
	for (int f = FRAMING_PLAIN; f <= FRAMING_WEBSOCKET; f++) {
		struct payload *made =
		    padding_make(p, (enum framing)f, compat, len, min);

		CHECK((made == NULL) == (f == FRAMING_WEBSOCKET || len >= min));
		if (made == NULL)
			continue;
		CHECK(made->len + len >= min && made->len <= MINIMUM_MAX);
		CHECK(made->data[made->len - 1] == '\n');
		payload_unref(&made);
	}
}

static void
check_agent(const struct padding *p, struct slice agent)
{
	struct padding_min min = padding_find(p, agent);

	CHECK(min.header <= MINIMUM_MAX && min.message <= MINIMUM_MAX);
	for (int c = COMPAT_0_3_4; c <= COMPAT_0_6_0; c++) {
		check_made(p, min.header, (enum compat)c, agent.len);
		check_made(p, min.message, (enum compat)c, 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size != 0 ? memchr(data, '\0', size) : NULL;
	char text[PATTERN_MAX + 1], why[SETTINGS_WHY_SIZE] = "";
	size_t len = end != NULL ? (size_t)(end - data) : size;
	struct padding *p;
	int err;

	if (len > PATTERN_MAX)
		return 0;
	if (len != 0)
		memcpy(text, data, len);
	text[len] = '\0';
	err = padding_new(text, &p, why);
	CHECK(err == 0 || (err == ERR_CONFIG && why[0] != '\0'));
	CHECK((p != NULL) == (err == 0 && len != 0));
	if (p != NULL && end != NULL)
		check_agent(
		    p, (struct slice){ (const char *)end + 1, size - len - 1 });
	padding_free(&p);
	return 0;
}
