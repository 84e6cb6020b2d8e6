/*
 * api/bitrix/extra.h - what is kept beside a message's text (look.h), looked
 * into once for all who read it.
 *
 * A message that says something else to each of many users goes to their
 * connections one after the other, and each would look through all of it for
 * its own part.  Owner: struct bitrix.  Thread: loop.
 */
#ifndef API_BITRIX_EXTRA_H
#define API_BITRIX_EXTRA_H

#include "base/base.h"
#include "base/msg.h"

struct bx_extra {
	struct msg *of; /* the message, with a reference; NULL: none yet */
	struct slice sender, user_params, dictionary; /* ptr NULL: not there */
	struct extra_user { /* of user_params, by number */
		uint64_t user;
		struct slice params;
	} * users;
	size_t n;
	bool sorted; /* else there was no memory, and users is empty */
};

/* What m's extra has, which is JSON; valid until another is read. */
const struct bx_extra *bx_extra_read(const struct msg *m);
/* The last message is of no interest any more. */
void bx_extra_forget(void);

/* This user's part of user_params; ptr NULL: there is none. */
struct slice bx_extra_user(const struct bx_extra *e, uint64_t user);

#endif
