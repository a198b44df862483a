/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* qsort_r */
/* Whose each event is: its own person's, or that of the sighting from which it borrows, or nobody's but its name's.
 *
 * A sighting that is new, gone or of another person may change from whom other events borrow: those that carry one of its
 * names within reach. What is known of a name is its trace: the events that carry it, within the time that matters. */
#include "workset_inner.h"

#include <stdlib.h>

/* ---- names and how far they reach ---- */

bool ws_lends(const struct ws_key *key, uint8_t role)
{
    if (role == ROLE_PERSON)
        return (key->flags & (KEY_IS_SHARED | KEY_BLOCKED)) == KEY_IS_SHARED;
    return !(key->flags & KEY_BLOCKED);
}

int64_t ws_lookback(const struct workset *ws, const struct ws_key *key)
{
    return key->rules ? key->rules->lookback_us : ws->meaning->rules->case_gap_us;
}

int64_t ws_lookahead(const struct workset *ws, const struct ws_key *key)
{
    return key->rules ? key->rules->lookahead_us : ws->meaning->rules->case_gap_us;
}

/* ---- traces ---- */

void ws_want_trace(struct workset *ws, struct ws_key *key, int64_t from_us, int64_t to_us)
{
    struct ws_trace *trace = &key->trace;
    if (!key->traced) {
        key->traced = true;
        *pk_vec_push(&ws->traced) = key;
    }
    trace->want_from_us = trace->wanted ? PK_MIN(trace->want_from_us, from_us) : from_us;
    trace->want_to_us = trace->wanted ? PK_MAX(trace->want_to_us, to_us) : to_us;
    trace->wanted = true;
}

static void ask(struct ws_trace *trace, const struct ws_key *key, int64_t from_us, int64_t to_us)
{
    trace->asked[trace->asked_count++] = (struct store_window){key->hash, from_us, to_us};
}

/* The part of what is wanted that is not known yet: all of it, or a piece before and one after. */
static void ask_for_trace(struct ws_key *key)
{
    struct ws_trace *trace = &key->trace;
    trace->asked_count = 0;
    if (!trace->wanted)
        return;
    if (!trace->loaded) {
        ask(trace, key, trace->want_from_us, trace->want_to_us);
        trace->have_from_us = trace->want_from_us;
        trace->have_to_us = trace->want_to_us;
    } else {
        if (trace->want_from_us < trace->have_from_us) {
            ask(trace, key, trace->want_from_us, trace->have_from_us - 1);
            trace->have_from_us = trace->want_from_us;
        }
        if (trace->want_to_us > trace->have_to_us) {
            ask(trace, key, trace->have_to_us + 1, trace->want_to_us);
            trace->have_to_us = trace->want_to_us;
        }
    }
    trace->loaded = true;
    if (!key->in_database)
        trace->asked_count = 0;
}

bool ws_need_traces(struct workset *ws, struct ws_need *ret)
{
    size_t count = 0;
    struct store_window *window = NULL;
    for (size_t i = 0; i < ws->traced.len; i++) {
        struct ws_key *key = ws->traced.ptr[i];
        ask_for_trace(key);
        for (unsigned k = 0; k < key->trace.asked_count; k++) {
            if (!window)
                window = pk_arena_alloc(ws->arena, 2 * (ws->traced.len - i) * sizeof *window);
            window[count++] = key->trace.asked[k];
        }
    }
    *ret = (struct ws_need){.kind = NEED_SEEN, .window = window, .count = count};
    return count > 0;
}

static void add_to_trace(struct workset *ws, struct pk_hash name, struct ws_fact *entry)
{
    struct ws_key *key = pk_map_get(&ws->keys, name);
    if (!key || !key->traced)
        return;
    struct ws_trace *trace = &key->trace;
    for (unsigned k = 0; k < trace->asked_count; k++)
        if (entry->fact->at_us >= trace->asked[k].from_us && entry->fact->at_us <= trace->asked[k].to_us) {
            *PK_PUSH(ws->arena, trace, stored) = entry;
            trace->line_made = false;
            return; /* the pieces do not overlap */
        }
}

