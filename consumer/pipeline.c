/* SPDX-License-Identifier: Apache-2.0 */
#include "crash_point.h"
#include "pipeline.h"
#include "store_quarantine.h"
#include "store_retain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* How many records a batch may have: fewer after PostgreSQL found one too much, more again after some that went well. */
struct pace {
    int64_t records;
    size_t tried;        /* records of the batch that is under way, or failed; 0 = none */
    int good, good_enough; /* batches that went well, and how many must before larger ones are tried */
    bool grown;
};

struct pipeline {
    const struct pipeline_config *config;
    const volatile sig_atomic_t *stop;
    struct matcher matcher;
    struct fact_maker maker;
    struct meaning meaning;
    struct decoder decoder;
    struct store *store;
    struct committer committer;
    struct intake *intake;
    struct batch batch[2];
    int filling;                /* which batch the next records go to; the other may be in flight */
    int64_t first_at_us;        /* clock at the first record of the filling batch */
    int64_t free_at_us;         /* with a rate: the clock before which no batch begins */
    struct store_position *position;
    size_t positions;
    bool connected;             /* the store's connection may be used */
    bool claimed;               /* `position` is ours, as far as we know */
    bool ours;                  /* Kafka has not taken its partitions back; perhaps they are claimed again */
    int64_t looked_at_us;       /* clock when PostgreSQL last said where the positions stand */
    struct pace pace;
    int64_t failing_pause_us;   /* after the last of several failures in a row that a smaller batch does not help; 0 = none */
    bool room_told;             /* that PostgreSQL has no room, since it had some */
    enum pk_status in_callback; /* what went wrong in a callback, for the loop to look at */
    struct pk_err callback_err;
    struct commit_counters shown;
    int64_t shown_at_us;
    size_t words_shown;         /* number of different texts at which the log last spoke of them */
    struct {                    /* for the schema of one record, as long as the registry does not say what it is */
        bool paused;
        int64_t until_us, pause_us, since_us; /* pause_us 0: nothing is waited for */
        struct intake_partition record;
    } schema;
    struct quarantine_limit limit;
    struct reject_sources reject_sources;
    int64_t sized_at_us, expired_at_us, full_shown_at_us; /* quarantine: clock when last looked at, cleared out, told to be full */
    uint64_t counted_shown, rejects_sized; /* as counted when it was told last, as there were when quarantine was looked at */
    struct pulse *pulse;        /* of the board */
    int64_t posted_at_us, started_at_us; /* figures were posted; derivation of the batch under way began */
    int64_t read_at_us, committed_at_us; /* clock when a record last came, or reading began; real time of the last commit */
    struct histogram batch_seconds;
    int64_t claims, revocations[METRIC_KIND_COUNT], failures[METRIC_STATUS_COUNT];
    int64_t failed_opens;       /* attempts to connect before there was a store to count them */
    PK_VEC(struct figure_partition) shown_partition;
    int64_t fenced_at_us;       /* clock when Kafka last gave our place as a static member away */
    int fenced;                 /* times, one soon after the other */
};

static int64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

/* ---- log ---- */

static void log_progress(struct pipeline *p, bool last)
{
    const struct commit_counters *now = &p->committer.counters;
    int64_t at_us = clock_us(), since_us = at_us - p->shown_at_us;
    if (!last && (since_us < 5 * PK_SECOND_US || now->batches == p->shown.batches))
        return;
    log_write(LOG_INFO, last ? "stopped" : "progress",
              "records=%" PRIu64 " facts=%" PRIu64 " rejects=%" PRIu64 " batches=%" PRIu64 " per_second=%.0f fast=%" PRIu64
              " slow=%" PRIu64 " retries=%" PRIu64 " forgotten=%" PRIu64 " retained=%" PRIu64 " cache_bytes=%zu",
              now->records, now->facts, now->rejects, now->batches,
              (double)(now->records - p->shown.records) * 1e6 / (double)PK_MAX(since_us, INT64_C(1)), now->fast,
              now->slow, now->retries[0] + now->retries[1] + now->retries[2] + now->retries[3] + now->retries[4], now->forgotten, now->retained,
              p->committer.cache.bytes);
    p->shown = *now;
    p->shown_at_us = at_us;
}

/* Symbols and the dictionary never forget: they are for vocabulary. A publisher that writes ids or sentences into
 * such a field (type, channel, unit, outcome, reason, ...) shows here long before memory is short. */
static void watch_words(struct pipeline *p)
{
    enum { MANY_WORDS = 100000 };
    size_t words = symbols_count(p->config->symbols);
    if (words < PK_MAX(2 * p->words_shown, (size_t)MANY_WORDS))
        return;
    p->words_shown = words;
    log_write(LOG_WARN, "very many different words", "count=%zu see=polku.dictionary", words);
}

