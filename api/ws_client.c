/*
 * api/ws_client.c - see ws_client.h.
 *
 *	ws_client_input --ws_read--> event --ws_client_owes--> the store
 *	        |                                                 |
 *	        | too many on their way: the rest is kept,        |
 *	        v and the socket is not read from                 v
 *	     resting <---------- ws_clients_turn <------ ws_client_paid
 *
 * Nobody is told that his text was stored, so without this bound one client
 * could fill the store's queue with tiny texts as fast as he can send them, and
 * all others would be refused until it is empty.
 *
 * What was stored is told in the middle of the hub's work, so going on waits for
 * the end of the turn.
 */
#include "api/ws_client.h"

#include "api/api_priv.h"

#define OWED_MAX 64	      /* messages on their way to the store */
#define OWED_BYTES_MAX 65536  /* and their bytes, but for one message */
#define KEPT_MAX (256 * 1024) /* gateways read less at a time */

struct ws_busy {
	struct ws_client *client;
	TAILQ_ENTRY(ws_busy) half;  /* in api->halves, if until_ms is set */
	TAILQ_ENTRY(ws_busy) ready; /* in api->ready, if waking */
	uint64_t until_ms; /* when what has begun is to be there; 0: nothing */
	struct buf kept;   /* its next bytes, from kept_off on */
	size_t kept_off;
	size_t held; /* of kept, counted with what comes in */
	size_t owed_bytes;
	uint32_t owed;
	bool resting; /* its socket is not read from */
	bool waking;
};

void
ws_client_init(struct ws_client *c, struct wait_state *w,
    ws_client_event_f *event, size_t max_message, bool require_mask)
{
	ws_reader_init(&c->reader, max_message, require_mask);
	if (w->request->spares != NULL)
		c->reader.all = &w->request->spares->incoming;
	c->busy = NULL;
	c->wait = w;
	c->event = event;
}

/* NULL: there is no memory. */
static struct ws_busy *
client_busy(struct ws_client *c)
{
	if (c->busy != NULL)
		return c->busy;
	c->busy = calloc(1, sizeof(*c->busy));
	if (c->busy != NULL) {
		c->busy->client = c;
		buf_init(&c->busy->kept, KEPT_MAX);
	}
	return c->busy;
}

/* What was kept is counted anew, now that there are so many bytes of it. */
static bool
busy_hold(struct ws_client *c, size_t bytes)
{
	struct quota *all = c->reader.all;

	assert(c->busy != NULL);
	if (all == NULL)
		return true;
	quota_give(all, c->busy->held);
	c->busy->held = 0;
	if (!quota_take_of(all, bytes, bytes))
		return false;
	c->busy->held = bytes;
	return true;
}

static void
busy_free(struct ws_client *c)
{
	(void)busy_hold(c, 0);
	buf_release(&c->busy->kept);
	free(c->busy);
	c->busy = NULL;
}

static void
busy_settle(struct ws_client *c)
{
	struct ws_busy *b = c->busy;

	if (b == NULL || b->until_ms != 0 || b->resting || b->owed != 0)
		return;
	busy_free(c);
}

static void
half_end(struct ws_client *c)
{
	struct ws_busy *b = c->busy;

	if (b == NULL || b->until_ms == 0)
		return;
	TAILQ_REMOVE(&c->wait->api->halves, b, half);
	b->until_ms = 0;
	busy_settle(c);
}

/* Something has begun.  All have the same time, so the list is in order. */
static int
half_begin(struct ws_client *c)
{
	struct api *a = c->wait->api;
	struct ws_busy *b;

	if (a->layout->request_timeout_ms == 0)
		return 0;
	b = client_busy(c);
	if (b == NULL)
		return ERR_NOMEM;
	if (b->until_ms == 0) {
		b->until_ms =
		    hub_now_ms(a->hub) + a->layout->request_timeout_ms;
		TAILQ_INSERT_TAIL(&a->halves, b, half);
	}
	return 0;
}

static void
client_rest(struct ws_client *c, bool rest)
{
	struct request *r = c->wait->request;

	assert(c->busy != NULL);
	c->busy->resting = rest;
	r->ops->rest(r, rest);
}

void
ws_client_release(struct ws_client *c)
{
	struct ws_busy *b;

	half_end(c);
	b = c->busy;
	if (b != NULL) {
		if (b->waking)
			TAILQ_REMOVE(&c->wait->api->ready, b, ready);
		if (b->resting)
			client_rest(c, false);
		busy_free(c);
	}
	ws_reader_release(&c->reader);
}

