/*
 * api/layout.c - rules by location.
 *
 * Rules are kept as they were written and applied in order of precedence when
 * an endpoint is made (endpoint.c), so that "compiled < global < location <
 * parameter" holds for each setting by itself.
 */
#include "api/layout.h"

#include <stdio.h>

#include "api/vars.h"

#define BITRIX_TEMPLATE \
	"#!NGINXNMS!#{\"id\":~id~,\"channel\":\"~channel~\"," \
	"\"tag\":\"~tag~\",\"time\":\"~time~\",\"eventid\":" \
	"\"~event-id~\",\"text\":~text~}#!NGINXNME!#"

/*
 * The vendor's configuration for version 0.4.0 of the module, as built in.
 * The longest prefix wins, so subws stands for itself.
 */
static const struct builtin builtins[] = {
	{ "/bitrix/subws/", false,
	    {
		{ "push_stream_compat", "0.4.0" },
		{ "push_stream_subscriber", "websocket" },
		{ "push_stream_channels_path", "$arg_CHANNEL_ID" },
		{ "push_stream_authorized_channels_only", "on" },
		{ "push_stream_ping_message_interval", "40s" },
		{ "push_stream_replay_by_cursor", "on" },
		{ "push_stream_last_received_message_tag", "$arg_tag" },
		{ "push_stream_last_received_message_time", "$arg_time" },
		{ "push_stream_message_template", BITRIX_TEMPLATE },
	    } },
	{ "/bitrix/sub", false,
	    {
		{ "push_stream_compat", "0.4.0" },
		{ "push_stream_subscriber", "long-polling" },
		{ "push_stream_allowed_origins", "*" },
		{ "push_stream_channels_path", "$arg_CHANNEL_ID" },
		{ "push_stream_last_received_message_tag", "$arg_tag" },
		{ "push_stream_last_received_message_time",
		    "$arg_time if_not_empty" },
		{ "push_stream_longpolling_connection_ttl", "40" },
		{ "push_stream_authorized_channels_only", "on" },
		{ "push_stream_content_type", "text/html" },
		{ "push_stream_message_template", BITRIX_TEMPLATE },
	    } },
	{ "/bitrix/pub/", true,
	    {
		{ "push_stream_compat", "0.4.0" },
		{ "push_stream_publisher", "admin" },
		{ "push_stream_channels_path", "$arg_CHANNEL_ID" },
		{ "push_stream_store_messages", "on" },
	    } },
};

/* The queue server that bitrix_version chooses, outside location blocks. */
static const struct builtin bitrix_builtins[] = {
	{ "/bitrix/subws/", false, { { "bitrix_route", "sub" } } },
	{ "/bitrix/sub", false, { { "bitrix_route", "sub" } } },
	{ "/bitrix/pub/", true, { { "bitrix_route", "pub" } } },
	{ "/bitrix/rest/", false, { { "bitrix_route", "rest" } } },
	{ "/bitrix/api/", true, { { "bitrix_route", "api" } } },
	{ "/server-stat/", true, { { "bitrix_route", "stat" } } },
};

static void
rules_init(struct rules *r)
{
	r->first = NULL;
	r->last = &r->first;
	r->names_role = false;
}

static void
rules_release(struct rules *r)
{
	struct rule *rule;

	while ((rule = r->first) != NULL) {
		r->first = rule->next;
		free(rule);
	}
	rules_init(r);
}

static int
rules_add(struct rules *r, struct slice name, struct slice value)
{
	struct rule *rule = malloc(sizeof(*rule) + name.len + value.len);
	char *text;

	if (rule == NULL)
		return ERR_NOMEM;
	text = (char *)(rule + 1);
	memcpy(text, name.ptr, name.len);
	memcpy(text + name.len, value.ptr, value.len);
	rule->name = (struct slice){ text, name.len };
	rule->value = (struct slice){ text + name.len, value.len };
	rule->next = NULL;
	*r->last = rule;
	r->last = &rule->next;
	r->names_role |= settings_names_role(name);
	return 0;
}

struct layout *
layout_new(void)
{
	struct layout *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	rules_init(&l->global);
	licences_init(&l->licences);
	if (settings_init(&l->settings) != 0) {
		free(l);
		return NULL;
	}
	return l;
}

static void
location_free(struct location *loc)
{
	rules_release(&loc->rules);
	cidr_list_release(&loc->allow);
	cidr_list_release(&loc->deny);
	free(loc->prefix);
	free(loc);
}