/* Whatever is only counted is told: at most once a minute. */
static void tell_excess(struct pipeline *p)
{
    enum { TELL_SECONDS = 60 };
    const struct quarantine_limit *limit = &p->limit;
    int64_t now = clock_us();
    if (limit->counted == p->counted_shown ||
        (p->full_shown_at_us && now - p->full_shown_at_us < TELL_SECONDS * PK_SECOND_US))
        return;
    log_write(LOG_WARN, "quarantine is full, bad records are only counted",
              "records=%" PRIu64 " for=%s limit=%" PRId64 " see=bi.quarantine_excess", limit->counted - p->counted_shown,
              limit->by_space ? "quarantine-space" : "quarantine-rows",
              limit->by_space ? limit->most_bytes : limit->rows_per_minute);
    p->counted_shown = limit->counted;
    p->full_shown_at_us = now;
}

static void note(void *context, enum log_level level, const char *sentence, const char *pairs)
{
    (void)context;
    log_write(level, sentence, "%s", pairs);
}

/* ---- for whoever asks how it goes ---- */

static void show_flags(struct pipeline *p)
{
    struct health_flags flags = {.leaving = *p->stop, .connected = p->connected, .claimed = p->claimed,
                                 .schema_wait = p->schema.pause_us != 0, .read_us = p->read_at_us};
    if (p->intake)
        flags.joined = intake_joined(p->intake, &flags.partitions);
    health_board_show(p->config->board, &flags);
}

static void set_outcomes(const struct commit_counters *n, struct figures *ret)
{
    int64_t rejected = (int64_t)n->rejects - (int64_t)n->displaced;
    ret->records[METRIC_OUTCOME_new] = (int64_t)n->facts;
    ret->records[METRIC_OUTCOME_rejected] = rejected;
    ret->records[METRIC_OUTCOME_forgotten] = (int64_t)n->forgotten;
    ret->records[METRIC_OUTCOME_retained] = (int64_t)n->retained;
    ret->records[METRIC_OUTCOME_duplicate] =
        PK_MAX((int64_t)(n->records - n->facts - n->forgotten - n->retained) - rejected, INT64_C(0));
    for (int i = 0; i < REJECT_COUNT; i++) {
        ret->quarantine_rows[i] = (int64_t)n->rejected[i];
        ret->quarantine_counted[i] = (int64_t)n->counted[i];
    }
}

static void set_cache(const struct pipeline *p, struct figures *ret)
{
    const struct cache *cache = &p->committer.cache;
    const struct commit_counters *n = &p->committer.counters;
    ret->cache_keys[0] = (int64_t)cache->keys.count;
    ret->cache_cells[0] = (int64_t)cache->cells.count;
    ret->cache_bytes[0] = (int64_t)cache->bytes;
    ret->cache_evicted[0] = (int64_t)cache->evicted;
    ret->keys[METRIC_SOURCE_cache] = (int64_t)(n->keys - n->keys_loaded);
    ret->keys[METRIC_SOURCE_database] = (int64_t)n->keys_loaded;
    ret->words[0] = (int64_t)symbols_count(p->config->symbols) - 1;
}

static void set_commits(const struct pipeline *p, struct figures *ret)
{
    const struct commit_counters *n = &p->committer.counters;
    ret->batches[0] = (int64_t)n->batches;
    ret->derived[METRIC_PATH_fast] = (int64_t)n->fast;
    ret->derived[METRIC_PATH_slow] = (int64_t)n->slow;
    for (int i = 0; i < METRIC_TABLE_COUNT; i++)
        ret->rows[i] = (int64_t)n->rows[i];
    for (int i = 0; i < METRIC_TRY_COUNT; i++)
        ret->conflicts[i] = (int64_t)n->retries[i];
    ret->batch_limit[0] = p->pace.records;
    ret->committed_at[0] = p->committed_at_us ? p->committed_at_us : FIGURE_NONE;
    ret->batch_records = n->batch_records;
    ret->record_age = n->record_age;
    ret->event_age = n->event_age;
    ret->batch_seconds = p->batch_seconds;
    memcpy(ret->failures, p->failures, sizeof ret->failures);
}

static void set_others(const struct pipeline *p, struct figures *ret)
{
    struct registry_counters registry = schema_set_counters(p->config->schemas);
    struct store_counters store = p->store ? store_counters(p->store) : (struct store_counters){0};
    ret->claims[0] = p->claims;
    memcpy(ret->revocations, p->revocations, sizeof ret->revocations);
    ret->quarantine_bytes[0] = p->sized_at_us ? p->limit.now.bytes : FIGURE_NONE;
    ret->connects[METRIC_RESULT_answered] = (int64_t)store.connects;
    ret->connects[METRIC_RESULT_failed] = (int64_t)store.failed_connects + p->failed_opens;
    ret->round_trips[0] = (int64_t)store.round_trips;
    ret->registry[METRIC_RESULT_answered] = (int64_t)registry.answered;
    ret->registry[METRIC_RESULT_failed] = (int64_t)registry.failed;
}

static void post_figures(struct pipeline *p)
{
    struct figures figures = {0};
    set_outcomes(&p->committer.counters, &figures);
    set_commits(p, &figures);
    set_cache(p, &figures);
    set_others(p, &figures);
    p->shown_partition.len = 0;
    for (size_t i = 0; i < p->positions && p->ours; i++) {
        struct figure_partition *at = pk_vec_push(&p->shown_partition);
        *at = (struct figure_partition){.partition = p->position[i].partition, .claimed = p->claimed,
                                        .position = p->position[i].next_offset};
        snprintf(at->topic, sizeof at->topic, "%.*s", PK_STR_ARG(symbol_text(p->config->symbols, p->position[i].topic)));
    }
    health_board_post(p->config->board, &figures, p->shown_partition.ptr, p->shown_partition.len);
}

