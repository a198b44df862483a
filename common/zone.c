/* SPDX-License-Identifier: Apache-2.0 */
#include "zone.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "time_text.h"

enum { DAY_S = 86400, MAX_OFFSET_S = 26 * 3600, MAX_FILE = 1 << 20 };

/* The day and second of the year at which daylight saving time begins or ends (POSIX TZ). */
struct rule {
    enum { RULE_MONTH_WEEK, RULE_JULIAN, RULE_DAY } kind; /* Mm.w.d, Jn (no 29 February), n */
    int month, week, day;
    int32_t at_s; /* local, after midnight; may be negative or beyond a day */
};

struct zone {
    size_t count;        /* transitions of the file */
    const int64_t *at_s; /* UTC */
    const int32_t *offset_s; /* in force from at_s[i] on */
    int32_t first_s;     /* in force before at_s[0] */
    bool has_tail, has_saving; /* the rule for times after the last transition */
    int32_t standard_s, saving_s;
    struct rule begin, end;
};

/* A stretch of time with one offset: [from, to). */
struct stretch {
    int64_t from_s, to_s;
    int32_t offset_s;
};

/* ---- the rule behind the last transition ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t year_of(int64_t utc_s)
{
    int64_t days = floor_div(utc_s, DAY_S), year = 1970 + floor_div(days, 366);
    while (time_days_from_civil(year + 1, 1, 1) <= days)
        year++;
    return year;
}

static int64_t rule_day(const struct rule *rule, int64_t year)
{
    int64_t first = time_days_from_civil(year, 1, 1);
    if (rule->kind == RULE_DAY)
        return first + rule->day;
    bool leap = time_days_from_civil(year + 1, 1, 1) - first == 366;
    if (rule->kind == RULE_JULIAN)
        return first + rule->day - 1 + (leap && rule->day >= 60);
    int64_t month = time_days_from_civil(year, (unsigned)rule->month, 1);
    int64_t next = rule->month == 12 ? time_days_from_civil(year + 1, 1, 1)
                                     : time_days_from_civil(year, (unsigned)rule->month + 1, 1);
    int64_t weekday = ((month + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
    int64_t day = month + (rule->day - weekday + 7) % 7 + (rule->week - 1) * 7;
    return day < next ? day : day - 7;
}

static struct stretch tail_stretch(const struct zone *zone, int64_t utc_s)
{
    if (!zone->has_saving)
        return (struct stretch){INT64_MIN, INT64_MAX, zone->standard_s};
    int64_t year = year_of(utc_s);
    struct stretch found = {INT64_MIN, INT64_MAX, zone->standard_s};
    for (int64_t y = year - 1; y <= year + 1; y++) {
        const struct { int64_t at; int32_t offset; } change[] = {
            {rule_day(&zone->begin, y) * DAY_S + zone->begin.at_s - zone->standard_s, zone->saving_s},
            {rule_day(&zone->end, y) * DAY_S + zone->end.at_s - zone->saving_s, zone->standard_s},
        };
        for (size_t i = 0; i < PK_COUNT(change); i++) {
            if (change[i].at <= utc_s && change[i].at > found.from_s)
                found.from_s = change[i].at, found.offset_s = change[i].offset;
            if (change[i].at > utc_s && change[i].at < found.to_s)
                found.to_s = change[i].at;
        }
    }
    return found;
}

static struct stretch stretch_at(const struct zone *zone, int64_t utc_s)
{
    size_t low = 0, high = zone->count; /* the first transition after utc_s */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (zone->at_s[middle] <= utc_s)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < zone->count || (!zone->has_tail && zone->count))
        return (struct stretch){low ? zone->at_s[low - 1] : INT64_MIN, low < zone->count ? zone->at_s[low] : INT64_MAX,
                                low ? zone->offset_s[low - 1] : zone->first_s};
    struct stretch tail = tail_stretch(zone, utc_s);
    if (zone->count)
        tail.from_s = PK_MAX(tail.from_s, zone->at_s[zone->count - 1]);
    return tail;
}

int32_t zone_offset(const struct zone *zone, int64_t utc_s)
{
    return stretch_at(zone, utc_s).offset_s;
}

/* Every stretch that can hold the moment is asked whether its clock ever shows the local time. */
int64_t zone_utc(const struct zone *zone, int64_t local_s, enum zone_choice choice)
{
    struct stretch s = stretch_at(zone, local_s - MAX_OFFSET_S);
    int64_t found = 0, in_gap = local_s - s.offset_s;
    bool any = false;
    for (;;) {
        int64_t utc_s = local_s - s.offset_s;
        if (utc_s >= s.from_s && utc_s < s.to_s && (!any || choice == ZONE_LAST))
            found = utc_s, any = true;
        if (utc_s >= s.to_s)
            in_gap = utc_s; /* so far the clock has not shown it yet when the offset changes */
        if (s.to_s == INT64_MAX || s.to_s > local_s + MAX_OFFSET_S)
            return any ? found : in_gap;
        s = stretch_at(zone, s.to_s);
    }
}

