/* SPDX-License-Identifier: Apache-2.0 */
/* Times, durations, YAML, options, log lines: what people write and read. */
#include "log.h"
#include "options.h"
#include "time_text.h"
#include "yaml.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- time ---- */

Test(time, iso_is_read_in_all_its_forms)
{
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T02:00+02:00", 0},
        {"1969-12-31T23:59:59.999999Z", -1},
        {"2015-09-21T17:55:00+03:00", INT64_C(1442847300000000)},
        {"2015-09-21T17:55+0300", INT64_C(1442847300000000)},
        {"2015-09-21 17:55:00+03", INT64_C(1442847300000000)},
        {"2015-09-21T09:55:00-05:00", INT64_C(1442847300000000)},
        {"2015-09-21T14:55:00.1Z", INT64_C(1442847300100000)},
        {"2015-09-21T14:55:00.123456Z", INT64_C(1442847300123456)},
        {"2015-09-21T14:55:00.123456999Z", INT64_C(1442847300123456)},
        {"2000-02-29T00:00:00Z", INT64_C(951782400000000)},
        {"0001-01-01T00:00:00Z", INT64_C(-62135596800000000)},
    };
    for (size_t i = 0; i < PK_COUNT(good); i++) {
        int64_t us = 1;
        struct pk_err err = {0};
        cr_assert_eq(time_parse_iso(pk_str(good[i].text), false, &us, &err), PK_OK, "%s: %s", good[i].text, err.text);
        cr_assert_eq(us, good[i].us, "%s: %" PRId64, good[i].text, us);
    }
}

Test(time, a_bare_date_is_utc_midnight_where_dates_are_allowed)
{
    int64_t us = 0;
    cr_assert_eq(time_parse_iso(PK_STR("2015-09-21"), true, &us, NULL), PK_OK);
    cr_assert_eq(us, INT64_C(1442793600000000));
    cr_assert_eq(time_parse_iso(PK_STR("2015-09-21"), false, &us, NULL), PK_REJECT);
}

Test(time, what_is_no_time_is_refused)
{
    static const char *const bad[] = {
        "", "x", "2015", "2015-9-21T00:00:00Z", "2015-13-01T00:00:00Z", "2015-00-01T00:00:00Z", "2015-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z", "2015-04-31T00:00:00Z", "2015-09-21T24:00:00Z", "2015-09-21T23:60:00Z",
        "2015-09-21T23:59:60Z", "2015-09-21T17:55:00", "2015-09-21T17:55:00+3", "2015-09-21T17:55:00+19:00",
        "2015-09-21T17:55:00+03:60", "2015-09-21T17:55:00Zx", "2015-09-21T17:55:00.Z", "2015-09-21T17:55:00.1234567890Z",
        "2015-09-21T17Z", "2015-09-21T17:55:00 Z", "-015-09-21T17:55:00Z", "2015-09-21t17:55:00Z", "2015-09-21T17:55:00+",
    };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        int64_t us = 77;
        struct pk_err err = {0};
        cr_assert_eq(time_parse_iso(pk_str(bad[i]), true, &us, &err), PK_REJECT, "%s", bad[i]);
        cr_assert_eq(us, 77);
        cr_assert(err.text[0]);
    }
    cr_assert_eq(time_parse_iso((struct pk_str){0}, true, &(int64_t){0}, NULL), PK_REJECT);
    /* a view without a terminator: nothing behind it is read */
    cr_assert_eq(time_parse_iso((struct pk_str){"2015-09-21T17:55:00Z", 19}, true, &(int64_t){0}, NULL), PK_REJECT);
}

Test(time, days_agree_with_the_c_library_over_four_centuries)
{
    for (int64_t day = -80000; day < 110000; day += 13) {
        time_t at = (time_t)(day * 86400);
        struct tm tm;
        gmtime_r(&at, &tm);
        cr_assert_eq(time_days_from_civil(tm.tm_year + 1900, (unsigned)tm.tm_mon + 1, (unsigned)tm.tm_mday), day);
    }
}

