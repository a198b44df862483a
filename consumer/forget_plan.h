/* SPDX-License-Identifier: Apache-2.0 */
/* forget_plan.h - whom a forgetting is about: from one identifier to names, events and a time (docs/semantics.md 3.7).
 *
 * Reads within the caller's transaction: a snapshot to show it, the one that forgets to do it. */
#ifndef POLKU_FORGET_PLAN_H
#define POLKU_FORGET_PLAN_H

#include "explain_load.h"

struct forget_subject { /* what was asked for */
    struct explain_name name;
    bool unknown;            /* nothing is stored of it: it is remembered all the same, should it come again */
    bool already;            /* it is forgotten, and no event has come since: quarantine alone may name it */
    struct pk_hash customer; /* zero = none: the name alone is forgotten */
};

struct forget_plan {
    struct forget_subject subject;
    struct change_forgetting forgetting; /* but for records, receipt, by and note */
    struct pk_hash *event;               /* hashes of all events of the customer, sorted by forget_plan_compare */
    size_t events;
    size_t persons, devices, cases;      /* of the names */
    size_t kept;                         /* devices and cases of its events at which others were seen too */
};

/* `now_us`: the moment of the decision. PK_REJECT with a sentence: nobody can be found, the identifier says nobody (it is of
 * several customers, or blocked by a decision while customers have events with it), or a rebuild is at work (`exclusive`: and
 * none can begin before the transaction ends). */
enum pk_status forget_plan_make(const struct explain_source *source, struct fact_maker *maker, const char *text,
                                bool anonymise, int64_t now_us, bool exclusive, struct pk_arena *arena,
                                struct forget_plan *ret, struct pk_err *err);
int forget_plan_compare(const void *left, const void *right); /* struct pk_hash */
/* Is it one of F? */
bool forget_plan_names(const struct forget_plan *plan, struct pk_hash hash);
/* Have both the same names? */
bool forget_plan_same(const struct forget_plan *a, const struct forget_plan *b);

#endif
