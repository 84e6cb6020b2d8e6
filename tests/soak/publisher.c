/* tests/soak/publisher.c - so many publishes a second, and how long each took.
 *
 * They are due at even intervals, whatever the answers do, and a latency is
 * counted from when its publish was due: a stall costs all that fell into it.
 * Only what could not even begin within a second is left out, and counted as
 * late: else a machine that was busy for a while would show for ever.
 *
 * A message of an even window lives for three windows, one of an odd window
 * for two.  So all of them expire in odd windows: those collect at twice the
 * rate of publishing while the even ones have nothing to collect, and the
 * difference between their latencies is what collecting costs.
 */
#include "tests/soak/crowd.h"

#include <err.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LATE_NS SECOND_NS
#define BODY_MIN 50
#define BODY_SPAN 400
#define NUMBER_LEN 10  /* a text begins with its number */
#define WARM_WINDOWS 4 /* until what was first published has expired */
#define BUCKETS 1280   /* up to 18 minutes */

/* The beginning of a window belongs to neither: the last of what expired
 * before may still be under way. */
#define GUARD(c) ((c)->window_ns / 8)

/* How many answers took how long; a bucket is 1/32 of an octave wide. */
struct latencies {
	uint64_t n;
	uint64_t max_ns;
	uint64_t buckets[BUCKETS];
};

static struct latencies this_window, pooled[2];

static void
latency_add(struct latencies *l, uint64_t ns)
{
	int bucket = (int)(32 * log2((double)(ns | 1)));

	l->n++;
	l->max_ns = ns > l->max_ns ? ns : l->max_ns;
	l->buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

static double
latency_us(const struct latencies *l, double share)
{
	uint64_t want = (uint64_t)(share * (double)l->n), seen = 0;
	int i = 0;

	while (i < BUCKETS - 1 && (seen += l->buckets[i]) <= want)
		i++;
	return l->n == 0 ? 0 : exp2((i + 1) / 32.0) / 1e3;
}

static void
latency_print(const char *prefix, const struct latencies *l)
{
	printf(" %spublishes %llu %sp50_us %.0f %sp99_us %.0f %smax_us %.0f",
	    prefix, (unsigned long long)l->n, prefix, latency_us(l, 0.5),
	    prefix, latency_us(l, 0.99), prefix, (double)l->max_ns / 1e3);
}

static void
window_end(struct crowd *c)
{
	struct latencies *all = &pooled[window_collects(c->window)];

	printf("window %llu began_s %.3f", (unsigned long long)c->window,
	    (double)(c->begin_ns + c->window * c->window_ns) / 1e9);
	latency_print("", &this_window);
	printf("\n");
	if (c->window >= WARM_WINDOWS) {
		for (int i = 0; i < BUCKETS; i++)
			all->buckets[i] += this_window.buckets[i];
		all->n += this_window.n;
		if (this_window.max_ns > all->max_ns)
			all->max_ns = this_window.max_ns;
	}
	memset(&this_window, 0, sizeof(this_window));
}

void
windows_tick(struct crowd *c)
{
	uint64_t window = (c->now_ns - c->begin_ns) / c->window_ns;

	while (c->window < window) {
		window_end(c);
		c->window++;
	}
}

void
windows_total(void)
{
	latency_print("quiet_", &pooled[0]);
	latency_print("collecting_", &pooled[1]);
}

size_t
publish_text(struct crowd *c, char out[static REQUEST_CAP], const char *channel,
    uint32_t number)
{
	char expiry[40] = "";
	size_t len = BODY_MIN + crowd_random(c, BODY_SPAN), n;

	if (window_collects(c->window))
		snprintf(expiry, sizeof(expiry), "Message-Expiry: %llu\r\n",
		    (unsigned long long)(2 * c->window_ns / SECOND_NS));
	n = (size_t)snprintf(out, REQUEST_CAP,
	    "POST /pub/?CHANNEL_ID=%s HTTP/1.1\r\nHost: soak\r\n"
	    "Content-Length: %zu\r\n%s\r\n%0*u",
	    channel, len, expiry, NUMBER_LEN, number);
	memset(out + n, '.', len - NUMBER_LEN);
	return n + len - NUMBER_LEN;
}

static void
publisher_readable(struct crowd *c, struct peer *peer)
{
	struct publisher *p = (struct publisher *)peer;
	uint64_t due = p->due_ns - c->begin_ns;
	int done = peer_read(c, peer);

	if (done == 0 || p->channel == NULL)
		return;
	p->channel->busy = false;
	p->channel = NULL;
	if (done < 0)
		return;
	if (peer->http.status != 200) {
		peer_refused(c, peer, "a publish");
		return;
	}
	c->n.published++;
	if (due / c->window_ns == c->window && due % c->window_ns > GUARD(c))
		latency_add(&this_window, now_ns() - p->due_ns);
}

void
publishers_make(struct crowd *c)
{
	c->publishers = calloc(c->npublishers, sizeof(*c->publishers));
	if (c->publishers == NULL)
		err(1, "publishers");
	for (size_t i = 0; i < c->npublishers; i++)
		c->publishers[i].peer =
		    (struct peer){ .fd = -1, .readable = publisher_readable };
}

static struct publisher *
publisher_free(struct crowd *c)
{
	for (size_t i = 0; i < c->npublishers; i++) {
		if (c->publishers[i].channel == NULL)
			return &c->publishers[i];
	}
	return NULL;
}

/* One whose last message is acknowledged: the next one's number then says
 * where it stands. */
static struct channel *
channel_free(struct crowd *c)
{
	size_t i = crowd_random(c, c->nchannels);

	while (c->channels[i].busy)
		i = (i + 1) % c->nchannels;
	return &c->channels[i];
}

static void
publisher_ask(struct crowd *c, struct publisher *p, uint64_t due_ns)
{
	char text[REQUEST_CAP];
	size_t n;

	p->channel = channel_free(c);
	p->channel->busy = true;
	p->due_ns = due_ns;
	n = publish_text(c, text, p->channel->name, ++p->channel->sent);
	peer_ask(c, &p->peer, false, text, n);
}

void
publishers_tick(struct crowd *c)
{
	double ns = 1e9 / c->rate;
	struct publisher *p;
	uint64_t due;

	for (;; c->started++) {
		due = c->begin_ns + (uint64_t)((double)c->started * ns);
		if (due > c->now_ns)
			return;
		if (c->now_ns - due > LATE_NS) {
			c->n.late++;
			continue;
		}
		p = publisher_free(c);
		if (p == NULL)
			return;
		publisher_ask(c, p, due);
	}
}

size_t
publishers_busy(const struct crowd *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->npublishers; i++)
		n += c->publishers[i].channel != NULL;
	return n;
}
