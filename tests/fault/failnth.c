/*
 * tests/fault/failnth.c - the n-th call of a kind fails.
 *
 * Loaded with LD_PRELOAD into an unmodified holdfastd, it stands before libc
 * and SQLite: calls are counted by kind from main() on, and the one that the
 * driver has chosen fails as the real one would, without being made.  Since
 * the libraries that we use call libc the same way, theirs are counted and
 * fail too.
 *
 * Driver and daemon share one file, FAILNTH: a struct of numbers, see below.
 * So what was counted outlives a crash, a fault can be armed at any moment,
 * and the wall clock can be put forward.  FAILNTH_TRACE names a file that
 * gets the stack of each failure.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#undef _FORTIFY_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define STACKS 4 /* that are told */

/* The order is the driver's, in nth.py. */
enum kind {
	MALLOC,
	SQLITE,
	OPEN,
	READ,
	WRITE,
	SAY, /* write(): the log's lines, the eventfd's wakes */
	SEND,
	RECV,
	SYNC,
	FOLDER, /* its sync */
	TRUNCATE,
	LOCK,
	ACCEPT,
	SOCKET,
	EVENTFD,
	EPOLL,
	THREAD,
	KINDS
};

struct shared {
	_Atomic uint64_t kind;	 /* that fails */
	_Atomic uint64_t at;	 /* which call, from 1; 0: none */
	_Atomic uint64_t times;	 /* how many from there on; 0: all */
	_Atomic uint64_t error;	 /* errno, or SQLite's code */
	_Atomic uint64_t ahead;	 /* seconds added to the wall clock */
	_Atomic uint64_t fired;	 /* how many have failed */
	_Atomic int64_t unfreed; /* allocations */
	_Atomic uint64_t count[KINDS];
};

static struct shared *shared; /* NULL: not in main() yet */
static int trace_fd = -1;

/* --- what was there before us ------------------------------------------ */

#define REAL(name) ((__typeof__(&(name)))real(&real_##name, #name))
#define DECLARE(name) static _Atomic(void *) real_##name

/* Until we are set up there is some memory of our own, for good: dlsym() wants
 * it, and a sanitizer that is not set up itself. */
static char first_bytes[1 << 20] __attribute__((aligned(16)));
static size_t first_used;
static bool set_up;

static void *
real(_Atomic(void *) *at, const char *name)
{
	void *found = atomic_load_explicit(at, memory_order_relaxed);

	if (found != NULL)
		return found;
	found = dlsym(RTLD_NEXT, name);
	if (found == NULL)
		abort();
	atomic_store_explicit(at, found, memory_order_relaxed);
	return found;
}

static void *
first_alloc(size_t size)
{
	size_t need = (size + 15) & ~(size_t)15;

	if (first_used + need > sizeof(first_bytes))
		abort();
	first_used += need;
	return first_bytes + first_used - need;
}

static bool
is_first(const void *p)
{
	return (const char *)p >= first_bytes &&
	    (const char *)p < first_bytes + sizeof(first_bytes);
}

/* --- counting ---------------------------------------------------------- */

DECLARE(write);

static void
tell_stack(void)
{
	static const char end[] = "\n";
	void *frames[32];
	int n;

	if (trace_fd < 0)
		return;
	n = backtrace(frames, 32);
	backtrace_symbols_fd(frames, n, trace_fd);
	if (REAL(write)(trace_fd, end, 1) < 0)
		abort();
}

/* One more of this kind: is it the one? */
static bool
fails(enum kind kind)
{
	uint64_t n, at, times;

	if (shared == NULL)
		return false;
	n = atomic_fetch_add(&shared->count[kind], 1) + 1;
	at = atomic_load(&shared->at);
	if (at == 0 || atomic_load(&shared->kind) != kind || n < at)
		return false;
	times = atomic_load(&shared->times);
	if (times != 0 && n >= at + times)
		return false;
	if (atomic_fetch_add(&shared->fired, 1) < STACKS)
		tell_stack();
	errno = (int)atomic_load(&shared->error);
	return true;
}

