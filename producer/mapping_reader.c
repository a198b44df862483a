/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of one input, in file order or sorted, each with its lookups and the row before it in its group. */
#include <stdio.h>
#include <stdlib.h>

#include "csv.h"
#include "mapping_plan.h"

struct group { /* the last row seen, owned */
    struct row row;
    bool has_row;
    uint64_t count;
    char *memory;
    const struct pk_str **lookup;
};

struct sorted_row {
    uint64_t line;
    int64_t at_us;
    const struct pk_str *cell;
    struct pk_str raw;
    const char *broken; /* why it cannot be read; comes out before all others */
};

struct mapping_reader {
    struct mapping *mapping;
    struct csv csv;
    struct pk_arena arena; /* sorted rows, groups */
    PK_VEC(struct sorted_row) sorted;
    size_t next;
    uint64_t rows;
    struct pk_map group;
    const struct pk_str **lookup; /* of the current row */
    struct pk_str *let;
    char *retired; /* memory of the row before the previous one of the last group */
};

/* ---- groups ---- */

static struct group *find_group(struct mapping_reader *r, struct pk_str key)
{
    struct pk_hash hash = lookup_hash(key);
    struct group *group = pk_map_get(&r->group, hash);
    if (!group) {
        group = PK_NEW(&r->arena, struct group);
        group->row.let = PK_NEW_ARRAY(&r->arena, struct pk_str, r->mapping->names.let_count);
        group->row.cell = PK_NEW_ARRAY(&r->arena, struct pk_str, r->csv.column_count);
        group->lookup = PK_NEW_ARRAY(&r->arena, const struct pk_str *, r->mapping->names.lookup_count);
        group->row.lookup = group->lookup;
        pk_map_put(&r->group, hash, group);
    }
    return group;
}

static struct pk_str keep(char **at, struct pk_str text)
{
    if (!text.ptr)
        return text;
    struct pk_str kept = {*at, text.len};
    memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return kept;
}

/* Remembers the row as the previous one of its group. Its events may point into the copy of the row
 * before it, which therefore stays until the next call. */
static void remember(struct mapping_reader *r, struct group *group, const struct row *row)
{
    size_t columns = r->csv.column_count, lets = r->mapping->names.let_count, bytes = 0;
    for (size_t i = 0; i < columns; i++)
        bytes += row->cell[i].len;
    for (size_t i = 0; i < lets; i++)
        bytes += row->let[i].len;

    char *memory = pk_alloc(bytes + 1), *at = memory;
    for (size_t i = 0; i < columns; i++)
        ((struct pk_str *)group->row.cell)[i] = keep(&at, row->cell[i]);
    for (size_t i = 0; i < lets; i++)
        group->row.let[i] = keep(&at, row->let[i]);
    for (size_t i = 0; i < r->mapping->names.lookup_count; i++)
        group->lookup[i] = row->lookup[i];
    free(r->retired);
    r->retired = group->memory;
    group->memory = memory;
    group->row.line = row->line;
    group->row.number = row->number;
    group->row.group_number = row->group_number;
    group->has_row = true;
}

/* ---- one row ---- */

static enum pk_status find_lookups(struct mapping_reader *r, struct row *row, struct pk_arena *arena, struct pk_err *err)
{
    const struct names *names = &r->mapping->names;
    for (size_t i = 0; i < names->lookup_count; i++) {
        const struct lookup *lookup = &names->lookup[i];
        struct pk_str key;
        struct pk_err why;
        if (template_value(lookup->match, row, NULL, arena, &key, &why) != PK_OK)
            return pk_fail(err, PK_REJECT, "lookup '%.*s': %.400s", PK_STR_ARG(lookup->name), why.text);
        r->lookup[i] = key.ptr ? lookup_find(lookup, key) : NULL;
        if (!r->lookup[i] && !lookup->missing_is_empty)
            return pk_fail(err, PK_REJECT, "lookup '%.*s': %.*s has no row with this %.*s", PK_STR_ARG(lookup->name),
                           PK_STR_ARG(lookup->file), PK_STR_ARG(lookup->key));
    }
    return PK_OK;
}

static enum pk_status find_row_group(struct mapping_reader *r, struct row *row, struct pk_arena *arena,
                                     struct group **ret_group, struct pk_err *err)
{
    const struct mapping *m = r->mapping;
    struct pk_str key = PK_STR("");
    if (!m->grouped)
        return PK_OK;
    enum pk_status status = m->group ? template_value(m->group, row, NULL, arena, &key, err) : PK_OK;
    if (status == PK_OK && !key.ptr)
        return pk_fail(err, PK_REJECT, "the group's key is empty");
    if (status == PK_OK) {
        *ret_group = find_group(r, key);
        row->group_number = ++(*ret_group)->count;
    }
    return status;
}

/* A row whose events cannot be made is still the previous row of the next one. */
static enum pk_status map_row(struct mapping_reader *r, struct row *row, struct pk_arena *arena,
                              struct mapped_row *ret_row, struct pk_err *err)
{
    const struct mapping *m = r->mapping;
    struct group *group = NULL;
    row->number = ++r->rows;
    row->lookup = r->lookup;
    row->let = r->let;
    memset(r->lookup, 0, m->names.lookup_count * sizeof *r->lookup);
    memset(r->let, 0, m->names.let_count * sizeof *r->let);

    enum pk_status status = find_row_group(r, row, arena, &group, err);
    const struct row *previous = group && group->has_row ? &group->row : NULL;
    if (status == PK_OK)
        status = find_lookups(r, row, arena, err);
    if (status == PK_OK)
        status = plan_let(m, row, previous, arena, err);
    if (status == PK_OK)
        status = plan_events(m, row, previous, arena, ret_row, err);
    if (group)
        remember(r, group, row);
    return status;
}

