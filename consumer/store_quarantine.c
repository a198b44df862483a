/* SPDX-License-Identifier: Apache-2.0 */
#include "store_quarantine.h"
#include "json_text.h"
#include "store_inner.h"

#include <stdlib.h>

/* Runs one statement with the parameters in store->params; `ret_result` may be NULL. */
static enum pk_status ask(struct store *store, const char *what, const char *sql, PGresult **ret_result, struct pk_err *err)
{
    const char *value[WIRE_MAX_PARAMS];
    int len[WIRE_MAX_PARAMS], format[WIRE_MAX_PARAMS];
    enum pk_status status = store_ready(store, err);
    if (status != PK_OK)
        return status;
    wire_finish(&store->params, value, len, format);
    *pk_vec_push(&store->sent) = STATEMENT_QUERY;
    if (!PQsendQueryParams(store->conn, sql, store->params.count, NULL, value, len, format, 1))
        store->send_failed = true;
    status = store_collect(store, ret_result, err);
    if (status != PK_OK && err) {
        char why[sizeof err->text];
        memcpy(why, err->text, sizeof why);
        pk_fail(err, status, "%s: %.450s", what, why);
    }
    return status;
}

/* ---- the filter: parameters 1 to 7 of each statement ---- */

static void add_text(struct store *store, struct pk_str text) /* an array: empty = any */
{
    struct wire_param *param = wire_array(&store->params, WIRE_TEXT);
    if (text.ptr)
        wire_add_text(param, text);
}

static void begin_filter(struct store *store, const struct quarantine_filter *filter)
{
    wire_reset(&store->params);
    add_text(store, pk_str(filter->topic));
    add_text(store, pk_str(filter->reason));
    add_text(store, pk_str(filter->publisher));
    wire_time(&store->params, filter->since_us == PK_NO_TIME ? WIRE_EPOCH_US : filter->since_us);
    wire_time(&store->params, filter->until_us == PK_NO_TIME ? EVENT_MAX_TIME_US : filter->until_us);
    wire_int4(&store->params, (int32_t)filter->requeued);
    wire_bool(&store->params, filter->no_duplicates);
}

#define IN_FILTER(row, at)                                                                                            \
    "($1::text[] = '{}' OR topic.text = ANY ($1)) AND ($2::text[] = '{}' OR " row ".reason = ANY ($2))"               \
    " AND ($3::text[] = '{}' OR coalesce(publisher.text, '') = ANY ($3))"                                             \
    " AND " row "." at " >= $4::timestamptz AND " row "." at " < $5::timestamptz"                                     \
    " AND (NOT $7::boolean OR " row ".reason <> 'conflicting_duplicate')"
#define REQUEUED " AND ($6::int = 0 OR (q.requeued_at IS NOT NULL) = ($6::int = 2))"
#define FROM_ROWS                                                                                                     \
    " FROM polku.quarantine q JOIN polku.dictionary topic ON topic.id = q.topic_id"                                   \
    " LEFT JOIN polku.dictionary publisher ON publisher.id = q.source_id"

/* ---- counts ---- */

static const char groups_sql[] =
    "SELECT g.topic, g.publisher, g.reason, sum(g.rows)::bigint, sum(g.excess)::bigint, sum(g.requeued)::bigint, sum(g.bytes)::bigint,"
    " min(g.first_at), max(g.last_at) FROM ("
    "SELECT topic.text AS topic, publisher.text AS publisher, q.reason, count(*) AS rows, 0 AS excess, count(q.requeued_at) AS requeued,"
    " sum(q.bytes) AS bytes, min(q.quarantined_at) AS first_at, max(q.quarantined_at) AS last_at" FROM_ROWS
    " WHERE " IN_FILTER("q", "quarantined_at") REQUEUED " GROUP BY 1, 2, 3"
    " UNION ALL "
    "SELECT topic.text, publisher.text, e.reason, 0, sum(e.records), 0, 0, min(e.hour), max(e.last_at)"
    " FROM polku.quarantine_excess e JOIN polku.dictionary topic ON topic.id = e.topic_id"
    " LEFT JOIN polku.dictionary publisher ON publisher.id = e.source_id"
    " WHERE " IN_FILTER("e", "last_at") " AND $6::int <> 2 GROUP BY 1, 2, 3"
    ") g GROUP BY 1, 2, 3 ORDER BY 4 DESC, 5 DESC, 1, 2, 3";

