/* SPDX-License-Identifier: Apache-2.0 */
#include "outlet.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "event_json.h"
#include "log.h"
#include "publish.h"
#include "random.h"
#include "subject.h"

enum { BROKER_ANSWERS_MS = 15000, PROGRESS_US = 250000, PROGRESS_WIDTH = 79, FLUSH_STEP_MS = 200, PACE_STEP_US = 20000, PACE_LEAST_US = 1000 };

struct staged { /* in the stage's buffers */
    size_t payload, payload_len, key, key_len;
};

struct held { /* an event that waits for its turn; texts live in the arena */
    struct pk_str payload, key, source, event_id;
    int64_t occurred_at_us, sequence;
    uint64_t token;
};

struct outlet {
    struct outlet_config config;
    struct framer framer;
    struct event_limits limits;
    struct polku_producer *producer;
    struct pk_arena arena;

    bool random_partition;
    int32_t partition, partition_count;
    struct random random;

    struct pk_buf payload, key; /* of staged events */
    PK_VEC(struct staged) staged;
    PK_VEC(struct held) held;
    size_t held_from; /* first of held that belongs to the stage */
    bool hold;

    struct pace pace;
    int64_t pace_from_us;
    uint64_t pace_count;
    bool show;
    int64_t shown_at_us;
    uint64_t lines, rejected, out; /* out: handed on to Kafka or the stream */
    int64_t started_us;
    struct outlet_report report;
};

static int64_t clock_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * PK_SECOND_US + t.tv_nsec / 1000;
}

static bool stopping(const struct outlet *o)
{
    return o->config.stop && *o->config.stop;
}

/* ---- Kafka ---- */

static void on_delivered(void *context, void *token, const char *error)
{
    struct outlet *o = context;
    if (!error) {
        o->report.written++;
        return;
    }
    if (o->report.lost++ == 0)
        snprintf(o->report.first_loss, sizeof o->report.first_loss, "%s", error);
    if (o->config.lost)
        o->config.lost(o->config.context, (uint64_t)(uintptr_t)token, error);
}

static void on_log(void *context, int level, const char *text)
{
    (void)context;
    char quoted[400];
    snprintf(quoted, sizeof quoted, "%s", text);
    for (char *c = quoted; *c; c++)
        if (*c == '"')
            *c = '\'';
    log_write(level <= 3 ? LOG_WARN : LOG_DEBUG, "kafka", "text=\"%s\"", quoted);
}

static enum pk_status open_kafka(struct outlet *o, struct pk_err *err)
{
    const struct producer_options *options = o->config.options;
    char timeout[24];
    snprintf(timeout, sizeof timeout, "%" PRId64, options->delivery_timeout / 1000);
    PK_VEC(struct polku_property) property = {0};
    *pk_vec_push(&property) = (struct polku_property){"message.timeout.ms", timeout};
    for (size_t i = 0; i < options->rest.kafka.len; i++)
        *pk_vec_push(&property) =
            (struct polku_property){options->rest.kafka.ptr[i].name, options->rest.kafka.ptr[i].value};

    struct polku_config config = {
        .struct_size = sizeof config, .brokers = options->brokers, .topic = options->topic, .property = property.ptr,
        .property_count = property.len, .delivered = on_delivered, .log = on_log, .context = o,
        .queue_wait_ms = options->delivery_timeout / 1000};
    struct polku_error error;
    enum polku_status opened = polku_producer_open(&config, &o->producer, &error);
    pk_vec_done(&property);
    if (opened != POLKU_OK)
        return pk_fail(err, PK_REJECT, "%s", error.text);
    struct pk_err why = {0};
    enum pk_status status = publish_partitions(o->producer, BROKER_ANSWERS_MS, &o->partition_count, &why);
    if (status == PK_RETRY)
        return pk_fail(err, status, "%s; are the addresses right (--brokers %s), and is TLS wanted (--kafka.security.protocol)?", why.text,
                       options->brokers);
    if (status != PK_OK)
        return pk_fail(err, status, "%s", why.text);
    if (o->partition >= o->partition_count)
        return pk_fail(err, PK_REJECT, "--partition %d: the topic has %d partitions", o->partition, o->partition_count);
    return PK_OK;
}

