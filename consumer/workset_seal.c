/* SPDX-License-Identifier: Apache-2.0 */
#include "workset_seal.h"
#include "workset_inner.h"

#include <assert.h>
#include <stdlib.h>

/* ---- the seam: the moment before which events of one customer are sealed ---- */

struct bond { /* a journey and those that it continues: sealed together */
    const struct journey *row;
    int64_t first_at_us;
};

static int latest_first(const void *left, const void *right)
{
    const struct ws_fact *a = *(struct ws_fact *const *)left, *b = *(struct ws_fact *const *)right;
    return (a->fact->at_us < b->fact->at_us) - (a->fact->at_us > b->fact->at_us);
}

static void find_bonds(struct workset *ws, struct pk_map *ret)
{
    struct bond *bond = PK_NEW_ARRAY(ws->arena, struct bond, ws->journeys.len + 1);
    for (size_t i = 0; i < ws->journeys.len; i++) {
        bond[i] = (struct bond){ws->journeys.ptr[i], ws->journeys.ptr[i]->first_at_us};
        pk_map_put(ret, bond[i].row->id, &bond[i]);
    }
    PK_MAP_EACH(&ws->stored, e)
    {
        const struct fact *fact = ((struct ws_fact *)e->value)->fact;
        struct bond *of = pk_map_get(ret, fact->stored_journey);
        if (of)
            of->first_at_us = PK_MIN(of->first_at_us, fact->at_us);
    }
}

static int64_t held_back_by(const struct pk_map *bonds, const struct fact *fact)
{
    int64_t first_at_us = fact->at_us;
    struct pk_hash journey = fact->stored_journey;
    const struct bond *bond;
    while (!pk_hash_zero(journey) && (bond = pk_map_get(bonds, journey))) {
        first_at_us = PK_MIN(first_at_us, bond->first_at_us);
        journey = bond->row->continues;
    }
    return first_at_us;
}

static int64_t last_acted(const struct obligation *o)
{
    int64_t acted_at_us = PK_MAX(o->last_attempt_at_us, o->changed_at_us), closed_at_us = PK_MAX(o->fulfilled_at_us, o->rejected_at_us);
    closed_at_us = PK_MAX(closed_at_us, o->withdrawn_at_us);
    return PK_MAX(acted_at_us, closed_at_us);
}

/* What is still owed at R is not over. */
static bool is_over(const struct obligation *o, int64_t seam_us, int64_t before_us)
{
    return last_acted(o) < seam_us && (obligation_closed(o) || o->due_to_us < before_us);
}

/* Both scans go on from a seam that moved back until it stays. */
static int64_t seam_of(const struct workset *ws, const struct pk_map *bonds, struct ws_customer *customer, int64_t until_us,
                       int64_t before_us)
{
    int64_t seam_us = until_us, was_us;
    qsort(customer->stored, customer->stored_count, sizeof *customer->stored, latest_first);
    do {
        was_us = seam_us;
        for (uint32_t i = 0; i < customer->stored_count && customer->stored[i]->fact->at_us >= seam_us; i++)
            seam_us = PK_MIN(seam_us, held_back_by(bonds, customer->stored[i]->fact));
        for (size_t i = 0; i < ws->obligations.len; i++) {
            const struct obligation *o = ws->obligations.ptr[i];
            if (pk_hash_eq(o->customer, customer->id) && o->opened_at_us < seam_us && !is_over(o, seam_us, before_us))
                seam_us = o->opened_at_us;
        }
    } while (seam_us != was_us);
    return seam_us;
}

static void carry_event(struct ws_customer *customer, const struct fact *fact)
{
    struct needs needs;
    struct carry *carry = &customer->carry;
    needs_init(&needs);
    needs_carry(&needs, carry);
    if (fact->traits & TRAIT(PURCHASE))
        needs_carry(&needs, &(struct carry){.purchases = 1, .first_purchase_at_us = fact->at_us, .last_purchase_at_us = fact->at_us});
    *carry = (struct carry){carry->events + 1, needs.purchases, needs.first_purchase_at_us, needs.last_purchase_at_us,
                            (uint8_t)fact->stored_kind};
}

static void seal_customer(struct workset *ws, const struct pk_map *bonds, struct seal_customer *of, int64_t before_us)
{
    struct ws_customer *customer = pk_map_get(&ws->customers, of->id);
    int64_t seam_us = customer->stored_count ? seam_of(ws, bonds, customer, PK_MIN(of->until_us, before_us), before_us) : 0;
    of->events = 0;
    for (uint32_t i = 0; i < customer->stored_count; i++) {
        struct fact *fact = customer->stored[i]->fact;
        if (fact->at_us >= seam_us)
            continue;
        ws_displace(ws, fact, NULL);
        carry_event(customer, fact);
        of->events++;
    }
}

