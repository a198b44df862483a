/* SPDX-License-Identifier: Apache-2.0 */
/* What doctor makes of facts; tests/integration/doctor.py has real servers. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "doctor.h"

static struct doctor_wants wants(void)
{
    return (struct doctor_wants){.max_ahead_us = 300 * PK_SECOND_US, .schema = 10, .derivation = 3, .rules_hash = "rules", .key_check = "key"};
}

static struct look_database good_database(void)
{
    struct look_database db = {.reached = true, .version = 150004, .encoding = "UTF8", .connections = 10, .user = "polku_app", .schema_known = true,
                               .schema = 10, .oldest_program = 9, .rights_known = true, .begun = true, .rules_hash = "rules", .key_check = "key",
                               .derivation = 3};
    static const char *const value[LOOK_PARAMETER_COUNT] = {
        [LOOK_PG_FSYNC] = "on", [LOOK_PG_FULL_PAGE_WRITES] = "on", [LOOK_PG_SYNCHRONOUS_COMMIT] = "on", [LOOK_PG_AUTOVACUUM] = "on",
        [LOOK_PG_TRACK_COUNTS] = "on", [LOOK_PG_READ_ONLY] = "off", [LOOK_PG_STATEMENT_TIMEOUT] = "0", [LOOK_PG_IDLE_SESSION_TIMEOUT] = "0",
        [LOOK_PG_MAX_CONNECTIONS] = "100", [LOOK_PG_RESERVED_CONNECTIONS] = "3", [LOOK_PG_WORK_MEM] = "4096", [LOOK_PG_SHARED_BUFFERS] = "16384",
        [LOOK_PG_MAX_WAL_SIZE] = "1024", [LOOK_PG_CHECKPOINT_TIMEOUT] = "300"};
    for (size_t i = 0; i < LOOK_PARAMETER_COUNT; i++)
        snprintf(db.parameter[i], sizeof db.parameter[i], "%s", value[i] ? value[i] : "");
    return db;
}

/* How often a check said so, of all that was found. */
static size_t count_of(const struct doctor_report *report, enum doctor_check check, enum doctor_verdict verdict)
{
    size_t count = 0;
    for (size_t i = 0; i < report->finding.len; i++)
        count += report->finding.ptr[i].check == check && report->finding.ptr[i].verdict == verdict;
    return count;
}

/* Exactly this check is not OK. */
#define expect_only(report, wanted_check, wanted_verdict)                                                                            \
    do {                                                                                                                             \
        for (size_t i_ = 0; i_ < (report).finding.len; i_++) {                                                                       \
            const struct doctor_finding *f_ = &(report).finding.ptr[i_];                                                             \
            cr_assert(f_->verdict == DOCTOR_OK || f_->check == (wanted_check), "%s: %s", doctor_check_id(f_->check), f_->text);      \
            cr_assert(f_->verdict == DOCTOR_OK || f_->todo[0], "%s says what to do", doctor_check_id(f_->check));                    \
        }                                                                                                                            \
        cr_assert_eq(count_of(&(report), (wanted_check), (wanted_verdict)), 1, "%s", doctor_check_id(wanted_check));                 \
        pk_vec_done(&(report).finding);                                                                                              \
    } while (0)

static struct doctor_report judged(const struct look_database *db)
{
    struct doctor_report report = {0};
    struct doctor_wants wanted = wants();
    doctor_judge_database(db, &wanted, &report);
    return report;
}

Test(doctor_verdicts, a_database_as_it_should_be_has_nothing_to_tell)
{
    struct look_database db = good_database();
    struct doctor_report report = judged(&db);
    cr_assert_eq(doctor_count(&report, DOCTOR_OK), report.finding.len);
    cr_assert_gt(report.finding.len, 12);
    pk_vec_done(&report.finding);
}

#define expect_setting(which, text, check, verdict)                                                                                  \
    do {                                                                                                                             \
        struct look_database db_ = good_database();                                                                                  \
        snprintf(db_.parameter[which], sizeof db_.parameter[which], "%s", text);                                                     \
        struct doctor_report report_ = judged(&db_);                                                                                 \
        expect_only(report_, check, verdict);                                                                                        \
    } while (0)

