/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "time_pattern.h"
#include "time_text.h"

static struct pk_arena arena;
static struct pk_err err;

static const struct zone *zone(const char *name)
{
    const struct zone *found = NULL;
    cr_assert_eq(zone_open(pk_str(name), &arena, &found, &err), PK_OK, "%s", err.text);
    return found;
}

static const char *parse(const char *pattern, const char *text, const char *zone_name, bool end_of_day)
{
    static char out[28];
    int64_t us;
    if (time_pattern_parse(pk_str(pattern), pk_str(text), zone_name ? zone(zone_name) : NULL, end_of_day, &us, &err) !=
        PK_OK)
        return "refused";
    time_format_iso(us, out);
    return out;
}

#define PLAIN "%Y-%m-%d %H:%M:%S"
#define SAO_PAULO "America/Sao_Paulo"

Test(zone, local_times_become_utc_in_winter_and_in_summer)
{
    cr_assert_str_eq(parse(PLAIN, "2018-07-01 12:00:00", SAO_PAULO, false), "2018-07-01T15:00:00.000000Z");
    cr_assert_str_eq(parse(PLAIN, "2018-01-01 12:00:00", SAO_PAULO, false), "2018-01-01T14:00:00.000000Z");
    cr_assert_str_eq(parse(PLAIN, "2026-07-01 12:00:00", "Europe/Helsinki", false), "2026-07-01T09:00:00.000000Z");
    cr_assert_str_eq(parse(PLAIN, "2099-07-01 12:00:00", "Europe/Helsinki", false), "2099-07-01T09:00:00.000000Z");
    cr_assert_str_eq(parse(PLAIN, "2099-01-01 12:00:00", "Australia/Sydney", false), "2099-01-01T01:00:00.000000Z");
}

/* Sao Paulo put its clocks forward at midnight of 2017-10-15, and back at midnight of 2018-02-18. */
Test(zone, a_time_that_does_not_happen_is_read_with_the_offset_before_the_gap)
{
    cr_assert_str_eq(parse(PLAIN, "2017-10-14 23:59:59", SAO_PAULO, false), "2017-10-15T02:59:59.000000Z");
    cr_assert_str_eq(parse(PLAIN, "2017-10-15 00:30:00", SAO_PAULO, false), "2017-10-15T03:30:00.000000Z");
    cr_assert_str_eq(parse(PLAIN, "2017-10-15 01:00:00", SAO_PAULO, false), "2017-10-15T03:00:00.000000Z");
}

Test(zone, a_time_that_happens_twice_is_the_first_and_the_end_of_its_day_is_the_last)
{
    cr_assert_str_eq(parse(PLAIN, "2018-02-17 23:30:00", SAO_PAULO, false), "2018-02-18T01:30:00.000000Z");
    cr_assert_str_eq(parse(PLAIN, "2018-02-18 00:00:00", SAO_PAULO, false), "2018-02-18T03:00:00.000000Z");
    cr_assert_str_eq(parse(PLAIN, "2018-02-17 00:00:00", SAO_PAULO, true), "2018-02-18T02:59:59.999999Z");
    cr_assert_str_eq(parse(PLAIN, "2017-10-14 10:00:00", SAO_PAULO, true), "2017-10-15T02:59:59.999999Z");
    cr_assert_str_eq(parse(PLAIN, "2017-10-15 10:00:00", SAO_PAULO, true), "2017-10-16T01:59:59.999999Z");
}

Test(zone, offsets_and_utc_need_no_database)
{
    cr_assert_str_eq(parse(PLAIN, "2020-01-01 00:00:00", "+03:00", false), "2019-12-31T21:00:00.000000Z");
    cr_assert_str_eq(parse(PLAIN, "2020-01-01 00:00:00", "-03:30", false), "2020-01-01T03:30:00.000000Z");
    cr_assert_str_eq(parse(PLAIN, "2020-01-01 00:00:00", "UTC", true), "2020-01-01T23:59:59.999999Z");
}

