/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler_tables.h"
#include "metric.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static PGresult *must(PGconn *sql, PGresult *result, const char *text)
{
    ExecStatusType state = PQresultStatus(result);
    if (state == PGRES_TUPLES_OK || state == PGRES_COMMAND_OK)
        return result;
    fprintf(stderr, "%s: %s\n", text, PQerrorMessage(sql));
    exit(1);
}

PGresult *tables_query(PGconn *sql, const char *format, ...)
{
    char text[8192];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return must(sql, PQexec(sql, text), text);
}

int64_t tables_number(PGconn *sql, const char *format, ...)
{
    char text[8192];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    PGresult *result = must(sql, PQexec(sql, text), text);
    int64_t number = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return number;
}

struct pk_hash tables_hash(const char *uuid)
{
    struct pk_hash hash = {{0}};
    unsigned digits = 0;
    for (; *uuid && digits < 32; uuid++) {
        if (*uuid == '-')
            continue;
        unsigned value = (unsigned)(*uuid <= '9' ? *uuid - '0' : *uuid - 'a' + 10);
        hash.byte[digits / 2] = (uint8_t)(hash.byte[digits / 2] << 4 | value);
        digits++;
    }
    return hash;
}

/* ---- what is read: text results, times in microseconds, words for ids ---- */

#define US(column) "(CASE WHEN isfinite(" column ") THEN extract(epoch FROM " column ") * 1000000 END)::bigint"
#define WORD(column) "(SELECT d.text FROM polku.dictionary d WHERE d.id = " column ")"
#define WORDS(column)                                                                                                \
    "(SELECT string_agg(" WORD("u.id") ", ',' ORDER BY u.place) FROM unnest(" column                                 \
    ") WITH ORDINALITY AS u (id, place))"

enum { CUSTOMERS, NOBODYS, KEYS, SIGHTINGS, MEETINGS, CUSTOMER_ROWS, DECISIONS, QUARANTINE };
static const char *const reads[] = {
    [CUSTOMERS] = "SELECT customer_id FROM polku.interaction WHERE customer_id IS NOT NULL UNION"
                  " SELECT customer_id FROM polku.journey UNION SELECT customer_id FROM polku.obligation",
    [NOBODYS] = "SELECT " US("occurred_at") ", event_hash FROM polku.interaction WHERE customer_id IS NULL",
    [KEYS] = "SELECT i.hash, i.kind, " WORD("i.namespace_id") ", i.flags, " US("i.first_at") ", i.customer_id, i.cell_id,"
             " g.version, i.owner_id FROM polku.identifier i LEFT JOIN polku.guard_cell g USING (cell_id)",
    [SIGHTINGS] = "SELECT key, customer_id FROM polku.sighting",
    [MEETINGS] = "SELECT identifier, meeting_id, " US("first_at") ", first_sequence, " WORD("first_source_id")
                 ", first_event_id, array_to_string(members, ','), " WORDS("member_namespaces")
                 " FROM polku.identity_meeting",
    [CUSTOMER_ROWS] = "SELECT customer_id, kind, " WORD("namespace_id") ", purchases, " US("first_purchase_at") ", "
                      US("last_purchase_at") " FROM polku.customer",
    [DECISIONS] = "SELECT kind, a, b, a_kind, b_kind, " WORD("a_namespace_id") ", " WORD("b_namespace_id")
                  " FROM polku.decision WHERE restored_at IS NULL ORDER BY decision_id",
    [QUARANTINE] = "SELECT partition, kafka_offset FROM polku.quarantine",
};

struct reader { /* of one result */
    PGresult *result;
    int row;
    struct symbols *symbols;
};

static struct reader read_prepared(PGconn *sql, const char *name, struct symbols *symbols)
{
    return (struct reader){must(sql, PQexecPrepared(sql, name, 0, NULL, NULL, NULL, 0), name), -1, symbols};
}

static struct reader read_rows(PGconn *sql, int which, struct symbols *symbols)
{
    char name[16];
    snprintf(name, sizeof name, "r%d", which);
    return read_prepared(sql, name, symbols);
}