static int
sqlite_code(void)
{
	return (int)atomic_load(&shared->error);
}

static void *
born(void *p)
{
	if (shared != NULL && p != NULL)
		(void)atomic_fetch_add(&shared->unfreed, 1);
	return p;
}

static void
died(const void *p)
{
	if (shared != NULL && p != NULL)
		(void)atomic_fetch_sub(&shared->unfreed, 1);
}

static int (*their_main)(int, char **, char **);

static int
counted_main(int argc, char **argv, char **env)
{
	const char *path = getenv("FAILNTH"), *trace = getenv("FAILNTH_TRACE");
	void *frames[1], *map;
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		abort();
	map = mmap(
	    NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		abort();
	(void)close(fd);
	(void)backtrace(frames, 1); /* it loads what it needs now */
	if (trace != NULL)
		trace_fd = open(
		    trace, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	shared = map;
	return their_main(argc, argv, env);
}

typedef int start_f(int (*)(int, char **, char **), int, char **,
    void (*)(void), void (*)(void), void (*)(void), void *);
start_f __libc_start_main;
DECLARE(__libc_start_main);

int
__libc_start_main(int (*main_f)(int, char **, char **), int argc, char **argv,
    void (*init)(void), void (*fini)(void), void (*rtld_fini)(void),
    void *stack_end)
{
	their_main = main_f;
	return REAL(__libc_start_main)(
	    counted_main, argc, argv, init, fini, rtld_fini, stack_end);
}

/* --- memory ------------------------------------------------------------ */

DECLARE(malloc);
DECLARE(calloc);
DECLARE(realloc);
DECLARE(free);
DECLARE(posix_memalign);
DECLARE(aligned_alloc);

void *
malloc(size_t size)
{
	if (!set_up)
		return first_alloc(size);
	return fails(MALLOC) ? NULL : born(REAL(malloc)(size));
}

void *
calloc(size_t n, size_t size)
{
	if (!set_up)
		return first_alloc(n * size);
	return fails(MALLOC) ? NULL : born(REAL(calloc)(n, size));
}

/* How much of it was used is not known: it has that much behind it. */
static void *
first_realloc(const char *p, size_t size)
{
	char *out = malloc(size);

	if (out != NULL && p != NULL)
		memcpy(
		    out, p, MIN(size, (size_t)(first_bytes + first_used - p)));
	return out;
}

void *
realloc(void *p, size_t size)
{
	void *out;

	if (!set_up || is_first(p))
		return first_realloc(p, size);
	if (fails(MALLOC))
		return NULL;
	out = REAL(realloc)(p, size);
	if (p == NULL)
		(void)born(out);
	else if (out == NULL && size == 0)
		died(p);
	return out;
}

void
free(void *p)
{
	if (p == NULL || is_first(p))
		return;
	died(p);
	REAL(free)(p);
}

int
posix_memalign(void **out, size_t align, size_t size)
{
	int err;

	if (!set_up) {
		*out = first_alloc(size);
		return 0;
	}
	if (fails(MALLOC))
		return ENOMEM;
	err = REAL(posix_memalign)(out, align, size);
	if (err == 0)
		(void)born(*out);
	return err;
}

void *
aligned_alloc(size_t align, size_t size)
{
	return fails(MALLOC) ? NULL : born(REAL(aligned_alloc)(align, size));
}

static void __attribute__((constructor)) start(void)
{
	(void)REAL(malloc);
	(void)REAL(calloc);
	(void)REAL(realloc);
	(void)REAL(free);
	set_up = true;
}

/*
 * libc's would come by malloc(), a sanitizer's does not: so they are made here
 * for both.
 */
char *
strndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *out = malloc(len + 1);

	if (out == NULL)
		return NULL;
	memcpy(out, s, len);
	out[len] = '\0';
	return out;
}

char *
strdup(const char *s)
{
	return strndup(s, strlen(s));
}

/* --- SQLite ------------------------------------------------------------ */

DECLARE(sqlite3_open_v2);
DECLARE(sqlite3_prepare_v2);
DECLARE(sqlite3_prepare_v3);
DECLARE(sqlite3_exec);
DECLARE(sqlite3_step);
DECLARE(sqlite3_wal_checkpoint_v2);
DECLARE(sqlite3_backup_init);
DECLARE(sqlite3_backup_step);

/* Those that SQLite makes itself are not counted: it does not expect that they
 * fail without having been made. */
static __thread unsigned inside;

#define SQLITE_CALL(instead, ...) \
	do { \
		__typeof__(__VA_ARGS__) result; \
\
		if (inside == 0 && fails(SQLITE)) \
			return instead; \
		inside++; \
		result = (__VA_ARGS__); \
		inside--; \
		return result; \
	} while (0)

int
sqlite3_open_v2(const char *name, sqlite3 **out, int flags, const char *vfs)
{
	*out = NULL;
	SQLITE_CALL(
	    sqlite_code(), REAL(sqlite3_open_v2)(name, out, flags, vfs));
}

int
sqlite3_prepare_v2(
    sqlite3 *db, const char *sql, int n, sqlite3_stmt **out, const char **tail)
{
	*out = NULL;
	SQLITE_CALL(
	    sqlite_code(), REAL(sqlite3_prepare_v2)(db, sql, n, out, tail));
}

int
sqlite3_prepare_v3(sqlite3 *db, const char *sql, int n, unsigned flags,
    sqlite3_stmt **out, const char **tail)
{
	*out = NULL;
	SQLITE_CALL(sqlite_code(),
	    REAL(sqlite3_prepare_v3)(db, sql, n, flags, out, tail));
}

int
sqlite3_exec(sqlite3 *db, const char *sql,
    int (*each)(void *, int, char **, char **), void *arg, char **error)
{
	SQLITE_CALL(
	    sqlite_code(), REAL(sqlite3_exec)(db, sql, each, arg, error));
}

int
sqlite3_step(sqlite3_stmt *st)
{
	SQLITE_CALL(sqlite_code(), REAL(sqlite3_step)(st));
}

int
sqlite3_wal_checkpoint_v2(
    sqlite3 *db, const char *name, int mode, int *log, int *done)
{
	SQLITE_CALL(sqlite_code(),
	    REAL(sqlite3_wal_checkpoint_v2)(db, name, mode, log, done));
}

sqlite3_backup *
sqlite3_backup_init(
    sqlite3 *to, const char *to_name, sqlite3 *from, const char *from_name)
{
	SQLITE_CALL(
	    NULL, REAL(sqlite3_backup_init)(to, to_name, from, from_name));
}

int
sqlite3_backup_step(sqlite3_backup *b, int pages)
{
	SQLITE_CALL(sqlite_code(), REAL(sqlite3_backup_step)(b, pages));
}

/* --- files: what SQLite's VFS does, and the log ------------------------- */

DECLARE(open);
DECLARE(open64);
DECLARE(pread64);
DECLARE(pwrite64);
DECLARE(fsync);
DECLARE(fdatasync);
DECLARE(ftruncate64);
DECLARE(fcntl);
DECLARE(fcntl64);

int
open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return fails(OPEN) ? -1 : REAL(open)(path, flags, mode);
}

