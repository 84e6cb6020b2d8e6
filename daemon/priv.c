/* daemon/priv.c - see priv.h. */
#include "daemon/priv.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

int
priv_user(const char *name, uid_t *uid)
{
	const struct passwd *pw = getpwnam(name);

	if (pw == NULL) {
		log_at(LOG_ERROR,
		    "there is no user \"%s\" to run as; create "
		    "it or set user in holdfast.conf",
		    name);
		return ERR_CONFIG;
	}
	*uid = pw->pw_uid;
	return 0;
}

int
priv_group(const char *name, gid_t *gid)
{
	const struct group *gr;

	*gid = (gid_t)-1;
	if (name[0] == '\0')
		return 0;
	gr = getgrnam(name);
	if (gr == NULL) {
		log_at(LOG_ERROR,
		    "there is no group \"%s\"; create it or set "
		    "another in holdfast.conf",
		    name);
		return ERR_CONFIG;
	}
	*gid = gr->gr_gid;
	return 0;
}

static int
become(const char *user, const char *group)
{
	uid_t uid;
	gid_t gid;
	int err = priv_user(user, &uid);

	if (err == 0)
		err = priv_group(group, &gid);
	if (err != 0)
		return err;
	if (gid == (gid_t)-1) {
		log_at(LOG_ERROR,
		    "group cannot be empty when started as "
		    "root");
		return ERR_CONFIG;
	}
	if (initgroups(user, gid) != 0 || setgid(gid) != 0 ||
	    setuid(uid) != 0) {
		log_at(LOG_ERROR, "cannot become user \"%s\": %s", user,
		    strerror(errno));
		return ERR_SYSTEM;
	}
	if (uid != 0 && setuid(0) == 0) {
		log_at(LOG_ERROR, "root could be regained after dropping it");
		return ERR_SYSTEM;
	}
	return 0;
}

/*
 * What a program that is not root may have been given all the same, by file
 * capabilities or as ambient ones: to bind a port below 1024, for example.
 * glibc has no functions for these; libcap would be a part more.
 */
static int
give_up_capabilities(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct caps[2] = { { 0 } };
	static const struct __user_cap_data_struct none[2];

	if (syscall(SYS_capget, &head, caps) != 0)
		return -1;
	if (memcmp(caps, none, sizeof(caps)) == 0)
		return 0;
	/* The ambient ones go with the permitted. */
	return syscall(SYS_capset, &head, none) == 0 ? 0 : -1;
}

int
priv_drop(const char *user, const char *group)
{
	int err = geteuid() == 0 ? become(user, group) : 0;

	if (err != 0)
		return err;
	if (geteuid() != 0 && give_up_capabilities() != 0) {
		log_at(LOG_ERROR, "cannot give up capabilities: %s",
		    strerror(errno));
		return ERR_SYSTEM;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		log_at(LOG_ERROR, "cannot renounce new privileges: %s",
		    strerror(errno));
		return ERR_SYSTEM;
	}
	return 0;
}

size_t
priv_raise_descriptors(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
		return 1024;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) != 0)
		(void)getrlimit(RLIMIT_NOFILE, &rl);
	return rl.rlim_cur;
}
