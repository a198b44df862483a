/* SPDX-License-Identifier: Apache-2.0 */
/* match.h - does an event match the lists of the rules: traits, what it opens, what it acts on, how far it brings a course.
 *
 * Pure. Lists are first narrowed by type, remembered per type symbol, since nearly all matches name one. */
#ifndef POLKU_MATCH_H
#define POLKU_MATCH_H

#include "fact.h"

struct matcher {
    const struct rules *rules;
    const struct symbols *symbols;
    PK_VEC(struct match_type) type; /* by type symbol */
};

struct match_type {
    bool known;
    uint8_t generic;                   /* ACT_* of promise.*, else 0 */
    uint32_t trait_maybe;              /* lists that some match could hold for an event of this type */
    uint64_t opens_maybe, acts_maybe;  /* bit per rules->kind */
    uint32_t courses_maybe;            /* bit per rules->definition */
};

enum { ACT_ATTEMPT = 1, ACT_FULFIL = 2, ACT_REJECT = 4, ACT_WITHDRAW = 8 };

void matcher_init(struct matcher *matcher, const struct rules *rules, const struct symbols *symbols);
void matcher_done(struct matcher *matcher);

uint32_t match_traits(struct matcher *matcher, const struct fact *fact);
uint64_t match_opens(struct matcher *matcher, const struct fact *fact); /* validity and explicit records applied */
/* Entries of rules->kind on whose obligations it would act; all of them if it acts whatever the rule. */
uint64_t match_acting(struct matcher *matcher, const struct fact *fact);
/* ACT_ATTEMPT plus at most one of the others, by the rule of an obligation (`kind` NULL: it has none).
 * Knows promise.* when the fact has relates_to. */
unsigned match_acts(struct matcher *matcher, const struct fact *fact, const struct rules_kind *kind);
/* True for a fact that would act on any obligation which it names, whatever the rule (promise.*). */
unsigned match_generic(struct matcher *matcher, const struct fact *fact);

/* Whether some definition may care for an event of this type: if not, match_reaches gives nothing for any. */
bool match_courses(struct matcher *matcher, const struct fact *fact);
/* The number (from 1) of the first milestone of rules->definition[definition] that the event reaches, 0 = none. Bit i of
 * *ret_fails_mask = it fails the milestone with index i. */
unsigned match_reaches(struct matcher *matcher, const struct fact *fact, uint32_t definition, uint32_t *ret_fails_mask);

#endif
