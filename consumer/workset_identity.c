/* SPDX-License-Identifier: Apache-2.0 */
/* Whom the identifiers mean, after this batch.
 *
 * An event tells something new about that only if it brings a person or a set of persons (a meeting) that was not
 * met before, or is earlier than the first event that had them. Then the components of its persons are *pulled*: all
 * their meetings are loaded, until that leads to no further person, and they are solved again. */
#include "workset_inner.h"

#include <stdlib.h>

static void pull(struct workset *ws, struct ws_key *key)
{
    if (key->pulled)
        return;
    key->pulled = true;
    ws->unsolved = true;
    *pk_vec_push(&ws->pulled) = key;
}

/* ---- meetings ---- */

static struct ws_meeting *add_meeting(struct workset *ws, const struct store_meeting *row)
{
    struct ws_meeting *meeting = PK_NEW(ws->arena, struct ws_meeting);
    meeting->row = *row;
    meeting->person = pk_arena_alloc(ws->arena, row->count * sizeof *meeting->person);
    for (uint32_t i = 0; i < row->count; i++) {
        struct ws_key *key = ws_key_of(ws, row->person[i], KEY_PERSON);
        if (!key->rules) {
            key->name_space = row->name_space[i];
            key->rules = fact_namespace(ws->meaning->rules, symbol_text(ws->meaning->symbols, key->name_space));
        }
        meeting->person[i] = key;
        *PK_PUSH(ws->arena, key, meeting) = meeting;
    }
    pk_map_put(&ws->meetings, row->id, meeting);
    *pk_vec_push(&ws->meeting_list) = meeting;
    return meeting;
}

static struct ws_meeting *meeting_of_fact(struct workset *ws, struct pk_hash id, const struct fact *fact)
{
    struct store_meeting row = {
        .id = id,
        .count = fact->person_count,
        .person = pk_arena_alloc(ws->arena, fact->person_count * sizeof *row.person),
        .name_space = pk_arena_alloc(ws->arena, fact->person_count * sizeof *row.name_space),
        .first_at_us = fact->at_us,
        .first_sequence = fact->sequence,
        .first_source = fact->source,
        .first_event_id = fact->event_id,
    };
    for (unsigned i = 0; i < fact->person_count; i++) {
        row.person[i] = fact->person[i].hash;
        row.name_space[i] = fact->person[i].name_space;
    }
    return add_meeting(ws, &row);
}

static void set_first(struct ws_meeting *meeting, const struct fact *fact)
{
    meeting->row.first_at_us = fact->at_us;
    meeting->row.first_sequence = fact->sequence;
    meeting->row.first_source = fact->source;
    meeting->row.first_event_id = fact->event_id;
}

static bool is_earlier(const struct workset *ws, const struct fact *fact, const struct ws_meeting *meeting)
{
    struct identity_event event = ws_event_of(fact), first = ws_first_of(meeting);
    return identity_event_cmp(ws->meaning->symbols, &event, &first) < 0;
}

void workset_put_meetings(struct workset *ws, const struct ws_need *need, struct store_meeting *row, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct ws_meeting *meeting = pk_map_get(&ws->meetings, row[i].id);
        if (!meeting) {
            meeting = add_meeting(ws, &row[i]);
        } else if (!meeting->in_database) { /* made from an event of the batch, to ask for it */
            struct store_meeting made = meeting->row;
            meeting->row = row[i];
            meeting->row.person = made.person;
            meeting->row.name_space = made.name_space;
        }
        if (!meeting->in_database)
            meeting->stored_first = ws_first_of(meeting);
        meeting->in_database = true;
        for (uint32_t p = 0; p < meeting->row.count && !need->meeting; p++)
            pull(ws, meeting->person[p]);
    }
    if (count)
        ws->unsolved = true;
}

/* ---- which events tell something new ---- */

