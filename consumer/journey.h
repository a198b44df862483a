/* SPDX-License-Identifier: Apache-2.0 */
/* journey.h - one customer's events, in event order, become journeys.
 *
 * Pure: no I/O, no clock, no logging. docs/semantics.md 4 is the definition. The same function extends
 * a cached state (fast path) and builds everything from the first event (slow path). */
#ifndef POLKU_JOURNEY_H
#define POLKU_JOURNEY_H

#include "strand.h"

struct sym_list { /* distinct symbols in the order of their first appearance */
    sym_t *sym;
    uint32_t count, cap;
};

/* X(member): plain counts of events, stored as integers of the same name. */
#define JOURNEY_COUNTS(X)                                                                                            \
    X(events) X(contacts) X(switches) X(fallbacks) X(repeats) X(handoffs_offered) X(handoffs_accepted) X(handoffs_rejected) \
    X(handoffs_returned) X(unanswered) X(refusals) X(deflections) X(transfers) X(misroutes) X(proactive) X(thanks)    \
    X(reopened) X(owners) X(people) X(effort)
enum { JOURNEY_PEOPLE = 64, JOURNEY_OFFERERS = 64 };

struct unit { /* a pair (brand, unit); unit 0 = nobody */
    sym_t brand, unit;
};

struct journey {
    struct pk_hash id, customer;
    struct pk_hash case_key;  /* zero = none */
    struct pk_hash continues; /* the journey that was cut before it; zero = none */
    int64_t first_at_us, last_at_us;
    sym_t entry_channel, entry_brand, entry_unit, last_channel, last_type, last_outcome, terminal_outcome, stage;
#define X(member) uint32_t member;
    JOURNEY_COUNTS(X)
#undef X
    int64_t first_inbound_at_us, first_human_reply_at_us; /* PK_NO_TIME = none, as in all that follow */
    int64_t first_terminal_at_us, last_terminal_at_us, decided_at_us;
    uint32_t people_until_decision; /* 0 = not decided */
    struct unit owner;
    int64_t ownerless_us, ownerless_since_us, orphan_us;
    int64_t queue_us, queue_since_us, touch_us, touch_since_us;
    bool resolved, crowd;
    struct sym_list channels, brands, units;
    struct strand strand; /* its courses are stored, in table course */

    /* ---- not stored ---- */
    struct pk_hash *person; /* distinct staff, `people` of them */
    struct unit *offerer;   /* distinct units of events that offered a hand-off, at most JOURNEY_OFFERERS */
    uint32_t offerers, offerer_cap, person_cap;
    struct unit last_owner; /* who was it last */
    struct unit last_offerer, last_target; /* of the last event that offered a hand-off */
    bool owner_told;        /* some event had one of the traits of ownership */
    bool orphan;            /* the last of those was an offer */
    bool ended;             /* its last event that is not passive is terminal (`resolved`, save in crowds) */
    int64_t ownerless_to_us, orphan_open_us; /* of the running interval: counted up to here; orphan time in it */
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
    struct needs needs; /* of the customer; borrowed with cap 0, then the first change copies it (needs_init) */
};

/* A customer without events; every state begins so. */
void journeys_init(struct journeys *journeys, struct pk_hash customer);
/* Takes the customer's next event: sets fact->journey (NULL = none), creates and changes journeys in `arena`, and adds to
 * `tally` what it changes in the aggregates of pairs of events (strand_take, needs_take; sign +1). `whole` is the number of
 * all the customer's events where they are all taken from the first on (slow path; then it never fails), else 0. False, and
 * nothing changed, if the state does not know enough: the named event was dropped, or the customer becomes a crowd with
 * this event. */
bool journey_take(struct journeys *journeys, struct fact *fact, const struct meaning *meaning, uint32_t whole,
                  struct tally *tally, struct pk_arena *arena);
void journeys_done(struct journeys *journeys); /* frees the index; the rest is the arena's */

/* Equal in every stored member, and in their courses? */
bool journey_same(const struct journey *a, const struct journey *b);

#endif
