/*
 * ctl/check_read.c - trials with what is stored: publish, read, read again.
 */
#include "ctl/check_priv.h"

#include <stdio.h>
#include <strings.h>

/* Clocks that differ by less are together, as far as whole seconds tell. */
#define CLOCK_SLACK_S 3

void
try_publish(struct check *c)
{
	if (publish(c, &c->channel, TRIAL_PUBLISH))
		say_ok(c, TRIAL_PUBLISH, "200 in %llu ms",
		    (unsigned long long)c->publish_ms);
}

/* --- the stored message, and the position in its answer ---------------- */

/* What follows the name in the body, up to the quote. */
static struct slice
quoted_after(const struct exchange *x, const char *name)
{
	const char *p, *end;

	if (x->body.len == 0)
		return (struct slice){ NULL, 0 };
	p = memmem(x->body.data, x->body.len, name, strlen(name));
	if (p == NULL)
		return (struct slice){ NULL, 0 };
	p += strlen(name);
	end = memchr(p, '"', (size_t)(x->body.data + x->body.len - p));
	return (struct slice){ p, end != NULL ? (size_t)(end - p) : 0 };
}

/* The shipped templates write the position into the message as well, where no
 * front touches it. */
static bool
agrees(const struct exchange *x, const char *name, const char *value)
{
	struct slice in_body = quoted_after(x, name);

	return in_body.len == 0 || slice_is(in_body, value);
}

static const char *
tag_number(const struct position *p)
{
	return strncmp(p->tag, "W/", 2) == 0 ? p->tag + 2 : p->tag;
}

static bool
once(const struct exchange *x, const char *name)
{
	struct slice first = http_field(x, name);

	return first.ptr != NULL && http_field_next(x, name, first).ptr == NULL;
}

static void
look_at_mid(struct check *c, const struct exchange *x, const struct position *p)
{
	if (!has_position(p))
		say_not_ok(c, TRIAL_POSITION, ADVICE_MID,
		    "mid \"%s\": no 26 digits", p->mid);
	else {
		say_ok(c, TRIAL_POSITION, "mid %s", p->mid);
		keep_position(c, &c->channel, x);
	}
}

static void
look_at_position(struct check *c, const struct exchange *x)
{
	struct position p = position_of(c, x);

	if (c->by_mid) {
		look_at_mid(c, x, &p);
		return;
	}
	if (!once(x, "Last-Modified") || !once(x, "Etag"))
		say_not_ok(c, TRIAL_POSITION, ADVICE_POSITION,
		    "Last-Modified %s, Etag %s",
		    p.time[0] == '\0' ? "is missing" : p.time,
		    p.tag[0] == '\0' ? "is missing" : p.tag);
	else if (!has_position(&p))
		say_not_ok(c, TRIAL_POSITION, ADVICE_POSITION,
		    "Last-Modified %s, Etag %s: no date and number", p.time,
		    p.tag);
	else if (!agrees(x, "\"tag\":\"", tag_number(&p)) ||
	    !agrees(x, "\"time\":\"", p.time))
		say_not_ok(c, TRIAL_POSITION, ADVICE_POSITION,
		    "%s; %s: the message itself says another one", p.time,
		    p.tag);
	else {
		say_ok(c, TRIAL_POSITION, "%s; %s", p.time, p.tag);
		keep_position(c, &c->channel, x);
	}
}

void
try_stored(struct check *c)
{
	struct exchange x;

	if (read_news(c, &x, TRIAL_STORED, &c->channel)) {
		say_ok(c, TRIAL_STORED, "200 in %llu ms",
		    (unsigned long long)(x.ended_ms - x.began_ms));
		look_at_position(c, &x);
	} else if (x.done && !x.failed && x.status == 200)
		c->outcomes[TRIAL_STORED].advice = ADVICE_STORE;
	c->read = x.status != 0;
	http_end(&x);
}

/* --- replay ------------------------------------------------------------ */

/* A front that has kept a connection serves the next request on it. */
static void
look_at_connection(struct check *c, const struct exchange *x)
{
	if (x->kept_connection)
		say_ok(c, TRIAL_KEEPALIVE, "the next request came by it");
	else
		say_not_ok(c, TRIAL_KEEPALIVE, ADVICE_KEEPALIVE,
		    "each request makes a connection");
}

static bool
publish_some(struct check *c, struct channel *ch, unsigned n)
{
	while (n-- != 0)
		if (!publish(c, ch, TRIAL_REPLAY))
			return false;
	return true;
}

/* All news, and then those of the answer's position. */
static bool
replays(struct check *c, struct channel *ch)
{
	struct exchange x;
	bool ok;

	ok = read_news(c, &x, TRIAL_REPLAY, ch);
	if (ok)
		keep_position(c, ch, &x);
	http_end(&x);
	if (!ok || !publish(c, ch, TRIAL_REPLAY))
		return false;
	ok = read_news(c, &x, TRIAL_REPLAY, ch);
	if (ok) {
		look_at_connection(c, &x);
		keep_position(c, ch, &x);
	}
	http_end(&x);
	return ok;
}

/* By arguments, as most clients do, or else by fields too, where those are what
 * the location reads.  What failed by arguments is told, unless the fields led
 * to something plainer. */
void
try_replay(struct check *c)
{
	struct channel *ch = &c->channel;
	const struct channel before = *ch;
	bool ok;

	if (!publish_some(c, ch, 4))
		return;
	c->position_fields = false;
	ok = replays(c, ch);
	if (!ok && !c->by_mid) {
		struct outcome *o = &c->outcomes[TRIAL_REPLAY], first = *o;

		ch->last = before.last;
		ch->seen = before.seen;
		c->position_fields = true;
		ok = replays(c, ch);
		if (!ok && o->advice != ADVICE_CONDITION)
			*o = first;
	}
	if (ok)
		say_ok(c, TRIAL_REPLAY,
		    "%u messages, each once, in order, by %s",
		    ch->messages - before.seen,
		    c->position_fields ? "fields" : "arguments");
}

