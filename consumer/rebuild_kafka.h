/* SPDX-License-Identifier: Apache-2.0 */
/* rebuild_kafka.h - fills the tables of a rebuild with what Kafka holds, while consumers go on.
 *
 * What is read is decided by offsets alone: of each partition that the database knows, from Kafka's first offset up to the
 * stored position. That position moves while we read, so it is read in rounds, each up to where it stands then; the last
 * round, with lock K held, is as short as consumers are slow. Records are decoded, judged and hashed as `run` does.
 *
 * Another key, or other hashing: a round is read twice. First every record is hashed in both ways, which tells under which
 * new hash a decision, a forgetting or a copy of an older event has to be looked for; then it is derived. */
#ifndef POLKU_REBUILD_KAFKA_H
#define POLKU_REBUILD_KAFKA_H

#include "rebuild.h"
#include "refill.h"
#include "store_rebuild_kafka.h"

struct rebuild_kafka;

/* Reads positions, asks Kafka what it holds of them, and the tables what it does not. PK_STOP with a sentence if something
 * would be lost, or decisions could not be carried over. `refill` has begun. */
enum pk_status rebuild_kafka_open(const struct rebuild_config *config, const struct rebuild_state *state,
                                  struct refill *refill, const volatile sig_atomic_t *stop, struct rebuild_kafka **ret,
                                  struct pk_err *err);
/* Round after round, until what is left is a batch or less. */
enum pk_status rebuild_kafka_fill(struct rebuild_kafka *kafka, struct pk_err *err);
/* The rest, while nobody else commits. PK_RETRY: something happened meanwhile that only a new rebuild can take in. */
enum pk_status rebuild_kafka_end(struct rebuild_kafka *kafka, struct pk_err *err);
void rebuild_kafka_close(struct rebuild_kafka *kafka);

#endif
