/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "workset.h"

#include <assert.h>
#include <stdlib.h>

/* ---- the keys of an event ---- */

enum role { ROLE_CUSTOMER, ROLE_CASE, ROLE_RELATES, ROLE_PROMISE, ROLE_OPENING };
enum { KEYS_MAX = 4 + OPENINGS_MAX };

struct named_key {
    struct pk_hash hash;
    enum key_kind kind;
    enum role role;
};

/* Through its case an event meets other customers only if it acts on or opens what an `across` rule covers.
 * Everything else that has a case stays apart, else a case that a publisher gives to everybody would make one
 * group of them all. */
static bool crosses(const struct meaning *meaning, const struct fact *fact, const struct opening *opening,
                    size_t openings)
{
    if (!meaning->rules->any_across)
        return false;
    for (size_t i = 0; i < openings; i++)
        if (opening[i].rule && opening[i].rule->across)
            return true;
    if (!pk_hash_zero(fact->relates))
        return false; /* acts by name */
    for (uint64_t acting = match_acting(meaning->matcher, fact); acting; acting &= acting - 1)
        if (meaning->rules->kind[__builtin_ctzll(acting)].across)
            return true;
    return false;
}

/* Customer, case, what it relates to, and every name by which others may relate to what it opens. */
static size_t keys_of(const struct meaning *meaning, const struct fact *fact, struct named_key ret[KEYS_MAX])
{
    size_t count = 0;
    bool somebody = !pk_hash_zero(fact->customer);
    struct opening opening[OPENINGS_MAX];
    size_t openings = obligation_openings(meaning, fact, opening);
    if (somebody)
        ret[count++] = (struct named_key){fact->customer, fact->customer_kind, ROLE_CUSTOMER};
    if (!pk_hash_zero(fact->case_key) && !pk_hash_eq(fact->case_key, fact->customer) &&
        crosses(meaning, fact, opening, openings))
        ret[count++] = (struct named_key){fact->case_key, KEY_CASE, ROLE_CASE};
    if (!pk_hash_zero(fact->relates))
        ret[count++] = (struct named_key){fact->relates, KEY_OBLIGATION, ROLE_RELATES};
    if (!somebody)
        return count;
    for (size_t i = 0; i < openings; i++)
        ret[count++] = (struct named_key){opening[i].id, KEY_OBLIGATION,
                                          opening[i].explicit_ ? ROLE_PROMISE : ROLE_OPENING};
    if (openings)
        ret[count++] = (struct named_key){fact->event_hash, KEY_OBLIGATION, ROLE_OPENING};
    return count;
}

/* May two customers who used this key influence each other's rows? */
static bool couples(const struct workset *ws, enum key_kind kind)
{
    return kind == KEY_OBLIGATION || (kind == KEY_CASE && ws->meaning->rules->any_across);
}

/* ---- finding and making entries ---- */

static struct pk_hash cell_key(int64_t id)
{
    struct pk_hash key = {{0}};
    pk_put_be64(key.byte + 8, (uint64_t)id * UINT64_C(0x9E3779B97F4A7C15));
    return key;
}

static struct ws_cell *cell_of(struct workset *ws, int64_t id, uint64_t version)
{
    struct ws_cell *cell = pk_map_get(&ws->cells, cell_key(id));
    if (!cell) {
        cell = PK_NEW(ws->arena, struct ws_cell);
        cell->id = id;
        cell->version = version;
        pk_map_put(&ws->cells, cell_key(id), cell);
        *pk_vec_push(&ws->cell_list) = cell;
    }
    return cell;
}

/* A hash may be a customer's and also name an obligation (an event of source "phone" with a number as its
 * id): then it couples, whichever came first. */
static struct ws_key *key_of(struct workset *ws, struct pk_hash hash, enum key_kind kind)
{
    struct ws_key *key = pk_map_get(&ws->keys, hash);
    if (!key) {
        key = PK_NEW(ws->arena, struct ws_key);
        key->hash = hash;
        key->kind = kind;
        pk_map_put(&ws->keys, hash, key);
        *pk_vec_push(&ws->key_list) = key;
    }
    key->couples |= couples(ws, kind);
    return key;
}

