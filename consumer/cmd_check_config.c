/* SPDX-License-Identifier: Apache-2.0 */
/* check-config: reads all that `run` would read, connects to nobody. */
#include <stdio.h>
#include <time.h>

#include "consumer_commands.h"
#include "time_text.h"

/* ---- what the rules say ---- */

/* ", brand a or b"; nothing if there are none. */
static void print_owners(const struct symbols *symbols, const char *what, const sym_t *owner, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("%s%s%.*s", i ? " or " : ", ", i ? "" : what, PK_STR_ARG(symbol_text(symbols, owner[i])));
}

static double hours_of(int64_t us)
{
    return (double)us / (double)PK_HOUR_US;
}

/* The next open time as of now: what was mistyped shows first in there. */
static void print_calendar(const char *rules, const struct symbols *symbols, const struct calendar *calendar, int64_t now_us)
{
    printf("%s: calendar %.*s: zone %.*s", rules, PK_STR_ARG(calendar->name), PK_STR_ARG(calendar->zone));
    print_owners(symbols, "brand ", calendar->brand, calendar->brands);
    print_owners(symbols, "unit ", calendar->unit, calendar->units);
    printf("; open %.1f h in the next 7 days, %.1f h in the next 365",
           hours_of(calendar_between(calendar, now_us, now_us + 7 * PK_DAY_US)),
           hours_of(calendar_between(calendar, now_us, now_us + 365 * PK_DAY_US)));
    size_t next = 0;
    while (next < calendar->opens && calendar->open[next].to_us <= now_us)
        next++;
    if (next < calendar->opens) {
        char from[28], to[28];
        time_format_iso(calendar->open[next].from_us, from);
        time_format_iso(calendar->open[next].to_us, to);
        printf("; next from %.16sZ to %.16sZ\n", from, to);
    } else {
        printf("; never again\n");
    }
}

/* "30d", "1h", "90s": in the largest unit that it fills. */
static void print_duration(int64_t us)
{
    static const struct {
        int64_t us;
        const char *name;
    } unit[] = {{PK_DAY_US, "d"}, {PK_HOUR_US, "h"}, {60 * PK_SECOND_US, "m"}, {PK_SECOND_US, "s"}, {1000, "ms"}};
    size_t i = 0;
    while (i + 1 < PK_COUNT(unit) && (us % unit[i].us || us < unit[i].us))
        i++;
    printf("%lld%s", (long long)(us / unit[i].us), unit[i].name);
}

static void print_definition(const char *rules, const struct symbols *symbols, const struct rules_definition *definition)
{
    printf("%s: definition %.*s: ", rules, PK_STR_ARG(symbol_text(symbols, definition->id)));
    for (size_t i = 0; i < definition->milestone_count; i++) {
        const struct rules_milestone *milestone = &definition->milestone[i];
        printf("%s%.*s%s%s", i ? " > " : "", PK_STR_ARG(milestone->name), milestone->optional ? " (optional)" : "",
               milestone->critical ? " (critical)" : "");
    }
    printf("; goal %.*s within ", PK_STR_ARG(definition->milestone[definition->goal].name));
    print_duration(definition->window_us);
    printf("\n");
}

static void print_effort(const char *rules, const struct symbols *symbols, const struct rules_effort *effort)
{
    bool any = false;
    printf("%s: effort %.*s:", rules, PK_STR_ARG(symbol_text(symbols, effort->id)));
#define X(member)                                                                                                    \
    if (effort->member) {                                                                                            \
        printf("%s %s x %d", any ? "," : "", #member, (int)effort->member);                                          \
        any = true;                                                                                                  \
    }
    RULES_EFFORTS(X)
#undef X
    printf("%s\n", any ? "" : " nothing has a weight");
}

/* Without a calendar every hour is open: legal, but hardly meant where a kind asks for business time. */
static void print_business(const char *file, const struct symbols *symbols, const struct rules *rules)
{
    for (size_t i = 0; i < rules->kind_count; i++)
        if (rules->kind[i].business && rules->calendar_count == 0)
            printf("%s: warning: kind %.*s runs in business time, but there are no calendars; it is wall time\n", file,
                   PK_STR_ARG(symbol_text(symbols, rules->kind[i].kind)));
}

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
    print_business(options->rules, &inputs->symbols, rules);
    for (size_t i = 0; i < rules->calendar_count; i++)
        print_calendar(options->rules, &inputs->symbols, &rules->calendar[i], (int64_t)time(NULL) * PK_SECOND_US);
    for (size_t i = 0; i < rules->definition_count; i++)
        print_definition(options->rules, &inputs->symbols, &rules->definition[i]);
    print_effort(options->rules, &inputs->symbols, &rules->effort);
}

/* ---- the command ---- */

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