Test(doctor_verdicts, settings_of_postgresql_that_lose_or_cut)
{
    expect_setting(LOOK_PG_FSYNC, "off", DOCTOR_DURABLE, DOCTOR_FAIL);
    expect_setting(LOOK_PG_FULL_PAGE_WRITES, "off", DOCTOR_DURABLE, DOCTOR_FAIL);
    expect_setting(LOOK_PG_SYNCHRONOUS_COMMIT, "off", DOCTOR_DURABLE, DOCTOR_WARN);
    expect_setting(LOOK_PG_READ_ONLY, "on", DOCTOR_WRITABLE, DOCTOR_FAIL);
    expect_setting(LOOK_PG_AUTOVACUUM, "off", DOCTOR_AUTOVACUUM, DOCTOR_WARN);
    expect_setting(LOOK_PG_TRACK_COUNTS, "off", DOCTOR_AUTOVACUUM, DOCTOR_WARN);
    expect_setting(LOOK_PG_STATEMENT_TIMEOUT, "1000", DOCTOR_TIMEOUTS, DOCTOR_WARN);
    expect_setting(LOOK_PG_TRANSACTION_TIMEOUT, "1000", DOCTOR_TIMEOUTS, DOCTOR_WARN);
    expect_setting(LOOK_PG_IDLE_SESSION_TIMEOUT, "1000", DOCTOR_TIMEOUTS, DOCTOR_WARN);
    expect_setting(LOOK_PG_MAX_CONNECTIONS, "17", DOCTOR_CONNECTIONS, DOCTOR_WARN);
    expect_setting(LOOK_PG_WORK_MEM, "1024", DOCTOR_MEMORY, DOCTOR_WARN);
    expect_setting(LOOK_PG_SHARED_BUFFERS, "1024", DOCTOR_MEMORY, DOCTOR_WARN);
    expect_setting(LOOK_PG_MAX_WAL_SIZE, "256", DOCTOR_WAL, DOCTOR_WARN);
    expect_setting(LOOK_PG_CHECKPOINT_TIMEOUT, "30", DOCTOR_WAL, DOCTOR_WARN);
}

#define expect_database(change, check, verdict)                                                                                      \
    do {                                                                                                                             \
        struct look_database db = good_database();                                                                                   \
        change;                                                                                                                      \
        struct doctor_report report_ = judged(&db);                                                                                  \
        expect_only(report_, check, verdict);                                                                                        \
    } while (0)

Test(doctor_verdicts, a_database_that_consumers_cannot_use_or_that_gives_them_too_much)
{
    expect_database(db.reached = false, DOCTOR_SERVER, DOCTOR_FAIL);
    expect_database(db.version = 140009, DOCTOR_VERSION, DOCTOR_FAIL);
    expect_database(db.standby = true, DOCTOR_WRITABLE, DOCTOR_FAIL);
    expect_database(db.pooled = true, DOCTOR_POOLER, DOCTOR_WARN);
    expect_database(strcpy(db.encoding, "LATIN1"), DOCTOR_ENCODING, DOCTOR_FAIL);
    expect_database(db.schema = 0, DOCTOR_SCHEMA, DOCTOR_FAIL);
    expect_database(db.schema = 9, DOCTOR_SCHEMA, DOCTOR_FAIL);
    expect_database(db.schema_known = false, DOCTOR_SCHEMA, DOCTOR_FAIL);
    expect_database((db.schema = 12, db.oldest_program = 11), DOCTOR_SCHEMA, DOCTOR_FAIL);
    expect_database(strcpy(db.lacking, "INSERT on polku.interaction"), DOCTOR_RIGHTS, DOCTOR_FAIL);
    expect_database(db.superuser = true, DOCTOR_NO_MORE, DOCTOR_WARN);
    expect_database(db.owner = true, DOCTOR_NO_MORE, DOCTOR_WARN);
    expect_database(db.makes_roles = true, DOCTOR_NO_MORE, DOCTOR_WARN);
    expect_database(db.ahead_us = -60 * PK_SECOND_US, DOCTOR_CLOCK, DOCTOR_WARN);
    expect_database(strcpy(db.rules_hash, "others"), DOCTOR_SAME_RULES, DOCTOR_FAIL);
    expect_database(db.derivation = 2, DOCTOR_SAME_RULES, DOCTOR_FAIL);
    expect_database(strcpy(db.key_check, "another"), DOCTOR_SAME_KEY, DOCTOR_FAIL);
}

Test(doctor_verdicts, a_newer_schema_that_lets_this_program_work_is_fine)
{
    struct look_database db = good_database();
    db.schema = 12;
    db.oldest_program = 10;
    db.ahead_us = 60 * PK_SECOND_US;
    db.unsure_us = 58 * PK_SECOND_US;
    struct doctor_report report = judged(&db);
    cr_assert_eq(doctor_count(&report, DOCTOR_OK), report.finding.len, "nor does a slow answer make a wrong clock");
    pk_vec_done(&report.finding);
}

