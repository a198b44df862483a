/* SPDX-License-Identifier: Apache-2.0 */
/* republish.h - records back into Kafka as they are, and one record read again at its offset.
 *
 * For requeue, which publishes what quarantine holds: bytes, not events, so nothing of the producer is of use here. The
 * third place that meets librdkafka. Not thread-safe. */
#ifndef POLKU_REPUBLISH_H
#define POLKU_REPUBLISH_H

#include "changes.h"
#include "options.h"

struct republish_config {
    const char *brokers, *client_id;
    const struct kafka_property *property; /* passed through, but for what delivery rests on */
    size_t properties;
};

struct republish_record {
    const char *topic;
    int32_t partition; /* -1: where the key goes, as the clients of Java and Polku's producer choose it */
    int64_t at_us;     /* PK_NO_TIME = now */
    struct pk_bytes key, value; /* ptr NULL = null */
    const struct record_header *header;
    size_t headers;
    bool delivered; /* then it is at: */
    int32_t to_partition;
    int64_t to_offset;
};

struct republish;

/* PK_REJECT: a property that does not exist. Connects in the background. */
enum pk_status republish_open(const struct republish_config *config, struct republish **ret_republish, struct pk_err *err);
void republish_close(struct republish *republish); /* NULL is fine */

/* Publishes all of them with acks=all and waits for every report. PK_RETRY: not all were delivered; `delivered` says
 * which were. */
enum pk_status republish_send(struct republish *republish, struct republish_record *record, size_t count, struct pk_err *err);

/* The record of an offset, copied into the arena: key, value, headers, at_us. PK_REJECT: Kafka does not hold it any more. */
enum pk_status republish_fetch(struct republish *republish, const char *topic, int32_t partition, int64_t offset,
                               struct pk_arena *arena, struct republish_record *ret, struct pk_err *err);

#endif
