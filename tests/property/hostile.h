/* SPDX-License-Identifier: Apache-2.0 */
/* hostile.h - small sets of events that meet every limit and influence each other in every way.
 *
 * For tests/oracle/rules_small.yaml: few people, few cases, few moments; equal times, early acts, shared
 * cases, relates_to by all forms of name, explicit promises changed and closed, events without a customer,
 * duplicates identical and conflicting. People with several identifiers, families with one phone and one tablet,
 * kiosks, late log-ins, wrong numbers, contradictory events. Every event is valid. */
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
    unsigned single;   /* percent of events with one identifier of one person, as if nobody had two */
    unsigned together; /* percent of the others that carry several of their person's identifiers */
    unsigned mistaken; /* percent of identifiers that are somebody else's */
    unsigned again;    /* percent of events with the same identifiers as an event before */
    struct chance detail; /* of what follows: all else stays as it is without */
    unsigned rich;     /* percent of events with a topic, cause, stage, staff, rating, money, sensitivity, other types */
    unsigned far;      /* percent of events some days from the others */
};
enum { HOSTILE_NAMESPACES = 32 };

/* Random limits of identity, journeys and obligations, over the namespaces and kinds of `rules`; `kind` and `name_space`
 * have room for all of them. */
void hostile_rules(struct chance *chance, const struct rules *rules, struct rules_kind *kind,
                   struct rules_namespace name_space[HOSTILE_NAMESPACES], struct rules *ret_rules);
/* Appends `count` events and then their duplicates to `event`, which has room for twice as many. */
size_t hostile_events(struct hostile *hostile, struct event *event, size_t count);

#endif
