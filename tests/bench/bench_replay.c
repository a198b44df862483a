/* SPDX-License-Identifier: Apache-2.0 */
/* Sends the row writes of a recorded run again, as plain prepared SQL: bench_replay FILE CONNINFO [--statements]
 *
 * The database is a fresh copy of the one that was recorded on, from the same template (types have the same OIDs). First,
 * not timed: the dictionary, the months and the claim. Then, timed: every transaction that saved a batch, as one
 * pipeline each, the next one when its COMMIT was read. What only reads is left out.
 *
 * Prints transactions, events, journeys, seconds and the CPU seconds of the server process (of this machine) as NAME=VALUE.
 * With --statements every result is waited for and a table
 * says what each statement costs the server. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench_record.h"
#include "pk.h"

enum { MAX_PARAMS = 64, MAX_STATEMENTS = 64 };

struct query {
    const char *name;
    int params, len[MAX_PARAMS];
    const char *value[MAX_PARAMS];
};

struct cost {
    const char *name;
    uint64_t calls, rows, bytes;
    double seconds, server_seconds;
};

static PGconn *conn;
static struct cost costs[MAX_STATEMENTS];
static size_t cost_count;
static const int binary[MAX_PARAMS] = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_replay: %s: %s\n", what, why);
    exit(1);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* CPU time of the server process so far; 0 if it is not of this machine. */
static double server_seconds(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/schedstat", PQbackendPID(conn));
    FILE *file = fopen(path, "r");
    uint64_t ns = 0;
    if (file && fscanf(file, "%" SCNu64, &ns) != 1)
        ns = 0;
    if (file)
        fclose(file);
    return (double)ns * 1e-9;
}

/* ---- the file ---- */

struct reader {
    const char *at, *end;
};

static int32_t read_number(struct reader *r)
{
    int32_t number;
    if (r->end - r->at < (ptrdiff_t)sizeof number)
        die("the record", "cut off");
    memcpy(&number, r->at, sizeof number);
    r->at += sizeof number;
    return number;
}

static const char *read_bytes(struct reader *r, int *ret_len)
{
    *ret_len = read_number(r);
    if (*ret_len < 0)
        return NULL;
    if (r->end - r->at < *ret_len)
        die("the record", "cut off");
    r->at += *ret_len;
    return r->at - *ret_len;
}

static const char *read_text(struct reader *r)
{
    int len;
    return read_bytes(r, &len);
}

static struct query read_query(struct reader *r)
{
    struct query query = {.name = read_text(r), .params = read_number(r)};
    if (query.params > MAX_PARAMS)
        die("the record", "too many parameters");
    for (int i = 0; i < query.params; i++)
        query.value[i] = read_bytes(r, &query.len[i]);
    return query;
}

/* ---- the server ---- */

static void flush_and_wait(bool results)
{
    for (;;) {
        int unsent = PQflush(conn);
        if (unsent < 0)
            die("send", PQerrorMessage(conn));
        if (results ? !PQisBusy(conn) : !unsent)
            return;
        struct pollfd fd = {PQsocket(conn), (short)(POLLIN | (unsent ? POLLOUT : 0)), 0};
        if (poll(&fd, 1, -1) < 0 && errno != EINTR)
            die("wait", strerror(errno));
        if ((fd.revents & POLLIN) && !PQconsumeInput(conn))
            die("receive", PQerrorMessage(conn));
    }
}

static PGresult *next_result(void)
{
    flush_and_wait(true);
    return PQgetResult(conn);
}

static void send_query(const struct query *query)
{
    if (!PQsendQueryPrepared(conn, query->name, query->params, query->value, query->len, binary, 1))
        die(query->name, PQerrorMessage(conn));
}

/* Returns the rows that the statement counted, 0 if it is no INSERT, UPDATE or DELETE. */
static uint64_t take_result(const char *name)
{
    PGresult *result = next_result();
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        die(name, result ? PQresultErrorMessage(result) : PQerrorMessage(conn));
    uint64_t rows = status == PGRES_COMMAND_OK ? strtoull(PQcmdTuples(result), NULL, 10) : 0;
    PQclear(result);
    if ((result = next_result()))
        die(name, "more than one result");
    return rows;
}

static void take_sync(void)
{
    PGresult *result = next_result();
    if (PQresultStatus(result) != PGRES_PIPELINE_SYNC)
        die("sync", PQerrorMessage(conn));
    PQclear(result);
}

