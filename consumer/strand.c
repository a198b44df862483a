/* SPDX-License-Identifier: Apache-2.0 */
#include "strand.h"
#include "metric.h"

void strand_init(struct strand *strand)
{
    *strand = (struct strand){.contact_at_us = PK_NO_TIME, .awaiting_at_us = PK_NO_TIME};
}

struct strand_step { /* where one event's part of the aggregates goes */
    const struct fact *fact;
    struct pk_arena *arena;
    struct tally *tally;
    int sign;
};

static void add_transition(const struct strand *strand, const struct strand_step *step)
{
    const struct fact *fact = step->fact;
    struct tally_entry *entry =
        tally_add(step->tally, step->arena, AGGREGATE_transition_hourly, hour_of(fact->at_us), step->sign);
    entry->dim[0] = (int32_t)fact->brand;
    entry->dim[1] = (int32_t)strand->contact_channel;
    entry->dim[2] = (int32_t)fact->channel;
    entry->dim[3] = strand->contact_failed && strand->contact_channel != fact->channel;
    entry->count[0] = 1;
    entry->count[1] = fact->at_us - strand->contact_at_us;
}

static void add_reply(const struct strand *strand, const struct strand_step *step)
{
    struct tally_entry *entry =
        tally_add(step->tally, step->arena, AGGREGATE_duration_hourly, hour_of(strand->awaiting_at_us), step->sign);
    /* dim[0] stays 0: next_reply */
    entry->dim[1] = (int32_t)strand->awaiting_brand;
    entry->dim[2] = (int32_t)strand->awaiting_unit;
    entry->dim[3] = (int32_t)strand->awaiting_channel;
    entry->count[0] = strand->awaiting_at_us;
    entry->count[1] = step->fact->at_us;
}

static void note_contact(struct strand *strand, const struct fact *fact)
{
    strand->contact_at_us = fact->at_us;
    strand->contact_channel = fact->channel;
    strand->contact_failed = fact->traits & TRAIT(SELFSERVICE_FAILED);
}

static void note_awaiting(struct strand *strand, const struct fact *fact)
{
    if (fact->direction != EVENT_INBOUND || strand->awaiting_at_us != PK_NO_TIME)
        return;
    strand->awaiting_at_us = fact->at_us;
    strand->awaiting_brand = fact->brand;
    strand->awaiting_unit = fact->unit;
    strand->awaiting_channel = fact->channel;
}

void strand_take(struct strand *strand, const struct meaning *meaning, const struct fact *fact, bool crowd,
                 struct pk_arena *arena, struct tally *tally, int sign)
{
    const struct strand_step step = {fact, arena, tally, sign};
    bool contact = fact->traits & TRAIT(CONTACT);
    if (fact->traits & TRAIT(PASSIVE))
        return;
    if (!crowd && fact->traits & TRAIT(HUMAN_REPLY) && strand->awaiting_at_us != PK_NO_TIME) {
        add_reply(strand, &step);
        strand->awaiting_at_us = PK_NO_TIME;
    }
    if (!crowd && contact && strand->contact_at_us != PK_NO_TIME)
        add_transition(strand, &step);
    if (contact)
        note_contact(strand, fact);
    if (contact && !crowd)
        note_awaiting(strand, fact);
    if (!crowd)
        course_take(&strand->courses, fact, meaning->matcher, arena, tally, sign);
}

/* ---- of a customer ---- */

enum { REPEAT_DAYS = 30 };

void needs_init(struct needs *needs)
{
    *needs = (struct needs){.first_purchase_at_us = PK_NO_TIME, .last_purchase_at_us = PK_NO_TIME};
}

static void add_purchases(struct needs *needs, uint32_t purchases, int64_t first_at_us, int64_t last_at_us)
{
    if (needs->first_purchase_at_us == PK_NO_TIME || first_at_us < needs->first_purchase_at_us)
        needs->first_purchase_at_us = first_at_us;
    needs->last_purchase_at_us = PK_MAX(needs->last_purchase_at_us, last_at_us);
    needs->purchases += purchases;
}

void needs_carry(struct needs *needs, const struct carry *carry)
{
    if (carry->purchases)
        add_purchases(needs, carry->purchases, carry->first_purchase_at_us, carry->last_purchase_at_us);
}

/* Forgets those that nothing can repeat any more. The one of the event comes last if it is there; else NULL. */
static struct need *find_need(struct needs *needs, const struct need *wanted)
{
    uint32_t kept = 0;
    bool found = false;
    struct need same = {0};
    for (uint32_t i = 0; i < needs->count; i++) {
        const struct need *need = &needs->need[i];
        if (wanted->at_us - need->at_us > REPEAT_DAYS * PK_DAY_US)
            continue;
        if (need->cause == wanted->cause && need->topic == wanted->topic) {
            same = *need;
            found = true;
            continue;
        }
        if (kept != i)
            needs->need[kept] = *need;
        kept++;
    }
    needs->count = kept;
    if (!found)
        return NULL;
    needs->need[needs->count++] = same;
    return &needs->need[kept];
}

static struct tally_entry *add_need(const struct need *need, struct pk_arena *arena, struct tally *tally, int sign)
{
    struct tally_entry *entry = tally_add(tally, arena, AGGREGATE_repeat_daily, day_of(need->at_us), sign);
    entry->dim[0] = (int32_t)need->brand;
    entry->dim[1] = (int32_t)need->unit;
    entry->dim[2] = (int32_t)need->channel;
    entry->dim[3] = (int32_t)need->cause;
    entry->dim[4] = (int32_t)need->topic;
    return entry;
}

static void add_repeat(const struct need *before, int64_t after_us, struct pk_arena *arena, struct tally *tally, int sign)
{
    static const int days[] = {1, 7, 14, REPEAT_DAYS};
    struct tally_entry *entry = add_need(before, arena, tally, sign);
    for (size_t i = 0; i < PK_COUNT(days); i++)
        entry->count[1 + i] = after_us <= days[i] * PK_DAY_US;
}

int64_t needs_take(struct needs *needs, const struct fact *fact, struct pk_arena *arena, struct tally *tally, int sign)
{
    if (fact->traits & TRAIT(PURCHASE))
        add_purchases(needs, 1, fact->at_us, fact->at_us);
    if ((fact->traits & (TRAIT(CONTACT) | TRAIT(PASSIVE))) != TRAIT(CONTACT) || fact->direction != EVENT_INBOUND ||
        fact->sensitivity == EVENT_SENSITIVE || (!fact->cause && !fact->topic))
        return PK_NO_TIME;
    const struct need now = {fact->cause, fact->cause ? 0 : fact->topic, fact->at_us,
                             fact->brand, fact->unit,                    fact->channel};
    add_need(&now, arena, tally, sign)->count[0] = 1;
    if (needs->cap < needs->count)
        needs->need = pk_arena_grow(arena, needs->need, needs->count, sizeof *needs->need, &needs->cap);
    struct need *before = find_need(needs, &now);
    int64_t after_us = PK_NO_TIME;
    if (before) {
        after_us = fact->at_us - before->at_us;
        add_repeat(before, after_us, arena, tally, sign);
    } else {
        if (needs->count == needs->cap)
            needs->need = pk_arena_grow(arena, needs->need, needs->count, sizeof *needs->need, &needs->cap);
        before = &needs->need[needs->count++];
    }
    *before = now;
    return after_us;
}