/* Flags each time, figures a few times a second at most. */
static void show(struct pipeline *p)
{
    enum { POST_US = 200000 };
    if (!p->config->board)
        return;
    show_flags(p);
    int64_t now = clock_us();
    if (now - p->posted_at_us < POST_US)
        return;
    p->posted_at_us = now;
    post_figures(p);
}

/* Something has just come to be otherwise, and what follows may take long. */
static void show_now(struct pipeline *p)
{
    p->posted_at_us = 0;
    show(p);
}

static void note_statistics(void *context, char *json)
{
    struct pipeline *p = context;
    health_board_statistics(p->config->board, json);
}

static void note_failure(struct pipeline *p, enum pk_status status)
{
    p->failures[METRIC_STATUS_retry] += status == PK_RETRY;
    p->failures[METRIC_STATUS_stale] += status == PK_STALE;
    p->failures[METRIC_STATUS_fenced] += status == PK_FENCED;
    p->failures[METRIC_STATUS_lost] += status == PK_LOST;
}

static void note_commit(struct pipeline *p)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    p->committed_at_us = now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
    histogram_add(&p->batch_seconds, BOUNDS_BATCH, clock_us() - p->started_at_us);
}

/* ---- claims: Kafka says which partitions are ours, PostgreSQL where each of them stands ---- */

static void finish_in_callback(struct pipeline *p)
{
    if (!commit_under_way(&p->committer))
        return;
    enum pk_status status = commit_finish(&p->committer, &p->callback_err);
    if (status == PK_OK)
        note_commit(p);
    note_failure(p, status);
    if (status == PK_LOST || status == PK_RETRY)
        p->connected = false;
    if (status == PK_STOP)
        p->in_callback = status;
    else if (status != PK_OK)
        log_write(LOG_WARN, "a batch was dropped in a rebalance", "status=%s why=\"%s\"", pk_status_name(status),
                  p->callback_err.text);
}

/* Whatever is not committed is read again by whoever claims the partition next. */
static void revoked(void *context, const struct intake_partition *partition, size_t count, bool lost)
{
    struct pipeline *p = context;
    (void)partition;
    CRASH_POINT(revoked_begun);
    finish_in_callback(p);
    CRASH_POINT(revoked_done);
    p->claimed = p->ours = false;
    p->revocations[lost ? METRIC_KIND_lost : METRIC_KIND_orderly]++;
    show_now(p);
    p->schema.pause_us = 0; /* what is paused resumes in time; what waited may not be ours any more */
    batch_reset(&p->batch[p->filling]);
    log_write(LOG_INFO, "partitions revoked", "count=%zu lost=%d", count, lost);
}

static enum pk_status reconnect(struct pipeline *p, struct pk_err *err)
{
    if (p->connected)
        return PK_OK;
    cache_clear(&p->committer.cache); /* the database may be another one now, or an older state of it */
    enum pk_status status = store_reopen(p->store, err);
    p->connected = status == PK_OK;
    return status;
}

static struct store_position *find_position(const struct pipeline *p, const struct store_position *like)
{
    for (size_t i = 0; i < p->positions; i++)
        if (p->position[i].topic == like->topic && p->position[i].partition == like->partition)
            return &p->position[i];
    return NULL;
}

/* After a failover to a standby that lacked the tail, or after `position set`: what was committed once is read again. */
static void forget_if_gone_back(struct pipeline *p, const struct store_position *before, size_t count)
{
    size_t partitions = 0;
    int64_t records = 0;
    for (size_t i = 0; i < count; i++) {
        const struct store_position *now = find_position(p, &before[i]);
        if (!now || before[i].next_offset <= now->next_offset)
            continue;
        partitions++;
        records += before[i].next_offset - now->next_offset;
    }
    if (partitions == 0)
        return;
    cache_clear(&p->committer.cache);
    log_write(LOG_WARN, "the database went back, reading again what it lacks", "partitions=%zu records=%" PRId64, partitions,
              records);
}

static enum pk_status check_rules(struct pipeline *p, struct pk_err *err)
{
    const struct pk_str check = PK_STR("polku hash key check");
    return store_check_rules(p->store, p->config->rules, fact_hash(p->config->hasher, &check, 1), err);
}

