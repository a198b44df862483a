/* SPDX-License-Identifier: Apache-2.0 */
#include "refill.h"

#include <inttypes.h>
#include <stdlib.h>

struct pk_hash refill_key_check(const struct fact_hasher *hasher)
{
    const struct pk_str text = PK_STR("polku hash key check");
    return fact_hash(hasher, &text, 1);
}

static enum pk_status stopped(struct refill *r, struct pk_err *err)
{
    return *r->stop ? pk_fail(err, PK_RETRY, "it was stopped; the tables are as they were") : PK_OK;
}

/* ---- decisions ---- */

static void class_by_rules(const struct refill *r, sym_t name_space, enum key_kind *kind)
{
    if (!name_space || (*kind != KEY_PERSON && *kind != KEY_DEVICE))
        return;
    const struct rules_namespace *rules = fact_namespace(r->config.rules, symbol_text(r->config.symbols, name_space));
    if (rules)
        *kind = rules->class_ == RULES_PERSON ? KEY_PERSON : KEY_DEVICE;
}

enum pk_status refill_decisions(const struct refill *r, struct store *old, struct pk_arena *arena,
                                struct rebuild_decisions *ret, struct pk_err *err)
{
    enum pk_status status = store_rebuild_decisions(old, arena, ret, err);
    for (size_t i = 0; status == PK_OK && i < ret->count; i++) {
        class_by_rules(r, ret->decision[i].name_space_a, &ret->decision[i].kind_a);
        class_by_rules(r, ret->decision[i].name_space_b, &ret->decision[i].kind_b);
    }
    return status;
}

static enum pk_status decide_again(struct refill *r, struct pk_err *err)
{
    struct pk_arena arena PK_AUTO(pk_arena_done) = {0};
    struct rebuild_decisions decisions = {0};
    enum pk_status status = refill_decisions(r, r->old, &arena, &decisions, err);
    for (size_t i = 0; i < decisions.count && status == PK_OK; i++)
        status = commit_decisions(&r->committer, &decisions.decision[i], 1, err);
    return status;
}

/* ---- events ---- */

static void find_clear_namespaces(struct refill *r)
{
    struct symbols *symbols = r->config.symbols;
    free(r->clear);
    r->clear = pk_alloc(symbols_count(symbols) * sizeof *r->clear);
    r->page.clears = 0;
    for (sym_t sym = 1; sym < symbols_count(symbols); sym++) {
        const struct rules_namespace *rules = fact_namespace(r->config.rules, symbol_text(symbols, sym));
        if (rules && rules->store_clear)
            r->clear[r->page.clears++] = sym;
    }
    r->page.clear = r->clear;
}

/* The events of a page become a batch; those before the horizon are left out (a swap puts them into quarantine). */
static void fill(struct refill *r, struct batch *batch, const struct store_facts *facts)
{
    for (size_t i = 0; i < facts->count; i++) {
        struct fact *fact = &facts->fact[i];
        if (r->config.look)
            r->config.look(r->config.context, fact);
        if (fact->at_us < r->config.rules->horizon_us) {
            r->too_late++;
            continue;
        }
        fact_take_names(&r->maker, &batch->arena, fact);
        fact->traits = match_traits(&r->matcher, fact);
        *pk_vec_push(&batch->item) = (struct batch_item){.offset = fact->offset, .fact = fact};
    }
    r->read += (int64_t)facts->count;
}

static void ask_behind(struct refill *r, const struct fact *last)
{
    if (last) {
        r->page.after_us = last->at_us;
        r->page.after = last->event_hash;
    }
    store_rebuild_send_page(r->old, &r->page);
    r->asked = true;
}

static enum pk_status finish_batch(struct refill *r, struct pk_err *err)
{
    if (!commit_under_way(&r->committer))
        return PK_OK;
    enum pk_status status = commit_finish(&r->committer, err);
    if (status == PK_OK)
        r->config.progress(r->config.context, (int64_t)r->committer.counters.facts + r->too_late, r->total,
                           &r->committer.counters);
    return status;
}

/* Reads a page while PostgreSQL is at work on the batch before it. */
static enum pk_status next_batch(struct refill *r, size_t *ret_count, struct pk_err *err)
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

