/* SPDX-License-Identifier: Apache-2.0 */
/* Calendars of the rules file: what they make of clocks that change, and every error with its line. */
#include "rules.h"
#include "time_text.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct symbols symbols;
static struct pk_arena arena;
static struct rules rules;
static struct pk_err err;

static void set_up(void)
{
    symbols_init(&symbols);
}
static void tear_down(void)
{
    symbols_done(&symbols);
    pk_arena_done(&arena);
}
TestSuite(calendars, .init = set_up, .fini = tear_down);

#define HEAD "version: 1\nidentity: {namespaces: [{name: login, class: person, priority: 1}]}\ncalendars:\n" /* lines 1..3 */

static enum pk_status load(const char *calendars)
{
    char path[] = "/tmp/polku-calendars-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    cr_assert_not_null(file);
    fprintf(file, HEAD "%s", calendars);
    fclose(file);
    enum pk_status status = rules_load(path, NULL, &symbols, &arena, &rules, NULL, &err);
    unlink(path);
    return status;
}

static const struct calendar *only(const char *calendar)
{
    cr_assert_eq(load(calendar), PK_OK, "%s", err.text);
    return &rules.calendar[0];
}

static int64_t at(const char *text)
{
    int64_t us;
    struct pk_err why;
    cr_assert_eq(time_parse_iso(pk_str(text), true, &us, &why), PK_OK, "%s: %s", text, why.text);
    return us;
}

static int64_t minutes(const struct calendar *calendar, const char *from, const char *to)
{
    int64_t us = calendar_between(calendar, at(from), at(to));
    cr_assert_eq(us % (60 * PK_SECOND_US), 0);
    return us / (60 * PK_SECOND_US);
}

/* The open time that holds or follows `from` is exactly [open, shut). */
static void opens(const struct calendar *calendar, const char *from, const char *open, const char *shut)
{
    size_t i = 0;
    while (i < calendar->opens && calendar->open[i].to_us <= at(from))
        i++;
    cr_assert_lt(i, calendar->opens);
    char got_from[28], got_to[28];
    time_format_iso(calendar->open[i].from_us, got_from);
    time_format_iso(calendar->open[i].to_us, got_to);
    cr_expect_eq(calendar->open[i].from_us, at(open), "opens %s, not %s", got_from, open);
    cr_expect_eq(calendar->open[i].to_us, at(shut), "shuts %s, not %s", got_to, shut);
}

#define OFFICE "  - {name: office, zone: Europe/Helsinki, hours: {mon-fri: \"08:00-16:00\"}}\n"

Test(calendars, eight_hours_from_friday_afternoon_are_due_on_monday)
{
    static const char *const friday[][2] = {
        {"2025-03-28T15:00:00+02:00", "2025-03-31T15:00:00+03:00"}, /* clocks go forward on the Sunday between */
        {"2025-10-24T15:00:00+03:00", "2025-10-27T15:00:00+02:00"}, /* and back */
        {"2025-05-16T15:00:00+03:00", "2025-05-19T15:00:00+03:00"},
    };
    const struct calendar *office = only(OFFICE);
    for (size_t i = 0; i < PK_COUNT(friday); i++) {
        cr_expect_eq(calendar_due(office, at(friday[i][0]), 8 * PK_HOUR_US), at(friday[i][1]), "%s", friday[i][0]);
        cr_expect_eq(minutes(office, friday[i][0], friday[i][1]), 8 * 60);
    }
}

