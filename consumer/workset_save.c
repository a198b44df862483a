/* SPDX-License-Identifier: Apache-2.0 */
/* From a complete workset to rows: groups of the slow path, keys, cells, customers, events; and what the cache keeps. */
#include "workset_inner.h"

#include <stdlib.h>

/* ---- saving: groups of the slow path ---- */

struct group_build {
    struct group group;
    size_t cap, stored_cap; /* of group.fact and group.stored_fact */
    struct group_result result;
    size_t journeys, obligations, carries;
};

static void add_to(struct pk_arena *arena, struct fact ***list, size_t *count, size_t *cap, struct fact *fact)
{
    if (*count == *cap) {
        uint32_t grown;
        *list = pk_arena_grow(arena, *list, (uint32_t)*count, sizeof **list, &grown);
        *cap = grown;
    }
    (*list)[(*count)++] = fact;
}

static void add_group_fact(struct pk_arena *arena, struct group_build *build, struct fact *fact)
{
    add_to(arena, &build->group.fact, &build->group.facts, &build->cap, fact);
}

static void add_stored_fact(struct pk_arena *arena, struct group_build *build, struct fact *fact)
{
    add_to(arena, &build->group.stored_fact, &build->group.stored_facts, &build->stored_cap, fact);
}

/* By a decision: all its names are blocked now. */
static bool lost_customer(const struct ws_fact *entry)
{
    return entry->moved && pk_hash_zero(entry->fact->customer);
}

static void collect_facts(struct workset *ws, struct pk_map *builds)
{
    for (size_t i = 0; i < ws->customer_list.len; i++) {
        struct ws_customer *customer = ws->customer_list.ptr[i];
        if (!customer->slow)
            continue;
        struct ws_customer *root = ws_root(customer);
        struct group_build *build = pk_map_get(builds, root->id);
        if (!build) {
            build = PK_NEW(ws->arena, struct group_build);
            pk_map_put(builds, root->id, build);
        }
        for (uint32_t f = 0; f < customer->stored_count; f++) {
            add_stored_fact(ws->arena, build, customer->stored[f]->fact);
            if (!customer->stored[f]->displaced && !lost_customer(customer->stored[f]))
                add_group_fact(ws->arena, build, customer->stored[f]->fact);
        }
        for (uint32_t f = 0; f < customer->fact_count; f++)
            if (!customer->fact[f]->dropped)
                add_group_fact(ws->arena, build, customer->fact[f]->fact);
    }
}

static struct group_build *build_of(struct workset *ws, struct pk_map *builds, struct pk_hash customer_id)
{
    struct ws_customer *customer = pk_map_get(&ws->customers, customer_id);
    return customer && customer->slow ? pk_map_get(builds, ws_root(customer)->id) : NULL;
}

