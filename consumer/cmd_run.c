/* SPDX-License-Identifier: Apache-2.0 */
/* run: the consumer itself. Reads the inputs, wires them to the pipeline. */
#include "consumer_store.h"
#include "health_http.h"
#include "log.h"
#include "pipeline.h"

#include <stdio.h>

static struct pipeline_config pipeline_of(const struct consumer_options *options, struct consumer_inputs *inputs,
                                          struct health_board *board)
{
    return (struct pipeline_config){
        .intake = consumer_intake_config(options),
        .store = consumer_store_config(options, true),
        .rules = &inputs->rules,
        .hasher = &inputs->hasher,
        .symbols = &inputs->symbols,
        .schemas = inputs->schemas,
        .batch_records = options->batch_records,
        .batch_bytes = options->batch_bytes,
        .linger_us = options->linger,
        .cache_bytes = options->memory,
        .max_ahead_us = options->max_ahead,
        .look_every_us = options->look_every,
        .quarantine_rows = options->quarantine_rows,
        .quarantine_bytes = options->quarantine_space,
        .quarantine_keep_us = options->quarantine_keep,
        .retry_min_us = options->retry_min,
        .retry_max_us = options->retry_max,
        .board = board,
        .rate = options->rate,
        .stop_after = options->stop_after,
        .until_end = options->until_end,
    };
}

/* Before anything else is begun: a port that is taken is told at once. */
static enum pk_status open_endpoint(const struct consumer_options *options, const struct consumer_inputs *inputs,
                                    struct health_board **ret_board, struct health_http **ret_http, struct pk_err *err)
{
    if (!options->http || !options->http[0])
        return PK_OK;
    char rules[17];
    for (int i = 0; i < 8; i++)
        snprintf(rules + 2 * i, 3, "%02x", inputs->rules.file_hash.byte[i]);
    struct health_board_config config = {.live_after_us = options->live_after, .version = POLKU_VERSION, .rules = rules,
                                         .schema = STORE_SCHEMA};
    *ret_board = health_board_open(&config);
    enum pk_status status = health_http_open(options->http, *ret_board, ret_http, err);
    if (status == PK_OK)
        log_write(LOG_INFO, "listening", "http=%s port=%u", options->http, health_http_port(*ret_http));
    return status;
}

int consumer_run(const struct consumer_options *options)
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
    struct health_board *board = NULL;
    struct health_http *http = NULL;
    enum pk_status status = open_endpoint(options, &inputs, &board, &http, &err);
    if (status == PK_OK) {
        struct pipeline_config config = pipeline_of(options, &inputs, board);
        config.store.pulse = health_board_pulse(board);
        log_at_most((int)options->log_per_minute);
        consumer_leave_within = 4;
        status = pipeline_run(&config, &consumer_stop, &err);
    }
    if (status != PK_OK)
        consumer_log_failure("stopped", &err);
    health_http_close(http);
    health_board_close(board);
    consumer_inputs_done(&inputs);
    return status == PK_OK ? CONSUMER_OK : status == PK_REJECT ? CONSUMER_USAGE : CONSUMER_STOPPED;
}
