/* SPDX-License-Identifier: Apache-2.0 */
#include "store_conninfo.h"
#include "store_inner.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "time_text.h"

/* ---- statements ---- */

static const struct {
    const char *name, *what, *sql;
} statements[STATEMENT_COUNT] = {
#define X(id, what, sql) [STATEMENT_##id] = {#id, what, sql},
#include "store_statement.def"
};

static void add_fact_columns(struct pk_buf *sql)
{
#define X(kind, column, member) pk_buf_text(sql, "i." #column ", ");
#define P(kind, column, member) X(kind, column, member)
#define R(kind, column, member) pk_buf_text(sql, "i." #column ", "); /* not by X: NULL is a macro of C */
#define W(kind, column, member)
#include "store_interaction.def"
    pk_buf_text(sql, "i.journey_id, i.identifiers, i.identifier_namespaces");
}

static void add_journey_columns(struct pk_buf *sql)
{
    const char *comma = "";
#define X(kind, column, member) pk_buf_printf(sql, "%sj." #column, comma), comma = ", ";
#define L(column, member) X(LIST, column, member)
#include "store_journey.def"
}

static void add_obligation_columns(struct pk_buf *sql)
{
    const char *comma = "";
#define X(kind, column, member) pk_buf_printf(sql, "%so." #column, comma), comma = ", ";
#include "store_obligation.def"
}

/* Parameters in the order in which save_facts (store_save.c) fills them. No ON CONFLICT: a row that is there
 * already (23505) is the count that does not match, and the plain insert is faster. */
static void add_facts_sql(struct pk_buf *sql)
{
    int n = 0;
    pk_buf_text(sql, "INSERT INTO polku.interaction (");
#define X(kind, column, member) pk_buf_text(sql, #column ", ");
#define P(kind, column, member) X(kind, column, member)
#define W(kind, column, member) X(kind, column, member)
#include "store_interaction.def"
    pk_buf_text(sql, "journey_id, identifiers, identifier_namespaces) SELECT ");
#define X(kind, column, member) pk_buf_text(sql, "s." #column ", ");
#define P(kind, column, member)
#define W(kind, column, member)
#include "store_interaction.def"
    pk_buf_text(sql, "(s.promise).id, (s.promise).kind_id, (s.promise).due_from, (s.promise).due_to, "
                     "(s.promise).brand_id, (s.promise).unit_id, (s.promise).role_id, "
                     "(s.target).brand_id, (s.target).unit_id, (s.target).role_id, "
                     "(s.rating).scale_id, (s.rating).score, (s.rating).min, (s.rating).max, "
                     "(s.money).amount_minor, (s.money).currency_id, (s.money).kind_id, ");
#define X(kind, column, member)
#define P(kind, column, member)
#define W(kind, column, member) pk_buf_text(sql, "s." #column ", ");
#include "store_interaction.def"
    pk_buf_text(sql, "s.journey_id, "
                     "($1::uuid[])[s.first : s.last], ($2::int[])[s.first : s.last] FROM (SELECT ");
    n = 2;
#define X(kind, column, member) pk_buf_printf(sql, "unnest($%d::" SQL_##kind "[]) AS " #column ", ", ++n);
#define P(kind, column, member)
#define W(kind, column, member) X(kind, column, member)
#include "store_interaction.def"
    pk_buf_printf(sql,
                  "unnest($%d::uuid[]) AS journey_id, unnest($%d::int[]) AS first, unnest($%d::int[]) AS last, "
                  "unnest($%d::polku.promise[]) AS promise, unnest($%d::polku.target[]) AS target, "
                  "unnest($%d::polku.rating[]) AS rating, unnest($%d::polku.money[]) AS money) s",
                  n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7);
}

static void add_journeys_sql(struct pk_buf *sql)
{
    const char *comma = "";
    int n = 1;
    pk_buf_text(sql, "INSERT INTO polku.journey (");
#define X(kind, column, member) pk_buf_printf(sql, "%s" #column, comma), comma = ", ";
#define L(column, member) X(LIST, column, member)
#include "store_journey.def"
    pk_buf_text(sql, ") SELECT ");
#define X(kind, column, member) pk_buf_text(sql, "s." #column ", ");
#define L(column, member)
#include "store_journey.def"
    pk_buf_text(sql, "($1::int[])[s.a + 1 : s.b], ($1::int[])[s.b + 1 : s.c], ($1::int[])[s.c + 1 : s.d] FROM (SELECT ");
#define X(kind, column, member) pk_buf_printf(sql, "unnest($%d::" SQL_##kind "[]) AS " #column ", ", ++n);
#define L(column, member)
#include "store_journey.def"
    pk_buf_printf(sql,
                  "unnest($%d::int[]) AS a, unnest($%d::int[]) AS b, unnest($%d::int[]) AS c, "
                  "unnest($%d::int[]) AS d) s",
                  n + 1, n + 2, n + 3, n + 4);
}

static void put_journeys_sql(struct pk_buf *sql)
{
    const char *comma = "";
    add_journeys_sql(sql);
    pk_buf_text(sql, " ON CONFLICT (journey_id) DO UPDATE SET ");
#define K(kind, column, member)
#define X(kind, column, member) pk_buf_printf(sql, "%s" #column " = excluded." #column, comma), comma = ", ";
#define L(column, member) X(LIST, column, member)
#include "store_journey.def"
}

static void add_obligations_sql(struct pk_buf *sql)
{
    const char *comma = "";
    int n = 0;
    pk_buf_text(sql, "INSERT INTO polku.obligation (");
#define X(kind, column, member) pk_buf_printf(sql, "%s" #column, comma), comma = ", ";
#include "store_obligation.def"
    pk_buf_text(sql, ") SELECT ");
    comma = "";
#define X(kind, column, member) pk_buf_printf(sql, "%sunnest($%d::" SQL_##kind "[])", comma, ++n), comma = ", ";
#include "store_obligation.def"
}

