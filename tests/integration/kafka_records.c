/* SPDX-License-Identifier: Apache-2.0 */
/* kafka_records BROKERS make TOPIC PARTITIONS [NAME=VALUE...] | set TOPIC NAME=VALUE... | drop TOPIC... | put TOPIC
 *               | trim TOPIC PARTITION OFFSET
 *
 * `set` gives a topic these settings and takes all its others back. `trim` deletes the records of a partition before an offset, as retention does.
 * What the integration tests do to Kafka beside publishing events: topics, and records of any bytes at all.
 * `put` reads records from standard input, whole numbers big-endian, and prints "partition offset" of each in
 * the order in which they were read:
 *
 *   i32 partition   i64 time in ms (-1 = now)   bytes key   bytes value   i32 headers { bytes name   bytes value }
 *   bytes = i32 length (-1 = null), then as many bytes */
#include <errno.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    char *ptr;
    int32_t len; /* -1 = null */
};

struct receipt {
    int32_t partition;
    int64_t offset;
};

static struct receipt *receipts;
static size_t receipt_count, receipt_room, failed;

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "kafka_records: %s: %s\n", what, why);
    exit(1);
}

static rd_kafka_conf_t *base_conf(const char *brokers)
{
    char text[300];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "log_level", "3", NULL, 0);
    if (rd_kafka_conf_set(conf, "bootstrap.servers", brokers, text, sizeof text))
        die("bootstrap.servers", text);
    return conf;
}

static rd_kafka_t *client(rd_kafka_conf_t *conf)
{
    char text[300];
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (!rk)
        die("client", text);
    return rk;
}

/* ---- topics ---- */

static void expect_topics(rd_kafka_event_t *event, bool making)
{
    if (!event)
        die("topics", "no answer");
    if (rd_kafka_event_error(event))
        die("topics", rd_kafka_event_error_string(event));
    size_t count;
    const rd_kafka_topic_result_t **result =
        making ? rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count)
               : rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_topic_result_error(result[i]))
            die(rd_kafka_topic_result_name(result[i]), rd_kafka_topic_result_error_string(result[i]));
    rd_kafka_event_destroy(event);
}

/* NAME=VALUE as two texts; `name` holds both. */
static const char *split_setting(const char *setting, char name[200])
{
    snprintf(name, 200, "%s", setting);
    char *equals = strchr(name, '=');
    if (!equals)
        die(setting, "is no NAME=VALUE");
    *equals = '\0';
    return equals + 1;
}

static void set_topic(rd_kafka_t *rk, const char *topic, char *const setting[], int count)
{
    char name[200];
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    for (int i = 0; i < count; i++) {
        const char *value = split_setting(setting[i], name);
        rd_kafka_ConfigResource_set_config(resource, name, value);
    }
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_AlterConfigs(rk, &resource, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 60000);
    if (!event || rd_kafka_event_error(event))
        die("set", event ? rd_kafka_event_error_string(event) : "no answer");
    size_t resources;
    const rd_kafka_ConfigResource_t **done =
        rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &resources);
    if (resources != 1 || rd_kafka_ConfigResource_error(done[0]))
        die("set", resources ? rd_kafka_ConfigResource_error_string(done[0]) : "nothing was set");
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy(resource);
}

static void make_topic(rd_kafka_t *rk, const char *name, int partitions, char *const setting[], int settings)
{
    char text[300], of[200];
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, partitions, -1, text, sizeof text);
    if (!topic)
        die(name, text);
    for (int i = 0; i < settings; i++) {
        const char *value = split_setting(setting[i], of);
        rd_kafka_NewTopic_set_config(topic, of, value);
    }
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
    expect_topics(rd_kafka_queue_poll(queue, 60000), true);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(topic);
}

static void drop_topics(rd_kafka_t *rk, char *const name[], int count)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    for (int i = 0; i < count; i++) {
        rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name[i]);
        rd_kafka_DeleteTopics(rk, &topic, 1, NULL, queue);
        expect_topics(rd_kafka_queue_poll(queue, 60000), false);
        rd_kafka_DeleteTopic_destroy(topic);
    }
    rd_kafka_queue_destroy(queue);
}

static void trim_topic(rd_kafka_t *rk, const char *topic, int32_t partition, int64_t offset)
{
    rd_kafka_topic_partition_list_t *before = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(before, topic, partition)->offset = offset;
    rd_kafka_DeleteRecords_t *request = rd_kafka_DeleteRecords_new(before);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_DeleteRecords(rk, &request, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 60000);
    if (!event || rd_kafka_event_error(event))
        die("trim", event ? rd_kafka_event_error_string(event) : "no answer");
    const rd_kafka_topic_partition_list_t *done = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
    if (done->elems[0].err)
        die("trim", rd_kafka_err2str(done->elems[0].err));
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_DeleteRecords_destroy(request);
    rd_kafka_topic_partition_list_destroy(before);
}

/* ---- records ---- */

static bool read_exactly(void *to, size_t len)
{
    size_t got = fread(to, 1, len, stdin);
    if (got != len && (got || ferror(stdin)))
        die("standard input", "ends within a record");
    return got == len;
}

