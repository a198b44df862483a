/* SPDX-License-Identifier: Apache-2.0 */
#include "course.h"
#include "match.h"
#include "metric.h"

#include <stdio.h>

void course_init(struct course *course, uint32_t definition)
{
    *course = (struct course){.definition = definition, .start_at_us = PK_NO_TIME, .goal_at_us = PK_NO_TIME,
                              .last_step_at_us = PK_NO_TIME};
    for (size_t i = 0; i < RULES_MAX_MILESTONES; i++)
        course->reached_at_us[i] = PK_NO_TIME;
}

/* ---- step_daily ---- */

struct step_tally {
    struct tally *tally;
    struct pk_arena *arena;
    sym_t definition;
    int64_t day_us; /* of the course's start */
    int sign;
};

static void add_step(const struct step_tally *to, uint32_t from, uint32_t into, int64_t steps, int64_t wait_us)
{
    struct tally_entry *entry = tally_add(to->tally, to->arena, AGGREGATE_step_daily, to->day_us, to->sign);
    entry->dim[0] = (int32_t)to->definition;
    entry->dim[1] = (int32_t)from;
    entry->dim[2] = (int32_t)into;
    entry->count[0] = steps;
    entry->count[1] = wait_us;
}

/* ---- what one event adds ---- */

static struct course *course_of(struct courses *courses, uint32_t definition, struct pk_arena *arena, bool *ret_new)
{
    uint32_t at = 0;
    while (at < courses->count && courses->course[at].definition < definition)
        at++;
    *ret_new = at == courses->count || courses->course[at].definition != definition;
    if (!*ret_new)
        return &courses->course[at];
    if (courses->count == courses->cap)
        courses->course = pk_arena_grow(arena, courses->course, courses->count, sizeof *courses->course, &courses->cap);
    memmove(&courses->course[at + 1], &courses->course[at], (courses->count++ - at) * sizeof *courses->course);
    course_init(&courses->course[at], definition);
    return &courses->course[at];
}

/* The course goes on to another milestone: it does not end at the one before any more. */
static void take_step(struct course *course, uint32_t milestone, int64_t at_us, const struct step_tally *to)
{
    uint32_t before = course->last_step;
    add_step(to, before, 0, -1, 0);
    add_step(to, before, milestone, 1, before ? at_us - course->last_step_at_us : 0);
    add_step(to, milestone, 0, 1, 0);
    if (course->steps < COURSE_PATH)
        course->path[course->steps] = (uint8_t)milestone;
    course->steps++;
    course->violations += milestone < before;
    course->furthest = PK_MAX(course->furthest, milestone);
    course->last_step = (uint8_t)milestone;
    course->last_step_at_us = at_us;
}

static void reach(struct course *course, uint32_t milestone, int64_t at_us, const struct rules_definition *definition,
                  const struct step_tally *to)
{
    int64_t *reached_at_us = &course->reached_at_us[milestone - 1];
    if (*reached_at_us == PK_NO_TIME) {
        *reached_at_us = at_us;
        if (milestone - 1 == definition->goal && at_us - course->start_at_us <= definition->window_us)
            course->goal_at_us = at_us;
    }
    if (milestone != course->last_step)
        take_step(course, milestone, at_us, to);
}

static void take_definition(struct courses *courses, uint32_t index, const struct fact *fact, struct matcher *matcher,
                            struct step_tally *to)
{
    uint32_t fails = 0;
    uint32_t milestone = match_reaches(matcher, fact, index, &fails);
    if (!milestone && !fails)
        return;
    const struct rules_definition *definition = &matcher->rules->definition[index];
    bool starts;
    struct course *course = course_of(courses, index, to->arena, &starts);
    if (starts)
        course->start_at_us = fact->at_us;
    to->definition = definition->id;
    to->day_us = day_of(course->start_at_us);
    if (starts)
        add_step(to, 0, 0, 1, 0);
    for (size_t i = 0; i < definition->milestone_count; i++)
        course->failures[i] += fails >> i & 1;
    if (milestone)
        reach(course, milestone, fact->at_us, definition, to);
}

void course_take(struct courses *courses, const struct fact *fact, struct matcher *matcher, struct pk_arena *arena,
                 struct tally *tally, int sign)
{
    if (!match_courses(matcher, fact))
        return;
    struct step_tally to = {.tally = tally, .arena = arena, .sign = sign};
    for (uint32_t i = 0; i < matcher->rules->definition_count; i++)
        take_definition(courses, i, fact, matcher, &to);
}

/* ---- what a course is ---- */

uint32_t course_skipped(const struct course *course, const struct rules *rules)
{
    const struct rules_definition *definition = &rules->definition[course->definition];
    uint32_t skipped = 0;
    for (uint32_t i = 0; i + 1 < course->furthest; i++)
        skipped += !definition->milestone[i].optional && course->reached_at_us[i] == PK_NO_TIME;
    return skipped;
}

size_t course_path_text(const struct course *course, char ret[COURSE_TEXT])
{
    size_t len = 0;
    ret[0] = '\0';
    for (uint32_t i = 0; i < PK_MIN(course->steps, (uint32_t)COURSE_PATH); i++)
        len += (size_t)snprintf(ret + len, COURSE_TEXT - len, "%s%u", i ? ">" : "", course->path[i]);
    if (course->steps > COURSE_PATH)
        len += (size_t)snprintf(ret + len, COURSE_TEXT - len, ">...");
    return len;
}

bool course_same(const struct course *a, const struct course *b)
{
    return a->definition == b->definition && a->start_at_us == b->start_at_us && a->goal_at_us == b->goal_at_us &&
           a->steps == b->steps && a->violations == b->violations && a->furthest == b->furthest &&
           memcmp(a->path, b->path, sizeof a->path) == 0 &&
           memcmp(a->reached_at_us, b->reached_at_us, sizeof a->reached_at_us) == 0 &&
           memcmp(a->failures, b->failures, sizeof a->failures) == 0;
}