int
open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return fails(OPEN) ? -1 : REAL(open64)(path, flags, mode);
}

ssize_t
pread64(int fd, void *to, size_t n, off64_t at)
{
	return fails(READ) ? -1 : REAL(pread64)(fd, to, n, at);
}

ssize_t
pwrite64(int fd, const void *from, size_t n, off64_t at)
{
	return fails(WRITE) ? -1 : REAL(pwrite64)(fd, from, n, at);
}

ssize_t
write(int fd, const void *from, size_t n)
{
	return fails(SAY) ? -1 : REAL(write)(fd, from, n);
}

/* SQLite makes nothing of it when a folder cannot be synced. */
static bool
sync_fails(int fd)
{
	struct stat st;

	return fails(
	    fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? FOLDER : SYNC);
}

int
fsync(int fd)
{
	return sync_fails(fd) ? -1 : REAL(fsync)(fd);
}

int
fdatasync(int fd)
{
	return sync_fails(fd) ? -1 : REAL(fdatasync)(fd);
}

int
ftruncate64(int fd, off64_t size)
{
	return fails(TRUNCATE) ? -1 : REAL(ftruncate64)(fd, size);
}

static bool
locks(int command)
{
	return command == F_SETLK || command == F_OFD_SETLK;
}

int
fcntl(int fd, int command, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, command);
	arg = va_arg(ap, void *);
	va_end(ap);
	return locks(command) && fails(LOCK) ? -1
					     : REAL(fcntl)(fd, command, arg);
}

