/* SPDX-License-Identifier: Apache-2.0 */
#include "csv.h"

#include <inttypes.h>
#include <stdlib.h>

enum scan { SCAN_ROW, SCAN_END, SCAN_OPEN_QUOTE, SCAN_AFTER_QUOTE, SCAN_LONG, SCAN_FAILED };

/* Looks at one byte of the unread input, reading more if needed; -1 at the end of the file. */
static int look(struct input *input, size_t at, enum pk_status *status, struct pk_err *err)
{
    while (input->start + at >= input->end) {
        if (input->at_end)
            return -1;
        *status = input_fill(input, err);
        if (*status != PK_OK)
            return -1;
    }
    return (unsigned char)input->data[input->start + at];
}

static void end_cell(struct csv *csv)
{
    *pk_vec_push(&csv->cell_end) = csv->text.len;
}

static size_t line_end_bytes(struct input *input, size_t at, int c, enum pk_status *status, struct pk_err *err)
{
    return c == '\r' && look(input, at + 1, status, err) == '\n' ? 2 : 1;
}

/* Copies the cells of the row that begins at the first unread byte, without moving on. *ret_len: bytes
 * of the row, *ret_with_end: with its line end. */
static enum scan scan_row(struct csv *csv, size_t *ret_len, size_t *ret_with_end, struct pk_err *err)
{
    struct input *input = &csv->input;
    enum pk_status status = PK_OK;
    enum { CELL_START, PLAIN, QUOTED, QUOTE_CLOSED } state = CELL_START;
    size_t at = 0;
    pk_buf_reset(&csv->text);
    csv->cell_end.len = 0;

    for (;; at++) {
        int c = look(input, at, &status, err);
        if (status != PK_OK)
            return SCAN_FAILED;
        if (at > INPUT_MAX_RECORD)
            return state == QUOTED ? SCAN_OPEN_QUOTE : SCAN_LONG;
        if (state == QUOTED) {
            if (c < 0)
                return SCAN_OPEN_QUOTE;
            if (c != '"') {
                pk_buf_add(&csv->text, &(char){(char)c}, 1);
            } else if (look(input, at + 1, &status, err) == '"') {
                pk_buf_add(&csv->text, "\"", 1);
                at++;
            } else {
                state = QUOTE_CLOSED;
            }
            continue;
        }
        if (c < 0 || c == '\n' || c == '\r') {
            if (c < 0 && at == 0)
                return SCAN_END;
            *ret_len = at;
            *ret_with_end = c < 0 ? at : at + line_end_bytes(input, at, c, &status, err);
            end_cell(csv);
            return SCAN_ROW;
        }
        if (c == csv->separator) {
            end_cell(csv);
            state = CELL_START;
        } else if (state == QUOTE_CLOSED) {
            return SCAN_AFTER_QUOTE;
        } else if (state == CELL_START && c == '"') {
            state = QUOTED;
        } else {
            pk_buf_add(&csv->text, &(char){(char)c}, 1);
            state = PLAIN;
        }
    }
}

/* The cells as views; the text buffer does not move any more. */
static void view_cells(struct csv *csv)
{
    csv->cell.len = 0;
    size_t from = 0;
    for (size_t i = 0; i < csv->cell_end.len; i++) {
        size_t to = csv->cell_end.ptr[i];
        *pk_vec_push(&csv->cell) = (struct pk_str){csv->text.ptr ? csv->text.ptr + from : "", to - from};
        from = to;
    }
}

/* Cells stand joined: no character may begin in one and end in the next. */
static bool cells_are_text(const struct csv *csv)
{
    if (!pk_utf8_valid(csv->text.ptr ? csv->text.ptr : "", csv->text.len))
        return false;
    for (size_t i = 0; i < csv->cell.len; i++)
        if (csv->cell.ptr[i].len && ((uint8_t)csv->cell.ptr[i].ptr[0] & 0xC0) == 0x80)
            return false;
    return true;
}

