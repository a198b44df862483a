/* SPDX-License-Identifier: Apache-2.0 */
#include "identity_batch.h"

#include <stdlib.h>

void identity_batch_init(struct identity_batch *batch, const struct meaning *meaning)
{
    *batch = (struct identity_batch){.meaning = meaning};
}

void identity_batch_done(struct identity_batch *batch)
{
    pk_map_done(&batch->persons);
    pk_map_done(&batch->meetings);
    pk_map_done(&batch->blocked);
    pk_vec_done(&batch->person);
    pk_vec_done(&batch->meeting);
    pk_vec_done(&batch->apart);
    pk_arena_done(&batch->arena);
}

struct identity_person *identity_batch_person(const struct identity_batch *batch, struct pk_hash hash)
{
    return pk_map_get(&batch->persons, hash);
}

bool identity_batch_blocked(const struct identity_batch *batch, struct pk_hash hash)
{
    return pk_map_get(&batch->blocked, hash) != NULL;
}

/* ---- who is one customer ---- */

static struct identity_person *take_person(struct identity_batch *batch, const struct fact_name *name, int64_t at_us)
{
    struct identity_person *person = pk_map_get(&batch->persons, name->hash);
    if (!person) {
        person = PK_NEW(&batch->arena, struct identity_person);
        *person = (struct identity_person){
            .hash = name->hash, .name_space = name->name_space, .rules = name->rules, .first_at_us = at_us};
        pk_map_put(&batch->persons, name->hash, person);
        *pk_vec_push(&batch->person) = person;
    }
    person->first_at_us = PK_MIN(person->first_at_us, at_us);
    return person;
}

void identity_batch_add(struct identity_batch *batch, const struct fact *fact)
{
    struct identity_person *person[FACT_MAX_IDENTIFIERS];
    for (uint32_t i = 0; i < fact->person_count; i++)
        person[i] = take_person(batch, &fact->person[i], fact->at_us);
    if (fact->person_count < 2)
        return;
    const struct identity_event event = {fact->at_us, fact->sequence, fact->source, fact->event_id};
    struct pk_hash id = fact_meeting(fact);
    struct identity_meeting *meeting = pk_map_get(&batch->meetings, id);
    if (!meeting) {
        meeting = PK_NEW(&batch->arena, struct identity_meeting);
        meeting->id = id;
        meeting->count = fact->person_count;
        meeting->person = pk_arena_copy(&batch->arena, person, fact->person_count * sizeof *person);
        meeting->first = event;
        pk_map_put(&batch->meetings, id, meeting);
        *pk_vec_push(&batch->meeting) = meeting;
    } else if (identity_event_cmp(batch->meaning->symbols, &event, &meeting->first) < 0) {
        meeting->first = event;
    }
}

void identity_batch_decide(struct identity_batch *batch, const struct change_decision *decision)
{
    struct identity_person *a = identity_batch_person(batch, decision->a), *b = identity_batch_person(batch, decision->b);
    switch (decision->kind) {
    case DECIDE_BLOCK:
        pk_map_put(&batch->blocked, decision->a, batch);
        if (a)
            a->blocked = true;
        break;
    case DECIDE_UNLINK:
        if (a)
            a->alone = true;
        break;
    case DECIDE_APART:
        if (a && b)
            *pk_vec_push(&batch->apart) = (struct identity_apart){a, b};
        break;
    }
}

void identity_batch_solve(struct identity_batch *batch)
{
    batch->identity = (struct identity){
        .person = batch->person.ptr,
        .persons = batch->person.len,
        .meeting = batch->meeting.ptr,
        .meetings = batch->meeting.len,
        .apart = batch->apart.ptr,
        .aparts = batch->apart.len,
    };
    identity_solve(batch->meaning->rules, batch->meaning->symbols, &batch->arena, &batch->identity);
}

/* ---- from the stored rows ---- */

static void take_stored_person(struct identity_batch *batch, const struct memory_key *key)
{
    struct identity_person *person = PK_NEW(&batch->arena, struct identity_person);
    *person = (struct identity_person){
        .hash = key->hash,
        .name_space = key->name_space,
        .rules = fact_namespace(batch->meaning->rules, symbol_text(batch->meaning->symbols, key->name_space)),
        .first_at_us = key->first_at_us,
    };
    pk_map_put(&batch->persons, key->hash, person);
    *pk_vec_push(&batch->person) = person;
}

static void take_stored_meeting(struct identity_batch *batch, const struct store_meeting *row)
{
    if (pk_map_get(&batch->meetings, row->id))
        return;
    struct identity_meeting *meeting = PK_NEW(&batch->arena, struct identity_meeting);
    meeting->id = row->id;
    meeting->count = row->count;
    meeting->person = PK_NEW_ARRAY(&batch->arena, struct identity_person *, row->count);
    for (uint32_t i = 0; i < row->count; i++)
        meeting->person[i] = pk_map_get(&batch->persons, row->person[i]);
    meeting->first = (struct identity_event){row->first_at_us, row->first_sequence, row->first_source, row->first_event_id};
    pk_map_put(&batch->meetings, row->id, meeting);
    *pk_vec_push(&batch->meeting) = meeting;
}

