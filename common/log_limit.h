/* SPDX-License-Identifier: Apache-2.0 */
/* log_limit.h - so many lines of one sentence a minute; the rest is counted.
 *
 * A fault that repeats a thousand times a second must not fill a disk, and must not hide the line that matters. Pure: time is
 * an argument, and nothing is written here. Sentences are compared by their text; they must live as long as the limit. */
#ifndef POLKU_LOG_LIMIT_H
#define POLKU_LOG_LIMIT_H

#include "pk.h"

struct log_limit {
    int per_minute; /* 0: no limit */
    struct log_limit_slot {
        const char *sentence; /* NULL: free */
        int64_t begun_us;     /* of its minute */
        int level;            /* the highest of what was left out */
        int lines;
        uint64_t left_out;
    } slot[64];
};

/* May a line of this sentence be written? If not it is counted. With more sentences than slots in a minute, the newest are
 * not limited. */
bool log_limit_take(struct log_limit *limit, const char *sentence, int level, int64_t now_us);

/* The next sentence whose minute is over and that has lines left out: told once, then forgotten. `all`: also before its minute
 * is over. False if there is none. */
bool log_limit_over(struct log_limit *limit, int64_t now_us, bool all, struct log_limit_slot *ret);

#endif