static struct ws_customer *customer_of(struct workset *ws, struct pk_hash id, enum key_kind kind)
{
    struct ws_customer *customer = pk_map_get(&ws->customers, id);
    if (!customer) {
        customer = PK_NEW(ws->arena, struct ws_customer);
        customer->id = id;
        customer->kind = kind;
        customer->key = key_of(ws, id, kind);
        customer->parent = customer;
        pk_map_put(&ws->customers, id, customer);
        *pk_vec_push(&ws->customer_list) = customer;
    }
    return customer;
}

static struct ws_customer *root_of(struct ws_customer *customer)
{
    while (customer->parent != customer)
        customer = customer->parent = customer->parent->parent;
    return customer;
}

static bool has_user(const struct ws_key *key, struct pk_hash user)
{
    if (key->user_index.count) { /* it may hold users that were taken back: see save_keys */
        uintptr_t place = (uintptr_t)pk_map_get(&key->user_index, user);
        return place && place <= key->user_count && pk_hash_eq(key->user[place - 1], user);
    }
    for (uint32_t i = 0; i < key->user_count; i++)
        if (pk_hash_eq(key->user[i], user))
            return true;
    return false;
}

/* A case of everybody (a publisher's default) has as many users as there are customers. */
static void add_user(struct workset *ws, struct ws_key *key, struct pk_hash user)
{
    enum { INDEXED_FROM = 32 };
    if (has_user(key, user))
        return;
    *PK_PUSH(ws->arena, key, user) = user;
    if (!key->user_index.count && key->user_count < INDEXED_FROM)
        return;
    for (uint32_t i = key->user_index.count ? key->user_count - 1 : 0; i < key->user_count; i++)
        pk_map_put(&key->user_index, key->user[i], (void *)((uintptr_t)i + 1));
}

/* ---- beginning ---- */

void workset_begin(struct workset *ws, const struct meaning *meaning, struct pk_arena *arena, struct cache *cache,
                   bool check_all, struct fact **fact, size_t count)
{
    *ws = (struct workset){.meaning = meaning, .arena = arena, .cache = cache, .check_all = check_all};
    ws->fact = PK_NEW_ARRAY(arena, struct ws_fact, count + 1);
    ws->facts = count;
    for (size_t i = 0; i < count; i++) {
        struct ws_fact *entry = &ws->fact[i];
        struct named_key key[KEYS_MAX];
        entry->fact = fact[i];
        entry->fact->journey = NULL;
        entry->key_count = (uint8_t)keys_of(meaning, fact[i], key);
        entry->key = pk_arena_alloc(arena, entry->key_count * sizeof *entry->key);
        entry->role = pk_arena_alloc(arena, entry->key_count);
        for (size_t k = 0; k < entry->key_count; k++) {
            entry->key[k] = key_of(ws, key[k].hash, key[k].kind);
            entry->role[k] = (uint8_t)key[k].role;
        }
        if (pk_hash_zero(fact[i]->customer))
            continue;
        entry->customer = customer_of(ws, fact[i]->customer, fact[i]->customer_kind);
        if (fact[i]->customer_kind != KEY_CASE) /* cases have none, like the other cases and obligations */
            entry->customer->name_space = entry->customer->key->name_space = fact[i]->customer_namespace;
        *PK_PUSH(arena, entry->customer, fact) = entry;
    }
}

void workset_done(struct workset *ws)
{
    for (size_t i = 0; i < ws->groups.len; i++)
        group_done(ws->groups.ptr[i]);
    for (size_t i = 0; i < ws->key_list.len; i++)
        pk_map_done(&ws->key_list.ptr[i]->user_index);
    pk_map_done(&ws->keys);
    pk_map_done(&ws->cells);
    pk_map_done(&ws->customers);
    pk_map_done(&ws->displaced_index);
    pk_vec_done(&ws->key_list);
    pk_vec_done(&ws->cell_list);
    pk_vec_done(&ws->customer_list);
    pk_vec_done(&ws->displaced);
    pk_vec_done(&ws->lost);
    pk_vec_done(&ws->nameless);
    pk_vec_done(&ws->journeys);
    pk_vec_done(&ws->obligations);
    pk_vec_done(&ws->groups);
    *ws = (struct workset){0};
}

/* ---- step 1: the keys ---- */

