/*
 * api/format.c - a location's looks: what is fixed is made once, a message is
 * rendered once for all who get it.
 *
 * Formats are found by a hash of what they are made from and live as long as
 * somebody refers to them.  A live message goes to all of its readers in a
 * row, so remembering one rendering per format is enough, and the next
 * message makes every format forget its own: what an idle daemon holds is one
 * message, in each of its looks.
 */
#include "api/framing.h"

#define KEY_MAX (16u * 1024 * 1024)
#define PIECE_MAX (256u * 1024 * 1024)
#define RENDERED_MAX ((size_t)64 << 20) /* bytes, of all formats */

struct format {
	uint32_t refs;
	struct formats *formats;

	uint64_t hash;
	struct slice key;
	struct format *same_hash;

	struct look look;
	struct payload *header, *footer, *ping; /* NULL: nothing is sent */

	struct format_key rendered_key;
	struct payload *rendered; /* NULL: not in formats->rendered */
	struct format *next_rendered;
};

void
formats_init(struct formats *f, uint64_t *renders, struct limits *limits)
{
	map_init(&f->map);
	hash_key_init(&f->hash_key);
	f->rendered = NULL;
	f->rendered_bytes = 0;
	f->rendered_max = RENDERED_MAX;
	f->renders = renders;
	f->limits = limits;
}

void
formats_release(struct formats *f)
{
	assert(f->map.count == 0 && f->rendered == NULL);
	map_release(&f->map);
}

/* Lengths stand before the bytes, so no two formats are alike by chance. */
static int
key_text(struct buf *key, const char *text)
{
	size_t len = strlen(text);
	int err = buf_append(key, &len, sizeof(len));

	return err != 0 ? err : buf_append(key, text, len);
}

/* 0.3.x pings with nothing, if not told otherwise. */
static const char *
ping_text(const struct settings *s)
{
	if (s->ping_message_text != NULL)
		return s->ping_message_text;
	return s->compat == COMPAT_0_3_4 ? "" : " ";
}

static int
key_make(const struct look *look, const struct settings *s, struct buf *key)
{
	unsigned char kind[] = { (unsigned char)look->framing,
		(unsigned char)look->compat, look->cursor_as_id,
		(unsigned char)look->bitrix.kind, look->bitrix.version,
		look->bitrix.websocket };
	int err = buf_append(key, kind, sizeof(kind));

	if (err == 0)
		err = key_text(key, s->header_template);
	if (err == 0)
		err = key_text(key, s->message_template);
	if (err == 0)
		err = key_text(key, s->footer_template);
	if (err == 0)
		err = key_text(key, ping_text(s));
	return err;
}

static struct format *
format_lookup(const struct formats *all, uint64_t hash, const struct buf *key)
{
	struct format *f = map_get(&all->map, hash);

	while (f != NULL &&
	    !slice_equal(f->key, (struct slice){ key->data, key->len }))
		f = f->same_hash;
	return f;
}

/* Take what is in b, emptying it; an empty piece is none. */
static int
piece_take(struct buf *b, struct payload **out)
{
	if (b->len == 0)
		return 0;
	*out = payload_new(b->data, b->len);
	buf_clear(b);
	return *out != NULL ? 0 : ERR_NOMEM;
}

static int
make_template(struct format *f, const char *text, struct buf *b)
{
	int err = framings[f->look.framing].template(&f->look, text, b);

	if (err == 0)
		err = buf_append(b, "", 1);
	if (err != 0)
		return err;
	f->look.template = template_new(b->data, f->look.compat);
	buf_clear(b);
	return f->look.template != NULL ? 0 : ERR_NOMEM;
}

/* What does not depend on a message. */
static int
make_pieces(struct format *f, const struct settings *s)
{
	const struct framing_ops *ops = &framings[f->look.framing];
	struct buf b;
	int err;

	buf_init(&b, PIECE_MAX);
	err = make_template(f, s->message_template, &b);
	if (err == 0)
		err = ops->header(&f->look, s->header_template, &b);
	if (err == 0)
		err = piece_take(&b, &f->header);
	if (err == 0)
		err = ops->footer(&f->look, s->footer_template, &b);
	if (err == 0)
		err = piece_take(&b, &f->footer);
	if (err == 0)
		err = ops->ping(&f->look, ping_text(s), &b);
	if (err == 0)
		err = piece_take(&b, &f->ping);
	buf_release(&b);
	return err;
}

static void
format_free(struct format *f)
{
	template_free(&f->look.template);
	payload_unref(&f->header);
	payload_unref(&f->footer);
	payload_unref(&f->ping);
	payload_unref(&f->rendered);
	free((char *)(uintptr_t)f->key.ptr);
	free(f);
}

/* Enter a new format; its key becomes the format's own. */
static int
format_intern(
    struct formats *all, struct format *f, uint64_t hash, struct buf *key)
{
	int err;

	f->same_hash = map_remove(&all->map, hash);
	err = map_put(&all->map, hash, f);
	if (err != 0) {
		/* Only a new hash needs memory: nothing was chained. */
		assert(f->same_hash == NULL);
		return err;
	}
	f->formats = all;
	f->hash = hash;
	f->key = (struct slice){ key->data, key->len };
	buf_init(key, 0);
	return 0;
}

