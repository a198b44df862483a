/* SPDX-License-Identifier: Apache-2.0 */
#include "time_text.h"

#include <inttypes.h>
#include <stdio.h>

/* Howard Hinnant's days_from_civil: eras of 400 years that begin on 1 March. */
int64_t time_days_from_civil(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + (int64_t)day_of_era - 719468;
}

static void civil_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned day_of_era = (unsigned)(days - era * 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned shifted = (5 * day_of_year + 2) / 153;
    *ret_day = day_of_year - (153 * shifted + 2) / 5 + 1;
    *ret_month = shifted < 10 ? shifted + 3 : shifted - 9;
    *ret_year = (int64_t)year_of_era + era * 400 + (*ret_month <= 2);
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* A cursor over the text; a failed read leaves `ok` false and everything after it fails too. */
struct cursor {
    const char *at, *end;
    bool ok;
};

static unsigned digits(struct cursor *c, int count)
{
    unsigned value = 0;
    for (int i = 0; i < count && c->ok; i++, c->at++) {
        c->ok = c->at < c->end && *c->at >= '0' && *c->at <= '9';
        if (c->ok)
            value = value * 10 + (unsigned)(*c->at - '0');
    }
    return value;
}

static bool accept(struct cursor *c, char wanted)
{
    bool found = c->ok && c->at < c->end && *c->at == wanted;
    c->at += found;
    return found;
}

static void expect(struct cursor *c, char wanted)
{
    if (!accept(c, wanted))
        c->ok = false;
}

static int64_t fraction(struct cursor *c)
{
    int64_t value = 0;
    int count = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++, count++)
        if (count < 6)
            value = value * 10 + (*c->at - '0');
    for (int i = count; i < 6; i++)
        value *= 10;
    if (count == 0 || count > 9)
        c->ok = false;
    return value;
}

/* Minutes east of Greenwich. */
static int zone(struct cursor *c)
{
    if (accept(c, 'Z'))
        return 0;
    int sign = accept(c, '-') ? -1 : 1;
    if (sign > 0)
        expect(c, '+');
    unsigned hours = digits(c, 2), minutes = 0;
    if (c->ok && c->at < c->end) {
        accept(c, ':');
        minutes = digits(c, 2);
    }
    if (hours * 60 + minutes > 18 * 60 || minutes > 59)
        c->ok = false;
    return sign * (int)(hours * 60 + minutes);
}

enum pk_status time_parse_iso(struct pk_str text, bool allow_date, int64_t *ret_us, struct pk_err *err)
{
    struct cursor c = {text.ptr, text.ptr ? text.ptr + text.len : NULL, text.ptr != NULL};
    unsigned year = digits(&c, 4);
    expect(&c, '-');
    unsigned month = digits(&c, 2);
    expect(&c, '-');
    unsigned day = digits(&c, 2);
    if (!c.ok)
        return pk_fail(err, PK_REJECT, "not a time: write it as 2015-09-21T17:55:00Z or 2015-09-21T20:55:00+03:00");
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
        return pk_fail(err, PK_REJECT, "no such day in the calendar: %04u-%02u-%02u", year, month, day);
    int64_t at_us = time_days_from_civil(year, month, day) * PK_DAY_US;
    if (c.at == c.end) {
        if (!allow_date)
            return pk_fail(err, PK_REJECT, "a date without a time of day");
        *ret_us = at_us;
        return PK_OK;
    }

