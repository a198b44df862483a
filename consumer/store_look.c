/* SPDX-License-Identifier: Apache-2.0 */
#include "store_look.h"
#include "store_conninfo.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void done_result(PGresult **result)
{
    PQclear(*result);
}

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

enum { SERVER_SECONDS = 8, ANSWER_SECONDS = 10 }; /* the server gives up (a lock); the server itself is stuck */

/* False: no answer in time, or the connection broke. */
static bool wait_answer(PGconn *conn)
{
    int64_t end_us = now_us() + ANSWER_SECONDS * PK_SECOND_US, left_us;
    while (PQisBusy(conn)) {
        if ((left_us = end_us - now_us()) <= 0)
            return false;
        poll(&(struct pollfd){PQsocket(conn), POLLIN, 0}, 1, (int)(left_us / 1000) + 1);
        if (!PQconsumeInput(conn))
            return false;
    }
    return true;
}

/* NULL: it failed, and `why` says so if nothing did before. Once no answer came none is waited for any more. */
static PGresult *ask(PGconn *conn, struct look_database *look, const char *what, const char *sql)
{
    const char *text = "no answer in time, or the connection broke";
    PGresult *result = NULL;
    if (PQsendQuery(conn, sql) && wait_answer(conn)) {
        result = PQgetResult(conn);
        for (PGresult *more = NULL; wait_answer(conn) && (more = PQgetResult(conn));)
            PQclear(more);
    }
    if (PQresultStatus(result) == PGRES_TUPLES_OK || PQresultStatus(result) == PGRES_COMMAND_OK)
        return result;
    if (PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY))
        text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (!look->why[0])
        snprintf(look->why, sizeof look->why, "%s: %s", what, text);
    PQclear(result);
    return NULL;
}

/* What waits for a lock ends. */
static void set_patience(PGconn *conn, struct look_database *look)
{
    char sql[60];
    snprintf(sql, sizeof sql, "SET statement_timeout = '%ds'", SERVER_SECONDS);
    PQclear(ask(conn, look, "set a timeout", sql));
}

static const char *text_at(const PGresult *result, int column)
{
    return PQgetvalue(result, 0, column);
}

static bool bool_at(const PGresult *result, int column)
{
    return text_at(result, column)[0] == 't';
}

static void copy(char *to, size_t size, const char *text)
{
    snprintf(to, size, "%s", text);
}

static void look_at_parameters(PGconn *conn, struct look_database *look)
{
    static const char *const name[] = {
#define X(id, name) name,
        LOOK_PARAMETERS(X)
#undef X
    };
    PGresult *result PK_AUTO(done_result) = ask(conn, look, "read the settings",
        "SELECT s.name, CASE s.name WHEN 'statement_timeout' THEN s.reset_val ELSE s.setting END FROM pg_catalog.pg_settings s");
    for (int row = 0; row < PQntuples(result); row++)
        for (size_t i = 0; i < PK_COUNT(name); i++)
            if (strcmp(PQgetvalue(result, row, 0), name[i]) == 0)
                copy(look->parameter[i], sizeof look->parameter[i], PQgetvalue(result, row, 1));
}

/* The second time it asks, nothing has to be loaded. */
static void look_at_clock(PGconn *conn, struct look_database *look)
{
    for (int i = 0; i < 2; i++) {
        int64_t before_us = now_us();
        PGresult *result PK_AUTO(done_result) = ask(conn, look, "ask for the time",
            "SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint, pg_catalog.pg_backend_pid()");
        int64_t after_us = now_us();
        if (!result)
            return;
        look->ahead_us = atoll(text_at(result, 0)) - (before_us + after_us) / 2;
        look->unsure_us = (after_us - before_us) / 2;
        look->pooled = atoi(text_at(result, 1)) != PQbackendPID(conn);
    }
}

static void look_at_user(PGconn *conn, struct look_database *look)
{
    PGresult *result PK_AUTO(done_result) = ask(conn, look, "read the user",
        "SELECT r.rolname, r.rolsuper, r.rolcreaterole, r.rolcreatedb, pg_catalog.pg_is_in_recovery(),"
        " pg_catalog.current_setting('server_encoding'),"
        " coalesce((SELECT pg_catalog.pg_has_role(n.nspowner, 'USAGE') FROM pg_catalog.pg_namespace n WHERE n.nspname = 'polku'), false),"
        " (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.backend_type = 'client backend')"
        " FROM pg_catalog.pg_roles r WHERE r.rolname = current_user");
    if (!result || PQntuples(result) != 1)
        return;
    copy(look->user, sizeof look->user, text_at(result, 0));
    look->superuser = bool_at(result, 1);
    look->makes_roles = bool_at(result, 2);
    look->makes_databases = bool_at(result, 3);
    look->standby = bool_at(result, 4);
    copy(look->encoding, sizeof look->encoding, text_at(result, 5));
    look->owner = bool_at(result, 6);
    look->connections = atoll(text_at(result, 7));
}

static bool is_there(PGconn *conn, struct look_database *look)
{
    PGresult *result PK_AUTO(done_result) =
        ask(conn, look, "look for the tables", "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON"
                                               " n.oid = c.relnamespace WHERE n.nspname = 'polku' AND c.relname = 'schema_migration')");
    look->schema_known = result != NULL;
    return result && bool_at(result, 0);
}

