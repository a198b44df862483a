/* SPDX-License-Identifier: Apache-2.0 */
#include "rebuild_kafka.h"
#include "intake_look.h"
#include "replay.h"
#include "store_retain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct name { /* a hash under the former key, and what it was found to be under the new one */
    PK_VEC(struct pk_hash) now;
};

struct rebuild_kafka {
    const struct rebuild_config *config;
    const struct rebuild_kafka_config *kafka;
    struct rebuild_state state;
    struct refill *refill;
    const volatile sig_atomic_t *stop;
    struct pk_arena arena;
    struct rebuild_spans spans;
    struct rebuild_gone gone;
    struct reject_sources sources;
    int64_t read, total, forgetting;
    bool older_done;
    int64_t retained_us; /* records before it are no events */

    /* decisions: in force when we looked last, and made in the new tables */
    struct rebuild_decisions decisions;
    PK_VEC(struct change_decision) made;

    /* another key, other hashing */
    bool learns;
    struct pk_map names; /* struct name; of decisions and forgettings */
    struct rebuild_forgotten *forgotten;
    size_t forgotten_count;
    struct matcher former_matcher;
    struct fact_maker former_maker;
    struct batch former, now; /* the same records, hashed in both ways */
};

static void rest(int64_t ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static enum pk_status stopped(struct rebuild_kafka *k, struct pk_err *err)
{
    return *k->stop ? pk_fail(err, PK_RETRY, "it was stopped; the tables are as they were") : PK_OK;
}

static const char *topic_of(const struct rebuild_kafka *k, const struct rebuild_span *span)
{
    return symbol_text(k->config->symbols, span->topic).ptr;
}

/* ---- what is to be read ---- */

static struct rebuild_span *find_span(struct rebuild_kafka *k, const struct rebuild_span *like)
{
    for (size_t i = 0; i < k->spans.count; i++)
        if (k->spans.span[i].topic == like->topic && k->spans.span[i].partition == like->partition)
            return &k->spans.span[i];
    return NULL;
}

/* Of partitions that were not known. One that Kafka does not have has nothing to read: all that is stored of it is older. */
static enum pk_status ask_bounds(struct rebuild_kafka *k, struct rebuild_spans *spans, struct pk_err *err)
{
    size_t count = 0;
    struct replay_span *bounds = pk_alloc((spans->count + 1) * sizeof *bounds);
    for (size_t i = 0; i < spans->count; i++)
        if (!find_span(k, &spans->span[i]))
            bounds[count++] = (struct replay_span){.topic = topic_of(k, &spans->span[i]), .partition = spans->span[i].partition};
    enum pk_status status = replay_bounds(&k->kafka->intake, bounds, count, err);
    count = 0;
    for (size_t i = 0; i < spans->count && status == PK_OK; i++) {
        struct rebuild_span *span = &spans->span[i];
        if (find_span(k, span))
            continue;
        const struct replay_span *held = &bounds[count++];
        if (held->to >= 0 && held->to < span->next)
            status = pk_fail(err, PK_STOP, "%s[%" PRId32 "]: the stored position is %" PRId64 ", and Kafka ends at %" PRId64
                             ": the topic was made anew, or its end was lost", held->topic, held->partition, span->next, held->to);
        span->first = span->done = held->to < 0 ? span->next : PK_MIN(held->from, span->next);
    }
    free(bounds);
    return status;
}

/* Where consumers stand now. */
static enum pk_status look_again(struct rebuild_kafka *k, struct pk_err *err)
{
    struct rebuild_spans now = {0};
    enum pk_status status = store_rebuild_positions(k->refill->old, &k->arena, &now, err);
    if (status == PK_OK)
        status = ask_bounds(k, &now, err);
    for (size_t i = 0; i < now.count && status == PK_OK; i++) {
        const struct rebuild_span *known = find_span(k, &now.span[i]);
        if (known && now.span[i].next < known->done)
            return pk_fail(err, PK_RETRY, "%s[%" PRId32 "]: the stored position went back meanwhile: run it again", topic_of(k, known),
                           known->partition);
        if (known) {
            now.span[i].first = known->first;
            now.span[i].done = known->done;
            now.span[i].newest_at_us = known->newest_at_us;
            now.span[i].newest_received_at_us = known->newest_received_at_us;
        }
    }
    if (status != PK_OK)
        return status;
    k->spans = now;
    k->total = k->gone.events;
    for (size_t i = 0; i < now.count; i++)
        k->total += now.span[i].next - now.span[i].first;
    return store_rebuild_note_spans(k->refill->shadow, &k->spans, err);
}

static int64_t records_left(const struct rebuild_kafka *k)
{
    int64_t left = 0;
    for (size_t i = 0; i < k->spans.count; i++)
        left += k->spans.span[i].next - k->spans.span[i].done;
    return left;
}

static enum pk_status open_replay(struct rebuild_kafka *k, struct replay_span **ret_span, struct replay **ret, struct pk_err *err)
{
    *ret_span = pk_alloc((k->spans.count + 1) * sizeof **ret_span);
    for (size_t i = 0; i < k->spans.count; i++) {
        const struct rebuild_span *span = &k->spans.span[i];
        (*ret_span)[i] = (struct replay_span){topic_of(k, span), span->partition, span->done, span->next};
    }
    return replay_open(&k->kafka->intake, *ret_span, k->spans.count, ret, err);
}

/* ---- records ---- */

/* The bytes of what is set aside stay in Kafka, where they were read from. */
static void leave_bytes(struct batch_item *item)
{
    if (item->fact) {
        item->fact->record_key = item->fact->record_value = (struct pk_bytes){0};
        item->fact->record_headers = NULL;
        return;
    }
    struct change_quarantine *reject = item->reject;
    reject->value_bytes = reject->value.len;
    reject->key = reject->value = (struct pk_bytes){0};
    reject->headers = NULL;
    reject->partial = true;
}

/* While a registry is away the record waits. */
static enum pk_status add_patiently(struct rebuild_kafka *k, struct batch *batch, const struct decoder *decoder,
                                    const struct batch_record *record, struct pk_err *err)
{
    enum { PAUSE_MS = 500 };
    bool said = false;
    for (;;) {
        enum pk_status status = batch_add(batch, decoder, record, err);
        if (status != PK_RETRY)
            return status;
        if (!said)
            k->config->handler.warn(k->config->handler.context, "a record cannot be read yet", err->text);
        said = true;
        rest(PAUSE_MS);
        status = stopped(k, err);
        if (status != PK_OK)
            return status;
    }
}

static struct decoder decoder_of(struct rebuild_kafka *k, struct fact_maker *maker, int64_t horizon_us)
{
    return (struct decoder){.schemas = k->kafka->schemas,
                            .maker = maker,
                            .limits = {k->kafka->max_ahead_us},
                            .horizon_us = horizon_us,
                            .sources = &k->sources};
}

static enum pk_status add_record(struct rebuild_kafka *k, struct batch *batch, const struct decoder *decoder,
                                 const struct intake_record *record, struct pk_err *err)
{
    struct record_header header[1];
    size_t headers = 0;
    for (size_t i = 0; intake_record_header(record, i, &header[0].name, &header[0].value) && !headers; i++)
        headers = pk_str_eq(header[0].name, PK_STR("source")); /* who published what cannot be read */
    return add_patiently(k, batch, decoder,
                         &(struct batch_record){
                             .topic = k->spans.span[record->index].topic,
                             .partition = record->partition,
                             .offset = record->offset,
                             .received_at_us = record->at_us,
                             .key = record->key,
                             .value = record->value,
                             .header = header,
                             .header_count = headers,
                         },
                         err);
}

/* The next batch of a replay, decoded by one or two decoders. */
struct filling {
    struct batch *batch;
    struct decoder decoder;
};

static enum pk_status read_batch(struct rebuild_kafka *k, struct replay *replay, struct filling *filling, size_t count,
                                 struct pk_err *err)
{
    enum { WAIT_US = 100000 };
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < count; i++)
        batch_reset(filling[i].batch);
    const struct batch *batch = filling[0].batch;
    while (status == PK_OK && !replay_ended(replay) && (int64_t)batch->item.len < k->config->batch_records &&
           (int64_t)batch->bytes < k->kafka->batch_bytes) {
        struct intake_record record = {0};
        status = replay_poll(replay, WAIT_US, &record, err);
        for (size_t i = 0; i < count && record.message && status == PK_OK; i++)
            status = add_record(k, filling[i].batch, &filling[i].decoder, &record, err);
        intake_record_done(&record);
        if (status == PK_OK)
            status = stopped(k, err);
    }
    return status;
}

