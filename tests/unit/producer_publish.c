/* SPDX-License-Identifier: Apache-2.0 */
/* The library against librdkafka's mock cluster in the same process. */
#include <criterion/criterion.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "event_avro.h"
#include "polku/producer.h"

#define TOPIC "interactions"
#define NOON INT64_C(1736164800000000) /* 2025-01-06T12:00:00Z */

static rd_kafka_t *host; /* of the mock cluster */
static rd_kafka_mock_cluster_t *cluster;
static struct polku_producer *producer;
static struct polku_error error;
static atomic_int delivered, lost;
static char last_loss[256];

static void on_delivered(void *context, void *token, const char *why)
{
    cr_assert_eq(context, &delivered);
    (void)token;
    delivered += why == NULL;
    lost += why != NULL;
    if (why)
        snprintf(last_loss, sizeof last_loss, "%s", why);
}

static void quiet(void *context, int level, const char *text)
{
    (void)context, (void)level, (void)text;
}

static void set_up(void)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, NULL);
    host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    cluster = rd_kafka_mock_cluster_new(host, 1);
    rd_kafka_mock_topic_create(cluster, TOPIC, 1, 1);
}

static void clean_up(void)
{
    polku_producer_close(producer, 100, NULL, NULL);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(host);
}

TestSuite(publish, .init = set_up, .fini = clean_up, .timeout = 60);

static struct polku_config config_for(const char *brokers, const struct polku_property *property, size_t count)
{
    return (struct polku_config){.struct_size = sizeof(struct polku_config), .brokers = brokers, .topic = TOPIC,
                                 .property = property, .property_count = count, .delivered = on_delivered,
                                 .log = quiet, .context = &delivered};
}

static void open_producer(enum polku_frame frame)
{
    struct polku_config config = config_for(rd_kafka_mock_cluster_bootstraps(cluster), NULL, 0);
    config.frame = frame;
    config.schema_id = 7;
    cr_assert_eq(polku_producer_open(&config, &producer, &error), POLKU_OK, "%s", error.text);
}

static const struct polku_identifier who[] = {{"cookie", "c-1"}, {"shop/customer_id", "8812"}};

static struct polku_event event_named(const char *id)
{
    return (struct polku_event){.struct_size = sizeof(struct polku_event), .event_id = id, .source = "callcentre",
                                .occurred_at_us = NOON, .type = "contact.inbound", .channel = "phone",
                                .direction = POLKU_INBOUND, .actor = POLKU_CUSTOMER, .brand = "Shop",
                                .identifier = who, .identifier_count = 2};
}

/* Reads `count` messages of the only partition; the caller looks at them through `each`. */
static void consume(int count, void (*each)(const rd_kafka_message_t *message, int index))
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(cluster), text, sizeof text);
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(consumer, TOPIC, NULL);
    cr_assert_eq(rd_kafka_consume_start(topic, 0, RD_KAFKA_OFFSET_BEGINNING), 0);
    for (int i = 0; i < count;) {
        rd_kafka_message_t *message = rd_kafka_consume(topic, 0, 1000);
        if (!message)
            continue;
        if (!message->err)
            each(message, i++);
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consume_stop(topic, 0);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(consumer);
}

static struct event decode(const rd_kafka_message_t *message)
{
    static struct schema_set *schemas;
    static struct pk_arena arena;
    struct event event;
    struct pk_err err;
    enum reject_reason reason;
    if (!schemas)
        cr_assert_eq(schema_set_open(NULL, NULL, &schemas, &err), PK_OK, "%s", err.text);
    cr_assert_eq(event_decode(schemas, (struct pk_bytes){message->payload, message->len}, &arena, &event, &reason, &err),
                 PK_OK, "%s", err.text);
    return event;
}

