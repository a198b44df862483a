/* SPDX-License-Identifier: Apache-2.0 */
/* identity_explain.h - why identifiers are one customer, or are not, in words for somebody who has never seen the
 * system.
 *
 * Pure: explain_load.c loads, this writes. A value is shown only where it is given, which the caller does
 * for values that are stored in the clear and for the one that was asked for; else the namespace and the first digits
 * of the hash stand for the identifier. */
#ifndef POLKU_IDENTITY_EXPLAIN_H
#define POLKU_IDENTITY_EXPLAIN_H

#include "changes.h"
#include "identity.h"

struct explain_name { /* an identifier that may be spoken of */
    struct pk_hash hash;
    enum key_kind kind;                  /* person, device or case */
    struct pk_str name_space;            /* the full name; of a case "case_id" */
    const struct rules_namespace *rules; /* NULL: a case */
    struct pk_str value;                 /* may be shown; null = it may not */
    uint32_t flags;                      /* enum key_flag */
    int64_t first_at_us;                 /* persons; PK_NO_TIME = no event carries it */
    struct pk_hash customer;             /* as stored; zero = none */
    bool known;                          /* the database has it */
};

struct explain_event { /* what is told of the first event of a link beside its name */
    struct pk_str type, channel;
};

struct explain_decision { /* in force */
    int64_t id, at_us;
    enum decision_kind kind;
    const struct explain_name *a, *b; /* b: APART only */
    struct pk_str by, note;
};

struct explain_shared { /* why it is shared */
    const struct explain_name *name;
    struct pk_str name_space; /* the unique one of which it met too many; null = of any kind */
    int64_t met, met_in_all;
};

struct explain_met { /* stood in one event with the identifier that was asked for */
    const struct explain_name *name;
    int64_t first_at_us;
};

struct explain_stretch { /* events in a row, of one customer, that carry the identifier that was asked for */
    const struct explain_name *customer; /* NULL = of nobody */
    int64_t from_us, to_us;
    int64_t own, borrowed, anonymous; /* name their customer; were given to it; do neither */
};

struct explain {
    const struct rules *rules;
    const struct symbols *symbols;
    size_t limit; /* lines of one list */
    const struct explain_name *asked;
    struct pk_map name; /* hash -> struct explain_name */

    /* A person that may be linked: its component, solved. Empty else. */
    struct identity identity;
    const struct explain_event *event; /* of identity.link, in its order */
    const struct explain_shared
        *shared; /* that stood in one event with a member of the customer, or was asked for itself */
    size_t shared_count;
    const struct explain_decision *decision; /* about anybody in `name` */
    size_t decisions;

    /* Anything else */
    const struct explain_met *met; /* the first ones */
    size_t met_count;
    int64_t met_in_all;
    const struct explain_stretch *stretch; /* newest first */
    size_t stretches;
    int64_t stretches_in_all;
};

/* "email:aino@example.com", or "phone 1f2e3d4c" if the value may not be shown. */
void explain_add_name(struct pk_buf *out, const struct explain_name *name);
/* "2026-03-01 09:30:00Z" */
void explain_add_time(struct pk_buf *out, int64_t at_us);
/* Text of somebody else: control characters become "?". */
void explain_add_text(struct pk_buf *out, struct pk_str text);
/* "phone:358401234567 and email 1f2e3d4c are kept apart, by maija (2026-03-01 09:30:00Z: a clerk's mistake)" */
void explain_add_decision(struct pk_buf *out, const struct explain_decision *decision);

/* The whole, as text; `arena` for what is needed meanwhile. */
void explain_print(const struct explain *explain, struct pk_arena *arena, struct pk_buf *out);
/* The same for programs, as one JSON object. */
void explain_json(const struct explain *explain, struct pk_buf *out);

#endif
