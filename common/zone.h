/* SPDX-License-Identifier: Apache-2.0 */
/* zone.h - local time to UTC by the system's time zone database, without the process's own time zone.
 *
 * A zone is an IANA name ("America/Sao_Paulo", read from TZDIR or /usr/share/zoneinfo), "UTC", or a
 * fixed offset ("+03:00"). Times here are seconds: local ones count from 1970-01-01T00:00 local.
 *
 * When the clock goes back, a local time happens twice: the first of the two is meant, unless the
 * caller asks for the last. When the clock goes forward, a local time does not happen: it is read with
 * the offset that was in force before, so 00:30 in a gap of 00:00..01:00 is 01:30. (Python's zoneinfo
 * with fold=0 does the same.) */
#ifndef POLKU_ZONE_H
#define POLKU_ZONE_H

#include "pk.h"

struct zone;

/* Memory lives in `arena`. PK_REJECT with a sentence if there is no such zone. */
enum pk_status zone_open(struct pk_str name, struct pk_arena *arena, const struct zone **ret_zone,
                         struct pk_err *err);

enum zone_choice { ZONE_FIRST, ZONE_LAST };
int64_t zone_utc(const struct zone *zone, int64_t local_s, enum zone_choice choice);
int32_t zone_offset(const struct zone *zone, int64_t utc_s); /* seconds east of Greenwich */

#endif