/* ---- sorted input ---- */

static int by_time(const void *a, const void *b)
{
    const struct sorted_row *x = a, *y = b;
    if (!x->broken != !y->broken)
        return x->broken ? -1 : 1;
    if (!x->broken && x->at_us != y->at_us)
        return x->at_us < y->at_us ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

static void add_sorted(struct mapping_reader *r, const struct csv_row *from, const char *broken,
                                 struct pk_arena *scratch)
{
    struct sorted_row row = {.line = from->line, .raw = pk_arena_str(&r->arena, from->raw), .broken = broken};
    struct pk_err err = {0};
    if (!broken) {
        struct row view = {.cell = from->cell};
        if (plan_moment(&r->mapping->sort, &view, NULL, scratch, &row.at_us, &err) != PK_OK)
            row.broken = pk_arena_str(&r->arena, pk_str(err.text)).ptr;
        else if (row.at_us == PK_NO_TIME)
            row.broken = "sort: the time is empty";
    }
    if (!row.broken) {
        struct pk_str *cells = PK_NEW_ARRAY(&r->arena, struct pk_str, r->csv.column_count);
        for (size_t i = 0; i < r->csv.column_count; i++)
            cells[i] = pk_arena_str(&r->arena, from->cell[i]);
        row.cell = cells;
    }
    *pk_vec_push(&r->sorted) = row;
}

static enum pk_status read_sorted(struct mapping_reader *r, struct pk_err *err)
{
    struct pk_arena scratch = {.keep_bytes = 1 << 20};
    for (;;) {
        struct csv_row row;
        struct pk_err why;
        enum input_result result = csv_next(&r->csv, &row, &why);
        if (result == INPUT_END || result == INPUT_FAILED) {
            pk_arena_done(&scratch);
            if (result == INPUT_FAILED)
                return pk_fail(err, PK_STOP, "%s", why.text);
            break;
        }
        add_sorted(r, &row, result == INPUT_BROKEN ? pk_arena_str(&r->arena, pk_str(why.text)).ptr : NULL, &scratch);
        pk_arena_reset(&scratch);
    }
    if (r->sorted.len)
        qsort(r->sorted.ptr, r->sorted.len, sizeof *r->sorted.ptr, by_time);
    return PK_OK;
}

static enum input_result next_row(struct mapping_reader *r, struct csv_row *ret_row, struct pk_err *err)
{
    if (!r->mapping->sort.count)
        return csv_next(&r->csv, ret_row, err);
    if (r->next == r->sorted.len)
        return INPUT_END;
    const struct sorted_row *row = &r->sorted.ptr[r->next++];
    *ret_row = (struct csv_row){.line = row->line, .cell = row->cell, .raw = row->raw};
    if (!row->broken)
        return INPUT_RECORD;
    pk_fail(err, PK_REJECT, "%s", row->broken);
    return INPUT_BROKEN;
}

enum input_result mapping_next(struct mapping_reader *r, struct pk_arena *arena, struct mapped_row *ret_row,
                               struct pk_err *err)
{
    struct csv_row from;
    enum input_result result = next_row(r, &from, err);
    if (result == INPUT_END || result == INPUT_FAILED)
        return result;
    *ret_row = (struct mapped_row){.line = from.line, .raw = from.raw};
    if (result == INPUT_BROKEN)
        return result;
    struct row row = {.cell = from.cell, .line = from.line};
    return map_row(r, &row, arena, ret_row, err) == PK_OK ? INPUT_RECORD : INPUT_BROKEN;
}

/* ---- opening ---- */

static void folder_of(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/');
    if (strcmp(path, "-") == 0 || !slash)
        snprintf(out, size, ".");
    else
        snprintf(out, size, "%.*s", (int)PK_MAX(slash - path, 1), path);
}

static enum pk_status prepare(struct mapping_reader *r, const char *path, struct pk_err *err)
{
    struct mapping *m = r->mapping;
    char folder[4096];
    folder_of(path, folder, sizeof folder);
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < m->names.lookup_count && status == PK_OK; i++)
        status = lookup_load(&m->names.lookup[i], folder, err);
    m->names.column = r->csv.column;
    m->names.column_count = r->csv.column_count;
    if (status == PK_OK)
        status = names_bind(&m->names, err);
    r->lookup = PK_NEW_ARRAY(&r->arena, const struct pk_str *, m->names.lookup_count);
    r->let = PK_NEW_ARRAY(&r->arena, struct pk_str, m->names.let_count);
    if (status == PK_OK && m->sort.count)
        status = read_sorted(r, err);
    return status;
}

enum pk_status mapping_open(struct mapping *m, const char *path, struct mapping_reader **ret_reader, struct pk_err *err)
{
    struct mapping_reader *r = pk_alloc(sizeof *r);
    r->mapping = m;
    enum pk_status status = csv_open(&r->csv, path, m->separator, err);
    if (status == PK_OK)
        status = prepare(r, path, err);
    if (status != PK_OK) {
        mapping_close(r);
        return status;
    }
    *ret_reader = r;
    return PK_OK;
}

void mapping_close(struct mapping_reader *r)
{
    if (!r)
        return;
    csv_close(&r->csv);
    PK_MAP_EACH(&r->group, e) free(((struct group *)e->value)->memory);
    pk_map_done(&r->group);
    pk_vec_done(&r->sorted);
    pk_arena_done(&r->arena);
    free(r->retired);
    free(r);
}