/* Everything that was granted to polku_writer; where an administrator has not made that role, the table of events stands for all. */
static void look_at_rights(PGconn *conn, struct look_database *look)
{
    PGresult *result PK_AUTO(done_result) = ask(conn, look, "read the rights",
        "SELECT format('%s on %s.%s', g.privilege, n.nspname, c.relname) FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL ("
        "  SELECT a.privilege_type FROM pg_catalog.aclexplode(c.relacl) a WHERE a.grantee = pg_catalog.to_regrole('polku_writer')::oid"
        "  UNION ALL SELECT 'INSERT' WHERE n.nspname = 'polku' AND c.relname = 'interaction') AS g (privilege)"
        " WHERE n.nspname IN ('polku', 'bi') AND NOT CASE WHEN c.relkind = 'S'"
        "  THEN pg_catalog.has_sequence_privilege(c.oid, g.privilege) ELSE pg_catalog.has_table_privilege(c.oid, g.privilege) END"
        " ORDER BY n.nspname <> 'polku', c.relname <> 'interaction', 1 LIMIT 1");
    PGresult *usage PK_AUTO(done_result) =
        ask(conn, look, "read the rights", "SELECT pg_catalog.has_schema_privilege('polku', 'USAGE')");
    if (!result || !usage)
        return;
    look->rights_known = true;
    if (!bool_at(usage, 0))
        copy(look->lacking, sizeof look->lacking, "USAGE on schema polku");
    else if (PQntuples(result))
        copy(look->lacking, sizeof look->lacking, text_at(result, 0));
}

static void look_at_number(PGconn *conn, struct look_database *look)
{
    PGresult *result PK_AUTO(done_result) =
        ask(conn, look, "read the schema's number", "SELECT coalesce(max(m.number), 0),"
            " coalesce(max(coalesce((to_jsonb(m) ->> 'oldest_program')::int, m.number)), 0) FROM polku.schema_migration m");
    look->schema_known = result != NULL;
    if (!result)
        return;
    look->schema = atoi(text_at(result, 0));
    look->oldest_program = atoi(text_at(result, 1));
}

static void look_at_state(PGconn *conn, struct look_database *look)
{
    PGresult *result PK_AUTO(done_result) =
        ask(conn, look, "read what the tables were derived with",
            "SELECT s.rules_hash, s.key_check, coalesce(to_jsonb(s) ->> 'hashing_hash', ''), s.derivation_version FROM polku.rules_state s");
    if (!result || PQntuples(result) == 0)
        return;
    look->begun = true;
    copy(look->rules_hash, sizeof look->rules_hash, text_at(result, 0));
    copy(look->key_check, sizeof look->key_check, text_at(result, 1));
    copy(look->hashing, sizeof look->hashing, text_at(result, 2));
    look->derivation = atoi(text_at(result, 3));
}

static void look_at_positions(PGconn *conn, struct look_database *look)
{
    PGresult *result PK_AUTO(done_result) =
        ask(conn, look, "read the positions", "SELECT d.text, p.partition, p.next_offset FROM polku.stream_position p"
                                              " JOIN polku.dictionary d ON d.id = p.topic_id ORDER BY 1, 2");
    for (int row = 0; row < PQntuples(result); row++) {
        struct look_place *place = pk_vec_push(&look->place);
        copy(place->topic, sizeof place->topic, PQgetvalue(result, row, 0));
        place->partition = atoi(PQgetvalue(result, row, 1));
        place->next_offset = atoll(PQgetvalue(result, row, 2));
    }
}

/* The host that takes writes, as `run` asks for; if there is none, any, so that it can be said. */
static PGconn *connect_server(const char *conninfo)
{
    PGconn *conn = NULL;
    for (int i = 0; i < 2 && (!conn || PQstatus(conn) != CONNECTION_OK); i++) {
        const char *const keyword[] = {"connect_timeout", "application_name", "client_encoding", "options", "target_session_attrs",
                                       "dbname", NULL};
        const char *const value[] = {"10", "polku-consumer doctor", "UTF8", "-c search_path=pg_catalog", i ? "any" : "read-write",
                                     conninfo, NULL};
        PQfinish(conn);
        conn = PQconnectdbParams(keyword, value, 1);
    }
    return conn;
}

void store_look(const char *conninfo, struct look_database *ret)
{
    struct look_database look = {0};
    PGconn *conn = connect_server(conninfo);
    look.reached = PQstatus(conn) == CONNECTION_OK;
    if (!look.reached) {
        store_connection_says(conn, look.why, sizeof look.why);
    } else {
        look.version = PQserverVersion(conn);
        set_patience(conn, &look);
        look_at_clock(conn, &look);
        look_at_parameters(conn, &look);
        look_at_user(conn, &look);
        if (is_there(conn, &look)) {
            look_at_rights(conn, &look);
            look_at_number(conn, &look);
        }
        if (look.schema > 0) {
            look_at_state(conn, &look);
            look_at_positions(conn, &look);
        }
    }
    PQfinish(conn);
    *ret = look;
}

void store_look_done(struct look_database *look)
{
    pk_vec_done(&look->place);
}

void store_look_uuid(struct pk_hash hash, char ret[40])
{
    for (int i = 0; i < 16; i++)
        ret += sprintf(ret, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", hash.byte[i]);
}
