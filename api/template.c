/* api/template.c - compile once, render by appending. */
#include "api/template.h"

#include <inttypes.h>
#include <strings.h>

#include "base/clock.h"

enum piece_kind {
	PIECE_LITERAL,
	PIECE_ID,
	PIECE_CHANNEL,
	PIECE_TEXT,
	PIECE_EVENT_ID,
	PIECE_EVENT_TYPE,
	PIECE_TAG,
	PIECE_TIME,
	PIECE_SIZE
};

struct piece {
	enum piece_kind kind;
	struct slice literal;
};

struct template
{
	size_t n;
	char *text;
	struct piece pieces[];
};

static const struct {
	const char *name;
	enum piece_kind kind;
	enum compat since;
} placeholders[] = {
	{ "~id~", PIECE_ID, COMPAT_0_3_4 },
	{ "~channel~", PIECE_CHANNEL, COMPAT_0_3_4 },
	{ "~text~", PIECE_TEXT, COMPAT_0_3_4 },
	{ "~event-id~", PIECE_EVENT_ID, COMPAT_0_3_4 },
	{ "~event-type~", PIECE_EVENT_TYPE, COMPAT_0_3_4 },
	{ "~tag~", PIECE_TAG, COMPAT_0_3_4 },
	{ "~time~", PIECE_TIME, COMPAT_0_3_4 },
	{ "~size~", PIECE_SIZE, COMPAT_0_6_0 },
};

/* The placeholder that starts at text, or PIECE_LITERAL. */
static enum piece_kind
placeholder_at(const char *text, enum compat compat, size_t *len)
{
	for (size_t i = 0; i < COUNT_OF(placeholders); i++) {
		size_t n = strlen(placeholders[i].name);
		int differs = compat >= COMPAT_0_6_0
		    ? strncasecmp(text, placeholders[i].name, n)
		    : strncmp(text, placeholders[i].name, n);

		if (differs == 0 && compat >= placeholders[i].since) {
			*len = n;
			return placeholders[i].kind;
		}
	}
	return PIECE_LITERAL;
}

static void
template_literal(struct template *t, const char *from, const char *to)
{
	if (to != from)
		t->pieces[t->n++] = (struct piece){ PIECE_LITERAL,
			{ from, (size_t)(to - from) } };
}

struct template *
template_new(const char *text, enum compat compat)
{
	/* Between two placeholders stands at most one literal. */
	size_t most = 1, len = 0;
	struct template *t;
	const char *p, *from;

	for (p = text; *p != '\0'; p++)
		most += *p == '~';
	t = malloc(sizeof(*t) + (most + 1) * sizeof(t->pieces[0]));
	if (t == NULL)
		return NULL;
	t->n = 0;
	t->text = strdup(text);
	if (t->text == NULL) {
		free(t);
		return NULL;
	}
	for (p = from = t->text; *p != '\0';) {
		enum piece_kind kind =
		    *p == '~' ? placeholder_at(p, compat, &len) : PIECE_LITERAL;

		if (kind == PIECE_LITERAL) {
			p++;
			continue;
		}
		template_literal(t, from, p);
		t->pieces[t->n++] = (struct piece){ kind, { NULL, 0 } };
		p += len;
		from = p;
	}
	template_literal(t, from, p);
	return t;
}

void
template_free(struct template **t)
{
	if (*t != NULL)
		free((*t)->text);
	free(*t);
	*t = NULL;
}

static int
piece_render(
    const struct piece *p, const struct template_values *v, struct buf *out)
{
	char date[HTTP_DATE_SIZE];

	switch (p->kind) {
	case PIECE_LITERAL:
		return buf_append(out, p->literal.ptr, p->literal.len);
	case PIECE_ID:
		return buf_printf(out, "%" PRId64, v->id);
	case PIECE_CHANNEL:
		return buf_append(out, v->channel.ptr, v->channel.len);
	case PIECE_TEXT:
		return buf_append(out, v->text.ptr, v->text.len);
	case PIECE_EVENT_ID:
		return buf_append(out, v->event_id.ptr, v->event_id.len);
	case PIECE_EVENT_TYPE:
		return buf_append(out, v->event_type.ptr, v->event_type.len);
	case PIECE_TAG:
		return buf_printf(out, "%u", v->tag);
	case PIECE_TIME:
		http_date_format(v->time_s, date);
		return buf_text(out, date);
	case PIECE_SIZE:
		return buf_printf(out, "%zu", v->text.len);
	}
	return 0;
}

int
template_render(
    const struct template *t, const struct template_values *v, struct buf *out)
{
	int err = 0;

	for (size_t i = 0; i < t->n && err == 0; i++)
		err = piece_render(&t->pieces[i], v, out);
	return err;
}
