/* SPDX-License-Identifier: Apache-2.0 */
#include "time_pattern.h"

#include <strings.h>

#include "time_text.h"

enum { DAY_S = 86400 };

struct moment { /* what the pattern's parts said so far */
    int64_t year;
    unsigned month, day, hour, minute, second, micros;
    bool half_day, afternoon, has_date, has_offset;
    int offset_s;
};

struct cursor {
    const char *at, *end;
};

static bool digits(struct cursor *c, int least, int most, unsigned *ret)
{
    unsigned value = 0;
    int count = 0;
    for (; count < most && c->at < c->end && *c->at >= '0' && *c->at <= '9'; count++, c->at++)
        value = value * 10 + (unsigned)(*c->at - '0');
    *ret = value;
    return count >= least;
}

static bool fraction(struct cursor *c, unsigned *ret_micros)
{
    unsigned value = 0;
    int count = 0;
    for (; count < 9 && c->at < c->end && *c->at >= '0' && *c->at <= '9'; count++, c->at++)
        if (count < 6)
            value = value * 10 + (unsigned)(*c->at - '0');
    for (int i = count; i < 6; i++)
        value *= 10;
    *ret_micros = value;
    return count > 0;
}

static bool offset(struct cursor *c, int *ret_s)
{
    *ret_s = 0;
    if (c->at < c->end && *c->at == 'Z') {
        c->at++;
        return true;
    }
    if (c->at == c->end || (*c->at != '+' && *c->at != '-'))
        return false;
    int sign = *c->at++ == '-' ? -1 : 1;
    unsigned hours, minutes = 0;
    if (!digits(c, 2, 2, &hours))
        return false;
    bool colon = c->at < c->end && *c->at == ':';
    c->at += colon;
    if ((colon || (c->at < c->end && *c->at >= '0' && *c->at <= '9')) && !digits(c, 2, 2, &minutes))
        return false;
    *ret_s = sign * (int)(hours * 3600 + minutes * 60);
    return hours <= 18 && minutes <= 59;
}

static bool month_name(struct cursor *c, unsigned *ret_month)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (unsigned month = 1; c->end - c->at >= 3 && month <= 12; month++)
        if (strncasecmp(c->at, names + (month - 1) * 3, 3) == 0) {
            *ret_month = month;
            c->at += 3;
            return true;
        }
    return false;
}

static bool half_of_day(struct cursor *c, bool *ret_afternoon)
{
    if (c->end - c->at < 2 || (strncasecmp(c->at, "AM", 2) != 0 && strncasecmp(c->at, "PM", 2) != 0))
        return false;
    *ret_afternoon = *c->at == 'P' || *c->at == 'p';
    c->at += 2;
    return true;
}

static bool match(struct pk_str pattern, struct cursor *c, struct moment *m);

static bool match_part(char part, struct cursor *c, struct moment *m)
{
    unsigned value;
    switch (part) {
    case 'Y':
        if (!digits(c, 4, 4, &value))
            return false;
        m->year = value;
        m->has_date = true;
        return true;
    case 'm': return digits(c, 1, 2, &m->month);
    case 'd': return digits(c, 1, 2, &m->day);
    case 'H': return digits(c, 1, 2, &m->hour) && m->hour <= 23;
    case 'I': return m->half_day = true, digits(c, 1, 2, &m->hour) && m->hour >= 1 && m->hour <= 12;
    case 'p': return half_of_day(c, &m->afternoon);
    case 'M': return digits(c, 2, 2, &m->minute) && m->minute <= 59;
    case 'S': return digits(c, 2, 2, &m->second) && m->second <= 59;
    case 'f': return fraction(c, &m->micros);
    case 'z': return m->has_offset = true, offset(c, &m->offset_s);
    case 'b': return month_name(c, &m->month);
    case 'F': return match(PK_STR("%Y-%m-%d"), c, m);
    case 'T': return match(PK_STR("%H:%M:%S"), c, m);
    case '%': return c->at < c->end && *c->at++ == '%';
    default: return false;
    }
}

static bool match(struct pk_str pattern, struct cursor *c, struct moment *m)
{
    for (size_t i = 0; i < pattern.len; i++) {
        if (pattern.ptr[i] == '%' && i + 1 < pattern.len) {
            if (!match_part(pattern.ptr[++i], c, m))
                return false;
        } else if (c->at == c->end || *c->at++ != pattern.ptr[i]) {
            return false;
        }
    }
    return true;
}

static int64_t epoch_unit(struct pk_str pattern)
{
    return pk_str_eq(pattern, PK_STR("epoch_s"))    ? PK_SECOND_US
           : pk_str_eq(pattern, PK_STR("epoch_ms")) ? 1000
           : pk_str_eq(pattern, PK_STR("epoch_us")) ? 1
                                                    : 0;
}

