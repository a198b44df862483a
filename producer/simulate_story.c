/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate_story.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "event_json.h"

static struct pk_str print(struct pk_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
static struct pk_str print(struct pk_arena *arena, const char *format, ...)
{
    char text[EVENT_MAX_TEXT + 64];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return pk_arena_str(arena, (struct pk_str){text, PK_MIN((size_t)len, sizeof text - 1)});
}

/* ---- reading ---- */

static const char *name_of(struct pk_arena *arena, struct pk_str path)
{
    size_t from = path.len, to = path.len;
    while (from > 0 && path.ptr[from - 1] != '/')
        from--;
    for (size_t i = from + 1; i < path.len; i++)
        if (path.ptr[i] == '.') {
            to = i;
            break;
        }
    return pk_arena_str(arena, (struct pk_str){path.ptr + from, to - from}).ptr;
}

static int by_time(const void *a, const void *b)
{
    const struct story_event *x = a, *y = b;
    if (x->event.occurred_at_us != y->event.occurred_at_us)
        return x->event.occurred_at_us < y->event.occurred_at_us ? -1 : 1;
    if (x->event.sequence != y->event.sequence)
        return x->event.sequence < y->event.sequence ? -1 : 1;
    int order = pk_str_cmp(x->event.source, y->event.source);
    return order ? order : pk_str_cmp(x->event.event_id, y->event.event_id);
}

static bool share_identifier(const struct event *a, const struct event *b)
{
    for (uint32_t i = 0; i < a->identifier_count; i++)
        for (uint32_t k = 0; k < b->identifier_count; k++)
            if (pk_str_eq(a->identifier[i].name_space, b->identifier[k].name_space) &&
                pk_str_eq(a->identifier[i].value, b->identifier[k].value))
                return true;
    return false;
}

/* The person of one event is the person of all that share an identifier with it, and of those that share one with these. */
static void claim(struct story *story, uint32_t first)
{
    uint32_t queue[STORY_MOST_EVENTS], len = 1;
    queue[0] = first;
    story->event[first].member = (int16_t)story->people;
    for (uint32_t at = 0; at < len; at++)
        for (uint32_t i = 0; i < story->count; i++)
            if (story->event[i].member == STORY_NOBODY && share_identifier(&story->event[queue[at]].event, &story->event[i].event)) {
                story->event[i].member = (int16_t)story->people;
                queue[len++] = i;
            }
    story->people++;
}

/* An event without identifiers is of the person of its case, if the case has one only. */
static int16_t member_by_case(const struct story *story, struct pk_str case_id)
{
    int16_t found = STORY_NOBODY;
    for (uint32_t i = 0; i < story->count && case_id.ptr; i++) {
        const struct story_event *e = &story->event[i];
        if (!e->event.identifier_count || !pk_str_eq(e->event.case_id, case_id))
            continue;
        if (found != STORY_NOBODY && found != e->member)
            return STORY_NOBODY;
        found = e->member;
    }
    return found;
}

static int64_t after(int64_t time_us, int64_t from_us, int64_t length_us)
{
    if (time_us == PK_NO_TIME)
        return PK_NO_TIME;
    __int128 span = time_us - from_us;
    return (int64_t)(length_us > STORY_LONGEST_US ? span * STORY_LONGEST_US / length_us : span);
}

static void arrange(struct story *story)
{
    qsort(story->event, story->count, sizeof *story->event, by_time);
    int64_t from_us = story->event[0].event.occurred_at_us;
    int64_t length_us = story->event[story->count - 1].event.occurred_at_us - from_us;
    for (uint32_t i = 0; i < story->count; i++) {
        struct story_event *e = &story->event[i];
        e->after_us = after(e->event.occurred_at_us, from_us, length_us);
        e->due_from_us = after(e->event.has_obligation ? e->event.obligation.due_from_us : PK_NO_TIME,
                               e->event.occurred_at_us, length_us);
        e->due_to_us = after(e->event.has_obligation ? e->event.obligation.due_to_us : PK_NO_TIME,
                             e->event.occurred_at_us, length_us);
        e->member = STORY_NOBODY;
    }
    for (uint32_t i = 0; i < story->count; i++)
        if (story->event[i].event.identifier_count && story->event[i].member == STORY_NOBODY)
            claim(story, i);
    for (uint32_t i = 0; i < story->count; i++)
        if (!story->event[i].event.identifier_count)
            story->event[i].member = member_by_case(story, story->event[i].event.case_id);
}

/* Phones become numbers of their own from 0, of which phone() makes others. */
static void number_phones(struct story *story, struct pk_arena *arena)
{
    PK_VEC(struct pk_str) seen = {0};
    for (uint32_t i = 0; i < story->count; i++) {
        struct event *e = &story->event[i].event;
        struct event_identifier *own = PK_NEW_ARRAY(arena, struct event_identifier, e->identifier_count);
        for (uint32_t k = 0; k < e->identifier_count; k++) {
            own[k] = e->identifier[k];
            if (!pk_str_eq(own[k].name_space, PK_STR("phone")))
                continue;
            size_t at = 0;
            while (at < seen.len && !pk_str_eq(seen.ptr[at], own[k].value))
                at++;
            if (at == seen.len)
                *pk_vec_push(&seen) = own[k].value;
            own[k].value = print(arena, "%03zu", at);
        }
        e->identifier = own;
    }
    pk_vec_done(&seen);
}

static enum pk_status read_line(struct pk_arena *arena, struct pk_str line, struct event *ret_event, struct pk_err *err)
{
    enum reject_reason reason;
    enum pk_status status = event_from_json(line, arena, ret_event, err);
    if (status == PK_OK)
        status = event_validate(ret_event, &(struct event_limits){0}, PK_NO_TIME, &reason, err);
    return status;
}

static enum pk_status read_story(struct pk_arena *arena, const char *path, struct story *story, struct pk_err *err)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return pk_fail(err, PK_REJECT, "--stories: %.300s: %s", path, strerror(errno));
    char *line = NULL;
    size_t size = 0, number = 0;
    enum pk_status status = PK_OK;
    story->event = PK_NEW_ARRAY(arena, struct story_event, STORY_MOST_EVENTS);
    for (ssize_t len; status == PK_OK && (len = getline(&line, &size, file)) >= 0;) {
        number++;
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        if (len == 0)
            continue;
        struct pk_err why;
        if (story->count == STORY_MOST_EVENTS)
            status = pk_fail(err, PK_REJECT, "--stories: %.300s: more than %d events; split it", path, STORY_MOST_EVENTS);
        else if (read_line(arena, (struct pk_str){line, (size_t)len}, &story->event[story->count].event, &why) != PK_OK)
            status = pk_fail(err, PK_REJECT, "--stories: %.200s:%zu: %.250s", path, number, why.text);
        else
            story->count++;
    }
    if (status == PK_OK && ferror(file))
        status = pk_fail(err, PK_REJECT, "--stories: %.300s: %s", path, strerror(errno));
    fclose(file);
    free(line);
    if (status == PK_OK && story->count == 0)
        status = pk_fail(err, PK_REJECT, "--stories: %.300s: there are no events in it", path);
    if (status == PK_OK) {
        arrange(story);
        number_phones(story, arena);
    }
    return status;
}

