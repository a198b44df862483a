/* SPDX-License-Identifier: Apache-2.0 */
#include "consumer_options.h"
#include "store_conninfo.h"

#include <criterion/criterion.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <unistd.h>

static struct pk_arena arena;
static struct consumer_options options;
static struct pk_err err;

#define PARSE(command, ...) parse(command, (char *[]){__VA_ARGS__, NULL})

static enum pk_status parse(const char *command, char *argv[])
{
    int argc = 0;
    while (argv[argc])
        argc++;
    return consumer_options_parse(command, argc, argv, &arena, &options, &err);
}

static void refuses(enum pk_status status, const char *what)
{
    cr_expect_eq(status, PK_REJECT, "accepted; expected: %s", what);
    cr_expect(strstr(err.text, what), "'%s' does not say '%s'", err.text, what);
}

Test(consumer_options, every_command_can_do_with_the_defaults)
{
    static const char *const command[] = {"run", "migrate", "status", "check-config", "identity"};
    for (size_t i = 0; i < PK_COUNT(command); i++)
        cr_assert_eq(parse(command[i], (char *[]){NULL}), PK_OK, "%s: %s", command[i], err.text);
    cr_assert_eq(options.start, INTAKE_EARLIEST);
    cr_assert_eq(options.level, LOG_INFO);
    cr_assert_eq(options.batch_records, 25000);
    cr_assert_eq(options.linger, 100000);
    cr_assert_eq(options.stop_after, 0);
    cr_assert_not(options.until_end);
    struct intake_config intake = consumer_intake_config(&options);
    cr_assert_str_eq(intake.topics, "interactions");
    cr_assert_null(intake.instance_id);
    cr_assert_eq(intake_check(&intake, &err), PK_OK, "%s", err.text);
}

Test(consumer_options, what_cannot_be_meant_is_refused)
{
    refuses(PARSE("run", "--from=newest"), "earliest, latest, error");
    refuses(PARSE("run", "--log-level", "loud"), "debug, info, warn, error");
    refuses(PARSE("run", "--retry-min=2m"), "--retry-max");
    refuses(PARSE("run", "--topic", " , "), "names no topic");
    refuses(PARSE("run", "--group="), "--group is empty");
    refuses(PARSE("run", "now"), "'now' is not expected");
    refuses(PARSE("identity", "explain", "a", "--limit=0"), "at least 1");
    refuses(PARSE("run", "--note=why"), "belongs to the command identity");
    refuses(PARSE("run", "--batch-records=0"), "at least 1");
    refuses(PARSE("run", "--hash-key=00"), "hash-key-file");
    refuses(PARSE("run", "--quarantine-keep=4000000d"), "at most 36500d"); /* before what PostgreSQL has times for */
    refuses(PARSE("run", "--statement-timeout=25d"), "at most 24d");         /* it counts in 31 bits of milliseconds */
    refuses(PARSE("identity", "list", "--lock-timeout=25d"), "at most 24d");
    refuses(PARSE("run", "--idle-timeout=25d"), "at most 24d");
    refuses(PARSE("migrate", "--linger=1s"), "belongs to the command run");
}

Test(consumer_options, check_config_reads_the_secrets_of_kafka_as_run_would)
{
    refuses(PARSE("run", "--kafka.sasl.password-file=/nowhere/at/all"), "/nowhere/at/all");
    refuses(PARSE("check-config", "--kafka.sasl.password-file=/nowhere/at/all"), "/nowhere/at/all");
    cr_expect_eq(PARSE("verify", "--kafka.sasl.password-file=/nowhere/at/all"), PK_OK, "%s", err.text);
}

/* One file of options serves all commands. */
Test(consumer_options, what_another_command_needs_does_no_harm_in_the_file)
{
    char path[] = "/tmp/polku-options-XXXXXX";
    static const char text[] = "keep-older = true\nformer-rules = /etc/polku/before.yaml\nformer-hash-key-file = /nowhere\n"
                               "drop-decisions = true\n";
    int file = mkstemp(path);
    cr_assert_eq(write(file, text, sizeof text - 1), (ssize_t)sizeof text - 1);
    close(file);
    cr_expect_eq(PARSE("run", "--config", path), PK_OK, "%s", err.text);
    cr_expect_eq(PARSE("status", "--config", path), PK_OK, "%s", err.text);
    refuses(PARSE("rebuild", "--keep-older"), "belongs to --from-kafka");
    unlink(path);
}

Test(consumer_options, identity_takes_words)
{
    cr_assert_eq(PARSE("identity", "unlink", "email:a", "--note", "why", "phone:b"), PK_OK, "%s", err.text);
    cr_assert_eq(options.rest.rest.len, 3);
    cr_assert_str_eq(options.rest.rest.ptr[2], "phone:b");
    cr_assert_str_eq(options.note, "why");
}