void identity_batch_take_store(struct identity_batch *batch, const struct memory_store *store)
{
    PK_MAP_EACH(&store->keys, e)
    {
        const struct memory_key *key = e->value;
        if (key->kind == KEY_PERSON)
            take_stored_person(batch, key);
    }
    PK_MAP_EACH(&store->keys, e)
    {
        const struct memory_key *key = e->value;
        for (uint32_t i = 0; i < key->meeting_count; i++)
            take_stored_meeting(batch, key->meeting[i]);
    }
    for (size_t i = 0; i < store->decisions.len; i++)
        if (store->decisions.ptr[i].in_force)
            identity_batch_decide(batch, &store->decisions.ptr[i].row);
    identity_batch_solve(batch);
}

/* ---- whose event: every waiting event looks at every other one ---- */

struct lent { /* a name of an event without own person */
    struct pk_hash hash;
    enum key_kind kind;
    int64_t lookback_us, lookahead_us;
};

struct identity_person *identity_batch_own(const struct identity_batch *batch, const struct fact *fact)
{
    for (uint32_t i = 0; i < fact->person_count; i++) {
        struct identity_person *person = identity_batch_person(batch, fact->person[i].hash);
        if (!person->blocked && !person->shared)
            return person;
    }
    return NULL;
}

/* Strongest first; all persons of such an event are shared or blocked. */
static size_t lent_names(const struct identity_batch *batch, const struct fact *fact,
                         struct lent ret[2 * FACT_MAX_IDENTIFIERS + 1])
{
    size_t count = 0;
    for (uint32_t i = 0; i < fact->device_count; i++) {
        const struct fact_name *device = &fact->device[i];
        if (!identity_batch_blocked(batch, device->hash))
            ret[count++] = (struct lent){device->hash, KEY_DEVICE, device->rules->lookback_us, device->rules->lookahead_us};
    }
    for (uint32_t i = 0; i < fact->person_count; i++) {
        const struct fact_name *person = &fact->person[i];
        if (!identity_batch_blocked(batch, person->hash))
            ret[count++] = (struct lent){person->hash, KEY_SHARED, person->rules->lookback_us, person->rules->lookback_us};
    }
    int64_t gap_us = batch->meaning->rules->case_gap_us;
    if (!pk_hash_zero(fact->case_key))
        ret[count++] = (struct lent){fact->case_key, KEY_CASE, gap_us, gap_us};
    return count;
}

static bool carries(const struct fact *fact, struct pk_hash name)
{
    for (uint32_t i = 0; i < fact->device_count; i++)
        if (pk_hash_eq(fact->device[i].hash, name))
            return true;
    for (uint32_t i = 0; i < fact->person_count; i++)
        if (pk_hash_eq(fact->person[i].hash, name))
            return true;
    return pk_hash_eq(fact->case_key, name);
}

static void borrow(const struct identity_batch *batch, struct fact *const *fact, size_t count, struct fact *to)
{
    struct lent name[2 * FACT_MAX_IDENTIFIERS + 1];
    size_t names = lent_names(batch, to, name);
    const struct fact *before = NULL, *after = NULL;
    for (size_t i = 0; i < count && names; i++) {
        if (!identity_batch_own(batch, fact[i]))
            continue;
        int64_t ago_us = to->at_us - fact[i]->at_us;
        bool back = false, ahead = false;
        for (size_t n = 0; n < names; n++) {
            if (!carries(fact[i], name[n].hash))
                continue;
            back |= ago_us >= 0 && ago_us <= name[n].lookback_us;
            ahead |= ago_us < 0 && -ago_us <= name[n].lookahead_us;
        }
        if (back && (!before || fact_cmp(batch->meaning->symbols, before, fact[i]) < 0))
            before = fact[i];
        if (ahead && (!after || fact_cmp(batch->meaning->symbols, after, fact[i]) > 0))
            after = fact[i];
    }
    const struct fact *sighting = before ? before : after;
    if (sighting) {
        const struct identity_person *own = identity_batch_own(batch, sighting);
        to->sighted = own->hash;
        to->customer = own->customer;
        to->customer_kind = KEY_PERSON;
    } else if (names) {
        to->customer = name[0].hash;
        to->customer_kind = name[0].kind;
    }
}

void identity_batch_attribute(const struct identity_batch *batch, struct fact *const *fact, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct identity_person *own = identity_batch_own(batch, fact[i]);
        fact[i]->customer = fact[i]->sighted = (struct pk_hash){{0}};
        fact[i]->customer_kind = KEY_PERSON;
        if (own)
            fact[i]->customer = own->customer;
        else
            borrow(batch, fact, count, fact[i]);
    }
}
