/* tests/soak/crowd.h - publishers and readers of a long run, in one program.
 *
 * One thread, epoll, through the front.  All that is published is known here,
 * so each reader's chain of messages is checked as it comes: of a channel the
 * next number follows the last, whatever the reader has been through.
 * Errors of set-up end the program with a message.
 */
#ifndef SOAK_CROWD_H
#define SOAK_CROWD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/bench.h"
#include "tests/soak/http.h"

#define NAME_LEN 32
#define READER_CHANNELS 2
#define REQUEST_CAP 1024
#define SECOND_NS 1000000000ULL

struct crowd;
struct peer;

/* Something came on a peer's connection, or its end. */
typedef void peer_readable_f(struct crowd *c, struct peer *p);

struct peer {
	peer_readable_f *readable;
	int fd;	      /* -1 = not connected */
	bool waiting; /* an answer is due */
	struct http http;
};

struct channel {
	char name[NAME_LEN + 1];
	uint32_t sent; /* number of the newest message */
	bool busy;     /* that one is on its way */
};

enum reader_kind {
	POLL,
	EVENTSOURCE,
	WEBSOCKET,
	READER_KINDS
};

struct reader {
	struct peer peer; /* first */
	enum reader_kind kind;
	uint64_t back_ns; /* when not connected: it comes back then */
	size_t n;
	struct channel *channels[READER_CHANNELS];
	uint32_t last[READER_CHANNELS];
	char time[HTTP_FIELD_CAP], tag[HTTP_FIELD_CAP];
};

struct publisher {
	struct peer peer;	 /* first */
	struct channel *channel; /* of the publish on its way */
	uint64_t due_ns;	 /* when that was to begin */
};

/* What was counted; printed by crowd.c in this order. */
struct counts {
	uint64_t published, received, polls, timeouts;
	uint64_t left, returned;  /* readers */
	uint64_t lives, deleted;  /* channels made, and their end */
	uint64_t ended, torn;	  /* streams, by the server; improperly */
	uint64_t late;		  /* publishes that were not begun */
	uint64_t broken, refused; /* connections and answers */
	uint64_t lost, doubled, strange; /* messages */
};

struct crowd {
	const char *address;
	int ep;
	uint64_t seed, now_ns, begin_ns;
	size_t nchannels, nreaders, npublishers;
	struct channel *channels;
	struct reader *readers;
	struct publisher *publishers;
	double rate, lives_rate, leave_rate;
	uint64_t started, lives_started, left_due;
	uint64_t window_ns, window;
	bool stopping; /* nothing is published any more */
	struct counts n;
};

/* Windows take turns.  What is published in a quiet one, or in one that
 * collects, expires in such that collect only (crowd.c tells how). */
static inline bool
window_collects(uint64_t window)
{
	return window % 2 != 0;
}

/* peer.c */
void peer_open(struct crowd *c, struct peer *p);
void peer_close(struct peer *p);
/* Send a request; a kept connection that the front has closed since is made
 * anew. */
void peer_ask(struct crowd *c, struct peer *p, bool endless, const char *text,
    size_t len);
/* Read what came: 1 an answer is whole, 0 not yet, -1 it broke (counted). */
int peer_read(struct crowd *c, struct peer *p);
/* An answer that is not what it should be: counted and told. */
void peer_refused(struct crowd *c, const struct peer *p, const char *who);
uint64_t crowd_random(struct crowd *c, uint64_t below);
void channel_name(char out[static NAME_LEN + 1], uint64_t seed, uint64_t i);

/* The next message in [p, end): its parts point into it.  NULL: none whole. */
struct message {
	const char *channel, *tag, *time, *text;
	size_t tag_len, time_len;
};
const char *message_next(const char *p, const char *end, struct message *m);

/* reader.c */
void readers_make(struct crowd *c, const size_t kinds[READER_KINDS]);
/* Some go, as many as are due; and those come whose time it is. */
void readers_leave(struct crowd *c);
void readers_return(struct crowd *c);
size_t readers_behind(const struct crowd *c);

/* publisher.c */
void publishers_make(struct crowd *c);
void publishers_tick(struct crowd *c);
size_t publishers_busy(const struct crowd *c);
/* A whole request; its message's life is that of the window. */
size_t publish_text(struct crowd *c, char out[static REQUEST_CAP],
    const char *channel, uint32_t number);
/* Print what the windows that are over have shown; at the end, all. */
void windows_tick(struct crowd *c);
void windows_total(void);

/* life.c: channels that come and go. */
void lives_tick(struct crowd *c);
size_t lives_busy(void);
#endif
