/* SPDX-License-Identifier: Apache-2.0 */
#include "publish.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "event_json.h"
#include "framer.h"

enum { POLL_EVERY = 1000, QUEUE_FULL_POLL_MS = 100 };

struct polku_producer {
    rd_kafka_t *kafka;
    rd_kafka_topic_t *topic;
    struct event_limits limits;
    int64_t queue_wait_ms;
    polku_delivered *delivered;
    polku_log *log;
    void *context;
    pid_t owner;           /* the process that opened it */
    struct pk_arena arena; /* of the configuration */

    pthread_mutex_t lock; /* guards the next two, and the text of the first failure */
    struct framer framer;
    struct pk_buf payload, key;

    atomic_uint_fast64_t accepted, delivered_count, failed, invalid;
    atomic_bool has_failure;
    char first_failure[256];
};

static int64_t now_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * PK_SECOND_US + t.tv_nsec / 1000;
}

static enum polku_status answer(enum pk_status status, const struct pk_err *why, struct polku_error *error)
{
    if (status == PK_OK)
        return POLKU_OK;
    if (error)
        snprintf(error->text, sizeof error->text, "%s", why->text);
    return status == PK_REJECT ? POLKU_INVALID : status == PK_RETRY ? POLKU_BUSY : POLKU_FAILED;
}

const char *polku_default_key_namespaces(void)
{
    return EVENT_KEY_DEFAULT;
}

const char *polku_version(void)
{
    return POLKU_VERSION;
}

const char *publish_kafka_version(void)
{
    return rd_kafka_version_str();
}

/* The threads that would publish are in the parent only. */
static enum pk_status check_owner(const struct polku_producer *p, struct pk_err *err)
{
    if (p->owner == getpid())
        return PK_OK;
    return pk_fail(err, PK_STOP, "this process was forked from the one that opened the producer: open another one here");
}

/* ---- callbacks of librdkafka ---- */

static void on_delivery(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *opaque)
{
    (void)kafka;
    struct polku_producer *p = opaque;
    const char *why = message->err ? rd_kafka_err2str(message->err) : NULL;
    if (why) {
        if (!atomic_load(&p->has_failure)) {
            pthread_mutex_lock(&p->lock);
            if (!atomic_load(&p->has_failure))
                snprintf(p->first_failure, sizeof p->first_failure, "%s", why);
            atomic_store(&p->has_failure, true);
            pthread_mutex_unlock(&p->lock);
        }
        atomic_fetch_add(&p->failed, 1);
    } else {
        atomic_fetch_add(&p->delivered_count, 1);
    }
    if (p->delivered)
        p->delivered(p->context, message->_private, why);
}

static void on_log(const rd_kafka_t *kafka, int level, const char *facility, const char *text)
{
    struct polku_producer *p = rd_kafka_opaque(kafka);
    (void)facility;
    p->log(p->context, level, text);
}

/* Without it librdkafka logs errors; they come back in delivery reports and as fatal errors anyway. */
static void on_error(rd_kafka_t *kafka, int code, const char *reason, void *opaque)
{
    struct polku_producer *p = opaque;
    (void)kafka;
    if (p->log)
        p->log(p->context, code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ? 3 : 4, reason);
}

/* ---- opening ---- */

static enum pk_status set_property(rd_kafka_conf_t *conf, const char *name, const char *value, struct pk_err *err)
{
    char text[256];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK)
        return PK_OK;
    return pk_fail(err, PK_REJECT, "kafka property %s: %s", name, text);
}

/* The promise of this library is not for negotiation. */
static enum pk_status guard_property(const struct polku_property *property, struct pk_err *err)
{
    const char *name = property->name, *value = property->value;
    bool idempotence = strcmp(name, "enable.idempotence") == 0 && strcmp(value, "true") != 0;
    bool acks = (strcmp(name, "acks") == 0 || strcmp(name, "request.required.acks") == 0) && strcmp(value, "all") != 0 &&
                strcmp(value, "-1") != 0;
    if (idempotence || acks)
        return pk_fail(err, PK_REJECT, "kafka property %s cannot be changed: events are published idempotently, acks=all",
                       name);
    return PK_OK;
}

