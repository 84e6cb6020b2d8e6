/* api/request.c - CGI variables in one buffer, named by offsets. */
#include "api/request.h"

#define PARAMS_BYTES 1536 /* of as many pairs as nginx sends */
#define SPARE_PARAMS 4096
#define SPARE_BODY 16384

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

/* Room for another pair; the first ones' bytes come with it. */
static int
params_grow(struct params *p)
{
	uint32_t cap = p->cap != 0 ? p->cap * 2 : 48;
	struct param *list;
	int err;

	if (p->raw.cap == 0 && p->raw.max >= PARAMS_BYTES) {
		err = buf_reserve(&p->raw, PARAMS_BYTES);
		if (err != 0)
			return err;
	}
	list = realloc(p->list, cap * sizeof(*list));
	if (list == NULL)
		return ERR_NOMEM;
	p->list = list;
	p->cap = cap;
	return 0;
}

int
params_add(struct params *p, struct slice name, struct slice value)
{
	size_t at = p->raw.len;
	int err = 0;

	if (p->n == PARAMS_MAX || (at | name.len | value.len) > UINT32_MAX)
		return ERR_TOOBIG;
	if (p->n == p->cap)
		err = params_grow(p);
	if (err == 0)
		err = buf_append2(&p->raw, name, value);
	if (err != 0)
		return err;
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

/* Not worth keeping: nothing there, or more than usual. */
static bool
is_spare(const struct request *r)
{
	return r->params.list != NULL && r->params.raw.cap <= SPARE_PARAMS &&
	    r->body.cap <= SPARE_BODY;
}

void
request_init(struct request *r, const struct request_ops *ops,
    size_t max_params, size_t max_body, struct request_spares *spares)
{
	r->ops = ops;
	r->spares = spares;
	params_init(&r->params, max_params);
	buf_init(&r->body, max_body);
	if (spares != NULL && spares->n != 0) {
		const struct request_memory *m = &spares->at[--spares->n];

		r->params = m->params;
		r->params.raw.max = max_params;
		r->body = m->body;
		r->body.max = max_body;
	}
	r->held = 0;
	r->wait = NULL;
	r->control = false;
	r->upgrade = false;
	r->tunnel = false;
}

int
request_hold(struct request *r, size_t more)
{
	size_t now = r->params.raw.cap +
	    r->params.cap * sizeof(r->params.list[0]) + r->body.cap + more;

	if (r->spares == NULL || now <= r->held)
		return 0;
	if (!quota_take_of(&r->spares->incoming, now - r->held, now))
		return ERR_CROWDED;
	r->held = now;
	return 0;
}

void
request_shed(struct request *r)
{
	struct request_spares *s = r->spares;

	if (s != NULL)
		quota_give(&s->incoming, r->held);
	r->held = 0;
	if (s != NULL && s->n < REQUEST_SPARES && is_spare(r)) {
		buf_clear(&r->params.raw);
		r->params.n = 0;
		buf_clear(&r->body);
		s->at[s->n++] = (struct request_memory){ r->params, r->body };
		params_init(&r->params, r->params.raw.max);
		buf_init(&r->body, r->body.max);
		return;
	}
	params_release(&r->params);
	buf_release(&r->body);
}

void
request_spares_release(struct request_spares *s)
{
	while (s->n != 0) {
		struct request_memory *m = &s->at[--s->n];

		params_release(&m->params);
		buf_release(&m->body);
	}
}
