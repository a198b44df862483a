/* SPDX-License-Identifier: Apache-2.0 */
/* calendar.h - business time: when a unit is open, and how much open time lies between two moments.
 *
 * Pure. docs/semantics.md 8 is the definition. A calendar is its open times, sorted, each with the sum of those before it, so
 * that both questions are one binary search. rules_load fills them. */
#ifndef POLKU_CALENDAR_H
#define POLKU_CALENDAR_H

#include "symbol.h"

struct calendar_open {
    int64_t from_us, to_us; /* UTC; to exclusive; ascending, apart from each other, never empty */
    int64_t before_us;      /* open time before from_us */
};

struct calendar {
    struct pk_str name, zone;
    const sym_t *brand, *unit; /* whose it is; none = of all */
    size_t brands, units;
    const struct calendar_open *open;
    size_t opens;
};

/* The first of the list that is of this brand and unit; NULL = always open. 0 = no brand, no unit. */
const struct calendar *calendar_of(const struct calendar *list, size_t count, sym_t brand, sym_t unit);
/* Open time in [a, b); 0 if b <= a. With calendar NULL: b - a. */
int64_t calendar_between(const struct calendar *calendar, int64_t a_us, int64_t b_us);
/* The earliest moment >= from with `within` open time in between; PK_NO_TIME if there is none. */
int64_t calendar_due(const struct calendar *calendar, int64_t from_us, int64_t within_us);

#endif
