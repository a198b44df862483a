/* SPDX-License-Identifier: Apache-2.0 */
/* identity: why identifiers are one customer, and the decisions of people about that. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "consumer_store.h"

enum { MOST_TRIES = 5, LONGEST_BY = 200, LONGEST_NOTE = 2000 };

struct run {
    const struct consumer_options *options;
    struct consumer_desk desk;
    bool in_use; /* the database was begun with some rules */
};

/* ---- what is asked ---- */

static const struct action {
    const char *name;
    size_t most; /* identifiers */
    bool decides;
} actions[] = {{"explain", 1, false}, {"unlink", 2, true}, {"block", 1, true}, {"restore", 2, true}};
enum { EXPLAIN, UNLINK, BLOCK, RESTORE };

static const char blocked_by_rules[] = "the rules block it (empty, zeros, or one of blocked and blocked_values), so "
                                       "events are taken as if it did not stand in them";

struct subject { /* A or B */
    const char *text;
    struct explain_name name;
};

static enum pk_status read_action(const struct consumer_options *options, const struct action **ret, struct pk_err *err)
{
    const char *name = options->rest.rest.len ? options->rest.rest.ptr[0] : "";
    for (size_t i = 0; i < PK_COUNT(actions); i++) {
        if (strcmp(name, actions[i].name) != 0)
            continue;
        size_t given = options->rest.rest.len - 1;
        if (given < 1 || given > actions[i].most)
            return pk_fail(err, PK_REJECT, "identity %s takes %s, not %zu", name,
                           actions[i].most == 1 ? "one identifier" : "one or two identifiers", given);
        *ret = &actions[i];
        return PK_OK;
    }
    return pk_fail(err, PK_REJECT,
                   "identity needs one of explain, unlink, block, restore and an identifier: polku-consumer "
                   "identity --help");
}

static void add_argument(struct pk_buf *out, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    if (*text && strspn(text, plain) == strlen(text)) {
        pk_buf_text(out, text);
        return;
    }
    pk_buf_text(out, "'");
    for (; *text; text++)
        pk_buf_add(out, *text == '\'' ? "'\\''" : text, *text == '\'' ? 4 : 1);
    pk_buf_text(out, "'");
}

/* ---- explain ---- */

static void print_explain(struct run *run, const struct explain *explain)
{
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    if (run->options->json)
        explain_json(explain, &text);
    else
        explain_print(explain, &run->desk.arena, &text);
    fputs(text.ptr, stdout);
}

static enum pk_status explain_action(struct run *run, struct subject *a, struct pk_err *err)
{
    struct explain explain = {0};
    bool blocked = false;
    enum pk_status status = explain_begin(&run->desk.source, err);
    if (status == PK_OK)
        status = explain_find(&run->desk.source, a->text, &a->name, &blocked, err);
    if (status == PK_OK && blocked && run->options->json)
        puts("{\"state\": \"blocked by the rules\"}");
    else if (status == PK_OK && blocked)
        printf("This value of %.*s says nobody: %s.\n", PK_STR_ARG(a->name.name_space), blocked_by_rules);
    else if (status == PK_OK)
        status = explain_load(&run->desk.source, &a->name, (size_t)run->options->limit, &explain, err);
    if (status == PK_OK)
        status = store_end_read(run->desk.store, err);
    if (status == PK_OK && !blocked)
        print_explain(run, &explain);
    explain_done(&explain);
    return status;
}

/* ---- decisions ---- */

struct plan {
    struct change_decision decision[2];
    size_t count;
};

/* What the tables may hold, which is less than what its typist may be shown. */
static struct pk_str clear_value(const struct explain_name *name)
{
    return name->rules && name->rules->store_clear ? name->value : (struct pk_str){0};
}

static struct change_decision decide(struct run *run, enum decision_kind kind, bool restore,
                                     const struct explain_name *a, const struct explain_name *b)
{
    struct change_decision decision = {.kind = kind, .restore = restore, .by = consumer_by(run->options)};
    if (run->options->note[0])
        decision.note = pk_str(run->options->note);
    if (b && pk_hash_cmp(a->hash, b->hash) > 0) {
        const struct explain_name *swap = a;
        a = b;
        b = swap;
    }
    decision.a = a->hash;
    decision.kind_a = a->kind;
    decision.name_space_a = symbol_of(&run->desk.inputs.symbols, a->name_space);
    decision.value_a = clear_value(a);
    if (b) {
        decision.b = b->hash;
        decision.kind_b = b->kind;
        decision.name_space_b = symbol_of(&run->desk.inputs.symbols, b->name_space);
        decision.value_b = clear_value(b);
    }
    return decision;
}