static bool next_row(struct reader *r)
{
    if (++r->row < PQntuples(r->result))
        return true;
    PQclear(r->result);
    return false;
}

static struct pk_hash get_hash(const struct reader *r, int column)
{
    return tables_hash(PQgetvalue(r->result, r->row, column));
}

static int64_t get_number(const struct reader *r, int column)
{
    return strtoll(PQgetvalue(r->result, r->row, column), NULL, 10);
}

static int64_t get_time(const struct reader *r, int column)
{
    return PQgetisnull(r->result, r->row, column) ? PK_NO_TIME : get_number(r, column);
}

static sym_t get_word(const struct reader *r, int column)
{
    return PQgetisnull(r->result, r->row, column) ? 0 : symbol_of(r->symbols, pk_str(PQgetvalue(r->result, r->row, column)));
}

static struct pk_str get_text(const struct reader *r, int column, struct pk_arena *arena)
{
    return pk_arena_str(arena, pk_str(PQgetvalue(r->result, r->row, column)));
}

/* ---- identity ---- */

static enum pk_status load_keys(PGconn *sql, struct symbols *symbols, struct memory_store *to, struct pk_err *err)
{
    for (struct reader r = read_rows(sql, KEYS, symbols); next_row(&r);) {
        struct memory_key *key = PK_NEW(&to->arena, struct memory_key);
        *key = (struct memory_key){
            .hash = get_hash(&r, 0),
            .kind = (enum key_kind)get_number(&r, 1),
            .name_space = get_word(&r, 2),
            .flags = (uint32_t)get_number(&r, 3),
            .first_at_us = get_time(&r, 4),
            .customer = get_hash(&r, 5),
            .owner = get_hash(&r, 8),
        };
        key->cell = PK_NEW(&to->arena, struct memory_cell);
        *key->cell = (struct memory_cell){get_number(&r, 6), (uint64_t)get_number(&r, 7)};
        bool lost = PQgetisnull(r.result, r.row, 7);
        pk_map_put(&to->keys, key->hash, key);
        if (lost) {
            PQclear(r.result);
            return pk_fail(err, PK_REJECT, "an identifier has no guard cell");
        }
    }
    for (struct reader r = read_rows(sql, SIGHTINGS, symbols); next_row(&r);) {
        struct memory_key *key = pk_map_get(&to->keys, get_hash(&r, 0));
        if (!key) {
            PQclear(r.result);
            return pk_fail(err, PK_REJECT, "a sighting has no identifier");
        }
        struct pk_hash *also = PK_NEW_ARRAY(&to->arena, struct pk_hash, key->also_count + 1);
        if (key->also_count)
            memcpy(also, key->also, key->also_count * sizeof *also);
        also[key->also_count++] = get_hash(&r, 1);
        key->also = also;
    }
    return PK_OK;
}

static struct store_meeting *read_meeting(const struct reader *r, struct pk_arena *arena)
{
    struct store_meeting *meeting = PK_NEW(arena, struct store_meeting);
    *meeting = (struct store_meeting){
        .id = get_hash(r, 1),
        .first_at_us = get_time(r, 2),
        .first_sequence = get_number(r, 3),
        .first_source = get_word(r, 4),
        .first_event_id = get_text(r, 5, arena),
    };
    meeting->person = PK_NEW_ARRAY(arena, struct pk_hash, 64);
    meeting->name_space = PK_NEW_ARRAY(arena, sym_t, 64);
    const char *person = PQgetvalue(r->result, r->row, 6), *space = PQgetvalue(r->result, r->row, 7);
    while (*person && meeting->count < 64) {
        size_t len = strcspn(space, ",");
        meeting->person[meeting->count] = tables_hash(person);
        meeting->name_space[meeting->count++] = symbol_of(r->symbols, (struct pk_str){space, len});
        person += strcspn(person, ",");
        person += *person == ',';
        space += len + (space[len] == ',');
    }
    return meeting;
}

