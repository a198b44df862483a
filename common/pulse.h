/* SPDX-License-Identifier: Apache-2.0 */
/* pulse.h - what one thread is at, for other threads to see: its phase, since when, its last sign of life, and how long it
 * was in each phase.
 *
 * One thread writes, any may read, nobody waits: plain C11 atomics, relaxed. A NULL pulse is fine everywhere. Phases are
 * entered where the thread may block and where a batch goes from one step to the next, never per record. */
#ifndef POLKU_PULSE_H
#define POLKU_PULSE_H

#include <stdatomic.h>

#include "pk.h"

enum pulse_phase {
#define X(id, name, help) PULSE_##id,
#include "pulse.def"
#undef X
    PULSE_COUNT
};

struct pulse {
    _Atomic int phase;
    _Atomic int64_t since_us, beat_us; /* monotonic clock */
    _Atomic int64_t spent_us[PULSE_COUNT]; /* up to since_us */
};

int64_t pulse_clock_us(void); /* monotonic */
void pulse_start(struct pulse *pulse, enum pulse_phase phase);
/* The phase before, to go back to. */
enum pulse_phase pulse_enter(struct pulse *pulse, enum pulse_phase phase);
void pulse_beat(struct pulse *pulse);

#endif
