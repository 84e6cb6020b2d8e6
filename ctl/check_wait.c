/*
 * ctl/check_wait.c - trials with readers that wait: polls and streams.
 */
#include "ctl/check_priv.h"

#include <stdio.h>

/* How long what should be passed on at once may take. */
#define LIVE_MS 3000
/* And to be seen to have left: shorter than any poll. */
#define LEAVE_MS 1500
/* How long a reader gets until it is counted. */
#define PARK_MS 2000
/* A poll that ends earlier has not waited. */
#define POLL_LEAST_MS 900
/* What is left for after the poll's end. */
#define AFTERWARDS_MS 4000

static unsigned long long
ms_since(uint64_t began_ms)
{
	return clock_mono_ms() - began_ms;
}

/* A request without conditions got its 304 from nobody but the daemon. */
static enum advice
advice_at_once(const struct check *c, const struct exchange *x)
{
	return x->status == 304 && c->position_fields ? ADVICE_CONDITION
						      : ADVICE_LONG_POLL;
}

/* A poll from the channel's last position, and the daemon has it; false: it
 * was answered, or it did not arrive, and that is said. */
static bool
begin_poll(struct check *c, struct exchange *x, enum trial t, int64_t before)
{
	begin_read(
	    c, x, c->subscribe, &c->channel, &c->channel.last, READ_ALONE);
	if (before < 0)
		http_pause(c->http, PARK_MS / 4);
	else if (!wait_readers(c, &c->channel, before, true, PARK_MS) &&
	    !x->done) {
		say_not_ok(c, t, is_busy(c) ? ADVICE_BUSY : ADVICE_DAEMON,
		    "the daemon does not know of the reader");
		return false;
	}
	if (!x->done)
		return true;
	if (!x->failed && (x->status == 200 || x->status == 304))
		say_not_ok(c, t, advice_at_once(c, x),
		    "%d at once, with nothing new", x->status);
	else
		(void)answered(c, x, t, 200);
	return false;
}

/* --- the poll that gets its message ------------------------------------ */

/* One that waits gets the message, and its position leads to the next. */
void
try_long_poll(struct check *c)
{
	struct channel *ch = &c->channel;
	uint64_t began_ms, took_ms;
	struct exchange x;
	bool ok;

	ok = begin_poll(c, &x, TRIAL_LONG_POLL, readers(c, ch));
	began_ms = clock_mono_ms();
	ok = ok && publish(c, ch, TRIAL_LONG_POLL) &&
	    answered(c, &x, TRIAL_LONG_POLL, 200) &&
	    brought(c, &x, TRIAL_LONG_POLL, ch, ch->messages, ch->messages,
		ADVICE_POSITION);
	took_ms = x.ended_ms - began_ms;
	if (ok)
		keep_position(c, ch, &x);
	http_end(&x);
	if (!ok || !publish(c, ch, TRIAL_LONG_POLL))
		return;
	if (read_news(c, &x, TRIAL_LONG_POLL, ch)) {
		say_ok(c, TRIAL_LONG_POLL, "answered %llu ms after the publish",
		    (unsigned long long)took_ms);
		keep_position(c, ch, &x);
	}
	http_end(&x);
}

/* --- the poll whose client leaves -------------------------------------- */

void
try_abort(struct check *c)
{
	struct channel *ch = &c->channel;
	int64_t before = readers(c, ch);
	uint64_t began_ms;
	struct exchange x;
	bool parked;

	if (before < 0) {
		say_not_tried(c, TRIAL_ABORT,
		    "neither the publisher nor the daemon counts readers");
		return;
	}
	parked = begin_poll(c, &x, TRIAL_ABORT, before);
	http_end(&x);
	if (!parked)
		return;
	began_ms = clock_mono_ms();
	if (wait_readers(c, ch, before, false, LEAVE_MS))
		say_ok(c, TRIAL_ABORT, "the daemon knew after %llu ms",
		    ms_since(began_ms));
	else
		say_not_ok(c, TRIAL_ABORT, ADVICE_ABORT,
		    "%d ms later the daemon still waits for the client",
		    LEAVE_MS);
}

/* --- the poll that nobody answers -------------------------------------- */

/* It waits while everything else is tried. */
void
begin_poll_end(struct check *c)
{
	struct channel *ch = &c->quiet;
	struct exchange x;
	bool ok;

	if (!publish(c, ch, TRIAL_POLL_END))
		return;
	ok = read_news(c, &x, TRIAL_POLL_END, ch);
	keep_position(c, ch, &x);
	http_end(&x);
	if (ok)
		begin_read(
		    c, &c->patient, c->subscribe, ch, &ch->last, READ_PLAIN);
}

