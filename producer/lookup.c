/* SPDX-License-Identifier: Apache-2.0 */
#include "lookup.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "csv.h"

struct pk_hash lookup_hash(struct pk_str key)
{
    struct pk_hash hash;
    crypto_generichash(hash.byte, sizeof hash.byte, (const uint8_t *)key.ptr, key.len, NULL, 0);
    return hash;
}

static enum pk_status add_row(struct lookup *lookup, const char *path, const struct csv_row *row, size_t key,
                              struct pk_err *err)
{
    if (row->cell[key].len == 0)
        return PK_OK;
    struct pk_hash hash = lookup_hash(row->cell[key]);
    bool known = pk_map_get(&lookup->row, hash) != NULL;
    if (known && lookup->several == LOOKUP_UNIQUE)
        return pk_fail(err, PK_REJECT,
                       "%s:%" PRIu64 ": a second row with this %.*s; say `several: first` or `last` in the lookup", path,
                       row->line, PK_STR_ARG(lookup->key));
    if (known && lookup->several == LOOKUP_FIRST)
        return PK_OK;
    struct pk_str *cells = PK_NEW_ARRAY(&lookup->arena, struct pk_str, lookup->column_count);
    for (size_t i = 0; i < lookup->column_count; i++)
        cells[i] = pk_arena_str(&lookup->arena, row->cell[i]);
    pk_map_put(&lookup->row, hash, cells);
    return PK_OK;
}

static enum pk_status load_rows(struct lookup *lookup, const char *path, struct csv *csv, struct pk_err *err)
{
    lookup->column_count = csv->column_count;
    lookup->column = PK_NEW_ARRAY(&lookup->arena, struct pk_str, csv->column_count);
    size_t key = csv->column_count;
    for (size_t i = 0; i < csv->column_count; i++) {
        lookup->column[i] = pk_arena_str(&lookup->arena, csv->column[i]);
        if (pk_str_eq(csv->column[i], lookup->key))
            key = i;
    }
    if (key == csv->column_count)
        return pk_fail(err, PK_REJECT, "%s has no column '%.*s', the key of lookup '%.*s'", path,
                       PK_STR_ARG(lookup->key), PK_STR_ARG(lookup->name));

    enum pk_status status = PK_OK;
    struct csv_row row;
    struct pk_err why;
    enum input_result result = INPUT_END;
    while (status == PK_OK && (result = csv_next(csv, &row, &why)) == INPUT_RECORD)
        status = add_row(lookup, path, &row, key, err);
    if (status == PK_OK && result == INPUT_BROKEN)
        return pk_fail(err, PK_REJECT, "%s:%" PRIu64 ": %s", path, row.line, why.text);
    if (status == PK_OK && result == INPUT_FAILED)
        return pk_fail(err, PK_STOP, "%s", why.text);
    return status;
}

enum pk_status lookup_load(struct lookup *lookup, const char *folder, struct pk_err *err)
{
    lookup_done(lookup);
    char path[4096];
    bool absolute = lookup->file.len && lookup->file.ptr[0] == '/';
    snprintf(path, sizeof path, "%s%s%.*s", absolute ? "" : folder, absolute ? "" : "/", PK_STR_ARG(lookup->file));
    struct csv csv;
    enum pk_status status = csv_open(&csv, path, lookup->separator, err);
    if (status != PK_OK)
        return status;
    status = load_rows(lookup, path, &csv, err);
    csv_close(&csv);
    return status;
}

const struct pk_str *lookup_find(const struct lookup *lookup, struct pk_str key)
{
    return pk_map_get(&lookup->row, lookup_hash(key));
}

void lookup_done(struct lookup *lookup)
{
    pk_map_done(&lookup->row);
    pk_arena_done(&lookup->arena);
    lookup->column = NULL;
    lookup->column_count = 0;
}
