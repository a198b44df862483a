/* SPDX-License-Identifier: Apache-2.0 */
/* time_text.h - moments and durations as text, without the process's time zone. */
#ifndef POLKU_TIME_TEXT_H
#define POLKU_TIME_TEXT_H

#include "pk.h"

/* ISO 8601: 2015-09-21T17:55[:30[.123456]](Z|+03:00|+0300|+03); 'T' or a space. A date alone is its UTC
 * midnight if `allow_date`. PK_REJECT if malformed, without a zone, or out of the calendar. */
enum pk_status time_parse_iso(struct pk_str text, bool allow_date, int64_t *ret_us, struct pk_err *err);
/* Days from 1970-01-01 of a proleptic Gregorian date. */
int64_t time_days_from_civil(int64_t year, unsigned month, unsigned day);
/* "2015-09-21T17:55:00.000000Z" into out[28]. */
void time_format_iso(int64_t us, char out[28]);
/* "90d", "24h", "1d12h", "5s", "200ms", "0". */
enum pk_status time_parse_duration(struct pk_str text, int64_t *ret_us, struct pk_err *err);

#endif
