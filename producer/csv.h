/* SPDX-License-Identifier: Apache-2.0 */
/* csv.h - rows of a CSV file (RFC 4180) with a header, each with the number of its first line.
 *
 * Cells may be quoted and then hold separators, doubled quotes and line ends; a quote inside an
 * unquoted cell is an ordinary character. Lines may end in LF, CR LF or CR; empty lines are passed over.
 * Text must be UTF-8 without NUL; a byte order mark is skipped. Every row has as many cells as the
 * header. A broken row is told and passed over; one whose quote is never closed costs only the line
 * on which it begins. */
#ifndef POLKU_CSV_H
#define POLKU_CSV_H

#include "input.h"

struct csv {
    struct input input;
    char separator;
    struct pk_str *column; /* the header's cells */
    size_t column_count;
    struct pk_arena arena; /* holds the header */
    struct pk_buf text;    /* cells of the current row */
    PK_VEC(size_t) cell_end;
    PK_VEC(struct pk_str) cell;
};

struct csv_row {
    uint64_t line;
    const struct pk_str *cell; /* column_count of them; never null, empty if nothing stands there */
    struct pk_str raw;         /* the row as written, without its line end */
};

/* Opens and reads the header. PK_STOP if unreadable, PK_REJECT if it has no usable header. */
enum pk_status csv_open(struct csv *csv, const char *path, char separator, struct pk_err *err);
void csv_close(struct csv *csv);

/* The row is good until the next call. After INPUT_BROKEN only line and raw are set. */
enum input_result csv_next(struct csv *csv, struct csv_row *ret_row, struct pk_err *err);

#endif
