/* SPDX-License-Identifier: Apache-2.0 */
/* forget.h - what forgettings make of an event (docs/semantics.md 3.7).
 *
 * Pure, and decided by the event and the rows about its names alone: it does not matter when the event comes, nor what
 * else is known. What was applied once may be applied again: it changes nothing more. */
#ifndef POLKU_FORGET_H
#define POLKU_FORGET_H

#include "fact.h"

struct forgotten { /* a row of polku.forgotten about one name of the event */
    struct pk_hash name;
    int64_t until_us;   /* of a single event: its time */
    int64_t forgetting; /* the one with the smallest number that forgets the event decides */
    bool single;        /* about this event, by its hash and the name; else about all events up to until_us */
    bool anonymise;
};

enum forget_outcome { FORGET_NOTHING, FORGET_STRIPPED, FORGET_ANONYMISED, FORGET_DELETED };

/* Says what becomes of the fact, and does it: names are taken out of it, new lists live in `arena`; of one that is deleted
 * `forgotten` is set and nothing else. Of any that is not what it was, the record is let go: as a copy that loses it is set
 * aside by its place alone. Its names are known (fact_from_event, fact_take_names). `row` is sorted here. */
enum forget_outcome forget_apply(struct fact *fact, struct forgotten *row, size_t count, struct pk_arena *arena);

/* One that was only stripped keeps its first person: it is still told from one that was anonymised, which keeps nobody. */
static inline bool forget_left_whole(const struct fact *fact)
{
    return fact->person_count > 0;
}

#endif
