/* SPDX-License-Identifier: Apache-2.0 */
#include "template.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "nearest.h"

/* ---- parsing ---- */

static const struct table *find_table(const struct names *names, struct pk_str name)
{
    for (size_t i = 0; i < names->table_count; i++)
        if (pk_str_eq(names->table[i].name, name))
            return &names->table[i];
    return NULL;
}

static enum pk_status parse_filter(struct names *names, const struct yaml_node *node, struct pk_str name,
                                   struct filter *filter, struct pk_err *err)
{
    if (pk_str_eq(name, PK_STR("upper")))
        filter->kind = FILTER_UPPER;
    else if (pk_str_eq(name, PK_STR("lower")))
        filter->kind = FILTER_LOWER;
    else if (pk_str_eq(name, PK_STR("trim")))
        filter->kind = FILTER_TRIM;
    else if ((filter->table = find_table(names, name)))
        filter->kind = FILTER_TABLE;
    else
        return yaml_fail(names->file, node, err, "'%.*s' is no filter (upper, lower, trim) and no entry of `tables`",
                         PK_STR_ARG(name));
    return PK_OK;
}

static struct pk_str cut(struct pk_str *rest, char separator)
{
    const char *found = rest->len ? memchr(rest->ptr, separator, rest->len) : NULL;
    struct pk_str head = {rest->ptr, found ? (size_t)(found - rest->ptr) : rest->len};
    *rest = found ? (struct pk_str){found + 1, rest->len - head.len - 1} : (struct pk_str){NULL, 0};
    return head;
}

enum pk_status reference_parse(struct names *names, const struct yaml_node *node, struct pk_str text,
                               struct reference **ret_reference, struct pk_err *err)
{
    struct reference *r = PK_NEW(names->file->arena, struct reference);
    r->node = node;
    r->name = cut(&text, '|');
    if (r->name.len && r->name.ptr[r->name.len - 1] == '?')
        r->optional = true, r->name.len--;
    if (r->name.len > 9 && memcmp(r->name.ptr, "previous.", 9) == 0) {
        if (!names->allow_previous)
            return yaml_fail(names->file, node, err, "the previous row is not known here");
        r->previous = true;
        r->name.ptr += 9, r->name.len -= 9;
    }
    if (r->name.len == 0)
        return yaml_fail(names->file, node, err, "{} names no column; write {{ for a brace");
    while (text.ptr) {
        if (r->filter_count == TEMPLATE_MAX_FILTERS)
            return yaml_fail(names->file, node, err, "at most %d filters", TEMPLATE_MAX_FILTERS);
        enum pk_status status = parse_filter(names, node, cut(&text, '|'), &r->filter[r->filter_count], err);
        if (status != PK_OK)
            return status;
        r->filter_count++;
    }
    bool group_number = pk_str_eq(r->name, PK_STR("#group_row"));
    if (group_number && !names->allow_previous)
        return yaml_fail(names->file, node, err, "the group is not known here");
    names->uses_group = names->uses_group || r->previous || group_number;
    r->lookups_visible = r->previous ? UINT32_MAX : names->lookups_visible;
    r->lets_visible = r->previous ? UINT32_MAX : names->lets_visible;
    *pk_vec_push(&names->reference) = r;
    *ret_reference = r;
    return PK_OK;
}

/* Takes literal text up to the next reference, with doubled braces made single. */
static enum pk_status literal(struct names *names, const struct yaml_node *node, struct pk_str *rest,
                              struct pk_str *ret_text, struct pk_err *err)
{
    char *out = pk_arena_alloc(names->file->arena, rest->len + 1);
    size_t len = 0, i = 0;
    for (; i < rest->len; i++) {
        char c = rest->ptr[i];
        bool twice = i + 1 < rest->len && rest->ptr[i + 1] == c;
        if (c == '{' && !twice)
            break;
        if (c == '}' && !twice)
            return yaml_fail(names->file, node, err, "a lone } in '%.*s'; write }} for a brace",
                             PK_STR_ARG(node->text));
        i += (c == '{' || c == '}');
        out[len++] = c;
    }
    out[len] = '\0';
    *ret_text = (struct pk_str){out, len};
    *rest = (struct pk_str){rest->ptr + i, rest->len - i};
    return PK_OK;
}

