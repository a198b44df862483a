/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* qsort_r */
#include "derive.h"

#include <stdlib.h>

/* ---- differences ---- */

static void save_course(const struct journey *journey, const struct course *course, const struct course *old,
                        struct changes *changes)
{
    if (!old)
        *pk_vec_push(&changes->course_new) = (struct change_course){journey, course};
    else if (!course)
        *pk_vec_push(&changes->course_gone) = (struct change_course_gone){journey->id, old->definition};
    else if (!course_same(course, old) || !pk_hash_eq(journey->customer, journey->old->customer))
        *pk_vec_push(&changes->course) = (struct change_course){journey, course};
}

/* Both lists are sorted by definition. */
static void save_courses(const struct journey *journey, struct changes *changes)
{
    static const struct courses none;
    const struct courses *now = &journey->strand.courses, *old = journey->old ? &journey->old->strand.courses : &none;
    for (uint32_t i = 0, k = 0; i < now->count || k < old->count;) {
        const struct course *a = i < now->count ? &now->course[i] : NULL, *b = k < old->count ? &old->course[k] : NULL;
        if (a && b && a->definition != b->definition)
            *(a->definition < b->definition ? &b : &a) = NULL;
        save_course(journey, a, b, changes);
        i += a != NULL;
        k += b != NULL;
    }
}

static void save_journey(const struct journey *journey, struct changes *changes, struct metrics *metrics)
{
    if (journey->old && journey_same(journey, journey->old))
        return;
    if (journey->old)
        metrics_change_journey(metrics, journey->old, journey);
    else
        metrics_add_journey(metrics, journey, +1);
    *pk_vec_push(&changes->journey) = (struct journey *)journey;
    save_courses(journey, changes);
}

static void save_gone_journey(const struct journey *journey, struct changes *changes, struct metrics *metrics)
{
    metrics_add_journey(metrics, journey, -1);
    *pk_vec_push(&changes->journey_gone) = journey->id;
    for (uint32_t i = 0; i < journey->strand.courses.count; i++)
        *pk_vec_push(&changes->course_gone) =
            (struct change_course_gone){journey->id, journey->strand.courses.course[i].definition};
}

static void save_obligation(const struct obligation *o, struct changes *changes, struct metrics *metrics)
{
    if (o->old && obligation_same(o, o->old))
        return;
    if (o->old)
        metrics_add_obligation(metrics, o->old, -1);
    metrics_add_obligation(metrics, o, +1);
    *pk_vec_push(&changes->obligation) = (struct obligation *)o;
}

/* ---- fast path ---- */

void derive_begin(struct derivation *ret, const struct meaning *meaning, struct pk_arena *arena,
                  struct pk_hash customer, const struct customer *from)
{
    *ret = (struct derivation){.meaning = meaning, .arena = arena, .ledger = {.meaning = meaning, .arena = arena}};
    if (!from) {
        ret->now.id = customer;
        journeys_init(&ret->now.journeys, customer);
        ret->now.last_at_us = ret->now.last_act_at_us = PK_NO_TIME;
        return;
    }
    ret->now = *from;
    struct journeys *journeys = &ret->now.journeys;
    journeys->live = pk_arena_copy(arena, journeys->live, journeys->live_count * sizeof *journeys->live);
    journeys->live_cap = journeys->live_count;
    journeys->event = pk_arena_copy(arena, journeys->event, journeys->event_count * sizeof *journeys->event);
    journeys->event_cap = journeys->event_count;
    ledger_resume(&ret->ledger, from->open, from->open_count);
}

static bool follows_last(const struct derivation *d, const struct fact *fact)
{
    const struct customer *now = &d->now;
    if (now->last_at_us == PK_NO_TIME)
        return true;
    if (fact->at_us != now->last_at_us)
        return fact->at_us > now->last_at_us;
    if (fact->sequence != now->last_sequence)
        return fact->sequence > now->last_sequence;
    int order = pk_str_cmp(symbol_text(d->meaning->symbols, fact->source),
                           symbol_text(d->meaning->symbols, now->last_source));
    return order ? order > 0 : pk_str_cmp(fact->event_id, now->last_event_id) > 0;
}

