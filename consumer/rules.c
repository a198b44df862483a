/* SPDX-License-Identifier: Apache-2.0 */
#include "rules_inner.h"

#include "event.h"
#include "nearest.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_FILE_BYTES = 16 << 20 };

/* ---- journeys and facts ---- */

static const struct {
    const char *section, *name;
} trait_place[TRAIT_COUNT] = {
#define X(id, in_section, in_name, help) [TRAIT_##id] = {in_section, in_name},
#include "trait.def"
#undef X
};

/* `known` gets the traits of a section behind its own `count` keys. */
static void add_traits(const char *section, const char *known[], size_t count)
{
    for (size_t i = 0; i < TRAIT_COUNT; i++)
        if (strcmp(trait_place[i].section, section) == 0)
            known[count++] = trait_place[i].name;
    known[count] = NULL;
}

static void read_traits(struct reader *reader, const struct yaml_node *node, const char *section, struct rules *rules)
{
    for (size_t i = 0; i < TRAIT_COUNT; i++)
        if (strcmp(trait_place[i].section, section) == 0)
            rules->trait[i] = read_matches(reader, yaml_get(node, trait_place[i].name), trait_place[i].name);
}

static void read_journeys(struct reader *reader, const struct yaml_node *node, struct rules *rules)
{
    const char *known[6 + TRAIT_COUNT] = {"gap", "reopen_gap", "case_gap", "max_span", "max_events"};
    add_traits("journeys", known, 5);
    read_keys(reader, node, known);
    read_duration(reader, yaml_get(node, "gap"), &rules->gap_us);
    read_duration(reader, yaml_get(node, "reopen_gap"), &rules->reopen_gap_us);
    read_duration(reader, yaml_get(node, "case_gap"), &rules->case_gap_us);
    read_duration(reader, yaml_get(node, "max_span"), &rules->max_span_us);
    read_int(reader, yaml_get(node, "max_events"), 1, 1000000000, &rules->max_events);
    read_traits(reader, node, "journeys", rules);
}

enum {
    MAX_REPEAT_WINDOW_DAYS = 30, /* so long a customer's need is remembered: strand.h */
    MAX_WEIGHT = 1000,
};

