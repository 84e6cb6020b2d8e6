/* daemon/notify.c - see notify.h. */
#include "daemon/notify.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

#define KEEP_TRIES 10
#define KEEP_WAIT_MS 100

static uint64_t
watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");

	if (usec == NULL ||
	    (pid != NULL && strtoul(pid, NULL, 10) != (unsigned long)getpid()))
		return 0;
	return strtoull(usec, NULL, 10) / 1000;
}

/* systemd says so from version 254 on; the service file does before. */
static unsigned
store_room(void)
{
	const char *room = getenv("FDSTORE");

	return room != NULL ? (unsigned)strtoul(room, NULL, 10) : 0;
}

void
notify_open(struct notify *n)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len;

	n->fd = -1;
	n->watchdog_ms = watchdog_ms();
	n->next_ms = 0;
	n->room = store_room();
	if (path == NULL || (path[0] != '/' && path[0] != '@'))
		return;
	len = strlen(path);
	if (len >= sizeof(sun.sun_path))
		return;
	memcpy(sun.sun_path, path, len);
	if (path[0] == '@')
		sun.sun_path[0] = '\0'; /* abstract */
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd < 0)
		return;
	if (connect(n->fd, (struct sockaddr *)&sun,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) !=
	    0) {
		log_at(LOG_WARN, "cannot reach NOTIFY_SOCKET %s", path);
		notify_close(n);
	}
}

void
notify_say(struct notify *n, const char *state)
{
	if (n->fd >= 0 && send(n->fd, state, strlen(state), MSG_NOSIGNAL) < 0)
		log_at(LOG_DEBUG, "NOTIFY_SOCKET does not take %s", state);
}

void
notify_alive(struct notify *n, uint64_t now_ms)
{
	if (n->watchdog_ms == 0 || now_ms < n->next_ms)
		return;
	notify_say(n, "WATCHDOG=1");
	n->next_ms = now_ms + MAX_OF(n->watchdog_ms / 3, 1);
}

/* It is read soon, and we are about to end: waiting is no harm. */
static bool
send_waiting(int fd, const struct msghdr *m)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	for (int i = 0; i < KEEP_TRIES; i++) {
		if (sendmsg(fd, m, MSG_NOSIGNAL) >= 0)
			return true;
		if (errno != EAGAIN && errno != EINTR)
			return false;
		(void)poll(&p, 1, KEEP_WAIT_MS);
	}
	return false;
}

bool
notify_keep(struct notify *n, int fd, const char *name)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char text[64];
	struct iovec iov = { text, 0 };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	if (n->fd < 0 || n->room == 0)
		return false;
	iov.iov_len =
	    (size_t)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (send_waiting(n->fd, &m)) {
		n->room--;
		return true;
	}
	n->room = 0; /* it does not listen: no second wait */
	return false;
}

void
notify_kept(struct notify *n, const char *name)
{
	char text[64];

	if (n->room == 0)
		return;
	(void)snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	notify_say(n, text);
}

void
notify_close(struct notify *n)
{
	if (n->fd >= 0)
		(void)close(n->fd);
	n->fd = -1;
}
