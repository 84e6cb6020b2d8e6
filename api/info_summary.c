/*
 * api/info_summary.c - the whole in figures, in the order and with the blanks
 * of the module (push-stream.md section 14.5).
 *
 * There is no trash here: what is collected is gone, so its counters are 0.
 * The list of workers has one entry, the daemon.
 */
#include "api/info_priv.h"

#include <inttypes.h>

struct figure {
	const char *name;
	uint64_t value;
	enum compat since;
};

#define FIGURES 9

static void
figures_take(struct figure out[FIGURES], const struct info_whole *w)
{
	const struct info_totals *t = &w->totals;
	const struct figure all[FIGURES] = {
		{ "channels", t->channels, COMPAT_0_3_4 },
		{ info_wildcard_name(t->broadcast), t->wildcard_channels,
		    COMPAT_0_3_4 },
		{ "published_messages", w->published_messages, COMPAT_0_3_4 },
		{ "stored_messages", w->stored_messages, COMPAT_0_4_0 },
		{ "messages_in_trash", 0, COMPAT_0_4_0 },
		{ "channels_in_delete", w->channels_in_delete, COMPAT_0_6_0 },
		{ "channels_in_trash", 0, COMPAT_0_4_0 },
		{ "subscribers", w->subscribers, COMPAT_0_3_4 },
		{ "uptime", t->uptime_s, COMPAT_0_3_4 },
	};

	memcpy(out, all, sizeof(all));
}

static void
put_json(struct reply *r, const struct figure *all, enum compat compat,
    const struct info_whole *w, const char *time_text)
{
	const char *q = compat < COMPAT_0_6_0 ? "\"" : "";

	info_put(r, "{\"hostname\": \"%s\", \"time\": \"%s\", ",
	    w->totals.hostname, time_text);
	for (size_t i = 0; i < FIGURES; i++) {
		if (all[i].since <= compat)
			info_put(r, "\"%s\": %s%" PRIu64 "%s, ", all[i].name, q,
			    all[i].value, q);
	}
	info_put(r,
	    "\"by_worker\": [\r\n{\"pid\": \"%" PRId64
	    "\", \"subscribers\": %s%" PRIu64 "%s, \"uptime\": %s%" PRIu64
	    "%s}\r\n]}\r\n",
	    w->pid, q, w->subscribers, q, q, w->totals.uptime_s, q);
}

static void
put_xml(struct reply *r, const struct figure *all, enum compat compat,
    const struct info_whole *w, const char *time_text)
{
	info_put(r,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n<infos>\r\n"
	    "  <hostname>%s</hostname>\r\n  <time>%s</time>\r\n",
	    w->totals.hostname, time_text);
	for (size_t i = 0; i < FIGURES; i++) {
		if (all[i].since <= compat)
			info_put(r, "  <%s>%" PRIu64 "</%s>\r\n", all[i].name,
			    all[i].value, all[i].name);
	}
	info_put(r,
	    "  <by_worker><worker>\r\n  <pid>%" PRId64 "</pid>\r\n"
	    "  <subscribers>%" PRIu64 "</subscribers>\r\n"
	    "  <uptime>%" PRIu64 "</uptime>\r\n</worker>\r\n"
	    "</by_worker>\r\n</infos>\r\n",
	    w->pid, w->subscribers, w->totals.uptime_s);
}

/* Plain text, and with two blanks more and a dash it is YAML. */
static void
put_text(struct reply *r, const struct figure *all, enum compat compat,
    const struct info_whole *w, const char *time_text, bool yaml)
{
	const char *in = yaml ? "  " : "";

	info_put(r, "%shostname: %s\r\n%stime: %s\r\n", in, w->totals.hostname,
	    in, time_text);
	for (size_t i = 0; i < FIGURES; i++) {
		if (all[i].since <= compat)
			info_put(r, "%s%s: %" PRIu64 "\r\n", in, all[i].name,
			    all[i].value);
	}
	info_put(r,
	    "%sby_worker:\r\n%s%s  pid: %" PRId64 "\r\n"
	    "%s  subscribers: %" PRIu64 "\r\n%s  uptime: %" PRIu64 "\r\n",
	    in, yaml ? "   -\r\n" : "", in, w->pid, in, w->subscribers, in,
	    w->totals.uptime_s);
}

void
info_summary(struct reply *r, enum info_format f, enum compat compat,
    const struct info_whole *w)
{
	struct figure all[FIGURES];
	char time_text[INFO_TIME_SIZE];

	figures_take(all, w);
	info_time(w->totals.now_s, time_text);
	switch (f) {
	case INFO_JSON:
	case INFO_X_JSON:
		put_json(r, all, compat, w, time_text);
		break;
	case INFO_XML:
		put_xml(r, all, compat, w, time_text);
		break;
	case INFO_PLAIN:
	case INFO_YAML:
	case INFO_X_YAML:
		put_text(r, all, compat, w, time_text, f != INFO_PLAIN);
		break;
	}
}