/* The cache knows it, and this event is not its first. */
static bool known_meeting(const struct ws_key *key, struct pk_hash id, const struct fact *fact)
{
    for (uint32_t i = 0; i < key->known_meetings; i++)
        if (pk_hash_eq(key->known_meeting[i].id, id))
            return fact->at_us > key->known_meeting[i].first_at_us;
    return false;
}

static bool need_exact_meetings(struct workset *ws, struct ws_need *ret)
{
    size_t count = 0;
    struct pk_hash *person = NULL, *id = NULL;
    for (size_t i = 0; i < ws->facts; i++) {
        struct ws_fact *entry = &ws->fact[i];
        const struct fact *fact = entry->fact;
        if (fact->person_count < 2 || entry->dropped || entry->meeting || entry->meeting_known)
            continue;
        struct pk_hash meeting_id = fact_meeting(fact);
        struct ws_key *first = entry->person[0];
        entry->meeting = pk_map_get(&ws->meetings, meeting_id);
        if (entry->meeting)
            continue;
        entry->meeting_known = known_meeting(first, meeting_id, fact);
        if (entry->meeting_known)
            continue;
        entry->meeting = meeting_of_fact(ws, meeting_id, fact);
        if (!first->in_database)
            continue;
        if (!person) {
            person = pk_arena_alloc(ws->arena, (ws->facts - i) * sizeof *person);
            id = pk_arena_alloc(ws->arena, (ws->facts - i) * sizeof *id);
        }
        person[count] = first->hash;
        id[count++] = meeting_id;
    }
    *ret = (struct ws_need){.kind = NEED_MEETINGS, .hash = person, .meeting = id, .count = count};
    return count > 0;
}

static void take_news(struct workset *ws, struct ws_fact *entry)
{
    const struct fact *fact = entry->fact;
    bool news = false;
    for (unsigned i = 0; i < fact->person_count; i++) {
        struct ws_key *key = entry->person[i];
        news |= !key->in_database;
        if (key->first_at_us == PK_NO_TIME || fact->at_us < key->first_at_us) {
            key->first_at_us = fact->at_us;
            news = true;
        }
    }
    struct ws_meeting *meeting = entry->meeting;
    if (meeting) {
        news |= !meeting->in_database;
        if (is_earlier(ws, fact, meeting)) {
            set_first(meeting, fact);
            news = true;
        }
    }
    for (unsigned i = 0; i < fact->person_count && news; i++)
        pull(ws, entry->person[i]);
}

/* ---- decisions ---- */

static void set_flag(struct ws_key *key, uint32_t flag, bool on)
{
    key->flags = on ? key->flags | flag : key->flags & ~flag;
}

static void set_apart(struct workset *ws, struct ws_key *key, struct pk_hash other, bool restore)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < key->apart_count; i++)
        if (!pk_hash_eq(key->apart[i], other))
            key->apart[kept++] = key->apart[i];
    key->apart_count = kept;
    if (!restore)
        *PK_PUSH(ws->arena, key, apart) = other;
    set_flag(key, KEY_APART, key->apart_count > 0);
}

static void take_decisions(struct workset *ws)
{
    for (size_t i = 0; i < ws->decisions; i++) {
        const struct change_decision *d = &ws->decision[i];
        struct ws_key *a = ws_key_of(ws, d->a, d->kind_a);
        if (d->kind == DECIDE_APART) {
            struct ws_key *b = ws_key_of(ws, d->b, d->kind_b);
            set_apart(ws, a, d->b, d->restore);
            set_apart(ws, b, d->a, d->restore);
            pull(ws, b);
        } else {
            set_flag(a, d->kind == DECIDE_BLOCK ? KEY_BLOCKED : KEY_ALONE, !d->restore);
        }
        if (ws_is_person(a))
            pull(ws, a);
        else
            a->flipped = a->in_database && a->flags != a->stored_flags;
    }
    for (size_t i = 0; i < ws->resolves; i++)
        pull(ws, ws_key_of(ws, ws->resolve[i], KEY_PERSON));
    if (ws->forgetting)
        ws_take_forgetting(ws);
    ws->decisions_taken = true;
}

