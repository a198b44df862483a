/* SPDX-License-Identifier: Apache-2.0 */
#include "intake_look.h"
#include "intake_inner.h"

#include <stdio.h>
#include <stdlib.h>

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
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
        return LOOK_NO_TOPIC;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
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
