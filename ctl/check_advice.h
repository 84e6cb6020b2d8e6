/*
 * ctl/check_advice.h - what to change in which front.
 */
#ifndef CTL_CHECK_ADVICE_H
#define CTL_CHECK_ADVICE_H

#include "base/base.h"

enum front {
	FRONT_OTHER,
	FRONT_NGINX,
	FRONT_APACHE,
	FRONT_LIGHTTPD,
	FRONT_CADDY,
	FRONT_N
};

enum advice {
	ADVICE_NONE,
	ADVICE_ADDRESS,	    /* nobody answers */
	ADVICE_CERTIFICATE, /* it is not trusted */
	ADVICE_TLS_PORT,    /* http, where https is spoken */
	ADVICE_NO_TLS,	    /* and the other way round */
	ADVICE_NO_HTTP,	    /* something else */
	ADVICE_REDIRECT,    /* another address is meant */
	ADVICE_DAEMON,	    /* the front does not reach it */
	ADVICE_LISTENER,    /* nor where WebSockets go */
	ADVICE_FAILED,	    /* 500 */
	ADVICE_BUSY,	    /* the front answers nobody */
	ADVICE_LOCATION,    /* somebody else answers */
	ADVICE_ENDPOINT,    /* the daemon knows none here */
	ADVICE_REFUSED,	    /* publishing */
	ADVICE_STORE,	    /* messages are not stored, or another's */
	ADVICE_POSITION,    /* position fields are gone or changed */
	ADVICE_MID,	    /* there is none */
	ADVICE_SIGNATURE,   /* the daemon refuses the id */
	ADVICE_CONDITION,   /* taken for a condition */
	ADVICE_COMPRESSION, /* which changes the Etag */
	ADVICE_CACHING,	    /* answers may be kept */
	ADVICE_DOUBLED,	    /* a field comes twice */
	ADVICE_KEEPALIVE,
	ADVICE_CLOCKS,
	ADVICE_LONG_POLL,    /* it does not wait */
	ADVICE_READ_TIMEOUT, /* ends before the poll does */
	ADVICE_ABORT,	     /* is not passed on */
	ADVICE_BUFFERING,
	ADVICE_STREAM,	  /* it ends */
	ADVICE_WEBSOCKET, /* no tunnel */
	ADVICE_N
};

/* server: the value of the field Server; anything, or nothing. */
enum front front_of(struct slice server);
const char *front_name(enum front f);
/* Is it the front's nature, and no mistake? */
bool advice_is_limit(enum advice a, enum front f);
/* Lines that end in '\n' each. */
const char *advice_text(enum advice a, enum front f);

#endif
