/* SPDX-License-Identifier: Apache-2.0 */
/* store_rebuild.h - what only a rebuild asks of PostgreSQL: tables beside those of schema polku, and the change of both.
 *
 * A rebuild has two stores: `old`, of schema polku, and `shadow`, of REBUILD_SCHEMA. The former reads and makes the schema,
 * the latter is filled and then put in the place of the tables in use. Derived tables are all of schema polku but those
 * listed in store_rebuild.c; whatever is added to the schema later is among them. All statuses as in store.h. */
#ifndef POLKU_STORE_REBUILD_H
#define POLKU_STORE_REBUILD_H

#include "store.h"

#define REBUILD_SCHEMA "polku_rebuild"

/* ---- by `old` ---- */

/* One rebuild or migration at a time, until the connection ends; PK_STOP if there is another one. */
enum pk_status store_rebuild_lock(struct store *old, struct pk_err *err);

struct rebuild_state { /* what the tables in use were derived with */
    bool empty;        /* with nothing yet */
    bool same;         /* with these rules and this version */
    bool hashing_known;
    bool rehashed;     /* with another key, or other hashing */
    struct pk_hash key_check, hashing; /* hashing: zero if it is not known */
};
/* PK_STOP with a sentence if these rules cannot do: another key, other hashing (unless `may_rehash`); or if this user may not
 * do it, or somebody made something that depends on the tables and would be lost. */
enum pk_status store_rebuild_check(struct store *old, const struct rules *rules, struct pk_hash key_check, bool may_rehash,
                                   struct rebuild_state *ret, struct pk_err *err);
enum pk_status store_rebuild_count(struct store *old, int64_t *ret_events, struct pk_err *err);
/* Empty tables, types and functions like those of polku. Removes what an interrupted rebuild left. */
enum pk_status store_rebuild_make(struct store *old, struct pk_err *err);
enum pk_status store_rebuild_drop(struct store *old, struct pk_err *err);
/* The same tables in another schema, which is not there yet: of this user, without the rights of others. */
enum pk_status store_rebuild_make_in(struct store *old, const char *schema, struct pk_err *err);

struct rebuild_decisions {
    struct change_decision *decision;
    size_t count;
};
/* Those in force, as they were made. */
enum pk_status store_rebuild_decisions(struct store *old, struct pk_arena *arena, struct rebuild_decisions *ret,
                                       struct pk_err *err);

struct rebuild_page {
    int64_t after_us; /* events behind this one; INT64_MIN = from the first on */
    struct pk_hash after;
    const sym_t *clear; /* namespaces whose values are stored clear */
    size_t clears;
    int32_t count;
    bool older; /* only those that a rebuild from Kafka does not find there: store_rebuild_kafka.h */
};
/* Asks for the next events by (time, event hash) without waiting; then reads them. They have everything that was written but
 * what is derived (names, traits, whose they are); an identifier has its value if the tables have it. */
void store_rebuild_send_page(struct store *old, const struct rebuild_page *page);
enum pk_status store_rebuild_read_page(struct store *old, struct pk_arena *arena, struct store_facts *ret,
                                       struct pk_err *err);

/* ---- by `shadow` ---- */

/* Takes K (docs/protocol.md) until the connection ends: no batch is committed by anybody else. PK_STALE if it was not to
 * be had within the lock timeout. */
enum pk_status store_rebuild_hold(struct store *shadow, struct pk_err *err);
/* Makes the months that the tables in use have got meanwhile, with their owners and rights. */
enum pk_status store_rebuild_months(struct store *shadow, struct pk_err *err);
/* Before the first of many commits: none of them needs to reach the disk, the swap brings them all there. */
/* Names that are forgotten, as keys of the shadow schema, of the class that these rules give them: before any event
 * (store_rebuild_begin_fill does it). */
enum pk_status store_rebuild_bury(struct store *shadow, const struct rules *rules, struct pk_err *err);
/* What sealed events left (docs/semantics.md 3.8), as the tables in use have it: likewise, and then refill_identity. PK_STOP:
 * these rules see other persons in them. */
enum pk_status store_rebuild_constants(struct store *shadow, const struct rules *rules, struct pk_err *err);
/* Persons that sealed events carry, behind `after`. */
enum pk_status store_rebuild_sealed_persons(struct store *shadow, struct pk_hash after, size_t limit, struct pk_arena *arena,
                                            struct pk_hash **ret, size_t *ret_count, struct pk_err *err);
enum pk_status store_rebuild_begin_fill(struct store *shadow, const struct rules *rules, struct pk_err *err);
/* Identifiers that decisions brought have no value yet, of whatever namespace: an event that names one finds it there. */
enum pk_status store_rebuild_values(struct store *shadow, const sym_t *clear, size_t clears, struct pk_err *err);
/* Statistics for the planner. */
enum pk_status store_rebuild_analyse(struct store *shadow, struct pk_err *err);
/* Once everything is committed: notes the transactions that may hold an older snapshot. */
enum pk_status store_rebuild_finish(struct store *shadow, struct pk_err *err);
/* The same for what is committed so far; may be called before that. */
enum pk_status store_rebuild_note_older(struct store *shadow, struct pk_err *err);
/* Processes of transactions that began before that and would see half of the new tables; "" = none are left. */
enum pk_status store_rebuild_older(struct store *shadow, char *ret_pids, size_t size, struct pk_err *err);
/* One attempt, one transaction: the new tables in the place of the old ones, which are dropped; events before the horizon
 * to quarantine; every claim is void. PK_STALE or PK_RETRY: somebody reads; nothing changed. PK_LOST: see
 * store_rebuild_swapped.
 *
 * Views and tables are locked one after another. The first is waited for `patience_ms`; then, holding it, the others
 * for REBUILD_HOLD_MS in all: a reader who waits for us while we wait for them is let go before the server looks for
 * deadlocks (1 s). What was not to be had is the first of the next attempt, so that the order becomes that of the readers. */
enum { REBUILD_HOLD_MS = 600 };
struct rebuild_order {
    char name[16][130]; /* to be locked first, in this order */
    size_t count;
};
struct rebuild_change { /* what the new tables were derived with */
    const struct rules *rules;
    struct pk_hash key_check;
    bool from_kafka, rehashed, keep_older;
};
enum pk_status store_rebuild_swap(struct store *shadow, const struct rebuild_change *change, struct rebuild_order *order,
                                  int64_t patience_ms, struct pk_err *err);
/* Who stands in the way: processes that hold locks on the tables in use. By either store. */
enum pk_status store_rebuild_readers(struct store *store, char *ret_pids, size_t size, struct pk_err *err);
/* By `old`, after the connection of `shadow` broke in the middle of a swap. */
enum pk_status store_rebuild_swapped(struct store *old, bool *ret, struct pk_err *err);

#endif