static bool key_from_cache(struct workset *ws, struct ws_key *key)
{
    struct cache_key *held = ws->cache ? cache_find(ws->cache, key->hash) : NULL;
    if (!held)
        return false;
    struct ws_cell *cell = pk_map_get(&ws->cells, cell_key(held->cell->id));
    if (cell && cell->version != held->cell->version) { /* read newer from the database just now */
        cache_drop(ws->cache, held->cell->id);
        return false;
    }
    key->cell = cell_of(ws, held->cell->id, held->cell->version);
    key->kind = held->kind;
    key->couples |= couples(ws, held->kind);
    key->looked_up = key->in_database = true;
    for (uint32_t i = 0; i < held->user_count; i++)
        add_user(ws, key, held->user[i]);
    key->stored_users = key->user_count;
    return true;
}

static bool need_keys(struct workset *ws, struct ws_need *ret)
{
    struct pk_hash *missing = NULL;
    size_t count = 0, i = ws->keys_asked; /* those before are looked up by now */
    ws->keys_asked = ws->key_list.len;
    for (; i < ws->key_list.len; i++) {
        struct ws_key *key = ws->key_list.ptr[i];
        if (key->looked_up || key_from_cache(ws, key))
            continue;
        if (!missing)
            missing = pk_arena_alloc(ws->arena, (ws->key_list.len - i) * sizeof *missing);
        missing[count++] = key->hash;
    }
    *ret = (struct ws_need){NEED_KEYS, missing, NULL, count};
    return count > 0;
}

enum pk_status workset_put_keys(struct workset *ws, const struct ws_need *need, const struct store_key *row,
                                size_t count, struct pk_err *err)
{
    for (size_t i = 0; i < need->count; i++) {
        struct ws_key *key = pk_map_get(&ws->keys, need->hash[i]);
        key->looked_up = true;
    }
    for (size_t i = 0; i < count; i++) {
        struct ws_key *key = pk_map_get(&ws->keys, row[i].hash);
        if (!key)
            continue;
        key->cell = cell_of(ws, row[i].cell, row[i].version);
        if (key->cell->version != row[i].version)
            return pk_fail(err, PK_STALE, "another process changed a cell that was cached");
        key->kind = row[i].kind;
        key->couples |= couples(ws, row[i].kind);
        key->in_database = true;
        add_user(ws, key, row[i].owner);
        for (uint32_t u = 0; u < row[i].also_count; u++)
            add_user(ws, key, row[i].also[u]);
        key->stored_users = key->user_count;
    }
    return PK_OK;
}

/* ---- step 2: who influences whom ---- */

/* Customers that met at one key and may influence each other form one group and go the slow path. */
static void couple(struct workset *ws)
{
    for (size_t i = 0; i < ws->facts && !ws->users_added; i++) {
        struct ws_fact *entry = &ws->fact[i];
        for (size_t k = 0; k < entry->key_count; k++)
            add_user(ws, entry->key[k], entry->fact->customer);
    }
    ws->users_added = true;
    for (size_t i = 0; i < ws->key_list.len; i++) {
        struct ws_key *key = ws->key_list.ptr[i];
        if (key->user_count < 2 || !key->couples)
            continue;
        struct ws_customer *first = NULL;
        for (uint32_t u = 0; u < key->user_count; u++) {
            if (pk_hash_zero(key->user[u]))
                continue;
            struct ws_customer *customer = customer_of(ws, key->user[u], KEY_PERSON);
            customer->slow = customer->coupled = true;
            if (first)
                root_of(customer)->parent = root_of(first);
            first = customer;
        }
    }
}

/* ---- step 3: which events are stored already ---- */

static bool need_events(struct workset *ws, struct ws_need *ret)
{
    struct fact **ask = NULL;
    size_t count = 0;
    for (size_t i = 0; i < ws->facts; i++) {
        struct ws_fact *entry = &ws->fact[i];
        if (entry->checked || entry->dropped || (!ws->check_all && entry->customer && !entry->customer->slow))
            continue;
        if (!ask)
            ask = pk_arena_alloc(ws->arena, (ws->facts - i) * sizeof *ask);
        entry->checked = true;
        ask[count++] = entry->fact;
    }
    *ret = (struct ws_need){NEED_EVENTS, NULL, ask, count};
    return count > 0;
}

/* One event is at most once in a batch, so (time, hash) finds it. */
static bool same_event(const struct fact *a, const struct fact *b)
{
    return a->at_us == b->at_us && pk_hash_eq(a->event_hash, b->event_hash);
}

static int compare_stored(const void *left, const void *right)
{
    const struct fact *a = *(struct fact *const *)left, *b = *(struct fact *const *)right;
    return a->at_us != b->at_us ? (a->at_us < b->at_us ? -1 : 1) : pk_hash_cmp(a->event_hash, b->event_hash);
}

