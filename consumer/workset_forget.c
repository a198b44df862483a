/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* qsort_r */
/* Forgetting (docs/semantics.md 3.7): stored events that go away, or stay without their names, and everything that was
 * derived from them, by the machinery of displaced copies: one that is deleted is displaced by nothing. */
#include "workset_inner.h"

#include <stdlib.h>

/* ---- which names and events ---- */

struct lists {
    struct pk_map names;  /* of F */
    struct pk_map events; /* of X: name and event in one */
};

static struct pk_hash event_at_name(struct pk_hash name, struct pk_hash event_hash, int64_t at_us)
{
    pk_put_be64(name.byte, pk_get_be64(name.byte) ^ pk_get_be64(event_hash.byte + 8) ^ (uint64_t)at_us);
    pk_put_be64(name.byte + 8, pk_get_be64(name.byte + 8) ^ pk_get_be64(event_hash.byte));
    return name;
}

static void make_lists(const struct change_forgetting *f, struct lists *ret)
{
    *ret = (struct lists){0};
    for (size_t i = 0; i < f->names; i++)
        pk_map_put(&ret->names, f->name[i].name, (void *)f);
    for (size_t i = 0; i < f->events; i++)
        pk_map_put(&ret->events, event_at_name(f->event[i].name, f->event[i].event_hash, f->event[i].at_us), (void *)f);
}

enum { ROWS_MAX = 2 * (FACT_MAX_IDENTIFIERS + 1) };

static size_t rows_of_name(const struct lists *lists, const struct change_forgetting *f, const struct fact *fact,
                           struct pk_hash name, struct forgotten *ret)
{
    size_t count = 0;
    if (pk_map_get(&lists->names, name))
        ret[count++] = (struct forgotten){.name = name, .until_us = f->until_us, .anonymise = f->anonymise};
    if (pk_map_get(&lists->events, event_at_name(name, fact->event_hash, fact->at_us)))
        ret[count++] = (struct forgotten){.name = name, .until_us = fact->at_us, .anonymise = f->anonymise, .single = true};
    return count;
}

static size_t rows_of(const struct lists *lists, const struct change_forgetting *f, const struct fact *fact,
                      struct forgotten ret[ROWS_MAX])
{
    size_t count = 0;
    for (unsigned i = 0; i < fact->person_count; i++)
        count += rows_of_name(lists, f, fact, fact->person[i].hash, ret + count);
    for (unsigned i = 0; i < fact->device_count; i++)
        count += rows_of_name(lists, f, fact, fact->device[i].hash, ret + count);
    if (!pk_hash_zero(fact->case_key))
        count += rows_of_name(lists, f, fact, fact->case_key, ret + count);
    return count;
}

/* ---- what becomes of the stored events ---- */

/* As if it came in this batch. */
static struct fact *copy_of(struct workset *ws, const struct fact *stored)
{
    struct fact *copy = PK_NEW(ws->arena, struct fact);
    *copy = *stored;
    copy->stored = false;
    copy->stored_journey = copy->stored_customer = copy->stored_sighted = (struct pk_hash){{0}};
    copy->stored_kind = KEY_PERSON;
    return copy;
}

struct change_of { /* a stored event that stays without some or all of its names */
    struct fact *copy, *stored;
};

static int compare_changes(const void *left, const void *right, void *symbols)
{
    const struct change_of *a = left, *b = right;
    return fact_cmp(symbols, a->copy, b->copy);
}

struct weighed {
    PK_VEC(struct fact *) gone; /* stored */
    PK_VEC(struct change_of) change;
};

static void weigh(struct workset *ws, const struct lists *lists, struct fact *fact, struct weighed *ret)
{
    struct forgotten row[ROWS_MAX];
    struct ws_fact *entry = ws_stored(ws, fact);
    if (entry->weighed)
        return;
    entry->weighed = true;
    size_t rows = rows_of(lists, ws->forgetting, entry->fact, row);
    struct fact *copy = copy_of(ws, entry->fact);
    switch (forget_apply(copy, row, rows, ws->arena)) {
    case FORGET_NOTHING:
        return;
    case FORGET_DELETED:
        *pk_vec_push(&ret->gone) = entry->fact;
        ws->forgot.events++;
        return;
    case FORGET_ANONYMISED:
        ws->forgot.events++;
        break;
    case FORGET_STRIPPED:
        ws->forgot.stripped++;
        break;
    }
    *pk_vec_push(&ret->change) = (struct change_of){copy, entry->fact};
}

static void take_names(struct workset *ws, const struct change_forgetting *f)
{
    for (size_t i = 0; i < f->names + f->events; i++) {
        const struct change_forgotten *row = i < f->names ? &f->name[i] : &f->event[i - f->names];
        struct ws_key *key = ws_key_of(ws, row->name, row->kind);
        key->forgotten = true;
        key->let_go |= i < f->names;
        if (key->kind == KEY_CASE || key->rules)
            continue;
        key->name_space = row->name_space;
        key->rules = fact_namespace(ws->meaning->rules, symbol_text(ws->meaning->symbols, key->name_space));
    }
}

