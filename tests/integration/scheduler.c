/* SPDX-License-Identifier: Apache-2.0 */
/* Real committers against a real PostgreSQL, interleaved statement by statement by a seeded scheduler, with crashes,
 * lost replies, rebalances with zombies, failovers to an older state and decisions in between. After every commit
 * the tables equal the batch answer of exactly the events up to the stored positions.
 *
 * POLKU_SEED=n begins with that schedule, POLKU_CASES=n says how many. POLKU_MUTANT=name leaves a rule of
 * docs/protocol.md out: then the test passes if that is noticed. POLKU_SHOW=1 prints every schedule, not only one that
 * went wrong. Programs live for GROUP schedules, so one is repeated by beginning with the first of its group. */
#include "scheduler.h"
#include "derive_check.h"
#include "event_json.h"
#include "scheduler_tables.h"
#include "store_support.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* ---- the checker: a process of its own, which reads ---- */

struct checker {
    struct actor actor;
    struct pk_arena arena; /* of the schedule: events and facts */
    const struct fact *master[MOST_PARTITIONS][MOST_DELIVERIES];
    int64_t stored[MOST_PARTITIONS]; /* positions as last seen */
    int64_t decisions;               /* rows ever made and taken back, as last seen */
    struct { /* the same of each copy */
        int64_t stored[MOST_PARTITIONS], decisions;
        bool taken;
    } copy[COPIES];
    bool copying;
    unsigned copies;
};

static void read_positions(struct sim *sim, int64_t stored[MOST_PARTITIONS], int64_t *decisions)
{
    memset(stored, 0, sizeof *stored * MOST_PARTITIONS);
    PGresult *rows = tables_query(sim->sql, "SELECT partition, next_offset FROM polku.stream_position UNION ALL"
                                            " SELECT -1, count(*) + count(restored_at) FROM polku.decision");
    for (int i = 0; i < PQntuples(rows); i++) {
        int partition = atoi(PQgetvalue(rows, i, 0));
        int64_t number = strtoll(PQgetvalue(rows, i, 1), NULL, 10);
        if (partition < 0)
            *decisions = number;
        else if (partition < MOST_PARTITIONS)
            stored[partition] = number;
    }
    PQclear(rows);
}

static void compare(struct sim *sim, struct checker *c, bool last)
{
    struct pk_err err = {0};
    struct memory_store store;
    const struct fact *fact[2 * MOST_DELIVERIES];
    struct change_decision *decision;
    size_t facts = 0, decisions = 0;
    for (unsigned p = 0; p < sim->partitions; p++)
        for (int64_t i = 0; i < c->stored[p] && i < sim->length[p]; i++)
            fact[facts++] = c->master[p][i];
    enum pk_status status = tables_load(sim->sql, c->actor.store, &c->actor.symbols, &store, &err);
    decision = PK_NEW_ARRAY(&store.arena, struct change_decision, store.decisions.len + 1);
    for (size_t i = 0; i < store.decisions.len; i++)
        decision[decisions++] = store.decisions.ptr[i].row;
    if (status == PK_OK)
        status = derive_check(&store, &c->actor.meaning, fact, facts, decision, decisions, &err);
    if (status == PK_OK && last)
        status = derive_check_quarantine(&store, fact, facts, &err);
    if (status != PK_OK)
        sim_violate(sim, "%s", err.text);
    sim->counters->compared++;
    memory_store_done(&store);
}

static void check(struct sim *sim, struct checker *c)
{
    int64_t stored[MOST_PARTITIONS], decisions = 0;
    read_positions(sim, stored, &decisions);
    bool same = decisions == c->decisions && memcmp(stored, c->stored, sizeof stored) == 0;
    for (unsigned p = 0; p < sim->partitions; p++)
        if (stored[p] < sim->acked[p] || stored[p] < c->stored[p])
            sim_violate(sim, "partition %u stands at %" PRId64 ", but %" PRId64 " was committed", p, stored[p],
                        PK_MAX(sim->acked[p], c->stored[p]));
    memcpy(c->stored, stored, sizeof stored);
    c->decisions = decisions;
    if (same)
        return;
    compare(sim, c, false);
    if (!c->copying || sim->faults <= 0)
        return;
    unsigned copy = c->copies++ % COPIES;
    tables_take(sim->sql, (int)copy);
    memcpy(c->copy[copy].stored, stored, sizeof stored);
    c->copy[copy].decisions = decisions;
    c->copy[copy].taken = true;
}

