/* SPDX-License-Identifier: Apache-2.0 */
/* polku_derive: derives the tables of JSON Lines of events through the consumer's pure code and the tables in
 * memory, in random batches, and prints them as tests/oracle/polku_oracle.py does. */
#include "canonical.h"
#include "chance.h"
#include "event_json.h"

#include <getopt.h>
#include <inttypes.h>
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
    "  --as-of TIME      moment of the table obligation_state, which is left out without it\n"
    "  --table NAME      print this table alone\n"
    "  --out-dir DIR     write one file per table there, NAME.tsv\n";

enum { MAX_WORKERS = 16 };

struct options {
    const char *rules, *key_file, *table, *out_dir;
    uint64_t seed;
    unsigned batch, workers;
    size_t cache;
    int64_t as_of_us;
};

struct program {
    struct options options;
    struct symbols symbols;
    struct pk_arena arena; /* rules and events */
    struct rules rules;
    struct fact_hasher hasher;
    struct matcher matcher;
    struct fact_maker maker;
    struct meaning meaning;
    PK_VEC(struct event) events;
    size_t invalid;
    struct memory_store store;
    struct memory_worker worker[MAX_WORKERS];
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

static enum pk_status take_line(struct program *p, struct pk_str line, struct pk_err *err)
{
    static const struct event_limits limits = {INT64_MAX / 4};
    struct event event;
    enum reject_reason reason;
    enum pk_status status = event_from_json(line, &p->arena, &event, err);
    if (status != PK_OK)
        return status;
    if (event_validate(&event, &limits, PK_NO_TIME, &reason, err) != PK_OK || event.occurred_at_us < p->rules.horizon_us)
        p->invalid++;
    else
        *pk_vec_push(&p->events) = event;
    return PK_OK;
}

static enum pk_status read_events(struct program *p, const char *path, struct pk_err *err)
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
        status = take_line(p, (struct pk_str){line, (size_t)len}, err);
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

static void shuffle(struct program *p, struct chance *chance)
{
    for (size_t i = p->events.len; i > 1; i--) {
        size_t j = (size_t)(chance_next(chance) % i);
        struct event swap = p->events.ptr[i - 1];
        p->events.ptr[i - 1] = p->events.ptr[j];
        p->events.ptr[j] = swap;
    }
}

static enum pk_status run_batch(struct program *p, struct memory_worker *worker, size_t from, size_t count,
                                struct pk_err *err)
{
    struct pk_arena arena = {0};
    struct fact **fact = PK_NEW_ARRAY(&arena, struct fact *, count);
    for (size_t i = 0; i < count; i++) {
        fact[i] = PK_NEW(&arena, struct fact);
        fact_from_event(&p->maker, &p->events.ptr[from + i], &arena, fact[i]);
        fact[i]->topic_name = symbol_of(&p->symbols, PK_STR("events"));
        fact[i]->partition = worker->at.partition;
        fact[i]->offset = worker->at.next_offset + (int64_t)i;
    }
    enum pk_status status = memory_batch(worker, fact, count, err);
    pk_arena_done(&arena);
    return status;
}

static enum pk_status derive(struct program *p, struct pk_err *err)
{
    struct chance chance = {p->options.seed};
    if (p->options.seed)
        shuffle(p, &chance);
    enum pk_status status = PK_OK;
    for (size_t from = 0; from < p->events.len && status == PK_OK;) {
        size_t count = p->options.seed ? 1 + chance_below(&chance, p->options.batch) : p->options.batch;
        count = PK_MIN(count, p->events.len - from);
        status = run_batch(p, &p->worker[chance_below(&chance, p->options.workers)], from, count, err);
        from += count;
    }
    return status;
}

/* ---- output ---- */

static enum pk_status print_table(const struct program *p, const struct canonical_table *table, struct pk_err *err)
{
    const struct options *o = &p->options;
    struct pk_buf text = {0};
    if (!o->table && !o->out_dir)
        pk_buf_printf(&text, "-- %s\n", table->name);
    pk_buf_printf(&text, "%s\n", table->columns);
    canonical_print(table, &p->store, &p->symbols, o->as_of_us, &text);
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

/* ---- arguments ---- */

static enum pk_status read_options(int argc, char **argv, struct options *o, struct pk_err *err)
{
    static const struct option known[] = {
        {"rules", required_argument, NULL, 'r'},   {"key-file", required_argument, NULL, 'k'},
        {"seed", required_argument, NULL, 's'},    {"batch", required_argument, NULL, 'b'},
        {"workers", required_argument, NULL, 'w'}, {"cache", required_argument, NULL, 'c'},
        {"as-of", required_argument, NULL, 'a'},   {"table", required_argument, NULL, 't'},
        {"out-dir", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'},
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
    p->meaning = (struct meaning){&p->rules, &p->matcher, &p->symbols, &p->hasher};
    memory_store_init(&p->store);
    for (unsigned i = 0; status == PK_OK && i < p->options.workers; i++)
        memory_worker_init(&p->worker[i], &p->store, &p->meaning, p->options.cache,
                           symbol_of(&p->symbols, PK_STR("events")), (int32_t)i);
    for (int i = optind; status == PK_OK && i < argc; i++)
        status = read_events(p, argv[i], err);
    if (status == PK_OK)
        status = derive(p, err);
    if (status == PK_OK)
        status = print_tables(p, err);
    for (unsigned i = 0; i < MAX_WORKERS && p->worker[i].store; i++)
        memory_worker_done(&p->worker[i]);
    memory_store_done(&p->store);
    pk_vec_done(&p->events);
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
