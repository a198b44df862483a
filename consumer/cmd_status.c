/* SPDX-License-Identifier: Apache-2.0 */
/* status: stored positions beside what Kafka holds, how fresh the tables are, what was set aside.
 *
 * For people, and with --wait for scripts: 0 when nothing is left to read. Reads only. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "consumer_store.h"

/* One partition: as stored, as in Kafka, or both. */
struct line {
    char topic[256];
    int32_t partition;
    int64_t stored;      /* next_offset; -1 = the database does not know it */
    int64_t low, high;   /* -1 = Kafka does not */
    char claims[24], moved_at[40], newest_occurred_at[40];
    int64_t rows, set_aside; /* --count */
};

struct view {
    const struct consumer_options *options;
    struct symbols symbols;
    struct store *store;
    struct intake_probe *probe;
    PK_VEC(struct line) line;
    int64_t set_aside;
};

static const char positions_sql[] =
    "SELECT t.text, p.partition, p.next_offset, p.epoch, "
    "to_char(p.moved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS\"Z\"'), "
    "to_char(p.newest_occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS\"Z\"') "
    "FROM polku.stream_position p JOIN polku.dictionary t ON t.id = p.topic_id ORDER BY 1, 2";
static const char reasons_sql[] =
    "SELECT q.topic, q.reason, q.records, to_char(q.last_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS\"Z\"'), q.excess, q.requeued "
    "FROM bi.quarantine_by_reason q ORDER BY 1, 2";
static const char rows_sql[] =
    "SELECT t.text, c.partition, sum(c.rows), sum(c.set_aside) FROM ("
    "SELECT kafka_topic_id AS topic_id, kafka_partition AS partition, count(*) AS rows, 0 AS set_aside "
    "FROM polku.interaction GROUP BY 1, 2 "
    "UNION ALL SELECT topic_id, partition, 0, count(*) FROM polku.quarantine GROUP BY 1, 2 "
    "UNION ALL SELECT topic_id, partition, 0, sum(records)::bigint FROM polku.quarantine_excess GROUP BY 1, 2) c "
    "JOIN polku.dictionary t ON t.id = c.topic_id GROUP BY 1, 2 ORDER BY 1, 2";

static void copy(char *to, size_t size, const char *text)
{
    snprintf(to, size, "%s", text ? text : "-");
}

static struct line *line_of(struct view *view, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < view->line.len; i++)
        if (view->line.ptr[i].partition == partition && strcmp(view->line.ptr[i].topic, topic) == 0)
            return &view->line.ptr[i];
    struct line *line = pk_vec_push(&view->line);
    *line = (struct line){.partition = partition, .stored = -1, .low = -1, .high = -1};
    copy(line->topic, sizeof line->topic, topic);
    copy(line->claims, sizeof line->claims, NULL);
    copy(line->moved_at, sizeof line->moved_at, NULL);
    copy(line->newest_occurred_at, sizeof line->newest_occurred_at, NULL);
    return line;
}

