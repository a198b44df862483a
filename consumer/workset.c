/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "workset_inner.h"

#include <assert.h>
#include <stdlib.h>

/* ---- the keys of an event ---- */

enum { KEYS_MAX = FACT_MAX_IDENTIFIERS + 4 + OPENINGS_MAX }; /* case, crossing, relates_to, the event's own name */

struct named_key {
    struct pk_hash hash;
    enum key_kind kind;
    enum role role;
    const struct fact_name *name; /* persons and devices */
};

/* Through its case an event meets other customers' obligations only if it acts on or opens what an `across` rule
 * covers. Everything else that has a case stays apart, else a case that a publisher gives to everybody would make
 * one group of them all. */
static bool crosses(const struct meaning *meaning, const struct fact *fact, const struct opening *opening,
                    size_t openings)
{
    if (!meaning->rules->any_across || pk_hash_zero(fact->case_key))
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

/* Its names (persons, devices, case) first, then what it relates to, and every name by which others may relate to what
 * it opens. */
static size_t keys_of(const struct meaning *meaning, const struct fact *fact, struct named_key ret[KEYS_MAX],
                      size_t *ret_names)
{
    size_t count = 0, openings = 0;
    struct opening opening[OPENINGS_MAX];
    for (unsigned i = 0; i < fact->person_count; i++)
        ret[count++] = (struct named_key){fact->person[i].hash, KEY_PERSON, ROLE_PERSON, &fact->person[i]};
    for (unsigned i = 0; i < fact->device_count; i++)
        ret[count++] = (struct named_key){fact->device[i].hash, KEY_DEVICE, ROLE_DEVICE, &fact->device[i]};
    if (!pk_hash_zero(fact->case_key))
        ret[count++] = (struct named_key){fact->case_key, KEY_CASE, ROLE_CASE, NULL};
    *ret_names = count;
    if (count > 0) /* without any name it has no customer, and opens nothing */
        openings = obligation_openings(meaning, fact, opening);
    if (crosses(meaning, fact, opening, openings))
        ret[count++] = (struct named_key){fact_key(fact->case_key, KEY_CROSSING), KEY_CROSSING, ROLE_CROSSING, NULL};
    if (!pk_hash_zero(fact->relates))
        ret[count++] =
            (struct named_key){fact_key(fact->relates, KEY_OBLIGATION), KEY_OBLIGATION, ROLE_RELATES, NULL};
    for (size_t i = 0; i < openings; i++)
        ret[count++] = (struct named_key){fact_key(opening[i].id, KEY_OBLIGATION), KEY_OBLIGATION,
                                          opening[i].explicit_ ? ROLE_PROMISE : ROLE_OPENING, NULL};
    if (openings)
        ret[count++] =
            (struct named_key){fact_key(fact->event_hash, KEY_OBLIGATION), KEY_OBLIGATION, ROLE_OPENING, NULL};
    return count;
}

/* ---- finding and making entries ---- */

static struct ws_cell *cell_of(struct workset *ws, int64_t id, uint64_t version)
{
    struct ws_cell *cell = pk_map_get(&ws->cells, pk_hash_of(id));
    if (!cell) {
        cell = PK_NEW(ws->arena, struct ws_cell);
        cell->id = id;
        cell->version = version;
        pk_map_put(&ws->cells, pk_hash_of(id), cell);
        *pk_vec_push(&ws->cell_list) = cell;
    }
    return cell;
}

struct ws_key *ws_key_of(struct workset *ws, struct pk_hash hash, enum key_kind kind)
{
    struct ws_key *key = pk_map_get(&ws->keys, hash);
    if (!key) {
        key = PK_NEW(ws->arena, struct ws_key);
        key->hash = hash;
        key->kind = kind;
        key->first_at_us = key->stored_first_at_us = key->sealed_at_us = PK_NO_TIME;
        /* May two customers who used it influence each other's rows? */
        key->couples = kind == KEY_OBLIGATION || kind == KEY_CROSSING;
        pk_map_put(&ws->keys, hash, key);
        *pk_vec_push(&ws->key_list) = key;
    }
    return key;
}

static struct ws_key *key_of_name(struct workset *ws, const struct named_key *from)
{
    struct ws_key *key = ws_key_of(ws, from->hash, from->kind);
    if (from->name) {
        key->kind = from->kind; /* it may have been met as a customer before */
        key->rules = from->name->rules;
        key->name_space = from->name->name_space;
        if (from->name->value.ptr)
            key->value = from->name->value;
    }
    return key;
}

struct ws_customer *ws_customer_of(struct workset *ws, struct pk_hash id, enum key_kind kind)
{
    struct ws_customer *customer = pk_map_get(&ws->customers, id);
    if (!customer) {
        customer = PK_NEW(ws->arena, struct ws_customer);
        customer->id = id;
        customer->kind = kind;
        customer->key = ws_key_of(ws, id, kind == KEY_SHARED ? KEY_PERSON : kind);
        customer->parent = customer;
        pk_map_put(&ws->customers, id, customer);
        *pk_vec_push(&ws->customer_list) = customer;
    }
    return customer;
}

struct ws_customer *ws_root(struct ws_customer *customer)
{
    while (customer->parent != customer)
        customer = customer->parent = customer->parent->parent;
    return customer;
}

void ws_join(struct ws_customer *a, struct ws_customer *b)
{
    a->slow = b->slow = true;
    ws_root(a)->parent = ws_root(b);
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
void ws_add_user(struct workset *ws, struct ws_key *key, struct pk_hash user)
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

/* ---- facts ---- */

void ws_take_persons(struct workset *ws, struct ws_fact *entry)
{
    const struct fact *fact = entry->fact;
    if (entry->person || fact->person_count == 0)
        return;
    entry->person = pk_arena_alloc(ws->arena, fact->person_count * sizeof *entry->person);
    for (unsigned i = 0; i < fact->person_count; i++) {
        struct named_key from = {fact->person[i].hash, KEY_PERSON, ROLE_PERSON, &fact->person[i]};
        entry->person[i] = key_of_name(ws, &from);
    }
}

void ws_take_keys(struct workset *ws, struct ws_fact *entry)
{
    if (entry->key)
        return;
    struct named_key key[KEYS_MAX];
    size_t names, count = keys_of(ws->meaning, entry->fact, key, &names);
    entry->key_count = (uint8_t)count;
    entry->names = (uint8_t)names;
    entry->key = pk_arena_alloc(ws->arena, (count + 1) * sizeof *entry->key);
    entry->role = pk_arena_alloc(ws->arena, count + 1);
    for (size_t k = 0; k < count; k++) {
        entry->key[k] = key_of_name(ws, &key[k]);
        entry->role[k] = (uint8_t)key[k].role;
    }
    entry->person = entry->key; /* they come first */
}

/* One event is at most once in a batch and at most once in the database. */
static struct pk_hash place_of(const struct fact *fact)
{
    struct pk_hash place = fact->event_hash;
    pk_put_be64(place.byte, pk_get_be64(place.byte) ^ (uint64_t)fact->at_us);
    return place;
}

struct ws_fact *ws_stored(struct workset *ws, struct fact *fact)
{
    struct ws_fact *entry = pk_map_get(&ws->stored, place_of(fact));
    if (entry) { /* in a locked try it may have been read before its customer's cell was locked */
        ws->contradicted |= !pk_hash_eq(entry->fact->stored_customer, fact->stored_customer) ||
                            !pk_hash_eq(entry->fact->stored_journey, fact->stored_journey) ||
                            !pk_hash_eq(entry->fact->stored_sighted, fact->stored_sighted);
        return entry;
    }
    entry = PK_NEW(ws->arena, struct ws_fact);
    entry->fact = fact;
    entry->stored = true;
    fact_take_names(ws->meaning->maker, ws->arena, fact);
    fact->traits = match_traits(ws->meaning->matcher, fact);
    pk_map_put(&ws->stored, place_of(fact), entry);
    return entry;
}

void workset_begin(struct workset *ws, const struct meaning *meaning, struct pk_arena *arena, struct cache *cache,
                   bool check_all, struct fact **fact, size_t count)
{
    *ws = (struct workset){.meaning = meaning, .arena = arena, .cache = cache, .check_all = check_all};
    ws_take_facts(ws, fact, count);
}

void ws_take_facts(struct workset *ws, struct fact **fact, size_t count)
{
    ws->fact = PK_NEW_ARRAY(ws->arena, struct ws_fact, count + 1);
    ws->facts = count;
    for (size_t i = 0; i < count; i++) {
        struct ws_fact *entry = &ws->fact[i];
        entry->fact = fact[i];
        fact[i]->journey = NULL;
        fact[i]->customer = fact[i]->sighted = (struct pk_hash){{0}};
        fact[i]->customer_kind = KEY_PERSON;
        ws_take_keys(ws, entry);
        for (unsigned k = 0; k < entry->names; k++)
            *PK_PUSH(ws->arena, entry->key[k], ours) = entry;
    }
}

void workset_watch(struct workset *ws, struct fact **fact, size_t count)
{
    if (count == 0)
        return;
    ws->watched = PK_NEW_ARRAY(ws->arena, struct ws_fact, count);
    ws->watched_count = count;
    for (size_t i = 0; i < count; i++) {
        struct named_key key[KEYS_MAX];
        struct ws_fact *entry = &ws->watched[i];
        size_t names;
        keys_of(ws->meaning, fact[i], key, &names);
        entry->fact = fact[i];
        entry->names = (uint8_t)names;
        entry->key = pk_arena_alloc(ws->arena, (names + 1) * sizeof *entry->key);
        for (size_t k = 0; k < names; k++)
            entry->key[k] = key_of_name(ws, &key[k]);
    }
}

void workset_decide(struct workset *ws, const struct change_decision *decision, size_t count)
{
    ws->decision = decision;
    ws->decisions = count;
    for (size_t i = 0; i < count; i++) {
        const struct change_decision *d = &decision[i];
        for (int end = 0; end < (d->kind == DECIDE_APART ? 2 : 1); end++) {
            struct ws_key *key = ws_key_of(ws, end ? d->b : d->a, end ? d->kind_b : d->kind_a);
            key->name_space = end ? d->name_space_b : d->name_space_a;
            key->rules = fact_namespace(ws->meaning->rules, symbol_text(ws->meaning->symbols, key->name_space));
            key->value = end ? d->value_b : d->value_a;
            key->decided = true;
        }
    }
}

void workset_done(struct workset *ws)
{
    for (size_t i = 0; i < ws->groups.len; i++)
        group_done(ws->groups.ptr[i]);
    for (size_t i = 0; i < ws->key_list.len; i++)
        pk_map_done(&ws->key_list.ptr[i]->user_index);
    struct pk_map *map[] = {&ws->keys, &ws->cells, &ws->customers, &ws->stored, &ws->meetings};
    for (size_t i = 0; i < PK_COUNT(map); i++)
        pk_map_done(map[i]);
    pk_vec_done(&ws->key_list);
    pk_vec_done(&ws->meeting_list);
    pk_vec_done(&ws->pulled);
    pk_vec_done(&ws->traced);
    pk_vec_done(&ws->tangled);
    pk_vec_done(&ws->owned_anew);
    pk_vec_done(&ws->evaluated);
    pk_vec_done(&ws->spreading);
    pk_vec_done(&ws->moved);
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

/* ---- the keys ---- */

static bool key_from_cache(struct workset *ws, struct ws_key *key)
{
    struct cache_key *held = ws->cache ? cache_find(ws->cache, key->hash) : NULL;
    if (!held || held->flags & KEY_APART) /* from whom, the database knows alone */
        return false;
    struct ws_cell *cell = pk_map_get(&ws->cells, pk_hash_of(held->cell->id));
    if (cell && cell->version != held->cell->version) { /* read newer from the database just now */
        cache_drop(ws->cache, held->cell->id);
        return false;
    }
    key->cell = cell_of(ws, held->cell->id, held->cell->version);
    key->looked_up = key->in_database = true;
    key->kind = held->kind;
    key->flags = key->stored_flags = held->flags;
    ws->tombstones |= (held->flags & KEY_FORGOTTEN) != 0;
    key->first_at_us = key->stored_first_at_us = held->first_at_us;
    key->sealed_at_us = held->sealed_at_us;
    key->customer = key->stored_customer = held->customer;
    if (held->newest)
        key->newest = *held->newest;
    key->newest_known = held->newest != NULL;
    key->known_meeting = held->meeting;
    key->known_meetings = held->meeting_count;
    if (!key->name_space)
        key->name_space = held->name_space;
    for (uint32_t i = 0; i < held->user_count; i++)
        ws_add_user(ws, key, held->user[i]);
    key->stored_users = key->user_count;
    return true;
}

/* A key that is met as a customer or as a member of a meeting: its namespace says what it is. */
static void find_rules(struct workset *ws, struct ws_key *key)
{
    if (!key->rules && key->name_space && (key->kind == KEY_PERSON || key->kind == KEY_DEVICE))
        key->rules = fact_namespace(ws->meaning->rules, symbol_text(ws->meaning->symbols, key->name_space));
}

static bool need_keys(struct workset *ws, struct ws_need *ret)
{
    struct pk_hash *missing = NULL;
    size_t count = 0, i = ws->keys_asked; /* those before are looked up by now */
    ws->keys_asked = ws->key_list.len;
    for (; i < ws->key_list.len; i++) {
        struct ws_key *key = ws->key_list.ptr[i];
        if (key->looked_up)
            continue;
        if (key_from_cache(ws, key)) {
            find_rules(ws, key);
            continue;
        }
        if (!missing)
            missing = pk_arena_alloc(ws->arena, (ws->key_list.len - i) * sizeof *missing);
        missing[count++] = key->hash;
    }
    *ret = (struct ws_need){.kind = NEED_KEYS, .hash = missing, .count = count};
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
        if (row[i].name_space)
            key->name_space = row[i].name_space;
        find_rules(ws, key);
        key->in_database = true;
        key->flags = key->stored_flags = row[i].flags;
        ws->tombstones |= (row[i].flags & KEY_FORGOTTEN) != 0;
        key->first_at_us = key->stored_first_at_us = row[i].first_at_us;
        key->sealed_at_us = row[i].sealed_at_us;
        key->customer = key->stored_customer = row[i].customer;
        for (uint32_t u = 0; u < row[i].user_count; u++)
            ws_add_user(ws, key, row[i].user[u]);
        key->stored_users = key->user_count;
        for (uint32_t u = 0; u < row[i].apart_count; u++)
            *PK_PUSH(ws->arena, key, apart) = row[i].apart[u];
    }
    return PK_OK;
}

/* ---- which events are forgotten ---- */

/* Names of these facts that are flagged; those of one fact are neighbours. Counts only as long as there is no room. */
static void add_flagged(const struct ws_fact *entry, size_t count, struct ws_need *ret)
{
    for (size_t i = 0; i < count; i++)
        for (unsigned k = 0; k < entry[i].names; k++) {
            if (!(entry[i].key[k]->stored_flags & KEY_FORGOTTEN))
                continue;
            if (ret->hash) {
                ret->hash[ret->count] = entry[i].key[k]->hash;
                ret->fact[ret->count] = entry[i].fact;
            }
            ret->count++;
        }
}

/* Once, as soon as the keys of the batch's facts are known. Later ones do not matter. */
static bool need_forgotten(struct workset *ws, struct ws_need *ret)
{
    struct ws_need most = {0};
    ws->tombstones = false;
    add_flagged(ws->fact, ws->facts, &most);
    add_flagged(ws->watched, ws->watched_count, &most);
    if (most.count == 0 || ws->forgetting || ws->forgotten_asked)
        return false;
    ws->forgotten_asked = true;
    *ret = (struct ws_need){.kind = NEED_FORGOTTEN,
                            .hash = pk_arena_alloc(ws->arena, most.count * sizeof *ret->hash),
                            .fact = pk_arena_alloc(ws->arena, most.count * sizeof *ret->fact)};
    add_flagged(ws->fact, ws->facts, ret);
    add_flagged(ws->watched, ws->watched_count, ret);
    return true;
}

void workset_put_forgotten(struct workset *ws, bool altered)
{
    ws->altered = altered;
}

/* ---- which events are stored already ---- */

/* A try that does not check all asks only where a stored copy is likely or matters: the unique index of the table finds the
 * others, and the next try checks all. */
static bool may_be_stored(const struct workset *ws, const struct ws_fact *entry)
{
    if (ws->check_all || !entry->customer || entry->customer->slow)
        return true;
    for (unsigned k = 0; k < entry->names && !entry->own && !entry->quick; k++)
        if (entry->key[k]->in_database)
            return true;
    return false;
}

static bool need_events(struct workset *ws, struct ws_need *ret)
{
    struct fact **ask = NULL;
    size_t count = 0;
    for (size_t i = 0; i < ws->facts; i++) {
        struct ws_fact *entry = &ws->fact[i];
        if (entry->checked || entry->dropped || !may_be_stored(ws, entry))
            continue;
        if (!ask)
            ask = pk_arena_alloc(ws->arena, (ws->facts - i) * sizeof *ask);
        entry->checked = true;
        ask[count++] = entry->fact;
    }
    *ret = (struct ws_need){.kind = NEED_EVENTS, .fact = ask, .count = count};
    return count > 0;
}

int ws_compare_stored(const void *left, const void *right)
{
    const struct fact *a = *(struct fact *const *)left, *b = *(struct fact *const *)right;
    return a->at_us != b->at_us ? (a->at_us < b->at_us ? -1 : 1) : pk_hash_cmp(a->event_hash, b->event_hash);
}

void ws_displace(struct workset *ws, struct fact *fact, struct ws_fact *winner)
{
    struct ws_fact *stored = ws_stored(ws, fact);
    stored->displaced = true;
    stored->winner = winner;
    *pk_vec_push(&ws->displaced) = stored;
    ws_take_keys(ws, stored);
    if (stored->fact->person_count && !ws->sealing) /* identity keeps what sealed events told */
        ws_recount(ws, stored);
}

void workset_put_events(struct workset *ws, const struct ws_need *need, struct fact *fact, size_t facts)
{
    (void)need;
    if (facts == 0)
        return;
    struct fact **stored = pk_arena_alloc(ws->arena, facts * sizeof *stored);
    for (size_t i = 0; i < facts; i++)
        stored[i] = &fact[i];
    qsort(stored, facts, sizeof *stored, ws_compare_stored);
    for (size_t i = 0; i < ws->facts; i++) {
        struct ws_fact *entry = &ws->fact[i];
        if (!entry->checked || entry->dropped)
            continue;
        const struct fact *wanted = entry->fact;
        struct fact **found = bsearch(&wanted, stored, facts, sizeof *stored, ws_compare_stored);
        if (!found)
            continue;
        if ((*found)->content_hash != entry->fact->content_hash && !ws->check_all) {
            ws->contradicted = true; /* what was made of this copy so far may be wrong */
            return;
        }
        if ((*found)->content_hash > entry->fact->content_hash) {
            ws_displace(ws, *found, entry);
            continue;
        }
        entry->dropped = true;
        if ((*found)->content_hash < entry->fact->content_hash)
            *pk_vec_push(&ws->lost) = entry->fact;
    }
}

/* ---- every event has its customer ---- */

static void settle_displaced(struct workset *ws)
{
    for (size_t i = 0; i < ws->displaced.len; i++) {
        struct ws_fact *stored = ws->displaced.ptr[i];
        struct ws_customer *winner = stored->winner ? stored->winner->customer : NULL;
        if (pk_hash_zero(stored->fact->stored_customer))
            continue; /* its keys are here: whoever has the obligation that it names loses an act */
        struct ws_customer *loser = ws_customer_of(ws, stored->fact->stored_customer, stored->fact->stored_kind);
        loser->slow = true;
        if (winner) /* one group: rows named after the event change hands, they do not come and go */
            ws_join(loser, winner);
    }
}

static void settle(struct workset *ws)
{
    ws->settled = true;
    for (size_t i = 0; i < ws->facts; i++) {
        struct ws_fact *entry = &ws->fact[i];
        if (entry->dropped || pk_hash_zero(entry->fact->customer))
            continue;
        entry->customer = ws_customer_of(ws, entry->fact->customer, entry->fact->customer_kind);
        *PK_PUSH(ws->arena, entry->customer, fact) = entry;
    }
    settle_displaced(ws);
    for (size_t i = 0; i < ws->facts; i++) {
        struct ws_fact *entry = &ws->fact[i];
        for (size_t k = 0; k < entry->key_count && !entry->dropped; k++)
            ws_add_user(ws, entry->key[k], entry->fact->customer);
    }
    for (size_t i = 0; i < ws->moved.len; i++) {
        struct ws_fact *entry = ws->moved.ptr[i];
        for (size_t k = 0; k < entry->key_count; k++)
            ws_add_user(ws, entry->key[k], entry->fact->customer);
    }
}

/* ---- who influences whom ---- */

bool ws_is_former(const struct workset *ws, struct pk_hash user)
{
    const struct ws_key *key = pk_map_get(&ws->keys, user);
    return key && ws_is_person(key) && !pk_hash_zero(key->customer) && !pk_hash_eq(key->customer, user);
}

/* Customers that met at one key and may influence each other form one group and go the slow path. */
static void couple(struct workset *ws)
{
    for (size_t i = 0; i < ws->key_list.len; i++) {
        struct ws_key *key = ws->key_list.ptr[i];
        uint32_t present = 0, enough = key->unsealed ? 1 : 2;
        if (key->user_count < enough || !key->couples)
            continue;
        for (uint32_t u = 0; u < key->user_count; u++) {
            if (!pk_hash_zero(key->user[u]))
                ws_key_of(ws, key->user[u], KEY_PERSON);
            present += !ws_is_former(ws, key->user[u]);
        }
        struct ws_customer *first = NULL;
        for (uint32_t u = 0; u < key->user_count && present >= enough; u++) {
            if (pk_hash_zero(key->user[u]) || ws_is_former(ws, key->user[u]))
                continue;
            struct ws_customer *customer = ws_customer_of(ws, key->user[u], KEY_PERSON);
            customer->slow = customer->coupled = true;
            if (first)
                ws_root(customer)->parent = ws_root(first);
            first = customer;
        }
    }
}

/* ---- the fast path ---- */

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
            customer->state = held && held->cell->version == customer->key->cell->version ? held->state : NULL;
        }
        customer->appended = true;
        customer->slow = (customer->key->in_database && !customer->state) || !append_all(ws, customer);
    }
}

