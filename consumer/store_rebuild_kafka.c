/* SPDX-License-Identifier: Apache-2.0 */
#include "store_rebuild_kafka.h"
#include "store_rebuild_inner.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- positions ---- */

enum pk_status store_rebuild_positions(struct store *old, struct pk_arena *arena, struct rebuild_spans *ret,
                                       struct pk_err *err)
{
    PGresult *result;
    wire_reset(&old->params);
    enum pk_status status =
        store_rebuild_ask(old, "read the positions",
                          "SELECT d.text, p.partition, p.next_offset FROM polku.stream_position p"
                          " JOIN polku.dictionary d ON d.id = p.topic_id ORDER BY d.text COLLATE \"C\", p.partition",
                          &result, err);
    if (status != PK_OK)
        return status;
    size_t count = (size_t)PQntuples(result);
    struct rebuild_spans spans = {PK_NEW_ARRAY(arena, struct rebuild_span, count + 1), count};
    for (size_t i = 0; i < count; i++)
        spans.span[i] = (struct rebuild_span){
            .topic = symbol_of(old->symbols, wire_get_text(result, (int)i, 0)),
            .partition = wire_get_int4(result, (int)i, 1),
            .next = wire_get_int8(result, (int)i, 2),
            .newest_at_us = PK_NO_TIME,
            .newest_received_at_us = PK_NO_TIME,
        };
    PQclear(result);
    *ret = spans;
    return PK_OK;
}

/* ON CONFLICT of what is set aside needs the indexes; triggers are not copied, and not wanted. */
static const char notes_sql[] =
    "DO $notes$ "
    "BEGIN "
    " CREATE TABLE " REBUILD_SCHEMA ".kafka_span (first_offset bigint NOT NULL, next_offset bigint NOT NULL,"
    "  newest_at timestamptz, newest_received_at timestamptz, topic_id integer NOT NULL, partition integer NOT NULL,"
    "  PRIMARY KEY (topic_id, partition)); "
    " CREATE TABLE " REBUILD_SCHEMA ".copy (occurred_at timestamptz NOT NULL, event_hash uuid NOT NULL,"
    "  PRIMARY KEY (occurred_at, event_hash)); "
    " CREATE TABLE " REBUILD_SCHEMA ".former_key (LIKE polku.former_key INCLUDING DEFAULTS); "
    " CREATE TABLE " REBUILD_SCHEMA ".quarantine (LIKE polku.quarantine INCLUDING ALL); "
    " CREATE TABLE " REBUILD_SCHEMA ".quarantine_size (LIKE polku.quarantine_size INCLUDING ALL); "
    " CREATE TABLE " REBUILD_SCHEMA ".quarantine_excess (LIKE polku.quarantine_excess INCLUDING ALL); "
    "END $notes$";

enum pk_status store_rebuild_make_notes(struct store *old, struct pk_err *err)
{
    return store_rebuild_run(old, "make the tables of notes", notes_sql, err);
}

enum pk_status store_rebuild_note_spans(struct store *shadow, const struct rebuild_spans *spans, struct pk_err *err)
{
    enum pk_status status = store_ensure_dictionary(shadow, err);
    if (status != PK_OK)
        return status;
    wire_reset(&shadow->params);
    struct wire_param *topic = wire_array(&shadow->params, WIRE_INT4), *partition = wire_array(&shadow->params, WIRE_INT4),
                      *first = wire_array(&shadow->params, WIRE_INT8), *next = wire_array(&shadow->params, WIRE_INT8),
                      *at = wire_array(&shadow->params, WIRE_TIMESTAMPTZ), *received = wire_array(&shadow->params, WIRE_TIMESTAMPTZ);
    for (size_t i = 0; i < spans->count; i++) {
        wire_add_int4(topic, store_id(shadow, spans->span[i].topic));
        wire_add_int4(partition, spans->span[i].partition);
        wire_add_int8(first, spans->span[i].first);
        wire_add_int8(next, spans->span[i].next);
        wire_add_time(at, spans->span[i].newest_at_us);
        wire_add_time(received, spans->span[i].newest_received_at_us);
    }
    return store_rebuild_ask(shadow, "note what is read",
                             "INSERT INTO " REBUILD_SCHEMA ".kafka_span AS s (topic_id, partition, first_offset, next_offset, newest_at, newest_received_at)"
                             " SELECT unnest($1::int[]), unnest($2::int[]), unnest($3::bigint[]), unnest($4::bigint[]),"
                             " unnest($5::timestamptz[]), unnest($6::timestamptz[])"
                             " ON CONFLICT (topic_id, partition) DO UPDATE SET next_offset = excluded.next_offset,"
                             " newest_at = excluded.newest_at, newest_received_at = excluded.newest_received_at",
                             NULL, err);
}

