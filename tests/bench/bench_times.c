/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into polku-consumer it writes when each transaction that saves a batch begins, as a line of nanoseconds, to
 * the file that POLKU_BENCH_TIMES names. Where Kafka has records at hand, what lies between two lines is one batch. */
#include <dlfcn.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static FILE *file;
static char begin[64]; /* name of the prepared BEGIN that writes */

static void *next(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    const char *path = getenv("POLKU_BENCH_TIMES");
    if (!file)
        file = path ? fopen(path, "w") : NULL;
    if (!symbol || !file) {
        fprintf(stderr, "bench_times: no %s, or POLKU_BENCH_TIMES cannot be written\n", name);
        _Exit(1);
    }
    return symbol;
}

int PQsendPrepare(PGconn *conn, const char *name, const char *sql, int params, const Oid *types)
{
    int (*real)(PGconn *, const char *, const char *, int, const Oid *) = next("PQsendPrepare");
    if (strncmp(sql, "BEGIN", 5) == 0 && strstr(sql, "READ WRITE"))
        snprintf(begin, sizeof begin, "%s", name);
    return real(conn, name, sql, params, types);
}

int PQsendQueryPrepared(PGconn *conn, const char *name, int params, const char *const *value, const int *len,
                        const int *format, int result_format)
{
    int (*real)(PGconn *, const char *, int, const char *const *, const int *, const int *, int) =
        next("PQsendQueryPrepared");
    if (strcmp(name, begin) == 0) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        fprintf(file, "%" PRId64 "\n", (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
    }
    return real(conn, name, params, value, len, format, result_format);
}