/* ---- deriving a round ---- */

/* Of a batch that is committed. */
static void note_times(struct rebuild_kafka *k, const struct batch *batch)
{
    for (size_t i = 0; i < batch->item.len; i++) {
        const struct fact *fact = batch->item.ptr[i].fact;
        if (!fact || fact->forgotten)
            continue;
        struct rebuild_span *span =
            find_span(k, &(struct rebuild_span){.topic = fact->topic_name, .partition = fact->partition});
        if (!span)
            continue;
        span->newest_at_us = PK_MAX(span->newest_at_us, fact->at_us);
        span->newest_received_at_us = PK_MAX(span->newest_received_at_us, fact->received_at_us);
    }
}

static enum pk_status derive(struct rebuild_kafka *k, struct pk_err *err)
{
    struct replay_span *span = NULL;
    struct replay *replay = NULL;
    enum pk_status status = open_replay(k, &span, &replay, err);
    while (status == PK_OK && !replay_ended(replay)) {
        struct filling filling = {refill_batch(k->refill), decoder_of(k, &k->refill->maker, k->config->rules->horizon_us)};
        filling.decoder.retained_us = k->retained_us;
        status = read_batch(k, replay, &filling, 1, err);
        for (size_t i = 0; i < filling.batch->item.len && status == PK_OK; i++)
            leave_bytes(&filling.batch->item.ptr[i]);
        k->read += (int64_t)filling.batch->item.len;
        if (status == PK_OK)
            status = refill_put(k->refill, err);
        if (status == PK_OK)
            note_times(k, refill_batch(k->refill)); /* the one before */
        if (status == PK_OK)
            k->config->handler.progress(k->config->handler.context, k->read, PK_MAX(k->total, k->read), &k->refill->committer.counters);
    }
    replay_close(replay);
    free(span);
    if (status == PK_OK)
        status = refill_finish(k->refill, err);
    if (status == PK_OK)
        note_times(k, refill_last(k->refill));
    for (size_t i = 0; i < k->spans.count && status == PK_OK; i++)
        k->spans.span[i].done = k->spans.span[i].next;
    return status;
}

