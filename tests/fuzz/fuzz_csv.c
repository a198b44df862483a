/* SPDX-License-Identifier: Apache-2.0 */
/* CSV: every row lies within the file and behind the one before; its cells are text; a header that was written from
 * the cells read reads as the same cells. */
#include "csv.h"
#include "fuzz.h"

static void put_cell(struct pk_buf *out, struct pk_str cell)
{
    pk_buf_text(out, "\"");
    for (size_t i = 0; i < cell.len; i++) {
        pk_buf_add(out, cell.ptr + i, 1);
        if (cell.ptr[i] == '"')
            pk_buf_text(out, "\"");
    }
    pk_buf_text(out, "\"");
}

static void add_row(struct pk_buf *out, const struct pk_str *cell, size_t count, char separator)
{
    for (size_t i = 0; i < count; i++) {
        if (i)
            pk_buf_add(out, &separator, 1);
        put_cell(out, cell[i]);
    }
    pk_buf_text(out, "\n");
}

/* Reads all of a file; with `again` the rows are written there, quoted. Returns rows. */
static size_t read_all(const char *path, char separator, size_t size, struct pk_buf *again)
{
    struct csv csv;
    struct csv_row row;
    struct pk_err err = {0};
    if (csv_open(&csv, path, separator, &err) != PK_OK) {
        fuzz_sentence(&err);
        return 0;
    }
    add_row(again, csv.column, csv.column_count, separator);
    size_t rows = 0, broken = 0;
    uint64_t line = 0;
    enum input_result result;
    while ((result = csv_next(&csv, &row, &err)) == INPUT_RECORD || result == INPUT_BROKEN) {
        FUZZ_MUST(row.line > line, "row at line %llu after line %llu", (unsigned long long)row.line, (unsigned long long)line);
        line = row.line;
        FUZZ_MUST(rows + ++broken <= size + 1, "more rows than bytes");
        if (result == INPUT_BROKEN) {
            fuzz_sentence(&err);
            continue;
        }
        rows++, broken--;
        for (size_t i = 0; i < csv.column_count; i++)
            FUZZ_MUST(row.cell[i].ptr && pk_utf8_valid(row.cell[i].ptr, row.cell[i].len), "a cell is no text");
        add_row(again, row.cell, csv.column_count, separator);
    }
    FUZZ_MUST(result == INPUT_END, "a file in memory cannot be read: %s", err.text);
    csv_close(&csv);
    return rows;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char separators[] = {',', ';', '\t', '|'};
    if (size == 0)
        return 0;
    char separator = separators[data[0] % PK_COUNT(separators)];
    struct pk_buf written PK_AUTO(pk_buf_done) = {0}, again PK_AUTO(pk_buf_done) = {0};
    size_t rows = read_all(fuzz_file(0, (struct pk_str){(const char *)data + 1, size - 1}), separator, size, &written);
    if (!written.len || written.len > INPUT_MAX_RECORD)
        return 0;
    FUZZ_MUST(read_all(fuzz_file(1, (struct pk_str){written.ptr, written.len}), separator, written.len, &again) == rows,
              "rows are lost when written quoted");
    FUZZ_MUST(again.len == written.len && memcmp(again.ptr, written.ptr, again.len) == 0, "cells change when quoted");
    return 0;
}
