/* SPDX-License-Identifier: Apache-2.0 */
/* polku_derive: derives the tables of JSON Lines of events through the consumer's pure code and the tables in
 * memory, in random batches, and prints them as tests/oracle/polku_oracle.py does.
 *
 * With a seed, batches of several consumers are under way at the same time, decisions are made at random moments (and
 * others are made and taken back), and after every commit the tables are audited. With --serve, cases come one after
 * another on standard input: a line "case SEED BATCH WORKERS CACHE AS_OF" (AS_OF in microseconds), the events, lines
 * "decision {...}" and "forgetting {...}", then "end"; each is answered with all tables and a line "== ok" or "== " and what
 * is wrong. After forgettings all events come once more, as from a replay: nothing comes back. */
#include "canonical.h"
#include "chance.h"
#include "event_json.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include "time_text.h"

static const char help[] =
    "polku_derive --rules FILE --key-file FILE [OPTIONS] [events.jsonl ...]\n"
    "  --rules FILE      the rules (YAML)\n"
    "  --key-file FILE   the hash key, 16 to 64 bytes in hexadecimal\n"
    "  --seed N          decides order, batches and consumers; 0 (default) keeps the order of the lines\n"
    "  --batch N         most events of a batch (default 20)\n"
    "  --workers N       consumers, each with a cache of its own (default 1)\n"
    "  --cache BYTES     of each (default 1 MiB)\n"
    "  --decisions FILE  decisions in force at the end: JSON Lines of kind, a and b\n"
    "  --forgettings FILE  JSON Lines of until (microseconds), mode, names, events (docs/semantics.md 3.7)\n"
    "  --serve           cases on standard input\n"
    "  --as-of TIME      moment of the table obligation_state, which is left out without it\n"
    "  --table NAME      print this table alone\n"
    "  --out-dir DIR     write one file per table there, NAME.tsv\n";

enum { MAX_WORKERS = 16 };

struct options {
    const char *rules, *key_file, *table, *out_dir, *decisions, *forgettings;
    bool serve;
    uint64_t seed;
    unsigned batch, workers;
    size_t cache;
    int64_t as_of_us;
};

struct planned { /* a decision and when it is made: after so many events */
    struct change_decision decision;
    size_t at, back_at; /* SIZE_MAX: it stays */
    bool made, back_made, forgotten;
};

struct forgetting { /* and when it is made */
    struct change_forgetting row;
    size_t at;
    bool made;
};

struct open_batch {
    struct pk_arena arena;
    bool is_open;
};

struct program {
    struct options options;
    struct symbols symbols;
    struct pk_arena arena; /* rules */
    struct rules rules;
    struct fact_hasher hasher;
    struct matcher matcher;
    struct fact_maker maker;
    struct meaning meaning;

    /* one case */
    struct chance chance;
    struct pk_arena events_arena;
    PK_VEC(struct event) events;
    PK_VEC(struct planned) planned;
    PK_VEC(struct forgetting) forgetting;
    size_t invalid;
    struct memory_store store;
    struct memory_worker worker[MAX_WORKERS], command;
    struct open_batch batch[MAX_WORKERS];
};

/* ---- input ---- */

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static enum pk_status read_key(struct program *p, struct pk_err *err)
{
    FILE *file = fopen(p->options.key_file, "r");
    if (!file)
        return pk_fail(err, PK_REJECT, "%s cannot be read", p->options.key_file);
    size_t digits = 0;
    for (int c; (c = fgetc(file)) != EOF;) {
        int value = digit((char)c);
        if (value < 0 || digits == 2 * sizeof p->hasher.key)
            continue;
        p->hasher.key[digits / 2] = (uint8_t)(p->hasher.key[digits / 2] << 4 | value);
        digits++;
    }
    fclose(file);
    p->hasher.key_len = digits / 2;
    return digits < 32 ? pk_fail(err, PK_REJECT, "%s has fewer than 16 bytes", p->options.key_file) : PK_OK;
}

static enum pk_status take_event(struct program *p, struct pk_str line, struct pk_err *err)
{
    static const struct event_limits limits = {INT64_MAX / 4};
    struct event event;
    enum reject_reason reason;
    enum pk_status status = event_from_json(line, &p->events_arena, &event, err);
    if (status != PK_OK)
        return status;
    if (event_validate(&event, &limits, PK_NO_TIME, &reason, err) != PK_OK || event.occurred_at_us < p->rules.horizon_us)
        p->invalid++;
    else
        *pk_vec_push(&p->events) = event;
    return PK_OK;
}

