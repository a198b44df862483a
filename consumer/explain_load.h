/* SPDX-License-Identifier: Apache-2.0 */
/* explain_load.h - what `identity` commands know of an identifier: from its text, from the rules, from PostgreSQL.
 *
 * All of it reads within one snapshot, which the caller ends with store_end_read (or store_rollback). */
#ifndef POLKU_EXPLAIN_LOAD_H
#define POLKU_EXPLAIN_LOAD_H

#include "identity_explain.h"
#include "store.h"

struct explain_source {
    const struct rules *rules;
    const struct fact_hasher *hasher;
    struct symbols *symbols;
    struct store *store;
    struct pk_arena *arena; /* everything that is returned lives here */
};

enum pk_status explain_begin(const struct explain_source *source, struct pk_err *err);

/* NAMESPACE:VALUE, normalised and hashed as those of events are; or a hash of 32 hexadecimal digits (dashes optional),
 * or its first 8 or more, of an identifier that the database has. *ret_blocked: the rules block the value, and of the
 * name only the namespace is filled. PK_REJECT with a sentence that never quotes the value: neither of these, an
 * unknown namespace, no or several such identifiers. */
enum pk_status explain_find(const struct explain_source *source, const char *text, struct explain_name *ret_name,
                            bool *ret_blocked, struct pk_err *err);

/* Fills ret->name with these identifiers, as far as the database has them. */
enum pk_status explain_load_names(const struct explain_source *source, const struct pk_hash *hash, size_t count,
                                  struct explain *ret, struct pk_err *err);
/* Decisions that are in force about anybody in explain->name. */
enum pk_status explain_load_decisions(const struct explain_source *source, struct explain *explain, struct pk_err *err);

/* Everything about `asked`, which must live as long; solved. The caller frees ret with explain_done. */
enum pk_status explain_load(const struct explain_source *source, const struct explain_name *asked, size_t limit,
                            struct explain *ret, struct pk_err *err);
void explain_done(struct explain *explain);

#endif