enum pk_status store_rebuild_gone(struct store *old, struct rebuild_gone *ret, struct pk_err *err)
{
    PGresult *result;
    wire_reset(&old->params);
    enum pk_status status = store_rebuild_ask(
        old, "look for events that Kafka does not hold any more",
        "SELECT coalesce(d.text, '?'), g.partition, g.first_offset, g.events, sum(g.events) OVER ()::bigint"
        " FROM (SELECT i.kafka_topic_id, i.kafka_partition AS partition, coalesce(s.first_offset, -1) AS first_offset, count(*) AS events"
        " FROM polku.interaction i LEFT JOIN " REBUILD_SCHEMA ".kafka_span s ON s.topic_id = i.kafka_topic_id AND s.partition = i.kafka_partition"
        " WHERE (s.topic_id IS NULL OR i.kafka_offset < s.first_offset) AND NOT " REBUILD_RETAINED " GROUP BY 1, 2, 3) g"
        " LEFT JOIN polku.dictionary d ON d.id = g.kafka_topic_id ORDER BY 1, 2 LIMIT 1",
        &result, err);
    if (status != PK_OK)
        return status;
    *ret = (struct rebuild_gone){0};
    if (PQntuples(result) > 0) {
        snprintf(ret->topic, sizeof ret->topic, "%.*s", PK_STR_ARG(wire_get_text(result, 0, 0)));
        ret->partition = wire_get_int4(result, 0, 1);
        ret->first = wire_get_int8(result, 0, 2);
        ret->here = wire_get_int8(result, 0, 3);
        ret->events = wire_get_int8(result, 0, 4);
    }
    PQclear(result);
    wire_reset(&old->params);
    status = store_rebuild_ask(old, "count events before the latest retention",
                               "SELECT count(*) FROM polku.interaction i WHERE " REBUILD_RETAINED, &result, err);
    if (status != PK_OK)
        return status;
    ret->retained = wire_get_int8(result, 0, 0);
    PQclear(result);
    return PK_OK;
}

/* ---- another key, other hashing ---- */

static enum pk_status newest_forgetting(struct store *old, int64_t *ret_newest, struct pk_err *err)
{
    PGresult *result;
    wire_reset(&old->params);
    enum pk_status status = store_rebuild_ask(old, "look for forgettings",
                                              "SELECT coalesce(max(forgetting_id), 0) FROM polku.forgetting", &result, err);
    if (status != PK_OK)
        return status;
    *ret_newest = wire_get_int8(result, 0, 0);
    PQclear(result);
    return PK_OK;
}

enum pk_status store_rebuild_forgotten(struct store *old, struct pk_arena *arena, int64_t *ret_newest,
                                       struct rebuild_forgotten **ret_row, size_t *ret_count, struct pk_err *err)
{
    PGresult *result;
    enum pk_status status = newest_forgetting(old, ret_newest, err);
    if (status != PK_OK || !ret_row)
        return status;
    wire_reset(&old->params);
    status = store_rebuild_ask(old, "read what is forgotten", "SELECT DISTINCT name, event_hash FROM polku.forgotten", &result, err);
    if (status != PK_OK)
        return status;
    *ret_count = (size_t)PQntuples(result);
    *ret_row = PK_NEW_ARRAY(arena, struct rebuild_forgotten, *ret_count + 1);
    for (size_t i = 0; i < *ret_count; i++)
        (*ret_row)[i] = (struct rebuild_forgotten){wire_get_hash(result, (int)i, 0), wire_get_hash(result, (int)i, 1)};
    PQclear(result);
    return PK_OK;
}

