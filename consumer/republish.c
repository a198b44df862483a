/* SPDX-License-Identifier: Apache-2.0 */
#include "republish.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

enum { DELIVERY_MS = 60000, FETCH_MS = 10000 };

struct republish {
    struct republish_config config;
    rd_kafka_t *writer, *reader; /* each when it is first needed */
    char why[256];               /* the first failed delivery */
};

static void quiet(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk, (void)level, (void)facility, (void)text; /* what fails comes back as a status */
}

static enum pk_status set(rd_kafka_conf_t *conf, const char *name, const char *value, struct pk_err *err)
{
    char text[300];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) != RD_KAFKA_CONF_OK)
        return pk_fail(err, PK_REJECT, "kafka.%s: %s", name, text);
    return PK_OK;
}

static enum pk_status make_conf(const struct republish_config *config, bool writes, rd_kafka_conf_t **ret_conf,
                                struct pk_err *err)
{
    const struct kafka_property writing[] = {{"acks", "all"}, {"enable.idempotence", "true"}, {"linger.ms", "5"},
                                             {"partitioner", "murmur2_random"}, {"message.timeout.ms", "60000"},
                                             {"message.max.bytes", "1000000000"}}; /* the broker decides what is too large */
    const struct kafka_property reading[] = {{"enable.auto.commit", "false"}, {"allow.auto.create.topics", "false"},
                                             {"fetch.wait.max.ms", "100"}, {"queued.min.messages", "1"}};
    const struct kafka_property *own = writes ? writing : reading;
    size_t owns = writes ? PK_COUNT(writing) : PK_COUNT(reading);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, quiet);
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < config->properties && status == PK_OK; i++)
        status = set(conf, config->property[i].name, config->property[i].value, err);
    for (size_t i = 0; i < owns && status == PK_OK; i++)
        status = set(conf, own[i].name, own[i].value, err);
    if (status == PK_OK)
        status = set(conf, "bootstrap.servers", config->brokers, err);
    if (status == PK_OK && config->client_id)
        status = set(conf, "client.id", config->client_id, err);
    if (status != PK_OK)
        rd_kafka_conf_destroy(conf);
    else
        *ret_conf = conf;
    return status;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    struct republish *republish = opaque;
    struct republish_record *record = message->_private;
    if (message->err) {
        if (!republish->why[0])
            snprintf(republish->why, sizeof republish->why, "%s", rd_kafka_err2str(message->err));
        return;
    }
    record->delivered = true;
    record->to_partition = message->partition;
    record->to_offset = message->offset;
}

static enum pk_status make_client(struct republish *republish, bool writes, rd_kafka_t **client, struct pk_err *err)
{
    rd_kafka_conf_t *conf;
    if (*client)
        return PK_OK;
    enum pk_status status = make_conf(&republish->config, writes, &conf, err);
    if (status != PK_OK)
        return status;
    char text[300];
    rd_kafka_conf_set_opaque(conf, republish);
    if (writes)
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    *client = rd_kafka_new(writes ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (*client)
        return PK_OK;
    rd_kafka_conf_destroy(conf);
    return pk_fail(err, PK_REJECT, "Kafka client: %s", text);
}

enum pk_status republish_open(const struct republish_config *config, struct republish **ret_republish, struct pk_err *err)
{
    rd_kafka_conf_t *conf;
    enum pk_status status = make_conf(config, true, &conf, err);
    if (status != PK_OK)
        return status;
    rd_kafka_conf_destroy(conf);
    *ret_republish = pk_alloc(sizeof **ret_republish);
    (*ret_republish)->config = *config;
    return PK_OK;
}

void republish_close(struct republish *republish)
{
    if (!republish)
        return;
    if (republish->writer)
        rd_kafka_destroy(republish->writer);
    if (republish->reader)
        rd_kafka_destroy(republish->reader);
    free(republish);
}

/* ---- writing ---- */

static rd_kafka_headers_t *headers_of(const struct republish_record *record)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(record->headers + 1);
    for (size_t i = 0; i < record->headers; i++) {
        const struct record_header *header = &record->header[i];
        rd_kafka_header_add(headers, header->name.ptr, (ssize_t)header->name.len, header->value.ptr,
                            (ssize_t)header->value.len);
    }
    return headers;
}

/* The bytes are the caller's until the report has come. */
static enum pk_status produce(struct republish *republish, struct republish_record *record, struct pk_err *err)
{
    for (;;) {
        rd_kafka_headers_t *headers = headers_of(record);
        rd_kafka_resp_err_t code = rd_kafka_producev(
            republish->writer, RD_KAFKA_V_TOPIC(record->topic), RD_KAFKA_V_PARTITION(record->partition),
            RD_KAFKA_V_KEY(record->key.ptr, record->key.len), RD_KAFKA_V_VALUE((void *)record->value.ptr, record->value.len),
            RD_KAFKA_V_TIMESTAMP(record->at_us == PK_NO_TIME ? 0 : record->at_us / 1000), RD_KAFKA_V_HEADERS(headers),
            RD_KAFKA_V_OPAQUE(record), RD_KAFKA_V_END);
        if (!code)
            return PK_OK;
        rd_kafka_headers_destroy(headers);
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            return pk_fail(err, PK_RETRY, "publish to %s: %s", record->topic, rd_kafka_err2str(code));
        rd_kafka_poll(republish->writer, 100);
    }
}