Test(consumer_options, properties_of_the_client_pass_through)
{
    cr_assert_eq(PARSE("run", "--kafka.session.timeout.ms=6000", "--instance-id=a", "--from=error"), PK_OK, "%s", err.text);
    struct intake_config intake = consumer_intake_config(&options);
    cr_assert_eq(intake.properties, 1);
    cr_assert_str_eq(intake.property[0].name, "session.timeout.ms");
    cr_assert_str_eq(intake.instance_id, "a");
    cr_assert_eq(intake.start, INTAKE_ERROR);
    cr_assert_eq(intake_check(&intake, &err), PK_OK, "%s", err.text);
}

Test(consumer_options, a_key_is_16_to_64_bytes_in_hexadecimal)
{
    struct fact_hasher hasher = {0};
    char text[200] = "";
    for (int i = 0; i < 64; i++)
        strcat(text, "0f");
    cr_assert_eq(consumer_read_key(text, &hasher, &err), PK_OK, "%s", err.text);
    cr_assert_eq(hasher.key_len, 64);
    refuses(consumer_read_key(strcat(text, "00"), &hasher, &err), "longer than 64 bytes");
    cr_assert_eq(consumer_read_key(" 000102030405 06070809\n0A0b0C0d0e0f\n", &hasher, &err), PK_OK, "%s", err.text);
    cr_assert_eq(hasher.key_len, 16);
    for (uint8_t i = 0; i < 16; i++)
        cr_assert_eq(hasher.key[i], i);
    refuses(consumer_read_key("000102030405060708090a0b0c0d0e", &hasher, &err), "30 hexadecimal digits");
    refuses(consumer_read_key("000102030405060708090a0b0c0d0e0f1", &hasher, &err), "even");
    refuses(consumer_read_key("my secret pass phrase of many letters", &hasher, &err), "something else");
    cr_assert_null(strstr(err.text, "secret"), "the key stays out of messages");
}

Test(consumer_options, inputs_are_read_together_and_the_key_is_wanted)
{
    struct consumer_inputs inputs;
    cr_assert_eq(PARSE("run", "--rules=" POLKU_SOURCE_DIR "/deploy/polku.yaml", "--schemas=" POLKU_SOURCE_DIR "/schemas"),
                 PK_OK, "%s", err.text);
    cr_assert_eq(consumer_inputs_load(&options, true, &inputs, &err), PK_OK, "%s", err.text);
    cr_assert_gt(inputs.rules.kind_count, 0);
    cr_assert_eq(inputs.warnings.list.len, 0, "the default rules use the vocabulary");
    consumer_inputs_done(&inputs);
    refuses(consumer_inputs_load(&options, false, &inputs, &err), "--hash-key-file is missing");
}

Test(consumer_options, the_password_joins_the_conninfo)
{
    const char *text = NULL;
    cr_assert_eq(store_conninfo("host=db1 dbname=polku", "it's \\ secret", &arena, &text, &err), PK_OK, "%s", err.text);
    cr_assert(strstr(text, "host='db1'") && strstr(text, "password='it\\'s \\\\ secret'"), "%s", text);
    cr_assert_eq(store_conninfo("postgresql://polku_app@db1/polku?sslmode=verify-full", "p", &arena, &text, &err), PK_OK);
    cr_assert(strstr(text, "user='polku_app'") && strstr(text, "sslmode='verify-full'") && strstr(text, "password='p'"), "%s", text);
    cr_assert_eq(store_conninfo("", NULL, &arena, &text, &err), PK_OK);
    cr_assert_str_eq(text, "");
}

Test(consumer_options, a_conninfo_with_a_password_is_refused_and_not_repeated)
{
    refuses(PARSE("run", "--database=host=db1 password=hunter2"), "--database-password-file");
    cr_expect_not(strstr(err.text, "hunter2"));
    refuses(PARSE("run", "--database=postgresql://me:hunter2@db1/polku"), "--database-password-file");
    cr_expect_not(strstr(err.text, "hunter2"));
    refuses(PARSE("run", "--database=postgresql://me:hunter2@[db1/polku"), "no connection string");
    cr_expect_not(strstr(err.text, "hunter2"), "%s", err.text);
    refuses(PARSE("run", "--database=host=db1 password=a hunter2"), "no connection string");
    cr_expect_not(strstr(err.text, "hunter2"), "%s", err.text);
    refuses(PARSE("run", "--database=host=db1 port"), "port");
}

Test(consumer_options, what_libpq_says_of_several_hosts_keeps_its_end)
{
    PGconn *conn = PQconnectdb("host=/nowhere/one,/nowhere/two,/nowhere/three port=1");
    char whole[1000], part[100], least[12];
    store_connection_says(conn, whole, sizeof whole);
    store_connection_says(conn, part, sizeof part);
    store_connection_says(conn, least, sizeof least);
    PQfinish(conn);
    cr_assert(strstr(whole, "/nowhere/one") && strstr(whole, "/nowhere/three") && !strchr(whole, '\n'), "%s", whole);
    cr_assert_eq(strlen(part), sizeof part - 1);
    cr_assert_eq(strncmp(part, ".. ", 3), 0, "%s", part);
    cr_assert_str_eq(part + 3, whole + strlen(whole) - (sizeof part - 4));
    cr_assert_eq(strlen(least), sizeof least - 1, "%s", least);
}
