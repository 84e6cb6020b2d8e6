/*
 * api/bitrix/bx_priv.h - shared by the rooms of this folder.
 *
 * Files called bx_* know the api: requests, the hub, what waits.  The others
 * are what they are made of, and know nothing of them; their functions have
 * the file's name before theirs, or bx_ where that name is anybody's (ids,
 * look).  A request goes this way:
 *
 *	bitrix_handle()		its licence and its route; a bx_call
 *	bx_sub_handle()		who reads what, from where: a bx_reader, from
 *				which bx_poll.c or bx_socket.c makes what waits
 *	bx_pub_handle(),	who may publish: a bx_asker, if it speaks
 *	bx_rest_handle()	protobuf (bx_request.c)
 *	bx_api_handle()		the site's JSON-RPC; a client's comes by
 *				bx_rpc_input() from its WebSocket
 *
 * All that publishes ends in bx_publish(), a part of a bx_job; all that is
 * delivered passes bx_piece(), where a message becomes what its reader's
 * bx_look wants.  Everything here is the loop's.  Functions that answer a
 * request say so; a request is answered once.
 */
#ifndef API_BITRIX_BX_PRIV_H
#define API_BITRIX_BX_PRIV_H

#include "api/api_priv.h"
#include "api/bitrix/batch.h"
#include "api/bitrix/bitrix.h"
#include "api/bitrix/ids.h"
#include "api/bitrix/jwt.h"
#include "api/bitrix/look.h"
#include "api/bitrix/mid.h"
#include "api/bitrix/users.h"
#include "base/heap.h"

#define BX_PRESENCE_MS 130000 /* after a poll began or a ping was answered */
#define BX_MESSAGES_MAX 100   /* of one request */
#define BX_LOOK_KINDS 4
#define BX_FIRST_VERSION 3
#define BX_VERSIONS 3	 /* 3, 4, 5 */
#define BX_TYPES_MAX 256 /* kinds of messages that are counted apart */

enum bx_error {
#define BX(name, code, status, text) name = code,
#include "api/bitrix/error.tbl"
#undef BX
};

/* What was asked for since midnight (UTC); serverStats. */
struct bx_daily {
	int64_t day;
	uint64_t incoming, channel_stats, server_stats;
	struct bx_type {
		char name[33];
		uint64_t count;
	} * types;
	uint32_t n_types;
};

/* Owner: the api. */
struct bitrix {
	struct api *api;
	uint64_t sockets, polls; /* now */
	struct heap held;	 /* sockets with messages that wait */
	struct bx_daily daily;
	struct users users;
	/* made when first wanted: version, kind, WebSocket or not */
	struct format *formats[BX_VERSIONS][BX_LOOK_KINDS][2];
	uint32_t status_changes; /* told so far, see bx_rpc_users.c */
	struct bx_answer {	 /* of a poll: the last one of each kind */
		uint64_t channel, cursor;
		struct endpoint *endpoint;
		struct payload *payload;
	} answer[BX_LOOK_KINDS];
	struct jwt jwt; /* scratch */
	struct log_limit unsigned_ids, refused_tokens, nothing_published;
};

/* A request of this dialect, while it is handled. */
struct bx_call {
	struct call *c;
	const struct licence *licence; /* NULL: route stat, which has none */
	uint32_t version;
	struct bx_ids ids; /* scratch */
};

/* --- bitrix.c: answers ------------------------------------------------- */

/* A decoded query argument, in scratch that the next call of this overwrites;
 * len 0: it is not there, or cannot be decoded. */
struct slice bx_arg(const struct call *c, const char *name);
/* The same as it came. */
struct slice bx_arg_raw(const struct call *c, const char *name);

/* Start an answer.  type NULL: text/plain. */
void bx_head(
    const struct call *c, struct reply *r, int status, const char *type);
/* With a body, or without one (len 0). */
void bx_answer(
    const struct call *c, int status, const char *type, struct slice body);
/* "code: text" on HTTP, a close frame once c->websocket is set. */
void bx_refuse(const struct call *c, enum bx_error e);
/* The store or memory said no: count it, and say so in the log. */
void bx_trouble(struct api *a, int err);
/* And answer it. */
void bx_fail(const struct call *c, int err);
const char *bx_error_text(enum bx_error e);
/* Something is refused with e: is it a bound that was met? */
void bx_count(struct api *a, enum bx_error e);
/* A close frame with code and reason. */
struct payload *bx_close(enum bx_error e);

