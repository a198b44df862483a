/* SPDX-License-Identifier: Apache-2.0 */
/* Do the tables in memory fit together? Everything that identity says of identifiers is worked out again from the
 * stored events, and all aggregates from the stored events and rows. */
#include "identity_batch.h"
#include "memory_store.h"

#include <inttypes.h>
#include <stdlib.h>

#define DIFFER(...) return pk_fail(a->err, PK_REJECT, __VA_ARGS__)

struct audit {
    const struct memory_store *store;
    const struct meaning *meaning;
    struct identity_batch identity;
    struct fact *fact; /* copies of all stored events, with names and traits */
    size_t facts;
    struct pk_err *err;
};

static void take_facts(struct audit *a)
{
    a->fact = PK_NEW_ARRAY(&a->identity.arena, struct fact, a->store->facts.count + 1);
    PK_MAP_EACH(&a->store->facts, e)
    {
        struct fact *fact = &a->fact[a->facts++];
        *fact = *(const struct fact *)e->value;
        fact->traits = match_traits(a->meaning->matcher, fact);
        fact_take_names(a->meaning->maker, &a->identity.arena, fact);
        identity_batch_add(&a->identity, fact);
    }
    PK_MAP_EACH(&a->store->sealed_facts, e)
    {
        struct fact *fact = pk_arena_copy(&a->identity.arena, e->value, sizeof *fact);
        fact_take_names(a->meaning->maker, &a->identity.arena, fact);
        identity_batch_add(&a->identity, fact);
    }
    for (size_t i = 0; i < a->store->decisions.len; i++)
        if (a->store->decisions.ptr[i].in_force)
            identity_batch_decide(&a->identity, &a->store->decisions.ptr[i].row);
    identity_batch_solve(&a->identity);
}

/* ---- events ---- */

static enum pk_status audit_journeys(const struct audit *a)
{
    struct pk_map events = {0}; /* journey -> how many, plus 1 */
    for (size_t i = 0; i < a->facts; i++) {
        const struct fact *fact = &a->fact[i];
        const struct journey *journey = pk_map_get(&a->store->journeys, fact->stored_journey);
        bool none = pk_hash_zero(fact->stored_journey), passive = fact->traits & TRAIT(PASSIVE);
        const char *wrong = NULL;
        if (!pk_hash_eq(fact->customer, fact->stored_customer) || !pk_hash_eq(fact->sighted, fact->stored_sighted) ||
            fact->traits != memory_find_fact(a->store, fact->at_us, fact->event_hash)->traits)
            wrong = "is not what its row says";
        else if (none && !passive && !pk_hash_zero(fact->customer))
            wrong = "has a customer but no journey";
        else if (!none && !journey)
            wrong = "is in a journey that is not there";
        else if (!none && !pk_hash_eq(journey->customer, fact->customer))
            wrong = "is in a journey of somebody else";
        if (wrong) {
            pk_map_done(&events);
            DIFFER("audit: interaction %s %s", fact->event_id.ptr, wrong);
        }
        if (journey)
            pk_map_put(&events, journey->id, (void *)((uintptr_t)pk_map_get(&events, journey->id) + 1));
    }
    bool counted = true;
    PK_MAP_EACH(&a->store->journeys, e)
    {
        const struct journey *journey = e->value;
        counted &= (uintptr_t)pk_map_get(&events, journey->id) == journey->events &&
                   pk_map_get(&a->store->customers, journey->customer);
    }
    pk_map_done(&events);
    if (!counted)
        DIFFER("audit: a journey has other events than it counts, or a customer that is not there");
    return PK_OK;
}

/* ---- courses, purchases, aggregates ---- */

static enum pk_status audit_courses(const struct audit *a)
{
    PK_MAP_EACH(&a->store->courses, e)
    {
        const struct memory_course *row = e->value;
        const struct journey *journey = pk_map_get(&a->store->journeys, row->journey);
        if (!journey)
            journey = pk_map_get(&a->store->sealed_journeys, row->journey);
        if (!journey || !pk_hash_eq(journey->customer, row->customer))
            DIFFER("audit: a course of %s", journey ? "a journey of somebody else" : "a journey that is not there");
    }
    return PK_OK;
}