/* ---- faults of the surroundings ---- */

static void reap(struct sim *sim, size_t i)
{
    struct ghost ghost = sim->ghosts.ptr[i];
    sim->ghosts.ptr[i] = sim->ghosts.ptr[--sim->ghosts.len];
    close(ghost.fd);
    wait_gone(sim, ghost.pid);
    SAY(sim, "* the server learns of a crash\n");
}

static void rebalance(struct sim *sim)
{
    unsigned p = chance_below(&sim->chance, sim->partitions), to = chance_below(&sim->chance, sim->workers);
    struct worker *from = &sim->worker[sim->assigned[p]];
    if (from->number == to)
        return;
    bool zombie = from->thinks[p] && chance_in(&sim->chance, 60);
    SAY(sim, "* p%u moves from w%u to w%u%s\n", p, from->number, to, zombie ? ", which does not know" : "");
    sim->counters->rebalances++;
    sim->counters->zombies += zombie;
    sim->assigned[p] = to;
    sim->worker[to].thinks[p] = true;
    sim->worker[to].claim_wanted = true;
    if (!zombie) {
        from->thinks[p] = false;
        from->claim_wanted = true;
    }
}

static void fail_over(struct sim *sim, struct checker *c)
{
    unsigned copy = chance_below(&sim->chance, COPIES);
    if (!c->copy[copy].taken)
        return;
    SAY(sim, "* FAILOVER to copy %u\n", copy);
    sim->counters->failovers++;
    PQclear(tables_query(sim->sql, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                   " WHERE datname = current_database() AND pid <> pg_backend_pid()"));
    while (tables_number(sim->sql, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                                   " AND pid <> pg_backend_pid() AND backend_type = 'client backend'") > 0)
        nanosleep(&(struct timespec){0, 300000}, NULL);
    for (size_t i = 0; i < sim->ghosts.len; i++)
        close(sim->ghosts.ptr[i].fd);
    sim->ghosts.len = 0;
    tables_put_back(sim->sql, (int)copy);
    sim->era++;
    for (unsigned p = 0; p < MOST_PARTITIONS; p++)
        sim->claimed[p] = -1;
    memcpy(c->stored, c->copy[copy].stored, sizeof c->stored);
    memcpy(sim->acked, c->copy[copy].stored, sizeof c->stored);
    c->decisions = c->copy[copy].decisions;
    for (unsigned i = 0; i < COPIES; i++)
        c->copy[i].taken &= i == copy; /* the others hold what has never been now */
    struct pk_err err = {0};
    if (store_reopen(c->actor.store, &err) != PK_OK)
        sim_violate(sim, "%s", err.text);
}

/* ---- a schedule ---- */