void workset_seal(struct workset *ws, struct seal *seal, const struct ws_need *loaded, struct fact *fact, size_t facts,
                  struct journey *journey, size_t journeys, struct obligation *obligation, size_t obligations,
                  const struct store_carry *carry, size_t carries)
{
    struct pk_map bonds = {0};
    ws->sealing = true;
    for (size_t i = 0; i < seal->customers; i++) {
        struct ws_customer *customer = ws_customer_of(ws, seal->customer[i].id, KEY_PERSON);
        customer->slow = customer->loaded = true;
    }
    workset_put_customers(ws, loaded, fact, facts, journey, journeys, obligation, obligations, carry, carries);
    find_bonds(ws, &bonds);
    for (size_t i = 0; i < seal->customers; i++) {
        seal->customer[i].refused = false;
        seal_customer(ws, &bonds, &seal->customer[i], seal->before_us);
    }
    for (size_t i = 0; i < seal->nameless_count; i++) {
        seal->nameless[i].refused = false;
        ws_displace(ws, seal->nameless[i].fact, NULL);
    }
    pk_map_done(&bonds);
}

/* The meetings of events that are sealed: one of them must be of the first event. */
bool ws_need_sealed_meetings(struct workset *ws, struct ws_need *ret)
{
    if (ws->sealed_asked)
        return false;
    ws->sealed_asked = true;
    struct pk_hash *person = pk_arena_alloc(ws->arena, (ws->displaced.len + 1) * sizeof *person),
                   *id = pk_arena_alloc(ws->arena, (ws->displaced.len + 1) * sizeof *id);
    size_t count = 0;
    for (size_t i = 0; i < ws->displaced.len; i++) {
        const struct fact *fact = ws->displaced.ptr[i]->fact;
        if (fact->person_count < 2)
            continue;
        person[count] = fact->person[0].hash;
        id[count++] = fact_meeting(fact);
    }
    *ret = (struct ws_need){.kind = NEED_MEETINGS, .hash = person, .meeting = id, .count = count};
    return count > 0;
}

/* ---- is nothing else changed? ---- */

struct judge {
    struct workset *ws;
    struct seal *seal;
    bool refused;
};

/* This customer's rows would change: whoever of those to be sealed is of one group with it is to blame. */
static void blame(struct judge *judge, struct pk_hash id)
{
    struct ws_customer *customer = pk_map_get(&judge->ws->customers, id);
    judge->refused = true;
    for (size_t i = 0; customer && i < judge->seal->customers; i++) {
        struct seal_customer *of = &judge->seal->customer[i];
        of->refused |= of->events && ws_root(pk_map_get(&judge->ws->customers, of->id)) == ws_root(customer);
    }
}

static void blame_act(struct judge *judge, const struct obligation *o)
{
    blame(judge, o->customer);
    for (size_t i = 0; i < judge->seal->nameless_count; i++) {
        const struct fact *fact = judge->seal->nameless[i].fact;
        judge->seal->nameless[i].refused |= pk_hash_eq(fact->relates, o->id) || pk_hash_eq(fact->relates, o->opened_by);
    }
}

static void judge_rows(struct judge *judge, const struct changes *changes)
{
    for (size_t i = 0; i < changes->journey.len; i++)
        blame(judge, changes->journey.ptr[i]->customer);
    for (size_t i = 0; i < changes->obligation.len; i++)
        blame_act(judge, changes->obligation.ptr[i]);
    for (size_t i = 0; i < changes->course_new.len; i++)
        blame(judge, changes->course_new.ptr[i].journey->customer);
    for (size_t i = 0; i < changes->course.len; i++)
        blame(judge, changes->course.ptr[i].journey->customer);
    for (size_t i = 0; i < changes->customer.len; i++)
        blame(judge, changes->customer.ptr[i].id);
    for (size_t i = 0; i < changes->customer_gone.len; i++)
        blame(judge, changes->customer_gone.ptr[i]);
    for (size_t i = 0; i < changes->customer_purchases.len; i++)
        blame(judge, changes->customer_purchases.ptr[i].id);
    for (size_t i = 0; i < changes->move.len; i++)
        blame(judge, changes->move.ptr[i].customer);
    for (size_t i = 0; i < judge->ws->moved.len; i++) {
        blame(judge, judge->ws->moved.ptr[i]->fact->stored_customer);
        blame(judge, judge->ws->moved.ptr[i]->fact->customer);
    }
    judge->refused |= changes->key.len || changes->key_state.len || changes->sighting.len ||
                      changes->new_cell.len || changes->fact.len || changes->meeting_new.len || changes->meeting_first.len ||
                      changes->meeting_gone.len;
}

