/* SPDX-License-Identifier: Apache-2.0 */
/* Against librdkafka's mock cluster inside this process. */
#include "intake_member.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

enum { PARTITIONS = 4 };

static rd_kafka_t *producer;
static rd_kafka_mock_cluster_t *cluster;
static const char *brokers;
static int64_t written[PARTITIONS];

static void set_up(void)
{
    char text[300];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "linger.ms", "1", NULL, 0);
    producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    cr_assert(producer, "%s", text);
    cluster = rd_kafka_mock_cluster_new(producer, 1);
    brokers = rd_kafka_mock_cluster_bootstraps(cluster);
    rd_kafka_mock_topic_create(cluster, "events", PARTITIONS, 1);
    rd_kafka_brokers_add(producer, brokers);
}

static void tear_down(void)
{
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(producer);
}
TestSuite(intake, .init = set_up, .fini = tear_down, .timeout = 90);

static void write_records(int32_t partition, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        char value[24];
        int len = snprintf(value, sizeof value, "%" PRId64, written[partition]++);
        rd_kafka_resp_err_t err;
        while ((err = rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("events"), RD_KAFKA_V_PARTITION(partition),
                                        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(value, (size_t)len),
                                        RD_KAFKA_V_HEADER("h", "v", 1), RD_KAFKA_V_END)) ==
               RD_KAFKA_RESP_ERR__QUEUE_FULL)
            rd_kafka_poll(producer, 10);
        cr_assert_eq(err, 0, "%s", rd_kafka_err2str(err));
    }
    cr_assert_eq(rd_kafka_flush(producer, 20000), 0);
}

/* The mock cluster ends a rebalance only when the session time is over. */
static const struct kafka_property quick = {"session.timeout.ms", "6000"};

static struct intake_config config(void)
{
    return (struct intake_config){.brokers = brokers, .topics = "events", .group = "g", .client_id = "test",
                                  .queue_bytes = 8 << 20, .property = &quick, .properties = 1};
}

static void join(struct member *member)
{
    struct intake_config with = config();
    member->topic = "events";
    join_with(member, &with);
}

Test(intake, starts_where_it_is_told_and_reaches_the_end)
{
    int64_t stored[PARTITIONS] = {0, 60, -1, 100};
    for (int p = 0; p < PARTITIONS; p++)
        write_records(p, 100);
    struct member member = {.stored = stored};
    join(&member);
    cr_assert_not(intake_at_end(member.intake), "nothing is assigned yet");
    WAIT_FOR(&member, intake_at_end(member.intake));
    cr_assert_eq(member.records, 100 + 40 + 100 + 0, "%" PRIu64, member.records);
    for (int p = 0; p < PARTITIONS; p++)
        cr_assert_eq(intake_position(member.intake, "events", p), 100);
    cr_assert_eq(intake_position(member.intake, "events", 77), -1);

    write_records(2, 1);
    WAIT_FOR(&member, member.records == 241);
    WAIT_FOR(&member, intake_at_end(member.intake));
    cr_assert_eq(member.revoked, 0);
    leave(&member);
    cr_assert_eq(member.revoked, 0, "closing calls nobody back");
}

Test(intake, delivers_every_part_of_a_record)
{
    int64_t stored[PARTITIONS] = {0};
    struct member member = {.stored = stored};
    struct pk_err err = {0};
    rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("events"), RD_KAFKA_V_PARTITION(1), RD_KAFKA_V_KEY("k", 1),
                      RD_KAFKA_V_HEADER("one", "1", 1), RD_KAFKA_V_HEADER("none", NULL, 0), RD_KAFKA_V_END);
    rd_kafka_flush(producer, 5000);
    join(&member);
    struct intake_record record = {0};
    for (int64_t until = now_ms() + 30000; !record.message && now_ms() < until;)
        cr_assert_eq(intake_poll(member.intake, 50000, &record, &err), PK_OK);
    cr_assert(record.message);
    cr_assert_null(record.value.ptr, "a null value");
    cr_assert_eq(record.key.len, 1);
    cr_assert_eq(record.index, 1);
    struct pk_str name;
    struct pk_bytes value;
    cr_assert(intake_record_header(&record, 0, &name, &value));
    cr_assert(pk_str_eq(name, PK_STR("one")));
    cr_assert_eq(value.len, 1);
    cr_assert(intake_record_header(&record, 1, &name, &value));
    cr_assert_null(value.ptr);
    cr_assert_not(intake_record_header(&record, 2, &name, &value));
    intake_record_done(&record);
    leave(&member);
}

