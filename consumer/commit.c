/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* qsort_r, getrandom */
#include "commit.h"
#include "crash_point.h"
#include "store_retain.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

enum { LOCKED_TRIES = 3, MOST_TRIES = 1 + LOCKED_TRIES + 1 };

void committer_init(struct committer *committer, const struct meaning *meaning, struct store *store,
                    size_t cache_bytes)
{
    *committer = (struct committer){.meaning = meaning, .store = store};
    committer->arena.keep_bytes = 64 << 20;
    metrics_init(&committer->metrics, meaning->rules, meaning->maker->symbols);
    cache_init(&committer->cache, cache_bytes);
}

void committer_done(struct committer *committer)
{
    workset_done(&committer->workset);
    cache_done(&committer->cache);
    changes_done(&committer->changes);
    metrics_done(&committer->metrics);
    pk_map_done(&committer->locked);
    pk_vec_done(&committer->known);
    pk_vec_done(&committer->lost);
    pk_arena_done(&committer->arena);
}

/* ---- what goes into a try ---- */

static void quarantine_loser(struct committer *c, struct fact *fact)
{
    *pk_vec_push(&c->changes.quarantine) = (struct change_quarantine){
        .topic = fact->topic_name,
        .partition = fact->partition,
        .offset = fact->offset,
        .reason = REJECT_CONFLICTING_DUPLICATE,
        .source = fact->source,
        .detail = PK_STR("another copy of the event has the smaller content hash"),
        .received_at_us = fact->received_at_us,
        .key = fact->record_key,
        .value = fact->record_value,
        .headers = fact->record_headers,
        .partial = !fact->record_value.ptr, /* names were taken out of it: forget_apply */
    };
    *pk_vec_push(&c->lost) = fact;
}

struct twin { /* facts under the same place of `seen`; usually one */
    struct fact *fact;
    struct twin *next;
};

/* The time is part of it: a publisher that gives every event the same id makes a list of one each. */
static struct pk_hash seen_key(const struct fact *fact)
{
    struct pk_hash key = fact->event_hash;
    pk_put_be64(key.byte, pk_get_be64(key.byte) ^ (uint64_t)fact->at_us);
    return key;
}

/* Keeps one copy of each event: the one with the smallest content hash. */
static void add_unique(struct committer *c, struct pk_map *seen, struct twin **list, struct fact *fact)
{
    struct twin *first = pk_map_get(seen, seen_key(fact));
    for (struct twin *twin = first; twin; twin = twin->next) {
        if (twin->fact->at_us != fact->at_us || !pk_hash_eq(twin->fact->event_hash, fact->event_hash))
            continue;
        if (fact->content_hash == twin->fact->content_hash)
            return;
        if (fact->content_hash < twin->fact->content_hash) {
            quarantine_loser(c, twin->fact);
            twin->fact = fact;
        } else {
            quarantine_loser(c, fact);
        }
        return;
    }
    struct twin *twin = (*list)++;
    *twin = (struct twin){fact, NULL};
    if (first) {
        twin->next = first->next;
        first->next = twin;
    } else {
        pk_map_put(seen, seen_key(fact), twin);
    }
}

struct sort_item {
    int64_t at_us;
    struct fact *fact;
};

static int compare_items(const void *left, const void *right, void *symbols)
{
    const struct sort_item *a = left, *b = right;
    if (a->at_us != b->at_us)
        return a->at_us < b->at_us ? -1 : 1;
    return fact_cmp(symbols, a->fact, b->fact);
}

static struct fact **unique_sorted(struct committer *c, size_t *ret_count)
{
    size_t most = c->to - c->from;
    struct twin *twins = pk_arena_alloc(&c->arena, (most + 1) * sizeof *twins), *end = twins;
    struct pk_map seen = {0};
    c->lost.len = 0;
    for (size_t i = c->from; i < c->to; i++)
        if (c->batch->item.ptr[i].fact && !c->batch->item.ptr[i].fact->forgotten)
            add_unique(c, &seen, &end, c->batch->item.ptr[i].fact);
    pk_map_done(&seen);

    size_t count = (size_t)(end - twins);
    struct sort_item *item = pk_arena_alloc(&c->arena, (count + 1) * sizeof *item);
    for (size_t i = 0; i < count; i++)
        item[i] = (struct sort_item){twins[i].fact->at_us, twins[i].fact};
    qsort_r(item, count, sizeof *item, compare_items, (void *)c->meaning->symbols);
    struct fact **fact = pk_arena_alloc(&c->arena, (count + 1) * sizeof *fact);
    for (size_t i = 0; i < count; i++)
        fact[i] = item[i].fact;
    *ret_count = count;
    return fact;
}