enum pk_status stories_open(const char *files, struct stories *ret_stories, struct pk_err *err)
{
    *ret_stories = (struct stories){0};
    for (const char *at = files; *at;) {
        size_t len = strcspn(at, ",");
        struct pk_str path = {at, len};
        at += len + (at[len] == ',');
        if (len == 0)
            continue;
        if (ret_stories->count == STORY_MOST)
            return pk_fail(err, PK_REJECT, "--stories: more than %d files", STORY_MOST);
        struct story *story = &ret_stories->story[ret_stories->count];
        story->name = name_of(&ret_stories->arena, path);
        enum pk_status status = read_story(&ret_stories->arena, pk_arena_str(&ret_stories->arena, path).ptr, story, err);
        if (status != PK_OK)
            return status;
        ret_stories->count++;
    }
    return ret_stories->count ? PK_OK : pk_fail(err, PK_REJECT, "--stories: names no file");
}

void stories_close(struct stories *stories)
{
    pk_arena_done(&stories->arena);
}

/* ---- telling ---- */

static struct pk_str numbered(struct pk_arena *arena, struct pk_str text, uint64_t number)
{
    return text.ptr ? print(arena, "%.*s-n%" PRIu64, PK_STR_ARG(text), number) : text;
}

/* Numbers of country code 999, which belongs to nobody: twelve digits, the telling's and the phone's. */
static struct pk_str phone(struct pk_arena *arena, struct pk_str value, uint64_t number)
{
    return print(arena, "+999 %09" PRIu64 "%.*s", number % 1000000000, PK_STR_ARG(value));
}

static struct pk_str other(struct pk_arena *arena, const struct event_identifier *i, uint64_t number)
{
    if (pk_str_eq(i->name_space, PK_STR("phone")))
        return phone(arena, i->value, number);
    const char *at = memchr(i->value.ptr, '@', i->value.len);
    if (!at)
        return numbered(arena, i->value, number);
    int before = (int)(at - i->value.ptr);
    return print(arena, "%.*s-n%" PRIu64 "%.*s", before, i->value.ptr, number, (int)i->value.len - before, at);
}

void story_tell(const struct story_event *from, uint64_t number, struct pk_arena *arena, struct event *ret_event)
{
    struct event e = from->event;
    e.event_id = numbered(arena, e.event_id, number);
    e.case_id = numbered(arena, e.case_id, number);
    e.relates_to = numbered(arena, e.relates_to, number);
    if (e.has_obligation)
        e.obligation.id = numbered(arena, e.obligation.id, number);
    struct event_identifier *own = PK_NEW_ARRAY(arena, struct event_identifier, e.identifier_count);
    for (uint32_t i = 0; i < e.identifier_count; i++)
        own[i] = (struct event_identifier){from->event.identifier[i].name_space, other(arena, &from->event.identifier[i], number)};
    e.identifier = own;
    *ret_event = e;
}
