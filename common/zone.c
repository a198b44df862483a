/* SPDX-License-Identifier: Apache-2.0 */
#include "zone.h"

#include "time_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_NAME = 64, STEP_S = 12 * 3600 }; /* no zone changes its offset and takes that back within half a day */

/* ---- is there such a zone? ---- */

/* The name becomes a path, and what the C library cannot read it takes for UTC without a word. */
static bool name_sound(struct pk_str name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/";
    if (name.len == 0 || name.len > MAX_NAME || name.ptr[0] == '/' || name.ptr[name.len - 1] == '/')
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!name.ptr[i] || !strchr(allowed, name.ptr[i])) /* no dots: no way up */
            return false;
    return name.len < 6 || memcmp(name.ptr, "right/", 6) != 0; /* those count leap seconds */
}

static bool zone_file_exists(const char *name)
{
    const char *folder = getenv("TZDIR");
    char path[4096], magic[4];
    int len = snprintf(path, sizeof path, "%s/%s", folder && *folder ? folder : "/usr/share/zoneinfo", name);
    if (len < 0 || (size_t)len >= sizeof path)
        return false;
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    bool is_zone = fread(magic, 1, sizeof magic, file) == sizeof magic && memcmp(magic, "TZif", sizeof magic) == 0;
    fclose(file);
    return is_zone;
}

/* ---- its changes ---- */

struct changes {
    PK_VEC(struct zone_change) list;
};

static int64_t offset_at(time_t at) /* seconds */
{
    struct tm local;
    return localtime_r(&at, &local) ? local.tm_gmtoff : 0;
}

static void add_change(struct changes *changes, time_t at, int64_t offset)
{
    *pk_vec_push(&changes->list) =
        (struct zone_change){(int64_t)at * PK_SECOND_US, offset * PK_SECOND_US};
}

/* A moment in (low, high] at which the offset is not any more what it was just before; offsets at both ends differ. */
static time_t find_change(time_t low, time_t high)
{
    int64_t offset = offset_at(low);
    while (high - low > 1) {
        time_t middle = low + (high - low) / 2;
        if (offset_at(middle) == offset)
            low = middle;
        else
            high = middle;
    }
    return high;
}

static void find_changes(struct changes *changes) /* of the zone that TZ names */
{
    /* A day more at either end: the first local date begins before 1990 in UTC, the last ends after 2100. */
    time_t at = (time_t)(time_days_from_civil(1990, 1, 1) - 1) * 86400;
    time_t end = (time_t)(time_days_from_civil(2101, 1, 1) + 1) * 86400;
    int64_t offset = offset_at(at);
    add_change(changes, at, offset);
    while (at < end) {
        time_t next = at + STEP_S;
        int64_t next_offset = offset_at(next);
        if (next_offset == offset) {
            at = next;
            continue;
        }
        at = find_change(at, next);
        offset = offset_at(at);
        add_change(changes, at, offset);
    }
}

static void restore(char *tz) /* NULL: it was not set */
{
    if (tz)
        setenv("TZ", tz, 1);
    else
        unsetenv("TZ");
    tzset();
    free(tz);
}

enum pk_status zone_load(struct pk_str name, struct pk_arena *arena, struct zone *ret, struct pk_err *err)
{
    if (!name_sound(name))
        return pk_fail(err, PK_REJECT, "'%.*s' is not the name of a time zone; write it as Europe/Helsinki or UTC",
                       (int)PK_MIN(name.len, 100), name.ptr ? name.ptr : "");
    char text[MAX_NAME + 1];
    snprintf(text, sizeof text, "%.*s", PK_STR_ARG(name));
    if (!zone_file_exists(text))
        return pk_fail(err, PK_REJECT,
                       "time zone '%s' is not known to this system; write it as Europe/Helsinki or UTC, and have the "
                       "package tzdata installed",
                       text);

    const char *old = getenv("TZ");
    char *kept = old ? pk_strdup(old) : NULL;
    struct changes changes = {0};
    setenv("TZ", text, 1);
    tzset();
    find_changes(&changes);
    restore(kept);

    *ret = (struct zone){
        pk_arena_copy(arena, changes.list.ptr, changes.list.len * sizeof *changes.list.ptr), changes.list.len};
    pk_vec_done(&changes.list);
    return PK_OK;
}

/* The local time from which on change i (not the first) counts. Times that it skips or repeats lie before: they are read with
 * the offset in force just before it. */
static int64_t counts_from(const struct zone *zone, size_t i)
{
    return zone->change[i].at_us + PK_MAX(zone->change[i - 1].offset_us, zone->change[i].offset_us);
}

int64_t zone_to_utc(const struct zone *zone, int64_t local_us)
{
    size_t low = 0, high = zone->changes - 1; /* change low counts, no change above high does */
    while (low < high) {
        size_t middle = low + (high - low + 1) / 2;
        if (counts_from(zone, middle) <= local_us)
            low = middle;
        else
            high = middle - 1;
    }
    return local_us - zone->change[low].offset_us;
}
