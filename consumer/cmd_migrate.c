/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd_migrate.h"
#include "crash_point.h"
#include "store_conninfo.h"

#include <dirent.h>
#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#define MIGRATION_LOCK "482905713526" /* sql/migrations/0002_functions.sql lists the others */

struct migration {
    int number;
    char *name;
    struct pk_buf text;
    char checksum[65]; /* SHA-256 in hex, by the server */
    int oldest_program; /* the smallest STORE_SCHEMA that can go on with it */
};

struct migrate {
    PGconn *conn;
    PK_VEC(struct migration) file; /* by number, without gaps from 1 */
    migrate_note *note;
    void *context;
};

static void migrate_done(struct migrate *m)
{
    for (size_t i = 0; i < m->file.len; i++) {
        free(m->file.ptr[i].name);
        pk_buf_done(&m->file.ptr[i].text);
    }
    pk_vec_done(&m->file);
    PQfinish(m->conn); /* and with it the lock */
}

static void say(struct migrate *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct migrate *m, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (m->note)
        m->note(m->context, text);
}

static void trim(char *text)
{
    for (size_t len = strlen(text); len > 0 && text[len - 1] == '\n'; len--)
        text[len - 1] = '\0';
}

static void on_notice(void *context, const char *text)
{
    char copy[512];
    snprintf(copy, sizeof copy, "%s", text);
    trim(copy);
    say(context, "%s", copy);
}

/* ---- files ---- */

static enum pk_status read_file(const char *path, struct pk_buf *text, struct pk_err *err)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return pk_fail(err, PK_STOP, "cannot read %s: %s", path, strerror(errno));
    pk_buf_reset(text);
    pk_buf_text(text, "");
    for (;;) {
        char part[8192];
        size_t got = fread(part, 1, sizeof part, file);
        if (got == 0)
            break;
        pk_buf_add(text, part, got);
    }
    bool failed = ferror(file);
    fclose(file);
    return failed ? pk_fail(err, PK_STOP, "cannot read %s", path) : PK_OK;
}

static int by_number(const void *a, const void *b)
{
    const struct migration *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static bool is_migration(const char *name, int *ret_number)
{
    size_t len = strlen(name);
    if (len < 10 || strspn(name, "0123456789") != 4 || name[4] != '_' || strcmp(name + len - 4, ".sql") != 0)
        return false;
    *ret_number = atoi(name);
    return true;
}

/* "-- oldest program: N" on a line of its own among the comments at its top; without it only programs that know the file. */
static enum pk_status read_oldest_program(struct migration *file, struct pk_err *err)
{
    static const char mark[] = "-- oldest program: ";
    file->oldest_program = file->number;
    for (const char *line = file->text.ptr; line && !strncmp(line, "--", 2); line = strchr(line, '\n'), line += line != NULL) {
        if (strncmp(line, mark, sizeof mark - 1) != 0)
            continue;
        file->oldest_program = atoi(line + sizeof mark - 1);
        if (file->oldest_program < 1 || file->oldest_program > file->number)
            return pk_fail(err, PK_STOP, "%s: the oldest program is a number from 1 to %d", file->name, file->number);
    }
    return PK_OK;
}

static enum pk_status read_migrations(struct migrate *m, const char *sql_dir, struct pk_err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/migrations", sql_dir);
    DIR *dir = opendir(path);
    if (!dir)
        return pk_fail(err, PK_STOP, "cannot read the folder %s: %s", path, strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir));) {
        int number;
        if (is_migration(entry->d_name, &number))
            *pk_vec_push(&m->file) = (struct migration){.number = number, .name = pk_strdup(entry->d_name)};
    }
    closedir(dir);
    if (m->file.len == 0)
        return pk_fail(err, PK_STOP, "the folder %s has no files NNNN_name.sql", path);
    qsort(m->file.ptr, m->file.len, sizeof *m->file.ptr, by_number);

    for (size_t i = 0; i < m->file.len; i++) {
        struct migration *file = &m->file.ptr[i];
        if (file->number != (int)i + 1)
            return pk_fail(err, PK_STOP, "%s/%s: number %04zu is expected here, is a file missing or double?", path, file->name, i + 1);
        char name[4400];
        snprintf(name, sizeof name, "%s/%s", path, file->name);
        enum pk_status status = read_file(name, &file->text, err);
        if (status == PK_OK)
            status = read_oldest_program(file, err);
        if (status != PK_OK)
            return status;
    }
    return PK_OK;
}