/* ---- learning what a hash becomes ---- */

static void learn(struct rebuild_kafka *k, struct pk_hash before, struct pk_hash now)
{
    struct name *name = pk_hash_zero(before) || pk_hash_zero(now) ? NULL : pk_map_get(&k->names, before);
    if (!name)
        return;
    for (size_t i = 0; i < name->now.len; i++)
        if (pk_hash_eq(name->now.ptr[i], now))
            return;
    *pk_vec_push(&name->now) = now;
}

static void learn_fact(struct rebuild_kafka *k, const struct fact *before, const struct fact *now)
{
    for (uint32_t i = 0; i < before->identifier_count && i < now->identifier_count; i++)
        learn(k, before->identifier[i].hash, now->identifier[i].hash);
    learn(k, before->case_key, now->case_key);
    learn(k, before->event_hash, now->event_hash);
}

/* A copy of an older event: the older row is left out, for it would be counted twice. */
static enum pk_status note_copies(struct rebuild_kafka *k, struct pk_err *err)
{
    size_t count = 0;
    int64_t noted = 0;
    int64_t *at_us = pk_alloc((k->former.item.len + 1) * sizeof *at_us);
    struct pk_hash *hash = pk_alloc((k->former.item.len + 1) * sizeof *hash);
    for (size_t i = 0; i < k->former.item.len; i++) {
        const struct fact *fact = k->former.item.ptr[i].fact;
        if (!fact)
            continue;
        at_us[count] = fact->at_us;
        hash[count++] = fact->event_hash;
    }
    enum pk_status status = store_rebuild_note_copies(k->refill->shadow, at_us, hash, count, &noted, err);
    free(at_us);
    free(hash);
    if (status == PK_OK && noted > 0 && k->older_done)
        return pk_fail(err, PK_RETRY, "an event that is older than what Kafka holds was published again meanwhile: run it again");
    return status;
}