void workset_resolve(struct workset *ws, const struct pk_hash *person, size_t count)
{
    ws->resolve = person;
    ws->resolves = count;
    for (size_t i = 0; i < count; i++)
        ws_key_of(ws, person[i], KEY_PERSON);
}

/* ---- the closure ---- */

/* Does the component go on through this person? A shared one makes no links, and stays shared unless it is counted
 * again; nor does a blocked one. */
static bool leads_on(const struct ws_key *key)
{
    if (key->decided || key->recheck)
        return true;
    return !(key->flags & (KEY_BLOCKED | KEY_IS_SHARED));
}

static bool need_meetings(struct workset *ws, struct ws_need *ret)
{
    struct pk_hash *missing = NULL;
    size_t count = 0;
    for (size_t i = 0; i < ws->pulled.len; i++) {
        struct ws_key *key = ws->pulled.ptr[i];
        if (key->met || !leads_on(key))
            continue;
        key->met = true;
        if (!key->in_database)
            continue;
        if (!missing)
            missing = pk_arena_alloc(ws->arena, (ws->pulled.len - i) * sizeof *missing);
        missing[count++] = key->hash;
    }
    *ret = (struct ws_need){.kind = NEED_MEETINGS, .hash = missing, .count = count};
    return count > 0;
}

/* Whoever met one on whom a decision is made, or who is counted again, may be shared no more. */
static void recheck_those_met(struct workset *ws)
{
    for (size_t i = 0; i < ws->pulled.len; i++) {
        struct ws_key *key = ws->pulled.ptr[i];
        if (!(key->decided || key->recount) || !key->met || key->spread_recheck)
            continue;
        key->spread_recheck = true;
        for (uint32_t m = 0; m < key->meeting_count; m++)
            for (uint32_t p = 0; p < key->meeting[m]->row.count; p++) {
                struct ws_key *other = key->meeting[m]->person[p];
                other->recheck = true;
                pull(ws, other);
            }
        ws->unsolved = true;
    }
}

/* ---- counting again what a displaced event had told ---- */

void ws_recount_person(struct workset *ws, struct ws_key *key)
{
    key->recount = key->recheck = true;
    pull(ws, key);
    ws_want_trace(ws, key, INT64_MIN, INT64_MAX);
}

void ws_recount(struct workset *ws, struct ws_fact *gone)
{
    for (unsigned i = 0; i < gone->fact->person_count; i++)
        ws_recount_person(ws, gone->person[i]);
}

/* What a sealed event told of who is who stays, but not what it told of a name that is forgotten. */
static bool stays_sealed(const struct ws_meeting *meeting)
{
    bool stays = meeting->row.sealed;
    for (uint32_t i = 0; i < meeting->row.count; i++)
        stays &= !meeting->person[i]->let_go;
    return stays;
}

static void recount_from(struct workset *ws, struct ws_key *key, struct ws_fact *entry)
{
    const struct fact *fact = entry->fact;
    if (entry->dropped || entry->displaced)
        return;
    if (key->first_at_us == PK_NO_TIME || fact->at_us < key->first_at_us)
        key->first_at_us = fact->at_us;
    struct ws_meeting *meeting = fact->person_count > 1 ? pk_map_get(&ws->meetings, fact_meeting(fact)) : NULL;
    if (!meeting || meeting->recounted != key || stays_sealed(meeting))
        return;
    if (meeting->gone || is_earlier(ws, fact, meeting))
        set_first(meeting, fact);
    meeting->gone = false;
}