static enum pk_status configure(rd_kafka_conf_t *conf, const struct polku_config *config, struct pk_err *err)
{
    const struct polku_property ours[] = {
        {"client.id", "polku-producer"},
        {"partitioner", "murmur2_random"}, /* the same key goes where Java producers put it */
        {"linger.ms", "20"},
        {"batch.num.messages", "20000"},
        {"compression.codec", "lz4"},
        {"queue.buffering.max.messages", "400000"},
        {"queue.buffering.max.kbytes", "262144"},
    };
    enum pk_status status = set_property(conf, "bootstrap.servers", config->brokers, err);
    for (size_t i = 0; i < PK_COUNT(ours) && status == PK_OK; i++)
        status = set_property(conf, ours[i].name, ours[i].value, err);
    for (size_t i = 0; i < config->property_count && status == PK_OK; i++) {
        status = guard_property(&config->property[i], err);
        if (status == PK_OK)
            status = set_property(conf, config->property[i].name, config->property[i].value, err);
    }
    if (status == PK_OK)
        status = set_property(conf, "enable.idempotence", "true", err);
    return status;
}

static enum pk_status start(struct polku_producer *p, const struct polku_config *config, struct pk_err *err)
{
    if (!config->brokers || !config->brokers[0] || !config->topic || !config->topic[0])
        return pk_fail(err, PK_REJECT, "brokers and topic are needed");
    enum pk_status status = framer_open(&p->framer,
                                        config->frame == POLKU_CONFLUENT ? WIRE_CONFLUENT : WIRE_SINGLE_OBJECT,
                                        config->schema_id,
                                        config->key_namespaces ? config->key_namespaces : EVENT_KEY_DEFAULT,
                                        &p->arena, err);
    if (status != PK_OK)
        return status;

    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, p);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_error_cb(conf, on_error);
    if (p->log)
        rd_kafka_conf_set_log_cb(conf, on_log);
    status = configure(conf, config, err);
    char text[256];
    if (status == PK_OK && !(p->kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text)))
        status = pk_fail(err, PK_REJECT, "kafka: %s", text);
    if (!p->kafka)
        rd_kafka_conf_destroy(conf);
    if (status == PK_OK && !(p->topic = rd_kafka_topic_new(p->kafka, config->topic, NULL)))
        status = pk_fail(err, PK_REJECT, "topic %s: %s", config->topic, rd_kafka_err2str(rd_kafka_last_error()));
    return status;
}

static void done(struct polku_producer *p)
{
    if (p->topic)
        rd_kafka_topic_destroy(p->topic);
    if (p->kafka)
        rd_kafka_destroy(p->kafka);
    framer_close(&p->framer);
    pk_buf_done(&p->payload);
    pk_buf_done(&p->key);
    pk_arena_done(&p->arena);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

enum polku_status polku_producer_open(const struct polku_config *given, struct polku_producer **ret_producer,
                                      struct polku_error *error)
{
    struct pk_err why = {0};
    struct polku_config config = {0};
    if (given->struct_size < offsetof(struct polku_config, frame) || given->struct_size > sizeof config)
        return answer(pk_fail(&why, PK_REJECT, "config.struct_size is not set, or of a newer version"), &why, error);
    memcpy(&config, given, given->struct_size);

    struct polku_producer *p = pk_alloc(sizeof *p);
    p->owner = getpid();
    p->limits.max_ahead_us = config.max_ahead_us ? config.max_ahead_us : 300 * PK_SECOND_US;
    p->queue_wait_ms = config.queue_wait_ms < 0 ? 0 : config.queue_wait_ms ? config.queue_wait_ms : 60000;
    p->delivered = config.delivered;
    p->log = config.log;
    p->context = config.context;
    pthread_mutex_init(&p->lock, NULL);
    enum pk_status status = start(p, &config, &why);
    if (status != PK_OK)
        done(p);
    else
        *ret_producer = p;
    return answer(status, &why, error);
}

/* ---- sending ---- */

/* One try. PK_RETRY if the queue is full. */
static enum pk_status enqueue(struct polku_producer *p, struct pk_str payload, struct pk_str key, int32_t partition,
                              void *token, struct pk_err *err)
{
    if (rd_kafka_produce(p->topic, partition, RD_KAFKA_MSG_F_COPY, (void *)payload.ptr, payload.len, key.ptr, key.len,
                         token) == 0) {
        uint_fast64_t accepted = atomic_fetch_add(&p->accepted, 1);
        return accepted % POLL_EVERY == POLL_EVERY - 1 ? PK_STALE : PK_OK;
    }
    rd_kafka_resp_err_t code = rd_kafka_last_error();
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return pk_fail(err, PK_RETRY, "the queue of messages to send is full");
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        char text[256];
        rd_kafka_fatal_error(p->kafka, text, sizeof text);
        return pk_fail(err, PK_STOP, "kafka: %s", text);
    }
    return pk_fail(err, PK_REJECT, "kafka: %s", rd_kafka_err2str(code));
}

