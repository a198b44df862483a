/* SPDX-License-Identifier: Apache-2.0 */
#include "intake_look.h"
#include "intake_inner.h"
#include "replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char *const setting_name[] = {
#define X(id, name) name,
    LOOK_SETTINGS(X)
#undef X
};

bool intake_look_compacts(const char *policy)
{
    return strstr(policy, "compact") != NULL;
}

static enum look_answer answer_of(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return LOOK_TOLD;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
        return LOOK_NO_TOPIC;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        return LOOK_DENIED;
    default:
        return LOOK_FAILED;
    }
}

static void take_settings(struct look_topic *topic, const rd_kafka_ConfigResource_t *resource)
{
    size_t entries;
    const rd_kafka_ConfigEntry_t **entry = rd_kafka_ConfigResource_configs(resource, &entries);
    for (size_t i = 0; i < entries; i++)
        for (size_t s = 0; s < LOOK_SETTING_COUNT; s++)
            if (strcmp(rd_kafka_ConfigEntry_name(entry[i]), setting_name[s]) == 0 && rd_kafka_ConfigEntry_value(entry[i]))
                snprintf(topic->setting[s], sizeof topic->setting[s], "%s", rd_kafka_ConfigEntry_value(entry[i]));
}

static void take_topics(struct look_topic *topic, size_t count, const rd_kafka_DescribeConfigs_result_t *result)
{
    size_t resources;
    const rd_kafka_ConfigResource_t **resource = rd_kafka_DescribeConfigs_result_resources(result, &resources);
    for (size_t i = 0; i < resources; i++)
        for (size_t t = 0; t < count; t++) {
            if (strcmp(topic[t].name, rd_kafka_ConfigResource_name(resource[i])) != 0)
                continue;
            topic[t].answer = answer_of(rd_kafka_ConfigResource_error(resource[i]));
            snprintf(topic[t].why, sizeof topic[t].why, "%s", topic[t].answer == LOOK_TOLD ? "" :
                     rd_kafka_err2str(rd_kafka_ConfigResource_error(resource[i])));
            take_settings(&topic[t], resource[i]);
        }
}

static enum pk_status ask(rd_kafka_t *rk, struct look_topic *topic, size_t count, int timeout_ms, struct pk_err *err)
{
    char text[200];
    enum pk_status status = PK_OK;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_ConfigResource_t **asked = pk_alloc((count + 1) * sizeof *asked);
    for (size_t i = 0; i < count; i++)
        asked[i] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic[i].name);
    rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof text);
    rd_kafka_DescribeConfigs(rk, asked, count, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms + 1000);
    if (!event || rd_kafka_event_error(event))
        status = pk_fail(err, PK_RETRY, "Kafka does not say how its topics are set: %s",
                         event ? rd_kafka_event_error_string(event) : "no answer in time");
    else
        take_topics(topic, count, rd_kafka_event_DescribeConfigs_result(event));
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy_array(asked, count);
    free(asked);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return status;
}

enum pk_status intake_look_topics(const struct intake_config *config, struct look_topic *topic, size_t count, int64_t timeout_us,
                                  struct pk_err *err)
{
    rd_kafka_t *rk;
    for (size_t i = 0; i < count; i++)
        topic[i] = (struct look_topic){.name = topic[i].name, .answer = LOOK_FAILED, .why = "Kafka did not answer for it"};
    enum pk_status status = count ? intake_reader_client(config, &rk, err) : PK_OK;
    if (status != PK_OK || count == 0)
        return status;
    status = ask(rk, topic, count, (int)(timeout_us / 1000), err);
    rd_kafka_destroy(rk);
    return status;
}

/* ---- brokers ---- */

static int64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

/* Why nobody answers is told to the error callback only, and a wrong password is tried again for ever: with a reason known three seconds
 * are enough for the other brokers. */