static enum pk_status load_meetings(PGconn *sql, struct symbols *symbols, struct memory_store *to, struct pk_err *err)
{
    for (struct reader r = read_rows(sql, MEETINGS, symbols); next_row(&r);) {
        struct memory_key *key = pk_map_get(&to->keys, get_hash(&r, 0));
        if (!key) {
            PQclear(r.result);
            return pk_fail(err, PK_REJECT, "a meeting has no identifier");
        }
        struct store_meeting **list = PK_NEW_ARRAY(&to->arena, struct store_meeting *, key->meeting_count + 1);
        if (key->meeting_count)
            memcpy(list, key->meeting, key->meeting_count * sizeof *list);
        list[key->meeting_count++] = read_meeting(&r, &to->arena);
        key->meeting = list;
    }
    return PK_OK;
}

static void load_decisions(PGconn *sql, struct symbols *symbols, struct memory_store *to)
{
    for (struct reader r = read_rows(sql, DECISIONS, symbols); next_row(&r);)
        *pk_vec_push(&to->decisions) = (struct memory_decision){
            .row = {.kind = (enum decision_kind)get_number(&r, 0),
                    .a = get_hash(&r, 1),
                    .b = get_hash(&r, 2),
                    .kind_a = (enum key_kind)get_number(&r, 3),
                    .kind_b = (enum key_kind)get_number(&r, 4),
                    .name_space_a = get_word(&r, 5),
                    .name_space_b = get_word(&r, 6)},
            .in_force = true,
        };
}

/* ---- aggregates, customers, quarantine ---- */

/* Slot, time, dimensions, counts. */
static void aggregate_sql(const struct aggregate_table *table, struct pk_buf *sql)
{
    pk_buf_printf(sql, "SELECT slot, (CASE WHEN isfinite(%1$s) THEN extract(epoch FROM %1$s) * 1000000 END)::bigint", table->time);
    for (uint32_t i = 0; i < table->dims; i++)
        pk_buf_printf(sql, table->symbols >> i & 1 ? ", (SELECT d.text FROM polku.dictionary d WHERE d.id = %s)" : ", %s",
                      table->dim[i]);
    for (uint32_t i = 0; i < table->counts; i++)
        pk_buf_printf(sql, ", %s", table->count[i]);
    pk_buf_printf(sql, " FROM polku.%s", table->name);
}

static void load_sums(PGconn *sql, struct symbols *symbols, struct memory_store *to)
{
    for (int t = 0; t < AGGREGATE_COUNT; t++) {
        const struct aggregate_table *table = &aggregate_tables[t];
        for (struct reader r = read_prepared(sql, table->name, symbols); next_row(&r);) {
            int64_t count[AGGREGATE_COUNTS] = {0};
            struct change_aggregate row = {.table = (enum aggregate)t, .at_us = get_time(&r, 1), .count = count};
            for (int i = 0; i < (int)table->dims; i++)
                row.dim[i] = table->symbols >> i & 1 ? (int32_t)get_word(&r, 2 + i) : (int32_t)get_number(&r, 2 + i);
            for (int i = 0; i < (int)table->counts; i++)
                count[i] = get_number(&r, 2 + (int)table->dims + i);
            memory_add_bucket(to, (int32_t)get_number(&r, 0), &row);
        }
    }
}

static void load_customer_rows(PGconn *sql, struct symbols *symbols, struct memory_store *to)
{
    for (struct reader r = read_rows(sql, CUSTOMER_ROWS, symbols); next_row(&r);) {
        struct change_customer *customer = PK_NEW(&to->arena, struct change_customer);
        *customer = (struct change_customer){get_hash(&r, 0), (enum key_kind)get_number(&r, 1), get_word(&r, 2),
                                             (uint32_t)get_number(&r, 3), get_time(&r, 4), get_time(&r, 5)};
        pk_map_put(&to->customers, customer->id, customer);
    }
    for (struct reader r = read_rows(sql, QUARANTINE, symbols); next_row(&r);)
        *pk_vec_push(&to->quarantine) =
            (struct change_quarantine){.partition = (int32_t)get_number(&r, 0), .offset = get_number(&r, 1)};
}