static enum pk_status forget_too(struct rebuild_kafka *k, struct pk_err *err)
{
    PK_VEC(struct rebuild_forgotten) from = {0}, to = {0};
    for (size_t i = 0; i < k->forgotten_count; i++) {
        const struct rebuild_forgotten *row = &k->forgotten[i];
        bool alone = pk_hash_zero(row->event);
        const struct name *name = pk_map_get(&k->names, row->name), *event = alone ? NULL : pk_map_get(&k->names, row->event);
        for (size_t n = 0; n < name->now.len; n++)
            for (size_t e = 0; e < (alone ? 1 : event->now.len); e++) {
                *pk_vec_push(&from) = *row;
                *pk_vec_push(&to) = (struct rebuild_forgotten){name->now.ptr[n], alone ? row->event : event->now.ptr[e]};
            }
    }
    enum pk_status status = store_rebuild_forget_too(k->refill->shadow, from.ptr, to.ptr, from.len, err);
    pk_vec_done(&from);
    pk_vec_done(&to);
    return status;
}

static enum pk_status learn_round(struct rebuild_kafka *k, struct pk_err *err)
{
    struct replay_span *span = NULL;
    struct replay *replay = NULL;
    enum pk_status status = open_replay(k, &span, &replay, err);
    while (status == PK_OK && !replay_ended(replay)) {
        struct filling filling[] = {{&k->former, decoder_of(k, &k->former_maker, INT64_MIN)},
                                    {&k->now, decoder_of(k, &k->refill->maker, INT64_MIN)}};
        status = read_batch(k, replay, filling, PK_COUNT(filling), err);
        for (size_t i = 0; i < k->former.item.len && status == PK_OK; i++)
            if (k->former.item.ptr[i].fact && k->now.item.ptr[i].fact)
                learn_fact(k, k->former.item.ptr[i].fact, k->now.item.ptr[i].fact);
        if (status == PK_OK && k->kafka->keep_older && k->gone.events > 0)
            status = note_copies(k, err);
    }
    replay_close(replay);
    free(span);
    if (status == PK_OK && k->forgotten_count > 0)
        status = forget_too(k, err);
    return status;
}

static void want(struct rebuild_kafka *k, struct pk_hash hash)
{
    if (!pk_hash_zero(hash) && !pk_map_get(&k->names, hash))
        pk_map_put(&k->names, hash, PK_NEW(&k->arena, struct name));
}

/* ---- decisions ---- */

static bool same_decision(const struct change_decision *a, const struct change_decision *b)
{
    return a->kind == b->kind && pk_hash_eq(a->a, b->a) && pk_hash_eq(a->b, b->b);
}

static bool has_decision(const struct change_decision *list, size_t count, const struct change_decision *decision)
{
    for (size_t i = 0; i < count; i++)
        if (same_decision(&list[i], decision))
            return true;
    return false;
}

struct decisions {
    PK_VEC(struct change_decision) list;
};

