/* SPDX-License-Identifier: Apache-2.0 */
/* What pipeline.c does with one consumer, without Kafka: claim, batch, commit, and again after whatever happened. */
#include "scheduler.h"
#include "scheduler_tables.h"
#include "store_inner.h" /* the connection, to break it */
#include "store_support.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void sim_violate(struct sim *sim, const char *format, ...)
{
    if (sim->violation.text[0])
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(sim->violation.text, sizeof sim->violation.text, format, args);
    va_end(args);
    SAY(sim, "VIOLATION: %s\n", sim->violation.text);
}

/* ---- processes ---- */

static const struct fact_hasher hasher = {.key = "sixteen bytes ok", .key_len = 16};

static void need(enum pk_status status, const struct pk_err *err)
{
    if (status == PK_OK)
        return;
    fprintf(stderr, "scheduler: %s: %s\n", pk_status_name(status), err->text);
    exit(1);
}

void actor_init(struct actor *actor, const char *conninfo, const struct store_config *step)
{
    struct pk_err err = {0};
    *actor = (struct actor){0};
    symbols_init(&actor->symbols);
    need(rules_load(POLKU_SOURCE_DIR "/tests/oracle/rules_small.yaml", NULL, &actor->symbols, &actor->arena,
                    &actor->file_rules, NULL, &err), &err);
    const struct store_config config = {
        .conninfo = conninfo,
        .statement_timeout_us = 60 * PK_SECOND_US,
        .lock_timeout_us = 30 * PK_SECOND_US,
        .idle_timeout_us = 60 * PK_SECOND_US,
        .application_name = "polku scheduler",
        .step = step->step,
        .step_context = step->step_context,
    };
    need(store_open(&config, &actor->symbols, &actor->store, &err), &err);
    /* hostile_rules changes much, but no definition of courses */
    const struct pk_str text = PK_STR("polku hash key check"); /* as in commit.c */
    need(store_check_rules(actor->store, &actor->file_rules, fact_hash(&hasher, &text, 1), &err), &err);
}

void actor_done(struct actor *actor)
{
    store_close(actor->store);
    symbols_done(&actor->symbols);
    pk_arena_done(&actor->arena);
}

void actor_begin(struct actor *actor, uint64_t seed)
{
    struct chance chance = {seed};
    hostile_rules(&chance, &actor->file_rules, actor->kind, actor->name_space, &actor->rules);
    matcher_init(&actor->matcher, &actor->rules, &actor->symbols);
    fact_maker_init(&actor->maker, &actor->rules, &hasher, &actor->symbols, &actor->matcher);
    actor->meaning = (struct meaning){&actor->rules, &actor->matcher, &actor->symbols, &hasher, &actor->maker};
}

void actor_end(struct actor *actor)
{
    fact_maker_done(&actor->maker);
    matcher_done(&actor->matcher);
}

/* ---- turns ---- */

static void give_turn(struct worker *w)
{
    struct sim *sim = w->sim;
    pthread_mutex_lock(&sim->lock);
    sim->turn = -1;
    pthread_cond_signal(&sim->back);
    while (sim->turn != (int)w->number)
        pthread_cond_wait(&w->turn, &sim->lock);
    pthread_mutex_unlock(&sim->lock);
}

void worker_run(struct worker *w)
{
    struct sim *sim = w->sim;
    pthread_mutex_lock(&sim->lock);
    sim->turn = (int)w->number;
    pthread_cond_signal(&w->turn);
    while (sim->turn != -1)
        pthread_cond_wait(&sim->back, &sim->lock);
    pthread_mutex_unlock(&sim->lock);
}

int worker_pid(const struct worker *w)
{
    return w->actor.store->conn ? PQbackendPID(w->actor.store->conn) : 0;
}

bool worker_is_blocked(const struct worker *w)
{
    return tables_number(w->sim->sql, "SELECT cardinality(pg_blocking_pids(%d))", worker_pid(w)) > 0;
}

void wait_gone(struct sim *sim, int pid)
{
    while (tables_number(sim->sql, "SELECT count(*) FROM pg_stat_activity WHERE pid = %d", pid) > 0)
        nanosleep(&(struct timespec){0, 300000}, NULL);
}

/* ---- faults ---- */

/* The client is gone; its transaction stays open until the server learns of it (see reap in scheduler.c). */
static void leave_behind(struct worker *w)
{
    PGconn *conn = w->actor.store->conn;
    int pair[2], fd = PQsocket(conn);
    *pk_vec_push(&w->sim->ghosts) = (struct ghost){dup(fd), PQbackendPID(conn)};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        abort();
    dup2(pair[0], fd);
    close(pair[0]);
    close(pair[1]);
    w->crashed = true;
    w->sim->counters->crashes++;
    SAY(w->sim, "w%u CRASHES before \"%s\"\n", w->number, w->what);
}

