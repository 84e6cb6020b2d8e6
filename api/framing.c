/*
 * api/framing.c - the bytes of plain, EventSource, WebSocket and Bitrix's
 * streams.
 */
#include "api/framing.h"

#include <inttypes.h>

#include "api/ws.h"
#include "base/msg.h"
#include "base/utf8.h"

static const char comment[] = ": ", data_field[] = "data: ";

/* Plain: pieces as they are; 0.3.4 ends each with a line break. */

static int
plain_end(const struct look *l, struct buf *out)
{
	return l->compat == COMPAT_0_3_4 ? buf_text(out, "\r\n") : 0;
}

static int
plain_fixed(const struct look *l, const char *text, struct buf *out)
{
	int err;

	if (*text == '\0')
		return 0;
	err = buf_text(out, text);
	return err != 0 ? err : plain_end(l, out);
}

static int
plain_message(const struct look *l, const struct format_key *key,
    const struct template_values *v, struct buf *out)
{
	int err = template_render(l->template, v, out);

	(void)key;
	return err != 0 ? err : plain_end(l, out);
}

static int
plain_ping(const struct look *l, const char *text, struct buf *out)
{
	struct template_values v = { .id = MESSAGE_ID_PING,
		.text = { text, strlen(text) } };

	return plain_message(l, NULL, &v, out);
}

static int
plain_template(const struct look *l, const char *text, struct buf *out)
{
	(void)l;
	return buf_text(out, text);
}

/* EventSource: lines of fields and comments, push-stream.md section 8.6. */

static int
event_line_end(const struct look *l, struct buf *out)
{
	return buf_text(out, l->compat < COMPAT_0_6_0 ? "\r\n" : "\n");
}

/*
 * The next line of *text, never empty; false: there is none.  CR and LF both
 * end a line, but only up to the last LF before the first NUL; what follows is
 * one line, whatever it holds.  The module cuts so, and readers that count
 * lines rely on it.
 */
static bool
next_line(struct slice *text, size_t *breaks, struct slice *line)
{
	while (*breaks != 0 && (*text->ptr == '\r' || *text->ptr == '\n')) {
		text->ptr++;
		text->len--;
		--*breaks;
	}
	*line = *text;
	if (*breaks != 0) {
		size_t n = 0;

		while (text->ptr[n] != '\r' && text->ptr[n] != '\n')
			n++;
		line->len = n;
	}
	text->ptr += line->len;
	text->len -= line->len;
	*breaks -= MIN_OF(*breaks, line->len);
	return line->len != 0;
}

/* How many bytes of the text are cut into lines: up to its last LF. */
static size_t
break_bytes(struct slice text)
{
	const char *end =
	    text.len != 0 ? memchr(text.ptr, '\0', text.len) : NULL;
	size_t n = end != NULL ? (size_t)(end - text.ptr) : text.len;

	while (n != 0 && text.ptr[n - 1] != '\n')
		n--;
	return n;
}

static bool
starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* Text that is in its final form already; 0.3.4 ends even such a piece with a
 * line break. */
static int
event_ready(const struct look *l, const char *text, struct buf *out)
{
	int err = buf_text(out, text);

	return err != 0 ? err : plain_end(l, out);
}

/* Each line as a comment. */
static int
event_footer(const struct look *l, const char *text, struct buf *out)
{
	struct slice rest = { text, strlen(text) }, line;
	size_t breaks = break_bytes(rest);
	int err = 0;

	if (starts_with(text, comment))
		return event_ready(l, text, out);
	while (err == 0 && next_line(&rest, &breaks, &line)) {
		err = buf_text(out, comment);
		if (err == 0)
			err = buf_append(out, line.ptr, line.len);
		if (err == 0)
			err = event_line_end(l, out);
	}
	return err;
}

/* There is always one, so that a browser sees the stream begin. */
static int
event_header(const struct look *l, const char *text, struct buf *out)
{
	int err = event_footer(l, text, out);

	if (err != 0 || out->len != 0)
		return err;
	err = buf_text(out, l->compat == COMPAT_0_3_4 ? ":" : comment);
	return err != 0 ? err : event_line_end(l, out);
}

static int
event_ping(const struct look *l, const char *text, struct buf *out)
{
	int err = buf_text(out, ": -1");

	(void)text;
	return err != 0 ? err : event_line_end(l, out);
}

static int
event_template(const struct look *l, const char *text, struct buf *out)
{
	int err;

	if (starts_with(text, data_field))
		return event_ready(l, text, out);
	err = buf_text(out, data_field);
	if (err == 0)
		err = buf_text(out, text);
	return err != 0 ? err : event_line_end(l, out);
}

static int
event_field(
    const struct look *l, const char *name, struct slice value, struct buf *out)
{
	int err;

	if (value.ptr == NULL)
		return 0;
	err = buf_text(out, name);
	if (err == 0)
		err = buf_append(out, value.ptr, value.len);
	return err != 0 ? err : event_line_end(l, out);
}

