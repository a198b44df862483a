/* SPDX-License-Identifier: Apache-2.0 */
#include "intake_inner.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    CLAIM_PAUSE_MIN_US = 500000,
    CLAIM_PAUSE_MAX_US = 5000000,
    LEFTOVER_US = 10000000,  /* how long leftovers of an earlier assignment may be in the queue */
    NOTE_EVERY_US = 10000000,
    WATERMARK_MS = 3000,
};

/* One partition that was ours at some time. */
struct part {
    const char *topic;
    int32_t partition;
    bool ours, end;      /* `end`: Kafka had nothing more when last looked at */
    uint32_t index;      /* in `ours` */
    int64_t start;       /* where the configured start points to; -1 = not looked up */
    int64_t expected;    /* next offset to deliver; -1 = never assigned */
    int64_t queued;      /* least offset that the queue can still hold of what was fetched last; -1 = never */
    int64_t leftover;    /* drop offsets from here on until a smaller one comes; -1 = no need to */
    int64_t leftover_until_us;
};

struct notes { /* when each kind of note was last given */
    struct {
        uint32_t kind;
        int64_t at_us;
        uint64_t more; /* kept back since then */
    } slot[32];
};

struct intake {
    rd_kafka_t *rk;
    struct intake_handler handler;
    enum intake_start start;
    PK_VEC(struct part *) known;
    PK_VEC(uint32_t) ours;           /* places in `known`, in the order of `assigned` */
    struct intake_partition *list;   /* as given to the callbacks; as long as `ours` */
    uint32_t last;                   /* place in `known` of the last record */
    bool pending, paused, closing;   /* pending: ours, but `assigned` was not successful yet */
    bool joined;                     /* between an assignment, perhaps of none, and its revocation */
    uint32_t leftovers;              /* parts with a `leftover` */
    int64_t claim_at_us, claim_pause_us;
    struct intake_counters counters;
    struct notes notes;
    struct pk_arena arena;
    char fatal[400]; /* empty = none */
    bool fenced;     /* and that is why */
};

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

/* ---- notes ---- */

static uint32_t text_kind(const char *text)
{
    uint32_t kind = 2166136261u;
    while (*text)
        kind = (kind ^ (uint8_t)*text++) * 16777619u;
    return kind;
}

/* One note of a kind in NOTE_EVERY_US; the next one says how many were kept back. `facility`: of librdkafka, or "". */
static void note_of(struct intake *intake, uint32_t kind, enum log_level level, const char *sentence, const char *facility, const char *detail)
{
    if (!intake->handler.note || intake->closing)
        return;
    size_t at = kind % PK_COUNT(intake->notes.slot);
    int64_t now = now_us();
    bool same = intake->notes.slot[at].kind == kind && intake->notes.slot[at].at_us != 0;
    if (same && now - intake->notes.slot[at].at_us < NOTE_EVERY_US) {
        intake->notes.slot[at].more++;
        return;
    }
    char text[700], more[40] = "";
    if (same && intake->notes.slot[at].more)
        snprintf(more, sizeof more, " (and %" PRIu64 " like it)", intake->notes.slot[at].more);
    snprintf(text, sizeof text, "%s%.60s%sdetail=\"%.500s%s\"", *facility ? "facility=" : "", facility, *facility ? " " : "", detail, more);
    intake->notes.slot[at].kind = kind;
    intake->notes.slot[at].at_us = now;
    intake->notes.slot[at].more = 0;
    intake->handler.note(intake->handler.context, level, sentence, text);
}

static void note(struct intake *intake, uint32_t kind, enum log_level level, const char *sentence, const char *detail)
{
    note_of(intake, kind, level, sentence, "", detail);
}

/* What librdkafka does not say. Its SCRAM before 2.6.1 sends a nonce that Kafka 4 does not take. */
static const char *advice(rd_kafka_resp_err_t err, const char *reason)
{
    if (err == RD_KAFKA_RESP_ERR__SSL && strstr(reason, "certificate verify failed"))
        return "; the broker's certificate must be signed by kafka.ssl.ca.location, and be for the host name in --brokers";
    if (err == RD_KAFKA_RESP_ERR__AUTHENTICATION && strstr(reason, "SCRAM") && rd_kafka_version() < 0x020601ff)
        return "; check user and password. With Kafka 4 this librdkafka, older than 2.6.1, cannot do SCRAM at all: use PLAIN over "
               "TLS, or a client's certificate";
    return "";
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct intake *intake = opaque;
    rd_kafka_resp_err_t err = (rd_kafka_resp_err_t)code;
    if (err == RD_KAFKA_RESP_ERR__FATAL) {
        char text[300];
        err = rd_kafka_fatal_error(rk, text, sizeof text);
        snprintf(intake->fatal, sizeof intake->fatal, "%s: %s", rd_kafka_err2name(err), text);
        intake->fenced = err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
        return;
    }
    bool wrong = err == RD_KAFKA_RESP_ERR__AUTHENTICATION || err == RD_KAFKA_RESP_ERR__SSL;
    char text[500];
    snprintf(text, sizeof text, "%.300s%s", reason, advice(err, reason));
    note(intake, (uint32_t)code, wrong ? LOG_ERROR : LOG_WARN, "Kafka is not reachable", text);
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    struct intake *intake = rd_kafka_opaque(rk);
    note_of(intake, text_kind(facility), level <= 4 ? LOG_WARN : LOG_DEBUG, "Kafka client", facility, text);
}