static void put_obligations_sql(struct pk_buf *sql)
{
    const char *comma = "";
    add_obligations_sql(sql);
    pk_buf_text(sql, " ON CONFLICT (obligation_id) DO UPDATE SET ");
#define K(kind, column, member)
#define X(kind, column, member) pk_buf_printf(sql, "%s" #column " = excluded." #column, comma), comma = ", ";
#include "store_obligation.def"
}

/* $1 and $2: the lists of all courses, cut at first and last. */
static void add_courses_sql(struct pk_buf *sql)
{
    int n = 2;
    pk_buf_text(sql, "INSERT INTO polku.course (");
#define X(kind, column, value) pk_buf_text(sql, #column ", ");
#include "store_course.def"
    pk_buf_text(sql, "reached_at, failures) SELECT ");
#define X(kind, column, value) pk_buf_text(sql, "s." #column ", ");
#include "store_course.def"
    pk_buf_text(sql, "($1::timestamptz[])[s.first : s.last], ($2::int[])[s.first : s.last] FROM (SELECT ");
#define X(kind, column, value) pk_buf_printf(sql, "unnest($%d::" SQL_##kind "[]) AS " #column ", ", ++n);
#include "store_course.def"
    pk_buf_printf(sql, "unnest($%d::int[]) AS first, unnest($%d::int[]) AS last) s", n + 1, n + 2);
}

static void put_courses_sql(struct pk_buf *sql)
{
    add_courses_sql(sql);
    pk_buf_text(sql, " ON CONFLICT (journey_id, definition_id) DO UPDATE SET ");
#define K(kind, column, value)
#define X(kind, column, value) pk_buf_text(sql, #column " = excluded." #column ", ");
#include "store_course.def"
    pk_buf_text(sql, "reached_at = excluded.reached_at, failures = excluded.failures");
}

static void add_key_columns(struct pk_buf *sql, const struct aggregate_table *table)
{
    pk_buf_text(sql, table->time);
    for (uint32_t i = 0; i < table->dims; i++)
        pk_buf_printf(sql, ", %s", table->dim[i]);
    pk_buf_text(sql, ", slot");
}

static void add_counts(struct pk_buf *sql, const struct aggregate_table *table)
{
    for (uint32_t i = 0; i < table->counts; i++)
        pk_buf_printf(sql, ", %s", table->count[i]);
}

static void add_conflict(struct pk_buf *sql, const struct aggregate_table *table)
{
    for (uint32_t i = 0; i < table->counts; i++)
        pk_buf_printf(sql, "%s%s = t.%s + excluded.%s", i ? ", " : "", table->count[i], table->count[i], table->count[i]);
}

static const struct rollup {
    const char *name, *of, *time, *unit, *dims;
} rollups[] = {
#define ROLLUP(name, of, time, unit, dims) {#name, #of, #time, unit, dims},
#include "store_rollup.def"
};

static void add_rollup_sql(struct pk_buf *sql, const struct aggregate_table *table, const struct rollup *rollup, int slot)
{
    pk_buf_printf(sql, ", %s AS (INSERT INTO polku.%s AS t (%s, %s, slot", rollup->name, rollup->name, rollup->time, rollup->dims);
    add_counts(sql, table);
    pk_buf_printf(sql, ") SELECT date_trunc('%s', b.%s, 'UTC'), %s, $%d::int", rollup->unit, table->time, rollup->dims, slot);
    for (uint32_t i = 0; i < table->counts; i++)
        pk_buf_printf(sql, ", sum(%s)", table->count[i]);
    pk_buf_printf(sql, " FROM bucket b GROUP BY 1, %s ON CONFLICT (%s, %s, slot) DO UPDATE SET ", rollup->dims, rollup->time,
                  rollup->dims);
    add_conflict(sql, table);
    pk_buf_text(sql, ")");
}

/* Parameters in the order of the columns, which is that of the primary key and then of aggregate.def. */
static void add_aggregate_sql(struct pk_buf *sql, const struct aggregate_table *table)
{
    int n = 1, slot = (int)table->dims + 2;
    pk_buf_printf(sql, "WITH bucket AS (SELECT unnest($1::timestamptz[]) AS %s", table->time);
    for (uint32_t i = 0; i < table->dims; i++)
        pk_buf_printf(sql, ", unnest($%d::int[]) AS %s", ++n, table->dim[i]);
    n++;
    for (uint32_t i = 0; i < table->counts; i++)
        pk_buf_printf(sql, ", unnest($%d::bigint[]) AS %s", ++n, table->count[i]);
    pk_buf_text(sql, ")");
    for (size_t i = 0; i < PK_COUNT(rollups); i++)
        if (strcmp(rollups[i].of, table->name) == 0)
            add_rollup_sql(sql, table, &rollups[i], slot);
    pk_buf_printf(sql, " INSERT INTO polku.%s AS t (", table->name);
    add_key_columns(sql, table);
    add_counts(sql, table);
    pk_buf_printf(sql, ") SELECT %s", table->time);
    for (uint32_t i = 0; i < table->dims; i++)
        pk_buf_printf(sql, ", %s", table->dim[i]);
    pk_buf_printf(sql, ", $%d::int", slot);
    add_counts(sql, table);
    pk_buf_text(sql, " FROM bucket ON CONFLICT (");
    add_key_columns(sql, table);
    pk_buf_text(sql, ") DO UPDATE SET ");
    add_conflict(sql, table);
}

static const struct {
    const char *name;
    void (*add)(struct pk_buf *sql);
} pieces[] = {
    {"facts", add_fact_columns},
    {"journeys", add_journey_columns},
    {"obligations", add_obligation_columns},
    {"add facts", add_facts_sql},
    {"add journeys", add_journeys_sql},
    {"put journeys", put_journeys_sql},
    {"add obligations", add_obligations_sql},
    {"put obligations", put_obligations_sql},
    {"add courses", add_courses_sql},
    {"put courses", put_courses_sql},
};