static int
event_id(const struct look *l, const struct format_key *key, struct slice given,
    struct buf *out)
{
	int err;

	if (given.ptr != NULL || !l->cursor_as_id || key->cursor == 0)
		return event_field(l, "id: ", given, out);
	err = buf_printf(out, "id: %" PRIu64 ".%" PRIu32,
	    cursor_time(key->cursor), cursor_tag(key->cursor));
	return err != 0 ? err : event_line_end(l, out);
}

static int
event_message(const struct look *l, const struct format_key *key,
    const struct template_values *v, struct buf *out)
{
	struct template_values of_line = *v;
	struct slice rest = v->text;
	size_t breaks = break_bytes(rest);
	int err;

	err = event_id(l, key, v->event_id, out);
	if (err == 0)
		err = event_field(l, "event: ", v->event_type, out);
	while (err == 0 && next_line(&rest, &breaks, &of_line.text))
		err = template_render(l->template, &of_line, out);
	return err != 0 ? err : event_line_end(l, out);
}

/* WebSocket: frames of text, and a ping of its own. */

/*
 * A browser drops a WebSocket whose text is not UTF-8, and comes back for the
 * same message again and again; and a name is whatever a request made of it.
 * (A body that is no text is its publisher's doing, and goes as it came.)
 */
static int
utf8_names(struct template_values *v, struct buf *scratch)
{
	struct slice *const names[] = { &v->channel, &v->event_id,
		&v->event_type };
	size_t most = (sizeof(UTF8_REPLACEMENT) - 1) *
	    (v->channel.len + v->event_id.len + v->event_type.len);
	int err = 0;

	for (size_t i = 0; i < COUNT_OF(names) && err == 0; i++) {
		size_t start = scratch->len;

		if (utf8_good(*names[i]) == names[i]->len)
			continue;
		err = buf_reserve(scratch, most); /* so it never moves */
		most = 0;
		if (err == 0)
			err = utf8_put(scratch, *names[i]);
		*names[i] = (struct slice){ scratch->data + start,
			scratch->len - start };
	}
	return err;
}

static int
ws_message(const struct look *l, const struct format_key *key,
    const struct template_values *v, struct buf *out)
{
	struct template_values utf8 = *v;
	struct buf scratch;
	size_t start;
	int err = ws_frame_begin(out, &start);

	(void)key;
	buf_init(&scratch, SIZE_MAX);
	if (err == 0)
		err = utf8_names(&utf8, &scratch);
	if (err == 0)
		err = template_render(l->template, &utf8, out);
	if (err == 0)
		ws_frame_end(out, start, WS_OP_TEXT);
	buf_release(&scratch);
	return err;
}

static int
ws_fixed(const struct look *l, const char *text, struct buf *out)
{
	size_t start;
	int err;

	(void)l;
	if (*text == '\0')
		return 0;
	err = ws_frame_begin(out, &start);
	if (err == 0)
		err = utf8_put(out, (struct slice){ text, strlen(text) });
	if (err == 0)
		ws_frame_end(out, start, WS_OP_TEXT);
	return err;
}

static int
ws_ping(const struct look *l, const char *text, struct buf *out)
{
	uint8_t head[WS_HEAD_MAX];
	size_t len = ws_head(head, WS_OP_PING, 0);

	(void)l;
	(void)text;
	return buf_append(out, head, len);
}

/* Bitrix's clients: no texts of an admin's, and all looks elsewhere. */

static int
bitrix_nothing(const struct look *l, const char *text, struct buf *out)
{
	(void)l;
	(void)text;
	(void)out;
	return 0;
}

static int
bitrix_ping(const struct look *l, const char *text, struct buf *out)
{
	/* Of a poll, too, which has no use for it: pieces that are no frames
	 * may be for a WebSocket that makes its own (bx_held.c). */
	(void)text;
	return bx_look_put_ping(out, &l->bitrix);
}

static int
bitrix_message(const struct look *l, const struct format_key *key,
    const struct template_values *v, struct buf *out)
{
	assert(v->msg != NULL); /* we say nothing of our own to them */
	return bx_look_put(
	    out, &l->bitrix, v->msg, v->channel, key->cursor, key->user);
}

const struct framing_ops framings[] = {
	[FRAMING_PLAIN] = { plain_fixed, plain_fixed, plain_ping, plain_message,
	    plain_template },
	[FRAMING_EVENTSOURCE] = { event_header, event_footer, event_ping,
	    event_message, event_template },
	[FRAMING_WEBSOCKET] = { ws_fixed, ws_fixed, ws_ping, ws_message,
	    plain_template },
	[FRAMING_BITRIX] = { bitrix_nothing, bitrix_nothing, bitrix_ping,
	    bitrix_message, bitrix_nothing },
};
