/* SPDX-License-Identifier: Apache-2.0 */
/* quarantine_limit.h - which bad records become rows of quarantine, and which are only counted.
 *
 * Bounds a flood in rate and in space: so many rows a minute of this process, so many bytes in the table. Whatever exceeds
 * that is counted by partition, publisher and reason with its offsets, in the same transaction: each bad record is either a
 * row or counted, whatever crashes. Which of the two is arrival, as offsets are: nothing derived depends on it.
 *
 * A hundredth of the rate, if that is a row at least, is set aside for each reason, so that a flood of one kind does not
 * hide the few of another. A batch that is tried again is judged again; only what was committed is spent. */
#ifndef POLKU_QUARANTINE_LIMIT_H
#define POLKU_QUARANTINE_LIMIT_H

#include "changes.h"

enum { QUARANTINE_MOST_BYTES = 1 << 20 }; /* of one row; of a larger record the place alone is kept */

struct quarantine_budget {
    double common, own[REJECT_COUNT]; /* rows that may come now */
    int64_t bytes;                    /* in the table: as last read, and what was added since */
};

struct quarantine_limit {
    int64_t rows_per_minute; /* also how many may come at once */
    int64_t most_bytes;
    int64_t ticked_us;       /* clock at the last tick; 0 = none yet */
    struct quarantine_budget now, next; /* next: once the batch under way is committed */
    uint64_t counted, counting;         /* records that were only counted: since the start; of the batch under way */
    bool by_space;                      /* the last ones that were only counted: for want of space, not of rate */
};

void quarantine_limit_init(struct quarantine_limit *limit, int64_t rows_per_minute, int64_t most_bytes);
/* Time has passed: rows may come again. */
void quarantine_limit_tick(struct quarantine_limit *limit, int64_t now_us);
/* Leaves in changes->quarantine what may be stored, and adds the rest up in changes->excess. */
void quarantine_limit_apply(struct quarantine_limit *limit, struct changes *changes);
void quarantine_limit_committed(struct quarantine_limit *limit);

/* What the row takes of the space. */
size_t quarantine_bytes(const struct change_quarantine *row);

#endif
