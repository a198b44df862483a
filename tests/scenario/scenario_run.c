/* SPDX-License-Identifier: Apache-2.0 */
/* polku_scenario FILE ...: runs each scenario in the order of its file, then at once and shuffled, by two
 * consumers; the tables must be the same every time, and the expectations must hold. */
#include "canonical.h"
#include "chance.h"
#include "scenario.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHUFFLES = 6 };

struct way { /* how the events reach the consumers */
    uint64_t seed; /* 0 keeps the order of the file */
    size_t batch;
    unsigned workers;
};

static enum pk_status run_events(struct scenario *s, const struct way *way, struct memory_store *store,
                                 struct pk_err *err)
{
    struct chance chance = {way->seed};
    size_t count = s->events.len;
    size_t *order = pk_alloc((count + 1) * sizeof *order);
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    for (size_t i = count; i > 1 && way->seed; i--) {
        size_t j = chance_below(&chance, (unsigned)i), was = order[i - 1];
        order[i - 1] = order[j];
        order[j] = was;
    }
    struct memory_worker worker[2];
    for (unsigned i = 0; i < 2; i++)
        memory_worker_init(&worker[i], store, &s->meaning, 1 << 20, symbol_of(&s->symbols, PK_STR("events")), (int32_t)i);
    enum pk_status status = PK_OK;
    for (size_t from = 0; from < count && status == PK_OK;) {
        struct memory_worker *chosen = &worker[chance_below(&chance, way->workers)];
        struct pk_arena arena = {0};
        size_t size = PK_MIN(way->batch, count - from);
        struct fact **fact = PK_NEW_ARRAY(&arena, struct fact *, size);
        for (size_t i = 0; i < size; i++) {
            fact[i] = PK_NEW(&arena, struct fact);
            fact_from_event(&s->maker, &s->events.ptr[order[from + i]].event, &arena, fact[i]);
            fact[i]->topic_name = symbol_of(&s->symbols, PK_STR("events"));
        }
        status = memory_batch(chosen, fact, size, err);
        pk_arena_done(&arena);
        from += size;
    }
    for (unsigned i = 0; i < 2; i++)
        memory_worker_done(&worker[i]);
    free(order);
    return status;
}

static void print_tables(const struct scenario *s, const struct memory_store *store, struct pk_buf *out)
{
    for (size_t i = 0; i < CANONICAL_TABLES; i++)
        if (strcmp(canonical_tables[i].name, "obligation_state") != 0)
            canonical_print(&canonical_tables[i], store, &s->symbols, PK_NO_TIME, out);
}

static int check_expectations(struct scenario *s, const struct memory_store *store)
{
    int failed = 0;
    for (size_t i = 0; i < s->expectations.len; i++) {
        struct pk_err err = {0};
        if (scenario_check(s, store, &s->expectations.ptr[i], &err) != PK_OK) {
            fprintf(stderr, "%s\n", err.text);
            failed++;
        }
    }
    return failed;
}

static int run_scenario(struct scenario *s)
{
    struct pk_buf first = {0};
    int failed = 0;
    for (int i = 0; i < 2 + SHUFFLES; i++) {
        struct way way = {i < 2 ? 0 : (uint64_t)i, i == 0 ? 1 : i == 1 ? 1 << 20 : (size_t)(1 + i % 3), i < 2 ? 1 : 2};
        struct memory_store store;
        struct pk_err err = {0};
        struct pk_buf tables = {0};
        memory_store_init(&store);
        if (run_events(s, &way, &store, &err) != PK_OK) {
            fprintf(stderr, "%s: order %d: %s\n", s->path, i, err.text);
            failed++;
        } else if (i == 0) {
            print_tables(s, &store, &first);
            failed += check_expectations(s, &store);
        } else {
            print_tables(s, &store, &tables);
            bool same = tables.len == first.len && (first.len == 0 || memcmp(tables.ptr, first.ptr, first.len) == 0);
            if (!same)
                fprintf(stderr, "%s: another order of arrival (%d) gives other tables\n", s->path, i);
            failed += !same;
        }
        pk_buf_done(&tables);
        memory_store_done(&store);
    }
    pk_buf_done(&first);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        struct scenario s;
        struct pk_err err = {0};
        if (scenario_read(argv[i], POLKU_SOURCE_DIR, &s, &err) != PK_OK) {
            fprintf(stderr, "%s\n", err.text);
            failed++;
        } else {
            int wrong = run_scenario(&s);
            printf("%s %.*s: %zu events, %zu expectations\n", wrong ? "FAILED" : "ok", PK_STR_ARG(s.title), s.events.len,
                   s.expectations.len);
            failed += wrong != 0;
        }
        scenario_done(&s);
    }
    if (argc < 2)
        fputs("polku_scenario FILE ...: runs scenarios\n", stderr);
    return argc < 2 ? 2 : failed != 0;
}