/* Serves callbacks when it is time to (they make room too), and says whether a full queue is worth another try. No lock is
 * held here. */
static bool again(struct polku_producer *p, enum pk_status *status, int64_t *deadline_us)
{
    if (*status == PK_STALE) { /* accepted, and time for callbacks */
        rd_kafka_poll(p->kafka, 0);
        *status = PK_OK;
    }
    if (*status != PK_RETRY)
        return false;
    int64_t now = now_us(CLOCK_MONOTONIC);
    if (*deadline_us == 0) {
        *deadline_us = now + p->queue_wait_ms * 1000;
        rd_kafka_poll(p->kafka, 0);
        return true;
    }
    if (now >= *deadline_us)
        return false;
    rd_kafka_poll(p->kafka, (int)PK_MIN((*deadline_us - now) / 1000 + 1, (int64_t)QUEUE_FULL_POLL_MS));
    return true;
}

enum pk_status publish_payload(struct polku_producer *p, struct pk_str payload, struct pk_str key, int32_t partition,
                               void *token, struct pk_err *err)
{
    enum pk_status status;
    int64_t deadline_us = 0;
    do
        status = enqueue(p, payload, key, partition, token, err);
    while (again(p, &status, &deadline_us));
    return status;
}

static enum pk_status send_locked(struct polku_producer *p, const struct event *event, void *token, struct pk_err *err)
{
    enum reject_reason reason;
    pk_buf_reset(&p->payload);
    pk_buf_reset(&p->key);
    enum pk_status status = framer_encode(&p->framer, event, &p->limits, now_us(CLOCK_REALTIME), &p->payload, &p->key,
                                          &reason, err);
    if (status == PK_OK)
        status = enqueue(p, (struct pk_str){p->payload.ptr, p->payload.len}, (struct pk_str){p->key.ptr, p->key.len},
                         RD_KAFKA_PARTITION_UA, token, err);
    return status;
}

static enum pk_status send_event(struct polku_producer *p, const struct event *event, void *token, struct pk_err *err)
{
    enum pk_status status;
    int64_t deadline_us = 0;
    do {
        pthread_mutex_lock(&p->lock);
        status = send_locked(p, event, token, err);
        pthread_mutex_unlock(&p->lock);
    } while (again(p, &status, &deadline_us));
    if (status == PK_REJECT)
        atomic_fetch_add(&p->invalid, 1);
    return status;
}

/* Fills in the parts of the event; lists go to the arena. */
static enum pk_status convert(const struct polku_event *from, struct pk_arena *arena, struct event *to,
                              struct pk_err *err)
{
    static const enum event_direction direction[] = {EVENT_DIRECTION_UNKNOWN, EVENT_INBOUND, EVENT_OUTBOUND,
                                                     EVENT_INTERNAL, EVENT_PUBLIC};
    static const enum event_actor actor[] = {EVENT_ACTOR_UNKNOWN, EVENT_CUSTOMER, EVENT_HUMAN, EVENT_BOT, EVENT_SYSTEM};
    if ((unsigned)from->direction >= PK_COUNT(direction) || (unsigned)from->actor >= PK_COUNT(actor) ||
        (unsigned)from->sensitivity > POLKU_SENSITIVE)
        return pk_fail(err, PK_REJECT, "direction, actor or sensitivity is none of the known ones");
    if (from->identifier_count > EVENT_MAX_IDENTIFIERS || from->attribute_count > EVENT_MAX_ATTRIBUTES)
        return pk_fail(err, PK_REJECT, "at most %d identifiers and %d attributes", EVENT_MAX_IDENTIFIERS,
                       EVENT_MAX_ATTRIBUTES);
    struct event_identifier *identifier = PK_NEW_ARRAY(arena, struct event_identifier, from->identifier_count);
    for (size_t i = 0; i < from->identifier_count; i++)
        identifier[i] = (struct event_identifier){pk_str(from->identifier[i].name_space), pk_str(from->identifier[i].value)};
    struct event_attribute *attribute = PK_NEW_ARRAY(arena, struct event_attribute, from->attribute_count);
    for (size_t i = 0; i < from->attribute_count; i++)
        attribute[i] = (struct event_attribute){pk_str(from->attribute[i].key), pk_str(from->attribute[i].value)};

