/* api/request.c - CGI variables in one buffer, named by offsets. */
#include "api/request.h"

#define PARAMS_MAX 512	  /* pairs; nginx sends about 30, */
#define PARAMS_BYTES 1536 /* of about this many bytes */

void
params_init(struct params *p, size_t max_bytes)
{
	buf_init(&p->raw, max_bytes);
	p->list = NULL;
	p->n = 0;
	p->cap = 0;
}

void
params_release(struct params *p)
{
	buf_release(&p->raw);
	free(p->list);
	p->list = NULL;
	p->n = 0;
	p->cap = 0;
}

int
params_add(struct params *p, struct slice name, struct slice value)
{
	struct param *list;
	size_t at = p->raw.len;
	uint32_t cap;
	int err;

	if (p->n == PARAMS_MAX || name.len > UINT32_MAX ||
	    value.len > UINT32_MAX || at > UINT32_MAX)
		return ERR_TOOBIG;
	if (p->n == 0 && p->raw.max >= PARAMS_BYTES) {
		err = buf_reserve(&p->raw, PARAMS_BYTES);
		if (err != 0)
			return err;
	}
	if (p->n == p->cap) {
		cap = p->cap != 0 ? p->cap * 2 : 48;
		list = realloc(p->list, cap * sizeof(*list));
		if (list == NULL)
			return ERR_NOMEM;
		p->list = list;
		p->cap = cap;
	}
	err = buf_append(&p->raw, name.ptr, name.len);
	if (err == 0)
		err = buf_append(&p->raw, value.ptr, value.len);
	if (err != 0) {
		p->raw.len = at;
		return err;
	}
	p->list[p->n++] = (struct param){ (uint32_t)at, (uint32_t)name.len,
		(uint32_t)(at + name.len), (uint32_t)value.len };
	return 0;
}

struct slice
params_get(const struct params *p, const char *name)
{
	for (uint32_t i = 0; i < p->n; i++) {
		if (slice_is(param_name(p, &p->list[i]), name))
			return param_value(p, &p->list[i]);
	}
	return (struct slice){ NULL, 0 };
}

void
request_init(struct request *r, const struct request_ops *ops,
    size_t max_params, size_t max_body)
{
	r->ops = ops;
	params_init(&r->params, max_params);
	buf_init(&r->body, max_body);
	r->wait = NULL;
	r->control = false;
}

void
request_shed(struct request *r)
{
	params_release(&r->params);
	buf_release(&r->body);
}
