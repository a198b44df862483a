/* SPDX-License-Identifier: Apache-2.0 */
/* Calendars: from hours, holidays, pauses and days to open times. docs/semantics.md 8. */
#include "rules_inner.h"

#include "event.h"
#include "time_text.h"
#include "zone.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_CALENDARS = 100, DAY_MINUTES = 24 * 60 };

struct range { /* minutes of the local clock; from < to */
    int from, to;
};
struct hours { /* of one local date; none = closed */
    const struct range *range;
    size_t count;
};
struct dates { /* all local dates that are looked at, by day */
    int64_t first; /* days from 1970-01-01 */
    size_t count;
    struct hours *hours;
};

static struct yaml_node node_of_key(const struct yaml_node *map, size_t i)
{
    return (struct yaml_node){.kind = YAML_SCALAR, .line = map->key_line[i], .text = map->key[i]};
}

/* ---- hours ---- */

/* "08:00" at `text`, minutes since midnight; -1 if it is not. */
static int minutes_of(const char *text)
{
    for (int i = 0; i < 5; i++)
        if (i == 2 ? text[i] != ':' : text[i] < '0' || text[i] > '9')
            return -1;
    int hour = (text[0] - '0') * 10 + text[1] - '0', minute = (text[3] - '0') * 10 + text[4] - '0';
    int minutes = hour * 60 + minute;
    return minute < 60 && minutes <= DAY_MINUTES ? minutes : -1;
}

static struct range read_range(struct reader *reader, const struct yaml_node *node)
{
    struct pk_str text = {0};
    struct range range = {0};
    read_text(reader, node, &text);
    if (reader->status != PK_OK)
        return range;
    range.from = range.to = -1;
    if (text.len == strlen("08:00-16:00") && text.ptr[5] == '-') {
        range.from = minutes_of(text.ptr);
        range.to = minutes_of(text.ptr + 6);
    }
    if (range.from < 0 || range.to < 0)
        FAIL(reader, node, "'%.100s' is not a range of hours; write it as \"08:00-16:00\", to 24:00 at most", text.ptr);
    else if (range.from == range.to)
        FAIL(reader, node, "'%s' has no length; leave it out, or write 00:00-24:00 for the whole day", text.ptr);
    else if (range.from > range.to)
        FAIL(reader, node, "'%s' goes across midnight; end it at 24:00 and name the rest, from 00:00, on the next day",
             text.ptr);
    return range;
}

static struct hours read_hours(struct reader *reader, const struct yaml_node *node)
{
    const struct yaml_node *one;
    size_t count;
    const struct yaml_node *const *value = read_values(reader, node, &one, &count);
    struct range *range = PK_NEW_ARRAY(reader->arena, struct range, count);
    for (size_t i = 0; i < count && reader->status == PK_OK; i++) {
        range[i] = read_range(reader, value[i]);
        if (i > 0 && reader->status == PK_OK && range[i].from < range[i - 1].to)
            FAIL(reader, value[i], "'%s' begins before '%s' has ended; write ranges in ascending order, apart from each other",
                 value[i]->text.ptr, value[i - 1]->text.ptr);
    }
    return (struct hours){range, count};
}

/* "mon" at `text`: 0 = Monday; -1 if it is none. */
static int weekday_of(const char *text)
{
    static const char name[7][4] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
    for (int i = 0; i < 7; i++)
        if (memcmp(text, name[i], 3) == 0)
            return i;
    return -1;
}

/* "mon" or "mon-fri". */
static struct range read_weekdays(struct reader *reader, const struct yaml_node *key)
{
    struct pk_str text = key->text;
    struct range days = {-1, -1};
    if (text.len == 3 || (text.len == 7 && text.ptr[3] == '-')) {
        days.from = weekday_of(text.ptr);
        days.to = weekday_of(text.ptr + text.len - 3);
    }
    if (days.from < 0 || days.to < 0)
        FAIL(reader, key, "'%.100s' is not a day of the week; use mon, tue, wed, thu, fri, sat, sun or mon-fri", text.ptr);
    else if (days.from > days.to)
        FAIL(reader, key, "'%s' runs backwards; weeks begin on Monday, so name the two parts", text.ptr);
    return days;
}