static enum pk_status audit_purchases(const struct audit *a, const struct pk_map *needs)
{
    PK_MAP_EACH(&a->store->customers, e)
    {
        const struct change_customer *row = e->value;
        struct needs sealed, *want = pk_map_get(needs, row->id);
        const struct store_carry *carry = pk_map_get(&a->store->carries, row->id);
        if (!want && carry) {
            want = &sealed;
            needs_init(want);
        }
        if (carry)
            needs_carry(want, &carry->carry);
        if (!want || row->purchases != want->purchases || row->first_purchase_at_us != want->first_purchase_at_us ||
            row->last_purchase_at_us != want->last_purchase_at_us)
            DIFFER("audit: a customer has %" PRIu32 " purchases, expected %" PRIu32 ", or at other times", row->purchases,
                   want ? want->purchases : 0);
    }
    return PK_OK;
}

static enum pk_status audit_sums(const struct audit *a, const struct changes *want)
{
    struct pk_arena arena = {0};
    size_t at = 0;
    for (enum aggregate table = 0; table < AGGREGATE_COUNT; table++) {
        size_t count;
        const struct change_aggregate *sum = memory_sums_left(a->store, table, &arena, &count);
        for (size_t i = 0; i <= count; i++) {
            const struct change_aggregate *have = i < count ? &sum[i] : NULL;
            const struct change_aggregate *next = at < want->aggregate.len ? &want->aggregate.ptr[at] : NULL;
            if (next && next->table != table)
                next = NULL;
            at += next != NULL;
            bool same = !have && !next;
            if (have && next && change_aggregate_cmp(have, next) == 0)
                same = memcmp(have->count, next->count, aggregate_tables[table].counts * sizeof *have->count) == 0;
            if (same)
                continue;
            const char *name = aggregate_tables[table].name;
            struct change_aggregate row = have ? *have : *next;
            int64_t counts[2] = {have ? have->count[0] : 0, next ? next->count[0] : 0};
            pk_arena_done(&arena);
            DIFFER("audit: a bucket of %s at %" PRId64 " (%" PRId32 ", %" PRId32 ", %" PRId32 ", ...) has %" PRId64
                   " %s, expected %" PRId64 " or other sums, or is another",
                   name, row.at_us, row.dim[0], row.dim[1], row.dim[2], counts[0], aggregate_tables[table].count[0],
                   counts[1]);
        }
    }
    pk_arena_done(&arena);
    return PK_OK;
}

/* By the functions that make the differences, over rows as they are stored. */
static enum pk_status audit_aggregates(struct audit *a)
{
    struct pk_arena *arena = &a->identity.arena;
    struct metrics metrics;
    struct changes changes = {0};
    struct tally tally = {0};
    struct pk_map needs = {0};
    struct fact **fact = PK_NEW_ARRAY(arena, struct fact *, a->facts + 1);
    struct journey *journey = PK_NEW_ARRAY(arena, struct journey, a->store->journeys.count + 1);
    size_t journeys = 0;
    metrics_init(&metrics, a->meaning->rules, a->meaning->maker->symbols);
    for (size_t i = 0; i < a->facts; i++) {
        fact[i] = &a->fact[i];
        metrics_add_event(&metrics, fact[i], +1);
    }
    PK_MAP_EACH(&a->store->journeys, e)
    {
        journey[journeys] = memory_journey(a->store, e->value, arena);
        metrics_add_journey(&metrics, &journey[journeys++], +1);
    }
    PK_MAP_EACH(&a->store->obligations, e) metrics_add_obligation(&metrics, e->value, +1);
    derive_stored_pairs(a->meaning, arena, fact, a->facts, journey, journeys, &tally, +1, &needs);
    metrics_add_tally(&metrics, &tally);
    metrics_collect(&metrics, &changes);
    enum pk_status status = audit_sums(a, &changes);
    if (status == PK_OK)
        status = audit_purchases(a, &needs);
    pk_map_done(&needs);
    changes_done(&changes);
    metrics_done(&metrics);
    return status;
}

