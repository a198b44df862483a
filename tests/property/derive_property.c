/* SPDX-License-Identifier: Apache-2.0 */
/* After every batch the tables equal the batch answer: any order, any batches, several consumers whose batches
 * overlap, decisions made and taken back in between.
 *
 * POLKU_SEED=n repeats one case, POLKU_CASES=n says how many (default 3000), POLKU_RULES=FILE gives other rules. */
#include "canonical.h"
#include "derive_check.h"
#include "event_json.h"
#include "hostile.h"
#include "time_text.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_EVENTS = 160, MAX_WORKERS = 4, MAX_DELIVERIES = 2 * MAX_EVENTS, MAX_DECISIONS = 8, MAX_SEALS = 4 };

/* ---- what all cases share ---- */

static struct symbols symbols;
static struct pk_arena rules_arena;
static struct rules file_rules;
static const struct fact_hasher hasher = {.key = "sixteen bytes ok", .key_len = 16};

static void set_up(void)
{
    struct pk_err err = {0};
    const char *file = getenv("POLKU_RULES");
    symbols_init(&symbols);
    cr_assert_eq(rules_load(file && *file ? file : POLKU_SOURCE_DIR "/tests/oracle/rules_small.yaml", NULL, &symbols,
                            &rules_arena, &file_rules, NULL, &err),
                 PK_OK, "%s", err.text);
}