    *to = (struct event){
        .event_id = pk_str(from->event_id), .source = pk_str(from->source), .occurred_at_us = from->occurred_at_us,
        .sequence = from->sequence, .type = pk_str(from->type), .channel = pk_str(from->channel),
        .direction = direction[from->direction], .actor = actor[from->actor],
        .sensitivity = from->sensitivity == POLKU_SENSITIVE ? EVENT_SENSITIVE : EVENT_NORMAL,
        .has_obligation = from->obligation, .has_handoff = from->handoff, .has_rating = from->rating,
        .has_money = from->money, .brand = pk_str(from->brand), .unit = pk_str(from->unit),
        .identifier_count = (uint32_t)from->identifier_count, .attribute_count = (uint32_t)from->attribute_count,
        .identifier = identifier, .attribute = attribute, .staff = pk_str(from->staff), .case_id = pk_str(from->case_id),
        .relates_to = pk_str(from->relates_to), .topic = pk_str(from->topic), .cause = pk_str(from->cause),
        .product = pk_str(from->product), .location = pk_str(from->location), .stage = pk_str(from->stage),
        .outcome = pk_str(from->outcome), .reason = pk_str(from->reason),
        .obligation = {.due_from_us = PK_NO_TIME, .due_to_us = PK_NO_TIME},
    };
    if (from->obligation) {
        const struct polku_obligation *o = from->obligation;
        to->obligation = (struct event_obligation){pk_str(o->id), pk_str(o->kind), o->due_from_us, o->due_to_us,
                                                   pk_str(o->brand), pk_str(o->unit), pk_str(o->role)};
    }
    if (from->handoff)
        to->handoff = (struct event_handoff){pk_str(from->handoff->to_brand), pk_str(from->handoff->to_unit),
                                             pk_str(from->handoff->to_role)};
    if (from->rating)
        to->rating = (struct event_rating){pk_str(from->rating->scale), from->rating->score, from->rating->min,
                                           from->rating->max};
    if (from->money)
        to->money = (struct event_money){from->money->amount_minor, pk_str(from->money->currency), pk_str(from->money->kind)};
    return PK_OK;
}

enum polku_status polku_producer_send(struct polku_producer *p, const struct polku_event *given, void *token,
                                      struct polku_error *error)
{
    struct pk_err why = {0};
    struct polku_event from = {0};
    struct event event;
    struct pk_arena arena = {0};
    enum pk_status status = check_owner(p, &why);
    if (status != PK_OK)
        return answer(status, &why, error);
    if (given->struct_size < offsetof(struct polku_event, identifier) || given->struct_size > sizeof from)
        status = pk_fail(&why, PK_REJECT, "event.struct_size is not set, or of a newer version");
    else
        memcpy(&from, given, given->struct_size);
    if (status == PK_OK)
        status = convert(&from, &arena, &event, &why);
    if (status == PK_OK)
        status = send_event(p, &event, token, &why);
    else
        atomic_fetch_add(&p->invalid, 1);
    pk_arena_done(&arena);
    return answer(status, &why, error);
}

enum polku_status polku_producer_send_json(struct polku_producer *p, const char *json, size_t len, void *token,
                                           struct polku_error *error)
{
    struct pk_err why = {0};
    struct event event;
    struct pk_arena arena = {0};
    enum pk_status status = check_owner(p, &why);
    if (status != PK_OK)
        return answer(status, &why, error);
    status = event_from_json((struct pk_str){json, len}, &arena, &event, &why);
    if (status == PK_OK)
        status = send_event(p, &event, token, &why);
    else
        atomic_fetch_add(&p->invalid, 1);
    pk_arena_done(&arena);
    return answer(status, &why, error);
}

/* ---- the end of it ---- */

void polku_producer_poll(struct polku_producer *p)
{
    struct pk_err why;
    if (check_owner(p, &why) == PK_OK)
        rd_kafka_poll(p->kafka, 0);
}

static struct polku_report count(const struct polku_producer *p)
{
    struct polku_report report = {.accepted = atomic_load(&p->accepted), .delivered = atomic_load(&p->delivered_count),
                                  .failed = atomic_load(&p->failed), .invalid = atomic_load(&p->invalid)};
    if (atomic_load(&p->has_failure))
        memcpy(report.first_failure, p->first_failure, sizeof report.first_failure);
    return report;
}