static void add_decision(struct decisions *to, struct change_decision decision)
{
    if (decision.kind == DECIDE_APART && memcmp(decision.a.byte, decision.b.byte, sizeof decision.a.byte) > 0) {
        struct change_decision other = decision;
        decision.a = other.b, decision.kind_a = other.kind_b, decision.name_space_a = other.name_space_b;
        decision.b = other.a, decision.kind_b = other.kind_a, decision.name_space_b = other.name_space_a;
    }
    if (decision.kind == DECIDE_APART && pk_hash_eq(decision.a, decision.b))
        return; /* two values that are one now */
    if (!has_decision(to->list.ptr, to->list.len, &decision))
        *pk_vec_push(&to->list) = decision;
}

static void carry_over(struct rebuild_kafka *k, const struct change_decision *decision, struct decisions *to)
{
    bool pair = decision->kind == DECIDE_APART;
    const struct name *a = pk_map_get(&k->names, decision->a), *b = pair ? pk_map_get(&k->names, decision->b) : NULL;
    for (size_t i = 0; a && i < a->now.len; i++)
        for (size_t n = 0; n < (!pair ? 1 : b ? b->now.len : 0); n++) {
            struct change_decision carried = *decision;
            carried.a = a->now.ptr[i];
            if (pair)
                carried.b = b->now.ptr[n];
            add_decision(to, carried);
        }
}

/* What has to be in force in the new tables. */
static struct decisions wanted_decisions(struct rebuild_kafka *k)
{
    struct decisions wanted = {0};
    for (size_t i = 0; i < k->decisions.count; i++) {
        if (!k->state.rehashed || k->kafka->keep_older) /* older events stay as they are hashed */
            add_decision(&wanted, k->decisions.decision[i]);
        if (k->state.rehashed && !k->kafka->drop_decisions)
            carry_over(k, &k->decisions.decision[i], &wanted);
    }
    return wanted;
}

/* Brings the decisions of the new tables to those that are in force. */
static enum pk_status agree_on_decisions(struct rebuild_kafka *k, struct pk_err *err)
{
    struct decisions wanted = wanted_decisions(k);
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < k->made.len && status == PK_OK; i++) {
        struct change_decision restored = k->made.ptr[i];
        restored.restore = true;
        if (!has_decision(wanted.list.ptr, wanted.list.len, &restored))
            status = commit_decisions(&k->refill->committer, &restored, 1, err);
    }
    for (size_t i = 0; i < wanted.list.len && status == PK_OK; i++)
        if (!has_decision(k->made.ptr, k->made.len, &wanted.list.ptr[i]))
            status = commit_decisions(&k->refill->committer, &wanted.list.ptr[i], 1, err);
    k->made.len = 0;
    for (size_t i = 0; i < wanted.list.len; i++)
        *pk_vec_push(&k->made) = wanted.list.ptr[i];
    pk_vec_done(&wanted.list);
    return status;
}

static void hash_digits(struct pk_hash hash, char ret[9])
{
    snprintf(ret, 9, "%02x%02x%02x%02x", hash.byte[0], hash.byte[1], hash.byte[2], hash.byte[3]);
}

/* Names what the new tables cannot know. */
static void tell_what_is_lost(struct rebuild_kafka *k)
{
    static const char *const kind[] = {"block", "unlink", "unlink"};
    char detail[200], a[9], b[9];
    int64_t unknown = 0;
    for (size_t i = 0; i < k->decisions.count && !k->kafka->drop_decisions; i++) {
        struct decisions carried = {0};
        carry_over(k, &k->decisions.decision[i], &carried);
        hash_digits(k->decisions.decision[i].a, a);
        hash_digits(k->decisions.decision[i].b, b);
        snprintf(detail, sizeof detail, "decision=%s former_hash=%s%s%s why=\"no record that Kafka holds names it\"",
                 kind[k->decisions.decision[i].kind], a, k->decisions.decision[i].kind == DECIDE_APART ? "," : "",
                 k->decisions.decision[i].kind == DECIDE_APART ? b : "");
        if (carried.list.len == 0)
            k->config->handler.warn(k->config->handler.context, "a decision could not be carried over", detail);
        pk_vec_done(&carried.list);
    }
    for (size_t i = 0; i < k->forgotten_count; i++) {
        const struct name *name = pk_map_get(&k->names, k->forgotten[i].name);
        unknown += pk_hash_zero(k->forgotten[i].event) && name->now.len == 0;
    }
    snprintf(detail, sizeof detail, "names=%" PRId64 " effect=\"if they are published again they are not recognised\"", unknown);
    if (unknown > 0)
        k->config->handler.warn(k->config->handler.context, "names that are forgotten stand in no record that Kafka holds", detail);
}