void workset_put_seen(struct workset *ws, const struct ws_need *need, struct fact *fact, size_t facts)
{
    (void)need;
    for (size_t i = 0; i < facts; i++) {
        struct ws_fact *entry = ws_stored(ws, &fact[i]);
        for (unsigned k = 0; k < entry->fact->person_count; k++)
            add_to_trace(ws, entry->fact->person[k].hash, entry);
        for (unsigned k = 0; k < entry->fact->device_count; k++)
            add_to_trace(ws, entry->fact->device[k].hash, entry);
        if (!pk_hash_zero(entry->fact->case_key))
            add_to_trace(ws, entry->fact->case_key, entry);
    }
}

/* ---- own persons ---- */

/* The first that is neither shared nor blocked: now, or as the database has it. */
static struct ws_key *own_person(const struct ws_fact *entry, bool before)
{
    for (unsigned i = 0; i < entry->fact->person_count; i++) {
        const struct ws_key *key = entry->person[i];
        if (before && !key->in_database)
            continue;
        if (!((before ? key->stored_flags : key->flags) & (KEY_IS_SHARED | KEY_BLOCKED)))
            return entry->person[i];
    }
    return NULL;
}

struct ws_key *ws_own_person(const struct ws_fact *entry)
{
    for (unsigned i = 0; entry->person && i < entry->fact->person_count; i++)
        if (!entry->person[i]->looked_up)
            return NULL;
    return entry->person ? own_person(entry, false) : NULL;
}

static void own_anew(struct workset *ws, struct ws_fact *entry)
{
    if (entry->owned_anew || entry->displaced)
        return;
    entry->owned_anew = true;
    *pk_vec_push(&ws->owned_anew) = entry;
}

static void evaluate(struct workset *ws, struct ws_fact *entry)
{
    if (entry->evaluated)
        return;
    entry->evaluated = true;
    *pk_vec_push(&ws->evaluated) = entry;
}

/* Of the names of a sighting those through which stored events borrow, now or before. */
static bool spreads_through(const struct ws_fact *entry, unsigned k)
{
    const struct ws_key *key = entry->key[k];
    if (!(key->stored_flags & KEY_LENDS))
        return false;
    return entry->role[k] != ROLE_PERSON || ((key->flags | key->stored_flags) & KEY_IS_SHARED);
}

/* The batch's own events, once. */
static void own_ours(struct workset *ws)
{
    for (size_t i = 0; i < ws->facts; i++) {
        struct ws_fact *entry = &ws->fact[i];
        if (entry->dropped)
            continue;
        entry->own = own_person(entry, false);
        entry->own_known = true;
    }
    ws_follow_newest(ws);
    for (size_t i = 0; i < ws->facts; i++) {
        struct ws_fact *entry = &ws->fact[i];
        bool spreads = false;
        if (entry->dropped)
            continue;
        for (unsigned k = 0; k < entry->names && entry->own; k++)
            spreads |= spreads_through(entry, k) && (entry->key[k]->tangled || !ws_lends(entry->key[k], entry->role[k]));
        if (spreads)
            *pk_vec_push(&ws->spreading) = entry;
        if (!entry->own && entry->names && !entry->quick)
            evaluate(ws, entry);
    }
    ws->ours_owned = true;
}

static bool has_flipped_name(const struct workset *ws, const struct fact *fact)
{
    const struct ws_key *key;
    for (unsigned i = 0; i < fact->person_count; i++)
        if ((key = pk_map_get(&ws->keys, fact->person[i].hash)) && key->flipped)
            return true;
    for (unsigned i = 0; i < fact->device_count; i++)
        if ((key = pk_map_get(&ws->keys, fact->device[i].hash)) && key->flipped)
            return true;
    return false;
}

static void want_flipped_traces(struct workset *ws)
{
    for (size_t i = 0; i < ws->pulled.len; i++)
        if (ws->pulled.ptr[i]->flipped)
            ws_want_trace(ws, ws->pulled.ptr[i], INT64_MIN, INT64_MAX);
    for (size_t i = 0; i < ws->decisions; i++) {
        struct ws_key *key = pk_map_get(&ws->keys, ws->decision[i].a);
        if (key->flipped)
            ws_want_trace(ws, key, INT64_MIN, INT64_MAX);
    }
}