enum pk_status intake_look_brokers(const struct intake_config *config, int64_t timeout_us, struct look_kafka *ret, struct pk_err *err)
{
    rd_kafka_t *rk;
    char reason[INTAKE_REASON_BYTES] = "";
    const struct rd_kafka_metadata *metadata = NULL;
    enum pk_status status = intake_asking_client(config, reason, &rk, err);
    if (status != PK_OK)
        return status;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    const int64_t begun_us = clock_us(), enough_us = 3 * PK_SECOND_US;
    while (code && clock_us() - begun_us < (reason[0] ? PK_MIN(enough_us, timeout_us) : timeout_us)) {
        code = rd_kafka_metadata(rk, 0, NULL, &metadata, 500);
        rd_kafka_poll(rk, 0);
    }
    *ret = (struct look_kafka){.brokers = code ? 0 : metadata->broker_cnt};
    if (!code)
        rd_kafka_metadata_destroy(metadata);
    snprintf(ret->why, sizeof ret->why, "%s", code ? reason : "");
    rd_kafka_destroy(rk);
    return code ? pk_fail(err, PK_RETRY, "%s", ret->why[0] ? ret->why : rd_kafka_err2str(code)) : PK_OK;
}

/* ---- partitions ---- */

static void take_partition(struct look_partitions *look, const struct rd_kafka_metadata_partition *partition)
{
    look->leaderless += partition->leader < 0;
    look->behind += partition->isr_cnt < partition->replica_cnt;
    look->replicas = look->partitions ? PK_MIN(look->replicas, partition->replica_cnt) : partition->replica_cnt;
    look->partitions++;
}

static rd_kafka_resp_err_t ask_metadata(rd_kafka_t *rk, struct look_partitions *look, int timeout_ms)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, look->topic, NULL);
    rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 0, rkt, &metadata, timeout_ms);
    rd_kafka_topic_destroy(rkt);
    if (code)
        return code;
    code = metadata->topic_cnt ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    for (int i = 0; !code && i < metadata->topics[0].partition_cnt; i++)
        take_partition(look, &metadata->topics[0].partitions[i]);
    rd_kafka_metadata_destroy(metadata);
    return code;
}

static rd_kafka_resp_err_t ask_marks(rd_kafka_t *rk, struct look_partitions *look, int timeout_ms)
{
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int32_t i = 0; i < look->partitions && !code; i++) {
        struct intake_watermark mark = {.topic = look->topic, .partition = i};
        code = rd_kafka_query_watermark_offsets(rk, look->topic, i, &mark.low, &mark.high, timeout_ms);
        if (!code)
            *pk_vec_push(&look->mark) = mark;
    }
    return code;
}

/* The last record of each partition; where a transaction ended it is none, and that does no harm. */
static enum pk_status read_newest(const struct intake_config *config, struct look_partitions *look, int64_t timeout_us, struct pk_err *err)
{
    enum { MOST = 64, WAIT_US = 100000 };
    struct replay_span span[MOST];
    struct replay *replay;
    size_t count = 0;
    for (size_t i = 0; i < look->mark.len && count < MOST; i++)
        if (look->mark.ptr[i].high > look->mark.ptr[i].low)
            span[count++] = (struct replay_span){look->topic, look->mark.ptr[i].partition, look->mark.ptr[i].high - 1, look->mark.ptr[i].high};
    enum pk_status status = count ? replay_open(config, span, count, &replay, err) : PK_OK;
    if (status != PK_OK || count == 0)
        return status;
    for (int64_t end_us = clock_us() + timeout_us; status == PK_OK && !replay_ended(replay) && clock_us() < end_us;) {
        struct intake_record record = {0};
        status = replay_poll(replay, WAIT_US, &record, err);
        if (record.message && record.at_us != PK_NO_TIME)
            look->newest_at_us = look->newest_at_us == PK_NO_TIME ? record.at_us : PK_MAX(look->newest_at_us, record.at_us);
        intake_record_done(&record);
    }
    look->read = status == PK_OK && replay_ended(replay);
    replay_close(replay);
    return status;
}