static void add_piece(struct pk_buf *sql, struct pk_str name)
{
    for (size_t i = 0; i < PK_COUNT(pieces); i++)
        if (pk_str_eq(pk_str(pieces[i].name), name))
            pieces[i].add(sql);
    const struct pk_str add_to = PK_STR("add to ");
    if (name.len <= add_to.len || memcmp(name.ptr, add_to.ptr, add_to.len) != 0)
        return;
    name = (struct pk_str){name.ptr + add_to.len, name.len - add_to.len};
    for (size_t i = 0; i < AGGREGATE_COUNT; i++)
        if (pk_str_eq(pk_str(aggregate_tables[i].name), name))
            add_aggregate_sql(sql, &aggregate_tables[i]);
}

/* What is in schema polku, whatever schema a store writes to: arrival, dictionary, numbers of cells. */
static const char *const shared_names[] = {
    "claim", "dictionary", "drop_months", "fence", "forgetting", "forgotten", "guard_cell_id", "intern", "quarantine", "quarantine_excess",
    "quarantine_size", "retain", "retention", "stream_position",
};

static const char *schema_of(const struct store *store)
{
    return store->config.schema ? store->config.schema : "polku";
}

static bool is_shared(const struct store *store, const char *name)
{
    if (store->config.own_quarantine && strncmp(name, "quarantine", strlen("quarantine")) == 0)
        return false;
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz_");
    for (size_t i = 0; i < PK_COUNT(shared_names); i++)
        if (strlen(shared_names[i]) == len && !memcmp(shared_names[i], name, len))
            return true;
    return false;
}

/* `polku.` becomes the store's schema. */
static void put_schema(const struct store *store, struct pk_buf *sql, struct pk_buf *ret)
{
    pk_buf_reset(ret);
    const char *rest = sql->ptr, *at;
    while ((at = strstr(rest, "polku."))) {
        const char *name = at + strlen("polku.");
        pk_buf_add(ret, rest, (size_t)(at - rest));
        pk_buf_printf(ret, "%s.", is_shared(store, name) ? "polku" : schema_of(store));
        rest = name;
    }
    pk_buf_text(ret, rest);
}

/* The statement's text with its @pieces@ filled in. */
static void statement_sql(const struct store *store, enum statement statement, struct pk_buf *ret)
{
    struct pk_buf text PK_AUTO(pk_buf_done) = {0}, *sql = &text;
    const char *rest = statements[statement].sql, *at;
    while ((at = strchr(rest, '@'))) {
        pk_buf_add(sql, rest, (size_t)(at - rest));
        const char *end = strchr(at + 1, '@');
        add_piece(sql, (struct pk_str){at + 1, (size_t)(end - at - 1)});
        rest = end + 1;
    }
    pk_buf_text(sql, rest);
    put_schema(store, sql, ret);
}

/* ---- errors ---- */

static bool sqlstate_is(const char *state, const char *const list[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strncmp(state, list[i], strlen(list[i])))
            return true;
    return false;
}

static enum pk_status store_status(const char *state)
{
    static const char *const stale[] = {"PK002", "PK003", "PK004", "23505", "40001", "40P01", "55P03"};
    static const char *const lost[] = {"08", "57P", "25P03"};
    static const char *const retry[] = {"53", "57014", "25006", "23514"}; /* 23514: a month was dropped under us */
    if (!strcmp(state, "PK001"))
        return PK_FENCED;
    if (sqlstate_is(state, stale, PK_COUNT(stale)))
        return PK_STALE;
    if (sqlstate_is(state, lost, PK_COUNT(lost)))
        return PK_LOST;
    return sqlstate_is(state, retry, PK_COUNT(retry)) ? PK_RETRY : PK_STOP;
}

static const char *store_advice(const char *state)
{
    static const char *const schema[] = {"42P01", "42703", "42883", "42704", "3F000"};
    if (sqlstate_is(state, schema, PK_COUNT(schema)))
        return "; the schema does not fit this program: run polku-consumer migrate";
    if (!strcmp(state, "42501"))
        return "; grant the role polku_writer to the consumer's user";
    return "; this is a defect, or somebody changed the tables";
}

/* libpq would write notices (of a server that is stopped) to standard error, between the lines of the log. What matters comes as an
 * error too. */
static void leave_notice(void *context, const char *text)
{
    (void)context;
    (void)text;
}

static const char *broken_text(struct store *store)
{
    store_connection_says(store->conn, store->broken_text, sizeof store->broken_text);
    return store->broken_text;
}

static enum pk_status fail_of(struct store *store, enum statement statement, const PGresult *result, struct pk_err *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    static const char *const too_much[] = {"57014", "53200", "25P03"};
    store->wants_less = state && sqlstate_is(state, too_much, PK_COUNT(too_much));
    store->lacks_room = state && strcmp(state, "53100") == 0;
    if (!state || PQstatus(store->conn) == CONNECTION_BAD)
        return pk_fail(err, PK_LOST, "%s: the connection to PostgreSQL broke: %s", statements[statement].what,
                       text ? text : broken_text(store));
    enum pk_status status = store_status(state);
    if (!strcmp(state, "23514"))
        memset(store->month_known, 0, sizeof store->month_known);
    return pk_fail(err, status, "%s: %s (SQLSTATE %s)%s", statements[statement].what, text ? text : "no message", state,
                   status == PK_STOP ? store_advice(state) : "");
}

static void drop_early(struct store *store)
{
    for (size_t i = 0; i < store->early.len; i++)
        PQclear(store->early.ptr[i]);
    store->early.len = 0;
}

static void drop_connection(struct store *store)
{
    drop_early(store);
    PQfinish(store->conn);
    store->conn = NULL;
    store->tx = TX_NONE;
    store->saving = false;
    store->sent.len = 0;
    store_forget_unsure(store);
}

enum pk_status store_ready(struct store *store, struct pk_err *err)
{
    if (!store->conn)
        return pk_fail(err, PK_LOST, "there is no connection to PostgreSQL");
    if (store->saving)
        return pk_fail(err, PK_STOP, "a save is under way (this is a defect)");
    return PK_OK;
}