static void take_changes(struct workset *ws, struct change_of *change, size_t count)
{
    struct fact **fact = pk_arena_alloc(ws->arena, (count + 1) * sizeof *fact);
    if (count > 1)
        qsort_r(change, count, sizeof *change, compare_changes, (void *)ws->meaning->symbols);
    for (size_t i = 0; i < count; i++)
        fact[i] = change[i].copy;
    ws_take_facts(ws, fact, count);
    for (size_t i = 0; i < count; i++) {
        ws->fact[i].checked = true;
        ws_displace(ws, change[i].stored, &ws->fact[i]);
    }
}

void workset_forget(struct workset *ws, const struct change_forgetting *forgetting, struct fact *stored, size_t count)
{
    struct lists lists;
    struct weighed weighed = {0};
    ws->forgetting = forgetting;
    make_lists(forgetting, &lists);
    take_names(ws, forgetting);
    for (size_t i = 0; i < count; i++)
        weigh(ws, &lists, &stored[i], &weighed);
    take_changes(ws, weighed.change.ptr, weighed.change.len);
    for (size_t i = 0; i < weighed.gone.len; i++)
        ws_displace(ws, weighed.gone.ptr[i], NULL);
    pk_vec_done(&weighed.gone);
    pk_vec_done(&weighed.change);
    pk_map_done(&lists.names);
    pk_map_done(&lists.events);
}

void workset_forget_sealed(struct workset *ws, const struct pk_hash *journey, size_t journeys, const struct pk_hash *obligation,
                           size_t obligations)
{
    ws->sealed_journey = journey;
    ws->sealed_journeys = journeys;
    ws->sealed_obligation = obligation;
    ws->sealed_obligations = obligations;
    for (size_t i = 0; i < obligations; i++)
        ws_key_of(ws, fact_key(obligation[i], KEY_OBLIGATION), KEY_OBLIGATION);
}

/* What sealed events told goes with the names: of customers, and of who is who. */
static void take_sealed(struct workset *ws)
{
    const struct change_forgetting *f = ws->forgetting;
    for (size_t i = 0; i < f->names; i++) {
        struct ws_key *key = ws_key_of(ws, f->name[i].name, f->name[i].kind);
        ws_customer_of(ws, key->hash, key->kind)->slow = true; /* it may carry something */
        if (key->kind == KEY_PERSON && key->in_database)
            ws_recount_person(ws, key);
    }
    for (size_t i = 0; i < ws->sealed_obligations; i++) {
        struct ws_key *key = ws_key_of(ws, fact_key(ws->sealed_obligation[i], KEY_OBLIGATION), KEY_OBLIGATION);
        key->unsealed = (key->flags & KEY_SEALED) != 0;
        key->flags &= ~(uint32_t)KEY_SEALED;
    }
}

void ws_take_forgetting(struct workset *ws)
{
    take_sealed(ws);

    for (size_t i = 0; i < ws->key_list.len; i++)
        if (ws->key_list.ptr[i]->forgotten)
            ws->key_list.ptr[i]->flags |= KEY_FORGOTTEN;
}

/* ---- saving ---- */

void ws_bury(struct ws_key *key)
{
    if (key->kind != KEY_PERSON || key->first_at_us != PK_NO_TIME)
        return;
    key->customer = (struct pk_hash){{0}};
    key->flags &= ~(uint32_t)(KEY_IS_SHARED | KEY_IS_OVERSIZE);
}

static void add_keys_of(struct ws_fact *gone, struct changes *changes)
{
    for (unsigned k = 0; k < gone->fact->person_count; k++)
        *pk_vec_push(&changes->forgotten_person) = gone->person[k]->hash;
    for (unsigned k = gone->names; k < gone->key_count; k++)
        if (gone->key[k]->in_database)
            *pk_vec_push(&changes->forgotten_key) = gone->key[k]->hash;
}

void ws_save_forgetting(struct workset *ws, struct changes *changes)
{
    changes->forgetting = ws->forgetting;
    changes->forgot = ws->forgot;
    for (size_t i = 0; i < ws->sealed_journeys; i++)
        *pk_vec_push(&changes->journey_gone) = ws->sealed_journey[i];
    for (size_t i = 0; i < ws->sealed_obligations; i++) {
        struct pk_hash key = fact_key(ws->sealed_obligation[i], KEY_OBLIGATION);
        *pk_vec_push(&changes->obligation_gone) = ws->sealed_obligation[i];
        *pk_vec_push(&changes->forgotten_key) = key;
    }
    for (size_t i = 0; i < ws->forgetting->names; i++) {
        const struct ws_key *key = pk_map_get(&ws->keys, ws->forgetting->name[i].name);
        if (key->sealed_at_us != PK_NO_TIME)
            *pk_vec_push(&changes->sealed_at) = (struct change_sealed_at){key->hash, PK_NO_TIME};
    }
    changes->forgot.journeys = changes->journey_gone.len;
    changes->forgot.obligations = changes->obligation_gone.len;
    for (size_t i = 0; i < ws->displaced.len; i++)
        add_keys_of(ws->displaced.ptr[i], changes);
}
