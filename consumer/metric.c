/* SPDX-License-Identifier: Apache-2.0 */
#include "metric.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the tables, from aggregate.def ---- */

/* Where a dimension or a count stands: its enumerator minus that of its table, minus one. */
enum {
    before_dims
#define TABLE(table) , table##_dims_from
#define SYM(table, column) , table##_dim_##column
#define INT(table, column) , table##_dim_##column
#include "aggregate.def"
};
enum {
    before_counts
#define TABLE(table) , table##_counts_from
#define COUNT(table, column) , table##_count_##column
#include "aggregate.def"
};
enum {
    no_dims
#define TABLE(table) , table##_dims = 0
#define SYM(table, column) +1
#define INT(table, column) +1
#include "aggregate.def"
};
enum {
    no_counts
#define TABLE(table) , table##_counts = 0
#define COUNT(table, column) +1
#include "aggregate.def"
};
#define DIM_PLACE(table, column) (table##_dim_##column - table##_dims_from - 1)
enum {
    no_symbols
#define TABLE(table) , table##_symbols = 0
#define SYM(table, column) | 1 << DIM_PLACE(table, column)
#include "aggregate.def"
};

const struct aggregate_table aggregate_tables[AGGREGATE_COUNT] = {
#define TABLE(table)                                                                                                 \
    [AGGREGATE_##table].name = #table, [AGGREGATE_##table].dims = table##_dims,                                     \
    [AGGREGATE_##table].counts = table##_counts, [AGGREGATE_##table].symbols = table##_symbols,
#define TIME(table, column) [AGGREGATE_##table].time = #column,
#define SYM(table, column) DIM(table, column)
#define INT(table, column) DIM(table, column)
#define DIM(table, column) [AGGREGATE_##table].dim[DIM_PLACE(table, column)] = #column,
#define COUNT(table, column)                                                                                         \
    [AGGREGATE_##table].count[table##_count_##column - table##_counts_from - 1] = #column,
#include "aggregate.def"
};

/* ---- buckets ---- */

struct metric_slot {
    uint64_t hash;
    uint32_t index; /* of `bucket`, + 1; 0 = free */
};

static sym_t intern(struct metrics *metrics, const char *text)
{
    return symbol_of(metrics->symbols, pk_str(text));
}

/* kept.KIND, once for each kind. */
static sym_t kept_measure(struct metrics *metrics, sym_t kind)
{
    while (metrics->kept.len <= kind)
        *pk_vec_push(&metrics->kept) = 0;
    sym_t *known = &metrics->kept.ptr[kind];
    if (!*known) {
        char text[512];
        struct pk_str name = symbol_text(metrics->symbols, kind);
        snprintf(text, sizeof text, "kept.%.*s", (int)PK_MIN(name.len, (size_t)500), name.ptr);
        *known = intern(metrics, text);
    }
    return *known;
}

void metrics_init(struct metrics *metrics, const struct rules *rules, struct symbols *symbols)
{
    *metrics = (struct metrics){.rules = rules, .symbols = symbols};
    metrics->first_reply = intern(metrics, "first_reply");
    metrics->next_reply = intern(metrics, "next_reply");
    metrics->resolution = intern(metrics, "resolution");
    for (size_t i = 0; i < rules->kind_count; i++)
        kept_measure(metrics, rules->kind[i].kind);
    metrics->counts.keep_bytes = 8 << 20;
}

void metrics_reset(struct metrics *metrics)
{
    if (metrics->bucket.len)
        memset(metrics->slot, 0, metrics->slots * sizeof *metrics->slot);
    metrics->bucket.len = 0;
    pk_arena_reset(&metrics->counts);
}

void metrics_done(struct metrics *metrics)
{
    free(metrics->slot);
    pk_vec_done(&metrics->bucket);
    pk_vec_done(&metrics->kept);
    pk_arena_done(&metrics->counts);
    *metrics = (struct metrics){0};
}

static uint64_t mixed(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

static uint64_t hash_of(enum aggregate table, int64_t at_us, const int32_t *dim)
{
    uint64_t hash = mixed((uint64_t)table, (uint64_t)at_us);
    for (uint32_t i = 0; i < aggregate_tables[table].dims; i++)
        hash = mixed(hash, (uint32_t)dim[i]);
    return hash;
}

static void grow(struct metrics *metrics)
{
    struct metric_slot *old = metrics->slot;
    size_t slots = metrics->slots;
    metrics->slots = slots ? slots * 2 : 1024;
    metrics->slot = pk_alloc(metrics->slots * sizeof *metrics->slot);
    for (size_t i = 0; i < slots; i++) {
        if (!old[i].index)
            continue;
        size_t at = old[i].hash & (metrics->slots - 1);
        while (metrics->slot[at].index)
            at = (at + 1) & (metrics->slots - 1);
        metrics->slot[at] = old[i];
    }
    free(old);
}

static bool is_bucket(const struct change_aggregate *bucket, enum aggregate table, int64_t at_us, const int32_t *dim)
{
    return bucket->table == table && bucket->at_us == at_us &&
           memcmp(bucket->dim, dim, aggregate_tables[table].dims * sizeof *dim) == 0;
}

/* The counts of the bucket; all zero if it is new. They are written here alone, though const to all others. */
static int64_t *counts_of(struct metrics *metrics, enum aggregate table, int64_t at_us, const int32_t *dim)
{
    if (metrics->bucket.len * 2 >= metrics->slots)
        grow(metrics);
    uint64_t hash = hash_of(table, at_us, dim);
    size_t at = hash & (metrics->slots - 1);
    for (; metrics->slot[at].index; at = (at + 1) & (metrics->slots - 1)) {
        const struct change_aggregate *found = &metrics->bucket.ptr[metrics->slot[at].index - 1];
        if (metrics->slot[at].hash == hash && is_bucket(found, table, at_us, dim))
            return (int64_t *)found->count;
    }
    int64_t *count = PK_NEW_ARRAY(&metrics->counts, int64_t, aggregate_tables[table].counts);
    struct change_aggregate *bucket = pk_vec_push(&metrics->bucket);
    *bucket = (struct change_aggregate){.table = table, .at_us = at_us, .count = count};
    memcpy(bucket->dim, dim, aggregate_tables[table].dims * sizeof *dim);
    metrics->slot[at] = (struct metric_slot){hash, (uint32_t)metrics->bucket.len};
    return count;
}

static int64_t start_of(int64_t at_us, int64_t length_us)
{
    int64_t number = at_us / length_us - (at_us % length_us < 0);
    return number * length_us;
}

int64_t hour_of(int64_t at_us)
{
    return start_of(at_us, PK_HOUR_US);
}

int64_t day_of(int64_t at_us)
{
    return start_of(at_us, PK_DAY_US);
}

static bool is_daily(enum aggregate table)
{
    return aggregate_tables[table].time[0] == 'd' && aggregate_tables[table].time[1] == 'a';
}

void metrics_add(struct metrics *metrics, enum aggregate table, int64_t at_us, const int32_t *dim, const int64_t *count,
                 int sign)
{
    if (at_us != PK_NO_TIME)
        at_us = is_daily(table) ? day_of(at_us) : hour_of(at_us);
    int64_t *sum = counts_of(metrics, table, at_us, dim);
    for (uint32_t i = 0; i < aggregate_tables[table].counts; i++)
        sum[i] += sign * count[i];
}

/* For arrays `dim` and `count` in the order of aggregate.def. */
#define ADD(metrics, table, at_us, dim, count, sign)                                                                 \
    do {                                                                                                             \
        _Static_assert(PK_COUNT(dim) == table##_dims && PK_COUNT(count) == table##_counts, "as in aggregate.def");   \
        metrics_add(metrics, AGGREGATE_##table, at_us, dim, count, sign);                                            \
    } while (0)
#define S(sym) ((int32_t)(sym))

/* ---- events ---- */

static void add_interaction(struct metrics *metrics, const struct fact *fact, int sign)
{
    uint32_t traits = fact->traits & TRAIT(PASSIVE) ? 0 : fact->traits;
    const int32_t dim[] = {S(fact->brand), S(fact->unit),    S(fact->channel),
                           S(fact->type),  S(fact->outcome), fact->sensitivity == EVENT_SENSITIVE ? 0 : S(fact->reason)};
#define HAS(id) (traits >> TRAIT_##id & 1)
    const int64_t count[] = {1,
                             HAS(CONTACT),
                             HAS(UNANSWERED),
                             HAS(REFUSAL),
                             HAS(DEFLECTION),
                             HAS(TRANSFER),
                             HAS(MISROUTE)};
    ADD(metrics, interaction_hourly, fact->at_us, dim, count, sign);
    if (fact->sensitivity == EVENT_SENSITIVE || !(fact->stage || fact->topic || fact->cause))
        return;
    const int32_t need[] = {S(fact->brand), S(fact->stage), S(fact->topic), S(fact->cause)};
    const int64_t needs[] = {1, HAS(CONTACT)};
    ADD(metrics, need_hourly, fact->at_us, need, needs, sign);
#undef HAS
}

/* Rounded half away from zero. 53 bits times 1000 fit into the 64 of a long double. */
static int32_t thousandths(double value)
{
    const long double most = 2e9L;
    long double exact = (long double)value * 1000;
    if (!(exact < most)) /* not a number too */
        return (int32_t)most;
    if (exact <= -most)
        return -(int32_t)most;
    int32_t whole = (int32_t)exact;
    long double rest = exact - whole;
    return whole + (rest >= 0.5L) - (rest <= -0.5L);
}

static void add_rating(struct metrics *metrics, const struct fact *fact, int sign)
{
    const int32_t dim[] = {S(fact->brand),
                           S(fact->unit),
                           S(fact->channel),
                           S(fact->rating.scale),
                           thousandths(fact->rating.score),
                           thousandths(fact->rating.min),
                           thousandths(fact->rating.max)};
    const int64_t count[] = {1};
    ADD(metrics, rating_hourly, fact->at_us, dim, count, sign);
}

static void add_money(struct metrics *metrics, const struct fact *fact, int sign)
{
    const int64_t most = INT64_C(1000000000000), amount = fact->money.amount_minor;
    bool inside = -most <= amount && amount <= most;
    const int32_t dim[] = {S(fact->brand), S(fact->unit), S(fact->money.kind), S(fact->money.currency)};
    const int64_t count[] = {1, inside ? amount : 0, !inside};
    ADD(metrics, money_hourly, fact->at_us, dim, count, sign);
}

void metrics_add_event(struct metrics *metrics, const struct fact *fact, int sign)
{
    add_interaction(metrics, fact, sign);
    if (fact->has_rating)
        add_rating(metrics, fact, sign);
    if (fact->has_money)
        add_money(metrics, fact, sign);
}

/* ---- durations ---- */

int32_t duration_bucket(int64_t length_us)
{
    int64_t ms = length_us > 0 ? length_us / 1000 : 0;
    if (ms < 8)
        return (int32_t)ms;
    int e = 63 - __builtin_clzll((unsigned long long)ms);
    return 8 * (e - 2) + (int32_t)(ms >> (e - 3)) - 8;
}

void metrics_add_duration(struct metrics *metrics, sym_t measure, int64_t from_us, int64_t to_us, sym_t brand, sym_t unit,
                          sym_t channel, int sign)
{
    const struct calendar *calendar =
        calendar_of(metrics->rules->calendar, metrics->rules->calendar_count, brand, unit);
    const int64_t wall = PK_MAX(to_us - from_us, 0), business = calendar_between(calendar, from_us, to_us);
    for (int clock = 0; clock < 2; clock++) {
        int64_t length = clock ? business : wall;
        const int32_t dim[] = {S(measure), clock, S(brand), S(unit), S(channel), duration_bucket(length)};
        const int64_t count[] = {1, length};
        ADD(metrics, duration_hourly, from_us, dim, count, sign);
    }
}

/* ---- courses ---- */

static void add_milestones(struct metrics *metrics, const struct course *course, sym_t id, int sign)
{
    const struct rules_definition *definition = &metrics->rules->definition[course->definition];
    bool completed = course->goal_at_us != PK_NO_TIME;
    for (uint32_t number = 0; number <= definition->milestone_count; number++) {
        bool fallout = !completed && course->furthest == number, reached = false, skipped = false;
        uint32_t failures = 0;
        if (number > 0) {
            reached = course->reached_at_us[number - 1] != PK_NO_TIME;
            skipped = number < course->furthest && !definition->milestone[number - 1].optional && !reached;
            failures = course->failures[number - 1];
        }
        const int32_t dim[] = {S(id), (int32_t)number};
        const int64_t count[] = {reached, fallout, skipped, failures, failures > 0};
        if (reached || fallout || skipped || failures)
            ADD(metrics, milestone_daily, course->start_at_us, dim, count, sign);
    }
}

static void add_course(struct metrics *metrics, const struct course *course, int sign)
{
    sym_t id = metrics->rules->definition[course->definition].id;
    uint32_t skips = course_skipped(course, metrics->rules);
    bool completed = course->goal_at_us != PK_NO_TIME, conformant = course->violations == 0 && skips == 0;
    const int32_t dim[] = {S(id)};
    const int64_t count[] = {1,
                             completed,
                             conformant,
                             completed && conformant,
                             course->violations,
                             skips,
                             completed ? course->goal_at_us - course->start_at_us : 0};
    ADD(metrics, course_daily, course->start_at_us, dim, count, sign);
    add_milestones(metrics, course, id, sign);

    char text[COURSE_TEXT];
    size_t len = course_path_text(course, text);
    const int32_t path[] = {S(id), len ? S(symbol_of(metrics->symbols, (struct pk_str){text, len})) : 0};
    const int64_t courses[] = {1, completed};
    ADD(metrics, path_daily, course->start_at_us, path, courses, sign);
}

/* ---- journeys ---- */

static void add_day(struct metrics *metrics, const struct journey *j, int sign)
{
    const int32_t dim[] = {S(j->entry_brand), S(j->entry_unit), S(j->entry_channel), j->resolved, S(j->terminal_outcome)};
    const int64_t count[] = {1,
                             j->events,
                             j->contacts,
                             j->switches,
                             j->fallbacks,
                             j->repeats,
                             j->unanswered,
                             j->refusals,
                             j->deflections,
                             j->handoffs_offered,
                             j->reopened,
                             j->effort,
                             j->contacts == 1,
                             j->owners == 1 && j->ownerless_us == 0 && j->ownerless_since_us == PK_NO_TIME,
                             j->owners == 0};
    ADD(metrics, journey_daily, j->first_at_us, dim, count, sign);
}

struct span {
    int64_t from_us, to_us; /* PK_NO_TIME: there is none */
};

static struct span first_reply(const struct journey *j)
{
    bool known = j->first_inbound_at_us != PK_NO_TIME && j->first_human_reply_at_us != PK_NO_TIME;
    return known ? (struct span){j->first_inbound_at_us, j->first_human_reply_at_us} : (struct span){PK_NO_TIME, PK_NO_TIME};
}

static struct span resolution(const struct journey *j)
{
    bool known = j->resolved && j->last_terminal_at_us != PK_NO_TIME;
    return known ? (struct span){j->first_at_us, j->last_terminal_at_us} : (struct span){PK_NO_TIME, PK_NO_TIME};
}

static void add_span(struct metrics *metrics, sym_t measure, struct span span, const struct journey *j, int sign)
{
    if (span.from_us != PK_NO_TIME)
        metrics_add_duration(metrics, measure, span.from_us, span.to_us, j->entry_brand, j->entry_unit, j->entry_channel,
                             sign);
}

void metrics_add_journey(struct metrics *metrics, const struct journey *journey, int sign)
{
    add_day(metrics, journey, sign);
    add_span(metrics, metrics->first_reply, first_reply(journey), journey, sign);
    add_span(metrics, metrics->resolution, resolution(journey), journey, sign);
    for (uint32_t i = 0; i < journey->strand.courses.count; i++)
        add_course(metrics, &journey->strand.courses.course[i], sign);
}

static void change_span(struct metrics *metrics, sym_t measure, struct span was, struct span is, const struct journey *old,
                        const struct journey *now)
{
    if (was.from_us == is.from_us && was.to_us == is.to_us && old->entry_brand == now->entry_brand &&
        old->entry_unit == now->entry_unit && old->entry_channel == now->entry_channel)
        return;
    add_span(metrics, measure, was, old, -1);
    add_span(metrics, measure, is, now, +1);
}

static const struct course *course_of(const struct courses *courses, uint32_t definition)
{
    for (uint32_t i = 0; i < courses->count; i++)
        if (courses->course[i].definition == definition)
            return &courses->course[i];
    return NULL;
}

/* The courses of `these` that are not so among `others`. */
static void add_courses_apart(struct metrics *metrics, const struct courses *these, const struct courses *others, int sign)
{
    for (uint32_t i = 0; i < these->count; i++) {
        const struct course *other = course_of(others, these->course[i].definition);
        if (!other || !course_same(&these->course[i], other))
            add_course(metrics, &these->course[i], sign);
    }
}

void metrics_change_journey(struct metrics *metrics, const struct journey *old, const struct journey *now)
{
    add_day(metrics, old, -1);
    add_day(metrics, now, +1);
    change_span(metrics, metrics->first_reply, first_reply(old), first_reply(now), old, now);
    change_span(metrics, metrics->resolution, resolution(old), resolution(now), old, now);
    add_courses_apart(metrics, &old->strand.courses, &now->strand.courses, -1);
    add_courses_apart(metrics, &now->strand.courses, &old->strand.courses, +1);
}

/* ---- obligations ---- */

enum outcome { OPENED, KEPT, KEPT_LATE_IN_WINDOW, LATE, ATTEMPTED, REJECTED, WITHDRAWN };

/* docs/semantics.md 5, without a clock. */
static enum outcome outcome_of(const struct obligation *o)
{
    if (o->withdrawn_at_us != PK_NO_TIME)
        return WITHDRAWN;
    if (o->rejected_at_us != PK_NO_TIME)
        return REJECTED;
    if (o->fulfilled_at_us == PK_NO_TIME)
        return o->attempts ? ATTEMPTED : OPENED;
    if (o->due_to_us == PK_NO_TIME)
        return KEPT;
    if (o->fulfilled_at_us > o->due_to_us)
        return LATE;
    return o->due_from_us != PK_NO_TIME &&
                   10 * (o->fulfilled_at_us - o->due_from_us) > 9 * (o->due_to_us - o->due_from_us)
               ? KEPT_LATE_IN_WINDOW
               : KEPT;
}

static void add_handoff(struct metrics *metrics, const struct obligation *o, enum outcome outcome, int sign)
{
    bool accepted = outcome == KEPT || outcome == KEPT_LATE_IN_WINDOW || outcome == LATE;
    const int32_t dim[] = {S(o->kind), S(o->from_brand), S(o->from_unit), S(o->brand), S(o->unit)};
    const int64_t count[] = {1, accepted, outcome == REJECTED, outcome == WITHDRAWN,
                             accepted ? PK_MAX(o->fulfilled_at_us - o->opened_at_us, 0) : 0};
    ADD(metrics, handoff_hourly, o->opened_at_us, dim, count, sign);
}

void metrics_add_obligation(struct metrics *metrics, const struct obligation *o, int sign)
{
    enum outcome outcome = outcome_of(o);
    const int32_t dim[] = {S(o->kind), S(o->brand), S(o->unit)};
    const int64_t count[] = {1,
                             outcome == KEPT,
                             outcome == KEPT_LATE_IN_WINDOW,
                             outcome == LATE,
                             outcome == ATTEMPTED,
                             outcome == REJECTED,
                             outcome == WITHDRAWN,
                             o->cycle > 1,
                             !o->unit && !o->role,
                             o->attempts};
    ADD(metrics, obligation_hourly, o->due_to_us, dim, count, sign);
    if (o->handoff)
        add_handoff(metrics, o, outcome, sign);
    if (o->fulfilled_at_us != PK_NO_TIME)
        metrics_add_duration(metrics, kept_measure(metrics, o->kind), o->opened_at_us, o->fulfilled_at_us, o->brand,
                             o->unit, 0, sign);
}

/* ---- pairs of events ---- */

struct tally_entry *tally_add(struct tally *tally, struct pk_arena *arena, enum aggregate table, int64_t at_us, int sign)
{
    struct tally_entry *entry = PK_PUSH(arena, tally, entry);
    *entry = (struct tally_entry){.table = table, .at_us = at_us, .sign = sign};
    return entry;
}

void metrics_add_tally(struct metrics *metrics, const struct tally *tally)
{
    for (uint32_t i = 0; i < tally->entry_count; i++) {
        const struct tally_entry *entry = &tally->entry[i];
        const int32_t *dim = entry->dim;
        if (entry->table == AGGREGATE_duration_hourly)
            metrics_add_duration(metrics, dim[0] ? (sym_t)dim[0] : metrics->next_reply, entry->count[0], entry->count[1],
                                 (sym_t)dim[1], (sym_t)dim[2], (sym_t)dim[3], entry->sign);
        else
            metrics_add(metrics, entry->table, entry->at_us, dim, entry->count, entry->sign);
    }
}

/* ---- collecting ---- */

#define ORDER(a, b) ((a) < (b) ? -1 : (a) > (b))

int change_aggregate_cmp(const void *left, const void *right)
{
    const struct change_aggregate *a = left, *b = right;
    int order = ORDER(a->table, b->table);
    order = order ? order : ORDER(a->at_us, b->at_us);
    for (size_t i = 0; !order && i < AGGREGATE_DIMS; i++)
        order = ORDER(a->dim[i], b->dim[i]);
    return order;
}

void metrics_collect(struct metrics *metrics, struct changes *changes)
{
    for (size_t i = 0; i < metrics->bucket.len; i++) {
        const struct change_aggregate *bucket = &metrics->bucket.ptr[i];
        bool any = false;
        for (uint32_t k = 0; k < aggregate_tables[bucket->table].counts; k++)
            any |= bucket->count[k] != 0;
        if (any)
            *pk_vec_push(&changes->aggregate) = *bucket;
    }
    if (changes->aggregate.len)
        qsort(changes->aggregate.ptr, changes->aggregate.len, sizeof *changes->aggregate.ptr, change_aggregate_cmp);
}
