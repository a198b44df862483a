/* SPDX-License-Identifier: Apache-2.0 */
/* quarantine: what was set aside: counted, listed, shown byte by byte, deleted. */
#include "cmd_quarantine.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "event_avro.h"
#include "event_json.h"
#include "identity_explain.h"
#include "time_text.h"

/* ---- shared with requeue ---- */

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

static enum pk_status read_when(const char *name, const char *text, int64_t *ret_us, struct pk_err *err)
{
    int64_t us;
    if (!text || !*text)
        return PK_OK;
    if (time_parse_iso(pk_str(text), true, &us, NULL) == PK_OK)
        *ret_us = us;
    else if (time_parse_duration(pk_str(text), &us, NULL) == PK_OK)
        *ret_us = now_us() - us;
    else
        return pk_fail(err, PK_REJECT, "--%s: '%.60s' is neither a moment (2026-11-22T07:00:00Z) nor a time ago (2h, 3d)", name, text);
    return PK_OK;
}

static enum pk_status check_reason(const char *reason, struct pk_err *err)
{
    struct pk_buf known PK_AUTO(pk_buf_done) = {0};
    for (int i = 0; i < REJECT_COUNT; i++) {
        if (strcmp(reason, reject_name((enum reject_reason)i)) == 0)
            return PK_OK;
        pk_buf_printf(&known, "%s%s", i ? ", " : "", reject_name((enum reject_reason)i));
    }
    return pk_fail(err, PK_REJECT, "--reason: '%.60s' is none of %s", reason, known.ptr);
}

enum pk_status quarantine_filter_of(const struct consumer_options *options, struct quarantine_filter *ret, struct pk_err *err)
{
    struct quarantine_filter filter = {
        .topic = options->of_topic && *options->of_topic ? options->of_topic : NULL,
        .reason = options->reason && *options->reason ? options->reason : NULL,
        .publisher = options->publisher,
        .since_us = PK_NO_TIME,
        .until_us = PK_NO_TIME,
        .requeued = options->requeued ? QUARANTINE_REQUEUED : QUARANTINE_ANY,
    };
    enum pk_status status = filter.reason ? check_reason(filter.reason, err) : PK_OK;
    if (status == PK_OK)
        status = read_when("since", options->since, &filter.since_us, err);
    if (status == PK_OK)
        status = read_when("until", options->until, &filter.until_us, err);
    if (status != PK_OK)
        return status;
    if (options->older_than > 0) {
        int64_t until_us = now_us() - options->older_than;
        filter.until_us = filter.until_us == PK_NO_TIME ? until_us : PK_MIN(filter.until_us, until_us);
    }
    *ret = filter;
    return PK_OK;
}

void quarantine_until_now(struct quarantine_filter *filter)
{
    int64_t now = now_us();
    filter->until_us = filter->until_us == PK_NO_TIME ? now : PK_MIN(filter->until_us, now);
}

struct republish_config quarantine_kafka(const struct consumer_options *options)
{
    return (struct republish_config){options->brokers, options->client_id, options->rest.kafka.ptr, options->rest.kafka.len};
}

struct run {
    const struct consumer_options *options;
    struct symbols symbols;
    struct store *store;
    struct pk_arena arena;
};

/* "2026-11-22 07:23:33Z", or "-". */
static const char *moment(int64_t us, char out[28])
{
    if (us == PK_NO_TIME)
        return "-";
    time_format_iso(us, out);
    out[10] = ' ';
    memcpy(out + 19, "Z", 2);
    return out;
}

/* What publishers wrote, without what a terminal would obey. */
static struct pk_str harmless(struct run *run, struct pk_str text)
{
    struct pk_buf out PK_AUTO(pk_buf_done) = {0};
    explain_add_text(&out, text);
    return pk_arena_str(&run->arena, (struct pk_str){out.ptr, out.len});
}

static struct pk_str publisher_of(struct run *run, struct pk_str publisher)
{
    return publisher.ptr ? harmless(run, publisher) : PK_STR("-");
}

/* ---- list ---- */

static void print_groups(struct run *run, const struct quarantine_groups *groups)
{
    char at[28];
    int64_t rows = 0, excess = 0, requeued = 0, bytes = 0;
    printf("%-24s %-20s %-22s %10s %10s %10s %12s  %s\n", "topic", "publisher", "reason", "stored", "excess", "requeued",
           "bytes", "last");
    for (size_t i = 0; i < groups->count; i++) {
        const struct quarantine_group *group = &groups->group[i];
        struct pk_str publisher = publisher_of(run, group->publisher);
        printf("%-24.*s %-20.*s %-22.*s %10" PRId64 " %10" PRId64 " %10" PRId64 " %12" PRId64 "  %s\n", PK_STR_ARG(group->topic),
               PK_STR_ARG(publisher), PK_STR_ARG(group->reason), group->rows,
               group->excess, group->requeued, group->bytes, moment(group->last_at_us, at));
        rows += group->rows, excess += group->excess, requeued += group->requeued, bytes += group->bytes;
    }
    printf("%-24s %-20s %-22s %10" PRId64 " %10" PRId64 " %10" PRId64 " %12" PRId64 "\n", "total", "", "", rows, excess, requeued,
           bytes);
}

