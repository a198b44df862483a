/* SPDX-License-Identifier: Apache-2.0 */
/* An answer over HTTP, read as each thing that may have been asked for; a schema in it goes on to the plan. Whatever
 * stands in it ends as text that a log, and PostgreSQL, take. */
#include "avro_plan.h"
#include "fuzz.h"
#include "registry_answer.h"

static void must_be_plain(const struct pk_buf *text)
{
    FUZZ_MUST(pk_utf8_valid(text->ptr ? text->ptr : "", text->len), "the registry's words are no text");
    for (size_t i = 0; i < text->len; i++)
        FUZZ_MUST((unsigned char)text->ptr[i] >= 0x20 && text->ptr[i] != '"', "the registry's words disturb a log");
}

static void read_schema(struct pk_str answer)
{
    struct pk_buf schema PK_AUTO(pk_buf_done) = {0};
    struct pk_err err = {0};
    struct avro_plan *plan;
    enum pk_status status = registry_read_schema(answer, &schema, &err);
    if (status == PK_OK)
        status = avro_plan_compile((struct pk_str){0}, (struct pk_str){schema.ptr, schema.len}, &plan, &err);
    if (status == PK_OK)
        avro_plan_free(plan);
    else
        fuzz_sentence(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pk_str answer = fuzz_exact((struct pk_str){(const char *)data, size});
    struct pk_buf words PK_AUTO(pk_buf_done) = {0}, why PK_AUTO(pk_buf_done) = {0};
    struct pk_err err = {0};
    uint32_t id;
    bool compatible;
    int code = 0;
    read_schema(answer);
    if (registry_read_id(answer, &id, &err) != PK_OK)
        fuzz_sentence(&err);
    if (registry_read_verdict(answer, &compatible, &why, &err) != PK_OK)
        fuzz_sentence(&err);
    if (registry_read_error(answer, &code, &words))
        FUZZ_MUST(code >= 0 && code <= 99999, "error code %d", code);
    must_be_plain(&words);
    must_be_plain(&why);
    fuzz_free(answer);
    return 0;
}
