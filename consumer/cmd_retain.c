/* SPDX-License-Identifier: Apache-2.0 */
/* retain: events before a month go, what was told by them stays (docs/semantics.md 3.8, docs/privacy.md). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "consumer_store.h"
#include "store_retain.h"
#include "teller.h"
#include "time_text.h"

enum {
    CHUNK_EVENTS = 5000, CHUNK_CUSTOMERS = 500, PAGE = 2000, PAGE_EVENTS = 20000,
    SEAMS = 4, SEAM_DAYS = 31, /* R, then so many days before it each time */
    PASSES = 3,
    LONGEST_BY = 200, LONGEST_NOTE = 2000,
};

struct run {
    const struct consumer_options *options;
    struct consumer_desk desk;
    struct committer committer;
    struct teller teller;
    struct pk_arena arena; /* of one page */
    int64_t before_us;     /* R */
    int64_t events, looked_at; /* before R at the beginning; of them looked at */
    struct seal_counts sealed; /* by this run */
    PK_VEC(struct pk_hash) refused; /* customers; perhaps not so once others are sealed */
    int64_t kept, keeping;     /* events, and their customers */
    struct pk_str dropped;
};

/* ---- what is asked ---- */

static enum pk_status read_month(struct run *run, struct pk_err *err)
{
    const char *text = run->options->before;
    unsigned year, month;
    char rest;
    struct tm utc;
    time_t now = time(NULL);
    if (strlen(text) != 7 || strspn(text, "0123456789") != 4 || text[4] != '-' || strspn(text + 5, "0123456789") != 2 ||
        sscanf(text, "%4u-%2u%c", &year, &month, &rest) != 2 || month < 1 || month > 12)
        return pk_fail(err, PK_REJECT, "--before: '%.40s' is no month, as 2026-01", text);
    gmtime_r(&now, &utc);
    if (year < 1990 || year > (unsigned)utc.tm_year + 1900 || (year == (unsigned)utc.tm_year + 1900 && month > (unsigned)utc.tm_mon + 1))
        return pk_fail(err, PK_REJECT, "--before: %s is not a month from 1990-01 to the one that it is now, %04d-%02d (UTC)", text,
                       utc.tm_year + 1900, utc.tm_mon + 1);
    run->before_us = time_days_from_civil(year, month, 1) * PK_DAY_US;
    return PK_OK;
}

static enum pk_status read_arguments(struct run *run, struct pk_err *err)
{
    const struct consumer_options *o = run->options;
    if (!pk_utf8_valid(o->by, strlen(o->by)) || !pk_utf8_valid(o->note, strlen(o->note)))
        return pk_fail(err, PK_REJECT, "--by or --note is not UTF-8");
    if (strlen(o->by) > LONGEST_BY || strlen(o->note) > LONGEST_NOTE)
        return pk_fail(err, PK_REJECT, "--by is longer than %d bytes, or --note than %d", LONGEST_BY, LONGEST_NOTE);
    return read_month(run, err);
}

static enum pk_status stopped(struct pk_err *err)
{
    return consumer_stop ? pk_fail(err, PK_RETRY, "it was stopped; the same command goes on") : PK_OK;
}

/* ---- what there is, page by page: no statement takes long ---- */

static enum pk_status count_customers(struct run *run, struct pk_err *err)
{
    struct pk_hash after = {{0}};
    bool more = true;
    enum pk_status status = PK_OK;
    while (status == PK_OK && more && (status = stopped(err)) == PK_OK) {
        struct retain_customer *customer = NULL;
        size_t count = 0;
        pk_arena_reset(&run->arena);
        status = store_retain_customers(run->desk.store, run->before_us, after, PAGE_EVENTS, &run->arena, &customer, &count, &more, err);
        if (status != PK_OK)
            break;
        for (size_t i = 0; i < count; i++)
            run->kept += (int64_t)customer[i].events;
        run->keeping += (int64_t)count;
        if (count > 0)
            after = customer[count - 1].id;
    }
    return status;
}

