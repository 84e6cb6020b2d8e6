/* tests/fault/powercut.c - a disk that forgets what was not synced.
 *
 * Loaded into the daemon as it is (LD_PRELOAD), this becomes SQLite's default
 * VFS.  Everything is written to the real files at once, so reading needs no
 * help; beside them it is remembered what a disk would not yet have for sure:
 *  - of each sector that was written or cut off since the file's last sync,
 *    every content it had since then;
 *  - every length of the file since then;
 *  - which files were made or deleted since their folder's last sync.
 * When the power goes, chance takes for each of these one of the states that
 * it had, the real files are made so, and the process is gone.  No real sync
 * is made.  The WAL's index is not on this disk: it is memory.
 *
 * All SQLite calls of the daemon are one thread's at a time, so nothing is
 * locked here.  The other thread runs on while the files are put together:
 * what it acknowledges meanwhile was synced before.
 *
 *	POWERCUT_AT		KIND:N, the cut is within the N-th operation
 *				of this kind (enum op); else at SIGUSR2
 *	POWERCUT_SEED		of all that is left to chance
 *	POWERCUT_SECTOR		512 or 4096 bytes go to the disk, or not
 *	POWERCUT_SYNC_US	a sync takes up to so long
 *	POWERCUT_BOOT_S		added to the clock: how long booting took
 *	POWERCUT_REPORT		file for what is worth knowing, see report()
 */
#define _GNU_SOURCE 1 /* RTLD_NEXT */
#include <sqlite3.h>

#include <sys/stat.h>
#include <sys/syscall.h>

#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LENGTHS 64 /* of a file since its sync; the last is the newest */
#define VERSIONS 6 /* of a sector, likewise; the first is the synced one */
#define NAMES 16
#define EXIT_CUT 137

enum op {
	OP_ANY,
	OP_DB_WRITE, /* that is, in a checkpoint */
	OP_WAL_WRITE,
	OP_WAL_HEAD, /* the WAL begins anew */
	OP_DB_SYNC,
	OP_WAL_SYNC,
	OP_TRUNCATE,
	OP_DELETE,
	OPS
};

static const char *const op_names[OPS] = { "any", "dbwrite", "walwrite",
	"walhead", "dbsync", "walsync", "truncate", "delete" };

/* What a sector holds, or held, and since when. */
struct version {
	uint64_t seq;
	unsigned char *bytes;
};

struct sector {
	size_t n;
	struct version at[VERSIONS];
};

/* A file, whatever its name, if it still has one. */
struct node {
	struct sector **sectors; /* NULL: as synced */
	size_t room;
	size_t n_lengths;
	struct length {
		uint64_t seq;
		int64_t len;
	} lengths[LENGTHS];   /* [0]: the synced one */
	unsigned char *ghost; /* its bytes, once it is deleted */
};

/* An entry of the folder: now, and as it was synced. */
struct name {
	char *path;
	struct node *now, *synced;
};

struct file {
	sqlite3_file base;
	struct node *node; /* NULL: a temporary one, of no interest */
	bool wal, db;
	bool sync_folder; /* with its next sync, as SQLite's own VFS does */
	sqlite3_file *real;
};

static struct disk {
	sqlite3_vfs *real;
	struct name names[NAMES];
	size_t n_names;
	size_t sector;
	uint64_t seed, seq;
	uint64_t counts[OPS], cut_n;
	enum op cut_op;
	volatile sig_atomic_t cut_now;
	uint64_t sync_us;
	int64_t boot_s;
	uint64_t wal_synced_ns; /* began the last whole sync of the WAL */
} disk = { .sector = 512 };

static uint64_t
chance(uint64_t n)
{
	uint64_t x = disk.seed += 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return (x ^ x >> 31) % n;
}

static uint64_t
now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void *
must(void *p)
{
	if (p == NULL)
		err(1, "powercut");
	return p;
}

/* --- what is remembered ---------------------------------------------------- */

static int64_t
node_len(const struct node *n)
{
	return n->lengths[n->n_lengths - 1].len;
}

static void
node_set_len(struct node *n, int64_t len)
{
	if (node_len(n) == len)
		return;
	/* One in the middle is forgotten, if there are too many. */
	if (n->n_lengths == LENGTHS) {
		size_t gone = 1 + chance(LENGTHS - 2);

		memmove(&n->lengths[gone], &n->lengths[gone + 1],
		    (LENGTHS - 1 - gone) * sizeof(n->lengths[0]));
		n->n_lengths--;
	}
	n->lengths[n->n_lengths++] = (struct length){ disk.seq, len };
}

