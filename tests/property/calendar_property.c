/* SPDX-License-Identifier: Apache-2.0 */
/* Business time against a list of minutes. Random calendars in random zones; a fortnight of random years is walked minute by
 * minute, with local times found by asking for the offset of each. POLKU_SEED=n repeats one case. */
#include "chance.h"
#include "rules.h"
#include "time_text.h"
#include "zone.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { DAYS = 14, HOURS = DAYS * 24, MINUTES = HOURS * 60, DAY_MINUTES = 24 * 60, CASES = 40, RANGES = 3 };
#define MINUTE_US (60 * PK_SECOND_US)

static const char *const zone_name[] = {
    "Europe/Helsinki", "Europe/London", "Europe/Dublin", "Australia/Lord_Howe", "America/Sao_Paulo", "America/St_Johns",
    "Africa/Casablanca", "Asia/Kolkata", "Asia/Tokyo", "Pacific/Apia", "Pacific/Kiritimati", "UTC",
};

struct hours {
    int from[RANGES], to[RANGES], count;
};
struct plan { /* of a random calendar */
    const char *zone;
    struct hours week[7], special;
    int64_t first; /* the first day that is walked, from 1970-01-01 */
    int64_t special_day, holiday, pause_from, pause_to;
};

static struct hours random_hours(struct chance *chance)
{
    struct hours hours = {0};
    int at = (int)chance_below(chance, 8) * 15;
    hours.count = (int)chance_below(chance, RANGES + 1);
    for (int i = 0; i < hours.count; i++) {
        hours.from[i] = at;
        at += 15 + (int)chance_below(chance, 24) * 15;
        hours.to[i] = at;
        at += (int)chance_below(chance, 9) * 15; /* 24:00 at most */
    }
    if (chance_in(chance, 10))
        hours = (struct hours){{0}, {DAY_MINUTES}, 1};
    return hours;
}

/* Around a change of clocks of this year, if there is one. */
static int64_t interesting_day(struct chance *chance, const struct zone *zone)
{
    int64_t year = 1990 + chance_below(chance, 111), first = time_days_from_civil(year, 1, 1);
    int64_t day = first + chance_below(chance, 360), from = day;
    for (; day < first + 365; day++)
        if (zone_offset(zone, day * 86400) != zone_offset(zone, (day + 1) * 86400))
            return day - chance_below(chance, 5) - 1;
    return from;
}

static struct plan random_plan(struct chance *chance, struct pk_arena *arena, const struct zone **ret_zone)
{
    struct plan plan = {.zone = CHANCE_OF(chance, zone_name)};
    struct pk_err err = {0};
    cr_assert_eq(zone_open(pk_str(plan.zone), arena, ret_zone, &err), PK_OK, "%s", err.text);
    int64_t low = time_days_from_civil(1990, 1, 1), high = time_days_from_civil(2101, 1, 1) - DAYS;
    plan.first = PK_MIN(PK_MAX(interesting_day(chance, *ret_zone), low), high);
    for (int i = 0; i < 7; i++)
        plan.week[i] = random_hours(chance);
    plan.week[chance_below(chance, 7)] = (struct hours){{0}, {DAY_MINUTES}, 1}; /* never always shut */
    plan.special = random_hours(chance);
    if (!plan.special.count)
        plan.special = (struct hours){{150}, {210}, 1};
    plan.special_day = plan.first + chance_below(chance, DAYS);
    plan.holiday = plan.first + chance_below(chance, DAYS);
    plan.pause_from = plan.first + chance_below(chance, DAYS);
    plan.pause_to = PK_MIN(plan.pause_from + chance_below(chance, 3), high + DAYS - 1);
    return plan;
}

static const struct hours *hours_of(const struct plan *plan, int64_t day)
{
    static const struct hours shut;
    if (day == plan->special_day)
        return &plan->special;
    if (day == plan->holiday || (day >= plan->pause_from && day <= plan->pause_to))
        return &shut;
    return &plan->week[(day + 3) % 7];
}

/* ---- as a rules file ---- */

static void print_hours(FILE *file, const struct hours *hours)
{
    fprintf(file, "[");
    for (int i = 0; i < hours->count; i++)
        fprintf(file, "%s\"%02d:%02d-%02d:%02d\"", i ? ", " : "", hours->from[i] / 60, hours->from[i] % 60,
                hours->to[i] / 60, hours->to[i] % 60);
    fprintf(file, "]");
}