/* May it open what it opens without looking back? Not if an event within `skew` before it might have
 * acted on that already, nor if somebody has named it before it was there. */
static bool may_open(const struct derivation *d, const struct fact *fact, bool promise_known, bool opening_known)
{
    struct opening opening[OPENINGS_MAX];
    size_t count = obligation_openings(d->meaning, fact, opening), opened = 0;
    for (size_t i = 0; i < count; i++) {
        bool changes_one = opening[i].explicit_ && ledger_find_open(&d->ledger, opening[i].id);
        if (opening[i].explicit_ && !changes_one && promise_known)
            return false;
        opened += !changes_one;
    }
    if (opened == 0)
        return true;
    if (opening_known)
        return false;
    return d->now.last_act_at_us == PK_NO_TIME ||
           fact->at_us - d->now.last_act_at_us > d->meaning->rules->skew_us;
}

static void note_last(struct customer *now, const struct meaning *meaning, const struct fact *fact)
{
    now->last_at_us = fact->at_us;
    now->last_sequence = fact->sequence;
    now->last_source = fact->source;
    now->last_event_id = fact->event_id;
    if (pk_hash_zero(fact->relates) && match_acting(meaning->matcher, fact))
        now->last_act_at_us = fact->at_us;
}

bool derive_append(struct derivation *d, struct fact *fact, bool promise_known, bool opening_known)
{
    if (!follows_last(d, fact) || !may_open(d, fact, promise_known, opening_known))
        return false;
    if (!journey_take(&d->now.journeys, fact, d->meaning, 0, &d->tally, d->arena))
        return false;
    fact->order = d->order++;
    ledger_open(&d->ledger, fact);
    ledger_act(&d->ledger, fact);
    note_last(&d->now, d->meaning, fact);
    return true;
}

void derive_save(struct derivation *d, struct changes *changes, struct metrics *metrics)
{
    for (uint32_t i = 0; i < d->now.journeys.made_count; i++)
        save_journey(d->now.journeys.made[i], changes, metrics);
    for (uint32_t i = 0; i < d->ledger.made_count; i++)
        save_obligation(d->ledger.made[i], changes, metrics);
    metrics_add_tally(metrics, &d->tally);
}

/* ---- frozen states ---- */

static size_t rounded(size_t bytes)
{
    return (bytes + 15) & ~(size_t)15;
}

static void *take(uint8_t **at, const void *from, size_t bytes)
{
    void *to = *at;
    if (bytes)
        memcpy(to, from, bytes);
    *at += rounded(bytes);
    return to;
}

static size_t lists_bytes(const struct journey *journey)
{
    return rounded(journey->channels.count * sizeof(sym_t)) + rounded(journey->brands.count * sizeof(sym_t)) +
           rounded(journey->units.count * sizeof(sym_t)) + rounded(journey->people * sizeof *journey->person) +
           rounded(journey->offerers * sizeof *journey->offerer) +
           rounded(journey->strand.courses.count * sizeof *journey->strand.courses.course);
}

static struct journey *freeze_journey(uint8_t **at, const struct journey *journey)
{
    struct journey *copy = take(at, journey, sizeof *journey);
    struct sym_list *lists[] = {&copy->channels, &copy->brands, &copy->units};
    for (size_t i = 0; i < PK_COUNT(lists); i++) {
        lists[i]->sym = take(at, lists[i]->sym, lists[i]->count * sizeof(sym_t));
        lists[i]->cap = lists[i]->count;
    }
    struct courses *courses = &copy->strand.courses;
    copy->person = take(at, copy->person, copy->people * sizeof *copy->person);
    copy->person_cap = copy->people;
    copy->offerer = take(at, copy->offerer, copy->offerers * sizeof *copy->offerer);
    copy->offerer_cap = copy->offerers;
    courses->course = take(at, courses->course, courses->count * sizeof *courses->course);
    courses->cap = courses->count;
    copy->made = false;
    copy->old = NULL;
    return copy;
}