/* ---- round trips ---- */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* The process was asked to leave, and PostgreSQL had its time. */
static bool must_leave(struct store *store)
{
    enum { PATIENCE_MS = 2000 };
    if (!store->config.stop || !*store->config.stop)
        return false;
    if (!store->leave_at_ms)
        store->leave_at_ms = now_ms() + PATIENCE_MS;
    return now_ms() >= store->leave_at_ms;
}

/* Until PQgetResult would not block. Reads while it writes, so that neither side waits for the other.
 * False if the connection broke or nothing came for too long. */
static bool wait_long(struct store *store)
{
    enum { LOOK_UP_MS = 200, STEP_MS = 20 }; /* a signal may come right before the wait */
    int64_t look_up = store->config.step ? STEP_MS : LOOK_UP_MS;
    int64_t deadline = now_ms() + store->silence_ms;
    for (;;) {
        int unsent = PQflush(store->conn);
        if (unsent < 0)
            return false;
        if (!PQisBusy(store->conn))
            return true;
        int64_t left = store->silence_ms < 0 ? look_up : deadline - now_ms();
        if (left <= 0 || must_leave(store))
            return false;
        struct pollfd fd = {PQsocket(store->conn), (short)(POLLIN | (unsent ? POLLOUT : 0)), 0};
        int ready = poll(&fd, 1, (int)PK_MIN(left, look_up));
        pulse_beat(store->config.pulse);
        if (ready < 0 && errno != EINTR)
            return false;
        if (ready > 0 && (fd.revents & (POLLIN | POLLERR | POLLHUP)) && !PQconsumeInput(store->conn))
            return false;
        if (ready > 0)
            deadline = now_ms() + store->silence_ms;
        else if (store->config.step)
            store->config.step(store->config.step_context, NULL);
    }
}

static bool wait_result(struct store *store)
{
    if (PQflush(store->conn) == 0 && !PQisBusy(store->conn))
        return true;
    enum pulse_phase before = pulse_enter(store->config.pulse, store->finishing ? PULSE_COMMIT : PULSE_LOAD);
    bool came = wait_long(store);
    pulse_enter(store->config.pulse, before);
    return came;
}

/* The next statement's result; NULL if the connection broke. */
static PGresult *next_result(struct store *store)
{
    if (!wait_result(store))
        return NULL;
    return PQgetResult(store->conn);
}

#ifdef POLKU_CRASH_POINTS
void store_flush(struct store *store)
{
    while (store->conn && PQflush(store->conn) > 0)
        poll(&(struct pollfd){PQsocket(store->conn), POLLOUT, 0}, 1, 100);
}
#endif

static void before_send(struct store *store, enum statement statement)
{
    if (store->config.step)
        store->config.step(store->config.step_context, statements[statement].what);
    *pk_vec_push(&store->sent) = statement;
}

/* With config.step: waits for the answer of what was just sent. */
static void after_send(struct store *store)
{
    if (!store->config.step || store->send_failed)
        return;
    PGresult *result = PQsendFlushRequest(store->conn) ? next_result(store) : NULL;
    if (result)
        *pk_vec_push(&store->early) = result;
    if (!result || next_result(store)) /* NULL ends one statement */
        store->send_failed = true;
}

void store_send(struct store *store, enum statement statement)
{
    const char *value[WIRE_MAX_PARAMS];
    int len[WIRE_MAX_PARAMS], format[WIRE_MAX_PARAMS];
    wire_finish(&store->params, value, len, format);
    before_send(store, statement);
    if (!PQsendQueryPrepared(store->conn, statements[statement].name, store->params.count, value, len, format, 1))
        store->send_failed = true;
    after_send(store);
}

void store_send_mark(struct store *store)
{
    if (!PQpipelineSync(store->conn))
        store->send_failed = true;
}

/* Reads the results of one round trip; *ret_status and `err` tell the first error. False if the connection broke. */
static bool read_results(struct store *store, PGresult **ret_result, enum pk_status *ret_status, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < store->sent.len; i++) {
        bool early = i < store->early.len;
        PGresult *result = early ? store->early.ptr[i] : next_result(store);
        ExecStatusType state = PQresultStatus(result); /* PGRES_FATAL_ERROR for NULL */
        if (!result) {
            if (status == PK_OK)
                *ret_status = pk_fail(err, PK_LOST, "%s: the connection to PostgreSQL broke: %s",
                                      statements[store->sent.ptr[i]].what, broken_text(store));
            return false;
        }
        if (early)
            store->early.ptr[i] = NULL;
        if (state == PGRES_TUPLES_OK || state == PGRES_COMMAND_OK) {
            ret_result[i] = result;
        } else {
            if (status == PK_OK)
                *ret_status = status = fail_of(store, store->sent.ptr[i], result, err);
            PQclear(result);
        }
        if (status == PK_LOST)
            return false;
        result = early ? NULL : next_result(store); /* NULL ends one statement */
        if (result) {
            PQclear(result);
            *ret_status = pk_fail(err, PK_LOST, "%s: more results than expected", statements[store->sent.ptr[i]].what);
            return false;
        }
    }
    PGresult *mark = next_result(store);
    bool whole = PQresultStatus(mark) == PGRES_PIPELINE_SYNC;
    PQclear(mark);
    if (!whole && status == PK_OK)
        *ret_status = pk_fail(err, PK_LOST, "the connection to PostgreSQL broke: %s", broken_text(store));
    return whole;
}

enum pk_status store_read_results(struct store *store, PGresult **ret_result, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    size_t count = store->sent.len;
    PGresult **result = ret_result ? ret_result : pk_alloc(sizeof *result * (count + 1));
    memset(result, 0, sizeof *result * count);

    store->counters.round_trips++;
    bool broken = store->send_failed || !read_results(store, result, &status, err);
    if (store->send_failed)
        status = pk_fail(err, PK_LOST, "%s: cannot send to PostgreSQL: %s",
                         count ? statements[store->sent.ptr[count - 1]].what : "mark", broken_text(store));
    store->sent.len = 0;
    store->send_failed = false;
    drop_early(store);
    if (status != PK_OK || !ret_result)
        for (size_t i = 0; i < count; i++) {
            PQclear(result[i]);
            result[i] = NULL;
        }
    if (!ret_result)
        free(result);
    if (broken)
        drop_connection(store);
    else if (status != PK_OK)
        store_rollback(store);
    return status;
}

