/* SPDX-License-Identifier: Apache-2.0 */
/* rebuild: derives everything again from the stored events, for other rules or a newer derivation. */
#include "consumer_commands.h"
#include "log.h"
#include "rebuild.h"
#include "teller.h"

static enum pk_status rebuild(const struct consumer_options *options, struct consumer_inputs *inputs, struct pk_err *err)
{
    struct teller teller = teller_begin();
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
        .handler = {&teller, teller_say, teller_warn, teller_progress},
    };
    int64_t begun_us = teller_clock_us();
    enum pk_status status = rebuild_run(&config, &consumer_stop, err);
    teller_end_line(&teller);
    if (status == PK_OK)
        log_write(LOG_INFO, "rebuild is done", "seconds=%.1f", (double)(teller_clock_us() - begun_us) / 1e6);
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
