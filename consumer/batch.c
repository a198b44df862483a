/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

#include <stdlib.h>
#include <time.h>

void batch_reset(struct batch *batch)
{
    pk_arena_reset(&batch->arena);
    batch->item.len = 0;
    batch->month.len = 0;
    batch->bytes = batch->rejects = 0;
}

void batch_done(struct batch *batch)
{
    pk_arena_done(&batch->arena);
    pk_vec_done(&batch->item);
    pk_vec_done(&batch->month);
    *batch = (struct batch){0};
}

static struct pk_bytes keep(struct pk_arena *arena, struct pk_bytes bytes)
{
    if (!bytes.ptr)
        return bytes;
    return (struct pk_bytes){pk_arena_copy(arena, bytes.ptr, bytes.len), bytes.len};
}

static const struct record_headers *keep_headers(struct pk_arena *arena, const struct batch_record *record)
{
    if (record->header_count == 0)
        return NULL;
    struct record_header *header = PK_NEW_ARRAY(arena, struct record_header, record->header_count);
    for (size_t i = 0; i < record->header_count; i++) {
        header[i].name = pk_arena_str(arena, record->header[i].name);
        header[i].value = keep(arena, record->header[i].value);
    }
    struct record_headers *headers = PK_NEW(arena, struct record_headers);
    *headers = (struct record_headers){header, record->header_count};
    return headers;
}

static void add_month(struct batch *batch, int64_t at_us)
{
    time_t seconds = (time_t)(at_us / PK_SECOND_US);
    /* Nearly all events of a batch are of the same month: 28 days from its start need no calendar. */
    for (size_t i = batch->month.len; i-- > 0;)
        if (at_us >= batch->month.ptr[i] && at_us - batch->month.ptr[i] < 28 * PK_DAY_US)
            return;
    struct tm utc;
    gmtime_r(&seconds, &utc);
    utc.tm_mday = 1;
    utc.tm_hour = utc.tm_min = utc.tm_sec = 0;
    int64_t first = (int64_t)timegm(&utc) * PK_SECOND_US;
    for (size_t i = 0; i < batch->month.len; i++)
        if (batch->month.ptr[i] == first)
            return;
    *pk_vec_push(&batch->month) = first;
}

static enum pk_status decode(struct batch *batch, const struct decoder *decoder, const struct batch_record *record,
                             struct pk_bytes value, struct event *event, enum reject_reason *ret_reason,
                             struct pk_err *err)
{
    if (!value.ptr) {
        *ret_reason = REJECT_BAD_FRAME;
        return pk_fail(err, PK_REJECT, "the record has no value");
    }
    if (value.len > EVENT_MAX_BYTES) {
        *ret_reason = REJECT_TOO_LARGE;
        return pk_fail(err, PK_REJECT, "%zu bytes, at most %d are accepted", value.len, EVENT_MAX_BYTES);
    }
    enum pk_status status = event_decode(decoder->schemas, value, &batch->arena, event, ret_reason, err);
    if (status == PK_OK)
        status = event_validate(event, &decoder->limits, record->received_at_us, ret_reason, err);
    if (status == PK_OK && event->occurred_at_us < decoder->horizon_us) {
        *ret_reason = REJECT_TOO_LATE;
        return pk_fail(err, PK_REJECT, "occurred_at lies before the horizon of the rules");
    }
    return status;
}

/* Asked before anything is kept: such a record is given again and again. */
static bool must_wait(const struct decoder *decoder, struct pk_bytes value, struct pk_err *err)
{
    struct wire_frame frame;
    const struct avro_plan *plan;
    return value.ptr && value.len <= EVENT_MAX_BYTES && wire_parse(value, &frame, NULL) == PK_OK &&
           schema_set_find(decoder->schemas, &frame, &plan, err) == PK_RETRY;
}

static bool may_be_source(struct pk_str text)
{
    return text.ptr && text.len > 0 && text.len <= EVENT_MAX_ID && pk_utf8_valid(text.ptr, text.len) &&
           !memchr(text.ptr, '/', text.len);
}

/* The event's own word, else the record's header. */
static sym_t source_of(struct reject_sources *sources, const struct event *event, const struct batch_record *record)
{
    struct pk_str text = event->source;
    for (size_t i = 0; i < record->header_count && !may_be_source(text); i++)
        if (pk_str_eq(record->header[i].name, PK_STR("source")))
            text = (struct pk_str){(const char *)record->header[i].value.ptr, record->header[i].value.len};
    if (!sources || !may_be_source(text))
        return 0;
    sym_t known = symbol_find(sources->symbols, text);
    if (known || sources->left == 0)
        return known;
    sources->left--;
    return symbol_of(sources->symbols, text);
}

/* Of everything that is kept of it. */
static size_t bytes_of(const struct batch_record *record)
{
    size_t bytes = record->key.len + record->value.len;
    for (size_t i = 0; i < record->header_count; i++)
        bytes += record->header[i].name.len + record->header[i].value.len;
    return bytes;
}

enum pk_status batch_add(struct batch *batch, const struct decoder *decoder, const struct batch_record *record,
                         struct pk_err *err)
{
    if (must_wait(decoder, record->value, err))
        return PK_RETRY;
    struct pk_bytes value = keep(&batch->arena, record->value);
    struct event event = {0};
    enum reject_reason reason = REJECT_INVALID;
    enum pk_status status = decode(batch, decoder, record, value, &event, &reason, err);
    if (status != PK_OK && status != PK_REJECT)
        return status;

    struct batch_item item = {.position = record->position, .offset = record->offset};
    struct pk_bytes key = keep(&batch->arena, record->key);
    const struct record_headers *headers = keep_headers(&batch->arena, record);
    if (status == PK_OK) {
        struct fact *fact = PK_NEW(&batch->arena, struct fact);
        if (event.occurred_at_us < decoder->retained_us)
            *fact = (struct fact){.at_us = event.occurred_at_us, .forgotten = true, .retained = true};
        else
            fact_from_event(decoder->maker, &event, &batch->arena, fact);
        fact->topic_name = record->topic;
        fact->partition = record->partition;
        fact->offset = record->offset;
        fact->received_at_us = record->received_at_us;
        fact->record_key = key;
        fact->record_value = value;
        fact->record_headers = headers;
        if (!fact->retained)
            add_month(batch, fact->at_us);
        item.fact = fact;
    } else {
        struct change_quarantine *reject = PK_NEW(&batch->arena, struct change_quarantine);
        *reject = (struct change_quarantine){
            .topic = record->topic,
            .partition = record->partition,
            .offset = record->offset,
            .reason = reason,
            .source = source_of(decoder->sources, &event, record),
            .partial = record->more_headers,
            .detail = pk_arena_str(&batch->arena, pk_str(err->text)),
            .received_at_us = record->received_at_us,
            .key = key,
            .value = value,
            .headers = headers,
        };
        item.reject = reject;
        batch->rejects++;
    }
    *pk_vec_push(&batch->item) = item;
    batch->bytes += bytes_of(record);
    return PK_OK;
}