static enum pk_status assigned(void *context, struct intake_partition *partition, size_t count, struct pk_err *err)
{
    struct pipeline *p = context;
    finish_in_callback(p);
    batch_reset(&p->batch[p->filling]);
    CRASH_POINT(claim_begun);
    enum pk_status status = reconnect(p, err);
    struct store_position *claim = pk_alloc((count + 1) * sizeof *claim);
    for (size_t i = 0; i < count; i++)
        claim[i] = (struct store_position){.topic = symbol_of(p->config->symbols, pk_str(partition[i].topic)),
                                           .partition = partition[i].partition,
                                           .next_offset = partition[i].offset};
    if (status == PK_OK)
        status = store_ensure_dictionary(p->store, err);
    if (status == PK_OK)
        status = store_claim(p->store, claim, count, err);
    if (status == PK_OK) /* only now: a rebuild voids claims, so none comes between this and a commit */
        status = check_rules(p, err);
    if (status == PK_OK) /* likewise a retention */
        status = store_retained(p->store, &p->decoder.retained_us, err);
    if (status != PK_OK) {
        if (status == PK_LOST || status == PK_RETRY)
            p->connected = false;
        show_now(p);
        free(claim); /* intake notes the reason, and asks again unless it is PK_STOP */
        return status;
    }
    struct store_position *before = p->position;
    size_t before_count = p->positions;
    p->position = claim;
    p->positions = count;
    forget_if_gone_back(p, before, before_count);
    free(before);
    p->claimed = p->ours = true;
    p->claims++;
    p->pace.tried = 0;
    p->looked_at_us = p->read_at_us = clock_us();
    for (size_t i = 0; i < count; i++)
        partition[i].offset = claim[i].next_offset;
    log_write(LOG_INFO, "partitions claimed", "count=%zu", count);
    show_now(p);
    CRASH_POINT(claimed);
    return PK_OK;
}

/* ---- is the database where we left it? ---- */

static enum pk_status compare_position(const struct pipeline *p, const struct store_position *left,
                                       const struct store_position *now, struct pk_err *err)
{
    if (now->epoch == left->epoch && now->next_offset == left->next_offset)
        return PK_OK;
    return pk_fail(err, now->epoch > left->epoch ? PK_FENCED : PK_LOST,
                   "partition %" PRId32 " of %.*s is at offset %" PRId64 ", epoch %" PRId64 "; it was left at offset %" PRId64
                   ", epoch %" PRId64,
                   left->partition, PK_STR_ARG(symbol_text(p->config->symbols, left->topic)), now->next_offset, now->epoch,
                   left->next_offset, left->epoch);
}

/* A batch that is committed asks so itself, but for its own partitions only, and who has nothing to read commits nothing:
 * then a failover that lost something, a position that was set, or a connection that is gone would show only with the
 * next record. Not while a batch is under way. */
static enum pk_status look_at_positions(struct pipeline *p, struct pk_err *err)
{
    if (!p->claimed || p->positions == 0 || clock_us() - p->looked_at_us < p->config->look_every_us)
        return PK_OK;
    struct store_position *now = pk_alloc(p->positions * sizeof *now);
    memcpy(now, p->position, p->positions * sizeof *now);
    enum pk_status status = store_read_positions(p->store, now, p->positions, err);
    bool locked = status == PK_STALE; /* a migration has the table */
    for (size_t i = 0; i < p->positions && status == PK_OK; i++)
        status = compare_position(p, &p->position[i], &now[i], err);
    p->looked_at_us = clock_us();
    free(now);
    return locked ? PK_OK : status;
}

/* ---- how many records at once ---- */

enum { GOOD_ENOUGH = 8, GOOD_ENOUGH_MAX = 512 };

static void pace_reset(struct pipeline *p)
{
    p->pace = (struct pace){.records = p->config->batch_records, .good_enough = GOOD_ENOUGH};
}

static void pace_after_success(struct pipeline *p)
{
    struct pace *pace = &p->pace;
    pace->tried = 0;
    if (pace->records >= p->config->batch_records || ++pace->good < pace->good_enough)
        return;
    pace->good = 0;
    pace->grown = true;
    pace->records *= 2;
    if (pace->records < p->config->batch_records)
        return;
    pace_reset(p);
    log_write(LOG_INFO, "batches are of full size again", "records=%" PRId64, pace->records);
}

/* The same batch again would take as long again. If it was one of those that grew, more has to go well the next time. */
static void pace_after_failure(struct pipeline *p)
{
    struct pace *pace = &p->pace;
    if (!store_wants_less(p->store) || pace->tried == 0)
        return;
    if (pace->grown)
        pace->good_enough = PK_MIN(pace->good_enough * 2, (int)GOOD_ENOUGH_MAX);
    pace->grown = false;
    pace->good = 0;
    pace->records = PK_MAX(PK_MIN((int64_t)pace->tried, pace->records) / 2, INT64_C(1));
    if (pace->tried == 1)
        log_write(LOG_WARN, "PostgreSQL finds one record too much", "see=statement-timeout");
    else
        log_write(LOG_WARN, "batches are smaller from now on", "records=%" PRId64, pace->records);
}

/* ---- filling a batch ---- */

enum { HEADERS_MAX = 64 };

static bool has_more_headers(const struct intake_record *record)
{
    struct pk_str name;
    struct pk_bytes value;
    return intake_record_header(record, HEADERS_MAX, &name, &value);
}

static enum pk_status add_record(struct pipeline *p, struct batch *batch, const struct intake_record *record,
                                 struct pk_err *err)
{
    struct record_header header[HEADERS_MAX];
    size_t headers = 0;
    while (headers < HEADERS_MAX && intake_record_header(record, headers, &header[headers].name, &header[headers].value))
        headers++;
    return batch_add(batch, &p->decoder,
                     &(struct batch_record){
                         .position = record->index,
                         .topic = p->position[record->index].topic,
                         .partition = record->partition,
                         .offset = record->offset,
                         .received_at_us = record->at_us,
                         .key = record->key,
                         .value = record->value,
                         .header = header,
                         .header_count = headers,
                         .more_headers = headers == HEADERS_MAX && has_more_headers(record),
                     },
                     err);
}