bool
ws_client_idle(const struct ws_client *c)
{
	return c->busy == NULL && ws_reader_idle(&c->reader);
}

static bool
is_full(const struct ws_client *c)
{
	const struct ws_busy *b = c->busy;

	return b != NULL &&
	    (b->owed >= OWED_MAX || b->owed_bytes >= OWED_BYTES_MAX);
}

/* As far as it goes.  While it waits for the store, its time does not run. */
static bool
client_read(struct ws_client *c, struct slice *bytes)
{
	enum ws_event event = WS_MORE;
	struct slice data;
	uint16_t code;
	int err = 0;

	while (!is_full(c)) {
		event = ws_read(&c->reader, bytes, &data, &code);
		if (event == WS_MORE)
			break;
		if (!c->reader.in_message)
			half_end(c);
		if (!c->event(c->wait, event, data, code))
			return false;
	}
	if (is_full(c) || ws_reader_idle(&c->reader))
		half_end(c);
	else
		err = half_begin(c);
	if (err != 0)
		c->wait->request->ops->fail(c->wait->request);
	return true;
}

static void
client_keep(struct ws_client *c, struct slice bytes)
{
	struct buf *kept = &c->busy->kept;
	bool room = buf_append(kept, bytes.ptr, bytes.len) == 0;

	if (room && !busy_hold(c, kept->cap)) {
		limit_hit(
		    &c->wait->api->stats->limits, LIMIT_max_incoming_size);
		room = false;
	}
	if (!room)
		c->wait->request->ops->fail(c->wait->request);
}

bool
ws_client_input(struct ws_client *c, struct slice bytes)
{
	if (c->busy == NULL || !c->busy->resting) {
		if (!client_read(c, &bytes))
			return false;
		if (!is_full(c))
			return true;
		limit_hit(&c->wait->api->stats->limits, LIMIT_websocket_owed);
		client_rest(c, true);
	}
	client_keep(c, bytes);
	return true;
}

int
ws_client_owes(struct ws_client *c, size_t bytes)
{
	struct ws_busy *b = client_busy(c);

	if (b == NULL)
		return ERR_NOMEM;
	b->owed++;
	b->owed_bytes += bytes;
	return 0;
}

void
ws_client_paid(struct ws_client *c, size_t bytes)
{
	struct ws_busy *b = c->busy;

	assert(b->owed != 0 && b->owed_bytes >= bytes);
	b->owed--;
	b->owed_bytes -= bytes;
	if (b->resting && !b->waking && b->owed <= OWED_MAX / 2 &&
	    b->owed_bytes <= OWED_BYTES_MAX / 2) {
		b->waking = true;
		TAILQ_INSERT_TAIL(&c->wait->api->ready, b, ready);
	}
	busy_settle(c);
}

/* What it says may end it, so what is read from is not its own meanwhile. */
static void
client_go_on(struct ws_client *c)
{
	struct ws_busy *b = c->busy;
	struct slice bytes;
	struct buf kept;

	assert(b != NULL && b->resting);
	kept = b->kept;
	bytes = (struct slice){ kept.data, kept.len };
	if (b->kept_off != 0) {
		bytes.ptr += b->kept_off;
		bytes.len -= b->kept_off;
	}
	b->waking = false;
	buf_init(&b->kept, KEPT_MAX);
	if (!client_read(c, &bytes)) {
		buf_release(&kept);
	} else if (is_full(c)) {
		b->kept = kept;
		b->kept_off = kept.len - bytes.len;
	} else {
		buf_release(&kept);
		(void)busy_hold(c, 0);
		b->kept_off = 0;
		client_rest(c, false);
		busy_settle(c);
	}
}

static void
client_late(struct ws_client *c)
{
	const struct slice none = { NULL, 0 };

	c->wait->api->stats->late_messages++;
	half_end(c);
	(void)c->event(c->wait, WS_BAD, none, WS_CLOSE_POLICY);
}

void
ws_clients_turn(struct api *a)
{
	struct ws_busy *b;

	while ((b = TAILQ_FIRST(&a->ready)) != NULL) {
		TAILQ_REMOVE(&a->ready, b, ready);
		client_go_on(b->client);
	}
	while ((b = TAILQ_FIRST(&a->halves)) != NULL &&
	    b->until_ms <= hub_now_ms(a->hub))
		client_late(b->client);
}

uint64_t
ws_clients_next_ms(const struct api *a)
{
	const struct ws_busy *b = TAILQ_FIRST(&a->halves);

	return b != NULL ? b->until_ms : UINT64_MAX;
}