/* The server gets what is sent from here on, and its answers get lost. */
static void lose_reply(struct worker *w)
{
    PGconn *conn = w->actor.store->conn;
    shutdown(PQsocket(conn), SHUT_RD);
    w->dying_pid = PQbackendPID(conn);
    w->sim->counters->lost++;
    SAY(w->sim, "w%u LOSES the reply of its COMMIT\n", w->number);
}

/* A commit that was sent after somebody else had claimed a partition of it must fail. */
static void check_claim(struct worker *w)
{
    if (w->void_claim && w->committer.counters.batches != w->void_batches)
        sim_violate(w->sim, "w%u has committed a partition that somebody else claimed before", w->number);
    w->void_claim = false;
}

static void before_commit(struct worker *w)
{
    const struct changes *changes = &w->committer.changes;
    w->commits = true;
    check_claim(w);
    w->void_batches = w->committer.counters.batches;
    for (size_t i = 0; i < changes->spans; i++)
        w->void_claim |= w->sim->claimed[changes->span[i].at.partition] != (int)w->number;
    if (w->sim->faults > 0 && chance_in(&w->sim->chance, 6)) {
        w->sim->faults--;
        lose_reply(w);
    }
}

static uint64_t failed_tries(const struct worker *w)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < 5; i++)
        sum += w->committer.counters.retries[i];
    return sum;
}

/* As if somebody else had changed a cell meanwhile, for so many tries in a row as the batch is unlucky: the last try, alone,
 * cannot fail. */
static void spoil_guard(struct worker *w)
{
    if (w->is_command || failed_tries(w) - w->tries_before >= w->unlucky)
        return;
    struct wire_param *versions = &w->actor.store->params.param[1];
    versions->ptr[versions->len - 1] ^= 1;
    SAY(w->sim, "w%u finds a cell changed\n", w->number);
    w->sim->counters->spoilt++;
}

static void step(void *context, const char *what)
{
    struct worker *w = context;
    struct sim *sim = w->sim;
    if (!sim->running || sim->over)
        return;
    if (!what && !worker_is_blocked(w))
        return; /* slow, but at work */
    if (what) {
        sim->counters->statements++;
        w->wait_counted = false;
        w->what = what;
        w->life = AT_STATEMENT;
    } else {
        sim->counters->waits += !w->wait_counted;
        if (!w->wait_counted)
            SAY(sim, "w%u waits at \"%s\"\n", w->number, w->what);
        w->wait_counted = true;
        w->life = WAITING;
    }
    give_turn(w);
    if (!what || sim->over)
        return;
    SAY(sim, "w%u %s\n", w->number, what);
    if (w->committer.counters.batches != w->parts) { /* a part of the batch is committed: this is the next one's first try */
        w->parts = w->committer.counters.batches;
        w->tries_before = failed_tries(w);
    }
    if (w->crash && !w->crashed)
        leave_behind(w);
    else if (strcmp(what, "commit") == 0 && w->actor.store->sent.len > 0 && !w->crashed)
        before_commit(w); /* of a save: it is not alone in its round trip */
    if (strcmp(what, "guard") == 0)
        spoil_guard(w);
    w->crash = false;
}

/* ---- a consumer ---- */

static struct store_position *position_of(struct worker *w, unsigned partition)
{
    for (size_t i = 0; i < w->positions; i++)
        if (w->position[i].partition == (int32_t)partition)
            return &w->position[i];
    return NULL;
}

static enum pk_status reconnect(struct worker *w, struct pk_err *err)
{
    cache_clear(&w->committer.cache);
    enum pk_status status = store_reopen(w->actor.store, err);
    w->connected = status == PK_OK;
    w->claim_wanted |= w->connected;
    return status;
}

