/* SPDX-License-Identifier: Apache-2.0 */
/* polku-consumer: arguments, signals, wiring. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd_migrate.h"
#include "consumer_commands.h"
#include "log.h"
#include "manual.h"
#include "nearest.h"
#include "process.h"

volatile sig_atomic_t consumer_stop, consumer_leave_within;

static const struct command {
    const char *name, *help;
    int (*run)(const struct consumer_options *options);
    const char *arguments, *more; /* for its own help; may be NULL */
} commands[] = {
    {"run", "read events from Kafka and keep journeys and obligations in PostgreSQL", consumer_run},
    {"migrate", "make or upgrade the tables in PostgreSQL", consumer_migrate},
    {"status", "show how far reading has come, what Kafka still holds, and what was set aside", consumer_status},
    {"health", "ask a consumer that runs with --http whether it is ready, or alive: exit code 0 or 1", consumer_health, "[ready|live]",
     "Prints its words. For probes where no other program is at hand, as in a container; it is asked on this machine.\n\n"},
    {"metrics", "print the table of what /metrics shows, as in docs/metrics.md", consumer_metrics},
    {"check-config", "read options, rules, schemas and key as run would, and say what is wrong", consumer_check_config},
    {"doctor", "look at all that run needs: files, Kafka, PostgreSQL, registry; say what is wrong, and what to do", consumer_doctor, "[checks]",
     "One line for each check: OK, WARN or FAIL. Exit code 1 if one is FAIL. Changes nothing. `doctor checks` lists them.\n\n"},
    {"rebuild", "derive everything again from the stored events, for other rules or a newer program", consumer_rebuild},
    {"verify", "compare everything with everything: counts with rows, rows with events, all with a fresh derivation", consumer_verify},
    {"position", "show where reading stands, or set it", consumer_position, "show|set [PLACE...]",
     "  show           what is stored of each partition, and what Kafka holds of it\n"
     "  set PLACE...   reading goes on from there; consumers may run. A PLACE is TOPIC:PARTITION=WHERE: an offset, earliest,\n"
     "                 latest, or a time (2026-03-01T00:00:00Z); * as PARTITION means every one\n\n"},
    {"identity", "explain why identifiers are one customer; take them apart, block one, undo that", consumer_identity,
     "explain|unlink|block|restore A [B]",
     "  explain A      why A is of the customer that it is of, or of none\n"
     "  unlink A       A joins nobody: whatever it stands with, it is a customer alone\n"
     "  unlink A B     A and B are never one customer\n"
     "  block A        events are taken as if A did not stand in them\n"
     "  restore A [B]  takes back what is in force on A, or on the pair\n"
     "A and B: NAMESPACE:VALUE (email:aino@example.com, case_id:R-7), or the hash, or its first 8 or more digits.\n\n"},
    {"forget", "forget a customer: delete the events or take everybody out of them, for good", consumer_forget, "A",
     "A: NAMESPACE:VALUE (email:aino@example.com), or the hash, or its first 8 or more digits, of any identifier of the customer.\n"
     "Everything that was derived from the events is derived again without them, in one transaction; replays bring nothing\n"
     "back. --dry-run shows whom it would be about. There is no way to undo it.\n\n"},
    {"retain", "let go of the events before a month and keep what was told by them", consumer_retain, NULL,
     "Events before --before are deleted; journeys, obligations and every figure stay as they are. Events on which newer rows\n"
     "rest are kept until a later retention. From then on records of those months are refused, whenever they come. Consumers\n"
     "may run. Stopped or killed, the same command goes on. --dry-run counts the events. There is no way to undo it.\n\n"},
    {"quarantine", "what was set aside: count and list it, show a record, delete", consumer_quarantine, "list|show|delete",
     "  list                          counts by publisher and reason, then the newest records\n"
     "  show TOPIC:PARTITION:OFFSET   one record: why, its headers, key and value byte by byte, and the event if the schemas\n"
     "                                at hand can read it. The only command that prints raw identifiers: mind who looks on\n"
     "  delete                        for good; --older-than 90d, or any other of the filters below\n\n"},
    {"requeue", "publish again what was set aside, once its cause is repaired", consumer_requeue, NULL,
     "Publishes records as they were, with their keys, headers and times, and headers that say where they have been; rows of\n"
     "quarantine stay, marked. What was marked is not published again, and nothing more than five times. An event counts once\n"
     "however often it is published, so a second try after a crash does no harm. Records set aside as `future` get the present\n"
     "time: they were ahead of their own. conflicting_duplicate is published only if --reason asks for it: it would lose again.\n\n"},
};

static const char exit_codes[] =
    "Exit codes: 0 done; 1 an operator is needed, or verify found differences: the last line says why; 2 wrong options,\n"
    "rules, schemas or key; 3 status --wait: the time was over first; 70 out of memory. SIGINT or SIGTERM end run with 0\n"
    "when the batch under way is committed or rolled back; a second one kills.\n";

static int usage(FILE *out)
{
    fputs("polku-consumer COMMAND [OPTIONS] turns customer-interaction events into journeys and obligations.\n\n", out);
    for (size_t i = 0; i < PK_COUNT(commands); i++)
        fprintf(out, "  %-13s %s\n", commands[i].name, commands[i].help);
    fputs("  options       print an options file with all defaults (--markdown: as a table; --man, --bash: man page, completion)\n"
          "  help          show this; `polku-consumer COMMAND --help` shows the options of a command\n\n", out);
    fputs(exit_codes, out);
    return out == stdout ? CONSUMER_OK : CONSUMER_USAGE;
}

