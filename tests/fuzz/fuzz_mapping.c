/* SPDX-License-Identifier: Apache-2.0 */
/* A mapping, the CSV that it is for, and the file that its lookups join (they name it "901"): refused with FILE:LINE,
 * or rows that become events or are told. */
#include "event_json.h"
#include "fuzz.h"
#include "mapping.h"

static void read_rows(struct mapping *mapping, const char *path, size_t size)
{
    static const struct event_limits limits = {300 * PK_SECOND_US};
    struct mapping_reader *reader;
    struct pk_arena arena PK_AUTO(pk_arena_done) = {.keep_bytes = 1 << 20};
    struct mapped_row row;
    struct pk_err err = {0};
    if (mapping_open(mapping, path, &reader, &err) != PK_OK) {
        fuzz_sentence(&err);
        return;
    }
    enum input_result result;
    size_t rows = 0;
    while ((result = mapping_next(reader, &arena, &row, &err)) == INPUT_RECORD || result == INPUT_BROKEN) {
        FUZZ_MUST(++rows <= size + 1, "more rows than bytes");
        if (result == INPUT_BROKEN)
            fuzz_sentence(&err);
        for (size_t i = 0; result == INPUT_RECORD && i < row.count; i++) {
            struct pk_buf json PK_AUTO(pk_buf_done) = {0};
            enum reject_reason reason;
            event_to_json(&row.event[i], &json); /* reads every byte */
            if (event_validate(&row.event[i], &limits, PK_NO_TIME, &reason, &err) != PK_OK)
                fuzz_sentence(&err);
        }
        pk_arena_reset(&arena);
    }
    mapping_close(reader);
}

/* Lookups may name files of the machine: only the ones in memory are meant. */
static bool stays_inside(struct pk_str text)
{
    return !memmem(text.ptr, text.len, "file", 4) || (!memmem(text.ptr, text.len, "..", 2) && !memchr(text.ptr, '/', text.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pk_str rest = {(const char *)data, size}, yaml = fuzz_part(&rest), csv = fuzz_part(&rest);
    if (size == 0 || !stays_inside(yaml))
        return 0;
    struct pk_arena arena PK_AUTO(pk_arena_done) = {0};
    struct mapping *mapping;
    struct pk_err err = {0};
    struct pk_str exact = fuzz_exact(yaml);
    if (mapping_parse("mapping.yaml", exact, &arena, &mapping, &err) == PK_OK) {
        (void)fuzz_file(1, rest);
        read_rows(mapping, fuzz_file(0, csv), csv.len);
        mapping_done(mapping);
    } else {
        fuzz_sentence(&err);
    }
    fuzz_free(exact);
    return 0;
}
