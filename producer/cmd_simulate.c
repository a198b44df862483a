/* SPDX-License-Identifier: Apache-2.0 */
/* polku-producer simulate: invented people, to standard output or to Kafka. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "outlet.h"
#include "producer_commands.h"
#include "simulate.h"
#include "time_text.h"

static enum pk_status configure(const struct producer_options *options, struct simulation_config *config,
                                struct pk_err *err)
{
    char *end;
    double needs = strtod(options->needs, &end);
    if (end == options->needs || *end || !(needs > 0 && needs <= 1000))
        return pk_fail(err, PK_REJECT, "--needs: '%.100s' is not a number above 0, at most 1000", options->needs);
    *config = (struct simulation_config){
        .seed = (uint64_t)options->seed, .people = (uint64_t)options->people, .needs = needs,
        .days = options->events ? 0 : options->days, .lateness_us = options->lateness};
    struct pk_err why;
    if (time_parse_iso(pk_str(options->start), true, &config->start_us, &why) != PK_OK || config->start_us < 0)
        return pk_fail(err, PK_REJECT, "--start: '%.100s' is not a date like 2025-01-06", options->start);
    enum pk_status status = producer_share("anonymous", options->anonymous, &config->anonymous, err);
    if (status == PK_OK)
        status = producer_share("duplicate-rate", options->duplicate_rate, &config->duplicate_rate, err);
    if (status == PK_OK)
        status = producer_share("late-rate", options->late_rate, &config->late_rate, err);
    return status;
}

static void write_truth(FILE *out, const struct simulated *s)
{
    char at[28];
    time_format_iso(s->published_at_us, at);
    fprintf(out, "{\"event\": \"%.*s/%.*s\", \"published_at\": \"%s\", \"person\": \"C%" PRIu64 "\", \"need\": %" PRIu64
            ", \"script\": \"%s\"", PK_STR_ARG(s->event->source), PK_STR_ARG(s->event->event_id), at, s->person, s->need,
            s->script);
    if (s->duplicate)
        fputs(", \"copied\": true", out);
    if (s->promise && s->kept_at_us == PK_NO_TIME)
        fprintf(out, ", \"promise\": \"%s\", \"kept_at\": null", s->promise);
    if (s->promise && s->kept_at_us != PK_NO_TIME) {
        time_format_iso(s->kept_at_us, at);
        fprintf(out, ", \"promise\": \"%s\", \"kept_at\": \"%s\"", s->promise, at);
    }
    fputs("}\n", out);
}

/* A refused event is a mistake of the options (a start in the future), so it ends the run. */
static enum pk_status pump(struct simulation *simulation, struct outlet *outlet, FILE *truth, uint64_t limit,
                           struct pk_err *err)
{
    struct simulated s;
    for (uint64_t count = 0; count < limit && !producer_stop && simulation_next(simulation, &s); count++) {
        enum reject_reason reason;
        enum pk_status status = outlet_stage(outlet, s.event, &reason, err);
        if (status == PK_OK)
            status = outlet_commit(outlet, count, err);
        if (status != PK_OK)
            return status;
        if (truth)
            write_truth(truth, &s);
        outlet_progress(outlet, count + 1, 0);
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

static int report(enum pk_status status, const struct outlet_report *r, const struct pk_err *err)
{
    double seconds = (double)r->elapsed_us / 1e6;
    if (status != PK_OK)
        log_write(LOG_ERROR, "stopped", "error=\"%s\"", err->text);
    log_write(LOG_INFO, "simulated", "events=%" PRIu64 " written=%" PRIu64 " lost=%" PRIu64 " bytes=%" PRIu64
              " seconds=%.3f events_per_second=%.0f", r->events, r->written, r->lost, r->bytes, seconds,
              seconds > 0 ? (double)r->written / seconds : 0);
    if (r->lost)
        log_write(LOG_ERROR, "events were not delivered", "count=%" PRIu64 " first_error=\"%s\"", r->lost, r->first_loss);
    if (status == PK_REJECT)
        return PRODUCER_USAGE;
    if (status != PK_OK || r->lost)
        return PRODUCER_UNDELIVERED;
    return producer_stop ? PRODUCER_INTERRUPTED : PRODUCER_OK;
}

int producer_simulate(const struct producer_options *options)
{
    struct pk_err err = {0};
    struct simulation_config config;
    struct outlet *outlet;
    FILE *truth = NULL;
    struct outlet_config to = {.kind = options->publish ? OUTLET_KAFKA : OUTLET_JSON, .canonical = true,
                               .options = options, .stream = stdout, .stop = &producer_stop};
    enum pk_status status = configure(options, &config, &err);
    if (status == PK_OK && options->truth && !(truth = fopen(options->truth, "w")))
        status = pk_fail(&err, PK_REJECT, "--truth: %s: %s", options->truth, strerror(errno));
    if (status == PK_OK)
        status = outlet_open(&to, &outlet, &err);
    if (status != PK_OK) {
        close_truth(truth, options->truth, PK_OK, NULL);
        log_write(LOG_ERROR, "cannot begin", "error=\"%s\"", err.text);
        return status == PK_REJECT ? PRODUCER_USAGE : PRODUCER_UNDELIVERED;
    }

    struct simulation *simulation;
    simulation_open(&config, &simulation);
    status = pump(simulation, outlet, truth, options->events ? (uint64_t)options->events : UINT64_MAX, &err);
    simulation_close(simulation);
    struct outlet_report result;
    enum pk_status closed = outlet_close(outlet, status, &result, &err);
    status = close_truth(truth, options->truth, status == PK_OK ? closed : status, &err);
    return report(status, &result, &err);
}
