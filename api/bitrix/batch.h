/*
 * api/bitrix/batch.h - RequestBatch and ResponseBatch: version 4's protobuf.
 *
 * The messages stand in batch.proto (bitrix.md section d.1), protobuf-c reads
 * and writes them.  What reading may cost in memory is bounded: a million bytes
 * of empty messages are refused, not unpacked.  Pure.
 */
#ifndef API_BITRIX_BATCH_H
#define API_BITRIX_BATCH_H

#include "api/bitrix/batch.pb-c.h"
#include "base/base.h"
#include "base/buf.h"
#include "base/msg.h"

struct batch; /* a RequestBatch and all it is made of; opaque */

#define BATCH_MEMORY_MAX ((size_t)16 << 20)

/* ERR_SYNTAX: not a RequestBatch; ERR_TOOBIG: more memory than
 * BATCH_MEMORY_MAX; ERR_NOMEM.  The bytes are not referred to afterwards. */
int batch_read(struct slice bytes, struct batch **out) MUST_CHECK;
void batch_free(struct batch **b);
/* The first request, the only one that is looked at; NULL: there is none. */
const Request *batch_request(const struct batch *b);

/* Each appends a whole ResponseBatch; two in a row are one again. */
int batch_put_message(
    struct buf *out, const struct msg *m, uint64_t cursor) MUST_CHECK;
int batch_put_channel_stats(struct buf *out, const ChannelStatsRequest *asked,
    const bool *online) MUST_CHECK; /* one for each channel asked for */
int batch_put_server_stats(struct buf *out, struct slice json) MUST_CHECK;

#endif