static enum pk_status count_events(struct run *run, struct pk_err *err)
{
    struct fact after = {.at_us = EVENT_MIN_TIME_US};
    struct store_facts page = {.count = PAGE};
    run->kept = run->keeping = 0;
    enum pk_status status = count_customers(run, err);
    while (status == PK_OK && page.count == PAGE && (status = stopped(err)) == PK_OK) {
        pk_arena_reset(&run->arena);
        status = store_retain_nameless(run->desk.store, run->before_us, &after, PAGE, &run->arena, &page, err);
        if (status != PK_OK || page.count == 0)
            break;
        run->kept += (int64_t)page.count;
        after = page.fact[page.count - 1];
    }
    return status;
}

/* ---- one chunk ---- */

static void rest(int64_t us)
{
    nanosleep(&(struct timespec){us / PK_SECOND_US, us % PK_SECOND_US * 1000}, NULL); /* a signal ends it early */
}

static enum pk_status reconnect(struct run *run, struct pk_err *err)
{
    enum pk_status status = store_reopen(run->desk.store, err);
    return status == PK_OK ? store_retain_lock(run->desk.store, err) : status;
}

/* One transaction. What came between is no failure: where COMMIT's answer was lost, the tables tell. Consumers come through
 * meanwhile: it waits for as long as it took. */
static enum pk_status seal_once(struct run *run, struct seal *seal, bool *ret_refused, struct pk_err *err)
{
    enum { TRIES = 20 };
    enum pk_status status = PK_RETRY;
    for (int try = 0; try < TRIES && (status == PK_RETRY || status == PK_STALE || status == PK_LOST) && !consumer_stop; try++) {
        if (try > 0)
            rest(PK_MIN(try, 10) * PK_SECOND_US / 2);
        if (status == PK_LOST && (status = reconnect(run, err)) != PK_OK)
            continue;
        int64_t begun_us = teller_clock_us();
        status = commit_seal(&run->committer, seal, ret_refused, err);
        if (status == PK_RETRY && store_wants_less(run->desk.store)) {
            if (seal->customers + seal->nameless_count > 1)
                return PK_STALE; /* less may do */
            if (seal->customers && try > 0) { /* one who is too much for --statement-timeout holds up nobody else */
                seal->customer[0].refused = *ret_refused = true;
                seal->customer[0].until_us = 0;
                return PK_OK;
            }
        }
        if (status == PK_OK)
            rest(PK_MIN(teller_clock_us() - begun_us, 10 * PK_SECOND_US));
    }
    if (status != PK_OK && consumer_stop)
        return stopped(err);
    return status == PK_STALE ? PK_RETRY : status;
}

static void note_sealed(struct run *run, const struct seal_counts *sealed)
{
    run->sealed.events += sealed->events;
    run->sealed.journeys += sealed->journeys;
    run->sealed.obligations += sealed->obligations;
}

/* Who was refused is tried again with earlier seams, then left out. */
static void lower_seams(struct run *run, struct seal *seal)
{
    size_t left = 0;
    for (size_t i = 0; i < seal->customers; i++) {
        struct seal_customer *customer = &seal->customer[i];
        if (customer->refused)
            customer->until_us -= SEAM_DAYS * PK_DAY_US;
        if (customer->until_us > run->before_us - SEAMS * SEAM_DAYS * PK_DAY_US)
            seal->customer[left++] = *customer;
        else
            *pk_vec_push(&run->refused) = customer->id;
    }
    seal->customers = left;
}

static void leave_refused_out(struct seal *seal)
{
    size_t left = 0;
    for (size_t i = 0; i < seal->nameless_count; i++)
        if (!seal->nameless[i].refused)
            seal->nameless[left++] = seal->nameless[i];
    seal->nameless_count = left;
}

