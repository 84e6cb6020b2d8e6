/* daemon/priv.h - from root to the daemon's user. */
#ifndef DAEMON_PRIV_H
#define DAEMON_PRIV_H

#include "base/base.h"

/* User by name.  Says what is wrong. */
int priv_user(const char *name, uid_t *uid) MUST_CHECK;

/* Group by name; "" is (gid_t)-1, "leave it".  Says what is wrong. */
int priv_group(const char *name, gid_t *gid) MUST_CHECK;

/* Started as root: become user and group, for good.  In any case no program
 * that is run from here gets more than we have; and who is not root has no
 * capability any more, wherever it came from. */
int priv_drop(const char *user, const char *group) MUST_CHECK;

/* As many descriptors as the hard limit gives; returns the limit. */
size_t priv_raise_descriptors(void);

#endif