static void print_rows(struct run *run, const struct quarantine_rows *rows)
{
    char at[28];
    printf("\nthe newest %zu stored (--limit %" PRId64 ")\n", rows->count, run->options->limit);
    for (size_t i = 0; i < rows->count; i++) {
        const struct quarantine_row *row = &rows->row[i];
        struct pk_str publisher = publisher_of(run, row->publisher), detail = harmless(run, row->detail);
        printf("  %.*s:%" PRId32 ":%" PRId64 "  %s  %.*s  %.*s%s  %.*s\n", PK_STR_ARG(row->at.topic), row->at.partition,
               row->at.offset, moment(row->quarantined_at_us, at), PK_STR_ARG(row->at.reason),
               PK_STR_ARG(publisher), row->requeued_at_us == PK_NO_TIME ? "" : "  requeued", PK_STR_ARG(detail));
    }
}

static json_t *json_of(struct pk_str text)
{
    return text.ptr ? json_stringn(text.ptr, text.len) : json_null();
}

static json_t *json_moment(int64_t us)
{
    char out[28];
    if (us == PK_NO_TIME)
        return json_null();
    time_format_iso(us, out);
    return json_string(out);
}

static json_t *group_json(const struct quarantine_group *group)
{
    return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:o}", "topic", json_of(group->topic), "publisher",
                     json_of(group->publisher), "reason", json_of(group->reason), "stored", (json_int_t)group->rows, "excess",
                     (json_int_t)group->excess, "requeued", (json_int_t)group->requeued, "bytes", (json_int_t)group->bytes,
                     "first_at", json_moment(group->first_at_us), "last_at", json_moment(group->last_at_us));
}

static json_t *row_json(const struct quarantine_row *row)
{
    json_t *item = json_pack("{s:o, s:i, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o}", "topic", json_of(row->at.topic), "partition",
                             (int)row->at.partition, "offset", (json_int_t)row->at.offset, "reason", json_of(row->at.reason),
                             "detail", json_of(row->detail), "publisher", json_of(row->publisher), "received_at",
                             json_moment(row->received_at_us), "quarantined_at", json_moment(row->quarantined_at_us), "value_bytes",
                             row->value_bytes < 0 ? json_null() : json_integer(row->value_bytes), "whole", (int)row->whole,
                             "requeued_at", json_moment(row->requeued_at_us));
    if (row->requeued_at_us != PK_NO_TIME)
        json_object_set_new(item, "requeued",
                            json_pack("{s:o, s:o, s:i, s:I}", "by", json_of(row->requeued_by), "topic",
                                      json_of(row->requeued_topic), "partition", (int)row->requeued_partition, "offset",
                                      (json_int_t)row->requeued_offset));
    return item;
}