enum pk_status republish_send(struct republish *republish, struct republish_record *record, size_t count, struct pk_err *err)
{
    republish->why[0] = '\0';
    enum pk_status status = make_client(republish, true, &republish->writer, err);
    for (size_t i = 0; i < count; i++)
        record[i].delivered = false;
    for (size_t i = 0; i < count && status == PK_OK; i++)
        status = produce(republish, &record[i], err);
    if (republish->writer && rd_kafka_flush(republish->writer, DELIVERY_MS + 5000)) { /* none may come later: the records are the caller's */
        rd_kafka_purge(republish->writer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_flush(republish->writer, 5000);
    }
    for (size_t i = 0; i < count && status == PK_OK; i++)
        if (!record[i].delivered)
            status = pk_fail(err, PK_RETRY, "publish to %s: %s", record[i].topic,
                             republish->why[0] ? republish->why : "no report came in time");
    return status;
}

/* ---- reading ---- */

static struct pk_bytes copy(struct pk_arena *arena, const void *ptr, size_t len)
{
    return ptr ? (struct pk_bytes){pk_arena_copy(arena, ptr, len), len} : (struct pk_bytes){0};
}

static void copy_message(const rd_kafka_message_t *message, struct pk_arena *arena, struct republish_record *ret)
{
    struct record_header *header = NULL;
    size_t count = 0;
    rd_kafka_headers_t *headers;
    if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        header = PK_NEW_ARRAY(arena, struct record_header, rd_kafka_header_cnt(headers) + 1);
        const char *name;
        const void *value;
        size_t len;
        for (; !rd_kafka_header_get_all(headers, count, &name, &value, &len); count++)
            header[count] = (struct record_header){pk_arena_str(arena, pk_str(name)), copy(arena, value, len)};
    }
    rd_kafka_timestamp_type_t type;
    int64_t at_ms = rd_kafka_message_timestamp(message, &type);
    *ret = (struct republish_record){
        .at_us = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || at_ms < 0 ? PK_NO_TIME : at_ms * 1000,
        .key = copy(arena, message->key, message->key_len),
        .value = copy(arena, message->payload, message->len),
        .header = header,
        .headers = count,
    };
}

static enum pk_status fetch(rd_kafka_topic_t *topic, int32_t partition, int64_t offset, struct pk_arena *arena,
                            struct republish_record *ret, struct pk_err *err)
{
    if (rd_kafka_consume_start(topic, partition, offset) != 0)
        return pk_fail(err, PK_RETRY, "Kafka: %s", rd_kafka_err2str(rd_kafka_last_error()));
    rd_kafka_message_t *message = rd_kafka_consume(topic, partition, FETCH_MS);
    enum pk_status status;
    if (!message)
        status = pk_fail(err, PK_RETRY, "Kafka does not answer");
    else if (message->err)
        status = pk_fail(err, PK_RETRY, "Kafka: %s", rd_kafka_message_errstr(message));
    else if (message->offset != offset)
        status = pk_fail(err, PK_REJECT, "Kafka holds offset %" PRId64 " no more", offset);
    else
        status = PK_OK;
    if (status == PK_OK)
        copy_message(message, arena, ret);
    if (message)
        rd_kafka_message_destroy(message);
    rd_kafka_consume_stop(topic, partition);
    return status;
}

enum pk_status republish_fetch(struct republish *republish, const char *topic, int32_t partition, int64_t offset,
                               struct pk_arena *arena, struct republish_record *ret, struct pk_err *err)
{
    int64_t low, high;
    enum pk_status status = make_client(republish, false, &republish->reader, err);
    if (status != PK_OK)
        return status;
    rd_kafka_resp_err_t code =
        rd_kafka_query_watermark_offsets(republish->reader, topic, partition, &low, &high, FETCH_MS);
    if (code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
        code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return pk_fail(err, PK_REJECT, "Kafka has no %s[%" PRId32 "]", topic, partition);
    if (code)
        return pk_fail(err, PK_RETRY, "Kafka does not answer: %s", rd_kafka_err2str(code));
    if (offset < low || offset >= high)
        return pk_fail(err, PK_REJECT, "Kafka holds %s[%" PRId32 "] from offset %" PRId64 " to %" PRId64 " only", topic, partition,
                       low, high - 1);
    rd_kafka_topic_t *handle = rd_kafka_topic_new(republish->reader, topic, NULL);
    status = fetch(handle, partition, offset, arena, ret, err);
    rd_kafka_topic_destroy(handle);
    return status;
}
