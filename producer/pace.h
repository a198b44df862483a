/* SPDX-License-Identifier: Apache-2.0 */
/* pace.h - when the events of a steady stream are due, with bursts.
 *
 * Pure, in whole numbers: each event has its own due time since the first, so that nothing adds up over hours. */
#ifndef POLKU_PACE_H
#define POLKU_PACE_H

#include "pk.h"

struct pace {
    int64_t micro_rate;       /* events in a million seconds; 0: as fast as it goes */
    int64_t burst_milli;      /* factor of a burst in thousandths; 0: no bursts */
    int64_t every_us, for_us; /* each `every` ends with a burst of `for`, which is shorter */
};

/* When event `number` (from 0) is due, after the first. micro_rate must not be 0. */
int64_t pace_due_us(const struct pace *pace, uint64_t number);

#endif
