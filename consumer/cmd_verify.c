/* SPDX-License-Identifier: Apache-2.0 */
/* verify: are the tables what they must be? Reads, compares, tells the first differences; changes nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumer_commands.h"
#include "log.h"
#include "teller.h"
#include "verify.h"

struct line { /* of the table at the end */
    char check[80];
    int64_t rows, differences, took_us;
};

struct audit_view {
    struct teller teller; /* first: handlers that know a teller only are given the same pointer */
    PK_VEC(struct line) line;
};

static void check_begins(void *context, const char *kind, const char *name)
{
    struct audit_view *view = context;
    if (!view->teller.terminal)
        return;
    fprintf(stderr, "\r%s %s ..\033[K", kind, name);
    view->teller.line_begun = true;
}

static void end_line(struct teller *teller)
{
    if (teller->terminal && teller->line_begun)
        fputs("\r\033[K", stderr);
    else
        teller_end_line(teller);
    teller->line_begun = false;
}

static void check_done(void *context, const struct verify_check *check)
{
    struct audit_view *view = context;
    struct line *line = pk_vec_push(&view->line);
    *line = (struct line){.rows = check->rows, .differences = check->differences, .took_us = check->took_us};
    snprintf(line->check, sizeof line->check, "%s %s", check->kind, check->name);
    end_line(&view->teller);
    bool equal = check->differences == 0;
    log_write(equal ? LOG_INFO : LOG_ERROR, equal ? "equal" : "not as it must be",
              "check=\"%s\" rows=%" PRId64 " differences=%" PRId64 " seconds=%.2f", line->check, check->rows,
              check->differences, (double)check->took_us / 1e6);
}

static void difference(void *context, const char *kind, const char *name, const char *row, const char *what)
{
    struct audit_view *view = context;
    end_line(&view->teller);
    printf("%s %s: %s: %s\n", kind, name, row, what);
    fflush(stdout);
}

static void print_table(const struct audit_view *view)
{
    int64_t rows = 0, differences = 0, took_us = 0;
    printf("%-36s %14s %14s %10s\n", "check", "rows", "differences", "seconds");
    for (size_t i = 0; i < view->line.len; i++) {
        const struct line *line = &view->line.ptr[i];
        printf("%-36s %14" PRId64 " %14" PRId64 " %10.2f\n", line->check, line->rows, line->differences,
               (double)line->took_us / 1e6);
        rows += line->rows;
        differences += line->differences;
        took_us += line->took_us;
    }
    printf("%-36s %14" PRId64 " %14" PRId64 " %10.2f\n", "total", rows, differences, (double)took_us / 1e6);
}

static enum pk_status verify(const struct consumer_options *options, struct consumer_inputs *inputs, int64_t *ret_differences,
                             struct pk_err *err)
{
    struct audit_view view = {.teller = teller_begin()};
    const struct verify_config config = {
        .store =
            {
                .conninfo = options->database,
                .lock_timeout_us = options->lock_timeout,
                .application_name = "polku-consumer verify",
                .read_write = !options->quick, /* the fresh derivation is tables */
            },
        .rules = &inputs->rules,
        .hasher = &inputs->hasher,
        .symbols = &inputs->symbols,
        .batch_records = options->batch_records,
        .cache_bytes = options->memory,
        .limit = options->limit,
        .quick = options->quick,
        .handler = {&view, teller_say, teller_warn, teller_progress, check_begins, check_done, difference},
    };
    enum pk_status status = verify_run(&config, &consumer_stop, ret_differences, err);
    end_line(&view.teller);
    if (view.line.len)
        print_table(&view);
    pk_vec_done(&view.line);
    return status;
}

int consumer_verify(const struct consumer_options *options)
{
    struct consumer_inputs inputs;
    struct pk_err err = {0};
    int64_t differences = 0;
    if (consumer_inputs_load(options, false, &inputs, &err) != PK_OK) {
        consumer_log_failure("cannot start", &err);
        return CONSUMER_USAGE;
    }
    enum pk_status status = verify(options, &inputs, &differences, &err);
    consumer_inputs_done(&inputs);
    if (status != PK_OK) {
        consumer_log_failure("verify did not come to its end", &err);
        return CONSUMER_STOPPED;
    }
    log_write(differences ? LOG_ERROR : LOG_INFO, differences ? "the tables are not right" : "the tables are right",
              "differences=%" PRId64, differences);
    return differences ? CONSUMER_STOPPED : CONSUMER_OK;
}
