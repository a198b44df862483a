/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: what is accepted is written again to the same bytes. */
#include "fuzz.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_frame frame;
    struct pk_err err = {0};
    if (wire_parse((struct pk_bytes){data, size}, &frame, &err) != PK_OK) {
        fuzz_sentence(&err);
        return 0;
    }
    struct pk_buf again PK_AUTO(pk_buf_done) = {0};
    if (frame.kind == WIRE_CONFLUENT)
        wire_add_confluent(&again, frame.schema_id);
    else
        wire_add_single_object(&again, frame.fingerprint);
    pk_buf_add(&again, frame.body.ptr, frame.body.len);
    FUZZ_MUST(again.len == size && memcmp(again.ptr, data, size) == 0, "a frame is not what was written");
    return 0;
}
