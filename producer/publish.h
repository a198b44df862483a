/* SPDX-License-Identifier: Apache-2.0 */
/* publish.h - the inside of polku/producer.h, for the program: ready payloads, chosen partitions.
 *
 * The only place that meets librdkafka. */
#ifndef POLKU_PUBLISH_H
#define POLKU_PUBLISH_H

#include "pk.h"
#include "polku/producer.h"

enum { PUBLISH_ANY_PARTITION = -1 };

/* Of the librdkafka that runs. */
const char *publish_kafka_version(void);

/* Asks a broker for the topic. PK_RETRY if none answers in time, PK_REJECT if the topic is not there. */
enum pk_status publish_partitions(struct polku_producer *producer, int timeout_ms, int32_t *ret_count,
                                  struct pk_err *err);

/* Enqueues a payload; waits while the queue is full. PK_RETRY after queue_wait_ms, PK_REJECT for this message
 * alone (too large for the broker's limit, no such partition), PK_STOP after a fatal error. */
enum pk_status publish_payload(struct polku_producer *producer, struct pk_str payload, struct pk_str key,
                               int32_t partition, void *token, struct pk_err *err);

#endif
