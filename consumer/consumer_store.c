/* SPDX-License-Identifier: Apache-2.0 */
#include "consumer_store.h"

#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct store_config consumer_store_config(const struct consumer_options *options, bool writes)
{
    return (struct store_config){
        .conninfo = options->database,
        .statement_timeout_us = options->statement_timeout,
        .lock_timeout_us = options->lock_timeout,
        .idle_timeout_us = options->idle_timeout,
        .application_name = options->client_id,
        .stop = &consumer_stop,
        .read_write = writes,
    };
}

enum pk_status consumer_store_open(const struct consumer_options *options, bool writes, struct symbols *symbols,
                                   struct store **ret_store, struct pk_err *err)
{
    const struct store_config config = consumer_store_config(options, writes);
    return store_open(&config, symbols, ret_store, err);
}

static void take_count(void *context, int columns, const char *const value[])
{
    (void)columns;
    *(int64_t *)context = atoll(value[0]);
}

static enum pk_status check_rules(struct consumer_desk *desk, bool writes, struct pk_err *err)
{
    const struct pk_str check = PK_STR("polku hash key check");
    int64_t begun = writes;
    enum pk_status status =
        writes ? PK_OK : store_query(desk->store, "SELECT count(*) FROM polku.rules_state", take_count, &begun, err);
    if (status != PK_OK || !begun)
        return status;
    return store_check_rules(desk->store, &desk->inputs.rules, fact_hash(&desk->inputs.hasher, &check, 1), err);
}

enum pk_status consumer_desk_open(const struct consumer_options *options, bool writes, struct consumer_desk *desk,
                                  struct pk_err *err)
{
    *desk = (struct consumer_desk){0};
    struct consumer_inputs *inputs = &desk->inputs;
    enum pk_status status = consumer_inputs_load(options, false, inputs, err);
    if (status != PK_OK)
        return status;
    matcher_init(&desk->matcher, &inputs->rules, &inputs->symbols);
    fact_maker_init(&desk->maker, &inputs->rules, &inputs->hasher, &inputs->symbols, &desk->matcher);
    desk->meaning = (struct meaning){&inputs->rules, &desk->matcher, &inputs->symbols, &inputs->hasher, &desk->maker};
    status = consumer_store_open(options, writes, &inputs->symbols, &desk->store, err);
    if (status == PK_OK)
        status = check_rules(desk, writes, err);
    desk->source = (struct explain_source){&inputs->rules, &inputs->hasher, &inputs->symbols, desk->store, &desk->arena};
    if (status != PK_OK)
        consumer_desk_close(desk);
    return status;
}

void consumer_desk_close(struct consumer_desk *desk)
{
    store_close(desk->store);
    fact_maker_done(&desk->maker);
    matcher_done(&desk->matcher);
    pk_arena_done(&desk->arena);
    consumer_inputs_done(&desk->inputs);
}

struct pk_str consumer_by(const struct consumer_options *options)
{
    static char text[256];
    if (options->by[0])
        return pk_str(options->by);
    const struct passwd *user = getpwuid(getuid());
    if (user)
        snprintf(text, sizeof text, "%s", user->pw_name);
    else
        snprintf(text, sizeof text, "uid %ju", (uintmax_t)getuid());
    return pk_str(text);
}

int consumer_end(const char *sentence, enum pk_status status, const struct pk_err *err)
{
    if (status == PK_REJECT)
        fprintf(stderr, "polku-consumer: %s\n", err->text);
    else if (status != PK_OK)
        consumer_log_failure(sentence, err);
    return status == PK_OK ? CONSUMER_OK : status == PK_REJECT ? CONSUMER_USAGE : CONSUMER_STOPPED;
}