enum pk_status template_parse(struct names *names, const struct yaml_node *node, struct template **ret_template,
                              struct pk_err *err)
{
    if (node->kind != YAML_SCALAR)
        return yaml_fail(names->file, node, err, "a text is expected here");
    struct template *t = PK_NEW(names->file->arena, struct template);
    t->part = PK_NEW_ARRAY(names->file->arena, struct template_part, node->text.len + 1);
    struct pk_str rest = node->text;
    while (rest.len) {
        struct template_part *part = &t->part[t->count++];
        enum pk_status status;
        if (rest.ptr[0] == '{' && (rest.len == 1 || rest.ptr[1] != '{')) {
            const char *close = memchr(rest.ptr, '}', rest.len);
            if (!close)
                return yaml_fail(names->file, node, err, "a { without } in '%.*s'", PK_STR_ARG(node->text));
            struct pk_str inner = {rest.ptr + 1, (size_t)(close - rest.ptr) - 1};
            rest = (struct pk_str){close + 1, rest.len - inner.len - 2};
            status = reference_parse(names, node, inner, &part->reference, err);
        } else {
            status = literal(names, node, &rest, &part->text, err);
        }
        if (status != PK_OK)
            return status;
    }
    *ret_template = t;
    return PK_OK;
}

/* ---- binding ---- */

static bool find_name(const struct pk_str *name, size_t count, struct pk_str wanted, uint32_t *ret_index)
{
    for (size_t i = 0; i < count; i++)
        if (pk_str_eq(name[i], wanted)) {
            *ret_index = (uint32_t)i;
            return true;
        }
    return false;
}

