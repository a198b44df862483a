/* SPDX-License-Identifier: Apache-2.0 */
/* store_support.h - a migrated database of its own for one test, and rows to put into it.
 *
 * Needs POLKU_TEST_DATABASE, the conninfo of a superuser; without it every test is skipped and says so.
 * The database is dropped by support_done(). */
#ifndef POLKU_STORE_SUPPORT_H
#define POLKU_STORE_SUPPORT_H

#include "store.h"

struct support {
    char name[64], conninfo[1024];
    struct symbols symbols;
    struct pk_arena arena;
    uint64_t random; /* state of the generator */
    struct changes changes;
    struct store_span span;
    struct rules rules; /* see support_rules */
};

/* Creates the database; `migrated` applies sql/. Prints the seed. Skips the test if there is no server. */
void support_init(struct support *s, bool migrated);
void support_done(struct support *s);

struct store *support_open(struct support *s, struct symbols *symbols); /* must succeed */
/* With the schema and the step of `more`. */
struct store *support_open_as(struct support *s, struct symbols *symbols, const struct store_config *more);

/* Runs SQL as superuser; the first value of the last statement as text ("" for null or none). Valid until the next call. */
const char *support_sql(struct support *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- rows ---- */

uint64_t support_random(struct support *s, uint64_t below);
struct pk_hash support_hash(struct support *s);
sym_t support_sym(struct support *s, const char *text);
void support_uuid(struct pk_hash hash, char out[37]);

/* Every member set at random, nulls and extremes included. */
struct fact *support_fact(struct support *s, struct pk_hash customer);
struct journey *support_journey(struct support *s, struct pk_hash customer);
struct obligation *support_obligation(struct support *s, struct pk_hash customer);
/* Rules with two calendars, three kinds and two definitions (of 3 and of RULES_MAX_MILESTONES milestones), checked with `store`. */
void support_rules(struct support *s, struct store *store);
/* A course of that definition, everything at random; paths empty, short and longer than they are told. */
struct course *support_course(struct support *s, uint32_t definition);
/* One row of an aggregate, all dimensions 0 and all counts `count`. */
struct change_aggregate support_bucket(struct support *s, enum aggregate table, int64_t at_us, int64_t count);
/* The simplest event of a customer at a time, for tests about other things. */
struct fact *support_plain_fact(struct support *s, struct pk_hash customer, int64_t at_us);

/* ---- saving ---- */

/* Claims topic `test`, partition 0; changes->span then moves it by one offset per save. */
void support_claim(struct support *s, struct store *store);
/* Sorts the changes, makes months and ids, saves in one go; changes are empty and the span has moved afterwards if OK. */
enum pk_status support_save(struct support *s, struct store *store, struct pk_err *err);

#endif