/* The record's schema cannot be had now. It comes again, and whatever is behind it in all partitions waits; what is
 * before it is committed, and polling keeps the membership. */
static enum pk_status wait_for_schema(struct pipeline *p, const struct intake_record *record, struct pk_err *err)
{
    const int64_t longest_us = PK_MIN(p->config->retry_max_us, 10 * PK_SECOND_US);
    int64_t now = clock_us();
    if (p->schema.pause_us == 0)
        p->schema.since_us = now;
    p->schema.pause_us = p->schema.pause_us ? PK_MIN(2 * p->schema.pause_us, longest_us) : p->config->retry_min_us;
    p->schema.until_us = now + p->schema.pause_us;
    p->schema.record = (struct intake_partition){record->topic, record->partition, record->offset};
    p->schema.paused = true;
    log_write(LOG_WARN, "waiting for a schema", "why=\"%s\" topic=%s partition=%" PRId32 " offset=%" PRId64
              " next_try_ms=%" PRId64, err->text, record->topic, record->partition, record->offset, p->schema.pause_us / 1000);
    enum pk_status status = intake_pause(p->intake, err);
    return status == PK_OK ? intake_rewind(p->intake, &p->schema.record, 1, err) : status;
}

static enum pk_status resume_after_wait(struct pipeline *p, struct pk_err *err)
{
    if (!p->schema.paused || clock_us() < p->schema.until_us)
        return PK_OK;
    p->schema.paused = false;
    return intake_resume(p->intake, err);
}

static void end_wait(struct pipeline *p, const struct intake_record *record)
{
    if (p->schema.pause_us == 0 || record->partition != p->schema.record.partition ||
        record->offset < p->schema.record.offset || strcmp(record->topic, p->schema.record.topic) != 0)
        return;
    log_write(LOG_INFO, "waiting for a schema is over", "seconds=%.1f", (double)(clock_us() - p->schema.since_us) / 1e6);
    p->schema.pause_us = 0;
}

/* How long the next poll may wait; negative: the batch has waited long enough. While PostgreSQL is at work on the batch
 * before it this one cannot be saved, so it may as well grow; but not for long, as only who waits for the commit alone sees that
 * PostgreSQL does not answer any more. */
static int64_t patience_us(const struct pipeline *p, const struct batch *batch)
{
    enum { IDLE_US = 200000, WATCH_COMMIT_US = 2000, GROW_US = 5000000 };
    if (batch->item.len == 0)
        return commit_under_way(&p->committer) ? WATCH_COMMIT_US : IDLE_US;
    int64_t left_us = p->first_at_us + p->config->linger_us - clock_us();
    return left_us <= 0 && left_us > -GROW_US && store_save_pump(p->store) ? WATCH_COMMIT_US : left_us;
}

static bool is_full(const struct pipeline *p, const struct batch *batch)
{
    int64_t most = p->config->rate ? PK_MIN(p->pace.records, PK_MAX(p->config->rate / 4, INT64_C(1))) : p->pace.records;
    return (int64_t)batch->item.len >= most || (int64_t)batch->bytes >= p->config->batch_bytes;
}

/* Each batch is followed by the time that its records may take. Short rests, so that what is in flight is looked at, and
 * Kafka hears from us. */
static bool must_rest(const struct pipeline *p)
{
    enum { REST_US = 50000 };
    int64_t left_us = p->config->rate ? p->free_at_us - clock_us() : 0;
    if (left_us <= 0)
        return false;
    enum pulse_phase before = pulse_enter(p->pulse, PULSE_PAUSE);
    nanosleep(&(struct timespec){0, PK_MIN(left_us, (int64_t)REST_US) * 1000}, NULL);
    pulse_enter(p->pulse, before);
    return true;
}

static void spend(struct pipeline *p, size_t records)
{
    if (p->config->rate)
        p->free_at_us = PK_MAX(p->free_at_us, clock_us()) + (int64_t)records * PK_SECOND_US / p->config->rate;
}

static enum pk_status fill(struct pipeline *p, struct pk_err *err)
{
    struct batch *batch = &p->batch[p->filling];
    enum pk_status resumed = resume_after_wait(p, err);
    if (resumed != PK_OK || (batch->item.len == 0 && must_rest(p)))
        return resumed;
    for (unsigned polls = 1; !*p->stop && !is_full(p, batch); polls++) {
        /* The clock is asked every so often only, unless there may be something to wait for. */
        int64_t wait_us = batch->item.len && polls % 64 ? 0 : patience_us(p, batch);
        if (wait_us < 0)
            break;
        struct intake_record record = {0};
        enum pulse_phase before = wait_us ? pulse_enter(p->pulse, PULSE_WAIT) : PULSE_WAIT;
        enum pk_status status = intake_poll(p->intake, wait_us, &record, err);
        if (wait_us)
            pulse_enter(p->pulse, before);
        if (status == PK_OK && p->in_callback != PK_OK) {
            *err = p->callback_err;
            status = p->in_callback;
        }
        if (status == PK_OK && record.message) {
            if (batch->item.len == 0)
                p->first_at_us = p->read_at_us = clock_us();
            status = add_record(p, batch, &record, err);
            if (status == PK_OK)
                end_wait(p, &record);
            else if (status == PK_RETRY)
                status = wait_for_schema(p, &record, err);
        }
        bool came = record.message != NULL;
        intake_record_done(&record);
        if (status != PK_OK || p->schema.paused)
            return status;
        if (polls % 256 == 0 && commit_under_way(&p->committer))
            store_save_pump(p->store);
        if (came)
            continue;
        if (batch->item.len == 0)
            break; /* nothing came: let the loop look at the commit in flight, or at the end */
        if (wait_us == 0) { /* the queue is empty: wait for the rest of the linger */
            wait_us = patience_us(p, batch);
            if (wait_us <= 0)
                break;
            polls |= 63;
        }
    }
    return PK_OK;
}

