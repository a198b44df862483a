/* SPDX-License-Identifier: Apache-2.0 */
/* rebuild: derives everything again from the stored events or from Kafka, for other rules, a newer derivation, another key. */
#include "consumer_commands.h"
#include "log.h"
#include "rebuild.h"
#include "teller.h"

#include <stdlib.h>
#include <string.h>

/* What the tables were hashed with, where it is not what they will be hashed with. */
struct former {
    struct rules rules;
    struct rules_warnings warnings;
    struct fact_hasher hasher;
};

static enum pk_status load_former(const struct consumer_options *options, struct consumer_inputs *inputs, struct former *ret,
                                  struct pk_err *err)
{
    *ret = (struct former){0};
    enum pk_status status = PK_OK;
    if (options->former_rules)
        status = rules_load(options->former_rules, NULL, &inputs->symbols, &inputs->arena, &ret->rules, &ret->warnings, err);
    if (status == PK_OK && options->former_hash_key)
        status = consumer_read_key(options->former_hash_key, &ret->hasher, err);
    pk_vec_done(&ret->warnings.list);
    return status;
}

static enum pk_status rebuild(const struct consumer_options *options, struct consumer_inputs *inputs, struct former *former,
                              struct pk_err *err)
{
    struct teller teller = teller_begin();
    const struct rebuild_kafka_config kafka = {
        .intake = consumer_intake_config(options),
        .schemas = inputs->schemas,
        .batch_bytes = options->batch_bytes,
        .max_ahead_us = options->max_ahead,
        .accept_unknown_cleanup = options->accept_unknown_cleanup,
        .keep_older = options->keep_older,
        .drop_decisions = options->drop_decisions,
        .former_rules = options->former_rules ? &former->rules : NULL,
        .former_hasher = options->former_hash_key ? &former->hasher : NULL,
    };
    struct rebuild_config config = {
        .store =
            {
                .conninfo = options->database,
                .lock_timeout_us = options->lock_timeout,
                .idle_timeout_us = 0, /* nobody but us ends this: consumers wait for it */
                .application_name = "polku-consumer rebuild",
                .read_write = true,
            },
        .rules = &inputs->rules,
        .hasher = &inputs->hasher,
        .symbols = &inputs->symbols,
        .kafka = options->from_kafka ? &kafka : NULL,
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
    struct former former;
    struct pk_err err = {0};
    if (consumer_inputs_load(options, false, &inputs, &err) != PK_OK) {
        consumer_log_failure("cannot start", &err);
        return CONSUMER_USAGE;
    }
    for (size_t i = 0; i < inputs.warnings.list.len; i++)
        log_write(LOG_WARN, "rules", "line=%d warning=\"%.*s\"", inputs.warnings.list.ptr[i].line,
                  PK_STR_ARG(inputs.warnings.list.ptr[i].text));
    enum pk_status status = load_former(options, &inputs, &former, &err);
    if (status != PK_OK) {
        consumer_log_failure("cannot start", &err);
        consumer_inputs_done(&inputs);
        return CONSUMER_USAGE;
    }
    status = rebuild(options, &inputs, &former, &err);
    if (status != PK_OK)
        consumer_log_failure("rebuild failed", &err);
    explicit_bzero(&former.hasher, sizeof former.hasher);
    consumer_inputs_done(&inputs);
    return status == PK_OK ? CONSUMER_OK : CONSUMER_STOPPED;
}