static bool is_displaced(const struct workset *ws, const struct fact *stored)
{
    if (!pk_map_get(&ws->displaced_index, stored->event_hash))
        return false;
    for (size_t i = 0; i < ws->displaced.len; i++) /* one id may stand at several times */
        if (same_event(ws->displaced.ptr[i], stored))
            return true;
    return false;
}

static void displace(struct workset *ws, struct fact *stored, struct ws_customer *winner)
{
    stored->traits = match_traits(ws->meaning->matcher, stored);
    *pk_vec_push(&ws->displaced) = stored;
    pk_map_put(&ws->displaced_index, stored->event_hash, stored);
    if (!pk_hash_zero(stored->customer)) {
        struct ws_customer *loser = customer_of(ws, stored->customer, stored->customer_kind);
        loser->slow = true;
        if (winner) { /* one group: rows named after the event change hands, they do not come and go */
            winner->slow = true;
            root_of(loser)->parent = root_of(winner);
        }
        return;
    }
    if (!pk_hash_zero(stored->relates)) /* whoever has that obligation loses an act */
        key_of(ws, stored->relates, KEY_OBLIGATION);
}

void workset_put_events(struct workset *ws, const struct ws_need *need, struct fact *fact, size_t facts)
{
    (void)need;
    if (facts == 0)
        return;
    struct fact **stored = pk_arena_alloc(ws->arena, facts * sizeof *stored);
    for (size_t i = 0; i < facts; i++)
        stored[i] = &fact[i];
    qsort(stored, facts, sizeof *stored, compare_stored);
    for (size_t i = 0; i < ws->facts; i++) {
        struct ws_fact *entry = &ws->fact[i];
        if (!entry->checked || entry->dropped)
            continue;
        const struct fact *wanted = entry->fact;
        struct fact **found = bsearch(&wanted, stored, facts, sizeof *stored, compare_stored);
        if (!found || is_displaced(ws, *found))
            continue;
        if ((*found)->content_hash > entry->fact->content_hash) {
            displace(ws, *found, entry->customer);
            continue;
        }
        entry->dropped = true;
        if ((*found)->content_hash < entry->fact->content_hash)
            *pk_vec_push(&ws->lost) = entry->fact;
    }
}

/* ---- step 4: the fast path ---- */

static bool append_all(struct workset *ws, struct ws_customer *customer)
{
    struct derivation *d = PK_NEW(ws->arena, struct derivation);
    derive_begin(d, ws->meaning, ws->arena, customer->id, customer->state);
    for (uint32_t i = 0; i < customer->fact_count; i++) {
        struct ws_fact *entry = customer->fact[i];
        if (entry->dropped)
            continue;
        bool promise_known = false, opening_known = false;
        for (size_t k = 0; k < entry->key_count; k++) {
            bool known = entry->key[k]->in_database || entry->key[k]->named;
            promise_known |= entry->role[k] == ROLE_PROMISE && known;
            opening_known |= entry->role[k] == ROLE_OPENING && known;
        }
        if (!derive_append(d, entry->fact, promise_known, opening_known))
            return false;
        for (size_t k = 0; k < entry->key_count; k++)
            entry->key[k]->named = true;
    }
    customer->derivation = d;
    return true;
}

static void take_fast_path(struct workset *ws)
{
    for (size_t i = 0; i < ws->customer_list.len; i++) {
        struct ws_customer *customer = ws->customer_list.ptr[i];
        if (customer->slow || customer->appended || customer->fact_count == 0)
            continue;
        if (customer->key->in_database) {
            struct cache_key *held = ws->cache ? cache_find(ws->cache, customer->id) : NULL;
            customer->state = held ? held->state : NULL;
        }
        customer->appended = true;
        customer->slow = (customer->key->in_database && !customer->state) || !append_all(ws, customer);
    }
}

/* ---- step 5: the slow path's history ---- */

static bool need_customers(struct workset *ws, struct ws_need *ret)
{
    struct pk_hash *missing = NULL;
    size_t count = 0;
    for (size_t i = 0; i < ws->customer_list.len; i++) {
        struct ws_customer *customer = ws->customer_list.ptr[i];
        if (!customer->slow || customer->loaded)
            continue;
        customer->loaded = true;
        if (!customer->key->in_database)
            continue;
        if (!missing)
            missing = pk_arena_alloc(ws->arena, (ws->customer_list.len - i) * sizeof *missing);
        missing[count++] = customer->id;
    }
    *ret = (struct ws_need){NEED_CUSTOMERS, missing, NULL, count};
    return count > 0;
}

