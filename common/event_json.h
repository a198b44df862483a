/* SPDX-License-Identifier: Apache-2.0 */
/* event_json.h - struct event from and to natural JSON: one object, field names of the schema.
 *
 * No union wrappers: optional parts are there or not (null counts as absent), enums are their symbols,
 * absent fields take the schema's defaults. Times are ISO 8601 with a zone, or whole microseconds.
 * An unknown or repeated field is refused, with the nearest known name. */
#ifndef POLKU_EVENT_JSON_H
#define POLKU_EVENT_JSON_H

#include "event.h"

struct json_t; /* jansson */

/* Text is copied into the arena. PK_REJECT with a sentence that names the field, never a value of an
 * identifier. Does not validate limits: see event_validate(). */
enum pk_status event_from_json(struct pk_str text, struct pk_arena *arena, struct event *ret_event,
                               struct pk_err *err);
enum pk_status event_from_json_value(const struct json_t *object, struct pk_arena *arena, struct event *ret_event,
                                     struct pk_err *err);

/* Appends one line without a line end, in the schema's order, absent fields and defaults left out. */
void event_to_json(const struct event *event, struct pk_buf *out);

#endif