/* ---- the beginning ---- */

static enum pk_status judge_topic(const struct rebuild_kafka *k, const struct look_topic *topic, struct pk_err *err)
{
    char detail[300];
    switch (topic->answer) {
    case LOOK_TOLD:
        return !intake_look_compacts(topic->setting[LOOK_CLEANUP_POLICY]) ? PK_OK :
               pk_fail(err, PK_STOP, "topic %s is compacted (cleanup.policy=%s): Kafka keeps the newest record of each key only, and the events "
                       "that it dropped would be lost without a word; rebuild from the stored events, without --from-kafka", topic->name,
                       topic->setting[LOOK_CLEANUP_POLICY]);
    case LOOK_NO_TOPIC: /* what is stored of it is older than what Kafka holds */
        return PK_OK;
    case LOOK_DENIED:
        if (!k->kafka->accept_unknown_cleanup)
            return pk_fail(err, PK_STOP, "whether topic %s is compacted, and events are missing in it, Kafka does not let us see: allow this user "
                           "DescribeConfigs on the topic, or go on without knowing (--accept-unknown-cleanup)", topic->name);
        snprintf(detail, sizeof detail, "topic=%s accepted=accept-unknown-cleanup", topic->name);
        k->config->handler.warn(k->config->handler.context, "whether a topic is compacted is not known", detail);
        return PK_OK;
    case LOOK_FAILED:
        break;
    }
    return pk_fail(err, PK_RETRY, "how topic %s is set cannot be read: %s", topic->name, topic->why);
}

/* A compacted topic lacks events in its middle, where no offset tells. */
static enum pk_status check_topics(struct rebuild_kafka *k, struct pk_err *err)
{
    enum { PATIENCE_SECONDS = 30 };
    size_t count = 0;
    struct look_topic *topic = pk_alloc((k->spans.count + 1) * sizeof *topic);
    for (size_t i = 0; i < k->spans.count; i++) {
        const char *name = topic_of(k, &k->spans.span[i]);
        size_t at = 0;
        while (at < count && strcmp(topic[at].name, name) != 0)
            at++;
        topic[at].name = name;
        count = PK_MAX(count, at + 1);
    }
    enum pk_status status = intake_look_topics(&k->kafka->intake, topic, count, PATIENCE_SECONDS * PK_SECOND_US, err);
    for (size_t i = 0; i < count && status == PK_OK; i++)
        status = judge_topic(k, &topic[i], err);
    free(topic);
    return status;
}

static enum pk_status check_older(struct rebuild_kafka *k, struct pk_err *err)
{
    enum pk_status status = store_rebuild_gone(k->refill->old, &k->gone, err);
    if (status != PK_OK || k->gone.events == 0)
        return status;
    char where[350];
    if (k->gone.first < 0)
        snprintf(where, sizeof where, "%s[%" PRId32 "] is no partition of a stored position", k->gone.topic, k->gone.partition);
    else
        snprintf(where, sizeof where, "of %s[%" PRId32 "] Kafka holds nothing before offset %" PRId64, k->gone.topic, k->gone.partition,
                 k->gone.first);
    if (!k->kafka->keep_older)
        return pk_fail(err, PK_STOP, "%s, and %" PRId64 " stored events lie there (in all partitions %" PRId64 "): they would be "
                       "lost; --keep-older takes them from the tables%s", where, k->gone.here, k->gone.events,
                       k->state.rehashed ? ", as they are hashed: nothing under the new key joins them" : "");
    char detail[100];
    snprintf(detail, sizeof detail, "events=%" PRId64, k->gone.events);
    k->config->handler.say(k->config->handler.context, "events that Kafka does not hold any more are taken from the tables", detail);
    return PK_OK;
}