static void tear_down(void)
{
    symbols_done(&symbols);
    pk_arena_done(&rules_arena);
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* ---- a case: events, and how they reach the consumers ---- */

struct delivery {
    struct event event;
    unsigned batch;
    bool gone; /* left out while shrinking */
};
struct plan { /* of one batch */
    unsigned worker;
    unsigned delay; /* so many more batches begin before it commits */
    unsigned evict; /* percent of the cells that the worker forgets first */
};
struct planned { /* a decision: made before this batch begins, taken back before that one (UINT_MAX: never) */
    struct change_decision decision;
    unsigned at, back_at;
    bool gone; /* as above */
};
struct planned_seal { /* a retention: decided before this batch begins */
    unsigned at, reach; /* percent of the time that the events cover */
    unsigned chunk;     /* so many customers at once */
    bool gone;
};
struct test_case {
    struct pk_arena arena;
    struct rules rules;
    struct rules_kind kind[RULES_MAX_KINDS];
    struct rules_namespace name_space[HOSTILE_NAMESPACES];
    struct delivery delivery[MAX_DELIVERIES];
    size_t deliveries;
    struct plan plan[MAX_DELIVERIES];
    struct planned planned[MAX_DECISIONS];
    unsigned decisions;
    struct planned_seal seal[MAX_SEALS];
    unsigned seals;
    unsigned batches, workers;
    size_t budget[MAX_WORKERS];
    bool trusting[MAX_WORKERS];
};

static void swap(struct test_case *test, size_t a, size_t b)
{
    struct delivery was = test->delivery[a];
    test->delivery[a] = test->delivery[b];
    test->delivery[b] = was;
}

static bool in_order(const struct event *a, const struct event *b)
{
    if (a->occurred_at_us != b->occurred_at_us)
        return a->occurred_at_us < b->occurred_at_us;
    return a->sequence != b->sequence ? a->sequence < b->sequence : pk_str_cmp(a->source, b->source) <= 0;
}

static void arrange(struct chance *chance, struct test_case *test, bool steady)
{
    enum { WILD, NEARLY_AS_MADE, IN_ORDER, FEW_LATE };
    static const int modes[] = {WILD, WILD, NEARLY_AS_MADE, IN_ORDER, IN_ORDER, FEW_LATE, FEW_LATE};
    int mode = steady ? IN_ORDER : CHANCE_OF(chance, modes);
    size_t count = test->deliveries;
    for (size_t i = count; i > 1 && mode == WILD; i--)
        swap(test, i - 1, chance_below(chance, (unsigned)i));
    for (size_t i = count; i > 1 && mode == NEARLY_AS_MADE; i--)
        if (chance_in(chance, 30))
            swap(test, i - 1, i - 1 - chance_below(chance, (unsigned)PK_MIN(i, (size_t)5)));
    for (size_t i = 1; i < count && mode >= IN_ORDER; i++)
        for (size_t j = i; j > 0 && !in_order(&test->delivery[j - 1].event, &test->delivery[j].event); j--)
            swap(test, j - 1, j);
    for (size_t i = 1; i < count && mode == FEW_LATE; i++)
        if (chance_in(chance, 5))
            swap(test, i, chance_below(chance, (unsigned)count));
}

static void make_plans(struct chance *chance, struct test_case *test, bool steady)
{
    static const unsigned sizes[] = {1, 1, 2, 4, 8, MAX_DELIVERIES};
    static const size_t budgets[] = {0, 2000, 20000, 1 << 20, 1 << 20};
    unsigned most = CHANCE_OF(chance, sizes), left = 0, evict = !steady && chance_in(chance, 40) ? 30 : 0;
    test->workers = steady ? 1 : 1 + chance_below(chance, MAX_WORKERS);
    for (unsigned i = 0; i < test->workers; i++) {
        test->budget[i] = steady ? 1 << 20 : CHANCE_OF(chance, budgets);
        test->trusting[i] = chance_in(chance, 30);
    }
    for (size_t i = 0; i < test->deliveries; i++) {
        if (left == 0) {
            left = 1 + chance_below(chance, most);
            struct plan *plan = &test->plan[test->batches++];
            *plan = (struct plan){.worker = chance_below(chance, test->workers), .evict = evict};
            plan->delay = test->workers > 1 && chance_in(chance, 50) ? 1 + chance_below(chance, 3) : 0;
        }
        test->delivery[i].batch = test->batches - 1;
        left--;
    }
}

/* About names that some event carries. */
static struct change_decision make_decision(struct chance *chance, struct test_case *test, struct fact_maker *maker)
{
    struct change_decision d = {.kind = (enum decision_kind)chance_below(chance, 3), .by = PK_STR("test")};
    struct pk_arena arena = {0};
    for (int tries = 0; tries < 20 && pk_hash_zero(d.a); tries++) {
        struct fact fact, other;
        fact_from_event(maker, &test->delivery[chance_below(chance, (unsigned)test->deliveries)].event, &arena, &fact);
        fact_from_event(maker, &test->delivery[chance_below(chance, (unsigned)test->deliveries)].event, &arena, &other);
        const struct fact_name *name = NULL;
        if (d.kind == DECIDE_BLOCK && fact.device_count && chance_in(chance, 30)) {
            name = &fact.device[0];
            d.kind_a = KEY_DEVICE;
        } else if (fact.person_count) {
            name = &fact.person[chance_below(chance, fact.person_count)];
        }
        if (name && d.kind != DECIDE_APART) {
            d.a = name->hash;
            d.name_space_a = name->name_space;
        } else if (name && d.kind == DECIDE_APART && (fact.person_count > 1 || other.person_count)) {
            const struct fact *from = fact.person_count > 1 && chance_in(chance, 70) ? &fact : &other;
            const struct fact_name *second =
                from->person_count ? &from->person[chance_below(chance, from->person_count)] : name;
            int order = pk_hash_cmp(name->hash, second->hash);
            if (order == 0)
                continue;
            const struct fact_name *a = order < 0 ? name : second, *b = order < 0 ? second : name;
            d.a = a->hash, d.name_space_a = a->name_space;
            d.b = b->hash, d.name_space_b = b->name_space;
        }
    }
    pk_arena_done(&arena);
    return d;
}

static bool same_decision(const struct change_decision *a, const struct change_decision *b)
{
    return a->kind == b->kind && pk_hash_eq(a->a, b->a) && pk_hash_eq(a->b, b->b);
}

static void make_decisions(struct chance *chance, struct test_case *test, unsigned count)
{
    struct matcher matcher;
    struct fact_maker maker;
    matcher_init(&matcher, &test->rules, &symbols);
    fact_maker_init(&maker, &test->rules, &hasher, &symbols, &matcher);
    test->decisions = 0;
    for (unsigned i = 0; i < count; i++) {
        struct planned *plan = &test->planned[test->decisions];
        *plan = (struct planned){.decision = make_decision(chance, test, &maker), .back_at = UINT_MAX};
        plan->at = chance_below(chance, test->batches + 1);
        if (chance_in(chance, 50))
            plan->back_at = plan->at + chance_below(chance, test->batches + 1 - plan->at);
        bool known = pk_hash_zero(plan->decision.a);
        for (unsigned k = 0; k < test->decisions; k++)
            known |= same_decision(&test->planned[k].decision, &plan->decision);
        test->decisions += !known;
    }
    fact_maker_done(&maker);
    matcher_done(&matcher);
}

/* `plain`: as cases were made before there were topics, staff, far events. */
static void make_case(uint64_t seed, bool plain, struct test_case *test)
{
    static const unsigned riches[] = {0, 30, 70, 100}, fars[] = {0, 0, 3, 20};
    static const int spans[] = {60, 200, 600, 1500, 4000};
    static const unsigned often[] = {0, 0, 8, 18}, most[] = {10, 40, 40, 40, 40, 40, 40, MAX_EVENTS};
    static const unsigned singles[] = {0, 0, 20, 60, 95}, togethers[] = {10, 30, 60, 90};
    static const unsigned agains[] = {0, 20, 50, 90};
    struct chance chance = {seed};
    *test = (struct test_case){0};
    hostile_rules(&chance, &file_rules, test->kind, test->name_space, &test->rules);
    struct hostile hostile = {
        .chance = &chance,
        .arena = &test->arena,
        .rules = &test->rules,
        .hasher = &hasher,
        .people = 1 + chance_below(&chance, 4),
        .themes = 1,
        .nameless = CHANCE_OF(&chance, often),
        .strangers = CHANCE_OF(&chance, often) * 3,
        .relating = CHANCE_OF(&chance, often),
        .repeated = CHANCE_OF(&chance, often),
        .span_us = CHANCE_OF(&chance, spans) * PK_SECOND_US,
        .single = CHANCE_OF(&chance, singles),
        .together = CHANCE_OF(&chance, togethers),
        .mistaken = CHANCE_OF(&chance, often),
        .again = CHANCE_OF(&chance, agains),
    };
    hostile.detail = (struct chance){seed ^ 0xDE7A11};
    hostile.rich = plain ? 0 : CHANCE_OF(&hostile.detail, riches);
    hostile.far = plain ? 0 : CHANCE_OF(&hostile.detail, fars);
    for (int i = 0; i < 3; i++)
        hostile.themes |= 1u << chance_below(&chance, 11);
    unsigned wanted = 2 + chance_below(&chance, CHANCE_OF(&chance, most) - 1);
    bool steady = chance_in(&chance, 5);
    if (steady) { /* a long life: more than a state remembers, many journeys */
        hostile.people = 1;
        hostile.nameless = hostile.repeated = 0;
        hostile.relating = 30;
        hostile.single = chance_in(&chance, 50) ? 100 : 0;
        hostile.together = hostile.again = 95;
        hostile.span_us = CHANCE_OF(&chance, spans) * PK_SECOND_US;
        test->rules.max_events = 1000;
        test->rules.gap_us = PK_MIN(test->rules.gap_us, 5 * PK_SECOND_US);
        test->rules.case_gap_us = 300 * PK_SECOND_US;
        if (chance_in(&chance, 50))
            hostile.themes = 1;
        wanted = MAX_EVENTS - chance_below(&chance, 40);
    }
    struct event event[MAX_DELIVERIES];
    test->deliveries = hostile_events(&hostile, event, wanted);
    for (size_t i = 0; i < test->deliveries; i++)
        test->delivery[i].event = event[i];
    arrange(&chance, test, steady && chance_in(&chance, 80));
    make_plans(&chance, test, steady);
    make_decisions(&chance, test, chance_in(&chance, 40) ? 1 + chance_below(&chance, MAX_DECISIONS) : 0);
}

/* ---- running a case ---- */

struct open_batch { /* facts in memory that goes away with the batch */
    struct pk_arena arena;
    struct fact *fact[MAX_DELIVERIES];
    const struct fact *master[MAX_DELIVERIES]; /* copies that stay */
    size_t count;
    bool is_open;
    unsigned due; /* commits after this batch has begun */
};

struct run {
    const struct test_case *test;
    struct matcher matcher;
    struct fact_maker maker;
    struct meaning meaning;
    struct memory_store store;
    struct memory_worker worker[MAX_WORKERS], command;
    struct open_batch batch[MAX_WORKERS];
    struct pk_arena arena; /* of the facts of the reference */
    const struct fact *master[MAX_DELIVERIES]; /* delivered and committed so far */
    size_t masters;
    struct change_decision decision[MAX_DECISIONS]; /* in force */
    size_t decisions;
    uint64_t fast, slow, stale, decided, sealed, kept, refused;
    int64_t retained_us; /* R */
};

static void forget_cells(struct memory_worker *worker, unsigned percent)
{
    struct chance chance = {worker->store->last_token};
    for (int64_t id = 1; percent && id <= worker->store->last_cell; id++)
        if (chance_in(&chance, percent))
            cache_drop(&worker->cache, id);
}

static enum pk_status check(struct run *run, struct pk_err *err)
{
    return derive_check(&run->store, &run->meaning, run->master, run->masters, run->decision, run->decisions, err);
}

static enum pk_status begin_batch(struct run *run, unsigned number, struct pk_err *err)
{
    const struct test_case *test = run->test;
    struct memory_worker *worker = &run->worker[test->plan[number].worker];
    struct open_batch *batch = &run->batch[test->plan[number].worker];
    *batch = (struct open_batch){.due = number + test->plan[number].delay};
    for (size_t i = 0; i < test->deliveries; i++) {
        const struct delivery *delivery = &test->delivery[i];
        if (delivery->batch != number || delivery->gone || delivery->event.occurred_at_us < run->retained_us)
            continue;
        struct fact *fact = PK_NEW(&batch->arena, struct fact);
        fact_from_event(&run->maker, &delivery->event, &batch->arena, fact);
        fact->event_id = pk_arena_str(&batch->arena, fact->event_id);
        fact->topic_name = symbol_of(&symbols, PK_STR("events"));
        fact->partition = worker->at.partition;
        fact->offset = worker->at.next_offset + (int64_t)batch->count;
        batch->master[batch->count] = derive_check_copy(&run->arena, fact);
        batch->fact[batch->count++] = fact;
    }
    forget_cells(worker, test->plan[number].evict);
    batch->is_open = batch->count > 0;
    return batch->count ? memory_begin(worker, batch->fact, batch->count, err) : PK_OK;
}

static enum pk_status finish_batch(struct run *run, unsigned number, struct pk_err *err)
{
    struct memory_worker *worker = &run->worker[number];
    struct open_batch *batch = &run->batch[number];
    if (!batch->is_open)
        return PK_OK;
    for (size_t i = 0; i < batch->count; i++)
        run->master[run->masters++] = batch->master[i];
    enum pk_status status = memory_finish(worker, err);
    if (status == PK_OK && worker->cache.bytes > worker->cache.budget)
        status = pk_fail(err, PK_REJECT, "the cache is larger than its budget");
    if (status == PK_OK)
        status = check(run, err);
    pk_arena_done(&batch->arena);
    batch->is_open = false;
    return status;
}

/* A decision that is in force is not made again, and one that is not is not taken back. */
static enum pk_status decide(struct run *run, const struct change_decision *decision, bool restore, struct pk_err *err)
{
    size_t found = 0;
    while (found < run->decisions && !same_decision(&run->decision[found], decision))
        found++;
    if ((found < run->decisions) != restore)
        return PK_OK;
    struct change_decision made = *decision;
    made.restore = restore;
    enum pk_status status = memory_decide(&run->command, &made, 1, err);
    if (restore)
        run->decision[found] = run->decision[--run->decisions];
    else
        run->decision[run->decisions++] = *decision;
    run->decided++;
    return status == PK_OK ? check(run, err) : status;
}

static enum pk_status decide_all(struct run *run, unsigned before, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    for (unsigned i = 0; i < run->test->decisions && status == PK_OK; i++) {
        const struct planned *plan = &run->test->planned[i];
        if (plan->gone)
            continue;
        if (plan->at == before)
            status = decide(run, &plan->decision, false, err);
        if (plan->back_at == before && status == PK_OK)
            status = decide(run, &plan->decision, true, err);
    }
    return status;
}

/* ---- sealing ---- */

static int64_t time_at(const struct test_case *test, unsigned percent)
{
    int64_t first_us = INT64_MAX, last_us = INT64_MIN;
    for (size_t i = 0; i < test->deliveries; i++) {
        first_us = PK_MIN(first_us, test->delivery[i].event.occurred_at_us);
        last_us = PK_MAX(last_us, test->delivery[i].event.occurred_at_us);
    }
    return first_us + (last_us - first_us) / 100 * percent;
}

static enum pk_status compare_sums_of(const struct memory_store *store, struct pk_arena *arena, enum aggregate table,
                                      struct change_aggregate **sum, size_t *count, bool first, struct pk_err *err)
{
    size_t now_count;
    struct change_aggregate *now = memory_sums(store, table, arena, &now_count);
    bool same = first || now_count == *count;
    for (size_t i = 0; !first && same && i < now_count; i++)
        same = change_aggregate_cmp(&now[i], &(*sum)[i]) == 0 &&
               memcmp(now[i].count, (*sum)[i].count, aggregate_tables[table].counts * sizeof *now[i].count) == 0;
    *sum = now;
    *count = now_count;
    return same ? PK_OK : pk_fail(err, PK_REJECT, "sealing changed the sums of %s", aggregate_tables[table].name);
}

struct sums {
    struct change_aggregate *sum[AGGREGATE_COUNT];
    size_t count[AGGREGATE_COUNT];
};

static enum pk_status compare_all_sums(struct run *run, struct pk_arena *arena, struct sums *sums, bool first, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    for (enum aggregate table = 0; table < AGGREGATE_COUNT && status == PK_OK; table++)
        status = compare_sums_of(&run->store, arena, table, &sums->sum[table], &sums->count[table], first, err);
    return status;
}

/* As the command does: who is refused is tried again with less, and left out at last. */
static enum pk_status seal_some(struct run *run, struct seal *seal, struct pk_err *err)
{
    enum { TRIES = 4 };
    int64_t step_us = (seal->before_us - time_at(run->test, 0)) / TRIES + 1;
    enum pk_status status = PK_REJECT;
    while (status == PK_REJECT && seal->customers) {
        size_t left = 0;
        uint64_t events = 0;
        status = memory_seal(&run->command, seal, err);
        for (size_t i = 0; i < seal->customers; i++)
            events += seal->customer[i].events;
        if (status == PK_OK)
            run->sealed += events;
        for (size_t i = 0; i < seal->customers && status == PK_REJECT; i++) {
            struct seal_customer *customer = &seal->customer[i];
            run->refused += customer->refused;
            if (customer->refused)
                customer->until_us -= step_us;
            if (customer->until_us > seal->before_us - TRIES * step_us)
                seal->customer[left++] = *customer;
        }
        if (status == PK_REJECT)
            seal->customers = left;
    }
    return status == PK_REJECT ? PK_OK : status;
}

static enum pk_status seal_nameless(struct run *run, struct seal *seal, struct pk_err *err)
{
    seal->customers = 0;
    enum pk_status status = memory_seal(&run->command, seal, err);
    run->sealed += status == PK_OK ? seal->nameless_count : 0;
    run->refused += status == PK_REJECT;
    return status == PK_REJECT ? PK_OK : status;
}

static enum pk_status seal_all(struct run *run, const struct planned_seal *plan, struct pk_err *err)
{
    struct pk_arena arena = {0};
    struct sums sums;
    struct seal seal = {.before_us = time_at(run->test, plan->reach)};
    struct pk_hash *id = PK_NEW_ARRAY(&arena, struct pk_hash, run->store.customers.count + 1);
    size_t customers = 0;
    run->retained_us = seal.before_us;
    PK_MAP_EACH(&run->store.customers, e)
    id[customers++] = e->key;
    seal.customer = PK_NEW_ARRAY(&arena, struct seal_customer, plan->chunk);
    enum pk_status status = compare_all_sums(run, &arena, &sums, true, err);
    for (size_t from = 0; from < customers && status == PK_OK; from += plan->chunk) {
        seal.customers = PK_MIN(customers - from, (size_t)plan->chunk);
        for (size_t i = 0; i < seal.customers; i++)
            seal.customer[i] = (struct seal_customer){.id = id[from + i], .until_us = seal.before_us};
        status = seal_some(run, &seal, err);
        if (status == PK_OK)
            status = check(run, err);
    }
    if (status == PK_OK)
        status = seal_nameless(run, &seal, err);
    if (status == PK_OK)
        status = compare_all_sums(run, &arena, &sums, false, err);
    if (status == PK_OK)
        status = check(run, err);
    PK_MAP_EACH(&run->store.facts, e)
    run->kept += ((const struct fact *)e->value)->at_us < seal.before_us;
    pk_arena_done(&arena);
    return status;
}

/* What is in hand then is refused by the fence: here it is finished before. */
static enum pk_status retain(struct run *run, unsigned before, struct pk_err *err)
{
    const struct test_case *test = run->test;
    enum pk_status status = PK_OK;
    for (unsigned i = 0; i < test->seals && status == PK_OK; i++) {
        if (test->seal[i].at != before || test->seal[i].gone)
            continue;
        for (unsigned w = 0; w < test->workers && status == PK_OK; w++)
            status = finish_batch(run, w, err);
        if (status == PK_OK && time_at(test, test->seal[i].reach) > run->retained_us)
            status = seal_all(run, &test->seal[i], err);
    }
    return status;
}

static enum pk_status run_batches(struct run *run, struct pk_err *err)
{
    const struct test_case *test = run->test;
    enum pk_status status = PK_OK;
    for (unsigned i = 0; i < test->batches && status == PK_OK; i++) {
        status = decide_all(run, i, err);
        if (status == PK_OK)
            status = retain(run, i, err);
        if (status == PK_OK)
            status = finish_batch(run, test->plan[i].worker, err);
        if (status == PK_OK)
            status = begin_batch(run, i, err);
        for (unsigned w = 0; w < test->workers && status == PK_OK; w++)
            if (run->batch[w].due <= i)
                status = finish_batch(run, w, err);
    }
    for (unsigned w = 0; w < test->workers && status == PK_OK; w++)
        status = finish_batch(run, w, err);
    if (status == PK_OK)
        status = decide_all(run, test->batches, err);
    if (status == PK_OK)
        status = retain(run, test->batches, err);
    if (status == PK_OK)
        status = derive_check_quarantine(&run->store, run->master, run->masters, err);
    return status;
}

static void print_tables(const struct run *run, struct pk_buf *ret)
{
    for (size_t i = 0; i < CANONICAL_TABLES; i++) {
        if (strcmp(canonical_tables[i].name, "obligation_state") == 0)
            continue;
        pk_buf_printf(ret, "-- %s\n", canonical_tables[i].name);
        canonical_print(&canonical_tables[i], &run->store, &run->meaning, PK_NO_TIME, ret);
    }
}

/* `ret_counters` and `ret_tables` may be NULL. */
static enum pk_status run_case(const struct test_case *test, struct run *ret_counters, struct pk_buf *ret_tables,
                               struct pk_err *err)
{
    struct run *run = pk_alloc(sizeof *run);
    run->test = test;
    run->retained_us = INT64_MIN;
    matcher_init(&run->matcher, &test->rules, &symbols);
    fact_maker_init(&run->maker, &test->rules, &hasher, &symbols, &run->matcher);
    run->meaning = (struct meaning){&test->rules, &run->matcher, &symbols, &hasher, &run->maker};
    memory_store_init(&run->store);
    for (unsigned i = 0; i < test->workers; i++) {
        memory_worker_init(&run->worker[i], &run->store, &run->meaning, test->budget[i],
                           symbol_of(&symbols, PK_STR("events")), (int32_t)i);
        run->worker[i].trusting = test->trusting[i];
    }
    memory_worker_init(&run->command, &run->store, &run->meaning, 0, symbol_of(&symbols, PK_STR("events")), -1);
    enum pk_status status = run_batches(run, err);
    if (ret_tables)
        print_tables(run, ret_tables);
    for (unsigned i = 0; i < test->workers; i++) {
        run->fast += run->worker[i].fast;
        run->slow += run->worker[i].slow;
        run->stale += run->worker[i].stale;
        memory_worker_done(&run->worker[i]);
        pk_arena_done(&run->batch[i].arena);
    }
    memory_worker_done(&run->command);
    if (ret_counters) {
        ret_counters->fast += run->fast;
        ret_counters->slow += run->slow;
        ret_counters->stale += run->stale;
        ret_counters->decided += run->decided;
        ret_counters->sealed += run->sealed;
        ret_counters->kept += run->kept;
        ret_counters->refused += run->refused;
    }
    memory_store_done(&run->store);
    fact_maker_done(&run->maker);
    matcher_done(&run->matcher);
    pk_arena_done(&run->arena);
    free(run);
    return status;
}

/* ---- a failure, made small ---- */

static void shrink(struct test_case *test)
{
    struct pk_err err;
    for (size_t size = test->deliveries; size > 0; size /= 2) {
        bool again = true;
        while (again) {
            again = false;
            for (size_t from = 0; from < test->deliveries; from += size) {
                bool was[MAX_DELIVERIES], any = false;
                for (size_t i = from; i < PK_MIN(from + size, test->deliveries); i++) {
                    was[i] = test->delivery[i].gone;
                    any |= !was[i];
                    test->delivery[i].gone = true;
                }
                if (any && run_case(test, NULL, NULL, &err) != PK_OK) {
                    again = size == 1;
                    continue;
                }
                for (size_t i = from; i < PK_MIN(from + size, test->deliveries); i++)
                    test->delivery[i].gone = was[i];
            }
        }
    }
    for (unsigned i = 0; i < test->decisions; i++) {
        test->planned[i].gone = true;
        if (run_case(test, NULL, NULL, &err) == PK_OK)
            test->planned[i].gone = false;
    }
    for (unsigned i = 0; i < test->seals; i++) {
        test->seal[i].gone = true;
        if (run_case(test, NULL, NULL, &err) == PK_OK)
            test->seal[i].gone = false;
    }
    for (unsigned i = 0; i < test->batches; i++) { /* a simpler plan, if it still fails */
        struct plan was = test->plan[i];
        test->plan[i] = (struct plan){0};
        if (run_case(test, NULL, NULL, &err) == PK_OK)
            test->plan[i] = was;
    }
}

static void print_case(const struct test_case *test, uint64_t seed, const char *why)
{
    const struct rules *rules = &test->rules;
    fprintf(stderr, "POLKU_SEED=%" PRIu64 ": %s\n", seed, why);
    fprintf(stderr, "gap %" PRId64 " s, reopen %" PRId64 ", case %" PRId64 ", span %" PRId64 ", events %" PRId64
            ", skew %" PRId64 "; across:",
            rules->gap_us / PK_SECOND_US, rules->reopen_gap_us / PK_SECOND_US, rules->case_gap_us / PK_SECOND_US,
            rules->max_span_us / PK_SECOND_US, rules->max_events, rules->skew_us / PK_SECOND_US);
    for (size_t i = 0; i < rules->kind_count; i++)
        if (rules->kind[i].across)
            fprintf(stderr, " %.*s", PK_STR_ARG(symbol_text(&symbols, rules->kind[i].kind)));
    fprintf(stderr, "; all:");
    for (size_t i = 0; i < rules->kind_count; i++)
        if (rules->kind[i].consume_all)
            fprintf(stderr, " %.*s", PK_STR_ARG(symbol_text(&symbols, rules->kind[i].kind)));
    fprintf(stderr, "\n");
    for (size_t i = 0; i < rules->namespace_count; i++) {
        const struct rules_namespace *space = &rules->name_space[i];
        fprintf(stderr, "  %.*s: people %" PRIu32 ", links %" PRIu32 ", back %" PRId64 " s, ahead %" PRId64 " s\n",
                PK_STR_ARG(space->name), space->max_people, space->max_links, space->lookback_us / PK_SECOND_US,
                space->lookahead_us / PK_SECOND_US);
    }
    fprintf(stderr, "  max_component %" PRIu32 "\n", rules->max_component);
    for (unsigned i = 0; i < test->decisions; i++) {
        static const char *const kinds[] = {"block", "unlink", "apart"};
        const struct planned *plan = &test->planned[i];
        if (!plan->gone)
            fprintf(stderr, "before batch %u, taken back before %d: %s %016" PRIx64 " (%.*s) %016" PRIx64 "\n", plan->at,
                    (int)plan->back_at, kinds[plan->decision.kind], pk_get_be64(plan->decision.a.byte),
                    PK_STR_ARG(symbol_text(&symbols, plan->decision.name_space_a)), pk_get_be64(plan->decision.b.byte));
    }
    for (unsigned i = 0; i < test->seals; i++)
        if (!test->seal[i].gone)
            fprintf(stderr, "before batch %u: sealed up to %" PRId64 " us, %u customers at a time\n", test->seal[i].at,
                    time_at(test, test->seal[i].reach), test->seal[i].chunk);
    struct pk_buf line = {0};
    for (size_t i = 0; i < test->deliveries; i++) {
        if (test->delivery[i].gone)
            continue;
        const struct plan *plan = &test->plan[test->delivery[i].batch];
        pk_buf_reset(&line);
        event_to_json(&test->delivery[i].event, &line);
        fprintf(stderr, "batch %u +%u worker %u (cache %zu%s, forgets %u %%): %s\n", test->delivery[i].batch,
                plan->delay, plan->worker, test->budget[plan->worker],
                test->trusting[plan->worker] ? " trusting" : "", plan->evict, line.ptr);
    }
    pk_buf_done(&line);
}

static void make_seals(uint64_t seed, struct test_case *test)
{
    static const unsigned chunks[] = {1, 2, 5, 100};
    struct chance chance = {seed ^ 0x5EA1};
    unsigned reach = 0;
    test->seals = 1 + chance_below(&chance, MAX_SEALS);
    for (unsigned i = 0; i < test->seals; i++) {
        unsigned from = i ? test->seal[i - 1].at : 0;
        reach += chance_below(&chance, 105 - reach);
        test->seal[i] = (struct planned_seal){from + chance_below(&chance, test->batches + 1 - from), reach, CHANCE_OF(&chance, chunks), false};
    }
}

enum make { PLAIN, USUAL, SEALING };

static bool passes(uint64_t seed, enum make make, struct run *counters)
{
    struct pk_err err = {0};
    struct test_case *test = pk_alloc(sizeof *test);
    make_case(seed, make == PLAIN, test);
    if (make == SEALING)
        make_seals(seed, test);
    enum pk_status status = run_case(test, counters, NULL, &err);
    if (status != PK_OK) {
        shrink(test);
        run_case(test, NULL, NULL, &err);
        print_case(test, seed, err.text);
    }
    pk_arena_done(&test->arena);
    free(test);
    return status == PK_OK;
}

TestSuite(derive, .init = set_up, .fini = tear_down, .timeout = 600);

/* Seeds that found what the first 3000 do not, in plain cases; as long as these are made in the same way. */
static const uint64_t failed_once[] = {
    30004074, /* an event without a customer went to the group of a former user of the obligation that it names */
};

Test(derive, after_every_batch_the_tables_equal_the_batch_answer)
{
    uint64_t seed = number_from("POLKU_SEED", 0), cases = number_from("POLKU_CASES", seed ? 1 : 3000);
    if (!seed)
        seed = 20260101;
    struct run counters = {0};
    for (size_t i = 0; i < PK_COUNT(failed_once); i++)
        cr_assert(passes(failed_once[i], PLAIN, &counters), "seed %" PRIu64, failed_once[i]);
    fprintf(stderr, "derive_property: seeds %" PRIu64 " .. %" PRIu64 "\n", seed, seed + cases - 1);
    for (uint64_t i = 0; i < cases; i++)
        cr_assert(passes(seed + i, USUAL, &counters), "seed %" PRIu64, seed + i);
    fprintf(stderr, "derive_property: %" PRIu64 " facts fast, %" PRIu64 " slow, %" PRIu64 " second tries, %" PRIu64
            " decisions\n",
            counters.fast, counters.slow, counters.stale, counters.decided);
}

Test(derive, sealing_changes_nothing_and_what_follows_equals_the_batch_answer)
{
    uint64_t seed = number_from("POLKU_SEED", 0), cases = number_from("POLKU_CASES", seed ? 1 : 3000) / (seed ? 1 : 3);
    if (!seed)
        seed = 20280101;
    struct run counters = {0};
    fprintf(stderr, "derive_property: sealing, seeds %" PRIu64 " .. %" PRIu64 "\n", seed, seed + cases - 1);
    for (uint64_t i = 0; i < cases; i++)
        cr_assert(passes(seed + i, SEALING, &counters), "seed %" PRIu64, seed + i);
    fprintf(stderr, "derive_property: %" PRIu64 " facts sealed, %" PRIu64 " kept, %" PRIu64 " times somebody refused\n",
            counters.sealed, counters.kept, counters.refused);
}

/* ---- merge then unlink equals never merged ---- */

static bool same_tables(const struct pk_buf *a, const struct pk_buf *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->ptr, b->ptr, a->len) == 0);
}