Test(time, formatting_and_reading_are_inverse)
{
    for (int64_t us = INT64_C(-62135596800000000); us < INT64_C(253402300800000000); us += INT64_C(987654321012345)) {
        char text[28];
        int64_t back;
        time_format_iso(us, text);
        cr_assert_eq(strlen(text), 27);
        cr_assert_eq(time_parse_iso(pk_str(text), false, &back, NULL), PK_OK, "%s", text);
        cr_assert_eq(back, us);
    }
    char text[28];
    time_format_iso(PK_NO_TIME, text);
    cr_assert_str_eq(text, "none");
    time_format_iso(INT64_MAX, text);
    cr_assert_str_eq(text, "out of the calendar");
}

Test(time, durations)
{
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {
        {"0", 0}, {"0s", 0}, {"5s", 5 * PK_SECOND_US}, {"200ms", 200000}, {"7us", 7}, {"30m", 1800 * PK_SECOND_US},
        {"30 min", 1800 * PK_SECOND_US}, {"24h", PK_DAY_US}, {"1d12h", 36 * PK_HOUR_US}, {"1d 12h", 36 * PK_HOUR_US},
        {"7 d", 7 * PK_DAY_US}, {"2w", 14 * PK_DAY_US}, {"90d", 90 * PK_DAY_US},
    };
    static const char *const bad[] = {"", "5", "s", "-5s", "5 parsecs", "5S", "1.5h", "99999999999999999999d",
                                      "9999999999999d", "1d,2h", "0 ", "1d12"};
    for (size_t i = 0; i < PK_COUNT(good); i++) {
        int64_t us = 77;
        struct pk_err err = {0};
        cr_assert_eq(time_parse_duration(pk_str(good[i].text), &us, &err), PK_OK, "%s: %s", good[i].text, err.text);
        cr_assert_eq(us, good[i].us, "%s", good[i].text);
    }
    for (size_t i = 0; i < PK_COUNT(bad); i++)
        cr_assert_eq(time_parse_duration(pk_str(bad[i]), &(int64_t){0}, NULL), PK_REJECT, "%s", bad[i]);
}

/* ---- YAML ---- */

static struct pk_arena arena;

static void arena_done(void)
{
    pk_arena_done(&arena);
}

TestSuite(yaml, .fini = arena_done);
TestSuite(options, .fini = arena_done);

static struct yaml_file parse(const char *text)
{
    struct yaml_file file = {0};
    struct pk_err err = {0};
    cr_assert_eq(yaml_parse("f.yaml", pk_str(text), &arena, &file, &err), PK_OK, "%s", err.text);
    return file;
}

Test(yaml, a_tree_knows_its_lines)
{
    struct yaml_file file = parse("# comment\nname: Polku\nlist:\n  - 1\n  - {a: b, c: [d, 'e']}\n\nlast: |\n  two\n  lines\n");
    cr_assert_eq(file.root->kind, YAML_MAPPING);
    cr_assert_eq(file.root->count, 3);
    cr_assert_str_eq(yaml_get(file.root, "name")->text.ptr, "Polku");
    const struct yaml_node *list = yaml_get(file.root, "list");
    cr_assert_eq(list->count, 2);
    cr_assert_eq(list->item[1]->line, 5);
    cr_assert_eq(file.root->key_line[2], 7);
    const struct yaml_node *c = yaml_get(list->item[1], "c");
    cr_assert(!c->item[0]->quoted && c->item[1]->quoted);
    cr_assert_str_eq(yaml_get(file.root, "last")->text.ptr, "two\nlines\n");
    cr_assert_null(yaml_get(file.root, "nothing"));
    cr_assert_null(yaml_get(NULL, "nothing"));
}

Test(yaml, an_empty_file_has_no_root)
{
    cr_assert_null(parse("").root);
    cr_assert_null(parse("# only a comment\n").root);
}

