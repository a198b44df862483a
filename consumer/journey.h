/* SPDX-License-Identifier: Apache-2.0 */
/* journey.h - one customer's events, in event order, become journeys.
 *
 * Pure: no I/O, no clock, no logging. docs/semantics.md 4 is the definition. The same function extends
 * a cached state (fast path) and builds everything from the first event (slow path). */
#ifndef POLKU_JOURNEY_H
#define POLKU_JOURNEY_H

#include "fact.h"

struct sym_list { /* distinct symbols in the order of their first appearance */
    sym_t *sym;
    uint32_t count, cap;
};

struct journey {
    struct pk_hash id, customer;
    struct pk_hash case_key;  /* zero = none */
    struct pk_hash continues; /* the journey that was cut before it; zero = none */
    int64_t first_at_us, last_at_us;
    sym_t entry_channel, last_channel, last_type, last_outcome;
    uint32_t events, contacts, switches, handoffs_offered, handoffs_accepted, unanswered, refusals;
    int64_t first_inbound_at_us, first_human_reply_at_us; /* PK_NO_TIME = none */
    bool resolved, crowd;
    struct sym_list channels, brands, units;

    /* ---- not stored ---- */
    sym_t last_contact_channel;
    uint64_t touched;            /* grows with each activity of the customer: the greatest is the latest */
    struct pk_hash continued_by; /* cut: takes no more events; zero = not cut */
    bool made;                   /* created or copied in this derivation, so it may be written */
    const struct journey *old;   /* as the database has it; NULL = new there */
};

struct journey_event {
    struct pk_hash event_hash, journey; /* journey zero = none (passive) */
};
enum { JOURNEY_EVENTS = 64 };

/* The journeys of one customer that can still matter, and what is needed to go on. Journeys that are not
 * in `made` are borrowed (from the cache) and never written: the first change makes a copy. */
struct journeys {
    struct pk_hash customer;
    struct journey **live; /* those that a later event may still join */
    uint32_t live_count, live_cap;
    struct journey **made; /* those created or changed since the state was taken up */
    uint32_t made_count, made_cap;
    struct journey_event *event; /* newest last, for rule 0 */
    uint32_t event_count, event_cap;
    struct pk_map event_index; /* event hash -> entry of `event` + 1; used once there are many */
    bool events_dropped;       /* older events are not in `event` any more */
    bool crowd;
    uint32_t events; /* of the customer, all */
    uint64_t touch;
};

/* Takes the customer's next event: sets fact->journey (NULL = none), creates and changes journeys in
 * `arena`. `whole` is the number of all the customer's events where they are all taken from the first
 * on (slow path; then it never fails), else 0. False, and nothing changed, if the state does not know
 * enough: the named event was dropped, or the customer becomes a crowd with this event. */
bool journey_take(struct journeys *journeys, struct fact *fact, const struct rules *rules, uint32_t whole,
                  struct pk_arena *arena);
void journeys_done(struct journeys *journeys); /* frees the index; the rest is the arena's */

/* Equal in every stored member? */
bool journey_same(const struct journey *a, const struct journey *b);

#endif