/* `seal`'s lists are used up. */
static enum pk_status seal_chunk(struct run *run, struct seal *seal, struct pk_err *err)
{
    enum pk_status status = stopped(err);
    while (status == PK_OK && seal->customers + seal->nameless_count > 0) {
        bool refused = false;
        status = seal_once(run, seal, &refused, err);
        if (status == PK_STALE) {
            struct seal second = *seal;
            second.customer += seal->customers / 2;
            second.customers -= seal->customers /= 2;
            second.nameless += seal->nameless_count / 2;
            second.nameless_count -= seal->nameless_count /= 2;
            status = seal_chunk(run, seal, err);
            return status == PK_OK ? seal_chunk(run, &second, err) : status;
        }
        if (status == PK_OK && !refused) {
            note_sealed(run, &run->committer.changes.sealed);
            break;
        }
        lower_seams(run, seal);
        leave_refused_out(seal);
    }
    return status;
}

/* ---- customers ---- */

static enum pk_status seal_customers(struct run *run, const struct pk_hash *id, size_t count, struct pk_err *err)
{
    struct seal seal = {.before_us = run->before_us, .customers = count};
    struct seal_customer *customer = seal.customer = pk_alloc((count + 1) * sizeof *customer);
    for (size_t i = 0; i < count; i++)
        customer[i] = (struct seal_customer){.id = id[i], .until_us = run->before_us};
    enum pk_status status = seal_chunk(run, &seal, err);
    free(customer);
    return status;
}

static void progress(struct run *run, uint64_t events)
{
    run->looked_at += (int64_t)events;
    teller_progress(&run->teller, PK_MIN(run->looked_at, run->events), run->events, &run->committer.counters);
}

static enum pk_status seal_page(struct run *run, const struct retain_customer *customer, size_t count, struct pk_err *err)
{
    struct pk_hash id[CHUNK_CUSTOMERS];
    enum pk_status status = PK_OK;
    for (size_t from = 0, to; from < count && status == PK_OK; from = to) {
        uint64_t events = 0;
        for (to = from; to < count && to - from < CHUNK_CUSTOMERS && (to == from || events + customer[to].events <= CHUNK_EVENTS); to++) {
            id[to - from] = customer[to].id;
            events += customer[to].events;
        }
        status = seal_customers(run, id, to - from, err);
        progress(run, events);
    }
    return status;
}

static enum pk_status seal_all_customers(struct run *run, struct pk_err *err)
{
    struct pk_hash after = {{0}};
    bool more = true;
    enum pk_status status = PK_OK;
    while (status == PK_OK && more) {
        struct retain_customer *customer = NULL;
        size_t count = 0;
        pk_arena_reset(&run->arena);
        status = store_retain_customers(run->desk.store, run->before_us, after, PAGE_EVENTS, &run->arena, &customer, &count, &more, err);
        if (status == PK_OK && count > 0) {
            after = customer[count - 1].id;
            status = seal_page(run, customer, count, err);
        }
    }
    return status;
}

/* What somebody else's rows rested on may be sealed by now. */
static enum pk_status try_refused_again(struct run *run, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    for (int pass = 1; pass < PASSES && status == PK_OK && run->refused.len > 0; pass++) {
        uint64_t before = run->sealed.events;
        size_t count = run->refused.len;
        struct pk_hash *again = pk_alloc(count * sizeof *again);
        memcpy(again, run->refused.ptr, count * sizeof *again);
        run->refused.len = 0;
        for (size_t from = 0; from < count && status == PK_OK; from += CHUNK_CUSTOMERS)
            status = seal_customers(run, again + from, PK_MIN(count - from, (size_t)CHUNK_CUSTOMERS), err);
        free(again);
        if (run->sealed.events == before)
            break;
    }
    return status;
}

/* ---- events without a customer ---- */

static enum pk_status seal_all_nameless(struct run *run, struct pk_err *err)
{
    struct fact after = {.at_us = EVENT_MIN_TIME_US};
    struct store_facts page = {.count = PAGE};
    enum pk_status status = PK_OK;
    while (status == PK_OK && page.count == PAGE) {
        pk_arena_reset(&run->arena);
        status = store_retain_nameless(run->desk.store, run->before_us, &after, PAGE, &run->arena, &page, err);
        if (status != PK_OK || page.count == 0)
            break;
        after = page.fact[page.count - 1];
        struct seal seal = {.before_us = run->before_us, .nameless_count = page.count};
        seal.nameless = PK_NEW_ARRAY(&run->arena, struct seal_nameless, page.count);
        for (size_t i = 0; i < page.count; i++)
            seal.nameless[i].wanted = &page.fact[i];
        status = seal_chunk(run, &seal, err);
        progress(run, page.count);
    }
    return status;
}