Test(yaml, errors_name_the_line)
{
    static const struct {
        const char *text, *wanted;
    } bad[] = {
        {"a: 1\nb: [1, 2\n", "f.yaml:3: not YAML"},
        {"a: 1\n\tb: 2\n", "f.yaml:2: not YAML"},
        {"a: 1\nb: 2\na: 3\n", "f.yaml:3: 'a' is given twice"},
        {"a: &x 1\n", "f.yaml:1: anchors"},
        {"a: 1\nb: *a\n", "f.yaml:2:"},
        {"a: 1\n<<: {b: 2}\n", "f.yaml:2: merge keys"},
        {"a: !!str 1\n", "f.yaml:1: tags"},
        {"a: 1\n---\nb: 1\n", "f.yaml:2: a second document"},
        {"{[a]: 1}\n", "f.yaml:1: a key must be plain text"},
        {"a: \"\\0\"\n", "f.yaml:1: text holds a NUL"},
        {"a: \xff\n", "f.yaml:1: not YAML"},
    };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        struct yaml_file file = {0};
        struct pk_err err = {0};
        cr_assert_eq(yaml_parse("f.yaml", pk_str(bad[i].text), &arena, &file, &err), PK_REJECT, "%s", bad[i].text);
        cr_assert_eq(strncmp(err.text, bad[i].wanted, strlen(bad[i].wanted)), 0, "%s", err.text);
        cr_assert_null(file.root);
    }
    struct pk_buf deep = {0};
    for (int i = 0; i < 5000; i++)
        pk_buf_text(&deep, "[");
    struct yaml_file file;
    struct pk_err err;
    cr_assert_eq(yaml_parse("f.yaml", pk_str(deep.ptr), &arena, &file, &err), PK_REJECT);
    pk_buf_done(&deep);
    cr_assert_eq(yaml_load("/nowhere/at/all.yaml", &arena, &file, &err), PK_REJECT);
}

Test(yaml, unknown_keys_name_the_nearest_known_one)
{
    struct yaml_file file = parse("gap: 7d\nreopen-gap: 3d\n");
    struct pk_err err = {0};
    const char *const known[] = {"gap", "reopen_gap", "case_gap", NULL};
    cr_assert_eq(yaml_only(&file, file.root, known, &err), PK_REJECT);
    cr_assert_str_eq(err.text, "f.yaml:2: unknown key 'reopen-gap'; did you mean 'reopen_gap'?");
}

Test(yaml, scalars_are_typed)
{
    struct yaml_file file = parse("t: text\nn: 42\nneg: -7\nb: true\nq: \"true\"\nd: 1d12h\nat: 2015-09-21\nnothing:\nm: {}\n");
    struct pk_err err = {0};
    struct pk_str text = {0};
    bool flag = false;
    int64_t number = 5;
#define GET(key) yaml_get(file.root, key)
    cr_assert_eq(yaml_text(&file, GET("t"), &text, &err), PK_OK);
    cr_assert_str_eq(text.ptr, "text");
    cr_assert_eq(yaml_int(&file, GET("n"), 0, 100, &number, &err), PK_OK);
    cr_assert_eq(number, 42);
    cr_assert_eq(yaml_int(&file, GET("absent"), 0, 100, &number, &err), PK_OK);
    cr_assert_eq(number, 42, "absent keeps the default");
    cr_assert_eq(yaml_bool(&file, GET("b"), &flag, &err), PK_OK);
    cr_assert(flag);
    cr_assert_eq(yaml_duration(&file, GET("d"), &number, &err), PK_OK);
    cr_assert_eq(number, 36 * PK_HOUR_US);
    cr_assert_eq(yaml_time(&file, GET("at"), &number, &err), PK_OK);
    cr_assert_eq(number, INT64_C(1442793600000000));

    cr_assert_eq(yaml_int(&file, GET("neg"), 0, 100, &number, &err), PK_REJECT);
    cr_assert_str_eq(err.text, "f.yaml:3: must be between 0 and 100, not -7");
    cr_assert_eq(yaml_int(&file, GET("t"), 0, 100, &number, &err), PK_REJECT);
    cr_assert_str_eq(err.text, "f.yaml:1: must be a whole number, not 'text'");
    cr_assert_eq(yaml_bool(&file, GET("q"), &flag, &err), PK_REJECT);
    cr_assert_eq(yaml_text(&file, GET("nothing"), &text, &err), PK_REJECT);
    cr_assert_str_eq(err.text, "f.yaml:8: must be text, but there is no value");
    cr_assert_eq(yaml_text(&file, GET("m"), &text, &err), PK_REJECT);
    cr_assert_eq(yaml_duration(&file, GET("n"), &number, &err), PK_REJECT);
    cr_assert_eq(strncmp(err.text, "f.yaml:2: '42' is a duration without a unit", 43), 0, "%s", err.text);
#undef GET
}

