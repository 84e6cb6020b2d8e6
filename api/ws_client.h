/*
 * api/ws_client.h - what a WebSocket's client says: taken apart, and bounded.
 *
 * A message has request_timeout from its first byte to its last.  Of those that
 * were handed to the store only so many are on their way at a time: then what
 * the client says next waits, here and in its socket, until some are stored.
 * Owner: what waits, which embeds it and is ended by its event.  Thread: loop.
 */
#ifndef API_WS_CLIENT_H
#define API_WS_CLIENT_H

#include "base/base.h"

#include <sys/queue.h>

#include "api/ws.h"

struct api;
struct wait_state;
struct ws_busy; /* opaque: what it needs now and then */

/* As ws_read() has it, but WS_MORE; a message that does not come to its end is
 * WS_BAD.  False: the connection has been ended, and with it the client. */
typedef bool ws_client_event_f(struct wait_state *w, enum ws_event event,
    struct slice data, uint16_t code);

struct ws_client {
	struct ws_reader reader;
	struct ws_busy *busy; /* or NULL */
	struct wait_state *wait;
	ws_client_event_f *event;
};

/* The api's: those who must be looked after. */
TAILQ_HEAD(ws_busies, ws_busy);

void ws_client_init(struct ws_client *c, struct wait_state *w,
    ws_client_event_f *event, size_t max_message, bool require_mask);
void ws_client_release(struct ws_client *c);
/* Nothing is on its way, in or to the store: a new one would do as well. */
bool ws_client_idle(const struct ws_client *c);

/* More of its bytes.  False as of the event. */
bool ws_client_input(struct ws_client *c, struct slice bytes);

/* A message of so many bytes goes to the store, and has come there or failed.
 * ERR_NOMEM: it must not be sent. */
int ws_client_owes(struct ws_client *c, size_t bytes) MUST_CHECK;
void ws_client_paid(struct ws_client *c, size_t bytes);

/* Once a turn: go on with those whose messages are stored, and end those whose
 * time is over, the first of which comes at ws_clients_next_ms(). */
void ws_clients_turn(struct api *a);
uint64_t ws_clients_next_ms(const struct api *a);

#endif
