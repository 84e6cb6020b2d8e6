/* tests/fault/hammer.h - what the parts of the hammer share: the record, the
 * connections, and what is said on them.
 */
#ifndef FAULT_HAMMER_H
#define FAULT_HAMMER_H
#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CHANNELS 5
#define TEXT_MAX 20000
#define REQUEST_MAX (TEXT_MAX + 2048)

enum entry_type {
	ENTRY_SENT = 1,
	ENTRY_ANSWERED,
	ENTRY_READER,
	ENTRY_MESSAGE, /* of the ENTRY_READ that follows */
	ENTRY_READ
};

enum kind {
	KIND_KEPT,
	KIND_SHORT,
	KIND_LIVE
};

/* Of the record; only this machine reads it. */
struct entry {
	uint8_t type;
	uint8_t kind;		/* SENT: enum kind; MESSAGE: the channel */
	uint16_t channels;	/* SENT, READER: bits */
	uint32_t who;		/* the text, or the reader */
	uint64_t at_ns;		/* monotonic; READ: when it was asked */
	uint64_t got_ns;	/* READ */
	uint64_t cursor;	/* READ, MESSAGE */
	int64_t wall_s;		/* READ: when it was answered */
	uint32_t ids[CHANNELS]; /* ANSWERED; MESSAGE: ids[0] and the text */
	uint32_t pad;
};

struct conn {
	int fd; /* -1: none */
	uint32_t number;
	bool reader, waiting;
	bool stream, headed; /* reader: it has a stream, and its head */
	bool last, done;     /* reader: it asks, or asked, when all was there */
	uint64_t sent_ns;
	size_t have, room; /* of `in` */
	size_t text_len;   /* of a stream: text, before what is still records */
	char *in;
	uint32_t text;	   /* publisher: what is on its way */
	uint32_t channels; /* bits */
	uint64_t cursor;   /* reader: its position */
};

extern struct hammer {
	const char *address;
	uint32_t publishers, readers;
	uint32_t large; /* percent of the texts */
	uint64_t seed;
	FILE *record;
	int ep;
	struct conn *conns;
	bool stopping;
	bool quiet; /* every publish has been answered */
	uint32_t texts, acknowledged;
	uint64_t heard_ns;
} hammer;

/* hammer_ask.c: a request's bytes, by chance or by the reader's position */
struct out {
	size_t len;
	unsigned char bytes[REQUEST_MAX];
};

uint32_t chance(uint32_t n);
enum kind choose_kind(void);
uint32_t choose_channels(void);
void request_publish(struct out *o, struct conn *c, enum kind kind);
void request_poll(struct out *o, const struct conn *c);

/* hammer_hear.c: what came for a connection, up to have */
void record(const struct entry *e);
/* True: the answer was whole, and is in the record. */
bool answer_read(struct conn *c);
void stream_read(struct conn *c);
#endif