static int on_statistics(rd_kafka_t *rk, char *json, size_t len, void *opaque)
{
    struct intake *intake = opaque;
    (void)rk, (void)len;
    if (intake->closing)
        return 0; /* librdkafka frees it */
    intake->handler.statistics(intake->handler.context, json);
    return 1;
}

/* ---- partitions ---- */

static struct part *find_part(struct intake *intake, const char *topic, int32_t partition)
{
    if (intake->last < intake->known.len) {
        struct part *part = intake->known.ptr[intake->last];
        if (part->partition == partition && strcmp(part->topic, topic) == 0)
            return part;
    }
    for (size_t i = 0; i < intake->known.len; i++) {
        struct part *part = intake->known.ptr[i];
        if (part->partition != partition || strcmp(part->topic, topic) != 0)
            continue;
        intake->last = (uint32_t)i;
        return part;
    }
    return NULL;
}

static struct part *make_part(struct intake *intake, const char *topic, int32_t partition)
{
    struct part *part = find_part(intake, topic, partition);
    if (part)
        return part;
    part = PK_NEW(&intake->arena, struct part);
    *part = (struct part){
        .topic = pk_arena_str(&intake->arena, pk_str(topic)).ptr,
        .partition = partition,
        .start = -1,
        .expected = -1,
        .queued = -1,
        .leftover = -1,
    };
    intake->last = (uint32_t)intake->known.len;
    *pk_vec_push(&intake->known) = part;
    return part;
}

static struct part *our_part(const struct intake *intake, size_t index)
{
    return intake->known.ptr[intake->ours.ptr[index]];
}

static void clear_leftover(struct intake *intake, struct part *part)
{
    intake->leftovers -= part->leftover >= 0;
    part->leftover = -1;
}

/* From `offset` on. What is still queued of the fetch before begins at `queued`. If that is behind
 * `offset` it would look like a gap in the new one, so nothing from there on counts until a smaller
 * offset has come. */
static void start_part(struct intake *intake, struct part *part, int64_t offset)
{
    if (part->queued > offset) {
        clear_leftover(intake, part);
        part->leftover = part->queued;
        part->leftover_until_us = now_us() + LEFTOVER_US;
        intake->leftovers++;
    } else if (part->leftover >= 0 && part->leftover <= offset) {
        clear_leftover(intake, part);
    }
    part->expected = part->queued = offset;
    part->end = false;
}

/* Waits until librdkafka has stopped what an assignment removed. If the next assignment came before that,
 * its fetchers would be stopped twice, and it aborts the process (its issue 5573; all versions to 2.15).
 * Its main thread works through one queue: the first question is answered after the stops were carried
 * out, the second after their results were. */
static void settle(struct intake *intake)
{
    for (int i = 0; i < 2; i++) {
        rd_kafka_topic_partition_list_t *list;
        if (rd_kafka_assignment(intake->rk, &list) == RD_KAFKA_RESP_ERR_NO_ERROR)
            rd_kafka_topic_partition_list_destroy(list);
    }
}

/* Gives librdkafka what it is to fetch now: all of ours from where we are, or nothing. Whatever it
 * still has queued from before is void. */
static enum pk_status assign(struct intake *intake, struct pk_err *err)
{
    bool fetch = !intake->pending && !intake->paused;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)intake->ours.len);
    for (size_t i = 0; fetch && i < intake->ours.len; i++) {
        struct part *part = our_part(intake, i);
        rd_kafka_topic_partition_list_add(list, part->topic, part->partition)->offset = part->expected;
    }
    rd_kafka_resp_err_t code = rd_kafka_assign(intake->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    settle(intake);
    intake->counters.assignments++;
    if (code)
        return pk_fail(err, PK_STOP, "Kafka client refuses the assignment: %s", rd_kafka_err2str(code));
    return PK_OK;
}