/* ---- Kafka ---- */

static struct look_topic good_topic(void)
{
    struct look_topic topic = {.name = "interactions", .answer = LOOK_TOLD};
    static const char *const value[LOOK_SETTING_COUNT] = {"delete", "604800000", "-1", "2", "1048588", "CreateTime"};
    for (size_t i = 0; i < LOOK_SETTING_COUNT; i++)
        snprintf(topic.setting[i], sizeof topic.setting[i], "%s", value[i]);
    return topic;
}

static struct look_partitions good_partitions(void)
{
    return (struct look_partitions){.topic = "interactions", .answer = LOOK_TOLD, .partitions = 6, .replicas = 3, .read = true, .newest_at_us = PK_NO_TIME};
}

#define expect_topic(which, text, check, verdict)                                                                                    \
    do {                                                                                                                             \
        struct look_topic topic_ = good_topic();                                                                                     \
        struct look_partitions partitions_ = good_partitions();                                                                      \
        struct doctor_report report_ = {0};                                                                                          \
        snprintf(topic_.setting[which], sizeof topic_.setting[which], "%s", text);                                                   \
        doctor_judge_topic(&topic_, &partitions_, &report_);                                                                         \
        expect_only(report_, check, verdict);                                                                                        \
    } while (0)

Test(doctor_verdicts, settings_of_a_topic)
{
    expect_topic(LOOK_CLEANUP_POLICY, "delete", DOCTOR_CLEANUP, DOCTOR_OK);
    expect_topic(LOOK_CLEANUP_POLICY, "compact", DOCTOR_CLEANUP, DOCTOR_WARN);
    expect_topic(LOOK_CLEANUP_POLICY, "compact,delete", DOCTOR_CLEANUP, DOCTOR_WARN);
    expect_topic(LOOK_RETENTION_MS, "-1", DOCTOR_RETENTION, DOCTOR_OK);
    expect_topic(LOOK_RETENTION_MS, "604799999", DOCTOR_RETENTION, DOCTOR_WARN);
    expect_topic(LOOK_RETENTION_BYTES, "1000000000", DOCTOR_RETENTION, DOCTOR_WARN);
    expect_topic(LOOK_MIN_INSYNC_REPLICAS, "1", DOCTOR_MIN_INSYNC, DOCTOR_WARN);
    expect_topic(LOOK_MIN_INSYNC_REPLICAS, "3", DOCTOR_MIN_INSYNC, DOCTOR_WARN);
    expect_topic(LOOK_MAX_MESSAGE_BYTES, "65536", DOCTOR_MESSAGE_BYTES, DOCTOR_WARN);
    expect_topic(LOOK_TIMESTAMP_TYPE, "LogAppendTime", DOCTOR_TIMESTAMPS, DOCTOR_OK);
}

Test(doctor_verdicts, settings_that_may_not_be_read_are_no_ok)
{
    struct look_topic topic = {.name = "interactions", .answer = LOOK_DENIED};
    struct look_partitions partitions = good_partitions();
    struct doctor_report report = {0};
    doctor_judge_topic(&topic, &partitions, &report);
    expect_only(report, DOCTOR_SETTINGS, DOCTOR_WARN);
}

#define expect_partitions(change, check, verdict)                                                                                    \
    do {                                                                                                                             \
        struct look_partitions look = good_partitions();                                                                             \
        struct doctor_wants wanted_ = wants();                                                                                       \
        struct doctor_report report_ = {0};                                                                                          \
        change;                                                                                                                      \
        doctor_judge_partitions(&look, &wanted_, 1000 * PK_SECOND_US, &report_);                                                     \
        expect_only(report_, check, verdict);                                                                                        \
    } while (0)

Test(doctor_verdicts, a_topic_that_cannot_be_read_or_may_be_lost)
{
    expect_partitions(look.answer = LOOK_TOLD, DOCTOR_TOPIC, DOCTOR_OK);
    expect_partitions(look.answer = LOOK_NO_TOPIC, DOCTOR_TOPIC, DOCTOR_FAIL);
    expect_partitions(look.answer = LOOK_DENIED, DOCTOR_TOPIC, DOCTOR_FAIL);
    expect_partitions(look.answer = LOOK_FAILED, DOCTOR_TOPIC, DOCTOR_FAIL);
    expect_partitions(look.leaderless = 1, DOCTOR_LEADERS, DOCTOR_FAIL);
    expect_partitions(look.replicas = 1, DOCTOR_REPLICAS, DOCTOR_WARN);
    expect_partitions(look.behind = 2, DOCTOR_REPLICAS, DOCTOR_WARN);
    expect_partitions((look.denied = true, look.read = false), DOCTOR_READ, DOCTOR_FAIL);
    expect_partitions(look.newest_at_us = 1299 * PK_SECOND_US, DOCTOR_KAFKA_CLOCK, DOCTOR_OK);
    expect_partitions(look.newest_at_us = 1301 * PK_SECOND_US, DOCTOR_KAFKA_CLOCK, DOCTOR_WARN);
    expect_partitions(look.newest_at_us = 10 * PK_SECOND_US, DOCTOR_KAFKA_CLOCK, DOCTOR_OK);
}

