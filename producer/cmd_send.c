/* SPDX-License-Identifier: Apache-2.0 */
/* polku-producer send and check: the same way, with and without a broker. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "feed.h"
#include "log.h"
#include "outlet.h"
#include "producer_commands.h"
#include "rejects.h"
#include "subject.h"

enum { LOGGED_A_MINUTE = 5, TOKEN_LINE_BITS = 44 };

struct send {
    const struct producer_options *options;
    struct feed *feed;
    struct outlet *outlet;
    struct rejects rejects;
    uint64_t lines, undelivered;
    time_t logged_from;
    int logged; /* bad lines that the log tells since then */
};

static uint64_t token_of(const struct feed_record *record)
{
    return (uint64_t)record->file << TOKEN_LINE_BITS | record->line;
}

/* The first few of each minute: a flood of bad lines is no flood of the log, and one that comes days later is told. */
static bool may_log(struct send *send)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (send->logged == 0 || now.tv_sec - send->logged_from >= 60) {
        send->logged_from = now.tv_sec;
        send->logged = 0;
    }
    return send->logged++ < LOGGED_A_MINUTE;
}

static void reject(struct send *send, const struct feed_record *record, const char *reason, const char *error)
{
    const char *file = feed_file_name(send->feed, record->file);
    if (may_log(send))
        log_write(LOG_WARN, "line rejected", "file=\"%s\" line=%" PRIu64 " reason=%s error=\"%s\"", file, record->line,
                  reason, error);
    rejects_add(&send->rejects, file, record->line, reason, error, record->raw);
}

static void on_lost(void *context, uint64_t token, const char *error)
{
    struct send *send = context;
    uint64_t line = token & ((UINT64_C(1) << TOKEN_LINE_BITS) - 1);
    const char *file = feed_file_name(send->feed, token >> TOKEN_LINE_BITS);
    uint64_t rejected = send->rejects.count;
    send->undelivered++;
    if (may_log(send))
        log_write(LOG_WARN, "event not delivered", "file=\"%s\" line=%" PRIu64 " error=\"%s\"", file, line, error);
    rejects_add(&send->rejects, file, line, "undelivered", error, (struct pk_str){NULL, 0});
    send->rejects.count = rejected; /* counted apart */
}

/* While nothing comes. */
static bool wait_on(void *context)
{
    struct send *send = context;
    outlet_idle(send->outlet);
    return !producer_stop;
}

/* All events of a record or none. */
static enum pk_status take(struct send *send, const struct feed_record *record, struct pk_err *err)
{
    for (size_t i = 0; i < record->count; i++) {
        struct pk_err why;
        enum reject_reason reason = REJECT_INVALID;
        enum pk_status status = outlet_stage(send->outlet, &record->event[i], &reason, &why);
        if (status != PK_OK) {
            outlet_discard(send->outlet);
            reject(send, record, reject_name(reason), why.text);
            return PK_OK;
        }
    }
    return outlet_commit(send->outlet, token_of(record), err);
}

static enum pk_status pump(struct send *send, struct pk_err *err)
{
    uint64_t limit = send->options->limit ? (uint64_t)send->options->limit : UINT64_MAX;
    while (!producer_stop && outlet_events(send->outlet) < limit) {
        struct feed_record record;
        struct pk_err why;
        enum pk_status status = PK_OK;
        switch (feed_next(send->feed, &record, &why)) {
        case INPUT_END:
            return PK_OK;
        case INPUT_FAILED:
            return producer_stop ? PK_OK : pk_fail(err, PK_REJECT, "%s", why.text);
        case INPUT_BROKEN:
            send->lines++;
            reject(send, &record, record.reason, why.text);
            break;
        case INPUT_RECORD:
            send->lines++;
            status = take(send, &record, err);
            break;
        }
        if (status != PK_OK)
            return status;
        outlet_progress(send->outlet, send->lines, send->rejects.count);
    }
    return PK_OK;
}

static int exit_code(enum pk_status status, const struct send *send, const struct outlet_report *report)
{
    if (status == PK_REJECT)
        return PRODUCER_USAGE;
    if (status != PK_OK || report->lost)
        return PRODUCER_UNDELIVERED;
    return producer_stop ? PRODUCER_INTERRUPTED : send->rejects.count ? PRODUCER_REJECTED : PRODUCER_OK;
}

static void log_report(const struct send *send, enum outlet_kind kind, const struct outlet_report *report)
{
    double seconds = (double)report->elapsed_us / 1e6;
    log_write(LOG_INFO, kind == OUTLET_KAFKA ? "sent" : "checked",
              "lines=%" PRIu64 " events=%" PRIu64 " %s=%" PRIu64 " rejected_lines=%" PRIu64 " lost=%" PRIu64
              " bytes=%" PRIu64 " seconds=%.3f events_per_second=%.0f",
              send->lines, report->events, kind == OUTLET_KAFKA ? "delivered" : "written", report->written,
              send->rejects.count, report->lost, report->bytes, seconds,
              seconds > 0 ? (double)report->written / seconds : 0);
    if (report->lost)
        log_write(LOG_ERROR, "events were not delivered", "count=%" PRIu64 " first_error=\"%s\"", report->lost,
                  report->first_loss);
}

static int fail(enum pk_status status, const struct pk_err *err)
{
    log_write(LOG_ERROR, status == PK_REJECT ? "cannot begin" : "out of reach", "error=\"%s\"", err->text);
    return status == PK_REJECT ? PRODUCER_USAGE : PRODUCER_UNDELIVERED;
}

static int run(const struct producer_options *options, enum outlet_kind kind)
{
    struct send send = {.options = options};
    struct pk_err err = {0};
    enum pk_status status = feed_open(options->rest.rest.ptr, options->rest.rest.len, options->mapping, &send.feed, &err);
    if (status != PK_OK)
        return fail(PK_REJECT, &err);
    status = rejects_open(&send.rejects, options->rejects, &err);
    struct outlet_config config = {.kind = kind, .options = options, .stream = stdout, .lost = on_lost,
                                   .context = &send, .stop = &producer_stop};
    if (status == PK_OK)
        status = outlet_open(&config, &send.outlet, &err);
    if (status != PK_OK) {
        rejects_close(&send.rejects, NULL);
        feed_close(send.feed);
        return fail(status, &err);
    }

    struct outlet_report report;
    input_when_idle(wait_on, &send);
    status = pump(&send, &err);
    input_when_idle(NULL, NULL);
    enum pk_status closed = outlet_close(send.outlet, status, &report, &err);
    status = status == PK_OK ? closed : status;
    if (status != PK_OK)
        log_write(LOG_ERROR, "stopped", "error=\"%s\"", err.text);
    log_report(&send, kind, &report);
    if (rejects_close(&send.rejects, &err) != PK_OK) {
        log_write(LOG_ERROR, "the file of rejects is not complete", "error=\"%s\"", err.text);
        status = status == PK_OK ? PK_REJECT : status;
    }
    feed_close(send.feed);
    return exit_code(status, &send, &report);
}

int producer_send(const struct producer_options *options)
{
    return run(options, OUTLET_KAFKA);
}

int producer_check(const struct producer_options *options)
{
    struct pk_err err = {0};
    enum pk_status status = options->registry_url && options->registry_url[0] ? subject_check(options, &err) : PK_OK;
    if (status != PK_OK)
        return fail(status, &err);
    return run(options, options->print ? OUTLET_JSON : OUTLET_NOWHERE);
}
