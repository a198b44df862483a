/* SPDX-License-Identifier: Apache-2.0 */
#include "memory_store.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- keys of the maps ---- */

static struct pk_hash number_key(uint64_t a, uint64_t b)
{
    struct pk_hash key;
    pk_put_be64(key.byte, a);
    pk_put_be64(key.byte + 8, (a + b + 1) * UINT64_C(0x9E3779B97F4A7C15));
    return key;
}

static struct pk_hash event_key(int64_t at_us, struct pk_hash event_hash)
{
    pk_put_be64(event_hash.byte, pk_get_be64(event_hash.byte) ^ (uint64_t)at_us);
    return event_hash;
}

static struct pk_hash bucket_key(const struct change_aggregate *row, int32_t slot)
{
    uint64_t left = (uint64_t)row->table + 1, right = (uint32_t)slot;
    for (uint32_t i = 0; i <= aggregate_tables[row->table].dims; i++) {
        uint64_t word = i ? (uint32_t)row->dim[i - 1] : (uint64_t)row->at_us;
        left = (left ^ word) * UINT64_C(0x9E3779B97F4A7C15), left ^= left >> 29;
        right = (right ^ word) * UINT64_C(0xD6E8FEB86659FD93), right ^= right >> 31;
    }
    return number_key(left, right);
}

static struct pk_hash course_key(struct pk_hash journey, uint32_t definition)
{
    pk_put_be64(journey.byte, pk_get_be64(journey.byte) ^ ((uint64_t)definition + 1) << 56);
    return journey;
}

static void *index_value(size_t index)
{
    return (void *)(uintptr_t)(index + 1);
}

/* ---- deep copies ---- */

static struct pk_str copy_text(struct pk_arena *arena, struct pk_str text)
{
    return text.ptr ? pk_arena_str(arena, text) : text;
}

static struct fact *copy_fact(struct pk_arena *arena, const struct fact *from)
{
    struct fact *fact = pk_arena_copy(arena, from, sizeof *fact);
    struct pk_str *text[] = {&fact->event_id, &fact->product, &fact->location, &fact->attributes};
    for (size_t i = 0; i < PK_COUNT(text); i++)
        *text[i] = copy_text(arena, *text[i]);
    struct fact_identifier *identifier = pk_arena_copy(arena, from->identifier,
                                                       from->identifier_count * sizeof *from->identifier);
    for (uint32_t i = 0; i < from->identifier_count; i++)
        identifier[i].value = (struct pk_str){0}; /* the row of the event has hashes only */
    fact->identifier = identifier;
    fact->person = fact->device = NULL;
    fact->person_count = fact->device_count = 0;
    fact->record_key = fact->record_value = (struct pk_bytes){0};
    fact->record_headers = NULL;
    fact->stored = true;
    fact->stored_journey = from->journey ? from->journey->id : (struct pk_hash){0};
    fact->stored_customer = from->customer;
    fact->stored_kind = from->customer_kind;
    fact->stored_sighted = from->sighted;
    fact->journey = NULL;
    fact->order = 0;
    return fact;
}

/* As the store loads it: what is only written is empty, traits are not set. */
static struct fact loaded_fact(struct pk_arena *arena, const struct fact *row)
{
    struct fact fact = *row;
    fact.event_id = copy_text(arena, row->event_id);
    fact.traits = 0;
    fact.identifier = pk_arena_copy(arena, row->identifier, row->identifier_count * sizeof *row->identifier);
    fact.product = fact.location = fact.attributes = (struct pk_str){0};
    return fact;
}

/* What a row has of it: no courses, nothing that only the derivation knows. */
static struct journey copy_journey(struct pk_arena *arena, const struct journey *from)
{
    struct journey row = *from;
    struct sym_list *lists[] = {&row.channels, &row.brands, &row.units};
    for (size_t i = 0; i < PK_COUNT(lists); i++) {
        lists[i]->cap = lists[i]->count;
        lists[i]->sym = pk_arena_copy(arena, lists[i]->sym, lists[i]->count * sizeof *lists[i]->sym);
    }
    strand_init(&row.strand);
    memset(&row.person, 0xA5, sizeof row - offsetof(struct journey, person)); /* to be looked at by nobody */
    row.made = false;
    row.old = NULL;
    return row;
}

struct journey memory_journey(const struct memory_store *store, const struct journey *row, struct pk_arena *arena)
{
    struct journey journey = copy_journey(arena, row);
    struct courses *courses = &journey.strand.courses;
    for (uint32_t definition = 0; definition < RULES_MAX_DEFINITIONS; definition++) {
        const struct memory_course *found = pk_map_get(&store->courses, course_key(row->id, definition));
        if (!found)
            continue;
        if (!courses->course)
            courses->course = PK_NEW_ARRAY(arena, struct course, RULES_MAX_DEFINITIONS);
        courses->course[courses->count++] = found->course;
    }
    courses->cap = courses->count;
    return journey;
}

static struct obligation copy_obligation(const struct obligation *from)
{
    struct obligation copy = *from;
    copy.rule = NULL;
    copy.opener = NULL;
    copy.made = false;
    copy.old = NULL;
    return copy;
}

static struct store_meeting *copy_meeting(struct pk_arena *arena, const struct store_meeting *from)
{
    struct store_meeting *meeting = pk_arena_copy(arena, from, sizeof *meeting);
    meeting->person = pk_arena_copy(arena, from->person, from->count * sizeof *from->person);
    meeting->name_space = pk_arena_copy(arena, from->name_space, from->count * sizeof *from->name_space);
    meeting->first_event_id = copy_text(arena, from->first_event_id);
    return meeting;
}

/* ---- the store ---- */

void memory_store_init(struct memory_store *store)
{
    *store = (struct memory_store){.arena.keep_bytes = 1 << 20};
}

void memory_store_done(struct memory_store *store)
{
    struct pk_map *maps[] = {&store->facts, &store->journeys, &store->obligations, &store->customers,
                             &store->keys,  &store->cells,    &store->courses,     &store->buckets,
                             &store->carries, &store->sealed_facts, &store->sealed_journeys, &store->sealed_obligations};
    for (size_t i = 0; i < PK_COUNT(maps); i++)
        pk_map_done(maps[i]);
    pk_vec_done(&store->bucket);
    pk_vec_done(&store->decisions);
    pk_vec_done(&store->quarantine);
    pk_vec_done(&store->forgotten);
    pk_vec_done(&store->positions);
    pk_arena_done(&store->arena);
    *store = (struct memory_store){0};
}

struct fact *memory_find_fact(const struct memory_store *store, int64_t at_us, struct pk_hash event_hash)
{
    return pk_map_get(&store->facts, event_key(at_us, event_hash));
}

bool memory_is_sealed(const struct memory_store *store, int64_t at_us, struct pk_hash event_hash)
{
    return pk_map_get(&store->sealed_facts, event_key(at_us, event_hash)) != NULL;
}

static struct memory_cell *find_cell(const struct memory_store *store, int64_t id)
{
    return pk_map_get(&store->cells, number_key((uint64_t)id, 0));
}

static struct store_position *find_position(struct memory_store *store, sym_t topic, int32_t partition)
{
    for (size_t i = 0; i < store->positions.len; i++)
        if (store->positions.ptr[i].topic == topic && store->positions.ptr[i].partition == partition)
            return &store->positions.ptr[i];
    return NULL;
}

struct store_position memory_claim(struct memory_store *store, sym_t topic, int32_t partition)
{
    struct store_position *found = find_position(store, topic, partition);
    if (!found) {
        int32_t slot = (int32_t)store->positions.len;
        found = pk_vec_push(&store->positions);
        *found = (struct store_position){.topic = topic, .partition = partition, .slot = slot};
    }
    found->epoch++;
    return *found;
}

/* ---- loading ---- */

static bool is_among(const struct pk_hash *list, size_t count, struct pk_hash hash)
{
    for (size_t i = 0; i < count; i++)
        if (pk_hash_eq(list[i], hash))
            return true;
    return false;
}

struct pk_hash *memory_users(const struct memory_key *key, struct pk_arena *arena, uint32_t *ret_count)
{
    struct pk_hash *user = pk_arena_alloc(arena, (key->also_count + 1) * sizeof *user);
    uint32_t count = 0;
    for (uint32_t i = 0; i <= key->also_count; i++) {
        struct pk_hash named = i ? key->also[i - 1] : key->owner;
        if (!is_among(user, count, named))
            user[count++] = named;
    }
    *ret_count = count;
    return user;
}

static const struct pk_hash *load_apart(const struct memory_worker *w, struct pk_hash hash, struct pk_arena *arena,
                                        uint32_t *ret_count)
{
    struct pk_hash *apart = pk_arena_alloc(arena, (w->store->decisions.len + 1) * sizeof *apart);
    uint32_t count = 0;
    for (size_t i = 0; i < w->store->decisions.len; i++) {
        const struct memory_decision *decision = &w->store->decisions.ptr[i];
        if (!decision->in_force || decision->row.kind != DECIDE_APART)
            continue;
        if (pk_hash_eq(decision->row.a, hash))
            apart[count++] = decision->row.b;
        else if (pk_hash_eq(decision->row.b, hash))
            apart[count++] = decision->row.a;
    }
    *ret_count = count;
    return apart;
}