/* ---- the loop ---- */

static void tell_kafka(struct pipeline *p)
{
    struct intake_partition *at = pk_alloc((p->positions + 1) * sizeof *at);
    for (size_t i = 0; i < p->positions; i++)
        at[i] = (struct intake_partition){symbol_text(p->config->symbols, p->position[i].topic).ptr,
                                          p->position[i].partition, p->position[i].next_offset};
    CRASH_POINT(before_kafka);
    intake_commit(p->intake, at, p->positions);
    CRASH_POINT(kafka_told);
    free(at);
}

static enum pk_status finish(struct pipeline *p, struct pk_err *err)
{
    if (!commit_under_way(&p->committer))
        return PK_OK;
    enum pk_status status = commit_finish(&p->committer, err);
    if (status == PK_OK) {
        note_commit(p);
        pace_after_success(p);
        p->failing_pause_us = 0;
        p->room_told = false;
        tell_kafka(p);
        log_progress(p, false);
        watch_words(p);
        tell_excess(p);
    }
    return status;
}

static enum pk_status start(struct pipeline *p, struct pk_err *err)
{
    struct batch *batch = &p->batch[p->filling];
    if (batch->item.len == 0)
        return PK_OK;
    p->filling = !p->filling;
    batch_reset(&p->batch[p->filling]);
    p->pace.tried = batch->item.len;
    spend(p, batch->item.len);
    p->started_at_us = clock_us();
    return commit_start(&p->committer, batch, p->position, p->positions, err);
}

/* How much quarantine holds, as others add to it and delete from it too. */
static enum pk_status look_at_quarantine(struct pipeline *p, int64_t now, struct pk_err *err)
{
    enum { LOOK_SECONDS = 10 };
    if (p->sized_at_us && now - p->sized_at_us < LOOK_SECONDS * PK_SECOND_US)
        return PK_OK;
    int64_t bytes;
    enum pk_status status = store_quarantine_size(p->store, &bytes, err);
    if (status != PK_OK)
        return status;
    p->sized_at_us = now;
    p->rejects_sized = p->committer.counters.rejects;
    p->limit.now.bytes = bytes;
    return PK_OK;
}

/* Rows of our partitions that were kept long enough, a few at a time. What fails here can wait. */
static enum pk_status expire_quarantine(struct pipeline *p, int64_t now, struct pk_err *err)
{
    enum { EXPIRE_SECONDS = 60, EXPIRE_ROWS = 2000 };
    if (p->config->quarantine_keep_us == 0 || p->positions == 0 ||
        (p->expired_at_us && now - p->expired_at_us < EXPIRE_SECONDS * PK_SECOND_US))
        return PK_OK;
    int64_t rows = 0;
    enum pk_status status = store_quarantine_expire(p->store, p->position, p->positions, p->config->quarantine_keep_us,
                                                    EXPIRE_ROWS, &rows, err);
    p->expired_at_us = rows < EXPIRE_ROWS ? now : 0;
    if (status == PK_OK && rows)
        log_write(LOG_INFO, "old records of quarantine were deleted", "rows=%" PRId64 " older_than_s=%" PRId64, rows,
                  p->config->quarantine_keep_us / PK_SECOND_US);
    if (status == PK_STALE || status == PK_RETRY) {
        log_write(LOG_WARN, "old records of quarantine could not be deleted yet", "why=\"%s\"", err->text);
        return PK_OK;
    }
    return status;
}

/* Between two batches: nothing is under way. */
static enum pk_status keep_quarantine(struct pipeline *p, struct pk_err *err)
{
    int64_t now = clock_us();
    if (commit_under_way(&p->committer) || !p->connected)
        return PK_OK;
    quarantine_limit_tick(&p->limit, now);
    /* Copies that lose are known once they are committed. */
    bool asked_for = p->batch[p->filling].rejects || p->committer.counters.rejects != p->rejects_sized || !p->sized_at_us;
    enum pk_status status = asked_for ? look_at_quarantine(p, now, err) : PK_OK;
    return status == PK_OK ? expire_quarantine(p, now, err) : status;
}