/* The sector's bytes as they are in the file now; zeros behind its end. */
static unsigned char *
sector_read(sqlite3_file *real, size_t i)
{
	unsigned char *bytes = must(calloc(1, disk.sector));
	int code = real->pMethods->xRead(
	    real, bytes, (int)disk.sector, (sqlite3_int64)(i * disk.sector));

	if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ)
		errx(1, "powercut: cannot read a sector");
	return bytes;
}

static struct sector *
node_sector(struct node *n, sqlite3_file *real, size_t i)
{
	if (i >= n->room) {
		size_t room = n->room != 0 ? n->room : 1024;

		while (room <= i)
			room *= 2;
		n->sectors =
		    must(realloc(n->sectors, room * sizeof(*n->sectors)));
		memset(n->sectors + n->room, 0,
		    (room - n->room) * sizeof(*n->sectors));
		n->room = room;
	}
	if (n->sectors[i] == NULL) {
		n->sectors[i] = must(calloc(1, sizeof(struct sector)));
		n->sectors[i]->n = 1;
		n->sectors[i]->at[0].bytes = sector_read(real, i);
	}
	return n->sectors[i];
}

/* A new content, for now the same as the last. */
static unsigned char *
sector_add(struct sector *s)
{
	unsigned char *bytes = must(malloc(disk.sector));

	memcpy(bytes, s->at[s->n - 1].bytes, disk.sector);
	if (s->n == VERSIONS) {
		size_t gone = 1 + chance(VERSIONS - 2);

		free(s->at[gone].bytes);
		memmove(&s->at[gone], &s->at[gone + 1],
		    (VERSIONS - 1 - gone) * sizeof(s->at[0]));
		s->n--;
	}
	s->at[s->n++] = (struct version){ disk.seq, bytes };
	return bytes;
}

/* Before it is written. */
static void
node_write(struct node *n, sqlite3_file *real, const unsigned char *p,
    size_t len, size_t at)
{
	size_t end = at + len;

	while (at < end) {
		size_t i = at / disk.sector, in = at % disk.sector;
		size_t part = disk.sector - in;
		unsigned char *bytes;

		if (part > end - at)
			part = end - at;
		bytes = sector_add(node_sector(n, real, i));
		memcpy(bytes + in, p, part);
		p += part;
		at += part;
	}
	if ((int64_t)end > node_len(n))
		node_set_len(n, (int64_t)end);
}

/* Before it is cut off: what comes back behind the end is zeros. */
static void
node_truncate(struct node *n, sqlite3_file *real, int64_t len)
{
	size_t first = (size_t)len / disk.sector,
	       in = (size_t)len % disk.sector;

	for (size_t i = first; i * disk.sector < (size_t)node_len(n); i++) {
		memset(sector_add(node_sector(n, real, i)) + in, 0,
		    disk.sector - in);
		in = 0;
	}
	node_set_len(n, len);
}

static void
node_sync(struct node *n)
{
	for (size_t i = 0; i < n->room; i++) {
		struct sector *s = n->sectors[i];

		if (s == NULL)
			continue;
		for (size_t k = 0; k < s->n; k++)
			free(s->at[k].bytes);
		free(s);
		n->sectors[i] = NULL;
	}
	n->lengths[0] = n->lengths[n->n_lengths - 1];
	n->n_lengths = 1;
}

static struct name *
name_of(const char *path)
{
	for (size_t i = 0; i < disk.n_names; i++) {
		if (strcmp(disk.names[i].path, path) == 0)
			return &disk.names[i];
	}
	if (disk.n_names == NAMES)
		errx(1, "powercut: too many files");
	disk.names[disk.n_names].path = must(strdup(path));
	return &disk.names[disk.n_names++];
}

static void
folder_sync(void)
{
	for (size_t i = 0; i < disk.n_names; i++)
		disk.names[i].synced = disk.names[i].now;
}

/* --- the cut --------------------------------------------------------------- */

/* How much of what was not synced is there: all the same for a whole cut, so
 * that the extremes come up as well. */