/* As much of it as the caller's version of the struct has. */
static enum polku_status hand_out(struct polku_report report, struct polku_report *ret)
{
    size_t size = ret->struct_size;
    if (size < offsetof(struct polku_report, first_failure) || size > sizeof report)
        return POLKU_INVALID;
    report.struct_size = size;
    memcpy(ret, &report, size);
    return POLKU_OK;
}

enum polku_status polku_producer_report(const struct polku_producer *p, struct polku_report *ret)
{
    struct pk_err why;
    return check_owner(p, &why) == PK_OK ? hand_out(count(p), ret) : POLKU_FAILED;
}

enum polku_status polku_producer_flush(struct polku_producer *p, int timeout_ms, struct polku_error *error)
{
    struct pk_err why = {0};
    char text_of_fatal[256];
    enum pk_status status = check_owner(p, &why);
    if (status != PK_OK)
        return answer(status, &why, error);
    rd_kafka_resp_err_t code = rd_kafka_flush(p->kafka, timeout_ms);
    if (rd_kafka_fatal_error(p->kafka, text_of_fatal, sizeof text_of_fatal))
        status = pk_fail(&why, PK_STOP, "kafka: %s", text_of_fatal);
    else if (code)
        status = pk_fail(&why, PK_RETRY, "%d events are still in flight: %s", rd_kafka_outq_len(p->kafka),
                         rd_kafka_err2str(code));
    return answer(status, &why, error);
}

enum polku_status polku_producer_close(struct polku_producer *p, int timeout_ms, struct polku_report *ret_report,
                                       struct polku_error *error)
{
    if (!p)
        return POLKU_OK;
    struct pk_err why = {0};
    enum pk_status status = check_owner(p, &why);
    if (status != PK_OK)
        return answer(status, &why, error);
    polku_producer_flush(p, timeout_ms, NULL);
    rd_kafka_purge(p->kafka, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(p->kafka, 1000); /* runs the callbacks of what was given up */
    struct polku_report report = count(p);
    if (report.delivered != report.accepted)
        status = pk_fail(&why, PK_STOP, "%llu of %llu events were not delivered: %s",
                         (unsigned long long)(report.accepted - report.delivered), (unsigned long long)report.accepted,
                         report.first_failure[0] ? report.first_failure : "no answer in time");
    done(p);
    if (ret_report)
        hand_out(report, ret_report);
    return answer(status, &why, error);
}

/* One question. A topic that comes into being with the first question is not there at once. */
static enum pk_status ask_partitions(struct polku_producer *p, int timeout_ms, int32_t *ret_count, bool *ret_ask_again,
                                     struct pk_err *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    *ret_ask_again = false;
    rd_kafka_resp_err_t code = rd_kafka_metadata(p->kafka, 0, p->topic, &metadata, timeout_ms);
    if (code)
        return pk_fail(err, PK_RETRY, "no broker answers: %s", rd_kafka_err2str(code));
    const rd_kafka_metadata_topic_t *topic = metadata->topic_cnt == 1 ? &metadata->topics[0] : NULL;
    enum pk_status status = PK_OK;
    code = topic ? topic->err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (!code && topic->partition_cnt > 0) {
        *ret_count = topic->partition_cnt;
    } else {
        *ret_ask_again = !code || code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
                         code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        status = pk_fail(err, PK_REJECT, "topic %s: %s", rd_kafka_topic_name(p->topic),
                         code ? rd_kafka_err2str(code) : "no partitions");
    }
    rd_kafka_metadata_destroy(metadata);
    return status;
}

enum pk_status publish_partitions(struct polku_producer *p, int timeout_ms, int32_t *ret_count, struct pk_err *err)
{
    enum { BIRTH_MS = 5000, STEP_MS = 200 };
    int64_t deadline_us = now_us(CLOCK_MONOTONIC) + PK_MIN(timeout_ms, (int)BIRTH_MS) * 1000;
    for (;;) {
        bool ask_again;
        enum pk_status status = ask_partitions(p, timeout_ms, ret_count, &ask_again, err);
        if (!ask_again || now_us(CLOCK_MONOTONIC) > deadline_us)
            return status;
        rd_kafka_poll(p->kafka, STEP_MS);
    }
}
