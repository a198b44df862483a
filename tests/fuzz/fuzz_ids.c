/* SPDX-License-Identifier: Apache-2.0 */
/* A file of schema ids beside the published schemas: refused with FILE:LINE, or a set that answers for any frame. */
#include "fuzz.h"
#include "schema_set.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct schema_set *set;
    struct pk_err err = {0};
    const char *ids = fuzz_file(0, (struct pk_str){(const char *)data, size});
    if (schema_set_open(POLKU_SOURCE_DIR "/schemas", ids, &set, &err) != PK_OK) {
        fuzz_sentence(&err);
        return 0;
    }
    for (uint32_t id = 0; id < 4; id++) {
        const struct avro_plan *plan;
        struct wire_frame frame = {.kind = WIRE_CONFLUENT, .schema_id = id};
        if (schema_set_find(set, &frame, &plan, &err) != PK_OK)
            fuzz_sentence(&err);
    }
    schema_set_close(set);
    return 0;
}