static bool hash_from(const char *text, struct pk_hash *ret)
{
    size_t digits = 0;
    *ret = (struct pk_hash){{0}};
    for (; text && *text; text++) {
        int value = digit(*text);
        if (value < 0 && *text != '-')
            return false;
        if (value < 0)
            continue;
        if (digits == 2 * sizeof ret->byte)
            return false;
        ret->byte[digits / 2] = (uint8_t)(ret->byte[digits / 2] << 4 | value);
        digits++;
    }
    return digits == 2 * sizeof ret->byte;
}

static bool same_decision(const struct change_decision *a, const struct change_decision *b)
{
    return a->kind == b->kind && pk_hash_eq(a->a, b->a) && pk_hash_eq(a->b, b->b);
}

static enum pk_status take_decision(struct program *p, struct pk_str line, struct pk_err *err)
{
    json_error_t why;
    json_t *node = json_loadb(line.ptr, line.len, 0, &why);
    const char *kind = json_string_value(json_object_get(node, "kind"));
    struct change_decision decision = {.by = PK_STR("test")};
    bool good = kind && hash_from(json_string_value(json_object_get(node, "a")), &decision.a);
    if (good && strcmp(kind, "apart") == 0) {
        decision.kind = DECIDE_APART;
        good = hash_from(json_string_value(json_object_get(node, "b")), &decision.b);
        if (good && pk_hash_cmp(decision.a, decision.b) > 0) {
            struct pk_hash was = decision.a;
            decision.a = decision.b;
            decision.b = was;
        }
    } else if (good && strcmp(kind, "unlink") == 0) {
        decision.kind = DECIDE_UNLINK;
    } else if (good) {
        good = strcmp(kind, "block") == 0;
    }
    json_decref(node);
    if (!good)
        return pk_fail(err, PK_REJECT, "a decision has kind (block, unlink, apart), a and for apart b: %.*s", PK_STR_ARG(line));
    for (size_t i = 0; i < p->planned.len; i++)
        if (same_decision(&p->planned.ptr[i].decision, &decision))
            return PK_OK;
    *pk_vec_push(&p->planned) = (struct planned){.decision = decision, .at = SIZE_MAX, .back_at = SIZE_MAX};
    return PK_OK;
}

static enum pk_status take_forgotten(struct program *p, json_t *node, bool single, struct change_forgotten *ret,
                                     struct pk_err *err)
{
    static const char *const kinds[] = {"person", "device", "case"};
    const char *kind = json_string_value(json_object_get(node, "kind"));
    const char *space = json_string_value(json_object_get(node, "namespace"));
    bool good = kind && hash_from(json_string_value(json_object_get(node, "name")), &ret->name);
    for (unsigned i = 0; good && i < PK_COUNT(kinds); i++)
        if (strcmp(kind, kinds[i]) == 0)
            ret->kind = (enum key_kind)i;
    if (good && ret->kind != KEY_CASE)
        good = space && (ret->name_space = symbol_of(&p->symbols, pk_arena_str(&p->events_arena, pk_str(space))));
    if (good && single)
        good = hash_from(json_string_value(json_object_get(node, "event")), &ret->event_hash);
    ret->at_us = json_integer_value(json_object_get(node, "at"));
    return good ? PK_OK : pk_fail(err, PK_REJECT, "a forgetting names something without name, kind and namespace");
}

static enum pk_status take_forgotten_list(struct program *p, json_t *list, bool single, const struct change_forgotten **ret,
                                          size_t *ret_count, struct pk_err *err)
{
    size_t count = json_array_size(list);
    struct change_forgotten *row = PK_NEW_ARRAY(&p->events_arena, struct change_forgotten, count + 1);
    for (size_t i = 0; i < count; i++)
        if (take_forgotten(p, json_array_get(list, i), single, &row[i], err) != PK_OK)
            return PK_REJECT;
    *ret = row;
    *ret_count = count;
    return PK_OK;
}