static void read_week(struct reader *reader, const struct yaml_node *node, struct hours week[7])
{
    int line[7] = {0};
    if (!node || reader->status != PK_OK)
        return;
    if (node->kind != YAML_MAPPING) {
        FAIL(reader, node, "hours must be lines of 'mon-fri: \"08:00-16:00\"'");
        return;
    }
    for (size_t i = 0; i < node->count && reader->status == PK_OK; i++) {
        struct yaml_node key = node_of_key(node, i);
        struct range days = read_weekdays(reader, &key);
        struct hours hours = read_hours(reader, node->item[i]);
        for (int day = days.from; day <= days.to && reader->status == PK_OK; day++) {
            if (line[day])
                FAIL(reader, &key, "'%s' names a day of the week that line %d has already", key.text.ptr, line[day]);
            line[day] = key.line;
            week[day] = hours;
        }
    }
}

/* ---- dates ---- */

static void dates_init(struct dates *dates)
{
    dates->first = time_days_from_civil(1990, 1, 1);
    dates->count = (size_t)(time_days_from_civil(2101, 1, 1) - dates->first);
    dates->hours = pk_alloc(dates->count * sizeof *dates->hours);
}

static void dates_done(struct dates *dates)
{
    free(dates->hours);
}

/* The index of a date; 0 after an error. */
static size_t read_date(struct reader *reader, const struct yaml_node *node, const struct dates *dates)
{
    struct pk_str text = {0};
    struct pk_err err;
    int64_t at_us;
    read_text(reader, node, &text);
    if (reader->status != PK_OK)
        return 0;
    if (text.len != strlen("2000-01-01") || time_parse_iso(text, true, &at_us, &err) != PK_OK) {
        FAIL(reader, node, "'%.100s' is not a date of the calendar; write it as 2025-12-24", text.ptr);
        return 0;
    }
    int64_t index = at_us / PK_DAY_US - dates->first;
    if (at_us < dates->first * PK_DAY_US || index >= (int64_t)dates->count) {
        FAIL(reader, node, "%s lies outside 1990-01-01 .. 2100-12-31", text.ptr);
        return 0;
    }
    return (size_t)index;
}

static void close_yearly(struct reader *reader, const struct yaml_node *node, struct pk_str text, struct dates *dates)
{
    struct pk_err err;
    int64_t at_us, first_us = dates->first * PK_DAY_US;
    char date[16];
    snprintf(date, sizeof date, "2000-%s", text.ptr); /* a leap year: 02-29 is a date of those years */
    if (time_parse_iso(pk_str(date), true, &at_us, &err) != PK_OK) {
        FAIL(reader, node, "'%s' is not a day of the year; write it as MM-DD", text.ptr);
        return;
    }
    for (int year = 1990; year <= 2100; year++) {
        snprintf(date, sizeof date, "%04d-%s", year, text.ptr);
        if (time_parse_iso(pk_str(date), true, &at_us, &err) == PK_OK)
            dates->hours[(at_us - first_us) / PK_DAY_US] = (struct hours){0};
    }
}

static void read_holidays(struct reader *reader, const struct yaml_node *node, struct dates *dates)
{
    size_t count = read_items(reader, node, "holidays");
    for (size_t i = 0; i < count && reader->status == PK_OK; i++) {
        const struct yaml_node *at = node->item[i];
        struct pk_str text = {0};
        read_text(reader, at, &text);
        for (size_t k = 0; k < i && reader->status == PK_OK; k++)
            if (pk_str_eq(node->item[k]->text, text))
                FAIL(reader, at, "holiday '%.100s' is given twice (first on line %d); remove one", text.ptr,
                     node->item[k]->line);
        if (reader->status == PK_OK && text.len == strlen("01-01"))
            close_yearly(reader, at, text, dates);
        else
            dates->hours[read_date(reader, at, dates)] = (struct hours){0};
    }
}

static void read_pauses(struct reader *reader, const struct yaml_node *node, struct dates *dates)
{
    static const char *const known[] = {"from", "to", NULL};
    size_t count = read_items(reader, node, "pauses");
    for (size_t i = 0; i < count && reader->status == PK_OK; i++) {
        const struct yaml_node *at = node->item[i];
        read_keys(reader, at, known);
        if (reader->status == PK_OK && (!yaml_get(at, "from") || !yaml_get(at, "to")))
            FAIL(reader, at, "a pause needs its first and its last date; add 'from:' and 'to:'");
        size_t from = read_date(reader, yaml_get(at, "from"), dates), to = read_date(reader, yaml_get(at, "to"), dates);
        if (from > to)
            FAIL(reader, yaml_get(at, "to"), "to lies before from");
        for (size_t day = from; day <= to && reader->status == PK_OK; day++)
            dates->hours[day] = (struct hours){0};
    }
}

