/* SPDX-License-Identifier: Apache-2.0 */
/* store_conninfo.h - what the user says of the database, and the password from its file, as one conninfo.
 *
 * The result holds the password: it goes to libpq and nowhere else, into no sentence and no log. */
#ifndef POLKU_STORE_CONNINFO_H
#define POLKU_STORE_CONNINFO_H

#include "pk.h"

/* `given` is a libpq connection string or URI, `password` may be NULL. PK_REJECT if `given` is neither, or holds a password:
 * arguments are everybody's to read. The text lives in `arena`. */
enum pk_status store_conninfo(const char *given, const char *password, struct pk_arena *arena, const char **ret_conninfo,
                              struct pk_err *err);

/* What libpq last said of a connection, on one line. It names every host and address that was tried; if that is too long, the
 * last of it is kept: the refusal itself stands there. */
struct pg_conn;
void store_connection_says(const struct pg_conn *conn, char *text, size_t size);

#endif
