/* SPDX-License-Identifier: Apache-2.0 */
/* forget: a customer is forgotten, with a receipt (docs/semantics.md 3.7, docs/privacy.md). */
#define _GNU_SOURCE /* getrandom */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "consumer_store.h"
#include "event_avro.h"
#include "forget_plan.h"
#include "store_quarantine.h"

enum { MOST_TRIES = 5, LONGEST_BY = 200, LONGEST_NOTE = 2000, PAGE = 500 };

struct run {
    const struct consumer_options *options;
    struct consumer_desk desk;
    const char *text;
    bool anonymise;

    struct forget_plan plan; /* quarantine was looked through with it; lives in `arena` */
    PK_VEC(struct change_record) record;
    int64_t unread;    /* records of quarantine that cannot be read */
    int64_t newest_us; /* when the newest row of quarantine that was looked at was set aside */
    struct pk_hash receipt;
    int64_t at_us;
    bool changed; /* the customer has other names than when quarantine was looked through */
    bool insist;  /* then quarantine is looked through again while all writers wait, which may take a while */
};

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

/* ---- what is asked, and of whom ---- */

static enum pk_status read_arguments(struct run *run, struct pk_err *err)
{
    const struct consumer_options *o = run->options;
    if (o->rest.rest.len != 1)
        return pk_fail(err, PK_REJECT, "forget takes one identifier, not %zu: polku-consumer forget --help", o->rest.rest.len);
    run->text = o->rest.rest.ptr[0];
    if (strcmp(o->mode, "delete") != 0 && strcmp(o->mode, "anonymise") != 0)
        return pk_fail(err, PK_REJECT, "--mode: '%.40s' is neither delete nor anonymise", o->mode);
    run->anonymise = strcmp(o->mode, "anonymise") == 0;
    if (!pk_utf8_valid(o->by, strlen(o->by)) || !pk_utf8_valid(o->note, strlen(o->note)))
        return pk_fail(err, PK_REJECT, "--by or --note is not UTF-8");
    if (strlen(o->by) > LONGEST_BY || strlen(o->note) > LONGEST_NOTE)
        return pk_fail(err, PK_REJECT, "--by is longer than %d bytes, or --note than %d", LONGEST_BY, LONGEST_NOTE);
    return PK_OK;
}

static enum pk_status look(struct run *run, struct pk_err *err)
{
    enum pk_status status = explain_begin(&run->desk.source, err);
    if (status == PK_OK)
        status = forget_plan_make(&run->desk.source, &run->desk.maker, run->text, run->anonymise, now_us(), false, &run->desk.arena,
                                  &run->plan, err);
    if (status == PK_OK)
        return store_end_read(run->desk.store, err);
    store_rollback(run->desk.store);
    return status;
}

/* ---- quarantine ---- */

static struct pk_hash hash_of(const struct run *run, struct pk_str name_space, struct pk_str value, struct pk_arena *arena)
{
    bool reserved = pk_str_eq(name_space, PK_STR("case_id"));
    const struct rules_namespace *rules = reserved ? NULL : fact_namespace(&run->desk.inputs.rules, name_space);
    struct pk_str normal;
    if (!value.ptr || (!rules && !reserved) || !fact_normalise(value, rules, &run->desk.inputs.rules, arena, &normal))
        return (struct pk_hash){{0}};
    return fact_hash(&run->desk.inputs.hasher, (struct pk_str[]){name_space, normal}, 2);
}

/* Valid or not: it names the customer, or is a copy of one of its events. */
static bool names_customer(const struct run *run, const struct forget_plan *plan, const struct event *event,
                           struct pk_arena *arena)
{
    for (size_t i = 0; i < event->identifier_count; i++)
        if (forget_plan_names(plan, hash_of(run, event->identifier[i].name_space, event->identifier[i].value, arena)))
            return true;
    if (forget_plan_names(plan, hash_of(run, PK_STR("case_id"), event->case_id, arena)))
        return true;
    const struct pk_str part[] = {event->source, event->event_id};
    const struct pk_hash hash = fact_hash(&run->desk.inputs.hasher, part, 2);
    return plan->events && bsearch(&hash, plan->event, plan->events, sizeof hash, forget_plan_compare);
}

/* NAMESPACE:VALUE, as polku-producer writes it. A tombstone has nothing else. */
static bool key_names_customer(const struct run *run, const struct forget_plan *plan, struct pk_bytes key, struct pk_arena *arena)
{
    const char *text = (const char *)key.ptr;
    for (size_t i = 0; i < key.len; i++)
        if (text[i] == ':' && forget_plan_names(plan, hash_of(run, (struct pk_str){text, i},
                                                              (struct pk_str){text + i + 1, key.len - i - 1}, arena)))
            return true;
    return false;
}

