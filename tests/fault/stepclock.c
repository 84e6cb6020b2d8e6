/* tests/fault/stepclock.c - a wall clock that a test sets.
 *
 * Preloaded into a daemon, it adds to the wall clock as many seconds as stand
 * in the file that HOLDFAST_STEPCLOCK names (8 bytes, native).  The file is
 * mapped, so a write to it is a step at once.  The other clocks go on as they
 * are.
 */
#define _GNU_SOURCE 1 /* RTLD_NEXT */
#include <sys/mman.h>
#include <sys/time.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef int gettime_f(clockid_t id, struct timespec *ts);

static gettime_f *real_gettime;
static const volatile int64_t *step_s;

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("HOLDFAST_STEPCLOCK");
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map = MAP_FAILED;

	*(void **)&real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	if (fd >= 0)
		map = mmap(NULL, sizeof(*step_s), PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || real_gettime == NULL) {
		fputs("stepclock: no HOLDFAST_STEPCLOCK\n", stderr);
		_exit(2);
	}
	close(fd);
	step_s = map;
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int err;

	if (step_s == NULL)
		begin(); /* somebody's constructor before ours */
	err = real_gettime(id, ts);
	if (err == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ts->tv_sec += *step_s;
	return err;
}

time_t
time(time_t *out)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (out != NULL)
		*out = ts.tv_sec;
	return ts.tv_sec;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}
