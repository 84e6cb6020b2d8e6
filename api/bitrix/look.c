/*
 * api/bitrix/look.c - one message in each of the shapes that Bitrix's clients
 * read.
 *
 * A message's text is the site's or a client's and goes out as it came, but
 * for what would hurt its readers.  They find events in a text with a pattern
 * that knows no line breaks and ends at the first end mark, so neither may
 * come out of a message; and a browser drops a WebSocket whose text is not
 * UTF-8, only to come back for the same message.  In JSON all of these stand
 * inside of strings, if anywhere, and nothing is lost.
 */
#include "api/bitrix/look.h"

#include <inttypes.h>
#include <stdio.h>

#include "api/bitrix/batch.h"
#include "api/bitrix/extra.h"
#include "api/bitrix/ids.h"
#include "api/bitrix/json.h"
#include "api/bitrix/mid.h"
#include "api/ws.h"
#include "base/clock.h"
#include "base/utf8.h"

static const char begin_mark[] = "#!NGINXNMS!#", end_mark[] = "#!NGINXNME!#";

static bool
starts_with(struct slice text, const char *start)
{
	size_t len = strlen(start);

	return text.len >= len && memcmp(text.ptr, start, len) == 0;
}

/* What goes between two marks instead of the character at the front of text,
 * of n bytes; NULL: itself. */
static const char *
instead_of(struct slice text, size_t n)
{
	if (n == 0)
		return UTF8_REPLACEMENT;
	switch (*text.ptr) {
	case '\r':
	case '\n':
		return " ";
	case '#':
		return starts_with(text, end_mark) ? "\\u0023" : NULL;
	case '\xe2': /* the line breaks of Unicode are JavaScript's, too */
		return starts_with(text, "\xe2\x80\xa8") ? "\\u2028"
		    : starts_with(text, "\xe2\x80\xa9")	 ? "\\u2029"
							 : NULL;
	default:
		return NULL;
	}
}

static int
put_between_marks(struct buf *out, struct slice text)
{
	struct slice same = { text.ptr, 0 };
	int err = 0;

	while (text.len != 0 && err == 0) {
		size_t n = utf8_char(text);
		const char *instead = instead_of(text, n);

		n = MAX_OF(n, 1);
		text.ptr += n;
		text.len -= n;
		same.len += n;
		if (instead == NULL)
			continue;
		err = buf_append(out, same.ptr, same.len - n);
		if (err == 0)
			err = buf_text(out, instead);
		same = (struct slice){ text.ptr, 0 };
	}
	return err != 0 ? err : buf_append(out, same.ptr, same.len);
}

static int
put_string(struct buf *out, struct slice text)
{
	int err = buf_text(out, "\"");

	if (err == 0)
		err = buf_json(out, text);
	return err != 0 ? err : buf_text(out, "\"");
}

/* A client's text that is no JSON? */
static bool
is_string(const struct msg *m)
{
	return m->extra_len != 0 && *msg_extra(m).ptr == BX_EXTRA_STRING;
}

/* As it is, if it is JSON.  Of what came with an extra that is known. */
static int
put_json(struct buf *out, const struct msg *m)
{
	struct slice text = msg_text(m);

	if (m->extra_len != 0 ? is_string(m) : !json_valid(text))
		return put_string(out, text);
	return buf_append(out, text.ptr, text.len);
}

/*
 * The site's text as it is, whatever it is.  A client's could have more to it
 * than a value ("1,\"mid\":..."), so that one has to be JSON, or it is a string.
 */
static int
put_marked(struct buf *out, const struct msg *m)
{
	struct slice text = msg_text(m);
	struct buf string;
	int err;

	if (!is_string(m))
		return put_between_marks(out, text);
	buf_init(&string, out->max);
	err = put_string(&string, text);
	if (err == 0)
		err = put_between_marks(
		    out, (struct slice){ string.data, string.len });
	buf_release(&string);
	return err;
}

/* The object that clients call an event. */
static int
put_event(struct buf *out, const struct bx_look *l, const struct msg *m,
    struct slice channel, uint64_t cursor)
{
	uint32_t tag = cursor_tag(cursor);
	char mid[MID_LEN + 1], date[HTTP_DATE_SIZE];
	int err;

	mid_format(cursor, mid);
	http_date_format((int64_t)cursor_time(cursor), date);
	err = buf_printf(
	    out, "{\"id\":%" PRIu32 ",\"mid\":\"%s\",\"channel\":", tag, mid);
	if (err == 0)
		err = put_string(out, l->version == 3 ? channel : SLICE("-"));
	if (err == 0)
		err = buf_printf(out,
		    ",\"tag\":\"%" PRIu32 "\",\"time\":\"%s\",\"text\":", tag,
		    date);
	if (err == 0)
		err = l->kind == BX_LOOK_TEXT ? put_marked(out, m)
					      : put_json(out, m);
	return err != 0 ? err : buf_text(out, "}");
}

static int
put_text(struct buf *out, const struct bx_look *l, const struct msg *m,
    struct slice channel, uint64_t cursor)
{
	int err = buf_text(out, begin_mark);

