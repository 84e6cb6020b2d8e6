/*
 * tests/fuzz/fuzz_json.c - any bytes as JSON.
 *
 * What is found in the bytes of valid JSON must be what jansson has at that
 * place; in other bytes nothing outside of them may be touched.
 */
#include "tests/fuzz/check.h"

#include "api/bitrix/json.h"

static void
check_same(struct slice part, const json_t *want)
{
	json_t *got = json_read(part);

	CHECK(got != NULL && json_equal(got, want));
	json_decref(got);
}

static void
check_inside(struct slice whole, struct slice part)
{
	CHECK(part.ptr == NULL ||
	    (part.ptr >= whole.ptr &&
		part.ptr + part.len <= whole.ptr + whole.len));
}

static void
check_members(struct slice text, json_t *object)
{
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value)
	{
		struct slice part = json_member(text, name);

		/* Only a key that is written with escapes is not found. */
		if (strchr(name, '\\') != NULL)
			continue;
		CHECK(part.ptr != NULL || memchr(text.ptr, '\\', text.len));
		if (part.ptr != NULL)
			check_same(part, value);
	}
	CHECK(json_object_get(object, "id") != NULL ||
	    json_member(text, "id").ptr == NULL);
}

static void
check_items(struct slice text, const json_t *array)
{
	struct slice part;
	size_t at = 0, n = 0;

	while ((part = json_next(text, &at)).ptr != NULL)
		check_same(part, json_array_get(array, n++));
	CHECK(n == json_array_size(array));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = { (const char *)data, size }, part;
	json_t *json = json_read(text);
	size_t at = 0, before = 0;

	if (json == NULL) {
		check_inside(text, json_member(text, "id"));
		while ((part = json_next(text, &at)).ptr != NULL) {
			check_inside(text, part);
			CHECK(at > before && at <= size);
			before = at;
		}
		return 0;
	}
	if (json_is_object(json))
		check_members(text, json);
	else
		CHECK(json_member(text, "id").ptr == NULL);
	check_items(text, json);
	json_decref(json);
	return 0;
}
