/*
 * api/framing.h - what becomes of a format's texts in each kind of stream.
 *
 * Only for api/format.c, which keeps the results.  Everything appends to *out.
 */
#ifndef API_FRAMING_H
#define API_FRAMING_H

#include "api/format.h"
#include "base/buf.h"

struct look {
	enum framing framing;
	enum compat compat;
	bool cursor_as_id;	   /* else an event without id has none */
	struct bx_look bitrix;	   /* FRAMING_BITRIX */
	struct template *template; /* of a message, or of one of its lines */
};

typedef int framing_text_f(
    const struct look *l, const char *text, struct buf *out) MUST_CHECK;
typedef int framing_message_f(const struct look *l,
    const struct format_key *key, const struct template_values *v,
    struct buf *out) MUST_CHECK;

struct framing_ops {
	framing_text_f *header; /* nothing appended: none is sent */
	framing_text_f *footer;
	framing_text_f *ping;
	framing_message_f *message;
	framing_text_f *template; /* what look.template is compiled from */
};

extern const struct framing_ops framings[]; /* by enum framing */

#endif