/* ---- server ---- */

static enum pk_status fail_of(struct migrate *m, const PGresult *result, const char *what, struct pk_err *err)
{
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    if (!state || PQstatus(m->conn) == CONNECTION_BAD) {
        char text[400];
        store_connection_says(m->conn, text, sizeof text);
        return pk_fail(err, PK_RETRY, "%s: the connection to PostgreSQL broke: %s", what, text);
    }
    bool busy = !strcmp(state, "55P03") || !strcmp(state, "40P01") || !strcmp(state, "40001") || !strncmp(state, "53", 2);
    const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
    return pk_fail(err, busy ? PK_RETRY : PK_STOP, "%s: %s (SQLSTATE %s%s%s)", what,
                   PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY), state, position ? ", character " : "",
                   position ? position : "");
}

/* Runs SQL without parameters; a file has many statements. */
static enum pk_status run(struct migrate *m, const char *what, const char *sql, struct pk_err *err)
{
    PGresult *result = PQexec(m->conn, sql);
    ExecStatusType state = PQresultStatus(result);
    enum pk_status status = PK_OK;
    if (state != PGRES_COMMAND_OK && state != PGRES_TUPLES_OK && state != PGRES_EMPTY_QUERY)
        status = fail_of(m, result, what, err);
    PQclear(result);
    return status;
}

static enum pk_status connect_server(struct migrate *m, const char *conninfo, struct pk_err *err)
{
    const char *const keyword[] = {"connect_timeout", "application_name", "client_encoding", "target_session_attrs", "dbname", NULL};
    const char *const value[] = {"10", "polku-consumer migrate", "UTF8", "read-write", conninfo, NULL};
    m->conn = PQconnectdbParams(keyword, value, 1);
    if (PQstatus(m->conn) != CONNECTION_OK) {
        char text[400];
        store_connection_says(m->conn, text, sizeof text);
        return pk_fail(err, PK_RETRY, "cannot connect to PostgreSQL: %s", text);
    }
    if (PQserverVersion(m->conn) < 150000)
        return pk_fail(err, PK_STOP, "PostgreSQL 15 or newer is needed, the server is %d", PQserverVersion(m->conn) / 10000);
    PQsetNoticeProcessor(m->conn, on_notice, m);
    return run(m, "set up the session",
               "SET lock_timeout = '60s'; SET search_path = pg_catalog; SET client_min_messages = warning; "
               "SET standard_conforming_strings = on",
               err);
}

static enum pk_status make_table(struct migrate *m, struct pk_err *err)
{
    return run(m, "create the schema",
               "BEGIN; CREATE SCHEMA IF NOT EXISTS polku; "
               "CREATE TABLE IF NOT EXISTS polku.schema_migration ("
               " number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
               " applied_at timestamptz NOT NULL DEFAULT clock_timestamp());"
               "ALTER TABLE polku.schema_migration ADD COLUMN IF NOT EXISTS oldest_program integer;"
               "COMMENT ON COLUMN polku.schema_migration.oldest_program IS"
               " 'The smallest schema number of a program that can go on with it; null = number.'; COMMIT",
               err);
}

static enum pk_status make_checksum(struct migrate *m, struct migration *file, struct pk_err *err)
{
    const char *const value[] = {file->text.ptr};
    const int len[] = {(int)file->text.len}, format[] = {1};
    PGresult *result = PQexecParams(m->conn, "SELECT encode(sha256($1::bytea), 'hex')", 1, NULL, value, len, format, 0);
    enum pk_status status = PK_OK;
    if (PQresultStatus(result) == PGRES_TUPLES_OK)
        snprintf(file->checksum, sizeof file->checksum, "%s", PQgetvalue(result, 0, 0));
    else
        status = fail_of(m, result, "compute a checksum", err);
    PQclear(result);
    return status;
}