static void recount(struct workset *ws, struct ws_key *key)
{
    key->first_at_us = key->let_go ? PK_NO_TIME : key->sealed_at_us;
    for (uint32_t i = 0; i < key->meeting_count; i++) {
        struct ws_meeting *meeting = key->meeting[i];
        if (meeting->recounted)
            continue; /* through another of its persons */
        meeting->recounted = key;
        meeting->gone = !stays_sealed(meeting);
    }
    for (uint32_t i = 0; i < key->trace.stored_count; i++)
        recount_from(ws, key, key->trace.stored[i]);
    for (uint32_t i = 0; i < key->ours_count; i++)
        recount_from(ws, key, key->ours[i]);
    key->recount = false;
    ws->unsolved = true;
}

/* ---- solving ---- */

static struct identity_person **solver_persons(struct workset *ws)
{
    struct identity_person **person = pk_arena_alloc(ws->arena, (ws->pulled.len + 1) * sizeof *person);
    for (size_t i = 0; i < ws->pulled.len; i++) {
        struct ws_key *key = ws->pulled.ptr[i];
        key->person = (struct identity_person){
            .hash = key->hash,
            .name_space = key->name_space,
            .rules = key->rules,
            .first_at_us = key->first_at_us,
            .blocked = key->flags & KEY_BLOCKED,
            .alone = key->flags & KEY_ALONE,
            .known_shared = (key->stored_flags & KEY_IS_SHARED) && !key->recheck && !key->decided,
        };
        person[i] = &key->person;
    }
    return person;
}

static void add_solver_meetings(struct workset *ws, struct identity *identity)
{
    identity->meeting = pk_arena_alloc(ws->arena, (ws->meeting_list.len + 1) * sizeof *identity->meeting);
    for (size_t i = 0; i < ws->meeting_list.len; i++) {
        struct ws_meeting *meeting = ws->meeting_list.ptr[i];
        bool all = !meeting->gone;
        for (uint32_t p = 0; p < meeting->row.count; p++)
            all &= meeting->person[p]->pulled;
        if (!all)
            continue;
        meeting->solved = (struct identity_meeting){.id = meeting->row.id, .count = meeting->row.count,
                                                    .first = ws_first_of(meeting)};
        meeting->solved.person =
            pk_arena_alloc(ws->arena, meeting->row.count * sizeof *meeting->solved.person);
        for (uint32_t p = 0; p < meeting->row.count; p++)
            meeting->solved.person[p] = &meeting->person[p]->person;
        identity->meeting[identity->meetings++] = &meeting->solved;
    }
}

static void add_solver_aparts(struct workset *ws, struct identity *identity)
{
    size_t most = 0;
    for (size_t i = 0; i < ws->pulled.len; i++)
        most += ws->pulled.ptr[i]->apart_count;
    struct identity_apart *apart = pk_arena_alloc(ws->arena, (most + 1) * sizeof *apart);
    for (size_t i = 0; i < ws->pulled.len; i++) {
        struct ws_key *key = ws->pulled.ptr[i];
        for (uint32_t k = 0; k < key->apart_count; k++) {
            struct ws_key *other = pk_map_get(&ws->keys, key->apart[k]);
            if (other && other->pulled && pk_hash_cmp(key->hash, other->hash) < 0)
                apart[identity->aparts++] = (struct identity_apart){&key->person, &other->person};
        }
    }
    identity->apart = apart;
}

static void take_answer(struct workset *ws, struct ws_key *key)
{
    set_flag(key, KEY_IS_SHARED, key->person.shared);
    set_flag(key, KEY_IS_OVERSIZE, key->person.oversize);
    set_flag(key, KEY_UNIQUE, key->rules->unique);
    key->customer = key->person.customer;
    if (key->in_database && ((key->flags ^ key->stored_flags) & (KEY_IS_SHARED | KEY_BLOCKED)))
        key->flipped = true;
    if (!pk_hash_zero(key->stored_customer) && !pk_hash_eq(key->stored_customer, key->customer)) {
        ws_customer_of(ws, key->stored_customer, KEY_PERSON)->regrouped = true;
    }
}

