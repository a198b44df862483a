/* SPDX-License-Identifier: Apache-2.0 */
/* position: where reading stands, and setting it.
 *
 * Set is one transaction that raises the epochs too, so consumers that run are fenced and go on from the new place. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumer_store.h"
#include "time_text.h"

enum { KAFKA_PATIENCE_S = 10, ALL_PARTITIONS = -1, MOST_TARGETS = 10000 };

enum where { AT_OFFSET, AT_EARLIEST, AT_LATEST, AT_TIME };

struct target { /* TOPIC:PARTITION=WHERE as it was given */
    const char *text;
    char topic[256];
    int32_t partition;
    enum where where;
    int64_t value; /* an offset, or a time */
};

struct place { /* one partition: as stored, in Kafka, or both */
    const char *topic;
    int32_t partition;
    int64_t stored, epoch; /* -1 and 0: the database does not know it */
    int64_t low, high;     /* -1: Kafka does not */
};

struct run {
    const struct consumer_options *options;
    struct symbols symbols;
    struct store *store;
    struct intake_probe *probe;
    struct intake_watermarks marks;
    PK_VEC(struct target) target;
    PK_VEC(struct place) place;
    PK_VEC(struct store_position) position; /* set: what is changed, */
    PK_VEC(int64_t) next;                   /* to where, */
    PK_VEC(const struct intake_watermark *) mark; /* and what Kafka holds of it; NULL = nothing known */
    struct pk_buf topics;
};

/* ---- what is asked ---- */

static const char form[] = "it is written TOPIC:PARTITION=WHERE, WHERE an offset, earliest, latest, or a time such as "
                           "2026-03-01T00:00:00Z; * means every partition";

static bool all_digits(struct pk_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!isdigit((unsigned char)text.ptr[i]))
            return false;
    return text.len > 0;
}

static enum pk_status read_where(struct target *target, struct pk_str where, struct pk_err *err)
{
    struct pk_err why = {0};
    if (pk_str_eq(where, pk_str("earliest"))) {
        target->where = AT_EARLIEST;
    } else if (pk_str_eq(where, pk_str("latest"))) {
        target->where = AT_LATEST;
    } else if (all_digits(where)) {
        if (where.len > 18)
            return pk_fail(err, PK_REJECT, "%s: no offset is that large", target->text);
        target->value = strtoll(where.ptr, NULL, 10);
    } else {
        target->where = AT_TIME;
        if (time_parse_iso(where, true, &target->value, &why) != PK_OK)
            return pk_fail(err, PK_REJECT, "%s: '%s' is no offset and no time (%.100s); %s", target->text, where.ptr, why.text,
                           form);
    }
    return PK_OK;
}

static enum pk_status read_target(struct target *target, struct pk_err *err)
{
    const char *text = target->text, *equals = strchr(text, '='), *colon = equals;
    while (colon && colon > text && *colon != ':')
        colon--;
    if (!equals || colon == text || *colon != ':' || (size_t)(colon - text) >= sizeof target->topic)
        return pk_fail(err, PK_REJECT, "'%.200s' names no place; %s", text, form);
    struct pk_str partition = {colon + 1, (size_t)(equals - colon - 1)};
    snprintf(target->topic, sizeof target->topic, "%.*s", (int)(colon - text), text);
    if (pk_str_eq(partition, pk_str("*")))
        target->partition = ALL_PARTITIONS;
    else if (all_digits(partition) && partition.len < 10)
        target->partition = atoi(partition.ptr);
    else
        return pk_fail(err, PK_REJECT, "%s: '%.*s' is no number of a partition; %s", text, PK_STR_ARG(partition), form);
    return read_where(target, pk_str(equals + 1), err);
}

static enum pk_status read_targets(struct run *run, struct pk_err *err)
{
    size_t count = run->options->rest.rest.len;
    if (count < 2 || count > MOST_TARGETS)
        return pk_fail(err, PK_REJECT, "position set needs at least one place; %s", form);
    for (size_t i = 1; i < count; i++) {
        struct target target = {.text = run->options->rest.rest.ptr[i]};
        enum pk_status status = read_target(&target, err);
        if (status != PK_OK)
            return status;
        *pk_vec_push(&run->target) = target;
        pk_buf_printf(&run->topics, "%s%s", i > 1 ? "," : "", target.topic);
    }
    return PK_OK;
}

/* ---- the two sides ---- */

static enum pk_status open_both(struct run *run, bool sets, struct pk_err *err)
{
    const struct consumer_options *options = run->options;
    struct intake_config intake = consumer_intake_config(options);
    if (sets)
        intake.topics = run->topics.ptr;
    enum pk_status status = consumer_store_open(options, sets, &run->symbols, &run->store, err);
    return status == PK_OK ? intake_probe_open(&intake, &run->probe, err) : status;
}

static const struct intake_watermark *find_mark(const struct run *run, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < run->marks.list.len; i++)
        if (run->marks.list.ptr[i].partition == partition && strcmp(run->marks.list.ptr[i].topic, topic) == 0)
            return &run->marks.list.ptr[i];
    return NULL;
}

