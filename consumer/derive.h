/* SPDX-License-Identifier: Apache-2.0 */
/* derive.h - from events to rows: the fast path appends, the slow path derives again and compares.
 *
 * Pure. The slow path is the definition; the fast path may be taken only where it gives the same, and
 * a property test holds the two equal. */
#ifndef POLKU_DERIVE_H
#define POLKU_DERIVE_H

#include "changes.h"
#include "metric.h"

/* What must be known of one customer to append a later event. Frozen states live in one block of
 * malloc memory (in the cache) and are never written. */
struct customer {
    struct pk_hash id;
    int64_t last_at_us, last_sequence; /* its last event, the greatest in event order */
    sym_t last_source;
    struct pk_str last_event_id;
    int64_t last_act_at_us; /* of its last event that may act without relates_to; PK_NO_TIME = none */
    struct journeys journeys;
    struct obligation **open; /* by opening */
    uint32_t open_count;
};

/* ---- fast path: one customer, on whom nobody else's events have any influence ---- */

struct derivation {
    const struct meaning *meaning;
    struct pk_arena *arena;
    struct customer now;
    struct ledger ledger;
    struct tally tally; /* what pairs of events add, until derive_save */
    uint32_t order;
};

/* Takes up a state; `from` NULL for a customer without events. `from` is borrowed until the end. */
void derive_begin(struct derivation *ret, const struct meaning *meaning, struct pk_arena *arena,
                  struct pk_hash customer, const struct customer *from);
/* Appends one event. `promise_known`: the id of its explicit record was met before, here or in the
 * database; `opening_known`: one of the names of what it opens by rule, or of itself as an opening event,
 * was. False if only the slow path can tell; the derivation is then void. */
bool derive_append(struct derivation *derivation, struct fact *fact, bool promise_known, bool opening_known);
/* Adds what changed to `changes` and `metrics` (rows of journeys, courses and obligations; not the facts). */
void derive_save(struct derivation *derivation, struct changes *changes, struct metrics *metrics);
/* A copy that outlives the arena: one block, to be freed with free(). */
struct customer *derive_freeze(const struct customer *customer, struct obligation *const *obligation, uint32_t count,
                               size_t *ret_bytes);

/* ---- slow path: customers that may influence each other, from their first event on ---- */

struct group {
    struct fact **fact; /* all their events and the events without customer that name their obligations */
    size_t facts;
    struct fact **stored_fact; /* what the database holds of them now: all events that are stored as theirs, */
    size_t stored_facts;       /* those included that are replaced or are nobody's from now on */
    struct journey *stored_journey; /* with their courses */
    size_t stored_journeys;
    struct obligation *stored_obligation;
    size_t stored_obligations;
    const struct group_carry *carry; /* of those of its customers that have sealed events */
    size_t carries;
};
struct group_carry {
    struct pk_hash customer;
    struct carry was, is; /* as stored; as it is now, with the events that this batch seals */
};

struct group_result {
    struct customer *customer; /* in the order of their first event; journeys.made has all their journeys */
    struct needs *was; /* of each of them, by the stored events: its purchases as stored */
    size_t customers;
    struct ledger ledger;
};

/* Sorts the facts of the group, derives, sets fact->journey, and adds the differences to `changes` and `metrics`: journeys,
 * courses, obligations, stored events that moved to another journey or customer, and what pairs of events count. Call
 * group_done after. */
void derive_group(const struct meaning *meaning, struct pk_arena *arena, struct group *group,
                  struct group_result *ret, struct changes *changes, struct metrics *metrics);
void group_done(struct group_result *result);

/* What pairs of stored events count, by the customer and the journey that they are stored with; `crowd` of a journey from
 * its row in `journey`. Sorts the facts. *ret_needs: by customer, a struct needs of the arena; the caller frees the map. */
void derive_stored_pairs(const struct meaning *meaning, struct pk_arena *arena, struct fact **fact, size_t facts,
                         const struct journey *journey, size_t journeys, struct tally *tally, int sign,
                         struct pk_map *ret_needs);

#endif