/* ---- the slow path's history ---- */

static bool need_customers(struct workset *ws, bool regrouped, struct ws_need *ret)
{
    struct pk_hash *missing = NULL;
    size_t count = 0;
    for (size_t i = 0; i < ws->customer_list.len; i++) {
        struct ws_customer *customer = ws->customer_list.ptr[i];
        if (!(regrouped ? customer->regrouped : customer->slow) || customer->loaded)
            continue;
        customer->loaded = true;
        if (!customer->key->in_database)
            continue;
        if (!missing)
            missing = pk_arena_alloc(ws->arena, (ws->customer_list.len - i) * sizeof *missing);
        missing[count++] = customer->id;
    }
    *ret = (struct ws_need){.kind = NEED_CUSTOMERS, .hash = missing, .count = count};
    return count > 0;
}

/* Through them others may influence this customer. */
static void take_coupling_keys(struct workset *ws, const struct fact *fact)
{
    struct named_key key[KEYS_MAX];
    size_t names, count = keys_of(ws->meaning, fact, key, &names);
    for (size_t k = names; k < count; k++)
        ws_key_of(ws, key[k].hash, key[k].kind);
}

void workset_put_customers(struct workset *ws, const struct ws_need *need, struct fact *fact, size_t facts,
                           struct journey *journey, size_t journeys, struct obligation *obligation,
                           size_t obligations, const struct store_carry *carry, size_t carries)
{
    (void)need;
    for (size_t i = 0; i < carries; i++) {
        struct ws_customer *customer = pk_map_get(&ws->customers, carry[i].customer);
        customer->carry_was = carry[i].carry;
        if (!customer->key->let_go) /* with the forgotten name goes what it carried */
            customer->carry = carry[i].carry;
    }
    for (size_t i = 0; i < facts; i++) {
        struct ws_fact *entry = ws_stored(ws, &fact[i]);
        struct ws_customer *customer = pk_map_get(&ws->customers, fact[i].stored_customer);
        assert(customer && customer->loaded);
        if (!entry->of_customer)
            *PK_PUSH(ws->arena, customer, stored) = entry;
        entry->of_customer = true;
        if (customer->regrouped && !entry->owned_anew && !entry->displaced) {
            entry->owned_anew = true;
            *pk_vec_push(&ws->owned_anew) = entry;
        }
        take_coupling_keys(ws, entry->fact);
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
        for (uint32_t u = 0; u < key->stored_users && key->kind == KEY_OBLIGATION; u++)
            nameless |= pk_hash_zero(key->user[u]);
        if (key->nameless_asked || !nameless || key->user_count < 2)
            continue;
        key->nameless_asked = true;
        if (!missing)
            missing = pk_arena_alloc(ws->arena, (ws->key_list.len - i) * sizeof *missing);
        missing[count++] = fact_key(key->hash, KEY_OBLIGATION);
    }
    *ret = (struct ws_need){.kind = NEED_NAMELESS, .hash = missing, .count = count};
    return count > 0;
}