Test(calendars, the_earliest_moment_is_due)
{
    const struct calendar *office = only(OFFICE);
    int64_t friday = at("2025-05-16T15:00:00+03:00"), shut = at("2025-05-16T16:00:00+03:00");
    cr_assert_eq(calendar_due(office, friday, PK_HOUR_US), shut, "not Monday morning");
    cr_assert_eq(calendar_due(office, friday, PK_HOUR_US + 1), at("2025-05-19T08:00:00.000001+03:00"));
    cr_assert_eq(calendar_due(office, shut, 0), shut, "nothing is due at once, open or not");
    cr_assert_eq(calendar_due(office, at("2101-06-01"), 1), PK_NO_TIME);
    cr_assert_eq(calendar_due(office, at("2100-12-31T14:00:00Z"), 1), PK_NO_TIME, "the last day is over");
    cr_assert_eq(calendar_due(office, at("1990-01-01"), 200000 * PK_HOUR_US * 8), PK_NO_TIME, "more than there is");
    cr_assert_eq(calendar_between(office, shut, friday), 0, "backwards is nothing");
}

Test(calendars, without_a_calendar_it_is_always_open)
{
    cr_assert_eq(calendar_between(NULL, 5, 12), 7);
    cr_assert_eq(calendar_between(NULL, 12, 5), 0);
    cr_assert_eq(calendar_due(NULL, 5, 7), 12);
}

Test(calendars, clocks_that_change_on_sundays)
{
    const struct calendar *night =
        only("  - {name: night, zone: Europe/Helsinki, hours: {sun: \"02:30-03:30\"}}\n");
    opens(night, "2025-03-23T00:00:00Z", "2025-03-23T02:30:00+02:00", "2025-03-23T03:30:00+02:00");
    opens(night, "2025-03-30T00:00:00Z", "2025-03-30T02:30:00+02:00", "2025-03-30T03:30:00+02:00"); /* 03:00 is 04:00 */
    opens(night, "2025-10-25T00:00:00Z", "2025-10-26T02:30:00+03:00", "2025-10-26T03:30:00+03:00"); /* 04:00 is 03:00 again */
    const struct calendar *day = only("  - {name: day, zone: Europe/Helsinki, hours: {sun: \"00:00-24:00\"}}\n");
    cr_assert_eq(minutes(day, "2025-03-29T12:00:00Z", "2025-03-31T12:00:00Z"), 23 * 60);
    cr_assert_eq(minutes(day, "2025-10-25T12:00:00Z", "2025-10-27T12:00:00Z"), 25 * 60);
    cr_assert_eq(minutes(day, "2025-05-17T12:00:00Z", "2025-05-19T12:00:00Z"), 24 * 60);
    cr_assert_eq(minutes(day, "2099-03-28T12:00:00Z", "2099-03-30T12:00:00Z"), 23 * 60, "rules of the zone go on");
}

Test(calendars, ranges_that_a_change_turns_around_are_joined)
{
    /* 03:15 and 03:45 are skipped: read as 04:15 and 04:45 of the new time, behind the start of the second range. */
    const struct calendar *two =
        only("  - {name: two, zone: Europe/Helsinki, hours: {sun: [\"03:15-03:45\", \"04:00-04:30\"]}}\n");
    opens(two, "2025-03-30T00:00:00Z", "2025-03-30T04:00:00+03:00", "2025-03-30T04:45:00+03:00");
    const struct calendar *none = only("  - {name: none, zone: Europe/Helsinki, hours: {sun: \"03:30-04:15\"}}\n");
    cr_assert_eq(minutes(none, "2025-03-29T12:00:00Z", "2025-03-31T12:00:00Z"), 0, "it ends before it starts");
}

Test(calendars, half_an_hour_of_summer)
{
    const struct calendar *island =
        only("  - {name: island, zone: Australia/Lord_Howe, hours: {sun: \"01:00-03:00\"}}\n");
    opens(island, "2025-10-04T00:00:00Z", "2025-10-05T01:00:00+10:30", "2025-10-05T03:00:00+11:00");
    opens(island, "2025-04-05T00:00:00Z", "2025-04-06T01:00:00+11:00", "2025-04-06T03:00:00+10:30");
    cr_assert_eq(minutes(island, "2025-10-04T00:00:00Z", "2025-10-05T00:00:00Z"), 90);
    cr_assert_eq(minutes(island, "2025-04-05T00:00:00Z", "2025-04-06T00:00:00Z"), 150);
}

