/* SPDX-License-Identifier: Apache-2.0 */
/* polku-producer simulate: invented people, to standard output or to Kafka. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "log.h"
#include "outlet.h"
#include "producer_commands.h"
#include "simulate.h"
#include "simulate_truth.h"
#include "time_text.h"

enum { LOG_EVERY_US = 60 * 1000000, RATE_OVER_US = 5 * 1000000, MOST_BURST = 1000 };

/* One run: what is told, and how far it is. */
struct run {
    const struct producer_options *options;
    struct simulation_config config;
    struct stories stories;
    struct simulation *simulation;
    struct outlet *outlet;
    FILE *truth;
    struct pk_buf line;
    uint64_t events, late, duplicates;
    int64_t told_until_us; /* of the invented world, or of the clock if live */
    int64_t from_us, logged_us, rated_us; /* monotonic */
    uint64_t rated_events;
    double rate; /* of the last seconds */
};

static int64_t clock_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * PK_SECOND_US + t.tv_nsec / 1000;
}

/* ---- options ---- */

static enum pk_status configure_pace(const struct producer_options *options, struct pace *ret_pace, struct pk_err *err)
{
    *ret_pace = (struct pace){.micro_rate = options->rate * 1000000};
    if (!options->burst)
        return PK_OK;
    char *end;
    double factor = strtod(options->burst, &end);
    if (end == options->burst || *end || !(factor > 1 && factor <= MOST_BURST))
        return pk_fail(err, PK_REJECT, "--burst: '%.100s' is not a number above 1, at most %d", options->burst, MOST_BURST);
    if (!options->rate && !options->live)
        return pk_fail(err, PK_REJECT, "--burst is a multiple of a rate: give --rate, or --live");
    if (options->burst_for >= options->burst_every)
        return pk_fail(err, PK_REJECT, "--burst-for must be shorter than --burst-every");
    ret_pace->burst_milli = (int64_t)(factor * 1000);
    ret_pace->every_us = options->burst_every;
    ret_pace->for_us = options->burst_for;
    return PK_OK;
}

static enum pk_status configure_shares(const struct producer_options *options, struct simulation_config *config,
                                       struct pk_err *err)
{
    enum pk_status status = producer_share("anonymous", options->anonymous, &config->anonymous, err);
    if (status == PK_OK)
        status = producer_share("duplicate-rate", options->duplicate_rate, &config->duplicate_rate, err);
    if (status == PK_OK)
        status = producer_share("late-rate", options->late_rate, &config->late_rate, err);
    if (status == PK_OK)
        status = producer_share("story-share", options->story_share, &config->story_share, err);
    return status;
}

static enum pk_status configure(struct run *run, struct pk_err *err)
{
    const struct producer_options *options = run->options;
    struct simulation_config *config = &run->config;
    char *end;
    double needs = strtod(options->needs, &end);
    if (end == options->needs || *end || !(needs > 0 && needs <= 1000))
        return pk_fail(err, PK_REJECT, "--needs: '%.100s' is not a number above 0, at most 1000", options->needs);
    *config = (struct simulation_config){
        .seed = (uint64_t)options->seed, .people = (uint64_t)options->people, .needs = needs,
        .days = options->events ? 0 : options->days, .lateness_us = options->lateness, .live = options->live,
        .live_from_us = clock_us(CLOCK_REALTIME), .live_for_us = options->run_for};
    struct pk_err why;
    if (time_parse_iso(pk_str(options->start), true, &config->start_us, &why) != PK_OK || config->start_us < 0)
        return pk_fail(err, PK_REJECT, "--start: '%.100s' is not a date like 2025-01-06", options->start);
    enum pk_status status = configure_shares(options, config, err);
    if (status == PK_OK)
        status = configure_pace(options, &config->pace, err);
    if (status == PK_OK && options->stories) {
        status = stories_open(options->stories, &run->stories, err);
        config->stories = &run->stories;
    }
    return status;
}

/* ---- how far it is ---- */