void workset_put_customers(struct workset *ws, const struct ws_need *need, struct fact *fact, size_t facts,
                           struct journey *journey, size_t journeys, struct obligation *obligation,
                           size_t obligations)
{
    (void)need;
    for (size_t i = 0; i < facts; i++) {
        struct ws_customer *customer = pk_map_get(&ws->customers, fact[i].customer);
        assert(customer && customer->loaded);
        fact[i].traits = match_traits(ws->meaning->matcher, &fact[i]);
        *PK_PUSH(ws->arena, customer, stored) = &fact[i];
        struct named_key key[KEYS_MAX]; /* through them others may influence this customer */
        size_t count = keys_of(ws->meaning, &fact[i], key);
        for (size_t k = 0; k < count; k++)
            if (couples(ws, key[k].kind))
                key_of(ws, key[k].hash, key[k].kind);
    }
    for (size_t i = 0; i < journeys; i++)
        *pk_vec_push(&ws->journeys) = &journey[i];
    for (size_t i = 0; i < obligations; i++)
        *pk_vec_push(&ws->obligations) = &obligation[i];
}

/* Events without a customer that name an obligation key which a customer uses too. */
static bool need_nameless(struct workset *ws, struct ws_need *ret)
{
    struct pk_hash *missing = NULL;
    size_t count = 0;
    for (size_t i = 0; i < ws->key_list.len; i++) {
        struct ws_key *key = ws->key_list.ptr[i];
        bool nameless = false;
        for (uint32_t u = 0; u < key->stored_users; u++)
            nameless |= pk_hash_zero(key->user[u]);
        if (key->asked || !nameless || key->user_count < 2)
            continue;
        key->asked = true;
        if (!missing)
            missing = pk_arena_alloc(ws->arena, (ws->key_list.len - i) * sizeof *missing);
        missing[count++] = key->hash;
    }
    *ret = (struct ws_need){NEED_NAMELESS, missing, NULL, count};
    return count > 0;
}

void workset_put_nameless(struct workset *ws, struct fact *fact, size_t facts)
{
    for (size_t i = 0; i < facts; i++) {
        fact[i].traits = match_traits(ws->meaning->matcher, &fact[i]);
        *pk_vec_push(&ws->nameless) = &fact[i];
    }
}

enum pk_status workset_need(struct workset *ws, struct ws_need *ret)
{
    for (;;) {
        size_t keys = ws->key_list.len;
        if (need_keys(ws, ret))
            return PK_OK;
        couple(ws);
        if (ws->key_list.len != keys)
            continue;
        if (need_events(ws, ret))
            return PK_OK;
        if (ws->key_list.len != keys)
            continue;
        take_fast_path(ws); /* may send customers to the slow path, whose events are then asked for */
        if (need_events(ws, ret) || need_customers(ws, ret))
            return PK_OK;
        if (ws->key_list.len != keys)
            continue;
        if (need_nameless(ws, ret))
            return PK_OK;
        *ret = (struct ws_need){NEED_NOTHING, NULL, NULL, 0};
        return PK_OK;
    }
}

/* ---- saving: groups of the slow path ---- */

static void add_group_fact(struct pk_arena *arena, struct group *group, size_t *cap, struct fact *fact)
{
    if (group->facts == *cap) {
        uint32_t grown;
        group->fact = pk_arena_grow(arena, group->fact, (uint32_t)group->facts, sizeof *group->fact, &grown);
        *cap = grown;
    }
    group->fact[group->facts++] = fact;
}

struct group_build {
    struct group group;
    size_t cap;
    struct group_result result;
    size_t journeys, obligations;
};

static void collect_facts(struct workset *ws, struct pk_map *builds)
{
    for (size_t i = 0; i < ws->customer_list.len; i++) {
        struct ws_customer *customer = ws->customer_list.ptr[i];
        if (!customer->slow)
            continue;
        struct ws_customer *root = root_of(customer);
        struct group_build *build = pk_map_get(builds, root->id);
        if (!build) {
            build = PK_NEW(ws->arena, struct group_build);
            pk_map_put(builds, root->id, build);
        }
        for (uint32_t f = 0; f < customer->stored_count; f++)
            if (!is_displaced(ws, customer->stored[f]))
                add_group_fact(ws->arena, &build->group, &build->cap, customer->stored[f]);
        for (uint32_t f = 0; f < customer->fact_count; f++)
            if (!customer->fact[f]->dropped)
                add_group_fact(ws->arena, &build->group, &build->cap, customer->fact[f]->fact);
    }
}

