/*
 * api/template.h - message templates: "{~id~|~text~}" cut into pieces once.
 *
 * Source: push-stream.md section 9.1.  Values are never looked into again,
 * and nothing is escaped: both are the module's ways and its clients'.
 */
#ifndef API_TEMPLATE_H
#define API_TEMPLATE_H

#include "base/base.h"
#include "base/buf.h"
#include "api/settings.h"
#include "base/msg.h"

struct template; /* opaque; refers to no text but its own */

/* What a message looks like to a template. */
struct template_values {
	int64_t id; /* negative: ping, deleted, timeout */
	struct slice channel;
	struct slice text;
	struct slice event_id; /* NULL: not given, which is not empty */
	struct slice event_type;
	uint32_t tag;
	int64_t time_s;
	const struct msg *msg; /* FRAMING_BITRIX only */
};

#define MESSAGE_ID_PING (-1)
#define MESSAGE_ID_DELETED (-2)
#define MESSAGE_ID_TIMED_OUT (-3)

/* NULL: no memory. */
struct template *template_new(const char *text, enum compat compat);
void template_free(struct template **t);
int template_render(const struct template *t, const struct template_values *v,
    struct buf *out) MUST_CHECK;

#endif