/* Stored events that carry a person or device whose meaning changed, or whose customer did. True if keys were added. */
static bool own_stored(struct workset *ws)
{
    size_t keys = ws->key_list.len;
    for (size_t i = 0; i < ws->traced.len; i++) {
        struct ws_key *key = ws->traced.ptr[i];
        for (uint32_t k = 0; k < key->trace.stored_count && key->flipped; k++)
            own_anew(ws, key->trace.stored[k]);
    }
    for (size_t i = 0; i < ws->owned_anew.len; i++) {
        struct ws_fact *entry = ws->owned_anew.ptr[i];
        if (entry->own_known)
            continue;
        ws_take_persons(ws, entry);
        if (!pk_hash_zero(entry->fact->stored_sighted))
            ws_key_of(ws, entry->fact->stored_sighted, KEY_PERSON);
    }
    if (ws->key_list.len != keys)
        return true;
    for (size_t i = 0; i < ws->owned_anew.len; i++) {
        struct ws_fact *entry = ws->owned_anew.ptr[i];
        if (entry->own_known)
            continue;
        const struct ws_key *before = ws_was_own(entry->fact) ? own_person(entry, true) : NULL;
        bool flipped = has_flipped_name(ws, entry->fact);
        entry->own = own_person(entry, false);
        entry->own_known = true;
        if ((before || entry->own) && (before != entry->own || flipped))
            *pk_vec_push(&ws->spreading) = entry;
        if (!entry->own && (before || flipped))
            evaluate(ws, entry);
    }
    return false;
}

/* ---- what a changed sighting changes ---- */

/* What is known of the newest events of their names may be so no more. True if keys were added. */
static bool touch_names(struct workset *ws, struct ws_fact *const *entry, size_t count)
{
    size_t keys = ws->key_list.len;
    for (size_t i = 0; i < count; i++) {
        ws_take_keys(ws, entry[i]);
        for (unsigned k = 0; k < entry[i]->names; k++)
            entry[i]->key[k]->touched |= entry[i]->stored;
    }
    return ws->key_list.len != keys;
}

bool ws_borrows(const struct ws_fact *entry)
{
    return entry->own_known ? !entry->own : !ws_was_own(entry->fact);
}

/* As far as sightings and what borrows from them can be apart; and to the end, so that the newest events of the name are
 * known afterwards, but for a name of many, which may have many. */
static void want_around(struct workset *ws, struct ws_key *key, int64_t at_us)
{
    enum { MANY = 64 };
    int64_t reach = PK_MAX(ws_lookback(ws, key), ws_lookahead(ws, key));
    ws_want_trace(ws, key, at_us - reach, key->stored_users > MANY ? at_us + reach : INT64_MAX);
}

static bool need_spreading(struct workset *ws, struct ws_need *ret)
{
    *ret = (struct ws_need){.kind = NEED_NOTHING};
    for (size_t i = 0; i < ws->spreading.len; i++) {
        struct ws_fact *entry = ws->spreading.ptr[i];
        for (unsigned k = 0; k < entry->names && !entry->spread; k++)
            if (spreads_through(entry, k))
                want_around(ws, entry->key[k], entry->fact->at_us);
    }
    return ws_need_traces(ws, ret);
}

static void spread_through(struct workset *ws, const struct ws_key *key, int64_t at_us)
{
    int64_t from_us = at_us - ws_lookahead(ws, key), to_us = at_us + ws_lookback(ws, key);
    for (uint32_t i = 0; i < key->trace.stored_count; i++) {
        struct ws_fact *other = key->trace.stored[i];
        if (other->fact->at_us >= from_us && other->fact->at_us <= to_us && !other->displaced && ws_borrows(other))
            evaluate(ws, other);
    }
}

static void spread(struct workset *ws)
{
    for (size_t i = 0; i < ws->spreading.len; i++) {
        struct ws_fact *entry = ws->spreading.ptr[i];
        for (unsigned k = 0; k < entry->names && !entry->spread; k++)
            if (spreads_through(entry, k))
                spread_through(ws, entry->key[k], entry->fact->at_us);
        entry->spread = true;
    }
}

/* ---- from whom an event borrows ---- */

