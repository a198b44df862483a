/* SPDX-License-Identifier: Apache-2.0 */
/* The intake against a real Kafka: what the mock cluster does not have (transactions, static members), and
 * its own answer to rewinds at random moments. */
#include "../unit/intake_member.h"

#include <librdkafka/rdkafka.h>
#include <unistd.h>

enum { PARTITIONS = 6 };

static const char *brokers;
static char topic[64];
static int64_t written[PARTITIONS];

static rd_kafka_t *open_producer(const char *transactional_id)
{
    char text[300];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0);
    rd_kafka_conf_set(conf, "linger.ms", "5", NULL, 0);
    if (transactional_id)
        rd_kafka_conf_set(conf, "transactional.id", transactional_id, NULL, 0);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    cr_assert(producer, "%s", text);
    return producer;
}

static void write_records(rd_kafka_t *producer, int32_t partition, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        char value[24];
        int len = snprintf(value, sizeof value, "%" PRId64, written[partition]++);
        rd_kafka_resp_err_t err;
        while ((err = rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
                                        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(value, (size_t)len),
                                        RD_KAFKA_V_END)) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            rd_kafka_poll(producer, 10);
        cr_assert_eq(err, 0, "%s", rd_kafka_err2str(err));
    }
    cr_assert_eq(rd_kafka_flush(producer, 30000), 0);
}

static void set_up(void)
{
    brokers = getenv("POLKU_TEST_BROKERS");
    if (!brokers)
        cr_skip("POLKU_TEST_BROKERS is not set: tests/support/servers.sh up");
    snprintf(topic, sizeof topic, "intake-%ld-%d", (long)time(NULL), (int)getpid());
}
TestSuite(intake_kafka, .init = set_up, .timeout = 150);

static struct intake_config config(const struct member *member)
{
    static const struct kafka_property quick[] = {{"session.timeout.ms", "10000"}, {"heartbeat.interval.ms", "500"}};
    return (struct intake_config){.brokers = brokers, .topics = topic, .group = topic, .client_id = "test",
                                  .instance_id = member->name, .queue_bytes = 16 << 20, .property = quick,
                                  .properties = 2};
}

static void join(struct member *member)
{
    member->topic = topic;
    struct intake_config with = config(member);
    join_with(member, &with);
}

Test(intake_kafka, rewinds_and_pauses_at_any_moment_without_gap_or_repeat)
{
    enum { RECORDS = 30000 };
    int64_t stored[PARTITIONS] = {0};
    rd_kafka_t *producer = open_producer(NULL);
    for (int p = 0; p < PARTITIONS; p++)
        write_records(producer, p, RECORDS);
    struct member member = {.stored = stored};
    join(&member);
    WAIT_FOR(&member, member.records > 0);
    disturb(&member, PARTITIONS, 250, (unsigned)now_ms());
    for (int p = 0; p < PARTITIONS; p++)
        cr_assert_eq(member.next[p], RECORDS);
    leave(&member);
    rd_kafka_destroy(producer);
}

static void transaction(rd_kafka_t *producer, int32_t partition, int64_t records, bool commit)
{
    rd_kafka_error_t *error = rd_kafka_begin_transaction(producer);
    cr_assert_null(error, "%s", rd_kafka_error_string(error));
    write_records(producer, partition, records);
    error = commit ? rd_kafka_commit_transaction(producer, 30000) : rd_kafka_abort_transaction(producer, 30000);
    cr_assert_null(error, "%s", rd_kafka_error_string(error));
}

static int64_t end_of(const struct member *member, int32_t partition)
{
    struct intake_config with = config(member);
    struct intake_watermarks marks = {0};
    struct intake_probe *probe;
    struct pk_err err = {0};
    with.instance_id = NULL;
    cr_assert_eq(intake_probe_open(&with, &probe, &err), PK_OK, "%s", err.text);
    cr_assert_eq(intake_probe_read(probe, 10 * PK_SECOND_US, &marks, &err), PK_OK, "%s", err.text);
    int64_t end = marks.list.ptr[partition].high;
    pk_vec_done(&marks.list);
    intake_probe_close(probe);
    return end;
}

