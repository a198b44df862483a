/* SPDX-License-Identifier: Apache-2.0 */
/* refill.h - the stored events and decisions of one store, derived again into the empty tables of another.
 *
 * What a rebuild and a verification have in common: events are read page by page from `old` and committed to `shadow` by
 * the same committer that consumers use, a page being read while the batch before it is in flight. */
#ifndef POLKU_REFILL_H
#define POLKU_REFILL_H

#include "commit.h"
#include "match.h"
#include "store_rebuild.h"

#include <signal.h>

struct refill_config {
    const struct rules *rules;
    const struct fact_hasher *hasher;
    struct symbols *symbols;
    int64_t batch_records, cache_bytes;
    void *context;
    /* After every batch. */
    void (*progress)(void *context, int64_t done, int64_t total, const struct commit_counters *counters);
    void (*look)(void *context, const struct fact *fact); /* at every event that was read; may be NULL */
};

struct refill {
    struct refill_config config;
    const volatile sig_atomic_t *stop;
    struct matcher matcher;
    struct fact_maker maker;
    struct meaning meaning;
    struct store *old, *shadow;
    struct committer committer;
    struct batch batch[2]; /* one is filled while the other is in flight */
    int filling;
    struct rebuild_page page; /* the one that was asked for last */
    sym_t *clear;             /* namespaces whose values are stored clear; `page` borrows it */
    int64_t total, read, too_late;
    bool asked; /* a page is to be read */
};

void refill_init(struct refill *refill, const struct refill_config *config, const volatile sig_atomic_t *stop);
/* Both stores stay the caller's; `old` knows an id of every symbol of the rules (store_ensure_dictionary). Decisions first,
 * then events in event order; those before the horizon are left out. PK_RETRY once *stop is set. */
/* Who the persons of sealed events are: before any event or decision (refill_run does it). */
enum pk_status refill_identity(struct refill *refill, struct pk_err *err);
enum pk_status refill_run(struct refill *refill, struct store *old, struct store *shadow, int64_t total, struct pk_err *err);
/* Decisions of `old` that are in force, about names as the rules class them now. */
enum pk_status refill_decisions(const struct refill *refill, struct store *old, struct pk_arena *arena,
                                struct rebuild_decisions *ret, struct pk_err *err);
/* For who brings events of his own (a rebuild from Kafka): begin, then any of the others in any order. */
void refill_begin(struct refill *refill, struct store *old, struct store *shadow, int64_t total);
/* The one that is to be filled and then put; the other may be in flight. Until it is filled it holds what was committed. */
struct batch *refill_batch(struct refill *refill);
struct batch *refill_last(struct refill *refill); /* the other one */
/* Starts to commit it, once the one before it is done. */
enum pk_status refill_put(struct refill *refill, struct pk_err *err);
/* Waits until everything that was put is committed. */
enum pk_status refill_finish(struct refill *refill, struct pk_err *err);
/* Stored events that Kafka does not hold any more (struct rebuild_page: older). */
enum pk_status refill_older(struct refill *refill, struct pk_err *err);
/* Values of identifiers that decisions brought before any event did. */
enum pk_status refill_values(struct refill *refill, struct pk_err *err);
/* Takes what `old` was asked for and not read, so that it can be asked for something else. */
void refill_settle(struct refill *refill);
void refill_done(struct refill *refill); /* while the stores are still open */

struct pk_hash refill_key_check(const struct fact_hasher *hasher); /* tells hash keys apart without showing them */

#endif
