/* api/info_priv.h - shared by the forms of channel information. */
#ifndef API_INFO_PRIV_H
#define API_INFO_PRIV_H

#include "api/info.h"

#define INFO_TIME_SIZE 32

void info_put(struct reply *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* UTC, as in "2026-11-22T18:51:34". */
void info_time(int64_t now_s, char out[INFO_TIME_SIZE]);

static inline const char *
info_wildcard_name(bool broadcast)
{
	return broadcast ? "broadcast_channels" : "wildcard_channels";
}

#endif