static bool passes_decided(uint64_t seed)
{
    struct pk_err err = {0};
    struct test_case *test = pk_alloc(sizeof *test);
    make_case(seed, false, test);
    struct chance chance = {seed ^ 0xDEC1DED};
    make_decisions(&chance, test, 1 + chance_below(&chance, 3));
    unsigned at[MAX_DECISIONS], decisions = test->decisions;
    struct pk_buf late = {0}, first = {0}, restored = {0}, never = {0};
    for (unsigned i = 0; i < decisions; i++) {
        at[i] = test->planned[i].at;
        test->planned[i].back_at = UINT_MAX;
    }
    enum pk_status status = run_case(test, NULL, &late, &err);
    for (unsigned i = 0; i < decisions; i++)
        test->planned[i].at = 0;
    if (status == PK_OK)
        status = run_case(test, NULL, &first, &err);
    for (unsigned i = 0; i < decisions; i++) {
        test->planned[i].at = at[i];
        test->planned[i].back_at = test->batches;
    }
    if (status == PK_OK)
        status = run_case(test, NULL, &restored, &err);
    test->decisions = 0;
    if (status == PK_OK)
        status = run_case(test, NULL, &never, &err);
    if (status == PK_OK && !same_tables(&late, &first))
        status = pk_fail(&err, PK_REJECT, "a decision made late gives other tables than one made first");
    if (status == PK_OK && !same_tables(&restored, &never))
        status = pk_fail(&err, PK_REJECT, "a decision that was taken back left a trace");
    if (status != PK_OK)
        fprintf(stderr, "POLKU_SEED=%" PRIu64 ": %s\n", seed, err.text);
    pk_buf_done(&late);
    pk_buf_done(&first);
    pk_buf_done(&restored);
    pk_buf_done(&never);
    pk_arena_done(&test->arena);
    free(test);
    return status == PK_OK;
}