static void make_events(struct sim *sim, struct checker *c)
{
    static const int spans[] = {60, 200, 600, 1500};
    static const unsigned often[] = {0, 0, 8, 18}, most[] = {4, 8, 16, 16, MOST_EVENTS}, batches[] = {1, 3, 3, 8};
    static const unsigned singles[] = {0, 0, 20, 60}, togethers[] = {10, 30, 60, 90};
    struct chance *chance = &sim->chance;
    static const struct fact_hasher hasher = {.key = "sixteen bytes ok", .key_len = 16};
    struct hostile hostile = {
        .chance = chance,
        .arena = &c->arena,
        .rules = &c->actor.rules,
        .hasher = &hasher,
        .people = 1 + chance_below(chance, 4),
        .themes = 1,
        .nameless = CHANCE_OF(chance, often),
        .strangers = CHANCE_OF(chance, often) * 3,
        .relating = CHANCE_OF(chance, often),
        .repeated = CHANCE_OF(chance, often),
        .span_us = CHANCE_OF(chance, spans) * PK_SECOND_US,
        .single = CHANCE_OF(chance, singles),
        .together = CHANCE_OF(chance, togethers),
        .mistaken = CHANCE_OF(chance, often),
    };
    for (int i = 0; i < 3; i++)
        hostile.themes |= 1u << chance_below(chance, 11);
    sim->most = CHANCE_OF(chance, batches);
    sim->events = hostile_events(&hostile, sim->event, 3 + chance_below(chance, CHANCE_OF(chance, most) - 2));
    memset(sim->length, 0, sizeof sim->length);
    size_t order[MOST_DELIVERIES];
    for (size_t i = 0; i < sim->events; i++) { /* keyed badly, and in any order */
        size_t j = chance_below(chance, (unsigned)i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (size_t i = 0; i < sim->events; i++) {
        unsigned p = chance_below(chance, sim->partitions);
        sim->stream[p][sim->length[p]++] = &sim->event[order[i]];
    }
    for (unsigned p = 0; p < sim->partitions; p++)
        for (int64_t i = 0; i < sim->length[p]; i++) {
            struct fact fact;
            fact_from_event(&c->actor.maker, sim->stream[p][i], &c->arena, &fact);
            struct fact *master = derive_check_copy(&c->arena, &fact);
            master->topic_name = symbol_of(&c->actor.symbols, PK_STR("events"));
            master->partition = (int32_t)p;
            master->offset = i;
            c->master[p][i] = master;
        }
}

static void begin(struct sim *sim, struct checker *c)
{
    static const int faults[] = {0, 0, 1, 2, 4};
    static const unsigned unlucky[] = {0, 0, 5, 40};
    struct chance *chance = &sim->chance;
    *chance = (struct chance){sim->seed};
    pk_buf_reset(&sim->log);
    sim->violation = (struct pk_err){0};
    sim->over = false;
    sim->turn = -1;
    uint64_t rules_seed = chance_next(chance);
    actor_begin(&c->actor, rules_seed);
    sim->workers = 2 + chance_below(chance, MOST_WORKERS - 1);
    sim->partitions = 1 + chance_below(chance, MOST_PARTITIONS);
    sim->partitions = PK_MAX(sim->partitions, 2u);
    make_events(sim, c);
    sim->faults = CHANCE_OF(chance, faults);
    sim->unlucky = CHANCE_OF(chance, unlucky);
    sim->decisions = chance_in(chance, 40) ? 1 + chance_below(chance, 3) : 0;
    c->copying = sim->faults > 0 && chance_in(chance, 50);
    c->copies = 0;
    c->decisions = 0;
    memset(c->copy, 0, sizeof c->copy);
    memset(c->stored, 0, sizeof c->stored);
    memset(sim->acked, 0, sizeof sim->acked);
    bool evenly = chance_in(chance, 60);
    for (unsigned p = 0; p < MOST_PARTITIONS; p++) {
        sim->assigned[p] = evenly ? p % sim->workers : chance_below(chance, sim->workers);
        sim->claimed[p] = -1;
    }
    sim->running = true;
    for (unsigned i = 0; i <= MOST_WORKERS; i++)
        if (i < sim->workers || i == MOST_WORKERS)
            worker_begin(&sim->worker[i], rules_seed);
    sim->worker[MOST_WORKERS].weight = 20;
}

static void happen(struct sim *sim, struct checker *c)
{
    struct chance *chance = &sim->chance;
    for (size_t i = sim->ghosts.len; i-- > 0;)
        if (chance_in(chance, 6))
            reap(sim, i);
    if (sim->faults <= 0)
        return;
    unsigned what = chance_below(chance, 1000);
    if (what < 10) {
        sim->faults--;
        rebalance(sim);
    } else if (what < 18) {
        struct worker *worker = &sim->worker[chance_in(chance, 10) ? MOST_WORKERS : chance_below(chance, sim->workers)];
        sim->faults -= worker->life == AT_STATEMENT;
        worker->crash = worker->life == AT_STATEMENT;
    } else if (what < 28 && c->copying) {
        sim->faults--;
        fail_over(sim, c);
    }
}

/* Those that wait move by themselves when a lock becomes free: until each has its answer, or waits again. */
static void settle(struct sim *sim)
{
    struct pk_buf pids PK_AUTO(pk_buf_done) = {0};
    for (unsigned i = 0; i <= MOST_WORKERS; i++)
        if (sim->worker[i].life == WAITING)
            pk_buf_printf(&pids, "%s%d", pids.len ? ", " : "", worker_pid(&sim->worker[i]));
    static const char moving[] =
        "SELECT count(*) FROM pg_stat_activity WHERE pid IN (%s) AND state = 'active'"
        " AND NOT (coalesce(wait_event, '') = 'ClientRead'"
        " OR (coalesce(wait_event_type, '') = 'Lock' AND cardinality(pg_blocking_pids(pid)) > 0))";
    while (pids.len && tables_number(sim->sql, moving, pids.ptr) > 0)
        nanosleep(&(struct timespec){0, 200000}, NULL);
}

/* The next one that can move; NULL if nobody can just now. *ret_any: somebody has something to do. */
static struct worker *pick(struct sim *sim, bool *ret_any)
{
    struct worker *can[MOST_WORKERS + 1];
    unsigned count = 0, sum = 0;
    settle(sim);
    for (unsigned i = 0; i <= MOST_WORKERS; i++)
        if ((i < sim->workers || i == MOST_WORKERS) && worker_has_work(&sim->worker[i])) {
            can[count++] = &sim->worker[i];
            sum += sim->worker[i].weight;
        }
    *ret_any = count > 0;
    while (count > 0) {
        unsigned at = chance_below(&sim->chance, sum), i = 0;
        for (; at >= can[i]->weight; i++)
            at -= can[i]->weight;
        if (can[i]->life != WAITING || !worker_is_blocked(can[i]))
            return can[i];
        sum -= can[i]->weight;
        can[i] = can[--count];
    }
    return NULL;
}

static void run(struct sim *sim, struct checker *c)
{
    enum { MOST_STEPS = 60000 };
    for (unsigned steps = 0; !sim->violation.text[0]; steps++) {
        bool any;
        happen(sim, c);
        struct worker *worker = pick(sim, &any);
        if (!any)
            break;
        if (steps == MOST_STEPS)
            sim_violate(sim, "stuck: no end after %d steps", MOST_STEPS);
        if (!worker && sim->ghosts.len > 0)
            reap(sim, 0);
        else if (!worker)
            nanosleep(&(struct timespec){0, 1000000}, NULL); /* each waits for another: PostgreSQL will see it */
        if (!worker)
            continue;
        worker_run(worker);
        if (worker->commits) {
            worker->commits = false;
            check(sim, c);
        }
    }
}

static void end(struct sim *sim, struct checker *c)
{
    while (sim->ghosts.len > 0)
        reap(sim, 0);
    if (!sim->violation.text[0]) {
        check(sim, c);
        for (unsigned p = 0; p < sim->partitions; p++)
            if (c->stored[p] != sim->length[p])
                sim_violate(sim, "stuck: partition %u stands at %" PRId64 " of %" PRId64, p, c->stored[p],
                            sim->length[p]);
        compare(sim, c, true);
    }
    sim->over = true;
    if (sim->violation.text[0]) /* whoever is in the middle of something comes to an end */
        PQclear(tables_query(sim->sql, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                       " WHERE datname = current_database() AND pid <> pg_backend_pid()"));
    for (unsigned i = 0; i <= MOST_WORKERS; i++)
        if (i < sim->workers || i == MOST_WORKERS)
            worker_end(&sim->worker[i]);
    sim->running = false;
    sim->counters->schedules++;
}

static void print_schedule(const struct sim *sim)
{
    struct pk_buf line = {0};
    for (unsigned p = 0; p < sim->partitions; p++)
        for (int64_t i = 0; i < sim->length[p]; i++) {
            pk_buf_reset(&line);
            event_to_json(sim->stream[p][i], &line);
            fprintf(stderr, "p%u:%" PRId64 " %s\n", p, i, line.ptr);
        }
    pk_buf_done(&line);
    fprintf(stderr, "%sseed %" PRIu64 ": %s\n", sim->log.ptr ? sim->log.ptr : "", sim->seed, sim->violation.text);
}

/* ---- all schedules ---- */

static const struct mutant {
    const char *name, *what, *sql;
} mutants[] = {
    {"guard", "the guard compares no versions",
     "CREATE OR REPLACE FUNCTION polku.guard(cells bigint[], versions bigint[], token bigint) RETURNS void"
     " LANGUAGE plpgsql AS $$ BEGIN PERFORM polku.lock_cells(cells);"
     " UPDATE polku.guard_cell g SET version = token WHERE g.cell_id = ANY (cells); END $$"},
    {"fence", "the fence compares neither epoch nor offset",
     "CREATE OR REPLACE FUNCTION polku.fence(topics integer[], partitions integer[], epochs bigint[], offsets bigint[],"
     " next_offsets bigint[], alone boolean) RETURNS void LANGUAGE plpgsql AS $$ BEGIN"
     " IF alone THEN PERFORM pg_advisory_xact_lock(482905713525);"
     " ELSE PERFORM pg_advisory_xact_lock_shared(482905713525); END IF;"
     " UPDATE polku.stream_position p SET next_offset = u.o FROM unnest(topics, partitions, next_offsets)"
     " AS u (t, n, o) WHERE p.topic_id = u.t AND p.partition = u.n; END $$"},
    {"count", "new identifiers are not counted",
     "CREATE OR REPLACE FUNCTION polku.add_identifiers(hashes uuid[], kinds smallint[], namespaces integer[],"
     " cells bigint[], owners uuid[], flag_sums integer[], first_times timestamptz[], customers uuid[], clear_values text[])"
     " RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO polku.identifier"
     " (hash, kind, namespace_id, cell_id, owner_id, flags, first_at, customer_id, value)"
     " SELECT unnest(hashes), unnest(kinds), unnest(namespaces), unnest(cells), unnest(owners), unnest(flag_sums),"
     " unnest(first_times), unnest(customers), unnest(clear_values) ON CONFLICT DO NOTHING; END $$"},
    {"alone", "nobody takes K",
     "CREATE OR REPLACE FUNCTION polku.fence(topics integer[], partitions integer[], epochs bigint[], offsets bigint[],"
     " next_offsets bigint[], alone boolean) RETURNS void LANGUAGE plpgsql AS $$ DECLARE n integer; m integer; BEGIN"
     " UPDATE polku.stream_position p SET next_offset = u.o"
     " FROM unnest(topics, partitions, epochs, offsets, next_offsets)"
     " AS u (t, n, e, f, o) WHERE p.topic_id = u.t AND p.partition = u.n AND p.epoch = u.e AND p.next_offset = u.f;"
     " GET DIAGNOSTICS m = ROW_COUNT; IF m <> cardinality(topics) THEN"
     " RAISE EXCEPTION USING ERRCODE = 'PK001', MESSAGE = 'fenced'; END IF; END $$"},
};

enum { GROUP = 8 };

static struct support support;
static struct sim sim;
static struct checker checker;
static struct counters counters;

static const struct mutant *chosen_mutant(void)
{
    const char *name = getenv("POLKU_MUTANT");
    if (!name || !*name)
        return NULL;
    for (size_t i = 0; i < PK_COUNT(mutants); i++)
        if (strcmp(mutants[i].name, name) == 0)
            return &mutants[i];
    cr_assert_fail("there is no mutant %s", name);
    return NULL;
}

static void open_all(void)
{
    actor_init(&checker.actor, support.conninfo, &(struct store_config){0});
    for (unsigned i = 0; i <= MOST_WORKERS; i++)
        worker_init(&sim.worker[i], &sim, i, i == MOST_WORKERS, support.conninfo);
}

static void close_all(void)
{
    for (unsigned i = 0; i <= MOST_WORKERS; i++)
        worker_done(&sim.worker[i]);
    actor_done(&checker.actor);
}

#define SHOW(text, number) fprintf(stderr, "%s %" PRIu64, (text), (uint64_t)(number))

static void print_counters(const struct counters *c)
{
    SHOW("scheduler: schedules", c->schedules);
    SHOW(", statements", c->statements);
    SHOW(", batches", c->batches);
    SHOW(", commits compared", c->compared);
    for (unsigned i = 0; i < 5; i++)
        SHOW(i ? "," : "; tries that failed, first to last:", c->retries[i]);
    SHOW(", of these made to fail", c->spoilt);
    SHOW(", most of one batch", c->most_tries);
    SHOW("; crashes", c->crashes);
    SHOW(", lost replies", c->lost);
    SHOW(", failovers", c->failovers);
    SHOW(", positions found gone back", c->back);
    SHOW(", rebalances", c->rebalances);
    SHOW(", zombies", c->zombies);
    SHOW(", fenced", c->fenced);
    SHOW(", other failures", c->others);
    SHOW("; decisions", c->decisions);
    SHOW(", taken back", c->restores);
    SHOW("; waits", c->waits);
    SHOW(", deadlocks", c->deadlocks);
    fprintf(stderr, "\n");
}

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void set_up(void)
{
    support_init(&support, true);
    support_sql(&support, "ALTER DATABASE %s SET synchronous_commit = off", support.name);
    support_sql(&support, "ALTER DATABASE %s SET deadlock_timeout = '100ms'", support.name);
    const struct mutant *mutant = chosen_mutant();
    if (mutant)
        support_sql(&support, "%s", mutant->sql);
    sim.counters = &counters;
    pthread_mutex_init(&sim.lock, NULL);
    pthread_cond_init(&sim.back, NULL);
    sim.sql = PQconnectdb(support.conninfo);
    cr_assert_eq(PQstatus(sim.sql), CONNECTION_OK, "%s", PQerrorMessage(sim.sql));
    tables_init(sim.sql);
}

static void tear_down(void)
{
    PQfinish(sim.sql);
    support_done(&support);
}

/* Backends have told their counts once they are gone. */
static uint64_t count_deadlocks(void)
{
    while (tables_number(sim.sql, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                                  " AND pid <> pg_backend_pid() AND backend_type = 'client backend'") > 0)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    return (uint64_t)tables_number(sim.sql, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()");
}

TestSuite(scheduler, .init = set_up, .fini = tear_down, .timeout = 900);

Test(scheduler, after_every_commit_the_tables_equal_the_batch_answer)
{
    const struct mutant *mutant = chosen_mutant();
    uint64_t seed = number_from("POLKU_SEED", 0), cases = number_from("POLKU_CASES", seed ? 1 : mutant ? 150 : 350);
    seed = seed ? seed : 20260701;
    fprintf(stderr, "scheduler: seeds %" PRIu64 " .. %" PRIu64 "%s%s\n", seed, seed + cases - 1, mutant ? "; " : "",
            mutant ? mutant->what : "");
    int64_t begun_ms = clock_ms();
    bool found = false, show = number_from("POLKU_SHOW", 0);
    for (uint64_t i = 0; i < cases && !found; i++) {
        bool anew = i % GROUP == 0; /* programs that have seen no event, a database without words */
        if (anew && i > 0)
            close_all();
        tables_empty(sim.sql, anew);
        if (anew)
            open_all();
        sim.seed = seed + i;
        begin(&sim, &checker);
        run(&sim, &checker);
        end(&sim, &checker);
        found = sim.violation.text[0] != '\0';
        actor_end(&checker.actor);
        if (show || (found && !mutant))
            print_schedule(&sim);
        if (found)
            fprintf(stderr, "scheduler: to repeat: POLKU_SEED=%" PRIu64 " POLKU_CASES=%" PRIu64 "\n", sim.seed - i % GROUP,
                    i % GROUP + 1);
        pk_arena_done(&checker.arena);
    }
    close_all();
    counters.deadlocks = count_deadlocks();
    print_counters(&counters);
    fprintf(stderr, "scheduler: %.1f s\n", (double)(clock_ms() - begun_ms) / 1000);
    if (mutant) {
        fprintf(stderr, "scheduler: %s: %s after %" PRIu64 " schedules: %s\n", mutant->what,
                found || counters.deadlocks ? "found" : "NOT FOUND", counters.schedules,
                found ? sim.violation.text : counters.deadlocks ? "deadlocks" : "");
        cr_assert(found || counters.deadlocks, "nothing was noticed in %" PRIu64 " schedules", counters.schedules);
        return;
    }
    cr_assert(!found, "seed %" PRIu64 ": %s", sim.seed, sim.violation.text);
    cr_assert_eq(counters.deadlocks, 0, "%" PRIu64 " deadlocks", counters.deadlocks);
    cr_assert_leq(counters.most_tries, 4);
}
