/* SPDX-License-Identifier: Apache-2.0 */
/* requeue: records of quarantine are published again, as they were, with headers that tell where they have been.
 *
 * First published, then marked: whoever is killed in between publishes some of them twice, which is harmless, as an event
 * counts once however often it is published. */
#include "cmd_quarantine.h"
#include "crash_point.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHUNK = 100, MOST_ROUNDS = 5 };

static const char from_header[] = "polku-requeued-from", by_header[] = "polku-requeued-by", count_header[] = "polku-requeued-count";

struct requeue {
    const struct consumer_options *options;
    struct quarantine_filter filter;
    struct pk_str by;
    struct symbols symbols;
    struct store *store;
    struct republish *kafka;
    struct pk_arena arena; /* of a chunk */
    int64_t published, bytes, worn_out, gone;
};

/* ---- a record with its trail ---- */

static int rounds_of(const struct quarantine_row *row)
{
    int rounds = 0;
    for (size_t i = 0; i < row->headers; i++) {
        char text[8];
        const struct record_header *header = &row->header[i];
        if (!pk_str_eq(header->name, pk_str(count_header)) || !header->value.ptr)
            continue;
        snprintf(text, sizeof text, "%.*s", (int)PK_MIN(header->value.len, sizeof text - 1), (const char *)header->value.ptr);
        rounds = PK_MAX(atoi(text), 0); /* whoever published it may have written anything */
    }
    return rounds;
}

static void add_header(struct record_header *header, size_t *count, const char *name, struct pk_str value)
{
    header[(*count)++] = (struct record_header){pk_str(name), {(const uint8_t *)value.ptr, value.len}};
}

/* Its own headers and where it was each time; who and how often for the last time only. */
static void add_trail(struct requeue *r, const struct quarantine_row *row, struct republish_record *record)
{
    struct record_header *header = PK_NEW_ARRAY(&r->arena, struct record_header, row->headers + 3);
    size_t count = 0;
    char text[400];
    for (size_t i = 0; i < row->headers; i++)
        if (!pk_str_eq(row->header[i].name, pk_str(by_header)) && !pk_str_eq(row->header[i].name, pk_str(count_header)))
            header[count++] = row->header[i];
    snprintf(text, sizeof text, "%.*s/%" PRId32 "/%" PRId64, PK_STR_ARG(row->at.topic), row->at.partition, row->at.offset);
    add_header(header, &count, from_header, pk_arena_str(&r->arena, pk_str(text)));
    add_header(header, &count, by_header, r->by);
    snprintf(text, sizeof text, "%d", rounds_of(row) + 1);
    add_header(header, &count, count_header, pk_arena_str(&r->arena, pk_str(text)));
    record->header = header;
    record->headers = count;
}

/* False if Kafka has no such record any more. */
static enum pk_status complete(struct requeue *r, struct quarantine_row *row, bool *ret_there, struct pk_err *err)
{
    struct republish_record found;
    enum pk_status status =
        republish_fetch(r->kafka, row->at.topic.ptr, row->at.partition, row->at.offset, &r->arena, &found, err);
    *ret_there = status == PK_OK;
    if (status == PK_OK) {
        row->key = found.key;
        row->value = found.value;
        row->header = found.header;
        row->headers = found.headers;
        row->received_at_us = found.at_us;
    }
    return status == PK_REJECT ? PK_OK : status;
}

/* The record keeps its time: whether an event was late or ahead is judged by it. One that was ahead of it would be so for
 * ever, so that one gets the present time. */
static struct republish_record record_of(struct requeue *r, const struct quarantine_row *row)
{
    const char *to = r->options->to_topic;
    bool same = !to || !*to || pk_str_eq(pk_str(to), row->at.topic);
    struct republish_record record = {
        .topic = same ? row->at.topic.ptr : to,
        .partition = same ? row->at.partition : -1,
        .at_us = pk_str_eq(row->at.reason, PK_STR("future")) ? PK_NO_TIME : row->received_at_us,
        .key = row->key,
        .value = row->value,
    };
    add_trail(r, row, &record);
    return record;
}

/* ---- a chunk ---- */

/* Keeps the rows that can be published. */
static enum pk_status choose(struct requeue *r, struct quarantine_rows *rows, struct pk_err *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < rows->count; i++) {
        bool there = true;
        struct quarantine_row *row = &rows->row[i];
        enum pk_status status = row->whole ? PK_OK : complete(r, row, &there, err);
        if (status != PK_OK)
            return status;
        if (!there)
            r->gone++;
        else if (rounds_of(row) >= MOST_ROUNDS)
            r->worn_out++;
        else
            rows->row[kept++] = *row;
    }
    rows->count = kept;
    return PK_OK;
}