static void read_days(struct reader *reader, const struct yaml_node *node, struct dates *dates)
{
    if (!node || reader->status != PK_OK)
        return;
    if (node->kind != YAML_MAPPING) {
        FAIL(reader, node, "days must be lines of '2025-12-23: \"08:00-12:00\"'");
        return;
    }
    for (size_t i = 0; i < node->count && reader->status == PK_OK; i++) {
        struct yaml_node key = node_of_key(node, i);
        size_t day = read_date(reader, &key, dates);
        dates->hours[day] = read_hours(reader, node->item[i]);
    }
}

/* Each section overrules those before it. */
static void read_dates(struct reader *reader, const struct yaml_node *node, struct dates *dates)
{
    struct hours week[7] = {0};
    read_week(reader, yaml_get(node, "hours"), week);
    for (size_t i = 0; i < dates->count; i++)
        dates->hours[i] = week[(dates->first + 3 + (int64_t)i) % 7]; /* 1970-01-01 was a Thursday */
    read_holidays(reader, yaml_get(node, "holidays"), dates);
    read_pauses(reader, yaml_get(node, "pauses"), dates);
    read_days(reader, yaml_get(node, "days"), dates);
}

/* ---- open times ---- */

struct opens {
    PK_VEC(struct calendar_open) list;
};

static int cmp_opens(const void *a, const void *b)
{
    const struct calendar_open *x = a, *y = b;
    return x->from_us != y->from_us ? (x->from_us > y->from_us) - (x->from_us < y->from_us)
                                    : (x->to_us > y->to_us) - (x->to_us < y->to_us);
}

static int64_t moment_of(const struct zone *zone, int64_t day, int minutes)
{
    return zone_utc(zone, (day * DAY_MINUTES + minutes) * 60, ZONE_FIRST) * PK_SECOND_US;
}

static void add_date(const struct zone *zone, int64_t day, struct hours hours, struct opens *opens)
{
    for (size_t i = 0; i < hours.count; i++) {
        struct calendar_open open = {.from_us = moment_of(zone, day, hours.range[i].from),
                                     .to_us = moment_of(zone, day, hours.range[i].to)};
        if (open.from_us < open.to_us) /* else a change of clocks left nothing of it */
            *pk_vec_push(&opens->list) = open;
    }
}

/* Sorted, joined where they touch, each with the sum of those before it. A change of clocks may have turned neighbours around. */
static void join_opens(struct opens *opens)
{
    struct calendar_open *open = opens->list.ptr;
    size_t count = 0;
    int64_t sum_us = 0;
    if (opens->list.len)
        qsort(open, opens->list.len, sizeof *open, cmp_opens);
    for (size_t i = 0; i < opens->list.len; i++)
        if (count > 0 && open[i].from_us <= open[count - 1].to_us)
            open[count - 1].to_us = PK_MAX(open[count - 1].to_us, open[i].to_us);
        else
            open[count++] = open[i];
    for (size_t i = 0; i < count; i++) {
        open[i].before_us = sum_us;
        sum_us += open[i].to_us - open[i].from_us;
    }
    opens->list.len = count;
}

static void build_opens(struct reader *reader, const struct yaml_node *node, const struct dates *dates,
                        const struct zone *zone, struct calendar *calendar)
{
    struct opens opens = {0};
    if (reader->status != PK_OK)
        return;
    for (size_t i = 0; i < dates->count; i++)
        add_date(zone, dates->first + (int64_t)i, dates->hours[i], &opens);
    join_opens(&opens);
    calendar->open = pk_arena_copy(reader->arena, opens.list.ptr, opens.list.len * sizeof *opens.list.ptr);
    calendar->opens = opens.list.len;
    pk_vec_done(&opens.list);
    if (calendar->opens == 0)
        FAIL(reader, node, "calendar '%s' is never open; name its 'hours:'", calendar->name.ptr);
}

/* ---- a calendar ---- */

