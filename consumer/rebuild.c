/* SPDX-License-Identifier: Apache-2.0 */
#include "crash_point.h"
#include "rebuild.h"
#include "rebuild_kafka.h"
#include "refill.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct rebuild {
    const struct rebuild_config *config;
    const volatile sig_atomic_t *stop;
    struct refill refill;
    struct store *old, *shadow;
    struct rebuild_state state;
    struct rebuild_kafka *kafka; /* NULL: from stored events */
    int64_t total, held_at_us;
    bool made; /* there are new tables to drop if it fails */
};

static void say(struct rebuild *r, const char *sentence, const char *detail)
{
    r->config->handler.say(r->config->handler.context, sentence, detail);
}

static int64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

static enum pk_status stopped(struct rebuild *r, struct pk_err *err)
{
    return *r->stop ? pk_fail(err, PK_RETRY, "it was stopped; the tables are as they were") : PK_OK;
}

static void rest(int64_t ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); /* a signal ends it early */
}

/* ---- setting up ---- */

static enum pk_status open_stores(struct rebuild *r, struct pk_err *err)
{
    struct store_config config = r->config->store;
    enum pk_status status = stopped(r, err);
    if (status != PK_OK)
        return status;
    r->made = true;
    status = store_rebuild_make(r->old, err);
    if (status == PK_OK && r->config->kafka)
        status = store_rebuild_make_notes(r->old, err);
    if (status != PK_OK)
        return status;
    config.schema = REBUILD_SCHEMA;
    config.own_quarantine = config.sole_writer = r->config->kafka != NULL;
    status = store_open(&config, r->config->symbols, &r->shadow, err);
    if (status == PK_OK)
        status = store_check_rules(r->shadow, r->config->rules, refill_key_check(r->config->hasher), err);
    return status;
}

/* From here on the tables in use do not change. */
static enum pk_status hold(struct rebuild *r, struct pk_err *err)
{
    enum pk_status status;
    say(r, "waiting for the batches under way", "");
    while ((status = store_rebuild_hold(r->shadow, err)) == PK_STALE && !*r->stop)
        say(r, "still waiting for the batches under way", "");
    if (status == PK_STALE)
        return stopped(r, err);
    r->held_at_us = clock_us();
    if (status == PK_OK)
        status = store_rebuild_months(r->shadow, err);
    return status;
}

/* ---- filling ---- */

static void tell_progress(void *context, int64_t done, int64_t total, const struct commit_counters *counters)
{
    const struct rebuild *r = context;
    r->config->handler.progress(r->config->handler.context, done, total, counters);
    CRASH_POINT(rebuild_filling);
}

static enum pk_status derive_again(struct rebuild *r, struct pk_err *err)
{
    enum pk_status status = store_ensure_dictionary(r->old, err);
    if (status == PK_OK)
        status = refill_run(&r->refill, r->old, r->shadow, r->total, err);
    if (status == PK_OK)
        status = store_ensure_dictionary(r->shadow, err);
    return status == PK_OK ? store_rebuild_values(r->shadow, r->refill.page.clear, r->refill.page.clears, err) : status;
}

static enum pk_status analyse(struct rebuild *r, struct pk_err *err)
{
    say(r, "everything is derived, analysing the new tables", "");
    return store_rebuild_analyse(r->shadow, err);
}

static enum pk_status fill_from_stored(struct rebuild *r, struct pk_err *err)
{
    enum pk_status status = hold(r, err);
    if (status == PK_OK)
        status = store_rebuild_begin_fill(r->shadow, r->config->rules, err);
    if (status == PK_OK)
        status = derive_again(r, err);
    return status == PK_OK ? analyse(r, err) : status;
}

/* ---- the swap ---- */

/* While the swap waits for who reads, others wait behind it: first for a short time, then longer, for there may always be
 * somebody whose query takes longer than that. */
enum { FIRST_PATIENCE_MS = 500, MOST_PATIENCE_MS = 10000 };
enum { PIDS = 200, PAUSE_MS = 1000, SAY_EVERY_MS = 10000 };