static int command_help(const struct command *command)
{
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    pk_buf_printf(&text, "polku-consumer %s %s%s[OPTIONS]: %s.\n\n%s", command->name,
                  command->arguments ? command->arguments : "", command->arguments ? " " : "", command->help,
                  command->more ? command->more : "");
    options_help(&consumer_option_set, command->name, &text);
    printf("%s%s", text.ptr, exit_codes);
    return CONSUMER_OK;
}

static const char about[] =
    "polku-consumer reads customer-interaction events from Kafka, correlates them into cross-channel journeys and a ledger of\n"
    "obligations, and keeps both in PostgreSQL. After every commit the tables equal the batch answer of the events up to the stored\n"
    "positions, for any order of arrival, any number of consumers, redeliveries, crashes and replays.\n\n"
    "A start: migrate makes the tables; check-config reads what run would; run goes on until SIGTERM. Several run in one\n"
    "group, each with its own --instance-id.\n\n"
    "The rules say what identifies a customer, what a journey is and what was owed.\n";

static void print_manual(void (*print)(const struct manual *, struct pk_buf *), struct pk_buf *out)
{
    struct manual_command all[PK_COUNT(commands)];
    for (size_t i = 0; i < PK_COUNT(commands); i++)
        all[i] = (struct manual_command){commands[i].name, commands[i].help, commands[i].arguments, commands[i].more};
    print(&(struct manual){.options = &consumer_option_set, .command = all, .count = PK_COUNT(all), .version = POLKU_VERSION,
                           .title = "customer-interaction events become journeys and obligations", .about = about,
                           .exit_codes = exit_codes, .see = "polku.yaml(5), polku-producer(1), libpolku-producer(3)"}, out);
}

static int print_options(const char *form)
{
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    if (form && strcmp(form, "--markdown") == 0)
        options_markdown(&consumer_option_set, &text);
    else if (form && strcmp(form, "--man") == 0)
        print_manual(manual_page, &text);
    else if (form && strcmp(form, "--bash") == 0)
        print_manual(manual_completion, &text);
    else
        options_example(&consumer_option_set, &text);
    fputs(text.ptr, stdout);
    return CONSUMER_OK;
}

static int unknown_command(const char *name)
{
    const char *known[PK_COUNT(commands)];
    for (size_t i = 0; i < PK_COUNT(commands); i++)
        known[i] = commands[i].name;
    const char *near = nearest_name(pk_str(name), known, PK_COUNT(known));
    fprintf(stderr, "polku-consumer: no command '%s'%s%s%s\n\n", name, near ? ", did you mean '" : "", near ? near : "",
            near ? "'?" : "");
    return usage(stderr);
}

/* Within a value a double quote before a space would end it. */
void consumer_log_failure(const char *sentence, const struct pk_err *err)
{
    struct pk_err plain = *err;
    for (char *at = plain.text; (at = strchr(at, '"'));)
        *at = '\'';
    log_write(LOG_ERROR, sentence, "reason=\"%s\"", plain.text);
}

static void note_migration(void *context, const char *sentence)
{
    (void)context;
    log_write(LOG_INFO, sentence, "%s", "");
}

int consumer_migrate(const struct consumer_options *options)
{
    struct pk_err err = {0};
    enum pk_status status = migrate_run(options->database, options->sql, note_migration, NULL, &err);
    if (status == PK_OK)
        return CONSUMER_OK;
    consumer_log_failure("migration failed", &err);
    return CONSUMER_STOPPED;
}

static void on_signal(int number)
{
    (void)number;
    consumer_stop = 1;
    alarm((unsigned)consumer_leave_within);
}

/* Something waits that cannot be woken (a name server, a connection being made). Nothing is lost: the server rolls
 * back what is not committed, and it is read again. */
static void on_alarm(int number)
{
    static const char line[] = "polku-consumer: left without waiting any longer; what is not committed is read again\n";
    (void)number;
    ssize_t written = write(STDERR_FILENO, line, sizeof line - 1);
    _exit(written < 0 ? CONSUMER_STOPPED : CONSUMER_OK);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND}; /* the second one kills */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGALRM, on_alarm);
    signal(SIGPIPE, SIG_IGN);
}

static void tell_of_exposed_secrets(const struct consumer_options *options)
{
    if (options->rest.exposed)
        log_write(LOG_WARN, "every user of this machine may read a secret", "file=\"%s\" do=\"chmod o= FILE\"",
                  options->rest.exposed);
}

static int run(const struct command *command, int argc, char *argv[])
{
    struct pk_arena arena = {0};
    struct pk_err err = {0};
    struct consumer_options options = {0};
    int code;
    if (consumer_options_parse(command->name, argc, argv, &arena, &options, &err) != PK_OK) {
        fprintf(stderr, "polku-consumer: %s\n", err.text);
        code = CONSUMER_USAGE;
    } else if (options.rest.help) {
        code = command_help(command);
    } else {
        log_setup(options.level, options.format, "polku-consumer");
        if (options.core_files)
            process_allow_core_files();
        tell_of_exposed_secrets(&options);
        catch_signals();
        code = command->run(&options);
    }
    pk_vec_done(&options.rest.kafka);
    pk_vec_done(&options.rest.rest);
    pk_arena_done(&arena);
    return code;
}

int main(int argc, char *argv[])
{
    /* Records are allocated by the threads of Kafka's client and freed by ours; an arena for each thread would keep what
     * it once held. */
    mallopt(M_ARENA_MAX, 2);
    process_close();
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--version") == 0)
        return consumer_version();
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return usage(stdout);
    if (strcmp(name, "options") == 0)
        return print_options(argv[2]);
    for (size_t i = 0; i < PK_COUNT(commands); i++)
        if (strcmp(name, commands[i].name) == 0)
            return run(&commands[i], argc - 2, argv + 2);
    return *name ? unknown_command(name) : usage(stderr);
}