/* ---- the names of an event lead to it ---- */

static enum pk_status audit_name(struct audit *a, const struct fact *fact, struct pk_hash hash, enum key_kind kind,
                                 bool lends)
{
    const struct memory_key *key = pk_map_get(&a->store->keys, hash);
    if (!key)
        DIFFER("audit: a name of interaction %s is no key", fact->event_id.ptr);
    if (key->kind != kind)
        DIFFER("audit: a name of interaction %s is a key of another kind", fact->event_id.ptr);
    struct pk_arena arena = {0};
    uint32_t count;
    const struct pk_hash *user = memory_users(key, &arena, &count);
    bool found = false;
    for (uint32_t i = 0; i < count; i++)
        found |= pk_hash_eq(user[i], fact->customer);
    pk_arena_done(&arena);
    if (!found)
        DIFFER("audit: interaction %s cannot be found through its %s", fact->event_id.ptr,
               kind == KEY_PERSON ? "person" : kind == KEY_DEVICE ? "device" : "case");
    if (lends && !(key->flags & KEY_LENDS) && !identity_batch_blocked(&a->identity, hash))
        DIFFER("audit: interaction %s borrows by a name that is not marked as lending", fact->event_id.ptr);
    return PK_OK;
}

static enum pk_status audit_names(struct audit *a)
{
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < a->facts && status == PK_OK; i++) {
        const struct fact *fact = &a->fact[i];
        bool lends = !identity_batch_own(&a->identity, fact);
        for (uint32_t k = 0; k < fact->person_count && status == PK_OK; k++)
            status = audit_name(a, fact, fact->person[k].hash, KEY_PERSON, lends);
        for (uint32_t k = 0; k < fact->device_count && status == PK_OK; k++)
            status = audit_name(a, fact, fact->device[k].hash, KEY_DEVICE, lends);
        if (status == PK_OK && !pk_hash_zero(fact->case_key))
            status = audit_name(a, fact, fact->case_key, KEY_CASE, lends);
    }
    return status;
}

/* ---- identifiers ---- */

static enum pk_status audit_persons(const struct audit *a)
{
    for (size_t i = 0; i < a->identity.person.len; i++) {
        const struct identity_person *want = a->identity.person.ptr[i];
        const struct memory_key *have = pk_map_get(&a->store->keys, want->hash);
        struct pk_str name = symbol_text(a->meaning->symbols, want->name_space);
        if (!have)
            DIFFER("audit: a %.*s is no key", PK_STR_ARG(name));
        if (have->first_at_us != want->first_at_us)
            DIFFER("audit: a %.*s has first_at %" PRId64 ", expected %" PRId64, PK_STR_ARG(name), have->first_at_us,
                   want->first_at_us);
        if (!(have->flags & KEY_IS_SHARED) != !want->shared)
            DIFFER("audit: a %.*s is%s shared", PK_STR_ARG(name), want->shared ? " not" : "");
        if (!(have->flags & KEY_IS_OVERSIZE) != !want->oversize)
            DIFFER("audit: a %.*s is%s oversize", PK_STR_ARG(name), want->oversize ? " not" : "");
        if (!(have->flags & KEY_UNIQUE) != !want->rules->unique)
            DIFFER("audit: a %.*s is%s of a unique namespace", PK_STR_ARG(name), want->rules->unique ? " not" : "");
        if (!pk_hash_eq(have->customer, want->customer))
            DIFFER("audit: a %.*s belongs to another customer", PK_STR_ARG(name));
        if (have->name_space != want->name_space)
            DIFFER("audit: a %.*s has another namespace", PK_STR_ARG(name));
    }
    PK_MAP_EACH(&a->store->keys, e)
    {
        const struct memory_key *key = e->value;
        if (key->kind == KEY_PERSON && !identity_batch_person(&a->identity, key->hash) &&
            (key->first_at_us != PK_NO_TIME || key->meeting_count))
            DIFFER("audit: a person that no event carries has a first time or a meeting");
    }
    return PK_OK;
}