/* ---- opening ---- */

static enum pk_status read_options(struct outlet *o, struct pk_err *err)
{
    static const char *const frames[] = {"single-object", "confluent"}, *const ways[] = {"key", "random"},
                             *const when[] = {"auto", "always", "never"};
    const struct producer_options *options = o->config.options;
    bool registry = options->registry_url && options->registry_url[0];
    size_t frame = registry, way = 0, shown = 0;
    uint32_t schema_id = (uint32_t)options->schema_id;
    enum pk_status status = PK_OK;
    if (options->frame)
        status = producer_word("frame", options->frame, frames, PK_COUNT(frames), &frame, err);
    if (status == PK_OK && registry && !frame)
        status = pk_fail(err, PK_REJECT, "--frame single-object has no place for an id of --registry-url; leave one of them out");
    if (status == PK_OK)
        status = producer_word("partition-by", options->partition_by, ways, PK_COUNT(ways), &way, err);
    if (status == PK_OK)
        status = producer_word("progress", options->progress, when, PK_COUNT(when), &shown, err);
    if (status == PK_OK && options->sort && options->shuffle)
        status = pk_fail(err, PK_REJECT, "--sort and --shuffle exclude each other");
    if (status == PK_OK && registry && o->config.kind == OUTLET_KAFKA)
        status = subject_schema_id(options, &schema_id, err);
    if (status == PK_OK)
        status = framer_open(&o->framer, frame ? WIRE_CONFLUENT : WIRE_SINGLE_OBJECT, schema_id, options->key_namespaces,
                             &o->arena, err);
    o->framer.canonical = o->config.canonical;
    o->random_partition = way == 1;
    o->partition = (int32_t)options->partition;
    o->show = shown == 1 || (shown == 0 && isatty(STDERR_FILENO));
    o->hold = options->sort || options->shuffle;
    o->pace = o->config.pace ? *o->config.pace : (struct pace){.micro_rate = options->rate * 1000000};
    o->limits.max_ahead_us = options->max_ahead;
    return status;
}

static void done(struct outlet *o)
{
    framer_close(&o->framer);
    pk_buf_done(&o->payload);
    pk_buf_done(&o->key);
    pk_vec_done(&o->staged);
    pk_vec_done(&o->held);
    pk_arena_done(&o->arena);
    free(o);
}

enum pk_status outlet_open(const struct outlet_config *config, struct outlet **ret_outlet, struct pk_err *err)
{
    struct outlet *o = pk_alloc(sizeof *o);
    o->config = *config;
    o->random.state = (uint64_t)config->options->seed;
    enum pk_status status = read_options(o, err);
    if (status == PK_OK && config->kind == OUTLET_KAFKA)
        status = open_kafka(o, err);
    o->started_us = clock_us(CLOCK_MONOTONIC);
    if (status == PK_OK) {
        *ret_outlet = o;
        return PK_OK;
    }
    polku_producer_close(o->producer, 0, NULL, NULL);
    done(o);
    return status;
}

/* ---- progress and pace ---- */

static void show(struct outlet *o, bool last)
{
    int64_t now = clock_us(CLOCK_MONOTONIC);
    if (!o->show || (!last && now - o->shown_at_us < PROGRESS_US))
        return;
    o->shown_at_us = now;
    double seconds = (double)(now - o->started_us) / 1e6;
    if (o->config.line) {
        char line[240];
        o->report.elapsed_us = now - o->started_us;
        o->config.line(o->config.context, &o->report, line, sizeof line);
        fprintf(stderr, "\r%-*s%s", PROGRESS_WIDTH, line, last ? "\n" : ""); /* over a longer one of before */
        return;
    }
    fprintf(stderr, "\r%" PRIu64 " lines  %" PRIu64 " events  %" PRIu64 " %s  %" PRIu64 " rejected  %" PRIu64
            " lost  %.0f events/s  ", o->lines, o->report.events,
            o->config.kind == OUTLET_KAFKA ? o->report.written : o->out,
            o->config.kind == OUTLET_KAFKA ? "delivered" : "written", o->rejected, o->report.lost,
            seconds > 0 ? (double)o->out / seconds : 0);
    if (last)
        fputc('\n', stderr);
}