enum pk_status store_quarantine_groups(struct store *store, const struct quarantine_filter *filter, struct pk_arena *arena,
                                       struct quarantine_groups *ret, struct pk_err *err)
{
    PGresult *result;
    begin_filter(store, filter);
    enum pk_status status = ask(store, "count quarantine", groups_sql, &result, err);
    if (status != PK_OK)
        return status;
    int rows = PQntuples(result);
    struct quarantine_group *group = PK_NEW_ARRAY(arena, struct quarantine_group, (size_t)rows + 1);
    for (int i = 0; i < rows; i++)
        group[i] = (struct quarantine_group){
            .topic = READ_TEXT(store, arena, result, i, 0),
            .publisher = READ_TEXT(store, arena, result, i, 1),
            .reason = READ_TEXT(store, arena, result, i, 2),
            .rows = wire_get_int8(result, i, 3),
            .excess = wire_get_int8(result, i, 4),
            .requeued = wire_get_int8(result, i, 5),
            .bytes = wire_get_int8(result, i, 6),
            .first_at_us = wire_get_time(result, i, 7),
            .last_at_us = wire_get_time(result, i, 8),
        };
    PQclear(result);
    *ret = (struct quarantine_groups){group, (size_t)rows};
    return PK_OK;
}

enum pk_status store_quarantine_count(struct store *store, const struct quarantine_filter *filter, int64_t *ret_rows,
                                      int64_t *ret_bytes, struct pk_err *err)
{
    static const char sql[] = "SELECT count(*), coalesce(sum(q.bytes), 0)::bigint" FROM_ROWS
                              " WHERE " IN_FILTER("q", "quarantined_at") REQUEUED;
    PGresult *result;
    begin_filter(store, filter);
    enum pk_status status = ask(store, "count quarantine", sql, &result, err);
    if (status != PK_OK)
        return status;
    *ret_rows = wire_get_int8(result, 0, 0);
    *ret_bytes = wire_get_int8(result, 0, 1);
    PQclear(result);
    return PK_OK;
}

enum pk_status store_quarantine_size(struct store *store, int64_t *ret_bytes, struct pk_err *err)
{
    PGresult *result;
    wire_reset(&store->params);
    enum pk_status status = ask(store, "ask for the size of quarantine",
                                "SELECT coalesce(sum(s.bytes), 0)::bigint FROM polku.quarantine_size s", &result, err);
    if (status != PK_OK)
        return status;
    *ret_bytes = wire_get_int8(result, 0, 0);
    PQclear(result);
    return PK_OK;
}

/* ---- rows ---- */

static struct pk_bytes read_bytes(const PGresult *result, int row, int column, struct pk_arena *arena)
{
    if (PQgetisnull(result, row, column))
        return (struct pk_bytes){0};
    size_t len = (size_t)PQgetlength(result, row, column);
    return (struct pk_bytes){pk_arena_copy(arena, PQgetvalue(result, row, column), len), len};
}

static struct pk_bytes unhex(const char *hex, struct pk_arena *arena)
{
    size_t len = strlen(hex) / 2;
    uint8_t *byte = pk_arena_alloc(arena, len + 1);
    for (size_t i = 0; i < len; i++) {
        int high = hex[2 * i] <= '9' ? hex[2 * i] - '0' : hex[2 * i] - 'a' + 10;
        int low = hex[2 * i + 1] <= '9' ? hex[2 * i + 1] - '0' : hex[2 * i + 1] - 'a' + 10;
        byte[i] = (uint8_t)(high << 4 | low);
    }
    byte[len] = 0;
    return (struct pk_bytes){byte, len};
}