Test(calendars, zones_whose_clocks_stay)
{
    const struct calendar *tokyo = only("  - {name: tokyo, zone: Asia/Tokyo, hours: {mon-sun: \"09:00-17:00\"}}\n");
    opens(tokyo, "2025-03-30T00:00:00Z", "2025-03-30T00:00:00Z", "2025-03-30T08:00:00Z");
    cr_assert_eq(minutes(tokyo, "2025-01-01", "2026-01-01"), 365 * 8 * 60);
    const struct calendar *utc = only("  - {name: utc, zone: UTC, hours: {mon-sun: \"00:00-24:00\"}}\n");
    cr_assert_eq(utc->opens, 1, "days that touch are one");
    cr_assert_eq(utc->open[0].from_us, at("1990-01-01"));
    cr_assert_eq(utc->open[0].to_us, at("2101-01-01"));
}

Test(calendars, days_overrule_pauses_and_these_holidays_and_these_the_week)
{
    const struct calendar *office = only("  - name: office\n    zone: UTC\n"
                                         "    hours: {mon-thu: \"08:00-16:00\", fri: [\"08:00-12:00\", \"13:00-15:00\"]}\n"
                                         "    holidays: [2025-12-24, \"12-25\", \"02-29\"]\n"
                                         "    pauses: [{from: 2025-07-01, to: 2025-07-31}]\n"
                                         "    days: {2025-12-24: \"10:00-11:00\", 2025-07-12: [\"08:00-09:00\"]}\n");
    static const struct {
        const char *from, *to;
        int64_t minutes;
    } day[] = {
        {"2025-05-15", "2025-05-16", 480}, {"2025-05-16", "2025-05-17", 360}, {"2025-05-17", "2025-05-18", 0},
        {"2025-12-24", "2025-12-25", 60},  {"2024-12-24", "2024-12-25", 480}, {"2025-12-25", "2025-12-26", 0},
        {"2099-12-25", "2099-12-26", 0},   {"2025-06-30", "2025-07-01", 480}, {"2025-07-01", "2025-08-01", 60},
        {"2025-08-01", "2025-08-02", 360}, {"2024-02-29", "2024-03-01", 0},   {"2023-02-28", "2023-03-01", 480},
        {"2025-07-12", "2025-07-13", 60},
    };
    for (size_t i = 0; i < PK_COUNT(day); i++)
        cr_expect_eq(minutes(office, day[i].from, day[i].to), day[i].minutes, "%s", day[i].from);
}

Test(calendars, the_first_of_brand_and_unit_is_theirs)
{
    cr_assert_eq(load("  - {name: a, zone: UTC, hours: {mon: \"01:00-02:00\"}, brands: [Shop, garage], units: Front Desk}\n"
                      "  - {name: b, zone: UTC, hours: {mon: \"01:00-02:00\"}, units: [Front Desk]}\n"
                      "  - {name: c, zone: UTC, hours: {mon: \"01:00-02:00\"}, brands: [Shop]}\n"), PK_OK, "%s", err.text);
    sym_t shop = symbol_of(&symbols, PK_STR("Shop")), other = symbol_of(&symbols, PK_STR("other"));
    sym_t desk = symbol_of(&symbols, PK_STR("Front Desk"));
    const struct calendar *list = rules.calendar;
    cr_assert_eq(rules.calendar_count, 3);
    cr_assert_eq(calendar_of(list, 3, shop, desk), &list[0]);
    cr_assert_eq(calendar_of(list, 3, other, desk), &list[1]);
    cr_assert_eq(calendar_of(list, 3, shop, other), &list[2]);
    cr_assert_eq(calendar_of(list, 3, shop, 0), &list[2], "no unit is in no list");
    cr_assert_null(calendar_of(list, 3, other, 0), "always open");
    cr_assert_null(calendar_of(list, 3, 0, 0));
}

