/*
 * ctl/directive.c - api/settings.tbl, read for its names and scopes.
 */
#include "ctl/directive.h"

#define MODULE_PREFIX "push_stream_"

static const struct directive directives[] = {
#define SETTING(name, type, scope, field, initial, help) \
	{ #name, #type, SCOPE_##scope, #field, help },
#include "api/settings.tbl"
#undef SETTING
};

static const char *const old_names[] = {
	"push_stream_websocket",
	"push_stream_eventsource_support",
	"push_stream_channel_id",
	"push_stream_content_type",
	"push_stream_keepalive",
	"push_stream_broadcast_channel_max_qtd",
	"push_stream_broadcast_channel_prefix",
	"push_stream_max_number_of_broadcast_channels",
	"push_stream_shared_memory_cleanup_objects_ttl",
};

const struct directive *
directive_at(size_t i)
{
	return i < COUNT_OF(directives) ? &directives[i] : NULL;
}

bool
directive_has_type(const struct directive *d, const char *type)
{
	return strcmp(d->type, type) == 0;
}

bool
directive_is_selector(const struct directive *d)
{
	return strcmp(d->field, "role") == 0;
}

bool
directive_is_complex(const struct directive *d)
{
	return directive_has_type(d, "COMPLEX");
}

bool
directive_is_old(const struct directive *d)
{
	for (size_t i = 0; i < COUNT_OF(old_names); i++) {
		if (strcmp(d->name, old_names[i]) == 0)
			return true;
	}
	return false;
}

/* The two variables that 0.3.x declared. */
static bool
is_old_variable(const struct nginx_node *n)
{
	return nginx_is(n, "set") && n->n_words == 3 &&
	    (slice_is(n->words[1].value, "$push_stream_channel_id") ||
		slice_is(n->words[1].value, "$push_stream_channels_path"));
}

bool
directive_is_module(const struct nginx_node *n)
{
	struct slice name;

	if (n->n_words == 0)
		return false;
	name = n->words[0].value;
	return is_old_variable(n) ||
	    (name.len >= sizeof(MODULE_PREFIX) - 1 &&
		memcmp(name.ptr, MODULE_PREFIX, sizeof(MODULE_PREFIX) - 1) ==
		    0);
}

/* Names of the table that were never directives of the module. */
static bool
is_our_own(struct slice name)
{
	static const char *const names[] = {
		"push_stream_compat",
		"push_stream_channel_id",
		"push_stream_replay_by_cursor",
		"push_stream_eventsource_cursor",
		"push_stream_websocket_require_mask",
	};

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (slice_is(name, names[i]))
			return true;
	}
	return false;
}

const struct directive *
directive_of(const struct nginx_node *n, size_t *value)
{
	struct slice name;

	if (!directive_is_module(n))
		return NULL;
	name = n->words[0].value;
	*value = 1;
	if (is_old_variable(n)) {
		name = n->words[1].value;
		name.ptr++; /* its $ */
		name.len--;
		*value = 2;
	} else if (n->has_block || is_our_own(name)) {
		return NULL;
	}
	for (size_t i = 0; i < COUNT_OF(directives); i++) {
		if (slice_is(name, directives[i].name))
			return &directives[i];
	}
	return NULL;
}