static bool need_reach(struct workset *ws, struct ws_need *ret)
{
    *ret = (struct ws_need){.kind = NEED_NOTHING};
    if (touch_names(ws, ws->evaluated.ptr, ws->evaluated.len))
        return true;
    for (size_t i = 0; i < ws->evaluated.len; i++) {
        const struct ws_fact *entry = ws->evaluated.ptr[i];
        for (unsigned k = 0; k < entry->names; k++)
            if (ws_lends(entry->key[k], entry->role[k]))
                want_around(ws, entry->key[k], entry->fact->at_us);
    }
    return ws_need_traces(ws, ret);
}

static int compare_entries(const void *left, const void *right, void *symbols)
{
    return fact_cmp(symbols, (*(struct ws_fact *const *)left)->fact, (*(struct ws_fact *const *)right)->fact);
}

void ws_make_line(struct workset *ws, struct ws_key *key)
{
    struct ws_trace *trace = &key->trace;
    if (trace->line_made)
        return;
    trace->line_made = true;
    trace->line_count = 0;
    trace->line = pk_arena_alloc(ws->arena, (trace->stored_count + key->ours_count + 1) * sizeof *trace->line);
    for (uint32_t i = 0; i < trace->stored_count; i++)
        if (!trace->stored[i]->displaced)
            trace->line[trace->line_count++] = trace->stored[i];
    for (uint32_t i = 0; i < key->ours_count; i++)
        if (!key->ours[i]->dropped)
            trace->line[trace->line_count++] = key->ours[i];
    qsort_r(trace->line, trace->line_count, sizeof *trace->line, compare_entries, (void *)ws->meaning->symbols);
    trace->sighting_before = pk_arena_alloc(ws->arena, (trace->line_count + 1) * sizeof *trace->line);
    trace->sighting_after = pk_arena_alloc(ws->arena, (trace->line_count + 1) * sizeof *trace->line);
    struct ws_fact *last = NULL;
    for (uint32_t i = 0; i < trace->line_count; i++)
        trace->sighting_before[i] = last = ws_borrows(trace->line[i]) ? last : trace->line[i];
    last = NULL;
    for (uint32_t i = trace->line_count; i-- > 0;)
        trace->sighting_after[i] = last = ws_borrows(trace->line[i]) ? last : trace->line[i];
}