enum pk_status store_collect(struct store *store, PGresult **ret_result, struct pk_err *err)
{
    store_send_mark(store);
    return store_read_results(store, ret_result, err);
}

void store_rollback(struct store *store)
{
    if (!store->conn)
        return;
    if (store->saving)
        store_save_finish(store, NULL);
    if (!store->conn)
        return;
    store->tx = TX_NONE;
    store_forget_unsure(store);
    PGTransactionStatusType state = PQtransactionStatus(store->conn);
    if (state == PQTRANS_INTRANS || state == PQTRANS_INERROR) {
        store_send_plain(store, STATEMENT_ROLLBACK);
        store_collect(store, NULL, NULL);
    }
}

/* ---- open ---- */

static enum pk_status connect_server(struct store *store, struct pk_err *err)
{
    /* What the user writes into the conninfo comes last and wins. */
    const char *const keyword[] = {"connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count",
                                   "tcp_user_timeout", "target_session_attrs", "application_name", "dbname", NULL};
    const char *const value[] = {"10", "15", "5", "3", "30000", store->config.read_write ? "read-write" : NULL,
                                 store->config.application_name, store->config.conninfo, NULL};

    char *error = NULL;
    PQconninfoOption *option = PQconninfoParse(store->config.conninfo, &error);
    if (!option) {
        enum pk_status status = pk_fail(err, PK_STOP, "the database option is no conninfo: %s", error ? error : "");
        PQfreemem(error);
        return status;
    }
    PQconninfoFree(option);

    store->conn = PQconnectdbParams(keyword, value, 1);
    if (PQstatus(store->conn) != CONNECTION_OK) {
        enum pk_status status = pk_fail(err, PK_RETRY, "cannot connect to PostgreSQL: %s", broken_text(store));
        drop_connection(store);
        return status;
    }
    PQsetNoticeProcessor(store->conn, leave_notice, NULL);
    if (PQserverVersion(store->conn) < 150000) {
        enum pk_status status = pk_fail(err, PK_STOP, "PostgreSQL 15 or newer is needed, the server is %d",
                                        PQserverVersion(store->conn) / 10000);
        drop_connection(store);
        return status;
    }
    return PK_OK;
}

/* The last result of some statements without parameters, before the connection is in pipeline mode. NULL if it broke, or the
 * server takes connections and says nothing: PQexec would wait for that without end. */
static PGresult *ask(struct store *store, const char *sql)
{
    PGresult *last = NULL;
    if (!PQsendQuery(store->conn, sql))
        return NULL;
    while (wait_result(store)) {
        PGresult *result = PQgetResult(store->conn);
        if (!result)
            return last;
        PQclear(last);
        last = result;
    }
    PQclear(last);
    return NULL;
}

static enum pk_status fail_plain(struct store *store, PGresult *result, const char *what, struct pk_err *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    enum pk_status status = state ? store_status(state) : PK_RETRY;
    if (status == PK_LOST)
        status = PK_RETRY; /* nothing was under way */
    status = pk_fail(err, status, "%s: %s (SQLSTATE %s)%s", what,
                     state ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : broken_text(store),
                     state ? state : "none", status == PK_STOP ? store_advice(state) : "");
    PQclear(result);
    return status;
}

/* Every statement finds its rows by key: the planner must not choose a scan because a table was empty when
 * the statement was prepared. The server too must notice when we are gone: a half sent batch holds locks. */
static enum pk_status set_session(struct store *store, struct pk_err *err)
{
    struct pk_buf sql PK_AUTO(pk_buf_done) = {0};
    pk_buf_printf(&sql,
                  "SET statement_timeout = %" PRId64 "; SET lock_timeout = %" PRId64
                  "; SET idle_in_transaction_session_timeout = %" PRId64
                  "; SET search_path = pg_catalog; SET client_encoding = 'UTF8'; SET client_min_messages = warning; "
                  "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; "
                  "SET tcp_user_timeout = 30000; SET jit = off; SET plan_cache_mode = force_generic_plan; "
                  "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off",
                  store->config.statement_timeout_us / 1000, store->config.lock_timeout_us / 1000,
                  store->config.idle_timeout_us / 1000);
    PGresult *result = ask(store, sql.ptr);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        return fail_plain(store, result, "set up the session", err);
    PQclear(result);
    store->silence_ms = store->config.statement_timeout_us > 0 ? (int)(store->config.statement_timeout_us / 1000) + 15000 : -1;
    return PK_OK;
}

static enum pk_status check_schema(struct store *store, struct pk_err *err)
{
    PGresult *result = ask(store, "SELECT pg_catalog.to_regclass('polku.schema_migration') IS NOT NULL");
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        return fail_plain(store, result, "look for the schema", err);
    bool found = PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    if (!found)
        return pk_fail(err, PK_STOP, "the database has no schema polku: run polku-consumer migrate");

    /* The column came after the table, and a database that lacks it is behind. */
    result = ask(store, "SELECT coalesce(max(m.number), 0), max(coalesce((to_jsonb(m) ->> 'oldest_program')::int, m.number))"
                        " FROM polku.schema_migration m");
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        return fail_plain(store, result, "read the schema's number", err);
    int number = atoi(PQgetvalue(result, 0, 0)), oldest = atoi(PQgetvalue(result, 0, 1));
    PQclear(result);
    if (number < STORE_SCHEMA)
        return pk_fail(err, PK_STOP, "the database's schema has number %d, this program needs %d: run polku-consumer migrate",
                       number, STORE_SCHEMA);
    if (oldest > STORE_SCHEMA)
        return pk_fail(err, PK_STOP, "the database's schema has number %d, which needs a program that knows %d, this one knows %d:"
                       " install the newer program", number, oldest, STORE_SCHEMA);

