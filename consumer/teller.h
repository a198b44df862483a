/* SPDX-License-Identifier: Apache-2.0 */
/* teller.h - what long commands tell people while they are at work: steps as lines of the log, progress as a line that is
 * written over where standard error is a terminal. */
#ifndef POLKU_TELLER_H
#define POLKU_TELLER_H

#include "commit.h"

struct teller {
    bool terminal; /* a line that is written over */
    bool line_begun, began;
    int64_t told_us, told; /* when, and how many events were done then */
};

struct teller teller_begin(void);
int64_t teller_clock_us(void); /* monotonic */
void teller_end_line(struct teller *teller);
/* `context` is a struct teller; `detail` is "key=value" pairs, or "". */
void teller_say(void *context, const char *sentence, const char *detail);
void teller_warn(void *context, const char *sentence, const char *detail);
void teller_progress(void *context, int64_t done, int64_t total, const struct commit_counters *counters);

#endif
