/*
 * tests/fuzz/fuzz_template.c - any template and any message in every framing
 * of every version.
 *
 * The input is, between zero bytes, a template, a header and a footer, and
 * then a message, which may be any bytes; the first byte says what else a
 * message has.
 */
#include "tests/fuzz/check.h"

#include "api/format.h"
#include "api/ws.h"

#define HAS_EVENT_ID 1
#define HAS_EVENT_TYPE 2
#define CURSOR_AS_ID 4

static struct formats formats;
static uint64_t renders;
static struct limits limits;

/* The next text, as a string of its own. */
static char *
take_string(const uint8_t **data, size_t *size)
{
	struct slice text = take_text(data, size);
	char *copy = strndup(text.ptr, text.len);

	CHECK(copy != NULL);
	return copy;
}

static bool
ends_with(const struct payload *p, const char *end)
{
	size_t len = strlen(end);

	return p->len >= len && memcmp(p->data + p->len - len, end, len) == 0;
}

/* One whole text frame. */
static void
check_frame(const struct payload *p)
{
	uint8_t head[WS_HEAD_MAX];
	uint64_t len = p->len >= 2 ? (uint8_t)p->data[1] : 0;

	CHECK(p->len >= 2);
	len = p->len - (len < 126 ? 2u : len == 126 ? 4u : 10u);
	CHECK(memcmp(p->data, head, ws_head(head, WS_OP_TEXT, len)) == 0);
}

static void
check_piece(
    const struct settings *s, enum framing framing, const struct payload *p)
{
	if (framing == FRAMING_WEBSOCKET)
		check_frame(p);
	else if (s->compat == COMPAT_0_3_4)
		CHECK(ends_with(p, "\r\n"));
}

static void
run(const struct settings *s, enum framing framing,
    const struct template_values *v)
{
	struct format_key key = { .channel = 1, .id = 1, .cursor = 1 };
	struct payload *p, *again;
	struct format *f;

	CHECK(format_get(&formats, s, framing, &f) == 0);
	p = format_message(f, &key, v);
	again = format_message(f, &key, v);
	CHECK(p != NULL && p == again);
	check_piece(s, framing, p);
	if (framing == FRAMING_EVENTSOURCE)
		CHECK(ends_with(p, s->compat == COMPAT_0_6_0 ? "\n" : "\r\n"));
	if (format_header(f) != NULL)
		check_piece(s, framing, format_header(f));
	if (format_footer(f) != NULL)
		check_piece(s, framing, format_footer(f));
	CHECK(format_ping(f) != NULL || framing == FRAMING_PLAIN);
	payload_unref(&p);
	payload_unref(&again);
	format_unref(&f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char ping[] = " ";
	struct settings s = { .ping_message_text = ping };
	struct template_values v = {
		.id = 1, .channel = SLICE("ch"), .tag = 1, .time_s = 1
	};

	if (size < 1)
		return 0;
	if (formats.renders == NULL)
		formats_init(&formats, &renders, &limits);
	if ((data[0] & HAS_EVENT_ID) != 0)
		v.event_id = SLICE("id");
	if ((data[0] & HAS_EVENT_TYPE) != 0)
		v.event_type = SLICE("type");
	s.eventsource_cursor = (data[0] & CURSOR_AS_ID) != 0;
	data++;
	size--;
	s.message_template = take_string(&data, &size);
	s.header_template = take_string(&data, &size);
	s.footer_template = take_string(&data, &size);
	v.text = (struct slice){ (const char *)data, size };
	for (int compat = COMPAT_0_3_4; compat <= COMPAT_0_6_0; compat++) {
		s.compat = (enum compat)compat;
		run(&s, FRAMING_PLAIN, &v);
		run(&s, FRAMING_EVENTSOURCE, &v);
		run(&s, FRAMING_WEBSOCKET, &v);
	}
	CHECK(formats.map.count == 0 && formats.rendered == NULL);
	free(s.message_template);
	free(s.header_template);
	free(s.footer_template);
	return 0;
}
