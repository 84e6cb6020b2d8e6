/*
 * api/settings.h - the module's directives as values.
 *
 * Names, types, defaults and help stand in api/settings.tbl only.  A struct
 * settings owns its texts.  Thread: loop (or before it).
 * Source: push-stream.md section 2; DESIGN "Configuration".
 */
#ifndef API_SETTINGS_H
#define API_SETTINGS_H

#include "base/base.h"

enum role {
	ROLE_NONE,
	ROLE_PUBLISHER,
	ROLE_SUBSCRIBER,
	ROLE_STATISTICS,
	ROLE_BITRIX
};

enum bitrix_route {
	ROUTE_PUB,
	ROUTE_SUB,
	ROUTE_REST,
	ROUTE_API,
	ROUTE_STAT
};

enum sub_mode {
	MODE_STREAMING,
	MODE_POLLING,
	MODE_LONG_POLLING,
	MODE_EVENTSOURCE,
	MODE_WEBSOCKET
};

enum compat {
	COMPAT_0_3_4,
	COMPAT_0_4_0,
	COMPAT_0_6_0
};

struct settings {
	enum role role;
	bool admin; /* publisher admin */
	enum sub_mode mode;
	enum compat compat;
	enum bitrix_route bitrix_route;
	uint32_t bitrix_version; /* 3, 4 or 5 */

	/* complex values, unexpanded; NULL: not set */
	char *channels_path;
	char *last_time;
	char *last_tag;
	char *last_event_id;
	char *user_agent;
	char *allowed_origins;

	bool store_messages;
	bool channel_info_on_publish;
	bool authorized_channels_only;
	bool websocket_allow_publish;
	bool allow_events_channel;
	bool eventsource_support;
	bool replay_by_cursor;
	bool websocket_require_mask;
	bool eventsource_cursor;
	char *header_template;
	char *message_template;
	char *footer_template;
	char *content_type;
	char *padding_by_user_agent;
	uint32_t wildcard_channel_max_qtd; /* 0: not set */
	uint64_t ping_message_interval_ms; /* 0: not set */
	uint64_t subscriber_connection_ttl_ms;
	uint64_t longpolling_connection_ttl_ms;
	uint64_t bitrix_frame_delay_ms;	 /* 0: not set */
	uint32_t bitrix_max_connections; /* of a private channel */

	/* store-wide */
	int64_t message_ttl_s;
	uint64_t channel_inactivity_ms;
	uint32_t max_messages_stored; /* 0: not set, as below */
	uint32_t max_subscribers_per_channel;
	uint32_t max_channel_id_length;
	uint32_t max_number_of_channels;
	uint32_t max_number_of_wildcard_channels;
	char *wildcard_channel_prefix;
	char *channel_deleted_message_text;
	char *ping_message_text;
	bool timeout_with_body;
	char *events_channel_id;

	char *accepted; /* never read */
};

/* Where a value comes from: each place may set other names. */
enum settings_source {
	SETTINGS_DEFAULT,
	SETTINGS_GLOBAL,
	SETTINGS_LOCATION,
	SETTINGS_PARAMETER
};

#define SETTINGS_WHY_SIZE 256

/* Returned by settings_set() for names that are known but not used here. */
#define SETTINGS_IGNORED 1

int settings_init(struct settings *s) MUST_CHECK; /* the defaults */
void settings_release(struct settings *s);

/*
 * Set one value.  0; SETTINGS_IGNORED (`why` says why); ERR_NOTFOUND: no such
 * name; ERR_CONFIG: `why` says what is wrong with the value; ERR_NOMEM.
 */
int settings_set(struct settings *s, struct slice name, struct slice value,
    enum settings_source from, char why[SETTINGS_WHY_SIZE]) MUST_CHECK;

/* Do the values fit together?  ERR_CONFIG and `why`. */
int settings_check(
    const struct settings *s, char why[SETTINGS_WHY_SIZE]) MUST_CHECK;

/* Names that choose what a location is; values with variables. */
bool settings_names_role(struct slice name);
bool settings_is_complex(struct slice name);
/* The directive's name at this place of the table, or NULL past its end. */
const char *settings_name(size_t i);
/* Its value as it would be written in holdfast.conf and its length, as of
 * snprintf(); -1 when it is not set, which is not the same as empty. */
int settings_show(
    const struct settings *s, size_t i, char *out, size_t out_size);

#endif
