/* SPDX-License-Identifier: Apache-2.0 */
#include "calendar.h"

static bool holds(const sym_t *list, size_t count, sym_t sym) /* none named = all, also none */
{
    if (count == 0)
        return true;
    for (size_t i = 0; i < count; i++)
        if (list[i] == sym)
            return true;
    return false;
}

const struct calendar *calendar_of(const struct calendar *list, size_t count, sym_t brand, sym_t unit)
{
    for (size_t i = 0; i < count; i++)
        if (holds(list[i].brand, list[i].brands, brand) && holds(list[i].unit, list[i].units, unit))
            return &list[i];
    return NULL;
}

/* Open time before `at`. */
static int64_t open_before(const struct calendar *calendar, int64_t at_us)
{
    size_t low = 0, high = calendar->opens; /* the open times before low begin at or before `at` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (calendar->open[middle].from_us <= at_us)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return 0;
    const struct calendar_open *open = &calendar->open[low - 1];
    return open->before_us + (PK_MIN(at_us, open->to_us) - open->from_us);
}

int64_t calendar_between(const struct calendar *calendar, int64_t a_us, int64_t b_us)
{
    if (b_us <= a_us)
        return 0;
    return calendar ? open_before(calendar, b_us) - open_before(calendar, a_us) : b_us - a_us;
}

int64_t calendar_due(const struct calendar *calendar, int64_t from_us, int64_t within_us)
{
    if (within_us <= 0)
        return from_us;
    if (!calendar)
        return from_us + within_us;
    int64_t wanted_us = open_before(calendar, from_us) + within_us;
    size_t low = 0, high = calendar->opens; /* the open times before low do not reach `wanted` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct calendar_open *open = &calendar->open[middle];
        if (open->before_us + (open->to_us - open->from_us) < wanted_us)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == calendar->opens)
        return PK_NO_TIME;
    return calendar->open[low].from_us + (wanted_us - calendar->open[low].before_us);
}
