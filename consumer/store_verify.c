/* SPDX-License-Identifier: Apache-2.0 */
#include "store_verify.h"
#include "store_conninfo.h"

#include <errno.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define LOCK_MIGRATE "482905713526" /* sql/migrations/0002_functions.sql lists the others */

enum { PAGE = 2000, LOOK_UP_MS = 200 };

struct audit {
    PGconn *conn;
    char *conninfo;
    const volatile sig_atomic_t *stop; /* NULL: not listened to */
    int cursors; /* a number for the next one's name */
};

/* ---- round trips ---- */

static enum pk_status broken(struct audit *audit, const char *what, struct pk_err *err)
{
    char text[400];
    store_connection_says(audit->conn, text, sizeof text);
    return pk_fail(err, PK_LOST, "%s: the connection to PostgreSQL broke: %s", what, text);
}

/* Until the result of what was sent is there; *stop cancels it at the server. False: the connection broke. */
static bool wait_result(struct audit *audit)
{
    bool cancelled = false;
    while (PQisBusy(audit->conn)) {
        struct pollfd fd = {PQsocket(audit->conn), POLLIN, 0};
        int ready = poll(&fd, 1, LOOK_UP_MS);
        if ((ready < 0 && errno != EINTR) || (ready > 0 && !PQconsumeInput(audit->conn)))
            return false;
        if (audit->stop && *audit->stop && !cancelled) {
            char why[256];
            PGcancel *cancel = PQgetCancel(audit->conn);
            cancelled = PQcancel(cancel, why, sizeof why);
            PQfreeCancel(cancel);
        }
    }
    return true;
}

static enum pk_status fail_of(struct audit *audit, const PGresult *result, const char *what, struct pk_err *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (!state || PQstatus(audit->conn) == CONNECTION_BAD)
        return broken(audit, what, err);
    if (audit->stop && *audit->stop)
        return pk_fail(err, PK_RETRY, "it was stopped");
    bool busy = !strncmp(state, "53", 2) || !strncmp(state, "57", 2) || !strcmp(state, "55P03") || !strcmp(state, "40001") ||
                !strcmp(state, "40P01");
    return pk_fail(err, busy ? PK_RETRY : PK_STOP, "%s: %s (SQLSTATE %s)", what,
                   PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY), state);
}

/* One statement, text parameters; `ret` may be NULL. */
static enum pk_status ask(struct audit *audit, const char *what, const char *sql, int params, const char *const value[],
                          PGresult **ret, struct pk_err *err)
{
    if (!PQsendQueryParams(audit->conn, sql, params, NULL, value, NULL, NULL, 0))
        return broken(audit, what, err);
    PGresult *result = NULL;
    for (;;) {
        PGresult *next = wait_result(audit) ? PQgetResult(audit->conn) : NULL;
        if (!next)
            break;
        PQclear(result);
        result = next;
    }
    ExecStatusType state = PQresultStatus(result);
    enum pk_status status = PK_OK;
    if (state != PGRES_TUPLES_OK && state != PGRES_COMMAND_OK)
        status = fail_of(audit, result, what, err);
    if (status == PK_OK && ret)
        *ret = result;
    else
        PQclear(result);
    return status;
}

static enum pk_status run(struct audit *audit, const char *what, const char *sql, struct pk_err *err)
{
    return ask(audit, what, sql, 0, NULL, NULL, err);
}

/* The first value of the first row, "" if there is none. */
static enum pk_status ask_text(struct audit *audit, const char *what, const char *sql, char *ret, size_t size,
                               struct pk_err *err)
{
    PGresult *result;
    enum pk_status status = ask(audit, what, sql, 0, NULL, &result, err);
    if (status != PK_OK)
        return status;
    snprintf(ret, size, "%s", PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return PK_OK;
}

/* ---- sessions ---- */

static const char *const session_sql[] = {
    "SET search_path = pg_catalog",
    "SET client_min_messages = warning",
    "SET TimeZone = 'UTC'",
    "SET DateStyle = 'ISO'",
    "SET IntervalStyle = 'postgres'",
    "SET extra_float_digits = 1",
    "SET statement_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
    "SET lock_timeout = '60s'",
    "SET jit = off",
    "SET work_mem = '64MB'",
    "SET cursor_tuple_fraction = 1.0", /* every cursor is read to its end */
    "SET tcp_keepalives_idle = 15",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
};

static enum pk_status open_session(struct audit *audit, bool writes, struct pk_err *err)
{
    const char *const keyword[] = {"connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count",
                                   "application_name", "client_encoding", "target_session_attrs", "dbname", NULL};
    const char *const value[] = {"10", "15", "5", "3", "polku-consumer verify", "UTF8",
                                 writes ? "read-write" : NULL, audit->conninfo, NULL};
    audit->conn = PQconnectdbParams(keyword, value, 1);
    if (PQstatus(audit->conn) != CONNECTION_OK) {
        enum pk_status status = broken(audit, "cannot connect", err);
        return status == PK_LOST ? PK_RETRY : status;
    }
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < PK_COUNT(session_sql) && status == PK_OK; i++)
        status = run(audit, "set up the session", session_sql[i], err);
    return status;
}

