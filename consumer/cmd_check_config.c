/* SPDX-License-Identifier: Apache-2.0 */
/* check-config: reads all that `run` would read, connects to nobody. */
#include <stdio.h>

#include "consumer_commands.h"

static void print_rules(const struct consumer_options *options, const struct consumer_inputs *inputs)
{
    const struct rules *rules = &inputs->rules;
    for (size_t i = 0; i < inputs->warnings.list.len; i++) {
        const struct rules_warning *warning = &inputs->warnings.list.ptr[i];
        printf("%s:%d: warning: %.*s\n", options->rules, warning->line, PK_STR_ARG(warning->text));
    }
    size_t of_class[3] = {0}, blocked = rules->blocked_count;
    for (size_t i = 0; i < rules->namespace_count; i++) {
        of_class[rules->name_space[i].class_]++;
        blocked += rules->name_space[i].blocked_count;
    }
    printf("%s: %zu namespaces (%zu person, %zu device, %zu kiosk), %zu blocked values, %zu kinds of obligation\n",
           options->rules, rules->namespace_count, of_class[RULES_PERSON], of_class[RULES_DEVICE],
           of_class[RULES_KIOSK], blocked, rules->kind_count);
    for (size_t i = 0; i < rules->namespace_count; i++)
        if (rules->name_space[i].store_clear)
            printf("%s: values of %s%.*s are stored in the clear\n", options->rules,
                   rules->name_space[i].any_issuer ? "*/" : "", PK_STR_ARG(rules->name_space[i].name));
}

int consumer_check_config(const struct consumer_options *options)
{
    struct consumer_inputs inputs;
    struct pk_err err = {0};
    struct intake_config intake = consumer_intake_config(options);
    enum pk_status status = intake_check(&intake, &err);
    if (status == PK_OK)
        status = consumer_inputs_load(options, true, &inputs, &err);
    if (status != PK_OK) {
        fprintf(stderr, "polku-consumer: %s\n", err.text);
        return CONSUMER_USAGE;
    }
    print_rules(options, &inputs);
    printf("%s: can be read\n", options->schemas ? options->schemas : "built-in schema");
    if (!inputs.hasher.key_len)
        printf("no --hash-key-file: run needs one\n");
    consumer_inputs_done(&inputs);
    return CONSUMER_OK;
}
