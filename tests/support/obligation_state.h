/* SPDX-License-Identifier: Apache-2.0 */
/* obligation_state.h - the state of an obligation as of a moment (docs/semantics.md 5), as bi.obligation shows it. */
#ifndef POLKU_OBLIGATION_STATE_H
#define POLKU_OBLIGATION_STATE_H

#include "obligation.h"

struct obligation_state {
    bool opened; /* false: not opened yet, and nothing else is set */
    const char *state;
    bool overdue, early, no_deadline, no_owner, broken;
    int64_t fulfilled_at_us, due_from_us, due_to_us; /* as of the moment; PK_NO_TIME = none */
};

struct obligation_state obligation_state(const struct obligation *obligation, int64_t as_of_us);
/* (fulfilled - due_from) / (due_to - due_from); false if there is no such window, or it is not fulfilled. */
bool obligation_position(const struct obligation_state *state, double *ret_position);

#endif