int
fcntl64(int fd, int command, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, command);
	arg = va_arg(ap, void *);
	va_end(ap);
	return locks(command) && fails(LOCK) ? -1
					     : REAL(fcntl64)(fd, command, arg);
}

/* --- sockets and the loop ---------------------------------------------- */

DECLARE(send);
DECLARE(sendmsg);
DECLARE(recv);
DECLARE(read);
DECLARE(accept4);
DECLARE(socket);
DECLARE(bind);
DECLARE(listen);
DECLARE(eventfd);
DECLARE(epoll_create1);
DECLARE(epoll_ctl);
DECLARE(pthread_create);

ssize_t
send(int fd, const void *from, size_t n, int flags)
{
	return fails(SEND) ? -1 : REAL(send)(fd, from, n, flags);
}

ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return fails(SEND) ? -1 : REAL(sendmsg)(fd, msg, flags);
}

ssize_t
recv(int fd, void *to, size_t n, int flags)
{
	return fails(RECV) ? -1 : REAL(recv)(fd, to, n, flags);
}

/* A connection's bytes, and the eventfd's. */
ssize_t
read(int fd, void *to, size_t n)
{
	return fails(RECV) ? -1 : REAL(read)(fd, to, n);
}

int
accept4(int fd, struct sockaddr *peer, socklen_t *len, int flags)
{
	return fails(ACCEPT) ? -1 : REAL(accept4)(fd, peer, len, flags);
}

int
socket(int domain, int type, int protocol)
{
	return fails(SOCKET) ? -1 : REAL(socket)(domain, type, protocol);
}

int
bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	return fails(SOCKET) ? -1 : REAL(bind)(fd, sa, len);
}

int
listen(int fd, int backlog)
{
	return fails(SOCKET) ? -1 : REAL(listen)(fd, backlog);
}

int
eventfd(unsigned int count, int flags)
{
	return fails(EVENTFD) ? -1 : REAL(eventfd)(count, flags);
}

int
epoll_create1(int flags)
{
	return fails(EPOLL) ? -1 : REAL(epoll_create1)(flags);
}

int
epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	/* Taking out cannot fail for want of anything. */
	return op != EPOLL_CTL_DEL && fails(EPOLL)
	    ? -1
	    : REAL(epoll_ctl)(epfd, op, fd, event);
}

int
pthread_create(
    pthread_t *out, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	return fails(THREAD) ? (int)atomic_load(&shared->error)
			     : REAL(pthread_create)(out, attr, run, arg);
}

/* --- the wall clock ---------------------------------------------------- */

DECLARE(clock_gettime);

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	int rc = REAL(clock_gettime)(clock, ts);

	if (clock == CLOCK_REALTIME && shared != NULL)
		ts->tv_sec += (time_t)atomic_load(&shared->ahead);
	return rc;
}