static int compare_spans(const void *left, const void *right, void *symbols)
{
    const struct store_span *a = left, *b = right;
    int order = pk_str_cmp(symbol_text(symbols, a->at.topic), symbol_text(symbols, b->at.topic));
    return order ? order : (a->at.partition > b->at.partition) - (a->at.partition < b->at.partition);
}

/* Each partition's share, in the order in which their rows are locked. */
static void take_spans(struct committer *c)
{
    int64_t *next = pk_arena_alloc(&c->arena, (c->positions + 1) * sizeof *next);
    for (size_t i = 0; i < c->positions; i++)
        next[i] = -1;
    for (size_t i = c->from; i < c->to; i++)
        next[c->batch->item.ptr[i].position] = c->batch->item.ptr[i].offset + 1;
    struct store_span *span = PK_NEW_ARRAY(&c->arena, struct store_span, c->positions + 1);
    size_t count = 0;
    for (size_t i = 0; i < c->positions; i++)
        if (next[i] >= 0)
            span[count++] = (struct store_span){c->position[i], next[i]};
    qsort_r(span, count, sizeof *span, compare_spans, (void *)c->meaning->symbols);
    c->changes.span = span;
    c->changes.spans = count;
    c->changes.slot = count ? span[0].at.slot : 0;
}

/* ---- loading until the closure stops growing ---- */

static bool is_locked(struct committer *c, int64_t cell)
{
    return pk_map_get(&c->locked, pk_hash_of(cell)) != NULL;
}

static void note_locked(struct committer *c, int64_t cell)
{
    pk_map_put(&c->locked, pk_hash_of(cell), c);
}

