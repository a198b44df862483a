/* SPDX-License-Identifier: Apache-2.0 */
/* run: the consumer itself. Reads the inputs, wires them to the pipeline. */
#include "consumer_store.h"
#include "log.h"
#include "pipeline.h"

static struct pipeline_config pipeline_of(const struct consumer_options *options, struct consumer_inputs *inputs)
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
        .rate = options->rate,
        .stop_after = options->stop_after,
        .until_end = options->until_end,
    };
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
    struct pipeline_config config = pipeline_of(options, &inputs);
    log_at_most((int)options->log_per_minute);
    consumer_leave_within = 4;
    enum pk_status status = pipeline_run(&config, &consumer_stop, &err);
    if (status != PK_OK)
        consumer_log_failure("stopped", &err);
    consumer_inputs_done(&inputs);
    return status == PK_OK ? CONSUMER_OK : status == PK_REJECT ? CONSUMER_USAGE : CONSUMER_STOPPED;
}
