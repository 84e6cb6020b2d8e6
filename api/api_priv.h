/* api/api_priv.h - shared by the endpoints of this floor. */
#ifndef API_API_PRIV_H
#define API_API_PRIV_H

#include "api/api.h"
#include "api/endpoint.h"
#include "api/info.h"
#include "api/path.h"
#include "api/reply.h"
#include "base/log.h"
#include "push/hub.h"

/* The last rendered answer of one message: its readers mostly share it. */
struct rendered {
	struct endpoint *endpoint; /* NULL: nothing kept */
	uint64_t channel;	   /* number */
	int64_t id;
	uint64_t position;
	size_t origin_len;
	char origin[128];
	struct payload *answer;
};

struct api {
	struct hub *hub;
	struct stats *stats;
	struct layout *layout;
	struct endpoints endpoints;
	struct rendered rendered;
	struct payload *no_memory; /* made at start, so it is there */
	char hostname[256];
	uint64_t start_ms;
	const struct api_control_ops *control;
	void *control_arg;
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
	WAIT_READER
};

/* A request that was not answered at once: owner api, from request->wait. */
struct wait_state {
	struct api *api;
	struct request *request;
	struct endpoint *endpoint;
	union {
		struct sub *sub;      /* WAIT_READER */
		struct hub_wait done; /* WAIT_PUBLISH, WAIT_DELETE */
	} on;
	/* WAIT_READER: where a poll's client stands, for its 304 */
	int64_t own_time; /* -1: not given */
	int64_t own_tag;  /* -1: not given */
	enum wait_kind kind : 8;
	enum info_format format : 8;
	bool polling;
	uint32_t path_len;
	uint32_t origin_len;
	char text[]; /* channel path (publishers), origin */
};

/* api.c */
void api_send(struct api *a, struct request *r, struct reply *reply);
/* Header-only answer with an explanation; NULL: none. */
void api_explain(
    struct api *a, struct request *r, int status, const char *explain);

/* Everything an endpoint needs to answer a request. */
struct call {
	struct api *api;
	struct request *request;
	struct endpoint *endpoint;
	struct query query;
	struct slice origin; /* of CORS; len 0: none */
};

/*
 * Make the request wait: wait_new(), and when it ends wait_call() gives the
 * call to answer with and takes the wait from its request.  path and origin
 * of the call stand in the wait, so it is freed after the answer.
 */
struct wait_state *wait_new(
    const struct call *c, enum wait_kind kind, struct slice path);
struct call wait_call(struct wait_state *w);
void wait_free(struct wait_state **w);

/* Start an answer of an endpoint: CORS and cache fields are the endpoint's
 * affair and stand where the module puts them. */
void call_cors(const struct call *c, struct reply *r);
void call_explain(const struct call *c, int status, const char *explain);
void call_error(const struct call *c, int err);
void call_method_not_allowed(const struct call *c, const char *allow);
/* Parse the channel path and check every id; answers and returns false when
 * something is wrong with it. */
bool call_path(const struct call *c);
bool call_id_ok(const struct call *c, struct slice id);

void publisher_handle(struct call *c);
void subscriber_handle(struct call *c);

#endif