static enum pk_status claim(struct worker *w, struct pk_err *err)
{
    struct store_position claim[MOST_PARTITIONS];
    size_t count = 0;
    for (unsigned p = 0; p < w->sim->partitions; p++)
        if (w->thinks[p])
            claim[count++] =
                (struct store_position){.topic = symbol_of(&w->actor.symbols, PK_STR("events")), .partition = (int32_t)p};
    w->claim_wanted = false; /* may be wanted again while this one waits */
    enum pk_status status = store_claim(w->actor.store, claim, count, err);
    if (status != PK_OK)
        return status;
    bool back = false;
    SAY(w->sim, "w%u has claimed", w->number);
    for (size_t i = 0; i < count; i++) {
        struct store_position *before = position_of(w, (unsigned)claim[i].partition);
        back |= before && before->next_offset > claim[i].next_offset;
        w->sim->claimed[claim[i].partition] = (int)w->number;
        SAY(w->sim, " p%d at %" PRId64 " epoch %" PRId64, claim[i].partition, claim[i].next_offset, claim[i].epoch);
    }
    SAY(w->sim, "%s\n", back ? ": the database went back" : "");
    w->sim->counters->back += back;
    if (back)
        cache_clear(&w->committer.cache);
    memcpy(w->position, claim, sizeof claim);
    w->positions = count;
    w->era = w->sim->era;
    return PK_OK;
}

static void add_event(struct worker *w, size_t position, int64_t offset)
{
    int32_t partition = w->position[position].partition;
    struct fact *fact = PK_NEW(&w->batch.arena, struct fact);
    fact_from_event(&w->actor.maker, w->sim->stream[partition][offset], &w->batch.arena, fact);
    fact->event_id = pk_arena_str(&w->batch.arena, fact->event_id);
    fact->topic_name = w->position[position].topic;
    fact->partition = partition;
    fact->offset = offset;
    fact->received_at_us = fact->at_us;
    *pk_vec_push(&w->batch.item) = (struct batch_item){(uint32_t)position, offset, fact, NULL};
    *pk_vec_push(&w->batch.month) = fact->at_us;
    SAY(w->sim, " p%d:%" PRId64 "=%.*s", partition, offset, PK_STR_ARG(fact->event_id));
}

static bool can_read(const struct worker *w)
{
    for (size_t i = 0; i < w->positions; i++)
        if (w->position[i].next_offset < w->sim->length[w->position[i].partition])
            return true;
    return false;
}

static void fill(struct worker *w)
{
    struct chance *chance = &w->sim->chance;
    int64_t next[MOST_PARTITIONS], left[MOST_PARTITIONS], all = 0;
    batch_reset(&w->batch);
    SAY(w->sim, "w%u begins", w->number);
    while (all == 0)
        for (size_t i = 0; i < w->positions; i++) {
            next[i] = w->position[i].next_offset;
            left[i] = w->sim->length[w->position[i].partition] - next[i];
            int64_t wanted = chance_in(chance, 70) ? 1 + (int64_t)chance_below(chance, w->sim->most) : 0;
            left[i] = PK_MIN(left[i], wanted);
            all += left[i];
        }
    for (; all > 0; all--) {
        size_t i = chance_below(chance, (unsigned)w->positions);
        while (left[i] == 0)
            i = (i + 1) % w->positions;
        left[i]--;
        add_event(w, i, next[i]++);
    }
    SAY(w->sim, "\n");
}

static void note_acked(struct worker *w)
{
    for (size_t i = 0; i < w->positions && w->era == w->sim->era; i++) {
        int64_t *acked = &w->sim->acked[w->position[i].partition];
        *acked = PK_MAX(*acked, w->position[i].next_offset);
    }
}

static enum pk_status commit_batch(struct worker *w, struct pk_err *err)
{
    fill(w);
    w->void_claim = false;
    w->parts = w->committer.counters.batches;
    w->tries_before = failed_tries(w);
    w->unlucky = chance_in(&w->sim->chance, w->sim->unlucky) ? 1 + chance_below(&w->sim->chance, 4) : 0;
    enum pk_status status = commit_start(&w->committer, &w->batch, w->position, w->positions, err);
    if (status == PK_OK)
        status = commit_finish(&w->committer, err);
    note_acked(w);
    check_claim(w);
    return status;
}

/* ---- a command ---- */

static bool take_name(struct sim *sim, const struct fact *fact, struct pk_hash *ret_hash, sym_t *ret_space)
{
    if (fact->person_count == 0)
        return false;
    const struct fact_name *name = &fact->person[chance_below(&sim->chance, fact->person_count)];
    *ret_hash = name->hash;
    *ret_space = name->name_space;
    return true;
}