enum pk_status audit_open(const char *conninfo, bool writes, const volatile sig_atomic_t *stop, struct audit **ret, struct pk_err *err)
{
    struct audit *audit = pk_alloc(sizeof *audit);
    audit->conninfo = pk_strdup(conninfo ? conninfo : "");
    audit->stop = stop;
    enum pk_status status = open_session(audit, writes, err);
    if (status == PK_OK)
        *ret = audit;
    else
        audit_close(audit);
    return status;
}

void audit_close(struct audit *audit)
{
    if (!audit)
        return;
    PQfinish(audit->conn);
    free(audit->conninfo);
    free(audit);
}

/* ---- may it be done? ---- */

enum pk_status audit_lock(struct audit *audit, struct pk_err *err)
{
    char got[8] = "";
    enum pk_status status = ask_text(audit, "look for another verify or rebuild",
                                     "SELECT pg_try_advisory_lock(" LOCK_MIGRATE ")", got, sizeof got, err);
    if (status == PK_OK && got[0] != 't')
        return pk_fail(err, PK_STOP,
                       "another verify, a rebuild or a migration of this database is at work: let it come to its end");
    return status;
}

static const char state_sql[] =
    "SELECT replace(s.rules_hash::text, '-', ''), s.derivation_version, replace(s.key_check::text, '-', '')"
    " FROM polku.rules_state s";

static bool same_hash(struct pk_hash hash, const char *text)
{
    char hex[33];
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", hash.byte[i]);
    return strcmp(hex, text) == 0;
}

static enum pk_status judge_state(const PGresult *result, const struct rules *rules, struct pk_hash key_check,
                                  struct pk_err *err)
{
    int version = atoi(PQgetvalue(result, 0, 1));
    if (!same_hash(key_check, PQgetvalue(result, 0, 2)))
        return pk_fail(err, PK_STOP, "the database was derived with another hash key: give the key with which it was begun");
    if (version != DERIVATION_VERSION)
        return pk_fail(err, PK_STOP, "the database was derived by version %d of the derivation, this program has %d: "
                       "run polku-consumer rebuild", version, DERIVATION_VERSION);
    if (!same_hash(rules->file_hash, PQgetvalue(result, 0, 0)))
        return pk_fail(err, PK_STOP, "the database was derived with another rules file: give that file, or run polku-consumer "
                       "rebuild");
    return PK_OK;
}

enum pk_status audit_check_state(struct audit *audit, const struct rules *rules, struct pk_hash key_check, bool *ret_empty,
                                 struct pk_err *err)
{
    char found[8] = "";
    enum pk_status status = ask_text(audit, "look for the schema", "SELECT to_regclass('polku.rules_state') IS NOT NULL", found,
                                     sizeof found, err);
    if (status == PK_OK && found[0] != 't')
        return pk_fail(err, PK_STOP, "the database has no schema polku: run polku-consumer migrate");
    PGresult *result;
    if (status == PK_OK)
        status = ask(audit, "read the hash of the rules", state_sql, 0, NULL, &result, err);
    if (status != PK_OK)
        return status;
    bool empty = PQntuples(result) == 0;
    if (!empty)
        status = judge_state(result, rules, key_check, err);
    PQclear(result);
    if (status == PK_OK)
        *ret_empty = empty;
    return status;
}

