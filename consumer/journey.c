/* SPDX-License-Identifier: Apache-2.0 */
#include "journey.h"
#include "metric.h"
#include "obligation.h"

#include <assert.h>

static bool list_same(const struct sym_list *a, const struct sym_list *b)
{
    return a->count == b->count && (a->count == 0 || memcmp(a->sym, b->sym, a->count * sizeof *a->sym) == 0);
}

static bool unit_same(struct unit a, struct unit b)
{
    return a.brand == b.brand && a.unit == b.unit;
}

static bool courses_same(const struct courses *a, const struct courses *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; i < a->count && same; i++)
        same = course_same(&a->course[i], &b->course[i]);
    return same;
}

static bool counts_same(const struct journey *a, const struct journey *b)
{
#define X(member) && a->member == b->member
    return true JOURNEY_COUNTS(X);
#undef X
}

static bool times_same(const struct journey *a, const struct journey *b)
{
    return a->first_at_us == b->first_at_us && a->last_at_us == b->last_at_us &&
           a->first_inbound_at_us == b->first_inbound_at_us &&
           a->first_human_reply_at_us == b->first_human_reply_at_us &&
           a->first_terminal_at_us == b->first_terminal_at_us && a->last_terminal_at_us == b->last_terminal_at_us &&
           a->decided_at_us == b->decided_at_us && a->ownerless_us == b->ownerless_us &&
           a->ownerless_since_us == b->ownerless_since_us && a->orphan_us == b->orphan_us &&
           a->queue_us == b->queue_us && a->queue_since_us == b->queue_since_us && a->touch_us == b->touch_us &&
           a->touch_since_us == b->touch_since_us;
}

bool journey_same(const struct journey *a, const struct journey *b)
{
    return pk_hash_eq(a->id, b->id) && pk_hash_eq(a->customer, b->customer) && pk_hash_eq(a->case_key, b->case_key) &&
           pk_hash_eq(a->continues, b->continues) && a->entry_channel == b->entry_channel &&
           a->entry_brand == b->entry_brand && a->entry_unit == b->entry_unit && a->last_channel == b->last_channel &&
           a->last_type == b->last_type && a->last_outcome == b->last_outcome &&
           a->terminal_outcome == b->terminal_outcome && a->stage == b->stage && counts_same(a, b) &&
           times_same(a, b) && a->people_until_decision == b->people_until_decision &&
           unit_same(a->owner, b->owner) && a->resolved == b->resolved && a->crowd == b->crowd &&
           list_same(&a->channels, &b->channels) && list_same(&a->brands, &b->brands) &&
           list_same(&a->units, &b->units) && courses_same(&a->strand.courses, &b->strand.courses);
}

