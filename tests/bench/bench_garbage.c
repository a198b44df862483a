/* SPDX-License-Identifier: Apache-2.0 */
/* bench_garbage BROKERS FROM TO MEGABYTES SEED - copies the records of topic FROM into topic TO, partition by partition, and
 * strews MEGABYTES of garbage evenly among them; prints "good=N garbage=N bytes=N".
 *
 * Garbage is of 64 to 2048 bytes and of the kinds that a broken publisher sends: noise, JSON, frames of schemas that nobody
 * knows, and good frames that are cut short. Nobody says who sent it, but for every third, which has a header `source`. */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PARTITIONS = 64, MOST_BYTES = 2048, LEAST_BYTES = 64 };

struct mixer {
    rd_kafka_t *reader, *writer;
    const char *from, *to;
    int64_t left[MOST_PARTITIONS]; /* records of FROM that are not copied yet */
    int partitions;
    int64_t good, good_total, garbage, bytes, wanted;
    uint64_t random;
    uint64_t failed;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_garbage: %s: %s\n", what, why);
    exit(1);
}

static uint64_t next_random(struct mixer *m) /* splitmix64 */
{
    uint64_t z = (m->random += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    ((struct mixer *)opaque)->failed += message->err != 0;
}

static rd_kafka_t *client(struct mixer *m, rd_kafka_type_t type, const char *brokers)
{
    const char *reading[][2] = {{"group.id", "bench-garbage"}, {"enable.auto.commit", "false"}, {"auto.offset.reset", "earliest"}};
    const char *writing[][2] = {{"enable.idempotence", "true"}, {"linger.ms", "20"}, {"batch.num.messages", "20000"},
                                {"compression.codec", "lz4"}, {"queue.buffering.max.kbytes", "131072"}};
    char text[300];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool reads = type == RD_KAFKA_CONSUMER;
    size_t count = reads ? sizeof reading / sizeof *reading : sizeof writing / sizeof *writing;
    for (size_t i = 0; i < count; i++) {
        const char **pair = reads ? reading[i] : writing[i];
        if (rd_kafka_conf_set(conf, pair[0], pair[1], text, sizeof text))
            die(pair[0], text);
    }
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0);
    rd_kafka_conf_set_opaque(conf, m);
    if (!reads)
        rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof text);
    if (!rk)
        die("client", text);
    return rk;
}

static void begin_reading(struct mixer *m)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(m->reader, m->from, NULL);
    rd_kafka_resp_err_t code = rd_kafka_metadata(m->reader, 0, topic, &metadata, 30000);
    if (code || metadata->topics[0].partition_cnt > MOST_PARTITIONS)
        die(m->from, code ? rd_kafka_err2str(code) : "too many partitions");
    m->partitions = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(m->partitions);
    for (int i = 0; i < m->partitions; i++) {
        int64_t low, high;
        code = rd_kafka_query_watermark_offsets(m->reader, m->from, i, &low, &high, 30000);
        if (code)
            die(m->from, rd_kafka_err2str(code));
        m->left[i] = high - low;
        m->good_total += m->left[i];
        rd_kafka_topic_partition_list_add(list, m->from, i)->offset = low;
    }
    rd_kafka_poll_set_consumer(m->reader);
    rd_kafka_assign(m->reader, list);
    rd_kafka_topic_partition_list_destroy(list);
}

static void put(struct mixer *m, int32_t partition, const void *key, size_t key_len, const void *value, size_t len, bool named)
{
    for (;;) {
        rd_kafka_headers_t *headers = NULL;
        if (named) {
            headers = rd_kafka_headers_new(1);
            rd_kafka_header_add(headers, "source", -1, "broken-publisher", -1);
        }
        rd_kafka_resp_err_t code = rd_kafka_producev(
            m->writer, RD_KAFKA_V_TOPIC(m->to), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_KEY(key, key_len), RD_KAFKA_V_VALUE((void *)value, len), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
        if (!code)
            break;
        if (headers)
            rd_kafka_headers_destroy(headers);
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            die("produce", rd_kafka_err2str(code));
        rd_kafka_poll(m->writer, 100);
    }
}

static void put_garbage(struct mixer *m, int32_t partition, const uint8_t *good, size_t good_len)
{
    uint8_t value[MOST_BYTES];
    uint64_t random = next_random(m);
    size_t len = LEAST_BYTES + random % (MOST_BYTES - LEAST_BYTES + 1);
    int kind = (int)(random >> 32) % 4;
    for (size_t i = 0; i + 8 <= len; i += 8)
        memcpy(value + i, &(uint64_t){next_random(m)}, 8);
    if (kind == 0) {
        value[0] = 0x7f; /* noise */
    } else if (kind == 1) {
        memset(value, 'x', len);
        memcpy(value, "{\"event\": \"", 11);
    } else if (kind == 2) {
        memcpy(value, "\0\x7f\xff\xff\x01", 5); /* a schema id */
    } else {
        len = good_len / 2 < MOST_BYTES ? good_len / 2 : MOST_BYTES;
        memcpy(value, good, len);
    }
    put(m, partition, NULL, 0, value, len, random >> 60 < 5);
    m->garbage++;
    m->bytes += (int64_t)len;
}

static void copy(struct mixer *m, const rd_kafka_message_t *message)
{
    put(m, message->partition, message->key, message->key_len, message->payload, message->len, false);
    m->good++;
    while (m->bytes < m->wanted && m->bytes * m->good_total < m->wanted * m->good)
        put_garbage(m, message->partition, message->payload, message->len);
}

int main(int argc, char *argv[])
{
    if (argc != 6) {
        fputs("bench_garbage BROKERS FROM TO MEGABYTES SEED\n", stderr);
        return 2;
    }
    struct mixer m = {.from = argv[2], .to = argv[3], .wanted = atoll(argv[4]) * 1000000, .random = (uint64_t)atoll(argv[5])};
    m.reader = client(&m, RD_KAFKA_CONSUMER, argv[1]);
    m.writer = client(&m, RD_KAFKA_PRODUCER, argv[1]);
    begin_reading(&m);
    while (m.good < m.good_total) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(m.reader, 30000);
        if (!message)
            die(m.from, "no record came within 30 s");
        if (!message->err)
            copy(&m, message);
        rd_kafka_message_destroy(message);
        rd_kafka_poll(m.writer, 0);
    }
    if (rd_kafka_flush(m.writer, 120000) || m.failed)
        die(m.to, "not everything was delivered");
    printf("good=%" PRId64 " garbage=%" PRId64 " bytes=%" PRId64 "\n", m.good, m.garbage, m.bytes);
    rd_kafka_consumer_close(m.reader);
    rd_kafka_destroy(m.reader);
    rd_kafka_destroy(m.writer);
    return 0;
}