/* ---- parsing ---- */

struct text {
    const char *at, *end;
    bool ok;
};

static bool accept(struct text *t, char c)
{
    bool found = t->ok && t->at < t->end && *t->at == c;
    t->at += found;
    return found;
}

static int number(struct text *t, int max)
{
    int value = 0, count = 0;
    for (; t->ok && t->at < t->end && *t->at >= '0' && *t->at <= '9' && count < 4; t->at++, count++)
        value = value * 10 + (*t->at - '0');
    if (count == 0 || value > max)
        t->ok = false;
    return value;
}

/* [+-]h[h][:mm[:ss]] */
static int32_t clock_time(struct text *t, int max_hours)
{
    int sign = accept(t, '-') ? -1 : 1;
    if (sign > 0)
        accept(t, '+');
    int32_t value = number(t, max_hours) * 3600;
    if (accept(t, ':'))
        value += number(t, 59) * 60;
    if (accept(t, ':'))
        value += number(t, 59);
    return sign * value;
}

static void zone_letters(struct text *t)
{
    const char *from = t->at;
    if (accept(t, '<')) {
        while (t->at < t->end && *t->at != '>')
            t->at++;
        t->ok = t->ok && accept(t, '>');
        return;
    }
    while (t->at < t->end && ((*t->at >= 'A' && *t->at <= 'Z') || (*t->at >= 'a' && *t->at <= 'z')))
        t->at++;
    t->ok = t->ok && t->at - from >= 3;
}

static struct rule rule(struct text *t)
{
    struct rule r = {.kind = RULE_DAY, .at_s = 2 * 3600};
    if (!accept(t, ','))
        t->ok = false;
    if (accept(t, 'M')) {
        r.kind = RULE_MONTH_WEEK;
        r.month = number(t, 12);
        t->ok = t->ok && accept(t, '.');
        r.week = number(t, 5);
        t->ok = t->ok && accept(t, '.') && r.month >= 1 && r.week >= 1;
        r.day = number(t, 6);
    } else {
        if (accept(t, 'J'))
            r.kind = RULE_JULIAN;
        r.day = number(t, 365);
        t->ok = t->ok && (r.kind == RULE_DAY || r.day >= 1);
    }
    if (accept(t, '/'))
        r.at_s = clock_time(t, 167);
    return r;
}

/* "EET-2EEST,M3.5.0/3,M10.5.0/4": POSIX counts offsets west of Greenwich. */
static bool parse_tail(struct zone *zone, struct pk_str posix)
{
    struct text t = {posix.ptr, posix.ptr + posix.len, true};
    zone_letters(&t);
    zone->standard_s = -clock_time(&t, 24);
    if (t.ok && t.at < t.end) {
        zone_letters(&t);
        zone->saving_s = zone->standard_s + 3600;
        if (t.at < t.end && *t.at != ',')
            zone->saving_s = -clock_time(&t, 24);
        zone->begin = rule(&t);
        zone->end = rule(&t);
        zone->has_saving = true;
    }
    zone->has_tail = t.ok && t.at == t.end;
    return zone->has_tail;
}

/* One header of a TZif file and what follows it (RFC 8536). */
struct tzif {
    uint32_t utc_count, standard_count, leap_count, time_count, type_count, letter_count;
};
enum { TZIF_HEADER = 44 };

static bool read_header(struct pk_bytes file, size_t at, struct tzif *ret)
{
    if (file.len < at + TZIF_HEADER || memcmp(file.ptr + at, "TZif", 4) != 0)
        return false;
    const uint8_t *p = file.ptr + at + 20;
    *ret = (struct tzif){pk_get_be32(p),      pk_get_be32(p + 4),  pk_get_be32(p + 8),
                         pk_get_be32(p + 12), pk_get_be32(p + 16), pk_get_be32(p + 20)};
    return ret->utc_count <= 256 && ret->standard_count <= 256 && ret->leap_count <= 1000 &&
           ret->time_count <= 10000 && ret->type_count >= 1 && ret->type_count <= 256 && ret->letter_count <= 1024;
}

static size_t body_bytes(const struct tzif *h, size_t time_bytes)
{
    return h->time_count * (time_bytes + 1) + h->type_count * 6 + h->letter_count +
           h->leap_count * (time_bytes + 4) + h->standard_count + h->utc_count;
}

