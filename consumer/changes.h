/* SPDX-License-Identifier: Apache-2.0 */
/* changes.h - what one batch will change in the database, as plain rows.
 *
 * Pure. Filled by workset.c, written by the store. */
#ifndef POLKU_CHANGES_H
#define POLKU_CHANGES_H

#include "journey.h"
#include "obligation.h"

struct store_position {
    sym_t topic;
    int32_t partition;
    int64_t next_offset; /* first offset that is not yet in the database */
    int64_t epoch;
    int32_t slot; /* this partition's slot number in the aggregates */
};

struct store_span { /* one partition's share of the batch */
    struct store_position at; /* as claimed */
    int64_t next_offset;      /* where it will stand */
};

/* A key that exists, as loaded. */
struct store_key {
    struct pk_hash hash;
    enum key_kind kind;
    int64_t cell;
    uint64_t version; /* of the cell, in the same snapshot */
    struct pk_hash owner;           /* first customer met with; zero = events without a customer */
    const struct pk_hash *also;     /* further customers (table sighting) */
    uint32_t also_count;
};

struct change_guard { /* a used cell and the version it was read with */
    int64_t cell;
    uint64_t version;
};
struct change_key {
    struct pk_hash hash;
    enum key_kind kind;
    sym_t name_space; /* 0 for cases and obligations */
    int64_t cell;
    struct pk_hash owner;
};
struct change_sighting {
    struct pk_hash key, customer;
};
struct change_customer {
    struct pk_hash id;
    enum key_kind kind;
    sym_t name_space;
};
struct change_rejourney { /* a stored event that now belongs to another journey (zero = none) */
    int64_t at_us;
    struct pk_hash event_hash, journey;
};
struct change_interactions { /* difference of one bucket of interaction_hourly */
    int64_t hour_us;
    sym_t brand, channel, type, outcome;
    int64_t interactions, contacts;
};
struct change_obligations { /* difference of one bucket of obligation_hourly */
    sym_t kind, brand, unit;
    int64_t due_hour_us; /* PK_NO_TIME = no due time */
    int64_t opened, kept, kept_late_in_window, late, attempted, rejected, withdrawn;
};
struct record_header {
    struct pk_str name;
    struct pk_bytes value; /* ptr NULL = null */
};
struct record_headers {
    const struct record_header *header;
    size_t count;
};
struct change_quarantine {
    sym_t topic;
    int32_t partition;
    int64_t offset;
    enum reject_reason reason;
    struct pk_str detail;
    int64_t received_at_us;
    struct pk_bytes key, value; /* ptr NULL = null; both NULL for a displaced duplicate of an earlier batch */
    const struct record_headers *headers;
};

/* All that one batch changes. Arrays are sorted by the caller in the order in which rows are locked:
 * guards by cell, keys by hash, facts by (at_us, event_hash), journeys and obligations by id, buckets by all key members. */
struct changes {
    const struct store_span *span;
    size_t spans;
    int32_t slot; /* of the lowest partition in the batch */
    PK_VEC(struct change_guard) guard;
    uint64_t token; /* the new version of every guarded and new cell */
    PK_VEC(int64_t) new_cell;
    PK_VEC(struct change_key) key;
    PK_VEC(struct change_sighting) sighting;
    PK_VEC(struct change_customer) customer;
    PK_VEC(struct pk_hash) customer_gone;
    PK_VEC(struct fact *) replaced; /* stored events to delete first: a copy with a smaller hash won */
    PK_VEC(struct fact *) fact;     /* to insert, journey from fact->journey */
    PK_VEC(struct change_rejourney) rejourney;
    PK_VEC(struct journey *) journey; /* insert where `old` is NULL, else update; likewise obligations */
    PK_VEC(struct pk_hash) journey_gone;
    PK_VEC(struct obligation *) obligation;
    PK_VEC(struct pk_hash) obligation_gone;
    PK_VEC(struct change_interactions) interactions;
    PK_VEC(struct change_obligations) obligations;
    PK_VEC(struct change_quarantine) quarantine;
};

void changes_reset(struct changes *changes); /* memory kept */
void changes_done(struct changes *changes);

#endif