/* Sealed rows, and the stored events before the latest retention, keep their hashes: no record of them is read. */
static enum pk_status check_retained(const struct rebuild_kafka *k, struct pk_err *err)
{
    if (!k->state.rehashed || k->retained_us == PK_NO_TIME || k->kafka->keep_older)
        return PK_OK;
    return pk_fail(err, PK_STOP, "events of the past are sealed (retain), and what they told stays as it is hashed: whoever was there before and "
                                 "after is two customers under the new key, to be forgotten one by one; --keep-older accepts that");
}

/* What is stored by hash alone can be followed with the former key and rules only. */
static enum pk_status check_former(struct rebuild_kafka *k, struct pk_err *err)
{
    size_t kept = k->kafka->drop_decisions ? 0 : k->decisions.count;
    if (!k->state.rehashed || kept + k->forgotten_count + (k->kafka->keep_older ? (size_t)k->gone.events : 0) == 0)
        return PK_OK;
    const struct rules *rules = k->kafka->former_rules ? k->kafka->former_rules : k->config->rules;
    const struct fact_hasher *hasher = k->kafka->former_hasher ? k->kafka->former_hasher : k->config->hasher;
    bool key = pk_hash_eq(refill_key_check(hasher), k->state.key_check);
    bool hashing = pk_hash_zero(k->state.hashing) || pk_hash_eq(rules->hashing_hash, k->state.hashing);
    if (!key || !hashing)
        return pk_fail(err, PK_STOP, "%zu decisions, %zu forgotten names and events and %" PRId64 " older events are stored by hash: to follow "
                       "them give %s%s", k->decisions.count, k->forgotten_count, k->kafka->keep_older ? k->gone.events : 0,
                       !key ? "the former key (--former-hash-key-file)" : "the former rules (--former-rules)",
                       k->forgotten_count == 0 && !k->kafka->keep_older ? ", or give the decisions up (--drop-decisions)" : "");
    k->learns = true;
    matcher_init(&k->former_matcher, rules, k->config->symbols);
    fact_maker_init(&k->former_maker, rules, hasher, k->config->symbols, &k->former_matcher);
    for (size_t i = 0; i < k->decisions.count; i++) {
        want(k, k->decisions.decision[i].a);
        want(k, k->decisions.decision[i].b);
    }
    for (size_t i = 0; i < k->forgotten_count; i++) {
        want(k, k->forgotten[i].name);
        want(k, k->forgotten[i].event);
    }
    return PK_OK;
}

enum pk_status rebuild_kafka_open(const struct rebuild_config *config, const struct rebuild_state *state,
                                  struct refill *refill, const volatile sig_atomic_t *stop, struct rebuild_kafka **ret,
                                  struct pk_err *err)
{
    struct rebuild_kafka *k = pk_alloc(sizeof *k);
    k->config = config;
    k->kafka = config->kafka;
    k->state = *state;
    k->refill = refill;
    k->stop = stop;
    k->sources = (struct reject_sources){config->symbols, REJECT_SOURCES_MOST};
    *ret = k;
    enum pk_status status = store_ensure_dictionary(refill->old, err);
    if (status == PK_OK)
        status = look_again(k, err);
    if (status == PK_OK)
        status = check_topics(k, err);
    if (status == PK_OK)
        status = check_older(k, err);
    if (status == PK_OK)
        status = refill_decisions(refill, refill->old, &k->arena, &k->decisions, err);
    if (status == PK_OK)
        status = store_rebuild_forgotten(refill->old, &k->arena, &k->forgetting, state->rehashed ? &k->forgotten : NULL,
                                         &k->forgotten_count, err);
    k->total += k->gone.events + k->gone.retained;
    if (status == PK_OK)
        status = store_retained(refill->old, &k->retained_us, err);
    if (status == PK_OK)
        status = check_retained(k, err);
    return status == PK_OK ? check_former(k, err) : status;
}