static bool parse_tzif(struct zone *zone, struct pk_bytes file, struct pk_arena *arena)
{
    struct tzif first, h;
    if (!read_header(file, 0, &first) || file.ptr[4] < '2')
        return false;
    size_t second = TZIF_HEADER + body_bytes(&first, 4);
    if (!read_header(file, second, &h) || file.len < second + TZIF_HEADER + body_bytes(&h, 8))
        return false;

    const uint8_t *time = file.ptr + second + TZIF_HEADER;
    const uint8_t *index = time + h.time_count * 8, *type = index + h.time_count;
    int64_t *at_s = PK_NEW_ARRAY(arena, int64_t, h.time_count);
    int32_t *offset_s = PK_NEW_ARRAY(arena, int32_t, h.time_count);
    for (size_t i = 0; i < h.time_count; i++) {
        at_s[i] = (int64_t)pk_get_be64(time + i * 8);
        if (index[i] >= h.type_count || (i && at_s[i] <= at_s[i - 1]))
            return false;
        offset_s[i] = (int32_t)pk_get_be32(type + index[i] * 6);
        if (offset_s[i] < -MAX_OFFSET_S || offset_s[i] > MAX_OFFSET_S)
            return false;
    }
    *zone = (struct zone){.count = h.time_count, .at_s = at_s, .offset_s = offset_s,
                          .first_s = (int32_t)pk_get_be32(type)};
    if (zone->first_s < -MAX_OFFSET_S || zone->first_s > MAX_OFFSET_S)
        return false;

    const char *tail = (const char *)file.ptr + second + TZIF_HEADER + body_bytes(&h, 8);
    const char *end = (const char *)file.ptr + file.len;
    if (end - tail < 2 || tail[0] != '\n' || end[-1] != '\n')
        return false;
    struct pk_str posix = {tail + 1, (size_t)(end - tail) - 2};
    if (posix.len == 0 && zone->count == 0)
        zone->standard_s = zone->first_s, zone->has_tail = true;
    return posix.len == 0 || parse_tail(zone, posix);
}

static bool read_file(const char *path, struct pk_arena *arena, struct pk_bytes *ret)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    uint8_t *data = pk_arena_alloc(arena, MAX_FILE);
    size_t len = fread(data, 1, MAX_FILE, file);
    bool ok = !ferror(file) && len < MAX_FILE;
    fclose(file);
    *ret = (struct pk_bytes){data, len};
    return ok;
}

static bool plain_name(struct pk_str name)
{
    if (name.len == 0 || name.len > 64 || name.ptr[0] == '/' || memmem(name.ptr, name.len, "..", 2))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] <= ' ' || (unsigned char)name.ptr[i] > '~')
            return false;
    return true;
}

enum pk_status zone_open(struct pk_str name, struct pk_arena *arena, const struct zone **ret_zone, struct pk_err *err)
{
    struct zone *zone = PK_NEW(arena, struct zone);
    if (pk_str_eq(name, PK_STR("UTC")) || pk_str_eq(name, PK_STR("Z"))) {
        zone->has_tail = true;
        *ret_zone = zone;
        return PK_OK;
    }
    if (name.len && (name.ptr[0] == '+' || name.ptr[0] == '-')) {
        struct text t = {name.ptr, name.ptr + name.len, true};
        zone->standard_s = clock_time(&t, 18);
        zone->has_tail = true;
        if (!t.ok || t.at != t.end)
            return pk_fail(err, PK_REJECT, "zone '%.*s' is not an offset like +03:00", PK_STR_ARG(name));
        *ret_zone = zone;
        return PK_OK;
    }

    char path[512];
    const char *folder = getenv("TZDIR");
    snprintf(path, sizeof path, "%s/%.*s", folder ? folder : "/usr/share/zoneinfo", PK_STR_ARG(name));
    struct pk_arena scratch = {0};
    struct pk_bytes file;
    enum pk_status status = PK_OK;
    errno = 0;
    bool there = plain_name(name) && read_file(path, &scratch, &file);
    if (!there && errno && errno != ENOENT && errno != ENOTDIR)
        status = pk_fail(err, PK_REJECT, "%s cannot be read: %s", path, strerror(errno));
    else if (!there)
        status = pk_fail(err, PK_REJECT,
                         "zone '%.*s' is not in the time zone database; write a name like Europe/Helsinki, "
                         "or an offset like +03:00", PK_STR_ARG(name));
    else if (!parse_tzif(zone, file, arena))
        status = pk_fail(err, PK_REJECT, "%s is not a time zone file of version 2 or later", path);
    pk_arena_done(&scratch);
    if (status == PK_OK)
        *ret_zone = zone;
    return status;
}