void outlet_progress(struct outlet *o, uint64_t lines, uint64_t rejected)
{
    o->lines = lines;
    o->rejected = rejected;
    if (o->show && lines % 64 == 0)
        show(o, false);
}

void outlet_wait_until(struct outlet *o, int64_t at_us)
{
    for (int64_t now; (now = clock_us(CLOCK_MONOTONIC)) < at_us && !stopping(o);) {
        outlet_idle(o);
        int64_t wait = PK_MAX(PK_MIN(at_us - now, (int64_t)PACE_STEP_US), (int64_t)PACE_LEAST_US);
        nanosleep(&(struct timespec){wait / PK_SECOND_US, wait % PK_SECOND_US * 1000}, NULL);
    }
}

/* Sleeps until the next event is due; deliveries are served meanwhile. */
static void keep_pace(struct outlet *o)
{
    if (!o->pace.micro_rate)
        return;
    if (o->pace_count == 0)
        o->pace_from_us = clock_us(CLOCK_MONOTONIC);
    outlet_wait_until(o, o->pace_from_us + pace_due_us(&o->pace, o->pace_count++));
}

/* ---- events ---- */

static enum pk_status write_out(struct outlet *o, struct pk_str payload, struct pk_str key, uint64_t token,
                                struct pk_err *err)
{
    keep_pace(o);
    o->report.bytes += payload.len;
    o->out++;
    if (o->config.kind == OUTLET_KAFKA) {
        int32_t partition = o->partition >= 0      ? o->partition
                            : o->random_partition ? (int32_t)random_below(&o->random, (uint64_t)o->partition_count)
                                                  : PUBLISH_ANY_PARTITION;
        enum pk_status status = publish_payload(o->producer, payload, key, partition, (void *)(uintptr_t)token, err);
        if (status == PK_OK)
            return PK_OK;
        on_delivered(o, (void *)(uintptr_t)token, err->text);
        return status == PK_REJECT ? PK_OK : status;
    }
    o->report.written++;
    if (o->config.kind == OUTLET_JSON &&
        (fwrite(payload.ptr, 1, payload.len, o->config.stream) != payload.len || fputc('\n', o->config.stream) == EOF))
        return pk_fail(err, PK_STOP, "cannot write events: %s", strerror(errno));
    return PK_OK;
}

static void hold(struct outlet *o, const struct event *event, struct pk_str payload, struct pk_str key)
{
    *pk_vec_push(&o->held) = (struct held){
        .payload = pk_arena_str(&o->arena, payload), .key = pk_arena_str(&o->arena, key),
        .source = pk_arena_str(&o->arena, event->source), .event_id = pk_arena_str(&o->arena, event->event_id),
        .occurred_at_us = event->occurred_at_us, .sequence = event->sequence};
}

enum pk_status outlet_stage(struct outlet *o, const struct event *event, enum reject_reason *ret_reason,
                            struct pk_err *err)
{
    struct staged s = {.payload = o->payload.len, .key = o->key.len};
    enum pk_status status = framer_encode(&o->framer, event, &o->limits, clock_us(CLOCK_REALTIME), &o->payload, &o->key,
                                          ret_reason, err);
    if (status != PK_OK)
        return status;
    if (o->config.kind == OUTLET_JSON) {
        o->payload.len = s.payload;
        event_to_json(event, &o->payload);
    }
    s.payload_len = o->payload.len - s.payload;
    s.key_len = o->key.len - s.key;
    if (o->hold)
        hold(o, event, (struct pk_str){o->payload.ptr + s.payload, s.payload_len},
             (struct pk_str){o->key.ptr + s.key, s.key_len});
    else
        *pk_vec_push(&o->staged) = s;
    return PK_OK;
}