/* As save_quarantine_part wrote them. */
static void read_headers(const PGresult *result, int row, int column, struct pk_arena *arena, struct quarantine_row *ret)
{
    if (PQgetisnull(result, row, column))
        return;
    json_error_t where;
    json_t *list = json_read(pk_str(PQgetvalue(result, row, column)), 0, &where);
    size_t count = json_array_size(list);
    struct record_header *header = PK_NEW_ARRAY(arena, struct record_header, count + 1);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(item, "name"));
        const char *name_hex = json_string_value(json_object_get(item, "name_hex"));
        const char *value = json_string_value(json_object_get(item, "value_hex"));
        struct pk_bytes raw = unhex(name_hex ? name_hex : "", arena);
        header[i].name = name ? pk_arena_str(arena, pk_str(name)) : (struct pk_str){(const char *)raw.ptr, raw.len};
        if (value)
            header[i].value = unhex(value, arena);
    }
    json_decref(list);
    ret->header = header;
    ret->headers = count;
}

#define ROW_COLUMNS                                                                                                   \
    "SELECT topic.text, q.partition, q.kafka_offset, q.reason, q.detail, publisher.text, q.received_at, q.quarantined_at,"     \
    " q.value_bytes, q.bytes, q.whole, q.requeued_at, q.requeued_by, again.text, q.requeued_partition, q.requeued_offset,"      \
    " CASE WHEN $8::boolean THEN q.key END, CASE WHEN $8::boolean THEN q.value END, CASE WHEN $8::boolean THEN q.headers::text END" \
    FROM_ROWS " LEFT JOIN polku.dictionary again ON again.id = q.requeued_topic_id"

static enum pk_status read_rows(struct store *store, const char *sql, struct pk_arena *arena, struct quarantine_rows *ret,
                                struct pk_err *err)
{
    PGresult *result;
    enum pk_status status = ask(store, "read quarantine", sql, &result, err);
    if (status != PK_OK)
        return status;
    int rows = PQntuples(result);
    struct quarantine_row *row = PK_NEW_ARRAY(arena, struct quarantine_row, (size_t)rows + 1);
    for (int i = 0; i < rows; i++) {
        row[i] = (struct quarantine_row){
            .at = {READ_TEXT(store, arena, result, i, 0), wire_get_int4(result, i, 1), wire_get_int8(result, i, 2),
                   READ_TEXT(store, arena, result, i, 3)},
            .detail = READ_TEXT(store, arena, result, i, 4),
            .publisher = READ_TEXT(store, arena, result, i, 5),
            .received_at_us = wire_get_time(result, i, 6),
            .quarantined_at_us = wire_get_time(result, i, 7),
            .value_bytes = PQgetisnull(result, i, 8) ? -1 : wire_get_int4(result, i, 8),
            .bytes = wire_get_int4(result, i, 9),
            .whole = wire_get_bool(result, i, 10),
            .requeued_at_us = wire_get_time(result, i, 11),
            .requeued_by = READ_TEXT(store, arena, result, i, 12),
            .requeued_topic = READ_TEXT(store, arena, result, i, 13),
            .requeued_partition = wire_get_int4(result, i, 14),
            .requeued_offset = wire_get_int8(result, i, 15),
            .key = read_bytes(result, i, 16, arena),
            .value = read_bytes(result, i, 17, arena),
        };
        read_headers(result, i, 18, arena, &row[i]);
    }
    PQclear(result);
    *ret = (struct quarantine_rows){row, (size_t)rows};
    return PK_OK;
}

