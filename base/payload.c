/* base/payload.c - see payload.h; there is nothing clever here. */
#include "base/payload.h"

struct payload *
payload_new(const void *data, size_t len)
{
	struct payload *p;

	if (len > UINT32_MAX - sizeof(*p))
		return NULL;
	p = malloc(sizeof(*p) + len);
	if (p == NULL)
		return NULL;
	p->refs = 1;
	p->kept = 0;
	p->len = (uint32_t)len;
	if (len != 0)
		memcpy(p->data, data, len);
	return p;
}

struct payload *
payload_ref(struct payload *p)
{
	assert(p->refs > 0 && p->refs < UINT32_MAX);
	p->refs++;
	return p;
}

void
payload_unref(struct payload **p)
{
	struct payload *gone = *p;

	*p = NULL;
	if (gone == NULL)
		return;
	assert(gone->refs > 0);
	if (--gone->refs == 0)
		free(gone);
}