/* An event without a customer belongs to the group of those who use the key that it names. */
static bool collect_nameless(struct workset *ws, struct pk_map *builds, struct fact *fact)
{
    struct ws_key *key =
        pk_hash_zero(fact->relates) ? NULL : pk_map_get(&ws->keys, fact_key(fact->relates, KEY_OBLIGATION));
    for (uint32_t u = 0; key && u < key->user_count; u++) {
        struct group_build *build =
            ws_is_former(ws, key->user[u]) ? NULL : build_of(ws, builds, key->user[u]);
        if (build) {
            add_group_fact(ws->arena, build, fact);
            return true;
        }
    }
    return false;
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

static void collect_carries(struct workset *ws, struct pk_map *builds)
{
    for (int fill = 0; fill < 2; fill++) {
        for (size_t i = 0; i < ws->customer_list.len; i++) {
            const struct ws_customer *customer = ws->customer_list.ptr[i];
            struct group_build *build = customer->carry.events ? build_of(ws, builds, customer->id) : NULL;
            if (build && fill)
                ((struct group_carry *)build->group.carry)[build->group.carries++] =
                    (struct group_carry){customer->id, customer->carry_was, customer->carry};
            else if (build)
                build->carries++;
        }
        if (fill)
            break;
        PK_MAP_EACH(builds, e)
        {
            struct group_build *build = e->value;
            if (build->carries)
                build->group.carry = PK_NEW_ARRAY(ws->arena, struct group_carry, build->carries);
        }
    }
}

/* What an explicit record names may be sealed: its key says so. */
static void note_sealed_promises(const struct workset *ws, const struct group *group)
{
    for (size_t i = 0; i < group->facts; i++) {
        struct fact *fact = group->fact[i];
        const struct ws_key *key =
            fact->has_promise ? pk_map_get(&ws->keys, fact_key(fact->promise.id, KEY_OBLIGATION)) : NULL;
        fact->promise_sealed = key && key->flags & KEY_SEALED;
    }
}

static void derive_groups(struct workset *ws, struct metrics *metrics, struct changes *changes)
{
    struct pk_map builds = {0};
    collect_facts(ws, &builds);
    for (size_t i = 0; i < ws->nameless.len; i++)
        if (pk_hash_zero(ws->nameless.ptr[i]->customer))
            collect_nameless(ws, &builds, ws->nameless.ptr[i]);
    for (size_t i = 0; i < ws->facts; i++)
        if (!ws->fact[i].customer && !ws->fact[i].dropped)
            collect_nameless(ws, &builds, ws->fact[i].fact);
    for (size_t i = 0; i < ws->moved.len; i++) {
        struct ws_fact *entry = ws->moved.ptr[i];
        bool found = pk_hash_zero(entry->fact->stored_customer); /* by a restore */
        if (!found && (!lost_customer(entry) || collect_nameless(ws, &builds, entry->fact)))
            continue;
        struct group_build *build =
            build_of(ws, &builds, found ? entry->fact->customer : entry->fact->stored_customer);
        add_group_fact(ws->arena, build, entry->fact);
    }
    collect_stored_rows(ws, &builds);
    collect_carries(ws, &builds);
    PK_MAP_EACH(&builds, e)
    {
        struct group_build *build = e->value;
        note_sealed_promises(ws, &build->group);
        derive_group(ws->meaning, ws->arena, &build->group, &build->result, changes, metrics);
        *pk_vec_push(&ws->groups) = &build->result;
        ws->slow += build->group.facts;
        for (size_t c = 0; c < build->result.customers; c++) {
            struct ws_customer *customer = pk_map_get(&ws->customers, build->result.customer[c].id);
            customer->result = &build->result.customer[c];
            customer->result_group = &build->result;
        }
        for (size_t f = 0; f < build->group.facts; f++) {
            const struct fact *fact = build->group.fact[f];
            struct ws_customer *customer = pk_map_get(&ws->customers, fact->customer);
            if (customer)
                customer->kind = fact->customer_kind;
        }
    }
    pk_map_done(&builds);
}

/* ---- saving: keys and cells ---- */

static void make_cell(struct workset *ws, struct ws_key *key)
{
    key->cell = PK_NEW(ws->arena, struct ws_cell);
    key->cell->is_new = true;
    *pk_vec_push(&ws->cell_list) = key->cell;
}

/* New keys join the cell of their event's customer. Not a kiosk: everybody would join one by one. */
static void choose_cells(struct workset *ws, const struct ws_fact *entry)
{
    struct ws_key *owner = entry->customer ? entry->customer->key : NULL;
    if (owner && !owner->cell)
        make_cell(ws, owner);
    for (size_t k = 0; k < entry->key_count; k++) {
        struct ws_key *key = entry->key[k];
        if (key->cell)
            continue;
        if (owner && !(key->rules && key->rules->class_ == RULES_KIOSK))
            key->cell = owner->cell;
        else
            make_cell(ws, key);
    }
}

static size_t count_new_cells(struct workset *ws, const int64_t *id)
{
    size_t used = 0;
    for (size_t i = 0; i < ws->facts; i++)
        if (!ws->fact[i].dropped)
            choose_cells(ws, &ws->fact[i]);
    for (size_t i = 0; i < ws->moved.len; i++)
        choose_cells(ws, ws->moved.ptr[i]);
    for (size_t i = 0; i < ws->decisions; i++)
        for (int end = 0; end < 2; end++) {
            struct ws_key *key = pk_map_get(&ws->keys, end ? ws->decision[i].b : ws->decision[i].a);
            if (key && !key->cell)
                make_cell(ws, key);
        }
    for (size_t i = 0; ws->forgetting && i < ws->key_list.len; i++)
        if (ws->key_list.ptr[i]->forgotten && !ws->key_list.ptr[i]->cell)
            make_cell(ws, ws->key_list.ptr[i]);
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

/* Through the names of an event that borrows others will have to ask for it. */
static void mark_borrower(const struct ws_fact *entry)
{
    if (entry->own || pk_hash_zero(entry->fact->customer))
        return;
    for (unsigned k = 0; k < entry->names; k++)
        entry->key[k]->flags |= KEY_LENDS;
}

static void add_users(struct workset *ws, const struct ws_fact *entry)
{
    for (size_t k = 0; k < entry->key_count; k++)
        ws_add_user(ws, entry->key[k], entry->fact->customer);
}

static void save_new_key(const struct ws_key *key, struct changes *changes)
{
    bool named = key->kind == KEY_PERSON || key->kind == KEY_DEVICE;
    *pk_vec_push(&changes->key) = (struct change_key){
        .hash = key->hash,
        .kind = key->kind,
        .name_space = named ? key->name_space : 0,
        .cell = key->cell->id,
        .owner = key->user_count ? key->user[0] : (struct pk_hash){{0}},
        .flags = key->flags,
        .first_at_us = key->first_at_us,
        .customer = key->customer,
        .value = key->value,
    };
}

static void save_keys(struct workset *ws, struct changes *changes)
{
    /* Users of this batch again, without the events that turned out to be duplicates. */
    for (size_t i = 0; i < ws->key_list.len; i++)
        ws->key_list.ptr[i]->user_count = ws->key_list.ptr[i]->stored_users;
    for (size_t i = 0; i < ws->facts; i++)
        if (!ws->fact[i].dropped)
            add_users(ws, &ws->fact[i]);
    for (size_t i = 0; i < ws->moved.len; i++)
        add_users(ws, ws->moved.ptr[i]);
    for (size_t i = 0; i < ws->key_list.len; i++) {
        const struct ws_key *key = ws->key_list.ptr[i];
        if (!key->in_database && (key->user_count || key->decided || key->forgotten))
            save_new_key(key, changes);
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
    with_record = with_record && fact->record_value.ptr; /* names were taken out of it: forget_apply */
    *pk_vec_push(&changes->quarantine) = (struct change_quarantine){
        .topic = fact->topic_name,
        .partition = fact->partition,
        .offset = fact->offset,
        .reason = REJECT_CONFLICTING_DUPLICATE,
        .source = fact->source,
        .detail = PK_STR("another copy of the event has the smaller content hash"),
        .received_at_us = fact->received_at_us,
        .key = with_record ? fact->record_key : (struct pk_bytes){0},
        .value = with_record ? fact->record_value : (struct pk_bytes){0},
        .headers = with_record ? fact->record_headers : NULL,
        .partial = !with_record,
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
        struct fact *fact = ws->displaced.ptr[i]->fact;
        *pk_vec_push(&changes->replaced) = fact;
        metrics_add_event(metrics, fact, -1);
        if (!ws->forgetting && !ws->sealing)
            quarantine_duplicate(fact, false, changes);
    }
    for (size_t i = 0; i < ws->lost.len; i++)
        quarantine_duplicate(ws->lost.ptr[i], true, changes);
}

/* Of one of whose events none are left. */
static void needs_of_sealed(const struct ws_customer *customer, struct needs *ret_was, struct needs *ret_is)
{
    needs_init(ret_was);
    needs_init(ret_is);
    needs_carry(ret_was, &customer->carry_was);
    needs_carry(ret_is, &customer->carry);
    for (uint32_t i = 0; i < customer->stored_count; i++) {
        const struct fact *fact = customer->stored[i]->fact;
        if (fact->traits & TRAIT(PURCHASE))
            needs_carry(ret_was, &(struct carry){.purchases = 1, .first_purchase_at_us = fact->at_us, .last_purchase_at_us = fact->at_us});
    }
}

/* Its purchases before this batch and after. False if it was not derived. */
static bool purchases_of(const struct ws_customer *customer, struct change_customer *ret_before,
                         struct change_customer *ret_after)
{
    const struct needs *was = NULL, *is = NULL;
    struct needs sealed_was, sealed_is;
    enum key_kind kind = customer->kind;
    if (customer->slow && customer->result) {
        is = &customer->result->journeys.needs;
        was = &customer->result_group->was[customer->result - customer->result_group->customer];
    } else if (!customer->slow && customer->derivation) {
        is = &customer->derivation->now.journeys.needs;
        was = customer->state ? &customer->state->journeys.needs : NULL;
    } else if (customer->carry.events) {
        needs_of_sealed(customer, &sealed_was, &sealed_is);
        is = &sealed_is;
        was = &sealed_was;
        kind = (enum key_kind)customer->carry.kind;
    }
    const struct needs *side[] = {was, is};
    struct change_customer *row[] = {ret_before, ret_after};
    for (int i = 0; i < 2; i++)
        *row[i] = (struct change_customer){
            .id = customer->id,
            .kind = kind,
            .name_space = kind == KEY_CASE ? 0 : customer->key->name_space,
            .purchases = side[i] ? side[i]->purchases : 0,
            .first_purchase_at_us = side[i] ? side[i]->first_purchase_at_us : PK_NO_TIME,
            .last_purchase_at_us = side[i] ? side[i]->last_purchase_at_us : PK_NO_TIME,
        };
    return is != NULL;
}

static bool same_purchases(const struct change_customer *a, const struct change_customer *b)
{
    return a->purchases == b->purchases && a->first_purchase_at_us == b->first_purchase_at_us &&
           a->last_purchase_at_us == b->last_purchase_at_us;
}

static bool same_carry(const struct carry *a, const struct carry *b)
{
    return a->events == b->events && a->purchases == b->purchases && a->first_purchase_at_us == b->first_purchase_at_us &&
           a->last_purchase_at_us == b->last_purchase_at_us && a->kind == b->kind;
}

/* Has it a row? Of the fast path: a state that is known is one of events. A person that is shared now, or no more, stays a
 * customer's id, but of another kind. */
static void save_customer(const struct ws_customer *customer, struct changes *changes)
{
    bool before = customer->slow ? customer->stored_count > 0 || customer->carry_was.events : customer->state != NULL;
    bool now = customer->slow ? customer->result != NULL || customer->carry.events : before;
    for (uint32_t f = 0; f < customer->fact_count; f++)
        now |= !customer->fact[f]->dropped;
    struct change_customer was, is;
    bool derived = purchases_of(customer, &was, &is), changed = false;
    if (before && customer->slow)
        changed = (customer->stored_count ? customer->stored[0]->fact->stored_kind
                                          : (enum key_kind)customer->carry_was.kind) != is.kind;
    if (before && (!now || changed))
        *pk_vec_push(&changes->customer_gone) = customer->id;
    if (now && (!before || changed))
        *pk_vec_push(&changes->customer) = is;
    else if (now && derived && !same_purchases(&was, &is))
        *pk_vec_push(&changes->customer_purchases) = is;
    if (now && ((changed && customer->carry.events) || !same_carry(&customer->carry, &customer->carry_was)))
        *pk_vec_push(&changes->carry) = (struct store_carry){customer->id, customer->carry};
}

static void save_customers(struct workset *ws, struct changes *changes)
{
    for (size_t i = 0; i < ws->customer_list.len; i++)
        save_customer(ws->customer_list.ptr[i], changes);
}

/* ---- saving: the order in which rows are locked ---- */

#define COMPARE_HASH(name, type, member)                                                                             \
    static int name(const void *left, const void *right)                                                             \
    {                                                                                                                \
        return pk_hash_cmp(((const type *)left)->member, ((const type *)right)->member);                             \
    }
COMPARE_HASH(compare_key, struct change_key, hash)
COMPARE_HASH(compare_key_state, struct change_key_state, hash)
COMPARE_HASH(compare_value, struct change_value, hash)
COMPARE_HASH(compare_customer, struct change_customer, id)
COMPARE_HASH(compare_carry, struct store_carry, customer)
COMPARE_HASH(compare_sealed_at, struct change_sealed_at, hash)

static int compare_course(const void *left, const void *right)
{
    const struct change_course *a = left, *b = right;
    int order = pk_hash_cmp(a->journey->id, b->journey->id);
    uint32_t x = a->course->definition, y = b->course->definition;
    return order ? order : (x > y) - (x < y);
}
static int compare_course_gone(const void *left, const void *right)
{
    const struct change_course_gone *a = left, *b = right;
    int order = pk_hash_cmp(a->journey, b->journey);
    return order ? order : (a->definition > b->definition) - (a->definition < b->definition);
}
static int compare_hash(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(struct pk_hash));
}
static int compare_sighting(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(struct change_sighting));
}
static int compare_meeting(const void *left, const void *right)
{
    const struct change_meeting *a = left, *b = right;
    int order = pk_hash_cmp(a->person, b->person);
    return order ? order : pk_hash_cmp(a->meeting->id, b->meeting->id);
}
static int compare_guard(const void *left, const void *right)
{
    const struct change_guard *a = left, *b = right;
    return (a->cell > b->cell) - (a->cell < b->cell);
}
static int compare_move(const void *left, const void *right)
{
    const struct change_move *a = left, *b = right;
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

void ws_sort_changes(struct changes *changes)
{
    SORT(changes->guard, compare_guard);
    SORT(changes->key, compare_key);
    SORT(changes->key_state, compare_key_state);
    SORT(changes->value, compare_value);
    SORT(changes->meeting_new, compare_meeting);
    SORT(changes->meeting_first, compare_meeting);
    SORT(changes->meeting_gone, compare_meeting);
    SORT(changes->sighting, compare_sighting);
    SORT(changes->customer, compare_customer);
    SORT(changes->customer_purchases, compare_customer);
    SORT(changes->customer_gone, compare_hash);
    SORT(changes->replaced, ws_compare_stored);
    SORT(changes->fact, ws_compare_stored);
    SORT(changes->move, compare_move);
    SORT(changes->journey, compare_journey);
    SORT(changes->journey_gone, compare_hash);
    SORT(changes->obligation, compare_obligation);
    SORT(changes->obligation_gone, compare_hash);
    SORT(changes->course_new, compare_course);
    SORT(changes->course, compare_course);
    SORT(changes->course_gone, compare_course_gone);
    SORT(changes->journey_sealed, compare_hash);
    SORT(changes->obligation_sealed, compare_hash);
    SORT(changes->carry, compare_carry);
    SORT(changes->sealed_at, compare_sealed_at);
    SORT(changes->meeting_sealed, compare_meeting);
}

void workset_save(struct workset *ws, const int64_t *new_cell, struct metrics *metrics, struct changes *changes)
{
    count_new_cells(ws, new_cell);
    for (size_t i = 0; i < ws->facts; i++)
        if (!ws->fact[i].dropped)
            mark_borrower(&ws->fact[i]);
    for (size_t i = 0; i < ws->evaluated.len; i++)
        mark_borrower(ws->evaluated.ptr[i]);
    for (size_t i = 0; i < ws->customer_list.len; i++) {
        struct ws_customer *customer = ws->customer_list.ptr[i];
        if (customer->slow || !customer->derivation)
            continue;
        derive_save(customer->derivation, changes, metrics);
        customer->kind = customer->fact[0]->fact->customer_kind;
        for (uint32_t f = 0; f < customer->fact_count; f++)
            ws->fast += !customer->fact[f]->dropped;
    }
    derive_groups(ws, metrics, changes);
    save_facts(ws, metrics, changes);
    save_customers(ws, changes);
    save_keys(ws, changes);
    ws_save_identity(ws, changes);
    if (ws->forgetting)
        ws_save_forgetting(ws, changes);
    metrics_collect(metrics, changes);
    ws_sort_changes(changes);
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

/* The meetings that begin with this person, old and new. */
static void publish_meetings(struct workset *ws, const struct ws_key *key, struct cache_key *ret)
{
    size_t most = key->known_meetings + key->meeting_count, count = 0;
    struct cache_meeting *list = most ? pk_arena_alloc(ws->arena, most * sizeof *list) : NULL;
    for (uint32_t i = 0; i < key->known_meetings; i++)
        if (!pk_map_get(&ws->meetings, key->known_meeting[i].id))
            list[count++] = key->known_meeting[i];
    for (uint32_t i = 0; i < key->meeting_count; i++) {
        const struct ws_meeting *meeting = key->meeting[i];
        if (meeting->person[0] == key && !meeting->gone)
            list[count++] = (struct cache_meeting){meeting->row.id, meeting->row.first_at_us};
    }
    ret->meeting = list;
    ret->meeting_count = (uint32_t)count;
}

static void publish_key(struct workset *ws, struct cache *cache, struct ws_key *key)
{
    struct cache_key now = {
        .hash = key->hash,
        .kind = key->kind,
        .name_space = key->name_space,
        .flags = key->flags,
        .first_at_us = key->first_at_us,
        .sealed_at_us = key->sealed_at_us,
        .customer = key->customer,
        .user = key->user,
        .user_count = key->user_count,
    };
    struct cache_newest newest;
    publish_meetings(ws, key, &now);
    if (ws_newest_after(ws, key, &newest))
        now.newest = &newest;
    const struct ws_customer *customer = pk_map_get(&ws->customers, key->hash);
    size_t bytes = 0;
    bool keep = !customer;
    struct customer *state = customer ? state_after(customer, &keep, &bytes) : NULL;
    cache_put_key(cache, cache_cell(cache, key->cell->id), &now, keep, state, bytes);
}

void workset_publish(struct workset *ws, struct cache *cache, uint64_t token)
{
    for (size_t i = 0; i < ws->cell_list.len; i++) {
        const struct ws_cell *cell = ws->cell_list.ptr[i];
        const struct cache_cell *held = cache_cell(cache, cell->id);
        if (held && held->version != cell->version)
            cache_drop(cache, cell->id);
    }
    for (size_t i = 0; i < ws->cell_list.len; i++)
        cache_put_cell(cache, ws->cell_list.ptr[i]->id, token);
    for (size_t i = 0; i < ws->key_list.len; i++) {
        struct ws_key *key = ws->key_list.ptr[i];
        if (!key->cell || (!key->in_database && key->user_count == 0 && !key->decided))
            continue;
        publish_key(ws, cache, key);
    }
    cache_evict(cache);
}
