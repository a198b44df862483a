/* SPDX-License-Identifier: Apache-2.0 */
#include "derive_check.h"
#include "identity_batch.h"

#include <inttypes.h>
#include <stdio.h>

#define DIFFER(...) return pk_fail(err, PK_REJECT, __VA_ARGS__)

struct reference {
    struct pk_arena arena;
    const struct meaning *meaning;
    struct identity_batch identity;
    struct fact **fact; /* one copy of each event */
    size_t facts;
    struct group_result result;
    struct changes changes;
    struct metrics metrics;
};

/* ---- the reference ---- */

static void keep_winners(struct reference *r, const struct memory_store *store, const struct fact *const *fact, size_t count)
{
    r->fact = PK_NEW_ARRAY(&r->arena, struct fact *, count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t same = 0;
        if (memory_is_sealed(store, fact[i]->at_us, fact[i]->event_hash))
            continue;
        while (same < r->facts && !(r->fact[same]->at_us == fact[i]->at_us &&
                                    pk_hash_eq(r->fact[same]->event_hash, fact[i]->event_hash)))
            same++;
        if (same == r->facts)
            r->facts++;
        else if (fact[i]->content_hash >= r->fact[same]->content_hash)
            continue;
        r->fact[same] = pk_arena_copy(&r->arena, fact[i], sizeof *fact[i]);
    }
}

static void attribute(struct reference *r, const struct memory_store *store, const struct change_decision *decision, size_t decisions)
{
    identity_batch_init(&r->identity, r->meaning);
    for (size_t i = 0; i < r->facts; i++)
        identity_batch_add(&r->identity, r->fact[i]);
    PK_MAP_EACH(&store->sealed_facts, e)
    {
        struct fact *fact = pk_arena_copy(&r->arena, e->value, sizeof *fact);
        fact_take_names(r->meaning->maker, &r->arena, fact);
        identity_batch_add(&r->identity, fact);
    }
    for (size_t i = 0; i < decisions; i++)
        identity_batch_decide(&r->identity, &decision[i]);
    identity_batch_solve(&r->identity);
    identity_batch_attribute(&r->identity, r->fact, r->facts);
}

static void derive(struct reference *r, const struct memory_store *store)
{
    metrics_init(&r->metrics, r->meaning->rules, r->meaning->maker->symbols);
    struct group_carry *carry = PK_NEW_ARRAY(&r->arena, struct group_carry, store->carries.count + 1);
    struct group group = {.fact = r->fact, .facts = r->facts, .carry = carry};
    PK_MAP_EACH(&store->carries, e)
    {
        const struct store_carry *row = e->value;
        carry[group.carries++] = (struct group_carry){row->customer, row->carry, row->carry};
    }
    for (size_t i = 0; i < r->facts; i++)
        r->fact[i]->promise_sealed = r->fact[i]->has_promise && pk_map_get(&store->sealed_obligations, r->fact[i]->promise.id);
    derive_group(r->meaning, &r->arena, &group, &r->result, &r->changes, &r->metrics);
    for (size_t i = 0; i < r->facts; i++)
        metrics_add_event(&r->metrics, r->fact[i], +1);
    metrics_collect(&r->metrics, &r->changes);
}

/* ---- comparing rows ---- */

static enum pk_status compare_facts(const struct memory_store *store, const struct reference *r, struct pk_err *err)
{
    if (store->facts.count != r->facts)
        DIFFER("%zu interactions stored, expected %zu", store->facts.count, r->facts);
    for (size_t i = 0; i < r->facts; i++) {
        const struct fact *want = r->fact[i];
        const struct fact *have = memory_find_fact(store, want->at_us, want->event_hash);
        const char *id = want->event_id.ptr;
        if (!have)
            DIFFER("interaction %s is missing", id);
        if (have->content_hash != want->content_hash)
            DIFFER("interaction %s is not the copy with the smallest content hash", id);
        if (!pk_hash_eq(have->customer, want->customer))
            DIFFER("interaction %s belongs to %s", id,
                   pk_hash_zero(have->customer) ? "nobody" : pk_hash_zero(want->customer) ? "somebody" : "somebody else");
        if (!pk_hash_zero(want->customer) && have->customer_kind != want->customer_kind)
            DIFFER("interaction %s has a customer of kind %d, expected %d", id, have->customer_kind, want->customer_kind);
        if (!pk_hash_eq(have->sighted, want->sighted))
            DIFFER("interaction %s borrows from another sighting", id);
        struct pk_hash journey = want->journey ? want->journey->id : (struct pk_hash){0};
        if (!pk_hash_eq(have->stored_journey, journey))
            DIFFER("interaction %s is in another journey", id);
    }
    return PK_OK;
}

