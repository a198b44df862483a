/* SPDX-License-Identifier: Apache-2.0 */
/* Natural JSON: a valid event survives JSON, Avro through avro-c, and our decoder, to the last byte. */
#include "event_avro.h"
#include "event_json.h"
#include "fuzz.h"

static const struct event_limits limits = {300 * PK_SECOND_US};
static struct pk_arena arena = {.keep_bytes = 1 << 20};
static struct schema_set *schemas;
static struct event_encoder *encoder;

static void check_same(const struct event *event, const struct pk_buf *canonical, const char *way)
{
    struct pk_buf again PK_AUTO(pk_buf_done) = {0};
    event_encode_canonical(event, &again);
    FUZZ_MUST(again.len == canonical->len && memcmp(again.ptr, canonical->ptr, again.len) == 0,
              "an event is another one after %s", way);
}

static void check_json(const struct event *event, const struct pk_buf *canonical)
{
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    struct event again;
    struct pk_err err = {0};
    event_to_json(event, &text);
    FUZZ_MUST(event_from_json((struct pk_str){text.ptr, text.len}, &arena, &again, &err) == PK_OK,
              "our own JSON is refused: %s\n%s", err.text, text.ptr);
    check_same(&again, canonical, "JSON");
}

static void check_avro(const struct event *event, const struct pk_buf *canonical)
{
    struct pk_buf payload PK_AUTO(pk_buf_done) = {0};
    struct event again;
    struct pk_err err = {0};
    enum reject_reason reason;
    wire_add_single_object(&payload, event_schema_fingerprint());
    FUZZ_MUST(event_encode_avro(encoder, event, &payload, &err) == PK_OK, "avro-c does not write it: %s", err.text);
    FUZZ_MUST(event_decode(schemas, (struct pk_bytes){(uint8_t *)payload.ptr, payload.len}, &arena, &again, &reason,
                           &err) == PK_OK, "our own bytes are refused: %s", err.text);
    check_same(&again, canonical, "Avro");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct event event;
    struct pk_err err = {0};
    enum reject_reason reason;
    if (!schemas)
        FUZZ_MUST(schema_set_open(NULL, NULL, &schemas, &err) == PK_OK && event_encoder_open(&encoder, &err) == PK_OK,
                  "%s", err.text);
    pk_arena_reset(&arena);
    if (event_from_json((struct pk_str){(const char *)data, size}, &arena, &event, &err) != PK_OK ||
        event_validate(&event, &limits, PK_NO_TIME, &reason, &err) != PK_OK) {
        fuzz_sentence(&err);
        return 0;
    }
    struct pk_buf canonical PK_AUTO(pk_buf_done) = {0};
    event_encode_canonical(&event, &canonical);
    check_json(&event, &canonical);
    check_avro(&event, &canonical);
    return 0;
}