/* Before the records of an assignment come anew, each partition starts where it stands. */
static enum pk_status assign_again(struct intake *intake, struct pk_err *err)
{
    for (size_t i = 0; i < intake->ours.len; i++)
        start_part(intake, our_part(intake, i), our_part(intake, i)->expected);
    return assign(intake, err);
}

/* ---- rebalance ---- */

static void take_ours(struct intake *intake, const rd_kafka_topic_partition_list_t *list)
{
    free(intake->list);
    intake->list = pk_alloc((size_t)list->cnt * sizeof *intake->list);
    intake->ours.len = 0;
    for (int i = 0; i < list->cnt; i++) {
        struct part *part = make_part(intake, list->elems[i].topic, list->elems[i].partition);
        part->ours = true;
        part->index = (uint32_t)i;
        *pk_vec_push(&intake->ours) = intake->last;
        intake->list[i] = (struct intake_partition){part->topic, part->partition, -1};
    }
    intake->pending = list->cnt > 0;
    intake->claim_at_us = 0;
    intake->claim_pause_us = CLAIM_PAUSE_MIN_US;
}

static void drop_ours(struct intake *intake, bool lost)
{
    for (size_t i = 0; i < intake->ours.len; i++) {
        struct part *part = our_part(intake, i);
        intake->list[i].offset = part->expected;
        part->ours = part->end = false;
    }
    size_t count = intake->ours.len;
    intake->ours.len = 0;
    intake->pending = false;
    if (count && !intake->closing && intake->handler.revoked)
        intake->handler.revoked(intake->handler.context, intake->list, count, lost);
}

/* An assignment is answered with an empty one: membership is settled at once, and fetching begins when
 * the claim in the database has succeeded, however long that takes. */
static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
                         void *opaque)
{
    struct intake *intake = opaque;
    struct pk_err err;
    intake->joined = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && !intake->closing) {
        take_ours(intake, list);
        bool pending = intake->pending;
        intake->pending = true; /* nothing to fetch yet */
        if (assign(intake, &err) != PK_OK)
            note(intake, text_kind("assign"), LOG_ERROR, "Kafka client", err.text);
        intake->pending = pending;
        return;
    }
    drop_ours(intake, rd_kafka_assignment_lost(rk));
    rd_kafka_assign(rk, NULL);
    if (!intake->closing) /* then no assignment follows, and nobody may be left to answer */
        settle(intake);
}

static enum pk_status look_up_start(struct intake *intake, struct part *part, struct pk_err *err)
{
    if (part->start >= 0 || intake->start == INTAKE_ERROR)
        return PK_OK;
    int64_t low, high;
    rd_kafka_resp_err_t code =
        rd_kafka_query_watermark_offsets(intake->rk, part->topic, part->partition, &low, &high, WATERMARK_MS);
    if (code)
        return pk_fail(err, PK_RETRY, "%s[%" PRId32 "]: where it begins and ends cannot be read: %s", part->topic,
                       part->partition, rd_kafka_err2str(code));
    part->start = intake->start == INTAKE_EARLIEST ? low : high;
    return PK_OK;
}

static void claim_later(struct intake *intake)
{
    int64_t jitter = intake->claim_pause_us / 4 * (now_us() % 1000) / 1000;
    intake->claim_at_us = now_us() + intake->claim_pause_us - jitter;
    intake->claim_pause_us = PK_MIN(intake->claim_pause_us * 2, (int64_t)CLAIM_PAUSE_MAX_US);
}

/* Asks the caller where to begin; then fetching begins. */
static enum pk_status claim(struct intake *intake, struct pk_err *err)
{
    struct pk_err why = {0};
    enum pk_status status = PK_OK;
    size_t count = intake->ours.len;
    for (size_t i = 0; i < count && status == PK_OK; i++) {
        struct part *part = our_part(intake, i);
        status = look_up_start(intake, part, &why);
        intake->list[i].offset = part->start;
    }
    if (status == PK_OK)
        status = intake->handler.assigned(intake->handler.context, intake->list, count, &why);
    if (status == PK_RETRY || status == PK_LOST || status == PK_FENCED || status == PK_STALE) {
        note(intake, text_kind("claim"), LOG_WARN, "partitions cannot be claimed yet", why.text);
        claim_later(intake);
        return PK_OK;
    }
    if (status != PK_OK)
        return pk_fail(err, status, "%s", why.text);
    for (size_t i = 0; i < count; i++)
        if (intake->list[i].offset < 0)
            return pk_fail(err, PK_STOP, "%s[%" PRId32 "] has no stored position and none may be assumed; say where to begin",
                           intake->list[i].topic, intake->list[i].partition);
    for (size_t i = 0; i < count; i++)
        start_part(intake, our_part(intake, i), intake->list[i].offset);
    intake->pending = false;
    intake->claim_pause_us = CLAIM_PAUSE_MIN_US;
    return assign(intake, err);
}