enum pk_status audit_check_rights(struct audit *audit, struct pk_err *err)
{
    static const char sql[] =
        "SELECT coalesce((SELECT format('%s may not make schemas in this database', current_user)"
        " WHERE NOT has_database_privilege(current_database(), 'CREATE')),"
        " (SELECT format('%s may not read the table %s', current_user, c.oid::regclass) FROM pg_class c"
        " WHERE c.relnamespace = 'polku'::regnamespace AND c.relkind IN ('r', 'p') AND NOT has_table_privilege(c.oid, 'SELECT')"
        " ORDER BY c.relname LIMIT 1),"
        " (SELECT format('%s may not draw cell ids or extend the dictionary (role polku_writer)', current_user)"
        " WHERE NOT has_sequence_privilege('polku.guard_cell_id', 'USAGE')"
        " OR NOT has_function_privilege('polku.intern(text[])', 'EXECUTE')"
        " OR NOT has_table_privilege('polku.dictionary', 'INSERT')), '')";
    char obstacle[300] = "";
    enum pk_status status = ask_text(audit, "look for rights", sql, obstacle, sizeof obstacle, err);
    if (status == PK_OK && obstacle[0])
        return pk_fail(err, PK_STOP, "%s: run it as the user of migrate, or with --quick as one who may read",
                       obstacle);
    return status;
}

/* ---- the tables of the fresh derivation ---- */

enum pk_status audit_make_unlogged(struct audit *audit, struct pk_err *err)
{
    return run(audit, "prepare the tables",
               "DO $unlogged$ DECLARE t record; BEGIN"
               " FOR t IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = '" VERIFY_SCHEMA "'::regnamespace"
               "  AND c.relkind = 'r' LOOP"
               "  EXECUTE format('ALTER TABLE " VERIFY_SCHEMA ".%I SET UNLOGGED', t.relname);"
               " END LOOP; END $unlogged$", err);
}

enum pk_status audit_analyse(struct audit *audit, struct pk_err *err)
{
    return run(audit, "analyse the tables",
               "DO $analyse$ DECLARE t record; BEGIN"
               " FOR t IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = '" VERIFY_SCHEMA "'::regnamespace"
               "  AND c.relkind IN ('r', 'p') AND NOT c.relispartition LOOP"
               "  EXECUTE format('ANALYZE " VERIFY_SCHEMA ".%I', t.relname);"
               " END LOOP; END $analyse$", err);
}

/* The session that fills them may still be at a statement when its client is gone; without waiting for its end, each of the
 * two would want what the other has. */
static enum pk_status drop(struct audit *audit, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    if (PQtransactionStatus(audit->conn) != PQTRANS_IDLE)
        status = run(audit, "end the snapshot", "ROLLBACK", err);
    if (status == PK_OK)
        status = run(audit, "wait for whoever fills the tables", VERIFY_TAKE_LOCK, err);
    if (status == PK_OK)
        status = run(audit, "drop the tables", "DROP SCHEMA IF EXISTS " VERIFY_SCHEMA " CASCADE", err);
    return status == PK_OK ? run(audit, "let others fill", "SELECT pg_advisory_unlock(" VERIFY_LOCK ")", err) : status;
}

enum pk_status audit_drop(struct audit *audit, struct pk_err *err)
{
    const volatile sig_atomic_t *stop = audit->stop;
    audit->stop = NULL;
    enum pk_status status = drop(audit, err);
    if (status == PK_LOST) {
        PQfinish(audit->conn);
        status = open_session(audit, true, err);
        if (status == PK_OK)
            status = audit_lock(audit, err);
        if (status == PK_OK)
            status = drop(audit, err);
    }
    audit->stop = stop;
    return status;
}

/* ---- the snapshot ---- */

enum pk_status audit_begin(struct audit *audit, const char *snapshot, struct pk_err *err)
{
    char sql[200];
    enum pk_status status = run(audit, "begin", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err);
    if (status != PK_OK || !snapshot)
        return status;
    snprintf(sql, sizeof sql, "SET TRANSACTION SNAPSHOT '%s'", snapshot);
    return run(audit, "join the snapshot", sql, err);
}

enum pk_status audit_snapshot(struct audit *audit, char *ret_name, size_t size, struct pk_err *err)
{
    enum pk_status status = audit_begin(audit, NULL, err);
    if (status != PK_OK)
        return status;
    return ask_text(audit, "begin the snapshot", "SELECT pg_export_snapshot()", ret_name, size, err);
}

enum pk_status audit_number(struct audit *audit, const char *sql, int64_t *ret, struct pk_err *err)
{
    char text[32] = "";
    enum pk_status status = ask_text(audit, "count", sql, text, sizeof text, err);
    if (status == PK_OK)
        *ret = atoll(text);
    return status;
}

/* ---- a stream of rows ---- */

struct stream {
    struct audit *audit;
    const char *what;
    char cursor[32];
    PGresult *page;
    int row, columns;
    bool ended;
};