static void check_full(const rd_kafka_message_t *message, int index)
{
    struct event event = decode(message);
    char id[8];
    snprintf(id, sizeof id, "call-%d", index + 1);
    cr_assert(pk_str_eq(event.event_id, pk_str(id)));
    cr_assert_eq(event.direction, EVENT_INBOUND);
    cr_assert_eq(event.actor, EVENT_CUSTOMER);
    cr_assert(event.has_obligation && event.has_money && event.has_handoff && event.has_rating);
    cr_assert_eq(event.obligation.due_from_us, PK_NO_TIME);
    cr_assert_eq(event.obligation.due_to_us, NOON + 1);
    cr_assert_eq(event.money.amount_minor, 1250);
    cr_assert(pk_str_eq(event.handoff.to_unit, PK_STR("desk")));
    cr_assert(pk_str_eq(event.attribute[0].value, PK_STR("v")));
    cr_assert_eq(message->key_len, strlen("shop/customer_id:8812"));
    cr_assert_eq(memcmp(message->key, "shop/customer_id:8812", message->key_len), 0);
    rd_kafka_timestamp_type_t type;
    int64_t age_ms = time(NULL) * 1000L - rd_kafka_message_timestamp(message, &type);
    cr_assert(age_ms > -60000 && age_ms < 60000);
}

Test(publish, what_is_sent_arrives_complete_with_the_strongest_identifier_as_key)
{
    open_producer(POLKU_SINGLE_OBJECT);
    const struct polku_obligation obligation = {"p-1", "callback", POLKU_NO_TIME, NOON + 1, NULL, NULL, NULL};
    const struct polku_money money = {1250, "EUR", "payment"};
    const struct polku_handoff handoff = {.to_unit = "desk"};
    const struct polku_rating rating = {"csat", 4, 1, 5};
    const struct polku_attribute attribute = {"k", "v"};
    struct polku_event event = event_named("call-1");
    event.obligation = &obligation, event.money = &money, event.handoff = &handoff, event.rating = &rating;
    event.attribute = &attribute, event.attribute_count = 1;
    cr_assert_eq(polku_producer_send(producer, &event, NULL, &error), POLKU_OK, "%s", error.text);
    static const char json[] =
        "{\"event_id\": \"call-2\", \"source\": \"callcentre\", \"occurred_at\": \"2025-01-06T12:00:00Z\","
        "\"type\": \"contact.inbound\", \"channel\": \"phone\", \"direction\": \"INBOUND\", \"actor\": \"CUSTOMER\","
        "\"brand\": \"Shop\", \"identifiers\": [{\"namespace\": \"cookie\", \"value\": \"c-1\"},"
        "{\"namespace\": \"shop/customer_id\", \"value\": \"8812\"}], \"attributes\": {\"k\": \"v\"},"
        "\"obligation\": {\"id\": \"p-1\", \"kind\": \"callback\", \"due_to\": \"2025-01-06T12:00:00.000001Z\"},"
        "\"money\": {\"amount_minor\": 1250, \"currency\": \"EUR\", \"kind\": \"payment\"},"
        "\"handoff\": {\"to_unit\": \"desk\"}, \"rating\": {\"scale\": \"csat\", \"score\": 4, \"min\": 1, \"max\": 5}}";
    cr_assert_eq(polku_producer_send_json(producer, json, strlen(json), NULL, &error), POLKU_OK, "%s", error.text);
    cr_assert_eq(polku_producer_flush(producer, 10000, &error), POLKU_OK, "%s", error.text);
    cr_assert_eq(delivered, 2);
    consume(2, check_full);
}

static void check_confluent(const rd_kafka_message_t *message, int index)
{
    (void)index;
    cr_assert_eq(memcmp(message->payload, "\0\0\0\0\7", 5), 0);
}

Test(publish, the_confluent_frame_carries_the_schema_id)
{
    open_producer(POLKU_CONFLUENT);
    struct polku_event event = event_named("call-1");
    cr_assert_eq(polku_producer_send(producer, &event, NULL, &error), POLKU_OK);
    cr_assert_eq(polku_producer_flush(producer, 10000, &error), POLKU_OK);
    consume(1, check_confluent);
}

