/* SPDX-License-Identifier: Apache-2.0 */
/* A record of Kafka as the consumer takes it, by the default rules: a fact, or a row of quarantine with a sentence. */
#include "batch.h"
#include "fuzz.h"
#include "match.h"

enum { RENEW = 20000 }; /* records; then symbols begin anew, for they are never forgotten */

static struct {
    struct symbols symbols;
    struct pk_arena arena;
    struct rules rules;
    struct matcher matcher;
    struct fact_maker maker;
    struct fact_hasher hasher;
    struct schema_set *schemas;
    struct batch batch;
    unsigned used;
} all;

static void renew(void)
{
    struct pk_err err = {0};
    if (all.used++ % RENEW != 0)
        return;
    if (all.used > 1) {
        batch_done(&all.batch);
        fact_maker_done(&all.maker);
        matcher_done(&all.matcher);
        symbols_done(&all.symbols);
        pk_arena_done(&all.arena);
    } else {
        all.hasher.key_len = 32;
        FUZZ_MUST(schema_set_open(POLKU_SOURCE_DIR "/schemas", NULL, &all.schemas, &err) == PK_OK, "%s", err.text);
    }
    symbols_init(&all.symbols);
    FUZZ_MUST(rules_load(POLKU_SOURCE_DIR "/deploy/polku.yaml", NULL, &all.symbols, &all.arena, &all.rules, NULL, &err) ==
                  PK_OK, "%s", err.text);
    matcher_init(&all.matcher, &all.rules, &all.symbols);
    fact_maker_init(&all.maker, &all.rules, &all.hasher, &all.symbols, &all.matcher);
    all.batch.arena.keep_bytes = 1 << 20;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    renew();
    batch_reset(&all.batch);
    struct decoder decoder = {all.schemas, &all.maker, {300 * PK_SECOND_US}, all.rules.horizon_us};
    struct batch_record record = {
        .topic = symbol_of(&all.symbols, PK_STR("interactions")), .offset = 7,
        .received_at_us = INT64_C(1442854500000000), .key = {data, size % 7}, .value = {data, size},
    };
    if (size < 7)
        record.key = (struct pk_bytes){0};
    struct pk_err err = {0};
    FUZZ_MUST(batch_add(&all.batch, &decoder, &record, &err) == PK_OK, "a record without an answer: %s", err.text);
    FUZZ_MUST(all.batch.item.len == 1, "%zu items of one record", all.batch.item.len);
    const struct batch_item *item = all.batch.item.ptr;
    FUZZ_MUST((item->fact != NULL) != (item->reject != NULL), "neither fact nor reject");
    if (item->reject)
        FUZZ_MUST(item->reject->detail.len > 0 && item->reject->reason < REJECT_COUNT, "a reject that says nothing");
    return 0;
}