void journeys_init(struct journeys *journeys, struct pk_hash customer)
{
    *journeys = (struct journeys){.customer = customer};
    needs_init(&journeys->needs);
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

static struct unit unit_of(const struct fact *fact)
{
    return fact->unit ? (struct unit){fact->brand, fact->unit} : (struct unit){0};
}

static struct unit target_of(const struct fact *fact)
{
    if (!fact->has_handoff || !fact->to_unit)
        return (struct unit){0};
    return (struct unit){fact->to_brand ? fact->to_brand : fact->brand, fact->to_unit};
}

static void count_traits(struct journey *journey, uint32_t traits)
{
    journey->handoffs_offered += (traits & TRAIT(HANDOFF_OFFERED)) != 0;
    journey->handoffs_accepted += (traits & TRAIT(HANDOFF_ACCEPTED)) != 0;
    journey->handoffs_rejected += (traits & TRAIT(HANDOFF_REJECTED)) != 0;
    journey->unanswered += (traits & TRAIT(UNANSWERED)) != 0;
    journey->refusals += (traits & TRAIT(REFUSAL)) != 0;
    journey->deflections += (traits & TRAIT(DEFLECTION)) != 0;
    journey->transfers += (traits & TRAIT(TRANSFER)) != 0;
    journey->misroutes += (traits & TRAIT(MISROUTE)) != 0;
    journey->proactive += (traits & TRAIT(PROACTIVE)) != 0;
    journey->thanks += (traits & TRAIT(THANKS)) != 0;
}

/* `strand` still knows the contact before. */
static void count_contact(struct journey *journey, const struct fact *fact, int64_t repeat_us, const struct rules *rules)
{
    const struct strand *before = &journey->strand;
    bool switches = before->contact_at_us != PK_NO_TIME && before->contact_channel != fact->channel;
    journey->contacts++;
    journey->switches += switches;
    journey->fallbacks += switches && before->contact_failed;
    journey->repeats += repeat_us != PK_NO_TIME && repeat_us <= rules->repeat_window_us;
    if (fact->direction == EVENT_INBOUND && journey->first_inbound_at_us == PK_NO_TIME)
        journey->first_inbound_at_us = fact->at_us;
}

static void count_person(struct journey *journey, struct pk_hash staff, struct pk_arena *arena)
{
    if (pk_hash_zero(staff) || journey->people == JOURNEY_PEOPLE)
        return;
    for (uint32_t i = 0; i < journey->people; i++)
        if (pk_hash_eq(journey->person[i], staff))
            return;
    if (journey->people == journey->person_cap)
        journey->person =
            pk_arena_grow(arena, journey->person, journey->people, sizeof *journey->person, &journey->person_cap);
    journey->person[journey->people++] = staff;
}

static void take_people(struct journey *journey, const struct fact *fact, struct pk_arena *arena)
{
    count_person(journey, fact->staff, arena);
    if (!(fact->traits & TRAIT(DECISION)) || journey->decided_at_us != PK_NO_TIME)
        return;
    journey->decided_at_us = fact->at_us;
    journey->people_until_decision = journey->people;
}

/* One clock: `since` runs, `total` is closed. What ends at an event ends before something begins at it. */
static void run_clock(int64_t *total_us, int64_t *since_us, bool stops, bool starts, int64_t at_us)
{
    if (stops && *since_us != PK_NO_TIME) {
        *total_us += at_us - *since_us;
        *since_us = PK_NO_TIME;
    }
    if (starts && *since_us == PK_NO_TIME)
        *since_us = at_us;
}

static void take_end(struct journey *journey, const struct fact *fact)
{
    bool terminal = fact->traits & TRAIT(TERMINAL);
    journey->reopened += journey->ended && !terminal;
    journey->ended = terminal;
    if (!terminal)
        return;
    if (journey->first_terminal_at_us == PK_NO_TIME)
        journey->first_terminal_at_us = fact->at_us;
    journey->last_terminal_at_us = fact->at_us;
    journey->terminal_outcome = fact->outcome;
}

/* ---- who owns it ---- */

static struct unit owner_after(const struct journey *journey, const struct fact *fact)
{
    struct unit nobody = {0}, own = unit_of(fact), target = target_of(fact);
    if (fact->traits & (TRAIT(OWNER_CLEARED) | TRAIT(HANDOFF_OFFERED)))
        return nobody;
    if (fact->traits & TRAIT(HANDOFF_ACCEPTED))
        return own.unit ? own : journey->last_target;
    if (fact->traits & TRAIT(HANDOFF_REJECTED))
        return journey->last_offerer.unit ? journey->last_offerer : journey->owner;
    if (fact->traits & TRAIT(OWNER_ASSIGNED))
        return target.unit ? target : own;
    return journey->owner_told || journey->owner.unit ? journey->owner : own;
}

static void note_offer(struct journey *journey, struct unit own, struct unit target, struct pk_arena *arena)
{
    bool returned = false, known = !own.unit || journey->offerers == JOURNEY_OFFERERS;
    for (uint32_t i = 0; i < journey->offerers; i++) {
        returned |= target.unit && unit_same(journey->offerer[i], target);
        known |= unit_same(journey->offerer[i], own);
    }
    journey->handoffs_returned += returned;
    journey->last_offerer = own;
    journey->last_target = target;
    if (known)
        return;
    if (journey->offerers == journey->offerer_cap)
        journey->offerer =
            pk_arena_grow(arena, journey->offerer, journey->offerers, sizeof *journey->offerer, &journey->offerer_cap);
    journey->offerer[journey->offerers++] = own;
}

/* The time since the event before, as that left it: while it runs it counts as orphan or not by that event's flag. */
static void run_ownerless(struct journey *journey, int64_t at_us)
{
    bool runs = !journey->owner.unit && !journey->ended;
    if (journey->ownerless_since_us == PK_NO_TIME) {
        journey->ownerless_since_us = runs ? at_us : PK_NO_TIME;
        journey->orphan_open_us = 0;
    } else if (!runs) {
        journey->ownerless_us += at_us - journey->ownerless_since_us;
        journey->orphan_us += journey->orphan_open_us;
        journey->ownerless_since_us = PK_NO_TIME;
        journey->orphan_open_us = 0;
    }
    journey->ownerless_to_us = at_us;
}

static void take_owner(struct journey *journey, const struct fact *fact, struct pk_arena *arena)
{
    const uint32_t tells = TRAIT(OWNER_CLEARED) | TRAIT(HANDOFF_OFFERED) | TRAIT(HANDOFF_ACCEPTED) |
                           TRAIT(HANDOFF_REJECTED) | TRAIT(OWNER_ASSIGNED);
    if (journey->ownerless_since_us != PK_NO_TIME && journey->orphan)
        journey->orphan_open_us += fact->at_us - journey->ownerless_to_us;
    journey->owner = owner_after(journey, fact);
    if (journey->owner.unit && !unit_same(journey->owner, journey->last_owner)) {
        journey->owners++;
        journey->last_owner = journey->owner;
    }
    if (fact->traits & tells) {
        journey->owner_told = true;
        journey->orphan = fact->traits & TRAIT(HANDOFF_OFFERED);
    }
    if (fact->traits & TRAIT(HANDOFF_OFFERED))
        note_offer(journey, unit_of(fact), target_of(fact), arena);
    run_ownerless(journey, fact->at_us);
}

/* ---- all facts ---- */

static uint32_t effort_of(const struct journey *journey, const struct rules_effort *weight)
{
    int64_t effort = 0;
#define X(member) effort += (int64_t)journey->member * weight->member;
    RULES_EFFORTS(X)
#undef X
    return (uint32_t)PK_MIN(effort, (int64_t)INT32_MAX);
}

static void note_activity(struct journey *journey, const struct fact *fact, struct pk_arena *arena)
{
    journey->last_at_us = fact->at_us;
    journey->last_channel = fact->channel;
    journey->last_type = fact->type;
    journey->last_outcome = fact->outcome;
    journey->resolved = fact->traits & TRAIT(TERMINAL);
    list_add(&journey->channels, fact->channel, arena);
    list_add(&journey->brands, fact->brand, arena);
    list_add(&journey->units, fact->unit, arena);
}

/* The event's part of its journey; `repeat_us` as needs_take gave it. The strand comes after. */
static void absorb(struct journey *journey, const struct fact *fact, int64_t repeat_us, const struct rules *rules,
                   struct pk_arena *arena)
{
    bool passive = fact->traits & TRAIT(PASSIVE);
    uint32_t traits = fact->traits;
    journey->events++;
    if (!passive || journey->crowd)
        note_activity(journey, fact, arena);
    if (passive)
        return;

    if (traits & TRAIT(HUMAN_REPLY) && journey->first_inbound_at_us != PK_NO_TIME &&
        journey->first_human_reply_at_us == PK_NO_TIME)
        journey->first_human_reply_at_us = fact->at_us;
    if (traits & TRAIT(CONTACT))
        count_contact(journey, fact, repeat_us, rules);
    count_traits(journey, traits);
    take_people(journey, fact, arena);
    take_end(journey, fact);
    take_owner(journey, fact, arena);
    run_clock(&journey->queue_us, &journey->queue_since_us, traits & TRAIT(QUEUE_LEAVE), traits & TRAIT(QUEUE_ENTER),
              fact->at_us);
    run_clock(&journey->touch_us, &journey->touch_since_us, traits & TRAIT(WORK_STOP), traits & TRAIT(WORK_START),
              fact->at_us);
    if (fact->stage)
        journey->stage = fact->stage;
    journey->effort = effort_of(journey, &rules->effort);
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
    struct courses *courses = &copy->strand.courses;
    courses->cap = courses->count;
    courses->course = pk_arena_copy(arena, courses->course, courses->count * sizeof *courses->course);
    copy->person_cap = copy->people;
    copy->person = pk_arena_copy(arena, copy->person, copy->people * sizeof *copy->person);
    copy->offerer_cap = copy->offerers;
    copy->offerer = pk_arena_copy(arena, copy->offerer, copy->offerers * sizeof *copy->offerer);
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
    journey->entry_brand = fact->brand;
    journey->entry_unit = fact->unit;
    journey->crowd = journeys->crowd;
    journey->made = true;
    journey->first_inbound_at_us = journey->first_human_reply_at_us = PK_NO_TIME;
    journey->first_terminal_at_us = journey->last_terminal_at_us = journey->decided_at_us = PK_NO_TIME;
    journey->ownerless_since_us = journey->queue_since_us = journey->touch_since_us = PK_NO_TIME;
    strand_init(&journey->strand);
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
    int64_t reach = PK_MAX(rules->gap_us, rules->reopen_gap_us);
    reach = PK_MAX(rules->case_gap_us, reach);
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

bool journey_take(struct journeys *journeys, struct fact *fact, const struct meaning *meaning, uint32_t whole,
                  struct tally *tally, struct pk_arena *arena)
{
    const struct rules *rules = meaning->rules;
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

    int64_t repeat_us = needs_take(&journeys->needs, fact, arena, tally, +1);
    if (journey) {
        absorb(journey, fact, repeat_us, rules, arena);
        strand_take(&journey->strand, meaning, fact, crowd, arena, tally, +1);
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