static enum pk_status load_keys(struct memory_worker *w, const struct ws_need *need, struct pk_err *err)
{
    struct store_key *row = PK_NEW_ARRAY(&w->arena, struct store_key, need->count + 1);
    size_t count = 0;
    for (size_t i = 0; i < need->count; i++) {
        const struct memory_key *key = pk_map_get(&w->store->keys, need->hash[i]);
        if (!key)
            continue;
        struct store_key *to = &row[count++];
        *to = (struct store_key){
            .hash = key->hash,
            .kind = key->kind,
            .name_space = key->name_space,
            .flags = key->flags,
            .first_at_us = key->first_at_us,
            .sealed_at_us = key->sealed_at_us,
            .customer = key->customer,
            .cell = key->cell->id,
            .version = key->cell->version,
        };
        to->user = memory_users(key, &w->arena, &to->user_count);
        to->apart = load_apart(w, key->hash, &w->arena, &to->apart_count);
    }
    return workset_put_keys(&w->workset, need, row, count, err);
}

static void load_meetings(struct memory_worker *w, const struct ws_need *need)
{
    PK_VEC(struct store_meeting) found = {0};
    struct pk_map once = {0};
    for (size_t i = 0; i < need->count; i++) {
        const struct memory_key *key = pk_map_get(&w->store->keys, need->hash[i]);
        for (uint32_t m = 0; key && m < key->meeting_count; m++) {
            struct store_meeting *row = key->meeting[m];
            if ((need->meeting && !pk_hash_eq(row->id, need->meeting[i])) || pk_map_get(&once, row->id))
                continue;
            pk_map_put(&once, row->id, row);
            *pk_vec_push(&found) = *copy_meeting(&w->arena, row);
        }
    }
    struct store_meeting *meeting = pk_arena_alloc(&w->arena, (found.len + 1) * sizeof *meeting);
    if (found.len)
        memcpy(meeting, found.ptr, found.len * sizeof *meeting);
    workset_put_meetings(&w->workset, need, meeting, found.len);
    pk_map_done(&once);
    pk_vec_done(&found);
}

static bool carries(const struct fact *fact, struct pk_hash name)
{
    for (uint32_t i = 0; i < fact->identifier_count; i++)
        if (pk_hash_eq(fact->identifier[i].hash, name))
            return true;
    return pk_hash_eq(fact->case_key, name);
}

/* As SQL finds them: users of the name, their events, those in the window that carry it. Nobody who is not a user is
 * looked at. */
static void load_seen(struct memory_worker *w, const struct ws_need *need)
{
    const struct memory_store *store = w->store;
    struct fact *fact = PK_NEW_ARRAY(&w->arena, struct fact, store->facts.count + 1);
    bool *taken = PK_NEW_ARRAY(&w->arena, bool, store->facts.cap + 1);
    size_t facts = 0;
    for (size_t i = 0; i < need->count; i++) {
        const struct store_window *window = &need->window[i];
        const struct memory_key *key = pk_map_get(&store->keys, window->name);
        uint32_t users = 0;
        struct pk_hash *user = key ? memory_users(key, &w->arena, &users) : NULL;
        PK_MAP_EACH(&store->facts, e)
        {
            const struct fact *row = e->value;
            bool *already = &taken[e - store->facts.entry];
            if (*already || row->at_us < window->from_us || row->at_us > window->to_us ||
                !is_among(user, users, row->customer) || !carries(row, window->name))
                continue;
            *already = true;
            fact[facts++] = loaded_fact(&w->arena, row);
        }
    }
    workset_put_seen(&w->workset, need, fact, facts);
}

struct loaded {
    struct fact *fact;
    struct journey *journey;
    struct obligation *obligation;
    struct store_carry *carry;
    size_t facts, journeys, obligations, carries;
};

static struct loaded rows_of_customers(struct memory_worker *w, const struct ws_need *need)
{
    const struct memory_store *store = w->store;
    struct fact *fact = PK_NEW_ARRAY(&w->arena, struct fact, store->facts.count + 1);
    struct journey *journey = PK_NEW_ARRAY(&w->arena, struct journey, store->journeys.count + 1);
    struct obligation *obligation = PK_NEW_ARRAY(&w->arena, struct obligation, store->obligations.count + 1);
    struct store_carry *carry = PK_NEW_ARRAY(&w->arena, struct store_carry, store->carries.count + 1);
    size_t facts = 0, journeys = 0, obligations = 0, carries = 0;
    PK_MAP_EACH(&store->facts, e)
    {
        const struct fact *row = e->value;
        if (!pk_hash_zero(row->customer) && is_among(need->hash, need->count, row->customer))
            fact[facts++] = loaded_fact(&w->arena, row);
    }
    PK_MAP_EACH(&store->journeys, e)
    {
        const struct journey *row = e->value;
        if (is_among(need->hash, need->count, row->customer))
            journey[journeys++] = memory_journey(store, row, &w->arena);
    }
    PK_MAP_EACH(&store->obligations, e)
    {
        const struct obligation *row = e->value;
        if (is_among(need->hash, need->count, row->customer))
            obligation[obligations++] = copy_obligation(row);
    }
    PK_MAP_EACH(&store->carries, e)
    if (is_among(need->hash, need->count, e->key))
        carry[carries++] = *(const struct store_carry *)e->value;
    return (struct loaded){fact, journey, obligation, carry, facts, journeys, obligations, carries};
}

static void load_customers(struct memory_worker *w, const struct ws_need *need)
{
    struct loaded r = rows_of_customers(w, need);
    workset_put_customers(&w->workset, need, r.fact, r.facts, r.journey, r.journeys, r.obligation, r.obligations, r.carry, r.carries);
}

static void load_nameless(struct memory_worker *w, const struct ws_need *need)
{
    struct fact *fact = PK_NEW_ARRAY(&w->arena, struct fact, w->store->facts.count + 1);
    size_t facts = 0;
    PK_MAP_EACH(&w->store->facts, e)
    {
        const struct fact *row = e->value;
        if (pk_hash_zero(row->customer) && !pk_hash_zero(row->relates) &&
            is_among(need->hash, need->count, row->relates))
            fact[facts++] = loaded_fact(&w->arena, row);
    }
    workset_put_nameless(&w->workset, fact, facts);
}

static void load_events(struct memory_worker *w, const struct ws_need *need)
{
    struct fact *fact = PK_NEW_ARRAY(&w->arena, struct fact, need->count + 1);
    size_t facts = 0;
    for (size_t i = 0; i < need->count; i++) {
        const struct fact *row = memory_find_fact(w->store, need->fact[i]->at_us, need->fact[i]->event_hash);
        if (row)
            fact[facts++] = loaded_fact(&w->arena, row);
    }
    workset_put_events(&w->workset, need, fact, facts);
}

/* As the committer does. */
static void load_forgotten(struct memory_worker *w, const struct ws_need *need)
{
    bool altered = false;
    for (size_t i = 0; i < need->count;) {
        struct fact *fact = need->fact[i];
        struct forgotten *row = pk_arena_alloc(&w->arena, (w->store->forgotten.len + 1) * sizeof *row);
        size_t rows = 0;
        for (; i < need->count && need->fact[i] == fact; i++)
            for (size_t k = 0; k < w->store->forgotten.len; k++) {
                const struct memory_forgotten *stored = &w->store->forgotten.ptr[k];
                if (pk_hash_eq(stored->row.name, need->hash[i]) &&
                    (!stored->row.single || pk_hash_eq(stored->event_hash, fact->event_hash)))
                    row[rows++] = stored->row;
            }
        enum forget_outcome outcome = forget_apply(fact, row, rows, &w->altered_arena);
        w->forgotten += outcome == FORGET_DELETED;
        altered |= outcome != FORGET_NOTHING;
    }
    workset_put_forgotten(&w->workset, altered);
}

/* What was found through a key is protected by its cell. What is not there yet will be counted when it is inserted. */
static void note_read(struct memory_worker *w, struct pk_hash name)
{
    const struct memory_key *key = pk_map_get(&w->store->keys, name);
    if (key)
        *pk_vec_push(&w->read) = key->cell->id;
}

static enum pk_status load(struct memory_worker *w, const struct ws_need *need, struct pk_err *err)
{
    for (size_t i = 0; i < need->count && need->kind != NEED_EVENTS; i++)
        note_read(w, need->kind == NEED_SEEN       ? need->window[i].name
                     : need->kind == NEED_NAMELESS ? fact_key(need->hash[i], KEY_OBLIGATION)
                                                   : need->hash[i]);
    switch (need->kind) {
    case NEED_KEYS:
        return load_keys(w, need, err);
    case NEED_MEETINGS:
        load_meetings(w, need);
        break;
    case NEED_SEEN:
        load_seen(w, need);
        break;
    case NEED_CUSTOMERS:
        load_customers(w, need);
        break;
    case NEED_NAMELESS:
        load_nameless(w, need);
        break;
    case NEED_EVENTS:
        load_events(w, need);
        break;
    case NEED_FORGOTTEN:
        load_forgotten(w, need);
        break;
    case NEED_NOTHING:
        break;
    }
    return PK_OK;
}

