/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "csv.h"

static struct csv csv;
static struct csv_row row;
static struct pk_err err;
static char path[64];

static enum pk_status open_text(const char *text, size_t len)
{
    snprintf(path, sizeof path, "/tmp/polku_csv_XXXXXX");
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, len), (ssize_t)len);
    close(fd);
    enum pk_status status = csv_open(&csv, path, ',', &err);
    unlink(path);
    return status;
}

#define OPEN(literal) cr_assert_eq(open_text(literal, sizeof literal - 1), PK_OK, "%s", err.text)
#define CELL(i, want)                                                                                       \
    cr_assert(pk_str_eq(row.cell[i], pk_str(want)), "cell %d is '%.*s'", (i), PK_STR_ARG(row.cell[i]))

Test(csv, reads_quotes_separators_and_line_ends_inside_cells)
{
    OPEN("a,b,c\n1,\"x, \"\"y\"\"\",\"two\nlines\"\n2,,\"\"\n");
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_RECORD);
    cr_assert_eq(row.line, 2);
    CELL(0, "1");
    CELL(1, "x, \"y\"");
    CELL(2, "two\nlines");
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_RECORD);
    cr_assert_eq(row.line, 4, "the row before it took two lines, got %lu", (unsigned long)row.line);
    CELL(0, "2");
    CELL(1, "");
    CELL(2, "");
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_END);
    csv_close(&csv);
}

Test(csv, accepts_a_byte_order_mark_crlf_cr_empty_lines_and_a_last_line_without_end)
{
    OPEN("\xEF\xBB\xBF" "a,b\r\n1,2\r\n\r\n\n3,4\r5,6");
    cr_assert(pk_str_eq(csv.column[0], PK_STR("a")), "no byte order mark in the name");
    const struct { const char *cell; uint64_t line; } want[] = {{"1", 2}, {"3", 5}, {"5", 6}};
    for (size_t i = 0; i < PK_COUNT(want); i++) {
        cr_assert_eq(csv_next(&csv, &row, &err), INPUT_RECORD);
        CELL(0, want[i].cell);
        cr_assert_eq(row.line, want[i].line, "line %lu", (unsigned long)row.line);
    }
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_END);
    csv_close(&csv);
}

Test(csv, a_row_with_another_number_of_cells_is_broken_and_the_next_one_is_read)
{
    OPEN("a,b\n1\n1,2,3\n4,5\n");
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_BROKEN);
    cr_assert_eq(row.line, 2);
    cr_assert_str_eq(err.text, "the row has 1 cells, the header 2");
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_BROKEN);
    cr_assert(pk_str_eq(row.raw, PK_STR("1,2,3")));
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_RECORD);
    CELL(1, "5");
    csv_close(&csv);
}

Test(csv, a_quote_that_is_never_closed_costs_only_its_own_line)
{
    OPEN("a,b\n1,\"open\n2,3\n4,5\n");
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_BROKEN);
    cr_assert_eq(row.line, 2);
    cr_assert_str_eq(err.text, "a quote is opened and never closed");
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_RECORD);
    CELL(0, "2");
    cr_assert_eq(row.line, 3);
    csv_close(&csv);
}

Test(csv, text_behind_a_closing_quote_is_broken_but_a_quote_inside_plain_text_is_text)
{
    OPEN("a,b\n\"1\"x,2\n5\" pipe,ok\n");
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_BROKEN);
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_RECORD);
    CELL(0, "5\" pipe");
    csv_close(&csv);
}

Test(csv, refuses_text_that_is_not_utf8_or_holds_a_nul)
{
    OPEN("a\n\xFF\nb\0c\nok\n");
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_BROKEN);
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_BROKEN);
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_RECORD);
    CELL(0, "ok");
    csv_close(&csv);
}

Test(csv, a_character_does_not_begin_in_one_cell_and_end_in_the_next)
{
    OPEN("a,b,c\n\xe4,\xba\xac,x\n\xe4,\"\",\xba\xac\n\xe4\xba\xac,\xc3\xa4,x\n");
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_BROKEN);
    cr_assert(strstr(err.text, "UTF-8"), "%s", err.text);
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_BROKEN);
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_RECORD);
    csv_close(&csv);
}

Test(csv, a_file_needs_a_header_with_distinct_names)
{
    cr_assert_eq(open_text("", 0), PK_REJECT);
    cr_assert_eq(open_text("a,b,a\n", 6), PK_REJECT);
    cr_assert(strstr(err.text, "'a' twice"), "%s", err.text);
    cr_assert_eq(csv_open(&csv, "/nowhere/at/all.csv", ',', &err), PK_STOP);
}

Test(csv, rows_across_read_pieces_are_whole)
{
    struct pk_buf text = {0};
    pk_buf_text(&text, "n,text\r\n");
    for (int i = 0; i < 40000; i++)
        pk_buf_printf(&text, "%d,\"line %d\r\nand \"\"more\"\"\"\r\n", i, i);
    cr_assert_eq(open_text(text.ptr, text.len), PK_OK);
    for (int i = 0; i < 40000; i++) {
        char want[64];
        cr_assert_eq(csv_next(&csv, &row, &err), INPUT_RECORD, "row %d", i);
        snprintf(want, sizeof want, "line %d\r\nand \"more\"", i);
        cr_assert_eq(row.line, 2 + 2 * (uint64_t)i);
        CELL(1, want);
    }
    cr_assert_eq(csv_next(&csv, &row, &err), INPUT_END);
    csv_close(&csv);
    pk_buf_done(&text);
}

Test(csv, a_line_that_is_too_long_is_passed_over)
{
    struct pk_buf text = {0};
    pk_buf_text(&text, "short\n");
    for (int i = 0; i < (INPUT_MAX_RECORD + 4096) / 16; i++)
        pk_buf_text(&text, "0123456789abcdef");
    pk_buf_text(&text, "\nlast\n");
    snprintf(path, sizeof path, "/tmp/polku_csv_XXXXXX");
    int fd = mkstemp(path);
    cr_assert_eq(write(fd, text.ptr, text.len), (ssize_t)text.len);
    close(fd);
    struct input input;
    cr_assert_eq(input_open(&input, path, &err), PK_OK);
    unlink(path);
    struct pk_str line;
    uint64_t number;
    cr_assert_eq(input_line(&input, &line, &number, &err), INPUT_RECORD);
    cr_assert_eq(input_line(&input, &line, &number, &err), INPUT_BROKEN);
    cr_assert_eq(number, 2);
    cr_assert_eq(input_line(&input, &line, &number, &err), INPUT_RECORD);
    cr_assert_eq(number, 3);
    cr_assert(pk_str_eq(line, PK_STR("last")));
    cr_assert_eq(input_line(&input, &line, &number, &err), INPUT_END);
    input_close(&input);
    pk_buf_done(&text);
}