void workset_put_nameless(struct workset *ws, struct fact *fact, size_t facts)
{
    for (size_t i = 0; i < facts; i++) {
        struct ws_fact *entry = ws_stored(ws, &fact[i]);
        if (!entry->displaced)
            *pk_vec_push(&ws->nameless) = entry->fact;
    }
}

/* ---- what is needed next ---- */

/* All events of a customer that is derived again were loaded with it. One that was not among them was read too early. */
static bool was_read_early(const struct ws_fact *entry)
{
    return !entry->of_customer && !pk_hash_zero(entry->fact->stored_customer);
}

static void check_early_reads(struct workset *ws)
{
    for (size_t i = 0; i < ws->displaced.len; i++)
        ws->contradicted |= was_read_early(ws->displaced.ptr[i]);
    for (size_t i = 0; i < ws->moved.len; i++)
        ws->contradicted |= was_read_early(ws->moved.ptr[i]);
}

enum pk_status workset_need(struct workset *ws, struct ws_need *ret, struct pk_err *err)
{
    for (;;) {
        size_t keys = ws->key_list.len;
        if (ws->contradicted)
            return pk_fail(err, PK_STALE, "an event is stored with another content, or changed hands");
        if (need_keys(ws, ret) || (ws->tombstones && need_forgotten(ws, ret)) || ws->altered)
            return PK_OK;
        if (ws->check_all && need_events(ws, ret))
            return PK_OK;
        if (ws->sealing && ws_need_sealed_meetings(ws, ret))
            return PK_OK;
        if (!ws->identified && ws_identify(ws, ret)) {
            if (ret->kind != NEED_NOTHING)
                return PK_OK;
            continue;
        }
        if (!ws->settled) {
            if (need_customers(ws, true, ret))
                return PK_OK;
            if (ws_own(ws, ret)) {
                if (ret->kind != NEED_NOTHING)
                    return PK_OK;
                continue;
            }
            if (ws->key_list.len != keys)
                continue;
            settle(ws);
            continue;
        }
        couple(ws);
        if (ws->key_list.len != keys)
            continue;
        if (need_events(ws, ret))
            return PK_OK;
        take_fast_path(ws); /* may send customers to the slow path, whose events are then asked for */
        if (need_events(ws, ret) || need_customers(ws, false, ret) || need_nameless(ws, ret))
            return PK_OK;
        check_early_reads(ws);
        if (ws->contradicted)
            continue;
        *ret = (struct ws_need){.kind = NEED_NOTHING};
        return PK_OK;
    }
}