static enum pk_status derive_again(struct refill *r, struct pk_err *err)
{
    size_t count = 0;
    int64_t saved_before = (int64_t)(r->committer.counters.facts + r->committer.counters.forgotten);
    enum pk_status status = PK_OK;
    r->page.after_us = INT64_MIN;
    r->page.count = (int32_t)r->config.batch_records;
    find_clear_namespaces(r);
    ask_behind(r, NULL);
    do {
        status = next_batch(r, &count, err);
        if (status == PK_OK)
            status = stopped(r, err);
    } while (status == PK_OK && count == (size_t)r->page.count);
    if (status == PK_OK)
        status = finish_batch(r, err);
    int64_t saved = (int64_t)(r->committer.counters.facts + r->committer.counters.forgotten) - saved_before + r->too_late;
    if (status == PK_OK && saved != r->read && !r->page.older) /* of older ones there may be copies in Kafka */
        return pk_fail(err, PK_STOP, "%" PRId64 " events were read and %" PRId64 " came out (this is a defect)", r->read,
                       saved);
    return status;
}

/* ---- the whole ---- */

void refill_init(struct refill *r, const struct refill_config *config, const volatile sig_atomic_t *stop)
{
    *r = (struct refill){.config = *config, .stop = stop};
    matcher_init(&r->matcher, config->rules, config->symbols);
    fact_maker_init(&r->maker, config->rules, config->hasher, config->symbols, &r->matcher);
    r->meaning = (struct meaning){config->rules, &r->matcher, config->symbols, config->hasher, &r->maker};
    r->batch[0].arena.keep_bytes = r->batch[1].arena.keep_bytes = 64 << 20;
}

void refill_begin(struct refill *r, struct store *old, struct store *shadow, int64_t total)
{
    r->old = old;
    r->shadow = shadow;
    r->total = total;
    committer_init(&r->committer, &r->meaning, shadow, (size_t)r->config.cache_bytes);
}

struct batch *refill_batch(struct refill *r)
{
    return &r->batch[r->filling];
}

struct batch *refill_last(struct refill *r)
{
    return &r->batch[!r->filling];
}

enum pk_status refill_put(struct refill *r, struct pk_err *err)
{
    enum pk_status status = refill_finish(r, err);
    if (status != PK_OK || r->batch[r->filling].item.len == 0)
        return status;
    status = commit_start(&r->committer, &r->batch[r->filling], NULL, 0, err);
    r->filling = !r->filling;
    return status;
}

enum pk_status refill_finish(struct refill *r, struct pk_err *err)
{
    return commit_under_way(&r->committer) ? commit_finish(&r->committer, err) : PK_OK;
}

enum pk_status refill_values(struct refill *r, struct pk_err *err)
{
    find_clear_namespaces(r);
    return store_rebuild_values(r->shadow, r->page.clear, r->page.clears, err);
}

enum pk_status refill_older(struct refill *r, struct pk_err *err)
{
    r->page.older = true;
    enum pk_status status = refill_finish(r, err);
    return status == PK_OK ? derive_again(r, err) : status;
}

enum pk_status refill_identity(struct refill *r, struct pk_err *err)
{
    enum { PERSONS = 2000 };
    struct pk_arena arena PK_AUTO(pk_arena_done) = {0};
    struct pk_hash after = {{0}}, *person = NULL;
    size_t count = PERSONS;
    enum pk_status status = PK_OK;
    while (status == PK_OK && count == PERSONS) {
        pk_arena_reset(&arena);
        status = store_rebuild_sealed_persons(r->shadow, after, PERSONS, &arena, &person, &count, err);
        if (status != PK_OK || count == 0)
            break;
        after = person[count - 1];
        status = commit_resolve(&r->committer, person, count, err);
    }
    return status;
}

enum pk_status refill_run(struct refill *r, struct store *old, struct store *shadow, int64_t total, struct pk_err *err)
{
    refill_begin(r, old, shadow, total);
    enum pk_status status = refill_identity(r, err);
    if (status == PK_OK)
        status = decide_again(r, err);
    return status == PK_OK ? derive_again(r, err) : status;
}

void refill_settle(struct refill *r)
{
    struct pk_err ignored = {0};
    if (r->asked)
        store_rebuild_read_page(r->old, &r->batch[r->filling].arena, &(struct store_facts){0}, &ignored);
    r->asked = false;
}

void refill_done(struct refill *r)
{
    refill_settle(r);
    if (r->shadow)
        committer_done(&r->committer);
    batch_done(&r->batch[0]);
    batch_done(&r->batch[1]);
    fact_maker_done(&r->maker);
    matcher_done(&r->matcher);
    free(r->clear);
}
