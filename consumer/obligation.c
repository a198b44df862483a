/* SPDX-License-Identifier: Apache-2.0 */
#include "obligation.h"
#include "journey.h"

#include <inttypes.h>
#include <stdio.h>

bool obligation_same(const struct obligation *a, const struct obligation *b)
{
    return pk_hash_eq(a->id, b->id) && pk_hash_eq(a->customer, b->customer) && pk_hash_eq(a->journey, b->journey) &&
           pk_hash_eq(a->case_key, b->case_key) && a->kind == b->kind && a->explicit_ == b->explicit_ &&
           a->label == b->label && a->brand == b->brand && a->unit == b->unit && a->role == b->role &&
           a->from_brand == b->from_brand && a->from_unit == b->from_unit && a->cycle == b->cycle &&
           a->handoff == b->handoff && a->has_money == b->has_money && a->amount_minor == b->amount_minor &&
           a->currency == b->currency &&
           a->opened_at_us == b->opened_at_us && pk_hash_eq(a->opened_by, b->opened_by) &&
           a->due_from_us == b->due_from_us && a->first_due_to_us == b->first_due_to_us &&
           a->due_to_us == b->due_to_us && a->changed_at_us == b->changed_at_us && a->attempts == b->attempts &&
           a->first_attempt_at_us == b->first_attempt_at_us && a->last_attempt_at_us == b->last_attempt_at_us &&
           a->fulfilled_at_us == b->fulfilled_at_us && a->rejected_at_us == b->rejected_at_us &&
           a->withdrawn_at_us == b->withdrawn_at_us && pk_hash_eq(a->fulfilled_by, b->fulfilled_by);
}

void ledger_done(struct ledger *ledger)
{
    pk_map_done(&ledger->by_id);
}

/* ---- opening ---- */

static struct pk_hash rule_opened_id(const struct meaning *meaning, const struct fact *fact, sym_t kind)
{
    char micros[24];
    int len = snprintf(micros, sizeof micros, "%" PRId64, fact->at_us);
    const struct pk_str part[] = {symbol_text(meaning->symbols, fact->source), fact->event_id,
                                  {micros, (size_t)len}, symbol_text(meaning->symbols, kind)};
    return fact_hash(meaning->hasher, part, PK_COUNT(part));
}

static const struct rules_kind *valid_rule(const struct rules *rules, sym_t kind, int64_t at_us)
{
    for (size_t i = 0; i < rules->kind_count; i++) {
        const struct rules_kind *rule = &rules->kind[i];
        if (rule->kind == kind && rule->valid_from_us <= at_us && at_us <= rule->valid_to_us)
            return rule;
    }
    return NULL;
}

static void sort_by_id(struct opening *opening, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && pk_hash_cmp(opening[j].id, opening[j - 1].id) < 0; j--) {
            struct opening swap = opening[j];
            opening[j] = opening[j - 1];
            opening[j - 1] = swap;
        }
}

size_t obligation_openings(const struct meaning *meaning, const struct fact *fact, struct opening ret[OPENINGS_MAX])
{
    size_t count = 0;
    if (fact->has_promise)
        ret[count++] = (struct opening){fact->promise.id, valid_rule(meaning->rules, fact->promise.kind, fact->at_us),
                                        true};
    for (uint64_t mask = match_opens(meaning->matcher, fact); mask; mask &= mask - 1) {
        const struct rules_kind *rule = &meaning->rules->kind[__builtin_ctzll(mask)];
        ret[count++] = (struct opening){rule_opened_id(meaning, fact, rule->kind), rule, false};
    }
    if (count > 1)
        sort_by_id(ret, count);
    return count;
}

struct accountable {
    sym_t brand, unit, role;
};

static struct accountable accountable_of(const struct fact *fact, bool explicit_)
{
    struct accountable who = {fact->brand, fact->unit, 0};
    const struct fact_promise *promise = &fact->promise;
    if (explicit_ && (promise->brand || promise->unit || promise->role))
        who = (struct accountable){promise->brand, promise->unit, promise->role};
    else if (fact->has_handoff && (fact->to_brand || fact->to_unit || fact->to_role))
        who = (struct accountable){fact->to_brand, fact->to_unit, fact->to_role};
    if (!who.brand)
        who.brand = fact->brand;
    return who;
}