Test(yaml, reads_the_vocabulary)
{
    struct yaml_file file = {0};
    struct pk_err err = {0};
    cr_assert_eq(yaml_load(POLKU_SOURCE_DIR "/schemas/vocabulary.yaml", &arena, &file, &err), PK_OK, "%s", err.text);
    cr_assert_not_null(yaml_get(yaml_get(file.root, "types"), "callback.reached"));
    cr_assert_not_null(yaml_get(yaml_get(file.root, "namespaces"), "*/customer_id"));
}

/* ---- options ---- */

struct values {
    const char *brokers, *password, *config;
    int64_t records, memory, linger_us;
    bool verify;
};

static const struct option table[] = {
    {"brokers", "*", OPTION_TEXT, "localhost:9092", 0, 0, offsetof(struct values, brokers), "HOST:PORT", "where Kafka is"},
    {"batch-records", "run", OPTION_INT, "5000", 1, 100000, offsetof(struct values, records), "N", "records of a batch | at most"},
    {"memory", "run", OPTION_BYTES, "200MiB", 1 << 20, 0, offsetof(struct values, memory), NULL, "budget"},
    {"linger", "run", OPTION_DURATION, "100ms", 0, 60 * PK_SECOND_US, offsetof(struct values, linger_us), NULL, "wait"},
    {"verify", "run status", OPTION_BOOL, "false", 0, 0, offsetof(struct values, verify), NULL, "check"},
    {"password", "*", OPTION_SECRET_FILE, NULL, 0, 0, offsetof(struct values, password), NULL, "a secret"},
};
static const struct option_set set = {table, PK_COUNT(table), "polku-test", "POLKU_"};

static char *write_temporary(const char *text)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/polku-test-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static enum pk_status parse_options(const char *command, struct values *values, struct options_result *result,
                                    struct pk_err *err, char *const argv[])
{
    int argc = 0;
    while (argv[argc])
        argc++;
    return options_parse(&set, command, argc, argv, &arena, values, result, err);
}
#define ARGS(...) ((char *const[]){__VA_ARGS__, NULL})

static void result_done(struct options_result *result)
{
    pk_vec_done(&result->kafka);
    pk_vec_done(&result->rest);
}

Test(options, the_later_source_wins)
{
    struct values values = {0};
    struct options_result result = {0};
    struct pk_err err = {0};
    char *path = write_temporary("# comment\nbrokers = file:1\nbatch-records = 10\nmemory=64MiB\n\n linger = 1s \n"
                                 "kafka.security.protocol = ssl\nkafka.a = file\n");
    setenv("POLKU_BATCH_RECORDS", "20", 1);
    setenv("POLKU_MEMORY", "1GiB", 1);
    setenv("POLKU_SERVICE_HOST", "of somebody else", 1);
    cr_assert_eq(parse_options("run", &values, &result, &err,
                               ARGS("--config", path, "--memory=2MiB", "--verify", "one", "--kafka.a", "arg",
                                    "--kafka.b=c=d", "--", "--two")), PK_OK, "%s", err.text);
    cr_assert_str_eq(values.brokers, "file:1");
    cr_assert_eq(values.records, 20, "environment over file");
    cr_assert_eq(values.memory, 2 << 20, "argument over environment");
    cr_assert_eq(values.linger_us, PK_SECOND_US);
    cr_assert(values.verify);
    cr_assert_null(values.password);
    cr_assert_eq(result.rest.len, 2);
    cr_assert_str_eq(result.rest.ptr[1], "--two");
    cr_assert_eq(result.kafka.len, 3);
    cr_assert_str_eq(result.kafka.ptr[0].name, "security.protocol");
    cr_assert_str_eq(result.kafka.ptr[1].value, "arg");
    cr_assert_str_eq(result.kafka.ptr[2].value, "c=d");
    result_done(&result);
    unlink(path);
}