/* About names that some event carries; false if none was found. */
static bool draw_decision(struct worker *w, struct pk_arena *arena, struct change_decision *ret)
{
    struct sim *sim = w->sim;
    struct fact one, two;
    fact_from_event(&w->actor.maker, &sim->event[chance_below(&sim->chance, (unsigned)sim->events)], arena, &one);
    fact_from_event(&w->actor.maker, &sim->event[chance_below(&sim->chance, (unsigned)sim->events)], arena, &two);
    *ret = (struct change_decision){.kind = (enum decision_kind)chance_below(&sim->chance, 3), .by = PK_STR("test")};
    if (ret->kind == DECIDE_BLOCK && one.device_count && chance_in(&sim->chance, 30)) {
        ret->a = one.device[0].hash;
        ret->name_space_a = one.device[0].name_space;
        ret->kind_a = KEY_DEVICE;
        return true;
    }
    if (!take_name(sim, &one, &ret->a, &ret->name_space_a))
        return false;
    if (ret->kind != DECIDE_APART)
        return true;
    const struct fact *other = one.person_count > 1 && chance_in(&sim->chance, 70) ? &one : &two;
    if (!take_name(sim, other, &ret->b, &ret->name_space_b) || pk_hash_eq(ret->a, ret->b))
        return false;
    if (pk_hash_cmp(ret->a, ret->b) > 0) {
        struct change_decision d = *ret;
        ret->a = d.b, ret->name_space_a = d.name_space_b;
        ret->b = d.a, ret->name_space_b = d.name_space_a;
    }
    return true;
}

static bool is_in_force(struct worker *w, const struct change_decision *d)
{
    char a[37], b[37];
    support_uuid(d->a, a);
    support_uuid(d->b, b);
    return tables_number(w->sim->sql,
                         "SELECT count(*) FROM polku.decision WHERE restored_at IS NULL AND kind = %d AND a = '%s'"
                         " AND b IS NOT DISTINCT FROM nullif('%s', '00000000-0000-0000-0000-000000000000')::uuid",
                         d->kind, a, b);
}

/* One of those in force; false if there is none. */
static bool draw_restore(struct worker *w, struct change_decision *ret)
{
    PGresult *rows = tables_query(w->sim->sql, "SELECT kind, a, b, a_kind, b_kind,"
                                  " (SELECT text FROM polku.dictionary WHERE id = a_namespace_id),"
                                  " (SELECT text FROM polku.dictionary WHERE id = b_namespace_id)"
                                  " FROM polku.decision WHERE restored_at IS NULL ORDER BY decision_id");
    int row = (int)chance_below(&w->sim->chance, (unsigned)PQntuples(rows));
    bool found = PQntuples(rows) > 0;
    if (found)
        *ret = (struct change_decision){
            .kind = (enum decision_kind)atoi(PQgetvalue(rows, row, 0)),
            .restore = true,
            .a = tables_hash(PQgetvalue(rows, row, 1)),
            .b = tables_hash(PQgetvalue(rows, row, 2)),
            .kind_a = (enum key_kind)atoi(PQgetvalue(rows, row, 3)),
            .kind_b = (enum key_kind)atoi(PQgetvalue(rows, row, 4)),
            .name_space_a = symbol_of(&w->actor.symbols, pk_str(PQgetvalue(rows, row, 5))),
            .name_space_b = PQgetisnull(rows, row, 6) ? 0 : symbol_of(&w->actor.symbols, pk_str(PQgetvalue(rows, row, 6))),
            .by = PK_STR("test"),
        };
    PQclear(rows);
    return found;
}

static enum pk_status decide(struct worker *w, struct pk_err *err)
{
    static const char *const kinds[] = {"block", "unlink", "apart"};
    struct sim *sim = w->sim;
    struct pk_arena arena = {0};
    struct change_decision decision;
    bool restore = chance_in(&sim->chance, 40) && draw_restore(w, &decision), found = restore;
    for (int i = 0; i < 10 && !found; i++)
        found = draw_decision(w, &arena, &decision) && !is_in_force(w, &decision);
    enum pk_status status = PK_OK;
    if (found) {
        char a[37], b[37];
        support_uuid(decision.a, a);
        support_uuid(decision.b, b);
        SAY(sim, "w%u decides: %s%s %s %s\n", w->number, restore ? "restore " : "", kinds[decision.kind], a, b);
        status = commit_decisions(&w->committer, &decision, 1, err);
        if (status == PK_OK && is_in_force(w, &decision) == restore)
            sim_violate(sim, "a decision that was committed is not there");
    }
    if (status == PK_OK) {
        sim->decisions--;
        sim->counters->decisions += found && !restore;
        sim->counters->restores += restore;
    }
    pk_arena_done(&arena);
    return status;
}

/* ---- lives ---- */

bool worker_has_work(const struct worker *w)
{
    if (w->life != IDLE)
        return w->life != ENDED;
    if (w->is_command)
        return w->sim->decisions > 0;
    return w->claim_wanted || !w->connected || w->era != w->sim->era || can_read(w);
}

