/* base/units.c - see units.h; what nginx refuses is refused here. */
#include "base/units.h"

#include <strings.h>

/* Digits at *at, moved past them.  false: none, or more than 2^63. */
static bool
parse_digits(struct slice v, size_t *at, uint64_t *n)
{
	size_t start = *at;

	*n = 0;
	while (*at < v.len && v.ptr[*at] >= '0' && v.ptr[*at] <= '9') {
		if (*n > INT64_MAX / 10 - 9)
			return false;
		*n = *n * 10 + (uint64_t)(v.ptr[(*at)++] - '0');
	}
	return *at > start;
}

bool
parse_count(struct slice v, uint64_t *n)
{
	size_t at = 0;

	return parse_digits(v, &at, n) && at == v.len;
}

static bool
parse_time_unit(struct slice v, size_t *at, uint64_t *ms)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {
		{ "ms", 1 },
		{ "s", 1000 },
		{ "m", 60000 },
		{ "h", 3600000 },
		{ "d", 86400000 },
		{ "w", 604800000 },
		{ "M", UINT64_C(2592000000) },
		{ "y", UINT64_C(31536000000) },
	};
	size_t left = v.len - *at;

	if (left == 0 || v.ptr[*at] == ' ') {
		*ms = 1000;
		return true;
	}
	for (size_t i = 0; i < COUNT_OF(units); i++) {
		size_t len = strlen(units[i].name);

		if (left >= len &&
		    memcmp(v.ptr + *at, units[i].name, len) == 0) {
			*at += len;
			*ms = units[i].ms;
			return true;
		}
	}
	return false;
}

/* "40", "40s", "1h 30m", "500ms": ngx_parse_time's language. */
bool
parse_time_ms(struct slice v, uint64_t *ms)
{
	uint64_t n, unit, sum = 0;
	size_t at = 0;

	while (at < v.len) {
		if (v.ptr[at] == ' ' && at != 0) {
			at++;
			continue;
		}
		if (!parse_digits(v, &at, &n) ||
		    !parse_time_unit(v, &at, &unit) || n > INT64_MAX / 4 / unit)
			return false;
		sum += n * unit;
		if (sum > INT64_MAX / 4)
			return false;
	}
	*ms = sum;
	return v.len != 0;
}

bool
parse_size(struct slice v, uint64_t *bytes)
{
	uint64_t n, unit = 1;
	size_t at = 0;

	if (!parse_digits(v, &at, &n))
		return false;
	if (at + 1 == v.len) {
		switch (v.ptr[at]) {
		case 'k':
		case 'K':
			unit = 1024;
			break;
		case 'm':
		case 'M':
			unit = 1024 * 1024;
			break;
		case 'g':
		case 'G':
			unit = 1024 * 1024 * 1024;
			break;
		default:
			return false;
		}
	} else if (at != v.len) {
		return false;
	}
	if (n > INT64_MAX / unit)
		return false;
	*bytes = n * unit;
	return true;
}

bool
parse_flag(struct slice v, bool *on)
{
	if (v.len == 2 && strncasecmp(v.ptr, "on", 2) == 0)
		*on = true;
	else if (v.len == 3 && strncasecmp(v.ptr, "off", 3) == 0)
		*on = false;
	else
		return false;
	return true;
}