enum pk_status store_quarantine_rows(struct store *store, const struct quarantine_filter *filter,
                                     const struct quarantine_place *after, bool newest, bool records, size_t limit,
                                     struct pk_arena *arena, struct quarantine_rows *ret, struct pk_err *err)
{
    static const char in_order[] = ROW_COLUMNS
        " WHERE " IN_FILTER("q", "quarantined_at") REQUEUED
        " AND ($10::text[] = '{}' OR (topic.text COLLATE \"C\", q.partition, q.kafka_offset, q.reason)"
        " > (($10::text[])[1] COLLATE \"C\", $11::int, $12::bigint, ($10::text[])[2]))"
        " ORDER BY topic.text COLLATE \"C\", q.partition, q.kafka_offset, q.reason LIMIT $9::bigint";
    static const char by_time[] = ROW_COLUMNS
        " WHERE " IN_FILTER("q", "quarantined_at") REQUEUED
        " ORDER BY q.quarantined_at DESC, topic.text, q.partition, q.kafka_offset DESC LIMIT $9::bigint";
    begin_filter(store, filter);
    wire_bool(&store->params, records);
    wire_int8(&store->params, (int64_t)limit);
    if (!newest) {
        struct wire_param *place = wire_array(&store->params, WIRE_TEXT);
        if (after) {
            wire_add_text(place, after->topic);
            wire_add_text(place, after->reason);
        }
        wire_int4(&store->params, after ? after->partition : 0);
        wire_int8(&store->params, after ? after->offset : 0);
    }
    return read_rows(store, newest ? by_time : in_order, arena, ret, err);
}

enum pk_status store_quarantine_find(struct store *store, struct pk_str topic, int32_t partition, int64_t offset,
                                     struct pk_arena *arena, struct quarantine_rows *ret, struct pk_err *err)
{
    static const char sql[] = ROW_COLUMNS
        " WHERE " IN_FILTER("q", "quarantined_at") REQUEUED " AND q.partition = $9::int AND q.kafka_offset = $10::bigint ORDER BY q.reason";
    char name[256];
    snprintf(name, sizeof name, "%.*s", PK_STR_ARG(topic));
    begin_filter(store, &(struct quarantine_filter){.topic = name, .since_us = PK_NO_TIME, .until_us = PK_NO_TIME});
    wire_bool(&store->params, true);
    wire_int4(&store->params, partition);
    wire_int8(&store->params, offset);
    return read_rows(store, sql, arena, ret, err);
}

/* ---- deleting ---- */

static enum pk_status ask_rows(struct store *store, const char *what, const char *sql, int64_t *ret_rows, struct pk_err *err)
{
    PGresult *result;
    enum pk_status status = ask(store, what, sql, &result, err);
    if (status != PK_OK)
        return status;
    *ret_rows = atoll(PQcmdTuples(result));
    PQclear(result);
    return PK_OK;
}

enum pk_status store_quarantine_delete(struct store *store, const struct quarantine_filter *filter, size_t limit,
                                       int64_t *ret_rows, struct pk_err *err)
{
    static const char sql[] =
        "DELETE FROM polku.quarantine d WHERE d.ctid = ANY (ARRAY(SELECT q.ctid" FROM_ROWS
        " WHERE " IN_FILTER("q", "quarantined_at") REQUEUED " ORDER BY q.topic_id, q.partition, q.kafka_offset LIMIT $8::bigint FOR UPDATE OF q))";
    begin_filter(store, filter);
    wire_int8(&store->params, (int64_t)limit);
    return ask_rows(store, "delete from quarantine", sql, ret_rows, err);
}

static void add_partitions(struct store *store, const struct store_position *position, size_t positions, int64_t keep_us)
{
    wire_reset(&store->params);
    struct wire_param *topic = wire_array(&store->params, WIRE_INT4), *partition = wire_array(&store->params, WIRE_INT4);
    for (size_t i = 0; i < positions; i++) {
        wire_add_int4(topic, store_id(store, position[i].topic));
        wire_add_int4(partition, position[i].partition);
    }
    wire_int8(&store->params, keep_us);
}