static void read_effort(struct reader *reader, const struct yaml_node *node, struct rules_effort *effort)
{
    static const char *const known[] = {"id",
#define X(member) #member,
                                        RULES_EFFORTS(X)
#undef X
                                            NULL};
    int64_t weight;
    read_keys(reader, node, known);
    if (reader->status == PK_OK && yaml_get(node, "id"))
        effort->id = read_name(reader, yaml_get(node, "id"), "id of effort");
#define X(member)                                                                                                    \
    weight = 0;                                                                                                      \
    read_int(reader, yaml_get(node, #member), 0, MAX_WEIGHT, &weight);                                               \
    effort->member = (int32_t)weight;
    RULES_EFFORTS(X)
#undef X
}

static void read_facts(struct reader *reader, const struct yaml_node *node, struct rules *rules)
{
    const char *known[3 + TRAIT_COUNT] = {"repeat_window", "effort"};
    add_traits("facts", known, 2);
    read_keys(reader, node, known);
    read_traits(reader, node, "facts", rules);
    read_duration(reader, yaml_get(node, "repeat_window"), &rules->repeat_window_us);
    if (rules->repeat_window_us > MAX_REPEAT_WINDOW_DAYS * PK_DAY_US)
        FAIL(reader, yaml_get(node, "repeat_window"), "repeat_window is longer than %dd, beyond which no repeat is counted",
             MAX_REPEAT_WINDOW_DAYS);
    read_effort(reader, yaml_get(node, "effort"), &rules->effort);
}

/* ---- obligations ---- */

/* A date alone is a whole day: valid_to includes it to its last microsecond. */
static void read_valid_to(struct reader *reader, const struct yaml_node *node, int64_t *value_us)
{
    read_time(reader, node, value_us);
    if (reader->status == PK_OK && node && node->text.len == strlen("2000-01-01"))
        *value_us += PK_DAY_US - 1;
}

static struct rules_kind read_kind(struct reader *reader, const struct yaml_node *node)
{
    static const char *const known[] = {"kind",   "opens", "attempts", "fulfils",    "rejects",  "withdraws", "within",
                                        "time",   "across", "label",   "consume",   "handoff",   "valid_from", "valid_to", NULL};
    static const char *const label[] = {[LABEL_NONE] = "none",
                                        [LABEL_ATTEMPTED_NOT_REACHED] = "attempted_not_reached",
                                        [LABEL_REPLIED_NOT_ANSWERED] = "replied_not_answered"};
    static const char *const consume[] = {"one", "all"};
    static const char *const time[] = {"wall", "business"};
    struct rules_kind kind = {.within_us = PK_NO_TIME, .valid_from_us = INT64_MIN, .valid_to_us = INT64_MAX};
    int chosen_label = LABEL_NONE, chosen_consume = 0, chosen_time = 0;
    read_keys(reader, node, known);
    if (reader->status == PK_OK && !yaml_get(node, "kind"))
        FAIL(reader, node, "an obligation needs its name; add 'kind:'");
    if (reader->status == PK_OK)
        kind.kind = read_name(reader, yaml_get(node, "kind"), "kind");
    kind.opens = read_matches(reader, yaml_get(node, "opens"), "opens");
    kind.attempts = read_matches(reader, yaml_get(node, "attempts"), "attempts");
    kind.fulfils = read_matches(reader, yaml_get(node, "fulfils"), "fulfils");
    kind.rejects = read_matches(reader, yaml_get(node, "rejects"), "rejects");
    kind.withdraws = read_matches(reader, yaml_get(node, "withdraws"), "withdraws");
    read_duration(reader, yaml_get(node, "within"), &kind.within_us);
    read_choice(reader, yaml_get(node, "time"), "value of time", time, PK_COUNT(time), &chosen_time);
    if (yaml_get(node, "time") && !yaml_get(node, "within"))
        FAIL(reader, yaml_get(node, "time"), "time says how 'within' runs; add 'within:' or leave it out");
    read_bool(reader, yaml_get(node, "across"), &kind.across);
    read_bool(reader, yaml_get(node, "handoff"), &kind.handoff);
    read_choice(reader, yaml_get(node, "label"), "label", label, PK_COUNT(label), &chosen_label);
    read_choice(reader, yaml_get(node, "consume"), "value of consume", consume, PK_COUNT(consume), &chosen_consume);
    read_time(reader, yaml_get(node, "valid_from"), &kind.valid_from_us);
    read_valid_to(reader, yaml_get(node, "valid_to"), &kind.valid_to_us);
    kind.label = (enum rules_label)chosen_label;
    kind.consume_all = chosen_consume == 1;
    kind.business = chosen_time == 1;
    if (reader->status == PK_OK && kind.valid_from_us > kind.valid_to_us)
        FAIL(reader, yaml_get(node, "valid_to"), "valid_to lies before valid_from; no event could open this kind");
    if (reader->status == PK_OK && kind.opens.count + kind.attempts.count + kind.fulfils.count + kind.rejects.count +
                                           kind.withdraws.count == 0)
        FAIL(reader, node, "nothing opens, attempts, fulfils, rejects or withdraws this kind; add one of them");
    return kind;
}

static void read_kinds(struct reader *reader, const struct yaml_node *node, struct rules *rules)
{
    size_t count = read_items(reader, node, "kinds");
    if (count > RULES_MAX_KINDS) {
        FAIL(reader, node, "%zu kinds, at most %d", count, RULES_MAX_KINDS);
        return;
    }
    struct rules_kind *kind = PK_NEW_ARRAY(reader->arena, struct rules_kind, count);
    for (size_t i = 0; i < count && reader->status == PK_OK; i++) {
        kind[i] = read_kind(reader, node->item[i]);
        rules->any_across |= kind[i].across;
    }
    rules->kind = kind;
    rules->kind_count = count;
}

static void read_obligations(struct reader *reader, const struct yaml_node *node, struct rules *rules)
{
    static const char *const known[] = {"skew", "kinds", NULL};
    read_keys(reader, node, known);
    read_duration(reader, yaml_get(node, "skew"), &rules->skew_us);
    read_kinds(reader, yaml_get(node, "kinds"), rules);
}

/* ---- the file ---- */

static void read_horizon(struct reader *reader, const struct yaml_node *node, struct rules *rules)
{
    read_time(reader, node, &rules->horizon_us);
    if (reader->status == PK_OK && (rules->horizon_us < EVENT_MIN_TIME_US || rules->horizon_us >= EVENT_MAX_TIME_US))
        FAIL(reader, node, "horizon must lie in 1990-01-01 .. 2199-12-31");
}

static void read_own_types(struct reader *reader, const struct yaml_node *node)
{
    size_t count = read_items(reader, node, "types");
    for (size_t i = 0; i < count && reader->status == PK_OK; i++) {
        struct pk_str text = {0};
        read_text(reader, node->item[i], &text);
        if (reader->status == PK_OK && !is_name(text))
            FAIL(reader, node->item[i], "'%.100s' is not a type: write it as parcel.lost", text.ptr);
    }
}

static void read_rules(struct reader *reader, struct rules *rules)
{
    static const char *const known[] = {"version",     "horizon",   "identity",    "journeys", "facts",
                                        "obligations", "calendars", "definitions", "types",    NULL};
    const struct yaml_node *root = reader->file.root;
    int64_t version = 0;
    if (!root) {
        FAIL(reader, NULL, "the file is empty; start from deploy/polku.yaml");
        return;
    }
    read_keys(reader, root, known);
    if (reader->status == PK_OK && !yaml_get(root, "version"))
        FAIL(reader, root, "no version; add 'version: %d'", RULES_VERSION);
    read_int(reader, yaml_get(root, "version"), 0, INT64_MAX, &version);
    if (reader->status == PK_OK && version != RULES_VERSION)
        FAIL(reader, yaml_get(root, "version"), "version %lld; this program reads version %d", (long long)version,
             RULES_VERSION);
    if (reader->status == PK_OK && !yaml_get(root, "identity"))
        FAIL(reader, root, "no identity; say under 'identity: namespaces:' what identifies a customer");
    read_horizon(reader, yaml_get(root, "horizon"), rules);
    read_identity(reader, yaml_get(root, "identity"), rules);
    read_journeys(reader, yaml_get(root, "journeys"), rules);
    read_facts(reader, yaml_get(root, "facts"), rules);
    read_obligations(reader, yaml_get(root, "obligations"), rules);
    read_calendars(reader, yaml_get(root, "calendars"), rules);
    read_definitions(reader, yaml_get(root, "definitions"), rules);
    read_own_types(reader, yaml_get(root, "types"));
}

/* ---- the vocabulary ---- */

static bool type_fits(struct pk_str wanted, bool any_ending, struct pk_str known)
{
    return any_ending ? known.len >= wanted.len && memcmp(known.ptr, wanted.ptr, wanted.len) == 0
                      : pk_str_eq(wanted, known);
}

/* promise.* is part of the program: docs/semantics.md 5. */
static bool type_known(struct pk_str type, const struct yaml_node *vocabulary, const struct yaml_node *own)
{
    bool any_ending = type.ptr[type.len - 1] == '*';
    type.len -= any_ending;
    for (size_t i = 0; i < vocabulary->count; i++)
        if (type_fits(type, any_ending, vocabulary->key[i]))
            return true;
    for (size_t i = 0; own && i < own->count; i++)
        if (type_fits(type, any_ending, own->item[i]->text))
            return true;
    return false;
}

static const char *nearest_type(struct pk_str type, const struct yaml_node *vocabulary, struct pk_arena *arena)
{
    const char **name = PK_NEW_ARRAY(arena, const char *, vocabulary->count);
    for (size_t i = 0; i < vocabulary->count; i++)
        name[i] = vocabulary->key[i].ptr;
    return nearest_name(type, name, vocabulary->count);
}

static void check_vocabulary(struct reader *reader, const char *path, struct rules_warnings *warnings)
{
    struct yaml_file file;
    if (reader->status != PK_OK)
        return;
    reader->status = yaml_load(path, reader->arena, &file, reader->err);
    if (reader->status != PK_OK)
        return;
    const struct yaml_node *vocabulary = yaml_get(file.root, "types");
    if (!vocabulary || vocabulary->kind != YAML_MAPPING) {
        reader->status = yaml_fail(&file, vocabulary, reader->err, "no 'types:' with lines of 'type: sentence'");
        return;
    }
    const struct yaml_node *own = yaml_get(reader->file.root, "types");
    for (size_t i = 0; i < reader->types.len; i++) {
        const struct yaml_node *node = reader->types.ptr[i];
        if (type_known(node->text, vocabulary, own))
            continue;
        const char *nearest = nearest_type(node->text, vocabulary, reader->arena);
        char text[400];
        int len = snprintf(text, sizeof text, "type '%s' is not in the vocabulary; %s%s%s", node->text.ptr,
                           nearest ? "did you mean '" : "add it to 'types:' of the rules if it is your own",
                           nearest ? nearest : "", nearest ? "'?" : "");
        *pk_vec_push(&warnings->list) = (struct rules_warning){
            node->line, pk_arena_str(reader->arena, (struct pk_str){text, (size_t)PK_MIN(len, (int)sizeof text - 1)})};
    }
}

/* ---- loading ---- */

static void file_done(FILE **file)
{
    if (*file)
        fclose(*file);
}

static enum pk_status read_bytes(const char *path, struct pk_buf *ret_text, struct pk_err *err)
{
    FILE *in PK_AUTO(file_done) = fopen(path, "rb");
    if (!in)
        return pk_fail(err, PK_REJECT, "%s: cannot be opened: %s", path, strerror(errno));
    size_t got;
    do {
        pk_buf_reserve(ret_text, 1 << 16);
        got = fread(ret_text->ptr + ret_text->len, 1, 1 << 16, in);
        ret_text->len += got;
        if (ret_text->len > MAX_FILE_BYTES)
            return pk_fail(err, PK_REJECT, "%s: larger than %d MiB", path, MAX_FILE_BYTES >> 20);
    } while (got > 0);
    if (ferror(in))
        return pk_fail(err, PK_REJECT, "%s: cannot be read: %s", path, strerror(errno));
    return PK_OK;
}

static struct pk_hash hash_of_file(struct pk_str text, const struct rules *rules)
{
    struct pk_hash hash;
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, sizeof hash);
    crypto_generichash_update(&state, (const uint8_t *)text.ptr, text.len);
    for (size_t i = 0; i < rules->calendar_count; i++)
        for (size_t k = 0; k < rules->calendar[i].opens; k++) {
            uint8_t bytes[16];
            pk_put_be64(bytes, (uint64_t)rules->calendar[i].open[k].from_us);
            pk_put_be64(bytes + 8, (uint64_t)rules->calendar[i].open[k].to_us);
            crypto_generichash_update(&state, bytes, sizeof bytes);
        }
    crypto_generichash_final(&state, hash.byte, sizeof hash);
    return hash;
}

enum pk_status rules_load(const char *path, const char *vocabulary_path, struct symbols *symbols,
                          struct pk_arena *arena, struct rules *ret_rules, struct rules_warnings *ret_warnings,
                          struct pk_err *err)
{
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    struct reader reader = {.symbols = symbols, .arena = arena, .err = err};
    struct rules rules = {
        .horizon_us = EVENT_MIN_TIME_US,
        .gap_us = 7 * PK_DAY_US,
        .reopen_gap_us = 3 * PK_DAY_US,
        .case_gap_us = 90 * PK_DAY_US,
        .max_span_us = 365 * PK_DAY_US,
        .skew_us = 5 * PK_SECOND_US,
        .max_events = 20000,
        .max_component = 1000,
        .repeat_window_us = 7 * PK_DAY_US,
        .effort.id = symbol_of(symbols, PK_STR("effort-1")),
    };
    reader.status = read_bytes(path, &text, err);
    if (reader.status == PK_OK)
        reader.status = yaml_parse(path, (struct pk_str){text.ptr, text.len}, arena, &reader.file, err);
    if (reader.status == PK_OK)
        read_rules(&reader, &rules);
    struct rules_warnings warnings = {0};
    if (vocabulary_path)
        check_vocabulary(&reader, vocabulary_path, &warnings);
    pk_vec_done(&reader.types);
    if (reader.status != PK_OK || !ret_warnings)
        pk_vec_done(&warnings.list);
    if (reader.status == PK_OK) {
        rules.file_hash = hash_of_file((struct pk_str){text.ptr, text.len}, &rules);
        rules.hashing_hash = rules_hash_of_hashing(&rules, arena);
        *ret_rules = rules;
        if (ret_warnings)
            *ret_warnings = warnings;
    }
    return reader.status;
}
