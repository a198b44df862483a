/* SPDX-License-Identifier: Apache-2.0 */
/* template.h - texts with {references} to a row of input, as mapping files write them.
 *
 *   {column}  {lookup.column}  {name of a let}  {previous.column}  {#line} {#row} {#group_row}
 *   {name?}          may be empty
 *   {name|filter}    upper, lower, trim, or a table of the mapping file
 *   {{ and }}        a brace
 *
 * A template with a reference that is empty (and has no "?") yields nothing: null. So does one whose
 * whole text is empty. References are read when the mapping is loaded and bound to column numbers
 * when the header of the input is known. */
#ifndef POLKU_TEMPLATE_H
#define POLKU_TEMPLATE_H

#include "lookup.h"
#include "yaml.h"

enum { TEMPLATE_MAX_FILTERS = 4 };

struct row { /* one row of input and what is known about it */
    const struct pk_str *cell;
    const struct pk_str *const *lookup; /* per lookup the cells of its row, NULL if it has none */
    struct pk_str *let;                 /* per let its value, null if it has none */
    uint64_t line, number, group_number;
};

struct table { /* replaces one word by another */
    struct pk_str name;
    size_t count;
    struct pk_str *from, *to;
    bool has_other; /* there is a "*" entry, for every other word */
    struct pk_str other;
};

struct filter {
    enum { FILTER_UPPER, FILTER_LOWER, FILTER_TRIM, FILTER_TABLE } kind;
    const struct table *table;
};

struct reference {
    const struct yaml_node *node; /* where it is written */
    struct pk_str name;           /* as written, without ? and filters */
    bool previous, optional;
    uint32_t lookups_visible, lets_visible; /* only what is worked out before this */
    size_t filter_count;
    struct filter filter[TEMPLATE_MAX_FILTERS];
    /* bound: */
    enum { REFERENCE_CELL, REFERENCE_LOOKUP, REFERENCE_LET, REFERENCE_LINE, REFERENCE_ROW, REFERENCE_GROUP_ROW } kind;
    uint32_t index, column;
};

struct template_part {
    struct pk_str text;          /* stands for itself if reference is NULL */
    struct reference *reference;
};

struct template {
    size_t count;
    struct template_part *part;
};

/* The names that references may use, and the list of all references for binding. */
struct names {
    const struct yaml_file *file;
    size_t column_count;
    const struct pk_str *column;
    size_t lookup_count, let_count, table_count;
    struct lookup *lookup;
    struct pk_str *let;
    struct table *table;
    uint32_t lookups_visible, lets_visible; /* for what is parsed next */
    bool allow_previous;
    bool uses_group; /* some reference needs the group: previous or #group_row */
    PK_VEC(struct reference *) reference;
};

enum pk_status template_parse(struct names *names, const struct yaml_node *node, struct template **ret_template,
                              struct pk_err *err);
/* `text` is a reference without its braces, as conditions name columns. */
enum pk_status reference_parse(struct names *names, const struct yaml_node *node, struct pk_str text,
                               struct reference **ret_reference, struct pk_err *err);
/* Finds column numbers for all references. PK_REJECT with FILE:LINE of the mapping. */
enum pk_status names_bind(struct names *names, struct pk_err *err);

/* `previous` may be NULL. A table without a word for the value is PK_REJECT. */
enum pk_status reference_value(const struct reference *reference, const struct row *current, const struct row *previous,
                               struct pk_arena *arena, struct pk_str *ret_value, struct pk_err *err);
enum pk_status template_value(const struct template *template, const struct row *current, const struct row *previous,
                              struct pk_arena *arena, struct pk_str *ret_value, struct pk_err *err);

#endif
