/* SPDX-License-Identifier: Apache-2.0 */
#include "journey.h"

#include <assert.h>

static bool list_same(const struct sym_list *a, const struct sym_list *b)
{
    return a->count == b->count && (a->count == 0 || memcmp(a->sym, b->sym, a->count * sizeof *a->sym) == 0);
}

bool journey_same(const struct journey *a, const struct journey *b)
{
    return pk_hash_eq(a->id, b->id) && pk_hash_eq(a->customer, b->customer) && pk_hash_eq(a->case_key, b->case_key) &&
           pk_hash_eq(a->continues, b->continues) && a->first_at_us == b->first_at_us &&
           a->last_at_us == b->last_at_us && a->entry_channel == b->entry_channel &&
           a->last_channel == b->last_channel && a->last_type == b->last_type && a->last_outcome == b->last_outcome &&
           a->events == b->events && a->contacts == b->contacts && a->switches == b->switches &&
           a->handoffs_offered == b->handoffs_offered && a->handoffs_accepted == b->handoffs_accepted &&
           a->unanswered == b->unanswered && a->refusals == b->refusals &&
           a->first_inbound_at_us == b->first_inbound_at_us &&
           a->first_human_reply_at_us == b->first_human_reply_at_us && a->resolved == b->resolved &&
           a->crowd == b->crowd && list_same(&a->channels, &b->channels) && list_same(&a->brands, &b->brands) &&
           list_same(&a->units, &b->units);
}

void journeys_done(struct journeys *journeys)
{
    pk_map_done(&journeys->event_index);
}

/* ---- what one event adds to its journey ---- */

static void list_add(struct sym_list *list, sym_t sym, struct pk_arena *arena)
{
    if (!sym)
        return;
    for (uint32_t i = 0; i < list->count; i++)
        if (list->sym[i] == sym)
            return;
    if (list->count == list->cap)
        list->sym = pk_arena_grow(arena, list->sym, list->count, sizeof *list->sym, &list->cap);
    list->sym[list->count++] = sym;
}

static void count_contact(struct journey *journey, const struct fact *fact)
{
    journey->contacts++;
    journey->switches += journey->last_contact_channel && journey->last_contact_channel != fact->channel;
    journey->last_contact_channel = fact->channel;
    if (fact->direction == EVENT_INBOUND && journey->first_inbound_at_us == PK_NO_TIME)
        journey->first_inbound_at_us = fact->at_us;
}

static void absorb(struct journey *journey, const struct fact *fact, struct pk_arena *arena)
{
    bool passive = fact->traits & TRAIT(PASSIVE);
    journey->events++;
    if (passive && !journey->crowd)
        return;

    journey->last_at_us = fact->at_us;
    journey->last_channel = fact->channel;
    journey->last_type = fact->type;
    journey->last_outcome = fact->outcome;
    journey->resolved = fact->traits & TRAIT(TERMINAL);
    list_add(&journey->channels, fact->channel, arena);
    list_add(&journey->brands, fact->brand, arena);
    list_add(&journey->units, fact->unit, arena);
    if (passive)
        return;

    if (fact->traits & TRAIT(HUMAN_REPLY) && journey->first_inbound_at_us != PK_NO_TIME &&
        journey->first_human_reply_at_us == PK_NO_TIME)
        journey->first_human_reply_at_us = fact->at_us;
    if (fact->traits & TRAIT(CONTACT))
        count_contact(journey, fact);
    journey->handoffs_offered += (fact->traits & TRAIT(HANDOFF_OFFERED)) != 0;
    journey->handoffs_accepted += (fact->traits & TRAIT(HANDOFF_ACCEPTED)) != 0;
    journey->unanswered += (fact->traits & TRAIT(UNANSWERED)) != 0;
    journey->refusals += (fact->traits & TRAIT(REFUSAL)) != 0;
}

/* ---- which journey ---- */