enum keep {
	KEEP_NONE,
	KEEP_ALL,
	KEEP_FEW,
	KEEP_SOME,
	KEEP_MOST,
	KEEP_UNTIL, /* in the order of writing, up to a moment */
	KEEPS
};

struct fate {
	enum keep keep;
	uint64_t until;
	bool garbage; /* where nothing was written yet, instead of zeros */
};

/* Which of n states, [0] being the synced one. */
static size_t
fate_choose(const struct fate *f, size_t n)
{
	static const uint64_t percent[KEEPS] = { [KEEP_ALL] = 100,
		[KEEP_FEW] = 5,
		[KEEP_SOME] = 50,
		[KEEP_MOST] = 97 };

	if (n == 1 || chance(100) >= percent[f->keep])
		return 0;
	/* Mostly the newest, since that is what a cache holds. */
	return f->keep == KEEP_ALL || chance(4) != 0 ? n - 1
						     : 1 + chance(n - 1);
}

static const unsigned char *
sector_survivor(const struct sector *s, const struct fate *f)
{
	size_t i = 0;

	if (f->keep != KEEP_UNTIL)
		return s->at[fate_choose(f, s->n)].bytes;
	while (i + 1 < s->n && s->at[i + 1].seq < f->until)
		i++;
	/* The last write before the moment was under way. */
	if (i > 0 && s->at[i].seq + 1 == f->until && chance(2) == 0)
		i--;
	return s->at[i].bytes;
}

static int64_t
length_survivor(const struct node *n, const struct fate *f)
{
	size_t i = 0;

	if (f->keep != KEEP_UNTIL)
		return n->lengths[fate_choose(f, n->n_lengths)].len;
	while (i + 1 < n->n_lengths && n->lengths[i + 1].seq < f->until)
		i++;
	return n->lengths[i].len;
}

static void
put(int fd, const unsigned char *p, size_t len, size_t at)
{
	if (pwrite(fd, p, len, (off_t)at) != (ssize_t)len)
		err(1, "powercut: write");
}

static void
node_survive(struct node *n, int fd, const struct fate *f)
{
	int64_t len = length_survivor(n, f);
	unsigned char noise[4096];

	if (n->ghost != NULL)
		put(fd, n->ghost, (size_t)node_len(n), 0);
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (unsigned char)chance(256);
	for (size_t i = 0; i < n->room; i++) {
		const unsigned char *bytes;

		if (n->sectors[i] == NULL)
			continue;
		bytes = sector_survivor(n->sectors[i], f);
		if (f->garbage && bytes == n->sectors[i]->at[0].bytes &&
		    (int64_t)(i * disk.sector) >= n->lengths[0].len)
			bytes = noise;
		put(fd, bytes, disk.sector, i * disk.sector);
	}
	if (ftruncate(fd, len) < 0)
		err(1, "powercut: truncate");
}

/* Either state of the entry, if they differ. */
static void
name_survive(struct name *m, const struct fate *f)
{
	struct node *n = m->now;
	int fd;

	if (m->now != m->synced &&
	    (f->keep == KEEP_NONE || (f->keep != KEEP_ALL && chance(2) == 0)))
		n = m->synced;
	if (n == NULL || n != m->now)
		(void)unlink(m->path);
	if (n == NULL)
		return;
	fd = open(m->path, O_RDWR | O_CREAT, 0640);
	if (fd < 0)
		err(1, "powercut: %s", m->path);
	node_survive(n, fd, f);
}

/* For those who check: which kind of cut; what has been on disk for sure, namely
 * whatever was in the WAL at a time; and the time of the cut. */
static void
report(enum op op, const struct fate *f)
{
	static const char *const keeps[KEEPS] = { "none", "all", "few", "some",
		"most", "until" };
	const char *path = getenv("POWERCUT_REPORT");
	FILE *out = path != NULL ? fopen(path, "w") : NULL;

	if (out == NULL)
		return;
	fprintf(out, "%s %llu %s %llu %llu\n", op_names[op],
	    (unsigned long long)disk.counts[op], keeps[f->keep],
	    (unsigned long long)disk.wal_synced_ns,
	    (unsigned long long)now_ns());
	(void)fclose(out);
}