enum pk_status intake_look_partitions(const struct intake_config *config, struct look_partitions *look, int64_t timeout_us,
                                      struct pk_err *err)
{
    rd_kafka_t *rk;
    *look = (struct look_partitions){.topic = look->topic, .newest_at_us = PK_NO_TIME};
    enum pk_status status = intake_reader_client(config, &rk, err);
    if (status != PK_OK)
        return status;
    rd_kafka_resp_err_t code = ask_metadata(rk, look, (int)(timeout_us / 1000));
    if (!code && !look->leaderless)
        code = ask_marks(rk, look, (int)(timeout_us / 1000));
    rd_kafka_destroy(rk);
    look->answer = answer_of(code);
    snprintf(look->why, sizeof look->why, "%s", code ? rd_kafka_err2str(code) : "");
    if (code)
        return PK_OK;
    struct pk_err why = {0};
    status = read_newest(config, look, timeout_us, &why);
    look->denied = status == PK_STOP;
    snprintf(look->why, sizeof look->why, "%.199s", status == PK_OK ? "" : why.text);
    return PK_OK;
}

void intake_look_partitions_done(struct look_partitions *look)
{
    pk_vec_done(&look->mark);
}

/* ---- the group ---- */

static void take_group(struct look_group *ret, const rd_kafka_ConsumerGroupDescription_t *group)
{
    const rd_kafka_error_t *error = rd_kafka_ConsumerGroupDescription_error(group);
    ret->answer = answer_of(error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR);
    snprintf(ret->why, sizeof ret->why, "%s", error ? rd_kafka_error_string(error) : "");
    if (error)
        return;
    const char *assignor = rd_kafka_ConsumerGroupDescription_partition_assignor(group);
    snprintf(ret->state, sizeof ret->state, "%s", rd_kafka_consumer_group_state_name(rd_kafka_ConsumerGroupDescription_state(group)));
    snprintf(ret->assignor, sizeof ret->assignor, "%s", assignor ? assignor : "");
    for (size_t i = 0; i < rd_kafka_ConsumerGroupDescription_member_count(group); i++) {
        const rd_kafka_MemberDescription_t *member = rd_kafka_ConsumerGroupDescription_member(group, i);
        const char *instance = rd_kafka_MemberDescription_group_instance_id(member);
        struct look_member *kept = pk_vec_push(&ret->member);
        snprintf(kept->client, sizeof kept->client, "%s", rd_kafka_MemberDescription_client_id(member));
        snprintf(kept->host, sizeof kept->host, "%s", rd_kafka_MemberDescription_host(member));
        snprintf(kept->instance, sizeof kept->instance, "%s", instance ? instance : "");
    }
}

enum pk_status intake_look_group(const struct intake_config *config, int64_t timeout_us, struct look_group *ret, struct pk_err *err)
{
    rd_kafka_t *rk;
    char text[200];
    const char *name[] = {config->group};
    *ret = (struct look_group){.answer = LOOK_FAILED};
    enum pk_status status = intake_reader_client(config, &rk, err);
    if (status != PK_OK)
        return status;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
    rd_kafka_AdminOptions_set_request_timeout(options, (int)(timeout_us / 1000), text, sizeof text);
    rd_kafka_DescribeConsumerGroups(rk, name, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, (int)(timeout_us / 1000) + 1000);
    size_t groups = 0;
    const rd_kafka_ConsumerGroupDescription_t **group = NULL;
    if (event && !rd_kafka_event_error(event))
        group = rd_kafka_DescribeConsumerGroups_result_groups(rd_kafka_event_DescribeConsumerGroups_result(event), &groups);
    if (groups == 1)
        take_group(ret, group[0]);
    else
        snprintf(ret->why, sizeof ret->why, "%s", event ? rd_kafka_event_error_string(event) : "no answer in time");
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return PK_OK;
}

void intake_look_group_done(struct look_group *look)
{
    pk_vec_done(&look->member);
}