/* Offsets without records (transaction markers, compacted records) move the position too, when idle. */
static enum pk_status pass_gaps(struct pipeline *p, struct pk_err *err)
{
    int64_t *next = pk_alloc((p->positions + 1) * sizeof *next);
    bool any = false;
    for (size_t i = 0; i < p->positions; i++) {
        next[i] = intake_position(p->intake, symbol_text(p->config->symbols, p->position[i].topic).ptr,
                                  p->position[i].partition);
        any |= next[i] > p->position[i].next_offset;
    }
    enum pk_status status = any ? commit_positions(&p->committer, p->position, p->positions, next, err) : PK_OK;
    free(next);
    return status;
}

/* ---- when something fails ---- */

static void nap(struct pipeline *p, int64_t us)
{
    struct timespec pause = {us / PK_SECOND_US, us % PK_SECOND_US * 1000};
    show_now(p);
    enum pulse_phase before = pulse_enter(p->pulse, PULSE_PAUSE);
    nanosleep(&pause, NULL); /* a signal ends it early */
    pulse_enter(p->pulse, before);
}

static enum pk_status open_patiently(struct pipeline *p, struct pk_err *err)
{
    struct intake_handler handler = {p, assigned, revoked, note, p->config->board ? note_statistics : NULL};
    int64_t pause_us = p->config->retry_min_us;
    for (;;) {
        enum pk_status status = intake_open(&p->config->intake, &handler, &p->intake, err);
        if (status != PK_RETRY || *p->stop)
            return status;
        log_write(LOG_WARN, "Kafka's client cannot begin", "why=\"%s\" next_try_ms=%" PRId64, err->text, pause_us / 1000);
        nap(p, pause_us);
        pause_us = PK_MIN(pause_us * 2, p->config->retry_max_us);
    }
}

/* A coordinator that came into its office with an older list of members fences us; a new client gets the place back. If it is another
 * process that was given our instance-id, both do so in turn, and each gives up in the end. */
static enum pk_status join_anew(struct pipeline *p, struct pk_err *err)
{
    enum { MOST = 4, SOON_SECONDS = 300, CLOSE_SECONDS = 3 };
    int64_t now = clock_us();
    p->fenced = p->fenced && now - p->fenced_at_us < SOON_SECONDS * PK_SECOND_US ? p->fenced + 1 : 1;
    p->fenced_at_us = now;
    if (p->fenced > MOST)
        return pk_fail(err, PK_STOP, "another process is in group %s with the instance-id %s: give each its own",
                       p->config->intake.group, p->config->intake.instance_id);
    int64_t pause_us = p->config->retry_min_us << p->fenced;
    log_write(LOG_WARN, "Kafka gave our place in the group away, joining anew", "instance_id=%s next_try_ms=%" PRId64,
              p->config->intake.instance_id, pause_us / 1000);
    revoked(p, NULL, p->positions, true);
    p->schema.paused = false;
    p->positions = 0;
    intake_close(p->intake, CLOSE_SECONDS * PK_SECOND_US);
    p->intake = NULL;
    nap(p, pause_us);
    return open_patiently(p, err);
}

static void tell_of_room(struct pipeline *p)
{
    if (!p->store || !store_lacks_room(p->store) || p->room_told)
        return;
    p->room_told = true;
    log_write(LOG_WARN, "PostgreSQL's disk is full, nothing is committed", "do=\"make room on its server\" effect=\"it goes on by itself\"");
}

/* A disk that is full, or connections that are used up, may stay so for long: each pause is longer. */
static int64_t pause_after(struct pipeline *p, enum pk_status status)
{
    const struct pipeline_config *config = p->config;
    if (status == PK_FENCED)
        return 6 * PK_SECOND_US;
    if (status != PK_RETRY || store_wants_less(p->store))
        return config->retry_min_us;
    p->failing_pause_us = p->failing_pause_us ? PK_MIN(2 * p->failing_pause_us, config->retry_max_us) : config->retry_min_us;
    return p->failing_pause_us;
}

/* Drops everything that is not committed, and claims again after a pause. A fence usually means that a
 * rebalance is about to reach us, so that pause is longer: claiming at once would take the partitions
 * from their new owner. */
static enum pk_status recover(struct pipeline *p, const char *what, enum pk_status status, struct pk_err *err)
{
    if (status == PK_STOP && intake_is_fenced(p->intake))
        return join_anew(p, err);
    if (status == PK_STOP || status == PK_REJECT)
        return status;
    int64_t pause_us = pause_after(p, status);
    tell_of_room(p);
    log_write(LOG_WARN, what, "status=%s why=\"%s\" next_try_ms=%" PRId64, pk_status_name(status), err->text, pause_us / 1000);
    note_failure(p, status);
    if (status != PK_FENCED)
        p->connected = false;
    if (commit_under_way(&p->committer)) { /* it borrows its batch */
        struct pk_err ignored = {0};
        commit_finish(&p->committer, &ignored); /* committed or not: the claim will tell */
    }
    pace_after_failure(p);
    p->pace.tried = 0;
    p->claimed = false;
    cache_clear(&p->committer.cache);
    batch_reset(&p->batch[0]);
    batch_reset(&p->batch[1]);
    show_now(p);
    return intake_reclaim(p->intake, pause_us, err);
}

