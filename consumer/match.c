/* SPDX-License-Identifier: Apache-2.0 */
#include "match.h"

#include <stdlib.h>

void matcher_init(struct matcher *matcher, const struct rules *rules, const struct symbols *symbols)
{
    *matcher = (struct matcher){.rules = rules, .symbols = symbols};
}

void matcher_done(struct matcher *matcher)
{
    pk_vec_done(&matcher->type);
}

/* ---- one match ---- */

static bool type_holds(const struct rules_match *match, struct pk_str type)
{
    if (match->type_count == 0)
        return true;
    for (size_t i = 0; i < match->type_count; i++) {
        const struct rules_type *wanted = &match->type[i];
        bool len = wanted->any_ending ? type.len >= wanted->text.len : type.len == wanted->text.len;
        if (len && memcmp(type.ptr, wanted->text.ptr, wanted->text.len) == 0)
            return true;
    }
    return false;
}

static bool text_holds(struct rules_texts wanted, sym_t sym) /* absent text (0) is in no list */
{
    if (wanted.count == 0)
        return true;
    for (size_t i = 0; i < wanted.count; i++)
        if (wanted.sym[i] == sym)
            return true;
    return false;
}

static bool holds(const struct rules_match *match, const struct fact *fact, struct pk_str type)
{
    return (!match->direction_mask || match->direction_mask >> fact->direction & 1) &&
           (!match->actor_mask || match->actor_mask >> fact->actor & 1) && text_holds(match->outcome, fact->outcome) &&
           text_holds(match->reason, fact->reason) && text_holds(match->channel, fact->channel) &&
           type_holds(match, type);
}

static bool list_holds(const struct rules_match_list *list, const struct fact *fact, struct pk_str type)
{
    for (size_t i = 0; i < list->count; i++)
        if (holds(&list->match[i], fact, type))
            return true;
    return false;
}

/* ---- what is possible for a type ---- */

static bool list_maybe(const struct rules_match_list *list, struct pk_str type)
{
    for (size_t i = 0; i < list->count; i++)
        if (type_holds(&list->match[i], type))
            return true;
    return false;
}

static bool definition_maybe(const struct rules_definition *definition, struct pk_str type)
{
    for (size_t i = 0; i < definition->milestone_count; i++)
        if (list_maybe(&definition->milestone[i].on, type) || list_maybe(&definition->milestone[i].fails, type))
            return true;
    return false;
}

static uint8_t generic_act(struct pk_str type)
{
    if (pk_str_eq(type, PK_STR("promise.attempted")))
        return ACT_ATTEMPT;
    if (pk_str_eq(type, PK_STR("promise.kept")))
        return ACT_FULFIL;
    if (pk_str_eq(type, PK_STR("promise.rejected")))
        return ACT_REJECT;
    if (pk_str_eq(type, PK_STR("promise.withdrawn")))
        return ACT_WITHDRAW;
    return 0;
}

static struct match_type learn(const struct rules *rules, struct pk_str type)
{
    struct match_type known = {.known = true, .generic = generic_act(type)};
    for (size_t i = 0; i < TRAIT_COUNT; i++)
        if (list_maybe(&rules->trait[i], type))
            known.trait_maybe |= UINT32_C(1) << i;
    for (size_t i = 0; i < rules->kind_count; i++) {
        const struct rules_kind *kind = &rules->kind[i];
        if (list_maybe(&kind->opens, type))
            known.opens_maybe |= UINT64_C(1) << i;
        if (list_maybe(&kind->attempts, type) || list_maybe(&kind->fulfils, type) ||
            list_maybe(&kind->rejects, type) || list_maybe(&kind->withdraws, type))
            known.acts_maybe |= UINT64_C(1) << i;
    }
    for (size_t i = 0; i < rules->definition_count; i++)
        if (definition_maybe(&rules->definition[i], type))
            known.courses_maybe |= UINT32_C(1) << i;
    return known;
}

static const struct match_type *type_of(struct matcher *matcher, const struct fact *fact)
{
    while (matcher->type.len <= fact->type)
        *pk_vec_push(&matcher->type) = (struct match_type){0};
    struct match_type *type = &matcher->type.ptr[fact->type];
    if (!type->known)
        *type = learn(matcher->rules, symbol_text(matcher->symbols, fact->type));
    return type;
}

