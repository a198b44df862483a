/* SPDX-License-Identifier: Apache-2.0 */
/* scheduler_tables.h - the tables of a test database as a memory store, and copies of them to go back to. */
#ifndef POLKU_SCHEDULER_TABLES_H
#define POLKU_SCHEDULER_TABLES_H

#include "memory_store.h"
#include "store.h"

#include <libpq-fe.h>

/* Runs SQL that must succeed (else the program ends with the message). The result is the caller's to clear. */
PGresult *tables_query(PGconn *sql, const char *format, ...) __attribute__((format(printf, 2, 3)));
int64_t tables_number(PGconn *sql, const char *format, ...) __attribute__((format(printf, 2, 3))); /* its one value */
struct pk_hash tables_hash(const char *uuid); /* zero for "" */

/* Once per connection and database: prepares what is below. */
void tables_init(PGconn *sql);
/* Reads everything into `ret`, which is made here and the caller's to end. Events, journeys and obligations come through
 * `store`, the rest through `sql`; nobody may commit in between. PK_REJECT: rows that cannot be. */
enum pk_status tables_load(PGconn *sql, struct store *store, struct symbols *symbols, struct memory_store *ret,
                           struct pk_err *err);

/* Copies `copy` of all rows and sequences; back to it; to empty tables (`words`: also without the dictionary). */
void tables_take(PGconn *sql, int copy);
void tables_put_back(PGconn *sql, int copy);
void tables_empty(PGconn *sql, bool words);

#endif
