/* SPDX-License-Identifier: Apache-2.0 */
#include "rebuild.h"
#include "match.h"
#include "store_rebuild.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct rebuild {
    const struct rebuild_config *config;
    const volatile sig_atomic_t *stop;
    struct matcher matcher;
    struct fact_maker maker;
    struct meaning meaning;
    struct store *old, *shadow;
    struct committer committer;
    struct batch batch[2]; /* one is filled while the other is in flight */
    int filling;
    struct rebuild_page page; /* the one that was asked for last */
    int64_t total, read, too_late;
    bool asked; /* a page is to be read */
    bool made;  /* there are new tables to drop if it fails */
};

static void say(struct rebuild *r, const char *sentence, const char *detail)
{
    r->config->handler.say(r->config->handler.context, sentence, detail);
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

static struct pk_hash key_check(const struct rebuild *r)
{
    const struct pk_str text = PK_STR("polku hash key check");
    return fact_hash(r->config->hasher, &text, 1);
}

static enum pk_status open_stores(struct rebuild *r, struct pk_err *err)
{
    struct store_config config = r->config->store;
    enum pk_status status = stopped(r, err);
    if (status != PK_OK)
        return status;
    r->made = true;
    status = store_rebuild_make(r->old, err);
    if (status != PK_OK)
        return status;
    config.schema = REBUILD_SCHEMA;
    status = store_open(&config, r->config->symbols, &r->shadow, err);
    if (status == PK_OK)
        committer_init(&r->committer, &r->meaning, r->shadow, (size_t)r->config->cache_bytes);
    if (status == PK_OK)
        status = store_check_rules(r->shadow, r->config->rules, key_check(r), err);
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
    if (status == PK_OK)
        status = store_rebuild_months(r->shadow, err);
    return status;
}

/* ---- decisions ---- */

static enum pk_status decide_again(struct rebuild *r, struct pk_err *err)
{
    struct pk_arena arena PK_AUTO(pk_arena_done) = {0};
    struct rebuild_decisions decisions = {0};
    enum pk_status status = store_rebuild_decisions(r->old, &arena, &decisions, err);
    for (size_t i = 0; i < decisions.count && status == PK_OK; i++)
        status = commit_decisions(&r->committer, &decisions.decision[i], 1, err);
    return status;
}

/* ---- events ---- */

static enum pk_status find_clear_namespaces(struct rebuild *r, sym_t **ret, struct pk_err *err)
{
    struct symbols *symbols = r->config->symbols;
    enum pk_status status = store_ensure_dictionary(r->old, err);
    *ret = pk_alloc(symbols_count(symbols) * sizeof **ret);
    for (sym_t sym = 1; sym < symbols_count(symbols) && status == PK_OK; sym++) {
        const struct rules_namespace *rules = fact_namespace(r->config->rules, symbol_text(symbols, sym));
        if (rules && rules->store_clear)
            (*ret)[r->page.clears++] = sym;
    }
    r->page.clear = *ret;
    return status;
}

/* The events of a page become a batch; those before the horizon are left out (the swap puts them into quarantine). */
static void fill(struct rebuild *r, struct batch *batch, const struct store_facts *facts)
{
    for (size_t i = 0; i < facts->count; i++) {
        struct fact *fact = &facts->fact[i];
        if (fact->at_us < r->config->rules->horizon_us) {
            r->too_late++;
            continue;
        }
        fact_take_names(&r->maker, &batch->arena, fact);
        fact->traits = match_traits(&r->matcher, fact);
        *pk_vec_push(&batch->item) = (struct batch_item){.offset = fact->offset, .fact = fact};
    }
    r->read += (int64_t)facts->count;
}

static void ask_behind(struct rebuild *r, const struct fact *last)
{
    if (last) {
        r->page.after_us = last->at_us;
        r->page.after = last->event_hash;
    }
    store_rebuild_send_page(r->old, &r->page);
    r->asked = true;
}

static enum pk_status finish_batch(struct rebuild *r, struct pk_err *err)
{
    if (!commit_under_way(&r->committer))
        return PK_OK;
    enum pk_status status = commit_finish(&r->committer, err);
    if (status == PK_OK)
        r->config->handler.progress(r->config->handler.context, (int64_t)r->committer.counters.facts + r->too_late, r->total,
                                    &r->committer.counters);
    return status;
}

/* Reads a page while PostgreSQL is at work on the batch before it. */
static enum pk_status next_batch(struct rebuild *r, size_t *ret_count, struct pk_err *err)
{
    struct batch *batch = &r->batch[r->filling];
    struct store_facts facts = {0};
    batch_reset(batch);
    r->asked = false;
    enum pk_status status = store_rebuild_read_page(r->old, &batch->arena, &facts, err);
    if (status != PK_OK)
        return status;
    if (facts.count == (size_t)r->page.count)
        ask_behind(r, &facts.fact[facts.count - 1]);
    fill(r, batch, &facts);
    status = finish_batch(r, err);
    if (status == PK_OK && batch->item.len > 0) {
        status = commit_start(&r->committer, batch, NULL, 0, err);
        r->filling = !r->filling;
    }
    *ret_count = facts.count;
    return status;
}

static enum pk_status derive_again(struct rebuild *r, struct pk_err *err)
{
    sym_t *clear;
    size_t count = 0;
    r->page.after_us = INT64_MIN;
    r->page.count = (int32_t)r->config->batch_records;
    enum pk_status status = find_clear_namespaces(r, &clear, err);
    if (status == PK_OK)
        ask_behind(r, NULL);
    do {
        if (status == PK_OK)
            status = next_batch(r, &count, err);
        if (status == PK_OK)
            status = stopped(r, err);
    } while (status == PK_OK && count == (size_t)r->page.count);
    if (status == PK_OK)
        status = finish_batch(r, err);
    if (status == PK_OK)
        status = store_ensure_dictionary(r->shadow, err);
    if (status == PK_OK)
        status = store_rebuild_values(r->shadow, r->page.clear, r->page.clears, err);
    free(clear);
    int64_t saved = (int64_t)r->committer.counters.facts + r->too_late;
    if (status == PK_OK && saved != r->read)
        return pk_fail(err, PK_STOP, "%" PRId64 " events were read and %" PRId64 " came out (this is a defect)", r->read, saved);
    return status;
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
    struct rebuild_order order = {.count = 0};
    int64_t patience_ms = FIRST_PATIENCE_MS;
    enum pk_status status = stopped(r, err);
    for (int64_t since_ms = 0; status == PK_OK;) {
        status = store_rebuild_swap(r->shadow, r->config->rules, &order, patience_ms, err);
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
    return status;
}

/* ---- the whole ---- */

static enum pk_status check(struct rebuild *r, bool *ret_empty, struct pk_err *err)
{
    struct rebuild_state state = {0};
    enum pk_status status = store_rebuild_lock(r->old, err);
    if (status == PK_OK)
        status = store_rebuild_check(r->old, r->config->rules, key_check(r), &state, err);
    if (status == PK_OK)
        status = store_rebuild_count(r->old, &r->total, err);
    if (status != PK_OK)
        return status;
    if (!state.empty && !state.hashing_known)
        r->config->handler.warn(r->config->handler.context, "the database does not know how its identifiers were hashed",
                                "advice=\"namespaces, normalisers, blocked values and country must be those of before\"");
    char detail[100];
    snprintf(detail, sizeof detail, "events=%" PRId64 " rules=%s", r->total, state.same ? "same" : "changed");
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
        status = hold(r, err);
    if (status == PK_OK)
        status = store_rebuild_begin_fill(r->shadow, err);
    if (status == PK_OK)
        status = decide_again(r, err);
    if (status == PK_OK)
        status = derive_again(r, err);
    if (status == PK_OK)
        say(r, "everything is derived, analysing the new tables", "");
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
    if (r->asked)
        store_rebuild_read_page(r->old, &r->batch[0].arena, &(struct store_facts){0}, &err);
    status = store_rebuild_drop(r->old, &err);
    if (status == PK_LOST && (status = store_reopen(r->old, &err)) == PK_OK && (status = store_rebuild_lock(r->old, &err)) == PK_OK)
        status = store_rebuild_drop(r->old, &err);
    if (status != PK_OK)
        r->config->handler.warn(r->config->handler.context, "the new tables stay until the next rebuild drops them",
                                "schema=" REBUILD_SCHEMA);
}

static void tear_down(struct rebuild *r)
{
    if (r->shadow) {
        committer_done(&r->committer);
        store_close(r->shadow);
    }
    clean_up(r);
    store_close(r->old);
    batch_done(&r->batch[0]);
    batch_done(&r->batch[1]);
    fact_maker_done(&r->maker);
    matcher_done(&r->matcher);
}

enum pk_status rebuild_run(const struct rebuild_config *config, const volatile sig_atomic_t *stop, struct pk_err *err)
{
    struct rebuild *r = pk_alloc(sizeof *r);
    r->config = config;
    r->stop = stop;
    matcher_init(&r->matcher, config->rules, config->symbols);
    fact_maker_init(&r->maker, config->rules, config->hasher, config->symbols, &r->matcher);
    r->meaning = (struct meaning){config->rules, &r->matcher, config->symbols, config->hasher, &r->maker};
    r->batch[0].arena.keep_bytes = r->batch[1].arena.keep_bytes = 64 << 20;
    enum pk_status status = rebuild_all(r, err);
    if (status == PK_LOST || status == PK_FENCED || status == PK_STALE)
        status = PK_RETRY;
    tear_down(r);
    free(r);
    return status;
}