static bool is_listed(const struct run *run, const struct quarantine_row *row)
{
    for (size_t i = 0; i < run->record.len; i++) {
        const struct change_record *record = &run->record.ptr[i];
        if (record->offset == row->at.offset && record->partition == row->at.partition && pk_str_eq(record->reason, row->at.reason) &&
            pk_str_eq(symbol_text(&run->desk.inputs.symbols, record->topic), row->at.topic))
            return true;
    }
    return false;
}

static enum pk_status look_at_record(struct run *run, const struct forget_plan *plan, const struct quarantine_row *row,
                                     bool again, struct pk_arena *arena, struct pk_err *err)
{
    struct event event;
    enum reject_reason reason;
    bool named = key_names_customer(run, plan, row->key, arena), unread = !named && !row->value.ptr && (row->key.ptr || row->headers);
    if (!named && row->value.ptr) {
        enum pk_status status = event_decode(run->desk.inputs.schemas, row->value, arena, &event, &reason, err);
        if (status != PK_OK && status != PK_REJECT)
            return status;
        unread = status == PK_REJECT;
        named = !unread && names_customer(run, plan, &event, arena);
    }
    run->unread += unread && !(again && row->quarantined_at_us <= run->newest_us);
    if (named && !(again && is_listed(run, row)))
        *pk_vec_push(&run->record) = (struct change_record){
            .topic = symbol_of(&run->desk.inputs.symbols, row->at.topic),
            .partition = row->at.partition,
            .offset = row->at.offset,
            .reason = pk_arena_str(&run->desk.arena, row->at.reason),
        };
    return PK_OK;
}

/* `again`: only what may have come since then, the same plan being looked for. */
static enum pk_status look_through_quarantine(struct run *run, const struct forget_plan *plan, bool again, struct pk_err *err)
{
    enum { LONGEST_COMMIT_S = 120 }; /* what was set aside shows once it is committed */
    int64_t newest_us = PK_NO_TIME;
    struct quarantine_filter filter = {.since_us = PK_NO_TIME, .until_us = PK_NO_TIME};
    if (again && run->newest_us != PK_NO_TIME)
        filter.since_us = run->newest_us - LONGEST_COMMIT_S * PK_SECOND_US;
    struct pk_arena page PK_AUTO(pk_arena_done) = {0}, last PK_AUTO(pk_arena_done) = {0};
    struct quarantine_place after = {0};
    struct quarantine_rows rows = {.count = PAGE};
    enum pk_status status = PK_OK;
    if (!again) {
        run->record.len = 0;
        run->unread = 0;
        run->newest_us = PK_NO_TIME;
    }
    for (bool first = true; status == PK_OK && rows.count == PAGE && !consumer_stop; first = false) {
        pk_arena_reset(&page);
        status = store_quarantine_rows(run->desk.store, &filter, first ? NULL : &after, false, true, PAGE, &page, &rows, err);
        for (size_t i = 0; i < rows.count && status == PK_OK; i++) {
            status = look_at_record(run, plan, &rows.row[i], again, &page, err);
            newest_us = PK_MAX(newest_us, rows.row[i].quarantined_at_us);
        }
        if (status != PK_OK || rows.count == 0)
            break;
        after = rows.row[rows.count - 1].at;
        pk_arena_reset(&last);
        after.topic = pk_arena_str(&last, after.topic);
        after.reason = pk_arena_str(&last, after.reason);
    }
    run->newest_us = PK_MAX(run->newest_us, newest_us);
    return status == PK_OK && consumer_stop ? pk_fail(err, PK_RETRY, "it was stopped") : status;
}

/* ---- forgetting ---- */

/* What is needed of it after this try: the next one reuses the arena of the transaction. */
static void keep_plan(struct run *run, const struct forget_plan *plan)
{
    struct forget_plan kept = *plan;
    struct change_forgotten *name = PK_NEW_ARRAY(&run->desk.arena, struct change_forgotten, plan->forgetting.names + 1);
    struct pk_hash *event = PK_NEW_ARRAY(&run->desk.arena, struct pk_hash, plan->events + 1);
    if (plan->forgetting.names)
        memcpy(name, plan->forgetting.name, plan->forgetting.names * sizeof *name);
    if (plan->events)
        memcpy(event, plan->event, plan->events * sizeof *event);
    kept.subject = run->plan.subject;
    kept.event = event;
    kept.forgetting = (struct change_forgetting){.name = name, .names = plan->forgetting.names};
    run->plan = kept;
}

