/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h - the two frames in which an event travels.
 *
 * Confluent: 0x00, schema id (4 bytes, big-endian), Avro body.
 * Single-object encoding: 0xC3 0x01, CRC-64-AVRO fingerprint of the schema (8 bytes, little-endian), body. */
#ifndef POLKU_WIRE_H
#define POLKU_WIRE_H

#include "pk.h"

enum wire_kind { WIRE_CONFLUENT, WIRE_SINGLE_OBJECT };
enum { WIRE_CONFLUENT_BYTES = 5, WIRE_SINGLE_OBJECT_BYTES = 10 };

struct wire_frame {
    enum wire_kind kind;
    uint32_t schema_id;   /* WIRE_CONFLUENT */
    uint64_t fingerprint; /* WIRE_SINGLE_OBJECT */
    struct pk_bytes body; /* borrowed from the payload */
};

/* PK_REJECT if the payload is neither frame. */
enum pk_status wire_parse(struct pk_bytes payload, struct wire_frame *ret_frame, struct pk_err *err);

/* Append a frame's header; the body follows it. */
void wire_add_confluent(struct pk_buf *out, uint32_t schema_id);
void wire_add_single_object(struct pk_buf *out, uint64_t fingerprint);

#endif
