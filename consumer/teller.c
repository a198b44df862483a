/* SPDX-License-Identifier: Apache-2.0 */
#include "teller.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

struct teller teller_begin(void)
{
    return (struct teller){.terminal = isatty(STDERR_FILENO)};
}

int64_t teller_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

void teller_end_line(struct teller *teller)
{
    if (teller->line_begun)
        fputc('\n', stderr);
    teller->line_begun = false;
}

void teller_say(void *context, const char *sentence, const char *detail)
{
    teller_end_line(context);
    log_write(LOG_INFO, sentence, "%s", detail);
}

void teller_warn(void *context, const char *sentence, const char *detail)
{
    teller_end_line(context);
    log_write(LOG_WARN, sentence, "%s", detail);
}

void teller_progress(void *context, int64_t done, int64_t total, const struct commit_counters *counters)
{
    enum { EVERY_MS_TERMINAL = 500, EVERY_MS_LOG = 5000 };
    struct teller *teller = context;
    int64_t now_us = teller_clock_us(), every_us = (teller->terminal ? EVERY_MS_TERMINAL : EVERY_MS_LOG) * INT64_C(1000);
    if (!teller->began) /* how long the first batch took is not known */
        teller->told_us = now_us, teller->told = done;
    teller->began = true;
    if (now_us - teller->told_us < every_us && done < total)
        return;
    double rate = (double)(done - teller->told) * 1e6 / (double)PK_MAX(now_us - teller->told_us, INT64_C(1));
    double share = total > 0 ? 100.0 * (double)PK_MIN(done, total) / (double)total : 100.0;
    int64_t left_s = rate > 0 && total > done ? (int64_t)((double)(total - done) / rate) : 0;
    teller->told_us = now_us;
    teller->told = done;
    if (teller->terminal) {
        fprintf(stderr, "\r%5.1f %%  %" PRId64 " of %" PRId64 " events  %.0f events/s  %" PRId64 ":%02d:%02d left   ", share,
                done, total, rate, left_s / 3600, (int)(left_s / 60 % 60), (int)(left_s % 60));
        teller->line_begun = true;
        return;
    }
    log_write(LOG_INFO, "progress",
              "share=%.1f events=%" PRId64 " of=%" PRId64 " per_second=%.0f seconds_left=%" PRId64 " fast=%" PRIu64 " slow=%" PRIu64,
              share, done, total, rate, left_s, counters->fast, counters->slow);
}