static enum pk_status no_such_name(const struct names *names, const struct reference *r, struct pk_err *err)
{
    const char **known = PK_NEW_ARRAY(names->file->arena, const char *, names->column_count);
    for (size_t i = 0; i < names->column_count; i++)
        known[i] = names->column[i].ptr;
    const char *near = nearest_name(r->name, known, names->column_count);
    return yaml_fail(names->file, r->node, err, "no column, lookup or let is named '%.*s'%s%s%s", PK_STR_ARG(r->name),
                     near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static enum pk_status bind_reference(const struct names *names, struct reference *r, struct pk_err *err)
{
    size_t lets = PK_MIN(names->let_count, (size_t)r->lets_visible);
    size_t lookups = PK_MIN(names->lookup_count, (size_t)r->lookups_visible);
    static const struct { const char *name; int kind; } built_in[] = {
        {"#line", REFERENCE_LINE}, {"#row", REFERENCE_ROW}, {"#group_row", REFERENCE_GROUP_ROW}};
    for (size_t i = 0; i < PK_COUNT(built_in); i++)
        if (pk_str_eq(r->name, pk_str(built_in[i].name))) {
            r->kind = built_in[i].kind;
            return PK_OK;
        }
    if (find_name(names->let, lets, r->name, &r->index)) {
        r->kind = REFERENCE_LET;
        return PK_OK;
    }
    if (find_name(names->column, names->column_count, r->name, &r->index)) {
        r->kind = REFERENCE_CELL;
        return PK_OK;
    }
    for (size_t i = 0; i < lookups; i++) {
        const struct lookup *lookup = &names->lookup[i];
        if (r->name.len <= lookup->name.len + 1 || r->name.ptr[lookup->name.len] != '.' ||
            memcmp(r->name.ptr, lookup->name.ptr, lookup->name.len) != 0)
            continue;
        struct pk_str column = {r->name.ptr + lookup->name.len + 1, r->name.len - lookup->name.len - 1};
        if (!find_name(lookup->column, lookup->column_count, column, &r->column))
            return yaml_fail(names->file, r->node, err, "lookup '%.*s' has no column '%.*s'", PK_STR_ARG(lookup->name),
                             PK_STR_ARG(column));
        r->kind = REFERENCE_LOOKUP;
        r->index = (uint32_t)i;
        return PK_OK;
    }
    return no_such_name(names, r, err);
}

enum pk_status names_bind(struct names *names, struct pk_err *err)
{
    for (size_t i = 0; i < names->reference.len; i++) {
        enum pk_status status = bind_reference(names, names->reference.ptr[i], err);
        if (status != PK_OK)
            return status;
    }
    return PK_OK;
}

/* ---- values ---- */

static struct pk_str number_text(struct pk_arena *arena, uint64_t number)
{
    char *text = pk_arena_alloc(arena, 24);
    return (struct pk_str){text, (size_t)snprintf(text, 24, "%" PRIu64, number)};
}

static struct pk_str raw_value(const struct reference *r, const struct row *row, struct pk_arena *arena)
{
    if (!row)
        return (struct pk_str){NULL, 0};
    switch (r->kind) {
    case REFERENCE_CELL: return row->cell[r->index];
    case REFERENCE_LOOKUP: return row->lookup[r->index] ? row->lookup[r->index][r->column] : (struct pk_str){NULL, 0};
    case REFERENCE_LET: return row->let[r->index];
    case REFERENCE_LINE: return number_text(arena, row->line);
    case REFERENCE_ROW: return number_text(arena, row->number);
    case REFERENCE_GROUP_ROW: return number_text(arena, row->group_number);
    }
    return (struct pk_str){NULL, 0};
}

static struct pk_str change_case(struct pk_str value, bool upper, struct pk_arena *arena)
{
    char *out = pk_arena_copy(arena, value.ptr, value.len);
    for (size_t i = 0; i < value.len; i++)
        if (upper ? out[i] >= 'a' && out[i] <= 'z' : out[i] >= 'A' && out[i] <= 'Z')
            out[i] ^= 0x20;
    return (struct pk_str){out, value.len};
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct pk_str trim(struct pk_str value)
{
    while (value.len && is_space(value.ptr[0]))
        value.ptr++, value.len--;
    while (value.len && is_space(value.ptr[value.len - 1]))
        value.len--;
    return value;
}

static enum pk_status replace(const struct reference *r, const struct table *table, struct pk_str *value,
                              struct pk_err *err)
{
    for (size_t i = 0; i < table->count; i++)
        if (pk_str_eq(table->from[i], *value)) {
            *value = table->to[i];
            return PK_OK;
        }
    if (value->len == 0)
        return PK_OK;
    if (!table->has_other)
        return pk_fail(err, PK_REJECT, "table '%.*s' has no word for the value of '%.*s'", PK_STR_ARG(table->name),
                       PK_STR_ARG(r->name));
    *value = table->other;
    return PK_OK;
}

enum pk_status reference_value(const struct reference *r, const struct row *current, const struct row *previous,
                               struct pk_arena *arena, struct pk_str *ret_value, struct pk_err *err)
{
    struct pk_str value = raw_value(r, r->previous ? previous : current, arena);
    if (!value.ptr)
        value = PK_STR("");
    for (size_t i = 0; i < r->filter_count; i++) {
        const struct filter *filter = &r->filter[i];
        enum pk_status status = PK_OK;
        if (filter->kind == FILTER_TABLE)
            status = replace(r, filter->table, &value, err);
        else if (filter->kind == FILTER_TRIM)
            value = trim(value);
        else
            value = change_case(value, filter->kind == FILTER_UPPER, arena);
        if (status != PK_OK)
            return status;
    }
    *ret_value = value;
    return PK_OK;
}

enum pk_status template_value(const struct template *t, const struct row *current, const struct row *previous,
                              struct pk_arena *arena, struct pk_str *ret_value, struct pk_err *err)
{
    struct pk_str none = {NULL, 0}, *piece = pk_arena_alloc(arena, t->count * sizeof *piece);
    size_t len = 0;
    for (size_t i = 0; i < t->count; i++) {
        const struct reference *r = t->part[i].reference;
        piece[i] = t->part[i].text;
        if (r) {
            enum pk_status status = reference_value(r, current, previous, arena, &piece[i], err);
            if (status != PK_OK)
                return status;
            if (piece[i].len == 0 && !r->optional) {
                *ret_value = none;
                return PK_OK;
            }
        }
        len += piece[i].len;
    }
    if (t->count == 1 || len == 0) {
        *ret_value = len ? piece[0] : none;
        return PK_OK;
    }
    char *text = pk_arena_alloc(arena, len + 1), *at = text;
    for (size_t i = 0; i < t->count; i++) {
        memcpy(at, piece[i].ptr, piece[i].len);
        at += piece[i].len;
    }
    *at = '\0';
    *ret_value = (struct pk_str){text, len};
    return PK_OK;
}
