/* SPDX-License-Identifier: Apache-2.0 */
/* commit.h - one batch into PostgreSQL: load, derive, save; at most five tries (docs/protocol.md).
 *
 * Try 1 is optimistic, from the cache. If another process changed what it was derived from, the batch
 * is halved and tried again with its cells locked (three times), then alone. The cache changes only
 * after a COMMIT whose result was read. */
#ifndef POLKU_COMMIT_H
#define POLKU_COMMIT_H

#include "batch.h"
#include "metrics_text.h"
#include "quarantine_limit.h"
#include "store.h"
#include "workset_seal.h"

struct commit_counters {
    uint64_t batches, records, facts, rejects;
    uint64_t displaced;               /* of rejects: stored copies that lost against one of a batch */
    uint64_t rejected[REJECT_COUNT], counted[REJECT_COUNT]; /* rejects by reason: rows of quarantine; only counted */
    uint64_t fast, slow;              /* facts by the path on which they were derived */
    uint64_t retries[5];              /* tries that failed, by their number from 1 */
    uint64_t rows[METRIC_TABLE_COUNT]; /* inserted, updated, deleted */
    uint64_t keys, keys_loaded;       /* that batches used; of them from the database */
    struct histogram batch_records, record_age, event_age; /* ages at the commit */
    uint64_t forgotten;               /* facts that are no events any more: docs/semantics.md 3.7 */
    uint64_t retained;                /* records before the latest retention, which are none either: 3.8 */
};

struct committer {
    const struct meaning *meaning;
    struct store *store;
    struct cache cache;
    struct commit_counters counters;
    bool measured; /* the histograms are filled: they cost some nanoseconds a record */
    struct quarantine_limit *limit; /* of what is set aside; NULL: everything is stored */

    /* the try that is under way */
    struct pk_arena arena;
    struct workset workset;
    struct changes changes;
    struct metrics metrics;
    struct pk_map locked;
    PK_VEC(int64_t) known; /* cells to lock in the next try */
    PK_VEC(struct fact *) lost; /* copies that lost against another one of this try */
    struct batch *batch;
    size_t from, to; /* the items of the batch in this try */
    struct store_position *position;
    size_t positions;
    size_t rejects;  /* of this try, those that are only counted included */
    uint64_t keys_loaded; /* in this try */
};

void committer_init(struct committer *committer, const struct meaning *meaning, struct store *store,
                    size_t cache_bytes);
void committer_done(struct committer *committer);

/* Starts try 1 of the whole batch and returns without waiting for the COMMIT. `position` is updated by
 * commit_finish; both are borrowed until then. */
enum pk_status commit_start(struct committer *committer, struct batch *batch, struct store_position *position,
                            size_t positions, struct pk_err *err);
/* Waits; goes on with further tries and the rest of the batch where needed. PK_OK: all of it is committed.
 * Anything else: what was committed shows in the positions, what was not has left no trace. */
enum pk_status commit_finish(struct committer *committer, struct pk_err *err);
static inline bool commit_under_way(const struct committer *committer)
{
    return committer->batch != NULL;
}
/* Decisions of a person about identity, alone among writers and from the database itself: what they change is derived
 * again in the same transaction. At most one of each hash. Not while a batch is under way. */
enum pk_status commit_decisions(struct committer *committer, const struct change_decision *decision, size_t count,
                                struct pk_err *err);
/* Who these persons are, worked out from their meetings; likewise. */
enum pk_status commit_resolve(struct committer *committer, const struct pk_hash *person, size_t count, struct pk_err *err);
/* What is to be forgotten: found within the transaction, alone among writers, so it is still so when it is done. Everything in
 * `ret` lives in `arena` or longer. Another status than PK_OK ends it. */
typedef enum pk_status (*commit_forget_plan)(void *context, struct pk_arena *arena, struct change_forgetting *ret,
                                             struct pk_err *err);
/* Forgets (docs/semantics.md 3.7), and everything that was derived from it, in one transaction. What became of it is in
 * changes.forgot. Not while a batch is under way. */
enum pk_status commit_forget(struct committer *committer, commit_forget_plan plan, void *context, struct pk_err *err);
/* Seals (docs/semantics.md 3.8) what it may of these customers, or of these events without one (at_us and event_hash of `wanted`
 * are given; those that have a customer by now are left out), in one transaction, alone among writers. PK_OK with `refused` set
 * of some: nothing was done, more would change; with those left out or with less of them it may go. What was done is in
 * changes.sealed. Not while a batch is under way. */
enum pk_status commit_seal(struct committer *committer, struct seal *seal, bool *ret_refused, struct pk_err *err);
/* Positions alone: offsets without events (control records, compacted gaps). */
enum pk_status commit_positions(struct committer *committer, struct store_position *position, size_t positions,
                                const int64_t *next_offset, struct pk_err *err);

#endif
