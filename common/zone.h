/* SPDX-License-Identifier: Apache-2.0 */
/* zone.h - a time zone as a table: which offset from UTC is in force when.
 *
 * Read once, through the C library and the zone files of the system (package tzdata; TZDIR may name another folder).
 * docs/semantics.md 8 says how a local time that is skipped or repeated is read. */
#ifndef POLKU_ZONE_H
#define POLKU_ZONE_H

#include "pk.h"

struct zone_change {
    int64_t at_us;     /* UTC, inclusive; the first entry begins before all times of events */
    int64_t offset_us; /* local time - UTC from then on */
};
struct zone {
    const struct zone_change *change; /* ascending */
    size_t changes;
};

/* Names as in the IANA database, "Europe/Helsinki" or "UTC". PK_REJECT with a sentence if the system does not know it. Covers
 * 1990-01-01 to 2101-01-01; lives in `arena`. Sets and restores the environment's TZ: call it before there are threads. */
enum pk_status zone_load(struct pk_str name, struct pk_arena *arena, struct zone *ret, struct pk_err *err);
/* Local time, as microseconds of a clock that shows it as if it were UTC, to UTC. */
int64_t zone_to_utc(const struct zone *zone, int64_t local_us);

#endif