/* By the statement's time: a clock that goes on within the statement would make it look at every row. */
enum pk_status store_quarantine_expire(struct store *store, const struct store_position *position, size_t positions,
                                       int64_t keep_us, size_t limit, int64_t *ret_rows, struct pk_err *err)
{
    static const char rows_sql[] =
        "DELETE FROM polku.quarantine d WHERE d.ctid = ANY (ARRAY(SELECT r.ctid"
        " FROM (SELECT unnest($1::int[]) AS topic_id, unnest($2::int[]) AS partition) k CROSS JOIN LATERAL (SELECT q.ctid"
        " FROM polku.quarantine q WHERE q.topic_id = k.topic_id AND q.partition = k.partition"
        " AND q.quarantined_at < statement_timestamp() - $3::bigint * interval '1 microsecond' LIMIT $4::bigint FOR UPDATE SKIP LOCKED) r"
        " LIMIT $4::bigint))";
    static const char excess_sql[] =
        "DELETE FROM polku.quarantine_excess e USING (SELECT unnest($1::int[]) AS topic_id, unnest($2::int[]) AS partition) k"
        " WHERE e.topic_id = k.topic_id AND e.partition = k.partition"
        " AND e.last_at < statement_timestamp() - $3::bigint * interval '1 microsecond'";
    int64_t rows = 0, excess;
    add_partitions(store, position, positions, keep_us);
    wire_int8(&store->params, (int64_t)limit);
    enum pk_status status = ask_rows(store, "delete old rows of quarantine", rows_sql, &rows, err);
    if (status != PK_OK)
        return status;
    add_partitions(store, position, positions, keep_us);
    status = ask_rows(store, "delete old counts of quarantine", excess_sql, &excess, err);
    if (status == PK_OK)
        *ret_rows = rows;
    return status;
}

/* ---- marks ---- */

enum pk_status store_quarantine_mark(struct store *store, const struct quarantine_row *row, size_t count, struct pk_str by,
                                     struct pk_err *err)
{
    static const char sql[] =
        "UPDATE polku.quarantine q SET requeued_at = clock_timestamp(), requeued_by = ($1::text[])[1],"
        " requeued_topic_id = k.to_topic, requeued_partition = k.to_partition, requeued_offset = k.to_offset"
        " FROM (SELECT unnest($2::int[]) AS topic_id, unnest($3::int[]) AS partition, unnest($4::bigint[]) AS kafka_offset,"
        " unnest($5::text[]) AS reason, unnest($6::int[]) AS to_topic, unnest($7::int[]) AS to_partition,"
        " unnest($8::bigint[]) AS to_offset) k"
        " WHERE q.topic_id = k.topic_id AND q.partition = k.partition AND q.kafka_offset = k.kafka_offset AND q.reason = k.reason";
    sym_t *from = pk_alloc((count + 1) * sizeof *from), *to = pk_alloc((count + 1) * sizeof *to);
    for (size_t i = 0; i < count; i++) {
        from[i] = symbol_of(store->symbols, row[i].at.topic);
        to[i] = symbol_of(store->symbols, row[i].requeued_topic);
    }
    enum pk_status status = store_ensure_dictionary(store, err);
    if (status == PK_OK) {
        wire_reset(&store->params);
        wire_add_clean_text(wire_array(&store->params, WIRE_TEXT), by);
        struct wire_param *param[7];
        static const uint32_t type[] = {WIRE_INT4, WIRE_INT4, WIRE_INT8, WIRE_TEXT, WIRE_INT4, WIRE_INT4, WIRE_INT8};
        for (size_t i = 0; i < PK_COUNT(param); i++)
            param[i] = wire_array(&store->params, type[i]);
        for (size_t i = 0; i < count; i++) {
            wire_add_int4(param[0], store_id(store, from[i]));
            wire_add_int4(param[1], row[i].at.partition);
            wire_add_int8(param[2], row[i].at.offset);
            wire_add_text(param[3], row[i].at.reason);
            wire_add_int4(param[4], store_id(store, to[i]));
            wire_add_int4(param[5], row[i].requeued_partition);
            wire_add_int8(param[6], row[i].requeued_offset);
        }
        status = ask(store, "mark what was requeued", sql, NULL, err);
    }
    free(from);
    free(to);
    return status;
}