void
layout_free(struct layout **lp)
{
	struct layout *l = *lp;
	struct location *loc;

	*lp = NULL;
	if (l == NULL)
		return;
	while ((loc = l->locations) != NULL) {
		l->locations = loc->next;
		location_free(loc);
	}
	rules_release(&l->global);
	cidr_list_release(&l->publish_from);
	licences_release(&l->licences);
	settings_release(&l->settings);
	free(l);
}

int
layout_add_location(struct layout *l, const char *prefix, struct location **out)
{
	struct location *loc, **end;

	/* In the order of the file, which -T shows. */
	for (end = &l->locations; *end != NULL; end = &(*end)->next) {
		if (strcmp((*end)->prefix, prefix) == 0)
			return ERR_EXISTS;
	}
	loc = calloc(1, sizeof(*loc));
	if (loc == NULL)
		return ERR_NOMEM;
	rules_init(&loc->rules);
	loc->prefix = strdup(prefix);
	if (loc->prefix == NULL) {
		free(loc);
		return ERR_NOMEM;
	}
	*end = *out = loc;
	return 0;
}

int
layout_set(struct layout *l, struct location *loc, struct slice name,
    struct slice value, char why[SETTINGS_WHY_SIZE])
{
	struct settings scratch;
	int err;

	if (settings_is_complex(name) && !vars_ok(value)) {
		(void)snprintf(why, SETTINGS_WHY_SIZE,
		    "\"%.*s\" names a variable that does not exist",
		    (int)MIN_OF(value.len, 64), value.ptr);
		return ERR_CONFIG;
	}
	if (loc == NULL) {
		err = settings_set(
		    &l->settings, name, value, SETTINGS_GLOBAL, why);
		l->bitrix |= slice_is(name, "bitrix_version");
		return err != 0 ? err : rules_add(&l->global, name, value);
	}
	err = settings_init(&scratch);
	if (err != 0)
		return err;
	err = settings_set(&scratch, name, value, SETTINGS_LOCATION, why);
	settings_release(&scratch);
	return err != 0 ? err : rules_add(&loc->rules, name, value);
}

static int
rules_apply(const struct rules *r, struct settings *s,
    enum settings_source from, char why[SETTINGS_WHY_SIZE])
{
	int err = 0;

	for (const struct rule *rule = r->first; rule != NULL && err == 0;
	     rule = rule->next)
		err = settings_set(s, rule->name, rule->value, from, why);
	return err;
}

int
layout_check(const struct layout *l, char why[SETTINGS_WHY_SIZE])
{
	int err = settings_check(&l->settings, why);

	for (const struct location *loc = l->locations; loc != NULL && err == 0;
	     loc = loc->next) {
		struct settings s;

		err = settings_init(&s);
		if (err != 0)
			return err;
		err = rules_apply(&l->global, &s, SETTINGS_GLOBAL, why);
		if (err == 0)
			err = rules_apply(
			    &loc->rules, &s, SETTINGS_LOCATION, why);
		if (err == 0)
			err = settings_check(&s, why);
		settings_release(&s);
	}
	return err;
}

static bool
starts_with(struct slice s, const char *prefix)
{
	size_t len = strlen(prefix);

	return s.len >= len && memcmp(s.ptr, prefix, len) == 0;
}

const struct location *
layout_find(const struct layout *l, struct slice uri)
{
	const struct location *best = NULL;

	for (const struct location *loc = l->locations; loc != NULL;
	     loc = loc->next) {
		if (starts_with(uri, loc->prefix) &&
		    (best == NULL ||
			strlen(loc->prefix) > strlen(best->prefix)))
			best = loc;
	}
	return best;
}

/* Who is behind a unix socket, or a proxy that does not say, may be anybody:
 * one that is denied, too.  So any list asks for an address. */
bool
layout_admits(const struct layout *l, struct slice uri, struct slice client)
{
	const struct location *loc = layout_find(l, uri);

	if (loc == NULL || (loc->allow.n == 0 && loc->deny.n == 0))
		return true;
	if (!cidr_is_address(client) || cidr_list_has_text(&loc->deny, client))
		return false;
	return loc->allow.n == 0 || cidr_list_has_text(&loc->allow, client);
}

const struct builtin *
layout_builtin(const struct layout *l, struct slice uri)
{
	const struct builtin *all = l->bitrix ? bitrix_builtins : builtins;
	size_t n = l->bitrix ? COUNT_OF(bitrix_builtins) : COUNT_OF(builtins);

	for (size_t i = 0; i < n; i++) {
		if (starts_with(uri, all[i].prefix))
			return &all[i];
	}
	return NULL;
}
