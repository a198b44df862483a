/* SPDX-License-Identifier: Apache-2.0 */
/* memory_store.h - the tables in memory, for tests: answers what a workset needs and applies changes with
 * every check that PostgreSQL makes, and with more: what a batch writes or has read must be protected by a
 * cell that it guards, and what it believes of a stored row must be so.
 *
 * Protected are: a key's row, users, decisions and meetings by its cell; a meeting by the cells of all its persons; an
 * event, written or taken away, by the cells of all its names and of its customer; one that moves, journeys,
 * obligations and customers by the cells of the customers before and after.
 *
 * Rows are deep copies; nothing of a batch's arena is kept. Not thread-safe. */
#ifndef POLKU_MEMORY_STORE_H
#define POLKU_MEMORY_STORE_H

#include "workset_seal.h"

struct memory_cell {
    int64_t id;
    uint64_t version;
};
struct memory_key { /* a row of identifier with its sightings, and the rows of identity_meeting that name it */
    struct pk_hash hash;
    enum key_kind kind;
    sym_t name_space;
    uint32_t flags;
    int64_t first_at_us, sealed_at_us;
    struct pk_hash customer;
    struct pk_str value;
    struct memory_cell *cell;
    struct pk_hash owner, *also;
    uint32_t also_count, also_cap;
    struct store_meeting **meeting;
    uint32_t meeting_count, meeting_cap;
};
struct memory_decision {
    struct change_decision row; /* `restore` is never set */
    bool in_force;
};
struct memory_forgotten { /* a row of forgotten */
    struct pk_hash event_hash; /* zero = all events of the name */
    struct forgotten row;
};
struct memory_course {
    struct pk_hash journey, customer;
    struct course course;
};
struct memory_bucket { /* a row of an aggregate: one per bucket and slot */
    int32_t slot;
    struct change_aggregate row; /* its counts are here: */
    int64_t count[AGGREGATE_COUNTS];
};

struct memory_store {
    struct pk_arena arena;
    struct pk_map facts;       /* (at_us, event_hash) -> struct fact; its customer and stored_* are the row's */
    struct pk_map journeys;    /* -> struct journey, without courses */
    struct pk_map courses;     /* (journey, definition) -> struct memory_course */
    struct pk_map obligations; /* -> struct obligation */
    struct pk_map customers;   /* -> struct change_customer */
    struct pk_map carries;     /* -> struct store_carry */
    struct pk_map sealed_facts, sealed_journeys, sealed_obligations; /* as the maps above; the facts only for tests to know */
    struct pk_map keys;        /* -> struct memory_key */
    struct pk_map cells;       /* -> struct memory_cell */
    struct pk_map buckets;     /* (bucket, slot) -> index + 1 */
    PK_VEC(struct memory_bucket) bucket;
    PK_VEC(struct memory_decision) decisions;    /* in the order in which they were made */
    PK_VEC(struct memory_forgotten) forgotten;
    int64_t forgettings;
    PK_VEC(struct change_quarantine) quarantine; /* without texts and records */
    PK_VEC(struct store_position) positions;
    int64_t last_cell;
    uint64_t last_token;
};

void memory_store_init(struct memory_store *store);
void memory_store_done(struct memory_store *store);

struct fact *memory_find_fact(const struct memory_store *store, int64_t at_us, struct pk_hash event_hash);
/* Claims a partition, from offset 0 where it is new: epoch + 1. */
struct store_position memory_claim(struct memory_store *store, sym_t topic, int32_t partition);
/* The journey with its courses, by definition; they live in `arena`. */
struct journey memory_journey(const struct memory_store *store, const struct journey *row, struct pk_arena *arena);
/* Adds to a bucket of a slot, as the statement of the store does. */
void memory_add_bucket(struct memory_store *store, int32_t slot, const struct change_aggregate *add);
/* The buckets of one aggregate, slots added up, without those that are all zero, sorted by time and dimensions. */
struct change_aggregate *memory_sums(const struct memory_store *store, enum aggregate table, struct pk_arena *arena,
                                     size_t *ret_count);