/* The format of a look: b's, for as long as there is an api.  ERR_NOMEM. */
int bx_format(struct bitrix *b, const struct bx_look *look,
    struct format **out) MUST_CHECK;

/* --- bx_publish.c: messages on their way ------------------------------- */

/*
 * What one request publishes.  When all of it is stored, or something failed,
 * `done` is called, once, and the job is freed afterwards; not if bx_job_forget()
 * came first.  Owner: itself, once bx_job_start() was called.
 */
struct bx_job;
typedef void bx_job_done_f(struct bx_job *job, int err);

struct bx_job {
	LIST_ENTRY(bx_job) link; /* of whoever waits; `done` takes it out */
	bx_job_done_f *done;
	void *arg;
	uint32_t left, n, room;
	size_t bytes; /* of the request, if its client owes it (ws_client.h) */
	int err;
	bool started;
	struct payload *answer;	 /* the job's: what `done` may want to send, */
	struct payload *refusal; /* or this, if it failed */
	struct quota *all;	 /* in which both are counted, or NULL */
	struct bx_part {
		struct bx_job *job;
		struct hub_wait wait;
	} parts[];
};

struct bx_job *bx_job_new(uint32_t room, bx_job_done_f *done, void *arg);
/* Nothing more will be added.  True: `done` is still to come; false: all is
 * over, the job is the caller's again. */
bool bx_job_start(struct bx_job *job);
void bx_job_forget(struct bx_job **job);

/* One receiver of a message. */
struct bx_receiver {
	enum bx_space space;
	struct slice id;
};

/* One message. */
struct bx_message {
	struct slice text, extra;
	int64_t ttl_s; /* 0: for those who are there now */
	const struct bx_receiver *to;
	uint32_t n;
};

/* Publish it as a part of the job, with a->channels as scratch.  0, too, if it
 * is for those who are there and nobody is: then there is nothing to do.  Errors as of
 * hub_publish() and hub_open(); the job's other parts go on. */
int bx_publish(struct api *a, const struct licence *l, struct bx_job *job,
    const struct bx_message *m);
/* Seconds, at most push_stream_message_ttl. */
int64_t bx_ttl(const struct api *a, uint64_t asked);

/* Routes pub and rest. */
void bx_pub_handle(struct bx_call *b);
void bx_rest_handle(struct bx_call *b);
/* A client publishes under the public id that it owns; answers when it has shown
 * none. */
struct bx_asker;
bool bx_rest_asker(struct bx_call *b, struct bx_asker *from);

/* --- bx_request.c: a RequestBatch -------------------------------------- */

/* Who sent it. */
struct bx_asker {
	const struct licence *licence;
	const char *pub; /* a client's own public id, 32 bytes; NULL: none */
	bool trusted;	 /* the site itself */
	uint32_t max_connections; /* of its location; serverStats */
};

/*
 * Run it.  0: *job is NULL or waits for bx_job_start(), and a ResponseBatch may
 * stand in out (empty: none).  Else a bx_error (> 0) or an ERR_* (< 0), and
 * nothing was published unless the store refused in the middle.
 */
int bx_request(struct api *a, const struct bx_asker *from, struct slice bytes,
    bx_job_done_f *done, void *arg, struct bx_job **job, struct buf *out);

/* --- bx_stats.c ------------------------------------------------------- */

void bx_stat_handle(struct bx_call *b);
/* Answers with {"infos":[...]}: those of b->ids that are online. */
void bx_infos(const struct bx_call *b);
bool bx_online(const struct api *a, const struct licence *l,
    enum bx_space space, struct slice id);
/* Appends JSON, as this version tells it. */
int bx_server_stats(struct api *a, uint32_t version, uint32_t max_connections,
    struct buf *out) MUST_CHECK;
/* A message of this type was published; anything but a word is "unknown". */
void bx_count_type(struct bitrix *b, struct slice type);
/* Today's counters, to be raised. */
struct bx_daily *bx_today(struct bitrix *b);

/* --- bx_sub.c: what poll and socket begin with ------------------------ */

/* A client that wants to read. */
struct bx_reader {
	struct bx_look look;
	uint32_t n; /* of api->channels */
	bool has_pub;
	char pub[BX_ID_LEN];
	uint64_t user; /* version 5; 0: none */
	uint32_t own;  /* the first so many channels are itself: presence */
	struct sub_position pos;
	uint64_t newest; /* of what its channels keep; 0: nothing */
	int64_t ends_s;	 /* when it would be let in no more: its licence's
			  * or token's end; INT64_MAX: never */
	enum bx_error ends_with; /* and what it would be told */
};