/* What was delivered is marked, also if not everything was. */
static enum pk_status publish(struct requeue *r, struct quarantine_rows *rows, struct pk_err *err)
{
    struct republish_record *record = PK_NEW_ARRAY(&r->arena, struct republish_record, rows->count + 1);
    struct quarantine_row *marked = PK_NEW_ARRAY(&r->arena, struct quarantine_row, rows->count + 1);
    size_t count = 0;
    for (size_t i = 0; i < rows->count; i++)
        record[i] = record_of(r, &rows->row[i]);
    enum pk_status sent = republish_send(r->kafka, record, rows->count, err);
    for (size_t i = 0; i < rows->count; i++) {
        if (!record[i].delivered)
            continue;
        marked[count] = rows->row[i];
        marked[count].requeued_topic = pk_str(record[i].topic);
        marked[count].requeued_partition = record[i].to_partition;
        marked[count].requeued_offset = record[i].to_offset;
        r->bytes += (int64_t)(record[i].key.len + record[i].value.len);
        count++;
    }
    struct pk_err mark_err;
    CRASH_POINT(requeue_sent);
    enum pk_status status = count ? store_quarantine_mark(r->store, marked, count, r->by, &mark_err) : PK_OK;
    CRASH_POINT(requeue_done);
    if (status != PK_OK)
        return pk_fail(err, status, "%zu records were published but not marked (published again they do no harm): %.380s", count,
                       mark_err.text);
    r->published += (int64_t)count;
    return sent;
}

static void count_only(struct requeue *r, const struct quarantine_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        r->bytes += (int64_t)(rows->row[i].key.len + rows->row[i].value.len);
    r->published += (int64_t)rows->count;
}

static enum pk_status work(struct requeue *r, struct pk_err *err)
{
    char topic[256], reason[64];
    struct quarantine_place after;
    bool begun = false;
    while (!consumer_stop) {
        struct quarantine_rows rows;
        pk_arena_reset(&r->arena);
        enum pk_status status = store_quarantine_rows(r->store, &r->filter, begun ? &after : NULL, false, true, CHUNK, &r->arena, &rows, err);
        if (status != PK_OK || rows.count == 0)
            return status;
        const struct quarantine_place *last = &rows.row[rows.count - 1].at;
        snprintf(topic, sizeof topic, "%.*s", PK_STR_ARG(last->topic));
        snprintf(reason, sizeof reason, "%.*s", PK_STR_ARG(last->reason));
        after = (struct quarantine_place){pk_str(topic), last->partition, last->offset, pk_str(reason)};
        begun = true;
        status = choose(r, &rows, err);
        if (status == PK_OK && r->options->dry_run)
            count_only(r, &rows);
        else if (status == PK_OK)
            status = publish(r, &rows, err);
        if (status != PK_OK)
            return status;
    }
    return pk_fail(err, PK_STOP, "stopped by a signal; the same command goes on where it stopped");
}

/* ---- the command ---- */

static void tell(const struct requeue *r)
{
    printf("%" PRId64 " records (%" PRId64 " bytes) %s\n", r->published, r->bytes,
           r->options->dry_run ? "would be published again" : "were published again");
    if (r->worn_out)
        printf("%" PRId64 " were left: published again %d times before, and set aside each time\n", r->worn_out, MOST_ROUNDS);
    if (r->gone)
        printf("%" PRId64 " were left: they are not kept here, and Kafka holds them no more\n", r->gone);
}

int consumer_requeue(const struct consumer_options *options)
{
    struct requeue r = {.options = options, .by = consumer_by(options)};
    struct pk_err err = {0};
    const struct republish_config kafka = quarantine_kafka(options);
    symbols_init(&r.symbols);
    r.filter.until_us = PK_NO_TIME;
    enum pk_status status = quarantine_filter_of(options, &r.filter, &err);
    r.filter.requeued = QUARANTINE_NOT_REQUEUED;
    r.filter.no_duplicates = !r.filter.reason; /* they lose again */
    quarantine_until_now(&r.filter);           /* what comes back bad meanwhile waits for the next time */
    if (status == PK_OK)
        status = republish_open(&kafka, &r.kafka, &err);
    if (status == PK_OK)
        status = consumer_store_open(options, !options->dry_run, &r.symbols, &r.store, &err);
    if (status == PK_OK) {
        status = work(&r, &err);
        tell(&r);
    }
    republish_close(r.kafka);
    store_close(r.store);
    symbols_done(&r.symbols);
    pk_arena_done(&r.arena);
    return consumer_end("requeue is not complete", status, &err);
}