static enum pk_status audit_unique(const struct audit *a)
{
    struct pk_map once = {0}; /* (customer, namespace) */
    bool twice = false;
    PK_MAP_EACH(&a->store->keys, e)
    {
        const struct memory_key *key = e->value;
        if (key->kind != KEY_PERSON || !(key->flags & KEY_UNIQUE) || pk_hash_zero(key->customer))
            continue;
        struct pk_hash both = key->customer;
        pk_put_be32(both.byte, pk_get_be32(both.byte) ^ key->name_space);
        twice |= pk_map_get(&once, both) != NULL;
        pk_map_put(&once, both, e->value);
    }
    pk_map_done(&once);
    if (twice)
        DIFFER("audit: a customer has two values of a unique namespace");
    return PK_OK;
}

static enum pk_status audit_decisions(const struct audit *a)
{
    PK_MAP_EACH(&a->store->keys, e)
    {
        const struct memory_key *key = e->value;
        uint32_t want = 0;
        for (size_t i = 0; i < a->store->decisions.len; i++) {
            const struct change_decision *row = &a->store->decisions.ptr[i].row;
            if (!a->store->decisions.ptr[i].in_force ||
                !(pk_hash_eq(row->a, key->hash) || pk_hash_eq(row->b, key->hash)))
                continue;
            want |= row->kind == DECIDE_BLOCK ? KEY_BLOCKED : row->kind == DECIDE_UNLINK ? KEY_ALONE : KEY_APART;
        }
        if ((key->flags & KEY_DECISIONS) != want)
            DIFFER("audit: the flags of an identifier do not say what is decided");
    }
    return PK_OK;
}

/* ---- meetings ---- */

static enum pk_status audit_meetings(const struct audit *a)
{
    for (size_t i = 0; i < a->identity.meeting.len; i++) {
        const struct identity_meeting *want = a->identity.meeting.ptr[i];
        for (uint32_t p = 0; p < want->count; p++) {
            const struct memory_key *key = pk_map_get(&a->store->keys, want->person[p]->hash);
            const struct store_meeting *have = NULL;
            for (uint32_t m = 0; key && m < key->meeting_count; m++)
                if (pk_hash_eq(key->meeting[m]->id, want->id))
                    have = key->meeting[m];
            if (!have)
                DIFFER("audit: the meeting of %s is missing at one of its persons", want->first.event_id.ptr);
            const struct identity_event first = {have->first_at_us, have->first_sequence, have->first_source,
                                                 have->first_event_id};
            if (identity_event_cmp(a->meaning->symbols, &first, &want->first) != 0)
                DIFFER("audit: the meeting of %s has another first event", want->first.event_id.ptr);
            bool same = have->count == want->count;
            for (uint32_t k = 0; same && k < want->count; k++)
                same = pk_hash_eq(have->person[k], want->person[k]->hash) &&
                       have->name_space[k] == want->person[k]->name_space;
            if (!same)
                DIFFER("audit: the meeting of %s has other members", want->first.event_id.ptr);
        }
    }
    PK_MAP_EACH(&a->store->keys, e)
    {
        const struct memory_key *key = e->value;
        for (uint32_t m = 0; m < key->meeting_count; m++)
            if (!pk_map_get(&a->identity.meetings, key->meeting[m]->id))
                DIFFER("audit: a meeting is left over that no event has");
    }
    return PK_OK;
}

enum pk_status memory_audit(const struct memory_store *store, const struct meaning *meaning, struct pk_err *err)
{
    struct audit audit = {.store = store, .meaning = meaning, .err = err};
    identity_batch_init(&audit.identity, meaning);
    take_facts(&audit);
    enum pk_status status = audit_meetings(&audit);
    if (status == PK_OK)
        status = audit_decisions(&audit);
    if (status == PK_OK)
        status = audit_persons(&audit);
    if (status == PK_OK)
        status = audit_unique(&audit);
    if (status == PK_OK)
        status = audit_names(&audit);
    if (status == PK_OK)
        status = audit_journeys(&audit);
    if (status == PK_OK)
        status = audit_courses(&audit);
    if (status == PK_OK)
        status = audit_aggregates(&audit);
    identity_batch_done(&audit.identity);
    return status;
}