static struct doctor_report judged_position(int64_t next, int64_t low, int64_t high)
{
    struct look_partitions look = good_partitions();
    struct look_database db = good_database();
    struct doctor_report report = {0};
    *pk_vec_push(&look.mark) = (struct intake_watermark){"interactions", 3, low, high};
    *pk_vec_push(&db.place) = (struct look_place){"interactions", 3, next};
    *pk_vec_push(&db.place) = (struct look_place){"others", 3, 0};
    doctor_judge_positions(&look, &db, &report);
    pk_vec_done(&look.mark);
    pk_vec_done(&db.place);
    return report;
}

Test(doctor_verdicts, a_stored_position_lies_in_what_kafka_holds)
{
    struct doctor_report held = judged_position(10, 10, 20), end = judged_position(20, 10, 20), before = judged_position(9, 10, 20),
                         behind = judged_position(21, 10, 20);
    expect_only(held, DOCTOR_POSITION, DOCTOR_OK);
    expect_only(end, DOCTOR_POSITION, DOCTOR_OK);
    expect_only(before, DOCTOR_POSITION, DOCTOR_FAIL);
    expect_only(behind, DOCTOR_POSITION, DOCTOR_FAIL);
}

static struct doctor_report judged_group(enum look_answer answer, const char *assignor, const char *instance)
{
    struct look_group group = {.answer = answer, .state = "Stable"};
    struct doctor_wants wanted = wants();
    struct doctor_report report = {0};
    struct look_member member = {.client = "c", .host = "/10.0.0.1"};
    snprintf(group.assignor, sizeof group.assignor, "%s", assignor);
    snprintf(member.instance, sizeof member.instance, "%s", instance);
    *pk_vec_push(&group.member) = member;
    wanted.instance_id = "consumer-1";
    doctor_judge_group(&group, &wanted, &report);
    pk_vec_done(&group.member);
    return report;
}

Test(doctor_verdicts, a_group_that_ours_can_join)
{
    struct doctor_report fine = judged_group(LOOK_TOLD, "range", "consumer-2"), same = judged_group(LOOK_TOLD, "range", "consumer-1"),
                         other = judged_group(LOOK_TOLD, "roundrobin", "consumer-2"), denied = judged_group(LOOK_DENIED, "", "");
    expect_only(fine, DOCTOR_INSTANCE, DOCTOR_OK);
    expect_only(same, DOCTOR_INSTANCE, DOCTOR_WARN);
    expect_only(other, DOCTOR_GROUP, DOCTOR_FAIL);
    expect_only(denied, DOCTOR_GROUP, DOCTOR_FAIL);
}

/* ---- telling ---- */

Test(doctor_verdicts, findings_are_one_line_each_whatever_a_server_says)
{
    struct doctor_report report = {0};
    struct pk_buf text = {0}, json = {0};
    doctor_find(&report, DOCTOR_SERVER, DOCTOR_FAIL, "", "start it", "no connection: %s", "says \"no\"\n\x1b[31m\xff");
    doctor_find(&report, DOCTOR_VERSION, DOCTOR_OK, "", "not shown", "PostgreSQL 15");
    doctor_print(&report, &text);
    cr_assert(strstr(text.ptr, "FAIL  postgres.answers       no connection: says \"no\"  [31m"), "%s", text.ptr);
    cr_assert(strstr(text.ptr, ". To do: start it\nOK    postgres.version       PostgreSQL 15\n1 OK, 0 WARN, 1 FAIL\n"), "%s", text.ptr);
    doctor_json(&report, &json);
    cr_assert(strstr(json.ptr, "\"check\": \"postgres.answers\", \"verdict\": \"FAIL\", \"about\": \"\", \"text\": \"no connection: says \\\"no\\\"  [31m?\", "
                               "\"todo\": \"start it\"}"), "%s", json.ptr);
    pk_buf_done(&text);
    pk_buf_done(&json);
    pk_vec_done(&report.finding);
}
