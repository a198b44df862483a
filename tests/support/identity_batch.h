/* SPDX-License-Identifier: Apache-2.0 */
/* identity_batch.h - docs/semantics.md 3 for a whole set of events at once, for tests: who is one customer
 * (through identity.h), and whose event is whose (3.4, here again, in the plainest way).
 *
 * Facts have their names taken and are one of each event. Only borrowed, except by identity_batch_attribute. */
#ifndef POLKU_IDENTITY_BATCH_H
#define POLKU_IDENTITY_BATCH_H

#include "memory_store.h"

struct identity_batch {
    const struct meaning *meaning;
    struct pk_arena arena;
    struct pk_map persons;  /* hash -> struct identity_person */
    struct pk_map meetings; /* id -> struct identity_meeting */
    struct pk_map blocked;  /* persons and devices that a decision blocks */
    PK_VEC(struct identity_person *) person;
    PK_VEC(struct identity_meeting *) meeting;
    PK_VEC(struct identity_apart) apart;
    struct identity identity;
};

void identity_batch_init(struct identity_batch *batch, const struct meaning *meaning);
void identity_batch_done(struct identity_batch *batch);
void identity_batch_add(struct identity_batch *batch, const struct fact *fact);
/* After all facts: one decision that is in force. */
void identity_batch_decide(struct identity_batch *batch, const struct change_decision *decision);
void identity_batch_solve(struct identity_batch *batch);

/* Instead of all these: what the rows of identifier, identity_meeting and decision say, solved. */
void identity_batch_take_store(struct identity_batch *batch, const struct memory_store *store);

struct identity_person *identity_batch_person(const struct identity_batch *batch, struct pk_hash hash); /* or NULL */
bool identity_batch_blocked(const struct identity_batch *batch, struct pk_hash hash);
/* The own person of an event; NULL if it has none. */
struct identity_person *identity_batch_own(const struct identity_batch *batch, const struct fact *fact);
/* Sets customer, customer_kind and sighted of all facts, which are those that were added. */
void identity_batch_attribute(const struct identity_batch *batch, struct fact *const *fact, size_t count);

#endif