/* ---- checks that PostgreSQL makes ---- */

static enum pk_status check_fence(struct memory_store *store, const struct changes *changes, struct pk_err *err)
{
    for (size_t i = 0; i < changes->spans; i++) {
        const struct store_position *at = &changes->span[i].at;
        const struct store_position *row = find_position(store, at->topic, at->partition);
        if (!row || row->epoch != at->epoch || row->next_offset != at->next_offset)
            return pk_fail(err, PK_FENCED, "partition %d is not at offset %" PRId64 " any more", at->partition,
                           at->next_offset);
    }
    return PK_OK;
}

static enum pk_status check_guards(const struct memory_store *store, const struct changes *changes, struct pk_err *err)
{
    for (size_t i = 0; i < changes->guard.len; i++) {
        const struct memory_cell *cell = find_cell(store, changes->guard.ptr[i].cell);
        if (!cell || cell->version != changes->guard.ptr[i].version)
            return pk_fail(err, PK_STALE, "guard cell %" PRId64 " changed", changes->guard.ptr[i].cell);
    }
    return PK_OK;
}

static bool is_replaced(const struct changes *changes, const struct fact *fact)
{
    for (size_t i = 0; i < changes->replaced.len; i++)
        if (changes->replaced.ptr[i]->at_us == fact->at_us &&
            pk_hash_eq(changes->replaced.ptr[i]->event_hash, fact->event_hash))
            return true;
    return false;
}

static enum pk_status check_inserts(const struct memory_store *store, const struct changes *changes,
                                    struct pk_err *err)
{
    for (size_t i = 0; i < changes->key.len; i++)
        if (pk_map_get(&store->keys, changes->key.ptr[i].hash))
            return pk_fail(err, PK_STALE, "a new identifier exists already");
    for (size_t i = 0; i < changes->replaced.len; i++) {
        const struct fact *gone = changes->replaced.ptr[i];
        const struct fact *row = memory_find_fact(store, gone->at_us, gone->event_hash);
        if (!row || row->content_hash != gone->content_hash)
            return pk_fail(err, PK_STALE, "an interaction to replace changed");
    }
    for (size_t i = 0; i < changes->fact.len; i++) {
        const struct fact *fact = changes->fact.ptr[i];
        if (memory_find_fact(store, fact->at_us, fact->event_hash) && !is_replaced(changes, fact))
            return pk_fail(err, PK_STALE, "a new interaction exists already");
    }
    return PK_OK;
}

/* ---- checks of the contract ---- */

struct check {
    struct pk_arena arena;
    const struct memory_store *store;
    const struct changes *changes;
    struct pk_map held; /* cells that the batch guards or makes */
    struct pk_map new_key;
    struct pk_err *err;
};

static bool is_held(const struct check *c, int64_t cell)
{
    return pk_map_get(&c->held, number_key((uint64_t)cell, 0)) != NULL;
}

/* Is the cell of this key (as stored, or as this batch makes it) one that the batch holds? */
static bool protects(const struct check *c, struct pk_hash hash)
{
    const struct memory_key *key = pk_map_get(&c->store->keys, hash);
    const struct change_key *made = pk_map_get(&c->new_key, hash);
    return key ? is_held(c, key->cell->id) : made && is_held(c, made->cell);
}

#define REQUIRE(holds, sentence)                                                                                     \
    do {                                                                                                             \
        if (!(holds))                                                                                                \
            return pk_fail(c->err, PK_STOP, "%s", sentence);                                                         \
    } while (0)

/* Persons have a customer and a first time; only they are shared; devices may lend and be blocked, cases lend. */
static bool fits_kind(enum key_kind kind, uint32_t flags, int64_t first_at_us, struct pk_hash customer)
{
    const uint32_t name_flags = KEY_LENDS | KEY_BLOCKED | KEY_FORGOTTEN;
    if (kind == KEY_PERSON)
        return !(flags & (KEY_IS_SHARED | KEY_BLOCKED)) || pk_hash_zero(customer);
    if (kind == KEY_DEVICE || kind == KEY_CASE)
        return !(flags & ~(kind == KEY_CASE ? KEY_LENDS | KEY_FORGOTTEN : name_flags)) && first_at_us == PK_NO_TIME && pk_hash_zero(customer);
    return !(flags & ~(kind == KEY_OBLIGATION ? KEY_SEALED : 0)) && first_at_us == PK_NO_TIME && pk_hash_zero(customer);
}

static enum pk_status check_cells_and_keys(struct check *c)
{
    const struct changes *changes = c->changes;
    for (size_t i = 0; i < changes->guard.len; i++) {
        REQUIRE(i == 0 || changes->guard.ptr[i - 1].cell < changes->guard.ptr[i].cell, "guards are not sorted by cell");
        pk_map_put(&c->held, number_key((uint64_t)changes->guard.ptr[i].cell, 0), c);
    }
    for (size_t i = 0; i < changes->new_cell.len; i++) {
        REQUIRE(!find_cell(c->store, changes->new_cell.ptr[i]), "a new cell exists already");
        REQUIRE(!is_held(c, changes->new_cell.ptr[i]), "a new cell is there twice");
        pk_map_put(&c->held, number_key((uint64_t)changes->new_cell.ptr[i], 0), c);
    }
    for (size_t i = 0; i < changes->key.len; i++) {
        struct change_key *key = &changes->key.ptr[i];
        REQUIRE(i == 0 || pk_hash_cmp(key[-1].hash, key->hash) < 0, "keys are not sorted, or one is there twice");
        REQUIRE(is_held(c, key->cell), "a new key is in a cell that the batch does not hold");
        bool named = key->kind == KEY_PERSON || key->kind == KEY_DEVICE;
        REQUIRE(named == (key->name_space != 0), "a key has a namespace that it should not have, or none");
        REQUIRE(key->kind != KEY_SHARED, "a key is of a kind that only customers have");
        REQUIRE(fits_kind(key->kind, key->flags, key->first_at_us, key->customer), "a new key has what its kind has not");
        pk_map_put(&c->new_key, key->hash, key);
    }
    for (size_t i = 0; i < changes->key_state.len; i++) {
        const struct change_key_state *state = &changes->key_state.ptr[i];
        const struct memory_key *key = pk_map_get(&c->store->keys, state->hash);
        REQUIRE(i == 0 || pk_hash_cmp(state[-1].hash, state->hash) < 0, "states of keys are not sorted");
        REQUIRE(key, "the state of a key that is not there");
        REQUIRE(is_held(c, key->cell->id), "the state of a key changes without its cell");
        REQUIRE(fits_kind(key->kind, state->flags, state->first_at_us, state->customer),
                "a key gets what its kind has not");
        REQUIRE(state->flags != key->flags || state->first_at_us != key->first_at_us ||
                    !pk_hash_eq(state->customer, key->customer),
                "the state of a key is written though nothing changed");
        REQUIRE(!(key->flags & (KEY_LENDS | KEY_FORGOTTEN) & ~state->flags), "a key that lent, or is forgotten, is so no more");
    }
    return PK_OK;
}

/* ---- meetings and decisions ---- */

static struct store_meeting **find_meeting(const struct memory_store *store, struct pk_hash person, struct pk_hash id)
{
    const struct memory_key *key = pk_map_get(&store->keys, person);
    for (uint32_t i = 0; key && i < key->meeting_count; i++)
        if (pk_hash_eq(key->meeting[i]->id, id))
            return &key->meeting[i];
    return NULL;
}

static bool same_first(const struct store_meeting *a, const struct store_meeting *b)
{
    return a->first_at_us == b->first_at_us && a->first_sequence == b->first_sequence &&
           a->first_source == b->first_source && pk_str_eq(a->first_event_id, b->first_event_id);
}

static enum pk_status check_meeting_row(const struct check *c, const struct change_meeting *row, bool first)
{
    int order = first ? -1 : pk_hash_cmp(row[-1].person, row->person);
    order = order ? order : pk_hash_cmp(row[-1].meeting->id, row->meeting->id);
    REQUIRE(order < 0, "meetings are not sorted, or one is there twice");
    REQUIRE(row->meeting->count >= 2, "a meeting of less than two persons");
    REQUIRE(is_among(row->meeting->person, row->meeting->count, row->person), "a meeting of others");
    for (uint32_t i = 0; i < row->meeting->count; i++)
        REQUIRE(protects(c, row->meeting->person[i]), "a meeting is written without the cells of all its persons");
    return PK_OK;
}

