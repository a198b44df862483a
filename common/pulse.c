/* SPDX-License-Identifier: Apache-2.0 */
#include "pulse.h"

#include <time.h>

#define GET(member) atomic_load_explicit(&(member), memory_order_relaxed)
#define SET(member, value) atomic_store_explicit(&(member), (value), memory_order_relaxed)

int64_t pulse_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

void pulse_start(struct pulse *pulse, enum pulse_phase phase)
{
    if (!pulse)
        return;
    int64_t now = pulse_clock_us();
    SET(pulse->phase, (int)phase);
    SET(pulse->since_us, now);
    SET(pulse->beat_us, now);
}

enum pulse_phase pulse_enter(struct pulse *pulse, enum pulse_phase phase)
{
    if (!pulse)
        return phase;
    enum pulse_phase before = (enum pulse_phase)GET(pulse->phase);
    int64_t now = pulse_clock_us();
    SET(pulse->spent_us[before], GET(pulse->spent_us[before]) + now - GET(pulse->since_us));
    SET(pulse->since_us, now);
    SET(pulse->beat_us, now);
    SET(pulse->phase, (int)phase);
    return before;
}

void pulse_beat(struct pulse *pulse)
{
    if (pulse)
        SET(pulse->beat_us, pulse_clock_us());
}
