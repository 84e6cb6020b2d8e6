/*
 * api/bitrix/json.c - jansson says whether it is JSON; where a value lies is
 * found again in the bytes.
 *
 * jansson bounds the depth.  What its tree may take is bounded here, in memory
 * and in pieces, which are what costs time: an empty object of two bytes costs
 * seventy times as much, and clients decide what stands in a message.  A site's
 * own messages have a piece for five bytes where they are dense.
 */
#include "api/bitrix/json.h"

#define USER_MAX (UINT64_C(1) << 53)
#define MEMORY_MAX ((size_t)64 << 20)
#define PIECES_MIN 350000 /* so many any text may have; */
#define PIECE_BYTES 3	  /* a large one has one for so many bytes */

/* What jansson may still allocate for the text that is being read. */
static size_t memory_left = MEMORY_MAX, pieces_left;
static bool refused;	      /* it asked for more */
static struct limits *counts; /* json_count_in(), or NULL */

static void *
memory_get(size_t size)
{
	if (size > memory_left || pieces_left == 0) {
		refused = true;
		return NULL;
	}
	memory_left -= size;
	pieces_left--;
	return malloc(size);
}

void
json_count_in(struct limits *l)
{
	counts = l;
}

json_t *
json_read(struct slice text)
{
	json_error_t error;
	json_t *json;

	/* jansson would take it for the end. */
	if (text.len == 0 || memchr(text.ptr, '\0', text.len) != NULL)
		return NULL;
	json_set_alloc_funcs(memory_get, free);
	memory_left = MEMORY_MAX;
	pieces_left = MAX_OF(text.len / PIECE_BYTES, PIECES_MIN);
	refused = false;
	json = json_loadb(text.ptr, text.len,
	    JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
	json_set_alloc_funcs(malloc, free);
	if (refused && counts != NULL)
		limit_hit(counts, LIMIT_json);
	return json;
}

bool
json_valid(struct slice text)
{
	json_t *json = json_read(text);
	bool valid = json != NULL;

	json_decref(json);
	return valid;
}

static size_t
skip_space(struct slice s, size_t at)
{
	while (at < s.len &&
	    (s.ptr[at] == ' ' || s.ptr[at] == '\t' || s.ptr[at] == '\n' ||
		s.ptr[at] == '\r'))
		at++;
	return at;
}

/* From a quote to behind the one that closes it. */
static size_t
skip_string(struct slice s, size_t at)
{
	for (at++; at < s.len && s.ptr[at] != '"'; at++)
		at += s.ptr[at] == '\\';
	return MIN_OF(at + 1, s.len);
}

static size_t
skip_scalar(struct slice s, size_t at)
{
	while (at < s.len && memchr(",:]} \t\n\r", s.ptr[at], 8) == NULL)
		at++;
	return at;
}

/* Behind the value; valid JSON, so brackets need only be counted. */
static size_t
skip_value(struct slice s, size_t at)
{
	size_t depth = 0;

	do {
		char c = at < s.len ? s.ptr[at] : '\0';

		if (c == '"') {
			at = skip_string(s, at);
		} else if (c == '{' || c == '[') {
			depth++;
			at++;
		} else if (depth == 0) {
			return skip_scalar(s, at);
		} else {
			depth -= c == '}' || c == ']';
			at++;
		}
	} while (depth != 0 && at < s.len);
	return at;
}

/* The value at `at`, which moves behind it. */
static struct slice
take_value(struct slice s, size_t *at)
{
	size_t begin = skip_space(s, *at);

	*at = skip_value(s, begin);
	return (struct slice){ s.ptr + begin, *at - begin };
}

static bool
take_char(struct slice s, size_t *at, char c)
{
	*at = skip_space(s, *at);
	if (*at >= s.len || s.ptr[*at] != c)
		return false;
	++*at;
	return true;
}

bool
json_next_member(
    struct slice object, size_t *at, struct slice *key, struct slice *value)
{
	if (!take_char(object, at, *at == 0 ? '{' : ','))
		return false;
	*key = take_value(object, at);
	if (!take_char(object, at, ':'))
		return false; /* it is empty */
	*value = take_value(object, at);
	return true;
}

struct slice
json_member(struct slice object, const char *name)
{
	size_t at = 0, len = strlen(name);
	struct slice key, value;

	while (json_next_member(object, &at, &key, &value)) {
		if (key.len == len + 2 && memcmp(key.ptr + 1, name, len) == 0)
			return value;
	}
	return (struct slice){ NULL, 0 };
}

struct slice
json_next(struct slice array, size_t *at)
{
	struct slice value = { NULL, 0 };

	if (take_char(array, at, *at == 0 ? '[' : ','))
		value = take_value(array, at);
	return value.len != 0 ? value : (struct slice){ NULL, 0 };
}

struct slice
json_slice(const json_t *string)
{
	return (struct slice){ json_string_value(string),
		json_string_length(string) };
}

bool
json_user_digits(struct slice digits, uint64_t *user)
{
	*user = 0;
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
			return false;
		*user = *user * 10 + (uint64_t)(digits.ptr[i] - '0');
		if (*user > USER_MAX)
			return false;
	}
	return digits.len != 0;
}

bool
json_user(const json_t *v, uint64_t *user)
{
	json_int_t n = json_integer_value(v);

	if (json_is_string(v))
		return json_user_digits(json_slice(v), user);
	*user = (uint64_t)n;
	return json_is_integer(v) && n >= 0 && *user <= USER_MAX;
}
