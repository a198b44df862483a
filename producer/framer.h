/* SPDX-License-Identifier: Apache-2.0 */
/* framer.h - an event becomes what Kafka carries: key, frame, Avro body. */
#ifndef POLKU_FRAMER_H
#define POLKU_FRAMER_H

#include "event_avro.h"
#include "event_key.h"
#include "wire.h"

/* Two encoders write the same bytes (a test compares them): avro-c, the reference, for what channel systems
 * send, and our own canonical form for load, which is about five times as fast. */
struct framer {
    enum wire_kind kind;
    bool canonical; /* set it after opening: encode by event_encode_canonical() */
    uint32_t schema_id; /* WIRE_CONFLUENT */
    struct event_key_order key_order;
    struct event_encoder *encoder;
};

/* The key order lives in `arena`. */
enum pk_status framer_open(struct framer *framer, enum wire_kind kind, uint32_t schema_id, const char *key_namespaces,
                           struct pk_arena *arena, struct pk_err *err);
void framer_close(struct framer *framer);

/* Appends to both buffers. PK_REJECT with *ret_reason invalid, too_large or future: see event_validate(). */
enum pk_status framer_encode(struct framer *framer, const struct event *event, const struct event_limits *limits,
                             int64_t now_us, struct pk_buf *payload, struct pk_buf *key,
                             enum reject_reason *ret_reason, struct pk_err *err);

#endif
