/*
 * store/store_bucket.c - the pages of member that new rows go to.
 *
 * member is sorted by bucket, then channel.  A round writes its rows to the
 * newest bucket only, so it touches no more pages than that bucket has, and
 * old ones are left in peace until their rows expire.  A bucket is named by
 * the second it begins at, and ends where the next begins: after an hour, or
 * when it has many rows.  To find what a channel keeps, all buckets from a
 * position on are looked into; there are few.
 *
 * A new one begins only between rounds, behind all that is indexed: rows that
 * are written stay where their cursor says.  For the same reason a round that
 * was interrupted by a kill is done again without a new bucket.
 */
#include "store/store_sqlite_priv.h"

#define BUCKET_S 3600
#define BUCKET_ROWS 524288

/* The last bucket that begins at or before t; 0, if any, is the first. */
size_t
bucket_index(const struct sq *sq, uint64_t t)
{
	size_t low = 0, high = sq->buckets.count;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (sq->buckets.at[mid] <= t)
			low = mid;
		else
			high = mid;
	}
	return low;
}

uint64_t
bucket_of(const struct sq *sq, uint64_t cursor)
{
	if (sq->buckets.count == 0)
		return 0; /* there are no rows to find */
	return sq->buckets.at[bucket_index(sq, cursor_time(cursor))];
}

static int
bucket_add(struct sq *sq, uint64_t start)
{
	void *at = sq->buckets.at;
	int err = array_fit(
	    &at, &sq->buckets.room, sq->buckets.count + 1, sizeof(uint64_t));

	sq->buckets.at = at;
	if (err == 0)
		sq->buckets.at[sq->buckets.count++] = start;
	sq->bucket_rows = 0;
	return err;
}

/* The first bucket that has rows and begins at or after *start. */
static int
bucket_next(struct sq *sq, uint64_t *start, bool *found)
{
	sqlite3_stmt *st = sq->st.at[STMT_MEMBER_BUCKET];
	int code;

	STMT_BIND(st, *start);
	code = sqlite3_step(st);
	*found = code == SQLITE_ROW;
	if (*found)
		*start = stmt_u64(st, 0);
	code = stmt_end(st, code);
	return code == SQLITE_OK ? 0 : sq_error(sq, code, "read the index");
}

int
buckets_load(struct sq *sq)
{
	uint64_t start = 0;
	bool found;
	int err;

	sq->interrupted = sq->state.loose[1] != 0;
	for (;; start++) {
		err = bucket_next(sq, &start, &found);
		if (err != 0 || !found)
			return err;
		err = bucket_add(sq, start);
		if (err != 0)
			return err;
	}
}

/* Forget those whose rows have all gone, but not the newest. */
static int
buckets_prune(struct sq *sq)
{
	uint64_t start = 0;
	size_t n = 0;
	bool found;
	int err = bucket_next(sq, &start, &found);

	if (err != 0 || !found)
		return err;
	while (n + 1 < sq->buckets.count && sq->buckets.at[n] < start)
		n++;
	sq->buckets.count -= n;
	memmove(sq->buckets.at, sq->buckets.at + n,
	    sq->buckets.count * sizeof(uint64_t));
	return 0;
}

/* Before a round: which bucket do its rows go to? */
int
buckets_round(struct sq *sq)
{
	uint64_t start = cursor_time(sq->state.indexed);
	uint64_t newest;
	int err;

	if (sq->buckets.count == 0)
		return bucket_add(sq, start);
	err = buckets_prune(sq);
	newest = sq->buckets.at[sq->buckets.count - 1];
	if (err != 0 || sq->interrupted || start < newest ||
	    (cursor_time(sq->last) < newest + BUCKET_S &&
		sq->bucket_rows < BUCKET_ROWS))
		return err;
	return bucket_add(sq, start + 1);
}