static void count_tries(struct worker *w)
{
    for (unsigned i = 0; i < 5; i++) {
        w->sim->counters->retries[i] += w->committer.counters.retries[i];
        if (w->committer.counters.retries[i])
            w->sim->counters->most_tries = PK_MAX(w->sim->counters->most_tries, i + 1);
    }
    w->sim->counters->batches += w->committer.counters.batches;
    w->committer.counters = (struct commit_counters){0};
}

static enum pk_status work(struct worker *w, struct pk_err *err)
{
    if (!w->connected)
        return reconnect(w, err);
    if (w->is_command)
        return decide(w, err);
    if (w->claim_wanted)
        return claim(w, err);
    if (can_read(w))
        return commit_batch(w, err);
    w->connected = w->era == w->sim->era; /* nothing to do: learns of a failover by itself */
    return PK_OK;
}

static void recover(struct worker *w, enum pk_status status, const struct pk_err *err)
{
    struct sim *sim = w->sim;
    SAY(sim, "w%u: %s: %s\n", w->number, pk_status_name(status), err->text);
    if (status == PK_STOP || status == PK_REJECT || status == PK_STALE) /* stale: what was done alone cannot be */
        sim_violate(sim, "w%u: %s: %s", w->number, pk_status_name(status), err->text);
    cache_clear(&w->committer.cache);
    w->claim_wanted = true;
    if (status == PK_FENCED) {
        sim->counters->fenced++;
        for (unsigned p = 0; p < sim->partitions; p++)
            w->thinks[p] = sim->assigned[p] == w->number;
    } else {
        w->connected = false;
        sim->counters->others += status != PK_LOST;
    }
}

static void start_anew(struct worker *w)
{
    committer_done(&w->committer);
    committer_init(&w->committer, &w->actor.meaning, w->actor.store, w->cache_bytes);
    w->positions = 0;
    w->crashed = false;
    for (unsigned p = 0; p < w->sim->partitions; p++)
        w->thinks[p] = !w->is_command && w->sim->assigned[p] == w->number;
}

static void *live(void *context)
{
    struct worker *w = context;
    struct sim *sim = w->sim;
    pthread_mutex_lock(&sim->lock);
    while (sim->turn != (int)w->number)
        pthread_cond_wait(&w->turn, &sim->lock);
    pthread_mutex_unlock(&sim->lock);
    while (!sim->over) {
        struct pk_err err = {0};
        enum pk_status status = work(w, &err);
        count_tries(w);
        if (w->dying_pid && !sim->over)
            wait_gone(sim, w->dying_pid);
        w->dying_pid = 0;
        if (status != PK_OK && !sim->over)
            recover(w, status, &err);
        if (w->crashed)
            start_anew(w);
        w->life = IDLE;
        if (!sim->over)
            give_turn(w);
    }
    pthread_mutex_lock(&sim->lock);
    w->life = ENDED;
    sim->turn = -1;
    pthread_cond_signal(&sim->back);
    pthread_mutex_unlock(&sim->lock);
    return NULL;
}

void worker_init(struct worker *w, struct sim *sim, unsigned number, bool is_command, const char *conninfo)
{
    *w = (struct worker){.sim = sim, .number = number, .is_command = is_command, .connected = true};
    pthread_cond_init(&w->turn, NULL);
    actor_init(&w->actor, conninfo, &(struct store_config){.step = step, .step_context = w});
}

void worker_done(struct worker *w)
{
    actor_done(&w->actor);
    batch_done(&w->batch);
    pthread_cond_destroy(&w->turn);
}

void worker_begin(struct worker *w, uint64_t seed)
{
    static const size_t budgets[] = {0, 2000, 20000, 1 << 20, 1 << 20};
    static const unsigned weights[] = {100, 100, 10};
    actor_begin(&w->actor, seed);
    w->cache_bytes = w->is_command ? 0 : CHANCE_OF(&w->sim->chance, budgets);
    w->weight = CHANCE_OF(&w->sim->chance, weights);
    committer_init(&w->committer, &w->actor.meaning, w->actor.store, w->cache_bytes);
    w->positions = 0;
    w->claim_wanted = !w->is_command;
    w->crash = w->crashed = w->commits = w->void_claim = false;
    w->era = w->sim->era;
    w->life = IDLE;
    for (unsigned p = 0; p < w->sim->partitions; p++)
        w->thinks[p] = !w->is_command && w->sim->assigned[p] == w->number;
    if (pthread_create(&w->thread, NULL, live, w) != 0)
        abort();
}

void worker_end(struct worker *w)
{
    worker_run(w); /* `over`: to its end */
    pthread_join(w->thread, NULL);
    count_tries(w);
    committer_done(&w->committer);
    actor_end(&w->actor);
}
