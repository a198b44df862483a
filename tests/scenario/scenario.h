/* SPDX-License-Identifier: Apache-2.0 */
/* scenario.h - a file that reads like a story: events, and what must come of them (README.md beside it).
 *
 * Read into events and expectations; the events run through the consumer's pure code and the tables in
 * memory, in the order of the file and in others; the expectations look at the tables. */
#ifndef POLKU_SCENARIO_H
#define POLKU_SCENARIO_H

#include "memory_store.h"
#include "zone.h"

enum { SCENARIO_WORDS = 64 };

struct words { /* of one line; quoted words may hold spaces */
    struct pk_str word[SCENARIO_WORDS];
    size_t count, next;
};

struct scenario_event {
    struct event event;
    int line;
};
struct scenario_decision {
    enum decision_kind kind;
    bool restore;
    struct pk_str a, b; /* phone:+358401, case:L-17; b: apart only */
    size_t after;       /* so many events of the file */
    int line;
};
struct expectation {
    struct words words; /* after "expect" */
    int line;
    int64_t as_of_us; /* PK_NO_TIME: the time of the last event */
};

struct scenario {
    const char *path, *root; /* of the repository: rules and files of events are named from there */
    struct pk_str title;
    struct pk_arena arena;
    const struct zone *zone;
    struct pk_str brand, unit, source; /* of events that do not say */
    const char *rules_path;
    PK_VEC(struct scenario_event) events;
    PK_VEC(struct scenario_decision) decisions;
    PK_VEC(struct expectation) expectations;

    struct symbols symbols;
    struct rules rules;
    struct fact_hasher hasher;
    struct matcher matcher;
    struct fact_maker maker;
    struct meaning meaning;
};

/* ---- scenario_read.c ---- */

enum pk_status scenario_read(const char *path, const char *root, struct scenario *ret, struct pk_err *err);
void scenario_done(struct scenario *scenario);

/* The next word; ptr NULL at the end. */
struct pk_str words_next(struct words *words);
bool words_take(struct words *words, const char *word); /* the next word, if it is this one */
enum pk_status scenario_fail(const struct scenario *scenario, int line, struct pk_err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* 2015-09-21T17:55 (local), the same with Z or an offset, 17:55 (the day of `base_us`), +20s (after `base_us`),
 * e3, e3+20s, e3-1us (around an event). */
enum pk_status scenario_time(const struct scenario *scenario, struct pk_str text, int64_t base_us, int64_t *ret_us,
                             struct pk_err *err);
/* By its id, or by source/id; NULL if there is none. */
const struct event *scenario_event(const struct scenario *scenario, struct pk_str name);
/* Adds phone:+358401, case:L-17 or nobody to an event; false if the word is none of these. */
bool scenario_who(struct scenario *scenario, struct pk_str word, struct event *event);

/* The key that phone:+358401 or case:L-17 is; false if the rules do not know it, or block it. */
bool scenario_name(struct scenario *scenario, struct pk_str who, struct fact_name *ret_name, enum key_kind *ret_kind);

/* ---- scenario_expect.c ---- */

/* PK_REJECT with a sentence that begins with FILE:LINE. */
enum pk_status scenario_check(struct scenario *scenario, const struct memory_store *store,
                              const struct expectation *expectation, struct pk_err *err);

/* ---- scenario_rows.c: `wanted` rows are meant, -1 = at least one; sentences without FILE:LINE ---- */

/* Courses of the definition; customer, journey: zero = any. */
enum pk_status rows_check_course(struct scenario *scenario, const struct memory_store *store, struct pk_hash customer,
                                 struct pk_hash journey, struct pk_str definition, int64_t wanted, struct words *words,
                                 struct pk_err *err);
/* TABLE [at TIME] [DIMENSION VALUE] ... [COUNT NUMBER] ...: the counts are sums over all buckets that are meant. */
enum pk_status rows_check_aggregate(struct scenario *scenario, const struct memory_store *store, int64_t wanted,
                                    struct words *words, struct pk_err *err);

#endif