/* ---- the whole ---- */

/* Whoever reads interaction meanwhile is waited for; if that takes long, the next retention does it. */
static enum pk_status drop_months(struct run *run, struct pk_err *err)
{
    enum { TRIES = 20 };
    enum pk_status status = PK_STALE;
    for (int try = 0; try < TRIES && status == PK_STALE && !consumer_stop; try++) {
        if (try > 0)
            rest(PK_SECOND_US);
        status = store_retain_drop_months(run->desk.store, &run->desk.arena, &run->dropped, err);
    }
    if (status != PK_STALE)
        return status;
    teller_warn(&run->teller, "empty months are not dropped: somebody reads all the time", "do=\"the same command again\"");
    return PK_OK;
}

static enum pk_status retain(struct run *run, struct pk_err *err)
{
    struct store *store = run->desk.store;
    struct pk_str note = run->options->note[0] ? pk_str(run->options->note) : (struct pk_str){0};
    enum pk_status status = PK_STALE;
    for (int try = 0; try < 5 && (status == PK_STALE || status == PK_RETRY) && !consumer_stop; try++)
        status = store_retain_decide(store, run->before_us, consumer_by(run->options), note, err);
    if (status == PK_OK)
        status = seal_all_customers(run, err);
    if (status == PK_OK)
        status = try_refused_again(run, err);
    if (status == PK_OK)
        status = seal_all_nameless(run, err);
    if (status == PK_OK && run->refused.len > 0) /* some may have been held by those */
        status = try_refused_again(run, err);
    teller_end_line(&run->teller);
    if (status == PK_OK)
        status = count_events(run, err);
    if (status == PK_OK)
        status = store_retain_finish(store, run->before_us, (uint64_t)run->kept, err);
    return status == PK_OK ? drop_months(run, err) : status;
}

static void print_receipt(const struct run *run)
{
    printf("Sealed before %s: %" PRIu64 " events; %" PRIu64 " journeys and %" PRIu64 " obligations stay as they are.\n", run->options->before,
           run->sealed.events, run->sealed.journeys, run->sealed.obligations);
    if (run->kept)
        printf("Kept: %" PRId64 " events of %" PRId64 " customers: newer rows rest on them. A later retention tries again.\n", run->kept,
               run->keeping);
    if (run->dropped.len)
        printf("Months dropped: %.*s\n", PK_STR_ARG(run->dropped));
    printf("Records before %s are refused from now on, whenever they come.\n", run->options->before);
}

static enum pk_status retain_action(struct run *run, struct pk_err *err)
{
    enum pk_status status = store_retain_lock(run->desk.store, err);
    if (status == PK_OK)
        status = count_events(run, err);
    if (status != PK_OK)
        return status;
    run->events = run->kept;
    printf("Before %s: %" PRId64 " events of %" PRId64 " customers.\n", run->options->before, run->kept, run->keeping);
    fflush(stdout);
    if (run->options->dry_run) {
        puts("Nothing was done (--dry-run).");
        return PK_OK;
    }
    committer_init(&run->committer, &run->desk.meaning, run->desk.store, 1 << 20);
    status = retain(run, err);
    if (status == PK_OK)
        print_receipt(run);
    committer_done(&run->committer);
    return status;
}

int consumer_retain(const struct consumer_options *options)
{
    struct run run = {.options = options, .teller = teller_begin()};
    struct pk_err err = {0};
    enum pk_status status = read_arguments(&run, &err);
    if (status == PK_OK)
        status = consumer_desk_open(options, true, &run.desk, &err);
    if (status == PK_OK) {
        status = retain_action(&run, &err);
        pk_vec_done(&run.refused);
        pk_arena_done(&run.arena);
        consumer_desk_close(&run.desk);
    }
    return consumer_end("retain was not finished; the same command goes on", status, &err);
}