static bool is_of(const struct explain_decision *decision, enum decision_kind kind, const struct explain_name *a,
                  const struct explain_name *b)
{
    if (decision->kind != kind)
        return false;
    if (!b)
        return pk_hash_eq(decision->a->hash, a->hash);
    return (pk_hash_eq(decision->a->hash, a->hash) && pk_hash_eq(decision->b->hash, b->hash)) ||
           (pk_hash_eq(decision->a->hash, b->hash) && pk_hash_eq(decision->b->hash, a->hash));
}

static const struct explain_decision *in_force(const struct explain *explain, enum decision_kind kind,
                                               const struct explain_name *a, const struct explain_name *b)
{
    for (size_t i = 0; i < explain->decisions; i++)
        if (is_of(&explain->decision[i], kind, a, b))
            return &explain->decision[i];
    return NULL;
}

static enum pk_status check_kind(enum decision_kind kind, const struct subject *subject, struct pk_err *err)
{
    if (kind == DECIDE_BLOCK && subject->name.kind == KEY_CASE)
        return pk_fail(err, PK_REJECT, "a case cannot be blocked, only identifiers of persons and devices");
    if (kind != DECIDE_BLOCK && subject->name.kind != KEY_PERSON)
        return pk_fail(err, PK_REJECT,
                       "%.*s is a %s: it joins nobody, so there is nothing to unlink; `identity block` takes a "
                       "device out of all events",
                       PK_STR_ARG(subject->name.name_space), subject->name.kind == KEY_CASE ? "case" : "device");
    return PK_OK;
}

static enum pk_status plan_new(struct run *run, const struct explain *explain, enum decision_kind kind,
                               const struct subject *a, const struct subject *b, struct plan *plan, struct pk_err *err)
{
    enum pk_status status = check_kind(kind, a, err);
    if (status == PK_OK && b)
        status = check_kind(kind, b, err);
    if (status != PK_OK)
        return status;
    const struct explain_decision *decision = in_force(explain, kind, &a->name, b ? &b->name : NULL);
    if (decision) {
        struct pk_buf text PK_AUTO(pk_buf_done) = {0};
        explain_add_decision(&text, decision);
        return pk_fail(err, PK_REJECT, "this is in force already: %.400s", text.ptr);
    }
    plan->decision[plan->count++] = decide(run, kind, false, &a->name, b ? &b->name : NULL);
    return PK_OK;
}

static enum pk_status plan_restore(struct run *run, const struct explain *explain, const struct subject *a,
                                   const struct subject *b, struct plan *plan, struct pk_err *err)
{
    static const enum decision_kind alone[] = {DECIDE_BLOCK, DECIDE_UNLINK};
    if (b && in_force(explain, DECIDE_APART, &a->name, &b->name))
        plan->decision[plan->count++] = decide(run, DECIDE_APART, true, &a->name, &b->name);
    for (size_t i = 0; !b && i < PK_COUNT(alone); i++)
        if (in_force(explain, alone[i], &a->name, NULL))
            plan->decision[plan->count++] = decide(run, alone[i], true, &a->name, NULL);
    if (plan->count)
        return PK_OK;
    for (size_t i = 0; i < explain->decisions; i++) {
        struct pk_buf text PK_AUTO(pk_buf_done) = {0};
        explain_add_decision(&text, &explain->decision[i]);
        if (explain->decision[i].kind == DECIDE_APART && !b)
            return pk_fail(err, PK_REJECT, "nothing is in force on it alone; name both of the pair: %.400s", text.ptr);
        return pk_fail(err, PK_REJECT, "nothing is in force on this pair; what is: %.400s", text.ptr);
    }
    return pk_fail(err, PK_REJECT, "there is nothing to restore: no decision about it is in force");
}

static enum pk_status find_subject(struct run *run, struct subject *subject, struct pk_err *err)
{
    bool blocked;
    enum pk_status status = explain_find(&run->desk.source, subject->text, &subject->name, &blocked, err);
    if (status == PK_OK && blocked)
        return pk_fail(err, PK_REJECT, "this value of %.*s says nobody already: %s",
                       PK_STR_ARG(subject->name.name_space), blocked_by_rules);
    return status;
}

