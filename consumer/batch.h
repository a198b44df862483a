/* SPDX-License-Identifier: Apache-2.0 */
/* batch.h - the records of one batch, decoded: facts, and rejects with their reason.
 *
 * Everything of a batch lives in its arena; records may be given back to Kafka's client at once. */
#ifndef POLKU_BATCH_H
#define POLKU_BATCH_H

#include "changes.h"
#include "event_avro.h"

struct batch_record { /* as it came from Kafka; borrowed */
    uint32_t position;  /* index of its partition among the claimed positions */
    sym_t topic;
    int32_t partition;
    int64_t offset;
    int64_t received_at_us; /* Kafka timestamp, PK_NO_TIME if none */
    struct pk_bytes key, value;
    const struct record_header *header;
    size_t header_count;
    bool more_headers; /* than fit in there */
};

struct batch_item {
    uint32_t position;
    int64_t offset;
    struct fact *fact;                /* NULL: rejected */
    struct change_quarantine *reject; /* NULL: a fact */
};

struct batch {
    struct pk_arena arena;
    PK_VEC(struct batch_item) item; /* in order of arrival, so any prefix is one of every partition */
    PK_VEC(int64_t) month;          /* first microsecond of every month that its facts touch */
    size_t bytes;                   /* of records: keys, values, headers */
    size_t rejects;
};

/* Who published what is no event: names of systems, in the dictionary as those of events are. Garbage may say anything, so
 * only what can be the source of an event counts, and only so many that nobody else has used. */
struct reject_sources {
    struct symbols *symbols;
    size_t left; /* new names that may come */
};
enum { REJECT_SOURCES_MOST = 1000 };

struct decoder {
    struct schema_set *schemas;
    struct fact_maker *maker;
    struct event_limits limits;
    int64_t horizon_us;
    struct reject_sources *sources; /* of rejects; NULL: not asked for */
    int64_t retained_us; /* records before it are no events, and nothing is kept of them: docs/semantics.md 3.8 */
};

void batch_reset(struct batch *batch); /* memory kept for the next one */
void batch_done(struct batch *batch);
/* Decodes, validates, hashes. A record that cannot be one becomes a reject and PK_OK; PK_RETRY if that
 * cannot be said now (a registry is away): nothing was added, give the record again later. */
enum pk_status batch_add(struct batch *batch, const struct decoder *decoder, const struct batch_record *record,
                         struct pk_err *err);

#endif
