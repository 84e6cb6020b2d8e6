/*
 * api/padding.c - patterns of browsers, and the bytes that they wait for.
 *
 * The patterns are the administrator's, the user agent is anybody's: PCRE2's
 * limits keep one header from holding up the loop, and reaching a limit counts
 * as no match.  Patterns are interpreted, since a connection is matched once.
 *
 * All readers of a location get the same message, so they mostly need the same
 * padding: the last one made is kept and shared.
 */
#include "api/padding.h"

#include <stdarg.h>
#include <stdio.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define AGENT_MAX 1024	  /* bytes that are looked at */
#define MINIMUM_MAX 65536 /* bytes; larger ones would be a mistake */
#define STEP 100

/* Matching a whole agent to a sane pattern takes a tenth of this. */
#define MATCH_STEPS_MAX 20000
#define MATCH_DEPTH_MAX 2000
#define MATCH_HEAP_KIB 1024

struct pattern {
	pcre2_code *code;
	struct padding_min min;
	struct pattern *next;
};

/* The last padding that was made. */
struct made {
	enum framing framing;
	enum compat compat;
	struct payload *payload;
};

struct padding {
	pcre2_match_context *limits;
	pcre2_match_data *match; /* we ask only whether */
	uint32_t max;		 /* the largest minimum */
	struct pattern *first;
	struct made *made;
};

static int PRINTF_LIKE(2, 3)
    wrong(char why[SETTINGS_WHY_SIZE], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, SETTINGS_WHY_SIZE, fmt, ap);
	va_end(ap);
	return ERR_CONFIG;
}

/* ",NUMBER" at p; what follows it, or NULL. */
static const char *
scan_minimum(const char *p, uint32_t *out)
{
	const char *digits = ++p;
	uint32_t n = 0;

	if (p[-1] != ',')
		return NULL;
	for (; *p >= '0' && *p <= '9'; p++)
		n = MIN_OF(n * 10 + (uint32_t)(*p - '0'), MINIMUM_MAX + 1);
	*out = n;
	return p != digits ? p : NULL;
}

/*
 * Two numbers before a colon or the end close a group, so that a pattern may
 * contain commas and colons.  Returns where the group ends, or NULL.
 */
static const char *
scan_group(const char *text, size_t *pattern_len, struct padding_min *min)
{
	const char *comma = text, *end;

	while ((comma = strchr(comma, ',')) != NULL) {
		end = scan_minimum(comma, &min->header);
		if (end != NULL && *end == ',')
			end = scan_minimum(end, &min->message);
		else
			end = NULL;
		*pattern_len = (size_t)(comma - text);
		if (end != NULL && (*end == ':' || *end == '\0'))
			return *pattern_len != 0 ? end : NULL;
		comma++;
	}
	return NULL;
}

static int
pattern_new(const char *text, size_t len, const struct padding_min *min,
    struct pattern **out, char why[SETTINGS_WHY_SIZE])
{
	PCRE2_UCHAR message[120];
	struct pattern *p;
	PCRE2_SIZE at;
	int err;

	if (MAX_OF(min->header, min->message) > MINIMUM_MAX)
		return wrong(why,
		    "padding pattern \"%.*s\": a minimum is more than %d bytes",
		    (int)MIN_OF(len, 80), text, MINIMUM_MAX);
	p = malloc(sizeof(*p));
	if (p == NULL)
		return ERR_NOMEM;
	p->min = *min;
	p->next = NULL;
	p->code = pcre2_compile((PCRE2_SPTR)text, len, 0, &err, &at, NULL);
	if (p->code == NULL) {
		free(p);
		(void)pcre2_get_error_message(err, message, sizeof(message));
		return wrong(why, "padding pattern \"%.*s\": %s at offset %zu",
		    (int)MIN_OF(len, 80), text, (const char *)message, at);
	}
	*out = p;
	return 0;
}