Test(derive, merged_then_unlinked_equals_never_merged)
{
    uint64_t seed = number_from("POLKU_SEED", 0), cases = seed ? 1 : number_from("POLKU_CASES", 3000) / 5;
    if (!seed)
        seed = 20270101;
    fprintf(stderr, "derive_property: decisions, seeds %" PRIu64 " .. %" PRIu64 "\n", seed, seed + cases - 1);
    for (uint64_t i = 0; i < cases; i++)
        cr_assert(passes_decided(seed + i), "seed %" PRIu64, seed + i);
}

/* ---- the fast path is really taken ---- */

struct scene { /* what customers of a quiet week do; seconds after the step before */
    const char *type, *channel;
    enum event_direction direction;
    enum event_actor actor;
    int after_s;
    bool case_, relates; /* to the step before */
};
static const struct scene scenes[][5] = {
    {{"contact.inbound", "phone", EVENT_INBOUND, EVENT_CUSTOMER, 0, false, false},
     {"question.asked", "phone", EVENT_INBOUND, EVENT_CUSTOMER, 60, false, false},
     {"answer.given", "phone", EVENT_OUTBOUND, EVENT_HUMAN, 300, false, true}},
    {{"callback.requested", "web", EVENT_INBOUND, EVENT_CUSTOMER, 0, false, false},
     {"callback.unreached", "phone", EVENT_OUTBOUND, EVENT_HUMAN, 3600, false, false},
     {"callback.reached", "phone", EVENT_OUTBOUND, EVENT_HUMAN, 7200, false, false}},
    {{"order.placed", "web", EVENT_INBOUND, EVENT_CUSTOMER, 0, true, false},
     {"contact.inbound", "email", EVENT_INBOUND, EVENT_CUSTOMER, 20000, true, false},
     {"contact.outbound", "email", EVENT_OUTBOUND, EVENT_HUMAN, 9000, true, true},
     {"order.delivered", "field_service", EVENT_OUTBOUND, EVENT_HUMAN, 80000, true, false},
     {"feedback.submitted", "web", EVENT_INBOUND, EVENT_CUSTOMER, 5000, true, false}},
    {{"feedback.submitted", "app", EVENT_INBOUND, EVENT_CUSTOMER, 0, false, false},
     {"feedback.acknowledged", "email", EVENT_OUTBOUND, EVENT_SYSTEM, 600, false, true}},
};
enum { CUSTOMERS = 60, VISITS = 6, STREAM = CUSTOMERS * VISITS * 5 };

