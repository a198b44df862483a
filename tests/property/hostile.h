/* SPDX-License-Identifier: Apache-2.0 */
/* hostile.h - small sets of events that meet every limit and influence each other in every way.
 *
 * For tests/oracle/rules_small.yaml: few people, few cases, few moments; equal times, early acts, shared
 * cases, relates_to by all forms of name, explicit promises changed and closed, events without a customer,
 * duplicates identical and conflicting. Every event is valid. */
#ifndef POLKU_HOSTILE_H
#define POLKU_HOSTILE_H

#include "chance.h"
#include "obligation.h"
#include "event.h"

struct hostile {
    struct chance *chance;
    struct pk_arena *arena; /* of the events and their text */
    const struct rules *rules;
    const struct fact_hasher *hasher;
    unsigned people, themes; /* `themes`: bits, which families of types occur */
    unsigned nameless, strangers, relating, repeated; /* percent: events without identifiers, cases of others,
                                                         relates_to, duplicates */
    int64_t span_us;
};

/* Random limits of journeys and obligations, over the kinds of `rules`; `kind` has room for all of them. */
void hostile_rules(struct chance *chance, const struct rules *rules, struct rules_kind *kind, struct rules *ret_rules);
/* Appends `count` events and then their duplicates to `event`, which has room for twice as many. */
size_t hostile_events(struct hostile *hostile, struct event *event, size_t count);

#endif
