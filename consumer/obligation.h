/* SPDX-License-Identifier: Apache-2.0 */
/* obligation.h - the ledger of what was owed: opened, attempted, fulfilled, rejected, withdrawn.
 *
 * Pure. docs/semantics.md 5 is the definition. A ledger holds the obligations of customers that can
 * influence each other (nearly always one customer). */
#ifndef POLKU_OBLIGATION_H
#define POLKU_OBLIGATION_H

#include "match.h"

struct obligation {
    struct pk_hash id, customer;
    struct pk_hash journey;  /* of the opening event; zero = none */
    struct pk_hash case_key; /* zero = none */
    sym_t kind;
    bool explicit_; /* opened by a record in the event, not by a rule */
    enum rules_label label;
    sym_t brand, unit, role; /* accountable */
    int64_t opened_at_us;
    struct pk_hash opened_by; /* event hash */
    int64_t due_from_us, first_due_to_us, due_to_us, changed_at_us; /* PK_NO_TIME = none */
    uint32_t attempts;
    int64_t first_attempt_at_us, last_attempt_at_us;
    int64_t fulfilled_at_us, rejected_at_us, withdrawn_at_us;
    struct pk_hash fulfilled_by; /* event hash; zero = none */

    /* ---- not stored ---- */
    const struct rules_kind *rule;   /* NULL: none; then only promise.* acts on it */
    const struct fact *opener;       /* NULL if it was opened before this derivation began */
    const struct obligation *old;    /* as the database has it; NULL = new there */
    bool dirty;
};

static inline bool obligation_closed(const struct obligation *o)
{
    return o->fulfilled_at_us != PK_NO_TIME || o->rejected_at_us != PK_NO_TIME || o->withdrawn_at_us != PK_NO_TIME;
}

/* Equal in every stored member? */
bool obligation_same(const struct obligation *a, const struct obligation *b);

#endif
