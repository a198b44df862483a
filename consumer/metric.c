/* SPDX-License-Identifier: Apache-2.0 */
#include "metric.h"

#include <stdlib.h>

/* A bucket's key: up to four symbols and an hour; `list` says which aggregate. */
struct metric_key {
    int64_t hour_us;
    sym_t dim[4];
    uint32_t list, zero; /* `zero` instead of padding: keys are compared as bytes */
};
struct metric_slot {
    struct metric_key key;
    uint32_t index; /* + 1; 0 = free */
};
enum { LIST_INTERACTIONS, LIST_OBLIGATIONS };

void metrics_reset(struct metrics *metrics)
{
    if (metrics->used)
        memset(metrics->slot, 0, metrics->slots * sizeof *metrics->slot);
    metrics->used = 0;
    metrics->interactions.len = 0;
    metrics->obligations.len = 0;
}

void metrics_done(struct metrics *metrics)
{
    free(metrics->slot);
    pk_vec_done(&metrics->interactions);
    pk_vec_done(&metrics->obligations);
    *metrics = (struct metrics){0};
}

static uint64_t key_hash(const struct metric_key *key)
{
    uint64_t word[4], hash = 0;
    _Static_assert(offsetof(struct metric_key, zero) + sizeof key->zero == sizeof word, "no padding in a key");
    memcpy(word, key, sizeof word);
    for (size_t i = 0; i < PK_COUNT(word); i++)
        hash = (hash ^ word[i]) * UINT64_C(0x9E3779B97F4A7C15), hash ^= hash >> 29;
    return hash;
}

static struct metric_slot *slot_of(const struct metrics *metrics, const struct metric_key *key)
{
    size_t at = key_hash(key) & (metrics->slots - 1);
    while (metrics->slot[at].index && memcmp(&metrics->slot[at].key, key, sizeof *key) != 0)
        at = (at + 1) & (metrics->slots - 1);
    return &metrics->slot[at];
}

static void grow(struct metrics *metrics)
{
    struct metrics old = *metrics;
    metrics->slots = old.slots ? old.slots * 2 : 1024;
    metrics->slot = pk_alloc(metrics->slots * sizeof *metrics->slot);
    for (size_t i = 0; i < old.slots; i++)
        if (old.slot[i].index)
            *slot_of(metrics, &old.slot[i].key) = old.slot[i];
    free(old.slot);
}

/* The slot of the bucket; index 0 if it is new, and then the caller appends a row and sets it. */
static struct metric_slot *bucket(struct metrics *metrics, struct metric_key key)
{
    if (metrics->used * 2 >= metrics->slots)
        grow(metrics);
    struct metric_slot *slot = slot_of(metrics, &key);
    if (!slot->index) {
        slot->key = key;
        metrics->used++;
    }
    return slot;
}

static int64_t hour_of(int64_t at_us)
{
    int64_t hour = at_us / PK_HOUR_US - (at_us % PK_HOUR_US < 0);
    return hour * PK_HOUR_US;
}

void metrics_add_event(struct metrics *metrics, const struct fact *fact, int sign)
{
    struct metric_key key = {hour_of(fact->at_us), {fact->brand, fact->channel, fact->type, fact->outcome},
                             LIST_INTERACTIONS};
    struct metric_slot *slot = bucket(metrics, key);
    if (!slot->index) {
        *pk_vec_push(&metrics->interactions) =
            (struct change_interactions){.hour_us = key.hour_us, .brand = fact->brand, .channel = fact->channel,
                                         .type = fact->type, .outcome = fact->outcome};
        slot->index = (uint32_t)metrics->interactions.len;
    }
    struct change_interactions *row = &metrics->interactions.ptr[slot->index - 1];
    row->interactions += sign;
    row->contacts += (fact->traits & (TRAIT(CONTACT) | TRAIT(PASSIVE))) == TRAIT(CONTACT) ? sign : 0;
}

static void add_outcome(struct change_obligations *row, const struct obligation *o, int sign)
{
    row->opened += sign;
    if (o->withdrawn_at_us != PK_NO_TIME)
        row->withdrawn += sign;
    else if (o->rejected_at_us != PK_NO_TIME)
        row->rejected += sign;
    else if (o->fulfilled_at_us == PK_NO_TIME)
        row->attempted += o->attempts ? sign : 0;
    else if (o->due_to_us != PK_NO_TIME && o->fulfilled_at_us > o->due_to_us)
        row->late += sign;
    else if (o->due_to_us != PK_NO_TIME && o->due_from_us != PK_NO_TIME &&
             10 * (o->fulfilled_at_us - o->due_from_us) > 9 * (o->due_to_us - o->due_from_us))
        row->kept_late_in_window += sign;
    else
        row->kept += sign;
}

void metrics_add_obligation(struct metrics *metrics, const struct obligation *o, int sign)
{
    int64_t due_hour = o->due_to_us == PK_NO_TIME ? PK_NO_TIME : hour_of(o->due_to_us);
    struct metric_slot *slot =
        bucket(metrics, (struct metric_key){due_hour, {o->kind, o->brand, o->unit, 0}, LIST_OBLIGATIONS});
    if (!slot->index) {
        *pk_vec_push(&metrics->obligations) = (struct change_obligations){
            .kind = o->kind, .brand = o->brand, .unit = o->unit, .due_hour_us = due_hour};
        slot->index = (uint32_t)metrics->obligations.len;
    }
    add_outcome(&metrics->obligations.ptr[slot->index - 1], o, sign);
}

/* ---- collecting ---- */

#define ORDER(a, b) ((a) < (b) ? -1 : (a) > (b))

static int compare_interactions(const void *left, const void *right)
{
    const struct change_interactions *a = left, *b = right;
    int order = ORDER(a->hour_us, b->hour_us);
    order = order ? order : ORDER(a->brand, b->brand);
    order = order ? order : ORDER(a->channel, b->channel);
    order = order ? order : ORDER(a->type, b->type);
    return order ? order : ORDER(a->outcome, b->outcome);
}

static int compare_obligations(const void *left, const void *right)
{
    const struct change_obligations *a = left, *b = right;
    int order = ORDER(a->kind, b->kind);
    order = order ? order : ORDER(a->brand, b->brand);
    order = order ? order : ORDER(a->unit, b->unit);
    return order ? order : ORDER(a->due_hour_us, b->due_hour_us);
}

void metrics_collect(struct metrics *metrics, struct changes *changes)
{
    for (size_t i = 0; i < metrics->interactions.len; i++) {
        const struct change_interactions *row = &metrics->interactions.ptr[i];
        if (row->interactions || row->contacts)
            *pk_vec_push(&changes->interactions) = *row;
    }
    for (size_t i = 0; i < metrics->obligations.len; i++) {
        const struct change_obligations *row = &metrics->obligations.ptr[i];
        if (row->opened || row->kept || row->kept_late_in_window || row->late || row->attempted || row->rejected ||
            row->withdrawn)
            *pk_vec_push(&changes->obligations) = *row;
    }
    if (changes->interactions.len)
        qsort(changes->interactions.ptr, changes->interactions.len, sizeof *changes->interactions.ptr,
              compare_interactions);
    if (changes->obligations.len)
        qsort(changes->obligations.ptr, changes->obligations.len, sizeof *changes->obligations.ptr,
              compare_obligations);
}