static enum pk_status make_plan(struct run *run, const struct action *action, struct subject *a, struct subject *b,
                                struct plan *plan, struct pk_err *err)
{
    struct explain explain = {0};
    enum pk_status status = explain_begin(&run->desk.source, err);
    if (status == PK_OK)
        status = find_subject(run, a, err);
    if (status == PK_OK && b)
        status = find_subject(run, b, err);
    if (status == PK_OK && b && pk_hash_eq(a->name.hash, b->name.hash))
        status = pk_fail(err, PK_REJECT, "both are the same identifier");
    struct pk_hash hash[2] = {a->name.hash, b ? b->name.hash : a->name.hash};
    if (status == PK_OK)
        status = explain_load_names(&run->desk.source, hash, b ? 2 : 1, &explain, err);
    if (status == PK_OK)
        status = explain_load_decisions(&run->desk.source, &explain, err);
    if (status == PK_OK)
        status = store_end_read(run->desk.store, err);
    else
        store_rollback(run->desk.store);
    *plan = (struct plan){.count = 0};
    if (status == PK_OK)
        status = action == &actions[RESTORE] ? plan_restore(run, &explain, a, b, plan, err)
                                             : plan_new(run, &explain,
                                                        action == &actions[BLOCK] ? DECIDE_BLOCK
                                                        : b                       ? DECIDE_APART
                                                                                  : DECIDE_UNLINK,
                                                        a, b, plan, err);
    explain_done(&explain);
    return status;
}

/* ---- what changed ---- */

struct moved { /* a person that is of another customer now */
    struct pk_hash hash, before, after;
};

static int by_hash(const void *left, const void *right)
{
    return pk_hash_cmp(((const struct moved *)left)->hash, ((const struct moved *)right)->hash);
}

static struct moved *find_moved(struct run *run, const struct workset *workset, size_t *ret_count)
{
    struct moved *moved = PK_NEW_ARRAY(&run->desk.arena, struct moved, workset->key_list.len + 1);
    size_t count = 0;
    for (size_t i = 0; i < workset->key_list.len; i++) {
        const struct ws_key *key = workset->key_list.ptr[i];
        if (key->kind == KEY_PERSON && key->in_database && !pk_hash_eq(key->customer, key->stored_customer))
            moved[count++] = (struct moved){key->hash, key->stored_customer, key->customer};
    }
    qsort(moved, count, sizeof *moved, by_hash);
    *ret_count = count;
    return moved;
}

static void add_customer(struct pk_buf *out, struct pk_hash customer)
{
    if (pk_hash_zero(customer))
        pk_buf_text(out, "none");
    else
        pk_buf_printf(out, "%08" PRIx32, pk_get_be32(customer.byte));
}

static enum pk_status add_moved(struct run *run, const struct moved *moved, size_t count, const struct subject *a,
                                const struct subject *b, struct pk_buf *out, struct pk_err *err)
{
    size_t shown = PK_MIN(count, (size_t)run->options->limit);
    struct explain names = {0};
    struct pk_hash *hash = PK_NEW_ARRAY(&run->desk.arena, struct pk_hash, shown + 1);
    for (size_t i = 0; i < shown; i++)
        hash[i] = moved[i].hash;
    enum pk_status status = explain_begin(&run->desk.source, err);
    if (status == PK_OK)
        status = explain_load_names(&run->desk.source, hash, shown, &names, err);
    if (status == PK_OK)
        status = store_end_read(run->desk.store, err);
    for (size_t i = 0; status == PK_OK && i < shown; i++) {
        const struct explain_name *name = pk_hash_eq(hash[i], a->name.hash)        ? &a->name
                                          : b && pk_hash_eq(hash[i], b->name.hash) ? &b->name
                                                                                   : pk_map_get(&names.name, hash[i]);
        pk_buf_text(out, "  ");
        if (name)
            explain_add_name(out, name);
        pk_buf_text(out, ": customer ");
        add_customer(out, moved[i].before);
        pk_buf_text(out, " before, ");
        add_customer(out, moved[i].after);
        pk_buf_text(out, " now\n");
    }
    if (status == PK_OK && shown < count)
        pk_buf_printf(out, "  and %zu more (--limit)\n", count - shown);
    explain_done(&names);
    return status;
}

static void add_undo(struct pk_buf *out, const struct change_decision *decision, const struct subject *a,
                     const struct subject *b)
{
    pk_buf_text(out, decision->restore ? "To decide it again: polku-consumer identity "
                                       : "To take it back: polku-consumer identity ");
    pk_buf_text(out, !decision->restore ? "restore " : decision->kind == DECIDE_BLOCK ? "block " : "unlink ");
    add_argument(out, a->text);
    if (b) {
        pk_buf_text(out, " ");
        add_argument(out, b->text);
    }
    pk_buf_text(out, "\n");
}

static void add_head(struct pk_buf *out, const struct change_decision *decision, const struct subject *a,
                     const struct subject *b)
{
    explain_add_name(out, &a->name);
    if (b) {
        pk_buf_text(out, " and ");
        explain_add_name(out, &b->name);
        pk_buf_text(out, decision->restore ? " are kept apart no more" : " are kept apart now");
    } else {
        pk_buf_text(out, decision->kind == DECIDE_BLOCK
                             ? (decision->restore ? " is blocked no more" : " is blocked now")
                             : (decision->restore ? " is unlinked no more" : " is unlinked now"));
    }
    pk_buf_text(out, ", by ");
    explain_add_text(out, decision->by);
    pk_buf_text(out, ".\n");
}

