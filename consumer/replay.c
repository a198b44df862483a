/* SPDX-License-Identifier: Apache-2.0 */
#include "replay.h"
#include "intake_inner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum {
    BOUNDS_MS = 10000,
    PATIENCE_US = 60000000, /* nothing for so long: the brokers are away, or somebody made the topic anew */
};

struct part {
    rd_kafka_topic_t *rkt;
    int64_t next; /* offset to deliver */
    bool fetching;
};

struct replay {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    const struct replay_span *span;
    struct part *part; /* of the same index */
    size_t count, ended, last;
    int64_t heard_at_us;
};

static int64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

static enum pk_status bounds_of(rd_kafka_t *rk, struct replay_span *span, struct pk_err *err)
{
    rd_kafka_resp_err_t code =
        rd_kafka_query_watermark_offsets(rk, span->topic, span->partition, &span->from, &span->to, BOUNDS_MS);
    bool missing = code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
                   code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (missing)
        span->from = span->to = -1;
    return code && !missing ? pk_fail(err, PK_RETRY, "%s[%" PRId32 "]: where it begins and ends cannot be read: %s", span->topic,
                                      span->partition, rd_kafka_err2str(code))
                            : PK_OK;
}

enum pk_status replay_bounds(const struct intake_config *config, struct replay_span *span, size_t count, struct pk_err *err)
{
    rd_kafka_t *rk;
    enum pk_status status = count ? intake_reader_client(config, &rk, err) : PK_OK;
    if (status != PK_OK || count == 0)
        return status;
    for (size_t i = 0; i < count && status == PK_OK; i++)
        status = bounds_of(rk, &span[i], err);
    rd_kafka_destroy(rk);
    return status;
}

/* ---- parts ---- */

static void end_part(struct replay *r, size_t at)
{
    struct part *part = &r->part[at];
    if (part->fetching)
        rd_kafka_consume_stop(part->rkt, r->span[at].partition);
    part->fetching = false;
    r->ended++;
}

static enum pk_status start_part(struct replay *r, size_t at, struct pk_err *err)
{
    const struct replay_span *span = &r->span[at];
    struct part *part = &r->part[at];
    part->next = span->from;
    if (span->from >= span->to) {
        r->ended++;
        return PK_OK;
    }
    part->rkt = rd_kafka_topic_new(r->rk, span->topic, NULL);
    if (!part->rkt || rd_kafka_consume_start_queue(part->rkt, span->partition, span->from, r->queue))
        return pk_fail(err, PK_STOP, "%s[%" PRId32 "]: Kafka client: %s", span->topic, span->partition,
                       rd_kafka_err2str(rd_kafka_last_error()));
    part->fetching = true;
    return PK_OK;
}

static bool find_part(struct replay *r, const rd_kafka_message_t *message, size_t *ret_at)
{
    const char *topic = message->rkt ? rd_kafka_topic_name(message->rkt) : "";
    for (size_t i = 0; i < r->count; i++) {
        size_t at = (r->last + i) % r->count;
        if (r->span[at].partition != message->partition || strcmp(r->span[at].topic, topic) != 0)
            continue;
        *ret_at = r->last = at;
        return r->part[at].fetching;
    }
    return false;
}

/* ---- reading ---- */

enum pk_status replay_open(const struct intake_config *config, const struct replay_span *span, size_t count,
                           struct replay **ret_replay, struct pk_err *err)
{
    rd_kafka_t *rk;
    enum pk_status status = intake_reader_client(config, &rk, err);
    if (status != PK_OK)
        return status;
    struct replay *r = pk_alloc(sizeof *r);
    *r = (struct replay){.rk = rk, .queue = rd_kafka_queue_new(rk), .span = span, .count = count, .heard_at_us = clock_us()};
    r->part = pk_alloc((count + 1) * sizeof *r->part);
    for (size_t i = 0; i < count && status == PK_OK; i++)
        status = start_part(r, i, err);
    if (status == PK_OK)
        *ret_replay = r;
    else
        replay_close(r);
    return status;
}

void replay_close(struct replay *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->count; i++) {
        if (r->part[i].fetching)
            rd_kafka_consume_stop(r->part[i].rkt, r->span[i].partition);
        if (r->part[i].rkt)
            rd_kafka_topic_destroy(r->part[i].rkt);
    }
    rd_kafka_queue_destroy(r->queue);
    rd_kafka_destroy(r->rk);
    free(r->part);
    free(r);
}

static enum pk_status take_news(struct replay *r, const rd_kafka_message_t *message, struct pk_err *err)
{
    size_t at = 0;
    bool ours = find_part(r, message, &at);
    const char *topic = message->rkt ? rd_kafka_topic_name(message->rkt) : "";
    switch (message->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF: /* also tells how far what has no record reaches */
        if (ours && message->offset >= r->span[at].to)
            end_part(r, at);
        return PK_OK;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
        return pk_fail(err, PK_STOP, "%s[%" PRId32 "]: offset %" PRId64 " is not in Kafka any more, retention has deleted it "
                       "meanwhile: run it again", topic, message->partition, ours ? r->part[at].next : -1);
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        return pk_fail(err, PK_STOP, "Kafka does not allow it: %s", rd_kafka_message_errstr(message));
    default:
        return PK_OK; /* it goes on by itself, or our patience ends */
    }
}

static enum pk_status out_of_patience(const struct replay *r, struct pk_err *err)
{
    size_t at = 0;
    while (at + 1 < r->count && !r->part[at].fetching)
        at++;
    return pk_fail(err, PK_RETRY, "Kafka has given nothing for %d s; %s[%" PRId32 "] was read to offset %" PRId64
                   " of %" PRId64, PATIENCE_US / 1000000, r->span[at].topic, r->span[at].partition, r->part[at].next,
                   r->span[at].to);
}

/* Is it the next one of its span? The first one behind the span ends it. */
static bool take_record(struct replay *r, rd_kafka_message_t *message, struct intake_record *ret)
{
    size_t at;
    if (!find_part(r, message, &at) || message->offset < r->part[at].next)
        return false;
    if (message->offset < r->span[at].to) {
        r->part[at].next = message->offset + 1;
        intake_fill(ret, (uint32_t)at, r->span[at].topic, message);
    }
    if (message->offset + 1 >= r->span[at].to)
        end_part(r, at);
    return ret->message != NULL;
}

enum pk_status replay_poll(struct replay *r, int64_t timeout_us, struct intake_record *ret, struct pk_err *err)
{
    ret->message = NULL;
    if (replay_ended(r))
        return PK_OK;
    rd_kafka_poll(r->rk, 0);
    rd_kafka_message_t *message = rd_kafka_consume_queue(r->queue, (int)((timeout_us + 999) / 1000));
    if (!message)
        return clock_us() - r->heard_at_us > PATIENCE_US ? out_of_patience(r, err) : PK_OK;
    enum pk_status status = PK_OK;
    if (message->err)
        status = take_news(r, message, err);
    else
        r->heard_at_us = clock_us();
    if (message->err || !take_record(r, message, ret))
        rd_kafka_message_destroy(message);
    return status;
}

bool replay_ended(const struct replay *r)
{
    return r->ended == r->count;
}