static enum pk_status check_meetings(const struct check *c)
{
    const struct changes *changes = c->changes;
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < changes->meeting_new.len && status == PK_OK; i++) {
        const struct change_meeting *row = &changes->meeting_new.ptr[i];
        status = check_meeting_row(c, row, i == 0);
        REQUIRE(!find_meeting(c->store, row->person, row->meeting->id), "a new meeting exists already");
    }
    for (size_t i = 0; i < changes->meeting_first.len && status == PK_OK; i++) {
        const struct change_meeting *row = &changes->meeting_first.ptr[i];
        struct store_meeting *const *found = find_meeting(c->store, row->person, row->meeting->id);
        status = check_meeting_row(c, row, i == 0);
        REQUIRE(found, "a meeting to change is not there");
        REQUIRE(!same_first(*found, row->meeting), "a meeting is written though nothing changed");
    }
    for (size_t i = 0; i < changes->meeting_gone.len && status == PK_OK; i++) {
        const struct change_meeting *row = &changes->meeting_gone.ptr[i];
        status = check_meeting_row(c, row, i == 0);
        REQUIRE(find_meeting(c->store, row->person, row->meeting->id), "a meeting to remove is not there");
    }
    return status;
}

static struct memory_decision *find_decision(const struct memory_store *store, const struct change_decision *decision)
{
    for (size_t i = 0; i < store->decisions.len; i++) {
        struct memory_decision *found = &store->decisions.ptr[i];
        if (found->in_force && found->row.kind == decision->kind && pk_hash_eq(found->row.a, decision->a) &&
            pk_hash_eq(found->row.b, decision->b))
            return found;
    }
    return NULL;
}

static enum pk_status check_decisions(const struct check *c)
{
    for (size_t i = 0; i < c->changes->decision.len; i++) {
        const struct change_decision *decision = &c->changes->decision.ptr[i];
        bool pair = decision->kind == DECIDE_APART;
        REQUIRE(pair == !pk_hash_zero(decision->b), "a decision names other hashes than its kind needs");
        REQUIRE(decision->kind_a == KEY_PERSON || (decision->kind == DECIDE_BLOCK && decision->kind_a == KEY_DEVICE),
                "a decision about a name of another kind");
        REQUIRE(!pair || pk_hash_cmp(decision->a, decision->b) < 0, "the ends of a decision are not in order");
        REQUIRE(!find_decision(c->store, decision) == !decision->restore,
                decision->restore ? "a decision to take back is not in force" : "a decision is in force already");
        REQUIRE(protects(c, decision->a) && (!pair || protects(c, decision->b)), "a decision without its cells");
    }
    return PK_OK;
}

static enum pk_status check_sightings(const struct check *c)
{
    for (size_t i = 0; i < c->changes->sighting.len; i++) {
        const struct change_sighting *sighting = &c->changes->sighting.ptr[i];
        const struct memory_key *key = pk_map_get(&c->store->keys, sighting->key);
        const struct change_key *made = pk_map_get(&c->new_key, sighting->key);
        REQUIRE(i == 0 || memcmp(sighting - 1, sighting, sizeof *sighting) < 0, "sightings are not sorted");
        REQUIRE(key || made, "a sighting of a key that is not there");
        REQUIRE(!made || !pk_hash_eq(made->owner, sighting->customer), "a sighting repeats the owner");
        REQUIRE(protects(c, sighting->key), "a sighting of a key whose cell the batch does not hold");
    }
    return PK_OK;
}

static enum pk_status check_customers(const struct check *c)
{
    for (size_t i = 0; i < c->changes->customer.len; i++) {
        const struct change_customer *row = &c->changes->customer.ptr[i];
        REQUIRE(i == 0 || pk_hash_cmp(row[-1].id, row->id) < 0, "customers are not sorted, or one is there twice");
        REQUIRE(!pk_map_get(&c->store->customers, row->id) ||
                    is_among(c->changes->customer_gone.ptr, c->changes->customer_gone.len, row->id),
                "a new customer exists already"); /* one that changes its kind goes and comes */
        REQUIRE(protects(c, row->id), "a customer is made without its cell");
    }
    for (size_t i = 0; i < c->changes->customer_purchases.len; i++) {
        const struct change_customer *row = &c->changes->customer_purchases.ptr[i];
        const struct change_customer *old = pk_map_get(&c->store->customers, row->id);
        REQUIRE(i == 0 || pk_hash_cmp(row[-1].id, row->id) < 0, "purchases are not sorted, or one is there twice");
        REQUIRE(old && !is_among(c->changes->customer_gone.ptr, c->changes->customer_gone.len, row->id),
                "purchases of a customer that is not there");
        REQUIRE(old->kind == row->kind, "purchases are written of a customer of another kind");
        REQUIRE(old->purchases != row->purchases || old->first_purchase_at_us != row->first_purchase_at_us ||
                    old->last_purchase_at_us != row->last_purchase_at_us,
                "purchases are written though nothing changed");
        REQUIRE(protects(c, row->id), "purchases are written without the customer's cell");
    }
    for (size_t i = 0; i < c->changes->customer_gone.len; i++) {
        REQUIRE(pk_map_get(&c->store->customers, c->changes->customer_gone.ptr[i]), "a customer to remove is not there");
        REQUIRE(protects(c, c->changes->customer_gone.ptr[i]), "a customer is removed without its cell");
    }
    return PK_OK;
}

static int compare_facts(const struct fact *a, const struct fact *b)
{
    return a->at_us != b->at_us ? (a->at_us < b->at_us ? -1 : 1) : pk_hash_cmp(a->event_hash, b->event_hash);
}

/* By its customer's cell; without a customer by that of the name it relates to, if any. */
static bool owner_is_protected(const struct check *c, struct pk_hash customer, struct pk_hash relates)
{
    if (!pk_hash_zero(customer))
        return protects(c, customer);
    return pk_hash_zero(relates) || protects(c, fact_key(relates, KEY_OBLIGATION));
}

static bool names_are_protected(const struct check *c, const struct fact *fact)
{
    bool all = true;
    for (uint32_t i = 0; i < fact->identifier_count; i++) {
        struct pk_hash hash = fact->identifier[i].hash;
        if (pk_map_get(&c->store->keys, hash) || pk_map_get(&c->new_key, hash))
            all &= protects(c, hash);
    }
    if (pk_map_get(&c->store->keys, fact->case_key) || pk_map_get(&c->new_key, fact->case_key))
        all &= protects(c, fact->case_key);
    return all;
}

static bool fact_is_protected(const struct check *c, const struct fact *fact)
{
    return names_are_protected(c, fact) && owner_is_protected(c, fact->customer, fact->relates);
}

static enum pk_status check_facts(const struct check *c)
{
    const struct changes *changes = c->changes;
    for (size_t i = 0; i < changes->fact.len; i++) {
        struct fact *const *fact = &changes->fact.ptr[i];
        REQUIRE(i == 0 || compare_facts(fact[-1], *fact) < 0, "facts are not sorted, or one is there twice");
        REQUIRE(fact_is_protected(c, *fact), "a fact is written without its cell");
        REQUIRE(!pk_hash_zero((*fact)->customer) || !(*fact)->journey, "an event without a customer has a journey");
    }
    for (size_t i = 0; i < changes->replaced.len; i++) {
        REQUIRE(i == 0 || compare_facts(changes->replaced.ptr[i - 1], changes->replaced.ptr[i]) < 0,
                "replaced facts are not sorted");
    }
    for (size_t i = 0; i < changes->replaced.len; i++) {
        const struct fact *gone = changes->replaced.ptr[i];
        const struct fact *row = memory_find_fact(c->store, gone->at_us, gone->event_hash);
        REQUIRE(fact_is_protected(c, row), "a fact is replaced without its cells");
    }
    return PK_OK;
}

static enum pk_status check_moves(const struct check *c)
{
    const struct changes *changes = c->changes;
    for (size_t i = 0; i < changes->move.len; i++) {
        const struct change_move *row = &changes->move.ptr[i];
        const struct fact *fact = memory_find_fact(c->store, row->at_us, row->event_hash);
        REQUIRE(i == 0 || row[-1].at_us < row->at_us ||
                    (row[-1].at_us == row->at_us && pk_hash_cmp(row[-1].event_hash, row->event_hash) < 0),
                "moved facts are not sorted");
        REQUIRE(fact, "a fact to move is not there");
        REQUIRE(!is_replaced(changes, fact), "a fact is moved and replaced");
        REQUIRE(owner_is_protected(c, fact->stored_customer, fact->relates), "a fact is moved without its customer's cell");
        REQUIRE(owner_is_protected(c, row->customer, fact->relates), "a fact is moved to a customer without its cell");
        REQUIRE(pk_hash_eq(fact->stored_sighted, row->sighted) || names_are_protected(c, fact),
                "a fact borrows from another sighting, without the cells of its names");
        REQUIRE(!pk_hash_zero(row->customer) || pk_hash_zero(row->journey), "an event without a customer has a journey");
        REQUIRE(!pk_hash_eq(fact->stored_journey, row->journey) || !pk_hash_eq(fact->stored_customer, row->customer) ||
                    !pk_hash_eq(fact->stored_sighted, row->sighted) || fact->stored_kind != row->customer_kind,
                "a fact is moved to where it is");
    }
    return PK_OK;
}

