/* SPDX-License-Identifier: Apache-2.0 */
/* course.h - how a journey went along the definitions of the rules: milestones reached, order, goal, failures.
 *
 * Pure. docs/semantics.md 9 is the definition. A journey has one course for each definition that it touched. */
#ifndef POLKU_COURSE_H
#define POLKU_COURSE_H

#include "fact.h"

enum { COURSE_PATH = 16 }; /* steps that the path names */

struct course {
    uint32_t definition; /* index in rules->definition */
    int64_t start_at_us, goal_at_us; /* goal PK_NO_TIME = not reached within the window */
    uint32_t steps, violations;
    uint32_t furthest; /* number of a milestone, from 1; 0 = none */
    uint8_t path[COURSE_PATH]; /* numbers from 1 */
    int64_t reached_at_us[RULES_MAX_MILESTONES]; /* PK_NO_TIME = not reached */
    uint32_t failures[RULES_MAX_MILESTONES];
    /* ---- not stored ---- */
    uint8_t last_step; /* number of the milestone of the last step; 0 = none yet */
    int64_t last_step_at_us;
};

struct courses { /* of one journey, by definition */
    struct course *course;
    uint32_t count, cap;
};

struct tally;
struct matcher;
/* Nothing reached, nothing failed, whatever the number of milestones; whoever loads a course begins with it too. */
void course_init(struct course *course, uint32_t definition);
/* What the event, not passive, reaches and fails. `courses` belongs to a journey that may be written (its array is of
 * `arena`). Adds to step_daily of `tally` what changes by it, times `sign`. */
void course_take(struct courses *courses, const struct fact *fact, struct matcher *matcher, struct pk_arena *arena,
                 struct tally *tally, int sign);
/* Milestones below the furthest that are not optional and not reached. */
uint32_t course_skipped(const struct course *course, const struct rules *rules);
/* "1>2>4"; at most COURSE_PATH steps, then ">...". `ret` holds COURSE_TEXT bytes. */
enum { COURSE_TEXT = COURSE_PATH * 3 + 8 };
size_t course_path_text(const struct course *course, char ret[COURSE_TEXT]);
bool course_same(const struct course *a, const struct course *b); /* in every stored member */

#endif
