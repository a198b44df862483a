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
    uint64_t touched;              /* grows with each activity: the greatest is the latest */
    struct journey *continued_by;  /* cut: takes no more events */
    const struct journey *old;     /* as the database has it; NULL = new there */
    bool dirty;                    /* differs from `old` */
};

/* The journeys of one customer that can still matter, and what is needed to go on. */
struct journeys {
    struct pk_hash customer;
    PK_VEC(struct journey *) live;
    PK_VEC(struct journey_event) event; /* the newest events, for rule 0; at most JOURNEY_EVENTS */
    bool events_dropped;                /* older events are not in `event` any more */
    uint64_t touch;
    uint32_t events;                    /* of the customer, all */
    bool crowd;
};
struct journey_event {
    struct pk_hash event_hash;
    struct journey *journey; /* NULL = none (passive) */
};
enum { JOURNEY_EVENTS = 64 };

/* Takes the next event: sets fact->journey (NULL = none), creates and changes journeys in `arena`.
 * False, and nothing changed, if the state does not know enough: the named event was dropped, or the
 * customer becomes a crowd with this event. In the slow path, where `journeys` started empty, `whole`
 * is the number of the customer's events and it never fails. */
bool journey_take(struct journeys *journeys, struct fact *fact, const struct rules *rules, uint32_t whole,
                  struct pk_arena *arena);

/* Equal in every stored member? */
bool journey_same(const struct journey *a, const struct journey *b);

#endif