static enum pk_status take_forgetting(struct program *p, struct pk_str line, struct pk_err *err)
{
    json_error_t why;
    json_t *node = json_loadb(line.ptr, line.len, 0, &why);
    const char *mode = json_string_value(json_object_get(node, "mode"));
    struct change_forgetting row = {.until_us = json_integer_value(json_object_get(node, "until"))};
    enum pk_status status = PK_OK;
    if (!mode)
        status = pk_fail(err, PK_REJECT, "a forgetting has until, mode, names and events: %.*s", PK_STR_ARG(line));
    else
        row.anonymise = strcmp(mode, "anonymise") == 0;
    if (status == PK_OK)
        status = take_forgotten_list(p, json_object_get(node, "names"), false, &row.name, &row.names, err);
    if (status == PK_OK)
        status = take_forgotten_list(p, json_object_get(node, "events"), true, &row.event, &row.events, err);
    json_decref(node);
    if (status == PK_OK)
        *pk_vec_push(&p->forgetting) = (struct forgetting){.row = row};
    return status;
}

static enum pk_status read_lines(struct program *p, const char *path,
                                 enum pk_status (*take)(struct program *, struct pk_str, struct pk_err *),
                                 struct pk_err *err)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (!file)
        return pk_fail(err, PK_REJECT, "%s cannot be read", path);
    char *line = NULL;
    size_t room = 0, number = 0;
    ssize_t len;
    enum pk_status status = PK_OK;
    while (status == PK_OK && (len = getline(&line, &room, file)) > 0) {
        number++;
        if (strspn(line, " \t\r\n") == (size_t)len)
            continue;
        status = take(p, (struct pk_str){line, (size_t)len}, err);
        if (status != PK_OK) {
            struct pk_err why = *err;
            pk_fail(err, status, "%s:%zu: %.400s", path, number, why.text);
        }
    }
    free(line);
    if (file != stdin)
        fclose(file);
    return status;
}

/* ---- deriving ---- */

static void shuffle(struct program *p)
{
    for (size_t i = p->events.len; i > 1; i--) {
        size_t j = (size_t)(chance_next(&p->chance) % i);
        struct event swap = p->events.ptr[i - 1];
        p->events.ptr[i - 1] = p->events.ptr[j];
        p->events.ptr[j] = swap;
    }
}

/* All names of all events: what a decision may be about. */
struct names {
    struct pk_arena arena;
    PK_VEC(struct fact_name) person, device;
};

static void collect_names(struct program *p, struct names *ret)
{
    *ret = (struct names){0};
    for (size_t i = 0; i < p->events.len; i++) {
        struct fact fact;
        fact_from_event(&p->maker, &p->events.ptr[i], &ret->arena, &fact);
        for (uint32_t k = 0; k < fact.person_count; k++)
            *pk_vec_push(&ret->person) = fact.person[k];
        for (uint32_t k = 0; k < fact.device_count; k++)
            *pk_vec_push(&ret->device) = fact.device[k];
    }
}

static void names_done(struct names *names)
{
    pk_vec_done(&names->person);
    pk_vec_done(&names->device);
    pk_arena_done(&names->arena);
}

static bool find_name(const struct names *names, struct pk_hash hash, enum key_kind *ret_kind, sym_t *ret_name_space)
{
    for (size_t i = 0; i < names->person.len; i++)
        if (pk_hash_eq(names->person.ptr[i].hash, hash)) {
            *ret_kind = KEY_PERSON;
            *ret_name_space = names->person.ptr[i].name_space;
            return true;
        }
    for (size_t i = 0; i < names->device.len; i++)
        if (pk_hash_eq(names->device.ptr[i].hash, hash)) {
            *ret_kind = KEY_DEVICE;
            *ret_name_space = names->device.ptr[i].name_space;
            return true;
        }
    return false;
}