/* Within the transaction: nobody else writes. */
static enum pk_status plan_again(void *context, struct pk_arena *arena, struct change_forgetting *ret, struct pk_err *err)
{
    struct run *run = context;
    struct explain_source source = run->desk.source;
    struct forget_plan plan;
    source.arena = arena;
    run->at_us = now_us();
    enum pk_status status =
        forget_plan_make(&source, &run->desk.maker, run->text, run->anonymise, run->at_us, true, arena, &plan, err);
    if (status != PK_OK)
        return status;
    run->changed = !forget_plan_same(&plan, &run->plan);
    if (run->changed && !run->insist)
        return pk_fail(err, PK_STALE, "names of this customer came in all the time");
    status = look_through_quarantine(run, &plan, !run->changed, err);
    if (status != PK_OK)
        return status;
    keep_plan(run, &plan);
    *ret = plan.forgetting;
    ret->record = run->record.ptr;
    ret->records = run->record.len;
    ret->receipt = run->receipt;
    ret->by = consumer_by(run->options);
    if (run->options->note[0])
        ret->note = pk_str(run->options->note);
    return PK_OK;
}

static enum pk_status forget_once(struct run *run, struct committer *committer, struct pk_err *err)
{
    run->changed = false;
    enum pk_status status = look_through_quarantine(run, &run->plan, false, err);
    if (status == PK_OK)
        status = commit_forget(committer, plan_again, run, err);
    if (status == PK_STALE && run->changed) { /* quarantine must be looked through with what it is now */
        struct pk_err why = *err;
        enum pk_status looked = look(run, err);
        if (looked != PK_OK)
            return looked;
        *err = why;
    }
    return status;
}

static enum pk_status forget_it(struct run *run, struct committer *committer, struct pk_err *err)
{
    if (getrandom(&run->receipt, sizeof run->receipt, 0) != sizeof run->receipt)
        return pk_fail(err, PK_STOP, "the system gives no random bytes");
    enum pk_status status = PK_RETRY;
    bool too_much = false; /* for one statement, while all writers wait: once is enough */
    for (int try = 0; try < MOST_TRIES && (status == PK_RETRY || status == PK_STALE) && !consumer_stop && !too_much; try++) {
        if (try > 0 && !run->changed)
            sleep(1);
        run->insist = try >= 2;
        status = forget_once(run, committer, err);
        too_much = status == PK_RETRY && store_wants_less(run->desk.store);
    }
    struct pk_err why = *err;
    if (status == PK_LOST)
        return pk_fail(err, status, "whether it was forgotten is unknown, ask again: %.400s", why.text);
    if (status != PK_OK && consumer_stop)
        return pk_fail(err, status, "nothing was forgotten: it was stopped");
    if (too_much)
        return pk_fail(err, status, "nothing was forgotten, it is too much for one statement (%.400s): raise --statement-timeout, "
                       "consumers wait meanwhile", why.text);
    if (status == PK_RETRY || status == PK_STALE)
        return pk_fail(err, status, "nothing was forgotten, other writers were at work all the time: %.400s", why.text);
    return status;
}

/* ---- what is told ---- */

static void add_number(struct pk_buf *out, uint64_t number, const char *one, const char *many)
{
    pk_buf_printf(out, "%" PRIu64 " %s", number, number == 1 ? one : many);
}

static void add_names(struct pk_buf *out, const struct forget_plan *plan)
{
    add_number(out, plan->persons, "identifier", "identifiers");
    pk_buf_text(out, ", ");
    add_number(out, plan->devices, "device", "devices");
    pk_buf_text(out, ", ");
    add_number(out, plan->cases, "case", "cases");
}

static void add_subject(struct pk_buf *out, const struct forget_plan *plan, size_t records)
{
    const struct forget_subject *subject = &plan->subject;
    explain_add_name(out, &subject->name);
    if (subject->unknown)
        pk_buf_text(out, " is not known: nothing is stored of it. It is remembered, so that events up to now are forgotten "
                         "should they come later.\n");
    else if (subject->already)
        pk_buf_printf(out, " is forgotten already, but %zu %s of quarantine still %s it.\n", records,
                      records == 1 ? "record" : "records", records == 1 ? "names" : "name");
    else if (pk_hash_zero(subject->customer))
        pk_buf_text(out, " is of no customer: it is forgotten alone.\n");
    else
        pk_buf_printf(out, " is of customer %08" PRIx32 ": ", pk_get_be32(subject->customer.byte)), add_names(out, plan),
            pk_buf_printf(out, ", %zu events.\n", plan->events);
    if (plan->kept) {
        add_number(out, plan->kept, "device or case", "devices or cases");
        pk_buf_text(out, " of these events stay known: others were seen there too. Of what happened there only this customer's "
                         "part is forgotten.\n");
    }
}

