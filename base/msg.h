/*
 * base/msg.h - one published message: its bytes, event id and type, expiry.
 *
 * What belongs to a channel (cursor, per-channel id) stands beside it, since
 * one message may go to many channels.  Reference counted, immutable.  The
 * count is not atomic: a message is in the hands of one thread at a time (it
 * crosses to the store inside an operation and comes back with it).
 * Source: push-stream.md section 3.
 */
#ifndef BASE_MSG_H
#define BASE_MSG_H

#include "base/base.h"

struct msg {
	uint32_t refs;
	uint32_t text_len;
	int64_t expires; /* unix seconds; gone from then on */
	uint32_t extra_len;
	uint32_t waiting; /* of refs: backlogs that it is in (push/) */
	uint16_t event_id_len;
	uint16_t event_type_len;
	bool has_event_id; /* an empty one counts as given */
	bool has_event_type;
	char data[]; /* text, event id, event type, extra */
};

/* What a message is made of. */
struct msg_parts {
	struct slice text;
	const struct slice *event_id;	/* NULL: not given */
	const struct slice *event_type; /* likewise */
	struct slice extra; /* what a dialect keeps beside the text, for
			     * itself alone; len 0: nothing */
	int64_t expires;
};

/*
 * A position in the log: unix seconds in the upper 40 bits, tag in the lower
 * 24.  Tags of messages start at 1.  See DESIGN: the cursor never goes back.
 */
#define CURSOR_TAG_BITS 24
#define CURSOR_TAG_MAX ((UINT64_C(1) << CURSOR_TAG_BITS) - 1)
#define CURSOR_TIME_MAX UINT64_C(253402300799) /* end of 9999 */

static inline uint64_t
cursor_make(uint64_t time_s, uint64_t tag)
{
	return time_s << CURSOR_TAG_BITS | (tag & CURSOR_TAG_MAX);
}

static inline uint64_t
cursor_time(uint64_t cursor)
{
	return cursor >> CURSOR_TAG_BITS;
}

static inline uint32_t
cursor_tag(uint64_t cursor)
{
	return (uint32_t)(cursor & CURSOR_TAG_MAX);
}

/* The next message's cursor after `last` when `n` of them in a row are needed. */
uint64_t cursor_next(uint64_t last, uint64_t now_s, uint64_t n);

/* What of it was given by the publisher. */
static inline size_t
msg_bytes(const struct msg *m)
{
	return (size_t)m->text_len + m->event_id_len + m->event_type_len +
	    m->extra_len;
}

/* NULL: no memory, or a part is too long. */
struct msg *msg_make(const struct msg_parts *parts);
/* The same without extra. */
struct msg *msg_new(const void *text, size_t text_len,
    const struct slice *event_id, const struct slice *event_type,
    int64_t expires);
/* The same bytes, for another owner (or thread); its references are its own. */
struct msg *msg_copy(const struct msg *m);
struct msg *msg_ref(struct msg *m);
void msg_unref(struct msg **m); /* NULL is allowed */

static inline struct slice
msg_text(const struct msg *m)
{
	return (struct slice){ m->data, m->text_len };
}

static inline struct slice
msg_event_id(const struct msg *m)
{
	return (struct slice){ m->data + m->text_len, m->event_id_len };
}

static inline struct slice
msg_event_type(const struct msg *m)
{
	return (struct slice){ m->data + m->text_len + m->event_id_len,
		m->event_type_len };
}

static inline struct slice
msg_extra(const struct msg *m)
{
	return (struct slice){ m->data + msg_bytes(m) - m->extra_len,
		m->extra_len };
}

#endif