/* Decisions that are made and taken back again: nothing may come of them. */
static void plan_passing(struct program *p, const struct names *names)
{
    unsigned wanted = chance_in(&p->chance, 30) ? 1 + chance_below(&p->chance, 3) : 0;
    for (unsigned i = 0; i < wanted && names->person.len; i++) {
        struct planned *plan = pk_vec_push(&p->planned);
        *plan = (struct planned){.decision = {.kind = (enum decision_kind)chance_below(&p->chance, 3), .by = PK_STR("test")}};
        struct change_decision *d = &plan->decision;
        d->a = names->person.ptr[chance_below(&p->chance, (unsigned)names->person.len)].hash;
        if (d->kind == DECIDE_BLOCK && names->device.len && chance_in(&p->chance, 30))
            d->a = names->device.ptr[chance_below(&p->chance, (unsigned)names->device.len)].hash;
        if (d->kind == DECIDE_APART) {
            struct pk_hash other = names->person.ptr[chance_below(&p->chance, (unsigned)names->person.len)].hash;
            bool ordered = pk_hash_cmp(d->a, other) < 0;
            d->b = ordered ? other : d->a;
            d->a = ordered ? d->a : other;
        }
        plan->at = chance_below(&p->chance, (unsigned)p->events.len + 1);
        plan->back_at = plan->at + chance_below(&p->chance, (unsigned)(p->events.len - plan->at) + 1);
        bool known = d->kind == DECIDE_APART && pk_hash_eq(d->a, d->b);
        for (size_t k = 0; k + 1 < p->planned.len; k++)
            known |= same_decision(&p->planned.ptr[k].decision, d);
        if (known)
            p->planned.len--;
    }
}

/* About what no event carries there is nothing to decide. */
static void plan_decisions(struct program *p)
{
    struct names names;
    collect_names(p, &names);
    for (size_t i = 0; i < p->planned.len; i++)
        p->planned.ptr[i].at = p->options.seed ? chance_below(&p->chance, (unsigned)p->events.len + 1) : p->events.len;
    if (p->options.seed)
        plan_passing(p, &names);
    size_t known = 0;
    for (size_t i = 0; i < p->planned.len; i++) {
        struct planned *plan = &p->planned.ptr[i];
        struct change_decision *d = &plan->decision;
        if (find_name(&names, d->a, &d->kind_a, &d->name_space_a) &&
            (d->kind != DECIDE_APART || find_name(&names, d->b, &d->kind_b, &d->name_space_b)))
            p->planned.ptr[known++] = *plan;
    }
    p->planned.len = known;
    names_done(&names);
}

static enum pk_status audit(struct program *p, struct pk_err *err)
{
    return p->options.seed ? memory_audit(&p->store, &p->meaning, err) : PK_OK;
}

/* Those whose moment has come. */
static enum pk_status decide(struct program *p, size_t delivered, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < p->planned.len && status == PK_OK; i++) {
        struct planned *plan = &p->planned.ptr[i];
        for (int back = 0; back < 2 && status == PK_OK; back++) {
            if (plan->made != back || (back ? plan->back_at : plan->at) > delivered)
                continue;
            struct change_decision decision = plan->decision;
            decision.restore = back;
            plan->made = true;
            if (back) {
                plan->back_at = SIZE_MAX;
                plan->back_made = true;
            }
            status = memory_decide(&p->command, &decision, 1, err);
            if (status == PK_OK)
                status = audit(p, err);
        }
    }
    return status;
}

static bool names(const struct change_forgetting *row, struct pk_hash name)
{
    for (size_t i = 0; i < row->names; i++)
        if (pk_hash_eq(row->name[i].name, name))
            return true;
    return false;
}

/* What was decided about its names before is taken back with it. */
static enum pk_status forget(struct program *p, struct change_forgetting row, struct pk_err *err)
{
    struct pk_arena arena = {0};
    struct change_decision *restore = PK_NEW_ARRAY(&arena, struct change_decision, p->planned.len + 1);
    for (size_t i = 0; i < p->planned.len; i++) {
        struct planned *plan = &p->planned.ptr[i];
        if (!plan->made || plan->forgotten || !(names(&row, plan->decision.a) || names(&row, plan->decision.b)) ||
            (plan->back_at == SIZE_MAX && plan->back_made))
            continue;
        restore[row.restores] = plan->decision;
        restore[row.restores++].restore = true;
        plan->forgotten = true;
        plan->back_at = SIZE_MAX;
    }
    row.restore = restore;
    enum pk_status status = memory_forget(&p->command, &row, err);
    pk_arena_done(&arena);
    return status == PK_OK ? audit(p, err) : status;
}

static enum pk_status forget_some(struct program *p, size_t delivered, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < p->forgetting.len && status == PK_OK; i++) {
        if (p->forgetting.ptr[i].made || p->forgetting.ptr[i].at > delivered)
            continue;
        p->forgetting.ptr[i].made = true;
        status = forget(p, p->forgetting.ptr[i].row, err);
    }
    return status;
}

