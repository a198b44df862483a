/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

static uint64_t get_le64(const uint8_t *p)
{
    return __builtin_bswap64(pk_get_be64(p));
}

enum pk_status wire_parse(struct pk_bytes payload, struct wire_frame *ret_frame, struct pk_err *err)
{
    if (payload.len == 0)
        return pk_fail(err, PK_REJECT, "the payload is empty");
    bool single = payload.ptr[0] == 0xC3;
    if (payload.ptr[0] != 0x00 && !single)
        return pk_fail(err, PK_REJECT, "the first byte is 0x%02x, neither 0x00 nor 0xc3", payload.ptr[0]);
    size_t header = single ? WIRE_SINGLE_OBJECT_BYTES : WIRE_CONFLUENT_BYTES;
    if (payload.len < header)
        return pk_fail(err, PK_REJECT, "%zu bytes, the frame alone needs %zu", payload.len, header);
    if (single && payload.ptr[1] != 0x01)
        return pk_fail(err, PK_REJECT, "version 0x%02x of the single-object encoding is not known", payload.ptr[1]);

    *ret_frame = (struct wire_frame){
        .kind = single ? WIRE_SINGLE_OBJECT : WIRE_CONFLUENT,
        .schema_id = single ? 0 : pk_get_be32(payload.ptr + 1),
        .fingerprint = single ? get_le64(payload.ptr + 2) : 0,
        .body = {payload.ptr + header, payload.len - header},
    };
    return PK_OK;
}

void wire_add_confluent(struct pk_buf *out, uint32_t schema_id)
{
    uint8_t header[WIRE_CONFLUENT_BYTES] = {0};
    pk_put_be32(header + 1, schema_id);
    pk_buf_add(out, header, sizeof header);
}

void wire_add_single_object(struct pk_buf *out, uint64_t fingerprint)
{
    uint8_t header[WIRE_SINGLE_OBJECT_BYTES] = {0xC3, 0x01};
    pk_put_be64(header + 2, __builtin_bswap64(fingerprint));
    pk_buf_add(out, header, sizeof header);
}
