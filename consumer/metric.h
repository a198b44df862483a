/* SPDX-License-Identifier: Apache-2.0 */
/* metric.h - what events, pairs of events, journeys, obligations and courses add to the aggregates, and their differences.
 *
 * Pure. An aggregate changes only by contribution(new) - contribution(old), so it always equals the GROUP BY it stands for
 * (docs/semantics.md 6). aggregate.def lists tables, dimensions and counts. */
#ifndef POLKU_METRIC_H
#define POLKU_METRIC_H

#include "changes.h"

/* The columns of every table: dimensions, then counts, each in the order of aggregate.def. */
struct aggregate_table {
    const char *name, *time;
    const char *dim[AGGREGATE_DIMS], *count[AGGREGATE_COUNTS];
    uint32_t symbols; /* bit per dimension: it is a symbol */
    uint32_t dims, counts;
};
extern const struct aggregate_table aggregate_tables[AGGREGATE_COUNT];

/* ---- collected over a batch: one entry per bucket ---- */

struct metrics {
    struct metric_slot *slot;
    size_t slots;
    PK_VEC(struct change_aggregate) bucket; /* counts: see metric.c */
    struct pk_arena counts;
    const struct rules *rules; /* calendars; definitions; borrowed */
    struct symbols *symbols;   /* interns measures and paths: new words need their ids before the changes are written */
    sym_t first_reply, next_reply, resolution;
    PK_VEC(sym_t) kept; /* by kind: "kept.KIND" */
};
void metrics_init(struct metrics *metrics, const struct rules *rules, struct symbols *symbols);
void metrics_reset(struct metrics *metrics); /* memory kept */
void metrics_done(struct metrics *metrics);

/* Adds `sign` times the counts to the bucket of this moment; dims and counts as many as the table has. */
void metrics_add(struct metrics *metrics, enum aggregate table, int64_t at_us, const int32_t *dim, const int64_t *count,
                 int sign);
/* interaction_hourly, need_hourly, rating_hourly, money_hourly. */
void metrics_add_event(struct metrics *metrics, const struct fact *fact, int sign);
/* journey_daily; duration_hourly of first_reply and resolution; course_daily, milestone_daily, path_daily of its courses. */
void metrics_add_journey(struct metrics *metrics, const struct journey *journey, int sign);
/* The same as taking `old` back and adding `now`, but only what differs is worked out. */
void metrics_change_journey(struct metrics *metrics, const struct journey *old, const struct journey *now);
/* obligation_hourly, handoff_hourly, duration_hourly of kept.KIND. */
void metrics_add_obligation(struct metrics *metrics, const struct obligation *o, int sign);
/* Wall and business time of one duration; adds to duration_hourly. */
void metrics_add_duration(struct metrics *metrics, sym_t measure, int64_t from_us, int64_t to_us, sym_t brand, sym_t unit,
                          sym_t channel, int sign);

/* Appends the buckets whose differences are not all zero, sorted by table, time, dimensions. Their counts live until the
 * next reset. */
void metrics_collect(struct metrics *metrics, struct changes *changes);
int change_aggregate_cmp(const void *left, const void *right); /* struct change_aggregate: by that order */

/* ---- what pairs of events add, kept back until it is known that the derivation holds (strand.h) ---- */

struct tally_entry {
    enum aggregate table; /* duration_hourly: dim = measure (0 = next_reply), brand, unit, channel, and count = from, to */
    int64_t at_us;
    int32_t dim[AGGREGATE_DIMS];
    int64_t count[5];
    int sign;
};
struct tally {
    struct tally_entry *entry;
    uint32_t entry_count, entry_cap;
};
struct tally_entry *tally_add(struct tally *tally, struct pk_arena *arena, enum aggregate table, int64_t at_us, int sign);
void metrics_add_tally(struct metrics *metrics, const struct tally *tally);

/* The bucket of a duration (docs/semantics.md 6). */
int32_t duration_bucket(int64_t length_us);
int64_t hour_of(int64_t at_us); /* start of its UTC hour */
int64_t day_of(int64_t at_us);

#endif
