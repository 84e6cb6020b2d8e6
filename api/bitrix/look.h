/*
 * api/bitrix/look.h - how messages look to Bitrix's clients, version by version,
 * and what is kept beside a message's text.
 *
 * One piece is one message.  Without websocket: the event's bytes (JSON and RPC
 * pieces are joined to an array by the caller).  With it: a whole frame (of
 * JSON pieces an array of one).
 * Source: bitrix.md sections b.1, b.2, d.2, d.6, f.2.
 */
#ifndef API_BITRIX_LOOK_H
#define API_BITRIX_LOOK_H

#include "base/base.h"
#include "base/buf.h"
#include "base/msg.h"

enum bx_look_kind {
	BX_LOOK_TEXT,	/* #!NGINXNMS!#{...}#!NGINXNME!#, versions 3 and 4 */
	BX_LOOK_BINARY, /* a ResponseBatch, version 4 */
	BX_LOOK_JSON,	/* format=json: the object without its marks */
	BX_LOOK_RPC	/* incoming.message, version 5 */
};

struct bx_look {
	enum bx_look_kind kind : 8;
	uint8_t version; /* 3, 4 or 5 */
	bool websocket;
};

/*
 * msg_extra(): empty, the message is from the site ("backend"); or
 *   'C', 16 bytes	a client's, by its public id; its text is JSON
 *   'S', 16 bytes	a client's whose text is none: a string stands for it
 *   'J', JSON		version 5, its text is JSON: {"sender":{"type":1,"id":7},
 *			"user_params":{"7":{...}},"dictionary":{...}}, members
 *			only where there is something
 */
#define BX_EXTRA_CLIENT 'C'
#define BX_EXTRA_STRING 'S'
#define BX_EXTRA_JSON 'J'

/* Is it one piece for all, or (user_params) one for each user? */
bool bx_look_by_user(const struct bx_look *l, const struct msg *m);

/* Append one piece.  channel: the name clients know it by (version 3 tells it);
 * user: the reader's number, 0 if none. */
int bx_look_put(struct buf *out, const struct bx_look *l, const struct msg *m,
    struct slice channel, uint64_t cursor, uint64_t user) MUST_CHECK;
/* Keep-alive of a WebSocket, always a frame: a ping, of BX_LOOK_RPC the text
 * "ping". */
int bx_look_put_ping(struct buf *out, const struct bx_look *l) MUST_CHECK;

#endif
