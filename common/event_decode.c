/* SPDX-License-Identifier: Apache-2.0 */
/* Apart from event_avro.c, so that who only writes events needs no schemas of others. */
#include "event_avro.h"

enum pk_status event_decode(struct schema_set *schemas, struct pk_bytes payload, struct pk_arena *arena,
                            struct event *ret_event, enum reject_reason *ret_reason, struct pk_err *err)
{
    struct wire_frame frame;
    const struct avro_plan *plan;
    if (payload.len > EVENT_MAX_BYTES) {
        *ret_reason = REJECT_TOO_LARGE;
        return pk_fail(err, PK_REJECT, "the record has %zu bytes, at most %d", payload.len, EVENT_MAX_BYTES);
    }
    enum pk_status status = wire_parse(payload, &frame, err);
    if (status != PK_OK) {
        *ret_reason = REJECT_BAD_FRAME;
        return status;
    }
    status = schema_set_find(schemas, &frame, &plan, err);
    if (status != PK_OK) {
        *ret_reason = REJECT_UNKNOWN_SCHEMA;
        return status;
    }
    return avro_plan_decode(plan, frame.body, arena, ret_event, ret_reason, err);
}
