/* SPDX-License-Identifier: Apache-2.0 */
/* avro_plan.h - decodes a writer's Avro bytes into struct event by a flat plan, compiled once per schema.
 *
 * Compiling resolves the writer's schema against ours: fields by name or by an alias of ours, enum
 * symbols by name (one that we do not know becomes our enum's default), int to long and to double,
 * string and bytes either way, nullable either way, timestamps of milli-, micro- and nanoseconds, our
 * defaults for what the writer lacks. What only the writer has is skipped, whatever its type.
 *
 * Decoding borrows text from the body (zero copy) and takes lists from the arena. It reads within the
 * body only, does work in proportion to the body's length, and the whole body must be consumed. */
#ifndef POLKU_AVRO_PLAN_H
#define POLKU_AVRO_PLAN_H

#include "event.h"

struct avro_plan;

/* PK_REJECT with a sentence that names the field if events cannot be read from this schema.
 * `reader_json` is our schema; ptr NULL is the built-in one (everybody but tests of evolution). */
enum pk_status avro_plan_compile(struct pk_str reader_json, struct pk_str writer_json, struct avro_plan **ret_plan,
                                 struct pk_err *err);
void avro_plan_free(struct avro_plan *plan); /* NULL is fine */

/* CRC-64-AVRO of the writer schema's Parsing Canonical Form. */
uint64_t avro_plan_fingerprint(const struct avro_plan *plan);

/* PK_REJECT with *ret_reason: undecodable, or too_large for more list entries than an event may have. */
enum pk_status avro_plan_decode(const struct avro_plan *plan, struct pk_bytes body, struct pk_arena *arena,
                                struct event *ret_event, enum reject_reason *ret_reason, struct pk_err *err);

#endif