Test(publish, an_invalid_event_is_refused_and_nothing_is_sent)
{
    open_producer(POLKU_SINGLE_OBJECT);
    struct polku_report report = {.struct_size = sizeof report};
    struct polku_event event = event_named("call-1");
    event.brand = NULL;
    cr_assert_eq(polku_producer_send(producer, &event, NULL, &error), POLKU_INVALID);
    cr_assert_str_eq(error.text, "brand is missing");
    event = event_named("call-1");
    event.occurred_at_us = (int64_t)(time(NULL) + 3600) * 1000000;
    cr_assert_eq(polku_producer_send(producer, &event, NULL, &error), POLKU_INVALID);
    event = event_named("call-1");
    event.struct_size = 0;
    cr_assert_eq(polku_producer_send(producer, &event, NULL, &error), POLKU_INVALID);
    cr_assert_eq(polku_producer_send_json(producer, "{", 1, NULL, NULL), POLKU_INVALID);
    polku_producer_report(producer, &report);
    cr_assert_eq(report.accepted, 0);
    cr_assert_eq(report.invalid, 4);
}

static void check_order(const rd_kafka_message_t *message, int index)
{
    char id[16];
    snprintf(id, sizeof id, "e-%d", index);
    struct event event = decode(message);
    cr_assert(pk_str_eq(event.event_id, pk_str(id)), "place %d holds %.*s", index, PK_STR_ARG(event.event_id));
}

