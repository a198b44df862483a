/* SPDX-License-Identifier: Apache-2.0 */
/* kafka_acl BROKERS allow|deny|drop USER topic|group|cluster NAME OPERATION
 *
 * One access rule of a real Kafka, made or taken away, by a user who may: read, write, describe, describe_configs, idempotent_write. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct word {
    const char *text;
    int value;
} resources[] = {{"topic", RD_KAFKA_RESOURCE_TOPIC}, {"group", RD_KAFKA_RESOURCE_GROUP}, {"cluster", RD_KAFKA_RESOURCE_BROKER}},
  operations[] = {{"read", RD_KAFKA_ACL_OPERATION_READ},
                  {"write", RD_KAFKA_ACL_OPERATION_WRITE},
                  {"describe", RD_KAFKA_ACL_OPERATION_DESCRIBE},
                  {"describe_configs", RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS},
                  {"idempotent_write", RD_KAFKA_ACL_OPERATION_IDEMPOTENT_WRITE}};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "kafka_acl: %s: %s\n", what, why);
    exit(1);
}

static int meaning(const char *text, const struct word *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, words[i].text) == 0)
            return words[i].value;
    die(text, "not known");
}
#define MEANING(text, words) meaning(text, words, sizeof(words) / sizeof(words)[0])

static rd_kafka_event_t *answer(rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
    if (!event)
        die("access rule", "no answer");
    if (rd_kafka_event_error(event))
        die("access rule", rd_kafka_event_error_string(event));
    return event;
}

static void change(rd_kafka_t *rk, const char *command, char *const word[], const char *principal)
{
    char text[300];
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_ResourceType_t resource = (rd_kafka_ResourceType_t)MEANING(word[0], resources);
    rd_kafka_AclOperation_t operation = (rd_kafka_AclOperation_t)MEANING(word[2], operations);
    rd_kafka_AclBinding_t *rule;
    if (strcmp(command, "drop") == 0) {
        rule = rd_kafka_AclBindingFilter_new(resource, word[1], RD_KAFKA_RESOURCE_PATTERN_LITERAL, principal, "*", operation,
                                             RD_KAFKA_ACL_PERMISSION_TYPE_ANY, text, sizeof text);
        if (!rule)
            die("access rule", text);
        rd_kafka_DeleteAcls(rk, &rule, 1, NULL, queue);
        rd_kafka_event_destroy(answer(queue));
    } else {
        rule = rd_kafka_AclBinding_new(resource, word[1], RD_KAFKA_RESOURCE_PATTERN_LITERAL, principal, "*", operation,
                                       strcmp(command, "deny") == 0 ? RD_KAFKA_ACL_PERMISSION_TYPE_DENY
                                                                    : RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
                                       text, sizeof text);
        if (!rule)
            die("access rule", text);
        rd_kafka_CreateAcls(rk, &rule, 1, NULL, queue);
        rd_kafka_event_t *event = answer(queue);
        size_t count;
        const rd_kafka_acl_result_t **made = rd_kafka_CreateAcls_result_acls(rd_kafka_event_CreateAcls_result(event), &count);
        for (size_t i = 0; i < count; i++)
            if (rd_kafka_acl_result_error(made[i]))
                die("access rule", rd_kafka_error_string(rd_kafka_acl_result_error(made[i])));
        rd_kafka_event_destroy(event);
    }
    rd_kafka_AclBinding_destroy(rule);
    rd_kafka_queue_destroy(queue);
}

int main(int argc, char *argv[])
{
    if (argc != 7) {
        fputs("kafka_acl BROKERS allow|deny|drop USER topic|group|cluster NAME OPERATION\n", stderr);
        return 2;
    }
    char text[300], principal[100];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], text, sizeof text))
        die("bootstrap.servers", text);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (!rk)
        die("client", text);
    snprintf(principal, sizeof principal, "User:%s", argv[3]);
    change(rk, argv[2], argv + 4, principal);
    rd_kafka_destroy(rk);
    return 0;
}