	if (err == 0)
		err = put_event(out, l, m, channel, cursor);
	return err != 0 ? err : buf_text(out, end_mark);
}

/* Clients of this look read arrays; a frame has one of its own. */
static int
put_object(struct buf *out, const struct bx_look *l, const struct msg *m,
    struct slice channel, uint64_t cursor)
{
	int err = l->websocket ? buf_text(out, "[") : 0;

	if (err == 0)
		err = put_event(out, l, m, channel, cursor);
	if (err == 0 && l->websocket)
		err = buf_text(out, "]");
	return err;
}

/* What is kept beside the text; NULL: nothing that has members. */
static const struct bx_extra *
extra_of(const struct msg *m)
{
	return m->extra_len != 0 && *msg_extra(m).ptr == BX_EXTRA_JSON
	    ? bx_extra_read(m)
	    : NULL;
}

bool
bx_look_by_user(const struct bx_look *l, const struct msg *m)
{
	const struct bx_extra *e;

	if (l->kind != BX_LOOK_RPC)
		return false;
	e = extra_of(m);
	return e != NULL && e->user_params.ptr != NULL;
}

/* Somebody of version 4 has no number but a public id. */
static int
put_client(struct buf *out, struct slice public_id)
{
	char hex[BX_ID_LEN];
	int err;

	bx_id_hex((const uint8_t *)public_id.ptr, hex);
	err = buf_text(out, "{\"type\":1,\"id\":\"");
	if (err == 0)
		err = buf_append(out, hex, sizeof(hex));
	return err != 0 ? err : buf_text(out, "\"}");
}

static int
put_sender(struct buf *out, const struct msg *m, const struct bx_extra *e)
{
	struct slice extra = msg_extra(m);

	if (e != NULL && e->sender.ptr != NULL)
		return buf_append(out, e->sender.ptr, e->sender.len);
	if (extra.len == 1 + BX_ID_BYTES && *extra.ptr != BX_EXTRA_JSON)
		return put_client(
		    out, (struct slice){ extra.ptr + 1, BX_ID_BYTES });
	return buf_text(out, "{\"type\":2,\"id\":0}");
}

static int
put_member(struct buf *out, const char *name, struct slice value)
{
	int err;

	if (value.ptr == NULL)
		return 0;
	err = buf_printf(out, ",\"%s\":", name);
	return err != 0 ? err : buf_append(out, value.ptr, value.len);
}

static int
put_rpc(struct buf *out, const struct msg *m, uint64_t cursor, uint64_t user)
{
	const struct bx_extra *e = extra_of(m);
	char mid[MID_LEN + 1];
	int err;

	mid_format(cursor, mid);
	err = buf_printf(out,
	    "{\"jsonrpc\":\"2.0\",\"method\":\"incoming.message\","
	    "\"params\":{\"mid\":\"%s\",\"body\":",
	    mid);
	if (err == 0)
		err = put_json(out, m);
	if (err == 0)
		err = buf_text(out, ",\"sender\":");
	if (err == 0)
		err = put_sender(out, m, e);
	if (err == 0 && e != NULL && user != 0)
		err = put_member(out, "user_params", bx_extra_user(e, user));
	if (err == 0 && e != NULL)
		err = put_member(out, "dictionary", e->dictionary);
	return err != 0 ? err : buf_text(out, "}}");
}

static int
put_piece(struct buf *out, const struct bx_look *l, const struct msg *m,
    struct slice channel, uint64_t cursor, uint64_t user)
{
	switch (l->kind) {
	case BX_LOOK_BINARY:
		return batch_put_message(out, m, cursor);
	case BX_LOOK_JSON:
		return put_object(out, l, m, channel, cursor);
	case BX_LOOK_RPC:
		return put_rpc(out, m, cursor, user);
	case BX_LOOK_TEXT:
	default:
		return put_text(out, l, m, channel, cursor);
	}
}

int
bx_look_put(struct buf *out, const struct bx_look *l, const struct msg *m,
    struct slice channel, uint64_t cursor, uint64_t user)
{
	enum ws_opcode op =
	    l->kind == BX_LOOK_BINARY ? WS_OP_BINARY : WS_OP_TEXT;
	size_t start = out->len;
	int err = l->websocket ? ws_frame_begin(out, &start) : 0;

	if (err == 0)
		err = put_piece(out, l, m, channel, cursor, user);
	if (err != 0)
		out->len = start; /* not half of it */
	else if (l->websocket)
		ws_frame_end(out, start, op);
	return err;
}

int
bx_look_put_ping(struct buf *out, const struct bx_look *l)
{
	bool rpc = l->kind == BX_LOOK_RPC;
	size_t start;
	int err = ws_frame_begin(out, &start);

	if (err == 0)
		err = buf_text(out, rpc ? "ping" : "ws ping");
	if (err == 0)
		ws_frame_end(out, start, rpc ? WS_OP_TEXT : WS_OP_PING);
	return err;
}