static enum pk_status stream_page(struct stream *stream, struct pk_err *err)
{
    char sql[80];
    snprintf(sql, sizeof sql, "FETCH %d FROM %s", PAGE, stream->cursor);
    PQclear(stream->page);
    stream->page = NULL;
    stream->row = 0;
    enum pk_status status = ask(stream->audit, stream->what, sql, 0, NULL, &stream->page, err);
    if (status != PK_OK)
        return status;
    stream->columns = PQnfields(stream->page);
    stream->ended = PQntuples(stream->page) == 0;
    return PK_OK;
}

static enum pk_status stream_open(struct stream *stream, struct audit *audit, const char *what, const char *query,
                                  struct pk_err *err)
{
    struct pk_buf sql PK_AUTO(pk_buf_done) = {0};
    *stream = (struct stream){.audit = audit, .what = what};
    snprintf(stream->cursor, sizeof stream->cursor, "rows_%d", ++audit->cursors);
    pk_buf_printf(&sql, "DECLARE %s NO SCROLL CURSOR FOR %s", stream->cursor, query);
    enum pk_status status = run(audit, what, sql.ptr, err);
    return status == PK_OK ? stream_page(stream, err) : status;
}

static enum pk_status stream_next(struct stream *stream, struct pk_err *err)
{
    return ++stream->row < PQntuples(stream->page) ? PK_OK : stream_page(stream, err);
}

static void stream_close(struct stream *stream)
{
    PQclear(stream->page);
    stream->page = NULL;
    if (stream->cursor[0] && PQtransactionStatus(stream->audit->conn) == PQTRANS_INTRANS) {
        char sql[80];
        struct pk_err ignored = {0};
        snprintf(sql, sizeof sql, "CLOSE %s", stream->cursor);
        run(stream->audit, "close a cursor", sql, &ignored);
    }
}

/* NULL is NULL. */
static const char *value_of(const struct stream *stream, int column)
{
    return PQgetisnull(stream->page, stream->row, column) ? NULL : PQgetvalue(stream->page, stream->row, column);
}

/* ---- comparing ---- */

enum { OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23 };

static bool is_integer(const struct stream *stream, int column)
{
    Oid type = PQftype(stream->page, column);
    return type == OID_INT8 || type == OID_INT4 || type == OID_INT2;
}

/* As the server orders them: numbers, and times and hashes, whose text in UTC is ordered as they are. */
static int compare_keys(const struct stream *a, const struct stream *b, int keys)
{
    for (int column = 0; column < keys; column++) {
        const char *x = value_of(a, column), *y = value_of(b, column);
        int order = (x == NULL) - (y == NULL); /* nulls last */
        if (!order && x && is_integer(a, column)) {
            long long m = atoll(x), n = atoll(y);
            order = (m > n) - (m < n);
        } else if (!order && x) {
            order = strcmp(x, y);
        }
        if (order)
            return order;
    }
    return 0;
}

