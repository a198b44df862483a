/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into polku-consumer it writes every statement that goes to PostgreSQL, with its parameters, to the
 * file that POLKU_BENCH_RECORD names: what bench_replay.c sends again. Nothing else changes. */
#include <dlfcn.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_record.h"

static FILE *file;

static void *next(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    if (!symbol) {
        fprintf(stderr, "bench_record: no %s\n", name);
        _Exit(1);
    }
    if (!file) {
        const char *path = getenv("POLKU_BENCH_RECORD");
        file = path ? fopen(path, "wb") : NULL;
        if (!file) {
            fprintf(stderr, "bench_record: POLKU_BENCH_RECORD cannot be written\n");
            _Exit(1);
        }
        setvbuf(file, NULL, _IOFBF, 1 << 20);
    }
    return symbol;
}

static void write_number(int32_t number)
{
    fwrite(&number, sizeof number, 1, file);
}

static void write_bytes(const char *ptr, int len) /* ptr NULL: -1 */
{
    write_number(ptr ? len : -1);
    if (ptr)
        fwrite(ptr, 1, (size_t)len, file);
}

static void write_text(const char *text)
{
    write_bytes(text, (int)strlen(text) + 1);
}

PGresult *PQexec(PGconn *conn, const char *sql)
{
    PGresult *(*real)(PGconn *, const char *) = next("PQexec");
    putc(RECORD_EXEC, file);
    write_text(sql);
    return real(conn, sql);
}

int PQsendPrepare(PGconn *conn, const char *name, const char *sql, int params, const Oid *types)
{
    int (*real)(PGconn *, const char *, const char *, int, const Oid *) = next("PQsendPrepare");
    putc(RECORD_PREPARE, file);
    write_text(name);
    write_text(sql);
    return real(conn, name, sql, params, types);
}

int PQsendQueryPrepared(PGconn *conn, const char *name, int params, const char *const *value, const int *len,
                        const int *format, int result_format)
{
    int (*real)(PGconn *, const char *, int, const char *const *, const int *, const int *, int) =
        next("PQsendQueryPrepared");
    putc(RECORD_QUERY, file);
    write_text(name);
    write_number(params);
    for (int i = 0; i < params; i++)
        write_bytes(value[i], len[i]);
    return real(conn, name, params, value, len, format, result_format);
}

int PQpipelineSync(PGconn *conn)
{
    int (*real)(PGconn *) = next("PQpipelineSync");
    putc(RECORD_SYNC, file);
    return real(conn);
}
