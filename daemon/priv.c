/* daemon/priv.c - see priv.h. */
#include "daemon/priv.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
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

int
priv_drop(const char *user, const char *group)
{
	uid_t uid;
	gid_t gid;
	int err;

	if (geteuid() != 0)
		return 0;
	err = priv_user(user, &uid);
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
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
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