Test(options, defaults_hold_when_nothing_is_given)
{
    struct values values = {0};
    struct options_result result = {0};
    struct pk_err err = {0};
    cr_assert_eq(parse_options("run", &values, &result, &err, ARGS(NULL)), PK_OK, "%s", err.text);
    cr_assert_str_eq(values.brokers, "localhost:9092");
    cr_assert_eq(values.records, 5000);
    cr_assert_eq(values.memory, 200 << 20);
    cr_assert_eq(values.linger_us, 100000);
    cr_assert(!values.verify && !result.help);
    result_done(&result);
}

Test(options, mistakes_name_their_source_and_the_nearest_option)
{
    char *path = write_temporary("brokers = x\nbatch-record = 10\n");
    char wanted_file[128];
    snprintf(wanted_file, sizeof wanted_file, "%s:2: unknown option 'batch-record'; did you mean 'batch-records'?", path);
    const struct {
        const char *command;
        char *const *argv;
        const char *wanted;
    } bad[] = {
        {"run", ARGS("--config", path), wanted_file},
        {"run", ARGS("--batchrecords", "1"), "argument --batchrecords: unknown option 'batchrecords'; did you mean 'batch-records'?"},
        {"run", ARGS("--batch-records"), "argument --batch-records: needs a value"},
        {"run", ARGS("--batch-records", "0"), "argument --batch-records: '0' is out of range, at least 1, at most 100000"},
        {"run", ARGS("--batch-records=many"), "argument --batch-records: 'many' is not a whole number"},
        {"run", ARGS("--memory=1"), "argument --memory: '1' is out of range, at least 1MiB"},
        {"run", ARGS("--memory=5MB5"), "argument --memory: '5MB5' is an unknown unit"},
        {"run", ARGS("--linger=2m"), "argument --linger: '2m' is out of range, at least 0, at most 1m"},
        {"run", ARGS("--verify=maybe"), "argument --verify: 'maybe' is not true or false"},
        {"status", ARGS("--memory=1GiB"), "argument --memory: belongs to the command run, not to status"},
        {"run", ARGS("--password", "hunter2"), "argument --password: password is a secret"},
        {"run", ARGS("--password-file", "/nowhere"), "argument --password-file: cannot open /nowhere"},
        {"run", ARGS("--config", "/nowhere"), "argument --config: cannot open /nowhere"},
        {"run", ARGS("-x"), "argument -x: options start with two dashes"},
        {"run", ARGS("--kafka."), "argument --kafka.: needs a value"},
        {"run", ARGS("--kafka.sasl.password=hunter2"), "argument --kafka.sasl.password: kafka.sasl.password is a secret; put it "
         "into a file and name that with kafka.sasl.password-file"},
        {"run", ARGS("--kafka.ssl.key.pem", "hunter2"), "argument --kafka.ssl.key.pem: kafka.ssl.key.pem is a secret"},
        {"run", ARGS("--kafka.sasl.password-file=/nowhere"), "kafka.sasl.password-file: cannot open /nowhere"},
    };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        struct values values = {.records = 77};
        struct options_result result = {0};
        struct pk_err err = {0};
        cr_assert_eq(parse_options(bad[i].command, &values, &result, &err, bad[i].argv), PK_REJECT, "%s", bad[i].wanted);
        cr_assert_eq(strncmp(err.text, bad[i].wanted, strlen(bad[i].wanted)), 0, "%s", err.text);
        cr_assert_eq(values.records, 77, "outputs stay untouched on failure");
        cr_assert_not(strstr(err.text, "hunter2"));
    }
    setenv("POLKU_LINGER", "soon", 1);
    struct pk_err err = {0};
    cr_assert_eq(parse_options("run", &(struct values){0}, &(struct options_result){0}, &err, ARGS(NULL)), PK_REJECT);
    cr_assert_eq(strncmp(err.text, "POLKU_LINGER: 'soon' is", 23), 0, "%s", err.text);
    unlink(path);
}

