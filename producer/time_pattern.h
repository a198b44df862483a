/* SPDX-License-Identifier: Apache-2.0 */
/* time_pattern.h - reads moments written in a publisher's own way.
 *
 * A pattern is "iso" (a full ISO 8601 time with its zone), "epoch_s", "epoch_ms", "epoch_us", or text
 * with %Y %m %d %H %M %S, %f (fraction, 1 to 9 digits), %z (Z, +03:00, +0300), %b (Jan .. Dec), %I
 * with %p (AM, PM), %F (%Y-%m-%d), %T (%H:%M:%S), %%; every other character stands for itself. The
 * whole text must match. Parts that the pattern lacks are the start of the day. */
#ifndef POLKU_TIME_PATTERN_H
#define POLKU_TIME_PATTERN_H

#include "zone.h"

/* PK_REJECT with what is wrong with the pattern. */
enum pk_status time_pattern_check(struct pk_str pattern, struct pk_err *err);

/* `zone` counts where the pattern has no zone of its own. With end_of_day the result is the last
 * microsecond of the local day of the moment, by `zone`, else by the text's own offset; on the night when
 * clocks go back it is the later one. PK_REJECT if the text does not match; the sentence does not quote it. */
enum pk_status time_pattern_parse(struct pk_str pattern, struct pk_str text, const struct zone *zone, bool end_of_day,
                                  int64_t *ret_us, struct pk_err *err);

#endif
