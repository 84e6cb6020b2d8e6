/*
 * api/info_answer.c - what is known of channels, as an answer: of publishers
 * and of statistics.
 *
 * Source: push-stream.md sections 6.3 and 14.
 */
#include "api/api_priv.h"

struct info_totals
info_answer_totals(const struct call *c)
{
	const struct api *a = c->api;

	return (struct info_totals){
		.hostname = a->hostname,
		.now_s = hub_now_s(a->hub),
		.channels = a->stats->channels,
		.wildcard_channels = a->stats->wildcard_channels,
		.uptime_s = (hub_now_ms(a->hub) - a->start_ms) / 1000,
		.broadcast = call_compat(c) == COMPAT_0_3_4,
	};
}

bool
info_answer_quoted(const struct call *c)
{
	return call_compat(c) < COMPAT_0_6_0;
}

struct reply
info_answer_text(struct api *a)
{
	buf_clear(&a->body);
	return (struct reply){ &a->body, 0 };
}

void
info_answer_start(const struct call *c, enum info_format f,
    const struct reply *text, bool whole, struct reply *r)
{
	reply_start(r, &c->api->out, 200);
	reply_text(r, "Content-Type: ");
	reply_text(r, info_content_type(f));
	if (whole) {
		reply_text(r, "\r\nContent-Length: ");
		reply_number(r, text->b->len);
	}
	reply_text(r, "\r\n");
	if (c->endpoint->settings.role == ROLE_STATISTICS)
		statistics_version(c, r);
	call_cors(c, r);
	call_no_cache(c, r);
	reply_body(r);
	reply_bytes(r, text->b->data, text->b->len);
	if (r->err == 0)
		r->err = text->err;
}

void
info_answer(const struct call *c, enum info_format f, const struct reply *text)
{
	struct reply r;

	info_answer_start(c, f, text, true, &r);
	api_send(c->api, c->request, &r);
}

void
info_answer_channels(const struct call *c, enum info_format f, uint32_t n)
{
	const struct info_totals t = info_answer_totals(c);
	struct api *a = c->api;
	struct reply text = info_answer_text(a);
	bool quoted = info_answer_quoted(c);

	if (n == 1)
		info_single(&text, f, quoted, a->channels[0]);
	else
		info_list(&text, f, quoted, &t, a->channels, n);
	info_answer(c, f, &text);
}