Test(options, a_secret_comes_from_its_file_without_the_line_end)
{
    struct values values = {0};
    struct options_result result = {0};
    struct pk_err err = {0};
    char *path = write_temporary("hunter 2\n");
    setenv("POLKU_PASSWORD_FILE", path, 1);
    cr_assert_eq(parse_options("run", &values, &result, &err, ARGS(NULL)), PK_OK, "%s", err.text);
    cr_assert_str_eq(values.password, "hunter 2");
    cr_assert_null(result.exposed, "mkstemp's mode is 0600");
    result_done(&result);

    chmod(path, 0640);
    cr_assert_eq(parse_options("run", &values, &result, &err, ARGS(NULL)), PK_OK, "%s", err.text);
    cr_assert_null(result.exposed, "a group may be meant to read it");
    result_done(&result);

    chmod(path, 0604);
    cr_assert_eq(parse_options("run", &values, &result, &err, ARGS(NULL)), PK_OK, "%s", err.text);
    cr_assert_str_eq(result.exposed, path);
    result_done(&result);
    unlink(path);
}

Test(options, a_secret_in_the_environment_is_refused)
{
    struct pk_err err = {0};
    setenv("POLKU_PASSWORD", "hunter2", 1);
    cr_assert_eq(parse_options("run", &(struct values){0}, &(struct options_result){0}, &err, ARGS(NULL)), PK_REJECT);
    cr_assert(strstr(err.text, "POLKU_PASSWORD_FILE") && !strstr(err.text, "hunter2"), "%s", err.text);
}

Test(options, secrets_of_kafka_come_from_files_too)
{
    struct values values = {0};
    struct options_result result = {0};
    struct pk_err err = {0};
    char path[64], config[64], line[300];
    snprintf(path, sizeof path, "%s", write_temporary("hunter 2\n"));
    snprintf(line, sizeof line, "kafka.sasl.username = u\nkafka.sasl.password-file = %s\n", path);
    snprintf(config, sizeof config, "%s", write_temporary(line));
    cr_assert_eq(parse_options("run", &values, &result, &err, ARGS("--config", config, "--kafka.ssl.key.password-file", path)),
                 PK_OK, "%s", err.text);
    cr_assert_eq(result.kafka.len, 3);
    cr_assert_str_eq(result.kafka.ptr[1].name, "sasl.password");
    cr_assert_str_eq(result.kafka.ptr[1].value, "hunter 2");
    cr_assert_str_eq(result.kafka.ptr[2].name, "ssl.key.password");
    result_done(&result);

    unlink(path);
    const struct option without_brokers[] = {table[1]};
    const struct option_set other = {without_brokers, 1, "polku-test", "POLKU_"};
    cr_assert_eq(options_parse(&other, "run", 2, ARGS("--config", config), &arena, &values, &result, &err), PK_OK,
                 "not read where Kafka is not used: %s", err.text);
    cr_assert_eq(result.kafka.len, 1);
    result_done(&result);

    char *plain = write_temporary("kafka.sasl.password = hunter2\n");
    cr_assert_eq(parse_options("run", &values, &result, &err, ARGS("--config", plain)), PK_REJECT, "not in the file of options either");
    cr_assert(strstr(err.text, ":1: kafka.sasl.password is a secret") && !strstr(err.text, "hunter2"), "%s", err.text);
    unlink(plain), unlink(config);
}