static enum pk_status check_journeys(struct check *c)
{
    for (size_t i = 0; i < c->changes->journey.len; i++) {
        struct journey *const *journey = &c->changes->journey.ptr[i];
        const struct journey *row = pk_map_get(&c->store->journeys, (*journey)->id), *old = (*journey)->old;
        struct journey whole;
        if (row) {
            whole = memory_journey(c->store, row, &c->arena);
            row = &whole;
        }
        REQUIRE(i == 0 || pk_hash_cmp(journey[-1]->id, (*journey)->id) < 0, "journeys are not sorted");
        REQUIRE(!old == !row, old ? "a journey to update is not there" : "a new journey exists already");
        REQUIRE(!row || journey_same(old, row), "a journey was derived from another row than the stored one");
        REQUIRE(!row || !journey_same(*journey, row), "a journey is written though nothing changed");
        REQUIRE(protects(c, (*journey)->customer), "a journey is written without its customer's cell");
        REQUIRE(!row || protects(c, row->customer), "a journey changes hands without its old customer's cell");
    }
    for (size_t i = 0; i < c->changes->journey_gone.len; i++) {
        const struct pk_hash *id = &c->changes->journey_gone.ptr[i];
        const struct journey *row = pk_map_get(&c->store->journeys, *id);
        REQUIRE(i == 0 || pk_hash_cmp(id[-1], *id) < 0, "removed journeys are not sorted");
        REQUIRE(row, "a journey to remove is not there");
        REQUIRE(protects(c, row->customer), "a journey is removed without its customer's cell");
    }
    return PK_OK;
}

static enum pk_status check_obligations(const struct check *c)
{
    for (size_t i = 0; i < c->changes->obligation.len; i++) {
        struct obligation *const *o = &c->changes->obligation.ptr[i];
        const struct obligation *row = pk_map_get(&c->store->obligations, (*o)->id), *old = (*o)->old;
        REQUIRE(i == 0 || pk_hash_cmp(o[-1]->id, (*o)->id) < 0, "obligations are not sorted");
        REQUIRE(!old == !row, old ? "an obligation to update is not there" : "a new obligation exists already");
        REQUIRE(!row || obligation_same(old, row), "an obligation was derived from another row than the stored one");
        REQUIRE(!row || !obligation_same(*o, row), "an obligation is written though nothing changed");
        REQUIRE(protects(c, (*o)->customer), "an obligation is written without its customer's cell");
        REQUIRE(!row || protects(c, row->customer), "an obligation changes hands without its old customer's cell");
    }
    for (size_t i = 0; i < c->changes->obligation_gone.len; i++) {
        const struct pk_hash *id = &c->changes->obligation_gone.ptr[i];
        const struct obligation *row = pk_map_get(&c->store->obligations, *id);
        REQUIRE(i == 0 || pk_hash_cmp(id[-1], *id) < 0, "removed obligations are not sorted");
        REQUIRE(row, "an obligation to remove is not there");
        REQUIRE(protects(c, row->customer), "an obligation is removed without its customer's cell");
    }
    return PK_OK;
}

/* ---- courses and buckets ---- */

static enum pk_status check_course_rows(const struct check *c, const struct change_course *row, size_t count, bool is_new)
{
    for (size_t i = 0; i < count; i++, row++) {
        const struct memory_course *stored =
            pk_map_get(&c->store->courses, course_key(row->journey->id, row->course->definition));
        int order = i ? pk_hash_cmp(row[-1].journey->id, row->journey->id) : -1;
        REQUIRE(order < 0 || (order == 0 && row[-1].course->definition < row->course->definition),
                "courses are not sorted, or one is there twice");
        REQUIRE(is_new == !stored, is_new ? "a new course exists already" : "a course to update is not there");
        REQUIRE(is_new || !course_same(&stored->course, row->course) ||
                    !pk_hash_eq(stored->customer, row->journey->customer),
                "a course is written though nothing changed");
        REQUIRE(protects(c, row->journey->customer), "a course is written without its customer's cell");
        REQUIRE(!stored || protects(c, stored->customer), "a course changes hands without its old customer's cell");
    }
    return PK_OK;
}

static enum pk_status check_courses(const struct check *c)
{
    const struct changes *changes = c->changes;
    enum pk_status status = check_course_rows(c, changes->course_new.ptr, changes->course_new.len, true);
    if (status == PK_OK)
        status = check_course_rows(c, changes->course.ptr, changes->course.len, false);
    for (size_t i = 0; status == PK_OK && i < changes->course_gone.len; i++) {
        const struct change_course_gone *row = &changes->course_gone.ptr[i];
        const struct memory_course *stored = pk_map_get(&c->store->courses, course_key(row->journey, row->definition));
        int order = i ? pk_hash_cmp(row[-1].journey, row->journey) : -1;
        REQUIRE(order < 0 || (order == 0 && row[-1].definition < row->definition), "removed courses are not sorted");
        REQUIRE(stored, "a course to remove is not there");
        REQUIRE(protects(c, stored->customer), "a course is removed without its customer's cell");
    }
    return status;
}

static enum pk_status check_buckets(const struct check *c)
{
    for (size_t i = 0; i < c->changes->aggregate.len; i++) {
        const struct change_aggregate *row = &c->changes->aggregate.ptr[i];
        bool any = false;
        for (uint32_t k = 0; k < aggregate_tables[row->table].counts; k++)
            any |= row->count[k] != 0;
        REQUIRE(any, "a bucket is written though nothing changed");
        REQUIRE(i == 0 || change_aggregate_cmp(row - 1, row) < 0, "buckets are not sorted, or one is there twice");
        REQUIRE(row->at_us == PK_NO_TIME || row->at_us == hour_of(row->at_us), "a bucket begins within an hour");
        REQUIRE(row->at_us != PK_NO_TIME || row->table == AGGREGATE_obligation_hourly, "a bucket without a time");
    }
    return PK_OK;
}

static enum pk_status check_contract(const struct memory_store *store, const struct changes *changes,
                                     struct pk_err *err)
{
    struct check check = {.store = store, .changes = changes, .err = err};
    enum pk_status status = check_cells_and_keys(&check);
    if (status == PK_OK)
        status = check_meetings(&check);
    if (status == PK_OK)
        status = check_decisions(&check);
    if (status == PK_OK)
        status = check_sightings(&check);
    if (status == PK_OK)
        status = check_customers(&check);
    if (status == PK_OK)
        status = check_facts(&check);
    if (status == PK_OK)
        status = check_moves(&check);
    if (status == PK_OK)
        status = check_journeys(&check);
    if (status == PK_OK)
        status = check_obligations(&check);
    if (status == PK_OK)
        status = check_buckets(&check);
    if (status == PK_OK)
        status = check_courses(&check);
    pk_map_done(&check.held);
    pk_map_done(&check.new_key);
    pk_arena_done(&check.arena);
    return status;
}

/* ---- applying ---- */

static void apply_cells_and_keys(struct memory_store *store, const struct changes *changes)
{
    for (size_t i = 0; i < changes->guard.len; i++)
        find_cell(store, changes->guard.ptr[i].cell)->version = changes->token;
    for (size_t i = 0; i < changes->new_cell.len; i++) {
        struct memory_cell *cell = PK_NEW(&store->arena, struct memory_cell);
        *cell = (struct memory_cell){changes->new_cell.ptr[i], changes->token};
        pk_map_put(&store->cells, number_key((uint64_t)cell->id, 0), cell);
    }
    for (size_t i = 0; i < changes->key.len; i++) {
        const struct change_key *from = &changes->key.ptr[i];
        struct memory_key *key = PK_NEW(&store->arena, struct memory_key);
        *key = (struct memory_key){.hash = from->hash,
                                   .kind = from->kind,
                                   .name_space = from->name_space,
                                   .flags = from->flags,
                                   .first_at_us = from->first_at_us,
                                   .sealed_at_us = PK_NO_TIME,
                                   .customer = from->customer,
                                   .value = copy_text(&store->arena, from->value),
                                   .cell = find_cell(store, from->cell),
                                   .owner = from->owner};
        pk_map_put(&store->keys, key->hash, key);
    }
    for (size_t i = 0; i < changes->key_state.len; i++) {
        const struct change_key_state *from = &changes->key_state.ptr[i];
        struct memory_key *key = pk_map_get(&store->keys, from->hash);
        key->flags = from->flags;
        key->first_at_us = from->first_at_us;
        key->customer = from->customer;
    }
    for (size_t i = 0; i < changes->sighting.len; i++) {
        struct memory_key *key = pk_map_get(&store->keys, changes->sighting.ptr[i].key);
        struct pk_hash customer = changes->sighting.ptr[i].customer;
        if (!pk_hash_eq(key->owner, customer) && !is_among(key->also, key->also_count, customer))
            *PK_PUSH(&store->arena, key, also) = customer;
    }
}