static struct journey **slot_of(const struct journeys *journeys, struct pk_hash id)
{
    for (uint32_t i = 0; i < journeys->live_count; i++)
        if (pk_hash_eq(journeys->live[i]->id, id))
            return &journeys->live[i];
    return NULL;
}

static const struct journey_event *named_event(const struct journeys *journeys, struct pk_hash event_hash)
{
    if (journeys->event_index.count) {
        uintptr_t found = (uintptr_t)pk_map_get(&journeys->event_index, event_hash);
        return found ? &journeys->event[found - 1] : NULL;
    }
    for (uint32_t i = journeys->event_count; i-- > 0;)
        if (pk_hash_eq(journeys->event[i].event_hash, event_hash))
            return &journeys->event[i];
    return NULL;
}

/* Rule 0: the journey of the named event, or of what continues it. */
static struct journey **by_relation(const struct journeys *journeys, const struct fact *fact,
                                    const struct journey_event *named, const struct rules *rules)
{
    if (!named || pk_hash_zero(named->journey))
        return NULL;
    struct journey **slot = slot_of(journeys, named->journey);
    while (slot && !pk_hash_zero((*slot)->continued_by))
        slot = slot_of(journeys, (*slot)->continued_by);
    return slot && fact->at_us - (*slot)->last_at_us <= rules->case_gap_us ? slot : NULL;
}

static bool case_fits(const struct journey *journey, const struct fact *fact)
{
    return pk_hash_zero(fact->case_key) || pk_hash_zero(journey->case_key) ||
           pk_hash_eq(fact->case_key, journey->case_key);
}

/* Rules 1 and 2 in one walk: the latest of the same case, else the latest that fits. */
static struct journey **by_case_or_gap(const struct journeys *journeys, const struct fact *fact,
                                       const struct rules *rules)
{
    struct journey **same_case = NULL, **latest = NULL;
    for (uint32_t i = 0; i < journeys->live_count; i++) {
        struct journey **slot = &journeys->live[i], *journey = *slot;
        if (!pk_hash_zero(journey->continued_by))
            continue;
        int64_t silence = fact->at_us - journey->last_at_us;
        if (!pk_hash_zero(fact->case_key) && pk_hash_eq(fact->case_key, journey->case_key) &&
            silence <= rules->case_gap_us && (!same_case || journey->touched > (*same_case)->touched))
            same_case = slot;
        if (silence <= (journey->resolved ? rules->reopen_gap_us : rules->gap_us) && case_fits(journey, fact) &&
            (!latest || journey->touched > (*latest)->touched))
            latest = slot;
    }
    return same_case ? same_case : latest;
}

static struct journey **of_day(const struct journeys *journeys, const struct fact *fact)
{
    int64_t day = fact->at_us / PK_DAY_US; /* times are after 1970: no rounding trap */
    for (uint32_t i = journeys->live_count; i-- > 0;)
        if (journeys->live[i]->first_at_us / PK_DAY_US == day)
            return &journeys->live[i];
    return NULL;
}

/* ---- changing the state ---- */

static struct journey *own(struct journeys *journeys, struct journey **slot, struct pk_arena *arena)
{
    if ((*slot)->made)
        return *slot;
    struct journey *copy = pk_arena_copy(arena, *slot, sizeof *copy);
    copy->made = true;
    copy->old = *slot;
    struct sym_list *lists[] = {&copy->channels, &copy->brands, &copy->units};
    for (size_t i = 0; i < PK_COUNT(lists); i++) {
        lists[i]->cap = lists[i]->count;
        lists[i]->sym = pk_arena_copy(arena, lists[i]->sym, lists[i]->count * sizeof *lists[i]->sym);
    }
    *slot = copy;
    *PK_PUSH(arena, journeys, made) = copy;
    return copy;
}

