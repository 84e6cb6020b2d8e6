/*
 * api/info.h - channel information in JSON, XML, YAML and plain text.
 *
 * Source: push-stream.md section 14; the format is chosen by Accept (14.2).
 */
#ifndef API_INFO_H
#define API_INFO_H

#include "api/reply.h"
#include "api/settings.h"
#include "push/channel.h"

enum info_format {
	INFO_JSON,
	INFO_PLAIN,
	INFO_YAML,
	INFO_XML,
	INFO_X_JSON,
	INFO_X_YAML
};

/* What stands in the head of a list. */
struct info_totals {
	const char *hostname;
	int64_t now_s;
	uint64_t channels;
	uint64_t wildcard_channels;
	uint64_t uptime_s;
	bool broadcast; /* as 0.3.x calls wildcard channels */
};

/* About the whole, and its one worker. */
struct info_whole {
	struct info_totals totals;
	uint64_t published_messages;
	uint64_t stored_messages;
	uint64_t channels_in_delete;
	uint64_t subscribers;
	int64_t pid;
};

enum info_format info_format_of(struct slice accept);
const char *info_content_type(enum info_format f);

/* quoted: numbers of JSON in quotes, as before 0.5.2. */
void info_single(
    struct reply *r, enum info_format f, bool quoted, const struct channel *c);
void info_list(struct reply *r, enum info_format f, bool quoted,
    const struct info_totals *t, struct channel *const *channels, uint32_t n);

/* The same list in parts: a head, items, a tail.  *any is false before the
 * first item. */
void info_list_head(struct reply *r, enum info_format f, bool quoted,
    const struct info_totals *t);
void info_list_item(struct reply *r, enum info_format f, bool quoted,
    const struct channel *c, bool *any);
void info_list_tail(struct reply *r, enum info_format f, bool any);

void info_summary(struct reply *r, enum info_format f, enum compat compat,
    const struct info_whole *w);

#endif