static void
cut(enum op op)
{
	struct fate f = { .keep = (enum keep)chance(KEEPS),
		.garbage = chance(2) == 0 };

	/* The moment is a late one, where a group or a checkpoint runs. */
	f.until = disk.seq + 1 - chance(chance(2) == 0 ? 16 : 512);
	if (f.until > disk.seq + 1)
		f.until = 0;
	for (size_t i = 0; i < disk.n_names; i++)
		name_survive(&disk.names[i], &f);
	report(op, &f);
	_exit(EXIT_CUT);
}

static void
cut_cb(int sig)
{
	(void)sig;
	disk.cut_now = 1;
}

/* One operation has begun: is it the last? */
static bool
op_is_last(enum op op)
{
	disk.seq++;
	disk.counts[OP_ANY]++;
	if (op != OP_ANY)
		disk.counts[op]++;
	return disk.cut_now ||
	    (disk.cut_n != 0 && (disk.cut_op == op || disk.cut_op == OP_ANY) &&
		disk.counts[disk.cut_op] == disk.cut_n);
}

/* --- the VFS --------------------------------------------------------------- */

static struct file *
file_of(sqlite3_file *f)
{
	return (struct file *)(void *)f;
}

static sqlite3_file *
real_of(sqlite3_file *f)
{
	return file_of(f)->real;
}

static int
cut_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int
cut_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}

static int
cut_write(sqlite3_file *sf, const void *p, int n, sqlite3_int64 at)
{
	struct file *f = file_of(sf);
	enum op op = f->wal && at == 0 ? OP_WAL_HEAD
	    : f->wal		       ? OP_WAL_WRITE
	    : f->db		       ? OP_DB_WRITE
				       : OP_ANY;

	if (f->node != NULL) {
		bool last = op_is_last(op);

		node_write(f->node, f->real, p, (size_t)n, (size_t)at);
		if (last)
			cut(op);
	}
	return f->real->pMethods->xWrite(f->real, p, n, at);
}

static int
cut_truncate(sqlite3_file *sf, sqlite3_int64 len)
{
	struct file *f = file_of(sf);

	if (f->node != NULL) {
		bool last = op_is_last(OP_TRUNCATE);

		node_truncate(f->node, f->real, len);
		if (last)
			cut(OP_TRUNCATE);
	}
	return f->real->pMethods->xTruncate(f->real, len);
}

static void
take_time(bool all)
{
	uint64_t us = all ? disk.sync_us : chance(disk.sync_us + 1);
	struct timespec t = { (time_t)(us / 1000000),
		(long)(us % 1000000 * 1000) };

	(void)nanosleep(&t, NULL);
}

static int
cut_sync(sqlite3_file *sf, int flags)
{
	struct file *f = file_of(sf);
	uint64_t began_ns = now_ns();
	enum op op = f->wal ? OP_WAL_SYNC : f->db ? OP_DB_SYNC : OP_ANY;
	bool last;

	(void)flags;
	if (f->node == NULL)
		return SQLITE_OK;
	last = op_is_last(op);
	take_time(last);
	if (last || disk.cut_now)
		cut(op);
	node_sync(f->node);
	if (f->sync_folder)
		folder_sync();
	f->sync_folder = false;
	if (f->wal)
		disk.wal_synced_ns = began_ns;
	return SQLITE_OK;
}

static int
cut_file_size(sqlite3_file *f, sqlite3_int64 *len)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), len);
}

static int
cut_lock(sqlite3_file *f, int how)
{
	return real_of(f)->pMethods->xLock(real_of(f), how);
}

static int
cut_unlock(sqlite3_file *f, int how)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), how);
}

static int
cut_check_lock(sqlite3_file *f, int *locked)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), locked);
}

