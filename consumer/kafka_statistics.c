/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_statistics.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static int64_t number(const json_t *object, const char *name, int64_t fallback)
{
    const json_t *value = json_object_get(object, name);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : fallback;
}

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

static bool is_up(const json_t *broker)
{
    return strcmp(text(broker, "state"), "UP") == 0;
}

/* Its connection for the group has an entry of its own, under the id of a broker that is there too. */
static bool is_coordinator(const json_t *broker)
{
    return strcmp(text(broker, "source"), "logical") == 0;
}

/* A connection to it: its own, or that for the group. Who has no partition keeps the latter only, brokers end what is idle. */
static bool is_reached(json_t *brokers, const json_t *broker)
{
    const char *name;
    json_t *other;
    if (is_up(broker))
        return true;
    json_object_foreach(brokers, name, other)
        if (is_coordinator(other) && is_up(other) && number(other, "nodeid", -1) == number(broker, "nodeid", -2))
            return true;
    return false;
}

static void read_brokers(json_t *brokers, struct kafka_statistics *ret)
{
    const char *name;
    json_t *broker;
    ret->round_trip_us = -1;
    json_object_foreach(brokers, name, broker)
    {
        const json_t *rtt = json_object_get(broker, "rtt");
        ret->errors += number(broker, "txerrs", 0) + number(broker, "rxerrs", 0);
        ret->timeouts += number(broker, "req_timeouts", 0);
        ret->fetches += number(json_object_get(broker, "req"), "Fetch", 0);
        if (is_coordinator(broker) && number(rtt, "cnt", 0) > 0)
            ret->round_trip_us = number(rtt, "avg", -1);
        if (is_coordinator(broker) || number(broker, "nodeid", -1) < 0)
            continue;
        if (is_reached(brokers, broker))
            ret->brokers_up++;
        else
            ret->brokers_down++;
    }
}

static bool broker_is_up(json_t *brokers, int64_t id)
{
    const char *name;
    json_t *broker;
    json_object_foreach(brokers, name, broker)
        if (id >= 0 && !is_coordinator(broker) && number(broker, "nodeid", -1) == id && is_up(broker))
            return true;
    return false;
}

static void read_partitions(json_t *brokers, const char *topic, json_t *partitions, struct kafka_statistics *ret)
{
    const char *name;
    json_t *partition;
    json_object_foreach(partitions, name, partition)
    {
        int64_t id = number(partition, "partition", -1);
        if (id < 0 || id > INT32_MAX)
            continue;
        int64_t end = number(partition, "ls_offset", -1);
        struct kafka_partition read = {
            .partition = (int32_t)id,
            .end = end >= 0 ? end : number(partition, "hi_offset", -1),
            .queued = number(partition, "fetchq_cnt", 0),
            .served = broker_is_up(brokers, number(partition, "broker", -1)) ||
                      broker_is_up(brokers, number(partition, "leader", -1)), /* which the client should ask, then */
        };
        snprintf(read.topic, sizeof read.topic, "%s", topic);
        ret->queue_records += read.queued;
        ret->queue_bytes += number(partition, "fetchq_size", 0);
        *pk_vec_push(&ret->partition) = read;
    }
}

bool kafka_statistics_read(const char *json, struct kafka_statistics *ret)
{
    json_t *root = json_loads(json, 0, NULL);
    json_t *brokers = json_object_get(root, "brokers"), *topics = json_object_get(root, "topics"), *topic;
    if (!json_is_object(brokers)) {
        json_decref(root);
        return false;
    }
    struct kafka_statistics read = {0};
    const char *name;
    read_brokers(brokers, &read);
    json_object_foreach(topics, name, topic)
        read_partitions(brokers, name, json_object_get(topic, "partitions"), &read);
    read.rebalances = number(json_object_get(root, "cgrp"), "rebalance_cnt", 0);
    json_decref(root);
    kafka_statistics_done(ret);
    *ret = read;
    return true;
}

void kafka_statistics_done(struct kafka_statistics *statistics)
{
    pk_vec_done(&statistics->partition);
    *statistics = (struct kafka_statistics){0};
}

const struct kafka_partition *kafka_statistics_find(const struct kafka_statistics *statistics, const char *topic,
                                                    int32_t partition)
{
    for (size_t i = 0; i < statistics->partition.len; i++) {
        const struct kafka_partition *at = &statistics->partition.ptr[i];
        if (at->partition == partition && strcmp(at->topic, topic) == 0)
            return at;
    }
    return NULL;
}