Test(zone, unknown_names_and_paths_are_refused)
{
    static const char *const bad[] = {"Europe/Nowhere", "../../etc/passwd", "/etc/passwd", "", "+25:00", "+03:0x"};
    const struct zone *found = NULL;
    for (size_t i = 0; i < PK_COUNT(bad); i++)
        cr_assert_eq(zone_open(pk_str(bad[i]), &arena, &found, &err), PK_REJECT, "%s", bad[i]);
    cr_assert_null(found);
}

/* The C library reads the same database; every local time must come back from it. */
Test(zone, agrees_with_the_c_library_through_a_century)
{
    static const char *const name[] = {SAO_PAULO,         "Europe/Helsinki", "America/New_York", "Australia/Lord_Howe",
                                       "Asia/Kathmandu", "Africa/Casablanca", "Europe/Dublin",   "Asia/Tokyo"};
    for (size_t i = 0; i < PK_COUNT(name); i++) {
        setenv("TZ", name[i], 1);
        tzset();
        const struct zone *z = zone(name[i]);
        for (time_t utc = -20 * 365 * 86400L; utc < 85 * 365 * 86400L; utc += 37 * 3600 + 1800) {
            struct tm local;
            localtime_r(&utc, &local);
            cr_assert_eq(zone_offset(z, utc), local.tm_gmtoff, "%s at %ld", name[i], (long)utc);
            int64_t shown = utc + local.tm_gmtoff, first = zone_utc(z, shown, ZONE_FIRST),
                    last = zone_utc(z, shown, ZONE_LAST);
            cr_assert(first <= last && (first == utc || last == utc), "%s at %ld: %ld, %ld", name[i], (long)utc,
                      (long)first, (long)last);
        }
    }
}

Test(time_pattern, reads_what_the_pattern_says)
{
    cr_assert_str_eq(parse("iso", "2010-03-31T16:59:42+02:00", NULL, false), "2010-03-31T14:59:42.000000Z");
    cr_assert_str_eq(parse("epoch_ms", "1500000000123", NULL, false), "2017-07-14T02:40:00.123000Z");
    cr_assert_str_eq(parse("%d.%m.%Y %H.%M", "1.2.2020 9.05", "Europe/Helsinki", false), "2020-02-01T07:05:00.000000Z");
    cr_assert_str_eq(parse("%b %d %Y %I:%M %p", "Feb 29 2020 12:05 AM", "UTC", false), "2020-02-29T00:05:00.000000Z");
    cr_assert_str_eq(parse("%FT%T.%f%z", "2020-02-29T10:00:00.5-0300", NULL, false), "2020-02-29T13:00:00.500000Z");
    cr_assert_str_eq(parse("iso", "2018-01-01T01:00:00Z", SAO_PAULO, true), "2018-01-01T01:59:59.999999Z",
                     "the local day of the moment is 31 December");
}

Test(time_pattern, refuses_what_does_not_match_or_does_not_exist)
{
    static const char *const bad[] = {"2019-02-29 00:00:00", "2020-13-01 00:00:00", "2020-01-01 24:00:00",
                                      "2020-01-01 10:00:00 ", "2020-01-01", "", "20-01-01 00:00:00"};
    for (size_t i = 0; i < PK_COUNT(bad); i++)
        cr_assert_str_eq(parse(PLAIN, bad[i], "UTC", false), "refused", "%s", bad[i]);
    cr_assert_str_eq(parse(PLAIN, "2020-01-01 10:00:00", NULL, false), "refused", "no zone anywhere");
    cr_assert_str_eq(parse("epoch_s", "99999999999999999999", NULL, false), "refused");
    cr_assert_str_eq(parse("epoch_s", "999999999999999999", NULL, false), "refused");
}

Test(time_pattern, a_pattern_is_checked_before_it_is_used)
{
    cr_assert_eq(time_pattern_check(PK_STR(PLAIN), &err), PK_OK);
    cr_assert_eq(time_pattern_check(PK_STR("%Y-%q"), &err), PK_REJECT);
    cr_assert_eq(time_pattern_check(PK_STR("%H:%M"), &err), PK_REJECT);
    cr_assert_eq(time_pattern_check(PK_STR("%Y-%m-%"), &err), PK_REJECT);
}