static int
cut_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int
cut_sector_size(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int
cut_traits(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

/* Version 1: no shared memory, no mapping, so that nothing goes past us. */
static const sqlite3_io_methods methods = { 1, cut_close, cut_read, cut_write,
	cut_truncate, cut_sync, cut_file_size, cut_lock, cut_unlock,
	cut_check_lock, cut_control, cut_sector_size, cut_traits, NULL, NULL,
	NULL, NULL, NULL, NULL };

/* The node behind a name that is opened now. */
static struct node *
open_node(const char *path, bool was_there, const struct file *f)
{
	struct name *m = name_of(path);
	sqlite3_int64 len = 0;

	if (m->now != NULL)
		return m->now;
	if (f->real->pMethods->xFileSize(f->real, &len) != SQLITE_OK)
		errx(1, "powercut: %s has no length", path);
	m->now = must(calloc(1, sizeof(*m->now)));
	m->now->n_lengths = 1;
	m->now->lengths[0].len = len;
	/* The daemon makes the database's file itself, a moment before. */
	if (was_there && m->synced == NULL && (len != 0 || !f->db))
		m->synced = m->now;
	return m->now;
}

static int
cut_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *sf, int flags,
    int *out_flags)
{
	struct file *f = file_of(sf);
	bool was_there = path != NULL && access(path, F_OK) == 0;
	int code;

	(void)vfs;
	memset(f, 0, sizeof(*f));
	f->real = (sqlite3_file *)(void *)(f + 1);
	code = disk.real->xOpen(disk.real, path, f->real, flags, out_flags);
	if (f->real->pMethods != NULL)
		f->base.pMethods = &methods;
	if (code != SQLITE_OK || path == NULL ||
	    (flags & SQLITE_OPEN_DELETEONCLOSE) != 0)
		return code;
	f->wal = (flags & SQLITE_OPEN_WAL) != 0;
	f->db = (flags & SQLITE_OPEN_MAIN_DB) != 0;
	f->sync_folder = (flags & SQLITE_OPEN_CREATE) != 0 &&
	    (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
	f->node = open_node(path, was_there, f);
	return code;
}

/* A deleted file may come back, so its bytes are kept. */
static void
name_delete(struct name *m)
{
	size_t len = (size_t)node_len(m->now);
	int fd = open(m->path, O_RDONLY | O_CLOEXEC);

	m->now->ghost = must(malloc(len + 1));
	if (fd < 0 || pread(fd, m->now->ghost, len, 0) != (ssize_t)len)
		err(1, "powercut: %s", m->path);
	(void)close(fd);
	m->now = NULL;
}

static int
cut_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
	struct name *m = name_of(path);
	bool last = op_is_last(OP_DELETE);
	int code;

	(void)vfs;
	if (m->now != NULL)
		name_delete(m);
	code = disk.real->xDelete(disk.real, path, 0);
	if (last)
		cut(OP_DELETE);
	if (sync)
		folder_sync();
	return code;
}

/* --- loading --------------------------------------------------------------- */

/* The clock of a machine that took its time to boot. */
int
clock_gettime(clockid_t id, struct timespec *t)
{
	long code = syscall(SYS_clock_gettime, id, t);

	if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
		t->tv_sec += disk.boot_s;
	return (int)code;
}

static uint64_t
number(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value != NULL ? strtoull(value, NULL, 10) : otherwise;
}

static void
read_cut(const char *at)
{
	for (int op = 0; at != NULL && op < OPS; op++) {
		size_t len = strlen(op_names[op]);

		if (strncmp(at, op_names[op], len) == 0 && at[len] == ':') {
			disk.cut_op = (enum op)op;
			disk.cut_n = strtoull(at + len + 1, NULL, 10);
		}
	}
	if (at != NULL && disk.cut_n == 0)
		errx(1, "powercut: POWERCUT_AT=%s", at);
}

static void __attribute__((constructor)) load(void)
{
	static sqlite3_vfs vfs;
	struct sigaction sa = { .sa_handler = cut_cb, .sa_flags = SA_RESTART };

	disk.seed = number("POWERCUT_SEED", 1);
	disk.sector = (size_t)number("POWERCUT_SECTOR", 512);
	disk.sync_us = number("POWERCUT_SYNC_US", 0);
	disk.boot_s = (int64_t)number("POWERCUT_BOOT_S", 0);
	read_cut(getenv("POWERCUT_AT"));
	(void)sigaction(SIGUSR2, &sa, NULL);
	disk.real = sqlite3_vfs_find(NULL);
	vfs = *disk.real;
	vfs.iVersion = 2; /* no system calls to exchange */
	vfs.szOsFile += (int)sizeof(struct file);
	vfs.zName = "powercut";
	vfs.pNext = NULL;
	vfs.xOpen = cut_open;
	vfs.xDelete = cut_delete;
	if (sqlite3_vfs_register(&vfs, 1) != SQLITE_OK)
		errx(1, "powercut: cannot register");
	/* What the daemon starts is not on this disk. */
	(void)unsetenv("LD_PRELOAD");
}
