/*
 * api/bitrix/bx_held.c - what a WebSocket is sent: at once, or with others in one
 * frame.
 *
 * Where the location sets bitrix_frame_delay, the first message goes at once;
 * those that come within the delay wait until it is over and go together, as
 * the vendor's servers do.
 */
#include "api/bitrix/bx_priv.h"

#define HELD_MAX ((size_t)256 << 10) /* bytes that wait */

void
bx_socket_part(struct wait_state *w, struct payload *part)
{
	if (part != NULL)
		w->request->ops->send(w->request, part);
	else /* not one may be missing: it is to come back */
		w->request->ops->fail(w->request);
	payload_unref(&part);
}

/* What is between the brackets of an array, if it is one, as a frame. */
static struct payload *
frame_of(enum ws_opcode op, bool array, struct slice data)
{
	struct payload *frame = NULL;
	struct buf b;
	size_t start;
	int err;

	buf_init(&b, REPLY_MAX);
	err = ws_frame_begin(&b, &start);
	if (err == 0 && array)
		err = buf_text(&b, "[");
	if (err == 0)
		err = buf_append(&b, data.ptr, data.len);
	if (err == 0 && array)
		err = buf_text(&b, "]");
	if (err == 0) {
		ws_frame_end(&b, start, op);
		frame = payload_new(b.data, b.len);
	}
	buf_release(&b);
	return frame;
}

void
bx_socket_send(struct wait_state *w, enum ws_opcode op, struct slice data)
{
	struct bx_socket *x = w->of.bitrix.socket;

	if (x->gone)
		return;
	/* It may bear the reader's position, which those held are part of. */
	if (x->n_held != 0)
		bx_held_send(x);
	bx_socket_part(w, frame_of(op, false, data));
}

static struct payload *
held_frame(const struct bx_socket *x)
{
	enum ws_opcode op =
	    x->look.kind == BX_LOOK_BINARY ? WS_OP_BINARY : WS_OP_TEXT;
	bool array = x->look.kind == BX_LOOK_JSON ||
	    (x->look.kind == BX_LOOK_RPC && x->n_held > 1);

	return frame_of(op, array, (struct slice){ x->held.data, x->held.len });
}

void
bx_held_send(struct bx_socket *x)
{
	struct bitrix *b = x->wait->api->bitrix;
	uint64_t delay = x->wait->endpoint->settings.bitrix_frame_delay_ms;

	heap_remove(&b->held, &x->due);
	x->hold_until_ms = hub_now_ms(b->api->hub) + delay;
	if (x->n_held == 0)
		return;
	bx_socket_part(x->wait, held_frame(x));
	buf_release(&x->held);
	x->n_held = 0;
}

static int
held_add(struct bx_socket *x, const struct payload *piece)
{
	bool array =
	    x->look.kind == BX_LOOK_RPC || x->look.kind == BX_LOOK_JSON;
	int err = x->n_held != 0 && array ? buf_text(&x->held, ",") : 0;

	if (err == 0)
		err = buf_append(&x->held, piece->data, piece->len);
	x->n_held++;
	return err;
}

/* The first goes at once; those behind it wait until the time is over. */
void
bx_held_deliver(struct bx_socket *x, const struct delivery *d, size_t n)
{
	struct bitrix *b = x->wait->api->bitrix;
	int err = 0;

	for (size_t i = 0; i < n && err == 0; i++) {
		struct payload *piece = bx_piece(x->wait, &d[i]);

		err = piece != NULL ? held_add(x, piece) : ERR_NOMEM;
		payload_unref(&piece);
	}
	if (x->gone)
		return;
	if (err == 0 && x->due.at == 0 &&
	    hub_now_ms(b->api->hub) < x->hold_until_ms &&
	    x->held.len < HELD_MAX)
		err = heap_add(&b->held, &x->due, x->hold_until_ms);
	if (err != 0)
		x->wait->request->ops->fail(x->wait->request);
	else if (x->due.at == 0 || x->held.len >= HELD_MAX)
		bx_held_send(x);
}