static struct group_build *build_of(struct workset *ws, struct pk_map *builds, struct pk_hash customer_id)
{
    struct ws_customer *customer = pk_map_get(&ws->customers, customer_id);
    return customer && customer->slow ? pk_map_get(builds, root_of(customer)->id) : NULL;
}

/* An event without a customer belongs to the group of those who use the key that it names. */
static void collect_nameless(struct workset *ws, struct pk_map *builds, struct fact *fact)
{
    struct ws_key *key = pk_hash_zero(fact->relates) ? NULL : pk_map_get(&ws->keys, fact->relates);
    for (uint32_t u = 0; key && u < key->user_count; u++) {
        struct group_build *build = build_of(ws, builds, key->user[u]);
        if (build) {
            add_group_fact(ws->arena, &build->group, &build->cap, fact);
            return;
        }
    }
}

static void collect_stored_rows(struct workset *ws, struct pk_map *builds)
{
    for (int fill = 0; fill < 2; fill++) { /* count, then copy into one array per group */
        for (size_t i = 0; i < ws->journeys.len; i++) {
            struct group_build *build = build_of(ws, builds, ws->journeys.ptr[i]->customer);
            if (build && fill)
                build->group.stored_journey[build->group.stored_journeys++] = *ws->journeys.ptr[i];
            else if (build)
                build->journeys++;
        }
        for (size_t i = 0; i < ws->obligations.len; i++) {
            struct group_build *build = build_of(ws, builds, ws->obligations.ptr[i]->customer);
            if (build && fill)
                build->group.stored_obligation[build->group.stored_obligations++] = *ws->obligations.ptr[i];
            else if (build)
                build->obligations++;
        }
        if (fill)
            break;
        PK_MAP_EACH(builds, e)
        {
            struct group_build *build = e->value;
            build->group.stored_journey = PK_NEW_ARRAY(ws->arena, struct journey, build->journeys + 1);
            build->group.stored_obligation = PK_NEW_ARRAY(ws->arena, struct obligation, build->obligations + 1);
        }
    }
}

static void derive_groups(struct workset *ws, struct metrics *metrics, struct changes *changes)
{
    struct pk_map builds = {0};
    collect_facts(ws, &builds);
    for (size_t i = 0; i < ws->nameless.len; i++)
        if (!is_displaced(ws, ws->nameless.ptr[i]))
            collect_nameless(ws, &builds, ws->nameless.ptr[i]);
    for (size_t i = 0; i < ws->facts; i++)
        if (!ws->fact[i].customer && !ws->fact[i].dropped)
            collect_nameless(ws, &builds, ws->fact[i].fact);
    collect_stored_rows(ws, &builds);
    PK_MAP_EACH(&builds, e)
    {
        struct group_build *build = e->value;
        derive_group(ws->meaning, ws->arena, &build->group, &build->result, changes, metrics);
        *pk_vec_push(&ws->groups) = &build->result;
        ws->slow += build->group.facts;
        for (size_t c = 0; c < build->result.customers; c++) {
            struct ws_customer *customer = pk_map_get(&ws->customers, build->result.customer[c].id);
            customer->result = &build->result.customer[c];
            customer->result_group = &build->result;
        }
    }
    pk_map_done(&builds);
}

/* ---- saving: keys and cells ---- */

static size_t count_new_cells(struct workset *ws, const int64_t *id)
{
    size_t used = 0;
    for (size_t i = 0; i < ws->facts; i++) {
        struct ws_fact *entry = &ws->fact[i];
        if (entry->dropped)
            continue;
        /* The customer's own key first, so that the others of the event can join its cell. */
        for (size_t k = 0; k < entry->key_count; k++) {
            struct ws_key *key = entry->key[k];
            bool alone = !entry->customer || key == entry->customer->key;
            if (key->in_database || key->cell)
                continue;
            if (!alone) {
                key->cell = entry->customer->key->cell;
                continue;
            }
            key->cell = PK_NEW(ws->arena, struct ws_cell);
            key->cell->is_new = true;
            *pk_vec_push(&ws->cell_list) = key->cell;
        }
    }
    for (size_t i = 0; i < ws->cell_list.len; i++) {
        struct ws_cell *cell = ws->cell_list.ptr[i];
        if (!cell->is_new)
            continue;
        if (id)
            cell->id = id[used];
        used++;
    }
    return used;
}