Test(options, help_says_so_and_asks_for_no_values)
{
    struct options_result result = {0};
    cr_assert_eq(parse_options("run", &(struct values){0}, &result, NULL, ARGS("--password-file=/nowhere", "--help")), PK_OK);
    cr_assert(result.help);
    result_done(&result);
    struct pk_buf run = {0}, status = {0}, example = {0}, markdown = {0};
    options_help(&set, "run", &run);
    options_help(&set, "status", &status);
    options_example(&set, &example);
    options_markdown(&set, &markdown);
    cr_assert(strstr(run.ptr, "--batch-records N") && strstr(run.ptr, "[5000]") && strstr(run.ptr, "--password-file FILE"));
    cr_assert(!strstr(status.ptr, "batch-records") && strstr(status.ptr, "--verify"));
    cr_assert(strstr(example.ptr, "#memory = 200MiB") && strstr(example.ptr, "#password-file = "));
    cr_assert(strstr(markdown.ptr, "| `--linger DURATION` | `POLKU_LINGER` | `100ms` | 0..1m | run | wait |"), "%s", markdown.ptr);
    cr_assert(strstr(markdown.ptr, "records of a batch \\| at most"));
    pk_buf_done(&run), pk_buf_done(&status), pk_buf_done(&example), pk_buf_done(&markdown);
}

Test(options, the_example_file_is_a_file_of_options)
{
    struct pk_buf example = {0};
    options_example(&set, &example);
    for (char *at = example.ptr; (at = strstr(at, "\n#")); at++)
        if (at[2] != ' ' && !strstr(at, "password") && strncmp(at + 2, "kafka", 5) != 0)
            at[1] = ' ';
    char *path = write_temporary(example.ptr);
    struct values values = {0};
    struct options_result result = {0};
    struct pk_err err = {0};
    cr_assert_eq(parse_options("run", &values, &result, &err, ARGS("--config", path)), PK_OK, "%s", err.text);
    cr_assert_eq(values.memory, 200 << 20);
    result_done(&result);
    pk_buf_done(&example);
    unlink(path);
}

/* ---- log ---- */

static void read_line(char *out, size_t size)
{
    FILE *err = cr_get_redirected_stderr();
    cr_assert_not_null(fgets(out, (int)size, err));
}

Test(log, json_has_one_object_a_line, .init = cr_redirect_stderr)
{
    char line[1024];
    log_setup(LOG_INFO, LOG_AUTO, "polku-test"); /* not a terminal */
    log_write(LOG_DEBUG, "nobody sees this", "a=%d", 1);
    log_write(LOG_WARN, "batch \"halved\"", "records=%d rate=%.1f topic=%s why=\"%s\" id=007", 12, 0.5, "events-1", "a \"b\" c\n");
    fflush(stderr);
    read_line(line, sizeof line);
    json_error_t error;
    json_t *json = json_loads(line, 0, &error);
    cr_assert_not_null(json, "%s: %s", error.text, line);
    cr_assert_str_eq(json_string_value(json_object_get(json, "level")), "warn");
    cr_assert_str_eq(json_string_value(json_object_get(json, "message")), "batch \"halved\"");
    cr_assert_eq(json_integer_value(json_object_get(json, "records")), 12);
    cr_assert_eq(json_real_value(json_object_get(json, "rate")), 0.5);
    cr_assert_str_eq(json_string_value(json_object_get(json, "topic")), "events-1");
    cr_assert_str_eq(json_string_value(json_object_get(json, "why")), "a \"b\" c\n");
    cr_assert_str_eq(json_string_value(json_object_get(json, "id")), "007", "no leading zero is lost");
    json_decref(json);
}

Test(log, text_is_one_line_a_fact, .init = cr_redirect_stderr)
{
    char line[1024];
    log_setup(LOG_DEBUG, LOG_TEXT, "polku-test");
    log_write(LOG_INFO, "batch committed", "records=%d note=\"%s\"", 3, "two\nlines \033[31m");
    fflush(stderr);
    read_line(line, sizeof line);
    cr_assert(strstr(line, " info  batch committed  records=3 note=\"two lines  [31m\"\n"), "%s", line);
}
