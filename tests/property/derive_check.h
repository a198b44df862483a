/* SPDX-License-Identifier: Apache-2.0 */
/* derive_check.h - do the tables equal what one slow derivation of the same events gives?
 *
 * The reference keeps one copy of each event (the smallest content hash), asks whose each is (identity_batch.h), and
 * derives all of them at once with derive_group: no cache, no workset, no fast path. */
#ifndef POLKU_DERIVE_CHECK_H
#define POLKU_DERIVE_CHECK_H

#include "memory_store.h"

/* A copy that needs no batch any more. */
struct fact *derive_check_copy(struct pk_arena *arena, const struct fact *fact);
/* `fact`: all copies that were delivered so far, in any order, their names taken; only borrowed and not changed.
 * `decision`: those in force. PK_REJECT with a sentence that names the first difference. */
enum pk_status derive_check(const struct memory_store *store, const struct meaning *meaning,
                            const struct fact *const *fact, size_t count, const struct change_decision *decision,
                            size_t decisions, struct pk_err *err);
/* Is every delivered content either in the tables or in quarantine? To be asked at the end. `fact[i]` was
 * delivered as partition and offset of its members say. */
enum pk_status derive_check_quarantine(const struct memory_store *store, const struct fact *const *fact, size_t count,
                                       struct pk_err *err);

#endif