void rebuild_kafka_close(struct rebuild_kafka *k)
{
    if (!k)
        return;
    PK_MAP_EACH(&k->names, entry)
        pk_vec_done(&((struct name *)entry->value)->now);
    pk_map_done(&k->names);
    pk_vec_done(&k->made);
    if (k->learns) {
        fact_maker_done(&k->former_maker);
        matcher_done(&k->former_matcher);
    }
    batch_done(&k->former);
    batch_done(&k->now);
    pk_arena_done(&k->arena);
    free(k);
}

/* ---- rounds ---- */

/* In the first round, as they came first; but behind what tells which of them come again. */
static enum pk_status take_older(struct rebuild_kafka *k, struct pk_err *err)
{
    if (k->gone.events + k->gone.retained == 0 || k->older_done)
        return PK_OK;
    enum pk_status status = k->state.rehashed ? store_rebuild_note_former(k->refill->shadow, err) : PK_OK;
    if (status == PK_OK)
        status = refill_older(k->refill, err);
    k->older_done = true;
    k->read += k->gone.events + k->gone.retained;
    return status;
}

static enum pk_status round_of(struct rebuild_kafka *k, struct pk_err *err)
{
    enum pk_status status = k->learns && records_left(k) > 0 ? learn_round(k, err) : PK_OK;
    if (status == PK_OK)
        status = take_older(k, err);
    return status == PK_OK && records_left(k) > 0 ? derive(k, err) : status;
}

enum pk_status rebuild_kafka_fill(struct rebuild_kafka *k, struct pk_err *err)
{
    enum { MOST_ROUNDS = 30 };
    /* Under the same hashes first, as the events come then into what is decided already; else once names are known. */
    enum pk_status status = k->state.rehashed ? PK_OK : agree_on_decisions(k, err);
    if (status == PK_OK)
        status = round_of(k, err);
    for (int rounds = 0; status == PK_OK && rounds < MOST_ROUNDS; rounds++) {
        status = look_again(k, err);
        if (status != PK_OK || records_left(k) <= k->config->batch_records)
            break;
        status = round_of(k, err);
    }
    return status == PK_OK && k->state.rehashed ? agree_on_decisions(k, err) : status;
}

static enum pk_status check_decisions(struct rebuild_kafka *k, struct pk_err *err)
{
    struct rebuild_decisions before = k->decisions;
    enum pk_status status = refill_decisions(k->refill, k->refill->old, &k->arena, &k->decisions, err);
    for (size_t i = 0; i < k->decisions.count && status == PK_OK && k->state.rehashed && !k->kafka->drop_decisions; i++)
        if (!has_decision(before.decision, before.count, &k->decisions.decision[i]))
            return pk_fail(err, PK_RETRY, "somebody decided about identity meanwhile, under the former key: run it again");
    return status;
}

enum pk_status rebuild_kafka_end(struct rebuild_kafka *k, struct pk_err *err)
{
    int64_t forgetting = 0;
    enum pk_status status = store_rebuild_forgotten(k->refill->old, &k->arena, &forgetting, NULL, NULL, err);
    if (status == PK_OK && forgetting != k->forgetting)
        return pk_fail(err, PK_RETRY, "a customer was forgotten meanwhile: run it again");
    if (status == PK_OK)
        status = look_again(k, err);
    if (status == PK_OK)
        status = round_of(k, err);
    if (status == PK_OK)
        status = store_rebuild_note_spans(k->refill->shadow, &k->spans, err);
    if (status == PK_OK)
        status = check_decisions(k, err);
    if (status == PK_OK)
        status = agree_on_decisions(k, err);
    if (status == PK_OK && !k->state.rehashed)
        status = refill_values(k->refill, err);
    if (status == PK_OK && k->learns)
        tell_what_is_lost(k);
    return status;
}