/* Events of one set of persons are of one customer, unless all of them are shared. */
static void judge_meetings(struct judge *judge)
{
    struct workset *ws = judge->ws;
    struct pk_map first = {0}; /* meeting -> the first of its events that are sealed now */
    for (size_t i = 0; i < ws->displaced.len; i++) {
        const struct fact *fact = ws->displaced.ptr[i]->fact, *known;
        if (fact->person_count < 2)
            continue;
        known = pk_map_get(&first, fact_meeting(fact));
        if (!known || fact_cmp(ws->meaning->symbols, fact, known) < 0)
            pk_map_put(&first, fact_meeting(fact), (void *)fact);
    }
    for (size_t i = 0; i < ws->displaced.len; i++) {
        const struct fact *fact = ws->displaced.ptr[i]->fact;
        if (fact->person_count < 2)
            continue;
        const struct ws_meeting *meeting = pk_map_get(&ws->meetings, fact_meeting(fact));
        struct identity_event sealed = ws_event_of(pk_map_get(&first, fact_meeting(fact))), known;
        if (meeting && meeting->row.sealed)
            continue;
        if (meeting)
            known = ws_first_of(meeting);
        if (meeting && meeting->in_database && identity_event_cmp(ws->meaning->symbols, &sealed, &known) == 0)
            continue;
        blame(judge, fact->stored_customer);
        for (size_t k = 0; k < judge->seal->nameless_count; k++)
            judge->seal->nameless[k].refused |= pk_hash_eq(judge->seal->nameless[k].fact->event_hash, fact->event_hash);
    }
    pk_map_done(&first);
}

/* Somebody must be, else it would be asked for ever. */
static void blame_all_if_none(struct judge *judge)
{
    bool any = false;
    for (size_t i = 0; i < judge->seal->customers; i++)
        any |= judge->seal->customer[i].refused;
    for (size_t i = 0; i < judge->seal->nameless_count; i++)
        any |= judge->seal->nameless[i].refused;
    for (size_t i = 0; i < judge->seal->customers && !any; i++)
        judge->seal->customer[i].refused = true;
    for (size_t i = 0; i < judge->seal->nameless_count && !any; i++)
        judge->seal->nameless[i].refused = true;
}

/* ---- turned round: what would go stays as it is ---- */

static void keep_rows(struct workset *ws, struct changes *changes)
{
    for (size_t i = 0; i < changes->journey_gone.len; i++)
        *pk_vec_push(&changes->journey_sealed) = changes->journey_gone.ptr[i];
    for (size_t i = 0; i < changes->obligation_gone.len; i++) {
        struct pk_hash id = changes->obligation_gone.ptr[i];
        const struct ws_key *key = pk_map_get(&ws->keys, fact_key(id, KEY_OBLIGATION));
        assert(key && key->in_database);
        *pk_vec_push(&changes->obligation_sealed) = id;
        if (!(key->flags & KEY_SEALED))
            *pk_vec_push(&changes->key_state) =
                (struct change_key_state){key->hash, key->flags | KEY_SEALED, key->first_at_us, key->customer};
    }
    changes->journey_gone.len = changes->obligation_gone.len = changes->course_gone.len = 0;
}

static void keep_identity(struct workset *ws, struct changes *changes)
{
    struct pk_map done = {0};
    for (size_t i = 0; i < ws->displaced.len; i++) {
        const struct ws_fact *entry = ws->displaced.ptr[i];
        struct pk_hash id = fact_meeting(entry->fact);
        for (unsigned k = 0; k < entry->fact->person_count; k++) {
            struct ws_key *key = entry->person[k];
            if (key->sealed_at_us == PK_NO_TIME || entry->fact->at_us < key->sealed_at_us) {
                key->sealed_at_us = entry->fact->at_us;
                pk_map_put(&done, key->hash, key);
            }
        }
        struct ws_meeting *meeting = pk_hash_zero(id) ? NULL : pk_map_get(&ws->meetings, id);
        if (!meeting || meeting->row.sealed)
            continue;
        meeting->row.sealed = true;
        for (uint32_t p = 0; p < meeting->row.count; p++)
            *pk_vec_push(&changes->meeting_sealed) = (struct change_meeting){meeting->row.person[p], &meeting->row};
    }
    PK_MAP_EACH(&done, e)
    *pk_vec_push(&changes->sealed_at) = (struct change_sealed_at){e->key, ((const struct ws_key *)e->value)->sealed_at_us};
    pk_map_done(&done);
}

bool workset_accepts_seal(struct workset *ws, struct seal *seal, struct changes *changes)
{
    struct judge judge = {.ws = ws, .seal = seal};
    judge_rows(&judge, changes);
    judge_meetings(&judge);
    if (judge.refused) {
        blame_all_if_none(&judge);
        return false;
    }
    changes->seal = true;
    changes->sealed = (struct seal_counts){ws->displaced.len, changes->journey_gone.len, changes->obligation_gone.len};
    keep_rows(ws, changes);
    keep_identity(ws, changes);
    ws_sort_changes(changes);
    return true;
}