static bool reached_end(const struct pipeline *p)
{
    const struct pipeline_config *config = p->config;
    if (config->stop_after && (int64_t)p->committer.counters.records >= config->stop_after)
        return true;
    return config->until_end && p->batch[p->filling].item.len == 0 && !commit_under_way(&p->committer) &&
           intake_at_end(p->intake);
}

static enum pk_status loop(struct pipeline *p, struct pk_err *err)
{
    while (!*p->stop && !reached_end(p)) {
        const char *what = "a batch failed and will be read again";
        show(p);
        pulse_enter(p->pulse, PULSE_DECODE);
        enum pk_status status = fill(p, err);
        pulse_enter(p->pulse, PULSE_DERIVE);
        if (status == PK_OK)
            status = finish(p, err);
        if (status == PK_OK && (status = look_at_positions(p, err)) != PK_OK)
            what = "the positions are not as they were left";
        if (status == PK_OK)
            status = keep_quarantine(p, err);
        if (status == PK_OK && p->batch[p->filling].item.len)
            status = start(p, err);
        else if (status == PK_OK && intake_at_end(p->intake))
            status = pass_gaps(p, err);
        if (status != PK_OK)
            status = recover(p, what, status, err);
        if (status != PK_OK)
            return status;
    }
    return finish(p, err);
}

/* ---- setting up ---- */

static enum pk_status connect_once(struct pipeline *p, struct pk_err *err)
{
    enum pk_status status = p->store ? store_reopen(p->store, err)
                                     : store_open(&p->config->store, p->config->symbols, &p->store, err);
    p->failed_opens += !p->store;
    return status == PK_OK ? check_rules(p, err) : status;
}

static enum pk_status connect_patiently(struct pipeline *p, struct pk_err *err)
{
    int64_t pause_us = p->config->retry_min_us;
    for (;;) {
        enum pk_status status = connect_once(p, err);
        if ((status != PK_RETRY && status != PK_LOST && status != PK_STALE) || *p->stop)
            return status;
        tell_of_room(p);
        log_write(LOG_WARN, "PostgreSQL is away", "why=\"%s\" next_try_ms=%" PRId64, err->text, pause_us / 1000);
        nap(p, pause_us);
        pause_us = PK_MIN(pause_us * 2, p->config->retry_max_us);
    }
}

static enum pk_status set_up(struct pipeline *p, struct pk_err *err)
{
    const struct pipeline_config *config = p->config;
    matcher_init(&p->matcher, config->rules, config->symbols);
    fact_maker_init(&p->maker, config->rules, config->hasher, config->symbols, &p->matcher);
    p->meaning = (struct meaning){config->rules, &p->matcher, config->symbols, config->hasher, &p->maker};
    p->decoder = (struct decoder){config->schemas, &p->maker, {config->max_ahead_us}, config->rules->horizon_us,
                                  &p->reject_sources};
    p->reject_sources = (struct reject_sources){config->symbols, REJECT_SOURCES_MOST};
    quarantine_limit_init(&p->limit, config->quarantine_rows, config->quarantine_bytes);
    p->batch[0].arena.keep_bytes = p->batch[1].arena.keep_bytes = 64 << 20;
    p->shown_at_us = clock_us();
    pace_reset(p);
    enum pk_status status = connect_patiently(p, err);
    if (p->store)
        committer_init(&p->committer, &p->meaning, p->store, (size_t)config->cache_bytes);
    p->committer.measured = config->board;
    p->committer.limit = &p->limit;
    if (status != PK_OK)
        return status;
    p->connected = true;
    return open_patiently(p, err);
}

static bool tear_down(struct pipeline *p)
{
    enum { CLOSE_SECONDS = 3 };
    bool closed = !p->intake || intake_close(p->intake, CLOSE_SECONDS * PK_SECOND_US);
    if (p->store) {
        committer_done(&p->committer);
        store_close(p->store);
    }
    batch_done(&p->batch[0]);
    batch_done(&p->batch[1]);
    fact_maker_done(&p->maker);
    matcher_done(&p->matcher);
    free(p->position);
    pk_vec_done(&p->shown_partition);
    return closed;
}

enum pk_status pipeline_run(const struct pipeline_config *config, const volatile sig_atomic_t *stop,
                            struct pk_err *err)
{
    struct pipeline *p = pk_alloc(sizeof *p);
    p->config = config;
    p->stop = stop;
    p->pulse = health_board_pulse(config->board);
    schema_set_watch(config->schemas, p->pulse);
    enum pk_status status = set_up(p, err);
    if (status == PK_OK)
        status = loop(p, err);
    if (*stop && (status == PK_RETRY || status == PK_LOST || status == PK_FENCED)) {
        /* Asked to leave, and what was under way is rolled back or stands: whoever claims next reads where. */
        log_write(LOG_WARN, "left without PostgreSQL's answer", "status=%s why=\"%s\"", pk_status_name(status), err->text);
        status = PK_OK;
    }
    p->full_shown_at_us = 0; /* the rest too */
    if (p->intake)
        tell_excess(p);
    if (p->intake)
        log_progress(p, true);
    if (!tear_down(p))
        log_write(LOG_WARN, "the Kafka client did not come to an end in time", "effect=none");
    free(p);
    return *stop && (status == PK_RETRY || status == PK_LOST) ? PK_OK : status;
}