    struct pk_buf sql PK_AUTO(pk_buf_done) = {0};
    pk_buf_printf(&sql, "SELECT '%1$s.promise'::regtype::oid, '%1$s.target'::regtype::oid, '%1$s.rating'::regtype::oid,"
                        " '%1$s.money'::regtype::oid", schema_of(store));
    result = ask(store, sql.ptr);
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        return fail_plain(store, result, "look for the schema's types", err);
    uint32_t *const type[] = {&store->promise_type, &store->target_type, &store->rating_type, &store->money_type};
    for (int i = 0; i < 4; i++)
        *type[i] = (uint32_t)strtoul(PQgetvalue(result, 0, i), NULL, 10);
    PQclear(result);
    return PK_OK;
}

static enum pk_status prepare_statements(struct store *store, struct pk_err *err)
{
    struct pk_buf sql PK_AUTO(pk_buf_done) = {0};
    if (PQsetnonblocking(store->conn, 1) != 0 || !PQenterPipelineMode(store->conn))
        return pk_fail(err, PK_STOP, "libpq refuses pipeline mode: %s", broken_text(store));
    for (enum statement s = 0; s < STATEMENT_COUNT; s++) {
        statement_sql(store, s, &sql);
        *pk_vec_push(&store->sent) = s;
        if (!PQsendPrepare(store->conn, statements[s].name, sql.ptr, 0, NULL))
            store->send_failed = true;
    }
    return store_collect(store, NULL, err);
}

static enum pk_status begin_session(struct store *store, struct pk_err *err)
{
    enum { PATIENCE_MS = 15000 }; /* until set_session knows better */
    store->silence_ms = PATIENCE_MS;
    enum pk_status status = connect_server(store, err);
    if (status != PK_OK)
        return status;
    if ((status = set_session(store, err)) != PK_OK || (status = check_schema(store, err)) != PK_OK ||
        (status = prepare_statements(store, err)) != PK_OK || (status = store_read_dictionary(store, err)) != PK_OK) {
        drop_connection(store);
        return status == PK_LOST ? PK_RETRY : status;
    }
    return PK_OK;
}

static enum pk_status open_session(struct store *store, struct pk_err *err)
{
    enum pulse_phase before = pulse_enter(store->config.pulse, PULSE_CONNECT);
    enum pk_status status = begin_session(store, err);
    pulse_enter(store->config.pulse, before);
    store->counters.connects += status == PK_OK;
    store->counters.failed_connects += status != PK_OK;
    return status;
}

enum pk_status store_open(const struct store_config *config, struct symbols *symbols, struct store **ret_store,
                          struct pk_err *err)
{
    struct store *store = pk_alloc(sizeof *store);
    store->config = *config;
    store->config.conninfo = pk_strdup(config->conninfo ? config->conninfo : "");
    store->config.application_name = pk_strdup(config->application_name ? config->application_name : "polku-consumer");
    store->config.schema = config->schema ? pk_strdup(config->schema) : NULL;
    store->symbols = symbols;

    enum pk_status status = open_session(store, err);
    if (status != PK_OK)
        store_close(store);
    else
        *ret_store = store;
    return status;
}

enum pk_status store_reopen(struct store *store, struct pk_err *err)
{
    drop_connection(store);
    store->next_cell = store->end_cell = 0; /* a failover may have taken the block back */
    store->wants_less = store->lacks_room = false;
    memset(store->month_known, 0, sizeof store->month_known);
    store->id_of_sym.len = store->sym_of_id.len = store->known = 0;
    return open_session(store, err);
}

void store_close(struct store *store)
{
    if (!store)
        return;
    drop_connection(store);
    free((char *)store->config.conninfo);
    free((char *)store->config.application_name);
    free((char *)store->config.schema);
    pk_vec_done(&store->id_of_sym);
    pk_vec_done(&store->sym_of_id);
    pk_vec_done(&store->unsure);
    pk_vec_done(&store->sent);
    pk_vec_done(&store->early);
    wire_done(&store->params);
    free(store);
}

/* ---- dictionary ---- */

static void learn_symbol(struct store *store, sym_t sym, int32_t id)
{
    while (store->id_of_sym.len <= sym)
        *pk_vec_push(&store->id_of_sym) = 0;
    while (store->sym_of_id.len <= (size_t)id)
        *pk_vec_push(&store->sym_of_id) = 0;
    store->known += store->id_of_sym.ptr[sym] == 0;
    store->id_of_sym.ptr[sym] = id;
    store->sym_of_id.ptr[id] = sym;
}

static void learn_dictionary(struct store *store, const PGresult *result)
{
    for (int row = 0; row < PQntuples(result); row++)
        learn_symbol(store, symbol_of(store->symbols, wire_get_text(result, row, 1)), wire_get_int4(result, row, 0));
}

void store_forget_unsure(struct store *store)
{
    for (size_t i = 0; i < store->unsure.len; i++) {
        sym_t sym = store->unsure.ptr[i];
        if (sym >= store->id_of_sym.len || !store->id_of_sym.ptr[sym])
            continue;
        store->sym_of_id.ptr[store->id_of_sym.ptr[sym]] = 0;
        store->id_of_sym.ptr[sym] = 0;
        store->known--;
    }
    store->unsure.len = 0;
}

enum pk_status store_read_dictionary(struct store *store, struct pk_err *err)
{
    PGresult *result;
    store_send_plain(store, STATEMENT_DICTIONARY);
    enum pk_status status = store_collect(store, &result, err);
    if (status != PK_OK)
        return status;
    learn_dictionary(store, result);
    PQclear(result);
    return PK_OK;
}

static const struct symbols *sort_symbols; /* qsort has no argument for it; one thread derives */

static int by_text(const void *a, const void *b)
{
    return pk_str_cmp(symbol_text(sort_symbols, *(const sym_t *)a), symbol_text(sort_symbols, *(const sym_t *)b));
}