Test(intake_kafka, positions_move_over_what_transactions_leave_behind)
{
    int64_t stored[PARTITIONS] = {0};
    rd_kafka_t *producer = open_producer(topic);
    rd_kafka_error_t *error = rd_kafka_init_transactions(producer, 60000);
    cr_assert_null(error, "%s", rd_kafka_error_string(error));
    for (int round = 0; round < 5; round++) {
        transaction(producer, 2, 100, true);
        transaction(producer, 2, 50, false);
    }
    struct member member = {.stored = stored, .gaps = true};
    join(&member);
    WAIT_FOR(&member, intake_at_end(member.intake));
    cr_assert_eq(member.records, 500, "%" PRIu64 " records, the aborted ones are none", member.records);
    cr_assert_eq(intake_position(member.intake, topic, 2), 5 * (101 + 51));
    cr_assert_eq(intake_position(member.intake, topic, 2), end_of(&member, 2));

    struct pk_err err = {0};
    struct intake_partition into_markers = {topic, 2, 5 * (101 + 51) - 1};
    cr_assert_eq(intake_rewind(member.intake, &into_markers, 1, &err), PK_OK, "%s", err.text);
    WAIT_FOR(&member, intake_at_end(member.intake));
    cr_assert_eq(member.records, 500);

    transaction(producer, 2, 20, false); /* nothing but aborted records and a marker */
    WAIT_FOR(&member, intake_position(member.intake, topic, 2) == 5 * (101 + 51) + 21);
    cr_assert_eq(member.records, 500);
    leave(&member);
    rd_kafka_destroy(producer);
}

Test(intake_kafka, members_come_and_go_and_every_partition_has_one_owner)
{
    int64_t stored[PARTITIONS] = {0};
    rd_kafka_t *producer = open_producer(NULL);
    for (int p = 0; p < PARTITIONS; p++)
        write_records(producer, p, 50);
    struct member a = {.stored = stored}, b = {.stored = stored};
    join(&a);
    WAIT_FOR(&a, a.records == 300);
    for (int p = 0; p < PARTITIONS; p++)
        stored[p] = 50;
    join(&b);
    WAIT_FOR_BOTH(&a, &b, b.assigned > 0 && a.assigned > 1);
    for (int p = 0; p < PARTITIONS; p++) {
        cr_assert_neq(a.ours[p], b.ours[p]);
        write_records(producer, p, 10);
    }
    WAIT_FOR_BOTH(&a, &b, a.records + b.records == 360);
    for (int p = 0; p < PARTITIONS; p++)
        stored[p] = 60;
    leave(&b);
    WAIT_FOR(&a, a.ours[0] && a.ours[1] && a.ours[2] && a.ours[3] && a.ours[4] && a.ours[5]);
    write_records(producer, 5, 5);
    WAIT_FOR(&a, a.next[5] == 65);
    cr_assert_eq(a.lost, 0);
    leave(&a);
    rd_kafka_destroy(producer);
}

Test(intake_kafka, a_static_member_that_restarts_moves_no_partition)
{
    int64_t stored[PARTITIONS] = {0};
    rd_kafka_t *producer = open_producer(NULL);
    for (int p = 0; p < PARTITIONS; p++)
        write_records(producer, p, 1);
    struct member a = {.name = "a", .stored = stored}, b = {.name = "b", .stored = stored};
    join(&a);
    join(&b);
    bool had[PARTITIONS];
    WAIT_FOR_BOTH(&a, &b, a.assigned && b.assigned && intake_at_end(a.intake) && intake_at_end(b.intake));
    memcpy(had, b.ours, sizeof had);
    int a_assigned = a.assigned, b_assigned = b.assigned, a_revoked = a.revoked;
    leave(&b);
    join(&b);
    WAIT_FOR_BOTH(&a, &b, b.assigned > b_assigned);
    cr_assert_eq(a.assigned, a_assigned);
    cr_assert_eq(a.revoked, a_revoked);
    cr_assert_arr_eq(had, b.ours, sizeof had);
    leave(&b);
    leave(&a);
    rd_kafka_destroy(producer);
}