/* ---- events, journeys, obligations ---- */

static void put_facts(struct memory_store *to, const struct store_facts *facts)
{
    for (size_t i = 0; i < facts->count; i++) {
        struct pk_hash key = facts->fact[i].event_hash; /* as in memory_store.c: found with memory_find_fact */
        pk_put_be64(key.byte, pk_get_be64(key.byte) ^ (uint64_t)facts->fact[i].at_us);
        pk_map_put(&to->facts, key, &facts->fact[i]);
    }
}

/* With its courses in a map of their own. */
static void put_journey(struct memory_store *to, struct journey *journey)
{
    for (uint32_t i = 0; i < journey->strand.courses.count; i++) {
        struct memory_course *row = PK_NEW(&to->arena, struct memory_course);
        *row = (struct memory_course){journey->id, journey->customer, journey->strand.courses.course[i]};
        row->course.last_step_at_us = PK_NO_TIME;
        struct pk_hash key = journey->id; /* as in memory_store.c */
        pk_put_be64(key.byte, pk_get_be64(key.byte) ^ ((uint64_t)row->course.definition + 1) << 56);
        pk_map_put(&to->courses, key, row);
    }
    strand_init(&journey->strand);
    pk_map_put(&to->journeys, journey->id, journey);
}

static enum pk_status load_rows(PGconn *sql, struct store *store, struct memory_store *to, struct pk_err *err)
{
    PK_VEC(struct pk_hash) customer = {0};
    PK_VEC(struct fact *) nobody = {0};
    for (struct reader r = read_rows(sql, CUSTOMERS, NULL); next_row(&r);)
        *pk_vec_push(&customer) = get_hash(&r, 0);
    for (struct reader r = read_rows(sql, NOBODYS, NULL); next_row(&r);) {
        struct fact *fact = PK_NEW(&to->arena, struct fact);
        *fact = (struct fact){.at_us = get_time(&r, 0), .event_hash = get_hash(&r, 1)};
        *pk_vec_push(&nobody) = fact;
    }
    struct store_facts facts = {0}, others = {0};
    struct store_journeys journeys = {0};
    struct store_obligations obligations = {0};
    enum pk_status status = store_begin(store, STORE_SNAPSHOT, NULL, 0, NULL, 0, err);
    if (status == PK_OK)
        status = store_load_customers(store, customer.ptr, customer.len, &to->arena, &facts, &journeys, &obligations, NULL, err);
    if (status == PK_OK)
        status = store_find_events(store, nobody.ptr, nobody.len, &to->arena, &others, err);
    if (status == PK_OK)
        status = store_end_read(store, err);
    put_facts(to, &facts);
    put_facts(to, &others);
    for (size_t i = 0; i < journeys.count; i++)
        put_journey(to, &journeys.journey[i]);
    for (size_t i = 0; i < obligations.count; i++)
        pk_map_put(&to->obligations, obligations.obligation[i].id, &obligations.obligation[i]);
    pk_vec_done(&customer);
    pk_vec_done(&nobody);
    return status;
}

enum pk_status tables_load(PGconn *sql, struct store *store, struct symbols *symbols, struct memory_store *ret,
                           struct pk_err *err)
{
    memory_store_init(ret);
    enum pk_status status = load_rows(sql, store, ret, err);
    if (status == PK_OK)
        status = load_keys(sql, symbols, ret, err);
    if (status == PK_OK)
        status = load_meetings(sql, symbols, ret, err);
    if (status == PK_OK) {
        load_decisions(sql, symbols, ret);
        load_sums(sql, symbols, ret);
        load_customer_rows(sql, symbols, ret);
    }
    return status;
}

/* ---- copies ---- */