Test(publish, errors_of_the_broker_cost_time_but_no_event_and_no_order)
{
    open_producer(POLKU_SINGLE_OBJECT);
    for (int round = 0; round < 3; round++) {
        rd_kafka_mock_push_request_errors(cluster, 0 /* Produce */, 2, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
                                          RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
        for (int i = 0; i < 40; i++) {
            char id[16];
            snprintf(id, sizeof id, "e-%d", round * 40 + i);
            struct polku_event event = event_named(id);
            cr_assert_eq(polku_producer_send(producer, &event, NULL, &error), POLKU_OK);
        }
        cr_assert_eq(polku_producer_flush(producer, 30000, &error), POLKU_OK, "%s", error.text);
    }
    struct polku_report report = {.struct_size = sizeof report};
    cr_assert_eq(polku_producer_close(producer, 10000, &report, &error), POLKU_OK, "%s", error.text);
    producer = NULL;
    cr_assert_eq(report.delivered, 120);
    cr_assert_eq(report.failed, 0);
    consume(120, check_order);
}

Test(publish, without_a_broker_events_are_given_up_and_reported)
{
    const struct polku_property property[] = {{"queue.buffering.max.messages", "3"}};
    struct polku_config config = config_for("127.0.0.1:1", property, 1);
    config.queue_wait_ms = 50;
    cr_assert_eq(polku_producer_open(&config, &producer, &error), POLKU_OK, "%s", error.text);
    struct polku_event event = event_named("call-1");
    for (int i = 0; i < 3; i++)
        cr_assert_eq(polku_producer_send(producer, &event, NULL, &error), POLKU_OK);
    cr_assert_eq(polku_producer_send(producer, &event, NULL, &error), POLKU_BUSY, "the queue is full");
    cr_assert_eq(polku_producer_flush(producer, 50, &error), POLKU_BUSY);
    struct polku_report report = {.struct_size = sizeof report};
    cr_assert_eq(polku_producer_close(producer, 50, &report, &error), POLKU_FAILED);
    producer = NULL;
    cr_assert_eq(report.failed, 3);
    cr_assert_eq(lost, 3, "the callback heard of each");
    cr_assert(report.first_failure[0] && last_loss[0]);
}

Test(publish, its_promise_is_not_for_negotiation)
{
    static const struct polku_property wrong[] = {
        {"enable.idempotence", "false"}, {"acks", "1"}, {"request.required.acks", "0"}, {"no.such.property", "x"}};
    for (size_t i = 0; i < PK_COUNT(wrong); i++) {
        struct polku_config config = config_for("127.0.0.1:1", &wrong[i], 1);
        cr_assert_eq(polku_producer_open(&config, &producer, &error), POLKU_INVALID);
        cr_assert(strstr(error.text, wrong[i].name), "%s", error.text);
    }
    struct polku_config config = {.struct_size = sizeof config, .topic = TOPIC};
    cr_assert_eq(polku_producer_open(&config, &producer, &error), POLKU_INVALID);
    cr_assert_null(producer);
}

enum { THREADS = 4, EACH = 300 };

static void *send_many(void *arg)
{
    for (int i = 0; i < EACH; i++) {
        char id[32];
        snprintf(id, sizeof id, "t-%d-%d", *(int *)arg, i);
        struct polku_event event = event_named(id);
        cr_assert_eq(polku_producer_send(producer, &event, NULL, NULL), POLKU_OK);
    }
    return NULL;
}

Test(publish, threads_may_share_a_producer)
{
    open_producer(POLKU_SINGLE_OBJECT);
    pthread_t thread[THREADS];
    int number[THREADS];
    for (int i = 0; i < THREADS; i++) {
        number[i] = i;
        pthread_create(&thread[i], NULL, send_many, &number[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    struct polku_report report = {.struct_size = sizeof report};
    cr_assert_eq(polku_producer_close(producer, 10000, &report, &error), POLKU_OK, "%s", error.text);
    producer = NULL;
    cr_assert_eq(report.delivered, THREADS * EACH);
}

Test(publish, a_full_queue_is_told_at_once_if_nobody_wants_to_wait)
{
    const struct polku_property property[] = {{"queue.buffering.max.messages", "2"}};
    struct polku_config config = config_for("127.0.0.1:1", property, 1);
    config.queue_wait_ms = -1;
    cr_assert_eq(polku_producer_open(&config, &producer, &error), POLKU_OK, "%s", error.text);
    struct polku_event event = event_named("call-1");
    cr_assert_eq(polku_producer_send(producer, &event, NULL, &error), POLKU_OK);
    cr_assert_eq(polku_producer_send(producer, &event, NULL, &error), POLKU_OK);
    cr_assert_eq(polku_producer_send(producer, &event, NULL, &error), POLKU_BUSY);
    cr_assert(strstr(error.text, "full"), "%s", error.text);
}

Test(publish, a_program_compiled_with_older_structs_is_understood)
{
    open_producer(POLKU_SINGLE_OBJECT);
    struct polku_event event = event_named("call-1");
    event.struct_size = offsetof(struct polku_event, topic); /* as if the fields after it were not invented yet */
    event.topic = (const char *)1;
    cr_assert_eq(polku_producer_send(producer, &event, NULL, &error), POLKU_OK, "%s", error.text);
    struct polku_report report = {.struct_size = offsetof(struct polku_report, first_failure), .first_failure = "untouched"};
    cr_assert_eq(polku_producer_close(producer, 10000, &report, &error), POLKU_OK, "%s", error.text);
    producer = NULL;
    cr_assert_eq(report.delivered, 1);
    cr_assert_str_eq(report.first_failure, "untouched");
}

Test(publish, a_report_without_its_size_is_refused)
{
    open_producer(POLKU_SINGLE_OBJECT);
    struct polku_report report = {.accepted = 7};
    cr_assert_eq(polku_producer_report(producer, &report), POLKU_INVALID);
    cr_assert_eq(report.accepted, 7);
}

/* What a child of the process that opened the producer is told; 0 if all of it is right. */
static int ask_in_child(void)
{
    struct polku_event event = event_named("call-1");
    struct polku_report report = {.struct_size = sizeof report};
    polku_producer_poll(producer);
    return polku_producer_send(producer, &event, NULL, &error) != POLKU_FAILED ||
           !strstr(error.text, "forked") || polku_producer_send_json(producer, "{", 1, NULL, NULL) != POLKU_FAILED ||
           polku_producer_report(producer, &report) != POLKU_FAILED ||
           polku_producer_flush(producer, 10000, NULL) != POLKU_FAILED ||
           polku_producer_close(producer, 10000, NULL, NULL) != POLKU_FAILED;
}

Test(publish, a_child_process_is_told_to_open_its_own)
{
    open_producer(POLKU_SINGLE_OBJECT);
    pid_t child = fork();
    if (child == 0)
        _exit(ask_in_child());
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct polku_event event = event_named("call-1");
    cr_assert_eq(polku_producer_send(producer, &event, NULL, &error), POLKU_OK, "the parent's is untouched: %s", error.text);
    cr_assert_eq(polku_producer_flush(producer, 10000, &error), POLKU_OK, "%s", error.text);
}
