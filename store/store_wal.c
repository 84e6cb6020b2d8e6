/*
 * store/store_wal.c - what SQLite would pass over in silence.
 *
 * A WAL ends where its frames' checksums end: SQLite takes what stands before
 * and forgets the rest, since that is what a kill or a power cut in the middle
 * of a commit leaves.  But a damaged byte in its middle looks the same, and
 * then all that was acknowledged after it would go without a word.  Frames of
 * the same life behind the first bad one tell: a kill leaves none, and who had
 * no power cut has lost messages.  A head that is none is the same.
 *
 * Format: sqlite.org/fileformat2.html, section 4.
 */
#include "store/store_wal.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "store/store_stmt.h"

#define HEAD 32
#define FRAME 24
#define MAGIC 0x377f0682U /* the lowest bit: sums are big-endian */
#define PAGE_MAX 65536

struct wal {
	int fd;
	bool big;
	uint32_t page_size;
	uint32_t sum[2];
	unsigned char salts[8];
	unsigned char frame[FRAME + PAGE_MAX];
};

static uint32_t
get32(const unsigned char *at, bool big)
{
	return big ? (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
		(uint32_t)at[2] << 8 | at[3]
		   : (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 |
		(uint32_t)at[1] << 8 | at[0];
}

static void
wal_sum(struct wal *w, const unsigned char *at, size_t len)
{
	for (; len >= 8; at += 8, len -= 8) {
		w->sum[0] += get32(at, w->big) + w->sum[1];
		w->sum[1] += get32(at + 4, w->big) + w->sum[0];
	}
}

static bool
wal_sum_is(const struct wal *w, const unsigned char *at)
{
	return get32(at, true) == w->sum[0] && get32(at + 4, true) == w->sum[1];
}

/* Of the head's 32 bytes. */
static bool
wal_head(struct wal *w, const unsigned char *head)
{
	w->big = (head[3] & 1) != 0;
	w->page_size = get32(head + 8, true);
	memcpy(w->salts, head + 16, sizeof(w->salts));
	if ((get32(head, true) | 1) != (MAGIC | 1) || w->page_size < 512 ||
	    w->page_size > PAGE_MAX)
		return false;
	wal_sum(w, head, 24);
	return wal_sum_is(w, head + 24);
}

/* The frame that was read: is it the next one? */
static bool
wal_follows(struct wal *w)
{
	wal_sum(w, w->frame, 8);
	wal_sum(w, w->frame + FRAME, w->page_size);
	return wal_sum_is(w, w->frame + 16);
}

static bool
wal_of_this_life(const struct wal *w)
{
	return memcmp(w->frame + 8, w->salts, sizeof(w->salts)) == 0;
}

/* How many frames are good, and how many commits of the same life follow the
 * first bad one.  Frames without a commit may be what a full disk left of one
 * that failed. */
static void
wal_walk(struct wal *w, uint64_t *good, uint64_t *lost)
{
	size_t size = FRAME + w->page_size;
	bool chained = true, met_bad = false;

	*good = *lost = 0;
	while (read(w->fd, w->frame, size) == (ssize_t)size) {
		bool ours = wal_of_this_life(w);

		chained = chained && ours && wal_follows(w);
		*good += chained;
		/* Only the last frame of a commit has the file's length. */
		*lost += ours && met_bad && get32(w->frame + 4, true) != 0;
		met_bad = !chained;
	}
}

static bool
wal_check(struct wal *w, const char *path)
{
	static const unsigned char nothing[HEAD];
	unsigned char head[HEAD];
	uint64_t good, lost;

	if (read(w->fd, head, sizeof(head)) != (ssize_t)sizeof(head) ||
	    memcmp(head, nothing, sizeof(head)) == 0)
		return true;
	if (!wal_head(w, head)) {
		log_at(LOG_ERROR,
		    "database %s: the head of its WAL is damaged: what was "
		    "not in the database itself is lost; " DAMAGE_ADVICE,
		    path);
		return false;
	}
	wal_walk(w, &good, &lost);
	if (lost == 0)
		return true;
	log_at(LOG_ERROR,
	    "database %s: its WAL ends after %llu frames, and %llu that follow "
	    "are lost: after a power cut nobody had been told of those, else "
	    "the file is damaged; " DAMAGE_ADVICE,
	    path, (unsigned long long)good, (unsigned long long)lost);
	return false;
}

bool
wal_whole(const char *path)
{
	struct wal *w = calloc(1, sizeof(*w));
	char *name = NULL;
	bool whole = true;

	if (w != NULL && asprintf(&name, "%s-wal", path) >= 0) {
		w->fd = open(name, O_RDONLY | O_CLOEXEC);
		if (w->fd >= 0) {
			whole = wal_check(w, path);
			(void)close(w->fd);
		}
		free(name);
	}
	free(w);
	return whole;
}
