/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_migrate.h - brings the database's schema up to what this program needs.
 *
 * Applies the files SQL_DIR/migrations/NNNN_name.sql that the database does not have yet, each in one
 * transaction, in order, then SQL_DIR/roles.sql. Under an advisory lock: several may run at once. Running it
 * again changes nothing. A file that changed after it was applied, a gap in the numbers, and a database that is
 * ahead of the files are errors that name the file (PK_STOP); nothing is applied then.
 *
 * A file whose comments say "-- oldest program: N" leaves programs that know schema N at work (store_open asks), so that
 * consumers can be replaced one by one after it; any other stops all older ones at their next connection. */
#ifndef POLKU_CMD_MIGRATE_H
#define POLKU_CMD_MIGRATE_H

#include "pk.h"

/* One sentence per thing done, and the server's notices and warnings. */
typedef void migrate_note(void *context, const char *sentence);

/* PK_RETRY: no connection, or somebody else holds a lock for too long. `note` may be NULL. */
enum pk_status migrate_run(const char *conninfo, const char *sql_dir, migrate_note *note, void *context,
                           struct pk_err *err);

#endif
