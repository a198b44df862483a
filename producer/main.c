/* SPDX-License-Identifier: Apache-2.0 */
/* polku-producer: arguments, signals, wiring. */
#include <stdio.h>
#include <stdlib.h>

#include "libraries.h"
#include "log.h"
#include "manual.h"
#include "nearest.h"
#include "process.h"
#include "producer_commands.h"
#include "publish.h"

volatile sig_atomic_t producer_stop;

static const struct command {
    const char *name, *arguments, *help;
    int (*run)(const struct producer_options *options);
} commands[] = {
    {"send", "[FILE ...]", "read events (JSON Lines, or CSV with --mapping), check, encode and publish them", producer_send},
    {"check", "[FILE ...]", "the same without a broker; --print shows the events", producer_check},
    {"simulate", "", "channel systems with invented people: JSON Lines, or --publish", producer_simulate},
};

static const char exit_codes[] =
    "Exit codes: 0 everything delivered, 1 wrong usage or unreadable input, 2 some lines were rejected,\n"
    "3 some events were not delivered or no broker or registry answered, 4 interrupted.\n";

static int usage(FILE *out)
{
    fputs("polku-producer COMMAND [OPTIONS] publishes customer-interaction events to Kafka.\n\n", out);
    for (size_t i = 0; i < PK_COUNT(commands); i++)
        fprintf(out, "  %-9s %-11s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
    fprintf(out, "\npolku-producer COMMAND --help shows its options; `options` prints a file with all of them.\n%s",
            exit_codes);
    return out == stdout ? PRODUCER_OK : PRODUCER_USAGE;
}

static int command_help(const struct command *command)
{
    struct pk_buf text = {0};
    pk_buf_printf(&text, "polku-producer %s [OPTIONS] %s\n%s.\n\n", command->name, command->arguments, command->help);
    options_help(&producer_option_set, command->name, &text);
    printf("%s%s", text.ptr, exit_codes);
    pk_buf_done(&text);
    return PRODUCER_OK;
}

static const char about[] =
    "polku-producer publishes customer-interaction events to Kafka: from files (JSON Lines, or CSV by a mapping file), from standard\n"
    "input, or invented ones. Events are checked against the limits of the contract, encoded as Avro and published idempotently with\n"
    "acks=all; sending the same file again is harmless. Programs that publish as things happen use libpolku-producer.\n";

static void print_manual(void (*print)(const struct manual *, struct pk_buf *), struct pk_buf *out)
{
    struct manual_command all[PK_COUNT(commands)];
    for (size_t i = 0; i < PK_COUNT(commands); i++)
        all[i] = (struct manual_command){commands[i].name, commands[i].help, commands[i].arguments, NULL};
    print(&(struct manual){.options = &producer_option_set, .command = all, .count = PK_COUNT(all), .version = polku_version(),
                           .title = "publish customer-interaction events to Kafka", .about = about,
                           .exit_codes = exit_codes, .see = "libpolku-producer(3), polku-consumer(1)"}, out);
}

static int print_version(void)
{
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    libraries_text(&text);
    printf("polku-producer %s\nlibrdkafka %s, %s\n", polku_version(), publish_kafka_version(), text.ptr);
    return PRODUCER_OK;
}

static int print_options(const char *form)
{
    struct pk_buf text = {0};
    if (form && strcmp(form, "--markdown") == 0)
        options_markdown(&producer_option_set, &text);
    else if (form && strcmp(form, "--man") == 0)
        print_manual(manual_page, &text);
    else if (form && strcmp(form, "--bash") == 0)
        print_manual(manual_completion, &text);
    else
        options_example(&producer_option_set, &text);
    fputs(text.ptr, stdout);
    pk_buf_done(&text);
    return PRODUCER_OK;
}

static int unknown_command(const char *name)
{
    const char *known[PK_COUNT(commands)];
    for (size_t i = 0; i < PK_COUNT(commands); i++)
        known[i] = commands[i].name;
    const char *near = nearest_name(pk_str(name), known, PK_COUNT(known));
    fprintf(stderr, "polku-producer: no command '%s'%s%s%s\n\n", name, near ? ", did you mean '" : "", near ? near : "",
            near ? "'?" : "");
    return usage(stderr);
}

static void on_signal(int number)
{
    (void)number;
    producer_stop = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND}; /* the second one kills */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static enum pk_status set_up_log(const struct producer_options *options, struct pk_err *err)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"}, *const formats[] = {"auto", "text", "json"};
    size_t level = 0, format = 0;
    enum pk_status status = producer_word("log-level", options->log_level, levels, PK_COUNT(levels), &level, err);
    if (status == PK_OK)
        status = producer_word("log-format", options->log_format, formats, PK_COUNT(formats), &format, err);
    if (status == PK_OK)
        log_setup((enum log_level)level, (enum log_format)format, "polku-producer");
    return status;
}

static int run(const struct command *command, int argc, char *argv[])
{
    struct pk_arena arena = {0};
    struct pk_err err = {0};
    struct producer_options options = {0};
    struct options_result rest = {0};
    int code = PRODUCER_USAGE;
    enum pk_status status = options_parse(&producer_option_set, command->name, argc, argv, &arena, &options, &rest, &err);
    options.rest = rest;
    if (status == PK_OK && rest.help) {
        code = command_help(command);
    } else {
        if (status == PK_OK)
            status = set_up_log(&options, &err);
        if (status == PK_OK) {
            if (options.core_files)
                process_allow_core_files();
            if (rest.exposed)
                log_write(LOG_WARN, "every user of this machine may read a secret", "file=\"%s\" do=\"chmod o= FILE\"", rest.exposed);
            catch_signals();
            code = command->run(&options);
        } else {
            fprintf(stderr, "polku-producer: %s\n", err.text);
        }
    }
    pk_vec_done(&rest.kafka);
    pk_vec_done(&rest.rest);
    pk_arena_done(&arena);
    return code;
}

int main(int argc, char *argv[])
{
    process_close();
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return usage(stdout);
    if (strcmp(argv[1], "--version") == 0)
        return print_version();
    if (strcmp(argv[1], "options") == 0)
        return print_options(argc > 2 ? argv[2] : NULL);
    for (size_t i = 0; i < PK_COUNT(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return run(&commands[i], argc - 2, argv + 2);
    return unknown_command(argv[1]);
}