static uint64_t read_number(size_t len)
{
    uint8_t byte[8];
    uint64_t value = 0;
    if (!read_exactly(byte, len))
        die("standard input", "ends within a record");
    for (size_t i = 0; i < len; i++)
        value = value << 8 | byte[i];
    return value;
}

static struct bytes read_bytes(void)
{
    struct bytes bytes = {NULL, (int32_t)read_number(4)};
    if (bytes.len < 0)
        return bytes;
    bytes.ptr = malloc((size_t)bytes.len + 1);
    if (bytes.len && !read_exactly(bytes.ptr, (size_t)bytes.len))
        die("standard input", "ends within a record");
    bytes.ptr[bytes.len] = '\0';
    return bytes;
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk, (void)opaque;
    size_t number = (size_t)(uintptr_t)message->_private;
    if (message->err) {
        fprintf(stderr, "kafka_records: record %zu: %s\n", number, rd_kafka_err2str(message->err));
        failed++;
        return;
    }
    receipts[number] = (struct receipt){message->partition, message->offset};
}

static void send_record(rd_kafka_t *rk, const char *topic, int32_t partition)
{
    int64_t time_ms = (int64_t)read_number(8);
    struct bytes key = read_bytes(), value = read_bytes();
    rd_kafka_headers_t *headers = rd_kafka_headers_new(4);
    for (uint64_t left = read_number(4); left > 0; left--) {
        struct bytes name = read_bytes(), content = read_bytes();
        rd_kafka_header_add(headers, name.ptr, name.len, content.ptr, content.len < 0 ? 0 : content.len);
        free(name.ptr);
        free(content.ptr);
    }
    if (receipt_count == receipt_room) {
        receipt_room = receipt_room ? receipt_room * 2 : 1024;
        receipts = realloc(receipts, receipt_room * sizeof *receipts);
    }
    size_t number = receipt_count++;
    for (;;) {
        rd_kafka_headers_t *copy = rd_kafka_headers_copy(headers);
        rd_kafka_resp_err_t code = rd_kafka_producev(
            rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_KEY(key.ptr, (size_t)(key.len < 0 ? 0 : key.len)),
            RD_KAFKA_V_VALUE(value.ptr, (size_t)(value.len < 0 ? 0 : value.len)),
            RD_KAFKA_V_TIMESTAMP(time_ms < 0 ? 0 : time_ms), RD_KAFKA_V_HEADERS(copy),
            RD_KAFKA_V_OPAQUE((void *)(uintptr_t)number), RD_KAFKA_V_END);
        if (code == 0)
            break;
        rd_kafka_headers_destroy(copy);
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            die("produce", rd_kafka_err2str(code));
        rd_kafka_poll(rk, 100);
    }
    rd_kafka_headers_destroy(headers);
    free(key.ptr);
    free(value.ptr);
    rd_kafka_poll(rk, 0);
}

static void put_records(rd_kafka_t *rk, const char *topic)
{
    uint8_t first[4];
    while (read_exactly(first, sizeof first))
        send_record(rk, topic, (int32_t)((uint32_t)first[0] << 24 | (uint32_t)first[1] << 16 | (uint32_t)first[2] << 8 | first[3]));
    if (rd_kafka_flush(rk, 120000))
        die("flush", "not everything was delivered in time");
    for (size_t i = 0; i < receipt_count; i++)
        printf("%" PRId32 " %" PRId64 "\n", receipts[i].partition, receipts[i].offset);
    free(receipts);
}

int main(int argc, char *argv[])
{
    const char *command = argc > 3 ? argv[2] : "";
    if (strcmp(command, "make") != 0 && strcmp(command, "set") != 0 && strcmp(command, "drop") != 0 && strcmp(command, "put") != 0 &&
        (strcmp(command, "trim") != 0 || argc != 6)) {
        fputs("kafka_records BROKERS make TOPIC PARTITIONS [NAME=VALUE...] | set TOPIC NAME=VALUE... | drop TOPIC... | put TOPIC"
              " | trim TOPIC PARTITION OFFSET\n", stderr);
        return 2;
    }
    rd_kafka_conf_t *conf = base_conf(argv[1]);
    if (strcmp(command, "put") == 0) {
        rd_kafka_conf_set(conf, "enable.idempotence", "true", NULL, 0);
        rd_kafka_conf_set(conf, "linger.ms", "5", NULL, 0);
        rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    }
    rd_kafka_t *rk = client(conf);
    if (strcmp(command, "make") == 0)
        make_topic(rk, argv[3], argc > 4 ? atoi(argv[4]) : 1, argv + 5, argc > 5 ? argc - 5 : 0);
    else if (strcmp(command, "set") == 0)
        set_topic(rk, argv[3], argv + 4, argc - 4);
    else if (strcmp(command, "drop") == 0)
        drop_topics(rk, argv + 3, argc - 3);
    else if (strcmp(command, "trim") == 0)
        trim_topic(rk, argv[3], atoi(argv[4]), atoll(argv[5]));
    else
        put_records(rk, argv[3]);
    rd_kafka_destroy(rk);
    return failed ? 1 : 0;
}