static void solve(struct workset *ws)
{
    struct identity identity = {.person = solver_persons(ws), .persons = ws->pulled.len};
    add_solver_meetings(ws, &identity);
    add_solver_aparts(ws, &identity);
    identity_solve(ws->meaning->rules, ws->meaning->symbols, ws->arena, &identity);
    for (size_t i = 0; i < ws->pulled.len; i++)
        take_answer(ws, ws->pulled.ptr[i]);
    ws->unsolved = false;
}

bool ws_identify(struct workset *ws, struct ws_need *ret)
{
    *ret = (struct ws_need){.kind = NEED_NOTHING};
    size_t keys = ws->key_list.len;
    if (!ws->decisions_taken)
        take_decisions(ws);
    if (need_exact_meetings(ws, ret))
        return true;
    if (!ws->news_taken)
        for (size_t i = 0; i < ws->facts; i++)
            if (!ws->fact[i].dropped)
                take_news(ws, &ws->fact[i]);
    ws->news_taken = true;
    if (need_meetings(ws, ret))
        return true;
    *ret = (struct ws_need){.kind = NEED_NOTHING};
    if (ws->key_list.len != keys)
        return true;
    size_t pulled = ws->pulled.len;
    recheck_those_met(ws);
    if (ws->pulled.len != pulled || need_meetings(ws, ret))
        return true;
    *ret = (struct ws_need){.kind = NEED_NOTHING};
    if (ws_need_traces(ws, ret))
        return true;
    *ret = (struct ws_need){.kind = NEED_NOTHING};
    for (size_t i = 0; i < ws->pulled.len; i++)
        if (ws->pulled.ptr[i]->recount)
            recount(ws, ws->pulled.ptr[i]);
    if (ws->unsolved)
        solve(ws);
    ws->identified = true;
    return ws->key_list.len != keys;
}

/* ---- saving ---- */

static void save_meeting(struct workset *ws, struct ws_meeting *meeting, struct changes *changes)
{
    struct identity_event first = ws_first_of(meeting);
    bool fresh = !meeting->in_database && !meeting->gone;
    bool same = meeting->in_database && !meeting->gone &&
                identity_event_cmp(ws->meaning->symbols, &first, &meeting->stored_first) == 0;
    if (same || (!meeting->in_database && meeting->gone))
        return;
    for (uint32_t p = 0; p < meeting->row.count; p++) {
        struct change_meeting change = {meeting->row.person[p], &meeting->row};
        if (fresh)
            *pk_vec_push(&changes->meeting_new) = change;
        else if (meeting->gone)
            *pk_vec_push(&changes->meeting_gone) = change;
        else
            *pk_vec_push(&changes->meeting_first) = change;
    }
}

void ws_save_identity(struct workset *ws, struct changes *changes)
{
    for (size_t i = 0; i < ws->meeting_list.len; i++)
        save_meeting(ws, ws->meeting_list.ptr[i], changes);
    for (size_t i = 0; i < ws->key_list.len; i++) {
        struct ws_key *key = ws->key_list.ptr[i];
        if (key->forgotten)
            ws_bury(key);
        if (key->in_database && (key->flags != key->stored_flags || key->first_at_us != key->stored_first_at_us ||
                                 !pk_hash_eq(key->customer, key->stored_customer)))
            *pk_vec_push(&changes->key_state) =
                (struct change_key_state){key->hash, key->flags, key->first_at_us, key->customer};
        if (key->in_database && key->value.ptr && key->first_at_us != PK_NO_TIME && key->stored_first_at_us == PK_NO_TIME)
            *pk_vec_push(&changes->value) = (struct change_value){key->hash, key->value};
    }
    for (size_t i = 0; i < ws->decisions; i++)
        *pk_vec_push(&changes->decision) = ws->decision[i];
}