/* Route sub. */
void bx_sub_handle(struct bx_call *b);
/* Refuses it: its licence is not known, or over. */
void bx_sub_unlicensed(struct bx_call *b);
/* A message as this client sees it, with a reference; NULL: no memory. */
struct payload *bx_piece(const struct wait_state *w, const struct delivery *d);
/* When it ends, at the latest: monotonic; UINT64_MAX: never.  now_s is wall
 * time, by which tokens and licences are dated. */
uint64_t bx_end_ms(
    const struct api *a, const struct bx_reader *rd, int64_t now_s);
/* It is there, for BX_PRESENCE_MS. */
void bx_present(struct api *a, const struct sub *s, uint32_t own);

/* --- bx_poll.c, bx_socket.c -------------------------------------------- */

/* _handle: subscribe it, or answer.  _abandon: the front has gone, and the wait
 * is the caller's to free.  _refuse and _end: it is over, and w is freed. */
void bx_poll_handle(struct bx_call *b, const struct bx_reader *rd);
void bx_poll_abandon(struct wait_state *w);
void bx_poll_refuse(struct wait_state *w, enum bx_error e);
extern const struct sub_ops bx_poll_ops;

LIST_HEAD(bx_jobs, bx_job);

/* A WebSocket.  Owner: its wait. */
struct bx_socket {
	struct wait_state *wait;
	struct ws_client client;
	struct bx_jobs jobs;
	struct heap_item due; /* when `held` goes, or the socket if `gone` */
	uint64_t hold_until_ms;
	struct buf held;
	uint32_t n_held;
	struct bx_look look;
	bool has_pub;
	bool gone;	    /* and nothing is sent any more but a close */
	uint8_t unanswered; /* pings */
	uint32_t own;	    /* as of struct bx_reader */
	uint64_t ends_ms;   /* monotonic; UINT64_MAX: never */
	enum bx_error ends_with;
	char pub[BX_ID_LEN];
	struct user_seat seat; /* version 5 */
	char *client_id;       /* of its licence; NULL: personal */
};

void bx_socket_handle(struct bx_call *b, const struct bx_reader *rd);
void bx_socket_abandon(struct wait_state *w);
/* Bytes of its client; it may be over afterwards. */
void bx_socket_input(struct wait_state *w, struct slice bytes);
/* After what is held comes `last` (taken; NULL: nothing), and it is closed. */
void bx_socket_end(struct wait_state *w, struct payload *last);
/* Accept, only to close with this frame (taken; NULL: without one). */
void bx_socket_refuse(const struct call *c, struct payload *last);
/* Those whose time `due` has come. */
void bx_sockets_turn(struct bitrix *b);
/* A part of the answer, with the caller's reference.  NULL: there was no memory
 * for it, so the connection ends, and its client comes back for it. */
void bx_socket_part(struct wait_state *w, struct payload *part);
/* A frame of our own making. */
void bx_socket_send(struct wait_state *w, enum ws_opcode op, struct slice data);
/* The job, which is on its way, is its client's, until `done` calls the second.
 * ERR_NOMEM: it is not. */
int bx_socket_owes(
    struct wait_state *w, struct bx_job *job, size_t bytes) MUST_CHECK;
void bx_socket_paid(struct bx_job *job);
/* Its client has answered a ping. */
void bx_socket_alive(struct wait_state *w);
/* Its licence, if it still has one. */
const struct licence *bx_socket_licence(const struct wait_state *w);
extern const struct sub_ops bx_socket_ops;

/* --- bx_held.c: where bitrix_frame_delay is set ------------------------ */

/* Send them now, or hold them with what waits. */
void bx_held_deliver(struct bx_socket *x, const struct delivery *d, size_t n);
/* What waits, in one frame. */
void bx_held_send(struct bx_socket *x);

/* --- bx_rpc.c, bx_rpc_users.c: version 5 ------------------------------- */

/* Route api. */
void bx_api_handle(struct bx_call *b);
/* Does a client only say what it has got?  It wants no answer. */
bool bx_rpc_is_receipt(struct slice text);
/* A message of a version 5 client; false: the connection has been ended. */
bool bx_rpc_input(struct wait_state *w, struct slice text);
/* Tells the WebSocket that watches; sess: its wait. */
users_tell_f bx_user_changed;

#endif