static const char *date(int64_t day, char text[28])
{
    time_format_iso(day * PK_DAY_US, text);
    text[10] = '\0';
    return text;
}

static void print_plan(FILE *file, const struct plan *plan)
{
    static const char *const name[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
    char a[28], b[28];
    fprintf(file, "version: 1\nidentity: {namespaces: [{name: login, class: person, priority: 1}]}\n"
                  "calendars:\n  - name: random\n    zone: %s\n    hours:\n", plan->zone);
    for (int i = 0; i < 7; i++)
        if (plan->week[i].count) {
            fprintf(file, "      %s: ", name[i]);
            print_hours(file, &plan->week[i]);
            fprintf(file, "\n");
        }
    fprintf(file, "    holidays: [%s]\n", date(plan->holiday, a));
    fprintf(file, "    pauses: [{from: %s, to: %s}]\n", date(plan->pause_from, a), date(plan->pause_to, b));
    fprintf(file, "    days: {%s: ", date(plan->special_day, a));
    print_hours(file, &plan->special);
    fprintf(file, "}\n");
}

static const struct calendar *load(const struct plan *plan, struct symbols *symbols, struct pk_arena *arena)
{
    char path[] = "/tmp/polku-calendar-XXXXXX";
    static struct rules rules;
    struct pk_err err = {0};
    FILE *file = fdopen(mkstemp(path), "w");
    print_plan(file, plan);
    fclose(file);
    enum pk_status status = rules_load(path, NULL, symbols, arena, &rules, NULL, &err);
    unlink(path);
    cr_assert_eq(status, PK_OK, "%s", err.text);
    return &rules.calendar[0];
}

/* ---- minute by minute ---- */

static int64_t local_of(const struct zone *zone, int64_t utc) /* both in minutes */
{
    return utc + zone_offset(zone, utc * 60) / 60;
}

/* The first minute that the clock shows as `local`; if it never does, as the clock just before its jump would. */
static int64_t minute_of(const struct zone *zone, int64_t local)
{
    int64_t utc = local - 27 * 60;
    while (local_of(zone, utc) < local)
        utc++;
    return local_of(zone, utc) == local ? utc : local - (local_of(zone, utc - 1) - (utc - 1));
}

static void walk(const struct plan *plan, const struct zone *zone, bool open[MINUTES])
{
    int64_t begin = plan->first * DAY_MINUTES;
    int64_t first = time_days_from_civil(1990, 1, 1), last = time_days_from_civil(2100, 12, 31);
    memset(open, 0, MINUTES);
    for (int64_t day = PK_MAX(plan->first - 2, first); day <= PK_MIN(plan->first + DAYS + 1, last); day++) {
        const struct hours *hours = hours_of(plan, day);
        for (int i = 0; i < hours->count; i++) {
            int64_t from = minute_of(zone, day * DAY_MINUTES + hours->from[i]) - begin;
            int64_t to = minute_of(zone, day * DAY_MINUTES + hours->to[i]) - begin;
            for (int64_t minute = PK_MAX(from, 0); minute < PK_MIN(to, MINUTES); minute++)
                open[minute] = true;
        }
    }
}

static int64_t walked_between(const bool open[MINUTES], int64_t a_us, int64_t b_us) /* from the first minute */
{
    int64_t sum_us = 0;
    for (int64_t minute = a_us / MINUTE_US; minute < MINUTES && minute * MINUTE_US < b_us; minute++)
        if (open[minute])
            sum_us += PK_MIN(b_us, (minute + 1) * MINUTE_US) - PK_MAX(a_us, minute * MINUTE_US);
    return sum_us;
}

static int64_t walked_due(const bool open[MINUTES], int64_t from_us, int64_t within_us) /* PK_NO_TIME: later */
{
    if (within_us == 0)
        return from_us;
    for (int64_t minute = from_us / MINUTE_US; minute < MINUTES; minute++) {
        int64_t begin_us = PK_MAX(from_us, minute * MINUTE_US), length_us = (minute + 1) * MINUTE_US - begin_us;
        if (!open[minute])
            continue;
        if (within_us <= length_us)
            return begin_us + within_us;
        within_us -= length_us;
    }
    return PK_NO_TIME;
}

/* ---- the properties ---- */

static int64_t random_moment(struct chance *chance) /* in the fortnight; often at a full quarter */
{
    return chance_in(chance, 50) ? chance_below(chance, HOURS * 4) * 15 * MINUTE_US
                                 : (int64_t)(chance_next(chance) % ((uint64_t)MINUTES * MINUTE_US));
}

static void equals_the_walk(struct chance *chance, const struct calendar *calendar, int64_t begin_us,
                            const bool open[MINUTES], uint64_t seed)
{
    for (int i = 0; i < 200; i++) {
        int64_t a = random_moment(chance), b = random_moment(chance), within = random_moment(chance) / 4;
        int64_t want = walked_between(open, a, b), got = calendar_between(calendar, begin_us + a, begin_us + b);
        cr_assert_eq(got, want, "POLKU_SEED=%" PRIu64 ": between %" PRId64 " and %" PRId64 ": %" PRId64 ", not %" PRId64,
                     seed, a, b, got, want);
        want = walked_due(open, a, within);
        got = calendar_due(calendar, begin_us + a, within);
        if (want == PK_NO_TIME)
            cr_assert(got == PK_NO_TIME || got > begin_us + MINUTES * MINUTE_US, "POLKU_SEED=%" PRIu64 ": due too early", seed);
        else
            cr_assert_eq(got - begin_us, want, "POLKU_SEED=%" PRIu64 ": due from %" PRId64 " within %" PRId64 ": %" PRId64
                         ", not %" PRId64, seed, a, within, got - begin_us, want);
    }
}

static int cmp_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void adds_up(struct chance *chance, const struct calendar *calendar, uint64_t seed)
{
    int64_t low = time_days_from_civil(1989, 12, 1) * PK_DAY_US, span = time_days_from_civil(2101, 2, 1) * PK_DAY_US - low;
    for (int i = 0; i < 200; i++) {
        int64_t t[3];
        for (int k = 0; k < 3; k++)
            t[k] = low + (int64_t)(chance_next(chance) % (uint64_t)span);
        qsort(t, 3, sizeof *t, cmp_times);
        int64_t ab = calendar_between(calendar, t[0], t[1]), bc = calendar_between(calendar, t[1], t[2]);
        cr_assert_eq(ab + bc, calendar_between(calendar, t[0], t[2]), "POLKU_SEED=%" PRIu64, seed);
        cr_assert(ab >= 0 && ab <= t[1] - t[0], "POLKU_SEED=%" PRIu64, seed);
        int64_t due = calendar_due(calendar, t[0], ab);
        cr_assert(due >= t[0] && due <= t[1], "POLKU_SEED=%" PRIu64 ": due behind the moment that it was measured to", seed);
        cr_assert_eq(calendar_between(calendar, t[0], due), ab, "POLKU_SEED=%" PRIu64, seed);
        cr_assert(ab == 0 || calendar_between(calendar, t[0], due - 1) == ab - 1, "POLKU_SEED=%" PRIu64 ": not the earliest", seed);
    }
}

static void check(uint64_t seed)
{
    static bool open[MINUTES];
    struct chance chance = {seed};
    struct pk_arena arena = {0};
    struct symbols symbols;
    const struct zone *zone;
    symbols_init(&symbols);
    struct plan plan = random_plan(&chance, &arena, &zone);
    const struct calendar *calendar = load(&plan, &symbols, &arena);
    for (size_t i = 0; i < calendar->opens; i++) {
        const struct calendar_open *at = &calendar->open[i];
        cr_assert_lt(at->from_us, at->to_us, "POLKU_SEED=%" PRIu64, seed);
        cr_assert(i == 0 || at[-1].to_us < at->from_us, "POLKU_SEED=%" PRIu64 ": not apart", seed);
        cr_assert_eq(at->before_us, i ? at[-1].before_us + at[-1].to_us - at[-1].from_us : 0, "POLKU_SEED=%" PRIu64, seed);
    }
    walk(&plan, zone, open);
    equals_the_walk(&chance, calendar, plan.first * PK_DAY_US, open, seed);
    adds_up(&chance, calendar, seed);
    symbols_done(&symbols);
    pk_arena_done(&arena);
}

Test(calendar, is_what_a_walk_through_the_minutes_finds, .timeout = 300)
{
    const char *text = getenv("POLKU_SEED");
    if (text && *text) {
        check(strtoull(text, NULL, 0));
        return;
    }
    uint64_t first = (uint64_t)time(NULL);
    fprintf(stderr, "POLKU_SEED=%" PRIu64 " and the %d that follow\n", first, CASES - 1);
    for (uint64_t seed = first; seed < first + CASES; seed++)
        check(seed);
}