/* The number of events of the line that are not after this time. */
static uint32_t until(const struct ws_trace *trace, int64_t at_us)
{
    uint32_t low = 0, high = trace->line_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (trace->line[middle]->fact->at_us <= at_us)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct best {
    struct ws_fact *before, *after;
};

static void look_at_name(struct workset *ws, struct ws_key *key, int64_t at_us, struct best *best)
{
    const struct symbols *symbols = ws->meaning->symbols;
    const struct ws_trace *trace = &key->trace;
    ws_make_line(ws, key);
    uint32_t middle = until(trace, at_us);
    struct ws_fact *before = middle > 0 ? trace->sighting_before[middle - 1] : NULL;
    struct ws_fact *after = middle < trace->line_count ? trace->sighting_after[middle] : NULL;
    if (before && at_us - before->fact->at_us <= ws_lookback(ws, key) &&
        (!best->before || fact_cmp(symbols, before->fact, best->before->fact) > 0))
        best->before = before;
    if (after && after->fact->at_us - at_us <= ws_lookahead(ws, key) &&
        (!best->after || fact_cmp(symbols, after->fact, best->after->fact) < 0))
        best->after = after;
}

/* Devices, then shared persons, then the case. */
void ws_belong_to_name(const struct ws_fact *entry)
{
    static const struct {
        enum role role;
        enum key_kind kind;
    } order[] = {{ROLE_DEVICE, KEY_DEVICE}, {ROLE_PERSON, KEY_SHARED}, {ROLE_CASE, KEY_CASE}};
    struct fact *fact = entry->fact;
    fact->sighted = fact->customer = (struct pk_hash){{0}};
    for (size_t i = 0; i < PK_COUNT(order); i++)
        for (unsigned k = 0; k < entry->names; k++)
            if (entry->role[k] == order[i].role && ws_lends(entry->key[k], entry->role[k])) {
                fact->customer = entry->key[k]->hash;
                fact->customer_kind = order[i].kind;
                return;
            }
}

/* True if the persons of the winning sighting must be looked up first. */
static bool borrow(struct workset *ws, struct ws_fact *entry)
{
    struct best best = {0};
    for (unsigned k = 0; k < entry->names; k++)
        if (ws_lends(entry->key[k], entry->role[k]))
            look_at_name(ws, entry->key[k], entry->fact->at_us, &best);
    struct ws_fact *winner = best.before ? best.before : best.after;
    entry->had_sighting = false;
    if (!winner) {
        ws_belong_to_name(entry);
        return false;
    }
    if (!winner->own_known) {
        size_t keys = ws->key_list.len;
        ws_take_persons(ws, winner);
        if (ws->key_list.len != keys)
            return true;
        for (unsigned i = 0; i < winner->fact->person_count; i++)
            if (!winner->person[i]->looked_up)
                return true;
    }
    const struct ws_key *own = own_person(winner, false);
    entry->had_sighting = best.before != NULL;
    entry->fact->sighted = own ? own->hash : (struct pk_hash){{0}};
    entry->fact->customer = own ? own->customer : (struct pk_hash){{0}};
    entry->fact->customer_kind = KEY_PERSON;
    return false;
}

/* ---- the answer ---- */

static void answer(struct workset *ws, struct ws_fact *entry)
{
    struct fact *fact = entry->fact;
    if (entry->own) {
        fact->customer = entry->own->customer;
        fact->customer_kind = KEY_PERSON;
        fact->sighted = (struct pk_hash){{0}};
    } else if (!entry->evaluated && !pk_hash_zero(fact->sighted)) { /* from whom it borrows stays, or is known */
        const struct ws_key *own = ws_key_of(ws, fact->sighted, KEY_PERSON);
        fact->customer = own->customer;
        ws->contradicted |= pk_hash_zero(own->customer);
    }
    if (!entry->stored || entry->moved)
        return;
    if (pk_hash_eq(fact->customer, fact->stored_customer) && pk_hash_eq(fact->sighted, fact->stored_sighted) &&
        (pk_hash_zero(fact->customer) || fact->customer_kind == fact->stored_kind))
        return;
    entry->moved = true;
    *pk_vec_push(&ws->moved) = entry;
    ws_take_keys(ws, entry);
    struct ws_customer *before = NULL, *after = NULL;
    if (!pk_hash_zero(fact->stored_customer))
        before = ws_customer_of(ws, fact->stored_customer, fact->stored_kind);
    if (!pk_hash_zero(fact->customer))
        after = ws_customer_of(ws, fact->customer, fact->customer_kind);
    if (before && after)
        ws_join(before, after);
    else if (before || after)
        (before ? before : after)->slow = true;
}

/* Stored copies that lose are sightings no more. */
static void spread_displaced(struct workset *ws)
{
    for (size_t i = 0; i < ws->displaced.len; i++) {
        struct ws_fact *entry = ws->displaced.ptr[i];
        if (!entry->gone && ws_was_own(entry->fact))
            *pk_vec_push(&ws->spreading) = entry;
        entry->gone = true;
        touch_names(ws, &entry, 1);
    }
}

bool ws_own(struct workset *ws, struct ws_need *ret)
{
    size_t keys = ws->key_list.len;
    spread_displaced(ws);
    want_flipped_traces(ws);
    if (ws_need_traces(ws, ret))
        return true;
    *ret = (struct ws_need){.kind = NEED_NOTHING};
    if (own_stored(ws) || touch_names(ws, ws->spreading.ptr, ws->spreading.len))
        return true;
    if (!ws->ours_owned)
        own_ours(ws);
    if (ws->key_list.len != keys || need_spreading(ws, ret))
        return true;
    spread(ws);
    if (need_reach(ws, ret))
        return true;
    *ret = (struct ws_need){.kind = NEED_NOTHING};
    bool wait = false;
    for (size_t i = 0; i < ws->evaluated.len; i++)
        if (!ws->evaluated.ptr[i]->own)
            wait |= borrow(ws, ws->evaluated.ptr[i]);
    if (wait)
        return true;
    for (size_t i = 0; i < ws->facts; i++)
        if (ws->fact[i].own || ws->fact[i].quick)
            answer(ws, &ws->fact[i]);
    for (size_t i = 0; i < ws->owned_anew.len; i++)
        answer(ws, ws->owned_anew.ptr[i]);
    for (size_t i = 0; i < ws->evaluated.len; i++)
        answer(ws, ws->evaluated.ptr[i]);
    return ws->key_list.len != keys;
}
