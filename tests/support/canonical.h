/* SPDX-License-Identifier: Apache-2.0 */
/* canonical.h - the tables of a memory store as the rows that tests/oracle/polku_oracle.py prints.
 *
 * Fields between tabs as PostgreSQL's COPY writes them, \N for null, times as microseconds, ids as uuids,
 * truth as t or f, sets and lists as JSON arrays (sets in byte order), doubles as the hexadecimal of their eight bytes. */
#ifndef POLKU_CANONICAL_H
#define POLKU_CANONICAL_H

#include "memory_store.h"

struct canonical_rows;
struct canonical_table {
    const char *name, *columns; /* columns NULL: of an aggregate */
    void (*rows)(const struct canonical_table *table, struct canonical_rows *rows);
};
extern const struct canonical_table canonical_tables[];
enum { CANONICAL_TABLES = 8 + AGGREGATE_COUNT };

struct canonical_rows {
    const struct memory_store *store;
    const struct meaning *meaning;
    int64_t as_of_us;    /* for obligation_state; PK_NO_TIME leaves that table out */
    struct pk_buf text;  /* all rows, each ended by a zero byte; offsets because it grows */
    PK_VEC(size_t) row;
};

/* Appends the names of the columns with tabs between them, as the oracle's head line has them. */
void canonical_columns(const struct canonical_table *table, struct pk_buf *out);
/* Appends one table, sorted by bytes, each row with a line end. */
void canonical_print(const struct canonical_table *table, const struct memory_store *store,
                     const struct meaning *meaning, int64_t as_of_us, struct pk_buf *out);

#endif