struct customer *derive_freeze(const struct customer *customer, struct obligation *const *obligation, uint32_t count,
                               size_t *ret_bytes)
{
    const struct journeys *from = &customer->journeys;
    uint32_t events = PK_MIN(from->event_count, (uint32_t)JOURNEY_EVENTS), open = 0;
    size_t bytes = rounded(sizeof *customer) + rounded(customer->last_event_id.len) +
                   rounded(from->live_count * sizeof *from->live) + rounded(events * sizeof *from->event) +
                   rounded(from->needs.count * sizeof *from->needs.need);
    for (uint32_t i = 0; i < from->live_count; i++)
        bytes += rounded(sizeof **from->live) + lists_bytes(from->live[i]);
    for (uint32_t i = 0; i < count; i++)
        open += pk_hash_eq(obligation[i]->customer, customer->id) && !obligation_closed(obligation[i]);
    bytes += rounded(open * sizeof *obligation) + open * rounded(sizeof **obligation);

    uint8_t *at = pk_alloc(bytes);
    struct customer *frozen = take(&at, customer, sizeof *customer);
    struct journeys *to = &frozen->journeys;
    frozen->last_event_id.ptr = take(&at, customer->last_event_id.ptr, customer->last_event_id.len);
    to->event = take(&at, from->event + (from->event_count - events), events * sizeof *from->event);
    to->event_count = to->event_cap = events;
    to->events_dropped = from->events_dropped || from->event_count > events;
    to->event_index = (struct pk_map){0};
    to->made = NULL;
    to->made_count = to->made_cap = 0;
    to->needs.need = take(&at, from->needs.need, from->needs.count * sizeof *from->needs.need);
    to->needs.cap = 0; /* borrowed by whoever goes on from here */
    to->live = take(&at, from->live, from->live_count * sizeof *from->live);
    to->live_cap = from->live_count;
    for (uint32_t i = 0; i < from->live_count; i++)
        to->live[i] = freeze_journey(&at, from->live[i]);
    frozen->open = (struct obligation **)(void *)at;
    at += rounded(open * sizeof *obligation);
    frozen->open_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!pk_hash_eq(obligation[i]->customer, customer->id) || obligation_closed(obligation[i]))
            continue;
        struct obligation *copy = take(&at, obligation[i], sizeof *copy);
        copy->made = false;
        copy->old = NULL;
        copy->opener = NULL;
        frozen->open[frozen->open_count++] = copy;
    }
    if (ret_bytes)
        *ret_bytes = bytes;
    return frozen;
}

/* ---- slow path ---- */

/* Sorting through an index of (time, pointer) touches the facts only where times are equal. */
struct sort_item {
    int64_t at_us;
    struct fact *fact;
};

static int compare_items(const void *left, const void *right, void *symbols)
{
    const struct sort_item *a = left, *b = right;
    if (a->at_us != b->at_us)
        return a->at_us < b->at_us ? -1 : 1;
    return fact_cmp(symbols, a->fact, b->fact);
}

static void sort_facts(const struct meaning *meaning, struct pk_arena *arena, struct fact **fact, size_t count)
{
    struct sort_item *item = pk_arena_alloc(arena, (count + 1) * sizeof *item);
    for (size_t i = 0; i < count; i++)
        item[i] = (struct sort_item){fact[i]->at_us, fact[i]};
    qsort_r(item, count, sizeof *item, compare_items, (void *)meaning->symbols);
    for (size_t i = 0; i < count; i++)
        fact[i] = item[i].fact;
}

static void find_customers(struct pk_arena *arena, const struct group *group, struct group_result *ret,
                           struct pk_map *index, uint32_t **ret_events)
{
    struct customer *customer = PK_NEW_ARRAY(arena, struct customer, group->facts + 1);
    uint32_t *events = PK_NEW_ARRAY(arena, uint32_t, group->facts + 1);
    for (size_t i = 0; i < group->facts; i++) {
        struct pk_hash id = group->fact[i]->customer;
        if (pk_hash_zero(id))
            continue;
        struct customer *found = pk_map_get(index, id);
        if (!found) {
            found = &customer[ret->customers++];
            found->id = id;
            journeys_init(&found->journeys, id);
            found->last_act_at_us = PK_NO_TIME;
            pk_map_put(index, id, found);
        }
        events[found - customer]++;
    }
    ret->customer = customer;
    *ret_events = events;
}