/* `since_ms`: how long nothing was said; 0 = now is the time. */
static void wait_a_while(struct rebuild *r, int64_t ms, int64_t *since_ms, const char *sentence, const char *pids)
{
    char detail[PIDS + 32];
    snprintf(detail, sizeof detail, "pids=%s", pids);
    if (*since_ms == 0)
        say(r, sentence, detail);
    rest(ms);
    *since_ms = *since_ms + ms < SAY_EVERY_MS ? *since_ms + ms : 0;
}

/* Whoever holds a snapshot that is older than the last of the new rows would see half of them. */
static enum pk_status outlast_snapshots(struct rebuild *r, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    for (int64_t since_ms = 0; status == PK_OK;) {
        char pids[PIDS] = "";
        status = store_rebuild_older(r->shadow, pids, sizeof pids, err);
        if (status != PK_OK || !pids[0])
            return status;
        wait_a_while(r, PAUSE_MS, &since_ms, "waiting for transactions that began before the new tables were full", pids);
        status = stopped(r, err);
    }
    return status;
}

/* Whoever reads for long is waited for before consumers are held up; what came meanwhile is read after that. They wait from
 * the hold on. */
static enum pk_status fill_from_kafka(struct rebuild *r, struct pk_err *err)
{
    refill_begin(&r->refill, r->old, r->shadow, r->total);
    enum pk_status status = store_rebuild_begin_fill(r->shadow, r->config->rules, err);
    if (status == PK_OK)
        status = refill_identity(&r->refill, err);
    if (status == PK_OK)
        status = rebuild_kafka_open(r->config, &r->state, &r->refill, r->stop, &r->kafka, err);
    if (status == PK_OK)
        status = rebuild_kafka_fill(r->kafka, err);
    if (status == PK_OK)
        status = analyse(r, err);
    if (status == PK_OK)
        status = store_rebuild_note_older(r->shadow, err);
    if (status == PK_OK)
        status = outlast_snapshots(r, err);
    if (status == PK_OK)
        status = rebuild_kafka_fill(r->kafka, err);
    if (status == PK_OK)
        status = hold(r, err);
    if (status == PK_OK)
        status = rebuild_kafka_end(r->kafka, err);
    return status == PK_OK ? store_ensure_dictionary(r->shadow, err) : status;
}

static enum pk_status settle_lost_swap(struct rebuild *r, struct pk_err *err)
{
    bool swapped = false;
    struct pk_err why = {0};
    enum pk_status status = store_rebuild_swapped(r->old, &swapped, &why);
    if (status != PK_OK)
        return pk_fail(err, PK_STOP, "the connection broke at the swap, and whether the tables are swapped is not known: if run "
                                     "does not say that a rebuild is needed, they are");
    return swapped ? PK_OK : PK_LOST;
}

static enum pk_status swap(struct rebuild *r, struct pk_err *err)
{
    const struct rebuild_kafka_config *kafka = r->config->kafka;
    const struct rebuild_change change = {
        .rules = r->config->rules,
        .key_check = refill_key_check(r->config->hasher),
        .from_kafka = kafka != NULL,
        .rehashed = r->state.rehashed,
        .keep_older = kafka && kafka->keep_older,
    };
    struct rebuild_order order = {.count = 0};
    int64_t patience_ms = FIRST_PATIENCE_MS;
    enum pk_status status = stopped(r, err);
    CRASH_POINT(rebuild_before_swap);
    for (int64_t since_ms = 0; status == PK_OK;) {
        status = store_rebuild_swap(r->shadow, &change, &order, patience_ms, err);
        if (status == PK_LOST)
            status = settle_lost_swap(r, err);
        if (status != PK_STALE && status != PK_RETRY)
            break;
        char pids[PIDS] = "";
        status = store_rebuild_readers(r->shadow, pids, sizeof pids, err);
        if (status == PK_OK)
            wait_a_while(r, PK_MAX(patience_ms, (int64_t)PAUSE_MS), &since_ms, "waiting for a moment without readers", pids);
        patience_ms = PK_MIN(patience_ms * 5 / 4, (int64_t)MOST_PATIENCE_MS);
        if (status == PK_OK)
            status = stopped(r, err);
    }
    r->made = r->made && status != PK_OK;
    char detail[60];
    snprintf(detail, sizeof detail, "consumers_waited=%.1f", (double)(clock_us() - r->held_at_us) / 1e6);
    if (status == PK_OK)
        say(r, "the tables are swapped", detail);
    return status;
}

