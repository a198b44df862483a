/* SPDX-License-Identifier: Apache-2.0 */
/* strand.h - what aggregates know of neighbouring events: of one journey, and of one customer's needs.
 *
 * Pure. Transitions, next replies, steps and repeats (docs/semantics.md 6, 9) are counted from pairs of events. They are not
 * stored per event: the same functions run over the stored events with sign -1 and over all events with sign +1 when a
 * customer is derived again, so the difference is exact. The fast path goes on from the cached state with sign +1. */
#ifndef POLKU_STRAND_H
#define POLKU_STRAND_H

#include "course.h"

struct meaning;
struct tally;

/* ---- of a journey ---- */

struct strand {
    int64_t contact_at_us; /* the last contact; PK_NO_TIME = none yet */
    sym_t contact_channel;
    bool contact_failed;   /* it has trait selfservice_failed */
    int64_t awaiting_at_us; /* the first inbound contact that waits for a human reply; PK_NO_TIME = none */
    sym_t awaiting_brand, awaiting_unit, awaiting_channel;
    struct courses courses;
};
void strand_init(struct strand *strand);
/* The journey's next event. Passive ones change nothing; of those of crowds it only notes the last contact. */
void strand_take(struct strand *strand, const struct meaning *meaning, const struct fact *fact, bool crowd,
                 struct pk_arena *arena, struct tally *tally, int sign);

/* ---- of a customer ---- */

struct need { /* the last inbound contact with this need, at most 30 d old */
    sym_t cause, topic; /* one of them is 0 */
    int64_t at_us;
    sym_t brand, unit, channel;
};
struct needs {
    struct need *need;
    uint32_t count, cap; /* cap 0 with a count: borrowed, never written; the first change copies */
    uint32_t purchases; /* stored in the customer's row, with the two times; PK_NO_TIME = none */
    int64_t first_purchase_at_us, last_purchase_at_us;
};
/* What sealed events left to the customer whose they were (docs/semantics.md 3.8). */
struct carry {
    uint32_t events, purchases; /* events 0 = none are sealed */
    int64_t first_purchase_at_us, last_purchase_at_us;
    uint8_t kind; /* enum key_kind: of the customer's row as long as it has no other events */
};
void needs_init(struct needs *needs);
void needs_carry(struct needs *needs, const struct carry *carry); /* adds its purchases */
/* The customer's next event, of whatever journey. Returns the time since the previous contact with the same need, if this one
 * repeats it; else PK_NO_TIME. */
int64_t needs_take(struct needs *needs, const struct fact *fact, struct pk_arena *arena, struct tally *tally, int sign);

#endif