/* Sealed events count, and nothing else of them matters. */
static void take_carries(const struct meaning *meaning, const struct group *group, const struct group_result *ret,
                         const struct pk_map *index, uint32_t *events)
{
    for (size_t i = 0; i < group->carries; i++) {
        struct customer *customer = pk_map_get(index, group->carry[i].customer);
        if (!customer)
            continue;
        const struct carry *carry = &group->carry[i].is;
        events[customer - ret->customer] += carry->events;
        customer->journeys.events = carry->events;
        customer->journeys.crowd = events[customer - ret->customer] > meaning->rules->max_events;
        needs_carry(&customer->journeys.needs, carry);
    }
}

static void derive_all(const struct meaning *meaning, struct pk_arena *arena, const struct group *group,
                       struct group_result *ret, struct tally *tally)
{
    struct pk_map index = {0};
    uint32_t *events;
    find_customers(arena, group, ret, &index, &events);
    take_carries(meaning, group, ret, &index, events);
    for (size_t i = 0; i < group->facts; i++) {
        struct fact *fact = group->fact[i];
        fact->order = (uint32_t)i;
        fact->journey = NULL;
        if (pk_hash_zero(fact->customer))
            continue;
        struct customer *customer = pk_map_get(&index, fact->customer);
        journey_take(&customer->journeys, fact, meaning, events[customer - ret->customer], tally, arena);
        note_last(customer, meaning, fact);
    }
    pk_map_done(&index);
    for (size_t i = 0; i < group->facts; i++)
        ledger_open(&ret->ledger, group->fact[i]);
    for (size_t i = 0; i < group->facts; i++)
        ledger_act(&ret->ledger, group->fact[i]);
}

static void compare_journeys(const struct group *group, const struct group_result *result, struct changes *changes,
                             struct metrics *metrics)
{
    struct pk_map stored = {0};
    for (size_t i = 0; i < group->stored_journeys; i++)
        pk_map_put(&stored, group->stored_journey[i].id, &group->stored_journey[i]);
    for (size_t c = 0; c < result->customers; c++) {
        const struct journeys *journeys = &result->customer[c].journeys;
        for (uint32_t i = 0; i < journeys->made_count; i++) {
            struct journey *journey = journeys->made[i];
            journey->old = pk_map_get(&stored, journey->id);
            pk_map_remove(&stored, journey->id);
            save_journey(journey, changes, metrics);
        }
    }
    PK_MAP_EACH(&stored, gone) save_gone_journey(gone->value, changes, metrics);
    pk_map_done(&stored);
}

static void compare_obligations(const struct group *group, const struct group_result *result,
                                struct changes *changes, struct metrics *metrics)
{
    struct pk_map stored = {0};
    for (size_t i = 0; i < group->stored_obligations; i++)
        pk_map_put(&stored, group->stored_obligation[i].id, &group->stored_obligation[i]);
    for (uint32_t i = 0; i < result->ledger.made_count; i++) {
        struct obligation *o = result->ledger.made[i];
        o->old = pk_map_get(&stored, o->id);
        pk_map_remove(&stored, o->id);
        save_obligation(o, changes, metrics);
    }
    PK_MAP_EACH(&stored, gone)
    {
        metrics_add_obligation(metrics, gone->value, -1);
        *pk_vec_push(&changes->obligation_gone) = gone->key;
    }
    pk_map_done(&stored);
}