/* Is it the end that the daemon gives a poll? */
static bool
ended_well(struct check *c, struct exchange *x)
{
	unsigned long long after_ms = x->ended_ms - x->began_ms;
	bool empty = !x->failed && (x->status == 200 || x->status == 304);

	if (empty && after_ms >= POLL_LEAST_MS)
		return brought(
		    c, x, TRIAL_POLL_END, &c->quiet, 1, 0, ADVICE_POSITION);
	if (empty)
		say_not_ok(c, TRIAL_POLL_END, advice_at_once(c, x),
		    "%d after %llu ms", x->status, after_ms);
	else if (x->status != 0 && !x->failed)
		say_not_ok(c, TRIAL_POLL_END, ADVICE_READ_TIMEOUT,
		    "%d after %.1f s", x->status, (double)after_ms / 1000);
	else
		say_not_ok(c, TRIAL_POLL_END, ADVICE_READ_TIMEOUT,
		    "cut off after %.1f s: %s", (double)after_ms / 1000,
		    x->error);
	return false;
}

/* What is published now comes to who asks from there. */
static void
go_on_from(struct check *c, struct exchange *ended)
{
	double after_s = (double)(ended->ended_ms - ended->began_ms) / 1000;
	struct channel *ch = &c->quiet;
	struct exchange x;

	keep_position(c, ch, ended);
	if (!has_position(&ch->last)) {
		say_not_ok(c, TRIAL_POLL_END, ADVICE_POSITION,
		    "%d after %.1f s without a position: \"%s%s\", \"%s\"",
		    ended->status, after_s, ch->last.mid, ch->last.time,
		    ch->last.tag);
		return;
	}
	if (!publish(c, ch, TRIAL_POLL_END))
		return;
	if (read_news(c, &x, TRIAL_POLL_END, ch))
		say_ok(c, TRIAL_POLL_END, "%d after %.1f s, with a position",
		    ended->status, after_s);
	http_end(&x);
}

/* How long it may still take. */
static uint64_t
patience_ms(const struct check *c)
{
	uint64_t waited_ms = ms_since(c->patient.began_ms);
	uint64_t left_ms = http_left_ms(c->http);

	if (waited_ms >= c->wait_ms || left_ms <= AFTERWARDS_MS)
		return 0;
	return MIN_OF(c->wait_ms - waited_ms, left_ms - AFTERWARDS_MS);
}

void
try_poll_end(struct check *c)
{
	struct exchange *x = &c->patient;

	if (x->http == NULL) /* what came before it has failed */
		return;
	if (!http_wait(x, patience_ms(c)))
		say_not_tried(c, TRIAL_POLL_END, "no end within %.0f s",
		    (double)ms_since(x->began_ms) / 1000);
	else if (ended_well(c, x))
		go_on_from(c, x);
}

/* --- streams ----------------------------------------------------------- */

/* Published now, and soon there; false: it is not, and that is said. */
static bool
passes_at_once(struct check *c, struct exchange *x, uint64_t *took_ms)
{
	struct channel *ch = &c->channel;
	uint64_t began_ms = clock_mono_ms();
	char text[TEXT_SIZE];

	if (!publish(c, ch, TRIAL_STREAM))
		return false;
	message_text(text, ch, ch->messages);
	if (http_wait_text(x, text, LIVE_MS)) {
		*took_ms = ms_since(began_ms);
		return true;
	}
	if (x->done)
		say_not_ok(c, TRIAL_STREAM, ADVICE_STREAM,
		    "it ended before the message came");
	else if (x->status == 0 && is_busy(c))
		say_not_ok(
		    c, TRIAL_STREAM, ADVICE_BUSY, "the head does not come");
	else
		say_not_ok(c, TRIAL_STREAM, ADVICE_BUFFERING,
		    "a message is held back for more than %d s",
		    LIVE_MS / 1000);
	return false;
}

static void
say_ended_stream(struct check *c, struct exchange *x)
{
	if (answered(c, x, TRIAL_STREAM, 200))
		say_not_ok(c, TRIAL_STREAM, ADVICE_STREAM, "it ends at once");
}

/* Each message is published when the one before it has come. */
void
try_stream(struct check *c)
{
	const struct channel *ch = &c->channel;
	int64_t before = readers(c, ch);
	uint64_t first_ms, second_ms;
	struct exchange x;

	if (c->stream == NULL) {
		say_not_tried(c, TRIAL_STREAM, "no --stream");
		return;
	}
	begin_read(c, &x, c->stream, ch, NULL, READ_COMPRESSED);
	(void)wait_readers(c, ch, before, true, PARK_MS);
	look_at_server(c, &x);
	if (x.done)
		say_ended_stream(c, &x);
	else if (passes_at_once(c, &x, &first_ms) &&
	    passes_at_once(c, &x, &second_ms))
		say_ok(c, TRIAL_STREAM, "each message came within %llu ms",
		    (unsigned long long)MAX_OF(first_ms, second_ms));
	http_end(&x);
}
