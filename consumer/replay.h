/* SPDX-License-Identifier: Apache-2.0 */
/* replay.h - Kafka once more: given partitions from one offset up to another, as a member of no group.
 *
 * Nobody notices: nothing is committed to Kafka, no partition is taken from anybody. Each offset comes at most once and in
 * the order of its partition, under the same properties as in intake.h; what has no record (transaction markers, compacted
 * ones) is passed over. One replay reads its spans once; to go on, open another one. */
#ifndef POLKU_REPLAY_H
#define POLKU_REPLAY_H

#include "intake.h"

struct replay_span {
    const char *topic;
    int32_t partition;
    int64_t from, to; /* the first to deliver, and the first not to */
};

struct replay;

/* Where these partitions begin and end in Kafka, in `from` and `to`; -1 in both: Kafka has no such partition. PK_RETRY: the
 * brokers do not answer. */
enum pk_status replay_bounds(const struct intake_config *config, struct replay_span *span, size_t count, struct pk_err *err);

/* Begins to fetch. `span` is borrowed until the end. */
enum pk_status replay_open(const struct intake_config *config, const struct replay_span *span, size_t count,
                           struct replay **ret_replay, struct pk_err *err);
void replay_close(struct replay *replay);

/* PK_OK with a record (`index` is that of its span) or without one (ret->message NULL: none came in time). PK_STOP: an
 * offset is not in Kafka any more, or reading is not allowed. PK_RETRY: nothing came for PATIENCE. */
enum pk_status replay_poll(struct replay *replay, int64_t timeout_us, struct intake_record *ret, struct pk_err *err);
/* Every span was read to its end. */
bool replay_ended(const struct replay *replay);

#endif