/* ---- polling ---- */

/* Is it the next one of a partition that delivers now? Anything else is dropped and comes again. */
static bool is_next(struct intake *intake, const rd_kafka_message_t *message, struct part **ret_part)
{
    struct part *part = find_part(intake, rd_kafka_topic_name(message->rkt), message->partition);
    if (!part || message->offset < part->queued || (part->leftover >= 0 && message->offset >= part->leftover))
        return false;
    clear_leftover(intake, part);
    part->queued = message->offset + 1;
    if (!part->ours || intake->pending || intake->paused || message->offset < part->expected)
        return false;
    part->expected = message->offset + 1;
    part->end = false;
    *ret_part = part;
    return true;
}

void intake_fill(struct intake_record *record, uint32_t index, const char *topic, rd_kafka_message_t *message)
{
    /* A producer may have written any number, nanoseconds say: what is past 2200 is no time. */
    static const int64_t TIME_END_MS = INT64_C(7258118400000);
    rd_kafka_timestamp_type_t type;
    int64_t at_ms = rd_kafka_message_timestamp(message, &type);
    *record = (struct intake_record){
        .index = index,
        .topic = topic,
        .partition = message->partition,
        .offset = message->offset,
        .at_us = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || at_ms < 0 || at_ms >= TIME_END_MS ? PK_NO_TIME
                                                                                               : at_ms * 1000,
        .key = {message->key, message->key_len},
        .value = {message->payload, message->len},
        .message = message,
    };
}

/* The end of a partition also tells how far what has no record reaches. */
static void reach_end(struct intake *intake, const rd_kafka_message_t *message)
{
    struct part *part = find_part(intake, rd_kafka_topic_name(message->rkt), message->partition);
    if (!part || !part->ours || intake->pending || intake->paused || part->leftover >= 0 ||
        message->offset < part->expected)
        return;
    part->expected = message->offset;
    part->end = true;
}

static enum pk_status take_news(struct intake *intake, const rd_kafka_message_t *message, struct pk_err *err)
{
    const char *topic = message->rkt ? rd_kafka_topic_name(message->rkt) : "";
    switch (message->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        reach_end(intake, message);
        return PK_OK;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET: {
        struct part *part = find_part(intake, topic, message->partition);
        if (!part || !part->ours || intake->pending)
            return PK_OK; /* of an earlier assignment */
        return pk_fail(err, PK_STOP,
                       "%s[%" PRId32 "]: offset %" PRId64 " is not in Kafka (deleted by retention, or the topic was made "
                       "anew): %s; see docs/operations on how to go on",
                       topic, message->partition, part->expected, rd_kafka_message_errstr(message));
    }
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        return pk_fail(err, PK_STOP, "Kafka does not allow it: %s", rd_kafka_message_errstr(message));
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
        note(intake, (uint32_t)message->err, LOG_WARN, "topic does not exist yet, waiting for it",
             rd_kafka_message_errstr(message));
        return PK_OK;
    case RD_KAFKA_RESP_ERR__FATAL:
        on_error(intake->rk, RD_KAFKA_RESP_ERR__FATAL, "", intake);
        return PK_OK;
    default:
        note(intake, (uint32_t)message->err, LOG_WARN, "Kafka reports", rd_kafka_message_errstr(message));
        return PK_OK;
    }
}

/* If nothing below `leftover` comes for so long, it has gone from Kafka: from there on anew. */
static enum pk_status give_up_leftovers(struct intake *intake, struct pk_err *err)
{
    int64_t now = now_us();
    bool any = false;
    for (size_t i = 0; i < intake->ours.len; i++) {
        struct part *part = our_part(intake, i);
        if (part->leftover < 0 || now < part->leftover_until_us)
            continue;
        clear_leftover(intake, part);
        any = true;
    }
    return any ? assign_again(intake, err) : PK_OK;
}

static enum pk_status before_poll(struct intake *intake, struct pk_err *err)
{
    if (intake->fatal[0])
        return pk_fail(err, PK_STOP, "Kafka client: %s", intake->fatal);
    if (intake->pending && !intake->paused && now_us() >= intake->claim_at_us)
        return claim(intake, err);
    if (intake->leftovers && !intake->pending && !intake->paused)
        return give_up_leftovers(intake, err);
    return PK_OK;
}

bool intake_is_fenced(const struct intake *intake)
{
    return intake->fenced;
}