static int by_place(const void *left, const void *right)
{
    const struct line *a = left, *b = right;
    int order = strcmp(a->topic, b->topic);
    return order ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

static void take_position(void *context, int columns, const char *const value[])
{
    (void)columns;
    struct line *line = line_of(context, value[0], atoi(value[1]));
    line->stored = atoll(value[2]);
    copy(line->claims, sizeof line->claims, value[3]);
    copy(line->moved_at, sizeof line->moved_at, value[4]);
    copy(line->newest_occurred_at, sizeof line->newest_occurred_at, value[5]);
}

static void take_rows(void *context, int columns, const char *const value[])
{
    (void)columns;
    struct line *line = line_of(context, value[0], atoi(value[1]));
    line->rows = atoll(value[2]);
    line->set_aside = atoll(value[3]);
}

static void print_reason(void *context, int columns, const char *const value[])
{
    (void)columns;
    struct view *view = context;
    if (view->set_aside == 0)
        printf("\nquarantine\n");
    view->set_aside += atoll(value[2]);
    printf("  %-24s %-24s %12s   last %s", value[0], value[1], value[2], value[3]);
    if (strcmp(value[4], "0") != 0)
        printf("   %s only counted", value[4]);
    if (strcmp(value[5], "0") != 0)
        printf("   %s requeued", value[5]);
    printf("\n");
}

/* ---- reading ---- */

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

static enum pk_status read_kafka(struct view *view, struct pk_err *err)
{
    struct intake_watermarks marks = {0};
    enum pk_status status = intake_probe_read(view->probe, 5 * PK_SECOND_US, &marks, err);
    for (size_t i = 0; i < marks.list.len; i++) {
        struct line *line = line_of(view, marks.list.ptr[i].topic, marks.list.ptr[i].partition);
        line->low = marks.list.ptr[i].low;
        line->high = marks.list.ptr[i].high;
    }
    pk_vec_done(&marks.list);
    return status;
}

/* Kafka first: what is stored a moment later can only be more. Where Kafka is away, what is stored can
 * still be shown. */
static enum pk_status read_all(struct view *view, struct pk_err *err)
{
    struct pk_err database;
    view->line.len = 0;
    enum pk_status kafka = read_kafka(view, err);
    enum pk_status status = store_query(view->store, positions_sql, take_position, view, &database);
    if (status != PK_OK)
        return pk_fail(err, status, "%s", database.text);
    return kafka;
}

static int64_t lag(const struct line *line)
{
    if (line->high < 0)
        return 0;
    int64_t from = line->stored >= 0 ? line->stored : line->low;
    return PK_MAX(line->high - from, 0);
}

static int64_t total_lag(const struct view *view)
{
    int64_t total = 0;
    for (size_t i = 0; i < view->line.len; i++)
        total += lag(&view->line.ptr[i]);
    return total;
}

/* Until nothing is left to read. What is away may come back within the time. */
static enum pk_status wait_for_end(struct view *view, bool *ret_behind, struct pk_err *err)
{
    int64_t deadline = now_us() + view->options->timeout;
    for (;;) {
        enum pk_status status = read_all(view, err);
        if (status == PK_LOST)
            status = store_reopen(view->store, err);
        bool behind = status != PK_OK || total_lag(view) > 0;
        bool over = consumer_stop || now_us() >= deadline;
        if (!behind || over || status == PK_STOP) {
            *ret_behind = behind && status != PK_STOP;
            return status;
        }
        nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    }
}

/* ---- printing ---- */

static const char *number(int64_t value, char out[24])
{
    if (value < 0)
        return "-";
    snprintf(out, 24, "%" PRId64, value);
    return out;
}

static void print_lines(const struct view *view)
{
    char stored[24], high[24], behind[24];
    printf("%-24s %9s %14s %14s %12s %7s  %-20s  %s\n", "topic", "partition", "stored to", "Kafka's end", "lag", "claims",
           "last commit", "newest event");
    for (size_t i = 0; i < view->line.len; i++) {
        const struct line *line = &view->line.ptr[i];
        printf("%-24s %9" PRId32 " %14s %14s %12s %7s  %-20s  %s\n", line->topic, line->partition,
               number(line->stored, stored), number(line->high, high), line->high < 0 ? "-" : number(lag(line), behind),
               line->claims, line->moved_at, line->newest_occurred_at);
    }
    printf("%-24s %9s %14s %14s %12" PRId64 "\n", "total", "", "", "", total_lag(view));
}

static void print_rows(const struct view *view)
{
    printf("\nrows (a record is one of them, or a redelivery of one that is)\n");
    printf("  %-24s %9s %14s %14s %14s\n", "topic", "partition", "offsets", "interactions", "quarantined");
    for (size_t i = 0; i < view->line.len; i++) {
        const struct line *line = &view->line.ptr[i];
        char stored[24];
        printf("  %-24s %9" PRId32 " %14s %14" PRId64 " %14" PRId64 "\n", line->topic, line->partition,
               number(line->stored, stored), line->rows, line->set_aside);
    }
}

static enum pk_status show(struct view *view, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    if (view->options->count)
        status = store_query(view->store, rows_sql, take_rows, view, err);
    if (status != PK_OK)
        return status;
    if (view->line.len)
        qsort(view->line.ptr, view->line.len, sizeof *view->line.ptr, by_place);
    print_lines(view);
    if (view->options->count)
        print_rows(view);
    status = store_query(view->store, reasons_sql, print_reason, view, err);
    if (status == PK_OK && view->set_aside == 0)
        printf("\nquarantine: empty\n");
    return status;
}

static enum pk_status open_view(struct view *view, struct pk_err *err)
{
    const struct consumer_options *options = view->options;
    const struct intake_config intake = consumer_intake_config(options);
    symbols_init(&view->symbols);
    enum pk_status status = consumer_store_open(options, false, &view->symbols, &view->store, err);
    if (status == PK_OK)
        status = intake_probe_open(&intake, &view->probe, err);
    return status;
}

int consumer_status(const struct consumer_options *options)
{
    struct view view = {.options = options};
    struct pk_err err = {0};
    bool behind = false;
    enum pk_status status = open_view(&view, &err);
    if (status == PK_OK)
        status = options->wait ? wait_for_end(&view, &behind, &err) : read_all(&view, &err);
    if (status != PK_OK)
        consumer_log_failure("status is not complete", &err);
    if (status == PK_OK || (status == PK_RETRY && view.store)) {
        enum pk_status shown = show(&view, &err);
        if (shown != PK_OK)
            consumer_log_failure("status is not complete", &err);
        status = status == PK_OK ? shown : status;
    }
    intake_probe_close(view.probe);
    store_close(view.store);
    symbols_done(&view.symbols);
    pk_vec_done(&view.line);
    return behind ? CONSUMER_BEHIND : status == PK_OK ? CONSUMER_OK : status == PK_REJECT ? CONSUMER_USAGE : CONSUMER_STOPPED;
}