enum pk_status store_rebuild_forget_too(struct store *shadow, const struct rebuild_forgotten *from,
                                        const struct rebuild_forgotten *to, size_t count, struct pk_err *err)
{
    if (count == 0)
        return PK_OK;
    wire_reset(&shadow->params);
    struct wire_param *name = wire_array(&shadow->params, WIRE_UUID), *event = wire_array(&shadow->params, WIRE_UUID),
                      *new_name = wire_array(&shadow->params, WIRE_UUID), *new_event = wire_array(&shadow->params, WIRE_UUID);
    for (size_t i = 0; i < count; i++) {
        wire_add_uuid(name, from[i].name);
        wire_add_hash(event, from[i].event);
        wire_add_uuid(new_name, to[i].name);
        wire_add_hash(new_event, to[i].event);
    }
    return store_rebuild_ask(shadow, "keep forgotten what is forgotten",
                             "WITH k AS (SELECT unnest($1::uuid[]) AS name, unnest($2::uuid[]) AS event, unnest($3::uuid[]) AS new_name,"
                             " unnest($4::uuid[]) AS new_event), "
                             "f AS (INSERT INTO polku.forgotten (until, forgetting_id, name, event_hash, anonymise)"
                             " SELECT f.until, f.forgetting_id, k.new_name, k.new_event, f.anonymise FROM k"
                             " JOIN polku.forgotten f ON f.name = k.name AND f.event_hash IS NOT DISTINCT FROM k.event ON CONFLICT DO NOTHING)"
                             " INSERT INTO " REBUILD_SCHEMA ".identifier (hash, kind, namespace_id, cell_id, flags)" /* store_rebuild_bury */
                             " SELECT DISTINCT ON (k.new_name) k.new_name, i.kind, i.namespace_id, i.cell_id, 128 FROM k"
                             " JOIN " REBUILD_SCHEMA ".identifier i ON i.hash = k.name ON CONFLICT DO NOTHING",
                             NULL, err);
}

enum pk_status store_rebuild_note_copies(struct store *shadow, const int64_t *at_us, const struct pk_hash *hash, size_t count,
                                         int64_t *ret_noted, struct pk_err *err)
{
    PGresult *result;
    wire_reset(&shadow->params);
    struct wire_param *at = wire_array(&shadow->params, WIRE_TIMESTAMPTZ), *event = wire_array(&shadow->params, WIRE_UUID);
    for (size_t i = 0; i < count; i++) {
        wire_add_time(at, at_us[i]);
        wire_add_uuid(event, hash[i]);
    }
    enum pk_status status = store_rebuild_ask(
        shadow, "look for copies of older events",
        "WITH noted AS (INSERT INTO " REBUILD_SCHEMA ".copy (occurred_at, event_hash) SELECT DISTINCT i.occurred_at, i.event_hash"
        " FROM (SELECT unnest($1::timestamptz[]) AS occurred_at, unnest($2::uuid[]) AS event_hash) k"
        " CROSS JOIN LATERAL (SELECT * FROM polku.interaction i WHERE i.occurred_at = k.occurred_at AND i.event_hash = k.event_hash OFFSET 0) i"
        " WHERE " REBUILD_OLDER " AND NOT " REBUILD_RETAINED " ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*) FROM noted",
        &result, err);
    if (status != PK_OK)
        return status;
    *ret_noted = wire_get_int8(result, 0, 0);
    PQclear(result);
    return PK_OK;
}

enum pk_status store_rebuild_note_former(struct store *shadow, struct pk_err *err)
{
    return store_rebuild_run(
        shadow, "note what stays as it is hashed",
        "INSERT INTO " REBUILD_SCHEMA ".former_key (topic_id, partition, before_offset, key_check, hashing_hash, events, identifiers, newest_at)"
        " SELECT i.kafka_topic_id, i.kafka_partition, coalesce(min(s.first_offset), max(i.kafka_offset) + 1), min(r.key_check::text)::uuid,"
        " min(r.hashing_hash::text)::uuid, count(*),"
        " (SELECT count(DISTINCT n.hash) FROM polku.interaction e CROSS JOIN LATERAL unnest(e.identifiers) n (hash)"
        "  WHERE e.kafka_topic_id = i.kafka_topic_id AND e.kafka_partition = i.kafka_partition"
        "  AND e.kafka_offset < coalesce(min(s.first_offset), max(i.kafka_offset) + 1)"
        "  AND n.hash <> '00000000-0000-0000-0000-000000000000'), max(i.occurred_at)"
        " FROM polku.interaction i CROSS JOIN polku.rules_state r"
        " LEFT JOIN " REBUILD_SCHEMA ".kafka_span s ON s.topic_id = i.kafka_topic_id AND s.partition = i.kafka_partition"
        " WHERE " REBUILD_OLDER_ALONE " AND i.kafka_offset >= coalesce((SELECT max(f.before_offset) FROM polku.former_key f"
        " WHERE f.topic_id = i.kafka_topic_id AND f.partition = i.kafka_partition), 0)"
        " GROUP BY i.kafka_topic_id, i.kafka_partition",
        err);
}

/* ---- within the transaction of the swap ---- */

