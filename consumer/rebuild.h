/* SPDX-License-Identifier: Apache-2.0 */
/* rebuild.h - derives everything again from the stored events, or from Kafka, and the decisions; swaps the tables at once.
 *
 * Beside the tables in use (docs/adr/0012): readers go on reading those until the swap. Consumers wait all the time while stored
 * events are read; while Kafka is read, at its end only. The same
 * committer fills the new tables that consumers fill the others with. Whatever happens before the swap has committed, the
 * tables in use stay as they were. */
#ifndef POLKU_REBUILD_H
#define POLKU_REBUILD_H

#include <signal.h>

#include "commit.h"
#include "intake.h"

struct rebuild_handler { /* what the caller tells people */
    void *context;
    /* A step has begun or lasts: `detail` is "key=value" pairs, or "". */
    void (*say)(void *context, const char *sentence, const char *detail);
    void (*warn)(void *context, const char *sentence, const char *detail);
    /* After every batch. */
    void (*progress)(void *context, int64_t done, int64_t total, const struct commit_counters *counters);
};

struct rebuild_kafka_config { /* from Kafka: docs/adr/0017 */
    struct intake_config intake;  /* brokers and properties; topics are those of the stored positions */
    struct schema_set *schemas;
    int64_t batch_bytes, max_ahead_us;
    bool accept_unknown_cleanup; /* of topics whose settings Kafka does not let us read; else they are a reason to refuse */
    bool keep_older;     /* events that Kafka does not hold any more are taken from the tables; else they are a reason to refuse */
    bool drop_decisions; /* with another key or other hashing: do without those in force */
    const struct rules *former_rules; /* with which the tables were hashed; NULL: as the new ones */
    const struct fact_hasher *former_hasher;
};

struct rebuild_config {
    struct store_config store; /* of schema polku */
    const struct rules *rules;
    const struct fact_hasher *hasher;
    struct symbols *symbols;
    const struct rebuild_kafka_config *kafka; /* NULL: from the stored events */
    int64_t batch_records, cache_bytes;
    struct rebuild_handler handler;
};

/* PK_OK: swapped, or there was nothing to derive from. PK_STOP: the text says why not. PK_RETRY: PostgreSQL was away, or
 * *stop was set: run it again. */
enum pk_status rebuild_run(const struct rebuild_config *config, const volatile sig_atomic_t *stop, struct pk_err *err);

#endif