static void apply_meetings(struct memory_store *store, const struct changes *changes)
{
    for (size_t i = 0; i < changes->meeting_gone.len; i++) {
        const struct change_meeting *row = &changes->meeting_gone.ptr[i];
        struct memory_key *key = pk_map_get(&store->keys, row->person);
        struct store_meeting **place = find_meeting(store, row->person, row->meeting->id);
        *place = key->meeting[--key->meeting_count];
    }
    for (size_t i = 0; i < changes->meeting_first.len; i++) {
        const struct change_meeting *row = &changes->meeting_first.ptr[i];
        struct store_meeting *found = *find_meeting(store, row->person, row->meeting->id);
        found->first_at_us = row->meeting->first_at_us;
        found->first_sequence = row->meeting->first_sequence;
        found->first_source = row->meeting->first_source;
        found->first_event_id = copy_text(&store->arena, row->meeting->first_event_id);
    }
    for (size_t i = 0; i < changes->meeting_new.len; i++) {
        const struct change_meeting *row = &changes->meeting_new.ptr[i];
        struct memory_key *key = pk_map_get(&store->keys, row->person);
        *PK_PUSH(&store->arena, key, meeting) = copy_meeting(&store->arena, row->meeting);
    }
}

static void apply_decisions(struct memory_store *store, const struct changes *changes)
{
    for (size_t i = 0; i < changes->decision.len; i++) {
        const struct change_decision *decision = &changes->decision.ptr[i];
        if (decision->restore) {
            find_decision(store, decision)->in_force = false;
            continue;
        }
        struct change_decision row = *decision;
        row.by = copy_text(&store->arena, row.by);
        row.note = copy_text(&store->arena, row.note);
        *pk_vec_push(&store->decisions) = (struct memory_decision){row, true};
    }
}

static void apply_facts(struct memory_store *store, const struct changes *changes)
{
    for (size_t i = 0; i < changes->replaced.len; i++)
        pk_map_remove(&store->facts, event_key(changes->replaced.ptr[i]->at_us, changes->replaced.ptr[i]->event_hash));
    for (size_t i = 0; i < changes->fact.len; i++) {
        struct fact *fact = copy_fact(&store->arena, changes->fact.ptr[i]);
        pk_map_put(&store->facts, event_key(fact->at_us, fact->event_hash), fact);
    }
    for (size_t i = 0; i < changes->move.len; i++) {
        const struct change_move *row = &changes->move.ptr[i];
        struct fact *fact = memory_find_fact(store, row->at_us, row->event_hash);
        fact->stored_journey = row->journey;
        fact->customer = fact->stored_customer = row->customer;
        fact->customer_kind = fact->stored_kind = row->customer_kind;
        fact->sighted = fact->stored_sighted = row->sighted;
    }
}

/* As a row has it: nothing that only the derivation knows. */
static void put_course(struct memory_store *store, const struct change_course *change)
{
    struct memory_course *row = PK_NEW(&store->arena, struct memory_course);
    *row = (struct memory_course){change->journey->id, change->journey->customer, *change->course};
    row->course.last_step = 0;
    row->course.last_step_at_us = PK_NO_TIME;
    pk_map_put(&store->courses, course_key(row->journey, row->course.definition), row);
}

static void move_row(struct pk_map *from, struct pk_map *to, struct pk_hash key)
{
    pk_map_put(to, key, pk_map_get(from, key));
    pk_map_remove(from, key);
}

static void apply_seal(struct memory_store *store, const struct changes *changes)
{
    for (size_t i = 0; i < changes->replaced.len; i++)
        move_row(&store->facts, &store->sealed_facts,
                 event_key(changes->replaced.ptr[i]->at_us, changes->replaced.ptr[i]->event_hash));
    for (size_t i = 0; i < changes->journey_sealed.len; i++)
        move_row(&store->journeys, &store->sealed_journeys, changes->journey_sealed.ptr[i]);
    for (size_t i = 0; i < changes->obligation_sealed.len; i++)
        move_row(&store->obligations, &store->sealed_obligations, changes->obligation_sealed.ptr[i]);
    for (size_t i = 0; i < changes->sealed_at.len; i++) {
        struct memory_key *key = pk_map_get(&store->keys, changes->sealed_at.ptr[i].hash);
        key->sealed_at_us = changes->sealed_at.ptr[i].sealed_at_us;
    }
    for (size_t i = 0; i < changes->meeting_sealed.len; i++)
        (*find_meeting(store, changes->meeting_sealed.ptr[i].person, changes->meeting_sealed.ptr[i].meeting->id))->sealed = true;
}

static void apply_rows(struct memory_store *store, const struct changes *changes)
{
    for (size_t i = 0; i < changes->customer_gone.len; i++) {
        pk_map_remove(&store->customers, changes->customer_gone.ptr[i]);
        pk_map_remove(&store->carries, changes->customer_gone.ptr[i]);
    }
    for (size_t i = 0; i < changes->customer.len; i++)
        pk_map_put(&store->customers, changes->customer.ptr[i].id,
                   pk_arena_copy(&store->arena, &changes->customer.ptr[i], sizeof changes->customer.ptr[i]));
    for (size_t i = 0; i < changes->customer_purchases.len; i++) {
        const struct change_customer *change = &changes->customer_purchases.ptr[i];
        struct change_customer *row = pk_map_get(&store->customers, change->id);
        row->purchases = change->purchases;
        row->first_purchase_at_us = change->first_purchase_at_us;
        row->last_purchase_at_us = change->last_purchase_at_us;
    }
    for (size_t i = 0; i < changes->carry.len; i++)
        pk_map_put(&store->carries, changes->carry.ptr[i].customer,
                   pk_arena_copy(&store->arena, &changes->carry.ptr[i], sizeof changes->carry.ptr[i]));
    for (size_t i = 0; i < changes->journey_gone.len; i++)
        pk_map_remove(&store->journeys, changes->journey_gone.ptr[i]);
    for (size_t i = 0; i < changes->journey.len; i++) {
        struct journey *row = PK_NEW(&store->arena, struct journey);
        *row = copy_journey(&store->arena, changes->journey.ptr[i]);
        pk_map_put(&store->journeys, row->id, row);
    }
    for (size_t i = 0; i < changes->course_gone.len; i++)
        pk_map_remove(&store->courses,
                      course_key(changes->course_gone.ptr[i].journey, changes->course_gone.ptr[i].definition));
    for (size_t i = 0; i < changes->course_new.len; i++)
        put_course(store, &changes->course_new.ptr[i]);
    for (size_t i = 0; i < changes->course.len; i++)
        put_course(store, &changes->course.ptr[i]);
    for (size_t i = 0; i < changes->obligation_gone.len; i++)
        pk_map_remove(&store->obligations, changes->obligation_gone.ptr[i]);
    for (size_t i = 0; i < changes->obligation.len; i++) {
        struct obligation *row = PK_NEW(&store->arena, struct obligation);
        *row = copy_obligation(changes->obligation.ptr[i]);
        pk_map_put(&store->obligations, row->id, row);
    }
}

/* ---- forgetting ---- */

static bool is_customer(const struct memory_store *store, struct pk_hash id)
{
    return pk_map_get(&store->customers, id) != NULL;
}

/* Nobody was met with this key whose name is forgotten and who is no customer any more. */
static void scrub_users(struct memory_store *store, const struct changes *changes, struct memory_key *key)
{
    const struct change_forgetting *f = changes->forgetting;
    bool changed = false;
    for (size_t i = 0; i < f->names; i++) {
        struct pk_hash name = f->name[i].name;
        if (is_customer(store, name))
            continue;
        if (pk_hash_eq(key->owner, name)) {
            key->owner = (struct pk_hash){{0}};
            changed = true;
        }
        for (uint32_t u = 0; u < key->also_count; u++)
            if (pk_hash_eq(key->also[u], name)) {
                key->also[u--] = key->also[--key->also_count];
                changed = true;
            }
    }
    if (changed)
        key->cell->version = changes->token;
}

static bool is_carried(const struct memory_store *store, struct pk_hash customer, struct pk_hash name)
{
    PK_MAP_EACH(&store->facts, e)
    {
        const struct fact *fact = e->value;
        if (pk_hash_eq(fact->customer, customer) && carries(fact, name))
            return true;
    }
    return false;
}

/* Of a forgotten name: whoever has no event with it any more. */
static void scrub_name(struct memory_store *store, struct pk_hash name)
{
    struct memory_key *key = pk_map_get(&store->keys, name);
    if (!pk_hash_zero(key->owner) && !is_carried(store, key->owner, name))
        key->owner = (struct pk_hash){{0}};
    for (uint32_t u = 0; u < key->also_count; u++)
        if (!pk_hash_zero(key->also[u]) && !is_carried(store, key->also[u], name))
            key->also[u--] = key->also[--key->also_count];
}

static bool is_related(const struct memory_store *store, struct pk_hash name)
{
    PK_MAP_EACH(&store->facts, e)
    {
        const struct fact *fact = e->value;
        if (pk_hash_zero(fact->customer) && pk_hash_eq(fact->relates, name))
            return true;
    }
    return false;
}

