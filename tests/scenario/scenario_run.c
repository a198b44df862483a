/* SPDX-License-Identifier: Apache-2.0 */
/* polku_scenario FILE ...: runs each scenario in the order of its file, then at once and in other orders, by two
 * consumers; the tables must be the same every time, and the expectations must hold. A short story is told in every
 * order that there is. Decisions keep their order among themselves, and come at any moment. */
#include "canonical.h"
#include "chance.h"
#include "scenario.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHUFFLES = 6, EVERY_ORDER = 5 };

struct way { /* how the events reach the consumers */
    uint64_t seed;      /* 0 keeps the order of the file */
    bool every;         /* the order is number `permutation`, not random */
    size_t permutation;
    size_t batch;
    unsigned workers;
};

static void arrange(const struct way *way, struct chance *chance, size_t *order, size_t count)
{
    size_t left = way->permutation;
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    for (size_t i = count; i > 1 && way->seed; i--) {
        size_t j = way->every ? left % i : chance_below(chance, (unsigned)i), was = order[i - 1];
        left /= i;
        order[i - 1] = order[j];
        order[j] = was;
    }
}

static enum pk_status decide(struct scenario *s, const struct scenario_decision *from, struct memory_worker *command,
                             struct pk_err *err)
{
    struct change_decision decision = {.kind = from->kind, .restore = from->restore, .by = PK_STR("scenario")};
    struct fact_name a, b = {{{0}}};
    if (!scenario_name(s, from->a, &a, &decision.kind_a) ||
        (from->kind == DECIDE_APART && !scenario_name(s, from->b, &b, &decision.kind_b)))
        return scenario_fail(s, from->line, err, "the rules do not know this identifier, or block it");
    if (from->kind == DECIDE_APART && pk_hash_cmp(a.hash, b.hash) > 0) {
        struct fact_name was = a;
        a = b;
        b = was;
    }
    decision.a = a.hash, decision.name_space_a = a.name_space;
    decision.b = b.hash, decision.name_space_b = b.name_space;
    return memory_decide(command, &decision, 1, err);
}

static enum pk_status run_batch(struct scenario *s, struct memory_worker *worker, const size_t *order, size_t count,
                                struct pk_err *err)
{
    struct pk_arena arena = {0};
    struct fact **fact = PK_NEW_ARRAY(&arena, struct fact *, count);
    for (size_t i = 0; i < count; i++) {
        fact[i] = PK_NEW(&arena, struct fact);
        fact_from_event(&s->maker, &s->events.ptr[order[i]].event, &arena, fact[i]);
        fact[i]->topic_name = symbol_of(&s->symbols, PK_STR("events"));
    }
    enum pk_status status = memory_batch(worker, fact, count, err);
    if (status == PK_OK)
        status = memory_audit(worker->store, &s->meaning, err);
    pk_arena_done(&arena);
    return status;
}

/* In the order of the file decisions come where they stand; else at random moments, the last of them at the end. */
static enum pk_status run_events(struct scenario *s, const struct way *way, struct memory_store *store,
                                 struct pk_err *err)
{
    struct chance chance = {way->seed + way->permutation};
    size_t count = s->events.len, decided = 0;
    size_t *order = pk_alloc((count + 1) * sizeof *order);
    arrange(way, &chance, order, count);
    struct memory_worker worker[3];
    for (unsigned i = 0; i < 3; i++)
        memory_worker_init(&worker[i], store, &s->meaning, 1 << 20, symbol_of(&s->symbols, PK_STR("events")), (int32_t)i);
    enum pk_status status = PK_OK;
    for (size_t from = 0; status == PK_OK;) {
        while (status == PK_OK && decided < s->decisions.len &&
               (from == count || (way->seed ? chance_in(&chance, 30) : s->decisions.ptr[decided].after <= from)))
            status = decide(s, &s->decisions.ptr[decided++], &worker[2], err);
        if (from == count || status != PK_OK)
            break;
        size_t size = PK_MIN(way->batch, count - from);
        status = run_batch(s, &worker[chance_below(&chance, way->workers)], order + from, size, err);
        from += size;
    }
    for (unsigned i = 0; i < 3; i++)
        memory_worker_done(&worker[i]);
    free(order);
    return status;
}

static void print_tables(const struct scenario *s, const struct memory_store *store, struct pk_buf *out)
{
    for (size_t i = 0; i < CANONICAL_TABLES; i++)
        if (strcmp(canonical_tables[i].name, "obligation_state") != 0)
            canonical_print(&canonical_tables[i], store, &s->meaning, PK_NO_TIME, out);
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
    bool every = s->events.len <= EVERY_ORDER;
    size_t permutations = 1;
    for (size_t i = 2; every && i <= s->events.len; i++)
        permutations *= i;
    size_t orders = 2 + (every ? 3 * permutations : SHUFFLES);
    for (size_t i = 0; i < orders && failed < 3; i++) {
        struct way way = {.seed = i < 2 ? 0 : i,
                          .every = every,
                          .permutation = i < 2 ? 0 : (i - 2) % permutations,
                          .batch = i == 0 ? 1 : i == 1 ? 1 << 20 : every ? 1 + (i - 2) / permutations : 1 + i % 3,
                          .workers = i < 2 ? 1 : 2};
        struct memory_store store;
        struct pk_err err = {0};
        struct pk_buf tables = {0};
        memory_store_init(&store);
        if (run_events(s, &way, &store, &err) != PK_OK) {
            fprintf(stderr, "%s: order %zu: %s\n", s->path, i, err.text);
            failed++;
        } else if (i == 0) {
            print_tables(s, &store, &first);
            failed += check_expectations(s, &store);
        } else {
            print_tables(s, &store, &tables);
            bool same = tables.len == first.len && (first.len == 0 || memcmp(tables.ptr, first.ptr, first.len) == 0);
            if (!same)
                fprintf(stderr, "%s: another order of arrival (%zu) gives other tables\n", s->path, i);
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