/* What is only counted stays so: a flood is not let in here. */
static const char quarantine_sql[] =
    "DO $quarantine$ "
    "BEGIN "
    " DELETE FROM polku.quarantine q USING " REBUILD_SCHEMA ".kafka_span s WHERE q.topic_id = s.topic_id AND q.partition = s.partition"
    "  AND q.kafka_offset >= s.first_offset AND q.kafka_offset < s.next_offset AND q.requeued_at IS NULL"
    "  AND NOT EXISTS (SELECT FROM " REBUILD_SCHEMA ".quarantine n WHERE n.topic_id = q.topic_id AND n.partition = q.partition"
    "   AND n.kafka_offset = q.kafka_offset AND n.reason = q.reason); "
    " WITH record AS (INSERT INTO polku.quarantine (topic_id, partition, kafka_offset, reason, detail, received_at, source_id, value_bytes, bytes, whole)"
    "  SELECT n.topic_id, n.partition, n.kafka_offset, n.reason, n.detail, n.received_at, n.source_id, n.value_bytes, n.bytes, false"
    "  FROM " REBUILD_SCHEMA ".quarantine n WHERE NOT EXISTS (SELECT FROM polku.quarantine_excess x WHERE x.topic_id = n.topic_id"
    "   AND x.partition = n.partition AND x.reason = n.reason AND n.kafka_offset BETWEEN x.first_offset AND x.last_offset)"
    "  ON CONFLICT DO NOTHING RETURNING bytes)"
    " INSERT INTO polku.quarantine_size AS z (records, bytes, slot) SELECT count(*), coalesce(sum(r.bytes), 0), 0 FROM record r"
    "  ON CONFLICT (slot) DO UPDATE SET records = z.records + excluded.records, bytes = z.bytes + excluded.bytes; "
    "END $quarantine$";

enum pk_status store_rebuild_swap_quarantine(struct store *shadow, struct pk_err *err)
{
    return store_rebuild_run(shadow, "merge the quarantine", quarantine_sql, err);
}

enum pk_status store_rebuild_swap_times(struct store *shadow, struct pk_err *err)
{
    return store_rebuild_run(shadow, "keep the newest times",
                             "UPDATE polku.stream_position p SET newest_occurred_at = greatest(p.newest_occurred_at, s.newest_at),"
                             " newest_received_at = greatest(p.newest_received_at, s.newest_received_at)"
                             " FROM " REBUILD_SCHEMA ".kafka_span s WHERE s.topic_id = p.topic_id AND s.partition = p.partition", err);
}

/* Decisions under the former key end, unless the shadow has them too; those that it has under the new one begin. */
static const char decisions_sql[] =
    "DO $decisions$ "
    "BEGIN "
    " UPDATE polku.decision d SET restored_at = clock_timestamp(), restored_by = 'rebuild', restored_note = 'the hash key or the hashing changed'"
    "  WHERE d.restored_at IS NULL AND NOT EXISTS (SELECT FROM " REBUILD_SCHEMA ".decision n WHERE n.restored_at IS NULL"
    "   AND n.kind = d.kind AND n.a = d.a AND n.b IS NOT DISTINCT FROM d.b); "
    " INSERT INTO polku.decision (kind, a, b, a_kind, b_kind, a_namespace_id, b_namespace_id, decided_by, note)"
    "  SELECT n.kind, n.a, n.b, n.a_kind, n.b_kind, n.a_namespace_id, n.b_namespace_id, n.decided_by, n.note"
    "  FROM " REBUILD_SCHEMA ".decision n WHERE n.restored_at IS NULL AND NOT EXISTS (SELECT FROM polku.decision d"
    "   WHERE d.restored_at IS NULL AND n.kind = d.kind AND n.a = d.a AND n.b IS NOT DISTINCT FROM d.b) ORDER BY n.decision_id; "
    "END $decisions$";

enum pk_status store_rebuild_swap_key(struct store *shadow, const struct rebuild_change *change, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    if (!change->keep_older)
        status = store_rebuild_run(shadow, "forget former keys", "DELETE FROM polku.former_key", err);
    if (status != PK_OK || !change->rehashed)
        return status;
    status = store_rebuild_run(shadow, "note the former key",
                               "INSERT INTO polku.former_key SELECT * FROM " REBUILD_SCHEMA ".former_key ON CONFLICT DO NOTHING", err);
    if (status == PK_OK)
        status = store_rebuild_run(shadow, "carry decisions over", decisions_sql, err);
    wire_reset(&shadow->params);
    wire_uuid(&shadow->params, change->key_check);
    return status == PK_OK ? store_rebuild_ask(shadow, "store the new key's check", "UPDATE polku.rules_state SET key_check = $1", NULL, err)
                           : status;
}