static void apply_forgetting(struct memory_store *store, const struct changes *changes)
{
    const struct change_forgetting *f = changes->forgetting;
    int64_t number = ++store->forgettings;
    for (size_t i = 0; i < f->names + f->events; i++) {
        bool single = i >= f->names;
        const struct change_forgotten *from = single ? &f->event[i - f->names] : &f->name[i];
        *pk_vec_push(&store->forgotten) = (struct memory_forgotten){
            .event_hash = from->event_hash,
            .row = {from->name, single ? from->at_us : f->until_us, number, single, f->anonymise},
        };
    }
    PK_MAP_EACH(&store->keys, e)
    scrub_users(store, changes, e->value);
    for (size_t i = 0; i < f->names; i++)
        scrub_name(store, f->name[i].name);
    for (size_t i = 0; i < changes->forgotten_key.len; i++) {
        struct memory_key *key = pk_map_get(&store->keys, changes->forgotten_key.ptr[i]);
        bool used = !key || key->also_count || !pk_hash_zero(key->owner) || is_related(store, fact_key(key->hash, key->kind));
        if (!used)
            pk_map_remove(&store->keys, key->hash);
    }
}

void memory_add_bucket(struct memory_store *store, int32_t slot, const struct change_aggregate *add)
{
    struct pk_hash key = bucket_key(add, slot);
    uintptr_t found = (uintptr_t)pk_map_get(&store->buckets, key);
    if (!found) {
        pk_map_put(&store->buckets, key, index_value(store->bucket.len));
        *pk_vec_push(&store->bucket) = (struct memory_bucket){.slot = slot, .row = *add};
        found = store->bucket.len;
    }
    struct memory_bucket *bucket = &store->bucket.ptr[found - 1];
    bucket->row.count = NULL;
    for (uint32_t i = 0; i < aggregate_tables[add->table].counts; i++)
        bucket->count[i] += add->count[i];
}

static struct change_aggregate *sum_up(const struct memory_store *store, enum aggregate table, bool all, struct pk_arena *arena,
                                       size_t *ret_count)
{
    struct change_aggregate *sum = PK_NEW_ARRAY(arena, struct change_aggregate, store->bucket.len + 1);
    size_t rows = 0, sums = 0, kept = 0;
    for (size_t i = 0; i < store->bucket.len; i++) {
        if (store->bucket.ptr[i].row.table != table || (!all && store->bucket.ptr[i].slot == SEALED_SLOT))
            continue;
        sum[rows] = store->bucket.ptr[i].row;
        sum[rows++].count = store->bucket.ptr[i].count;
    }
    qsort(sum, rows, sizeof *sum, change_aggregate_cmp);
    for (size_t i = 0; i < rows; i++) {
        if (sums == 0 || change_aggregate_cmp(&sum[sums - 1], &sum[i]) != 0) {
            const int64_t *count = sum[i].count;
            sum[sums] = sum[i];
            sum[sums++].count = pk_arena_copy(arena, count, AGGREGATE_COUNTS * sizeof *count);
            continue;
        }
        for (uint32_t k = 0; k < aggregate_tables[table].counts; k++)
            ((int64_t *)sum[sums - 1].count)[k] += sum[i].count[k];
    }
    for (size_t i = 0; i < sums; i++) {
        bool any = false;
        for (uint32_t k = 0; k < aggregate_tables[table].counts; k++)
            any |= sum[i].count[k] != 0;
        if (any)
            sum[kept++] = sum[i];
    }
    *ret_count = kept;
    return sum;
}

struct change_aggregate *memory_sums(const struct memory_store *store, enum aggregate table, struct pk_arena *arena,
                                     size_t *ret_count)
{
    return sum_up(store, table, true, arena, ret_count);
}

struct change_aggregate *memory_sums_left(const struct memory_store *store, enum aggregate table, struct pk_arena *arena,
                                          size_t *ret_count)
{
    return sum_up(store, table, false, arena, ret_count);
}

static void apply_logs(struct memory_store *store, const struct changes *changes)
{
    for (size_t i = 0; i < changes->aggregate.len; i++)
        memory_add_bucket(store, changes->slot, &changes->aggregate.ptr[i]);
    for (size_t i = 0; i < changes->aggregate.len && changes->seal; i++) {
        struct change_aggregate row = changes->aggregate.ptr[i];
        int64_t count[AGGREGATE_COUNTS];
        for (uint32_t k = 0; k < aggregate_tables[row.table].counts; k++)
            count[k] = -row.count[k];
        row.count = count;
        memory_add_bucket(store, SEALED_SLOT, &row);
    }
    for (size_t i = 0; i < changes->quarantine.len; i++) {
        struct change_quarantine row = changes->quarantine.ptr[i];
        row.detail = (struct pk_str){0};
        row.key = row.value = (struct pk_bytes){0};
        row.headers = NULL;
        *pk_vec_push(&store->quarantine) = row;
    }
    for (size_t i = 0; i < changes->spans; i++)
        find_position(store, changes->span[i].at.topic, changes->span[i].at.partition)->next_offset =
            changes->span[i].next_offset;
}

enum pk_status memory_apply(struct memory_store *store, const struct changes *changes, struct pk_err *err)
{
    enum pk_status status = check_fence(store, changes, err);
    if (status == PK_OK)
        status = check_guards(store, changes, err);
    if (status == PK_OK)
        status = check_inserts(store, changes, err);
    if (status == PK_OK)
        status = check_contract(store, changes, err);
    if (status != PK_OK)
        return status;
    apply_cells_and_keys(store, changes);
    apply_meetings(store, changes);
    apply_decisions(store, changes);
    if (changes->seal)
        apply_seal(store, changes);
    else
        apply_facts(store, changes);
    apply_rows(store, changes);
    apply_logs(store, changes);
    if (changes->forgetting)
        apply_forgetting(store, changes);
    return PK_OK;
}

/* ---- a consumer ---- */

void memory_worker_init(struct memory_worker *worker, struct memory_store *store, const struct meaning *meaning,
                        size_t cache_budget, sym_t topic, int32_t partition)
{
    *worker = (struct memory_worker){.store = store, .meaning = meaning};
    cache_init(&worker->cache, cache_budget);
    metrics_init(&worker->metrics, meaning->rules, meaning->maker->symbols);
    worker->at = memory_claim(store, topic, partition);
}

void memory_worker_done(struct memory_worker *worker)
{
    workset_done(&worker->workset);
    cache_done(&worker->cache);
    changes_done(&worker->changes);
    metrics_done(&worker->metrics);
    pk_vec_done(&worker->read);
    pk_vec_done(&worker->lost);
    pk_arena_done(&worker->arena);
    pk_arena_done(&worker->altered_arena);
}

static void quarantine_loser(struct memory_worker *w, struct fact *fact)
{
    *pk_vec_push(&w->lost) = fact;
    *pk_vec_push(&w->changes.quarantine) = (struct change_quarantine){
        .topic = fact->topic_name,
        .partition = fact->partition,
        .offset = fact->offset,
        .reason = REJECT_CONFLICTING_DUPLICATE,
        .received_at_us = fact->received_at_us,
    };
}

/* One copy of each event, the one with the smallest content hash, in event order. */
static struct fact **unique_sorted(struct memory_worker *w, size_t *ret_count)
{
    struct fact **kept = PK_NEW_ARRAY(&w->arena, struct fact *, w->facts + 1);
    size_t count = 0;
    for (size_t i = 0; i < w->facts; i++) {
        struct fact *fact = w->fact[i];
        size_t same = 0;
        if (fact->forgotten)
            continue;
        while (same < count && compare_facts(kept[same], fact) != 0)
            same++;
        if (same == count) {
            kept[count++] = fact;
        } else if (fact->content_hash < kept[same]->content_hash) {
            quarantine_loser(w, kept[same]);
            kept[same] = fact;
        } else if (fact->content_hash > kept[same]->content_hash) {
            quarantine_loser(w, fact);
        }
    }
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && fact_cmp(w->meaning->symbols, kept[j - 1], kept[j]) > 0; j--) {
            struct fact *swap = kept[j];
            kept[j] = kept[j - 1];
            kept[j - 1] = swap;
        }
    *ret_count = count;
    return kept;
}

static void take_span(struct memory_worker *w)
{
    struct store_span *span = PK_NEW(&w->arena, struct store_span);
    *span = (struct store_span){w->at, w->at.next_offset + (int64_t)w->facts};
    w->changes.span = span;
    w->changes.spans = w->decisions || w->forgetting || w->seal ? 0 : 1; /* a command has no position */
    w->changes.slot = w->at.slot;
}

static enum pk_status gather(struct memory_worker *w, struct pk_err *err)
{
    for (int rounds = 0; rounds < 10000; rounds++) {
        struct ws_need need;
        enum pk_status status = workset_need(&w->workset, &need, err);
        if (status != PK_OK || need.kind == NEED_NOTHING || w->workset.altered)
            return status;
        status = load(w, &need, err);
        if (status != PK_OK)
            return status;
        if (w->between)
            w->between(need.kind);
    }
    return pk_fail(err, PK_STOP, "the workset never has enough");
}

