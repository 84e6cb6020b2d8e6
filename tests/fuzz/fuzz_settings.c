/*
 * tests/fuzz/fuzz_settings.c - any bytes as names and values of settings:
 * global ones, those of a location block, and a request's parameters.
 *
 * Whatever is refused says why.  What is accepted can be shown, and what is
 * shown sets the same.  No parameter changes what is store-wide.
 *
 * The input is pairs, each a name and a value that end with a NUL; a name
 * begins with g (global), l (in the block), or else it is a parameter's.  A
 * name of one byte is that of the table at this place.
 */
#include "tests/fuzz/check.h"

#include <stdio.h>

#include "api/endpoint.h"

#define PARAMS_BYTES_MAX 65536
#define VALUE_MAX 16384
#define SHOWN_MAX (2 * VALUE_MAX)

/* It opens files, and a fuzzer would find those that block. */
#define FILE_SETTING "push_stream_header_template_file"

static uint64_t renders;
static struct limits limits;

static size_t
table_len(void)
{
	size_t n = 0;

	while (settings_name(n) != NULL)
		n++;
	return n;
}

static struct slice
full_name(struct slice name)
{
	const char *known;

	if (name.len != 1)
		return name;
	known = settings_name((uint8_t)name.ptr[0] % table_len());
	return (struct slice){ known, strlen(known) };
}

static void
set_rule(struct layout *l, struct location *loc, struct slice name,
    struct slice value)
{
	char why[SETTINGS_WHY_SIZE] = "";
	int err = layout_set(l, loc, name, value, why);

	CHECK(err == 0 || err == SETTINGS_IGNORED || err == ERR_CONFIG ||
	    err == ERR_NOTFOUND);
	CHECK((err == 0) == (why[0] == '\0'));
}

static void
read_pairs(struct layout *l, struct location *loc, struct params *p,
    const uint8_t *data, size_t size)
{
	struct slice name, value;
	bool global, block;

	while (size != 0) {
		name = take_text(&data, &size);
		value = take_text(&data, &size);
		if (name.len == 0 || value.len > VALUE_MAX)
			continue;
		global = name.ptr[0] == 'g';
		block = name.ptr[0] == 'l';
		if (global || block)
			name = (struct slice){ name.ptr + 1, name.len - 1 };
		name = full_name(name);
		if (slice_is(name, FILE_SETTING))
			continue;
		if (global || block)
			set_rule(l, block ? loc : NULL, name, value);
		else if (params_add(p, name, value) != 0)
			return; /* as a request that is refused */
	}
}

/* A settings that has only what the other shows of itself shows the same. */
static void
check_shown(const struct settings *s)
{
	static char text[SHOWN_MAX], again[SHOWN_MAX];
	char why[SETTINGS_WHY_SIZE];
	struct settings other;
	int len;

	for (size_t i = 0; settings_name(i) != NULL; i++) {
		struct slice name = { settings_name(i),
			strlen(settings_name(i)) };

		len = settings_show(s, i, text, sizeof(text));
		if (len < 0)
			continue;
		CHECK((size_t)len < sizeof(text));
		CHECK(settings_init(&other) == 0);
		CHECK(settings_set(&other, name,
			  (struct slice){ text, (size_t)len }, SETTINGS_GLOBAL,
			  why) == 0);
		CHECK(settings_show(&other, i, again, sizeof(again)) == len);
		CHECK(memcmp(text, again, (size_t)len) == 0);
		settings_release(&other);
	}
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
check_store_wide(const struct settings *s, const struct layout *l)
{
	const struct settings *of = &l->settings;

	CHECK(s->message_ttl_s == of->message_ttl_s);
	CHECK(s->channel_inactivity_ms == of->channel_inactivity_ms);
	CHECK(s->max_messages_stored == of->max_messages_stored);
	CHECK(s->max_number_of_channels == of->max_number_of_channels);
	CHECK(same_text(s->ping_message_text, of->ping_message_text));
	CHECK(same_text(s->events_channel_id, of->events_channel_id));
	CHECK(strcmp(s->wildcard_channel_prefix, of->wildcard_channel_prefix) ==
	    0);
}

static void
check_values(
    const struct endpoint *ep, const struct request *r, const struct query *q)
{
	struct buf out;
	bool set;
	int err;

	buf_init(&out, PARAMS_BYTES_MAX);
	for (int which = 0; which < COMPLEX_N; which++) {
		err = endpoint_value(ep, r, q, (enum complex)which, &out, &set);
		CHECK(err == 0 || err == ERR_CONFIG || err == ERR_TOOBIG);
	}
	buf_release(&out);
	(void)padding_find(ep->padding, q->user_agent);
}

static void
resolve(const struct layout *l, const struct request *r)
{
	char why[SETTINGS_WHY_SIZE], ignored[SETTINGS_WHY_SIZE];
	struct endpoint *ep = NULL, *again = NULL;
	struct endpoints all;
	struct query q;
	int err;

	endpoints_init(&all, &renders, &limits);
	err = endpoint_resolve(&all, l, r, &q, &ep, why, ignored);
	CHECK(err == 0 || err == ERR_CONFIG || err == ERR_TOOBIG);
	CHECK(err != ERR_CONFIG || why[0] != '\0');
	if (err == 0) {
		check_shown(&ep->settings);
		check_store_wide(&ep->settings, l);
		check_values(ep, r, &q);
		CHECK(endpoint_resolve(&all, l, r, &q, &again, why, ignored) ==
		    0);
		CHECK(again == ep);
	}
	endpoint_unref(&ep);
	endpoint_unref(&again);
	endpoints_release(&all);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct layout *l = layout_new();
	char why[SETTINGS_WHY_SIZE];
	struct location *loc;
	struct request r;

	CHECK(l != NULL && layout_add_location(l, "/at", &loc) == 0);
	request_init(&r, NULL, PARAMS_BYTES_MAX, 0, NULL);
	read_pairs(l, loc, &r.params, data, size);
	if (layout_check(l, why) == 0)
		resolve(l, &r);
	request_shed(&r);
	layout_free(&l);
	return 0;
}