/* Brands or units, as events write them. */
static struct rules_texts read_owners(struct reader *reader, const struct yaml_node *node, const char *what)
{
    const struct yaml_node *one;
    size_t count;
    const struct yaml_node *const *value = read_values(reader, node, &one, &count);
    sym_t *sym = PK_NEW_ARRAY(reader->arena, sym_t, count);
    for (size_t i = 0; i < count && reader->status == PK_OK; i++) {
        struct pk_str text = {0};
        read_text(reader, value[i], &text);
        if (reader->status == PK_OK && (text.len == 0 || text.len > EVENT_MAX_NAME))
            FAIL(reader, value[i], "a %s has 1 to %d bytes", what, EVENT_MAX_NAME);
        if (reader->status != PK_OK)
            break;
        sym[i] = symbol_of(reader->symbols, text);
        for (size_t k = 0; k < i; k++)
            if (sym[k] == sym[i])
                FAIL(reader, value[i], "%s '%s' is given twice; remove one", what, text.ptr);
    }
    return (struct rules_texts){sym, count};
}

/* The zones of the calendars that were read before are not read again. */
static void read_zone(struct reader *reader, const struct yaml_node *node, const struct calendar *before, size_t count,
                      const struct zone **zone, struct calendar *calendar)
{
    struct pk_err err = {0};
    read_text(reader, node, &calendar->zone);
    if (reader->status != PK_OK)
        return;
    for (size_t i = 0; i < count; i++)
        if (pk_str_eq(before[i].zone, calendar->zone)) {
            zone[count] = zone[i];
            return;
        }
    if (zone_open(calendar->zone, reader->arena, &zone[count], &err) != PK_OK)
        FAIL(reader, node, "%s", err.text);
}

/* `calendar[count]` and `zone[count]`, behind those that were read before. */
static void read_calendar(struct reader *reader, const struct yaml_node *node, size_t count, struct calendar *calendar,
                          const struct zone **zone)
{
    static const char *const known[] = {"name", "zone", "hours", "holidays", "pauses", "days", "brands", "units", NULL};
    struct calendar *own = &calendar[count];
    read_keys(reader, node, known);
    for (size_t i = 0; i < 2; i++)
        if (reader->status == PK_OK && !yaml_get(node, known[i]))
            FAIL(reader, node, "a calendar needs name and zone; add '%s:'", known[i]);
    if (reader->status != PK_OK)
        return;
    own->name = symbol_text(reader->symbols, read_name(reader, yaml_get(node, "name"), "calendar"));
    read_zone(reader, yaml_get(node, "zone"), calendar, count, zone, own);
    struct rules_texts brands = read_owners(reader, yaml_get(node, "brands"), "brand");
    struct rules_texts units = read_owners(reader, yaml_get(node, "units"), "unit");
    own->brand = brands.sym;
    own->brands = brands.count;
    own->unit = units.sym;
    own->units = units.count;

    struct dates dates PK_AUTO(dates_done);
    dates_init(&dates);
    read_dates(reader, node, &dates);
    build_opens(reader, node, &dates, zone[count], own);
}

/* ---- calendars ---- */

/* Is there a brand and a unit whose calendar this is? 0, no brand or no unit, stands for all that no list names. */
static bool can_be_chosen(const struct calendar *list, size_t index)
{
    const struct calendar *own = &list[index];
    for (size_t i = 0; i < PK_MAX(own->brands, (size_t)1); i++)
        for (size_t k = 0; k < PK_MAX(own->units, (size_t)1); k++)
            if (!calendar_of(list, index, own->brands ? own->brand[i] : 0, own->units ? own->unit[k] : 0))
                return true;
    return false;
}

void read_calendars(struct reader *reader, const struct yaml_node *node, struct rules *rules)
{
    size_t count = read_items(reader, node, "calendars");
    if (count > MAX_CALENDARS) {
        FAIL(reader, node->item[MAX_CALENDARS], "%zu calendars, at most %d", count, MAX_CALENDARS);
        return;
    }
    struct calendar *calendar = PK_NEW_ARRAY(reader->arena, struct calendar, count);
    const struct zone **zone = PK_NEW_ARRAY(reader->arena, const struct zone *, count);
    for (size_t i = 0; i < count && reader->status == PK_OK; i++) {
        const struct yaml_node *at = node->item[i];
        read_calendar(reader, at, i, calendar, zone);
        for (size_t k = 0; k < i && reader->status == PK_OK; k++)
            if (pk_str_eq(calendar[k].name, calendar[i].name))
                FAIL(reader, at, "calendar '%s' is given twice (first on line %d); rename or remove one",
                     calendar[i].name.ptr, node->item[k]->line);
        if (reader->status == PK_OK && !can_be_chosen(calendar, i))
            FAIL(reader, at, "calendar '%s' is never chosen: those before it already have all its brands and units; move it up or "
                             "remove it", calendar[i].name.ptr);
    }
    rules->calendar = calendar;
    rules->calendar_count = count;
}