static enum pk_status begin_batch(struct program *p, unsigned number, size_t from, size_t count, struct pk_err *err)
{
    struct memory_worker *worker = &p->worker[number];
    struct open_batch *batch = &p->batch[number];
    struct fact **fact = PK_NEW_ARRAY(&batch->arena, struct fact *, count);
    for (size_t i = 0; i < count; i++) {
        fact[i] = PK_NEW(&batch->arena, struct fact);
        fact_from_event(&p->maker, &p->events.ptr[from + i], &batch->arena, fact[i]);
        fact[i]->topic_name = symbol_of(&p->symbols, PK_STR("events"));
        fact[i]->partition = worker->at.partition;
        fact[i]->offset = worker->at.next_offset + (int64_t)i;
    }
    batch->is_open = true;
    return memory_begin(worker, fact, count, err);
}

static enum pk_status finish_batch(struct program *p, unsigned number, struct pk_err *err)
{
    struct open_batch *batch = &p->batch[number];
    if (!batch->is_open)
        return PK_OK;
    enum pk_status status = memory_finish(&p->worker[number], err);
    batch->is_open = false;
    pk_arena_reset(&batch->arena);
    return status == PK_OK ? audit(p, err) : status;
}

/* Numbered in the order in which they are made: that of the lines. */
static void plan_forgettings(struct program *p)
{
    size_t at = 0;
    for (size_t i = 0; i < p->forgetting.len; i++) {
        at += p->options.seed ? chance_below(&p->chance, (unsigned)(p->events.len - at) + 1) : 0;
        p->forgetting.ptr[i].at = at;
    }
}

static enum pk_status deliver(struct program *p, struct pk_err *err)
{
    const struct options *o = &p->options;
    enum pk_status status = PK_OK;
    for (size_t from = 0; from < p->events.len && status == PK_OK;) {
        size_t count = o->seed ? 1 + chance_below(&p->chance, o->batch) : o->batch;
        count = PK_MIN(count, p->events.len - from);
        unsigned number = chance_below(&p->chance, o->workers);
        status = finish_batch(p, number, err);
        if (status == PK_OK)
            status = begin_batch(p, number, from, count, err);
        from += count;
        if (status == PK_OK && p->planned.len)
            status = decide(p, from, err);
        if (status == PK_OK)
            status = forget_some(p, from, err);
        for (unsigned i = 0; i < o->workers && status == PK_OK; i++)
            if (chance_in(&p->chance, 60))
                status = finish_batch(p, i, err);
    }
    for (unsigned i = 0; i < o->workers && status == PK_OK; i++)
        status = finish_batch(p, i, err);
    return status;
}

/* A copy that lost against one that was forgotten then is an event once it is read again, so with conflicting copies there is
 * always a replay; else in half of the cases. */
static enum pk_status derive(struct program *p, struct pk_err *err)
{
    p->chance = (struct chance){p->options.seed};
    if (p->options.seed)
        shuffle(p);
    plan_decisions(p);
    plan_forgettings(p);
    enum pk_status status = decide(p, 0, err);
    if (status == PK_OK)
        status = deliver(p, err);
    if (status != PK_OK || !p->forgetting.len || (!p->store.quarantine.len && chance_in(&p->chance, 50)))
        return status;
    if (p->options.seed)
        shuffle(p);
    return deliver(p, err);
}

static void begin_case(struct program *p)
{
    memory_store_init(&p->store);
    sym_t topic = symbol_of(&p->symbols, PK_STR("events"));
    for (unsigned i = 0; i < p->options.workers; i++)
        memory_worker_init(&p->worker[i], &p->store, &p->meaning, p->options.cache, topic, (int32_t)i);
    memory_worker_init(&p->command, &p->store, &p->meaning, 0, topic, -1);
}

static void end_case(struct program *p)
{
    for (unsigned i = 0; i < MAX_WORKERS; i++) {
        if (p->worker[i].store)
            memory_worker_done(&p->worker[i]);
        p->worker[i] = (struct memory_worker){0};
        pk_arena_done(&p->batch[i].arena);
        p->batch[i] = (struct open_batch){0};
    }
    if (p->command.store)
        memory_worker_done(&p->command);
    p->command = (struct memory_worker){0};
    memory_store_done(&p->store);
    p->events.len = p->planned.len = p->forgetting.len = p->invalid = 0;
    pk_arena_reset(&p->events_arena);
}

