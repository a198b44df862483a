/* SPDX-License-Identifier: Apache-2.0 */
#include "framer.h"

enum pk_status framer_open(struct framer *framer, enum wire_kind kind, uint32_t schema_id, const char *key_namespaces,
                           struct pk_arena *arena, struct pk_err *err)
{
    *framer = (struct framer){.kind = kind, .schema_id = schema_id};
    enum pk_status status = event_key_order_parse(key_namespaces, arena, &framer->key_order, err);
    return status == PK_OK ? event_encoder_open(&framer->encoder, err) : status;
}

void framer_close(struct framer *framer)
{
    event_encoder_close(framer->encoder);
    framer->encoder = NULL;
}

enum pk_status framer_encode(struct framer *framer, const struct event *event, const struct event_limits *limits,
                             int64_t now_us, struct pk_buf *payload, struct pk_buf *key,
                             enum reject_reason *ret_reason, struct pk_err *err)
{
    size_t from = payload->len;
    enum reject_reason reason = REJECT_INVALID;
    enum pk_status status = event_validate(event, limits, now_us, &reason, err);
    if (status == PK_OK) {
        if (framer->kind == WIRE_CONFLUENT)
            wire_add_confluent(payload, framer->schema_id);
        else
            wire_add_single_object(payload, event_schema_fingerprint());
        if (framer->canonical)
            event_encode_canonical(event, payload);
        else
            status = event_encode_avro(framer->encoder, event, payload, err);
    }
    if (status == PK_OK && payload->len - from > EVENT_MAX_BYTES) {
        reason = REJECT_TOO_LARGE;
        status = pk_fail(err, PK_REJECT, "the event has %zu bytes, at most %d", payload->len - from, EVENT_MAX_BYTES);
    }
    if (status == PK_OK)
        event_key(event, &framer->key_order, key);
    else
        *ret_reason = reason;
    return status;
}