static void span(int64_t us, char *buf, size_t size)
{
    int64_t s = us / PK_SECOND_US;
    if (s >= 3600)
        snprintf(buf, size, "%" PRId64 " h %02" PRId64 " min", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(buf, size, "%" PRId64 " min %02" PRId64 " s", s / 60, s % 60);
    else
        snprintf(buf, size, "%" PRId64 " s", s);
}

/* -1: goes on until it is stopped */
static int64_t remaining_us(const struct run *run, int64_t elapsed_us)
{
    const struct producer_options *options = run->options;
    int64_t left = -1;
    double share = 0;
    if (options->events)
        share = (double)run->events / (double)options->events;
    else if (!options->live)
        share = (double)(run->told_until_us - run->config.start_us) / (double)(options->days * PK_DAY_US);
    if (share > 0)
        left = (int64_t)((double)elapsed_us * (1 / PK_MIN(share, 1.0) - 1));
    if (options->run_for && (left < 0 || options->run_for - elapsed_us < left))
        left = PK_MAX(options->run_for - elapsed_us, (int64_t)0);
    return left;
}

/* Live: how long ago the last event should have been published. */
static int64_t behind_us(const struct run *run, int64_t now_us)
{
    if (!run->config.live || run->events == 0)
        return 0;
    return PK_MAX(now_us - run->from_us - (run->told_until_us - run->config.live_from_us), (int64_t)0);
}

static void measure(struct run *run, int64_t now_us)
{
    int64_t over_us = now_us - run->rated_us;
    if (over_us < RATE_OVER_US && run->rated_us != run->from_us)
        return;
    run->rate = over_us > 0 ? (double)(run->events - run->rated_events) * 1e6 / (double)over_us : 0;
    if (over_us >= RATE_OVER_US) {
        run->rated_us = now_us;
        run->rated_events = run->events;
    }
}

static void progress_line(void *context, const struct outlet_report *so_far, char *buf, size_t size)
{
    struct run *run = context;
    char elapsed[40], left[40] = "", lost[40] = "";
    int64_t remaining = remaining_us(run, so_far->elapsed_us);
    measure(run, clock_us(CLOCK_MONOTONIC));
    span(so_far->elapsed_us, elapsed, sizeof elapsed);
    if (remaining >= 0)
        span(remaining, left, sizeof left);
    if (so_far->lost)
        snprintf(lost, sizeof lost, "  %" PRIu64 " lost", so_far->lost);
    snprintf(buf, size, "%.0f/s  %" PRIu64 " events, %" PRIu64 " late, %" PRIu64 " twice%s  %s%s%s", run->rate, run->events,
             run->late, run->duplicates, lost, elapsed, remaining >= 0 ? ", still " : ", until stopped", left);
}

/* For whoever sees no progress line. */
static void log_now_and_then(struct run *run)
{
    int64_t now = clock_us(CLOCK_MONOTONIC);
    if (now - run->logged_us < LOG_EVERY_US)
        return;
    run->logged_us = now;
    measure(run, now);
    int64_t elapsed_us = now - run->from_us, remaining = remaining_us(run, elapsed_us);
    char left[40] = "";
    if (remaining >= 0)
        snprintf(left, sizeof left, " remaining_seconds=%" PRId64, remaining / PK_SECOND_US);
    log_write(LOG_INFO, "simulating", "events=%" PRIu64 " late=%" PRIu64 " duplicates=%" PRIu64
              " seconds=%" PRId64 " events_per_second=%.0f behind_seconds=%.1f%s", run->events, run->late, run->duplicates,
              elapsed_us / PK_SECOND_US, run->rate, (double)behind_us(run, now) / 1e6, left);
}

/* ---- the run ---- */

static void write_truth(struct run *run, const struct simulated *s)
{
    pk_buf_reset(&run->line);
    simulate_truth(s, &run->line);
    fwrite(run->line.ptr, 1, run->line.len, run->truth);
}

static void count(struct run *run, const struct simulated *s)
{
    run->events++;
    run->late += s->late && !s->duplicate;
    run->duplicates += s->duplicate;
    run->told_until_us = s->published_at_us;
}

static bool is_over(const struct run *run)
{
    const struct producer_options *options = run->options;
    return producer_stop || (options->events && run->events >= (uint64_t)options->events) ||
           (options->run_for && clock_us(CLOCK_MONOTONIC) - run->from_us >= options->run_for);
}

/* A refused event is a mistake of the options (a start in the future), so it ends the run. */
static enum pk_status pump(struct run *run, struct pk_err *err)
{
    struct simulated s;
    while (!is_over(run) && simulation_next(run->simulation, &s)) {
        enum reject_reason reason;
        if (run->config.live)
            outlet_wait_until(run->outlet, run->from_us + s.published_at_us - run->config.live_from_us);
        if (producer_stop)
            break;
        enum pk_status status = outlet_stage(run->outlet, s.event, &reason, err);
        if (status == PK_OK)
            status = outlet_commit(run->outlet, run->events, err);
        if (status != PK_OK)
            return status;
        count(run, &s);
        if (run->truth)
            write_truth(run, &s);
        outlet_progress(run->outlet, run->events, 0);
        log_now_and_then(run);
    }
    return PK_OK;
}

static enum pk_status close_truth(FILE *truth, const char *path, enum pk_status status, struct pk_err *err)
{
    if (!truth)
        return status;
    bool failed = ferror(truth);
    failed = fclose(truth) != 0 || failed;
    if (failed && status == PK_OK)
        return pk_fail(err, PK_REJECT, "--truth: %s: cannot write: %s", path, strerror(errno));
    return status;
}

static int report(const struct run *run, enum pk_status status, const struct outlet_report *r, const struct pk_err *err)
{
    double seconds = (double)r->elapsed_us / 1e6;
    if (status != PK_OK)
        log_write(LOG_ERROR, "stopped", "error=\"%s\"", err->text);
    log_write(LOG_INFO, "simulated", "events=%" PRIu64 " written=%" PRIu64 " lost=%" PRIu64 " bytes=%" PRIu64
              " seconds=%.3f events_per_second=%.0f late=%" PRIu64 " duplicates=%" PRIu64, r->events, r->written, r->lost,
              r->bytes, seconds, seconds > 0 ? (double)r->written / seconds : 0, run->late, run->duplicates);
    if (r->lost)
        log_write(LOG_ERROR, "events were not delivered", "count=%" PRIu64 " first_error=\"%s\"", r->lost, r->first_loss);
    if (status == PK_REJECT)
        return PRODUCER_USAGE;
    if (status != PK_OK || r->lost)
        return PRODUCER_UNDELIVERED;
    return producer_stop ? PRODUCER_INTERRUPTED : PRODUCER_OK;
}

static enum pk_status open_run(struct run *run, struct pk_err *err)
{
    const struct producer_options *options = run->options;
    enum pk_status status = configure(run, err);
    if (status == PK_OK && options->truth && !(run->truth = fopen(options->truth, "w")))
        status = pk_fail(err, PK_REJECT, "--truth: %s: %s", options->truth, strerror(errno));
    struct outlet_config to = {
        .kind = options->publish ? OUTLET_KAFKA : OUTLET_JSON, .canonical = true, .options = options, .stream = stdout,
        .stop = &producer_stop, .line = progress_line, .context = run,
        .pace = options->live ? &(struct pace){0} : &run->config.pace}; /* live: pump() waits for each event's time */
    return status == PK_OK ? outlet_open(&to, &run->outlet, err) : status;
}

/* The broker has answered by now: live events happen from here on. */
static void begin(struct run *run)
{
    run->config.live_from_us = clock_us(CLOCK_REALTIME);
    run->from_us = run->logged_us = run->rated_us = clock_us(CLOCK_MONOTONIC);
    run->told_until_us = run->config.start_us;
    simulation_open(&run->config, &run->simulation);
    if (run->config.live)
        log_write(LOG_INFO, "live", "days_in_a_day=%.6g", simulation_speed(run->simulation));
}

static void done(struct run *run)
{
    stories_close(&run->stories);
    pk_buf_done(&run->line);
}

int producer_simulate(const struct producer_options *options)
{
    struct pk_err err = {0};
    struct run run = {.options = options};
    enum pk_status status = open_run(&run, &err);
    if (status != PK_OK) {
        close_truth(run.truth, options->truth, PK_OK, NULL);
        log_write(LOG_ERROR, "cannot begin", "error=\"%s\"", err.text);
        done(&run);
        return status == PK_REJECT ? PRODUCER_USAGE : PRODUCER_UNDELIVERED;
    }

    begin(&run);
    status = pump(&run, &err);
    struct outlet_report result;
    enum pk_status closed = outlet_close(run.outlet, status, &result, &err);
    simulation_close(run.simulation);
    status = close_truth(run.truth, options->truth, status == PK_OK ? closed : status, &err);
    int code = report(&run, status, &result, &err);
    done(&run);
    return code;
}