static struct obligation *find(const struct ledger *ledger, struct pk_hash id)
{
    if (ledger->indexed) {
        uintptr_t found = (uintptr_t)pk_map_get(&ledger->by_id, id);
        return found ? ledger->item[found - 1] : NULL;
    }
    for (uint32_t i = ledger->item_count; i-- > 0;)
        if (pk_hash_eq(ledger->item[i]->id, id))
            return ledger->item[i];
    return NULL;
}

const struct obligation *ledger_find_open(const struct ledger *ledger, struct pk_hash id)
{
    const struct obligation *found = find(ledger, id);
    return found && !obligation_closed(found) ? found : NULL;
}

/* Of what a rule opens. */
static int64_t due_of(const struct rules *rules, const struct rules_kind *rule, int64_t at_us, struct accountable who)
{
    if (rule->within_us == PK_NO_TIME)
        return PK_NO_TIME;
    if (!rule->business)
        return at_us + rule->within_us;
    return calendar_due(calendar_of(rules->calendar, rules->calendar_count, who.brand, who.unit), at_us, rule->within_us);
}

void ledger_resume(struct ledger *ledger, struct obligation *const *open, uint32_t count)
{
    ledger->item = pk_arena_copy(ledger->arena, open, count * sizeof *open);
    ledger->item_count = ledger->item_cap = ledger->cycled = count;
    for (uint32_t i = 0; i < count; i++)
        if (open[i]->attempts)
            *PK_PUSH(ledger->arena, ledger, tried) = i;
}

static void open_one(struct ledger *ledger, struct fact *fact, const struct opening *opening)
{
    const struct rules_kind *rule = opening->rule;
    struct accountable who = accountable_of(fact, opening->explicit_);
    int64_t due_to = opening->explicit_ ? fact->promise.due_to_us
                                        : due_of(ledger->meaning->rules, rule, fact->at_us, who);
    struct obligation *o = PK_NEW(ledger->arena, struct obligation);
    *o = (struct obligation){
        .id = opening->id,
        .customer = fact->customer,
        .journey = fact->journey ? fact->journey->id : (struct pk_hash){{0}},
        .case_key = fact->case_key,
        .kind = opening->explicit_ ? fact->promise.kind : rule->kind,
        .explicit_ = opening->explicit_,
        .label = rule ? rule->label : LABEL_NONE,
        .brand = who.brand,
        .unit = who.unit,
        .role = who.role,
        .from_brand = fact->brand,
        .from_unit = fact->unit,
        .cycle = 1,
        .handoff = rule && rule->handoff,
        .has_money = fact->has_money,
        .amount_minor = fact->has_money ? fact->money.amount_minor : 0,
        .currency = fact->has_money ? fact->money.currency : 0,
        .opened_at_us = fact->at_us,
        .opened_by = fact->event_hash,
        .due_from_us = opening->explicit_ ? fact->promise.due_from_us : PK_NO_TIME,
        .first_due_to_us = due_to,
        .due_to_us = due_to,
        .changed_at_us = PK_NO_TIME,
        .first_attempt_at_us = PK_NO_TIME,
        .last_attempt_at_us = PK_NO_TIME,
        .fulfilled_at_us = PK_NO_TIME,
        .rejected_at_us = PK_NO_TIME,
        .withdrawn_at_us = PK_NO_TIME,
        .rule = rule,
        .opener = fact,
        .made = true,
    };
    *PK_PUSH(ledger->arena, ledger, item) = o;
    *PK_PUSH(ledger->arena, ledger, made) = o;
    if (ledger->indexed)
        pk_map_put(&ledger->by_id, o->id, (void *)(uintptr_t)ledger->item_count);
}

void ledger_open(struct ledger *ledger, struct fact *fact)
{
    struct opening opening[OPENINGS_MAX];
    size_t count = pk_hash_zero(fact->customer) ? 0 : obligation_openings(ledger->meaning, fact, opening);
    for (size_t i = 0; i < count; i++)
        if (!opening[i].explicit_ || (!fact->promise_sealed && !find(ledger, opening[i].id)))
            open_one(ledger, fact, &opening[i]);
}

