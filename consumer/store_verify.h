/* SPDX-License-Identifier: Apache-2.0 */
/* store_verify.h - what only an audit asks of PostgreSQL: one snapshot for several sessions, and two streams of rows side by
 * side.
 *
 * Sessions of their own beside those of store.h: plain planning, times in UTC, text results. The first one takes the lock of
 * rebuilds and migrations and owns the snapshot; others join that. Rows are fetched a page at a time, so memory does not grow
 * with tables. Statuses as in store.h; what waits is cancelled once *stop is set (PK_RETRY). */
#ifndef POLKU_STORE_VERIFY_H
#define POLKU_STORE_VERIFY_H

#include "rules.h"

#include <signal.h>

#define VERIFY_SCHEMA "polku_verify"
/* Held by the session that fills these tables, until it ends; they are dropped by who has it. */
#define VERIFY_LOCK "482905713528"
#define VERIFY_TAKE_LOCK "SELECT pg_advisory_lock(" VERIFY_LOCK ")"

struct audit; /* a session */

/* `writes`: of several hosts one that takes writes. */
enum pk_status audit_open(const char *conninfo, bool writes, const volatile sig_atomic_t *stop, struct audit **ret,
                          struct pk_err *err);
void audit_close(struct audit *audit); /* NULL is fine */

/* ---- by the first session ---- */

/* One verify, rebuild or migration at a time, until the session ends; PK_STOP if there is another one. */
enum pk_status audit_lock(struct audit *audit, struct pk_err *err);
/* PK_STOP with a sentence unless the tables were derived with this key, these rules and this version. *ret_empty: with nothing
 * yet. */
enum pk_status audit_check_state(struct audit *audit, const struct rules *rules, struct pk_hash key_check, bool *ret_empty,
                                 struct pk_err *err);
/* PK_STOP unless this user may make the tables for a fresh derivation. */
enum pk_status audit_check_rights(struct audit *audit, struct pk_err *err);
/* Empty tables of the fresh derivation cost no write-ahead log. After store_rebuild_make_in. */
enum pk_status audit_make_unlogged(struct audit *audit, struct pk_err *err);
/* Begins the snapshot; `ret_name` for those who join. */
enum pk_status audit_snapshot(struct audit *audit, char *ret_name, size_t size, struct pk_err *err);
/* Ends the snapshot and drops the tables of the fresh derivation, whatever happened before and even if *stop is set; with another
 * connection if this one broke. */
enum pk_status audit_drop(struct audit *audit, struct pk_err *err);

/* ---- by any ---- */

/* BEGIN without a name of a snapshot: of what is committed now. */
enum pk_status audit_begin(struct audit *audit, const char *snapshot, struct pk_err *err);
enum pk_status audit_analyse(struct audit *audit, struct pk_err *err); /* statistics of the fresh derivation's tables */
/* One number. */
enum pk_status audit_number(struct audit *audit, const char *sql, int64_t *ret, struct pk_err *err);

/* ---- comparing ---- */

struct audit_teller {
    void *context;
    /* Which row, and what about it: two parts of one sentence. */
    void (*difference)(void *context, const char *row, const char *what);
};
struct audit_compare {
    const char *table;         /* for people */
    struct audit *stored, *expected;
    const char *stored_sql, *expected_sql; /* the same columns; ordered by the first `keys` of them, which are unique */
    int keys;
    bool or_more; /* stored rows may stand beside those expected */
    int64_t limit; /* differences that are told */
    struct audit *names; /* looks ids of the dictionary up */
    struct audit_teller teller;
};
struct audit_result {
    int64_t rows, differences; /* rows: stored ones and those that are missing */
};
enum pk_status audit_run_compare(const struct audit_compare *compare, struct audit_result *ret, struct pk_err *err);

/* Each row of the query is one that breaks a rule: which, column, stored, expected. */
enum pk_status audit_run_rows(struct audit *audit, const char *sql, int64_t limit, const struct audit_teller *teller,
                              int64_t *ret_differences, struct pk_err *err);

#endif