/* The stored events that a forgetting may concern. */
static void begin_forgetting(struct memory_worker *w)
{
    const struct change_forgetting *f = w->forgetting;
    const struct memory_store *store = w->store;
    struct fact *fact = PK_NEW_ARRAY(&w->arena, struct fact, store->facts.count + 1);
    size_t facts = 0;
    PK_MAP_EACH(&store->facts, e)
    {
        const struct fact *row = e->value;
        bool concerned = false;
        for (size_t i = 0; i < f->names && row->at_us <= f->until_us; i++)
            concerned |= carries(row, f->name[i].name);
        for (size_t i = 0; i < f->events; i++)
            concerned |= row->at_us == f->event[i].at_us && pk_hash_eq(row->event_hash, f->event[i].event_hash);
        if (concerned)
            fact[facts++] = loaded_fact(&w->arena, row);
    }
    workset_forget(&w->workset, f, fact, facts);
    for (size_t i = 0; i < w->workset.facts; i++) {
        struct fact *copy = w->workset.fact[i].fact;
        const struct fact *row = memory_find_fact(store, copy->at_us, copy->event_hash);
        if (!forget_left_whole(copy))
            continue;
        copy->product = row->product;
        copy->location = row->location;
        copy->attributes = row->attributes;
    }
}

static void begin_seal(struct memory_worker *w)
{
    struct seal *seal = w->seal;
    struct ws_need need = {.kind = NEED_CUSTOMERS, .count = seal->customers};
    need.hash = PK_NEW_ARRAY(&w->arena, struct pk_hash, seal->customers + 1);
    for (size_t i = 0; i < seal->customers; i++)
        need.hash[i] = seal->customer[i].id;
    struct loaded r = rows_of_customers(w, &need);
    if (seal->customers == 0) {
        seal->nameless = PK_NEW_ARRAY(&w->arena, struct seal_nameless, w->store->facts.count + 1);
        seal->nameless_count = 0;
        PK_MAP_EACH(&w->store->facts, e)
        {
            struct fact *row = e->value;
            if (!pk_hash_zero(row->customer) || row->at_us >= seal->before_us)
                continue;
            struct fact *fact = PK_NEW(&w->arena, struct fact);
            *fact = loaded_fact(&w->arena, row);
            seal->nameless[seal->nameless_count++].fact = fact;
        }
    }
    workset_seal(&w->workset, seal, &need, r.fact, r.facts, r.journey, r.journeys, r.obligation, r.obligations, r.carry, r.carries);
}

static enum pk_status prepare(struct memory_worker *w, bool first, struct pk_err *err)
{
again:
    workset_done(&w->workset);
    pk_arena_reset(&w->arena);
    changes_reset(&w->changes);
    metrics_reset(&w->metrics);
    w->read.len = w->lost.len = 0;
    size_t count;
    struct fact **fact = unique_sorted(w, &count);
    take_span(w);
    workset_begin(&w->workset, w->meaning, &w->arena, first ? &w->cache : NULL, !first, fact, count);
    workset_watch(&w->workset, w->lost.ptr, w->lost.len);
    if (w->decisions)
        workset_decide(&w->workset, w->decision, w->decisions);
    if (w->forgetting)
        begin_forgetting(w);
    if (w->seal)
        begin_seal(w);
    enum pk_status status = gather(w, err);
    if (first && w->workset.contradicted) {
        workset_done(&w->workset);
        w->read.len = 0;
        workset_begin(&w->workset, w->meaning, &w->arena, &w->cache, true, fact, count);
        workset_watch(&w->workset, w->lost.ptr, w->lost.len);
        status = gather(w, err);
    }
    if (status != PK_OK)
        return status;
    if (w->workset.altered)
        goto again;
    size_t cells = workset_new_cells(&w->workset);
    int64_t *cell = PK_NEW_ARRAY(&w->arena, int64_t, cells + 1);
    for (size_t i = 0; i < cells; i++)
        cell[i] = ++w->store->last_cell;
    workset_save(&w->workset, cell, &w->metrics, &w->changes);
    if (w->seal && !workset_accepts_seal(&w->workset, w->seal, &w->changes))
        return pk_fail(err, PK_REJECT, "other rows would change");
    w->changes.token = ++w->store->last_token * UINT64_C(0x9E3779B97F4A7C15);
    return PK_OK;
}

/* Whatever was read must be protected, else two consumers could read each other's half. */
static enum pk_status check_reads(const struct memory_worker *w, struct pk_err *err)
{
    for (size_t i = 0; i < w->read.len; i++) {
        bool held = false;
        for (size_t g = 0; g < w->changes.guard.len && !held; g++)
            held = w->changes.guard.ptr[g].cell == w->read.ptr[i];
        if (!held)
            return pk_fail(err, PK_STOP, "rows were read under a cell that the batch does not guard");
    }
    return PK_OK;
}

/* Nothing is set aside with names that are forgotten by now, but for one that nobody had ever heard of until then. */
static enum pk_status check_set_aside(const struct memory_worker *w, struct fact *const *lost, size_t count, struct pk_err *err)
{
    struct pk_arena arena PK_AUTO(pk_arena_done) = {0};
    for (size_t i = 0; i < count; i++) {
        struct fact copy = *lost[i];
        struct forgotten *row = PK_NEW_ARRAY(&arena, struct forgotten, w->store->forgotten.len + 1);
        size_t rows = 0;
        for (size_t k = 0; k < w->store->forgotten.len; k++) {
            const struct memory_forgotten *stored = &w->store->forgotten.ptr[k];
            const struct ws_key *key = pk_map_get(&w->workset.keys, stored->row.name);
            bool about = !stored->row.single || pk_hash_eq(stored->event_hash, copy.event_hash);
            if (key && key->in_database && carries(&copy, stored->row.name) && about)
                row[rows++] = stored->row;
        }
        if (copy.forgotten || forget_apply(&copy, row, rows, &arena) != FORGET_NOTHING)
            return pk_fail(err, PK_STOP, "a copy that lost is set aside though it is forgotten, or names who is");
    }
    return PK_OK;
}

static enum pk_status commit(struct memory_worker *w, struct pk_err *err)
{
    enum pk_status status = check_reads(w, err);
    if (status == PK_OK)
        status = memory_apply(w->store, &w->changes, err);
    if (status == PK_OK)
        status = check_set_aside(w, w->lost.ptr, w->lost.len, err);
    if (status == PK_OK)
        status = check_set_aside(w, w->workset.lost.ptr, w->workset.lost.len, err);
    if (status != PK_OK)
        return status;
    w->fast += w->workset.fast;
    w->slow += w->workset.slow;
    w->batches++;
    if (w->decisions || w->forgetting || w->seal)
        return PK_OK;
    w->at.next_offset = w->changes.span->next_offset;
    workset_publish(&w->workset, &w->cache, w->changes.token);
    return PK_OK;
}

static void distrust(struct memory_worker *w)
{
    for (size_t i = 0; i < w->workset.cell_list.len && !w->trusting; i++)
        if (!w->workset.cell_list.ptr[i]->is_new)
            cache_drop(&w->cache, w->workset.cell_list.ptr[i]->id);
}

enum pk_status memory_begin(struct memory_worker *worker, struct fact **fact, size_t count, struct pk_err *err)
{
    worker->fact = fact;
    worker->facts = count;
    worker->begun = prepare(worker, true, err);
    return worker->begun == PK_STALE ? PK_OK : worker->begun;
}

enum pk_status memory_finish(struct memory_worker *worker, struct pk_err *err)
{
    enum pk_status status = worker->begun;
    if (status == PK_OK)
        status = commit(worker, err);
    if (status == PK_STALE) {
        worker->stale++;
        distrust(worker);
        status = prepare(worker, false, err);
        if (status == PK_OK)
            status = commit(worker, err);
        if (status == PK_STALE) {
            struct pk_err why = *err;
            status = pk_fail(err, PK_STOP, "a second try failed though nobody else was at work: %.300s", why.text);
        }
    }
    worker->fact = NULL;
    worker->facts = 0;
    return status;
}

enum pk_status memory_batch(struct memory_worker *worker, struct fact **fact, size_t count, struct pk_err *err)
{
    enum pk_status status = memory_begin(worker, fact, count, err);
    return status == PK_OK ? memory_finish(worker, err) : status;
}

enum pk_status memory_decide(struct memory_worker *worker, const struct change_decision *decision, size_t count,
                             struct pk_err *err)
{
    worker->decision = decision;
    worker->decisions = count;
    enum pk_status status = prepare(worker, false, err);
    if (status == PK_OK)
        status = commit(worker, err);
    worker->decision = NULL;
    worker->decisions = 0;
    return status;
}

enum pk_status memory_forget(struct memory_worker *worker, const struct change_forgetting *forgetting, struct pk_err *err)
{
    worker->forgetting = forgetting;
    worker->decision = forgetting->restore;
    worker->decisions = forgetting->restores;
    enum pk_status status = prepare(worker, false, err);
    if (status == PK_OK)
        status = commit(worker, err);
    worker->forgetting = NULL;
    worker->decision = NULL;
    worker->decisions = 0;
    return status;
}

enum pk_status memory_seal(struct memory_worker *worker, struct seal *seal, struct pk_err *err)
{
    worker->seal = seal;
    enum pk_status status = prepare(worker, false, err);
    if (status == PK_OK)
        status = commit(worker, err);
    worker->seal = NULL;
    return status;
}