static void add_missing_text(struct store *store)
{
    PK_VEC(sym_t) missing = {0};
    for (sym_t sym = 1; sym < symbols_count(store->symbols); sym++)
        if (sym >= store->id_of_sym.len || !store->id_of_sym.ptr[sym])
            *pk_vec_push(&missing) = sym;
    sort_symbols = store->symbols;
    qsort(missing.ptr, missing.len, sizeof *missing.ptr, by_text);

    wire_reset(&store->params);
    struct wire_param *text = wire_array(&store->params, WIRE_TEXT);
    for (size_t i = 0; i < missing.len; i++) {
        wire_add_text(text, symbol_text(store->symbols, missing.ptr[i]));
        if (store->tx == TX_WRITE)
            *pk_vec_push(&store->unsure) = missing.ptr[i];
    }
    pk_vec_done(&missing);
}

enum pk_status store_ensure_dictionary(struct store *store, struct pk_err *err)
{
    enum pk_status status = store_ready(store, err);
    if (status != PK_OK)
        return status;
    if (store->known + 1 == symbols_count(store->symbols))
        return PK_OK;
    if (store->tx == TX_READ || store->tx == TX_READ_WANTED)
        return pk_fail(err, PK_STOP, "text gets its ids in a transaction that reads (this is a defect)");
    PGresult *result;
    add_missing_text(store);
    store_send(store, STATEMENT_INTERN);
    STORE_CRASH_POINT(store, words_sent);
    if ((status = store_collect(store, &result, err)) != PK_OK)
        return status;
    CRASH_POINT(words_known);
    learn_dictionary(store, result);
    PQclear(result);
    return PK_OK;
}

/* ---- positions ---- */

/* A former owner that was stopped in the middle of sending a batch sits on its positions for as long as it is
 * stopped: no timeout of the server counts while it waits for the rest of a pipeline. Kafka gave its partitions
 * to us, so whatever it was about to commit is void. The claim is to be tried again afterwards. */
static enum pk_status evict_former_owners(struct store *store, const struct store_position *position, size_t count,
                                          struct pk_err *err)
{
    struct pk_err why = {0};
    wire_reset(&store->params);
    struct wire_param *topic = wire_array(&store->params, WIRE_INT4), *partition = wire_array(&store->params, WIRE_INT4);
    for (size_t i = 0; i < count; i++) {
        wire_add_int4(topic, store_id(store, position[i].topic));
        wire_add_int4(partition, position[i].partition);
    }
    PGresult *result;
    store_send(store, STATEMENT_EVICT);
    enum pk_status status = store_collect(store, &result, &why);
    if (status != PK_OK)
        return pk_fail(err, status, "%s", why.text);
    int64_t ended = wire_get_int8(result, 0, 0);
    PQclear(result);
    return pk_fail(err, PK_STALE, "the positions are locked by another transaction; connections ended: %" PRId64, ended);
}

static void send_claim(struct store *store, const struct store_position *position, const int64_t *next_offset, size_t count,
                       enum statement statement)
{
    wire_reset(&store->params);
    struct wire_param *topic = wire_array(&store->params, WIRE_INT4), *partition = wire_array(&store->params, WIRE_INT4),
                      *offset = wire_array(&store->params, WIRE_INT8);
    for (size_t i = 0; i < count; i++) {
        wire_add_int4(topic, store_id(store, position[i].topic));
        wire_add_int4(partition, position[i].partition);
        wire_add_int8(offset, next_offset ? next_offset[i] : position[i].next_offset);
    }
    store_send(store, statement);
}

/* Rows of (topic, partition, next_offset, epoch), of a claim the slot too. */
static void take_positions(struct store *store, PGresult *result, struct store_position *position, size_t count)
{
    for (int row = 0; row < PQntuples(result); row++)
        for (size_t i = 0; i < count; i++)
            if (store_id(store, position[i].topic) == wire_get_int4(result, row, 0) &&
                position[i].partition == wire_get_int4(result, row, 1)) {
                position[i].next_offset = wire_get_int8(result, row, 2);
                position[i].epoch = wire_get_int8(result, row, 3);
                if (PQnfields(result) > 4)
                    position[i].slot = wire_get_int4(result, row, 4);
            }
    PQclear(result);
}

enum pk_status store_claim(struct store *store, struct store_position *position, size_t count, struct pk_err *err)
{
    enum pk_status status = store_ensure_dictionary(store, err);
    if (status != PK_OK || count == 0)
        return status;
    PGresult *result;
    send_claim(store, position, NULL, count, STATEMENT_CLAIM);
    STORE_CRASH_POINT(store, claim_sent);
    status = store_collect(store, &result, err);
    if (status == PK_STALE || (status == PK_RETRY && store->wants_less)) /* it waited for as long as it may, by either limit */
        return evict_former_owners(store, position, count, err);
    if (status != PK_OK)
        return status;
    CRASH_POINT(claim_read);
    take_positions(store, result, position, count);
    return PK_OK;
}