/* ---- questions ---- */

uint32_t match_traits(struct matcher *matcher, const struct fact *fact)
{
    struct pk_str type = symbol_text(matcher->symbols, fact->type);
    uint32_t traits = 0;
    for (uint32_t maybe = type_of(matcher, fact)->trait_maybe; maybe; maybe &= maybe - 1) {
        int i = __builtin_ctz(maybe);
        if (list_holds(&matcher->rules->trait[i], fact, type))
            traits |= UINT32_C(1) << i;
    }
    return traits;
}

/* Is an entry of the same kind already among `mask`? */
static bool kind_taken(const struct rules *rules, uint64_t mask, sym_t kind)
{
    for (; mask; mask &= mask - 1)
        if (rules->kind[__builtin_ctzll(mask)].kind == kind)
            return true;
    return false;
}

uint64_t match_opens(struct matcher *matcher, const struct fact *fact)
{
    const struct rules *rules = matcher->rules;
    struct pk_str type = symbol_text(matcher->symbols, fact->type);
    uint64_t opens = 0;
    for (uint64_t maybe = type_of(matcher, fact)->opens_maybe; maybe; maybe &= maybe - 1) {
        int i = __builtin_ctzll(maybe);
        const struct rules_kind *kind = &rules->kind[i];
        if (fact->at_us < kind->valid_from_us || fact->at_us > kind->valid_to_us)
            continue;
        if ((fact->has_promise && fact->promise.kind == kind->kind) || kind_taken(rules, opens, kind->kind))
            continue;
        if (list_holds(&kind->opens, fact, type))
            opens |= UINT64_C(1) << i;
    }
    return opens;
}

unsigned match_generic(struct matcher *matcher, const struct fact *fact)
{
    unsigned act = type_of(matcher, fact)->generic;
    return act && !pk_hash_zero(fact->relates) ? act : 0;
}

unsigned match_acts(struct matcher *matcher, const struct fact *fact, const struct rules_kind *kind)
{
    static const struct rules_kind none;
    unsigned generic = match_generic(matcher, fact);
    if (!kind)
        kind = &none;
    struct pk_str type = symbol_text(matcher->symbols, fact->type);
    unsigned acts = (generic & ACT_ATTEMPT) || list_holds(&kind->attempts, fact, type) ? ACT_ATTEMPT : 0;
    if ((generic & ACT_FULFIL) || list_holds(&kind->fulfils, fact, type))
        return acts | ACT_FULFIL;
    if ((generic & ACT_REJECT) || list_holds(&kind->rejects, fact, type))
        return acts | ACT_REJECT;
    if ((generic & ACT_WITHDRAW) || list_holds(&kind->withdraws, fact, type))
        return acts | ACT_WITHDRAW;
    return acts;
}

uint64_t match_acting(struct matcher *matcher, const struct fact *fact)
{
    const struct rules *rules = matcher->rules;
    if (match_generic(matcher, fact))
        return rules->kind_count < 64 ? (UINT64_C(1) << rules->kind_count) - 1 : UINT64_MAX;
    uint64_t acting = 0;
    for (uint64_t maybe = type_of(matcher, fact)->acts_maybe; maybe; maybe &= maybe - 1) {
        int i = __builtin_ctzll(maybe);
        if (match_acts(matcher, fact, &rules->kind[i]))
            acting |= UINT64_C(1) << i;
    }
    return acting;
}

bool match_courses(struct matcher *matcher, const struct fact *fact)
{
    return type_of(matcher, fact)->courses_maybe != 0;
}

unsigned match_reaches(struct matcher *matcher, const struct fact *fact, uint32_t definition, uint32_t *ret_fails_mask)
{
    unsigned reaches = 0;
    *ret_fails_mask = 0;
    if (!(type_of(matcher, fact)->courses_maybe >> definition & 1))
        return 0;
    const struct rules_definition *along = &matcher->rules->definition[definition];
    struct pk_str type = symbol_text(matcher->symbols, fact->type);
    for (unsigned i = 0; i < along->milestone_count; i++) {
        if (!reaches && list_holds(&along->milestone[i].on, fact, type))
            reaches = i + 1;
        if (list_holds(&along->milestone[i].fails, fact, type))
            *ret_fails_mask |= UINT32_C(1) << i;
    }
    return reaches;
}