size_t workset_new_cells(struct workset *ws)
{
    return count_new_cells(ws, NULL);
}

static void save_keys(struct workset *ws, struct changes *changes)
{
    /* Users of this batch again, without the events that turned out to be duplicates. */
    for (size_t i = 0; i < ws->key_list.len; i++)
        ws->key_list.ptr[i]->user_count = ws->key_list.ptr[i]->stored_users;
    for (size_t i = 0; i < ws->facts; i++)
        for (size_t k = 0; !ws->fact[i].dropped && k < ws->fact[i].key_count; k++)
            add_user(ws, ws->fact[i].key[k], ws->fact[i].fact->customer);
    for (size_t i = 0; i < ws->key_list.len; i++) {
        const struct ws_key *key = ws->key_list.ptr[i];
        if (key->user_count == key->stored_users)
            continue;
        bool named = key->kind == KEY_PERSON || key->kind == KEY_DEVICE;
        if (!key->in_database)
            *pk_vec_push(&changes->key) = (struct change_key){.hash = key->hash, .kind = key->kind,
                                                              .name_space = named ? key->name_space : 0,
                                                              .cell = key->cell->id, .owner = key->user[0]};
        for (uint32_t u = key->in_database ? key->stored_users : 1; u < key->user_count; u++)
            *pk_vec_push(&changes->sighting) = (struct change_sighting){key->hash, key->user[u]};
    }
    for (size_t i = 0; i < ws->cell_list.len; i++) {
        const struct ws_cell *cell = ws->cell_list.ptr[i];
        if (cell->is_new)
            *pk_vec_push(&changes->new_cell) = cell->id;
        else
            *pk_vec_push(&changes->guard) = (struct change_guard){cell->id, cell->version};
    }
}

/* ---- saving: events and customers ---- */

static void quarantine_duplicate(const struct fact *fact, bool with_record, struct changes *changes)
{
    *pk_vec_push(&changes->quarantine) = (struct change_quarantine){
        .topic = fact->topic_name,
        .partition = fact->partition,
        .offset = fact->offset,
        .reason = REJECT_CONFLICTING_DUPLICATE,
        .detail = PK_STR("another copy of the event has the smaller content hash"),
        .received_at_us = fact->received_at_us,
        .key = with_record ? fact->record_key : (struct pk_bytes){0},
        .value = with_record ? fact->record_value : (struct pk_bytes){0},
        .headers = with_record ? fact->record_headers : NULL,
    };
}

static void save_facts(struct workset *ws, struct metrics *metrics, struct changes *changes)
{
    for (size_t i = 0; i < ws->facts; i++) {
        if (ws->fact[i].dropped)
            continue;
        *pk_vec_push(&changes->fact) = ws->fact[i].fact;
        metrics_add_event(metrics, ws->fact[i].fact, +1);
    }
    for (size_t i = 0; i < ws->displaced.len; i++) {
        *pk_vec_push(&changes->replaced) = ws->displaced.ptr[i];
        metrics_add_event(metrics, ws->displaced.ptr[i], -1);
        quarantine_duplicate(ws->displaced.ptr[i], false, changes);
    }
    for (size_t i = 0; i < ws->lost.len; i++)
        quarantine_duplicate(ws->lost.ptr[i], true, changes);
}

static void save_customers(struct workset *ws, struct changes *changes)
{
    for (size_t i = 0; i < ws->customer_list.len; i++) {
        const struct ws_customer *customer = ws->customer_list.ptr[i];
        bool before = customer->slow ? customer->stored_count > 0 : customer->key->in_database;
        bool now = customer->slow ? customer->result != NULL : before;
        const struct fact *fact = NULL;
        for (uint32_t f = 0; f < customer->fact_count && !fact; f++)
            if (!customer->fact[f]->dropped)
                fact = customer->fact[f]->fact;
        now |= fact != NULL;
        if (now && !before)
            *pk_vec_push(&changes->customer) =
                (struct change_customer){customer->id, fact->customer_kind, customer->name_space};
        else if (before && !now)
            *pk_vec_push(&changes->customer_gone) = customer->id;
    }
}

/* ---- saving: the order in which rows are locked ---- */