enum pk_status intake_poll(struct intake *intake, int64_t timeout_us, struct intake_record *ret, struct pk_err *err)
{
    ret->message = NULL;
    enum pk_status status = before_poll(intake, err);
    if (status != PK_OK)
        return status;
    if (intake->pending && !intake->paused)
        timeout_us = PK_MIN(timeout_us, PK_MAX(intake->claim_at_us - now_us(), 0));
    rd_kafka_message_t *message = rd_kafka_consumer_poll(intake->rk, (int)((timeout_us + 999) / 1000));
    if (!message)
        return PK_OK;
    struct part *part;
    if (message->err) {
        status = take_news(intake, message, err);
    } else if (is_next(intake, message, &part)) {
        intake_fill(ret, part->index, part->topic, message);
        intake->counters.records++;
        return PK_OK;
    } else {
        intake->counters.dropped++;
    }
    rd_kafka_message_destroy(message);
    return status;
}

void intake_record_done(struct intake_record *record)
{
    if (record->message)
        rd_kafka_message_destroy(record->message);
    record->message = NULL;
}

bool intake_record_header(const struct intake_record *record, size_t i, struct pk_str *ret_name,
                          struct pk_bytes *ret_value)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t len;
    if (rd_kafka_message_headers(record->message, &headers) ||
        rd_kafka_header_get_all(headers, i, &name, &value, &len))
        return false;
    *ret_name = pk_str(name);
    *ret_value = (struct pk_bytes){value, len};
    return true;
}

int64_t intake_position(const struct intake *intake, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < intake->ours.len; i++) {
        const struct part *part = our_part(intake, i);
        if (part->partition == partition && strcmp(part->topic, topic) == 0)
            return intake->pending ? -1 : part->expected;
    }
    return -1;
}

/* ---- where to go on ---- */

enum pk_status intake_rewind(struct intake *intake, const struct intake_partition *partition, size_t count,
                             struct pk_err *err)
{
    for (size_t i = 0; i < count; i++) {
        struct part *part = find_part(intake, partition[i].topic, partition[i].partition);
        if (part && part->ours)
            start_part(intake, part, partition[i].offset);
    }
    return intake->pending || intake->paused ? PK_OK : assign_again(intake, err);
}

enum pk_status intake_reclaim(struct intake *intake, int64_t delay_us, struct pk_err *err)
{
    if (intake->ours.len == 0)
        return PK_OK;
    bool fetching = !intake->pending && !intake->paused;
    intake->pending = true;
    intake->claim_at_us = now_us() + delay_us;
    return fetching ? assign(intake, err) : PK_OK;
}

enum pk_status intake_pause(struct intake *intake, struct pk_err *err)
{
    bool fetching = !intake->pending && !intake->paused && intake->ours.len > 0;
    intake->paused = true;
    return fetching ? assign(intake, err) : PK_OK;
}

enum pk_status intake_resume(struct intake *intake, struct pk_err *err)
{
    if (!intake->paused)
        return PK_OK;
    intake->paused = false;
    return intake->pending || intake->ours.len == 0 ? PK_OK : assign_again(intake, err);
}

void intake_commit(struct intake *intake, const struct intake_partition *partition, size_t count)
{
    if (count == 0)
        return;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, partition[i].topic, partition[i].partition)->offset =
            partition[i].offset;
    rd_kafka_resp_err_t code = rd_kafka_commit(intake->rk, list, 1);
    if (code)
        note(intake, text_kind("commit"), LOG_WARN, "offsets for lag tools were not written", rd_kafka_err2str(code));
    rd_kafka_topic_partition_list_destroy(list);
}

static void on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list, void *opaque)
{
    (void)rk, (void)list;
    if (code && code != RD_KAFKA_RESP_ERR__NO_OFFSET)
        note(opaque, text_kind("commit"), LOG_WARN, "offsets for lag tools were not written", rd_kafka_err2str(code));
}

bool intake_joined(const struct intake *intake, size_t *ret_partitions)
{
    *ret_partitions = intake->ours.len;
    return intake->joined;
}

bool intake_at_end(const struct intake *intake)
{
    if (intake->pending || intake->paused || intake->ours.len == 0)
        return false;
    for (size_t i = 0; i < intake->ours.len; i++)
        if (!our_part(intake, i)->end)
            return false;
    return true;
}

struct intake_counters intake_counters(const struct intake *intake)
{
    return intake->counters;
}

/* ---- opening and closing ---- */

static enum pk_status set(rd_kafka_conf_t *conf, const char *name, const char *value, struct pk_err *err)
{
    char text[300];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) != RD_KAFKA_CONF_OK)
        return pk_fail(err, PK_REJECT, "kafka.%s: %s", name, text);
    return PK_OK;
}