static struct pk_str line_text(struct pk_arena *arena, const char *prefix, unsigned who, unsigned visit, unsigned step)
{
    char line[64];
    int len = snprintf(line, sizeof line, "%s%u-%u-%u", prefix, who, visit, step);
    return pk_arena_str(arena, (struct pk_str){line, (size_t)len});
}

/* A number alone, or of number, e-mail, phone and browser any two. */
static void give_identifiers(struct chance *chance, struct pk_arena *arena, struct event *event, unsigned who, bool many)
{
    static const char *const name_space[] = {"crm/customer_id", "email", "phone", "cookie"};
    static const char *const prefix[] = {"K-", "k@", "0400", "B-"};
    struct event_identifier *id = PK_NEW_ARRAY(arena, struct event_identifier, 2);
    unsigned first = many ? chance_below(chance, 4) : 0, second = (first + 1 + chance_below(chance, 3)) % 4;
    const unsigned which[] = {first, second};
    for (unsigned i = 0; i < (many ? 2 : 1); i++)
        id[i] = (struct event_identifier){pk_str(name_space[which[i]]), line_text(arena, prefix[which[i]], 1000 + who, 0, 0)};
    event->identifier = id;
    event->identifier_count = many ? 2 : 1;
}

static size_t make_stream(struct chance *chance, struct pk_arena *arena, struct event *event, bool many)
{
    size_t count = 0;
    for (unsigned who = 0; who < CUSTOMERS; who++) {
        int64_t at_us = INT64_C(1751328000000000) + (int64_t)chance_below(chance, 86400) * PK_SECOND_US;
        for (unsigned visit = 0; visit < VISITS; visit++) {
            unsigned plot = chance_below(chance, PK_COUNT(scenes));
            for (unsigned step = 0; step < 5 && scenes[plot][step].type; step++) {
                const struct scene *scene = &scenes[plot][step];
                at_us += (scene->after_s + (int64_t)chance_below(chance, 30)) * PK_SECOND_US;
                event[count++] = (struct event){
                    .event_id = line_text(arena, "", who, visit, step),
                    .source = PK_STR("crm"),
                    .occurred_at_us = at_us,
                    .type = pk_str(scene->type),
                    .channel = pk_str(scene->channel),
                    .direction = scene->direction,
                    .actor = scene->actor,
                    .brand = PK_STR("Ahola"),
                    .case_id = scene->case_ ? line_text(arena, "ahola/", who, visit, 0) : (struct pk_str){0},
                    .relates_to = scene->relates ? line_text(arena, "crm/", who, visit, step - 1)
                                                 : (struct pk_str){0},
                };
                give_identifiers(chance, arena, &event[count - 1], who, many);
            }
            at_us += (int64_t)chance_below(chance, 12 * 86400) * PK_SECOND_US;
        }
    }
    return count;
}

