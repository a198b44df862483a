/* SPDX-License-Identifier: Apache-2.0 */
#include "changes.h"

#include <stdlib.h>

#define CHANGES_LISTS(X)                                                                                             \
    X(guard) X(new_cell) X(key) X(key_state) X(meeting_new) X(meeting_first) X(meeting_gone) X(decision) X(sighting) \
    X(value) X(forgotten_person) X(forgotten_key)                                                                    \
    X(customer) X(customer_purchases) X(customer_gone) X(replaced) X(fact) X(move) X(journey) X(journey_gone)        \
    X(obligation) X(obligation_gone) X(course_new) X(course) X(course_gone) X(aggregate) X(quarantine) X(excess)     \
    X(journey_sealed) X(obligation_sealed) X(carry) X(sealed_at) X(meeting_sealed)

void changes_reset(struct changes *changes)
{
#define X(list) changes->list.len = 0;
    CHANGES_LISTS(X)
#undef X
    changes->span = NULL;
    changes->spans = 0;
    changes->forgetting = NULL;
    changes->forgot = (struct forget_counts){0};
    changes->seal = false;
    changes->sealed = (struct seal_counts){0};
}

void changes_done(struct changes *changes)
{
#define X(list) pk_vec_done(&changes->list);
    CHANGES_LISTS(X)
#undef X
    *changes = (struct changes){0};
}