/* What differs of two rows of one journey, in words. */
static const char *journey_difference(const struct journey *a, const struct journey *b, char *ret, size_t room)
{
#define X(member)                                                                                                    \
    if (a->member != b->member) {                                                                                    \
        snprintf(ret, room, #member " %" PRIu32 ", expected %" PRIu32, a->member, b->member);                        \
        return ret;                                                                                                  \
    }
    JOURNEY_COUNTS(X)
#undef X
    snprintf(ret, room, "%" PRIu32 " courses, expected %" PRIu32 "; or something else", a->strand.courses.count,
             b->strand.courses.count);
    return ret;
}

static enum pk_status compare_journeys(const struct memory_store *store, struct reference *r, struct pk_err *err)
{
    char text[200];
    size_t count = 0;
    for (size_t c = 0; c < r->result.customers; c++) {
        const struct journeys *journeys = &r->result.customer[c].journeys;
        for (uint32_t i = 0; i < journeys->made_count; i++, count++) {
            const struct journey *want = journeys->made[i], *row = pk_map_get(&store->journeys, want->id);
            if (!row)
                DIFFER("the journey that begins at %" PRId64 " is missing", want->first_at_us);
            const struct journey have = memory_journey(store, row, &r->arena);
            if (!journey_same(&have, want))
                DIFFER("the journey that begins at %" PRId64 " differs: %s", want->first_at_us,
                       journey_difference(&have, want, text, sizeof text));
        }
    }
    if (store->journeys.count != count)
        DIFFER("%zu journeys stored, expected %zu", store->journeys.count, count);
    return PK_OK;
}

static enum pk_status compare_obligations(const struct memory_store *store, const struct reference *r,
                                          struct pk_err *err)
{
    for (uint32_t i = 0; i < r->result.ledger.item_count; i++) {
        const struct obligation *want = r->result.ledger.item[i], *have = pk_map_get(&store->obligations, want->id);
        struct pk_str kind = symbol_text(r->meaning->symbols, want->kind);
        if (!have)
            DIFFER("the %.*s opened at %" PRId64 " is missing", PK_STR_ARG(kind), want->opened_at_us);
        if (!obligation_same(have, want))
            DIFFER("the %.*s opened at %" PRId64 " differs (attempts %u, expected %u; fulfilled %d, %d; rejected %d, "
                   "%d; withdrawn %d, %d; changed %d, %d)",
                   PK_STR_ARG(kind), want->opened_at_us, have->attempts, want->attempts,
                   have->fulfilled_at_us != PK_NO_TIME, want->fulfilled_at_us != PK_NO_TIME,
                   have->rejected_at_us != PK_NO_TIME, want->rejected_at_us != PK_NO_TIME,
                   have->withdrawn_at_us != PK_NO_TIME, want->withdrawn_at_us != PK_NO_TIME,
                   have->changed_at_us != PK_NO_TIME, want->changed_at_us != PK_NO_TIME);
    }
    if (store->obligations.count != r->result.ledger.item_count)
        DIFFER("%zu obligations stored, expected %u", store->obligations.count, r->result.ledger.item_count);
    return PK_OK;
}

/* The namespace of the identifier that gives a customer its id: of a device, a person or nothing (a case). */
static sym_t customer_namespace(const struct reference *r, const struct fact *fact)
{
    const struct identity_person *person = identity_batch_person(&r->identity, fact->customer);
    if (person)
        return person->name_space;
    for (uint32_t i = 0; i < fact->device_count; i++)
        if (pk_hash_eq(fact->device[i].hash, fact->customer))
            return fact->device[i].name_space;
    return 0;
}

static enum pk_status compare_customers(const struct memory_store *store, const struct reference *r,
                                        struct pk_err *err)
{
    for (size_t c = 0; c < r->result.customers; c++) {
        const struct customer *want = &r->result.customer[c];
        const struct change_customer *have = pk_map_get(&store->customers, want->id);
        const struct fact *fact = r->fact[0];
        for (size_t i = 0; i < r->facts && !pk_hash_eq(fact->customer, want->id); i++)
            fact = r->fact[i];
        if (!have)
            DIFFER("the customer of interaction %s is missing", fact->event_id.ptr);
        if (have->kind != fact->customer_kind || have->name_space != customer_namespace(r, fact))
            DIFFER("the customer of interaction %s has another kind or namespace", fact->event_id.ptr);
        if (have->purchases != want->journeys.needs.purchases ||
            have->first_purchase_at_us != want->journeys.needs.first_purchase_at_us ||
            have->last_purchase_at_us != want->journeys.needs.last_purchase_at_us)
            DIFFER("the customer of interaction %s has %" PRIu32 " purchases, expected %" PRIu32 ", or at other times",
                   fact->event_id.ptr, have->purchases, want->journeys.needs.purchases);
    }
    size_t want = r->result.customers;
    PK_MAP_EACH(&store->carries, e)
    {
        const struct store_carry *carry = e->value;
        const struct change_customer *have = pk_map_get(&store->customers, carry->customer);
        bool left = false;
        for (size_t c = 0; c < r->result.customers; c++)
            left |= pk_hash_eq(r->result.customer[c].id, carry->customer);
        if (!have || (!left && (have->kind != (enum key_kind)carry->carry.kind || have->purchases != carry->carry.purchases)))
            DIFFER("a customer of sealed events is missing, or has another kind or other purchases");
        want += !left;
    }
    if (store->customers.count != want)
        DIFFER("%zu customers stored, expected %zu", store->customers.count, want);
    return PK_OK;
}

/* ---- aggregates ---- */

static enum pk_status compare_sums(const struct memory_store *store, struct reference *r, struct pk_err *err)
{
    size_t from = 0;
    for (enum aggregate table = 0; table < AGGREGATE_COUNT; table++) {
        const struct aggregate_table *columns = &aggregate_tables[table];
        size_t count, until = from;
        const struct change_aggregate *have = memory_sums_left(store, table, &r->arena, &count);
        const struct change_aggregate *want = r->changes.aggregate.ptr;
        while (until < r->changes.aggregate.len && want[until].table == table)
            until++;
        for (size_t i = 0; i < PK_MIN(count, until - from); i++) {
            int order = change_aggregate_cmp(&have[i], &want[from + i]);
            const struct change_aggregate *row = order > 0 ? &want[from + i] : &have[i];
            struct pk_str first = columns->symbols & 1 ? symbol_text(r->meaning->symbols, (sym_t)row->dim[0])
                                                       : (struct pk_str){0};
            if (order != 0)
                DIFFER("%s has %s bucket: at %" PRId64 ", %s %.*s", columns->name, order > 0 ? "not this" : "one more",
                       row->at_us, columns->dim[0], PK_STR_ARG(first));
            for (uint32_t k = 0; k < columns->counts; k++)
                if (have[i].count[k] != want[from + i].count[k])
                    DIFFER("%s at %" PRId64 ", %s %.*s: %" PRId64 " %s, expected %" PRId64, columns->name, row->at_us,
                           columns->dim[0], PK_STR_ARG(first), have[i].count[k], columns->count[k],
                           want[from + i].count[k]);
        }
        if (count != until - from)
            DIFFER("%s has %zu buckets, expected %zu", columns->name, count, until - from);
        from = until;
    }
    return PK_OK;
}

/* ---- keys: whoever may meet an event must find its customer through each of its names ---- */

static bool has_user(const struct memory_store *store, struct pk_hash name, enum key_kind kind, struct pk_hash user)
{
    const struct memory_key *key = pk_map_get(&store->keys, fact_key(name, kind));
    struct pk_arena arena = {0};
    uint32_t count = 0;
    const struct pk_hash *users = key ? memory_users(key, &arena, &count) : NULL;
    bool found = false;
    for (uint32_t i = 0; i < count; i++)
        found |= pk_hash_eq(users[i], user);
    pk_arena_done(&arena);
    return found;
}

/* Through its case an event meets others only if an `across` rule covers what it opens or does. */
static bool crosses(const struct reference *r, const struct fact *fact, const struct opening *opening, size_t count)
{
    bool found = false;
    for (size_t i = 0; i < count; i++)
        found |= opening[i].rule && opening[i].rule->across;
    for (size_t i = 0; pk_hash_zero(fact->relates) && i < r->meaning->rules->kind_count; i++)
        found |= r->meaning->rules->kind[i].across && match_acts(r->meaning->matcher, fact, &r->meaning->rules->kind[i]);
    return found;
}

static enum pk_status compare_keys(const struct memory_store *store, const struct reference *r, struct pk_err *err)
{
    for (size_t i = 0; i < r->facts; i++) {
        const struct fact *fact = r->fact[i];
        struct opening opening[OPENINGS_MAX];
        size_t count = obligation_openings(r->meaning, fact, opening);
        bool opens = count && !pk_hash_zero(fact->customer);
        bool found = pk_hash_zero(fact->case_key) || !crosses(r, fact, opening, count) ||
                     has_user(store, fact->case_key, KEY_CROSSING, fact->customer);
        found &= pk_hash_zero(fact->relates) || has_user(store, fact->relates, KEY_OBLIGATION, fact->customer);
        found &= !opens || has_user(store, fact->event_hash, KEY_OBLIGATION, fact->customer);
        for (size_t k = 0; opens && k < count; k++)
            found &= has_user(store, opening[k].id, KEY_OBLIGATION, fact->customer);
        if (!found)
            DIFFER("interaction %s cannot be found through its case or what it names or opens", fact->event_id.ptr);
    }
    return PK_OK;
}

/* ---- all ---- */

struct fact *derive_check_copy(struct pk_arena *arena, const struct fact *fact)
{
    struct fact *copy = pk_arena_copy(arena, fact, sizeof *copy);
    copy->event_id = pk_arena_str(arena, fact->event_id);
    copy->identifier = pk_arena_copy(arena, fact->identifier, fact->identifier_count * sizeof *fact->identifier);
    copy->person = pk_arena_copy(arena, fact->person, fact->person_count * sizeof *fact->person);
    copy->device = pk_arena_copy(arena, fact->device, fact->device_count * sizeof *fact->device);
    copy->customer = copy->sighted = (struct pk_hash){{0}};
    copy->journey = NULL;
    return copy;
}

enum pk_status derive_check(const struct memory_store *store, const struct meaning *meaning,
                            const struct fact *const *fact, size_t count, const struct change_decision *decision,
                            size_t decisions, struct pk_err *err)
{
    struct reference r = {.meaning = meaning};
    keep_winners(&r, store, fact, count);
    attribute(&r, store, decision, decisions);
    derive(&r, store);
    enum pk_status status = compare_facts(store, &r, err);
    if (status == PK_OK)
        status = compare_journeys(store, &r, err);
    if (status == PK_OK)
        status = compare_obligations(store, &r, err);
    if (status == PK_OK)
        status = compare_customers(store, &r, err);
    if (status == PK_OK)
        status = compare_sums(store, &r, err);
    if (status == PK_OK)
        status = compare_keys(store, &r, err);
    if (status == PK_OK)
        status = memory_audit(store, meaning, err);
    group_done(&r.result);
    changes_done(&r.changes);
    metrics_done(&r.metrics);
    identity_batch_done(&r.identity);
    pk_arena_done(&r.arena);
    return status;
}

enum pk_status derive_check_quarantine(const struct memory_store *store, const struct fact *const *fact, size_t count,
                                       struct pk_err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct fact *row = memory_find_fact(store, fact[i]->at_us, fact[i]->event_hash);
        bool kept = row && row->content_hash == fact[i]->content_hash, quarantined = false;
        if (memory_is_sealed(store, fact[i]->at_us, fact[i]->event_hash))
            continue; /* the row that said so is gone */
        for (size_t q = 0; q < store->quarantine.len; q++)
            for (size_t j = 0; j < count; j++) /* this copy, or one equal to it */
                quarantined |= store->quarantine.ptr[q].partition == fact[j]->partition &&
                               store->quarantine.ptr[q].offset == fact[j]->offset &&
                               fact[j]->at_us == fact[i]->at_us &&
                               pk_hash_eq(fact[j]->event_hash, fact[i]->event_hash) &&
                               fact[j]->content_hash == fact[i]->content_hash;
        if (!kept && !quarantined)
            DIFFER("a copy of interaction %s is neither stored nor in quarantine", fact[i]->event_id.ptr);
        if (kept && quarantined)
            DIFFER("the stored copy of interaction %s is in quarantine too", fact[i]->event_id.ptr);
    }
    return PK_OK;
}