/* ---- output ---- */

static enum pk_status print_table(const struct program *p, const struct canonical_table *table, struct pk_err *err)
{
    const struct options *o = &p->options;
    struct pk_buf text = {0};
    if (!o->table && !o->out_dir)
        pk_buf_printf(&text, "-- %s\n", table->name);
    canonical_columns(table, &text);
    pk_buf_text(&text, "\n");
    canonical_print(table, &p->store, &p->meaning, o->as_of_us, &text);
    enum pk_status status = PK_OK;
    FILE *out = stdout;
    if (o->out_dir) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s.tsv", o->out_dir, table->name);
        out = fopen(path, "w");
    }
    if (!out || fwrite(text.ptr, 1, text.len, out) != text.len)
        status = pk_fail(err, PK_REJECT, "the table %s cannot be written", table->name);
    if (out && out != stdout && fclose(out) != 0)
        status = pk_fail(err, PK_REJECT, "the table %s cannot be written", table->name);
    pk_buf_done(&text);
    return status;
}

static enum pk_status print_tables(const struct program *p, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < CANONICAL_TABLES && status == PK_OK; i++) {
        const struct canonical_table *table = &canonical_tables[i];
        bool wanted = p->options.table ? strcmp(p->options.table, table->name) == 0
                                       : p->options.as_of_us != PK_NO_TIME || strcmp(table->name, "obligation_state") != 0;
        if (wanted)
            status = print_table(p, table, err);
    }
    if (p->options.serve)
        return status;
    uint64_t fast = 0, slow = 0, stale = 0;
    for (unsigned i = 0; i < p->options.workers; i++)
        fast += p->worker[i].fast, slow += p->worker[i].slow, stale += p->worker[i].stale;
    fprintf(stderr,
            "polku_derive: %zu events, %zu customers, %zu journeys, %zu obligations; %zu conflicting, %zu not valid; "
            "%" PRIu64 " facts fast, %" PRIu64 " slow, %" PRIu64 " second tries\n",
            p->store.facts.count, p->store.customers.count, p->store.journeys.count, p->store.obligations.count,
            p->store.quarantine.len, p->invalid, fast, slow, stale);
    return status;
}

/* ---- cases on standard input ---- */

static enum pk_status read_case(struct program *p, char **line, size_t *room, struct pk_err *err)
{
    ssize_t len;
    while ((len = getline(line, room, stdin)) > 0) {
        static const char prefix[] = "decision ";
        const size_t skip = sizeof prefix - 1;
        if (strncmp(*line, "end", 3) == 0)
            return PK_OK;
        static const char forgets[] = "forgetting ";
        enum pk_status status = strncmp(*line, forgets, sizeof forgets - 1) == 0
                                    ? take_forgetting(p, (struct pk_str){*line + sizeof forgets - 1, (size_t)len - (sizeof forgets - 1)}, err)
                                : strncmp(*line, prefix, skip) == 0
                                    ? take_decision(p, (struct pk_str){*line + skip, (size_t)len - skip}, err)
                                    : take_event(p, (struct pk_str){*line, (size_t)len}, err);
        if (status != PK_OK)
            return status;
    }
    return pk_fail(err, PK_REJECT, "a case has no end");
}

static enum pk_status serve(struct program *p, struct pk_err *err)
{
    struct options *o = &p->options;
    char *line = NULL;
    size_t room = 0;
    enum pk_status status = PK_OK;
    while (status == PK_OK && getline(&line, &room, stdin) > 0) {
        if (sscanf(line, "case %" SCNu64 " %u %u %zu %" SCNd64, &o->seed, &o->batch, &o->workers, &o->cache,
                   &o->as_of_us) != 5 || !o->batch || !o->workers || o->workers > MAX_WORKERS) {
            status = pk_fail(err, PK_REJECT, "a case begins with: case SEED BATCH WORKERS CACHE AS_OF");
            break;
        }
        struct pk_err why = {0};
        status = read_case(p, &line, &room, err);
        begin_case(p);
        enum pk_status derived = status == PK_OK ? derive(p, &why) : status;
        if (derived == PK_OK)
            status = print_tables(p, err);
        if (status == PK_OK)
            printf("== %s\n", derived == PK_OK ? "ok" : why.text);
        fflush(stdout);
        end_case(p);
    }
    free(line);
    return status;
}

