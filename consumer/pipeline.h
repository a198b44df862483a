/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline.h - Kafka to PostgreSQL, batch after batch: owns the order of things.
 *
 * While PostgreSQL commits one batch the next is fetched and decoded. The only place that knows both
 * intake and store, and the only one below the commands that logs. */
#ifndef POLKU_PIPELINE_H
#define POLKU_PIPELINE_H

#include <signal.h>

#include "commit.h"
#include "health_board.h"
#include "intake.h"

struct pipeline_config {
    struct intake_config intake;
    struct store_config store;
    const struct rules *rules;
    const struct fact_hasher *hasher;
    struct symbols *symbols;
    struct schema_set *schemas;
    int64_t batch_records, batch_bytes; /* a batch is full with either */
    int64_t linger_us;                  /* how long the first record of a batch waits for others */
    int64_t cache_bytes;
    int64_t max_ahead_us;               /* occurred_at after the Kafka timestamp */
    int64_t quarantine_rows, quarantine_bytes; /* a minute; in all: quarantine_limit.h */
    int64_t quarantine_keep_us;         /* rows of quarantine of our partitions are deleted after that; 0 = never */
    int64_t look_every_us;              /* how often a look at the stored positions is due, if nothing is under way */
    int64_t retry_min_us, retry_max_us; /* pauses while PostgreSQL is away */
    int64_t rate;                       /* records per second at most, in slices of a quarter of a second; 0 = as many as come */
    int64_t stop_after;                 /* records, 0 = never (tests) */
    struct health_board *board;         /* is told how it goes; NULL = nobody asks. store.pulse is its pulse then */
    bool until_end;                     /* stop once everything that Kafka holds is committed */
};

/* Runs until *stop is set, until the end is reached (until_end), or until an operator is needed
 * (PK_STOP with the reason). PostgreSQL and Kafka may be away at the start or at any time later. */
enum pk_status pipeline_run(const struct pipeline_config *config, const volatile sig_atomic_t *stop,
                            struct pk_err *err);

#endif