static struct journey *start(struct journeys *journeys, const struct fact *fact, struct pk_arena *arena)
{
    struct journey *journey = PK_NEW(arena, struct journey);
    pk_put_be64(journey->id.byte, (uint64_t)fact->at_us);
    memcpy(journey->id.byte + 8, fact->event_hash.byte, 8);
    journey->customer = journeys->customer;
    journey->first_at_us = fact->at_us;
    journey->entry_channel = fact->channel;
    journey->crowd = journeys->crowd;
    journey->made = true;
    journey->first_inbound_at_us = journey->first_human_reply_at_us = PK_NO_TIME;
    *PK_PUSH(arena, journeys, live) = journey;
    *PK_PUSH(arena, journeys, made) = journey;
    return journey;
}

static struct journey *cut(struct journeys *journeys, struct journey **slot, const struct fact *fact,
                           struct pk_arena *arena)
{
    struct journey *before = own(journeys, slot, arena);
    struct journey *after = start(journeys, fact, arena); /* `slot` may be stale from here on */
    before->continued_by = after->id;
    after->continues = before->id;
    after->case_key = before->case_key;
    return after;
}

/* Journeys that no later event can join are forgotten, so the state of a customer stays small. */
static void forget_idle(struct journeys *journeys, int64_t now_us, const struct rules *rules)
{
    int64_t reach = PK_MAX(rules->case_gap_us, PK_MAX(rules->gap_us, rules->reopen_gap_us));
    uint32_t kept = 0;
    for (uint32_t i = 0; i < journeys->live_count; i++) {
        struct journey *journey = journeys->live[i];
        bool idle = journeys->crowd ? journey->first_at_us / PK_DAY_US < now_us / PK_DAY_US
                                    : now_us - journey->last_at_us > reach;
        /* A cut journey leads to its continuation for as long as that is active. */
        if (idle && !pk_hash_zero(journey->continued_by) && !journeys->crowd)
            idle = !slot_of(journeys, journey->continued_by);
        if (!idle)
            journeys->live[kept++] = journey;
    }
    journeys->live_count = kept;
}

static void remember(struct journeys *journeys, const struct fact *fact, uint32_t whole, struct pk_arena *arena)
{
    struct pk_hash journey = fact->journey ? fact->journey->id : (struct pk_hash){{0}};
    *PK_PUSH(arena, journeys, event) = (struct journey_event){fact->event_hash, journey};
    if (whole <= JOURNEY_EVENTS)
        return;
    pk_map_put(&journeys->event_index, fact->event_hash, (void *)(uintptr_t)journeys->event_count);
}

bool journey_take(struct journeys *journeys, struct fact *fact, const struct rules *rules, uint32_t whole,
                  struct pk_arena *arena)
{
    bool crowd = journeys->crowd || PK_MAX(whole, journeys->events + 1) > rules->max_events;
    bool relates = !pk_hash_zero(fact->relates) && !crowd;
    const struct journey_event *named = relates ? named_event(journeys, fact->relates) : NULL;
    if (crowd != journeys->crowd && journeys->events)
        return false;
    if (relates && !named && journeys->events_dropped)
        return false;
    journeys->crowd = crowd;
    journeys->events++;
    if (journeys->live_count > 8 || (journeys->live_count && crowd))
        forget_idle(journeys, fact->at_us, rules);

    struct journey **slot;
    if (crowd) {
        slot = of_day(journeys, fact);
    } else {
        slot = by_relation(journeys, fact, named, rules);
        if (!slot)
            slot = by_case_or_gap(journeys, fact, rules);
    }

    bool passive = fact->traits & TRAIT(PASSIVE) && !crowd;
    struct journey *journey = NULL;
    if (slot && !crowd && !passive && fact->at_us - (*slot)->first_at_us > rules->max_span_us)
        journey = cut(journeys, slot, fact, arena);
    else if (slot)
        journey = own(journeys, slot, arena);
    else if (!passive)
        journey = start(journeys, fact, arena);

    if (journey) {
        absorb(journey, fact, arena);
        if (!passive) {
            journey->touched = ++journeys->touch;
            if (pk_hash_zero(journey->case_key) && !crowd)
                journey->case_key = fact->case_key;
        }
    }
    fact->journey = journey;
    remember(journeys, fact, whole, arena);
    return true;
}