static int
patterns_read(struct padding *p, const char *text, char why[SETTINGS_WHY_SIZE])
{
	struct pattern **last = &p->first;
	struct padding_min min;
	const char *end;
	size_t len;
	int err;

	for (;; text = end + 1) {
		end = scan_group(text, &len, &min);
		if (end == NULL)
			return wrong(why,
			    "padding pattern not match the value %.120s: it "
			    "is REGEX,MIN_HEADER,MIN_MESSAGE",
			    text);
		err = pattern_new(text, len, &min, last, why);
		if (err != 0)
			return err;
		p->max = MAX_OF(p->max, MAX_OF(min.header, min.message));
		last = &(*last)->next;
		if (*end == '\0')
			return 0;
	}
}

static int
limits_new(struct padding *p)
{
	p->limits = pcre2_match_context_create(NULL);
	p->match = pcre2_match_data_create(1, NULL);
	p->made = calloc(1, sizeof(*p->made));
	if (p->limits == NULL || p->match == NULL || p->made == NULL)
		return ERR_NOMEM;
	(void)pcre2_set_match_limit(p->limits, MATCH_STEPS_MAX);
	(void)pcre2_set_depth_limit(p->limits, MATCH_DEPTH_MAX);
	(void)pcre2_set_heap_limit(p->limits, MATCH_HEAP_KIB);
	return 0;
}

int
padding_new(const char *text, struct padding **out, char why[SETTINGS_WHY_SIZE])
{
	struct padding *p;
	int err;

	*out = NULL;
	if (*text == '\0')
		return 0;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return ERR_NOMEM;
	err = limits_new(p);
	if (err == 0)
		err = patterns_read(p, text, why);
	if (err != 0)
		padding_free(&p);
	*out = p;
	return err;
}

void
padding_free(struct padding **pp)
{
	struct padding *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	while (p->first != NULL) {
		struct pattern *gone = p->first;

		p->first = gone->next;
		pcre2_code_free(gone->code);
		free(gone);
	}
	pcre2_match_context_free(p->limits);
	pcre2_match_data_free(p->match);
	if (p->made != NULL)
		payload_unref(&p->made->payload);
	free(p->made);
	free(p);
}

struct padding_min
padding_find(const struct padding *p, struct slice agent)
{
	size_t len = MIN_OF(agent.len, AGENT_MAX);

	if (p == NULL || len == 0)
		return (struct padding_min){ 0, 0 };
	for (const struct pattern *at = p->first; at != NULL; at = at->next) {
		/* 0: it matched, and had more groups than we have room for. */
		if (pcre2_match(at->code, (PCRE2_SPTR)agent.ptr, len, 0, 0,
			p->match, p->limits) >= 0)
			return at->min;
	}
	return (struct padding_min){ 0, 0 };
}

/* Steps of 100, but the last one is the largest minimum itself. */
static size_t
padding_len(const struct padding *p, size_t missing)
{
	size_t step = missing / STEP;

	return step < p->max / STEP ? (step + 1) * STEP : p->max;
}

/* A line break at the end at least, so that parsers of lines are done with
 * it. */
static void
padding_fill(char *to, size_t len, enum framing framing, enum compat compat)
{
	if (compat == COMPAT_0_3_4) {
		memset(to, ' ', len);
		if (len > 1)
			to[len - 2] = '\r';
		to[len - 1] = '\n';
	} else if (framing == FRAMING_EVENTSOURCE) {
		memset(to, ':', len);
		to[len - 1] = '\n';
	} else {
		for (size_t i = 0; i < len; i++)
			to[i] = (len - i) % 2 == 0 ? '\r' : '\n';
	}
}

struct payload *
padding_make(const struct padding *p, enum framing framing, enum compat compat,
    size_t len, uint32_t min)
{
	struct made *last;
	char *fill;

	if (p == NULL || len >= min || framing == FRAMING_WEBSOCKET)
		return NULL;
	len = padding_len(p, min - len);
	last = p->made;
	if (last->payload != NULL && last->payload->len == len &&
	    last->framing == framing && last->compat == compat)
		return payload_ref(last->payload);
	fill = malloc(len);
	if (fill == NULL)
		return NULL;
	padding_fill(fill, len, framing, compat);
	payload_unref(&last->payload);
	last->framing = framing;
	last->compat = compat;
	last->payload = payload_new(fill, len);
	free(fill);
	return last->payload != NULL ? payload_ref(last->payload) : NULL;
}
