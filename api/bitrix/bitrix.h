/*
 * api/bitrix/bitrix.h - the door of Bitrix's queue servers, versions 3 to 5.
 *
 * A location with bitrix_route comes here.  Owner of the state: the api.
 * Thread: loop.  Source: bitrix.md.
 */
#ifndef API_BITRIX_BITRIX_H
#define API_BITRIX_BITRIX_H

#include "base/base.h"

#include "api/api.h"

struct bitrix; /* opaque */
struct call;
struct wait_state;

int bitrix_new(struct api *a, struct bitrix **out) MUST_CHECK;
void bitrix_free(struct bitrix **b);

/* What becomes of the request's body, before it comes. */
enum api_body bitrix_body(struct call *c);
void bitrix_handle(struct call *c);
/* A WebSocket's client said something; the front took all there was; a request
 * that waits is given up.  All are of kind WAIT_BITRIX_*. */
void bitrix_input(struct wait_state *w, struct slice bytes);
void bitrix_drained(struct wait_state *w);
void bitrix_abandon(struct wait_state *w);

/* Send what waited long enough for company, see bitrix_frame_delay. */
void bitrix_turn(struct bitrix *b);
uint64_t bitrix_next_ms(const struct bitrix *b);
/* The looks have changed: after a reload, and at the end. */
void bitrix_forget_answers(struct bitrix *b);

#endif
