/*
 * api/statistics.c - the statistics endpoint: the whole, some channels, or all.
 *
 * A list of all channels, or of all with a prefix, may be long.  The numbers
 * of its channels are noted at once, since they are the order in which the
 * channels were made; what is known of them is looked up when it is written.
 * A list that fits into one slice is an answer with a length.  A longer one
 * goes out slice by slice, as fast as the front takes it, so neither the loop
 * nor memory has to bear it as one piece; a channel that goes meanwhile is
 * left out, and one that comes is not in it.
 *
 * Source: push-stream.md section 14.
 */
#include "api/api_priv.h"

#include <unistd.h>

#define LISTINGS_MAX 16
#define SLICE_CHANNELS 1000
#define SLICE_BYTES (256 * 1024) /* for long ids */
#define SLICES_AT_ONCE 4
#define UNSENT_MAX (256 * 1024)

struct listing {
	TAILQ_ENTRY(listing) link; /* in api->resting while it rests */
	bool rests;
	struct wait_state *wait; /* once it waits */
	uint64_t *numbers;
	size_t n, at;
	enum info_format format;
	bool quoted;
	bool any; /* an item was written */
};

/* The module's releases named themselves late: 0.6.0 says 0.5.5. */
void
statistics_version(const struct call *c, struct reply *r)
{
	static const char *const tags[] = {
		[COMPAT_0_3_4] = "0.3.4",
		[COMPAT_0_4_0] = "0.4.0",
		[COMPAT_0_6_0] = "0.5.5",
	};
	enum compat compat = c->endpoint->settings.compat;

	reply_field_text(r, "X-Nginx-PushStream-Tag", tags[compat]);
	if (compat == COMPAT_0_6_0)
		reply_field_text(r, "X-Nginx-PushStream-Commit",
		    "3bc016f811d50374251960db091557571dfd7393");
}

static void
answer_summary(const struct call *c, enum info_format f)
{
	struct api *a = c->api;
	struct info_whole whole = {
		.totals = info_answer_totals(c),
		.published_messages = a->stats->published_messages,
		.stored_messages = a->stats->stored_messages,
		.channels_in_delete = hub_channels_deleted(a->hub),
		.subscribers = a->stats->subscribers,
		.pid = getpid(),
	};
	struct reply text = info_answer_text(a);

	info_summary(&text, f, c->endpoint->settings.compat, &whole);
	info_answer(c, f, &text);
}

static int
listing_new(const struct call *c, enum info_format f, struct slice prefix,
    struct listing **out)
{
	struct listing *l = calloc(1, sizeof(*l));
	int err;

	if (l == NULL)
		return ERR_NOMEM;
	l->format = f;
	l->quoted = info_answer_quoted(c);
	err = hub_channels(c->api->hub, prefix, &l->numbers, &l->n);
	if (err != 0) {
		free(l);
		return err;
	}
	c->api->listings++;
	*out = l;
	return 0;
}

static void
listing_wake(struct api *a, struct listing *l)
{
	if (l->rests)
		TAILQ_REMOVE(&a->resting, l, link);
	l->rests = false;
}

static void
listing_free(struct api *a, struct listing **lp)
{
	struct listing *l = *lp;

	*lp = NULL;
	a->listings--;
	listing_wake(a, l);
	free(l->numbers);
	free(l);
}

/* Write the next slice; true: that was the last. */
static bool
listing_slice(struct listing *l, const struct hub *hub, struct reply *text)
{
	size_t end = MIN_OF(l->n, l->at + SLICE_CHANNELS);

	while (l->at < end && text->b->len < SLICE_BYTES) {
		const struct channel *ch =
		    hub_channel(hub, l->numbers[l->at++]);

		if (ch != NULL)
			info_list_item(text, l->format, l->quoted, ch, &l->any);
	}
	if (l->at < l->n)
		return false;
	info_list_tail(text, l->format, l->any);
	return true;
}

