/* SPDX-License-Identifier: Apache-2.0 */
/* simulate_story.h - stories as templates: files of events that are told again with other times, people and numbers.
 *
 * A file is a story, in JSON Lines. Identifiers that one of its events carries together are one person. A telling has a number, which
 * makes event ids, cases, promises, what they relate to, and the values of identifiers its own. A story that is longer than
 * STORY_LONGEST_US is told faster, promised times alike. */
#ifndef POLKU_SIMULATE_STORY_H
#define POLKU_SIMULATE_STORY_H

#include "event.h"

#define STORY_LONGEST_US (30 * PK_DAY_US)
enum { STORY_MOST_EVENTS = 200, STORY_MOST = 64, STORY_NOBODY = -1 };

struct story_event {
    struct event event;
    int64_t after_us; /* since the story began, in its order */
    int64_t due_from_us, due_to_us; /* promised times after the event, PK_NO_TIME if none */
    int16_t member; /* which of the story's people, or STORY_NOBODY */
};

struct story {
    const char *name; /* of the file, without folder and ending */
    struct story_event *event;
    uint32_t count, people;
};

struct stories {
    struct story story[STORY_MOST];
    uint32_t count;
    struct pk_arena arena;
};

/* `files`: names with commas between them. PK_REJECT names file and line. To be closed in any case. */
enum pk_status stories_open(const char *files, struct stories *ret_stories, struct pk_err *err);
void stories_close(struct stories *stories);

/* The event as telling `number` has it, but for occurred_at_us and the promised times; text lives in the arena. */
void story_tell(const struct story_event *from, uint64_t number, struct pk_arena *arena, struct event *ret_event);

#endif
