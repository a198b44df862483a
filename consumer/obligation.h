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
    sym_t from_brand, from_unit; /* the opener's own */
    uint32_t cycle; /* 1, or one more than that of the same kind which is still open and was attempted */
    bool handoff;
    bool has_money;
    int64_t amount_minor; /* of the opening event */
    sym_t currency;
    int64_t opened_at_us;
    struct pk_hash opened_by; /* event hash */
    int64_t due_from_us, first_due_to_us, due_to_us, changed_at_us; /* PK_NO_TIME = none */
    uint32_t attempts;
    int64_t first_attempt_at_us, last_attempt_at_us;
    int64_t fulfilled_at_us, rejected_at_us, withdrawn_at_us;
    struct pk_hash fulfilled_by; /* event hash; zero = none */

    /* ---- not stored ---- */
    const struct rules_kind *rule; /* NULL: none; then only promise.* acts on it */
    const struct fact *opener;     /* NULL if it was opened before this derivation began */
    bool made;                     /* created or copied in this derivation, so it may be written */
    const struct obligation *old;  /* as the database has it; NULL = new there */
};

static inline bool obligation_closed(const struct obligation *o)
{
    return o->fulfilled_at_us != PK_NO_TIME || o->rejected_at_us != PK_NO_TIME || o->withdrawn_at_us != PK_NO_TIME;
}

/* Equal in every stored member? */
bool obligation_same(const struct obligation *a, const struct obligation *b);

/* Everything that opening and acting need to know besides the event. Only borrowed. */
struct meaning {
    const struct rules *rules;
    struct matcher *matcher;
    const struct symbols *symbols;
    const struct fact_hasher *hasher;
    struct fact_maker *maker; /* for the names of loaded facts */
};

/* What one event opens if it has a customer, a function of the event alone: at most one per kind. */
struct opening {
    struct pk_hash id; /* ledger id */
    const struct rules_kind *rule; /* NULL for an explicit record whose kind has no valid rule */
    bool explicit_;
};
enum { OPENINGS_MAX = RULES_MAX_KINDS + 1 };
size_t obligation_openings(const struct meaning *meaning, const struct fact *fact, struct opening ret[OPENINGS_MAX]);

/* The obligations of a group of customers, by opening event, then id. Those not in `made` are borrowed
 * and never written: the first change makes a copy. */
struct ledger {
    const struct meaning *meaning;
    struct pk_arena *arena;
    struct obligation **item;
    uint32_t item_count, item_cap;
    uint32_t closed; /* so many of the first items are closed, and stay so */
    uint32_t cycled; /* so many of the first items know their cycle */
    uint32_t *tried; /* indexes of those that were attempted; closed ones are dropped now and then */
    uint32_t tried_count, tried_cap;
    struct obligation **made; /* created or changed since the ledger was taken up */
    uint32_t made_count, made_cap;
    struct pk_map by_id; /* id -> item index + 1; used by the slow path, which sets `indexed` */
    bool indexed;
};

/* Goes on from what is open: by opening, borrowed. Only of an empty ledger. */
void ledger_resume(struct ledger *ledger, struct obligation *const *open, uint32_t count);
/* Opens what `fact` opens and is not there yet. The event's journey and order must be known. */
void ledger_open(struct ledger *ledger, struct fact *fact);
/* Counts the cycle of what this event opened, which must be there already; acts; then changes due times. Looks only at
 * obligations that are open, and that were opened before the event or are otherwise within its reach (relates_to, skew). */
void ledger_act(struct ledger *ledger, const struct fact *fact);
/* The open obligation with this ledger id, or NULL. */
const struct obligation *ledger_find_open(const struct ledger *ledger, struct pk_hash id);
void ledger_done(struct ledger *ledger);

#endif