static void sync_now(void)
{
    if (!PQpipelineSync(conn))
        die("sync", PQerrorMessage(conn));
}

/* ---- costs ---- */

static uint64_t array_length(const struct query *query)
{
    for (int i = 0; i < query->params; i++)
        if (query->len[i] >= 20 && pk_get_be32((const uint8_t *)query->value[i]) == 1)
            return pk_get_be32((const uint8_t *)query->value[i] + 12);
    return 0;
}

static void add_cost(const struct query *query, uint64_t rows, double seconds, double server)
{
    struct cost *cost = costs;
    while (cost < costs + cost_count && strcmp(cost->name, query->name) != 0)
        cost++;
    if (cost == costs + MAX_STATEMENTS)
        die(query->name, "too many statements");
    cost_count = PK_MAX(cost_count, (size_t)(cost - costs) + 1);
    cost->name = query->name;
    cost->calls++;
    cost->rows += rows ? rows : array_length(query);
    for (int i = 0; i < query->params; i++)
        cost->bytes += (uint64_t)PK_MAX(query->len[i], 0);
    cost->seconds += seconds;
    cost->server_seconds += server;
}

static int by_seconds(const void *left, const void *right)
{
    const struct cost *a = left, *b = right;
    return (b->server_seconds > a->server_seconds) - (b->server_seconds < a->server_seconds);
}

static void print_costs(void)
{
    double total = 0;
    qsort(costs, cost_count, sizeof *costs, by_seconds);
    for (size_t i = 0; i < cost_count; i++)
        total += costs[i].server_seconds;
    printf("| statement | calls | rows | bytes a row | ms | of it CPU | CPU us a row | share |\n|---|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < cost_count; i++) {
        double rows = (double)PK_MAX(costs[i].rows, UINT64_C(1));
        printf("| %s | %" PRIu64 " | %" PRIu64 " | %.0f | %.0f | %.0f | %.2f | %.1f %% |\n", costs[i].name, costs[i].calls, costs[i].rows,
               (double)costs[i].bytes / rows, costs[i].seconds * 1e3, costs[i].server_seconds * 1e3,
               costs[i].server_seconds * 1e6 / rows, 100 * costs[i].server_seconds / total);
    }
    printf("| all | | | | | %.0f | | |\n", total * 1e3);
}

/* ---- the replay ---- */

static bool is_one_of(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(name, *list) == 0)
            return true;
    return false;
}

/* Statements outside of the transactions that save: those that make what these rely on, and those that only read. */
static const char *const prepares[] = {"CLAIM", "INTERN", "MONTHS", "NEW_CELLS", NULL};
static const char *const reads[] = {
    "DICTIONARY",    "RULES_READ",    "BEGIN_READ", "LOAD_KEYS",    "LOAD_MEETINGS",    "FIND_MEETINGS", "LOAD_SEEN", "LOAD_FACTS",
    "LOAD_NAMELESS", "LOAD_JOURNEYS", "FIND_FACTS", "LOAD_COURSES", "LOAD_OBLIGATIONS", "COMMIT",        "ROLLBACK",
    "LOAD_CARRIES",  "LOAD_FORGOTTEN", "LOAD_SEALED", "LOAD_WRITTEN", "READ_POSITIONS", "RETAINED", NULL};
/* What the database is told of the rules, once, before the first batch: no row of a batch needs it. */
static const char *const rules[] = {"RULES_STORE", "CALENDARS_STORE",   "OPENS_STORE", "KINDS_STORE",
                                    "DEFINITIONS_STORE", "MILESTONES_STORE", NULL};

/* Does this statement begin a transaction that saves rows of a batch? */
static bool begins_batch(const struct query *query, struct reader behind)
{
    if (strcmp(query->name, "BEGIN_WRITE") != 0)
        return false;
    if (behind.at == behind.end || *behind.at++ != RECORD_QUERY)
        return true;
    return !is_one_of(read_query(&behind).name, rules);
}

