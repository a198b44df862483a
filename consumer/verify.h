/* SPDX-License-Identifier: Apache-2.0 */
/* verify.h - audits the tables: everything against everything, on one snapshot, beside consumers that go on.
 *
 * What is compared stands in sql/verify.sql, which is part of the program: aggregates against a GROUP BY of the rows, journeys and
 * obligations against their events, positions against rows. Unless `quick`, everything is derived again from the events of
 * the snapshot into a schema of its own (VERIFY_SCHEMA), and compared row by row; that schema is dropped in any case.
 * The tables in use are only read. */
#ifndef POLKU_VERIFY_H
#define POLKU_VERIFY_H

#include "refill.h"

struct verify_check {
    const char *kind, *name; /* as in sql/verify.sql */
    int64_t rows, differences, took_us;
};

struct verify_handler { /* what the caller tells people */
    void *context;
    /* A step has begun: `detail` is "key=value" pairs, or "". */
    void (*say)(void *context, const char *sentence, const char *detail);
    void (*warn)(void *context, const char *sentence, const char *detail);
    void (*progress)(void *context, int64_t done, int64_t total, const struct commit_counters *counters);
    void (*check_begins)(void *context, const char *kind, const char *name);
    void (*check_done)(void *context, const struct verify_check *check);
    void (*difference)(void *context, const char *kind, const char *name, const char *row, const char *what);
};

struct verify_config {
    struct store_config store; /* of schema polku */
    const struct rules *rules;
    const struct fact_hasher *hasher;
    struct symbols *symbols;
    int64_t batch_records, cache_bytes;
    int64_t limit; /* differences that are told, of each check */
    bool quick;
    struct verify_handler handler;
};

/* PK_OK: it came to its end, with so many differences. PK_STOP: the text says why not. PK_RETRY: PostgreSQL was away, or *stop
 * was set. */
enum pk_status verify_run(const struct verify_config *config, const volatile sig_atomic_t *stop, int64_t *ret_differences,
                          struct pk_err *err);

#endif