static int
format_new(struct formats *all, const struct look *look,
    const struct settings *s, uint64_t hash, struct buf *key,
    struct format **out)
{
	struct format *f = calloc(1, sizeof(*f));
	int err;

	if (f == NULL)
		return ERR_NOMEM;
	f->look = *look;
	err = make_pieces(f, s);
	if (err == 0)
		err = format_intern(all, f, hash, key);
	if (err != 0) {
		format_free(f);
		return err;
	}
	*out = f;
	return 0;
}

static int
format_find(struct formats *all, const struct look *look,
    const struct settings *s, struct format **out)
{
	struct buf key;
	uint64_t hash;
	int err;

	buf_init(&key, KEY_MAX);
	err = key_make(look, s, &key);
	if (err == 0) {
		hash = hash_bytes(&all->hash_key, key.data, key.len);
		*out = format_lookup(all, hash, &key);
		if (*out == NULL)
			err = format_new(all, look, s, hash, &key, out);
	}
	buf_release(&key);
	if (err == 0)
		(void)format_ref(*out);
	return err;
}

int
format_get(struct formats *all, const struct settings *s, enum framing framing,
    struct format **out)
{
	struct look look = {
		.framing = framing,
		.compat = s->compat,
		.cursor_as_id =
		    framing == FRAMING_EVENTSOURCE && s->eventsource_cursor,
	};

	return format_find(all, &look, s, out);
}

int
format_get_bitrix(
    struct formats *all, const struct bx_look *bitrix, struct format **out)
{
	static char nothing[] = "";
	static const struct settings no_texts = {
		.header_template = nothing,
		.message_template = nothing,
		.footer_template = nothing,
		.ping_message_text = nothing,
	};
	struct look look = { .framing = FRAMING_BITRIX, .bitrix = *bitrix };

	return format_find(all, &look, &no_texts, out);
}

struct format *
format_ref(struct format *f)
{
	assert(f->refs < UINT32_MAX);
	f->refs++;
	return f;
}

static void
format_forget(struct format *f)
{
	struct formats *all = f->formats;
	struct format *head = map_remove(&all->map, f->hash);
	struct format **at = &head;
	int err;

	while (*at != f)
		at = &(*at)->same_hash;
	*at = f->same_hash;
	if (head != NULL) {
		err = map_put(&all->map, f->hash, head);
		assert(err == 0); /* its slot was freed just now */
	}
	if (f->rendered == NULL)
		return;
	for (at = &all->rendered; *at != f; at = &(*at)->next_rendered)
		;
	*at = f->next_rendered;
	all->rendered_bytes -= f->rendered->len;
}

void
format_unref(struct format **fp)
{
	struct format *f = *fp;

	*fp = NULL;
	if (f == NULL)
		return;
	assert(f->refs > 0);
	if (--f->refs == 0) {
		format_forget(f);
		format_free(f);
	}
}

struct payload *
format_header(const struct format *f)
{
	return f->header;
}

struct payload *
format_footer(const struct format *f)
{
	return f->footer;
}

struct payload *
format_ping(const struct format *f)
{
	return f->ping;
}

static bool
key_equal(const struct format_key *a, const struct format_key *b)
{
	return a->channel == b->channel && a->id == b->id &&
	    a->cursor == b->cursor && a->user == b->user;
}

/* All formats that hold a rendering hold one of the same message. */
static void
rendered_drop(struct formats *all)
{
	struct format *f;

	while ((f = all->rendered) != NULL) {
		all->rendered = f->next_rendered;
		payload_unref(&f->rendered);
	}
	all->rendered_bytes = 0;
}

/* A web server that puts what clients say into templates has many formats. */
static void
rendered_keep(struct formats *all, struct format *f)
{
	if (all->rendered != NULL &&
	    all->rendered_bytes + f->rendered->len > all->rendered_max) {
		limit_hit(all->limits, LIMIT_answers_cached);
		rendered_drop(all); /* f is not among them yet */
	}
	f->next_rendered = all->rendered;
	all->rendered = f;
	all->rendered_bytes += f->rendered->len;
}

static struct payload *
render(const struct format *f, const struct format_key *key,
    const struct template_values *v)
{
	struct payload *p = NULL;
	struct buf b;

	++*f->formats->renders;
	buf_init(&b, PIECE_MAX);
	if (framings[f->look.framing].message(&f->look, key, v, &b) == 0)
		p = payload_new(b.data, b.len);
	buf_release(&b);
	return p;
}

struct payload *
format_again(const struct format *f, const struct format_key *key)
{
	if (f->rendered == NULL || !key_equal(&f->rendered_key, key))
		return NULL;
	return payload_ref(f->rendered);
}

struct payload *
format_message(struct format *f, const struct format_key *key,
    const struct template_values *v)
{
	struct formats *all = f->formats;

	if (all->rendered != NULL &&
	    !key_equal(&all->rendered->rendered_key, key))
		rendered_drop(all);
	if (f->rendered == NULL) {
		f->rendered = render(f, key, v);
		if (f->rendered == NULL)
			return NULL;
		f->rendered_key = *key;
		rendered_keep(all, f);
	}
	return payload_ref(f->rendered);
}
