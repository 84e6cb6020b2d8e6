/*
 * base/units.h - nginx's syntax of times, sizes and flags.
 *
 * "40", "40s", "1h 30m", "500ms"; "128k", "32M"; "on", "off".  Thread: any.
 */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include "base/base.h"

/* false: it is none, and nothing was set. */
bool parse_count(struct slice v, uint64_t *n); /* digits only */
bool parse_time_ms(struct slice v, uint64_t *ms);
bool parse_size(struct slice v, uint64_t *bytes);
bool parse_flag(struct slice v, bool *on);

#endif
