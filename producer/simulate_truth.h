/* SPDX-License-Identifier: Apache-2.0 */
/* simulate_truth.h - ground truth in JSON Lines: what really happened behind an event. */
#ifndef POLKU_SIMULATE_TRUTH_H
#define POLKU_SIMULATE_TRUTH_H

#include "simulate.h"

/* Appends one line with its end. */
void simulate_truth(const struct simulated *simulated, struct pk_buf *out);

#endif
