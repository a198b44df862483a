/* SPDX-License-Identifier: Apache-2.0 */
/* rebuild: derives everything again from the stored events, for other rules or a newer derivation. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "consumer_commands.h"
#include "log.h"
#include "rebuild.h"

struct teller {
    bool terminal; /* a line that is written over */
    bool line_begun, began;
    int64_t told_us, told; /* when, and how many events were done then */
};

static int64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

static void end_line(struct teller *teller)
{
    if (teller->line_begun)
        fputc('\n', stderr);
    teller->line_begun = false;
}

static void say(void *context, const char *sentence, const char *detail)
{
    end_line(context);
    log_write(LOG_INFO, sentence, "%s", detail);
}

static void warn(void *context, const char *sentence, const char *detail)
{
    end_line(context);
    log_write(LOG_WARN, sentence, "%s", detail);
}

static void progress(void *context, int64_t done, int64_t total, const struct commit_counters *counters)
{
    enum { EVERY_MS_TERMINAL = 500, EVERY_MS_LOG = 5000 };
    struct teller *teller = context;
    int64_t now_us = clock_us(), every_us = (teller->terminal ? EVERY_MS_TERMINAL : EVERY_MS_LOG) * INT64_C(1000);
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

static enum pk_status rebuild(const struct consumer_options *options, struct consumer_inputs *inputs, struct pk_err *err)
{
    struct teller teller = {.terminal = isatty(STDERR_FILENO)};
    struct rebuild_config config = {
        .store =
            {
                .conninfo = options->database,
                .lock_timeout_us = options->lock_timeout,
                .idle_timeout_us = 0, /* nobody but us ends this: consumers wait for it */
                .application_name = "polku-consumer rebuild",
            },
        .rules = &inputs->rules,
        .hasher = &inputs->hasher,
        .symbols = &inputs->symbols,
        .batch_records = options->batch_records,
        .cache_bytes = options->memory,
        .handler = {&teller, say, warn, progress},
    };
    int64_t begun_us = clock_us();
    enum pk_status status = rebuild_run(&config, &consumer_stop, err);
    end_line(&teller);
    if (status == PK_OK)
        log_write(LOG_INFO, "rebuild is done", "seconds=%.1f", (double)(clock_us() - begun_us) / 1e6);
    return status;
}

int consumer_rebuild(const struct consumer_options *options)
{
    struct consumer_inputs inputs;
    struct pk_err err = {0};
    if (consumer_inputs_load(options, false, &inputs, &err) != PK_OK) {
        consumer_log_failure("cannot start", &err);
        return CONSUMER_USAGE;
    }
    for (size_t i = 0; i < inputs.warnings.list.len; i++)
        log_write(LOG_WARN, "rules", "line=%d warning=\"%.*s\"", inputs.warnings.list.ptr[i].line,
                  PK_STR_ARG(inputs.warnings.list.ptr[i].text));
    enum pk_status status = rebuild(options, &inputs, &err);
    if (status != PK_OK)
        consumer_log_failure("rebuild failed", &err);
    consumer_inputs_done(&inputs);
    return status == PK_OK ? CONSUMER_OK : CONSUMER_STOPPED;
}