/* --- other fields ------------------------------------------------------ */

static void
compare_compressed(
    struct check *c, const struct exchange *x, const struct position *plain)
{
	struct slice coding = http_field(x, "Content-Encoding");
	struct position p = position_of(c, x);

	if (strcmp(p.tag, plain->tag) != 0)
		say_not_ok(c, TRIAL_COMPRESSION, ADVICE_COMPRESSION,
		    "Etag %s becomes %s", plain->tag,
		    p.tag[0] == '\0' ? "nothing" : p.tag);
	else if (strcmp(p.time, plain->time) != 0)
		say_not_ok(c, TRIAL_COMPRESSION, ADVICE_COMPRESSION,
		    "Last-Modified %s becomes %s", plain->time,
		    p.time[0] == '\0' ? "nothing" : p.time);
	else if (coding.len == 0)
		say_ok(c, TRIAL_COMPRESSION, "none");
	else
		say_ok(c, TRIAL_COMPRESSION, "%.*s, the position stays",
		    (int)MIN_OF(coding.len, (size_t)32), coding.ptr);
}

static bool
has_word(struct slice value, const char *word)
{
	size_t n = strlen(word);

	for (; value.len >= n; value.ptr++, value.len--)
		if (strncasecmp(value.ptr, word, n) == 0)
			return true;
	return false;
}

/* What lets anybody between us and the daemon keep this answer. */
static const char *
keeps(const struct exchange *x, struct slice *v)
{
	struct slice date = http_field(x, "Date");
	int64_t now = date.ptr != NULL ? http_date_parse(date.ptr, date.len)
				       : clock_wall_s(NULL);

	*v = (struct slice){ NULL, 0 };
	while ((*v = http_field_next(x, "Cache-Control", *v)).ptr != NULL)
		if (has_word(*v, "public") ||
		    (has_word(*v, "max-age=") && !has_word(*v, "max-age=0")))
			return "Cache-Control";
	while ((*v = http_field_next(x, "Expires", *v)).ptr != NULL)
		if (http_date_parse(v->ptr, v->len) > now)
			return "Expires";
	*v = http_field(x, "Age");
	return v->ptr != NULL ? "Age" : NULL;
}

/* A browser refuses the answer when the origin is there twice. */
static void
look_at_fields(struct check *c, const struct exchange *x)
{
	struct slice v;
	const char *name = keeps(x, &v);

	if (name != NULL)
		say_not_ok(c, TRIAL_FIELDS, ADVICE_CACHING, "%s: %.*s", name,
		    (int)MIN_OF(v.len, (size_t)80), v.ptr);
	else if (http_field(x, "Access-Control-Allow-Origin").ptr != NULL &&
	    !once(x, "Access-Control-Allow-Origin"))
		say_not_ok(c, TRIAL_FIELDS, ADVICE_DOUBLED,
		    "Access-Control-Allow-Origin comes twice");
	else
		say_ok(c, TRIAL_FIELDS, "nobody may keep an answer");
}

/* All there is, twice: as it is, and as a browser asks for it. */
void
try_compression(struct check *c, const struct channel *ch)
{
	struct position plain;
	struct exchange x;
	bool ok;

	ok = read_news(c, &x, TRIAL_COMPRESSION, ch);
	plain = position_of(c, &x);
	if (ok)
		look_at_fields(c, &x);
	http_end(&x);
	if (!ok)
		return;
	begin_read(c, &x, c->subscribe, ch, &ch->last, READ_COMPRESSED);
	if (answered(c, &x, TRIAL_COMPRESSION, 200) &&
	    brought(c, &x, TRIAL_COMPRESSION, ch, ch->seen + 1, ch->messages,
		ADVICE_COMPRESSION))
		compare_compressed(c, &x, &plain);
	http_end(&x);
}

/* --- clocks ------------------------------------------------------------ */

static bool
beyond_slack(int64_t difference_s)
{
	return difference_s > CLOCK_SLACK_S || difference_s < -CLOCK_SLACK_S;
}

static void
compare_clocks(struct check *c, int64_t front_s, int64_t daemon_s)
{
	if (beyond_slack(front_s) || beyond_slack(daemon_s) ||
	    beyond_slack(daemon_s - front_s))
		say_not_ok(c, TRIAL_CLOCKS, ADVICE_CLOCKS,
		    "from here, the front is at %+lld s, the daemon at %+lld s",
		    (long long)front_s, (long long)daemon_s);
	else
		say_ok(c, TRIAL_CLOCKS, "front %+lld s, daemon %+lld s",
		    (long long)front_s, (long long)daemon_s);
}

/* The front's clock stands in Date, the daemon's in the position of a message
 * that is just published. */
void
try_clocks(struct check *c)
{
	struct channel *ch = &c->channel;
	struct exchange x;
	struct slice date;
	int64_t now;

	if (!publish(c, ch, TRIAL_CLOCKS))
		return;
	now = clock_wall_s(NULL);
	if (read_news(c, &x, TRIAL_CLOCKS, ch)) {
		keep_position(c, ch, &x);
		date = http_field(&x, "Date");
		compare_clocks(c,
		    date.len != 0 ? http_date_parse(date.ptr, date.len) - now
				  : 0,
		    position_time(&ch->last) - now);
	}
	http_end(&x);
}
