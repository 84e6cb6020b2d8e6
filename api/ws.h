/*
 * api/ws.h - RFC 6455 frames: bytes to messages, and heads of our own.
 *
 * The gateways only tunnel bytes, so one codec serves all of them.  Pure: no
 * descriptors, no settings.  Owner of a reader: the session that embeds it.
 */
#ifndef API_WS_H
#define API_WS_H

#include "base/base.h"
#include "base/buf.h"
#include "base/limit.h"

#define WS_HEAD_MAX 10	   /* of a frame that we send */
#define WS_CONTROL_MAX 125 /* bytes of a control frame's payload */

enum ws_opcode {
	WS_OP_CONTINUATION = 0,
	WS_OP_TEXT = 1,
	WS_OP_BINARY = 2,
	WS_OP_CLOSE = 8,
	WS_OP_PING = 9,
	WS_OP_PONG = 10
};

enum ws_close { /* section 7.4.1 */
	WS_CLOSE_AWAY = 1001,
	WS_CLOSE_PROTOCOL = 1002,
	WS_CLOSE_UNSUPPORTED = 1003,
	WS_CLOSE_NONE = 1005, /* never on the wire: a close without a code */
	WS_CLOSE_BAD_TEXT = 1007,
	WS_CLOSE_POLICY = 1008,
	WS_CLOSE_TOO_BIG = 1009,
	WS_CLOSE_INTERNAL = 1011, /* we have no memory */
	WS_CLOSE_LATER = 1013	  /* others have taken what there is */
};

/* The head of an unmasked frame with FIN; returns its length. */
size_t ws_head(uint8_t out[WS_HEAD_MAX], enum ws_opcode op, uint64_t len);
/* A frame of what is appended between the two calls. */
int ws_frame_begin(struct buf *out, size_t *start) MUST_CHECK;
void ws_frame_end(struct buf *out, size_t start, enum ws_opcode op);

enum ws_event {
	WS_MORE,   /* all bytes used */
	WS_TEXT,   /* a whole message, its fragments joined */
	WS_BINARY, /* likewise */
	WS_PING,
	WS_PONG,
	WS_CLOSE, /* `code` is the peer's, or WS_CLOSE_NONE */
	WS_BAD	  /* `code` is what to close with; read no more */
};

/* Between messages this is all the memory that a reader has. */
struct ws_reader {
	struct buf message; /* of a data message: what came of it */
	uint8_t *control;   /* a control frame's payload; NULL: none */
	struct quota *all;  /* what messages of all have; NULL: not counted */
	uint64_t left;	    /* bytes of this frame still to come */
	uint8_t head[14];   /* of the frame */
	/* One word of small things: there is a reader for each connection. */
	uint16_t head_have : 4;
	uint16_t mask_at : 2;
	uint16_t utf8 : 4;	   /* of the text so far; 0: whole */
	uint16_t require_mask : 1; /* else unmasked frames are taken, too */
	uint16_t in_message : 1;   /* it began, and is not whole yet */
	uint16_t binary : 1;	   /* what the message is */
};

/* max_message: bytes of one message, its fragments together. */
void ws_reader_init(struct ws_reader *r, size_t max_message, bool require_mask);
void ws_reader_release(struct ws_reader *r);
/* Nothing came of a frame or message that is not whole: a new reader would do
 * as well. */
bool ws_reader_idle(const struct ws_reader *r);

/*
 * Takes what it uses off the front of *in, however it is split.  *data is the
 * message's or control frame's payload (a close frame's begins with its code),
 * valid until the next call.
 */
enum ws_event ws_read(
    struct ws_reader *r, struct slice *in, struct slice *data, uint16_t *code);

#endif