static void print_json(const struct quarantine_groups *groups, const struct quarantine_rows *rows)
{
    json_t *all = json_object(), *counts = json_array(), *records = json_array();
    for (size_t i = 0; i < groups->count; i++)
        json_array_append_new(counts, group_json(&groups->group[i]));
    for (size_t i = 0; i < rows->count; i++)
        json_array_append_new(records, row_json(&rows->row[i]));
    json_object_set_new(all, "counts", counts);
    json_object_set_new(all, "records", records);
    json_dumpf(all, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    putchar('\n');
    json_decref(all);
}

static enum pk_status list(struct run *run, struct pk_err *err)
{
    struct quarantine_filter filter;
    struct quarantine_groups groups = {0};
    struct quarantine_rows rows = {0};
    enum pk_status status = quarantine_filter_of(run->options, &filter, err);
    if (status == PK_OK)
        status = store_quarantine_groups(run->store, &filter, &run->arena, &groups, err);
    if (status == PK_OK)
        status = store_quarantine_rows(run->store, &filter, NULL, true, false, (size_t)run->options->limit, &run->arena, &rows, err);
    if (status != PK_OK)
        return status;
    if (run->options->json) {
        print_json(&groups, &rows);
    } else {
        print_groups(run, &groups);
        if (rows.count)
            print_rows(run, &rows);
    }
    return PK_OK;
}

/* ---- show ---- */

static void print_hex(const char *indent, struct pk_bytes bytes)
{
    enum { WIDTH = 16 };
    for (size_t at = 0; at < bytes.len; at += WIDTH) {
        printf("%s%08zx ", indent, at);
        for (size_t i = at; i < at + WIDTH; i++)
            i < bytes.len ? printf(" %02x", bytes.ptr[i]) : printf("   ");
        printf("  |");
        for (size_t i = at; i < PK_MIN(at + WIDTH, bytes.len); i++)
            putchar(bytes.ptr[i] >= 0x20 && bytes.ptr[i] < 0x7f ? bytes.ptr[i] : '.');
        printf("|\n");
    }
}

static void print_bytes(const char *name, struct pk_bytes bytes)
{
    if (bytes.ptr)
        printf("%-12s %zu bytes\n", name, bytes.len);
    else
        printf("%-12s null\n", name);
    print_hex("    ", bytes);
}

static void print_headers(const struct quarantine_row *row)
{
    printf("%-12s %zu\n", "headers", row->headers);
    for (size_t i = 0; i < row->headers; i++) {
        const struct record_header *header = &row->header[i];
        printf("    ");
        for (size_t k = 0; k < header->name.len; k++)
            putchar(header->name.ptr[k] >= 0x20 && header->name.ptr[k] < 0x7f ? header->name.ptr[k] : '?');
        if (header->value.ptr)
            printf("  %zu bytes\n", header->value.len);
        else
            printf("  null\n");
        print_hex("      ", header->value);
    }
}

static void print_event(struct run *run, const struct quarantine_row *row)
{
    struct schema_set *schemas = NULL;
    struct pk_buf json PK_AUTO(pk_buf_done) = {0};
    struct pk_err err = {0};
    struct event event;
    enum reject_reason reason;
    if (!row->value.ptr)
        return;
    enum pk_status status = consumer_open_schemas(run->options, &schemas, &err);
    if (status == PK_OK)
        status = event_decode(schemas, row->value, &run->arena, &event, &reason, &err);
    if (status == PK_OK) {
        event_to_json(&event, &json);
        struct pk_str text = harmless(run, (struct pk_str){json.ptr, json.len});
        printf("%-12s %.*s\n", "event", PK_STR_ARG(text));
    } else {
        struct pk_str why = harmless(run, pk_str(err.text));
        printf("%-12s cannot be read with the schemas at hand: %.*s\n", "event", PK_STR_ARG(why));
    }
    schema_set_close(schemas);
}

/* What is not kept here may still be there. */
static void read_again(struct run *run, struct quarantine_row *row)
{
    const struct republish_config config = quarantine_kafka(run->options);
    struct republish *kafka = NULL;
    struct republish_record record;
    struct pk_err err = {0};
    enum pk_status status = republish_open(&config, &kafka, &err);
    if (status == PK_OK)
        status = republish_fetch(kafka, row->at.topic.ptr, row->at.partition, row->at.offset, &run->arena, &record, &err);
    if (status == PK_OK) {
        row->key = record.key;
        row->value = record.value;
        row->header = record.header;
        row->headers = record.headers;
    }
    printf("%-12s not kept here; %s%s\n", "record", status == PK_OK ? "read again from Kafka" : "and not read from Kafka: ",
           status == PK_OK ? "" : err.text);
    republish_close(kafka);
}

static void print_row(struct run *run, struct quarantine_row *row)
{
    char at[28];
    struct pk_str detail = harmless(run, row->detail), publisher = publisher_of(run, row->publisher);
    printf("%.*s:%" PRId32 ":%" PRId64 "\n", PK_STR_ARG(row->at.topic), row->at.partition, row->at.offset);
    printf("%-12s %.*s\n", "reason", PK_STR_ARG(row->at.reason));
    printf("%-12s %.*s\n", "detail", PK_STR_ARG(detail));
    printf("%-12s %.*s\n", "publisher", PK_STR_ARG(publisher));
    printf("%-12s %s\n", "received", moment(row->received_at_us, at));
    printf("%-12s %s\n", "set aside", moment(row->quarantined_at_us, at));
    if (row->requeued_at_us != PK_NO_TIME)
        printf("%-12s %s by %.*s, as %.*s:%" PRId32 ":%" PRId64 "\n", "requeued", moment(row->requeued_at_us, at),
               PK_STR_ARG(row->requeued_by), PK_STR_ARG(row->requeued_topic), row->requeued_partition, row->requeued_offset);
    if (!row->whole)
        read_again(run, row);
    print_bytes("key", row->key);
    print_headers(row);
    print_bytes("value", row->value);
    print_event(run, row);
}

/* TOPIC:PARTITION:OFFSET */
static enum pk_status read_place(const char *text, struct pk_str *ret_topic, int32_t *ret_partition, int64_t *ret_offset,
                                 struct pk_err *err)
{
    const char *last = strrchr(text, ':'), *middle = last;
    while (middle && middle > text && *--middle != ':')
        ;
    char *end = NULL, *last_end = NULL;
    long long partition = middle ? strtoll(middle + 1, &end, 10) : -1, offset = last ? strtoll(last + 1, &last_end, 10) : -1;
    if (!middle || *middle != ':' || middle == text || end != last || last_end == last + 1 || *last_end || partition < 0 ||
        partition > INT32_MAX || offset < 0)
        return pk_fail(err, PK_REJECT, "'%.200s' is no TOPIC:PARTITION:OFFSET", text);
    *ret_topic = (struct pk_str){text, (size_t)(middle - text)};
    *ret_partition = (int32_t)partition;
    *ret_offset = offset;
    return PK_OK;
}

static enum pk_status show(struct run *run, struct pk_err *err)
{
    struct pk_str topic = {0};
    int32_t partition = 0;
    int64_t offset = 0;
    struct quarantine_rows rows = {0};
    if (run->options->rest.rest.len != 2)
        return pk_fail(err, PK_REJECT, "quarantine show takes one TOPIC:PARTITION:OFFSET");
    const char *place = run->options->rest.rest.ptr[1];
    enum pk_status status = read_place(place, &topic, &partition, &offset, err);
    if (status == PK_OK)
        status = store_quarantine_find(run->store, topic, partition, offset, &run->arena, &rows, err);
    if (status == PK_OK && rows.count == 0)
        status = pk_fail(err, PK_REJECT, "quarantine has no record %.200s; what is only counted (bi.quarantine_excess) is in Kafka", place);
    for (size_t i = 0; status == PK_OK && i < rows.count; i++)
        print_row(run, &rows.row[i]);
    return status;
}

/* ---- delete ---- */

static bool is_sure(int64_t rows, int64_t bytes)
{
    char answer[16];
    fprintf(stderr, "Delete %" PRId64 " records (%" PRId64 " bytes) from quarantine for good? [y/N] ", rows, bytes);
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static enum pk_status delete_all(struct run *run, const struct quarantine_filter *filter, int64_t *deleted, struct pk_err *err)
{
    enum { CHUNK = 1000, MOST_TRIES = 5 };
    int tries = 0;
    while (!consumer_stop) {
        int64_t rows = 0;
        enum pk_status status = store_quarantine_delete(run->store, filter, CHUNK, &rows, err);
        if (status == PK_STALE && ++tries < MOST_TRIES)
            continue;
        if (status != PK_OK)
            return status;
        *deleted += rows;
        if (rows == 0)
            return PK_OK;
    }
    return pk_fail(err, PK_STOP, "stopped by a signal after %" PRId64 " records", *deleted);
}

static enum pk_status delete_rows(struct run *run, struct pk_err *err)
{
    struct quarantine_filter filter = {.until_us = PK_NO_TIME};
    int64_t rows = 0, bytes = 0, deleted = 0;
    bool asks = isatty(STDIN_FILENO) && !run->options->yes;
    enum pk_status status = quarantine_filter_of(run->options, &filter, err);
    quarantine_until_now(&filter);
    if (status == PK_OK)
        status = store_quarantine_count(run->store, &filter, &rows, &bytes, err);
    if (status != PK_OK)
        return status;
    if (!run->options->yes && !asks)
        return pk_fail(err, PK_REJECT, "this deletes %" PRId64 " records for good; without a terminal to ask at it needs --yes", rows);
    if (rows > 0 && asks && !is_sure(rows, bytes))
        return PK_OK;
    status = delete_all(run, &filter, &deleted, err);
    printf("%" PRId64 " records were deleted from quarantine\n", deleted);
    return status;
}

/* ---- the command ---- */

int consumer_quarantine(const struct consumer_options *options)
{
    static const struct {
        const char *name;
        enum pk_status (*run)(struct run *run, struct pk_err *err);
        size_t arguments;
    } actions[] = {{"list", list, 1}, {"show", show, 2}, {"delete", delete_rows, 1}};
    const char *name = options->rest.rest.len ? options->rest.rest.ptr[0] : "";
    struct run run = {.options = options};
    struct pk_err err = {0};
    size_t action = 0;
    while (action < PK_COUNT(actions) && strcmp(actions[action].name, name) != 0)
        action++;
    if (action == PK_COUNT(actions) || options->rest.rest.len != actions[action].arguments) {
        pk_fail(&err, PK_REJECT, "quarantine needs one of list, show TOPIC:PARTITION:OFFSET, delete: polku-consumer quarantine --help");
        return consumer_end("nothing was done", PK_REJECT, &err);
    }
    symbols_init(&run.symbols);
    enum pk_status status = consumer_store_open(options, actions[action].run == delete_rows, &run.symbols, &run.store, &err);
    if (status == PK_OK)
        status = actions[action].run(&run, &err);
    store_close(run.store);
    symbols_done(&run.symbols);
    pk_arena_done(&run.arena);
    return consumer_end("quarantine is not complete", status, &err);
}