static int compare_cells(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void know(struct committer *c, int64_t cell)
{
    *pk_vec_push(&c->known) = cell;
}

static void sort_known(struct committer *c)
{
    if (c->known.len == 0)
        return;
    qsort(c->known.ptr, c->known.len, sizeof *c->known.ptr, compare_cells);
    size_t kept = 1;
    for (size_t i = 1; i < c->known.len; i++)
        if (c->known.ptr[i] != c->known.ptr[kept - 1])
            c->known.ptr[kept++] = c->known.ptr[i];
    c->known.len = kept;
}

/* Locks the cells of these keys that are not locked yet; *ret_again: read them once more, now that they are. */
static enum pk_status lock_cells(struct committer *c, const struct store_keys *keys, bool *ret_again,
                                 struct pk_err *err)
{
    int64_t *cell = pk_arena_alloc(&c->arena, (keys->count + 1) * sizeof *cell);
    size_t count = 0;
    for (size_t i = 0; i < keys->count; i++)
        if (!is_locked(c, keys->key[i].cell))
            cell[count++] = keys->key[i].cell;
    *ret_again = count > 0;
    if (count == 0)
        return PK_OK;
    qsort(cell, count, sizeof *cell, compare_cells);
    size_t distinct = 1;
    for (size_t i = 1; i < count; i++)
        if (cell[i] != cell[distinct - 1])
            cell[distinct++] = cell[i];
    for (size_t i = 0; i < distinct; i++) {
        know(c, cell[i]); /* in any case: the next try locks them from the start */
        note_locked(c, cell[i]);
    }
    enum pk_status status = store_lock_more(c->store, cell, distinct, err);
    CRASH_POINT(locked_more);
    return status;
}

static enum pk_status load_keys(struct committer *c, enum store_mode mode, const struct ws_need *need,
                                struct pk_err *err)
{
    struct store_keys keys = {0};
    bool again = true;
    enum pk_status status = PK_OK;
    while (status == PK_OK && again) {
        again = false;
        status = store_load_keys(c->store, need->hash, need->count, &c->arena, &keys, err);
        if (status == PK_OK && mode == STORE_LOCKED)
            status = lock_cells(c, &keys, &again, err);
    }
    c->keys_loaded += need->count;
    return status != PK_OK ? status : workset_put_keys(&c->workset, need, keys.key, keys.count, err);
}

static int by_place(const void *left, const void *right)
{
    const struct store_forgotten *a = left, *b = right;
    return (a->place > b->place) - (a->place < b->place);
}

/* Facts that are forgotten become what they are then, for good: a forgetting is never taken back. */
static enum pk_status load_forgotten(struct committer *c, const struct ws_need *need, struct pk_err *err)
{
    struct store_forgotten *found = NULL;
    size_t count = 0;
    bool altered = false;
    enum pk_status status =
        store_load_forgotten(c->store, need->hash, need->fact, need->count, &c->arena, &found, &count, err);
    if (status != PK_OK)
        return status;
    qsort(found, count, sizeof *found, by_place);
    struct forgotten *row = pk_arena_alloc(&c->arena, (count + 1) * sizeof *row);
    for (size_t from = 0, to; from < count; from = to) { /* the names of one fact are neighbours */
        struct fact *fact = need->fact[found[from].place];
        for (to = from; to < count && need->fact[found[to].place] == fact; to++)
            row[to - from] = found[to].row;
        altered |= forget_apply(fact, row, to - from, &c->batch->arena) != FORGET_NOTHING;
    }
    workset_put_forgotten(&c->workset, altered);
    return PK_OK;
}

static enum pk_status load(struct committer *c, enum store_mode mode, const struct ws_need *need, struct pk_err *err)
{
    struct store_facts facts = {0};
    struct store_journeys journeys = {0};
    struct store_obligations obligations = {0};
    struct store_carries carries = {0};
    struct store_meetings meetings = {0};
    enum pk_status status = PK_OK;
    switch (need->kind) {
    case NEED_KEYS:
        return load_keys(c, mode, need, err);
    case NEED_CUSTOMERS:
        status = store_load_customers(c->store, need->hash, need->count, &c->arena, &facts, &journeys, &obligations,
                                      &carries, err);
        if (status == PK_OK)
            workset_put_customers(&c->workset, need, facts.fact, facts.count, journeys.journey, journeys.count,
                                  obligations.obligation, obligations.count, carries.carry, carries.count);
        return status;
    case NEED_MEETINGS:
        status = store_load_meetings(c->store, need->hash, need->meeting, need->count, &c->arena, &meetings, err);
        if (status == PK_OK)
            workset_put_meetings(&c->workset, need, meetings.meeting, meetings.count);
        return status;
    case NEED_SEEN:
        status = store_load_seen(c->store, need->window, need->count, &c->arena, &facts, err);
        if (status == PK_OK)
            workset_put_seen(&c->workset, need, facts.fact, facts.count);
        return status;
    case NEED_NAMELESS:
        status = store_load_nameless(c->store, need->hash, need->count, &c->arena, &facts, err);
        if (status == PK_OK)
            workset_put_nameless(&c->workset, facts.fact, facts.count);
        return status;
    case NEED_EVENTS:
        status = store_find_events(c->store, need->fact, need->count, &c->arena, &facts, err);
        if (status == PK_OK)
            workset_put_events(&c->workset, need, facts.fact, facts.count);
        return status;
    case NEED_FORGOTTEN:
        return load_forgotten(c, need, err);
    case NEED_NOTHING:
        break;
    }
    return PK_OK;
}

static enum pk_status gather(struct committer *c, enum store_mode mode, struct pk_err *err)
{
    bool begun = false;
    enum pk_status status = PK_OK;
    if (mode != STORE_SNAPSHOT) {
        sort_known(c);
        status = store_begin(c->store, mode, c->changes.span, c->changes.spans, c->known.ptr, c->known.len, err);
        if (mode == STORE_ALONE && status == PK_STALE)
            status = PK_RETRY; /* not to be had in time: another writer is slow or stuck, nothing is wrong here */
        for (size_t i = 0; i < c->known.len; i++)
            note_locked(c, c->known.ptr[i]);
        begun = true;
        if (mode == STORE_LOCKED)
            CRASH_POINT(locked_begun);
        else
            CRASH_POINT(alone_begun);
    }
    struct ws_need need = {NEED_NOTHING, NULL, NULL, 0};
    while (status == PK_OK) {
        status = workset_need(&c->workset, &need, err);
        if (status != PK_OK || need.kind == NEED_NOTHING || c->workset.altered)
            break;
        if (!begun)
            status = store_begin(c->store, STORE_SNAPSHOT, NULL, 0, NULL, 0, err);
        begun = true;
        if (status == PK_OK)
            status = load(c, mode, &need, err);
    }
    if (status == PK_OK && begun && mode == STORE_SNAPSHOT)
        status = store_end_read(c->store, err);
    return status;
}

/* ---- one try ---- */

static enum pk_status take_new_cells(struct committer *c, int64_t **ret_cell, struct pk_err *err)
{
    size_t count = workset_new_cells(&c->workset);
    *ret_cell = pk_arena_alloc(&c->arena, (count + 1) * sizeof **ret_cell);
    for (size_t i = 0; i < count; i++) {
        enum pk_status status = store_new_cell(c->store, &(*ret_cell)[i], err);
        if (status != PK_OK)
            return status;
    }
    return PK_OK;
}

/* A version is never used twice, not even by another process or after a failover: 64 random bits. */
static uint64_t new_token(void)
{
    uint64_t token = 0;
    while (token == 0)
        if (getrandom(&token, sizeof token, 0) != sizeof token)
            token = 0;
    return token;
}

/* After a failed guard nothing cached of these cells is believed, and the next try locks them. */
static void distrust(struct committer *c)
{
    for (size_t i = 0; i < c->workset.cell_list.len; i++) {
        const struct ws_cell *cell = c->workset.cell_list.ptr[i];
        if (cell->is_new)
            continue;
        know(c, cell->id);
        cache_drop(&c->cache, cell->id);
    }
}

static void reset_try(struct committer *c)
{
    workset_done(&c->workset);
    pk_arena_reset(&c->arena);
    changes_reset(&c->changes);
    metrics_reset(&c->metrics);
    pk_map_clear(&c->locked);
    c->keys_loaded = 0;
}

/* Fills the changes. Paths of courses are words that nobody knew before: their ids are given outside of the batch's
 * transaction, so that they stay whatever becomes of it. Where that is open already, *ret_again: it is rolled back, and
 * everything has to be done once more. */
static enum pk_status save_workset(struct committer *c, enum store_mode mode, bool *ret_again, struct pk_err *err)
{
    int64_t *new_cell = NULL;
    enum pk_status status = take_new_cells(c, &new_cell, err);
    if (status != PK_OK)
        return status;
    size_t words = symbols_count(c->meaning->symbols);
    workset_save(&c->workset, new_cell, &c->metrics, &c->changes);
    c->changes.token = new_token();
    if (symbols_count(c->meaning->symbols) == words)
        return PK_OK;
    *ret_again = mode != STORE_SNAPSHOT;
    if (*ret_again)
        store_rollback(c->store);
    return store_ensure_dictionary(c->store, err);
}

static enum pk_status prepare_try(struct committer *c, enum store_mode mode, bool *ret_again, struct pk_err *err)
{
    *ret_again = false;
    reset_try(c);

    /* Before every try: the next batch may have brought new text in the meantime. */
    enum pk_status status = store_ensure_dictionary(c->store, err);
    if (status != PK_OK)
        return status;
    size_t count;
    struct fact **fact = unique_sorted(c, &count);
    bool first = mode == STORE_SNAPSHOT;
    take_spans(c);
    workset_begin(&c->workset, c->meaning, &c->arena, first ? &c->cache : NULL, !first, fact, count);
    workset_watch(&c->workset, c->lost.ptr, c->lost.len);
    status = gather(c, mode, err);
    if (first && c->workset.contradicted) { /* a copy with another content: ask for all events before anything else */
        store_rollback(c->store);
        workset_done(&c->workset);
        workset_begin(&c->workset, c->meaning, &c->arena, &c->cache, true, fact, count);
        workset_watch(&c->workset, c->lost.ptr, c->lost.len);
        status = gather(c, mode, err);
    }
    if (status == PK_OK && c->workset.altered) { /* some facts are forgotten: begin anew with what they are */
        store_rollback(c->store);
        *ret_again = true;
        return PK_OK;
    }
    return status != PK_OK ? status : save_workset(c, mode, ret_again, err);
}

static enum pk_status send_try(struct committer *c, enum store_mode mode, struct pk_err *err)
{
    bool again = true;
    enum pk_status status = PK_OK;
    while (status == PK_OK && again)
        status = prepare_try(c, mode, &again, err);
    if (status == PK_OK) {
        for (size_t i = c->from; i < c->to; i++)
            if (c->batch->item.ptr[i].reject)
                *pk_vec_push(&c->changes.quarantine) = *c->batch->item.ptr[i].reject;
        c->rejects = c->changes.quarantine.len;
        if (c->limit)
            quarantine_limit_apply(c->limit, &c->changes);
        status = store_save_send(c->store, mode, &c->changes, err);
    }
    if (status != PK_OK) {
        store_rollback(c->store);
        if (status == PK_STALE)
            distrust(c);
    }
    return status;
}

static void count_rows(struct committer *c)
{
    const struct changes *changes = &c->changes;
    uint64_t *rows = c->counters.rows;
    rows[METRIC_TABLE_interaction] += changes->fact.len + changes->replaced.len + changes->move.len;
    rows[METRIC_TABLE_journey] += changes->journey.len + changes->journey_gone.len;
    rows[METRIC_TABLE_obligation] += changes->obligation.len + changes->obligation_gone.len;
    rows[METRIC_TABLE_course] += changes->course_new.len + changes->course.len + changes->course_gone.len;
    rows[METRIC_TABLE_customer] += changes->customer.len + changes->customer_purchases.len + changes->customer_gone.len;
    rows[METRIC_TABLE_identifier] += changes->key.len + changes->key_state.len + changes->value.len;
    rows[METRIC_TABLE_identity_meeting] += changes->meeting_new.len + changes->meeting_first.len + changes->meeting_gone.len;
    rows[METRIC_TABLE_sighting] += changes->sighting.len;
    rows[METRIC_TABLE_guard_cell] += changes->guard.len + changes->new_cell.len;
    rows[METRIC_TABLE_aggregate] += changes->aggregate.len;
    rows[METRIC_TABLE_quarantine] += changes->quarantine.len;
    rows[METRIC_TABLE_quarantine_excess] += changes->excess.len;
}

static void count_rejects(struct committer *c)
{
    struct commit_counters *n = &c->counters;
    n->rejects += c->rejects;
    n->displaced += c->changes.replaced.len;
    for (size_t i = 0; i < c->changes.quarantine.len; i++)
        n->rejected[c->changes.quarantine.ptr[i].reason]++;
    for (size_t i = 0; i < c->changes.excess.len; i++)
        n->counted[c->changes.excess.ptr[i].reason] += (uint64_t)c->changes.excess.ptr[i].records;
}

/* Clocks of two machines: what lies ahead of ours has no age. */
static void add_age(struct histogram *histogram, int64_t now_us, int64_t at_us)
{
    if (at_us != PK_NO_TIME)
        histogram_add(histogram, BOUNDS_AGE, PK_MAX(now_us - at_us, INT64_C(0)));
}

static void measure_ages(struct committer *c)
{
    struct timespec clock;
    clock_gettime(CLOCK_REALTIME, &clock);
    int64_t now_us = clock.tv_sec * PK_SECOND_US + clock.tv_nsec / 1000;
    for (size_t i = c->from; i < c->to; i++) {
        const struct batch_item *item = &c->batch->item.ptr[i];
        add_age(&c->counters.record_age, now_us, item->fact ? item->fact->received_at_us : item->reject->received_at_us);
        if (item->fact)
            add_age(&c->counters.event_age, now_us, item->fact->at_us);
    }
    histogram_add(&c->counters.batch_records, BOUNDS_RECORDS, (int64_t)(c->to - c->from));
}

static void count_dropped(struct commit_counters *n, const struct fact *fact)
{
    n->retained += fact && fact->retained;
    n->forgotten += fact && fact->forgotten && !fact->retained;
}

static void count_success(struct committer *c)
{
    struct commit_counters *n = &c->counters;
    n->batches++;
    n->records += c->to - c->from;
    n->facts += c->changes.fact.len;
    for (size_t i = c->from; i < c->to; i++)
        count_dropped(n, c->batch->item.ptr[i].fact);
    n->fast += c->workset.fast;
    n->slow += c->workset.slow;
    n->keys += c->workset.key_list.len;
    n->keys_loaded += PK_MIN(c->keys_loaded, (uint64_t)c->workset.key_list.len); /* locked tries read some twice */
    count_rows(c);
    count_rejects(c);
    if (c->measured)
        measure_ages(c);
}

static enum pk_status finish_try(struct committer *c, struct pk_err *err)
{
    enum pk_status status = store_save_finish(c->store, err);
    if (status == PK_STALE)
        distrust(c);
    if (status != PK_OK)
        return status;
    CRASH_POINT(commit_read);
    workset_publish(&c->workset, &c->cache, c->changes.token);
    for (size_t i = 0; i < c->changes.spans; i++)
        for (size_t p = 0; p < c->positions; p++)
            if (c->position[p].topic == c->changes.span[i].at.topic &&
                c->position[p].partition == c->changes.span[i].at.partition)
                c->position[p].next_offset = c->changes.span[i].next_offset;
    if (c->limit)
        quarantine_limit_committed(c->limit);
    count_success(c);
    return PK_OK;
}

/* ---- a batch ---- */

enum pk_status commit_start(struct committer *c, struct batch *batch, struct store_position *position,
                            size_t positions, struct pk_err *err)
{
    enum pk_status status = store_ensure_months(c->store, batch->month.ptr, batch->month.len, err);
    if (status != PK_OK)
        return status;
    c->batch = batch;
    c->from = 0;
    c->to = batch->item.len;
    c->position = position;
    c->positions = positions;
    c->known.len = 0;
    status = send_try(c, STORE_SNAPSHOT, err);
    if (status != PK_OK && status != PK_STALE)
        c->batch = NULL;
    else if (status == PK_STALE)
        c->changes.token = 0; /* nothing was sent: commit_finish goes on with try 2 */
    return status == PK_STALE ? PK_OK : status;
}

/* Tries 2..5 of a part, which is halved after each of the first failures. */
static enum pk_status insist(struct committer *c, struct pk_err *err)
{
    enum pk_status status = PK_STALE;
    for (int failed = 1; status == PK_STALE && failed < MOST_TRIES; failed++) {
        c->counters.retries[failed - 1]++;
        enum store_mode mode = failed <= LOCKED_TRIES ? STORE_LOCKED : STORE_ALONE;
        if (failed < LOCKED_TRIES && c->to - c->from > 1)
            c->to = c->from + (c->to - c->from) / 2;
        status = send_try(c, mode, err);
        if (status == PK_OK)
            status = finish_try(c, err);
    }
    if (status == PK_STALE) {
        char why[sizeof err->text];
        memcpy(why, err->text, sizeof why);
        return pk_fail(err, PK_STOP, "a batch failed while no other writer was at work: %.400s", why);
    }
    return status;
}

enum pk_status commit_finish(struct committer *c, struct pk_err *err)
{
    enum pk_status status = c->changes.token ? finish_try(c, err) : PK_STALE;
    for (;;) {
        if (status == PK_STALE)
            status = insist(c, err);
        if (status != PK_OK || c->to == c->batch->item.len)
            break;
        c->from = c->to; /* the rest of a batch that was halved */
        c->to = c->batch->item.len;
        c->known.len = 0;
        status = send_try(c, STORE_SNAPSHOT, err);
        if (status == PK_OK)
            status = finish_try(c, err);
    }
    c->batch = NULL;
    return status;
}

/* The slot of commands: they are alone, so none of them is used twice at a time. */
enum { COMMAND_SLOT = 0 };

static enum pk_status check_rules(struct committer *c, struct pk_err *err)
{
    const struct pk_str check = PK_STR("polku hash key check");
    return store_check_rules(c->store, c->meaning->rules, fact_hash(c->meaning->hasher, &check, 1), err);
}

static enum pk_status prepare_decisions(struct committer *c, const struct change_decision *decision, size_t count,
                                        const struct pk_hash *person, size_t persons, bool *ret_again, struct pk_err *err)
{
    *ret_again = false;
    reset_try(c);
    c->known.len = 0;
    c->changes.slot = COMMAND_SLOT;
    enum pk_status status = store_ensure_dictionary(c->store, err);
    workset_begin(&c->workset, c->meaning, &c->arena, NULL, true, NULL, 0);
    workset_decide(&c->workset, decision, count);
    workset_resolve(&c->workset, person, persons);
    if (status == PK_OK)
        status = gather(c, STORE_ALONE, err);
    if (status == PK_OK) /* a rebuild may have come between */
        status = check_rules(c, err);
    return status != PK_OK ? status : save_workset(c, STORE_ALONE, ret_again, err);
}

enum pk_status commit_decisions(struct committer *c, const struct change_decision *decision, size_t count,
                                struct pk_err *err)
{
    bool again = true;
    enum pk_status status = PK_OK;
    while (status == PK_OK && again)
        status = prepare_decisions(c, decision, count, NULL, 0, &again, err);
    CRASH_POINT(decision_before);
    if (status == PK_OK)
        status = store_save_send(c->store, STORE_ALONE, &c->changes, err);
    STORE_CRASH_POINT(c->store, decision_sent);
    if (status == PK_OK)
        status = store_save_finish(c->store, err);
    else
        store_rollback(c->store);
    CRASH_POINT(decision_done);
    return status;
}

enum pk_status commit_resolve(struct committer *c, const struct pk_hash *person, size_t count, struct pk_err *err)
{
    bool again = true;
    enum pk_status status = PK_OK;
    while (status == PK_OK && again)
        status = prepare_decisions(c, NULL, 0, person, count, &again, err);
    if (status == PK_OK)
        status = store_save_send(c->store, STORE_ALONE, &c->changes, err);
    if (status == PK_OK)
        return store_save_finish(c->store, err);
    store_rollback(c->store);
    return status;
}

/* The stored events that it may concern. */
static enum pk_status load_concerned(struct committer *c, const struct change_forgetting *f, struct store_facts *ret,
                                     struct pk_err *err)
{
    struct store_window *window = PK_NEW_ARRAY(&c->arena, struct store_window, f->names + 1);
    struct fact *key = PK_NEW_ARRAY(&c->arena, struct fact, f->events + 1), **single;
    struct store_facts seen = {0}, found = {0};
    single = PK_NEW_ARRAY(&c->arena, struct fact *, f->events + 1);
    for (size_t i = 0; i < f->names; i++)
        window[i] = (struct store_window){f->name[i].name, INT64_MIN, f->until_us};
    for (size_t i = 0; i < f->events; i++) {
        key[i].at_us = f->event[i].at_us;
        key[i].event_hash = f->event[i].event_hash;
        single[i] = &key[i];
    }
    enum pk_status status = store_load_seen(c->store, window, f->names, &c->arena, &seen, err);
    if (status == PK_OK)
        status = store_find_events(c->store, single, f->events, &c->arena, &found, err);
    if (status != PK_OK)
        return status;
    *ret = (struct store_facts){PK_NEW_ARRAY(&c->arena, struct fact, seen.count + found.count + 1), seen.count + found.count};
    if (seen.count)
        memcpy(ret->fact, seen.fact, seen.count * sizeof *ret->fact);
    if (found.count)
        memcpy(ret->fact + seen.count, found.fact, found.count * sizeof *ret->fact);
    return PK_OK;
}

/* Copies of stored events need what only the rows have; but for those that are anonymised, which lose it. */
static enum pk_status load_written(struct committer *c, struct pk_err *err)
{
    struct fact **whole = PK_NEW_ARRAY(&c->arena, struct fact *, c->workset.facts + 1);
    size_t count = 0;
    for (size_t i = 0; i < c->workset.facts; i++)
        if (forget_left_whole(c->workset.fact[i].fact))
            whole[count++] = c->workset.fact[i].fact;
    return store_load_written(c->store, whole, count, &c->arena, err);
}

static enum pk_status load_forgotten_rows(struct committer *c, const struct change_forgetting *f, struct pk_err *err)
{
    struct pk_hash *name = PK_NEW_ARRAY(&c->arena, struct pk_hash, f->names + 1), *journey = NULL, *obligation = NULL;
    size_t journeys, obligations;
    for (size_t i = 0; i < f->names; i++)
        name[i] = f->name[i].name;
    enum pk_status status = store_load_sealed(c->store, name, f->names, &c->arena, &journey, &journeys, &obligation, &obligations, err);
    if (status == PK_OK)
        workset_forget_sealed(&c->workset, journey, journeys, obligation, obligations);
    return status;
}

static enum pk_status gather_forgetting(struct committer *c, commit_forget_plan plan, void *context, struct pk_err *err)
{
    struct change_forgetting *f = PK_NEW(&c->arena, struct change_forgetting);
    struct store_facts concerned = {0};
    enum pk_status status = store_begin(c->store, STORE_ALONE, NULL, 0, NULL, 0, err);
    if (status == PK_OK) /* a rebuild may have come between */
        status = check_rules(c, err);
    if (status == PK_OK)
        status = plan(context, &c->arena, f, err);
    if (status == PK_OK)
        status = load_concerned(c, f, &concerned, err);
    if (status != PK_OK)
        return status;
    if ((status = load_forgotten_rows(c, f, err)) != PK_OK)
        return status;
    workset_decide(&c->workset, f->restore, f->restores);
    workset_forget(&c->workset, f, concerned.fact, concerned.count);
    status = load_written(c, err);
    struct ws_need need = {.kind = NEED_KEYS};
    while (status == PK_OK && need.kind != NEED_NOTHING) {
        status = workset_need(&c->workset, &need, err);
        if (status == PK_OK && need.kind != NEED_NOTHING)
            status = load(c, STORE_ALONE, &need, err);
    }
    return status;
}

enum pk_status commit_forget(struct committer *c, commit_forget_plan plan, void *context, struct pk_err *err)
{
    bool again = true;
    enum pk_status status = PK_OK;
    while (status == PK_OK && again) {
        again = false;
        reset_try(c);
        c->known.len = 0;
        c->changes.slot = COMMAND_SLOT;
        status = store_ensure_dictionary(c->store, err);
        workset_begin(&c->workset, c->meaning, &c->arena, NULL, true, NULL, 0);
        if (status == PK_OK)
            status = gather_forgetting(c, plan, context, err);
        if (status == PK_OK)
            status = save_workset(c, STORE_ALONE, &again, err);
    }
    CRASH_POINT(forget_before);
    if (status == PK_OK)
        status = store_save_send(c->store, STORE_ALONE, &c->changes, err);
    STORE_CRASH_POINT(c->store, forget_sent);
    if (status == PK_OK)
        status = store_save_finish(c->store, err);
    else
        store_rollback(c->store);
    CRASH_POINT(forget_done);
    return status;
}

/* ---- sealing ---- */

static enum pk_status load_nameless(struct committer *c, struct seal *seal, struct pk_err *err)
{
    struct fact **wanted = PK_NEW_ARRAY(&c->arena, struct fact *, seal->nameless_count + 1);
    struct store_facts found = {0};
    struct pk_map by_key = {0};
    for (size_t i = 0; i < seal->nameless_count; i++)
        wanted[i] = seal->nameless[i].wanted;
    enum pk_status status = store_find_events(c->store, wanted, seal->nameless_count, &c->arena, &found, err);
    if (status != PK_OK)
        return status;
    for (size_t i = 0; i < found.count; i++)
        if (pk_hash_zero(found.fact[i].stored_customer))
            pk_map_put(&by_key, seen_key(&found.fact[i]), &found.fact[i]);
    size_t kept = 0;
    for (size_t i = 0; i < seal->nameless_count; i++) {
        struct fact *fact = pk_map_get(&by_key, seen_key(wanted[i]));
        if (fact)
            seal->nameless[kept++] = (struct seal_nameless){wanted[i], fact, false};
    }
    seal->nameless_count = kept;
    pk_map_done(&by_key);
    return PK_OK;
}

static enum pk_status load_sealed(struct committer *c, struct seal *seal, struct pk_err *err)
{
    struct store_facts facts = {0};
    struct store_journeys journeys = {0};
    struct store_obligations obligations = {0};
    struct store_carries carries = {0};
    struct ws_need need = {.kind = NEED_CUSTOMERS, .count = seal->customers};
    need.hash = PK_NEW_ARRAY(&c->arena, struct pk_hash, seal->customers + 1);
    for (size_t i = 0; i < seal->customers; i++)
        need.hash[i] = seal->customer[i].id;
    enum pk_status status = PK_OK;
    if (seal->customers)
        status = store_load_customers(c->store, need.hash, need.count, &c->arena, &facts, &journeys, &obligations, &carries, err);
    if (status == PK_OK && seal->nameless_count)
        status = load_nameless(c, seal, err);
    if (status == PK_OK)
        workset_seal(&c->workset, seal, &need, facts.fact, facts.count, journeys.journey, journeys.count, obligations.obligation,
                     obligations.count, carries.carry, carries.count);
    return status;
}

static enum pk_status gather_seal(struct committer *c, struct seal *seal, struct pk_err *err)
{
    enum pk_status status = store_begin(c->store, STORE_ALONE, NULL, 0, NULL, 0, err);
    if (status == PK_OK)
        status = store_retain_free(c->store, err);
    if (status == PK_OK) /* a rebuild may have come between */
        status = check_rules(c, err);
    if (status == PK_OK)
        status = load_sealed(c, seal, err);
    struct ws_need need = {.kind = NEED_KEYS};
    while (status == PK_OK && need.kind != NEED_NOTHING) {
        status = workset_need(&c->workset, &need, err);
        if (status == PK_OK && need.kind != NEED_NOTHING)
            status = load(c, STORE_ALONE, &need, err);
    }
    return status;
}

static enum pk_status prepare_seal(struct committer *c, struct seal *seal, bool *ret_again, struct pk_err *err)
{
    *ret_again = false;
    reset_try(c);
    c->known.len = 0;
    c->changes.slot = COMMAND_SLOT;
    enum pk_status status = store_ensure_dictionary(c->store, err);
    workset_begin(&c->workset, c->meaning, &c->arena, NULL, true, NULL, 0);
    if (status == PK_OK)
        status = gather_seal(c, seal, err);
    return status == PK_OK ? save_workset(c, STORE_ALONE, ret_again, err) : status;
}

enum pk_status commit_seal(struct committer *c, struct seal *seal, bool *ret_refused, struct pk_err *err)
{
    bool again = true;
    enum pk_status status = PK_OK;
    *ret_refused = false;
    while (status == PK_OK && again)
        status = prepare_seal(c, seal, &again, err);
    if (status == PK_OK)
        *ret_refused = !workset_accepts_seal(&c->workset, seal, &c->changes);
    if (status != PK_OK || *ret_refused || c->changes.replaced.len == 0) {
        store_rollback(c->store);
        return status;
    }
    status = store_save_send(c->store, STORE_ALONE, &c->changes, err);
    if (status == PK_OK)
        status = store_save_finish(c->store, err);
    else
        store_rollback(c->store);
    return status;
}

enum pk_status commit_positions(struct committer *c, struct store_position *position, size_t positions,
                                const int64_t *next_offset, struct pk_err *err)
{
    workset_done(&c->workset);
    pk_arena_reset(&c->arena);
    changes_reset(&c->changes);
    struct store_span *span = PK_NEW_ARRAY(&c->arena, struct store_span, positions + 1);
    size_t count = 0;
    for (size_t i = 0; i < positions; i++)
        if (next_offset[i] > position[i].next_offset)
            span[count++] = (struct store_span){position[i], next_offset[i]};
    if (count == 0)
        return PK_OK;
    qsort_r(span, count, sizeof *span, compare_spans, (void *)c->meaning->symbols);
    c->changes.span = span;
    c->changes.spans = count;
    c->changes.slot = span[0].at.slot;
    c->changes.token = new_token();
    enum pk_status status = store_save_send(c->store, STORE_SNAPSHOT, &c->changes, err);
    if (status == PK_OK)
        status = store_save_finish(c->store, err);
    for (size_t i = 0; status == PK_OK && i < positions; i++)
        position[i].next_offset = PK_MAX(position[i].next_offset, next_offset[i]);
    return status;
}