/* Whole rows as values of one column, in tables of a schema of their own. Sequences too: a failover takes them back. */
static const char copies[] =
    "CREATE SCHEMA sched;"
    "CREATE TABLE sched.names (t text);"
    "INSERT INTO sched.names VALUES ('dictionary'), ('interaction'), ('journey'), ('obligation'), ('customer'),"
    " ('guard_cell'), ('identifier'), ('sighting'), ('stream_position'), ('quarantine'), ('course'),"
    " ('identity_meeting'), ('decision')"
#define TABLE(name) ", ('" #name "')"
#include "aggregate.def"
    ";"
    "CREATE TABLE sched.sequences (copy integer, name text, value bigint, called boolean);"
    "DO $$ DECLARE n text; BEGIN FOR n IN SELECT t FROM sched.names LOOP"
    " EXECUTE format('CREATE UNLOGGED TABLE sched.%I (copy integer, r polku.%I)', n, n); END LOOP; END $$;"
    "CREATE FUNCTION sched.take(c integer) RETURNS void LANGUAGE plpgsql AS $$ DECLARE n text; BEGIN"
    " FOR n IN SELECT t FROM sched.names LOOP"
    "  EXECUTE format('DELETE FROM sched.%I WHERE copy = $1', n) USING c;"
    "  EXECUTE format('INSERT INTO sched.%1$I SELECT $1, x FROM polku.%1$I x', n) USING c; END LOOP;"
    " DELETE FROM sched.sequences WHERE copy = c;"
    " FOR n IN SELECT format('polku.%I', relname) FROM pg_class WHERE relkind = 'S' AND relnamespace = 'polku'::regnamespace"
    " LOOP EXECUTE format('INSERT INTO sched.sequences SELECT $1, $2, last_value, is_called FROM %s', n) USING c, n;"
    " END LOOP; END $$;"
    "CREATE FUNCTION sched.empty(words boolean) RETURNS void LANGUAGE plpgsql AS $$ DECLARE n text; BEGIN"
    " FOR n IN SELECT t FROM sched.names WHERE words OR t <> 'dictionary' LOOP"
    "  EXECUTE format('DELETE FROM polku.%I', n); END LOOP; END $$;"
    "CREATE FUNCTION sched.put_back(c integer) RETURNS void LANGUAGE plpgsql AS $$ DECLARE n text; BEGIN"
    " PERFORM sched.empty(true);"
    " FOR n IN SELECT t FROM sched.names LOOP EXECUTE format("
    "  'INSERT INTO polku.%1$I OVERRIDING SYSTEM VALUE SELECT (r).* FROM sched.%1$I WHERE copy = $1', n) USING c; END LOOP;"
    " PERFORM setval(s.name::regclass, s.value, s.called) FROM sched.sequences s WHERE s.copy = c; END $$;";

void tables_init(PGconn *sql)
{
    PQclear(tables_query(sql, "SET client_min_messages = warning; SET timezone = 'UTC'"));
    PQclear(must(sql, PQexec(sql, copies), "schema sched"));
    for (int i = 0; i < (int)PK_COUNT(reads); i++) {
        char name[16];
        snprintf(name, sizeof name, "r%d", i);
        PQclear(must(sql, PQprepare(sql, name, reads[i], 0, NULL), reads[i]));
    }
    for (int t = 0; t < AGGREGATE_COUNT; t++) {
        struct pk_buf text PK_AUTO(pk_buf_done) = {0};
        aggregate_sql(&aggregate_tables[t], &text);
        PQclear(must(sql, PQprepare(sql, aggregate_tables[t].name, text.ptr, 0, NULL), text.ptr));
    }
}

void tables_take(PGconn *sql, int copy)
{
    PQclear(tables_query(sql, "SELECT sched.take(%d)", copy));
}

void tables_put_back(PGconn *sql, int copy)
{
    PQclear(tables_query(sql, "SELECT sched.put_back(%d)", copy));
}

void tables_empty(PGconn *sql, bool words)
{
    PQclear(tables_query(sql, "SELECT sched.empty(%s)", words ? "true" : "false"));
}
