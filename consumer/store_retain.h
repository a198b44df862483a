/* SPDX-License-Identifier: Apache-2.0 */
/* store_retain.h - retentions in the database: what is decided, what is left to seal, months that are empty (docs/semantics.md
 * 3.8). */
#ifndef POLKU_STORE_RETAIN_H
#define POLKU_STORE_RETAIN_H

#include "store.h"

/* The latest one's moment: records before it are no events. PK_NO_TIME = none. Outside of a transaction. */
enum pk_status store_retained(struct store *store, int64_t *ret_before_us, struct pk_err *err);

/* For one process at a time, as long as the connection lasts. PK_REJECT: another one is at work. */
enum pk_status store_retain_lock(struct store *store, struct pk_err *err);
/* Decides it, alone among writers, and ends all claims; or goes on with the latest one, if that is the same. PK_REJECT: a later
 * one is decided. */
enum pk_status store_retain_decide(struct store *store, int64_t before_us, struct pk_str by, struct pk_str note, struct pk_err *err);
/* Within a transaction: no rebuild, verify or migration is at work, nor begins before it ends. Else PK_REJECT. */
enum pk_status store_retain_free(struct store *store, struct pk_err *err);

struct retain_customer {
    struct pk_hash id;
    uint64_t events; /* before it */
};
/* Customers with events before it, behind `after` by id: those of the next `limit` events; *ret_more: there may be others. Of one
 * with more events than that it is told that it has so many. */
enum pk_status store_retain_customers(struct store *store, int64_t before_us, struct pk_hash after, size_t limit,
                                      struct pk_arena *arena, struct retain_customer **ret, size_t *ret_count, bool *ret_more,
                                      struct pk_err *err);
/* Likewise events without a customer, by time and hash: at_us and event_hash of facts. */
enum pk_status store_retain_nameless(struct store *store, int64_t before_us, const struct fact *after, size_t limit,
                                     struct pk_arena *arena, struct store_facts *ret, struct pk_err *err);

/* Everything was looked at, and so many events stay. */
enum pk_status store_retain_finish(struct store *store, int64_t before_us, uint64_t kept, struct pk_err *err);
/* `ret_text`: "2025-11, 2025-12", or empty. PK_STALE: somebody reads or writes all the time. */
enum pk_status store_retain_drop_months(struct store *store, struct pk_arena *arena, struct pk_str *ret_text, struct pk_err *err);

#endif