/* The first part of a list that does not fit into it. */
static void
listing_begin(const struct call *c, struct listing *l, const struct reply *text)
{
	struct wait_state *w =
	    wait_new(c, WAIT_STATISTICS, (struct slice){ 0 });
	struct payload *part;
	struct reply r;

	info_answer_start(c, l->format, text, false, &r);
	part = reply_take(&r);
	if (w == NULL || part == NULL) {
		payload_unref(&part);
		if (w != NULL) {
			wait_drop(&w);
		}
		listing_free(c->api, &l);
		call_error(c, ERR_NOMEM);
		return;
	}
	w->on.listing = l;
	l->wait = w;
	request_shed(c->request);
	c->request->ops->send(c->request, part);
	payload_unref(&part);
	statistics_more(w);
}

static void
listing_end(struct wait_state *w)
{
	struct call c = wait_call(w);

	listing_free(c.api, &w->on.listing);
	wait_free(&w);
	c.request->ops->finish(c.request);
}

static void
listing_rest(struct api *a, struct listing *l)
{
	TAILQ_INSERT_TAIL(&a->resting, l, link);
	l->rests = true;
}

/* Not more at once than the front takes, nor than the loop has time for.  Who
 * has taken everything is not told of, so such a list goes on next turn. */
static bool
listing_pauses(struct wait_state *w, int slices)
{
	size_t unsent = w->request->ops->unsent(w->request);

	if (slices < SLICES_AT_ONCE)
		return unsent >= UNSENT_MAX;
	if (unsent == 0)
		listing_rest(w->api, w->on.listing);
	return true;
}

void
statistics_more(struct wait_state *w)
{
	struct request *r = w->request;
	bool last = false;

	listing_wake(w->api, w->on.listing);
	for (int i = 0; !last; i++) {
		struct reply text;
		struct payload *part;

		if (listing_pauses(w, i))
			return;
		text = info_answer_text(w->api);
		last = listing_slice(w->on.listing, w->api->hub, &text);
		part = reply_take(&text);
		if (part == NULL)
			break; /* no memory: the list ends without its tail */
		r->ops->send(r, part);
		payload_unref(&part);
	}
	listing_end(w);
}

bool
statistics_turn(struct api *a)
{
	struct listing *l = TAILQ_FIRST(&a->resting);

	if (l == NULL)
		return false;
	statistics_more(l->wait);
	return !TAILQ_EMPTY(&a->resting);
}

void
statistics_abandon(struct wait_state *w)
{
	listing_free(w->api, &w->on.listing);
}

static void
answer_listing(const struct call *c, enum info_format f, struct slice prefix)
{
	const struct info_totals t = info_answer_totals(c);
	struct reply text = info_answer_text(c->api);
	struct listing *l;
	int err;

	if (c->api->listings == LISTINGS_MAX) {
		limit_hit(&c->api->stats->limits, LIMIT_lists);
		call_explain(c, 503, "Too many lists at a time.");
		return;
	}
	err = listing_new(c, f, prefix, &l);
	if (err != 0) {
		call_error(c, err);
		return;
	}
	info_list_head(&text, f, l->quoted, &t);
	if (!listing_slice(l, c->api->hub, &text)) {
		listing_begin(c, l, &text);
		return;
	}
	info_answer(c, f, &text);
	listing_free(c->api, &l);
}

/* "ALL" or a '*': a list by prefix, whatever else is named. */
static bool
is_pattern(struct slice id, struct slice *prefix)
{
	const char *star = memchr(id.ptr, '*', id.len);

	*prefix = (struct slice){ id.ptr, 0 };
	if (star != NULL)
		prefix->len = (size_t)(star - id.ptr);
	return star != NULL || slice_is(id, "ALL");
}

static void
answer_channels(const struct call *c, enum info_format f)
{
	struct api *a = c->api;
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->path.n; i++) {
		struct slice id = a->path.item[i].id, prefix;
		struct channel *ch;

		if (!call_id_short(c, id))
			return;
		if (is_pattern(id, &prefix)) {
			answer_listing(c, f, prefix);
			return;
		}
		ch = hub_find(a->hub, id);
		if (ch != NULL)
			a->channels[n++] = ch;
	}
	if (n == 0) {
		call_explain(c, 404, NULL);
		return;
	}
	info_answer_channels(c, f, n);
}

void
statistics_handle(struct call *c)
{
	enum info_format f = info_format_of(c->query.accept);

	if (!slice_is(c->query.method, "GET"))
		call_method_not_allowed(c, "GET");
	else if (!call_path_value(c))
		return;
	else if (c->api->path.n == 0)
		answer_summary(c, f);
	else
		answer_channels(c, f);
}