static enum pk_status tell(struct run *run, const struct committer *committer, const struct change_decision *decision,
                           const struct subject *a, const struct subject *b, struct pk_err *err)
{
    struct pk_buf out PK_AUTO(pk_buf_done) = {0};
    const struct changes *changes = &committer->changes;
    size_t count;
    const struct moved *moved = find_moved(run, &committer->workset, &count);
    add_head(&out, decision, a, b);
    pk_buf_printf(&out, "Identifiers that are of another customer now: %zu\n", count);
    enum pk_status status = add_moved(run, moved, count, a, b, &out, err);
    pk_buf_printf(&out, "Customers: %zu new, %zu gone. Events of another customer or journey: %zu.\n",
                  changes->customer.len, changes->customer_gone.len, changes->move.len);
    pk_buf_printf(&out, "Journeys: %zu written, %zu gone. Obligations: %zu written, %zu gone.\n", changes->journey.len,
                  changes->journey_gone.len, changes->obligation.len, changes->obligation_gone.len);
    add_undo(&out, decision, a, b);
    fputs(out.ptr, stdout); /* in any case: it is committed */
    return status;
}

static enum pk_status commit_one(struct committer *committer, const struct change_decision *decision,
                                 struct pk_err *err)
{
    enum pk_status status = PK_RETRY;
    for (int try = 0; try < MOST_TRIES && (status == PK_RETRY || status == PK_STALE) && !consumer_stop; try++) {
        if (try > 0)
            sleep(1);
        status = commit_decisions(committer, decision, 1, err);
    }
    char why[sizeof err->text];
    memcpy(why, err->text, sizeof why);
    if (status == PK_LOST)
        return pk_fail(err, status, "whether it was decided is unknown, ask `identity explain`: %.400s", why);
    if (status == PK_RETRY || status == PK_STALE)
        return pk_fail(err, status, "nothing was decided, other writers were at work all the time: %.400s", why);
    return status;
}

static enum pk_status check_words(const struct consumer_options *options, struct pk_err *err)
{
    if (!pk_utf8_valid(options->by, strlen(options->by)) || !pk_utf8_valid(options->note, strlen(options->note)))
        return pk_fail(err, PK_REJECT, "--by or --note is not UTF-8");
    if (strlen(options->by) > LONGEST_BY || strlen(options->note) > LONGEST_NOTE)
        return pk_fail(err, PK_REJECT, "--by is longer than %d bytes, or --note than %d", LONGEST_BY, LONGEST_NOTE);
    return PK_OK;
}

/* Perhaps somebody else decided the same in the meantime: then that is what is told. */
static enum pk_status look_again(struct run *run, const struct action *action, struct subject *a, struct subject *b,
                                 enum pk_status status, struct pk_err *err)
{
    struct plan plan;
    struct pk_err now = {0};
    if (make_plan(run, action, a, b, &plan, &now) != PK_REJECT)
        return status;
    *err = now;
    return PK_REJECT;
}

static enum pk_status decide_action(struct run *run, const struct action *action, struct subject *a, struct subject *b,
                                    struct pk_err *err)
{
    struct plan plan;
    enum pk_status status = check_words(run->options, err);
    if (status == PK_OK)
        status = make_plan(run, action, a, b, &plan, err);
    if (status != PK_OK)
        return status;
    for (size_t i = 0; status == PK_OK && i < plan.count; i++) {
        struct committer committer;
        committer_init(&committer, &run->desk.meaning, run->desk.store, 1 << 20);
        status = commit_one(&committer, &plan.decision[i], err);
        if (status == PK_OK)
            status = tell(run, &committer, &plan.decision[i], a, b, err);
        else if (status == PK_STALE || status == PK_STOP)
            status = look_again(run, action, a, b, status, err);
        committer_done(&committer);
    }
    return status;
}

int consumer_identity(const struct consumer_options *options)
{
    struct run run = {.options = options};
    struct pk_err err = {0};
    const struct action *action = NULL;
    const char *const *text = options->rest.rest.ptr;
    enum pk_status status = read_action(options, &action, &err);
    if (status == PK_OK)
        status = consumer_desk_open(options, action->decides, &run.desk, &err);
    if (status == PK_OK) {
        struct subject a = {.text = text[1]}, b = {.text = options->rest.rest.len > 2 ? text[2] : NULL};
        status = action->decides ? decide_action(&run, action, &a, b.text ? &b : NULL, &err) : explain_action(&run, &a, &err);
        consumer_desk_close(&run.desk);
    }
    return consumer_end("identity was not done", status, &err);
}
