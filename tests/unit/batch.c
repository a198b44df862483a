/* SPDX-License-Identifier: Apache-2.0 */
/* What a batch keeps of a record, and what it counts of it. */
#include <criterion/criterion.h>

#include "batch.h"

/* Nobody listens on port 9 of this machine. */
static struct schema_set *open_set(void)
{
    struct schema_set *schemas;
    struct registry *registry;
    struct pk_err err = {0};
    const struct registry_config config = {.urls = "http://127.0.0.1:9", .timeout_us = PK_SECOND_US};
    cr_assert_eq(schema_set_open(NULL, NULL, &schemas, &err), PK_OK, "%s", err.text);
    cr_assert_eq(registry_open(&config, &registry, &err), PK_OK, "%s", err.text);
    schema_set_use_registry(schemas, registry, 0);
    return schemas;
}

Test(batch, a_record_that_waits_for_its_schema_leaves_nothing_behind)
{
    static const uint8_t value[60000] = {0, 0, 0, 0, 7};
    struct schema_set *schemas = open_set();
    const struct decoder decoder = {.schemas = schemas};
    const struct batch_record record = {.topic = 1, .received_at_us = 1, .value = {value, sizeof value}};
    struct batch batch = {0};
    struct pk_err err = {0};
    for (int i = 0; i < 50; i++)
        cr_assert_eq(batch_add(&batch, &decoder, &record, &err), PK_RETRY, "%s", err.text);
    cr_assert_eq(batch.item.len, 0);
    cr_assert_eq(batch.bytes, 0);
    cr_assert_eq(batch.arena.used, 0, "%zu bytes: a day without the registry would fill the memory", batch.arena.used);
    batch_done(&batch);
    schema_set_close(schemas);
}

Test(batch, keys_and_headers_count_as_bytes_too)
{
    static const uint8_t much[60000];
    struct schema_set *schemas;
    struct pk_err err = {0};
    cr_assert_eq(schema_set_open(NULL, NULL, &schemas, &err), PK_OK, "%s", err.text);
    const struct decoder decoder = {.schemas = schemas};
    const struct record_header header = {PK_STR("trace"), {much, sizeof much}};
    const struct batch_record record = {.topic = 1, .received_at_us = 1, .key = {much, sizeof much}, .header = &header, .header_count = 1};
    struct batch batch = {0};
    cr_assert_eq(batch_add(&batch, &decoder, &record, &err), PK_OK, "%s", err.text);
    cr_assert_eq(batch.rejects, 1, "no value");
    cr_assert_geq(batch.bytes, 2 * sizeof much, "%zu: tombstones with long keys would fill the memory", batch.bytes);
    batch_done(&batch);
    schema_set_close(schemas);
}