enum pk_status time_pattern_check(struct pk_str pattern, struct pk_err *err)
{
    if (pk_str_eq(pattern, PK_STR("iso")) || epoch_unit(pattern))
        return PK_OK;
    bool year = false;
    for (size_t i = 0; i < pattern.len; i++) {
        if (pattern.ptr[i] != '%')
            continue;
        if (++i == pattern.len || !memchr("YmdHIpMSfzbFT%", pattern.ptr[i], 14))
            return pk_fail(err, PK_REJECT, "time pattern: %%%.*s is not known; known are "
                           "%%Y %%m %%d %%H %%M %%S %%f %%z %%b %%I %%p %%F %%T %%%%",
                           i < pattern.len ? 1 : 0, pattern.ptr + i);
        year = year || pattern.ptr[i] == 'Y' || pattern.ptr[i] == 'F';
    }
    if (!year)
        return pk_fail(err, PK_REJECT, "time pattern '%.*s' has no year; write iso, epoch_s, epoch_ms, epoch_us or a "
                       "pattern like %%Y-%%m-%%d %%H:%%M:%%S", PK_STR_ARG(pattern));
    return PK_OK;
}

static enum pk_status parse_epoch(struct pk_str text, int64_t unit, int64_t *ret_us, struct pk_err *err)
{
    bool minus = text.len && text.ptr[0] == '-';
    int64_t value = 0;
    size_t i = minus;
    for (; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9' && i < 18; i++)
        value = value * 10 + (text.ptr[i] - '0');
    if (i != text.len || i == minus || __builtin_mul_overflow(minus ? -value : value, unit, ret_us))
        return pk_fail(err, PK_REJECT, "not a whole number of %s since 1970",
                       unit == 1 ? "microseconds" : unit == 1000 ? "milliseconds" : "seconds");
    return PK_OK;
}

static int64_t floor_to(int64_t value, int64_t unit)
{
    int64_t rest = value % unit;
    return value - (rest < 0 ? rest + unit : rest);
}

static int64_t end_of_local_day(int64_t local_s, const struct zone *zone, int offset_s)
{
    int64_t last_s = floor_to(local_s, DAY_S) + DAY_S - 1;
    int64_t utc_s = zone ? zone_utc(zone, last_s, ZONE_LAST) : last_s - offset_s;
    return utc_s * PK_SECOND_US + PK_SECOND_US - 1;
}

static int64_t end_of_utc_moment(int64_t us, const struct zone *zone)
{
    int64_t utc_s = floor_to(us, PK_SECOND_US) / PK_SECOND_US;
    return end_of_local_day(utc_s + (zone ? zone_offset(zone, utc_s) : 0), zone, 0);
}

static unsigned days_in(int64_t year, unsigned month)
{
    int64_t next = month == 12 ? time_days_from_civil(year + 1, 1, 1) : time_days_from_civil(year, month + 1, 1);
    return (unsigned)(next - time_days_from_civil(year, month, 1));
}

enum pk_status time_pattern_parse(struct pk_str pattern, struct pk_str text, const struct zone *zone, bool end_of_day,
                                  int64_t *ret_us, struct pk_err *err)
{
    int64_t us, unit = epoch_unit(pattern);
    bool iso = pk_str_eq(pattern, PK_STR("iso"));
    if (unit || iso) {
        enum pk_status status = unit ? parse_epoch(text, unit, &us, err) : time_parse_iso(text, false, &us, err);
        if (status == PK_OK)
            *ret_us = end_of_day ? end_of_utc_moment(us, zone) : us;
        return status;
    }

    struct moment m = {.month = 1, .day = 1};
    struct cursor c = {text.ptr, text.ptr + text.len};
    if (!match(pattern, &c, &m) || c.at != c.end)
        return pk_fail(err, PK_REJECT, "the time does not match the pattern '%.*s'", PK_STR_ARG(pattern));
    if (m.month < 1 || m.month > 12 || m.day < 1 || m.day > days_in(m.year, m.month))
        return pk_fail(err, PK_REJECT, "no such day in the calendar");
    if (m.half_day)
        m.hour = m.hour % 12 + (m.afternoon ? 12 : 0);
    if (!m.has_offset && !zone)
        return pk_fail(err, PK_REJECT, "the time has no zone, and the mapping names none");

    int64_t local_s = time_days_from_civil(m.year, m.month, m.day) * DAY_S + m.hour * 3600 + m.minute * 60 + m.second;
    if (end_of_day) {
        if (m.has_offset && zone)
            *ret_us = end_of_utc_moment((local_s - m.offset_s) * PK_SECOND_US, zone);
        else
            *ret_us = end_of_local_day(local_s, zone, m.offset_s);
        return PK_OK;
    }
    int64_t utc_s = m.has_offset ? local_s - m.offset_s : zone_utc(zone, local_s, ZONE_FIRST);
    *ret_us = utc_s * PK_SECOND_US + m.micros;
    return PK_OK;
}