/* Compares what was applied with the files; *ret_applied = how many were. */
static enum pk_status check_applied(struct migrate *m, size_t *ret_applied, struct pk_err *err)
{
    PGresult *result = PQexec(m->conn, "SELECT number, name, checksum FROM polku.schema_migration ORDER BY number");
    enum pk_status status = PK_OK;
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        status = fail_of(m, result, "read the applied migrations", err);
    int rows = status == PK_OK ? PQntuples(result) : 0;
    for (int row = 0; row < rows && status == PK_OK; row++) {
        int number = atoi(PQgetvalue(result, row, 0));
        if (number != row + 1)
            status = pk_fail(err, PK_STOP, "the table polku.schema_migration lacks number %d: somebody changed it", row + 1);
        else if ((size_t)row >= m->file.len)
            status = pk_fail(err, PK_STOP, "the database has %s, which this program does not know: install the newer program",
                             PQgetvalue(result, row, 1));
        else if (strcmp(PQgetvalue(result, row, 2), m->file.ptr[row].checksum) != 0)
            status = pk_fail(err, PK_STOP,
                             "%s was changed after it was applied: restore the file and put the change into a new one",
                             m->file.ptr[row].name);
    }
    PQclear(result);
    if (status == PK_OK)
        *ret_applied = (size_t)rows;
    return status;
}

static enum pk_status apply(struct migrate *m, const struct migration *file, struct pk_err *err)
{
    enum pk_status status = run(m, file->name, "BEGIN", err);
    if (status == PK_OK)
        status = run(m, file->name, file->text.ptr, err);
    if (status == PK_OK && PQtransactionStatus(m->conn) != PQTRANS_INTRANS)
        return pk_fail(err, PK_STOP, "%s ends its transaction: a migration must not contain COMMIT or ROLLBACK", file->name);
    if (status != PK_OK)
        return status;

    CRASH_POINT(migrate_within);
    char number[12], oldest[12];
    snprintf(number, sizeof number, "%d", file->number);
    snprintf(oldest, sizeof oldest, "%d", file->oldest_program);
    const char *const value[] = {number, file->name, file->checksum, oldest};
    PGresult *result = PQexecParams(m->conn, "INSERT INTO polku.schema_migration (number, name, checksum, oldest_program)"
                                             " VALUES ($1, $2, $3, $4)", 4, NULL, value, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        status = fail_of(m, result, file->name, err);
    PQclear(result);
    CRASH_POINT(migrate_before_commit);
    if (status == PK_OK)
        status = run(m, file->name, "COMMIT", err);
    CRASH_POINT(migrate_between);
    if (status == PK_OK)
        say(m, "applied %s", file->name);
    return status;
}

static enum pk_status apply_roles(struct migrate *m, const char *sql_dir, struct pk_err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/roles.sql", sql_dir);
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    enum pk_status status = read_file(path, &text, err);
    if (status == PK_OK)
        status = run(m, "roles.sql", "BEGIN", err);
    if (status == PK_OK)
        status = run(m, "roles.sql", text.ptr, err);
    CRASH_POINT(migrate_roles);
    if (status == PK_OK)
        status = run(m, "roles.sql", "COMMIT", err);
    return status;
}

static enum pk_status migrate_all(struct migrate *m, const char *conninfo, const char *sql_dir, struct pk_err *err)
{
    size_t applied = 0;
    enum pk_status status = read_migrations(m, sql_dir, err);
    if (status == PK_OK)
        status = connect_server(m, conninfo, err);
    if (status == PK_OK)
        status = run(m, "wait for another migrate", "SELECT pg_advisory_lock(" MIGRATION_LOCK ")", err);
    if (status == PK_OK)
        status = make_table(m, err);
    for (size_t i = 0; i < m->file.len && status == PK_OK; i++)
        status = make_checksum(m, &m->file.ptr[i], err);
    if (status == PK_OK)
        status = check_applied(m, &applied, err);
    for (size_t i = applied; i < m->file.len && status == PK_OK; i++)
        status = apply(m, &m->file.ptr[i], err);
    if (status == PK_OK)
        status = apply_roles(m, sql_dir, err);
    if (status == PK_OK)
        say(m, "the schema has number %zu%s", m->file.len, applied == m->file.len ? ", nothing was missing" : "");
    return status;
}

enum pk_status migrate_run(const char *conninfo, const char *sql_dir, migrate_note *note, void *context,
                           struct pk_err *err)
{
    struct migrate m = {.note = note, .context = context};
    enum pk_status status = migrate_all(&m, conninfo ? conninfo : "", sql_dir, err);
    migrate_done(&m);
    return status;
}