/* Goes through the whole file and sends the preparing statements. */
static void prepare(struct reader r)
{
    bool pipeline = false, saving = false;
    while (r.at < r.end) {
        char kind = *r.at++;
        if (kind == RECORD_EXEC) {
            const char *sql = read_text(&r);
            if (strncmp(sql, "SET ", 4) != 0)
                continue;
            PGresult *result = PQexec(conn, sql);
            if (PQresultStatus(result) != PGRES_COMMAND_OK)
                die("set up the session", PQerrorMessage(conn));
            PQclear(result);
            continue;
        }
        if (!pipeline && (PQsetnonblocking(conn, 1) != 0 || !PQenterPipelineMode(conn)))
            die("pipeline mode", PQerrorMessage(conn));
        pipeline = true;
        if (kind == RECORD_PREPARE) {
            const char *name = read_text(&r), *sql = read_text(&r);
            if (!PQsendPrepare(conn, name, sql, 0, NULL))
                die(name, PQerrorMessage(conn));
            sync_now();
            take_result(name);
            take_sync();
        } else if (kind == RECORD_SYNC) {
            saving = false;
        } else {
            struct query query = read_query(&r);
            saving |= begins_batch(&query, r);
            if (saving || is_one_of(query.name, reads) || is_one_of(query.name, rules) ||
                strcmp(query.name, "BEGIN_WRITE") == 0)
                continue;
            if (!is_one_of(query.name, prepares))
                die(query.name, "the recorded run tried a batch again; record it while nobody else writes");
            send_query(&query);
            sync_now();
            take_result(query.name);
            take_sync();
        }
    }
}

struct totals {
    uint64_t transactions, events, journeys;
    double seconds, server_seconds;
};

static void count(struct totals *totals, const char *name, uint64_t rows)
{
    totals->transactions += strcmp(name, "COMMIT") == 0;
    totals->events += strcmp(name, "ADD_FACTS") == 0 ? rows : 0;
    totals->journeys += strcmp(name, "NEW_JOURNEYS") == 0 || strcmp(name, "PUT_JOURNEYS") == 0 ? rows : 0;
}

static void save_one_by_one(const struct query *query, struct totals *totals)
{
    double start = now_s(), server_start = server_seconds();
    send_query(query);
    if (!PQsendFlushRequest(conn))
        die(query->name, PQerrorMessage(conn));
    uint64_t rows = take_result(query->name);
    add_cost(query, rows, now_s() - start, server_seconds() - server_start);
    count(totals, query->name, rows);
}

static struct totals save(struct reader r, bool one_by_one)
{
    struct totals totals = {0};
    PK_VEC(const char *) sent = {0};
    bool saving = false;
    double start = now_s(), server_start = server_seconds();
    while (r.at < r.end) {
        char kind = *r.at++;
        if (kind == RECORD_QUERY) {
            struct query query = read_query(&r);
            saving |= begins_batch(&query, r);
            if (saving && one_by_one) {
                save_one_by_one(&query, &totals);
            } else if (saving) {
                send_query(&query);
                *pk_vec_push(&sent) = query.name;
            }
        } else if (kind == RECORD_SYNC && saving) {
            sync_now();
            for (size_t i = 0; i < sent.len; i++)
                count(&totals, sent.ptr[i], take_result(sent.ptr[i]));
            take_sync();
            sent.len = 0;
            saving = false;
        } else if (kind != RECORD_SYNC) {
            read_text(&r);
            if (kind == RECORD_PREPARE)
                read_text(&r);
        }
    }
    totals.seconds = now_s() - start;
    totals.server_seconds = server_seconds() - server_start;
    pk_vec_done(&sent);
    return totals;
}

int main(int argc, char *argv[])
{
    if (argc < 3 || argc > 4 || (argc == 4 && strcmp(argv[3], "--statements") != 0)) {
        fprintf(stderr, "usage: bench_replay FILE CONNINFO [--statements]\n");
        return 2;
    }
    int fd = open(argv[1], O_RDONLY);
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) != 0)
        die(argv[1], strerror(errno));
    void *map = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (map == MAP_FAILED)
        die(argv[1], strerror(errno));
    close(fd);
    conn = PQconnectdb(argv[2]);
    if (PQstatus(conn) != CONNECTION_OK)
        die("connect", PQerrorMessage(conn));

    struct reader reader = {map, (const char *)map + stat.st_size};
    prepare(reader);
    struct totals totals = save(reader, argc == 4);
    if (argc == 4)
        print_costs();
    else
        printf("transactions=%" PRIu64 " events=%" PRIu64 " journeys=%" PRIu64 " seconds=%.3f server_seconds=%.2f\n",
               totals.transactions, totals.events, totals.journeys, totals.seconds, totals.server_seconds);
    PQfinish(conn);
    munmap(map, (size_t)stat.st_size);
    return 0;
}
