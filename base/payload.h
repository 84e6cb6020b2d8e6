/*
 * base/payload.h - immutable bytes with a reference count.
 *
 * One rendered answer goes to many readers; each holds a reference until its
 * last byte is written.  The count is not atomic: a payload lives on the loop.
 */
#ifndef BASE_PAYLOAD_H
#define BASE_PAYLOAD_H

#include "base/base.h"

struct payload {
	uint32_t refs;
	uint32_t kept; /* of refs: places in queues to be written */
	uint32_t len;  /* bytes */
	char data[];
};

struct payload *payload_new(const void *data, size_t len); /* or NULL */
struct payload *payload_ref(struct payload *p);
void payload_unref(struct payload **p); /* NULL is allowed */

#endif