static bool same_value(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* An id of the dictionary is told with its text. */
static void add_value(struct pk_buf *out, const struct audit_compare *compare, const struct stream *stream, int column)
{
    const char *value = value_of(stream, column), *name = PQfname(stream->page, column);
    size_t len = strlen(name);
    pk_buf_text(out, value ? value : "null");
    bool is_id = len > 3 && !strcmp(name + len - 3, "_id") && PQftype(stream->page, column) == OID_INT4;
    if (!value || !is_id || !strcmp(value, "0"))
        return;
    PGresult *result = NULL;
    struct pk_err ignored = {0};
    if (ask(compare->names, "look up a name", "SELECT text FROM polku.dictionary WHERE id = $1::int", 1, &value, &result,
            &ignored) != PK_OK)
        return;
    pk_buf_printf(out, " '%s'", PQntuples(result) ? PQgetvalue(result, 0, 0) : "?");
    PQclear(result);
}

static void add_row(struct pk_buf *out, const struct audit_compare *compare, const struct stream *stream)
{
    pk_buf_printf(out, "%s (", compare->table);
    for (int column = 0; column < compare->keys; column++) {
        pk_buf_printf(out, "%s%s ", column ? ", " : "", PQfname(stream->page, column));
        add_value(out, compare, stream, column);
    }
    pk_buf_text(out, ")");
}

/* The values of a row that the other side lacks, as far as they are few. */
static void add_content(struct pk_buf *out, const struct audit_compare *compare, const struct stream *stream)
{
    enum { MOST_COLUMNS = 24 };
    if (stream->columns > MOST_COLUMNS)
        return;
    for (int column = compare->keys; column < stream->columns; column++) {
        pk_buf_printf(out, "%s%s ", column > compare->keys ? ", " : ": ", PQfname(stream->page, column));
        add_value(out, compare, stream, column);
    }
}

static void tell(const struct audit_compare *compare, const struct stream *which, const struct pk_buf *what)
{
    struct pk_buf row PK_AUTO(pk_buf_done) = {0};
    add_row(&row, compare, which);
    compare->teller.difference(compare->teller.context, row.ptr, what->ptr);
}

static void tell_alone(const struct audit_compare *compare, const struct stream *which, const char *sentence)
{
    struct pk_buf what PK_AUTO(pk_buf_done) = {0};
    pk_buf_text(&what, sentence);
    add_content(&what, compare, which);
    tell(compare, which, &what);
}

/* Rows of one key. False if they differ. */
static bool same_row(const struct audit_compare *compare, const struct stream *stored, const struct stream *expected, bool told)
{
    struct pk_buf what PK_AUTO(pk_buf_done) = {0};
    bool same = true;
    for (int column = compare->keys; column < stored->columns; column++) {
        if (same_value(value_of(stored, column), value_of(expected, column)))
            continue;
        if (told) {
            pk_buf_printf(&what, "%s%s is ", same ? "" : "; ", PQfname(stored->page, column));
            add_value(&what, compare, stored, column);
            pk_buf_text(&what, ", expected ");
            add_value(&what, compare, expected, column);
        }
        same = false;
    }
    if (!same && told)
        tell(compare, stored, &what);
    return same;
}

static enum pk_status compare_streams(const struct audit_compare *compare, struct stream *stored, struct stream *expected,
                                      struct audit_result *result, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    if (stored->columns != expected->columns || stored->columns <= compare->keys)
        return pk_fail(err, PK_STOP, "%s: %d columns are compared with %d (this is a defect)", compare->table, stored->columns,
                       expected->columns);
    while (status == PK_OK && !(stored->ended && expected->ended)) {
        int order = stored->ended ? 1 : expected->ended ? -1 : compare_keys(stored, expected, compare->keys);
        bool told = result->differences < compare->limit;
        result->rows++;
        if (order < 0 && !compare->or_more) {
            result->differences++;
            if (told)
                tell_alone(compare, stored, "the row should not be there");
        } else if (order > 0) {
            result->differences++;
            if (told)
                tell_alone(compare, expected, "the row is missing");
        } else if (order == 0) {
            result->differences += !same_row(compare, stored, expected, told);
        }
        if (order <= 0)
            status = stream_next(stored, err);
        if (order >= 0 && status == PK_OK)
            status = stream_next(expected, err);
        if (status == PK_OK && compare->stored->stop && *compare->stored->stop)
            status = pk_fail(err, PK_RETRY, "it was stopped");
    }
    return status;
}

enum pk_status audit_run_compare(const struct audit_compare *compare, struct audit_result *ret, struct pk_err *err)
{
    struct stream stored = {0}, expected = {0};
    struct audit_result result = {0};
    enum pk_status status = stream_open(&stored, compare->stored, compare->table, compare->stored_sql, err);
    if (status == PK_OK)
        status = stream_open(&expected, compare->expected, compare->table, compare->expected_sql, err);
    if (status == PK_OK)
        status = compare_streams(compare, &stored, &expected, &result, err);
    if (expected.audit)
        stream_close(&expected);
    stream_close(&stored);
    if (status == PK_OK)
        *ret = result;
    return status;
}

/* ---- rows that break a rule ---- */

static void tell_rule(const struct audit_teller *teller, const struct stream *stream)
{
    struct pk_buf what PK_AUTO(pk_buf_done) = {0};
    const char *stored = value_of(stream, 2), *expected = value_of(stream, 3), *row = value_of(stream, 0),
               *column = value_of(stream, 1);
    pk_buf_printf(&what, "%s is %s, expected %s", column ? column : "?", stored ? stored : "null", expected ? expected : "null");
    teller->difference(teller->context, row ? row : "?", what.ptr);
}

enum pk_status audit_run_rows(struct audit *audit, const char *sql, int64_t limit, const struct audit_teller *teller,
                              int64_t *ret_differences, struct pk_err *err)
{
    struct stream stream = {0};
    int64_t differences = 0;
    enum pk_status status = stream_open(&stream, audit, "look for rows", sql, err);
    while (status == PK_OK && !stream.ended) {
        if (differences++ < limit)
            tell_rule(teller, &stream);
        status = stream_next(&stream, err);
    }
    stream_close(&stream);
    if (status == PK_OK)
        *ret_differences = differences;
    return status;
}