    if (!accept(&c, 'T'))
        expect(&c, ' ');
    unsigned hour = digits(&c, 2);
    expect(&c, ':');
    unsigned minute = digits(&c, 2), second = 0;
    int64_t micros = 0;
    if (accept(&c, ':')) {
        second = digits(&c, 2);
        if (accept(&c, '.'))
            micros = fraction(&c);
    }
    if (!c.ok)
        return pk_fail(err, PK_REJECT, "not a time of day: write it as 17:55 or 17:55:30.123456, then the zone");
    if (hour > 23 || minute > 59 || second > 59)
        return pk_fail(err, PK_REJECT, "no such time of day: %02u:%02u:%02u", hour, minute, second);
    if (c.at == c.end)
        return pk_fail(err, PK_REJECT, "a time without a zone: end it with Z or +03:00");
    int east = zone(&c);
    if (!c.ok || c.at != c.end)
        return pk_fail(err, PK_REJECT, "not a zone: end the time with Z or +03:00");
    *ret_us = at_us + ((int64_t)hour * 3600 + minute * 60 + second - (int64_t)east * 60) * PK_SECOND_US + micros;
    return PK_OK;
}

void time_format_iso(int64_t us, char out[28])
{
    int64_t days = us / PK_DAY_US, rest = us % PK_DAY_US, year;
    if (rest < 0) {
        rest += PK_DAY_US;
        days--;
    }
    unsigned month, day;
    civil_from_days(days, &year, &month, &day);
    if (us == PK_NO_TIME || year < 0 || year > 9999) {
        snprintf(out, 28, us == PK_NO_TIME ? "none" : "out of the calendar");
        return;
    }
    unsigned second = (unsigned)(rest / PK_SECOND_US);
    /* The masks change nothing; they tell the compiler how long each part can get. */
    snprintf(out, 28, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ", (unsigned)year % 10000, month % 100, day % 100,
             second / 3600 % 100, second / 60 % 60, second % 60, (unsigned)(rest % PK_SECOND_US));
}

static int64_t unit_us(const char *unit, size_t len)
{
    static const struct {
        const char *name;
        int64_t us;
    } known[] = {
        {"us", 1},         {"ms", 1000},        {"s", PK_SECOND_US},   {"min", 60 * PK_SECOND_US},
        {"m", 60 * PK_SECOND_US}, {"h", PK_HOUR_US}, {"d", PK_DAY_US}, {"w", 7 * PK_DAY_US},
    };
    for (size_t i = 0; i < PK_COUNT(known); i++)
        if (strlen(known[i].name) == len && memcmp(known[i].name, unit, len) == 0)
            return known[i].us;
    return 0;
}

static void skip_spaces(struct cursor *c)
{
    while (accept(c, ' '))
        ;
}

enum pk_status time_parse_duration(struct pk_str text, int64_t *ret_us, struct pk_err *err)
{
    static const char hint[] = "write it as 90d, 24h, 1d12h, 30m, 5s or 200ms";
    struct cursor c = {text.ptr, text.ptr ? text.ptr + text.len : NULL, text.ptr != NULL};
    int64_t total = 0;
    if (pk_str_eq(text, PK_STR("0"))) {
        *ret_us = 0;
        return PK_OK;
    }
    if (text.len == 0)
        return pk_fail(err, PK_REJECT, "an empty duration: %s", hint);
    while (c.at < c.end) {
        int64_t count = 0;
        const char *start = c.at;
        for (; c.at < c.end && *c.at >= '0' && *c.at <= '9'; c.at++)
            if (__builtin_mul_overflow(count, 10, &count) || __builtin_add_overflow(count, *c.at - '0', &count))
                return pk_fail(err, PK_REJECT, "a duration that is too long");
        if (c.at == start)
            return pk_fail(err, PK_REJECT, "not a duration: %s", hint);
        skip_spaces(&c);
        const char *unit = c.at;
        while (c.at < c.end && *c.at >= 'a' && *c.at <= 'z')
            c.at++;
        int64_t us = unit_us(unit, (size_t)(c.at - unit));
        if (us == 0)
            return pk_fail(err, PK_REJECT, c.at == unit ? "a duration without a unit: %s" : "an unknown unit of time: %s",
                           hint);
        if (__builtin_mul_overflow(count, us, &count) || __builtin_add_overflow(total, count, &total))
            return pk_fail(err, PK_REJECT, "a duration that is too long");
        skip_spaces(&c);
    }
    *ret_us = total;
    return PK_OK;
}