#define COMPARE_HASH(name, type, member)                                                                             \
    static int name(const void *left, const void *right)                                                             \
    {                                                                                                                \
        return pk_hash_cmp(((const type *)left)->member, ((const type *)right)->member);                             \
    }
COMPARE_HASH(compare_key, struct change_key, hash)
COMPARE_HASH(compare_customer, struct change_customer, id)

static int compare_hash(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(struct pk_hash));
}
static int compare_sighting(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(struct change_sighting));
}
static int compare_guard(const void *left, const void *right)
{
    const struct change_guard *a = left, *b = right;
    return (a->cell > b->cell) - (a->cell < b->cell);
}
static int compare_rejourney(const void *left, const void *right)
{
    const struct change_rejourney *a = left, *b = right;
    return a->at_us != b->at_us ? (a->at_us < b->at_us ? -1 : 1) : pk_hash_cmp(a->event_hash, b->event_hash);
}
static int compare_journey(const void *left, const void *right)
{
    return pk_hash_cmp((*(struct journey *const *)left)->id, (*(struct journey *const *)right)->id);
}
static int compare_obligation(const void *left, const void *right)
{
    return pk_hash_cmp((*(struct obligation *const *)left)->id, (*(struct obligation *const *)right)->id);
}

#define SORT(list, compare)                                                                                          \
    if ((list).len > 1)                                                                                              \
    qsort((list).ptr, (list).len, sizeof *(list).ptr, compare)

static void sort_changes(struct changes *changes)
{
    SORT(changes->guard, compare_guard);
    SORT(changes->key, compare_key);
    SORT(changes->sighting, compare_sighting);
    SORT(changes->customer, compare_customer);
    SORT(changes->customer_gone, compare_hash);
    SORT(changes->replaced, compare_stored);
    SORT(changes->fact, compare_stored);
    SORT(changes->rejourney, compare_rejourney);
    SORT(changes->journey, compare_journey);
    SORT(changes->journey_gone, compare_hash);
    SORT(changes->obligation, compare_obligation);
    SORT(changes->obligation_gone, compare_hash);
}

void workset_save(struct workset *ws, const int64_t *new_cell, struct metrics *metrics, struct changes *changes)
{
    count_new_cells(ws, new_cell);
    for (size_t i = 0; i < ws->customer_list.len; i++) {
        struct ws_customer *customer = ws->customer_list.ptr[i];
        if (customer->slow || !customer->derivation)
            continue;
        derive_save(customer->derivation, changes, metrics);
        ws->fast += customer->fact_count;
    }
    derive_groups(ws, metrics, changes);
    save_facts(ws, metrics, changes);
    save_customers(ws, changes);
    save_keys(ws, changes);
    metrics_collect(metrics, changes);
    sort_changes(changes);
}

/* ---- after the commit ---- */

static struct customer *state_after(const struct ws_customer *customer, bool *ret_keep, size_t *ret_bytes)
{
    *ret_keep = false;
    *ret_bytes = 0;
    if (customer->slow && (customer->coupled || !customer->result))
        return NULL;
    if (customer->slow)
        return derive_freeze(customer->result, customer->result_group->ledger.item,
                             customer->result_group->ledger.item_count, ret_bytes);
    if (customer->derivation)
        return derive_freeze(&customer->derivation->now, customer->derivation->ledger.item,
                             customer->derivation->ledger.item_count, ret_bytes);
    *ret_keep = true; /* only looked at */
    return NULL;
}

void workset_publish(struct workset *ws, struct cache *cache, uint64_t token)
{
    for (size_t i = 0; i < ws->cell_list.len; i++) {
        const struct ws_cell *cell = ws->cell_list.ptr[i];
        const struct cache_cell *held = cache_cell(cache, cell->id);
        if (held && held->version != cell->version)
            cache_drop(cache, cell->id);
        cache_put_cell(cache, cell->id, token);
    }
    for (size_t i = 0; i < ws->key_list.len; i++) {
        const struct ws_key *key = ws->key_list.ptr[i];
        if (!key->cell || key->user_count == 0)
            continue;
        const struct ws_customer *customer = pk_map_get(&ws->customers, key->hash);
        size_t bytes = 0;
        bool keep = !customer;
        struct customer *state = customer ? state_after(customer, &keep, &bytes) : NULL;
        cache_put_key(cache, cache_cell(cache, key->cell->id), key->hash, key->kind, key->user, key->user_count,
                      keep, state, bytes);
    }
    cache_evict(cache);
}