static const char *number(int64_t value, char out[24])
{
    snprintf(out, 24, "%" PRId64, value);
    return value < 0 ? "-" : out;
}

/* ---- show ---- */

static struct place *place_of(struct run *run, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < run->place.len; i++)
        if (run->place.ptr[i].partition == partition && strcmp(run->place.ptr[i].topic, topic) == 0)
            return &run->place.ptr[i];
    struct place *place = pk_vec_push(&run->place);
    *place = (struct place){symbol_text(&run->symbols, symbol_of(&run->symbols, pk_str(topic))).ptr, partition, -1, 0, -1, -1};
    return place;
}

static void take_stored(void *context, int columns, const char *const value[])
{
    (void)columns;
    struct place *place = place_of(context, value[0], atoi(value[1]));
    place->stored = atoll(value[2]);
    place->epoch = atoll(value[3]);
}

static int by_place(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    int order = strcmp(a->topic, b->topic);
    return order ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

static const char *remark_of(const struct place *place)
{
    if (place->stored < 0 || place->high < 0)
        return place->stored < 0 ? "not begun" : "";
    if (place->stored < place->low)
        return "Kafka has deleted what comes next";
    return place->stored > place->high ? "behind Kafka's end: was the topic made anew?" : "";
}

static void print_places(struct run *run)
{
    char stored[24], epoch[24], low[24], high[24], lag[24];
    qsort(run->place.ptr, run->place.len, sizeof *run->place.ptr, by_place);
    printf("%-24s %9s %14s %9s %14s %14s %12s\n", "topic", "partition", "stored to", "epoch", "Kafka's first", "Kafka's end",
           "lag");
    for (size_t i = 0; i < run->place.len; i++) {
        const struct place *place = &run->place.ptr[i];
        int64_t from = place->stored < 0 ? place->low : place->stored;
        const char *remark = remark_of(place);
        printf("%-24s %9" PRId32 " %14s %9s %14s %14s %12s%s%s\n", place->topic, place->partition,
               number(place->stored, stored), place->epoch ? number(place->epoch, epoch) : "-", number(place->low, low),
               number(place->high, high), number(place->high < 0 ? -1 : PK_MAX(place->high - from, INT64_C(0)), lag),
               *remark ? "  " : "", remark);
    }
}

/* Kafka first: what is stored a moment later can only be more. Where Kafka is away, what is stored is shown. */
static enum pk_status show(struct run *run, struct pk_err *err)
{
    static const char sql[] = "SELECT t.text, p.partition, p.next_offset, p.epoch FROM polku.stream_position p"
                              " JOIN polku.dictionary t ON t.id = p.topic_id";
    struct pk_err kafka_err = {0};
    enum pk_status kafka = intake_probe_read(run->probe, KAFKA_PATIENCE_S * PK_SECOND_US, &run->marks, &kafka_err);
    for (size_t i = 0; i < run->marks.list.len; i++) {
        const struct intake_watermark *mark = &run->marks.list.ptr[i];
        struct place *place = place_of(run, mark->topic, mark->partition);
        place->low = mark->low;
        place->high = mark->high;
    }
    enum pk_status status = store_query(run->store, sql, take_stored, run, err);
    if (status != PK_OK)
        return status;
    if (run->place.len)
        print_places(run);
    else
        puts("no positions are stored, and Kafka has none of the topics");
    return kafka == PK_OK ? PK_OK : pk_fail(err, kafka, "%s", kafka_err.text);
}

/* ---- set ---- */

/* What a place means now. -1: only Kafka could say so. */
static enum pk_status resolve(struct run *run, const struct target *target, const struct intake_watermark *mark,
                              int64_t *ret_offset, struct pk_err *err)
{
    *ret_offset = target->value;
    if (target->where == AT_OFFSET)
        return PK_OK;
    if (!mark)
        return pk_fail(err, PK_REJECT, "%s: Kafka does not say where that is", target->text);
    if (target->where != AT_TIME)
        *ret_offset = target->where == AT_EARLIEST ? mark->low : mark->high;
    else
        return intake_probe_at(run->probe, mark, target->value, KAFKA_PATIENCE_S * PK_SECOND_US, ret_offset, err);
    return PK_OK;
}

static enum pk_status add_change(struct run *run, const struct target *target, int32_t partition, struct pk_err *err)
{
    const struct intake_watermark *mark = find_mark(run, target->topic, partition);
    const struct store_position position = {.topic = symbol_of(&run->symbols, pk_str(target->topic)), .partition = partition};
    int64_t next;
    if (!mark && !run->options->force)
        return pk_fail(err, PK_REJECT, "%s: Kafka has no partition %" PRId32 " of %s", target->text, partition, target->topic);
    enum pk_status status = resolve(run, target, mark, &next, err);
    if (status != PK_OK)
        return status;
    if (mark && (next < mark->low || next > mark->high) && !run->options->force)
        return pk_fail(err, PK_REJECT, "%s: Kafka holds the offsets from %" PRId64 " to before %" PRId64 " of partition %" PRId32
                       ", consumers would stop at once; --force sets it all the same", target->text, mark->low, mark->high,
                       partition);
    for (size_t i = 0; i < run->position.len; i++)
        if (run->position.ptr[i].topic == position.topic && run->position.ptr[i].partition == partition)
            return pk_fail(err, PK_REJECT, "%s: partition %" PRId32 " of %s is named twice", target->text, partition,
                           target->topic);
    *pk_vec_push(&run->position) = position;
    *pk_vec_push(&run->next) = next;
    *pk_vec_push(&run->mark) = mark;
    return PK_OK;
}

static enum pk_status plan(struct run *run, struct pk_err *err)
{
    enum pk_status status = intake_probe_read(run->probe, KAFKA_PATIENCE_S * PK_SECOND_US, &run->marks, err);
    if (status == PK_RETRY && run->options->force)
        status = PK_OK; /* offsets can be set without Kafka */
    for (size_t i = 0; i < run->target.len && status == PK_OK; i++) {
        const struct target *target = &run->target.ptr[i];
        if (target->partition != ALL_PARTITIONS)
            status = add_change(run, target, target->partition, err);
        for (size_t m = 0; target->partition == ALL_PARTITIONS && m < run->marks.list.len && status == PK_OK; m++)
            if (strcmp(run->marks.list.ptr[m].topic, target->topic) == 0)
                status = add_change(run, target, run->marks.list.ptr[m].partition, err);
    }
    if (status == PK_OK && run->position.len == 0)
        return pk_fail(err, PK_REJECT, "Kafka does not say which partitions there are");
    return status;
}

static void print_change(const struct run *run, size_t i, bool *ret_left_out)
{
    const struct store_position *before = &run->position.ptr[i];
    const struct intake_watermark *mark = run->mark.ptr[i];
    int64_t next = run->next.ptr[i], from = before->epoch ? before->next_offset : mark ? mark->low : next;
    char was[24], now[24], low[24], high[24];
    printf("%-24.*s %9" PRId32 " %14s %14s %14s %14s", PK_STR_ARG(symbol_text(&run->symbols, before->topic)), before->partition,
           number(before->epoch ? before->next_offset : -1, was), number(next, now), number(mark ? mark->low : -1, low),
           number(mark ? mark->high : -1, high));
    if (next > from)
        printf("  %" PRId64 " offsets from %" PRId64 " on are left out", next - from, from);
    else if (next < from)
        printf("  %" PRId64 " offsets are read again", from - next);
    putchar('\n');
    *ret_left_out |= next > from;
}

static enum pk_status set(struct run *run, struct pk_err *err)
{
    enum pk_status status = plan(run, err);
    if (status != PK_OK)
        return status;
    status = store_set_positions(run->store, run->position.ptr, run->next.ptr, run->position.len, err);
    if (status == PK_STALE) {
        struct pk_err why = *err;
        return pk_fail(err, status, "consumers hold the positions in a batch, nothing was changed, try again: %.300s", why.text);
    }
    if (status == PK_LOST) {
        struct pk_err why = *err;
        return pk_fail(err, status, "whether it was done is not known, position show tells: %.300s", why.text);
    }
    if (status != PK_OK)
        return status;
    bool left_out = false;
    printf("%-24s %9s %14s %14s %14s %14s\n", "topic", "partition", "before", "now", "Kafka's first", "Kafka's end");
    for (size_t i = 0; i < run->position.len; i++)
        print_change(run, i, &left_out);
    puts("Consumers that run go on from there within some seconds. Events that are stored already change nothing.");
    if (left_out)
        puts("WARNING: what is left out is in the tables only if it is set back, for as long as Kafka holds it.");
    return PK_OK;
}

static void close_run(struct run *run)
{
    intake_probe_close(run->probe);
    store_close(run->store);
    symbols_done(&run->symbols);
    pk_vec_done(&run->marks.list);
    pk_vec_done(&run->target);
    pk_vec_done(&run->place);
    pk_vec_done(&run->position);
    pk_vec_done(&run->next);
    pk_vec_done(&run->mark);
    pk_buf_done(&run->topics);
}

int consumer_position(const struct consumer_options *options)
{
    struct run run = {.options = options};
    struct pk_err err = {0};
    const char *action = options->rest.rest.len ? options->rest.rest.ptr[0] : "";
    bool shows = strcmp(action, "show") == 0 && options->rest.rest.len == 1, sets = strcmp(action, "set") == 0;
    enum pk_status status = PK_OK;
    symbols_init(&run.symbols);
    if (!shows && !sets)
        status = pk_fail(&err, PK_REJECT, "position is asked to show, or to set places: polku-consumer position --help");
    if (status == PK_OK && sets)
        status = read_targets(&run, &err);
    if (status == PK_OK)
        status = open_both(&run, sets, &err);
    if (status == PK_OK)
        status = shows ? show(&run, &err) : set(&run, &err);
    close_run(&run);
    return consumer_end(shows ? "positions are not complete" : "no position was set", status, &err);
}
