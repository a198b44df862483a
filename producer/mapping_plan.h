/* SPDX-License-Identifier: Apache-2.0 */
/* mapping_plan.h - a mapping file as read: what mapping.c makes and mapping_row.c follows. */
#ifndef POLKU_MAPPING_PLAN_H
#define POLKU_MAPPING_PLAN_H

#include "event.h"
#include "mapping.h"
#include "template.h"
#include "zone.h"

enum { MAPPING_MAX_EVENTS = 99, MAPPING_MAX_MONEY_DECIMALS = 6 };

struct condition {
    enum {
        CONDITION_ALL,     /* of the children */
        CONDITION_ANY,     /* of the children */
        CONDITION_NOT,     /* not all of the children */
        CONDITION_PRESENT, /* the reference has text */
        CONDITION_IN,      /* the reference is one of the words */
        CONDITION_CHANGED, /* there is a previous row and the reference is different there */
        CONDITION_FIRST,   /* there is no previous row */
    } kind;
    struct reference *reference, *before; /* before: the same of the previous row */
    size_t count;
    struct condition **child;
    struct pk_str *word;
};

struct moment { /* a time; count 0 = not given */
    const struct yaml_node *node;
    enum { MOMENT_FIRST, MOMENT_EARLIEST, MOMENT_LATEST } pick;
    size_t count;
    struct template **text;
    struct pk_str format;
    const struct zone *zone; /* NULL = none */
    bool end_of_day;
    int64_t add_us;
};

struct named_text { /* an identifier or attribute */
    struct pk_str name;
    struct template *text;
};

/* Text fields of the event and its parts, in the order of plan_text. */
enum { PLAN_TEXTS = 27 };

struct event_plan {
    const struct yaml_node *node;
    struct pk_str name; /* for messages */
    struct condition *when;
    struct template *text[PLAN_TEXTS];
    struct template *direction, *actor, *sensitivity, *sequence, *score, *min, *max, *amount, *amount_minor;
    int64_t decimals;
    struct moment occurred_at, due_from, due_to;
    PK_VEC(struct named_text) identifier;
    PK_VEC(struct named_text) attribute;
};

struct plan_text { /* where a key of the mapping goes in struct event */
    const char *part, *key; /* part NULL: the event itself */
    size_t offset;
};
extern const struct plan_text plan_text[PLAN_TEXTS];

struct let_plan {
    size_t count; /* alternatives, the first whose condition holds */
    struct { struct condition *when; struct template *value; } *choice;
};

struct mapping {
    struct yaml_file file;
    struct pk_arena *arena;
    struct pk_str input_file;
    char separator;
    struct pk_str format;
    const struct zone *zone;
    struct names names;
    struct template *group; /* NULL: rows stand alone, or all are one group */
    bool grouped;
    struct moment sort;
    struct let_plan *let;
    struct event_plan defaults;
    size_t event_count;
    struct event_plan *event;
};

/* Conditions and events of one row; `previous` NULL if it is the first of its group. */
enum pk_status plan_let(const struct mapping *mapping, struct row *current, const struct row *previous,
                        struct pk_arena *arena, struct pk_err *err);
enum pk_status plan_moment(const struct moment *moment, const struct row *current, const struct row *previous,
                           struct pk_arena *arena, int64_t *ret_us, struct pk_err *err);
enum pk_status plan_events(const struct mapping *mapping, const struct row *current, const struct row *previous,
                           struct pk_arena *arena, struct mapped_row *ret_row, struct pk_err *err);

/* The symbol's number, -1 if there is none. */
int plan_direction(struct pk_str symbol);
int plan_actor(struct pk_str symbol);
int plan_sensitivity(struct pk_str symbol);
/* "129.9" with 2 decimals is 12990; false if it is no such number. */
bool plan_minor_units(struct pk_str text, int64_t decimals, int64_t *ret_minor);

#endif