/* ---- arguments ---- */

static enum pk_status read_options(int argc, char **argv, struct options *o, struct pk_err *err)
{
    static const struct option known[] = {
        {"rules", required_argument, NULL, 'r'},   {"key-file", required_argument, NULL, 'k'},
        {"seed", required_argument, NULL, 's'},    {"batch", required_argument, NULL, 'b'},
        {"workers", required_argument, NULL, 'w'}, {"cache", required_argument, NULL, 'c'},
        {"as-of", required_argument, NULL, 'a'},   {"table", required_argument, NULL, 't'},
        {"out-dir", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'},
        {"decisions", required_argument, NULL, 'd'}, {"serve", no_argument, NULL, 'S'},
        {"forgettings", required_argument, NULL, 'f'},
        {0},
    };
    *o = (struct options){.batch = 20, .workers = 1, .cache = 1 << 20, .as_of_us = PK_NO_TIME};
    char *end = NULL;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == '?')
            return pk_fail(err, PK_REJECT, "%s", help);
        if (c == 'h') {
            fputs(help, stdout);
            exit(0);
        }
        if (c == 'r')
            o->rules = optarg;
        else if (c == 'k')
            o->key_file = optarg;
        else if (c == 't')
            o->table = optarg;
        else if (c == 'o')
            o->out_dir = optarg;
        else if (c == 'd')
            o->decisions = optarg;
        else if (c == 'f')
            o->forgettings = optarg;
        else if (c == 'S')
            o->serve = true;
        else if (c == 's')
            o->seed = strtoull(optarg, NULL, 10);
        else if (c == 'b')
            o->batch = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'w')
            o->workers = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'c')
            o->cache = strtoull(optarg, NULL, 10);
        else if ((o->as_of_us = strtoll(optarg, &end, 10)), *end)
            if (time_parse_iso(pk_str(optarg), true, &o->as_of_us, err) != PK_OK)
                return PK_REJECT;
    }
    if (!o->rules || !o->key_file || !o->batch || !o->workers || o->workers > MAX_WORKERS)
        return pk_fail(err, PK_REJECT, "%s", help);
    return PK_OK;
}

static enum pk_status run(struct program *p, int argc, char **argv, struct pk_err *err)
{
    enum pk_status status = read_options(argc, argv, &p->options, err);
    if (status == PK_OK)
        status = read_key(p, err);
    symbols_init(&p->symbols);
    if (status == PK_OK)
        status = rules_load(p->options.rules, NULL, &p->symbols, &p->arena, &p->rules, NULL, err);
    matcher_init(&p->matcher, &p->rules, &p->symbols);
    fact_maker_init(&p->maker, &p->rules, &p->hasher, &p->symbols, &p->matcher);
    p->meaning = (struct meaning){&p->rules, &p->matcher, &p->symbols, &p->hasher, &p->maker};
    if (status == PK_OK && p->options.serve) {
        status = serve(p, err);
    } else if (status == PK_OK) {
        begin_case(p);
        for (int i = optind; status == PK_OK && i < argc; i++)
            status = read_lines(p, argv[i], take_event, err);
        if (status == PK_OK && p->options.decisions)
            status = read_lines(p, p->options.decisions, take_decision, err);
        if (status == PK_OK && p->options.forgettings)
            status = read_lines(p, p->options.forgettings, take_forgetting, err);
        if (status == PK_OK)
            status = derive(p, err);
        if (status == PK_OK)
            status = print_tables(p, err);
        end_case(p);
    }
    pk_vec_done(&p->events);
    pk_vec_done(&p->planned);
    pk_vec_done(&p->forgetting);
    pk_arena_done(&p->events_arena);
    fact_maker_done(&p->maker);
    matcher_done(&p->matcher);
    symbols_done(&p->symbols);
    pk_arena_done(&p->arena);
    return status;
}

int main(int argc, char **argv)
{
    struct program *p = pk_alloc(sizeof *p);
    struct pk_err err = {0};
    enum pk_status status = run(p, argc, argv, &err);
    free(p);
    if (status != PK_OK)
        fprintf(stderr, "polku_derive: %s\n", err.text);
    return status == PK_OK ? 0 : status == PK_REJECT ? 2 : 3;
}