/* ---- cycles ---- */

static uint32_t cycle_of(struct ledger *ledger, const struct obligation *o, uint32_t before)
{
    uint32_t greatest = 0, kept = 0;
    for (uint32_t i = 0; i < ledger->tried_count; i++) {
        const struct obligation *other = ledger->item[ledger->tried[i]];
        if (obligation_closed(other))
            continue;
        ledger->tried[kept++] = ledger->tried[i];
        if (ledger->tried[i] < before && other->kind == o->kind && other->brand == o->brand &&
            pk_hash_eq(other->customer, o->customer))
            greatest = PK_MAX(greatest, other->cycle);
    }
    ledger->tried_count = kept;
    return greatest + 1;
}

/* Of those that this event opens, as things are before it acts. Items are in the order of their opening events. */
static void count_cycles(struct ledger *ledger, const struct fact *fact)
{
    for (uint32_t first = ledger->cycled; ledger->cycled < ledger->item_count; ledger->cycled++) {
        struct obligation *o = ledger->item[ledger->cycled];
        if (o->opener != fact)
            return;
        o->cycle = cycle_of(ledger, o, first);
    }
}

/* ---- acting ---- */

static struct obligation *own(struct ledger *ledger, uint32_t index)
{
    struct obligation *o = ledger->item[index];
    if (o->made)
        return o;
    struct obligation *copy = pk_arena_copy(ledger->arena, o, sizeof *copy);
    copy->made = true;
    copy->old = o;
    ledger->item[index] = copy;
    *PK_PUSH(ledger->arena, ledger, made) = copy;
    return copy;
}

static void apply(struct ledger *ledger, uint32_t index, unsigned acts, const struct fact *fact)
{
    struct obligation *o = own(ledger, index);
    if (acts & ACT_ATTEMPT) {
        if (o->attempts++ == 0) {
            o->first_attempt_at_us = fact->at_us;
            *PK_PUSH(ledger->arena, ledger, tried) = index;
        }
        o->last_attempt_at_us = fact->at_us;
    }
    if (acts & ACT_FULFIL) {
        o->fulfilled_at_us = fact->at_us;
        o->fulfilled_by = fact->event_hash;
    }
    if (acts & ACT_REJECT)
        o->rejected_at_us = fact->at_us;
    if (acts & ACT_WITHDRAW)
        o->withdrawn_at_us = fact->at_us;
}

static bool names(const struct fact *fact, const struct obligation *o)
{
    return pk_hash_eq(fact->relates, o->id) || pk_hash_eq(fact->relates, o->opened_by);
}

/* Opened before the event in event order, or at most `skew` later. */
static bool in_reach(const struct ledger *ledger, const struct fact *fact, const struct obligation *o)
{
    return !o->opener || o->opener->order < fact->order ||
           o->opened_at_us - fact->at_us <= ledger->meaning->rules->skew_us;
}

/* Neither this one nor any that was opened after it. */
static bool beyond_reach(const struct ledger *ledger, const struct fact *fact, const struct obligation *o)
{
    return pk_hash_zero(fact->relates) && !in_reach(ledger, fact, o);
}

enum reach { NOT_REACHED, REACHED_FIRST_OPEN, REACHED_CASE, REACHED_NAME };

static enum reach reach_of(const struct ledger *ledger, const struct fact *fact, const struct obligation *o)
{
    if (o->opener == fact || obligation_closed(o))
        return NOT_REACHED;
    if (!pk_hash_zero(fact->relates))
        return names(fact, o) ? REACHED_NAME : NOT_REACHED;
    if (!in_reach(ledger, fact, o))
        return NOT_REACHED;
    bool same_customer = pk_hash_eq(fact->customer, o->customer);
    bool case_of_event = !pk_hash_zero(fact->case_key), case_of_o = !pk_hash_zero(o->case_key);
    if (case_of_event && pk_hash_eq(fact->case_key, o->case_key))
        return same_customer || (o->rule && o->rule->across) ? REACHED_CASE : NOT_REACHED;
    if (same_customer && o->brand == fact->brand && !(case_of_event && case_of_o))
        return REACHED_FIRST_OPEN;
    return NOT_REACHED;
}