static void add_uuid(struct pk_buf *out, struct pk_hash hash)
{
    for (int i = 0; i < 16; i++)
        pk_buf_printf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", hash.byte[i]);
}

static void add_what_stays(struct pk_buf *out, const struct run *run, const struct change_forgetting *f)
{
    pk_buf_text(out, "What stays:\n  keyed hashes of ");
    add_number(out, f->names, "name", "names");
    if (f->events) {
        pk_buf_text(out, " and of ");
        add_number(out, f->events, "event", "events");
    }
    pk_buf_text(out, ", without which a replay would bring everything back\n");
    if (run->anonymise)
        pk_buf_text(out, "  the events, without anybody: counted, with publisher, event id, time, place in the organisation, topic, "
                         "rating and amount\n");
    if (run->unread)
        pk_buf_printf(out, "  %" PRId64 " records of quarantine that cannot be read: nobody knows whom they name "
                           "(polku-consumer quarantine)\n", run->unread);
    pk_buf_text(out, "  the records in Kafka's topics, until their retention is over; one that is no valid event is set aside again if it\n"
                     "    is read again\n"
                     "  backups, archived WAL and replicas that lag behind, as long as they are kept\n"
                     "  dead rows in the files of PostgreSQL and samples in its statistics, until VACUUM and ANALYZE have passed\n");
}

static void print_receipt(const struct run *run, const struct changes *changes)
{
    struct pk_buf out PK_AUTO(pk_buf_done) = {0};
    const struct change_forgetting *f = changes->forgetting;
    pk_buf_text(&out, "Receipt ");
    add_uuid(&out, f->receipt);
    pk_buf_text(&out, run->anonymise ? ": anonymised at " : ": deleted at ");
    explain_add_time(&out, run->at_us);
    pk_buf_text(&out, " by ");
    explain_add_text(&out, f->by);
    pk_buf_text(&out, "\n  names: ");
    add_names(&out, &run->plan);
    pk_buf_printf(&out, "\n  events: %" PRIu64 " %s, %" PRIu64 " of others lost such a name\n", changes->forgot.events,
                  run->anonymise ? "anonymised" : "deleted", changes->forgot.stripped);
    pk_buf_printf(&out, "  journeys gone: %" PRIu64 ", obligations gone: %" PRIu64 "\n", changes->forgot.journeys,
                  changes->forgot.obligations);
    pk_buf_printf(&out, "  records deleted from quarantine: %zu, decisions about identity deleted: %zu\n", f->records,
                  f->restores);
    pk_buf_text(&out, "  forgotten up to ");
    explain_add_time(&out, f->until_us);
    pk_buf_text(&out, ", whenever such an event comes again; after that it is a new customer\n");
    add_what_stays(&out, run, f);
    fputs(out.ptr, stdout);
}

static void print_plan(const struct run *run)
{
    struct pk_buf out PK_AUTO(pk_buf_done) = {0};
    add_subject(&out, &run->plan, run->record.len);
    fputs(out.ptr, stdout);
    fflush(stdout);
}

/* Records that are no valid events are set aside before anybody asks whom they name, so they may have come since. */
static enum pk_status check_already(struct run *run, struct pk_err *err)
{
    const struct explain_name *name = &run->plan.subject.name;
    if (!run->plan.subject.already)
        return PK_OK;
    enum pk_status status = look_through_quarantine(run, &run->plan, false, err);
    if (status != PK_OK || run->record.len > 0)
        return status;
    return pk_fail(err, PK_REJECT, "this %s is forgotten already, no event has come since, and quarantine does not name it",
                   name->kind == KEY_PERSON ? "identifier" : name->kind == KEY_DEVICE ? "device" : "case");
}

static enum pk_status forget_action(struct run *run, struct pk_err *err)
{
    struct committer committer;
    enum pk_status status = look(run, err);
    if (status == PK_OK)
        status = check_already(run, err);
    if (status != PK_OK)
        return status;
    print_plan(run);
    if (run->options->dry_run) {
        puts("Nothing was done (--dry-run).");
        return PK_OK;
    }
    committer_init(&committer, &run->desk.meaning, run->desk.store, 1 << 20);
    status = forget_it(run, &committer, err);
    if (status == PK_OK)
        print_receipt(run, &committer.changes);
    committer_done(&committer);
    return status;
}

int consumer_forget(const struct consumer_options *options)
{
    struct run run = {.options = options};
    struct pk_err err = {0};
    enum pk_status status = read_arguments(&run, &err);
    if (status == PK_OK)
        status = consumer_desk_open(options, true, &run.desk, &err);
    if (status == PK_OK) {
        status = forget_action(&run, &err);
        pk_vec_done(&run.record);
        consumer_desk_close(&run.desk);
    }
    return consumer_end("forget was not done", status, &err);
}
