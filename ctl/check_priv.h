/*
 * ctl/check_priv.h - what the trials of `holdfastctl check` share.
 *
 * Owner: check.c, for one run.  Thread: one.
 */
#ifndef CTL_CHECK_PRIV_H
#define CTL_CHECK_PRIV_H

#include "base/clock.h"
#include "ctl/check_advice.h"
#include "ctl/check_http.h"

#define CHECK_URL_SIZE 2048
#define CHECK_ID_SIZE 33
#define CHECK_READER_SIZE (CHECK_ID_SIZE + 1 + 128) /* id.signature */
#define CHECK_DETAIL_SIZE 256
/* How long an answer may take that nothing delays. */
#define CHECK_ANSWER_MS 5000

/* In the order of the table. */
enum trial {
	TRIAL_PUBLISH,
	TRIAL_STORED,
	TRIAL_POSITION,
	TRIAL_REPLAY,
	TRIAL_KEEPALIVE,
	TRIAL_COMPRESSION,
	TRIAL_FIELDS,
	TRIAL_CLOCKS,
	TRIAL_LONG_POLL,
	TRIAL_ABORT,
	TRIAL_STREAM,
	TRIAL_WEBSOCKET,
	TRIAL_POLL_END,
	TRIAL_N
};

enum verdict {
	NOT_TRIED,
	OK,
	NOT_OK,
	LIMIT /* not ok, and not to be had of this front */
};

struct outcome {
	enum verdict verdict;
	enum advice advice;
	enum front front;
	char detail[CHECK_DETAIL_SIZE];
};

/* As the front gave it: Last-Modified and Etag, or a mid; what is not used is
 * "". */
struct position {
	char time[64], tag[64], mid[64];
};

/* A channel of our own, and what it holds. */
struct channel {
	char id[CHECK_ID_SIZE];
	char reader[CHECK_READER_SIZE]; /* the same, signed if there is a key */
	unsigned messages;		/* published so far: 1 to n */
	struct position last; /* of the last answer, or before all messages */
	unsigned seen;	      /* how many had been published by then */
};

struct check {
	const char *subscribe, *publish, *stream, *websocket;
	const char *socket_path;
	uint64_t wait_ms; /* for the end of a poll */
	bool insecure;
	bool by_mid;	      /* positions are those of Bitrix's own servers */
	const char *key_file; /* NULL: ids are not signed */

	struct http *http;
	bool position_fields; /* beside the arguments */
	enum front front;     /* the last that answered */
	bool read;	      /* readers get answers */
	bool busy;	      /* it answers nobody any more */
	uint64_t publish_ms;  /* what the last publish took */
	struct channel channel;
	struct channel quiet;	 /* of the poll that nobody answers */
	struct exchange patient; /* that poll */
	struct outcome outcomes[TRIAL_N];
};

/* --- check_trial.c: what trials are made of ---------------------------- */

void say_ok(struct check *c, enum trial t, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void say_not_tried(struct check *c, enum trial t, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void say_not_ok(struct check *c, enum trial t, enum advice a, const char *fmt,
    ...) PRINTF_LIKE(4, 5);
bool is_ok(const struct check *c, enum trial t);

/* URL with the channel's id in its place, and a position's arguments. */
void check_url(char out[CHECK_URL_SIZE], const char *url, const char *id,
    const struct position *at);
enum read_as {
	READ_PLAIN,
	READ_COMPRESSED, /* if the front likes */
	READ_ALONE	 /* on a connection of its own */
};
/* A reader's request; at NULL: from now on. */
void begin_read(struct check *c, struct exchange *x, const char *url,
    const struct channel *ch, const struct position *at, enum read_as as);
/* The next message; false: said under t, and not published. */
bool publish(struct check *c, struct channel *ch, enum trial t);
/* The n-th message as it stands in an answer. */
#define TEXT_SIZE 64
void message_text(char out[TEXT_SIZE], const struct channel *ch, unsigned n);

/* --- check_answer.c: what is an answer, and why it is not -------------- */

/* Who answers, if it says so. */
void look_at_server(struct check *c, const struct exchange *x);
/* Is it a whole answer with this status?  Otherwise what it is is said. */
bool answered(struct check *c, struct exchange *x, enum trial t, int status);
/* Did it bring the messages from..to, each once and in order, and no other of
 * the channel?  Otherwise what it brought is said, with this advice. */
bool brought(struct check *c, const struct exchange *x, enum trial t,
    const struct channel *ch, unsigned from, unsigned to, enum advice a);
/* Is it somebody who wants TLS? */
bool wants_tls(int status, const struct buf *body);
enum advice advice_for_fault(enum http_fault fault);
/* Does the front answer nobody any more?  Asked with a request that waits for
 * nothing; kept in c->busy, which ends the run. */
bool is_busy(struct check *c);

/* --- check_trial.c again: readers and positions ------------------------ */

/* Reads what came after the channel's last position and requires an answer that
 * brought it; *x is the caller's to end. */
bool read_news(struct check *c, struct exchange *x, enum trial t,
    const struct channel *ch);

struct position position_of(const struct check *c, const struct exchange *x);
void keep_position(
    const struct check *c, struct channel *ch, const struct exchange *x);
bool has_position(const struct position *p);
int64_t position_time(const struct position *p); /* unix seconds, or -1 */

/* --- check_count.c ----------------------------------------------------- */

/* Readers of the channel as the publisher tells, else all parked ones as the
 * daemon tells; -1: neither does. */
int64_t readers(struct check *c, const struct channel *ch);
/* Until there are more than before, or no more; at most so long.  false: it did
 * not come to that. */
bool wait_readers(struct check *c, const struct channel *ch, int64_t before,
    bool more, uint64_t ms);

/* --- the trials -------------------------------------------------------- */

void try_publish(struct check *c); /* check_read.c: what is stored */
void try_stored(struct check *c);  /* and position */
void try_replay(struct check *c);  /* and keep-alive */
void try_compression(
    struct check *c, const struct channel *all); /* and other fields */
void try_clocks(struct check *c);

void begin_poll_end(struct check *c); /* check_wait.c: what waits */
void try_poll_end(struct check *c);
void try_long_poll(struct check *c);
void try_abort(struct check *c);
void try_stream(struct check *c);

void try_websocket(struct check *c); /* check_ws.c */

void remove_channels(struct check *c);

/* check_sign.c: ch->reader, by the first key of the file.  ERR_*: no such file,
 * and that was said. */
int sign_channel(struct channel *ch, const char *key_file) MUST_CHECK;

#endif