Test(calendars, other_zone_files_are_other_rules)
{
    char folder[] = "/tmp/polku-zones-XXXXXX", command[200];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(command, sizeof command, "mkdir %s/Europe && cp /usr/share/zoneinfo/Europe/Stockholm %s/Europe/Helsinki", folder, folder);
    cr_assert_eq(system(command), 0);
    only(OFFICE);
    struct pk_hash before = rules.file_hash;
    only(OFFICE);
    cr_assert(pk_hash_eq(before, rules.file_hash));
    setenv("TZDIR", folder, 1);
    only(OFFICE);
    cr_assert_not(pk_hash_eq(before, rules.file_hash));
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}

#define BEGIN "  - name: a\n    zone: UTC\n" /* lines 4 and 5 */
#define WEEK BEGIN "    hours: {mon-fri: \"08:00-16:00\"}\n" /* line 6 */

Test(calendars, every_error_names_its_line)
{
    static const struct {
        const char *text;
        int line;
        const char *what;
    } wrong[] = {
        {"  {name: a}\n", 4, "must be a list"},
        {"  - a\n", 4, "mapping"},
        {"  - {zone: UTC}\n", 4, "add 'name:'"},
        {"  - {name: a}\n", 4, "add 'zone:'"},
        {"  - {name: A b, zone: UTC}\n", 4, "not a name"},
        {"  - name: a\n    zone: Europe/Helsinky\n", 5, "Europe/Helsinky"},
        {"  - name: a\n    zone: ../../etc/passwd\n", 5, "time zone database"},
        {"  - name: a\n    zone: /etc/localtime\n", 5, "time zone database"},
        {"  - name: a\n    zone: zone.tab\n", 5, "not a time zone file"},
        {"  - name: a\n    zone: \"\"\n", 5, "time zone database"},
        {"  - name: a\n    zone: \":UTC\"\n", 5, "time zone database"},
        {BEGIN, 4, "never open"},
        {BEGIN "    hours: {mon: \"08:00-16:00\"}\n    pauses: [{from: 1990-01-01, to: 2100-12-31}]\n", 4, "never open"},
        {BEGIN "    hour: {}\n", 6, "did you mean 'hours'"},
        {BEGIN "    hours: [08:00-16:00]\n", 6, "hours must be"},
        {BEGIN "    hours:\n      maandag: \"08:00-16:00\"\n", 7, "not a day of the week"},
        {BEGIN "    hours:\n      mon-fry: \"08:00-16:00\"\n", 7, "not a day of the week"},
        {BEGIN "    hours:\n      sat-mon: \"08:00-16:00\"\n", 7, "runs backwards"},
        {BEGIN "    hours:\n      mon-fri: \"08:00-16:00\"\n      wed: \"08:00-12:00\"\n", 8, "line 7 has already"},
        {BEGIN "    hours:\n      mon: \"08:00-16:00\"\n      mon: \"08:00-12:00\"\n", 8, "mon"},
        {BEGIN "    hours:\n      mon: []\n", 7, "empty list"},
        {BEGIN "    hours:\n      mon:\n", 7, "no value"},
        {BEGIN "    hours:\n      mon: \"8-16\"\n", 7, "not a range of hours"},
        {BEGIN "    hours:\n      mon: \"08:00 16:00\"\n", 7, "not a range of hours"},
        {BEGIN "    hours:\n      mon: \"08:60-16:00\"\n", 7, "not a range of hours"},
        {BEGIN "    hours:\n      mon: \"08:00-24:01\"\n", 7, "not a range of hours"},
        {BEGIN "    hours:\n      mon: \"08:00-08:00\"\n", 7, "no length"},
        {BEGIN "    hours:\n      mon: \"22:00-06:00\"\n", 7, "across midnight"},
        {BEGIN "    hours:\n      mon: \"22:00-00:00\"\n", 7, "across midnight"},
        {BEGIN "    hours:\n      mon:\n        - \"08:00-12:00\"\n        - \"11:00-16:00\"\n", 9, "begins before '08:00-12:00'"},
        {BEGIN "    hours:\n      mon:\n        - \"13:00-16:00\"\n        - \"08:00-12:00\"\n", 9, "ascending"},
        {WEEK "    holidays: 2025-12-24\n", 7, "must be a list"},
        {WEEK "    holidays:\n      - 2025-02-29\n", 8, "not a date of the calendar"},
        {WEEK "    holidays:\n      - \"02-30\"\n", 8, "not a day of the year"},
        {WEEK "    holidays:\n      - xmas\n", 8, "not a date of the calendar"},
        {WEEK "    holidays:\n      - 1989-12-31\n", 8, "lies outside"},
        {WEEK "    holidays:\n      - 2101-01-01\n", 8, "lies outside"},
        {WEEK "    holidays:\n      - 2025-12-24\n      - 2025-12-24\n", 9, "first on line 8"},
        {WEEK "    pauses:\n      - {from: 2025-07-01}\n", 8, "add 'from:' and 'to:'"},
        {WEEK "    pauses:\n      - from: 2025-07-31\n        to: 2025-07-01\n", 9, "to lies before from"},
        {WEEK "    pauses:\n      - from: 2025-07-31\n        to: 2025-06-31\n", 9, "not a date of the calendar"},
        {WEEK "    pauses:\n      - from: 2025-07-31\n        until: 2025-06-31\n", 9, "unknown key 'until'"},
        {WEEK "    days: [2025-12-23]\n", 7, "days must be"},
        {WEEK "    days:\n      2025-13-01: \"08:00-12:00\"\n", 8, "not a date of the calendar"},
        {WEEK "    days:\n      \"12-24\": \"08:00-12:00\"\n", 8, "not a date of the calendar"},
        {WEEK "    days:\n      2025-12-23: closed\n", 8, "not a range of hours"},
        {WEEK "    brands: []\n", 7, "empty list"},
        {WEEK "    brands: [x, y, x]\n", 7, "'x' is given twice"},
        {WEEK "    units: [\"\"]\n", 7, "1 to 128 bytes"},
        {WEEK "    brands: [x]\n  - {name: a, zone: UTC, hours: {mon: \"01:00-02:00\"}}\n", 8, "twice (first on line 4)"},
        {WEEK "  - {name: b, zone: UTC, hours: {mon: \"01:00-02:00\"}, brands: [x]}\n", 7, "never chosen"},
        {WEEK "    brands: [x, y]\n  - {name: b, zone: UTC, hours: {mon: \"01:00-02:00\"}, brands: [y], units: [z]}\n", 8,
         "never chosen"},
    };
    for (size_t i = 0; i < PK_COUNT(wrong); i++) {
        char place[32];
        snprintf(place, sizeof place, ":%d: ", wrong[i].line);
        if (load(wrong[i].text) == PK_OK) {
            cr_expect_fail("accepted:\n%s", wrong[i].text);
            continue;
        }
        cr_expect(strstr(err.text, place), "not on line %d: %s", wrong[i].line, err.text);
        cr_expect(strstr(err.text, wrong[i].what), "does not say '%s': %s", wrong[i].what, err.text);
    }
}

Test(calendars, one_that_is_left_a_brand_or_a_unit_can_be_chosen)
{
    cr_assert_eq(load(WEEK "    brands: [x]\n"
                           "  - {name: b, zone: UTC, hours: {mon: \"01:00-02:00\"}, units: [z]}\n"
                           "  - {name: c, zone: UTC, hours: {mon: \"01:00-02:00\"}, brands: [x, y], units: [z, w]}\n"
                           "  - {name: d, zone: UTC, hours: {mon: \"01:00-02:00\"}}\n"), PK_OK, "%s", err.text);
}

Test(calendars, there_are_at_most_a_hundred)
{
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    for (int i = 0; i < 101; i++)
        pk_buf_printf(&text, "  - {name: c%d, zone: UTC, hours: {mon: \"01:00-02:00\"}, brands: [b%d]}\n", i, i);
    cr_assert_eq(load(text.ptr), PK_REJECT);
    cr_assert(strstr(err.text, ":104: 101 calendars, at most 100"), "%s", err.text);
}
