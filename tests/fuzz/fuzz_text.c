/* SPDX-License-Identifier: Apache-2.0 */
/* Moments and durations as text, patterns of publishers' own, and offsets as zones: pattern, then text. */
#include "fuzz.h"
#include "time_pattern.h"
#include "time_text.h"

static void check_moment(struct pk_str text)
{
    struct pk_err err = {0};
    int64_t us, again;
    char iso[28];
    if (time_parse_iso(text, true, &us, &err) != PK_OK) {
        fuzz_sentence(&err);
        return;
    }
    time_format_iso(us, iso);
    FUZZ_MUST(time_parse_iso(pk_str(iso), false, &again, &err) == PK_OK && again == us, "%s is read as another time", iso);
}

static void check_pattern(struct pk_str pattern, struct pk_str text, const struct zone *zone)
{
    struct pk_err err = {0};
    int64_t us = 0;
    if (time_pattern_check(pattern, &err) != PK_OK) {
        fuzz_sentence(&err);
        return;
    }
    for (int end_of_day = 0; end_of_day < 2; end_of_day++)
        if (time_pattern_parse(pattern, text, zone, end_of_day, &us, &err) != PK_OK)
            fuzz_sentence(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pk_str rest = {(const char *)data, size};
    struct pk_str pattern = fuzz_exact(fuzz_part(&rest)), text = fuzz_exact(rest);
    struct pk_str bare = {pattern.ptr, pattern.len && pattern.ptr[pattern.len - 1] == '\n' ? pattern.len - 1 : pattern.len};
    struct pk_arena arena PK_AUTO(pk_arena_done) = {0};
    const struct zone *zone;
    struct pk_err err = {0};
    int64_t us = 0;
    check_moment(bare);
    check_moment(text);
    if (time_parse_duration(bare, &us, &err) != PK_OK)
        fuzz_sentence(&err);
    else
        FUZZ_MUST(us >= 0, "a duration below nothing");
    if (zone_open(PK_STR("Europe/Helsinki"), &arena, &zone, &err) == PK_OK)
        check_pattern(bare, text, zone);
    check_pattern(bare, text, NULL);
    if (bare.len && (bare.ptr[0] == '+' || bare.ptr[0] == '-') && zone_open(bare, &arena, &zone, &err) != PK_OK)
        fuzz_sentence(&err);
    fuzz_free(pattern);
    fuzz_free(text);
    return 0;
}