/* The targets of one kind: those reached in the strongest way; the oldest, or all. */
static void act_on_kind(struct ledger *ledger, const struct fact *fact, sym_t kind)
{
    enum reach best = NOT_REACHED;
    uint32_t oldest = 0;
    for (uint32_t i = ledger->closed; i < ledger->item_count; i++) {
        const struct obligation *o = ledger->item[i];
        if (beyond_reach(ledger, fact, o))
            break;
        if (o->kind != kind)
            continue;
        enum reach reach = reach_of(ledger, fact, o);
        if (reach > best && match_acts(ledger->meaning->matcher, fact, o->rule)) {
            best = reach;
            oldest = i;
        }
    }
    if (best == NOT_REACHED)
        return;
    const struct rules_kind *rule = ledger->item[oldest]->rule;
    uint32_t end = rule && rule->consume_all ? ledger->item_count : oldest + 1;
    for (uint32_t i = oldest; i < end; i++) {
        const struct obligation *o = ledger->item[i];
        if (beyond_reach(ledger, fact, o))
            break;
        if (o->kind != kind || reach_of(ledger, fact, o) != best)
            continue;
        unsigned acts = match_acts(ledger->meaning->matcher, fact, o->rule);
        if (acts)
            apply(ledger, i, acts, fact);
    }
}

static void act_by_name(struct ledger *ledger, const struct fact *fact)
{
    for (uint32_t i = ledger->closed; i < ledger->item_count; i++) {
        sym_t kind = ledger->item[i]->kind;
        if (!names(fact, ledger->item[i]))
            continue;
        bool done = false; /* each kind once, at its first named obligation */
        for (uint32_t j = ledger->closed; j < i && !done; j++)
            done = ledger->item[j]->kind == kind && names(fact, ledger->item[j]);
        if (!done)
            act_on_kind(ledger, fact, kind);
    }
}

static void act_by_rule(struct ledger *ledger, const struct fact *fact)
{
    const struct rules *rules = ledger->meaning->rules;
    uint64_t mask = match_acting(ledger->meaning->matcher, fact), done = 0;
    for (; mask; mask &= mask - 1) {
        int index = __builtin_ctzll(mask);
        if (done >> index & 1)
            continue;
        for (size_t i = (size_t)index; i < rules->kind_count; i++) /* entries of the same kind are one kind */
            if (rules->kind[i].kind == rules->kind[index].kind)
                done |= UINT64_C(1) << i;
        act_on_kind(ledger, fact, rules->kind[index].kind);
    }
}

static void change_due(struct ledger *ledger, const struct fact *fact)
{
    const struct fact_promise *promise = &fact->promise;
    for (uint32_t i = 0; i < ledger->item_count; i++) {
        const struct obligation *found = ledger->item[i];
        if (!pk_hash_eq(found->id, promise->id))
            continue;
        if (found->opener == fact || obligation_closed(found) || promise->due_to_us == PK_NO_TIME ||
            (found->due_from_us == promise->due_from_us && found->due_to_us == promise->due_to_us))
            return;
        struct obligation *o = own(ledger, i);
        o->due_from_us = promise->due_from_us;
        o->due_to_us = promise->due_to_us;
        o->changed_at_us = fact->at_us;
        return;
    }
}

void ledger_act(struct ledger *ledger, const struct fact *fact)
{
    count_cycles(ledger, fact);
    while (ledger->closed < ledger->item_count && obligation_closed(ledger->item[ledger->closed]))
        ledger->closed++;
    if (ledger->closed == ledger->item_count)
        return;
    if (!pk_hash_zero(fact->relates))
        act_by_name(ledger, fact);
    else if (!pk_hash_zero(fact->customer))
        act_by_rule(ledger, fact);
    if (fact->has_promise && !pk_hash_zero(fact->customer))
        change_due(ledger, fact);
}