/* ---- the whole ---- */

static enum pk_status check(struct rebuild *r, bool *ret_empty, struct pk_err *err)
{
    struct rebuild_state state = {0};
    bool may_rehash = r->config->kafka != NULL;
    enum pk_status status = store_rebuild_lock(r->old, err);
    if (status == PK_OK)
        status = store_rebuild_check(r->old, r->config->rules, refill_key_check(r->config->hasher), may_rehash, &state, err);
    if (status == PK_OK)
        status = store_rebuild_count(r->old, &r->total, err);
    if (status != PK_OK)
        return status;
    if (!state.empty && !state.hashing_known)
        r->config->handler.warn(r->config->handler.context, "the database does not know how its identifiers were hashed",
                                "advice=\"namespaces, normalisers, blocked values and country must be those of before\"");
    char detail[100];
    snprintf(detail, sizeof detail, "events=%" PRId64 " rules=%s hashing=%s from=%s", r->total, state.same ? "same" : "changed",
             state.rehashed ? "changed" : "same", may_rehash ? "kafka" : "tables");
    r->state = state;
    say(r, state.empty ? "nothing was derived yet, there is nothing to rebuild" : "rebuild begins", state.empty ? "" : detail);
    *ret_empty = state.empty;
    return PK_OK;
}

static enum pk_status rebuild_all(struct rebuild *r, struct pk_err *err)
{
    bool empty = false;
    enum pk_status status = store_open(&r->config->store, r->config->symbols, &r->old, err);
    if (status == PK_OK)
        status = check(r, &empty, err);
    if (status != PK_OK || empty)
        return status;
    status = open_stores(r, err);
    if (status == PK_OK)
        status = r->config->kafka ? fill_from_kafka(r, err) : fill_from_stored(r, err);
    if (status == PK_OK)
        status = store_rebuild_finish(r->shadow, err);
    if (status == PK_OK)
        status = outlast_snapshots(r, err);
    return status == PK_OK ? swap(r, err) : status;
}

/* The new tables are dropped if that is possible now; else the next rebuild does it. */
static void clean_up(struct rebuild *r)
{
    struct pk_err err = {0};
    enum pk_status status;
    if (!r->made || !r->old)
        return;
    status = store_rebuild_drop(r->old, &err);
    if (status == PK_LOST && (status = store_reopen(r->old, &err)) == PK_OK && (status = store_rebuild_lock(r->old, &err)) == PK_OK)
        status = store_rebuild_drop(r->old, &err);
    if (status != PK_OK)
        r->config->handler.warn(r->config->handler.context, "the new tables stay until the next rebuild drops them",
                                "schema=" REBUILD_SCHEMA);
}

static void tear_down(struct rebuild *r)
{
    rebuild_kafka_close(r->kafka);
    refill_done(&r->refill);
    store_close(r->shadow);
    clean_up(r);
    store_close(r->old);
}

enum pk_status rebuild_run(const struct rebuild_config *config, const volatile sig_atomic_t *stop, struct pk_err *err)
{
    struct rebuild *r = pk_alloc(sizeof *r);
    const struct refill_config refill = {
        .rules = config->rules,
        .hasher = config->hasher,
        .symbols = config->symbols,
        .batch_records = config->batch_records,
        .cache_bytes = config->cache_bytes,
        .context = r,
        .progress = tell_progress,
    };
    r->config = config;
    r->stop = stop;
    refill_init(&r->refill, &refill, stop);
    enum pk_status status = rebuild_all(r, err);
    if (status == PK_LOST || status == PK_FENCED || status == PK_STALE)
        status = PK_RETRY;
    tear_down(r);
    free(r);
    return status;
}