enum pk_status store_read_positions(struct store *store, struct store_position *position, size_t count, struct pk_err *err)
{
    enum { PATIENCE_MS = 15000 };
    enum pk_status status = store_ensure_dictionary(store, err);
    if (status != PK_OK || count == 0)
        return status;
    wire_reset(&store->params);
    struct wire_param *topic = wire_array(&store->params, WIRE_INT4), *partition = wire_array(&store->params, WIRE_INT4);
    for (size_t i = 0; i < count; i++) {
        wire_add_int4(topic, store_id(store, position[i].topic));
        wire_add_int4(partition, position[i].partition);
    }
    PGresult *result;
    int silence_ms = store->silence_ms;
    store->silence_ms = silence_ms < 0 ? PATIENCE_MS : PK_MIN(silence_ms, (int)PATIENCE_MS);
    store_send(store, STATEMENT_READ_POSITIONS);
    status = store_collect(store, &result, err);
    store->silence_ms = silence_ms;
    if (status != PK_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        position[i].next_offset = position[i].epoch = 0;
    take_positions(store, result, position, count);
    return PK_OK;
}

enum pk_status store_set_positions(struct store *store, struct store_position *position, const int64_t *next_offset,
                                   size_t count, struct pk_err *err)
{
    enum pk_status status = store_ensure_dictionary(store, err);
    if (status != PK_OK || count == 0)
        return status;
    PGresult *result[2];
    store->tx = TX_WRITE;
    store_send_plain(store, STATEMENT_BEGIN_WRITE);
    send_claim(store, position, next_offset, count, STATEMENT_CLAIM);
    if ((status = store_collect(store, result, err)) != PK_OK)
        return status;
    PQclear(result[0]);
    take_positions(store, result[1], position, count);
    for (size_t i = 0; i < count; i++)
        position[i].epoch--; /* a new one was claimed for the first time just now */
    send_claim(store, position, next_offset, count, STATEMENT_SET_POSITIONS);
    store_send_plain(store, STATEMENT_COMMIT);
    status = store_collect(store, NULL, err);
    store->tx = TX_NONE;
    return status;
}

void store_add_fence(struct store *store, const struct store_span *span, size_t spans, bool alone)
{
    if (store->config.sole_writer && spans == 0)
        return;
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *topic = wire_array(params, WIRE_INT4), *partition = wire_array(params, WIRE_INT4),
                      *epoch = wire_array(params, WIRE_INT8), *offset = wire_array(params, WIRE_INT8),
                      *next = wire_array(params, WIRE_INT8);
    for (size_t i = 0; i < spans; i++) {
        wire_add_int4(topic, store_id(store, span[i].at.topic));
        wire_add_int4(partition, span[i].at.partition);
        wire_add_int8(epoch, span[i].at.epoch);
        wire_add_int8(offset, span[i].at.next_offset);
        wire_add_int8(next, span[i].next_offset);
    }
    wire_bool(params, alone);
    store_send(store, STATEMENT_FENCE);
}

/* ---- before a batch ---- */

static size_t month_index(int64_t at_us)
{
    time_t seconds = (time_t)(at_us / PK_SECOND_US);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    return (size_t)((tm.tm_year + 1900 - 1990) * 12 + tm.tm_mon);
}

enum pk_status store_ensure_months(struct store *store, const int64_t *at_us, size_t count, struct pk_err *err)
{
    enum pk_status status = store_ready(store, err);
    if (status != PK_OK)
        return status;
    uint8_t wanted[sizeof store->month_known] = {0};
    int64_t from_us = 0, to_us = 0; /* the month of the event before: neighbours mostly share it */
    size_t missing = 0;
    for (size_t i = 0; i < count; i++) {
        if (at_us[i] >= from_us && at_us[i] < to_us)
            continue;
        if (at_us[i] < EVENT_MIN_TIME_US || at_us[i] >= EVENT_MAX_TIME_US)
            return pk_fail(err, PK_STOP, "an event of no valid time reached the store (this is a defect)");
        size_t month = month_index(at_us[i]);
        from_us = time_days_from_civil(1990 + (int64_t)month / 12, (unsigned)(month % 12) + 1, 1) * PK_DAY_US;
        to_us = from_us + 28 * PK_DAY_US;
        missing += !store->month_known[month] && !wanted[month];
        wanted[month] = 1;
    }
    if (missing == 0)
        return PK_OK;

    wire_reset(&store->params);
    struct wire_param *date = wire_array(&store->params, WIRE_DATE);
    for (size_t month = 0; month < sizeof wanted; month++)
        if (wanted[month] && !store->month_known[month])
            wire_add_int4(date, (int32_t)(time_days_from_civil(1990 + (int64_t)month / 12, (unsigned)(month % 12) + 1, 1) -
                                          WIRE_EPOCH_US / PK_DAY_US));
    store_send(store, STATEMENT_MONTHS);
    STORE_CRASH_POINT(store, months_sent);
    if ((status = store_collect(store, NULL, err)) != PK_OK)
        return status;
    CRASH_POINT(months_made);
    for (size_t month = 0; month < sizeof wanted; month++)
        store->month_known[month] |= wanted[month];
    return PK_OK;
}

enum pk_status store_new_cell(struct store *store, int64_t *ret_cell, struct pk_err *err)
{
    enum { BLOCK = 65536 }; /* INCREMENT BY of the sequence */
    if (store->next_cell == store->end_cell) {
        enum pk_status status = store_ready(store, err);
        if (status != PK_OK)
            return status;
        PGresult *result;
        store_send_plain(store, STATEMENT_NEW_CELLS);
        if ((status = store_collect(store, &result, err)) != PK_OK)
            return status;
        store->next_cell = wire_get_int8(result, 0, 0);
        store->end_cell = store->next_cell + BLOCK;
        PQclear(result);
    }
    *ret_cell = store->next_cell++;
    return PK_OK;
}

struct store_counters store_counters(const struct store *store)
{
    return store->counters;
}

bool store_wants_less(const struct store *store)
{
    return store->wants_less;
}

bool store_lacks_room(const struct store *store)
{
    return store->lacks_room;
}

/* ---- queries of people ---- */

enum pk_status store_query(struct store *store, const char *sql,
                           void (*row)(void *context, int columns, const char *const value[]), void *context,
                           struct pk_err *err)
{
    enum { MAX_COLUMNS = 100 };
    enum pk_status status = store_ready(store, err);
    if (status != PK_OK)
        return status;
    PGresult *result;
    before_send(store, STATEMENT_QUERY);
    if (!PQsendQueryParams(store->conn, sql, 0, NULL, NULL, NULL, NULL, 0))
        store->send_failed = true;
    after_send(store);
    if ((status = store_collect(store, &result, err)) != PK_OK)
        return status;
    int columns = PK_MIN(PQnfields(result), MAX_COLUMNS);
    for (int r = 0; r < PQntuples(result); r++) {
        const char *value[MAX_COLUMNS];
        for (int c = 0; c < columns; c++)
            value[c] = PQgetisnull(result, r, c) ? NULL : PQgetvalue(result, r, c);
        row(context, columns, value);
    }
    PQclear(result);
    return PK_OK;
}