static void save_move(const struct fact *fact, struct changes *changes)
{
    struct pk_hash journey = fact->journey ? fact->journey->id : (struct pk_hash){{0}};
    bool nobody = pk_hash_zero(fact->customer);
    if (!fact->stored || (pk_hash_eq(journey, fact->stored_journey) && pk_hash_eq(fact->customer, fact->stored_customer) &&
                          pk_hash_eq(fact->sighted, fact->stored_sighted) &&
                          (nobody || fact->customer_kind == fact->stored_kind)))
        return;
    *pk_vec_push(&changes->move) =
        (struct change_move){fact->at_us, fact->event_hash, journey, fact->customer, fact->sighted, fact->customer_kind};
}

/* ---- what pairs of stored events count ---- */

static struct needs *needs_of(struct pk_map *needs, struct pk_arena *arena, struct pk_hash customer)
{
    struct needs *found = pk_map_get(needs, customer);
    if (!found) {
        found = PK_NEW(arena, struct needs);
        needs_init(found);
        pk_map_put(needs, customer, found);
    }
    return found;
}

struct stored_strand {
    struct strand strand;
    bool crowd;
};

void derive_stored_pairs(const struct meaning *meaning, struct pk_arena *arena, struct fact **fact, size_t facts,
                         const struct journey *journey, size_t journeys, struct tally *tally, int sign,
                         struct pk_map *ret_needs)
{
    struct pk_map strands = {0};
    struct stored_strand *strand = PK_NEW_ARRAY(arena, struct stored_strand, journeys + 1);
    for (size_t i = 0; i < journeys; i++) {
        strand_init(&strand[i].strand);
        strand[i].crowd = journey[i].crowd;
        pk_map_put(&strands, journey[i].id, &strand[i]);
    }
    sort_facts(meaning, arena, fact, facts);
    for (size_t i = 0; i < facts; i++) {
        if (pk_hash_zero(fact[i]->stored_customer))
            continue;
        struct stored_strand *of =
            pk_hash_zero(fact[i]->stored_journey) ? NULL : pk_map_get(&strands, fact[i]->stored_journey);
        needs_take(needs_of(ret_needs, arena, fact[i]->stored_customer), fact[i], arena, tally, sign);
        if (of)
            strand_take(&of->strand, meaning, fact[i], of->crowd, arena, tally, sign);
    }
    pk_map_done(&strands);
}

/* Takes back what the stored events counted, and notes the purchases of before. */
static void take_back(const struct meaning *meaning, struct pk_arena *arena, const struct group *group,
                      struct group_result *ret, struct tally *tally)
{
    struct pk_map needs = {0};
    derive_stored_pairs(meaning, arena, group->stored_fact, group->stored_facts, group->stored_journey,
                        group->stored_journeys, tally, -1, &needs);
    ret->was = PK_NEW_ARRAY(arena, struct needs, ret->customers + 1);
    for (size_t c = 0; c < ret->customers; c++) {
        const struct needs *was = pk_map_get(&needs, ret->customer[c].id);
        if (was)
            ret->was[c] = *was;
        else
            needs_init(&ret->was[c]);
        for (size_t i = 0; i < group->carries; i++)
            if (pk_hash_eq(group->carry[i].customer, ret->customer[c].id))
                needs_carry(&ret->was[c], &group->carry[i].was);
    }
    pk_map_done(&needs);
}

void derive_group(const struct meaning *meaning, struct pk_arena *arena, struct group *group,
                  struct group_result *ret, struct changes *changes, struct metrics *metrics)
{
    struct tally tally = {0};
    *ret = (struct group_result){.ledger = {.meaning = meaning, .arena = arena, .indexed = group->facts > 64}};
    sort_facts(meaning, arena, group->fact, group->facts);
    derive_all(meaning, arena, group, ret, &tally);
    take_back(meaning, arena, group, ret, &tally);
    metrics_add_tally(metrics, &tally);
    compare_journeys(group, ret, changes, metrics);
    compare_obligations(group, ret, changes, metrics);
    for (size_t i = 0; i < group->facts; i++)
        save_move(group->fact[i], changes);
}

void group_done(struct group_result *result)
{
    for (size_t i = 0; i < result->customers; i++)
        journeys_done(&result->customer[i].journeys);
    ledger_done(&result->ledger);
}