/* Passes over the line on which a broken row begins. */
static enum input_result broken(struct csv *csv, struct csv_row *ret_row, struct pk_err *err, const char *why)
{
    struct pk_err reading = {0};
    *ret_row = (struct csv_row){0};
    enum input_result result = input_line(&csv->input, &ret_row->raw, &ret_row->line, &reading);
    if (result == INPUT_FAILED) {
        *err = reading;
        return INPUT_FAILED;
    }
    pk_fail(err, PK_REJECT, "%s", why);
    return INPUT_BROKEN;
}

enum input_result csv_next(struct csv *csv, struct csv_row *ret_row, struct pk_err *err)
{
    for (;;) {
        size_t len = 0, with_end = 0;
        switch (scan_row(csv, &len, &with_end, err)) {
        case SCAN_FAILED:
            return INPUT_FAILED;
        case SCAN_END:
            return INPUT_END;
        case SCAN_OPEN_QUOTE:
            return broken(csv, ret_row, err, "a quote is opened and never closed");
        case SCAN_AFTER_QUOTE:
            return broken(csv, ret_row, err, "text stands between a closing quote and the next separator");
        case SCAN_LONG:
            return broken(csv, ret_row, err, "the row is longer than 1 MiB");
        case SCAN_ROW:
            break;
        }
        struct input *input = &csv->input;
        struct csv_row row = {.line = input->line, .raw = {input->data + input->start, len}};
        input_skip(input, with_end);
        if (len == 0)
            continue;
        view_cells(csv);
        row.cell = csv->cell.ptr;
        *ret_row = row;
        if (csv->column && csv->cell.len != csv->column_count) {
            pk_fail(err, PK_REJECT, "the row has %zu cells, the header %zu", csv->cell.len, csv->column_count);
            return INPUT_BROKEN;
        }
        if (!cells_are_text(csv)) {
            pk_fail(err, PK_REJECT, "the row is not UTF-8, or holds a NUL");
            return INPUT_BROKEN;
        }
        return INPUT_RECORD;
    }
}

enum pk_status csv_open(struct csv *csv, const char *path, char separator, struct pk_err *err)
{
    *csv = (struct csv){.separator = separator};
    enum pk_status status = input_open(&csv->input, path, err);
    if (status != PK_OK)
        return status;

    struct csv_row header = {0};
    struct pk_err why = {0};
    enum input_result result = csv_next(csv, &header, &why);
    if (result == INPUT_FAILED)
        status = pk_fail(err, PK_STOP, "%s", why.text);
    else if (result == INPUT_END)
        status = pk_fail(err, PK_REJECT, "%s: empty, a header line with column names is needed", path);
    else if (result == INPUT_BROKEN)
        status = pk_fail(err, PK_REJECT, "%s:%" PRIu64 ": header: %s", path, header.line, why.text);
    if (status != PK_OK) {
        csv_close(csv);
        return status;
    }
    csv->column_count = csv->cell.len;
    csv->column = PK_NEW_ARRAY(&csv->arena, struct pk_str, csv->column_count);
    for (size_t i = 0; i < csv->column_count; i++) {
        csv->column[i] = pk_arena_str(&csv->arena, csv->cell.ptr[i]);
        for (size_t j = 0; j < i && status == PK_OK; j++)
            if (pk_str_eq(csv->column[i], csv->column[j]))
                status = pk_fail(err, PK_REJECT, "%s:%" PRIu64 ": the header names column '%.*s' twice", path,
                                 header.line, PK_STR_ARG(csv->column[i]));
    }
    if (status != PK_OK)
        csv_close(csv);
    return status;
}

void csv_close(struct csv *csv)
{
    input_close(&csv->input);
    pk_arena_done(&csv->arena);
    pk_buf_done(&csv->text);
    pk_vec_done(&csv->cell_end);
    pk_vec_done(&csv->cell);
    *csv = (struct csv){0};
}
