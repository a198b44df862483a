/* SPDX-License-Identifier: Apache-2.0 */
/* event_avro.h - struct event from and to the bytes of Avro. */
#ifndef POLKU_EVENT_AVRO_H
#define POLKU_EVENT_AVRO_H

#include "event.h"
#include "schema_set.h"

/* The newest schema, schemas/interaction.avsc, as built into the program. */
struct pk_str event_schema_json(void);
uint64_t event_schema_fingerprint(void);

/* A payload of Kafka: frame, schema, body. Text is borrowed from the payload, lists come from the arena.
 * PK_REJECT with *ret_reason bad_frame, unknown_schema, undecodable or too_large; PK_RETRY if a schema
 * registry is away. Does not validate: see event_validate(). */
enum pk_status event_decode(struct schema_set *schemas, struct pk_bytes payload, struct pk_arena *arena,
                            struct event *ret_event, enum reject_reason *ret_reason, struct pk_err *err);

/* Appends the canonical form: Avro binary of the newest schema, lists as one block, attributes by the
 * bytes of their keys; of entries with equal keys the last one stays. Two events are the same if and only
 * if these bytes are. At most EVENT_MAX_ATTRIBUTES attributes. */
void event_encode_canonical(const struct event *event, struct pk_buf *out);

/* The producer's way to the same bytes, through avro-c: body only, put the frame in front of it.
 * Attributes keep their order. One encoder per thread. */
struct event_encoder;
enum pk_status event_encoder_open(struct event_encoder **ret_encoder, struct pk_err *err);
enum pk_status event_encode_avro(struct event_encoder *encoder, const struct event *event, struct pk_buf *out,
                                 struct pk_err *err);
void event_encoder_close(struct event_encoder *encoder); /* NULL is fine */

#endif
