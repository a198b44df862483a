/* SPDX-License-Identifier: Apache-2.0 */
/* A time zone file: refused, or a clock. What it shows for a moment is shown at that moment or another one. */
#include "fuzz.h"
#include "zone.h"

static void check_clock(const struct zone *zone, int64_t utc_s)
{
    int32_t offset = zone_offset(zone, utc_s);
    FUZZ_MUST(offset >= -26 * 3600 && offset <= 26 * 3600, "an offset of %d seconds", (int)offset);
    int64_t local = utc_s + offset;
    for (int choice = ZONE_FIRST; choice <= ZONE_LAST; choice++) {
        int64_t back = zone_utc(zone, local, choice);
        FUZZ_MUST(back + zone_offset(zone, back) == local, "local time %lld is not shown at %lld", (long long)local,
                  (long long)back);
        FUZZ_MUST(choice == ZONE_FIRST ? back <= utc_s : back >= utc_s, "not the %s of its moments",
                  choice == ZONE_FIRST ? "first" : "last");
    }
    (void)zone_utc(zone, utc_s, ZONE_FIRST); /* perhaps never shown */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pk_arena arena PK_AUTO(pk_arena_done) = {0};
    const struct zone *zone;
    struct pk_err err = {0};
    setenv("TZDIR", FUZZ_FOLDER, 1);
    (void)fuzz_file(0, (struct pk_str){(const char *)data, size});
    if (zone_open(PK_STR("900"), &arena, &zone, &err) != PK_OK) {
        fuzz_sentence(&err);
        return 0;
    }
    for (int64_t utc_s = 631152000; utc_s < 7258118400; utc_s += 86400 * 97 + 3607)
        check_clock(zone, utc_s);
    return 0;
}