Test(intake, a_claim_that_fails_is_tried_again_without_losing_the_group)
{
    int64_t stored[PARTITIONS] = {0};
    write_records(0, 10);
    struct member member = {.stored = stored, .refuse = 2};
    join(&member);
    WAIT_FOR(&member, member.records == 10);
    cr_assert_eq(member.assigned, 1);
    cr_assert_eq(member.revoked, 0);
    cr_assert(strstr(member.last_note, "the database is away"));
    struct pk_err err;
    stored[0] = 4;
    cr_assert_eq(intake_reclaim(member.intake, 0, &err), PK_OK);
    WAIT_FOR(&member, member.assigned == 2);
    WAIT_FOR(&member, intake_at_end(member.intake));
    cr_assert_eq(member.records, 16);
    leave(&member);
}

Test(intake, rewinds_and_pauses_at_any_moment_without_gap_or_repeat)
{
    enum { RECORDS = 20000 };
    int64_t stored[PARTITIONS] = {0};
    for (int p = 0; p < PARTITIONS; p++)
        write_records(p, RECORDS);
    struct member member = {.stored = stored};
    join(&member);
    WAIT_FOR(&member, member.records > 0);
    disturb(&member, PARTITIONS, 150, (unsigned)now_ms());
    for (int p = 0; p < PARTITIONS; p++)
        cr_assert_eq(member.next[p], RECORDS);
    leave(&member);
}

static bool is_shared(const struct member *a, const struct member *b)
{
    for (int p = 0; p < PARTITIONS; p++)
        if (a->ours[p] == b->ours[p])
            return false;
    return true;
}

Test(intake, two_members_share_the_partitions_and_one_takes_over)
{
    int64_t stored[PARTITIONS] = {0};
    for (int p = 0; p < PARTITIONS; p++)
        write_records(p, 50);
    struct member a = {.stored = stored}, b = {.stored = stored};
    join(&a);
    WAIT_FOR(&a, a.records == 200);
    for (int p = 0; p < PARTITIONS; p++)
        stored[p] = 50;
    join(&b);
    /* On a slow machine the group may rebalance more than once until each partition belongs to one of them. */
    WAIT_FOR_BOTH(&a, &b, b.assigned > 0 && a.assigned > 1 && is_shared(&a, &b));
    cr_assert_geq(a.revoked, 1);
    for (int p = 0; p < PARTITIONS; p++)
        write_records(p, 10);
    WAIT_FOR_BOTH(&a, &b, a.records + b.records >= 240);
    for (int p = 0; p < PARTITIONS; p++)
        stored[p] = 60;
    leave(&a);
    WAIT_FOR(&b, b.ours[0] && b.ours[1] && b.ours[2] && b.ours[3]);
    write_records(0, 5);
    WAIT_FOR(&b, b.next[0] == 65);
    leave(&b);
}

Test(intake, an_offset_that_kafka_does_not_hold_stops)
{
    int64_t stored[PARTITIONS] = {0, 500, 0, 0};
    write_records(1, 10);
    struct member member = {.stored = stored};
    join(&member);
    struct intake_record record;
    struct pk_err err = {0};
    enum pk_status status = PK_OK;
    for (int64_t until = now_ms() + 30000; status == PK_OK && now_ms() < until;) {
        status = intake_poll(member.intake, 50000, &record, &err);
        if (status == PK_OK)
            intake_record_done(&record);
    }
    cr_assert_eq(status, PK_STOP);
    cr_assert(strstr(err.text, "events[1]: offset 500 is not in Kafka"), "%s", err.text);
    leave(&member);
}

Test(intake, what_exactness_rests_on_cannot_be_configured_away)
{
    struct intake_config with = config();
    struct kafka_property property = {"enable.auto.commit", "true"};
    struct intake_handler handler = {0};
    struct intake *intake;
    struct pk_err err = {0};
    with.property = &property;
    with.properties = 1;
    cr_assert_eq(intake_open(&with, &handler, &intake, &err), PK_REJECT);
    cr_assert(strstr(err.text, "enable.auto.commit"));
    property.name = "no.such.thing";
    cr_assert_eq(intake_open(&with, &handler, &intake, &err), PK_REJECT);
    cr_assert(strstr(err.text, "no.such.thing"));
}

Test(intake, a_probe_reads_the_ends_without_joining)
{
    write_records(3, 7);
    struct intake_config with = config();
    struct intake_probe *probe;
    struct intake_watermarks marks = {0};
    struct pk_err err = {0};
    cr_assert_eq(intake_probe_open(&with, &probe, &err), PK_OK, "%s", err.text);
    cr_assert_eq(intake_probe_read(probe, 10 * PK_SECOND_US, &marks, &err), PK_OK, "%s", err.text);
    cr_assert_eq(marks.list.len, PARTITIONS);
    cr_assert_eq(marks.list.ptr[3].high, 7);
    cr_assert_eq(marks.list.ptr[0].high, 0);
    pk_vec_done(&marks.list);
    intake_probe_close(probe);
}