static int compare_times(const void *left, const void *right)
{
    const struct event *a = left, *b = right;
    return a->occurred_at_us < b->occurred_at_us ? -1 : a->occurred_at_us > b->occurred_at_us;
}

/* How many percent of all facts. */
static double share_of_fast(bool many)
{
    struct pk_arena arena = {0}, batch_arena = {0}, masters = {0};
    struct pk_err err = {0};
    struct rules rules;
    cr_assert_eq(rules_load(POLKU_SOURCE_DIR "/deploy/polku.yaml", NULL, &symbols, &arena, &rules, NULL, &err), PK_OK,
                 "%s", err.text);
    uint64_t seed = number_from("POLKU_SEED", 1);
    struct chance chance = {seed};
    struct event *event = PK_NEW_ARRAY(&arena, struct event, STREAM);
    size_t count = make_stream(&chance, &arena, event, many);
    qsort(event, count, sizeof *event, compare_times);

    struct matcher matcher;
    struct fact_maker maker;
    matcher_init(&matcher, &rules, &symbols);
    fact_maker_init(&maker, &rules, &hasher, &symbols, &matcher);
    struct meaning meaning = {&rules, &matcher, &symbols, &hasher, &maker};
    struct memory_store store;
    struct memory_worker worker;
    memory_store_init(&store);
    memory_worker_init(&worker, &store, &meaning, 64 << 20, symbol_of(&symbols, PK_STR("events")), 0);
    const struct fact **master = PK_NEW_ARRAY(&masters, const struct fact *, STREAM);
    for (size_t from = 0; from < count;) {
        size_t size = 1 + chance_below(&chance, 60);
        size = PK_MIN(size, count - from);
        struct fact **fact = PK_NEW_ARRAY(&batch_arena, struct fact *, size);
        for (size_t i = 0; i < size; i++) {
            fact[i] = PK_NEW(&batch_arena, struct fact);
            fact_from_event(&maker, &event[from + i], &batch_arena, fact[i]);
            master[from + i] = derive_check_copy(&masters, fact[i]);
        }
        cr_assert_eq(memory_batch(&worker, fact, size, &err), PK_OK, "seed %" PRIu64 ": %s", seed, err.text);
        from += size;
        pk_arena_done(&batch_arena);
    }
    cr_expect_eq(derive_check(&store, &meaning, master, count, NULL, 0, &err), PK_OK, "seed %" PRIu64 ": %s", seed, err.text);
    fprintf(stderr, "derive_property: in order%s, %" PRIu64 " of %zu facts fast, %" PRIu64 " derived slowly\n",
            many ? " with two identifiers each" : "", worker.fast, count, worker.slow);
    double share = (double)worker.fast * 100 / (double)count;
    cr_expect_eq(worker.stale, 0);
    memory_worker_done(&worker);
    memory_store_done(&store);
    fact_maker_done(&maker);
    matcher_done(&matcher);
    pk_arena_done(&masters);
    pk_arena_done(&arena);
    return share;
}

Test(derive, events_in_order_take_the_fast_path)
{
    cr_expect_geq(share_of_fast(false), 98.0);
}

/* What is new about who is who is learnt at the first few events of each. */
Test(derive, events_of_known_people_take_the_fast_path)
{
    cr_expect_geq(share_of_fast(true), 75.0);
}
