/*
 * base/msg.c - messages and the arithmetic of their cursors.
 */
#include "base/msg.h"

uint64_t
cursor_next(uint64_t last, uint64_t now_s, uint64_t n)
{
	uint64_t next;

	assert(n >= 1 && n <= CURSOR_TAG_MAX);
	next = cursor_make(now_s, 1);
	if (next <= last)
		next = last + 1;
	/*
	 * Tag 0 means "before this second's first message" to a client, and a
	 * run of n must not be cut by the end of a second.
	 */
	if (cursor_tag(next) == 0)
		next++;
	if (cursor_tag(next) + n - 1 > CURSOR_TAG_MAX)
		next = cursor_make(cursor_time(next) + 1, 1);
	return next;
}

static char *
put_part(char *at, struct slice part)
{
	if (part.len != 0)
		memcpy(at, part.ptr, part.len);
	return at + part.len;
}

struct msg *
msg_make(const struct msg_parts *p)
{
	const struct slice none = { NULL, 0 };
	struct slice id = p->event_id != NULL ? *p->event_id : none;
	struct slice type = p->event_type != NULL ? *p->event_type : none;
	struct msg *m;
	char *at;

	if (p->text.len > UINT32_MAX || p->extra.len > UINT32_MAX ||
	    id.len > UINT16_MAX || type.len > UINT16_MAX)
		return NULL;
	m = malloc(sizeof(*m) + p->text.len + id.len + type.len + p->extra.len);
	if (m == NULL)
		return NULL;
	m->refs = 1;
	m->waiting = 0;
	m->text_len = (uint32_t)p->text.len;
	m->expires = p->expires;
	m->extra_len = (uint32_t)p->extra.len;
	m->event_id_len = (uint16_t)id.len;
	m->event_type_len = (uint16_t)type.len;
	m->has_event_id = p->event_id != NULL;
	m->has_event_type = p->event_type != NULL;
	at = put_part(m->data, p->text);
	at = put_part(at, id);
	at = put_part(at, type);
	(void)put_part(at, p->extra);
	return m;
}

struct msg *
msg_new(const void *text, size_t text_len, const struct slice *event_id,
    const struct slice *event_type, int64_t expires)
{
	return msg_make(&(struct msg_parts){ .text = { text, text_len },
	    .event_id = event_id,
	    .event_type = event_type,
	    .expires = expires });
}

struct msg *
msg_copy(const struct msg *m)
{
	struct slice id = msg_event_id(m), type = msg_event_type(m);

	return msg_make(&(struct msg_parts){ .text = msg_text(m),
	    .event_id = m->has_event_id ? &id : NULL,
	    .event_type = m->has_event_type ? &type : NULL,
	    .extra = msg_extra(m),
	    .expires = m->expires });
}

struct msg *
msg_ref(struct msg *m)
{
	assert(m->refs > 0 && m->refs < UINT32_MAX);
	m->refs++;
	return m;
}

void
msg_unref(struct msg **m)
{
	struct msg *gone = *m;

	*m = NULL;
	if (gone == NULL)
		return;
	assert(gone->refs > 0);
	if (--gone->refs == 0)
		free(gone);
}
