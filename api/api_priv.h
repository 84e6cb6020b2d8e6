/* api/api_priv.h - shared by the endpoints of this floor. */
#ifndef API_API_PRIV_H
#define API_API_PRIV_H

#include "api/api.h"
#include "api/bitrix/bitrix.h"
#include "api/endpoint.h"
#include "api/info.h"
#include "api/path.h"
#include "api/reply.h"
#include "api/ws.h"
#include "api/ws_client.h"
#include "base/log.h"
#include "push/hub.h"

/* Which answer: equal keys at one endpoint have equal bytes. */
struct answer_key {
	uint64_t channel; /* number */
	int64_t id;
	uint64_t position;
};

struct listing; /* a list of channels on its way; statistics.c */

struct api {
	struct hub *hub;
	struct clock_log *clock; /* or NULL */
	struct stats *stats;
	struct layout *layout;
	struct endpoints endpoints;
	struct {
		struct answer_key key;
		struct answer *first;
		size_t bytes;
	} answers;		   /* see poll.c */
	struct payload *no_memory; /* made at start, so it is there */
	struct quota *incoming;	   /* the gateway's; NULL: not known yet */
	char hostname[256];
	uint64_t start_ms;
	uint32_t listings;		/* lists on their way */
	TAILQ_HEAD(, listing) resting;	/* those that go on next turn */
	struct ws_busies halves, ready; /* WebSockets; ws_client.c */
	const struct api_control_ops *control;
	void *control_arg;
	struct bitrix *bitrix;
	struct log_limit bad_parameter;
	struct log_limit ignored_parameter;
	struct log_limit store_trouble;

	/* scratch of the request in hand */
	struct buf out;
	struct buf body;
	struct buf value[COMPLEX_N];
	struct path path;
	struct channel *channels[PATH_CHANNELS_MAX];
	uint32_t backtracks[PATH_CHANNELS_MAX];
};

enum wait_kind {
	WAIT_PUBLISH,
	WAIT_DELETE,
	WAIT_POLL,
	WAIT_STREAM,
	WAIT_STATISTICS,
	WAIT_BITRIX_POLL,
	WAIT_BITRIX_SOCKET,
	WAIT_BITRIX_JOB
};

struct websocket; /* websocket.c */

/* A request that was not answered at once: owner api, from request->wait. */
struct wait_state {
	struct api *api;
	struct request *request;
	struct endpoint *endpoint;
	union {
		struct sub *sub;	 /* whoever reads */
		struct hub_wait done;	 /* WAIT_PUBLISH, WAIT_DELETE */
		struct listing *listing; /* WAIT_STATISTICS; owned */
		struct bx_job *job;	 /* WAIT_BITRIX_JOB */
	} on;
	union {
		struct {		/* WAIT_POLL: where the client stands */
			int64_t time_s; /* -1: not given */
			int64_t tag;	/* -1: not given */
		} own;
		struct { /* WAIT_STREAM */
			struct padding_min padding;
			struct websocket *ws; /* what came in; or NULL */
		} stream;
		struct { /* WAIT_BITRIX_POLL and _SOCKET */
			struct format *format;	  /* struct bitrix's */
			uint64_t user;		  /* version 5's; 0: none */
			uint64_t echo;		  /* a poll's position, */
			struct bx_socket *socket; /* and its own insides */
			uint8_t look;		  /* enum bx_look_kind */
			uint8_t version;
		} bitrix;
	} of;
	enum wait_kind kind : 8;
	enum info_format format : 8;
	bool polling;
	uint32_t note_len;
	uint32_t origin_len;
	char text[]; /* note, origin */
};

/* api.c */
void api_send(struct api *a, struct request *r, struct reply *reply);

/* Everything an endpoint needs to answer a request. */
struct call {
	struct api *api;
	struct request *request;
	struct endpoint *endpoint;
	struct query query;
	struct slice origin;   /* of CORS; len 0: none */
	struct slice callback; /* of JSONP; len 0: none */
	bool websocket;	       /* refusals go through the tunnel */
	bool parked;	       /* it is not answered at once */
};

/*
 * Make the request wait: wait_new(), and when it ends wait_call() gives the
 * call to answer with and takes the wait from its request.  The note (a
 * publisher's channel path, a poll's callback) and the origin stand in the
 * wait, so it is freed after the answer.
 */
struct wait_state *wait_new(
    const struct call *c, enum wait_kind kind, struct slice note);