/* What exactness rests on; the caller's properties may not touch it. */
static const struct kafka_property decided[] = {
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"},
    {"isolation.level", "read_committed"},
    {"check.crcs", "true"},
    {"enable.partition.eof", "true"},
    {"allow.auto.create.topics", "false"},
    {"partition.assignment.strategy", "range"},
    {"log.queue", "true"},
    {"bootstrap.servers", NULL}, /* options of their own */
    {"metadata.broker.list", NULL},
    {"group.id", NULL},
    {"group.instance.id", NULL},
};

static enum pk_status set_decided(rd_kafka_conf_t *conf, const struct intake_config *config, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < PK_COUNT(decided) && status == PK_OK; i++)
        if (decided[i].value)
            status = set(conf, decided[i].name, decided[i].value, err);
    if (status == PK_OK)
        status = set(conf, "bootstrap.servers", config->brokers, err);
    if (status == PK_OK && config->client_id)
        status = set(conf, "client.id", config->client_id, err);
    return status;
}

/* An eighth of the budget may be under way from a broker, the rest may wait. librdkafka counts the bytes of keys and values
 * only; with what it keeps for each record, and with the answers that records are part of, a usual event of 250 bytes
 * takes about five times that (measured). A full queue is looked at again after up to a second only, so the number of records
 * does not bound it. */
static enum pk_status set_queue(rd_kafka_conf_t *conf, int64_t queue_bytes, struct pk_err *err)
{
    char fetch[24], queue[24], message[24];
    int64_t fetch_bytes = PK_MIN(PK_MAX(queue_bytes / 8, INT64_C(1) << 20), INT64_C(50) << 20);
    int64_t queue_kib = PK_MAX((queue_bytes - fetch_bytes) / 5, INT64_C(1) << 20) >> 10;
    snprintf(fetch, sizeof fetch, "%" PRId64, fetch_bytes);
    snprintf(queue, sizeof queue, "%" PRId64, PK_MIN(queue_kib, INT64_C(2097151)));
    snprintf(message, sizeof message, "%" PRId64, PK_MIN(fetch_bytes, INT64_C(1) << 20));
    enum pk_status status = set(conf, "queued.min.messages", "1000000", err);
    if (status == PK_OK) /* a broker's host that is gone without a word shows while there is nothing to say, too */
        status = set(conf, "socket.keepalive.enable", "true", err);
    if (status == PK_OK)
        status = set(conf, "queued.max.messages.kbytes", queue, err);
    if (status == PK_OK)
        status = set(conf, "fetch.max.bytes", fetch, err);
    if (status == PK_OK)
        status = set(conf, "max.partition.fetch.bytes", message, err);
    return status;
}

static enum pk_status set_properties(rd_kafka_conf_t *conf, const struct intake_config *config, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < config->properties && status == PK_OK; i++) {
        const struct kafka_property *property = &config->property[i];
        for (size_t k = 0; k < PK_COUNT(decided); k++)
            if (strcmp(property->name, decided[k].name) == 0)
                return pk_fail(err, PK_REJECT, "kafka.%s is decided by this program and cannot be set%s", property->name,
                               decided[k].value ? "" : "; it is an option of its own");
        status = set(conf, property->name, property->value, err);
    }
    return status;
}

static enum pk_status make_conf(const struct intake_config *config, rd_kafka_conf_t **ret_conf, struct pk_err *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    enum pk_status status = set_decided(conf, config, err);
    if (status == PK_OK)
        status = set_queue(conf, config->queue_bytes, err);
    if (status == PK_OK)
        status = set_properties(conf, config, err);
    if (status != PK_OK)
        rd_kafka_conf_destroy(conf);
    else
        *ret_conf = conf;
    return status;
}

enum pk_status intake_check(const struct intake_config *config, struct pk_err *err)
{
    rd_kafka_conf_t *conf;
    enum pk_status status = make_conf(config, &conf, err);
    if (status == PK_OK)
        rd_kafka_conf_destroy(conf);
    return status;
}

static rd_kafka_topic_partition_list_t *topic_list(const char *topics)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);
    while (*topics) {
        topics += strspn(topics, ", ");
        size_t len = strcspn(topics, ", ");
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)len, topics);
        if (len > 0 && !rd_kafka_topic_partition_list_find(list, name, RD_KAFKA_PARTITION_UA))
            rd_kafka_topic_partition_list_add(list, name, RD_KAFKA_PARTITION_UA);
        topics += len;
    }
    return list;
}

