/* SPDX-License-Identifier: Apache-2.0 */
/* store_quarantine.h - quarantine as people and `run` look after it: counts, rows, deletions, marks.
 *
 * What is stored there is arrival, never derived from: deleting rows changes nothing else. Each call is one short
 * transaction; statuses are those of store.h. */
#ifndef POLKU_STORE_QUARANTINE_H
#define POLKU_STORE_QUARANTINE_H

#include "store.h"

enum quarantine_requeue { QUARANTINE_ANY, QUARANTINE_NOT_REQUEUED, QUARANTINE_REQUEUED };

struct quarantine_filter {
    const char *topic, *reason, *publisher; /* NULL = any; publisher "" = not known */
    int64_t since_us, until_us;             /* set aside at or after, before; PK_NO_TIME = without end */
    enum quarantine_requeue requeued;
    bool no_duplicates;                     /* leaves conflicting_duplicate out */
};

struct quarantine_place { /* where a list goes on; also the row's key */
    struct pk_str topic;
    int32_t partition;
    int64_t offset;
    struct pk_str reason;
};

struct quarantine_row {
    struct quarantine_place at;
    struct pk_str detail, publisher; /* null: not known */
    int64_t received_at_us, quarantined_at_us; /* PK_NO_TIME = none */
    int64_t value_bytes;             /* -1 = not known */
    int64_t bytes;
    bool whole;
    struct pk_bytes key, value;      /* ptr NULL = null, or not kept; of store_quarantine_rows with `records` only */
    const struct record_header *header;
    size_t headers;
    int64_t requeued_at_us;          /* PK_NO_TIME = never */
    struct pk_str requeued_by, requeued_topic;
    int32_t requeued_partition;
    int64_t requeued_offset;
};
struct quarantine_rows {
    struct quarantine_row *row;
    size_t count;
};

struct quarantine_group { /* rows and excess of one topic, publisher and reason */
    struct pk_str topic, publisher, reason;
    int64_t rows, excess, requeued, bytes;
    int64_t first_at_us, last_at_us;
};
struct quarantine_groups {
    struct quarantine_group *group;
    size_t count;
};

/* By number of records. Excess is counted by hour: it is in if its last record is within the filter's time, and never
 * requeued. */
enum pk_status store_quarantine_groups(struct store *store, const struct quarantine_filter *filter, struct pk_arena *arena,
                                       struct quarantine_groups *ret, struct pk_err *err);
/* At most `limit` rows behind `after` (NULL = from the first), by topic, partition, offset, reason. `newest`: by time, the
 * newest first, `after` is not looked at. */
enum pk_status store_quarantine_rows(struct store *store, const struct quarantine_filter *filter,
                                     const struct quarantine_place *after, bool newest, bool records, size_t limit,
                                     struct pk_arena *arena, struct quarantine_rows *ret, struct pk_err *err);
/* The rows of one offset, with their records; usually one, none if there is none. */
enum pk_status store_quarantine_find(struct store *store, struct pk_str topic, int32_t partition, int64_t offset,
                                     struct pk_arena *arena, struct quarantine_rows *ret, struct pk_err *err);
enum pk_status store_quarantine_count(struct store *store, const struct quarantine_filter *filter, int64_t *ret_rows,
                                      int64_t *ret_bytes, struct pk_err *err);
/* At most `limit` of them. */
enum pk_status store_quarantine_delete(struct store *store, const struct quarantine_filter *filter, size_t limit,
                                       int64_t *ret_rows, struct pk_err *err);
/* Rows and excess of these partitions that are older; at most `limit` rows. Rows that somebody else holds are left. */
enum pk_status store_quarantine_expire(struct store *store, const struct store_position *position, size_t positions,
                                       int64_t keep_us, size_t limit, int64_t *ret_rows, struct pk_err *err);
/* These were published again: row[i].requeued_topic, _partition and _offset say where. */
enum pk_status store_quarantine_mark(struct store *store, const struct quarantine_row *row, size_t count, struct pk_str by,
                                     struct pk_err *err);
/* What all rows take of the space; reads a few numbers only. */
enum pk_status store_quarantine_size(struct store *store, int64_t *ret_bytes, struct pk_err *err);

#endif