struct call wait_call(struct wait_state *w);
void wait_free(struct wait_state **w);
/* It does not wait after all: both, and nothing is answered. */
void wait_drop(struct wait_state **w);

static inline struct slice
wait_note(const struct wait_state *w)
{
	return (struct slice){ w->text, w->note_len };
}

static inline enum compat
call_compat(const struct call *c)
{
	return c->endpoint->settings.compat;
}

/* Start an answer of an endpoint: CORS and cache fields are the endpoint's
 * affair and stand where the module puts them. */
void call_cors(const struct call *c, struct reply *r);
void call_no_cache(const struct call *c, struct reply *r);
void call_explain(const struct call *c, int status, const char *explain);
void call_error(const struct call *c, int err);
void call_method_not_allowed(const struct call *c, const char *allow);
/* Read a path as the location's dialect does. */
int call_path_parse(const struct call *c, struct slice text) MUST_CHECK;
/* The request's path, of any ids or none; answers and returns false when it
 * cannot be had. */
bool call_path_value(const struct call *c);
/* Parse the channel path and check every id; answers and returns false when
 * something is wrong with it. */
bool call_path(const struct call *c);
bool call_id_ok(const struct call *c, struct slice id);
bool call_id_short(const struct call *c, struct slice id);
/* The channel that only the hub itself publishes to. */
bool call_is_events(const struct call *c, struct slice id);

/* info_answer.c */
struct info_totals info_answer_totals(const struct call *c);
bool info_answer_quoted(const struct call *c); /* the numbers of JSON */
struct reply info_answer_text(struct api *a);
/* Head and text; whole: there is no more of it to come, so its length is
 * told. */
void info_answer_start(const struct call *c, enum info_format f,
    const struct reply *text, bool whole, struct reply *r);
void info_answer(
    const struct call *c, enum info_format f, const struct reply *text);
/* The first n of api->channels, n >= 1. */
void info_answer_channels(const struct call *c, enum info_format f, uint32_t n);

/* What becomes of the request's body, before it comes. */
enum api_body publisher_body(const struct call *c);
void publisher_handle(struct call *c);
void subscriber_handle(struct call *c);
void statistics_handle(struct call *c);
/* The front has taken what was sent of a list: go on, WAIT_STATISTICS. */
void statistics_more(struct wait_state *w);
void statistics_abandon(struct wait_state *w);
/* Go on with one that rests; true: others do. */
bool statistics_turn(struct api *a);
/* The fields that every answer of a statistics endpoint but 405 carries. */
void statistics_version(const struct call *c, struct reply *r);

/* subscriber.c: what all modes begin with; each answers when it is false. */
bool subscriber_channels(const struct call *c);
bool subscriber_position(const struct call *c, enum sub_mode mode,
    struct sub_position *pos, int64_t *time_s, int64_t *tag);

/* How a message of the hub looks to the templates. */
struct template_values delivery_values(const struct delivery *d);
/* A message of our own making: deleted, timed out. */
struct template_values special_values(
    int64_t id, struct slice channel, struct slice text);

/* poll.c */
void poll_handle(struct call *c, enum sub_mode mode);
void answers_clear(struct api *a);

/* stream.c */
void stream_handle(struct call *c, enum sub_mode mode);
/* Give up what a stream has, when it is abandoned. */
void stream_release(struct wait_state *w);
/* Say goodbye in the middle of it: the hub lets go, then `last` is sent (the
 * caller's reference; NULL: nothing), and the request is over. */
void stream_end(struct wait_state *w, struct payload *last);
void stream_send(struct wait_state *w, struct payload *part);

/* websocket.c */
/* Is it a proper handshake?  Answers when not. */
bool websocket_asked(struct call *c);
void websocket_refuse(const struct call *c, int status, const char *explain);
/* The head of the answer, up to its blank line. */
bool websocket_head(const struct call *c, struct reply *r);
void websocket_input(struct wait_state *w, struct slice bytes);
void websocket_release(struct websocket **ws);
/* A control frame, or a short text.  NULL: no memory. */
struct payload *websocket_frame(enum ws_opcode op, struct slice data);
/* A close frame; code 0: without one.  NULL: no memory. */
struct payload *websocket_close(uint16_t code, struct slice reason);
/* Its reader will not go on, for this reason: was that a bound? */
void websocket_count_bad(struct api *a, uint16_t code);
/* The same with code 1008 and the module's JSON. */
struct payload *websocket_close_status(int status, const char *explain);

#endif