static enum pk_status make_client(rd_kafka_conf_t *conf, rd_kafka_t **ret_rk, struct pk_err *err)
{
    char text[300];
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (!rk) {
        /* The machine, and no property: no thread, no memory map, or a clock that was set while it waited for its threads. */
        bool passes = rd_kafka_last_error() == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
        rd_kafka_conf_destroy(conf);
        return pk_fail(err, passes ? PK_RETRY : PK_REJECT, "Kafka client: %s", text);
    }
    *ret_rk = rk;
    return PK_OK;
}

static enum pk_status subscribe(struct intake *intake, const struct intake_config *config, struct pk_err *err)
{
    rd_kafka_set_log_queue(intake->rk, NULL);
    rd_kafka_poll_set_consumer(intake->rk);
    rd_kafka_topic_partition_list_t *topics = topic_list(config->topics);
    rd_kafka_resp_err_t code =
        topics->cnt ? rd_kafka_subscribe(intake->rk, topics) : RD_KAFKA_RESP_ERR__INVALID_ARG;
    rd_kafka_topic_partition_list_destroy(topics);
    return code ? pk_fail(err, PK_REJECT, "topics '%.200s': %s", config->topics, rd_kafka_err2str(code)) : PK_OK;
}

static void ask_for_statistics(rd_kafka_conf_t *conf)
{
    enum { LONGEST_MS = 5000 }; /* whether the client is alive is judged by them */
    char chosen[24] = "0";
    size_t len = sizeof chosen;
    rd_kafka_conf_get(conf, "statistics.interval.ms", chosen, &len);
    if (atoi(chosen) == 0 || atoi(chosen) > LONGEST_MS)
        set(conf, "statistics.interval.ms", "5000", NULL);
    rd_kafka_conf_set_stats_cb(conf, on_statistics);
}

enum pk_status intake_open(const struct intake_config *config, const struct intake_handler *handler,
                           struct intake **ret_intake, struct pk_err *err)
{
    rd_kafka_conf_t *conf;
    enum pk_status status = make_conf(config, &conf, err);
    if (status != PK_OK)
        return status;
    status = set(conf, "group.id", config->group, err);
    if (status == PK_OK && config->instance_id)
        status = set(conf, "group.instance.id", config->instance_id, err);
    if (status != PK_OK) {
        rd_kafka_conf_destroy(conf);
        return status;
    }
    struct intake *intake = pk_alloc(sizeof *intake);
    intake->handler = *handler;
    intake->start = config->start;
    rd_kafka_conf_set_opaque(conf, intake);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_offset_commit_cb(conf, on_commit);
    if (handler->statistics)
        ask_for_statistics(conf);
    status = make_client(conf, &intake->rk, err);
    if (status != PK_OK) {
        free(intake);
        return status;
    }
    status = subscribe(intake, config, err);
    if (status != PK_OK)
        intake_close(intake, 5 * PK_SECOND_US);
    else
        *ret_intake = intake;
    return status;
}

static void free_intake(struct intake *intake)
{
    pk_vec_done(&intake->known);
    pk_vec_done(&intake->ours);
    free(intake->list);
    pk_arena_done(&intake->arena);
    free(intake);
}

/* Shared by the thread that closes and the one that waits; the last one frees it. */
struct closing {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool closed, given_up;
    struct intake *intake;
};

static void *close_client(void *context)
{
    struct closing *closing = context;
    rd_kafka_consumer_close(closing->intake->rk);
    rd_kafka_destroy(closing->intake->rk);
    pthread_mutex_lock(&closing->lock);
    closing->closed = true;
    pthread_cond_signal(&closing->done);
    bool given_up = closing->given_up;
    pthread_mutex_unlock(&closing->lock);
    if (given_up) {
        free_intake(closing->intake);
        free(closing);
    }
    return NULL;
}

bool intake_close(struct intake *intake, int64_t timeout_us)
{
    if (!intake)
        return true;
    intake->closing = true;
    struct closing *closing = pk_alloc(sizeof *closing);
    closing->intake = intake;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&closing->lock, NULL);
    pthread_cond_init(&closing->done, &monotonic);
    pthread_condattr_destroy(&monotonic);

    pthread_t thread;
    if (pthread_create(&thread, NULL, close_client, closing) != 0) {
        free(closing);
        return false;
    }
    pthread_detach(thread);
    int64_t until = now_us() + timeout_us;
    struct timespec deadline = {until / PK_SECOND_US, until % PK_SECOND_US * 1000};
    pthread_mutex_lock(&closing->lock);
    while (!closing->closed && pthread_cond_timedwait(&closing->done, &closing->lock, &deadline) != ETIMEDOUT)
        ;
    bool closed = closing->closed;
    closing->given_up = !closed;
    pthread_mutex_unlock(&closing->lock);
    if (closed) {
        free_intake(intake);
        free(closing);
    }
    return closed;
}