/* The same without SEALED_SLOT: what the events and rows that are left give. */
struct change_aggregate *memory_sums_left(const struct memory_store *store, enum aggregate table, struct pk_arena *arena,
                                          size_t *ret_count);
bool memory_is_sealed(const struct memory_store *store, int64_t at_us, struct pk_hash event_hash);
/* Who used a key, each once. */
struct pk_hash *memory_users(const struct memory_key *key, struct pk_arena *arena, uint32_t *ret_count);

/* PK_OK; PK_STALE or PK_FENCED as PostgreSQL would say, with nothing applied; PK_STOP: the changes contradict
 * the tables or the contract of changes.h, which is a bug of whoever made them. */
enum pk_status memory_apply(struct memory_store *store, const struct changes *changes, struct pk_err *err);

/* Do the tables fit together? Aggregates are counted anew from the stored rows and events. Identifiers and meetings are compared with what the stored events give; every event with a
 * customer is in one journey of that customer (passive ones may be in none); through each of its names its customer is
 * found; no customer has two values of a unique namespace. PK_REJECT with a sentence. */
enum pk_status memory_audit(const struct memory_store *store, const struct meaning *meaning, struct pk_err *err);

/* ---- a consumer, without Kafka: does what pipeline and committer do with one batch ---- */

struct memory_worker {
    struct memory_store *store;
    const struct meaning *meaning;
    struct cache cache;
    struct store_position at;
    void (*between)(enum ws_need_kind loaded); /* after each load: loads of a locked try are not one snapshot; may be NULL */
    bool trusting; /* does not drop its cells from the cache after a failed try: must be harmless */
    uint64_t fast, slow, stale, batches; /* counters */

    /* the batch under way */
    struct pk_arena arena;
    struct workset workset;
    struct changes changes;
    struct metrics metrics;
    struct fact **fact;
    size_t facts;
    const struct change_decision *decision;
    size_t decisions;
    const struct change_forgetting *forgetting;
    struct seal *seal;
    struct pk_arena altered_arena; /* new lists of facts, which outlive a try; kept until the end */
    uint64_t forgotten; /* facts dropped */
    PK_VEC(struct fact *) lost; /* copies that lost against another one of the batch */
    PK_VEC(int64_t) read; /* cells of the keys through which rows were loaded */
    enum pk_status begun;
};

void memory_worker_init(struct memory_worker *worker, struct memory_store *store, const struct meaning *meaning,
                        size_t cache_budget, sym_t topic, int32_t partition);
void memory_worker_done(struct memory_worker *worker);

/* Try 1 up to the commit. `fact` in order of arrival, duplicates included, borrowed until memory_finish. */
enum pk_status memory_begin(struct memory_worker *worker, struct fact **fact, size_t count, struct pk_err *err);
/* The commit; if that is stale, a second try that believes nothing cached. Only PK_OK is no failure. */
enum pk_status memory_finish(struct memory_worker *worker, struct pk_err *err);
/* Both. */
enum pk_status memory_batch(struct memory_worker *worker, struct fact **fact, size_t count, struct pk_err *err);
/* A command too: forgets (docs/semantics.md 3.7). */
enum pk_status memory_forget(struct memory_worker *worker, const struct change_forgetting *forgetting, struct pk_err *err);
/* A command: seals what it may (docs/semantics.md 3.8) of these customers, or of the stored events without one before
 * before_us (then nameless is set here). PK_REJECT: somebody was refused, nothing is changed. */
enum pk_status memory_seal(struct memory_worker *worker, struct seal *seal, struct pk_err *err);
/* A command: decisions, made against what is stored now. Its worker has no cache and no other work. */
enum pk_status memory_decide(struct memory_worker *worker, const struct change_decision *decision, size_t count,
                             struct pk_err *err);

#endif
