/* SPDX-License-Identifier: Apache-2.0 */
/* consumer_store.h - what the commands beside `run` begin and end with: the database, what deriving in it needs, the exit code.
 *
 * A command that writes says so: of several hosts in the conninfo it is then given one that takes writes, and a standby alone
 * is told as such. One that only reads takes the first that answers. */
#ifndef POLKU_CONSUMER_STORE_H
#define POLKU_CONSUMER_STORE_H

#include "commit.h"
#include "consumer_commands.h"
#include "explain_load.h"

struct store_config consumer_store_config(const struct consumer_options *options, bool writes);
enum pk_status consumer_store_open(const struct consumer_options *options, bool writes, struct symbols *symbols,
                                   struct store **ret_store, struct pk_err *err);

/* Rules, key and database in one, for what asks or changes single customers. It does not move: parts point to each other. */
struct consumer_desk {
    struct consumer_inputs inputs;
    struct matcher matcher;
    struct fact_maker maker;
    struct meaning meaning;
    struct store *store;
    struct pk_arena arena;
    struct explain_source source;
};

/* Rules and key must be those of the database; one that nothing was written to yet is begun with them by who writes only. */
enum pk_status consumer_desk_open(const struct consumer_options *options, bool writes, struct consumer_desk *desk,
                                  struct pk_err *err);
void consumer_desk_close(struct consumer_desk *desk); /* only after PK_OK */

/* Who does it, as is kept with what is done: --by, or the name of the user. */
struct pk_str consumer_by(const struct consumer_options *options);

/* The exit code of a command that ended so. What is wrong with what was asked is told plainly, what failed goes to the log. */
int consumer_end(const char *sentence, enum pk_status status, const struct pk_err *err);

#endif