/* ---- probe ---- */

struct intake_probe {
    rd_kafka_t *rk;
    rd_kafka_topic_partition_list_t *topics;
};

static void quiet(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk, (void)level, (void)facility, (void)text; /* what fails comes back as a status */
}

static void keep_reason(rd_kafka_t *rk, int code, const char *text, void *opaque)
{
    (void)rk;
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        snprintf(opaque, INTAKE_REASON_BYTES, "%.300s%s", text, advice((rd_kafka_resp_err_t)code, text));
}

enum pk_status intake_asking_client(const struct intake_config *config, char reason[INTAKE_REASON_BYTES], rd_kafka_t **ret_rk,
                                    struct pk_err *err)
{
    rd_kafka_conf_t *conf;
    enum pk_status status = make_conf(config, &conf, err);
    if (status != PK_OK)
        return status;
    set(conf, "log.queue", "false", NULL);
    rd_kafka_conf_set_log_cb(conf, quiet);
    if (reason) {
        rd_kafka_conf_set_opaque(conf, reason);
        rd_kafka_conf_set_error_cb(conf, keep_reason);
    }
    return make_client(conf, ret_rk, err);
}

enum pk_status intake_reader_client(const struct intake_config *config, rd_kafka_t **ret_rk, struct pk_err *err)
{
    return intake_asking_client(config, NULL, ret_rk, err);
}

enum pk_status intake_probe_open(const struct intake_config *config, struct intake_probe **ret_probe, struct pk_err *err)
{
    rd_kafka_t *rk;
    enum pk_status status = intake_reader_client(config, &rk, err);
    if (status != PK_OK)
        return status;
    *ret_probe = pk_alloc(sizeof **ret_probe);
    (*ret_probe)->rk = rk;
    (*ret_probe)->topics = topic_list(config->topics);
    return PK_OK;
}

static enum pk_status probe_topic(struct intake_probe *probe, const char *topic, int timeout_ms,
                                  struct intake_watermarks *ret, struct pk_err *err)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(probe->rk, topic, NULL);
    rd_kafka_resp_err_t code = rd_kafka_metadata(probe->rk, 0, rkt, &metadata, timeout_ms);
    rd_kafka_topic_destroy(rkt);
    if (code)
        return pk_fail(err, PK_RETRY, "Kafka does not answer: %s", rd_kafka_err2str(code));
    int partitions = metadata->topic_cnt ? metadata->topics[0].partition_cnt : 0;
    code = metadata->topic_cnt ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    rd_kafka_metadata_destroy(metadata);
    for (int32_t i = 0; i < partitions && !code; i++) {
        struct intake_watermark mark = {.topic = topic, .partition = i};
        code = rd_kafka_query_watermark_offsets(probe->rk, topic, i, &mark.low, &mark.high, timeout_ms);
        if (!code)
            *pk_vec_push(&ret->list) = mark;
    }
    return code ? pk_fail(err, PK_RETRY, "topic %s: %s", topic, rd_kafka_err2str(code)) : PK_OK;
}

enum pk_status intake_probe_read(struct intake_probe *probe, int64_t timeout_us, struct intake_watermarks *ret,
                                 struct pk_err *err)
{
    struct intake_watermarks all = {0};
    enum pk_status status = PK_OK;
    for (int i = 0; i < probe->topics->cnt && status == PK_OK; i++)
        status = probe_topic(probe, probe->topics->elems[i].topic, (int)(timeout_us / 1000), &all, err);
    if (status == PK_OK)
        *ret = all;
    else
        pk_vec_done(&all.list);
    return status;
}

enum pk_status intake_probe_at(struct intake_probe *probe, const struct intake_watermark *mark, int64_t at_us,
                               int64_t timeout_us, int64_t *ret_offset, struct pk_err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *place = rd_kafka_topic_partition_list_add(list, mark->topic, mark->partition);
    place->offset = at_us < 0 ? 0 : (at_us + 999) / 1000; /* a time goes in, an offset comes out */
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(probe->rk, list, (int)(timeout_us / 1000));
    if (!code)
        code = place->err;
    if (!code)
        *ret_offset = place->offset >= 0 ? place->offset : mark->high;
    rd_kafka_topic_partition_list_destroy(list);
    return code ? pk_fail(err, PK_RETRY, "%s[%" PRId32 "]: Kafka does not say what it holds of that time: %s", mark->topic,
                          mark->partition, rd_kafka_err2str(code)) : PK_OK;
}

void intake_probe_close(struct intake_probe *probe)
{
    if (!probe)
        return;
    rd_kafka_topic_partition_list_destroy(probe->topics);
    rd_kafka_destroy(probe->rk);
    free(probe);
}