static void empty_stage(struct outlet *o)
{
    pk_buf_reset(&o->payload);
    pk_buf_reset(&o->key);
    o->staged.len = 0;
}

void outlet_discard(struct outlet *o)
{
    empty_stage(o);
    o->held.len = o->held_from;
}

enum pk_status outlet_commit(struct outlet *o, uint64_t token, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    for (size_t i = o->held_from; i < o->held.len; i++)
        o->held.ptr[i].token = token;
    o->report.events += o->held.len - o->held_from;
    o->held_from = o->held.len;
    for (size_t i = 0; i < o->staged.len && status == PK_OK; i++) {
        const struct staged *s = &o->staged.ptr[i];
        o->report.events++;
        status = write_out(o, (struct pk_str){o->payload.ptr + s->payload, s->payload_len},
                           (struct pk_str){o->key.ptr + s->key, s->key_len}, token, err);
    }
    empty_stage(o);
    if (o->show && o->report.events % 1024 == 0)
        show(o, false);
    return status;
}

uint64_t outlet_events(const struct outlet *o)
{
    return o->report.events;
}

void outlet_idle(struct outlet *o)
{
    if (o->producer)
        polku_producer_poll(o->producer);
    if (o->config.kind == OUTLET_JSON)
        fflush(o->config.stream); /* an error stays with the stream, and outlet_close() finds it */
    show(o, false);
}

/* ---- the end ---- */

static int by_event_order(const void *a, const void *b)
{
    const struct held *x = a, *y = b;
    if (x->occurred_at_us != y->occurred_at_us)
        return x->occurred_at_us < y->occurred_at_us ? -1 : 1;
    if (x->sequence != y->sequence)
        return x->sequence < y->sequence ? -1 : 1;
    int order = pk_str_cmp(x->source, y->source);
    return order ? order : pk_str_cmp(x->event_id, y->event_id);
}

static void arrange(struct outlet *o)
{
    struct held *held = o->held.ptr;
    if (o->config.options->sort) {
        if (o->held.len)
            qsort(held, o->held.len, sizeof *held, by_event_order);
        return;
    }
    struct random random = {(uint64_t)o->config.options->shuffle};
    for (size_t i = o->held.len; i > 1; i--) {
        size_t k = (size_t)random_below(&random, i);
        struct held other = held[k];
        held[k] = held[i - 1];
        held[i - 1] = other;
    }
}

static enum pk_status wait_for_deliveries(struct outlet *o, struct pk_err *err)
{
    struct polku_error error;
    for (;;) {
        enum polku_status status = polku_producer_flush(o->producer, FLUSH_STEP_MS, &error);
        if (status == POLKU_OK || (status == POLKU_BUSY && stopping(o)))
            return PK_OK;
        if (status != POLKU_BUSY)
            return pk_fail(err, PK_STOP, "%s", error.text);
        show(o, false);
    }
}

enum pk_status outlet_close(struct outlet *o, enum pk_status status, struct outlet_report *ret_report,
                            struct pk_err *err)
{
    if (o->hold && status == PK_OK) {
        arrange(o);
        for (size_t i = 0; i < o->held.len && status == PK_OK && !stopping(o); i++) {
            const struct held *h = &o->held.ptr[i];
            status = write_out(o, h->payload, h->key, h->token, err);
            if (i % 1024 == 0)
                show(o, false);
        }
    }
    if (o->producer && status == PK_OK)
        status = wait_for_deliveries(o, err);
    polku_producer_close(o->producer, stopping(o) ? 3000 : 0, NULL, NULL);
    if (o->config.kind == OUTLET_JSON && (fflush(o->config.stream) != 0 || ferror(o->config.stream)) && status == PK_OK)
        status = pk_fail(err, PK_STOP, "cannot write events: %s", strerror(errno));
    show(o, true);
    o->report.elapsed_us = clock_us(CLOCK_MONOTONIC) - o->started_us;
    *ret_report = o->report;
    done(o);
    return status;
}
