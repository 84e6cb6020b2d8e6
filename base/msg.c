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

struct msg *
msg_new(const void *text, size_t text_len, const struct slice *event_id,
    const struct slice *event_type, int64_t expires)
{
	struct msg *m;
	size_t id_len = event_id != NULL ? event_id->len : 0;
	size_t type_len = event_type != NULL ? event_type->len : 0;

	if (text_len > UINT32_MAX || id_len > UINT16_MAX ||
	    type_len > UINT16_MAX)
		return NULL;
	m = malloc(sizeof(*m) + text_len + id_len + type_len);
	if (m == NULL)
		return NULL;
	m->refs = 1;
	m->text_len = (uint32_t)text_len;
	m->expires = expires;
	m->event_id_len = (uint16_t)id_len;
	m->event_type_len = (uint16_t)type_len;
	m->has_event_id = event_id != NULL;
	m->has_event_type = event_type != NULL;
	if (text_len != 0)
		memcpy(m->data, text, text_len);
	if (id_len != 0)
		memcpy(m->data + text_len, event_id->ptr, id_len);
	if (type_len != 0)
		memcpy(m->data + text_len + id_len, event_type->ptr, type_len);
	return m;
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
